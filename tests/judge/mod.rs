//! Engine and reference model side by side.
//!
//! Leaves out what the model leaves out: sentences, hashes.

#![allow(dead_code, reason = "each integration test uses its own part of this")]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use barometer::engine::Engine;
use barometer::engine::event::{DecodeLimits, Event, Source, decode};
use barometer::engine::outage::OperatorAlert;
use barometer::engine::scorecard::Scorecard;
use barometer::engine::time::EventTime;
use barometer::engine::verdict::{AlertChange, Cause, Decision, Part, Verdict, band_name};
use serde_json::{Value, json};

use crate::histories::Arrival;
use crate::reference::model;
use crate::reference::{self, Card, Model, Record};

/// How far two numbers may lie apart, in proportion where they are large.
const TOLERANCE: f64 = 1e-9;

/// The engine with what it decided so far.
pub struct Judged {
    engine: Engine,
    card: Arc<Scorecard>,
    verdicts: Vec<Verdict>,
    operator_alerts: Vec<OperatorAlert>,
}

impl Judged {
    pub fn new(yaml: &str) -> Judged {
        Judged::publishing_from(yaml, 0)
    }

    /// Verdicts of task times before that are taken in silence.
    pub fn publishing_from(yaml: &str, publish_from_ms: i64) -> Judged {
        let card = Scorecard::parse("card.yaml", yaml).unwrap_or_else(|problems| {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            panic!("the generator's scorecard is refused:\n{}\n{yaml}", problems.join("\n"))
        });
        let card = Arc::new(card.scorecard);
        let engine = Engine::new(Arc::clone(&card), EventTime::from_millis(publish_from_ms));
        Judged { engine, card, verdicts: Vec::new(), operator_alerts: Vec::new() }
    }

    pub fn advance_to(&mut self, now_ms: i64) {
        self.engine.advance_to(EventTime::from_millis(now_ms));
        self.collect();
    }

    /// Takes a record at its record time.
    pub fn feed(&mut self, arrival: &Arrival) -> Result<(), String> {
        self.advance_to(arrival.record_time_ms);
        let json = arrival.json();
        self.engine.handle_event(&decoded(arrival, json.as_deref())?);
        self.collect();
        Ok(())
    }

    /// The same with at most `looks` of the deadlines before it handled first.
    pub fn feed_after(&mut self, arrival: &Arrival, mut looks: usize) -> Result<(), String> {
        let now = EventTime::from_millis(arrival.record_time_ms);
        self.engine.advance_within(now, &mut looks);
        let json = arrival.json();
        self.engine.handle_event(&decoded(arrival, json.as_deref())?);
        self.collect();
        Ok(())
    }

    fn collect(&mut self) {
        while let Some(verdict) = self.engine.poll_verdict() {
            self.verdicts.push(verdict);
        }
        self.operator_alerts.extend(std::iter::from_fn(|| self.engine.poll_operator_alert()));
    }

    pub fn account_ids(&self) -> Vec<String> {
        self.engine.account_ids().map(str::to_owned).collect()
    }

    /// The account's report as JSON, without the hash, which the model does not know.
    pub fn report(&mut self, account_id: &str) -> Value {
        let Some(snapshot) = self.engine.snapshot(account_id) else { return Value::Null };
        let mut report = serde_json::to_value(snapshot.report()).expect("it is JSON");
        report.as_object_mut().expect("a report is an object").remove("scorecard_hash");
        report
    }

    /// The report without what depends on the path: which band was entered first, and what fired.
    pub fn report_but_for_band(&mut self, account_id: &str) -> Value {
        let mut report = self.report(account_id);
        if let Some(report) = report.as_object_mut() {
            report.retain(|key, _| {
                !matches!(key.as_str(), "band" | "previous_band" | "band_since" | "alerts")
            });
        }
        report
    }

    pub fn reports(&mut self) -> Vec<Value> {
        self.account_ids().iter().map(|account_id| self.report(account_id)).collect()
    }

    /// Everything that was decided, in order, as text.
    pub fn all_verdicts(&self) -> Vec<String> {
        self.verdicts.iter().map(said).collect()
    }

    pub fn verdicts_of(&self, account_id: &str) -> Vec<String> {
        let own = self.verdicts.iter().filter(|verdict| verdict.account_id == account_id);
        own.map(said).collect()
    }
}

fn said(verdict: &Verdict) -> String {
    let Verdict {
        account_id,
        sequence,
        at,
        decision,
        score,
        previous_score,
        coverage,
        movements,
        ..
    } = verdict;
    format!(
        "{account_id} {sequence} {at} {decision:?} {score:?} {previous_score:?} {coverage} \
         {movements:?}"
    )
}

fn decoded<'a>(arrival: &'a Arrival, json: Option<&'a [u8]>) -> Result<Event<'a>, String> {
    let record_time = EventTime::from_millis(arrival.record_time_ms);
    let key = Some(arrival.account_id.as_bytes());
    decode(arrival.source, key, json, record_time, &DecodeLimits::default())
        .map_err(|error| format!("the generator's record is refused: {error:?}\n{arrival}"))
}

/// Engine and model, fed the same.
pub struct Both {
    pub engine: Judged,
    model: Model,
    now_ms: i64,
}

impl Both {
    pub fn new(yaml: &str) -> Both {
        Both { engine: Judged::new(yaml), model: Model::new(Card::parse(yaml)), now_ms: 0 }
    }

    pub fn publishing_from(yaml: &str, publish_from_ms: i64) -> Both {
        let mut both = Both::new(yaml);
        both.engine = Judged::publishing_from(yaml, publish_from_ms);
        both.model.publish_from = publish_from_ms;
        both
    }

    /// Both with an outage guard.
    pub fn with_outage_guard(yaml: &str) -> Both {
        let model = Model::new(Card::parse(yaml)).with_outage_guard();
        let mut both = Both { model, ..Both::new(yaml) };
        both.engine.engine = both.engine.engine.with_outage_guard();
        both
    }

    /// What the operators of the sources were told.
    fn compare_outages(&self) -> Result<(), String> {
        let expected: Vec<_> = self
            .model
            .outages()
            .iter()
            .filter(|outage| outage.published)
            .map(|o| (o.source as usize, o.firing, o.since, o.at_ms, o.expected, o.came))
            .collect();
        let found: Vec<_> = self
            .engine
            .operator_alerts
            .iter()
            .map(|o| {
                let firing = o.ended_at.is_none();
                let (since, at) = (o.started_at.as_millis(), o.at.as_millis());
                (o.source as usize, firing, since, at, o.expected, o.came as i64)
            })
            .collect();
        same("outages", &expected, &found)
    }

    pub fn judge_every_hour(&mut self, every_hour: bool) {
        self.model.every_hour = every_hour;
    }

    pub fn feed(&mut self, arrival: &Arrival) -> Result<(), String> {
        self.now_ms = self.now_ms.max(arrival.record_time_ms);
        self.engine.feed(arrival)?;
        self.model.feed(&record(arrival));
        Ok(())
    }

    pub fn advance_to(&mut self, now_ms: i64) {
        self.now_ms = self.now_ms.max(now_ms);
        self.engine.advance_to(now_ms);
        self.model.advance_to(now_ms);
    }

    /// Compares all reports, and everything decided so far.
    pub fn compare(&mut self) -> Result<(), String> {
        let mut account_ids = self.engine.account_ids();
        account_ids.sort();
        same("accounts", &self.model.account_ids(), &account_ids)?;
        for account_id in &account_ids {
            let expected = self.model.report(account_id, self.now_ms).expect("it is known");
            let found = self.engine.report(account_id);
            let at = expected["as_of"].as_str().unwrap_or_default().to_owned();
            compare_json(&without_rounding(expected), &without_rounding(found), "report")
                .map_err(|difference| format!("{account_id} at {at}: {difference}"))?;
            self.compare_verdicts(account_id)?;
        }
        self.compare_outages()?;
        let dropped =
            |ids: &[String]| ids.iter().map(|id| self.model.late_dropped(id)).sum::<u64>();
        same(
            "late-dropped",
            &dropped(&account_ids),
            &self.engine.engine.stats().late_dropped.iter().sum(),
        )
    }

    fn compare_verdicts(&self, account_id: &str) -> Result<(), String> {
        let verdicts = self.engine.verdicts.iter().filter(|v| v.account_id == account_id);
        let found: Vec<Value> = verdicts.map(verdict_of_engine).collect();
        let verdicts = self.model.verdicts(account_id);
        let expected: Vec<Value> = verdicts.iter().map(verdict_of_model).collect();
        compare_json(&json!(expected), &json!(found), "verdict").map_err(|difference| {
            let brief = |verdicts: &[Value]| -> Vec<String> {
                let line = |v: &Value| format!("{} {} {}", v["at_ms"], v["decision"], v["score"]);
                verdicts.iter().map(line).collect()
            };
            format!(
                "{account_id}: {difference}\nmodel {:#?}\nengine {:#?}",
                brief(&expected),
                brief(&found)
            )
        })
    }

    /// All reports of the engine, without the bands.
    pub fn reports_but_for_bands(&mut self) -> Vec<Value> {
        let mut account_ids = self.engine.account_ids();
        account_ids.sort();
        account_ids.iter().map(|account_id| self.engine.report_but_for_band(account_id)).collect()
    }
}

/// The record as the model takes it.
pub fn record(arrival: &Arrival) -> Record {
    let source = match arrival.source {
        Source::Usage => reference::Source::Usage,
        Source::Ticket => reference::Source::Ticket,
        Source::Payment => reference::Source::Payment,
        Source::Survey => reference::Source::Survey,
        Source::Profile => reference::Source::Profile,
    };
    match &arrival.body {
        Some(body) => Record::new(source, arrival.record_time_ms, body.clone()),
        None => Record::tombstone(&arrival.account_id, arrival.record_time_ms),
    }
}

/// A clamp of a rounding error is there or not as the sum was taken.
fn without_rounding(mut report: Value) -> Value {
    if let Some(gates) = report["gates"].as_array_mut() {
        gates.retain(|gate| {
            gate["id"] != "clamp" || gate["effect"].as_f64().is_none_or(|e| e.abs() > TOLERANCE)
        });
    }
    report
}

fn verdict_of_engine(verdict: &Verdict) -> Value {
    let card = &verdict.card;
    let decision = match &verdict.decision {
        Decision::BandChange { from, to } => {
            let cause = match verdict.cause {
                Cause::Score => Value::Null,
                cause => json!(cause.name()),
            };
            let told = verdict.overridden.as_ref();
            let told = told.map(|told| json!({"author": told.author, "reason": told.reason}));
            let band = [band_name(card, *from), band_name(card, *to)];
            json!({"band": band, "cause": cause, "override": told})
        }
        Decision::Alert(step) => {
            let (what, more) = match step.change {
                AlertChange::Fired => ("fired", Value::Null),
                AlertChange::Escalated { from } => ("fired", json!(from.name())),
                AlertChange::Resolved { firing_sequence } => ("resolved", json!(firing_sequence)),
            };
            let (rule, since) = (&card.alerts[step.rule].id, step.since.as_millis());
            json!({ what: rule, "severity": step.severity.name(), "since": since, "more": more })
        }
    };
    let mut points = BTreeMap::new();
    let mut values = BTreeMap::new();
    for movement in &verdict.movements {
        let id = match movement.part {
            Part::Measure(index) => format!("measure {}", card.measure(index).id),
            Part::Gate(index) => format!("gate {}", card.gates[index].id),
            Part::StartAndClamp => "start and clamp".to_owned(),
            Part::Rules => "rules".to_owned(),
        };
        // What did not move but for a rounding error is told by one side perhaps.
        if movement.points.abs() > TOLERANCE {
            if let Part::Measure(_) = movement.part {
                values.insert(id.clone(), [movement.from, movement.to]);
            }
            points.insert(id, movement.points);
        }
    }
    json!({
        "sequence": verdict.sequence,
        "at_ms": verdict.at.as_millis(),
        "decision": decision,
        "score": verdict.score,
        "previous_score": verdict.previous_score,
        "points": points,
        "values": values,
    })
}

fn verdict_of_model(verdict: &model::Verdict) -> Value {
    let decision = match &verdict.decision {
        model::Decision::BandChange { from, to, cause } => {
            let (cause, told) = match cause {
                model::Cause::Score => (Value::Null, None),
                model::Cause::Override(told) => (json!("override"), Some(told)),
                model::Cause::OverrideEnded(told) => (json!("override_ended"), Some(told)),
            };
            let told = told.map(|told| json!({"author": told.author, "reason": told.reason}));
            json!({"band": [from, to], "cause": cause, "override": told})
        }
        model::Decision::AlertFired { rule, severity, since, escalated_from } => json!({
            "fired": rule,
            "severity": severity.name(),
            "since": since,
            "more": escalated_from.map(|severity| severity.name()),
        }),
        model::Decision::AlertResolved { rule, severity, since, firing_sequence } => json!({
            "resolved": rule,
            "severity": severity.name(),
            "since": since,
            "more": firing_sequence,
        }),
    };
    let mut points = BTreeMap::new();
    let mut values = BTreeMap::new();
    for (id, delta) in &verdict.contribution_deltas {
        if delta.abs() > TOLERANCE {
            points.insert(format!("measure {id}"), *delta);
            let before = verdict.previous_values.get(id).copied().flatten();
            values.insert(format!("measure {id}"), [before, verdict.values[id]]);
        }
    }
    for (id, delta) in &verdict.gate_deltas {
        let id = match id.as_str() {
            "start" | "clamp" => "start and clamp".to_owned(),
            id => format!("gate {id}"),
        };
        *points.entry(id).or_insert(0.0) += delta;
    }
    points.retain(|_, delta| delta.abs() > TOLERANCE);
    json!({
        "sequence": verdict.sequence,
        "at_ms": verdict.at_ms,
        "decision": decision,
        "score": verdict.score,
        "previous_score": verdict.previous_score,
        "points": points,
        "values": values,
    })
}

/// The first difference, with the path to it; numbers within the tolerance are the same.
fn compare_json(expected: &Value, found: &Value, path: &str) -> Result<(), String> {
    match (expected, found) {
        (Value::Object(one), Value::Object(other)) => {
            for key in one.keys().chain(other.keys()) {
                let (one, other) = (one.get(key), other.get(key));
                let null = Value::Null;
                let path = format!("{path}.{key}");
                compare_json(one.unwrap_or(&null), other.unwrap_or(&null), &path)?;
            }
            Ok(())
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                let label = one["id"].as_str().map_or(index.to_string(), str::to_owned);
                compare_json(one, other, &format!("{path}[{label}]"))?;
            }
            Ok(())
        }
        (Value::Number(one), Value::Number(other)) => {
            let (one, other) = (one.as_f64().unwrap_or(0.0), other.as_f64().unwrap_or(0.0));
            let scale = one.abs().max(other.abs()).max(1.0);
            if (one - other).abs() <= TOLERANCE * scale {
                return Ok(());
            }
            Err(format!("{path}: the model says {one}, the engine {other}"))
        }
        _ if expected == found => Ok(()),
        _ => Err(format!("{path}: the model says {expected}, the engine {found}")),
    }
}

/// Exactly the same.
pub fn same<T: PartialEq + Debug>(what: &str, expected: &T, found: &T) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    Err(format!("{what}: expected {expected:#?}\nfound {found:#?}"))
}
