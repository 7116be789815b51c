//! The customer simulator behind `demo` and `generate`: a fleet of made-up accounts and the events
//! they cause on the five topics, in record-time order, without end.
//!
//! ```text
//! seed -> story -> hidden health -> usage, tickets, payments, surveys, profile -> lines
//! ```
//!
//! It knows the input format and nothing of scoring, so that what a scorecard finds in its events
//! is a finding. What shows is not what threatens: some leave without a sign, many look ill and
//! stay, and everybody has weekends and holidays. It leaves out what input should not hold:
//! duplicates, records that cannot be decoded and outages; tests that want those add them.

mod customer;
mod dice;
mod fleet;
mod happening;
pub mod line;
mod names;
mod payments;
mod profile;
mod story;
mod surveys;
#[cfg(test)]
mod tests;
mod tickets;
mod usage;

use crate::engine::event::Source;
use crate::engine::time::EventTime;

pub use fleet::{Fleet, FleetSettings, Truth};
pub use story::{Story, StoryShares};

/// One record as a producer would send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatedEvent {
    /// Which topic it belongs on.
    pub source: Source,
    /// The account, which is the record's key.
    pub account_id: String,
    /// When it happened: the body's `occurred_at`.
    pub occurred_at: EventTime,
    /// The Kafka record's timestamp: when the producer sent it, a little later.
    pub record_time: EventTime,
    /// The record's value: one JSON object.
    pub body: String,
}
