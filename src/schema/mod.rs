//! JSON Schemas of what people write, of what is read and of what the engine publishes.
//!
//! `scorecard`, `alert`, `card_test` and `settings` mirror what our own YAML readers take, `event`
//! what the decoder takes; records derive their schemas where they are defined. All are draft 7,
//! which every editor understands and AsyncAPI builds on. They are committed under
//! `config/schemas/`, and a test compares.

mod alert;
mod asyncapi;
mod card_test;
mod event;
mod nullable;
mod scorecard;
mod settings;
#[cfg(test)]
mod tests;
mod value;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

use crate::engine::record::{Alert, BandChanged};
use crate::engine::report::AccountReport;
use crate::engine::yaml::nearest;

/// A schema by its name.
#[derive(Clone, Copy, Debug)]
pub struct NamedSchema {
    /// Its name, and its file's without `.json`.
    pub name: &'static str,
    /// One line.
    pub about: &'static str,
    make: fn() -> Value,
}

/// Every schema: files, then what is read, then what is written.
pub const SCHEMAS: [NamedSchema; 12] = [
    named("scorecard", "a scorecard and its tests", file::<scorecard::Scorecard>),
    named("scorecard-tests", "tests in a file of their own", file::<card_test::CardTests>),
    named("settings", "the service's settings", file::<settings::Settings>),
    named("usage_event", "one use of the product", input::<event::UsageEvent>),
    named("ticket_event", "a ticket's change of status", input::<event::TicketEvent>),
    named("payment_event", "an invoice's change of status", input::<event::PaymentEvent>),
    named("survey_event", "an answer or an assessment", input::<event::SurveyEvent>),
    named("account_profile", "what is known of an account", input::<event::AccountProfile>),
    named("band_changed.v1", "an account changed its band", output::<BandChanged<'_>>),
    named("alert_fired.v1", "an alert began, or became worse", alert_fired),
    named("alert_resolved.v1", "an alert ended", alert_resolved),
    named("account_report", "everything about one account", output::<AccountReport<'_>>),
];

const fn named(name: &'static str, about: &'static str, make: fn() -> Value) -> NamedSchema {
    NamedSchema { name, about, make }
}

impl NamedSchema {
    /// The schema.
    pub fn value(&self) -> Value {
        let mut schema = (self.make)();
        schema["$id"] = id(self.name).into();
        schema["title"] = format!("barometer: {}", self.about).into();
        schema
    }

    /// The name of its file.
    pub fn file_name(&self) -> String {
        format!("{}.json", self.name)
    }
}

/// The identifier of a schema; records name theirs as `ce_dataschema`.
pub fn id(name: &str) -> String {
    format!("urn:barometer:{name}")
}

/// Every file of `config/schemas/`: its name and its text.
pub fn files() -> Vec<(String, String)> {
    let schemas = SCHEMAS.iter().map(|schema| (schema.file_name(), schema.value()));
    let document = (asyncapi::FILE_NAME.to_owned(), asyncapi::document());
    schemas.chain([document]).map(|(name, value)| (name, text(&value))).collect()
}

/// The text of one of [`files`], by its name with or without the ending.
///
/// # Errors
/// A message that names what there is.
pub fn by_name(name: &str) -> Result<String, String> {
    let wanted = name.strip_suffix(".json").unwrap_or(name);
    let files = files();
    let stem = |file: &str| file.trim_end_matches(".json").to_owned();
    if let Some((_, text)) = files.iter().find(|(file, _)| stem(file) == wanted) {
        return Ok(text.clone());
    }
    let names: Vec<String> = files.iter().map(|(file, _)| stem(file)).collect();
    Err(match nearest(wanted, names.iter().map(String::as_str)) {
        Some(near) => format!("there is no schema `{name}`; did you mean `{near}`?"),
        None => format!("there is no schema `{name}`; there are {}", names.join(", ")),
    })
}

fn text(value: &Value) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("texts and numbers become JSON");
    text.push('\n');
    text
}

/// What people write: an absent key is left out.
fn file<T: JsonSchema>() -> Value {
    let mut schema = Value::from(root::<T>(SchemaSettings::draft07()));
    nullable::refuse_null(&mut schema);
    schema
}

/// What is read: a null field is an absent one.
fn input<T: JsonSchema>() -> Value {
    root::<T>(SchemaSettings::draft07()).into()
}

/// What is written.
fn output<T: JsonSchema>() -> Value {
    root::<T>(SchemaSettings::draft07().for_serialize()).into()
}

/// One type writes both: what tells them apart is added here.
fn alert_fired() -> Value {
    let mut schema = output::<Alert<'_>>();
    let own = json!({ "properties": { "status": { "const": "firing" }, "ended_at": { "type": "null" }, "firing_id": false } });
    schema["allOf"] = json!([own]);
    schema
}

fn alert_resolved() -> Value {
    let mut schema = output::<Alert<'_>>();
    let ended = json!({ "status": { "const": "resolved" }, "ended_at": { "type": "string" }, "escalated_from": false });
    schema["allOf"] = json!([{ "properties": ended, "required": ["firing_id"] }]);
    schema
}

fn root<T: JsonSchema>(settings: SchemaSettings) -> Schema {
    settings.into_generator().into_root_schema_for::<T>()
}
