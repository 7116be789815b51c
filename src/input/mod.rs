//! Events from files and pipes, in record-time order: what `replay` and `explain` read.
//!
//! Everything is read before the first record is handed out: files need not be sorted, and records
//! of several files are merged. Memory: of a bare usage event the texts in it, of any other record its
//! own bytes (a bare event's line and once more its account id; an envelope's key and payload without
//! the envelope), plus 48 bytes a record, and while growing up to twice that in address space. Lines
//! that come a little too late, as of producers side by side, are put in their place at once; where
//! there are too many of them, all is sorted at the end: in stretches, or, of a file in no order at all,
//! at one go, which needs another 24 bytes a record for as long as it runs.
//!
//! A bare usage event is decoded as its line is read, since the line has to be taken apart for its
//! time anyway. Everything else, and whatever there is fault to find with, is decoded when its turn
//! comes, and its faults show then.

mod line;
mod line_reader;
mod open;

use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufRead};
use std::path::Path;

use crate::engine::event::{Body, DecodeError, DecodeLimits, Event, Source, Usage};
use crate::engine::event::{check_size, decode};
use crate::engine::time::EventTime;
use line::{Content, Line};
use line_reader::{LineReader, Next};

/// The longest line read into memory, in bytes: a record of the largest size a broker is commonly
/// set up for, escaped and in its envelope.
pub const LINE_BYTES_MAX: usize = 16 << 20;

/// How many [`LineError`]s are kept; all are counted. A file of another format has one a line.
pub const LINE_ERRORS_KEPT: usize = 1_000;

/// Marks a key, a payload, a user or a partition that a record has not got.
const NO_LENGTH: u32 = u32::MAX;
const NO_USER: u16 = u16::MAX;
const NO_PARTITION: i32 = -1;

/// How many records a late one may overtake on the way to its place: so many for each record read, so
/// many at once, and so many to begin with. Past that the input is in no order worth the name.
const OVERTAKEN_EACH: usize = 16;
const OVERTAKEN_AT_ONCE: usize = 4_096;
const OVERTAKEN_AT_FIRST: usize = 65_536;

/// How many records are sorted together where too many are late: as many as a core's cache holds.
const STRETCH: usize = 16_384;
/// How many records may be sorted a second time for each there is. Past that the input is in no order.
const SORTED_AGAIN_EACH: usize = 2;

/// Reads inputs one after the other; [`FeedReader::finish`] puts their records in order.
#[derive(Debug)]
pub struct FeedReader {
    /// Which source each topic of an envelope stands for.
    topics: Vec<(String, Source)>,
    line_bytes_max: usize,
    feed: Feed,
    /// Whether the entries so far are in order.
    in_order: bool,
    /// How many records late ones have overtaken so far.
    overtaken: usize,
}

impl FeedReader {
    /// A reader of events and of `kcat -J` envelopes of these topics.
    pub fn new(topics: Vec<(String, Source)>) -> FeedReader {
        let feed = Feed::default();
        let line_bytes_max = LINE_BYTES_MAX;
        FeedReader { topics, line_bytes_max, feed, in_order: true, overtaken: 0 }
    }

    /// The same with another limit to the length of a line.
    #[must_use]
    pub fn with_line_bytes_max(self, line_bytes_max: usize) -> FeedReader {
        FeedReader { line_bytes_max, ..self }
    }

    /// Reads a file to its end: plain, `.gz` or `.zst` by its name, or standard input for `-`.
    ///
    /// # Errors
    /// When the file cannot be opened or read to its end. Bad lines are no error here, see
    /// [`Feed::line_errors`].
    pub fn add_path(&mut self, path: &Path) -> Result<(), InputError> {
        self.add_path_watched(path, |_| {})
    }

    /// The same, telling `watch` after each line how many of this file were read.
    ///
    /// # Errors
    /// The same.
    pub fn add_path_watched(
        &mut self,
        path: &Path,
        watch: impl FnMut(u64),
    ) -> Result<(), InputError> {
        let name = open::display_name(path);
        let cannot_open = |cause| InputError { file: name.clone(), lines_read: None, cause };
        let input = open::open(path).map_err(cannot_open)?;
        self.add_watched(&name, input, watch)
    }

    /// Reads an open input to its end; `name` stands for it in messages.
    ///
    /// # Errors
    /// When it cannot be read to its end.
    pub fn add(&mut self, name: &str, input: impl BufRead) -> Result<(), InputError> {
        self.add_watched(name, input, |_| {})
    }

    fn add_watched(
        &mut self,
        name: &str,
        input: impl BufRead,
        mut watch: impl FnMut(u64),
    ) -> Result<(), InputError> {
        let file = u16::try_from(self.feed.files.len()).map_err(|_| InputError {
            file: name.to_owned(),
            lines_read: None,
            cause: io::Error::other("more than 65536 files"),
        })?;
        self.feed.files.push(name.to_owned());
        let mut lines = LineReader::new(input, self.line_bytes_max);
        loop {
            let next = lines.next_line().map_err(|(lines_read, cause)| InputError {
                file: name.to_owned(),
                lines_read: Some(lines_read),
                cause,
            })?;
            match next {
                None => return Ok(()),
                Some(Next::TooLong { number, bytes }) => {
                    let limit = self.line_bytes_max;
                    let message = format!("line has {bytes} bytes, expected at most {limit}");
                    self.feed.report(name, number, message);
                }
                Some(Next::Line { number, bytes }) => {
                    watch(number);
                    match line::read(bytes, &self.topics) {
                        Ok(Some(line)) => {
                            let entry = self.feed.keep(&line, file, number);
                            self.place(entry);
                        }
                        Ok(None) => {}
                        Err(message) => self.feed.report(name, number, message),
                    }
                }
            }
        }
    }

    /// Puts an entry after those that come before it or with it, as long as that is not far.
    fn place(&mut self, entry: Entry) {
        let entries = &mut self.feed.entries;
        let is_late = |known: &Entry| known.order() > entry.order();
        if self.in_order && entries.last().is_some_and(is_late) {
            let allowed = OVERTAKEN_AT_FIRST + OVERTAKEN_EACH * entries.len();
            let reach = (allowed - self.overtaken).min(OVERTAKEN_AT_ONCE);
            let late =
                entries.iter().rev().take(reach + 1).take_while(|known| is_late(known)).count();
            if late <= reach {
                self.overtaken += late;
                entries.insert(entries.len() - late, entry);
                return;
            }
            self.in_order = false;
        }
        entries.push(entry);
    }

    /// Puts the records in order.
    pub fn finish(self) -> Feed {
        let mut feed = self.feed;
        if !self.in_order {
            sort(&mut feed.entries);
        }
        feed
    }
}

/// Puts entries in order; what is equal stays in the order of files and lines. Lines that come late
/// come minutes or hours late, hardly ever months: a stretch is put in order in the cache, and then
/// together with those of the entries before it that it has to go among.
fn sort(entries: &mut [Entry]) {
    let mut sorted = 0;
    let mut sorted_again = 0;
    while sorted < entries.len() {
        let end = entries.len().min(sorted + STRETCH);
        entries[sorted..end].sort_by_key(Entry::order);
        let first = entries[sorted].order();
        let begin = entries[..sorted].partition_point(|known| known.order() <= first);
        sorted_again += sorted - begin;
        if sorted_again > SORTED_AGAIN_EACH * entries.len() {
            entries.sort_by_key(Entry::order);
            return;
        }
        if begin < sorted {
            // Two rows, each in order, which the sort finds and merges.
            entries[begin..end].sort_by_key(Entry::order);
        }
        sorted = end;
    }
}

/// Records in the order in which they are taken: by record time, then in the order of [`Source`],
/// then as they were read.
#[derive(Debug, Default)]
pub struct Feed {
    files: Vec<String>,
    /// Of each record its payload, then its key; of decoded usage the texts of the event.
    arena: String,
    entries: Vec<Entry>,
    line_errors: Vec<LineError>,
    line_error_count: u64,
}

impl Feed {
    /// How many records there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The records, in order.
    pub fn records(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        self.entries.iter().map(|entry| self.record(entry))
    }

    /// The first [`LINE_ERRORS_KEPT`] lines that could not be used, in the order of reading.
    pub fn line_errors(&self) -> &[LineError] {
        &self.line_errors
    }

    /// How many lines could not be used.
    pub fn line_error_count(&self) -> u64 {
        self.line_error_count
    }

    fn record<'a>(&'a self, entry: &'a Entry) -> Record<'a> {
        let texts = &self.arena[entry.start..];
        let mut partition_hint = None;
        let content = match &entry.kept {
            Kept::Record { payload_bytes, key_bytes, partition } => {
                partition_hint = (*partition != NO_PARTITION).then_some(*partition);
                let mut rest = texts;
                let mut part = |bytes: u32| (bytes != NO_LENGTH).then(|| cut(&mut rest, bytes));
                let payload = part(*payload_bytes);
                RecordContent::Encoded { payload, key: part(*key_bytes) }
            }
            Kept::Usage(usage) => RecordContent::Usage { usage, texts },
        };
        Record {
            source: entry.source,
            partition_hint,
            record_time: entry.record_time,
            content,
            file: &self.files[usize::from(entry.file)],
            line: u64::from(entry.line),
        }
    }

    /// Keeps what a line says, to be put in its place.
    fn keep(&mut self, line: &Line<'_>, file: u16, number: u64) -> Entry {
        let start = self.arena.len();
        let mut keep = |text: &str| {
            self.arena.push_str(text);
            text.len()
        };
        let kept = match &line.content {
            Content::Record { key, payload } => {
                let mut keep = |part: &Option<Cow<'_, str>>| {
                    part.as_ref().map_or(NO_LENGTH, |part| keep(part) as u32)
                };
                Kept::Record {
                    payload_bytes: keep(payload),
                    key_bytes: keep(key),
                    partition: line.partition.unwrap_or(NO_PARTITION),
                }
            }
            Content::Usage { event, line_bytes } => {
                let Body::Usage(usage) = &event.body else {
                    unreachable!("the only events that are read with their lines are usage")
                };
                // The decoder lets none be longer than 256 bytes.
                let mut keep = |text: &str| keep(text) as u16;
                Kept::Usage(KeptUsage {
                    line_bytes: *line_bytes as u32,
                    account_bytes: keep(&event.account_id),
                    id_bytes: keep(&event.event_id),
                    user_bytes: usage.user_id.as_deref().map_or(NO_USER, &mut keep),
                    feature_bytes: keep(&usage.feature),
                    quantity_milli: usage.quantity_milli,
                })
            }
        };
        Entry {
            record_time: line.record_time,
            start,
            line: u32::try_from(number).unwrap_or(u32::MAX),
            file,
            source: line.source,
            kept,
        }
    }

    fn report(&mut self, file: &str, line: u64, message: String) {
        self.line_error_count += 1;
        if self.line_errors.len() < LINE_ERRORS_KEPT {
            self.line_errors.push(LineError { file: file.to_owned(), line, message });
        }
    }
}

/// Takes so many bytes off the front of `rest`.
fn cut<'a>(rest: &mut &'a str, bytes: impl Into<u32>) -> &'a str {
    let (part, after) = rest.split_at(bytes.into() as usize);
    *rest = after;
    part
}

/// Where one record's bytes lie in the arena.
#[derive(Debug)]
struct Entry {
    record_time: EventTime,
    start: usize,
    /// Counted from 1; stands still at the end of its range, far beyond what fits in memory.
    line: u32,
    file: u16,
    source: Source,
    kept: Kept,
}

/// What lies there.
#[derive(Debug)]
enum Kept {
    Record {
        /// [`NO_LENGTH`] for a tombstone.
        payload_bytes: u32,
        /// [`NO_LENGTH`] for a record without a key.
        key_bytes: u32,
        /// [`NO_PARTITION`] where the line names none.
        partition: i32,
    },
    Usage(KeptUsage),
}

/// A usage event that occurred at its record time: the lengths of its texts, in their order. Packed:
/// a feed is made of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(Rust, packed(4))]
struct KeptUsage {
    line_bytes: u32,
    account_bytes: u16,
    id_bytes: u16,
    /// [`NO_USER`] where it names none.
    user_bytes: u16,
    feature_bytes: u16,
    quantity_milli: i64,
}

impl KeptUsage {
    fn event<'a>(&self, mut texts: &'a str, occurred_at: EventTime) -> Event<'a> {
        let mut text = |bytes: u16| Cow::Borrowed(cut(&mut texts, bytes));
        let (account_id, event_id) = (text(self.account_bytes), text(self.id_bytes));
        Event {
            account_id,
            event_id,
            occurred_at,
            body: Body::Usage(Usage {
                user_id: (self.user_bytes != NO_USER).then(|| text(self.user_bytes)),
                feature: text(self.feature_bytes),
                quantity_milli: self.quantity_milli,
            }),
        }
    }
}

impl Entry {
    fn order(&self) -> (EventTime, Source) {
        (self.record_time, self.source)
    }
}

/// One record of a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Which topic it came from, or would have come from.
    pub source: Source,
    /// The partition an envelope names.
    pub partition_hint: Option<i32>,
    /// When we learnt of it: an envelope's timestamp, a bare event's `occurred_at`.
    pub record_time: EventTime,
    /// The file it was read from, as messages name it.
    pub file: &'a str,
    /// Its line in the file, counted from 1.
    pub line: u64,
    content: RecordContent<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RecordContent<'a> {
    /// The key (a bare event's `account_id`) and the value: `None` is a tombstone, a bare event's is
    /// its whole line.
    Encoded { key: Option<&'a str>, payload: Option<&'a str> },
    /// The texts begin those of the arena.
    Usage { usage: &'a KeptUsage, texts: &'a str },
}

impl<'a> Record<'a> {
    /// Decodes the record as the pipeline would.
    ///
    /// # Errors
    /// When the record cannot be used.
    pub fn decode(&self, limits: &DecodeLimits) -> Result<Event<'a>, DecodeError> {
        match self.content {
            RecordContent::Encoded { key, payload } => {
                let bytes = |text: Option<&'a str>| text.map(str::as_bytes);
                decode(self.source, bytes(key), bytes(payload), self.record_time, limits)
            }
            RecordContent::Usage { usage, texts } => {
                // Nothing else of what the pipeline checks can fail: the line has been decoded, its
                // key and its time are the event's own.
                check_size(usage.line_bytes as usize, limits)?;
                Ok(usage.event(texts, self.record_time))
            }
        }
    }
}

/// A line that is no record. Reading goes on after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineError {
    /// The file, as messages name it.
    pub file: String,
    /// The line, counted from 1.
    pub line: u64,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

impl std::error::Error for LineError {}

/// An input that cannot be read to its end.
#[derive(Debug)]
pub struct InputError {
    /// The file, as messages name it.
    pub file: String,
    /// How many lines of it were read before the fault; `None` where it could not be opened.
    pub lines_read: Option<u64>,
    /// What the system says.
    pub cause: io::Error,
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lines_read {
            None => write!(f, "{}: cannot be opened: {}", self.file, self.cause),
            Some(lines) => {
                write!(f, "{}: cannot be read after line {lines}: {}", self.file, self.cause)
            }
        }
    }
}

impl std::error::Error for InputError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}
