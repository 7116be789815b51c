//! From the tree of all sources to [`Config`]: defaults, types, ranges, and how settings fit
//! together.

use std::net::SocketAddr;
use std::path::Path;

use super::settings::names;
use super::{
    Config, Engine, Http, Ingest, Limits, LogFormat, LogLevel, Logging, Partitioner,
    ScorecardChoice, ScorecardFile, Scores, Surroundings, TaskTime, WhenFull, kafka,
};
use crate::engine::scorecard::profile_condition;
use crate::engine::time::{EventTime, Span};
use crate::engine::yaml::{Field, Fields};

/// Most worker threads. Each has a consumer and a producer of its own.
const WORKERS_MAX: i64 = 256;
/// Largest `ingest.max_record_bytes`: what a broker takes at most by far.
const RECORD_BYTES_MAX: i64 = 64 << 20;

/// Largest `limits.accounts`: what a slot's number can tell apart.
const ACCOUNTS_MAX: i64 = 4_000_000_000;
/// Largest `limits.items_per_account`: each event of an account looks through them all.
const ITEMS_MAX: i64 = 1_000_000;
/// Largest `limits.users_per_account`: an account is written in one piece.
const USERS_MAX: i64 = 10_000_000;

/// Reads the whole tree.
pub(super) fn read_config(fields: &Fields<'_>, surroundings: &Surroundings<'_>) -> Option<Config> {
    let kafka = fields.section("kafka", |kafka| kafka::read_kafka(kafka, surroundings));
    let ingest = fields.section("ingest", read_ingest);
    let engine = fields.section("engine", |engine| read_engine(engine, surroundings));
    let limits = fields.section("limits", read_limits);
    let scores = fields.section("scores", |scores| {
        let range = |field: &Field<'_>| field.span_in(Span::ZERO, Span::DAY);
        Some(Scores { min_interval: scores.or("min_interval", Span::MINUTE, range)? })
    });
    let http = fields.section("http", |http| {
        let default = SocketAddr::from(([127, 0, 0, 1], 9650));
        Some(Http { listen: http.or("listen", default, read_address)? })
    });
    let log = fields.section("log", |log| {
        let format = log.or("format", LogFormat::Text, |field| field.choice(&names::LOG_FORMAT));
        let level = log.or("level", LogLevel::Info, |field| field.choice(&names::LOG_LEVEL));
        Some(Logging { format: format?, level: level? })
    });
    let shutdown_timeout = fields
        .or("shutdown_timeout", Span::SECOND * 25, |field| field.span_in(Span::SECOND, Span::HOUR));
    let scorecards = fields
        .or("scorecards", Vec::new(), |field| read_scorecards(field, surroundings))
        .map(with_a_last_resort);
    let config = Config {
        kafka: kafka?,
        ingest: ingest?,
        engine: engine?,
        limits: limits?,
        scores: scores?,
        http: http?,
        log: log?,
        shutdown_timeout: shutdown_timeout?,
        scorecards: scorecards?,
    };
    check_transaction_outlasts_commits(fields, &config)?;
    Some(config)
}

fn read_ingest(fields: &Fields<'_>) -> Option<Ingest> {
    let partitioner =
        fields.or("partitioner", Partitioner::Auto, |field| field.choice(&names::PARTITIONER));
    let max_record_bytes = fields
        .or("max_record_bytes", 1 << 20, |field| field.integer_in(1 << 10..=RECORD_BYTES_MAX));
    let max_future_skew = fields
        .or("max_future_skew", Span::MINUTE * 5, |field| field.span_in(Span::ZERO, Span::DAY));
    Some(Ingest {
        partitioner: partitioner?,
        max_record_bytes: usize::try_from(max_record_bytes?).expect("the range is positive"),
        max_future_skew: max_future_skew?,
    })
}

fn read_engine(fields: &Fields<'_>, surroundings: &Surroundings<'_>) -> Option<Engine> {
    let workers = fields.maybe("workers", |field| field.integer_in(1..=WORKERS_MAX));
    let interval = |key: &'static str, default: i64| {
        fields.or(key, Span::from_millis(default), |field| {
            field.span_in(Span::from_millis(1), Span::MINUTE)
        })
    };
    let commit_interval = interval("commit_interval", 100);
    let min_commit_gap = interval("min_commit_gap", 20);
    let catch_up_commit_interval = interval("catch_up_commit_interval", 1_000);
    let checkpoint_interval = fields.or("checkpoint_interval", Span::SECOND * 30, |field| {
        field.span_in(Span::from_millis(1), Span::HOUR)
    });
    let task_time = fields.or("task_time", TaskTime::Wall, |field| field.choice(&names::TASK_TIME));
    let publish_from = fields.maybe("publish_from", read_instant);
    // Not more often than a file can be looked at in passing; 0s is off.
    let scorecard_check_interval =
        fields.or("scorecard_check_interval", Span::from_millis(10_000), |field| {
            field.span_in(Span::ZERO, Span::DAY)
        });
    let alert_on_rules_change = fields.or("alert_on_rules_change", false, |field| field.boolean());
    let outage_guard = fields.or("outage_guard", true, Field::switch);
    let engine = Engine {
        workers: match workers? {
            Some(workers) => usize::try_from(workers).expect("the range is positive"),
            None => surroundings.cores.clamp(1, WORKERS_MAX as usize),
        },
        commit_interval: commit_interval?,
        min_commit_gap: min_commit_gap?,
        catch_up_commit_interval: catch_up_commit_interval?,
        checkpoint_interval: checkpoint_interval?,
        task_time: task_time?,
        publish_from: publish_from?,
        scorecard_check_interval: scorecard_check_interval?,
        alert_on_rules_change: alert_on_rules_change?,
        outage_guard: outage_guard?,
    };
    check_intervals(fields, &engine)?;
    Some(engine)
}

fn read_limits(fields: &Fields<'_>) -> Option<Limits> {
    let count = |key: &'static str, default: i64, max: i64| {
        fields.or(key, default, |field| field.integer_in(1..=max))
    };
    let accounts = count("accounts", 1_000_000, ACCOUNTS_MAX);
    let items_per_account = count("items_per_account", 10_000, ITEMS_MAX);
    let users_per_account = count("users_per_account", 100_000, USERS_MAX);
    let when_full =
        fields.or("when_full", WhenFull::Refuse, |field| field.choice(&names::WHEN_FULL));
    let forget_after = fields
        .or("forget_after", Span::days(400), |field| field.span_in(Span::ZERO, Span::days(36_500)));
    let positive = |count: i64| usize::try_from(count).expect("the range is positive");
    Some(Limits {
        accounts: positive(accounts?),
        when_full: when_full?,
        items_per_account: positive(items_per_account?),
        users_per_account: positive(users_per_account?),
        forget_after: forget_after.map(|after| (after > Span::ZERO).then_some(after))?,
    })
}

fn check_intervals(fields: &Fields<'_>, engine: &Engine) -> Option<()> {
    let middle = engine.commit_interval;
    let (gap, catch_up) = (engine.min_commit_gap, engine.catch_up_commit_interval);
    // Either of the two may be the one that was set; a default is never the mistake.
    let blame = |key: &'static str| fields.optional(key).or(fields.optional("commit_interval"));
    if gap > middle {
        return blame("min_commit_gap")?.error_about(format!(
            "engine.min_commit_gap is {gap}, expected at most engine.commit_interval ({middle})"
        ));
    }
    if catch_up < middle {
        return blame("catch_up_commit_interval")?.error_about(format!(
            "engine.catch_up_commit_interval is {catch_up}, expected at least \
             engine.commit_interval ({middle})"
        ));
    }
    Some(())
}

/// The broker aborts a transaction that is open for longer than `kafka.transaction_timeout`.
fn check_transaction_outlasts_commits(fields: &Fields<'_>, config: &Config) -> Option<()> {
    let timeout = config.kafka.transaction_timeout;
    let longest = config.engine.catch_up_commit_interval;
    if timeout >= longest * 2 {
        return Some(());
    }
    let blamed = fields.optional("engine").or(fields.optional("kafka"))?;
    blamed.error_about(format!(
        "kafka.transaction_timeout is {timeout}, expected at least twice \
         engine.catch_up_commit_interval ({longest})"
    ))
}

fn read_address(field: &Field<'_>) -> Option<SocketAddr> {
    match field.as_text().map(str::parse) {
        Some(Ok(address)) => Some(address),
        _ => field.expected("an IP address and port such as `127.0.0.1:9650` or `0.0.0.0:9650`"),
    }
}

fn read_instant(field: &Field<'_>) -> Option<EventTime> {
    match field.as_text().map(EventTime::parse_rfc3339) {
        Some(Ok(instant)) => Some(instant),
        _ => field.expected("an instant with offset such as `2026-03-01T00:00:00Z`"),
    }
}

fn read_scorecards(
    field: &Field<'_>,
    surroundings: &Surroundings<'_>,
) -> Option<Vec<ScorecardChoice>> {
    let choices = field.each(|item| {
        item.mapping(|fields| {
            let file = fields.require("file").and_then(|file| {
                let path = Path::new(file.text()?);
                let base: &Path =
                    if file.is_from_file() { &surroundings.base } else { "".as_ref() };
                Some(ScorecardFile::Path(base.join(path)))
            });
            let when = fields.maybe("when", profile_condition);
            Some(ScorecardChoice { file: file?, when: when? })
        })
    })?;
    let last = choices.len() - 1;
    if let Some(early) = choices[..last].iter().position(|choice| choice.when.is_none()) {
        return field.list()?[early].error(format!(
            "has no `when`, so {}[{}] and later are never reached: only the last may be without",
            field.path(),
            early + 1
        ));
    }
    if choices[last].when.is_some() {
        field.warning(
            "end with a condition: accounts that match none are judged by the embedded \
             saas-default (an entry without `when` at the end says what else to use)",
        );
    }
    Some(choices)
}

/// Sees to it that the last choice has no condition.
fn with_a_last_resort(mut choices: Vec<ScorecardChoice>) -> Vec<ScorecardChoice> {
    if choices.last().is_none_or(|last| last.when.is_some()) {
        choices.push(ScorecardChoice { file: ScorecardFile::Embedded, when: None });
    }
    choices
}
