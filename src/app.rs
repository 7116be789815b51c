//! Wiring: from settings to running workers, and back down in order.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing::{error, warn};

use crate::broker::{BrokerError, OutputTopic};
use crate::clock::{self, Clock};
use crate::config::{self, Config, ScorecardFile};
use crate::engine::event::{DecodeLimits, Source};
use crate::engine::scorecard::Scorecard;
use crate::engine::time::Span;
use crate::engine::yaml::Problem;
use crate::kafka::{Delivery, GroupProtocol, KafkaBroker, KafkaSettings};
use crate::partitioner::Partitioner;
use crate::routing::Routing;
use crate::task::{TaskSettings, TaskTime};
use crate::telemetry::metrics::Metrics;
use crate::view::View;
use crate::worker::{CommitPace, Parking, Shared, Worker, WorkerError};

/// What is left of the time for a stop when the workers have to be done: for the process to end in.
pub const STOP_MARGIN: Duration = Duration::from_millis(500);

/// Room a record needs beside key, value and headers, in bytes; generous, since the client counts
/// what goes before and between them.
const RECORD_OVERHEAD_BYTES: usize = 16 * 1_024;

/// The Kafka side's settings, out of all settings.
pub fn kafka_settings(config: &Config) -> KafkaSettings {
    let kafka = &config.kafka;
    let owned = |properties: &config::Properties| {
        properties.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    };
    let mut settings = KafkaSettings::new(&kafka.bootstrap_servers, &kafka.group_id);
    settings.instance = Some(kafka.instance.clone());
    settings.properties = owned(&kafka.properties);
    settings.consumer_properties = owned(&kafka.consumer_properties);
    settings.producer_properties = owned(&kafka.producer_properties);
    settings.input_topics =
        Source::ALL.map(|source| (source, kafka.topics.input(source).to_owned())).into();
    settings.output_topics =
        OutputTopic::ALL.map(|topic| (topic, kafka.topics.output(topic).to_owned())).into();
    settings.group_protocol = match kafka.group_protocol {
        config::GroupProtocol::Classic => GroupProtocol::Classic,
        config::GroupProtocol::Consumer => GroupProtocol::Consumer,
    };
    settings.delivery = match kafka.delivery {
        config::Delivery::ExactlyOnce => Delivery::ExactlyOnce,
        config::Delivery::AtLeastOnce => Delivery::AtLeastOnce,
    };
    settings.session_timeout = duration(kafka.session_timeout);
    settings.transaction_timeout = duration(kafka.transaction_timeout);
    settings
}

/// Reads the scorecard the settings name, with its warnings.
///
/// # Errors
/// All problems of the file, or that it cannot be read.
pub fn load_scorecard(file: &ScorecardFile) -> Result<(Arc<Scorecard>, Vec<Problem>), String> {
    match file {
        ScorecardFile::Embedded => {
            parse_scorecard(config::DEFAULT_SCORECARD_NAME, config::DEFAULT_SCORECARD)
        }
        ScorecardFile::Path(path) => read_scorecard(path),
    }
}

/// Reads a scorecard file, with its warnings.
///
/// # Errors
/// All problems of the file, or that it cannot be read.
pub fn read_scorecard(path: &Path) -> Result<(Arc<Scorecard>, Vec<Problem>), String> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("{name}: the scorecard cannot be read: {error}"))?;
    parse_scorecard(&name, &text)
}

fn parse_scorecard(name: &str, text: &str) -> Result<(Arc<Scorecard>, Vec<Problem>), String> {
    match Scorecard::parse(name, text) {
        Ok(parsed) => Ok((Arc::new(parsed.scorecard), parsed.warnings)),
        Err(problems) => Err(all_problems(&problems)),
    }
}

/// Problems as people read them, one a line.
pub fn all_problems(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// What the workers share, made from all settings. `partitions` is how many the input topics have.
pub fn shared(config: &Config, card: Arc<Scorecard>, partitions: i32, clock: Clock) -> Shared {
    let record_bytes_max = kafka_settings(config).record_bytes_max as usize;
    let settings = TaskSettings {
        card: Arc::clone(&card),
        limits: DecodeLimits {
            max_record_bytes: config.ingest.max_record_bytes,
            max_future_skew: config.ingest.max_future_skew,
        },
        task_time: match config.engine.task_time {
            config::TaskTime::Wall => TaskTime::Wall,
            config::TaskTime::Records => TaskTime::Records,
        },
        scores_min_interval: config.scores.min_interval,
        event_source: format!("/barometer/{}", config.kafka.group_id),
        owner: config.kafka.instance.clone(),
        group: config.kafka.group_id.clone(),
        changelog: config.kafka.topics.changelog.clone(),
        checkpoint_interval: config.engine.checkpoint_interval,
        changelog_bytes_max: record_bytes_max.saturating_sub(RECORD_OVERHEAD_BYTES),
        at_least_once: config.kafka.delivery == config::Delivery::AtLeastOnce,
        dead_letter_bytes_max: record_bytes_max.saturating_sub(RECORD_OVERHEAD_BYTES),
        topics: Source::ALL.map(|source| config.kafka.topics.input(source).to_owned()),
    };
    Shared {
        settings: Arc::new(settings),
        routing: Arc::new(routing(config, partitions)),
        view: Arc::new(View::new(card, config.engine.workers)),
        metrics: Arc::new(Metrics::new()),
        clock,
        stop: Arc::new(AtomicBool::new(false)),
        publish_from: config.engine.publish_from,
        stop_timeout: duration(config.shutdown_timeout).saturating_sub(STOP_MARGIN),
        pace: CommitPace {
            interval: duration(config.engine.commit_interval),
            gap_min: duration(config.engine.min_commit_gap),
            catching_up: duration(config.engine.catch_up_commit_interval),
        },
    }
}

/// Says how many partitions the input topics have, once that is known.
pub fn set_partitions(shared: &mut Shared, config: &Config, partitions: i32) {
    shared.routing = Arc::new(routing(config, partitions));
}

fn routing(config: &Config, partitions: i32) -> Routing {
    let partitioner = match config.ingest.partitioner {
        config::Partitioner::Auto => None,
        config::Partitioner::Murmur2 => Some(Partitioner::Murmur2),
        config::Partitioner::Crc32 => Some(Partitioner::Crc32),
    };
    let topics = Source::ALL.map(|source| config.kafka.topics.input(source).to_owned());
    Routing::new(partitions, partitioner, topics)
}

/// A span of the settings as the standard library's.
pub fn duration(span: Span) -> Duration {
    Duration::from_millis(u64::try_from(span.as_millis()).unwrap_or(0))
}

/// Running workers.
pub struct Workers {
    threads: Vec<JoinHandle<Result<(), WorkerError>>>,
    stop: Arc<AtomicBool>,
}

impl Workers {
    /// Starts `count` workers.
    ///
    /// # Errors
    /// When the client library refuses a setting, or the system a thread.
    pub fn start(
        kafka: &KafkaSettings,
        count: usize,
        shared: &Shared,
    ) -> Result<Workers, BrokerError> {
        let mut workers = Workers { threads: Vec::new(), stop: Arc::clone(&shared.stop) };
        let parking = Parking::default();
        for number in 0..count {
            let broker = KafkaBroker::connect(kafka, number, shared.clock)?;
            let worker = Worker::new(number, broker, shared.clone(), parking.clone());
            let thread = std::thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || worker.run())
                .expect("a system that can start no thread can run no worker");
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// Whether a worker has ended by itself, which it only does when it cannot go on.
    pub fn has_failed(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Has all workers finish, and waits for them until `timeout` is over. A worker that takes
    /// longer is left behind: what it had open is aborted by the broker.
    ///
    /// # Errors
    /// Why workers ended, for those that did not end well.
    pub fn stop(self, timeout: Duration) -> Result<(), String> {
        self.stop.store(true, Ordering::Relaxed);
        let deadline = clock::monotonic() + timeout;
        let mut failures = Vec::new();
        for (number, thread) in self.threads.into_iter().enumerate() {
            while !thread.is_finished() && clock::monotonic() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
            if !thread.is_finished() {
                warn!(worker = number, "did not stop in time; the broker aborts what it had open");
                continue;
            }
            match thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => failures.push(error.to_string()),
                Err(_) => {
                    error!(worker = number, "panicked");
                    failures.push(format!("worker {number} panicked: this is a bug"));
                }
            }
        }
        failures.dedup();
        if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
    }
}
