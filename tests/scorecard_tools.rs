//! The commands for authors of scorecards, as they are called: exit codes and what is printed.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rdkafka::mocking::MockCluster;
use tempfile::TempDir;

const CARD: &str = "\
scorecard: small
dimensions:
  - id: use
    measures:
      - { id: users, measure: usage.active_users, window: 7d, curve: { linear: { from: 0, to: 10 } } }
bands:
  - { name: red, up_to: 50 }
  - { name: green, up_to: 100 }
tests:
  - name: four users are red
    given:
      - { at: 0d, usage: { users: 4 } }
    expect:
      - { at: 1d, score: 40, band: red }
";

#[test]
fn test_says_by_its_exit_code_whether_the_cases_hold() {
    let directory = with_files(&[
        ("good.yaml", CARD),
        ("failing.yaml", &CARD.replace("score: 40", "score: 41")),
        ("wrong.yaml", &CARD.replace("at: 1d", "att: 1d")),
    ]);
    let run = |files: &[&str]| barometer(directory.path(), &[&["test"], files].concat());

    let good = run(&["good.yaml"]);
    assert_eq!(good.status.code(), Some(0));
    assert_eq!(out(&good), "good.yaml: 1 of 1 cases hold\n");

    let failing = run(&["good.yaml", "failing.yaml"]);
    assert_eq!(failing.status.code(), Some(1));
    assert_eq!(
        out(&failing),
        "good.yaml: 1 of 1 cases hold
FAILED failing.yaml:10: four users are red
  at 1d (2026-01-02T00:00:00Z), line 14:
    score  expected 41 (± 0.01), found 40
failing.yaml: 0 of 1 cases hold
"
    );
    assert_eq!(err(&failing), "1 of 2 cases failed\n");

    // The others run all the same, but the mistakes decide.
    let wrong = run(&["wrong.yaml", "failing.yaml"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(out(&wrong).contains("FAILED failing.yaml:10"), "{}", out(&wrong));
    assert_eq!(
        err(&wrong),
        "wrong.yaml:14: tests[0].expect[0].at is missing
wrong.yaml:14: tests[0].expect[0].att is not a known key; did you mean `at`?
"
    );
    let nowhere = run(&["nowhere.yaml"]);
    assert_eq!(nowhere.status.code(), Some(2));
    assert_eq!(
        err(&nowhere),
        "nowhere.yaml: the file cannot be read: No such file or directory (os error 2)\n"
    );
}

#[test]
fn test_writes_json_and_junit_for_machines() {
    let failing = CARD.replace("score: 40", "score: 41");
    let directory = with_files(&[("good.yaml", CARD), ("failing.yaml", &failing)]);
    let run = barometer(
        directory.path(),
        &["test", "good.yaml", "failing.yaml", "--output", "json", "--junit", "out.xml"],
    );
    assert_eq!(run.status.code(), Some(1));
    assert_eq!(
        out(&run),
        r#"{"file":"good.yaml","holds":true,"case":"four users are red","line":10,"misses":[]}
{"file":"failing.yaml","holds":false,"case":"four users are red","line":10,"misses":[{"line":14,"at":"1d","instant":"2026-01-02T00:00:00Z","what":"score","expected":"41 (± 0.01)","found":"40"}]}
"#
    );
    let xml = fs::read_to_string(directory.path().join("out.xml")).unwrap();
    assert!(xml.contains("<testsuite name=\"failing.yaml\" tests=\"1\" failures=\"1\""), "{xml}");
}

#[test]
fn a_file_of_tests_finds_its_scorecard_from_where_it_stands() {
    let tests =
        "scorecard_file: ../card.yaml\ntests:\n  - { name: n, expect: [{ at: 0d, score: 1 }] }\n";
    let directory = with_files(&[("card.yaml", CARD), ("tests/small.yaml", tests)]);
    let run = barometer(directory.path(), &["test", "tests/small.yaml"]);
    assert_eq!(run.status.code(), Some(1));
    assert!(out(&run).contains("expected 1 (± 0.01), found missing"), "{}", out(&run));
}

#[test]
fn init_writes_what_test_and_replay_take() {
    let directory = with_files(&[]);
    let run = |args: &[&str]| barometer(directory.path(), args);
    let init = run(&["init", "--preset", "ten-metrics"]);
    assert_eq!(init.status.code(), Some(0), "{}", err(&init));
    assert_eq!(run(&["test", "ten-metrics.yaml"]).status.code(), Some(0));
    let again = run(&["init"]);
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(
        err(&again),
        "barometer.yaml: is there already and is not overwritten; move it away, or use another \
         directory\n"
    );
    assert_eq!(run(&["init", "--preset", "tenmetrics"]).status.code(), Some(2));
}

#[test]
fn check_tells_everything_at_once_and_lets_warnings_pass() {
    let doubtful = CARD.replace("id: use\n", "id: use\n    weight: 90\n");
    let wrong =
        CARD.replace("usage.active_users", "usage.active_user").replace("at: 1d", "att: 1d");
    let settings = "kafka: { group_i: x }\nscorecards:\n  - file: wrong.yaml\n";
    let good_settings = "scorecards:\n  - file: good.yaml\n";
    let directory = with_files(&[
        ("good.yaml", CARD),
        ("doubtful.yaml", &doubtful),
        ("wrong.yaml", &wrong),
        ("wrong-settings.yaml", settings),
        ("settings.yaml", good_settings),
    ]);
    let run = |args: &[&str]| barometer(directory.path(), &[&["check"], args].concat());

    let good = run(&["good.yaml", "doubtful.yaml", "--config", "settings.yaml"]);
    assert_eq!(good.status.code(), Some(0), "{}", err(&good));
    assert_eq!(
        out(&good),
        "good.yaml: good (1 measures, 1 cases)
doubtful.yaml: usable, 1 warning (1 measures, 1 cases)
settings.yaml: good (1 scorecards)
"
    );
    assert!(err(&good).contains("doubtful.yaml:2: warning: "), "{}", err(&good));

    let wrong = run(&["wrong.yaml", "--config", "wrong-settings.yaml"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert_eq!(
        err(&wrong),
        "wrong.yaml:5: dimensions[0].measures[0].measure is `usage.active_user`, expected one like \
         `usage.active_users`
wrong.yaml:14: tests[0].expect[0].at is missing
wrong.yaml:14: tests[0].expect[0].att is not a known key; did you mean `at`?
wrong-settings.yaml:1: kafka.group_i is not a known key; did you mean `group_id`?
4 errors
"
    );
    let nothing = run(&[]);
    assert_eq!(nothing.status.code(), Some(2));
    assert_eq!(
        err(&nothing),
        "nothing to check: name scorecards, or the settings with `--config FILE`\n"
    );
}

#[test]
fn check_asks_the_brokers_for_the_topics_when_told_to() {
    let cluster = MockCluster::new(1).expect("a mock broker needs nothing but a free port");
    let servers = cluster.bootstrap_servers();
    let settings = format!("kafka: {{ bootstrap_servers: '{servers}' }}\n");
    let directory = with_files(&[("settings.yaml", &settings)]);
    let run = || barometer(directory.path(), &["check", "--config", "settings.yaml", "--connect"]);

    let missing = run();
    assert_eq!(missing.status.code(), Some(2), "{}", err(&missing));
    assert!(err(&missing).contains("topic `surveys` does not exist"), "{}", err(&missing));
    assert!(err(&missing).ends_with("8 errors\n"), "{}", err(&missing));

    let topics = [
        "product-usage",
        "support-tickets",
        "payments",
        "surveys",
        "account-health-events",
        "account-health-scores",
        "barometer-dead-letters",
        "barometer-changelog",
    ];
    for topic in topics {
        cluster.create_topic(topic, 2, 1).expect("the mock makes any topic");
    }
    let there = run();
    assert_eq!(there.status.code(), Some(0), "{}", err(&there));
    let told = format!("{servers}: 4 input topics with 2 partitions each\n");
    assert!(out(&there).ends_with(&told), "{}", out(&there));
}

#[test]
fn explain_tells_one_account_and_knows_the_nearest_name() {
    let events = "\
{\"source\":\"usage\",\"event_id\":\"1\",\"account_id\":\"acme\",\"occurred_at\":\"2026-01-01T00:00:00Z\",\"user_id\":\"ann\",\"feature\":\"a\"}
{\"source\":\"usage\",\"event_id\":\"2\",\"account_id\":\"acme\",\"occurred_at\":\"2026-01-02T00:00:00Z\",\"user_id\":\"bob\",\"feature\":\"a\"}
";
    let directory = with_files(&[("card.yaml", CARD), ("events.ndjson", events)]);
    let run = |args: &[&str]| {
        let input = ["--input", "events.ndjson", "--scorecard", "card.yaml"];
        barometer(directory.path(), &[&["explain"], args, &input].concat())
    };
    let told = run(&["acme", "--since", "2026-01-01T12:00:00Z"]);
    assert_eq!(told.status.code(), Some(0), "{}", err(&told));
    let told = out(&told);
    assert!(told.starts_with("acme: score 20.0, band red since 2026-01-01T00:00:00Z"), "{told}");
    assert!(told.contains("score 10.0 to 20.0 (+10.0 points)"), "{told}");
    assert!(told.contains("  users from 2 to 6 (score 60.0)"), "{told}");
    let json = run(&["acme", "--at", "2026-01-01T12:00:00Z", "--output", "json"]);
    assert!(out(&json).contains("\"as_of\":\"2026-01-01T12:00:00Z\""), "{}", out(&json));
    let unknown = run(&["acem"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert_eq!(
        err(&unknown),
        "no record up to 2026-01-02T00:00:00Z names account `acem`; did you mean `acme`?\n"
    );
    let backwards = run(&["acme", "--since", "2026-02-01T00:00:00Z"]);
    assert_eq!(backwards.status.code(), Some(2));
}

#[test]
fn explain_of_an_empty_history_says_so() {
    let directory = with_files(&[("empty.ndjson", ""), ("odd.ndjson", "what\n")]);
    for (file, why) in [
        ("empty.ndjson", "it is empty"),
        ("odd.ndjson", "1 lines could not be used, `barometer replay` says why"),
    ] {
        let told = barometer(directory.path(), &["explain", "acme", "--input", file]);
        assert_eq!(told.status.code(), Some(1));
        assert_eq!(err(&told), format!("the input holds no record: {why}\n"));
    }
}

#[test]
fn replay_counts_band_changes_and_alerts_apart() {
    let event = "{\"source\":\"usage\",\"event_id\":\"1\",\"account_id\":\"acme\",\
                 \"occurred_at\":\"2026-01-01T00:00:00Z\",\"feature\":\"a\"}\n";
    let card = CARD.replace(
        "tests:",
        "alerts: [{ id: quiet, silence: { for: { warning: 7d, critical: 9d } } }]\ntests:",
    );
    let directory = with_files(&[("card.yaml", &card), ("events.ndjson", event)]);
    let args = ["replay", "--scorecard", "card.yaml", "--input", "events.ndjson"];
    let told =
        barometer(directory.path(), &[&args[..], &["--as-of", "2026-01-20T00:00:00Z"]].concat());
    let expected =
        "1 records, 1 accounts, 1 band changes, 1 alerts; 0 lines and 0 records could not be used";
    assert_eq!(err(&told).trim_end(), expected, "{}", out(&told));
}

#[test]
fn a_reader_who_has_seen_enough_is_no_panic() {
    let mut schema = Command::new(env!("CARGO_BIN_EXE_barometer"))
        .args(["schema", "scorecard"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The schema is longer than a pipe holds.
    drop(schema.stdout.take());
    let told = schema.wait_with_output().unwrap();
    assert_eq!(err(&told), "");
    assert_ne!(told.status.code(), Some(101));
}

fn with_files(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

fn barometer(directory: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_barometer"))
        .args(args)
        .current_dir(directory)
        .output()
        .expect("the binary was built for this test")
}

fn out(run: &Output) -> String {
    String::from_utf8(run.stdout.clone()).expect("what is printed is UTF-8")
}

fn err(run: &Output) -> String {
    String::from_utf8(run.stderr.clone()).expect("what is printed is UTF-8")
}
