//! Runs a property over many cases, and says in full what broke it.
//!
//! `BAROMETER_CASES` sets the number of cases of each property, `BAROMETER_SEED` (a number) which
//! ones. The same seed gives the same cases, so a plain `cargo test` says the same every time.

use std::env;
use std::fmt::Debug;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

/// Holds `property` against `default_cases` cases, or as many as the environment asks for.
pub fn check<S>(default_cases: u32, cases: S, property: impl Fn(&S::Value) -> Result<(), String>)
where
    S: Strategy,
    S::Value: Debug,
{
    let count = number("BAROMETER_CASES").map_or(default_cases, |count| count as u32);
    let seed = number("BAROMETER_SEED").unwrap_or(1);
    let mut seed_bytes = [0; 32];
    seed_bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases: count,
        failure_persistence: None,
        max_shrink_iters: 20_000,
        max_shrink_time: 30_000,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed_bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let outcome = runner.run(&cases, |case| property(&case).map_err(TestCaseError::fail));
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(reason, case)) => {
            panic!("BAROMETER_SEED={seed}\n{reason}\n{case:?}")
        }
        Err(TestError::Abort(reason)) => panic!("BAROMETER_SEED={seed}: {reason}"),
    }
}

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is `{text}`, expected a number")))
}
