//! Verdicts as records: key, CloudEvents headers in Kafka's binary content mode, JSON payload.

use schemars::JsonSchema;
use serde::Serialize;

use super::event::FeedbackKind;
use super::outage::{self, OperatorAlert};
use super::report::OverrideReport;
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
    /// Whose doing it is: `score`, `rules` where the account is judged by others than before,
    /// `override` and `override_ended` where somebody said what the band is, `forgotten` where the
    /// account is idle and followed no longer.
    pub cause: &'static str,
    /// What somebody said, where it begins or ends with this.
    #[serde(rename = "override", skip_serializing_if = "Option::is_none")]
    pub overridden: Option<OverrideReport<'a>>,
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
    /// What somebody said of it last: `acknowledged`, `false_alarm`, `churned` or `renewed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feedback: Option<&'static str>,
    /// The `ce_id` of the record that told of the beginning; only where it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firing_id: Option<String>,
    /// The scorecard's id.
    pub scorecard: &'a str,
    /// The hash of the scorecard's content.
    pub scorecard_hash: &'a str,
}

/// The payload of `barometer.operator_alert.v1`: a whole source went quiet, or is back. The records of
/// all tasks have the same deduplication key, so that they merge downstream.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct OperatorAlertRecord {
    /// `outage:` and the source.
    pub dedup_key: String,
    /// `firing` or `resolved`.
    pub status: &'static str,
    /// `critical`.
    pub severity: Severity,
    /// `usage`, `support`, `payment` or `survey`.
    pub source: &'static str,
    /// The partition number that tells of it.
    pub partition: i32,
    /// The partition number's own count of these, from 1.
    pub sequence: u64,
    /// Task time of this record.
    pub at: EventTime,
    /// The first hour of the outage begins here.
    pub started_at: EventTime,
    /// When it was noticed: at the end of an hour.
    pub detected_at: EventTime,
    /// When events came again; `null` while they do not.
    pub ended_at: Option<EventTime>,
    /// How many events were to be expected: while firing since it began, once resolved in the hour
    /// that settled it.
    pub expected: f64,
    /// How many came.
    pub came: u64,
    /// One line.
    pub summary: String,
}

/// Writes what operators are told as a record of the events topic.
pub fn encode_operator_alert(alert: &OperatorAlert, partition: i32, source: &str) -> EncodedRecord {
    let name = outage::name(alert.source);
    let dedup_key = format!("outage:{name}");
    let payload = OperatorAlertRecord {
        dedup_key: dedup_key.clone(),
        status: if alert.ended_at.is_some() { "resolved" } else { "firing" },
        severity: Severity::Critical,
        source: name,
        partition,
        sequence: alert.sequence,
        at: alert.at,
        started_at: alert.started_at,
        detected_at: alert.detected_at,
        ended_at: alert.ended_at,
        expected: alert.expected,
        came: alert.came,
        summary: wording::outage(alert, partition),
    };
    let id = format!("task-{partition}:{}", alert.sequence);
    let json = serde_json::to_vec(&payload);
    cloud_event("operator_alert.v1", id, &dedup_key, alert.at, source, json)
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
    let id = event_id(verdict, verdict.sequence);
    cloud_event(schema, id, &verdict.account_id, verdict.at, source, json)
}

/// A payload with the headers of CloudEvents, keyed by what it is about.
fn cloud_event(
    schema: &str,
    id: String,
    subject: &str,
    at: EventTime,
    source: &str,
    json: serde_json::Result<Vec<u8>>,
) -> EncodedRecord {
    EncodedRecord {
        key: subject.as_bytes().to_vec(),
        headers: vec![
            ("ce_specversion", "1.0".to_owned()),
            ("ce_id", id),
            ("ce_type", format!("barometer.{schema}")),
            ("ce_source", source.to_owned()),
            ("ce_subject", subject.to_owned()),
            ("ce_time", at.to_string()),
            ("ce_dataschema", format!("urn:barometer:{schema}")),
            ("content-type", "application/json".to_owned()),
        ],
        payload: json.expect("strings and numbers always become JSON"),
    }
}

/// The account, when it began, and its count of verdicts.
fn event_id(verdict: &Verdict, sequence: u64) -> String {
    let account_id = &verdict.account_id;
    match verdict.beginning {
        Some(beginning) => format!("{account_id}:{}:{sequence}", beginning.as_millis()),
        None => format!("{account_id}:{sequence}"),
    }
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
        overridden: verdict
            .overridden
            .as_ref()
            .and_then(|overridden| OverrideReport::of(overridden, card)),
        sub_band: advice.sub_band,
        entered_at: verdict.at,
        score: verdict.score,
        previous_score: verdict.previous_score,
        coverage: verdict.coverage,
        degraded: verdict.degraded.names(),
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
        degraded: verdict.degraded.names(),
        cause: verdict.cause.name(),
        summary: wording::summary(verdict),
        explanation: wording::explanation(verdict),
        changes: changes(verdict),
        action: rule.action.as_deref().or(advice.action),
        urgency: advice.urgency,
        at: verdict.at,
        started_at: step.since,
        ended_at: firing_sequence.map(|_| verdict.at),
        feedback: step.feedback.map(FeedbackKind::name),
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
