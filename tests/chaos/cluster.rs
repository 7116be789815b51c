//! Three brokers on this machine, any of which may be killed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::metadata::MetadataPartition;

use super::PATIENCE;
use crate::support::Kafka;

/// How many brokers there are. Each topic is on all of them, and two are enough to write.
pub const BROKERS: i32 = 3;

/// A Kafka of three brokers; they end with it.
pub struct Cluster {
    folder: PathBuf,
    bootstrap: String,
}

impl Cluster {
    /// Starts it in this folder.
    pub fn start(folder: &Path) -> Cluster {
        let folder = folder.join("kafka");
        let brokers = BROKERS.to_string();
        let own = std::process::id().to_string();
        let arguments = ["start", "--brokers", &brokers, "--while", &own];
        let output = script(&arguments, &folder, &[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the brokers did not start: {said}");
        let bootstrap = String::from_utf8(output.stdout).expect("an address").trim().to_owned();
        Cluster { folder, bootstrap }
    }

    /// `host:port` of each broker.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Kills one broker as a power cut would.
    pub fn kill(&self, id: i32) {
        self.tell("kill", id);
    }

    /// Starts a killed broker again, and waits until every partition has all its copies.
    pub fn resume(&self, id: i32, kafka: &Kafka) {
        self.tell("resume", id);
        let deadline = Instant::now() + PATIENCE;
        let asker: BaseConsumer = kafka.client().create().expect("a consumer to ask with");
        loop {
            let metadata = asker.fetch_metadata(None, Duration::from_secs(5));
            let behind = metadata.map(|metadata| {
                let partitions = metadata.topics().iter().flat_map(|topic| {
                    topic.partitions().iter().map(|partition| (topic.name().to_owned(), partition))
                });
                let behind = partitions.filter(|(_, partition)| {
                    partition.isr().len() < BROKERS as usize || partition.leader() < 0
                });
                let place = |(topic, partition): (String, &MetadataPartition)| {
                    format!("{topic} {} {:?}", partition.id(), partition.isr())
                };
                behind.map(place).collect::<Vec<_>>()
            });
            if behind.as_ref().is_ok_and(Vec::is_empty) {
                return;
            }
            assert!(Instant::now() < deadline, "broker {id} is up, and still behind: {behind:?}");
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// The broker that coordinates a group.
    pub fn group_coordinator(kafka: &Kafka, group: &str) -> i32 {
        leader(kafka, "__consumer_offsets", group)
    }

    /// The broker that coordinates the transactions of this id.
    pub fn transaction_coordinator(kafka: &Kafka, transactional_id: &str) -> i32 {
        leader(kafka, "__transaction_state", transactional_id)
    }

    fn tell(&self, command: &str, id: i32) {
        let output = script(&[command], &self.folder, &[&id.to_string()]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`{command}` of broker {id}: {said}");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        script(&["stop"], &self.folder, &[]);
    }
}

fn script(before: &[&str], folder: &Path, after: &[&str]) -> Output {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka/broker.sh");
    Command::new(script)
        .args(before)
        .arg(folder)
        .args(after)
        .stdin(Stdio::null())
        .output()
        .expect("the script can be run")
}

/// The leader of the partition that an internal topic keeps this name in.
fn leader(kafka: &Kafka, topic: &str, name: &str) -> i32 {
    let deadline = Instant::now() + PATIENCE;
    let asker: BaseConsumer = kafka.client().create().expect("a consumer to ask with");
    loop {
        if let Ok(metadata) = asker.fetch_metadata(Some(topic), Duration::from_secs(5)) {
            let partitions = metadata.topics()[0].partitions();
            let number = partition_of(name, partitions.len().max(1));
            if let Some(found) = partitions.iter().find(|p| p.id() == number && p.leader() > 0) {
                return found.leader();
            }
        }
        assert!(Instant::now() < deadline, "nobody leads the partition of `{name}` in `{topic}`");
        thread::sleep(Duration::from_millis(100));
    }
}

/// Where the coordinators' topics keep a name: the amount of Java's hash of it, modulo the partitions.
pub fn partition_of(name: &str, partitions: usize) -> i32 {
    let hash = name
        .encode_utf16()
        .fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(unit.into()));
    hash.checked_abs().unwrap_or(0) % partitions as i32
}
