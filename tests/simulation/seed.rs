//! One seed from its beginning to its judgement.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use barometer::capacity::Capacity;
use barometer::engine::event::{DecodeLimits, Source};
use barometer::engine::limits::Limits;
use barometer::engine::snapshot::KeptAccount;
use barometer::engine::time::Span;
use barometer::restore::OffsetReset;
use barometer::task::{TaskSettings, TaskTime};
use barometer::telemetry::metrics::Metrics;
use barometer::worker::Pace;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::history::History;
use super::member::Mistake;
use super::oracle::{Expected, Told, gauges_of, judge, state_of};
use super::weather::{Counts, Weather};
use super::world::{Plan, World};

/// What is counted when inputs are deleted that are still needed.
pub const DELETED: &str = "needed inputs deleted";
/// How long trouble may last at most.
const TROUBLE_MS: i64 = 40_000;
/// How long it takes at most until all is done once nothing goes wrong any more.
const PATIENCE_MS: i64 = 120_000;
/// Lines of the trace that are shown.
const SHOWN_LINES: usize = 120;

/// What was wrong with a seed.
#[derive(Debug)]
pub struct Failure {
    what: String,
    trace: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.trace {
            writeln!(f, "{line}")?;
        }
        write!(f, "{}", self.what)
    }
}

/// Runs a seed; returns what happened in it, and whether all was well. `traces` has it take notes.
pub fn run(seed: u64, mistake: Option<Mistake>, traces: bool) -> (Counts, Result<(), Failure>) {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let partitions = dice.random_range(1..5);
    let history = History::of(&mut dice, partitions);
    let plan = plan(&mut dice, partitions, &history, mistake);
    let world = World::new(plan, dice, history.batches, traces);
    let outcome = live(&world);
    // Workers hold the world that holds them.
    world.crash_all();
    let mut counts = world.counts.borrow().clone();
    counts.add_many("rebalance during a rebalance", world.group.borrow().overlaps);
    let outcome = outcome.map_err(|what| {
        let trace = world.trace.borrow();
        let first = trace.len().saturating_sub(SHOWN_LINES);
        Failure {
            what: format!("seed {seed}: {what}"),
            trace: trace.iter().skip(first).cloned().collect(),
        }
    });
    (counts, outcome)
}

fn plan(
    dice: &mut ChaCha8Rng,
    partitions: i32,
    history: &History,
    mistake: Option<Mistake>,
) -> Plan {
    let mut weather = Weather::of(dice);
    let forgets_inputs = dice.random_range(0..20) == 0;
    if forgets_inputs {
        weather.retention = 20_000;
    }
    let mut one_of = |choices: [i64; 4]| choices[dice.random_range(0..4)];
    let mut settings = TaskSettings {
        limits: DecodeLimits::default(),
        account_limits: Limits::NONE,
        capacity: Arc::new(Capacity::endless()),
        task_time: TaskTime::Records,
        outage_guard: history.outage_guard,
        scores_min_interval: Span::from_millis(one_of([0, 0, 0, 500])),
        event_source: "/barometer/simulated".to_owned(),
        owner: String::new(),
        group: "simulated".to_owned(),
        changelog: "barometer-changelog".to_owned(),
        checkpoint_interval: Span::from_millis(one_of([200, 1_000, 3_000, 10_000])),
        // Small ones have accounts written in parts.
        changelog_bytes_max: one_of([300, 900_000, 900_000, 900_000]) as usize,
        offset_reset: OffsetReset::Fail,
        at_least_once: false,
        dead_letter_bytes_max: 900_000,
        topics: Source::ALL.map(|source| source.default_topic().to_owned()),
    };
    let mut pace = Pace {
        interval: Duration::from_millis(one_of([20, 100, 100, 1_000]) as u64),
        gap_min: Duration::from_millis(one_of([1, 20, 20, 100]) as u64),
        catching_up: Duration::from_millis(1_000),
        looks: 1_000,
    };
    let membership = one_of([0, 1, 2, 2]);
    let mut most = || [usize::MAX, usize::MAX, 4, 2][one_of([0, 1, 2, 3]) as usize];
    // What is forgotten comes again under the ids it had, which is not looked at here.
    settings.account_limits =
        Limits { items_per_account: most(), users_per_account: most(), forget_after: None };
    // Few, so that events overtake the deadlines and the waking of others.
    pace.looks = one_of([0, 2, 1_000, 1_000]) as usize;
    Plan {
        partitions,
        settings: Arc::new(settings),
        rules: Arc::clone(&history.rules),
        pace,
        session_timeout: one_of([1_500, 3_000, 6_000, 6_000]),
        rebalance_timeout: one_of([3_000, 10_000, 10_000, 30_000]),
        transaction_timeout: one_of([1_000, 3_000, 10_000, 10_000]),
        markers_after: one_of([0, 20, 200, 2_000]),
        static_members: membership == 0,
        incremental: membership == 1,
        workers: dice.random_range(1..4),
        processes: dice.random_range(1..4),
        weather,
        mistake,
        forgets_inputs,
    }
}

fn live(world: &Rc<World>) -> Result<(), String> {
    for number in 0..world.plan.processes {
        world.start(&format!("p{number}"));
    }
    let began = world.now();
    while world.now() < began + TROUBLE_MS && !(world.is_fed() && world.now() > began + 15_000) {
        world.run_until(world.now() + 500);
    }
    world.calm_down();
    let done = wait_until_done(world, "after the trouble");
    let expected = Expected::of(world);
    if done.is_err() && world.counts.borrow().of(DELETED) > 0 {
        return stops_at_the_gap(world, &expected);
    }
    done?;
    judge(&expected.told, &Told::of(world), true)?;
    if world.counts.borrow().of(DELETED) > 0 {
        // What was deleted may be needed to read state back.
        return Ok(());
    }
    reads_back(world, &expected)
}

fn wait_until_done(world: &Rc<World>, when: &str) -> Result<(), String> {
    let deadline = world.now() + PATIENCE_MS;
    let mut done_since = None;
    loop {
        world.run_until(world.now() + 200);
        check_failures(world)?;
        let done = world.is_fed() && world.is_done() && world.is_ready();
        match (done, done_since) {
            (false, _) => done_since = None,
            (true, None) => done_since = Some(world.now()),
            // Reports that are held back, and the last checkpoints.
            (true, Some(since)) if since + 2_500 <= world.now() => return Ok(()),
            (true, Some(_)) => {}
        }
        if world.now() > deadline {
            return Err(format!("{when}: not done after {PATIENCE_MS} ms: {}", world.standing()));
        }
    }
}

/// A process ends by itself only where another one has taken its name.
fn check_failures(world: &Rc<World>) -> Result<(), String> {
    let failures = world.failures.borrow();
    let bad = failures.iter().find(|failure| !failure.contains("the same instance name"));
    bad.map_or(Ok(()), |failure| Err(format!("a process ended by itself: {failure}")))
}

/// Inputs were deleted that were still needed: that has to be said, and nothing that came after them
/// is taken as if they had never been.
fn stops_at_the_gap(world: &Rc<World>, expected: &Expected) -> Result<(), String> {
    let failures = world.failures.borrow();
    let says_so = |failure: &&String| failure.contains("records were deleted");
    if failures.iter().filter(says_so).count() == 0 {
        return Err(format!("inputs are missing, and all that is said is {failures:?}"));
    }
    world.count("stopped at a gap");
    judge(&expected.told, &Told::of(world), false)
}

/// All processes die, and one new one reads everything back: it shows what the oracle knows, and has
/// nothing to add. Stopped, it leaves what the oracle would, and the next start has nothing to read
/// again.
fn reads_back(world: &Rc<World>, expected: &Expected) -> Result<(), String> {
    world.crash_all();
    let metrics = Arc::new(Metrics::new());
    world.start_counting("after", &metrics);
    wait_until_done(world, "after all had died")?;
    judge(&expected.told, &Told::of(world), true)?;
    shows(world, expected)?;
    let gauges = gauges_of(&metrics);
    if gauges != expected.gauges {
        return Err(format!("metrics say {gauges:?}, expected {:?}", expected.gauges));
    }
    world.stop_all();
    // The last commit's markers are under way.
    world.run_until(world.now() + world.plan.markers_after + 500);
    for (account, value) in world.state() {
        let Some(wanted) = expected.accounts.get(&account) else {
            return Err(format!("`{account}` is kept and never was"));
        };
        let state = state_of(&world.plan.rules, &account, &value, wanted.as_of);
        if Some(&state) != expected.state.get(&account) {
            return Err(format!(
                "`{account}` is kept as {}",
                differing(&account, &state, expected)
            ));
        }
    }
    let replayed = world.counts.borrow().of("inputs replayed");
    world.start("at last");
    wait_until_done(world, "after a stop")?;
    if world.counts.borrow().of("inputs replayed") != replayed {
        return Err("inputs are read again after a stop".to_owned());
    }
    judge(&expected.told, &Told::of(world), true)?;
    shows(world, expected)
}

fn shows(world: &Rc<World>, expected: &Expected) -> Result<(), String> {
    for (account, wanted) in &expected.accounts {
        match world.shown(account) {
            Some(shown) if shown.says_the_same_as(wanted) => {}
            Some(shown) => {
                return Err(format!("`{account}` is shown as\n{shown:?}\nexpected\n{wanted:?}"));
            }
            None => return Err(format!("`{account}` is not shown")),
        }
    }
    Ok(())
}

fn differing(account: &str, state: &[u8], expected: &Expected) -> String {
    let described = |state: &[u8]| match KeptAccount::open(account.as_bytes(), state) {
        Ok(kept) => format!("{kept:?}"),
        Err(error) => error.to_string(),
    };
    let wanted = expected.state.get(account).map_or_else(String::new, |state| described(state));
    format!("\n{}\nexpected\n{wanted}", described(state))
}
