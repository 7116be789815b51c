//! Two scorecards over one history: who would be judged otherwise, and how much each would have had
//! to say.
//!
//! Each record is decoded once and given to both engines. What is counted is what they publish; the
//! bands are compared at the end. Where the history comes from is somebody else's.

mod tally;
mod text;

use std::sync::Arc;

use serde::Serialize;

use crate::engine::Engine;
use crate::engine::event::Event;
use crate::engine::scorecard::{Scorecard, UNKNOWN_BAND};
use crate::engine::time::{EventTime, Span};
use crate::engine::verdict::band_name;

pub use tally::{Counts, FLAP_WITHIN, MONTH, Tally, WHY_NO_RATES, Watched, share};
pub use text::text;

/// Two engines while the history goes through them.
#[derive(Debug)]
pub struct Comparison {
    sides: [Side; 2],
    /// First and last record time; `None` before the first.
    span: Option<(EventTime, EventTime)>,
    /// Sum of the accounts' first record times, in days since 1970.
    first_days_sum: f64,
}

#[derive(Debug)]
struct Side {
    card: Arc<Scorecard>,
    engine: Engine,
    tally: Tally,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// How many accounts there are.
    pub accounts: usize,
    /// Record time of the first record.
    pub from: Option<EventTime>,
    /// Task time of the end; `null` like `from` where there is no record.
    pub to: Option<EventTime>,
    /// Sum over the accounts of the time since their first record, in months of 30 days.
    pub account_months: f64,
    /// The first card.
    pub a: CardOutcome,
    /// The second.
    pub b: CardOutcome,
    /// Accounts by band at the end: a row for each band of `a`, worst first, `unknown` last.
    pub matrix: Vec<Row>,
    /// Accounts in bands of different names at the end, the largest difference in score first.
    pub different: Vec<Difference>,
}

/// What one card makes of the history.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CardOutcome {
    /// Its id.
    pub scorecard: String,
    /// The hash of its content.
    pub scorecard_hash: String,
    /// What it would have published.
    #[serde(flatten)]
    pub counts: Counts,
    /// Changes of band per 100 accounts a month; `null` where the history is too short to tell.
    pub band_changes_per_100_accounts_month: Option<f64>,
    /// Alerts that fired per 100 accounts a month; `null` like the one before.
    pub alerts_per_100_accounts_month: Option<f64>,
    /// Share of the changes between bands that were taken back within 14 days.
    pub flap_rate: Option<f64>,
}

/// The accounts in one band of the first card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The band.
    pub a: String,
    /// How many of them are in each band of the second card, worst first, `unknown` last.
    pub b: Vec<Cell>,
}

/// Some of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// The second card's band.
    pub band: String,
    /// How many.
    pub accounts: u64,
}

/// An account that the cards do not agree about.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The account.
    pub account_id: String,
    /// By the first card.
    pub a: Judgement,
    /// By the second.
    pub b: Judgement,
}

/// What a card says of an account.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judgement {
    /// The published band.
    pub band: String,
    /// The score; `null` where there is none.
    pub score: Option<f64>,
}

impl Comparison {
    /// Nothing seen yet.
    pub fn new(a: Arc<Scorecard>, b: Arc<Scorecard>) -> Comparison {
        Comparison { sides: [Side::new(a), Side::new(b)], span: None, first_days_sum: 0.0 }
    }

    /// Has both engines watch for outages of whole sources.
    pub fn with_outage_guard(self) -> Comparison {
        let guarded = |side: Side| Side { engine: side.engine.with_outage_guard(), ..side };
        Comparison { sides: self.sides.map(guarded), ..self }
    }

    /// Takes an event that was learnt of at `record_time`, which never goes back.
    pub fn take(&mut self, event: &Event<'_>, record_time: EventTime) {
        let (first, _) = self.span.unwrap_or((record_time, record_time));
        self.span = Some((first, record_time));
        let known_before = self.sides[0].engine.account_count();
        for side in &mut self.sides {
            side.engine.advance_to(record_time);
            side.engine.handle_event(event);
            side.count();
        }
        if self.sides[0].engine.account_count() > known_before {
            self.first_days_sum += days(record_time);
        }
    }

    /// What came of it, once time has gone on to `as_of` (without it: to the last record).
    pub fn finish(mut self, as_of: Option<EventTime>) -> Outcome {
        let (from, to) = match self.span {
            Some((first, last)) => (Some(first), Some(as_of.unwrap_or(last).max(last))),
            None => (None, None),
        };
        for side in &mut self.sides {
            side.engine.advance_to(to.unwrap_or(EventTime::MIN));
            side.count();
        }
        let accounts = self.sides[0].engine.account_count();
        let account_days = to.map_or(0.0, |to| accounts as f64 * days(to)) - self.first_days_sum;
        let account_months = account_days * Span::DAY.as_millis() as f64 / MONTH.as_millis() as f64;
        let (matrix, different) = self.compare_bands();
        let span = from.zip(to).map_or(Span::ZERO, |(from, to)| to.since(from));
        let watched = Watched { span, account_months };
        let [a, b] = self.sides.map(|side| side.outcome(watched));
        Outcome { accounts, from, to, account_months, a, b, matrix, different }
    }

    fn compare_bands(&mut self) -> (Vec<Row>, Vec<Difference>) {
        let [a, b] = &mut self.sides;
        let (rows, columns) = (a.band_names(), b.band_names());
        let mut counts = vec![vec![0; columns.len()]; rows.len()];
        let mut different = Vec::new();
        let ids: Vec<String> = a.engine.account_ids().map(str::to_owned).collect();
        for id in ids {
            let ((row, of_a), (column, of_b)) = (a.judge(&id), b.judge(&id));
            counts[row][column] += 1;
            if of_a.band != of_b.band {
                different.push(Difference { account_id: id, a: of_a, b: of_b });
            }
        }
        different.sort_by(|one, other| {
            let gap = |account: &Difference| match (account.a.score, account.b.score) {
                (Some(a), Some(b)) => (a - b).abs(),
                // A card that says nothing at all is as far as can be from one that does.
                _ => f64::INFINITY,
            };
            gap(other).total_cmp(&gap(one)).then_with(|| one.account_id.cmp(&other.account_id))
        });
        let cells = |counts: Vec<u64>| {
            let cell = |(band, accounts): (&String, u64)| Cell { band: band.clone(), accounts };
            columns.iter().zip(counts).map(cell).collect()
        };
        let row = |(band, counts): (String, Vec<u64>)| Row { a: band, b: cells(counts) };
        (rows.into_iter().zip(counts).map(row).collect(), different)
    }
}

fn days(instant: EventTime) -> f64 {
    instant.as_millis() as f64 / Span::DAY.as_millis() as f64
}

impl Side {
    fn new(card: Arc<Scorecard>) -> Side {
        let engine = Engine::new(Arc::clone(&card), EventTime::MIN);
        Side { card, engine, tally: Tally::default() }
    }

    /// Counts what was decided since the last time.
    fn count(&mut self) {
        while let Some(verdict) = self.engine.poll_verdict() {
            self.tally.take(&verdict);
        }
        // That an outage is told is no card's doing.
        while self.engine.poll_operator_alert().is_some() {}
    }

    /// The card's bands, worst first, and `unknown`.
    fn band_names(&self) -> Vec<String> {
        let names = self.card.bands.iter().map(|band| band.name.clone());
        names.chain([UNKNOWN_BAND.to_owned()]).collect()
    }

    fn judge(&mut self, account_id: &str) -> (usize, Judgement) {
        let snapshot = self.engine.snapshot(account_id).expect("both engines saw every event");
        let band = snapshot.band.current();
        let position = band.unwrap_or(self.card.bands.len());
        let score = snapshot.breakdown().score;
        (position, Judgement { band: band_name(&self.card, band).to_owned(), score })
    }

    fn outcome(self, watched: Watched) -> CardOutcome {
        let counts = self.tally.counts();
        CardOutcome {
            scorecard: self.card.id.clone(),
            scorecard_hash: self.card.hash.clone(),
            counts,
            band_changes_per_100_accounts_month: watched
                .per_100_accounts_month(counts.band_changes),
            alerts_per_100_accounts_month: watched.per_100_accounts_month(counts.alerts_fired),
            flap_rate: counts.flap_rate(),
        }
    }
}
