//! `barometer compare`: two scorecards over the same history, to see what a change would do.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::{CliError, OutputFormat, Switch, read_feed, show_warnings};
use crate::app;
use crate::compare::{self, Comparison};
use crate::engine::scorecard::Scorecard;
use crate::engine::time::EventTime;
use crate::preset;

#[derive(Debug, Args)]
pub struct CompareArgs {
    /// NDJSON files as `replay` reads them, plain, `.gz` or `.zst`; `-` is standard input
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    input: Vec<PathBuf>,
    /// One scorecard: a file, or the name of a preset
    #[arg(long, value_name = "CARD")]
    a: PathBuf,
    /// The other one
    #[arg(long, value_name = "CARD")]
    b: PathBuf,
    /// Task time to end at; later records are not taken. Default: the last record's
    #[arg(long, value_name = "INSTANT", value_parser = super::parse_instant)]
    as_of: Option<EventTime>,
    /// Whether outages of whole sources are watched for, as `run` does
    #[arg(long, value_enum, default_value_t = Switch::On, value_name = "on|off")]
    outage_guard: Switch,
    /// With `--output text`: how many of the accounts that differ are listed
    #[arg(long, value_name = "N", default_value_t = 20)]
    accounts: usize,
    /// What to print; `json` is one object
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    output: OutputFormat,
}

pub fn compare(args: &CompareArgs) -> Result<(), CliError> {
    // Both cards' mistakes are told, not only the first one's.
    let (a, b) = match (load("--a", &args.a), load("--b", &args.b)) {
        (Ok(a), Ok(b)) => (a, b),
        (Err(a), Err(b)) if a != b => return Err(CliError::Usage(format!("{a}\n{b}"))),
        (Err(error), _) | (_, Err(error)) => return Err(CliError::Usage(error)),
    };
    let feed = read_feed(&args.input)?;
    let mut comparison = match args.outage_guard {
        Switch::On => Comparison::new(a, b).with_outage_guard(),
        Switch::Off => Comparison::new(a, b),
    };
    let bad_records = super::each_event(&feed, args.as_of, "comparing", |event, record_time| {
        comparison.take(event, record_time);
    });
    let outcome = comparison.finish(args.as_of);
    super::warn_of_unused(&feed, bad_records);
    super::print(&match args.output {
        OutputFormat::Text => compare::text(&outcome, args.accounts),
        OutputFormat::Json => super::json_line(&outcome),
    })
}

/// A file of this name, else a preset.
fn load(flag: &str, card: &Path) -> Result<Arc<Scorecard>, String> {
    let name = card.to_string_lossy();
    let (card, warnings) = match preset::by_name(&name) {
        _ if card.exists() => app::read_scorecard(card)?,
        Some(preset) => app::parse_scorecard(&format!("{name} (embedded)"), preset.text)?,
        None => return Err(format!("`{flag}` names no file and {}", preset::no_such(&name))),
    };
    show_warnings(&warnings);
    Ok(card)
}
