//! Logs: one line an occasion, on standard error, as text or JSON.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging. `level` is a level (`info`) or a filter (`info,rdkafka=warn`); `RUST_LOG` goes
/// before it.
///
/// # Errors
/// When `level` is no filter.
pub fn start(format: LogFormat, level: &str) -> Result<(), String> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(given) => EnvFilter::try_new(given),
        // Its consumer says at every stop that it was closed already, as an error.
        Err(_) => EnvFilter::try_new(format!("{level},rdkafka::consumer::base_consumer=off")),
    };
    let filter = filter.map_err(|error| format!("log level `{level}`: {error}"))?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Colours are for eyes: in a file or a collector their codes only stand in the way.
        .with_ansi(std::io::stderr().is_terminal());
    // A second start in one process (tests) keeps the first.
    let _ = match format {
        LogFormat::Text => subscriber.try_init(),
        LogFormat::Json => subscriber.json().try_init(),
    };
    Ok(())
}
