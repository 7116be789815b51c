//! `barometer test`: the tests in scorecards, through the engine that `run` drives.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{CliError, OutputFormat};
use crate::app::all_problems;
use crate::card_test::{self, FileResult, Outcome, junit};

#[derive(Debug, Args)]
pub struct TestArgs {
    /// Scorecards with `tests:`, or files of tests that name a scorecard
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// What to print; `json` is one object a case
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    output: OutputFormat,
    /// Also write the outcome as JUnit XML to this file
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

pub fn test(args: &TestArgs) -> Result<(), CliError> {
    let results: Vec<FileResult> = args
        .files
        .iter()
        .map(|path| {
            let result = card_test::read_path(path).map(|file| {
                file.cases.iter().map(|case| card_test::run(&file.card, case)).collect()
            });
            (path.display().to_string(), result)
        })
        .collect();
    // The exit code says the rest to whoever stops reading.
    super::print(&match args.output {
        OutputFormat::Text => as_text(&results),
        OutputFormat::Json => as_json(&results),
    })?;
    if let Some(path) = &args.junit {
        std::fs::write(path, junit(&results)).map_err(|error| {
            CliError::Failure(format!("{}: cannot be written: {error}", path.display()))
        })?;
    }
    verdict(&results)
}

/// Mistakes in a file weigh more than cases that fail: they may hide more of them.
fn verdict(results: &[FileResult]) -> Result<(), CliError> {
    let problems: Vec<String> = results
        .iter()
        .filter_map(|(_, result)| result.as_ref().err())
        .map(|problems| all_problems(problems))
        .collect();
    if !problems.is_empty() {
        return Err(CliError::Usage(problems.join("\n")));
    }
    let cases = || results.iter().filter_map(|(_, result)| result.as_ref().ok()).flatten();
    let failed = cases().filter(|outcome| !outcome.holds()).count();
    if failed > 0 {
        return Err(CliError::Failure(format!("{failed} of {} cases failed", cases().count())));
    }
    Ok(())
}

fn as_text(results: &[FileResult]) -> String {
    let mut text = String::new();
    for (file, result) in results {
        // Mistakes go to standard error, all together, at the end.
        let Ok(outcomes) = result else { continue };
        for outcome in outcomes.iter().filter(|outcome| !outcome.holds()) {
            text += &format!("FAILED {file}:{}: {}\n{outcome}", outcome.line, outcome.case);
        }
        let held = outcomes.iter().filter(|outcome| outcome.holds()).count();
        text += &match outcomes.len() {
            0 => format!("{file}: has no tests\n"),
            all => format!("{file}: {held} of {all} cases hold\n"),
        };
    }
    text
}

fn as_json(results: &[FileResult]) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        file: &'a str,
        holds: bool,
        #[serde(flatten)]
        outcome: &'a Outcome,
    }
    let mut text = String::new();
    for (file, result) in results {
        for outcome in result.iter().flatten() {
            let line = Line { file, holds: outcome.holds(), outcome };
            text += &serde_json::to_string(&line).expect("texts and numbers always become JSON");
            text.push('\n');
        }
    }
    text
}
