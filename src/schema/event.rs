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

/// An answer to a survey, or an assessment by somebody.
#[derive(JsonSchema)]
pub struct SurveyEvent {
    #[serde(flatten)]
    origin: Origin,
    /// `nps` (0 to 10), `csat` (1 to 5), `ces` (1 to 7), or any other id, an assessment.
    #[schemars(length(max = 256))]
    survey: String,
    /// On the survey's scale.
    score: f64,
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
}

fn issued_is_due(schema: &mut Schema) {
    schema.insert("if".to_owned(), json!({ "properties": { "status": { "const": "issued" } } }));
    schema.insert("then".to_owned(), json!({ "required": ["due_at"] }));
}
