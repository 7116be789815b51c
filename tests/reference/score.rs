//! The score of one account at one instant: readings, curves, weights, contributions, gates.
//!
//! A pure function of card, history and time. Leaves out the published band, which has a
//! memory of its own (`band.rs`).

use serde_json::Value;

use super::account::History;
use super::card::Redistribute;
use super::card::{Card, Combine, Condition, Curve, Dimension, Measure, Missing, NumberTest};
use super::clock::Clock;
use super::measures::{read_at, value};

/// Within this of an edge or threshold is on it (section 9.1).
pub const TOLERANCE: f64 = 1e-9;

#[derive(Clone, Debug)]
pub struct Evaluation {
    /// Null below the minimum coverage, in grace, and where nothing can be counted.
    pub score: Option<f64>,
    pub coverage: f64,
    pub dimensions: Vec<DimensionReading>,
    pub gates: Vec<GateReading>,
}

#[derive(Clone, Debug)]
pub struct DimensionReading {
    pub id: String,
    pub weight: f64,
    pub score: Option<f64>,
    pub contribution: f64,
    pub measures: Vec<Reading>,
}

#[derive(Clone, Debug)]
pub struct Reading {
    pub id: String,
    pub value: Option<f64>,
    pub status: Status,
    /// Also that of a missing measure which is counted all the same.
    pub sub_score: Option<f64>,
    /// The effective share of the whole score.
    pub weight: f64,
    pub contribution: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Ok,
    Missing,
    Stale,
}

#[derive(Clone, Debug)]
pub struct GateReading {
    pub id: String,
    pub effect: f64,
    pub reason: String,
}

impl Evaluation {
    pub fn readings(&self) -> impl Iterator<Item = &Reading> {
        self.dimensions.iter().flat_map(|dimension| &dimension.measures)
    }
}

/// Without any outage.
pub fn evaluate(card: &Card, history: &History, t: i64) -> Evaluation {
    evaluate_by(card, history, &Clock::plain(t))
}

pub fn evaluate_by(card: &Card, history: &History, clock: &Clock) -> Evaluation {
    let t = clock.now;
    let mut dimensions: Vec<DimensionReading> = card
        .dimensions
        .iter()
        .map(|dimension| DimensionReading {
            id: dimension.id.clone(),
            weight: 0.0,
            score: None,
            contribution: 0.0,
            measures: dimension.measures.iter().map(|m| read(m, history, clock)).collect(),
        })
        .collect();
    let coverage = coverage(card, &dimensions);
    spread_weights(card, &mut dimensions);
    for (dimension, spec) in dimensions.iter_mut().zip(&card.dimensions) {
        for reading in &mut dimension.measures {
            reading.contribution = reading.weight * reading.sub_score.unwrap_or(0.0);
        }
        dimension.weight = dimension.measures.iter().map(|reading| reading.weight).sum();
        dimension.contribution =
            dimension.measures.iter().map(|reading| reading.contribution).sum();
        dimension.score = dimension_score(card, spec, dimension);
    }
    let (raw, gates) = raw_score(card, history, &dimensions);
    let in_grace =
        card.grace_ms > 0 && history.beginning().is_some_and(|first| t < first + card.grace_ms);
    let covered = coverage >= card.min_coverage - TOLERANCE;
    Evaluation { score: raw.filter(|_| covered && !in_grace), coverage, dimensions, gates }
}

fn read(measure: &Measure, history: &History, clock: &Clock) -> Reading {
    let source = measure.kind.source();
    let known = value(measure, history, clock);
    let stale = measure.stale_after_ms.is_some_and(|stale_after_ms| {
        read_at(measure, history, clock.of(source))
            .is_some_and(|read_at| clock.elapsed(source, read_at) >= stale_after_ms)
    });
    let scored = known
        .filter(|_| !stale)
        .and_then(|value| Some((value, apply_curve(&measure.curve, value)?)));
    let status = match (known, scored) {
        (_, Some(_)) => Status::Ok,
        (Some(_), None) if stale => Status::Stale,
        _ => Status::Missing,
    };
    let substitute = match measure.missing {
        Missing::Redistribute => None,
        Missing::Counted(sub_score) => Some(sub_score),
    };
    Reading {
        id: measure.id.clone(),
        value: scored.map(|(value, _)| value),
        status,
        sub_score: scored.map(|(_, sub_score)| sub_score).or(substitute),
        weight: 0.0,
        contribution: 0.0,
    }
}

pub fn apply_curve(curve: &Curve, value: f64) -> Option<f64> {
    match curve {
        Curve::Identity => Some(value.clamp(0.0, 100.0)),
        Curve::Linear { from, to } => {
            Some((100.0 * (value - from) / (to - from)).clamp(0.0, 100.0))
        }
        Curve::Piecewise(points) => {
            let (first, last) = (points.first()?, points.last()?);
            if value <= first.0 {
                return Some(first.1);
            }
            if value >= last.0 {
                return Some(last.1);
            }
            let pair = points.windows(2).find(|pair| value <= pair[1].0)?;
            let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
            Some(y0 + (y1 - y0) * (value - x0) / (x1 - x0))
        }
        Curve::Steps(steps) => {
            let reached = steps.iter().rev().find(|(x, _)| *x <= value + TOLERANCE);
            Some(reached.or(steps.first())?.1)
        }
        Curve::Map(pairs) => {
            let listed = pairs.iter().find(|(x, _)| (x - value).abs() <= TOLERANCE);
            listed.map(|(_, y)| *y)
        }
    }
}

/// The weight of a dimension as written: its own, equal, or the sum of its points.
fn dimension_weight(card: &Card, dimension: &Dimension) -> f64 {
    match card.combine {
        Combine::Weighted => dimension.weight,
        Combine::Mean if dimension.weight > 0.0 => 1.0,
        Combine::Mean => 0.0,
        Combine::Points | Combine::Signed { .. } => {
            dimension.measures.iter().map(|measure| measure.weight.abs()).sum()
        }
    }
}

/// The weight of a measure within its dimension; watched measures have none.
fn measure_weight(dimension: &Dimension, measure: &Measure) -> f64 {
    if dimension.mean && measure.weight != 0.0 { 1.0 } else { measure.weight.abs() }
}

/// The shares of the whole that measures have before anything is missing, in card order. They
/// sum to 1, or are all 0 where nothing is counted.
fn base_shares(card: &Card) -> Vec<Vec<f64>> {
    let inner = |dimension: &Dimension| -> f64 {
        dimension.measures.iter().map(|measure| measure_weight(dimension, measure)).sum()
    };
    let counted = card.dimensions.iter().filter(|dimension| inner(dimension) > 0.0);
    let outer: f64 = counted.map(|dimension| dimension_weight(card, dimension)).sum();
    card.dimensions
        .iter()
        .map(|dimension| {
            let within = inner(dimension);
            let of_card = dimension_weight(card, dimension);
            let share = |measure| {
                let weight = measure_weight(dimension, measure);
                if weight == 0.0 || of_card == 0.0 {
                    return 0.0;
                }
                of_card / outer * weight / within
            };
            dimension.measures.iter().map(share).collect()
        })
        .collect()
}

fn coverage(card: &Card, dimensions: &[DimensionReading]) -> f64 {
    let mut with_data = 0.0;
    for (shares, dimension) in base_shares(card).iter().zip(dimensions) {
        for (share, reading) in shares.iter().zip(&dimension.measures) {
            if reading.status == Status::Ok {
                with_data += share;
            }
        }
    }
    with_data
}

/// Gives every measure its effective weight. A reading with a sub-score counts; the weights of
/// the others go where the card says.
fn spread_weights(card: &Card, dimensions: &mut [DimensionReading]) {
    if let Combine::Signed { .. } = card.combine {
        for (dimension, spec) in dimensions.iter_mut().zip(&card.dimensions) {
            for (reading, measure) in dimension.measures.iter_mut().zip(&spec.measures) {
                let counts = reading.sub_score.is_some();
                reading.weight = if counts { measure.weight / 100.0 } else { 0.0 };
            }
        }
        return;
    }
    let shares = base_shares(card);
    let present = |dimension: &DimensionReading, shares: &[f64]| -> f64 {
        let pairs = dimension.measures.iter().zip(shares);
        pairs.filter(|(reading, _)| reading.sub_score.is_some()).map(|(_, share)| share).sum()
    };
    let total = |shares: &[f64]| -> f64 { shares.iter().sum() };
    let mut whole = 0.0;
    for (dimension, shares) in dimensions.iter().zip(&shares) {
        let here = present(dimension, shares);
        whole += match card.redistribute {
            Redistribute::Card => here,
            Redistribute::Dimension if here > 0.0 => total(shares),
            Redistribute::Dimension => 0.0,
        };
    }
    for (dimension, shares) in dimensions.iter_mut().zip(&shares) {
        let here = present(dimension, shares);
        for (reading, share) in dimension.measures.iter_mut().zip(shares) {
            if reading.sub_score.is_none() || *share == 0.0 {
                continue;
            }
            reading.weight = match card.redistribute {
                Redistribute::Card => share / whole,
                Redistribute::Dimension => total(shares) / whole * share / here,
            };
        }
    }
}

/// What its present measures say, weighed among themselves; under `signed`, where they alone
/// would take the start value.
fn dimension_score(card: &Card, spec: &Dimension, dimension: &DimensionReading) -> Option<f64> {
    let (mut sum, mut weights) = (0.0, 0.0);
    for (reading, measure) in dimension.measures.iter().zip(&spec.measures) {
        let Some(sub_score) = reading.sub_score else { continue };
        sum += measure_weight(spec, measure) * sub_score;
        weights += measure_weight(spec, measure);
    }
    if weights == 0.0 {
        return None;
    }
    match card.combine {
        Combine::Signed { start } => Some((start + dimension.contribution).clamp(0.0, 100.0)),
        Combine::Weighted | Combine::Mean | Combine::Points => Some(sum / weights),
    }
}

/// The score before coverage and grace are asked, and the rows of `gates` that lead to it.
fn raw_score(
    card: &Card,
    history: &History,
    dimensions: &[DimensionReading],
) -> (Option<f64>, Vec<GateReading>) {
    let sum: f64 = dimensions.iter().map(|dimension| dimension.contribution).sum();
    let mut rows = Vec::new();
    let mut score = sum;
    if let Combine::Signed { start } = card.combine {
        let row = |id: &str, effect: f64, reason: &str| GateReading {
            id: id.to_string(),
            effect,
            reason: reason.to_string(),
        };
        rows.push(row("start", start, "start value"));
        score += start;
        let clamped = score.clamp(0.0, 100.0);
        if clamped != score {
            rows.push(row("clamp", clamped - score, "held within 0 to 100"));
        }
        score = clamped;
    } else {
        let readings = dimensions.iter().flat_map(|dimension| &dimension.measures);
        if readings.map(|reading| reading.weight).sum::<f64>() == 0.0 {
            return (None, rows);
        }
    }
    for gate in &card.gates {
        if !holds(&gate.when, history, dimensions) {
            continue;
        }
        let mut moved = score;
        if let Some(cap) = gate.cap {
            moved = moved.min(cap);
        }
        if let Some(floor) = gate.floor {
            moved = moved.max(floor);
        }
        let effect = moved - score;
        rows.push(GateReading { id: gate.id.clone(), effect, reason: gate.reason.clone() });
        score = moved;
    }
    (Some(score), rows)
}

/// A comparison with what is missing does not hold (so its `not` does).
pub fn holds(condition: &Condition, history: &History, dimensions: &[DimensionReading]) -> bool {
    match condition {
        Condition::Measure { id, test } => {
            let mut readings = dimensions.iter().flat_map(|dimension| &dimension.measures);
            let reading = readings.find(|reading| reading.id == *id);
            let reading = reading.unwrap_or_else(|| panic!("no measure `{id}`"));
            reading.value.is_some_and(|value| test.holds(value))
        }
        Condition::ProfileNumber { field, test } => {
            let value = history.profile_field(field).and_then(Value::as_f64);
            value.is_some_and(|value| test.holds(value))
        }
        Condition::ProfileIn { field, values } => match history.profile_field(field) {
            Some(Value::Array(elements)) => elements.iter().any(|e| listed(values, e)),
            Some(value) => listed(values, value),
            None => false,
        },
        Condition::All(parts) => parts.iter().all(|part| holds(part, history, dimensions)),
        Condition::Any(parts) => parts.iter().any(|part| holds(part, history, dimensions)),
        Condition::Not(part) => !holds(part, history, dimensions),
    }
}

fn listed(values: &[Value], wanted: &Value) -> bool {
    values.iter().any(|value| match (value.as_f64(), wanted.as_f64()) {
        (Some(left), Some(right)) => left == right,
        _ => value == wanted,
    })
}

impl NumberTest {
    pub fn holds(self, value: f64) -> bool {
        match self {
            NumberTest::AtLeast(number) => value >= number - TOLERANCE,
            NumberTest::AtMost(number) => value <= number + TOLERANCE,
            NumberTest::Above(number) => value > number + TOLERANCE,
            NumberTest::Below(number) => value < number - TOLERANCE,
            NumberTest::Equals(number) => (value - number).abs() <= TOLERANCE,
        }
    }
}
