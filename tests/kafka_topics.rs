//! Topics that are missing, do not fit together, or whose producers do not agree where keys go.

mod support;

use barometer::partitioner::Partitioner;
use serde_json::json;

use support::service::{INPUTS, OUTPUTS, Setup};
use support::{Kafka, RawRecord};

/// 2026-03-02T00:00:00Z.
const START: i64 = 1_772_409_600_000;
const PARTITIONS: i32 = 4;

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn missing_topics_are_all_named_with_the_command_that_makes_them() {
    let kafka = Kafka::for_test("missing");
    let setup = Setup::new(&kafka);
    let (status, log) = setup.run(&[]).wait();
    assert_eq!(status.code(), Some(2), "{log:?}");
    for topic in INPUTS.iter().chain(&OUTPUTS) {
        let named = format!("topic `{}` does not exist", setup.topic(topic));
        let lines = log.iter().filter(|line| line.contains(&named)).count();
        // Profiles are the one source that may be missing.
        assert_eq!(lines, usize::from(*topic != "accounts"), "{topic}: {log:#?}");
    }
    assert!(log.iter().any(|line| line.contains("barometer topics create")), "{log:#?}");

    let listed = setup.command(&["topics", "list"]);
    assert_eq!(listed.status.code(), Some(1), "nothing is there, so nothing is well");

    // The profile topic stays away.
    for topic in INPUTS.iter().filter(|topic| **topic != "accounts").chain(&OUTPUTS) {
        let compact: &[(&str, &str)] =
            if *topic == "changelog" { &[("cleanup.policy", "compact")] } else { &[] };
        kafka.create_topic(setup.topic(topic), 2, compact);
    }
    let service = setup.run(&[]);
    service.wait_until_ready();
    service.stop("INT");
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn a_changelog_whose_state_would_be_deleted_by_age_is_refused() {
    let kafka = Kafka::for_test("not-compacted");
    let setup = Setup::new(&kafka);
    kafka.create_topic(setup.topic("changelog"), 2, &[]);
    setup.create_topics(2);
    let (status, log) = setup.run(&[]).wait();
    assert_eq!(status.code(), Some(2), "{log:?}");
    let told = |line: &String| {
        line.contains("holds state and has cleanup.policy `delete`, expected `compact`")
            && line.contains("kafka-configs.sh --alter")
    };
    assert!(log.iter().any(told), "{log:#?}");
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn unequal_partition_counts_are_all_named() {
    let kafka = Kafka::for_test("unequal");
    let setup = Setup::new(&kafka);
    kafka.create_topic(setup.topic("payments"), 3, &[]);
    setup.create_topics(2);
    let (status, log) = setup.run(&[]).wait();
    assert_eq!(status.code(), Some(2), "{log:?}");
    let error = log.iter().find(|line| line.contains("unequal partition counts"));
    let error = error.unwrap_or_else(|| panic!("no such error: {log:#?}"));
    for input in INPUTS {
        let count = if input == "payments" { 3 } else { 2 };
        assert!(error.contains(&format!("`{}` {count}", setup.topic(input))), "{error}");
    }
    assert!(error.contains("barometer topics create"), "{error}");
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn topics_are_made_listed_and_run_on() {
    let kafka = Kafka::for_test("made");
    let setup = Setup::new(&kafka);
    setup.create_topics(3);
    let again = setup.command(&["topics", "create", "--partitions", "3"]);
    assert!(again.status.success());
    assert_eq!(String::from_utf8_lossy(&again.stdout), "all topics are there already\n");

    let listed = setup.command(&["topics", "list"]);
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8(listed.stdout).unwrap();
    for topic in INPUTS.iter().chain(&OUTPUTS) {
        let name = setup.topic(topic);
        let line = listed.lines().find(|line| line.split_whitespace().next() == Some(name));
        let line = line.unwrap_or_else(|| panic!("`{name}` is not in:\n{listed}"));
        assert!(line.contains("partitions 3 "), "{line}");
        let compacted = matches!(*topic, "accounts" | "scores" | "changelog");
        assert_eq!(line.contains("cleanup.policy=compact"), compacted, "{line}");
    }
    let service = setup.run(&["--workers", "2"]);
    service.wait_until_ready();
    service.stop("TERM");
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn input_topics_keep_a_year_of_events_unless_told_otherwise() {
    let kafka = Kafka::for_test("kept");
    for (arguments, kept) in [
        (&[][..], "retention.ms=34560000000"),
        (&["--retention", "90d"], "retention.ms=7776000000"),
        // As the brokers are set.
        (&["--retention", "broker"], "neither"),
    ] {
        let setup = Setup::on(kafka.bootstrap(), |what| {
            kafka.name(&format!("{}-{what}", arguments.last().unwrap_or(&"default")))
        });
        let made = setup.command(&[&["topics", "create", "--partitions", "1"], arguments].concat());
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let listed = String::from_utf8(setup.command(&["topics", "list"]).stdout).unwrap();
        for topic in INPUTS.iter().chain(&OUTPUTS) {
            let line = listed.lines().find(|line| line.starts_with(setup.topic(topic))).unwrap();
            let of_events = matches!(*topic, "usage" | "tickets" | "payments" | "surveys");
            assert_eq!(line.contains(kept), of_events && kept != "neither", "{line}");
            assert!(kept != "neither" || !line.contains("retention.ms=34560000000"), "{line}");
        }
    }
    let refused = Setup::new(&kafka).command(&["topics", "create", "--retention", "10"]);
    assert_eq!(refused.status.code(), Some(2));
}

/// A good usage event or survey answer of an account, in the partition where `hash` puts its key.
fn record(n: usize, hash: Partitioner, usage: bool) -> RawRecord {
    let account_id = format!("account-{n}");
    let mut body = json!({
        "event_id": format!("e-{n}"), "account_id": account_id, "occurred_at": START + n as i64,
    });
    if usage {
        body["feature"] = json!("reports");
    } else {
        body["survey"] = json!("csat");
        body["score"] = json!(4);
    }
    RawRecord {
        partition: Some(hash.partition(account_id.as_bytes(), PARTITIONS)),
        key: Some(account_id.into_bytes()),
        value: Some(body.to_string().into_bytes()),
        timestamp_millis: START + n as i64,
        ..RawRecord::default()
    }
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn topics_keyed_by_different_partitioners_are_both_named() {
    let kafka = Kafka::for_test("keyed");
    let setup = Setup::new(&kafka);
    setup.create_topics(PARTITIONS as u32);
    let of = |hash, usage| (0..200).map(|n| record(n, hash, usage)).collect::<Vec<_>>();
    kafka.produce_raw(setup.topic("usage"), &of(Partitioner::Murmur2, true));
    kafka.produce_raw(setup.topic("surveys"), &of(Partitioner::Crc32, false));
    let (status, log) = setup.run(&[]).wait();
    assert_eq!(status.code(), Some(1), "{log:?}");
    let names = |line: &&String| {
        line.contains(&format!("`{}` is keyed by", setup.topic("surveys")))
            || line.contains(&format!("`{}` is keyed by", setup.topic("usage")))
    };
    let error = log.iter().find(names).unwrap_or_else(|| panic!("no such error: {log:#?}"));
    for part in [setup.topic("usage"), setup.topic("surveys"), "murmur2", "crc32"] {
        assert!(error.contains(part), "`{part}` is not in: {error}");
    }
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn a_stray_record_is_a_dead_letter_and_the_rest_goes_on() {
    let kafka = Kafka::for_test("stray");
    let setup = Setup::new(&kafka);
    setup.create_topics(PARTITIONS as u32);
    let mut records: Vec<_> = (0..300).map(|n| record(n, Partitioner::Murmur2, true)).collect();
    let stray = (300..)
        .map(|n| record(n, Partitioner::Crc32, true))
        .find(|stray| {
            let key = stray.key.as_deref().unwrap();
            stray.partition != Some(Partitioner::Murmur2.partition(key, PARTITIONS))
        })
        .expect("the two hashes differ");
    records.push(stray.clone());
    let places = kafka.produce_raw(setup.topic("usage"), &records);

    let service = setup.run(&[]);
    kafka.wait_until_committed(setup.group(), &[setup.topic("usage")]);
    let letters = kafka.read_committed(setup.topic("dead_letters"));
    let [letter] = &letters[..] else { panic!("{} dead letters, expected one", letters.len()) };
    assert_eq!(letter.header("__connect.errors.exception.class.name"), Some("misrouted"));
    let (partition, offset) = places[300];
    let header = |name: &str| letter.header(&format!("__connect.errors.{name}")).unwrap();
    assert_eq!(header("partition"), partition.to_string());
    assert_eq!(header("offset"), offset.to_string());
    assert_eq!((&letter.key, &letter.value), (&stray.key, &stray.value));
    assert_eq!(service.metric("barometer_events_consumed_total{source=\"usage\"}"), Some(300.0));
    service.stop("TERM");
}
