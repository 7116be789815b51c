//! `barometer init`: starter settings and a scorecard, in the current directory, with the schemas by
//! which an editor helps to write them.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use clap::Args;

use super::{CliError, scorecards};
use crate::preset::Preset;
use crate::schema;

/// The settings as they ship: every key with its default and its effect.
const SETTINGS: &str = include_str!("../../config/barometer.yaml");
/// Their file's name.
const SETTINGS_NAME: &str = "barometer.yaml";
/// What begins the example of a choice of scorecards, the last thing in the settings.
const EXAMPLE: &str = "# scorecards:\n";
/// Where the schemas go, beside the files that name them.
const SCHEMAS: [&str; 2] = ["schemas/settings.json", "schemas/scorecard.json"];

#[derive(Debug, Args)]
pub struct InitArgs {
    /// The scorecard to start from, see `barometer scorecards list`
    #[arg(long, value_name = "NAME", default_value = "saas-default")]
    preset: String,
}

pub fn init(args: &InitArgs) -> Result<(), CliError> {
    let preset = scorecards::named(&args.preset)?;
    let card_name = write_into(Path::new(""), preset)?;
    println!("wrote {SETTINGS_NAME} and {card_name}, and for editors {}", SCHEMAS.join(" and "));
    println!("next: change them, then `barometer check --config {SETTINGS_NAME}`,");
    println!("`barometer test {card_name}` and `barometer run --config {SETTINGS_NAME}`");
    Ok(())
}

/// Writes all files, or none where one is there already.
fn write_into(directory: &Path, preset: &Preset) -> Result<String, CliError> {
    let card_name = format!("{}.yaml", preset.name);
    let settings = settings_for(&card_name);
    let card = preset.text.replacen("$schema=../schemas/", "$schema=schemas/", 1);
    let schemas = SCHEMAS.map(|path| {
        let name = Path::new(path).file_name().expect("it names a file");
        (path, schema::by_name(&name.to_string_lossy()).expect("it is one of the schemas"))
    });
    let files = [(SETTINGS_NAME, &*settings), (&*card_name, &*card)];
    let files: Vec<(&str, &str)> =
        files.into_iter().chain(schemas.iter().map(|(path, text)| (*path, &**text))).collect();
    for (name, _) in &files {
        if directory.join(name).symlink_metadata().is_ok() {
            return Err(is_there(name));
        }
    }
    fs::create_dir_all(directory.join("schemas"))
        .map_err(|error| CliError::Failure(format!("schemas: cannot be made: {error}")))?;
    for (name, text) in files {
        // Made since the look above, it is still not overwritten.
        let made = OpenOptions::new().write(true).create_new(true).open(directory.join(name));
        made.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| {
            match error.kind() {
                io::ErrorKind::AlreadyExists => is_there(name),
                _ => CliError::Failure(format!("{name}: cannot be written: {error}")),
            }
        })?;
    }
    Ok(card_name)
}

fn is_there(name: &str) -> CliError {
    CliError::Failure(format!(
        "{name}: is there already and is not overwritten; move it away, or use another directory"
    ))
}

/// The shipped settings with the scorecard in force, and the example of several below it.
fn settings_for(card_name: &str) -> String {
    let (before, example) = SETTINGS.split_once(EXAMPLE).expect("the shipped settings end with it");
    format!("{before}scorecards:\n  - file: {card_name}\n# For example:\n{EXAMPLE}{example}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Overrides, ScorecardFile};
    use crate::preset::PRESETS;

    #[test]
    fn the_starter_is_read_back_with_the_scorecard_it_names() {
        for preset in &PRESETS {
            let directory = tempfile::tempdir().unwrap();
            let card_name = write_into(directory.path(), preset).unwrap();
            let settings = directory.path().join(SETTINGS_NAME);
            let loaded = Config::load(Some(&settings), &Overrides::default()).unwrap();
            let file = ScorecardFile::Path(directory.path().join(&card_name));
            assert_eq!(loaded.config.scorecards.len(), 1);
            assert_eq!(loaded.config.scorecards[0].file, file);
            crate::app::load_scorecard(&file).unwrap();
            for name in [SETTINGS_NAME, &card_name] {
                let text = fs::read_to_string(directory.path().join(name)).unwrap();
                let (_, schema) = text.lines().next().unwrap().split_once("$schema=").unwrap();
                assert!(directory.path().join(schema).is_file(), "{name} names {schema}");
            }
        }
    }

    #[test]
    fn nothing_is_overwritten_and_nothing_is_left_half_done() {
        let directory = tempfile::tempdir().unwrap();
        let card = directory.path().join("saas-default.yaml");
        fs::write(&card, "mine").unwrap();
        let error = write_into(directory.path(), &PRESETS[0]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "saas-default.yaml: is there already and is not overwritten; move it away, or use \
             another directory"
        );
        assert_eq!(fs::read_to_string(&card).unwrap(), "mine");
        assert!(!directory.path().join(SETTINGS_NAME).exists());
    }
}
