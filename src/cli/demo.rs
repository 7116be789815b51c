//! `barometer demo`: a simulated fleet through the very pipeline of `run`, on the client library's
//! embedded broker.
//!
//! Simulated time begins at the present and runs ahead of the wall clock. The fleet brings some
//! weeks of history with it, which is taken in silence (`publish_from`), so that what is shown are
//! changes and not beginnings.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::{CliError, OutputFormat, line};
use crate::app::{self, Workers};
use crate::broker::OutputTopic;
use crate::clock::{self, Clock};
use crate::config::{Config, Overrides, Topics};
use crate::engine::rules::Rules;
use crate::engine::time::{EventTime, Span};
use crate::http;
use crate::kafka::{EventWriter, KafkaSettings, MockKafka, TopicReader};
use crate::simulate::{Fleet, FleetSettings};
use crate::worker::Shared;

/// Accounts to a partition: the embedded broker keeps about 5 MiB of each partition and drops older
/// records, so there are many.
const ACCOUNTS_PER_PARTITION: u32 = 12;
/// Fewest and most partitions of a topic.
const PARTITIONS: std::ops::RangeInclusive<u32> = 4..=64;
/// Bytes of history that a partition may hold, well below what the embedded broker keeps.
const HISTORY_BYTES_PER_PARTITION: f64 = 3_500_000.0;
/// Bytes of one record on the embedded broker, generously.
const BYTES_PER_RECORD: f64 = 330.0;
/// Simulated time that lies behind the fleet when the demo begins: the longest window but one.
const HISTORY: Span = Span::days(42);
/// Days after the fleet's start in which stories begin: some are under way, some still to come.
const ONSET_DAYS: std::ops::RangeInclusive<u32> = 14..=80;
/// Usage events of a mean account on the mean day, at most: enough to tell people apart. Large
/// fleets have fewer, to fit their history into the embedded broker.
const EVENTS_PER_ACCOUNT_DAY_MAX: f64 = 20.0;
/// Most events, once simulated time runs, that are written but not yet taken, beside the history.
const AHEAD_MAX: u64 = 20_000;
/// Events written before they are waited for.
const BATCH_RECORDS: usize = 10_000;
const WORKERS: usize = 1;
const STOP_TIMEOUT: Duration = Duration::from_secs(4);

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Simulated accounts
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    accounts: u32,
    /// The same seed gives the same fleet
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Simulated seconds in a second. Default: four days
    #[arg(long, default_value_t = 345_600.0, value_parser = parse_speed)]
    speed: f64,
    /// Stop after this long, e.g. `30s`
    #[arg(long = "for", value_name = "DURATION", value_parser = super::seconds)]
    duration: Option<Duration>,
    /// What to print
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    output: OutputFormat,
    /// Address of the HTTP server
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// The rules; without it `saas-default`
    #[arg(long, value_name = "FILE")]
    scorecard: Option<String>,
}

fn parse_speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if (1.0..=10_000_000.0).contains(&speed) => Ok(speed),
        _ => Err("expected a number from 1 to 10000000".to_owned()),
    }
}

pub fn demo(args: &DemoArgs) -> Result<(), CliError> {
    let cluster = MockKafka::start().map_err(CliError::failure)?;
    let overrides = Overrides {
        bootstrap_servers: Some(cluster.bootstrap_servers()),
        instance: Some("demo".to_owned()),
        workers: Some(WORKERS.to_string()),
        listen: args.listen.clone(),
        log_level: Some("warn".to_owned()),
        scorecard: args.scorecard.clone(),
        ..Overrides::default()
    };
    let loaded = Config::load(None, &overrides)
        .map_err(|problems| CliError::Usage(app::all_problems(&problems)))?;
    let mut config = loaded.config;
    // Nothing is ever restored from the embedded broker, and simulated time runs fast.
    config.engine.checkpoint_interval = Span::LONGEST;
    // At four days a second the milliseconds that a record is on its way are hours without events.
    config.engine.outage_guard = false;
    super::start_logging(&config)?;
    let (card, warnings) =
        app::load_scorecard(&config.scorecards[0].file).map_err(CliError::Usage)?;
    super::show_warnings(&warnings);
    let settings = app::kafka_settings(&config);
    let partitions = (args.accounts / ACCOUNTS_PER_PARTITION)
        .clamp(*PARTITIONS.start(), *PARTITIONS.end()) as i32;
    cluster.create_topics(&settings, partitions).map_err(CliError::failure)?;

    let runtime = tokio::runtime::Runtime::new().map_err(CliError::failure)?;
    let listener = runtime.block_on(http::bind(config.http.listen)).map_err(CliError::Usage)?;
    let listening = listener.local_addr().map_err(CliError::failure)?;
    let stop = Arc::new(AtomicBool::new(false));
    runtime.spawn(stop_on_signal(Arc::clone(&stop), args.duration));
    introduce(args, listening);

    let begins_at = Clock::wall().now();
    let mut simulation = Simulation::new(args, partitions, begins_at, &config, &settings)?;
    while simulation.write_batch(begins_at)? > 0 && !stop.load(Ordering::Relaxed) {}
    // Simulated time starts to run only now: what lies before is history.
    let clock = Clock::simulated(begins_at, args.speed);
    let mut shared = app::shared(&config, Rules::one(card), partitions, clock);
    shared.publish_from = Some(begins_at);
    let sources = http::Sources { view: shared.view.clone(), metrics: shared.metrics.clone() };
    runtime.spawn(http::serve(listener, sources, std::future::pending()));

    let outcome = show(args, partitions, &settings, &shared, simulation, &stop);
    // The server's connections need not be waited for.
    runtime.shutdown_background();
    drop(cluster);
    outcome
}

/// Says what there is to see, on standard error: standard output is for band changes alone.
fn introduce(args: &DemoArgs, listening: std::net::SocketAddr) {
    eprintln!(
        "{} simulated accounts, {:.1} simulated days a second; metrics on http://{listening}/metrics",
        args.accounts,
        args.speed / 86_400.0
    );
    eprintln!(
        "the embedded broker does not enforce transactions: use a real Kafka for exactly-once"
    );
}

async fn stop_on_signal(stop: Arc<AtomicBool>, after: Option<Duration>) {
    use tokio::signal::unix::{SignalKind, signal};
    let over = async {
        match after {
            Some(after) => tokio::time::sleep(after).await,
            None => std::future::pending().await,
        }
    };
    let told = async {
        // A handler that cannot be set leaves the signal to end the process at once.
        match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
            (Ok(mut interrupt), Ok(mut terminate)) => tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            },
            _ => std::future::pending().await,
        }
    };
    tokio::select! {
        () = over => {}
        () = told => {}
    }
    stop.store(true, Ordering::Relaxed);
}

fn show(
    args: &DemoArgs,
    partitions: i32,
    settings: &KafkaSettings,
    shared: &Shared,
    mut simulation: Simulation,
    stop: &AtomicBool,
) -> Result<(), CliError> {
    let workers = Workers::start(settings, WORKERS, shared).map_err(CliError::failure)?;
    let topic = settings.output_topic(OutputTopic::Events);
    let reader = TopicReader::open(settings, topic, partitions).map_err(CliError::failure)?;
    let shown = std::thread::scope(|scope| {
        let simulated = scope.spawn(|| simulation.run(shared, stop));
        let printed = print(&reader, args.output, stop, &workers);
        stop.store(true, Ordering::Relaxed);
        let simulated = simulated.join().unwrap_or_else(|_| {
            Err(CliError::Failure("the simulation panicked: this is a bug".to_owned()))
        });
        simulated.and(printed)
    });
    let stopped = workers.stop(STOP_TIMEOUT).map_err(CliError::Failure);
    stopped.and(shown)
}

/// The fleet and where its events go.
struct Simulation {
    fleet: Fleet,
    writer: EventWriter,
    topics: Topics,
    written: u64,
}

impl Simulation {
    fn new(
        args: &DemoArgs,
        partitions: i32,
        begins_at: EventTime,
        config: &Config,
        settings: &KafkaSettings,
    ) -> Result<Simulation, CliError> {
        let history_bytes = HISTORY_BYTES_PER_PARTITION * f64::from(partitions);
        let history_account_days = HISTORY.whole_days() as f64 * f64::from(args.accounts);
        let affordable = history_bytes / BYTES_PER_RECORD / history_account_days;
        let fleet = Fleet::new(FleetSettings {
            accounts: args.accounts as usize,
            seed: args.seed,
            start: begins_at - HISTORY,
            events_per_account_day: affordable.min(EVENTS_PER_ACCOUNT_DAY_MAX),
            onset_days: ONSET_DAYS,
            ..FleetSettings::default()
        });
        let writer = EventWriter::connect(settings).map_err(CliError::failure)?;
        Ok(Simulation { fleet, writer, topics: config.kafka.topics.clone(), written: 0 })
    }

    /// Writes the fleet's events as simulated time passes.
    fn run(&mut self, shared: &Shared, stop: &AtomicBool) -> Result<(), CliError> {
        while !stop.load(Ordering::Relaxed) {
            let behind = shared.metrics.events_consumed() + AHEAD_MAX < self.written;
            // The embedded broker drops what is not read in time.
            if behind || self.write_batch(shared.clock.now())? == 0 {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        Ok(())
    }

    /// Writes a batch of the events before `until`; returns how many there were.
    fn write_batch(&mut self, until: EventTime) -> Result<u64, CliError> {
        let before = self.written;
        for event in self.fleet.events(until).take(BATCH_RECORDS) {
            let (key, value) = (event.account_id.as_bytes(), event.body.as_bytes());
            let topic = self.topics.input(event.source);
            self.writer
                .write(topic, key, Some(value), event.record_time)
                .map_err(CliError::failure)?;
            self.written += 1;
        }
        if self.written > before {
            self.writer.flush(Duration::from_secs(5)).map_err(CliError::failure)?;
        }
        Ok(self.written - before)
    }
}

/// Prints every published record until told to stop.
fn print(
    reader: &TopicReader,
    output: OutputFormat,
    stop: &AtomicBool,
    workers: &Workers,
) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    let mut flushed = clock::monotonic();
    while !stop.load(Ordering::Relaxed) && !workers.has_failed() {
        if let Some(record) = reader.next(Duration::from_millis(50)) {
            let printed = match output {
                OutputFormat::Json => out.write_all(&record).and_then(|()| writeln!(out)),
                OutputFormat::Text => match serde_json::from_slice::<Value>(&record) {
                    Ok(record) => writeln!(out, "{}", line::verdict(&record)),
                    Err(error) => Err(io::Error::from(error)),
                },
            };
            match printed {
                Ok(()) => {}
                // Whoever reads has seen enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                Err(error) => {
                    return Err(CliError::Failure(format!("standard output: {error}")));
                }
            }
        }
        if flushed.elapsed() >= Duration::from_millis(100) {
            // A pipe's reader that has gone is noticed at the next record.
            let _ = out.flush();
            flushed = clock::monotonic();
        }
    }
    Ok(())
}
