//! A published verdict as one readable line.

use jiff::fmt::strtime;
use serde_json::Value;

use crate::engine::time::Span;
use crate::engine::wording::number;

/// A band change or an alert, from the record's payload.
pub fn verdict(record: &Value) -> String {
    if record["rule"].is_string() {
        alert(record)
    } else if record["partition"].is_number() {
        operator_alert(record)
    } else {
        band_change(record)
    }
}

/// `Mar 01 14:00:00  (operators)  critical  outage:usage  Source usage is out since ...`
fn operator_alert(record: &Value) -> String {
    turn(record, "(operators)", &record["dedup_key"], &record["summary"])
}

/// `Mar 01 14:02:11  acme-042  critical  sharp_drop  Score fell by 27.3 points ...`
fn alert(record: &Value) -> String {
    turn(record, text(&record["account_id"]), &record["rule"], &record["explanation"][0])
}

/// One turn of an alert: whose, which, and why.
fn turn(record: &Value, whose: &str, which: &Value, why: &Value) -> String {
    let resolved = record["status"] == "resolved";
    let status = text(&record[if resolved { "status" } else { "severity" }]);
    let at = clock_time(text(&record["at"]));
    format!("{at}  {whose:<18}  {status:<8}  {:<16}  {}", text(which), text(why))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

/// `Mar 01 14:02:11  acme-042  green -> yellow  72.4 -> 61.9  active users 12 -> 5 in 28 d (-7.3)`,
/// from the record's payload.
fn band_change(record: &Value) -> String {
    let text = |field: &str| text(&record[field]);
    let score = |field: &str| record[field].as_f64().map_or("-".to_owned(), |s| format!("{s:.1}"));
    let reason = match record["changes"].get(0) {
        Some(change) => phrase(change),
        None => "no change of score".to_owned(),
    };
    format!(
        "{}  {:<18}  {:>7} -> {:<7}  {:>5} -> {:<5}  {reason}",
        clock_time(text("entered_at")),
        text("account_id"),
        text("from"),
        text("to"),
        score("previous_score"),
        score("score"),
    )
}

fn clock_time(instant: &str) -> String {
    let parsed: Result<jiff::Timestamp, _> = instant.parse();
    parsed
        .ok()
        .and_then(|instant| strtime::format("%b %d %H:%M:%S", instant).ok())
        .unwrap_or_else(|| instant.to_owned())
}

/// The largest reason in a few words.
fn phrase(change: &Value) -> String {
    let points = change["points"].as_f64().unwrap_or(0.0);
    if let Some(reason) = change["reason"].as_str() {
        return format!("{reason} ({points:+.1})");
    }
    let name = change["id"].as_str().unwrap_or("?").replace(['_', '-'], " ");
    let value = |field: &str| change[field].as_f64().map_or("none".to_owned(), number);
    let (from, to) = (value("from"), value("to"));
    let values = match (change.get("measure"), from == to) {
        (None, _) => String::new(),
        (Some(_), true) => format!(" {to}"),
        (Some(_), false) => format!(" {from} -> {to}"),
    };
    let window = match change["window"].as_str().and_then(|text| text.parse::<Span>().ok()) {
        Some(window) => match window.divide_evenly(Span::DAY) {
            Some(days) => format!(" in {days} d"),
            None => format!(" in {} h", window.whole_hours()),
        },
        None => String::new(),
    };
    format!("{name}{values}{window} ({points:+.1})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_band_change_is_one_line_with_its_largest_reason() {
        let record = serde_json::json!({
            "account_id": "acme-042", "from": "green", "to": "yellow",
            "entered_at": "2026-03-01T14:02:11Z", "previous_score": 72.44, "score": 61.86,
            "changes": [
                {"id": "active_users", "measure": "usage.active_users", "window": "28d",
                 "from": 12.0, "to": 5.0, "points": -7.31},
                {"id": "open", "measure": "support.open", "from": 0.0, "to": 1.0, "points": -3.2}
            ]
        });
        assert_eq!(
            band_change(&record),
            "Mar 01 14:02:11  acme-042              green -> yellow    72.4 -> 61.9   \
             active users 12 -> 5 in 28 d (-7.3)"
        );
    }
}
