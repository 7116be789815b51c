//! The scene of a run: brokers, processes, the load, and those who watch.
//!
//! Its folder holds the brokers' data and logs and every process's log. It is removed after a run
//! that went well, and kept after one that failed.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::json;

use super::PATIENCE;
use super::cluster::{BROKERS, Cluster, partition_of};
use super::fleet::{Fleet, Time};
use super::load::Load;
use super::oracle::Oracle;
use super::tap::{Commits, Published};
use crate::support::Kafka;
use crate::support::service::{INPUTS, OUTPUTS, Service, Setup};

pub const PARTITIONS: i32 = 6;
/// As the brokers' settings for tests say.
const GROUP_PARTITIONS: usize = 4;
/// How long a silent process keeps its partitions, and an open transaction holds readers back.
pub const SESSION: Duration = Duration::from_secs(6);
pub const TRANSACTION: Duration = Duration::from_secs(5);

pub struct Scene {
    pub slots: Vec<Slot>,
    pub load: Load,
    pub published: Published,
    pub commits: Commits,
    pub oracle: Arc<Mutex<Oracle>>,
    pub kafka: Kafka,
    pub setup: Setup,
    pub time: Time,
    pub dice: ChaCha8Rng,
    pub started: Instant,
    /// Logs of processes that have gone.
    ended: RefCell<Vec<(String, Vec<String>)>>,
    cluster: Cluster,
    folder: PathBuf,
}

/// A place for a process: who stands in it comes and goes.
pub struct Slot {
    pub name: String,
    pub workers: usize,
    /// `None` between an end and the next start.
    pub service: Option<Service>,
    /// The folders of its settings, which it looks at now and then.
    pub homes: Vec<Setup>,
}

impl Slot {
    fn start(&mut self, setup: &Setup) {
        let home = setup.named(&self.name);
        self.service = Some(home.run(&["--workers", &self.workers.to_string()]));
        self.homes = vec![home];
    }

    pub fn service(&self) -> &Service {
        self.service.as_ref().expect("a process runs in this place")
    }

    /// The transactional ids of its workers.
    pub fn transactional_id(&self, group: &str) -> String {
        format!("{group}-{}-0", self.name)
    }
}

impl Scene {
    /// Starts the brokers, the processes and the load.
    pub fn start(what: &str, time: Time, card: &str, seed: u64, dice: ChaCha8Rng) -> Scene {
        let name = format!("barometer-{what}-{seed}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("a folder for the run");
        println!("{what}: everything is kept in {} until it went well", folder.display());
        let cluster = Cluster::start(&folder);
        let kafka = Kafka::at(cluster.bootstrap(), what);
        let mut setup = Setup::new(&kafka);
        setup.scorecard(card);
        let kafka_settings = &mut setup.settings["kafka"];
        kafka_settings["session_timeout"] = json!(format!("{}s", SESSION.as_secs()));
        kafka_settings["transaction_timeout"] = json!(format!("{}s", TRANSACTION.as_secs()));
        setup.settings["engine"]["checkpoint_interval"] = json!("2s");
        setup.settings["scores"]["min_interval"] = json!("3s");
        if time == Time::Wall {
            setup.settings["engine"]["task_time"] = json!("wall");
        }
        let partitions = PARTITIONS.to_string();
        let create = ["topics", "create", "--partitions", &partitions];
        let output = setup.command(&create);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // So many copies that one broker may be gone.
        let made = String::from_utf8_lossy(&output.stdout).matches("replication 3)").count();
        assert_eq!((BROKERS, made), (3, OUTPUTS.len() + INPUTS.len()));
        // Record time flies here, and segments end by it: compaction would take profiles that have been
        // replaced before anybody has read them, which the oracle has.
        let never = format!("segment.ms={}", i64::MAX);
        let accounts = setup.topic("accounts");
        let alter = ["--alter", "--entity-type", "topics", "--entity-name", accounts];
        kafka.tool(
            "kafka.admin.ConfigCommand",
            &[&alter[..], &["--add-config", &never]].concat(),
            "",
        );

        let oracle = Arc::new(Mutex::new(Oracle::new(card, setup.group())));
        let fleet = Fleet::new(seed, time);
        let slot = |(name, workers): (&str, usize)| Slot {
            name: name.to_owned(),
            workers,
            service: None,
            homes: Vec::new(),
        };
        let mut slots: Vec<Slot> = [("one", 1), ("two", 2), ("three", 1)].map(slot).into();
        for slot in &mut slots {
            slot.start(&setup);
        }
        for slot in &slots {
            slot.service().wait_for_line("partitions assigned", slot.workers);
        }
        let group_partition = partition_of(setup.group(), GROUP_PARTITIONS);
        Scene {
            slots,
            load: Load::start(&kafka, &setup, fleet, Arc::clone(&oracle)),
            published: Published::follow(&kafka, setup.topic("events"), PARTITIONS),
            commits: Commits::follow(&kafka, setup.group(), group_partition),
            oracle,
            kafka,
            setup,
            time,
            dice,
            started: Instant::now(),
            ended: RefCell::default(),
            cluster,
            folder,
        }
    }

    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    pub fn kill_broker(&self, id: i32) {
        self.cluster.kill(id);
    }

    pub fn resume_broker(&self, id: i32) {
        self.cluster.resume(id, &self.kafka);
    }

    /// Starts a process in a place that is free, in a new and empty folder.
    pub fn start_in(&mut self, place: usize) {
        let slot = &mut self.slots[place];
        assert!(slot.service.is_none(), "`{}` runs already", slot.name);
        slot.start(&self.setup);
    }

    /// Kills the process in a place with SIGKILL.
    pub fn kill(&mut self, place: usize) {
        self.slots[place].service().signal("KILL");
        self.take_away(place);
    }

    /// Ends the process in a place in good order, and checks that it is.
    pub fn stop(&mut self, place: usize) {
        let mut service = self.slots[place].service.take().expect("a process runs in this place");
        service.signal("TERM");
        let (status, log) = service.wait();
        let name = self.slots[place].name.clone();
        self.keep_log(place, log);
        assert_eq!(status.code(), Some(0), "`{name}` was told to stop");
    }

    /// The process in a place has been sent SIGKILL: takes it away.
    pub fn take_away(&mut self, place: usize) {
        let mut service = self.slots[place].service.take().expect("a process ran in this place");
        service.wait();
        let log = service.take_log();
        self.keep_log(place, log);
    }

    pub fn keep_log(&self, place: usize, log: Vec<String>) {
        self.ended.borrow_mut().push((self.slots[place].name.clone(), log));
    }

    /// How many lines of all processes so far contain `text`. Troubles that last are told now and
    /// then only, so this is the least.
    pub fn said(&self, text: &str) -> usize {
        let ended = self.ended.borrow();
        let of_ended = ended.iter().flat_map(|(_, log)| log).filter(|line| line.contains(text));
        let running = self.slots.iter().filter_map(|slot| slot.service.as_ref());
        of_ended.count() + running.map(|service| service.said(text)).sum::<usize>()
    }

    /// Fails if a process has ended that nobody ended.
    pub fn assert_all_run(&mut self) {
        for slot in &mut self.slots {
            let Some(service) = &mut slot.service else { continue };
            if let Some(status) = service.ended() {
                panic!("`{}` has ended by itself: {status}\n{}", slot.name, tail(&service.log()));
            }
        }
        assert!(!self.load.has_ended(), "the load has ended: a record was not written");
    }

    /// Pauses the load and waits until everything written so far has been committed and is seen by
    /// readers of committed records.
    pub fn settle(&mut self) {
        self.load.pause();
        self.wait_until_all_is_committed();
        self.wait_until_published();
    }

    /// Waits until readers have been told everything that has to be told.
    pub fn wait_until_published(&self) {
        let verdicts = || self.oracle.lock().expect("it does not panic").verdicts();
        let deadline = Instant::now() + PATIENCE;
        if self.time == Time::Records {
            while self.published.lock().count < verdicts() {
                assert!(
                    Instant::now() < deadline,
                    "everything is committed, and of {} verdicts {} are published",
                    verdicts(),
                    self.published.lock().count
                );
                thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// Waits until the group has committed all that the input topics hold.
    pub fn wait_until_all_is_committed(&mut self) {
        let asker: BaseConsumer = self
            .kafka
            .client()
            .set("group.id", self.setup.group())
            .create()
            .expect("a consumer to ask with");
        let topics = INPUTS.map(|input| self.setup.topic(input).to_owned());
        let deadline = Instant::now() + PATIENCE;
        loop {
            let lag = topics.iter().map(|topic| lag(&asker, topic)).sum::<Option<i64>>();
            if lag == Some(0) {
                return;
            }
            self.assert_all_run();
            if Instant::now() >= deadline {
                self.examine();
                panic!("stuck: {lag:?} records are not committed after {PATIENCE:?}");
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// What the processes say of themselves, and where their threads stand, for whoever has to find
    /// out why nothing moves.
    fn examine(&self) {
        for slot in &self.slots {
            let Some(service) = &slot.service else { continue };
            let (status, ready) = service.get("/readyz");
            let (_, metrics) = service.get("/metrics");
            let mut text = format!("/readyz {status}\n{ready}\n/metrics\n{metrics}\n");
            let pid = service.pid().to_string();
            let stacks = Command::new("gdb")
                .args(["-p", &pid, "-batch", "-ex", "thread apply all bt"])
                .output();
            match stacks {
                Ok(output) => text.push_str(&String::from_utf8_lossy(&output.stdout)),
                Err(error) => writeln!(text, "no stacks: {error}").expect("a string takes all"),
            }
            let path = self.folder.join(format!("{}.stuck", slot.name));
            fs::write(path, text).expect("the folder takes files");
        }
    }
}

/// How many records of a topic are not committed; `None` when nobody knows.
fn lag(asker: &BaseConsumer, topic: &str) -> Option<i64> {
    const ANSWER: Duration = Duration::from_secs(5);
    let mut question = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        question.add_partition(topic, partition);
    }
    let committed = asker.committed_offsets(question, ANSWER).ok()?;
    let mut lag = 0;
    for element in committed.elements() {
        element.error().ok()?;
        let (first, end) = asker.fetch_watermarks(topic, element.partition(), ANSWER).ok()?;
        let offset = match element.offset() {
            Offset::Offset(offset) => offset,
            _ => first,
        };
        lag += (end - offset).max(0);
    }
    Some(lag)
}

fn tail(log: &[String]) -> String {
    log[log.len().saturating_sub(40)..].join("\n")
}

impl Drop for Scene {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.slots.clear();
            // What is left behind is in nobody's way.
            drop(fs::remove_dir_all(&self.folder));
            return;
        }
        for slot in &self.slots {
            if let Some(service) = &slot.service {
                self.ended.borrow_mut().push((slot.name.clone(), service.take_log()));
            }
        }
        for (number, (name, log)) in self.ended.borrow().iter().enumerate() {
            let path = self.folder.join(format!("{number:03}-{name}.log"));
            drop(fs::write(path, log.join("\n")));
        }
        eprintln!("the logs of brokers and processes are in {}", self.folder.display());
    }
}
