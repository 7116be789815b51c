//! Why a record cannot be used: a code for counters and dead letters, the field, and a sentence.

use std::fmt::{self, Write as _};

/// The longest found value an error repeats, in characters: enough to recognise it, too little to
/// copy a customer's data into logs at length.
const SHOWN_CHARS: usize = 60;

/// What kind of fault a record has. The names are metric labels and the exception class of dead
/// letters: they are kept once published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReasonCode {
    /// The record has no key, or an empty one.
    MissingKey,
    /// The key differs from the body's `account_id`.
    KeyMismatch,
    /// A tombstone or an empty value where an event was due.
    EmptyValue,
    /// More bytes than [`DecodeLimits::max_record_bytes`](super::DecodeLimits).
    TooLarge,
    /// Bytes that are not UTF-8, or an escape that is no Unicode character.
    NotUtf8,
    /// Not one JSON value.
    NotJson,
    /// Objects and lists nested too deep.
    TooDeep,
    /// A known field is given twice.
    DuplicateField,
    /// A required field is absent or null.
    MissingField,
    /// A field holds another kind of JSON value.
    WrongType,
    /// A text outside the closed list of its field.
    UnknownValue,
    /// A number or an instant outside its range, or a score off its scale.
    OutOfRange,
    /// A text or list that is too long, or empty where it must not be.
    WrongLength,
    /// A text that is no RFC 3339 instant with offset.
    NotATime,
    /// `occurred_at` lies too far ahead of the record's timestamp.
    OccurredInFuture,
    /// The key is in another partition than the hash of the topic's keys says.
    Misrouted,
    /// The first of its account, and no more accounts are taken.
    AccountLimit,
    /// Its account has as many tickets, invoices or answers as are held.
    ItemLimit,
}

impl ReasonCode {
    /// Every code.
    pub const ALL: [ReasonCode; 18] = [
        ReasonCode::MissingKey,
        ReasonCode::KeyMismatch,
        ReasonCode::EmptyValue,
        ReasonCode::TooLarge,
        ReasonCode::NotUtf8,
        ReasonCode::NotJson,
        ReasonCode::TooDeep,
        ReasonCode::DuplicateField,
        ReasonCode::MissingField,
        ReasonCode::WrongType,
        ReasonCode::UnknownValue,
        ReasonCode::OutOfRange,
        ReasonCode::WrongLength,
        ReasonCode::NotATime,
        ReasonCode::OccurredInFuture,
        ReasonCode::Misrouted,
        ReasonCode::AccountLimit,
        ReasonCode::ItemLimit,
    ];

    /// The stable name, in snake case.
    pub const fn name(self) -> &'static str {
        match self {
            ReasonCode::MissingKey => "missing_key",
            ReasonCode::KeyMismatch => "key_mismatch",
            ReasonCode::EmptyValue => "empty_value",
            ReasonCode::TooLarge => "too_large",
            ReasonCode::NotUtf8 => "not_utf8",
            ReasonCode::NotJson => "not_json",
            ReasonCode::TooDeep => "too_deep",
            ReasonCode::DuplicateField => "duplicate_field",
            ReasonCode::MissingField => "missing_field",
            ReasonCode::WrongType => "wrong_type",
            ReasonCode::UnknownValue => "unknown_value",
            ReasonCode::OutOfRange => "out_of_range",
            ReasonCode::WrongLength => "wrong_length",
            ReasonCode::NotATime => "not_a_time",
            ReasonCode::OccurredInFuture => "occurred_in_future",
            ReasonCode::Misrouted => "misrouted",
            ReasonCode::AccountLimit => "account_limit",
            ReasonCode::ItemLimit => "item_limit",
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why one record cannot be used. Displays as one line: ``field `score` is 11, expected 0 to 10``.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// The kind of fault.
    pub code: ReasonCode,
    /// The top-level field at fault, where it is one field's.
    pub field: Option<&'static str>,
    /// What is wrong. With a field it is what follows the field's name, else a clause of its own.
    pub detail: String,
}

impl DecodeError {
    /// A fault of the record as a whole.
    pub(super) fn record(code: ReasonCode, detail: impl Into<String>) -> DecodeError {
        DecodeError { code, field: None, detail: detail.into() }
    }

    /// A fault of one field.
    pub(super) fn field(
        code: ReasonCode,
        field: &'static str,
        detail: impl Into<String>,
    ) -> DecodeError {
        DecodeError { code, field: Some(field), detail: detail.into() }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field {
            Some(field) => write!(f, "field `{field}` {}", self.detail),
            None => f.write_str(&self.detail),
        }
    }
}

impl std::error::Error for DecodeError {}

/// A found value as messages repeat it: one line, cut to [`SHOWN_CHARS`] characters.
pub(super) fn shown(found: &str) -> String {
    let mut text = String::new();
    for (position, char) in found.chars().enumerate() {
        if position == SHOWN_CHARS {
            text.push('…');
            break;
        }
        // A line break or a terminal's control code in a log line would let a record forge one.
        text.push(if char.is_control() { ' ' } else { char });
    }
    text
}

/// A list of allowed names: `` `paid`, `failed` or `voided` ``, and the one most like `found`.
pub(super) fn expected_names(found: &str, names: impl Iterator<Item = &'static str>) -> String {
    let names: Vec<&'static str> = names.collect();
    let mut text = String::new();
    for (position, name) in names.iter().enumerate() {
        let before = match position {
            0 => "",
            last if last + 1 == names.len() => " or ",
            _ => ", ",
        };
        write!(text, "{before}`{name}`").expect("writing to a string cannot fail");
    }
    // The comparison is quadratic in the length: what no one could have mistyped is not compared.
    let likeness = |name: &&str| (strsim::jaro_winkler(found, name) * 1_000.0) as u32;
    if found.len() <= SHOWN_CHARS
        && let Some(nearest) = names.iter().copied().max_by_key(likeness)
        && likeness(&nearest) >= 750
    {
        write!(text, "; nearest is `{nearest}`").expect("writing to a string cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_listed_once_and_named_in_snake_case() {
        for (position, code) in ReasonCode::ALL.into_iter().enumerate() {
            assert_eq!(code as usize, position);
            assert!(code.name().bytes().all(|b| b.is_ascii_lowercase() || b"_8".contains(&b)));
        }
    }

    #[test]
    fn long_and_many_lined_values_are_shown_short_and_on_one_line() {
        assert_eq!(shown("a\nb\u{1b}c"), "a b c");
        assert_eq!(shown(&"ä".repeat(60)), "ä".repeat(60));
        assert_eq!(shown(&"ä".repeat(61)), "ä".repeat(60) + "…");
    }

    #[test]
    fn the_nearest_name_is_only_named_when_it_is_near() {
        let names = || ["opened", "closed"].into_iter();
        assert_eq!(expected_names("opend", names()), "`opened` or `closed`; nearest is `opened`");
        assert_eq!(expected_names("xyz", names()), "`opened` or `closed`");
    }
}
