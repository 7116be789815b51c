//! One field read from its raw JSON text, and the message when it cannot be.

use std::borrow::Cow;

use super::super::time::{EventTime, TimeError};
use super::Currency;
use super::decimal::{self, IntegerError};
use super::error::{DecodeError, ReasonCode, expected_names, shown};
use super::flat;

/// The longest text of any field, in bytes: ids and names are short, and each costs memory for as
/// long as its window lasts.
pub(super) const TEXT_BYTES_MAX: usize = 256;

/// The most labels a profile may carry.
const TAGS_MAX: usize = 64;

/// A known field of a record, present or not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    name: &'static str,
    /// The value's JSON text, valid and without space around it.
    text: Option<&'a str>,
    /// Known to be a text without escapes.
    is_plain: bool,
}

impl<'a> Field<'a> {
    #[inline]
    pub(super) fn absent(name: &'static str) -> Field<'a> {
        Field { name, text: None, is_plain: false }
    }

    #[inline]
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    #[cfg(test)]
    pub(super) fn text(&self) -> Option<&'a str> {
        self.text
    }

    /// Whether it is this text, and written without escapes.
    pub(super) fn is_text(&self, wanted: &str) -> bool {
        self.is_plain && self.text.is_some_and(|text| text[1..text.len() - 1] == *wanted)
    }

    /// Takes the value's text; `false` where there was one already.
    pub(super) fn fill(&mut self, text: &'a str) -> bool {
        self.fill_flat(text, false)
    }

    /// The same, where it is known whether it is a text without escapes.
    #[inline]
    pub(super) fn fill_flat(&mut self, text: &'a str, is_plain: bool) -> bool {
        self.is_plain = is_plain;
        self.text.replace(text).is_none()
    }

    /// Reads the field, which must be there.
    #[inline]
    pub(super) fn required<T>(
        self,
        read: impl FnOnce(Value<'a>) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        self.optional(read)?.ok_or_else(|| self.missing())
    }

    /// Reads the field if it is there; null is absent.
    #[inline]
    pub(super) fn optional<T>(
        self,
        read: impl FnOnce(Value<'a>) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        match self.text {
            None | Some("null") => Ok(None),
            Some(text) => read(Value { name: self.name, text, is_plain: self.is_plain }).map(Some),
        }
    }

    /// The fault of its absence.
    pub(super) fn missing(&self) -> DecodeError {
        DecodeError::field(ReasonCode::MissingField, self.name, "is missing")
    }

    /// The fault of a value that was read but cannot be, as in `is 11, expected 0 to 10`.
    pub(super) fn unexpected(&self, code: ReasonCode, expected: impl AsRef<str>) -> DecodeError {
        let text = self.text.unwrap_or("null");
        Value { name: self.name, text, is_plain: self.is_plain }.unexpected(code, expected)
    }
}

/// A field that is there and not null.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'a> {
    name: &'static str,
    text: &'a str,
    /// As in [`Field`].
    is_plain: bool,
}

impl<'a> Value<'a> {
    /// A text of at most [`TEXT_BYTES_MAX`] bytes.
    #[inline]
    pub(super) fn text(self) -> Result<Cow<'a, str>, DecodeError> {
        let text = self.unescaped()?;
        if text.len() > TEXT_BYTES_MAX {
            let detail = format!("has {} bytes, expected at most {TEXT_BYTES_MAX}", text.len());
            return Err(DecodeError::field(ReasonCode::WrongLength, self.name, detail));
        }
        Ok(text)
    }

    /// The same, kept.
    pub(super) fn owned_text(self) -> Result<String, DecodeError> {
        self.text().map(Cow::into_owned)
    }

    /// A text of 1 to [`TEXT_BYTES_MAX`] bytes.
    #[inline]
    pub(super) fn text_not_empty(self) -> Result<Cow<'a, str>, DecodeError> {
        let text = self.text()?;
        if text.is_empty() {
            let detail = format!("is empty, expected 1 to {TEXT_BYTES_MAX} bytes");
            return Err(DecodeError::field(ReasonCode::WrongLength, self.name, detail));
        }
        Ok(text)
    }

    /// One of a closed list of names.
    pub(super) fn one_of<T: Copy>(self, names: &[(&'static str, T)]) -> Result<T, DecodeError> {
        let text = self.unescaped()?;
        match names.iter().find(|(name, _)| *name == text) {
            Some((_, variant)) => Ok(*variant),
            None => {
                let names = names.iter().map(|(name, _)| *name);
                Err(self.unexpected(ReasonCode::UnknownValue, expected_names(&text, names)))
            }
        }
    }

    /// An ISO 4217 code. Only its form is checked: the list of codes changes every year.
    pub(super) fn currency(self) -> Result<Currency, DecodeError> {
        Currency::parse(&self.unescaped()?).ok_or_else(|| {
            self.unexpected(ReasonCode::UnknownValue, "three upper-case letters (ISO 4217)")
        })
    }

    /// A number in thousandths, rounded half up.
    pub(super) fn thousandths(self) -> Result<i64, DecodeError> {
        if !self.is_number() {
            return Err(self.unexpected(ReasonCode::WrongType, "a number"));
        }
        decimal::thousandths(self.text).ok_or_else(|| {
            let largest = i64::MAX / 1_000;
            self.unexpected(ReasonCode::OutOfRange, format!("-{largest} to {largest}"))
        })
    }

    /// A number of 0 or more, in thousandths, rounded half up.
    pub(super) fn thousandths_not_negative(self) -> Result<i64, DecodeError> {
        match self.thousandths()? {
            milli if milli >= 0 => Ok(milli),
            _ => Err(self.unexpected(ReasonCode::OutOfRange, "0 or more")),
        }
    }

    /// An integer of 0 or more.
    pub(super) fn integer_not_negative(self) -> Result<i64, DecodeError> {
        match self.integer()? {
            value if value >= 0 => Ok(value),
            _ => Err(self.unexpected(ReasonCode::OutOfRange, "0 or more")),
        }
    }

    /// RFC 3339 with offset, or integer milliseconds since the epoch.
    pub(super) fn instant(self) -> Result<EventTime, DecodeError> {
        let instant = if self.is_plain || self.text.starts_with('"') {
            EventTime::parse_rfc3339(&self.unescaped()?)
        } else if self.is_number() {
            EventTime::from_epoch_millis(self.integer()?)
        } else {
            let expected = "an RFC 3339 time with offset or integer milliseconds since 1970";
            return Err(self.unexpected(ReasonCode::WrongType, expected));
        };
        instant.map_err(|error| match error {
            TimeError::NotRfc3339 => {
                self.unexpected(ReasonCode::NotATime, "an RFC 3339 time with offset")
            }
            TimeError::OutOfRange => {
                self.unexpected(ReasonCode::OutOfRange, "a time in the years 1970 to 9999")
            }
        })
    }

    /// `true` or `false`.
    pub(super) fn boolean(self) -> Result<bool, DecodeError> {
        match self.text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(self.unexpected(ReasonCode::WrongType, "true or false")),
        }
    }

    /// A list of at most [`TAGS_MAX`] texts.
    pub(super) fn tags(self) -> Result<Vec<String>, DecodeError> {
        if !self.text.starts_with('[') {
            return Err(self.unexpected(ReasonCode::WrongType, "a list of texts"));
        }
        // The number of items is bounded by the size of the record, and each is only a slice of it.
        let items: Vec<&serde_json::value::RawValue> =
            serde_json::from_str(self.text).expect("the object's parser accepted this list");
        if items.len() > TAGS_MAX {
            let detail = format!("has {} items, expected at most {TAGS_MAX}", items.len());
            return Err(DecodeError::field(ReasonCode::WrongLength, self.name, detail));
        }
        items
            .into_iter()
            .map(|item| Value { name: self.name, text: item.get(), is_plain: false })
            .map(|item| match item.owned_text() {
                Ok(tag) => Ok(tag),
                Err(fault) => Err(DecodeError {
                    detail: format!("has an item that {}", fault.detail),
                    ..fault
                }),
            })
            .collect()
    }

    /// The fault of this value, as in `is 11, expected 0 to 10`.
    fn unexpected(self, code: ReasonCode, expected: impl AsRef<str>) -> DecodeError {
        let detail = format!("is {}, expected {}", shown(self.text), expected.as_ref());
        DecodeError::field(code, self.name, detail)
    }

    #[inline]
    fn is_number(self) -> bool {
        matches!(self.text.as_bytes(), [b'-' | b'0'..=b'9', ..])
    }

    fn integer(self) -> Result<i64, DecodeError> {
        if !self.is_number() {
            return Err(self.unexpected(ReasonCode::WrongType, "an integer"));
        }
        decimal::integer(self.text).map_err(|error| match error {
            IntegerError::Fraction => self.unexpected(ReasonCode::WrongType, "an integer"),
            IntegerError::OutOfRange => {
                let range = format!("{} to {}", i64::MIN, i64::MAX);
                self.unexpected(ReasonCode::OutOfRange, range)
            }
        })
    }

    /// The text between the quotes, borrowed where it holds no escape.
    #[inline]
    fn unescaped(self) -> Result<Cow<'a, str>, DecodeError> {
        if self.is_plain {
            return Ok(Cow::Borrowed(&self.text[1..self.text.len() - 1]));
        }
        if !self.text.starts_with("\"") {
            return Err(self.unexpected(ReasonCode::WrongType, "a text"));
        }
        if flat::is_plain(self.text) {
            return Ok(Cow::Borrowed(&self.text[1..self.text.len() - 1]));
        }
        // The object's parser has skipped this text and found its form right: all that can still be
        // wrong is half of a surrogate pair.
        serde_json::from_str(self.text).map(Cow::Owned).map_err(|_| {
            let detail = "holds an escape that is no Unicode character (half a surrogate pair)";
            DecodeError::field(ReasonCode::NotUtf8, self.name, detail)
        })
    }
}
