//! The events and profiles that are read: the mirror of `engine/event`. Unknown fields are ignored,
//! and null is an absent field.

#![expect(dead_code, reason = "only their shape is used")]

use schemars::{JsonSchema, Schema};
use serde_json::json;

use super::value::{PaymentStatusName, PriorityName, ProfileStatusName, TicketStatusName};

/// What every event has.
#[derive(JsonSchema)]
struct Origin {
    /// Unique within its source: the same again changes nothing.
    #[schemars(length(min = 1, max = 256))]
    event_id: String,
    /// The account, which is the record's key too.
    #[schemars(length(min = 1, max = 256))]
    account_id: String,
    /// When it happened.
    occurred_at: Instant,
}

/// RFC 3339 with offset, or whole milliseconds since 1970.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Instant {
    Text(#[schemars(extend("format" = "date-time"))] String),
    Millis(#[schemars(range(min = 0))] i64),
}

/// One use of the product.
#[derive(JsonSchema)]
pub struct UsageEvent {
    #[serde(flatten)]
    origin: Origin,
    /// Who used it.
    #[schemars(length(max = 256))]
    user_id: Option<String>,
    /// What was used.
    #[schemars(length(max = 256))]
    feature: String,
    /// How much of it; default 1.
    #[schemars(range(min = 0))]
    quantity: Option<f64>,
}

/// A ticket's change of status.
#[derive(JsonSchema)]
pub struct TicketEvent {
    #[serde(flatten)]
    origin: Origin,
    /// The ticket.
    #[schemars(length(max = 256))]
    ticket_id: String,
    /// What became of it.
    status: TicketStatusName,
    /// Default `normal`, for a ticket's first record.
    priority: Option<PriorityName>,
    /// Any text.
    #[schemars(length(max = 256))]
    category: Option<String>,
}

/// An invoice's change of status.
#[derive(JsonSchema)]
#[schemars(transform = issued_is_due)]
pub struct PaymentEvent {
    #[serde(flatten)]
    origin: Origin,
    /// The invoice.
    #[schemars(length(max = 256))]
    invoice_id: String,
    /// What became of it.
    status: PaymentStatusName,
    /// In minor units, such as cents.
    #[schemars(range(min = 0))]
    amount_minor: i64,
    /// ISO 4217.
    #[schemars(extend("pattern" = "^[A-Z]{3}$"))]
    currency: String,
    /// When it has to be paid; required where it is `issued`.
    due_at: Option<Instant>,
}

/// An answer to a survey, or an assessment by somebody; an override of the band; feedback on an alert.
#[derive(JsonSchema)]
#[schemars(transform = answer_or_judgement)]
pub struct SurveyEvent {
    #[serde(flatten)]
    origin: Origin,
    /// `nps` (0 to 10), `csat` (1 to 5), `ces` (1 to 7), or any other id, an assessment.
    #[schemars(length(max = 256))]
    survey: Option<String>,
    /// On the survey's scale; of an override 0 to 100, instead of a band.
    score: Option<f64>,
    /// Says what the band is until `expires_at`, or with `cancel` takes that back.
    #[serde(rename = "override")]
    overrides: Option<bool>,
    /// Of an override: the band's name in the scorecard.
    #[schemars(length(max = 256))]
    band: Option<String>,
    /// Of an override: whose word it is.
    #[schemars(length(max = 256))]
    author: Option<String>,
    /// Of an override: why.
    #[schemars(length(max = 256))]
    reason: Option<String>,
    /// Of an override: later than `occurred_at`.
    expires_at: Option<Instant>,
    /// Of an override: takes the one that runs back.
    cancel: Option<bool>,
    /// On an alert: what came of it.
    feedback: Option<FeedbackName>,
    /// Of feedback: the alert rule; without it every alert of the account that fires.
    #[schemars(length(max = 256))]
    rule: Option<String>,
    /// Of an assessment; default 0.
    scale_min: Option<f64>,
    /// Of an assessment; default 100.
    scale_max: Option<f64>,
    /// Who answered.
    #[schemars(length(max = 256))]
    respondent_id: Option<String>,
    /// Their role.
    #[schemars(length(max = 256))]
    role: Option<String>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum FeedbackName {
    Acknowledged,
    FalseAlarm,
    Churned,
    Renewed,
}

/// Which fields have to be there, by what the record is.
fn answer_or_judgement(schema: &mut Schema) {
    let is = |key: &str| json!({ "properties": { key: { "const": true } }, "required": [key] });
    let claims = |key: &str| json!({ "allOf": [is("override"), { "required": [key, "author", "reason", "expires_at"] }] });
    let kinds = json!([
        { "required": ["survey", "score"] },
        { "required": ["feedback"] },
        claims("band"),
        claims("score"),
        { "allOf": [is("override"), is("cancel"), { "required": ["author", "reason"] }] },
    ]);
    schema.insert("anyOf".to_owned(), kinds);
}

/// What is known of an account; each record replaces the one before, a tombstone forgets it.
#[derive(JsonSchema)]
pub struct AccountProfile {
    #[serde(flatten)]
    origin: Origin,
    name: Option<String>,
    segment: Option<String>,
    tier: Option<String>,
    industry: Option<String>,
    size: Option<String>,
    lifecycle_stage: Option<String>,
    #[schemars(range(min = 0))]
    seats: Option<i64>,
    #[schemars(range(min = 0))]
    arr_minor: Option<i64>,
    #[schemars(extend("pattern" = "^[A-Z]{3}$"))]
    currency: Option<String>,
    owner: Option<String>,
    owner_email: Option<String>,
    started_at: Option<Instant>,
    renewal_at: Option<Instant>,
    status: Option<ProfileStatusName>,
    parent_account_id: Option<String>,
    recovery_path: Option<bool>,
    tags: Option<Vec<String>>,
    /// With `true` this is no profile: everything known of the account is erased.
    forget: Option<bool>,
}

fn issued_is_due(schema: &mut Schema) {
    schema.insert("if".to_owned(), json!({ "properties": { "status": { "const": "issued" } } }));
    schema.insert("then".to_owned(), json!({ "required": ["due_at"] }));
}
