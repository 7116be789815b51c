//! What must hold after every fault, and at the end.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::thread;
use std::time::{Duration, Instant};

use barometer::engine::event::Source;
use barometer::engine::record::EncodedRecord;
use barometer::engine::time::EventTime;
use barometer::partitioner::Partitioner;
use serde_json::Value;

use super::PATIENCE;
use super::fault::Frozen;
use super::oracle::Oracle;
use super::scene::{PARTITIONS, Scene};
use super::tap::counter_of;
use crate::support::ReadRecord;
use crate::support::service::INPUTS;

/// A frozen process may have handed its last commit to the system just before it was stopped.
const IN_FLIGHT_MS: i64 = 1_000;

/// Everything that readers have been told is what the engine in one piece says, verdict by verdict.
/// Call when the scene has settled.
pub fn assert_published_is_expected(scene: &Scene) {
    let oracle = scene.oracle.lock().expect("it does not panic");
    let published = scene.published.lock();
    assert_same(&published.by_counter, oracle.expected());
}

/// The same, of what a reader finds who begins anew.
pub fn assert_all_is_expected(scene: &Scene) {
    let mut published: HashMap<String, Vec<ReadRecord>> = HashMap::new();
    for record in scene.kafka.read_committed(scene.setup.topic("events")) {
        published.entry(counter_of(&record)).or_default().push(record);
    }
    let oracle = scene.oracle.lock().expect("it does not panic");
    assert_same(&published, oracle.expected());
}

fn assert_same(
    published: &HashMap<String, Vec<ReadRecord>>,
    expected: &HashMap<String, Vec<EncodedRecord>>,
) {
    let keys: BTreeSet<&String> = published.keys().chain(expected.keys()).collect();
    for key in keys {
        let none = (Vec::new(), Vec::new());
        let published = published.get(key).unwrap_or(&none.0);
        let expected = expected.get(key).unwrap_or(&none.1);
        for (number, (record, expected)) in published.iter().zip(expected).enumerate() {
            let headers: Vec<(&str, &str)> = expected
                .headers
                .iter()
                .map(|(name, _)| (*name, record.header(name).unwrap_or("none")))
                .collect();
            let wanted: Vec<(&str, &str)> =
                expected.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            assert_eq!(headers, wanted, "`{key}`, its event {number}");
            let payload: Value = serde_json::from_slice(&expected.payload).expect("JSON");
            assert_eq!(record.json(), payload, "`{key}`, its event {number}");
        }
        let (came, wanted) = (published.len(), expected.len());
        assert_eq!(came, wanted, "`{key}`: so many were published, and so many were expected");
    }
}

/// No id twice, no gap in any account's count, and each band change leaves the band that the one
/// before it entered.
pub fn assert_chains(scene: &Scene) {
    let published = scene.published.lock();
    let mut ids = BTreeSet::new();
    for (key, records) in &published.by_counter {
        let mut band = Value::from("unknown");
        for (record, sequence) in records.iter().zip(1_u64..) {
            let id = record.header("ce_id").expect("every event has an id");
            assert!(ids.insert(id.to_owned()), "`{id}` was published twice");
            let json = record.json();
            assert_eq!(json["sequence"], sequence, "`{key}`: {json}");
            if !json["from"].is_null() {
                assert_eq!(json["from"], band, "`{key}`, {sequence}: the chain is broken");
                band = json["to"].clone();
            }
        }
    }
}

/// Every record that is no good is one dead letter, and nothing else is one.
pub fn assert_dead_letters(scene: &Scene) -> usize {
    let mut bad = scene.oracle.lock().expect("it does not panic").bad().clone();
    let count = bad.len();
    for letter in scene.kafka.read_committed(scene.setup.topic("dead_letters")) {
        let header = |name: &str| {
            letter.header(&format!("__connect.errors.{name}")).expect("a header of Connect's")
        };
        let topic = header("topic");
        let index = INPUTS.iter().position(|input| scene.setup.topic(input) == topic);
        let source = Source::ALL[index.expect("an input topic")];
        let number = |name| header(name).parse::<i64>().expect("a number");
        let place = (source, number("partition") as i32, number("offset"));
        assert!(bad.remove(&place), "{place:?} is a dead letter twice, or should be none");
    }
    assert!(bad.is_empty(), "{} are lost, such as {:?}", bad.len(), bad.first());
    count
}

/// The last report of every account is what the engine in one piece would report.
pub fn assert_reports(scene: &Scene) -> usize {
    let expected = scene.oracle.lock().expect("it does not panic").reports();
    // A report may be held back for as long as the settings say.
    let deadline = Instant::now() + PATIENCE;
    let mut found = last_reports(scene);
    while !expected.iter().all(|(id, report)| says_the_same(found.get(id), report))
        && Instant::now() < deadline
    {
        thread::sleep(Duration::from_millis(200));
        found = last_reports(scene);
    }
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>(),
        "accounts with a report"
    );
    for (account_id, expected) in &expected {
        let found = &found[account_id];
        assert!(
            says_the_same(Some(found), expected),
            "the last report of `{account_id}`:\n{found:#}\nexpected:\n{expected:#}"
        );
    }
    found.len()
}

/// One who is told later is told of the time it is then; nothing else is due.
fn says_the_same(found: Option<&Value>, expected: &Value) -> bool {
    let (Some(mut found), mut expected) = (found.cloned(), expected.clone()) else { return false };
    (found["as_of"], expected["as_of"]) = (Value::Null, Value::Null);
    found == expected
}

/// The score in the last report of every account is that of the engine in one piece at its time.
pub fn assert_scores(scene: &Scene) -> usize {
    let mut oracle = scene.oracle.lock().expect("it does not panic");
    // A report may be held back for as long as the settings say.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let reports = last_reports(scene);
        match wrong_scores(&reports, &mut oracle) {
            wrong if wrong.is_empty() => return reports.len(),
            wrong => assert!(Instant::now() < deadline, "{wrong:#?}"),
        }
        thread::sleep(Duration::from_millis(200));
    }
}

fn wrong_scores(reports: &BTreeMap<String, Value>, oracle: &mut Oracle) -> Vec<String> {
    let as_of = |report: &Value| {
        let as_of = report["as_of"].as_str().expect("a report has a time");
        EventTime::parse_rfc3339(as_of).expect("an instant")
    };
    let mut reports: Vec<(&String, &Value)> = reports.iter().collect();
    // The oracle's engine knows no way back.
    reports.sort_by_key(|(_, report)| as_of(report));
    let wrong = reports.into_iter().filter_map(|(account_id, report)| {
        let partition = Partitioner::Murmur2.partition(account_id.as_bytes(), PARTITIONS);
        let expected = oracle.score_at(account_id, partition, as_of(report));
        (report["score"] != expected).then(|| format!("`{account_id}`: not {expected}: {report}"))
    });
    wrong.collect()
}

/// Nothing that a frozen process had begun was committed after it was given up.
pub fn assert_the_frozen_said_nothing(scene: &Scene, frozen: &[Frozen]) {
    let stretches = scene.commits.stretches();
    assert_eq!(stretches.len(), PARTITIONS as usize, "partitions with a committed offset");
    for frozen in frozen {
        // It may have been frozen before its first commit, but not all that bore its name before it.
        let name = |owner: &str| owner.split('-').next().map(str::to_owned);
        let mut commits = stretches.values().flatten();
        let is_known = commits.any(|stretch| name(&stretch.owner) == name(&frozen.owner));
        assert!(is_known, "nobody of the name of `{}` ever committed anything", frozen.owner);
        for (partition, stretches) in &stretches {
            for stretch in stretches.iter().filter(|stretch| stretch.owner == frozen.owner) {
                let from_ms = frozen.from_ms + IN_FLIGHT_MS;
                assert!(
                    stretch.to_ms < from_ms || stretch.from_ms >= frozen.to_ms,
                    "partition {partition}: {stretch:?} reaches into {frozen:?}"
                );
            }
        }
    }
}

/// The last record of each key of the scores topic.
fn last_reports(scene: &Scene) -> BTreeMap<String, Value> {
    let mut reports = BTreeMap::new();
    for record in scene.kafka.read_committed(scene.setup.topic("scores")) {
        reports.insert(record.key_text().to_owned(), record.json());
    }
    reports
}
