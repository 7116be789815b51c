//! The service's settings: from `barometer.yaml`, the environment and flags to one [`Config`].
//!
//! Later wins: defaults, the file, `BAROMETER__SECTION__KEY` variables, flags. All of them are laid
//! over one tree (`overlay`), `${..}` in the file is filled in (`fill`), and the tree is read once
//! (`read`), so that every source is checked alike and every mistake is told at once. What the
//! settings are is in `settings`; nothing here knows what Kafka's client library makes of them.

mod fill;
mod kafka;
#[cfg(test)]
mod mistakes;
mod overlay;
mod read;
mod secret;
mod security;
mod settings;
mod show;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::engine::yaml::{Field, Log, Node, Position, Problem, Severity};

pub use overlay::Overrides;
pub use secret::{Properties, is_secret};
pub use settings::*;

/// The scorecard that is used where the settings name none.
pub const DEFAULT_SCORECARD: &str = include_str!("../../config/scorecards/saas-default.yaml");
/// What messages call it.
pub const DEFAULT_SCORECARD_NAME: &str = "saas-default.yaml (embedded)";

/// Largest file that `${file:PATH}` fills in: a certificate bundle, and no device that never ends.
const FILLED_FILE_BYTES_MAX: u64 = 1 << 20;

/// Settings that can be used, and what their author may want to look at.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Warnings only: the file's by line, then those of variables and flags.
    pub warnings: Vec<Problem>,
}

/// What the settings depend on beside their own text. Tests bring their own.
pub struct Surroundings<'a> {
    /// The environment.
    pub variables: BTreeMap<String, String>,
    /// Reads the file that `${file:PATH}` names.
    pub read_file: &'a dyn Fn(&Path) -> io::Result<String>,
    /// Where relative paths in the settings file start: its own directory.
    pub base: PathBuf,
    /// This machine's or container's name, if it can be told.
    pub host_name: Option<String>,
    /// How many threads the machine runs at once.
    pub cores: usize,
    /// Whether this build can do TLS, and SCRAM, which needs the same library.
    pub tls: bool,
}

impl Config {
    /// Reads the settings in the file at `path` (none: defaults), the process's environment and
    /// `overrides`.
    ///
    /// # Errors
    /// All problems at once, or the one that the file cannot be read.
    pub fn load(path: Option<&Path>, overrides: &Overrides) -> Result<Loaded, Vec<Problem>> {
        let base = path.and_then(Path::parent).unwrap_or(Path::new("")).to_path_buf();
        let variables: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let surroundings = Surroundings {
            host_name: host_name(&variables),
            variables,
            read_file: &read_file,
            base,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            tls: cfg!(feature = "tls"),
        };
        let Some(path) = path else {
            return Config::parse("defaults", "", overrides, &surroundings);
        };
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Config::parse(&name, &text, overrides, &surroundings),
            Err(error) => Err(vec![Problem {
                severity: Severity::Error,
                source: name,
                line: 0,
                column: 0,
                path: String::new(),
                message: format!("the file cannot be read: {error}"),
            }]),
        }
    }

    /// Makes settings of a file's `text` (it may be empty), the environment and flags.
    ///
    /// # Errors
    /// All problems at once.
    pub fn parse(
        file_name: &str,
        text: &str,
        overrides: &Overrides,
        surroundings: &Surroundings<'_>,
    ) -> Result<Loaded, Vec<Problem>> {
        let mut log = Log::new(file_name);
        let config = read_layers(&mut log, text, overrides, surroundings);
        match config {
            Some(config) if !log.has_errors() => {
                Ok(Loaded { config, warnings: log.into_problems() })
            }
            _ => Err(log.into_problems()),
        }
    }
}

fn read_layers(
    log: &mut Log,
    text: &str,
    overrides: &Overrides,
    surroundings: &Surroundings<'_>,
) -> Option<Config> {
    // A file whose syntax is wrong is replaced by an empty one, so that the other sources are
    // checked all the same.
    let empty = Node::plain(Position::default(), "");
    let mut root = Node::parse(log, 0, text).unwrap_or(empty);
    fill::fill_in(log, &mut root, surroundings);
    overlay::lay_over(log, &mut root, overrides, &surroundings.variables);
    secret::hide_secrets(&mut root);
    Field::root(&root, log).section(|fields| read::read_config(fields, surroundings))
}

/// Docker and Kubernetes set `HOSTNAME` to the container's or pod's name; elsewhere on Linux the
/// kernel knows it.
fn host_name(variables: &BTreeMap<String, String>) -> Option<String> {
    let given = variables.get("HOSTNAME").cloned();
    let name = given.or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok())?;
    let name = name.trim();
    if name.is_empty() { None } else { Some(name.to_string()) }
}

fn read_file(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    file.take(FILLED_FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILLED_FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it is larger than {FILLED_FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}
