//! The AsyncAPI document: which topics are read and written, and the schemas of what is in them.

use serde_json::{Map, Value, json};

use super::SCHEMAS;
use crate::broker::OutputTopic;
use crate::engine::event::Source;

/// The document's file name.
pub const FILE_NAME: &str = "asyncapi.json";

const FORMAT: &str = "application/schema+json;version=draft-07";

/// One topic: how it is called where the settings do not say, what is done with it, what is in it.
struct Topic {
    address: &'static str,
    action: &'static str,
    about: &'static str,
    /// Names of messages.
    messages: &'static [&'static str],
}

fn input(source: Source) -> Topic {
    let (about, messages): (_, &'static [&'static str]) = match source {
        Source::Usage => ("Product usage.", &["usage_event"]),
        Source::Ticket => ("Support tickets.", &["ticket_event"]),
        Source::Payment => ("Invoices and payments.", &["payment_event"]),
        Source::Survey => ("Survey answers and assessments.", &["survey_event"]),
        Source::Profile => {
            ("Account profiles; compacted, a tombstone forgets one.", &["account_profile"])
        }
    };
    Topic { address: source.default_topic(), action: "receive", about, messages }
}

/// `None` for topics that nobody else is meant to read.
fn output(topic: OutputTopic) -> Option<Topic> {
    let (about, messages): (_, &'static [&'static str]) = match topic {
        OutputTopic::Events => ("What was decided, in order per account.", EVENTS),
        OutputTopic::Scores => {
            ("The latest report of each account; compacted.", &["account_report"])
        }
        OutputTopic::DeadLetters => {
            ("Records that could not be used, as they came, and why.", &["dead_letter"])
        }
        OutputTopic::Changelog => return None,
    };
    Some(Topic { address: topic.default_topic(), action: "send", about, messages })
}

const EVENTS: &[&str] =
    &["band_changed.v1", "alert_fired.v1", "alert_resolved.v1", "operator_alert.v1"];

/// The whole document.
pub fn document() -> Value {
    let inputs = Source::ALL.map(input);
    let outputs = OutputTopic::ALL.into_iter().filter_map(output);
    let (mut channels, mut operations, mut messages) = (Map::new(), Map::new(), Map::new());
    for topic in inputs.into_iter().chain(outputs) {
        let address = topic.address;
        let own = topic.messages.iter().map(|name| {
            ((*name).to_owned(), json!({ "$ref": format!("#/components/messages/{name}") }))
        });
        let channel = json!({
            "address": address, "description": topic.about, "messages": Map::from_iter(own),
        });
        channels.insert(address.to_owned(), channel);
        let operation = json!({
            "action": topic.action, "channel": { "$ref": format!("#/channels/{address}") },
        });
        operations.insert(format!("{}-{address}", topic.action), operation);
        messages.extend(topic.messages.iter().map(|name| ((*name).to_owned(), message(name))));
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "barometer",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Customer health from Kafka topics. Every record's key is the account. \
                            Topics have their default names here. Read the output with \
                            `isolation.level=read_committed`.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": { "messages": messages },
    })
}

fn message(name: &str) -> Value {
    let key =
        json!({ "kafka": { "key": { "type": "string", "description": "the account's id" } } });
    if name == "dead_letter" {
        return json!({
            "title": "a record that could not be used",
            "contentType": "application/octet-stream",
            "payload": { "description": "the record's own bytes, cut where the topic takes no more" },
            "headers": dead_letter_headers(),
            "bindings": key,
        });
    }
    let schema = SCHEMAS.iter().find(|schema| schema.name == name).expect("messages have schemas");
    let payload = json!({
        "schemaFormat": FORMAT, "schema": { "$ref": format!("./{}", schema.file_name()) },
    });
    let mut message = json!({ "title": schema.about, "payload": payload, "bindings": key });
    if EVENTS.contains(&name) {
        message["headers"] = cloud_event_headers(name);
    }
    message
}

/// CloudEvents 1.0, in Kafka's binary content mode.
fn cloud_event_headers(name: &str) -> Value {
    let text = |about: &str| json!({ "type": "string", "description": about });
    let fixed = |value: String| json!({ "type": "string", "const": value });
    json!({
        "type": "object",
        "properties": {
            "ce_specversion": fixed("1.0".to_owned()),
            "ce_id": text("the account, when it began (epoch milliseconds), and its count of verdicts"),
            "ce_type": fixed(format!("barometer.{name}")),
            "ce_source": text("/barometer/ and the consumer group"),
            "ce_subject": text("the account's id"),
            "ce_time": text("task time of the decision"),
            "ce_dataschema": fixed(super::id(name)),
            "content-type": fixed("application/json".to_owned()),
        },
    })
}

/// Kafka Connect's header names.
fn dead_letter_headers() -> Value {
    let names = [
        ("__connect.errors.topic", "where it was read"),
        ("__connect.errors.partition", "where it was read"),
        ("__connect.errors.offset", "where it was read"),
        ("__connect.errors.exception.class.name", "the reason, in one word"),
        ("__connect.errors.exception.message", "the reason, in a sentence"),
        ("barometer.errors.field", "which field is at fault, where one is"),
    ];
    let properties = names
        .map(|(name, about)| (name.to_owned(), json!({ "type": "string", "description": about })));
    json!({ "type": "object", "properties": Map::from_iter(properties) })
}
