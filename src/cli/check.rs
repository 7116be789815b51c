//! `barometer check`: everything that is wrong with rules and settings, before anything runs.

use std::path::PathBuf;

use clap::Args;

use super::{CliError, SettingsArgs};
use crate::app;
use crate::card_test;
use crate::config::{Config, ScorecardFile};
use crate::engine::event::Source;
use crate::engine::scorecard::{Measure, Scorecard, fed_by};
use crate::engine::time::Span;
use crate::engine::yaml::{Problem, Severity};
use crate::kafka::{self, Purpose};

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Scorecards, with their tests, and files of tests
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Also ask the brokers of the settings whether they are there and have the topics
    #[arg(long)]
    connect: bool,
}

pub fn check(args: &CheckArgs) -> Result<(), CliError> {
    let with_settings = args.settings.config.is_some() || args.connect;
    if args.files.is_empty() && !with_settings {
        return Err(CliError::Usage(
            "nothing to check: name scorecards, or the settings with `--config FILE`".to_owned(),
        ));
    }
    let mut found = Found::default();
    for path in &args.files {
        found.check_card(path);
    }
    let config = if with_settings { found.check_settings(&args.settings) } else { None };
    if let (true, Some(config)) = (args.connect, &config) {
        found.ask_brokers(config)?;
    }
    match found.errors {
        0 => Ok(()),
        1 => Err(CliError::Usage("1 error".to_owned())),
        errors => Err(CliError::Usage(format!("{errors} errors"))),
    }
}

/// What was found so far. Problems go to standard error, what is good to standard output.
#[derive(Default)]
struct Found {
    errors: usize,
    /// Cards that were checked: one that is named twice is told once.
    cards: Vec<PathBuf>,
}

impl Found {
    fn check_card(&mut self, path: &PathBuf) {
        if self.cards.contains(path) {
            return;
        }
        self.cards.push(path.clone());
        match card_test::read_path(path) {
            Ok(file) => {
                let measures = file.card.measures().count();
                let size = format!("{measures} measures, {} cases", file.cases.len());
                self.tell(&file.name, &file.warnings, &size);
            }
            Err(problems) => {
                let name = path.display().to_string();
                self.tell(&name, &problems, "");
                if std::fs::read_to_string(path).is_ok_and(|text| looks_like_settings(&text)) {
                    eprintln!(
                        "{name}: this looks like settings, and was read as a scorecard; settings \
                         are checked with `barometer check --config {name}`"
                    );
                }
            }
        }
    }

    /// The settings and the scorecards they name.
    fn check_settings(&mut self, settings: &SettingsArgs) -> Option<Config> {
        let name = match &settings.config {
            Some(path) => path.display().to_string(),
            None => "settings".to_owned(),
        };
        let loaded = match Config::load(settings.config.as_deref(), &settings.overrides()) {
            Ok(loaded) => loaded,
            Err(problems) => {
                self.tell(&name, &problems, "");
                return None;
            }
        };
        let cards = loaded.config.scorecards.len();
        self.tell(&name, &loaded.warnings, &format!("{cards} scorecards"));
        for choice in &loaded.config.scorecards {
            if let ScorecardFile::Path(path) = &choice.file {
                self.check_card(path);
            }
        }
        Some(loaded.config)
    }

    fn ask_brokers(&mut self, config: &Config) -> Result<(), CliError> {
        let settings = app::kafka_settings(config);
        match kafka::check_topics(&settings, Purpose::Run).map_err(CliError::failure)? {
            Ok(topics) => {
                warn_of_retention(config, &settings);
                let (sources, partitions) = (topics.sources.len(), topics.partitions);
                println!(
                    "{}: {sources} input topics with {partitions} partitions each",
                    config.kafka.bootstrap_servers
                );
            }
            Err(problems) => {
                self.errors += problems.0.len();
                eprintln!("{problems}");
            }
        }
        Ok(())
    }

    fn tell(&mut self, name: &str, problems: &[Problem], size: &str) {
        for problem in problems {
            eprintln!("{problem}");
        }
        let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
        self.errors += errors;
        match (errors, problems.len()) {
            (0, 0) => println!("{name}: good ({size})"),
            (0, 1) => println!("{name}: usable, 1 warning ({size})"),
            (0, warnings) => println!("{name}: usable, {warnings} warnings ({size})"),
            _ => {}
        }
    }
}

/// Whether a file that is no scorecard has sections of the settings.
fn looks_like_settings(text: &str) -> bool {
    const SECTIONS: [&str; 5] = ["kafka:", "ingest:", "engine:", "http:", "shutdown_timeout:"];
    text.lines().any(|line| SECTIONS.iter().any(|section| line.starts_with(section)))
}

/// Warns of windows that reach back further than their topic does.
fn warn_of_retention(config: &Config, settings: &kafka::KafkaSettings) {
    let topics = match kafka::list_topics(settings) {
        Ok(topics) => topics,
        // Whoever may read topics need not be allowed to look at their settings.
        Err(error) => {
            eprintln!("warning: how long the topics keep records could not be asked for: {error}");
            return;
        }
    };
    for choice in &config.scorecards {
        // What is wrong with a card has been told.
        let Ok((card, _)) = app::load_scorecard(&choice.file) else { continue };
        for source in Source::ALL {
            let name = config.kafka.topics.input(source);
            let kept = topics.iter().find(|topic| topic.name == name).and_then(|t| t.retention);
            if let Some(warning) = kept.and_then(|kept| outlived(&card, source, name, kept)) {
                eprintln!("warning: {warning}");
            }
        }
    }
}

/// What to say of the measure of this source that looks back furthest, if it is beyond `kept`.
fn outlived(card: &Scorecard, source: Source, topic: &str, kept: Span) -> Option<String> {
    let of_source = |measure: &&Measure| fed_by(measure.kind).first() == Some(&source);
    let reach = |measure: &Measure| {
        measure.window.unwrap_or_default() + measure.baseline.unwrap_or_default()
    };
    let furthest = card.measures().filter(of_source).max_by_key(|measure| reach(measure))?;
    (reach(furthest) > kept).then(|| {
        format!(
            "topic `{topic}` keeps records for {kept}, but measure `{}` of {} looks back {}: a first \
             start finds only a part of that; raise the topic's `retention.ms`",
            furthest.id,
            card.id,
            reach(furthest)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset::PRESETS;

    #[test]
    fn settings_are_told_from_scorecards() {
        assert!(looks_like_settings(include_str!("../../config/barometer.yaml")));
        assert!(looks_like_settings("# mine\nhttp: { listen: 0.0.0.0:80 }\n"));
        for preset in PRESETS {
            assert!(!looks_like_settings(preset.text), "{}", preset.name);
        }
    }

    #[test]
    fn a_topic_that_forgets_sooner_than_a_window_is_told_with_the_widest_of_them() {
        let card = Scorecard::parse("card.yaml", PRESETS[0].text).unwrap().scorecard;
        let told = |source, days| outlived(&card, source, "topic-1", Span::days(days));
        assert_eq!(
            told(Source::Survey, 7).unwrap(),
            "topic `topic-1` keeps records for 7d, but measure `csat` of saas-default looks back 90d: a \
             first start finds only a part of that; raise the topic's `retention.ms`"
        );
        assert_eq!(told(Source::Survey, 90), None);
        // A trend reaches back over its window and its baseline.
        assert_eq!(told(Source::Usage, 28), None);
        assert!(told(Source::Usage, 27).is_some());
        assert_eq!(told(Source::Profile, 0), None);
    }
}
