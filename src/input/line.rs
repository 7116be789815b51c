//! One line: a bare event that names its `source`, or an envelope as `kcat -J` writes it.

use std::borrow::Cow;

use serde::Deserialize;

use crate::engine::event::{Bare, Event, Source, bare};
use crate::engine::time::EventTime;

/// A line, understood as far as its place in the feed asks for.
#[derive(Debug, PartialEq)]
pub(super) struct Line<'a> {
    pub(super) source: Source,
    pub(super) partition: Option<i32>,
    pub(super) record_time: EventTime,
    pub(super) content: Content<'a>,
}

/// What a line says.
#[derive(Debug, PartialEq)]
pub(super) enum Content<'a> {
    /// A record, to be decoded when its turn comes.
    Record { key: Option<Cow<'a, str>>, payload: Option<Cow<'a, str>> },
    /// A good bare event of usage, and the length of its line.
    Usage { event: Event<'a>, line_bytes: usize },
}

/// Reads a line; `None` if it is blank. The error is a message for people.
pub(super) fn read<'a>(
    bytes: &'a [u8],
    topics: &[(String, Source)],
) -> Result<Option<Line<'a>>, String> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| format!("line is not UTF-8 at byte {}", error.valid_up_to()))?
        .trim_matches([' ', '\t', '\r']);
    if text.is_empty() {
        return Ok(None);
    }
    let line = match bare(text).map_err(|error| error.to_string())? {
        Some(Bare::Usage(event)) => Line {
            source: Source::Usage,
            partition: None,
            record_time: event.occurred_at,
            content: Content::Usage { event, line_bytes: text.len() },
        },
        Some(Bare::Head(head)) => Line {
            source: head.source,
            partition: None,
            record_time: head.occurred_at,
            content: Content::Record {
                key: Some(head.account_id),
                payload: Some(Cow::Borrowed(text)),
            },
        },
        None => unwrap_envelope(text, topics)?,
    };
    Ok(Some(line))
}

/// A record as `kcat -J` prints it; `offset`, `tstype`, `broker` and `headers` are not needed.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    topic: Option<Cow<'a, str>>,
    partition: Option<i32>,
    ts: Option<i64>,
    key: Option<String>,
    payload: Payload,
}

/// Null is a tombstone; absent is a fault. In a plain `Option` serde would make them one.
#[derive(Deserialize)]
struct Payload(Option<String>);

fn unwrap_envelope(text: &str, topics: &[(String, Source)]) -> Result<Line<'static>, String> {
    let neither = "line has neither `source` (an event) nor `topic` and `payload` (`kcat -J`)";
    let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|error| {
        let names_topic = text.contains("\"topic\"");
        if names_topic { format!("line is no `kcat -J` envelope: {error}") } else { neither.into() }
    })?;
    let topic = envelope.topic.ok_or(neither)?;
    let Some((_, source)) = topics.iter().find(|(name, _)| *name == topic) else {
        let names: Vec<String> = topics.iter().map(|(name, _)| format!("`{name}`")).collect();
        return Err(format!("topic `{topic}` is not an input topic ({})", names.join(", ")));
    };
    let millis = envelope.ts.ok_or("field `ts` is missing")?;
    // Kafka gives -1 to a record without a timestamp: it would have no place in the feed.
    let record_time = EventTime::from_epoch_millis(millis)
        .map_err(|error| format!("field `ts` is {millis}, {error}"))?;
    Ok(Line {
        source: *source,
        partition: envelope.partition.filter(|partition| *partition >= 0),
        record_time,
        content: Content::Record {
            key: envelope.key.map(Cow::Owned),
            payload: envelope.payload.0.map(Cow::Owned),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key and the payload of what is no good usage.
    fn record<'a>(line: &'a Line<'_>) -> (Option<&'a str>, Option<&'a str>) {
        match &line.content {
            Content::Record { key, payload } => (key.as_deref(), payload.as_deref()),
            Content::Usage { .. } => panic!("usage that is decoded already: {line:?}"),
        }
    }

    fn topics() -> Vec<(String, Source)> {
        Source::ALL.map(|source| (source.default_topic().to_owned(), source)).to_vec()
    }

    #[test]
    fn a_bare_event_is_its_own_payload_and_its_account_the_key() {
        let text = r#" {"source":"ticket","account_id":"caf\u00e9","occurred_at":5,"x":1} "#;
        let line = read(text.as_bytes(), &topics()).unwrap().unwrap();
        assert_eq!(line.source, Source::Ticket);
        assert_eq!((line.partition, line.record_time), (None, EventTime::from_millis(5)));
        assert_eq!(record(&line), (Some("café"), Some(text.trim())));
    }

    #[test]
    fn bare_usage_is_read_at_once_unless_there_is_a_fault_in_it() {
        let usage = |own: &str| {
            format!(r#"{{"source":"usage","event_id":"e","account_id":"a","occurred_at":5,{own}}}"#)
        };
        let good = usage(r#""feature":"f","x":1"#);
        let line = read(good.as_bytes(), &topics()).unwrap().unwrap();
        let event = crate::engine::event::decode_bare(Source::Usage, &good, &Default::default());
        let expected = Content::Usage { event: event.unwrap(), line_bytes: good.len() };
        assert_eq!(line.content, expected);
        for own in [
            r#""feature":5"#,
            r#""x":1"#,
            r#""feature":"f","quantity":-1"#,
            r#""feature":"f","feature":"g""#,
            r#""feature":"\n""#,
            r#""feature":"f","x":[]"#,
        ] {
            let faulty = usage(own);
            let line = read(faulty.as_bytes(), &topics()).unwrap().unwrap();
            assert_eq!((line.source, line.record_time.as_millis()), (Source::Usage, 5));
            assert_eq!(record(&line), (Some("a"), Some(faulty.as_str())));
        }
    }

    #[test]
    fn an_envelope_gives_its_key_payload_partition_and_timestamp() {
        let text = concat!(
            r#"{"topic":"accounts","partition":3,"offset":9,"tstype":"create","ts":1700000000000,"#,
            r#""broker":1,"headers":["a","b"],"key":"acme","payload":"{\"a\":\"\\\"\"}"}"#,
        );
        let line = read(text.as_bytes(), &topics()).unwrap().unwrap();
        assert_eq!((line.source, line.partition), (Source::Profile, Some(3)));
        assert_eq!(line.record_time.as_millis(), 1_700_000_000_000);
        assert_eq!(record(&line), (Some("acme"), Some(r#"{"a":"\""}"#)));
        let tombstone = r#"{"topic":"accounts","ts":5,"key":null,"payload":null}"#;
        let line = read(tombstone.as_bytes(), &topics()).unwrap().unwrap();
        assert_eq!((record(&line), line.partition), ((None, None), None));
    }

    #[test]
    fn messages_say_what_the_line_lacks() {
        let table: [(&[u8], &str); 11] = [
            (b"{\"a\":\"\xFF\"}", "line is not UTF-8 at byte 6"),
            (b"a,b,c", "record is not JSON: expected value at line 1 column 1"),
            (b"[]", "record is [], expected an object"),
            (
                b"{\"a\":1}",
                "line has neither `source` (an event) nor `topic` and `payload` (`kcat -J`)",
            ),
            (
                b"{\"source\":\"usge\"}",
                "field `source` is \"usge\", expected `usage`, `ticket`, `payment`, `survey` or \
                 `profile`; nearest is `usage`",
            ),
            (b"{\"source\":\"usage\",\"account_id\":\"a\"}", "field `occurred_at` is missing"),
            (
                b"{\"topic\":\"x\",\"ts\":5,\"payload\":\"{}\"}",
                "topic `x` is not an input topic (`product-usage`, `support-tickets`, `payments`, \
                 `surveys`, `accounts`)",
            ),
            (
                b"{\"topic\":\"surveys\",\"ts\":5}",
                "line is no `kcat -J` envelope: missing field `payload` at line 1 column 26",
            ),
            (
                b"{\"topic\":\"surveys\",\"ts\":5,\"payload\":{}}",
                "line is no `kcat -J` envelope: invalid type: map, expected a string at line 1 column 36",
            ),
            (b"{\"topic\":\"surveys\",\"payload\":\"{}\"}", "field `ts` is missing"),
            (
                b"{\"topic\":\"surveys\",\"ts\":-1,\"payload\":\"{}\"}",
                "field `ts` is -1, outside the years 1970 to 9999",
            ),
        ];
        for (bytes, expected) in table {
            assert_eq!(read(bytes, &topics()).unwrap_err(), expected);
        }
        assert_eq!(read(b" \t\r", &topics()), Ok(None));
    }
}
