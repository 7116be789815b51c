//! What the client library tells us by itself: logs, errors, rebalances and deliveries.
//!
//! Its callbacks run inside `poll`, on the worker's thread. They only write down what they heard;
//! deciding is left to `source` and `sink`.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, NoCustomPartitioner, Producer, ProducerContext};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Statistics, TopicPartitionList, bindings as raw};

use super::error::{describe, is_hopeless};
use super::native;
use crate::broker::ErrorClass;

/// The library's log levels and ours.
fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error => tracing::error!(target: "librdkafka", facility, "{message}"),
        RDKafkaLogLevel::Warning => tracing::warn!(target: "librdkafka", facility, "{message}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{message}"),
    }
}

/// Locks what cannot be left half written.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// For clients that nobody asks anything of but answers: logs only.
#[derive(Default)]
pub(super) struct QuietContext;

impl ClientContext for QuietContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(target: "librdkafka", %error, "{reason}");
    }

    fn stats(&self, _: Statistics) {}
}

impl ConsumerContext for QuietContext {}

/// A rebalance as the library announced it.
pub(super) enum Rebalance {
    Assigned(Vec<(String, i32)>),
    Revoked(Vec<(String, i32)>),
    Lost(Vec<(String, i32)>),
}

/// Writes down rebalances, for the worker to answer when it has committed or restored.
#[derive(Default)]
pub(super) struct GroupContext {
    rebalances: Mutex<VecDeque<Rebalance>>,
    /// The words that came with the last error; the error itself is handed out by `poll`.
    last_reason: Mutex<String>,
    /// Nobody will answer any more: rebalances are answered at once.
    closing: AtomicBool,
}

impl GroupContext {
    /// The next rebalance not yet seen.
    pub(super) fn next_rebalance(&self) -> Option<Rebalance> {
        lock(&self.rebalances).pop_front()
    }

    /// The words that came with the last error.
    pub(super) fn last_reason(&self) -> String {
        lock(&self.last_reason).clone()
    }

    /// From now on rebalances are answered at once, without telling anybody.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, _: KafkaError, reason: &str) {
        reason.clone_into(&mut lock(&self.last_reason));
    }

    fn stats(&self, _: Statistics) {}
}

impl ConsumerContext for GroupContext {
    // Replaces the library's own answer, which would take the partitions away before anything of
    // them could be committed.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        kind: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let assigned = kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::SeqCst) {
            // A rebalance that was still in the queue when the member left: the group is gone, nobody
            // takes the answer, and the call that gives it would wait for ever.
            if consumer.closed() {
                return;
            }
            if let Err(error) = answer_at_once(consumer, assigned, partitions) {
                tracing::warn!(%error, "the last rebalance before closing was not answered");
            }
            return;
        }
        let rows = native::rows(partitions);
        let inputs = rows.into_iter().map(|row| (row.topic, row.partition)).collect();
        // The library says "lost" only of what it takes away itself. A revocation that waited here
        // until the group gave the member up is no different by now.
        let lost = consumer.assignment_lost() || native::group_generation(consumer).is_none();
        lock(&self.rebalances).push_back(if assigned {
            Rebalance::Assigned(inputs)
        } else if lost {
            Rebalance::Lost(inputs)
        } else {
            Rebalance::Revoked(inputs)
        });
    }
}

/// Takes nothing and gives everything back.
fn answer_at_once(
    consumer: &BaseConsumer<GroupContext>,
    assigned: bool,
    partitions: &TopicPartitionList,
) -> Result<(), KafkaError> {
    match (consumer.rebalance_protocol(), assigned) {
        (RebalanceProtocol::Cooperative, true) => {
            consumer.incremental_assign(&TopicPartitionList::new())
        }
        (RebalanceProtocol::Cooperative, false) => consumer.incremental_unassign(partitions),
        (RebalanceProtocol::Eager | RebalanceProtocol::None, _) => consumer.unassign(),
    }
}

/// Counts on every record to be acknowledged, and keeps the first failure.
#[derive(Default)]
pub(super) struct SinkContext {
    first_failure: Mutex<Option<DeliveryFailure>>,
    failed: AtomicBool,
}

/// A record that was handed over and not written.
pub(super) struct DeliveryFailure {
    /// Thrown away by the client because of something else that went wrong before.
    pub(super) purged: bool,
    /// `Fatal` where sending it again cannot help, as without the right to; else `Abortable`.
    pub(super) class: ErrorClass,
    /// Which record it was, and why.
    pub(super) message: String,
}

impl SinkContext {
    /// The first delivery that failed since the last call.
    pub(super) fn take_failure(&self) -> Option<DeliveryFailure> {
        if !self.failed.swap(false, Ordering::SeqCst) {
            return None;
        }
        lock(&self.first_failure).take()
    }
}

impl ClientContext for SinkContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(target: "librdkafka", %error, "{reason}");
    }

    fn stats(&self, _: Statistics) {}
}

impl ProducerContext for SinkContext {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let Err((error, record)) = result else { return };
        let mut first = lock(&self.first_failure);
        if first.is_none() {
            let size = record.payload().map_or(0, <[u8]>::len);
            let purged = matches!(
                error.rdkafka_error_code(),
                Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight)
            );
            let class = match error.rdkafka_error_code() {
                Some(code) if is_hopeless(code) => ErrorClass::Fatal,
                Some(_) | None => ErrorClass::Abortable,
            };
            let message = format!(
                "record with key `{}` ({size} bytes) for topic `{}` was not written: {}",
                printable_key(record.key()),
                record.topic(),
                describe(error)
            );
            *first = Some(DeliveryFailure { purged, class, message });
        }
        self.failed.store(true, Ordering::SeqCst);
    }
}

/// A key for a message: text where it is text, and never long.
pub(super) fn printable_key(key: Option<&[u8]>) -> String {
    const KEY_CHARS_MAX: usize = 64;
    let text = String::from_utf8_lossy(key.unwrap_or_default());
    text.chars().take(KEY_CHARS_MAX).flat_map(char::escape_default).collect()
}

impl native::Client for BaseConsumer<GroupContext> {
    fn native(&self) -> *mut raw::rd_kafka_t {
        self.client().native_ptr()
    }
}

impl native::Client for BaseConsumer<QuietContext> {
    fn native(&self) -> *mut raw::rd_kafka_t {
        self.client().native_ptr()
    }
}

impl native::Client for BaseProducer<SinkContext, NoCustomPartitioner> {
    fn native(&self) -> *mut raw::rd_kafka_t {
        self.client().native_ptr()
    }
}
