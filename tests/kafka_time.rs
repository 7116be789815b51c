//! Task time under the wall clock: silence moves it, an open transaction upstream stops it, and
//! nobody else waits for that.

mod support;

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::json;

use support::service::{Service, Setup, now_millis};
use support::{InputRecord, Kafka, PATIENCE};

/// A fall is believed after three seconds; an answer to `news` is stale after as long.
const CARD: &str = "
scorecard: quick
dimensions:
  - id: all
    weight: 1
    measures:
      - { id: mood, measure: survey.assessment, surveys: [mood], window: 28d, weight: 2,
          curve: { linear: { from: 0, to: 100 } } }
      - { id: news, measure: survey.assessment, surveys: [news], window: 28d, weight: 1,
          stale_after: 3s, curve: { linear: { from: 0, to: 100 } } }
bands: [{ name: red, up_to: 50 }, { name: green, up_to: 100 }]
anti_flap: { margin: 0, dwell: { worse: 3s, better: 3s }, bypass_drop: 100 }
";
const DWELL_MS: i64 = 3_000;

/// One partition, and the wall clock.
fn setup(kafka: &Kafka) -> Setup {
    let mut setup = Setup::new(kafka);
    setup.scorecard(CARD);
    setup.settings["engine"]["task_time"] = json!("wall");
    setup.create_topics(1);
    setup
}

/// One answer, arriving now; returns when that is.
fn answer(kafka: &Kafka, setup: &Setup, account: &str, survey: &str, score: i64) -> i64 {
    let now = now_millis();
    let body = json!({
        "event_id": format!("{survey}-{now}"), "account_id": account, "occurred_at": now,
        "survey": survey, "score": score, "respondent_id": "r",
    });
    kafka.produce(setup.topic("surveys"), &[InputRecord::new(account, &body.to_string(), now)]);
    now
}

/// Waits until the page of an account says this score.
fn wait_for_score(service: &Service, account: &str, score: f64) {
    service.wait_for_page(&format!("/accounts/{account}"), |status, body| {
        status == 200 && {
            let report: serde_json::Value = serde_json::from_str(body).expect("JSON");
            report["score"].as_f64().is_some_and(|found| (found - score).abs() < 1e-9)
        }
    });
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn silence_alone_changes_scores_and_bands_at_their_own_time() {
    let kafka = Kafka::for_test("silence");
    let setup = setup(&kafka);
    let service = setup.run(&[]);
    service.wait_until_ready();
    answer(&kafka, &setup, "acme", "mood", 90);
    answer(&kafka, &setup, "acme", "news", 60);
    wait_for_score(&service, "acme", 80.0);
    // The news grow stale: no record says so, and no band changes.
    wait_for_score(&service, "acme", 90.0);
    let reports = || kafka.read_committed(setup.topic("scores"));
    assert_eq!(
        reports().last().unwrap().json()["score"],
        90.0,
        "the topic says what the page says"
    );

    let fell_at = answer(&kafka, &setup, "acme", "mood", 10);
    wait_for_score(&service, "acme", 10.0);
    let seen_at = now_millis();
    let events = kafka.read_committed_until(setup.topic("events"), |events| events.len() == 2);
    let change = events[1].json();
    assert_eq!((&change["from"], &change["to"]), (&json!("green"), &json!("red")));
    let entered_at: jiff::Timestamp = change["entered_at"].as_str().unwrap().parse().unwrap();
    // The dwell runs from when the answer was taken.
    let taken_at = entered_at.as_millisecond() - DWELL_MS;
    assert!((fell_at..=seen_at).contains(&taken_at), "{fell_at}, {taken_at}, {seen_at}");
    service.stop("TERM");
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn an_open_transaction_upstream_stops_the_clock_and_holds_back_no_other_topic() {
    let kafka = Kafka::for_test("open");
    let setup = setup(&kafka);
    let service = setup.run(&[]);
    service.wait_until_ready();
    answer(&kafka, &setup, "acme", "mood", 90);
    wait_for_score(&service, "acme", 90.0);

    let upstream: BaseProducer = kafka
        .client()
        .set("transactional.id", kafka.name("upstream"))
        .set("linger.ms", "0")
        .create()
        .expect("a producer");
    upstream.init_transactions(PATIENCE).expect("the coordinator answers");
    upstream.begin_transaction().expect("a transaction begins");
    let opened_at = now_millis();
    let ticket = json!({
        "event_id": "t", "account_id": "acme", "occurred_at": opened_at, "ticket_id": "t",
        "status": "opened",
    })
    .to_string();
    let record =
        BaseRecord::to(setup.topic("tickets")).key("acme").payload(&ticket).timestamp(opened_at);
    upstream.send(record).unwrap_or_else(|(error, _)| panic!("no ticket: {error}"));
    upstream.flush(PATIENCE).expect("the ticket reaches the broker");

    let fell_at = answer(&kafka, &setup, "acme", "mood", 10);
    wait_for_score(&service, "acme", 10.0);
    // Time for the dwell to end twice over, were the clock running. This can only fail to notice.
    let waited = Instant::now();
    while waited.elapsed() < Duration::from_millis(2 * DWELL_MS as u64) {
        assert_eq!(kafka.read_committed(setup.topic("events")).len(), 1);
        thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(service.metric("barometer_events_consumed_total{source=\"ticket\"}"), Some(0.0));

    upstream.commit_transaction(PATIENCE).expect("the transaction commits");
    let events = kafka.read_committed_until(setup.topic("events"), |events| events.len() == 2);
    let entered_at: jiff::Timestamp =
        events[1].json()["entered_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(entered_at.as_millisecond(), fell_at + DWELL_MS);
    service.wait_for_page("/metrics", |_, text| {
        text.contains("barometer_events_consumed_total{source=\"ticket\"} 1")
    });
    service.stop("TERM");
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn pages_say_what_is_known_and_name_no_account_in_a_metric() {
    let kafka = Kafka::for_test("pages");
    let setup = setup(&kafka);
    let service = setup.run(&[]);
    service.wait_until_ready();
    assert_eq!(service.get("/livez"), (200, "ok\n".to_owned()));
    assert_eq!(service.get("/readyz"), (200, "ready\n".to_owned()));
    let (status, body) = service.get("/accounts/nobody");
    assert_eq!(status, 404);
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&body).unwrap(),
        json!({ "error": "account `nobody` is not known to this process" })
    );
    answer(&kafka, &setup, "acme with space", "mood", 90);
    let bad = InputRecord::new("acme with space", "no JSON", now_millis());
    kafka.produce(setup.topic("payments"), &[bad]);
    wait_for_score(&service, "acme%20with%20space", 90.0);
    kafka.wait_until_committed(setup.group(), &[setup.topic("payments")]);
    let wanted = [
        ("barometer_events_consumed_total{source=\"survey\"}", 1.0),
        ("barometer_events_consumed_total{source=\"usage\"}", 0.0),
        ("barometer_events_rejected_total{reason=\"not_json\",source=\"payment\"}", 1.0),
        ("barometer_events_late_total{source=\"usage\"}", 0.0),
        ("barometer_events_duplicate_total{source=\"survey\"}", 0.0),
        ("barometer_accounts{band=\"green\"}", 1.0),
        ("barometer_accounts{band=\"unknown\"}", 0.0),
        ("barometer_band_changes_total{from=\"unknown\",to=\"green\"}", 1.0),
        ("barometer_consumer_lag_offsets{partition=\"0\",source=\"survey\"}", 0.0),
        ("barometer_assigned_partitions{worker=\"0\"}", 1.0),
    ];
    service.wait_for_page("/metrics", |_, text| {
        wanted.iter().all(|(name, value)| text.contains(&format!("{name} {value}\n")))
    });
    assert!(service.metric("barometer_transactions_total{outcome=\"committed\"}") >= Some(1.0));
    assert!(service.metric("barometer_commit_seconds_count") >= Some(1.0));
    let (_, text) = service.get("/metrics");
    assert!(!text.contains("acme") && !text.contains("account_id"), "{text}");
    service.stop("TERM");
}
