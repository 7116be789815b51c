//! The pipeline's only way out: what it needs of a broker, and nothing of how one works.
//!
//! A worker owns one `Broker`: one group member and one transactional producer. The real one is in
//! `kafka`; tests put a simulated one behind the same trait.
//!
//! Calls may block for as long as each says, never longer. Nothing here retries on its own: an error
//! says what class it is of, and the worker decides.

use std::time::Duration;

use crate::engine::event::Source;
use crate::engine::time::EventTime;

/// One partition of one input topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Input {
    /// Which of the input topics.
    pub source: Source,
    /// Which partition of it.
    pub partition: i32,
}

/// A record as the broker holds it; the bytes stay with the client library until it is dropped.
pub trait InputRecord {
    /// Position in its partition.
    fn offset(&self) -> i64;
    /// Record time, from the record's timestamp; `None` where the record has none.
    fn timestamp(&self) -> Option<EventTime>;
    /// The key, if there is one.
    fn key(&self) -> Option<&[u8]>;
    /// The value; `None` is a tombstone.
    fn value(&self) -> Option<&[u8]>;
    /// The headers, in order, as they came.
    fn headers(&self) -> Vec<(String, Option<Vec<u8>>)>;
}

/// What one partition brought.
#[derive(Debug)]
pub enum Fetched<R> {
    /// The next record.
    Record(R),
    /// The partition was read up to (not including) this offset and held nothing more then. Control
    /// records and compacted ones take offsets without ever being delivered, so this, not the last
    /// record's offset, says how far one has read.
    End(i64),
}

/// A change of the member's assignment. Each is answered by [`Broker::accept`] or
/// [`Broker::release`] before the group can go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// These inputs are now this member's (in addition to what it holds). None at all, for a spare
    /// member, needs no answer.
    Assigned(Vec<Input>),
    /// These are taken away; offsets of them may still be committed before `release`.
    Revoked(Vec<Input>),
    /// These belong to somebody else already; nothing of them may be committed.
    Lost(Vec<Input>),
}

/// What the group has committed for one input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to take.
    pub offset: i64,
    /// What the committer wrote beside it; empty where nothing was.
    pub metadata: String,
}

/// The answer to one question after the end of every assigned input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndOffsets {
    /// The clock just before the question was sent.
    pub asked_at: EventTime,
    /// One per input asked about.
    pub ends: Vec<End>,
}

/// Where one input ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Which input.
    pub input: Input,
    /// The offset after the last record that a `read_committed` reader may see.
    pub stable: i64,
    /// The offset after the last record there is. Beyond `stable` lie records of transactions that
    /// are still open.
    pub high: i64,
}

/// The topics barometer writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OutputTopic {
    /// Band changes and alerts.
    Events,
    /// The latest report of each account; compacted.
    Scores,
    /// Records that could not be used.
    DeadLetters,
    /// State; compacted.
    Changelog,
}

impl OutputTopic {
    /// Every topic barometer writes.
    pub const ALL: [OutputTopic; 4] = [
        OutputTopic::Events,
        OutputTopic::Scores,
        OutputTopic::DeadLetters,
        OutputTopic::Changelog,
    ];

    /// The topic's name unless the settings say otherwise.
    pub const fn default_topic(self) -> &'static str {
        match self {
            OutputTopic::Events => "account-health-events",
            OutputTopic::Scores => "account-health-scores",
            OutputTopic::DeadLetters => "barometer-dead-letters",
            OutputTopic::Changelog => "barometer-changelog",
        }
    }
}

/// A record to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputRecord {
    /// Where to.
    pub topic: OutputTopic,
    /// Which partition; `None` lets the partitioner choose by key (as Java's default does).
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Headers, in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// The record's timestamp; `None` leaves it to the client.
    pub timestamp: Option<EventTime>,
}

/// How far an input has been processed, as committed with a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Processed {
    /// Which input.
    pub input: Input,
    /// The next offset to take.
    pub offset: i64,
    /// Kept with the offset.
    pub metadata: String,
}

/// What kind of failure it was: it decides what the worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// Nothing happened; the same call may succeed later.
    Retriable,
    /// The transaction must be aborted; then go on.
    Abortable,
    /// Another instance took over, or the partitions are somebody else's.
    Fenced,
    /// Nobody knows whether it happened.
    Unclear,
    /// The process cannot go on.
    Fatal,
}

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BrokerError {
    /// What kind of failure.
    pub class: ErrorClass,
    /// What was tried and what came back, for people.
    pub message: String,
}

/// One group member with one (transactional) producer.
pub trait Broker {
    /// A record as this broker hands it out.
    type Record: InputRecord;

    /// Serves the group and waits up to `timeout` for something to do: a change of assignment, or
    /// a record or end-of-partition on any accepted input. Returns at once if there is something;
    /// what waits on an input that was not fetched from since the last call is nothing new, so an
    /// input may be left waiting without `poll` becoming a busy loop. May return early with nothing.
    ///
    /// # Errors
    /// `Retriable` while no broker can be reached (the client goes on trying by itself), `Fatal`
    /// when the member cannot go on.
    fn poll(&mut self, timeout: Duration) -> Result<Vec<Change>, BrokerError>;

    /// What the group has committed for these inputs, in the same order; stable offsets only (it
    /// waits for open transactions of others on them to end). Blocks up to `timeout`.
    ///
    /// # Errors
    /// `Retriable` on a time-out or a broker that cannot be reached.
    fn committed(
        &mut self,
        inputs: &[Input],
        timeout: Duration,
    ) -> Result<Vec<Option<Committed>>, BrokerError>;

    /// The earliest and the end offset the broker holds of one input. Blocks up to `timeout`.
    ///
    /// # Errors
    /// `Retriable` on a time-out or a broker that cannot be reached.
    fn watermarks(&mut self, input: Input, timeout: Duration) -> Result<(i64, i64), BrokerError>;

    /// Begins to read this partition of the changelog from its beginning, as far as it is written
    /// and decided by now: open transactions are waited for. Several may be open at a time; one that
    /// is open already begins anew. Blocks up to `timeout`.
    ///
    /// # Errors
    /// `Retriable` on a time-out or a broker that cannot be reached, `Fatal` when it cannot be read.
    fn changelog_open(&mut self, partition: i32, timeout: Duration) -> Result<(), BrokerError>;

    /// Moves up to `max` further records of an open partition of the changelog to the end of `into`,
    /// waiting up to `timeout` for some; `true` when all have been handed out. Committed records only.
    ///
    /// # Errors
    /// `Fatal` when it cannot be read. Trouble that passes is waited out by the next calls.
    fn changelog_read(
        &mut self,
        partition: i32,
        max: usize,
        timeout: Duration,
        into: &mut Vec<Self::Record>,
    ) -> Result<bool, BrokerError>;

    /// This partition of the changelog is not needed any more for now, if it was at all.
    fn changelog_close(&mut self, partition: i32);

    /// Answers [`Change::Assigned`]: starts fetching each input at its offset. Best given for the
    /// whole change in one call. An input that was accepted before is read again from the offset
    /// given, and nothing fetched before the call is handed out any more.
    ///
    /// # Errors
    /// `Fatal` when the client refuses.
    fn accept(&mut self, start: &[(Input, i64)]) -> Result<(), BrokerError>;

    /// Answers [`Change::Revoked`] and [`Change::Lost`]: stops fetching these inputs; what was
    /// fetched of them and not taken is dropped. The group goes on when all of a change's inputs are
    /// released. Inputs that nobody took away bring nothing until they are accepted again.
    ///
    /// # Errors
    /// `Fatal` when the client refuses.
    fn release(&mut self, inputs: &[Input]) -> Result<(), BrokerError>;

    /// Moves up to `max` fetched records of one input to the end of `into`, in offset order.
    /// Never blocks. What is not taken stays with the client, which stops fetching when it holds
    /// enough: this is the back-pressure.
    ///
    /// # Errors
    /// `Fatal` when the committed offset is no longer held by the broker.
    fn fetch(
        &mut self,
        input: Input,
        max: usize,
        into: &mut Vec<Fetched<Self::Record>>,
    ) -> Result<(), BrokerError>;

    /// The answer to the latest question after the ends of all accepted inputs that has been
    /// answered, if a new one came since the last call. Never blocks: the questions are asked
    /// elsewhere, a few times a second.
    fn end_offsets(&mut self) -> Option<EndOffsets>;

    /// Opens a transaction (nothing under at-least-once).
    ///
    /// # Errors
    /// Any class.
    fn begin(&mut self) -> Result<(), BrokerError>;

    /// Puts a record into the open transaction. Blocks only while the client's queue is full.
    ///
    /// # Errors
    /// Any class; a record too large for its topic is `Abortable`.
    fn send(&mut self, record: &OutputRecord) -> Result<(), BrokerError>;

    /// Commits the open transaction together with `processed`. On `Ok` everything sent since
    /// `begin` is visible and the offsets are committed; under at-least-once everything sent is
    /// acknowledged and then the offsets are committed.
    ///
    /// # Errors
    /// Any class. After `Unclear` the outcome has to be read from [`Broker::committed`].
    fn commit(&mut self, processed: &[Processed]) -> Result<(), BrokerError>;

    /// Aborts the open transaction.
    ///
    /// # Errors
    /// Any class.
    fn abort(&mut self) -> Result<(), BrokerError>;

    /// Leaves the group (a dynamic member) and closes everything. Blocks up to `timeout`.
    fn close(&mut self, timeout: Duration);
}
