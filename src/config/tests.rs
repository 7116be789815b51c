//! Settings from every source, and what they must never show.

use std::path::PathBuf;

use super::*;
use crate::engine::scorecard::Condition;
use crate::engine::time::{EventTime, Span};

const SHIPPED: &str = include_str!("../../config/barometer.yaml");

/// One file is there to be filled in, one cannot be read.
fn files(path: &Path) -> io::Result<String> {
    match path.to_str() {
        Some("/etc/barometer/secrets/password") => Ok("hunter2\n".to_string()),
        _ => Err(io::Error::new(io::ErrorKind::NotFound, "no such file")),
    }
}

fn surroundings(variables: &[(&str, &str)]) -> Surroundings<'static> {
    let own = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
    Surroundings {
        variables: variables.iter().map(own).collect(),
        read_file: &files,
        base: PathBuf::from("/etc/barometer"),
        host_name: Some("node-7".to_string()),
        cores: 6,
        tls: true,
    }
}

fn load(text: &str, variables: &[(&str, &str)], overrides: &Overrides) -> Config {
    match Config::parse("barometer.yaml", text, overrides, &surroundings(variables)) {
        Ok(loaded) => loaded.config,
        Err(problems) => panic!("{}", lines(&problems)),
    }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn told_with(text: &str, variables: &[(&str, &str)], overrides: &Overrides) -> String {
    match Config::parse("barometer.yaml", text, overrides, &surroundings(variables)) {
        Ok(loaded) => lines(&loaded.warnings),
        Err(problems) => lines(&problems),
    }
}

pub(super) fn told(text: &str) -> String {
    told_with(text, &[], &Overrides::default())
}

pub(super) fn told_without_tls(text: &str) -> String {
    let surroundings = Surroundings { tls: false, ..surroundings(&[]) };
    match Config::parse("barometer.yaml", text, &Overrides::default(), &surroundings) {
        Ok(loaded) => lines(&loaded.warnings),
        Err(problems) => lines(&problems),
    }
}

#[test]
fn the_shipped_file_says_what_the_defaults_are() {
    let defaults = load("", &[], &Overrides::default());
    assert_eq!(load(SHIPPED, &[], &Overrides::default()), defaults);
    assert_eq!(told(SHIPPED), "");
    assert_eq!(
        defaults.to_string(),
        "\
kafka.bootstrap_servers: localhost:9092
kafka.group_id: barometer
kafka.instance: node-7
kafka.group_protocol: classic
kafka.delivery: exactly_once
kafka.offset_reset: fail
kafka.session_timeout: 45s
kafka.transaction_timeout: 10s
kafka.topics.usage: product-usage
kafka.topics.tickets: support-tickets
kafka.topics.payments: payments
kafka.topics.surveys: surveys
kafka.topics.accounts: accounts
kafka.topics.events: account-health-events
kafka.topics.scores: account-health-scores
kafka.topics.dead_letters: barometer-dead-letters
kafka.topics.changelog: barometer-changelog
ingest.partitioner: auto
ingest.max_record_bytes: 1048576
ingest.max_future_skew: 5m
engine.workers: 6
engine.commit_interval: 100ms
engine.min_commit_gap: 20ms
engine.catch_up_commit_interval: 1s
engine.checkpoint_interval: 30s
engine.task_time: wall
engine.publish_from: (the first start)
engine.scorecard_check_interval: 10s
engine.alert_on_rules_change: false
engine.outage_guard: on
limits.accounts: 1000000
limits.when_full: refuse
limits.items_per_account: 10000
limits.users_per_account: 100000
limits.forget_after: 400d
scores.min_interval: 1m
http.listen: 127.0.0.1:9650
log.format: text
log.level: info
shutdown_timeout: 25s
scorecards[0]: saas-default.yaml (embedded)
"
    );
}

#[test]
fn the_shipped_file_names_every_key_there_is() {
    // Examples that are commented out are read too, so that they stay right.
    let known = known_keys(&uncomment_examples(SHIPPED));
    assert!(known.len() > 40, "{known:?}");
    for path in known {
        let key = path.rsplit('.').next().expect("a path has a last key");
        let condition_key = path.starts_with("scorecards[") && path.contains(".when.");
        let named = SHIPPED
            .lines()
            .any(|line| line.trim_start_matches([' ', '#', '-']).starts_with(&format!("{key}:")));
        assert!(named || condition_key, "config/barometer.yaml does not name `{path}`");
    }
}

/// Every key the reader asks for in a file, as paths.
pub(crate) fn known_keys(text: &str) -> Vec<String> {
    let mut log = Log::new("barometer.yaml");
    read_layers(&mut log, text, &Overrides::default(), &surroundings(&[]));
    log.known_keys()
}

/// The shipped file with its examples in force.
pub(crate) fn uncomment_examples(text: &str) -> String {
    let examples =
        ["changelog: ", "instance: barometer-0", "workers: 4", "publish_from: ", "scorecards:"];
    let mut in_scorecards = false;
    let lines = text.lines().map(|line| {
        let bare = line.trim_start().trim_start_matches("# ");
        in_scorecards |= bare == "scorecards:";
        if in_scorecards || examples.iter().any(|example| bare.starts_with(example)) {
            line.replacen("# ", "", 1)
        } else {
            line.to_string()
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_examples_in_the_shipped_file_hold() {
    let config = load(&uncomment_examples(SHIPPED), &[], &Overrides::default());
    assert_eq!(config.kafka.instance, "barometer-0");
    assert_eq!(config.engine.workers, 4);
    let start = EventTime::parse_rfc3339("2026-03-01T00:00:00Z").expect("it is one");
    assert_eq!(config.engine.publish_from, Some(start));
    let [gold, rest] = &config.scorecards[..] else { panic!("two scorecards") };
    assert!(matches!(gold.when, Some(Condition::Profile(_))));
    let path = PathBuf::from("/etc/barometer/scorecards/saas-default.yaml");
    assert_eq!(*rest, ScorecardChoice { file: ScorecardFile::Path(path), when: None });
}

#[test]
fn flags_win_over_variables_over_the_file_over_defaults() {
    let text = "kafka: { group_id: file, instance: file, bootstrap_servers: file }\n";
    let variables =
        [("BAROMETER__KAFKA__INSTANCE", "variable"), ("BAROMETER__KAFKA__GROUP_ID", "variable")];
    let overrides = Overrides { group_id: Some("flag".to_string()), ..Overrides::default() };
    let kafka = load(text, &variables, &overrides).kafka;
    assert_eq!(
        [&*kafka.group_id, &*kafka.instance, &*kafka.bootstrap_servers, &*kafka.topics.usage],
        ["flag", "variable", "file", "product-usage"]
    );
}

#[test]
fn variables_reach_every_depth_properties_and_lists() {
    let variables = [
        ("BAROMETER__SHUTDOWN_TIMEOUT", "5s"),
        ("BAROMETER__KAFKA__TOPICS__DEAD_LETTERS", "bin"),
        ("BAROMETER__KAFKA__PROPERTIES__SASL_PASSWORD", "[hunter2"),
        ("BAROMETER__KAFKA__CONSUMER__PROPERTIES__FETCH_MIN_BYTES", "7"),
        ("BAROMETER__SCORECARDS", "[{ file: one.yaml }]"),
        ("BAROMETER_UNRELATED", "1"),
    ];
    let config = load("kafka:\n  properties:\n", &variables, &Overrides::default());
    assert_eq!(config.shutdown_timeout, Span::SECOND * 5);
    assert_eq!(config.kafka.topics.output(crate::broker::OutputTopic::DeadLetters), "bin");
    assert_eq!(config.kafka.properties.value("sasl.password"), Some("[hunter2"));
    assert_eq!(config.kafka.consumer_properties.value("fetch.min.bytes"), Some("7"));
    assert_eq!(config.scorecards[0].file, ScorecardFile::Path(PathBuf::from("one.yaml")));
}

#[test]
fn flags_and_variables_are_told_by_their_names() {
    let overrides = Overrides {
        workers: Some("many".to_string()),
        listen: Some("localhost".to_string()),
        scorecard: Some(String::new()),
        ..Overrides::default()
    };
    let variables = [
        ("BAROMETER__KAFKA__GROUPID", "x"),
        ("BAROMETER__ENGIN__WORKERS", "x"),
        ("BAROMETER__KAFKA__GROUP_ID__X", "x"),
        ("BAROMETER__LOG__LEVEL", "loud"),
        ("BAROMETER__KAFKA__PROPERTIES__GROUP_ID", "x"),
    ];
    assert_eq!(told_with("", &variables, &overrides), "\
environment variable `BAROMETER__ENGIN__WORKERS`: engin is not a known key; did you mean `engine`?
environment variable `BAROMETER__KAFKA__GROUPID`: kafka.groupid is not a known key; did you mean `group_id`?
environment variable `BAROMETER__KAFKA__GROUP_ID__X`: kafka.group_id is a mapping, expected 1 to 249 letters, digits, `.`, `_` and `-`
environment variable `BAROMETER__KAFKA__PROPERTIES__GROUP_ID`: kafka.properties.group.id belongs to the engine: use `kafka.group_id`
environment variable `BAROMETER__LOG__LEVEL`: log.level is `loud`, expected `error`, `warn`, `info`, `debug` or `trace`
flag `--workers`: engine.workers is `many`, expected a whole number, 1 to 256
flag `--listen`: http.listen is `localhost`, expected an IP address and port such as `127.0.0.1:9650` or `0.0.0.0:9650`
flag `--scorecard`: scorecards[0].file is empty, expected text");
}

#[test]
fn values_are_filled_in_from_variables_and_files() {
    let text = "
kafka:
  bootstrap_servers: ${HOST}:${PORT:-9092},b:1
  group_id: ${EMPTY:-fallback}
  properties:
    sasl.password: ${file:secrets/password}
    sasl.username: 'a$${b}'
engine: { workers: '${WORKERS}' }
";
    let variables = [("HOST", "kafka-1"), ("EMPTY", ""), ("WORKERS", "3")];
    let config = load(text, &variables, &Overrides::default());
    assert_eq!(config.kafka.bootstrap_servers, "kafka-1:9092,b:1");
    assert_eq!(config.kafka.group_id, "fallback");
    assert_eq!(config.kafka.properties.value("sasl.password"), Some("hunter2"));
    assert_eq!(config.kafka.properties.value("sasl.username"), Some("a${b}"));
    assert_eq!(config.engine.workers, 3);
}

#[test]
fn secrets_are_never_printed() {
    let text = "
kafka:
  properties:
    security.protocol: SASL_SSL
    sasl.mechanism: SCRAM-SHA-512
    sasl.password: hunter2
    ssl.key.pem: hunter2
    sasl.jaas.config: hunter2
    sasl.oauthbearer.client.secret: hunter2
    ssl.key.password: [hunter2]
    sasl.username: me
  consumer: { properties: { a.token.of.mine: hunter2 } }
";
    let config = load(&text.replace("[hunter2]", "hunter2"), &[], &Overrides::default());
    for shown in [format!("{config:?}"), format!("{config:#?}"), config.to_string()] {
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("(hidden)") && shown.contains("me"), "{shown}");
    }
    assert_eq!(config.kafka.properties.to_string().matches("(hidden)").count(), 5);
    // Nor in a message about them, wherever they came from.
    let variables = [("PASSWORD", "hunter2"), ("BAROMETER__KAFKA__TOKEN", "hunter2")];
    let told = told_with(
        "http: { listen: '${PASSWORD}' }\nkafka: { properties: { ssl.key.password: [hunter2] } }\nlog: { password: hunter2 }\n",
        &variables,
        &Overrides::default(),
    );
    assert!(!told.contains("hunter2"), "{told}");
    assert!(told.contains("http.listen is `${PASSWORD}`, expected an IP address"), "{told}");
}

#[test]
fn an_instance_without_a_name_is_never_given_one() {
    let nameless = Surroundings { host_name: None, ..surroundings(&[]) };
    let told = Config::parse("barometer.yaml", "", &Overrides::default(), &nameless);
    assert_eq!(
        lines(&told.expect_err("nobody knows its name")),
        "barometer.yaml:1: kafka.instance is missing"
    );
}

#[test]
fn selection_ends_with_a_card_for_everyone() {
    let text = "scorecards: [{ file: a.yaml, when: { profile: tier, is: gold } }]\n";
    let config = load(text, &[], &Overrides::default());
    assert_eq!(config.scorecards.len(), 2);
    assert_eq!(config.scorecards[1], ScorecardChoice { file: ScorecardFile::Embedded, when: None });
    let flag = Overrides { scorecard: Some("mine.yaml".to_string()), ..Overrides::default() };
    let config = load(text, &[], &flag);
    let mine = ScorecardFile::Path(PathBuf::from("mine.yaml"));
    assert_eq!(config.scorecards, [ScorecardChoice { file: mine, when: None }]);
}

#[test]
fn a_file_that_cannot_be_read_is_told() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let path = directory.path().join("absent.yaml");
    let problems = Config::load(Some(&path), &Overrides::default()).expect_err("it is not there");
    assert!(problems[0].to_string().contains("absent.yaml: the file cannot be read: "));
    std::fs::write(&path, "log: { level: debug }\n").expect("the directory can be written");
    let overrides = Overrides { instance: Some("x".to_string()), ..Overrides::default() };
    let config = Config::load(Some(&path), &overrides).expect("it is there now").config;
    assert_eq!(config.log.level, LogLevel::Debug);
}
