//! Time as the engine knows it: instants and spans in whole milliseconds, and the pane grid.
//!
//! Nothing here reads a clock. Instants are UTC milliseconds since the Unix epoch; what lies below
//! the millisecond is cut. Panes are aligned to the epoch (domain: "Windows are rolling, made of
//! panes").

use std::fmt;
use std::str::FromStr;

/// An instant: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventTime(i64);

impl EventTime {
    /// The earliest instant there is: the engine's clock before it has seen anything.
    pub const MIN: EventTime = EventTime(i64::MIN / 4);
    /// The latest instant there is; a deadline here never comes.
    pub const MAX: EventTime = EventTime(i64::MAX / 4);
    /// The last millisecond of the year 9999, the largest instant RFC 3339 can write.
    pub const LAST_WRITABLE: EventTime = EventTime(253_402_300_799_999);

    /// The instant `millis` milliseconds after the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        EventTime(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The span from `earlier` to `self`, negative if `earlier` is later.
    pub const fn since(self, earlier: EventTime) -> Span {
        Span(self.0 - earlier.0)
    }

    /// The number of the pane of length `pane` that holds this instant, counted from the epoch.
    pub const fn pane(self, pane: Span) -> i64 {
        self.0.div_euclid(pane.0)
    }

    /// [`EventTime::pane`] for an instant that most likely lies in the pane `likely`: asking that
    /// costs a multiplication, the pane itself a division.
    pub const fn pane_near(self, likely: i32, pane: Span) -> i32 {
        let start = likely as i64 * pane.0;
        if start <= self.0 && self.0 - start < pane.0 { likely } else { self.pane(pane) as i32 }
    }

    /// The latest multiple of `length` since the epoch that is not later.
    pub const fn floor_to(self, length: Span) -> EventTime {
        EventTime(self.0.div_euclid(length.0) * length.0)
    }

    /// Parses RFC 3339 with an offset; what lies below the millisecond is cut.
    ///
    /// # Errors
    /// When the text is not an RFC 3339 instant with offset, or lies before 1970 or after 9999.
    pub fn parse_rfc3339(text: &str) -> Result<Self, TimeError> {
        if let Some(instant) = parse_usual(text.as_bytes()) {
            return Ok(instant);
        }
        // jiff also reads forms RFC 3339 does not know (bracketed zones, a missing offset is refused
        // by Timestamp itself): the tenth byte and the absence of a bracket settle the rest.
        let looks_right = text.len() >= 20
            && matches!(text.as_bytes()[10], b'T' | b't' | b' ')
            && !text.contains('[');
        let instant: jiff::Timestamp = match text.parse() {
            Ok(instant) if looks_right => instant,
            _ => return Err(TimeError::NotRfc3339),
        };
        let millis = instant.as_nanosecond().div_euclid(1_000_000) as i64;
        EventTime::from_epoch_millis(millis)
    }

    /// Checks an integer count of milliseconds since the epoch.
    ///
    /// # Errors
    /// When the instant lies before 1970 or after 9999.
    pub fn from_epoch_millis(millis: i64) -> Result<Self, TimeError> {
        if (0..=EventTime::LAST_WRITABLE.0).contains(&millis) {
            Ok(EventTime(millis))
        } else {
            Err(TimeError::OutOfRange)
        }
    }
}

/// The form in which nearly all producers write instants: `2026-03-01T12:34:56.789Z`, the fraction
/// of one to nine digits or none. `None` for any other, also for those that are no instants.
fn parse_usual(text: &[u8]) -> Option<EventTime> {
    let (whole, rest) = text.split_first_chunk::<19>()?;
    let (b'Z', fraction) = rest.split_last()? else { return None };
    // What is no digit becomes a number above 9; looked at once, at the end.
    let mut largest = 0;
    let mut digit = |byte: u8| {
        let digit = byte.wrapping_sub(b'0');
        largest = digit.max(largest);
        u32::from(digit)
    };
    let mut two = |at: usize| 10 * digit(whole[at]) + digit(whole[at + 1]);
    let (year, month, day) = (100 * two(0) + two(2), two(5), two(8));
    let (hour, minute, second) = (two(11), two(14), two(17));
    let millis = match fraction {
        [] => 0,
        [b'.', digits @ ..] if (1..=9).contains(&digits.len()) => {
            let mut scale = 100;
            digits.iter().fold(0, |millis, byte| {
                let more = scale * digit(*byte);
                scale /= 10;
                millis + more
            })
        }
        _ => return None,
    };
    let marks = [whole[4], whole[7], whole[10], whole[13], whole[16]];
    let is_leap_year = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(is_leap_year),
        _ => 31,
    };
    let is_one = largest <= 9
        && marks == *b"--T::"
        && (1_970..9_999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !is_one {
        return None;
    }
    // Years begin in March here, so that the leap day is the last of its year.
    let (shifted_year, shifted_month) =
        if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let leap_days = shifted_year / 4 - shifted_year / 100 + shifted_year / 400;
    // The first of March of the year 0 was 719,468 days before 1970.
    let day_number = 365 * shifted_year + leap_days + day_of_year - 719_468;
    let seconds = i64::from(day_number) * 86_400 + i64::from((hour * 60 + minute) * 60 + second);
    Some(EventTime(seconds * 1_000 + i64::from(millis)))
}

impl std::ops::Add<Span> for EventTime {
    type Output = EventTime;
    fn add(self, span: Span) -> EventTime {
        EventTime(self.0.saturating_add(span.0))
    }
}

impl std::ops::Sub<Span> for EventTime {
    type Output = EventTime;
    fn sub(self, span: Span) -> EventTime {
        EventTime(self.0.saturating_sub(span.0))
    }
}

/// RFC 3339 in UTC, with milliseconds only where there are any.
impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(instant) => write!(f, "{instant}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl serde::Serialize for EventTime {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Why a text or number is no instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Not RFC 3339 with an offset.
    #[error("not an RFC 3339 time with offset")]
    NotRfc3339,
    /// Before 1970 or after 9999.
    #[error("outside the years 1970 to 9999")]
    OutOfRange,
}

/// A length of time in milliseconds. Config and scorecards write it as `28d`, `6h`, `90s`, `250ms`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(i64);

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);
    /// One second.
    pub const SECOND: Span = Span(1_000);
    /// One minute.
    pub const MINUTE: Span = Span(60_000);
    /// One hour.
    pub const HOUR: Span = Span(3_600_000);
    /// One day of 24 hours.
    pub const DAY: Span = Span(86_400_000);
    /// The longest span a setting may hold: 100 years of 365 days.
    pub const LONGEST: Span = Span(100 * 365 * 86_400_000);

    /// A span of `millis` milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Span(millis)
    }

    /// A span of `hours` hours.
    pub const fn hours(hours: i64) -> Self {
        Span(hours * Span::HOUR.0)
    }

    /// A span of `days` days of 24 hours.
    pub const fn days(days: i64) -> Self {
        Span(days * Span::DAY.0)
    }

    /// Milliseconds.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole days, rounded down.
    pub const fn whole_days(self) -> i64 {
        self.0.div_euclid(Span::DAY.0)
    }

    /// Whole hours, rounded down.
    pub const fn whole_hours(self) -> i64 {
        self.0.div_euclid(Span::HOUR.0)
    }

    /// How many whole `part`s fit, or `None` when it does not divide evenly.
    pub const fn divide_evenly(self, part: Span) -> Option<i64> {
        if part.0 > 0 && self.0 % part.0 == 0 { Some(self.0 / part.0) } else { None }
    }
}

impl std::ops::Mul<i64> for Span {
    type Output = Span;
    fn mul(self, times: i64) -> Span {
        Span(self.0 * times)
    }
}

impl std::ops::Add for Span {
    type Output = Span;
    fn add(self, other: Span) -> Span {
        Span(self.0 + other.0)
    }
}

const UNITS: [(&str, i64); 6] = [
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// The largest unit that divides the span: `28d`, `90m`. Weeks are written as days.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, size) = UNITS[1..]
            .iter()
            .find(|(_, size)| self.0 % size == 0)
            .expect("one millisecond divides every span");
        write!(f, "{}{unit}", self.0 / size)
    }
}

impl FromStr for Span {
    type Err = SpanError;

    /// Reads a whole number and a unit (`w`, `d`, `h`, `m`, `s`, `ms`), or several in a row as in
    /// `1d12h`.
    fn from_str(text: &str) -> Result<Span, SpanError> {
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(SpanError);
        }
        let mut total: i64 = 0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(SpanError)?;
            let number: i64 = rest[..digits].parse().map_err(|_| SpanError)?;
            let unit_len =
                rest[digits..].find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len() - digits);
            let unit = &rest[digits..digits + unit_len];
            let (_, size) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(SpanError)?;
            total = number
                .checked_mul(*size)
                .and_then(|part| total.checked_add(part))
                .filter(|total| *total <= Span::LONGEST.0)
                .ok_or(SpanError)?;
            rest = &rest[digits + unit_len..];
        }
        Ok(Span(total))
    }
}

/// A text that is no span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a duration such as `28d`, `6h`, `90s` or `250ms` (at most 100 years)")]
pub struct SpanError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_written_in_the_same_units() {
        for (text, written) in
            [("28d", "28d"), ("2w", "14d"), ("90m", "90m"), ("1d12h", "36h"), ("250ms", "250ms")]
        {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), written);
        }
        for bad in ["", "d", "5", "5 d", "-1d", "1y", "1.5h", "99999999999d"] {
            assert_eq!(bad.parse::<Span>(), Err(SpanError), "{bad}");
        }
    }

    #[test]
    fn instants_need_an_offset_and_cut_what_lies_below_the_millisecond() {
        let parse = EventTime::parse_rfc3339;
        assert_eq!(parse("1970-01-01T00:00:01.2349Z").unwrap().as_millis(), 1_234);
        assert_eq!(parse("1970-01-01T02:00:00+02:00").unwrap().as_millis(), 0);
        for bad in ["2026-01-01", "2026-01-01T00:00:00", "yesterday", "2026-13-01T00:00:00Z"] {
            assert_eq!(parse(bad), Err(TimeError::NotRfc3339), "{bad}");
        }
        assert_eq!(parse("1969-12-31T23:59:59Z"), Err(TimeError::OutOfRange));
    }

    #[test]
    fn the_short_way_reads_instants_as_the_long_one_does() {
        let by_jiff = |text: &str| text.parse::<jiff::Timestamp>().ok();
        // A day and a half and a little, over and over: every month, leap years and the others.
        for seconds in (0..253_000_000_000_i64).step_by(131_111 * 17) {
            let text = jiff::Timestamp::from_second(seconds).expect("in range").to_string();
            let expected = EventTime::from_millis(seconds * 1_000);
            assert_eq!(parse_usual(text.as_bytes()), Some(expected), "{text}");
        }
        for year in ["1970", "1999", "2000", "2023", "2024", "2100", "9998"] {
            for (month, day) in (0..=13).flat_map(|month| (0..=32).map(move |day| (month, day))) {
                for rest in ["00:00:00Z", "23:59:59.9Z", "12:30:15.0019Z", "01:02:03.123456789Z"] {
                    let text = format!("{year}-{month:02}-{day:02}T{rest}");
                    let expected = by_jiff(&text).map(|at| at.as_millisecond());
                    let found = parse_usual(text.as_bytes()).map(EventTime::as_millis);
                    assert_eq!(found, expected, "{text}");
                }
            }
        }
        let left = [
            "",
            "Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:60Z",
            "2026-01-01t00:00:00Z",
            "2026-01-01T00:00:00+00:00",
            "2026-01-01T00:00:00.1234567890Z",
            "9999-01-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "2026-01-01T00:00:00,5Z",
            "202é-01-01T00:00:00Z",
            "2026-01-01T00:00:00.1x3Z",
            "2026/01/01T00:00:00Z",
        ];
        for text in left {
            assert_eq!(parse_usual(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn panes_before_the_epoch_round_down() {
        assert_eq!(EventTime::from_millis(-1).pane(Span::HOUR), -1);
        assert_eq!(EventTime::from_millis(3_600_000).pane(Span::HOUR), 1);
    }
}
