//! Feeds records, keeps task time, and steps each account through every instant that matters.
//!
//! Accounts are independent of each other here, so each is brought up to T when it is asked.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::account::History;
use super::band::{Machine, band_name};
use super::card::Card;
use super::event::{HOUR_MS, Record};
use super::measures;
use super::report;
use super::score::{Evaluation, evaluate};

pub struct Model {
    card: Card,
    /// Task time; before the first record there is none.
    now: Option<i64>,
    accounts: BTreeMap<String, Account>,
    /// Judge every whole hour too: much slower, to check that no instant was overlooked.
    pub every_hour: bool,
}

struct Account {
    history: History,
    machine: Machine,
    judged_at: i64,
    changes: Vec<BandChange>,
}

/// A published band change. Deltas run from the last change, and sum with the gates' to the change
/// of the score; where there is no score, before or after, all parts count as 0.
#[derive(Clone, Debug, PartialEq)]
pub struct BandChange {
    pub account_id: String,
    pub at_ms: i64,
    pub from: String,
    pub to: String,
    pub score: Option<f64>,
    pub previous_published_score: Option<f64>,
    /// By measure id, here and at the last change.
    pub values: BTreeMap<String, Option<f64>>,
    pub previous_values: BTreeMap<String, Option<f64>>,
    /// By measure id.
    pub contributions: BTreeMap<String, f64>,
    pub contribution_deltas: BTreeMap<String, f64>,
    /// By gate id.
    pub gate_effects: BTreeMap<String, f64>,
    pub gate_deltas: BTreeMap<String, f64>,
}

impl Model {
    pub fn new(card: Card) -> Model {
        Model { card, now: None, accounts: BTreeMap::new(), every_hour: false }
    }

    /// Takes the next record in the engine's order. T follows its record time.
    pub fn feed(&mut self, record: &Record) {
        let now = self.now.map_or(record.record_time_ms, |now| now.max(record.record_time_ms));
        self.now = Some(now);
        if record.tombstone && !self.accounts.contains_key(&record.account_id) {
            return;
        }
        let account = self.accounts.entry(record.account_id.clone()).or_insert_with(|| Account {
            history: History::default(),
            machine: Machine::new(now),
            judged_at: now,
            changes: Vec::new(),
        });
        account.bring_to(&self.card, &record.account_id, now, self.every_hour);
        account.history.apply(&self.card, record, now);
        account.judge(&self.card, &record.account_id, now);
    }

    /// Moves T; it never goes back.
    pub fn advance_to(&mut self, t: i64) {
        let now = self.now.map_or(t, |now| now.max(t));
        self.now = Some(now);
        for (account_id, account) in &mut self.accounts {
            account.bring_to(&self.card, account_id, now, self.every_hour);
        }
    }

    pub fn now(&self) -> Option<i64> {
        self.now
    }

    pub fn account_ids(&self) -> Vec<String> {
        self.accounts.keys().cloned().collect()
    }

    /// The account's band changes so far, oldest first. Ask after `advance_to`.
    pub fn changes(&self, account_id: &str) -> &[BandChange] {
        self.accounts.get(account_id).map_or(&[], |account| &account.changes)
    }

    /// Everything at `t`, which must not lie before T: T is moved there. Nothing for an account
    /// without records.
    pub fn report(&mut self, account_id: &str, t: i64) -> Option<Value> {
        let evaluation = self.evaluate(account_id, t)?;
        let machine = &self.accounts[account_id].machine;
        Some(report::report(&self.card, account_id, t, &evaluation, machine))
    }

    /// The score and its parts at `t`, as for `report`.
    pub fn evaluate(&mut self, account_id: &str, t: i64) -> Option<Evaluation> {
        assert!(self.now.is_none_or(|now| now <= t), "task time does not go back");
        self.advance_to(t);
        let account = self.accounts.get(account_id)?;
        Some(evaluate(&self.card, &account.history, t))
    }

    /// The value of one measure at `t`, by its id.
    pub fn value(&mut self, account_id: &str, measure_id: &str, t: i64) -> Option<f64> {
        let evaluation = self.evaluate(account_id, t)?;
        let mut readings = evaluation.dimensions.iter().flat_map(|d| &d.measures);
        readings.find(|reading| reading.id == measure_id).expect("a measure of the card").value
    }

    /// Usage older than every window and statuses beyond the item horizon, so far.
    pub fn late_dropped(&self, account_id: &str) -> u64 {
        self.accounts.get(account_id).map_or(0, |account| account.history.late_dropped)
    }
}

impl Account {
    /// Handles every deadline up to `t`, in time order.
    fn bring_to(&mut self, card: &Card, account_id: &str, t: i64, every_hour: bool) {
        if t <= self.judged_at {
            return;
        }
        let instants = self.instants(card, t, every_hour);
        loop {
            let after = self.judged_at + 1;
            let planned = instants.range(after..).next().copied();
            let dwell_end =
                self.machine.deadline(card).filter(|deadline| (after..=t).contains(deadline));
            let Some(next) = [planned, dwell_end].into_iter().flatten().min() else { break };
            self.judge(card, account_id, next);
        }
        self.judged_at = t;
    }

    /// All instants after the last judged one, up to `t`, at which time alone may change the
    /// score. The history stays as it is until `t`.
    fn instants(&self, card: &Card, t: i64, every_hour: bool) -> BTreeSet<i64> {
        let mut instants = BTreeSet::new();
        for measure in card.measures() {
            measures::instants(measure, &self.history, self.judged_at, t, &mut instants);
        }
        let grace_end = self.history.beginning().map(|first| first + card.grace_ms);
        if let Some(end) = grace_end.filter(|end| self.judged_at < *end && *end <= t) {
            instants.insert(end);
        }
        if every_hour {
            let first = self.judged_at.div_euclid(HOUR_MS) + 1;
            instants.extend((first..=t.div_euclid(HOUR_MS)).map(|hour| hour * HOUR_MS));
        }
        instants
    }

    fn judge(&mut self, card: &Card, account_id: &str, t: i64) {
        self.judged_at = t;
        let evaluation = evaluate(card, &self.history, t);
        let from = self.machine.place;
        let previous_published_score = self.machine.published_score;
        if !self.machine.judge(card, t, evaluation.score) {
            return;
        }
        let readings = || evaluation.dimensions.iter().flat_map(|dimension| &dimension.measures);
        let contributions: BTreeMap<String, f64> =
            readings().map(|reading| (reading.id.clone(), reading.contribution)).collect();
        let values = readings().map(|reading| (reading.id.clone(), reading.value)).collect();
        let previous_values =
            self.changes.last().map_or(BTreeMap::new(), |change| change.values.clone());
        let gate_effects: BTreeMap<String, f64> =
            evaluation.gates.iter().map(|gate| (gate.id.clone(), gate.effect)).collect();
        let last = self.changes.last().filter(|change| change.score.is_some());
        let nothing = BTreeMap::new();
        let before = |of: fn(&BandChange) -> &BTreeMap<String, f64>| last.map_or(&nothing, of);
        let now = |parts| if evaluation.score.is_some() { parts } else { &nothing };
        let contribution_deltas =
            deltas(now(&contributions), before(|change| &change.contributions));
        let gate_deltas = deltas(now(&gate_effects), before(|change| &change.gate_effects));
        self.changes.push(BandChange {
            account_id: account_id.to_string(),
            at_ms: t,
            from: band_name(&card.bands, from),
            to: band_name(&card.bands, self.machine.place),
            score: evaluation.score,
            previous_published_score,
            values,
            previous_values,
            contributions,
            contribution_deltas,
            gate_effects,
            gate_deltas,
        });
    }
}

/// What has changed for each id of either side; an absent one counts as 0.
fn deltas(now: &BTreeMap<String, f64>, before: &BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    let of = |side: &BTreeMap<String, f64>, id: &str| side.get(id).copied().unwrap_or(0.0);
    now.keys().chain(before.keys()).map(|id| (id.clone(), of(now, id) - of(before, id))).collect()
}
