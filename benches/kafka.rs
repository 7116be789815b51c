//! The whole service on a real Kafka: the binary itself, its own metrics, and a broker beside it on the
//! same machine.
//!
//! `benches/kafka.sh [throughput|restore|handover]` starts a broker and runs this. What is compared is measured
//! in one run and in turns, since a machine that others use too is not the same twice; what a broker on
//! the same cores takes is in the wall times and not in the processor times, which are those of the
//! service alone.
//!
//! - `throughput`: one backlog, worked off exactly once and at least once in turns.
//! - `restore`: the state of many accounts, read back by a new process from a broker that has it in
//!   memory; then steady load, with what commits and checkpoints take; then a `kill -9` and a restore
//!   with records to be read again.
//! - `handover`: two processes share many accounts, one of them is killed, and the time is taken until
//!   the other one says something of what has moved to it.

#[path = "../tests/support/mod.rs"]
mod support;
mod traffic;

use std::collections::BTreeMap;
use std::env;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::json;

use barometer::engine::event::Source;
use barometer::engine::time::Span;
use barometer::kafka::{EventWriter, KafkaSettings};
use support::service::{INPUTS, OUTPUTS, Service, Setup};
use support::{Kafka, read_record};
use traffic::{Batch, Spread, Traffic, json};

/// Partition numbers, all of one worker.
const PARTITIONS: u32 = 4;

/// Accounts of the backlog, each with its four weeks of history at the start.
const BACKLOG_ACCOUNTS: u32 = 20_000;
/// Events of the backlog after that: ten days of them.
const BACKLOG_EVENTS: usize = 2_000_000;
/// Backlogs worked off by each of the two; the order turns around from pair to pair.
const PAIRS: usize = 6;
/// The part of a backlog that is left out of its rate: joining the group and getting under way.
const WARM_UP_SHARE: f64 = 0.1;

/// Accounts whose state is restored.
const ACCOUNTS: u32 = 200_000;
/// Restores measured; the one before them warms the broker's page cache.
const RESTORES: usize = 3;
/// Events a second of the steady load.
const STEADY_RATE: usize = 500;
/// Longer than the checkpoint interval, so that what goes out afterwards is what comes in.
const STEADY_WARM_UP: Duration = Duration::from_secs(40);
const STEADY: Duration = Duration::from_secs(60);

/// Accounts of two processes together, of which one is killed.
const SHARED_ACCOUNTS: u32 = 1_000_000;
/// How often one is killed, in turns.
const KILLS: usize = 3;
/// Accounts that are judged by hand after a kill: all partitions have some of them.
const JUDGED_BY_HAND: u32 = 40;

/// Events made at a time.
const BATCH_EVENTS: usize = 50_000;
/// Longest wait for anything here.
const PATIENCE: Duration = Duration::from_secs(900);
/// Between two looks at the metrics: encoding them is work of the service too.
const LOOK: Duration = Duration::from_millis(100);

/// The parts of a commit and of a restore, as the metrics have them.
const COMMIT_STEPS: [&str; 6] = ["prepare", "begin", "send", "flush", "offsets", "commit"];
const RESTORE_STEPS: [&str; 5] = ["ask", "read", "put_back", "replay", "thaw"];

fn main() {
    if env::var_os("BAROMETER_TEST_BOOTSTRAP").is_none() {
        eprintln!("this bench needs a Kafka: run benches/kafka.sh, which starts one");
        std::process::exit(2);
    }
    // Cargo adds `--bench`.
    let wanted: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| word == name);
    if is_wanted("throughput") {
        throughput();
    }
    if is_wanted("restore") {
        restore();
    }
    if is_wanted("handover") {
        handover();
    }
}

/// Topics and settings of this bench: defaults but for the clock, which the records drive, since they
/// are of another year, and what is published from the first event after the history on.
fn bench_setup(kafka: &Kafka) -> Setup {
    let mut setup = Setup::new(kafka);
    let start = Traffic::new(1).now();
    setup.settings["engine"]["publish_from"] = json!((start + Span::SECOND).to_string());
    setup.settings["scores"]["min_interval"] = json!("60s");
    setup.settings["log"] = json!({ "level": "info" });
    setup.settings["shutdown_timeout"] = json!("2m");
    setup
}

/// Where the bench's events go.
struct Producer {
    writer: EventWriter,
    topics: Vec<String>,
    batch: Batch,
    text: String,
    written: u64,
}

impl Producer {
    fn new(setup: &Setup) -> Producer {
        let bootstrap = setup.settings["kafka"]["bootstrap_servers"].as_str().expect("it is set");
        Producer {
            writer: EventWriter::connect(&KafkaSettings::new(bootstrap, "bench"))
                .expect("a producer"),
            topics: INPUTS.map(|key| setup.topic(key).to_owned()).to_vec(),
            batch: Batch::default(),
            text: String::new(),
            written: 0,
        }
    }

    fn topic(&self, source: Source) -> &str {
        let place = match source {
            Source::Usage => 0,
            Source::Ticket => 1,
            Source::Payment => 2,
            Source::Survey => 3,
            Source::Profile => 4,
        };
        &self.topics[place]
    }

    fn write_batch(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        for (time, event) in batch.events() {
            self.text.clear();
            let source = json(&event, &mut self.text);
            let topic = self.topic(source).to_owned();
            let key = event.account_id.as_bytes();
            let value = Some(self.text.as_bytes());
            self.writer.write(&topic, key, value, time).expect("the broker takes events");
        }
        self.written += batch.len() as u64;
        self.batch = batch;
    }

    /// The past of all accounts.
    fn histories(&mut self, traffic: &mut Traffic, accounts: u32) {
        for first in (0..accounts).step_by(1_000) {
            self.batch.clear();
            for account in first..accounts.min(first + 1_000) {
                traffic.history(account, &mut self.batch);
            }
            self.write_batch();
        }
    }

    fn events(&mut self, traffic: &mut Traffic, events: usize) {
        let mut left = events;
        while left > 0 {
            let count = left.min(BATCH_EVENTS);
            traffic.fill(&mut self.batch, count, Spread::Uniform);
            self.write_batch();
            left -= count;
        }
    }

    /// What somebody says of an account is a verdict at once.
    fn override_band(&mut self, account: u32, traffic: &Traffic) {
        let (time, account_id) = (traffic.now(), account_id(account));
        let text = json!({
            "event_id": format!("override-{account}"),
            "account_id": account_id,
            "occurred_at": time.to_string(),
            "override": true,
            "band": "red",
            "author": "bench",
            "reason": "so that there is something to say",
            "expires_at": (time + Span::days(30)).to_string(),
        });
        let topic = self.topic(Source::Survey).to_owned();
        let written = self.writer.write(
            &topic,
            account_id.as_bytes(),
            Some(text.to_string().as_bytes()),
            time,
        );
        written.expect("the broker takes events");
        self.written += 1;
    }

    fn flush(&mut self) {
        self.writer.flush(PATIENCE).expect("the broker acknowledges events");
    }
}

fn account_id(account: u32) -> String {
    format!("acct-{account:07}")
}

/// All metrics at one moment.
struct Look {
    at: Instant,
    processor_seconds: f64,
    text: String,
}

impl Look {
    fn at(service: &Service) -> Look {
        let (_, text) = service.get("/metrics");
        Look { at: Instant::now(), processor_seconds: service.processor_seconds(), text }
    }

    /// The sum over all labels.
    fn sum(&self, name: &str) -> f64 {
        let of_line = |line: &str| {
            let rest = line.strip_prefix(name)?;
            let (_, value) = rest.rsplit_once(' ')?;
            matches!(rest.as_bytes()[0], b' ' | b'{').then(|| value.parse::<f64>().ok())?
        };
        self.text.lines().filter_map(of_line).sum()
    }

    fn consumed(&self) -> f64 {
        self.sum("barometer_events_consumed_total")
    }

    fn step(&self, metric: &str, step: &str) -> f64 {
        self.sum(&format!("{metric}{{step=\"{step}\"}}"))
    }
}

/// What has happened between two looks.
struct Between<'a>(&'a Look, &'a Look);

impl Between<'_> {
    fn sum(&self, name: &str) -> f64 {
        self.1.sum(name) - self.0.sum(name)
    }

    fn seconds(&self) -> f64 {
        (self.1.at - self.0.at).as_secs_f64()
    }

    fn processor_seconds(&self) -> f64 {
        self.1.processor_seconds - self.0.processor_seconds
    }

    /// Means of the parts of a commit.
    fn print_commits(&self) {
        let commits = self.sum("barometer_commit_seconds_count");
        let mean = 1_000.0 * self.sum("barometer_commit_seconds_sum") / commits;
        print!("    {commits} commits of {mean:.1} ms in the mean:");
        for step in COMMIT_STEPS {
            let metric = "barometer_commit_step_seconds_sum";
            let spent = self.1.step(metric, step) - self.0.step(metric, step);
            print!(" {step} {:.2}", 1_000.0 * spent / commits);
        }
        println!();
    }

    fn print_checkpoints(&self) {
        let events = self.sum("barometer_events_consumed_total");
        let records = self.sum("barometer_checkpoint_records_total");
        let bytes = self.sum("barometer_checkpoint_bytes_total");
        println!(
            "    {events} events, {:.3} checkpoint records and {:.0} bytes of them an event, {:.0} \
             bytes a record",
            records / events,
            bytes / events,
            bytes / records
        );
    }
}

/// Waits until `events` have been consumed; returns the looks on the way.
fn follow(service: &Service, events: u64) -> Vec<Look> {
    let begun = Instant::now();
    let mut looks = vec![Look::at(service)];
    while looks.last().is_none_or(|look| look.consumed() < events as f64) {
        assert!(begun.elapsed() < PATIENCE, "not done in time; the log:\n{:?}", service.log());
        thread::sleep(LOOK);
        looks.push(Look::at(service));
    }
    looks
}

/// One backlog, again and again, for groups that have never been there before.
fn throughput() {
    let kafka = Kafka::for_test("bench-throughput");
    let mut setup = bench_setup(&kafka);
    setup.create_topics(PARTITIONS);
    let mut producer = Producer::new(&setup);
    let mut traffic = Traffic::new(BACKLOG_ACCOUNTS);
    producer.histories(&mut traffic, BACKLOG_ACCOUNTS);
    producer.events(&mut traffic, BACKLOG_EVENTS);
    producer.flush();
    let events = producer.written;
    println!("throughput: a backlog of {events} events of {BACKLOG_ACCOUNTS} accounts, one worker");

    let (mut wall_ratios, mut processor_ratios) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        let mut order = ["exactly_once", "at_least_once"];
        if pair % 2 == 1 {
            order.reverse();
        }
        let mut rates = order.map(|delivery| {
            let name = format!("{delivery}-{pair}");
            (delivery, work_off(&mut setup, &kafka, delivery, &name, events))
        });
        rates.sort_unstable_by_key(|(delivery, _)| *delivery == "at_least_once");
        let [(_, once), (_, often)] = rates;
        wall_ratios.push(once.0 / often.0);
        processor_ratios.push(once.1 / often.1);
    }
    print_spread("exactly once / at least once, wall time", &mut wall_ratios);
    print_spread("exactly once / at least once, processor time", &mut processor_ratios);
}

/// Events a second of wall time and of processor time.
type Rates = (f64, f64);

fn work_off(setup: &mut Setup, kafka: &Kafka, delivery: &str, name: &str, events: u64) -> Rates {
    let kafka_settings = &mut setup.settings["kafka"];
    kafka_settings["delivery"] = json!(delivery);
    kafka_settings["group_id"] = json!(kafka.name(name));
    for output in OUTPUTS {
        kafka_settings["topics"][output] = json!(kafka.name(&format!("{name}-{output}")));
    }
    setup.create_topics(PARTITIONS);
    let service = setup.run(&[]);
    let looks = follow(&service, events);
    let under_way = |look: &&Look| look.consumed() >= WARM_UP_SHARE * events as f64;
    let first = looks.iter().find(under_way).expect("the last look has all");
    let last = looks.last().expect("there is one");
    let between = Between(first, last);
    let taken = between.sum("barometer_events_consumed_total");
    let rates = (taken / between.seconds(), taken / between.processor_seconds());
    println!(
        "  {delivery}: {:.0} events/s, {:.0} a second of the service's processor time, {:.1} s",
        rates.0,
        rates.1,
        between.seconds()
    );
    between.print_commits();
    between.print_checkpoints();
    println!("    {} MB of memory at most", service.memory().1 >> 20);
    drop(service);
    rates
}

fn print_spread(what: &str, ratios: &mut [f64]) {
    ratios.sort_unstable_by(f64::total_cmp);
    let middle = (ratios[(ratios.len() - 1) / 2] + ratios[ratios.len() / 2]) / 2.0;
    println!(
        "{what}: {:.1} % (median of {}, {:.1} to {:.1} %)",
        100.0 * middle,
        ratios.len(),
        100.0 * ratios[0],
        100.0 * ratios[ratios.len() - 1]
    );
}

fn restore() {
    let kafka = Kafka::for_test("bench-restore");
    let setup = bench_setup(&kafka);
    setup.create_topics(PARTITIONS);
    let mut producer = Producer::new(&setup);
    let mut traffic = Traffic::new(ACCOUNTS);
    producer.histories(&mut traffic, ACCOUNTS);
    producer.flush();
    let events = producer.written;
    println!(
        "restore: {ACCOUNTS} accounts with {events} events, {PARTITIONS} partitions, one worker"
    );
    let service = setup.run(&[]);
    let looks = follow(&service, events);
    let (first, last) = (&looks[0], looks.last().expect("there is one"));
    println!("  taken in {:.0} s:", Between(first, last).seconds());
    Between(first, last).print_commits();
    Between(first, last).print_checkpoints();
    end_well(service);

    print_restore("warming up", &setup, end_well);
    for nth in 1..RESTORES {
        print_restore(&format!("restore {nth}"), &setup, end_well);
    }
    let service = print_restore(&format!("restore {RESTORES}"), &setup, |service| service);
    steady(&service, &mut Load { producer, traffic, overridden: 0 });
    service.signal("KILL");
    drop(service);
    print_restore("after kill -9 under the steady load", &setup, end_well);
}

/// Stops the service by SIGTERM.
fn end_well(mut service: Service) {
    service.signal("TERM");
    let (status, log) = service.wait();
    assert!(status.success(), "{status}: {}", log.join("\n"));
}

/// Starts the service and waits until it has gone on where it was, and then until all its accounts are
/// awake.
fn print_restore<T>(name: &str, setup: &Setup, then: impl FnOnce(Service) -> T) -> T {
    let started = Instant::now();
    let service = setup.run(&[]);
    service.wait_for_line("partitions assigned", 1);
    let assigned = (Instant::now(), service.processor_seconds());
    service.wait_for_line("task restored", PARTITIONS as usize);
    let gone_on = (Instant::now(), service.processor_seconds());
    while service.get("/readyz").0 != 200 {
        assert!(started.elapsed() < PATIENCE, "not ready; the log:\n{:?}", service.log());
        thread::sleep(Duration::from_millis(10));
    }
    let ready = Look::at(&service);
    let log = service.log();
    let records = log.iter().filter_map(|line| {
        let (_, rest) = line.split_once("changelog_records=")?;
        rest.split(' ').next()?.parse::<u64>().ok()
    });
    let records: u64 = records.sum();
    println!(
        "  {name}: assigned after {:.2} s; {records} records of the changelog, {} of the inputs read \
         again",
        (assigned.0 - started).as_secs_f64(),
        ready.sum("barometer_replayed_records_total"),
    );
    let moments = [("gone on", gone_on), ("all awake", (ready.at, ready.processor_seconds))];
    for (what, (at, processor_seconds)) in moments {
        let seconds = (at - assigned.0).as_secs_f64();
        let processor_seconds = processor_seconds - assigned.1;
        println!(
            "    {what} {seconds:.2} s after that: {:.0} accounts/s, {:.0} a second of the service's \
             processor time ({processor_seconds:.2} s)",
            f64::from(ACCOUNTS) / seconds,
            f64::from(ACCOUNTS) / processor_seconds,
        );
    }
    print!("    the worker's seconds:");
    for step in RESTORE_STEPS {
        print!(" {step} {:.2}", ready.step("barometer_restore_step_seconds_total", step));
    }
    println!();
    let (now, peak) = service.memory();
    println!("    {} MB of memory when all are awake, {} MB at most", now >> 20, peak >> 20);
    then(service)
}

/// Load at a pace, and a verdict every second, of the account after the one of the second before.
struct Load {
    producer: Producer,
    traffic: Traffic,
    overridden: u32,
}

impl Load {
    fn keep_up(&mut self, span: Duration) {
        /// Events that go out together.
        const TICK: Duration = Duration::from_millis(20);
        let per_tick = STEADY_RATE / (1_000 / TICK.as_millis() as usize);
        let begun = Instant::now();
        let (mut sent, first) = (0, self.overridden);
        while begun.elapsed() < span {
            let due = begun.elapsed().as_millis() as usize / TICK.as_millis() as usize * per_tick;
            if due > sent {
                self.producer.events(&mut self.traffic, due - sent);
                sent = due;
            }
            if begun.elapsed().as_secs() > u64::from(self.overridden - first) {
                self.override_next();
            }
            thread::sleep(TICK);
        }
    }

    fn override_next(&mut self) -> u32 {
        self.producer.override_band(self.overridden, &self.traffic);
        self.overridden += 1;
        self.overridden - 1
    }
}

fn steady(service: &Service, load: &mut Load) {
    load.keep_up(STEADY_WARM_UP);
    let first = Look::at(service);
    load.keep_up(STEADY);
    let last = Look::at(service);
    let between = Between(&first, &last);
    println!(
        "  steady: {:.0} events/s for {:.0} s, {} band changes and alerts, {:.0} % of a core",
        between.sum("barometer_events_consumed_total") / between.seconds(),
        between.seconds(),
        between.sum("barometer_band_changes_total") + between.sum("barometer_alerts_total"),
        100.0 * between.processor_seconds() / between.seconds()
    );
    between.print_commits();
    between.print_checkpoints();
}

/// Two processes, and one of them is killed.
fn handover() {
    let kafka = Kafka::for_test("bench-handover");
    let setup = bench_setup(&kafka);
    setup.create_topics(PARTITIONS);
    let mut load = Load {
        producer: Producer::new(&setup),
        traffic: Traffic::new(SHARED_ACCOUNTS),
        overridden: 0,
    };
    println!(
        "handover: {SHARED_ACCOUNTS} accounts, {PARTITIONS} partitions, two processes of one worker \
         each; after a kill at most {} may pass, and 2 s per million accounts moved, and a replay",
        bound_text(&setup)
    );
    let setups = ["one", "two"].map(|name| setup.named(name));
    let mut services = setups.each_ref().map(|setup| setup.run(&[]));
    let share = PARTITIONS as usize / services.len();
    wait_until(&services, |service| owned(service).len() == share);
    load.producer.histories(&mut load.traffic, SHARED_ACCOUNTS);
    load.producer.flush();
    let taken = |services: &[Service; 2]| -> f64 {
        services.iter().map(|service| Look::at(service).consumed()).sum()
    };
    let begun = Instant::now();
    while taken(&services) < load.producer.written as f64 {
        assert!(begun.elapsed() < PATIENCE, "not taken in; the log:\n{:?}", services[0].log());
        thread::sleep(LOOK);
    }
    for kill in 0..KILLS {
        let victim = kill % services.len();
        load.keep_up(STEADY_WARM_UP);
        print_handover(&kafka, &setup, &services, victim, &mut load);
        services[victim] = setups[victim].run(&[]);
        wait_until(&services, |service| {
            owned(service).len() == share && service.get("/readyz").0 == 200
        });
    }
    services.into_iter().for_each(end_well);
}

/// Kills one of two processes, and tells when the other one said something of each partition that has
/// moved.
fn print_handover(
    kafka: &Kafka,
    setup: &Setup,
    services: &[Service; 2],
    victim: usize,
    load: &mut Load,
) {
    let (victim, heir) = (&services[victim], &services[1 - victim]);
    let moves = owned(victim);
    let accounts = f64::from(SHARED_ACCOUNTS) * moves.len() as f64 / f64::from(PARTITIONS);
    let before = Look::at(heir);
    let restored_before = heir.said("task restored");
    let topic = setup.topic("events");
    let consumer: BaseConsumer = kafka
        .client()
        .set("group.id", kafka.name("witness"))
        .set("isolation.level", "read_committed")
        .set("fetch.wait.max.ms", "10")
        .create()
        .expect("a consumer");
    let mut from = TopicPartitionList::new();
    for (partition, end) in kafka.high_water_marks(topic) {
        from.add_partition_offset(topic, partition, Offset::Offset(end)).expect("an offset");
    }
    consumer.assign(&from).expect("an assignment");

    victim.signal("KILL");
    let killed = Instant::now();
    let judged: Vec<String> =
        (0..JUDGED_BY_HAND).map(|_| account_id(load.override_next())).collect();
    load.producer.flush();
    let (mut assigned, mut restored) = (None, None);
    let mut first_verdicts = BTreeMap::new();
    while first_verdicts.len() < moves.len() || restored.is_none() {
        assert!(killed.elapsed() < PATIENCE, "nothing was said; the log:\n{:?}", heir.log());
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(5)) {
            let record = read_record(&message);
            if moves.contains(&record.partition) && judged.contains(&record.key_text().to_owned()) {
                first_verdicts.entry(record.partition).or_insert_with(|| killed.elapsed());
            }
        }
        if assigned.is_none() && owned(heir).len() == PARTITIONS as usize {
            assigned = Some(killed.elapsed());
        }
        if restored.is_none() && heir.said("task restored") == restored_before + moves.len() {
            restored = Some(killed.elapsed());
        }
    }
    let after = Look::at(heir);
    let (assigned, restored) = (assigned.expect("before it"), restored.expect("the loop's end"));
    println!(
        "  {accounts} accounts of partitions {moves:?} moved: assigned {:.2} s after the kill, gone on \
         {:.2} s after that, first verdicts {} s after the kill",
        assigned.as_secs_f64(),
        (restored - assigned).as_secs_f64(),
        first_verdicts
            .values()
            .map(|after| format!("{:.2}", after.as_secs_f64()))
            .collect::<Vec<_>>()
            .join(" and "),
    );
    print!("    the worker's seconds:");
    for step in RESTORE_STEPS {
        let metric = "barometer_restore_step_seconds_total";
        print!(" {step} {:.2}", after.step(metric, step) - before.step(metric, step));
    }
    let replayed = Between(&before, &after).sum("barometer_replayed_records_total");
    println!("; {replayed} records read again");
}

/// Session and transaction time-out.
fn bound_text(setup: &Setup) -> String {
    let session = setup.settings["kafka"]["session_timeout"].as_str().expect("it is set");
    format!("{session} (session) and 10s (transaction)")
}

/// The partition numbers a process of one worker was given last.
fn owned(service: &Service) -> Vec<i32> {
    let log = service.log();
    let lines = log.iter().rev().filter(|line| line.contains("partitions assigned"));
    let mut lists = lines.filter_map(|line| {
        let (_, rest) = line.split_once("partitions=[")?;
        let (list, _) = rest.split_once(']')?;
        list.split(", ").map(|number| number.parse().ok()).collect()
    });
    lists.next().unwrap_or_default()
}

fn wait_until(services: &[Service], is_so: impl Fn(&Service) -> bool) {
    let begun = Instant::now();
    while !services.iter().all(&is_so) {
        assert!(begun.elapsed() < PATIENCE, "waited in vain; the log:\n{:?}", services[0].log());
        thread::sleep(LOOK);
    }
}
