//! Events from files and pipes, in record-time order: what `replay` and `explain` read.
//!
//! Everything is read before the first record is handed out: files need not be sorted, and records
//! of several files are merged. Memory: the records' own bytes (a bare event's line and once more its
//! account id; an envelope's key and payload without the envelope) plus 40 bytes a record, and while
//! growing up to twice that in address space. Input found in order, line after line, is not sorted
//! again; else the sort needs another 20 bytes a record for as long as it runs.
//!
//! Nothing is decoded here: a record's own faults show when its turn comes.

mod line;
mod line_reader;
mod open;

use std::fmt;
use std::io::{self, BufRead};
use std::path::Path;

use crate::engine::event::{DecodeError, DecodeLimits, Event, Source, decode};
use crate::engine::time::EventTime;
use line::Line;
use line_reader::{LineReader, Next};

/// The longest line read into memory, in bytes: a record of the largest size a broker is commonly
/// set up for, escaped and in its envelope.
pub const LINE_BYTES_MAX: usize = 16 << 20;

/// How many [`LineError`]s are kept; all are counted. A file of another format has one a line.
pub const LINE_ERRORS_KEPT: usize = 1_000;

/// Marks a key, a payload or a partition that a record has not got.
const NO_LENGTH: u32 = u32::MAX;
const NO_PARTITION: i32 = -1;

/// Reads inputs one after the other; [`FeedReader::finish`] puts their records in order.
#[derive(Debug)]
pub struct FeedReader {
    /// Which source each topic of an envelope stands for.
    topics: Vec<(String, Source)>,
    line_bytes_max: usize,
    feed: Feed,
    /// Whether the entries so far are in order.
    in_order: bool,
}

impl FeedReader {
    /// A reader of events and of `kcat -J` envelopes of these topics.
    pub fn new(topics: Vec<(String, Source)>) -> FeedReader {
        let feed = Feed::default();
        FeedReader { topics, line_bytes_max: LINE_BYTES_MAX, feed, in_order: true }
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
                            let in_order = self.feed.push(&line, file, number);
                            self.in_order &= in_order;
                        }
                        Ok(None) => {}
                        Err(message) => self.feed.report(name, number, message),
                    }
                }
            }
        }
    }

    /// Puts the records in order.
    pub fn finish(self) -> Feed {
        let mut feed = self.feed;
        if !self.in_order {
            // Stable: what is equal stays in the order of files and lines.
            feed.entries.sort_by_key(Entry::order);
        }
        feed
    }
}

/// Records in the order in which they are taken: by record time, then in the order of [`Source`],
/// then as they were read.
#[derive(Debug, Default)]
pub struct Feed {
    files: Vec<String>,
    /// The keys and payloads of all records: of each its payload, then its key.
    arena: Vec<u8>,
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

    fn record(&self, entry: &Entry) -> Record<'_> {
        let mut rest = &self.arena[entry.start..];
        let mut part = |length: u32| {
            (length != NO_LENGTH).then(|| {
                let (part, after) = rest.split_at(length as usize);
                rest = after;
                part
            })
        };
        let payload = part(entry.payload_bytes);
        let key = part(entry.key_bytes);
        Record {
            source: entry.source,
            partition_hint: (entry.partition != NO_PARTITION).then_some(entry.partition),
            record_time: entry.record_time,
            key,
            payload,
            file: &self.files[usize::from(entry.file)],
            line: u64::from(entry.line),
        }
    }

    /// Keeps a record; `false` if it belongs before the one kept last.
    fn push(&mut self, line: &Line<'_>, file: u16, number: u64) -> bool {
        let entry = Entry {
            record_time: line.record_time,
            start: self.arena.len(),
            payload_bytes: line.payload.as_ref().map_or(NO_LENGTH, |text| text.len() as u32),
            key_bytes: line.key.as_ref().map_or(NO_LENGTH, |text| text.len() as u32),
            line: u32::try_from(number).unwrap_or(u32::MAX),
            partition: line.partition.unwrap_or(NO_PARTITION),
            file,
            source: line.source,
        };
        for part in [&line.payload, &line.key].into_iter().flatten() {
            self.arena.extend_from_slice(part.as_bytes());
        }
        let in_order = self.entries.last().is_none_or(|last| last.order() <= entry.order());
        self.entries.push(entry);
        in_order
    }

    fn report(&mut self, file: &str, line: u64, message: String) {
        self.line_error_count += 1;
        if self.line_errors.len() < LINE_ERRORS_KEPT {
            self.line_errors.push(LineError { file: file.to_owned(), line, message });
        }
    }
}

/// Where one record's bytes lie in the arena.
#[derive(Debug)]
struct Entry {
    record_time: EventTime,
    start: usize,
    /// [`NO_LENGTH`] for a tombstone.
    payload_bytes: u32,
    /// [`NO_LENGTH`] for a record without a key.
    key_bytes: u32,
    /// Counted from 1; stands still at the end of its range, far beyond what fits in memory.
    line: u32,
    /// [`NO_PARTITION`] where the line names none.
    partition: i32,
    file: u16,
    source: Source,
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
    /// The key; a bare event's `account_id`.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is a tombstone. For a bare event its whole line.
    pub payload: Option<&'a [u8]>,
    /// The file it was read from, as messages name it.
    pub file: &'a str,
    /// Its line in the file, counted from 1.
    pub line: u64,
}

impl<'a> Record<'a> {
    /// Decodes the record as the pipeline would.
    ///
    /// # Errors
    /// When the record cannot be used.
    pub fn decode(&self, limits: &DecodeLimits) -> Result<Event<'a>, DecodeError> {
        decode(self.source, self.key, self.payload, self.record_time, limits)
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
