//! Tests of scorecards, written beside the rules: given events, expectations at instants.
//!
//! ```text
//! tests:
//!   - name: an account that goes silent leaves green
//!     start: 2026-01-01T00:00:00Z     # the default; every `at` counts from here
//!     given:
//!       - at: 0d
//!         repeat: { every: 1d, times: 30 }
//!         usage: { users: 12, feature: reports }
//!     expect:
//!       - { at: 30d, band: green, values: { active_users: 12 } }
//!       - { at: 60d, band: red }
//! ```
//!
//! `file` finds the tests of a scorecard or of a file of tests, `given` and `expect` read them,
//! `run` puts them through the engine that everything else drives: every event is built as JSON
//! and decoded like a record of a topic. `junit` writes what came of it for build servers.

mod expect;
mod file;
mod given;
mod junit;
mod run;
#[cfg(test)]
mod tests;

pub use expect::{Expectation, Expected};
#[cfg(test)]
pub(crate) use file::known_keys;
pub use file::{TestFile, read_path, read_text};
pub use given::Happening;
pub use junit::junit;
pub use run::{Miss, Outcome, run};

use crate::engine::scorecard::Scorecard;
use crate::engine::time::{EventTime, Span};
use crate::engine::yaml::{Field, Fields, Problem};

/// A file as the caller named it, and what came of its cases or why there are none.
pub type FileResult = (String, Result<Vec<Outcome>, Vec<Problem>>);

/// Where a test's time begins unless it says otherwise: 2026-01-01T00:00:00Z, a Thursday, so that
/// panes of every default length begin here too.
pub const START: EventTime = EventTime::from_millis(1_767_225_600_000);

/// One case: what happens to an account or several, and what is expected of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// A sentence that says what holds.
    pub name: String,
    /// Where it stands in its file.
    pub line: u32,
    /// What every `at` counts from.
    pub start: EventTime,
    /// Before this, bands and alerts are set in silence.
    pub publish_from: Option<Span>,
    /// Whether the engine watches for outages of whole sources.
    pub outage_guard: bool,
    /// What happens, in the order of the file.
    pub given: Vec<Happening>,
    /// At least one; by time.
    pub expect: Vec<Expectation>,
}

/// Reads a list of cases. Ids in expectations are checked where the card is known.
fn read_cases(field: &Field<'_>, card: Option<&Scorecard>) -> Option<Vec<Case>> {
    let mut names: Vec<String> = Vec::new();
    let cases = field.list()?;
    let cases: Vec<Option<Case>> = cases
        .iter()
        .map(|item| item.mapping(|fields| read_case(fields, item.line(), card, &mut names)))
        .collect();
    cases.into_iter().collect()
}

fn read_case(
    fields: &Fields<'_>,
    line: u32,
    card: Option<&Scorecard>,
    names: &mut Vec<String>,
) -> Option<Case> {
    let name = fields.require("name").and_then(|field| {
        let name = field.text()?.to_string();
        if names.contains(&name) {
            return field.error(format!("is `{name}`, the name of a case before"));
        }
        names.push(name.clone());
        Some(name)
    });
    let start = fields.or("start", START, |field| {
        field
            .as_text()
            .and_then(|text| EventTime::parse_rfc3339(text).ok())
            .or_else(|| field.expected("an instant with offset such as `2026-01-01T00:00:00Z`"))
    });
    let publish_from = fields.maybe("publish_from", |field| field.span());
    let outage_guard = fields.or("outage_guard", false, Field::switch);
    // Whether events hold does not depend much on when they happen: they are checked all the same.
    let given =
        fields.or("given", Vec::new(), |field| given::read_given(field, start.unwrap_or(START)));
    let expect = fields.require("expect").and_then(|field| {
        field.each(|item| item.mapping(|fields| expect::read_expectation(fields, card)))
    });
    let mut expect = expect?;
    expect.sort_by_key(|expectation| expectation.at);
    Some(Case {
        name: name?,
        line,
        start: start?,
        publish_from: publish_from?,
        outage_guard: outage_guard?,
        given: given?,
        expect,
    })
}
