//! `barometer scorecards`: the scorecards that come with the product.

use clap::{Args, Subcommand};

use super::CliError;
use crate::engine::scorecard::Scorecard;
use crate::preset::{self, PRESETS, Preset};

#[derive(Debug, Args)]
pub struct ScorecardsArgs {
    #[command(subcommand)]
    command: ScorecardsCommand,
}

#[derive(Debug, Subcommand)]
enum ScorecardsCommand {
    /// Lists them, each with what it is for
    List,
    /// Prints one with its comments and tests, to be copied and changed
    Show(ShowArgs),
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// Its name in the list
    name: String,
}

pub fn scorecards(args: &ScorecardsArgs) -> Result<(), CliError> {
    match &args.command {
        ScorecardsCommand::List => print!("{}", list()),
        ScorecardsCommand::Show(args) => print!("{}", named(&args.name)?.text),
    }
    Ok(())
}

/// The preset of this name, or a message that names the nearest.
pub fn named(name: &str) -> Result<&'static Preset, CliError> {
    preset::by_name(name)
        .ok_or_else(|| CliError::Usage(format!("the scorecard {}", preset::no_such(name))))
}

fn list() -> String {
    let width = PRESETS.iter().map(|preset| preset.name.len()).max().unwrap_or(0);
    let line = |preset: &Preset| {
        let parsed = Scorecard::parse(preset.name, preset.text).expect("a test reads every preset");
        format!("{:width$}  {}\n", preset.name, parsed.scorecard.description)
    };
    PRESETS.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_names_every_preset_and_says_what_it_is_for() {
        let list = list();
        assert_eq!(list.lines().count(), 7);
        let first = "saas-default      The four event sources, no account profile needed.";
        assert_eq!(list.lines().next(), Some(first));
    }

    #[test]
    fn a_wrong_name_is_told_the_nearest() {
        assert_eq!(
            named("usage-frist").unwrap_err().to_string(),
            "the scorecard is `usage-frist`, which is no preset; did you mean `usage-first`?"
        );
    }
}
