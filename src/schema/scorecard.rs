//! A scorecard as it is written: the mirror of what `engine/scorecard/parse` reads.
//!
//! These types are never made; they are the text that the JSON Schema is derived from. That they
//! know the same keys as the reader is held by a test.

#![expect(dead_code, reason = "only their shape is used")]

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

use super::alert::Alert;
use super::card_test::Case;
use super::value::{
    Color, Duration, EventText, MeasureName, Name, Number, Points, Positive, PositiveDuration,
    PriorityName, ProfileStatusName, Score, Share, Text, UrgencyName, names,
};
use crate::engine::scorecard::{MeasureKind, WindowUse};

/// What makes an account healthy: measures, what they are worth, bands and alerts.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, transform = worth_follows_combine, transform = one_band_ends_at_100)]
pub struct Scorecard {
    /// The card's id, as it stands in every record.
    scorecard: Name,
    /// For people.
    description: Option<Text>,
    /// How dimensions make the score; default `weighted`.
    combine: Option<Combine>,
    /// Where the weight of a missing measure goes; default `dimension`.
    redistribute: Option<Redistribute>,
    /// Named groups of measures.
    #[schemars(length(min = 1))]
    dimensions: Vec<Dimension>,
    /// Limits on the score while a condition holds, applied in this order.
    gates: Option<Vec<Gate>>,
    /// Worst first; the last one ends with `up_to: 100`.
    #[schemars(length(min = 1))]
    bands: Vec<Band>,
    /// What keeps the band from flapping.
    anti_flap: Option<AntiFlap>,
    /// Share of the weight that must be backed by data, else there is no score; default 0.5.
    min_coverage: Option<Share>,
    /// No score for this long after the account's start; default 0d.
    grace: Option<Duration>,
    /// How long settled tickets and invoices are kept for late statuses; default 90d.
    item_horizon: Option<PositiveDuration>,
    /// Rules that fire and resolve.
    #[schemars(length(max = 64))]
    alerts: Option<Vec<Alert>>,
    /// Who looks after accounts whose profile names nobody.
    owner: Option<Text>,
    /// Cases that `barometer test` runs.
    tests: Option<Vec<Case>>,
}

/// How a card combines its parts into one score.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case", deny_unknown_fields)]
enum Combine {
    /// By weights, normalised.
    Weighted,
    /// All dimensions alike.
    Mean,
    /// Each measure is worth points instead of a weight; they must total 100.
    Points,
    /// Points above and below 0 are added to `start`.
    Signed {
        /// The score before any action counts.
        start: Score,
    },
}

/// Where the weight of a missing measure goes.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Redistribute {
    /// To the rest of its dimension; an empty dimension's to the others.
    Dimension,
    /// To all measures of the card.
    Card,
}

/// A named group of measures.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Dimension {
    /// Its name in reports; unique among the dimensions.
    id: Name,
    /// Weight in the card, normalised; 0 only watches. Default 1.
    weight: Option<Positive>,
    /// How its measures count; default `weighted`.
    combine: Option<WithinDimension>,
    /// What is read.
    #[schemars(length(min = 1))]
    measures: Vec<Measure>,
}

/// How measures count within a dimension.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum WithinDimension {
    /// By weights, normalised.
    Weighted,
    /// All alike that have a weight.
    Mean,
}

/// One number read from an account's history, and what it is worth.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, transform = keys_follow_the_kind)]
struct Measure {
    /// Its name in reasons, reports and tests; unique in the card.
    id: Name,
    /// What is read.
    measure: MeasureName,
    /// How far back it looks, in whole panes.
    window: Option<PositiveDuration>,
    /// The window before, for `usage.trend` and `payment.growth`.
    baseline: Option<PositiveDuration>,
    /// Length of a pane; at most 192 of them, and they must divide the window.
    pane: Option<PositiveDuration>,
    /// `usage.trend` only: events added to both sides; default 0.
    prior: Option<Positive>,
    /// Weight in its dimension; 0 is watched, not counted. Default 1.
    weight: Option<Positive>,
    /// Under `combine: points` and `signed`, instead of `weight`.
    points: Option<Number>,
    /// From the value to a sub-score.
    curve: Curve,
    /// What a missing value counts as; default `redistribute`.
    missing: Option<Missing>,
    /// A reading older than this is missing.
    stale_after: Option<PositiveDuration>,
    /// Usage: only events of these features.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    features: Option<Vec<EventText>>,
    /// Support: only tickets of these categories.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    categories: Option<Vec<EventText>>,
    /// Support: only tickets of these priorities.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    priorities: Option<Vec<PriorityName>>,
    /// Survey: only answers to these.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    surveys: Option<Vec<EventText>>,
    /// Survey: only answers of these roles.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    roles: Option<Vec<EventText>>,
}

/// From a measure's value to a sub-score of 0 to 100.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case", deny_unknown_fields)]
enum Curve {
    /// 0 at `from`, 100 at `to`, a straight line between, flat outside.
    Linear {
        /// The value that scores 0.
        from: Number,
        /// The value that scores 100; less than `from` where lower is better.
        to: Number,
    },
    /// Straight lines between `[value, sub-score]`, flat outside.
    Piecewise(#[schemars(length(min = 1))] Vec<(Number, Score)>),
    /// The sub-score of the last step at or below the value.
    Steps(#[schemars(length(min = 1))] Vec<(Number, Score)>),
    /// These values exactly; any other is missing.
    Map(
        #[schemars(extend(
            "minProperties" = 1,
            "propertyNames" = json!({ "pattern": r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$" })
        ))]
        BTreeMap<String, Score>,
    ),
}

/// What a missing value counts as.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Missing {
    /// In words.
    Word(MissingWord),
    /// This sub-score.
    SubScore(Score),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum MissingWord {
    /// Its weight goes to the others.
    Redistribute,
    /// Sub-score 0.
    Zero,
    /// Sub-score 50.
    Neutral,
}

/// A limit on the score while a condition holds.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, transform = cap_or_floor)]
struct Gate {
    /// Its name in reports; unique among the gates.
    id: Name,
    /// The score is at most this.
    cap: Option<Score>,
    /// The score is at least this.
    floor: Option<Score>,
    /// When it does.
    when: Condition,
    /// For people.
    reason: Text,
}

/// A condition on one account. On a missing measure or profile field it does not hold.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Condition {
    /// On a measure of the card.
    Measure(OnMeasure),
    /// On a field of the profile.
    Profile(ProfileCondition),
    /// All of these hold.
    All(All<Condition>),
    /// Any of these holds.
    Any(Any<Condition>),
    /// This does not hold.
    Not(Not<Condition>),
}

/// A condition on the account's profile. On a missing field it does not hold.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum OnProfile {
    /// On a field of the profile.
    Profile(ProfileCondition),
    /// All of these hold.
    All(All<OnProfile>),
    /// Any of these holds.
    Any(Any<OnProfile>),
    /// This does not hold.
    Not(Not<OnProfile>),
}

/// A measure compares so with a number.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("minProperties" = 2, "maxProperties" = 2))]
struct OnMeasure {
    /// The measure's id in this card.
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

/// All of these hold.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
pub struct All<C> {
    /// Conditions.
    #[schemars(length(min = 1))]
    all: Vec<C>,
}

/// Any of these holds.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
pub struct Any<C> {
    /// Conditions.
    #[schemars(length(min = 1))]
    any: Vec<C>,
}

/// This does not hold.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
pub struct Not<C> {
    /// A condition.
    not: Box<C>,
}

/// A field of the account's profile compares so.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum ProfileCondition {
    /// A text, or any of the tags.
    Text(OnText),
    /// A number.
    Number(OnNumber),
    /// The customer's status.
    Status(OnStatus),
    /// Yes or no.
    Flag(OnFlag),
}

/// A text field is one of these; `tags` holds one of these.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("minProperties" = 2, "maxProperties" = 2))]
pub struct OnText {
    /// Which field.
    profile: TextField,
    /// Exactly this.
    is: Option<Text>,
    /// Any of these.
    #[schemars(length(min = 1))]
    r#in: Option<Vec<Text>>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum TextField {
    Name,
    Segment,
    Tier,
    Industry,
    Size,
    LifecycleStage,
    Currency,
    Owner,
    OwnerEmail,
    ParentAccountId,
    Tags,
}

/// A number field compares so.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("minProperties" = 2, "maxProperties" = 2))]
pub struct OnNumber {
    /// Which field.
    profile: NumberField,
    /// `=`
    is: Option<Number>,
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

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum NumberField {
    Seats,
    ArrMinor,
}

/// The status is one of these.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("minProperties" = 2, "maxProperties" = 2))]
pub struct OnStatus {
    /// `status`
    profile: StatusField,
    /// Exactly this.
    is: Option<ProfileStatusName>,
    /// Any of these.
    #[schemars(length(min = 1))]
    r#in: Option<Vec<ProfileStatusName>>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum StatusField {
    Status,
}

/// A yes-or-no field is this.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct OnFlag {
    /// `recovery_path`
    profile: FlagField,
    /// `true` or `false`.
    is: bool,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum FlagField {
    RecoveryPath,
}

/// One band of the traffic light.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, transform = up_to_or_below)]
struct Band {
    /// Its name; `unknown` is taken.
    #[schemars(length(max = 64), extend("not" = json!({ "const": "unknown" })))]
    name: Text,
    /// Scores up to and including this.
    up_to: Option<Score>,
    /// Scores below this.
    below: Option<Score>,
    /// For dashboards.
    color: Option<Color>,
    /// What to do with an account in it.
    action: Option<Text>,
    /// How soon.
    urgency: Option<UrgencyName>,
    /// Parts of it with a recommendation of their own; the first that holds the account counts.
    #[schemars(length(min = 1))]
    sub_bands: Option<Vec<SubBand>>,
}

/// A part of a band: by score, by profile, or by both.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, transform = by_score_or_profile)]
struct SubBand {
    /// Its name.
    name: Name,
    /// Scores up to and including this.
    up_to: Option<Score>,
    /// Scores below this.
    below: Option<Score>,
    /// Accounts whose profile is so.
    when: Option<OnProfile>,
    /// What to do with an account in it.
    action: Option<Text>,
    /// How soon.
    urgency: Option<UrgencyName>,
}

/// What keeps the band from flapping.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("type" = ["object", "null"]))]
struct AntiFlap {
    /// Points past its edge before a band is left; default 5.
    margin: Option<Score>,
    /// How long the score must stay past the edge.
    dwell: Option<Dwell>,
    /// A fall of this many points since the last band change does not wait; default 25.
    bypass_drop: Option<Points>,
}

/// How long the score must stay past the edge.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("type" = ["object", "null"]))]
struct Dwell {
    /// Before a worse band; default 1h.
    worse: Option<Duration>,
    /// Before a better band; default 14d.
    better: Option<Duration>,
}

/// Exactly one of `keys`.
pub(super) fn exactly_one(keys: &[&str]) -> Value {
    keys.iter().map(|key| json!({ "required": [key] })).collect()
}

fn cap_or_floor(schema: &mut Schema) {
    schema.insert("oneOf".to_owned(), exactly_one(&["cap", "floor"]));
}

fn up_to_or_below(schema: &mut Schema) {
    schema.insert("oneOf".to_owned(), exactly_one(&["up_to", "below"]));
}

fn by_score_or_profile(schema: &mut Schema) {
    schema.insert("anyOf".to_owned(), exactly_one(&["up_to", "below", "when"]));
    schema.insert("not".to_owned(), json!({ "required": ["up_to", "below"] }));
}

/// Edges rise, so the band that ends at 100 is the last one.
fn one_band_ends_at_100(schema: &mut Schema) {
    let ends = json!({ "properties": { "up_to": { "const": 100 } }, "required": ["up_to"] });
    let bands = schema.pointer_mut("/properties/bands").and_then(Value::as_object_mut);
    bands.expect("a card has bands").insert("contains".to_owned(), ends);
}

/// `points` where the card combines points, `weight` elsewhere.
fn worth_follows_combine(schema: &mut Schema) {
    let each_measure = |measure: Value, dimension: Value| {
        let mut properties = json!({ "measures": { "items": measure } });
        let own = properties.as_object_mut().expect("it is written as one");
        own.extend(dimension.as_object().expect("it is written as one").clone());
        json!({ "properties": { "dimensions": { "items": { "properties": properties } } } })
    };
    let unsigned = json!({
        "properties": { "weight": false, "points": { "minimum": 0 } }, "required": ["points"],
    });
    let signed = json!({ "properties": { "weight": false }, "required": ["points"] });
    let weighted = json!({ "properties": { "points": false } });
    let no_weight = json!({ "weight": false, "combine": false });
    let combine =
        |what: Value| json!({ "properties": { "combine": what }, "required": ["combine"] });
    let rules = json!([
        { "if": combine(json!({ "const": "points" })), "then": each_measure(unsigned, no_weight.clone()) },
        { "if": combine(json!({ "type": "object" })), "then": each_measure(signed, no_weight) },
        {
            "if": { "properties": { "combine": { "enum": ["weighted", "mean"] } } },
            "then": each_measure(weighted, json!({})),
        },
    ]);
    schema.insert("allOf".to_owned(), rules);
}

/// Windows and filters only where the kind of measure reads them, and there required.
fn keys_follow_the_kind(schema: &mut Schema) {
    let kinds = |wanted: &dyn Fn(&str, MeasureKind) -> bool| {
        let own = MeasureKind::NAMES.into_iter().filter(|(name, kind)| wanted(name, *kind));
        names(&own.collect::<Vec<_>>())
    };
    let rule = |kinds: Vec<Value>, then: Value| {
        let kind =
            json!({ "properties": { "measure": { "enum": kinds } }, "required": ["measure"] });
        json!({ "if": kind, "then": then })
    };
    let none = kinds(&|_, kind| kind.window_use() == WindowUse::None);
    let one = kinds(&|_, kind| kind.window_use() == WindowUse::Window);
    let not_of = |source: &'static str| kinds(&|name, _| !name.starts_with(source));
    let rules = json!([
        rule(none, json!({ "properties": { "window": false, "baseline": false, "pane": false } })),
        rule(one, json!({ "properties": { "baseline": false }, "required": ["window"] })),
        rule(names(&[("usage.trend", ())]), json!({ "required": ["window", "baseline"] })),
        rule(
            names(&[("payment.growth", ())]),
            json!({ "dependencies": { "window": ["baseline"], "baseline": ["window"] } }),
        ),
        rule(
            kinds(&|_, kind| kind != MeasureKind::UsageTrend),
            json!({ "properties": { "prior": false } }),
        ),
        rule(not_of("usage."), json!({ "properties": { "features": false } })),
        rule(
            not_of("support."),
            json!({ "properties": { "categories": false, "priorities": false } }),
        ),
        rule(not_of("survey."), json!({ "properties": { "surveys": false, "roles": false } })),
        rule(
            names(&[("survey.assessment", ())]),
            json!({
                "properties": { "surveys": { "items": { "not": { "enum": ["nps", "csat", "ces"] } } } },
                "required": ["surveys"],
            }),
        ),
        rule(
            names(&[("survey.nps", ())]),
            json!({ "properties": { "surveys": { "const": ["nps"] } } })
        ),
        rule(
            names(&[("survey.csat", ())]),
            json!({ "properties": { "surveys": { "const": ["csat"] } } })
        ),
        rule(
            names(&[("survey.ces", ())]),
            json!({ "properties": { "surveys": { "const": ["ces"] } } })
        ),
    ]);
    schema.insert("allOf".to_owned(), rules);
}
