//! Alert rules: what they look at, how bad it is, and how long it must have been so.

use serde::Serialize;

use super::{Comparison, Condition};
use crate::engine::time::Span;

/// Most alert rules a card may have: an account keeps a bit of each in one word.
pub const ALERT_RULES_MAX: usize = 64;

/// How bad an alert is, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth acting on soon.
    Warning,
    /// Worth acting on now.
    Critical,
}

impl Severity {
    /// Every severity with the name scorecards and records give it, mildest first.
    pub const NAMES: [(&'static str, Severity); 3] = [
        ("info", Severity::Info),
        ("warning", Severity::Warning),
        ("critical", Severity::Critical),
    ];

    /// The name scorecards and records give it.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }
}

/// One alert rule of a scorecard (domain page, section 6).
#[derive(Clone, Debug, PartialEq)]
pub struct AlertRule {
    /// Its name in records, reports and tests; unique in the card, at most
    /// [`ALERT_RULES_MAX`] of them.
    pub id: String,
    /// What it looks at. Every list of numbers in it has one for each of `severities`.
    pub kind: AlertKind,
    /// One, or one for each level, mildest first.
    pub severities: Vec<Severity>,
    /// What to do about it.
    pub action: Option<String>,
    /// Which accounts it is for (`where`): a condition on profile fields.
    pub only: Option<Condition>,
    /// How long the condition must have held before it fires.
    pub hold: Span,
    /// How long after firing it may not fire again.
    pub cooldown: Span,
}

/// What a rule looks at. Where there are several numbers, each is a level, mildest first.
#[derive(Clone, Debug, PartialEq)]
pub enum AlertKind {
    /// The score lies below its highest of a sliding window.
    ScoreDrop {
        /// By at least this many points.
        points: Vec<f64>,
        /// The window.
        within: Span,
        /// Only while the score is at or below this.
        at_most: Option<f64>,
    },
    /// The published band is one of these (positions in the card).
    BandEntered {
        /// At least one.
        bands: Vec<usize>,
    },
    /// A measure compares so with a number; false while it is missing.
    Measure {
        /// Position among the card's measures.
        measure: usize,
        /// Any but `Equals`.
        comparison: Comparison,
        /// With what.
        values: Vec<f64>,
    },
    /// No usage for this long, after there was some.
    Silence {
        /// How long.
        lasting: Vec<Span>,
    },
    /// The renewal comes within a time while the band is one of these.
    RenewalAtRisk {
        /// The time before the renewal.
        within: Vec<Span>,
        /// At least one.
        bands: Vec<usize>,
    },
    /// The band has been one of these for a time, and a measure says that the account grows.
    Opportunity {
        /// At least one.
        bands: Vec<usize>,
        /// For how long.
        lasting: Span,
        /// Position of the measure among the card's measures.
        measure: usize,
        /// How it compares when the account grows.
        comparison: Comparison,
        /// With what.
        value: f64,
    },
    /// The share of weight that is backed by data fell below a number.
    Coverage {
        /// Below what, 0..=1.
        below: Vec<f64>,
    },
}

impl AlertKind {
    /// The keys that say what a rule looks at, one to a rule.
    pub const KEYS: [&'static str; 7] = [
        "score_drop",
        "band_entered",
        "measure",
        "silence",
        "renewal_at_risk",
        "opportunity",
        "coverage",
    ];

    /// The key that scorecards give it, which is also its name in records.
    pub fn name(&self) -> &'static str {
        match self {
            AlertKind::ScoreDrop { .. } => "score_drop",
            AlertKind::BandEntered { .. } => "band_entered",
            AlertKind::Measure { .. } => "measure",
            AlertKind::Silence { .. } => "silence",
            AlertKind::RenewalAtRisk { .. } => "renewal_at_risk",
            AlertKind::Opportunity { .. } => "opportunity",
            AlertKind::Coverage { .. } => "coverage",
        }
    }

    /// Whether it warns of a loss: then it waits while the account has no score.
    pub fn is_risk(&self) -> bool {
        !matches!(self, AlertKind::Opportunity { .. } | AlertKind::Coverage { .. })
    }

    /// The measure it looks at, and the largest number it is compared with.
    pub fn measure(&self) -> Option<(usize, f64)> {
        match self {
            AlertKind::Measure { measure, values, .. } => {
                Some((*measure, values.iter().copied().fold(f64::MIN, f64::max)))
            }
            AlertKind::Opportunity { measure, value, .. } => Some((*measure, *value)),
            AlertKind::ScoreDrop { .. }
            | AlertKind::BandEntered { .. }
            | AlertKind::Silence { .. }
            | AlertKind::RenewalAtRisk { .. }
            | AlertKind::Coverage { .. } => None,
        }
    }
}
