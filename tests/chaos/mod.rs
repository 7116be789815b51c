//! Faults on a real Kafka of three brokers, under load, one after the other and at random moments.

#![allow(dead_code, reason = "the two runs use their own parts of it")]

pub mod check;
pub mod cluster;
pub mod fault;
pub mod fleet;
pub mod load;
pub mod oracle;
pub mod scene;
pub mod tap;

use std::time::Duration;

/// Longer than brokers and processes take to get over anything; what takes longer is stuck.
pub const PATIENCE: Duration = Duration::from_secs(120);
