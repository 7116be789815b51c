//! Task time and the merge of a task's topics, on records in memory: no broker, no waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use barometer::broker::{
    Committed, End, EndOffsets, Fetched, Input, InputRecord, OutputRecord, OutputTopic, Processed,
};
use barometer::engine::event::{DecodeLimits, Source};
use barometer::engine::rules::Rules;
use barometer::engine::scorecard::Scorecard;
use barometer::engine::time::{EventTime, Span};
use barometer::restore::{OffsetReset, Restore};
use barometer::routing::Routing;
use barometer::task::{Task, TaskSettings, TaskTime};
use serde_json::{Value, json};

/// Silence alone makes this card's band: green for two days after the last use, then red.
const CARD: &str = r##"
scorecard: silence
dimensions:
  - id: use
    weight: 1
    measures:
      - { id: quiet_days, measure: usage.days_since_last, weight: 1, curve: { steps: [[0, 90], [2, 0]] } }
bands:
  - { name: red, up_to: 50 }
  - { name: green, up_to: 100 }
anti_flap: { margin: 0, dwell: { worse: 1h, better: 1h }, bypass_drop: 100 }
"##;

const SOURCES: [Source; 4] = [Source::Usage, Source::Ticket, Source::Payment, Source::Survey];

#[derive(Clone, Debug)]
struct Stored {
    offset: i64,
    timestamp: EventTime,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl InputRecord for Stored {
    fn offset(&self) -> i64 {
        self.offset
    }

    fn timestamp(&self) -> Option<EventTime> {
        Some(self.timestamp)
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

fn hour(hours: i64) -> EventTime {
    EventTime::from_millis(1_750_000_000_000 / 86_400_000 * 86_400_000) + Span::hours(hours)
}

/// A task with its topics as a broker would hold them.
struct Bench {
    task: Task<Stored>,
    settings: Arc<TaskSettings>,
    rules: Arc<Rules>,
    routing: Routing,
    /// How many records each topic has, and how many of them a reader may see.
    topics: BTreeMap<Source, (i64, i64)>,
}

impl Bench {
    fn new(task_time: TaskTime) -> Bench {
        let parsed = Scorecard::parse("silence.yaml", CARD).expect("the card above is a good one");
        let names = Source::ALL.map(|source| source.default_topic().to_owned());
        let settings = TaskSettings {
            limits: DecodeLimits::default(),
            task_time,
            outage_guard: false,
            scores_min_interval: Span::MINUTE,
            event_source: "/barometer/test".to_owned(),
            owner: "test".to_owned(),
            group: "test".to_owned(),
            changelog: "test-changelog".to_owned(),
            checkpoint_interval: Span::SECOND * 30,
            changelog_bytes_max: 1_000_000,
            offset_reset: OffsetReset::Fail,
            at_least_once: false,
            dead_letter_bytes_max: 1_000_000,
            topics: names.clone(),
        };
        let rules = Arc::new(Rules::one(Arc::new(parsed.scorecard)));
        let start = SOURCES.map(|source| (source, 0));
        let settings = Arc::new(settings);
        let (own, same) = (Arc::clone(&settings), Arc::clone(&rules));
        Bench {
            task: Task::new(0, own, same, &start, EventTime::MIN, 0),
            settings,
            rules,
            routing: Routing::new(1, None, names),
            topics: SOURCES.map(|source| (source, (0, 0))).into(),
        }
    }

    /// A usage event of `account` that happened, and was sent, at `at`.
    fn usage(&mut self, account: &str, at: EventTime) -> Stored {
        let offset = self.topics[&Source::Usage].0;
        let body = json!({
            "event_id": format!("u-{offset}"), "account_id": account,
            "occurred_at": at.as_millis(), "feature": "reports",
        });
        self.store(Source::Usage, account, at, &body)
    }

    fn ticket(&mut self, account: &str, at: EventTime) -> Stored {
        let offset = self.topics[&Source::Ticket].0;
        let body = json!({
            "event_id": format!("t-{offset}"), "account_id": account,
            "occurred_at": at.as_millis(), "ticket_id": "1", "status": "opened",
        });
        self.store(Source::Ticket, account, at, &body)
    }

    fn store(&mut self, source: Source, account: &str, at: EventTime, body: &Value) -> Stored {
        let topic = self.topics.get_mut(&source).expect("every source has a topic");
        let offset = topic.0;
        *topic = (offset + 1, offset + 1);
        let (key, value) = (account.as_bytes().to_vec(), body.to_string().into_bytes());
        Stored { offset, timestamp: at, key, value }
    }

    /// Hands records over as fetched at `now`.
    fn fetch(&mut self, source: Source, records: &[Stored], now: EventTime) {
        let fetched = records.iter().cloned().map(Fetched::Record);
        self.task.absorb(source, fetched, now);
    }

    /// Says that a topic has been read to its end.
    fn reach_end(&mut self, source: Source, now: EventTime) {
        let (_, stable) = self.topics[&source];
        self.task.absorb(source, [Fetched::End(stable)].into_iter(), now);
    }

    /// Works after a question asked at `asked_at` was answered by the topics as they are.
    fn work(&mut self, asked_at: EventTime) -> usize {
        self.work_with(asked_at, usize::MAX)
    }

    /// The same with at most `looks` accounts looked at because of time alone.
    fn work_with(&mut self, asked_at: EventTime, looks: usize) -> usize {
        let ends = self.topics.iter().map(|(source, (high, stable))| End {
            input: Input { source: *source, partition: 0 },
            stable: *stable,
            high: *high,
        });
        let ends = EndOffsets { asked_at, ends: ends.collect() };
        let taken = self.task.work(&ends, &self.routing, 10_000, looks, asked_at);
        taken.expect("one partition has no misrouted keys")
    }

    /// `count` accounts that have each been used once, at hour 0.
    fn fleet(&mut self, count: usize) {
        for first in (0..count).step_by(1_000) {
            let records: Vec<Stored> = (first..count.min(first + 1_000))
                .map(|n| self.usage(&format!("a{n}"), hour(0)))
                .collect();
            self.fetch(Source::Usage, &records, hour(0));
            self.work(hour(0));
        }
    }

    /// Commits at wall time `now`: what was written.
    fn commit(&mut self, now: EventTime) -> Vec<OutputRecord> {
        self.task.prepare(now, &self.routing, usize::MAX, |_| false);
        let outputs = self.task.outputs().to_vec();
        self.task.committed();
        outputs
    }

    /// The process ends, and another one goes on from what was written.
    fn crash(&mut self, changelog: &[OutputRecord]) {
        let committed = self.task.committed_offsets().iter().map(|processed| {
            let Processed { input, offset, metadata } = processed.clone();
            (input, Some(Committed { offset, metadata }))
        });
        let committed: Vec<(Input, Option<Committed>)> = committed.collect();
        let mut restore = Restore::new(0, Arc::clone(&self.settings), Arc::clone(&self.rules));
        for record in changelog.iter().filter(|record| record.topic == OutputTopic::Changelog) {
            let (key, value) = (record.key.clone().unwrap(), record.value.clone().unwrap());
            let stored = Stored { offset: 0, timestamp: hour(0), key, value };
            restore.take(&stored).expect("state as it was written");
        }
        let restored = restore.finish(&committed, |_| 0, None, EventTime::MIN, &self.routing);
        self.task = restored.expect("state and offsets fit together").0;
        let done = self.task.replay(&self.routing, 10, hour(0)).expect("one partition");
        assert!(done.is_some(), "everything had been written");
    }

    fn now(&self) -> EventTime {
        self.task.engine().now()
    }

    /// Published band changes so far: account, band left, band entered, hours after the start.
    fn changes(&self) -> Vec<(String, String, String, f64)> {
        let events = self.task.outputs().iter().filter(|r| r.topic == OutputTopic::Events);
        events
            .map(|record| {
                let body: Value = serde_json::from_slice(record.value.as_ref().unwrap()).unwrap();
                let text = |field: &str| body[field].as_str().unwrap().to_owned();
                let at = EventTime::parse_rfc3339(&text("entered_at")).unwrap();
                let hours = at.since(hour(0)).as_millis() as f64 / 3_600_000.0;
                (text("account_id"), text("from"), text("to"), hours)
            })
            .collect()
    }
}

fn change(account: &str, from: &str, to: &str, hours: f64) -> (String, String, String, f64) {
    (account.to_owned(), from.to_owned(), to.to_owned(), hours)
}

#[test]
fn records_of_all_topics_are_taken_in_record_time_order() {
    let mut bench = Bench::new(TaskTime::Records);
    let late = bench.usage("a", hour(5));
    let early = bench.ticket("a", hour(1));
    bench.fetch(Source::Usage, &[late], hour(100));
    // The tickets' record is there but not fetched yet: nothing may overtake it.
    bench.reach_end(Source::Payment, hour(100));
    bench.reach_end(Source::Survey, hour(100));
    assert_eq!(bench.work(hour(100)), 0);
    bench.fetch(Source::Ticket, &[early], hour(100));
    assert_eq!(bench.work(hour(100)), 2);
    assert_eq!(bench.now(), hour(5));
}

#[test]
fn an_idle_topic_holds_nobody_back() {
    let mut bench = Bench::new(TaskTime::Wall);
    let only = bench.usage("a", hour(5));
    bench.fetch(Source::Usage, &[only], hour(6));
    assert_eq!(bench.work(hour(6)), 1, "the other topics are known to be empty");
    assert_eq!(bench.now(), hour(6));
}

#[test]
fn caught_up_silence_counts_up_to_the_last_answered_question_and_no_further() {
    let mut bench = Bench::new(TaskTime::Wall);
    let only = bench.usage("a", hour(0));
    bench.fetch(Source::Usage, &[only], hour(1));
    bench.work(hour(1));
    assert_eq!(bench.changes(), [change("a", "unknown", "green", 0.0)]);
    bench.work(hour(48));
    assert_eq!(bench.changes().len(), 1, "the dwell has only begun");
    bench.work(hour(60));
    assert_eq!(bench.now(), hour(60));
    assert_eq!(bench.changes()[1], change("a", "green", "red", 49.0), "at its own time");
}

#[test]
fn an_open_transaction_upstream_stops_the_clock_but_not_the_other_topics() {
    let mut bench = Bench::new(TaskTime::Wall);
    let first = bench.usage("a", hour(0));
    bench.fetch(Source::Usage, &[first], hour(0));
    bench.work(hour(0));
    // Somebody writes a ticket and does not commit: it has an offset, and nobody may see it.
    bench.topics.insert(Source::Ticket, (1, 0));
    bench.work(hour(72));
    assert_eq!(bench.now(), hour(0), "three days of what may be no silence at all");
    let second = bench.usage("b", hour(3));
    bench.fetch(Source::Usage, &[second], hour(72));
    assert_eq!(bench.work(hour(73)), 1, "what can be seen goes on");
    assert_eq!(bench.now(), hour(3));
}

#[test]
fn without_an_answer_time_stands_still() {
    let mut bench = Bench::new(TaskTime::Wall);
    let first = bench.usage("a", hour(0));
    bench.fetch(Source::Usage, &[first], hour(0));
    bench.work(hour(0));
    // The broker is away for six days; the next answer is of the present, and shows what came.
    let missed = bench.usage("a", hour(30));
    let missed_too = bench.usage("a", hour(70));
    let last = bench.usage("a", hour(118));
    bench.fetch(Source::Usage, &[missed, missed_too, last], hour(144));
    bench.work(hour(144));
    assert_eq!(bench.now(), hour(144));
    assert_eq!(
        bench.changes().len(),
        1,
        "what looked like silence was none: {:?}",
        bench.changes()
    );
}

#[test]
fn a_backlog_gives_the_verdicts_of_live_processing_at_the_same_times() {
    let times = [0, 1, 2, 30, 100, 101, 180, 230];
    let mut live = Bench::new(TaskTime::Wall);
    for at in times {
        let record = live.usage("a", hour(at));
        live.fetch(Source::Usage, &[record], hour(at));
        live.work(hour(at));
        live.work(hour(at) + Span::MINUTE * 30);
    }
    live.work(hour(300));
    let mut behind = Bench::new(TaskTime::Wall);
    let backlog: Vec<Stored> = times.iter().map(|at| behind.usage("a", hour(*at))).collect();
    behind.fetch(Source::Usage, &backlog, hour(300));
    behind.work(hour(300));
    assert_eq!(live.changes(), behind.changes());
    assert!(live.changes().len() >= 5, "{:?}", live.changes());
}

#[test]
fn a_producer_whose_clock_is_ahead_does_not_pull_time_along() {
    let mut bench = Bench::new(TaskTime::Wall);
    let ahead = bench.usage("a", hour(500));
    bench.fetch(Source::Usage, &[ahead], hour(1));
    bench.work(hour(1));
    assert_eq!(bench.now(), hour(1));
}

#[test]
fn a_question_older_than_a_record_does_not_let_it_pass() {
    let mut bench = Bench::new(TaskTime::Wall);
    let record = bench.usage("a", hour(2));
    bench.fetch(Source::Usage, &[record], hour(2));
    assert_eq!(bench.work(hour(1)), 0, "another topic may hold an earlier one by now");
    assert_eq!(bench.work(hour(2)), 1);
}

#[test]
fn with_record_time_alone_too_a_question_older_than_a_record_does_not_let_it_pass() {
    let mut bench = Bench::new(TaskTime::Records);
    // Asked at 1: all topics are empty. Then a ticket is written, after it a usage event, and the
    // usage event is fetched first.
    bench.work(hour(1));
    let before = bench.topics.clone();
    let ticket = bench.ticket("a", hour(5));
    let usage = bench.usage("a", hour(6));
    bench.fetch(Source::Usage, &[usage], hour(2));
    let now = std::mem::replace(&mut bench.topics, before);
    assert_eq!(bench.work(hour(1)), 0, "the ticket may be there by now");
    bench.topics = now;
    assert_eq!(bench.work(hour(3)), 0, "it is");
    bench.fetch(Source::Ticket, &[ticket], hour(3));
    assert_eq!(bench.work(hour(3)), 2);
    assert_eq!(bench.now(), hour(6));
}

#[test]
fn with_record_time_alone_what_an_earlier_answer_knew_of_need_not_wait_for_the_next() {
    let mut bench = Bench::new(TaskTime::Records);
    let backlog: Vec<Stored> = (0..3).map(|at| bench.usage("a", hour(at))).collect();
    bench.work(hour(1));
    bench.work(hour(2));
    // Fetched after the last question was asked, and written before the one before it.
    bench.fetch(Source::Usage, &backlog, hour(3));
    assert_eq!(bench.work(hour(2)), 3);
}

#[test]
fn with_record_time_alone_the_clock_stays_at_the_last_record() {
    let mut bench = Bench::new(TaskTime::Records);
    let only = bench.usage("a", hour(0));
    bench.fetch(Source::Usage, &[only], hour(0));
    bench.work(hour(900));
    assert_eq!(bench.now(), hour(0));
}

#[test]
fn an_event_does_not_wait_for_the_deadlines_of_all_accounts() {
    let mut bench = Bench::new(TaskTime::Wall);
    bench.fleet(500);
    for source in SOURCES {
        bench.reach_end(source, hour(0));
    }
    bench.commit(hour(0));
    // Silent for two days and an hour, all of them, when another account is used.
    let event = bench.usage("late", hour(50));
    bench.fetch(Source::Usage, &[event], hour(50));
    assert_eq!(bench.work_with(hour(50), 10), 1, "taken at once");
    assert!(bench.task.has_open_deadlines());
    let mut turns = 1;
    while bench.task.has_open_deadlines() {
        assert!(bench.commit(hour(50)).len() < 50, "a commit has a turn's work in it, not all");
        bench.work_with(hour(50), 10);
        turns += 1;
    }
    // Two looks at each at least: the score falls after two days, and an hour later the band.
    assert!(turns >= 500 * 2 / 10, "{turns} turns");
    assert_eq!(bench.now(), hour(50));
}

#[test]
fn what_overtook_the_deadlines_of_others_changes_none_of_them() {
    let run = |looks: usize| {
        let mut bench = Bench::new(TaskTime::Wall);
        bench.fleet(300);
        for source in SOURCES {
            bench.reach_end(source, hour(0));
        }
        // Just before, just after and long after the band changes at hour 49.
        for at in [48, 49, 50, 100] {
            let event = bench.usage(&format!("a{at}"), hour(at));
            bench.fetch(Source::Usage, &[event], hour(at));
            bench.work_with(hour(at), looks);
        }
        while bench.task.has_open_deadlines() {
            bench.work_with(hour(100), looks);
        }
        let mut changes = bench.changes();
        changes.sort_by(|a, b| a.partial_cmp(b).unwrap());
        changes
    };
    assert_eq!(run(usize::MAX), run(7));
}

#[test]
fn a_crash_amid_a_burst_of_deadlines_leaves_no_account_without_its_report() {
    let mut bench = Bench::new(TaskTime::Wall);
    bench.fleet(2_500);
    for source in SOURCES {
        bench.reach_end(source, hour(0));
    }
    bench.task.write_all();
    let mut written = Vec::new();
    while bench.task.is_dirty() {
        written.extend(bench.commit(hour(0)));
    }
    // Every score falls, and no band yet: that takes another hour.
    bench.work(hour(48));
    let first = bench.commit(hour(48));
    written.extend_from_slice(&first);
    bench.crash(&written);
    let mut reported: BTreeSet<Vec<u8>> = BTreeSet::new();
    let mut outputs = first;
    while !outputs.is_empty() {
        let scores = outputs.iter().filter(|record| record.topic == OutputTopic::Scores);
        reported.extend(scores.map(|record| record.key.clone().unwrap()));
        outputs = if bench.task.is_dirty() { bench.commit(hour(48)) } else { Vec::new() };
    }
    assert_eq!(reported.len(), 2_500);
}
