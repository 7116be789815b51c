//! Many events, one after the other, against everything worked out again from nothing.
//!
//! What is kept up event by event must not drift from what the events say: after more than a
//! hundred thousand of them the score equals its recomputation, by a fresh engine to the last bit
//! and by the reference model to 1e-9.

mod histories;
mod judge;
mod reference;

use std::collections::BTreeMap;

use barometer::engine::event::Source;
use histories::Arrival;
use judge::Judged;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reference::Card;
use reference::account::History;
use reference::score::evaluate;
use serde_json::json;

const EVENTS: usize = 110_000;
const ACCOUNTS: u32 = 30;
const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
const START: i64 = 1_767_571_200_000;

/// The horizon is longer than the story, so that all of it can be told again at its end.
const CARD: &str = "
scorecard: drift
dimensions:
  - id: use
    weight: 40
    measures:
      - { id: events, measure: usage.events, window: 28d, curve: { linear: { from: 0, to: 3000 } } }
      - { id: quantity, measure: usage.quantity, window: 7d, curve: { linear: { from: 0, to: 2000 } } }
      - { id: users, measure: usage.active_users, window: 24h, curve: { linear: { from: 0, to: 60 } } }
      - { id: days, measure: usage.active_days, window: 14d, curve: { linear: { from: 0, to: 14 } } }
      - { id: trend, measure: usage.trend, window: 7d, baseline: 21d, curve: { linear: { from: 0, to: 2 } } }
      - { id: last, measure: usage.days_since_last, features: [admin], curve: { linear: { from: 9, to: 0 } } }
  - id: support
    weight: 25
    measures:
      - { id: open, measure: support.open, curve: { linear: { from: 90, to: 0 } } }
      - { id: hours, measure: support.resolution_hours, window: 28d, curve: { linear: { from: 900, to: 0 } } }
  - id: payment
    weight: 20
    measures:
      - { id: overdue, measure: payment.overdue_days, curve: { linear: { from: 300, to: 0 } } }
      - { id: growth, measure: payment.growth, window: 28d, baseline: 28d, curve: { linear: { from: 0, to: 2 } } }
  - id: survey
    weight: 15
    measures:
      - { id: nps, measure: survey.nps, window: 90d, curve: { linear: { from: -100, to: 100 } } }
      - { id: mood, measure: survey.assessment, surveys: [mood], window: 28d, curve: { linear: { from: 0, to: 100 } } }
bands: [{ name: red, up_to: 45 }, { name: yellow, up_to: 55 }, { name: green, up_to: 100 }]
anti_flap: { margin: 0, dwell: { worse: 0, better: 1h } }
item_horizon: 5000d
";

#[test]
fn after_a_hundred_thousand_events_the_score_equals_recomputation() {
    let arrivals = arrivals(&mut ChaCha8Rng::seed_from_u64(1));
    let end = arrivals.last().expect("there are events").record_time_ms + 3 * DAY_MS;
    let mut lived = Judged::new(CARD);
    let mut fresh = Judged::new(CARD);
    fresh.advance_to(end);
    let mut histories: BTreeMap<&str, History> = BTreeMap::new();
    let card = Card::parse(CARD);
    for arrival in &arrivals {
        lived.feed(arrival).expect("the event is well-formed");
        fresh.feed(arrival).expect("the event is well-formed");
        let history = histories.entry(&arrival.account_id).or_default();
        history.apply(&card, &judge::record(arrival), arrival.record_time_ms);
    }
    lived.advance_to(end);
    assert!(lived.all_verdicts().len() > 1_000, "the scores moved");
    for (account_id, history) in histories {
        let one = lived.report_but_for_band(account_id);
        judge::same(account_id, &fresh.report_but_for_band(account_id), &one)
            .unwrap_or_else(|difference| panic!("{difference}"));
        let expected = evaluate(&card, &history, end).score.expect("there is a score");
        let found = one["score"].as_f64().expect("there is a score");
        assert!((expected - found).abs() < 1e-9, "{account_id}: {expected} and {found}");
    }
}

/// Half a year of many accounts; some events come late, and some twice.
fn arrivals(rng: &mut impl Rng) -> Vec<Arrival> {
    let mut now = START;
    let mut arrivals: Vec<Arrival> = Vec::with_capacity(EVENTS);
    for index in 0..EVENTS {
        now += rng.random_range(0..5 * MINUTE_MS);
        let back = rng.random_range(1..400);
        let arrival = match arrivals.len().checked_sub(back) {
            Some(earlier) if rng.random_ratio(1, 40) => {
                Arrival { record_time_ms: now, ..arrivals[earlier].clone() }
            }
            _ => arrival(index, now, rng),
        };
        arrivals.push(arrival);
    }
    arrivals
}

fn arrival(index: usize, now: i64, rng: &mut impl Rng) -> Arrival {
    let late = if rng.random_ratio(1, 30) { rng.random_range(0..40 * DAY_MS) } else { 0 };
    let at = now - late;
    let mut one_of = |count: u32| rng.random_range(0..count);
    let account = one_of(ACCOUNTS);
    let account_id = format!("account-{account}");
    let (source, fields) = match one_of(20) {
        0 => {
            let status = ["opened", "resolved", "reopened", "closed"][one_of(4) as usize];
            let ticket_id = format!("ticket-{}", one_of(60));
            (Source::Ticket, json!({"ticket_id": ticket_id, "status": status}))
        }
        1 => {
            let status = ["issued", "paid", "paid", "refunded"][one_of(4) as usize];
            let fields = json!({
                "invoice_id": format!("invoice-{}", one_of(60)), "status": status,
                "amount_minor": one_of(10_000), "currency": "EUR", "due_at": at + 10 * DAY_MS,
            });
            (Source::Payment, fields)
        }
        2 => {
            let respondent = format!("respondent-{}", one_of(20));
            let (survey, score) =
                if one_of(2) == 0 { ("nps", one_of(11)) } else { ("mood", one_of(101)) };
            let fields = json!({"survey": survey, "score": score, "respondent_id": respondent});
            (Source::Survey, fields)
        }
        _ => {
            let feature = ["reports", "export", "admin"][one_of(3) as usize];
            let fields = json!({
                // Accounts differ in how many people use the product.
                "user_id": format!("user-{}", one_of(3 * account + 1)),
                "feature": feature,
                "quantity": f64::from(one_of(100_000)) / 10_000.0,
            });
            (Source::Usage, fields)
        }
    };
    let mut body = json!({
        "event_id": index.to_string(), "account_id": account_id, "occurred_at": at,
    });
    for (field, value) in fields.as_object().expect("fields are an object") {
        body[field] = value.clone();
    }
    Arrival { source, account_id, record_time_ms: now, body: Some(body) }
}
