//! Bytes to [`Event`]: the checks that all sources share. Each source reads its own fields.
//!
//! A record is checked for its key, its size and UTF-8, then taken apart once; unknown fields are
//! ignored. Nothing here panics or recurses, whatever the bytes.

use super::super::time::{EventTime, Span};
use super::error::{DecodeError, ReasonCode, shown};
use super::field::{Field, TEXT_BYTES_MAX};
use super::{Body, Event, Source, payment, profile, survey, ticket, usage};

/// What a record may at most be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// The longest value, in bytes.
    pub max_record_bytes: usize,
    /// How far `occurred_at` may lie ahead of the record's timestamp.
    pub max_future_skew: Span,
}

/// 1 MiB, the broker's own default for a record, and 5 minutes of clock skew.
impl Default for DecodeLimits {
    fn default() -> Self {
        DecodeLimits { max_record_bytes: 1 << 20, max_future_skew: Span::from_millis(300_000) }
    }
}

/// Decodes one record of a topic.
///
/// The key must be the body's `account_id`. A null value (tombstone) on the accounts topic gives
/// [`Body::ProfileGone`], which occurred at `record_time` and has no `event_id`.
///
/// # Errors
/// When the record cannot be used; the error names the kind of fault and the field.
pub fn decode<'a>(
    source: Source,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    record_time: EventTime,
    limits: &DecodeLimits,
) -> Result<Event<'a>, DecodeError> {
    let key = match key {
        None => return Err(DecodeError::record(ReasonCode::MissingKey, "record has no key")),
        Some([]) => return Err(DecodeError::record(ReasonCode::MissingKey, "key is empty")),
        Some(key) => key,
    };
    let Some(value) = value else {
        return match source {
            Source::Profile => profile_gone(key, record_time),
            Source::Usage | Source::Ticket | Source::Payment | Source::Survey => {
                let detail = "record has no value (a tombstone), expected an event";
                Err(DecodeError::record(ReasonCode::EmptyValue, detail))
            }
        };
    };
    let origin = Origin::Record { key, record_time, max_future_skew: limits.max_future_skew };
    check_size(value.len(), limits)?;
    let json = std::str::from_utf8(value).map_err(|error| {
        let detail = format!("record is not UTF-8 at byte {}", error.valid_up_to());
        DecodeError::record(ReasonCode::NotUtf8, detail)
    })?;
    read(source, json, &origin)
}

/// Decodes an event that came without a key and a timestamp of its own, as a line of a file does:
/// its record time is its `occurred_at`.
///
/// # Errors
/// When the event cannot be used; the error names the kind of fault and the field.
pub fn decode_bare<'a>(
    source: Source,
    json: &'a str,
    limits: &DecodeLimits,
) -> Result<Event<'a>, DecodeError> {
    check_size(json.len(), limits)?;
    read(source, json, &Origin::Bare)
}

fn read<'a>(source: Source, json: &'a str, origin: &Origin) -> Result<Event<'a>, DecodeError> {
    match source {
        Source::Usage => usage::read(json, origin),
        Source::Ticket => ticket::read(json, origin),
        Source::Payment => payment::read(json, origin),
        Source::Survey => survey::read(json, origin),
        Source::Profile => profile::read(json, origin),
    }
}

/// Checks the length of a record's value, as [`decode`] does before it looks into it.
///
/// # Errors
/// When there is nothing, or too much.
pub fn check_size(value_bytes: usize, limits: &DecodeLimits) -> Result<(), DecodeError> {
    if value_bytes == 0 {
        let detail = "record has an empty value, expected an object";
        return Err(DecodeError::record(ReasonCode::EmptyValue, detail));
    }
    if value_bytes > limits.max_record_bytes {
        let limit = limits.max_record_bytes;
        let detail = format!("record has {value_bytes} bytes, expected at most {limit}");
        return Err(DecodeError::record(ReasonCode::TooLarge, detail));
    }
    Ok(())
}

fn profile_gone(key: &[u8], record_time: EventTime) -> Result<Event<'_>, DecodeError> {
    let account_id = std::str::from_utf8(key)
        .map_err(|_| DecodeError::record(ReasonCode::NotUtf8, "key is not UTF-8"))?;
    if account_id.len() > TEXT_BYTES_MAX {
        let detail = format!("key has {} bytes, expected 1 to {TEXT_BYTES_MAX}", account_id.len());
        return Err(DecodeError::record(ReasonCode::WrongLength, detail));
    }
    Ok(Event {
        account_id: account_id.into(),
        event_id: "".into(),
        occurred_at: record_time,
        body: Body::ProfileGone,
    })
}

/// Where an event's text came from: what its common fields are checked against.
pub(super) enum Origin<'k> {
    /// A record of a topic.
    Record { key: &'k [u8], record_time: EventTime, max_future_skew: Span },
    /// A text without a key and a timestamp.
    Bare,
}

impl Origin<'_> {
    /// Reads the three common fields, checks them and joins them with what `body` reads.
    pub(super) fn event<'a>(
        &self,
        [event_id, account_id, occurred_at]: [Field<'a>; 3],
        body: impl FnOnce() -> Result<Body<'a>, DecodeError>,
    ) -> Result<Event<'a>, DecodeError> {
        let account_id_text = account_id.required(|value| value.text_not_empty())?;
        if let Origin::Record { key, .. } = self
            && *key != account_id_text.as_bytes()
        {
            let found = format!("\"{}\"", shown(&String::from_utf8_lossy(key)));
            let expected = format!("\"{}\"", shown(&account_id_text));
            let detail = format!("key is {found}, expected the `account_id` {expected}");
            return Err(DecodeError::record(ReasonCode::KeyMismatch, detail));
        }
        let event_id = event_id.required(|value| value.text())?;
        let occurred_at_time = occurred_at.required(|value| value.instant())?;
        if let Origin::Record { record_time, max_future_skew, .. } = self
            && occurred_at_time > *record_time + *max_future_skew
        {
            let expected =
                format!("at most {max_future_skew} after the record's time {record_time}");
            return Err(occurred_at.unexpected(ReasonCode::OccurredInFuture, expected));
        }
        Ok(Event {
            account_id: account_id_text,
            event_id,
            occurred_at: occurred_at_time,
            body: body()?,
        })
    }
}
