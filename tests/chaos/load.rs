//! The steady load: writes the fleet's records and tells the oracle of each that was acknowledged.
//!
//! One topic after the other, and the next only when the one before is acknowledged: then the order
//! of record times is the order of writing, and there is one order in which a task may take them.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use barometer::engine::event::Source;
use rdkafka::producer::{FutureProducer, FutureRecord};

use super::fleet::{Fleet, FleetRecord};
use super::oracle::Oracle;
use crate::support::Kafka;
use crate::support::service::{INPUTS, Setup};

/// Time between the beginnings of two rounds over the topics.
const ROUND: Duration = Duration::from_millis(92);
/// Longer than any fault lasts.
const DELIVERY_MS: &str = "180000";

/// Records that keep coming.
pub struct Load {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Fleet>>,
    writer: Arc<Writer>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    wanted: Wanted,
    idle: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Wanted {
    #[default]
    Writing,
    Pausing,
    Stopping,
}

struct Writer {
    producer: FutureProducer,
    topics: [String; 5],
    oracle: Arc<Mutex<Oracle>>,
    runtime: tokio::runtime::Runtime,
}

impl Load {
    pub fn start(
        kafka: &Kafka,
        setup: &Setup,
        mut fleet: Fleet,
        oracle: Arc<Mutex<Oracle>>,
    ) -> Load {
        let writer = Arc::new(Writer::new(kafka, setup, oracle));
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let thread = thread::spawn({
            let (shared, writer) = (Arc::clone(&shared), Arc::clone(&writer));
            move || {
                let mut next = Instant::now();
                while shared.may_go_on() {
                    for source in Source::ALL {
                        writer.write(&fleet.next(source));
                    }
                    next = (next + ROUND).max(Instant::now() - ROUND);
                    thread::sleep(next.saturating_duration_since(Instant::now()));
                }
                fleet
            }
        });
        Load { shared, thread: Some(thread), writer }
    }

    /// Waits until everything is written, and writes no more for now.
    pub fn pause(&self) {
        let mut state = self.shared.lock();
        state.wanted = Wanted::Pausing;
        while !state.idle {
            assert!(!self.has_ended(), "the load has ended: a record was not written");
            let wait = Duration::from_millis(100);
            state = self.shared.changed.wait_timeout(state, wait).expect("no panic holds it").0;
        }
    }

    /// Goes on.
    pub fn resume(&self) {
        self.shared.lock().wanted = Wanted::Writing;
        self.shared.changed.notify_all();
    }

    /// Whether the thread has gone, which it does only when a record cannot be written.
    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Ends, with one last event of every account.
    pub fn finish(&mut self) {
        self.shared.lock().wanted = Wanted::Stopping;
        self.shared.changed.notify_all();
        let thread = self.thread.take().expect("it ends once");
        let mut fleet = thread.join().expect("every record was written");
        self.writer.write(&fleet.last());
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.lock().wanted = Wanted::Stopping;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while it is to pause; `false` when it is to stop.
    fn may_go_on(&self) -> bool {
        let mut state = self.lock();
        while state.wanted == Wanted::Pausing {
            state.idle = true;
            self.changed.notify_all();
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.idle = false;
        state.wanted == Wanted::Writing
    }
}

impl Writer {
    fn new(kafka: &Kafka, setup: &Setup, oracle: Arc<Mutex<Oracle>>) -> Writer {
        let producer = kafka
            .client()
            .set("partitioner", "murmur2_random")
            .set("enable.idempotence", "true")
            .set("linger.ms", "0")
            .set("compression.type", "lz4")
            .set("message.timeout.ms", DELIVERY_MS)
            .create()
            .expect("a producer");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let topics = INPUTS.map(|input| setup.topic(input).to_owned());
        Writer { producer, topics, oracle, runtime }
    }

    /// Writes records of one source, waits until the brokers have them, and tells the oracle.
    fn write(&self, records: &[FleetRecord]) {
        let send = |record: &FleetRecord| {
            let topic = &self.topics[record.source as usize];
            let mut row = FutureRecord::<str, str>::to(topic)
                .key(&record.account_id)
                .timestamp(record.time_ms);
            row.payload = record.body.as_deref();
            self.producer
                .send_result(row)
                .unwrap_or_else(|(error, _)| panic!("`{topic}` takes no record: {error}"))
        };
        let deliveries: Vec<_> = records.iter().map(send).collect();
        let places: Vec<(i32, i64)> = deliveries
            .into_iter()
            .map(|delivery| {
                let delivered = self.runtime.block_on(delivery).expect("the producer lives");
                let delivered = delivered
                    .unwrap_or_else(|(error, _)| panic!("a record was not written: {error}"));
                (delivered.partition, delivered.offset)
            })
            .collect();
        let mut oracle = self.oracle.lock().expect("the oracle does not panic");
        for (record, (partition, offset)) in records.iter().zip(places) {
            oracle.take(record, partition, offset);
        }
    }
}
