//! Asks, many times a second, where the ends of the accepted inputs are.
//!
//! The engine's clock may follow the wall clock only up to a moment at which nothing lay ahead, so
//! the question is asked all the time, by a thread and a client of its own: on the consumer's
//! connection it would wait behind fetches that wait for records, and a broker that does not answer
//! would hold the worker. No answer is no news: the last one simply grows old.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{QuietContext, lock};
use super::config::KafkaSettings;
use super::error::{broker_error, describe};
use super::native::{Queue, Waker, rows};
use crate::broker::{BrokerError, End, EndOffsets, ErrorClass, Input};
use crate::clock::Clock;

/// Time between two questions. No record is taken before a question younger than it has been
/// answered, so this is what the merge by record time costs in latency.
const PAUSE: Duration = Duration::from_millis(50);
/// How long one question may take. A broker that is slower than this counts as gone.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The thread that asks.
pub(super) struct EndOffsetWatch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Signalled when `wanted` changes and when the thread is to stop.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// What to ask after, by input.
    wanted: BTreeMap<Input, String>,
    /// Counts changes of `wanted`: an answer to an older question is dropped.
    edition: u64,
    /// The last answer nobody has taken yet.
    answer: Option<EndOffsets>,
    stopping: bool,
}

impl EndOffsetWatch {
    /// Starts the thread. It wakes `waker` with every answer.
    pub(super) fn start(
        settings: &KafkaSettings,
        clock: Clock,
        waker: &Arc<Waker>,
    ) -> Result<EndOffsetWatch, BrokerError> {
        let client = |isolation: &str| {
            let made: Result<BaseConsumer<QuietContext>, KafkaError> = settings
                .watch_config()
                .set("isolation.level", isolation)
                .create_with_context(QuietContext);
            made.map(Arc::new)
                .map_err(|error| broker_error(ErrorClass::Fatal, "making a Kafka client", &error))
        };
        let clients =
            Clients { stable: client("read_committed")?, high: client("read_uncommitted")? };
        let shared = Arc::new(Shared::default());
        let thread = std::thread::Builder::new()
            .name("end-offsets".to_owned())
            .spawn({
                let (shared, waker) = (Arc::clone(&shared), Arc::clone(waker));
                move || watch(&clients, clock, &shared, &waker)
            })
            .map_err(|error| BrokerError {
                class: ErrorClass::Fatal,
                message: format!("starting the thread that asks for end offsets: {error}"),
            })?;
        Ok(EndOffsetWatch { shared, thread: Some(thread) })
    }

    /// From now on asks after these inputs, beginning at once.
    pub(super) fn watch(&self, inputs: impl Iterator<Item = (Input, String)>) {
        let mut state = lock(&self.shared.state);
        state.wanted = inputs.collect();
        state.edition += 1;
        state.answer = None;
        self.shared.changed.notify_one();
    }

    /// The newest answer, once.
    pub(super) fn take(&self) -> Option<EndOffsets> {
        lock(&self.shared.state).answer.take()
    }
}

impl Drop for EndOffsetWatch {
    fn drop(&mut self) {
        lock(&self.shared.state).stopping = true;
        self.shared.changed.notify_one();
        // Not joined: a question under way may take seconds, and the thread holds nothing that
        // anybody waits for.
        drop(self.thread.take());
    }
}

/// The same question is answered differently to readers of different isolation.
struct Clients {
    /// Told the last stable offset, which an open transaction holds back.
    stable: Arc<BaseConsumer<QuietContext>>,
    /// Told the offset after the last record, whosever it is.
    high: Arc<BaseConsumer<QuietContext>>,
}

/// The thread: ask, pause, ask again.
fn watch(clients: &Clients, clock: Clock, shared: &Shared, waker: &Arc<Waker>) {
    let own_waker = Arc::new(Waker::default());
    let events: Vec<_> = [&clients.stable, &clients.high]
        .into_iter()
        .map(|client| (client, Queue::of_client(client, &own_waker)))
        .collect();
    let mut failing = false;
    loop {
        let (wanted, edition) = {
            let mut state = lock(&shared.state);
            while state.wanted.is_empty() && !state.stopping {
                state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.stopping {
                return;
            }
            (state.wanted.clone(), state.edition)
        };
        let asked_at = clock.now();
        match ask_both(clients, &wanted) {
            Ok(ends) => {
                failing = false;
                let mut state = lock(&shared.state);
                if state.edition == edition {
                    state.answer = Some(EndOffsets { asked_at, ends });
                    waker.wake();
                }
            }
            Err(error) => {
                // Said once; the worker's own calls say it too.
                if !failing {
                    tracing::warn!(reason = describe(&error), "no answer about end offsets");
                }
                failing = true;
                refresh_leaders(&clients.stable, &wanted);
                refresh_leaders(&clients.high, &wanted);
            }
        }
        // Logs and errors of a client arrive on its queue and must be taken from there.
        for (client, queue) in &events {
            while queue.as_ref().is_some_and(|queue| queue.waiting() > 0) {
                drop(client.poll(Duration::ZERO));
            }
        }
        let state = lock(&shared.state);
        let unchanged = |state: &mut State| state.edition == edition && !state.stopping;
        drop(shared.changed.wait_timeout_while(state, PAUSE, unchanged));
    }
}

fn ask_both(clients: &Clients, wanted: &BTreeMap<Input, String>) -> Result<Vec<End>, KafkaError> {
    let stable = ask(&clients.stable, wanted)?;
    let high = ask(&clients.high, wanted)?;
    let end = |(input, stable)| {
        let high = *high.get(&input)?;
        Some(End { input, stable, high })
    };
    Ok(stable.into_iter().filter_map(end).collect())
}

/// One question after all inputs: one request to each leader.
fn ask(
    client: &BaseConsumer<QuietContext>,
    wanted: &BTreeMap<Input, String>,
) -> Result<BTreeMap<Input, i64>, KafkaError> {
    let mut question = TopicPartitionList::with_capacity(wanted.len());
    for (input, topic) in wanted {
        // As a timestamp, "end" asks for the offset after the last record this client may see.
        question.add_partition_offset(topic, input.partition, Offset::End)?;
    }
    let answer = client.offsets_for_times(question, ANSWER_TIMEOUT)?;
    let by_topic: BTreeMap<(&str, i32), Input> =
        wanted.iter().map(|(input, topic)| ((topic.as_str(), input.partition), *input)).collect();
    let mut ends = BTreeMap::new();
    for row in rows(&answer) {
        if let Some(code) = row.error {
            return Err(KafkaError::OffsetFetch(code));
        }
        if let Some(input) = by_topic.get(&(row.topic.as_str(), row.partition)) {
            ends.insert(*input, row.offset);
        }
    }
    Ok(ends)
}

/// A leader that moved is not looked up again by itself: nothing but questions uses this client.
fn refresh_leaders(client: &BaseConsumer<QuietContext>, wanted: &BTreeMap<Input, String>) {
    let mut topics: Vec<&str> = wanted.values().map(String::as_str).collect();
    topics.sort_unstable();
    topics.dedup();
    for topic in topics {
        if client.fetch_metadata(Some(topic), Duration::from_secs(1)).is_err() {
            return;
        }
    }
}
