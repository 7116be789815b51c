//! The format of the changelog, as it was written by each version: it is read for ever.
//!
//! `tests/snapshots/` holds an account with something of everything and a marker, in hexadecimal. What
//! is written today must be the same bytes: whoever changes the format raises the version, keeps the
//! old shapes for reading, and adds files. `BAROMETER_WRITE_SNAPSHOTS=1` writes files that are not
//! there yet.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use barometer::checkpoint::{MARKER_KEY, Marker};
use barometer::engine::Engine;
use barometer::engine::event::{DecodeLimits, Source, decode};
use barometer::engine::scorecard::Scorecard;
use barometer::engine::snapshot::{self, KeptAccount, Stamp};
use barometer::engine::time::{EventTime, Span};
use serde_json::{Value, json};

/// 2026-03-02T00:00:00Z, a Monday.
const START: i64 = 1_772_409_600_000;
const HOUR: i64 = 3_600_000;
const CARD: &str = "
scorecard: everything
dimensions:
  - id: use
    weight: 2
    measures:
      - { id: events, measure: usage.events, window: 7d, features: [reports], curve: { linear: { from: 0, to: 10 } } }
      - { id: quantity, measure: usage.quantity, window: 7d, curve: { linear: { from: 0, to: 40 } } }
      - { id: users, measure: usage.active_users, window: 28d, curve: { linear: { from: 0, to: 4 } } }
      - { id: quiet, measure: usage.days_since_last, curve: { linear: { from: 14, to: 0 } } }
      - { id: trend, measure: usage.trend, window: 7d, baseline: 7d, weight: 0, curve: { linear: { from: 0, to: 1 } } }
  - id: care
    weight: 1
    measures:
      - { id: open, measure: support.open, curve: { linear: { from: 4, to: 0 } } }
      - { id: overdue, measure: payment.overdue_days, curve: { linear: { from: 45, to: 0 } } }
      - { id: mood, measure: survey.assessment, surveys: [mood], window: 28d, curve: { linear: { from: 0, to: 100 } } }
bands: [{ name: red, up_to: 50 }, { name: yellow, up_to: 70 }, { name: green, up_to: 100 }]
anti_flap: { margin: 2, dwell: { worse: 6h, better: 14d }, bypass_drop: 60 }
alerts:
  - { id: drop, score_drop: { points: { warning: 5, critical: 40 }, within: 28d }, cooldown: 3d }
  - { id: silent, silence: { for: 5d }, hold: 1d }
  - { id: unpaid, measure: overdue, at_least: 3, hold: 30d }
  - { id: blind, coverage: { below: 0.5 } }
";

/// An account with a past: something of every source, a dwell under way, an alert firing, another one
/// pending.
fn engine() -> Engine {
    let mut engine = empty_engine();
    let events: &[(Source, i64, Value)] = &[
        (
            Source::Profile,
            0,
            json!({ "name": "Acme", "tier": "gold", "seats": 5, "arr_minor": 1_000, "currency": "EUR",
                "owner": "kim", "started_at": START - 90 * 24 * HOUR, "status": "active",
                "recovery_path": false, "tags": ["vip", "west"] }),
        ),
        (Source::Usage, 1, json!({ "feature": "reports", "user_id": "kim", "quantity": 2.5 })),
        (Source::Usage, 2, json!({ "feature": "api", "user_id": "lee", "quantity": 20 })),
        (
            Source::Survey,
            2,
            json!({ "survey": "mood", "score": 90, "respondent_id": "kim", "role": "admin" }),
        ),
        (Source::Survey, 3, json!({ "survey": "mood", "score": 80 })),
        (
            Source::Ticket,
            3,
            json!({ "ticket_id": "T-1", "status": "opened", "priority": "high", "category": "bug" }),
        ),
        (Source::Ticket, 4, json!({ "ticket_id": "T-1", "status": "resolved" })),
        (
            Source::Payment,
            5,
            json!({ "invoice_id": "I-1", "status": "issued", "amount_minor": 500, "currency": "EUR",
                "due_at": START + 24 * HOUR }),
        ),
        (Source::Ticket, 30, json!({ "ticket_id": "T-2", "status": "opened" })),
        (Source::Ticket, 31, json!({ "ticket_id": "T-3", "status": "escalated" })),
        (Source::Usage, 50, json!({ "feature": "reports" })),
        (Source::Survey, 90, json!({ "survey": "mood", "score": 0, "respondent_id": "kim" })),
        (Source::Ticket, 118, json!({ "ticket_id": "T-4", "status": "opened" })),
    ];
    for (number, (source, hour, body)) in events.iter().enumerate() {
        let at = START + hour * HOUR;
        let mut body = body.clone();
        body["event_id"] = json!(format!("e-{number}"));
        body["account_id"] = json!("acme");
        body["occurred_at"] = json!(at);
        let (text, time) = (body.to_string(), EventTime::from_millis(at));
        let limits = DecodeLimits::default();
        let event = decode(*source, Some(b"acme"), Some(text.as_bytes()), time, &limits);
        engine.advance_to(time);
        engine.handle_event(&event.expect("a good record"));
    }
    engine.advance_to(EventTime::from_millis(START + 120 * HOUR));
    engine
}

fn empty_engine() -> Engine {
    let card = Scorecard::parse("everything.yaml", CARD).unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(|p| format!("{p}\n")).collect::<String>())
    });
    Engine::new(Arc::new(card.scorecard), EventTime::from_millis(0))
}

fn stamp() -> Stamp {
    Stamp { positions: [3, 4, 1, 3, 1], epoch: 2, at: EventTime::from_millis(START + 120 * HOUR) }
}

fn marker() -> Marker {
    Marker {
        group: "barometer".to_owned(),
        partitions: 8,
        epoch: 2,
        topics: Source::ALL.map(|source| (source.default_topic().to_owned(), source as u32 % 3)),
        positions: [3, 4, 1, 3, 1],
        positions_at: START,
        now: START + HOUR,
        commits: 77,
        publish_from: START - HOUR,
        cards: vec!["9f2c".to_owned(), "01ab".to_owned()],
        cards_since: START - 24 * HOUR,
        partitioners: [1, 0, 2, 1, 1],
        task_state: vec![("later".to_owned(), vec![1, 2, 3])],
    }
}

/// The bytes in a file of `tests/snapshots/`; `today` is what is written now.
fn golden(name: &str, today: &[u8]) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/snapshots")
        .join(format!("{name}.hex"));
    if !path.exists() && std::env::var_os("BAROMETER_WRITE_SNAPSHOTS").is_some() {
        let hex: String = today.iter().map(|byte| format!("{byte:02x}")).collect();
        let lines: Vec<&str> =
            hex.as_bytes().chunks(96).map(|line| std::str::from_utf8(line).unwrap()).collect();
        fs::write(&path, lines.join("\n") + "\n").expect("the folder takes files");
    }
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn account_bytes(engine: &Engine) -> Vec<u8> {
    let slot = engine.find("acme").expect("it is known");
    snapshot::seal(b"acme", &engine.keep(slot, &stamp(), true))
}

#[test]
fn an_account_of_each_version_is_read_as_it_was_written() {
    // The first one did not say when it began.
    for (name, beginning) in [("account.v1", None), ("account.v2", Some(START))] {
        goes_on_as_if_it_had_lived(name, beginning);
    }
}

fn goes_on_as_if_it_had_lived(name: &str, beginning: Option<i64>) {
    let mut lived = engine();
    let bytes = golden(name, &account_bytes(&lived));
    let kept = KeptAccount::open(b"acme", &bytes).expect("every version is known");
    assert_eq!((kept.stamp(), kept.unreported), (stamp(), true));
    assert_eq!(kept.beginning, beginning);
    let mut restored = empty_engine();
    restored.put_back("acme", kept).expect("as it was written");
    let now = stamp().at;
    restored.thaw(now, now, EventTime::from_millis(0));

    // What it says now, and what it does next.
    let mut later = Vec::new();
    for engine in [&mut lived, &mut restored] {
        while engine.poll_verdict().is_some() {}
        let mut said = Vec::new();
        for hours in [0, 3, 12, 48, 24 * 30] {
            engine.advance_to(now + Span::HOUR * hours);
            while let Some(verdict) = engine.poll_verdict() {
                said.push(format!("{} {} {:?}", verdict.sequence, verdict.at, verdict.decision));
            }
            let snapshot = engine.snapshot("acme").expect("it is known");
            said.push(serde_json::to_string(&snapshot.report()).expect("JSON"));
        }
        later.push(said);
    }
    assert_eq!(later[0], later[1]);
    assert!(later[0].len() > 8, "{later:#?}");
    let first = &later[0][0];
    for wanted in ["\"firing\"", "\"pending\""] {
        assert!(first.contains(wanted), "{wanted} is not in {first}");
    }
}

#[test]
fn what_is_written_is_version_2() {
    let bytes = account_bytes(&engine());
    assert_eq!(bytes, golden("account.v2", &bytes));
    let bytes = snapshot::seal(MARKER_KEY, &marker());
    assert_eq!(bytes, golden("marker.v2", &bytes));
}

#[test]
fn a_marker_of_each_version_is_read_as_it_was_written() {
    for name in ["marker.v1", "marker.v2"] {
        let bytes = golden(name, &snapshot::seal(MARKER_KEY, &marker()));
        assert_eq!(snapshot::open::<Marker>(MARKER_KEY, &bytes), Ok(marker()));
    }
}
