//! Which hash the keys of the input topics follow.
//!
//! All records of an account must meet in one partition number. Producers that hash keys
//! differently (Java's clients by murmur2, librdkafka's by CRC32) would scatter them, and nobody
//! would notice: so the hash is learned from the first records, and whoever is off it is told.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::engine::event::Source;
use crate::partitioner::Partitioner;

/// Records of a topic that fit one hash only, after which its hash is settled.
const LEARNED_AFTER_RECORDS: u32 = 32;

/// The rule that keys must follow. Shared by all workers of a process.
#[derive(Debug)]
pub struct Routing {
    partitions: i32,
    /// Topic names by `Source as usize`, for messages.
    topics: [String; 5],
    /// Per source: 0 while learning, else the position in `Partitioner::NAMES` plus one.
    settled: [AtomicU8; 5],
    /// Per source, while learning: records that fit one hash only, by `Partitioner::NAMES`.
    tallies: Mutex<[[u32; 2]; 5]>,
}

/// Why the topics cannot be read together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoutingError {
    /// Two topics follow different hashes.
    #[error(
        "topic `{topic}` is keyed by `{found}` and topic `{other_topic}` by `{other_found}`, \
         expected one partitioner for all input topics: set the producers' `partitioner` to \
         `murmur2_random` (what Java clients use) and write the topics anew"
    )]
    TopicsDiffer {
        /// The topic learned last.
        topic: String,
        /// Its hash.
        found: &'static str,
        /// A topic learned before.
        other_topic: String,
        /// Its hash.
        other_found: &'static str,
    },
    /// One topic's producers follow different hashes.
    #[error(
        "topic `{topic}` is keyed by `murmur2` in {murmur2} of its first records and by `crc32` in \
         {crc32}, expected one partitioner: set `ingest.partitioner` to the right one to have the \
         others sent to the dead-letter topic"
    )]
    TopicMixed {
        /// The topic.
        topic: String,
        /// Records that fit murmur2 only.
        murmur2: u32,
        /// Records that fit CRC32 only.
        crc32: u32,
    },
}

impl Routing {
    /// Checks against `partitioner`, or learns it from the records where it is `None`.
    pub fn new(partitions: i32, partitioner: Option<Partitioner>, topics: [String; 5]) -> Routing {
        let known = partitioner.map_or(0, |given| {
            let position = Partitioner::NAMES.iter().position(|(_, known)| *known == given);
            position.expect("`NAMES` lists every partitioner") as u8 + 1
        });
        Routing {
            partitions,
            topics,
            settled: std::array::from_fn(|_| AtomicU8::new(known)),
            tallies: Mutex::default(),
        }
    }

    /// How many partitions the input topics have.
    pub fn partitions(&self) -> i32 {
        self.partitions
    }

    /// What has been learned: per source 0, or the position in `Partitioner::NAMES` plus one.
    pub fn settled(&self) -> [u8; 5] {
        std::array::from_fn(|source| self.settled[source].load(Ordering::Relaxed))
    }

    /// Takes over what an earlier process has learned, where nothing is known yet.
    pub fn settle(&self, learned: [u8; 5]) {
        for (settled, learned) in self.settled.iter().zip(learned) {
            if usize::from(learned) <= Partitioner::NAMES.len() {
                // Whoever was faster knows it by the same records.
                let _ = settled.compare_exchange(0, learned, Ordering::Relaxed, Ordering::Relaxed);
            }
        }
    }

    /// Whether `key` belongs where it was found. While a topic's hash is being learned, a key that
    /// fits any hash does.
    ///
    /// # Errors
    /// When it turns out that topics, or the producers of one, follow different hashes.
    pub fn check(&self, source: Source, key: &[u8], partition: i32) -> Result<bool, RoutingError> {
        if self.partitions <= 1 {
            return Ok(true);
        }
        let fits =
            |(_, hash): (&str, Partitioner)| hash.partition(key, self.partitions) == partition;
        match self.settled[source as usize].load(Ordering::Relaxed) {
            0 => self.learn(source, Partitioner::NAMES.map(fits)),
            known => Ok(fits(Partitioner::NAMES[usize::from(known) - 1])),
        }
    }

    fn learn(&self, source: Source, fits: [bool; 2]) -> Result<bool, RoutingError> {
        let only = match fits {
            [true, true] => return Ok(true),
            [false, false] => return Ok(false),
            [true, false] => 0,
            [false, true] => 1,
        };
        let mut tallies = self.tallies.lock().expect("nothing panics while it holds the lock");
        let tally = &mut tallies[source as usize];
        tally[only] += 1;
        let [murmur2, crc32] = *tally;
        if murmur2 + crc32 < LEARNED_AFTER_RECORDS {
            return Ok(true);
        }
        // One record in sixteen may have strayed.
        if murmur2.min(crc32) * 16 > murmur2 + crc32 {
            let topic = self.topics[source as usize].clone();
            return Err(RoutingError::TopicMixed { topic, murmur2, crc32 });
        }
        let winner = usize::from(crc32 > murmur2);
        for other in Source::ALL {
            let known = self.settled[other as usize].load(Ordering::Relaxed);
            if known != 0 && usize::from(known) - 1 != winner {
                return Err(RoutingError::TopicsDiffer {
                    topic: self.topics[source as usize].clone(),
                    found: Partitioner::NAMES[winner].0,
                    other_topic: self.topics[other as usize].clone(),
                    other_found: Partitioner::NAMES[usize::from(known) - 1].0,
                });
            }
        }
        self.settled[source as usize].store(winner as u8 + 1, Ordering::Relaxed);
        Ok(fits[winner])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTITIONS: i32 = 8;

    fn routing(partitioner: Option<Partitioner>) -> Routing {
        let topics = Source::ALL.map(|source| source.default_topic().to_owned());
        Routing::new(PARTITIONS, partitioner, topics)
    }

    /// Sends `count` keys to a topic, each where `hash` puts it.
    fn send(
        routing: &Routing,
        source: Source,
        hash: Partitioner,
        count: usize,
    ) -> Result<(), RoutingError> {
        for n in 0..count {
            let key = format!("account-{n}");
            let partition = hash.partition(key.as_bytes(), PARTITIONS);
            assert!(routing.check(source, key.as_bytes(), partition)?, "{key} is where it belongs");
        }
        Ok(())
    }

    #[test]
    fn a_record_off_the_learned_hash_does_not_belong() {
        let routing = routing(None);
        send(&routing, Source::Usage, Partitioner::Murmur2, 100).unwrap();
        let stray = (0..100).map(|n| format!("stray-{n}")).find(|key| {
            Partitioner::Crc32.partition(key.as_bytes(), PARTITIONS)
                != Partitioner::Murmur2.partition(key.as_bytes(), PARTITIONS)
        });
        let stray = stray.expect("the hashes differ for most keys");
        let partition = Partitioner::Crc32.partition(stray.as_bytes(), PARTITIONS);
        assert_eq!(routing.check(Source::Usage, stray.as_bytes(), partition), Ok(false));
    }

    #[test]
    fn topics_that_follow_different_hashes_are_named_both() {
        let routing = routing(None);
        send(&routing, Source::Usage, Partitioner::Murmur2, 100).unwrap();
        let error = send(&routing, Source::Survey, Partitioner::Crc32, 100).unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with(
                "topic `surveys` is keyed by `crc32` and topic `product-usage` by `murmur2`"
            ),
            "{text}"
        );
    }

    #[test]
    fn a_topic_of_two_minds_is_refused() {
        let routing = routing(None);
        let mixed = (0..60).try_for_each(|n| {
            let hash = Partitioner::NAMES[n % 2].1;
            let key = format!("account-{n}");
            let partition = hash.partition(key.as_bytes(), PARTITIONS);
            routing.check(Source::Payment, key.as_bytes(), partition).map(drop)
        });
        assert!(matches!(mixed, Err(RoutingError::TopicMixed { .. })), "{mixed:?}");
    }

    #[test]
    fn a_given_hash_is_not_learned() {
        let routing = routing(Some(Partitioner::Crc32));
        send(&routing, Source::Usage, Partitioner::Crc32, 50).unwrap();
    }
}
