//! `barometer backtest`: a history judged by who really left.

use std::path::PathBuf;

use clap::Args;

use super::{CliError, OutputFormat, Switch, read_feed, show_warnings};
use crate::app;
use crate::backtest::{self, Backtest, Options};
use crate::config::ScorecardFile;
use crate::engine::time::{EventTime, Span};

#[derive(Debug, Args)]
pub struct BacktestArgs {
    /// NDJSON files as `replay` reads them, plain, `.gz` or `.zst`; `-` is standard input
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    input: Vec<PathBuf>,
    /// Who left and when: NDJSON, or CSV with a header, of `account_id`, `churned_at` (empty: stayed)
    /// and, if there is one, `last_seen`
    #[arg(long, value_name = "FILE")]
    truth: PathBuf,
    /// The rules; without it `saas-default`
    #[arg(long, value_name = "FILE")]
    scorecard: Option<PathBuf>,
    /// How long before a departure an alert has to come
    #[arg(long, value_name = "DURATION", default_value = "14d")]
    lead: Span,
    /// How long after an alert a departure counts as foretold
    #[arg(long, value_name = "DURATION", default_value = "90d")]
    horizon: Span,
    /// Task time to end at; later records are not taken. Default: the last record's
    #[arg(long, value_name = "INSTANT", value_parser = super::parse_instant)]
    as_of: Option<EventTime>,
    /// Whether outages of whole sources are watched for, as `run` does
    #[arg(long, value_enum, default_value_t = Switch::On, value_name = "on|off")]
    outage_guard: Switch,
    /// What to print; `json` is one object
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    output: OutputFormat,
}

pub fn backtest(args: &BacktestArgs) -> Result<(), CliError> {
    let options = Options { lead: args.lead, horizon: args.horizon, ..Options::default() };
    if options.lead > options.lead_at_most {
        let most = options.lead_at_most;
        return Err(CliError::Usage(format!("`--lead` is {}, expected at most {most}", args.lead)));
    }
    let file = match &args.scorecard {
        Some(path) => ScorecardFile::Path(path.clone()),
        None => ScorecardFile::Embedded,
    };
    let (card, warnings) = app::load_scorecard(&file).map_err(CliError::Usage)?;
    show_warnings(&warnings);
    let name = args.truth.display().to_string();
    let truth = std::fs::read_to_string(&args.truth)
        .map_err(|error| CliError::Failure(format!("{name}: cannot be read: {error}")))?;
    let truth = backtest::read_truth(&name, &truth).map_err(CliError::failure)?;

    let feed = read_feed(&args.input)?;
    let mut run = match args.outage_guard {
        Switch::On => Backtest::new(card, truth, options).with_outage_guard(),
        Switch::Off => Backtest::new(card, truth, options),
    };
    let bad_records = super::each_event(&feed, args.as_of, "back-testing", |event, record_time| {
        run.take(event, record_time);
    });
    let outcome = run.finish(args.as_of);
    super::warn_of_unused(&feed, bad_records);
    if outcome.accounts_without_truth > 0 {
        let count = outcome.accounts_without_truth;
        eprintln!("warning: {name} does not know {count} accounts of the history, left out");
    }
    super::print(&match args.output {
        OutputFormat::Text => backtest::text(&outcome),
        OutputFormat::Json => super::json_line(&outcome),
    })
}
