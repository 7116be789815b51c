//! What has no room, on a real Kafka: it goes to the dead letters once, whoever is killed meanwhile.

mod support;

use serde_json::json;

use support::service::{Service, Setup, default_scorecard, now_millis};
use support::{InputRecord, Kafka};

const PARTITIONS: u32 = 3;
const ACCOUNTS_MAX: usize = 5;

fn usage(account_id: &str, number: usize, at_millis: i64) -> InputRecord {
    let body = json!({
        "event_id": format!("{account_id}-{number}"), "account_id": account_id,
        "occurred_at": at_millis, "user_id": "ann", "feature": "reports",
    });
    InputRecord::new(account_id, &body.to_string(), at_millis)
}

/// The accounts that are known, by their pages.
fn known(service: &Service, account_ids: &[String]) -> Vec<bool> {
    let page = |account_id: &String| service.get(&format!("/accounts/{account_id}")).0 == 200;
    account_ids.iter().map(page).collect()
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn accounts_without_room_are_dead_letters_once_and_have_none_after_a_kill_either() {
    let kafka = Kafka::for_test("limits");
    let mut setup = Setup::new(&kafka);
    setup.scorecard(&default_scorecard());
    setup.settings["limits"] = json!({ "accounts": ACCOUNTS_MAX });
    // Nothing but beginnings and decisions is written, so the rest has to be read again.
    setup.settings["engine"]["checkpoint_interval"] = json!("1h");
    setup.create_topics(PARTITIONS);
    let account_ids: Vec<String> = (0..20).map(|n| format!("account-{n}")).collect();
    let start = now_millis() - 3_600_000;
    let round = |number: usize| -> Vec<InputRecord> {
        let at = |place: usize| start + (number * account_ids.len() + place) as i64;
        let records = account_ids.iter().enumerate();
        records.map(|(place, account_id)| usage(account_id, number, at(place))).collect()
    };
    let inputs = ["usage"].map(|input| setup.topic(input).to_owned());
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();

    kafka.produce(setup.topic("usage"), &round(0));
    let mut service = setup.run(&["--workers", "2"]);
    kafka.wait_until_committed(setup.group(), &inputs);
    service.wait_until_ready();
    let before = known(&service, &account_ids);
    assert_eq!(before.iter().filter(|known| **known).count(), ACCOUNTS_MAX, "{before:?}");
    service.signal("KILL");
    service.wait();

    let service = setup.run(&["--workers", "2"]);
    service.wait_until_ready();
    assert_eq!(known(&service, &account_ids), before, "a replay takes nobody else");
    kafka.produce(setup.topic("usage"), &round(1));
    kafka.wait_until_committed(setup.group(), &inputs);
    assert_eq!(known(&service, &account_ids), before);

    let mut refused: Vec<(String, String)> = kafka
        .read_committed(setup.topic("dead_letters"))
        .iter()
        .map(|letter| {
            let class = letter.header("__connect.errors.exception.class.name").unwrap_or("none");
            let event = letter.json()["event_id"].as_str().unwrap_or("none").to_owned();
            (class.to_owned(), event)
        })
        .collect();
    refused.sort();
    let unknown = account_ids.iter().zip(&before).filter(|(_, known)| !**known);
    let mut expected: Vec<(String, String)> = unknown
        .flat_map(|(account_id, _)| [0, 1].map(|number| format!("{account_id}-{number}")))
        .map(|event| ("account_limit".to_owned(), event))
        .collect();
    expected.sort();
    assert_eq!(refused, expected);
}
