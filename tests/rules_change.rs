//! A change of rules while accounts are judged: by a reload, or because a profile asks for another
//! scorecard.
//!
//! The judge is an engine that had the new rules from the start: where the other one has a value it
//! must be the same, and it may be without one only as long as a window fills.

mod histories;

use std::sync::Arc;

use barometer::engine::Engine;
use barometer::engine::event::{DecodeLimits, Source, decode};
use barometer::engine::record;
use barometer::engine::report::Snapshot;
use barometer::engine::rules::Rules;
use barometer::engine::score::MeasureStatus;
use barometer::engine::scorecard::{MeasureKind, Scorecard, profile_condition};
use barometer::engine::time::{EventTime, Span};
use barometer::engine::verdict::{AlertChange, Cause, Decision, Verdict};
use barometer::engine::yaml::{Field, Log, Node};

use histories::harness::check;
use histories::{Arrival, Case, cases};

fn card(yaml: &str) -> Arc<Scorecard> {
    let parsed = Scorecard::parse("card.yaml", yaml).unwrap_or_else(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        panic!("{}\n{yaml}", problems.join("\n"))
    });
    Arc::new(parsed.scorecard)
}

fn feed(engine: &mut Engine, arrival: &Arrival) {
    let record_time = EventTime::from_millis(arrival.record_time_ms);
    engine.advance_to(record_time);
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
            changed.change_rules(Arc::new(Rules::one(Arc::clone(&new))));
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
    let mut last: std::collections::HashMap<String, (u64, Option<f64>, String)> =
        Default::default();
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
            changed.change_rules(rules());
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
    story.engine.change_rules(Arc::new(Rules::one(card(&strict()))));
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
    story.engine.change_rules(Arc::new(Rules::one(card(&strict()))));
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
    let log = Log::new("settings");
    let node = Node::parse(&log, 0, "{ profile: tier, is: gold }").unwrap();
    let gold = profile_condition(&Field::root(&node, &log)).unwrap();
    let rules = Rules::selecting(vec![(gold, card(&strict()))], card(USERS));
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
    story.engine.change_rules(Arc::new(Rules::one(card(&wide))));
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
    let log = Log::new("settings");
    let node = Node::parse(&log, 0, "{ profile: tier, is: gold }").unwrap();
    let gold = profile_condition(&Field::root(&node, &log)).unwrap();
    let rules = Rules::selecting(vec![(gold, card(&after.card))], card(&before.card));
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
