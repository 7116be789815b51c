//! The words of reasons, in one place, so that another language can be added beside it.
//!
//! Numbers are rounded for people here and nowhere else.

use super::scorecard::{Gate, GateEffect, Measure, Scorecard};
use super::time::Span;
use super::verdict::{Decision, Movement, Part, Verdict, band_name};

/// How many reasons become sentences.
pub const REASONS_TOLD: usize = 3;

/// Longest summary, in characters.
const SUMMARY_CHARS_MAX: usize = 1_024;

/// One line that says what was decided.
pub fn summary(verdict: &Verdict) -> String {
    let account = verdict.name.as_deref().unwrap_or(&verdict.account_id);
    let Decision::BandChange { from, to } = verdict.decision;
    let (from, to) = (band_name(&verdict.card, from), band_name(&verdict.card, to));
    let score = match (verdict.previous_score, verdict.score) {
        (Some(before), Some(now)) => format!(" (score {before:.1} to {now:.1})"),
        (None, Some(now)) => format!(" (score {now:.1})"),
        (_, None) => format!(" (no score: coverage {:.0} %)", 100.0 * verdict.coverage),
    };
    let text = format!("{account} went from {from} to {to}{score}");
    text.chars().take(SUMMARY_CHARS_MAX).collect()
}

/// The largest reasons as sentences.
pub fn explanation(verdict: &Verdict) -> Vec<String> {
    let told = verdict.movements.iter().take(REASONS_TOLD);
    told.map(|movement| sentence(&verdict.card, movement)).collect()
}

/// One reason as a sentence: `Active users fell from 12 to 5 in 28 days (-7.3 points)`.
pub fn sentence(card: &Scorecard, movement: &Movement) -> String {
    let points = format!("({:+.1} points)", movement.points);
    match movement.part {
        Part::Measure(index) => {
            let measure = card.measure(index);
            let (name, window) = (capitalised(&label(measure)), in_window(measure));
            match (movement.from, movement.to) {
                (Some(from), Some(to)) if to < from => {
                    format!("{name} fell from {} to {}{window} {points}", number(from), number(to))
                }
                (Some(from), Some(to)) if to > from => {
                    format!("{name} rose from {} to {}{window} {points}", number(from), number(to))
                }
                (Some(_), Some(to)) => {
                    format!("{name} stayed at {}{window}, its weight moved {points}", number(to))
                }
                (None, Some(to)) => format!("{name}: {}{window} {points}", number(to)),
                (Some(_), None) => format!("{name}: no data any more{window} {points}"),
                (None, None) => format!("{name}: no data{window} {points}"),
            }
        }
        Part::Gate(index) => {
            let reason = gate_reason(&card.gates[index], movement.points);
            format!("{} {points}", capitalised(&reason))
        }
        Part::StartAndClamp => format!("Start value and limits {points}"),
    }
}

/// A gate's reason, or that it holds no longer, by which way it moved the score.
pub fn gate_reason(gate: &Gate, points: f64) -> String {
    let bites = match gate.effect {
        GateEffect::Cap(_) => points < 0.0,
        GateEffect::Floor(_) => points > 0.0,
    };
    if bites { gate.reason.clone() } else { format!("no longer: {}", gate.reason) }
}

/// A measure's id as words.
fn label(measure: &Measure) -> String {
    let words = measure.id.split(['_', '-']).map(|word| match word {
        "nps" | "csat" | "ces" => word.to_uppercase(),
        word => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

fn in_window(measure: &Measure) -> String {
    match measure.window {
        Some(window) if window.divide_evenly(Span::DAY) == Some(1) => " in a day".to_owned(),
        Some(window) => match window.divide_evenly(Span::DAY) {
            Some(days) => format!(" in {days} days"),
            None => format!(" in {}", spaced(window)),
        },
        None => String::new(),
    }
}

/// `28 d` rather than `28d`.
fn spaced(span: Span) -> String {
    let text = span.to_string();
    let unit = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    format!("{} {}", &text[..unit], &text[unit..])
}

/// A measured number for people: at most two decimals below ten, one above.
pub fn number(value: f64) -> String {
    let decimals = if value.abs() < 10.0 { 2 } else { 1 };
    let text = format!("{value:.decimals$}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_that_lets_go_is_told_so() {
        let gate = Gate {
            id: "cap".to_owned(),
            effect: GateEffect::Cap(50.0),
            when: crate::engine::scorecard::Condition::All(Vec::new()),
            reason: "an invoice is 60 days overdue".to_owned(),
        };
        assert_eq!(gate_reason(&gate, -13.25), "an invoice is 60 days overdue");
        assert_eq!(gate_reason(&gate, 13.25), "no longer: an invoice is 60 days overdue");
    }

    #[test]
    fn numbers_are_rounded_for_people() {
        for (value, text) in
            [(12.0, "12"), (0.456, "0.46"), (72.44, "72.4"), (-0.001, "0"), (100.0, "100")]
        {
            assert_eq!(number(value), text);
        }
    }
}
