//! Random draws that come out the same on every platform.
//!
//! Each use gets dice of its own, made from the fleet's seed, the account, the purpose and an index
//! such as the day: no generator is kept per account, and drawing more for one purpose moves no
//! other. Only `+ - * /` and rounding touch floats (IEEE 754 fixes those to the bit); `exp`, `ln`
//! and the like, whose last bit depends on the platform's library, are left out.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::engine::time::Span;

/// What dice are for; part of their seed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// What an account is like, once.
    Traits = 1,
    /// A day's plan; the index is the local day.
    Day = 2,
    /// A stretch of usage; the index is its start in milliseconds.
    Usage = 3,
    /// How the account's mood wobbles; the index is the week.
    Wobble = 4,
    /// Whether a week is quiet; the index is the week.
    QuietWeek = 5,
    /// What a story comes to for the account, once.
    Fate = 6,
    /// When the account takes its holidays; the index is the year.
    Holidays = 7,
}

/// A source of random draws.
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    pub(super) fn new(seed: u64, account: u32, purpose: Purpose, index: i64) -> Dice {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..12].copy_from_slice(&account.to_le_bytes());
        key[16..24].copy_from_slice(&(purpose as u64).to_le_bytes());
        key[24..].copy_from_slice(&index.to_le_bytes());
        Dice(ChaCha8Rng::from_seed(key))
    }

    /// Evenly from 0 to just below 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.0.random::<u64>() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Evenly from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        // The remainder favours small results by at most span / 2^64.
        low + (self.0.random::<u64>() % (high - low + 1) as u64) as i64
    }

    pub(super) fn span(&mut self, low: Span, high: Span) -> Span {
        Span::from_millis(self.between(low.as_millis(), high.as_millis()))
    }

    pub(super) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.between(0, choices.len() as i64 - 1) as usize]
    }

    /// Bell-shaped around 0 within -1..1, standard deviation 0.29: a mean of four even draws.
    pub(super) fn bell(&mut self) -> f64 {
        (self.unit() + self.unit() + self.unit() + self.unit()) / 2.0 - 1.0
    }

    /// A whole number whose mean is `mean`, spread by 40 % to both sides.
    pub(super) fn count(&mut self, mean: f64) -> u32 {
        let spread = mean * (0.6 + 0.8 * self.unit());
        (spread + self.unit()).floor() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_key_throws_the_same_on_every_platform() {
        let mut dice = Dice::new(7, 3, Purpose::Day, 20_000);
        let throws: Vec<i64> = (0..5).map(|_| dice.between(0, 99_999)).collect();
        assert_eq!(throws, [3_189, 72_055, 40_842, 98_651, 39_595]);
    }

    #[test]
    fn a_count_keeps_its_mean() {
        let mut dice = Dice::new(7, 3, Purpose::Day, 1);
        for mean in [0.04, 0.9, 12.5] {
            let total: u32 = (0..20_000).map(|_| dice.count(mean)).sum();
            let measured = f64::from(total) / 20_000.0;
            assert!((measured / mean - 1.0).abs() < 0.08, "{measured} for {mean}");
        }
    }
}
