//! A task with its topics as a broker would hold them, in memory: no broker, no waiting.

#![allow(dead_code, reason = "each test file uses its own part of it")]

use std::collections::BTreeMap;
use std::sync::Arc;

use barometer::broker::{
    Committed, End, EndOffsets, Fetched, Input, InputRecord, OutputRecord, OutputTopic, Processed,
};
use barometer::capacity::Capacity;
use barometer::engine::event::{DecodeLimits, Source};
use barometer::engine::limits::Limits;
use barometer::engine::rules::Rules;
use barometer::engine::scorecard::Scorecard;
use barometer::engine::time::{EventTime, Span};
use barometer::restore::{OffsetReset, Restore};
use barometer::routing::Routing;
use barometer::task::{Task, TaskSettings, TaskTime};
use serde_json::{Value, json};

pub const SOURCES: [Source; 4] = [Source::Usage, Source::Ticket, Source::Payment, Source::Survey];

#[derive(Clone, Debug)]
pub struct Stored {
    pub offset: i64,
    pub timestamp: EventTime,
    pub key: Vec<u8>,
    /// Empty stands for a tombstone.
    pub value: Vec<u8>,
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
        (!self.value.is_empty()).then_some(&self.value)
    }

    fn headers(&self) -> Vec<(String, Option<Vec<u8>>)> {
        Vec::new()
    }
}

pub fn hour(hours: i64) -> EventTime {
    EventTime::from_millis(1_750_000_000_000 / 86_400_000 * 86_400_000) + Span::hours(hours)
}

/// A task with its topics as a broker would hold them.
pub struct Bench {
    pub task: Task<Stored>,
    pub settings: Arc<TaskSettings>,
    pub rules: Arc<Rules>,
    pub routing: Routing,
    /// How many records each topic has, and how many of them a reader may see.
    pub topics: BTreeMap<Source, (i64, i64)>,
}

impl Bench {
    /// An empty task that judges by `card`, and may hold so much.
    pub fn new(card: &str, task_time: TaskTime, limits: Limits, capacity: Capacity) -> Bench {
        let parsed = Scorecard::parse("card.yaml", card).expect("the test's card is a good one");
        let names = Source::ALL.map(|source| source.default_topic().to_owned());
        let settings = TaskSettings {
            limits: DecodeLimits::default(),
            account_limits: limits,
            capacity: Arc::new(capacity),
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

    /// Begins anew with a task that watches for outages.
    pub fn watch_for_outages(&mut self) {
        let settings = TaskSettings { outage_guard: true, ..(*self.settings).clone() };
        self.settings = Arc::new(settings);
        let start = SOURCES.map(|source| (source, 0));
        let (settings, rules) = (Arc::clone(&self.settings), Arc::clone(&self.rules));
        self.task = Task::new(0, settings, rules, &start, EventTime::MIN, 0);
    }

    /// A usage event of `account` that happened, and was sent, at `at`.
    pub fn usage(&mut self, account: &str, at: EventTime) -> Stored {
        let offset = self.topics[&Source::Usage].0;
        let body = json!({
            "event_id": format!("u-{offset}"), "account_id": account,
            "occurred_at": at.as_millis(), "feature": "reports",
        });
        self.store(Source::Usage, account, at, &body)
    }

    pub fn ticket(&mut self, account: &str, at: EventTime) -> Stored {
        let offset = self.topics[&Source::Ticket].0;
        let body = json!({
            "event_id": format!("t-{offset}"), "account_id": account,
            "occurred_at": at.as_millis(), "ticket_id": "1", "status": "opened",
        });
        self.store(Source::Ticket, account, at, &body)
    }

    pub fn store(&mut self, source: Source, account: &str, at: EventTime, body: &Value) -> Stored {
        let topic = self.topics.get_mut(&source).expect("every source has a topic");
        let offset = topic.0;
        *topic = (offset + 1, offset + 1);
        let (key, value) = (account.as_bytes().to_vec(), body.to_string().into_bytes());
        Stored { offset, timestamp: at, key, value }
    }

    /// Hands records over as fetched at `now`.
    pub fn fetch(&mut self, source: Source, records: &[Stored], now: EventTime) {
        let fetched = records.iter().cloned().map(Fetched::Record);
        self.task.absorb(source, fetched, now);
    }

    /// Says that a topic has been read to its end.
    pub fn reach_end(&mut self, source: Source, now: EventTime) {
        let (_, stable) = self.topics[&source];
        self.task.absorb(source, [Fetched::End(stable)].into_iter(), now);
    }

    /// Works after a question asked at `asked_at` was answered by the topics as they are.
    pub fn work(&mut self, asked_at: EventTime) -> usize {
        self.work_with(asked_at, usize::MAX)
    }

    /// The same with at most `looks` accounts looked at because of time alone.
    pub fn work_with(&mut self, asked_at: EventTime, looks: usize) -> usize {
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
    pub fn fleet(&mut self, count: usize) {
        for first in (0..count).step_by(1_000) {
            let records: Vec<Stored> = (first..count.min(first + 1_000))
                .map(|n| self.usage(&format!("a{n}"), hour(0)))
                .collect();
            self.fetch(Source::Usage, &records, hour(0));
            self.work(hour(0));
        }
    }

    /// Reads all topics to their end at hour 0, and writes the state of every account: what was written.
    pub fn write_all(&mut self) -> Vec<OutputRecord> {
        for source in SOURCES {
            self.reach_end(source, hour(0));
        }
        self.work(hour(0));
        self.task.write_all();
        let mut written = Vec::new();
        while self.task.is_dirty() {
            written.extend(self.commit(hour(0)));
        }
        written
    }

    /// Commits at wall time `now`: what was written.
    pub fn commit(&mut self, now: EventTime) -> Vec<OutputRecord> {
        self.task.prepare(now, &self.routing, usize::MAX, |_| false);
        let outputs = self.task.outputs().to_vec();
        self.task.committed();
        outputs
    }

    /// The process ends, and another one goes on from what was written, which was everything.
    pub fn crash(&mut self, changelog: &[OutputRecord]) {
        self.crash_and_replay(changelog, &[]);
    }

    /// The process ends, and another one goes on from what was written, with these records to be read
    /// again.
    pub fn crash_and_replay(&mut self, changelog: &[OutputRecord], read: &[(Source, &[Stored])]) {
        self.crash_to_sleep(changelog, read);
        self.task.wake(usize::MAX, hour(0)).expect("state as it was written");
        self.task.change_rules(&self.rules);
    }

    /// The same, but accounts are still dormant unless one of the records is theirs.
    pub fn crash_to_sleep(&mut self, changelog: &[OutputRecord], read: &[(Source, &[Stored])]) {
        let committed = self.task.committed_offsets().iter().map(|processed| {
            let Processed { input, offset, metadata } = processed.clone();
            (input, Some(Committed { offset, metadata }))
        });
        let committed: Vec<(Input, Option<Committed>)> = committed.collect();
        let mut restore = Restore::new(0, Arc::clone(&self.settings), Arc::clone(&self.rules));
        for record in changelog.iter().filter(|record| record.topic == OutputTopic::Changelog) {
            let (key, value) =
                (record.key.clone().unwrap(), record.value.clone().unwrap_or_default());
            let stored = Stored { offset: 0, timestamp: hour(0), key, value };
            restore.take(&stored).expect("state as it was written");
        }
        let restored = restore.finish(&committed, |_| 0, None, EventTime::MIN, &self.routing);
        let (task, resumptions) = restored.expect("state and offsets fit together");
        self.task = task;
        for (source, records) in read {
            let from = resumptions.iter().find(|from| from.source == *source);
            let from = from.expect("every source goes on somewhere").replay_from;
            let again: Vec<Stored> =
                records.iter().filter(|record| record.offset >= from).cloned().collect();
            self.fetch(*source, &again, hour(0));
        }
        let done = self.task.replay(&self.routing, 1_000, hour(0)).expect("one partition");
        assert!(done.is_some(), "everything was there to be read");
    }

    /// The account's report, as the next commit shows it.
    pub fn report(&mut self, account: &str) -> Value {
        self.task.prepare(self.now(), &self.routing, usize::MAX, |_| false);
        let latest = self.task.outputs().iter().rfind(|record| {
            record.topic == OutputTopic::Scores && record.key.as_deref() == Some(account.as_bytes())
        });
        let latest = latest.expect("the account has changed");
        serde_json::from_slice(latest.value.as_ref().expect("it is known")).expect("JSON")
    }

    pub fn now(&self) -> EventTime {
        self.task.engine().now()
    }

    /// Published band changes so far: account, band left, band entered, hours after the start.
    pub fn changes(&self) -> Vec<(String, String, String, f64)> {
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
