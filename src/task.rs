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
use crate::capacity::{Capacity, Share};
use crate::checkpoint::{
    BYTES_PER_COMMIT_MAX, CARD_KEY, Checkpoints, GONE, GUARD_KEY, MARKER_KEY, Marker, Positions,
    RECORDS_PER_COMMIT_MAX, entries, part_key,
};
use crate::dormant::{Dormant, DormantAccount};
use crate::engine::event::{self, Body, DecodeLimits, Event, ReasonCode, Source};
use crate::engine::limits::{Limits, Refusal, Room};
use crate::engine::record::{self, EncodedRecord};
use crate::engine::report::Snapshot;
use crate::engine::rules::Rules;
use crate::engine::snapshot::{self, KeptAccount, KeptGone, SnapshotError, Stamp};
use crate::engine::time::{EventTime, Span};
use crate::engine::{Change, Engine, WARM_UP_MAX};
use crate::restore::{OffsetReset, RestoreError, Restored, Resumption, unreadable};
use crate::routing::{Routing, RoutingError};

/// Most records of one topic that wait in a task; more stay with the client, which then stops
/// fetching.
const BUFFER_RECORDS_MAX: usize = 2_048;
/// Most bytes of one topic that wait in a task, but for what one fetch brings beyond: records may be
/// large, and there are many tasks.
const BUFFER_BYTES_MAX: usize = 8 << 20;

/// Most reports that go out in one commit but for those with a decision; at midnight many accounts
/// change, and a transaction has to end in time.
const REPORTS_PER_COMMIT_MAX: usize = 10_000;
/// Most accounts of which the changelog says that they are gone while others may still be forgotten to
/// make room: whoever reads the inputs again has to be told of each.
const GONE_MAX: usize = 100_000;

/// In the marker: accounts are written in the commit in which they begin, so that a replay takes none
/// that has no record for a new one.
const BEGINNINGS_WRITTEN: &str = "beginnings_written";

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
    /// How much is held of an account, and for how long.
    pub account_limits: Limits,
    /// How many accounts the process holds.
    pub capacity: Arc<Capacity>,
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
    /// The consumer group: whose state the changelog holds.
    pub group: String,
    /// The changelog's name, for messages.
    pub changelog: String,
    /// Longest wall time for which an account's checkpoint may be out of date.
    pub checkpoint_interval: Span,
    /// Most bytes of a record of the changelog; a larger account is written in parts.
    pub changelog_bytes_max: usize,
    /// Output and offsets are not committed in one transaction, so state may be ahead of offsets.
    pub at_least_once: bool,
    /// What to do where the broker no longer holds what is to be read next.
    pub offset_reset: OffsetReset,
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
    /// Events in the hour that runs, as the outage guard counts them.
    #[serde(default)]
    pub came: [u64; 4],
    /// Deadlines after this task time, epoch milliseconds, were still open; absent where none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_after: Option<i64>,
    /// Readers had yet to be shown what time alone has made of some accounts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unshown: bool,
}

impl CommitNote {
    /// What a task goes on from.
    pub fn noted(&self) -> Noted {
        Noted {
            now: EventTime::from_millis(self.t),
            handled_to: EventTime::from_millis(self.open_after.unwrap_or(self.t)),
            unshown: self.unshown,
        }
    }
}

/// Why a task cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    /// The topics' keys follow different hashes.
    #[error(transparent)]
    Routing(#[from] RoutingError),
    /// An account's record holds what no account can be made of.
    #[error(transparent)]
    Restore(#[from] RestoreError),
}

/// One input partition number and its accounts.
pub struct Task<R> {
    partition: i32,
    settings: Arc<TaskSettings>,
    engine: Engine,
    share: Share,
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
    /// Whether task time has reached the instant from which on there is anything to publish.
    publishes: bool,
    /// Whether time alone may have changed a report since the last commit, or made one due.
    stirred: bool,
    /// Whether so much waits to be taken that nobody can be waiting for what comes next.
    behind: bool,
    checkpoints: Checkpoints,
    /// Accounts forgotten since the last commit: readers are to forget them with it.
    forgotten: Vec<CompactString>,
    /// Those of them of which the changelog has yet to be told.
    untold: Vec<CompactString>,
    /// Accounts of which the changelog says that they are gone: once nobody reads again what lies
    /// before these positions, it need not say that any more.
    gone: HashMap<CompactString, Positions>,
    /// In how many parts the largest record of an account was written, where it was too large for one.
    parts: HashMap<CompactString, u16>,
    /// Whether a checkpoint was due when last asked.
    checkpoint_due: bool,
    /// The hashes of scorecards whose text the changelog holds.
    cards_written: Vec<String>,
    /// As it was written last, or read.
    marker: Option<Marker>,
    /// Wall time of that; the beginning of time before the first.
    marker_at: EventTime,
    /// Until the task stands at the committed offsets again.
    replay: Option<Replay>,
    /// From then on, until all its accounts are awake.
    waking: Option<Waking>,
    /// Whether accounts may stand under the rules they were judged by in an earlier life.
    rules_due: bool,
    /// Accounts as they were committed before the task was restored, for readers.
    woken: Vec<Snapshot>,
    /// Accounts that have seen more than the offsets say: what comes again is not theirs. Empty but
    /// after a restart at least once, or from offsets set back by hand.
    ahead: HashMap<CompactString, Positions>,
}

/// What a task said of itself beside the offsets it committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noted {
    /// Task time.
    pub now: EventTime,
    /// Up to this task time everything was decided that time alone decides.
    pub handled_to: EventTime,
    /// Whether readers had yet to be shown what time alone has made of some accounts.
    pub unshown: bool,
}

/// A task on its way from its accounts' records to the committed offsets.
struct Replay {
    /// By feed: where it ends.
    until: Vec<i64>,
    /// Accounts of which nothing has been replayed.
    dormant: Dormant,
    /// Of the others, by slot: what the account has seen.
    seen: HashMap<u32, Positions>,
    /// Task time of what has been replayed so far.
    now: EventTime,
    /// What is known of its end.
    noted: Option<Noted>,
    /// Task time when the marker was written.
    written_at: EventTime,
    /// Where it began.
    started: (Positions, EventTime),
    unreported: Vec<u32>,
    /// Whether events may be of accounts that have no record yet.
    begins: bool,
    records: u64,
}

/// A task that has gone on and still has dormant accounts. Each is woken before anything becomes of it,
/// and comes out as if it had been awake from the beginning.
struct Waking {
    dormant: Dormant,
    /// Where the task stood when it went on, in the inputs and in task time.
    positions: Positions,
    as_of: EventTime,
    /// Whether readers have yet to be shown what time alone has made of them.
    unshown: bool,
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
    /// By offset, where each fetch of what waits here ended, and when it came.
    fetches: VecDeque<(i64, EventTime)>,
    /// Where it ended by the last question, with when that was asked, and by the one before it.
    ended: (EventTime, i64),
    ended_before: i64,
    /// The first offset that has not been processed.
    next: i64,
}

/// What comes next in a replay.
enum ToReplay {
    /// The first record of this feed.
    Record(usize),
    /// A topic has not brought its next record yet.
    Wait,
    /// Nothing: the committed offsets are reached.
    End,
}

/// Which reports went out when.
#[derive(Default)]
struct ScoreLog {
    published_at: HashMap<CompactString, EventTime>,
    /// Accounts that have changed since their last report, by when the next one may go out.
    due: BTreeSet<(EventTime, CompactString)>,
    /// The same the other way round.
    waiting: HashMap<CompactString, EventTime>,
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
                fetches: VecDeque::new(),
                ended: (EventTime::MIN, 0),
                ended_before: 0,
                next: *offset,
            })
            .collect();
        feeds.sort_by_key(|feed| feed.source);
        let checkpoints = Checkpoints::new(settings.checkpoint_interval);
        let engine = Engine::with_rules(rules, publish_from).with_limits(settings.account_limits);
        Task {
            partition,
            engine: if settings.outage_guard { engine.with_outage_guard() } else { engine },
            share: Share::of(Arc::clone(&settings.capacity)),
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
            publishes: false,
            stirred: false,
            behind: false,
            checkpoints,
            forgotten: Vec::new(),
            untold: Vec::new(),
            gone: HashMap::new(),
            parts: HashMap::new(),
            checkpoint_due: false,
            cards_written: Vec::new(),
            marker: None,
            marker_at: EventTime::MIN,
            replay: None,
            waking: None,
            rules_due: false,
            woken: Vec::new(),
            ahead: HashMap::new(),
        }
    }

    /// A task that goes on with the accounts of an earlier life. It is given to
    /// [`Task::replay`] until it stands at the committed offsets, which it left `noted`; `None` where
    /// nobody knows what it was like there.
    pub fn restored(
        partition: i32,
        settings: Arc<TaskSettings>,
        restored: Restored,
        resumptions: &[Resumption],
        noted: Option<Noted>,
    ) -> Task<R> {
        let Restored { engine, dormant, cards, marker, gone, parts } = restored;
        let start: Vec<(Source, i64)> =
            resumptions.iter().map(|from| (from.source, from.replay_from)).collect();
        let publish_from = EventTime::from_millis(marker.publish_from);
        let commits = marker.commits;
        let rules = Arc::clone(engine.rules());
        let mut task = Task::new(partition, settings, rules, &start, publish_from, commits);
        task.rules_due = true;
        task.engine = engine.with_limits(task.settings.account_limits);
        task.share.settle(dormant.len());
        task.cards_written = cards;
        (task.gone, task.parts) = (gone, parts);
        task.publishes = marker.now >= marker.publish_from;
        let until = |feed: &Feed<R>| {
            let from = resumptions.iter().find(|from| from.source == feed.source);
            from.map_or(feed.next, |from| from.live_from)
        };
        let positions_at = EventTime::from_millis(marker.positions_at);
        task.replay = Some(Replay {
            until: task.feeds.iter().map(until).collect(),
            dormant,
            seen: HashMap::new(),
            now: positions_at,
            noted,
            written_at: EventTime::from_millis(marker.now),
            started: (task.positions(), positions_at),
            unreported: Vec::new(),
            begins: marker.task_state.iter().all(|(name, _)| name != BEGINNINGS_WRITTEN),
            records: 0,
        });
        task.marker = Some(marker);
        task
    }

    /// Whether the task has yet to reach the offsets from which on it decides.
    pub fn is_replaying(&self) -> bool {
        self.replay.is_some()
    }

    /// Takes up to `budget` records again, for the state they made. Returns how many records were
    /// replayed in all, once the task stands where it stood at its last commit. `now` is wall time.
    ///
    /// # Errors
    /// When the topics' keys follow different hashes, or an account's record cannot be read.
    pub fn replay(
        &mut self,
        routing: &Routing,
        budget: usize,
        now: EventTime,
    ) -> Result<Option<u64>, TaskError> {
        let Some(mut replay) = self.replay.take() else { return Ok(None) };
        for _ in 0..budget {
            match self.next_to_replay(&replay) {
                ToReplay::Record(index) => {
                    let (record, time) = self.pop(index);
                    let time = replay.noted.map_or(time, |noted| time.min(noted.now));
                    replay.now = replay.now.max(time);
                    replay.records += 1;
                    self.take_again(index, &record, time, &mut replay, routing)?;
                }
                ToReplay::Wait => break,
                ToReplay::End => return Ok(Some(self.thaw(replay, now))),
            }
        }
        self.replay = Some(replay);
        Ok(None)
    }

    /// The earliest record before the end of the replay, once every topic has one or none.
    fn next_to_replay(&self, replay: &Replay) -> ToReplay {
        let mut first: Option<(EventTime, usize)> = None;
        for (index, (feed, until)) in self.feeds.iter().zip(&replay.until).enumerate() {
            let next = feed.buffer.front().filter(|(record, _)| record.offset() < *until);
            if let Some((_, time)) = next {
                if first.is_none_or(|(earliest, _)| *time < earliest) {
                    first = Some((*time, index));
                }
            } else if feed.buffer.is_empty() && feed.read_to < *until {
                return ToReplay::Wait;
            }
        }
        first.map_or(ToReplay::End, |(_, index)| ToReplay::Record(index))
    }

    /// What was a dead letter then is one no more: it has been written.
    fn take_again(
        &mut self,
        index: usize,
        record: &R,
        time: EventTime,
        replay: &mut Replay,
        routing: &Routing,
    ) -> Result<(), TaskError> {
        let source = self.feeds[index].source;
        let record_time = record.timestamp().unwrap_or(time);
        let limits = &self.settings.limits;
        let decoded = event::decode(source, record.key(), record.value(), record_time, limits);
        let (Ok(event), Some(key)) = (decoded, record.key()) else { return Ok(()) };
        if !self.belongs_here(&event, key, routing)? {
            return Ok(());
        }
        if let Some(dormant) = replay.dormant.take(&event.account_id) {
            let (slot, seen, unreported) = self.put_back(&dormant)?;
            replay.seen.insert(slot, seen);
            replay.unreported.extend(unreported.then_some(slot));
        }
        let slot = self.engine.find(&event.account_id);
        let seen = slot.and_then(|slot| replay.seen.get(&slot));
        match seen.or_else(|| self.gone.get(event.account_id.as_ref())) {
            Some(positions) if record.offset() < positions[source as usize] => {}
            // It had no room then.
            _ if slot.is_none() && !replay.begins => {}
            _ => self.engine.replay(&event, replay.now),
        }
        Ok(())
    }

    /// Makes an account of its record. Returns its slot, what the record has seen of the topics read
    /// now, and whether readers have yet to be told of the account's latest change.
    fn put_back(
        &mut self,
        dormant: &DormantAccount,
    ) -> Result<(u32, Positions, bool), RestoreError> {
        let DormantAccount { account_id, bytes, offset } = dormant;
        let key = account_id.as_bytes();
        let error = |reason: SnapshotError| {
            unreadable(&self.settings, self.partition, *offset, key, reason)
        };
        let kept = KeptAccount::open(key, bytes).map_err(error)?;
        let (stamp, unreported) = (kept.stamp(), kept.unreported);
        let slot = self.engine.put_back(account_id, kept).map_err(error)?;
        let marker = self.marker.as_ref().expect("whoever has records has a marker");
        Ok((slot, marker.valid(stamp.positions, stamp.epoch), unreported))
    }

    /// Has the task not take again what an account has seen already.
    fn note_ahead(&mut self, slot: u32, seen: Positions, positions: &Positions) {
        if seen.iter().zip(positions).any(|(seen, stands)| seen > stands) {
            self.ahead.insert(self.engine.account_id(slot).clone(), seen);
        }
    }

    /// Wakes up to `max` of the accounts that have not been heard of since the task was restored. `now`
    /// is wall time.
    ///
    /// # Errors
    /// When an account's record cannot be read.
    pub fn wake(&mut self, max: usize, now: EventTime) -> Result<(), RestoreError> {
        let Some(mut waking) = self.waking.take() else { return Ok(()) };
        let (positions, at) = (self.positions(), self.engine.now());
        for _ in 0..max {
            let Some(dormant) = waking.dormant.take_next() else { break };
            self.wake_one(&dormant, &waking)?;
        }
        if !waking.dormant.is_empty() {
            self.waking = Some(waking);
        }
        self.collect_verdicts();
        self.note_changes(positions, at, now);
        Ok(())
    }

    fn wake_one(&mut self, dormant: &DormantAccount, waking: &Waking) -> Result<(), RestoreError> {
        let (slot, seen, unreported) = self.put_back(dormant)?;
        self.note_ahead(slot, seen, &waking.positions);
        self.engine.thaw_account(slot, waking.as_of);
        if unreported || waking.unshown {
            self.engine.touch(slot);
            self.stirred = true;
        }
        self.woken.extend(self.engine.untouched(slot));
        Ok(())
    }

    /// Has an account awake that something is about to become of.
    fn wake_if_dormant(&mut self, account_id: &str) -> Result<(), RestoreError> {
        let Some(mut waking) = self.waking.take() else { return Ok(()) };
        let dormant = waking.dormant.take(account_id);
        let woken = dormant.map_or(Ok(()), |dormant| self.wake_one(&dormant, &waking));
        self.waking = Some(waking);
        woken
    }

    /// Whether there are accounts that nothing has been heard of since the task was restored, and that
    /// are not awake yet.
    pub fn is_waking(&self) -> bool {
        self.waking.is_some()
    }

    /// Accounts that have come awake since the last call, as they were committed.
    pub fn drain_woken(&mut self) -> impl Iterator<Item = Snapshot> {
        self.woken.drain(..)
    }

    /// How many accounts it holds, awake or not.
    pub fn account_count(&self) -> usize {
        let replaying = self.replay.as_ref().map_or(0, |replay| replay.dormant.len());
        let waking = self.waking.as_ref().map_or(0, |waking| waking.dormant.len());
        self.engine.account_count() + replaying + waking
    }

    /// Up to here everything has been decided that time alone decides.
    fn handled_to(&self) -> EventTime {
        let handled_to = self.engine.handled_to();
        self.waking.as_ref().map_or(handled_to, |waking| handled_to.min(waking.as_of))
    }

    /// Goes live at the committed offsets.
    fn thaw(&mut self, replay: Replay, now: EventTime) -> u64 {
        for (feed, until) in self.feeds.iter_mut().zip(&replay.until) {
            feed.next = feed.next.max(*until);
        }
        let positions = self.positions();
        for (slot, seen) in replay.seen {
            self.note_ahead(slot, seen, &positions);
        }
        let noted = replay.noted.unwrap_or_else(|| {
            let now = replay.now.max(replay.written_at);
            Noted { now, handled_to: now, unshown: false }
        });
        self.engine.thaw(noted.handled_to, noted.now, self.publish_from);
        if noted.unshown {
            self.engine.touch_all();
        }
        for slot in replay.unreported {
            self.engine.touch(slot);
        }
        for slot in self.engine.taken_slots() {
            self.woken.extend(self.engine.untouched(slot));
        }
        self.collect_verdicts();
        let (started, at) = replay.started;
        self.note_changes(started, at, now);
        self.stirred = true;
        self.waking = Some(Waking {
            dormant: replay.dormant,
            positions,
            as_of: noted.handled_to.min(self.engine.now()),
            unshown: noted.unshown,
        });
        self.share.settle(self.account_count());
        replay.records
    }

    /// Has what has changed since the task stood at `positions` written in time.
    fn note_changes(&mut self, positions: Positions, at: EventTime, now: EventTime) {
        let forgotten: Vec<_> = self.engine.drain_forgotten().collect();
        for (slot, account_id) in forgotten {
            self.note_forgotten(slot, account_id);
        }
        let mut changed = Vec::new();
        self.engine.drain_changed(|slot, change| changed.push((slot, change == Change::Verdict)));
        self.checkpoints.note(changed.into_iter(), positions, at, now);
    }

    /// Has nothing left anywhere of an account that had this slot.
    fn note_forgotten(&mut self, slot: Option<u32>, account_id: CompactString) {
        if let Some(slot) = slot {
            self.checkpoints.forget(slot);
        }
        self.scores.forget(&account_id);
        self.judged.remove(&account_id);
        self.ahead.remove(&account_id);
        self.write(OutputRecord {
            topic: OutputTopic::Scores,
            partition: None,
            key: Some(account_id.as_bytes().to_vec()),
            value: None,
            headers: Vec::new(),
            timestamp: None,
        });
        self.untold.push(account_id.clone());
        self.forgotten.push(account_id);
    }

    /// The first offset of each topic that has not been processed; 0 where none is read.
    fn positions(&self) -> Positions {
        let mut positions = [0; 5];
        for feed in &self.feeds {
            positions[feed.source as usize] = feed.next;
        }
        positions
    }

    fn pop(&mut self, index: usize) -> (R, EventTime) {
        let feed = &mut self.feeds[index];
        let (record, time) = feed.buffer.pop_front().expect("somebody saw one");
        feed.buffer_bytes -= record_bytes(&record);
        feed.next = record.offset() + 1;
        feed.settle();
        (record, time)
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
        if feed.fetches.back().is_none_or(|(end, _)| *end < feed.read_to) {
            feed.fetches.push_back((feed.read_to, arrived_at));
        }
        let next_before = feed.next;
        feed.settle();
        self.moved |= feed.next != next_before;
    }

    /// Takes up to `budget` records in record-time order across the topics and moves task time. While
    /// events come as they happen it looks at no more than `looks` accounts because of time alone, so
    /// that none has to wait for all; the others' turn comes with later calls. `now` is wall time,
    /// for the checkpoints. Returns how many it took.
    ///
    /// # Errors
    /// When the topics' keys follow different hashes, or an account's record cannot be read.
    pub fn work(
        &mut self,
        ends: &EndOffsets,
        routing: &Routing,
        budget: usize,
        looks: usize,
        now: EventTime,
    ) -> Result<usize, TaskError> {
        self.behind = self.feeds.iter().any(|feed| self.room(feed.source) == 0);
        let (stood_at, stood_when) = (self.positions(), self.engine.now());
        self.stirred |= self.engine.is_going_over();
        // However much waits: each of these accounts is written because of it.
        self.engine.go_over(&mut looks.clone());
        let mut looks = if self.behind { usize::MAX } else { looks };
        // Looked up once: a worker's answer is about all its inputs.
        let own_ends: Vec<Option<End>> = self.feeds.iter().map(|f| self.end_of(f, ends)).collect();
        for (feed, end) in self.feeds.iter_mut().zip(&own_ends) {
            if let Some(end) = end {
                feed.note_end(ends.asked_at, end.stable);
            }
        }
        let mut taken = 0;
        let waiting: usize = self.feeds.iter().map(|feed| feed.buffer.len()).sum();
        let evictions = match self.settings.capacity.evicts() {
            true => GONE_MAX.saturating_sub(self.gone.len() + self.untold.len()),
            false => 0,
        };
        let accounts = self.share.reserve(waiting.min(budget));
        self.engine.set_room(Room { accounts, evictions });
        // What lies after it has to wait until all accounts are awake and have gone over.
        let until = match self.is_waking() || self.is_going_over() {
            true => self.engine.next_outage_look(),
            false => EventTime::MAX,
        };
        while taken < budget {
            let Some(index) = self.next_feed(&own_ends, ends.asked_at) else { break };
            let feed = &mut self.feeds[index];
            if feed.buffer.front().is_some_and(|(_, time)| *time >= until) {
                break;
            }
            let source = feed.source;
            if feed.warmed == 0 {
                feed.warmed = WARM_UP_MAX.min(feed.buffer.len());
                let next = feed.buffer.range(..feed.warmed);
                self.engine.warm_up(next.filter_map(|(record, _)| record.key()));
            }
            feed.warmed -= 1;
            let (record, time) = self.pop(index);
            self.moved = true;
            self.engine.advance_within(time, &mut looks);
            self.take(source, &record, time, routing)?;
            self.collect_verdicts();
            taken += 1;
        }
        if self.settings.task_time == TaskTime::Wall && self.is_caught_up(&own_ends) {
            // Silence changes scores long before it changes a band.
            self.stirred |= self.engine.next_deadline().is_some_and(|at| at <= ends.asked_at);
            let now = ends.asked_at.min(until - Span::from_millis(1));
            self.engine.advance_within(now, &mut looks);
        } else if self.has_open_deadlines() {
            self.stirred = true;
            self.engine.advance_within(self.engine.now(), &mut looks);
        }
        self.collect_verdicts();
        self.note_changes(stood_at, stood_when, now);
        self.share.settle(self.account_count());
        Ok(taken)
    }

    /// Whether time alone has more to say than there was time for.
    pub fn has_open_deadlines(&self) -> bool {
        self.engine.handled_to() < self.engine.now()
    }

    /// Begins to go over to other rules. The accounts follow with the next turns, so that no commit has
    /// to hold all of them.
    pub fn change_rules(&mut self, rules: &Rules) {
        self.engine.begin_rules(rules);
        self.rules_due = false;
        self.stirred = true;
    }

    /// Whether accounts are judged by these rules, or are going over to them.
    pub fn follows(&self, rules: &Rules) -> bool {
        !self.rules_due && self.engine.rules().says_the_same_as(rules)
    }

    /// Whether the task can begin to go over to other rules: it is back, and done with those before.
    pub fn is_steady(&self) -> bool {
        !self.is_replaying() && !self.is_waking() && !self.is_going_over()
    }

    /// Whether there may be accounts that have yet to go over to the rules in force.
    pub fn is_going_over(&self) -> bool {
        self.engine.is_going_over()
    }

    /// Takes note of the wall time: a report that was held back may be due by now.
    pub fn note_time(&mut self, now: EventTime) {
        self.stirred |= self.scores.is_due(now);
        self.checkpoint_due |= self.checkpoints.is_due(now);
    }

    /// The feed whose first record is next, if it is certain that no other topic holds an earlier
    /// one: every topic with nothing waiting here must have been read up to where it ended at
    /// `asked_at`, and the record must not be younger than that question. Then whoever writes in the
    /// order of record times, whatever the topics, is read in that order.
    fn next_feed(&self, ends: &[Option<End>], asked_at: EventTime) -> Option<usize> {
        let mut first: Option<(EventTime, usize)> = None;
        let mut may_bring_another = false;
        for (index, (feed, end)) in self.feeds.iter().zip(ends).enumerate() {
            match feed.buffer.front() {
                Some((_, time)) => {
                    if first.is_none_or(|(earliest, _)| *time < earliest) {
                        first = Some((*time, index));
                    }
                }
                None => {
                    may_bring_another = true;
                    if feed.read_to < end.as_ref()?.stable {
                        return None;
                    }
                }
            }
        }
        let (time, index) = first?;
        let certain = match self.settings.task_time {
            TaskTime::Wall => time <= asked_at,
            // Its time says nothing of when it was written. A topic that shows nothing may hold an
            // earlier one, unless this one was there before the question.
            TaskTime::Records => !may_bring_another || self.feeds[index].first_was_there(asked_at),
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
    ) -> Result<(), TaskError> {
        let record_time = record.timestamp().unwrap_or(time);
        let limits = &self.settings.limits;
        let decoded = event::decode(source, record.key(), record.value(), record_time, limits);
        let routed = match (record.key(), &decoded) {
            (Some(key), Ok(event)) => self.belongs_here(event, key, routing)?,
            _ => true,
        };
        match decoded {
            Ok(event) if routed => {
                self.wake_if_dormant(&event.account_id)?;
                let seen = match self.ahead.is_empty() {
                    true => None,
                    false => self.ahead.get(event.account_id.as_ref()),
                };
                if seen.is_none_or(|seen| record.offset() >= seen[source as usize])
                    && let Some(refusal) = self.engine.handle_event(&event)
                {
                    self.refuse(source, record, refusal);
                }
            }
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

    /// Whether a key is where its topic's others are. An account is forgotten wherever it is told.
    fn belongs_here(
        &self,
        event: &Event<'_>,
        key: &[u8],
        routing: &Routing,
    ) -> Result<bool, RoutingError> {
        if let Body::Forget = event.body {
            return Ok(true);
        }
        routing.check(event.body.source(), key, self.partition)
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

    /// A record for which there was no room.
    fn refuse(&mut self, source: Source, record: &R, refusal: Refusal) {
        let (code, message) = match refusal {
            Refusal::Accounts => (
                ReasonCode::AccountLimit,
                "the first event of its account, and the process holds as many accounts as \
                 `limits.accounts` allows"
                    .to_owned(),
            ),
            Refusal::Items => (
                ReasonCode::ItemLimit,
                format!(
                    "its account holds as many tickets, invoices or survey answers as \
                     `limits.items_per_account` ({}) allows",
                    self.settings.account_limits.items_per_account
                ),
            ),
        };
        self.reject(source, record, code, message, None);
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
        let dirty = self.moved
            || self.stirred
            || self.checkpoint_due
            || !self.outputs.is_empty()
            || !self.snapshots.is_empty();
        dirty && !self.is_replaying()
    }

    /// Has the state of every account written with the next commits, as fast as they take it.
    pub fn write_all(&mut self) {
        self.checkpoints.write_all();
        let positions = self.positions();
        let is_behind = self.marker.as_ref().is_some_and(|marker| marker.positions != positions);
        self.checkpoint_due |= is_behind || self.checkpoints.head().is_some();
    }

    /// How many records wait to be written.
    pub fn outputs_waiting(&self) -> usize {
        self.outputs.len() + self.checkpoints.decided()
    }

    /// How many bytes wait to be written.
    pub fn output_bytes_waiting(&self) -> usize {
        self.outputs_bytes
    }

    /// Gets ready for a commit at wall time `now`: adds the reports and checkpoints that are due.
    /// While events come as they happen no more than `unasked` accounts each are shown, reported and
    /// written only because of time, so that what has just come need not wait for all. `shown` says
    /// whether readers see the same of an account already.
    pub fn prepare(
        &mut self,
        now: EventTime,
        routing: &Routing,
        unasked: usize,
        shown: impl Fn(&Snapshot) -> bool,
    ) {
        let publishes = self.engine.now() >= self.publish_from;
        if publishes && !self.publishes && !self.is_waking() {
            self.publishes = true;
            // What was set in silence is news to whoever reads the scores.
            for account_id in self.engine.account_ids() {
                self.scores.defer(account_id.into(), now);
            }
        }
        let mut reports = 0;
        let mut touched = Vec::new();
        let (shown_max, reports_max) = match self.behind {
            true => (usize::MAX, REPORTS_PER_COMMIT_MAX),
            false => (unasked.max(self.judged.len()), unasked),
        };
        self.engine.drain_touched(shown_max, |snapshot| touched.push(snapshot));
        let mut held_back = Vec::new();
        for snapshot in touched {
            if shown(&snapshot) {
                continue;
            }
            if publishes {
                let judged = self.judged.contains(&snapshot.account_id);
                let interval = self.settings.scores_min_interval;
                let account_id = &snapshot.account_id;
                let has_room = reports < reports_max || judged;
                if has_room && self.scores.may_publish(account_id, judged, now, interval) {
                    reports += 1;
                    let record = score_record(&snapshot);
                    self.write(record);
                } else {
                    if !has_room {
                        self.scores.defer(account_id.clone(), now);
                    }
                    held_back.extend(self.engine.find(account_id));
                }
            }
            self.snapshots.push(snapshot);
        }
        for account_id in self.scores.take_due(now, reports_max.saturating_sub(reports)) {
            if let Some(snapshot) = self.engine.snapshot(&account_id) {
                let record = score_record(&snapshot);
                self.write(record);
            }
        }
        // What time alone has changed nobody would know of after a crash, but for its record. While
        // behind it may be of all accounts, and is told within a checkpoint interval.
        let held_back = held_back.into_iter().filter(|slot| !self.checkpoints.is_waiting(*slot));
        let held_back: Vec<_> = held_back.map(|slot| (slot, !self.behind)).collect();
        self.checkpoints.note(held_back.into_iter(), self.positions(), self.engine.now(), now);
        // A queue that has grown old all the same is a long replay for whoever comes next.
        let in_time = !self.behind && !self.checkpoints.is_late(now);
        let records_max = if in_time { unasked } else { RECORDS_PER_COMMIT_MAX };
        self.write_checkpoints(now, routing, records_max);
        self.next_note = self.note();
        self.tried_offsets = self.processed();
    }

    /// Adds the accounts whose state is to be kept, and the marker. They count as written from now
    /// on: outputs stay until a commit of them has succeeded, or the task is dropped with them.
    fn write_checkpoints(&mut self, now: EventTime, routing: &Routing, records_max: usize) {
        let stamp = Stamp {
            positions: self.positions(),
            epoch: self.marker.as_ref().map_or(0, |marker| marker.epoch),
            at: self.engine.now(),
        };
        let (mut records, mut bytes) = (self.write_cards(), 0);
        if let Some(guard) = self.engine.keep_guard() {
            let value = snapshot::seal(GUARD_KEY, &guard);
            self.write(self.changelog_record(GUARD_KEY.to_vec(), value));
            records += 1;
        }
        records += self.write_gone(&stamp);
        while let Some(slot) = self.checkpoints.take_decided() {
            bytes += self.write_account(slot, &stamp);
            records += 1;
        }
        let enough = |records, bytes| records >= records_max || bytes >= BYTES_PER_COMMIT_MAX;
        while !enough(records, bytes) {
            let Some(slot) = self.checkpoints.take_due(now) else { break };
            bytes += self.write_account(slot, &stamp);
            records += 1;
        }
        self.checkpoint_due = self.checkpoints.is_due(now);
        let (positions, positions_at) =
            self.checkpoints.head().unwrap_or((stamp.positions, stamp.at));
        let is_behind = self.marker.as_ref().is_none_or(|marker| marker.positions != positions);
        let interval = self.settings.checkpoint_interval;
        // Records that changed no account move the offsets too.
        let is_old = self.checkpoints.writes_all() || self.marker_at + interval <= now;
        if records > 0 || (is_behind && is_old) {
            self.write_marker(positions, positions_at, routing);
            self.marker_at = now;
            self.bury_gone(positions);
        }
    }

    /// Adds that accounts are gone, with the positions before which nothing is theirs: whoever reads
    /// their events again is not to take them for new accounts. Returns how many records it took.
    fn write_gone(&mut self, stamp: &Stamp) -> usize {
        let mut records = 0;
        for account_id in std::mem::take(&mut self.untold) {
            let key = account_id.as_bytes();
            for number in 0..self.parts.remove(&account_id).unwrap_or(0) {
                self.write(self.changelog_tombstone(part_key(key, number)));
                records += 1;
            }
            if let Some(slot) = self.engine.find(&account_id) {
                // Known again already: its record says from where on.
                self.checkpoints.forget(slot);
                self.write_account(slot, stamp);
            } else {
                let gone = snapshot::seal(key, &KeptGone::new(stamp));
                let value = [&[GONE], &*gone].concat();
                self.write(self.changelog_record(key.to_vec(), value));
                self.gone.insert(account_id, stamp.positions);
            }
            records += 1;
        }
        records
    }

    /// Adds a tombstone for every account that is gone, where everything before `positions` is read
    /// no more.
    fn bury_gone(&mut self, positions: Positions) {
        let is_over = |gone: &Positions| gone.iter().zip(&positions).all(|(gone, now)| gone <= now);
        let over = self.gone.extract_if(|_, gone| is_over(gone));
        let over: Vec<CompactString> = over.map(|(account_id, _)| account_id).collect();
        for account_id in over {
            if self.engine.find(&account_id).is_none() {
                self.write(self.changelog_tombstone(account_id.as_bytes().to_vec()));
            }
        }
    }

    fn changelog_tombstone(&self, key: Vec<u8>) -> OutputRecord {
        OutputRecord { value: None, ..self.changelog_record(key, Vec::new()) }
    }

    /// Adds the text of every scorecard in force that the changelog does not hold; returns how many
    /// there were. They stand before the accounts judged by them.
    fn write_cards(&mut self) -> usize {
        let rules = Arc::clone(self.engine.rules());
        let mut count = 0;
        for card in rules.cards() {
            if self.cards_written.contains(&card.hash) {
                continue;
            }
            let key = [CARD_KEY, card.hash.as_bytes()].concat();
            let value = snapshot::seal(&key, &*card.text);
            for (key, value) in entries(&key, value, self.settings.changelog_bytes_max) {
                self.write(self.changelog_record(key, value));
            }
            self.cards_written.push(card.hash.clone());
            count += 1;
        }
        count
    }

    fn write_account(&mut self, slot: u32, stamp: &Stamp) -> usize {
        let account_id = self.engine.account_id(slot).clone();
        let stamp = &Stamp { at: self.engine.account_time(slot), ..*stamp };
        let unreported = self.scores.waiting.contains_key(&account_id);
        let key = account_id.as_bytes();
        let value = snapshot::seal(key, &self.engine.keep(slot, stamp, unreported));
        let bytes = value.len();
        let entries = entries(key, value, self.settings.changelog_bytes_max);
        if entries.len() > 1 {
            let parts = self.parts.entry(account_id.clone()).or_default();
            *parts = (*parts).max(entries.len() as u16 - 1);
        }
        for (key, value) in entries {
            self.write(self.changelog_record(key, value));
        }
        bytes
    }

    fn write_marker(&mut self, positions: Positions, at: EventTime, routing: &Routing) {
        let settings = &self.settings;
        let now = self.engine.now();
        let mut marker = self.marker.take().unwrap_or_else(|| Marker {
            group: settings.group.clone(),
            partitions: routing.partitions(),
            epoch: 0,
            topics: settings.topics.clone().map(|topic| (topic, 0)),
            positions: [0; 5],
            positions_at: 0,
            now: 0,
            commits: 0,
            publish_from: self.publish_from.as_millis(),
            cards: Vec::new(),
            cards_since: 0,
            partitioners: [0; 5],
            task_state: Vec::new(),
        });
        if marker.task_state.iter().all(|(name, _)| name != BEGINNINGS_WRITTEN) {
            marker.task_state.push((BEGINNINGS_WRITTEN.to_owned(), Vec::new()));
        }
        let cards = self.engine.rules().cards_in_force().map(|card| card.hash.clone()).collect();
        marker.judge_by(cards, now);
        marker.positions = positions;
        marker.positions_at = at.as_millis();
        marker.now = now.as_millis();
        marker.commits = self.commits + 1;
        marker.partitioners = routing.settled();
        let value = snapshot::seal(MARKER_KEY, &marker);
        self.marker = Some(marker);
        self.write(self.changelog_record(MARKER_KEY.to_vec(), value));
    }

    fn changelog_record(&self, key: Vec<u8>, value: Vec<u8>) -> OutputRecord {
        OutputRecord {
            topic: OutputTopic::Changelog,
            partition: Some(self.partition),
            key: Some(key),
            value: Some(value),
            headers: Vec::new(),
            timestamp: None,
        }
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
        let handled_to = self.handled_to();
        let note = CommitNote {
            t: self.engine.now().as_millis(),
            n: self.commits + 1,
            owner: self.settings.owner.clone(),
            from: self.publish_from.as_millis(),
            came: self.engine.guard_came().unwrap_or_default(),
            open_after: (handled_to < self.engine.now()).then(|| handled_to.as_millis()),
            unshown: self.engine.has_touched()
                || self.waking.as_ref().is_some_and(|waking| waking.unshown),
        };
        serde_json::to_string(&note).expect("numbers and a string always become JSON")
    }

    /// The commit succeeded: forgets what was written and hands out what readers may see now.
    pub fn committed(&mut self) -> Vec<Snapshot> {
        self.commits += 1;
        self.committed_offsets = std::mem::take(&mut self.tried_offsets);
        self.moved = false;
        self.stirred = self.engine.has_touched();
        self.outputs.clear();
        self.outputs_bytes = 0;
        self.judged.clear();
        std::mem::take(&mut self.snapshots)
    }

    /// The accounts that were forgotten with the last commit.
    pub fn drain_forgotten(&mut self) -> impl Iterator<Item = CompactString> {
        self.forgotten.drain(..)
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
            feed.fetches.clear();
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
        while self.fetches.front().is_some_and(|(end, _)| *end <= self.next) {
            self.fetches.pop_front();
        }
    }

    /// Takes note of an answer; one question is asked when the one before it is answered.
    fn note_end(&mut self, asked_at: EventTime, stable: i64) {
        if self.ended.0 < asked_at {
            self.ended_before = self.ended.1;
            self.ended = (asked_at, stable);
        }
    }

    /// Whether the first record that waits had been written before a question was asked: it was
    /// fetched by then, or an earlier answer knew of it.
    fn first_was_there(&self, asked_at: EventTime) -> bool
    where
        R: InputRecord,
    {
        let Some(offset) = self.buffer.front().map(|(record, _)| record.offset()) else {
            return false;
        };
        // Offsets that no record has may lie before it, at the end of an earlier fetch.
        let fetch = self.fetches.iter().find(|(end, _)| *end > offset);
        fetch.is_some_and(|(_, at)| *at <= asked_at) || offset < self.ended_before
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
            // What it was waiting for is in this one.
            self.stop_waiting(account_id);
            self.published_at.insert(account_id.clone(), now);
            return true;
        }
        self.defer(account_id.clone(), free_at);
        false
    }

    fn is_due(&self, now: EventTime) -> bool {
        self.due.first().is_some_and(|(at, _)| *at <= now)
    }

    fn forget(&mut self, account_id: &CompactString) {
        self.published_at.remove(account_id);
        self.stop_waiting(account_id);
    }

    fn stop_waiting(&mut self, account_id: &CompactString) {
        if let Some(waiting) = self.waiting.remove_entry(account_id) {
            let (account_id, at) = waiting;
            self.due.remove(&(at, account_id));
        }
    }

    /// Has an account's report go out from `at` on, as soon as there is room for it; one that waits
    /// already keeps its turn.
    fn defer(&mut self, account_id: CompactString, at: EventTime) {
        self.waiting.entry(account_id).or_insert_with_key(|account_id| {
            self.due.insert((at, account_id.clone()));
            at
        });
    }

    /// At most `max` of the accounts whose report may go out by now.
    fn take_due(&mut self, now: EventTime, max: usize) -> Vec<CompactString> {
        let mut due = Vec::new();
        while due.len() < max && self.is_due(now) {
            let (_, account_id) = self.due.pop_first().expect("just looked at");
            self.waiting.remove(&account_id);
            self.published_at.insert(account_id.clone(), now);
            due.push(account_id);
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
