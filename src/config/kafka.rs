//! The `kafka` section: the broker, the group, the topics, and the client library's own properties.

use super::security::{check_security, is_for_every_client};
use super::settings::names;
use super::{Delivery, GroupProtocol, Kafka, OffsetReset, Properties, Surroundings, Topics};
use crate::broker::OutputTopic;
use crate::engine::event::Source;
use crate::engine::time::Span;
use crate::engine::yaml::{Field, Fields};
use crate::kafka::refused_keys;

/// Longest name of a topic, and nearly that of a group instance.
const TOPIC_BYTES_MAX: usize = 249;
/// Leaves room for what the engine appends: a worker's number.
const INSTANCE_BYTES_MAX: usize = 200;

/// Reads the section.
pub(super) fn read_kafka(fields: &Fields<'_>, surroundings: &Surroundings<'_>) -> Option<Kafka> {
    let bootstrap_servers =
        fields.or("bootstrap_servers", "localhost:9092".to_string(), read_servers);
    let group_id = fields
        .or("group_id", "barometer".to_string(), |field| read_kafka_name(field, TOPIC_BYTES_MAX));
    let instance = read_instance(fields, surroundings);
    let group_protocol = fields
        .or("group_protocol", GroupProtocol::Classic, |field| field.choice(&names::GROUP_PROTOCOL));
    let delivery =
        fields.or("delivery", Delivery::ExactlyOnce, |field| field.choice(&names::DELIVERY));
    let offset_reset =
        fields.or("offset_reset", OffsetReset::Fail, |field| field.choice(&names::OFFSET_RESET));
    let session_timeout = fields.or("session_timeout", Span::SECOND * 45, |field| {
        field.span_in(Span::SECOND, Span::MINUTE * 30)
    });
    let transaction_timeout = fields.or("transaction_timeout", Span::SECOND * 10, |field| {
        field.span_in(Span::SECOND, Span::MINUTE * 15)
    });
    if group_protocol == Some(GroupProtocol::Consumer)
        && let Some(field) = fields.optional("session_timeout")
    {
        field.warning("has no effect under `group_protocol: consumer`, where the broker sets it");
    }
    // State is a group's own: by default another group begins anew, beside the first one's.
    let default_changelog = match &group_id {
        Some(group_id) => format!("{group_id}-changelog"),
        None => OutputTopic::Changelog.default_topic().to_string(),
    };
    let topics = fields.section("topics", |topics| read_topics(topics, &default_changelog));
    let properties = fields.or("properties", Properties::default(), |field| {
        let properties = read_properties(field, Clients::All)?;
        check_security(field, &properties, surroundings)?;
        Some(properties)
    });
    let of_role = |role: &'static str| {
        let read = |field: &Field<'_>| read_properties(field, Clients::OfARole);
        fields.section(role, |fields| fields.or("properties", Properties::default(), read))
    };
    let (consumer_properties, producer_properties) = (of_role("consumer"), of_role("producer"));
    Some(Kafka {
        bootstrap_servers: bootstrap_servers?,
        group_id: group_id?,
        instance: instance?,
        group_protocol: group_protocol?,
        delivery: delivery?,
        offset_reset: offset_reset?,
        session_timeout: session_timeout?,
        transaction_timeout: transaction_timeout?,
        topics: topics?,
        properties: properties?,
        consumer_properties: consumer_properties?,
        producer_properties: producer_properties?,
    })
}

fn read_servers(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    let servers: Vec<&str> = text.split(',').map(str::trim).collect();
    if servers.iter().any(|server| server.is_empty() || server.contains(char::is_whitespace)) {
        return field.expected("`host:port`, several with commas");
    }
    Some(servers.join(","))
}

/// What Kafka takes as the name of a topic or a group instance.
fn read_kafka_name(field: &Field<'_>, bytes_max: usize) -> Option<String> {
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match field.as_text() {
        Some(name)
            if (1..=bytes_max).contains(&name.len())
                && name.chars().all(letter)
                && !matches!(name, "." | "..") =>
        {
            Some(name.to_string())
        }
        _ => field.expected(format!("1 to {bytes_max} letters, digits, `.`, `_` and `-`")),
    }
}

/// Two processes with one name would fence each other off for ever, so a name is never made up.
fn read_instance(fields: &Fields<'_>, surroundings: &Surroundings<'_>) -> Option<String> {
    if let Some(field) = fields.optional("instance") {
        return read_kafka_name(&field, INSTANCE_BYTES_MAX);
    }
    let usable = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    match &surroundings.host_name {
        Some(host) => Some(host.chars().map(usable).take(INSTANCE_BYTES_MAX).collect()),
        None => fields.require("instance").and(None),
    }
}

fn read_topics(fields: &Fields<'_>, default_changelog: &str) -> Option<Topics> {
    let topic = |key: &'static str, default: &str| {
        fields.or(key, default.to_string(), |field| read_kafka_name(field, TOPIC_BYTES_MAX))
    };
    let usage = topic("usage", Source::Usage.default_topic());
    let tickets = topic("tickets", Source::Ticket.default_topic());
    let payments = topic("payments", Source::Payment.default_topic());
    let surveys = topic("surveys", Source::Survey.default_topic());
    let accounts = topic("accounts", Source::Profile.default_topic());
    let events = topic("events", OutputTopic::Events.default_topic());
    let scores = topic("scores", OutputTopic::Scores.default_topic());
    let dead_letters = topic("dead_letters", OutputTopic::DeadLetters.default_topic());
    let changelog = topic("changelog", default_changelog);
    let topics = Topics {
        usage: usage?,
        tickets: tickets?,
        payments: payments?,
        surveys: surveys?,
        accounts: accounts?,
        events: events?,
        scores: scores?,
        dead_letters: dead_letters?,
        changelog: changelog?,
    };
    check_topics_differ(fields, &topics)?;
    Some(topics)
}

fn check_topics_differ(fields: &Fields<'_>, topics: &Topics) -> Option<()> {
    let named = [
        ("usage", &topics.usage),
        ("tickets", &topics.tickets),
        ("payments", &topics.payments),
        ("surveys", &topics.surveys),
        ("accounts", &topics.accounts),
        ("events", &topics.events),
        ("scores", &topics.scores),
        ("dead_letters", &topics.dead_letters),
        ("changelog", &topics.changelog),
    ];
    for (index, (key, topic)) in named.iter().enumerate() {
        if let Some((other, _)) = named[..index].iter().find(|(_, earlier)| earlier == topic) {
            // The default of one may be what the other was set to.
            let field = fields.optional(key).or(fields.optional(other))?;
            return field.error_about(format!(
                "kafka.topics.{key} is `{topic}`, expected another topic than that of \
                 kafka.topics.{other}"
            ));
        }
    }
    Some(())
}

/// Whom properties are for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Clients {
    All,
    /// Consumers, or producers.
    OfARole,
}

fn read_properties(field: &Field<'_>, clients: Clients) -> Option<Properties> {
    if field.is_null() {
        return Some(Properties::default());
    }
    let read_one = |(key, value): (&str, Field<'_>)| {
        if let Some((_, why)) = refused_keys().iter().find(|(owned, _)| *owned == key) {
            return value.error(format!("belongs to the engine: {why}"));
        }
        if clients == Clients::OfARole {
            is_for_every_client(key, &value)?;
        }
        let text = value.as_text().or_else(|| value.expected("a single value"))?;
        Some((key.to_string(), text.to_string()))
    };
    let entries: Vec<Option<_>> = field.entries()?.into_iter().map(read_one).collect();
    entries.into_iter().collect()
}
