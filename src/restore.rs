//! From a changelog back to a task.
//!
//! The committed offsets are read first, which waits for a dead owner's last transaction; then the
//! changelog to its end; then the inputs once more from where the marker says, each account taking
//! only what its own record has not seen, and deciding nothing ([`Task`] does that part). From the
//! committed offsets on it is the task that was.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use compact_str::CompactString;

use crate::broker::{Committed, Input, InputRecord};
use crate::checkpoint::{
    CARD_KEY, GONE, GUARD_KEY, IN_PARTS, MARKER_KEY, Marker, Positions, RESERVED_BYTE, part_of,
};
use crate::dormant::{Dormant, DormantAccount};
use crate::engine::Engine;
use crate::engine::event::Source;
use crate::engine::outage::KeptGuard;
use crate::engine::rules::Rules;
use crate::engine::scorecard::Scorecard;
use crate::engine::snapshot::{self, KeptGone, SnapshotError, Stamp};
use crate::engine::time::EventTime;
use crate::routing::Routing;
use crate::task::{CommitNote, Noted, Task, TaskSettings};

/// Why a task cannot be put back together. Nobody but an operator can mend these.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// A record of the changelog cannot be read.
    #[error("topic `{topic}`, partition {partition}, offset {offset}, key `{key}`: {reason}")]
    Record {
        /// The changelog.
        topic: String,
        /// Its partition.
        partition: i32,
        /// The record's offset.
        offset: i64,
        /// Its key, as far as it is text.
        key: String,
        /// What is wrong with it.
        reason: SnapshotError,
    },
    /// The changelog is another group's.
    #[error(
        "topic `{topic}`, partition {partition} holds the state of group `{found}`, expected that \
         of `{group}`: give each group a changelog of its own (`kafka.topics.changelog`)"
    )]
    ForeignGroup {
        /// The changelog.
        topic: String,
        /// Its partition.
        partition: i32,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        group: String,
    },
    /// The topics had another number of partitions.
    #[error(
        "topic `{topic}`, partition {partition} holds the state of inputs with {found} partitions, \
         and they have {expected}: accounts have moved to other partitions than their state. Make \
         new topics with the new count and begin anew with a new `kafka.group_id`"
    )]
    Partitions {
        /// The changelog.
        topic: String,
        /// Its partition.
        partition: i32,
        /// How many there were.
        found: i32,
        /// How many there are.
        expected: i32,
    },
    /// There is state, and nobody knows up to where it reaches.
    #[error(
        "group `{group}` has no committed offsets for partition {partition}, and topic `{topic}` \
         holds its state up to commit {commits}, task time {now}: the offsets have expired or were \
         deleted. To go on from there set the group's offsets to {positions} \
         (kafka-consumer-groups.sh --reset-offsets); to begin anew with the whole history use a \
         new `kafka.group_id`"
    )]
    NoOffsets {
        /// The group.
        group: String,
        /// The partition.
        partition: i32,
        /// The changelog.
        topic: String,
        /// Commits so far.
        commits: u64,
        /// Task time then.
        now: EventTime,
        /// Offsets that lose nothing.
        positions: String,
    },
    /// Offsets are committed, and the state that belongs to them is not there.
    #[error(
        "group `{group}` has committed offsets for partition {partition} (commit {commits}), and \
         topic `{topic}` holds no state for them: it was deleted, or `kafka.topics.changelog` names \
         another one. Restore it; or begin anew with the whole history with a new \
         `kafka.group_id`"
    )]
    NoState {
        /// The group.
        group: String,
        /// The partition.
        partition: i32,
        /// The changelog.
        topic: String,
        /// Commits so far.
        commits: u64,
    },
    /// Records that are needed were deleted.
    #[error(
        "topic `{topic}`, partition {partition} begins at offset {earliest}, and group `{group}` \
         has to read from {wanted}: records were deleted that are still needed. Keep records for \
         longer than the service may be away; to go on without them set \
         `kafka.offset_reset` to `earliest` or `latest`"
    )]
    Deleted {
        /// The input topic.
        topic: String,
        /// Its partition.
        partition: i32,
        /// The first offset there is.
        earliest: i64,
        /// The first one needed.
        wanted: i64,
        /// The group.
        group: String,
    },
    /// The topic is shorter than what was read of it.
    #[error(
        "topic `{topic}`, partition {partition} ends at offset {end}, and group `{group}` has read \
         it up to {wanted}: it was deleted and made again. Set the group's offsets \
         (kafka-consumer-groups.sh --reset-offsets) or begin anew with a new `kafka.group_id`"
    )]
    Shortened {
        /// The input topic.
        topic: String,
        /// Its partition.
        partition: i32,
        /// Where it ends.
        end: i64,
        /// Up to where it was read.
        wanted: i64,
        /// The group.
        group: String,
    },
}

/// What to do where the broker no longer holds what is to be read next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OffsetReset {
    /// Stop, and say so.
    #[default]
    Fail,
    /// Go on at the first record there is.
    Earliest,
    /// Go on at the end.
    Latest,
}

/// Records of an input that will never be read, because they were deleted before: `from` up to, and
/// not including, `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The input.
    pub input: Input,
    /// The offset that was to be read next.
    pub from: i64,
    /// The one that is instead.
    pub to: i64,
}

/// A changelog on its way back into a task. Holds the latest of each account, nothing else.
pub struct Restore {
    partition: i32,
    settings: Arc<TaskSettings>,
    /// In force now, and with them those of before.
    rules: Rules,
    dormant: Dormant,
    marker: Option<Marker>,
    guard: Option<KeptGuard>,
    /// The hashes of scorecards whose text the changelog holds.
    cards: Vec<String>,
    /// Accounts that were forgotten, and are not known again.
    gone: HashMap<CompactString, Stamp>,
    /// Parts of accounts that are too large for one record, until the last one has come.
    parts: HashMap<Vec<u8>, Vec<Vec<u8>>>,
    /// In how many parts accounts were written.
    part_counts: HashMap<CompactString, u16>,
    /// By key: why the latest record cannot be put together from its parts. Compaction takes the parts
    /// of an older record before it takes that record, so a later one has to follow.
    torn: BTreeMap<Vec<u8>, RestoreError>,
    records: u64,
}

/// What a changelog held, put together.
pub struct Restored {
    /// An engine without them, which knows the rules they were judged by.
    pub engine: Engine,
    /// The accounts.
    pub dormant: Dormant,
    /// The hashes of scorecards whose text the changelog holds.
    pub cards: Vec<String>,
    /// The task's own record.
    pub marker: Marker,
    /// Accounts that were forgotten: the positions before which nothing is theirs.
    pub gone: HashMap<CompactString, Positions>,
    /// In how many parts accounts were written, where one record was too small.
    pub parts: HashMap<CompactString, u16>,
}

/// Where one input goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resumption {
    /// The input.
    pub source: Source,
    /// From here on records are read again, for the state they made.
    pub replay_from: i64,
    /// From here on they are taken for the first time.
    pub live_from: i64,
}

impl Restore {
    /// Nothing read yet. The task will judge by `rules`.
    pub fn new(partition: i32, settings: Arc<TaskSettings>, rules: Arc<Rules>) -> Restore {
        Restore {
            partition,
            settings,
            rules: (*rules).clone(),
            dormant: Dormant::default(),
            marker: None,
            guard: None,
            cards: Vec::new(),
            gone: HashMap::new(),
            parts: HashMap::new(),
            part_counts: HashMap::new(),
            torn: BTreeMap::new(),
            records: 0,
        }
    }

    /// How many records have been taken.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Takes the next record of the changelog.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn take(&mut self, record: &impl InputRecord) -> Result<(), RestoreError> {
        self.records += 1;
        let key = record.key().unwrap_or_default();
        let Err(reason) = self.take_entry(key, record.value(), record.offset()) else {
            self.torn.remove(key);
            return Ok(());
        };
        let error = unreadable(&self.settings, self.partition, record.offset(), key, reason);
        if record.value().is_some_and(|value| value.first() == Some(&IN_PARTS)) {
            self.torn.insert(key.to_vec(), error);
            return Ok(());
        }
        Err(error)
    }

    fn take_entry(
        &mut self,
        key: &[u8],
        value: Option<&[u8]>,
        offset: i64,
    ) -> Result<(), SnapshotError> {
        if key == MARKER_KEY {
            self.marker = value.map(|value| snapshot::open(key, value)).transpose()?;
            return Ok(());
        }
        if key == GUARD_KEY {
            self.guard = value.map(|value| snapshot::open(key, value)).transpose()?;
            return Ok(());
        }
        if let Some((account, number)) = part_of(key) {
            if let Some(value) = value {
                if let Ok(account_id) = std::str::from_utf8(account) {
                    let count = self.part_counts.entry(account_id.into()).or_default();
                    *count = (*count).max(number + 1);
                }
                let parts = self.parts.entry(account.to_vec()).or_default();
                parts.resize_with(parts.len().max(usize::from(number) + 1), Vec::new);
                value.clone_into(&mut parts[usize::from(number)]);
            }
            return Ok(());
        }
        let parts = self.parts.remove(key).unwrap_or_default();
        let value = match value {
            Some([IN_PARTS, high, low]) => {
                let count = usize::from(u16::from_be_bytes([*high, *low]));
                let joined =
                    parts.get(..count).ok_or_else(|| damaged("parts of it are missing"))?;
                Some(Cow::Owned(joined.concat()))
            }
            value => value.map(Cow::Borrowed),
        };
        if let Some(hash) = key.strip_prefix(CARD_KEY) {
            if let Some(value) = value {
                self.know_card(hash, &snapshot::open::<String>(key, &value)?);
            }
            return Ok(());
        }
        if key.first() == Some(&RESERVED_BYTE) {
            return Err(damaged("a reserved key that this version does not know"));
        }
        let account_id = std::str::from_utf8(key).map_err(|_| damaged("the key is no account"))?;
        match value {
            None => {
                self.dormant.take(account_id);
                self.gone.remove(account_id);
            }
            Some(value) if value.first() == Some(&GONE) => {
                let gone: KeptGone = snapshot::open(key, &value[1..])?;
                self.dormant.take(account_id);
                self.gone.insert(account_id.into(), gone.stamp());
            }
            Some(value) => {
                snapshot::check(key, &value)?;
                let (account_id, bytes) = (account_id.into(), value.into());
                self.gone.remove(&account_id);
                self.dormant.put(DormantAccount { account_id, bytes, offset });
            }
        }
        Ok(())
    }

    fn know_card(&mut self, hash: &[u8], text: &str) {
        self.cards.push(String::from_utf8_lossy(hash).into_owned());
        // A card that this version does not take any more: accounts go over by their names.
        if let Ok(parsed) = Scorecard::parse("(a scorecard of before)", text) {
            self.rules = self.rules.knowing(Arc::new(parsed.scorecard));
        }
    }

    /// Moves offsets past what the broker no longer holds, where the settings allow it, and tells what
    /// is lost by that. State stays as it is: accounts are without the events that nobody can read any
    /// more. `held` says the first offset there is of an input, and the one after the last. What is
    /// left as it was is refused by [`check_held`].
    pub fn skip_deleted(
        &mut self,
        committed: &mut [(Input, Option<Committed>)],
        held: impl Fn(Input) -> (i64, i64),
    ) -> Vec<Lost> {
        let mut lost = Vec::new();
        for (input, committed) in committed {
            // Without an offset an input begins at the first record there is.
            let Some(committed) = committed else { continue };
            let (first, end) = held(*input);
            let from = match &self.marker {
                Some(marker) => marker.positions[input.source as usize].min(committed.offset),
                None => committed.offset,
            };
            if from >= first {
                continue;
            }
            let to = match self.settings.offset_reset {
                OffsetReset::Fail => continue,
                // Only what would have been read once more is gone.
                OffsetReset::Earliest | OffsetReset::Latest if committed.offset >= first => first,
                OffsetReset::Earliest => first,
                OffsetReset::Latest => end,
            };
            committed.offset = committed.offset.max(to);
            if let Some(marker) = &mut self.marker {
                let position = &mut marker.positions[input.source as usize];
                *position = to.max(*position);
            }
            lost.push(Lost { input: *input, from, to });
        }
        lost
    }

    /// The changelog has been read to its end: where each input goes on, and the task, which replays
    /// what lies between. `committed` is what the group has committed, `earliest` where an input
    /// without an offset begins, `started_at` the process's start, on the wall clock.
    ///
    /// # Errors
    /// When offsets and state do not fit together.
    pub fn finish<R: InputRecord>(
        self,
        committed: &[(Input, Option<Committed>)],
        earliest: impl Fn(Input) -> i64,
        publish_from: Option<EventTime>,
        started_at: EventTime,
        routing: &Routing,
    ) -> Result<(Task<R>, Vec<Resumption>), RestoreError> {
        if let Some(error) = self.torn.values().next() {
            return Err(error.clone());
        }
        let note = latest_note(committed);
        let marker = self.checked_marker(committed, note.as_ref(), routing)?;
        let live_from = |input: Input, offset: &Option<Committed>| {
            offset.as_ref().map_or_else(|| earliest(input), |c| c.offset)
        };
        let Some(mut marker) = marker else {
            // Nothing has ever been committed here, or by hand only.
            let publish_from = publish_from
                .or(note.map(|note| EventTime::from_millis(note.from)))
                .unwrap_or(started_at);
            let resumptions: Vec<Resumption> = committed
                .iter()
                .map(|(input, offset)| {
                    let live_from = live_from(*input, offset);
                    Resumption { source: input.source, replay_from: live_from, live_from }
                })
                .collect();
            let start: Vec<(Source, i64)> =
                resumptions.iter().map(|r| (r.source, r.live_from)).collect();
            let task = Task::new(
                self.partition,
                self.settings,
                Arc::new(self.rules),
                &start,
                publish_from,
                0,
            );
            return Ok((task, resumptions));
        };
        let epoch_before = marker.epoch;
        marker.read_from(&self.settings.topics);
        routing.settle(marker.partitioners);
        let publish_from =
            publish_from.unwrap_or_else(|| EventTime::from_millis(marker.publish_from));
        let guard_came = note.as_ref().map_or([0; 4], |note| note.came);
        let note_commits = note.as_ref().map_or(0, |note| note.n);
        marker.publish_from = publish_from.as_millis();
        marker.commits = note_commits.max(marker.commits);
        let resumptions: Vec<Resumption> = committed
            .iter()
            .map(|(input, offset)| {
                let live_from = live_from(*input, offset);
                let (_, since) = marker.topics[input.source as usize];
                // Of another topic than the state was made from nothing has been read before.
                let is_new = since > epoch_before || offset.is_none();
                let replay_from = match is_new {
                    true => live_from,
                    false => marker.positions[input.source as usize].min(live_from),
                };
                Resumption { source: input.source, replay_from, live_from }
            })
            .collect();
        let mut engine = Engine::with_rules(Arc::new(self.rules), EventTime::MAX);
        if self.settings.outage_guard {
            engine = engine.with_outage_guard();
            if let Some(kept) = self.guard {
                engine.restore_guard(kept, guard_came);
            }
        }
        let restored = Restored {
            gone: self
                .gone
                .into_iter()
                .map(|(id, stamp)| (id, marker.valid(stamp.positions, stamp.epoch)))
                .collect(),
            parts: self.part_counts,
            engine,
            dormant: self.dormant,
            cards: self.cards,
            marker,
        };
        // Offsets set by hand stand at no task time that anybody knows; none at all at the first.
        let noted = match committed.iter().any(|(_, committed)| committed.is_some()) {
            true => note.as_ref().map(CommitNote::noted),
            false => {
                let now = EventTime::MIN;
                Some(Noted { now, handled_to: now, unshown: false })
            }
        };
        let task = Task::restored(self.partition, self.settings, restored, &resumptions, noted);
        Ok((task, resumptions))
    }

    /// The marker, if there is one, and it belongs to these offsets.
    fn checked_marker(
        &self,
        committed: &[(Input, Option<Committed>)],
        note: Option<&CommitNote>,
        routing: &Routing,
    ) -> Result<Option<Marker>, RestoreError> {
        let settings = &self.settings;
        let (topic, group) = (settings.changelog.clone(), settings.group.clone());
        let partition = self.partition;
        let Some(marker) = &self.marker else {
            return match note {
                Some(note) => {
                    Err(RestoreError::NoState { group, partition, topic, commits: note.n })
                }
                None => Ok(None),
            };
        };
        if marker.group != group {
            let found = marker.group.clone();
            return Err(RestoreError::ForeignGroup { topic, partition, found, group });
        }
        if marker.partitions != routing.partitions() {
            let (found, expected) = (marker.partitions, routing.partitions());
            return Err(RestoreError::Partitions { topic, partition, found, expected });
        }
        if committed.iter().all(|(_, committed)| committed.is_none()) && !settings.at_least_once {
            let position = |(input, _): &(Input, Option<Committed>)| {
                let source = input.source as usize;
                format!("{}:{partition}:{}", settings.topics[source], marker.positions[source])
            };
            return Err(RestoreError::NoOffsets {
                group,
                partition,
                topic,
                commits: marker.commits,
                now: EventTime::from_millis(marker.now),
                positions: committed.iter().map(position).collect::<Vec<_>>().join(", "),
            });
        }
        Ok(Some(marker.clone()))
    }
}

/// A record of the changelog that cannot be read.
pub fn unreadable(
    settings: &TaskSettings,
    partition: i32,
    offset: i64,
    key: &[u8],
    reason: SnapshotError,
) -> RestoreError {
    let (topic, key) = (settings.changelog.clone(), key.escape_ascii().to_string());
    RestoreError::Record { topic, partition, offset, key, reason }
}

/// Checks that an input still holds what is to be read of it: `first` is its earliest offset, `end`
/// the one after its last.
///
/// # Errors
/// When it does not.
pub fn check_held(
    settings: &TaskSettings,
    partition: i32,
    from: Resumption,
    (earliest, end): (i64, i64),
) -> Result<(), RestoreError> {
    let topic = settings.topics[from.source as usize].clone();
    let group = settings.group.clone();
    if from.replay_from < earliest {
        let wanted = from.replay_from;
        return Err(RestoreError::Deleted { topic, partition, earliest, wanted, group });
    }
    if from.live_from > end {
        let wanted = from.live_from;
        return Err(RestoreError::Shortened { topic, partition, end, wanted, group });
    }
    Ok(())
}

/// The latest of the notes beside the offsets.
fn latest_note(committed: &[(Input, Option<Committed>)]) -> Option<CommitNote> {
    let notes = committed.iter().filter_map(|(_, committed)| {
        serde_json::from_str::<CommitNote>(&committed.as_ref()?.metadata).ok()
    });
    notes.max_by_key(|note| note.n)
}

fn damaged(what: &str) -> SnapshotError {
    SnapshotError::Damaged(what.to_owned())
}
