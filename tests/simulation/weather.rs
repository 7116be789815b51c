//! What goes wrong, how often, and how often it did.

use std::collections::BTreeMap;
use std::fmt;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Where a worker's call to its broker is when something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Poll,
    Committed,
    Watermarks,
    ChangelogOpen,
    ChangelogRead,
    Accept,
    Release,
    Init,
    Begin,
    /// After so and so many records of the transaction.
    Send,
    /// All records are acknowledged.
    Drained,
    /// The offsets are in the transaction.
    Offsets,
    /// The coordinator has decided, and its answer is under way.
    Decided,
    /// The answer is there.
    Answered,
    Abort,
}

impl Step {
    /// The steps of a commit, at each of which a process has to have died.
    pub const OF_A_COMMIT: [Step; 6] =
        [Step::Begin, Step::Send, Step::Drained, Step::Offsets, Step::Decided, Step::Answered];
}

/// How often things go wrong in one seed: chances in a million, at each call or each look of the
/// world (ten a second).
#[derive(Clone, Debug)]
pub struct Weather {
    /// At each step of a call.
    pub crash: u32,
    pub pause: u32,
    pub delay: u32,
    /// At each call that can.
    pub error: u32,
    /// At each look.
    pub kill: u32,
    pub stop: u32,
    pub freeze: u32,
    pub cut_off: u32,
    pub brokers_away: u32,
    pub rebalance: u32,
    pub newcomer: u32,
    pub compaction: u32,
    pub retention: u32,
}

impl Weather {
    /// Each seed has troubles of its own: a world in which everything goes wrong all the time gets
    /// nowhere, and finds little.
    pub fn of(dice: &mut ChaCha8Rng) -> Weather {
        let mut one_of = |rates: [u32; 4]| rates[dice.random_range(0..4)];
        Weather {
            crash: one_of([0, 1_000, 4_000, 10_000]),
            pause: one_of([0, 0, 1_000, 4_000]),
            delay: one_of([0, 20_000, 50_000, 150_000]),
            error: one_of([0, 10_000, 50_000, 200_000]),
            kill: one_of([0, 0, 4_000, 15_000]),
            stop: one_of([0, 0, 4_000, 10_000]),
            freeze: one_of([0, 0, 4_000, 10_000]),
            cut_off: one_of([0, 0, 4_000, 10_000]),
            brokers_away: one_of([0, 0, 3_000, 8_000]),
            rebalance: one_of([0, 3_000, 10_000, 40_000]),
            newcomer: one_of([0, 3_000, 10_000, 20_000]),
            compaction: one_of([0, 5_000, 20_000, 60_000]),
            retention: one_of([0, 5_000, 20_000, 60_000]),
        }
    }
}

/// What happened, by name.
#[derive(Clone, Debug, Default)]
pub struct Counts(pub BTreeMap<String, u64>);

impl Counts {
    pub fn add(&mut self, what: impl Into<String>) {
        self.add_many(what, 1);
    }

    pub fn add_many(&mut self, what: impl Into<String>, count: u64) {
        *self.0.entry(what.into()).or_default() += count;
    }

    pub fn merge(&mut self, other: &Counts) {
        for (what, count) in &other.0 {
            self.add_many(what, *count);
        }
    }

    pub fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, count) in &self.0 {
            writeln!(f, "{count:>10}  {what}")?;
        }
        Ok(())
    }
}
