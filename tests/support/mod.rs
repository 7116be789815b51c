//! What tests against a real Kafka share: names nobody else uses, topics, records in, records out,
//! and Kafka's own command-line tools.
//!
//! Such a test is marked `#[ignore = "needs Kafka: tests/all.sh"]`. Everything here panics with a
//! sentence when the world does not play along: a test has nothing better to do.

#![allow(dead_code, reason = "each test binary compiles all of this and uses its part")]

pub mod service;

use std::env;
use std::future::Future;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};

/// Long enough for a busy machine; nothing takes this long unless it is broken.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The Kafka under test, as one test sees it.
pub struct Kafka {
    bootstrap: String,
    /// Starts every name of this test; no other test, and no other run, has it.
    prefix: String,
}

/// A record to be produced.
#[derive(Clone, Debug)]
pub struct InputRecord {
    pub key: String,
    pub value: String,
    pub timestamp_millis: i64,
    pub headers: Vec<(String, String)>,
}

/// A record to be produced as it is: any bytes or none, and to a partition of one's choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawRecord {
    /// `None` leaves it to the key, as Java's producer would.
    pub partition: Option<i32>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub timestamp_millis: i64,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl InputRecord {
    /// A record without headers.
    pub fn new(key: &str, value: &str, timestamp_millis: i64) -> InputRecord {
        InputRecord {
            key: key.to_owned(),
            value: value.to_owned(),
            timestamp_millis,
            headers: Vec::new(),
        }
    }
}

/// A record as a `read_committed` consumer got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRecord {
    pub partition: i32,
    pub offset: i64,
    pub timestamp_millis: Option<i64>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl ReadRecord {
    /// The key as text.
    pub fn key_text(&self) -> &str {
        std::str::from_utf8(self.key.as_deref().expect("the record has a key"))
            .expect("the key is UTF-8")
    }

    /// The value as text.
    pub fn value_text(&self) -> &str {
        std::str::from_utf8(self.value.as_deref().expect("the record has a value"))
            .expect("the value is UTF-8")
    }

    /// The value as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(self.value_text())
            .unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.value_text()))
    }

    /// A header's text, `None` where there is no such header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(header, _)| header == name)?;
        Some(std::str::from_utf8(value.as_deref()?).expect("the header is UTF-8"))
    }
}

impl Kafka {
    /// The Kafka that `tests/all.sh` started, for the test of this name.
    pub fn for_test(test: &str) -> Kafka {
        Kafka::at(&from_environment("BAROMETER_TEST_BOOTSTRAP"), test)
    }

    /// A Kafka that the test has started itself.
    pub fn at(bootstrap: &str, test: &str) -> Kafka {
        static TESTS: AtomicU32 = AtomicU32::new(0);
        let number = TESTS.fetch_add(1, Ordering::Relaxed);
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).expect("a year after 1970");
        Kafka {
            bootstrap: bootstrap.to_owned(),
            prefix: format!(
                "{test}-{:x}-{:x}-{number}",
                since_epoch.as_millis(),
                std::process::id()
            ),
        }
    }

    /// `host:port`, several of them with commas between.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// A topic, group or transactional id that is this test's alone.
    pub fn name(&self, what: &str) -> String {
        format!("{}-{what}", self.prefix)
    }

    /// Settings every client of a test starts from. The client library's own log says nothing below
    /// an error, since a test's output is for what the test finds.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        config.set_log_level(RDKafkaLogLevel::Error);
        config
    }

    /// Makes a topic with as many replicas as the broker thinks right, and settings of its own such
    /// as `("cleanup.policy", "compact")`.
    pub fn create_topic(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
        let mut new_topic = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
        for (key, value) in settings {
            new_topic = new_topic.set(key, value);
        }
        let admin: AdminClient<DefaultClientContext> =
            self.client().create().expect("an admin client");
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let results = block_on(admin.create_topics([&new_topic], &options))
            .unwrap_or_else(|error| panic!("topic `{topic}` was not made: {error}"));
        for result in results {
            result.unwrap_or_else(|(_, code)| panic!("topic `{topic}` was not made: {code}"));
        }
    }

    /// Produces records, each to the partition where Java's producer would put its key, and waits
    /// for all to be acknowledged. Returns where each one went: partition and offset.
    pub fn produce(&self, topic: &str, records: &[InputRecord]) -> Vec<(i32, i64)> {
        let raw: Vec<RawRecord> = records
            .iter()
            .map(|record| RawRecord {
                partition: None,
                key: Some(record.key.clone().into_bytes()),
                value: Some(record.value.clone().into_bytes()),
                timestamp_millis: record.timestamp_millis,
                headers: record
                    .headers
                    .iter()
                    .map(|(name, value)| (name.clone(), Some(value.clone().into_bytes())))
                    .collect(),
            })
            .collect();
        self.produce_raw(topic, &raw)
    }

    /// [`Kafka::produce`] for records of any shape.
    pub fn produce_raw(&self, topic: &str, records: &[RawRecord]) -> Vec<(i32, i64)> {
        let producer: FutureProducer = self
            .client()
            .set("partitioner", "murmur2_random")
            .set("enable.idempotence", "true")
            .set("linger.ms", "1")
            // A topic may allow more than the client would send by default.
            .set("message.max.bytes", "20000000")
            // Never full: `send_result` below does not wait for room.
            .set("queue.buffering.max.messages", "10000000")
            .set("queue.buffering.max.kbytes", "2097151")
            .create()
            .expect("a producer");
        let deliveries: Vec<_> = records
            .iter()
            .map(|record| {
                let mut to_send = FutureRecord::<[u8], [u8]>::to(topic)
                    .timestamp(record.timestamp_millis)
                    .headers(owned_headers(&record.headers));
                to_send.partition = record.partition;
                to_send.key = record.key.as_deref();
                to_send.payload = record.value.as_deref();
                producer
                    .send_result(to_send)
                    .unwrap_or_else(|(error, _)| panic!("`{topic}` takes no record: {error}"))
            })
            .collect();
        producer.flush(PATIENCE).unwrap_or_else(|error| panic!("`{topic}`: {error}"));
        block_on(async {
            let mut places = Vec::with_capacity(deliveries.len());
            for delivery in deliveries {
                let delivered = delivery
                    .await
                    .expect("the producer lives")
                    .unwrap_or_else(|(error, _)| panic!("`{topic}` took no record: {error}"));
                places.push((delivered.partition, delivered.offset));
            }
            places
        })
    }

    /// Everything committed to a topic until now, partition by partition, in offset order.
    ///
    /// "Until now" is the high-water mark, which only a `read_uncommitted` client is told. Waits
    /// until no transaction below it is open. Transaction markers and compacted records take
    /// offsets without being delivered, so what says "read" is the end of the partition that the
    /// client reports, never a record's offset.
    pub fn read_committed(&self, topic: &str) -> Vec<ReadRecord> {
        let consumer: BaseConsumer = self
            .reader("read_committed")
            .set("enable.partition.eof", "true")
            .create()
            .expect("a consumer");
        let ends = self.high_water_marks(topic);
        let deadline = Instant::now() + PATIENCE;
        for &(partition, end) in &ends {
            wait_until_stable(&consumer, topic, partition, end, deadline);
        }

        // Only now does reading begin: any end the client reports from here on is at or past `end`.
        let mut to_read = TopicPartitionList::new();
        for &(partition, _) in &ends {
            to_read
                .add_partition_offset(topic, partition, Offset::Beginning)
                .expect("an offset that can be asked for");
        }
        consumer.assign(&to_read).expect("an assignment");

        let mut records = Vec::new();
        let mut unread: Vec<i32> = ends.iter().map(|&(partition, _)| partition).collect();
        while !unread.is_empty() {
            assert!(Instant::now() < deadline, "`{topic}`: partitions {unread:?} have no end");
            match consumer.poll(Duration::from_millis(100)) {
                None => {}
                // A record that came later than the end its partition had is not "until now".
                Some(Ok(message)) if unread.contains(&message.partition()) => {
                    records.push(read_record(&message));
                }
                Some(Ok(_)) => {}
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    unread.retain(|&other| other != partition);
                }
                Some(Err(error)) => panic!("reading `{topic}`: {error}"),
            }
        }
        records.sort_by_key(|record| (record.partition, record.offset));
        records
    }

    /// [`Kafka::read_committed`] again and again until `enough` of the records read.
    pub fn read_committed_until(
        &self,
        topic: &str,
        enough: impl Fn(&[ReadRecord]) -> bool,
    ) -> Vec<ReadRecord> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let records = self.read_committed(topic);
            if enough(&records) {
                return records;
            }
            assert!(
                Instant::now() < deadline,
                "`{topic}` has {} records, not what was waited for: {:#?}",
                records.len(),
                records
                    .iter()
                    .rev()
                    .take(10)
                    .map(|record| record.value.as_deref().map(String::from_utf8_lossy))
                    .collect::<Vec<_>>()
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Fails if a transaction on a topic is open at this moment: readers of committed records would
    /// be held back by it.
    pub fn assert_nothing_is_open(&self, topic: &str) {
        let reader: BaseConsumer = self.reader("read_committed").create().expect("a consumer");
        for (partition, end) in self.high_water_marks(topic) {
            let (_, stable) = reader
                .fetch_watermarks(topic, partition, PATIENCE)
                .unwrap_or_else(|error| panic!("`{topic}` [{partition}]: {error}"));
            assert!(
                stable >= end,
                "`{topic}` [{partition}] is open from {stable} on, ends at {end}"
            );
        }
    }

    /// The end of each partition, open transactions included: partition and next offset.
    pub fn high_water_marks(&self, topic: &str) -> Vec<(i32, i64)> {
        let asker: BaseConsumer =
            self.reader("read_uncommitted").create().expect("a consumer to ask with");
        let metadata = asker
            .fetch_metadata(Some(topic), PATIENCE)
            .unwrap_or_else(|error| panic!("`{topic}`: {error}"));
        let topic_metadata = metadata.topics().first().expect("the topic that was asked for");
        assert!(topic_metadata.error().is_none(), "`{topic}`: {:?}", topic_metadata.error());
        let mut ends: Vec<_> = topic_metadata
            .partitions()
            .iter()
            .map(|partition| {
                let (_, end) = asker
                    .fetch_watermarks(topic, partition.id(), PATIENCE)
                    .unwrap_or_else(|error| panic!("`{topic}` [{}]: {error}", partition.id()));
                (partition.id(), end)
            })
            .collect();
        ends.sort_unstable();
        ends
    }

    /// What a group has committed for a topic, for each partition: next offset and metadata.
    pub fn committed(&self, group: &str, topic: &str) -> Vec<(i32, Option<i64>, String)> {
        let asker: BaseConsumer =
            self.client().set("group.id", group).create().expect("a consumer to ask with");
        let mut question = TopicPartitionList::new();
        for (partition, _) in self.high_water_marks(topic) {
            question.add_partition(topic, partition);
        }
        let answer = asker
            .committed_offsets(question, PATIENCE)
            .unwrap_or_else(|error| panic!("offsets of `{group}` on `{topic}`: {error}"));
        let row = |element: &TopicPartitionListElem<'_>| {
            let offset = match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            (element.partition(), offset, element.metadata().to_owned())
        };
        answer.elements().iter().map(row).collect()
    }

    /// Waits until a group has committed everything that these topics hold.
    pub fn wait_until_committed(&self, group: &str, topics: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        for topic in topics {
            let ends = self.high_water_marks(topic);
            loop {
                let committed = self.committed(group, topic);
                let lacks = |&(partition, end): &(i32, i64)| {
                    let row = committed.iter().find(|(known, _, _)| *known == partition);
                    let offset = row.and_then(|(_, offset, _)| *offset);
                    end > 0 && offset.is_none_or(|offset| offset < end)
                };
                if !ends.iter().any(lacks) {
                    break;
                }
                assert!(
                    Instant::now() < deadline,
                    "`{topic}` ends at {ends:?}, and only {committed:?} is committed"
                );
                thread::sleep(Duration::from_millis(50));
            }
        }
    }

    /// Runs one of Kafka's command-line tools with `stdin`, and returns what it printed. The first
    /// arguments, `--bootstrap-server` and the address, are added here.
    pub fn tool(&self, class: &str, arguments: &[&str], stdin: &str) -> String {
        let mut child = Command::new(from_environment("BAROMETER_TEST_KAFKA_TOOL"))
            .arg(class)
            .args(["--bootstrap-server", &self.bootstrap])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("BAROMETER_TEST_KAFKA_TOOL cannot be run: {error}"));
        // From a thread: a tool that prints while it reads would otherwise fill its pipe and wait
        // for us, as we wait for it. One that ends early closes its side, which is no failure.
        let mut pipe = child.stdin.take().expect("the pipe asked for");
        let text = stdin.to_owned();
        let feeder = thread::spawn(move || drop(pipe.write_all(text.as_bytes())));
        let output = child.wait_with_output().expect("the tool was started");
        feeder.join().expect("the feeder does not panic");
        assert!(
            output.status.success(),
            "`{class}` {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("the tool prints UTF-8")
    }

    /// A client that only reads and is in no group; the library still wants a group's name.
    fn reader(&self, isolation: &str) -> ClientConfig {
        let mut config = self.client();
        config
            .set("group.id", self.name("reader"))
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", isolation)
            .set("fetch.wait.max.ms", "50");
        config
    }
}

fn owned_headers(headers: &[(String, Option<Vec<u8>>)]) -> OwnedHeaders {
    headers.iter().fold(OwnedHeaders::new(), |list, (key, value)| {
        list.insert(Header { key, value: value.as_ref() })
    })
}

fn from_environment(variable: &str) -> String {
    match env::var(variable) {
        Ok(value) if !value.is_empty() => value,
        _ => panic!("{variable} is not set: run this test with tests/all.sh, which starts a Kafka"),
    }
}

/// Waits for the last stable offset to reach `end`: for the transactions open below it to finish.
fn wait_until_stable(
    committed_reader: &BaseConsumer,
    topic: &str,
    partition: i32,
    end: i64,
    deadline: Instant,
) {
    loop {
        let (_, stable) = committed_reader
            .fetch_watermarks(topic, partition, PATIENCE)
            .unwrap_or_else(|error| panic!("`{topic}` [{partition}]: {error}"));
        if stable >= end {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "`{topic}` [{partition}]: a transaction is open at offset {stable}, the end is {end}"
        );
        thread::sleep(Duration::from_millis(10));
    }
}

pub fn read_record(message: &impl Message) -> ReadRecord {
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        headers
            .iter()
            .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
            .collect()
    });
    ReadRecord {
        partition: message.partition(),
        offset: message.offset(),
        timestamp_millis: message.timestamp().to_millis(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers,
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}
