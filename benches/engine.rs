//! What the engine alone does: parsed events in, verdicts out, with the default scorecard.
//!
//! `cargo bench --bench engine` (a part of it: `-- 100k`). Every account starts with four weeks of
//! history; then the stream moves on at ten events per account and day, so panes begin and end and
//! deadlines come as often as they would. Ids, times and accounts are always new ones: a batch is
//! made outside the measurement, and none is played twice.
//!
//! Leaves out the snapshots for readers: `pipeline` has them.

mod traffic;

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use mimalloc::MiMalloc;

use barometer::engine::scorecard::Scorecard;
use barometer::engine::time::EventTime;
use barometer::engine::{Engine, WARM_UP_MAX};
use traffic::{Batch, Spread, Traffic};

/// Events of one measured stretch: small enough to hold, long enough that a clock reading is none of
/// it.
const BATCH_EVENTS: usize = 50_000;
const SIZES: [(&str, u32); 2] = [("100k", 100_000), ("1m", 1_000_000)];
const CARD: &str = include_str!("../config/scorecards/saas-default.yaml");

/// The allocator of the binary, which also knows how much is in use.
struct Counting;

static BYTES_IN_USE: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// # Safety
/// `block` is one of the allocator's, or null.
unsafe fn block_bytes(block: *const u8) -> usize {
    // SAFETY: the caller's promise.
    unsafe { MiMalloc.usable_size(block) }
}

// SAFETY: everything is handed to the allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let block = unsafe { MiMalloc.alloc(layout) };
        // SAFETY: it was made just now.
        BYTES_IN_USE.fetch_add(unsafe { block_bytes(block) }, Ordering::Relaxed);
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        BYTES_IN_USE.fetch_sub(unsafe { block_bytes(block) }, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { MiMalloc.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        let before = unsafe { block_bytes(block) };
        // SAFETY: the caller's promise.
        let moved = unsafe { MiMalloc.realloc(block, layout, new_size) };
        if !moved.is_null() {
            BYTES_IN_USE.fetch_sub(before, Ordering::Relaxed);
            // SAFETY: it was made just now.
            BYTES_IN_USE.fetch_add(unsafe { block_bytes(moved) }, Ordering::Relaxed);
        }
        moved
    }
}

/// An engine whose accounts have all had four weeks of history, and the traffic that goes on.
fn loaded(accounts: u32) -> (Engine, Traffic) {
    let parsed = Scorecard::parse("saas-default.yaml", CARD);
    let parsed = parsed.expect("the default scorecard is a good one");
    let mut engine = Engine::new(Arc::new(parsed.scorecard), EventTime::MIN);
    let mut traffic = Traffic::new(accounts);
    let mut batch = Batch::default();
    for account in 0..accounts {
        batch.clear();
        traffic.history(account, &mut batch);
        play(&mut engine, &batch);
    }
    (engine, traffic)
}

fn play(engine: &mut Engine, batch: &Batch) {
    for first in (0..batch.len()).step_by(WARM_UP_MAX) {
        let part = first..batch.len().min(first + WARM_UP_MAX);
        engine.warm_up(batch.account_ids_in(part.clone()));
        for (time, event) in batch.events_in(part) {
            engine.advance_to(time);
            engine.handle_event(&event);
            while let Some(verdict) = engine.poll_verdict() {
                black_box(verdict);
            }
        }
    }
}

fn throughput(criterion: &mut Criterion) {
    for (size, accounts) in SIZES {
        let mut group = criterion.benchmark_group(format!("engine/{size}"));
        group.throughput(Throughput::Elements(BATCH_EVENTS as u64));
        group.sampling_mode(SamplingMode::Flat).sample_size(10);
        group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(6));
        // Made when asked for, so that a filter spares the other size's history.
        let mut made: Option<(Engine, Traffic)> = None;
        let mut batch = Batch::default();
        for (name, spread) in Spread::NAMES {
            group.bench_function(name, |bencher| {
                let (engine, traffic) = made.get_or_insert_with(|| loaded(accounts));
                bencher.iter_custom(|batches| {
                    let mut spent = Duration::ZERO;
                    for _ in 0..batches {
                        traffic.fill(&mut batch, BATCH_EVENTS, spread);
                        let started = Instant::now();
                        play(engine, &batch);
                        spent += started.elapsed();
                    }
                    spent
                });
            });
        }
        group.finish();
    }
}

/// Not a measurement of time: prints a line.
fn bytes_per_account(_: &mut Criterion) {
    let accounts = 1 << 15;
    let before = BYTES_IN_USE.load(Ordering::Relaxed);
    let (engine, traffic) = loaded(accounts);
    drop(traffic);
    let used = BYTES_IN_USE.load(Ordering::Relaxed) - before;
    assert_eq!(engine.account_count(), accounts as usize);
    println!("engine/bytes_per_account: {} (typical, all in)", used / accounts as usize);
}

criterion_group!(benches, bytes_per_account, throughput);
criterion_main!(benches);
