//! Which account has to be looked at next, and when.
//!
//! An account whose deadline moves later keeps its old entry: it is looked at once too often, finds
//! nothing due, and is put back. So an event that only pushes a deadline away costs nothing here.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::time::EventTime;

/// Accounts (by slot) ordered by their next deadline.
#[derive(Debug, Default)]
pub struct Timers {
    entries: BinaryHeap<Reverse<(EventTime, u32)>>,
}

impl Timers {
    /// Has account `slot` looked at at `at`. `queued` is the account's own note of its earliest
    /// entry here.
    pub fn schedule(&mut self, slot: u32, at: EventTime, queued: &mut EventTime) {
        if at < *queued {
            *queued = at;
            self.entries.push(Reverse((at, slot)));
        }
    }

    /// The earliest entry, which may turn out to be superseded.
    pub fn next(&self) -> Option<EventTime> {
        self.entries.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the earliest entry if it is due at `now`.
    pub fn pop_due(&mut self, now: EventTime) -> Option<(EventTime, u32)> {
        if self.next()? > now {
            return None;
        }
        self.entries.pop().map(|Reverse(entry)| entry)
    }
}
