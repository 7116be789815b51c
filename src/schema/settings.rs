//! The service's settings as they are written: the mirror of what `config` reads.
//!
//! Every value may also hold `${..}`, which is filled in before it is read.

#![expect(dead_code, reason = "only their shape is used")]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::scorecard::OnProfile;
use super::value::{Duration, Instant, Text};

/// The service's settings. Durations: 250ms, 90s, 5m, 6h, 28d, 2w, or several in a row.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("type" = ["object", "null"]))]
pub struct Settings {
    /// The brokers, the group and the topics.
    kafka: Option<Kafka>,
    /// How records are taken.
    ingest: Option<Ingest>,
    /// Workers, commits and task time.
    engine: Option<Engine>,
    /// The scores topic.
    limits: Option<Limits>,
    scores: Option<Scores>,
    /// The API, the metrics and the probes.
    http: Option<Http>,
    /// Logs.
    log: Option<Log>,
    /// Longest time from the signal to stop until the process ends; 1s to 1h, default 25s.
    shutdown_timeout: Option<Filled<Duration>>,
    /// Which scorecard judges which account: the first whose `when` holds.
    #[schemars(length(min = 1))]
    scorecards: Option<Vec<Choice>>,
}

/// The brokers, the group and the topics.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("type" = ["object", "null"]))]
struct Kafka {
    /// `host:port`, several with commas; default localhost:9092.
    bootstrap_servers: Option<Text>,
    /// The consumer group; default barometer.
    group_id: Option<Filled<KafkaName>>,
    /// A stable name of this process within its group; default the host's name.
    instance: Option<Filled<KafkaName>>,
    /// How the group agrees on who has which partition; default classic.
    group_protocol: Option<Filled<GroupProtocol>>,
    /// Default exactly_once.
    delivery: Option<Filled<Delivery>>,
    /// What to do where the broker no longer holds what is to be read next; default fail.
    offset_reset: Option<Filled<OffsetReset>>,
    /// How long an instance may be silent before its partitions go to others; 1s to 30m, default
    /// 45s.
    session_timeout: Option<Filled<Duration>>,
    /// How long the broker keeps the open transaction of a dead instance; 1s to 15m, default 10s.
    transaction_timeout: Option<Filled<Duration>>,
    /// The topics' names.
    topics: Option<Topics>,
    /// librdkafka's own properties, for every client.
    properties: Option<Properties>,
    /// For consumers only.
    consumer: Option<Role>,
    /// For producers only.
    producer: Option<Role>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum GroupProtocol {
    Classic,
    Consumer,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Delivery {
    ExactlyOnce,
    AtLeastOnce,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum OffsetReset {
    Fail,
    Earliest,
    Latest,
}

/// The topics' names.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("type" = ["object", "null"]))]
struct Topics {
    /// Read: product usage.
    usage: Option<Filled<KafkaName>>,
    /// Read: support tickets.
    tickets: Option<Filled<KafkaName>>,
    /// Read: invoices and payments.
    payments: Option<Filled<KafkaName>>,
    /// Read: surveys and assessments.
    surveys: Option<Filled<KafkaName>>,
    /// Read: account profiles; compacted.
    accounts: Option<Filled<KafkaName>>,
    /// Written: band changes and alerts.
    events: Option<Filled<KafkaName>>,
    /// Written: the latest report of each account; compacted.
    scores: Option<Filled<KafkaName>>,
    /// Written: records that could not be used, and why.
    dead_letters: Option<Filled<KafkaName>>,
    /// Written and read back: state; compacted. Default the group followed by `-changelog`.
    changelog: Option<Filled<KafkaName>>,
}

/// librdkafka's own properties.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("type" = ["object", "null"]))]
struct Role {
    /// What the engine needs for its guarantees it sets itself and refuses here.
    properties: Option<Properties>,
}

/// librdkafka's own properties, by their names.
#[derive(JsonSchema)]
#[schemars(extend("type" = ["object", "null"]))]
struct Properties(BTreeMap<String, Property>);

/// How records are taken.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("type" = ["object", "null"]))]
struct Ingest {
    /// Which hash of the key chose a record's partition; default auto.
    partitioner: Option<Filled<Partitioner>>,
    /// Bytes; a larger record goes to the dead letters. Default 1 MiB.
    max_record_bytes: Option<Filled<RecordBytes>>,
    /// How far ahead of its record's timestamp an event may have occurred; 0s to 1d, default 5m.
    max_future_skew: Option<Filled<Duration>>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Partitioner {
    Auto,
    Murmur2,
    Crc32,
}

/// Workers, commits and task time.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("type" = ["object", "null"]))]
struct Engine {
    /// Threads, each a member of the group; default the number of cores.
    workers: Option<Filled<Workers>>,
    /// Time between commits; 1ms to 1m, default 100ms.
    commit_interval: Option<Filled<Duration>>,
    /// Least time between commits when a verdict waits; 1ms to 1m, default 20ms.
    min_commit_gap: Option<Filled<Duration>>,
    /// Time between commits while catching up; 1ms to 1m, default 1s.
    catch_up_commit_interval: Option<Filled<Duration>>,
    /// How long the checkpoint of an account may be out of date; 1ms to 1h, default 30s.
    checkpoint_interval: Option<Filled<Duration>>,
    /// What moves the clock once it has caught up; default wall.
    task_time: Option<Filled<TaskTime>>,
    /// Nothing is published for task times before this; default the first start.
    publish_from: Option<Filled<Instant>>,
    /// How often the scorecards' files are looked at for changes; 0s never, at most 1d, default 10s.
    scorecard_check_interval: Option<Filled<Duration>>,
    /// Whether a change of rules may fire alerts; default false.
    alert_on_rules_change: Option<Filled<bool>>,
    /// Whether outages of whole sources are watched for; default on.
    outage_guard: Option<Filled<OnOff>>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(super) enum OnOff {
    On,
    Off,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum TaskTime {
    Wall,
    Records,
}

/// How much is held at most.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("type" = ["object", "null"]))]
struct Limits {
    /// Most accounts of the process; default 1000000.
    accounts: Option<Filled<Accounts>>,
    /// What becomes of a new account where there is no room; default refuse.
    when_full: Option<Filled<WhenFull>>,
    /// Most tickets of an account, as many invoices and survey answers; default 10000.
    items_per_account: Option<Filled<Items>>,
    /// Most users told apart in one window, and as many features; default 100000.
    users_per_account: Option<Filled<Users>>,
    /// An account without a profile and with nothing open is forgotten when its last event is as old as
    /// this; 0s is never, default 400d.
    forget_after: Option<Filled<Duration>>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum WhenFull {
    Refuse,
    ForgetIdle,
}

/// The scores topic.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("type" = ["object", "null"]))]
struct Scores {
    /// Least time between two reports of one account; 0s to 1d, default 1m.
    min_interval: Option<Filled<Duration>>,
}

/// The API, the metrics and the probes.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("type" = ["object", "null"]))]
struct Http {
    /// IP address and port; default 127.0.0.1:9650.
    listen: Option<Filled<Address>>,
}

/// Logs.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("type" = ["object", "null"]))]
struct Log {
    /// Default text.
    format: Option<Filled<LogFormat>>,
    /// Default info.
    level: Option<Filled<LogLevel>>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum LogFormat {
    Text,
    Json,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// A scorecard, and whom it judges.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Choice {
    /// Relative paths start at this file's directory.
    file: Text,
    /// On the account's profile; only the last choice may be without.
    when: Option<OnProfile>,
}

macro_rules! values {
    ($($name:ident = $schema:tt;)+) => {
        $(
            struct $name;

            impl JsonSchema for $name {
                fn schema_name() -> Cow<'static, str> {
                    stringify!($name).into()
                }

                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    json_schema!($schema)
                }
            }
        )+
    };
}

values! {
    KafkaName = {
        "type": ["string", "number", "boolean"],
        "pattern": r"^[A-Za-z0-9._-]+$", "minLength": 1, "maxLength": 249,
    };
    Property = { "type": ["string", "number", "boolean"] };
    RecordBytes = { "type": "integer", "minimum": 1_024, "maximum": 67_108_864 };
    Accounts = { "type": "integer", "minimum": 1, "maximum": 4_000_000_000_i64 };
    Items = { "type": "integer", "minimum": 1, "maximum": 1_000_000 };
    Users = { "type": "integer", "minimum": 1, "maximum": 10_000_000 };
    Workers = { "type": "integer", "minimum": 1, "maximum": 256 };
    Address = { "type": "string", "pattern": r"^.+:[0-9]+$" };
}

/// The value itself, or text in which `${..}` will be filled in.
struct Filled<T>(PhantomData<T>);

impl<T: JsonSchema> JsonSchema for Filled<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Filled{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [value, { "type": "string", "pattern": r"\$\{" }] })
    }
}
