//! The commands for authors of scorecards, as they are called: exit codes and what is printed.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

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
