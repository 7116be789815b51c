//! What a case expects at an instant.

use crate::engine::scorecard::Scorecard;
use crate::engine::scorecard::UNKNOWN_BAND;
use crate::engine::time::Span;
use crate::engine::yaml::{Field, Fields, nearest};

/// How far a number may be off where the expectation does not say: what is written with two
/// decimals holds whichever way it was rounded.
const TOLERANCE: f64 = 0.01;

/// Largest size of a number that can be expected: amounts in minor units.
const TOLERANCE_MAX: f64 = 1e12;

/// What is expected at one instant, after everything that happens at it. What is not named may be
/// anything.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// Where it stands in its file.
    pub line: u32,
    /// From the start of the case.
    pub at: Span,
    /// How far a single number may be off.
    pub tolerance: f64,
    /// The score; missing in grace and below the card's coverage.
    pub score: Option<Expected>,
    /// The published band.
    pub band: Option<String>,
    /// Share of weight backed by data, 0 to 1.
    pub coverage: Option<Expected>,
    /// Scores of dimensions, by id.
    pub dimensions: Vec<(String, Expected)>,
    /// What was measured, by measure id.
    pub values: Vec<(String, Expected)>,
    /// What the curves made of it, by measure id.
    pub sub_scores: Vec<(String, Expected)>,
    /// Effective shares of the whole score, by measure id.
    pub weights: Vec<(String, Expected)>,
    /// Points, by measure id.
    pub contributions: Vec<(String, Expected)>,
    /// The ids of all gates whose condition holds, in any order.
    pub gates: Option<Vec<String>>,
    /// The ids of all alert rules that fire, in any order.
    pub firing: Option<Vec<String>>,
    /// The rules that fired since the last expectation, in any order and as often as they did.
    pub fired: Option<Vec<String>>,
    /// The rules that were resolved since the last expectation, likewise.
    pub resolved: Option<Vec<String>>,
    /// The rules whose alert became worse since the last expectation, likewise.
    pub escalated: Option<Vec<String>>,
    /// How often the band changed since the last expectation.
    pub band_changes: Option<Expected>,
}

/// A number that is expected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Expected {
    /// There is none.
    Missing,
    /// This one, within the tolerance.
    About(f64),
    /// One between these.
    Between {
        /// `None` is any.
        at_least: Option<f64>,
        /// `None` is any.
        at_most: Option<f64>,
    },
}

/// Reads one expectation.
pub(super) fn read_expectation(
    fields: &Fields<'_>,
    card: Option<&Scorecard>,
) -> Option<Expectation> {
    let at = fields.require("at").and_then(|field| field.span());
    let tolerance = fields.or("tolerance", TOLERANCE, |field| field.number_in(0.0..=TOLERANCE_MAX));
    let score = fields.maybe("score", read_expected);
    let band = fields.maybe("band", |field| {
        let names = || card.map(|card| card.bands.iter().map(|band| &*band.name));
        let known = names().map(|names| names.chain([UNKNOWN_BAND]).collect());
        read_id(field, field.text()?, "band", known)
    });
    let coverage = fields.maybe("coverage", read_expected);
    let dimension_ids = || card.map(|card| card.dimensions.iter().map(|d| &*d.id).collect());
    let measure_ids = || card.map(|card| card.measures().map(|m| &*m.id).collect());
    let by_id = |key, what, known: Option<Vec<&str>>| {
        fields.or(key, Vec::new(), |field| read_by_id(field, what, known))
    };
    let dimensions = by_id("dimensions", "dimension", dimension_ids());
    let values = by_id("values", "measure", measure_ids());
    let sub_scores = by_id("sub_scores", "measure", measure_ids());
    let weights = by_id("weights", "measure", measure_ids());
    let contributions = by_id("contributions", "measure", measure_ids());
    let gate_ids = || card.map(|card| card.gates.iter().map(|gate| &*gate.id).collect());
    let gates = fields.maybe("gates", |field| read_ids(field, "gate", gate_ids()));
    let rule_ids = || card.map(|card| card.alerts.iter().map(|rule| &*rule.id).collect());
    let rules = |key| fields.maybe(key, |field| read_ids(field, "alert rule", rule_ids()));
    let (firing, fired, resolved) = (rules("firing"), rules("fired"), rules("resolved"));
    let escalated = rules("escalated");
    let band_changes = fields.maybe("band_changes", read_expected);
    Some(Expectation {
        line: fields.whole().line(),
        at: at?,
        tolerance: tolerance?,
        score: score?,
        band: band?,
        coverage: coverage?,
        dimensions: dimensions?,
        values: values?,
        sub_scores: sub_scores?,
        weights: weights?,
        contributions: contributions?,
        gates: gates?,
        firing: firing?,
        fired: fired?,
        resolved: resolved?,
        escalated: escalated?,
        band_changes: band_changes?,
    })
}

/// `65.0`, `missing`, `{ at_least: 40 }` or `{ at_least: 40, at_most: 60 }`.
fn read_expected(field: &Field<'_>) -> Option<Expected> {
    if field.is_mapping() {
        return field.mapping(|fields| {
            let at_least = fields.maybe("at_least", Field::number);
            let at_most = fields.maybe("at_most", Field::number);
            let (at_least, at_most) = (at_least?, at_most?);
            match (at_least, at_most) {
                (None, None) => field.error("needs `at_least` or `at_most`"),
                (Some(least), Some(most)) if least > most => {
                    field.error(format!("asks for at least {least} and at most {most}"))
                }
                _ => Some(Expected::Between { at_least, at_most }),
            }
        });
    }
    match field.as_text() {
        Some("missing") => Some(Expected::Missing),
        Some(text) if text.parse::<f64>().is_ok() => field.number().map(Expected::About),
        _ => field.expected("a number, `missing` or `{ at_least: .., at_most: .. }`"),
    }
}

fn read_by_id(
    field: &Field<'_>,
    what: &str,
    known: Option<Vec<&str>>,
) -> Option<Vec<(String, Expected)>> {
    let entries: Vec<Option<(String, Expected)>> = field
        .entries()?
        .into_iter()
        .map(|(id, field)| {
            let expected = read_expected(&field);
            Some((read_id(&field, id, what, known.clone())?, expected?))
        })
        .collect();
    entries.into_iter().collect()
}

/// A list of ids, which may be empty.
fn read_ids(field: &Field<'_>, what: &str, known: Option<Vec<&str>>) -> Option<Vec<String>> {
    let items = field.list()?;
    let ids: Vec<Option<String>> =
        items.iter().map(|item| read_id(item, item.text()?, what, known.clone())).collect();
    ids.into_iter().collect()
}

/// An id of the card, where the card is known.
fn read_id(field: &Field<'_>, id: &str, what: &str, known: Option<Vec<&str>>) -> Option<String> {
    let Some(known) = known else { return Some(id.to_owned()) };
    if known.contains(&id) {
        return Some(id.to_owned());
    }
    match nearest(id, known.iter().copied()) {
        Some(near) => field.error(format!("names no {what}: `{id}`; did you mean `{near}`?")),
        None if known.is_empty() => field.error(format!("names no {what}: the card has none")),
        None => field.error(format!("names no {what}: `{id}`; the card has {}", known.join(", "))),
    }
}
