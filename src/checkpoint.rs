//! What a task writes to its changelog, and when.
//!
//! An account is written when it has been out of date for the checkpoint interval, and in the very
//! transaction in which something was decided about it. So the accounts' records stand at different
//! offsets, each with its own beside it, and the marker says from where the inputs have to be read
//! again to bring all of them up to date.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::engine::event::Source;
use crate::engine::time::{EventTime, Span};

/// Most accounts written in one commit because their time has come. Those with a decision come on
/// top: they cannot wait.
pub const RECORDS_PER_COMMIT_MAX: usize = 10_000;
/// The same in bytes.
pub const BYTES_PER_COMMIT_MAX: usize = 4 << 20;

/// The key of a task's marker. No account has it: it is not UTF-8.
pub const MARKER_KEY: &[u8] = b"\xfftask";

/// What the key of a scorecard's text begins with, before its hash: accounts are read back by the
/// rules they were judged by, and go over to those in force as they would have while running.
pub const CARD_KEY: &[u8] = b"\xffcard";

/// The key of the outage guard's state.
pub const GUARD_KEY: &[u8] = b"\xffguard";

/// What the keys of an account's parts begin with, before the part's number and the account's id.
pub const PART_KEY: &[u8] = b"\xffpart";

/// The first byte of every key that is no account's.
pub const RESERVED_BYTE: u8 = 0xff;

/// The first byte of a value that only says how many parts there are; no version of the format.
pub const IN_PARTS: u8 = 0xff;

/// The first byte of a value that says that the account was forgotten; no version of the format.
pub const GONE: u8 = 0xfe;

/// The first offset that has not been seen, by `Source as usize`.
pub type Positions = [i64; 5];

/// A task's own record in its changelog.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Marker {
    /// The consumer group whose state this is.
    pub group: String,
    /// How many partitions the inputs had.
    pub partitions: i32,
    /// The present set of topics: offsets written under an earlier one may be of other topics.
    pub epoch: u32,
    /// By `Source as usize`: the topic and the epoch since which it has been read.
    pub topics: [(String, u32); 5],
    /// Everything before these is in the accounts' records.
    pub positions: Positions,
    /// Task time at `positions`, epoch milliseconds.
    pub positions_at: i64,
    /// Task time at this commit, epoch milliseconds.
    pub now: i64,
    /// The task's count of commits, this one included.
    pub commits: u64,
    /// Task time before which nothing is published, epoch milliseconds.
    pub publish_from: i64,
    /// The hashes of the scorecards in force.
    pub cards: Vec<String>,
    /// Task time since which they have been, epoch milliseconds.
    pub cards_since: i64,
    /// By `Source as usize`: the hash its keys follow, as [`crate::routing::Routing::settled`] has it.
    pub partitioners: [u8; 5],
    /// State of the task as a whole, by name, each with a format of its own.
    pub task_state: Vec<(String, Vec<u8>)>,
}

impl Marker {
    /// Which offsets of a record written under `epoch` are of the topics read today; the others
    /// stand at the beginning.
    pub fn valid(&self, positions: Positions, epoch: u32) -> Positions {
        std::array::from_fn(
            |source| {
                if epoch >= self.topics[source].1 { positions[source] } else { 0 }
            },
        )
    }

    /// Takes note of the topics that are read now.
    pub fn read_from(&mut self, topics: &[String; 5]) {
        let moved = |source: usize| self.topics[source].0 != topics[source];
        let moved: Vec<usize> = (0..Source::ALL.len()).filter(|source| moved(*source)).collect();
        if moved.is_empty() {
            return;
        }
        self.epoch += 1;
        for source in moved {
            self.topics[source] = (topics[source].clone(), self.epoch);
            self.positions[source] = 0;
            self.partitioners[source] = 0;
        }
    }

    /// Takes note of the scorecards in force from task time `now` on.
    pub fn judge_by(&mut self, cards: Vec<String>, now: EventTime) {
        if self.cards != cards {
            self.cards = cards;
            self.cards_since = now.as_millis();
        }
    }
}

/// A record of the changelog: key and value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// `value` under `key`, in parts if it is more than `bytes_max`: the parts first, then under the key
/// itself how many they are.
pub fn entries(key: &[u8], value: Vec<u8>, bytes_max: usize) -> Vec<Entry> {
    if value.len() + key.len() <= bytes_max {
        return vec![(key.to_vec(), value)];
    }
    let part_bytes = bytes_max.saturating_sub(key.len() + PART_KEY.len() + 2).max(1);
    let parts = value.chunks(part_bytes);
    let count = u16::try_from(parts.len()).expect("an account has less than 2^16 records' bytes");
    let mut entries: Vec<Entry> =
        parts.zip(0..).map(|(part, number)| (part_key(key, number), part.to_vec())).collect();
    let [high, low] = count.to_be_bytes();
    entries.push((key.to_vec(), vec![IN_PARTS, high, low]));
    entries
}

/// The key of one part of the record under `key`.
pub fn part_key(key: &[u8], number: u16) -> Vec<u8> {
    [PART_KEY, &number.to_be_bytes(), key].concat()
}

/// The account and the number of the part that is written under `key`, if it is a part's.
pub fn part_of(key: &[u8]) -> Option<(&[u8], u16)> {
    let rest = key.strip_prefix(PART_KEY)?;
    let (number, account) = rest.split_first_chunk()?;
    Some((account, u16::from_be_bytes(*number)))
}

/// Which accounts are to be written, and since when.
#[derive(Debug)]
pub struct Checkpoints {
    interval: Span,
    /// Oldest first. Accounts that were written since are still listed, and passed over.
    cohorts: VecDeque<Cohort>,
    /// The number of the first cohort.
    first: u64,
    /// By slot: the number of the account's cohort, `CLEAN` where its record is as it is.
    cohort_of: Vec<u64>,
    /// Slots of accounts with a decision, some of them twice.
    decided: Vec<u32>,
    /// Everything is to be written, whatever its age.
    all: bool,
}

/// Accounts that got out of date between two looks.
#[derive(Debug)]
struct Cohort {
    /// Where the task stood before the first of them did.
    positions: Positions,
    at: EventTime,
    /// Wall time.
    since: EventTime,
    slots: Vec<u32>,
    /// How many of them have not been written since.
    waiting: usize,
}

const CLEAN: u64 = u64::MAX;

impl Checkpoints {
    /// Nothing to write.
    pub fn new(interval: Span) -> Checkpoints {
        Checkpoints {
            interval,
            cohorts: VecDeque::new(),
            first: 0,
            cohort_of: Vec::new(),
            decided: Vec::new(),
            all: false,
        }
    }

    /// Notes accounts that got out of date after the task stood at `positions` and task time `at`.
    /// `now` is wall time.
    pub fn note(
        &mut self,
        slots: impl Iterator<Item = (u32, bool)>,
        positions: Positions,
        at: EventTime,
        now: EventTime,
    ) {
        let number = self.first + self.cohorts.len() as u64;
        let mut cohort = Cohort { positions, at, since: now, slots: Vec::new(), waiting: 0 };
        for (slot, decided) in slots {
            if self.cohort_of.len() <= slot as usize {
                self.cohort_of.resize(slot as usize + 1, CLEAN);
            }
            if decided {
                self.decided.push(slot);
            }
            if self.cohort_of[slot as usize] == CLEAN {
                self.cohort_of[slot as usize] = number;
                cohort.slots.push(slot);
            }
        }
        if !cohort.slots.is_empty() {
            cohort.waiting = cohort.slots.len();
            self.cohorts.push_back(cohort);
        }
    }

    /// From now on everything is due.
    pub fn write_all(&mut self) {
        self.all = true;
    }

    /// Whether everything is.
    pub fn writes_all(&self) -> bool {
        self.all
    }

    /// Whether an account is due at wall time `now`.
    pub fn is_due(&self, now: EventTime) -> bool {
        let is_due = |cohort: &Cohort| self.all || cohort.since + self.interval <= now;
        !self.decided.is_empty() || self.cohorts.front().is_some_and(is_due)
    }

    /// Whether more is due at wall time `now` than small steps get through: everything, or what should
    /// have been written an interval ago.
    pub fn is_late(&self, now: EventTime) -> bool {
        let is_late = |cohort: &Cohort| cohort.since + self.interval * 2 <= now;
        self.all || self.cohorts.front().is_some_and(is_late)
    }

    /// How many accounts have to be in the next commit.
    pub fn decided(&self) -> usize {
        self.decided.len()
    }

    /// The next account to be written at wall time `now`, first those with a decision. It counts as
    /// written from then on.
    pub fn take_decided(&mut self) -> Option<u32> {
        loop {
            let slot = self.decided.pop()?;
            if self.is_waiting(slot) {
                self.written(slot);
                return Some(slot);
            }
        }
    }

    /// The next account whose time has come at wall time `now`. It counts as written from then on.
    pub fn take_due(&mut self, now: EventTime) -> Option<u32> {
        loop {
            let number = self.first;
            let cohort = self.cohorts.front_mut()?;
            if !self.all && cohort.since + self.interval > now {
                return None;
            }
            match cohort.slots.pop() {
                Some(slot) if self.cohort_of[slot as usize] == number => {
                    self.written(slot);
                    return Some(slot);
                }
                Some(_) => {}
                None => {
                    self.cohorts.pop_front();
                    self.first += 1;
                }
            }
        }
    }

    /// Has nothing written of the account that had this slot.
    pub fn forget(&mut self, slot: u32) {
        if self.cohort_of.get(slot as usize).is_some_and(|cohort| *cohort != CLEAN) {
            self.written(slot);
        }
    }

    /// Where the task stood, and at which task time, when the account got out of date that has been
    /// so for the longest.
    pub fn head(&mut self) -> Option<(Positions, EventTime)> {
        while self.cohorts.front().is_some_and(|cohort| cohort.waiting == 0) {
            self.cohorts.pop_front();
            self.first += 1;
        }
        self.cohorts.front().map(|cohort| (cohort.positions, cohort.at))
    }

    /// Whether the account in a slot has yet to be written.
    pub fn is_waiting(&self, slot: u32) -> bool {
        self.cohort_of.get(slot as usize).is_some_and(|cohort| *cohort != CLEAN)
    }

    fn written(&mut self, slot: u32) {
        let number = std::mem::replace(&mut self.cohort_of[slot as usize], CLEAN);
        self.cohorts[(number - self.first) as usize].waiting -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> EventTime {
        EventTime::from_millis(millis)
    }

    fn note(queue: &mut Checkpoints, slots: &[(u32, bool)], offset: i64) {
        queue.note(slots.iter().copied(), [offset; 5], at(offset), at(offset));
    }

    #[test]
    fn an_account_is_written_when_its_time_has_come_and_the_head_says_from_where_to_replay() {
        let mut queue = Checkpoints::new(Span::from_millis(30));
        note(&mut queue, &[(1, false), (2, false)], 10);
        note(&mut queue, &[(2, false), (3, false)], 20);
        assert_eq!(queue.take_due(at(39)), None);
        assert_eq!(queue.head(), Some(([10; 5], at(10))));
        let mut due = [queue.take_due(at(40)).unwrap(), queue.take_due(at(40)).unwrap()];
        due.sort_unstable();
        assert_eq!((due, queue.take_due(at(40))), ([1, 2], None));
        assert_eq!(queue.head(), Some(([20; 5], at(20))));
        // Out of date again, and later than account 3.
        note(&mut queue, &[(1, false)], 25);
        assert_eq!(queue.take_due(at(50)), Some(3));
        assert_eq!(queue.head(), Some(([25; 5], at(25))));
        queue.write_all();
        assert_eq!((queue.take_due(at(50)), queue.head()), (Some(1), None));
    }

    #[test]
    fn a_decision_cannot_wait_and_is_written_once() {
        let mut queue = Checkpoints::new(Span::from_millis(30));
        note(&mut queue, &[(1, false), (2, false)], 10);
        note(&mut queue, &[(1, true)], 11);
        note(&mut queue, &[(1, true)], 12);
        assert!(queue.is_due(at(12)));
        assert_eq!((queue.take_decided(), queue.take_decided()), (Some(1), None));
        assert_eq!(queue.head(), Some(([10; 5], at(10))));
        assert_eq!((queue.take_due(at(40)), queue.take_due(at(40))), (Some(2), None));
        assert_eq!(queue.head(), None);
    }

    #[test]
    fn offsets_of_a_topic_that_was_replaced_are_forgotten() {
        let topics = Source::ALL.map(|source| source.default_topic().to_owned());
        let mut marker = Marker {
            group: "g".into(),
            partitions: 1,
            epoch: 0,
            topics: topics.clone().map(|topic| (topic, 0)),
            positions: [7; 5],
            positions_at: 0,
            now: 0,
            commits: 1,
            publish_from: 0,
            cards: Vec::new(),
            cards_since: 0,
            partitioners: [1; 5],
            task_state: Vec::new(),
        };
        let mut other = topics;
        other[1] = "tickets-v2".to_owned();
        marker.read_from(&other);
        assert_eq!((marker.epoch, marker.positions), (1, [7, 0, 7, 7, 7]));
        assert_eq!(marker.valid([9; 5], 0), [9, 0, 9, 9, 9]);
        assert_eq!(marker.valid([9; 5], 1), [9; 5]);
    }
}
