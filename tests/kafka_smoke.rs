//! Proves the test bed before anything is proved with it: the Kafka is real, transactions hide and
//! show what they should, and keys land where Java's producers put them.

mod support;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use support::{InputRecord, Kafka, PATIENCE};

const NOON_MILLIS: i64 = 1_767_268_800_000;

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn a_committed_transaction_is_read_and_an_aborted_one_is_not() {
    let kafka = Kafka::for_test("transactions");
    let topic = kafka.name("events");
    kafka.create_topic(&topic, 2, &[]);
    let producer = transactional_producer(&kafka);

    producer.begin_transaction().expect("a transaction begins");
    for (partition, value) in [(0, "aborted-0"), (1, "aborted-1")] {
        send(&producer, &topic, partition, value);
    }
    producer.flush(PATIENCE).expect("the records reach the broker before the abort");
    producer.abort_transaction(PATIENCE).expect("the transaction aborts");

    producer.begin_transaction().expect("a transaction begins");
    for (partition, value) in [(0, "committed-0"), (1, "committed-1")] {
        send(&producer, &topic, partition, value);
    }
    producer.flush(PATIENCE).expect("the records reach the broker");
    producer.commit_transaction(PATIENCE).expect("the transaction commits");

    // The aborted records and the markers are there, in the offsets, and nowhere else.
    assert_eq!(kafka.high_water_marks(&topic), [(0, 4), (1, 4)]);
    let records = kafka.read_committed(&topic);
    let seen: Vec<_> = records
        .iter()
        .map(|record| (record.partition, record.offset, record.value_text()))
        .collect();
    assert_eq!(seen, [(0, 2, "committed-0"), (1, 2, "committed-1")]);
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn reading_ends_at_a_trailing_aborted_transaction_and_on_an_empty_topic() {
    let kafka = Kafka::for_test("ends");
    let empty = kafka.name("empty");
    kafka.create_topic(&empty, 3, &[]);
    assert_eq!(kafka.read_committed(&empty), []);

    let topic = kafka.name("events");
    kafka.create_topic(&topic, 1, &[]);
    kafka.produce(&topic, &[InputRecord::new("acme", "plain", NOON_MILLIS)]);
    let producer = transactional_producer(&kafka);
    producer.begin_transaction().expect("a transaction begins");
    send(&producer, &topic, 0, "aborted");
    producer.flush(PATIENCE).expect("the record reaches the broker before the abort");
    producer.abort_transaction(PATIENCE).expect("the transaction aborts");

    let records = kafka.read_committed(&topic);
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0].value_text(), "plain");
    assert_eq!(records[0].timestamp_millis, Some(NOON_MILLIS));
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn a_key_lands_where_javas_producer_puts_it() {
    let kafka = Kafka::for_test("partitioner");
    let topic = kafka.name("events");
    kafka.create_topic(&topic, 8, &[]);
    let keys: Vec<String> = (0..40).map(|number| format!("account-{number}")).collect();

    let ours: Vec<_> = keys
        .iter()
        .map(|key| {
            let mut record = InputRecord::new(key, r#"{"by":"rust"}"#, NOON_MILLIS);
            record.headers.push(("origin".to_owned(), "test".to_owned()));
            record
        })
        .collect();
    kafka.produce(&topic, &ours);
    let lines: String = keys.iter().map(|key| format!("{key}\t{{\"by\":\"java\"}}\n")).collect();
    kafka.tool(
        "org.apache.kafka.tools.ConsoleProducer",
        &["--topic", &topic, "--reader-property", "parse.key=true"],
        &lines,
    );

    let records = kafka.read_committed(&topic);
    assert_eq!(records.len(), 80);
    for key in &keys {
        let of_key: Vec<_> = records.iter().filter(|record| record.key_text() == key).collect();
        let [first, second] = of_key[..] else { panic!("`{key}` has {} records", of_key.len()) };
        assert_eq!(first.partition, second.partition, "`{key}` is in two partitions");
        assert_eq!((&first.json()["by"], first.header("origin")), (&"rust".into(), Some("test")));
        assert_eq!((&second.json()["by"], second.header("origin")), (&"java".into(), None));
    }
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn javas_consumer_reads_what_was_committed() {
    let kafka = Kafka::for_test("console");
    let topic = kafka.name("events");
    kafka.create_topic(&topic, 1, &[]);
    let producer = transactional_producer(&kafka);
    producer.begin_transaction().expect("a transaction begins");
    send(&producer, &topic, 0, "one");
    send(&producer, &topic, 0, "two");
    producer.commit_transaction(PATIENCE).expect("the transaction commits");

    let printed = kafka.tool(
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        &[
            &["--topic", &topic, "--from-beginning", "--max-messages", "2"][..],
            &["--isolation-level", "read_committed", "--timeout-ms", "30000"][..],
        ]
        .concat(),
        "",
    );
    assert_eq!(printed, "one\ntwo\n");
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn a_topic_is_never_made_by_a_typing_error() {
    let kafka = Kafka::for_test("auto-create");
    let topic = kafka.name("nobody-made-this");
    let producer: BaseProducer = kafka.client().create().expect("a producer");
    // A producer's question is what makes a topic where brokers are set to make them.
    for _ in 0..2 {
        let metadata = producer.client().fetch_metadata(Some(&topic), PATIENCE).expect("an answer");
        assert!(metadata.topics()[0].error().is_some(), "`{topic}` is there");
    }
}

fn transactional_producer(kafka: &Kafka) -> BaseProducer {
    let producer: BaseProducer = kafka
        .client()
        .set("transactional.id", kafka.name("producer"))
        .set("linger.ms", "0")
        .create()
        .expect("a producer");
    producer.init_transactions(PATIENCE).expect("the coordinator answers");
    producer
}

fn send(producer: &BaseProducer, topic: &str, partition: i32, value: &str) {
    let record = BaseRecord::to(topic)
        .partition(partition)
        .key("acme")
        .payload(value)
        .timestamp(NOON_MILLIS);
    producer.send(record).unwrap_or_else(|(error, _)| panic!("`{topic}` takes no record: {error}"));
}
