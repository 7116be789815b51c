//! The faults. Each is one function that leaves brokers and processes running again.

use std::thread;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::PATIENCE;
use super::cluster::{BROKERS, Cluster};
use super::scene::{SESSION, Scene, TRANSACTION};
use crate::support::service::{Service, now_millis};

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// `kill -9`, and back under its name before anybody else has its partitions.
    KilledAndSoonBack,
    /// `kill -9`, and back when others have its partitions.
    KilledForLong,
    /// SIGSTOP until its session and its transaction are over, then SIGCONT.
    Frozen,
    /// One broker killed, and brought back.
    BrokerKilled,
    /// The same, of the broker that coordinates the group.
    GroupCoordinatorKilled,
    /// The same, of the broker that coordinates one process's transactions.
    TransactionCoordinatorKilled,
    /// `kill -9` of a process while a broker is down.
    KilledWhileABrokerIsDown,
    /// A second process with a name that is taken.
    TwoOfOneName,
    /// `kill -9` of all processes at once; others, which know nothing, take their place.
    AllKilledAtOnce,
    /// SIGTERM to one after the other, each started again at once.
    RollingRestart,
    /// Another process joins; one is killed during that rebalance; the other leaves again.
    KilledWhileOneJoins,
}

/// Every kind once, and killing twice, which is the most common.
pub const ROUND: [Fault; 13] = [
    Fault::KilledAndSoonBack,
    Fault::KilledForLong,
    Fault::Frozen,
    Fault::BrokerKilled,
    Fault::KilledAndSoonBack,
    Fault::GroupCoordinatorKilled,
    Fault::TransactionCoordinatorKilled,
    Fault::KilledWhileABrokerIsDown,
    Fault::TwoOfOneName,
    Fault::AllKilledAtOnce,
    Fault::KilledForLong,
    Fault::RollingRestart,
    Fault::KilledWhileOneJoins,
];

/// These faults in an order of its own.
pub fn shuffled(faults: &[Fault], dice: &mut ChaCha8Rng) -> Vec<Fault> {
    let mut faults = faults.to_vec();
    faults.shuffle(dice);
    faults
}

/// What was seen of a fault.
#[derive(Default)]
pub struct Seen {
    /// How often a process was killed with SIGKILL.
    pub kills: usize,
    /// From a kill to the first verdict of an account that moved for it, by partition number.
    pub moved: Vec<Duration>,
    /// A process that was frozen, when that began, and when it was a member again.
    pub frozen: Option<Frozen>,
}

/// A stretch of time in which a process may not commit anything.
#[derive(Clone, Debug)]
pub struct Frozen {
    pub owner: String,
    pub from_ms: i64,
    pub to_ms: i64,
}

/// Has it happen, and waits until everybody is back.
pub fn happen(fault: Fault, scene: &mut Scene, turn: usize) -> Seen {
    let place = turn % scene.slots.len();
    let moment = scene.dice.random_range(500..2_500);
    thread::sleep(Duration::from_millis(moment));
    let mut seen = Seen::default();
    match fault {
        Fault::KilledAndSoonBack => {
            scene.kill(place);
            seen.kills = 1;
            let pause = scene.dice.random_range(0..2_000);
            thread::sleep(Duration::from_millis(pause));
            scene.start_in(place);
        }
        Fault::KilledForLong => {
            seen = killed_for_long(scene, place);
            scene.start_in(place);
        }
        Fault::Frozen => seen.frozen = Some(frozen(scene, place)),
        Fault::BrokerKilled => {
            let broker = scene.dice.random_range(1..=BROKERS);
            let seconds = scene.dice.random_range(1..12);
            broker_killed(scene, broker, Duration::from_secs(seconds));
        }
        Fault::GroupCoordinatorKilled => {
            let broker = Cluster::group_coordinator(&scene.kafka, scene.setup.group());
            broker_killed(scene, broker, Duration::from_secs(12));
        }
        Fault::TransactionCoordinatorKilled => {
            let id = scene.slots[place].transactional_id(scene.setup.group());
            let broker = Cluster::transaction_coordinator(&scene.kafka, &id);
            broker_killed(scene, broker, Duration::from_secs(12));
        }
        Fault::KilledWhileABrokerIsDown => {
            let broker = scene.dice.random_range(1..=BROKERS);
            scene.kill_broker(broker);
            let pause = scene.dice.random_range(0..4_000);
            thread::sleep(Duration::from_millis(pause));
            scene.kill(place);
            seen.kills = 1;
            scene.start_in(place);
            thread::sleep(Duration::from_secs(4));
            scene.resume_broker(broker);
        }
        Fault::TwoOfOneName => two_of_one_name(scene, place),
        Fault::AllKilledAtOnce => {
            let places = 0..scene.slots.len();
            for place in places.clone() {
                scene.slots[place].service().signal("KILL");
            }
            for place in places {
                scene.take_away(place);
                seen.kills += 1;
                let slot = &mut scene.slots[place];
                let stem = slot.name.split('-').next().unwrap_or_default();
                slot.name = format!("{stem}-{turn}");
                scene.start_in(place);
            }
        }
        Fault::RollingRestart => {
            for place in 0..scene.slots.len() {
                scene.stop(place);
                scene.start_in(place);
                wait_until_joined(scene, place);
            }
        }
        Fault::KilledWhileOneJoins => {
            let home = scene.setup.named("spare");
            let mut spare = home.run(&["--workers", "1"]);
            let pause = scene.dice.random_range(100..3_000);
            thread::sleep(Duration::from_millis(pause));
            scene.kill(place);
            seen.kills = 1;
            scene.start_in(place);
            wait_until_joined(scene, place);
            spare.signal("TERM");
            let (status, log) = spare.wait();
            scene.keep_log(place, log);
            assert_eq!(status.code(), Some(0), "the spare was told to stop");
        }
    }
    for place in 0..scene.slots.len() {
        wait_until_joined(scene, place);
    }
    seen
}

/// Every worker of the process has been given its partitions, or none to give.
fn wait_until_joined(scene: &Scene, place: usize) {
    let slot = &scene.slots[place];
    slot.service().wait_for_line("partitions assigned", slot.workers);
}

/// Kills a process and waits until others have published something in each of its partitions.
fn killed_for_long(scene: &mut Scene, place: usize) -> Seen {
    let owner = scene.slots[place].name.clone();
    let owned: Vec<i32> = scene
        .commits
        .stretches()
        .iter()
        .filter(|(_, stretches)| stretches.last().is_some_and(|last| last.owner == owner))
        .map(|(partition, _)| *partition)
        .collect();
    let killed = Instant::now();
    scene.kill(place);
    // What it had published is on its way to readers for a moment; nobody else can have its
    // partitions before its session is over.
    thread::sleep(SESSION / 2);
    scene.published.lock().first_after = owned.iter().map(|number| (*number, None)).collect();
    let deadline = Instant::now() + PATIENCE;
    let moved = loop {
        let came: Vec<Option<Instant>> = {
            let state = scene.published.lock();
            owned.iter().map(|number| state.first_after[number]).collect()
        };
        if came.iter().all(Option::is_some) {
            break came.into_iter().flatten().map(|at| at - killed).collect();
        }
        scene.assert_all_run();
        assert!(Instant::now() < deadline, "nobody took over what `{owner}` held: {owned:?}");
        thread::sleep(Duration::from_millis(20));
    };
    Seen { kills: 1, moved, frozen: None }
}

/// Stops a process until its partitions are others', and lets it go on.
fn frozen(scene: &mut Scene, place: usize) -> Frozen {
    let workers = scene.slots[place].workers;
    let before = scene.slots[place].service().said("partitions assigned");
    scene.slots[place].service().signal("STOP");
    let from_ms = now_millis();
    thread::sleep(SESSION + TRANSACTION + Duration::from_secs(2));
    let service = scene.slots[place].service();
    service.signal("CONT");
    // Its first commit may follow at once, so the moment is that of its own words.
    let line = service.wait_for_line("partitions assigned", before + 1);
    service.wait_for_line("partitions assigned", before + workers);
    let owner = scene.slots[place].name.clone();
    Frozen { owner, from_ms, to_ms: said_at(&line) }
}

fn broker_killed(scene: &mut Scene, broker: i32, down_for: Duration) {
    scene.kill_broker(broker);
    thread::sleep(down_for);
    scene.assert_all_run();
    scene.resume_broker(broker);
}

/// A second process under the name of the one in this place. One of the two must give up, and say
/// why; the other goes on.
fn two_of_one_name(scene: &mut Scene, place: usize) {
    let slot = &scene.slots[place];
    let home = scene.setup.named(&slot.name);
    let mut second = home.run(&["--workers", &slot.workers.to_string()]);
    let deadline = Instant::now() + PATIENCE;
    let mut first = scene.slots[place].service.take().expect("a process runs in this place");
    let (mut loser, winner) = loop {
        if first.ended().is_some() {
            break (first, second);
        }
        if second.ended().is_some() {
            break (second, first);
        }
        let logs = |service: &Service| service.log().join("\n");
        assert!(
            Instant::now() < deadline,
            "both go on under one name:\n{}\n-----\n{}",
            logs(&first),
            logs(&second)
        );
        thread::sleep(Duration::from_millis(20));
    };
    let (status, log) = loser.wait();
    scene.slots[place].service = Some(winner);
    scene.slots[place].homes.push(home);
    let told = "another process runs under the same `kafka.instance`";
    let said = log.iter().any(|line| line.contains(told));
    assert!(status.code() == Some(1) && said, "{status}:\n{}", log.join("\n"));
    scene.keep_log(place, log);
}

/// The time at the beginning of a log line, epoch milliseconds.
fn said_at(line: &str) -> i64 {
    let time = line.split_whitespace().next().unwrap_or_default();
    let time: jiff::Timestamp = time.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
    time.as_millisecond()
}
