//! Feeds records, keeps task time, and steps each account through every instant that matters: what
//! it decides there, band changes and alerts, in order.
//!
//! Accounts are independent of each other here, so each is brought up to T when it is asked.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::account::History;
use super::alert::{Alert, Past, Sight, Told};
use super::band::{Machine, band_name};
use super::card::{Card, Severity};
use super::event::{HOUR_MS, Override, Record, Source};
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
    /// Before this task time bands and episodes are set in silence.
    pub publish_from: i64,
}

struct Account {
    id: String,
    history: History,
    machine: Machine,
    past: Past,
    /// By rule of the card.
    alerts: Vec<Alert>,
    judged_at: i64,
    /// What the last look saw.
    seen: Option<Evaluation>,
    /// What the last verdict said, or the last band change in silence.
    last: Option<Basis>,
    /// The latest override or withdrawal that had an effect when it came.
    latest_override: Option<Override>,
    /// The override that runs.
    running: Option<Override>,
    verdicts: Vec<Verdict>,
}

/// What the next verdict compares with.
#[derive(Clone, Debug)]
struct Basis {
    score: Option<f64>,
    /// By measure id.
    values: BTreeMap<String, Option<f64>>,
    contributions: BTreeMap<String, f64>,
    /// By gate id.
    gate_effects: BTreeMap<String, f64>,
}

/// A published decision. Deltas run from the last verdict, and sum with the gates' to the change of
/// the score; where there is no score, before or after, all parts count as 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub account_id: String,
    /// The account's own count, from 1.
    pub sequence: u64,
    pub at_ms: i64,
    pub decision: Decision,
    pub score: Option<f64>,
    pub previous_score: Option<f64>,
    /// By measure id, here and at the last verdict.
    pub values: BTreeMap<String, Option<f64>>,
    pub previous_values: BTreeMap<String, Option<f64>>,
    /// By measure id.
    pub contribution_deltas: BTreeMap<String, f64>,
    /// By gate id.
    pub gate_deltas: BTreeMap<String, f64>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    BandChange {
        from: String,
        to: String,
        cause: Cause,
    },
    /// A rule by its id. An episode that began in silence, or grew worse, is told by this too.
    AlertFired {
        rule: String,
        severity: Severity,
        since: i64,
        escalated_from: Option<Severity>,
    },
    /// With the number of the verdict that told of the episode's beginning.
    AlertResolved {
        rule: String,
        severity: Severity,
        since: i64,
        firing_sequence: u64,
    },
}

/// Why a band is entered.
#[derive(Clone, Debug, PartialEq)]
pub enum Cause {
    Score,
    /// It begins to run.
    Override(Override),
    /// This one has run its time, or was withdrawn.
    OverrideEnded(Override),
}

impl Model {
    pub fn new(card: Card) -> Model {
        let (every_hour, publish_from) = (false, i64::MIN);
        Model { card, now: None, accounts: BTreeMap::new(), every_hour, publish_from }
    }

    /// Takes the next record in the engine's order. T follows its record time.
    pub fn feed(&mut self, record: &Record) {
        let now = self.now.map_or(record.record_time_ms, |now| now.max(record.record_time_ms));
        self.now = Some(now);
        if record.tombstone && !self.accounts.contains_key(&record.account_id) {
            return;
        }
        let new = || Account::new(&self.card, &record.account_id, now);
        let account = self.accounts.entry(record.account_id.clone()).or_insert_with(new);
        account.bring_to(&self.card, now, self.every_hour, self.publish_from);
        if account.history.apply(&self.card, record, now) && record.source == Source::Survey {
            account.take_override(&self.card, now, Override::read(&record.value));
        }
        account.judge(&self.card, now, self.publish_from);
    }

    /// Moves T; it never goes back.
    pub fn advance_to(&mut self, t: i64) {
        let now = self.now.map_or(t, |now| now.max(t));
        self.now = Some(now);
        for account in self.accounts.values_mut() {
            account.bring_to(&self.card, now, self.every_hour, self.publish_from);
        }
    }

    pub fn now(&self) -> Option<i64> {
        self.now
    }

    pub fn account_ids(&self) -> Vec<String> {
        self.accounts.keys().cloned().collect()
    }

    /// The account's published verdicts so far, oldest first. Ask after `advance_to`.
    pub fn verdicts(&self, account_id: &str) -> &[Verdict] {
        self.accounts.get(account_id).map_or(&[], |account| &account.verdicts)
    }

    /// Everything at `t`, which must not lie before T: T is moved there. Nothing for an account
    /// without records.
    pub fn report(&mut self, account_id: &str, t: i64) -> Option<Value> {
        let evaluation = self.evaluate(account_id, t)?;
        let Account { machine, alerts, running, .. } = &self.accounts[account_id];
        let running = running.as_ref();
        Some(report::report(&self.card, account_id, t, &evaluation, machine, alerts, running))
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
    fn new(card: &Card, account_id: &str, now: i64) -> Account {
        Account {
            id: account_id.to_string(),
            history: History::default(),
            machine: Machine::new(now),
            past: Past::default(),
            alerts: card.alerts.iter().map(Alert::new).collect(),
            judged_at: now,
            seen: None,
            last: None,
            latest_override: None,
            running: None,
            verdicts: Vec::new(),
        }
    }

    /// Handles every deadline up to `t`, in time order.
    fn bring_to(&mut self, card: &Card, t: i64, every_hour: bool, publish_from: i64) {
        if t <= self.judged_at {
            return;
        }
        let instants = self.instants(card, t, every_hour, publish_from);
        loop {
            let after = self.judged_at + 1;
            let planned = instants.range(after..).next().copied();
            let follow = self.deadlines(card, publish_from);
            let follow = follow.into_iter().filter(|deadline| (after..=t).contains(deadline));
            let Some(next) = follow.chain(planned).min() else { break };
            self.judge(card, next, publish_from);
        }
        self.judged_at = t;
    }

    /// All instants after the last judged one, up to `t`, at which time alone may change the
    /// score. The history stays as it is until `t`.
    fn instants(&self, card: &Card, t: i64, every_hour: bool, publish_from: i64) -> BTreeSet<i64> {
        let mut instants = BTreeSet::new();
        for measure in card.measures() {
            measures::instants(measure, &self.history, self.judged_at, t, &mut instants);
        }
        let grace_end = self.history.beginning().map(|first| first + card.grace_ms);
        let single = grace_end.into_iter().chain([publish_from]);
        instants.extend(single.filter(|instant| self.judged_at < *instant && *instant <= t));
        if every_hour {
            let first = self.judged_at.div_euclid(HOUR_MS) + 1;
            instants.extend((first..=t.div_euclid(HOUR_MS)).map(|hour| hour * HOUR_MS));
        }
        instants
    }

    /// The instants that follow from what band and alerts are now.
    fn deadlines(&self, card: &Card, publish_from: i64) -> Vec<i64> {
        let mut deadlines: Vec<i64> = self.machine.deadline(card).into_iter().collect();
        let running = self.running.iter().filter_map(|running| running.claim.as_ref());
        deadlines.extend(running.map(|claim| claim.expires_at));
        let Some(evaluation) = &self.seen else { return deadlines };
        let sight = self.sight(evaluation, self.judged_at, publish_from);
        for (alert, rule) in self.alerts.iter().zip(&card.alerts) {
            deadlines.extend(alert.deadlines(rule, &sight));
        }
        deadlines
    }

    fn sight<'a>(&'a self, evaluation: &'a Evaluation, t: i64, publish_from: i64) -> Sight<'a> {
        let Account { history, past, machine, .. } = self;
        Sight { t, history, evaluation, place: machine.place, past, publish_from }
    }

    /// One look at the account: the band first, then the rules in the card's order. All that is
    /// decided compares with the last verdict before this look.
    fn judge(&mut self, card: &Card, t: i64, publish_from: i64) {
        self.judged_at = t;
        let evaluation = evaluate(card, &self.history, t);
        self.past.push(t, evaluation.score);
        let from = self.machine.place;
        let mut published = Vec::new();
        let cause = self.step_band(card, t, evaluation.score);
        let mut decided = cause.is_some();
        if let Some(cause) = cause.filter(|_| t >= publish_from) {
            let name = |place| band_name(&card.bands, place);
            let (from, to) = (name(from), name(self.machine.place));
            published.push(Decision::BandChange { from, to, cause });
        }
        let mut alerts = std::mem::take(&mut self.alerts);
        let sight = self.sight(&evaluation, t, publish_from);
        for (alert, rule) in alerts.iter_mut().zip(&card.alerts) {
            if let Some(told) = alert.look(rule, &sight) {
                decided = true;
                published.push(self.decision_of(&rule.id, told));
            }
        }
        self.alerts = alerts;
        let now = Basis::of(&evaluation);
        for decision in published {
            self.publish(decision, t, &now);
        }
        if decided {
            self.last = Some(now);
        }
        self.seen = Some(evaluation);
    }

    /// Has the override that runs changed by what came, if anything came? An older one than the
    /// latest, one whose time is over already, and one to a band that the card does not know have no
    /// effect at all.
    fn take_override(&mut self, card: &Card, now: i64, told: Option<Override>) {
        let Some(told) = told else { return };
        let works = told
            .claim
            .as_ref()
            .is_none_or(|claim| now < claim.expires_at && claim.place(&card.bands).is_some());
        let older =
            self.latest_override.as_ref().is_some_and(|latest| told.order() <= latest.order());
        if works && !older {
            self.latest_override = Some(told);
        }
    }

    /// Moves the published band, if it moves; says why.
    fn step_band(&mut self, card: &Card, t: i64, score: Option<f64>) -> Option<Cause> {
        let wanted = self
            .latest_override
            .clone()
            .filter(|latest| latest.claim.as_ref().is_some_and(|claim| t < claim.expires_at));
        let running = std::mem::replace(&mut self.running, wanted.clone());
        match (running, wanted) {
            (before, Some(now)) => {
                if before.as_ref() == Some(&now) {
                    return None;
                }
                let claim = now.claim.as_ref().expect("a withdrawal does not run");
                let place = claim.place(&card.bands).expect("a band of the card");
                self.machine.impose(t, place, score);
                Some(Cause::Override(now))
            }
            (Some(before), None) => {
                self.machine.start_afresh(card, t, score);
                Some(Cause::OverrideEnded(before))
            }
            (None, None) => self.machine.judge(card, t, score).then_some(Cause::Score),
        }
    }

    fn decision_of(&self, rule_id: &str, told: Told) -> Decision {
        let rule = rule_id.to_string();
        match told {
            Told::Fired { severity, since, escalated_from } => {
                Decision::AlertFired { rule, severity, since, escalated_from }
            }
            Told::Resolved { severity, since } => {
                let began = self.verdicts.iter().rev().find(|verdict| {
                    matches!(&verdict.decision, Decision::AlertFired { rule, escalated_from: None, .. }
                        if rule == rule_id)
                });
                let firing_sequence = began.expect("what is resolved was fired").sequence;
                Decision::AlertResolved { rule, severity, since, firing_sequence }
            }
        }
    }

    fn publish(&mut self, decision: Decision, t: i64, now: &Basis) {
        let nothing = BTreeMap::new();
        let last = self.last.as_ref();
        let parts = |basis: Option<&Basis>, of: fn(&Basis) -> &BTreeMap<String, f64>| {
            let scored = basis.filter(|basis| basis.score.is_some());
            scored.map_or(BTreeMap::new(), |basis| of(basis).clone())
        };
        let delta = |of: fn(&Basis) -> &BTreeMap<String, f64>| {
            deltas(&parts(Some(now), of), &parts(last, of))
        };
        self.verdicts.push(Verdict {
            account_id: self.id.clone(),
            sequence: self.verdicts.len() as u64 + 1,
            at_ms: t,
            decision,
            score: now.score,
            previous_score: last.and_then(|last| last.score),
            values: now.values.clone(),
            previous_values: last.map_or(&nothing, |last| &last.values).clone(),
            contribution_deltas: delta(|basis| &basis.contributions),
            gate_deltas: delta(|basis| &basis.gate_effects),
        });
    }
}

impl Basis {
    fn of(evaluation: &Evaluation) -> Basis {
        let readings = || evaluation.readings();
        let gates = evaluation.gates.iter();
        Basis {
            score: evaluation.score,
            values: readings().map(|reading| (reading.id.clone(), reading.value)).collect(),
            contributions: readings().map(|r| (r.id.clone(), r.contribution)).collect(),
            gate_effects: gates.map(|gate| (gate.id.clone(), gate.effect)).collect(),
        }
    }
}

/// What has changed for each id of either side; an absent one counts as 0.
fn deltas(now: &BTreeMap<String, f64>, before: &BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    let of = |side: &BTreeMap<String, f64>, id: &str| side.get(id).copied().unwrap_or(0.0);
    now.keys().chain(before.keys()).map(|id| (id.clone(), of(now, id) - of(before, id))).collect()
}
