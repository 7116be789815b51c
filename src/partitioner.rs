//! Which partition a key belongs to, the way Kafka's producers decide it.
//!
//! Two hashes are in use: murmur2 (Java, and librdkafka with `partitioner=murmur2_random`) and
//! CRC-32 (librdkafka's own default, `consistent_random`). Our producers follow the first, and the
//! ingest side asks both which one a topic's keys follow. What those producers do with a record
//! without a key (any partition at random) is left out: every record of ours has one.

/// A rule that sends a key to a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Partitioner {
    /// Java's default: murmur2 with the sign bit cut off, modulo the partitions.
    #[default]
    Murmur2,
    /// librdkafka's default: CRC-32 modulo the partitions.
    Crc32,
}

impl Partitioner {
    /// Every variant with the name settings give it.
    pub const NAMES: [(&'static str, Partitioner); 2] =
        [("murmur2", Partitioner::Murmur2), ("crc32", Partitioner::Crc32)];

    /// The name settings give it.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }

    /// The partition of `key` on a topic with `partitions` partitions, which must be at least 1.
    pub fn partition(&self, key: &[u8], partitions: i32) -> i32 {
        assert!(partitions >= 1, "a topic has at least one partition, not {partitions}");
        match self {
            Partitioner::Murmur2 => (murmur2(key) & 0x7fff_ffff) % partitions,
            Partitioner::Crc32 => (crc32(key) % partitions as u32) as i32,
        }
    }
}

/// The hash of Kafka's `Utils.murmur2`, bit for bit.
pub fn murmur2(key: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const MULTIPLIER: u32 = 0x5bd1_e995;
    let mut hash = SEED ^ key.len() as u32;
    let mut words = key.chunks_exact(4);
    for word in &mut words {
        let mut mixed = u32::from_le_bytes(word.try_into().expect("chunks of four bytes"));
        mixed = mixed.wrapping_mul(MULTIPLIER);
        mixed ^= mixed >> 24;
        mixed = mixed.wrapping_mul(MULTIPLIER);
        hash = hash.wrapping_mul(MULTIPLIER) ^ mixed;
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (place, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MULTIPLIER);
    (hash ^ (hash >> 15)) as i32
}

/// The IEEE CRC-32, as in zlib and librdkafka's `rd_crc32`.
pub fn crc32(key: &[u8]) -> u32 {
    !key.iter()
        .fold(!0, |crc, byte| CRC32_TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize] ^ (crc >> 8))
}

const CRC32_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn murmur2_gives_what_kafkas_own_test_expects() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()), hash, "{key}");
        }
    }

    #[test]
    fn crc32_gives_the_published_check_value() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn every_key_lands_on_a_partition_the_topic_has() {
        for (_, partitioner) in Partitioner::NAMES {
            let mut keys_per_partition = [0; 7];
            for number in 0..7_000 {
                let key = format!("acme-{number:04}");
                keys_per_partition[partitioner.partition(key.as_bytes(), 7) as usize] += 1;
            }
            assert!(
                keys_per_partition.iter().all(|keys| (800..1_200).contains(keys)),
                "{}: {keys_per_partition:?}",
                partitioner.name()
            );
        }
    }

    #[test]
    fn a_negative_hash_loses_its_sign_and_is_not_negated() {
        // -973932308 & 0x7fffffff = 1173551340; Java's own rule, where abs would give 8.
        assert_eq!(Partitioner::Murmur2.partition(b"21", 10), 0);
        assert_eq!(Partitioner::Crc32.partition(b"123456789", 10), (0xcbf4_3926_u32 % 10) as i32);
    }
}
