//! Malformed records of every kind, from a seed: each of them must be refused.
//!
//! Used by the decoder's own test and by tests that send such records through a whole pipeline. The
//! records are judged against [`RECORD_TIME`] and the default limits.

#![allow(dead_code, reason = "each test binary compiles all of this and uses its part")]

use barometer::engine::event::{DecodeLimits, PaymentStatus, ReasonCode, Source, TicketStatus};
use barometer::engine::time::EventTime;
use rand::{Rng, RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

/// The timestamp every record of the corpus was made for: 2026-03-01T12:35:00Z.
pub const RECORD_TIME: EventTime = EventTime::from_millis(1_772_368_500_000);

/// Every so many records one is over the size limit; of those, every tenth has 10 MB. They are rare
/// because each costs more than a thousand others.
const OVERSIZED_EVERY: usize = 200;

/// One record that nothing can be done with.
#[derive(Clone, Debug)]
pub struct Malformed {
    /// The topic it was sent to.
    pub source: Source,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// What is wrong with it, for messages.
    pub what: &'static str,
    /// The code it must be refused with.
    pub expected: ReasonCode,
}

/// An endless sequence of malformed records, the same for the same seed.
pub fn records(seed: u64) -> impl Iterator<Item = Malformed> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0usize..).map(move |index| match index % OVERSIZED_EVERY {
        0 => oversized(&mut rng, index % (10 * OVERSIZED_EVERY) == 0),
        _ => KINDS.choose(&mut rng).expect("there are kinds")(&mut rng),
    })
}

/// A good record of a random account, as its fields' names and JSON texts in order.
#[derive(Clone, Debug)]
pub struct Good {
    /// The topic it belongs to.
    pub source: Source,
    /// Its account, which is also its key.
    pub account_id: String,
    /// Its fields. All of them are known to the decoder.
    pub fields: Vec<(&'static str, String)>,
}

impl Good {
    /// The record's JSON.
    pub fn json(&self) -> String {
        let field = |(name, text): &(&str, String)| format!("\"{name}\":{text}");
        format!("{{{}}}", self.fields.iter().map(field).collect::<Vec<_>>().join(","))
    }

    /// Replaces the text of a field, or adds it.
    pub fn set(&mut self, name: &'static str, text: impl Into<String>) {
        match self.fields.iter_mut().find(|field| field.0 == name) {
            Some(field) => field.1 = text.into(),
            None => self.fields.push((name, text.into())),
        }
    }

    fn spoiled(self, what: &'static str, expected: ReasonCode) -> Malformed {
        let value = self.json().into_bytes();
        self.with_value(value, what, expected)
    }

    fn with_value(self, value: Vec<u8>, what: &'static str, expected: ReasonCode) -> Malformed {
        let key = Some(self.account_id.into_bytes());
        Malformed { source: self.source, key, value: Some(value), what, expected }
    }
}

/// A good record of any source.
pub fn good(rng: &mut impl Rng) -> Good {
    let source = *Source::ALL.choose(rng).expect("there are sources");
    good_of(source, rng)
}

/// A good record of one source, with all its fields.
pub fn good_of(source: Source, rng: &mut impl Rng) -> Good {
    let account_id = format!("acct-{:05}", rng.random_range(0..100_000));
    let mut fields = vec![
        ("event_id", quoted(format!("e-{}", rng.random::<u32>()))),
        ("account_id", quoted(&account_id)),
        ("occurred_at", quoted("2026-03-01T12:34:56.789Z")),
    ];
    fields.extend(match source {
        Source::Usage => vec![
            ("user_id", quoted("user-7")),
            ("feature", quoted("reports")),
            ("quantity", format!("{}.5", rng.random_range(0..1_000))),
        ],
        Source::Ticket => vec![
            ("ticket_id", quoted(format!("T-{}", rng.random_range(0..1_000)))),
            ("status", quoted(TicketStatus::NAMES.choose(rng).expect("not empty").0)),
            ("priority", quoted("high")),
            ("category", quoted("billing")),
        ],
        Source::Payment => vec![
            ("invoice_id", quoted(format!("INV-{}", rng.random_range(0..1_000)))),
            ("status", quoted(PaymentStatus::NAMES.choose(rng).expect("not empty").0)),
            ("amount_minor", rng.random_range(0..10_000_000).to_string()),
            ("currency", quoted("EUR")),
            ("due_at", "1774915200000".to_owned()),
        ],
        Source::Survey => vec![
            ("survey", quoted("goals_met")),
            ("score", rng.random_range(10..=20).to_string()),
            ("scale_min", "10".to_owned()),
            ("scale_max", "20".to_owned()),
            ("respondent_id", quoted("user-7")),
            ("role", quoted("admin")),
        ],
        Source::Profile => vec![
            ("name", quoted("Acme")),
            ("segment", quoted("enterprise")),
            ("tier", quoted("gold")),
            ("industry", quoted("retail")),
            ("size", quoted("large")),
            ("lifecycle_stage", quoted("adoption")),
            ("seats", rng.random_range(0..10_000).to_string()),
            ("arr_minor", rng.random_range(0..1_000_000_000).to_string()),
            ("currency", quoted("EUR")),
            ("owner", quoted("Kim")),
            ("owner_email", quoted("kim@example.com")),
            ("started_at", quoted("2024-01-01T00:00:00+01:00")),
            ("renewal_at", quoted("2027-01-01T00:00:00Z")),
            ("status", quoted("active")),
            ("parent_account_id", quoted("acct-0")),
            ("recovery_path", "true".to_owned()),
            ("tags", "[\"pilot\",\"dach\"]".to_owned()),
        ],
    });
    Good { source, account_id, fields }
}

/// The fields a record of this source cannot be without.
pub fn required_fields(source: Source) -> Vec<&'static str> {
    let own: &[&str] = match source {
        Source::Usage => &["feature"],
        Source::Ticket => &["ticket_id", "status"],
        Source::Payment => &["invoice_id", "status", "amount_minor", "currency"],
        Source::Survey => &["survey", "score"],
        Source::Profile => &[],
    };
    ["event_id", "account_id", "occurred_at"].iter().chain(own).copied().collect()
}

const KINDS: [fn(&mut ChaCha8Rng) -> Malformed; 25] = [
    |rng| {
        let record = good(rng);
        let json = record.json();
        let cut = json[..rng.random_range(1..json.len())].to_owned();
        record.with_value(cut.into(), "cut off", ReasonCode::NotJson)
    },
    |rng| {
        let record = good(rng);
        let json = record.json() + ["x", "{}", ",", "]", "\0"].choose(rng).expect("not empty");
        record.with_value(json.into(), "followed by something", ReasonCode::NotJson)
    },
    |rng| {
        let record = good(rng);
        let garbage: String = (0..rng.random_range(1..200)).map(|_| noise(rng)).collect();
        record.with_value(format!("<{garbage}").into(), "not JSON at all", ReasonCode::NotJson)
    },
    |rng| {
        let mut record = good(rng);
        record.set("event_id", "\"line\nbreak\"");
        record.spoiled("a bare control character in a text", ReasonCode::NotJson)
    },
    |rng| {
        let record = good(rng);
        // At most 1 MB: more would be too large before it is too deep. Mostly it is short.
        let levels = rng.random_range(1..200_000) / rng.random_range(1..1_000);
        let opened = ["{\"x\":", "["].choose(rng).expect("not empty").repeat(levels.max(1));
        record.with_value(opened.into(), "opened and never closed", ReasonCode::NotJson)
    },
    |rng| {
        let record = good(rng);
        let value = ["[]", "5", "\"x\"", "null", "true", "[{}]"].choose(rng).expect("not empty");
        record.with_value((*value).into(), "not an object", ReasonCode::WrongType)
    },
    |rng| {
        let mut record = good(rng);
        let position = rng.random_range(0..record.fields.len());
        record.fields[position].1 = "{\"a\":1}".to_owned();
        record.spoiled("an object as a field", ReasonCode::WrongType)
    },
    |rng| {
        let mut record = good(rng);
        let required = required_fields(record.source);
        let name = *required.choose(rng).expect("not empty");
        record.set(name, *["true", "[]", "[1]", "{}"].choose(rng).expect("not empty"));
        record.spoiled("a required field of a wrong type", ReasonCode::WrongType)
    },
    |rng| {
        let source = *[Source::Payment, Source::Profile].choose(rng).expect("not empty");
        let mut record = good_of(source, rng);
        let name = if source == Source::Payment { "amount_minor" } else { "seats" };
        record.set(name, *["12.5", "1e-3", "\"12\""].choose(rng).expect("not empty"));
        record.spoiled("no integer", ReasonCode::WrongType)
    },
    |rng| {
        let record = good(rng);
        let mut bytes = record.json().into_bytes();
        let bad = *[0xFFu8, 0xC0, 0xF8, 0x80].choose(rng).expect("not empty");
        bytes.insert(rng.random_range(0..bytes.len()), bad);
        record.with_value(bytes, "not UTF-8", ReasonCode::NotUtf8)
    },
    |rng| {
        let mut record = good(rng);
        let half = *["\\ud800", "\\udc00 x", "\\ud83dx"].choose(rng).expect("not empty");
        record.set("event_id", quoted(half));
        record.spoiled("half a surrogate pair", ReasonCode::NotUtf8)
    },
    |rng| {
        let mut record = good(rng);
        let length = 257 + rng.random_range(0..=900_000usize) / rng.random_range(1..1_000usize);
        record.set("event_id", quoted("x".repeat(length)));
        record.spoiled("a text that is too long", ReasonCode::WrongLength)
    },
    |rng| {
        let mut record = good(rng);
        record.set("account_id", "\"\"");
        record.spoiled("an empty account", ReasonCode::WrongLength)
    },
    |rng| {
        let mut record = good_of(Source::Profile, rng);
        record.set("tags", format!("[{}\"x\"]", "\"x\",".repeat(rng.random_range(64..10_000))));
        record.spoiled("too many tags", ReasonCode::WrongLength)
    },
    |rng| {
        let mut record = good(rng);
        let levels = rng.random_range(32..50_000);
        let (open, close) = *[("[", "]"), ("{\"x\":", "}")].choose(rng).expect("not empty");
        let inside = if open == "[" { "" } else { "1" };
        let nested = format!("{}{inside}{}", open.repeat(levels), close.repeat(levels));
        record.set("extra", nested);
        record.spoiled("nested too deep", ReasonCode::TooDeep)
    },
    |rng| {
        let source = *[Source::Usage, Source::Payment, Source::Profile].choose(rng).expect("some");
        let mut record = good_of(source, rng);
        let name = match source {
            Source::Usage => "quantity",
            Source::Payment => "amount_minor",
            _ => "arr_minor",
        };
        let number =
            ["-1", "1e30", "9223372036854775808", "99999999999999999999999", "1e999999999"];
        record.set(name, *number.choose(rng).expect("not empty"));
        record.spoiled("a number out of range", ReasonCode::OutOfRange)
    },
    |rng| {
        let mut record = good(rng);
        let instant = ["-1", "253402300800000", "1e300", "\"1969-12-31T23:59:59Z\""];
        record.set("occurred_at", *instant.choose(rng).expect("not empty"));
        record.spoiled("an instant out of range", ReasonCode::OutOfRange)
    },
    |rng| {
        let mut record = good_of(Source::Survey, rng);
        let (survey, scores) = *[
            ("nps", ["-1", "11", "10.001"]),
            ("csat", ["0", "6", "5.0005"]),
            ("ces", ["0", "8", "0.9994"]),
            ("renewal_intent", ["9", "21", "-1e3"]),
        ]
        .choose(rng)
        .expect("not empty");
        record.set("survey", quoted(survey));
        record.set("score", *scores.choose(rng).expect("not empty"));
        record.spoiled("a score off its scale", ReasonCode::OutOfRange)
    },
    |rng| {
        let mut record = good_of(Source::Survey, rng);
        record.set("scale_min", *["20", "21", "1e3"].choose(rng).expect("not empty"));
        record.spoiled("a scale upside down", ReasonCode::OutOfRange)
    },
    |rng| {
        let mut record = good(rng);
        let skew_millis = DecodeLimits::default().max_future_skew.as_millis();
        let ahead_millis = skew_millis + rng.random_range(1..10_000_000_000i64);
        let instant = EventTime::from_millis(RECORD_TIME.as_millis() + ahead_millis);
        let number = instant.as_millis().to_string();
        record.set("occurred_at", if rng.random() { number } else { quoted(instant.to_string()) });
        record.spoiled("from the future", ReasonCode::OccurredInFuture)
    },
    |rng| {
        let mut record = good(rng);
        let instants =
            ["", "yesterday", "2026-03-01", "2026-03-01T12:00:00", "2026-02-30T12:00:00Z"];
        record.set("occurred_at", quoted(instants.choose(rng).expect("not empty")));
        record.spoiled("not a time", ReasonCode::NotATime)
    },
    |rng| {
        let source = *[Source::Ticket, Source::Payment, Source::Profile].choose(rng).expect("some");
        let mut record = good_of(source, rng);
        record.set(
            "status",
            *["\"\"", "\"OPENED\"", "\"gone\"", "\"paid \""].choose(rng).expect("some"),
        );
        record.spoiled("an unknown status", ReasonCode::UnknownValue)
    },
    |rng| {
        let mut record = good(rng);
        let position = rng.random_range(0..record.fields.len());
        let mut again = record.fields[position].clone();
        if rng.random() {
            again.1 = "null".to_owned();
        }
        let at = rng.random_range(0..=record.fields.len());
        record.fields.insert(at, again);
        record.spoiled("a field given twice", ReasonCode::DuplicateField)
    },
    |rng| {
        let mut record = good(rng);
        let name = *required_fields(record.source).choose(rng).expect("not empty");
        match rng.random() {
            true => record.set(name, "null"),
            false => record.fields.retain(|field| field.0 != name),
        }
        record.spoiled("a field missing", ReasonCode::MissingField)
    },
    |rng| {
        let record = good(rng);
        let value = Some(record.json().into_bytes());
        let source = record.source;
        let malformed =
            |key, value, what, expected| Malformed { source, key, value, what, expected };
        let key = Some(record.account_id.into_bytes());
        match rng.random_range(0..5) {
            0 => malformed(None, value, "no key", ReasonCode::MissingKey),
            1 => malformed(Some(vec![]), value, "an empty key", ReasonCode::MissingKey),
            2 => malformed(key, Some(vec![]), "an empty value", ReasonCode::EmptyValue),
            3 if source != Source::Profile => {
                malformed(key, None, "a tombstone", ReasonCode::EmptyValue)
            }
            _ => {
                let others: [&[u8]; 4] = [b"acct", b"ACCT-1", b"\xFF\xFE", b" "];
                let other = others.choose(rng).expect("not empty");
                malformed(Some(other.to_vec()), value, "another's key", ReasonCode::KeyMismatch)
            }
        }
    },
];

fn oversized(rng: &mut ChaCha8Rng, huge: bool) -> Malformed {
    let mut record = good(rng);
    let limit = DecodeLimits::default().max_record_bytes;
    let padding = if huge { 10_000_000 } else { limit + rng.random_range(0..1_000) };
    record.set("extra", quoted("x".repeat(padding)));
    record.spoiled("too large", ReasonCode::TooLarge)
}

/// Quotes a text that needs no escape, or holds its own.
fn quoted(text: impl AsRef<str>) -> String {
    format!("\"{}\"", text.as_ref())
}

/// A character of a kind that JSON texts are made of.
fn noise(rng: &mut impl Rng) -> char {
    *b"{}[]\",:0123456789eE+-.truefalsn\\u \t".choose(rng).expect("not empty") as char
}
