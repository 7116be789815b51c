//! Distinct users or features in a window, exactly: for each the latest pane it was seen in.
//!
//! Values are known by their 64-bit hash. Two of an account's values share one with a probability
//! of about one in 10^9 at 100,000 users, and then count as one.

use hashbrown::HashMap;

use super::PlainHash;
use crate::engine::scorecard::Window;
use crate::engine::time::EventTime;

/// The values seen in a window.
#[derive(Clone, Debug, Default)]
pub struct DistinctPanes {
    /// Latest begun pane of each value; none that has left the window at `current`.
    latest: HashMap<u64, i32, PlainHash>,
    /// Values seen in panes that have not begun, with the pane.
    ahead: Vec<(i32, u64)>,
    /// At or before the oldest pane in `latest`; exact after each advance.
    oldest: i32,
    current: i32,
}

impl DistinctPanes {
    /// Moves "now" forward: values leave, panes begin.
    pub fn advance(&mut self, window: Window, now: EventTime) {
        let current = now.pane_near(self.current, window.pane);
        if current == self.current {
            return;
        }
        self.current = current;
        let mut waiting = std::mem::take(&mut self.ahead);
        waiting.retain(|(pane, value)| {
            if *pane <= current {
                self.see(*pane, *value);
            }
            *pane > current
        });
        self.ahead = waiting;
        let first = current - window.panes as i32 + 1;
        if self.oldest < first {
            self.latest.retain(|_, pane| *pane >= first);
            self.oldest = self.latest.values().copied().min().unwrap_or(i32::MAX);
        }
    }

    /// Sees a value in the pane of `at`; `false` if that pane has left. Call `advance` first.
    pub fn add(&mut self, window: Window, at: EventTime, value: u64) -> bool {
        let pane = at.pane_near(self.current, window.pane);
        if pane > self.current {
            if !self.ahead.contains(&(pane, value)) {
                self.ahead.push((pane, value));
            }
            return true;
        }
        if pane <= self.current - window.panes as i32 {
            return false;
        }
        self.see(pane, value);
        true
    }

    fn see(&mut self, pane: i32, value: u64) {
        if self.latest.is_empty() || pane < self.oldest {
            self.oldest = pane;
        }
        let latest = self.latest.entry(value).or_insert(pane);
        *latest = pane.max(*latest);
    }

    /// How many distinct values the window holds.
    pub fn count(&self) -> i64 {
        self.latest.len() as i64
    }

    /// When the count may change next without a new event (never later than it does).
    pub fn next_change(&self, window: Window) -> EventTime {
        let leaves = if self.latest.is_empty() {
            EventTime::MAX
        } else {
            window.pane_start(i64::from(self.oldest) + window.panes)
        };
        let begins = self.ahead.iter().map(|(pane, _)| window.pane_start(i64::from(*pane))).min();
        leaves.min(begins.unwrap_or(EventTime::MAX))
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
}
