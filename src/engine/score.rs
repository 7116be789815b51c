//! From sub-scores to the score, exactly: weights, contributions, coverage, gates.
//!
//! Everything is worked out anew from the sub-scores at each call: no running sum that could drift.
//! Contributions plus gate effects sum to the score.

use super::aggregate::Absence;
use super::scorecard::{Combine, Dimension, GateEffect, Measure, Missing, Redistribute};
use super::scorecard::{Scorecard, TOLERANCE};

/// Why a measure has, or lacks, a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeasureStatus {
    /// It has one.
    Ok,
    /// There is no data to say anything.
    Missing,
    /// Its data is older than `stale_after`.
    Stale,
    /// The rules are newer than the history kept for them.
    WarmingUp,
}

impl MeasureStatus {
    /// The name reports give it.
    pub fn name(self) -> &'static str {
        match self {
            MeasureStatus::Ok => "ok",
            MeasureStatus::Missing | MeasureStatus::WarmingUp => "missing",
            MeasureStatus::Stale => "stale",
        }
    }

    /// What more there is to say to the name.
    pub fn reason(self) -> Option<&'static str> {
        (self == MeasureStatus::WarmingUp).then_some("warming up")
    }
}

/// One measure of one account, read and put through its curve. Kept per account, so it is small:
/// a NaN stands for "none" and never leaves this type.
#[derive(Clone, Copy, Debug)]
pub struct MeasureScore {
    /// The value, or which NaN stands in for it says why there is none.
    value: f64,
    sub_score: f64,
}

/// Stands for a value that is stale. A NaN that is not one of these stands for one that is missing.
const STALE: f64 = f64::from_bits(f64::NAN.to_bits() | 1);
/// Stands for a value that cannot be told yet.
const WARMING_UP: f64 = f64::from_bits(f64::NAN.to_bits() | 2);

impl MeasureScore {
    /// Puts `value` through the measure's curve; `absence` says why there is none.
    pub fn new(measure: &Measure, value: Option<f64>, absence: Absence) -> MeasureScore {
        let known = value.and_then(|value| Some((value, measure.curve.sub_score(value)?)));
        match known {
            Some((value, sub_score)) => MeasureScore { value, sub_score },
            None => MeasureScore {
                value: match absence {
                    Absence::NoData => f64::NAN,
                    Absence::Stale => STALE,
                    Absence::WarmingUp => WARMING_UP,
                },
                sub_score: match measure.missing {
                    Missing::Redistribute => f64::NAN,
                    Missing::CountAs(sub_score) => sub_score,
                },
            },
        }
    }

    /// The value, `None` unless the status is `Ok`.
    pub fn value(&self) -> Option<f64> {
        (!self.value.is_nan()).then_some(self.value)
    }

    /// What counts, 0..=100: the curve's, or what the measure's `missing` says; `None` where its
    /// weight is redistributed.
    pub fn sub_score(&self) -> Option<f64> {
        (!self.sub_score.is_nan()).then_some(self.sub_score)
    }

    /// Why.
    pub fn status(&self) -> MeasureStatus {
        if !self.value.is_nan() {
            MeasureStatus::Ok
        } else if self.value.to_bits() == STALE.to_bits() {
            MeasureStatus::Stale
        } else if self.value.to_bits() == WARMING_UP.to_bits() {
            MeasureStatus::WarmingUp
        } else {
            MeasureStatus::Missing
        }
    }
}

impl PartialEq for MeasureScore {
    fn eq(&self, other: &MeasureScore) -> bool {
        self.value() == other.value()
            && self.sub_score() == other.sub_score()
            && self.status() == other.status()
    }
}

/// What one measure adds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Share {
    /// Effective share of the whole score, after normalising and redistribution.
    pub weight: f64,
    /// Points added to the score.
    pub contribution: f64,
}

/// The score and all its parts. Kept and filled again, so that scoring allocates nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Breakdown {
    /// `None` in grace, below the card's coverage, or with no data at all.
    pub score: Option<f64>,
    /// Share of the weight that is backed by data, 0..=1.
    pub coverage: f64,
    /// One per measure.
    pub measures: Vec<Share>,
    /// One per gate of the card: what it did to the score; `None` where its condition does not hold.
    pub gates: Vec<Option<f64>>,
    /// Under `signed`: the start value, and what the clamp to 0..=100 took or gave.
    pub start_and_clamp: Option<(f64, f64)>,
}

impl Breakdown {
    /// Works out the score of one account. `measures` has one entry per measure of the card,
    /// `gate_holds` says of each gate whether its condition holds.
    pub fn fill(
        &mut self,
        card: &Scorecard,
        measures: &[MeasureScore],
        gate_holds: impl Fn(usize) -> bool,
        in_grace: bool,
    ) {
        self.measures.clear();
        self.measures.resize(measures.len(), Share::default());
        let (any, combined) = match card.combine {
            Combine::Signed { start } => {
                self.coverage = self.signed(card, measures);
                let sum = start + self.total();
                let clamped = sum.clamp(0.0, 100.0);
                self.start_and_clamp = Some((start, clamped - sum));
                (true, clamped)
            }
            Combine::Weighted | Combine::Mean | Combine::Points => {
                self.coverage = self.weigh(card, measures);
                self.start_and_clamp = None;
                // Rounding may carry a full score past 100 by the last bit.
                let any = self.measures.iter().any(|share| share.weight > 0.0);
                (any, self.total().clamp(0.0, 100.0))
            }
        };
        let mut score = combined;
        self.gates.clear();
        for (index, gate) in card.gates.iter().enumerate() {
            // Without a single part there is no score that a gate could limit.
            self.gates.push((any && gate_holds(index)).then(|| {
                let limited = match gate.effect {
                    GateEffect::Cap(most) => score.min(most),
                    GateEffect::Floor(least) => score.max(least),
                };
                let effect = limited - score;
                score = limited;
                effect
            }));
        }
        let covered = self.coverage >= card.min_coverage - TOLERANCE;
        self.score = (any && covered && !in_grace).then_some(score);
    }

    fn total(&self) -> f64 {
        self.measures.iter().map(|share| share.contribution).sum()
    }

    /// Shares and contributions of a card with weights; returns the coverage.
    fn weigh(&mut self, card: &Scorecard, measures: &[MeasureScore]) -> f64 {
        // First every measure's share as if nothing were missing, and how much of each dimension,
        // and of the card, is there to carry the rest.
        let mut first = 0;
        let (mut card_full, mut card_present) = (0.0, 0.0);
        for dimension in &card.dimensions {
            let range = first..first + dimension.measures.len();
            first = range.end;
            let full = sum_weights(dimension, |_| true);
            if full > 0.0 {
                let own = dimension_weight(card, dimension);
                card_full += own;
                let has_data = |i: usize| measures[range.start + i].sub_score().is_some();
                if sum_weights(dimension, has_data) > 0.0 {
                    card_present += own;
                }
            }
        }
        let mut coverage = 0.0;
        let mut base_present = 0.0;
        let mut first = 0;
        for dimension in &card.dimensions {
            let range = first..first + dimension.measures.len();
            first = range.end;
            let full = sum_weights(dimension, |_| true);
            if full <= 0.0 {
                continue;
            }
            let own = dimension_weight(card, dimension);
            let has_data = |i: usize| measures[range.start + i].sub_score().is_some();
            let present = sum_weights(dimension, has_data);
            for (i, measure) in dimension.measures.iter().enumerate() {
                let index = range.start + i;
                let weight = measure_weight(dimension, measure);
                let base = own / card_full * (weight / full);
                if measures[index].status() == MeasureStatus::Ok {
                    coverage += base;
                }
                if measures[index].sub_score().is_some() {
                    base_present += base;
                    self.measures[index].weight = match card.redistribute {
                        // A dimension that is only watched may be the only one with data.
                        Redistribute::Dimension if own > 0.0 && present > 0.0 => {
                            own / card_present * (weight / present)
                        }
                        Redistribute::Dimension => 0.0,
                        // Divided by `base_present` below, once that is whole.
                        Redistribute::Card => base,
                    };
                }
            }
        }
        for (share, measure) in self.measures.iter_mut().zip(measures) {
            if card.redistribute == Redistribute::Card && base_present > 0.0 {
                share.weight /= base_present;
            }
            share.contribution = share.weight * measure.sub_score().unwrap_or(0.0);
        }
        coverage
    }

    /// Contributions of a signed card: points times sub-score; returns the coverage.
    fn signed(&mut self, card: &Scorecard, measures: &[MeasureScore]) -> f64 {
        let (mut all, mut with_data) = (0.0, 0.0);
        for ((share, rule), measure) in self.measures.iter_mut().zip(card.measures()).zip(measures)
        {
            all += rule.weight.abs();
            if measure.status() == MeasureStatus::Ok {
                with_data += rule.weight.abs();
            }
            if let Some(sub_score) = measure.sub_score() {
                share.weight = rule.weight / 100.0;
                share.contribution = share.weight * sub_score;
            }
        }
        if all > 0.0 { with_data / all } else { 0.0 }
    }
}

/// What the measures of one dimension say, weighed among themselves; `None` where none of those that
/// count has data. Under `signed`, the score the dimension alone would make. 0..=100.
pub fn dimension_score(
    card: &Scorecard,
    dimension: &Dimension,
    measures: &[MeasureScore],
) -> Option<f64> {
    let (mut points, mut weights) = (0.0, 0.0);
    for (rule, measure) in dimension.measures.iter().zip(measures) {
        if let Some(sub_score) = measure.sub_score() {
            points += measure_weight(dimension, rule) * sub_score;
            weights += measure_weight(dimension, rule).abs();
        }
    }
    let score = match card.combine {
        Combine::Signed { start } => start + points / 100.0,
        Combine::Weighted | Combine::Mean | Combine::Points => points / weights,
    };
    (weights > 0.0).then(|| score.clamp(0.0, 100.0))
}

fn dimension_weight(card: &Scorecard, dimension: &Dimension) -> f64 {
    match card.combine {
        Combine::Mean => 1.0,
        Combine::Weighted | Combine::Points | Combine::Signed { .. } => dimension.weight,
    }
}

fn measure_weight(dimension: &Dimension, measure: &Measure) -> f64 {
    if dimension.mean && measure.weight != 0.0 { 1.0 } else { measure.weight }
}

fn sum_weights(dimension: &Dimension, counts: impl Fn(usize) -> bool) -> f64 {
    let measures = dimension.measures.iter().enumerate();
    measures.filter(|(i, _)| counts(*i)).map(|(_, m)| measure_weight(dimension, m)).sum()
}
