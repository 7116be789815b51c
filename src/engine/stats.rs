//! What an engine has seen and decided, in numbers.

use std::sync::Arc;

use super::rules::Rules;
use super::scorecard::Scorecard;
use super::verdict::{AlertChange, AlertStep};

/// What the engine has seen, in counts that only grow unless they say otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Events that counted, by `Source as usize`.
    pub counted: [u64; 5],
    /// Events known already.
    pub duplicates: [u64; 5],
    /// Events too old for every window.
    pub late_dropped: [u64; 5],
    /// Sources whose clock stands still now, by `Source as usize`.
    pub out: [bool; 5],
    /// Events with a user or feature for which a window had no room.
    pub left_out: u64,
    /// Accounts forgotten because they were idle.
    pub forgotten: u64,
    /// Overrides that had no effect: over already, older than another, or of an unknown band.
    pub overrides_ignored: u64,
    /// Feedback on no alert that fires.
    pub feedback_on_none: [u64; 4],
    /// By card of the rules in force; they begin anew when the rules change.
    pub cards: Vec<CardStats>,
}

/// What has come of one card's rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CardStats {
    /// Accounts in each band of the card now, `unknown` last.
    pub accounts_by_band: Vec<u64>,
    /// Published band changes, by (from, to) as positions in `accounts_by_band`.
    pub transitions: Vec<((usize, usize), u64)>,
    /// By the card's alert rules.
    pub alerts: Vec<AlertStats>,
}

/// What one alert rule has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlertStats {
    /// Episodes begun and published.
    pub fired: u64,
    /// Episodes that became worse.
    pub escalated: u64,
    /// Episodes ended and published.
    pub resolved: u64,
    /// What people said of its alerts, by `FeedbackKind as usize`.
    pub feedback: [u64; 4],
    /// Accounts for which it fires now, published or not.
    pub firing: u64,
}

/// No account judged by any card yet.
pub(super) fn no_card_stats(rules: &Rules) -> Vec<CardStats> {
    let none = |card: &Arc<Scorecard>| CardStats {
        accounts_by_band: vec![0; card.bands.len() + 1],
        transitions: Vec::new(),
        alerts: vec![AlertStats::default(); card.alerts.len()],
    };
    rules.cards().map(none).collect()
}

impl Stats {
    /// Drops the counts of what is so now, and keeps those that only grow.
    pub fn forget_what_is_now(&mut self) {
        self.out = [false; 5];
        for card in &mut self.cards {
            card.accounts_by_band.clear();
            card.alerts.iter_mut().for_each(|alert| alert.firing = 0);
        }
    }
}

impl CardStats {
    /// A band's position in `accounts_by_band`.
    pub(super) fn place(&self, band: Option<usize>) -> usize {
        band.unwrap_or(self.accounts_by_band.len() - 1)
    }

    /// An account of this band, with the rules that fire for it as a set of bits.
    pub(super) fn note_account(&mut self, band: Option<usize>, firing: u64) {
        let place = self.place(band);
        self.accounts_by_band[place] += 1;
        self.note_firing(0, firing);
    }

    /// It is gone to another card.
    pub(super) fn drop_account(&mut self, band: Option<usize>, firing: u64) {
        let place = self.place(band);
        self.accounts_by_band[place] -= 1;
        self.note_firing(firing, 0);
    }

    pub(super) fn note_band_change(
        &mut self,
        from: Option<usize>,
        to: Option<usize>,
        silent: bool,
    ) {
        let key = (self.place(from), self.place(to));
        self.accounts_by_band[key.0] -= 1;
        self.accounts_by_band[key.1] += 1;
        if silent {
            return;
        }
        match self.transitions.iter_mut().find(|(known, _)| *known == key) {
            Some((_, count)) => *count += 1,
            None => self.transitions.push((key, 1)),
        }
    }

    pub(super) fn note_alert(&mut self, step: &AlertStep) {
        let stats = &mut self.alerts[step.rule];
        match step.change {
            AlertChange::Fired => stats.fired += 1,
            AlertChange::Escalated { .. } => stats.escalated += 1,
            AlertChange::Resolved { .. } => stats.resolved += 1,
        }
    }

    /// Keeps count of the rules that fire, each a bit of a set.
    pub(super) fn note_firing(&mut self, before: u64, after: u64) {
        let mut changed = before ^ after;
        while changed != 0 {
            let rule = changed.trailing_zeros() as usize;
            changed &= changed - 1;
            if after & (1 << rule) != 0 {
                self.alerts[rule].firing += 1;
            } else {
                self.alerts[rule].firing -= 1;
            }
        }
    }
}
