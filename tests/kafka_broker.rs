//! The Kafka side against a real broker. Each test makes topics and a group of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use barometer::broker::{
    Broker, Change, End, ErrorClass, Fetched, Input, InputRecord, OutputRecord, OutputTopic,
    Processed,
};
use barometer::clock::Clock;
use barometer::engine::event::Source;
use barometer::engine::time::EventTime;
use barometer::kafka::{
    Delivery, EventWriter, GroupProtocol, KafkaBroker, KafkaSettings, Purpose, Retention,
    TopicProblem, check_topics, create_topics, list_topics,
};

const WAIT: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(100);

/// Settings with topics of their own, not yet made.
fn settings(test: &str) -> KafkaSettings {
    let bootstrap = std::env::var("BAROMETER_TEST_BOOTSTRAP")
        .expect("BAROMETER_TEST_BOOTSTRAP names the broker, see tests/all.sh");
    let name = format!("{test}-{:08x}", rand::random::<u32>());
    let mut settings = KafkaSettings::new(bootstrap, &name);
    for topic in settings.input_topics.values_mut() {
        *topic = format!("{name}-{topic}");
    }
    for topic in settings.output_topics.values_mut() {
        *topic = format!("{name}-{topic}");
    }
    settings
}

fn settings_with_topics(test: &str, partitions: i32) -> KafkaSettings {
    let settings = settings(test);
    assert_eq!(
        create_topics(&settings, partitions, None, Retention::Forever).unwrap().names.len(),
        9
    );
    settings
}

fn write(settings: &KafkaSettings, source: Source, keys: std::ops::Range<usize>) {
    let mut writer = EventWriter::connect(settings).unwrap();
    for key in keys {
        let key = format!("account-{key}");
        let at = EventTime::from_millis(1_700_000_000_000);
        writer.write(&settings.input_topics[&source], key.as_bytes(), Some(b"{}"), at).unwrap();
    }
    writer.flush(WAIT).unwrap();
}

/// A member that restores nothing: it starts at what is committed, or at the beginning.
struct Member {
    broker: KafkaBroker,
    held: BTreeSet<Input>,
    /// What it fetched: offsets by input.
    taken: BTreeMap<Input, Vec<i64>>,
    /// The last end of each input.
    ends: BTreeMap<Input, i64>,
    keys: Vec<String>,
    changes: Vec<Change>,
    /// Commits what it took before it lets go.
    commits: bool,
}

impl Member {
    fn join(settings: &KafkaSettings, worker: usize) -> Member {
        Member {
            broker: KafkaBroker::connect(settings, worker, Clock::wall()).unwrap(),
            held: BTreeSet::new(),
            taken: BTreeMap::new(),
            ends: BTreeMap::new(),
            keys: Vec::new(),
            changes: Vec::new(),
            commits: false,
        }
    }

    fn step(&mut self) {
        let changes = match self.broker.poll(STEP) {
            Ok(changes) => changes,
            // A topic just made is not known to every part of the broker at once.
            Err(error) if error.class == ErrorClass::Retriable => Vec::new(),
            Err(error) => panic!("{error}"),
        };
        for change in changes {
            match &change {
                Change::Assigned(inputs) => {
                    let committed = self.broker.committed(inputs, WAIT).unwrap();
                    let start: Vec<(Input, i64)> = inputs
                        .iter()
                        .zip(committed)
                        .map(|(input, at)| (*input, at.map_or(0, |at| at.offset)))
                        .collect();
                    self.broker.accept(&start).unwrap();
                    self.held.extend(inputs);
                }
                Change::Revoked(inputs) => {
                    if self.commits {
                        self.commit(inputs);
                    }
                    self.let_go(inputs);
                }
                Change::Lost(inputs) => self.let_go(inputs),
            }
            self.changes.push(change);
        }
        let mut fetched = Vec::new();
        for input in &self.held {
            self.broker.fetch(*input, 1_000, &mut fetched).unwrap();
            for one in fetched.drain(..) {
                match one {
                    Fetched::Record(record) => {
                        self.taken.entry(*input).or_default().push(record.offset());
                        self.keys.push(String::from_utf8(record.key().unwrap().to_vec()).unwrap());
                    }
                    Fetched::End(end) => {
                        self.ends.insert(*input, end);
                    }
                }
            }
        }
    }

    fn let_go(&mut self, inputs: &[Input]) {
        self.broker.release(inputs).unwrap();
        self.held.retain(|input| !inputs.contains(input));
    }

    fn commit(&mut self, inputs: &[Input]) {
        let processed: Vec<Processed> = inputs
            .iter()
            .filter_map(|input| {
                let offset = self.taken.get(input)?.last()? + 1;
                Some(Processed { input: *input, offset, metadata: format!("to {offset}") })
            })
            .collect();
        if !processed.is_empty() {
            self.broker.begin().unwrap();
            self.broker.commit(&processed).unwrap();
        }
    }

    fn until(&mut self, what: &str, mut done: impl FnMut(&mut Member) -> bool) {
        together(what, &mut [self], |members| done(members[0]));
    }

    fn partitions(&self, source: Source) -> BTreeSet<i32> {
        self.held.iter().filter(|i| i.source == source).map(|i| i.partition).collect()
    }
}

fn together(
    what: &str,
    members: &mut [&mut Member],
    mut done: impl FnMut(&mut [&mut Member]) -> bool,
) {
    let started = Instant::now();
    while !done(members) {
        assert!(
            started.elapsed() < WAIT,
            "waited in vain for {what}; changes {:#?}",
            members.iter().map(|member| &member.changes).collect::<Vec<_>>()
        );
        for member in members.iter_mut() {
            member.step();
        }
    }
}

fn usage(partition: i32) -> Input {
    Input { source: Source::Usage, partition }
}

fn output(key: &str) -> OutputRecord {
    OutputRecord {
        topic: OutputTopic::Events,
        partition: None,
        key: Some(key.as_bytes().to_vec()),
        value: Some(b"{}".to_vec()),
        headers: vec![("ce_id".into(), Some(b"a:1".to_vec())), ("empty".into(), None)],
        timestamp: Some(EventTime::from_millis(1_700_000_000_123)),
    }
}

/// A member of another group that reads the events topic as if it were usage.
fn reader_of_output(settings: &KafkaSettings) -> Member {
    let mut settings = settings.clone();
    settings.group_id = format!("{}-reader", settings.group_id);
    settings.delivery = Delivery::AtLeastOnce;
    let topic = settings.output_topics[&OutputTopic::Events].clone();
    settings.input_topics = BTreeMap::from([(Source::Usage, topic)]);
    Member::join(&settings, 0)
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn output_and_offsets_are_committed_together_or_not_at_all() {
    let settings = settings_with_topics("exactly-once", 1);
    write(&settings, Source::Usage, 0..3);
    let mut member = Member::join(&settings, 0);
    member.until("three records", |m| m.taken.get(&usage(0)).is_some_and(|t| t.len() == 3));

    let broker = &mut member.broker;
    let processed =
        Processed { input: usage(0), offset: 2, metadata: "T=5 n=7 owner=é".to_owned() };
    broker.begin().unwrap();
    broker.send(&output("kept")).unwrap();
    broker.commit(std::slice::from_ref(&processed)).unwrap();

    broker.begin().unwrap();
    broker.send(&output("dropped")).unwrap();
    std::thread::sleep(Duration::from_millis(300)); // so that it is on the broker
    broker.abort().unwrap();
    broker.begin().unwrap();
    broker.send(&output("kept too")).unwrap();
    broker.commit(&[]).unwrap();

    let committed = broker.committed(&[usage(0)], WAIT).unwrap();
    let committed = committed[0].as_ref().unwrap();
    assert_eq!((committed.offset, &committed.metadata), (2, &processed.metadata));
    let untouched = Input { source: Source::Ticket, partition: 0 };
    assert_eq!(broker.committed(&[untouched], WAIT).unwrap(), [None]);

    let mut reader = reader_of_output(&settings);
    // Two records, one taken back, and the markers of three transactions.
    reader.until("the end", |m| m.ends.get(&usage(0)) == Some(&6));
    assert_eq!(reader.keys, ["kept", "kept too"]);

    member.broker.close(WAIT);
    let mut again = Member::join(&settings, 0);
    again.until("the rest", |m| m.taken.contains_key(&usage(0)) && m.ends.contains_key(&usage(0)));
    assert_eq!(again.taken[&usage(0)], [2], "starts at the committed offset");
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn records_arrive_as_they_were_written() {
    let settings = settings_with_topics("as-written", 1);
    let mut writer = KafkaBroker::connect(&settings, 9, Clock::wall()).unwrap();
    writer.begin().unwrap();
    writer.send(&output("a")).unwrap();
    writer.send(&OutputRecord { value: None, headers: vec![], ..output("b") }).unwrap();
    writer.send(&OutputRecord { key: None, value: Some(vec![]), ..output("") }).unwrap();
    writer.commit(&[]).unwrap();

    let mut reader = reader_of_output(&settings);
    let mut records = Vec::new();
    let started = Instant::now();
    while records.len() < 3 {
        assert!(started.elapsed() < WAIT);
        for change in reader.broker.poll(STEP).unwrap_or_default() {
            assert_eq!(change, Change::Assigned(vec![usage(0)]));
            reader.broker.accept(&[(usage(0), 0)]).unwrap();
        }
        let mut fetched = Vec::new();
        reader.broker.fetch(usage(0), 10, &mut fetched).unwrap();
        records.extend(fetched.into_iter().filter_map(|one| match one {
            Fetched::Record(record) => Some(record),
            Fetched::End(_) => None,
        }));
    }
    // Records outlive the member they came from.
    reader.broker.close(WAIT);
    drop(reader);
    assert_eq!(records[0].key(), Some(&b"a"[..]));
    assert_eq!(records[0].value(), Some(&b"{}"[..]));
    assert_eq!(records[0].headers(), output("a").headers);
    assert_eq!(records[0].timestamp(), output("a").timestamp);
    assert_eq!((records[1].value(), records[1].headers().len()), (None, 0));
    assert_eq!((records[2].key(), records[2].value()), (None, Some(&b""[..])));
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn an_open_transaction_holds_the_end_back_and_control_records_do_not() {
    let settings = settings_with_topics("ends", 1);
    let mut reader = reader_of_output(&settings);
    let mut writer = KafkaBroker::connect(&settings, 9, Clock::wall()).unwrap();
    writer.begin().unwrap();
    writer.send(&output("a")).unwrap();
    writer.commit(&[]).unwrap();

    // One record and one marker: the end lies past what is ever delivered.
    reader.until("the end past the marker", |m| m.ends.get(&usage(0)) == Some(&2));
    let end = |stable, high| End { input: usage(0), stable, high };
    let answered = |m: &mut Member| m.broker.end_offsets().map(|answer| answer.ends);
    reader.until("an answer", |m| answered(m).is_some_and(|ends| ends == [end(2, 2)]));

    writer.begin().unwrap();
    writer.send(&output("b")).unwrap();
    std::thread::sleep(Duration::from_millis(500)); // so that it is on the broker
    let before = Clock::wall().now();
    let mut answers = 0;
    reader.until("three answers", |m| {
        if let Some(answer) = m.broker.end_offsets().filter(|answer| answer.asked_at >= before) {
            assert_eq!(
                answer.ends,
                [end(2, 3)],
                "the open transaction is seen only beyond `stable`"
            );
            answers += 1;
        }
        answers == 3
    });
    assert_eq!(reader.broker.watermarks(usage(0), WAIT).unwrap(), (0, 2));
    assert_eq!(reader.ends[&usage(0)], 2);
    writer.commit(&[]).unwrap();
    reader.until("the new end", |m| answered(m).is_some_and(|ends| ends == [end(4, 4)]));
    reader.until("reading up to it", |m| m.ends.get(&usage(0)) == Some(&4));
    assert_eq!(reader.keys, ["a", "b"]);
}

fn two_members_share_partitions(group_protocol: GroupProtocol) {
    let settings = KafkaSettings { group_protocol, ..settings_with_topics("two-members", 4) };
    write(&settings, Source::Usage, 0..100);
    let mut first = Member::join(&settings, 0);
    first.commits = true;
    first.until("all partitions", |m| m.held.len() == 20);
    first.until("all records", |m| m.keys.len() == 100 && m.ends.len() == 20);

    let mut second = Member::join(&settings, 1);
    second.commits = true;
    together("a half each", &mut [&mut first, &mut second], |members| {
        members.iter().all(|m| m.held.len() == 10)
    });
    for member in [&first, &second] {
        for source in Source::ALL {
            assert_eq!(
                member.partitions(source),
                member.partitions(Source::Usage),
                "the same partitions of every topic"
            );
        }
    }
    // What was revoked was committed before it was released, so nobody reads it again.
    for _ in 0..10 {
        first.step();
        second.step();
    }
    assert_eq!(second.keys.len(), 0);

    // Records that come after a rebalance are neither lost nor read twice, also where a partition
    // stayed with its member and its end had been reached.
    write(&settings, Source::Usage, 100..200);
    together("the new records", &mut [&mut first, &mut second], |members| {
        members.iter().map(|m| m.keys.len()).sum::<usize>() >= 200
    });
    second.commit(&second.held.iter().copied().collect::<Vec<_>>());
    second.broker.close(WAIT);
    first.until("everything again", |m| m.held.len() == 20);
    write(&settings, Source::Usage, 200..300);
    first.until("the last records", |m| m.keys.len() + second.keys.len() >= 300);
    for _ in 0..10 {
        first.step();
    }
    let mut keys: Vec<_> = first.keys.iter().chain(&second.keys).collect();
    keys.sort_unstable();
    let read = keys.len();
    keys.dedup();
    assert_eq!((keys.len(), read), (300, 300), "every record exactly once");
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn two_members_share_partitions_and_the_last_one_has_them_all_classic() {
    two_members_share_partitions(GroupProtocol::Classic);
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn two_members_share_partitions_and_the_last_one_has_them_all_consumer() {
    two_members_share_partitions(GroupProtocol::Consumer);
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn an_input_can_be_read_again_from_where_it_was_committed() {
    for group_protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
        let settings = KafkaSettings { group_protocol, ..settings_with_topics("again", 2) };
        write(&settings, Source::Usage, 0..2_000);
        let mut member = Member::join(&settings, 0);
        member.until("all records", |m| m.keys.len() == 2_000 && m.ends.len() == 10);
        let first: Vec<i64> = member.taken[&usage(0)].clone();
        for released_before in [true, false] {
            member.taken.clear();
            if released_before {
                member.broker.release(&[usage(0)]).unwrap();
                member.step();
                assert_eq!(member.taken.len(), 0, "released inputs bring nothing");
            }
            member.broker.accept(&[(usage(0), 100)]).unwrap();
            member.until("the rest once more", |m| {
                m.taken.get(&usage(0)).is_some_and(|t| t.len() == first.len() - 100)
            });
            assert_eq!(member.taken[&usage(0)], first[100..], "{group_protocol:?}");
            assert_eq!(member.taken.len(), 1, "others go on where they were");
        }
    }
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn a_static_member_comes_back_without_anybody_moving() {
    let settings =
        KafkaSettings { instance: Some("pod-0".into()), ..settings_with_topics("static", 2) };
    let mut stays = Member::join(&settings, 0);
    let mut leaves = Member::join(&settings, 1);
    together("a half each", &mut [&mut stays, &mut leaves], |members| {
        members.iter().all(|m| m.held.len() == 5)
    });
    leaves.broker.close(WAIT);
    let changes = stays.changes.len();
    let mut back = Member::join(&settings, 1);
    together("the same half", &mut [&mut stays, &mut back], |members| members[1].held.len() == 5);
    assert_eq!(back.held, leaves.held);
    assert_eq!(stays.changes.len(), changes);
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn a_producer_whose_id_was_taken_is_fenced_and_can_take_it_back() {
    let mut settings = settings_with_topics("fencing", 1);
    settings.instance = Some("pod-0".into());
    // Two groups of one name would also fence each other as members: the second reads nothing here.
    let mut first = KafkaBroker::connect(&settings, 0, Clock::wall()).unwrap();
    first.begin().unwrap();
    first.send(&output("never seen")).unwrap();
    let mut second = KafkaBroker::connect(&settings, 0, Clock::wall()).unwrap();
    second.begin().unwrap();
    second.send(&output("seen")).unwrap();
    second.commit(&[]).unwrap();

    let error = first.commit(&[]).unwrap_err();
    assert_eq!(error.class, ErrorClass::Fenced, "{error}");
    assert!(error.message.contains(&settings.transactional_id(0)), "{error}");
    first.begin().unwrap();
    first.send(&output("seen too")).unwrap();
    first.commit(&[]).unwrap();

    let mut reader = reader_of_output(&settings);
    reader.until("both", |m| m.keys.len() == 2 && m.ends.contains_key(&usage(0)));
    assert_eq!(reader.keys, ["seen", "seen too"]);
    // Two static members of one name are fenced as members too, and the client library can wait for
    // ever while it lets go of one that is in the middle of that. A process that is fenced ends
    // without asking (`Workers::stop` leaves such a worker behind), and so does this test.
    std::mem::forget((first, second, reader));
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn offsets_of_a_member_the_group_has_given_up_are_fenced() {
    let mut settings = settings_with_topics("given-up", 1);
    settings.session_timeout = Duration::from_secs(6);
    let mut slow = settings.clone();
    slow.consumer_properties.insert("max.poll.interval.ms".into(), "6000".into());
    write(&settings, Source::Usage, 0..3);
    let mut member = Member::join(&slow, 0);
    member.until("the records", |m| m.keys.len() == 3 && m.held.len() == 5);
    let inputs: Vec<Input> = member.held.iter().copied().collect();
    member.commit(&inputs);
    // Not polling for longer than it may, it is out of the group without knowing.
    let mut other = Member::join(&settings, 1);
    other.until("taking over", |m| m.held.len() == 5);
    member.broker.begin().unwrap();
    let late = Processed { input: usage(0), offset: 1, metadata: "late".to_owned() };
    let error = member.broker.commit(&[late]).unwrap_err();
    assert_eq!(error.class, ErrorClass::Fenced, "{error}");
    let committed = other.broker.committed(&[usage(0)], WAIT).unwrap();
    assert_eq!(committed[0].as_ref().map(|c| c.offset), Some(3));
    assert!(error.message.contains("Unknown member"), "{error}");
    // It hears that it holds nothing any more, and joins again.
    member.broker.abort().unwrap();
    together("coming back", &mut [&mut member, &mut other], |members| {
        members[0].changes.len() > 1 && members[0].held.len() + members[1].held.len() == 5
    });
    let gone = [Change::Lost(inputs.clone()), Change::Revoked(inputs)];
    assert!(gone.contains(&member.changes[1]), "{:?}", member.changes);
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn an_offset_that_is_gone_stops_with_an_error_that_names_it() {
    let settings = settings_with_topics("gone", 1);
    write(&settings, Source::Usage, 0..3);
    let mut broker = KafkaBroker::connect(&settings, 0, Clock::wall()).unwrap();
    let started = Instant::now();
    let mut fetched = Vec::new();
    let error = loop {
        assert!(started.elapsed() < WAIT);
        for change in broker.poll(STEP).unwrap_or_default() {
            let Change::Assigned(inputs) = change else { panic!("{change:?}") };
            let start: Vec<_> = inputs.iter().map(|input| (*input, 88_120)).collect();
            broker.accept(&start).unwrap();
        }
        if let Err(error) = broker.fetch(usage(0), 10, &mut fetched) {
            break error;
        }
    };
    let topic = &settings.input_topics[&Source::Usage];
    assert_eq!(error.class, ErrorClass::Fatal);
    let start = format!("topic `{topic}`, partition 0, offset 88120: ");
    assert!(error.message.starts_with(&start), "{error}");
    assert!(error.message.contains("`kafka.offset_reset`"), "{error}");
    broker.close(WAIT);
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn a_record_too_large_names_its_topic_key_and_size() {
    let mut settings = settings_with_topics("too-large", 1);
    let mut broker = KafkaBroker::connect(&settings, 0, Clock::wall()).unwrap();
    broker.begin().unwrap();
    let large = OutputRecord { value: Some(vec![b'x'; 1_500_000]), ..output("big") };
    let error = broker.send(&large).unwrap_err();
    assert_eq!(error.class, ErrorClass::Abortable);
    let topic = settings.output_topics[&OutputTopic::Events].clone();
    let tried = format!("writing key `big` (1500003 bytes) to topic `{topic}`: ");
    assert!(error.message.starts_with(&tried), "{error}");
    broker.abort().unwrap();

    // A topic that allows less than the client: the refusal comes with the acknowledgement.
    settings.record_bytes_max = 3_000_000;
    settings.producer_properties.insert("compression.type".into(), "none".into());
    let mut broker = KafkaBroker::connect(&settings, 1, Clock::wall()).unwrap();
    broker.begin().unwrap();
    broker.send(&large).unwrap();
    let error = broker.commit(&[]).unwrap_err();
    assert_eq!(error.class, ErrorClass::Abortable, "{error}");
    assert!(error.message.contains("`big`") && error.message.contains(&topic), "{error}");
    broker.abort().unwrap();
    broker.begin().unwrap();
    broker.send(&output("small")).unwrap();
    broker.commit(&[]).unwrap();
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn at_least_once_commits_offsets_with_metadata_after_the_output() {
    let settings = KafkaSettings {
        delivery: Delivery::AtLeastOnce,
        ..settings_with_topics("at-least-once", 1)
    };
    write(&settings, Source::Usage, 0..3);
    let mut member = Member::join(&settings, 0);
    member.until("three records", |m| m.keys.len() == 3);
    member.broker.begin().unwrap();
    member.broker.send(&output("a")).unwrap();
    let processed = Processed { input: usage(0), offset: 3, metadata: "T=1".to_owned() };
    member.broker.commit(&[processed]).unwrap();
    let committed = member.broker.committed(&[usage(0)], WAIT).unwrap();
    let committed = committed[0].as_ref().unwrap();
    assert_eq!((committed.offset, committed.metadata.as_str()), (3, "T=1"));
    let mut reader = reader_of_output(&settings);
    reader.until("the output", |m| m.keys == ["a"]);
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn an_idle_member_sleeps_and_a_record_wakes_it() {
    let settings = settings_with_topics("idle", 1);
    let mut member = Member::join(&settings, 0);
    member.until("the ends", |m| m.ends.len() == 5);
    let mut polls = 0;
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(2) {
        member.broker.poll(Duration::from_secs(1)).unwrap();
        member.broker.end_offsets();
        polls += 1;
    }
    // Answers about end offsets wake it twenty times a second, and nothing else does.
    assert!(polls < 80, "{polls} polls in two idle seconds");
    std::thread::scope(|scope| {
        scope.spawn(|| write(&settings, Source::Usage, 0..1));
        member.until("the record", |m| m.keys.len() == 1);
    });
    // What nobody fetches does not keep it awake.
    write(&settings, Source::Usage, 1..1_000);
    polls = 0;
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(2) {
        member.broker.poll(Duration::from_secs(1)).unwrap();
        polls += 1;
    }
    assert!(polls < 80, "{polls} polls in two seconds of waiting records");
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn topics_are_made_checked_and_listed() {
    let mut settings = settings("topics");
    let missing = check_topics(&settings, Purpose::Run).unwrap().unwrap_err();
    assert_eq!(missing.0.len(), 8, "all but the profiles: {missing}");
    create_topics(&settings, 3, None, Retention::Forever).unwrap();
    assert_eq!(
        create_topics(&settings, 3, None, Retention::Forever).unwrap().names,
        [""; 0],
        "nothing is made twice"
    );
    let found = eventually(|| check_topics(&settings, Purpose::Run).unwrap().ok());
    assert_eq!((found.partitions, found.sources.len()), (3, 5));

    let listed = list_topics(&settings).unwrap();
    assert_eq!(listed.len(), 9);
    for topic in listed {
        let compacted = ["accounts", "scores", "changelog"].iter().any(|n| topic.name.ends_with(n));
        let policy = topic.settings.get("cleanup.policy").map_or("delete", String::as_str);
        assert_eq!(policy == "compact", compacted, "{}", topic.name);
        assert_eq!((topic.partitions, topic.replication), (3, 1), "{}", topic.name);
    }

    let odd = format!("{}-odd", settings.input_topics[&Source::Survey]);
    settings.input_topics.insert(Source::Survey, odd.clone());
    create_topics(&settings, 2, None, Retention::Forever).unwrap();
    eventually(|| match check_topics(&settings, Purpose::Run).unwrap() {
        Err(problems) => match &problems.0[..] {
            [TopicProblem::UnequalPartitions(counts)] => {
                counts.contains(&(odd.clone(), 2)).then_some(())
            }
            _ => None,
        },
        Ok(found) => panic!("{found:?}"),
    });
}

/// What was just made is not known to every part of the broker at once.
fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < WAIT, "looked in vain");
        std::thread::sleep(STEP);
    }
}

#[test]
#[ignore = "needs Kafka: tests/all.sh"]
fn a_topic_that_is_missing_is_named() {
    let settings = settings("missing");
    let mut broker = KafkaBroker::connect(&settings, 0, Clock::wall()).unwrap();
    let started = Instant::now();
    let error = loop {
        assert!(started.elapsed() < WAIT);
        match broker.poll(STEP) {
            Ok(changes) => assert_eq!(changes, []),
            Err(error) => break error,
        }
    };
    assert_eq!(error.class, ErrorClass::Retriable, "{error}");
    assert!(error.message.contains("barometer topics create"), "{error}");
    assert!(settings.input_topics.values().any(|t| error.message.contains(t)), "{error}");
}
