//! The producing half: one producer, whose transactions carry output and offsets together.
//!
//! Under at-least-once the same calls mean: wait until everything sent is acknowledged, then let
//! the offsets be committed.
//!
//! A producer whose last call ended unclear, or that was fenced, is never used again: the next call
//! makes a new one with the same transactional id, and registering it ends whatever the old one
//! left open. Until then committed offsets cannot be read, because the broker holds them back
//! behind the open transaction.
//!
//! Calls of the library that wait for brokers run on a thread of their own, since one of them may
//! never come back (librdkafka issue 5456: adding offsets while the group's coordinator is down).
//! Such a call is left behind with its producer, and counts as unclear.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, NoCustomPartitioner, Producer, PurgeConfig};

use super::client::{DeliveryFailure, SinkContext, printable_key};
use super::config::{Delivery, KafkaSettings};
use super::error::{Step, Verdict, broker_error, classify, classify_step, describe};
use super::native::{self, Queue, Waker};
use super::source::Member;
use crate::broker::{BrokerError, ErrorClass, OutputRecord};
use crate::clock;

type Native = BaseProducer<SinkContext, NoCustomPartitioner>;

/// The longest sleep while waiting for acknowledgements: they end it early, this is for the case
/// that none comes.
const NAP: Duration = Duration::from_millis(100);

/// How much longer than its time-out a call may take before it is left behind. It counts in steps of
/// its own and wakes up late on a busy machine.
const OVERTIME: Duration = Duration::from_secs(2);

/// One producer and its transaction.
pub(super) struct Sink {
    settings: KafkaSettings,
    worker: usize,
    /// `None` before the first use and after a call that leaves the old one unusable.
    producer: Option<Live>,
    waker: Arc<Waker>,
    /// Between `begin` and the end of the transaction.
    open: bool,
    /// A record of this producer was not written.
    tainted: bool,
}

struct Live {
    /// Deliveries, errors and logs arrive here.
    events: Queue<Native>,
    native: Arc<Native>,
}

impl Sink {
    /// A sink that reaches for the broker at its first use.
    pub(super) fn new(settings: &KafkaSettings, worker: usize) -> Sink {
        Sink {
            settings: settings.clone(),
            worker,
            producer: None,
            waker: Arc::default(),
            open: false,
            tainted: false,
        }
    }

    /// Makes a producer where none stands, ending what an earlier one of the same name left open.
    pub(super) fn settle(&mut self, timeout: Duration) -> Result<(), BrokerError> {
        if self.producer.is_some() {
            return Ok(());
        }
        self.open = false;
        let native: Native = self
            .settings
            .sink_config(self.worker)
            .create_with_context(SinkContext::default())
            .map_err(|error| broker_error(ErrorClass::Fatal, "making a Kafka producer", &error))?;
        let native = Arc::new(native);
        let events = Queue::of_client(&native, &self.waker)
            .expect("every client of the library has a queue of its own");
        let live = Live { events, native };
        if self.is_transactional() {
            let registered =
                live.call(&self.waker, timeout, move |native| native.init_transactions(timeout));
            registered
                .unwrap_or_else(|Hanging| Err(timed_out()))
                .map_err(|error| self.failed(Step::Init, &error))?;
        }
        self.producer = Some(live);
        Ok(())
    }

    /// Opens a transaction.
    pub(super) fn begin(&mut self) -> Result<(), BrokerError> {
        // One that was left open, say after being fenced, would refuse to be begun again.
        self.abort()?;
        let live = self.live()?;
        // What failed before this transaction was answered for when it failed.
        drop(live.native.context().take_failure());
        if self.is_transactional() {
            let begun = live.native.begin_transaction();
            begun.map_err(|error| self.give_up(Step::Begin, &error))?;
        }
        self.open = true;
        Ok(())
    }

    /// Hands one record to the client, which sends it in the background.
    pub(super) fn send(&mut self, record: &OutputRecord) -> Result<(), BrokerError> {
        let topic = self.settings.output_topic(record.topic);
        let live = self.live()?;
        let key = record.key.as_deref();
        let mut row = BaseRecord::<[u8], [u8]>::to(topic);
        row.key = key;
        row.payload = record.value.as_deref();
        row.partition = record.partition;
        row.timestamp = record.timestamp.map(|time| time.as_millis());
        row.headers = headers(&record.headers);
        loop {
            match live.native.send(row) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    // Every record in the queue is sent or given up within the transaction's
                    // time-out, so room comes.
                    row = back;
                    live.serve(&self.waker, NAP);
                }
                Err((error, _)) => {
                    let bytes = record.key.as_ref().map_or(0, Vec::len)
                        + record.value.as_ref().map_or(0, Vec::len);
                    let key = printable_key(key);
                    let tried = format!("writing key `{key}` ({bytes} bytes) to topic `{topic}`");
                    return Err(broker_error(send_class(&error), &tried, &error));
                }
            }
        }
    }

    /// Waits until every record sent is acknowledged. A record that was not spoils the transaction.
    pub(super) fn drain(&mut self) -> Result<(), BrokerError> {
        let live = self.live()?;
        // Ends by itself: the client gives a record up when its time (`message.timeout.ms`) is out.
        // Its own `flush`, which a commit would call, polls in steps of 100 ms.
        while live.native.in_flight_count() > 0 {
            live.serve(&self.waker, NAP);
        }
        match live.native.context().take_failure() {
            None => Ok(()),
            Some(failure) => Err(self.spoilt(failure)),
        }
    }

    /// A record was not written. The client throws the others away with it, so the first one heard
    /// of may not be the one at fault.
    fn spoilt(&mut self, failure: DeliveryFailure) -> BrokerError {
        self.tainted = true;
        // The cause is known to the transaction, and any call that does not fit its state says it:
        // a transaction that is open cannot be begun.
        let cause = self.live().ok().filter(|_| self.is_transactional()).and_then(|live| {
            live.native.begin_transaction().err().filter(|error| match error {
                KafkaError::Transaction(error) => error.txn_requires_abort() || error.is_fatal(),
                _ => false,
            })
        });
        match cause {
            Some(cause) => {
                let mut failed = self.give_up(Step::Records, &cause);
                if !failure.purged && failed.class == ErrorClass::Abortable {
                    (failed.class, failed.message) = (failure.class, failure.message);
                }
                failed
            }
            None => BrokerError { class: failure.class, message: failure.message },
        }
    }

    /// Adds the offsets of `member`'s group to what was sent, all of which has been acknowledged.
    pub(super) fn add_offsets(
        &mut self,
        offsets: &TopicPartitionList,
        member: &Member,
    ) -> Result<(), BrokerError> {
        if offsets.count() == 0 {
            return Ok(());
        }
        let timeout = self.settings.transaction_timeout;
        // Asked for at the last moment: it names the generation of the group, by which the
        // broker refuses a member whose partitions have moved on. A member that has dropped out
        // has none, and the broker would take its offsets as anybody's.
        let generation = native::group_generation(member);
        let group = member.group_metadata();
        let (Some(_), Some(group), false) =
            (generation, group, generation != native::group_generation(member))
        else {
            return Err(BrokerError {
                class: ErrorClass::Fenced,
                message: format!(
                    "producer `{}`: the consumer is no longer a member of its group, so its \
                     offsets were not committed",
                    self.settings.transactional_id(self.worker)
                ),
            });
        };
        let offsets = offsets.clone();
        let sent = self.live()?.call(&self.waker, timeout, move |native| {
            native.send_offsets_to_transaction(&offsets, &group, timeout)
        });
        self.ended(Step::Offsets, sent)
    }

    /// Commits what was sent and the offsets that were added.
    pub(super) fn commit(&mut self) -> Result<(), BrokerError> {
        let timeout = self.settings.transaction_timeout;
        let committed = self
            .live()?
            .call(&self.waker, timeout, move |native| native.commit_transaction(timeout));
        self.ended(Step::Commit, committed)?;
        self.open = false;
        Ok(())
    }

    /// What has become of a step.
    fn ended(
        &mut self,
        step: Step,
        outcome: Result<Result<(), KafkaError>, Hanging>,
    ) -> Result<(), BrokerError> {
        match outcome {
            Ok(outcome) => outcome.map_err(|error| self.give_up(step, &error)),
            Err(Hanging) => {
                let mut failed = self.give_up(step, &timed_out());
                failed
                    .message
                    .push_str("; the call did not come back, and a new producer takes over");
                // Whatever it still does: nobody hears of it.
                failed.class = ErrorClass::Unclear;
                self.reset();
                Err(failed)
            }
        }
    }

    /// Takes back what was sent since `begin`.
    pub(super) fn abort(&mut self) -> Result<(), BrokerError> {
        let timeout = self.settings.transaction_timeout;
        let Some(live) = &self.producer else { return self.settle(timeout) };
        if !self.open {
            return Ok(());
        }
        self.open = false;
        if !self.is_transactional() {
            live.native.purge(PurgeConfig::default().queue().inflight());
            while live.native.in_flight_count() > 0 {
                live.serve(&self.waker, NAP);
            }
            drop(live.native.context().take_failure());
            return Ok(());
        }
        if self.tainted {
            // After a record was refused by the broker the client counts its sequence numbers
            // wrong: the next transaction would fail too.
            self.reset();
            return self.settle(timeout);
        }
        let aborted = live.abort(&self.waker, timeout);
        if let Err(error) = aborted {
            tracing::warn!(
                producer = self.settings.transactional_id(self.worker),
                reason = describe(&error),
                "aborting failed; a new producer takes over"
            );
            self.reset();
            return self.settle(timeout);
        }
        Ok(())
    }

    /// Destroys the producer. The next call makes a new one with the same transactional id.
    pub(super) fn reset(&mut self) {
        self.producer = None;
        self.open = false;
        self.tainted = false;
    }

    /// Takes in what the client has to say, without waiting.
    pub(super) fn serve(&self) {
        if let Some(live) = &self.producer {
            live.serve(&self.waker, Duration::ZERO);
        }
    }

    /// Ends an open transaction and lets go of the producer.
    pub(super) fn close(&mut self, timeout: Duration) {
        if let Some(live) = self.producer.as_ref().filter(|_| self.open && self.is_transactional())
            && let Err(error) = live.abort(&self.waker, timeout)
        {
            tracing::warn!(reason = describe(&error), "the last transaction was left to time out");
        }
        self.reset();
    }

    /// An error of a step, after which the producer may be of no more use.
    fn give_up(&mut self, step: Step, error: &KafkaError) -> BrokerError {
        let failed = self.failed(step, error);
        let dead = self.producer.as_ref().is_none_or(|l| l.native.client().fatal_error().is_some());
        match failed.class {
            ErrorClass::Fenced | ErrorClass::Unclear => self.reset(),
            ErrorClass::Abortable if dead || step == Step::Begin => self.reset(),
            ErrorClass::Abortable | ErrorClass::Retriable | ErrorClass::Fatal => {}
        }
        failed
    }

    fn failed(&self, step: Step, error: &KafkaError) -> BrokerError {
        let name = self.settings.transactional_id(self.worker);
        let (code, verdict) = match error {
            KafkaError::Transaction(error) => (
                error.code(),
                Verdict { fatal: error.is_fatal(), must_abort: error.txn_requires_abort() },
            ),
            other => (
                other.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown),
                Verdict::default(),
            ),
        };
        let class = classify_step(step, code, verdict);
        let tried = match step {
            Step::Init => "registering",
            Step::Begin => "beginning a transaction",
            Step::Records => "writing the records of the transaction",
            Step::Offsets => "adding the consumed offsets to the transaction",
            Step::Commit => "committing the transaction",
        };
        let mut failed = broker_error(class, &format!("producer `{name}`: {tried}"), error);
        if class == ErrorClass::Fenced {
            failed.message.push_str("; another instance took over its partitions");
        }
        failed
    }

    fn live(&self) -> Result<&Live, BrokerError> {
        self.producer.as_ref().ok_or_else(|| BrokerError {
            class: ErrorClass::Abortable,
            message: format!(
                "producer `{}` was given up and has not been replaced yet",
                self.settings.transactional_id(self.worker)
            ),
        })
    }

    fn is_transactional(&self) -> bool {
        match self.settings.delivery {
            Delivery::ExactlyOnce => true,
            Delivery::AtLeastOnce => false,
        }
    }
}

impl Live {
    /// Takes in what waits; when nothing does, sleeps up to `nap` for it first.
    fn serve(&self, waker: &Waker, nap: Duration) {
        waker.clear();
        if self.events.waiting() == 0 && !nap.is_zero() {
            waker.wait(nap);
        }
        // The client's own `poll` with a time-out spins through its last millisecond; asked for
        // what waits, it returns after one event.
        for _ in 0..self.events.waiting() {
            self.native.poll(Duration::ZERO);
        }
    }

    /// Aborts the transaction. The library throws away what it has not sent, waits for what it has,
    /// and meanwhile wants its deliveries taken in.
    fn abort(&self, waker: &Waker, timeout: Duration) -> Result<(), KafkaError> {
        let aborted = self.call(waker, timeout, move |native| native.abort_transaction(timeout));
        drop(self.native.context().take_failure());
        aborted.unwrap_or_else(|Hanging| Err(timed_out()))
    }

    /// A call that waits for brokers, on a thread of its own, with deliveries taken in meanwhile. The
    /// thread keeps the client alive for as long as the call takes.
    fn call(
        &self,
        waker: &Waker,
        timeout: Duration,
        call: impl FnOnce(&Native) -> Result<(), KafkaError> + Send + 'static,
    ) -> Result<Result<(), KafkaError>, Hanging> {
        let native = Arc::clone(&self.native);
        watched(timeout + OVERTIME, || self.serve(waker, Duration::ZERO), move || call(&native))
    }
}

/// A call has not come back in its time.
#[derive(Debug, PartialEq, Eq)]
struct Hanging;

/// Runs a call on a thread of its own and waits for it, doing `meanwhile` every few milliseconds. One
/// that takes longer than `patience` is left behind.
fn watched<T: Send + 'static>(
    patience: Duration,
    mut meanwhile: impl FnMut(),
    call: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Hanging> {
    const NAP: Duration = Duration::from_millis(5);
    let (tell, told) = mpsc::channel();
    thread::Builder::new()
        .name("transaction".to_owned())
        .spawn(move || {
            // Nobody listens any more when it was left behind.
            drop(tell.send(call()));
        })
        .expect("a system that can start no thread can commit nothing");
    let deadline = clock::monotonic() + patience;
    loop {
        let left = deadline.saturating_duration_since(clock::monotonic());
        match told.recv_timeout(left.min(NAP)) {
            Ok(outcome) => return Ok(outcome),
            Err(RecvTimeoutError::Timeout) if left.is_zero() => return Err(Hanging),
            Err(RecvTimeoutError::Timeout) => meanwhile(),
            Err(RecvTimeoutError::Disconnected) => panic!("a call of the client library panicked"),
        }
    }
}

/// What a call that does not come back should have said.
fn timed_out() -> KafkaError {
    KafkaError::Global(RDKafkaErrorCode::OperationTimedOut)
}

/// A failure to hand a record over. The record itself is at fault, or the producer has died.
fn send_class(error: &KafkaError) -> ErrorClass {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced) => ErrorClass::Fenced,
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
            ErrorClass::Fatal
        }
        Some(RDKafkaErrorCode::MessageSizeTooLarge) | None => ErrorClass::Abortable,
        Some(code) => match classify(code) {
            ErrorClass::Fatal if code == RDKafkaErrorCode::Fatal => ErrorClass::Abortable,
            ErrorClass::Fatal => ErrorClass::Fatal,
            _ => ErrorClass::Abortable,
        },
    }
}

fn headers(headers: &[(String, Option<Vec<u8>>)]) -> Option<OwnedHeaders> {
    if headers.is_empty() {
        return None;
    }
    let list = OwnedHeaders::new_with_capacity(headers.len());
    Some(
        headers
            .iter()
            .fold(list, |list, (key, value)| list.insert(Header { key, value: value.as_ref() })),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_does_not_come_back_is_left_behind() {
        let (let_go, held) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let outcome = watched(
            Duration::from_millis(20),
            || {},
            move || {
                held.recv().ok();
                tell.send("it came back after all").ok();
            },
        );
        assert_eq!(outcome, Err(Hanging));
        drop(let_go);
        assert_eq!(told.recv(), Ok("it came back after all"), "and harms nobody");
    }

    #[test]
    fn a_call_that_comes_back_says_what_it_found_and_others_are_served_meanwhile() {
        let (serve, served) = mpsc::channel::<()>();
        let outcome = watched(
            Duration::from_secs(3_600),
            || serve.send(()).unwrap_or_default(),
            move || served.recv().map(|()| 7),
        );
        assert_eq!(outcome, Ok(Ok(7)));
    }
}
