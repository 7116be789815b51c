//! Input records and the typed events read from their JSON bodies.
//!
//! Bodies are taken as valid: a missing or wrong field panics. Leaves out every check of
//! section 2 (sizes, scales, skew), which belongs to the engine's own parser.

use serde_json::Value;

pub const MINUTE_MS: i64 = 60_000;
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// In the order of section 2's table, which also orders records of one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    Usage,
    Ticket,
    Payment,
    Survey,
    Profile,
}

impl Source {
    /// Those whose outages are noticed.
    pub const GUARDED: [Source; 4] =
        [Source::Usage, Source::Ticket, Source::Payment, Source::Survey];

    /// As in `degraded`.
    pub fn name(self) -> &'static str {
        match self {
            Source::Usage => "usage",
            Source::Ticket => "support",
            Source::Payment => "payment",
            Source::Survey => "survey",
            Source::Profile => "account",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Record {
    pub source: Source,
    pub account_id: String,
    pub record_time_ms: i64,
    /// The JSON body; `Value::Null` for a tombstone.
    pub value: Value,
    pub tombstone: bool,
}

impl Record {
    pub fn new(source: Source, record_time_ms: i64, value: Value) -> Record {
        let account_id = text(&value, "account_id").expect("a body names its account");
        Record { source, account_id, record_time_ms, value, tombstone: false }
    }

    /// A record whose record time is its `occurred_at`, as for a bare line of `replay`.
    pub fn on_time(source: Source, value: Value) -> Record {
        let at = instant_ms(&value["occurred_at"]);
        Record::new(source, at, value)
    }

    /// Forgets the profile of `account_id`.
    pub fn tombstone(account_id: &str, record_time_ms: i64) -> Record {
        Record {
            source: Source::Profile,
            account_id: account_id.to_string(),
            record_time_ms,
            value: Value::Null,
            tombstone: true,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Usage {
    pub at: i64,
    pub user_id: Option<String>,
    pub feature: String,
    pub quantity_thousandths: i64,
}

impl Usage {
    pub fn read(body: &Value) -> Usage {
        Usage {
            at: instant_ms(&body["occurred_at"]),
            user_id: text(body, "user_id"),
            feature: text(body, "feature").expect("usage names a feature"),
            quantity_thousandths: thousandths(body, "quantity").unwrap_or(1_000),
        }
    }
}

pub const TICKET_STATUSES: [&str; 6] =
    ["opened", "pending", "escalated", "resolved", "reopened", "closed"];

pub const PAYMENT_STATUSES: [&str; 7] =
    ["issued", "paid", "failed", "reminded", "refunded", "disputed", "voided"];

/// One status of a ticket or of an invoice. The fields of the other kind stay empty.
#[derive(Clone, Debug)]
pub struct Status {
    pub item_id: String,
    pub event_id: String,
    pub at: i64,
    pub status: &'static str,
    /// Place in the table of section 2, which decides between statuses of one instant.
    pub rank: usize,
    pub priority: Option<String>,
    pub category: Option<String>,
    pub amount_minor: i64,
    pub currency: String,
    pub due_at: Option<i64>,
}

impl Status {
    pub fn ticket(body: &Value) -> Status {
        let (rank, status) = ranked(&TICKET_STATUSES, body);
        Status {
            item_id: text(body, "ticket_id").expect("a ticket status names its ticket"),
            event_id: text(body, "event_id").expect("a ticket status has an event id"),
            at: instant_ms(&body["occurred_at"]),
            status,
            rank,
            priority: text(body, "priority"),
            category: text(body, "category"),
            amount_minor: 0,
            currency: String::new(),
            due_at: None,
        }
    }

    pub fn payment(body: &Value) -> Status {
        let (rank, status) = ranked(&PAYMENT_STATUSES, body);
        let due_at = &body["due_at"];
        Status {
            item_id: text(body, "invoice_id").expect("a payment names its invoice"),
            event_id: text(body, "event_id").expect("a payment has an event id"),
            at: instant_ms(&body["occurred_at"]),
            status,
            rank,
            priority: None,
            category: None,
            amount_minor: body["amount_minor"].as_i64().expect("a payment has an amount"),
            currency: text(body, "currency").expect("a payment has a currency"),
            due_at: (status == "issued" && !due_at.is_null()).then(|| instant_ms(due_at)),
        }
    }

    /// What decides which of two statuses of one item is the later.
    pub fn order(&self) -> (i64, usize, &str) {
        (self.at, self.rank, &self.event_id)
    }
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub at: i64,
    pub event_id: String,
    pub survey: String,
    pub respondent_id: Option<String>,
    pub role: Option<String>,
    pub score_thousandths: i64,
    pub scale_min_thousandths: i64,
    pub scale_max_thousandths: i64,
}

impl Answer {
    pub fn read(body: &Value) -> Answer {
        let survey = text(body, "survey").expect("an answer names its survey");
        let (low, high) = match survey.as_str() {
            "nps" => (0, 10_000),
            "csat" => (1_000, 5_000),
            "ces" => (1_000, 7_000),
            _ => (
                thousandths(body, "scale_min").unwrap_or(0),
                thousandths(body, "scale_max").unwrap_or(100_000),
            ),
        };
        Answer {
            at: instant_ms(&body["occurred_at"]),
            event_id: text(body, "event_id").expect("an answer has an event id"),
            survey,
            respondent_id: text(body, "respondent_id"),
            role: text(body, "role"),
            score_thousandths: thousandths(body, "score").expect("an answer has a score"),
            scale_min_thousandths: low,
            scale_max_thousandths: high,
        }
    }

    /// The score on a scale of 0 to 100.
    pub fn percent(&self) -> f64 {
        let above = (self.score_thousandths - self.scale_min_thousandths) as f64;
        let width = (self.scale_max_thousandths - self.scale_min_thousandths) as f64;
        100.0 * above / width
    }
}

/// A manager's word on the band, or its withdrawal.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    pub at: i64,
    pub event_id: String,
    pub author: String,
    pub reason: String,
    /// Nothing for a withdrawal.
    pub claim: Option<Claim>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// A band by its name, or else by the score it holds.
    pub band: Option<String>,
    pub score: Option<f64>,
    pub expires_at: i64,
}

impl Override {
    /// Nothing if the survey record is something else.
    pub fn read(body: &Value) -> Option<Override> {
        if body["override"] != true {
            return None;
        }
        let claim = || Claim {
            band: text(body, "band"),
            score: body["score"].as_f64(),
            expires_at: instant_ms(&body["expires_at"]),
        };
        Some(Override {
            at: instant_ms(&body["occurred_at"]),
            event_id: text(body, "event_id").expect("an override has an event id"),
            author: text(body, "author").expect("an override has an author"),
            reason: text(body, "reason").expect("an override has a reason"),
            claim: (body["cancel"] != true).then(claim),
        })
    }

    /// What decides which of two is the later.
    pub fn order(&self) -> (i64, &str) {
        (self.at, &self.event_id)
    }
}

/// RFC 3339 text or epoch milliseconds; below the millisecond it is cut (towards the past).
/// A bare date is midnight UTC.
pub fn instant_ms(value: &Value) -> i64 {
    if let Some(ms) = value.as_i64() {
        return ms;
    }
    let text = value.as_str().unwrap_or_else(|| panic!("`{value}` is not an instant"));
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return i64::try_from(instant.as_nanosecond().div_euclid(1_000_000))
            .expect("jiff's instants fit in milliseconds");
    }
    let date: jiff::civil::Date =
        text.parse().unwrap_or_else(|error| panic!("`{text}` is not an instant: {error}"));
    date.to_zoned(jiff::tz::TimeZone::UTC)
        .expect("a date has a midnight in UTC")
        .timestamp()
        .as_millisecond()
}

pub fn text(body: &Value, field: &str) -> Option<String> {
    body[field].as_str().map(str::to_string)
}

/// A decimal field in thousandths, halves rounded up.
pub fn thousandths(body: &Value, field: &str) -> Option<i64> {
    if body[field].is_null() {
        return None;
    }
    let number = body[field].as_number().unwrap_or_else(|| panic!("`{field}` is not a number"));
    if let Some(whole) = number.as_i64() {
        return Some(whole * 1_000);
    }
    let float = number.as_f64().expect("a JSON number is a float at least");
    Some(decimal_thousandths(&format!("{float}")))
}

/// Works on the digits, so that 1.0005 is 1001 although its nearest float lies below the half.
fn decimal_thousandths(digits: &str) -> i64 {
    let (negative, digits) = match digits.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, digits),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let padded = format!("{fraction:0<3}");
    let (kept, rest) = padded.split_at(3);
    let magnitude: i64 = format!("{whole}{kept}").parse().expect("digits of a number");
    let half_or_more = rest.as_bytes().first().is_some_and(|digit| *digit >= b'5');
    let exactly_half = rest.trim_end_matches('0') == "5";
    match (negative, half_or_more) {
        (false, true) => magnitude + 1,
        (false, false) => magnitude,
        (true, true) if !exactly_half => -(magnitude + 1),
        (true, _) => -magnitude,
    }
}

fn ranked(table: &[&'static str], body: &Value) -> (usize, &'static str) {
    let status = body["status"].as_str().expect("a status is a string");
    let rank = table.iter().position(|known| *known == status);
    let rank = rank.unwrap_or_else(|| panic!("`{status}` is no status"));
    (rank, table[rank])
}

#[test]
fn thousandths_round_half_up() {
    for (digits, expected) in [
        ("1", 1_000),
        ("1.0005", 1_001),
        ("1.00049", 1_000),
        ("0.0015", 2),
        ("-0.0005", 0),
        ("-0.0015", -1),
        ("-0.00151", -2),
        ("2.5", 2_500),
    ] {
        assert_eq!(decimal_thousandths(digits), expected, "{digits}");
    }
}

#[test]
fn instants_are_read_from_text_and_numbers() {
    let at = |value| instant_ms(&value);
    assert_eq!(at(serde_json::json!("1970-01-01T01:00:00.0019+01:00")), 1);
    assert_eq!(at(serde_json::json!(86_400_000)), DAY_MS);
    assert_eq!(at(serde_json::json!("1970-01-02")), DAY_MS);
}
