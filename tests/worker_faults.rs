//! The worker against a broker that fails on demand: whatever becomes of a transaction, everything
//! is published exactly once afterwards.
//!
//! The broker is a few vectors behind the [`Broker`] trait, with one partition of one topic. It
//! leaves out all that a real one does on its own account (time, other members, retention).

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use barometer::broker::{
    Broker, BrokerError, Change, Committed, End, EndOffsets, ErrorClass, Fetched, Input,
    InputRecord, OutputRecord, OutputTopic, Processed,
};
use barometer::capacity::Capacity;
use barometer::clock::Clock;
use barometer::engine::event::{DecodeLimits, Source};
use barometer::engine::limits::Limits;
use barometer::engine::report::Snapshot;
use barometer::engine::rules::Rules;
use barometer::engine::scorecard::Scorecard;
use barometer::engine::time::{EventTime, Span};
use barometer::in_force::InForce;
use barometer::restore::OffsetReset;
use barometer::routing::Routing;
use barometer::task::{Task, TaskSettings, TaskTime};
use barometer::telemetry::metrics::Metrics;
use barometer::view::View;
use barometer::worker::{Pace, Parking, Shared, Worker, WorkerError};

const PATIENCE: Duration = Duration::from_secs(30);
const INPUT: Input = Input { source: Source::Survey, partition: 0 };
const START: i64 = 1_772_409_600_000;
/// Each answer of the one respondent moves the account into the other band.
const CARD: &str = "
scorecard: flip
dimensions:
  - { id: all, weight: 1, measures: [{ id: mood, measure: survey.assessment, surveys: [mood],
      window: 28d, weight: 1, curve: { linear: { from: 0, to: 100 } } }] }
bands: [{ name: red, up_to: 50 }, { name: green, up_to: 100 }]
anti_flap: { margin: 0, dwell: { worse: 0s, better: 0s }, bypass_drop: 25 }
";

/// What becomes of one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// It fails with this class, and has no effect.
    Fails(ErrorClass),
    /// It has its effect, and the answer is lost.
    AnswerLost,
    /// It fails as fenced, the partition is revoked, and given back.
    FencedThenRevoked,
    /// The answer is lost, and before anybody can ask the partition is revoked and given back.
    AnswerLostThenRevoked,
    /// It fails as fenced, the partition is lost, and given back.
    FencedThenLost,
}

#[derive(Clone, Debug)]
struct Record {
    offset: i64,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Record {
    fn of_acme(offset: i64, value: Vec<u8>) -> Record {
        Record { offset, key: b"acme".to_vec(), value }
    }
}

impl InputRecord for Record {
    fn offset(&self) -> i64 {
        self.offset
    }

    fn timestamp(&self) -> Option<EventTime> {
        Some(EventTime::from_millis(START + 1_000 * self.offset))
    }

    fn key(&self) -> Option<&[u8]> {
        Some(&self.key)
    }

    fn value(&self) -> Option<&[u8]> {
        Some(&self.value)
    }

    fn headers(&self) -> Vec<(String, Option<Vec<u8>>)> {
        Vec::new()
    }
}

/// The cluster, as it outlives its members.
#[derive(Default)]
struct Cluster {
    input: Vec<Record>,
    committed: Option<Committed>,
    /// Everything that is visible to readers of committed records.
    published: Vec<OutputRecord>,
    /// Each commit takes the next one; after the last all is well.
    faults: VecDeque<Fault>,
    commits_tried: usize,
    /// By member: what it hears next.
    changes: BTreeMap<usize, VecDeque<Change>>,
    /// So many questions after committed offsets are answered with errors.
    deaf_to: usize,
    /// So many are answered as if nobody had ever committed anything.
    behind_by: usize,
    questions: usize,
}

impl Cluster {
    fn apply(&mut self, staged: &mut Vec<OutputRecord>, processed: &[Processed]) {
        self.published.append(staged);
        if let Some(processed) = processed.first() {
            let Processed { offset, metadata, .. } = processed.clone();
            self.committed = Some(Committed { offset, metadata });
        }
    }

    fn tell(&mut self, member: usize, changes: impl IntoIterator<Item = Change>) {
        self.changes.entry(member).or_default().extend(changes);
    }

    /// Whether everybody has heard everything.
    fn all_told(&self) -> bool {
        self.changes.values().all(VecDeque::is_empty)
    }

    fn next_offset(&self) -> i64 {
        self.committed.as_ref().map_or(0, |committed| committed.offset)
    }
}

struct FakeBroker {
    member: usize,
    cluster: Arc<Mutex<Cluster>>,
    position: Option<i64>,
    staged: Vec<OutputRecord>,
    open: bool,
    /// What is left to read of the changelog.
    changelog: VecDeque<Record>,
}

impl FakeBroker {
    fn cluster(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock().expect("nobody panics with it")
    }
}

fn failed(class: ErrorClass) -> BrokerError {
    BrokerError { class, message: format!("a commit that fails as {class:?}") }
}

impl Broker for FakeBroker {
    type Record = Record;

    fn poll(&mut self, timeout: Duration) -> Result<Vec<Change>, BrokerError> {
        let change = self.cluster().changes.get_mut(&self.member).and_then(VecDeque::pop_front);
        if change.is_none() {
            thread::sleep(timeout.min(Duration::from_millis(1)));
        }
        Ok(change.into_iter().collect())
    }

    fn committed(
        &mut self,
        inputs: &[Input],
        _: Duration,
    ) -> Result<Vec<Option<Committed>>, BrokerError> {
        let mut cluster = self.cluster();
        cluster.questions += 1;
        if cluster.deaf_to > 0 {
            cluster.deaf_to -= 1;
            return Err(failed(ErrorClass::Retriable));
        }
        if cluster.behind_by > 0 {
            cluster.behind_by -= 1;
            return Ok(vec![None; inputs.len()]);
        }
        Ok(inputs.iter().map(|_| cluster.committed.clone()).collect())
    }

    fn watermarks(&mut self, _: Input, _: Duration) -> Result<(i64, i64), BrokerError> {
        Ok((0, self.cluster().input.len() as i64))
    }

    fn changelog_open(&mut self, _: i32, _: Duration) -> Result<(), BrokerError> {
        let cluster = self.cluster.lock().expect("nobody panics with it");
        let state = cluster.published.iter().filter(|r| r.topic == OutputTopic::Changelog);
        let record = |(offset, record): (i64, &OutputRecord)| Record {
            offset,
            key: record.key.clone().expect("state has a key"),
            value: record.value.clone().expect("state is never a tombstone here"),
        };
        self.changelog = (0..).zip(state).map(record).collect();
        Ok(())
    }

    fn changelog_read(
        &mut self,
        _: i32,
        _: usize,
        _: Duration,
        into: &mut Vec<Record>,
    ) -> Result<bool, BrokerError> {
        // One at a time: the worker has other things to do in between.
        into.extend(self.changelog.pop_front());
        Ok(self.changelog.is_empty())
    }

    fn changelog_close(&mut self, _: i32) {}

    fn accept(&mut self, start: &[(Input, i64)]) -> Result<(), BrokerError> {
        self.position = start.first().map(|(_, offset)| *offset);
        Ok(())
    }

    fn release(&mut self, _: &[Input]) -> Result<(), BrokerError> {
        self.position = None;
        Ok(())
    }

    fn fetch(
        &mut self,
        _: Input,
        max: usize,
        into: &mut Vec<Fetched<Record>>,
    ) -> Result<(), BrokerError> {
        let position = self.position.expect("only what is accepted is fetched");
        // One at a time, so that there is more than one commit.
        let record = self.cluster().input.get(position as usize).cloned();
        match record {
            Some(record) if max > 0 => {
                into.push(Fetched::Record(record));
                self.position = Some(position + 1);
            }
            Some(_) => {}
            None => into.push(Fetched::End(position)),
        }
        Ok(())
    }

    fn end_offsets(&mut self) -> Option<EndOffsets> {
        let end = self.cluster().input.len() as i64;
        let ends = vec![End { input: INPUT, stable: end, high: end }];
        Some(EndOffsets { asked_at: EventTime::from_millis(START), ends })
    }

    fn begin(&mut self) -> Result<(), BrokerError> {
        self.staged.clear();
        self.open = true;
        Ok(())
    }

    fn send(&mut self, record: &OutputRecord) -> Result<(), BrokerError> {
        assert!(self.open, "records are sent in a transaction");
        self.staged.push(record.clone());
        Ok(())
    }

    fn commit(&mut self, processed: &[Processed]) -> Result<(), BrokerError> {
        assert!(self.open, "what is committed was begun");
        self.open = false;
        let mut staged = std::mem::take(&mut self.staged);
        let mut cluster = self.cluster();
        cluster.commits_tried += 1;
        let again = Change::Assigned(vec![INPUT]);
        match cluster.faults.pop_front() {
            None => {
                cluster.apply(&mut staged, processed);
                Ok(())
            }
            Some(Fault::Fails(class)) => Err(failed(class)),
            Some(Fault::AnswerLost) => {
                cluster.apply(&mut staged, processed);
                Err(failed(ErrorClass::Unclear))
            }
            Some(Fault::FencedThenRevoked) => {
                cluster.tell(self.member, [Change::Revoked(vec![INPUT]), again]);
                // The worker's last chance before it lets go fails as well.
                cluster.faults.push_front(Fault::Fails(ErrorClass::Fenced));
                Err(failed(ErrorClass::Fenced))
            }
            Some(Fault::AnswerLostThenRevoked) => {
                cluster.apply(&mut staged, processed);
                cluster.tell(self.member, [Change::Revoked(vec![INPUT]), again]);
                // The question before letting go is not answered either.
                cluster.deaf_to = 1;
                Err(failed(ErrorClass::Unclear))
            }
            Some(Fault::FencedThenLost) => {
                cluster.tell(self.member, [Change::Lost(vec![INPUT]), again]);
                Err(failed(ErrorClass::Fenced))
            }
        }
    }

    fn abort(&mut self) -> Result<(), BrokerError> {
        self.staged.clear();
        self.open = false;
        Ok(())
    }

    fn close(&mut self, _: Duration) {}
}

/// The workers of one process, on their threads.
struct Running {
    cluster: Arc<Mutex<Cluster>>,
    shared: Shared,
    parking: Parking<Record>,
    threads: Vec<thread::JoinHandle<Result<(), WorkerError>>>,
}

impl Running {
    fn start(faults: &[Fault], min_interval: Span) -> Running {
        let parsed = Scorecard::parse("flip.yaml", CARD).expect("a good card");
        let card = Arc::new(parsed.scorecard);
        let topics = Source::ALL.map(|source| source.default_topic().to_owned());
        let shared = Shared {
            settings: Arc::new(TaskSettings {
                limits: DecodeLimits::default(),
                account_limits: Limits::NONE,
                capacity: Arc::new(Capacity::endless()),
                task_time: TaskTime::Records,
                outage_guard: false,
                scores_min_interval: min_interval,
                event_source: "/barometer/test".to_owned(),
                owner: "test".to_owned(),
                group: "test".to_owned(),
                changelog: "test-changelog".to_owned(),
                checkpoint_interval: Span::SECOND,
                changelog_bytes_max: 900_000,
                offset_reset: OffsetReset::Fail,
                at_least_once: false,
                dead_letter_bytes_max: 900_000,
                topics: topics.clone(),
            }),
            rules: Arc::new(InForce::new(Rules::one(card))),
            routing: Arc::new(Routing::new(1, None, topics)),
            view: Arc::new(View::new(2)),
            metrics: Arc::new(Metrics::new()),
            clock: Clock::wall(),
            stop: Arc::new(AtomicBool::new(false)),
            stop_timeout: Duration::from_secs(10),
            publish_from: Some(EventTime::from_millis(0)),
            pace: Pace {
                interval: Duration::from_millis(5),
                gap_min: Duration::from_millis(1),
                catching_up: Duration::from_millis(5),
                looks: 1_000,
            },
        };
        let mut cluster =
            Cluster { faults: faults.iter().copied().collect(), ..Cluster::default() };
        cluster.tell(0, [Change::Assigned(vec![INPUT])]);
        let cluster = Arc::new(Mutex::new(cluster));
        let mut running =
            Running { cluster, shared, parking: Parking::default(), threads: Vec::new() };
        running.start_worker();
        running
    }

    /// Starts the next worker of the process.
    fn start_worker(&mut self) {
        let member = self.threads.len();
        let broker = FakeBroker {
            member,
            cluster: Arc::clone(&self.cluster),
            position: None,
            staged: Vec::new(),
            open: false,
            changelog: VecDeque::new(),
        };
        let worker = Worker::new(member, broker, self.shared.clone(), self.parking.clone());
        self.threads.push(thread::spawn(move || worker.run()));
    }

    fn cluster(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock().expect("nobody panics with it")
    }

    /// The account's next answers, one after the other.
    fn answer(&self, count: usize) {
        let mut cluster = self.cluster();
        for _ in 0..count {
            let offset = cluster.input.len() as i64;
            let score = if offset % 2 == 0 { 90 } else { 10 };
            let value = format!(
                r#"{{"event_id":"e{offset}","account_id":"acme","occurred_at":{},
                    "survey":"mood","score":{score},"respondent_id":"r"}}"#,
                START + 1_000 * offset
            );
            cluster.input.push(Record::of_acme(offset, value.into_bytes()));
        }
    }

    fn wait_for(&self, what: &str, mut done: impl FnMut(&Cluster) -> bool) {
        let started = Instant::now();
        while !done(&self.cluster()) {
            assert!(started.elapsed() < PATIENCE, "waited in vain for {what}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn wait_for_all(&self) {
        self.wait_for("the last record", |c| c.next_offset() == c.input.len() as i64);
    }

    fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("a worker does not panic").expect("the worker ends well");
        }
    }

    fn shown(&self) -> Option<Snapshot> {
        self.shared.view.snapshot("acme")
    }

    /// Waits for a rebalance to be over, and the account to be shown again.
    fn wait_until_shown_again(&self) {
        self.wait_for("the rebalance", Cluster::all_told);
        let started = Instant::now();
        while self.shown().is_none() {
            assert!(started.elapsed() < PATIENCE, "the account is shown no more");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// `ce_id` and bands of everything on the events topic, in order.
    fn events(&self) -> Vec<(String, String)> {
        let cluster = self.cluster();
        let events = cluster.published.iter().filter(|record| record.topic == OutputTopic::Events);
        events
            .map(|record| {
                let id = record.headers.iter().find(|(name, _)| name == "ce_id");
                let id = id.and_then(|(_, id)| id.clone()).expect("an id");
                let value = record.value.as_deref().expect("a payload");
                let json: serde_json::Value = serde_json::from_slice(value).expect("JSON");
                (String::from_utf8(id).unwrap(), format!("{} {}", json["from"], json["to"]))
            })
            .collect()
    }

    fn score_records(&self) -> usize {
        let is_score = |record: &&OutputRecord| record.topic == OutputTopic::Scores;
        self.cluster().published.iter().filter(is_score).count()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

/// What eleven answers lead to when all goes well.
fn eleven_changes() -> Vec<(String, String)> {
    let bands = |n: i64| match n {
        0 => "\"unknown\" \"green\"",
        n if n % 2 == 1 => "\"green\" \"red\"",
        _ => "\"red\" \"green\"",
    };
    (0..11).map(|n| (format!("acme:{START}:{}", n + 1), bands(n).to_owned())).collect()
}

#[test]
fn whatever_becomes_of_a_commit_everything_is_published_exactly_once() {
    use ErrorClass::{Abortable, Fenced, Retriable, Unclear};
    let cases: [&[Fault]; 9] = [
        &[],
        &[Fault::Fails(Abortable)],
        &[Fault::Fails(Retriable), Fault::Fails(Retriable)],
        &[Fault::AnswerLost],
        &[Fault::Fails(Unclear)],
        &[Fault::Fails(Unclear), Fault::AnswerLost, Fault::Fails(Abortable)],
        &[Fault::Fails(Fenced)],
        &[Fault::FencedThenRevoked],
        &[Fault::AnswerLostThenRevoked],
    ];
    for faults in cases {
        let mut running = Running::start(faults, Span::ZERO);
        // Once before anything is committed, once with a history.
        running.answer(1);
        running.wait_for_all();
        running.cluster().faults.extend(faults);
        running.answer(10);
        running.wait_for_all();
        running.stop();
        assert_eq!(running.events(), eleven_changes(), "{faults:?}");
        assert_eq!(running.cluster().faults.len(), 0, "{faults:?}: not all of it happened");
        let shown = running.shown().expect("the account is shown");
        assert_eq!(shown.as_of.as_millis(), START + 10_000, "{faults:?}");
    }
}

#[test]
fn a_worker_whose_partitions_were_lost_reads_back_what_it_knew() {
    let mut running = Running::start(&[Fault::FencedThenLost], Span::ZERO);
    running.answer(3);
    running.wait_for_all();
    running.cluster().faults.push_back(Fault::FencedThenLost);
    running.answer(8);
    running.wait_for_all();
    running.stop();
    assert_eq!(running.events(), eleven_changes());
}

#[test]
fn nothing_is_shown_before_it_is_committed() {
    let mut running = Running::start(&[Fault::Fails(ErrorClass::Abortable); 1_000], Span::ZERO);
    running.answer(1);
    running.wait_for("two tries", |cluster| cluster.commits_tried >= 2);
    assert!(running.shown().is_none());
    running.cluster().faults.clear();
    running.wait_for_all();
    running.stop();
    assert!(running.shown().is_some());
}

#[test]
fn a_parked_task_comes_back_with_what_readers_saw_and_writes_nothing_again() {
    let mut running = Running::start(&[], Span::ZERO);
    running.answer(3);
    running.wait_for_all();
    let written = running.score_records();
    let revoked_and_back = [Change::Revoked(vec![INPUT]), Change::Assigned(vec![INPUT])];
    running.cluster().tell(0, revoked_and_back);
    running.wait_until_shown_again();
    running.answer(1);
    running.wait_for_all();
    running.stop();
    assert_eq!(running.score_records(), written + 1, "one report for one new record");
    let metrics = String::from_utf8(running.shared.metrics.text()).unwrap();
    let accounts: Vec<&str> =
        metrics.lines().filter(|line| line.starts_with("barometer_accounts{")).collect();
    let one_in_red = |line: &&&str| line.ends_with(" 1") && line.contains("red");
    assert_eq!(accounts.iter().filter(one_in_red).count(), 1, "{accounts:?}");
    assert!(accounts.iter().all(|l| l.contains("red") || l.ends_with(" 0")), "{accounts:?}");
}

#[test]
fn what_a_parked_task_had_taken_and_not_committed_is_not_taken_twice() {
    let mut running = Running::start(&[Fault::FencedThenRevoked], Span::ZERO);
    // Of no use, and with no id by which it would be known again.
    running.cluster().input.push(Record::of_acme(0, b"{}".to_vec()));
    running.wait_for_all();
    running.stop();
    let cluster = running.cluster();
    let letters = cluster.published.iter().filter(|r| r.topic == OutputTopic::DeadLetters);
    assert_eq!(letters.count(), 1);
}

#[test]
fn a_worker_that_was_held_up_while_others_went_on_asks_again() {
    let mut running = Running::start(&[], Span::ZERO);
    running.answer(3);
    running.wait_for_all();
    running.start_worker();
    running.cluster().tell(0, [Change::Lost(vec![INPUT])]);
    running.wait_for("the first worker to let go", Cluster::all_told);
    // The second one's answer is from before the first one's commits; their state it finds.
    running.cluster().behind_by = 1;
    running.cluster().tell(1, [Change::Assigned(vec![INPUT])]);
    running.answer(8);
    running.wait_for_all();
    running.stop();
    assert_eq!(running.events(), eleven_changes());
}

#[test]
fn a_task_goes_from_one_worker_of_the_process_to_the_next_as_it_is() {
    let mut running = Running::start(&[], Span::ZERO);
    running.answer(5);
    running.wait_for_all();
    running.start_worker();
    running.cluster().tell(0, [Change::Revoked(vec![INPUT])]);
    running.wait_for("the first worker to let go", Cluster::all_told);
    running.cluster().tell(1, [Change::Assigned(vec![INPUT])]);
    running.answer(6);
    running.wait_for_all();
    running.stop();
    assert_eq!(running.events(), eleven_changes());
}

#[test]
fn a_worker_told_to_stop_while_nobody_answers_it_ends_well() {
    let mut running = Running::start(&[], Span::ZERO);
    running.answer(1);
    running.wait_for_all();
    running.cluster().deaf_to = usize::MAX;
    let asked = running.cluster().questions;
    running.cluster().tell(0, [Change::Revoked(vec![INPUT]), Change::Assigned(vec![INPUT])]);
    running.wait_for("a question", |cluster| cluster.questions > asked);
    running.stop();
}

#[test]
fn a_task_holds_few_records_when_they_are_large() {
    let running = Running::start(&[], Span::ZERO);
    let settings = Arc::clone(&running.shared.settings);
    let start = [(Source::Survey, 0)];
    let mut task: Task<Record> =
        Task::new(0, settings, running.shared.rules.rules(), &start, EventTime::from_millis(0), 0);
    let many = task.room(Source::Survey);
    assert!(many > 1_000);
    for offset in 0..8 {
        assert!(task.room(Source::Survey) > 0, "{offset} MB are not too many");
        let record = Record::of_acme(offset, vec![b'x'; 1 << 20]);
        let now = EventTime::from_millis(START);
        task.absorb(Source::Survey, std::iter::once(Fetched::Record(record)), now);
    }
    assert_eq!(task.room(Source::Survey), 0, "8 MB are enough for one topic of one task");
}

#[test]
fn a_report_held_back_by_the_interval_goes_out_without_another_record() {
    let mut running = Running::start(&[], Span::SECOND);
    running.answer(1);
    running.wait_for_all();
    // An answer that changes the score but not the band.
    let value = format!(
        r#"{{"event_id":"x","account_id":"acme","occurred_at":{},"survey":"mood","score":80,
            "respondent_id":"r"}}"#,
        START + 1_000
    );
    running.cluster().input.push(Record::of_acme(1, value.into_bytes()));
    running.wait_for_all();
    let two = |cluster: &Cluster| {
        let scores = cluster.published.iter().filter(|record| record.topic == OutputTopic::Scores);
        scores.count() == 2
    };
    running.wait_for("the second report", two);
    running.stop();
}

#[test]
fn a_dead_letter_is_cut_until_its_topic_takes_it() {
    let running = Running::start(&[], Span::ZERO);
    let value = vec![b'x'; 2_000_000];
    running.cluster().input.push(Record::of_acme(0, value.clone()));
    running.wait_for_all();
    let cluster = running.cluster();
    let letters = cluster.published.iter().filter(|r| r.topic == OutputTopic::DeadLetters);
    let letters: Vec<&OutputRecord> = letters.collect();
    let [letter] = letters[..] else { panic!("one dead letter") };
    let headers: BTreeMap<&str, &[u8]> = letter
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_deref().unwrap_or_default()))
        .collect();
    assert_eq!(headers["barometer.errors.cut.from.bytes"], b"2000000");
    let kept = letter.value.as_deref().unwrap();
    assert!(kept.len() > 890_000 && value.starts_with(kept), "{} bytes", kept.len());
    let headers_bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(kept.len() + headers_bytes + letter.key.as_ref().unwrap().len() <= 900_000 + 100);
}
