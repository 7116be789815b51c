//! A Kafka cluster inside this process, for the demo and for tests without Kafka.
//!
//! It is the client library's own mock: no transactions that isolate, no compaction, and only the
//! newest 5 MiB or so of a partition. Enough to see barometer work, not to prove anything.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, DefaultProducerContext, Producer};

use super::config::KafkaSettings;
use super::error::broker_error;
use super::native;
use crate::broker::{BrokerError, ErrorClass};

/// How long a group waits for more members before it starts; the library's own 3 s would be most of
/// the time the demo takes to begin.
const JOIN_DELAY: Duration = Duration::from_millis(100);

/// A cluster that lives as long as this value.
pub struct MockKafka {
    /// The client that has the cluster in it.
    host: BaseProducer,
}

impl MockKafka {
    /// Starts a cluster of one broker on a free port of this machine.
    ///
    /// # Errors
    /// `Fatal` when no port can be opened.
    pub fn start() -> Result<MockKafka, BrokerError> {
        let host: BaseProducer =
            ClientConfig::new().set("test.mock.num.brokers", "1").create().map_err(|error| {
                broker_error(ErrorClass::Fatal, "starting the embedded Kafka cluster", &error)
            })?;
        native::set_mock_join_delay(host.client(), JOIN_DELAY);
        Ok(MockKafka { host })
    }

    fn cluster(&self) -> MockCluster<'_, DefaultProducerContext> {
        self.host.client().mock_cluster().expect("the client was made with a cluster in it")
    }

    /// What clients connect to.
    pub fn bootstrap_servers(&self) -> String {
        self.cluster().bootstrap_servers()
    }

    /// Makes one topic.
    ///
    /// # Errors
    /// `Fatal` when the cluster refuses it, for example because it is there already.
    pub fn create_topic(&self, topic: &str, partitions: i32) -> Result<(), BrokerError> {
        self.cluster().create_topic(topic, partitions, 1).map_err(|error| {
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
