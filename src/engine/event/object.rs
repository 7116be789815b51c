//! One JSON object taken apart: the raw text of each known top-level field, nothing read yet.
//!
//! Values are skipped, not built, without recursion. Unknown fields cost the skip only. What `flat`
//! can take apart does not get to the parser here.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer as _, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::error::{DecodeError, ReasonCode, shown};
use super::field::Field;
use super::flat;

/// The deepest nesting of objects and lists a record may have, the record itself included. No field
/// needs more than two levels; the rest is room for producers' own unknown fields.
const DEPTH_MAX: usize = 32;

/// Takes `json` apart. The answer holds the fields of `names`, in that order.
pub(super) fn fields<'a, const N: usize>(
    json: &'a str,
    names: &[&'static str; N],
) -> Result<[Field<'a>; N], DecodeError> {
    let mut fields = names.map(Field::absent);
    if !flat::fill(&mut fields, json) {
        fields = names.map(Field::absent);
        fill_parsed(&mut fields, json)?;
    }
    Ok(fields)
}

/// The same by the JSON parser, whatever the object looks like.
pub(super) fn fill_parsed<'a>(fields: &mut [Field<'a>], json: &'a str) -> Result<(), DecodeError> {
    let mut fault = None;
    let mut deserializer = serde_json::Deserializer::from_str(json);
    deserializer
        .deserialize_map(Filling { fields, fault: &mut fault })
        .and_then(|()| deserializer.end())
        .map_err(|error| fault.unwrap_or_else(|| not_an_object(json, &error)))
}

struct Filling<'f, 'a> {
    fields: &'f mut [Field<'a>],
    /// Our own reason for stopping: serde's errors can only carry a text.
    fault: &'f mut Option<DecodeError>,
}

impl<'de> Visitor<'de> for Filling<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let mut guess = 0;
        while let Some(position) = object.next_key_seed(Key { fields: self.fields, guess })? {
            let value: &'de RawValue = object.next_value()?;
            let value = value.get();
            let field = position.map(|position| &mut self.fields[position]);
            if nests_deeper_than(DEPTH_MAX - 1, value) {
                let detail = format!("nests deeper than {DEPTH_MAX} levels");
                *self.fault = Some(match field {
                    Some(field) => DecodeError::field(ReasonCode::TooDeep, field.name(), detail),
                    None => DecodeError::record(ReasonCode::TooDeep, format!("record {detail}")),
                });
                return Err(A::Error::custom(""));
            }
            let Some(field) = field else { continue };
            if !field.fill(value) {
                let (code, name) = (ReasonCode::DuplicateField, field.name());
                *self.fault = Some(DecodeError::field(code, name, "is given twice"));
                return Err(A::Error::custom(""));
            }
            guess = position.map_or(guess, |position| position + 1);
        }
        Ok(())
    }
}

/// Finds a key among the fields: its position, or `None` for an unknown one.
struct Key<'f, 'a> {
    fields: &'f [Field<'a>],
    /// Tried first: producers mostly write their fields in one order, which is often ours.
    guess: usize,
}

impl<'de> DeserializeSeed<'de> for Key<'_, '_> {
    type Value = Option<usize>;

    fn deserialize<D: serde::Deserializer<'de>>(self, key: D) -> Result<Self::Value, D::Error> {
        key.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_, '_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        if self.fields.get(self.guess).is_some_and(|field| field.name() == key) {
            return Ok(Some(self.guess));
        }
        Ok(self.fields.iter().position(|field| field.name() == key))
    }
}

/// Whether a valid JSON value holds more than `levels` objects and lists inside each other.
fn nests_deeper_than(levels: usize, value: &str) -> bool {
    if !matches!(value.as_bytes(), [b'{' | b'[', ..]) {
        return false;
    }
    let mut depth = 0;
    let mut in_string = false;
    let mut escaped = false;
    for byte in value.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                if depth > levels {
                    return true;
                }
            }
            b'}' | b']' => depth -= 1,
            _ => {}
        }
    }
    false
}

/// Tells a JSON value that is no object from a text that is no JSON.
fn not_an_object(json: &str, error: &serde_json::Error) -> DecodeError {
    let not_json = |error: &serde_json::Error| {
        DecodeError::record(ReasonCode::NotJson, format!("record is not JSON: {error}"))
    };
    if !error.is_data() {
        return not_json(error);
    }
    // The first character was that of another kind of value; what follows was not looked at yet.
    match serde_json::from_str::<&RawValue>(json) {
        Ok(value) => DecodeError::record(
            ReasonCode::WrongType,
            format!("record is {}, expected an object", shown(value.get())),
        ),
        Err(error) => not_json(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 2] = ["a", "b"];

    fn fault(json: &str) -> String {
        let error = fields(json, &NAMES).expect_err(json);
        format!("{}: {error}", error.code)
    }

    #[test]
    fn what_is_no_single_object_is_refused_with_the_place() {
        let table = [
            ("", "not_json: record is not JSON: EOF while parsing a value at line 1 column 0"),
            ("  [1, 2] ", "wrong_type: record is [1, 2], expected an object"),
            ("null", "wrong_type: record is null, expected an object"),
            ("[", "not_json: record is not JSON: EOF while parsing a list at line 1 column 1"),
            ("nul", "not_json: record is not JSON: EOF while parsing a value at line 1 column 3"),
            ("{} {}", "not_json: record is not JSON: trailing characters at line 1 column 4"),
            ("{\"a\":1,}", "not_json: record is not JSON: trailing comma at line 1 column 8"),
            ("{\"a\":01}", "not_json: record is not JSON: invalid number at line 1 column 7"),
            ("{'a':1}", "not_json: record is not JSON: key must be a string at line 1 column 2"),
            ("{\"a\":1,\"b\":2,\"a\":null}", "duplicate_field: field `a` is given twice"),
            ("{\"a\":1,\"\\u0061\":2}", "duplicate_field: field `a` is given twice"),
        ];
        for (json, expected) in table {
            assert_eq!(fault(json), expected);
        }
    }

    #[test]
    fn nesting_is_bounded_in_known_and_unknown_fields() {
        let nested = |name: &str, levels: usize| {
            format!("{{\"{name}\":{}{}}}", "[".repeat(levels), "]".repeat(levels))
        };
        assert!(fields(&nested("x", 31), &NAMES).is_ok());
        assert_eq!(fault(&nested("x", 32)), "too_deep: record nests deeper than 32 levels");
        assert_eq!(fault(&nested("a", 32)), "too_deep: field `a` nests deeper than 32 levels");
        assert_eq!(fault(&nested("x", 400_000)), "too_deep: record nests deeper than 32 levels");
        let brackets_in_text = format!("{{\"x\":[\"{}\\\"[\"]}}", "[".repeat(100));
        assert!(fields(&brackets_in_text, &NAMES).is_ok());
    }

    #[test]
    fn repeated_unknown_fields_are_no_concern_of_ours() {
        assert!(fields("{\"x\":1,\"x\":2}", &NAMES).is_ok());
    }
}
