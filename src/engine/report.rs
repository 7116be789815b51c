//! The account report: one JSON shape that says everything about one account.
//!
//! A [`Snapshot`] is the little that has to be kept of an account to write its report later; the
//! scores themselves are worked out again from it, by the same code as ever.

use std::sync::Arc;

use compact_str::CompactString;
use schemars::JsonSchema;
use serde::Serialize;

use super::event::{ClaimedBand, FeedbackKind, Override};
use super::outage::Degraded;
use super::score::{Breakdown, MeasureScore, MeasureStatus, dimension_score};
use super::scorecard::{Dimension, Scorecard, Severity};
use super::time::EventTime;
use super::verdict::{AlertStanding, BandState, band_name};

/// What is kept of an account for its report.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The rules it is judged by.
    pub card: Arc<Scorecard>,
    /// The account.
    pub account_id: CompactString,
    /// Task time of the snapshot.
    pub as_of: EventTime,
    /// One per measure of the card.
    pub measures: Box<[MeasureScore]>,
    /// One per gate of the card: whether its condition holds.
    pub gate_holds: Box<[bool]>,
    /// Whether the account is in its grace.
    pub in_grace: bool,
    /// The band as published.
    pub band: BandState,
    /// Rules that are pending or firing.
    pub alerts: Vec<AlertStanding>,
    /// Sources whose outage holds the account's clock.
    pub degraded: Degraded,
    /// The override that runs.
    pub overridden: Option<Arc<Override>>,
}

impl Snapshot {
    /// The score with all its parts.
    pub fn breakdown(&self) -> Breakdown {
        let mut breakdown = Breakdown::default();
        breakdown.fill(&self.card, &self.measures, |gate| self.gate_holds[gate], self.in_grace);
        breakdown
    }

    /// Whether a reader of the report would see a difference, apart from its time.
    pub fn says_the_same_as(&self, other: &Snapshot) -> bool {
        self.card.hash == other.card.hash
            && self.measures == other.measures
            && self.gate_holds == other.gate_holds
            && self.in_grace == other.in_grace
            && self.band == other.band
            && self.alerts == other.alerts
            && self.degraded == other.degraded
            && self.overridden == other.overridden
    }

    /// The report as people and programs read it.
    pub fn report(&self) -> AccountReport<'_> {
        let card = &*self.card;
        let breakdown = self.breakdown();
        let name = |band| band_name(card, band);
        let mut first = 0;
        let dimensions = card.dimensions.iter().map(|dimension| {
            let range = first..first + dimension.measures.len();
            first = range.end;
            let shares = &breakdown.measures[range.clone()];
            let contribution: f64 = shares.iter().map(|share| share.contribution).sum();
            let weight: f64 = shares.iter().map(|share| share.weight).sum();
            let score = dimension_score(card, dimension, &self.measures[range.clone()]);
            DimensionReport {
                id: &dimension.id,
                weight,
                score,
                band: score.map(|score| name(Some(card.band_of(score)))),
                contribution,
                status: dimension_status(dimension, &self.measures[range.clone()]).name(),
                measures: dimension
                    .measures
                    .iter()
                    .zip(&self.measures[range])
                    .zip(shares)
                    .map(|((rule, measure), share)| MeasureReport {
                        id: &rule.id,
                        measure: rule.kind.name(),
                        window: rule.window.map(|window| window.to_string()),
                        value: measure.value(),
                        sub_score: measure.sub_score(),
                        band: measure.sub_score().map(|score| name(Some(card.band_of(score)))),
                        weight: share.weight,
                        contribution: share.contribution,
                        status: measure.status().name(),
                        reason: measure.status().reason(),
                    })
                    .collect(),
            }
        });
        AccountReport {
            account_id: &self.account_id,
            as_of: self.as_of,
            scorecard: &card.id,
            scorecard_hash: &card.hash,
            score: breakdown.score,
            band: name(self.band.current()),
            previous_band: self.band.previous().map(name),
            band_since: self.band.since(),
            coverage: breakdown.coverage,
            degraded: self.degraded.names(),
            overridden: self
                .overridden
                .as_ref()
                .and_then(|overridden| OverrideReport::of(overridden, card)),
            dimensions: dimensions.collect(),
            gates: gate_reports(card, &breakdown),
            alerts: self.alerts.iter().map(|standing| alert_report(card, standing)).collect(),
        }
    }
}

/// A dimension has data if any of its measures that count has; if all are only watched, if any has.
fn dimension_status(dimension: &Dimension, measures: &[MeasureScore]) -> MeasureStatus {
    let counts = |index: usize| dimension.measures[index].weight != 0.0;
    let any_counts = (0..measures.len()).any(counts);
    let any = |status| {
        let mut asked = measures.iter().enumerate().filter(|(i, _)| counts(*i) || !any_counts);
        asked.any(|(_, measure)| measure.status() == status)
    };
    if any(MeasureStatus::Ok) {
        MeasureStatus::Ok
    } else if any(MeasureStatus::Stale) {
        MeasureStatus::Stale
    } else {
        MeasureStatus::Missing
    }
}

fn gate_reports<'a>(card: &'a Scorecard, breakdown: &Breakdown) -> Vec<GateReport<'a>> {
    let (start, clamp) = match breakdown.start_and_clamp {
        Some((start, clamp)) => (Some(start), (clamp != 0.0).then_some(clamp)),
        None => (None, None),
    };
    let fixed = [
        start.map(|effect| GateReport { id: "start", effect, reason: "start value" }),
        clamp.map(|effect| GateReport { id: "clamp", effect, reason: "held within 0 to 100" }),
    ];
    let holding = card.gates.iter().zip(&breakdown.gates).filter_map(|(gate, effect)| {
        effect.map(|effect| GateReport { id: &gate.id, effect, reason: &gate.reason })
    });
    fixed.into_iter().flatten().chain(holding).collect()
}

fn alert_report<'a>(card: &'a Scorecard, standing: &AlertStanding) -> AlertReport<'a> {
    AlertReport {
        rule: &card.alerts[standing.rule].id,
        status: if standing.firing { "firing" } else { "pending" },
        severity: standing.severity,
        since: standing.since,
        feedback: standing.feedback.map(FeedbackKind::name),
    }
}

/// Everything about one account (domain page, section 7). Contributions and gate effects sum to the
/// score, to 1e-9. Nothing is rounded.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AccountReport<'a> {
    /// The account.
    pub account_id: &'a str,
    /// Task time of the report.
    pub as_of: EventTime,
    /// The scorecard's id.
    pub scorecard: &'a str,
    /// The hash of the scorecard's content.
    pub scorecard_hash: &'a str,
    /// 0..=100; `null` in grace and below the card's coverage.
    pub score: Option<f64>,
    /// The published band.
    pub band: &'a str,
    /// The band before it.
    pub previous_band: Option<&'a str>,
    /// When the band was entered.
    pub band_since: Option<EventTime>,
    /// Share of weight backed by data, 0..=1.
    pub coverage: f64,
    /// Sources whose outage holds this account's clock.
    pub degraded: Vec<&'a str>,
    /// The override that holds the band, while one runs.
    #[serde(rename = "override", skip_serializing_if = "Option::is_none")]
    pub overridden: Option<OverrideReport<'a>>,
    /// In the card's order.
    pub dimensions: Vec<DimensionReport<'a>>,
    /// Gates whose condition holds; under `signed` also start value and clamp.
    pub gates: Vec<GateReport<'a>>,
    /// Alerts that are not inactive.
    pub alerts: Vec<AlertReport<'a>>,
}

/// What somebody says the band is, whatever the score.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct OverrideReport<'a> {
    /// The band claimed.
    pub band: &'a str,
    /// The score it was claimed by, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// Whose word it is.
    pub author: &'a str,
    /// Why.
    pub reason: &'a str,
    /// Until when it holds.
    pub expires_at: EventTime,
}

impl<'a> OverrideReport<'a> {
    /// Nothing of a withdrawal.
    pub fn of(overridden: &'a Override, card: &'a Scorecard) -> Option<OverrideReport<'a>> {
        let claim = overridden.claim.as_ref()?;
        let (band, score) = match &claim.band {
            ClaimedBand::Name(name) => (name.as_str(), None),
            ClaimedBand::ScoreMilli(milli) => {
                let score = *milli as f64 / 1_000.0;
                (band_name(card, Some(card.band_of(score))), Some(score))
            }
        };
        Some(OverrideReport {
            band,
            score,
            author: &overridden.author,
            reason: &overridden.reason,
            expires_at: claim.expires_at,
        })
    }
}

/// One dimension of a report.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DimensionReport<'a> {
    /// Its id in the card.
    pub id: &'a str,
    /// Effective share of the whole score.
    pub weight: f64,
    /// 0..=100, of what has data; `null` with none.
    pub score: Option<f64>,
    /// By the card's edges.
    pub band: Option<&'a str>,
    /// Points it adds to the score.
    pub contribution: f64,
    /// `ok`, `stale` or `missing`.
    pub status: &'static str,
    /// In the card's order.
    pub measures: Vec<MeasureReport<'a>>,
}

/// One measure of a report.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct MeasureReport<'a> {
    /// Its id in the card.
    pub id: &'a str,
    /// What is read.
    pub measure: &'static str,
    /// Over how long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// What was read; `null` when missing.
    pub value: Option<f64>,
    /// 0..=100; `null` where the weight is redistributed.
    pub sub_score: Option<f64>,
    /// By the card's edges.
    pub band: Option<&'a str>,
    /// Effective share of the whole score.
    pub weight: f64,
    /// Points it adds to the score.
    pub contribution: f64,
    /// `ok`, `stale` or `missing`.
    pub status: &'static str,
    /// Why it is missing, where that needs saying: `warming up` after a change of rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
}

/// A gate that holds.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct GateReport<'a> {
    /// Its id in the card.
    pub id: &'a str,
    /// Points it adds to or takes from the score.
    pub effect: f64,
    /// For people.
    pub reason: &'a str,
}

/// An alert that is pending or firing.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AlertReport<'a> {
    /// The rule's id in the card.
    pub rule: &'a str,
    /// `pending` or `firing`.
    pub status: &'static str,
    /// The worst level reached; of a pending alert, the worst that holds.
    pub severity: Severity,
    /// Since when it fires, or its condition holds.
    pub since: EventTime,
    /// What somebody said of it last: `acknowledged`, `false_alarm`, `churned` or `renewed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feedback: Option<&'static str>,
}
