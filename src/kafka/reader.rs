//! Reads one topic from its beginning, as anybody downstream would: for the demo's output.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Message, Offset, TopicPartitionList};

use super::client::QuietContext;
use super::config::KafkaSettings;
use super::error::broker_error;
use crate::broker::{BrokerError, ErrorClass};

/// A reader of committed records that belongs to no group.
pub struct TopicReader {
    consumer: BaseConsumer<QuietContext>,
}

impl TopicReader {
    /// A reader of the first `partitions` partitions of `topic`, from the beginning.
    ///
    /// # Errors
    /// `Fatal` when the client library refuses a setting.
    pub fn open(
        settings: &KafkaSettings,
        topic: &str,
        partitions: i32,
    ) -> Result<TopicReader, BrokerError> {
        let failed = |error| broker_error(ErrorClass::Fatal, &format!("reading `{topic}`"), &error);
        let consumer: BaseConsumer<QuietContext> =
            // The library assigns partitions to named groups only; this one never joins or commits.
            settings
                .watch_config()
                .set("enable.partition.eof", "false")
                .set("group.id", format!("{}-reader", settings.group_id))
                .create_with_context(QuietContext)
                .map_err(failed)?;
        let mut assignment = TopicPartitionList::new();
        for partition in 0..partitions {
            assignment.add_partition_offset(topic, partition, Offset::Beginning).map_err(failed)?;
        }
        consumer.assign(&assignment).map_err(failed)?;
        Ok(TopicReader { consumer })
    }

    /// The value of the next record, waiting up to `timeout` for one. Trouble with the broker is no
    /// record: the client goes on trying.
    pub fn next(&self, timeout: Duration) -> Option<Vec<u8>> {
        let record = self.consumer.poll(timeout)?.ok()?;
        record.payload().map(<[u8]>::to_vec)
    }
}
