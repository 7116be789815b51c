//! Verdicts as records: key, CloudEvents headers in Kafka's binary content mode, JSON payload.

use serde::Serialize;

use super::time::EventTime;
use super::verdict::{Decision, Movement, Part, Verdict, band_name};
use super::wording;

/// A record's bytes, ready for a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedRecord {
    /// The account's id.
    pub key: Vec<u8>,
    /// Headers, in order.
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub payload: Vec<u8>,
}

/// The payload of `barometer.band_changed.v1`.
#[derive(Clone, Debug, Serialize)]
pub struct BandChanged<'a> {
    /// The account.
    pub account_id: &'a str,
    /// Its display name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    /// Who looks after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<&'a str>,
    /// The account's own count of verdicts, from 1.
    pub sequence: u64,
    /// The band left; `unknown` where there was none.
    pub from: &'a str,
    /// The band entered.
    pub to: &'a str,
    /// Task time at which it was entered.
    pub entered_at: EventTime,
    /// The score now; `null` where there is none.
    pub score: Option<f64>,
    /// The score in the last published verdict.
    pub previous_score: Option<f64>,
    /// Share of weight backed by data, 0..=1.
    pub coverage: f64,
    /// Sources whose outage holds this account's clock.
    pub degraded: Vec<&'a str>,
    /// Colour of the band entered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub color: Option<&'a str>,
    /// What the scorecard recommends for the band entered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<&'a str>,
    /// One line.
    pub summary: String,
    /// The largest reasons as sentences.
    pub explanation: Vec<String>,
    /// Everything that moved since the last published verdict, first what moved the score most in
    /// the direction it went; the points sum to the
    /// score's change (from 0 where there was no score).
    pub changes: Vec<Change<'a>>,
    /// The scorecard's id.
    pub scorecard: &'a str,
    /// The hash of the scorecard's content.
    pub scorecard_hash: &'a str,
}

/// One part of a score that moved.
#[derive(Clone, Debug, Serialize)]
pub struct Change<'a> {
    /// The measure's or gate's id in the card; `start_and_clamp` under `signed`.
    pub id: &'a str,
    /// What is read; absent for gates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measure: Option<&'static str>,
    /// Over how long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// The value then; `null` if missing.
    pub from: Option<f64>,
    /// The value now; `null` if missing.
    pub to: Option<f64>,
    /// What it did to the score.
    pub points: f64,
    /// A gate's reason, or that it holds no longer; absent for measures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Writes a verdict as a record of the events topic. `source` is the producing service's
/// `ce_source`.
pub fn encode(verdict: &Verdict, source: &str) -> EncodedRecord {
    let payload = band_changed(verdict);
    let json = serde_json::to_vec(&payload).expect("strings and numbers always become JSON");
    EncodedRecord {
        key: verdict.account_id.as_bytes().to_vec(),
        headers: vec![
            ("ce_specversion", "1.0".to_owned()),
            ("ce_id", format!("{}:{}", verdict.account_id, verdict.sequence)),
            ("ce_type", "barometer.band_changed.v1".to_owned()),
            ("ce_source", source.to_owned()),
            ("ce_subject", verdict.account_id.to_string()),
            ("ce_time", verdict.at.to_string()),
            ("ce_dataschema", "barometer/band_changed.v1".to_owned()),
            ("content-type", "application/json".to_owned()),
        ],
        payload: json,
    }
}

/// A band change as its payload.
pub fn band_changed(verdict: &Verdict) -> BandChanged<'_> {
    let card = &*verdict.card;
    let Decision::BandChange { from, to } = verdict.decision;
    let entered = to.map(|band| &card.bands[band]);
    BandChanged {
        account_id: &verdict.account_id,
        name: verdict.name.as_deref(),
        owner: verdict.owner.as_deref(),
        sequence: verdict.sequence,
        from: band_name(card, from),
        to: band_name(card, to),
        entered_at: verdict.at,
        score: verdict.score,
        previous_score: verdict.previous_score,
        coverage: verdict.coverage,
        degraded: Vec::new(),
        color: entered.and_then(|band| band.color.as_deref()),
        action: entered.and_then(|band| band.action.as_deref()),
        summary: wording::summary(verdict),
        explanation: wording::explanation(verdict),
        changes: verdict.movements.iter().map(|movement| change(verdict, movement)).collect(),
        scorecard: &card.id,
        scorecard_hash: &card.hash,
    }
}

fn change<'a>(verdict: &'a Verdict, movement: &Movement) -> Change<'a> {
    let card = &*verdict.card;
    let (id, rule, reason) = match movement.part {
        Part::Measure(index) => {
            let rule = card.measure(index);
            (rule.id.as_str(), Some(rule), None)
        }
        Part::Gate(index) => {
            let gate = &card.gates[index];
            (gate.id.as_str(), None, Some(wording::gate_reason(gate, movement.points)))
        }
        Part::StartAndClamp => ("start_and_clamp", None, None),
    };
    Change {
        id,
        measure: rule.map(|rule| rule.kind.name()),
        window: rule.and_then(|rule| rule.window).map(|window| window.to_string()),
        from: movement.from,
        to: movement.to,
        points: movement.points,
        reason,
    }
}
