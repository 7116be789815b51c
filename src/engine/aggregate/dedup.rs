//! The last ids of one source: an event seen before changes nothing.

use xxhash_rust::xxh3::xxh3_64;

/// How many distinct ids an account remembers of each source.
pub const IDS_HELD: usize = 32;

/// The last [`IDS_HELD`] distinct event ids, first in, first out, as 64-bit hashes: at that width
/// one event in 10^17 would be taken for another.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IdRing {
    /// At most `IDS_HELD`.
    hashes: Vec<u64>,
    /// Where the oldest is, once full.
    oldest: u8,
}

impl IdRing {
    /// Remembers `id`; `false` if it is held already (which does not refresh it).
    pub fn insert(&mut self, id: &str) -> bool {
        let hash = xxh3_64(id.as_bytes());
        if self.hashes.contains(&hash) {
            return false;
        }
        if self.hashes.len() < IDS_HELD {
            self.hashes.push(hash);
        } else {
            self.hashes[usize::from(self.oldest)] = hash;
            self.oldest = (self.oldest + 1) % IDS_HELD as u8;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeat_does_not_refresh_and_the_oldest_goes_first() {
        let mut ring = IdRing::default();
        for n in 0..32 {
            assert!(ring.insert(&n.to_string()));
        }
        assert!(!ring.insert("0"));
        assert!(ring.insert("32"));
        assert!(ring.insert("0"), "0 was the oldest in spite of its repeat");
        assert!(!ring.insert("2"));
    }
}
