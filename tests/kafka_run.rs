//! The main job on a real Kafka: what goes in on the input topics comes out as the reference model
//! says, once and in order.

mod expected;
mod reference;
mod support;

use std::collections::BTreeMap;

use barometer::engine::event::Source;
use barometer::engine::time::{EventTime, Span};
use barometer::simulate::{Fleet, FleetSettings};
use serde_json::json;

use expected::{Expected, assert_published, assert_same_report, instant};
use support::service::{INPUTS, Setup, default_scorecard, now_millis};
use support::{Kafka, RawRecord};

const SECOND_MS: i64 = 1_000;
const DAY_MS: i64 = 86_400 * SECOND_MS;
/// From the fleet's first day until today, when the console producer's records arrive.
const DAYS: i64 = 75;

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn every_expected_band_change_is_published_once_in_order_with_its_reasons() {
    let kafka = Kafka::for_test("main-job");
    let setup = Setup::new(&kafka);
    setup.create_topics(4);
    let start = (now_millis() / DAY_MS - DAYS) * DAY_MS;
    write_fleet(&kafka, &setup, EventTime::from_millis(start));
    write_with_the_console_producer(&kafka, &setup);
    let expected = Expected::read(&kafka, &setup, &default_scorecard());

    let service = setup.run(&["--workers", "2"]);
    let inputs = INPUTS.map(|input| setup.topic(input));
    kafka.wait_until_committed(setup.group(), &inputs);
    let changes = expected.changes();
    assert_published(&kafka.read_committed(setup.topic("events")), &changes);
    let moved = changes.values().filter(|changes| changes.len() > 1).count();
    assert!(moved >= 5, "only {moved} accounts changed their band: the test shows too little");
    let whole =
        |source| service.metric(&format!("barometer_events_consumed_total{{source=\"{source}\"}}"));
    let consumed: f64 =
        Source::ALL.iter().map(|source| whole(source.name()).unwrap_or_default()).sum();
    assert_eq!(consumed, expected.good_records() as f64);
    assert_eq!(kafka.read_committed(setup.topic("dead_letters")), []);

    // The scores topic is compacted: the last record of a key is what counts.
    let mut reports = BTreeMap::new();
    for record in kafka.read_committed(setup.topic("scores")) {
        reports.insert(record.key_text().to_owned(), record.json());
    }
    assert_eq!(reports.keys().collect::<Vec<_>>(), changes.keys().collect::<Vec<_>>());
    for (account_id, report) in &reports {
        let as_of: jiff::Timestamp = report["as_of"].as_str().unwrap().parse().unwrap();
        let expected = expected.report(account_id, as_of.as_millisecond());
        assert_same_report(report, &expected);
        // It may be on its way from one worker to the other.
        let path = format!("/accounts/{account_id}");
        let page = service.wait_for_page(&path, |status, _| status == 200);
        let mut page: serde_json::Value = serde_json::from_str(&page).unwrap();
        page["as_of"] = report["as_of"].clone();
        assert_eq!(&page, report, "page and record say the same");
    }
    service.stop("TERM");
}

/// Two months of a small fleet, with some of its events twice, some arriving out of order, and a
/// profile forgotten.
fn write_fleet(kafka: &Kafka, setup: &Setup, start: EventTime) {
    let mut fleet = Fleet::new(FleetSettings {
        accounts: 18,
        start,
        events_per_account_day: 1.5,
        onset_days: 20..=40,
        ..FleetSettings::default()
    });
    let mut records: BTreeMap<Source, Vec<RawRecord>> = BTreeMap::new();
    let mut forgotten = None;
    for (index, event) in fleet.events(start + Span::days(60)).enumerate() {
        let record = RawRecord {
            key: Some(event.account_id.clone().into_bytes()),
            value: Some(event.body.clone().into_bytes()),
            timestamp_millis: event.record_time.as_millis(),
            ..RawRecord::default()
        };
        let topic = records.entry(event.source).or_default();
        if event.source == Source::Profile {
            forgotten.get_or_insert_with(|| event.account_id.clone());
        }
        match index % 50 {
            // Sent twice.
            7 => topic.extend([record.clone(), record]),
            // Overtaken by the one before it.
            23 => topic.insert(topic.len().saturating_sub(1), record),
            _ => topic.push(record),
        }
    }
    records.entry(Source::Profile).or_default().push(RawRecord {
        key: forgotten.map(String::into_bytes),
        timestamp_millis: (start + Span::days(61)).as_millis(),
        ..RawRecord::default()
    });
    for (source, records) in records {
        kafka.produce_raw(setup.topic(INPUTS[source as usize]), &records);
    }
}

/// Kafka's own producer knows nothing of our record times: these arrive today.
fn write_with_the_console_producer(kafka: &Kafka, setup: &Setup) {
    let today = now_millis();
    let lines = |of: &dyn Fn(usize) -> (String, serde_json::Value)| -> String {
        (0..12).map(of).map(|(key, body)| format!("{key}\t{body}\n")).collect()
    };
    let produce = |topic: &str, lines: &str| {
        kafka.tool(
            "org.apache.kafka.tools.ConsoleProducer",
            &["--topic", topic, "--reader-property", "parse.key=true"],
            lines,
        );
    };
    let surveys = lines(&|n| {
        let account_id = format!("console-{n}");
        let body = json!({
            "event_id": format!("answer-{n}"), "account_id": account_id, "survey": "csat",
            "occurred_at": instant(today - 600 * SECOND_MS), "score": n % 5 + 1,
        });
        (account_id, body)
    });
    produce(setup.topic("surveys"), &surveys);
    let usage = lines(&|n| {
        let account_id = format!("console-{n}");
        let body = json!({
            "event_id": format!("use-{n}"), "account_id": account_id, "user_id": "u",
            "feature": "reports", "occurred_at": today - 3 * DAY_MS * n as i64,
        });
        (account_id, body)
    });
    produce(setup.topic("usage"), &usage);
}
