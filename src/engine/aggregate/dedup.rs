//! The last ids of each source: an event seen before changes nothing.

use std::hint::black_box;
use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64;

use super::kept::BadState;
use crate::engine::event::Source;

/// How many distinct ids an account remembers of each source.
pub const IDS_HELD: usize = 32;

/// By how many ids the memory grows: accounts have few tickets and invoices.
const GROWTH: usize = 4;

/// Of each source the last [`IDS_HELD`] distinct event ids, first in, first out, as 64-bit hashes: at
/// that width one event in 10^17 would be taken for another.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IdRings {
    /// One source's after the other's, in one block: most accounts have few of most sources.
    hashes: Vec<u64>,
    /// How many each source has, at most `IDS_HELD`.
    held: [u8; Source::ALL.len()],
    /// Where each source's oldest is among its own, once full.
    oldest: [u8; Source::ALL.len()],
}

impl IdRings {
    /// What is kept of them: by source how many ids and where the oldest is, then all hashes.
    pub fn keep(&self) -> ([(u8, u8); 5], Vec<[u8; 8]>) {
        let held = std::array::from_fn(|source| (self.held[source], self.oldest[source]));
        (held, self.hashes.iter().map(|hash| hash.to_le_bytes()).collect())
    }

    /// The rings again.
    pub fn restore(held: [(u8, u8); 5], hashes: &[[u8; 8]]) -> Result<IdRings, BadState> {
        let total: usize = held.iter().map(|(held, _)| usize::from(*held)).sum();
        let fits = |(held, oldest): &(u8, u8)| {
            usize::from(*held) <= IDS_HELD && usize::from(*oldest) < IDS_HELD
        };
        if total != hashes.len() || !held.iter().all(fits) {
            return Err(BadState("event ids that do not add up"));
        }
        Ok(IdRings {
            hashes: hashes.iter().map(|hash| u64::from_le_bytes(*hash)).collect(),
            held: held.map(|(held, _)| held),
            oldest: held.map(|(_, oldest)| oldest),
        })
    }

    /// Whether `id` is held.
    pub fn contains(&self, source: Source, id: &str) -> bool {
        self.hashes[self.place(source)].contains(&xxh3_64(id.as_bytes()))
    }

    /// Remembers `id`; `false` if it is held already (which does not refresh it).
    pub fn insert(&mut self, source: Source, id: &str) -> bool {
        let hash = xxh3_64(id.as_bytes());
        let Range { start, end } = self.place(source);
        let source = source as usize;
        if self.hashes[start..end].contains(&hash) {
            return false;
        }
        if end - start < IDS_HELD {
            if self.hashes.len() == self.hashes.capacity() {
                self.hashes.reserve_exact(GROWTH);
            }
            self.hashes.insert(end, hash);
            self.held[source] += 1;
        } else {
            let oldest = &mut self.oldest[source];
            self.hashes[start + usize::from(*oldest)] = hash;
            *oldest = (*oldest + 1) % IDS_HELD as u8;
        }
        true
    }

    /// Where a source's hashes lie.
    fn place(&self, source: Source) -> Range<usize> {
        let source = source as usize;
        let start: usize = self.held[..source].iter().map(|held| usize::from(*held)).sum();
        start..start + usize::from(self.held[source])
    }

    /// How many ids are held.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Reads what the next insertion will read first.
    pub fn warm_up(&self) {
        const PER_CACHE_LINE: usize = 8;
        for hash in self.hashes.iter().take(IDS_HELD).step_by(PER_CACHE_LINE) {
            black_box(*hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeat_does_not_refresh_and_the_oldest_goes_first() {
        let mut rings = IdRings::default();
        let mut insert = |id: &str| rings.insert(Source::Ticket, id);
        for n in 0..32 {
            assert!(insert(&n.to_string()));
        }
        assert!(!insert("0"));
        assert!(insert("32"));
        assert!(insert("0"), "0 was the oldest in spite of its repeat");
        assert!(!insert("2"));
    }

    #[test]
    fn each_source_has_its_own_ids_whatever_the_others_have() {
        let mut rings = IdRings::default();
        for n in 0..40 {
            for source in Source::ALL {
                assert!(rings.insert(source, &n.to_string()));
            }
        }
        for source in Source::ALL {
            for n in 8..40 {
                assert!(!rings.insert(source, &n.to_string()));
            }
            assert!(rings.insert(source, "7"));
        }
    }
}
