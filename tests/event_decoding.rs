//! Decoding, seen from outside: what good records mean, and what is said of bad ones.

mod malformed;

use std::borrow::Cow;

use barometer::engine::event::{
    Body, Currency, DecodeError, DecodeLimits, Event, PaymentStatus, Priority, ProfileStatus,
    ReasonCode, Source, TicketStatus, decode, decode_bare,
};
use barometer::engine::time::{EventTime, Span};
use malformed::{Good, RECORD_TIME, good, good_of, required_fields};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

fn decoded<'a>(source: Source, key: &'a str, json: &'a str) -> Result<Event<'a>, DecodeError> {
    let (key, value) = (Some(key.as_bytes()), Some(json.as_bytes()));
    decode(source, key, value, RECORD_TIME, &DecodeLimits::default())
}

fn accepted(record: &Good, json: &str) -> bool {
    decoded(record.source, &record.account_id, json).is_ok()
}

/// The record of account `a` with these fields in front of the common ones.
fn json_with(fields: &str) -> String {
    format!(r#"{{{fields}"event_id":"e","account_id":"a","occurred_at":"2026-03-01T12:00:00Z"}}"#)
}

fn message(source: Source, json: &str) -> String {
    let error = decoded(source, "a", json).expect_err(json);
    format!("{}: {error}", error.code)
}

#[test]
fn a_usage_event_is_read_without_a_copy() {
    let json = json_with(r#""user_id":"u","feature":"reports","quantity":2.0005,"#);
    let event = decoded(Source::Usage, "a", &json).unwrap();
    assert!(matches!(event.account_id, Cow::Borrowed("a")));
    assert!(matches!(event.event_id, Cow::Borrowed("e")));
    assert_eq!(event.occurred_at, EventTime::parse_rfc3339("2026-03-01T12:00:00Z").unwrap());
    let Body::Usage(usage) = event.body else { panic!("not usage") };
    assert!(matches!(usage.user_id, Some(Cow::Borrowed("u"))));
    assert!(matches!(usage.feature, Cow::Borrowed("reports")));
    assert_eq!(usage.quantity_milli, 2_001);
}

#[test]
fn absent_and_null_fields_take_their_defaults() {
    for fields in [r#""feature":"f","#, r#""feature":"f","quantity":null,"user_id":null,"#] {
        let json = json_with(fields);
        let Body::Usage(usage) = decoded(Source::Usage, "a", &json).unwrap().body else { panic!() };
        assert_eq!((usage.quantity_milli, usage.user_id), (1_000, None));
    }
    let json = json_with(r#""ticket_id":"t","status":"opened","#);
    let Body::Ticket(ticket) = decoded(Source::Ticket, "a", &json).unwrap().body else { panic!() };
    assert_eq!((ticket.status, ticket.priority), (TicketStatus::Opened, None));
    assert_eq!(ticket.priority.unwrap_or_default(), Priority::Normal);
    let json = json_with("");
    let Body::Profile(profile) = decoded(Source::Profile, "a", &json).unwrap().body else {
        panic!()
    };
    assert_eq!(*profile, Default::default());
}

#[test]
fn payments_need_a_due_date_only_when_issued() {
    let fields = r#""invoice_id":"i","status":"paid","amount_minor":1250.0,"currency":"EUR","#;
    let json = json_with(fields);
    let Body::Payment(payment) = decoded(Source::Payment, "a", &json).unwrap().body else {
        panic!()
    };
    assert_eq!(payment.status, PaymentStatus::Paid);
    assert_eq!((payment.amount_minor, payment.currency), (1_250, Currency(*b"EUR")));
    assert_eq!(payment.due_at, None);
    let issued = json_with(&fields.replace("paid", "issued"));
    assert_eq!(message(Source::Payment, &issued), "missing_field: field `due_at` is missing");
}

#[test]
fn known_surveys_have_their_own_scales_and_ignore_given_ones() {
    let table = [
        (r#""survey":"nps","score":10,"#, (10_000, 0, 10_000)),
        (r#""survey":"nps","score":0,"scale_min":5,"scale_max":"x","#, (0, 0, 10_000)),
        (r#""survey":"csat","score":1,"#, (1_000, 1_000, 5_000)),
        (r#""survey":"ces","score":6.5,"#, (6_500, 1_000, 7_000)),
        (r#""survey":"goals","score":99.9,"#, (99_900, 0, 100_000)),
        (r#""survey":"goals","score":-0.25,"scale_min":-0.25,"scale_max":1,"#, (-250, -250, 1_000)),
    ];
    for (fields, expected) in table {
        let json = json_with(fields);
        let Body::Survey(survey) = decoded(Source::Survey, "a", &json).unwrap().body else {
            panic!()
        };
        let found = (survey.score_milli, survey.scale_min_milli, survey.scale_max_milli);
        assert_eq!(found, expected, "{fields}");
    }
}

#[test]
fn a_profile_holds_every_field_of_the_table() {
    let record = good_of(Source::Profile, &mut ChaCha8Rng::seed_from_u64(1));
    let json = record.json();
    let event = decoded(Source::Profile, &record.account_id, &json).unwrap();
    let Body::Profile(profile) = event.body else { panic!("not a profile") };
    assert_eq!(profile.name.as_deref(), Some("Acme"));
    assert_eq!(profile.owner_email.as_deref(), Some("kim@example.com"));
    assert_eq!(profile.status, Some(ProfileStatus::Active));
    assert_eq!(profile.recovery_path, Some(true));
    assert_eq!(profile.tags, ["pilot", "dach"]);
    assert_eq!(profile.started_at, Some(EventTime::parse_rfc3339("2023-12-31T23:00:00Z").unwrap()));
}

#[test]
fn a_tombstone_forgets_a_profile_and_is_refused_elsewhere() {
    let limits = DecodeLimits::default();
    let event = decode(Source::Profile, Some(b"a"), None, RECORD_TIME, &limits).unwrap();
    assert_eq!((&*event.account_id, &*event.event_id), ("a", ""));
    assert_eq!((event.occurred_at, event.body), (RECORD_TIME, Body::ProfileGone));

    let long_key = [b'k'; 257];
    type Row<'a> = (Source, Option<&'a [u8]>, Option<&'a [u8]>, &'a str);
    let table: [Row<'_>; 7] = [
        (Source::Profile, None, None, "missing_key: record has no key"),
        (Source::Profile, Some(b"\xFF"), None, "not_utf8: key is not UTF-8"),
        (
            Source::Profile,
            Some(&long_key),
            None,
            "wrong_length: key has 257 bytes, expected 1 to 256",
        ),
        (
            Source::Profile,
            Some(b"a"),
            Some(b""),
            "empty_value: record has an empty value, expected an object",
        ),
        (
            Source::Usage,
            Some(b"a"),
            None,
            "empty_value: record has no value (a tombstone), expected an event",
        ),
        (Source::Usage, Some(b""), Some(b"{}"), "missing_key: key is empty"),
        (
            Source::Usage,
            Some(b"a"),
            Some(b"{\"\xC3\":1}"),
            "not_utf8: record is not UTF-8 at byte 2",
        ),
    ];
    for (source, key, value, expected) in table {
        let error = decode(source, key, value, RECORD_TIME, &limits).unwrap_err();
        assert_eq!(format!("{}: {error}", error.code), expected);
    }
}

#[test]
fn messages_name_the_field_what_was_found_and_what_was_expected() {
    let long = format!(r#""feature":"{}","quantity":"{}","#, "f".repeat(257), "9".repeat(100));
    let tags = format!(r#""tags":[{}1],"#, "1,".repeat(64));
    let table = [
        (Source::Usage, "", "missing_field: field `feature` is missing"),
        (Source::Usage, r#""feature":7,"#, "wrong_type: field `feature` is 7, expected a text"),
        (
            Source::Usage,
            r#""feature":"f","quantity":"5","#,
            "wrong_type: field `quantity` is \"5\", expected a number",
        ),
        (
            Source::Usage,
            r#""feature":"f","quantity":-0.001,"#,
            "out_of_range: field `quantity` is -0.001, expected 0 or more",
        ),
        (
            Source::Usage,
            r#""feature":"f","quantity":1e300,"#,
            "out_of_range: field `quantity` is 1e300, expected -9223372036854775 to 9223372036854775",
        ),
        (Source::Usage, &long, "wrong_length: field `feature` has 257 bytes, expected at most 256"),
        (
            Source::Usage,
            r#""feature":"\ud800","#,
            "not_utf8: field `feature` holds an escape that is no Unicode character (half a surrogate pair)",
        ),
        (
            Source::Ticket,
            r#""ticket_id":"t","status":"opend","#,
            "unknown_value: field `status` is \"opend\", expected `opened`, `pending`, `escalated`, \
             `resolved`, `reopened` or `closed`; nearest is `opened`",
        ),
        (
            Source::Ticket,
            r#""ticket_id":"t","status":"opened","priority":"P1","#,
            "unknown_value: field `priority` is \"P1\", expected `low`, `normal`, `high` or `urgent`",
        ),
        (
            Source::Payment,
            r#""invoice_id":"i","status":"paid","currency":"EUR","#,
            "missing_field: field `amount_minor` is missing",
        ),
        (
            Source::Payment,
            r#""invoice_id":"i","status":"paid","amount_minor":12.5,"currency":"EUR","#,
            "wrong_type: field `amount_minor` is 12.5, expected an integer",
        ),
        (
            Source::Payment,
            r#""invoice_id":"i","status":"paid","amount_minor":-1,"currency":"EUR","#,
            "out_of_range: field `amount_minor` is -1, expected 0 or more",
        ),
        (
            Source::Payment,
            r#""invoice_id":"i","status":"paid","amount_minor":1,"currency":"eur","#,
            "unknown_value: field `currency` is \"eur\", expected three upper-case letters (ISO 4217)",
        ),
        (
            Source::Payment,
            r#""invoice_id":"i","status":"paid","amount_minor":1,"currency":"EUR","due_at":"soon","#,
            "not_a_time: field `due_at` is \"soon\", expected an RFC 3339 time with offset",
        ),
        (
            Source::Survey,
            r#""survey":"nps","score":11,"#,
            "out_of_range: field `score` is 11, expected 0 to 10",
        ),
        (
            Source::Survey,
            r#""survey":"x","score":3,"scale_min":-1.5,"scale_max":2.25,"#,
            "out_of_range: field `score` is 3, expected -1.5 to 2.25",
        ),
        (
            Source::Survey,
            r#""survey":"x","score":3,"scale_min":100,"#,
            "out_of_range: field `scale_min` is 100, expected less than `scale_max` (100)",
        ),
        (
            Source::Survey,
            r#""survey":"x","score":3,"scale_min":5,"scale_max":5,"#,
            "out_of_range: field `scale_max` is 5, expected more than `scale_min` (5)",
        ),
        (
            Source::Profile,
            r#""started_at":-1,"#,
            "out_of_range: field `started_at` is -1, expected a time in the years 1970 to 9999",
        ),
        (
            Source::Profile,
            r#""renewal_at":true,"#,
            "wrong_type: field `renewal_at` is true, expected an RFC 3339 time with offset or \
             integer milliseconds since 1970",
        ),
        (
            Source::Profile,
            r#""recovery_path":1,"#,
            "wrong_type: field `recovery_path` is 1, expected true or false",
        ),
        (
            Source::Profile,
            r#""tags":"x","#,
            "wrong_type: field `tags` is \"x\", expected a list of texts",
        ),
        (
            Source::Profile,
            r#""tags":["x",null],"#,
            "wrong_type: field `tags` has an item that is null, expected a text",
        ),
        (Source::Profile, &tags, "wrong_length: field `tags` has 65 items, expected at most 64"),
    ];
    for (source, fields, expected) in table {
        assert_eq!(message(source, &json_with(fields)), expected, "{fields}");
    }
}

#[test]
fn the_key_and_the_clock_bound_what_a_record_may_claim() {
    let json = json_with(r#""feature":"f","#);
    let error = decoded(Source::Usage, "b", &json).unwrap_err();
    assert_eq!(error.code, ReasonCode::KeyMismatch);
    assert_eq!(error.to_string(), "key is \"b\", expected the `account_id` \"a\"");

    let at = |occurred_at: i64| {
        let time = format!("\"occurred_at\":{occurred_at}");
        json.replace("\"occurred_at\":\"2026-03-01T12:00:00Z\"", &time)
    };
    let latest = RECORD_TIME + DecodeLimits::default().max_future_skew;
    assert!(decoded(Source::Usage, "a", &at(latest.as_millis())).is_ok());
    assert_eq!(
        message(Source::Usage, &at(latest.as_millis() + 1)),
        "occurred_in_future: field `occurred_at` is 1772368800001, expected at most 5m after the \
         record's time 2026-03-01T12:35:00Z"
    );
    let limits = DecodeLimits { max_record_bytes: 10, max_future_skew: Span::ZERO };
    let error = decode_bare(Source::Usage, &json, &limits).unwrap_err();
    assert_eq!(error.code, ReasonCode::TooLarge);
    assert_eq!(error.to_string(), "record has 84 bytes, expected at most 10");
}

#[test]
fn a_bare_event_needs_no_key_and_is_never_from_the_future() {
    let json = json_with(r#""source":"usage","feature":"f","#).replace("2026", "2126");
    let event = decode_bare(Source::Usage, &json, &DecodeLimits::default()).unwrap();
    assert_eq!(event.account_id, "a");
    assert!(decode_bare(Source::Ticket, &json, &DecodeLimits::default()).is_err());
}

#[test]
fn ten_thousand_malformed_records_are_all_refused_with_their_own_code() {
    let seed = 20_260_301;
    let mut codes = std::collections::BTreeSet::new();
    for (index, record) in malformed::records(seed).take(10_000).enumerate() {
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        let limits = DecodeLimits::default();
        match decode(record.source, key, value, RECORD_TIME, &limits) {
            Ok(event) => panic!("seed {seed}, record {index} ({}): {event:?}", record.what),
            Err(error) => {
                let context = format!("seed {seed}, record {index} ({}): {error}", record.what);
                assert_eq!(error.code, record.expected, "{context}");
                assert!(error.to_string().len() < 400, "{context}");
                codes.insert(error.code);
            }
        }
    }
    // Where a record belongs, and whether there is room for it, is not for decoding to say.
    let of_others = [ReasonCode::Misrouted, ReasonCode::AccountLimit, ReasonCode::ItemLimit];
    let decoded = ReasonCode::ALL.into_iter().filter(|code| !of_others.contains(code));
    assert!(codes.into_iter().eq(decoded), "the corpus covers every code of the decoder");
}

#[test]
fn a_record_cut_off_anywhere_is_refused() {
    for source in Source::ALL {
        let record = good_of(source, &mut ChaCha8Rng::seed_from_u64(2));
        let json = record.json();
        assert!(accepted(&record, &json), "{json}");
        for end in 0..json.len() {
            assert!(!accepted(&record, &json[..end]), "{}", &json[..end]);
        }
    }
}

#[test]
fn a_field_of_another_type_is_refused_and_one_given_twice_too() {
    let texts = ["7", "7.5", "true", "\"\\ud800\"", "[]", "{}", "[null]", "{\"x\":\"y\"}"];
    for source in Source::ALL {
        let record = good_of(source, &mut ChaCha8Rng::seed_from_u64(3));
        for (position, (name, text)) in record.fields.iter().enumerate() {
            let kind = |text: &str| match text.as_bytes()[0] {
                byte if byte.is_ascii_digit() => b'0',
                byte => byte,
            };
            for other in texts {
                // A text of the same type, and an instant in milliseconds, may well be accepted.
                let may_be_good =
                    kind(other) == kind(text) || (name.ends_with("_at") && other == "7");
                if !may_be_good {
                    let mut changed = record.clone();
                    changed.fields[position].1 = other.to_owned();
                    assert!(!accepted(&changed, &changed.json()), "{}", changed.json());
                }
            }
            let mut doubled = record.clone();
            doubled.fields.push((name, text.clone()));
            assert!(!accepted(&doubled, &doubled.json()), "{}", doubled.json());
            let mut absent = record.clone();
            absent.fields.remove(position);
            let due = *name == "due_at" && record.json().contains("issued");
            let required = required_fields(source).contains(name) || due;
            // Without its own scale, a score of 10 to 20 is on the default one.
            assert_eq!(accepted(&absent, &absent.json()), !required, "{}", absent.json());
        }
    }
}

/// The same record written another way.
fn rewritten(record: &Good, rotate: usize, escape: bool, space: &str) -> String {
    let mut fields = record.fields.clone();
    let middle = rotate % fields.len();
    fields.rotate_left(middle);
    fields.push(("an_unknown_field", "[{\"a\":[1,2,{}]},\"]]]\"]".to_owned()));
    let escaped = |text: &str| -> String {
        let inside = text.trim_matches('"');
        let escape = |char: char| format!("\\u{:04x}", u32::from(char));
        format!("\"{}\"", inside.chars().map(escape).collect::<String>())
    };
    let field = |(name, text): &(&str, String)| {
        let name = if escape { escaped(name) } else { format!("\"{name}\"") };
        let text = if escape && text.starts_with('"') { escaped(text) } else { text.clone() };
        format!("{space}{name}{space}:{space}{text}{space}")
    };
    let fields: Vec<String> = fields.iter().map(field).collect();
    format!("{space}{{{}}}{space}", fields.join(","))
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused(
        key in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..8)),
        value in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300)),
        source in 0usize..5,
    ) {
        let limits = DecodeLimits::default();
        let _ = decode(Source::ALL[source], key.as_deref(), value.as_deref(), RECORD_TIME, &limits);
    }

    #[test]
    fn any_mixture_of_json_pieces_is_decoded_or_refused(
        pieces in proptest::collection::vec(proptest::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u", "d83d", "null", "true", "-", "1", "e",
            "+9", ".", "0", "\"account_id\":", "\"a\"", "\"occurred_at\":", "\"tags\":", "é", " ",
        ]), 0..60),
        source in 0usize..5,
    ) {
        let json = pieces.concat();
        let _ = decoded(Source::ALL[source], "a", &json);
        let _ = decoded(Source::ALL[source], "a", &json_with(&format!("{json},")));
    }

    #[test]
    fn a_good_record_with_one_byte_changed_is_decoded_or_refused(
        seed: u64, position: usize, byte: u8,
    ) {
        let record = good(&mut ChaCha8Rng::seed_from_u64(seed));
        let mut bytes = record.json().into_bytes();
        let position = position % bytes.len();
        bytes[position] = byte;
        let (key, limits) = (Some(record.account_id.as_bytes()), DecodeLimits::default());
        let _ = decode(record.source, key, Some(&bytes), RECORD_TIME, &limits);
    }

    #[test]
    fn order_space_escapes_and_unknown_fields_do_not_change_the_meaning(
        seed: u64, rotate in 0usize..32, escape: bool,
        space in proptest::sample::select(vec!["", " ", "\r\n\t"]),
    ) {
        let record = good(&mut ChaCha8Rng::seed_from_u64(seed));
        let (plain, other) = (record.json(), rewritten(&record, rotate, escape, space));
        let expected = decoded(record.source, &record.account_id, &plain).expect("a good record");
        let found = decoded(record.source, &record.account_id, &other);
        prop_assert_eq!(found.as_ref(), Ok(&expected), "{}", other);
        let bare = decode_bare(record.source, &other, &DecodeLimits::default());
        prop_assert_eq!(bare, Ok(expected));
    }
}
