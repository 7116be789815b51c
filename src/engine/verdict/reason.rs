//! Why a score moved: exact differences of contributions, first what moved it most in the direction
//! it went.

use super::kept::{BadVerdict, KeptPublished};
use crate::engine::score::{Breakdown, MeasureScore};
use crate::engine::scorecard::Scorecard;

/// One part of a score that can move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A measure, by its position in the card.
    Measure(usize),
    /// A gate, by its position in the card.
    Gate(usize),
    /// The start value and clamp of a signed card.
    StartAndClamp,
    /// What parts added that other rules had and these have not.
    Rules,
}

/// How one part moved since the last published verdict.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Movement {
    /// What moved.
    pub part: Part,
    /// The measure's value then; `None` for gates, and where it was missing.
    pub from: Option<f64>,
    /// The measure's value now.
    pub to: Option<f64>,
    /// What it did to the score.
    pub points: f64,
}

/// Values and contributions in an account's last published verdict: what reasons compare with.
#[derive(Clone, Debug)]
pub struct Published {
    /// The score; `None` where there was none.
    pub score: Option<f64>,
    /// The value of each measure, NaN where it was missing; then the points of each part, in the
    /// order of [`parts`]. One block: every account keeps one.
    values_and_points: Box<[f64]>,
}

impl Published {
    /// What a verdict that is published now will be compared with later.
    pub fn new(measures: &[MeasureScore], breakdown: &Breakdown) -> Published {
        Published {
            score: breakdown.score,
            values_and_points: measures
                .iter()
                .map(|measure| measure.value().unwrap_or(f64::NAN))
                .chain(points(breakdown))
                .collect(),
        }
    }

    /// What is kept of it over a restart.
    pub fn keep(&self) -> KeptPublished {
        KeptPublished { score: self.score, values_and_points: self.values_and_points.to_vec() }
    }

    /// The same again, for the card it was published by.
    ///
    /// # Errors
    /// When it is not of that card.
    pub fn restore(kept: KeptPublished, card: &Scorecard) -> Result<Published, BadVerdict> {
        if kept.values_and_points.len() != card.measures().count() + parts(card).count() {
            return Err(BadVerdict("a published verdict that is not of its card"));
        }
        Ok(Published {
            score: kept.score,
            values_and_points: kept.values_and_points.into_boxed_slice(),
        })
    }

    /// The same in the parts of another card: what has the same id there keeps its points, and the
    /// rest is put down to the rules.
    pub fn in_parts_of(&self, old: &Scorecard, new: &Scorecard) -> Published {
        let measures = old.measures().count();
        let (values, points) = self.values_and_points.split_at(measures);
        let place = |part: Part| match part {
            Part::Measure(index) => {
                let id = &new.measure(index).id;
                old.measures().position(|measure| measure.id == *id)
            }
            Part::Gate(index) => {
                let id = &new.gates[index].id;
                old.gates.iter().position(|gate| gate.id == *id).map(|gate| measures + gate)
            }
            Part::StartAndClamp => Some(measures + old.gates.len()),
            Part::Rules => None,
        };
        let known = |part: Part| place(part).map_or(0.0, |place| points[place]);
        let all: f64 = points.iter().sum();
        let kept: f64 = parts(new).map(known).sum();
        let new_values = (0..new.measures().count())
            .map(|index| place(Part::Measure(index)).map_or(f64::NAN, |place| values[place]));
        let new_points = parts(new).map(|part| match part {
            Part::Rules => all - kept,
            part => known(part),
        });
        Published { score: self.score, values_and_points: new_values.chain(new_points).collect() }
    }

    /// What moved since. Where a score is missing on either side its parts count as 0 there, so that
    /// the points sum to the change as it is shown.
    pub fn movements(
        before: Option<&Published>,
        card: &Scorecard,
        measures: &[MeasureScore],
        breakdown: &Breakdown,
    ) -> Vec<Movement> {
        let value_before = |before: &Published, measure: usize| {
            Some(before.values_and_points[measure]).filter(|value| !value.is_nan())
        };
        let points_before =
            |before: &Published, part: usize| before.values_and_points[measures.len() + part];
        let scored_before = before.filter(|before| before.score.is_some());
        let mut movements: Vec<Movement> = parts(card)
            .zip(points(breakdown))
            .enumerate()
            .map(|(index, (part, now))| {
                let now = if breakdown.score.is_some() { now } else { 0.0 };
                let then = scored_before.map_or(0.0, |before| points_before(before, index));
                let (from, to) = match part {
                    Part::Measure(measure) => (
                        before.and_then(|before| value_before(before, measure)),
                        measures[measure].value(),
                    ),
                    Part::Gate(_) | Part::StartAndClamp | Part::Rules => (None, None),
                };
                Movement { part, from, to, points: now - then }
            })
            .filter(|movement| movement.points != 0.0)
            .collect();
        // A fall is told by what fell, however much something else rose at the same time.
        let change: f64 = movements.iter().map(|movement| movement.points).sum();
        let towards = |movement: &Movement| movement.points * change.signum();
        movements.sort_by(|a, b| towards(b).total_cmp(&towards(a)));
        movements
    }
}

/// Every part of a card's score, in a fixed order.
fn parts(card: &Scorecard) -> impl Iterator<Item = Part> {
    (0..card.measures().count())
        .map(Part::Measure)
        .chain((0..card.gates.len()).map(Part::Gate))
        .chain([Part::StartAndClamp, Part::Rules])
}

/// What each of them adds to the score, in the same order.
fn points(breakdown: &Breakdown) -> impl Iterator<Item = f64> {
    let start_and_clamp = breakdown.start_and_clamp.map_or(0.0, |(start, clamp)| start + clamp);
    breakdown
        .measures
        .iter()
        .map(|share| share.contribution)
        .chain(breakdown.gates.iter().map(|effect| effect.unwrap_or(0.0)))
        .chain([start_and_clamp, 0.0])
}
