//! Records that cannot be used: each becomes one dead letter that says why, and no other record
//! suffers for it.

mod malformed;
mod support;

use std::collections::{BTreeMap, BTreeSet};

use barometer::engine::event::{ReasonCode, Source};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use support::service::{INPUTS, Setup};
use support::{Kafka, RawRecord, ReadRecord};

const PARTITIONS: i32 = 4;
const MALFORMED: usize = 10_000;
const GOOD: usize = 3_000;

/// A setup whose input topics take records of 10 MB, and any key.
fn setup(kafka: &Kafka) -> Setup {
    let setup = Setup::new(kafka);
    for input in INPUTS {
        kafka.create_topic(setup.topic(input), PARTITIONS, &[("max.message.bytes", "16000000")]);
    }
    setup.create_topics(PARTITIONS as u32);
    setup
}

fn raw(key: Option<Vec<u8>>, value: Option<Vec<u8>>, number: usize) -> RawRecord {
    RawRecord {
        partition: None,
        key,
        value,
        timestamp_millis: malformed::RECORD_TIME.as_millis(),
        headers: vec![
            ("trace".to_owned(), Some(number.to_string().into_bytes())),
            ("empty".to_owned(), None),
        ],
    }
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn ten_thousand_malformed_records_are_as_many_dead_letters_and_no_good_record_is_lost() {
    let kafka = Kafka::for_test("malformed");
    let setup = setup(&kafka);
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut by_source: BTreeMap<Source, Vec<(RawRecord, Option<ReasonCode>)>> = BTreeMap::new();
    let mut good_accounts = BTreeSet::new();
    for (number, bad) in malformed::records(11).take(MALFORMED).enumerate() {
        let record = raw(bad.key, bad.value, number);
        by_source.entry(bad.source).or_default().push((record, Some(bad.expected)));
        if number % (MALFORMED / GOOD) == 0 && good_accounts.len() < GOOD {
            let good = malformed::good(&mut rng);
            if good_accounts.insert(good.account_id.clone()) {
                let value = Some(good.json().into_bytes());
                let record = raw(Some(good.account_id.into_bytes()), value, number);
                by_source.entry(good.source).or_default().push((record, None));
            }
        }
    }
    let mut sent: BTreeMap<(String, i32, i64), (RawRecord, ReasonCode)> = BTreeMap::new();
    for (source, records) in by_source {
        let topic = setup.topic(INPUTS[source as usize]);
        let plain: Vec<RawRecord> = records.iter().map(|(record, _)| record.clone()).collect();
        let places = kafka.produce_raw(topic, &plain);
        for ((record, code), (partition, offset)) in records.into_iter().zip(places) {
            if let Some(code) = code {
                sent.insert((topic.to_owned(), partition, offset), (record, code));
            }
        }
    }
    assert_eq!(sent.len(), MALFORMED);

    let service = setup.run(&["--workers", "2"]);
    kafka.wait_until_committed(setup.group(), &INPUTS.map(|input| setup.topic(input)));
    let letters = kafka.read_committed(setup.topic("dead_letters"));
    assert_eq!(letters.len(), MALFORMED);
    let mut reasons = BTreeSet::new();
    for letter in &letters {
        let place = place_of(letter);
        let (record, code) =
            sent.remove(&place).unwrap_or_else(|| panic!("{place:?} is nobody's, or came twice"));
        assert_is_of(letter, &record, code);
        reasons.insert(code.name());
    }
    let dropped = service.get("/metrics").1;
    let rejected: f64 = dropped
        .lines()
        .filter(|line| line.starts_with("barometer_events_rejected_total{"))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum();
    assert_eq!(rejected, MALFORMED as f64);
    assert!(reasons.len() >= 10, "only {reasons:?}: the corpus shows too little");

    let consumed: f64 = Source::ALL
        .iter()
        .map(|source| format!("barometer_events_consumed_total{{source=\"{}\"}}", source.name()))
        .filter_map(|name| service.metric(&name))
        .sum();
    assert_eq!(consumed, good_accounts.len() as f64);
    let reported: BTreeSet<String> = kafka
        .read_committed(setup.topic("scores"))
        .iter()
        .map(|record| record.key_text().to_owned())
        .collect();
    assert_eq!(reported, good_accounts);
    service.stop("TERM");
}

fn place_of(letter: &ReadRecord) -> (String, i32, i64) {
    let header = |name: &str| {
        let name = format!("__connect.errors.{name}");
        letter.header(&name).unwrap_or_else(|| panic!("no `{name}` in {:?}", letter.headers))
    };
    (
        header("topic").to_owned(),
        header("partition").parse().expect("a number"),
        header("offset").parse().expect("a number"),
    )
}

fn assert_is_of(letter: &ReadRecord, record: &RawRecord, code: ReasonCode) {
    let header = |name: &str| letter.header(name).unwrap_or_default();
    assert_eq!(header("__connect.errors.exception.class.name"), code.name(), "{letter:?}");
    assert_eq!(header("__connect.errors.connector.name"), "barometer");
    assert_eq!(header("__connect.errors.stage"), "VALUE_CONVERTER");
    assert!(!header("__connect.errors.exception.message").is_empty(), "{:?}", letter.headers);
    let about_a_field =
        matches!(code, ReasonCode::MissingField | ReasonCode::NotATime | ReasonCode::UnknownValue);
    if about_a_field {
        let field = header("barometer.errors.field");
        assert!(!field.is_empty(), "{:?}", letter.headers);
        assert!(header("__connect.errors.exception.message").contains(field));
    }
    assert_eq!(letter.timestamp_millis, Some(record.timestamp_millis));
    assert_eq!(letter.key, record.key);
    assert_eq!(letter.headers[..record.headers.len()], record.headers[..]);
    match letter.header("barometer.errors.cut.from.bytes") {
        None => assert_eq!(letter.value, record.value),
        Some(bytes) => {
            let (kept, all) = (letter.value.as_ref().unwrap(), record.value.as_ref().unwrap());
            assert_eq!(bytes, all.len().to_string());
            assert!(kept.len() > 900_000 && all.starts_with(kept), "{} bytes", kept.len());
        }
    }
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn a_bad_record_whose_key_and_headers_are_too_large_does_not_hold_up_the_rest() {
    let kafka = Kafka::for_test("large-key");
    let setup = setup(&kafka);
    let mut bad = raw(Some(vec![b'k'; 3_000_000]), Some(b"{".to_vec()), 0);
    bad.headers.push(("large".to_owned(), Some(vec![b'h'; 3_000_000])));
    bad.partition = Some(0);
    kafka.produce_raw(setup.topic("usage"), &[bad.clone()]);

    let service = setup.run(&[]);
    kafka.wait_until_committed(setup.group(), &[setup.topic("usage")]);
    let letters = kafka.read_committed(setup.topic("dead_letters"));
    let [letter] = &letters[..] else { panic!("{} dead letters, expected one", letters.len()) };
    let key = letter.key.as_ref().unwrap();
    assert!(!key.is_empty() && bad.key.unwrap().starts_with(key));
    assert_eq!(letter.header("barometer.errors.key.cut.from.bytes"), Some("3000000"));
    assert_eq!(letter.header("barometer.errors.headers.dropped"), Some("3"));
    assert_eq!(letter.header("trace"), None);
    assert_eq!(letter.value.as_deref(), Some(&b"{"[..]));
    assert_eq!(place_of(letter), (setup.topic("usage").to_owned(), 0, 0));
    service.stop("TERM");
}
