//! What the tools for authors of scorecards cost: checking a card, and putting a history through
//! one or two of them.
//!
//! `cargo bench --bench tools`. The history is the simulator's, as bare lines; `read` is from bytes
//! to records in order, `decode` from records to events, `replay` and `compare` are all of it but
//! the printing, on one core. What they leave out of the engine is what the tools cost.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mimalloc::MiMalloc;
use std::fmt::Write;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use barometer::compare::Comparison;
use barometer::engine::Engine;
use barometer::engine::event::{DecodeLimits, Source};
use barometer::engine::scorecard::Scorecard;
use barometer::engine::time::{EventTime, Span};
use barometer::input::{Feed, FeedReader};
use barometer::preset::PRESETS;
use barometer::schema;
use barometer::simulate::line::Lines;
use barometer::simulate::{Fleet, FleetSettings};

/// The one of the binary.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn check(criterion: &mut Criterion) {
    let card = wide_card(200);
    let mut group = criterion.benchmark_group("check");
    group.bench_function("200_measures", |bencher| {
        bencher.iter(|| Scorecard::parse("wide.yaml", black_box(&card)).expect("the card is good"));
    });
    group.bench_function("200_measures_each_with_a_mistake", |bencher| {
        let wrong = card.replace("window: 28d", "windw: 28d");
        bencher.iter(|| Scorecard::parse("wide.yaml", black_box(&wrong)).expect_err("it is wrong"));
    });
    group.bench_function("schemas", |bencher| bencher.iter(schema::files));
    group.finish();
}

/// So many measures in ten dimensions, each with a gate and an alert on it as far as cards may have
/// them.
fn wide_card(measures: usize) -> String {
    let mut card = String::from("scorecard: wide\ndimensions:\n");
    for dimension in 0..10 {
        writeln!(card, "  - id: d{dimension}\n    weight: 10\n    measures:").expect("in memory");
        for index in (dimension..measures).step_by(10) {
            writeln!(
                card,
                "      - id: m{index}\n        measure: usage.events\n        window: 28d\n        \
                 features: [f{index}]\n        curve: {{ piecewise: [[0, 0], [3, 40], [9, 100]] }}"
            )
            .expect("in memory");
        }
    }
    card.push_str("gates:\n");
    for index in 0..measures {
        writeln!(
            card,
            "  - {{ id: g{index}, cap: 40, when: {{ measure: m{index}, at_most: 0 }}, reason: r }}"
        )
        .expect("in memory");
    }
    card.push_str("bands: [{ name: red, up_to: 50 }, { name: green, up_to: 100 }]\nalerts:\n");
    for index in 0..measures.min(64) {
        writeln!(card, "  - {{ id: a{index}, measure: m{index}, below: 1 }}").expect("in memory");
    }
    card
}

/// Half a million lines of two hundred accounts, as `generate --bare` writes them.
fn history() -> (Vec<u8>, u64) {
    let settings = FleetSettings { accounts: 200, ..FleetSettings::default() };
    let until = settings.start + Span::days(45);
    let mut lines = Vec::new();
    let count = Lines::bare().write(&mut Fleet::new(settings), until, None, &mut lines);
    (lines, count.expect("memory can be written"))
}

fn read(bytes: &[u8]) -> Feed {
    let topics = Source::ALL.map(|source| (source.default_topic().to_owned(), source));
    let mut reader = FeedReader::new(topics.to_vec());
    reader.add("history", bytes).expect("memory can be read");
    reader.finish()
}

fn card(preset: usize) -> Arc<Scorecard> {
    let preset = PRESETS[preset];
    Arc::new(Scorecard::parse(preset.name, preset.text).expect("presets are good").scorecard)
}

fn replay(criterion: &mut Criterion) {
    let (bytes, count) = history();
    let feed = read(&bytes);
    let limits = DecodeLimits::default();
    let mut group = criterion.benchmark_group("history");
    group.throughput(Throughput::Elements(count)).sample_size(10);
    group.measurement_time(Duration::from_secs(8));
    group.bench_function("read", |bencher| bencher.iter(|| read(black_box(&bytes)).len()));
    group.bench_function("decode", |bencher| {
        bencher.iter(|| feed.records().filter(|record| record.decode(&limits).is_ok()).count());
    });
    group.bench_function("engine", |bencher| {
        let events: Vec<_> = feed
            .records()
            .map(|record| (record.record_time, record.decode(&limits).expect("it is good")))
            .collect();
        bencher.iter(|| {
            let mut engine = Engine::new(card(0), EventTime::MIN);
            for (record_time, event) in &events {
                engine.advance_to(*record_time);
                engine.handle_event(event);
                while engine.poll_verdict().is_some() {}
            }
            engine.account_count()
        });
    });
    group.bench_function("replay", |bencher| {
        bencher.iter(|| {
            let feed = read(black_box(&bytes));
            let mut engine = Engine::new(card(0), EventTime::MIN);
            for record in feed.records() {
                engine.advance_to(record.record_time);
                engine.handle_event(&record.decode(&limits).expect("it is good"));
                while engine.poll_verdict().is_some() {}
            }
            engine.account_count()
        });
    });
    group.bench_function("compare", |bencher| {
        bencher.iter(|| {
            let feed = read(black_box(&bytes));
            let mut comparison = Comparison::new(card(0), card(5));
            for record in feed.records() {
                comparison.take(&record.decode(&limits).expect("it is good"), record.record_time);
            }
            comparison.finish(None).accounts
        });
    });
    group.finish();
}

criterion_group!(benches, check, replay);
criterion_main!(benches);
