//! Reads the state back: partitions of the changelog, each from its beginning to where it ended when
//! it was opened.
//!
//! A consumer of its own that belongs to no group, so that a restore neither waits for the members'
//! business nor holds it up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::client::QuietContext;
use super::config::KafkaSettings;
use super::error::{broker_error, classify, with_advice};
use super::native::{KafkaRecord, Queue, Taken, Waker};
use crate::broker::{BrokerError, ErrorClass, OutputTopic};

type Client = BaseConsumer<QuietContext>;

/// A reader of the changelog.
pub(super) struct ChangelogReader {
    topic: String,
    /// By partition.
    readings: BTreeMap<i32, Reading>,
    /// Errors and logs arrive here.
    events: Option<Queue<Client>>,
    waker: Arc<Waker>,
    /// Told where a partition ends, whosever records are the last.
    asker: Client,
    client: Arc<Client>,
}

/// A partition that is being read.
struct Reading {
    queue: Queue<Client>,
    /// The offset after the last record there was when it was opened.
    end: i64,
    ended: bool,
}

impl ChangelogReader {
    /// A reader that has not reached any broker yet.
    pub(super) fn connect(settings: &KafkaSettings) -> Result<ChangelogReader, BrokerError> {
        let client = |isolation: &str| {
            let made: Result<Client, KafkaError> = settings
                .watch_config()
                .set("isolation.level", isolation)
                // The end of a partition is told by an empty answer, and everything waits for it. Nobody
                // reads on after it, so a broker that answers soon is not asked too often.
                .set("fetch.wait.max.ms", "10")
                // The library reads partitions for named groups only. It never joins this one, but
                // asks for its coordinator, for which another name would need rights of its own.
                .set("group.id", &settings.group_id)
                // Records at the beginning may be deleted between the question where it is and the first
                // fetch.
                .set("auto.offset.reset", "earliest")
                .create_with_context(QuietContext);
            made.map_err(|error| broker_error(ErrorClass::Fatal, "making a Kafka client", &error))
        };
        let waker = Arc::new(Waker::default());
        let reader = Arc::new(client("read_committed")?);
        Ok(ChangelogReader {
            topic: settings.output_topic(OutputTopic::Changelog).to_owned(),
            readings: BTreeMap::new(),
            events: Queue::of_client(&reader, &waker),
            waker,
            asker: client("read_uncommitted")?,
            client: reader,
        })
    }

    /// See [`crate::broker::Broker::changelog_open`].
    pub(super) fn open(&mut self, partition: i32, timeout: Duration) -> Result<(), BrokerError> {
        self.close(partition);
        let place = self.place(partition);
        let (first, end) =
            self.asker.fetch_watermarks(&self.topic, partition, timeout).map_err(|error| {
                let class = error.rdkafka_error_code().map_or(ErrorClass::Retriable, classify);
                broker_error(class, &format!("asking for the ends of {place}"), &error)
            })?;
        let refused = |error| broker_error(ErrorClass::Fatal, &format!("reading {place}"), &error);
        let queue = Queue::of_partition(&self.client, &self.topic, partition, &self.waker)
            .ok_or_else(|| BrokerError {
                class: ErrorClass::Fatal,
                message: format!("{place} has no queue in the client"),
            })?;
        // What an earlier reading left behind is not of this one.
        while queue.waiting() > 0 {
            queue.take(queue.waiting(), drop);
        }
        let mut assignment = TopicPartitionList::new();
        // By its number: a client that is only just connecting asks for the beginning half a second later.
        assignment
            .add_partition_offset(&self.topic, partition, Offset::Offset(first))
            .and_then(|()| self.client.incremental_assign(&assignment))
            .map_err(refused)?;
        self.readings.insert(partition, Reading { queue, end, ended: end == 0 });
        Ok(())
    }

    /// See [`crate::broker::Broker::changelog_read`].
    pub(super) fn read(
        &mut self,
        partition: i32,
        max: usize,
        timeout: Duration,
        into: &mut Vec<KafkaRecord>,
    ) -> Result<bool, BrokerError> {
        let Some(reading) = self.readings.get_mut(&partition) else { return Ok(true) };
        self.waker.clear();
        if reading.queue.waiting() == 0 && !reading.ended {
            self.waker.wait(timeout);
        }
        let (end, mut ended, mut failure) = (reading.end, reading.ended, None);
        reading.queue.take(max, |taken| match taken {
            Taken::Record(record) => into.push(record),
            // An open transaction holds the end back; then there will be another one.
            Taken::End(offset) => ended |= offset >= end,
            Taken::Failed { code, reason, .. } => failure = Some((code, reason)),
        });
        reading.ended = ended;
        let ended = ended && reading.queue.waiting() == 0;
        while self.events.as_ref().is_some_and(|events| events.waiting() > 0) {
            drop(self.client.poll(Duration::ZERO));
        }
        match failure {
            None => Ok(ended),
            Some((code, reason)) if classify(code) == ErrorClass::Retriable => {
                tracing::warn!(place = self.place(partition), reason, "the client tries again");
                Ok(false)
            }
            Some((code, reason)) => Err(BrokerError {
                class: classify(code),
                message: format!("{}: {}", self.place(partition), with_advice(&reason, code)),
            }),
        }
    }

    /// See [`crate::broker::Broker::changelog_close`]. Returns whether no partition is open any more.
    pub(super) fn close(&mut self, partition: i32) -> bool {
        if self.readings.remove(&partition).is_some() {
            let mut closed = TopicPartitionList::new();
            closed.add_partition(&self.topic, partition);
            if let Err(error) = self.client.incremental_unassign(&closed) {
                // It goes on filling a queue that nobody reads, up to its limit.
                tracing::warn!(place = self.place(partition), %error, "the changelog stays open");
            }
        }
        self.readings.is_empty()
    }

    fn place(&self, partition: i32) -> String {
        format!("topic `{}`, partition {partition}", self.topic)
    }
}
