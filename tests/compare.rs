//! Two scorecards over one history: what is counted, and how it is told.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use barometer::compare::{self, Comparison, Outcome};
use barometer::engine::event::{DecodeLimits, Source, decode};
use barometer::engine::scorecard::Scorecard;
use barometer::engine::time::{EventTime, Span};

/// Judges by the last answer to a survey alone: the score is the answer, and no time is waited.
const QUICK: &str = "
scorecard: quick
dimensions:
- id: d
  measures:
  - { id: m, measure: survey.assessment, surveys: [mood], window: 90d, curve: { linear: { from: 0, to: 100 } } }
bands: [{ name: red, up_to: 50 }, { name: green, up_to: 100 }]
anti_flap: { margin: 0, dwell: { worse: 0, better: 0 } }
alerts:
- { id: fell, score_drop: { points: 30, within: 28d } }
";

fn card(text: &str) -> Arc<Scorecard> {
    Arc::new(Scorecard::parse("card.yaml", text).expect("it is good").scorecard)
}

/// The answers of one respondent for each account: (account, day, score).
fn outcome(a: &str, b: &str, answers: &[(&str, i64, i64)], as_of_day: i64) -> Outcome {
    let mut comparison = Comparison::new(card(a), card(b));
    for (index, (account, day, score)) in answers.iter().enumerate() {
        let at = EventTime::from_millis(0) + Span::days(*day);
        let body = format!(
            r#"{{"event_id":"{index}","account_id":"{account}","occurred_at":"{at}","survey":"mood","score":{score},"respondent_id":"r"}}"#
        );
        let limits = DecodeLimits::default();
        let key = account.as_bytes();
        let event = decode(Source::Survey, Some(key), Some(body.as_bytes()), at, &limits);
        comparison.take(&event.expect("it is good"), at);
    }
    comparison.finish(Some(EventTime::from_millis(0) + Span::days(as_of_day)))
}

#[test]
fn a_change_taken_back_within_two_weeks_is_a_flap() {
    let answers = [
        ("acme", 0, 80),
        ("acme", 10, 20), // green -> red
        ("acme", 24, 80), // back on the fourteenth day: a flap
        ("acme", 40, 20), // on the sixteenth: none
        ("acme", 60, 80), // none
    ];
    let outcome = outcome(QUICK, QUICK, &answers, 60);
    let counts = outcome.a.counts;
    assert_eq!((counts.band_changes, counts.between_bands, counts.reversed), (5, 4, 1));
    assert_eq!(outcome.a.flap_rate, Some(0.25));
    assert_eq!((counts.alerts_fired, counts.alerts_resolved), (2, 2));
    assert_eq!(outcome.a.counts, outcome.b.counts);
    assert_eq!(outcome.different, []);
}

#[test]
fn rates_are_by_the_time_each_account_was_there() {
    let answers = [("old", 0, 80), ("new", 15, 80)];
    let outcome = outcome(QUICK, QUICK, &answers, 30);
    assert!((outcome.account_months - 1.5).abs() < 1e-9, "{}", outcome.account_months);
    let per_month = outcome.a.band_changes_per_100_accounts_month.expect("there is time");
    assert!((per_month - 200.0 / 1.5).abs() < 1e-9, "{per_month}");
}

#[test]
fn there_is_no_rate_for_less_than_a_week_or_an_account_month() {
    // Each account has its first band with its first record.
    let accounts = |count: i64| (0..count).map(|n| (format!("a{n}"), 0, 80)).collect::<Vec<_>>();
    let cases = [
        (100, 6, None), // Twenty account-months, of a part of a week.
        (4, 7, None),   // A week of 0.93 account-months.
        (5, 7, Some(100.0 * 5.0 / (35.0 / 30.0))),
        (1, 30, Some(100.0)),
    ];
    for (count, days, expected) in cases {
        let accounts = accounts(count);
        let answers: Vec<_> =
            accounts.iter().map(|(id, day, score)| (&**id, *day, *score)).collect();
        let outcome = outcome(QUICK, QUICK, &answers, days);
        let of_a = &outcome.a;
        assert_eq!(of_a.counts.band_changes, count as u64);
        let rate = of_a.band_changes_per_100_accounts_month;
        assert_eq!(rate.map(f64::round), expected.map(f64::round), "{count} over {days} days");
        assert_eq!(of_a.alerts_per_100_accounts_month.is_some(), rate.is_some());
        let json = serde_json::to_value(&outcome).expect("texts and numbers always become JSON");
        let told = &json["b"]["alerts_per_100_accounts_month"];
        assert_eq!(told.is_null(), expected.is_none(), "{told}");
        let text = compare::text(&outcome, 0);
        assert_eq!(text.contains("\nno rate a month: "), expected.is_none(), "{text}");
    }
}

#[test]
fn accounts_in_other_bands_are_listed_the_widest_gap_first() {
    let strict = QUICK.replace("up_to: 50", "up_to: 70").replace("to: 100 } }", "to: 120 } }");
    let answers = [("a-same", 0, 30), ("b-near", 0, 60), ("c-far", 0, 84), ("d-same", 0, 100)];
    let outcome = outcome(QUICK, &strict, &answers, 1);
    assert_eq!(
        compare::text(&outcome, 1)
            .replace(&outcome.a.scorecard_hash[..8], "hash")
            .replace(&outcome.b.scorecard_hash[..8], "hash"),
        "\
A: quick (hash)
B: quick (hash)
4 accounts, 1970-01-01T00:00:00Z to 1970-01-02T00:00:00Z, 0.1 account-months

would have been published              A         B
band changes                           4         4
  per 100 accounts a month             -         -
  between bands                        0         0
  reversed within 14 days              -         -
alerts fired                           0         0
  per 100 accounts a month             -         -
  escalated                            0         0
no rate a month: that takes at least 7 days of history and one account-month

in different bands at the end: 2 of 4
A \\ B         red   green  unknown
red             1       0        0
green           2       1        0
unknown         0       0        0

c-far                               green 84.0 -> red 70.0
and 1 more (`--accounts N` lists N, `--output json` all)
"
    );
}

#[test]
fn the_command_takes_files_and_presets_and_says_what_it_cannot_find() {
    let directory = tempfile::tempdir().expect("there is room");
    let line =
        r#"{"source":"usage","event_id":"u","account_id":"acme","occurred_at":5,"feature":"f"}"#;
    std::fs::write(directory.path().join("in.ndjson"), format!("{line}\nnonsense\n")).unwrap();
    std::fs::write(directory.path().join("mine.yaml"), QUICK).unwrap();
    let run = |a: &str, b: &str, output: &str| {
        let args = ["compare", "--input", "in.ndjson", "--a", a, "--b", b, "--output", output];
        barometer(directory.path(), &args)
    };
    let json = run("mine.yaml", "usage-first", "json");
    assert_eq!(json.status.code(), Some(0));
    let value: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&value["a"]["scorecard"], &value["accounts"]), (&"quick".into(), &1.into()));
    assert_eq!(
        String::from_utf8(json.stderr).unwrap(),
        "warning: 1 lines and 0 records could not be used, `barometer replay` says why\n"
    );
    let wrong = run("usage-fist", "your.yaml", "text");
    assert_eq!(wrong.status.code(), Some(2));
    assert_eq!(
        String::from_utf8(wrong.stderr).unwrap(),
        "`--a` names no file and is `usage-fist`, which is no preset; did you mean `usage-first`?\n\
         `--b` names no file and is `your.yaml`, which is no preset; there are saas-default, \
         traffic-light, three-dimensions, ten-metrics, three-prongs, usage-first, signed-actions\n"
    );
}

/// Use every noon of sixteen days by so many people that a noon without any is an outage; then none.
#[test]
fn an_outage_is_no_silence_unless_the_guard_is_off() {
    let directory = tempfile::tempdir().expect("there is room");
    let uses = (0..16).flat_map(|day| (0..40).map(move |user| (day, user)));
    let line = |(day, user): (i64, i64)| {
        let at = EventTime::from_millis(user) + Span::days(day) + Span::hours(12);
        format!(
            r#"{{"source":"usage","event_id":"{day}-{user}","account_id":"acme","occurred_at":"{at}","user_id":"{user}","feature":"f"}}"#
        )
    };
    let lines: Vec<String> = uses.map(line).collect();
    std::fs::write(directory.path().join("in.ndjson"), lines.join("\n")).unwrap();
    let idle = QUICK.replace(
        "measure: survey.assessment, surveys: [mood], window: 90d, curve: { linear: { from: 0, to: 100 } }",
        "measure: usage.days_since_last, curve: { linear: { from: 20, to: 0 } }",
    );
    std::fs::write(directory.path().join("idle.yaml"), idle).unwrap();
    let end = (EventTime::from_millis(0) + Span::days(40)).to_string();
    let found = |flags: &[&str]| {
        let args = "compare --input in.ndjson --a idle.yaml --b idle.yaml --output json --as-of";
        let args: Vec<&str> = args.split(' ').chain([&*end]).chain(flags.iter().copied()).collect();
        let json = barometer(directory.path(), &args).stdout;
        let outcome: serde_json::Value = serde_json::from_slice(&json).unwrap();
        ["a", "b"].map(|card| outcome[card]["between_bands"].as_u64())
    };
    assert_eq!(found(&[]), [Some(0); 2]);
    assert_eq!(found(&["--outage-guard", "off"]), [Some(1); 2]);
}

fn barometer(directory: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_barometer"));
    command.current_dir(directory).args(args).output().expect("it can be started")
}
