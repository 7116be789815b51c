//! Distinct users or features in a window, exactly: for each the latest pane it was seen in.
//!
//! Values are known by their 64-bit hash. Two of an account's values share one with a probability
//! of about one in 10^9 at 100,000 users, and then count as one.

use std::hint::black_box;

use hashbrown::HashMap;

use super::PlainHash;
use super::kept::KeptDistinct;
use super::panes::NO_PANE;
use crate::engine::scorecard::Window;
use crate::engine::time::EventTime;

/// Most values that are looked through one by one: up to here that costs no more than a hash table
/// does, in half of its memory.
const FEW_MAX: usize = 32;

/// By how many values a short list grows.
const GROWTH: usize = 4;

/// The values seen in a window.
#[derive(Clone, Debug, Default)]
pub struct DistinctPanes {
    /// Latest begun pane of each value; none that has left the window at `current`.
    latest: Latest,
    /// Values seen in panes that have not begun, with the pane. Nearly always empty.
    ahead: Box<[Seen]>,
    /// At or before the oldest pane in `latest`; exact after each advance.
    oldest: i32,
    current: i32,
}

impl DistinctPanes {
    /// What is kept of them. In a fixed order, so that the same values make the same bytes.
    pub fn keep(&self) -> KeptDistinct {
        let mut latest: Vec<([u8; 8], i32)> = match &self.latest {
            Latest::Few(all) => all.iter().map(Seen::keep).collect(),
            Latest::Many(all) => all.iter().map(|(v, pane)| (v.to_le_bytes(), *pane)).collect(),
        };
        latest.sort_unstable();
        (latest, self.ahead.iter().map(Seen::keep).collect())
    }

    /// The values again, to be advanced before they are asked anything.
    pub fn restore((latest, ahead): KeptDistinct) -> DistinctPanes {
        let seen = |(value, pane)| Seen { value: u64::from_le_bytes(value), pane };
        let mut panes = DistinctPanes {
            ahead: ahead.into_iter().map(seen).collect(),
            current: NO_PANE,
            ..DistinctPanes::default()
        };
        for kept in latest {
            panes.see(seen(kept));
        }
        panes
    }

    /// Moves "now" forward: values leave, panes begin.
    pub fn advance(&mut self, window: Window, now: EventTime) {
        let current = now.pane_near(self.current, window.pane);
        if current == self.current {
            return;
        }
        self.current = current;
        if !self.ahead.is_empty() {
            let (begun, ahead): (Vec<Seen>, Vec<Seen>) =
                self.ahead.iter().partition(|seen| seen.pane <= current);
            self.ahead = ahead.into();
            for seen in begun {
                self.see(seen);
            }
        }
        let first = current - window.panes as i32 + 1;
        if self.oldest < first {
            self.oldest = self.latest.retain_from(first);
        }
    }

    /// Sees a value in the pane of `at`, if that has not left. Call `advance` first. Returns whether
    /// count or next change may be others now.
    pub fn add(&mut self, window: Window, at: EventTime, value: u64) -> bool {
        let pane = at.pane_near(self.current, window.pane);
        let seen = Seen { value, pane };
        if pane > self.current {
            if !self.ahead.contains(&seen) {
                self.ahead = self.ahead.iter().copied().chain([seen]).collect();
            }
            true
        } else if pane > self.current - window.panes as i32 {
            self.see(seen)
        } else {
            false
        }
    }

    /// Whether a value has room: it is held already, or fewer than `most` are.
    pub fn has_room(&self, value: u64, most: usize) -> bool {
        self.latest.len() + self.ahead.len() < most || self.latest.knows(value)
    }

    fn see(&mut self, seen: Seen) -> bool {
        let before = (self.latest.len(), self.oldest);
        if before.0 == 0 || seen.pane < self.oldest {
            self.oldest = seen.pane;
        }
        self.latest.see(seen);
        (self.latest.len(), self.oldest) != before
    }

    /// How many distinct values the window holds.
    pub fn count(&self) -> i64 {
        self.latest.len() as i64
    }

    /// When the count may change next without a new event (never later than it does).
    pub fn next_change(&self, window: Window) -> EventTime {
        let leaves = if self.latest.len() == 0 {
            EventTime::MAX
        } else {
            window.pane_start(i64::from(self.oldest) + window.panes)
        };
        let begins = self.ahead.iter().map(|seen| window.pane_start(i64::from(seen.pane))).min();
        leaves.min(begins.unwrap_or(EventTime::MAX))
    }

    /// Reads what the next event will read first.
    pub fn warm_up(&self) {
        match &self.latest {
            Latest::Few(all) => {
                const PER_CACHE_LINE: usize = 5;
                for seen in all.iter().step_by(PER_CACHE_LINE) {
                    black_box(seen.pane);
                }
            }
            // Where it will look is not known yet, and an account with many users is warm anyway.
            Latest::Many(all) => {
                black_box(all.len());
            }
        }
    }
}

/// A value and a pane it was seen in. Packed: accounts are made of these.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, packed(4))]
struct Seen {
    value: u64,
    pane: i32,
}

impl Seen {
    fn keep(&self) -> ([u8; 8], i32) {
        ({ self.value }.to_le_bytes(), self.pane)
    }
}

/// The latest pane of each value.
#[derive(Clone, Debug)]
enum Latest {
    /// At most [`FEW_MAX`], in no order.
    Few(Vec<Seen>),
    /// It has been more once.
    Many(Box<HashMap<u64, i32, PlainHash>>),
}

impl Default for Latest {
    fn default() -> Self {
        Latest::Few(Vec::new())
    }
}

impl Latest {
    fn len(&self) -> usize {
        match self {
            Latest::Few(all) => all.len(),
            Latest::Many(all) => all.len(),
        }
    }

    fn knows(&self, value: u64) -> bool {
        match self {
            Latest::Few(all) => all.iter().any(|known| known.value == value),
            Latest::Many(all) => all.contains_key(&value),
        }
    }

    fn see(&mut self, seen: Seen) {
        match self {
            Latest::Few(all) => match all.iter().position(|known| known.value == seen.value) {
                Some(known) => all[known].pane = seen.pane.max(all[known].pane),
                None if all.len() < FEW_MAX => {
                    if all.len() == all.capacity() {
                        all.reserve_exact(GROWTH);
                    }
                    all.push(seen);
                }
                None => {
                    let all = all.iter().chain([&seen]).map(|seen| (seen.value, seen.pane));
                    *self = Latest::Many(Box::new(all.collect()));
                }
            },
            Latest::Many(all) => {
                let latest = all.entry(seen.value).or_insert(seen.pane);
                *latest = seen.pane.max(*latest);
            }
        }
    }

    /// Drops values not seen since the pane `first`; returns the oldest pane left, `MAX` if none is.
    fn retain_from(&mut self, first: i32) -> i32 {
        let oldest = match self {
            Latest::Few(all) => {
                all.retain(|seen| seen.pane >= first);
                all.iter().map(|seen| seen.pane).min()
            }
            Latest::Many(all) => {
                all.retain(|_, pane| *pane >= first);
                all.values().copied().min()
            }
        };
        oldest.unwrap_or(i32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::time::Span;

    const WINDOW: Window = Window { pane: Span::DAY, panes: 2 };

    fn day(day: i64) -> EventTime {
        EventTime::from_millis(0) + Span::days(day)
    }

    #[test]
    fn a_value_leaves_with_its_latest_pane() {
        let mut users = DistinctPanes::default();
        users.advance(WINDOW, day(10));
        for (at, user) in [(10, 1), (9, 1), (9, 2), (8, 3)] {
            users.add(WINDOW, day(at), user);
        }
        assert_eq!((users.count(), users.next_change(WINDOW)), (2, day(11)));
        users.advance(WINDOW, day(11));
        assert_eq!((users.count(), users.next_change(WINDOW)), (1, day(12)));
    }

    #[test]
    fn a_value_seen_ahead_of_time_still_counts_now_for_what_it_did_before() {
        let mut users = DistinctPanes::default();
        users.advance(WINDOW, day(10));
        users.add(WINDOW, day(10), 1);
        users.add(WINDOW, day(11), 1);
        users.add(WINDOW, day(11), 2);
        assert_eq!((users.count(), users.next_change(WINDOW)), (1, day(11)));
        users.advance(WINDOW, day(11));
        // Nobody leaves before day 13; asking a day early is allowed, and costs one look.
        assert_eq!((users.count(), users.next_change(WINDOW)), (2, day(12)));
    }

    #[test]
    fn many_values_are_told_apart_as_few_are() {
        let mut users = DistinctPanes::default();
        users.advance(WINDOW, day(10));
        for user in 0..100 {
            users.add(WINDOW, day(9), user);
            users.add(WINDOW, day(9 + i64::from(user % 2 == 0)), user);
        }
        assert_eq!(users.count(), 100);
        users.advance(WINDOW, day(11));
        assert_eq!((users.count(), users.next_change(WINDOW)), (50, day(12)));
    }
}
