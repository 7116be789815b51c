//! A bare event: a line of a file that names its own source.

use std::borrow::Cow;

use super::super::time::EventTime;
use super::decode::Origin;
use super::error::DecodeError;
use super::field::Field;
use super::{Event, Source, flat, object, usage};

/// The fields of a bare usage event.
const NAMES: [&str; 7] =
    ["event_id", "account_id", "occurred_at", "user_id", "feature", "quantity", "source"];

/// Those of every bare event's head.
const HEAD_NAMES: [&str; 3] = ["source", "account_id", "occurred_at"];

/// What a reader of files makes of a bare event when it comes upon it.
#[derive(Clone, Debug, PartialEq)]
pub enum Bare<'a> {
    /// Nearly every line of nearly every file is usage, and has been read wholly with its head.
    Usage(Event<'a>),
    /// Any other event, and one of usage that cannot be used: it is decoded when its turn comes.
    Head(BareHead<'a>),
}

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

/// Reads a bare event; `None` if the object has no `source`, hence is no bare event.
///
/// # Errors
/// When the text is no object, or one of the head's fields is missing or wrong. The other fields
/// are for [`decode`](super::decode()) to find fault with.
pub fn bare(json: &str) -> Result<Option<Bare<'_>>, DecodeError> {
    let mut fields = NAMES.map(Field::absent);
    let head = if flat::fill(&mut fields, json) {
        let [event_id, account_id, occurred_at, user_id, feature, quantity, source] = fields;
        if source.is_text(Source::Usage.name()) {
            let fields = [event_id, account_id, occurred_at, user_id, feature, quantity];
            if let Ok(event) = usage::event(fields, &Origin::Bare) {
                return Ok(Some(Bare::Usage(event)));
            }
        }
        [source, account_id, occurred_at]
    } else {
        object::fields(json, &HEAD_NAMES)?
    };
    Ok(bare_head(head)?.map(Bare::Head))
}

fn bare_head<'a>(
    [source, account_id, occurred_at]: [Field<'a>; HEAD_NAMES.len()],
) -> Result<Option<BareHead<'a>>, DecodeError> {
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
