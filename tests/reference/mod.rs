//! The judge: a slow, plain model of the specification (domain.md), to compare the engine with.
//!
//! It keeps every accepted event and computes everything anew at every instant that could
//! matter. It shares no code with the engine. Leaves out alerts, reasons as sentences, the
//! outage guard, relative bands, selection between scorecards, `publish_from`, validation and
//! dead letters.
//!
//! ```ignore
//! let mut model = Model::new(Card::parse(yaml));
//! model.feed(&Record::new(Source::Usage, record_time_ms, body)); // T follows record time
//! model.advance_to(t);
//! model.changes("acme"); // band changes, in order
//! model.report("acme", t); // section 7
//! ```

#![allow(dead_code, reason = "each integration test uses its own part of the model")]

pub mod account;
pub mod band;
pub mod card;
pub mod event;
pub mod measures;
pub mod model;
pub mod report;
pub mod score;

pub use card::Card;
pub use event::{DAY_MS, HOUR_MS, Record, Source};
pub use model::Model;
