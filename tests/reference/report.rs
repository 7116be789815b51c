//! The account report of section 7, as JSON.
//!
//! Leaves out `scorecard_hash`; what the task knows of outages, and of an override, is put in by the
//! model.

use serde_json::{Value, json};

use super::alert::Alert;
use super::band::{Machine, band_name, band_of};
use super::card::{AlertRule, Card, Dimension, Measure};
use super::event::Override;
use super::score::{DimensionReading, Evaluation, Reading, Status};

pub fn report(
    card: &Card,
    account_id: &str,
    t: i64,
    evaluation: &Evaluation,
    machine: &Machine,
    alerts: &[Alert],
) -> Value {
    let pairs = card.dimensions.iter().zip(&evaluation.dimensions);
    let rules = card.alerts.iter().zip(alerts);
    let gates = evaluation
        .gates
        .iter()
        .map(|gate| json!({ "id": gate.id, "effect": gate.effect, "reason": gate.reason }));
    json!({
        "account_id": account_id,
        "as_of": text_of(t),
        "scorecard": card.name,
        "score": evaluation.score,
        "band": band_name(&card.bands, machine.place),
        "previous_band": machine.previous.map(|place| band_name(&card.bands, place)),
        "band_since": machine.previous.map(|_| text_of(machine.since)),
        "coverage": evaluation.coverage,
        "degraded": [],
        "dimensions": pairs.map(|(spec, read)| dimension(card, spec, read)).collect::<Vec<_>>(),
        "gates": gates.collect::<Vec<_>>(),
        "alerts": rules.filter_map(|(rule, alert)| alert_row(rule, alert)).collect::<Vec<_>>(),
    })
}

/// The object of an override that runs, as in its band-change record.
pub fn override_row(card: &Card, running: &Override) -> Value {
    let claim = running.claim.as_ref().expect("a withdrawal does not run");
    let place = claim.place(&card.bands).expect("what runs has a band of the card");
    let mut row = json!({
        "band": band_name(&card.bands, Some(place)),
        "author": running.author,
        "reason": running.reason,
        "expires_at": text_of(claim.expires_at),
    });
    if let Some(score) = claim.score {
        row["score"] = json!(score);
    }
    row
}

/// Nothing for a rule that is inactive.
fn alert_row(rule: &AlertRule, alert: &Alert) -> Option<Value> {
    let (status, severity, since) = alert.status(rule)?;
    Some(json!({
        "rule": rule.id,
        "status": status,
        "severity": severity.name(),
        "since": text_of(since),
    }))
}

fn dimension(card: &Card, spec: &Dimension, read: &DimensionReading) -> Value {
    let measures = spec.measures.iter().zip(&read.measures);
    json!({
        "id": read.id,
        "weight": read.weight,
        "score": read.score,
        "band": colour(card, read.score),
        "contribution": read.contribution,
        "status": status_of_dimension(spec, read),
        "measures": measures.map(|(spec, read)| measure(card, spec, read)).collect::<Vec<_>>(),
    })
}

fn measure(card: &Card, spec: &Measure, read: &Reading) -> Value {
    let mut row = json!({
        "id": read.id,
        "measure": spec.name,
        "value": read.value,
        "sub_score": read.sub_score,
        "band": colour(card, read.sub_score),
        "weight": read.weight,
        "contribution": read.contribution,
        "status": status_name(read.status),
    });
    if let Some(window) = &spec.window_text {
        row["window"] = json!(window);
    }
    row
}

/// As of a measure, by the measures that count; where none does, by all.
fn status_of_dimension(spec: &Dimension, read: &DimensionReading) -> &'static str {
    let pairs = || spec.measures.iter().zip(&read.measures);
    let any_counts = spec.measures.iter().any(|measure| measure.weight != 0.0);
    let asked = pairs().filter(|(spec, _)| spec.weight != 0.0 || !any_counts);
    let statuses: Vec<Status> = asked.map(|(_, reading)| reading.status).collect();
    let best = [Status::Ok, Status::Stale].into_iter().find(|status| statuses.contains(status));
    status_name(best.unwrap_or(Status::Missing))
}

fn status_name(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::Missing => "missing",
        Status::Stale => "stale",
    }
}

fn colour(card: &Card, score: Option<f64>) -> Option<String> {
    score.map(|score| band_name(&card.bands, Some(band_of(&card.bands, score))))
}

fn text_of(t: i64) -> String {
    jiff::Timestamp::from_millisecond(t).expect("an instant of the tests").to_string()
}
