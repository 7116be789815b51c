//! One input partition number: merges its topics by record time, drives an engine, keeps what has
//! to be committed.
//!
//! A task is the only owner of its accounts. It never talks to a broker: the worker hands it fetched
//! records, and takes what it wants written. What it wrote stays here until the commit is known to
//! have succeeded, so that an aborted transaction is simply sent again.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::broker::{
    End, EndOffsets, Fetched, Input, InputRecord, OutputRecord, OutputTopic, Processed,
};
use crate::engine::event::{self, DecodeLimits, ReasonCode, Source};
use crate::engine::record::{self, EncodedRecord};
use crate::engine::report::Snapshot;
use crate::engine::rules::Rules;
use crate::engine::time::{EventTime, Span};
use crate::engine::{Engine, WARM_UP_MAX};
use crate::routing::{Routing, RoutingError};

/// Most records of one topic that wait in a task; more stay with the client, which then stops
/// fetching.
const BUFFER_RECORDS_MAX: usize = 2_048;
/// Most bytes of one topic that wait in a task, but for what one fetch brings beyond: records may be
/// large, and there are many tasks.
const BUFFER_BYTES_MAX: usize = 8 << 20;

/// What drives task time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskTime {
    /// Record time while behind, the wall clock once caught up.
    Wall,
    /// Record time only: back-fills and tests.
    Records,
}

/// What all tasks have in common.
#[derive(Clone, Debug)]
pub struct TaskSettings {
    /// What records may look like.
    pub limits: DecodeLimits,
    /// What drives task time.
    pub task_time: TaskTime,
    /// Whether outages of whole sources are watched for.
    pub outage_guard: bool,
    /// Least wall time between two reports of one account on the scores topic, unless its band
    /// changed.
    pub scores_min_interval: Span,
    /// `ce_source` of every event.
    pub event_source: String,
    /// Who commits, as written beside the offsets.
    pub owner: String,
    /// Most bytes of a dead letter, key and headers included; the original is cut to fit.
    pub dead_letter_bytes_max: usize,
    /// The topics' names, for dead letters: by `Source as usize`.
    pub topics: [String; 5],
}

/// What is written beside the committed offsets of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitNote {
    /// Task time, epoch milliseconds.
    pub t: i64,
    /// The task's count of commits.
    pub n: u64,
    /// Who committed.
    pub owner: String,
    /// Task time before which nothing is published, epoch milliseconds.
    pub from: i64,
}

/// One input partition number and its accounts.
pub struct Task<R> {
    partition: i32,
    settings: Arc<TaskSettings>,
    engine: Engine,
    publish_from: EventTime,
    /// One per topic read, in the order of `Source`.
    feeds: Vec<Feed<R>>,
    /// Written in the next commit.
    outputs: Vec<OutputRecord>,
    /// What `outputs` weighs.
    outputs_bytes: usize,
    /// Become visible with the next commit.
    snapshots: Vec<Snapshot>,
    scores: ScoreLog,
    /// Accounts with a verdict since the last commit: their report goes out whatever the interval.
    judged: HashSet<CompactString>,
    rejected: Vec<(Source, ReasonCode)>,
    commits: u64,
    /// Goes beside the offsets of the next commit.
    next_note: String,
    /// As of the last try, to find out what became of it.
    tried_offsets: Vec<Processed>,
    /// As committed last, to be recognised after a rebalance.
    committed_offsets: Vec<Processed>,
    /// Whether offsets moved since the last commit.
    moved: bool,
    /// Whether time alone may have changed a report since the last commit, or made one due.
    stirred: bool,
}

/// One topic's records on their way into the task.
struct Feed<R> {
    source: Source,
    /// In offset order, each with its record time.
    buffer: VecDeque<(R, EventTime)>,
    /// How many of the buffer's first records the engine has been told to warm up for.
    warmed: usize,
    /// What `buffer` weighs.
    buffer_bytes: usize,
    /// Read up to here: the end of the partition, when it was reached.
    read_to: i64,
    /// The first offset that has not been processed.
    next: i64,
}

/// Which reports went out when.
#[derive(Default)]
struct ScoreLog {
    published_at: HashMap<CompactString, EventTime>,
    /// Accounts that changed within the interval, by when their report may go out.
    due: BTreeSet<(EventTime, CompactString)>,
    waiting: HashSet<CompactString>,
}

impl<R: InputRecord> Task<R> {
    /// A task that starts at these offsets with no account. Verdicts of task times before
    /// `publish_from` are not published.
    pub fn new(
        partition: i32,
        settings: Arc<TaskSettings>,
        rules: Arc<Rules>,
        start: &[(Source, i64)],
        publish_from: EventTime,
        commits: u64,
    ) -> Task<R> {
        let mut feeds: Vec<Feed<R>> = start
            .iter()
            .map(|(source, offset)| Feed {
                source: *source,
                buffer: VecDeque::new(),
                warmed: 0,
                buffer_bytes: 0,
                read_to: *offset,
                next: *offset,
            })
            .collect();
        feeds.sort_by_key(|feed| feed.source);
        Task {
            partition,
            engine: if settings.outage_guard {
                Engine::with_rules(rules, publish_from).with_outage_guard()
            } else {
                Engine::with_rules(rules, publish_from)
            },
            settings,
            publish_from,
            feeds,
            outputs: Vec::new(),
            outputs_bytes: 0,
            snapshots: Vec::new(),
            scores: ScoreLog::default(),
            judged: HashSet::new(),
            rejected: Vec::new(),
            commits,
            next_note: String::new(),
            tried_offsets: Vec::new(),
            committed_offsets: Vec::new(),
            moved: false,
            stirred: false,
        }
    }

    /// The partition number.
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// The engine, for its counts.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The topics it reads.
    pub fn inputs(&self) -> impl Iterator<Item = Input> {
        let partition = self.partition;
        self.feeds.iter().map(move |feed| Input { source: feed.source, partition })
    }

    /// How many more records of a topic the task takes now.
    pub fn room(&self, source: Source) -> usize {
        let feed = self.feeds.iter().find(|feed| feed.source == source);
        feed.filter(|feed| feed.buffer_bytes < BUFFER_BYTES_MAX)
            .map_or(0, |feed| BUFFER_RECORDS_MAX.saturating_sub(feed.buffer.len()))
    }

    /// Takes what was fetched of one topic at `arrived_at`.
    pub fn absorb(
        &mut self,
        source: Source,
        fetched: impl Iterator<Item = Fetched<R>>,
        arrived_at: EventTime,
    ) {
        let Some(feed) = self.feeds.iter_mut().find(|feed| feed.source == source) else { return };
        for item in fetched {
            match item {
                Fetched::Record(record) => {
                    let time = match (record.timestamp(), self.settings.task_time) {
                        // A producer's clock that is ahead must not pull the task's along.
                        (Some(timestamp), TaskTime::Wall) => timestamp.min(arrived_at),
                        (Some(timestamp), TaskTime::Records) => timestamp,
                        (None, _) => arrived_at,
                    };
                    feed.read_to = record.offset() + 1;
                    feed.buffer_bytes += record_bytes(&record);
                    feed.buffer.push_back((record, time));
                }
                Fetched::End(offset) => feed.read_to = feed.read_to.max(offset),
            }
        }
        let next_before = feed.next;
        feed.settle();
        self.moved |= feed.next != next_before;
    }

    /// Takes up to `budget` records in record-time order across the topics and moves task time.
    /// Returns how many it took.
    ///
    /// # Errors
    /// When the topics' keys follow different hashes.
    pub fn work(
        &mut self,
        ends: &EndOffsets,
        routing: &Routing,
        budget: usize,
    ) -> Result<usize, RoutingError> {
        // Looked up once: a worker's answer is about all its inputs.
        let own_ends: Vec<Option<End>> = self.feeds.iter().map(|f| self.end_of(f, ends)).collect();
        let mut taken = 0;
        while taken < budget {
            let Some(index) = self.next_feed(&own_ends, ends.asked_at) else { break };
            let feed = &mut self.feeds[index];
            let source = feed.source;
            if feed.warmed == 0 {
                feed.warmed = WARM_UP_MAX.min(feed.buffer.len());
                let next = feed.buffer.range(..feed.warmed);
                self.engine.warm_up(next.filter_map(|(record, _)| record.key()));
            }
            feed.warmed -= 1;
            let (record, time) = feed.buffer.pop_front().expect("`next_feed` saw one");
            feed.buffer_bytes -= record_bytes(&record);
            feed.next = record.offset() + 1;
            feed.settle();
            self.moved = true;
            self.engine.advance_to(time);
            self.take(source, &record, time, routing)?;
            self.collect_verdicts();
            taken += 1;
        }
        if self.settings.task_time == TaskTime::Wall && self.is_caught_up(&own_ends) {
            // Silence changes scores long before it changes a band.
            self.stirred |= self.engine.next_deadline().is_some_and(|at| at <= ends.asked_at);
            self.engine.advance_to(ends.asked_at);
            self.collect_verdicts();
        }
        Ok(taken)
    }

    /// Goes over to other rules; what changes with them goes out with the next commit.
    pub fn change_rules(&mut self, rules: Arc<Rules>) {
        self.engine.change_rules(rules);
        self.collect_verdicts();
        self.stirred = true;
    }

    /// Takes note of the wall time: a report that was held back may be due by now.
    pub fn note_time(&mut self, now: EventTime) {
        self.stirred |= self.scores.is_due(now);
    }

    /// The feed whose first record is next, if it is certain that no other topic holds an earlier
    /// one: every topic with nothing waiting here must have been read up to where it ended at
    /// `asked_at`, and the record must not be younger than that question.
    fn next_feed(&self, ends: &[Option<End>], asked_at: EventTime) -> Option<usize> {
        let mut first: Option<(EventTime, usize)> = None;
        for (index, (feed, end)) in self.feeds.iter().zip(ends).enumerate() {
            match feed.buffer.front() {
                Some((_, time)) => {
                    if first.is_none_or(|(earliest, _)| *time < earliest) {
                        first = Some((*time, index));
                    }
                }
                None => {
                    if feed.read_to < end.as_ref()?.stable {
                        return None;
                    }
                }
            }
        }
        let (time, index) = first?;
        let certain = match self.settings.task_time {
            TaskTime::Wall => time <= asked_at,
            TaskTime::Records => true,
        };
        certain.then_some(index)
    }

    /// Whether everything that any topic held at `ends.asked_at` has been taken. An open
    /// transaction upstream hides records, so it counts as something that is still to come.
    fn is_caught_up(&self, ends: &[Option<End>]) -> bool {
        let taken = |(feed, end): (&Feed<R>, &Option<End>)| {
            end.as_ref().is_some_and(|end| feed.next >= end.high)
        };
        self.feeds.iter().zip(ends).all(taken)
    }

    fn end_of(&self, feed: &Feed<R>, ends: &EndOffsets) -> Option<End> {
        let input = Input { source: feed.source, partition: self.partition };
        ends.ends.iter().find(|end| end.input == input).copied()
    }

    fn take(
        &mut self,
        source: Source,
        record: &R,
        time: EventTime,
        routing: &Routing,
    ) -> Result<(), RoutingError> {
        let record_time = record.timestamp().unwrap_or(time);
        let limits = &self.settings.limits;
        let decoded = event::decode(source, record.key(), record.value(), record_time, limits);
        let routed = match record.key() {
            Some(key) if decoded.is_ok() => routing.check(source, key, self.partition)?,
            _ => true,
        };
        match decoded {
            Ok(event) if routed => self.engine.handle_event(&event),
            Ok(_) => {
                let message = "the key belongs to another partition than the topic's other keys \
                               say: its producer uses another partitioner";
                self.reject(source, record, ReasonCode::Misrouted, message.to_owned(), None);
            }
            Err(error) => {
                let (message, field) = (error.to_string(), error.field);
                self.reject(source, record, error.code, message, field);
            }
        }
        Ok(())
    }

    fn collect_verdicts(&mut self) {
        while let Some(verdict) = self.engine.poll_verdict() {
            self.judged.insert(verdict.account_id.clone());
            let encoded = record::encode(&verdict, &self.settings.event_source);
            self.write(event_record(encoded));
        }
        while let Some(alert) = self.engine.poll_operator_alert() {
            let source = &self.settings.event_source;
            let encoded = record::encode_operator_alert(&alert, self.partition, source);
            self.write(event_record(encoded));
        }
    }

    /// A record that could not be used, on its way to the dead-letter topic with the headers of
    /// Kafka Connect.
    fn reject(
        &mut self,
        source: Source,
        record: &R,
        code: ReasonCode,
        message: String,
        field: Option<&'static str>,
    ) {
        self.rejected.push((source, code));
        let bytes_max = self.settings.dead_letter_bytes_max;
        let mut headers = record.headers();
        let dropped = headers.len();
        let too_many = headers_bytes(&headers) > bytes_max / 4;
        if too_many {
            headers.clear();
        }
        let mut add = |name: &str, value: String| {
            headers.push((name.to_owned(), Some(value.into_bytes())));
        };
        add("__connect.errors.topic", self.settings.topics[source as usize].clone());
        add("__connect.errors.partition", self.partition.to_string());
        add("__connect.errors.offset", record.offset().to_string());
        add("__connect.errors.connector.name", "barometer".to_owned());
        add("__connect.errors.stage", "VALUE_CONVERTER".to_owned());
        add("__connect.errors.exception.class.name", code.name().to_owned());
        add("__connect.errors.exception.message", message);
        if let Some(field) = field {
            add("barometer.errors.field", field.to_owned());
        }
        // A record that its topic does not take would be tried for ever, so what is too large is
        // cut, and a header says so.
        if too_many {
            add("barometer.errors.headers.dropped", dropped.to_string());
        }
        let (key, cut) = cut_to(record.key(), bytes_max / 4);
        if let Some(bytes) = cut {
            add("barometer.errors.key.cut.from.bytes", bytes.to_string());
        }
        let spent = headers_bytes(&headers) + key.as_ref().map_or(0, Vec::len);
        let (value, cut) = cut_to(record.value(), bytes_max.saturating_sub(spent));
        if let Some(bytes) = cut {
            let name = "barometer.errors.cut.from.bytes".to_owned();
            headers.push((name, Some(bytes.to_string().into_bytes())));
        }
        self.write(OutputRecord {
            topic: OutputTopic::DeadLetters,
            partition: None,
            key,
            value,
            headers,
            timestamp: record.timestamp(),
        });
    }

    /// Has a record written in the next commit.
    fn write(&mut self, record: OutputRecord) {
        let bytes = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
        self.outputs_bytes +=
            bytes(&record.key) + bytes(&record.value) + headers_bytes(&record.headers);
        self.outputs.push(record);
    }

    /// Whether a verdict waits to be published.
    pub fn has_verdict(&self) -> bool {
        !self.judged.is_empty()
    }

    /// Whether there is anything to commit.
    pub fn is_dirty(&self) -> bool {
        self.moved || self.stirred || !self.outputs.is_empty() || !self.snapshots.is_empty()
    }

    /// How many records wait to be written.
    pub fn outputs_waiting(&self) -> usize {
        self.outputs.len()
    }

    /// How many bytes wait to be written.
    pub fn output_bytes_waiting(&self) -> usize {
        self.outputs_bytes
    }

    /// Gets ready for a commit at wall time `now`: adds the reports that are due. `shown` says
    /// whether readers see the same of an account already.
    pub fn prepare(&mut self, now: EventTime, shown: impl Fn(&Snapshot) -> bool) {
        let publishes = self.engine.now() >= self.publish_from;
        let mut touched = Vec::new();
        self.engine.drain_touched(|snapshot| touched.push(snapshot));
        for snapshot in touched {
            if shown(&snapshot) {
                continue;
            }
            if publishes {
                let judged = self.judged.contains(&snapshot.account_id);
                let interval = self.settings.scores_min_interval;
                if self.scores.may_publish(&snapshot.account_id, judged, now, interval) {
                    let record = score_record(&snapshot);
                    self.write(record);
                }
            }
            self.snapshots.push(snapshot);
        }
        for account_id in self.scores.take_due(now) {
            if let Some(snapshot) = self.engine.snapshot(&account_id) {
                let record = score_record(&snapshot);
                self.write(record);
            }
        }
        self.next_note = self.note();
        self.tried_offsets = self.processed();
    }

    /// What the next commit writes.
    pub fn outputs(&self) -> &[OutputRecord] {
        &self.outputs
    }

    /// The offsets the next commit commits, all of the task's topics with one note.
    pub fn processed(&self) -> Vec<Processed> {
        let with_offset = self.feeds.iter().map(|feed| Processed {
            input: Input { source: feed.source, partition: self.partition },
            offset: feed.next,
            metadata: self.next_note.clone(),
        });
        with_offset.collect()
    }

    /// What the last try of a commit was to commit.
    pub fn tried_offsets(&self) -> &[Processed] {
        &self.tried_offsets
    }

    /// What the task's last successful commit committed; empty before one.
    pub fn committed_offsets(&self) -> &[Processed] {
        &self.committed_offsets
    }

    /// The first offset of a topic that has not been processed.
    pub fn next_offset(&self, source: Source) -> Option<i64> {
        self.feeds.iter().find(|feed| feed.source == source).map(|feed| feed.next)
    }

    fn note(&self) -> String {
        let note = CommitNote {
            t: self.engine.now().as_millis(),
            n: self.commits + 1,
            owner: self.settings.owner.clone(),
            from: self.publish_from.as_millis(),
        };
        serde_json::to_string(&note).expect("numbers and a string always become JSON")
    }

    /// The commit succeeded: forgets what was written and hands out what readers may see now.
    pub fn committed(&mut self) -> Vec<Snapshot> {
        self.commits += 1;
        self.committed_offsets = std::mem::take(&mut self.tried_offsets);
        self.moved = false;
        self.stirred = false;
        self.outputs.clear();
        self.outputs_bytes = 0;
        self.judged.clear();
        std::mem::take(&mut self.snapshots)
    }

    /// Records rejected since the last call, for the metrics.
    pub fn drain_rejected(&mut self) -> impl Iterator<Item = (Source, ReasonCode)> {
        self.rejected.drain(..)
    }

    /// Gives back what was fetched and not processed: it will be fetched again from
    /// [`Task::processed`]'s offsets.
    pub fn park(&mut self) {
        for feed in &mut self.feeds {
            feed.buffer.clear();
            feed.warmed = 0;
            feed.buffer_bytes = 0;
            feed.read_to = feed.next;
        }
    }
}

impl<R> Feed<R> {
    /// With nothing waiting, everything read has been processed: control records too.
    fn settle(&mut self) {
        if self.buffer.is_empty() {
            self.next = self.next.max(self.read_to);
        }
    }
}

impl ScoreLog {
    /// Whether an account's report may go out now; if not, it is noted to go out later.
    fn may_publish(
        &mut self,
        account_id: &CompactString,
        judged: bool,
        now: EventTime,
        interval: Span,
    ) -> bool {
        let free_at =
            self.published_at.get(account_id).map_or(EventTime::MIN, |last| *last + interval);
        if judged || free_at <= now {
            self.published_at.insert(account_id.clone(), now);
            return true;
        }
        if self.waiting.insert(account_id.clone()) {
            self.due.insert((free_at, account_id.clone()));
        }
        false
    }

    fn is_due(&self, now: EventTime) -> bool {
        self.due.first().is_some_and(|(at, _)| *at <= now)
    }

    fn take_due(&mut self, now: EventTime) -> Vec<CompactString> {
        let mut due = Vec::new();
        while self.is_due(now) {
            let (at, account_id) = self.due.pop_first().expect("just looked at");
            self.waiting.remove(&account_id);
            // A band change may have sent the report in the meantime.
            let sent_since = self.published_at.get(&account_id).is_some_and(|last| *last >= at);
            if !sent_since {
                self.published_at.insert(account_id.clone(), now);
                due.push(account_id);
            }
        }
        due
    }
}

fn record_bytes(record: &impl InputRecord) -> usize {
    record.key().map_or(0, <[u8]>::len) + record.value().map_or(0, <[u8]>::len)
}

/// What headers take in a record, with a little for the lengths written before each part.
fn headers_bytes(headers: &[(String, Option<Vec<u8>>)]) -> usize {
    const LENGTHS_BYTES: usize = 10;
    let bytes = |(name, value): &(String, Option<Vec<u8>>)| {
        name.len() + value.as_ref().map_or(0, Vec::len) + LENGTHS_BYTES
    };
    headers.iter().map(bytes).sum()
}

/// At most `bytes_max` bytes of a part of a record, and how many there were if not all.
fn cut_to(part: Option<&[u8]>, bytes_max: usize) -> (Option<Vec<u8>>, Option<usize>) {
    match part {
        Some(part) if part.len() > bytes_max => {
            (Some(part[..bytes_max].to_vec()), Some(part.len()))
        }
        part => (part.map(<[u8]>::to_vec), None),
    }
}

fn event_record(encoded: EncodedRecord) -> OutputRecord {
    let with_bytes = |(name, value): (&str, String)| (name.to_owned(), Some(value.into_bytes()));
    OutputRecord {
        topic: OutputTopic::Events,
        partition: None,
        key: Some(encoded.key),
        value: Some(encoded.payload),
        headers: encoded.headers.into_iter().map(with_bytes).collect(),
        // The client's: retention counts from publishing, and `ce_time` says the task time.
        timestamp: None,
    }
}

fn score_record(snapshot: &Snapshot) -> OutputRecord {
    let report = snapshot.report();
    let json = serde_json::to_vec(&report).expect("strings and numbers always become JSON");
    let content_type = ("content-type".to_owned(), Some(b"application/json".to_vec()));
    OutputRecord {
        topic: OutputTopic::Scores,
        partition: None,
        key: Some(snapshot.account_id.as_bytes().to_vec()),
        value: Some(json),
        headers: vec![content_type],
        timestamp: None,
    }
}
