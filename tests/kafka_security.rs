//! A broker that lets in only whom it knows, over TLS, and lets them do only what they may.
//!
//! It is a broker of this file's own (see `tests/kafka/secure.sh`): one listener allows everything,
//! for setting up, and the other one is what the service gets to see.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use support::service::{INPUTS, OUTPUTS, Setup, default_scorecard, now_millis};
use support::{InputRecord, Kafka, PATIENCE};

const ACLS: &str = "org.apache.kafka.tools.AclCommand";
const README: &str = include_str!("../README.md");

/// The broker that all tests of this file share.
struct SecureKafka {
    /// Where everything is allowed.
    bootstrap: String,
    /// Where TLS and a password are asked for.
    secure_bootstrap: String,
    ca: PathBuf,
}

fn secure_kafka() -> &'static SecureKafka {
    static KAFKA: OnceLock<SecureKafka> = OnceLock::new();
    KAFKA.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/broker.sh");
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kafka-security");
        // What a run left behind that was killed.
        let stopped = Command::new(&script).arg("stop").arg(&home).status();
        assert!(stopped.expect("bash can be run").success());
        let _ = fs::remove_dir_all(&home);
        let started = Command::new(&script)
            .args(["start", "--secure", "--while", &std::process::id().to_string()])
            .arg(&home)
            .output()
            .expect("bash can be run");
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        let read = |file: &str| {
            fs::read_to_string(home.join(file))
                .expect("a broker that runs has it")
                .trim()
                .to_owned()
        };
        SecureKafka {
            bootstrap: read("bootstrap"),
            secure_bootstrap: read("secure-bootstrap"),
            ca: home.join("certificates/ca.pem"),
        }
    })
}

/// Names of a test's own, and settings by which `user` is let in with SCRAM.
fn setup(test: &str, user: &str) -> (Kafka, Setup) {
    let secure = secure_kafka();
    let kafka = Kafka::at(&secure.bootstrap, test);
    let mut setup = Setup::new(&kafka);
    setup.settings["kafka"]["bootstrap_servers"] = json!(secure.secure_bootstrap);
    setup.file("password", &format!("{user}-password\n"));
    setup.settings["kafka"]["properties"] = json!({
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": user,
        "sasl.password": "${file:password}",
        "ssl.ca.location": secure.ca,
    });
    (kafka, setup)
}

/// Makes the topics by the listener that allows it.
fn create_topics(kafka: &Kafka, setup: &mut Setup, partitions: u32) {
    let properties = setup.settings["kafka"]["properties"].take();
    setup.settings["kafka"]["bootstrap_servers"] = json!(kafka.bootstrap());
    setup.create_topics(partitions);
    setup.settings["kafka"]["properties"] = properties;
    setup.settings["kafka"]["bootstrap_servers"] = json!(secure_kafka().secure_bootstrap);
}

/// Runs the commands by which the README gives the service its rights, with this test's names and user.
fn grant_as_the_readme_says(kafka: &Kafka, setup: &Setup, user: &str) {
    let (_, after) = README.split_once("run by tests/kafka_security.rs").expect("the mark");
    let block = after.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next());
    let block = block.expect("commands follow the mark").replace("\\\n", " ");
    let name = |word: &str| match word {
        "User:barometer" => format!("User:{user}"),
        "product-usage" => setup.topic("usage").to_owned(),
        "support-tickets" => setup.topic("tickets").to_owned(),
        "payments" | "surveys" | "accounts" => setup.topic(word).to_owned(),
        "account-health-events" => setup.topic("events").to_owned(),
        "account-health-scores" => setup.topic("scores").to_owned(),
        "barometer-dead-letters" => setup.topic("dead_letters").to_owned(),
        "barometer-changelog" => setup.topic("changelog").to_owned(),
        "barometer" => setup.group().to_owned(),
        "barometer-" => format!("{}-", setup.group()),
        word => word.to_owned(),
    };
    let mut commands = 0;
    for command in block.lines() {
        let words: Vec<String> = command.split_whitespace().map(name).collect();
        let [tool, bootstrap, _, arguments @ ..] = &words[..] else { panic!("{command}") };
        assert_eq!((tool.as_str(), bootstrap.as_str()), ("kafka-acls.sh", "--bootstrap-server"));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        kafka.tool(ACLS, &arguments, "");
        commands += 1;
    }
    assert!(commands >= 5, "{block}");
}

/// A use of the product, and an invoice long overdue, which makes an account red.
fn produce_a_story(kafka: &Kafka, setup: &Setup, account: &str) {
    const DAY_MS: i64 = 86_400_000;
    let now = now_millis();
    let usage = json!({
        "event_id": format!("{account}-u"), "account_id": account, "occurred_at": now,
        "user_id": "kim", "feature": "reports",
    });
    let invoice = json!({
        "event_id": format!("{account}-p"), "account_id": account, "occurred_at": now - 80 * DAY_MS,
        "invoice_id": "I-1", "status": "issued", "amount_minor": 120_000, "currency": "EUR",
        "due_at": now - 65 * DAY_MS,
    });
    let send = |topic: &str, value: &Value| {
        let record = InputRecord::new(account, &value.to_string(), now);
        kafka.produce(setup.topic(topic), &[record]);
    };
    send("usage", &usage);
    send("payments", &invoice);
}

/// What the service says of each right that is missing: resource, and right.
fn missing_rights(log: &[String]) -> BTreeSet<(String, String)> {
    let one = |line: &String| {
        let (resource, rest) = line.split_once(" lacks the right ")?;
        let (resource, _) = resource.rsplit_once(": ")?;
        let (right, command) = rest.split_once("; grant it with ")?;
        assert!(command.contains(&format!("--operation {right} ")), "{line}");
        Some((resource.to_owned(), right.to_owned()))
    };
    log.iter().filter_map(one).collect()
}

/// Every right that the service needs, in the words of its messages.
fn needed_rights(setup: &Setup) -> BTreeSet<(String, String)> {
    let topic =
        |key: &str, right: &str| (format!("topic `{}`", setup.topic(key)), right.to_owned());
    let mut rights: BTreeSet<_> = INPUTS.iter().map(|input| topic(input, "READ")).collect();
    rights.extend(OUTPUTS.iter().map(|output| topic(output, "WRITE")));
    rights.insert(topic("changelog", "READ"));
    rights.insert((format!("consumer group `{}`", setup.group()), "READ".to_owned()));
    rights.insert((format!("transactional id `{}-one-0`", setup.group()), "WRITE".to_owned()));
    rights
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn the_rights_in_the_readme_are_enough_and_state_comes_back_with_them() {
    let (kafka, mut setup) = setup("enough", "barometer");
    setup.scorecard(&default_scorecard());
    create_topics(&kafka, &mut setup, 2);
    grant_as_the_readme_says(&kafka, &setup, "barometer");
    produce_a_story(&kafka, &setup, "acme");
    let inputs = INPUTS.map(|input| setup.topic(input).to_owned());
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let events_topic = setup.topic("events").to_owned();
    let is_red = |account: &str| {
        let events = kafka.read_committed(&events_topic);
        let of_account = events.iter().filter(|record| record.key_text() == account);
        of_account.filter(|record| record.json()["to"] == json!("red")).count()
    };

    // One kind of password after the other; each start reads back what the one before has written.
    for (round, mechanism) in ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"].iter().enumerate() {
        setup.settings["kafka"]["properties"]["sasl.mechanism"] = json!(mechanism);
        let account = format!("account-{round}");
        let service = setup.run(&["--workers", "2"]);
        service.wait_until_ready();
        produce_a_story(&kafka, &setup, &account);
        kafka.wait_until_committed(setup.group(), &inputs);
        let (status, _) = service.get("/accounts/acme");
        assert_eq!(status, 200, "{mechanism}: the state of an earlier account is there");
        let log = service.stop("TERM");
        let denied = |line: &&String| line.to_lowercase().contains("authoriz");
        assert_eq!(log.iter().find(denied), None, "{mechanism}");
        assert_eq!((is_red("acme"), is_red(&account)), (1, 1), "{mechanism}: said once each");
    }

    // Reading state back commits nothing of its own accord: the library does so unless told not to.
    let of_changelog = kafka.committed(setup.group(), setup.topic("changelog"));
    assert!(of_changelog.iter().all(|(_, offset, _)| offset.is_none()), "{of_changelog:?}");

    let checked = setup.command(&["check", "--connect"]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));

    // At least once needs no transactional id, and nothing else.
    setup.settings["kafka"]["delivery"] = json!("at_least_once");
    let service = setup.run(&[]);
    service.wait_until_ready();
    produce_a_story(&kafka, &setup, "later");
    kafka.wait_until_committed(setup.group(), &inputs);
    service.stop("TERM");
    assert_eq!(is_red("later"), 1);
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn whoever_may_do_nothing_is_told_every_right_that_is_missing_at_once() {
    let (kafka, mut setup) = setup("nothing", "newcomer");
    create_topics(&kafka, &mut setup, 1);
    let (status, log) = setup.run(&[]).wait();
    assert_eq!(status.code(), Some(2), "{log:#?}");
    assert_eq!(missing_rights(&log), needed_rights(&setup), "{log:#?}");
    // A topic that one may not see is not taken for one that is missing.
    assert!(!log.iter().any(|line| line.contains("does not exist")), "{log:#?}");

    // `check --connect` says the same, but registers no producer.
    let checked = setup.command(&["check", "--connect"]);
    assert_eq!(checked.status.code(), Some(2));
    let told: Vec<String> =
        String::from_utf8_lossy(&checked.stderr).lines().map(str::to_owned).collect();
    let mut needed = needed_rights(&setup);
    needed.retain(|(resource, _)| !resource.starts_with("transactional id"));
    assert_eq!(missing_rights(&told), needed, "{told:#?}");

    let listed = setup.command(&["topics", "list"]);
    assert_eq!(listed.status.code(), Some(1));
    let told = String::from_utf8_lossy(&listed.stderr).into_owned();
    for topic in INPUTS.iter().chain(&OUTPUTS) {
        let line =
            format!("topic `{}`: User:newcomer lacks the right DESCRIBE", setup.topic(topic));
        assert!(told.contains(&line), "`{line}` is not in:\n{told}");
    }
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn seeing_is_not_reading_and_writing() {
    let (kafka, mut setup) = setup("seeing", "onlooker");
    create_topics(&kafka, &mut setup, 1);
    let prefix = setup.topic("usage").trim_end_matches("usage");
    let arguments = ["--add", "--allow-principal", "User:onlooker", "--operation", "Describe"];
    let resources = ["--topic", prefix, "--group", prefix, "--transactional-id", prefix];
    let prefixed = ["--resource-pattern-type", "prefixed"];
    kafka.tool(ACLS, &[&arguments[..], &resources, &prefixed].concat(), "");
    let (status, log) = setup.run(&[]).wait();
    assert_eq!(status.code(), Some(2), "{log:#?}");
    assert_eq!(missing_rights(&log), needed_rights(&setup), "{log:#?}");
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn topics_that_may_not_be_made_are_all_named() {
    let (_, setup) = setup("making", "newcomer");
    let made = setup.command(&["topics", "create", "--partitions", "1"]);
    assert_eq!(made.status.code(), Some(1));
    let told: Vec<String> =
        String::from_utf8_lossy(&made.stderr).lines().map(str::to_owned).collect();
    let every = INPUTS.iter().chain(&OUTPUTS);
    let needed = every.map(|key| (format!("topic `{}`", setup.topic(key)), "CREATE".to_owned()));
    assert_eq!(missing_rights(&told), needed.collect(), "{told:#?}");
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn a_right_that_is_taken_away_while_running_is_named_when_it_is_missed() {
    for (key, operation, flag) in
        [("usage", "Read", "--topic"), ("events", "Write", "--topic"), ("group", "Read", "--group")]
    {
        let (kafka, mut setup) = setup(&format!("taken-{key}"), "operator");
        create_topics(&kafka, &mut setup, 1);
        grant_as_the_readme_says(&kafka, &setup, "operator");
        let mut service = setup.run(&[]);
        service.wait_until_ready();
        let name = if key == "group" { setup.group() } else { setup.topic(key) };
        let remove = ["--remove", "--force", "--allow-principal", "User:operator"];
        let right = ["--operation", operation, flag, name];
        kafka.tool(ACLS, &[&remove[..], &right].concat(), "");
        // Brokers hear of it a moment later, and what was published until then was allowed.
        let told = Instant::now();
        for number in 0.. {
            produce_a_story(&kafka, &setup, &format!("account-{number}"));
            thread::sleep(Duration::from_millis(200));
            if service.said("worker stops") > 0 {
                break;
            }
            assert!(told.elapsed() < PATIENCE, "{key}: {:#?}", service.log());
        }
        let (status, log) = service.wait();
        assert_eq!(status.code(), Some(1), "{key}: {log:#?}");
        let last = log.last().expect("it says why");
        let upper = operation.to_uppercase();
        assert!(last.contains(name) && last.contains(&upper), "`{name}`, {upper}: {last}");
    }
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn a_wrong_password_stops_the_start_and_is_told_without_it() {
    let (_, mut setup) = setup("password", "barometer");
    for mechanism in ["SCRAM-SHA-256", "PLAIN"] {
        setup.settings["kafka"]["properties"]["sasl.mechanism"] = json!(mechanism);
        setup.settings["kafka"]["properties"]["sasl.password"] = json!("open-sesame-77");
        let (status, log) = setup.run(&[]).wait();
        assert_eq!(status.code(), Some(1), "{log:#?}");
        let last = log.last().expect("it says why").to_lowercase();
        assert!(last.contains("authentication"), "{last}");
        assert!(!log.iter().any(|line| line.contains("open-sesame-77")), "{log:#?}");
    }
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn a_broker_that_nobody_vouches_for_is_not_spoken_to() {
    let (_, mut setup) = setup("stranger", "barometer");
    // An authority that has signed nothing: the system's own know this broker as little.
    setup.settings["kafka"]["properties"].as_object_mut().unwrap().remove("ssl.ca.location");
    let (status, log) = setup.run(&[]).wait();
    assert_eq!(status.code(), Some(1), "{log:#?}");
    let last = log.last().expect("it says why");
    assert!(
        last.contains("certificate verify failed") && last.contains("ssl.ca.location"),
        "{last}"
    );
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn no_log_line_shows_a_secret_however_much_is_logged() {
    let (kafka, mut setup) = setup("secret", "barometer");
    create_topics(&kafka, &mut setup, 1);
    grant_as_the_readme_says(&kafka, &setup, "barometer");
    setup.settings["kafka"]["properties"]["debug"] = json!("all");
    setup.settings["log"] = json!({ "level": "trace" });
    for mechanism in ["SCRAM-SHA-512", "PLAIN"] {
        setup.settings["kafka"]["properties"]["sasl.mechanism"] = json!(mechanism);
        let service = setup.run(&[]);
        service.wait_until_ready();
        let log = service.stop("TERM");
        let about_security = log.iter().filter(|line| line.contains("SASL")).count();
        assert!(about_security > 0, "the library says nothing: the test shows nothing");
        let shown = log.iter().find(|line| line.contains("barometer-password"));
        assert_eq!(shown, None, "{mechanism}");
    }
}
