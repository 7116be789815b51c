//! Tasks that crash and are put back together publish what one task publishes that never crashes:
//! whatever had been fetched, decided, committed or aborted when they did.
//!
//! No threads and no broker: the topics are vectors, and dice say what happens next. Random
//! scorecards and histories are those of `histories`.

mod histories;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use barometer::broker::{
    Committed, End, EndOffsets, Fetched, Input, InputRecord, OutputRecord, OutputTopic,
};
use barometer::capacity::Capacity;
use barometer::checkpoint::{RESERVED_BYTE, part_of};
use barometer::engine::event::{DecodeLimits, Source};
use barometer::engine::limits::Limits;
use barometer::engine::rules::Rules;
use barometer::engine::scorecard::Scorecard;
use barometer::engine::time::{EventTime, Span};
use barometer::restore::{OffsetReset, Restore, check_held};
use barometer::routing::Routing;
use barometer::task::{Task, TaskSettings, TaskTime};
use serde_json::Value;

use histories::harness::check;
use histories::{Arrival, Case, cases};

/// A record of a topic, or of the changelog.
#[derive(Clone, Debug)]
struct Stored {
    offset: i64,
    time: EventTime,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
}

impl InputRecord for Stored {
    fn offset(&self) -> i64 {
        self.offset
    }

    fn timestamp(&self) -> Option<EventTime> {
        Some(self.time)
    }

    fn key(&self) -> Option<&[u8]> {
        Some(&self.key)
    }

    fn value(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }

    fn headers(&self) -> Vec<(String, Option<Vec<u8>>)> {
        Vec::new()
    }
}

/// What the brokers hold.
struct Cluster {
    topics: BTreeMap<Source, Vec<Stored>>,
    published: Vec<OutputRecord>,
    committed: BTreeMap<Source, Committed>,
}

impl Cluster {
    fn new(case: &Case, dice: &mut impl FnMut() -> i64) -> Cluster {
        let mut topics: BTreeMap<Source, Vec<Stored>> =
            Source::ALL.map(|source| (source, Vec::new())).into();
        for arrival in &case.arrivals {
            let topic = topics.get_mut(&arrival.source).expect("all are there");
            // Transactions upstream and compaction leave gaps.
            let gap = i64::from(dice() % 7 == 0);
            let offset = topic.last().map_or(0, |last| last.offset + 1) + gap;
            let value = match dice() % 20 {
                0 => Some(b"no good".to_vec()),
                _ => arrival.json(),
            };
            topic.push(Stored {
                offset,
                time: EventTime::from_millis(arrival.record_time_ms),
                key: arrival.account_id.clone().into_bytes(),
                value,
            });
            // Somebody wants an account erased; events of it may well come again.
            if dice() % 23 == 0 {
                let profiles = topics.get_mut(&Source::Profile).expect("all are there");
                let offset = profiles.last().map_or(0, |last| last.offset + 1);
                profiles.push(Stored {
                    offset,
                    time: EventTime::from_millis(arrival.record_time_ms),
                    key: arrival.account_id.clone().into_bytes(),
                    value: Some(forgetting(arrival).into_bytes()),
                });
            }
        }
        Cluster { topics, published: Vec::new(), committed: BTreeMap::new() }
    }

    fn end(&self, source: Source) -> i64 {
        self.topics[&source].last().map_or(0, |last| last.offset + 1)
    }

    fn ends(&self) -> EndOffsets {
        let end = |source: Source| End {
            input: Input { source, partition: 0 },
            stable: self.end(source),
            high: self.end(source),
        };
        EndOffsets { asked_at: EventTime::MAX, ends: Source::ALL.map(end).to_vec() }
    }

    fn of(&self, topic: OutputTopic) -> impl Iterator<Item = &OutputRecord> {
        self.published.iter().filter(move |record| record.topic == topic)
    }

    /// The state as written; compaction has come so far, and left only the latest of each key.
    fn changelog(&self, compacted_to: usize) -> Vec<Stored> {
        let all: Vec<Stored> = (0..)
            .zip(self.of(OutputTopic::Changelog))
            .map(|(offset, record)| Stored {
                offset,
                time: EventTime::from_millis(0),
                key: record.key.clone().expect("state has a key"),
                value: record.value.clone(),
            })
            .collect();
        let (old, new) = all.split_at(compacted_to.min(all.len()));
        let is_latest = |record: &&Stored| {
            old.iter()
                .rfind(|other| other.key == record.key)
                .is_some_and(|l| l.offset == record.offset)
        };
        old.iter().filter(is_latest).chain(new).cloned().collect()
    }

    /// By account, each event in order, without what names the group.
    fn events(&self) -> BTreeMap<String, Vec<(String, String, Value)>> {
        let mut events: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for record in self.of(OutputTopic::Events) {
            let header = |name: &str| {
                let (_, value) =
                    record.headers.iter().find(|(known, _)| known == name).expect("a header");
                String::from_utf8(value.clone().expect("a value")).expect("text")
            };
            let json = serde_json::from_slice(record.value.as_deref().expect("a payload"));
            events.entry(text(record.key.as_deref())).or_default().push((
                header("ce_id"),
                header("ce_time"),
                json.expect("JSON"),
            ));
        }
        events
    }

    /// By account, what the latest report says, but for values that its own time decides: a measure
    /// on the flat end of its curve is read when there is a report to write.
    fn reports(&self) -> BTreeMap<String, Value> {
        let mut reports = BTreeMap::new();
        for record in self.of(OutputTopic::Scores) {
            let Some(json) = record.value.as_deref() else {
                reports.remove(&text(record.key.as_deref()));
                continue;
            };
            let report: Value = serde_json::from_slice(json).expect("JSON");
            let says = ["score", "band", "previous_band", "band_since", "coverage", "gates"];
            let says: Vec<&Value> = says.iter().map(|field| &report[field]).collect();
            reports.insert(text(record.key.as_deref()), serde_json::json!(says));
        }
        reports
    }

    /// The accounts of which the compacted changelog holds anything.
    fn kept(&self) -> BTreeSet<String> {
        let of_accounts = |record: &Stored| {
            let key = part_of(&record.key).map_or(&*record.key, |(whole, _)| whole);
            (key.first() != Some(&RESERVED_BYTE)).then(|| key.to_vec())
        };
        let kept = self.changelog(usize::MAX).into_iter().filter(|record| record.value.is_some());
        kept.filter_map(|record| of_accounts(&record)).map(|key| text(Some(&key))).collect()
    }

    /// Topic and offset of each dead letter.
    fn dead_letters(&self) -> Vec<Vec<String>> {
        let place = |record: &OutputRecord| {
            let of_record = |(name, value): &(String, Option<Vec<u8>>)| {
                let is =
                    matches!(name.as_str(), "__connect.errors.topic" | "__connect.errors.offset");
                is.then(|| text(value.as_deref()))
            };
            record.headers.iter().filter_map(of_record).collect()
        };
        let mut letters: Vec<Vec<String>> = self.of(OutputTopic::DeadLetters).map(place).collect();
        letters.sort();
        letters
    }
}

/// A record that asks for an arrival's account to be erased.
fn forgetting(arrival: &Arrival) -> String {
    let Arrival { account_id, record_time_ms, .. } = arrival;
    let event_id = format!("forget-{record_time_ms}");
    serde_json::json!({
        "event_id": event_id, "account_id": account_id, "occurred_at": record_time_ms,
        "forget": true,
    })
    .to_string()
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

/// A mistake made on purpose, which the properties have to notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Offsets are committed by themselves, before the output.
    OffsetsOutsideTheTransaction,
    /// The state is lost when a process ends.
    NoState,
    /// What was replayed is read once more.
    ReplayTwice,
}

struct Process<'a> {
    cluster: &'a mut Cluster,
    routing: Routing,
    task: Task<Stored>,
    /// What has been fetched, as a position in the topic.
    fetched: BTreeMap<Source, usize>,
    wall: EventTime,
    run: Run,
}

/// What is asked of a run.
#[derive(Clone, Copy)]
struct Run {
    /// Processes end at any moment, and transactions are aborted.
    crashes: bool,
    at_least_once: bool,
    /// Deadlines are worked off a few at a time, so that events overtake those of other accounts, and
    /// so do accounts that come awake.
    in_slices: bool,
    fault: Fault,
    /// Which dice are rolled.
    dice: i64,
}

impl Run {
    const STEADY: Run =
        Run { crashes: false, at_least_once: false, in_slices: false, fault: Fault::None, dice: 0 };
}

impl Process<'_> {
    fn start<'a>(
        cluster: &'a mut Cluster,
        settings: &Arc<TaskSettings>,
        rules: &Arc<Rules>,
        wall: EventTime,
        run: Run,
        dice: &mut impl FnMut() -> i64,
    ) -> Process<'a> {
        let routing = Routing::new(1, None, settings.topics.clone());
        let mut restore = Restore::new(0, Arc::clone(settings), Arc::clone(rules));
        if run.fault != Fault::NoState {
            let compacted_to = cluster.of(OutputTopic::Changelog).count() * dice() as usize / 200;
            for record in cluster.changelog(compacted_to) {
                restore.take(&record).expect("state as it was written");
            }
        }
        let mut committed: Vec<(Input, Option<Committed>)> = Source::ALL
            .map(|source| (Input { source, partition: 0 }, cluster.committed.get(&source).cloned()))
            .to_vec();
        if run.fault == Fault::NoState {
            committed.iter_mut().flat_map(|(_, c)| c).for_each(|c| c.metadata.clear());
        }
        let (task, resumptions) = restore
            .finish::<Stored>(&committed, |_| 0, None, EventTime::MIN, &routing)
            .expect("state and offsets fit together");
        let mut fetched = BTreeMap::new();
        for from in resumptions {
            let ends = (0, cluster.end(from.source));
            check_held(settings, 0, from, ends).expect("everything is there still");
            let topic = &cluster.topics[&from.source];
            let position = topic.partition_point(|record| record.offset < from.replay_from);
            fetched.insert(from.source, position);
        }
        let mut process = Process { cluster, routing, task, fetched, wall, run };
        let mut before = process.fetched.clone();
        while process.task.is_replaying() {
            process.fetch(dice);
            let (budget, now) = (1 + dice() as usize % 9, process.wall);
            process.task.replay(&process.routing, budget, now).expect("keys are where they belong");
        }
        if run.fault == Fault::ReplayTwice {
            std::mem::swap(&mut process.fetched, &mut before);
        }
        process
    }

    /// Some records of some topics, or the end of one.
    fn fetch(&mut self, dice: &mut impl FnMut() -> i64) {
        for source in Source::ALL {
            let topic = &self.cluster.topics[&source];
            let position = self.fetched.get_mut(&source).expect("all are read");
            let count = (dice() % 5) as usize;
            let records = topic.iter().skip(*position).take(count).cloned();
            let mut fetched: Vec<Fetched<Stored>> = records.map(Fetched::Record).collect();
            *position += fetched.len();
            if *position == topic.len() && dice() % 2 == 0 {
                fetched.push(Fetched::End(self.cluster.end(source)));
            }
            self.task.absorb(source, fetched.into_iter(), EventTime::MAX);
        }
    }

    fn work(&mut self, dice: &mut impl FnMut() -> i64) {
        self.fetch(dice);
        let (ends, budget) = (self.cluster.ends(), 1 + dice() as usize % 12);
        let slice = |dice: &mut dyn FnMut() -> i64| match self.run.in_slices {
            true => dice() as usize % 4,
            false => usize::MAX,
        };
        let (wakes, looks) = (slice(dice), slice(dice));
        self.task.wake(wakes, self.wall).expect("state as it was written");
        self.task.work(&ends, &self.routing, budget, looks, self.wall).expect("one partition");
        self.wall = self.wall + Span::from_millis(dice() * 20);
        self.task.note_time(self.wall);
    }

    /// Gets a transaction ready, and commits it as far as `fate` lets it.
    fn commit(&mut self, fate: Fate) {
        if !self.task.is_dirty() {
            return;
        }
        let unasked = if self.run.in_slices { 1 } else { usize::MAX };
        self.task.prepare(self.wall, &self.routing, unasked, |_| false);
        if self.run.fault == Fault::OffsetsOutsideTheTransaction {
            self.commit_offsets();
        }
        match fate {
            Fate::Aborted => {}
            Fate::OutputOnly => self.publish(),
            Fate::Committed => {
                self.publish();
                self.commit_offsets();
                self.task.committed();
            }
        }
    }

    fn publish(&mut self) {
        self.cluster.published.extend_from_slice(self.task.outputs());
    }

    fn commit_offsets(&mut self) {
        for processed in self.task.processed() {
            let committed =
                Committed { offset: processed.offset, metadata: processed.metadata.clone() };
            self.cluster.committed.insert(processed.input.source, committed);
        }
    }

    fn is_done(&self) -> bool {
        let committed = |source| self.cluster.committed.get(&source).map_or(0, |c| c.offset);
        Source::ALL.iter().all(|source| committed(*source) >= self.cluster.end(*source))
            && !self.task.is_dirty()
            && !self.task.is_waking()
            && !self.task.has_open_deadlines()
    }
}

/// What becomes of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Aborted,
    /// Without transactions: the offsets did not follow.
    OutputOnly,
    Committed,
}

/// Some cases have little room, for accounts or within them, and forget who is idle.
fn settings(case: &Case, at_least_once: bool) -> Arc<TaskSettings> {
    let every = |nth: usize, rarity: u8| case.choices[nth].is_multiple_of(rarity);
    // Deadlines in slices leave open which account is forgotten before another one needs its place.
    let is_full = every(3, 4) && !case.choices[0].is_multiple_of(2);
    Arc::new(TaskSettings {
        limits: DecodeLimits::default(),
        account_limits: Limits {
            items_per_account: if every(1, 4) { 2 } else { usize::MAX },
            users_per_account: if every(1, 3) { 2 } else { usize::MAX },
            forget_after: every(2, 2).then_some(Span::days(30)),
        },
        capacity: Arc::new(Capacity::new(if is_full { 2 } else { usize::MAX }, false)),
        task_time: TaskTime::Records,
        outage_guard: true,
        scores_min_interval: Span::SECOND,
        event_source: "/barometer/test".to_owned(),
        owner: "test".to_owned(),
        group: "test".to_owned(),
        changelog: "test-changelog".to_owned(),
        checkpoint_interval: Span::from_millis(3_000),
        // Small, so that accounts are written in parts.
        changelog_bytes_max: 400,
        offset_reset: OffsetReset::Fail,
        at_least_once,
        dead_letter_bytes_max: 1_000_000,
        topics: Source::ALL.map(|source| source.default_topic().to_owned()),
    })
}

/// A cluster on which everything has been processed.
fn processed(case: &Case, run: Run) -> Cluster {
    let mut rolled = case.choices.iter().cycle().zip(1 + run.dice..);
    let mut dice = move || {
        let (byte, count) = rolled.next().expect("it goes round");
        // Goes round, but not in a circle.
        (i64::from(*byte) * 31 + count * count * 17 + count) / 3 % 251
    };
    let Run { crashes, at_least_once, .. } = run;
    let mut same_dice = case.choices.iter().cycle().map(|byte| i64::from(*byte));
    let mut cluster = Cluster::new(case, &mut || same_dice.next().expect("it goes round"));
    let settings = settings(case, at_least_once);
    let card = Scorecard::parse("card.yaml", &case.card).expect("a good card").scorecard;
    let rules = Arc::new(Rules::one(Arc::new(card)));
    let mut wall = EventTime::from_millis(1_000_000_000_000);
    for life in 0.. {
        let mut process = Process::start(&mut cluster, &settings, &rules, wall, run, &mut dice);
        let lasts = if crashes && life < 12 { dice() % 25 } else { i64::MAX };
        for _ in 0..lasts {
            process.work(&mut dice);
            match dice() % 6 {
                0 | 1 => {}
                // Aborted; the same is sent again before anything else is taken.
                2 if crashes => {
                    process.commit(Fate::Aborted);
                    process.commit(Fate::Committed);
                }
                _ => process.commit(Fate::Committed),
            }
            if process.is_done() {
                // A stop: all state is written.
                process.task.write_all();
                while process.task.is_dirty() {
                    process.commit(Fate::Committed);
                }
                // What was held back by the interval.
                process.wall = process.wall + Span::DAY;
                process.task.note_time(process.wall);
                while process.task.is_dirty() {
                    process.commit(Fate::Committed);
                    process.task.note_time(process.wall);
                }
                return cluster;
            }
        }
        if at_least_once && dice() % 2 == 0 {
            process.commit(Fate::OutputOnly);
        } else if dice() % 2 == 0 {
            process.commit(Fate::Aborted);
        }
        wall = process.wall + Span::SECOND;
    }
    unreachable!("lives do not run out")
}

/// The same, or the first line in which they differ with a few around it.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, one: &T, other: &T) -> Result<(), String> {
    if one == other {
        return Ok(());
    }
    let (one, other) = (format!("{one:#?}"), format!("{other:#?}"));
    let (one, other): (Vec<&str>, Vec<&str>) = (one.lines().collect(), other.lines().collect());
    let same = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
    let excerpt = |lines: &[&str]| {
        let end = (same + 12).min(lines.len());
        lines[same.saturating_sub(30).min(end)..end].join("\n")
    };
    Err(format!("{what}\nwithout a crash:\n{}\nwith crashes:\n{}", excerpt(&one), excerpt(&other)))
}

fn crashes_change_nothing(case: &Case, fault: Fault) -> Result<(), String> {
    let steady = processed(case, Run::STEADY);
    let in_slices = case.choices[0].is_multiple_of(2);
    let crashed = processed(case, Run { crashes: true, in_slices, fault, ..Run::STEADY });
    same("events", &steady.events(), &crashed.events())?;
    same("reports", &steady.reports(), &crashed.reports())?;
    same("accounts in the changelog", &steady.kept(), &crashed.kept())?;
    same("accounts with reports", &steady.kept(), &steady.reports().into_keys().collect())?;
    same("dead letters", &steady.dead_letters(), &crashed.dead_letters())
}

#[test]
fn crashes_change_nothing_that_is_published() {
    check(500, cases(60), |case| crashes_change_nothing(case, Fault::None));
}

#[test]
fn crashes_change_nothing_that_is_published_of_dense_histories() {
    check(60, cases(250), |case| crashes_change_nothing(case, Fault::None));
}

/// Batches, the order in which topics arrive, how often there is a commit and how many deadlines are
/// worked off at a time.
#[test]
fn verdicts_depend_on_the_records_and_on_nothing_of_how_they_come() {
    check(400, cases(60), |case| {
        let one = processed(case, Run::STEADY);
        let other = processed(case, Run { dice: 77, ..Run::STEADY });
        let events = |cluster: &Cluster| {
            cluster.of(OutputTopic::Events).cloned().collect::<Vec<OutputRecord>>()
        };
        same("events, in order", &events(&one), &events(&other))?;
        let sliced = processed(case, Run { in_slices: true, dice: 5, ..Run::STEADY });
        same("events of each account", &one.events(), &sliced.events())?;
        same("reports", &one.reports(), &sliced.reports())
    });
}

/// Compaction stops anywhere: it may have taken the parts of an account's older record and not yet
/// that record itself.
#[test]
fn compaction_half_way_through_an_account_in_parts_leaves_it_readable() {
    check(10, cases(60), |case| {
        let cluster = processed(case, Run::STEADY);
        let settings = settings(case, false);
        let card = Scorecard::parse("card.yaml", &case.card).expect("a good card").scorecard;
        let rules = Arc::new(Rules::one(Arc::new(card)));
        let routing = Routing::new(1, None, settings.topics.clone());
        let committed: Vec<(Input, Option<Committed>)> = Source::ALL
            .map(|source| (Input { source, partition: 0 }, cluster.committed.get(&source).cloned()))
            .to_vec();
        for compacted_to in 0..=cluster.of(OutputTopic::Changelog).count() {
            let mut restore = Restore::new(0, Arc::clone(&settings), Arc::clone(&rules));
            let at = |error: &dyn std::fmt::Display| format!("up to {compacted_to}: {error}");
            for record in cluster.changelog(compacted_to) {
                restore.take(&record).map_err(|error| at(&error))?;
            }
            restore
                .finish::<Stored>(&committed, |_| 0, None, EventTime::MIN, &routing)
                .map_err(|error| at(&error))?;
        }
        Ok(())
    });
}

/// Without transactions events may come twice, with the same ids and the same content; none is lost.
#[test]
fn at_least_once_repeats_events_and_loses_none() {
    check(300, cases(80), |case| {
        let run = Run { at_least_once: true, ..Run::STEADY };
        let steady = processed(case, run);
        let in_slices = case.choices[0].is_multiple_of(2);
        let mut events = processed(case, Run { crashes: true, in_slices, ..run }).events();
        for events in events.values_mut() {
            let mut known = Vec::new();
            events.retain(|event| {
                let is_new = !known.contains(event);
                known.push(event.clone());
                is_new
            });
        }
        same("events", &steady.events(), &events)
    });
}

/// What these tests are worth: each mistake is found.
#[test]
fn mistakes_made_on_purpose_are_noticed() {
    for fault in [Fault::OffsetsOutsideTheTransaction, Fault::NoState, Fault::ReplayTwice] {
        let noticed = std::sync::atomic::AtomicBool::new(false);
        check(200, cases(120), |case| {
            if noticed.load(std::sync::atomic::Ordering::Relaxed) {
                return Ok(());
            }
            let found = std::panic::catch_unwind(|| crashes_change_nothing(case, fault).is_err());
            noticed.fetch_or(found.unwrap_or(true), std::sync::atomic::Ordering::Relaxed);
            Ok(())
        });
        assert!(noticed.into_inner(), "{fault:?} goes unnoticed");
    }
}
