//! What is kept of verdicts over a restart: plain data, in the order in which it is written.
//!
//! These shapes are version 1 of the format (`engine/snapshot.rs`): a field is never moved or
//! dropped, whatever the machines themselves come to look like. Bands are kept by name, since
//! another scorecard may have other ones.

use serde::{Deserialize, Serialize};

use crate::engine::event::{Claim, ClaimedBand, Override};
use crate::engine::time::EventTime;

/// What cannot have been written by this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadVerdict(pub &'static str);

/// See [`super::BandState`]; `None` for a band is `unknown`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptBand<'a> {
    #[serde(borrow)]
    pub(super) current: Option<&'a str>,
    /// Nothing before the first change.
    #[serde(borrow)]
    pub(super) previous: Option<Option<&'a str>>,
    pub(super) since: Option<i64>,
    pub(super) changed_at_score: Option<f64>,
    /// Direction (0 worse, 1 better, 2 unknown) and since when.
    pub(super) pending: Option<(u8, i64)>,
}

/// See [`super::Published`]; in the order of the card it was published by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptPublished {
    pub(super) score: Option<f64>,
    pub(super) values_and_points: Vec<f64>,
}

/// See [`super::AlertBook`]; rules by their ids, since another scorecard may have other ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptAlerts<'a> {
    pub(super) score: Option<f64>,
    pub(super) score_since: Option<i64>,
    /// Ends of hours and scores.
    pub(super) samples: Vec<(i64, f64)>,
    #[serde(borrow)]
    pub(super) covered: Vec<&'a str>,
    #[serde(borrow)]
    pub(super) rules: Vec<(&'a str, KeptRule)>,
}

/// Where one rule stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptRule {
    pub(super) held_since: [Option<i64>; 3],
    pub(super) episode: Option<KeptEpisode>,
    pub(super) fired_at: Option<i64>,
    pub(super) samples_after: Option<i64>,
    pub(super) in_band_since: Option<i64>,
}

/// An alert while it fires.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptEpisode {
    pub(super) since: i64,
    pub(super) level: u8,
    pub(super) sequence: Option<u64>,
    pub(super) low: f64,
    pub(super) low_at: i64,
    pub(super) muted: bool,
    pub(super) feedback: Option<u8>,
}

/// See [`Override`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptOverride<'a> {
    at: i64,
    event_id: &'a str,
    author: &'a str,
    reason: &'a str,
    /// The band's name or a score in thousandths, and until when; nothing for a withdrawal.
    #[serde(borrow)]
    claim: Option<(Option<&'a str>, Option<i64>, i64)>,
}

impl<'a> KeptOverride<'a> {
    /// What is kept of it.
    pub fn new(said: &'a Override) -> KeptOverride<'a> {
        let claim = |claim: &'a Claim| {
            let until = claim.expires_at.as_millis();
            match &claim.band {
                ClaimedBand::Name(name) => (Some(name.as_str()), None, until),
                ClaimedBand::ScoreMilli(milli) => (None, Some(*milli), until),
            }
        };
        KeptOverride {
            at: said.at.as_millis(),
            event_id: &said.event_id,
            author: &said.author,
            reason: &said.reason,
            claim: said.claim.as_ref().map(claim),
        }
    }

    /// It again.
    ///
    /// # Errors
    /// When it claims no band.
    pub fn restore(&self) -> Result<Override, BadVerdict> {
        let claim = |(name, score_milli, until): (Option<&str>, Option<i64>, i64)| {
            let band = match (name, score_milli) {
                (Some(name), None) => ClaimedBand::Name(name.to_owned()),
                (None, Some(milli)) => ClaimedBand::ScoreMilli(milli),
                _ => return Err(BadVerdict("an override of no band")),
            };
            Ok(Claim { band, expires_at: EventTime::from_millis(until) })
        };
        Ok(Override {
            at: EventTime::from_millis(self.at),
            event_id: self.event_id.to_owned(),
            author: self.author.to_owned(),
            reason: self.reason.to_owned(),
            claim: self.claim.map(claim).transpose()?,
        })
    }
}
