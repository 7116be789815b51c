//! What the brokers hold: logs with offsets and transaction markers, the transaction coordinator, and
//! the group's committed offsets. It only ever does what it is asked; who asks, and when, is the
//! business of `member` and `world`.
//!
//! Left out: replication, and everything about bytes (batches, sizes, retention by size).

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use barometer::broker::{Committed, Input, InputRecord, OutputRecord, OutputTopic, Processed};
use barometer::engine::time::EventTime;

/// A record as the broker holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub offset: i64,
    pub timestamp: EventTime,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// A record as it is handed out.
#[derive(Clone, Debug)]
pub struct Handed(pub Rc<Stored>);

impl InputRecord for Handed {
    fn offset(&self) -> i64 {
        self.0.offset
    }

    fn timestamp(&self) -> Option<EventTime> {
        Some(self.0.timestamp)
    }

    fn key(&self) -> Option<&[u8]> {
        self.0.key.as_deref()
    }

    fn value(&self) -> Option<&[u8]> {
        self.0.value.as_deref()
    }

    fn headers(&self) -> Vec<(String, Option<Vec<u8>>)> {
        self.0.headers.clone()
    }
}

/// A transaction, whosever it is.
pub type Tx = u64;

/// One partition of one topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    Input(Input),
    Output(OutputTopic, i32),
    /// Of the topic that holds the group's offsets.
    Offsets,
}

/// One partition's log. Offsets only grow; markers take some, compaction leaves gaps.
#[derive(Default)]
pub struct Log {
    pub start: i64,
    pub next: i64,
    entries: Vec<Entry>,
    /// Open transactions and where each begins.
    open: BTreeMap<Tx, i64>,
    aborted: BTreeSet<Tx>,
}

struct Entry {
    offset: i64,
    tx: Option<Tx>,
    /// Nothing for a marker.
    record: Option<Rc<Stored>>,
}

impl Log {
    fn append(&mut self, tx: Option<Tx>, record: impl FnOnce(i64) -> Stored) -> Rc<Stored> {
        let record = Rc::new(record(self.next));
        if let Some(tx) = tx {
            self.open.entry(tx).or_insert(self.next);
        }
        self.entries.push(Entry { offset: self.next, tx, record: Some(Rc::clone(&record)) });
        self.next += 1;
        record
    }

    fn end_transaction(&mut self, tx: Tx, committed: bool) {
        self.open.remove(&tx);
        if !committed {
            self.aborted.insert(tx);
        }
        self.entries.push(Entry { offset: self.next, tx: None, record: None });
        self.next += 1;
    }

    /// The last stable offset: what lies beyond may still be aborted.
    pub fn stable(&self) -> i64 {
        self.open.values().copied().min().unwrap_or(self.next)
    }

    /// Up to `max` committed records from `position` on, and the position after them.
    pub fn read(&self, position: i64, max: usize) -> (Vec<Rc<Stored>>, i64) {
        let stable = self.stable();
        let first = self.entries.partition_point(|entry| entry.offset < position);
        let mut found = Vec::new();
        for entry in &self.entries[first..] {
            if entry.offset >= stable {
                break;
            }
            if found.len() == max {
                return (found, entry.offset);
            }
            if let Some(record) = self.visible(entry) {
                found.push(Rc::clone(record));
            }
        }
        (found, stable.max(position))
    }

    fn visible<'a>(&self, entry: &'a Entry) -> Option<&'a Rc<Stored>> {
        let aborted = entry.tx.is_some_and(|tx| self.aborted.contains(&tx));
        entry.record.as_ref().filter(|_| !aborted)
    }

    /// Every committed record that is still held.
    pub fn committed(&self) -> impl Iterator<Item = &Rc<Stored>> {
        let stable = self.stable();
        self.entries
            .iter()
            .take_while(move |entry| entry.offset < stable)
            .filter_map(|entry| self.visible(entry))
    }

    /// Leaves, of what lies below `horizon`, the latest record of each key; what was aborted and the
    /// markers go with the rest. Tombstones stay. Returns how many records went.
    pub fn compact(&mut self, horizon: i64) -> usize {
        let horizon = horizon.min(self.stable());
        let mut latest: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
        for entry in self.entries.iter().take_while(|entry| entry.offset < horizon) {
            if let Some(record) = self.visible(entry) {
                latest.insert(record.key.clone().unwrap_or_default(), entry.offset);
            }
        }
        let before = self.entries.len();
        let aborted = &self.aborted;
        self.entries.retain(|entry| {
            let is_latest = || {
                let key =
                    entry.record.as_ref().map(|record| record.key.clone().unwrap_or_default());
                key.is_some_and(|key| latest.get(&key) == Some(&entry.offset))
            };
            let gone = entry.tx.is_some_and(|tx| aborted.contains(&tx));
            entry.offset >= horizon || (!gone && is_latest())
        });
        before - self.entries.len()
    }

    /// Deletes everything below `start`. Returns whether there was anything.
    pub fn retain_from(&mut self, start: i64) -> bool {
        let start = start.min(self.stable());
        let moved = start > self.start;
        self.start = self.start.max(start);
        self.entries.retain(|entry| entry.offset >= start);
        moved
    }
}

/// A record and the transaction it came in.
type Appended = (Rc<Stored>, Option<Tx>);

/// One transactional id, as the coordinator knows it.
#[derive(Default)]
struct Producer {
    epoch: i32,
    open: Option<Open>,
    /// Decided, and not all markers are written yet.
    completing: bool,
}

struct Open {
    tx: Tx,
    since: i64,
    places: BTreeSet<Place>,
}

/// A marker that is still to be written.
struct Marker {
    due: i64,
    id: String,
    tx: Tx,
    place: Place,
    committed: bool,
}

/// Why the transaction coordinator does not do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A later producer of the same id has been registered, or the transaction timed out.
    Fenced,
    /// The last transaction of the id is not completed yet.
    Busy,
}

#[derive(Default)]
pub struct Cluster {
    logs: BTreeMap<Place, Log>,
    /// By input: what is committed, and when it was added to its transaction.
    offsets: BTreeMap<Input, (u64, Committed)>,
    /// Added to transactions that are not completed.
    pending: BTreeMap<Tx, Vec<(u64, Processed)>>,
    producers: BTreeMap<String, Producer>,
    markers: Vec<Marker>,
    transactions: Tx,
    offset_commits: u64,
    /// Everything that was ever appended to an input.
    appended: BTreeMap<Input, Vec<Appended>>,
}

impl Cluster {
    pub fn log(&mut self, place: Place) -> &mut Log {
        self.logs.entry(place).or_default()
    }

    pub fn input(&mut self, input: Input) -> &mut Log {
        self.log(Place::Input(input))
    }

    pub fn outputs(&self, topic: OutputTopic) -> impl Iterator<Item = &Log> {
        self.logs.iter().filter_map(move |(place, log)| {
            matches!(place, Place::Output(of, _) if *of == topic).then_some(log)
        })
    }

    // --- what producers upstream do

    pub fn begin_upstream(&mut self) -> Tx {
        self.transactions += 1;
        self.transactions
    }

    pub fn append_input(&mut self, input: Input, tx: Option<Tx>, record: Stored) {
        let stored = self.input(input).append(tx, |offset| Stored { offset, ..record });
        self.appended.entry(input).or_default().push((stored, tx));
    }

    pub fn end_upstream(&mut self, tx: Tx, inputs: &[Input], committed: bool) {
        for input in inputs {
            self.input(*input).end_transaction(tx, committed);
        }
    }

    /// What a reader of committed records got to see of an input, or will.
    pub fn history(&self, input: Input) -> Vec<Rc<Stored>> {
        let log = self.logs.get(&Place::Input(input));
        let counts =
            |tx: &Option<Tx>| tx.is_none_or(|tx| log.is_none_or(|log| !log.aborted.contains(&tx)));
        let all = self.appended.get(&input).into_iter().flatten();
        all.filter(|(_, tx)| counts(tx)).map(|(record, _)| Rc::clone(record)).collect()
    }

    // --- what the product's producers do

    /// Registers a producer under `id` and returns its epoch; what an earlier one left open ends.
    pub fn init(&mut self, id: &str, now: i64, delay: impl FnMut() -> i64) -> Result<i32, Refused> {
        let producer = self.producers.entry(id.to_owned()).or_default();
        if producer.completing {
            return Err(Refused::Busy);
        }
        producer.epoch += 1;
        let epoch = producer.epoch;
        if producer.open.is_some() {
            self.decide(id, false, now, delay);
            return Err(Refused::Busy);
        }
        Ok(epoch)
    }

    fn check(&mut self, id: &str, epoch: i32) -> Result<&mut Producer, Refused> {
        match self.producers.get_mut(id) {
            Some(producer) if producer.epoch == epoch && producer.completing => Err(Refused::Busy),
            Some(producer) if producer.epoch == epoch => Ok(producer),
            _ => Err(Refused::Fenced),
        }
    }

    /// The transaction that a producer has open, opened by whatever it adds first.
    fn adding(&mut self, id: &str, epoch: i32, place: Place, now: i64) -> Result<Tx, Refused> {
        let fresh = self.transactions + 1;
        let producer = self.check(id, epoch)?;
        let open =
            producer.open.get_or_insert(Open { tx: fresh, since: now, places: BTreeSet::new() });
        open.places.insert(place);
        let tx = open.tx;
        self.transactions = self.transactions.max(tx);
        Ok(tx)
    }

    pub fn append_output(
        &mut self,
        id: &str,
        epoch: i32,
        partition: i32,
        record: &OutputRecord,
        now: i64,
    ) -> Result<(), Refused> {
        let place = Place::Output(record.topic, partition);
        let tx = self.adding(id, epoch, place, now)?;
        self.log(place).append(Some(tx), |offset| Stored {
            offset,
            timestamp: record.timestamp.unwrap_or(EventTime::from_millis(now)),
            key: record.key.clone(),
            value: record.value.clone(),
            headers: record.headers.clone(),
        });
        Ok(())
    }

    pub fn add_offsets(
        &mut self,
        id: &str,
        epoch: i32,
        processed: &[Processed],
        now: i64,
    ) -> Result<(), Refused> {
        let tx = self.adding(id, epoch, Place::Offsets, now)?;
        for one in processed {
            self.offset_commits += 1;
            self.pending.entry(tx).or_default().push((self.offset_commits, one.clone()));
        }
        Ok(())
    }

    /// Commits or aborts what a producer has open. The decision is made here; the markers follow.
    pub fn end(
        &mut self,
        id: &str,
        epoch: i32,
        committed: bool,
        now: i64,
        delay: impl FnMut() -> i64,
    ) -> Result<(), Refused> {
        self.check(id, epoch)?;
        self.decide(id, committed, now, delay);
        Ok(())
    }

    fn decide(&mut self, id: &str, committed: bool, now: i64, mut delay: impl FnMut() -> i64) {
        let Some(producer) = self.producers.get_mut(id) else { return };
        let Some(Open { tx, places, .. }) = producer.open.take() else { return };
        producer.completing = true;
        for place in places {
            let due = now + delay();
            self.markers.push(Marker { due, id: id.to_owned(), tx, place, committed });
        }
    }

    /// Writes the markers that are due and aborts what has been open for too long. Returns who was
    /// timed out.
    pub fn pass(
        &mut self,
        now: i64,
        transaction_timeout: i64,
        mut delay: impl FnMut() -> i64,
    ) -> Vec<String> {
        let too_long = |open: &Open| open.since + transaction_timeout <= now;
        let timed_out: Vec<String> = self
            .producers
            .iter()
            .filter(|(_, producer)| producer.open.as_ref().is_some_and(too_long))
            .map(|(id, _)| id.clone())
            .collect();
        for id in &timed_out {
            // Whoever had it open is fenced from now on.
            self.producers.get_mut(id).expect("just seen").epoch += 1;
            self.decide(id, false, now, &mut delay);
        }
        let due: Vec<Marker> = self.markers.extract_if(.., |marker| marker.due <= now).collect();
        for marker in due {
            self.mark(&marker);
            let rest = self.markers.iter().any(|other| other.tx == marker.tx);
            if !rest && let Some(producer) = self.producers.get_mut(&marker.id) {
                producer.completing = false;
            }
        }
        timed_out
    }

    fn mark(&mut self, marker: &Marker) {
        if marker.place != Place::Offsets {
            self.log(marker.place).end_transaction(marker.tx, marker.committed);
            return;
        }
        let pending = self.pending.remove(&marker.tx).unwrap_or_default();
        for (order, Processed { input, offset, metadata }) in pending {
            let newer = self.offsets.get(&input).is_none_or(|(known, _)| *known < order);
            if marker.committed && newer {
                self.offsets.insert(input, (order, Committed { offset, metadata }));
            }
        }
    }

    /// Whether a transaction that may still commit holds offsets of any of these.
    pub fn is_unstable(&self, inputs: &[Input]) -> bool {
        self.pending.values().flatten().any(|(_, pending)| inputs.contains(&pending.input))
    }

    pub fn committed(&self, input: Input) -> Option<&Committed> {
        self.offsets.get(&input).map(|(_, committed)| committed)
    }

    /// Commits offsets by themselves, in no transaction.
    pub fn commit_apart(&mut self, processed: &[Processed]) {
        for Processed { input, offset, metadata } in processed.iter().cloned() {
            self.offset_commits += 1;
            let committed = Committed { offset, metadata };
            self.offsets.insert(input, (self.offset_commits, committed));
        }
    }

    /// Whether no transaction of the product's is open or about to complete.
    pub fn is_settled(&self) -> bool {
        self.markers.is_empty() && self.producers.values().all(|producer| producer.open.is_none())
    }
}
