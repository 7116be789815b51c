//! What has to come out: one engine for each partition number that never fails, fed the same records in
//! record-time order, and how the fleet's committed output compares with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use barometer::broker::{Input, OutputTopic};
use barometer::engine::Engine;
use barometer::engine::event::{self, Source};
use barometer::engine::limits::Refusal;
use barometer::engine::record::{self, EncodedRecord};
use barometer::engine::report::Snapshot;
use barometer::engine::rules::Rules;
use barometer::engine::snapshot::{self, KeptAccount, Stamp};
use barometer::engine::stats::Stats;
use barometer::engine::time::{EventTime, Span};
use barometer::partitioner::Partitioner;
use barometer::telemetry::metrics::Metrics;
use serde_json::{Value, json};

use super::cluster::Stored;
use super::world::{Plan, World};

/// Everything a reader of committed records may see.
#[derive(Debug, Default)]
pub struct Told {
    /// By account, or by source and partition number for operators: what was said, in order.
    pub events: BTreeMap<String, Vec<Event>>,
    /// Where each came from, and why.
    pub letters: Vec<Letter>,
    /// By account: what its latest report says.
    pub reports: BTreeMap<String, Value>,
}

/// One event: its headers in order, and its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub headers: Vec<(String, String)>,
    pub payload: String,
}

impl Event {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }
}

/// One dead letter, without the words of its reason.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Letter {
    pub source: String,
    pub partition: String,
    pub offset: String,
    pub code: String,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
}

impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Letter { source, partition, offset, code, key, value } = self;
        let (key, bytes) = (text(key.as_deref()), value.as_ref().map_or(0, Vec::len));
        write!(f, "`{source}` {partition}:{offset}, {code}, key `{key}`, {bytes} bytes")
    }
}

/// What the oracle expects, and its accounts at the end.
#[derive(Default)]
pub struct Expected {
    pub told: Told,
    pub accounts: BTreeMap<String, Snapshot>,
    /// By account: what a checkpoint of it holds, as [`state_of`] has it.
    pub state: BTreeMap<String, Vec<u8>>,
    /// What the metrics say of now.
    pub gauges: Vec<String>,
}

/// What an account's record of the changelog says at a later time, apart from where and when it was
/// written, and from the book of its alerts: since when the score has stood is known to the hour only,
/// which is enough. What has left every window meanwhile is dropped as it is read, so both sides are
/// read once more.
pub fn state_of(rules: &Arc<Rules>, account: &str, value: &[u8], at: EventTime) -> Vec<u8> {
    let key = account.as_bytes();
    let kept = KeptAccount::open(key, value).expect("a record as it was written");
    let mut engine = Engine::with_rules(Arc::clone(rules), EventTime::MAX);
    let slot = engine.put_back(account, kept).expect("a record of these rules");
    engine.thaw(at, at, EventTime::MIN);
    engine.snapshot(account).expect("it was put back");
    let kept = engine.keep(slot, &Stamp::default(), false);
    let kept = KeptAccount::new(
        &Stamp::default(),
        false,
        kept.card,
        kept.sequence,
        kept.band,
        kept.published,
        None,
        kept.overriding,
        kept.aggregate,
        kept.beginning,
    );
    snapshot::seal(key, &kept)
}

/// How many accounts are in which band, how many alerts fire, which sources are out; whatever is not
/// zero.
pub fn gauges_of(metrics: &Metrics) -> Vec<String> {
    let text = String::from_utf8(metrics.text()).expect("metrics are text");
    let of_now = ["barometer_accounts{", "barometer_alerts_firing{", "barometer_source_outages{"];
    let tells =
        |line: &&str| of_now.iter().any(|name| line.starts_with(name)) && !line.ends_with(" 0");
    text.lines().filter(tells).map(str::to_owned).collect()
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

/// What a report says, apart from what its own time decides: measures that neither score nor gates nor
/// alerts can notice are read when there is a report to write. Where reports are held back for an
/// interval, one of a change that time alone has made dies with its process, so that only what goes out
/// at once is compared.
fn says(report: &Value, plan: &Plan) -> Value {
    let fields =
        ["band", "previous_band", "band_since", "scorecard_hash", "score", "coverage", "gates"];
    let held_back = plan.settings.scores_min_interval > Span::ZERO;
    let fields = if held_back { &fields[..3] } else { &fields[..] };
    let mut says: Vec<Value> = fields.iter().map(|field| report[field].clone()).collect();
    if held_back {
        return Value::Array(says);
    }
    let alerts = report["alerts"].as_array().into_iter().flatten();
    says.extend(alerts.map(|alert| json!([alert["rule"], alert["status"]])));
    Value::Array(says)
}

impl Told {
    fn add_event(&mut self, key: &str, event: Event) {
        // Operators of all tasks share a key; each task has an order of its own.
        let id = event.header("ce_id");
        let stream = id.rsplit_once(':').map_or(id, |(stream, _)| stream);
        self.events.entry(format!("{key} {stream}")).or_default().push(event);
    }

    /// What the fleet has published.
    pub fn of(world: &World) -> Told {
        let cluster = world.cluster.borrow();
        let mut told = Told::default();
        let records = |topic: OutputTopic| cluster.outputs(topic).flat_map(|log| log.committed());
        for record in records(OutputTopic::Events) {
            let headers = record.headers.iter();
            let event = Event {
                headers: headers.map(|(name, v)| (name.clone(), text(v.as_deref()))).collect(),
                payload: text(record.value.as_deref()),
            };
            told.add_event(&text(record.key.as_deref()), event);
        }
        for record in records(OutputTopic::DeadLetters) {
            told.letters.push(Letter::of(record));
        }
        told.letters.sort();
        for record in records(OutputTopic::Scores) {
            let report: Value = serde_json::from_slice(record.value.as_deref().unwrap_or_default())
                .expect("a report is JSON");
            told.reports.insert(text(record.key.as_deref()), says(&report, &world.plan));
        }
        told
    }
}

impl Letter {
    fn of(record: &Stored) -> Letter {
        let header = |name: &str| {
            let found = record.headers.iter().rfind(|(known, _)| known == name);
            found.map_or_else(String::new, |(_, value)| text(value.as_deref()))
        };
        Letter {
            source: header("__connect.errors.topic"),
            partition: header("__connect.errors.partition"),
            offset: header("__connect.errors.offset"),
            code: header("__connect.errors.exception.class.name"),
            key: record.key.clone(),
            value: record.value.clone(),
        }
    }
}

impl Expected {
    /// What comes of everything that the inputs were given.
    pub fn of(world: &World) -> Expected {
        let mut expected = Expected::default();
        let metrics = Metrics::new();
        for partition in 0..world.plan.partitions {
            let cluster = world.cluster.borrow();
            let mut records = Vec::new();
            for source in Source::ALL {
                let history = cluster.history(Input { source, partition });
                records.extend(history.into_iter().map(|record| (source, record)));
            }
            drop(cluster);
            // Stable: at one time by source, then by offset.
            records.sort_by_key(|(source, record)| (record.timestamp, *source));
            let mut engine = Engine::with_rules(world.plan.rules.clone(), EventTime::MIN)
                .with_limits(world.plan.settings.account_limits);
            if world.plan.settings.outage_guard {
                engine = engine.with_outage_guard();
            }
            for (source, record) in &records {
                engine.advance_to(record.timestamp);
                expected.take(&mut engine, &world.plan, *source, partition, record);
            }
            let ids: Vec<String> = engine.account_ids().map(str::to_owned).collect();
            for id in ids {
                let snapshot = engine.snapshot(&id).expect("the engine just named it");
                let report = serde_json::to_value(snapshot.report()).expect("a report is JSON");
                expected.told.reports.insert(id.clone(), says(&report, &world.plan));
                let slot = engine.find(&id).expect("the engine just named it");
                let kept = engine.keep(slot, &Stamp::default(), false);
                let value = snapshot::seal(id.as_bytes(), &kept);
                let state = state_of(&world.plan.rules, &id, &value, engine.now());
                expected.state.insert(id.clone(), state);
                expected.accounts.insert(id, snapshot);
            }
            metrics.add_stats(&world.plan.rules, &Stats::default(), engine.stats());
        }
        expected.gauges = gauges_of(&metrics);
        expected.told.letters.sort();
        expected
    }

    fn take(
        &mut self,
        engine: &mut Engine,
        plan: &Plan,
        source: Source,
        partition: i32,
        record: &Stored,
    ) {
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        let decoded = event::decode(source, key, value, record.timestamp, &plan.settings.limits);
        let belongs =
            |key: &[u8]| Partitioner::Murmur2.partition(key, plan.partitions) == partition;
        let code = match decoded {
            Ok(event) if key.is_some_and(belongs) => {
                engine.handle_event(&event).map(|refusal| match refusal {
                    Refusal::Items => "item_limit",
                    Refusal::Accounts => unreachable!("there is room for all accounts"),
                })
            }
            Ok(_) => Some("misrouted"),
            Err(error) => Some(error.code.name()),
        };
        if let Some(code) = code {
            self.told.letters.push(Letter {
                source: plan.settings.topics[source as usize].clone(),
                partition: partition.to_string(),
                offset: record.offset.to_string(),
                code: code.to_owned(),
                key: record.key.clone(),
                value: record.value.clone(),
            });
        }
        let from = &plan.settings.event_source;
        while let Some(verdict) = engine.poll_verdict() {
            self.add(record::encode(&verdict, from));
        }
        while let Some(alert) = engine.poll_operator_alert() {
            self.add(record::encode_operator_alert(&alert, partition, from));
        }
    }

    fn add(&mut self, encoded: EncodedRecord) {
        let EncodedRecord { key, headers, payload } = encoded;
        let event = Event {
            headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            payload: text(Some(&payload)),
        };
        self.told.add_event(&text(Some(&key)), event);
    }
}

/// Holds what was published against what had to be. `whole` says that nothing may be missing; else it
/// may end early, and everything before must be there.
pub fn judge(expected: &Told, told: &Told, whole: bool) -> Result<(), String> {
    ids_are_unique(told)?;
    histories_chain(told)?;
    for (stream, events) in &told.events {
        let wanted = expected.events.get(stream).map_or(&[][..], Vec::as_slice);
        for (place, event) in events.iter().enumerate() {
            if wanted.get(place) != Some(event) {
                return Err(format!(
                    "`{stream}`, event {place} is\n  {event:?}\nexpected\n  {:?}",
                    wanted.get(place)
                ));
            }
        }
        if whole && wanted.len() > events.len() {
            return Err(format!("`{stream}`: never said\n  {:?}", wanted[events.len()]));
        }
    }
    let silent = |stream: &&String| !told.events.contains_key(*stream);
    if let Some(stream) = expected.events.keys().find(silent).filter(|_| whole) {
        return Err(format!("`{stream}`: nothing was ever said"));
    }
    letters_agree(&expected.letters, &told.letters, whole)?;
    if !whole {
        return Ok(());
    }
    for (account, wanted) in &expected.reports {
        let found = told.reports.get(account);
        if found != Some(wanted) {
            return Err(format!(
                "`{account}`: its last report says\n  {found:?}\nexpected\n  {wanted}"
            ));
        }
    }
    match told.reports.keys().find(|account| !expected.reports.contains_key(*account)) {
        Some(account) => Err(format!("`{account}` has a report and never was")),
        None => Ok(()),
    }
}

fn ids_are_unique(told: &Told) -> Result<(), String> {
    let mut known = BTreeSet::new();
    for event in told.events.values().flatten() {
        let id = event.header("ce_id");
        if id.is_empty() || !known.insert(id) {
            return Err(format!("the id `{id}` comes twice, or not at all"));
        }
    }
    Ok(())
}

/// Of each account: its own count without a gap, and every change begins where the last one ended.
fn histories_chain(told: &Told) -> Result<(), String> {
    for (stream, events) in &told.events {
        let mut band = json!("unknown");
        for (count, event) in (1..).zip(events) {
            let payload: Value = serde_json::from_str(&event.payload).expect("a payload is JSON");
            if payload["sequence"] != json!(count) {
                return Err(format!(
                    "`{stream}`: event {count} has number {}",
                    payload["sequence"]
                ));
            }
            if event.header("ce_type") != "barometer.band_changed.v1" {
                continue;
            }
            // Under other rules the band left may go by another name.
            if payload["from"] != band && payload["cause"] != "rules" {
                return Err(format!("`{stream}`: from {} to {}", payload["from"], payload["to"]));
            }
            band = payload["to"].clone();
        }
    }
    Ok(())
}

fn letters_agree(wanted: &[Letter], found: &[Letter], whole: bool) -> Result<(), String> {
    let mut left = found.iter().peekable();
    for letter in wanted {
        if left.next_if_eq(&letter).is_none() && whole {
            return Err(format!("no dead letter for {letter:?}, but {:?}", left.peek()));
        }
    }
    match left.next() {
        Some(letter) => Err(format!("a dead letter too many, or a wrong one: {letter:?}")),
        None => Ok(()),
    }
}
