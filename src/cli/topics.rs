//! `barometer topics`: the topics of the settings, made or listed.

use clap::{Args, Subcommand};

use super::{CliError, SettingsArgs};
use crate::app;
use crate::engine::time::Span;
use crate::kafka::{self, Purpose, Retention};

#[derive(Debug, Args)]
pub struct TopicsArgs {
    #[command(subcommand)]
    command: TopicsCommand,
}

#[derive(Debug, Subcommand)]
enum TopicsCommand {
    /// Makes what is missing, with the right settings
    Create(CreateArgs),
    /// Lists what is there
    List(ListArgs),
}

#[derive(Debug, Args)]
struct CreateArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Partitions of each topic: as many accounts are worked on side by side
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    partitions: i32,
    /// Copies of each partition on different brokers [default: 3, or as many as there are brokers]
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..=100))]
    replication: Option<i32>,
    /// How long the input topics of events keep them, by their timestamps: a duration, `forever`, or
    /// `broker` for what the brokers are set to. No window sees further back at a first start
    #[arg(long, default_value = "400d", value_parser = retention)]
    retention: Retention,
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    settings: SettingsArgs,
}

pub fn topics(args: &TopicsArgs) -> Result<(), CliError> {
    match &args.command {
        TopicsCommand::Create(args) => {
            let config = args.settings.load(&args.settings.overrides())?;
            let settings = app::kafka_settings(&config);
            let created =
                kafka::create_topics(&settings, args.partitions, args.replication, args.retention)
                    .map_err(CliError::failure)?;
            if created.names.is_empty() {
                println!("all topics are there already");
            }
            for topic in created.names {
                println!(
                    "created {topic} ({} partitions, replication {})",
                    args.partitions, created.replication
                );
            }
            Ok(())
        }
        TopicsCommand::List(args) => {
            let config = args.settings.load(&args.settings.overrides())?;
            let settings = app::kafka_settings(&config);
            let topics = kafka::list_topics(&settings).map_err(CliError::failure)?;
            for topic in &topics {
                let settings: Vec<String> =
                    topic.settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
                println!(
                    "{:<28} partitions {:<5} replication {:<3} {}",
                    topic.name,
                    topic.partitions,
                    topic.replication,
                    settings.join(" ")
                );
            }
            match kafka::check_topics(&settings, Purpose::Look).map_err(CliError::failure)? {
                Ok(_) => Ok(()),
                Err(problems) => Err(CliError::failure(problems)),
            }
        }
    }
}

fn retention(text: &str) -> Result<Retention, String> {
    match text {
        "forever" => Ok(Retention::Forever),
        "broker" => Ok(Retention::OfTheBroker),
        text => match text.parse::<Span>() {
            Ok(span) if span >= Span::HOUR => Ok(Retention::For(span)),
            Ok(_) => Err("expected at least 1h".to_owned()),
            Err(error) => Err(format!("{error}; or `forever`, or `broker`")),
        },
    }
}
