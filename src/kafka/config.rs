//! What the Kafka side has to be told, and the client configurations made of it.
//!
//! A plain struct: reading YAML, defaults from files and printing belong to `config`. Values of the
//! client library are set in three layers: our defaults, then the operator's pass-through
//! properties, then what the engine owns and nobody may change ([`refused_keys`]).

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::broker::OutputTopic;
use crate::engine::event::Source;

/// How members of the group agree on who reads what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupProtocol {
    /// The protocol every broker knows, with the `range` assignor.
    #[default]
    Classic,
    /// The protocol of brokers from 4.0 on (KIP-848), with the broker's `range` assignor.
    Consumer,
}

/// What a crash may do to the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// Output and offsets are committed in one transaction.
    #[default]
    ExactlyOnce,
    /// Output first, offsets after: a crash between the two repeats output.
    AtLeastOnce,
}

/// Everything the Kafka side has to be told.
#[derive(Clone, PartialEq)]
pub struct KafkaSettings {
    /// `host:port` pairs, separated by commas.
    pub bootstrap_servers: String,
    /// The consumer group.
    pub group_id: String,
    /// A name that stays the same over restarts of this process and that no other process has. With
    /// it a restart within the session timeout moves no partition; without it every start is a new
    /// member.
    pub instance: Option<String>,
    /// librdkafka properties for every client.
    pub properties: BTreeMap<String, String>,
    /// librdkafka properties for consumers; over `properties`.
    pub consumer_properties: BTreeMap<String, String>,
    /// librdkafka properties for producers; over `properties`.
    pub producer_properties: BTreeMap<String, String>,
    /// The topic of each source that is read. A source without an entry is not subscribed to.
    pub input_topics: BTreeMap<Source, String>,
    /// The topic of each output.
    pub output_topics: BTreeMap<OutputTopic, String>,
    /// How members agree on who reads what.
    pub group_protocol: GroupProtocol,
    /// What a crash may do to the output.
    pub delivery: Delivery,
    /// How long a silent member keeps its partitions. Set by the broker for
    /// [`GroupProtocol::Consumer`], where this is not used.
    pub session_timeout: Duration,
    /// How long the broker leaves a silent producer's transaction open. A crash holds back
    /// `read_committed` readers of the output for that long.
    pub transaction_timeout: Duration,
    /// How much may wait in memory per input partition, in kilobytes.
    pub prefetch_kilobytes_per_input: u32,
    /// The largest record written, in bytes. Topics must allow as much (`max.message.bytes`).
    pub record_bytes_max: u32,
}

impl KafkaSettings {
    /// The default settings for one cluster and group: default topics, classic protocol,
    /// exactly-once.
    pub fn new(bootstrap_servers: impl Into<String>, group_id: impl Into<String>) -> Self {
        KafkaSettings {
            bootstrap_servers: bootstrap_servers.into(),
            group_id: group_id.into(),
            instance: None,
            properties: BTreeMap::new(),
            consumer_properties: BTreeMap::new(),
            producer_properties: BTreeMap::new(),
            input_topics: Source::ALL.map(|source| (source, source.default_topic().into())).into(),
            output_topics: OutputTopic::ALL
                .map(|topic| (topic, topic.default_topic().into()))
                .into(),
            group_protocol: GroupProtocol::default(),
            delivery: Delivery::default(),
            session_timeout: Duration::from_secs(45),
            transaction_timeout: Duration::from_secs(10),
            prefetch_kilobytes_per_input: 8_192,
            record_bytes_max: 1_000_000,
        }
    }

    /// The topic an output goes to.
    pub fn output_topic(&self, topic: OutputTopic) -> &str {
        self.output_topics.get(&topic).map_or(topic.default_topic(), String::as_str)
    }

    /// `group.instance.id` of one worker; `None` for a dynamic member.
    pub fn group_instance_id(&self, worker: usize) -> Option<String> {
        self.instance.as_ref().map(|instance| format!("{instance}-{worker}"))
    }

    /// `transactional.id` of one worker. Without an instance name it differs at every start, so
    /// that processes never fence each other by accident.
    pub fn transactional_id(&self, worker: usize) -> String {
        let instance = self.instance.as_deref().unwrap_or_else(|| process_name());
        format!("{}-{instance}-{worker}", self.group_id)
    }

    /// For the group member of one worker.
    pub(super) fn member_config(&self, worker: usize) -> ClientConfig {
        let mut config = self.reader_config();
        set_all(
            &mut config,
            &[
                ("group.id", &self.group_id),
                // Never by the library, which tells nobody: a start decides it (`kafka.offset_reset`).
                ("auto.offset.reset", "error"),
            ],
        );
        match self.group_protocol {
            GroupProtocol::Classic => {
                config.set("partition.assignment.strategy", "range");
                config.set("session.timeout.ms", millis(self.session_timeout));
            }
            GroupProtocol::Consumer => {
                config.set("group.protocol", "consumer");
                config.set("group.remote.assignor", "range");
            }
        }
        if let Some(id) = self.group_instance_id(worker) {
            config.set("group.instance.id", id);
        }
        config
    }

    /// For a consumer outside the group that asks after ends.
    pub(super) fn watch_config(&self) -> ClientConfig {
        let mut config = self.reader_config();
        // Checked against a session time-out that this client has no use for.
        config.remove("max.poll.interval.ms");
        config
    }

    fn reader_config(&self) -> ClientConfig {
        let mut config = self.common_config();
        // Records here are small: with librdkafka's defaults (100,000 records, 1 s of backing off
        // when that many wait) a consumer never gets past 0.2 M records a second.
        config.set("queued.min.messages", "1000000");
        config.set(
            "queued.max.messages.kbytes",
            self.prefetch_kilobytes_per_input.max(1).to_string(),
        );
        config.set("fetch.queue.backoff.ms", "10");
        // The end of a partition is reported with the first empty answer, and an empty answer takes
        // this long: the clock of a caught-up task lags by as much.
        config.set("fetch.wait.max.ms", "100");
        config.extend(self.properties.clone());
        config.extend(self.consumer_properties.clone());
        set_all(
            &mut config,
            &[
                ("isolation.level", "read_committed"),
                ("enable.partition.eof", "true"),
                // Offsets go into the transaction, or after the output; never by themselves.
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
                ("allow.auto.create.topics", "false"),
            ],
        );
        config
    }

    /// For looking at topics and making them.
    pub(super) fn admin_config(&self) -> ClientConfig {
        let mut config = self.common_config();
        config.extend(self.properties.clone());
        config
    }

    /// For the transactional (or, at least once, idempotent) producer of one worker.
    pub(super) fn sink_config(&self, worker: usize) -> ClientConfig {
        let mut config = self.producer_config();
        let transaction_millis = millis(self.transaction_timeout);
        match self.delivery {
            Delivery::ExactlyOnce => {
                config.set("transactional.id", self.transactional_id(worker));
                config.set("transaction.timeout.ms", transaction_millis.clone());
                // A record that waits longer than its transaction may is lost either way.
                config.set("message.timeout.ms", transaction_millis);
            }
            Delivery::AtLeastOnce => {
                config.set("message.timeout.ms", "30000");
            }
        }
        config
    }

    /// For a producer of events (`generate`, `demo`).
    pub(super) fn writer_config(&self) -> ClientConfig {
        let mut config = self.producer_config();
        // Throughput matters here, and nobody waits for one record.
        config.set("linger.ms", "20");
        config.set("batch.num.messages", "50000");
        config
    }

    fn producer_config(&self) -> ClientConfig {
        let mut config = self.common_config();
        // 59 ms a transaction with the defaults, 11 to 20 ms with these two.
        config.set("linger.ms", "0");
        config.set("retry.backoff.ms", "10");
        config.set("compression.type", "lz4");
        config.extend(self.properties.clone());
        config.extend(self.producer_properties.clone());
        config.set("message.max.bytes", self.record_bytes_max.to_string());
        set_all(
            &mut config,
            &[
                ("enable.idempotence", "true"),
                // Where Java's producers put a key; librdkafka's own default is CRC32.
                ("partitioner", "murmur2_random"),
                ("allow.auto.create.topics", "false"),
            ],
        );
        config
    }

    fn common_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("client.id", "barometer");
        config.set("bootstrap.servers", &self.bootstrap_servers);
        // The library asks the `log` crate otherwise, which nobody listens to here.
        config.set_log_level(RDKafkaLogLevel::Info);
        config
    }
}

/// Properties the engine sets itself, each with the reason why, or what to use instead.
pub const fn refused_keys() -> &'static [(&'static str, &'static str)] {
    const OFFSETS: &str = "offsets are committed together with the output they led to";
    const ASSIGNOR: &str = "only `range` gives a worker the same partitions of all topics";
    const BOOTSTRAP: &str = "use `kafka.bootstrap_servers`";
    const TIMEOUT: &str = "it follows `kafka.transaction_timeout`";
    const ACKS: &str = "a result counts as written only when every in-sync replica has it";
    &[
        ("bootstrap.servers", BOOTSTRAP),
        ("metadata.broker.list", BOOTSTRAP),
        ("group.id", "use `kafka.group_id`"),
        ("group.instance.id", "it is made of `kafka.instance` and the worker's number"),
        ("enable.auto.commit", OFFSETS),
        ("auto.commit.interval.ms", OFFSETS),
        ("auto.commit.enable", OFFSETS),
        ("enable.auto.offset.store", OFFSETS),
        ("auto.offset.reset", "use `kafka.offset_reset`"),
        ("isolation.level", "inputs are always read committed: `delivery` has to hold end to end"),
        ("enable.partition.eof", "the engine has to know when it has read a partition to its end"),
        (
            "transactional.id",
            "it is made of `kafka.group_id`, `kafka.instance` and the worker's number",
        ),
        ("transaction.timeout.ms", "use `kafka.transaction_timeout`"),
        ("message.timeout.ms", TIMEOUT),
        ("delivery.timeout.ms", TIMEOUT),
        ("message.max.bytes", "what is written is cut to what topics take by default"),
        ("enable.idempotence", "it is always on; what may be chosen is `kafka.delivery`"),
        ("acks", ACKS),
        ("request.required.acks", ACKS),
        ("partitioner", "output follows Java's `murmur2`; for the input use `ingest.partitioner`"),
        ("partition.assignment.strategy", ASSIGNOR),
        ("group.protocol", "use `kafka.group_protocol`"),
        ("group.remote.assignor", ASSIGNOR),
        ("session.timeout.ms", "use `kafka.session_timeout`"),
        ("allow.auto.create.topics", "a topic made by accident has the wrong partition count"),
    ]
}

/// A name that is this process's alone, for transactional ids of unnamed instances.
fn process_name() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| format!("{:016x}", rand::random::<u64>()))
}

fn set_all(config: &mut ClientConfig, pairs: &[(&str, &str)]) {
    for (key, value) in pairs {
        config.set(*key, *value);
    }
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> KafkaSettings {
        KafkaSettings::new("localhost:9092", "health")
    }

    #[test]
    fn every_configuration_is_accepted_by_the_client() {
        for group_protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
            for delivery in [Delivery::ExactlyOnce, Delivery::AtLeastOnce] {
                let settings = KafkaSettings {
                    group_protocol,
                    delivery,
                    instance: Some("pod-0".into()),
                    ..settings()
                };
                for config in [
                    settings.member_config(0),
                    settings.watch_config(),
                    settings.sink_config(0),
                    settings.writer_config(),
                ] {
                    config.create_native_config().unwrap();
                }
            }
        }
    }

    #[test]
    fn a_named_instance_keeps_its_ids_and_an_unnamed_one_has_none_to_share() {
        let named = KafkaSettings { instance: Some("pod-0".into()), ..settings() };
        assert_eq!(named.group_instance_id(3).as_deref(), Some("pod-0-3"));
        assert_eq!(named.transactional_id(3), "health-pod-0-3");
        assert_eq!(settings().group_instance_id(3), None);
        assert_eq!(settings().transactional_id(0), settings().transactional_id(0));
        assert_ne!(settings().transactional_id(0), "health--0");
    }

    #[test]
    fn pass_through_wins_over_defaults_but_not_over_what_the_engine_owns() {
        let mut settings = settings();
        settings.properties.insert("linger.ms".into(), "5".into());
        settings.producer_properties.insert("linger.ms".into(), "7".into());
        settings.consumer_properties.insert("isolation.level".into(), "read_uncommitted".into());
        assert_eq!(settings.sink_config(0).get("linger.ms"), Some("7"));
        assert_eq!(settings.member_config(0).get("isolation.level"), Some("read_committed"));
    }

    #[test]
    fn the_new_protocol_leaves_the_assignor_and_the_session_to_the_broker() {
        let settings = KafkaSettings { group_protocol: GroupProtocol::Consumer, ..settings() }
            .member_config(0);
        assert_eq!(settings.get("group.remote.assignor"), Some("range"));
        assert_eq!(settings.get("partition.assignment.strategy"), None);
        assert_eq!(settings.get("session.timeout.ms"), None);
    }
}
