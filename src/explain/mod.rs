//! One account for people: what its score is made of, what moved it, what is missing, and what would
//! lift its band.
//!
//! Nothing is reckoned here: every number comes out of the code that scores, given the same snapshot
//! or one with a single measure changed.

mod lift;
mod missing;
#[cfg(test)]
mod tests;
mod text;

pub use lift::{Lift, lifts};
pub use missing::{Gap, gaps};
pub use text::text;

use crate::engine::aggregate::Absence;
use crate::engine::event::Profile;
use crate::engine::report::Snapshot;
use crate::engine::score::{Breakdown, MeasureScore};
use crate::engine::scorecard::{Curve, Scorecard};

/// An account at one moment, and by which rules.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The rules.
    pub card: &'a Scorecard,
    /// The account.
    pub snapshot: &'a Snapshot,
    /// Its profile, which gates may ask.
    pub profile: Option<&'a Profile>,
}

impl Subject<'_> {
    /// The score and all its parts if one measure had this value and all else stayed as it is.
    fn breakdown_with(&self, measure: usize, value: f64) -> Breakdown {
        let mut measures = self.snapshot.measures.clone();
        measures[measure] =
            MeasureScore::new(self.card.measure(measure), Some(value), Absence::NoData);
        let value_of = |measure: usize| measures[measure].value();
        let gate_holds = |gate: usize| self.card.gates[gate].when.holds(&value_of, self.profile);
        let mut breakdown = Breakdown::default();
        breakdown.fill(self.card, &measures, gate_holds, self.snapshot.in_grace);
        breakdown
    }
}

/// The points of a curve: values and sub-scores.
fn points(curve: &Curve) -> &[(f64, f64)] {
    match curve {
        Curve::Piecewise(points) | Curve::Steps(points) | Curve::Map(points) => points,
    }
}
