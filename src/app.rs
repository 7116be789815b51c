//! Wiring: from settings to running workers, and back down in order.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use tracing::{error, info, warn};

use crate::broker::{BrokerError, OutputTopic};
use crate::capacity::Capacity;
use crate::clock::{self, Clock};
use crate::config::{self, Config, ScorecardChoice, ScorecardFile};
use crate::engine::event::{DecodeLimits, Source};
use crate::engine::limits::Limits;
use crate::engine::rules::Rules;
use crate::engine::scorecard::{Condition, Scorecard};
use crate::engine::time::Span;
use crate::engine::yaml::Problem;
use crate::in_force::InForce;
use crate::kafka::{Delivery, GroupProtocol, KafkaBroker, KafkaSettings};
use crate::partitioner::Partitioner;
use crate::restore::OffsetReset;
use crate::routing::Routing;
use crate::task::{TaskSettings, TaskTime};
use crate::telemetry::metrics::{Metrics, Reload};
use crate::view::View;
use crate::worker::{Pace, Parking, Shared, TURN_LOOKS, Worker, WorkerError};

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

/// Reads every scorecard that the settings name, with all warnings.
///
/// # Errors
/// All problems of all files.
pub fn load_rules(config: &Config) -> Result<(Rules, Vec<Problem>), String> {
    let mut warnings = Vec::new();
    let mut problems = Vec::new();
    let mut cards = Vec::new();
    for choice in &config.scorecards {
        match load_scorecard(&choice.file) {
            Ok((card, more)) => {
                warnings.extend(more);
                cards.push((choice.when.clone(), card));
            }
            Err(found) => problems.push(found),
        }
    }
    if !problems.is_empty() {
        problems.dedup();
        return Err(problems.join("\n"));
    }
    let (_, otherwise) = cards.pop().expect("the settings name at least one scorecard");
    let conditional = |(when, card): (Option<Condition>, _)| Some((when?, card));
    let rules = Rules::selecting(cards.into_iter().filter_map(conditional).collect(), otherwise);
    Ok((rules.with_alerts_on_change(config.engine.alert_on_rules_change), warnings))
}

/// When the scorecard files were changed last, to see whether they have been since.
pub fn scorecard_times(config: &Config) -> Vec<Option<(SystemTime, u64)>> {
    let time = |choice: &ScorecardChoice| match &choice.file {
        ScorecardFile::Embedded => None,
        ScorecardFile::Path(path) => {
            let about = std::fs::metadata(path).ok()?;
            Some((about.modified().ok()?, about.len()))
        }
    };
    config.scorecards.iter().map(time).collect()
}

/// Reads the scorecards again and puts them in force, unless they have mistakes.
pub fn reload_rules(config: &Config, shared: &Shared) {
    match load_rules(config) {
        Ok((rules, _)) if rules.says_the_same_as(&shared.rules.rules()) => {
            shared.metrics.add_reload(Reload::Unchanged);
            info!("the scorecards say what they said before");
        }
        Ok((rules, warnings)) => {
            shared.metrics.add_reload(Reload::Applied);
            for warning in warnings {
                warn!("{warning}");
            }
            let hashes: Vec<_> = rules.cards().map(|card| card.hash.clone()).collect();
            info!(?hashes, "scorecards changed");
            shared.rules.replace(rules);
        }
        Err(problems) => {
            shared.metrics.add_reload(Reload::Refused);
            error!("the scorecards stay as they were, for the new ones have mistakes:\n{problems}");
        }
    }
}

/// Reads a scorecard, with its warnings.
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

/// Reads a scorecard's text, with its warnings; `name` is for messages.
///
/// # Errors
/// All problems of the text.
pub fn parse_scorecard(name: &str, text: &str) -> Result<(Arc<Scorecard>, Vec<Problem>), String> {
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
pub fn shared(config: &Config, rules: Rules, partitions: i32, clock: Clock) -> Shared {
    let record_bytes_max = kafka_settings(config).record_bytes_max as usize;
    let settings = TaskSettings {
        limits: DecodeLimits {
            max_record_bytes: config.ingest.max_record_bytes,
            max_future_skew: config.ingest.max_future_skew,
        },
        account_limits: Limits {
            items_per_account: config.limits.items_per_account,
            users_per_account: config.limits.users_per_account,
            forget_after: config.limits.forget_after,
        },
        capacity: Arc::new(Capacity::new(
            config.limits.accounts,
            config.limits.when_full == config::WhenFull::ForgetIdle,
        )),
        task_time: match config.engine.task_time {
            config::TaskTime::Wall => TaskTime::Wall,
            config::TaskTime::Records => TaskTime::Records,
        },
        outage_guard: config.engine.outage_guard,
        scores_min_interval: config.scores.min_interval,
        event_source: format!("/barometer/{}", config.kafka.group_id),
        owner: config.kafka.instance.clone(),
        group: config.kafka.group_id.clone(),
        changelog: config.kafka.topics.changelog.clone(),
        checkpoint_interval: config.engine.checkpoint_interval,
        changelog_bytes_max: record_bytes_max.saturating_sub(RECORD_OVERHEAD_BYTES),
        offset_reset: match config.kafka.offset_reset {
            config::OffsetReset::Fail => OffsetReset::Fail,
            config::OffsetReset::Earliest => OffsetReset::Earliest,
            config::OffsetReset::Latest => OffsetReset::Latest,
        },
        at_least_once: config.kafka.delivery == config::Delivery::AtLeastOnce,
        dead_letter_bytes_max: record_bytes_max.saturating_sub(RECORD_OVERHEAD_BYTES),
        topics: Source::ALL.map(|source| config.kafka.topics.input(source).to_owned()),
    };
    Shared {
        settings: Arc::new(settings),
        rules: Arc::new(InForce::new(rules)),
        routing: Arc::new(routing(config, partitions)),
        view: Arc::new(View::new(config.engine.workers)),
        metrics: Arc::new(Metrics::new()),
        clock,
        stop: Arc::new(AtomicBool::new(false)),
        publish_from: config.engine.publish_from,
        stop_timeout: duration(config.shutdown_timeout).saturating_sub(STOP_MARGIN),
        pace: Pace {
            interval: duration(config.engine.commit_interval),
            gap_min: duration(config.engine.min_commit_gap),
            catching_up: duration(config.engine.catch_up_commit_interval),
            looks: TURN_LOOKS,
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
            let broker = KafkaBroker::connect(kafka, number, shared.clock.clone())?
                .with_metrics(Arc::clone(&shared.metrics));
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
