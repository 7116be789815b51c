//! One thread, one group member, one transactional producer, many tasks: poll, work, commit.
//!
//! The loop never blocks longer than its poll; every commit is tried at most once a turn, so that a
//! rebalance is always heard of between two tries. What could not be committed stays in the tasks
//! and is sent again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use crate::broker::{
    Broker, BrokerError, Change, Committed, EndOffsets, ErrorClass, Input, InputRecord, Processed,
};
use crate::clock::{self, Clock};
use crate::engine::Stats;
use crate::engine::event::Source;
use crate::engine::report::Snapshot;
use crate::engine::time::EventTime;
use crate::in_force::InForce;
use crate::routing::{Routing, RoutingError};
use crate::task::{CommitNote, Task, TaskSettings};
use crate::telemetry::metrics::{Metrics, Outcome};
use crate::view::{Condition, View};

/// Records a task takes before the next one has its turn.
const TURN_RECORDS: usize = 4_096;
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
/// Longest a stop takes to finish the open work and leave the group.
const STOP_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a parked task may wait to come back: longer than any rebalance takes. After that its
/// memory is given back.
const PARKED_MAX: Duration = Duration::from_secs(300);
/// Longest sleep before looking whether to stop.
const NAP: Duration = Duration::from_millis(50);

/// When commits happen.
#[derive(Clone, Copy, Debug)]
pub struct CommitPace {
    /// Longest time from processing to commit.
    pub interval: Duration,
    /// Least time between two commits when a verdict waits.
    pub gap_min: Duration,
    /// The interval while catching up, where latency means nothing.
    pub catching_up: Duration,
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
    /// Task time before which nothing is published, where the settings give one.
    pub publish_from: Option<EventTime>,
    /// When commits happen.
    pub pace: CommitPace,
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
}

/// One worker.
pub struct Worker<B: Broker> {
    number: usize,
    broker: B,
    shared: Shared,
    started_at: EventTime,
    /// Partition number -> task, assigned.
    tasks: HashMap<i32, Assigned<B::Record>>,
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
        Worker {
            number,
            broker,
            started_at: shared.clock.now(),
            shared,
            tasks: HashMap::new(),
            parking,
            ends: None,
            last_commit: clock::monotonic(),
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

    fn turn(&mut self) -> Result<(), WorkerError> {
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
        self.parking.lock().retain(|_, parked| parked.since.elapsed() < PARKED_MAX);
        // Whatever was to be tried again went away with its partitions.
        if !self.is_dirty() {
            self.retry = None;
        }
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
            let old = Arc::clone(task.engine().rules());
            if Arc::ptr_eq(&old, &rules) {
                continue;
            }
            self.shared.metrics.drop_accounts(&old, counted);
            (counted.cards, counted.out) = (Vec::new(), [false; 5]);
            task.change_rules(Arc::clone(&rules));
            info!(worker = self.number, partition, "task judges by other rules");
        }
    }

    /// Short enough to see a stop and a due commit in time.
    fn poll_timeout(&self) -> Duration {
        if self.is_dirty() { Duration::from_millis(10) } else { NAP }
    }

    fn is_dirty(&self) -> bool {
        self.tasks.values().any(|assigned| assigned.task.is_dirty())
    }

    fn change(&mut self, change: Change) -> Result<(), WorkerError> {
        match change {
            Change::Assigned(inputs) => self.assign(&inputs),
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

    fn assign(&mut self, inputs: &[Input]) -> Result<(), WorkerError> {
        let Some(committed) = self.ask_committed(inputs)? else { return Ok(()) };
        let mut start = Vec::new();
        let mut without_state = Vec::new();
        for partition in numbers(inputs) {
            let own: Vec<(Input, Option<&Committed>)> = inputs
                .iter()
                .zip(&committed)
                .filter(|(input, _)| input.partition == partition)
                .map(|(input, committed)| (*input, committed.as_ref()))
                .collect();
            let assigned = match self.resume(partition, &own) {
                Some(resumed) => resumed,
                None => {
                    if own.iter().any(|(_, committed)| committed.is_some()) {
                        without_state.push(partition);
                    }
                    let Some(new) = self.begin(partition, &own)? else { return Ok(()) };
                    new
                }
            };
            start.extend(assigned.task.processed().into_iter().map(|p| (p.input, p.offset)));
            self.tasks.insert(partition, assigned);
        }
        if !without_state.is_empty() {
            warn!(
                worker = self.number,
                partitions = ?without_state,
                "offsets are committed, and state is not restored yet: aggregates begin empty"
            );
        }
        if !start.is_empty() {
            self.broker.accept(&start)?;
        }
        // What was asked before does not cover what is assigned now.
        self.ends = None;
        self.shared.view.set_condition(self.number, Condition::Ready);
        self.shared.metrics.set_partitions(self.number, self.tasks.len());
        info!(worker = self.number, partitions = ?numbers(inputs), "partitions assigned");
        Ok(())
    }

    /// Asks for the committed offsets until they are known; `None` if told to stop meanwhile.
    fn ask_committed(
        &mut self,
        inputs: &[Input],
    ) -> Result<Option<Vec<Option<Committed>>>, WorkerError> {
        if inputs.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let mut pause = BACKOFF.0;
        while !self.shared.stop.load(Ordering::Relaxed) {
            match self.broker.committed(inputs, ANSWER_TIMEOUT) {
                Ok(committed) => return Ok(Some(committed)),
                Err(error) => self.trouble(error)?,
            }
            self.sleep(pause);
            pause = (pause * 2).min(BACKOFF.1);
        }
        Ok(None)
    }

    /// Sleeps, but not past being told to stop.
    fn sleep(&self, pause: Duration) {
        let until = clock::monotonic() + pause;
        while !self.shared.stop.load(Ordering::Relaxed) {
            let left = until.saturating_duration_since(clock::monotonic());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(NAP));
        }
    }

    /// The parked task of this partition number, if the group has committed nothing since.
    fn resume(
        &mut self,
        partition: i32,
        committed: &[(Input, Option<&Committed>)],
    ) -> Option<Assigned<B::Record>> {
        let Parked { mut assigned, shown, .. } = self.parking.lock().remove(&partition)?;
        self.rules_unsure = true;
        let task = &mut assigned.task;
        // The last try may have come through without anybody hearing of it.
        let news = if !task.tried_offsets().is_empty() && stands_at(committed, task.tried_offsets())
        {
            task.committed()
        } else if stands_at(committed, task.committed_offsets()) {
            Vec::new()
        } else {
            return None;
        };
        for snapshot in shown.into_iter().chain(news) {
            self.shared.view.show(partition, snapshot);
        }
        info!(worker = self.number, partition, "task resumed where it was");
        Some(assigned)
    }

    /// A new task: from the committed offsets, else from the earliest. `None` if told to stop before
    /// they were known.
    fn begin(
        &mut self,
        partition: i32,
        committed: &[(Input, Option<&Committed>)],
    ) -> Result<Option<Assigned<B::Record>>, WorkerError> {
        let notes = committed.iter().filter_map(|(_, committed)| {
            serde_json::from_str::<CommitNote>(&committed.as_ref()?.metadata).ok()
        });
        let note = notes.max_by_key(|note| note.n);
        let mut start = Vec::new();
        for (input, committed) in committed {
            let offset = match committed {
                Some(committed) => committed.offset,
                None => match self.earliest(*input)? {
                    Some(earliest) => earliest,
                    None => return Ok(None),
                },
            };
            start.push((input.source, offset));
        }
        // The very first start says from when on to publish; later ones keep to it.
        let publish_from = match (&note, self.shared.publish_from) {
            (_, Some(set)) => set,
            (Some(note), None) => EventTime::from_millis(note.from),
            (None, None) => self.started_at,
        };
        let commits = note.map_or(0, |note| note.n);
        let settings = Arc::clone(&self.shared.settings);
        let task = Task::new(
            partition,
            settings,
            self.shared.rules.rules(),
            &start,
            publish_from,
            commits,
        );
        Ok(Some(Assigned { task, counted: Stats::default() }))
    }

    /// The first offset there is; `None` if told to stop before it was known.
    fn earliest(&mut self, input: Input) -> Result<Option<i64>, WorkerError> {
        let mut pause = BACKOFF.0;
        while !self.shared.stop.load(Ordering::Relaxed) {
            match self.broker.watermarks(input, ANSWER_TIMEOUT) {
                Ok((earliest, _)) => return Ok(Some(earliest)),
                Err(error) => self.trouble(error)?,
            }
            self.sleep(pause);
            pause = (pause * 2).min(BACKOFF.1);
        }
        Ok(None)
    }

    fn take_away(&mut self, inputs: &[Input], keep: bool) -> Result<(), WorkerError> {
        for partition in numbers(inputs) {
            let Some(mut assigned) = self.tasks.remove(&partition) else { continue };
            for source in Source::ALL {
                self.shared.metrics.drop_lag(source, partition);
            }
            let shown = self.shared.view.hide(partition);
            // Whoever holds them now counts them; coming back they are counted anew.
            self.shared.metrics.drop_accounts(assigned.task.engine().rules(), &assigned.counted);
            assigned.counted.forget_what_is_now();
            if keep {
                assigned.task.park();
                let since = clock::monotonic();
                self.parking.lock().insert(partition, Parked { assigned, shown, since });
            }
        }
        self.shared.metrics.set_partitions(self.number, self.tasks.len());
        self.broker.release(inputs)?;
        Ok(())
    }

    /// Fetches for every task and lets it work; returns how many records were taken.
    fn work(&mut self) -> Result<usize, WorkerError> {
        let Some(ends) = &self.ends else { return Ok(0) };
        let mut fetched = Vec::new();
        let mut taken = 0;
        for Assigned { task, counted } in self.tasks.values_mut() {
            let inputs: Vec<Input> = task.inputs().collect();
            for input in inputs {
                let room = task.room(input.source);
                if room > 0 {
                    self.broker.fetch(input, room, &mut fetched)?;
                    let arrived_at = self.shared.clock.now();
                    task.absorb(input.source, fetched.drain(..), arrived_at);
                }
            }
            taken += task.work(ends, &self.shared.routing, TURN_RECORDS)?;
            task.note_time(self.shared.clock.now());
            for (source, reason) in task.drain_rejected() {
                self.shared.metrics.add_rejected(source, reason);
            }
            let stats = task.engine().stats();
            if stats != counted {
                self.shared.metrics.add_stats(task.engine().rules(), counted, stats);
                counted.clone_from(stats);
            }
        }
        Ok(taken)
    }

    fn is_commit_due(&self, taken: usize) -> bool {
        if self.retry.as_ref().is_some_and(|retry| clock::monotonic() < retry.at) {
            return false;
        }
        let tasks = || self.tasks.values().map(|assigned| &assigned.task);
        if !tasks().any(Task::is_dirty) {
            return false;
        }
        let since = self.last_commit.elapsed();
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
        let started = clock::monotonic();
        match self.commit() {
            Ok(()) => {
                self.retry = None;
                self.last_commit = clock::monotonic();
                self.shared.metrics.add_transaction(Outcome::Committed);
                self.shared.metrics.observe_commit(started.elapsed().as_secs_f64());
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
        let view = &self.shared.view;
        for Assigned { task, .. } in self.tasks.values_mut() {
            if task.is_dirty() {
                task.prepare(now, |snapshot| view.shows(snapshot));
            }
        }
        self.broker.begin()?;
        let mut processed = Vec::new();
        for Assigned { task, .. } in self.tasks.values().filter(|a| a.task.is_dirty()) {
            for record in task.outputs() {
                self.broker.send(record)?;
            }
            processed.extend(task.processed());
        }
        self.broker.commit(&processed)?;
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
        self.retry = Some(Retry { at: clock::monotonic() + pause, pause, unclear });
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
                let logged = self.trouble_logged;
                if logged.is_none_or(|at| at.elapsed() >= TROUBLE_LOGGED_EVERY) {
                    warn!(worker = self.number, class = ?error.class, %error, "trying again");
                    self.trouble_logged = Some(clock::monotonic());
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
            self.shared.view.set_condition(self.number, Condition::Ready);
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

    /// Finishes the open work (unless something is wrong) and leaves the group.
    fn stop(mut self, commit: bool) {
        let deadline = clock::monotonic() + STOP_TIMEOUT;
        while commit && clock::monotonic() < deadline && self.is_dirty() {
            if self.try_commit().is_err() {
                break;
            }
            if let Some(retry) = &self.retry {
                std::thread::sleep(retry.pause.min(deadline - clock::monotonic().min(deadline)));
            }
        }
        self.shared.view.set_condition(self.number, Condition::Stopped);
        self.broker.close(deadline.saturating_duration_since(clock::monotonic()));
    }
}

/// The commit is known to have succeeded: readers may see it.
fn publish<R: InputRecord>(view: &View, partition: i32, task: &mut Task<R>) {
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
