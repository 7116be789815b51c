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
//!
//! # Interpretations
//!
//! Where the specification left a choice. The number before each is its section.
//!
//! Events and time
//! - I1 (3) Clock skew is a matter of panes: an event whose pane T has not reached is outside
//!   every window until T enters that pane. An event ahead of T but in the pane that holds T
//!   counts at once. So do its effects without a pane (state of items, first, last, ever), with
//!   ages never below 0.
//! - I2 (2) The ring of 32 event ids also guards profiles that carry an `event_id`; a record it
//!   turns away changes nothing, but T follows its record time. Late-dropped events enter it.
//! - I3 (2) Only `event_id` and `occurred_at` are read as common fields of a profile and both
//!   may be absent there (`occurred_at` is then the record time); its other fields are optional.
//! - I4 (9.3) "First" is the earliest `occurred_at`, not the first arrival; profiles count, a
//!   tombstone does not. A tombstone for an unknown account makes no account.
//! - I5 (3, 9.2) All deadlines of one instant are judged together, as the state at T; then each
//!   record is applied and judged on its own.
//! - I6 (3) `late_dropped` counts usage older than every usage window of the card (a trend
//!   reaches over its baseline) and statuses beyond the item horizon. Answers are not counted.
//! - I7 (9.1) Half up is towards plus infinity, on the shortest decimal digits of the number;
//!   `scale_min` and `scale_max` are in thousandths too. Cutting a time is towards the past.
//!
//! Items
//! - I8 (2) The horizon runs from the `occurred_at` of the status that settled the item
//!   (`resolved`, `closed`, `paid`, `refunded`, `voided`), against T at the arrival of any later
//!   status; at exactly the horizon the item is forgotten and a status is too old.
//! - I9 (2, 9.3) Forgetting ends only the taking of late statuses: what the item has counted
//!   (opened, resolved, paid, due) stays in the windows. A young status of a forgotten id makes
//!   a new item, which is open or unpaid on its own.
//! - I10 (2) Of two records with the same (item, status, `occurred_at`) and different event ids
//!   the greater id is the one kept, so that arrival does not matter.
//! - I11 (2) An answer is known by survey, respondent and `occurred_at`; at equal times the
//!   greater event id is the latest. An anonymous answer is a respondent named by its event id.
//! - I12 (4) A ticket without `opened` is as old as its earliest status, is not in
//!   `support.opened`, and has no resolution time. A reopened ticket's age runs from its
//!   earliest `opened`. Ages in `oldest_open_hours` are whole hours.
//! - I13 (4) Filters on tickets as wholes (open, oldest, resolution) look at the priority and
//!   category last given; filters on statuses (opened: its earliest `opened`; reopened,
//!   escalated) at the record's own, where no priority is `normal` and no category matches none.
//! - I14 (2) `refunded` is a state and settles (also an invoice never paid); an invoice of which
//!   only reminders are known is unpaid, without due date.
//! - I15 (4) Due date, amount and currency of an invoice are those of its latest `issued`;
//!   without one it is never due, overdue or in `days_to_pay`.
//! - I16 (2) `voided` takes an invoice out of overdue, late share and days to pay; counts of
//!   statuses and money already paid (growth) stay.
//! - I17 (4) `late_share` takes invoices whose due date lies in a pane of the window, also when
//!   it is later in the pane that holds T (then not late). Paid late is latest `paid` after
//!   `due_at`, not at it; settled without a `paid` is not late; paid and then unpaid again is
//!   judged as unpaid. Unpaid is overdue from `due_at` itself.
//! - I18 (4) `days_to_pay` is in exact days and looks at settled invoices only: one that failed
//!   after it was paid is out.
//! - I19 (4) `payment.growth` sums every `paid` and takes off every `refunded` record (several
//!   payments of one invoice add up), in each record's own currency. The window before has none
//!   if its sum is 0 or less. A `baseline` key would give the length of the window before;
//!   amounts are compared, not rates.
//! - I20 (9.6) The latest payment record, late-dropped ones too: by time, status order, event id.
//! - I21 (4) `overdue_days` and the counts of payment statuses are of all currencies. "No invoice
//!   ever" is "no payment event ever".
//!
//! Other measures
//! - I22 (9.3) `days_since_last` with `features` is missing until a matching event came.
//! - I23 (4) In `usage.trend`, baseline empty and window not is missing whatever the `prior`;
//!   both empty after use in the past is 0 whatever the `prior`. Use in the past is any usage,
//!   whatever the filter. Without `baseline` it is as long as the window.
//! - I24 (4) Active days and weeks have panes of 1 d and 7 d whatever `pane` says.
//! - I25 (4) Events without `user_id` are no user. 0 seats are no seats.
//! - I26 (4) Filters on answers come before "the latest of each respondent". An assessment is
//!   any survey but nps, csat and ces. NPS counts 9 and above, and 6 and below; 6.5 is passive.
//! - I27 (4) `days_to_renewal` is rounded down below zero too (half a day past is -1).
//!
//! Scores
//! - I28 (5) A reading's age runs from the latest event of the measure's source, filters
//!   ignored; for a survey from the latest answer the measure reads; a profile never ages.
//! - I29 (5, 9.9) A value the `map` does not list is reported as null and `missing`. Stale
//!   values are null too. No curve means the value itself, within 0 to 100.
//! - I30 (5) A comparison with a missing or stale measure or an absent field is false, so its
//!   `not` is true. Conditions look at values, not sub-scores. A list field (`tags`) matches if
//!   one of its elements does. Measures and thresholds compare within 1e-9.
//! - I31 (5) Card-level `mean` weighs dimensions equally and leaves their insides alone. Weight
//!   0 stays watched under `mean`. A dimension without counted measures is out of every weight,
//!   its score is null and its status `missing`.
//! - I32 (7) Under `signed` a measure's weight is points / 100, a missing one adds nothing,
//!   coverage goes by absolute points, a dimension's score is what it alone would make of the
//!   start value. Rows `start` (always) and `clamp` (when it acts, before the gates).
//! - I33 (5) Gates act in the order listed, each on what the one before left. Every gate whose
//!   condition holds has a row, with effect 0 if it moves nothing; also while the score is null,
//!   unless nothing at all is counted.
//! - I34 (5) With `min_coverage: 0` and nothing counted the score is null all the same. Coverage
//!   at the minimum within 1e-9 is enough. Only status `ok` adds to coverage.
//! - I35 (5) Grace lasts until first + grace, exclusive; `grace: 0` is none, even for an event
//!   ahead of T.
//!
//! Bands and reports
//! - I36 (5) An account starts in `unknown` without a record; `band_since` is then the T of its
//!   first record, `previous_band` null.
//! - I37 (9.7) A running dwell goes on while the score is past the edge of the published band,
//!   also inside the margin. In a turn the old dwell ends at once and the new one starts only
//!   past the margin. Inside the published band (its edge included) nothing runs. A score that
//!   comes back from null inside the margin ends the way to `unknown` and starts nothing.
//! - I38 (5) The margin is measured from the edge of the published band, whatever the target.
//! - I39 (6) `previous_published_score` is the score of the last band change; null after
//!   `unknown`, and then `bypass_drop` has nothing to fall from.
//! - I40 (6) Only band changes count as published verdicts here (alerts would too). Deltas after
//!   a null score run from nothing; a change to `unknown` has none.
//! - I41 (7) Measures carry a `band` like dimensions; `window` is the card's own text and absent
//!   where the card gives none.

#![allow(
    dead_code,
    unused_imports,
    reason = "each integration test uses its own part of the model"
)]

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
