//! Accounts from the bytes of their checkpoints: what a restore costs without a broker.
//!
//! `cargo bench --bench restore`. `hold` checks the bytes and holds them, which is all that a task waits
//! for before it goes on. `decode` reads them alone; `put_back` also makes accounts of them in an engine
//! that has none yet, `thaw` judges all of them at the present. One core; what the client library and the
//! broker take comes on top, and `benches/kafka.sh restore` has it in.

mod traffic;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use mimalloc::MiMalloc;

use barometer::dormant::{Dormant, DormantAccount};
use barometer::engine::Engine;
use barometer::engine::scorecard::Scorecard;
use barometer::engine::snapshot::{self, KeptAccount, Stamp};
use barometer::engine::time::EventTime;
use traffic::{Batch, Traffic};

/// The one of the binary.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const ACCOUNTS: u32 = 100_000;
const CARD: &str = include_str!("../config/scorecards/saas-default.yaml");

/// What a changelog holds of accounts with four weeks of history.
struct Changelog {
    card: Arc<Scorecard>,
    /// Account and bytes, in the order in which they were written.
    records: Vec<(String, Vec<u8>)>,
    now: EventTime,
}

fn written() -> Changelog {
    let parsed = Scorecard::parse("saas-default.yaml", CARD);
    let card = Arc::new(parsed.expect("the default scorecard is a good one").scorecard);
    let mut engine = Engine::new(Arc::clone(&card), EventTime::MIN);
    let mut traffic = Traffic::new(ACCOUNTS);
    let mut batch = Batch::default();
    for account in 0..ACCOUNTS {
        batch.clear();
        traffic.history(account, &mut batch);
        for (time, event) in batch.events() {
            engine.advance_to(time);
            engine.handle_event(&event);
            while let Some(verdict) = engine.poll_verdict() {
                black_box(verdict);
            }
        }
    }
    let mut records = Vec::new();
    let account_ids: Vec<String> = engine.account_ids().map(str::to_owned).collect();
    for account_id in account_ids {
        let slot = engine.find(&account_id).expect("it is known");
        let stamp = Stamp { positions: [1_000_000; 5], epoch: 0, at: engine.account_time(slot) };
        let bytes = snapshot::seal(account_id.as_bytes(), &engine.keep(slot, &stamp, false));
        records.push((account_id, bytes));
    }
    Changelog { card, records, now: engine.now() }
}

fn open<'a>(account_id: &str, bytes: &'a [u8]) -> KeptAccount<'a> {
    KeptAccount::open(account_id.as_bytes(), bytes).expect("as it was written")
}

impl Changelog {
    fn hold(&self) -> Duration {
        let mut dormant = Dormant::default();
        let started = Instant::now();
        for ((account_id, bytes), offset) in self.records.iter().zip(0..) {
            snapshot::check(account_id.as_bytes(), bytes).expect("as it was written");
            let (account_id, bytes) = (account_id.as_str().into(), bytes.as_slice().into());
            dormant.put(DormantAccount { account_id, bytes, offset });
        }
        let took = started.elapsed();
        assert_eq!(dormant.len(), ACCOUNTS as usize);
        took
    }

    fn decode(&self) -> Duration {
        let started = Instant::now();
        for (account_id, bytes) in &self.records {
            black_box(open(account_id, bytes));
        }
        started.elapsed()
    }

    /// How long the engine took to be filled, and the engine.
    fn put_back(&self) -> (Duration, Engine) {
        let mut engine = Engine::new(Arc::clone(&self.card), EventTime::MAX);
        let started = Instant::now();
        for (account_id, bytes) in &self.records {
            engine.put_back(account_id, open(account_id, bytes)).expect("as it was written");
        }
        (started.elapsed(), engine)
    }

    fn thaw(&self) -> Duration {
        let (_, mut engine) = self.put_back();
        let started = Instant::now();
        engine.thaw(self.now, self.now, EventTime::MIN);
        let took = started.elapsed();
        assert_eq!(engine.account_count(), ACCOUNTS as usize);
        took
    }
}

fn restore(criterion: &mut Criterion) {
    let changelog = written();
    let bytes: usize = changelog.records.iter().map(|(_, bytes)| bytes.len()).sum();
    println!("restore: {} bytes a record in the mean", bytes / changelog.records.len());
    let mut group = criterion.benchmark_group("restore/100k");
    group.throughput(Throughput::Elements(u64::from(ACCOUNTS)));
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(6));
    group.bench_function("hold", |bencher| {
        bencher.iter_custom(|times| (0..times).map(|_| changelog.hold()).sum());
    });
    group.bench_function("decode", |bencher| {
        bencher.iter_custom(|times| (0..times).map(|_| changelog.decode()).sum());
    });
    group.bench_function("put_back", |bencher| {
        bencher.iter_custom(|times| (0..times).map(|_| changelog.put_back().0).sum());
    });
    group.bench_function("thaw", |bencher| {
        bencher.iter_custom(|times| (0..times).map(|_| changelog.thaw()).sum());
    });
    group.finish();
}

criterion_group!(benches, restore);
criterion_main!(benches);
