//! What it costs to turn one record's bytes into an event, by source.
//!
//! `cargo bench --bench decode`. The usage record is the one that counts: it has about 190 bytes,
//! and nearly all records of a running system are like it.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mimalloc::MiMalloc;
use std::hint::black_box;

use barometer::engine::event::{DecodeLimits, Source, decode};
use barometer::engine::time::EventTime;

/// The one of the binary.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const RECORDS: [(&str, Source, &str); 7] = [
    (
        "usage",
        Source::Usage,
        r#"{"event_id":"01JQ8Z3V9T5M4K7W2XN6B0YHRD","account_id":"acct-0001234","occurred_at":"2026-03-01T12:34:56.789Z","user_id":"user-000042","feature":"reports.export","quantity":1,"app_version":"8.14.2"}"#,
    ),
    (
        "usage_epoch_millis",
        Source::Usage,
        r#"{"event_id":"01JQ8Z3V9T5M4K7W2XN6B0YHRD","account_id":"acct-0001234","occurred_at":1772368496789,"user_id":"user-000042","feature":"reports.export","quantity":1,"app_version":"8.14.2","region":"eu"}"#,
    ),
    (
        "usage_spaced",
        Source::Usage,
        r#"{"source": "usage", "event_id": "e-0", "account_id": "acct-0001234", "occurred_at": "2013-01-24T00:00:00Z", "user_id": "acct-0001234/1", "feature": "submit_cma", "quantity": 1.25}"#,
    ),
    (
        "ticket",
        Source::Ticket,
        r#"{"event_id":"01JQ8Z3V9T5M4K7W2XN6B0YHRD","account_id":"acct-0001234","occurred_at":"2026-03-01T12:34:56.789Z","ticket_id":"T-88121","status":"escalated","priority":"high","category":"billing"}"#,
    ),
    (
        "payment",
        Source::Payment,
        r#"{"event_id":"01JQ8Z3V9T5M4K7W2XN6B0YHRD","account_id":"acct-0001234","occurred_at":"2026-03-01T12:34:56.789Z","invoice_id":"INV-2026-0042","status":"issued","amount_minor":1250000,"currency":"EUR","due_at":"2026-03-31T00:00:00Z"}"#,
    ),
    (
        "survey",
        Source::Survey,
        r#"{"event_id":"01JQ8Z3V9T5M4K7W2XN6B0YHRD","account_id":"acct-0001234","occurred_at":"2026-03-01T12:34:56.789Z","survey":"nps","score":9,"respondent_id":"user-000042","role":"admin"}"#,
    ),
    (
        "profile",
        Source::Profile,
        r#"{"event_id":"p-1","account_id":"acct-0001234","occurred_at":"2026-03-01T12:34:56.789Z","name":"Acme GmbH","segment":"enterprise","tier":"gold","seats":250,"arr_minor":12000000,"currency":"EUR","owner":"Kim","started_at":"2024-01-01T00:00:00Z","renewal_at":"2027-01-01T00:00:00Z","status":"active","recovery_path":false,"tags":["dach","pilot"]}"#,
    ),
];

fn decode_by_source(criterion: &mut Criterion) {
    let limits = DecodeLimits::default();
    let record_time = EventTime::from_millis(1_772_368_500_000);
    let mut group = criterion.benchmark_group("decode");
    for (name, source, json) in RECORDS {
        group.throughput(Throughput::Bytes(json.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let (key, value) = (Some(&b"acct-0001234"[..]), Some(black_box(json).as_bytes()));
                decode(source, key, value, record_time, &limits).expect("the record is good")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decode_by_source);
criterion_main!(benches);
