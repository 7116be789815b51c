//! `barometer`: customer health from Kafka topics, in event time, with exact reasons.
//!
//! ```text
//! bytes -> event -> aggregate -> score -> verdict -> record -> bytes
//!          \________________ engine: pure _______________/
//! ```
//!
//! In reading order: `engine` decides; `task` feeds it one partition number in record-time order;
//! `worker` polls, works and commits through the `broker` trait, behind which `kafka` stands; `view`
//! holds what has been committed, for `http` to show; `app` wires them together from a `config`.
//! Beside that stand the tools for authors of scorecards: `preset`, `card_test`, `explain`,
//! `compare`, `backtest` and `schema`.

pub mod engine;

pub mod app;
pub mod backtest;
pub mod broker;
pub mod capacity;
pub mod card_test;
pub mod checkpoint;
pub mod cli;
pub mod clock;
pub mod compare;
pub mod config;
pub mod dormant;
pub mod explain;
pub mod http;
pub mod in_force;
pub mod input;
pub mod kafka;
pub mod partitioner;
pub mod preset;
pub mod restore;
pub mod routing;
pub mod schema;
pub mod simulate;
pub mod task;
pub mod telemetry;
pub mod view;
pub mod worker;
