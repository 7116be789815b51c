//! Engine and reference model side by side.
//!
//! Leaves out what the model leaves out: alerts, the outage guard, sentences, hashes.

#![allow(dead_code, reason = "each integration test uses its own part of this")]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use barometer::engine::Engine;
use barometer::engine::event::{DecodeLimits, Event, Source, decode};
use barometer::engine::scorecard::Scorecard;
use barometer::engine::time::EventTime;
use barometer::engine::verdict::{Decision, Part, Verdict, band_name};
use serde_json::{Value, json};

use crate::histories::Arrival;
use crate::reference::model::BandChange;
use crate::reference::{self, Card, Model, Record};

/// How far two numbers may lie apart, in proportion where they are large.
const TOLERANCE: f64 = 1e-9;

/// The engine with what it decided so far.
pub struct Judged {
    engine: Engine,
    card: Arc<Scorecard>,
    verdicts: Vec<Verdict>,
}

impl Judged {
    pub fn new(yaml: &str) -> Judged {
        let card = Scorecard::parse("card.yaml", yaml).unwrap_or_else(|problems| {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            panic!("the generator's scorecard is refused:\n{}\n{yaml}", problems.join("\n"))
        });
        let card = Arc::new(card.scorecard);
        let engine = Engine::new(Arc::clone(&card), EventTime::from_millis(0));
        Judged { engine, card, verdicts: Vec::new() }
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

    fn collect(&mut self) {
        while let Some(verdict) = self.engine.poll_verdict() {
            self.verdicts.push(verdict);
        }
    }

    pub fn account_ids(&self) -> Vec<String> {
        self.engine.account_ids().map(str::to_owned).collect()
    }

    /// The account's report as JSON, without the hash, which the model does not know.
    pub fn report(&mut self, account_id: &str) -> Value {
        let Some(snapshot) = self.engine.snapshot(account_id) else { return Value::Null };
        let mut report = serde_json::to_value(snapshot.report(&self.card)).expect("it is JSON");
        report.as_object_mut().expect("a report is an object").remove("scorecard_hash");
        report
    }

    /// The report without what depends on the path: which band was entered first.
    pub fn report_but_for_band(&mut self, account_id: &str) -> Value {
        let mut report = self.report(account_id);
        if let Some(report) = report.as_object_mut() {
            report
                .retain(|key, _| !matches!(key.as_str(), "band" | "previous_band" | "band_since"));
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

    /// Compares all reports, and all band changes so far.
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
            self.compare_changes(account_id)?;
        }
        let dropped =
            |ids: &[String]| ids.iter().map(|id| self.model.late_dropped(id)).sum::<u64>();
        same(
            "late-dropped",
            &dropped(&account_ids),
            &self.engine.engine.stats().late_dropped.iter().sum(),
        )
    }

    fn compare_changes(&self, account_id: &str) -> Result<(), String> {
        let verdicts = self.engine.verdicts.iter().filter(|v| v.account_id == account_id);
        let found: Vec<Value> = verdicts.map(change_of_verdict).collect();
        let changes = self.model.changes(account_id);
        let expected: Vec<Value> = changes.iter().map(change_of_model).collect();
        compare_json(&json!(expected), &json!(found), "change").map_err(|difference| {
            let brief = |changes: &[Value]| -> Vec<String> {
                let line =
                    |c: &Value| format!("{} {}->{} {}", c["at_ms"], c["from"], c["to"], c["score"]);
                changes.iter().map(line).collect()
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

fn change_of_verdict(verdict: &Verdict) -> Value {
    let card = &verdict.card;
    let Decision::BandChange { from, to } = verdict.decision else {
        unreachable!("random cards have no alerts yet")
    };
    let mut points = BTreeMap::new();
    let mut values = BTreeMap::new();
    for movement in &verdict.movements {
        let id = match movement.part {
            Part::Measure(index) => format!("measure {}", card.measure(index).id),
            Part::Gate(index) => format!("gate {}", card.gates[index].id),
            Part::StartAndClamp => "start and clamp".to_owned(),
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
        "at_ms": verdict.at.as_millis(),
        "from": band_name(card, from),
        "to": band_name(card, to),
        "score": verdict.score,
        "previous_score": verdict.previous_score,
        "points": points,
        "values": values,
    })
}

fn change_of_model(change: &BandChange) -> Value {
    let mut points = BTreeMap::new();
    let mut values = BTreeMap::new();
    for (id, delta) in &change.contribution_deltas {
        if delta.abs() > TOLERANCE {
            points.insert(format!("measure {id}"), *delta);
            let before = change.previous_values.get(id).copied().flatten();
            values.insert(format!("measure {id}"), [before, change.values[id]]);
        }
    }
    for (id, delta) in &change.gate_deltas {
        let id = match id.as_str() {
            "start" | "clamp" => "start and clamp".to_owned(),
            id => format!("gate {id}"),
        };
        *points.entry(id).or_insert(0.0) += delta;
    }
    points.retain(|_, delta| delta.abs() > TOLERANCE);
    json!({
        "at_ms": change.at_ms,
        "from": change.from,
        "to": change.to,
        "score": change.score,
        "previous_score": change.previous_published_score,
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
