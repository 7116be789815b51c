//! Events as lines of NDJSON, in the two forms `barometer replay` reads.
//!
//! The envelope is what `kcat -J` prints; it carries the record's own timestamp, partition and
//! offset, so a replay takes late records as the service would have. The bare form is the event
//! with its source: easier to read, and all a replay can take as record time is `occurred_at`.
//! Command-line flags and sending to Kafka are somebody else's.

use std::io::{self, Write};
use std::time::Duration;

use super::{Fleet, SimulatedEvent, Truth};
use crate::clock::Clock;
use crate::engine::event::Source;
use crate::engine::time::EventTime;
use crate::partitioner::Partitioner;

/// The event with one more field, `source`; without the end of the line.
pub fn bare_line(event: &SimulatedEvent) -> String {
    let fields = event.body.strip_suffix('}').expect("a body is a JSON object");
    format!(r#"{fields},"source":"{}"}}"#, event.source.name())
}

/// The record as `kcat -J` would print it; without the end of the line.
pub fn envelope_line(event: &SimulatedEvent, partition: i32, offset: i64) -> String {
    let text = |value: &str| serde_json::to_string(value).expect("any string can be JSON");
    format!(
        r#"{{"topic":"{}","partition":{partition},"offset":{offset},"tstype":"create","ts":{},"key":{},"payload":{}}}"#,
        event.source.default_topic(),
        event.record_time.as_millis(),
        text(&event.account_id),
        text(&event.body),
    )
}

/// What really happened to an account, as `backtest` reads it; without the end of the line. Whoever
/// has not left was last seen at `known_until`.
pub fn truth_line(truth: &Truth, known_until: EventTime) -> String {
    let text = |instant: Option<EventTime>| {
        instant.map_or("null".to_owned(), |instant| format!(r#""{instant}""#))
    };
    let last_seen = truth.churned_at.is_none().then_some(known_until);
    format!(
        r#"{{"account_id":"{}","churned_at":{},"last_seen":{},"story":"{}","stays":{},"hazard":{:.6}}}"#,
        truth.account_id,
        text(truth.churned_at),
        text(last_seen),
        truth.story.name(),
        truth.stays,
        truth.hazard,
    )
}

/// Turns events into lines, counting offsets where the lines hold them.
#[derive(Clone, Debug)]
pub struct Lines(Form);

#[derive(Clone, Debug)]
enum Form {
    Bare,
    Envelopes {
        partitioner: Partitioner,
        partitions: i32,
        /// The next offset of each partition, by source.
        offsets: [Vec<i64>; Source::ALL.len()],
    },
}

/// Envelopes on a single partition.
impl Default for Lines {
    fn default() -> Self {
        Lines::envelopes(Partitioner::default(), 1)
    }
}

impl Lines {
    /// Bare lines.
    pub fn bare() -> Self {
        Lines(Form::Bare)
    }

    /// Envelopes of records on topics with `partitions` partitions (at least 1), offsets from 0.
    pub fn envelopes(partitioner: Partitioner, partitions: i32) -> Self {
        let none_yet = vec![0; usize::try_from(partitions).unwrap_or(0).max(1)];
        let offsets = std::array::from_fn(|_| none_yet.clone());
        Lines(Form::Envelopes { partitioner, partitions: partitions.max(1), offsets })
    }

    /// The event's line, without its end.
    pub fn line(&mut self, event: &SimulatedEvent) -> String {
        match &mut self.0 {
            Form::Bare => bare_line(event),
            Form::Envelopes { partitioner, partitions, offsets } => {
                let partition = partitioner.partition(event.account_id.as_bytes(), *partitions);
                let next = &mut offsets[event.source as usize][partition as usize];
                let line = envelope_line(event, partition, *next);
                *next += 1;
                line
            }
        }
    }

    /// Writes the fleet's events up to `until`, at most `rate_per_second` lines in a second of the
    /// machine's time if given, and returns how many there were.
    ///
    /// # Errors
    /// When `out` cannot be written, for instance because its reader has gone.
    pub fn write(
        &mut self,
        fleet: &mut Fleet,
        until: EventTime,
        rate_per_second: Option<f64>,
        out: &mut impl Write,
    ) -> io::Result<u64> {
        let began = EventTime::from_millis(0);
        let clock = Clock::simulated(began, 1.0);
        let mut written = 0;
        for event in fleet.events(until) {
            if let Some(rate) = rate_per_second {
                let elapsed_millis = clock.now().since(began).as_millis();
                if let Some(wait) = wait_for_turn(written, rate, elapsed_millis) {
                    out.flush()?;
                    std::thread::sleep(wait);
                }
            }
            writeln!(out, "{}", self.line(&event))?;
            written += 1;
        }
        out.flush()?;
        Ok(written)
    }
}

/// Writes the fleet's events up to `until` as envelopes on a single partition; see
/// [`Lines::write`].
///
/// # Errors
/// When `out` cannot be written, for instance because its reader has gone.
pub fn write_ndjson(
    fleet: &mut Fleet,
    until: EventTime,
    rate_per_second: Option<f64>,
    out: &mut impl Write,
) -> io::Result<u64> {
    Lines::default().write(fleet, until, rate_per_second, out)
}

/// The longest wait for one line: a day, at rates where it would be more.
const LONGEST_WAIT_MILLIS: f64 = 86_400_000.0;

/// How long the line after `written` others has to wait; nothing under a rate that is no positive
/// number.
fn wait_for_turn(written: u64, rate_per_second: f64, elapsed_millis: i64) -> Option<Duration> {
    let due_millis = written as f64 * 1_000.0 / rate_per_second;
    let wait_millis = due_millis - elapsed_millis as f64;
    (rate_per_second > 0.0 && wait_millis >= 1.0)
        .then(|| Duration::from_millis(wait_millis.min(LONGEST_WAIT_MILLIS) as u64))
}

#[cfg(test)]
mod tests {
    use super::super::Story;
    use super::*;

    fn event() -> SimulatedEvent {
        SimulatedEvent {
            source: Source::Ticket,
            account_id: "acme-042".to_owned(),
            occurred_at: EventTime::from_millis(1_000),
            record_time: EventTime::from_millis(1_234),
            body: r#"{"event_id":"acme-042-1","status":"opened"}"#.to_owned(),
        }
    }

    #[test]
    fn a_bare_line_is_the_event_and_its_source() {
        assert_eq!(
            bare_line(&event()),
            r#"{"event_id":"acme-042-1","status":"opened","source":"ticket"}"#
        );
    }

    #[test]
    fn a_truth_says_who_left_and_who_was_there_at_the_end() {
        let left = Truth {
            account_id: "acme-042".to_owned(),
            story: Story::Bleeding,
            stays: false,
            churned_at: Some(EventTime::from_millis(86_400_000)),
            hazard: 0.25,
        };
        let until = EventTime::from_millis(2 * 86_400_000);
        assert_eq!(
            truth_line(&left, until),
            r#"{"account_id":"acme-042","churned_at":"1970-01-02T00:00:00Z","last_seen":null,"story":"bleeding","stays":false,"hazard":0.250000}"#
        );
        let stayed = Truth { churned_at: None, stays: true, ..left };
        assert_eq!(
            truth_line(&stayed, until),
            r#"{"account_id":"acme-042","churned_at":null,"last_seen":"1970-01-03T00:00:00Z","story":"bleeding","stays":true,"hazard":0.250000}"#
        );
    }

    #[test]
    fn an_envelope_is_what_kcat_prints() {
        assert_eq!(
            envelope_line(&event(), 3, 17),
            r#"{"topic":"support-tickets","partition":3,"offset":17,"tstype":"create","ts":1234,"key":"acme-042","payload":"{\"event_id\":\"acme-042-1\",\"status\":\"opened\"}"}"#
        );
    }

    #[test]
    fn offsets_count_for_each_topic_and_partition() {
        let mut lines = Lines::envelopes(Partitioner::Murmur2, 4);
        let on = |source, account_id: &str| SimulatedEvent {
            source,
            account_id: account_id.to_owned(),
            ..event()
        };
        let mut place = |event: SimulatedEvent| {
            let line: serde_json::Value = serde_json::from_str(&lines.line(&event)).unwrap();
            (line["partition"].as_i64().unwrap(), line["offset"].as_i64().unwrap())
        };
        let (partition, offset) = place(on(Source::Usage, "abc"));
        assert_eq!((partition, offset), (479_470_107 % 4, 0));
        assert_eq!(place(on(Source::Usage, "abc")), (partition, 1));
        assert_eq!(place(on(Source::Ticket, "abc")), (partition, 0));
    }

    #[test]
    fn a_rate_spaces_the_lines_evenly() {
        for (written, elapsed_millis, wait_millis) in [
            (0, 0, None),
            (10, 0, Some(100)),
            (10, 40, Some(60)),
            (10, 100, None),
            (10, 5_000, None),
        ] {
            let wait = wait_for_turn(written, 100.0, elapsed_millis);
            assert_eq!(wait, wait_millis.map(Duration::from_millis), "{written} {elapsed_millis}");
        }
        assert_eq!(wait_for_turn(10, 0.0, 0), None);
        assert_eq!(wait_for_turn(10, f64::NAN, 0), None);
    }
}
