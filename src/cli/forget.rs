//! `barometer forget`: has everything erased that is kept of an account.

use std::thread;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::{CliError, SettingsArgs};
use crate::app;
use crate::broker::OutputTopic;
use crate::clock::{self, Clock};
use crate::engine::event::{ACCOUNT_ID_BYTES_MAX, Source};
use crate::kafka::{self, EventWriter, GroupProgress, Purpose};

/// Between two looks at how far the service is.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// For the records to be acknowledged.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub struct ForgetArgs {
    /// The account, as its records are keyed
    #[arg(value_name = "ACCOUNT")]
    account: String,
    #[command(flatten)]
    settings: SettingsArgs,
    /// How long to wait until the running service has done it, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
}

pub fn forget(args: &ForgetArgs) -> Result<(), CliError> {
    let config = args.settings.load(&args.settings.overrides())?;
    let account = &args.account;
    if account.is_empty() || account.len() > ACCOUNT_ID_BYTES_MAX {
        return Err(CliError::Usage(format!(
            "ACCOUNT has {} bytes, expected 1 to {ACCOUNT_ID_BYTES_MAX}",
            account.len()
        )));
    }
    let settings = app::kafka_settings(&config);
    let topic = config.kafka.topics.input(Source::Profile);
    let found = match kafka::check_topics(&settings, Purpose::Look).map_err(CliError::failure)? {
        Ok(found) => found,
        Err(problems) => return Err(CliError::failure(problems)),
    };
    if !found.sources.contains(&Source::Profile) {
        return Err(CliError::Failure(format!(
            "topic `{topic}` is not there, and accounts are forgotten by a record on it: \
             `barometer topics create` makes it; the service reads it from its next start on"
        )));
    }
    let now = Clock::wall().now();
    let event_id = format!("forget-{}", now.as_millis());
    let body = json!({
        "event_id": event_id, "account_id": account, "occurred_at": now.as_millis(), "forget": true,
    });
    // Into every partition: whichever partitioner an account's producers use, its task hears of it.
    let mut writer = EventWriter::connect(&settings).map_err(CliError::failure)?;
    for partition in 0..found.partitions {
        writer
            .write_to(topic, partition, account.as_bytes(), body.to_string().as_bytes(), now)
            .map_err(CliError::failure)?;
    }
    writer.flush(WRITE_TIMEOUT).map_err(CliError::failure)?;
    wait(args, &settings, topic, found.partitions)
}

/// Until the group has committed what was written.
fn wait(
    args: &ForgetArgs,
    settings: &kafka::KafkaSettings,
    topic: &str,
    partitions: i32,
) -> Result<(), CliError> {
    let progress = GroupProgress::of(settings, topic, partitions).map_err(CliError::failure)?;
    let ends = progress.ends().map_err(CliError::failure)?;
    let (started, timeout) = (clock::monotonic(), Duration::from_secs(args.timeout));
    loop {
        let committed = progress.committed().map_err(CliError::failure)?;
        let behind: Vec<usize> =
            (0..ends.len()).filter(|place| committed[*place] < ends[*place]).collect();
        if behind.is_empty() {
            println!(
                "forgot account `{}`: its state is erased, `{}` and the scores topic hold no record \
                 of it once they are compacted",
                args.account,
                settings.output_topic(OutputTopic::Changelog)
            );
            return Ok(());
        }
        if started.elapsed() >= timeout {
            return Err(CliError::Failure(format!(
                "account `{}` is not forgotten yet: group `{}` has not come to the end of \
                 partitions {behind:?} of `{topic}` within {} s. The request stands there; the \
                 service does it when it comes to it",
                args.account,
                settings.group_id,
                timeout.as_secs()
            )));
        }
        thread::sleep(LOOK_EVERY);
    }
}
