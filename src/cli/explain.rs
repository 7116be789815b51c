//! `barometer explain`: one account out of files of events, for people.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::progress::Progress;
use super::{CliError, OutputFormat, Switch, read_feed, show_warnings, warn_of_unused};
use crate::app;
use crate::config::ScorecardFile;
use crate::engine::Engine;
use crate::engine::event::{Body, DecodeLimits, Event, Profile};
use crate::engine::scorecard::Scorecard;
use crate::engine::time::EventTime;
use crate::engine::yaml::nearest;
use crate::explain::{self, Subject};

#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The account's id
    #[arg(value_name = "ACCOUNT")]
    account: String,
    /// NDJSON files, plain, `.gz` or `.zst`; `-` is standard input
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    input: Vec<PathBuf>,
    /// The rules; without it `saas-default`
    #[arg(long, value_name = "FILE")]
    scorecard: Option<PathBuf>,
    /// The moment to look at. Default: the last record's
    #[arg(long, value_name = "INSTANT", value_parser = super::parse_instant)]
    at: Option<EventTime>,
    /// Also tell what changed since this moment
    #[arg(long, value_name = "INSTANT", value_parser = super::parse_instant)]
    since: Option<EventTime>,
    /// Whether outages of whole sources are watched for, as `run` does
    #[arg(long, value_enum, default_value_t = Switch::On, value_name = "on|off")]
    outage_guard: Switch,
    /// `json` is the account report alone
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    output: OutputFormat,
}

pub fn explain(args: &ExplainArgs) -> Result<(), CliError> {
    let file = match &args.scorecard {
        Some(path) => ScorecardFile::Path(path.clone()),
        None => ScorecardFile::Embedded,
    };
    let (card, warnings) = app::load_scorecard(&file).map_err(CliError::Usage)?;
    show_warnings(&warnings);
    let feed = read_feed(&args.input)?;
    let Some(last) = feed.records().last().map(|record| record.record_time) else {
        let lines = feed.line_error_count();
        let why = match lines {
            0 => "it is empty".to_owned(),
            _ => format!("{lines} lines could not be used, `barometer replay` says why"),
        };
        return Err(CliError::Failure(format!("the input holds no record: {why}")));
    };
    let at = args.at.unwrap_or(last);
    if let Some(since) = args.since
        && since >= at
    {
        return Err(CliError::Usage(format!(
            "`--since` is {since}, expected an instant before {at}"
        )));
    }
    let mut story = Story::new(&card, &args.account, args.outage_guard);
    let mut records = feed.records().peekable();
    let mut progress = Progress::new("replaying", feed.len() as u64, false);
    let mut before = None;
    for (moment, is_since) in [(args.since, true), (Some(at), false)] {
        let Some(moment) = moment else { continue };
        while let Some(record) = records.next_if(|record| record.record_time <= moment) {
            progress.at((feed.len() - records.len()) as u64);
            // Bad records and lines are for `replay` to tell; here they are only counted.
            match record.decode(&DecodeLimits::default()) {
                Ok(event) => story.take(&event, record.record_time),
                Err(_) => story.bad_records += 1,
            }
        }
        story.engine.advance_to(moment);
        if is_since {
            before = Some((moment, story.engine.snapshot(&args.account)));
        }
    }
    drop(progress);
    warn_of_unused(&feed, story.bad_records);
    let Some(snapshot) = story.engine.snapshot(&args.account) else {
        return Err(not_found(&story.engine, &args.account, at));
    };
    match args.output {
        OutputFormat::Text => {
            let profile = story.profile.as_ref();
            let subject = Subject { card: &card, snapshot: &snapshot, profile };
            let since = before.as_ref().map(|(at, before)| (*at, before.as_ref()));
            print!("{}", explain::text(&subject, since));
        }
        OutputFormat::Json => {
            let report = serde_json::to_string(&snapshot.report());
            println!("{}", report.expect("texts and numbers always become JSON"));
        }
    }
    Ok(())
}

/// The fleet on its way to the moment asked for, and the profile of the one account.
struct Story<'a> {
    engine: Engine,
    account: &'a str,
    profile: Option<Profile>,
    bad_records: u64,
}

impl<'a> Story<'a> {
    fn new(card: &Arc<Scorecard>, account: &'a str, outage_guard: Switch) -> Story<'a> {
        let engine = super::engine_for(card, outage_guard);
        Story { engine, account, profile: None, bad_records: 0 }
    }

    fn take(&mut self, event: &Event<'_>, record_time: EventTime) {
        self.engine.advance_to(record_time);
        let duplicates = self.engine.stats().duplicates;
        self.engine.handle_event(event);
        // A repeat changes no profile either.
        let counted = self.engine.stats().duplicates == duplicates;
        if event.account_id == self.account && counted {
            match &event.body {
                Body::Profile(profile) => self.profile = Some(Profile::clone(profile)),
                Body::ProfileGone => self.profile = None,
                _ => {}
            }
        }
        while self.engine.poll_verdict().is_some() {}
        while self.engine.poll_operator_alert().is_some() {}
    }
}

fn not_found(engine: &Engine, account: &str, at: EventTime) -> CliError {
    let hint = match nearest(account, engine.account_ids()) {
        Some(near) => format!("; did you mean `{near}`?"),
        None => format!("; there are {} accounts", engine.account_count()),
    };
    CliError::Failure(format!("no record up to {at} names account `{account}`{hint}"))
}
