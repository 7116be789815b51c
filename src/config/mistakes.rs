//! Every mistake in the settings, with the exact words it is told in: an error text is an interface.

use super::tests::{told, told_without_tls};

/// A file, and all that is told about it.
#[rustfmt::skip]
const MISTAKES: &[(&str, &str)] = &[
    ("kafka: { group: x }",
     "barometer.yaml:1: kafka.group is not a known key; known here: bootstrap_servers, group_id, instance, group_protocol, delivery, offset_reset, session_timeout, transaction_timeout, topics, properties, consumer, producer"),
    ("kafak: { group_id: x }",
     "barometer.yaml:1: kafak is not a known key; did you mean `kafka`?"),
    ("kafka: localhost:9092",
     "barometer.yaml:1: kafka is `localhost:9092`, expected a mapping"),
    ("kafka: { bootstrap_servers: \"a:1,,b:2\" }",
     "barometer.yaml:1: kafka.bootstrap_servers is `a:1,,b:2`, expected `host:port`, several with commas"),
    ("kafka: { group_id: \"two words\" }",
     "barometer.yaml:1: kafka.group_id is `two words`, expected 1 to 249 letters, digits, `.`, `_` and `-`"),
    ("kafka: { instance: \"a/b\" }",
     "barometer.yaml:1: kafka.instance is `a/b`, expected 1 to 200 letters, digits, `.`, `_` and `-`"),
    ("kafka: { group_protocol: new }",
     "barometer.yaml:1: kafka.group_protocol is `new`, expected `classic` or `consumer`"),
    ("kafka: { delivery: exactly-once }",
     "barometer.yaml:1: kafka.delivery is `exactly-once`, expected `exactly_once` or `at_least_once`"),
    ("kafka: { offset_reset: error }",
     "barometer.yaml:1: kafka.offset_reset is `error`, expected `fail`, `earliest` or `latest`"),
    ("kafka: { properties: { auto.offset.reset: latest } }",
     "barometer.yaml:1: kafka.properties.auto.offset.reset belongs to the engine: use `kafka.offset_reset`"),
    ("kafka: { properties: { security.protocol: TLS } }",
     "barometer.yaml:1: kafka.properties.security.protocol is `TLS`, expected `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`"),
    ("kafka: { properties: { security.protocol: SASL_SSL } }",
     "barometer.yaml:1: kafka.properties.sasl.mechanism is missing, expected `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`"),
    ("kafka: { properties: { security.protocol: SASL_SSL, sasl.mechanism: GSSAPI } }",
     "barometer.yaml:1: kafka.properties.sasl.mechanism is `GSSAPI`, expected `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`"),
    ("kafka: { properties: { security.protocol: SASL_SSL, sasl.mechanisms: scram-sha-512 } }",
     "barometer.yaml:1: kafka.properties.sasl.username is missing: SCRAM-SHA-512 needs a user and a password (`${VARIABLE}` and `${file:PATH}` take them from elsewhere)\n\
      barometer.yaml:1: kafka.properties.sasl.password is missing: SCRAM-SHA-512 needs a user and a password (`${VARIABLE}` and `${file:PATH}` take them from elsewhere)"),
    ("kafka: { properties: { security.protocol: SASL_PLAINTEXT, sasl.mechanism: PLAIN, sasl.username: me, sasl.password: x } }",
     "barometer.yaml:1: warning: kafka.properties.sasl.mechanism is `PLAIN` without TLS: whoever sees the network sees the password"),
    ("kafka: { properties: { sasl.mechanism: SCRAM-SHA-512 } }",
     "barometer.yaml:1: warning: kafka.properties.sasl.mechanism has no effect while security.protocol is `PLAINTEXT`"),
    ("kafka: { properties: { ssl.ca.location: ca.pem } }",
     "barometer.yaml:1: warning: kafka.properties.ssl.ca.location has no effect while security.protocol is `PLAINTEXT`"),
    ("kafka: { consumer: { properties: { sasl.username: me } } }",
     "barometer.yaml:1: kafka.consumer.properties.sasl.username belongs under `kafka.properties`: every client has to be let in alike"),
    ("kafka: { session_timeout: 45 }",
     "barometer.yaml:1: kafka.session_timeout is 45, expected a duration such as `28d`, `6h`, `90s` or `250ms`"),
    ("kafka: { session_timeout: 2h }",
     "barometer.yaml:1: kafka.session_timeout is `2h`, expected 1s to 30m"),
    ("kafka: { group_protocol: consumer, session_timeout: 10s }",
     "barometer.yaml:1: warning: kafka.session_timeout has no effect under `group_protocol: consumer`, where the broker sets it"),
    ("kafka: { transaction_timeout: 1s }",
     "barometer.yaml:1: kafka.transaction_timeout is 1s, expected at least twice engine.catch_up_commit_interval (1s)"),
    ("kafka: { topics: { usage: \"product usage\" } }",
     "barometer.yaml:1: kafka.topics.usage is `product usage`, expected 1 to 249 letters, digits, `.`, `_` and `-`"),
    ("kafka: { topics: { usage: payments } }",
     "barometer.yaml:1: kafka.topics.payments is `payments`, expected another topic than that of kafka.topics.usage"),
    ("kafka: { topics: { ticket: x } }",
     "barometer.yaml:1: kafka.topics.ticket is not a known key; did you mean `tickets`?"),
    ("kafka: { properties: { enable.auto.commit: false } }",
     "barometer.yaml:1: kafka.properties.enable.auto.commit belongs to the engine: offsets are committed together with the output they led to"),
    ("kafka: { properties: { isolation.level: read_uncommitted } }",
     "barometer.yaml:1: kafka.properties.isolation.level belongs to the engine: inputs are always read committed: `delivery` has to hold end to end"),
    ("kafka: { producer: { properties: { transactional.id: mine } } }",
     "barometer.yaml:1: kafka.producer.properties.transactional.id belongs to the engine: it is made of `kafka.group_id`, `kafka.instance` and the worker's number"),
    ("kafka: { producer: { properties: { enable.idempotence: false } } }",
     "barometer.yaml:1: kafka.producer.properties.enable.idempotence belongs to the engine: it is always on; what may be chosen is `kafka.delivery`"),
    ("kafka: { consumer: { properties: { partition.assignment.strategy: cooperative-sticky } } }",
     "barometer.yaml:1: kafka.consumer.properties.partition.assignment.strategy belongs to the engine: only `range` gives a worker the same partitions of all topics"),
    ("kafka: { consumer: { properties: { group.remote.assignor: uniform } } }",
     "barometer.yaml:1: kafka.consumer.properties.group.remote.assignor belongs to the engine: only `range` gives a worker the same partitions of all topics"),
    ("kafka: { properties: { group.protocol: consumer } }",
     "barometer.yaml:1: kafka.properties.group.protocol belongs to the engine: use `kafka.group_protocol`"),
    ("kafka: { properties: { group.id: x } }",
     "barometer.yaml:1: kafka.properties.group.id belongs to the engine: use `kafka.group_id`"),
    ("kafka: { properties: { group.instance.id: x } }",
     "barometer.yaml:1: kafka.properties.group.instance.id belongs to the engine: it is made of `kafka.instance` and the worker's number"),
    ("kafka: { producer: { properties: { partitioner: murmur2 } } }",
     "barometer.yaml:1: kafka.producer.properties.partitioner belongs to the engine: output follows Java's `murmur2`; for the input use `ingest.partitioner`"),
    ("kafka: { properties: { bootstrap.servers: x } }",
     "barometer.yaml:1: kafka.properties.bootstrap.servers belongs to the engine: use `kafka.bootstrap_servers`"),
    ("kafka: { properties: { client.rack: [a, b] } }",
     "barometer.yaml:1: kafka.properties.client.rack is a list, expected a single value"),
    ("kafka: { properties: [a] }",
     "barometer.yaml:1: kafka.properties is a list, expected a mapping"),
    ("ingest: { partitioner: murmur3 }",
     "barometer.yaml:1: ingest.partitioner is `murmur3`, expected `auto`, `murmur2` or `crc32`"),
    ("ingest: { max_record_bytes: 1MiB }",
     "barometer.yaml:1: ingest.max_record_bytes is `1MiB`, expected a whole number, 1024 to 67108864"),
    ("ingest: { max_record_bytes: 12 }",
     "barometer.yaml:1: ingest.max_record_bytes is 12, expected a whole number, 1024 to 67108864"),
    ("ingest: { max_future_skew: -5m }",
     "barometer.yaml:1: ingest.max_future_skew is `-5m`, expected a duration such as `28d`, `6h`, `90s` or `250ms`"),
    ("engine: { workers: 0 }",
     "barometer.yaml:1: engine.workers is 0, expected a whole number, 1 to 256"),
    ("engine: { workers: auto }",
     "barometer.yaml:1: engine.workers is `auto`, expected a whole number, 1 to 256"),
    ("engine: { commit_interval: 10ms }",
     "barometer.yaml:1: engine.min_commit_gap is 20ms, expected at most engine.commit_interval (10ms)"),
    ("engine: { commit_interval: 2s }",
     "barometer.yaml:1: engine.catch_up_commit_interval is 1s, expected at least engine.commit_interval (2s)"),
    ("engine: { min_commit_gap: 200ms }",
     "barometer.yaml:1: engine.min_commit_gap is 200ms, expected at most engine.commit_interval (100ms)"),
    ("engine: { catch_up_commit_interval: 6s }",
     "barometer.yaml:1: kafka.transaction_timeout is 10s, expected at least twice engine.catch_up_commit_interval (6s)"),
    ("engine: { task_time: record }",
     "barometer.yaml:1: engine.task_time is `record`, expected `wall` or `records`"),
    ("engine: { publish_from: 2026-03-01 }",
     "barometer.yaml:1: engine.publish_from is `2026-03-01`, expected an instant with offset such as `2026-03-01T00:00:00Z`"),
    ("scores: { min_interval: often }",
     "barometer.yaml:1: scores.min_interval is `often`, expected a duration such as `28d`, `6h`, `90s` or `250ms`"),
    ("http: { listen: localhost:9650 }",
     "barometer.yaml:1: http.listen is `localhost:9650`, expected an IP address and port such as `127.0.0.1:9650` or `0.0.0.0:9650`"),
    ("http: { listen: 9650 }",
     "barometer.yaml:1: http.listen is 9650, expected an IP address and port such as `127.0.0.1:9650` or `0.0.0.0:9650`"),
    ("log: { format: xml }",
     "barometer.yaml:1: log.format is `xml`, expected `text` or `json`"),
    ("log: { level: verbose }",
     "barometer.yaml:1: log.level is `verbose`, expected `error`, `warn`, `info`, `debug` or `trace`"),
    ("log: { level: info, level: debug }",
     "barometer.yaml:1: log.level is given twice, first in line 1"),
    ("shutdown_timeout: 0s",
     "barometer.yaml:1: shutdown_timeout is `0s`, expected 1s to 1h"),
    ("scorecards: []",
     "barometer.yaml:1: scorecards is an empty list, expected at least one"),
    ("scorecards: [{ when: { profile: tier, is: gold } }]",
     "barometer.yaml:1: scorecards[0].file is missing"),
    ("scorecards: [{ file: a.yaml }, { file: b.yaml }]",
     "barometer.yaml:1: scorecards[0] has no `when`, so scorecards[1] and later are never reached: only the last may be without"),
    ("scorecards: [{ file: a.yaml, when: { measure: nps, above: 1 } }, { file: b.yaml }]",
     "barometer.yaml:1: scorecards[0].when.measure cannot be asked here, only profile fields can"),
    ("scorecards: [{ file: a.yaml, when: { profile: teir, is: gold } }]",
     "barometer.yaml:1: scorecards[0].when.profile is `teir`, expected one like `tier`"),
    ("scorecards: [{ file: a.yaml, when: { profile: tier, is: gold } }]",
     "barometer.yaml:1: warning: scorecards end with a condition: accounts that match none are judged by the embedded saas-default (an entry without `when` at the end says what else to use)"),
    ("kafka: { group_id: \"${GROUP}\" }",
     "barometer.yaml:1: kafka.group_id needs the environment variable `GROUP`, which is not set (`${GROUP:-default}` gives it a default)"),
    ("kafka: { group_id: \"${GROUP\" }",
     "barometer.yaml:1: kafka.group_id has `${` without `}` (a plain `${` is written `$${`)"),
    ("kafka: { group_id: \"${a b}\" }",
     "barometer.yaml:1: kafka.group_id has `${a b}`, expected `${VARIABLE}`, `${VARIABLE:-default}` or `${file:PATH}`"),
    ("kafka: { properties: { sasl.password: \"${file:secrets/absent}\" } }",
     "barometer.yaml:1: kafka.properties.sasl.password needs the file `/etc/barometer/secrets/absent`: no such file"),
    ("kafka: [",
     "barometer.yaml:2: is not valid YAML: while parsing a node, did not find expected node content"),
    ("- kafka",
     "barometer.yaml:1: the file is a list, expected a mapping"),
    ("kafka: { group: x }\nlog: { level: loud, format: loud }\nengine:\n  workers: many\nnonsense: 1",
     "barometer.yaml:1: kafka.group is not a known key; known here: bootstrap_servers, group_id, instance, group_protocol, delivery, offset_reset, session_timeout, transaction_timeout, topics, properties, consumer, producer\nbarometer.yaml:2: log.level is `loud`, expected `error`, `warn`, `info`, `debug` or `trace`\nbarometer.yaml:2: log.format is `loud`, expected `text` or `json`\nbarometer.yaml:4: engine.workers is `many`, expected a whole number, 1 to 256\nbarometer.yaml:5: nonsense is not a known key; known here: kafka, ingest, engine, limits, scores, http, log, shutdown_timeout, scorecards"),
    ("limits: { accounts: 0, when_full: panic, items_per_account: many, forget_after: 400 }",
     "barometer.yaml:1: limits.accounts is 0, expected a whole number, 1 to 4000000000\nbarometer.yaml:1: limits.when_full is `panic`, expected `refuse` or `forget_idle`\nbarometer.yaml:1: limits.items_per_account is `many`, expected a whole number, 1 to 1000000\nbarometer.yaml:1: limits.forget_after is 400, expected a duration such as `28d`, `6h`, `90s` or `250ms`"),
];

/// What a build says that has no TLS.
#[rustfmt::skip]
const MISTAKES_WITHOUT_TLS: &[(&str, &str)] = &[
    ("kafka: { properties: { security.protocol: ssl } }",
     "barometer.yaml:1: kafka.properties.security.protocol is `SSL`, which this build cannot do: it was built without TLS; build it with `cargo build --release --features tls`"),
    ("kafka: { properties: { security.protocol: SASL_SSL, sasl.mechanism: PLAIN } }",
     "barometer.yaml:1: kafka.properties.security.protocol is `SASL_SSL`, which this build cannot do: it was built without TLS; build it with `cargo build --release --features tls`"),
    ("kafka: { properties: { security.protocol: SASL_PLAINTEXT, sasl.mechanism: SCRAM-SHA-256, sasl.username: me, sasl.password: x } }",
     "barometer.yaml:1: kafka.properties.sasl.mechanism is `SCRAM-SHA-256`, which this build cannot do: SCRAM needs the library that TLS does; build it with `cargo build --release --features tls`"),
    ("kafka: { properties: { ssl.ca.location: ca.pem } }",
     "barometer.yaml:1: kafka.properties.ssl.ca.location cannot be used: this build has no TLS; build it with `cargo build --release --features tls`"),
];

#[test]
fn a_build_without_tls_says_how_to_get_it() {
    for (text, expected) in MISTAKES_WITHOUT_TLS {
        assert_eq!(told_without_tls(text), *expected, "{text}");
    }
    // PLAIN needs no library.
    let plain = "kafka: { properties: { security.protocol: SASL_PLAINTEXT, sasl.mechanism: PLAIN, \
                 sasl.username: me, sasl.password: x } }";
    assert!(told_without_tls(plain).contains("warning: "), "{}", told_without_tls(plain));
}

#[test]
fn each_mistake_is_told_in_these_words() {
    let mut wrong = Vec::new();
    for (text, expected) in MISTAKES {
        let told = told(text);
        if told != *expected {
            wrong.push(format!("{text:?}\n{told}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
