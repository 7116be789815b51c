//! `barometer schema`: JSON Schemas for editors and for readers of the records.

use std::fs;
use std::path::PathBuf;

use clap::Args;

use super::CliError;
use crate::schema;

#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// The schema to print; without it they are listed
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Write it, or all of them, into this directory instead
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

pub fn schema(args: &SchemaArgs) -> Result<(), CliError> {
    match (&args.name, &args.output) {
        (None, None) => print!("{}", listing()),
        (Some(name), None) => print!("{}", schema::by_name(name).map_err(CliError::Usage)?),
        (name, Some(directory)) => {
            let wanted = name.as_ref().map(|name| schema::by_name(name)).transpose();
            let wanted = wanted.map_err(CliError::Usage)?;
            let files = schema::files();
            let chosen = |text: &String| wanted.as_ref().is_none_or(|wanted| wanted == text);
            fs::create_dir_all(directory).map_err(|error| {
                CliError::Failure(format!("{}: cannot be made: {error}", directory.display()))
            })?;
            for (file, text) in files.iter().filter(|(_, text)| chosen(text)) {
                let path = directory.join(file);
                fs::write(&path, text).map_err(|error| {
                    CliError::Failure(format!("{}: cannot be written: {error}", path.display()))
                })?;
                println!("wrote {}", path.display());
            }
        }
    }
    Ok(())
}

fn listing() -> String {
    let documents = [("asyncapi", "the topics, as an AsyncAPI 3 document")];
    let schemas = schema::SCHEMAS.iter().map(|schema| (schema.name, schema.about));
    schemas.chain(documents).map(|(name, about)| format!("{name:<18}{about}\n")).collect()
}
