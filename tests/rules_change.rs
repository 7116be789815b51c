//! A change of rules while accounts are judged: by a reload, or because a profile asks for another
//! scorecard.
//!
//! The judge is an engine that had the new rules from the start: where the other one has a value it
//! must be the same, and it may be without one only as long as a window fills.

mod histories;
mod task_bench;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use barometer::broker::{OutputRecord, OutputTopic};
use barometer::capacity::Capacity;
use barometer::engine::Engine;
use barometer::engine::event::{DecodeLimits, Source, decode};
use barometer::engine::limits::Limits;
use barometer::engine::record;
use barometer::engine::report::Snapshot;
use barometer::engine::rules::Rules;
use barometer::engine::score::MeasureStatus;
use barometer::engine::scorecard::{Condition, MeasureKind, Scorecard, profile_condition};
use barometer::engine::stats::CardStats;
use barometer::engine::time::{EventTime, Span};
use barometer::engine::verdict::{AlertChange, Cause, Decision, Verdict};
use barometer::engine::yaml::{Field, Log, Node};

use barometer::task::TaskTime;
use histories::harness::check;
use histories::{Arrival, Case, cases, cases_with_outages};
use serde_json::Value;
use task_bench::{Bench, hour};

fn card(yaml: &str) -> Arc<Scorecard> {
    let parsed = Scorecard::parse("card.yaml", yaml).unwrap_or_else(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        panic!("{}\n{yaml}", problems.join("\n"))
    });
    Arc::new(parsed.scorecard)
}

fn is_gold() -> Condition {
    let log = Log::new("settings");
    let node = Node::parse(&log, 0, "{ profile: tier, is: gold }").unwrap();
    profile_condition(&Field::root(&node, &log)).unwrap()
}

fn feed(engine: &mut Engine, arrival: &Arrival) {
    feed_within(engine, arrival, &mut usize::MAX.clone());
}

/// The same, with at most `looks` of the deadlines before it handled first.
fn feed_within(engine: &mut Engine, arrival: &Arrival, looks: &mut usize) {
    let record_time = EventTime::from_millis(arrival.record_time_ms);
    engine.advance_within(record_time, looks);
    let json = arrival.json();
    let key = Some(arrival.account_id.as_bytes());
    let limits = DecodeLimits::default();
    let event = decode(arrival.source, key, json.as_deref(), record_time, &limits);
    engine.handle_event(&event.expect("generated records can be used"));
}

/// Whether two engines read the same of an account, where the first can tell.
fn agree(changed: &Snapshot, steady: &Snapshot, all_filled: bool) -> Result<(), String> {
    for (index, (a, b)) in changed.measures.iter().zip(&*steady.measures).enumerate() {
        let rule = changed.card.measure(index);
        let what = || format!("{} of {} at {}", rule.id, changed.account_id, changed.as_of);
        if a.status() == MeasureStatus::WarmingUp {
            // Only an event can tell when something was used last.
            if all_filled && rule.kind != MeasureKind::UsageDaysSinceLast {
                return Err(format!("{} still warms up", what()));
            }
            continue;
        }
        let near = match (a.value(), b.value()) {
            (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(1.0),
            (a, b) => a.is_none() && b.is_none(),
        };
        if !near || a.status() != b.status() {
            return Err(format!("{}: {a:?}, expected {b:?}", what()));
        }
    }
    Ok(())
}

fn with_horizon_of(yaml: &str, other: &str) -> String {
    let horizon = |line: &&str| line.starts_with("item_horizon:");
    let rest = yaml.lines().filter(|line| !horizon(line));
    let taken = other.lines().filter(horizon);
    rest.chain(taken).map(|line| format!("{line}\n")).collect()
}

fn changed_rules_read_what_they_would_have_read(before: &Case, after: &Case) -> Result<(), String> {
    let new = card(&with_horizon_of(&after.card, &before.card));
    let mut changed = Engine::new(card(&before.card), EventTime::MIN);
    let mut steady = Engine::new(Arc::clone(&new), EventTime::MIN);
    let change_at = usize::from(before.choices[0]) % before.arrivals.len();
    let mut last = EventTime::MIN;
    let mut again = after.choices.iter().cycle();
    for (index, arrival) in before.arrivals.iter().enumerate() {
        feed(&mut changed, arrival);
        feed(&mut steady, arrival);
        last = EventTime::from_millis(arrival.record_time_ms);
        if index == change_at {
            changed.change_rules(&Rules::one(Arc::clone(&new)));
        }
        if index >= change_at && again.next().is_some_and(|byte| byte % 3 == 0) {
            compare(&mut changed, &mut steady, false)?;
        }
    }
    for days in [0, 1, 7, 40, 200, 2_000] {
        for engine in [&mut changed, &mut steady] {
            engine.advance_to(last + Span::days(days));
        }
        compare(&mut changed, &mut steady, days == 2_000)?;
    }
    chains(&mut changed)
}

fn compare(changed: &mut Engine, steady: &mut Engine, all_filled: bool) -> Result<(), String> {
    let ids: Vec<String> = steady.account_ids().map(str::to_owned).collect();
    for id in ids {
        let (a, b) = (changed.snapshot(&id).unwrap(), steady.snapshot(&id).unwrap());
        agree(&a, &b, all_filled)?;
    }
    Ok(())
}

/// Every verdict goes on where the one before it ended, across the change as well.
fn chains(engine: &mut Engine) -> Result<(), String> {
    let mut last: BTreeMap<String, (u64, Option<f64>, String)> = BTreeMap::new();
    while let Some(verdict) = engine.poll_verdict() {
        let known = last.entry(verdict.account_id.to_string()).or_default();
        if verdict.sequence != known.0 + 1 {
            return Err(format!("number {} after {}", verdict.sequence, known.0));
        }
        known.0 = verdict.sequence;
        if let Decision::BandChange { from, to } = verdict.decision {
            let name = |band: Option<usize>| {
                band.map_or("unknown".to_owned(), |band| verdict.card.bands[band].name.clone())
            };
            let from = verdict.left.as_ref().map_or(name(from), |left| left.to_string());
            let before = if known.2.is_empty() { "unknown" } else { &known.2 };
            if from != before {
                return Err(format!("from {from} after {before} at {}", verdict.at));
            }
            known.2 = name(to);
            let moved: f64 = verdict.movements.iter().map(|movement| movement.points).sum();
            let change = verdict.score.unwrap_or(0.0) - verdict.previous_score.unwrap_or(0.0);
            if (moved - change).abs() > 1e-6 {
                return Err(format!("reasons sum to {moved}, the score moved by {change}"));
            }
        }
    }
    Ok(())
}

#[test]
fn new_rules_read_what_they_would_have_read_from_the_start_or_warm_up() {
    let pairs = (cases(60), cases(2));
    check(400, pairs, |(before, after)| {
        changed_rules_read_what_they_would_have_read(before, after)
    });
}

#[test]
fn rules_that_say_the_same_change_nothing() {
    check(100, cases(40), |case| {
        let rules = || Arc::new(Rules::one(card(&case.card)));
        let mut changed = Engine::with_rules(rules(), EventTime::MIN);
        let mut steady = Engine::with_rules(rules(), EventTime::MIN);
        for arrival in &case.arrivals {
            feed(&mut changed, arrival);
            feed(&mut steady, arrival);
            changed.change_rules(&rules());
        }
        let verdicts = |engine: &mut Engine| -> Vec<String> {
            std::iter::from_fn(|| engine.poll_verdict())
                .map(|verdict| format!("{verdict:?}"))
                .collect()
        };
        if verdicts(&mut changed) == verdicts(&mut steady) {
            Ok(())
        } else {
            Err("differ".to_owned())
        }
    });
}

const USERS: &str = "
scorecard: by-users
dimensions:
  - id: use
    measures:
      - { id: users, measure: usage.active_users, window: 28d, curve: { linear: { from: 0, to: 10 } } }
bands:
  - { name: red, up_to: 50 }
  - { name: green, up_to: 100 }
anti_flap: { margin: 0, dwell: { worse: 1h, better: 1d }, bypass_drop: 100 }
alerts:
  - { id: red, band_entered: red }
  - { id: drop, score_drop: { points: 20, within: 7d } }
";

/// Accounts need twice the users; `red` is called `critical` there, and the rule `red` is gone.
fn strict() -> String {
    USERS.replace("to: 10 }", "to: 20 }").replace("name: red", "name: critical").replace(
        "  - { id: red, band_entered: red }\n",
        "  - { id: bad, band_entered: critical }\n",
    )
}

struct Story {
    engine: Engine,
    start: EventTime,
    events: u32,
}

impl Story {
    fn new(rules: Rules) -> Story {
        let start = EventTime::parse_rfc3339("2026-01-01T00:00:00Z").unwrap();
        Story { engine: Engine::with_rules(Arc::new(rules), EventTime::MIN), start, events: 0 }
    }

    fn record(&mut self, days: i64, source: Source, fields: &str) {
        self.events += 1;
        let at = self.start + Span::days(days);
        self.engine.advance_to(at);
        let body = format!(
            r#"{{"event_id":"{}","account_id":"acme","occurred_at":"{at}",{fields}}}"#,
            self.events
        );
        let limits = DecodeLimits::default();
        let event = decode(source, Some(b"acme"), Some(body.as_bytes()), at, &limits).unwrap();
        self.engine.handle_event(&event);
    }

    fn users(&mut self, days: i64, users: u32) {
        for user in 0..users {
            self.record(days, Source::Usage, &format!(r#""feature":"f","user_id":"{user}""#));
        }
    }

    fn verdicts(&mut self) -> Vec<Verdict> {
        std::iter::from_fn(|| self.engine.poll_verdict()).collect()
    }
}

#[test]
fn a_change_of_rules_is_told_as_one_and_pages_nobody() {
    let mut story = Story::new(Rules::one(card(USERS)));
    story.users(0, 8);
    story.engine.advance_to(story.start + Span::days(2));
    story.verdicts();
    story.engine.change_rules(&Rules::one(card(&strict())));
    let verdicts = story.verdicts();
    let [verdict] = &verdicts[..] else { panic!("{verdicts:#?}") };
    assert_eq!(verdict.cause, Cause::Rules);
    assert_eq!(verdict.decision, Decision::BandChange { from: Some(1), to: Some(0) });
    assert_eq!((verdict.previous_score, verdict.score), (Some(80.0), Some(40.0)));
    // The account's own fall is told as ever.
    story.engine.advance_to(story.start + Span::days(29));
    let fired: Vec<String> = story
        .verdicts()
        .iter()
        .filter_map(|verdict| match verdict.decision {
            Decision::Alert(step) if step.change == AlertChange::Fired => {
                Some(verdict.card.alerts[step.rule].id.clone())
            }
            _ => None,
        })
        .collect();
    assert_eq!(fired, ["drop"]);
}

#[test]
fn an_alert_whose_rule_is_gone_is_resolved_and_a_band_that_is_gone_is_left() {
    let mut story = Story::new(Rules::one(card(USERS)));
    story.users(0, 2);
    story.verdicts();
    story.engine.change_rules(&Rules::one(card(&strict())));
    let verdicts = story.verdicts();
    let [band, alert] = &verdicts[..] else { panic!("{verdicts:#?}") };
    assert_eq!(band.left.as_deref(), Some("red"));
    assert_eq!(band.decision, Decision::BandChange { from: None, to: Some(0) });
    let Decision::Alert(step) = alert.decision else { panic!("{alert:#?}") };
    assert_eq!(alert.card.alerts[step.rule].id, "red");
    assert!(matches!(step.change, AlertChange::Resolved { .. }), "{step:?}");
}

#[test]
fn a_profile_chooses_the_scorecard() {
    let rules = Rules::selecting(vec![(is_gold(), card(&strict()))], card(USERS));
    let mut story = Story::new(rules);
    story.users(0, 8);
    let judged_by = |story: &mut Story| {
        let snapshot = story.engine.snapshot("acme").unwrap();
        (snapshot.breakdown().score, snapshot.card.bands[0].name.clone())
    };
    assert_eq!(judged_by(&mut story), (Some(80.0), "red".to_owned()));
    story.record(1, Source::Profile, r#""tier":"gold""#);
    assert_eq!(judged_by(&mut story), (Some(40.0), "critical".to_owned()));
    story.record(2, Source::Profile, r#""tier":"silver""#);
    assert_eq!(judged_by(&mut story), (Some(80.0), "red".to_owned()));
    let causes: Vec<Cause> = story.verdicts().iter().map(|verdict| verdict.cause).collect();
    assert!(causes.contains(&Cause::Rules), "{causes:?}");
    assert_eq!(story.engine.stats().cards[1].accounts_by_band, [0, 1, 0]);
}

#[test]
fn a_measure_without_a_past_warms_up_until_its_window_has_filled() {
    let wide = USERS.replace("window: 28d", "window: 14d");
    let mut story = Story::new(Rules::one(card(USERS)));
    story.users(0, 8);
    story.engine.advance_to(story.start + Span::days(3));
    story.engine.change_rules(&Rules::one(card(&wide)));
    let status = |story: &mut Story, days: i64| {
        story.engine.advance_to(story.start + Span::days(days));
        story.engine.snapshot("acme").unwrap().measures[0].status()
    };
    assert_eq!(status(&mut story, 3), MeasureStatus::WarmingUp);
    story.users(10, 4);
    assert_eq!(status(&mut story, 15), MeasureStatus::WarmingUp);
    // Fourteen whole days that began on day 3, the day that runs included.
    assert_eq!(status(&mut story, 16), MeasureStatus::Ok);
    let report = serde_json::to_value(story.engine.snapshot("acme").unwrap().report()).unwrap();
    assert_eq!(report["dimensions"][0]["measures"][0]["value"], 4.0);
}

fn reports_change_no_verdict(before: &Case, after: &Case) -> Result<(), String> {
    let rules = Rules::selecting(vec![(is_gold(), card(&after.card))], card(&before.card));
    let rules = Arc::new(rules);
    let mut asked = Engine::with_rules(Arc::clone(&rules), EventTime::MIN);
    let mut left_alone = Engine::with_rules(rules, EventTime::MIN);
    for arrival in &before.arrivals {
        feed(&mut asked, arrival);
        feed(&mut left_alone, arrival);
        asked.snapshot(&arrival.account_id);
        let said = |engine: &mut Engine| -> Vec<String> {
            let verdicts = std::iter::from_fn(|| engine.poll_verdict());
            let payloads = verdicts.map(|verdict| record::encode(&verdict, "/test").payload);
            payloads.map(|payload| String::from_utf8(payload).expect("JSON")).collect()
        };
        let (one, other) = (said(&mut asked), said(&mut left_alone));
        if one != other {
            return Err(format!("asked in between:\n{one:#?}\nleft alone:\n{other:#?}"));
        }
    }
    Ok(())
}

/// A report reads measures that are only watched. By other rules they are reasons: of the value in the
/// last verdict, whatever a report has read since.
#[test]
fn a_report_in_between_changes_no_verdict() {
    check(400, (cases(60), cases(1)), |(before, after)| reports_change_no_verdict(before, after));
}

/// One engine goes over to other rules at once, another one account by account, with events, deadlines
/// and questions in between.
fn goes_over_in_slices(before: &Case, after: &Case, guarded: bool) -> Result<(), String> {
    let (old, new) = (card(&before.card), card(&with_horizon_of(&after.card, &before.card)));
    let rules = Rules::selecting(vec![(is_gold(), Arc::clone(&old))], Arc::clone(&new));
    let engine = || match Engine::new(Arc::clone(&old), EventTime::MIN) {
        engine if guarded => engine.with_outage_guard(),
        engine => engine,
    };
    let (mut at_once, mut in_slices) = (engine(), engine());
    let mut choices = before.choices.iter().cycle().map(|byte| usize::from(*byte));
    let mut choice = || choices.next().unwrap_or(0);
    let change_at = [choice() % before.arrivals.len(), before.arrivals.len() * 3 / 4];
    let mut said = [BTreeMap::new(), BTreeMap::new()];
    for (index, arrival) in before.arrivals.iter().enumerate() {
        feed(&mut at_once, arrival);
        let mut looks = if choice() % 2 == 0 { choice() % 3 } else { usize::MAX };
        feed_within(&mut in_slices, arrival, &mut looks);
        if choice() % 5 == 0 {
            in_slices.snapshot(&arrival.account_id);
        }
        in_slices.go_over(&mut (choice() % 3));
        if let Some(place) = change_at.iter().position(|at| *at == index) {
            let back = Rules::one(Arc::clone(&old));
            let rules = if place == 0 { &rules } else { &back };
            at_once.change_rules(rules);
            in_slices.begin_rules(rules);
        }
        listen(&mut at_once, &mut said[0]);
        listen(&mut in_slices, &mut said[1]);
    }
    let end = before.arrivals.last().map_or(0, |arrival| arrival.record_time_ms);
    let end = EventTime::from_millis(end) + Span::days(40);
    at_once.advance_to(end);
    in_slices.go_over(&mut usize::MAX.clone());
    in_slices.advance_to(end);
    if in_slices.is_going_over() {
        return Err("some account has not gone over".to_owned());
    }
    listen(&mut at_once, &mut said[0]);
    listen(&mut in_slices, &mut said[1]);
    if said[0] != said[1] {
        return Err(format!("at once:\n{:#?}\nin slices:\n{:#?}", said[0], said[1]));
    }
    let (one, other) = (standing(&at_once), standing(&in_slices));
    if one != other {
        return Err(format!("at once: {one:?}\nin slices: {other:?}"));
    }
    let ids: Vec<String> = at_once.account_ids().map(str::to_owned).collect();
    for id in ids {
        let report = |engine: &mut Engine| {
            serde_json::to_string(&engine.snapshot(&id).unwrap().report()).unwrap()
        };
        let (one, other) = (report(&mut at_once), report(&mut in_slices));
        if one != other {
            return Err(format!("at once: {one}\nin slices: {other}"));
        }
    }
    Ok(())
}

/// By card: how many accounts are in each band, and for how many each alert fires.
fn standing(engine: &Engine) -> Vec<(Vec<u64>, Vec<u64>)> {
    let firing = |card: &CardStats| card.alerts.iter().map(|alert| alert.firing).collect();
    let cards = engine.stats().cards.iter();
    cards.map(|card| (card.accounts_by_band.clone(), firing(card))).collect()
}

/// What an engine has said of each account.
fn listen(engine: &mut Engine, said: &mut BTreeMap<String, Vec<String>>) {
    while let Some(verdict) = engine.poll_verdict() {
        let payload = record::encode(&verdict, "/test").payload;
        let payload = String::from_utf8(payload).expect("JSON");
        said.entry(verdict.account_id.to_string()).or_default().push(payload);
    }
}

#[test]
fn a_change_of_rules_in_slices_tells_each_account_what_one_at_once_does() {
    check(600, (cases(60), cases(2)), |(before, after)| goes_over_in_slices(before, after, false));
}

#[test]
fn a_change_of_rules_in_slices_tells_the_same_through_outages() {
    check(15, (cases_with_outages(), cases(2)), |(before, after)| {
        goes_over_in_slices(before, after, true)
    });
}

/// One use is enough for green by the first card, and not by the second.
const ONE_USE: &str = "
scorecard: one-use
dimensions:
  - { id: use, measures: [{ id: events, measure: usage.events, window: 7d, curve: { linear: { from: 0, to: 1 } } }] }
bands: [{ name: red, up_to: 50 }, { name: green, up_to: 100 }]
anti_flap: { margin: 0, dwell: { worse: 0s, better: 0s } }
";

fn four_uses() -> Rules {
    Rules::one(card(&ONE_USE.replace("to: 1 }", "to: 4 }")))
}

/// A task whose accounts have all been used once and are green; nothing is left to be written.
fn green_fleet(accounts: usize, outage_guard: bool) -> (Bench, Vec<OutputRecord>) {
    let mut bench = Bench::new(ONE_USE, TaskTime::Wall, Limits::NONE, Capacity::endless());
    if outage_guard {
        bench.watch_for_outages();
    }
    bench.fleet(accounts);
    let written = bench.write_all();
    (bench, written)
}

/// Who went to red because of the rules, and when.
fn gone_red(outputs: &[OutputRecord]) -> Vec<(String, String)> {
    let events = outputs.iter().filter(|record| record.topic == OutputTopic::Events);
    let bodies = events.map(|record| serde_json::from_slice(record.value.as_ref().unwrap()));
    let bodies = bodies.map(|body: Result<Value, _>| body.expect("JSON"));
    let red = bodies.filter(|body| body["cause"] == "rules" && body["to"] == "red");
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    red.map(|body| (text(&body["account_id"]), text(&body["entered_at"]))).collect()
}

#[test]
fn a_change_of_rules_is_spread_over_commits_and_an_event_s_own_account_comes_first() {
    let (mut bench, _) = green_fleet(500, false);
    bench.task.change_rules(&four_uses());
    let event = bench.usage("a499", hour(0) + Span::SECOND);
    bench.fetch(Source::Usage, &[event], hour(0) + Span::SECOND);
    let mut now = hour(0) + Span::SECOND;
    let mut red = Vec::new();
    while bench.task.is_going_over() {
        bench.work_with(now, 20);
        let told = gone_red(&bench.commit(now));
        assert!(told.len() <= 21, "a commit has a turn's work in it, not all: {}", told.len());
        if red.is_empty() {
            assert!(told.iter().any(|(account, _)| account == "a499"), "{told:?}");
        }
        red.extend(told);
        now = now + Span::SECOND;
    }
    // However long it took: all of them when the rules changed.
    let at_change = hour(0).to_string();
    assert!(red.iter().all(|(_, at)| *at == at_change), "{red:?}");
    let accounts: BTreeSet<String> = red.iter().map(|(account, _)| account.clone()).collect();
    assert_eq!((red.len(), accounts.len()), (500, 500));
}

#[test]
fn no_outage_is_looked_for_before_all_accounts_have_gone_over() {
    let (mut bench, _) = green_fleet(100, true);
    bench.task.change_rules(&four_uses());
    let mut red = Vec::new();
    let event = bench.usage("a1", hour(3));
    bench.fetch(Source::Usage, &[event], hour(3));
    while bench.task.is_going_over() {
        let taken = bench.work_with(hour(3), 7);
        let told = gone_red(&bench.commit(hour(3)));
        assert!(told.len() <= 7, "{}", told.len());
        red.extend(told);
        if bench.task.is_going_over() {
            assert_eq!((taken, bench.now() < hour(1)), (0, true), "at {}", bench.now());
        }
    }
    bench.work_with(hour(3), 7);
    assert_eq!((red.len(), bench.now()), (100, hour(3)));
}

#[test]
fn a_crash_amid_a_change_of_rules_has_each_account_go_over_once() {
    let (mut bench, mut written) = green_fleet(300, false);
    bench.rules = Arc::new(four_uses());
    bench.task.change_rules(&four_uses());
    bench.work_with(hour(0), 100);
    written.extend(bench.commit(hour(0)));
    // This never got out.
    bench.work_with(hour(0), 50);
    bench.crash(&written);
    assert!(bench.task.is_going_over());
    while bench.task.is_going_over() {
        bench.work_with(hour(0), 100);
        written.extend(bench.commit(hour(0)));
    }
    let red: Vec<String> = gone_red(&written).into_iter().map(|(account, _)| account).collect();
    let accounts: BTreeSet<&String> = red.iter().collect();
    assert_eq!((red.len(), accounts.len()), (300, 300));
}
