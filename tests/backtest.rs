//! A small history with a known truth: every number of a backtest, worked out by hand.

use std::process::Command;
use std::sync::Arc;

use barometer::backtest::{self, Backtest, Kind, Options, Outcome, RuleOutcome};
use barometer::engine::event::{DecodeLimits, Source, decode};
use barometer::engine::scorecard::Scorecard;
use barometer::engine::time::{EventTime, Span};

/// Five points a day without use: red after ten days, `quiet` after twelve.
const CARD: &str = "
scorecard: hand
dimensions:
- id: use
  measures:
  - { id: idle, measure: usage.days_since_last, curve: { linear: { from: 20, to: 0 } } }
  - { id: week, measure: usage.events, window: 7d, weight: 0, curve: { linear: { from: 0, to: 7 } } }
bands: [{ name: red, up_to: 50 }, { name: green, up_to: 100 }]
anti_flap: { margin: 0, dwell: { worse: 0, better: 0 } }
alerts:
- { id: quiet, silence: { for: 12d } }
- { id: in_red, band_entered: red }
- { id: grows, opportunity: { band: green, for: 5d, rising: { measure: week, at_least: 3 } } }
";

/// `leaver` stops on day 20 and leaves on day 50, `sleeper` leaves in the midst of use, `pauser`
/// stays, and nothing is ever heard of `unheard`.
const TRUTH: &str = "account_id,churned_at,last_seen
leaver,1970-02-20T00:00:00Z,
sleeper,1970-02-10T00:00:00Z,
pauser,,1970-03-02T00:00:00Z
unheard,1970-01-31T00:00:00Z,
";

fn day(day: i64) -> EventTime {
    EventTime::from_millis(0) + Span::days(day)
}

/// One use a day, at midnight; (day, account) in order.
fn uses() -> Vec<(i64, &'static str)> {
    let daily = |account, days: std::ops::RangeInclusive<i64>| days.map(move |day| (day, account));
    let mut uses: Vec<(i64, &str)> = daily("leaver", 0..=20)
        .chain([(55, "leaver")]) // after it left
        .chain(daily("sleeper", 0..=39))
        .chain(daily("pauser", 0..=10))
        .chain(daily("pauser", 24..=30))
        .chain([(3, "stranger")])
        .collect();
    uses.sort_unstable();
    uses
}

fn body(day_of_use: i64, account: &str) -> String {
    let at = day(day_of_use);
    format!(
        r#"{{"event_id":"{account}{day_of_use}","account_id":"{account}","occurred_at":"{at}","user_id":"kim","feature":"reports"}}"#
    )
}

fn outcome() -> Outcome {
    let card = Arc::new(Scorecard::parse("card.yaml", CARD).expect("it is good").scorecard);
    let truth = backtest::read_truth("truth.csv", TRUTH).expect("it is good");
    let options = Options { horizon: Span::days(30), ..Options::default() };
    let mut run = Backtest::new(card, truth, options);
    for (use_day, account) in uses() {
        let body = body(use_day, account);
        let (key, at) = (account.as_bytes(), day(use_day));
        let limits = DecodeLimits::default();
        let event = decode(Source::Usage, Some(key), Some(body.as_bytes()), at, &limits);
        run.take(&event.expect("it is good"), at);
    }
    run.finish(Some(day(60)))
}

fn assert_near(found: Option<f64>, expected: f64, what: &str) {
    assert!(found.is_some_and(|found| (found - expected).abs() < 1e-9), "{what}: {found:?}");
}

#[test]
fn accounts_are_watched_from_their_first_record_to_their_end() {
    let outcome = outcome();
    assert_eq!((outcome.accounts, outcome.accounts_unseen), (3, 1));
    assert_eq!((outcome.accounts_without_truth, outcome.records_after_end), (1, 1));
    // 50 days, 40 days, 60 days.
    assert_near(Some(outcome.account_months), 5.0, "account-months");
    assert_eq!(outcome.known_until, day(60));
    // `unheard` left too, and nothing could have said so.
    assert_eq!((outcome.churners, outcome.churners_reachable), (3, 2));
    assert_eq!((outcome.stayers, outcome.stayers_alerted), (1, 1));
    // Of what happens after day 30 nobody knows what will have come of it by day 60. Before it,
    // `leaver` is about to leave for 10 days of 30, `sleeper` for 20, `pauser` for none.
    assert_near(outcome.base_rate, 1.0 / 3.0, "base rate");
}

#[test]
fn each_rule_is_counted_by_what_followed() {
    let outcome = outcome();
    let rule = |id: &str| outcome.rules.iter().find(|rule| rule.rule == id).expect("the card's");
    let counts = |rule: &RuleOutcome| {
        (rule.episodes, rule.judged, rule.followed, rule.repeats, rule.churners_alerted)
    };
    // `leaver` on day 30; `pauser` on days 20 and 40, of which the latter cannot be judged.
    let in_red = rule("in_red");
    assert_eq!((in_red.kind, counts(in_red)), (Kind::Risk, (3, 2, 1, 1, 1)));
    assert_near(in_red.episodes_per_100_accounts_month, 60.0, "in_red a month");
    assert_near(in_red.precision, 0.5, "in_red precision");
    assert_near(in_red.lift, 1.5, "in_red lift");
    assert_near(in_red.recall, 1.0 / 3.0, "in_red recall");
    // `leaver` on day 32, 18 days ahead; `pauser` on days 22 and 42.
    assert_eq!(counts(rule("quiet")), (3, 1, 0, 1, 1));
    assert_eq!(counts(&outcome.risk), (6, 3, 1, 2, 1));
    assert_near(outcome.risk.lift, 1.0, "lift");
    // Everybody on day 5, `pauser` again on day 29.
    let grows = rule("grows");
    assert_eq!((grows.kind, counts(grows)), (Kind::Opportunity, (4, 4, 0, 1, 2)));
}

#[test]
fn bands_and_scores_are_judged_too() {
    let outcome = outcome();
    // Three out of `unknown`; `leaver` falls; `pauser` falls, is back within 14 days, and falls.
    assert_eq!((outcome.band_changes, outcome.between_bands, outcome.reversed), (7, 4, 1));
    assert_near(outcome.band_changes_per_100_accounts_month, 140.0, "band changes a month");
    assert_near(outcome.flap_rate, 0.25, "flap rate");
    // 0 and 100 of those who left; 0 of `pauser`.
    assert_near(outcome.mean_score_of_churners, 50.0, "score of churners");
    assert_near(outcome.mean_score_of_stayers, 0.0, "score of stayers");
    // On day 28: `leaver` 60, `sleeper` 100, `pauser` 100. One pair is right, one is a tie.
    assert_near(outcome.auc, 0.75, "AUC");
    let bands = outcome.bands.iter().map(|band| (&*band.band, band.samples, band.followed));
    let bands: Vec<_> = bands.collect();
    assert_eq!(bands, [("red", 0, 0), ("green", 3, 2), ("unknown", 0, 0)]);
}

#[test]
fn the_text_says_what_the_numbers_are() {
    let outcome = outcome();
    assert_eq!(
        backtest::text(&outcome).replace(&outcome.scorecard_hash[..8], "hash"),
        "\
hand (hash)
3 accounts, 1970-01-01T00:00:00Z to 1970-03-02T00:00:00Z, 5.0 account-months
3 left, 2 of them known for at least 14 days; 1 stayed
base rate: a random account-day is followed by a departure within 30 days in 33.3 %

rule                      /100/month    episodes    followed        lift    churners     repeats
quiet                           60.0           3       0.0 %         0.0      33.3 %           1
in_red                          60.0           3      50.0 %         1.5      33.3 %           1
any risk rule                  120.0           6      33.3 %         1.0      33.3 %           2
grows                           80.0           4       0.0 %         0.0      66.7 %           1
followed: by a departure within 30 days; churners: share that it fired for 14 to 120 days ahead
of the 1 who stayed 1 had a risk alert

band, every 28 days         accounts    followed
red                                0           -
green                              3      66.7 %
unknown                            0           -
band changes: 7, 140.0 per 100 accounts a month; 1 of 4 between bands reversed within 14 days (25.0 %)
mean last score: 50.0 of those who left, 0.0 of the others; AUC of the score 0.750
"
    );
}

#[test]
fn a_history_of_a_day_has_no_rates() {
    let card = Arc::new(Scorecard::parse("card.yaml", CARD).expect("it is good").scorecard);
    let truth = backtest::read_truth("truth.csv", TRUTH).expect("it is good");
    let mut run = Backtest::new(card, truth, Options::default());
    let (body, limits) = (body(0, "pauser"), DecodeLimits::default());
    let event = decode(Source::Usage, Some(b"pauser"), Some(body.as_bytes()), day(0), &limits);
    run.take(&event.expect("it is good"), day(0));
    let outcome = run.finish(Some(day(1)));
    assert_eq!((outcome.band_changes, outcome.band_changes_per_100_accounts_month), (1, None));
    assert_eq!(outcome.risk.episodes_per_100_accounts_month, None);
    let text = backtest::text(&outcome);
    let why = "no rate a month: that takes at least 7 days of history and one account-month\n\n";
    assert!(text.contains(why), "{text}");
    assert!(text.contains("band changes: 1, - per 100 accounts a month"), "{text}");
}

/// Use every midnight of sixteen days by so many people that a midnight without any is an outage.
#[test]
fn an_outage_is_no_silence_where_the_guard_is_on() {
    let between_bands = |guarded: bool| {
        let card = Arc::new(Scorecard::parse("card.yaml", CARD).expect("it is good").scorecard);
        let truth = backtest::read_truth("truth.csv", TRUTH).expect("it is good");
        let run = Backtest::new(card, truth, Options::default());
        let mut run = if guarded { run.with_outage_guard() } else { run };
        for (use_day, number) in (0..16).flat_map(|day| (0..40).map(move |number| (day, number))) {
            let id = format!("pauser{use_day}");
            let body = body(use_day, "pauser").replace(&id, &format!("{id}-{number}"));
            let limits = DecodeLimits::default();
            let key = Some(&b"pauser"[..]);
            let event = decode(Source::Usage, key, Some(body.as_bytes()), day(use_day), &limits);
            run.take(&event.expect("it is good"), day(use_day));
        }
        run.finish(Some(day(40))).between_bands
    };
    assert_eq!((between_bands(true), between_bands(false)), (0, 1));
}

#[test]
fn the_command_reads_what_generate_writes_and_says_the_same_each_time() {
    let directory = tempfile::tempdir().expect("there is room");
    let run = |line: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_barometer"))
            .current_dir(directory.path())
            .args(line.split_whitespace())
            .output()
            .expect("the binary starts");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned(), error)
    };
    let generate = "generate --accounts 20 --days 60 --events-per-day 2 --bare --output in.ndjson \
                    --truth truth.ndjson --truth-ahead 300";
    assert_eq!(run(generate).0, Some(0));
    let backtest = "backtest --input in.ndjson --truth truth.ndjson --output json";
    let (code, json, error) = run(backtest);
    assert_eq!((code, &*error), (Some(0), ""));
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&value["accounts"], &value["accounts_unseen"]), (&20.into(), &0.into()));
    assert_eq!(value["to"].as_str().map(|to| &to[..7]), Some("2025-03"), "{json}");
    assert_eq!(value["known_until"], "2025-12-27T00:00:00Z", "{json}");
    assert_eq!(run(backtest).1, json);

    std::fs::write(directory.path().join("truth.csv"), "account,left\n").unwrap();
    let (code, _, error) = run("backtest --input in.ndjson --truth truth.csv");
    assert_eq!((code, &*error), (Some(1), "truth.csv:1: column `account_id` is missing\n"));
    let (code, _, error) = run("backtest --input in.ndjson --truth truth.csv --lead 121d");
    assert_eq!((code, &*error), (Some(2), "`--lead` is 121d, expected at most 120d\n"));
}
