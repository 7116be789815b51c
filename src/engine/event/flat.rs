//! The usual record taken apart at one glance: one object of texts without escapes, plain numbers and
//! literals.
//!
//! Gives up at anything else, also at every fault: `object` then reads the record with the JSON
//! parser, which knows all of it and has the messages. What is taken here is taken there, and alike.

use super::field::Field;

/// Fills `fields` from `json`; `false` if this is not for here, and then they are as they were left.
pub(super) fn fill<'a>(fields: &mut [Field<'a>], json: &'a str) -> bool {
    Scan { json, at: 0 }.object(fields).is_some()
}

/// Whether a JSON text, in its quotes, holds no escape.
#[inline]
pub(super) fn is_plain(quoted: &str) -> bool {
    first_special(quoted.as_bytes(), 1) == Some(quoted.len() - 1)
}

struct Scan<'a> {
    json: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    fn object(&mut self, fields: &mut [Field<'a>]) -> Option<()> {
        self.skip_space();
        self.expect(b'{')?;
        self.skip_space();
        // Producers mostly write their fields in one order, which is often ours.
        let mut guess = 0;
        if self.peek() != Some(b'}') {
            loop {
                let quoted = self.text()?;
                let key = &quoted[1..quoted.len() - 1];
                self.skip_space();
                self.expect(b':')?;
                self.skip_space();
                let value = self.value()?;
                let is_key = |field: &Field<'_>| field.name() == key;
                let position = match fields.get(guess) {
                    Some(field) if is_key(field) => Some(guess),
                    _ => fields.iter().position(is_key),
                };
                if let Some(position) = position {
                    if !fields[position].fill(value) {
                        return None;
                    }
                    guess = position + 1;
                }
                self.skip_space();
                if self.peek() != Some(b',') {
                    break;
                }
                self.at += 1;
                self.skip_space();
            }
        }
        self.expect(b'}')?;
        self.skip_space();
        self.peek().is_none().then_some(())
    }

    #[inline]
    fn value(&mut self) -> Option<&'a str> {
        match self.peek()? {
            b'"' => self.text(),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            _ => None,
        }
    }

    /// A text with its quotes.
    #[inline]
    fn text(&mut self) -> Option<&'a str> {
        let start = self.at;
        self.expect(b'"')?;
        let end = first_special(self.json.as_bytes(), self.at)?;
        if self.json.as_bytes()[end] != b'"' {
            return None;
        }
        self.at = end + 1;
        Some(&self.json[start..self.at])
    }

    /// An integer, or one with a fraction.
    fn number(&mut self) -> Option<&'a str> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let whole = self.digits()?;
        if whole.len() > 1 && whole.starts_with('0') {
            return None;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        Some(&self.json[start..self.at])
    }

    fn digits(&mut self) -> Option<&'a str> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then(|| &self.json[start..self.at])
    }

    fn literal(&mut self, literal: &str) -> Option<&'a str> {
        let start = self.at;
        let found = self.json.as_bytes()[start..].starts_with(literal.as_bytes());
        found.then(|| {
            self.at += literal.len();
            &self.json[start..self.at]
        })
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.json.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek() == Some(byte)).then(|| self.at += 1)
    }

    #[inline]
    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }
}

/// The first quote, backslash or control character from `at` on. Texts are short: eight bytes at a
/// time in a register find it before a search through wider ones has begun.
#[inline]
fn first_special(bytes: &[u8], mut at: usize) -> Option<usize> {
    const ONES: u64 = u64::MAX / 0xFF;
    const HIGH_BITS: u64 = ONES * 0x80;
    // The lowest bit set is of the first byte that is below `limit`, or of none; limits are ASCII.
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & HIGH_BITS;
    while let Some(eight) = bytes.get(at..at + 8) {
        let word = u64::from_le_bytes(eight.try_into().expect("eight bytes are eight bytes"));
        let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
        let found = below(word, 0x20) | equal(b'"') | equal(b'\\');
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    bytes[at.min(bytes.len())..].iter().position(is_special).map(|found| at + found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_special_byte_is_found_wherever_it_lies() {
        for length in 0..40 {
            for special in [b'"', b'\\', b'\n', 0, 0x1F] {
                for filler in [b'a', 0x20, 0x7F, 0x80, 0xA2, 0xDC, 0xFF, b'!', b'#', b'[', b']'] {
                    let mut bytes = vec![filler; length];
                    assert_eq!(first_special(&bytes, 0), None);
                    bytes.extend([special, b'"', b'x', b'\\', 0, b'y', b'"', b'z', b'"']);
                    assert_eq!(first_special(&bytes, 0), Some(length), "{filler} {special}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_flat_or_not_right_is_left_to_the_parser() {
        let left = [
            "",
            "{",
            "[]",
            "null",
            "{}{}",
            "{} x",
            "{,}",
            "{\"a\":1,}",
            "{\"a\":01}",
            "{\"a\":-}",
            "{\"a\":1.}",
            "{\"a\":1e3}",
            "{\"a\":\"\\n\"}",
            "{\"a\":\"\n\"}",
            "{\"a\":[]}",
            "{\"a\":{}}",
            "{\"\\u0061\":1}",
            "{\"a\":tru}",
            "{\"a\" 1}",
            "{a:1}",
            "{\"a\":1,\"a\":2}",
            "{\"a\":truex}",
            "{\"a\":.5}",
            "{\"a\":+1}",
            "{\"a\":1 2}",
            "{\"a\":\"x}",
        ];
        for json in left {
            assert!(!fill(&mut [Field::absent("a")], json), "{json}");
        }
    }

    proptest! {
        /// Whatever is taken here, the parser takes for the same; and plain records are taken.
        #[test]
        fn the_parser_reads_the_same(
            entries in prop::collection::vec(
                ("[ab\"\\\\]{0,2}", "(\"[a-cé \\\\\"\n]{0,12}\"|-?[0-9]{0,4}(\\.[0-9]{0,3})?|[tfn]|true|false|null|\\{\\}|[1-9]e3)"),
                0..5,
            ),
            space in "[ \t\r\nx]{0,2}",
        ) {
            let inside: Vec<String> = entries
                .iter()
                .map(|(key, value)| format!("{space}\"{key}\"{space}:{space}{value}{space}"))
                .collect();
            let json = format!("{space}{{{}}}{space}", inside.join(","));
            let names = ["a", "b", "ab"];
            let (mut here, mut there) = (names.map(Field::absent), names.map(Field::absent));
            let taken = fill(&mut here, &json);
            let parsed = super::super::object::fill_parsed(&mut there, &json);
            if taken {
                prop_assert!(parsed.is_ok(), "{}", json);
                prop_assert_eq!(format!("{here:?}"), format!("{there:?}"), "{}", json);
            }
        }
    }
}
