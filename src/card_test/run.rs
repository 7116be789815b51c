//! Cases through the engine, and where they miss.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use compact_str::CompactString;
use serde::Serialize;

use super::expect::{Expectation, Expected};
use super::given::{Instance, decode_body};
use super::{Case, Happening};
use crate::engine::Engine;
use crate::engine::outage;
use crate::engine::report::{AccountReport, MeasureReport};
use crate::engine::scorecard::Scorecard;
use crate::engine::scorecard::UNKNOWN_BAND;
use crate::engine::time::{EventTime, Span};
use crate::engine::verdict::{AlertChange, Decision};

/// What came of one case.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// The case's name.
    pub case: String,
    /// Where the case stands in its file.
    pub line: u32,
    /// Empty where everything is as expected.
    pub misses: Vec<Miss>,
}

/// One thing that is not as expected.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Miss {
    /// Where the expectation stands in its file.
    pub line: u32,
    /// From the start of the case.
    #[serde(serialize_with = "as_text")]
    pub at: Span,
    /// The same as an instant.
    pub instant: EventTime,
    /// `score`, `values.active_users`, ...
    pub what: String,
    /// In words.
    pub expected: String,
    /// In words.
    pub found: String,
}

fn as_text<S: serde::Serializer>(span: &Span, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(span)
}

impl Outcome {
    /// Whether everything is as expected.
    pub fn holds(&self) -> bool {
        self.misses.is_empty()
    }
}

/// For people: the instants, and under each what was expected and what was found.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.misses.iter().map(|miss| miss.what.len()).max().unwrap_or(0);
        let mut place = None;
        for miss in &self.misses {
            if place != Some((miss.line, miss.at)) {
                writeln!(f, "  at {} ({}), line {}:", miss.at, miss.instant, miss.line)?;
                place = Some((miss.line, miss.at));
            }
            let Miss { what, expected, found, .. } = miss;
            writeln!(f, "    {what:width$}  expected {expected}, found {found}")?;
        }
        Ok(())
    }
}

/// Runs a case on an engine of its own, by the rules of `card`.
pub fn run(card: &Arc<Scorecard>, case: &Case) -> Outcome {
    let publish_from = case.publish_from.map_or(EventTime::MIN, |span| case.start + span);
    let mut engine = Engine::new(Arc::clone(card), publish_from);
    if case.outage_guard {
        engine = engine.with_outage_guard();
    }
    let mut records: Vec<(Instance, &Happening)> = case
        .given
        .iter()
        .flat_map(|happening| {
            happening.instances(case.start).map(move |instance| (instance, happening))
        })
        .collect();
    // As a task takes them: by record time, then topic by topic; then in the order of the file.
    records.sort_by_key(|(instance, _)| (instance.record_time, instance.source));
    let mut records = records.into_iter().peekable();
    let mut misses = Vec::new();
    let mut since = Since::default();
    for expectation in &case.expect {
        let instant = case.start + expectation.at;
        let mut found = Finding { expectation, instant, misses: &mut misses };
        while let Some((instance, happening)) =
            records.next_if(|(instance, _)| instance.record_time <= instant)
        {
            engine.advance_to(instance.record_time);
            let body = happening.body(case.start, &instance);
            match decode_body(happening, &instance, body.as_deref()) {
                Ok(event) => {
                    engine.handle_event(&event);
                }
                // The first of its kind was good, so this is one far out in a long repetition.
                Err(error) => found.miss("given", "an event that can be used", &error),
            }
            since.note(&mut engine);
        }
        engine.advance_to(instant);
        since.note(&mut engine);
        found.compare_since(&since.take(&expectation.account));
        let snapshot = engine.snapshot(&expectation.account);
        found.compare(snapshot.as_ref().map(|snapshot| snapshot.report()).as_ref());
    }
    Outcome { case: case.name.clone(), line: case.line, misses }
}

/// What was published and not asked about yet, by account.
#[derive(Default)]
struct Since {
    accounts: HashMap<CompactString, Told>,
    operator_alerts: Vec<&'static str>,
}

/// What was published of one account since its last expectation.
#[derive(Default)]
struct Told {
    band_changes: u32,
    fired: Vec<String>,
    resolved: Vec<String>,
    escalated: Vec<String>,
    operator_alerts: Vec<&'static str>,
}

impl Since {
    fn note(&mut self, engine: &mut Engine) {
        while let Some(verdict) = engine.poll_verdict() {
            let told = self.accounts.entry(verdict.account_id.clone()).or_default();
            match verdict.decision {
                Decision::BandChange { .. } => told.band_changes += 1,
                Decision::Alert(step) => {
                    let rule = verdict.card.alerts[step.rule].id.clone();
                    match step.change {
                        AlertChange::Fired => told.fired.push(rule),
                        AlertChange::Escalated { .. } => told.escalated.push(rule),
                        AlertChange::Resolved { .. } => told.resolved.push(rule),
                    }
                }
            }
        }
        while let Some(alert) = engine.poll_operator_alert() {
            if alert.ended_at.is_none() {
                self.operator_alerts.push(outage::name(alert.source));
            }
        }
    }

    fn take(&mut self, account: &str) -> Told {
        let told = self.accounts.remove(account).unwrap_or_default();
        Told { operator_alerts: std::mem::take(&mut self.operator_alerts), ..told }
    }
}

/// One expectation while it is compared.
struct Finding<'a> {
    expectation: &'a Expectation,
    instant: EventTime,
    misses: &'a mut Vec<Miss>,
}

impl Finding<'_> {
    /// Compares with the account's report; `None` is an account nobody has heard of.
    fn compare(&mut self, report: Option<&AccountReport<'_>>) {
        let expectation = self.expectation;
        if let Some(expected) = expectation.score {
            self.number("score", expected, report.and_then(|report| report.score));
        }
        if let Some(expected) = &expectation.band {
            let found = report.map_or(UNKNOWN_BAND, |report| report.band);
            if expected != found {
                self.miss("band", expected, &found);
            }
        }
        if let Some(expected) = expectation.coverage {
            self.number("coverage", expected, Some(report.map_or(0.0, |report| report.coverage)));
        }
        for (id, expected) in &expectation.dimensions {
            let dimensions = report.map_or(&[][..], |report| &report.dimensions);
            let found = dimensions.iter().find(|dimension| dimension.id == id);
            let found = found.and_then(|dimension| dimension.score);
            self.number(&format!("dimensions.{id}"), *expected, found);
        }
        self.measures("values", &expectation.values, report, |measure| measure.value);
        self.measures("sub_scores", &expectation.sub_scores, report, |measure| measure.sub_score);
        self.measures("weights", &expectation.weights, report, |measure| Some(measure.weight));
        let points = |measure: &MeasureReport<'_>| Some(measure.contribution);
        self.measures("contributions", &expectation.contributions, report, points);
        if let Some(wanted) = &expectation.gates {
            self.gates(wanted, report);
        }
        if let Some(wanted) = &expectation.degraded {
            let degraded = report.map_or(Vec::new(), |report| report.degraded.clone());
            self.ids("degraded", wanted, degraded);
        }
        if let Some(wanted) = &expectation.firing {
            let alerts = report.map_or(&[][..], |report| &report.alerts);
            let firing = alerts.iter().filter(|alert| alert.status == "firing");
            self.ids("firing", wanted, firing.map(|alert| alert.rule).collect());
        }
    }

    /// Compares with what was published since the last expectation.
    fn compare_since(&mut self, since: &Told) {
        let expectation = self.expectation;
        if let Some(wanted) = &expectation.operator_alerts {
            self.ids("operator_alerts", wanted, since.operator_alerts.clone());
        }
        if let Some(expected) = expectation.band_changes {
            self.number("band_changes", expected, Some(f64::from(since.band_changes)));
        }
        for (what, wanted, found) in [
            ("fired", &expectation.fired, &since.fired),
            ("resolved", &expectation.resolved, &since.resolved),
            ("escalated", &expectation.escalated, &since.escalated),
        ] {
            if let Some(wanted) = wanted {
                self.ids(what, wanted, found.iter().map(String::as_str).collect());
            }
        }
    }

    fn measures(
        &mut self,
        name: &str,
        wanted: &[(String, Expected)],
        report: Option<&AccountReport<'_>>,
        of: impl Fn(&MeasureReport<'_>) -> Option<f64>,
    ) {
        for (id, expected) in wanted {
            let found = report.and_then(|report| measure_of(report, id)).and_then(&of);
            self.number(&format!("{name}.{id}"), *expected, found);
        }
    }

    fn gates(&mut self, wanted: &[String], report: Option<&AccountReport<'_>>) {
        // The rows of a signed card's start and limits are no gates of the card.
        let is_gate = |id: &str| id != "start" && id != "clamp" || wanted.iter().any(|w| w == id);
        let gates = report.map_or(&[][..], |report| &report.gates);
        let found = gates.iter().map(|gate| gate.id).filter(|id| is_gate(id)).collect();
        self.ids("gates", wanted, found);
    }

    /// Compares two lists of ids, their order left out.
    fn ids(&mut self, what: &str, wanted: &[String], mut found: Vec<&str>) {
        let mut expected: Vec<&str> = wanted.iter().map(String::as_str).collect();
        found.sort_unstable();
        expected.sort_unstable();
        if found != expected {
            self.miss(what, listed(&expected), &listed(&found));
        }
    }

    fn number(&mut self, what: &str, expected: Expected, found: Option<f64>) {
        let tolerance = self.expectation.tolerance;
        let holds = match (expected, found) {
            (Expected::Missing, None) => true,
            (Expected::Missing, Some(_)) | (_, None) => false,
            (Expected::About(wanted), Some(found)) => (found - wanted).abs() <= tolerance + SLACK,
            (Expected::Between { at_least, at_most }, Some(found)) => {
                at_least.is_none_or(|least| found >= least - SLACK)
                    && at_most.is_none_or(|most| found <= most + SLACK)
            }
        };
        if !holds {
            let found = found.map_or("missing".to_owned(), shown);
            self.miss(what, described(expected, tolerance), &found);
        }
    }

    fn miss(&mut self, what: &str, expected: impl Into<String>, found: &dyn fmt::Display) {
        self.misses.push(Miss {
            line: self.expectation.line,
            at: self.expectation.at,
            instant: self.instant,
            what: what.to_owned(),
            expected: expected.into(),
            found: found.to_string(),
        });
    }
}

/// A number within this of a limit is on it, as everywhere.
const SLACK: f64 = crate::engine::scorecard::TOLERANCE;

fn measure_of<'r, 'a>(report: &'r AccountReport<'a>, id: &str) -> Option<&'r MeasureReport<'a>> {
    let mut measures = report.dimensions.iter().flat_map(|dimension| &dimension.measures);
    measures.find(|measure| measure.id == id)
}

fn described(expected: Expected, tolerance: f64) -> String {
    match expected {
        Expected::Missing => "missing".to_owned(),
        Expected::About(wanted) => format!("{wanted} (± {tolerance})"),
        Expected::Between { at_least: Some(least), at_most: Some(most) } => {
            format!("{least} to {most}")
        }
        Expected::Between { at_least: Some(least), at_most: None } => format!("at least {least}"),
        Expected::Between { at_least: None, at_most: Some(most) } => format!("at most {most}"),
        Expected::Between { at_least: None, at_most: None } => "any number".to_owned(),
    }
}

/// At most four decimals: enough to copy a found number into an expectation.
fn shown(number: f64) -> String {
    let rounded = (number * 10_000.0).round() / 10_000.0;
    format!("{}", if rounded == 0.0 { 0.0 } else { rounded })
}

fn listed(ids: &[&str]) -> String {
    if ids.is_empty() { "none".to_owned() } else { ids.join(", ") }
}
