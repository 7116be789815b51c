//! Every metric there is. Labels come from short closed lists; an account is never one.

use prometheus::{
    CounterVec, Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::engine::event::{FeedbackKind, ReasonCode, Source};
use crate::engine::outage::{self, GUARDED};
use crate::engine::rules::Rules;
use crate::engine::scorecard::{Scorecard, UNKNOWN_BAND};
use crate::engine::stats::{CardStats, Stats};

/// The process's metrics, shared by all workers.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    events: IntCounterVec,
    events_rejected: IntCounterVec,
    events_late: IntCounterVec,
    lost: IntCounterVec,
    events_duplicate: IntCounterVec,
    accounts: IntGaugeVec,
    band_changes: IntCounterVec,
    alerts: IntCounterVec,
    alerts_firing: IntGaugeVec,
    feedback: IntCounterVec,
    overrides_ignored: IntCounter,
    left_out: IntCounter,
    forgotten: IntCounter,
    outages: IntGaugeVec,
    reloads: IntCounterVec,
    transactions: IntCounterVec,
    consumer_lag: IntGaugeVec,
    partitions: IntGaugeVec,
    commit_seconds: Histogram,
    commit_step_seconds: HistogramVec,
    restore_step_seconds: CounterVec,
    checkpoint_records: IntCounter,
    checkpoint_bytes: IntCounter,
    replayed: IntCounter,
}

/// What came of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Committed.
    Committed,
    /// Aborted, and sent again.
    Aborted,
    /// Nobody knew; the committed offsets told.
    Unclear,
}

/// A part of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitStep {
    /// Reports, checkpoints and offsets are made ready.
    Prepare,
    /// The transaction is opened.
    Begin,
    /// Records are handed to the client, which sends them in the background.
    Send,
    /// What was sent is waited for until it is acknowledged.
    Flush,
    /// The offsets go to the group's coordinator.
    Offsets,
    /// The transaction is ended. At least once there is none.
    Commit,
}

impl CommitStep {
    /// All of them, in their order.
    pub const ALL: [CommitStep; 6] = [
        CommitStep::Prepare,
        CommitStep::Begin,
        CommitStep::Send,
        CommitStep::Flush,
        CommitStep::Offsets,
        CommitStep::Commit,
    ];

    /// As a label.
    pub const fn name(self) -> &'static str {
        match self {
            CommitStep::Prepare => "prepare",
            CommitStep::Begin => "begin",
            CommitStep::Send => "send",
            CommitStep::Flush => "flush",
            CommitStep::Offsets => "offsets",
            CommitStep::Commit => "commit",
        }
    }
}

/// A part of the way from a changelog back to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreStep {
    /// Brokers are asked where topics begin and end.
    Ask,
    /// The changelog's records are waited for.
    Read,
    /// They become accounts again.
    PutBack,
    /// Input records are taken once more.
    Replay,
    /// Every account is judged at the present.
    Thaw,
}

impl RestoreStep {
    /// All of them, in their order.
    pub const ALL: [RestoreStep; 5] = [
        RestoreStep::Ask,
        RestoreStep::Read,
        RestoreStep::PutBack,
        RestoreStep::Replay,
        RestoreStep::Thaw,
    ];

    /// As a label.
    pub const fn name(self) -> &'static str {
        match self {
            RestoreStep::Ask => "ask",
            RestoreStep::Read => "read",
            RestoreStep::PutBack => "put_back",
            RestoreStep::Replay => "replay",
            RestoreStep::Thaw => "thaw",
        }
    }
}

/// What came of reading the scorecards again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// They are in force.
    Applied,
    /// They say what they said before.
    Unchanged,
    /// They have mistakes; the old ones go on.
    Refused,
}

impl Metrics {
    /// All metrics at zero.
    pub fn new() -> Metrics {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let vec = IntCounterVec::new(Opts::new(name, help), labels);
            let vec = vec.expect("names and labels below are well-formed");
            registry.register(Box::new(vec.clone())).expect("each name below is registered once");
            vec
        };
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            let vec = IntGaugeVec::new(Opts::new(name, help), labels);
            let vec = vec.expect("names and labels below are well-formed");
            registry.register(Box::new(vec.clone())).expect("each name below is registered once");
            vec
        };
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help).expect("names below are well-formed");
            registry.register(Box::new(counter.clone())).expect("each name is registered once");
            counter
        };
        let commit_seconds = Histogram::with_opts(
            HistogramOpts::new("barometer_commit_seconds", "Time one commit took, in seconds.")
                .buckets(vec![0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0]),
        )
        .expect("name and buckets are well-formed");
        registry.register(Box::new(commit_seconds.clone())).expect("registered once");
        let commit_step_seconds = HistogramVec::new(
            HistogramOpts::new(
                "barometer_commit_step_seconds",
                "Time the parts of a commit took that came through, in seconds.",
            )
            .buckets(vec![0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.5]),
            &["step"],
        )
        .expect("name, label and buckets are well-formed");
        registry.register(Box::new(commit_step_seconds.clone())).expect("registered once");
        let restore_step_seconds = CounterVec::new(
            Opts::new(
                "barometer_restore_step_seconds_total",
                "Time workers have spent on reading state back, by its parts, in seconds.",
            ),
            &["step"],
        )
        .expect("name and label are well-formed");
        registry.register(Box::new(restore_step_seconds.clone())).expect("registered once");
        let overrides_ignored = IntCounter::new(
            "barometer_overrides_ignored_total",
            "Overrides without effect: over already, older than another, or of an unknown band.",
        )
        .expect("the name is well-formed");
        registry.register(Box::new(overrides_ignored.clone())).expect("registered once");
        let metrics = Metrics {
            events: counters(
                "barometer_events_consumed_total",
                "Input events that were decoded and taken.",
                &["source"],
            ),
            events_rejected: counters(
                "barometer_events_rejected_total",
                "Input records that could not be used and went to the dead-letter topic.",
                &["source", "reason"],
            ),
            events_late: counters(
                "barometer_events_late_total",
                "Input events too old for every window.",
                &["source"],
            ),
            lost: counters(
                "barometer_lost_records_total",
                "Input records that were deleted before they were read (kafka.offset_reset).",
                &["source"],
            ),
            events_duplicate: counters(
                "barometer_events_duplicate_total",
                "Input events that were known already.",
                &["source"],
            ),
            accounts: gauges("barometer_accounts", "Accounts in each band now.", &["band"]),
            band_changes: counters(
                "barometer_band_changes_total",
                "Published band changes.",
                &["from", "to"],
            ),
            alerts: counters(
                "barometer_alerts_total",
                "Published alert records, by what they say.",
                &["rule", "status"],
            ),
            alerts_firing: gauges(
                "barometer_alerts_firing",
                "Accounts for which an alert rule fires now.",
                &["rule"],
            ),
            feedback: counters(
                "barometer_alert_feedback_total",
                "What people said of alerts.",
                &["rule", "feedback"],
            ),
            overrides_ignored,
            left_out: counter(
                "barometer_events_left_out_total",
                "Usage events with a user or feature for which limits.users_per_account left no room.",
            ),
            forgotten: counter(
                "barometer_accounts_forgotten_total",
                "Accounts forgotten because they were idle.",
            ),
            outages: gauges(
                "barometer_source_outages",
                "Partition numbers for which a source is out, so that its clock stands still.",
                &["source"],
            ),
            reloads: counters(
                "barometer_scorecard_reloads_total",
                "Times the scorecards were read again, by what came of it.",
                &["outcome"],
            ),
            transactions: counters(
                "barometer_transactions_total",
                "Transactions by outcome.",
                &["outcome"],
            ),
            consumer_lag: gauges(
                "barometer_consumer_lag_offsets",
                "Offsets between what was processed and the partition's end.",
                &["source", "partition"],
            ),
            partitions: gauges(
                "barometer_assigned_partitions",
                "Partition numbers a worker holds.",
                &["worker"],
            ),
            checkpoint_records: counter(
                "barometer_checkpoint_records_total",
                "Records written to the changelog and committed.",
            ),
            checkpoint_bytes: counter(
                "barometer_checkpoint_bytes_total",
                "Bytes written to the changelog and committed, keys included.",
            ),
            replayed: counter(
                "barometer_replayed_records_total",
                "Input records read once more to restore state.",
            ),
            commit_seconds,
            commit_step_seconds,
            restore_step_seconds,
            registry,
        };
        for step in CommitStep::ALL {
            metrics.commit_step_seconds.with_label_values(&[step.name()]);
        }
        for step in RestoreStep::ALL {
            metrics.restore_step_seconds.with_label_values(&[step.name()]);
        }
        for source in Source::ALL {
            let label = &[source.name()];
            metrics.events.with_label_values(label);
            metrics.events_late.with_label_values(label);
            metrics.lost.with_label_values(label);
            metrics.events_duplicate.with_label_values(label);
        }
        metrics
    }

    /// Adds what an engine has counted since `before`, its counts then.
    pub fn add_stats(&self, rules: &Rules, before: &Stats, now: &Stats) {
        for source in Source::ALL {
            let (i, label) = (source as usize, &[source.name()]);
            let taken = now.counted[i] + now.late_dropped[i] + now.duplicates[i];
            let taken_before = before.counted[i] + before.late_dropped[i] + before.duplicates[i];
            self.events.with_label_values(label).inc_by(taken - taken_before);
            let late = now.late_dropped[i] - before.late_dropped[i];
            self.events_late.with_label_values(label).inc_by(late);
            let duplicate = now.duplicates[i] - before.duplicates[i];
            self.events_duplicate.with_label_values(label).inc_by(duplicate);
        }
        self.overrides_ignored.inc_by(now.overrides_ignored - before.overrides_ignored);
        self.left_out.inc_by(now.left_out - before.left_out);
        self.forgotten.inc_by(now.forgotten - before.forgotten);
        for (name, kind) in FeedbackKind::NAMES {
            let kind = kind as usize;
            let count = now.feedback_on_none[kind] - before.feedback_on_none[kind];
            self.feedback.with_label_values(&["none", name]).inc_by(count);
        }
        for source in GUARDED {
            let (known, is) = (before.out[source as usize], now.out[source as usize]);
            self.outages.with_label_values(&[outage::name(source)]).add(is as i64 - known as i64);
        }
        let none = CardStats::default();
        for (index, (card, now)) in rules.cards().zip(&now.cards).enumerate() {
            self.add_card_stats(card, before.cards.get(index).unwrap_or(&none), now);
        }
    }

    fn add_card_stats(&self, card: &Scorecard, before: &CardStats, now: &CardStats) {
        for (band, count) in now.accounts_by_band.iter().enumerate() {
            let known = before.accounts_by_band.get(band).copied().unwrap_or(0);
            let change = *count as i64 - known as i64;
            self.accounts.with_label_values(&[band_label(card, band)]).add(change);
        }
        for ((from, to), count) in &now.transitions {
            let same = before.transitions.iter().find(|(key, _)| key == &(*from, *to));
            let known = same.map_or(0, |(_, count)| *count);
            let labels = &[band_label(card, *from), band_label(card, *to)];
            self.band_changes.with_label_values(labels).inc_by(count - known);
        }
        for (index, (rule, count)) in card.alerts.iter().zip(&now.alerts).enumerate() {
            let known = before.alerts.get(index).copied().unwrap_or_default();
            let by_status = [
                ("fired", count.fired - known.fired),
                ("escalated", count.escalated - known.escalated),
                ("resolved", count.resolved - known.resolved),
            ];
            for (status, count) in by_status {
                self.alerts.with_label_values(&[&rule.id, status]).inc_by(count);
            }
            for (name, kind) in FeedbackKind::NAMES {
                let kind = kind as usize;
                let count = count.feedback[kind] - known.feedback[kind];
                self.feedback.with_label_values(&[&rule.id, name]).inc_by(count);
            }
            let change = count.firing as i64 - known.firing as i64;
            self.alerts_firing.with_label_values(&[&rule.id]).add(change);
        }
    }

    /// Takes an engine's accounts out of the gauges: it is gone, or goes over to other rules.
    pub fn drop_accounts(&self, rules: &Rules, last: &Stats) {
        for source in GUARDED.iter().filter(|source| last.out[**source as usize]) {
            self.outages.with_label_values(&[outage::name(*source)]).dec();
        }
        for (card, last) in rules.cards().zip(&last.cards) {
            for (band, count) in last.accounts_by_band.iter().enumerate() {
                self.accounts.with_label_values(&[band_label(card, band)]).sub(*count as i64);
            }
            for (rule, count) in card.alerts.iter().zip(&last.alerts) {
                self.alerts_firing.with_label_values(&[&rule.id]).sub(count.firing as i64);
            }
        }
    }

    /// The scorecards were read again.
    pub fn add_reload(&self, outcome: Reload) {
        let label = match outcome {
            Reload::Applied => "applied",
            Reload::Unchanged => "unchanged",
            Reload::Refused => "refused",
        };
        self.reloads.with_label_values(&[label]).inc();
    }

    /// Input events taken so far, of all sources.
    pub fn events_consumed(&self) -> u64 {
        let of = |source: &Source| self.events.with_label_values(&[source.name()]).get();
        Source::ALL.iter().map(of).sum()
    }

    /// Records of the changelog that have been committed.
    pub fn add_checkpoints(&self, records: u64, bytes: u64) {
        self.checkpoint_records.inc_by(records);
        self.checkpoint_bytes.inc_by(bytes);
    }

    /// Input records that were deleted before they were read.
    pub fn add_lost(&self, source: Source, records: u64) {
        self.lost.with_label_values(&[source.name()]).inc_by(records);
    }

    /// Input records read once more to restore state.
    pub fn add_replayed(&self, records: u64) {
        self.replayed.inc_by(records);
    }

    /// One record went to the dead-letter topic.
    pub fn add_rejected(&self, source: Source, reason: ReasonCode) {
        self.events_rejected.with_label_values(&[source.name(), reason.name()]).inc();
    }

    /// One transaction ended.
    pub fn add_transaction(&self, outcome: Outcome) {
        let label = match outcome {
            Outcome::Committed => "committed",
            Outcome::Aborted => "aborted",
            Outcome::Unclear => "unclear",
        };
        self.transactions.with_label_values(&[label]).inc();
    }

    /// One commit succeeded after so many seconds.
    pub fn observe_commit(&self, seconds: f64) {
        self.commit_seconds.observe(seconds);
    }

    /// One part of a commit that came through.
    pub fn observe_commit_step(&self, step: CommitStep, seconds: f64) {
        self.commit_step_seconds.with_label_values(&[step.name()]).observe(seconds);
    }

    /// More time went into reading state back.
    pub fn add_restore_time(&self, step: RestoreStep, seconds: f64) {
        self.restore_step_seconds.with_label_values(&[step.name()]).inc_by(seconds);
    }

    /// How far one input is behind its end.
    pub fn set_lag(&self, source: Source, partition: i32, offsets: i64) {
        let labels = &[source.name(), &partition.to_string()];
        self.consumer_lag.with_label_values(labels).set(offsets);
    }

    /// An input is somebody else's: its lag is theirs to tell.
    pub fn drop_lag(&self, source: Source, partition: i32) {
        let labels = &[source.name(), &partition.to_string()];
        // It may never have been set.
        let _ = self.consumer_lag.remove_label_values(labels);
    }

    /// How many partition numbers a worker holds.
    pub fn set_partitions(&self, worker: usize, count: usize) {
        self.partitions.with_label_values(&[&worker.to_string()]).set(count as i64);
    }

    /// Everything in Prometheus' text format.
    pub fn text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        let encoded = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        encoded.expect("a vector takes every write, and no metric is without a name");
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

fn band_label(card: &Scorecard, band: usize) -> &str {
    card.bands.get(band).map_or(UNKNOWN_BAND, |band| &band.name)
}
