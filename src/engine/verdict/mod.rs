//! Decisions: from a score to band changes and alerts, with their reasons.

mod alert;
mod band;
mod kept;
mod reason;

use std::sync::Arc;

use compact_str::CompactString;

pub use self::alert::{AlertBook, AlertChange, AlertStanding, AlertStep, Evidence, Moment};
pub use self::band::{BandState, BandStep};
pub use self::kept::{BadVerdict, KeptAlerts, KeptBand, KeptOverride, KeptPublished};
pub use self::reason::{Movement, Part, Published};
use super::event::Override;
use super::outage::Degraded;
use super::scorecard::{Scorecard, UNKNOWN_BAND};
use super::time::EventTime;

/// One decision about one account, in the order in which they were taken.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The account.
    pub account_id: CompactString,
    /// Task time at which the account began, where that is known: one that was forgotten and comes again
    /// counts anew, and its ids are others.
    pub beginning: Option<EventTime>,
    /// The account's own count of verdicts, from 1: what makes ids repeatable.
    pub sequence: u64,
    /// Task time of the decision.
    pub at: EventTime,
    /// The rules it was taken by.
    pub card: Arc<Scorecard>,
    /// What was decided.
    pub decision: Decision,
    /// Whose doing it is.
    pub cause: Cause,
    /// The name of the band left, where it is a band of other rules.
    pub left: Option<CompactString>,
    /// The override that begins or ends.
    pub overridden: Option<Arc<Override>>,
    /// The score; `None` where there is none.
    pub score: Option<f64>,
    /// The published band, this decision included; `None` is `unknown`.
    pub band: Option<usize>,
    /// The part of that band that holds the account, if it has parts.
    pub sub_band: Option<usize>,
    /// The score in the verdicts published last. Those of one moment share it, and the movements.
    pub previous_score: Option<f64>,
    /// Share of weight backed by data, 0..=1.
    pub coverage: f64,
    /// Sources whose outage holds the account's clock.
    pub degraded: Degraded,
    /// What moved since the last published verdict, first what moved the score most in the direction it went. The points sum to the change of
    /// the score (from 0 where there was none).
    pub movements: Vec<Movement>,
    /// The account's display name, if its profile says one.
    pub name: Option<String>,
    /// Who looks after the account: by its profile, else by the scorecard.
    pub owner: Option<String>,
}

/// Whose doing a decision is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cause {
    /// The account's: its score moved, or time passed.
    #[default]
    Score,
    /// The rules': the account is judged by others than before.
    Rules,
    /// Somebody's who said what the band is.
    Override,
    /// It is over what somebody said.
    OverrideEnded,
    /// The account is idle and forgotten.
    Forgotten,
}

impl Cause {
    /// The name records give it.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Score => "score",
            Cause::Rules => "rules",
            Cause::Override => "override",
            Cause::OverrideEnded => "override_ended",
            Cause::Forgotten => "forgotten",
        }
    }
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decision {
    /// The account left one band for another; positions in the card, `None` is `unknown`.
    BandChange {
        /// The band left.
        from: Option<usize>,
        /// The band entered.
        to: Option<usize>,
    },
    /// An alert fired, became worse or was resolved.
    Alert(AlertStep),
}

/// A band's name; `None` is `unknown`.
pub fn band_name(card: &Scorecard, band: Option<usize>) -> &str {
    band.map_or(UNKNOWN_BAND, |band| &card.bands[band].name)
}
