//! `barometer`: customer health from Kafka topics, in event time, with exact reasons.
//!
//! ```text
//! bytes -> event -> aggregate -> score -> verdict -> record -> bytes
//!          \________________ engine: pure _______________/
//! ```

pub mod broker;
pub mod clock;
pub mod engine;
pub mod partitioner;
pub mod simulate;
