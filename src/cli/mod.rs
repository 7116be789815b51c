//! The command line: one file a command.

mod backtest;
mod check;
mod compare;
mod demo;
mod explain;
mod forget;
mod generate;
mod init;
mod line;
mod progress;
mod replay;
mod run;
mod schema;
mod scorecards;
mod test;
mod topics;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand, ValueEnum};
use progress::Progress;
use serde::Serialize;

use crate::config::{Config, LogFormat, LogLevel, Overrides};
use crate::engine::Engine;
use crate::engine::event::{DecodeLimits, Event, Source};
use crate::engine::scorecard::Scorecard;
use crate::engine::time::EventTime;
use crate::engine::yaml::Severity;
use crate::input::{Feed, FeedReader};
use crate::telemetry::logging;

/// Customer health from Kafka topics: exact scores, band changes and their reasons.
#[derive(Debug, Parser)]
#[command(name = "barometer", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Reads the event topics and publishes band changes and reports, until told to stop
    Run(run::RunArgs),
    /// Shows a simulated fleet on an embedded broker: no Kafka needed
    Demo(demo::DemoArgs),
    /// Feeds files of events through the engine and prints the band changes
    Replay(replay::ReplayArgs),
    /// Simulates customers and writes their events to Kafka or to a file
    Generate(generate::GenerateArgs),
    /// Writes starter settings and a scorecard into the current directory
    Init(init::InitArgs),
    /// Tells all mistakes in scorecards, their tests and the settings
    Check(check::CheckArgs),
    /// Puts one history through two scorecards and tells where they differ
    Compare(compare::CompareArgs),
    /// Judges a history by who really left: alerts in time, right and repeated, band changes, scores
    Backtest(backtest::BacktestArgs),
    /// Explains one account's score: its parts, what moved it, what would lift it
    Explain(explain::ExplainArgs),
    /// Has everything erased that is kept of an account
    Forget(forget::ForgetArgs),
    /// Runs the tests that stand in scorecards, or in files of their own
    Test(test::TestArgs),
    /// Names the scorecards that come with the product
    Scorecards(scorecards::ScorecardsArgs),
    /// Prints or writes JSON Schemas of scorecards, settings and records
    Schema(schema::SchemaArgs),
    /// Makes or lists the topics of the settings
    Topics(topics::TopicsArgs),
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum CliError {
    /// Settings, rules or flags are wrong: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// It could not be done: exit code 1.
    #[error("{0}")]
    Failure(String),
}

impl CliError {
    fn failure(error: impl std::fmt::Display) -> CliError {
        CliError::Failure(error.to_string())
    }
}

/// Runs the command that the process was started with: exit code 0 when all went well, 1 on
/// failure, 2 where settings, rules or flags are wrong.
pub fn main() -> ExitCode {
    end_quietly_when_nobody_reads();
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Demo(args) => demo::demo(&args),
        Command::Replay(args) => replay::replay(&args),
        Command::Generate(args) => generate::generate(&args),
        Command::Check(args) => check::check(&args),
        Command::Backtest(args) => backtest::backtest(&args),
        Command::Compare(args) => compare::compare(&args),
        Command::Explain(args) => explain::explain(&args),
        Command::Forget(args) => forget::forget(&args),
        Command::Init(args) => init::init(&args),
        Command::Test(args) => test::test(&args),
        Command::Scorecards(args) => scorecards::scorecards(&args),
        Command::Schema(args) => schema::schema(&args),
        Command::Topics(args) => topics::topics(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            match error {
                CliError::Usage(_) => ExitCode::from(2),
                CliError::Failure(_) => ExitCode::FAILURE,
            }
        }
    }
}

/// `barometer check .. | head` has been read as far as its reader wanted: that is no panic.
fn end_quietly_when_nobody_reads() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let said = panic.payload().downcast_ref::<String>();
        let of_output = |said: &String| {
            said.starts_with("failed printing to std") && said.contains("Broken pipe")
        };
        if said.is_some_and(of_output) {
            std::process::exit(1);
        }
        usual(panic);
    }));
}

/// Where the settings come from.
#[derive(Debug, Args)]
struct SettingsArgs {
    /// The settings file; without it everything is as by default
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Kafka's address, over the settings
    #[arg(long, value_name = "HOST:PORT,..")]
    bootstrap_servers: Option<String>,
    /// Consumer group, over the settings
    #[arg(long, value_name = "NAME")]
    group_id: Option<String>,
    /// Stable name of this process, over the settings
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// `text` or `json`, over the settings
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// `error`, `warn`, `info`, `debug` or `trace`, over the settings
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

impl SettingsArgs {
    fn overrides(&self) -> Overrides {
        Overrides {
            bootstrap_servers: self.bootstrap_servers.clone(),
            group_id: self.group_id.clone(),
            instance: self.instance.clone(),
            log_format: self.log_format.clone(),
            log_level: self.log_level.clone(),
            ..Overrides::default()
        }
    }

    /// Loads the settings, shows their warnings and starts logging.
    fn load(&self, overrides: &Overrides) -> Result<Config, CliError> {
        let loaded = Config::load(self.config.as_deref(), overrides)
            .map_err(|problems| CliError::Usage(crate::app::all_problems(&problems)))?;
        show_warnings(&loaded.warnings);
        start_logging(&loaded.config)?;
        Ok(loaded.config)
    }
}

/// Reads files of events to their ends.
fn read_feed(paths: &[PathBuf]) -> Result<Feed, CliError> {
    let topics = Source::ALL.map(|source| (source.default_topic().to_owned(), source));
    let mut reader = FeedReader::new(topics.to_vec());
    let mut progress = Progress::new("reading lines:", 0, false);
    for path in paths {
        reader.add_path_watched(path, |lines| progress.at(lines)).map_err(CliError::failure)?;
    }
    drop(progress);
    Ok(reader.finish())
}

/// Has `take` have every event of a feed up to `as_of`, in order, and shows how far it is. Returns how
/// many records could not be used: they are for `replay` to tell.
fn each_event(
    feed: &Feed,
    as_of: Option<EventTime>,
    what: &'static str,
    mut take: impl FnMut(&Event<'_>, EventTime),
) -> u64 {
    let mut bad_records = 0;
    let mut progress = Progress::new(what, feed.len() as u64, false);
    let limits = DecodeLimits::default();
    for (index, record) in feed.records().enumerate() {
        if as_of.is_some_and(|as_of| record.record_time > as_of) {
            break;
        }
        match record.decode(&limits) {
            Ok(event) => take(&event, record.record_time),
            Err(_) => bad_records += 1,
        }
        progress.at(index as u64);
    }
    bad_records
}

/// A thing that can be turned off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

/// An engine for a history: everything is published, and outages are watched for or not.
fn engine_for(card: &Arc<Scorecard>, outage_guard: Switch) -> Engine {
    let engine = Engine::new(Arc::clone(card), EventTime::MIN);
    match outage_guard {
        Switch::On => engine.with_outage_guard(),
        Switch::Off => engine,
    }
}

/// Says that lines and records were left out, where nobody tells them one by one.
fn warn_of_unused(feed: &Feed, bad_records: u64) {
    let lines = feed.line_error_count();
    if lines + bad_records > 0 {
        eprintln!(
            "warning: {lines} lines and {bad_records} records could not be used, `barometer replay` \
             says why"
        );
    }
}

fn show_warnings(warnings: &[crate::engine::yaml::Problem]) {
    for warning in warnings.iter().filter(|problem| problem.severity == Severity::Warning) {
        eprintln!("{warning}");
    }
}

fn start_logging(config: &Config) -> Result<(), CliError> {
    let format = match config.log.format {
        LogFormat::Text => logging::LogFormat::Text,
        LogFormat::Json => logging::LogFormat::Json,
    };
    let level = match config.log.level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    logging::start(format, level).map_err(CliError::Usage)
}

/// What a command prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum OutputFormat {
    /// One readable line each
    Text,
    /// The records themselves, one JSON object a line, and nothing else on standard output
    Json,
}

/// Writes to standard output. Whoever reads it may have seen enough, which is no failure.
fn print(text: &str) -> Result<(), CliError> {
    io::stdout().write_all(text.as_bytes()).or_else(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(CliError::Failure(format!("standard output: {error}"))),
    })
}

/// What a command has found, on one line.
fn json_line(outcome: &impl Serialize) -> String {
    let json = serde_json::to_string(outcome);
    format!("{}\n", json.expect("texts and numbers always become JSON"))
}

fn seconds(text: &str) -> Result<std::time::Duration, String> {
    let span: crate::engine::time::Span = text.parse().map_err(|error| format!("{error}"))?;
    Ok(crate::app::duration(span))
}

fn parse_instant(text: &str) -> Result<EventTime, String> {
    EventTime::parse_rfc3339(text).map_err(|error| error.to_string())
}
