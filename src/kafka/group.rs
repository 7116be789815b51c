//! How far the group has come with a topic, asked from outside: for commands that wait for it.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::admin::TIMEOUT;
use super::client::QuietContext;
use super::config::KafkaSettings;
use super::error::broker_error;
use super::native::describe::errors_heard;
use crate::broker::{BrokerError, ErrorClass};

/// Asks after one topic and what the group has committed of it; joins nothing.
pub struct GroupProgress {
    consumer: BaseConsumer<QuietContext>,
    topic: String,
    partitions: i32,
}

impl GroupProgress {
    /// For the first `partitions` partitions of `topic`.
    ///
    /// # Errors
    /// `Fatal` when the client library refuses a setting.
    pub fn of(
        settings: &KafkaSettings,
        topic: &str,
        partitions: i32,
    ) -> Result<GroupProgress, BrokerError> {
        let made = settings
            .watch_config()
            .set("group.id", &settings.group_id)
            .create_with_context(QuietContext);
        let consumer =
            made.map_err(|error| broker_error(ErrorClass::Fatal, "making a Kafka client", &error))?;
        Ok(GroupProgress { consumer, topic: topic.to_owned(), partitions })
    }

    /// By partition, the offset after the last record there is.
    ///
    /// # Errors
    /// When no broker answers in time.
    pub fn ends(&self) -> Result<Vec<i64>, BrokerError> {
        let end = |partition| {
            let answer = self.consumer.fetch_watermarks(&self.topic, partition, TIMEOUT);
            answer.map(|(_, high)| high).map_err(|error| self.failed("where it ends", &error))
        };
        (0..self.partitions).map(end).collect()
    }

    /// By partition, the next offset the group takes; 0 where it has committed none.
    ///
    /// # Errors
    /// When no broker answers in time.
    pub fn committed(&self) -> Result<Vec<i64>, BrokerError> {
        let mut question = TopicPartitionList::new();
        question.add_partition_range(&self.topic, 0, self.partitions - 1);
        let answer = self
            .consumer
            .committed_offsets(question, TIMEOUT)
            .map_err(|error| self.failed("how far the group is", &error))?;
        let offset = |partition| match answer.find_partition(&self.topic, partition)?.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        Ok((0..self.partitions).map(|partition| offset(partition).unwrap_or(0)).collect())
    }

    /// Whether the group's coordinator answers in time, with the broker's word where it refuses to.
    pub(super) fn answers(&self, timeout: Duration) -> Result<(), RDKafkaErrorCode> {
        let mut question = TopicPartitionList::new();
        question.add_partition(&self.topic, 0);
        let answer = self.consumer.committed_offsets(question, timeout);
        // Who may not even ask who coordinates the group waits in vain, and is told beside it.
        let refused = |(code, _): &(RDKafkaErrorCode, String)| {
            *code == RDKafkaErrorCode::GroupAuthorizationFailed
        };
        if answer.is_err() && errors_heard(self.consumer.client()).iter().any(refused) {
            return Err(RDKafkaErrorCode::GroupAuthorizationFailed);
        }
        answer
            .map(drop)
            .map_err(|error| error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown))
    }

    fn failed(&self, what: &str, error: &KafkaError) -> BrokerError {
        let tried = format!("asking topic `{}` {what}", self.topic);
        broker_error(ErrorClass::Retriable, &tried, error)
    }
}
