//! The head of a bare event: a line of a file that names its own source.

use std::borrow::Cow;

use super::super::time::EventTime;
use super::error::DecodeError;
use super::{Source, object};

const NAMES: [&str; 3] = ["source", "account_id", "occurred_at"];

/// What a reader of files must know of a bare event before its turn comes to be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BareHead<'a> {
    /// Which topic it would have come from.
    pub source: Source,
    /// Its account, which stands for the record's key.
    pub account_id: Cow<'a, str>,
    /// Its event time, which stands for the record's timestamp.
    pub occurred_at: EventTime,
}

/// Reads the head of a bare event; `None` if the object has no `source`, hence is no bare event.
///
/// # Errors
/// When the text is no object, or one of the head's fields is missing or wrong. The other fields
/// are not looked at.
pub fn bare_head(json: &str) -> Result<Option<BareHead<'_>>, DecodeError> {
    let [source, account_id, occurred_at] = object::fields(json, &NAMES)?;
    let sources = Source::ALL.map(|source| (source.name(), source));
    let Some(source) = source.optional(|value| value.one_of(&sources))? else {
        return Ok(None);
    };
    Ok(Some(BareHead {
        source,
        account_id: account_id.required(|value| value.text_not_empty())?,
        occurred_at: occurred_at.required(|value| value.instant())?,
    }))
}
