//! Verdicts as records: key, CloudEvents headers in Kafka's binary content mode, JSON payload.

use schemars::JsonSchema;
use serde::Serialize;

use super::scorecard::{Severity, Urgency};
use super::time::EventTime;
use super::verdict::{AlertChange, AlertStep, Decision, Movement, Part, Verdict, band_name};
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
#[derive(Clone, Debug, Serialize, JsonSchema)]
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
    /// `score`, or `rules` where the account is judged by others than before.
    pub cause: &'static str,
    /// The part of the band entered that holds the account, if it has parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub_band: Option<&'a str>,
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
    /// How soon, if the scorecard says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub urgency: Option<&'a str>,
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
#[derive(Clone, Debug, Serialize, JsonSchema)]
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

/// The payload of `barometer.alert_fired.v1` and `barometer.alert_resolved.v1`. It maps one to one
/// onto what Alertmanager, PagerDuty and Slack take.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Alert<'a> {
    /// Account and rule: the same for all records of one episode, and of later ones of the rule.
    pub dedup_key: String,
    /// `firing` or `resolved`.
    pub status: &'static str,
    /// The worst level the episode has reached.
    pub severity: Severity,
    /// The severity before, where this record says that it became worse.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escalated_from: Option<Severity>,
    /// The rule's id in the scorecard.
    pub rule: &'a str,
    /// What the rule looks at: `score_drop`, `silence`, ...
    pub kind: &'static str,
    /// The account.
    pub account_id: &'a str,
    /// Its display name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    /// Who looks after it: by its profile, else by the scorecard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<&'a str>,
    /// The account's own count of verdicts, from 1.
    pub sequence: u64,
    /// The published band.
    pub band: &'a str,
    /// The part of the band that holds the account, if it has parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub_band: Option<&'a str>,
    /// The score now; `null` where there is none.
    pub score: Option<f64>,
    /// The score in the last published verdict.
    pub previous_score: Option<f64>,
    /// Share of weight backed by data, 0..=1.
    pub coverage: f64,
    /// Sources whose outage holds this account's clock.
    pub degraded: Vec<&'a str>,
    /// `score`, or `rules` where the account is judged by others than before.
    pub cause: &'static str,
    /// One line, at most 1,024 characters.
    pub summary: String,
    /// Sentences: why it fired or ended, then what moved the score most.
    pub explanation: Vec<String>,
    /// Everything that moved since the last published verdict; the points sum to the score's change
    /// (from 0 where there was no score).
    pub changes: Vec<Change<'a>>,
    /// What to do: by the rule, else by the band.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<&'a str>,
    /// How soon, by the band.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub urgency: Option<&'a str>,
    /// Task time of this record.
    pub at: EventTime,
    /// Task time at which the episode began.
    pub started_at: EventTime,
    /// Task time at which it ended; `null` while it fires.
    pub ended_at: Option<EventTime>,
    /// The `ce_id` of the record that told of the beginning; only where it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firing_id: Option<String>,
    /// The scorecard's id.
    pub scorecard: &'a str,
    /// The hash of the scorecard's content.
    pub scorecard_hash: &'a str,
}

/// Writes a verdict as a record of the events topic. `source` is the producing service's
/// `ce_source`.
pub fn encode(verdict: &Verdict, source: &str) -> EncodedRecord {
    let (schema, json) = match &verdict.decision {
        Decision::BandChange { from, to } => {
            ("band_changed.v1", serde_json::to_vec(&band_changed(verdict, *from, *to)))
        }
        Decision::Alert(step) => {
            let schema = match step.change {
                AlertChange::Fired | AlertChange::Escalated { .. } => "alert_fired.v1",
                AlertChange::Resolved { .. } => "alert_resolved.v1",
            };
            (schema, serde_json::to_vec(&alert(verdict, step)))
        }
    };
    EncodedRecord {
        key: verdict.account_id.as_bytes().to_vec(),
        headers: vec![
            ("ce_specversion", "1.0".to_owned()),
            ("ce_id", event_id(verdict, verdict.sequence)),
            ("ce_type", format!("barometer.{schema}")),
            ("ce_source", source.to_owned()),
            ("ce_subject", verdict.account_id.to_string()),
            ("ce_time", verdict.at.to_string()),
            ("ce_dataschema", format!("urn:barometer:{schema}")),
            ("content-type", "application/json".to_owned()),
        ],
        payload: json.expect("strings and numbers always become JSON"),
    }
}

fn event_id(verdict: &Verdict, sequence: u64) -> String {
    format!("{}:{sequence}", verdict.account_id)
}

fn band_changed(verdict: &Verdict, from: Option<usize>, to: Option<usize>) -> BandChanged<'_> {
    let card = &*verdict.card;
    let entered = to.map(|band| &card.bands[band]);
    let advice = Advice::of(verdict);
    BandChanged {
        account_id: &verdict.account_id,
        name: verdict.name.as_deref(),
        owner: verdict.owner.as_deref(),
        sequence: verdict.sequence,
        from: verdict.left.as_deref().unwrap_or(band_name(card, from)),
        to: band_name(card, to),
        cause: verdict.cause.name(),
        sub_band: advice.sub_band,
        entered_at: verdict.at,
        score: verdict.score,
        previous_score: verdict.previous_score,
        coverage: verdict.coverage,
        degraded: Vec::new(),
        color: entered.and_then(|band| band.color.as_deref()),
        action: advice.action,
        urgency: advice.urgency,
        summary: wording::summary(verdict),
        explanation: wording::explanation(verdict),
        changes: changes(verdict),
        scorecard: &card.id,
        scorecard_hash: &card.hash,
    }
}

fn alert<'a>(verdict: &'a Verdict, step: &AlertStep) -> Alert<'a> {
    let card = &*verdict.card;
    let rule = &card.alerts[step.rule];
    let advice = Advice::of(verdict);
    let (escalated_from, firing_sequence) = match step.change {
        AlertChange::Fired => (None, None),
        AlertChange::Escalated { from } => (Some(from), None),
        AlertChange::Resolved { firing_sequence } => (None, Some(firing_sequence)),
    };
    Alert {
        dedup_key: format!("{}:{}", verdict.account_id, rule.id),
        status: if firing_sequence.is_some() { "resolved" } else { "firing" },
        severity: step.severity,
        escalated_from,
        rule: &rule.id,
        kind: rule.kind.name(),
        account_id: &verdict.account_id,
        name: verdict.name.as_deref(),
        owner: verdict.owner.as_deref(),
        sequence: verdict.sequence,
        band: band_name(card, verdict.band),
        sub_band: advice.sub_band,
        score: verdict.score,
        previous_score: verdict.previous_score,
        coverage: verdict.coverage,
        degraded: Vec::new(),
        cause: verdict.cause.name(),
        summary: wording::summary(verdict),
        explanation: wording::explanation(verdict),
        changes: changes(verdict),
        action: rule.action.as_deref().or(advice.action),
        urgency: advice.urgency,
        at: verdict.at,
        started_at: step.since,
        ended_at: firing_sequence.map(|_| verdict.at),
        firing_id: firing_sequence.map(|sequence| event_id(verdict, sequence)),
        scorecard: &card.id,
        scorecard_hash: &card.hash,
    }
}

/// What the card recommends for the account's band, or for the part of it that holds the account.
#[derive(Default)]
struct Advice<'a> {
    sub_band: Option<&'a str>,
    action: Option<&'a str>,
    urgency: Option<&'a str>,
}

impl Advice<'_> {
    fn of(verdict: &Verdict) -> Advice<'_> {
        let Some(band) = verdict.band else { return Advice::default() };
        let band = &verdict.card.bands[band];
        let part = verdict.sub_band.map(|part| &band.sub_bands[part]);
        let action = part.and_then(|part| part.action.as_deref()).or(band.action.as_deref());
        let urgency = part.and_then(|part| part.urgency).or(band.urgency);
        Advice {
            sub_band: part.map(|part| part.name.as_str()),
            action,
            urgency: urgency.map(Urgency::name),
        }
    }
}

fn changes(verdict: &Verdict) -> Vec<Change<'_>> {
    verdict.movements.iter().map(|movement| change(verdict, movement)).collect()
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
        Part::Rules => ("rules", None, Some("the rules changed".to_owned())),
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
