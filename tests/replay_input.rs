//! Files of events, as `replay` reads them.

use std::io::Write as _;
use std::path::Path;

use barometer::engine::event::{Body, DecodeLimits, Source};
use barometer::input::{Feed, FeedReader, LINE_ERRORS_KEPT};
use proptest::prelude::*;

fn topics() -> Vec<(String, Source)> {
    Source::ALL.map(|source| (source.default_topic().to_owned(), source)).to_vec()
}

fn feed(inputs: &[&[u8]]) -> Feed {
    let mut reader = FeedReader::new(topics());
    for (position, input) in inputs.iter().enumerate() {
        reader.add(&format!("file{position}"), *input).unwrap();
    }
    reader.finish()
}

fn bare(source: Source, account_id: &str, millis: i64) -> String {
    let own = match source {
        Source::Usage => r#""feature":"f""#,
        Source::Ticket => r#""ticket_id":"t","status":"opened""#,
        Source::Payment => r#""invoice_id":"i","status":"paid","amount_minor":1,"currency":"EUR""#,
        Source::Survey => r#""survey":"nps","score":9"#,
        Source::Profile => r#""tier":"gold""#,
    };
    let name = source.name();
    format!(
        r#"{{"source":"{name}","event_id":"e","account_id":"{account_id}","occurred_at":{millis},{own}}}"#
    )
}

/// The record as `kcat -J` would print it.
fn envelope(source: Source, key: &str, millis: i64, payload: &str) -> String {
    serde_json::json!({
        "topic": source.default_topic(), "partition": 2, "offset": 17, "tstype": "create",
        "ts": millis, "broker": 1, "headers": ["h", "v"], "key": key, "payload": payload,
    })
    .to_string()
}

/// `account@time` of each record, in order.
fn order(feed: &Feed) -> Vec<String> {
    let record = |record: barometer::input::Record<'_>| {
        let event = record.decode(&DecodeLimits::default()).unwrap();
        format!("{}@{}", event.account_id, record.record_time.as_millis())
    };
    feed.records().map(record).collect()
}

#[test]
fn records_of_several_files_come_by_time_then_source_then_line() {
    let first = [
        bare(Source::Survey, "s", 20),
        bare(Source::Usage, "u1", 20),
        bare(Source::Usage, "u2", 20),
        bare(Source::Ticket, "late", 5),
    ];
    let second = [bare(Source::Usage, "u3", 20), bare(Source::Profile, "p", 1)];
    let feed = feed(&[first.join("\n").as_bytes(), second.join("\n").as_bytes()]);
    assert_eq!(order(&feed), ["p@1", "late@5", "u1@20", "u2@20", "u3@20", "s@20"]);
    let places: Vec<_> = feed.records().map(|record| (record.file, record.line)).collect();
    assert_eq!(places[0], ("file1", 2));
    assert_eq!(places[5], ("file0", 1));
}

#[test]
fn an_envelope_and_a_bare_line_decode_to_the_same_event() {
    for source in Source::ALL {
        let line = bare(source, "acme", 1_700_000_000_000);
        let wrapped = envelope(source, "acme", 1_700_000_000_500, &line);
        let feed = feed(&[line.as_bytes(), wrapped.as_bytes()]);
        let records: Vec<_> = feed.records().collect();
        assert_eq!((records[0].partition_hint, records[1].partition_hint), (None, Some(2)));
        assert_eq!(records[1].record_time.as_millis(), 1_700_000_000_500);
        let limits = DecodeLimits::default();
        assert_eq!(records[0].decode(&limits).unwrap(), records[1].decode(&limits).unwrap());
    }
}

#[test]
fn a_tombstone_in_an_envelope_forgets_the_profile() {
    let line =
        r#"{"topic":"accounts","partition":0,"offset":1,"ts":5,"key":"acme","payload":null}"#;
    let feed = feed(&[line.as_bytes()]);
    let record = feed.records().next().unwrap();
    assert_eq!(record.decode(&DecodeLimits::default()).unwrap().body, Body::ProfileGone);
}

#[test]
fn bad_lines_are_reported_with_their_place_and_the_rest_is_read() {
    let good = bare(Source::Usage, "acme", 1);
    let long = format!("{{\"source\":\"{}\"}}", "x".repeat(500));
    let input = format!("\u{feff}{good}\r\n\r\n  \nnot json\n{long}\n{{\"x\":1}}\n{good}");
    let mut reader = FeedReader::new(topics()).with_line_bytes_max(400);
    reader.add("events.ndjson", input.as_bytes()).unwrap();
    let feed = reader.finish();
    assert_eq!(feed.records().map(|record| record.line).collect::<Vec<_>>(), [1, 7]);
    let messages: Vec<String> = feed.line_errors().iter().map(ToString::to_string).collect();
    assert_eq!(
        messages,
        [
            "events.ndjson:4: record is not JSON: expected ident at line 1 column 2",
            "events.ndjson:5: line has 513 bytes, expected at most 400",
            "events.ndjson:6: line has neither `source` (an event) nor `topic` and `payload` (`kcat -J`)",
        ]
    );
}

#[test]
fn all_bad_lines_are_counted_and_the_first_are_kept() {
    let feed = feed(&["x\n".repeat(2_500).as_bytes()]);
    assert_eq!((feed.len(), feed.line_error_count()), (0, 2_500));
    assert!(feed.is_empty());
    assert_eq!(feed.line_errors().len(), LINE_ERRORS_KEPT);
}

/// Two compressed parts, joined as `cat a.gz b.gz` joins them.
fn write_parts(path: &Path, parts: [&str; 2]) {
    let mut file = std::fs::File::create(path).unwrap();
    for part in parts {
        let packed = match path.extension().and_then(|ending| ending.to_str()) {
            Some("gz") => {
                let mut encoder =
                    flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
                encoder.write_all(part.as_bytes()).unwrap();
                encoder.finish().unwrap()
            }
            Some("zst") => zstd::encode_all(part.as_bytes(), 1).unwrap(),
            _ => part.as_bytes().to_vec(),
        };
        file.write_all(&packed).unwrap();
    }
}

#[test]
fn compressed_files_of_several_parts_are_read_to_their_end() {
    let directory = tempfile::tempdir().unwrap();
    let first = bare(Source::Usage, "one", 1) + "\n";
    let second = bare(Source::Usage, "two", 2);
    for name in ["events.ndjson", "events.ndjson.gz", "events.ndjson.zst"] {
        let path = directory.path().join(name);
        write_parts(&path, [&first, &second]);
        let mut reader = FeedReader::new(topics());
        reader.add_path(&path).unwrap();
        assert_eq!(order(&reader.finish()), ["one@1", "two@2"], "{name}");
    }
}

#[test]
fn a_file_that_is_missing_or_cut_off_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing.ndjson");
    let error = FeedReader::new(topics()).add_path(&missing).unwrap_err();
    assert!(error.to_string().contains("missing.ndjson: cannot be opened: No such file"));

    let lines: Vec<String> = (0..2_000).map(|time| bare(Source::Usage, "a", time)).collect();
    for name in ["cut.gz", "cut.zst"] {
        let path = directory.path().join(name);
        write_parts(&path, [&lines.join("\n"), ""]);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let error = FeedReader::new(topics()).add_path(&path).unwrap_err();
        assert!(error.lines_read.is_some(), "{error}");
        assert!(error.to_string().contains(&format!("{name}: cannot be read after line ")));
    }
}

/// The order is the same however far lines are from their places: near by, each put in its place; far
/// off, sorted stretch by stretch; or in no order at all, so that stretches are given up too.
#[test]
fn late_lines_come_in_their_places_however_late() {
    const LINES: i64 = 100_000;
    type TimeOfLine = fn(i64) -> i64;
    let shapes: [(&str, TimeOfLine); 4] = [
        ("a little late", |line| line / 10 * 10 + 9 - line % 10),
        ("a thousand late", |line| line - line % 1_000 + 999 - line % 1_000),
        ("backwards", |line| LINES - line),
        ("scattered, many at once", |line| line * 7_919 % 1_009),
    ];
    for (shape, time_of) in shapes {
        let mut expected: Vec<(i64, i64)> = (1..=LINES).map(|line| (time_of(line), line)).collect();
        let line = |(time, line): &(i64, i64)| bare(Source::Usage, &format!("a{line}"), *time);
        let lines: Vec<String> = expected.iter().map(line).collect();
        let feed = feed(&[lines.join("\n").as_bytes()]);
        expected.sort_unstable();
        let found: Vec<(i64, i64)> =
            feed.records().map(|r| (r.record_time.as_millis(), r.line as i64)).collect();
        assert!(found == expected, "{shape}");
    }
}

proptest! {
    /// The merge of files cut from one history anywhere is that history.
    #[test]
    fn how_a_history_is_cut_into_files_changes_nothing(
        times in proptest::collection::vec(0i64..20, 1..60),
        cut: usize,
    ) {
        let mut times = times;
        times.sort_unstable();
        let lines: Vec<String> = times
            .iter()
            .enumerate()
            .map(|(position, time)| bare(Source::Usage, &format!("a{position}"), *time))
            .collect();
        let whole = feed(&[lines.join("\n").as_bytes()]);
        let (early, late) = lines.split_at(cut % lines.len());
        let parts = feed(&[early.join("\n").as_bytes(), late.join("\n").as_bytes()]);
        prop_assert_eq!(order(&whole), order(&parts));

        let reversed: Vec<String> = lines.iter().rev().cloned().collect();
        let sorted = feed(&[reversed.join("\n").as_bytes()]);
        let times_of = |feed: &Feed| -> Vec<_> { feed.records().map(|r| r.record_time).collect() };
        prop_assert_eq!(times_of(&sorted), times_of(&whole));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(input in proptest::collection::vec(any::<u8>(), 0..400)) {
        let feed = feed(&[&input]);
        prop_assert!(feed.len() as u64 + feed.line_error_count() <= 401);
    }
}
