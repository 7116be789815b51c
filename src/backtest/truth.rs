//! The truth of a history: who left and when, read from NDJSON or CSV.
//!
//! What else stands in the file is ignored, so that a simulator's or a CRM's own list will do. A
//! file with anything wrong in it is refused: a judge that misreads names misjudges silently.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;

use crate::engine::time::EventTime;

/// What really became of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// The account.
    pub account_id: String,
    /// When it left; `None` while it stays.
    pub churned_at: Option<EventTime>,
    /// Until when it is known to have stayed; `None` is the end of the history.
    pub last_seen: Option<EventTime>,
}

impl Fate {
    /// Where the account's story ends, if it does so before the history.
    pub(super) fn ends_at(&self) -> Option<EventTime> {
        self.churned_at.or(self.last_seen)
    }
}

/// A truth file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TruthError {
    file: String,
    line: usize,
    message: String,
}

impl fmt::Display for TruthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

impl std::error::Error for TruthError {}

/// Reads a truth file, which messages call `file`. One that begins with `{` is NDJSON, any other is
/// CSV with a line of column names.
///
/// # Errors
/// At the first line that cannot be used.
pub fn read_truth(file: &str, text: &str) -> Result<Vec<Fate>, TruthError> {
    let text = text.trim_start_matches('\u{feff}');
    let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()).peekable();
    let error = |line, message| TruthError { file: file.to_owned(), line, message };
    let is_json = lines.peek().is_some_and(|(_, line)| line.trim_start().starts_with('{'));
    let columns = if is_json {
        None
    } else {
        let (line, names) = lines.next().unwrap_or((1, ""));
        Some(Columns::read(names).map_err(|message| error(line, message))?)
    };
    let mut fates: Vec<Fate> = Vec::new();
    let mut known = HashSet::new();
    for (line, text) in lines {
        let fate = match &columns {
            Some(columns) => columns.fate(text),
            None => json_fate(text),
        };
        let fate = fate.map_err(|message| error(line, message))?;
        if !known.insert(fate.account_id.clone()) {
            return Err(error(line, format!("account `{}` is there twice", fate.account_id)));
        }
        fates.push(fate);
    }
    Ok(fates)
}

/// A line of NDJSON.
#[derive(Deserialize)]
struct Line {
    account_id: String,
    churned_at: Option<Instant>,
    last_seen: Option<Instant>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Instant {
    Millis(i64),
    Text(String),
}

fn json_fate(text: &str) -> Result<Fate, String> {
    let line: Line = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let instant = |field: &str, value: Option<Instant>| match value {
        None => Ok(None),
        Some(Instant::Millis(millis)) => read_instant(field, &millis.to_string()),
        Some(Instant::Text(text)) => read_instant(field, &text),
    };
    Ok(Fate {
        account_id: line.account_id,
        churned_at: instant("churned_at", line.churned_at)?,
        last_seen: instant("last_seen", line.last_seen)?,
    })
}

/// Where the columns are.
struct Columns {
    account_id: usize,
    churned_at: usize,
    last_seen: Option<usize>,
}

impl Columns {
    fn read(names: &str) -> Result<Columns, String> {
        let names = fields(names)?;
        let place = |name: &str| names.iter().position(|found| found.trim() == name);
        let required = |name: &str| place(name).ok_or(format!("column `{name}` is missing"));
        Ok(Columns {
            account_id: required("account_id")?,
            churned_at: required("churned_at")?,
            last_seen: place("last_seen"),
        })
    }

    fn fate(&self, text: &str) -> Result<Fate, String> {
        let fields = fields(text)?;
        let field = |place: usize| fields.get(place).map_or("", |field| field.trim());
        let account_id = field(self.account_id).to_owned();
        if account_id.is_empty() {
            return Err("`account_id` is empty".to_owned());
        }
        let last_seen = self.last_seen.map_or("", field);
        Ok(Fate {
            account_id,
            churned_at: read_instant("churned_at", field(self.churned_at))?,
            last_seen: read_instant("last_seen", last_seen)?,
        })
    }
}

fn read_instant(field: &str, text: &str) -> Result<Option<EventTime>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let instant = match text.parse::<i64>() {
        Ok(millis) => EventTime::from_epoch_millis(millis),
        Err(_) => EventTime::parse_rfc3339(text),
    };
    instant.map(Some).map_err(|error| format!("`{field}` is `{text}`, which is {error}"))
}

/// The fields of a line of CSV; one in double quotes may hold commas, and quotes written twice.
fn fields(line: &str) -> Result<Vec<String>, String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(char) = chars.next() {
        let field = fields.last_mut().expect("there is always one");
        match char {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            char => field.push(char),
        }
    }
    if quoted { Err("a quote is not closed".to_owned()) } else { Ok(fields) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_and_ndjson_say_the_same() {
        let csv = "\u{feff}account_id,segment,churned_at,last_seen\r\n\
                   acme,\"a, b\",2026-01-02T00:00:00Z,\r\n\n\
                   \"o\"\"hara\",x,,1767225600000\nsilo,x,,\n";
        let ndjson = r#"{"account_id":"acme","churned_at":"2026-01-02T00:00:00Z","hazard":1.5}
{"account_id":"o\"hara","churned_at":null,"last_seen":1767225600000}
{"account_id":"silo"}"#;
        let fates = read_truth("t.csv", csv).unwrap();
        assert_eq!(fates, read_truth("t.ndjson", ndjson).unwrap());
        assert_eq!(fates.len(), 3);
        assert_eq!(fates[1].last_seen.unwrap().to_string(), "2026-01-01T00:00:00Z");
    }

    #[test]
    fn a_line_that_cannot_be_used_is_named() {
        for (text, message) in [
            ("", "t:1: column `account_id` is missing"),
            ("account_id,left\n", "t:1: column `churned_at` is missing"),
            ("account_id,churned_at\n,\n", "t:2: `account_id` is empty"),
            ("account_id,churned_at\na,\n\na,\n", "t:4: account `a` is there twice"),
            ("account_id,churned_at\n\"a,\n", "t:2: a quote is not closed"),
            (
                "account_id,churned_at\na,2026-01-01\n",
                "t:2: `churned_at` is `2026-01-01`, which is not an RFC 3339 time with offset",
            ),
            ("{\"id\":1}\n", "t:1: missing field `account_id` at line 1 column 8"),
        ] {
            assert_eq!(read_truth("t", text).unwrap_err().to_string(), message);
        }
    }
}
