//! Stories that the reference model itself must tell rightly before it may judge the engine.
//!
//! Leaves out any comparison with the engine.

mod reference;

use reference::model::{Cause, Decision, Verdict};
use reference::{Card, DAY_MS, HOUR_MS, Model, Record, Source};
use serde_json::{Value, json};

const MINUTE_MS: i64 = 60_000;
/// Day 1000 of the epoch, a midnight and also the start of a 6 h pane.
const START: i64 = 1_000 * DAY_MS;
const BANDS: &str = "
bands: [{ name: red, up_to: 50 }, { name: yellow, up_to: 70 }, { name: green, up_to: 100 }]
";

/// A card of one measure, its own dimension, without anything to steady the band.
fn card_of(measure: &str) -> Model {
    Model::new(Card::parse(&format!(
        "
scorecard: one
dimensions:
  - {{ id: only, weight: 1, measures: [{{ id: it, {measure} }}] }}
{BANDS}"
    )))
}

/// A record of `acme` learnt of at `arrived`, with an event id of its own.
fn arriving(source: Source, arrived: i64, at: i64, fields: &Value) -> Record {
    let mut body = json!({
        "account_id": "acme", "occurred_at": at, "event_id": format!("{at}/{arrived}/{fields}"),
    });
    for (key, value) in fields.as_object().unwrap() {
        body[key] = value.clone();
    }
    Record::new(source, arrived, body)
}

fn at(source: Source, at: i64, fields: Value) -> Record {
    arriving(source, at, at, &fields)
}

fn usage(when: i64, user: &str) -> Record {
    at(Source::Usage, when, json!({"feature": "reports", "user_id": user}))
}

fn ticket(when: i64, id: &str, status: &str) -> Record {
    at(Source::Ticket, when, json!({"ticket_id": id, "status": status}))
}

fn payment(when: i64, id: &str, status: &str, amount_minor: i64) -> Record {
    let mut fields = json!({
        "invoice_id": id, "status": status, "amount_minor": amount_minor, "currency": "EUR",
    });
    if status == "issued" {
        fields["due_at"] = json!(when + 10 * DAY_MS);
    }
    at(Source::Payment, when, fields)
}

fn answer(when: i64, survey: &str, score: f64) -> Record {
    at(Source::Survey, when, json!({"survey": survey, "score": score, "respondent_id": "r"}))
}

fn near(actual: Option<f64>, expected: f64) {
    let actual = actual.expect("there is a number");
    assert!((actual - expected).abs() < 1e-9, "{actual}, expected {expected}");
}

/// The score of a card fed one assessment for each (survey, score).
fn score_of(card: &str, answers: &[(&str, f64)]) -> f64 {
    let mut model = Model::new(Card::parse(card));
    for (survey, score) in answers {
        model.feed(&answer(START, survey, *score));
    }
    let report = model.report("acme", START + HOUR_MS).unwrap();
    parts_sum_to_score(&report);
    report["score"].as_f64().expect("the score is known")
}

fn parts_sum_to_score(report: &Value) {
    let Some(score) = report["score"].as_f64() else { return };
    let sum = |rows: &Value, key: &str| -> f64 {
        rows.as_array().unwrap().iter().map(|row| row[key].as_f64().unwrap()).sum()
    };
    let dimensions = report["dimensions"].as_array().unwrap();
    let measures: f64 = dimensions.iter().map(|d| sum(&d["measures"], "contribution")).sum();
    let gates = sum(&report["gates"], "effect");
    assert!((measures + gates - score).abs() < 1e-9, "{report:#}");
    assert!((sum(&report["dimensions"], "contribution") + gates - score).abs() < 1e-9);
}

// The published figures of section 5.

fn three_dimensions(combine: &str) -> f64 {
    let dimension = |id: &str, weight: u32| {
        format!(
            "  - {{ id: {id}, weight: {weight}, measures: [{{ id: {id}_score, measure: \
             survey.assessment, surveys: [{id}], window: 28d }}] }}\n"
        )
    };
    let dimensions =
        [("relationship", 25), ("product", 25), ("value", 50)].map(|(id, w)| dimension(id, w));
    let card = format!(
        "scorecard: three\ncombine: {combine}\ndimensions:\n{}{BANDS}",
        dimensions.concat()
    );
    score_of(&card, &[("relationship", 90.0), ("product", 90.0), ("value", 40.0)])
}

#[test]
fn three_dimensions_give_the_published_figures() {
    assert!((three_dimensions("weighted") - 65.0).abs() < 1e-9);
    assert!((three_dimensions("mean") - 73.33).abs() < 0.005);
}

const TEN_METRICS: [(&str, &str, u32); 10] = [
    ("relationship", "nps", 1),
    ("relationship", "references", 1),
    ("relationship", "meetings", 1),
    ("relationship", "manager", 2),
    ("relationship", "commitment", 6),
    ("use", "gaps", 1),
    ("use", "ecosystem", 1),
    ("value", "performance", 1),
    ("value", "potential", 1),
    ("value", "payment", 2),
];

fn ten_metrics(but: &[(&str, Option<f64>)], others: f64) -> f64 {
    let mut dimensions = String::new();
    for (id, weight) in [("relationship", 11), ("use", 2), ("value", 4)] {
        dimensions += &format!("  - id: {id}\n    weight: {weight}\n    measures:\n");
        for (_, measure, weight) in TEN_METRICS.iter().filter(|(of, _, _)| *of == id) {
            dimensions += &format!(
                "      - {{ id: {measure}, measure: survey.assessment, surveys: [is_{measure}], \
                 window: 28d, weight: {weight}, curve: {{ map: {{ \"0\": 0, \"50\": 50, \"100\": \
                 100 }} }} }}\n"
            );
        }
    }
    let card = format!("scorecard: ten\nredistribute: card\ndimensions:\n{dimensions}{BANDS}");
    let names: Vec<String> = TEN_METRICS.iter().map(|(_, id, _)| format!("is_{id}")).collect();
    let mut answers = Vec::new();
    for (name, (_, id, _)) in names.iter().zip(TEN_METRICS) {
        let special = but.iter().find(|(of, _)| *of == id);
        if let Some(score) = special.map_or(Some(others), |(_, score)| *score) {
            answers.push((name.as_str(), score));
        }
    }
    score_of(&card, &answers)
}

#[test]
fn ten_metrics_give_the_published_figures() {
    for (but, others, expected) in [
        (vec![("commitment", Some(0.0))], 100.0, 64.71),
        (vec![("commitment", Some(50.0))], 100.0, 82.35),
        (vec![("payment", Some(0.0))], 100.0, 88.24),
        (vec![("payment", Some(0.0)), ("manager", Some(0.0))], 100.0, 76.47),
        (vec![("commitment", Some(100.0))], 0.0, 35.29),
        (vec![("payment", Some(0.0)), ("commitment", None)], 100.0, 81.82),
    ] {
        let score = ten_metrics(&but, others);
        assert!((score - expected).abs() < 0.005, "{but:?}: {score}, expected {expected}");
    }
}

#[test]
fn points_and_signed_combine() {
    let points = format!(
        "
scorecard: light
combine: points
dimensions:
  - {{ id: a, measures: [{{ id: x, measure: survey.assessment, surveys: [x], window: 28d, points: 30 }},
                         {{ id: y, measure: survey.assessment, surveys: [y], window: 28d, points: 20 }}] }}
  - {{ id: b, measures: [{{ id: z, measure: survey.assessment, surveys: [z], window: 28d, points: 50 }}] }}
{BANDS}"
    );
    let score = score_of(&points, &[("x", 100.0), ("y", 50.0), ("z", 20.0)]);
    assert!((score - 50.0).abs() < 1e-9, "{score}");
    // Without x its dimension lives on y alone: 50 points at half.
    assert!((score_of(&points, &[("y", 50.0), ("z", 20.0)]) - 35.0).abs() < 1e-9);

    let signed = points
        .replace("combine: points", "combine: { signed: { start: 40 } }")
        .replace("points: 50", "points: -50");
    let score = score_of(&signed, &[("x", 100.0), ("y", 50.0), ("z", 20.0)]);
    assert!((score - 70.0).abs() < 1e-9, "{score}");
    assert!(score_of(&signed, &[("x", 0.0), ("y", 0.0), ("z", 100.0)]).abs() < 1e-9);
}

#[test]
fn weights_of_missing_measures_go_where_the_card_says() {
    let card = |redistribute: &str, missing: &str| {
        format!(
            "
scorecard: spread
redistribute: {redistribute}
min_coverage: 0.1
dimensions:
  - {{ id: a, weight: 50, measures: [{{ id: x, measure: survey.assessment, surveys: [x], window: 28d, missing: {missing} }},
                                     {{ id: y, measure: survey.assessment, surveys: [y], window: 28d }}] }}
  - {{ id: b, weight: 50, measures: [{{ id: z, measure: survey.assessment, surveys: [z], window: 28d }}] }}
{BANDS}"
        )
    };
    let answers = [("y", 100.0), ("z", 40.0)];
    let of = |redistribute: &str, missing: &str| score_of(&card(redistribute, missing), &answers);
    assert!((of("dimension", "redistribute") - 70.0).abs() < 1e-9);
    assert!((of("card", "redistribute") - 60.0).abs() < 1e-9);
    assert!((of("card", "zero") - 45.0).abs() < 1e-9);
    assert!((of("dimension", "neutral") - 57.5).abs() < 1e-9);
    assert!((of("dimension", "80") - 65.0).abs() < 1e-9);
    // A dimension with nothing shares its weight with the others.
    let score = score_of(&card("dimension", "redistribute"), &[("z", 40.0)]);
    assert!((score - 40.0).abs() < 1e-9);
}

#[test]
fn a_gate_caps_while_its_condition_holds() {
    let card = format!(
        "
scorecard: gated
dimensions:
  - {{ id: a, weight: 1, measures: [{{ id: x, measure: survey.assessment, window: 28d }},
                                    {{ id: overdue, measure: payment.overdue_days, weight: 0 }}] }}
gates:
  - {{ id: cap, cap: 50, reason: late, when: {{ all: [{{ measure: overdue, at_least: 3 }},
        {{ not: {{ profile: tier, in: [gold] }} }}] }} }}
{BANDS}"
    );
    let mut model = Model::new(Card::parse(&card));
    model.feed(&payment(START, "i", "issued", 100));
    model.feed(&answer(START + 5 * DAY_MS, "x", 90.0));
    let t = START + 13 * DAY_MS;
    near(model.report("acme", t - 1).unwrap()["score"].as_f64(), 90.0);
    let report = model.report("acme", t).unwrap();
    near(report["score"].as_f64(), 50.0);
    near(report["gates"][0]["effect"].as_f64(), -40.0);
    parts_sum_to_score(&report);
    model.feed(&at(Source::Profile, t, json!({"tier": "gold"})));
    near(model.report("acme", t).unwrap()["score"].as_f64(), 90.0);
}

#[test]
fn no_score_in_grace_or_below_coverage() {
    let card = format!(
        "
scorecard: shy
grace: 2d
dimensions:
  - {{ id: a, weight: 1, measures: [{{ id: x, measure: survey.assessment, surveys: [x], window: 28d, stale_after: 5d }},
                                    {{ id: y, measure: survey.assessment, surveys: [y], window: 28d, weight: 2 }}] }}
{BANDS}"
    );
    let mut model = Model::new(Card::parse(&card));
    model.feed(&answer(START, "x", 10.0));
    model.feed(&answer(START, "y", 100.0));
    assert!(model.report("acme", START + 2 * DAY_MS - 1).unwrap()["score"].is_null());
    near(model.report("acme", START + 2 * DAY_MS).unwrap()["score"].as_f64(), 70.0);
    let report = model.report("acme", START + 5 * DAY_MS).unwrap();
    near(report["score"].as_f64(), 100.0);
    near(report["coverage"].as_f64(), 2.0 / 3.0);
    assert_eq!(report["dimensions"][0]["measures"][0]["status"], "stale");
    // Only the light measure answered: a third of the weight is not enough.
    let mut model = Model::new(Card::parse(&card));
    model.feed(&answer(START, "x", 10.0));
    let report = model.report("acme", START + 3 * DAY_MS).unwrap();
    assert!(report["score"].is_null());
    near(report["dimensions"][0]["contribution"].as_f64(), 10.0);
}

// Panes.

#[test]
fn an_event_counts_until_its_pane_leaves() {
    let mut model = card_of("measure: usage.events, window: 7d");
    let noon = START + 12 * HOUR_MS;
    model.feed(&usage(noon + HOUR_MS, "u"));
    near(model.value("acme", "it", noon + 2 * HOUR_MS), 1.0);
    near(model.value("acme", "it", noon + 7 * DAY_MS - 1), 1.0);
    near(model.value("acme", "it", noon + 7 * DAY_MS), 0.0);
}

#[test]
fn a_late_event_is_as_good_as_one_on_time() {
    let mut late = card_of("measure: usage.active_users, window: 28d");
    late.feed(&usage(START, "a"));
    late.feed(&arriving(
        Source::Usage,
        START + 10 * DAY_MS,
        START + DAY_MS,
        &json!({"feature": "reports", "user_id": "b"}),
    ));
    near(late.value("acme", "it", START + 20 * DAY_MS), 2.0);
    near(late.value("acme", "it", START + 28 * DAY_MS), 1.0);
    near(late.value("acme", "it", START + 29 * DAY_MS), 0.0);
    assert_eq!(late.late_dropped("acme"), 0);
    late.feed(&arriving(
        Source::Usage,
        START + 40 * DAY_MS,
        START + 2 * DAY_MS,
        &json!({"feature": "reports"}),
    ));
    assert_eq!(late.late_dropped("acme"), 1);
}

#[test]
fn an_event_ahead_of_task_time_counts_when_its_pane_is_reached() {
    let mut model = card_of("measure: usage.events, window: 24h");
    let before = START - MINUTE_MS;
    model.feed(&usage(before, "u"));
    model.feed(&arriving(Source::Usage, before, START + MINUTE_MS, &json!({"feature": "reports"})));
    near(model.value("acme", "it", before), 1.0);
    near(model.value("acme", "it", START), 2.0);
}

#[test]
fn a_trend_looks_at_completed_panes() {
    let mut model = card_of("measure: usage.trend, window: 7d, baseline: 21d");
    for day in 0..28 {
        model.feed(&usage(START + day * DAY_MS, "u"));
        model.feed(&usage(START + day * DAY_MS + HOUR_MS, "u"));
    }
    let full = START + 28 * DAY_MS;
    assert_eq!(model.value("acme", "it", full - 1), None, "the baseline reaches before the start");
    near(model.value("acme", "it", full), 1.0);
    // The 29th day brings nothing, which shows when it is over.
    near(model.value("acme", "it", full + DAY_MS - 1), 1.0);
    near(model.value("acme", "it", full + DAY_MS), 6.0 / 7.0);
    // Both empty after use in the past: silence is data.
    near(model.value("acme", "it", full + 28 * DAY_MS), 0.0);
    let back = full + 40 * DAY_MS;
    model.feed(&usage(back, "u"));
    assert_eq!(model.value("acme", "it", back + DAY_MS), None);
}

#[test]
fn a_prior_steadies_the_trend() {
    let mut model = card_of("measure: usage.trend, window: 7d, baseline: 7d, prior: 3");
    model.feed(&usage(START, "u"));
    near(model.value("acme", "it", START + 14 * DAY_MS), 3.0 / 4.0);
}

#[test]
fn days_since_last_use_are_whole() {
    let mut model = card_of("measure: usage.days_since_last, features: [reports]");
    model.feed(&at(Source::Usage, START, json!({"feature": "login"})));
    assert_eq!(model.value("acme", "it", START + DAY_MS), None);
    model.feed(&usage(START + DAY_MS, "u"));
    near(model.value("acme", "it", START + 3 * DAY_MS - 1), 1.0);
    near(model.value("acme", "it", START + 3 * DAY_MS), 2.0);
}

// Items and idempotence.

#[test]
fn the_last_32_event_ids_are_remembered() {
    let mut model = card_of("measure: usage.events, window: 7d");
    let event =
        |id: i64| at(Source::Usage, START, json!({"feature": "f", "event_id": format!("e{id}")}));
    for id in 0..32 {
        model.feed(&event(id));
    }
    model.feed(&event(0));
    near(model.value("acme", "it", START), 32.0);
    model.feed(&event(32));
    // A repeat does not refresh, so the first id is out now.
    model.feed(&event(0));
    near(model.value("acme", "it", START), 34.0);
}

#[test]
fn tickets_are_open_until_resolved_whatever_the_order() {
    let mut model = card_of("measure: support.oldest_open_hours");
    let when = START + 5 * HOUR_MS;
    model.feed(&ticket(when, "t", "resolved"));
    model.feed(&arriving(
        Source::Ticket,
        when,
        START,
        &json!({"ticket_id": "t", "status": "opened"}),
    ));
    near(model.value("acme", "it", when), 0.0);
    model.feed(&ticket(when, "t", "reopened"));
    near(model.value("acme", "it", when + HOUR_MS - 1), 5.0);
    near(model.value("acme", "it", when + HOUR_MS), 6.0);
}

#[test]
fn resolution_runs_from_the_first_opened_to_the_last_resolved() {
    let mut model = card_of("measure: support.resolution_hours, window: 7d");
    for (hours, status) in [(0, "opened"), (2, "resolved"), (3, "reopened"), (9, "resolved")] {
        model.feed(&ticket(START + hours * HOUR_MS, "t", status));
    }
    model.feed(&ticket(START + 10 * HOUR_MS, "u", "opened"));
    near(model.value("acme", "it", START + DAY_MS), 9.0);
}

#[test]
fn a_settled_item_is_forgotten_after_the_horizon() {
    let mut model = card_of("measure: support.opened, window: 182d");
    model.feed(&ticket(START, "t", "opened"));
    model.feed(&ticket(START + DAY_MS, "t", "closed"));
    let opened_late = |arrived: i64| {
        arriving(
            Source::Ticket,
            arrived,
            START + HOUR_MS,
            &json!({"ticket_id": "t", "status": "opened"}),
        )
    };
    model.feed(&opened_late(START + 91 * DAY_MS - 1));
    near(model.value("acme", "it", START + 91 * DAY_MS - 1), 1.0);
    model.feed(&opened_late(START + 91 * DAY_MS));
    assert_eq!(model.late_dropped("acme"), 1);
    near(model.value("acme", "it", START + 91 * DAY_MS), 1.0);
}

#[test]
fn invoices_are_overdue_from_their_due_date_until_paid() {
    let mut days = card_of("measure: payment.overdue_days");
    let mut minor = card_of("measure: payment.overdue_minor");
    let mut late = card_of("measure: payment.late_share, window: 28d");
    let due = START + 10 * DAY_MS;
    for model in [&mut days, &mut minor, &mut late] {
        model.feed(&payment(START, "i", "issued", 500));
        model.feed(&payment(START, "j", "issued", 70));
        model.feed(&payment(START + DAY_MS, "j", "paid", 70));
        model.feed(&payment(START + DAY_MS, "k", "issued", 9));
        model.feed(&payment(START + DAY_MS, "k", "voided", 9));
    }
    near(minor.value("acme", "it", due - 1), 0.0);
    near(minor.value("acme", "it", due), 500.0);
    near(days.value("acme", "it", due + DAY_MS - 1), 0.0);
    near(days.value("acme", "it", due + DAY_MS), 1.0);
    near(late.value("acme", "it", due + DAY_MS), 0.5);
    for model in [&mut days, &mut late] {
        model.feed(&payment(due + 2 * DAY_MS, "i", "reminded", 500));
        model.feed(&payment(due + 2 * DAY_MS, "i", "paid", 500));
        model.feed(&payment(due + 3 * DAY_MS, "i", "failed", 500));
    }
    near(days.value("acme", "it", due + 4 * DAY_MS), 4.0);
    near(late.value("acme", "it", due + 4 * DAY_MS), 0.5);
}

#[test]
fn growth_takes_refunds_off_in_their_own_pane() {
    let mut model = card_of("measure: payment.growth, window: 28d");
    model.feed(&payment(START, "i", "paid", 1_000));
    model.feed(&payment(START + 30 * DAY_MS, "j", "paid", 900));
    model.feed(&payment(START + 31 * DAY_MS, "i", "refunded", 400));
    assert_eq!(model.value("acme", "it", START + 31 * DAY_MS), Some(0.5));
    assert_eq!(model.value("acme", "it", START + 56 * DAY_MS), None);
}

#[test]
fn surveys_take_the_latest_answer_of_each_respondent() {
    let mut nps = card_of("measure: survey.nps, window: 91d");
    let mut csat = card_of("measure: survey.csat, window: 91d");
    for (when, respondent, score) in
        [(3, Some("a"), 10), (1, Some("a"), 0), (1, Some("b"), 7), (1, None, 3), (2, None, 9)]
    {
        let mut fields = json!({"survey": "nps", "score": score});
        fields["respondent_id"] = json!(respondent);
        nps.feed(&arriving(Source::Survey, START + 3 * DAY_MS, START + when * DAY_MS, &fields));
    }
    near(nps.value("acme", "it", START + 3 * DAY_MS), 25.0);
    csat.feed(&answer(START, "csat", 4.0));
    near(csat.value("acme", "it", START), 75.0);
}

#[test]
fn profile_measures_follow_the_latest_profile() {
    let mut model = card_of("measure: account.days_to_renewal");
    model.feed(&at(Source::Profile, START, json!({"renewal_at": START + 10 * DAY_MS})));
    near(model.value("acme", "it", START + 1), 9.0);
    model.feed(&Record::tombstone("acme", START + DAY_MS));
    assert_eq!(model.value("acme", "it", START + DAY_MS), None);
}

// The band machine, driven by one assessment.

fn band_changes(model: &Model) -> Vec<(&Verdict, &str, &str)> {
    let verdicts = model.verdicts("acme").iter();
    verdicts
        .filter_map(|verdict| match &verdict.decision {
            Decision::BandChange { from, to, .. } => Some((verdict, from.as_str(), to.as_str())),
            Decision::AlertFired { .. } | Decision::AlertResolved { .. } => None,
        })
        .collect()
}

/// Feeds (minutes since the start, score) and says which bands were entered, and when (in
/// minutes), up to the end.
fn bands_entered(scores: &[(i64, f64)], end: i64) -> Vec<(i64, String)> {
    let mut model = card_of("measure: survey.assessment, window: 91d");
    for (minutes, score) in scores {
        model.feed(&answer(START + minutes * MINUTE_MS, "mood", *score));
    }
    model.advance_to(START + end * MINUTE_MS);
    let changes = band_changes(&model).into_iter();
    changes.map(|(change, _, to)| ((change.at_ms - START) / MINUTE_MS, to.to_string())).collect()
}

#[test]
fn band_changes_tell_their_stories() {
    const DAY: i64 = 24 * 60;
    for (story, scores, expected) in [
        ("the first score enters at once", vec![(0, 72.0)], vec![(0, "green")]),
        ("inside the margin nothing moves", vec![(0, 72.0), (10, 65.1)], vec![(0, "green")]),
        (
            "at the margin the dwell runs",
            vec![(0, 72.0), (10, 65.0)],
            vec![(0, "green"), (70, "yellow")],
        ),
        (
            "back over the edge cancels",
            vec![(0, 72.0), (10, 60.0), (40, 70.5), (50, 60.0)],
            vec![(0, "green"), (110, "yellow")],
        ),
        (
            "on the edge is below it",
            vec![(0, 72.0), (10, 60.0), (40, 70.0)],
            vec![(0, "green"), (70, "yellow")],
        ),
        (
            "further the same way goes on",
            vec![(0, 72.0), (10, 60.0), (40, 48.0)],
            vec![(0, "green"), (70, "red")],
        ),
        (
            "a turn starts anew",
            vec![(0, 60.0), (10, 44.0), (40, 76.0)],
            vec![(0, "yellow"), (40 + 14 * DAY, "green")],
        ),
        (
            "a turn without margin starts nothing",
            vec![(0, 60.0), (10, 44.0), (40, 71.0)],
            vec![(0, "yellow")],
        ),
        (
            "a sharp fall skips the dwell",
            vec![(0, 72.0), (10, 47.0)],
            vec![(0, "green"), (10, "red")],
        ),
        ("but not the margin", vec![(0, 95.0), (10, 66.0)], vec![(0, "green")]),
        (
            "a sharp fall may come in steps",
            vec![(0, 80.0), (10, 64.0), (20, 55.0)],
            vec![(0, "green"), (20, "yellow")],
        ),
        (
            "a recovery proves itself",
            vec![(0, 20.0), (10, 90.0)],
            vec![(0, "red"), (10 + 14 * DAY, "green")],
        ),
    ] {
        let expected: Vec<(i64, String)> =
            expected.into_iter().map(|(at, band)| (at, band.to_string())).collect();
        assert_eq!(bands_entered(&scores, 30 * DAY), expected, "{story}");
    }
}

#[test]
fn unknown_is_entered_after_the_dwell_and_left_at_once() {
    let mut model = card_of("measure: survey.assessment, window: 91d, stale_after: 10d");
    model.feed(&answer(START, "mood", 90.0));
    model.feed(&answer(START + 20 * DAY_MS, "mood", 30.0));
    let told: Vec<_> = band_changes(&model)
        .into_iter()
        .map(|(c, from, to)| (c.at_ms - START, from, to, c.score, c.previous_score))
        .collect();
    assert_eq!(
        told,
        [
            (0, "unknown", "green", Some(90.0), None),
            (10 * DAY_MS + HOUR_MS, "green", "unknown", None, Some(90.0)),
            (20 * DAY_MS, "unknown", "red", Some(30.0), None),
        ]
    );
}

#[test]
fn deltas_sum_to_the_change_of_the_score() {
    let mut model = every_measure();
    for record in random_history(7) {
        model.feed(&record);
    }
    model.advance_to(START + 250 * DAY_MS);
    let mut told = 0;
    for change in model.verdicts("acme") {
        let Some(score) = change.score else { continue };
        let before = change.previous_score.unwrap_or(0.0);
        let deltas: f64 = change.contribution_deltas.values().sum();
        let gates: f64 = change.gate_deltas.values().sum();
        assert!((deltas + gates - (score - before)).abs() < 1e-9, "{change:?}");
        told += 1;
    }
    assert!(told > 3, "only {told} changes: the random history says too little");
}

// Alerts, one story for each kind and each part of their life.

/// The score is the last mood told.
fn alert_card(alerts: &str) -> Card {
    Card::parse(&format!(
        "
scorecard: watched
dimensions:
  - id: only
    measures:
      - {{ id: mood, measure: survey.assessment, surveys: [mood], window: 91d }}
alerts: [{alerts}]
{BANDS}"
    ))
}

/// What was published of `acme`, with the hours since the start.
fn told(model: &Model) -> Vec<String> {
    let hours = |at_ms: i64| {
        let (hours, rest) = ((at_ms - START) / HOUR_MS, (at_ms - START) % HOUR_MS);
        if rest == 0 { format!("{hours} h") } else { format!("{hours} h and {rest} ms") }
    };
    let verdicts = model.verdicts("acme").iter();
    verdicts
        .map(|verdict| {
            let what = match &verdict.decision {
                Decision::BandChange { to, cause, .. } => match cause {
                    Cause::Score => to.clone(),
                    Cause::Override(told) => format!("{to} by {}", told.author),
                    Cause::OverrideEnded(told) => format!("{to} after {}", told.author),
                },
                Decision::AlertFired { rule, severity, since, escalated_from } => {
                    let worse = escalated_from
                        .map_or(String::new(), |before| format!(" after {}", before.name()));
                    let severity = severity.name();
                    let since = match *since == verdict.at_ms {
                        true => String::new(),
                        false => format!(" since {}", hours(*since)),
                    };
                    format!("{rule} {severity}{worse}{since}")
                }
                Decision::AlertResolved { rule, .. } => format!("{rule} over"),
            };
            format!("{}: {what}", hours(verdict.at_ms))
        })
        .collect()
}

/// Moods in hours since the start, and what is told of the alerts up to 60 days.
fn alerts_told(rule: &str, moods: &[(i64, f64)]) -> Vec<String> {
    let mut model = Model::new(alert_card(rule));
    for (hours, mood) in moods {
        model.feed(&answer(START + hours * HOUR_MS, "mood", *mood));
    }
    model.advance_to(START + 60 * DAY_MS);
    told(&model).into_iter().filter(|line| line.contains(": r ")).collect()
}

#[test]
fn alerts_tell_their_stories() {
    for (story, rule, moods, expected) in [
        (
            "a slow bleed is caught once, and is over when no new low comes",
            "{ id: r, score_drop: { points: 25, within: 7d } }",
            vec![(0, 80.0), (48, 70.0), (96, 60.0), (144, 50.0), (192, 40.0)],
            vec!["144 h: r warning", "360 h: r over"],
        ),
        (
            "slower than the window is no drop",
            "{ id: r, score_drop: { points: 25, within: 3d } }",
            vec![(0, 80.0), (48, 70.0), (96, 60.0), (144, 50.0), (192, 40.0)],
            vec![],
        ),
        (
            "half of the points regained from the low",
            "{ id: r, score_drop: { points: 25, within: 7d } }",
            vec![(0, 80.0), (10, 50.0), (20, 40.0), (30, 52.4), (40, 52.5), (41, 30.0)],
            vec!["10 h: r warning", "40 h: r over"],
        ),
        (
            "after that the window starts anew",
            "{ id: r, score_drop: { points: 25, within: 7d } }",
            vec![(0, 80.0), (10, 50.0), (40, 62.5), (42, 37.5), (50, 60.0)],
            vec!["10 h: r warning", "40 h: r over", "42 h: r warning", "50 h: r over"],
        ),
        (
            "the sample that leaves the window ends what is pending",
            "{ id: r, score_drop: { points: 25, within: 2h }, hold: 3h }",
            vec![(0, 80.0), (10, 50.0)],
            vec![],
        ),
        (
            "on its edge it still counts",
            "{ id: r, score_drop: { points: 25, within: 2h }, hold: 2h }",
            vec![(0, 80.0), (10, 50.0)],
            vec!["12 h: r warning", "14 h: r over"],
        ),
        (
            "only at or below `at_most`, which does not end it",
            "{ id: r, score_drop: { points: 25, within: 7d, at_most: 40 }, severity: critical }",
            vec![(0, 80.0), (10, 50.0), (20, 40.0), (30, 52.0), (40, 52.5)],
            vec!["20 h: r critical", "40 h: r over"],
        ),
        (
            "a worse level is told whatever the cooldown, a better one is not",
            "{ id: r, score_drop: { points: { warning: 10, critical: 30 }, within: 7d }, \
             cooldown: 30d }",
            vec![(0, 80.0), (10, 68.0), (20, 50.0), (30, 54.0), (40, 55.0)],
            vec!["10 h: r warning", "20 h: r critical after warning since 10 h", "40 h: r over"],
        ),
        (
            "the worst level at once",
            "{ id: r, measure: mood, below: { info: 60, warning: 40, critical: 20 } }",
            vec![(0, 80.0), (10, 30.0), (20, 50.0), (30, 60.0)],
            vec!["10 h: r warning", "30 h: r over"],
        ),
        (
            "the hold starts anew",
            "{ id: r, measure: mood, below: 40, hold: 1d }",
            vec![(0, 80.0), (10, 30.0), (20, 50.0), (30, 30.0)],
            vec!["54 h: r warning"],
        ),
        (
            "each level has a hold of its own",
            "{ id: r, measure: mood, at_most: { warning: 40, critical: 20 }, hold: 1d }",
            vec![(0, 80.0), (10, 30.0), (30, 20.0), (40, 41.0)],
            vec!["34 h: r warning", "40 h: r over"],
        ),
        (
            "a level that held before the firing goes on",
            "{ id: r, measure: mood, at_most: { warning: 40, critical: 20 }, hold: 1d }",
            vec![(0, 80.0), (10, 30.0), (30, 20.0)],
            vec!["34 h: r warning", "54 h: r critical after warning since 34 h"],
        ),
        (
            "the cooldown counts from the firing",
            "{ id: r, measure: mood, below: 40, cooldown: 5d }",
            vec![(0, 80.0), (10, 30.0), (20, 60.0), (30, 30.0), (140, 60.0), (300, 30.0)],
            vec![
                "10 h: r warning",
                "20 h: r over",
                "130 h: r warning",
                "140 h: r over",
                "300 h: r warning",
            ],
        ),
        (
            "a band that is entered is one that was published",
            "{ id: r, band_entered: [red] }",
            vec![(0, 60.0), (10, 44.0), (20, 56.0)],
            vec!["11 h: r warning", "356 h: r over"],
        ),
        (
            "a chance takes its time and a measure that rises",
            "{ id: r, opportunity: { band: green, for: 3d, rising: { measure: mood, at_least: 80 } } }",
            vec![(0, 75.0), (80, 90.0), (90, 79.0)],
            vec!["80 h: r info", "90 h: r over"],
        ),
        (
            "moving among the bands of a chance does not interrupt it",
            "{ id: r, opportunity: { band: [yellow, green], for: 3d, rising: { measure: mood, \
             at_least: 10 } } }",
            vec![(0, 75.0), (24, 65.0)],
            vec!["72 h: r info"],
        ),
    ] {
        assert_eq!(alerts_told(rule, &moods), expected, "{story}");
    }
}

#[test]
fn a_drop_is_from_the_score_just_before_an_hour_ended() {
    let told_of = |moods: &[(i64, f64)]| {
        let rule = "{ id: r, score_drop: { points: 25, within: 7d } }";
        let mut model = Model::new(alert_card(rule));
        for (minutes, mood) in moods {
            model.feed(&answer(START + minutes * MINUTE_MS, "mood", *mood));
        }
        told(&model).split_off(1)
    };
    assert_eq!(told_of(&[(0, 60.0), (60, 90.0), (119, 60.0), (150, 60.0)]), [""; 0]);
    assert_eq!(told_of(&[(0, 60.0), (59, 90.0), (60, 60.0)]), ["1 h: r warning"]);
}

#[test]
fn silence_counts_from_the_latest_use_and_grows_worse() {
    let rule = "{ id: r, silence: { for: { warning: 2d, critical: 4d } } }";
    let mut model = Model::new(alert_card(rule));
    model.feed(&answer(START, "mood", 60.0));
    model.feed(&usage(START + 9 * DAY_MS, "ann"));
    model.feed(&usage(START + 14 * DAY_MS, "ann"));
    assert_eq!(
        told(&model),
        [
            "0 h: yellow",
            "264 h: r warning",
            "312 h: r critical after warning since 264 h",
            "336 h: r over"
        ]
    );
    let status = model.report("acme", START + 15 * DAY_MS).unwrap()["alerts"].clone();
    assert_eq!(status, json!([]));
}

#[test]
fn a_renewal_is_at_risk_within_its_time_and_in_its_bands() {
    let rule = "{ id: r, renewal_at_risk: { within: 10d, bands: [red, yellow] }, \
                where: { profile: tier, is: gold } }";
    let profile = |hours: i64, tier: &str| {
        let renewal_at = START + 20 * DAY_MS;
        at(
            Source::Profile,
            START + hours * HOUR_MS,
            json!({"tier": tier, "renewal_at": renewal_at}),
        )
    };
    let mut model = Model::new(alert_card(rule));
    model.feed(&answer(START, "mood", 60.0));
    model.feed(&profile(1, "gold"));
    model.feed(&profile(300, "silver"));
    model.feed(&profile(310, "gold"));
    model.advance_to(START + 30 * DAY_MS);
    assert_eq!(
        told(&model),
        ["0 h: yellow", "240 h: r warning", "300 h: r over", "310 h: r warning", "480 h: r over"]
    );
}

#[test]
fn data_went_missing_only_where_it_was() {
    let card = format!(
        "
scorecard: blind
dimensions:
  - {{ id: a, measures: [{{ id: x, measure: survey.assessment, surveys: [x], window: 91d }},
                         {{ id: y, measure: survey.assessment, surveys: [y], window: 91d, weight: 2, stale_after: 5d }}] }}
alerts:
  - {{ id: r, coverage: {{ below: 0.5 }}, hold: 1h }}
  - {{ id: low, measure: x, below: 30 }}
{BANDS}"
    );
    let mut model = Model::new(Card::parse(&card));
    model.feed(&answer(START, "x", 20.0));
    model.advance_to(START + DAY_MS);
    assert_eq!(told(&model), [""; 0], "without a score nothing is at risk, nor did data go");
    model.feed(&answer(START + 2 * DAY_MS, "y", 20.0));
    model.advance_to(START + 20 * DAY_MS);
    model.feed(&answer(START + 20 * DAY_MS, "x", 90.0));
    model.feed(&answer(START + 20 * DAY_MS, "y", 90.0));
    assert_eq!(
        told(&model),
        [
            "48 h: red",
            "48 h: low warning",
            "169 h: unknown",
            "169 h: r warning",
            // What fires goes by its own condition, without a score too.
            "480 h: low over",
            "480 h: green",
            "480 h: r over",
        ]
    );
}

#[test]
fn what_is_pending_is_reset_without_a_score() {
    let card = format!(
        "
scorecard: blind
dimensions:
  - {{ id: a, measures: [{{ id: x, measure: survey.assessment, surveys: [x], window: 91d, stale_after: 1d }},
                         {{ id: tickets, measure: support.open, weight: 0 }}] }}
alerts:
  - {{ id: r, measure: tickets, at_least: 1, hold: 2d }}
{BANDS}"
    );
    let mut model = Model::new(Card::parse(&card));
    model.feed(&answer(START, "x", 60.0));
    model.feed(&ticket(START, "t", "opened"));
    let alerts = |model: &mut Model, hours: i64| {
        model.report("acme", START + hours * HOUR_MS).unwrap()["alerts"].clone()
    };
    let since = jiff::Timestamp::from_millisecond(START).unwrap().to_string();
    let pending =
        json!([{"rule": "r", "status": "pending", "severity": "warning", "since": since}]);
    assert_eq!(alerts(&mut model, 23), pending);
    assert_eq!(alerts(&mut model, 24), json!([]));
    for hours in [30, 50, 70, 90] {
        model.feed(&answer(START + hours * HOUR_MS, "x", 60.0));
    }
    assert_eq!(told(&model)[2..], ["30 h: yellow", "78 h: r warning"]);
}

#[test]
fn verdicts_of_one_look_compare_with_the_one_before_it() {
    let rules =
        "{ id: r, measure: mood, below: 40 }, { id: s, score_drop: { points: 20, within: 7d } }";
    let mut model = Model::new(alert_card(rules));
    for (hours, mood) in [(0, 80.0), (10, 60.0), (20, 30.0), (30, 35.0)] {
        model.feed(&answer(START + hours * HOUR_MS, "mood", mood));
    }
    model.feed(&answer(START + 40 * HOUR_MS, "mood", 41.0));
    assert_eq!(
        told(&model),
        [
            "0 h: green",
            "10 h: s warning",
            "11 h: yellow",
            "20 h: red",
            "20 h: r warning",
            "40 h: r over",
            "40 h: s over"
        ]
    );
    let numbers: Vec<_> = model
        .verdicts("acme")
        .iter()
        .map(|v| (v.sequence, v.previous_score, v.score, v.contribution_deltas["mood"]))
        .collect();
    assert_eq!(
        numbers,
        [
            (1, None, Some(80.0), 80.0),
            (2, Some(80.0), Some(60.0), -20.0),
            (3, Some(60.0), Some(60.0), 0.0),
            (4, Some(60.0), Some(30.0), -30.0),
            (5, Some(60.0), Some(30.0), -30.0),
            (6, Some(30.0), Some(41.0), 11.0),
            (7, Some(30.0), Some(41.0), 11.0),
        ]
    );
    let Decision::AlertResolved { firing_sequence, .. } = model.verdicts("acme")[6].decision else {
        panic!("the last is the end of the drop");
    };
    assert_eq!(firing_sequence, 2);
}

#[test]
fn what_fires_when_publishing_begins_is_told_then() {
    let rules = "{ id: r, measure: mood, below: { warning: 40, critical: 20 } }, \
                 { id: s, measure: mood, below: 30 }, { id: t, measure: mood, below: 50 }";
    let mut model = Model::new(alert_card(rules));
    model.publish_from = START + 100 * HOUR_MS;
    for (hours, mood) in [(0, 80.0), (10, 25.0), (20, 35.0), (120, 10.0)] {
        model.feed(&answer(START + hours * HOUR_MS, "mood", mood));
    }
    assert_eq!(
        told(&model),
        [
            "100 h: r warning since 10 h",
            "100 h: t warning since 10 h",
            "120 h: r critical after warning since 10 h",
            "120 h: s warning",
        ]
    );
    let sequences: Vec<u64> = model.verdicts("acme").iter().map(|v| v.sequence).collect();
    assert_eq!(sequences, [1, 2, 3, 4]);
    assert_eq!(model.verdicts("acme")[0].previous_score, Some(25.0), "of the silent change to red");
}

// Overrides.

/// An override by `author`, told at its hour; `more` says what it claims.
fn told_override(hours: i64, author: &str, more: Value) -> Record {
    let mut fields = json!({"override": true, "author": author, "reason": "we met"});
    for (key, value) in more.as_object().unwrap() {
        fields[key] = value.clone();
    }
    at(Source::Survey, START + hours * HOUR_MS, fields)
}

/// Until so many hours after the start.
fn until(hours: i64) -> i64 {
    START + hours * HOUR_MS
}

#[test]
fn overrides_tell_their_stories() {
    let green = |end: i64| json!({"band": "green", "expires_at": until(end)});
    let mood = |hours: i64, mood: f64| answer(START + hours * HOUR_MS, "mood", mood);
    for (story, records, expected) in [
        (
            "it holds at once, and at its end the score does",
            vec![mood(0, 60.0), told_override(10, "ann", green(20))],
            vec!["0 h: yellow", "10 h: green by ann", "20 h: yellow after ann"],
        ),
        (
            "the score goes on underneath, and alerts see both",
            vec![mood(0, 60.0), told_override(10, "ann", green(20)), mood(12, 30.0)],
            vec![
                "0 h: yellow",
                "10 h: green by ann",
                "12 h: r warning",
                "20 h: red after ann",
                "20 h: s warning",
            ],
        ),
        (
            "a score claims its band",
            vec![
                mood(0, 60.0),
                told_override(10, "ann", json!({"score": 50, "expires_at": until(20)})),
            ],
            vec![
                "0 h: yellow",
                "10 h: red by ann",
                "10 h: s warning",
                "20 h: yellow after ann",
                "20 h: s over",
            ],
        ),
        (
            "the same band is told too",
            vec![
                mood(0, 60.0),
                told_override(10, "ann", json!({"band": "yellow", "expires_at": until(20)})),
            ],
            vec!["0 h: yellow", "10 h: yellow by ann", "20 h: yellow after ann"],
        ),
        (
            "the later takes the place of the earlier, whatever the order",
            vec![
                mood(0, 60.0),
                told_override(10, "ann", green(20)),
                arriving(
                    Source::Survey,
                    until(11),
                    until(9),
                    &json!({"override": true, "author": "bob", "reason": "", "band": "red",
                            "expires_at": until(90)}),
                ),
                told_override(12, "cem", green(14)),
            ],
            vec![
                "0 h: yellow",
                "10 h: green by ann",
                "12 h: green by cem",
                "14 h: yellow after cem",
            ],
        ),
        (
            "a withdrawal ends it",
            vec![
                mood(0, 60.0),
                told_override(5, "ann", json!({"cancel": true})),
                told_override(10, "ann", green(20)),
                told_override(12, "bob", json!({"cancel": true})),
            ],
            vec!["0 h: yellow", "10 h: green by ann", "12 h: yellow after ann"],
        ),
        (
            "what is over or unknown when it comes does nothing",
            vec![
                mood(0, 60.0),
                told_override(10, "ann", green(10)),
                told_override(12, "ann", json!({"band": "blue", "expires_at": until(20)})),
            ],
            vec!["0 h: yellow"],
        ),
        (
            "without a score it ends in unknown",
            vec![told_override(10, "ann", green(20))],
            vec!["10 h: green by ann", "20 h: unknown after ann"],
        ),
        (
            "a dwell that ran is forgotten",
            vec![mood(0, 60.0), mood(9, 76.0), told_override(10, "ann", green(11)), mood(10, 74.0)],
            vec!["0 h: yellow", "10 h: green by ann", "11 h: green after ann"],
        ),
    ] {
        let rules = "{ id: r, measure: mood, below: 40 }, { id: s, band_entered: red }";
        let mut model = Model::new(alert_card(rules));
        for record in &records {
            model.feed(record);
        }
        model.advance_to(START + 90 * HOUR_MS);
        assert_eq!(told(&model), expected, "{story}");
    }
}

#[test]
fn the_report_shows_the_override_that_runs() {
    let mut model = Model::new(alert_card(""));
    model.feed(&answer(START, "mood", 60.0));
    model.feed(&told_override(10, "ann", json!({"score": 80.5, "expires_at": until(20)})));
    let report = model.report("acme", until(20) - 1).unwrap();
    assert_eq!((&report["band"], &report["score"]), (&json!("green"), &json!(60.0)));
    let shown = json!({
        "band": "green", "score": 80.5, "author": "ann", "reason": "we met",
        "expires_at": jiff::Timestamp::from_millisecond(until(20)).unwrap().to_string(),
    });
    assert_eq!(report["override"], shown);
    let report = model.report("acme", until(20)).unwrap();
    assert!(report["override"].is_null(), "{report}");
}

// The outage guard.

/// Learning begins with day 0. At ten on each of these days forty events of a fleet and one of `acme`
/// come; on the others nothing does.
fn fleet(card: Card, days: &[i64]) -> (Model, Vec<Record>) {
    let mut records = Vec::new();
    for day in days {
        let ten = START + day * DAY_MS + 10 * HOUR_MS;
        for user in 0..40 {
            let fields =
                json!({"account_id": "fleet", "feature": "f", "user_id": user.to_string()});
            records.push(at(Source::Usage, ten, fields));
        }
        records.push(usage(ten, "ann"));
    }
    (Model::new(card).with_outage_guard(), records)
}

fn outages_told(model: &Model) -> Vec<(bool, i64, i64, f64, i64)> {
    let hours = |at: i64| (at - START) / HOUR_MS;
    let outages = model.outages().into_iter();
    outages.map(|o| (o.firing, hours(o.since), hours(o.at_ms), o.expected, o.came)).collect()
}

/// Its only measure, and a rule on silence.
fn silence_card() -> Card {
    Card::parse(&format!(
        "
scorecard: silent
dimensions:
  - {{ id: a, measures: [{{ id: days, measure: usage.days_since_last, stale_after: 60h }}] }}
alerts: [{{ id: r, silence: {{ for: 2d }} }}]
{BANDS}"
    ))
}

#[test]
fn while_a_source_is_out_its_clock_stands_still() {
    let days: Vec<i64> = (0..15).collect();
    let (mut model, mut records) = fleet(silence_card(), &days);
    // From day 16 on the fleet is back, but `acme` is not.
    let (_, back) = fleet(silence_card(), &[16, 17, 18]);
    records.extend(back.into_iter().filter(|record| record.account_id == "fleet"));
    let (tripped, thawed) = (15 * 24 + 11, 16 * 24 + 12);
    let mut records = records.iter().peekable();
    let mut degraded = |hours: i64| {
        let t = START + hours * HOUR_MS;
        while let Some(record) = records.next_if(|record| record.record_time_ms <= t) {
            model.feed(record);
        }
        let report = model.report("acme", t).unwrap();
        (report["degraded"].clone(), report["dimensions"][0]["measures"][0]["value"].clone())
    };
    assert_eq!(degraded(thawed - 1), (json!(["usage"]), json!(1.0)));
    // From the last use to the outage and on from the thaw: 26 hours are left out.
    let last = 14 * 24 + 10;
    assert_eq!(degraded(thawed), (json!([]), json!(1.0)));
    assert_eq!(degraded(last + 26 + 48), (json!([]), json!(2.0)));
    assert_eq!(degraded(last + 26 + 60), (json!([]), Value::Null), "stale");
    let first = format!("{} h: r warning", last + 26 + 48);
    let told = told(&model);
    assert!(told.contains(&first), "{told:?}");
    let fired = told.iter().filter(|line| line.contains("r warning")).count();
    assert_eq!(fired, 1, "{told:?}");
    assert_eq!(
        outages_told(&model),
        [(true, tripped - 1, tripped, 41.0, 0), (false, tripped - 1, thawed - 1, 41.0, 40),]
    );
}

#[test]
fn an_outage_is_one_only_if_it_is_clear() {
    for (story, days, end, expected) in [
        ("nothing in the first two weeks", (0..9).collect::<Vec<i64>>(), 14 * 24 + 9, vec![]),
        ("a day with all of it", (0..16).collect(), 15 * 24 + 12, vec![]),
        ("a day without any", (0..15).collect(), 15 * 24 + 12, vec![(true, 370, 371, 41.0, 0)]),
    ] {
        let (mut model, records) = fleet(silence_card(), &days);
        for record in &records {
            model.feed(record);
        }
        model.advance_to(START + end * HOUR_MS);
        assert_eq!(outages_told(&model), expected, "{story}");
    }
    for (came, trips) in [(4, true), (5, false)] {
        let days: Vec<i64> = (0..15).collect();
        let (mut model, mut records) = fleet(silence_card(), &days);
        for minute in 0..came {
            records.push(usage(START + 15 * DAY_MS + 10 * HOUR_MS + minute * MINUTE_MS, "bob"));
        }
        for record in &records {
            model.feed(record);
        }
        model.advance_to(START + 15 * DAY_MS + 12 * HOUR_MS);
        assert_eq!(!model.outages().is_empty(), trips, "{came} of 41");
    }
}

#[test]
fn an_outage_that_lasts_when_publishing_begins_is_told_then() {
    let days: Vec<i64> = (0..15).collect();
    let (mut model, records) = fleet(silence_card(), &days);
    model.publish_from = START + 15 * DAY_MS + 20 * HOUR_MS + 30 * MINUTE_MS;
    for record in &records {
        model.feed(record);
    }
    model.advance_to(START + 16 * DAY_MS);
    assert_eq!(outages_told(&model), [(true, 370, 380, 41.0, 0)]);
}

// Random histories through every measure.

fn every_measure() -> Model {
    Model::new(Card::parse(
        "
scorecard: everything
redistribute: dimension
min_coverage: 0.3
grace: 5d
item_horizon: 60d
anti_flap: { margin: 1, dwell: { worse: 1h, better: 2h30m }, bypass_drop: 20 }
dimensions:
  - id: use
    weight: 40
    measures:
      - { id: events, measure: usage.events, window: 24h, curve: { linear: { from: 0, to: 4 } } }
      - { id: quantity, measure: usage.quantity, window: 7d, curve: { linear: { from: 0, to: 20 } } }
      - { id: users, measure: usage.active_users, window: 28d, curve: { linear: { from: 0, to: 5 } } }
      - { id: seats, measure: usage.seat_utilisation, window: 7d, curve: { linear: { from: 0, to: 1 } } }
      - { id: features, measure: usage.features_used, window: 7d, features: [f0, f1], curve: { linear: { from: 0, to: 1 } } }
      - { id: days, measure: usage.active_days, window: 14d, curve: { linear: { from: 0, to: 14 } } }
      - { id: weeks, measure: usage.active_weeks, window: 28d, curve: { linear: { from: 0, to: 4 } } }
      - { id: since, measure: usage.days_since_last, features: [f2], stale_after: 20d, curve: { linear: { from: 10, to: 0 } } }
      - { id: trend, measure: usage.trend, window: 2d, baseline: 6d, prior: 1, curve: { piecewise: [[0.2, 0], [0.8, 60], [1, 100]] } }
  - id: support
    weight: 20
    measures:
      - { id: opened, measure: support.opened, window: 28d, curve: { steps: [[0, 100], [2, 50], [4, 0]] } }
      - { id: open, measure: support.open, priorities: [normal, high], curve: { linear: { from: 4, to: 0 } } }
      - { id: oldest, measure: support.oldest_open_hours, curve: { linear: { from: 720, to: 0 } } }
      - { id: reopened, measure: support.reopened, window: 28d, curve: { linear: { from: 3, to: 0 } } }
      - { id: escalated, measure: support.escalated, window: 7d, missing: neutral, curve: { linear: { from: 1, to: 0 } } }
      - { id: resolution, measure: support.resolution_hours, window: 28d, curve: { linear: { from: 400, to: 0 } } }
  - id: payment
    weight: 20
    measures:
      - { id: overdue, measure: payment.overdue_days, curve: { linear: { from: 45, to: 0 } } }
      - { id: minor, measure: payment.overdue_minor, curve: { linear: { from: 900, to: 0 } } }
      - { id: late, measure: payment.late_share, window: 56d, curve: { linear: { from: 1, to: 0 } } }
      - { id: to_pay, measure: payment.days_to_pay, window: 56d, curve: { linear: { from: 20, to: -5 } } }
      - { id: failed, measure: payment.failed, window: 28d, curve: { linear: { from: 2, to: 0 } } }
      - { id: reminders, measure: payment.reminders, window: 28d, curve: { linear: { from: 2, to: 0 } } }
      - { id: disputes, measure: payment.disputes, window: 28d, curve: { linear: { from: 2, to: 0 } } }
      - { id: growth, measure: payment.growth, window: 56d, curve: { linear: { from: 0, to: 1 } } }
  - id: voice
    weight: 20
    measures:
      - { id: nps, measure: survey.nps, window: 56d, curve: { linear: { from: -100, to: 100 } } }
      - { id: csat, measure: survey.csat, window: 28d, roles: [buyer], stale_after: 12d }
      - { id: ces, measure: survey.ces, window: 28d, missing: zero }
      - { id: mood, measure: survey.assessment, surveys: [mood], window: 7d }
      - { id: renewal, measure: account.days_to_renewal, curve: { linear: { from: 0, to: 60 } } }
      - { id: age, measure: account.age_days, curve: { linear: { from: 0, to: 300 } } }
gates:
  - { id: overdue_cap, cap: 40, when: { measure: overdue, at_least: 10 }, reason: overdue }
bands: [{ name: red, up_to: 40 }, { name: yellow, up_to: 55 }, { name: green, up_to: 100 }]
",
    ))
}

/// A small generator, so that a seed alone names a history.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> i64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % sides) as i64
    }

    fn pick<'a>(&mut self, names: &[&'a str]) -> &'a str {
        names[self.below(names.len() as u64) as usize]
    }
}

/// 200 events over 200 days with quiet stretches, in the order of arrival, some of them late.
fn random_history(seed: u64) -> Vec<Record> {
    let mut dice = Dice(seed);
    let mut records = Vec::new();
    for index in 0..200 {
        let quiet = index % 60 > 40;
        let day = if quiet { 30 * dice.below(7) } else { dice.below(200) };
        let when = START + day * DAY_MS + dice.below(DAY_MS as u64);
        let late = if dice.below(4) == 0 { dice.below(9 * DAY_MS as u64) } else { 0 };
        let (source, mut fields) = match dice.below(10) {
            0..=3 => (
                Source::Usage,
                json!({"feature": dice.pick(&["f0", "f1", "f2"]), "quantity": 1.25,
                       "user_id": dice.pick(&["a", "b", "c", "d", "e"])}),
            ),
            4..=5 => (
                Source::Ticket,
                json!({"ticket_id": dice.pick(&["t0", "t1", "t2", "t3", "t4", "t5", "t6"]),
                       "priority": dice.pick(&["low", "normal", "high", "urgent"]),
                       "status": dice.pick(&["opened", "opened", "escalated", "resolved", "resolved",
                                             "reopened", "closed"])}),
            ),
            6..=7 => (
                Source::Payment,
                json!({"invoice_id": dice.pick(&["i0", "i1", "i2", "i3", "i4", "i5", "i6"]),
                       "amount_minor": 100, "currency": dice.pick(&["EUR", "EUR", "EUR", "USD"]),
                       "due_at": when + dice.below(20 * DAY_MS as u64),
                       "status": dice.pick(&["issued", "issued", "paid", "paid", "paid", "failed",
                                             "reminded", "refunded", "disputed", "voided"])}),
            ),
            8 => {
                let survey = dice.pick(&["nps", "csat", "ces", "mood"]);
                let score = 1 + dice.below(5);
                (
                    Source::Survey,
                    json!({"survey": survey, "score": score, "role": dice.pick(&["buyer", "user"]),
                           "respondent_id": dice.pick(&["a", "b"])}),
                )
            }
            _ => (
                Source::Profile,
                json!({"seats": 1 + dice.below(6), "started_at": START - 30 * DAY_MS + 5,
                       "renewal_at": when + dice.below(90 * DAY_MS as u64)}),
            ),
        };
        fields["event_id"] = json!(format!("e{index}"));
        records.push(arriving(source, when + late, when, &fields));
    }
    records.sort_by_key(|record| (record.record_time_ms, record.source));
    records
}

#[test]
fn judging_every_hour_finds_nothing_more() {
    for seed in 0..6 {
        let mut plain = every_measure();
        let mut thorough = every_measure();
        thorough.every_hour = true;
        for record in random_history(seed) {
            plain.feed(&record);
            thorough.feed(&record);
        }
        plain.advance_to(START + 250 * DAY_MS);
        thorough.advance_to(START + 250 * DAY_MS);
        assert_eq!(plain.verdicts("acme"), thorough.verdicts("acme"), "seed {seed}");
    }
}

#[test]
fn how_often_time_is_moved_changes_nothing() {
    let records = random_history(11);
    let mut once = every_measure();
    let mut often = every_measure();
    for record in &records {
        once.feed(record);
        while often.now().is_some_and(|now| now + 5 * HOUR_MS + 1 < record.record_time_ms) {
            let now = often.now().unwrap();
            often.advance_to(now + 5 * HOUR_MS + 1);
        }
        often.feed(record);
    }
    assert_eq!(once.verdicts("acme"), often.verdicts("acme"));
}

#[test]
fn the_order_of_arrival_does_not_change_the_state() {
    for seed in 20..30 {
        let end = START + 30 * DAY_MS;
        // Within the horizon and with few enough events that no id is forgotten; profiles
        // depend on their order and stay out.
        let mut records: Vec<Record> = random_history(seed)
            .into_iter()
            .filter(|record| record.record_time_ms <= end && record.source != Source::Profile)
            .collect();
        for record in &mut records {
            record.record_time_ms = end;
        }
        let mut forwards = every_measure();
        let mut backwards = every_measure();
        for record in &records {
            forwards.feed(record);
        }
        for record in records.iter().rev() {
            backwards.feed(record);
        }
        let (left, right) = (forwards.report("acme", end), backwards.report("acme", end));
        let strip = |report: Option<Value>| {
            let mut report = report.unwrap();
            for key in ["band", "previous_band", "band_since"] {
                report.as_object_mut().unwrap().remove(key);
            }
            report
        };
        assert_eq!(strip(left), strip(right), "seed {seed}");
    }
}

#[test]
fn parts_sum_to_the_score_on_random_histories() {
    for seed in 30..34 {
        let mut model = every_measure();
        for record in random_history(seed) {
            model.feed(&record);
            let report = model.report("acme", record.record_time_ms.max(model.now().unwrap()));
            parts_sum_to_score(&report.unwrap());
        }
    }
}
