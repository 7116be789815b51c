//! One group member with one transactional producer, as the worker sees it: the production code's
//! [`Broker`].
//!
//! A call that takes time lets the rest of the world go on meanwhile, other workers included: so
//! whatever can happen between two steps of a commit does. What `src/kafka` adds to the client
//! library (a producer is replaced after an unclear outcome, the generation is asked for at the
//! moment of the commit) is done here in the same way.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::{Rc, Weak};
use std::time::Duration;

use barometer::broker::{
    Broker, BrokerError, Change, Committed, End, EndOffsets, ErrorClass, Fetched, Input,
    OutputRecord, OutputTopic, Processed,
};
use barometer::checkpoint::{MARKER_KEY, Marker, RESERVED_BYTE};
use barometer::engine::event::Source;
use barometer::engine::snapshot::{self, KeptAccount, Stamp};
use barometer::engine::time::EventTime;
use barometer::partitioner::Partitioner;

use super::cluster::{Handed, Place, Refused, Stored};
use super::group::{Answer, MemberId};
use super::weather::Step;
use super::world::{Process, World};

/// Time between two questions after the ends of the inputs.
const QUESTION_EVERY_MS: i64 = 50;
/// How long a client tries to write a record.
const WRITE_TIMEOUT_MS: i64 = 3_000;

/// A mistake made on purpose, to see whether it would be noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// Offsets are committed by themselves, before the transaction.
    OffsetsOutsideTheTransaction,
    /// Accounts' records do not say which offsets they have seen.
    CheckpointsWithoutPositions,
    /// What is read again for its state is judged and published again.
    PublishingDuringReplay,
    /// The group's generation is not checked when offsets are committed.
    NoFencing,
}

/// Where the member stands in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Membership {
    Outside,
    Joining(MemberId),
    Inside(MemberId, i32),
}

/// The client behind a [`Member`]: it lives on while its worker is busy, as the client library's own
/// threads do.
pub struct Client {
    pub number: usize,
    pub process: Weak<Process>,
    pub news: Cell<bool>,
    state: RefCell<State>,
}

struct State {
    membership: Membership,
    changes: VecDeque<Change>,
    /// Told and not answered yet.
    unanswered: BTreeSet<Input>,
    held: BTreeMap<Input, Held>,
    heard: i64,
    failed: Option<String>,
    /// The epoch of the producer, while it can be used.
    producer: Option<i32>,
    open: bool,
    /// Handed over and not at the brokers yet.
    queue: VecDeque<OutputRecord>,
    /// The answer to come, and when.
    question: Option<(i64, EndOffsets)>,
    asked: i64,
    /// By partition number.
    changelog: BTreeMap<i32, Reading>,
    /// Assigned partition numbers whose state nobody has asked for yet.
    fresh: BTreeSet<i32>,
}

struct Held {
    position: i64,
    /// The last end that was told of.
    ended: Option<i64>,
    released: bool,
}

struct Reading {
    position: i64,
    end: i64,
}

impl Client {
    pub fn new(number: usize, process: Weak<Process>, now: i64) -> Client {
        Client {
            number,
            process,
            news: Cell::new(true),
            state: RefCell::new(State {
                membership: Membership::Outside,
                changes: VecDeque::new(),
                unanswered: BTreeSet::new(),
                held: BTreeMap::new(),
                heard: now,
                failed: None,
                producer: None,
                open: false,
                queue: VecDeque::new(),
                question: None,
                asked: i64::MIN,
                changelog: BTreeMap::new(),
                fresh: BTreeSet::new(),
            }),
        }
    }

    /// How many inputs it fetches.
    pub fn held(&self) -> usize {
        let state = self.state.borrow();
        if state.unanswered.is_empty() && state.changes.is_empty() { state.held.len() } else { 0 }
    }

    /// What stands at the beginning of every line about this worker.
    fn name(&self) -> String {
        let process = self.process.upgrade();
        process.map_or_else(String::new, |process| format!("{process}/{}", self.number))
    }

    /// What the client's own threads do now and then: heartbeats, and what comes of them.
    pub fn beat(&self, world: &World, instance: Option<&str>, reachable: bool) {
        let now = world.now();
        let mut state = self.state.borrow_mut();
        // One change at a time: the group waits for the answer, and so does the next change.
        if !state.changes.is_empty() || !state.unanswered.is_empty() || state.failed.is_some() {
            if let (true, Membership::Inside(id, _)) = (reachable, state.membership) {
                // Heard of all the same; a generation that ends meanwhile is noticed later.
                let answer = world.group.borrow_mut().hear(id, instance, false, now);
                if !matches!(answer, Answer::Unknown | Answer::InstanceFenced) {
                    state.heard = now;
                }
            }
            return;
        }
        if !reachable {
            let lost = state.heard + world.plan.session_timeout <= now;
            if let (true, Membership::Inside(..)) = (lost, state.membership) {
                world.note(|| format!("{}: its session is over", self.name()));
                state.lose();
                self.news.set(true);
            }
            return;
        }
        state.heard = now;
        if let (true, Membership::Inside(id, _)) = (world.plan.incremental, state.membership) {
            self.beat_incrementally(world, &mut state, id);
            return;
        }
        match state.membership {
            Membership::Outside if world.plan.incremental => {
                let mut group = world.group.borrow_mut();
                let id = group.join(None, now, world.plan.rebalance_timeout);
                state.membership = Membership::Inside(id, 0);
                world.count("incremental members");
            }
            Membership::Outside => {
                let mut group = world.group.borrow_mut();
                let id = group.join(instance, now, world.plan.rebalance_timeout);
                state.membership = Membership::Joining(id);
            }
            Membership::Joining(id) => {
                let answer = world.group.borrow_mut().hear(id, instance, true, now);
                match answer {
                    Answer::Assigned(generation, partitions) => {
                        state.membership = Membership::Inside(id, generation);
                        let inputs: Vec<Input> = partitions.iter().flat_map(inputs_of).collect();
                        state.unanswered = inputs.iter().copied().collect();
                        state.changes.push_back(Change::Assigned(inputs));
                        self.news.set(true);
                    }
                    Answer::Unknown => state.membership = Membership::Outside,
                    Answer::InstanceFenced => state.fail_fenced(),
                    Answer::Rebalance => {
                        world.group.borrow_mut().rejoin(id, now);
                    }
                    Answer::Wait | Answer::Steady | Answer::Take(_) | Answer::Give(..) => {}
                }
            }
            Membership::Inside(id, _) => {
                let answer = world.group.borrow_mut().hear(id, instance, false, now);
                match answer {
                    Answer::Rebalance if state.held.is_empty() => {
                        state.membership = Membership::Joining(id);
                        world.group.borrow_mut().rejoin(id, now);
                    }
                    Answer::Rebalance => {
                        let inputs: Vec<Input> = state.held.keys().copied().collect();
                        state.unanswered = inputs.iter().copied().collect();
                        state.changes.push_back(Change::Revoked(inputs));
                        self.news.set(true);
                    }
                    Answer::Unknown => {
                        world.note(|| format!("{}: was given up by the group", self.name()));
                        state.lose();
                        self.news.set(true);
                    }
                    Answer::InstanceFenced => {
                        state.fail_fenced();
                        self.news.set(true);
                    }
                    Answer::Steady
                    | Answer::Wait
                    | Answer::Assigned(..)
                    | Answer::Take(_)
                    | Answer::Give(..) => {}
                }
            }
        }
    }
}

impl Client {
    /// By the new protocol only what moves is told of.
    fn beat_incrementally(&self, world: &World, state: &mut State, id: MemberId) {
        let mut owned: Vec<i32> = state.held.keys().map(|input| input.partition).collect();
        owned.sort_unstable();
        owned.dedup();
        let change = match world.group.borrow_mut().hear_of(id, &owned, world.now()) {
            Answer::Take(numbers) => Change::Revoked(numbers.iter().flat_map(inputs_of).collect()),
            Answer::Give(epoch, numbers) => {
                let has_joined = state.membership != Membership::Inside(id, 0);
                state.membership = Membership::Inside(id, epoch);
                // A newcomer is told that there is nothing for it.
                if numbers.is_empty() && has_joined {
                    return;
                }
                Change::Assigned(numbers.iter().flat_map(inputs_of).collect())
            }
            _ => {
                world.note(|| format!("{}: was given up by the group", self.name()));
                state.lose();
                self.news.set(true);
                return;
            }
        };
        let (Change::Assigned(inputs) | Change::Revoked(inputs) | Change::Lost(inputs)) = &change;
        state.unanswered = inputs.iter().copied().collect();
        state.changes.push_back(change);
        self.news.set(true);
    }
}

impl State {
    fn lose(&mut self) {
        self.membership = Membership::Outside;
        let inputs: Vec<Input> = self.held.keys().copied().collect();
        if !inputs.is_empty() {
            self.unanswered = inputs.iter().copied().collect();
            self.changes.push_back(Change::Lost(inputs));
        }
    }

    fn fail_fenced(&mut self) {
        self.failed = Some("another process runs under the same instance name".to_owned());
    }

    fn reset_producer(&mut self) {
        (self.producer, self.open) = (None, false);
        self.queue.clear();
    }
}

fn inputs_of(partition: &i32) -> [Input; 5] {
    let partition = *partition;
    Source::ALL.map(|source| Input { source, partition })
}

/// A member of the group, for one worker.
pub struct Member {
    pub world: Rc<World>,
    pub client: Rc<Client>,
}

fn error(class: ErrorClass, message: impl Into<String>) -> BrokerError {
    BrokerError { class, message: message.into() }
}

impl Member {
    fn process(&self) -> Option<Rc<Process>> {
        self.client.process.upgrade().filter(|process| process.alive.get())
    }

    fn name(&self) -> String {
        self.client.name()
    }

    /// Passes a step of a call, at which anything may happen.
    fn at(&self, step: Step) -> Result<(), BrokerError> {
        let (world, dead) = (&self.world, || error(ErrorClass::Fatal, "its process has died"));
        let process = self.process().ok_or_else(dead)?;
        if let Some(fate) = world.fate_at(step) {
            fate.meet(world, &process, &self.name(), step);
        }
        // Others may have stopped it while this call waited.
        while process.alive.get() && process.paused_until.get() > world.now() {
            world.run_until(process.paused_until.get());
        }
        if process.alive.get() { Ok(()) } else { Err(dead()) }
    }

    /// A failure that happens now and then.
    fn fails(&self, what: &str) -> bool {
        let failing = self.world.rolls(|weather| weather.error);
        if failing {
            self.world.count(format!("error: {what}"));
            self.world.note(|| format!("{}: {what} fails", self.name()));
        }
        failing
    }

    /// Waits for the brokers, at most so long.
    fn reach(&self, timeout_ms: i64) -> Result<(), BrokerError> {
        let deadline = self.world.now() + timeout_ms;
        loop {
            let process =
                self.process().ok_or_else(|| error(ErrorClass::Fatal, "its process has died"))?;
            let now = self.world.now();
            let back_at = process.unreachable_until().max(self.world.away_until.get());
            if back_at <= now {
                return Ok(());
            }
            if now >= deadline {
                return Err(error(ErrorClass::Retriable, "no broker can be reached"));
            }
            self.world.run_until(back_at.min(deadline));
        }
    }

    fn transactional_id(&self) -> String {
        let process = self.client.process.upgrade();
        let name = process.map_or_else(String::new, |process| process.name.clone());
        format!("{name}-{}", self.client.number)
    }

    /// Asks the transaction coordinator until it is no longer busy with the last transaction.
    fn ask<T>(
        &self,
        mut question: impl FnMut(&World, &str, i32) -> Result<T, Refused>,
    ) -> Result<T, BrokerError> {
        let id = self.transactional_id();
        loop {
            let epoch = self.client.state.borrow().producer;
            let Some(epoch) = epoch else {
                let message = format!("producer `{id}` was given up and has not been replaced yet");
                return Err(error(ErrorClass::Abortable, message));
            };
            match question(&self.world, &id, epoch) {
                Ok(answer) => return Ok(answer),
                Err(Refused::Busy) => {
                    self.world.run_until(self.world.now() + 5);
                    self.at(Step::Poll)?;
                }
                Err(Refused::Fenced) => {
                    self.client.state.borrow_mut().reset_producer();
                    self.world.count("producer fenced");
                    self.world.note(|| format!("{}: its producer is fenced", self.name()));
                    let message = format!("producer `{id}` was fenced");
                    return Err(error(ErrorClass::Fenced, message));
                }
            }
        }
    }

    /// Makes a producer where none stands.
    fn settle(&self, timeout_ms: i64) -> Result<(), BrokerError> {
        if self.client.state.borrow().producer.is_some() {
            return Ok(());
        }
        self.client.state.borrow_mut().open = false;
        self.at(Step::Init)?;
        self.reach(timeout_ms)?;
        if self.fails("init") {
            return Err(error(ErrorClass::Retriable, "registering the producer timed out"));
        }
        let (id, deadline) = (self.transactional_id(), self.world.now() + timeout_ms);
        loop {
            match self.world.init(&id) {
                Ok(epoch) => {
                    self.client.state.borrow_mut().producer = Some(epoch);
                    return Ok(());
                }
                Err(_) if self.world.now() >= deadline => {
                    return Err(error(ErrorClass::Retriable, "registering the producer timed out"));
                }
                Err(_) => {
                    self.world.run_until(self.world.now() + 10);
                    self.at(Step::Poll)?;
                }
            }
        }
    }

    /// Puts what was handed over so far into the logs.
    fn write_queued(&self) -> Result<(), BrokerError> {
        loop {
            let Some(record) = self.client.state.borrow().queue.front().cloned() else {
                return Ok(());
            };
            let partition = record.partition.unwrap_or_else(|| {
                let key = record.key.as_deref().unwrap_or_default();
                Partitioner::Murmur2.partition(key, self.world.plan.partitions)
            });
            self.ask(|world, id, epoch| {
                let now = world.now();
                world.cluster.borrow_mut().append_output(id, epoch, partition, &record, now)
            })?;
            self.client.state.borrow_mut().queue.pop_front();
        }
    }

    fn gave_up(&self, class: ErrorClass, message: &str) -> BrokerError {
        if matches!(class, ErrorClass::Fenced | ErrorClass::Unclear) {
            self.client.state.borrow_mut().reset_producer();
        }
        error(class, message)
    }

    /// The transaction's decision is asked for, and sometimes nobody hears the answer.
    fn decide(&self) -> Result<(), BrokerError> {
        let world = &self.world;
        let unclear = |what: &str| {
            world.count(format!("unclear: {what}"));
            world.note(|| format!("{}: unclear, {what}", self.name()));
            self.gave_up(ErrorClass::Unclear, "committing the transaction timed out")
        };
        if self.reach(WRITE_TIMEOUT_MS).is_err() {
            self.at(Step::Poll)?;
            return Err(unclear("the brokers are away"));
        }
        if world.rolls(|weather| weather.error / 2) {
            let id = self.transactional_id();
            let epoch = self.client.state.borrow().producer;
            let how = world.roll(0..4);
            match (how, epoch) {
                (0, _) => {
                    world.run_until(world.now() + world.roll(1..1_500));
                    self.at(Step::Poll)?;
                    return Err(unclear("nothing came through"));
                }
                (1, Some(epoch)) => {
                    world.end_late(&id, epoch, world.roll(1..3_000));
                    return Err(unclear("it comes through later"));
                }
                (2, Some(_)) => {
                    let ended = self.ask(|world, id, epoch| world.end(id, epoch, true));
                    self.at(Step::Decided)?;
                    ended?;
                    world.run_until(world.now() + world.roll(1..1_500));
                    self.at(Step::Poll)?;
                    return Err(unclear("it came through"));
                }
                _ => {
                    world.count("error: commit");
                    return Err(self.gave_up(ErrorClass::Abortable, "the transaction must go"));
                }
            }
        }
        self.ask(|world, id, epoch| world.end(id, epoch, true))?;
        self.at(Step::Decided)
    }

    /// The next answer after the ends of the inputs: asked now, heard of a little later.
    fn ask_ends(&self, state: &mut State) {
        let world = &self.world;
        let now = world.now();
        let mut cluster = world.cluster.borrow_mut();
        let held = state.held.iter().filter(|(_, held)| !held.released);
        let ends = held.map(|(input, _)| {
            let log = cluster.input(*input);
            End { input: *input, stable: log.stable(), high: log.next }
        });
        let answer = EndOffsets { asked_at: EventTime::from_millis(now), ends: ends.collect() };
        state.question = Some((now + world.roll(1..20), answer));
        state.asked = now;
    }

    /// Where a task that comes new would have to begin if it read everything again live.
    fn mistaken_offsets(&self, inputs: &[Input], answer: &mut [Option<Committed>]) {
        for (input, committed) in inputs.iter().zip(answer) {
            let marker = self.world.marker(input.partition);
            if let (Some(marker), Some(committed)) = (marker, committed) {
                committed.offset = committed.offset.min(marker.positions[input.source as usize]);
            }
        }
    }
}

/// An account's record that has forgotten its offsets.
fn without_positions(record: &Stored) -> Stored {
    let mut stripped = record.clone();
    let key = record.key.as_deref().unwrap_or_default();
    let opened = record.value.as_deref().filter(|_| key.first() != Some(&RESERVED_BYTE));
    let Some(kept) = opened.and_then(|value| KeptAccount::open(key, value).ok()) else {
        return stripped;
    };
    let stamp = Stamp { positions: [0; 5], ..kept.stamp() };
    let kept = KeptAccount::new(
        &stamp,
        kept.unreported,
        kept.card,
        kept.sequence,
        kept.band,
        kept.published,
        kept.alerts,
        kept.overriding,
        kept.aggregate,
        kept.beginning,
    );
    stripped.value = Some(snapshot::seal(key, &kept));
    stripped
}

/// A task's own record of the changelog.
pub fn marker_of(record: &Stored) -> Option<Marker> {
    let value = record.value.as_deref().filter(|_| record.key.as_deref() == Some(MARKER_KEY))?;
    snapshot::open(MARKER_KEY, value).ok()
}

impl Broker for Member {
    type Record = Handed;

    fn poll(&mut self, timeout: Duration) -> Result<Vec<Change>, BrokerError> {
        self.at(Step::Poll)?;
        let process = self.process().ok_or_else(|| error(ErrorClass::Fatal, "it has died"))?;
        process.beat(&self.world, &self.client);
        let mut state = self.client.state.borrow_mut();
        self.client.news.set(timeout.is_zero());
        if let Some(message) = &state.failed {
            self.world.count("instance fenced");
            return Err(error(ErrorClass::Fatal, message.clone()));
        }
        let change = state.changes.pop_front();
        if let Some(change) = &change {
            self.world.note(|| format!("{}: {}", self.name(), described(change)));
            let what = match change {
                Change::Assigned(inputs) => {
                    state.fresh.extend(inputs.iter().map(|input| input.partition));
                    "assigned"
                }
                Change::Revoked(_) => "revoked",
                Change::Lost(_) => "lost",
            };
            self.world.count(what);
            if !state.changelog.is_empty() {
                self.world.count(format!("{what} during a restore"));
            }
        }
        Ok(change.into_iter().collect())
    }

    fn committed(
        &mut self,
        inputs: &[Input],
        timeout: Duration,
    ) -> Result<Vec<Option<Committed>>, BrokerError> {
        self.at(Step::Committed)?;
        let timeout_ms = timeout.as_millis() as i64;
        self.settle(timeout_ms)?;
        self.reach(timeout_ms)?;
        if self.fails("committed") {
            return Err(error(ErrorClass::Retriable, "reading the committed offsets timed out"));
        }
        let deadline = self.world.now() + timeout_ms;
        while self.world.cluster.borrow().is_unstable(inputs) {
            if self.world.now() >= deadline {
                self.world.count("unstable offsets");
                return Err(error(ErrorClass::Retriable, "offsets are not stable"));
            }
            self.world.run_until(self.world.now() + 20);
            self.at(Step::Poll)?;
        }
        let cluster = self.world.cluster.borrow();
        let mut answer: Vec<Option<Committed>> =
            inputs.iter().map(|input| cluster.committed(*input).cloned()).collect();
        drop(cluster);
        if self.world.plan.mistake == Some(Mistake::PublishingDuringReplay) {
            self.mistaken_offsets(inputs, &mut answer);
        }
        self.world.note(|| {
            let known = inputs.iter().zip(&answer).filter_map(|(input, committed)| {
                let Committed { offset, metadata } = committed.clone()?;
                Some(Processed { input: *input, offset, metadata })
            });
            let known: Vec<Processed> = known.collect();
            format!("{}: finds committed {}", self.name(), listed(&known))
        });
        Ok(answer)
    }

    fn watermarks(&mut self, input: Input, timeout: Duration) -> Result<(i64, i64), BrokerError> {
        self.at(Step::Watermarks)?;
        self.reach(timeout.as_millis() as i64)?;
        if self.fails("watermarks") {
            return Err(error(ErrorClass::Retriable, "asking for the ends timed out"));
        }
        let mut cluster = self.world.cluster.borrow_mut();
        let log = cluster.input(input);
        Ok((log.start, log.next))
    }

    fn changelog_open(&mut self, partition: i32, timeout: Duration) -> Result<(), BrokerError> {
        self.at(Step::ChangelogOpen)?;
        self.reach(timeout.as_millis() as i64)?;
        if self.fails("changelog") {
            return Err(error(ErrorClass::Retriable, "opening the changelog timed out"));
        }
        let place = Place::Output(OutputTopic::Changelog, partition);
        let end = self.world.cluster.borrow_mut().log(place).next;
        let mut state = self.client.state.borrow_mut();
        state.changelog.insert(partition, Reading { position: 0, end });
        if state.changelog.len() > 1 {
            self.world.count("changelogs open at a time");
        }
        state.fresh.remove(&partition);
        self.world.count("restores");
        Ok(())
    }

    fn changelog_read(
        &mut self,
        partition: i32,
        max: usize,
        timeout: Duration,
        into: &mut Vec<Handed>,
    ) -> Result<bool, BrokerError> {
        self.at(Step::ChangelogRead)?;
        let world = Rc::clone(&self.world);
        let count = max.min(world.roll(1..20) as usize);
        let reachable = self.reach(0).is_ok();
        let mut state = self.client.state.borrow_mut();
        let Some(reading) = state.changelog.get_mut(&partition) else { return Ok(true) };
        if reachable {
            let place = Place::Output(OutputTopic::Changelog, partition);
            let (records, next) =
                world.cluster.borrow_mut().log(place).read(reading.position, count);
            let forgets = world.plan.mistake == Some(Mistake::CheckpointsWithoutPositions);
            into.extend(records.into_iter().map(|record| match forgets {
                true => Handed(Rc::new(without_positions(&record))),
                false => Handed(record),
            }));
            let stood = std::mem::replace(&mut reading.position, next);
            if next >= reading.end {
                return Ok(true);
            }
            if next > stood {
                return Ok(false);
            }
        }
        drop(state);
        // An open transaction holds the end back.
        world.run_until(world.now() + timeout.as_millis() as i64);
        Ok(false)
    }

    fn changelog_close(&mut self, partition: i32) {
        self.client.state.borrow_mut().changelog.remove(&partition);
    }

    fn accept(&mut self, start: &[(Input, i64)]) -> Result<(), BrokerError> {
        self.at(Step::Accept)?;
        self.world.note(|| {
            let inputs: Vec<Input> = start.iter().map(|(input, _)| *input).collect();
            format!("{}: accepts {:?}", self.name(), numbers(&inputs))
        });
        let mut state = self.client.state.borrow_mut();
        for (input, position) in start {
            let held = Held { position: *position, ended: None, released: false };
            match state.held.insert(*input, held) {
                Some(former) if former.position > *position => self.world.count("inputs replayed"),
                Some(former) if former.position < *position => self.world.count("resumed ahead"),
                Some(_) | None => {}
            }
            // No answer to a change that the worker has not heard of.
            if state.changes.is_empty() {
                state.unanswered.remove(input);
            }
        }
        self.ask_ends(&mut state);
        Ok(())
    }

    fn release(&mut self, inputs: &[Input]) -> Result<(), BrokerError> {
        self.at(Step::Release)?;
        self.world.note(|| format!("{}: releases {:?}", self.name(), numbers(inputs)));
        let world = Rc::clone(&self.world);
        let mut state = self.client.state.borrow_mut();
        let mut answers = false;
        for input in inputs {
            if state.unanswered.remove(input) {
                answers = true;
                state.held.remove(input);
                state.fresh.remove(&input.partition);
            } else if let Some(held) = state.held.get_mut(input) {
                held.released = true;
            }
        }
        self.ask_ends(&mut state);
        if answers
            && state.unanswered.is_empty()
            && !world.plan.incremental
            && let Membership::Inside(id, _) = state.membership
        {
            state.membership = match world.group.borrow_mut().rejoin(id, world.now()) {
                Answer::Unknown => Membership::Outside,
                _ => Membership::Joining(id),
            };
        }
        Ok(())
    }

    fn fetch(
        &mut self,
        input: Input,
        max: usize,
        into: &mut Vec<Fetched<Handed>>,
    ) -> Result<(), BrokerError> {
        if self.process().is_none() {
            return Err(error(ErrorClass::Fatal, "its process has died"));
        }
        if self.reach(0).is_err() {
            return Ok(());
        }
        let mut state = self.client.state.borrow_mut();
        if state.held.get(&input).is_none_or(|held| held.released) {
            return Ok(());
        }
        if state.fresh.remove(&input.partition) {
            self.world.count("resumed");
        }
        let Some(held) = state.held.get_mut(&input) else { return Ok(()) };
        let mut cluster = self.world.cluster.borrow_mut();
        let log = cluster.input(input);
        if held.position < log.start {
            let message = format!(
                "{input:?}, offset {}: records were deleted before they were read",
                held.position
            );
            return Err(error(ErrorClass::Fatal, message));
        }
        if self.world.roll(0..8) == 0 {
            return Ok(());
        }
        let max = max.min(self.world.roll(1..40) as usize);
        let (records, next) = log.read(held.position, max);
        held.position = next;
        into.extend(records.into_iter().map(|record| Fetched::Record(Handed(record))));
        if next == log.stable() && held.ended != Some(next) {
            held.ended = Some(next);
            into.push(Fetched::End(next));
        } else if next < log.stable() {
            self.client.news.set(true);
        }
        Ok(())
    }

    fn end_offsets(&mut self) -> Option<EndOffsets> {
        let now = self.world.now();
        let reachable = self.process().is_some() && self.reach(0).is_ok();
        let mut state = self.client.state.borrow_mut();
        let answer = state.question.take_if(|(at, _)| *at <= now && reachable);
        if state.question.is_none()
            && reachable
            && !state.held.is_empty()
            && state.asked.saturating_add(QUESTION_EVERY_MS) <= now
        {
            self.ask_ends(&mut state);
        }
        answer.map(|(_, answer)| answer)
    }

    fn begin(&mut self) -> Result<(), BrokerError> {
        self.abort()?;
        self.at(Step::Begin)?;
        if self.client.state.borrow().producer.is_none() {
            return Err(error(ErrorClass::Abortable, "the producer has not been replaced yet"));
        }
        if self.fails("begin") {
            return Err(error(ErrorClass::Abortable, "a transaction cannot begin now"));
        }
        self.client.state.borrow_mut().open = true;
        self.world.count("transactions begun");
        Ok(())
    }

    fn send(&mut self, record: &OutputRecord) -> Result<(), BrokerError> {
        self.at(Step::Send)?;
        assert!(self.client.state.borrow().open, "records are sent in a transaction");
        // One send is one of many.
        if self.world.rolls(|weather| weather.error / 16) {
            self.world.count("error: send");
            return Err(error(ErrorClass::Abortable, "the record was not taken"));
        }
        self.client.state.borrow_mut().queue.push_back(record.clone());
        if self.world.roll(0..2) == 0 && self.reach(0).is_ok() {
            self.write_queued()?;
        }
        Ok(())
    }

    fn commit(&mut self, processed: &[Processed]) -> Result<(), BrokerError> {
        assert!(self.client.state.borrow().open, "what is committed was begun");
        let world = Rc::clone(&self.world);
        if self.reach(WRITE_TIMEOUT_MS).is_err() {
            self.at(Step::Poll)?;
            return Err(error(ErrorClass::Abortable, "the records were not acknowledged in time"));
        }
        self.write_queued()?;
        self.at(Step::Drained)?;
        if self.fails("drain") {
            return Err(error(ErrorClass::Abortable, "a record was not acknowledged in time"));
        }
        let apart = world.plan.mistake == Some(Mistake::OffsetsOutsideTheTransaction);
        if apart {
            world.cluster.borrow_mut().commit_apart(processed);
        } else if !processed.is_empty() {
            let membership = self.client.state.borrow().membership;
            let Membership::Inside(id, generation) = membership else {
                world.count("commit without membership");
                let message = "the consumer is no longer a member of its group";
                return Err(error(ErrorClass::Fenced, message));
            };
            if self.reach(WRITE_TIMEOUT_MS).is_err() || self.fails("offsets") {
                self.at(Step::Poll)?;
                return Err(error(ErrorClass::Abortable, "adding the offsets timed out"));
            }
            let is_current = self.ask(|world, name, epoch| {
                let known = world.group.borrow().is_current(id, generation)
                    || world.plan.mistake == Some(Mistake::NoFencing);
                if known {
                    let now = world.now();
                    world.cluster.borrow_mut().add_offsets(name, epoch, processed, now)?;
                }
                Ok(known)
            })?;
            if !is_current {
                world.count("generation fenced");
                world.note(|| format!("{}: its generation {generation} is over", self.name()));
                return Err(self.gave_up(ErrorClass::Fenced, "the generation is over"));
            }
        }
        self.at(Step::Offsets)?;
        world.note(|| format!("{}: asks to commit {}", self.name(), listed(processed)));
        self.decide()?;
        world.note(|| format!("{}: has committed", self.name()));
        self.client.state.borrow_mut().open = false;
        self.at(Step::Answered)?;
        world.count("transactions committed");
        Ok(())
    }

    fn abort(&mut self) -> Result<(), BrokerError> {
        self.at(Step::Abort)?;
        let timeout_ms = self.world.plan.transaction_timeout;
        let (stands, open) = {
            let state = self.client.state.borrow();
            (state.producer.is_some(), state.open)
        };
        if !stands {
            return self.settle(timeout_ms);
        }
        if !open {
            return Ok(());
        }
        let mut state = self.client.state.borrow_mut();
        state.open = false;
        state.queue.clear();
        drop(state);
        let failed = self.reach(timeout_ms).is_err()
            || self.fails("abort")
            || self.ask(|world, id, epoch| world.end(id, epoch, false)).is_err();
        if failed {
            self.at(Step::Poll)?;
            self.client.state.borrow_mut().reset_producer();
            return self.settle(timeout_ms);
        }
        Ok(())
    }

    fn close(&mut self, _: Duration) {
        let Some(process) = self.process() else { return };
        let open = self.client.state.borrow().open;
        if open && self.reach(0).is_ok() {
            let _ = self.ask(|world, id, epoch| world.end(id, epoch, false));
        }
        let mut state = self.client.state.borrow_mut();
        if let (Membership::Inside(id, _) | Membership::Joining(id), None) =
            (state.membership, process.instance(self.client.number))
        {
            let (now, timeout) = (self.world.now(), self.world.plan.rebalance_timeout);
            self.world.group.borrow_mut().leave(id, now, timeout);
        }
        state.membership = Membership::Outside;
        state.failed = Some("it is closed".to_owned());
    }
}

fn described(change: &Change) -> String {
    let (what, inputs) = match change {
        Change::Assigned(inputs) => ("assigned", inputs),
        Change::Revoked(inputs) => ("revoked", inputs),
        Change::Lost(inputs) => ("lost", inputs),
    };
    format!("{what} {:?}", numbers(inputs))
}

/// The partition numbers among them, each once.
fn numbers(inputs: &[Input]) -> BTreeSet<i32> {
    inputs.iter().map(|input| input.partition).collect()
}

/// By partition number: the offset of each topic, and which commit it was.
fn listed(processed: &[Processed]) -> String {
    let mut by_partition: BTreeMap<i32, (Vec<i64>, &str)> = BTreeMap::new();
    for Processed { input, offset, metadata } in processed {
        let row = by_partition.entry(input.partition).or_default();
        row.0.push(*offset);
        row.1 = metadata.split("\"n\":").nth(1).map_or("", |n| n.split(',').next().unwrap_or(n));
    }
    let rows = by_partition.iter().map(|(p, (offsets, n))| format!("{p}: {offsets:?} as {n}"));
    rows.collect::<Vec<_>>().join("; ")
}
