//! The Kafka side against the client library's embedded cluster: no Kafka needed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use barometer::broker::{
    Broker, Change, End, ErrorClass, Fetched, Input, InputRecord, OutputRecord, OutputTopic,
    Processed,
};
use barometer::clock::Clock;
use barometer::engine::event::Source;
use barometer::engine::time::EventTime;
use barometer::kafka::{Delivery, EventWriter, KafkaBroker, KafkaSettings, MockKafka};

const WAIT: Duration = Duration::from_secs(20);
const USAGE: Input = Input { source: Source::Usage, partition: 0 };

fn at_least_once(kafka: &MockKafka) -> KafkaSettings {
    KafkaSettings {
        delivery: Delivery::AtLeastOnce,
        ..KafkaSettings::new(kafka.bootstrap_servers(), "demo")
    }
}

/// Polls until `done`, accepting everything from the beginning; returns what one input brought.
fn read(
    broker: &mut KafkaBroker,
    input: Input,
    mut done: impl FnMut(&[String], Option<i64>) -> bool,
) -> Vec<String> {
    let (mut keys, mut end) = (Vec::new(), None);
    let started = Instant::now();
    while !done(&keys, end) {
        assert!(started.elapsed() < WAIT, "read {} records, end {end:?}", keys.len());
        for change in broker.poll(Duration::from_millis(100)).unwrap() {
            let Change::Assigned(inputs) = change else { panic!("{change:?}") };
            let start: Vec<_> = inputs.into_iter().map(|input| (input, 0)).collect();
            broker.accept(&start).unwrap();
        }
        let mut fetched = Vec::new();
        broker.fetch(input, 7, &mut fetched).unwrap();
        for one in fetched {
            match one {
                Fetched::Record(record) => {
                    keys.push(String::from_utf8(record.key().unwrap().to_vec()).unwrap());
                }
                Fetched::End(offset) => end = Some(offset),
            }
        }
    }
    keys
}

#[test]
fn events_are_written_read_to_the_end_and_committed() {
    let kafka = MockKafka::start().unwrap();
    let settings = at_least_once(&kafka);
    kafka.create_topics(&settings, 1).unwrap();
    let mut writer = EventWriter::connect(&settings).unwrap();
    let keys: Vec<String> = (0..100).map(|n| format!("account-{n}")).collect();
    for key in &keys {
        let at = EventTime::from_millis(1_700_000_000_000);
        writer.write("product-usage", key.as_bytes(), Some(b"{}"), at).unwrap();
    }
    writer.flush(WAIT).unwrap();

    let mut broker = KafkaBroker::connect(&settings, 0, Clock::wall()).unwrap();
    assert_eq!(read(&mut broker, USAGE, |_, end| end == Some(100)), keys);
    assert_eq!(broker.watermarks(USAGE, WAIT).unwrap(), (0, 100));

    broker.begin().unwrap();
    broker
        .send(&OutputRecord {
            topic: OutputTopic::Events,
            partition: None,
            key: Some(b"account-1".to_vec()),
            value: Some(b"{}".to_vec()),
            headers: vec![("content-type".into(), Some(b"application/json".to_vec()))],
            timestamp: None,
        })
        .unwrap();
    let processed = Processed { input: USAGE, offset: 100, metadata: "T=1".to_owned() };
    broker.commit(&[processed]).unwrap();
    let committed = broker.committed(&[USAGE], WAIT).unwrap();
    assert_eq!(committed[0].as_ref().map(|committed| committed.offset), Some(100));

    let started = Instant::now();
    let ends = loop {
        assert!(started.elapsed() < WAIT);
        broker.poll(Duration::from_millis(100)).unwrap();
        if let Some(answer) = broker.end_offsets() {
            break answer.ends;
        }
    };
    assert!(ends.contains(&End { input: USAGE, stable: 100, high: 100 }), "{ends:?}");
    broker.close(WAIT);
}

#[test]
fn keys_land_where_javas_producers_put_them() {
    let kafka = MockKafka::start().unwrap();
    let mut settings = at_least_once(&kafka);
    settings.input_topics = BTreeMap::from([(Source::Usage, "usage".to_owned())]);
    kafka.create_topic("usage", 8).unwrap();
    let mut writer = EventWriter::connect(&settings).unwrap();
    let key = "account-42";
    writer.write("usage", key.as_bytes(), None, EventTime::from_millis(1)).unwrap();
    writer.flush(WAIT).unwrap();
    let partition = (murmur2(key.as_bytes()) & 0x7fff_ffff) % 8;
    let input = Input { source: Source::Usage, partition: partition as i32 };
    let mut broker = KafkaBroker::connect(&settings, 0, Clock::wall()).unwrap();
    assert_eq!(read(&mut broker, input, |keys, _| !keys.is_empty()), [key]);
}

/// Kafka's hash of a key, as its Java client has it.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c_u32 ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in words.by_ref() {
        let mut k = u32::from_le_bytes(word.try_into().unwrap()).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    let rest = words.remainder();
    for (at, byte) in rest.iter().enumerate().rev() {
        hash ^= u32::from(*byte) << (8 * at);
    }
    if !rest.is_empty() {
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[test]
fn a_cluster_that_is_gone_is_said_and_nothing_waits_for_ever() {
    let kafka = MockKafka::start().unwrap();
    let settings = KafkaSettings::new(kafka.bootstrap_servers(), "demo");
    drop(kafka);
    let mut broker = KafkaBroker::connect(&settings, 0, Clock::wall()).unwrap();
    let started = Instant::now();
    let error = loop {
        assert!(started.elapsed() < WAIT);
        match broker.poll(Duration::from_millis(100)) {
            Ok(changes) => assert_eq!(changes, []),
            Err(error) => break error,
        }
    };
    assert_eq!(error.class, ErrorClass::Retriable, "{error}");
    let error = broker.committed(&[USAGE], Duration::from_millis(500)).unwrap_err();
    assert_eq!(error.class, ErrorClass::Retriable, "{error}");
    broker.close(Duration::from_secs(1));
    assert!(started.elapsed() < WAIT);
}
