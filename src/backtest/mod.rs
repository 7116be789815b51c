//! A history that has already ended, judged by its truth: what the card would have said, and who
//! really left.
//!
//! An account is watched from its first record to the moment it left, or was last seen, or the end
//! of the history; what comes after is left out. While the engine goes through the history this
//! only writes down what it says; the numbers are made at the end, in `outcome`. The outage guard
//! is off, so that the card alone is judged.

mod outcome;
mod text;
mod truth;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use compact_str::CompactString;

use crate::compare::Tally;
use crate::engine::Engine;
use crate::engine::event::Event;
use crate::engine::scorecard::Scorecard;
use crate::engine::time::{EventTime, Span};
use crate::engine::verdict::{AlertChange, Decision, Verdict};

pub use outcome::{BandOutcome, Kind, Outcome, RuleOutcome};
pub use text::text;
pub use truth::{Fate, TruthError, read_truth};

/// How often every account's band and score are written down, for what they say about the time
/// after.
const SAMPLE_EVERY: Span = Span::days(28);

/// What counts as right and as in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// An alert that comes later than this before the departure comes too late.
    pub lead: Span,
    /// One that comes earlier than this meant something else.
    pub lead_at_most: Span,
    /// How long after an alert a departure counts as what it warned of.
    pub horizon: Span,
}

/// Two weeks to four months ahead; 90 days.
impl Default for Options {
    fn default() -> Self {
        Options { lead: Span::days(14), lead_at_most: Span::days(120), horizon: Span::days(90) }
    }
}

/// An engine while the history goes through it.
#[derive(Debug)]
pub struct Backtest {
    card: Arc<Scorecard>,
    engine: Engine,
    options: Options,
    lives: Vec<Life>,
    by_id: HashMap<CompactString, usize>,
    /// The lives that have begun, in the order in which they did.
    begun: Vec<usize>,
    /// The lives that end before the history may, earliest last.
    to_end: Vec<usize>,
    next_sample: EventTime,
    /// First and last record time; `None` before the first.
    span: Option<(EventTime, EventTime)>,
    tally: Tally,
    episodes: Vec<Episode>,
    samples: Vec<Sample>,
    records_after_end: u64,
    without_truth: HashSet<CompactString>,
}

/// One account of the truth.
#[derive(Debug)]
struct Life {
    fate: Fate,
    /// Its first record's time.
    first: Option<EventTime>,
    /// The score when the life, or the history, ended.
    last_score: Option<f64>,
}

impl Life {
    /// The last moment at which the account is watched, if that may be before the history's end.
    fn ends_at(&self) -> Option<EventTime> {
        match self.fate.churned_at {
            Some(churned_at) => Some(churned_at - Span::from_millis(1)),
            None => self.fate.last_seen,
        }
    }

    fn is_over_at(&self, at: EventTime) -> bool {
        self.ends_at().is_some_and(|ends_at| at > ends_at)
    }
}

/// An alert that fired.
#[derive(Clone, Copy, Debug)]
struct Episode {
    rule: usize,
    life: usize,
    at: EventTime,
}

/// What the engine said of an account at one moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    life: usize,
    at: EventTime,
    band: Option<usize>,
    score: Option<f64>,
}

impl Backtest {
    /// Nothing seen yet. `truth` names each account once, as [`read_truth`] does.
    pub fn new(card: Arc<Scorecard>, truth: Vec<Fate>, options: Options) -> Backtest {
        let lives: Vec<Life> =
            truth.into_iter().map(|fate| Life { fate, first: None, last_score: None }).collect();
        let id = |life: &Life| CompactString::from(&life.fate.account_id);
        let by_id = lives.iter().enumerate().map(|(place, life)| (id(life), place)).collect();
        let mut to_end: Vec<usize> = (0..lives.len()).collect();
        to_end.retain(|life| lives[*life].ends_at().is_some());
        to_end.sort_by_key(|life| std::cmp::Reverse(lives[*life].ends_at()));
        Backtest {
            engine: Engine::new(Arc::clone(&card), EventTime::MIN),
            card,
            options,
            lives,
            by_id,
            begun: Vec::new(),
            to_end,
            next_sample: EventTime::MAX,
            span: None,
            tally: Tally::default(),
            episodes: Vec::new(),
            samples: Vec::new(),
            records_after_end: 0,
            without_truth: HashSet::new(),
        }
    }

    /// Has the engine watch for outages of whole sources.
    pub fn with_outage_guard(self) -> Backtest {
        Backtest { engine: self.engine.with_outage_guard(), ..self }
    }

    /// Takes an event that was learnt of at `record_time`, which never goes back. Events of accounts
    /// that the truth does not know, or that were over by then, are counted and left out.
    pub fn take(&mut self, event: &Event<'_>, record_time: EventTime) {
        self.pass_to(record_time);
        let Some(place) = self.by_id.get(&*event.account_id).copied() else {
            self.without_truth.insert(CompactString::from(&*event.account_id));
            return;
        };
        let life = &mut self.lives[place];
        if life.is_over_at(record_time) {
            self.records_after_end += 1;
            return;
        }
        if life.first.is_none() {
            life.first = Some(record_time);
            self.begun.push(place);
        }
        if self.span.is_none() {
            self.next_sample = record_time + SAMPLE_EVERY;
        }
        let (first, _) = self.span.unwrap_or((record_time, record_time));
        self.span = Some((first, record_time));
        self.engine.handle_event(event);
        self.note_verdicts();
    }

    /// What came of it, once time has gone on to `as_of` (without it: to the last record).
    pub fn finish(mut self, as_of: Option<EventTime>) -> Outcome {
        let last = self.span.map_or(EventTime::MIN, |(_, last)| last);
        let to = as_of.unwrap_or(last).max(last);
        self.pass_to(to);
        for place in self.begun.clone() {
            if !self.lives[place].is_over_at(to) {
                self.lives[place].last_score = self.look_at(place).1;
            }
        }
        outcome::outcome(&self, to)
    }

    /// Lets time pass, stopping wherever something is to be written down.
    fn pass_to(&mut self, now: EventTime) {
        loop {
            let end = self.to_end.last().and_then(|life| self.lives[*life].ends_at());
            let end = end.unwrap_or(EventTime::MAX);
            let next = end.min(self.next_sample);
            if next >= now {
                break;
            }
            self.advance_to(next);
            if end <= self.next_sample {
                let place = self.to_end.pop().expect("its end has just been read");
                self.lives[place].last_score = self.look_at(place).1;
            } else {
                self.sample(next);
                self.next_sample = next + SAMPLE_EVERY;
            }
        }
        self.advance_to(now);
    }

    fn advance_to(&mut self, now: EventTime) {
        self.engine.advance_to(now);
        self.note_verdicts();
    }

    fn note_verdicts(&mut self) {
        while let Some(verdict) = self.engine.poll_verdict() {
            self.note(&verdict);
        }
        // That an outage is told is not the card's doing.
        while self.engine.poll_operator_alert().is_some() {}
    }

    fn note(&mut self, verdict: &Verdict) {
        let life = self.by_id[&verdict.account_id];
        if self.lives[life].is_over_at(verdict.at) {
            return;
        }
        self.tally.take(verdict);
        if let Decision::Alert(step) = verdict.decision
            && step.change == AlertChange::Fired
        {
            self.episodes.push(Episode { rule: step.rule, life, at: verdict.at });
        }
    }

    fn sample(&mut self, at: EventTime) {
        for index in 0..self.begun.len() {
            let life = self.begun[index];
            if !self.lives[life].is_over_at(at) {
                let (band, score) = self.look_at(life);
                self.samples.push(Sample { life, at, band, score });
            }
        }
    }

    /// An account's band and score at the present; neither before its first record.
    fn look_at(&mut self, place: usize) -> (Option<usize>, Option<f64>) {
        match self.engine.snapshot(&self.lives[place].fate.account_id) {
            Some(snapshot) => (snapshot.band.current(), snapshot.breakdown().score),
            None => (None, None),
        }
    }
}
