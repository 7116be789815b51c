//! Members that come and go under load: nothing is taken twice, nothing is left out, nothing is left
//! open, and accounts that move take their state along.

mod expected;
mod reference;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use serde_json::json;

use expected::{Expected, assert_published};
use support::service::{Service, Setup};
use support::{Kafka, PATIENCE, RawRecord};

/// 2026-03-02T00:00:00Z.
const START: i64 = 1_772_409_600_000;
/// Each answer of the one respondent moves the account into the other band.
const CARD: &str = "
scorecard: flip
dimensions:
  - id: all
    weight: 1
    measures:
      - { id: mood, measure: survey.assessment, surveys: [mood], window: 28d, weight: 1,
          curve: { linear: { from: 0, to: 100 } } }
bands: [{ name: red, up_to: 50 }, { name: green, up_to: 100 }]
anti_flap: { margin: 0, dwell: { worse: 0s, better: 0s }, bypass_drop: 25 }
";
/// Enough to have some in each of four partitions.
const ACCOUNTS: usize = 24;

/// Records that keep coming until it is told to stop: answers, each of which changes a band, and
/// usage records that are no good, each of which must be a dead letter.
struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Load {
    fn start(kafka: &Arc<Kafka>, setup: &Setup) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, kafka) = (Arc::clone(&stop), Arc::clone(kafka));
        let topics = [setup.topic("surveys").to_owned(), setup.topic("usage").to_owned()];
        let thread = thread::spawn(move || {
            let mut second = 0;
            while !stopped.load(Ordering::Relaxed) {
                // One topic after the other, and time never stands still: the order of record times
                // is the order of writing, so that a task that keeps up takes them in no other.
                for topic in &topics {
                    let records: Vec<RawRecord> = (0..ACCOUNTS)
                        .map(|account| {
                            second += 1;
                            load_record(account, second, *topic == topics[0])
                        })
                        .collect();
                    kafka.produce_raw(topic, &records);
                }
            }
        });
        Load { stop, thread }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the load was written");
    }
}

fn load_record(account: usize, second: i64, good: bool) -> RawRecord {
    let account_id = format!("account-{account}");
    let at = START + second * 1_000;
    let round = second / (2 * ACCOUNTS as i64);
    let score = if round % 2 == 0 { 90 } else { 10 };
    let body = match good {
        true => json!({
            "event_id": format!("e-{second}"), "account_id": account_id, "occurred_at": at,
            "survey": "mood", "score": score, "respondent_id": "r",
        })
        .to_string(),
        false => format!("{{ this is record {second}"),
    };
    RawRecord {
        partition: None,
        key: Some(account_id.into_bytes()),
        value: Some(body.into_bytes()),
        timestamp_millis: at,
        headers: Vec::new(),
    }
}

fn setup(kafka: &Kafka) -> Setup {
    let mut setup = Setup::new(kafka);
    setup.scorecard(CARD);
    setup.create_topics(4);
    setup
}

/// Waits until every partition of a topic has more committed than it had.
fn wait_for_more(kafka: &Kafka, setup: &Setup, topic: &str) {
    let offsets = || -> BTreeMap<i32, i64> {
        let rows = kafka.committed(setup.group(), setup.topic(topic));
        rows.into_iter().map(|(partition, offset, _)| (partition, offset.unwrap_or(0))).collect()
    };
    let before = offsets();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = offsets();
        if now.iter().all(|(partition, offset)| offset > &before[partition]) {
            return;
        }
        assert!(Instant::now() < deadline, "`{topic}`: from {before:?} only to {now:?}");
        thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// Every bad record is one dead letter, whoever was there when it was taken.
fn assert_each_bad_record_is_one_dead_letter(kafka: &Kafka, setup: &Setup) {
    let mut bad: BTreeSet<(i32, i64)> = kafka
        .read_committed(setup.topic("usage"))
        .iter()
        .map(|record| (record.partition, record.offset))
        .collect();
    for letter in kafka.read_committed(setup.topic("dead_letters")) {
        let header = |name: &str| -> i64 {
            let header = letter.header(&format!("__connect.errors.{name}")).expect("a header");
            header.parse().expect("a number")
        };
        let place = (header("partition") as i32, header("offset"));
        assert!(bad.remove(&place), "{place:?} is a dead letter twice");
    }
    assert!(bad.is_empty(), "{} records are lost, such as {:?}", bad.len(), bad.first());
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn a_stop_under_load_leaves_nothing_open_and_the_next_start_goes_on_from_there() {
    let kafka = Arc::new(Kafka::for_test("stop"));
    let setup = setup(&kafka);
    let load = Load::start(&kafka, &setup);
    for (start, signal) in ["TERM", "INT", "TERM"].into_iter().enumerate() {
        let service = setup.run(&[]);
        service.wait_for_line("partitions assigned", 1);
        wait_for_more(&kafka, &setup, "usage");
        let log = service.stop(signal);
        // Asked at once: an open transaction would hold the stable end back.
        for output in ["events", "scores", "dead_letters"] {
            kafka.assert_nothing_is_open(setup.topic(output));
        }
        let restored: Vec<&String> =
            log.iter().filter(|line| line.contains("task restored")).collect();
        assert_eq!(restored.len(), if start > 0 { 4 } else { 0 }, "{log:#?}");
        let at_once = |line: &&String| line.contains("replayed=0");
        assert!(restored.iter().all(at_once), "a stop leaves nothing to do again: {restored:#?}");
        assert!(!log.iter().any(|line| line.contains("ERROR")), "{log:#?}");
    }
    load.stop();
    let service = setup.run(&[]);
    kafka.wait_until_committed(setup.group(), &[setup.topic("usage"), setup.topic("surveys")]);
    assert_each_bad_record_is_one_dead_letter(&kafka, &setup);
    assert_every_change_is_published(&kafka, &setup);
    service.stop("TERM");
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn two_processes_share_the_partitions_and_what_stays_goes_on_where_it_was() {
    let kafka = Arc::new(Kafka::for_test("share"));
    let mut setup = setup(&kafka);
    let load = Load::start(&kafka, &setup);
    let one = setup.run(&[]);
    one.wait_for_line("partitions assigned", 1);
    wait_for_more(&kafka, &setup, "usage");

    setup.settings["kafka"]["instance"] = json!("two");
    let two = setup.run(&[]);
    two.wait_for_line("partitions assigned", 1);
    one.wait_for_line("partitions assigned", 2);
    let stayed = resumed(&one);
    assert!(!stayed.is_empty() && stayed.len() < 4, "{stayed:?} stayed");
    wait_for_more(&kafka, &setup, "usage");

    // Its session has to run out before the others hear that it is gone.
    two.stop("TERM");
    one.wait_for_line("partitions assigned", 3);
    assert_eq!(resumed(&one), stayed, "what was here all the time, and nothing else");
    wait_for_more(&kafka, &setup, "usage");

    let two = setup.run(&[]);
    two.wait_for_line("partitions assigned", 1);
    one.wait_for_line("partitions assigned", 4);
    wait_for_more(&kafka, &setup, "usage");
    load.stop();
    kafka.wait_until_committed(setup.group(), &[setup.topic("usage"), setup.topic("surveys")]);

    assert_each_bad_record_is_one_dead_letter(&kafka, &setup);
    assert_every_change_is_published(&kafka, &setup);
    one.stop("TERM");
    two.stop("INT");
}

/// Every band change is published once and in order, whoever held its account at the time.
fn assert_every_change_is_published(kafka: &Kafka, setup: &Setup) {
    let expected = Expected::read(kafka, setup, CARD);
    let events = kafka.read_committed(setup.topic("events"));
    assert!(events.len() > 10, "only {} events: the test shows too little", events.len());
    assert_published(&events, &expected.changes());
}

/// The partitions whose tasks resumed where they were, at the last assignment.
fn resumed(service: &Service) -> BTreeSet<i32> {
    let mut resumed = BTreeSet::new();
    let mut last = BTreeSet::new();
    for line in service.log() {
        if line.contains("task resumed where it was") {
            let (_, rest) = line.split_once("partition=").expect("the line names it");
            resumed.insert(rest.split_whitespace().next().unwrap().parse().unwrap());
        } else if line.contains("partitions assigned") {
            last = std::mem::take(&mut resumed);
        }
    }
    last
}
