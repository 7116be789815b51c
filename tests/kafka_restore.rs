//! The service killed and started again on a real Kafka: what it publishes is what it would have
//! published without.
//!
//! The oracle is a second group that reads the same topics in one go. Alerts are in it too, which the
//! reference model does not know.

mod support;

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use barometer::engine::event::Source;
use barometer::engine::time::{EventTime, Span};
use barometer::simulate::{Fleet, FleetSettings};
use serde_json::{Value, json};

use support::service::{INPUTS, Service, Setup, default_scorecard, now_millis};
use support::{Kafka, PATIENCE, RawRecord};

const DAY_MS: i64 = 86_400_000;
const PARTITIONS: u32 = 4;

/// Two months of a small fleet, in the topics before anybody reads them: then the order in which
/// they are taken is that of their record times, whenever and how often somebody begins.
fn write_fleet(kafka: &Kafka, setup: &Setup) -> usize {
    let start = EventTime::from_millis((now_millis() / DAY_MS - 75) * DAY_MS);
    let mut fleet = Fleet::new(FleetSettings {
        accounts: 40,
        start,
        events_per_account_day: 30.0,
        onset_days: 20..=40,
        ..FleetSettings::default()
    });
    let mut records: BTreeMap<Source, Vec<RawRecord>> = BTreeMap::new();
    let mut count = 0;
    for (index, event) in fleet.events(start + Span::days(70)).enumerate() {
        count += 1;
        // Some are no good, and each must be one dead letter.
        let body = if index % 101 == 50 { "no good".to_owned() } else { event.body.clone() };
        records.entry(event.source).or_default().push(RawRecord {
            key: Some(event.account_id.clone().into_bytes()),
            value: Some(body.into_bytes()),
            timestamp_millis: event.record_time.as_millis(),
            ..RawRecord::default()
        });
    }
    for (source, records) in records {
        kafka.produce_raw(setup.topic(INPUTS[source as usize]), &records);
    }
    count
}

/// Commits and checkpoints often, so that a crash at any moment is between many of them.
fn hurried(setup: &mut Setup) {
    setup.settings["engine"]["commit_interval"] = json!("20ms");
    setup.settings["engine"]["catch_up_commit_interval"] = json!("40ms");
    setup.settings["engine"]["checkpoint_interval"] = json!("300ms");
    setup.scorecard(&default_scorecard());
}

/// A setup on the input topics of another one.
fn beside(kafka: &Kafka, other: &Setup) -> Setup {
    let mut setup = Setup::new(kafka);
    for input in INPUTS {
        setup.settings["kafka"]["topics"][input] = json!(other.topic(input));
    }
    for output in ["events", "scores", "dead_letters", "changelog"] {
        let name = kafka.name(&format!("beside-{output}"));
        setup.settings["kafka"]["topics"][output] = json!(name);
    }
    setup.settings["kafka"]["group_id"] = json!(kafka.name("beside"));
    hurried(&mut setup);
    setup.create_topics(PARTITIONS);
    setup
}

fn inputs(setup: &Setup) -> [&str; 5] {
    INPUTS.map(|input| setup.topic(input))
}

/// How many events this process has taken, and how many transactions it has committed.
fn progress(service: &Service) -> (f64, f64) {
    let (_, text) = service.get("/metrics");
    let sum = |name: &str| -> f64 {
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    let committed = "barometer_transactions_total{outcome=\"committed\"}";
    (sum("barometer_events_consumed_total"), sum(committed))
}

/// By account, every event in order: id, kind, time and payload.
fn events(kafka: &Kafka, setup: &Setup) -> BTreeMap<String, Vec<(String, String, String, Value)>> {
    let mut events: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for record in kafka.read_committed(setup.topic("events")) {
        let header = |name: &str| record.header(name).expect("a header").to_owned();
        let event = (header("ce_id"), header("ce_type"), header("ce_time"), record.json());
        events.entry(record.key_text().to_owned()).or_default().push(event);
    }
    // Each task tells of an outage; which of them is first means nothing.
    for (_, told) in events.iter_mut().filter(|(key, _)| key.starts_with("outage:")) {
        told.sort_by(|one, other| one.0.cmp(&other.0));
    }
    events
}

fn dead_letters(kafka: &Kafka, setup: &Setup) -> Vec<(String, String, String)> {
    let records = kafka.read_committed(setup.topic("dead_letters"));
    let place = |record: &support::ReadRecord| {
        let header =
            |name: &str| record.header(&format!("__connect.errors.{name}")).unwrap().to_owned();
        (header("topic"), header("partition"), header("offset"))
    };
    let mut places: Vec<_> = records.iter().map(place).collect();
    places.sort();
    places
}

/// What the account's page says, but for values that its own time decides: a measure on the flat end
/// of its curve is read when there is a page to make.
fn page(service: &Service, account_id: &str) -> Value {
    let body = service.wait_for_page(&format!("/accounts/{account_id}"), |status, _| status == 200);
    let page: Value = serde_json::from_str(&body).expect("JSON");
    let says = ["score", "band", "previous_band", "band_since", "coverage", "gates", "alerts"];
    json!(says.map(|field| &page[field]))
}

/// How many records each restored task read once more.
fn replayed(log: &[String]) -> Vec<u64> {
    let restored = log.iter().filter(|line| line.contains("task restored"));
    let count = |line: &String| {
        let (_, rest) = line.split_once("replayed=").expect("the line says how many");
        rest.split_whitespace().next().unwrap().parse().expect("a number")
    };
    restored.map(count).collect()
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn killed_again_and_again_it_publishes_what_one_that_never_stopped_does() {
    let kafka = Kafka::for_test("killed");
    let mut setup = Setup::new(&kafka);
    hurried(&mut setup);
    setup.create_topics(PARTITIONS);
    let count = write_fleet(&kafka, &setup) as f64;

    let mut most_replayed = 0;
    for life in 0..6 {
        let service = setup.run(&["--workers", "2"]);
        let deadline = Instant::now() + PATIENCE;
        // A different moment each time, and none of them the end.
        let (events, commits) = (count * 0.02 * f64::from(1 + life % 3), f64::from(1 + life));
        loop {
            let (taken, committed) = progress(&service);
            if taken >= events && committed >= commits {
                break;
            }
            assert!(Instant::now() < deadline, "{:#?}", service.log());
            thread::sleep(Duration::from_millis(1));
        }
        service.signal("KILL");
        most_replayed = most_replayed.max(replayed(&service.log()).into_iter().max().unwrap_or(0));
    }
    let service = setup.run(&["--workers", "2"]);
    service.wait_for_line("task restored", PARTITIONS as usize);
    most_replayed = most_replayed.max(replayed(&service.log()).into_iter().max().unwrap_or(0));
    kafka.wait_until_committed(setup.group(), &inputs(&setup));
    assert!(most_replayed > 0, "no crash left anything to read again: the test shows too little");

    let oracle = beside(&kafka, &setup);
    let steady = oracle.run(&[]);
    kafka.wait_until_committed(oracle.group(), &inputs(&oracle));
    let (expected, found) = (events(&kafka, &oracle), events(&kafka, &setup));
    let kinds: Vec<&str> = expected.values().flatten().map(|(_, kind, _, _)| &**kind).collect();
    assert!(kinds.iter().filter(|kind| kind.contains("alert")).count() > 5, "{kinds:?}");
    let accounts = || expected.keys().filter(|key| !key.starts_with("outage:"));
    assert_eq!(accounts().count(), 40, "every account has events");
    for (account_id, expected) in &expected {
        assert_eq!(&found[account_id], expected, "{account_id}");
    }
    assert_eq!(found.len(), expected.len());
    assert_eq!(dead_letters(&kafka, &setup), dead_letters(&kafka, &oracle));

    // Stopped in good order, it has nothing to read again, and knows everything it knew.
    let pages: BTreeMap<&String, Value> =
        accounts().map(|account_id| (account_id, page(&service, account_id))).collect();
    service.stop("TERM");
    steady.stop("TERM");
    let service = setup.run(&[]);
    service.wait_for_line("task restored", PARTITIONS as usize);
    assert_eq!(replayed(&service.log()), [0; PARTITIONS as usize]);
    for (account_id, before) in &pages {
        assert_eq!(&page(&service, account_id), before, "{account_id}");
    }
    assert_eq!(events(&kafka, &setup), found, "nothing is told twice");
    service.stop("TERM");
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn state_and_offsets_that_do_not_fit_together_stop_the_service_with_what_to_do() {
    let kafka = Kafka::for_test("misfit");
    let mut setup = Setup::new(&kafka);
    hurried(&mut setup);
    setup.settings["kafka"]["session_timeout"] = json!("1s");
    setup.create_topics(1);
    let at = now_millis() - DAY_MS;
    let body = json!({
        "event_id": "u", "account_id": "acme", "occurred_at": at, "feature": "reports",
    });
    let record = RawRecord {
        key: Some(b"acme".to_vec()),
        value: Some(body.to_string().into_bytes()),
        timestamp_millis: at,
        ..RawRecord::default()
    };
    kafka.produce_raw(setup.topic("usage"), &[record]);
    let service = setup.run(&[]);
    kafka.wait_until_committed(setup.group(), &[setup.topic("usage")]);
    service.stop("TERM");

    // Another group with this one's changelog.
    let mut other = Setup::new(&kafka);
    other.settings = setup.settings.clone();
    other.settings["kafka"]["group_id"] = json!(kafka.name("other"));
    other.settings["kafka"]["instance"] = json!("two");
    other.scorecard(&default_scorecard());
    assert_stops(&other, "give each group a changelog of its own (`kafka.topics.changelog`)");

    // The group's offsets are gone. It may be deleted once its members' sessions are over.
    let deadline = Instant::now() + PATIENCE;
    let class = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
    loop {
        let told = kafka.tool(class, &["--delete", "--group", setup.group()], "");
        if told.contains("was successful") {
            break;
        }
        assert!(Instant::now() < deadline, "the group stays: {told}");
        thread::sleep(Duration::from_millis(200));
    }
    assert_stops(&setup, "has no committed offsets for partition 0, and topic");
}

/// One use of the product by each of these accounts, of a minute ago and in this order.
fn use_product(kafka: &Kafka, setup: &Setup, accounts: &[&str]) {
    let records: Vec<RawRecord> = accounts
        .iter()
        .map(|account| {
            let at = now_millis() - 60_000;
            let body = json!({
                "event_id": account, "account_id": account, "occurred_at": at, "feature": "reports",
            });
            RawRecord {
                key: Some(account.as_bytes().to_vec()),
                value: Some(body.to_string().into_bytes()),
                timestamp_millis: at,
                ..RawRecord::default()
            }
        })
        .collect();
    kafka.produce_raw(setup.topic("usage"), &records);
}

/// Deletes what lies before `offset` of the usage topic, as retention would.
fn delete_before(kafka: &Kafka, setup: &Setup, offset: i64) {
    let partition = json!({ "topic": setup.topic("usage"), "partition": 0, "offset": offset });
    let wanted = json!({ "partitions": [partition], "version": 1 }).to_string();
    let file = setup.file("delete.json", &wanted);
    let class = "org.apache.kafka.tools.DeleteRecordsCommand";
    kafka.tool(class, &["--offset-json-file", file.to_str().expect("UTF-8")], "");
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn records_deleted_before_they_were_read_stop_it_or_are_told_counted_and_left_out() {
    let kafka = Kafka::for_test("deleted");
    let mut setup = Setup::new(&kafka);
    hurried(&mut setup);
    setup.create_topics(1);
    let usage = setup.topic("usage").to_owned();
    use_product(&kafka, &setup, &["a", "b"]);
    let service = setup.run(&[]);
    kafka.wait_until_committed(setup.group(), &[&usage]);
    service.stop("TERM");

    // Offsets 0 and 1 were read; of 2 to 5 the first two are deleted unread.
    use_product(&kafka, &setup, &["c", "d", "e", "f"]);
    delete_before(&kafka, &setup, 4);
    let place = format!("topic `{usage}`, partition 0 begins at offset 4");
    assert_stops(&setup, &format!("{place}, and group `{}` has to read from 2", setup.group()));
    assert_stops(&setup, "set `kafka.offset_reset` to `earliest` or `latest`");

    let lost = "barometer_lost_records_total{source=\"usage\"}";
    setup.settings["kafka"]["offset_reset"] = json!("earliest");
    let service = setup.run(&[]);
    let line = service.wait_for_line("records were deleted before they were read", 1);
    for part in ["ERROR", &usage, "partition=0", "from=2", "to=4", "records=2"] {
        assert!(line.contains(part), "`{part}` is not in: {line}");
    }
    kafka.wait_until_committed(setup.group(), &[&usage]);
    assert_eq!(service.metric(lost), Some(2.0));
    // What is known of the accounts stays; of the lost records nobody has ever heard.
    let known = |service: &Service| {
        let is_known = |account: &&str| service.get(&format!("/accounts/{account}")).0 == 200;
        ["a", "b", "c", "d", "e", "f", "g", "h", "i"]
            .into_iter()
            .filter(is_known)
            .collect::<String>()
    };
    assert_eq!(known(&service), "abef");
    service.stop("TERM");

    // At the end, though records are there: 6 is deleted, and 7 left out.
    setup.settings["kafka"]["offset_reset"] = json!("latest");
    use_product(&kafka, &setup, &["g", "h"]);
    delete_before(&kafka, &setup, 7);
    let service = setup.run(&[]);
    service.wait_until_ready();
    assert_eq!(service.metric(lost), Some(2.0), "{:#?}", service.log());
    use_product(&kafka, &setup, &["i"]);
    kafka.wait_until_committed(setup.group(), &[&usage]);
    assert_eq!(known(&service), "abefi");
    service.stop("TERM");

    // Nothing is deleted now, so nothing is told.
    let service = setup.run(&[]);
    service.wait_until_ready();
    assert_eq!(service.said("were deleted before"), 0);
    assert_eq!(known(&service), "abefi");
    service.stop("TERM");
}

/// The service ends by itself, with this in its last words.
fn assert_stops(setup: &Setup, text: &str) {
    let mut service = setup.run(&[]);
    let (status, log) = service.wait();
    assert_eq!(status.code(), Some(1), "{log:#?}");
    assert!(log.iter().any(|line| line.contains(text)), "{log:#?}");
}
