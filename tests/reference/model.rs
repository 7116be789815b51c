//! Feeds records, keeps task time, and steps each account through every instant that matters: what
//! it decides there, band changes and alerts, in order.
//!
//! Accounts are independent of each other here, so each is brought up to T when it is asked.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::account::{History, Taken};
use super::alert::{Alert, Past, Sight, Told};
use super::band::{Machine, band_name};
use super::card::{Card, Severity};
use super::clock::Clock;
use super::event::{HOUR_MS, Override, Record, Source};
use super::guard::{Turn, Watch};
use super::measures;
use super::report;
use super::score::{Evaluation, evaluate_by};

pub struct Model {
    card: Card,
    /// Task time; before the first record there is none.
    now: Option<i64>,
    /// What the guard made of time; its own `now` means nothing.
    clock: Clock,
    /// By source, if there is a guard.
    guard: Option<[Watch; 4]>,
    /// Also those that were not published.
    outages: Vec<Outage>,
    accounts: BTreeMap<String, Account>,
    /// Judge every whole hour too: much slower, to check that no instant was overlooked.
    pub every_hour: bool,
    /// Before this task time bands and episodes are set in silence.
    pub publish_from: i64,
}

/// What an operator is told of a source: that it is out, or that its events come again.
#[derive(Clone, Debug, PartialEq)]
pub struct Outage {
    pub source: Source,
    pub firing: bool,
    /// When the outage began.
    pub since: i64,
    /// When it was published.
    pub at_ms: i64,
    /// Over the hours that showed it: those since it began, or the one that ended it.
    pub expected: f64,
    pub came: i64,
    pub published: bool,
}

/// What is the same for all accounts at one time.
struct Setting<'a> {
    card: &'a Card,
    clock: &'a Clock,
    every_hour: bool,
    publish_from: i64,
}

impl<'a> Setting<'a> {
    fn of(card: &'a Card, clock: &'a Clock, every_hour: bool, publish_from: i64) -> Setting<'a> {
        Setting { card, clock, every_hour, publish_from }
    }
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
        Model {
            card,
            now: None,
            clock: Clock::default(),
            guard: None,
            accounts: BTreeMap::new(),
            outages: Vec::new(),
            every_hour: false,
            publish_from: i64::MIN,
        }
    }

    /// Watches for outages from now on.
    pub fn with_outage_guard(mut self) -> Model {
        self.guard = Some(Source::GUARDED.map(|_| Watch::default()));
        self
    }

    /// Takes the next record in the engine's order. T follows its record time.
    pub fn feed(&mut self, record: &Record) {
        let now = self.move_to(record.record_time_ms);
        if record.tombstone && !self.accounts.contains_key(&record.account_id) {
            return;
        }
        let setting = Setting::of(&self.card, &self.clock, self.every_hour, self.publish_from);
        let new = || Account::new(&self.card, &record.account_id, now);
        let account = self.accounts.entry(record.account_id.clone()).or_insert_with(new);
        account.bring_to(&setting, now);
        let own_time = self.clock.at(now).of(record.source);
        let taken = account.history.apply(&self.card, record, own_time);
        let accepted = matches!(taken, Taken::New | Taken::TooLate);
        if accepted && record.source == Source::Survey {
            account.take_override(&self.card, now, Override::read(&record.value));
        }
        account.judge(&setting, now);
        let watch = self.guard.as_mut().and_then(|guard| guard.get_mut(record.source as usize));
        if let Some(watch) = watch.filter(|_| taken != Taken::Known) {
            watch.count(now);
        }
    }

    /// Moves T; it never goes back.
    pub fn advance_to(&mut self, t: i64) {
        let now = self.move_to(t);
        self.bring_all_to(now);
    }

    /// Moves T as far as outages go, and leaves the accounts where they are.
    fn move_to(&mut self, t: i64) -> i64 {
        let before = self.now.unwrap_or(t);
        let now = before.max(t);
        if self.guard.is_some() {
            let first = before.div_euclid(HOUR_MS) + 1;
            let mut instants: BTreeSet<i64> =
                (first..=now.div_euclid(HOUR_MS)).map(|hour| hour * HOUR_MS).collect();
            instants.extend(
                (before < self.publish_from && self.publish_from <= now)
                    .then_some(self.publish_from),
            );
            for instant in instants {
                if instant % HOUR_MS == 0 {
                    self.end_hour(instant);
                }
                if instant >= self.publish_from {
                    self.tell_what_is_out(instant);
                }
            }
        }
        self.now = Some(now);
        now
    }

    /// Handles every deadline of the accounts up to `t`.
    fn bring_all_to(&mut self, t: i64) {
        let setting = Setting::of(&self.card, &self.clock, self.every_hour, self.publish_from);
        for account in self.accounts.values_mut() {
            account.bring_to(&setting, t);
        }
    }

    /// Has the guard look at the hour that ends, before anything else happens at its end: first go
    /// on the clocks that stood still, then each source's hour is taken.
    fn end_hour(&mut self, end: i64) {
        for source in Source::GUARDED {
            let guard = self.guard.as_mut().expect("there is a guard");
            let Some(since) = guard[source as usize].thaw(end) else { continue };
            self.bring_all_to(end - 1);
            let clock = &mut self.clock.sources[source as usize];
            clock.frozen_at = None;
            clock.outages.push((since, end));
            let setting = Setting::of(&self.card, &self.clock, self.every_hour, self.publish_from);
            for account in self.accounts.values_mut() {
                account.judge(&setting, end);
            }
        }
        for source in Source::GUARDED {
            let guard = self.guard.as_mut().expect("there is a guard");
            for turn in guard[source as usize].hour_ends(end) {
                let (since, firing, expected, came) = match turn {
                    Turn::Tripped { since, expected, came } => {
                        self.bring_all_to(end - 1);
                        self.clock.sources[source as usize].frozen_at = Some(end);
                        (since, true, expected, came)
                    }
                    Turn::Cleared { since, expected, came } => (since, false, expected, came),
                };
                let published = end >= self.publish_from;
                let told = Outage { source, firing, since, at_ms: end, expected, came, published };
                self.tell(told);
            }
        }
    }

    /// The end of an outage is published if its beginning was.
    fn tell(&mut self, mut outage: Outage) {
        if !outage.firing {
            let mut last = self.outages.iter().rev();
            let begun = last.find(|known| known.source == outage.source && known.firing);
            outage.published &= begun.is_some_and(|begun| begun.published);
        }
        self.outages.push(outage);
    }

    /// Publishes what tripped in silence and is still out.
    fn tell_what_is_out(&mut self, t: i64) {
        for source in Source::GUARDED {
            let last = self.outages.iter_mut().rfind(|outage| outage.source == source);
            if let Some(last) = last.filter(|last| last.firing && !last.published) {
                let now = Outage { published: true, at_ms: t, ..last.clone() };
                self.outages.push(now);
            }
        }
    }

    /// What operators were told of outages, in order.
    pub fn outages(&self) -> Vec<&Outage> {
        self.outages.iter().filter(|outage| outage.published).collect()
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
        let frozen = |source: &Source| self.clock.sources[*source as usize].frozen_at.is_some();
        let degraded: Vec<&str> =
            Source::GUARDED.iter().filter(|source| frozen(source)).map(|s| s.name()).collect();
        let mut report = report::report(&self.card, account_id, t, &evaluation, machine, alerts);
        report["degraded"] = json!(degraded);
        if let Some(running) = running {
            report["override"] = report::override_row(&self.card, running);
        }
        Some(report)
    }

    /// The score and its parts at `t`, as for `report`.
    pub fn evaluate(&mut self, account_id: &str, t: i64) -> Option<Evaluation> {
        assert!(self.now.is_none_or(|now| now <= t), "task time does not go back");
        self.advance_to(t);
        let account = self.accounts.get(account_id)?;
        Some(evaluate_by(&self.card, &account.history, &self.clock.at(t)))
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
    fn bring_to(&mut self, setting: &Setting, t: i64) {
        if t <= self.judged_at {
            return;
        }
        let instants = self.instants(setting, t);
        loop {
            let after = self.judged_at + 1;
            let planned = instants.range(after..).next().copied();
            let follow = self.deadlines(setting);
            let follow = follow.into_iter().filter(|deadline| (after..=t).contains(deadline));
            let Some(next) = follow.chain(planned).min() else { break };
            self.judge(setting, next);
        }
        self.judged_at = t;
    }

    /// All instants after the last judged one, up to `t`, at which time alone may change the
    /// score. The history stays as it is until `t`.
    fn instants(&self, setting: &Setting, t: i64) -> BTreeSet<i64> {
        let Setting { card, publish_from, .. } = *setting;
        let clock = setting.clock.at(self.judged_at);
        let mut instants = BTreeSet::new();
        for measure in card.measures() {
            measures::instants(measure, &self.history, &clock, t, &mut instants);
        }
        let grace_end = self.history.beginning().map(|first| first + card.grace_ms);
        let single = grace_end.into_iter().chain([publish_from]);
        instants.extend(single.filter(|instant| self.judged_at < *instant && *instant <= t));
        if setting.every_hour {
            let first = self.judged_at.div_euclid(HOUR_MS) + 1;
            instants.extend((first..=t.div_euclid(HOUR_MS)).map(|hour| hour * HOUR_MS));
        }
        instants
    }

    /// The instants that follow from what band and alerts are now.
    fn deadlines(&self, setting: &Setting) -> Vec<i64> {
        let card = setting.card;
        let mut deadlines: Vec<i64> = self.machine.deadline(card).into_iter().collect();
        let running = self.running.iter().filter_map(|running| running.claim.as_ref());
        deadlines.extend(running.map(|claim| claim.expires_at));
        let Some(evaluation) = &self.seen else { return deadlines };
        let clock = setting.clock.at(self.judged_at);
        let sight = self.sight(evaluation, &clock, setting.publish_from);
        for (alert, rule) in self.alerts.iter().zip(&card.alerts) {
            deadlines.extend(alert.deadlines(rule, &sight));
        }
        deadlines
    }

    fn sight<'a>(
        &'a self,
        evaluation: &'a Evaluation,
        clock: &'a Clock,
        publish_from: i64,
    ) -> Sight<'a> {
        let Account { history, past, machine, .. } = self;
        let (t, place) = (clock.now, machine.place);
        Sight { t, clock, history, evaluation, place, past, publish_from }
    }

    /// One look at the account: the band first, then the rules in the card's order. All that is
    /// decided compares with the last verdict before this look.
    fn judge(&mut self, setting: &Setting, t: i64) {
        let Setting { card, publish_from, .. } = *setting;
        let clock = setting.clock.at(t);
        self.judged_at = t;
        let evaluation = evaluate_by(card, &self.history, &clock);
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
        let sight = self.sight(&evaluation, &clock, publish_from);
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
