//! The single values of our YAML files, as JSON Schemas: what [`Field`] takes, no more and no less.
//!
//! Text may be written as a number or `true`; a number never in quotes; nothing may be left empty.
//!
//! [`Field`]: crate::engine::yaml::Field

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use crate::engine::event::{PaymentStatus, Priority, ProfileStatus, TicketStatus};
use crate::engine::scorecard::{MeasureKind, Severity, Urgency};
use crate::engine::time::EventTime;

macro_rules! values {
    ($($(#[doc = $doc:literal])+ $name:ident = $schema:tt;)+) => {
        $(
            $(#[doc = $doc])+
            pub struct $name;

            impl JsonSchema for $name {
                fn schema_name() -> Cow<'static, str> {
                    stringify!($name).into()
                }

                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    let mut schema = json_schema!($schema);
                    let lines = [$($doc),+].map(str::trim);
                    schema.insert("description".to_owned(), lines.join(" ").into());
                    schema
                }
            }
        )+
    };
}

values! {
    /// A name: 1 to 64 letters, digits, `_`, `-` and `.`.
    Name = {
        "type": ["string", "number", "boolean"],
        "minLength": 1, "maxLength": 64, "pattern": r"^[\p{Alphabetic}\p{N}_.-]+$",
    };
    /// Text that is not empty.
    Text = { "type": ["string", "number", "boolean"], "pattern": r"\S" };
    /// Text as an event may hold it: at most 256 bytes.
    EventText = { "type": ["string", "number", "boolean"], "pattern": r"\S", "maxLength": 256 };
    /// A number of at most 15 digits.
    Number = { "type": "number", "minimum": -1e15, "maximum": 1e15 };
    /// A number from 0 on.
    Positive = { "type": "number", "minimum": 0, "maximum": 1e15 };
    /// 0 to 100.
    Score = { "type": "number", "minimum": 0, "maximum": 100 };
    /// More than 0, at most 100.
    Points = { "type": "number", "exclusiveMinimum": 0, "maximum": 100 };
    /// 0 to 1.
    Share = { "type": "number", "minimum": 0, "maximum": 1 };
    /// More than 0, at most 1.
    PositiveShare = { "type": "number", "exclusiveMinimum": 0, "maximum": 1 };
    /// A duration such as `28d`, `6h`, `90s` or `250ms`, several in a row as in `1d12h`, or 0.
    Duration = {
        "anyOf": [
            { "type": "string", "pattern": r"^\s*([0-9]+(ms|w|d|h|m|s))+\s*$" },
            { "const": 0 },
        ],
    };
    /// A duration of more than nothing, such as `28d`, `6h`, `90s` or `250ms`, or several in a row
    /// as in `1d12h`.
    PositiveDuration = {
        "type": "string", "pattern": r"^\s*(?=.*[1-9])([0-9]+(ms|w|d|h|m|s))+\s*$",
    };
    /// An instant with offset such as `2026-03-01T00:00:00Z`.
    Instant = {
        "type": "string",
        "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?([Zz]|[+-][0-9:]+)$",
    };
    /// A CSS hex colour in quotes, such as `"#c0392b"`.
    Color = { "type": "string", "pattern": r"^#([0-9a-fA-F]{3,4}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8})$" };
    /// What a measure reads.
    MeasureName = { "enum": (names(&MeasureKind::NAMES)) };
    /// A band of the card; `unknown` is none.
    BandName = {
        "type": ["string", "number", "boolean"], "pattern": r"\S", "not": { "const": "unknown" },
    };
    /// How soon something is to be done.
    UrgencyName = { "enum": (names(&Urgency::NAMES)) };
    /// A ticket's priority.
    PriorityName = { "enum": (names(&Priority::NAMES)) };
    /// A ticket's status.
    TicketStatusName = { "enum": (names(&TicketStatus::NAMES)) };
    /// An invoice's status.
    PaymentStatusName = { "enum": (names(&PaymentStatus::NAMES)) };
    /// A customer's status.
    ProfileStatusName = { "enum": (names(&ProfileStatus::NAMES)) };
}

/// The names of a table of choices.
pub fn names<T>(choices: &[(&'static str, T)]) -> Vec<Value> {
    choices.iter().map(|(name, _)| Value::from(*name)).collect()
}

/// Instants in records are RFC 3339 in UTC.
impl JsonSchema for EventTime {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "EventTime".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

/// In rules as in records.
impl JsonSchema for Severity {
    fn schema_name() -> Cow<'static, str> {
        "Severity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "How bad it is.", "enum": (names(&Severity::NAMES)) })
    }
}
