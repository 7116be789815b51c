//! An engine that was stopped and put back together again is the engine that never stopped: the same
//! reports, the same verdicts with the same numbers, at the same instants.
//!
//! Over the random scorecards and histories of `histories`. Kafka, and what a task does about
//! positions, have tests of their own.

mod histories;

use std::collections::BTreeMap;
use std::sync::Arc;

use barometer::engine::event::{DecodeLimits, Source, decode};
use barometer::engine::outage::OperatorAlert;
use barometer::engine::rules::Rules;
use barometer::engine::scorecard::Scorecard;
use barometer::engine::snapshot::{self, KeptAccount, Stamp};
use barometer::engine::time::EventTime;
use barometer::engine::{Change, Engine};
use serde_json::Value;

use histories::harness::check;
use histories::{Arrival, Case, cases, cases_with_outages, cases_with_overrides};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// An engine, what it has said in all its lives, and what was kept of it.
struct Lives {
    card: Arc<Scorecard>,
    engine: Engine,
    /// By account: which of two accounts speaks first at one instant means nothing.
    said: BTreeMap<String, Vec<String>>,
    /// By account: the bytes, and how many records had come when they were written.
    kept: BTreeMap<String, (Vec<u8>, usize)>,
    /// Records that have come so far.
    taken: Vec<Arrival>,
    fault: Fault,
    /// Whether an account is written with its first event.
    writes_new: bool,
    /// The outage guard, where there is one, and its counts as of the last commit.
    guard: Option<(Vec<u8>, [u64; 4])>,
    /// What the operators of the sources were told.
    outages: Vec<OperatorAlert>,
}

const OPEN_TICKETS: &str = "
scorecard: open-tickets
dimensions:
  - { id: all, measures: [{ id: open, measure: support.open, curve: { linear: { from: 3, to: 0 } } }] }
bands: [{ name: red, up_to: 50 }, { name: green, up_to: 100 }]
";

/// A mistake made on purpose, which the properties have to notice.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// A replay gives every account every record again.
    PositionsForgotten,
    /// A decision does not have its account written with it.
    DecisionsNotKept,
    /// A replay decides, and tells of it.
    ReplayDecides,
}

/// The case's card; where it has no alert rules, with some of each kind, by whatever bands and
/// measures it has.
fn with_alerts(case: &Case) -> String {
    if case.card.contains("\nalerts:") {
        return case.card.clone();
    }
    let parsed = Scorecard::parse("card.yaml", &case.card).expect("a good card").scorecard;
    let (worst, best) = (&parsed.bands[0].name, &parsed.bands[parsed.bands.len() - 1].name);
    let measure = &parsed.measure(0).id;
    let pick = |place: usize| usize::from(case.choices[place % case.choices.len()]);
    let span = |place: usize| ["0s", "3h", "1d", "9d"][pick(place) % 4];
    let cooldown = |place: usize| ["0s", "6h", "20d"][pick(place) % 3];
    let rules = [
        format!(
            "{{ id: drop, score_drop: {{ points: {{ info: {}, critical: 40 }}, within: {} }}, \
             hold: {}, cooldown: {} }}",
            1 + pick(0) % 12,
            ["1d", "1h", "28d"][pick(1) % 3],
            span(2),
            cooldown(3)
        ),
        format!("{{ id: worst, band_entered: {worst}, hold: {} }}", span(4)),
        format!("{{ id: high, measure: {measure}, at_least: {{ info: 1, warning: 3 }} }}"),
        format!(
            "{{ id: low, measure: {measure}, below: 2, where: {{ profile: tier, is: gold }}, \
             hold: {} }}",
            span(5)
        ),
        format!(
            "{{ id: quiet, silence: {{ for: {{ info: 2d, warning: 9d, critical: 40d }} }}, \
             cooldown: {} }}",
            cooldown(6)
        ),
        format!("{{ id: leaving, renewal_at_risk: {{ within: 90d, bands: [{worst}] }} }}"),
        format!(
            "{{ id: grow, opportunity: {{ band: {best}, for: 2d, rising: {{ measure: {measure}, \
             at_least: 1 }} }} }}"
        ),
        format!("{{ id: blind, coverage: {{ below: 0.7 }}, hold: {} }}", span(7)),
    ];
    // What one rule has written with its account another one has no need to.
    let chosen = [0b1, 0b1, 0b1001_0010, 0b1111_1111, 0b110, 0b1100_0001][pick(8) % 6];
    let mut yaml = format!("{}alerts:\n", case.card);
    for (_, rule) in rules.iter().enumerate().filter(|(bit, _)| chosen >> bit & 1 == 1) {
        yaml.push_str(&format!("  - {rule}\n"));
    }
    yaml
}

impl Lives {
    fn new(case: &Case) -> Lives {
        let yaml = with_alerts(case);
        let card = Scorecard::parse("card.yaml", &yaml).unwrap_or_else(|problems| {
            panic!("{}\n{yaml}", problems.iter().map(|p| p.to_string()).collect::<String>())
        });
        let card = card.scorecard;
        let card = Arc::new(card);
        let engine = Engine::new(Arc::clone(&card), EventTime::from_millis(0));
        Lives {
            card,
            engine,
            said: BTreeMap::new(),
            kept: BTreeMap::new(),
            taken: Vec::new(),
            fault: Fault::None,
            writes_new: false,
            guard: None,
            outages: Vec::new(),
        }
    }

    fn with_outage_guard(mut self) -> Lives {
        self.engine = self.engine.with_outage_guard();
        self.guard = Some((Vec::new(), [0; 4]));
        self
    }

    fn feed(&mut self, arrival: &Arrival) {
        self.feed_after(arrival, usize::MAX);
    }

    /// The same, with at most `looks` of the deadlines before it handled first.
    fn feed_after(&mut self, arrival: &Arrival, mut looks: usize) {
        self.engine.advance_within(EventTime::from_millis(arrival.record_time_ms), &mut looks);
        with_event(arrival, |event| {
            self.engine.handle_event(event);
        });
        self.taken.push(arrival.clone());
        self.listen();
    }

    fn advance_to(&mut self, now_ms: i64) {
        self.engine.advance_to(EventTime::from_millis(now_ms));
        self.listen();
    }

    fn listen(&mut self) {
        self.outages.extend(std::iter::from_fn(|| self.engine.poll_operator_alert()));
        while let Some(verdict) = self.engine.poll_verdict() {
            let head = (verdict.sequence, verdict.at, verdict.decision);
            let score = (verdict.score, verdict.previous_score, verdict.coverage);
            let text = format!("{head:?} {score:?} {:?}", verdict.movements);
            self.said.entry(verdict.account_id.to_string()).or_default().push(text);
        }
    }

    /// A commit: accounts with a decision are written with it, of the others those that `chosen`
    /// says.
    fn commit(&mut self, mut chosen: impl FnMut() -> bool) {
        let mut slots = Vec::new();
        self.engine.drain_changed(|slot, change| slots.push((slot, change)));
        for (slot, change) in slots {
            let must = change == Change::Verdict && self.fault != Fault::DecisionsNotKept;
            let account_id = self.engine.account_id(slot).to_string();
            let is_new = self.writes_new && !self.kept.contains_key(&account_id);
            if must || is_new || chosen() {
                let stamp = Stamp {
                    positions: [self.taken.len() as i64; 5],
                    epoch: 3,
                    at: self.engine.account_time(slot),
                };
                let kept = self.engine.keep(slot, &stamp, false);
                let bytes = snapshot::seal(account_id.as_bytes(), &kept);
                self.kept.insert(account_id, (bytes, self.taken.len()));
            }
        }
        if let Some((bytes, came)) = &mut self.guard {
            if let Some(kept) = self.engine.keep_guard() {
                *bytes = snapshot::seal(b"guard", &kept);
            }
            *came = self.engine.guard_came().expect("there is a guard");
        }
    }

    /// Memory is lost, and made anew from what was kept and the records that came after.
    fn crash(&mut self) {
        let rules = Arc::new(Rules::one(Arc::clone(&self.card)));
        self.crash_into(rules);
    }

    /// The same, by a process that judges by other rules.
    fn crash_into(&mut self, rules: Arc<Rules>) {
        let (handled_to, now) = (self.engine.handled_to(), self.engine.now());
        let known = Arc::new(rules.knowing(Arc::clone(&self.card)));
        self.engine = Engine::with_rules(known, EventTime::from_millis(0));
        if let Some((bytes, came)) = &self.guard {
            let kept = snapshot::open(b"guard", bytes).expect("as it was written");
            self.engine.restore_guard(kept, *came);
        }
        for (account_id, (bytes, taken)) in &self.kept {
            let kept = KeptAccount::open(account_id.as_bytes(), bytes).expect("as it was written");
            assert_eq!(kept.stamp().positions, [*taken as i64; 5]);
            self.engine.put_back(account_id, kept).expect("as it was written");
        }
        let mut at = EventTime::MIN;
        for (index, arrival) in self.taken.iter().enumerate() {
            at = at.max(EventTime::from_millis(arrival.record_time_ms));
            let seen = self.kept.get(&arrival.account_id).map_or(0, |(_, taken)| *taken);
            if index >= seen || self.fault == Fault::PositionsForgotten {
                with_event(arrival, |event| match self.fault {
                    Fault::ReplayDecides => {
                        self.engine.advance_to(at);
                        self.engine.handle_event(event);
                    }
                    _ => self.engine.replay(event, at),
                });
            }
        }
        self.engine.thaw(handled_to, now, EventTime::from_millis(0));
        self.engine.change_rules(&rules);
        self.listen();
    }

    fn reports(&mut self) -> BTreeMap<String, Value> {
        let account_ids: Vec<String> = self.engine.account_ids().map(str::to_owned).collect();
        let report = |account_id: String| {
            let snapshot = self.engine.snapshot(&account_id).expect("it is known");
            let report = serde_json::to_value(snapshot.report()).expect("it is JSON");
            (account_id, report)
        };
        account_ids.into_iter().map(report).collect()
    }
}

fn with_event(arrival: &Arrival, take: impl FnOnce(&barometer::engine::event::Event<'_>)) {
    let json = arrival.json();
    let key = Some(arrival.account_id.as_bytes());
    let record_time = EventTime::from_millis(arrival.record_time_ms);
    let limits = DecodeLimits::default();
    let event = decode(arrival.source, key, json.as_deref(), record_time, &limits);
    take(&event.expect("the generator's records are good"));
}

/// One engine that never stops beside one that crashes now and then, compared after each crash and
/// through a long silence at the end.
fn goes_on(case: &Case, fault: Fault) -> Result<(), String> {
    let mut steady = Lives::new(case);
    let mut crashing = Lives::new(case);
    crashing.fault = fault;
    let mut choices = case.choices.iter().cycle().map(|byte| i64::from(*byte));
    let mut choice = || choices.next().unwrap_or(0);
    for (index, arrival) in case.arrivals.iter().enumerate() {
        steady.feed(arrival);
        // Deadlines are left open now and then, and events of other accounts overtake them.
        let looks = if choice() % 2 == 0 { choice() as usize % 3 } else { usize::MAX };
        crashing.feed_after(arrival, looks);
        let next = case.arrivals.get(index + 1).map_or(0, |next| next.record_time_ms);
        let pause = next - arrival.record_time_ms;
        if pause > 0 && choice() % 2 == 0 {
            let between = arrival.record_time_ms + pause * choice() / 256;
            steady.advance_to(between);
            crashing.advance_to(between);
        }
        if choice() % 3 > 0 {
            crashing.commit(|| choice() % 4 == 0);
            if choice() % 3 == 0 {
                crashing.crash();
                crashing.advance_to(arrival.record_time_ms);
                same("reports after a crash", &steady.reports(), &crashing.reports())?;
            }
        }
    }
    let end = case.arrivals.last().map_or(0, |arrival| arrival.record_time_ms);
    for span in [0, 1, HOUR_MS, DAY_MS, 8 * DAY_MS, 35 * DAY_MS, 130 * DAY_MS, 800 * DAY_MS] {
        steady.advance_to(end + span);
        crashing.advance_to(end + span);
        crashing.commit(|| choice() % 2 == 0);
        if choice() % 2 == 0 {
            crashing.crash();
        }
        same("reports at the end", &steady.reports(), &crashing.reports())?;
    }
    same("verdicts", &steady.said, &crashing.said)
}

/// The same through outages of sources, with a few crashes: the fleets have many events.
fn goes_on_through_outages(case: &Case) -> Result<(), String> {
    let mut steady = Lives::new(case).with_outage_guard();
    let mut crashing = Lives::new(case).with_outage_guard();
    let every = case.arrivals.len() / 7 + 1;
    let first = usize::from(case.choices[0]);
    for (index, arrival) in case.arrivals.iter().enumerate() {
        steady.feed(arrival);
        crashing.feed(arrival);
        if (index + first) % every == 0 {
            crashing.commit(|| index % 3 == 0);
            crashing.crash();
            same("reports after a crash", &steady.reports(), &crashing.reports())?;
        }
    }
    let end = case.arrivals.last().map_or(0, |arrival| arrival.record_time_ms);
    for span in [HOUR_MS, 2 * DAY_MS, 20 * DAY_MS] {
        steady.advance_to(end + span);
        crashing.advance_to(end + span);
        crashing.commit(|| false);
        crashing.crash();
        same("reports at the end", &steady.reports(), &crashing.reports())?;
    }
    same("outages", &steady.outages, &crashing.outages)?;
    same("verdicts", &steady.said, &crashing.said)
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, one: &T, other: &T) -> Result<(), String> {
    if one == other {
        return Ok(());
    }
    Err(format!("{what}:\nwithout a crash {one:#?}\nwith crashes {other:#?}"))
}

#[test]
fn a_crash_changes_nothing() {
    check(300, cases(60), |case| goes_on(case, Fault::None));
}

#[test]
fn a_crash_changes_nothing_in_short_histories() {
    check(1_000, cases(12), |case| goes_on(case, Fault::None));
}

#[test]
fn a_crash_changes_nothing_in_dense_histories() {
    check(40, cases(250), |case| goes_on(case, Fault::None));
}

#[test]
fn a_crash_changes_nothing_of_what_people_said() {
    check(300, cases_with_overrides(60), |case| goes_on(case, Fault::None));
}

#[test]
fn a_crash_changes_nothing_through_outages() {
    check(20, cases_with_outages(), goes_on_through_outages);
}

/// Rules that a card could have been changed to: other windows and curves where that makes a good card.
fn changed(yaml: &str) -> Arc<Rules> {
    let other = yaml
        .replace("window: 28d", "window: 60d")
        .replace("curve: { linear: { from: 0", "curve: { linear: { from: 1");
    let parsed = Scorecard::parse("other.yaml", &other)
        .or_else(|_| Scorecard::parse("other.yaml", &format!("{yaml}# changed\n")));
    let card = parsed.expect("a comment does no harm").scorecard;
    let text = format!("{}# changed\n", card.text);
    let card = Scorecard::parse("other.yaml", &text).expect("a comment does no harm").scorecard;
    Arc::new(Rules::one(Arc::new(card)))
}

/// A start with other rules is what a change of rules while running would have been. (But for an
/// account that was never written: all it ever did is read again by the new rules, so that they have
/// no history to wait for.)
#[test]
fn a_crash_into_other_rules_is_a_change_of_rules() {
    check(300, cases(50), |case| {
        let (mut steady, mut crashing) = (Lives::new(case), Lives::new(case));
        crashing.writes_new = true;
        let rules = changed(&with_alerts(case));
        let mut choices = case.choices.iter().cycle();
        let half = case.arrivals.len() / 2;
        for arrival in &case.arrivals[..half] {
            steady.feed(arrival);
            crashing.feed(arrival);
            crashing.commit(|| choices.next().is_some_and(|byte| byte % 3 == 0));
        }
        steady.engine.change_rules(&rules);
        steady.listen();
        crashing.crash_into(rules);
        same("reports after the change", &steady.reports(), &crashing.reports())?;
        end_alike(&case.arrivals[half..], [steady, crashing], |_| true)
    });
}

/// Both take these arrivals and go through a long silence: of the accounts that `counts` names they say
/// the same.
fn end_alike(
    arrivals: &[Arrival],
    mut both: [Lives; 2],
    counts: impl Fn(&String) -> bool,
) -> Result<(), String> {
    for arrival in arrivals {
        both.iter_mut().for_each(|lives| lives.feed(arrival));
    }
    let end = arrivals.last().map_or(0, |arrival| arrival.record_time_ms);
    for span in [0, HOUR_MS, DAY_MS, 35 * DAY_MS, 130 * DAY_MS] {
        let reports = both.each_mut().map(|lives| {
            lives.advance_to(end + span);
            let mut reports = lives.reports();
            reports.retain(|account_id, _| counts(account_id));
            reports
        });
        same("reports", &reports[0], &reports[1])?;
    }
    let said = both.map(|mut lives| {
        lives.said.retain(|account_id, _| counts(account_id));
        lives.said
    });
    same("verdicts", &said[0], &said[1])
}

/// In the middle of a change of rules: whoever has gone over by then has gone over once and for all.
#[test]
fn a_crash_changes_nothing_of_accounts_that_have_gone_over_to_other_rules() {
    check(1_500, (cases(50), cases(1)), |(case, after)| {
        let (mut steady, mut crashing) = (Lives::new(case), Lives::new(case));
        let rules = changed(&with_alerts(after));
        let mut choices = case.choices.iter().cycle().map(|byte| usize::from(*byte));
        let mut choice = || choices.next().unwrap_or(0);
        let (third, rest) = (case.arrivals.len() / 3, case.arrivals.len() * 2 / 3);
        for arrival in &case.arrivals[..third] {
            steady.feed(arrival);
            crashing.feed(arrival);
        }
        steady.engine.change_rules(&rules);
        crashing.engine.begin_rules(&rules);
        for arrival in &case.arrivals[third..rest] {
            steady.feed(arrival);
            crashing.feed_after(arrival, choice() % 3);
        }
        crashing.engine.go_over(&mut (choice() % 4));
        steady.listen();
        crashing.listen();
        crashing.commit(|| choice() % 3 == 0);
        let card = rules.cards().next().expect("one card");
        let mut over = crashing.reports();
        over.retain(|_, report| report["scorecard_hash"] == card.hash);
        crashing.crash_into(Arc::clone(&rules));
        end_alike(&case.arrivals[rest..], [steady, crashing], |id| over.contains_key(id))
    });
}

/// Else a later event under that id would be taken after a restart, and not without one.
#[test]
fn the_id_of_an_event_that_says_what_is_known_is_kept_too() {
    let ticket = |id: &str| Arrival {
        source: Source::Ticket,
        account_id: "acme".to_owned(),
        record_time_ms: DAY_MS,
        body: Some(serde_json::json!({
            "event_id": id, "account_id": "acme", "occurred_at": DAY_MS, "ticket_id": "t",
            "status": "opened",
        })),
    };
    let card = Scorecard::parse("card.yaml", OPEN_TICKETS).expect("a good card").scorecard;
    let mut engine = Engine::new(Arc::new(card), EventTime::MIN);
    for id in ["first", "again"] {
        with_event(&ticket(id), |event| {
            engine.handle_event(event);
        });
        let mut changed = Vec::new();
        engine.drain_changed(|slot, _| changed.push(slot));
        assert_eq!(changed, [0], "{id}");
    }
}

/// What these tests are worth: each mistake is found.
#[test]
fn mistakes_made_on_purpose_are_noticed() {
    for (what, fault) in [
        ("positions", Fault::PositionsForgotten),
        ("decisions", Fault::DecisionsNotKept),
        ("a replay", Fault::ReplayDecides),
    ] {
        let noticed = std::sync::atomic::AtomicBool::new(false);
        check(60, cases(150), |case| {
            let found = std::panic::catch_unwind(|| goes_on(case, fault).is_err());
            noticed.fetch_or(found.unwrap_or(true), std::sync::atomic::Ordering::Relaxed);
            Ok(())
        });
        assert!(noticed.into_inner(), "{what} may be wrong and nobody would know");
    }
}
