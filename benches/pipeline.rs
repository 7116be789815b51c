//! One event from end to end without Kafka: bytes, decoded, merged with the other topics', through
//! the engine, and what came of it as the bytes of output records, shown to readers.
//!
//! `cargo bench --bench pipeline`. Records come out of memory here; what the client library takes
//! for each (design, section 6) comes on top. A commit is made after every batch, as often as a
//! worker that catches up would, with everything but the broker in it.

mod traffic;

use std::fmt::Write as _;
use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use mimalloc::MiMalloc;

use barometer::broker::{End, EndOffsets, Fetched, Input, InputRecord};
use barometer::capacity::Capacity;
use barometer::engine::event::{DecodeLimits, Source};
use barometer::engine::limits::Limits;
use barometer::engine::rules::Rules;
use barometer::engine::scorecard::Scorecard;
use barometer::engine::time::{EventTime, Span};
use barometer::restore::OffsetReset;
use barometer::routing::Routing;
use barometer::task::{Task, TaskSettings, TaskTime};
use barometer::view::View;
use traffic::{Batch, Spread, Traffic, json};

/// The one of the binary.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Records between two commits.
const BATCH_RECORDS: usize = 50_000;
/// What the records of one fetch share between the topics; no topic's part is more than a task
/// takes.
const FETCH_RECORDS: usize = 2_000;
const ACCOUNTS: u32 = 100_000;
const CHECKPOINT_INTERVAL: Span = Span::from_millis(30_000);
const CARD: &str = include_str!("../config/scorecards/saas-default.yaml");

/// A record in a fetch buffer that it shares with others.
struct HeldRecord {
    buffer: Rc<String>,
    key: (u32, u32),
    value: (u32, u32),
    offset: i64,
    time: EventTime,
}

impl InputRecord for HeldRecord {
    fn offset(&self) -> i64 {
        self.offset
    }

    fn timestamp(&self) -> Option<EventTime> {
        Some(self.time)
    }

    fn key(&self) -> Option<&[u8]> {
        self.buffer.as_bytes().get(self.key.0 as usize..self.key.1 as usize)
    }

    fn value(&self) -> Option<&[u8]> {
        self.buffer.as_bytes().get(self.value.0 as usize..self.value.1 as usize)
    }

    fn headers(&self) -> Vec<(String, Option<Vec<u8>>)> {
        Vec::new()
    }
}

/// A task with everything around it but a broker.
struct Pipeline {
    task: Task<HeldRecord>,
    view: View,
    routing: Routing,
    ends: EndOffsets,
    /// By `Source as usize`.
    next_offset: [i64; 5],
}

/// The records of one fetch, by `Source as usize`.
type Fetch = [Vec<HeldRecord>; 5];

impl Pipeline {
    fn new(capacity: Capacity) -> Pipeline {
        let parsed = Scorecard::parse("saas-default.yaml", CARD);
        let card = Arc::new(parsed.expect("the default scorecard is a good one").scorecard);
        let topics = Source::ALL.map(|source| source.default_topic().to_owned());
        let settings = Arc::new(TaskSettings {
            limits: DecodeLimits::default(),
            account_limits: Limits::NONE,
            capacity: Arc::new(capacity),
            task_time: TaskTime::Records,
            outage_guard: false,
            scores_min_interval: Span::MINUTE,
            event_source: "/barometer/bench".to_owned(),
            owner: "bench-0".to_owned(),
            group: "test".to_owned(),
            changelog: "test-changelog".to_owned(),
            checkpoint_interval: CHECKPOINT_INTERVAL,
            changelog_bytes_max: 1_000_000,
            offset_reset: OffsetReset::Fail,
            at_least_once: false,
            dead_letter_bytes_max: 1 << 20,
            topics: topics.clone(),
        });
        let start = Source::ALL.map(|source| (source, 0));
        let end_of =
            |source| End { input: Input { source, partition: 0 }, stable: 0, high: i64::MAX };
        Pipeline {
            task: Task::new(0, settings, Arc::new(Rules::one(card)), &start, EventTime::MIN, 0),
            view: View::new(1),
            routing: Routing::new(1, None, topics),
            ends: EndOffsets { asked_at: EventTime::MAX, ends: Source::ALL.map(end_of).to_vec() },
            next_offset: [0; 5],
        }
    }

    /// Writes a batch's events down as the records of as many fetches as they fill.
    fn fetches(&mut self, batch: &Batch) -> Vec<Fetch> {
        let mut buffer = String::new();
        let mut places = Vec::new();
        for (time, event) in batch.events() {
            let key_start = buffer.len() as u32;
            buffer.push_str(&event.account_id);
            let value_start = buffer.len() as u32;
            let source = json(&event, &mut buffer);
            let value = (value_start, buffer.len() as u32);
            places.push((source, (key_start, value_start), value, time));
        }
        let buffer = Rc::new(buffer);
        let mut fetches = Vec::new();
        for fetched in places.chunks(FETCH_RECORDS) {
            let mut fetch = Fetch::default();
            for (source, key, value, time) in fetched {
                let offset = self.next_offset[*source as usize];
                self.next_offset[*source as usize] += 1;
                let buffer = Rc::clone(&buffer);
                let record = HeldRecord { buffer, key: *key, value: *value, offset, time: *time };
                fetch[*source as usize].push(record);
            }
            fetches.push(fetch);
        }
        fetches
    }

    fn run(&mut self, fetches: Vec<Fetch>) {
        for fetch in fetches {
            for (source, records) in Source::ALL.into_iter().zip(fetch) {
                let records = records.into_iter().map(Fetched::Record);
                self.task.absorb(source, records, EventTime::MAX);
            }
            let now = self.task.engine().now();
            let taken = self.task.work(&self.ends, &self.routing, FETCH_RECORDS, usize::MAX, now);
            assert_eq!(taken, Ok(FETCH_RECORDS), "every fetch is a full one");
        }
        let now = self.task.engine().now();
        self.commit(now, usize::MAX);
    }

    /// A commit with everything but the broker in it.
    fn commit(&mut self, now: EventTime, unasked: usize) {
        self.task.prepare(now, &self.routing, unasked, |snapshot| self.view.shows(snapshot));
        black_box(self.task.outputs());
        for account_id in self.task.drain_forgotten() {
            self.view.forget(&account_id);
        }
        for snapshot in self.task.committed() {
            self.view.show(0, snapshot);
        }
    }
}

impl Pipeline {
    /// One usage event each of accounts that nobody has heard of.
    fn strangers(&mut self, first: u64, count: u64) -> Vec<Fetch> {
        let time = EventTime::from_millis(1_750_000_000_000) + Span::from_millis(first as i64);
        let mut buffer = String::new();
        let mut places = Vec::new();
        for n in first..first + count {
            let key_start = buffer.len() as u32;
            write!(buffer, "stranger-{n}").expect("a string takes every write");
            let value_start = buffer.len() as u32;
            write!(
                buffer,
                r#"{{"event_id":"e","account_id":"stranger-{n}","occurred_at":{},"user_id":"u","feature":"f"}}"#,
                time.as_millis()
            )
            .expect("a string takes every write");
            places.push(((key_start, value_start), (value_start, buffer.len() as u32)));
        }
        let buffer = Rc::new(buffer);
        let mut fetches = Vec::new();
        for fetched in places.chunks(FETCH_RECORDS) {
            let mut fetch = Fetch::default();
            for (key, value) in fetched {
                let offset = self.next_offset[Source::Usage as usize];
                self.next_offset[Source::Usage as usize] += 1;
                let (buffer, key, value) = (Rc::clone(&buffer), *key, *value);
                fetch[Source::Usage as usize].push(HeldRecord { buffer, key, value, offset, time });
            }
            fetches.push(fetch);
        }
        fetches
    }

    /// One record comes right after the next midnight, and turns follow until nothing is left to do.
    /// A turn looks at no more than `looks` accounts, and a commit writes no more than `unasked`, for
    /// nothing but the time.
    fn longest_turn_of_a_night(
        &mut self,
        traffic: &mut Traffic,
        looks: usize,
        unasked: usize,
    ) -> Duration {
        let mut batch = Batch::default();
        traffic.fill(&mut batch, 1, Spread::Uniform);
        let midnight = self.task.engine().now().floor_to(Span::DAY) + Span::DAY;
        let mut fetches = self.fetches(&batch);
        for (source, records) in Source::ALL.into_iter().zip(fetches.remove(0)) {
            let at_midnight = |mut record: HeldRecord| {
                record.time = midnight + Span::SECOND;
                Fetched::Record(record)
            };
            self.task.absorb(source, records.into_iter().map(at_midnight), EventTime::MAX);
        }
        // The clock jumps to midnight here.
        self.write_what_is_due();
        self.longest_turn(looks, unasked)
    }

    /// Accounts go over to other rules, and turns follow until nothing is left to do.
    fn longest_turn_of_a_change(&mut self, rules: &Rules, looks: usize) -> Duration {
        self.write_what_is_due();
        self.task.change_rules(rules);
        self.longest_turn(looks, looks.saturating_mul(2))
    }

    /// Writes what would have been written by the time that something happens to all accounts at once.
    fn write_what_is_due(&mut self) {
        let later = self.task.engine().now() + CHECKPOINT_INTERVAL;
        self.task.note_time(later);
        while self.task.is_dirty() {
            self.commit(later, usize::MAX);
        }
    }

    fn longest_turn(&mut self, looks: usize, unasked: usize) -> Duration {
        let mut longest = Duration::ZERO;
        loop {
            let started = Instant::now();
            let now = self.task.engine().now();
            let taken = self.task.work(&self.ends, &self.routing, FETCH_RECORDS, looks, now);
            assert!(taken.is_ok(), "keys are where they belong");
            self.commit(now, unasked);
            longest = longest.max(started.elapsed());
            let goes_on = self.task.has_open_deadlines() || self.task.is_going_over();
            if !goes_on && !self.task.is_dirty() {
                return longest;
            }
        }
    }
}

/// A pipeline whose accounts have all had four weeks of history, and the traffic that goes on.
fn loaded() -> (Pipeline, Traffic) {
    let mut pipeline = Pipeline::new(Capacity::endless());
    let mut traffic = Traffic::new(ACCOUNTS);
    let mut batch = Batch::default();
    // As many accounts at a time as make whole fetches, whatever the length of a history.
    for first in (0..ACCOUNTS).step_by(FETCH_RECORDS) {
        batch.clear();
        for account in first..first + FETCH_RECORDS as u32 {
            traffic.history(account, &mut batch);
        }
        let fetches = pipeline.fetches(&batch);
        pipeline.run(fetches);
    }
    (pipeline, traffic)
}

fn throughput(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pipeline/100k");
    group.throughput(Throughput::Elements(BATCH_RECORDS as u64));
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(6));
    // Made when asked for, so that a filter spares it.
    let mut made: Option<(Pipeline, Traffic)> = None;
    let mut batch = Batch::default();
    for (name, spread) in Spread::NAMES {
        group.bench_function(name, |bencher| {
            let (pipeline, traffic) = made.get_or_insert_with(loaded);
            bencher.iter_custom(|batches| {
                let mut spent = Duration::ZERO;
                for _ in 0..batches {
                    traffic.fill(&mut batch, BATCH_RECORDS, spread);
                    let fetches = pipeline.fetches(&batch);
                    let started = Instant::now();
                    pipeline.run(fetches);
                    spent += started.elapsed();
                }
                spent
            });
        });
    }
    group.finish();
}

/// How long a record may have to wait at midnight UTC, when panes leave the windows of all accounts:
/// the longest turn, deadlines, reports and all, until every account has been looked at. One figure
/// for all at once, and one for slices as a worker takes them.
fn midnight(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pipeline/100k/midnight");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(6));
    let mut made: Option<(Pipeline, Traffic)> = None;
    let steps = [("all_at_once", usize::MAX, usize::MAX), ("longest_turn", 1_000, 2_000)];
    for (name, looks, unasked) in steps {
        group.bench_function(name, |bencher| {
            let (pipeline, traffic) = made.get_or_insert_with(loaded);
            bencher.iter_custom(|nights| {
                (0..nights).map(|_| pipeline.longest_turn_of_a_night(traffic, looks, unasked)).sum()
            });
        });
    }
    group.finish();
}

/// How long a record may have to wait when the rules change for all accounts, and every one of them is
/// judged anew and written: the longest turn, as for [`midnight`].
fn rules(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pipeline/100k/rules");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(6));
    // The same but for a comment is another scorecard.
    let versions = [CARD.to_owned(), format!("{CARD}# changed\n")].map(|text| {
        let parsed = Scorecard::parse("saas-default.yaml", &text);
        Rules::one(Arc::new(parsed.expect("the default scorecard is a good one").scorecard))
    });
    let mut made: Option<(Pipeline, Traffic)> = None;
    let mut next = versions.iter().rev().cycle();
    for (name, looks) in [("all_at_once", usize::MAX), ("longest_turn", 1_000)] {
        group.bench_function(name, |bencher| {
            let (pipeline, _) = made.get_or_insert_with(loaded);
            bencher.iter_custom(|changes| {
                let rules = next.by_ref().take(changes as usize);
                rules.map(|rules| pipeline.longest_turn_of_a_change(rules, looks)).sum()
            });
        });
    }
    group.finish();
}

/// Account after account that is heard of once, far beyond what the process holds: the time of each, and
/// the most memory there was.
fn flood(criterion: &mut Criterion) {
    const ACCOUNTS_MAX: usize = 200_000;
    let mut group = criterion.benchmark_group("pipeline/flood");
    group.throughput(Throughput::Elements(BATCH_RECORDS as u64));
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(10));
    for (name, evicts) in [("refuse", false), ("forget_idle", true)] {
        let mut made: Option<(Pipeline, u64)> = None;
        group.bench_function(name, |bencher| {
            let (pipeline, first) = made.get_or_insert_with(|| {
                let mut pipeline = Pipeline::new(Capacity::new(ACCOUNTS_MAX, evicts));
                let mut first = 0;
                while pipeline.task.engine().account_count() < ACCOUNTS_MAX {
                    let fetches = pipeline.strangers(first, BATCH_RECORDS as u64);
                    pipeline.run(fetches);
                    first += BATCH_RECORDS as u64;
                }
                (pipeline, first)
            });
            bencher.iter_custom(|batches| {
                let mut spent = Duration::ZERO;
                for _ in 0..batches {
                    let fetches = pipeline.strangers(*first, BATCH_RECORDS as u64);
                    *first += BATCH_RECORDS as u64;
                    let started = Instant::now();
                    pipeline.run(fetches);
                    spent += started.elapsed();
                }
                spent
            });
        });
        if let Some((pipeline, heard_of)) = made {
            let held = pipeline.task.engine().account_count();
            let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
            let peak = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or("");
            println!("{name}: {heard_of} accounts heard of, {held} held; {peak}");
        }
    }
    group.finish();
}

criterion_group!(benches, throughput, midnight, rules, flood);
criterion_main!(benches);
