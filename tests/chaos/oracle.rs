//! What ought to come out: the engine that runs in one piece, a partition number at a time, fed with
//! every record as soon as the broker has acknowledged it.
//!
//! Nothing here knows of groups, transactions, checkpoints or restarts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use barometer::engine::Engine;
use barometer::engine::event::{self, DecodeLimits, Source};
use barometer::engine::record::{self, EncodedRecord};
use barometer::engine::scorecard::Scorecard;
use barometer::engine::time::EventTime;
use serde_json::Value;

use super::fleet::FleetRecord;

/// Everything that is to be published, and what has to be known of every account.
pub struct Oracle {
    card: Arc<Scorecard>,
    event_source: String,
    engines: BTreeMap<i32, Engine>,
    /// By key, in the order in which a reader gets them.
    expected: HashMap<String, Vec<EncodedRecord>>,
    verdicts: usize,
    /// Source, partition and offset of what is no good.
    bad: BTreeSet<(Source, i32, i64)>,
    records: u64,
}

impl Oracle {
    pub fn new(card_yaml: &str, group: &str) -> Oracle {
        let parsed = Scorecard::parse("chaos.yaml", card_yaml);
        let card = parsed.unwrap_or_else(|problems| panic!("{problems:?}")).scorecard;
        Oracle {
            card: Arc::new(card),
            event_source: format!("/barometer/{group}"),
            engines: BTreeMap::new(),
            expected: HashMap::new(),
            verdicts: 0,
            bad: BTreeSet::new(),
            records: 0,
        }
    }

    /// The next record of a partition number, with where it went.
    pub fn take(&mut self, record: &FleetRecord, partition: i32, offset: i64) {
        self.records += 1;
        let card = Arc::clone(&self.card);
        let engine = self
            .engines
            .entry(partition)
            .or_insert_with(|| Engine::new(card, EventTime::from_millis(0)).with_outage_guard());
        let time = EventTime::from_millis(record.time_ms);
        engine.advance_to(time);
        let key = Some(record.account_id.as_bytes());
        let value = record.body.as_ref().map(String::as_bytes);
        match event::decode(record.source, key, value, time, &DecodeLimits::default()) {
            Ok(event) => assert_eq!(engine.handle_event(&event), None),
            Err(_) => assert!(self.bad.insert((record.source, partition, offset))),
        }
        while let Some(verdict) = engine.poll_verdict() {
            let encoded = record::encode(&verdict, &self.event_source);
            self.verdicts += 1;
            self.expected.entry(verdict.account_id.to_string()).or_default().push(encoded);
        }
        // In a long run it happens that a source falls silent for all accounts of a partition.
        while let Some(alert) = engine.poll_operator_alert() {
            let encoded = record::encode_operator_alert(&alert, partition, &self.event_source);
            self.verdicts += 1;
            self.expected.entry(format!("task-{partition}")).or_default().push(encoded);
        }
    }

    /// By who counts it (an account, or the task), what is to be published so far.
    pub fn expected(&self) -> &HashMap<String, Vec<EncodedRecord>> {
        &self.expected
    }

    /// How many verdicts that are.
    pub fn verdicts(&self) -> usize {
        self.verdicts
    }

    /// What is to be a dead letter.
    pub fn bad(&self) -> &BTreeSet<(Source, i32, i64)> {
        &self.bad
    }

    /// How many records there were.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Every account's report as of its partition's last record.
    pub fn reports(&mut self) -> BTreeMap<String, Value> {
        let mut reports = BTreeMap::new();
        for engine in self.engines.values_mut() {
            let accounts: Vec<String> = engine.account_ids().map(str::to_owned).collect();
            for account_id in accounts {
                let snapshot = engine.snapshot(&account_id).expect("an account of the engine");
                let report = serde_json::to_value(snapshot.report()).expect("it is JSON");
                reports.insert(account_id, report);
            }
        }
        reports
    }

    /// One account's score at a time after everything that was taken.
    pub fn score_at(&mut self, account_id: &str, partition: i32, at: EventTime) -> Value {
        let engine = self.engines.get_mut(&partition).expect("a partition with records");
        engine.advance_to(at);
        let snapshot = engine.snapshot(account_id).expect("an account of the engine");
        serde_json::to_value(snapshot.report()).expect("it is JSON")["score"].clone()
    }
}
