//! Reading and running cases: the words of every mistake, the words of every miss.

use std::path::Path;

use super::*;

/// A small card, and where its tests go.
const CARD: &str = "\
scorecard: small
dimensions:
  - id: use
    measures:
      - { id: users, measure: usage.active_users, window: 7d, curve: { linear: { from: 0, to: 10 } } }
gates:
  - { id: alone, cap: 40, when: { measure: users, at_most: 5 }, reason: few users }
bands:
  - { name: red, up_to: 50 }
  - { name: green, up_to: 100 }
alerts:
  - { id: quiet, silence: { for: 2d } }
tests:
";
/// The line before the first of the tests.
const CARD_LINES: u32 = 13;

fn read(tests: &str) -> Result<TestFile, String> {
    read_text("card.yaml", &format!("{CARD}{tests}"), Path::new(""))
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

fn outcome(tests: &str) -> Outcome {
    let file = read(tests).unwrap();
    run(&file.card, &file.cases[0])
}

/// One case with this entry and this expectation, and all that is told about it.
fn told(given: &str, expect: &str) -> String {
    read(&format!("- {{ name: n, given: [{given}], expect: [{expect}] }}\n")).unwrap_err()
}

#[test]
fn the_start_of_a_case_is_the_start_of_a_pane_of_every_default_length() {
    assert_eq!(START.to_string(), "2026-01-01T00:00:00Z");
    assert_eq!(START.as_millis() % (7 * 86_400_000), 0);
}

#[test]
#[rustfmt::skip]
fn every_mistake_in_an_event_is_told_at_its_line() {
    let table = [
        ("{ usage: {} }",
         "tests[0].given[0].at is missing"),
        ("{ at: 1d }",
         "tests[0].given[0] needs `usage`, `ticket`, `payment`, `survey` or `profile`"),
        ("{ at: 1d, usge: {} }",
         "tests[0].given[0] needs `usage`, `ticket`, `payment`, `survey` or `profile`\n\
          tests[0].given[0].usge is not a known key; did you mean `usage`?"),
        ("{ at: soon, usage: {} }",
         "tests[0].given[0].at is `soon`, expected a duration such as `28d`, `6h`, `90s` or `250ms`"),
        ("{ at: 1d, repeat: { every: 0d, times: 0 }, usage: {} }",
         "tests[0].given[0].repeat.every is `0d`, expected more than no time\n\
          tests[0].given[0].repeat.times is 0, expected a whole number, 1 to 100000"),
        ("{ at: 1d, repeat: { every: 36500d, times: 90 }, usage: {} }",
         "tests[0].given[0].repeat goes on beyond the year 9999"),
        ("{ at: 1d, repeat: { every: 1h, times: 2000 }, usage: { users: 1000 } }",
         "tests[0].given makes 2000000 events, expected at most 1000000"),
        ("{ at: 1d, usage: { users: many } }",
         "tests[0].given[0].usage.users is `many`, expected how many, or a list of their ids"),
        ("{ at: 1d, usage: { users: 2, user_id: ann, feature: a, features: [b] } }",
         "tests[0].given[0].usage.user_id is given, but `users` says who they are\n\
          tests[0].given[0].usage.feature is given, but `features` already lists them"),
        ("{ at: 1d, usage: { quantity: -1 } }",
         "tests[0].given[0].usage.quantity is -1, expected 0 or more"),
        ("{ at: 1d, ticket: { priority: hgh } }",
         "tests[0].given[0].ticket.status is missing"),
        ("{ at: 1d, ticket: { status: opend } }",
         "tests[0].given[0].ticket.status is \"opend\", expected `opened`, `pending`, `escalated`, \
          `resolved`, `reopened` or `closed`; nearest is `opened`"),
        ("{ at: 1d, payment: { status: issued, amount_minor: 1.5 } }",
         "tests[0].given[0].payment.amount_minor is 1.5, expected an integer"),
        ("{ at: 1d, payment: { status: issued } }",
         "tests[0].given[0].payment.due_at is missing"),
        ("{ at: 1d, payment: { status: issued, due_at: tomorrow } }",
         "tests[0].given[0].payment.due_at is `tomorrow`, expected an instant such as \
          `2026-01-01T00:00:00Z`, or a time from the start of the test (`30d`, `-400d`) or from the \
          event (`+30d`)"),
        ("{ at: 1d, survey: [{ survey: nps, score: 9 }, { survey: nps, score: 11 }] }",
         "tests[0].given[0].survey[1].score is 11, expected 0 to 10"),
        ("{ at: 1d, survey: { survey: mood, score: 9, respondents: 2, respondent_id: ann } }",
         "tests[0].given[0].survey.respondent_id is given, but `respondents` says who they are"),
        ("{ at: 1d, profile: away }",
         "tests[0].given[0].profile is `away`, expected a mapping of the profile's fields, or `gone`"),
        ("{ at: 1d, profile: { tiers: gold } }",
         "tests[0].given[0].profile.tiers is not a known key; did you mean `tier`?"),
        ("{ at: 1d, usage: 3 }",
         "tests[0].given[0].usage is 3, expected a mapping of the usage event's fields"),
    ];
    for (given, expected) in table {
        let line = CARD_LINES + 1;
        let expected: Vec<_> =
            expected.lines().map(|message| format!("card.yaml:{line}: {message}")).collect();
        assert_eq!(told(given, "{ at: 1d }"), expected.join("\n"));
    }
}

#[test]
#[rustfmt::skip]
fn every_mistake_in_an_expectation_is_told_at_its_line() {
    let table = [
        ("{ score: 1 }",
         "tests[0].expect[0].at is missing"),
        ("{ at: 1d, scor: 1 }",
         "tests[0].expect[0].scor is not a known key; did you mean `score`?"),
        ("{ at: 1d, score: high }",
         "tests[0].expect[0].score is `high`, expected a number, `missing` or `{ at_least: .., at_most: .. }`"),
        ("{ at: 1d, score: {} }",
         "tests[0].expect[0].score needs `at_least` or `at_most`"),
        ("{ at: 1d, score: { at_least: 60, at_most: 40 } }",
         "tests[0].expect[0].score asks for at least 60 and at most 40"),
        ("{ at: 1d, band: gren }",
         "tests[0].expect[0].band names no band: `gren`; did you mean `green`?"),
        ("{ at: 1d, values: { user: 3 } }",
         "tests[0].expect[0].values.user names no measure: `user`; did you mean `users`?"),
        ("{ at: 1d, contributions: { seats: 3, nps: missing } }",
         "tests[0].expect[0].contributions.seats names no measure: `seats`; the card has users\n\
          tests[0].expect[0].contributions.nps names no measure: `nps`; the card has users"),
        ("{ at: 1d, dimensions: { used: 3 } }",
         "tests[0].expect[0].dimensions.used names no dimension: `used`; did you mean `use`?"),
        ("{ at: 1d, gates: [aloen] }",
         "tests[0].expect[0].gates[0] names no gate: `aloen`; did you mean `alone`?"),
        ("{ at: 1d, tolerance: -1 }",
         "tests[0].expect[0].tolerance is -1, expected 0 to 1000000000000"),
        ("{ at: 1d, firing: [sharp_drop], fired: [quite] }",
         "tests[0].expect[0].firing[0] names no alert rule: `sharp_drop`; the card has quiet\n\
          tests[0].expect[0].fired[0] names no alert rule: `quite`; did you mean `quiet`?"),
    ];
    for (expect, expected) in table {
        let line = CARD_LINES + 1;
        let expected: Vec<_> =
            expected.lines().map(|message| format!("card.yaml:{line}: {message}")).collect();
        assert_eq!(told("{ at: 0d, usage: {} }", expect), expected.join("\n"));
    }
}

#[test]
fn mistakes_of_the_card_and_of_its_tests_are_told_together() {
    let text =
        format!("{CARD}- {{ name: n, expect: [] }}\n- {{ name: n, start: now, expect: 3 }}\n")
            .replace("cap: 40", "cap: 400");
    let problems = read_text("card.yaml", &text, Path::new("")).unwrap_err();
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "card.yaml:7: gates[0].cap is 400, expected 0 to 100",
            "card.yaml:14: tests[0].expect is an empty list, expected at least one",
            "card.yaml:15: tests[1].name is `n`, the name of a case before",
            "card.yaml:15: tests[1].start is `now`, expected an instant with offset such as \
             `2026-01-01T00:00:00Z`",
            "card.yaml:15: tests[1].expect is 3, expected a list",
        ]
    );
    for (text, expected) in [
        ("a: [", "card.yaml:2: is not valid YAML: "),
        ("- 1", "card.yaml:1: the file is a list, expected a mapping"),
        ("scorecard: x\ntests: 3", "card.yaml:2: tests is 3, expected a list"),
    ] {
        let problems = read_text("card.yaml", text, Path::new("")).unwrap_err();
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(told.iter().filter(|line| line.starts_with(expected)).count(), 1, "{told:?}");
    }
}

#[test]
fn a_file_of_tests_must_name_a_scorecard_that_is_there() {
    let told = |text: &str| {
        let problems = read_text("t.yaml", text, Path::new("nowhere")).unwrap_err();
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(
        told("preset: ten-metric\ntests: []\n"),
        "t.yaml:1: preset is `ten-metric`, which is no preset; did you mean `ten-metrics`?"
    );
    assert_eq!(
        told("scorecard_file: card.yaml\ntest: []\n"),
        "t.yaml:1: tests is missing\n\
         t.yaml:1: scorecard_file is `card.yaml`, which cannot be read: No such file or directory \
         (os error 2)\n\
         t.yaml:2: test is not a known key; did you mean `tests`?"
    );
    assert_eq!(
        told("preset: ten-metrics\nscorecard_file: a\ntests: []\n"),
        "t.yaml:1: the file has `scorecard_file` and `preset`, expected one of them"
    );
}

#[test]
fn a_miss_says_when_where_what_was_expected_and_what_was_found() {
    let outcome = outcome(
        "- name: everything is wrong\n  given:\n    - { at: 0d, usage: { users: 4 } }\n  expect:\n    \
         - at: 1d\n      score: 50\n      band: green\n      coverage: { at_most: 0.5 }\n      \
         values: { users: { at_least: 5 } }\n      sub_scores: { users: missing }\n      \
         contributions: { users: { at_least: 1, at_most: 2 } }\n      gates: []\n    \
         - { at: 30d, values: { users: 0 }, score: missing, dimensions: { use: 0 }, gates: [] }\n",
    );
    assert!(!outcome.holds());
    assert_eq!(
        outcome.to_string(),
        "  at 1d (2026-01-02T00:00:00Z), line 18:
    score                expected 50 (± 0.01), found 40
    band                 expected green, found red
    coverage             expected at most 0.5, found 1
    values.users         expected at least 5, found 4
    sub_scores.users     expected missing, found 40
    contributions.users  expected 1 to 2, found 40
    gates                expected none, found alone
  at 30d (2026-01-31T00:00:00Z), line 26:
    score                expected missing, found 0
    gates                expected none, found alone
"
    );
}

#[test]
fn an_account_nobody_has_heard_of_has_nothing() {
    let outcome = outcome(
        "- name: n\n  expect:\n    - { at: 1d, score: missing, band: unknown, coverage: 0, \
         values: { users: missing }, gates: [] }\n",
    );
    assert_eq!(outcome.misses, []);
}

#[test]
fn expectations_are_taken_by_time_and_after_what_happens_at_their_instant() {
    let outcome = outcome(
        "- name: n\n  given:\n    - { at: 2d, usage: { users: [a, b] } }\n    \
         - { at: 0d, late_by: 1d, repeat: { every: 1h, times: 2 }, usage: { user_id: 'u#' } }\n  \
         expect:\n    - { at: 2d, values: { users: 4 } }\n    \
         - { at: 1d, values: { users: 1 } }\n    \
         - { at: 1d1h, values: { users: 2 } }\n",
    );
    assert_eq!(outcome.misses, []);
}

#[test]
fn cases_share_a_history_by_an_anchor() {
    let file = read(
        "- name: a\n  given: &history\n    - { at: 0d, usage: { users: 3 } }\n  \
         expect: [{ at: 0d, values: { users: 3 } }]\n\
         - name: b\n  given:\n    - *history\n    - { at: 1d, usage: { users: 5 } }\n  \
         expect: [{ at: 1d, values: { users: 5 } }]\n",
    )
    .unwrap();
    for case in &file.cases {
        assert_eq!(run(&file.card, case).misses, []);
    }
}

#[test]
fn junit_holds_cases_failures_and_files_that_could_not_be_read() {
    let good = outcome("- { name: a < b, expect: [{ at: 0d }] }\n");
    let bad = outcome("- { name: \"say \\\"x\\\"\", expect: [{ at: 0d, score: 1 }] }\n");
    let problems = read_text("no.yaml", "[", Path::new("")).unwrap_err();
    let xml = junit(&[
        ("a&b.yaml".to_owned(), Ok(vec![good, bad])),
        ("no.yaml".to_owned(), Err(problems)),
    ]);
    let start = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<testsuites>
  <testsuite name=\"a&amp;b.yaml\" tests=\"2\" failures=\"1\" errors=\"0\">
    <testcase classname=\"a&amp;b.yaml\" name=\"a &lt; b\" file=\"a&amp;b.yaml\" line=\"14\"/>
    <testcase classname=\"a&amp;b.yaml\" name=\"say &quot;x&quot;\" file=\"a&amp;b.yaml\" line=\"14\">
      <failure message=\"1 not as expected\">
  at 0d (2026-01-01T00:00:00Z), line 14:
    score  expected 1 (± 0.01), found missing
      </failure>
    </testcase>
  </testsuite>
  <testsuite name=\"no.yaml\" tests=\"1\" failures=\"0\" errors=\"1\">
    <testcase classname=\"no.yaml\" name=\"the file can be read\">
      <error message=\"the file has mistakes\">no.yaml:2: ";
    assert!(xml.starts_with(start), "{xml}");
}

#[test]
fn the_presets_hold_what_they_promise() {
    for preset in &crate::preset::PRESETS {
        let file = read_text(preset.name, preset.text, Path::new("")).unwrap();
        assert!(!file.cases.is_empty(), "{}", preset.name);
        for case in &file.cases {
            let outcome = run(&file.card, case);
            assert!(outcome.holds(), "{}: {}\n{outcome}", preset.name, case.name);
        }
    }
}
