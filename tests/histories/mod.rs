//! Random scorecards and histories: YAML and JSON as a user would write them, from bytes.
//!
//! A case is made from bytes ("genes"), so that proptest can shrink it without knowing what it is:
//! fewer bytes and smaller ones make a smaller case, and a gene of 0 is always the plainest choice.
//! Everything is valid; malformed records have a corpus of their own (`malformed`).

#![allow(dead_code, reason = "each integration test uses its own part of the generators")]

pub mod alert;
pub mod card;
pub mod genes;
pub mod harness;
pub mod outage;
pub mod record;

use std::fmt;
use std::ops::RangeInclusive;

use proptest::collection::vec;
use proptest::prelude::*;

pub use record::Arrival;

use card::{ALERT_GENES, MEASURE_GENES};
use record::ARRIVAL_GENES;

/// A scorecard and what arrives, in the order of arrival (and so of record time).
#[derive(Clone)]
pub struct Case {
    pub card: String,
    pub arrivals: Vec<Arrival>,
    /// Bytes left for whatever else a test wants to choose.
    pub choices: Vec<u8>,
}

/// Cases of every kind. `arrivals_max` bounds the length of a history.
pub fn cases(arrivals_max: usize) -> impl Strategy<Value = Case> {
    cases_of(0..=5, arrivals_max, false)
}

/// Cases whose scorecards have so many alert rules.
pub fn cases_with_alerts(
    rules: RangeInclusive<usize>,
    arrivals_max: usize,
) -> impl Strategy<Value = Case> {
    cases_of(rules, arrivals_max, false)
}

/// Cases with overrides among the answers.
pub fn cases_with_overrides(arrivals_max: usize) -> impl Strategy<Value = Case> {
    cases_of(0..=3, arrivals_max, true)
}

fn cases_of(
    rules: RangeInclusive<usize>,
    arrivals_max: usize,
    overrides: bool,
) -> impl Strategy<Value = Case> {
    let measures = vec(any::<[u8; MEASURE_GENES]>(), 1..=7);
    let card = (vec(any::<u8>(), 96), measures, vec(any::<[u8; ALERT_GENES]>(), rules));
    let history = (vec(any::<u8>(), 8), vec(any::<[u8; ARRIVAL_GENES]>(), 1..=arrivals_max));
    (card, history, vec(any::<u8>(), 64)).prop_map(
        move |((head, measures, alerts), (climate, arrivals), choices)| Case {
            card: card::yaml(&head, &measures, &alerts),
            arrivals: record::history(&climate, &arrivals, overrides),
            choices,
        },
    )
}

/// Cases over some weeks in which one source now and then falls silent as a whole.
pub fn cases_with_outages() -> impl Strategy<Value = Case> {
    let fleet = (vec(any::<u8>(), 4), vec(any::<u8>(), 15..=27));
    (cases_with_alerts(0..=4, 30), fleet).prop_map(|(mut case, (climate, days))| {
        outage::add_fleet(&mut case.arrivals, &climate, &days);
        case
    })
}

/// Cases whose events all become known at one instant, in any order: nothing arrives twice with
/// different content, and no profile comes (its records have an order).
pub fn crowds(arrivals_max: usize) -> impl Strategy<Value = Case> {
    cases(arrivals_max).prop_map(|mut case| {
        record::gather(&mut case.arrivals);
        // What is late for the item horizon depends on what came before.
        case.card = case.card.replace("item_horizon: ", "# was item_horizon: ");
        case.card.push_str("item_horizon: 5000d\n");
        case
    })
}

/// The scorecard as it is, and one line of JSON for each record.
impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n--- scorecard\n{}--- records", self.card)?;
        for arrival in &self.arrivals {
            writeln!(f, "{arrival}")?;
        }
        write!(f, "--- choices {:?}", self.choices)
    }
}
