//! What ought to come out, by the reference model: fed with what lies on the input topics, in the
//! order in which a task takes it.
//!
//! A task takes the records of one partition number in record-time order across the topics, those
//! of one instant in the order of the sources, and never one of a topic before the one ahead of it.

#![allow(dead_code, reason = "each test binary compiles all of this and uses its part")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;

use crate::reference::model::{Decision, Verdict};
use crate::reference::{Card, Model, Record, Source};
use crate::support::service::{INPUTS, Setup};
use crate::support::{Kafka, ReadRecord};

const SOURCES: [Source; 5] =
    [Source::Usage, Source::Ticket, Source::Payment, Source::Survey, Source::Profile];
/// Scores, points and weights agree to this.
const TOLERANCE: f64 = 1e-9;

/// Everything that can be expected of one run over what the input topics hold.
pub struct Expected {
    card: Card,
    /// By partition number, in the order of taking.
    taken: BTreeMap<i32, Vec<Taken>>,
}

/// One record as a task takes it: also one that is no good moves the clock.
struct Taken {
    source: Source,
    time_ms: i64,
    good: Option<Record>,
}

impl Expected {
    /// Reads the input topics of a setup.
    pub fn read(kafka: &Kafka, setup: &Setup, card_yaml: &str) -> Expected {
        let mut feeds: BTreeMap<i32, [VecDeque<Taken>; 5]> = BTreeMap::new();
        for (index, input) in INPUTS.iter().enumerate() {
            for record in kafka.read_committed(setup.topic(input)) {
                let feed = &mut feeds.entry(record.partition).or_default()[index];
                feed.push_back(Taken::read(SOURCES[index], &record));
            }
        }
        let merge = |(partition, mut feeds): (i32, [VecDeque<Taken>; 5])| {
            let mut merged = Vec::new();
            while let Some(feed) = feeds
                .iter_mut()
                .filter(|feed| !feed.is_empty())
                .min_by_key(|feed| (feed[0].time_ms, feed[0].source))
            {
                merged.extend(feed.pop_front());
            }
            (partition, merged)
        };
        Expected { card: Card::parse(card_yaml), taken: feeds.into_iter().map(merge).collect() }
    }

    /// Of these accounts only; the records of all go on moving the clock.
    pub fn only(mut self, accounts: &BTreeSet<String>) -> Expected {
        for taken in self.taken.values_mut().flatten() {
            taken.good = taken.good.take().filter(|record| accounts.contains(&record.account_id));
        }
        self
    }

    /// How many good records there are.
    pub fn good_records(&self) -> usize {
        self.taken.values().flatten().filter(|taken| taken.good.is_some()).count()
    }

    /// Every account's verdicts, in order, when records alone drive the clock.
    pub fn changes(&self) -> BTreeMap<String, Vec<Verdict>> {
        let mut changes = BTreeMap::new();
        for taken in self.taken.values() {
            let mut model = Model::new(self.card.clone());
            let mut t = i64::MIN;
            for taken in taken {
                t = t.max(taken.time_ms);
                if let Some(record) = &taken.good {
                    model.feed(&Record { record_time_ms: t, ..record.clone() });
                }
            }
            model.advance_to(t);
            for account_id in model.account_ids() {
                let of_account = model.verdicts(&account_id).to_vec();
                changes.insert(account_id, of_account);
            }
        }
        changes
    }

    /// The report of an account at `t`, from what its task had taken by then. Accounts do not touch
    /// each other, but every record moves the clock of all.
    pub fn report(&self, account_id: &str, t: i64) -> Value {
        let mut model = Model::new(self.card.clone());
        for taken in self.taken.values() {
            let mut now = i64::MIN;
            for taken in taken {
                now = now.max(taken.time_ms);
                let own = taken.good.as_ref().filter(|record| record.account_id == account_id);
                if let (Some(record), true) = (own, now <= t) {
                    model.feed(&Record { record_time_ms: now, ..record.clone() });
                }
            }
        }
        model.report(account_id, t).expect("an account with records")
    }
}

impl Taken {
    fn read(source: Source, record: &ReadRecord) -> Taken {
        let time_ms = record.timestamp_millis.expect("every record has a timestamp");
        let good = match record.value.as_deref() {
            None => Some(Record::tombstone(record.key_text(), time_ms)),
            Some(value) => serde_json::from_slice(value)
                .ok()
                .map(|body: Value| Record::new(source, time_ms, body)),
        };
        Taken { source, time_ms, good }
    }
}

/// Checks that the records of the events topic are the expected verdicts: every one once, in order
/// for each account, with its numbers, and under ids that nobody else has.
pub fn assert_published(events: &[ReadRecord], expected: &BTreeMap<String, Vec<Verdict>>) {
    let mut published: BTreeMap<&str, Vec<&ReadRecord>> = BTreeMap::new();
    for record in events {
        published.entry(record.key_text()).or_default().push(record);
    }
    let mut ids: Vec<&str> = events
        .iter()
        .map(|record| record.header("ce_id").expect("every event has an id"))
        .collect();
    ids.sort_unstable();
    let all = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), all, "some id was given twice");

    for (account_id, changes) in expected {
        let records = published.remove(account_id.as_str()).unwrap_or_default();
        let summary = |record: &&ReadRecord| {
            let json = record.json();
            let what = if json["rule"].is_null() { &json["to"] } else { &json["dedup_key"] };
            format!(
                "{} {what} {} {}",
                record.header("ce_time").unwrap_or_default(),
                json["status"],
                json["score"]
            )
        };
        assert_eq!(
            records.len(),
            changes.len(),
            "`{account_id}`: published {:#?}, expected {changes:#?}",
            records.iter().map(summary).collect::<Vec<_>>()
        );
        let Some(life) = records.first().map(|record| life_of(record)) else { continue };
        assert!(life.starts_with(&format!("{account_id}:")), "`{account_id}` has `{life}`");
        for (index, (record, change)) in records.iter().zip(changes).enumerate() {
            assert_eq!(change.sequence, index as u64 + 1, "`{account_id}`");
            assert_verdict(account_id, life, record, change);
        }
    }
    assert!(published.is_empty(), "nobody expected {:?}", published.keys());
}

/// What all ids of an account begin with: who it is, and when it began.
fn life_of(record: &ReadRecord) -> &str {
    let id = record.header("ce_id").expect("every event has an id");
    id.rsplit_once(':').expect("an id ends with a number").0
}

fn assert_verdict(account_id: &str, life: &str, record: &ReadRecord, verdict: &Verdict) {
    let json = record.json();
    let place = format!("{life}:{}", verdict.sequence);
    assert_eq!(json["account_id"], account_id);
    assert_eq!(json["sequence"], verdict.sequence, "{place}");
    let ce_type = assert_decision(&place, life, &json, verdict);
    assert_near(&json["score"], verdict.score, &format!("{place}: score"));
    let previous = verdict.previous_score;
    assert_near(&json["previous_score"], previous, &format!("{place}: previous score"));

    let mut expected = verdict.contribution_deltas.clone();
    expected.extend(verdict.gate_deltas.clone());
    let mut sum = 0.0;
    for row in json["changes"].as_array().expect("a list of changes") {
        let (id, points) = (row["id"].as_str().unwrap(), row["points"].as_f64().unwrap());
        let delta = expected.remove(id).unwrap_or_default();
        assert!((points - delta).abs() <= TOLERANCE, "{place}: {id} {points}, expected {delta}");
        sum += points;
    }
    for (id, delta) in expected {
        assert!(delta.abs() <= TOLERANCE, "{place}: {id} is not there, expected {delta}");
    }
    let by = verdict.score.unwrap_or_default() - previous.unwrap_or_default();
    assert!((sum - by).abs() <= TOLERANCE, "{place}: the points sum to {sum}, expected {by}");

    let header = |name| record.header(name).unwrap_or_else(|| panic!("{place}: no `{name}`"));
    assert_eq!(header("ce_specversion"), "1.0");
    assert_eq!(header("ce_id"), place);
    assert_eq!(header("ce_type"), ce_type);
    assert_eq!(header("ce_subject"), account_id);
    assert_eq!(header("ce_time"), instant(verdict.at_ms));
    assert!(header("ce_source").starts_with("/barometer/"));
    assert!(!header("ce_dataschema").is_empty());
    assert_eq!(header("content-type"), "application/json");
}

/// Checks what a record says was decided; returns the type it should have.
fn assert_decision(place: &str, life: &str, json: &Value, verdict: &Verdict) -> &'static str {
    let at = |millis: i64| Value::from(instant(millis));
    let account_id = &verdict.account_id;
    let (status, rule, severity, since, ended_at, more) = match &verdict.decision {
        Decision::BandChange { from, to, .. } => {
            assert_eq!((&json["from"], &json["to"]), (&from.as_str().into(), &to.as_str().into()));
            assert_eq!(json["entered_at"], instant(verdict.at_ms), "{place}");
            return "barometer.band_changed.v1";
        }
        Decision::AlertFired { rule, severity, since, escalated_from } => {
            let escalated_from = escalated_from.map(|severity| severity.name());
            let more = ("escalated_from", escalated_from.into());
            ("firing", rule, severity, since, Value::Null, more)
        }
        Decision::AlertResolved { rule, severity, since, firing_sequence } => {
            let more = ("firing_id", format!("{life}:{firing_sequence}").into());
            ("resolved", rule, severity, since, at(verdict.at_ms), more)
        }
    };
    for (field, expected) in [
        ("dedup_key", Value::from(format!("{account_id}:{rule}"))),
        ("status", status.into()),
        ("rule", rule.as_str().into()),
        ("severity", severity.name().into()),
        ("started_at", at(*since)),
        ("ended_at", ended_at),
        more,
    ] {
        assert_eq!(json[field], expected, "{place}: {field}");
    }
    match status {
        "firing" => "barometer.alert_fired.v1",
        _ => "barometer.alert_resolved.v1",
    }
}

/// Checks a report against the reference's, number by number. What only one side has is left out:
/// the card's hash, and when an account that never had a band came to have none.
pub fn assert_same_report(report: &Value, expected: &Value) {
    let mut report = report.clone();
    let mut expected = expected.clone();
    for side in [&mut report, &mut expected] {
        side.as_object_mut().expect("an object").remove("scorecard_hash");
        if side["previous_band"].is_null() {
            side.as_object_mut().expect("an object").remove("band_since");
        }
    }
    assert_same(&report, &expected, &format!("{}", report["account_id"]));
}

fn assert_same(actual: &Value, expected: &Value, place: &str) {
    match (actual, expected) {
        (Value::Object(actual), Value::Object(expected)) => {
            let names = |fields: &serde_json::Map<String, Value>| {
                fields.keys().cloned().collect::<std::collections::BTreeSet<_>>()
            };
            assert_eq!(names(actual), names(expected), "{place}");
            for (name, value) in actual {
                assert_same(value, &expected[name], &format!("{place}.{name}"));
            }
        }
        (Value::Array(actual), Value::Array(expected)) => {
            assert_eq!(actual.len(), expected.len(), "{place}");
            for (index, (actual, expected)) in actual.iter().zip(expected).enumerate() {
                assert_same(actual, expected, &format!("{place}[{index}]"));
            }
        }
        (Value::Number(_), Value::Number(number)) => assert_near(actual, number.as_f64(), place),
        _ => assert_eq!(actual, expected, "{place}"),
    }
}

fn assert_near(actual: &Value, expected: Option<f64>, place: &str) {
    match (actual.as_f64(), expected) {
        (Some(actual), Some(expected)) => {
            assert!(
                (actual - expected).abs() <= TOLERANCE,
                "{place}: {actual}, expected {expected}"
            );
        }
        (None, None) => {}
        (actual, expected) => panic!("{place}: {actual:?}, expected {expected:?}"),
    }
}

/// An instant as records write it.
pub fn instant(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis).expect("an instant of the tests").to_string()
}
