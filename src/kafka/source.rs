//! The consuming half: one group member whose rebalances wait for an answer, and one queue for each
//! input it holds.
//!
//! Two things the library would do by itself are done here instead. It would give partitions back
//! as soon as the group asks for them; the worker must commit first. And it would mix all records
//! in one queue; a task merges its topics by time and must be able to leave one of them waiting.
//!
//! The next offset of every input is kept here, not in the library: its own count is one too far
//! after an end of partition was taken in a batch, and it resumes from there when a rebalance has
//! paused a partition that stays.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{GroupContext, QuietContext, Rebalance};
use super::config::KafkaSettings;
use super::ends::EndOffsetWatch;
use super::error::{
    broker_error, classify, classify_offset_commit, describe, describe_code, with_advice,
};
use super::native::{self, KafkaRecord, Queue, Taken, Waker, rows};
use crate::broker::{
    BrokerError, Change, Committed, EndOffsets, ErrorClass, Fetched, Input, InputRecord, Processed,
};
use crate::clock::Clock;
use crate::engine::event::Source;

pub(super) type Member = BaseConsumer<GroupContext>;

/// The most entries of the group's queue served in one go: enough for any burst of errors, few
/// enough that a flood of them cannot hold the worker.
const SERVED_MAX: usize = 1_000;
/// Errors kept for `poll` to report; older ones make room.
const ERRORS_MAX: usize = 16;
/// How long the library may take to move a fetch position. It does so in memory.
const SEEK_TIMEOUT: Duration = Duration::from_secs(5);

/// One member of the group.
pub(super) struct GroupSource {
    /// What the library fetches: accepted, and not taken away since.
    held: BTreeMap<Input, Held>,
    /// Taken away, and not yet released.
    revoked: BTreeSet<Input>,
    /// Taken away and released, while others of the same revocation are not.
    leaving: Vec<Input>,
    topics: BTreeMap<Source, String>,
    errors: VecDeque<BrokerError>,
    /// The member cannot be used any more, and a new one may take its place.
    spent: bool,
    settings: KafkaSettings,
    worker: usize,
    group: String,
    ends: EndOffsetWatch,
    /// Asks after first and last offsets. The member's own connection has a fetch under way, and what
    /// is asked there is answered when that has waited for records in vain.
    asker: Option<BaseConsumer<QuietContext>>,
    waker: Arc<Waker>,
    /// Rebalances and errors arrive here.
    events: Queue<Member>,
    member: Arc<Member>,
}

struct Held {
    queue: Queue<Member>,
    /// The next offset to hand out.
    position: i64,
    /// Released though nobody took it away: nothing of it is handed out until it is accepted again.
    released: bool,
    /// Fetching was started anew at `position` while older records may still have been waiting:
    /// what lies below it has been handed out already.
    restarted: bool,
    /// `poll` has returned because of what waits here, and nobody has fetched since: no reason to
    /// return again.
    announced: bool,
}

impl GroupSource {
    /// Joins the group; the first assignment comes out of `poll`.
    pub(super) fn join(
        settings: &KafkaSettings,
        worker: usize,
        clock: Clock,
    ) -> Result<GroupSource, BrokerError> {
        let waker = Arc::new(Waker::default());
        let (member, events) = subscribe(settings, worker, &waker)?;
        Ok(GroupSource {
            held: BTreeMap::new(),
            revoked: BTreeSet::new(),
            leaving: Vec::new(),
            topics: settings.input_topics.clone(),
            errors: VecDeque::new(),
            spent: false,
            settings: settings.clone(),
            worker,
            group: settings.group_id.clone(),
            ends: EndOffsetWatch::start(settings, clock, &waker)?,
            asker: None,
            waker,
            events,
            member,
        })
    }

    /// The member, for its group metadata.
    pub(super) fn member(&self) -> &Member {
        &self.member
    }

    /// See [`crate::broker::Broker::poll`].
    pub(super) fn poll(&mut self, timeout: Duration) -> Result<Vec<Change>, BrokerError> {
        // Before looking: a signal that comes after the look must end the sleep.
        self.waker.clear();
        let mut changes = self.serve_group()?;
        if changes.is_empty() && self.errors.is_empty() && !self.announce() {
            self.waker.wait(timeout);
            changes = self.serve_group()?;
            self.announce();
        }
        // An error must not swallow a change that came with it: it waits for the next call.
        match self.errors.pop_front() {
            Some(error) if changes.is_empty() => Err(error),
            Some(error) => {
                self.errors.push_front(error);
                Ok(changes)
            }
            None => Ok(changes),
        }
    }

    /// See [`crate::broker::Broker::committed`].
    pub(super) fn committed(
        &self,
        inputs: &[Input],
        timeout: Duration,
    ) -> Result<Vec<Option<Committed>>, BrokerError> {
        if inputs.is_empty() {
            return Ok(Vec::new());
        }
        let tried = || format!("reading the offsets committed by group `{}`", self.group);
        let question = self.list(inputs.iter().map(|input| (*input, Offset::Invalid)));
        let answer = self.member.committed_offsets(question, timeout).map_err(|error| {
            broker_error(
                error.rdkafka_error_code().map_or(ErrorClass::Retriable, classify),
                &tried(),
                &error,
            )
        })?;
        let mut found = BTreeMap::new();
        for row in rows(&answer) {
            if let Some(code) = row.error {
                let error = KafkaError::OffsetFetch(code);
                let tried = format!("{}, `{}` partition {}", tried(), row.topic, row.partition);
                return Err(broker_error(classify(code), &tried, &error));
            }
            if row.offset >= 0 {
                let committed = Committed { offset: row.offset, metadata: row.metadata };
                found.insert((row.topic, row.partition), committed);
            }
        }
        Ok(inputs
            .iter()
            .map(|input| found.remove(&(self.topic(*input).to_owned(), input.partition)))
            .collect())
    }

    /// See [`crate::broker::Broker::watermarks`].
    pub(super) fn watermarks(
        &mut self,
        input: Input,
        timeout: Duration,
    ) -> Result<(i64, i64), BrokerError> {
        let asker =
            match self.asker.take() {
                Some(asker) => asker,
                None => self.settings.watch_config().create_with_context(QuietContext).map_err(
                    |error| broker_error(ErrorClass::Fatal, "making a Kafka client", &error),
                )?,
            };
        let answer = asker.fetch_watermarks(self.topic(input), input.partition, timeout);
        // After an error another one is made: this one may hold on to a leader that has moved.
        self.asker = answer.is_ok().then_some(asker);
        answer.map_err(|error| {
            let class = error.rdkafka_error_code().map_or(ErrorClass::Retriable, classify);
            let tried = format!("asking for the first and last offset of {}", self.place(input));
            broker_error(class, &tried, &error)
        })
    }

    /// No watermarks are asked for any more for now.
    pub(super) fn close_asker(&mut self) {
        self.asker = None;
    }

    /// See [`crate::broker::Broker::accept`].
    pub(super) fn accept(&mut self, start: &[(Input, i64)]) -> Result<(), BrokerError> {
        let (again, new): (Vec<_>, Vec<_>) =
            start.iter().copied().partition(|(input, _)| self.held.contains_key(input));
        for (input, position) in new.iter().copied() {
            let topic = self.topic(input);
            let queue = Queue::of_partition(&self.member, topic, input.partition, &self.waker)
                .ok_or_else(|| BrokerError {
                    class: ErrorClass::Fatal,
                    message: format!("{} has no queue in the client", self.place(input)),
                })?;
            // What an earlier stay left behind is not of this one.
            while queue.waiting() > 0 {
                queue.take(SERVED_MAX, drop);
            }
            let held =
                Held { queue, position, released: false, restarted: false, announced: false };
            self.held.insert(input, held);
        }
        for (input, position) in &again {
            let held = self.held.get_mut(input).expect("partitioned by being held");
            held.position = *position;
            (held.released, held.restarted, held.announced) = (false, false, false);
        }
        let again: BTreeSet<Input> = again.into_iter().map(|(input, _)| input).collect();
        let new: BTreeSet<Input> = new.into_iter().map(|(input, _)| input).collect();
        let answered = self.seek(&again).and_then(|()| match new.is_empty() {
            true => Ok(()),
            false => self.answer_assignment(&new),
        });
        self.watch_ends();
        answered.map_err(|error| self.refused("accepting partitions", &error))
    }

    /// Tells the group that the new inputs are held, and fetches them.
    fn answer_assignment(&mut self, new: &BTreeSet<Input>) -> Result<(), KafkaError> {
        if self.is_cooperative() {
            self.seek(&self.held.keys().filter(|input| !new.contains(input)).copied().collect())?;
            self.member.incremental_assign(&self.positions(new))
        } else {
            // Eager members name everything at once; who is named again starts anew at the position
            // kept here.
            for (input, held) in &mut self.held {
                held.restarted |= !new.contains(input);
            }
            self.member.assign(&self.positions(&self.held.keys().copied().collect()))
        }
    }

    /// Tells the group that what it took away is no longer held.
    fn answer_revocation(&mut self) -> Result<(), KafkaError> {
        let leaving = std::mem::take(&mut self.leaving);
        if self.is_cooperative() {
            self.seek(&self.held.keys().copied().collect())?;
            self.member.incremental_unassign(
                &self.list(leaving.into_iter().map(|input| (input, Offset::Invalid))),
            )
        } else {
            self.member.unassign()
        }
    }

    /// Moves the library to the positions kept here. From the moment of the call nothing fetched
    /// before it is handed out any more.
    fn seek(&self, inputs: &BTreeSet<Input>) -> Result<(), KafkaError> {
        /// A partition that is only just starting refuses to be moved.
        const ATTEMPTS: usize = 100;
        const PAUSE: Duration = Duration::from_millis(20);
        if inputs.is_empty() {
            return Ok(());
        }
        let mut failed = None;
        for _ in 0..ATTEMPTS {
            let answer = self.member.seek_partitions(self.positions(inputs), SEEK_TIMEOUT)?;
            failed = rows(&answer).into_iter().find_map(|row| row.error);
            match failed {
                Some(RDKafkaErrorCode::State | RDKafkaErrorCode::PreviousInProgress) => {
                    std::thread::sleep(PAUSE);
                }
                Some(_) | None => break,
            }
        }
        failed.map_or(Ok(()), |code| Err(KafkaError::Seek(describe_code(code))))
    }

    /// See [`crate::broker::Broker::release`].
    ///
    /// An input that the group has not taken away stays assigned and its records wait, unread:
    /// giving it up and taking it again would leave a moment in which the library may still hand
    /// out what it fetched before.
    pub(super) fn release(&mut self, inputs: &[Input]) -> Result<(), BrokerError> {
        let mut answers = false;
        for input in inputs {
            if self.revoked.remove(input) {
                answers = true;
                if self.held.remove(input).is_some() {
                    self.leaving.push(*input);
                }
            } else if let Some(held) = self.held.get_mut(input) {
                held.released = true;
            }
        }
        self.watch_ends();
        // The group takes one answer only, so it is given when the last of them is released.
        if !answers || !self.revoked.is_empty() {
            return Ok(());
        }
        self.answer_revocation().map_err(|error| self.refused("releasing partitions", &error))
    }

    /// See [`crate::broker::Broker::fetch`].
    pub(super) fn fetch(
        &mut self,
        input: Input,
        max: usize,
        into: &mut Vec<Fetched<KafkaRecord>>,
    ) -> Result<(), BrokerError> {
        let Some(held) = self.held.get_mut(&input).filter(|held| !held.released) else {
            return Ok(());
        };
        held.announced = false;
        let (position, restarted) = (&mut held.position, held.restarted);
        // Without a restart nothing comes twice.
        let is_new = |offset: i64, position: i64| offset >= position || !restarted;
        let mut failure = None;
        held.queue.take(max, |taken| match taken {
            Taken::Record(record) => {
                if is_new(record.offset(), *position) {
                    *position = record.offset() + 1;
                    into.push(Fetched::Record(record));
                }
            }
            Taken::End(offset) => {
                if is_new(offset, *position) {
                    *position = offset;
                    into.push(Fetched::End(offset));
                }
            }
            Taken::Failed { code, offset, reason } => failure = Some((code, offset, reason)),
        });
        match failure {
            None => Ok(()),
            Some((code, offset, reason)) => self.judge_fetch(input, code, offset, &reason),
        }
    }

    /// Stops for what nobody can mend from here, and goes on over what mends itself.
    fn judge_fetch(
        &self,
        input: Input,
        code: RDKafkaErrorCode,
        offset: i64,
        reason: &str,
    ) -> Result<(), BrokerError> {
        let place = self.place(input);
        let class = classify(code);
        if class == ErrorClass::Retriable {
            tracing::warn!(%place, offset, reason, "fetching failed; the client tries again");
            return Ok(());
        }
        let gone = matches!(
            code,
            RDKafkaErrorCode::AutoOffsetReset
                | RDKafkaErrorCode::OffsetOutOfRange
                | RDKafkaErrorCode::LogTruncation
        );
        let advice = if gone {
            "; records were deleted before they were read. The next start goes on without them if \
             `kafka.offset_reset` is `earliest` or `latest`"
        } else {
            ""
        };
        let reason = with_advice(reason, code);
        Err(BrokerError { class, message: format!("{place}, offset {offset}: {reason}{advice}") })
    }

    /// See [`crate::broker::Broker::end_offsets`].
    pub(super) fn end_offsets(&self) -> Option<EndOffsets> {
        self.ends.take()
    }

    /// Commits offsets by themselves: at least once only. Waits for the broker's answer.
    pub(super) fn commit(&self, offsets: &TopicPartitionList) -> Result<(), BrokerError> {
        self.member.commit(offsets, CommitMode::Sync).map_err(|error| {
            let class =
                error.rdkafka_error_code().map_or(ErrorClass::Unclear, classify_offset_commit);
            broker_error(class, &format!("committing offsets of group `{}`", self.group), &error)
        })
    }

    /// Offsets with their metadata, as the library wants them.
    pub(super) fn offsets(&self, processed: &[Processed]) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(processed.len());
        for one in processed {
            let topic = self.topic(one.input);
            let mut row = list.add_partition(topic, one.input.partition);
            row.set_offset(Offset::Offset(one.offset)).expect("offsets are not negative");
            if !one.metadata.is_empty() {
                row.set_metadata(&one.metadata);
            }
        }
        list
    }

    /// Leaves the group, waiting at most `timeout` for its answer.
    pub(super) fn close(&mut self, timeout: Duration) {
        const STEP: Duration = Duration::from_millis(50);
        self.abandon();
        if self.member.close_queue().is_err() {
            return;
        }
        for _ in 0..=timeout.as_millis() / STEP.as_millis() {
            if self.member.closed() {
                return;
            }
            drop(self.member.poll(STEP));
        }
        tracing::warn!(group = self.group, "the group did not answer the goodbye in time");
    }

    /// Gives everything back without asking anybody.
    fn abandon(&mut self) {
        self.member.context().close();
        self.held.clear();
        self.revoked.clear();
        let answered = if self.is_cooperative() {
            self.member.assignment().and_then(|all| self.member.incremental_unassign(&all))
        } else {
            self.member.unassign()
        };
        if let Err(error) = answered {
            tracing::debug!(reason = describe(&error), "nothing to give back");
        }
    }

    /// Serves the group's queue: rebalances become changes, errors are kept for `poll`.
    fn serve_group(&mut self) -> Result<Vec<Change>, BrokerError> {
        for _ in 0..SERVED_MAX {
            if self.events.waiting() == 0 {
                break;
            }
            let stray = match self.member.poll(Duration::ZERO) {
                None => None,
                Some(Ok(record)) => Some((record.topic().to_owned(), record.partition())),
                Some(Err(KafkaError::PartitionEOF(partition))) => Some((String::new(), partition)),
                Some(Err(error)) => {
                    self.keep_error(&error);
                    None
                }
            };
            if let Some((topic, partition)) = stray {
                self.step_back(&topic, partition)?;
            }
        }
        let mut changes = Vec::new();
        while let Some(rebalance) = self.member.context().next_rebalance() {
            changes.extend(self.note(rebalance)?);
        }
        if self.spent {
            changes.extend(self.join_anew()?);
        }
        Ok(changes)
    }

    /// Puts a new member in the place of one that cannot be used any more. Whatever that held is
    /// lost; the group may well give it back.
    fn join_anew(&mut self) -> Result<Option<Change>, BrokerError> {
        tracing::warn!(group = self.group, "the session ran out; a new member joins");
        // What it was told to give back needs no answer any more.
        let lost: Vec<Input> =
            self.held.keys().filter(|input| !self.revoked.contains(input)).copied().collect();
        self.abandon();
        self.leaving.clear();
        self.errors.clear();
        let (member, events) = subscribe(&self.settings, self.worker, &self.waker)?;
        (self.member, self.events, self.spent) = (member, events, false);
        self.watch_ends();
        Ok((!lost.is_empty()).then_some(Change::Lost(lost)))
    }

    /// Takes a rebalance in; one that concerns no partition is answered here and now.
    fn note(&mut self, rebalance: Rebalance) -> Result<Option<Change>, BrokerError> {
        let known = |partitions: Vec<(String, i32)>| -> Vec<Input> {
            let mut inputs: Vec<Input> = partitions
                .into_iter()
                .filter_map(|(topic, partition)| self.input(&topic, partition))
                .collect();
            inputs.sort_unstable();
            inputs
        };
        let (change, inputs, taken) = match rebalance {
            Rebalance::Assigned(partitions) => {
                let inputs = known(partitions);
                (Change::Assigned(inputs.clone()), inputs, false)
            }
            Rebalance::Revoked(partitions) => {
                let inputs = known(partitions);
                (Change::Revoked(inputs.clone()), inputs, true)
            }
            Rebalance::Lost(partitions) => {
                let inputs = known(partitions);
                (Change::Lost(inputs.clone()), inputs, true)
            }
        };
        match (taken, inputs.is_empty()) {
            (false, true) => match self.answer_assignment(&BTreeSet::new()) {
                // Told all the same: it says that the member has joined.
                Ok(()) => Ok(Some(change)),
                Err(error) => Err(self.refused("accepting no partitions", &error)),
            },
            (true, true) => match self.answer_revocation() {
                Ok(()) => Ok(None),
                Err(error) => Err(self.refused("releasing no partitions", &error)),
            },
            (true, false) => {
                self.revoked.extend(inputs);
                Ok(Some(change))
            }
            (false, false) => Ok(Some(change)),
        }
    }

    /// Whether something waits that `poll` has not yet returned for; takes note that it has.
    fn announce(&mut self) -> bool {
        let mut news = false;
        for held in self.held.values_mut().filter(|held| !held.released) {
            if !held.announced && held.queue.waiting() > 0 {
                held.announced = true;
                news = true;
            }
        }
        news
    }

    /// A record or an end came over the group's queue, past the input's own: fetch it again, so
    /// that it arrives where it belongs. Not known to happen with queues split off in time.
    fn step_back(&self, topic: &str, partition: i32) -> Result<(), BrokerError> {
        tracing::warn!(topic, partition, "a record came past its queue and is fetched again");
        let concerned = self
            .held
            .keys()
            .filter(|input| {
                input.partition == partition && (topic.is_empty() || self.topic(**input) == topic)
            })
            .copied()
            .collect();
        self.seek(&concerned).map_err(|error| self.refused("fetching a record again", &error))
    }

    fn keep_error(&mut self, error: &KafkaError) {
        let reason = self.member.context().last_reason();
        let (code, reason) = match self.member.client().fatal_error() {
            Some((code, reason)) => (code, reason),
            None => (error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown), reason),
        };
        if code == RDKafkaErrorCode::PollExceeded {
            // The loss of every input follows as a change; this only says why.
            tracing::warn!(group = self.group, reason, "the group gave this member up");
            return;
        }
        // The library forgets the member's id when the coordinator was away for a session, and sends
        // a heartbeat without one before it joins again. To the coordinator that is somebody else
        // under a name that is taken. Fenced by a real one, a member still knows its id.
        let fenced = code == RDKafkaErrorCode::FencedInstanceId;
        if fenced && !native::has_member_id(&*self.member) {
            self.spent = true;
            return;
        }
        let fatal = matches!(error, KafkaError::MessageConsumptionFatal(_));
        let class = if fatal { ErrorClass::Fatal } else { classify(code) };
        let reason = if reason.is_empty() { describe(error) } else { with_advice(&reason, code) };
        if self.errors.len() == ERRORS_MAX {
            self.errors.pop_front();
        }
        self.errors
            .push_back(BrokerError { class, message: format!("group `{}`: {reason}", self.group) });
    }

    fn refused(&self, tried: &str, error: &KafkaError) -> BrokerError {
        broker_error(ErrorClass::Fatal, &format!("{tried} of group `{}`", self.group), error)
    }

    fn watch_ends(&self) {
        let accepted = self.held.iter().filter(|(_, held)| !held.released);
        self.ends.watch(accepted.map(|(input, _)| (*input, self.topic(*input).to_owned())));
    }

    fn is_cooperative(&self) -> bool {
        matches!(self.member.rebalance_protocol(), RebalanceProtocol::Cooperative)
    }

    /// The inputs with the positions kept here; only held ones have any.
    fn positions(&self, inputs: &BTreeSet<Input>) -> TopicPartitionList {
        let held = self.held.iter().filter(|(input, _)| inputs.contains(input));
        self.list(held.map(|(input, held)| (*input, Offset::Offset(held.position))))
    }

    fn list(&self, inputs: impl Iterator<Item = (Input, Offset)>) -> TopicPartitionList {
        inputs.map(|(i, offset)| (self.topic(i).to_owned(), i.partition, offset)).collect()
    }

    fn topic(&self, input: Input) -> &str {
        self.topics.get(&input.source).map_or(input.source.default_topic(), String::as_str)
    }

    fn input(&self, topic: &str, partition: i32) -> Option<Input> {
        let (source, _) = self.topics.iter().find(|(_, name)| *name == topic)?;
        Some(Input { source: *source, partition })
    }

    fn place(&self, input: Input) -> String {
        format!("topic `{}`, partition {}", self.topic(input), input.partition)
    }
}

/// A new member of the group and its queue of events.
fn subscribe(
    settings: &KafkaSettings,
    worker: usize,
    waker: &Arc<Waker>,
) -> Result<(Arc<Member>, Queue<Member>), BrokerError> {
    let tried = format!("joining group `{}`", settings.group_id);
    let fatal = |error: &KafkaError| broker_error(ErrorClass::Fatal, &tried, error);
    let member: Member = settings
        .member_config(worker)
        .create_with_context(GroupContext::default())
        .map_err(|error| fatal(&error))?;
    let member = Arc::new(member);
    let events = Queue::of_group(&member, waker)
        .expect("a consumer with a group has a queue for the group's events");
    let topics: Vec<&str> = settings.input_topics.values().map(String::as_str).collect();
    member.subscribe(&topics).map_err(|error| fatal(&error))?;
    Ok((member, events))
}

impl Drop for GroupSource {
    fn drop(&mut self) {
        // The library's consumer waits for its last rebalance to be answered before it goes, and
        // from here on nobody else would.
        if !self.member.closed() {
            self.abandon();
        }
    }
}
