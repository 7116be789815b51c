//! What the comparison with the reference model once found: each bug as a short story.
//!
//! Both sides tell every story, so that a wrong one cannot be told twice.

mod histories;
mod judge;
mod reference;

use barometer::engine::event::Source;
use barometer::engine::scorecard::Scorecard;
use histories::Arrival;
use judge::{Both, Judged};
use serde_json::{Value, json};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Monday, 2026-01-05, 00:00 UTC: a day and a week begin.
const START: i64 = 1_767_571_200_000;

/// Bands without any inertia, five points wide: whatever moves the score changes the band.
fn touchy_bands() -> String {
    let bands: Vec<String> =
        (1..=20).map(|n| format!("{{ name: b{}, up_to: {} }}", 5 * n, 5 * n)).collect();
    format!(
        "bands: [{}]\nanti_flap: {{ margin: 0, dwell: {{ worse: 0, better: 0 }} }}\n",
        bands.join(", ")
    )
}

/// A card of these measures in one dimension, and `more` keys.
fn card(measures: &[&str], more: &str) -> String {
    let measures: String = measures.iter().map(|m| format!("      - {{ {m} }}\n")).collect();
    format!(
        "scorecard: case\ndimensions:\n  - id: only\n    measures:\n{measures}{}{more}",
        touchy_bands()
    )
}

/// Learnt of at `now`; it happened at `at`.
fn arriving(source: Source, now: i64, at: i64, fields: Value) -> Arrival {
    let mut body = json!({
        "account_id": "acme", "event_id": format!("{now}/{at}/{fields}"), "occurred_at": at,
    });
    for (key, value) in fields.as_object().expect("fields are an object") {
        body[key] = value.clone();
    }
    Arrival { source, account_id: "acme".to_owned(), record_time_ms: now, body: Some(body) }
}

fn arrival(source: Source, at: i64, fields: Value) -> Arrival {
    arriving(source, at, at, fields)
}

fn usage(at: i64) -> Arrival {
    arrival(Source::Usage, at, json!({"feature": "reports", "user_id": "ann"}))
}

fn ticket(at: i64, id: &str, status: &str) -> Arrival {
    arrival(Source::Ticket, at, json!({"ticket_id": id, "status": status}))
}

fn invoice(at: i64, id: &str, status: &str, due_at: i64) -> Arrival {
    let fields = json!({
        "invoice_id": id, "status": status, "amount_minor": 1_000, "currency": "EUR",
        "due_at": due_at,
    });
    arrival(Source::Payment, at, fields)
}

/// Feeds both sides, comparing after each record.
fn told(yaml: &str, arrivals: &[Arrival]) -> Both {
    let mut both = Both::new(yaml);
    for arrival in arrivals {
        both.feed(arrival).expect("the story is well-formed");
        agree(&mut both);
    }
    both
}

fn agree(both: &mut Both) {
    both.compare().unwrap_or_else(|difference| panic!("{difference}"));
}

/// The engine's report at `at`, after the two sides agreed on it.
fn report(both: &mut Both, at: i64) -> Value {
    both.advance_to(at);
    agree(both);
    both.engine.report("acme")
}

fn measure(report: &Value, index: usize) -> &Value {
    &report["dimensions"][0]["measures"][index]
}

#[test]
fn a_status_told_twice_counts_once_and_its_later_details_are_judged_at_once() {
    let yaml = card(
        &["id: urgent, measure: support.open, priorities: [urgent], curve: { linear: { from: 4, \
           to: 0 } }"],
        "",
    );
    let opened = |event_id: &str, priority: &str| {
        let fields = json!({
            "ticket_id": "t", "status": "opened", "priority": priority, "event_id": event_id,
        });
        arriving(Source::Ticket, START, START, fields)
    };
    let mut both = told(&yaml, &[opened("a", "low"), opened("b", "urgent")]);
    assert_eq!(both.engine.all_verdicts().len(), 2);
    assert_eq!(report(&mut both, START)["score"], 75.0);
}

#[test]
fn a_trend_with_nothing_in_its_panes_falls_to_zero_at_its_own_time() {
    let yaml = card(
        &[
            "id: trend, measure: usage.trend, window: 7d, baseline: 21d, features: [export], \
             missing: neutral, curve: { linear: { from: 0, to: 1 } }",
            "id: events, measure: usage.events, window: 364d, curve: { linear: { from: 0, to: 1 } }",
        ],
        "",
    );
    let mut both = told(&yaml, &[usage(START)]);
    report(&mut both, START + 100 * DAY_MS);
    let fell = "2026-02-03T00:00:00Z"; // 29 days on: the baseline begins after the only event.
    assert!(both.engine.all_verdicts().iter().any(|verdict| verdict.contains(fell)));
}

#[test]
fn an_answer_that_left_its_window_is_missing_and_not_stale() {
    let yaml = card(
        &["id: nps, measure: survey.nps, window: 7d, stale_after: 5d, curve: { linear: { from: \
           -100, to: 100 } }"],
        "",
    );
    let answer = arrival(Source::Survey, START, json!({"survey": "nps", "score": 9}));
    let mut both = told(&yaml, &[answer]);
    let statuses = [0, 5, 8].map(|day| {
        let report = report(&mut both, START + day * DAY_MS);
        measure(&report, 0)["status"].as_str().expect("a status is text").to_owned()
    });
    assert_eq!(statuses, ["ok", "stale", "missing"]);
}

#[test]
fn an_answer_ahead_of_the_clock_does_not_freshen_those_that_are_read() {
    let yaml = card(
        &["id: nps, measure: survey.nps, window: 32h, stale_after: 1h, curve: { linear: { from: \
           -100, to: 100 } }"],
        "",
    );
    let nps =
        |now: i64, at: i64| arriving(Source::Survey, now, at, json!({"survey": "nps", "score": 9}));
    let eleven = START + 11 * HOUR_MS;
    let before = eleven - MINUTE_MS;
    let mut both = told(
        &yaml,
        &[nps(eleven - HOUR_MS - MINUTE_MS, eleven - HOUR_MS - MINUTE_MS), nps(before, eleven)],
    );
    assert_eq!(measure(&report(&mut both, before), 0)["status"], "stale");
    assert_eq!(measure(&report(&mut both, eleven), 0)["status"], "ok");
}

#[test]
fn usage_older_than_every_window_is_late_dropped_whatever_its_feature() {
    let yaml = card(
        &[
            "id: exports, measure: usage.events, window: 7d, features: [export], curve: { linear: { \
           from: 0, to: 9 } }",
        ],
        "",
    );
    let late = arriving(Source::Usage, START, START - 30 * DAY_MS, json!({"feature": "reports"}));
    told(&yaml, &[usage(START), late]);
}

#[test]
fn an_item_is_forgotten_at_the_instant_at_which_the_horizon_is_full() {
    let yaml = card(
        &[
            "id: open, measure: support.reopened, window: 90d, curve: { linear: { from: 4, to: 0 } }",
        ],
        "item_horizon: 5d\n",
    );
    for (early, counted) in [(1, 1.0), (0, 0.0)] {
        let full = START + 5 * DAY_MS;
        let fields = json!({"ticket_id": "t", "status": "reopened"});
        let reopened = arriving(Source::Ticket, full - early, START, fields);
        let mut both = told(&yaml, &[ticket(START, "t", "closed"), reopened]);
        assert_eq!(measure(&report(&mut both, full), 0)["value"], counted, "{early} ms early");
    }
}

#[test]
fn a_reminder_cannot_be_counted_twice_while_it_keeps_its_invoice() {
    let yaml = card(
        &[
            "id: reminders, measure: payment.reminders, window: 90d, curve: { linear: { from: 4, to: \
           0 } }",
        ],
        "item_horizon: 5d\n",
    );
    let again = |now: i64| {
        let fields = json!({
            "invoice_id": "i", "status": "reminded", "amount_minor": 0, "currency": "EUR",
        });
        arriving(Source::Payment, now, START + 3 * DAY_MS, fields)
    };
    let arrivals =
        [invoice(START, "i", "paid", START), again(START + 3 * DAY_MS), again(START + 6 * DAY_MS)];
    let mut both = told(&yaml, &arrivals);
    assert_eq!(measure(&report(&mut both, START + 7 * DAY_MS), 0)["value"], 1.0);
}

#[test]
fn an_invoice_paid_long_before_it_is_due_still_counts_when_it_is() {
    let yaml = card(
        &[
            "id: late, measure: payment.late_share, window: 28d, curve: { linear: { from: 1, to: 0 } }",
        ],
        "item_horizon: 5d\n",
    );
    let due_at = START + 60 * DAY_MS;
    let mut arrivals = vec![invoice(START, "early", "issued", due_at)];
    arrivals.push(invoice(START + HOUR_MS, "early", "paid", due_at));
    for n in 0..20 {
        let at = START + 50 * DAY_MS + n * HOUR_MS;
        arrivals.push(invoice(at, &format!("i{n}"), "voided", at));
    }
    let mut both = told(&yaml, &arrivals);
    assert_eq!(measure(&report(&mut both, due_at), 0)["value"], 0.0);
}

#[test]
fn without_grace_an_account_whose_first_event_is_ahead_of_the_clock_has_a_score() {
    let yaml = card(
        &["id: tickets, measure: support.open, curve: { linear: { from: 4, to: 0 } }"],
        "grace: 0d\n",
    );
    let fields = json!({"ticket_id": "t", "status": "opened"});
    let ahead = arriving(Source::Ticket, START, START + MINUTE_MS, fields);
    let mut both = told(&yaml, &[ahead]);
    assert_eq!(report(&mut both, START)["score"], 75.0);
}

#[test]
fn a_reason_names_the_value_of_now_and_not_that_of_the_last_deadline() {
    let yaml = card(
        &[
            "id: silent_days, measure: usage.days_since_last, curve: { linear: { from: 3, to: 0 } }",
            "id: open, measure: support.open, missing: zero, curve: { linear: { from: 4, to: 0 } }",
        ],
        "gates: [{ id: calm, cap: 10, when: { measure: open, at_most: 0 }, reason: calm }]\n",
    );
    let mut both = told(&yaml, &[usage(START), ticket(START + 9 * DAY_MS, "t", "opened")]);
    agree(&mut both);
    let verdicts = both.engine.all_verdicts();
    assert!(verdicts.last().expect("the score rose").contains("to: Some(9.0)"), "{verdicts:#?}");
}

#[test]
fn a_watched_dimension_that_alone_has_data_makes_no_score() {
    let yaml = format!(
        "scorecard: case\ndimensions:\n  - id: watched\n    weight: 0\n    measures:\n      - {{ id: \
         open, measure: support.open, curve: {{ linear: {{ from: 4, to: 0 }} }} }}\n  - id: counted\n    \
         measures:\n      - {{ id: nps, measure: survey.nps, window: 90d, curve: {{ linear: {{ from: 0, \
         to: 100 }} }} }}\nmin_coverage: 0\ngates: [{{ id: high, floor: 90, when: {{ measure: open, \
         at_least: 0 }}, reason: high }}]\n{}",
        touchy_bands()
    );
    let mut both = told(&yaml, &[ticket(START, "t", "opened")]);
    let report = report(&mut both, START);
    assert_eq!(report["score"], Value::Null);
    assert_eq!(report["gates"], json!([]), "there is no score to limit");
    let watched = &report["dimensions"][0];
    assert_eq!((&watched["score"], &watched["contribution"]), (&json!(75.0), &json!(0.0)));
}

#[test]
fn a_dimension_of_a_signed_card_scores_within_0_and_100() {
    let yaml = card(
        &[
            "id: open, measure: support.open, points: 30, curve: { linear: { from: 4, to: 0 } }",
            "id: opened, measure: support.opened, window: 7d, points: -20, curve: { linear: { from: \
             0, to: 1 } }",
        ],
        "combine: { signed: { start: 50 } }\n",
    );
    let mut both = told(&yaml, &[usage(START)]);
    assert_eq!(report(&mut both, START)["dimensions"][0]["score"], 80.0);
}

#[test]
fn a_dimension_has_no_data_when_only_a_watched_measure_has() {
    let yaml = card(
        &[
            "id: open, measure: support.open, weight: 0, curve: { linear: { from: 4, to: 0 } }",
            "id: nps, measure: survey.nps, window: 90d, curve: { linear: { from: 0, to: 100 } }",
        ],
        "",
    );
    let mut both = told(&yaml, &[ticket(START, "t", "opened")]);
    assert_eq!(report(&mut both, START)["dimensions"][0]["status"], "missing");
}

#[test]
fn of_two_payments_of_one_instant_the_later_status_gives_the_currency() {
    let yaml = card(
        &["id: overdue, measure: payment.overdue_minor, curve: { linear: { from: 5000, to: 0 } }"],
        "",
    );
    let payment = |event_id: &str, status: &str, currency: &str| {
        let fields = json!({
            "invoice_id": "i", "status": status, "amount_minor": 1_000, "currency": currency,
            "due_at": START, "event_id": event_id,
        });
        arrival(Source::Payment, START, fields)
    };
    let mut both = told(&yaml, &[payment("z", "issued", "EUR"), payment("a", "failed", "USD")]);
    assert_eq!(measure(&report(&mut both, START), 0)["value"], 0.0, "the invoice is in euros");
}

#[test]
fn panes_shorter_than_a_minute_are_refused() {
    let yaml = card(
        &[
            "id: events, measure: usage.events, window: 60s, pane: 1s, curve: { linear: { from: 0, to: \
           9 } }",
        ],
        "",
    );
    let problems = Scorecard::parse("card.yaml", &yaml).expect_err("a pane of a second is refused");
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["card.yaml:5: dimensions[0].measures[0].pane is `1s`, expected at least 1m"]);
}

#[test]
fn a_late_event_of_another_source_that_makes_the_account_older_is_judged_at_once() {
    let yaml = card(
        &["id: trend, measure: usage.trend, window: 7d, baseline: 7d, missing: zero, curve: { \
             linear: { from: 0, to: 2 } }"],
        "min_coverage: 0\n",
    );
    let late = arriving(
        Source::Ticket,
        START + 9 * DAY_MS,
        START - 40 * DAY_MS,
        json!({"ticket_id": "t", "status": "opened"}),
    );
    let both = told(&yaml, &[usage(START), usage(START + 8 * DAY_MS), late]);
    assert_eq!(both.engine.all_verdicts().len(), 2);
}

#[test]
fn a_renewal_is_a_day_nearer_a_millisecond_after_a_whole_day_is_left() {
    let yaml = card(
        &["id: renewal, measure: account.days_to_renewal, curve: { steps: [[0, 0], [5, 100]] }"],
        "",
    );
    let profile = arrival(Source::Profile, START, json!({"renewal_at": START + 8 * DAY_MS}));
    let mut both = told(&yaml, &[profile]);
    report(&mut both, START + 5 * DAY_MS);
    let verdicts = both.engine.all_verdicts();
    assert!(verdicts[1].contains("2026-01-08T00:00:00.001Z"), "{verdicts:#?}");
}

#[test]
fn a_gate_sees_a_value_that_no_curve_can_tell_any_more() {
    let yaml = card(
        &["id: silent, measure: usage.days_since_last, curve: { linear: { from: 3, to: 0 } }"],
        "gates: [{ id: gone, floor: 40, when: { measure: silent, at_least: 9 }, reason: gone }]\n",
    );
    let mut both = told(&yaml, &[usage(START)]);
    report(&mut both, START + 20 * DAY_MS);
    let verdicts = both.engine.all_verdicts();
    assert!(verdicts.last().expect("it rose").contains("2026-01-14T00:00:00Z"), "{verdicts:#?}");
}

/// The engine alone: the model has no such amounts in mind.
#[test]
fn amounts_at_the_end_of_64_bits_stop_there() {
    let yaml = card(
        &[
            "id: quantity, measure: usage.quantity, window: 7d, curve: { linear: { from: 0, to: 9 } }",
            "id: growth, measure: payment.growth, window: 7d, baseline: 7d, curve: { linear: { from: \
             0, to: 9 } }",
            "id: mood, measure: survey.assessment, surveys: [mood], window: 7d, curve: { linear: { \
             from: 0, to: 100 } }",
        ],
        "",
    );
    let mut engine = Judged::new(&yaml);
    let paid = |at: i64| {
        let fields = json!({
            "invoice_id": format!("i{at}"), "status": "paid", "amount_minor": i64::MAX,
            "currency": "EUR",
        });
        arrival(Source::Payment, at, fields)
    };
    let most = i64::MAX / 1_000;
    for n in 0..4 {
        let at = START + n * 4 * DAY_MS;
        let mood = json!({
            "survey": "mood", "score": most, "scale_min": -most, "scale_max": most,
        });
        let used = json!({"feature": "reports", "quantity": most});
        for arrival in [paid(at), paid(at + 1), arrival(Source::Survey, at + 1, mood)] {
            engine.feed(&arrival).expect("the story is well-formed");
        }
        engine.feed(&arrival(Source::Usage, at + 1, used)).expect("the story is well-formed");
    }
    let report = engine.report("acme");
    assert_eq!(measure(&report, 0)["value"], i64::MAX as f64 / 1_000.0);
    assert_eq!(measure(&report, 1)["value"], 1.0);
    assert_eq!(measure(&report, 2)["value"], 100.0);
}
