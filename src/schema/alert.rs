//! Alert rules as they are written, beside the rest of the scorecard.

#![expect(dead_code, reason = "only their shape is used")]

use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::scorecard::{OnProfile, exactly_one};
use super::value::{
    BandName, Duration, Name, Number, Points, PositiveDuration, PositiveShare, Score, Text,
};
use crate::engine::scorecard::{AlertKind, Severity};

/// A rule that fires once per episode and resolves.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, transform = one_kind)]
pub struct Alert {
    /// Its name; unique among the rules.
    id: Name,
    /// The score fell from its highest within a time.
    score_drop: Option<ScoreDrop>,
    /// The published band is one of these.
    band_entered: Option<OneOrMore<BandName>>,
    /// A measure of the card, by its id, compares so.
    measure: Option<Text>,
    /// With `measure`: `>`
    above: Option<Threshold<Number>>,
    /// With `measure`: `<`
    below: Option<Threshold<Number>>,
    /// With `measure`: `>=`
    at_least: Option<Threshold<Number>>,
    /// With `measure`: `<=`
    at_most: Option<Threshold<Number>>,
    /// Nobody used the product for a time.
    silence: Option<Silence>,
    /// The renewal is near and the band is one of these.
    renewal_at_risk: Option<RenewalAtRisk>,
    /// A band held for a time, and a measure that rises.
    opportunity: Option<Opportunity>,
    /// Data went missing.
    coverage: Option<Coverage>,
    /// Default `warning`, of an opportunity `info`; not beside levels, which say it themselves.
    severity: Option<Severity>,
    /// What to do.
    action: Option<Text>,
    /// Only for accounts whose profile is so.
    r#where: Option<OnProfile>,
    /// How long the condition must hold; default 0.
    hold: Option<Duration>,
    /// Least time from one firing to the next; default 0.
    cooldown: Option<Duration>,
}

/// One, or a list.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum OneOrMore<T> {
    One(T),
    More(#[schemars(length(min = 1))] Vec<T>),
}

/// One number, or one for each of several severities, a worse one harder to reach.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Threshold<T> {
    One(T),
    Levels(Levels<T>),
}

/// At least two severities.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("minProperties" = 2))]
struct Levels<T> {
    info: Option<T>,
    warning: Option<T>,
    critical: Option<T>,
}

/// The score is so many points below its highest within a time.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct ScoreDrop {
    /// How many.
    points: Threshold<Points>,
    /// How far back the highest is looked for; at least 1h.
    within: PositiveDuration,
    /// Only while the score is at most this.
    at_most: Option<Score>,
}

/// No usage event for this long, after there was one.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Silence {
    /// How long.
    r#for: Threshold<PositiveDuration>,
}

/// The profile's `renewal_at` is this near and the band is one of these.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct RenewalAtRisk {
    /// How near.
    within: Threshold<PositiveDuration>,
    /// The band, or several.
    bands: OneOrMore<BandName>,
}

/// A band held for a time, and a measure that rises.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Opportunity {
    /// The band, or several.
    band: OneOrMore<BandName>,
    /// For how long.
    r#for: Duration,
    /// The measure that rises.
    rising: Rising,
}

/// A measure of the card compares so.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("minProperties" = 2, "maxProperties" = 2))]
struct Rising {
    /// Its id.
    measure: Text,
    /// `>=`
    at_least: Option<Number>,
    /// `<=`
    at_most: Option<Number>,
    /// `>`
    above: Option<Number>,
    /// `<`
    below: Option<Number>,
    /// `=`
    equals: Option<Number>,
}

/// Less of the weight is backed by data than there was.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Coverage {
    /// Share of the weight, 0 to 1.
    below: Threshold<PositiveShare>,
}

/// One kind a rule, a comparison beside `measure` only, and a severity only where no level says it.
fn one_kind(schema: &mut Schema) {
    let comparisons = ["above", "below", "at_least", "at_most"];
    let none: Map<_, _> =
        comparisons.map(|key| (key.to_owned(), false.into())).into_iter().collect();
    let levels = json!({ "type": "object" });
    let in_kind = |kind: &str, key: &str| {
        let inside = json!({ "properties": { key: levels }, "required": [key] });
        json!({ "properties": { kind: inside }, "required": [kind] })
    };
    let beside = |key: &str| json!({ "properties": { key: levels }, "required": [key] });
    let mut with_levels: Vec<Value> = comparisons.map(beside).into();
    with_levels.extend([
        in_kind("score_drop", "points"),
        in_kind("silence", "for"),
        in_kind("renewal_at_risk", "within"),
        in_kind("coverage", "below"),
    ]);
    let rules = json!([
        {
            "if": { "required": ["measure"] },
            "then": { "oneOf": exactly_one(&comparisons) },
            "else": { "properties": none },
        },
        { "if": { "anyOf": with_levels }, "then": { "properties": { "severity": false } } },
    ]);
    schema.insert("oneOf".to_owned(), exactly_one(&AlertKind::KEYS));
    schema.insert("allOf".to_owned(), rules);
}
