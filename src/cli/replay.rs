//! `barometer replay`: files of events through the engine that `run` drives, without a broker.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use clap::Args;

use super::progress::Progress;
use super::{CliError, OutputFormat, Switch, line, read_feed, show_warnings};
use crate::app;
use crate::config::ScorecardFile;
use crate::engine::Engine;
use crate::engine::event::DecodeLimits;
use crate::engine::record;
use crate::engine::time::EventTime;
use crate::engine::verdict::{AlertChange, Decision, Verdict};
use crate::input::{Feed, Record};
use crate::partitioner::Partitioner;

#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// NDJSON files, plain, `.gz` or `.zst`; `-` is standard input. A line is a `kcat -J` envelope or
    /// an event with its `source`
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    input: Vec<PathBuf>,
    /// The rules; without it `saas-default`
    #[arg(long, value_name = "FILE")]
    scorecard: Option<PathBuf>,
    /// Task time to stop at; later records are not taken. Default: the last record's
    #[arg(long, value_name = "INSTANT", value_parser = super::parse_instant)]
    as_of: Option<EventTime>,
    /// What to print
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    output: OutputFormat,
    /// With `--output json`: also one report of each account at the end
    #[arg(long)]
    reports: bool,
    /// Tasks to split the accounts into, as Kafka would
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    partitions: i32,
    /// Whether outages of whole sources are watched for, as `run` does
    #[arg(long, value_enum, default_value_t = Switch::On, value_name = "on|off")]
    outage_guard: Switch,
    /// Fail if a line or record cannot be used
    #[arg(long)]
    strict: bool,
}

pub fn replay(args: &ReplayArgs) -> Result<(), CliError> {
    if args.reports && args.output == OutputFormat::Text {
        return Err(CliError::Usage("`--reports` needs `--output json`".to_owned()));
    }
    let file = match &args.scorecard {
        Some(path) => ScorecardFile::Path(path.clone()),
        None => ScorecardFile::Embedded,
    };
    let (card, warnings) = app::load_scorecard(&file).map_err(CliError::Usage)?;
    show_warnings(&warnings);
    let feed = read(args)?;
    let engine = |_| super::engine_for(&card, args.outage_guard);
    let engines: Vec<Engine> = (0..args.partitions).map(engine).collect();
    let mut replay = Replay {
        engines,
        bad_records: 0,
        band_changes: 0,
        alerts: 0,
        output: args.output,
        out: BufWriter::new(io::stdout().lock()),
    };
    let done = replay.run(&feed, args);
    match done {
        // Whoever reads has seen enough.
        Err(Stop::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
        Err(Stop::Output(error)) => {
            return Err(CliError::Failure(format!("standard output: {error}")));
        }
        Err(Stop::Strict(message)) => return Err(CliError::Failure(message)),
        Ok(()) => {}
    }
    let accounts: usize = replay.engines.iter().map(Engine::account_count).sum();
    eprintln!(
        "{} records, {accounts} accounts, {} band changes, {} alerts; {} lines and {} records could not \
         be used",
        feed.len(),
        replay.band_changes,
        replay.alerts,
        feed.line_error_count(),
        replay.bad_records,
    );
    Ok(())
}

fn read(args: &ReplayArgs) -> Result<Feed, CliError> {
    let feed = read_feed(&args.input)?;
    for error in feed.line_errors() {
        eprintln!("{error}");
    }
    let count = feed.line_error_count();
    if args.strict && count > 0 {
        return Err(CliError::Failure(format!("{count} lines could not be used (`--strict`)")));
    }
    Ok(feed)
}

struct Replay<W> {
    engines: Vec<Engine>,
    bad_records: u64,
    band_changes: u64,
    alerts: u64,
    output: OutputFormat,
    out: W,
}

/// Why a replay ends early.
enum Stop {
    Output(io::Error),
    Strict(String),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Output(error)
    }
}

impl<W: Write> Replay<W> {
    fn run(&mut self, feed: &Feed, args: &ReplayArgs) -> Result<(), Stop> {
        let mut last = EventTime::MIN;
        let in_time =
            |record: &Record<'_>| args.as_of.is_none_or(|as_of| record.record_time <= as_of);
        let mut progress = Progress::new("replaying", feed.len() as u64, true);
        for (index, record) in feed.records().take_while(in_time).enumerate() {
            progress.at(index as u64);
            last = record.record_time;
            self.advance_to(last)?;
            self.take(&record, args.strict)?;
            self.print_verdicts()?;
        }
        self.advance_to(args.as_of.unwrap_or(last))?;
        if args.reports {
            self.print_reports()?;
        }
        self.out.flush()?;
        Ok(())
    }

    /// All partitions together, so that their verdicts come out in the order of their times.
    fn advance_to(&mut self, now: EventTime) -> Result<(), Stop> {
        for engine in &mut self.engines {
            engine.advance_to(now);
        }
        self.print_verdicts()
    }

    fn take(&mut self, record: &Record<'_>, strict: bool) -> Result<(), Stop> {
        match record.decode(&DecodeLimits::default()) {
            Ok(event) => {
                let engine = match self.engines.as_mut_slice() {
                    [engine] => engine,
                    engines => {
                        let key = event.account_id.as_bytes();
                        let partition = Partitioner::Murmur2.partition(key, engines.len() as i32);
                        &mut engines[partition as usize]
                    }
                };
                engine.handle_event(&event);
                Ok(())
            }
            Err(error) => {
                let message = format!("{}:{}: {error}", record.file, record.line);
                if strict {
                    return Err(Stop::Strict(message));
                }
                self.bad_records += 1;
                eprintln!("{message}");
                Ok(())
            }
        }
    }

    fn print_verdicts(&mut self) -> Result<(), Stop> {
        // As after nearly every record.
        if self.engines.iter().all(Engine::is_silent) {
            return Ok(());
        }
        let mut verdicts: Vec<Verdict> = Vec::new();
        for engine in &mut self.engines {
            verdicts.extend(std::iter::from_fn(|| engine.poll_verdict()));
        }
        verdicts.sort_by_key(|verdict| verdict.at);
        let mut payloads: Vec<(EventTime, Vec<u8>)> = verdicts
            .iter()
            .map(|verdict| (verdict.at, record::encode(verdict, "").payload))
            .collect();
        for (partition, engine) in (0..).zip(&mut self.engines) {
            while let Some(alert) = engine.poll_operator_alert() {
                let payload = record::encode_operator_alert(&alert, partition, "").payload;
                payloads.push((alert.at, payload));
            }
        }
        for verdict in &verdicts {
            match &verdict.decision {
                Decision::BandChange { .. } => self.band_changes += 1,
                Decision::Alert(step) => match step.change {
                    AlertChange::Fired => self.alerts += 1,
                    // Of an alert that was told already.
                    AlertChange::Escalated { .. } | AlertChange::Resolved { .. } => {}
                },
            }
        }
        payloads.sort_by_key(|(at, _)| *at);
        for (_, payload) in payloads {
            match self.output {
                OutputFormat::Text => {
                    let payload = serde_json::from_slice(&payload).map_err(io::Error::from)?;
                    writeln!(self.out, "{}", line::verdict(&payload))?;
                }
                OutputFormat::Json => {
                    self.out.write_all(&payload)?;
                    writeln!(self.out)?;
                }
            }
        }
        Ok(())
    }

    fn print_reports(&mut self) -> Result<(), Stop> {
        for engine in &mut self.engines {
            let mut ids: Vec<String> = engine.account_ids().map(str::to_owned).collect();
            ids.sort_unstable();
            for id in ids {
                let snapshot = engine.snapshot(&id).expect("the engine has just named it");
                let report = snapshot.report();
                serde_json::to_writer(&mut self.out, &report).map_err(io::Error::from)?;
                writeln!(self.out)?;
            }
        }
        Ok(())
    }
}
