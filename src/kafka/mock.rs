//! A Kafka cluster inside this process, for the demo and for tests without Kafka.
//!
//! It is the client library's own mock: no transactions that isolate, no compaction, and only the
//! newest 5 MiB or so of a partition. Enough to see barometer work, not to prove anything.

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use super::config::KafkaSettings;
use super::error::broker_error;
use crate::broker::{BrokerError, ErrorClass};

/// A cluster that lives as long as this value.
pub struct MockKafka {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

impl MockKafka {
    /// Starts a cluster of one broker on a free port of this machine.
    ///
    /// # Errors
    /// `Fatal` when no port can be opened.
    pub fn start() -> Result<MockKafka, BrokerError> {
        let cluster = MockCluster::new(1).map_err(|error| {
            broker_error(ErrorClass::Fatal, "starting the embedded Kafka cluster", &error)
        })?;
        Ok(MockKafka { cluster })
    }

    /// What clients connect to.
    pub fn bootstrap_servers(&self) -> String {
        self.cluster.bootstrap_servers()
    }

    /// Makes one topic.
    ///
    /// # Errors
    /// `Fatal` when the cluster refuses it, for example because it is there already.
    pub fn create_topic(&self, topic: &str, partitions: i32) -> Result<(), BrokerError> {
        self.cluster.create_topic(topic, partitions, 1).map_err(|error| {
            broker_error(ErrorClass::Fatal, &format!("creating topic `{topic}`"), &error)
        })
    }

    /// Makes every topic that the settings name.
    ///
    /// # Errors
    /// As [`MockKafka::create_topic`].
    pub fn create_topics(
        &self,
        settings: &KafkaSettings,
        partitions: i32,
    ) -> Result<(), BrokerError> {
        let inputs = settings.input_topics.values();
        let outputs = settings.output_topics.values();
        inputs.chain(outputs).try_for_each(|topic| self.create_topic(topic, partitions))
    }
}
