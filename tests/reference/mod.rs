//! The judge: a slow, plain model of the specification (domain.md), to compare the engine with.
//!
//! It keeps every accepted event and computes everything anew at every instant that could
//! matter. It shares no code with the engine. Leaves out reasons as sentences,
//! relative bands, selection between scorecards, validation and dead letters.
//!
//! ```ignore
//! let mut model = Model::new(Card::parse(yaml));
//! model.feed(&Record::new(Source::Usage, record_time_ms, body)); // T follows record time
//! model.advance_to(t);
//! model.verdicts("acme"); // band changes and alerts, in order
//! model.report("acme", t); // section 7
//! let mut model = model.with_outage_guard(); // off unless asked for
//! model.outages(); // what operators are told
//! ```
//!
//! # Choices
//!
//! Where the specification leaves a choice, engine and model have made the same one:
//!
//! - An item is settled until `item_horizon` after its latest status of any kind (a reminder too),
//!   so that no status that was counted can come again as a new item's. A horizon is full at its
//!   millisecond, for forgetting and for "too old" alike.
//! - A status or answer told twice (same item, status and instant; same respondent, survey and
//!   instant) counts once, with the details of the greater event id, before any filter is asked.
//! - The latest payment record, for the currency, is the last by instant, status and event id.
//! - A voided invoice is gone with what was paid on it (`payment.growth`); the statuses it had
//!   (failed, reminded, disputed) stay counted. An invoice without `issued` is neither due nor owed.
//! - "Older than every window" asks no filter: usage is late-dropped by its instant alone.
//! - `stale_after` counts from the latest event of the measure's source (filters ignored, as for
//!   "last"), but for `usage.days_since_last` (the latest it reads) and surveys (the latest answer
//!   in the window). Profile measures age with the latest profile record. `stale` is what would
//!   have a value; what has none anyway is `missing`.
//! - A grace of 0 is none, even where the first event is ahead of the clock.
//! - A dimension's own score weighs its measures among themselves also where the dimension counts
//!   for nothing; under `signed` it is the score that the dimension alone would make. Its status is
//!   that of its counted measures (`ok` before `stale` before `missing`), of all where none counts.
//! - Where nothing can be weighed there is no score that a gate could limit: no gate is shown.
//!   Under the minimum coverage and in grace, gates are shown with what they would do.
//! - Deltas of contributions count every part as 0 where there is no score, before or after.
//! - A look at an account is one record, or one deadline, with all that follows from it. Of an alert:
//!   - `at_most` is part of the condition of a drop that does not fire yet: above it the clocks of its
//!     levels are reset. A firing drop goes by the drop alone.
//!   - Without a score only what does not fire is reset; what fires may also grow worse. A firing
//!     drop then ends by its time or by its `where`.
//!   - A drop's new low at the very instant at which `within` is full comes first if time brought it,
//!     too late if a record did. A low by less than 1e-9 is none.
//!   - A pending alert has the severity of the worst level that holds, and began with the mildest.
//!   - A band change in silence counts as the last verdict, with which the first published one
//!     compares; an episode in silence does not. One that ends at `publish_from` itself was never
//!     published; one that grows worse there is published once, as begun.
//! - An override that has no effect when it comes (over already, or of a band that the card does not
//!   know) is not the latest of anything; a withdrawal always may be. One of the band that is
//!   published leaves `band_since` and `previous_band` as they were. Its records are the last
//!   band-change records for `bypass_drop`, and its survey record counts as an event.
//! - The outage guard counts every record but the repeat of an event id: what is late-dropped, what is no
//!   answer (overrides, feedback), and the same status or answer under another id too. One hour may both trip and clear. All clocks that thaw at an instant go on before any
//!   hour is taken there. What clears at `publish_from` itself was never published.
//! - The clock of a source that stands still is also the one by which its events are too late (older
//!   than every window, beyond the item horizon). The `hold` of an alert runs in task time.
//! - `band_since` and `previous_band` are null until the band first changes.
//! - Durations are written in their largest unit (`60m` is `1h`, `2w` is `14d`).

#![allow(
    dead_code,
    unused_imports,
    reason = "each integration test uses its own part of the model"
)]

pub mod account;
pub mod alert;
pub mod band;
pub mod card;
pub mod clock;
pub mod event;
pub mod guard;
pub mod measures;
pub mod model;
pub mod report;
pub mod score;

pub use card::Card;
pub use event::{DAY_MS, HOUR_MS, Record, Source};
pub use model::Model;
