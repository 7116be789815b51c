//! The engine: events and time in, verdicts out.
//!
//! Pure: no clock, no threads, no Kafka, no files, no logging. Time is an argument, and the same
//! input gives the same output. Its inputs cannot fail; what cannot be decoded never gets here.

pub mod event;
pub mod scorecard;
pub mod time;
pub mod yaml;
