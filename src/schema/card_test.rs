//! Tests of scorecards as they are written: the mirror of what `card_test` reads.

#![expect(dead_code, reason = "only their shape is used")]

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

use super::scorecard::exactly_one;
use super::settings::OnOff;
use super::value::{
    Duration, Instant, Number, PaymentStatusName, PositiveDuration, PriorityName,
    ProfileStatusName, Text, TicketStatusName,
};

/// Tests of a scorecard in a file of their own.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, transform = one_card)]
pub struct CardTests {
    /// For people.
    description: Option<Text>,
    /// The card they test; relative paths start at this file's directory.
    scorecard_file: Option<Text>,
    /// Or the name of one that comes with the product.
    preset: Option<Text>,
    /// The cases.
    tests: Vec<Case>,
}

/// What happens to one account, and what is expected of it.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Case {
    /// A sentence that says what holds; unique in the file.
    name: Text,
    /// What every `at` counts from; default 2026-01-01T00:00:00Z.
    start: Option<Instant>,
    /// Before this, bands and alerts are set in silence, as on a first start over history.
    publish_from: Option<Duration>,
    /// Whether outages of whole sources are watched for; default off.
    outage_guard: Option<OnOff>,
    /// What happens. A list in the list is a history shared by an anchor.
    given: Option<Vec<EntryOrHistory>>,
    /// At least one.
    #[schemars(length(min = 1))]
    expect: Vec<Expectation>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
enum EntryOrHistory {
    Entry(Box<Entry>),
    History(Vec<Entry>),
}

/// Events at a time, of one source or several.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, transform = some_source)]
struct Entry {
    /// When, from the start of the case.
    at: Duration,
    /// To which account; there is one unless several are named.
    account: Option<Text>,
    /// How long after it happened it is learnt of; default 0.
    late_by: Option<Duration>,
    /// More than once.
    repeat: Option<Repeat>,
    /// Use of the product.
    usage: Option<OneOrMore<Usage>>,
    /// Tickets.
    ticket: Option<OneOrMore<Ticket>>,
    /// Invoices.
    payment: Option<OneOrMore<Payment>>,
    /// Answers and assessments.
    survey: Option<OneOrMore<Survey>>,
    /// The whole profile anew, or `gone`.
    profile: Option<OneOrMore<ProfileOrGone>>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
enum OneOrMore<T> {
    One(T),
    More(#[schemars(length(min = 1))] Vec<T>),
}

/// How often.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Repeat {
    /// How long apart.
    every: PositiveDuration,
    /// How many in all.
    #[schemars(range(min = 1, max = 100_000))]
    times: i64,
}

/// `12` or `[ann, bob]`.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum People {
    HowMany(#[schemars(range(min = 1, max = 10_000))] i64),
    Who(#[schemars(length(min = 1))] Vec<Text>),
}

/// Use of the product: one event for each user and feature.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Usage {
    /// How many users, or who.
    users: Option<People>,
    /// One user; `#` becomes the number of the repetition.
    user_id: Option<Text>,
    /// Default `product`.
    feature: Option<Text>,
    /// Several.
    #[schemars(length(min = 1))]
    features: Option<Vec<Text>>,
    /// Default 1.
    quantity: Option<Number>,
}

/// A ticket's change of status.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Ticket {
    /// `#` becomes the number of the repetition.
    ticket_id: Option<Text>,
    /// What became of it.
    status: TicketStatusName,
    /// Default `normal`.
    priority: Option<PriorityName>,
    /// Any text.
    category: Option<Text>,
}

/// An invoice's change of status.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Payment {
    /// `#` becomes the number of the repetition.
    invoice_id: Option<Text>,
    /// What became of it.
    status: PaymentStatusName,
    /// Default 100000.
    #[schemars(range(min = 0))]
    amount_minor: Option<i64>,
    /// Default `EUR`.
    currency: Option<Text>,
    /// Needed where it is `issued`.
    due_at: Option<TestInstant>,
}

/// An instant, a time from the start (`30d`, `-400d`) or from the event (`+30d`).
#[derive(JsonSchema)]
#[schemars(untagged)]
enum TestInstant {
    Instant(Instant),
    Relative(#[schemars(extend("pattern" = r"^[+-]?\s*([0-9]+(ms|w|d|h|m|s))+\s*$"))] String),
}

/// An answer or an assessment.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Survey {
    /// `nps`, `csat`, `ces` or any other id.
    survey: Option<Text>,
    /// On the survey's scale.
    score: Option<Number>,
    /// Says what the band is, by `band` or `score`, until `expires_at`.
    #[serde(rename = "override")]
    overrides: Option<bool>,
    /// Of an override: the band's name.
    band: Option<Text>,
    /// Of an override: whose word it is.
    author: Option<Text>,
    /// Of an override: why.
    reason: Option<Text>,
    /// Of an override: until when.
    expires_at: Option<TestInstant>,
    /// Of an override: takes it back.
    cancel: Option<bool>,
    /// On an alert: `acknowledged`, `false_alarm`, `churned` or `renewed`.
    feedback: Option<Text>,
    /// Of feedback: the alert rule.
    rule: Option<Text>,
    /// Of an assessment; default 0.
    scale_min: Option<Number>,
    /// Of an assessment; default 100.
    scale_max: Option<Number>,
    /// How many respondents, or who.
    respondents: Option<People>,
    /// One respondent; `#` becomes the number of the repetition.
    respondent_id: Option<Text>,
    /// Their role.
    role: Option<Text>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
enum ProfileOrGone {
    Profile(Box<Profile>),
    Gone(#[schemars(extend("const" = "gone"))] String),
}

/// The account's profile.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Profile {
    name: Option<Text>,
    segment: Option<Text>,
    tier: Option<Text>,
    industry: Option<Text>,
    size: Option<Text>,
    lifecycle_stage: Option<Text>,
    #[schemars(range(min = 0))]
    seats: Option<i64>,
    #[schemars(range(min = 0))]
    arr_minor: Option<i64>,
    currency: Option<Text>,
    owner: Option<Text>,
    owner_email: Option<Text>,
    started_at: Option<TestInstant>,
    renewal_at: Option<TestInstant>,
    status: Option<ProfileStatusName>,
    parent_account_id: Option<Text>,
    recovery_path: Option<bool>,
    tags: Option<Vec<Text>>,
}

/// What is expected at an instant, after everything that happens at it.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Expectation {
    /// When, from the start of the case.
    at: Duration,
    /// Of which account; there is one unless several are named.
    account: Option<Text>,
    /// How far a number may be off; default 0.01.
    #[schemars(range(min = 0.0, max = 1e12))]
    tolerance: Option<f64>,
    /// The score.
    score: Option<Expected>,
    /// The published band.
    band: Option<Text>,
    /// Share of the weight backed by data.
    coverage: Option<Expected>,
    /// Scores of dimensions, by id.
    dimensions: Option<BTreeMap<String, Expected>>,
    /// What was measured, by measure.
    values: Option<BTreeMap<String, Expected>>,
    /// What the curves made of it, by measure.
    sub_scores: Option<BTreeMap<String, Expected>>,
    /// Effective shares of the score, by measure.
    weights: Option<BTreeMap<String, Expected>>,
    /// Points, by measure.
    contributions: Option<BTreeMap<String, Expected>>,
    /// All gates that hold.
    gates: Option<Vec<Text>>,
    /// All alert rules that are firing.
    firing: Option<Vec<Text>>,
    /// All that fired since the expectation before, with repeats.
    fired: Option<Vec<Text>>,
    /// All that became worse since the expectation before, with repeats.
    escalated: Option<Vec<Text>>,
    /// All that were resolved since the expectation before, with repeats.
    resolved: Option<Vec<Text>>,
    /// All sources whose outage holds the account's clock.
    degraded: Option<Vec<GuardedSource>>,
    /// All sources whose outage the operators were told of since the expectation before.
    operator_alerts: Option<Vec<GuardedSource>>,
    /// How often the band changed since the expectation before.
    band_changes: Option<Expected>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum GuardedSource {
    Usage,
    Support,
    Payment,
    Survey,
}

/// A number that is expected.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Expected {
    About(Number),
    Missing(#[schemars(extend("const" = "missing"))] String),
    Between(Between),
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("minProperties" = 1))]
struct Between {
    at_least: Option<Number>,
    at_most: Option<Number>,
}

fn one_card(schema: &mut Schema) {
    schema.insert("oneOf".to_owned(), exactly_one(&["scorecard_file", "preset"]));
}

fn some_source(schema: &mut Schema) {
    let sources = ["usage", "ticket", "payment", "survey", "profile"];
    let any: Value = sources.iter().map(|source| json!({ "required": [source] })).collect();
    schema.insert("anyOf".to_owned(), any);
}
