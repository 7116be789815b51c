//! Reads along, committed records only: what is published, and who commits offsets when.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use barometer::task::CommitNote;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::support::{Kafka, ReadRecord, read_record};

/// Reads some partitions of a topic from their beginning, and goes on.
struct Tap {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tap {
    fn start(
        kafka: &Kafka,
        topic: &str,
        partitions: impl Iterator<Item = i32>,
        mut each: impl FnMut(&BorrowedMessage<'_>) + Send + 'static,
    ) -> Tap {
        let consumer: BaseConsumer = kafka
            .client()
            .set("group.id", kafka.name("tap"))
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            .set("fetch.wait.max.ms", "50")
            .create()
            .expect("a consumer");
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
        }
        consumer.assign(&list).expect("an assignment");
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                while !stop.load(Ordering::Relaxed) {
                    // An error is a broker that is away; the client goes on by itself.
                    if let Some(Ok(message)) = consumer.poll(Duration::from_millis(50)) {
                        each(&message);
                    }
                }
            }
        });
        Tap { stop, thread: Some(thread) }
    }

    /// It ends only when it is told to, or by a failed assertion.
    fn is_well(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// What has been published so far.
pub struct Published {
    state: Arc<Mutex<PublishedState>>,
    tap: Tap,
}

#[derive(Default)]
pub struct PublishedState {
    /// By who counts it, in order: an account, or for operator alerts the task.
    pub by_counter: HashMap<String, Vec<ReadRecord>>,
    pub count: usize,
    /// By partition, when the last record came.
    pub last_came: HashMap<i32, Instant>,
    /// By partition: the first record that came after the instant waited for.
    pub first_after: HashMap<i32, Option<Instant>>,
}

impl Published {
    pub fn follow(kafka: &Kafka, topic: &str, partitions: i32) -> Published {
        let state = Arc::new(Mutex::new(PublishedState::default()));
        let tap = Tap::start(kafka, topic, 0..partitions, {
            let state = Arc::clone(&state);
            move |message| {
                let record = read_record(message);
                let now = Instant::now();
                let mut state = lock(&state);
                state.count += 1;
                state.last_came.insert(record.partition, now);
                if let Some(first) = state.first_after.get_mut(&record.partition) {
                    first.get_or_insert(now);
                }
                state.by_counter.entry(counter_of(&record)).or_default().push(record);
            }
        });
        Published { state, tap }
    }

    pub fn lock(&self) -> MutexGuard<'_, PublishedState> {
        assert!(self.tap.is_well(), "the reader of what is published has ended");
        lock(&self.state)
    }
}

/// Whose count an event's id is of: an account, or for operator alerts the task.
pub fn counter_of(record: &ReadRecord) -> String {
    let id = record.header("ce_id").expect("every event has an id");
    let (counter, _) = id.rsplit_once(':').expect("an id ends with a number");
    // An account's says between the two when it began.
    match counter.strip_prefix(record.key_text()).is_some_and(|rest| rest.starts_with(':')) {
        true => record.key_text().to_owned(),
        false => counter.to_owned(),
    }
}

/// Commits of one partition number by one owner, no two of them further apart than [`LULL_MS`].
#[derive(Clone, Debug)]
pub struct Stretch {
    pub owner: String,
    /// When the broker took the first and the last of them, epoch milliseconds.
    pub from_ms: i64,
    pub to_ms: i64,
    pub commits: u64,
}

/// A stretch that reached over a longer time would hide that nothing was committed in it.
const LULL_MS: i64 = 500;

/// Who has committed what, by the group's own topic: every committed offset there ever was.
pub struct Commits {
    state: Arc<Mutex<BTreeMap<i32, Vec<Stretch>>>>,
    tap: Tap,
}

/// What the offsets of one partition of one topic stand at.
#[derive(Default)]
struct Stand {
    offset: i64,
    task_time: i64,
}

impl Commits {
    /// Follows the commits of one group; `owners` are told by the notes beside the offsets. An offset
    /// or a task time that goes back fails at once.
    pub fn follow(kafka: &Kafka, group: &str, partition_of_group: i32) -> Commits {
        let state = Arc::new(Mutex::new(BTreeMap::<i32, Vec<Stretch>>::new()));
        let group = group.to_owned();
        let mut stands: HashMap<(String, i32), Stand> = HashMap::new();
        let topic = "__consumer_offsets";
        let tap = Tap::start(kafka, topic, [partition_of_group].into_iter(), {
            let state = Arc::clone(&state);
            move |message| {
                let Some(commit) = OffsetCommit::read(message) else { return };
                if commit.group != group {
                    return;
                }
                let note: CommitNote =
                    serde_json::from_str(&commit.metadata).expect("a note beside every offset");
                let place = (commit.topic, commit.partition);
                let stand = stands.entry(place.clone()).or_default();
                assert!(
                    commit.offset >= stand.offset && note.t >= stand.task_time,
                    "{place:?}: {} commits offset {} at {}, and it stood at {} at {}",
                    note.owner,
                    commit.offset,
                    note.t,
                    stand.offset,
                    stand.task_time
                );
                *stand = Stand { offset: commit.offset, task_time: note.t };
                let mut state = lock(&state);
                let stretches = state.entry(commit.partition).or_default();
                let at_ms = commit.at_ms;
                let goes_on = |stretch: &&mut Stretch| {
                    stretch.owner == note.owner && at_ms - stretch.to_ms <= LULL_MS
                };
                match stretches.last_mut().filter(goes_on) {
                    Some(stretch) => {
                        (stretch.to_ms, stretch.commits) = (at_ms, stretch.commits + 1);
                    }
                    None => stretches.push(Stretch {
                        owner: note.owner,
                        from_ms: at_ms,
                        to_ms: at_ms,
                        commits: 1,
                    }),
                }
            }
        });
        Commits { state, tap }
    }

    /// By partition number, who has committed, one stretch after the other.
    pub fn stretches(&self) -> BTreeMap<i32, Vec<Stretch>> {
        assert!(self.tap.is_well(), "the offsets or the task time of some partition went back");
        lock(&self.state).clone()
    }
}

/// A record of the group coordinators' topic, as Kafka's `OffsetCommitKey` and `OffsetCommitValue`
/// lay it out.
struct OffsetCommit {
    group: String,
    topic: String,
    partition: i32,
    offset: i64,
    metadata: String,
    at_ms: i64,
}

impl OffsetCommit {
    /// `None` for what is no commit: a group's members, or an offset forgotten.
    fn read(message: &BorrowedMessage<'_>) -> Option<OffsetCommit> {
        let mut key = Bytes(message.key()?);
        if key.number::<2>()? > 1 {
            return None;
        }
        let (group, topic, partition) = (key.text()?, key.text()?, key.number::<4>()? as i32);
        let mut value = Bytes(message.payload()?);
        let version = value.number::<2>()?;
        let offset = value.number::<8>()?;
        if version >= 3 {
            value.number::<4>()?;
        }
        // From version 4 on lengths are written as few bytes as they need.
        let metadata = if version >= 4 { value.compact_text()? } else { value.text()? };
        let at_ms = value.number::<8>()?;
        Some(OffsetCommit { group, topic, partition, offset, metadata, at_ms })
    }
}

/// Bytes read from the front.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn number<const N: usize>(&mut self) -> Option<i64> {
        let (front, rest) = self.0.split_at_checked(N)?;
        self.0 = rest;
        let sign = i64::from(front[0] as i8);
        Some(front[1..].iter().fold(sign, |number, byte| (number << 8) | i64::from(*byte)))
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.number::<2>()?).ok()?;
        self.text_of(length)
    }

    /// Seven bits of the length plus one to a byte, the lowest first.
    fn compact_text(&mut self) -> Option<String> {
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            let byte = self.number::<1>()? as u8;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return self.text_of(length.checked_sub(1)?);
            }
        }
    }

    fn text_of(&mut self, length: usize) -> Option<String> {
        let (front, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        String::from_utf8(front.to_vec()).ok()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
