//! The settings as they are in force, a line each, secrets hidden.

use std::fmt;

use super::Config;
use super::settings::names::{self, name_of};

/// `kafka.group_id: barometer` and so on, in the order of `barometer.yaml`.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kafka = &self.kafka;
        writeln!(f, "kafka.bootstrap_servers: {}", kafka.bootstrap_servers)?;
        writeln!(f, "kafka.group_id: {}", kafka.group_id)?;
        writeln!(f, "kafka.instance: {}", kafka.instance)?;
        let protocol = name_of(&names::GROUP_PROTOCOL, &kafka.group_protocol);
        writeln!(f, "kafka.group_protocol: {protocol}")?;
        writeln!(f, "kafka.delivery: {}", name_of(&names::DELIVERY, &kafka.delivery))?;
        let reset = name_of(&names::OFFSET_RESET, &kafka.offset_reset);
        writeln!(f, "kafka.offset_reset: {reset}")?;
        writeln!(f, "kafka.session_timeout: {}", kafka.session_timeout)?;
        writeln!(f, "kafka.transaction_timeout: {}", kafka.transaction_timeout)?;
        writeln!(f, "kafka.topics.usage: {}", kafka.topics.usage)?;
        writeln!(f, "kafka.topics.tickets: {}", kafka.topics.tickets)?;
        writeln!(f, "kafka.topics.payments: {}", kafka.topics.payments)?;
        writeln!(f, "kafka.topics.surveys: {}", kafka.topics.surveys)?;
        writeln!(f, "kafka.topics.accounts: {}", kafka.topics.accounts)?;
        writeln!(f, "kafka.topics.events: {}", kafka.topics.events)?;
        writeln!(f, "kafka.topics.scores: {}", kafka.topics.scores)?;
        writeln!(f, "kafka.topics.dead_letters: {}", kafka.topics.dead_letters)?;
        writeln!(f, "kafka.topics.changelog: {}", kafka.topics.changelog)?;
        for (section, properties) in [
            ("properties", &kafka.properties),
            ("consumer.properties", &kafka.consumer_properties),
            ("producer.properties", &kafka.producer_properties),
        ] {
            for (key, value) in properties.shown() {
                writeln!(f, "kafka.{section}.{key}: {value}")?;
            }
        }
        let partitioner = name_of(&names::PARTITIONER, &self.ingest.partitioner);
        writeln!(f, "ingest.partitioner: {partitioner}")?;
        writeln!(f, "ingest.max_record_bytes: {}", self.ingest.max_record_bytes)?;
        writeln!(f, "ingest.max_future_skew: {}", self.ingest.max_future_skew)?;
        let engine = &self.engine;
        writeln!(f, "engine.workers: {}", engine.workers)?;
        writeln!(f, "engine.commit_interval: {}", engine.commit_interval)?;
        writeln!(f, "engine.min_commit_gap: {}", engine.min_commit_gap)?;
        writeln!(f, "engine.catch_up_commit_interval: {}", engine.catch_up_commit_interval)?;
        writeln!(f, "engine.checkpoint_interval: {}", engine.checkpoint_interval)?;
        writeln!(f, "engine.task_time: {}", name_of(&names::TASK_TIME, &engine.task_time))?;
        match engine.publish_from {
            Some(instant) => writeln!(f, "engine.publish_from: {instant}")?,
            None => writeln!(f, "engine.publish_from: (the first start)")?,
        }
        let every = engine.scorecard_check_interval;
        writeln!(f, "engine.scorecard_check_interval: {every}")?;
        writeln!(f, "engine.alert_on_rules_change: {}", engine.alert_on_rules_change)?;
        let guard = if engine.outage_guard { "on" } else { "off" };
        writeln!(f, "engine.outage_guard: {guard}")?;
        let limits = &self.limits;
        writeln!(f, "limits.accounts: {}", limits.accounts)?;
        writeln!(f, "limits.when_full: {}", name_of(&names::WHEN_FULL, &limits.when_full))?;
        writeln!(f, "limits.items_per_account: {}", limits.items_per_account)?;
        writeln!(f, "limits.users_per_account: {}", limits.users_per_account)?;
        match limits.forget_after {
            Some(after) => writeln!(f, "limits.forget_after: {after}")?,
            None => writeln!(f, "limits.forget_after: (never)")?,
        }
        writeln!(f, "scores.min_interval: {}", self.scores.min_interval)?;
        writeln!(f, "http.listen: {}", self.http.listen)?;
        writeln!(f, "log.format: {}", name_of(&names::LOG_FORMAT, &self.log.format))?;
        writeln!(f, "log.level: {}", name_of(&names::LOG_LEVEL, &self.log.level))?;
        writeln!(f, "shutdown_timeout: {}", self.shutdown_timeout)?;
        for (index, choice) in self.scorecards.iter().enumerate() {
            let when = if choice.when.is_some() { " (under its condition)" } else { "" };
            writeln!(f, "scorecards[{index}]: {}{when}", choice.file)?;
        }
        Ok(())
    }
}
