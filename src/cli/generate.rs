//! `barometer generate`: the simulated fleet as a source of events.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::CliError;
use super::progress::Progress;
use crate::app;
use crate::clock::{self, Clock};
use crate::config::{Config, Overrides};
use crate::engine::time::{EventTime, Span};
use crate::kafka::EventWriter;
use crate::partitioner::Partitioner;
use crate::simulate::line::{Lines, truth_line};
use crate::simulate::{Fleet, FleetSettings};

/// Longest wait for the last events to be acknowledged.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("target").required(true))]
pub struct GenerateArgs {
    /// Write to this Kafka, keyed by account with Java's partitioner
    #[arg(long, alias = "bootstrap-servers", value_name = "HOST:PORT,..", group = "target")]
    bootstrap: Option<String>,
    /// Write lines to this file; `-` is standard output
    #[arg(long, value_name = "FILE", group = "target")]
    output: Option<PathBuf>,
    /// The settings file that names the topics; without it their default names
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Simulated accounts
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    accounts: u32,
    /// Days to simulate
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
    /// The same seed gives the same events
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// First instant. Default: 2025-01-01 for lines; for Kafka so that the last day ends now
    #[arg(long, value_name = "INSTANT", value_parser = super::parse_instant)]
    start: Option<EventTime>,
    /// Usage events of an account of mean size on the mean day
    #[arg(long, default_value_t = 60.0)]
    events_per_day: f64,
    /// Most events a second of real time; without it as fast as they can be written
    #[arg(long, value_name = "EVENTS")]
    rate: Option<f64>,
    /// Lines without envelope: one event and its source
    #[arg(long, conflicts_with = "bootstrap")]
    bare: bool,
    /// Partitions that the envelopes' records are put in
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    partitions: i32,
    /// Also write who left and when to this file, as `backtest` reads it
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
    /// Days after the last event that the truth knows of
    #[arg(long, value_name = "DAYS", default_value_t = 90, requires = "truth")]
    truth_ahead: u32,
}

pub fn generate(args: &GenerateArgs) -> Result<(), CliError> {
    let span = Span::days(i64::from(args.days));
    let default_start = match &args.bootstrap {
        Some(_) => Clock::wall().now() - span,
        None => FleetSettings::default().start,
    };
    let start = args.start.unwrap_or(default_start);
    let mut fleet = Fleet::new(FleetSettings {
        accounts: args.accounts as usize,
        seed: args.seed,
        start,
        events_per_account_day: args.events_per_day,
        ..FleetSettings::default()
    });
    let until = start + span;
    match (&args.bootstrap, &args.output) {
        (Some(bootstrap), _) => to_kafka(args, bootstrap, &mut fleet, until)?,
        (None, Some(path)) => to_file(args, path, &mut fleet, until)?,
        (None, None) => unreachable!("the flags are a required group"),
    }
    match &args.truth {
        Some(path) => write_truth(path, fleet, until + Span::days(i64::from(args.truth_ahead))),
        None => Ok(()),
    }
}

/// Lets the fleet live on until `known_until`, unheard, and says who left.
fn write_truth(path: &Path, mut fleet: Fleet, known_until: EventTime) -> Result<(), CliError> {
    while fleet.next_event_before(known_until).is_some() {}
    let name = path.display();
    let error = |error: io::Error| CliError::Failure(format!("{name}: cannot be written: {error}"));
    let mut out = BufWriter::new(File::create(path).map_err(error)?);
    for truth in fleet.truth() {
        writeln!(out, "{}", truth_line(&truth, known_until)).map_err(error)?;
    }
    out.flush().map_err(error)
}

fn to_file(
    args: &GenerateArgs,
    path: &Path,
    fleet: &mut Fleet,
    until: EventTime,
) -> Result<(), CliError> {
    let mut lines = match args.bare {
        true => Lines::bare(),
        false => Lines::envelopes(Partitioner::Murmur2, args.partitions),
    };
    let name = path.display();
    let mut out: Box<dyn Write> = if path.as_os_str() == "-" {
        Box::new(BufWriter::new(io::stdout().lock()))
    } else {
        let file = File::create(path)
            .map_err(|error| CliError::Failure(format!("{name}: cannot be written: {error}")))?;
        Box::new(BufWriter::new(file))
    };
    match write_by_day(args, &mut lines, fleet, until, &mut out) {
        Ok(count) => {
            eprintln!("{count} events");
            Ok(())
        }
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(CliError::Failure(format!("{name}: cannot be written: {error}"))),
    }
}

/// A day at a time, so that there is progress to tell.
fn write_by_day(
    args: &GenerateArgs,
    lines: &mut Lines,
    fleet: &mut Fleet,
    until: EventTime,
    out: &mut impl Write,
) -> io::Result<u64> {
    let mut progress = Progress::new("days", u64::from(args.days), true);
    let mut count = 0;
    for day in 1..=args.days {
        let rest = Span::days(i64::from(args.days - day));
        count += lines.write(fleet, until - rest, args.rate, out)?;
        progress.now_at(u64::from(day));
    }
    Ok(count)
}

fn to_kafka(
    args: &GenerateArgs,
    bootstrap: &str,
    fleet: &mut Fleet,
    until: EventTime,
) -> Result<(), CliError> {
    let overrides =
        Overrides { bootstrap_servers: Some(bootstrap.to_owned()), ..Overrides::default() };
    let loaded = Config::load(args.config.as_deref(), &overrides)
        .map_err(|problems| CliError::Usage(app::all_problems(&problems)))?;
    super::start_logging(&loaded.config)?;
    let settings = app::kafka_settings(&loaded.config);
    let mut writer = EventWriter::connect(&settings).map_err(CliError::failure)?;
    let began = clock::monotonic();
    let mut count = 0_u64;
    let mut progress = Progress::new("events", 0, false);
    for event in fleet.events(until) {
        progress.at(count);
        if let Some(rate) = args.rate.filter(|rate| *rate > 0.0) {
            let due = Duration::from_secs_f64(count as f64 / rate);
            std::thread::sleep(due.saturating_sub(began.elapsed()));
        }
        let topic = loaded.config.kafka.topics.input(event.source);
        let (key, value) = (event.account_id.as_bytes(), event.body.as_bytes());
        writer.write(topic, key, Some(value), event.record_time).map_err(CliError::failure)?;
        count += 1;
    }
    drop(progress);
    writer.flush(FLUSH_TIMEOUT).map_err(CliError::failure)?;
    eprintln!("{count} events");
    Ok(())
}
