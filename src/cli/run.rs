//! `barometer run`: the service.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use super::{CliError, SettingsArgs, show_warnings};
use crate::app::{self, Workers};
use crate::broker::ErrorClass;
use crate::clock::{self, Clock};
use crate::config::Config;
use crate::http;
use crate::kafka::{self, KafkaSettings, TopicsFound};
use crate::view::Condition;
use crate::worker::Shared;

/// First and longest pause between two tries to reach a broker.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// How often the workers are looked after.
const WATCH_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Worker threads, over the settings
    #[arg(long, value_name = "N")]
    workers: Option<String>,
    /// `wall` or `records`, over the settings
    #[arg(long, value_name = "CLOCK")]
    task_time: Option<String>,
    /// Task time from which on verdicts are published, over the settings
    #[arg(long, value_name = "INSTANT")]
    publish_from: Option<String>,
    /// Address of the HTTP server, over the settings
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// This scorecard for every account, over the settings
    #[arg(long, value_name = "FILE")]
    scorecard: Option<PathBuf>,
}

pub fn run(args: &RunArgs) -> Result<(), CliError> {
    let mut overrides = args.settings.overrides();
    overrides.workers.clone_from(&args.workers);
    overrides.task_time.clone_from(&args.task_time);
    overrides.publish_from.clone_from(&args.publish_from);
    overrides.listen.clone_from(&args.listen);
    overrides.scorecard = args.scorecard.as_ref().map(|path| path.display().to_string());
    let config = args.settings.load(&overrides)?;
    // Before they are read: what changes meanwhile is read again.
    let read_at = app::scorecard_times(&config);
    let (rules, warnings) = app::load_rules(&config).map_err(CliError::Usage)?;
    show_warnings(&warnings);
    let kafka = app::kafka_settings(&config);
    // How many partitions there are is only known once a broker has answered, and readers are
    // served before that.
    let runtime = tokio::runtime::Runtime::new().map_err(CliError::failure)?;
    let outcome = runtime.block_on(async {
        let listener = http::bind(config.http.listen).await.map_err(CliError::Usage)?;
        let listening = listener.local_addr().map_err(CliError::failure)?;
        let scorecards: Vec<_> = rules.cards().map(|card| card.id.clone()).collect();
        let shared = app::shared(&config, rules, 1, Clock::wall());
        info!(%listening, ?scorecards, "serving metrics and reports");
        let (ended, end) = tokio::sync::oneshot::channel::<()>();
        let sources = http::Sources { view: shared.view.clone(), metrics: shared.metrics.clone() };
        let server = tokio::spawn(http::serve(listener, sources, async {
            // Stops serving also when the sender is gone.
            let _ = end.await;
        }));
        let outcome = service(&config, kafka, shared, read_at).await;
        drop(ended);
        // Connections that stay open must not hold the process.
        let _ = tokio::time::timeout(Duration::from_millis(200), server).await;
        outcome
    });
    // A question to a broker that does not answer would hold the end up for as long as it may take.
    runtime.shutdown_background();
    outcome
}

/// The workers' life: topics checked, workers run, signal heard, workers stopped.
async fn service(
    config: &Config,
    mut kafka: KafkaSettings,
    mut shared: Shared,
    mut scorecards_read_at: Vec<Option<(SystemTime, u64)>>,
) -> Result<(), CliError> {
    let mut hang_up = signal(SignalKind::hangup()).map_err(CliError::failure)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(CliError::failure)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(CliError::failure)?;
    let found = tokio::select! {
        found = find_topics(&kafka, &shared) => found?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    kafka.input_topics.retain(|source, _| found.sources.contains(source));
    app::set_partitions(&mut shared, config, found.partitions);
    let workers = Workers::start(&kafka, config.engine.workers, &shared)
        .map_err(|error| CliError::Usage(error.to_string()))?;
    info!(
        workers = config.engine.workers,
        partitions = found.partitions,
        group = kafka.group_id,
        "started"
    );
    let check_every = app::duration(config.engine.scorecard_check_interval);
    let mut checked = clock::monotonic();
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hang_up.recv() => {
                scorecards_read_at = app::scorecard_times(config);
                app::reload_rules(config, &shared);
            }
            () = tokio::time::sleep(WATCH_EVERY) => {
                if workers.has_failed() {
                    break;
                }
                if !check_every.is_zero() && checked.elapsed() >= check_every {
                    checked = clock::monotonic();
                    let now = app::scorecard_times(config);
                    if now != scorecards_read_at {
                        scorecards_read_at = now;
                        app::reload_rules(config, &shared);
                    }
                }
            }
        }
    }
    info!("stopping");
    shared.stop.store(true, Ordering::Relaxed);
    // The workers know themselves when to be done; what is waited for here is that they are.
    let timeout = shared.stop_timeout + app::STOP_MARGIN / 2;
    let stopped = tokio::task::spawn_blocking(move || workers.stop(timeout));
    stopped.await.map_err(CliError::failure)?.map_err(CliError::Failure)?;
    info!("stopped");
    Ok(())
}

/// Checks the topics as soon as a broker answers.
async fn find_topics(kafka: &KafkaSettings, shared: &Shared) -> Result<TopicsFound, CliError> {
    let mut pause = BACKOFF.0;
    loop {
        let settings = kafka.clone();
        let answer = tokio::task::spawn_blocking(move || kafka::check_start(&settings)).await;
        match answer.map_err(CliError::failure)? {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(problems)) => return Err(CliError::Usage(problems.to_string())),
            Err(error) if error.class == ErrorClass::Fatal => return Err(CliError::failure(error)),
            Err(error) => {
                for worker in 0..shared.view.conditions().len() {
                    let waiting = Condition::Waiting(error.message.clone());
                    shared.view.set_condition(worker, waiting);
                }
                warn!(
                    bootstrap_servers = kafka.bootstrap_servers,
                    reason = %error,
                    next_try_in_ms = pause.as_millis() as u64,
                    "no broker answers"
                );
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(BACKOFF.1);
    }
}
