//! Writes events to the input topics, for `generate` and `demo`.
//!
//! Idempotent, in the background, and with Java's partitioner, so that a key lands in the partition
//! where any other producer would put it.

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, NoCustomPartitioner, Producer};

use super::client::{SinkContext, printable_key};
use super::config::KafkaSettings;
use super::error::describe;
use crate::engine::time::EventTime;

/// Records between two looks at what the broker has acknowledged.
const RECORDS_PER_POLL: u32 = 1_000;

/// A buffered writer of events.
pub struct EventWriter {
    producer: BaseProducer<SinkContext, NoCustomPartitioner>,
    since_poll: u32,
}

/// Why events could not be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WriteError(String);

impl EventWriter {
    /// A writer to the cluster the settings name.
    ///
    /// # Errors
    /// When the client library refuses a setting.
    pub fn connect(settings: &KafkaSettings) -> Result<EventWriter, WriteError> {
        let producer =
            settings.writer_config().create_with_context(SinkContext::default()).map_err(
                |error| WriteError(format!("making a Kafka producer: {}", describe(&error))),
            )?;
        Ok(EventWriter { producer, since_poll: 0 })
    }

    /// Hands one event over; it is sent in the background. Waits while the buffer is full.
    ///
    /// # Errors
    /// When an earlier event could not be written, or this one never can be.
    pub fn write(
        &mut self,
        topic: &str,
        key: &[u8],
        value: Option<&[u8]>,
        timestamp: EventTime,
    ) -> Result<(), WriteError> {
        let mut record =
            BaseRecord::<[u8], [u8]>::to(topic).key(key).timestamp(timestamp.as_millis());
        record.payload = value;
        self.send(record)
    }

    /// The same into a partition of choice, wherever the key belongs.
    ///
    /// # Errors
    /// As [`EventWriter::write`].
    pub fn write_to(
        &mut self,
        topic: &str,
        partition: i32,
        key: &[u8],
        value: &[u8],
        timestamp: EventTime,
    ) -> Result<(), WriteError> {
        let record = BaseRecord::<[u8], [u8]>::to(topic).partition(partition);
        self.send(record.key(key).payload(value).timestamp(timestamp.as_millis()))
    }

    fn send(&mut self, mut record: BaseRecord<'_, [u8], [u8]>) -> Result<(), WriteError> {
        let (topic, key) = (record.topic, record.key);
        loop {
            match self.producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    self.producer.poll(Duration::from_millis(10));
                }
                Err((error, _)) => {
                    return Err(WriteError(format!(
                        "writing key `{}` to topic `{topic}`: {}",
                        printable_key(key),
                        describe(&error)
                    )));
                }
            }
        }
        self.since_poll += 1;
        if self.since_poll >= RECORDS_PER_POLL {
            self.since_poll = 0;
            self.producer.poll(Duration::ZERO);
            return self.report();
        }
        Ok(())
    }

    /// Waits until everything handed over is acknowledged.
    ///
    /// # Errors
    /// When an event could not be written, or `timeout` ran out first.
    pub fn flush(&mut self, timeout: Duration) -> Result<(), WriteError> {
        let flushed = self.producer.flush(timeout);
        self.report()?;
        flushed.map_err(|_| {
            WriteError(format!(
                "{} events were not acknowledged within {} s",
                self.producer.in_flight_count(),
                timeout.as_secs()
            ))
        })
    }

    fn report(&self) -> Result<(), WriteError> {
        match self.producer.context().take_failure() {
            Some(failure) => Err(WriteError(failure.message)),
            None => Ok(()),
        }
    }
}
