//! One thread, one group member, one transactional producer, many tasks: poll, work, commit.
//!
//! The loop never blocks longer than its poll; every commit is tried at most once a turn, so that a
//! rebalance is always heard of between two tries. What could not be committed stays in the tasks
//! and is sent again.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use crate::broker::{
    Broker, BrokerError, Change, Committed, EndOffsets, ErrorClass, Input, InputRecord,
    OutputTopic, Processed,
};
use crate::clock::Clock;
use crate::engine::event::Source;
use crate::engine::report::Snapshot;
use crate::engine::stats::Stats;
use crate::engine::time::EventTime;
use crate::in_force::InForce;
use crate::restore::{Lost, OffsetReset, Restore, RestoreError, check_held};
use crate::routing::{Routing, RoutingError};
use crate::task::{Task, TaskError, TaskSettings};
use crate::telemetry::metrics::{CommitStep, Metrics, Outcome, RestoreStep};
use crate::view::{Condition, View};

/// Records a task takes before the next one has its turn.
const TURN_RECORDS: usize = 4_096;
/// What [`Pace::looks`] is while the service runs: a few milliseconds' work, or some ten where all of
/// the accounts change their bands.
pub const TURN_LOOKS: usize = 1_000;
/// Accounts shown, reported and written in a commit though nobody waits for them, of each kind so many,
/// while events come as they happen.
const COMMIT_UNASKED: usize = 2_000;
/// Outputs that wait in memory before a commit is due whatever the interval.
const OUTPUTS_WAITING_MAX: usize = 20_000;
/// The same in bytes: dead letters may be large.
const OUTPUT_BYTES_WAITING_MAX: usize = 64 << 20;
/// Longest wait for a broker's answer to one question.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// First and longest pause after a failed commit.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How often one standing trouble is logged.
const TROUBLE_LOGGED_EVERY: Duration = Duration::from_secs(10);
/// How long a stop goes on without a commit coming through: what was not committed is done again by
/// the next start, so there is no need to wait for a broker that is away.
const STOP_PATIENCE: Duration = Duration::from_secs(4);
/// Records of the changelog taken at a time, and longest wait for some.
const CHANGELOG_READ: (usize, Duration) = (2_000, Duration::from_millis(10));
/// Changelogs that are open at a time: the records of one are on their way while another is read, and as
/// many bytes as the client takes ahead wait for each.
const CHANGELOGS_OPEN: usize = 4;
/// Longest time spent on the changelog before the group and the other tasks have their turn.
const CHANGELOG_TURN: Duration = Duration::from_millis(50);
/// How long a parked task may wait to come back: longer than any rebalance takes. After that its
/// memory is given back.
const PARKED_MAX: Duration = Duration::from_secs(300);
/// Longest sleep before looking whether to stop.
const NAP: Duration = Duration::from_millis(50);

/// When commits happen, and how much is done in a turn.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Longest time from processing to commit.
    pub interval: Duration,
    /// Least time between two commits when a verdict waits.
    pub gap_min: Duration,
    /// The interval while catching up, where latency means nothing.
    pub catching_up: Duration,
    /// Accounts in a turn of all tasks that are looked at because of time alone while events come as
    /// they happen, and as many again that are woken or taken over to other rules.
    pub looks: usize,
}

/// What a worker shares with the rest of the process.
#[derive(Clone)]
pub struct Shared {
    /// What all tasks have in common.
    pub settings: Arc<TaskSettings>,
    /// The rules they judge by.
    pub rules: Arc<InForce>,
    /// Where keys belong.
    pub routing: Arc<Routing>,
    /// What readers see.
    pub view: Arc<View>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What time it is.
    pub clock: Clock,
    /// Set when the process is to stop.
    pub stop: Arc<AtomicBool>,
    /// Longest time a worker takes to stop.
    pub stop_timeout: Duration,
    /// Task time before which nothing is published, where the settings give one.
    pub publish_from: Option<EventTime>,
    /// When commits happen, and how much is done in a turn.
    pub pace: Pace,
}

impl Shared {
    /// What has passed since `begun` went into a step of the way back to tasks. Returns the present.
    fn add_restore_time(&self, step: RestoreStep, begun: Instant) -> Instant {
        let now = self.clock.monotonic();
        let took = now.saturating_duration_since(begun);
        self.metrics.add_restore_time(step, took.as_secs_f64());
        now
    }
}

/// Why a worker ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The broker side cannot go on.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The input topics cannot be read together.
    #[error(transparent)]
    Routing(#[from] RoutingError),
    /// State cannot be restored.
    #[error(transparent)]
    Restore(#[from] RestoreError),
}

impl From<TaskError> for WorkerError {
    fn from(error: TaskError) -> WorkerError {
        match error {
            TaskError::Routing(error) => error.into(),
            TaskError::Restore(error) => error.into(),
        }
    }
}

/// One worker.
pub struct Worker<B: Broker> {
    number: usize,
    broker: B,
    shared: Shared,
    started_at: EventTime,
    /// Partition number -> task, assigned.
    tasks: BTreeMap<i32, Assigned<B::Record>>,
    /// Assigned, and on their way to a task.
    arriving: VecDeque<Arriving>,
    /// No broker is asked about them before this, after one did not answer, and the next pause.
    arriving_retry: Option<(Instant, Duration)>,
    parking: Parking<B::Record>,
    ends: Option<EndOffsets>,
    last_commit: Instant,
    /// No commit is tried before this, after one failed.
    retry: Option<Retry>,
    trouble_logged: Option<Instant>,
    /// Of the rules that the tasks follow.
    rules_version: u64,
    /// Whether a task that came back may follow older ones.
    rules_unsure: bool,
}

struct Assigned<R> {
    task: Task<R>,
    /// The engine's counts as the metrics know them.
    counted: Stats,
}

/// A partition number on its way to a task: its committed offsets are asked for, then its state is
/// read back. The group is answered after the first of the two, so a long restore holds up nobody.
struct Arriving {
    partition: i32,
    since: Instant,
    inputs: Vec<Input>,
    /// Once they are known.
    committed: Option<Vec<(Input, Option<Committed>)>>,
    /// Of inputs without a committed offset.
    earliest: HashMap<Input, i64>,
    /// While its changelog is open.
    restore: Option<Restore>,
    /// Its changelog could not be opened while another one was read: it waits until it is the first.
    waits: bool,
}

/// A task, and where its inputs have to be read again.
type PutTogether<R> = (Task<R>, Vec<(Input, i64)>);

/// Where tasks wait that a rebalance has taken away, by partition number: resumed as they are if
/// nobody has committed in between. All workers of a process share one, since a rebalance may well
/// give a partition from one of them to the next.
pub struct Parking<R>(Arc<Mutex<HashMap<i32, Parked<R>>>>);

struct Parked<R> {
    assigned: Assigned<R>,
    /// What readers saw of its accounts.
    shown: Vec<Snapshot>,
    since: Instant,
}

impl<R> Parking<R> {
    fn lock(&self) -> MutexGuard<'_, HashMap<i32, Parked<R>>> {
        self.0.lock().expect("nothing panics while it holds the lock")
    }
}

impl<R> Default for Parking<R> {
    fn default() -> Self {
        Parking(Arc::default())
    }
}

impl<R> Clone for Parking<R> {
    fn clone(&self) -> Self {
        Parking(Arc::clone(&self.0))
    }
}

struct Retry {
    at: Instant,
    pause: Duration,
    /// The outcome of the last try is unknown.
    unclear: bool,
}

impl<B: Broker> Worker<B> {
    /// A worker that has not joined its group yet. `parking` is the same for all of a process.
    pub fn new(number: usize, broker: B, shared: Shared, parking: Parking<B::Record>) -> Worker<B> {
        let last_commit = shared.clock.monotonic();
        Worker {
            number,
            broker,
            started_at: shared.clock.now(),
            shared,
            tasks: BTreeMap::new(),
            arriving: VecDeque::new(),
            arriving_retry: None,
            parking,
            ends: None,
            last_commit,
            retry: None,
            trouble_logged: None,
            rules_version: 0,
            rules_unsure: true,
        }
    }

    /// Runs until the process is to stop, then commits what was processed and leaves the group.
    ///
    /// # Errors
    /// When it cannot go on: a fatal error, or topics that cannot be read together.
    pub fn run(mut self) -> Result<(), WorkerError> {
        let mut outcome = Ok(());
        while !self.shared.stop.load(Ordering::Relaxed) {
            if let Err(error) = self.turn() {
                error!(worker = self.number, %error, "worker stops");
                outcome = Err(error);
                break;
            }
        }
        self.stop(outcome.is_ok());
        outcome
    }

    /// Goes through the loop of [`Worker::run`] once: polls, takes what is there, commits if that is
    /// due. For whoever drives several workers from one thread, in a time of their own; a worker whose
    /// turn has failed is given to [`Worker::stop`], or dropped as if its process had died.
    ///
    /// # Errors
    /// When it cannot go on.
    pub fn turn(&mut self) -> Result<(), WorkerError> {
        match self.broker.poll(self.poll_timeout()) {
            Ok(changes) => {
                for change in changes {
                    self.change(change)?;
                }
            }
            Err(error) => self.trouble(error)?,
        }
        // Between two commits: what one of them holds was judged by the same rules.
        if self.retry.is_none() {
            self.follow_rules();
        }
        if let Some(ends) = self.broker.end_offsets() {
            self.trouble_over();
            self.ends = Some(ends);
            self.report_lag();
        }
        let clock = &self.shared.clock;
        self.parking.lock().retain(|_, parked| clock.since(parked.since) < PARKED_MAX);
        // Whatever was to be tried again went away with its partitions.
        if !self.is_dirty() {
            self.retry = None;
        }
        self.go_on_arriving()?;
        self.replay()?;
        // After a failed commit nothing new is taken: what is tried again is just what was tried.
        let taken = if self.retry.is_none() { self.work()? } else { 0 };
        if self.is_commit_due(taken) {
            self.try_commit()?;
        }
        Ok(())
    }

    /// Has tasks go over to the rules in force, if they are others than theirs.
    fn follow_rules(&mut self) {
        let version = self.shared.rules.version();
        if self.rules_version == version && !self.rules_unsure {
            return;
        }
        (self.rules_version, self.rules_unsure) = (version, false);
        let rules = self.shared.rules.rules();
        for (partition, Assigned { task, counted }) in &mut self.tasks {
            if task.follows(&rules) {
                continue;
            }
            if !task.is_steady() {
                self.rules_unsure = true;
                continue;
            }
            self.shared.metrics.drop_accounts(task.engine().rules(), counted);
            (counted.cards, counted.out) = (Vec::new(), [false; 5]);
            task.change_rules(&rules);
            if task.is_going_over() {
                info!(worker = self.number, partition, "task judges by other rules");
            }
        }
    }

    /// Short enough to see a stop and a due commit in time.
    fn poll_timeout(&self) -> Duration {
        if self.arriving.front().is_some_and(|arriving| arriving.restore.is_some()) {
            return Duration::ZERO;
        }
        let has_work =
            |task: &Task<_>| task.is_waking() || task.has_open_deadlines() || task.is_going_over();
        let may_work = self.retry.is_none() && self.ends.is_some();
        if may_work && self.tasks.values().any(|assigned| has_work(&assigned.task)) {
            return Duration::ZERO;
        }
        if self.is_dirty() { Duration::from_millis(10) } else { NAP }
    }

    fn is_dirty(&self) -> bool {
        self.tasks.values().any(|assigned| assigned.task.is_dirty())
    }

    fn change(&mut self, change: Change) -> Result<(), WorkerError> {
        match change {
            Change::Assigned(inputs) => {
                self.assign(&inputs);
                Ok(())
            }
            Change::Revoked(inputs) => {
                // The last chance to commit in this generation. If it fails the work stays in the
                // parked tasks.
                if self.is_dirty() {
                    self.try_commit()?;
                }
                self.take_away(&inputs, true)?;
                Ok(())
            }
            Change::Lost(inputs) => {
                warn!(worker = self.number, partitions = ?numbers(&inputs), "partitions lost");
                self.take_away(&inputs, false)?;
                Ok(())
            }
        }
    }

    fn assign(&mut self, inputs: &[Input]) {
        for partition in numbers(inputs) {
            self.arriving.push_back(Arriving {
                partition,
                since: self.shared.clock.monotonic(),
                inputs: inputs.iter().filter(|i| i.partition == partition).copied().collect(),
                committed: None,
                earliest: HashMap::new(),
                restore: None,
                waits: false,
            });
        }
        if inputs.is_empty() {
            info!(worker = self.number, "no partitions assigned: a spare");
        }
        self.show_condition();
    }

    /// One bounded step towards tasks for what was assigned.
    fn go_on_arriving(&mut self) -> Result<(), WorkerError> {
        let waits = self.arriving_retry.is_some_and(|(at, _)| self.shared.clock.monotonic() < at);
        if self.arriving.is_empty() || waits {
            return Ok(());
        }
        let done = if self.arriving.iter().any(|arriving| arriving.committed.is_none()) {
            let begun = self.shared.clock.monotonic();
            let done = self.ask_committed();
            self.shared.add_restore_time(RestoreStep::Ask, begun);
            done
        } else {
            self.read_changelog()
        };
        match done {
            Ok(()) => self.arriving_retry = None,
            Err(WorkerError::Broker(error)) => {
                let pause = self.arriving_retry.map_or(BACKOFF.0, |(_, pause)| pause);
                let next = (pause * 2).min(BACKOFF.1);
                self.arriving_retry = Some((self.shared.clock.monotonic() + pause, next));
                self.trouble(error)?;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Asks for the committed offsets of everything that is new, and accepts it there.
    fn ask_committed(&mut self) -> Result<(), WorkerError> {
        let is_new = |arriving: &&mut Arriving| arriving.committed.is_none();
        let inputs: Vec<Input> = self
            .arriving
            .iter_mut()
            .filter(is_new)
            .flat_map(|arriving| arriving.inputs.iter().copied())
            .collect();
        let committed = self.broker.committed(&inputs, ANSWER_TIMEOUT)?;
        let mut earliest = HashMap::new();
        for (input, committed) in inputs.iter().zip(&committed) {
            if committed.is_none() {
                let (first, _) = self.broker.watermarks(*input, ANSWER_TIMEOUT)?;
                earliest.insert(*input, first);
            }
        }
        let offset_of = |input: &Input, committed: &Option<Committed>| {
            committed.as_ref().map_or_else(|| earliest[input], |committed| committed.offset)
        };
        let mut start: Vec<(Input, i64)> =
            inputs.iter().zip(&committed).map(|(i, c)| (*i, offset_of(i, c))).collect();
        self.start_past_deleted(&mut start)?;
        let mut answers = inputs.into_iter().zip(committed);
        for arriving in self.arriving.iter_mut().filter(is_new) {
            arriving.committed = Some(answers.by_ref().take(arriving.inputs.len()).collect());
            arriving.earliest = earliest
                .iter()
                .filter(|(input, _)| input.partition == arriving.partition)
                .map(|(input, first)| (*input, *first))
                .collect();
        }
        // Now, and not when all state is back: until it has its answer the group cannot go on.
        self.broker.accept(&start)?;
        // What was asked before does not cover what is assigned now.
        self.ends = None;
        let assigned = numbers(&start.iter().map(|(input, _)| *input).collect::<Vec<_>>());
        for partition in &assigned {
            self.resume(*partition)?;
        }
        info!(worker = self.number, partitions = ?assigned, "partitions assigned");
        self.show_condition();
        Ok(())
    }

    /// Has no input fetched from where the broker holds nothing any more, if the settings allow to go
    /// on: it would only fail. What is lost by it is told when the state is back; a parked task would
    /// never know.
    fn start_past_deleted(&mut self, start: &mut [(Input, i64)]) -> Result<(), BrokerError> {
        let reset = self.shared.settings.offset_reset;
        if reset == OffsetReset::Fail {
            return Ok(());
        }
        for (input, offset) in start {
            let (first, end) = self.broker.watermarks(*input, ANSWER_TIMEOUT)?;
            if *offset < first {
                *offset = if reset == OffsetReset::Latest { end } else { first };
                self.parking.lock().remove(&input.partition);
            }
        }
        Ok(())
    }

    /// Reads on in the changelog of the first partition number that waits for it.
    fn read_changelog(&mut self) -> Result<(), WorkerError> {
        self.open_changelogs()?;
        let Some(arriving) = self.arriving.front_mut() else { return Ok(()) };
        let Some(restore) = &mut arriving.restore else { return Ok(()) };
        let mut now = self.shared.clock.monotonic();
        let turn_ends = now + CHANGELOG_TURN;
        let mut records = Vec::new();
        loop {
            let (max, timeout) = CHANGELOG_READ;
            let ended =
                self.broker.changelog_read(arriving.partition, max, timeout, &mut records)?;
            now = self.shared.add_restore_time(RestoreStep::Read, now);
            for record in records.drain(..) {
                restore.take(&record)?;
            }
            now = self.shared.add_restore_time(RestoreStep::PutBack, now);
            if ended {
                return self.arrive();
            }
            if now >= turn_ends || self.shared.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
        }
    }

    /// Opens the changelogs of those that come next, so that their records are on the way.
    fn open_changelogs(&mut self) -> Result<(), WorkerError> {
        for (nth, arriving) in self.arriving.iter_mut().take(CHANGELOGS_OPEN).enumerate() {
            if arriving.restore.is_some() || (arriving.waits && nth > 0) {
                continue;
            }
            let begun = self.shared.clock.monotonic();
            let opened = self.broker.changelog_open(arriving.partition, ANSWER_TIMEOUT);
            self.shared.add_restore_time(RestoreStep::Ask, begun);
            match opened {
                Ok(()) => {
                    let (settings, rules) = (&self.shared.settings, self.shared.rules.rules());
                    let restore = Restore::new(arriving.partition, Arc::clone(settings), rules);
                    arriving.restore = Some(restore);
                }
                // What is read of the first one goes on; its turn is the time to insist.
                Err(error) if nth > 0 && error.class == ErrorClass::Retriable => {
                    arriving.waits = true;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// All there is of a partition number's state has been read: it becomes a task.
    fn arrive(&mut self) -> Result<(), WorkerError> {
        let Some(arriving) = self.arriving.front() else { return Ok(()) };
        let begun = self.shared.clock.monotonic();
        let mut held = HashMap::new();
        for input in &arriving.inputs {
            held.insert(*input, self.broker.watermarks(*input, ANSWER_TIMEOUT)?);
        }
        let begun = self.shared.add_restore_time(RestoreStep::Ask, begun);
        let Some(mut arriving) = self.arriving.pop_front() else { return Ok(()) };
        let Arriving { partition, since, .. } = arriving;
        let (Some(mut restore), Some(mut committed)) =
            (arriving.restore.take(), arriving.committed.clone())
        else {
            return Ok(());
        };
        self.broker.changelog_close(partition);
        let records = restore.records();
        let lost = restore.skip_deleted(&mut committed, |input| held[&input]);
        let put_together = self.put_together(restore, &committed, &arriving.earliest, &held, &lost);
        let (task, again) = match put_together {
            Ok(together) => together,
            Err(error) => {
                // Whoever asked, and was then held up while others went on, has old answers.
                let answers = self.broker.committed(&arriving.inputs, ANSWER_TIMEOUT);
                let known = arriving.committed.iter().flatten().map(|(_, committed)| committed);
                if answers.is_ok_and(|answers| answers.iter().ne(known)) {
                    warn!(worker = self.number, partition, %error, "others went on: asking anew");
                    arriving.committed = None;
                    self.arriving.push_back(arriving);
                    return Ok(());
                }
                return Err(error.into());
            }
        };
        self.shared.add_restore_time(RestoreStep::PutBack, begun);
        self.tell_lost(&lost);
        if !again.is_empty() {
            self.broker.accept(&again)?;
            self.ends = None;
        }
        if task.is_replaying() {
            info!(
                worker = self.number,
                partition,
                accounts = task.account_count(),
                changelog_records = records,
                took_ms = self.shared.clock.since(since).as_millis() as u64,
                "state read back"
            );
        }
        self.tasks.insert(partition, Assigned { task, counted: Stats::default() });
        self.rules_unsure = true;
        self.shared.metrics.set_partitions(self.number, self.tasks.len());
        self.show_condition();
        Ok(())
    }

    /// The task that state and offsets make, and where inputs have to be read again.
    fn put_together(
        &self,
        restore: Restore,
        committed: &[(Input, Option<Committed>)],
        earliest: &HashMap<Input, i64>,
        held: &HashMap<Input, (i64, i64)>,
        lost: &[Lost],
    ) -> Result<PutTogether<B::Record>, RestoreError> {
        let (task, resumptions) = restore.finish::<B::Record>(
            committed,
            |input| earliest.get(&input).copied().unwrap_or(0),
            self.shared.publish_from,
            self.started_at,
            &self.shared.routing,
        )?;
        let partition = task.partition();
        let mut again = Vec::new();
        for from in resumptions {
            let input = Input { source: from.source, partition };
            check_held(&self.shared.settings, partition, from, held[&input])?;
            let was_skipped = lost.iter().any(|lost| lost.input == input);
            if from.replay_from != from.live_from || was_skipped {
                again.push((input, from.replay_from));
            }
        }
        Ok((task, again))
    }

    /// Data loss that the settings allow is loud all the same.
    fn tell_lost(&self, lost: &[Lost]) {
        for Lost { input, from, to } in lost {
            let topic = &self.shared.settings.topics[input.source as usize];
            let records = u64::try_from(to - from).unwrap_or(0);
            error!(
                topic,
                partition = input.partition,
                from,
                to,
                records,
                "records were deleted before they were read: the scores are without them"
            );
            self.shared.metrics.add_lost(input.source, records);
        }
    }

    /// Brings tasks whose state was read back up to their committed offsets.
    fn replay(&mut self) -> Result<(), WorkerError> {
        let mut fetched = Vec::new();
        let replaying = self.tasks.values_mut().filter(|assigned| assigned.task.is_replaying());
        for Assigned { task, .. } in replaying {
            let now = self.shared.clock.now();
            let begun = self.shared.clock.monotonic();
            let inputs: Vec<Input> = task.inputs().collect();
            for input in inputs {
                let room = task.room(input.source);
                if room > 0 {
                    self.broker.fetch(input, room, &mut fetched)?;
                    task.absorb(input.source, fetched.drain(..), now);
                }
            }
            let done = task.replay(&self.shared.routing, TURN_RECORDS, now)?;
            // The last turn takes few records, and then judges the accounts they are of.
            let step = if done.is_some() { RestoreStep::Thaw } else { RestoreStep::Replay };
            self.shared.add_restore_time(step, begun);
            if let Some(replayed) = done {
                let partition = task.partition();
                self.shared.metrics.add_replayed(replayed);
                info!(worker = self.number, partition, replayed, "task restored");
            }
        }
        Ok(())
    }

    /// Partition numbers that have no task yet, or one that is not what it was yet.
    fn restoring(&self) -> Vec<i32> {
        let replaying = self.tasks.values().map(|assigned| &assigned.task);
        let on_the_way = |task: &&Task<B::Record>| task.is_replaying() || task.is_waking();
        let replaying = replaying.filter(on_the_way).map(Task::partition);
        let mut all: Vec<i32> =
            self.arriving.iter().map(|arriving| arriving.partition).chain(replaying).collect();
        all.sort_unstable();
        all
    }

    fn show_condition(&self) {
        let restoring = self.restoring();
        let condition = match restoring.is_empty() {
            true => Condition::Ready,
            false => Condition::Waiting(format!("restoring the state of partitions {restoring:?}")),
        };
        self.shared.view.set_condition(self.number, condition);
    }

    /// The parked task of this partition number, if the group has committed nothing since.
    fn resume(&mut self, partition: i32) -> Result<(), WorkerError> {
        let Some(place) = self.arriving.iter().position(|a| a.partition == partition) else {
            return Ok(());
        };
        let Some(committed) = &self.arriving[place].committed else { return Ok(()) };
        let committed: Vec<(Input, Option<&Committed>)> =
            committed.iter().map(|(input, committed)| (*input, committed.as_ref())).collect();
        // One whose changelog is being read had none to come back to.
        if self.arriving[place].restore.is_some() {
            return Ok(());
        }
        let Some(Parked { mut assigned, shown, .. }) = self.parking.lock().remove(&partition)
        else {
            return Ok(());
        };
        self.rules_unsure = true;
        let task = &mut assigned.task;
        // The last try may have come through without anybody hearing of it.
        let came_through =
            !task.tried_offsets().is_empty() && stands_at(&committed, task.tried_offsets());
        if !came_through && !stands_at(&committed, task.committed_offsets()) {
            return Ok(());
        }
        // What it had taken and could not commit before it was parked is in it still.
        let earliest = &self.arriving[place].earliest;
        let accepted_at = |(input, committed): &(Input, Option<&Committed>)| {
            committed.map_or_else(|| earliest.get(input).copied(), |known| Some(known.offset))
        };
        let ahead: Vec<(Input, i64)> = committed
            .iter()
            .filter_map(|at| Some((at.0, task.next_offset(at.0.source)?, accepted_at(at)?)))
            .filter_map(|(input, next, accepted)| (next != accepted).then_some((input, next)))
            .collect();
        if !ahead.is_empty() {
            self.broker.accept(&ahead)?;
        }
        for snapshot in shown {
            self.shared.view.show(partition, snapshot);
        }
        if came_through {
            publish(&self.shared.view, partition, task);
        }
        info!(worker = self.number, partition, "task resumed where it was");
        self.tasks.insert(partition, assigned);
        self.arriving.remove(place);
        self.shared.metrics.set_partitions(self.number, self.tasks.len());
        Ok(())
    }

    fn take_away(&mut self, inputs: &[Input], keep: bool) -> Result<(), WorkerError> {
        self.arriving.retain(|arriving| {
            let stays = !inputs.contains(&arriving.inputs[0]);
            if !stays {
                self.broker.changelog_close(arriving.partition);
            }
            stays
        });
        for partition in numbers(inputs) {
            let Some(mut assigned) = self.tasks.remove(&partition) else { continue };
            for source in Source::ALL {
                self.shared.metrics.drop_lag(source, partition);
            }
            let shown = self.shared.view.hide(partition);
            // Whoever holds them now counts them; coming back they are counted anew.
            self.shared.metrics.drop_accounts(assigned.task.engine().rules(), &assigned.counted);
            assigned.counted.forget_what_is_now();
            // A task that is not yet what it was is read back once more.
            if keep && !assigned.task.is_replaying() {
                assigned.task.park();
                let since = self.shared.clock.monotonic();
                self.parking.lock().insert(partition, Parked { assigned, shown, since });
            }
        }
        self.shared.metrics.set_partitions(self.number, self.tasks.len());
        self.broker.release(inputs)?;
        self.show_condition();
        Ok(())
    }

    /// Fetches for every task and lets it work; returns how many records were taken.
    fn work(&mut self) -> Result<usize, WorkerError> {
        let Some(ends) = &self.ends else { return Ok(0) };
        let mut fetched = Vec::new();
        let mut taken = 0;
        let looks = self.shared.pace.looks / self.tasks.len().max(1) + 1;
        // Nobody waits for those that are not asked for as much as for the tasks that are still to come.
        let all_have_gone_on = self.arriving.is_empty()
            && self.tasks.values().all(|assigned| !assigned.task.is_replaying());
        let wakes = if all_have_gone_on { looks } else { looks / 10 + 1 };
        let live = self.tasks.values_mut().filter(|assigned| !assigned.task.is_replaying());
        let mut all_awake = false;
        for Assigned { task, counted } in live {
            let partition = task.partition();
            let inputs: Vec<Input> = task.inputs().collect();
            for input in inputs {
                let room = task.room(input.source);
                if room > 0 {
                    self.broker.fetch(input, room, &mut fetched)?;
                    let arrived_at = self.shared.clock.now();
                    task.absorb(input.source, fetched.drain(..), arrived_at);
                }
            }
            let now = self.shared.clock.now();
            if task.is_waking() {
                let begun = self.shared.clock.monotonic();
                task.wake(wakes, now)?;
                self.shared.add_restore_time(RestoreStep::Thaw, begun);
                all_awake |= !task.is_waking();
            }
            let was_going_over = task.is_going_over();
            taken += task.work(ends, &self.shared.routing, TURN_RECORDS, looks, now)?;
            if was_going_over && !task.is_going_over() {
                info!(worker = self.number, partition, "all accounts have gone over to the rules");
            }
            for snapshot in task.drain_woken() {
                self.shared.view.show(partition, snapshot);
            }
            task.note_time(now);
            for (source, reason) in task.drain_rejected() {
                self.shared.metrics.add_rejected(source, reason);
            }
            let stats = task.engine().stats();
            if stats != counted {
                self.shared.metrics.add_stats(task.engine().rules(), counted, stats);
                counted.clone_from(stats);
            }
        }
        if all_awake {
            self.show_condition();
        }
        Ok(taken)
    }

    fn is_commit_due(&self, taken: usize) -> bool {
        if self.retry.as_ref().is_some_and(|retry| self.shared.clock.monotonic() < retry.at) {
            return false;
        }
        let tasks = || self.tasks.values().map(|assigned| &assigned.task);
        if !tasks().any(Task::is_dirty) {
            return false;
        }
        let since = self.shared.clock.since(self.last_commit);
        let pace = self.shared.pace;
        let catching_up = taken >= TURN_RECORDS;
        let interval = if catching_up { pace.catching_up } else { pace.interval };
        let verdict_waits = !catching_up && tasks().any(Task::has_verdict);
        since >= interval
            || (verdict_waits && since >= pace.gap_min)
            || tasks().map(Task::outputs_waiting).sum::<usize>() >= OUTPUTS_WAITING_MAX
            || tasks().map(Task::output_bytes_waiting).sum::<usize>() >= OUTPUT_BYTES_WAITING_MAX
    }

    /// Tries one commit of everything that was processed.
    fn try_commit(&mut self) -> Result<(), WorkerError> {
        let started = self.shared.clock.monotonic();
        match self.commit() {
            Ok(()) => {
                self.retry = None;
                self.last_commit = self.shared.clock.monotonic();
                self.shared.metrics.add_transaction(Outcome::Committed);
                let took = self.shared.clock.since(started);
                self.shared.metrics.observe_commit(took.as_secs_f64());
                Ok(())
            }
            Err(error) => self.commit_failed(error),
        }
    }

    fn commit(&mut self) -> Result<(), BrokerError> {
        let now = self.shared.clock.now();
        if self.retry.as_ref().is_some_and(|retry| retry.unclear) {
            self.settle()?;
            if let Some(retry) = &mut self.retry {
                retry.unclear = false;
            }
            if !self.is_dirty() {
                return Ok(());
            }
        }
        let prepare_begun = self.shared.clock.monotonic();
        let Shared { view, routing, .. } = &self.shared;
        let dirty = self.tasks.values().filter(|assigned| assigned.task.is_dirty()).count();
        let unasked = COMMIT_UNASKED / dirty.max(1) + 1;
        for Assigned { task, .. } in self.tasks.values_mut() {
            if task.is_dirty() {
                task.prepare(now, routing, unasked, |snapshot| view.shows(snapshot));
            }
        }
        let prepared = self.shared.clock.since(prepare_begun);
        self.broker.begin()?;
        let mut processed = Vec::new();
        let (mut checkpoints, mut checkpoint_bytes) = (0, 0);
        for Assigned { task, .. } in self.tasks.values().filter(|a| a.task.is_dirty()) {
            for record in task.outputs() {
                self.broker.send(record)?;
                if record.topic == OutputTopic::Changelog {
                    checkpoints += 1;
                    let bytes = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
                    checkpoint_bytes += bytes(&record.key) + bytes(&record.value);
                }
            }
            processed.extend(task.processed());
        }
        self.broker.commit(&processed)?;
        self.shared.metrics.observe_commit_step(CommitStep::Prepare, prepared.as_secs_f64());
        self.shared.metrics.add_checkpoints(checkpoints, checkpoint_bytes as u64);
        for (partition, Assigned { task, .. }) in &mut self.tasks {
            if task.is_dirty() {
                publish(&self.shared.view, *partition, task);
            }
        }
        Ok(())
    }

    /// Finds out what became of a transaction whose outcome was unclear, task by task: one that was
    /// parked meanwhile may have been in another transaction than the rest.
    fn settle(&mut self) -> Result<(), BrokerError> {
        let tried = |assigned: &Assigned<B::Record>| assigned.task.tried_offsets().to_vec();
        let inputs: Vec<Input> = self
            .tasks
            .values()
            .filter(|assigned| assigned.task.is_dirty())
            .flat_map(tried)
            .map(|processed| processed.input)
            .collect();
        let committed = self.broker.committed(&inputs, ANSWER_TIMEOUT)?;
        let committed: Vec<(Input, Option<&Committed>)> =
            inputs.into_iter().zip(committed.iter().map(Option::as_ref)).collect();
        for (partition, Assigned { task, .. }) in &mut self.tasks {
            let own: Vec<(Input, Option<&Committed>)> = committed
                .iter()
                .filter(|(input, _)| input.partition == *partition)
                .copied()
                .collect();
            if !own.is_empty() && stands_at(&own, task.tried_offsets()) {
                publish(&self.shared.view, *partition, task);
            }
        }
        Ok(())
    }

    fn commit_failed(&mut self, error: BrokerError) -> Result<(), WorkerError> {
        // Fenced while it waited for the answer to a commit, a producer has heard nothing of it.
        let unclear = matches!(error.class, ErrorClass::Unclear | ErrorClass::Fenced)
            || self.retry.as_ref().is_some_and(|retry| retry.unclear);
        let outcome = if unclear { Outcome::Unclear } else { Outcome::Aborted };
        self.shared.metrics.add_transaction(outcome);
        let pause = self.retry.as_ref().map_or(BACKOFF.0, |r| (r.pause * 2).min(BACKOFF.1));
        self.retry = Some(Retry { at: self.shared.clock.monotonic() + pause, pause, unclear });
        self.trouble(error)?;
        if !unclear && let Err(error) = self.broker.abort() {
            // Whether the abort came through is unknown: a new producer settles it.
            if let Some(retry) = &mut self.retry {
                retry.unclear = true;
            }
            self.trouble(error)?;
        }
        Ok(())
    }

    /// Says what is wrong, not too often; an error that cannot be waited out is handed on.
    fn trouble(&mut self, error: BrokerError) -> Result<(), WorkerError> {
        match error.class {
            ErrorClass::Fatal => Err(error.into()),
            // A member whose partitions have moved on hears of it at its next poll.
            ErrorClass::Fenced
            | ErrorClass::Retriable
            | ErrorClass::Abortable
            | ErrorClass::Unclear => {
                let (logged, clock) = (self.trouble_logged, &self.shared.clock);
                if logged.is_none_or(|at| clock.since(at) >= TROUBLE_LOGGED_EVERY) {
                    warn!(worker = self.number, class = ?error.class, %error, "trying again");
                    self.trouble_logged = Some(clock.monotonic());
                }
                let waiting = Condition::Waiting(error.message);
                self.shared.view.set_condition(self.number, waiting);
                Ok(())
            }
        }
    }

    fn trouble_over(&mut self) {
        if self.trouble_logged.is_some() && self.retry.is_none() {
            self.trouble_logged = None;
            info!(worker = self.number, "brokers answer again");
            self.show_condition();
        }
    }

    fn report_lag(&self) {
        let Some(ends) = &self.ends else { return };
        for end in &ends.ends {
            if let Some(assigned) = self.tasks.get(&end.input.partition) {
                let next = assigned.task.next_offset(end.input.source).unwrap_or(end.high);
                let Input { source, partition } = end.input;
                self.shared.metrics.set_lag(source, partition, (end.high - next).max(0));
            }
        }
    }

    /// Finishes the open work and writes all state, so that the next start has nothing to do again
    /// (both where `commit` says so, for as long as commits come through), and leaves the group.
    pub fn stop(mut self, commit: bool) {
        let begun = self.shared.clock.monotonic();
        let deadline = begun + self.shared.stop_timeout;
        let mut last_success = begun;
        for assigned in self.tasks.values_mut() {
            assigned.task.write_all();
        }
        while commit && self.is_dirty() {
            let patience_ends = deadline.min(last_success + STOP_PATIENCE);
            let left = patience_ends.saturating_duration_since(self.shared.clock.monotonic());
            if left.is_zero() {
                warn!(worker = self.number, "stopped with work open: the next start does it again");
                break;
            }
            if self.try_commit().is_err() {
                break;
            }
            match &self.retry {
                Some(retry) => self.shared.clock.sleep(retry.pause.min(left)),
                None => last_success = self.shared.clock.monotonic(),
            }
        }
        self.shared.view.set_condition(self.number, Condition::Stopped);
        let left = deadline.saturating_duration_since(self.shared.clock.monotonic());
        self.broker.close(left.min(STOP_PATIENCE));
    }
}

/// The commit is known to have succeeded: readers may see it.
fn publish<R: InputRecord>(view: &View, partition: i32, task: &mut Task<R>) {
    for account_id in task.drain_forgotten() {
        view.forget(&account_id);
    }
    for snapshot in task.committed() {
        view.show(partition, snapshot);
    }
}

/// Whether what the group has committed is exactly what a task has written, note and all.
fn stands_at(committed: &[(Input, Option<&Committed>)], written: &[Processed]) -> bool {
    committed.iter().all(|(input, committed)| {
        let own = written.iter().find(|processed| processed.input == *input);
        match (own, committed) {
            (Some(own), Some(now)) => own.offset == now.offset && own.metadata == now.metadata,
            (None, None) => written.is_empty(),
            (Some(_), None) | (None, Some(_)) => false,
        }
    })
}

/// The partition numbers among `inputs`, each once, in order.
fn numbers(inputs: &[Input]) -> Vec<i32> {
    let mut numbers: Vec<i32> = inputs.iter().map(|input| input.partition).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}
