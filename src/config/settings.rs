//! What can be set, resolved and typed. Units, defaults and effects in full: `barometer.yaml`.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::secret::Properties;
use crate::broker::OutputTopic;
use crate::engine::event::Source;
use crate::engine::scorecard::Condition;
use crate::engine::time::{EventTime, Span};

/// All settings of the service.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The broker, the group and the topics.
    pub kafka: Kafka,
    /// What is taken from the input topics.
    pub ingest: Ingest,
    /// Workers, commits and the clock.
    pub engine: Engine,
    /// How much is held at most.
    pub limits: Limits,
    /// The scores topic.
    pub scores: Scores,
    /// The HTTP server.
    pub http: Http,
    /// The log.
    pub log: Logging,
    /// Longest time from the signal to stop until the process ends.
    pub shutdown_timeout: Span,
    /// Which scorecard judges which account: the first whose condition holds. Never empty, and the
    /// last one has no condition.
    pub scorecards: Vec<ScorecardChoice>,
}

/// The broker, the group and the topics.
#[derive(Clone, Debug, PartialEq)]
pub struct Kafka {
    /// `host:port`, several with commas.
    pub bootstrap_servers: String,
    /// Consumer group; instances of one group share the partitions.
    pub group_id: String,
    /// Stable name of this process within its group; 1 to 200 letters, digits, `.`, `_` and `-`.
    pub instance: String,
    /// How the group agrees on who has which partition.
    pub group_protocol: GroupProtocol,
    /// What a crash may do to the output.
    pub delivery: Delivery,
    /// What to do where the broker no longer holds what is to be read next.
    pub offset_reset: OffsetReset,
    /// How long a member may be silent before its partitions go to others.
    pub session_timeout: Span,
    /// How long the broker keeps a transaction of a dead instance open.
    pub transaction_timeout: Span,
    /// The topics' names, all different.
    pub topics: Topics,
    /// librdkafka properties of every client; none that the engine owns.
    pub properties: Properties,
    /// librdkafka properties of consumers; they win over `properties`.
    pub consumer_properties: Properties,
    /// librdkafka properties of producers; they win over `properties`.
    pub producer_properties: Properties,
}

/// How the group agrees on who has which partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupProtocol {
    /// The protocol of every broker.
    Classic,
    /// KIP-848, on brokers from 4.0.
    Consumer,
}

/// What a crash may do to the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Nothing: output, state and offsets go in one transaction.
    ExactlyOnce,
    /// Some records may come twice, with the same ids; needs no transactions.
    AtLeastOnce,
}

/// What to do where the broker no longer holds what is to be read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetReset {
    /// Stop, and say so.
    Fail,
    /// Go on at the first record there is.
    Earliest,
    /// Go on at the end.
    Latest,
}

/// The names of all topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    /// Product usage, read.
    pub usage: String,
    /// Support tickets, read.
    pub tickets: String,
    /// Payments, read.
    pub payments: String,
    /// Surveys, read.
    pub surveys: String,
    /// Account profiles, read.
    pub accounts: String,
    /// Band changes and alerts, written.
    pub events: String,
    /// Account reports, written.
    pub scores: String,
    /// Records that cannot be used, written.
    pub dead_letters: String,
    /// State, written and read back.
    pub changelog: String,
}

impl Topics {
    /// The topic a source is read from.
    pub fn input(&self, source: Source) -> &str {
        match source {
            Source::Usage => &self.usage,
            Source::Ticket => &self.tickets,
            Source::Payment => &self.payments,
            Source::Survey => &self.surveys,
            Source::Profile => &self.accounts,
        }
    }

    /// The topic an output is written to.
    pub fn output(&self, topic: OutputTopic) -> &str {
        match topic {
            OutputTopic::Events => &self.events,
            OutputTopic::Scores => &self.scores,
            OutputTopic::DeadLetters => &self.dead_letters,
            OutputTopic::Changelog => &self.changelog,
        }
    }
}

/// What is taken from the input topics.
#[derive(Clone, Debug, PartialEq)]
pub struct Ingest {
    /// Which hash of the key chose a record's partition.
    pub partitioner: Partitioner,
    /// A larger record is a dead letter.
    pub max_record_bytes: usize,
    /// An event that claims to be further ahead of its record is a dead letter.
    pub max_future_skew: Span,
}

/// Which hash of the key chose a record's partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partitioner {
    /// Learnt from the first records of each topic.
    Auto,
    /// Java's clients' default.
    Murmur2,
    /// librdkafka's default.
    Crc32,
}

/// Workers, commits and the clock.
#[derive(Clone, Debug, PartialEq)]
pub struct Engine {
    /// Threads that each own a share of the partitions; at least 1.
    pub workers: usize,
    /// Time between commits.
    pub commit_interval: Span,
    /// Least time between commits when a verdict waits; at most `commit_interval`.
    pub min_commit_gap: Span,
    /// Time between commits while catching up; at least `commit_interval`.
    pub catch_up_commit_interval: Span,
    /// Longest time for which the checkpoint of a busy account may be out of date.
    pub checkpoint_interval: Span,
    /// What moves the engine's clock once it has caught up.
    pub task_time: TaskTime,
    /// Nothing is published for task times before this; `None` is the first start.
    pub publish_from: Option<EventTime>,
    /// How often the scorecard files are looked at for changes; zero is never.
    pub scorecard_check_interval: Span,
    /// Whether risks that come up with a change of rules raise alerts.
    pub alert_on_rules_change: bool,
    /// Whether outages of whole sources are watched for.
    pub outage_guard: bool,
}

/// How much is held at most.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Most accounts of the process; at least 1.
    pub accounts: usize,
    /// What becomes of a new account where there is no room.
    pub when_full: WhenFull,
    /// Most tickets of an account, as many invoices and as many survey answers; at least 1.
    pub items_per_account: usize,
    /// Most users told apart in one window, and as many features; at least 1.
    pub users_per_account: usize,
    /// An account without a profile and with nothing open is forgotten when its last event is as old as
    /// this; `None` is never.
    pub forget_after: Option<Span>,
}

/// What becomes of a new account where there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Its events go to the dead letters.
    Refuse,
    /// An account that has been idle for long is forgotten for it.
    ForgetIdle,
}

/// What moves the engine's clock once it has caught up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskTime {
    /// The wall clock, so that silence is seen.
    Wall,
    /// The records alone: back-fills and tests.
    Records,
}

/// The scores topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// Least time between two reports of one account, but for changes of band.
    pub min_interval: Span,
}

/// The HTTP server.
#[derive(Clone, Debug, PartialEq)]
pub struct Http {
    /// Where it listens.
    pub listen: SocketAddr,
}

/// The log.
#[derive(Clone, Debug, PartialEq)]
pub struct Logging {
    /// What a line looks like.
    pub format: LogFormat,
    /// The least important lines that are still written.
    pub level: LogLevel,
}

/// What a line of the log looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines, an object a line.
    Json,
}

/// How important a line of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Something has to be done.
    Error,
    /// Something may have to be done.
    Warn,
    /// What one wants to find in the log later.
    Info,
    /// What one wants while looking for a fault.
    Debug,
    /// Everything.
    Trace,
}

/// A scorecard and the accounts it judges.
#[derive(Clone, Debug, PartialEq)]
pub struct ScorecardChoice {
    /// Where the card is.
    pub file: ScorecardFile,
    /// On the profile; `None` holds always.
    pub when: Option<Condition>,
}

/// Where a scorecard is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScorecardFile {
    /// In the binary: [`super::DEFAULT_SCORECARD`].
    Embedded,
    /// In this file. A relative path of the settings file starts at its directory, one of a flag or
    /// a variable at the working directory.
    Path(PathBuf),
}

/// The names of choices, as the settings write them.
pub(super) mod names {
    use super::{
        Delivery, GroupProtocol, LogFormat, LogLevel, OffsetReset, Partitioner, ScorecardFile,
        TaskTime, WhenFull,
    };

    pub const GROUP_PROTOCOL: [(&str, GroupProtocol); 2] =
        [("classic", GroupProtocol::Classic), ("consumer", GroupProtocol::Consumer)];
    pub const DELIVERY: [(&str, Delivery); 2] =
        [("exactly_once", Delivery::ExactlyOnce), ("at_least_once", Delivery::AtLeastOnce)];
    pub const OFFSET_RESET: [(&str, OffsetReset); 3] = [
        ("fail", OffsetReset::Fail),
        ("earliest", OffsetReset::Earliest),
        ("latest", OffsetReset::Latest),
    ];
    pub const PARTITIONER: [(&str, Partitioner); 3] = [
        ("auto", Partitioner::Auto),
        ("murmur2", Partitioner::Murmur2),
        ("crc32", Partitioner::Crc32),
    ];
    pub const TASK_TIME: [(&str, TaskTime); 2] =
        [("wall", TaskTime::Wall), ("records", TaskTime::Records)];
    pub const WHEN_FULL: [(&str, WhenFull); 2] =
        [("refuse", WhenFull::Refuse), ("forget_idle", WhenFull::ForgetIdle)];
    pub const LOG_FORMAT: [(&str, LogFormat); 2] =
        [("text", LogFormat::Text), ("json", LogFormat::Json)];
    pub const LOG_LEVEL: [(&str, LogLevel); 5] = [
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
    ];

    /// The name of `choice` among `choices`.
    pub fn name_of<T: PartialEq>(choices: &[(&'static str, T)], choice: &T) -> &'static str {
        let found = choices.iter().find(|(_, other)| other == choice);
        found.map_or("", |(name, _)| name)
    }

    impl std::fmt::Display for ScorecardFile {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            match self {
                ScorecardFile::Embedded => f.write_str(super::super::DEFAULT_SCORECARD_NAME),
                ScorecardFile::Path(path) => write!(f, "{}", path.display()),
            }
        }
    }
}
