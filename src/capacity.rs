//! How many accounts a process holds, whichever of its tasks they belong to.
//!
//! A task reserves what its next records may need and gives back what they did not, so that the limit
//! holds at every moment. What is read back from a changelog is taken whatever the limit: it was
//! promised.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a process holds at most.
#[derive(Debug)]
pub struct Capacity {
    accounts_max: usize,
    /// Whether an idle account makes room for a new one.
    evicts: bool,
    held: AtomicUsize,
}

impl Capacity {
    /// Room for so many accounts; with `evicts` idle ones make room for new ones.
    pub fn new(accounts_max: usize, evicts: bool) -> Capacity {
        Capacity { accounts_max, evicts, held: AtomicUsize::new(0) }
    }

    /// No limit but memory.
    pub fn endless() -> Capacity {
        Capacity::new(usize::MAX, false)
    }

    /// Whether an idle account makes room for a new one.
    pub fn evicts(&self) -> bool {
        self.evicts
    }
}

/// One task's part of a process's capacity, given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    capacity: Arc<Capacity>,
    held: usize,
}

impl Share {
    /// Nothing of `capacity` yet.
    pub fn of(capacity: Arc<Capacity>) -> Share {
        Share { capacity, held: 0 }
    }

    /// Takes room for up to `wanted` more accounts; returns for how many there is.
    pub fn reserve(&mut self, wanted: usize) -> usize {
        let max = self.capacity.accounts_max;
        let taken = |held: usize| held.saturating_add(wanted.min(max.saturating_sub(held)));
        let before = self
            .capacity
            .held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| Some(taken(held)))
            .expect("every count has a next one");
        let got = taken(before) - before;
        self.held += got;
        got
    }

    /// Holds room for just these accounts, even where that is more than there is.
    pub fn settle(&mut self, accounts: usize) {
        let held = &self.capacity.held;
        if accounts > self.held {
            held.fetch_add(accounts - self.held, Ordering::Relaxed);
        } else {
            held.fetch_sub(self.held - accounts, Ordering::Relaxed);
        }
        self.held = accounts;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.settle(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_share_what_there_is_and_give_back_what_they_do_not_hold() {
        let capacity = Arc::new(Capacity::new(10, false));
        let (mut one, mut other) =
            (Share::of(Arc::clone(&capacity)), Share::of(Arc::clone(&capacity)));
        assert_eq!((one.reserve(8), other.reserve(8)), (8, 2));
        one.settle(3);
        assert_eq!(other.reserve(8), 5);
        other.settle(7);
        assert_eq!(one.reserve(1), 0);
        drop(other);
        assert_eq!(one.reserve(100), 7);
    }

    #[test]
    fn state_that_is_read_back_is_taken_whatever_the_limit() {
        let capacity = Arc::new(Capacity::new(10, false));
        let mut restored = Share::of(Arc::clone(&capacity));
        restored.settle(25);
        assert_eq!(restored.reserve(1), 0);
        restored.settle(9);
        assert_eq!(restored.reserve(5), 1);
    }
}
