//! Accounts erased on request, on a real Kafka: nothing of them is left, and nothing of the others is
//! gone.

mod support;

use serde_json::{Value, json};

use support::service::{Service, Setup, default_scorecard, now_millis};
use support::{InputRecord, Kafka};

const HOUR_MS: i64 = 3_600_000;

fn usage(account_id: &str, at_millis: i64) -> InputRecord {
    let body = json!({
        "event_id": format!("{account_id}-{at_millis}"), "account_id": account_id,
        "occurred_at": at_millis, "user_id": "ann", "feature": "reports",
    });
    InputRecord::new(account_id, &body.to_string(), at_millis)
}

/// How many active users an account's page shows.
fn users(service: &Service, account_id: &str) -> Value {
    let path = format!("/accounts/{account_id}");
    let page = service.wait_for_page(&path, |status, _| status == 200);
    let page: Value = serde_json::from_str(&page).expect("JSON");
    let measures = page["dimensions"].as_array().expect("dimensions").iter();
    let mut measures = measures.flat_map(|dimension| dimension["measures"].as_array().unwrap());
    let users = measures.find(|measure| measure["id"] == "active_users").expect("the measure");
    users["value"].clone()
}

/// The latest record of a key on a compacted topic: `None` where there is none, or a tombstone.
fn latest(kafka: &Kafka, topic: &str, key: &str) -> Option<Vec<u8>> {
    let records = kafka.read_committed(topic);
    let own = records.into_iter().rfind(|record| record.key.as_deref() == Some(key.as_bytes()));
    own.and_then(|record| record.value)
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn a_forgotten_account_is_gone_from_everywhere_and_may_come_again() {
    let kafka = Kafka::for_test("forget");
    let mut setup = Setup::new(&kafka);
    setup.scorecard(&default_scorecard());
    setup.settings["engine"]["task_time"] = json!("wall");
    setup.settings["engine"]["checkpoint_interval"] = json!("200ms");
    setup.create_topics(3);
    let start = now_millis() - 48 * HOUR_MS;
    let day = |account_id: &str| (0..24).map(|n| usage(account_id, start + n * HOUR_MS)).collect();
    for account_id in ["acme", "other"] {
        let records: Vec<InputRecord> = day(account_id);
        kafka.produce(setup.topic("usage"), &records);
    }
    let service = setup.run(&[]);
    assert_eq!((users(&service, "acme"), users(&service, "other")), (json!(1.0), json!(1.0)));

    let forgot = setup.command(&["forget", "acme"]);
    let said = String::from_utf8_lossy(&forgot.stdout).into_owned();
    assert!(forgot.status.success(), "{said}{}", String::from_utf8_lossy(&forgot.stderr));
    assert!(said.contains("forgot account `acme`"), "{said}");
    service.wait_for_page("/accounts/acme", |status, _| status == 404);
    assert_eq!(latest(&kafka, setup.topic("scores"), "acme"), None);
    assert_eq!(users(&service, "other"), json!(1.0));

    // Once nobody reads its events again the changelog does not name it any more.
    service.stop("TERM");
    assert_eq!(latest(&kafka, setup.topic("changelog"), "acme"), None);
    assert!(latest(&kafka, setup.topic("changelog"), "other").is_some());

    // What comes later is a new account's.
    let service = setup.run(&[]);
    service.wait_until_ready();
    assert_eq!(service.get("/accounts/acme").0, 404, "it is not read back");
    kafka.produce(setup.topic("usage"), &[usage("acme", now_millis())]);
    assert_eq!((users(&service, "acme"), users(&service, "other")), (json!(1.0), json!(1.0)));

    // Without a service nothing is done, and the command says so.
    service.stop("TERM");
    let waiting = setup.command(&["forget", "other", "--timeout", "1"]);
    assert_eq!(waiting.status.code(), Some(1));
    let said = String::from_utf8_lossy(&waiting.stderr).into_owned();
    assert!(said.contains("account `other` is not forgotten yet"), "{said}");
    let service = setup.run(&[]);
    service.wait_until_ready();
    service.wait_for_page("/accounts/other", |status, _| status == 404);
}
