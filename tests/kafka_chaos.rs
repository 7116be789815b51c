//! Processes and brokers killed, frozen and doubled on a real Kafka of three brokers, while all five
//! sources keep coming: nothing is lost, nothing is said twice, and what is said is what one engine
//! that never stopped would have said.
//!
//! Each test starts brokers of its own. In a plain run each fault happens in one of the two at least;
//! `tests/chaos.sh --minutes N` goes on for longer.
//!
//!   BAROMETER_CHAOS_MINUTES   how long faults go on
//!   BAROMETER_CHAOS_SEED      of the records, of the order of the faults and of their moments

mod chaos;
mod expected;
mod reference;
mod support;

use std::collections::BTreeMap;
use std::env;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use chaos::check;
use chaos::fault::{self, Fault, Frozen};
use chaos::fleet::{self, CARD, Time, card_of_seconds};
use chaos::scene::Scene;
use expected::{Expected, assert_published};

/// Two clusters at once are too much for a small machine.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const ACCOUNTS_OF_THE_REFERENCE: usize = 20;

/// The faults of the short runs, each once or twice in all.
const SHORT_BY_RECORDS: [Fault; 9] = [
    Fault::KilledAndSoonBack,
    Fault::KilledForLong,
    Fault::Frozen,
    Fault::GroupCoordinatorKilled,
    Fault::KilledWhileABrokerIsDown,
    Fault::TwoOfOneName,
    Fault::AllKilledAtOnce,
    Fault::RollingRestart,
    Fault::KilledWhileOneJoins,
];
const SHORT_BY_WALL: [Fault; 3] =
    [Fault::KilledForLong, Fault::TransactionCoordinatorKilled, Fault::BrokerKilled];

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn whatever_dies_everything_is_said_once_as_if_nothing_had() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut scene, story) = live_through("chaos", Time::Records, CARD, &SHORT_BY_RECORDS);
    scene.load.finish();
    scene.wait_until_all_is_committed();
    scene.wait_until_published();
    check::assert_all_is_expected(&scene);
    check::assert_chains(&scene);
    if minutes().is_none() {
        assert_the_reference_agrees(&scene);
    }
    let dead_letters = check::assert_dead_letters(&scene);
    let reports = check::assert_reports(&scene);
    story.tell(&scene, dead_letters, reports);
    stop_all(&mut scene);
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn by_the_wall_clock_chains_hold_and_scores_end_up_right() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let card = card_of_seconds();
    let (mut scene, story) = live_through("chaos-wall", Time::Wall, &card, &SHORT_BY_WALL);
    scene.load.finish();
    scene.wait_until_all_is_committed();
    scene.wait_until_published();
    check::assert_chains(&scene);
    let dead_letters = check::assert_dead_letters(&scene);
    let reports = check::assert_scores(&scene);
    story.tell(&scene, dead_letters, reports);
    stop_all(&mut scene);
}

/// Of some accounts, what was published is also what the reference model says, from what lies on the
/// topics. It is slow and keeps every event, so there are few of them, and a long run goes without.
fn assert_the_reference_agrees(scene: &Scene) {
    let accounts = fleet::some_accounts(ACCOUNTS_OF_THE_REFERENCE);
    let expected = Expected::read(&scene.kafka, &scene.setup, CARD).only(&accounts);
    let mut events = scene.kafka.read_committed(scene.setup.topic("events"));
    events.retain(|event| accounts.contains(event.key_text()));
    assert!(events.len() > ACCOUNTS_OF_THE_REFERENCE, "only {} events", events.len());
    assert_published(&events, &expected.changes());
}

/// What happened in a run.
struct Story {
    seed: u64,
    faults: BTreeMap<Fault, usize>,
    kills: usize,
    moved: Vec<Duration>,
    frozen: Vec<Frozen>,
}

/// Has faults happen one after the other, and checks everything after each.
fn live_through(what: &str, time: Time, card: &str, short: &[Fault]) -> (Scene, Story) {
    let seed = seed();
    let minutes = minutes();
    let length = minutes.map_or(String::new(), |minutes| format!(" --minutes {minutes}"));
    println!("{what}: seed {seed}; again with `tests/chaos.sh --seed {seed}{length}`");
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let kinds = if minutes.is_some() { &fault::ROUND[..] } else { short };
    let mut faults = fault::shuffled(kinds, &mut dice);
    let mut scene = Scene::start(what, time, card, seed, dice);
    let mut story =
        Story { seed, faults: BTreeMap::new(), kills: 0, moved: Vec::new(), frozen: Vec::new() };
    let ends_at = minutes.map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
    for turn in 0.. {
        let Some(fault) = faults.pop() else {
            if ends_at.is_none() {
                break;
            }
            faults = fault::shuffled(kinds, &mut scene.dice);
            continue;
        };
        if ends_at.is_some_and(|end| Instant::now() >= end) {
            break;
        }
        let at = scene.started.elapsed().as_secs();
        println!("{what}: {at:>4} s: {fault:?}");
        let seen = fault::happen(fault, &mut scene, turn);
        scene.settle();
        match time {
            Time::Records => check::assert_published_is_expected(&scene),
            Time::Wall => check::assert_chains(&scene),
        }
        story.frozen.extend(seen.frozen);
        check::assert_the_frozen_said_nothing(&scene, &story.frozen);
        *story.faults.entry(fault).or_default() += 1;
        story.kills += seen.kills;
        story.moved.extend(seen.moved);
        scene.load.resume();
    }
    (scene, story)
}

impl Story {
    /// For people: nothing of this decides whether the run went well.
    fn tell(&self, scene: &Scene, dead_letters: usize, reports: usize) {
        let oracle = scene.oracle.lock().expect("it does not panic");
        let count: usize = self.faults.values().sum();
        let stretches = scene.commits.stretches();
        let commits: u64 = stretches.values().flatten().map(|stretch| stretch.commits).sum();
        let hands: usize = stretches
            .values()
            .map(|stretches| {
                stretches.windows(2).filter(|two| two[0].owner != two[1].owner).count()
            })
            .sum();
        println!("seed {}: {:.0?}", self.seed, scene.started.elapsed());
        println!("  {count} faults: {:?}", self.faults);
        println!("  {} processes killed, {} frozen", self.kills, self.frozen.len());
        println!(
            "  {} records, {} verdicts, {dead_letters} dead letters, {reports} last reports",
            oracle.records(),
            scene.published.lock().count
        );
        println!("  {commits} offset commits; partitions changed hands {hands} times");
        let (hanging, anew) = (scene.said("did not come back"), scene.said("a new member joins"));
        println!("  {hanging} calls left behind, {anew} sessions run out and joined anew");
        let mut moved = self.moved.clone();
        moved.sort_unstable();
        if let (Some(least), Some(most)) = (moved.first(), moved.last()) {
            let middle = moved[moved.len() / 2];
            println!(
                "  from a kill to the first verdict of what moved: {least:.1?} to {most:.1?}, \
                 median {middle:.1?}, {} partitions",
                moved.len()
            );
        }
    }
}

fn stop_all(scene: &mut Scene) {
    for place in 0..scene.slots.len() {
        scene.stop(place);
    }
}

fn minutes() -> Option<u64> {
    let minutes = env::var("BAROMETER_CHAOS_MINUTES").ok()?;
    Some(minutes.parse().expect("BAROMETER_CHAOS_MINUTES is a whole number"))
}

fn seed() -> u64 {
    match env::var("BAROMETER_CHAOS_SEED") {
        Ok(seed) => seed.parse().expect("BAROMETER_CHAOS_SEED is a whole number"),
        Err(_) => rand::random_range(0..1_000_000),
    }
}
