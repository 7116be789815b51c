//! What a card publishes over a history, counted: band changes, those taken back, alerts; and the
//! rates that are made of the counts.

use std::collections::HashMap;

use compact_str::CompactString;
use serde::Serialize;

use crate::engine::time::{EventTime, Span};
use crate::engine::verdict::{AlertChange, Decision, Verdict};

/// A change of band that is taken back within this time is a flap.
pub const FLAP_WITHIN: Span = Span::days(14);
/// What "a month" is in rates.
pub const MONTH: Span = Span::days(30);

/// What one card would have published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All changes of band, from and to `unknown` too.
    pub band_changes: u64,
    /// Those from one band of the card to another.
    pub between_bands: u64,
    /// Those of them that the account's next change took back within [`FLAP_WITHIN`].
    pub reversed: u64,
    /// Alerts that fired.
    pub alerts_fired: u64,
    /// Records that said of a firing alert that it became worse.
    pub alerts_escalated: u64,
    /// Alerts that ended.
    pub alerts_resolved: u64,
}

impl Counts {
    /// Share of the changes between bands that were taken back within [`FLAP_WITHIN`].
    pub fn flap_rate(&self) -> Option<f64> {
        share(self.reversed, self.between_bands)
    }
}

/// `part` of `all`; `None` of nothing.
pub fn share(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| part as f64 / all as f64)
}

/// The time in which verdicts were counted.
#[derive(Clone, Copy, Debug)]
pub struct Watched {
    /// From the first record to the end.
    pub span: Span,
    /// Sum over the accounts of the time in which each was watched, in [`MONTH`]s.
    pub account_months: f64,
}

/// The shortest history that rates are made of. Use has a weekly rhythm, and every account's first
/// band comes with its first records: a part of a week, taken for a month, would be made of those.
const RATES_SPAN_MIN: Span = Span::days(7);
/// The same for all accounts together: in less, one record by chance is more than one a month.
const RATES_ACCOUNT_MONTHS_MIN: f64 = 1.0;

/// What tables say where there is no rate.
pub const WHY_NO_RATES: &str =
    "no rate a month: that takes at least 7 days of history and one account-month";

impl Watched {
    /// So many in this time, per 100 accounts a month; `None` where the time is too short to tell.
    pub fn per_100_accounts_month(self, count: u64) -> Option<f64> {
        self.has_rates().then(|| 100.0 * count as f64 / self.account_months)
    }

    fn has_rates(self) -> bool {
        self.span >= RATES_SPAN_MIN && self.account_months >= RATES_ACCOUNT_MONTHS_MIN
    }
}

/// Counts verdicts in the order in which they were taken.
#[derive(Debug, Default)]
pub struct Tally {
    counts: Counts,
    /// Each account's last change from one band to another, to see it taken back.
    last_changes: HashMap<CompactString, LastChange>,
}

#[derive(Clone, Copy, Debug)]
struct LastChange {
    from: usize,
    at: EventTime,
}

impl Tally {
    /// The counts so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Counts one more.
    pub fn take(&mut self, verdict: &Verdict) {
        match verdict.decision {
            Decision::BandChange { from, to } => self.count_band_change(verdict, from, to),
            Decision::Alert(step) => match step.change {
                AlertChange::Fired => self.counts.alerts_fired += 1,
                AlertChange::Escalated { .. } => self.counts.alerts_escalated += 1,
                AlertChange::Resolved { .. } => self.counts.alerts_resolved += 1,
            },
        }
    }

    fn count_band_change(&mut self, verdict: &Verdict, from: Option<usize>, to: Option<usize>) {
        self.counts.band_changes += 1;
        let (Some(from), Some(to)) = (from, to) else {
            // What a band was before nothing was known says nothing about flapping.
            self.last_changes.remove(&verdict.account_id);
            return;
        };
        self.counts.between_bands += 1;
        let change = LastChange { from, at: verdict.at };
        let before = self.last_changes.insert(verdict.account_id.clone(), change);
        if before.is_some_and(|last| last.from == to && verdict.at.since(last.at) <= FLAP_WITHIN) {
            self.counts.reversed += 1;
        }
    }
}
