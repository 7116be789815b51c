//! The outage guard of one source (section 6): what an hour should bring, what it brought, and
//! whether that is an outage. Leaves out what standing still means for a score (`clock.rs`).

use std::collections::{BTreeMap, VecDeque};

use super::event::{DAY_MS, HOUR_MS};
use super::score::TOLERANCE;

const WEEK_HOURS: i64 = 168;
/// So many of the last weeks are learnt from.
const WEEKS: usize = 4;
const LEARNING_MS: i64 = 14 * DAY_MS;
const TRAIL_HOURS: usize = 24;
const EXPECTED_MIN: f64 = 30.0;

#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// The hour of the first event begins here.
    learning_since: Option<i64>,
    /// In the hour that runs.
    came: i64,
    /// The last counts of each hour of the week, oldest first.
    learnt: BTreeMap<i64, VecDeque<i64>>,
    /// (expected, came) of the last hours since a clearing, oldest first.
    trail: VecDeque<(f64, i64)>,
    pub state: State,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub enum State {
    #[default]
    Calm,
    /// It is out since `since`.
    Tripped { since: i64 },
    /// Events come again; until the thaw the clock still stands.
    Cleared { since: i64, thaw_at: i64 },
}

/// What an hour's end made known.
#[derive(Clone, Debug, PartialEq)]
pub enum Turn {
    Tripped { since: i64, expected: f64, came: i64 },
    Cleared { since: i64, expected: f64, came: i64 },
}

impl Watch {
    /// An event was accepted at task time `now`.
    pub fn count(&mut self, now: i64) {
        self.learning_since.get_or_insert(now.div_euclid(HOUR_MS) * HOUR_MS);
        self.came += 1;
    }

    /// Whether the clock goes on at `end`; then this is where the outage began.
    pub fn thaw(&mut self, end: i64) -> Option<i64> {
        let State::Cleared { since, thaw_at } = self.state else { return None };
        (end == thaw_at).then(|| {
            self.state = State::Calm;
            since
        })
    }

    /// Takes the hour that ends at `end`. It may trip and clear at once.
    pub fn hour_ends(&mut self, end: i64) -> Vec<Turn> {
        let came = std::mem::take(&mut self.came);
        let Some(learning_since) = self.learning_since else { return Vec::new() };
        let hour_of_week = (end / HOUR_MS - 1).rem_euclid(WEEK_HOURS);
        let learnt = self.learnt.entry(hour_of_week).or_default();
        let expected = match learnt.len() {
            0 => 0.0,
            weeks => learnt.iter().sum::<i64>() as f64 / weeks as f64,
        };
        self.trail.push_back((expected, came));
        if self.trail.len() > TRAIL_HOURS {
            self.trail.pop_front();
        }
        let mut turns = Vec::new();
        if self.state == State::Calm && end >= learning_since + LEARNING_MS {
            turns.extend(self.trip(end));
        }
        if let State::Tripped { since } = self.state
            && expected > 0.0
            && came as f64 >= 0.5 * expected - TOLERANCE
        {
            self.state = State::Cleared { since, thaw_at: end + HOUR_MS };
            self.trail.clear();
            turns.push(Turn::Cleared { since, expected, came });
        }
        if !matches!(self.state, State::Tripped { .. }) {
            let learnt = self.learnt.entry(hour_of_week).or_default();
            learnt.push_back(came);
            if learnt.len() > WEEKS {
                learnt.pop_front();
            }
        }
        turns
    }

    /// Over the fewest hours that show it.
    fn trip(&mut self, end: i64) -> Option<Turn> {
        for hours in 1..=self.trail.len() {
            let last = || self.trail.iter().rev().take(hours);
            let expected: f64 = last().map(|(expected, _)| expected).sum();
            let came: i64 = last().map(|(_, came)| came).sum();
            if expected >= EXPECTED_MIN - TOLERANCE && came as f64 <= 0.1 * expected + TOLERANCE {
                let since = end - hours as i64 * HOUR_MS;
                self.state = State::Tripped { since };
                return Some(Turn::Tripped { since, expected, came });
            }
        }
        None
    }
}
