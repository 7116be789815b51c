//! Scorecards that change under a running service on a real Kafka: a good one is in force for what
//! comes after, a bad one is refused, and a profile chooses among several.

mod support;

use serde_json::{Value, json};

use support::service::{Setup, now_millis};
use support::{InputRecord, Kafka, ReadRecord};

const DAY_MS: i64 = 86_400_000;

/// The score is the number of users times a hundred divided by `full`.
fn scorecard(id: &str, full: u32) -> String {
    format!(
        "scorecard: {id}
dimensions:
  - id: use
    measures:
      - id: users
        measure: usage.active_users
        window: 28d
        curve: {{ linear: {{ from: 0, to: {full} }} }}
bands:
  - {{ name: red, up_to: 50 }}
  - {{ name: green, up_to: 100 }}
anti_flap: {{ margin: 0, dwell: {{ worse: 0s, better: 0s }} }}
alerts:
  - {{ id: went_red, band_entered: red, severity: critical }}
"
    )
}

fn users(account_id: &str, count: u32, at_millis: i64) -> Vec<InputRecord> {
    let record = |user: u32| {
        let body = json!({
            "event_id": format!("{at_millis}-{user}"), "account_id": account_id,
            "occurred_at": at_millis, "user_id": format!("u{user}"), "feature": "reports",
        });
        InputRecord::new(account_id, &body.to_string(), at_millis)
    };
    (0..count).map(record).collect()
}

/// What was published of one account: type, cause, from, to or rule, score.
fn told(records: &[ReadRecord], account_id: &str) -> Vec<Value> {
    let own = records.iter().filter(|record| record.key_text() == account_id);
    own.map(|record| {
        let body = record.json();
        let what = if body["rule"].is_string() { &body["status"] } else { &body["to"] };
        json!([record.header("ce_type"), body["cause"], what, body["score"], body["scorecard"]])
    })
    .collect()
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn a_changed_scorecard_is_in_force_between_two_commits_and_a_bad_one_is_refused() {
    let kafka = Kafka::for_test("rules");
    let mut setup = Setup::new(&kafka);
    setup.scorecard(&scorecard("lenient", 10));
    setup.settings["engine"]["scorecard_check_interval"] = json!("0s");
    setup.create_topics(1);
    let start = (now_millis() / DAY_MS - 10) * DAY_MS;
    kafka.produce(setup.topic("usage"), &users("acme", 8, start));
    let service = setup.run(&[]);
    kafka.wait_until_committed(setup.group(), &[setup.topic("usage")]);

    setup.file("scorecard.yaml", "scorecard: broken\nbands: []\n");
    service.signal("HUP");
    let refused = service.wait_for_line("the scorecards stay as they were", 1);
    assert!(refused.contains("ERROR"), "{refused}");
    let reloads = |outcome: &str| {
        service.metric(&format!("barometer_scorecard_reloads_total{{outcome=\"{outcome}\"}}"))
    };
    assert_eq!(reloads("refused"), Some(1.0));

    setup.file("scorecard.yaml", &scorecard("strict", 20));
    service.signal("HUP");
    service.wait_for_line("task judges by other rules", 1);
    service
        .wait_for_page("/accounts/acme", |status, body| status == 200 && body.contains("strict"));
    assert_eq!(reloads("applied"), Some(1.0));
    assert_eq!(service.metric("barometer_accounts{band=\"red\"}"), Some(1.0));
    assert_eq!(service.metric("barometer_accounts{band=\"green\"}"), Some(0.0));
    assert_eq!(service.metric("barometer_alerts_firing{rule=\"went_red\"}"), Some(1.0));
    // What the account does itself is told as ever, and is no doing of the rules.
    kafka.produce(setup.topic("usage"), &users("acme", 16, start + DAY_MS));
    kafka.wait_until_committed(setup.group(), &[setup.topic("usage")]);
    service.stop("TERM");

    let records = kafka.read_committed(setup.topic("events"));
    let told = told(&records, "acme");
    let by_rules = |record: &&Value| record[1] == "rules";
    assert_eq!(
        told.iter().filter(by_rules).collect::<Vec<_>>(),
        [&json!(["barometer.band_changed.v1", "rules", "red", 40.0, "strict"])],
        "{told:#?}"
    );
    assert_eq!(
        told.last(),
        Some(&json!(["barometer.band_changed.v1", "score", "green", 55.0, "strict"])),
        "the alert that the rules raised is kept quiet to its end: {told:#?}"
    );
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn a_profile_chooses_among_scorecards() {
    let kafka = Kafka::for_test("choice");
    let mut setup = Setup::new(&kafka);
    setup.file("strict.yaml", &scorecard("strict", 20));
    setup.file("lenient.yaml", &scorecard("lenient", 10));
    setup.settings["scorecards"] = json!([
        { "file": "strict.yaml", "when": { "profile": "tier", "is": "gold" } },
        { "file": "lenient.yaml" },
    ]);
    setup.create_topics(1);
    let start = (now_millis() / DAY_MS - 10) * DAY_MS;
    let profile = json!({
        "event_id": "p", "account_id": "golden", "occurred_at": start, "tier": "gold",
    });
    kafka.produce(
        setup.topic("accounts"),
        &[InputRecord::new("golden", &profile.to_string(), start)],
    );
    kafka.produce(setup.topic("usage"), &users("golden", 8, start + 1));
    kafka.produce(setup.topic("usage"), &users("other", 8, start + 1));
    let service = setup.run(&[]);
    kafka.wait_until_committed(setup.group(), &[setup.topic("usage"), setup.topic("accounts")]);
    let card_of = |account_id: &str| {
        let path = format!("/accounts/{account_id}");
        let page = service.wait_for_page(&path, |status, _| status == 200);
        let report: Value = serde_json::from_str(&page).unwrap();
        (report["scorecard"].clone(), report["score"].clone())
    };
    assert_eq!(card_of("golden"), (json!("strict"), json!(40.0)));
    assert_eq!(card_of("other"), (json!("lenient"), json!(80.0)));
    service.stop("TERM");
}
