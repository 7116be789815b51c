//! What is kept of verdicts over a restart: plain data, in the order in which it is written.
//!
//! These shapes are version 1 of the format (`engine/snapshot.rs`): a field is never moved or
//! dropped, whatever the machines themselves come to look like. Bands are kept by name, since
//! another scorecard may have other ones.

use serde::{Deserialize, Serialize};

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
