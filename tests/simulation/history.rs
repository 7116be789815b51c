//! What arrives in one seed, and the rules it is judged by: the random scorecards and histories of
//! `histories`, one history for each partition number.
//!
//! Record times of a partition number never go back, and what comes at one time comes at once. That
//! is how the inputs of a task tell one story, whoever reads them when: where producers' clocks run
//! against each other, what is learnt late is judged late, and no two runs agree. `task_time` tests
//! hold what becomes of that.

use std::sync::{Arc, LazyLock};

use barometer::engine::event::Source;
use barometer::engine::rules::Rules;
use barometer::engine::scorecard::{Condition, ProfileCondition, ProfileText, Scorecard};
use barometer::engine::time::EventTime;
use barometer::partitioner::Partitioner;
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use crate::histories::card::{self, ALERT_GENES, MEASURE_GENES};
use crate::histories::outage;
use crate::histories::record::{self, ARRIVAL_GENES, Arrival};
use crate::histories::story::{self, RULE_GENES, STEP_GENES};
use crate::malformed::{self, Malformed};

use super::cluster::Stored;

/// A story of much use: one account's band changes with every few events, so its record is never old,
/// and the other's seldom. Between two checkpoints of the second come more events of the first than
/// it knows the ids of.
const MUCH_USE: &str = "
scorecard: much-use
dimensions:
  - id: use
    measures:
      - { id: events, measure: usage.events, window: 364d, curve: { linear: { from: 0, to: 200 } } }
bands: [{ name: b0, up_to: 8 }, { name: b1, up_to: 15 }, { name: b2, up_to: 23 },
  { name: b3, up_to: 30 }, { name: b4, up_to: 38 }, { name: b5, up_to: 45 }, { name: b6, up_to: 53 },
  { name: b7, up_to: 60 }, { name: b8, up_to: 70 }, { name: b9, up_to: 80 }, { name: b10, up_to: 100 }]
anti_flap: { margin: 0, dwell: { worse: 0s, better: 0s }, bypass_drop: 100 }
";
/// Genes of its climate: one account, five minutes between two events at most, usage alone.
const MUCH_USE_CLIMATE: [u8; 3] = [0, 2, 2];

/// Of no use, but for the very large ones, which cost more than a seed.
static MALFORMED: LazyLock<Vec<Malformed>> = LazyLock::new(|| {
    let is_small = |bad: &Malformed| bad.value.as_ref().is_none_or(|value| value.len() < 5_000);
    malformed::records(1).filter(is_small).take(2_000).collect()
});

/// Records that become visible together.
pub struct Batch {
    pub records: Vec<(Source, Stored)>,
    /// Whether the producer's transaction commits, where it has one.
    pub transaction: Option<bool>,
}

/// Rules and, by partition number, what arrives.
pub struct History {
    pub rules: Arc<Rules>,
    pub outage_guard: bool,
    pub batches: Vec<Vec<Batch>>,
}

fn genes<const N: usize>(dice: &mut ChaCha8Rng) -> [u8; N] {
    let mut bytes = [0; N];
    dice.fill_bytes(&mut bytes);
    bytes
}

fn scorecard(yaml: &str) -> Arc<Scorecard> {
    let parsed = Scorecard::parse("random.yaml", yaml);
    Arc::new(parsed.unwrap_or_else(|problems| panic!("{problems:?}\n{yaml}")).scorecard)
}

fn random_card(dice: &mut ChaCha8Rng) -> Arc<Scorecard> {
    let measures: Vec<_> =
        (0..dice.random_range(1..5)).map(|_| genes::<MEASURE_GENES>(dice)).collect();
    let alerts: Vec<_> = (0..dice.random_range(0..4)).map(|_| genes::<ALERT_GENES>(dice)).collect();
    scorecard(&card::yaml(&genes::<96>(dice), &measures, &alerts))
}

impl History {
    /// A history for so many partition numbers.
    pub fn of(dice: &mut ChaCha8Rng, partitions: i32) -> History {
        let kind = dice.random_range(0..10);
        let (stories, much_use) = (kind < 3, kind == 3);
        let fleet = kind > 3 && partitions == 1 && dice.random_range(0..10) == 0;
        let first = match stories {
            _ if much_use => scorecard(MUCH_USE),
            true => {
                let rules: Vec<_> =
                    (0..dice.random_range(1..5)).map(|_| genes::<RULE_GENES>(dice)).collect();
                scorecard(&story::card(&genes::<8>(dice), &rules))
            }
            false => random_card(dice),
        };
        let rules = match dice.random_range(0..4) {
            0 if kind > 3 => {
                let gold = ProfileCondition::Text {
                    field: ProfileText::Tier,
                    one_of: vec!["gold".to_owned()],
                };
                Rules::selecting(vec![(Condition::Profile(gold), random_card(dice))], first)
            }
            _ => Rules::one(first),
        };
        let batches = (0..partitions).map(|partition| {
            let mut arrivals = Vec::new();
            for account in 0..if stories { dice.random_range(1..4) } else { 1 } {
                let mut told = match stories {
                    true => {
                        let steps: Vec<_> = (0..dice.random_range(5..25))
                            .map(|_| genes::<STEP_GENES>(dice))
                            .collect();
                        story::history(&steps)
                    }
                    false => {
                        let mut climate = genes::<8>(dice);
                        if much_use {
                            climate[1..4].copy_from_slice(&MUCH_USE_CLIMATE);
                        }
                        let length = if much_use { 80..200 } else { 5..45 };
                        let records: Vec<_> = (0..dice.random_range(length))
                            .map(|_| genes::<ARRIVAL_GENES>(dice))
                            .collect();
                        record::history(&climate, &records, dice.random_range(0..3) == 0)
                    }
                };
                if fleet {
                    let days: Vec<u8> =
                        (0..dice.random_range(15..20)).map(|_| dice.random()).collect();
                    outage::add_fleet(&mut told, &genes::<4>(dice), &days);
                }
                for (place, arrival) in told.iter_mut().enumerate() {
                    let account = if much_use { usize::from(place % 12 == 5) } else { account };
                    let name = format!("{}-{account}", arrival.account_id);
                    settle_in(arrival, &name, partition, partitions);
                }
                arrivals.extend(told);
            }
            arrivals.sort_by_key(|arrival| arrival.record_time_ms);
            batches(dice, &arrivals)
        });
        let batches = batches.collect();
        History {
            rules: Arc::new(rules),
            outage_guard: fleet || dice.random_range(0..4) == 0,
            batches,
        }
    }
}

/// Renames the account so that its keys belong to this partition number.
fn settle_in(arrival: &mut Arrival, name: &str, partition: i32, partitions: i32) {
    let fits =
        |name: &String| Partitioner::Murmur2.partition(name.as_bytes(), partitions) == partition;
    let mut names = (0..).map(|number| format!("{name}.{partition}.{number}"));
    arrival.account_id = names.find(fits).expect("some name does");
    if let Some(body) = &mut arrival.body {
        body["account_id"] = json!(arrival.account_id);
    }
}

fn stored(arrival: &Arrival) -> (Source, Stored) {
    let headers = match arrival.record_time_ms % 3 {
        0 => vec![("trace".to_owned(), Some(b"0af7".to_vec())), ("empty".to_owned(), None)],
        _ => Vec::new(),
    };
    let stored = Stored {
        offset: 0,
        timestamp: EventTime::from_millis(arrival.record_time_ms),
        key: Some(arrival.account_id.clone().into_bytes()),
        value: arrival.json(),
        headers,
    };
    (arrival.source, stored)
}

/// What comes at one time comes at once; among it what cannot be used, and some of it in
/// transactions, of which some are aborted.
fn batches(dice: &mut ChaCha8Rng, arrivals: &[Arrival]) -> Vec<Batch> {
    let mut batches = Vec::new();
    for group in arrivals.chunk_by(|one, other| one.record_time_ms == other.record_time_ms) {
        let time = EventTime::from_millis(group[0].record_time_ms);
        let mut records: Vec<(Source, Stored)> = group.iter().map(stored).collect();
        if dice.random_range(0..16) == 0 {
            let bad = &MALFORMED[dice.random_range(0..MALFORMED.len())];
            let Stored { timestamp, headers, .. } = records[0].1.clone();
            let (key, value) = (bad.key.clone(), bad.value.clone());
            let stored = Stored { offset: 0, timestamp, key, value, headers };
            records.push((bad.source, stored));
        }
        match dice.random_range(0..24) {
            0 => {
                touch_all(&mut records, time);
                batches.push(Batch { records, transaction: Some(true) });
            }
            1 => {
                // The same events under other ids, as of a producer that thought better of it.
                let mut junk = records.clone();
                for (_, junk) in &mut junk {
                    let text = junk.value.as_deref().map(String::from_utf8_lossy);
                    let other =
                        text.map(|text| text.replace("\"event_id\":\"", "\"event_id\":\"aborted-"));
                    junk.value = other.map(|text| text.into_bytes());
                }
                touch_all(&mut junk, time);
                batches.push(Batch { records: junk, transaction: Some(false) });
                batches.push(Batch { records, transaction: None });
            }
            _ => batches.push(Batch { records, transaction: None }),
        }
    }
    batches
}

/// Has a transaction begin in every topic: readers of all of them wait for its end, and none gets
/// ahead of another.
fn touch_all(records: &mut Vec<(Source, Stored)>, timestamp: EventTime) {
    for source in Source::ALL {
        if records.iter().all(|(known, _)| *known != source) {
            let value = Some(b"begun".to_vec());
            let stored = Stored { offset: 0, timestamp, key: None, value, headers: Vec::new() };
            records.push((source, stored));
        }
    }
}
