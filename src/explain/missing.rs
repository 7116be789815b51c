//! Measures without data, and who got their weight.

use super::{Subject, points};
use crate::engine::score::MeasureStatus;
use crate::engine::scorecard::TOLERANCE;

/// A measure without data.
#[derive(Clone, Debug, PartialEq)]
pub struct Gap {
    /// Its position in the card.
    pub measure: usize,
    /// `Missing` or `Stale`.
    pub status: MeasureStatus,
    /// The sub-score it counts as, where its weight is not redistributed.
    pub counts_as: Option<f64>,
    /// The share of the score it would have with data, all else as it is; 0 where it is only
    /// watched.
    pub share: f64,
    /// Which measures have how much more because it has none, largest first. Under `signed` weights
    /// go nowhere and this is empty.
    pub went_to: Vec<(usize, f64)>,
}

/// Every measure without data, in the card's order.
pub fn gaps(subject: &Subject<'_>) -> Vec<Gap> {
    let now = subject.snapshot.breakdown();
    let measures = subject.card.measures().zip(&subject.snapshot.measures).enumerate();
    measures
        .filter(|(_, (_, score))| score.status() != MeasureStatus::Ok)
        .map(|(measure, (rule, score))| {
            let any_value = points(&rule.curve).first().map_or(0.0, |(value, _)| *value);
            let with = subject.breakdown_with(measure, any_value);
            let gains = now.measures.iter().zip(&with.measures).enumerate();
            let mut went_to: Vec<(usize, f64)> = gains
                .map(|(other, (now, with))| (other, now.weight - with.weight))
                .filter(|(_, gain)| *gain > TOLERANCE)
                .collect();
            went_to.sort_by(|a, b| b.1.total_cmp(&a.1));
            Gap {
                measure,
                status: score.status(),
                counts_as: score.sub_score(),
                share: with.measures[measure].weight,
                went_to,
            }
        })
        .collect()
}
