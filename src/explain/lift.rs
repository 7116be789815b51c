//! The smallest changes of a single measure that reach the next band.
//!
//! Each measure is tried alone, on a grid of values that people would name (whole users, whole
//! percents), with the scoring code and the band machine themselves. Between two neighbouring edges
//! of its curve and of the gates that ask it, the score only rises or only falls with a measure; so
//! the edges are looked at one by one, outwards from the value it has, and the first stretch in
//! which the band is reached is halved until the first such value is found.

use super::{Subject, points};
use crate::engine::scorecard::{Condition, Measure, MeasureKind};

/// One way to a better band.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lift {
    /// Position in the card of the measure that would change.
    pub measure: usize,
    /// Its value now; `None` is missing.
    pub from: Option<f64>,
    /// The nearest value that reaches the band.
    pub to: f64,
    /// The score there.
    pub score: f64,
    /// How far its sub-score would have to move: what makes ways comparable.
    pub sub_score_change: f64,
}

/// Every single-measure way to a better band than the published one, the smallest change of a
/// sub-score first. Empty in the best band, and without a score.
pub fn lifts(subject: &Subject<'_>) -> Vec<Lift> {
    let mut lifts: Vec<Lift> = (0..subject.snapshot.measures.len())
        .filter_map(|measure| lift_of(subject, measure))
        .collect();
    lifts.sort_by(|a, b| a.sub_score_change.total_cmp(&b.sub_score_change));
    lifts
}

/// Whether an account with this score would, in the end, be in a better band than it is.
pub(super) fn reaches(subject: &Subject<'_>, score: f64) -> bool {
    let snapshot = subject.snapshot;
    let mut band = snapshot.band;
    let dwell = subject.card.anti_flap.dwell_better;
    for now in [snapshot.as_of, snapshot.as_of + dwell] {
        band.step(subject.card, Some(score), now);
    }
    match (snapshot.band.current(), band.current()) {
        (Some(before), Some(after)) => after > before,
        (None, _) | (_, None) => false,
    }
}

fn lift_of(subject: &Subject<'_>, measure: usize) -> Option<Lift> {
    let rule = subject.card.measure(measure);
    // Nobody can change how old an account is, or when its contract ends.
    if matches!(rule.kind, MeasureKind::AccountAgeDays | MeasureKind::AccountDaysToRenewal) {
        return None;
    }
    let score = &subject.snapshot.measures[measure];
    let step = grid_step(rule);
    let edges = edges(subject, measure, step);
    let (first, last) = (*edges.first()?, *edges.last()?);
    let (from, before) = (score.value(), score.sub_score().unwrap_or(0.0));
    let way = |position: i64| -> Option<Lift> {
        let to = position as f64 * step;
        // A value that a map does not list would only take the measure out of the score.
        let sub_score = rule.curve.sub_score(to)?;
        let score = subject.breakdown_with(measure, to).score?;
        let sub_score_change = (sub_score - before).abs();
        reaches(subject, score).then_some(Lift { measure, from, to, score, sub_score_change })
    };
    let (up_from, down_from) = match from {
        Some(value) => {
            let position = value / step;
            ((position + NEAR).floor() as i64, (position - NEAR).ceil() as i64)
        }
        // Without a value both ways begin outside of everything.
        None => (first - 1, last + 1),
    };
    let up: Vec<i64> = edges.iter().copied().filter(|edge| *edge > up_from).collect();
    let down: Vec<i64> = edges.iter().rev().copied().filter(|edge| *edge < down_from).collect();
    let found =
        [(up_from, up), (down_from, down)].map(|(start, edges)| first_way(start, &edges, &way));
    let ways = found.into_iter().flatten();
    ways.min_by(|a, b| a.sub_score_change.total_cmp(&b.sub_score_change))
}

/// A value this near to a place on the grid is on it, in grid steps.
const NEAR: f64 = 1e-6;

/// Walks from `start` over the edges, and halves the first stretch whose end is a way.
fn first_way(start: i64, edges: &[i64], way: &impl Fn(i64) -> Option<Lift>) -> Option<Lift> {
    let mut before = start;
    for edge in edges {
        let Some(mut found) = way(*edge) else {
            before = *edge;
            continue;
        };
        let (mut outside, mut inside) = (before, *edge);
        while (inside - outside).abs() > 1 {
            let middle = outside + (inside - outside) / 2;
            match way(middle) {
                Some(nearer) => (found, inside) = (nearer, middle),
                None => outside = middle,
            }
        }
        return Some(found);
    }
    None
}

/// The places on the grid around which the score's course can turn: the curve's points, the limits
/// of gates on the measure and the limits of the measure itself, each with its neighbours. Sorted.
fn edges(subject: &Subject<'_>, measure: usize, step: f64) -> Vec<i64> {
    let rule = subject.card.measure(measure);
    let mut values: Vec<f64> = points(&rule.curve).iter().map(|(value, _)| *value).collect();
    for gate in &subject.card.gates {
        each_limit(&gate.when, measure, &mut |limit| values.push(limit));
    }
    let (least, most) = limits(rule);
    let (least, most) =
        ((least / step).round() as i64, most.map(|most| (most / step).floor() as i64));
    let mut edges: Vec<i64> = values
        .into_iter()
        .flat_map(|value| {
            let position = (value / step).round() as i64;
            [position - 1, position, position + 1]
        })
        .chain([least])
        .chain(most)
        .filter(|edge| *edge >= least && most.is_none_or(|most| *edge <= most))
        .collect();
    edges.sort_unstable();
    edges.dedup();
    edges
}

fn each_limit(condition: &Condition, measure: usize, visit: &mut impl FnMut(f64)) {
    match condition {
        Condition::Measure { measure: asked, value, .. } if *asked == measure => visit(*value),
        Condition::Measure { .. } | Condition::Profile(_) => {}
        Condition::All(parts) | Condition::Any(parts) => {
            for part in parts {
                each_limit(part, measure, visit);
            }
        }
        Condition::Not(part) => each_limit(part, measure, visit),
    }
}

/// How fine a value of this measure is worth naming.
fn grid_step(rule: &Measure) -> f64 {
    use MeasureKind::*;
    match rule.kind {
        UsageSeatUtilisation | UsageTrend | PaymentLateShare | PaymentGrowth => 0.01,
        UsageFeaturesUsed if !rule.filter.features.is_empty() => 0.01,
        UsageEvents
        | UsageQuantity
        | UsageActiveUsers
        | UsageFeaturesUsed
        | UsageActiveDays
        | UsageActiveWeeks
        | UsageDaysSinceLast
        | SupportOpened
        | SupportOpen
        | SupportOldestOpenHours
        | SupportReopened
        | SupportEscalated
        | SupportResolutionHours
        | PaymentOverdueDays
        | PaymentOverdueMinor
        | PaymentDaysToPay
        | PaymentFailed
        | PaymentReminders
        | PaymentDisputes
        | SurveyNps
        | SurveyCsat
        | SurveyCes
        | SurveyAssessment
        | AccountDaysToRenewal
        | AccountAgeDays => 1.0,
    }
}

/// The least and the most a measure is worth trying at; `None` is as much as one likes.
fn limits(rule: &Measure) -> (f64, Option<f64>) {
    let (least, most) = rule.possible_values();
    let least = match rule.kind {
        // Early payers; a year ahead is as early as anyone pays.
        MeasureKind::PaymentDaysToPay => -365.0,
        _ if least.is_finite() => least,
        _ => 0.0,
    };
    (least, Some(most).filter(|most| most.is_finite()))
}
