//! Decisions: from a score to a band change, with its reasons.

mod band;
mod kept;
mod reason;

use std::sync::Arc;

use compact_str::CompactString;

pub use self::band::{BandState, BandStep};
pub use self::kept::{BadVerdict, KeptBand, KeptPublished};
pub use self::reason::{Movement, Part, Published};
use super::scorecard::Scorecard;
use super::time::EventTime;

/// One decision about one account, in the order in which they were taken.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The account.
    pub account_id: CompactString,
    /// The account's own count of verdicts, from 1: what makes ids repeatable.
    pub sequence: u64,
    /// Task time of the decision.
    pub at: EventTime,
    /// The rules it was taken by.
    pub card: Arc<Scorecard>,
    /// What was decided.
    pub decision: Decision,
    /// The score; `None` where there is none.
    pub score: Option<f64>,
    /// The score in the last published verdict.
    pub previous_score: Option<f64>,
    /// Share of weight backed by data, 0..=1.
    pub coverage: f64,
    /// What moved since the last published verdict, first what moved the score most in the direction it went. The points sum to the change of
    /// the score (from 0 where there was none).
    pub movements: Vec<Movement>,
    /// The account's display name, if its profile says one.
    pub name: Option<String>,
    /// Who looks after the account, if its profile says so.
    pub owner: Option<String>,
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The account left one band for another; positions in the card, `None` is `unknown`.
    BandChange {
        /// The band left.
        from: Option<usize>,
        /// The band entered.
        to: Option<usize>,
    },
}

/// A band's name; `None` is `unknown`.
pub fn band_name(card: &Scorecard, band: Option<usize>) -> &str {
    band.map_or(UNKNOWN_BAND, |band| &card.bands[band].name)
}

/// The name of the band of accounts that have no score.
pub const UNKNOWN_BAND: &str = "unknown";
