//! The usual record taken apart at one glance: one object of texts without escapes, plain numbers and
//! literals.
//!
//! Gives up at anything else, also at every fault: `object` then reads the record with the JSON
//! parser, which knows all of it and has the messages. What is taken here is taken there, and alike.

use super::field::Field;

/// Fills `fields` from `json`; `false` if this is not for here, and then they are as they were left.
pub(super) fn fill<'a>(fields: &mut [Field<'a>], json: &'a str) -> bool {
    // Most records hold nothing that would have to be looked for within their texts, and that is
    // found out for the whole of them faster than for one text after the other.
    if holds_special(json.as_bytes()) {
        Scan::<false> { json, at: 0 }.object(fields).is_some()
    } else {
        Scan::<true> { json, at: 0 }.object(fields).is_some()
    }
}

/// Whether a JSON text, in its quotes, holds no escape.
#[inline]
pub(super) fn is_plain(quoted: &str) -> bool {
    first_special(quoted.as_bytes(), 1) == Some(quoted.len() - 1)
}

/// `CLEAN` where the whole record holds neither a backslash nor a control character.
struct Scan<'a, const CLEAN: bool> {
    json: &'a str,
    at: usize,
}

impl<'a, const CLEAN: bool> Scan<'a, CLEAN> {
    fn object(&mut self, fields: &mut [Field<'a>]) -> Option<()> {
        self.skip_space();
        self.expect(b'{')?;
        self.skip_space();
        // Producers mostly write their fields in one order, which is often ours.
        let mut guess = 0;
        if self.peek() != Some(b'}') {
            loop {
                let position = match fields.get(guess) {
                    Some(field) if self.take_key(field.name()) => Some(guess),
                    _ => {
                        let quoted = self.text()?;
                        let key = &quoted[1..quoted.len() - 1];
                        fields.iter().position(|field| field.name() == key)
                    }
                };
                self.skip_space();
                self.expect(b':')?;
                self.skip_space();
                let (value, is_plain) = self.value()?;
                if let Some(position) = position {
                    if !fields[position].fill_flat(value, is_plain) {
                        return None;
                    }
                    guess = if position + 1 < fields.len() { position + 1 } else { 0 };
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

    /// Goes past the key `name`, in its quotes, if it comes next.
    #[inline]
    fn take_key(&mut self, name: &str) -> bool {
        let rest = &self.json.as_bytes()[self.at..];
        let found = rest.len() > name.len() + 1
            && rest[0] == b'"'
            && rest[name.len() + 1] == b'"'
            && rest[1..=name.len()] == *name.as_bytes();
        if found {
            self.at += name.len() + 2;
        }
        found
    }

    /// A value, and whether it is a text.
    #[inline]
    fn value(&mut self) -> Option<(&'a str, bool)> {
        let value = match self.peek()? {
            b'"' => return Some((self.text()?, true)),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            _ => None,
        };
        Some((value?, false))
    }

    /// A text with its quotes.
    #[inline]
    fn text(&mut self) -> Option<&'a str> {
        let start = self.at;
        self.expect(b'"')?;
        let bytes = self.json.as_bytes();
        let end = if CLEAN {
            first_quote(bytes, self.at)?
        } else {
            first_special(bytes, self.at).filter(|end| bytes[*end] == b'"')?
        };
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

/// Whether there is any backslash or control character. In blocks of a fixed size and without a way
/// out in between, so that the compiler makes it an operation on many bytes at once.
fn holds_special(bytes: &[u8]) -> bool {
    const BLOCK: usize = 32;
    let any = |block: &[u8]| {
        block.iter().fold(false, |any, byte| any | (*byte < 0x20) | (*byte == b'\\'))
    };
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    blocks.iter().any(|block| any(block)) || any(rest)
}

const ONES: u64 = u64::MAX / 0xFF;
const HIGH_BITS: u64 = ONES * 0x80;

/// Of eight bytes in a register, the lowest bit set is of the first byte that is below `limit`, or
/// of none; limits are ASCII.
#[inline]
fn below(word: u64, limit: u64) -> u64 {
    word.wrapping_sub(ONES * limit) & !word & HIGH_BITS
}

#[inline]
fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ (ONES * u64::from(byte)), 1)
}

/// The first quote from `at` on.
#[inline]
fn first_quote(bytes: &[u8], at: usize) -> Option<usize> {
    first_of(bytes, at, |word| equal(word, b'"'), |byte| byte == b'"')
}

/// The first quote, backslash or control character from `at` on.
#[inline]
fn first_special(bytes: &[u8], at: usize) -> Option<usize> {
    let in_word = |word| below(word, 0x20) | equal(word, b'"') | equal(word, b'\\');
    first_of(bytes, at, in_word, |byte| matches!(byte, b'"' | b'\\' | 0..0x20))
}

/// The first byte from `at` on that is looked for. Texts are short: eight bytes at a time in a
/// register find it before a search through wider ones has begun.
#[inline]
fn first_of(
    bytes: &[u8],
    mut at: usize,
    in_word: impl Fn(u64) -> u64,
    is_it: impl Fn(u8) -> bool,
) -> Option<usize> {
    let (words, rest) = bytes.get(at..)?.as_chunks::<8>();
    for word in words {
        let found = in_word(u64::from_le_bytes(*word));
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    rest.iter().position(|byte| is_it(*byte)).map(|found| at + found)
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
                    assert_eq!((first_special(&bytes, 0), first_quote(&bytes, 0)), (None, None));
                    assert!(!holds_special(&bytes));
                    bytes.extend([special, b'"', b'x', b'\\', 0, b'y', b'"', b'z', b'"']);
                    assert_eq!(first_special(&bytes, 0), Some(length), "{filler} {special}");
                    let quote = length + usize::from(special != b'"');
                    assert_eq!(first_quote(&bytes, 0), Some(quote), "{filler} {special}");
                    assert!(holds_special(&bytes));
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
                prop_assert_eq!(here.map(|field| field.text()), there.map(|field| field.text()), "{}", json);
            }
        }
    }
}
