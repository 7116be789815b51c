//! The words of reasons, in one place, so that another language can be added beside it.
//!
//! Numbers are rounded for people here and nowhere else.

use super::outage::{self, OperatorAlert};
use super::scorecard::{AlertKind, Comparison, Gate, GateEffect, Measure, Scorecard};
use super::time::Span;
use super::verdict::{
    AlertChange, AlertStep, Cause, Decision, Evidence, Movement, Part, Verdict, band_name,
};

/// How many reasons become sentences.
pub const REASONS_TOLD: usize = 3;

/// Longest summary, in characters.
const SUMMARY_CHARS_MAX: usize = 1_024;

/// One line that says what was decided.
pub fn summary(verdict: &Verdict) -> String {
    let account = verdict.name.as_deref().unwrap_or(&verdict.account_id);
    let card = &*verdict.card;
    let text = match &verdict.decision {
        Decision::BandChange { from, to } => {
            let from = verdict.left.as_deref().unwrap_or(band_name(card, *from));
            let to = band_name(card, *to);
            let score = match (verdict.previous_score, verdict.score) {
                (Some(before), Some(now)) => format!(" (score {before:.1} to {now:.1})"),
                (None, Some(now)) => format!(" (score {now:.1})"),
                (_, None) => format!(" (no score: coverage {:.0} %)", 100.0 * verdict.coverage),
            };
            match (&verdict.overridden, verdict.cause) {
                (Some(said), Cause::Override) => {
                    format!(
                        "{account} is {to} and no longer {from}, says {}: {}",
                        said.author, said.reason
                    )
                }
                (Some(said), Cause::OverrideEnded) => {
                    format!("{account} is {to}{score}: what {} said is over", said.author)
                }
                (_, Cause::Forgotten) => {
                    format!("{account} is idle and followed no longer, it was {from}{score}")
                }
                _ => format!("{account} went from {from} to {to}{score}"),
            }
        }
        Decision::Alert(step) => {
            let rule = &card.alerts[step.rule].id;
            let (status, why) = match step.change {
                AlertChange::Fired => (step.severity.name(), fired_because(verdict, step)),
                AlertChange::Escalated { .. } => {
                    (step.severity.name(), fired_because(verdict, step))
                }
                AlertChange::Resolved { .. } => ("resolved", resolved_because(verdict, step)),
            };
            format!("{account}: {rule} {status}: {why}")
        }
    };
    text.chars().take(SUMMARY_CHARS_MAX).collect()
}

/// The largest reasons as sentences; of an alert, first what its rule saw.
pub fn explanation(verdict: &Verdict) -> Vec<String> {
    let own = match &verdict.decision {
        Decision::BandChange { .. } => None,
        Decision::Alert(step) => Some(match step.change {
            AlertChange::Fired | AlertChange::Escalated { .. } => fired_because(verdict, step),
            AlertChange::Resolved { .. } => resolved_because(verdict, step),
        }),
    };
    let told = verdict.movements.iter().take(REASONS_TOLD);
    own.into_iter().chain(told.map(|movement| sentence(&verdict.card, movement))).collect()
}

/// One line for the operators of a source.
pub fn outage(alert: &OperatorAlert, partition: i32) -> String {
    let OperatorAlert { expected, came, started_at, .. } = *alert;
    let name = outage::name(alert.source);
    match alert.ended_at {
        None => format!(
            "Source {name} is out since {started_at}: {came} events came on partition {partition} \
             where {expected:.0} were to be expected. Its clock stands still for every account"
        ),
        Some(ended_at) => format!(
            "Source {name} is back on partition {partition} at {ended_at}, after {}: {came} events \
             in the last hour, where {expected:.0} were to be expected",
            elapsed(ended_at.since(started_at))
        ),
    }
}

/// Why an alert fires: `Score fell by 27.3 points from 82.1 in 28 days, to 54.8`.
fn fired_because(verdict: &Verdict, step: &AlertStep) -> String {
    let card = &*verdict.card;
    let rule = &card.alerts[step.rule];
    let at = verdict.at;
    let level = rule.severities.iter().position(|severity| *severity == step.severity);
    let level = level.unwrap_or_default();
    let held = match rule.hold {
        Span::ZERO => String::new(),
        hold => format!(", for {}", spaced(hold)),
    };
    let band = band_name(card, verdict.band);
    match (&rule.kind, step.evidence) {
        (AlertKind::ScoreDrop { within, .. }, Evidence::High(Some(high))) => {
            let now = verdict.score.unwrap_or(f64::NAN);
            format!(
                "Score fell by {:.1} points from {high:.1} in {}, to {now:.1}",
                high - now,
                days(*within)
            )
        }
        (AlertKind::Measure { measure, comparison, values }, Evidence::Value(Some(value))) => {
            let measure = card.measure(*measure);
            let side = match comparison {
                Comparison::Above => "above",
                Comparison::AtLeast => "at least",
                Comparison::Below => "below",
                Comparison::AtMost => "at most",
                Comparison::Equals => "equal to",
            };
            format!(
                "{} is {}{}, {side} {}{held}",
                capitalised(&label(measure)),
                number(value),
                in_window(measure),
                number(values[level]),
            )
        }
        (AlertKind::Silence { .. }, Evidence::LastUsage(last)) => {
            format!("No usage for {} (last on {last})", elapsed(at.since(last)))
        }
        (AlertKind::RenewalAtRisk { .. }, Evidence::RenewalAt(Some(renewal))) => {
            format!("Renewal in {} while {band}", elapsed(renewal.since(at)))
        }
        (AlertKind::Opportunity { measure, .. }, Evidence::InBandSince(since)) => {
            let rule = card.measure(*measure);
            format!(
                "{} for {} and {} is rising",
                capitalised(band),
                elapsed(at.since(since)),
                label(rule)
            )
        }
        (AlertKind::Coverage { below }, _) => format!(
            "Data went missing: {:.0} % of the score's weight has data, less than {:.0} %{held}",
            100.0 * verdict.coverage,
            100.0 * below[level],
        ),
        (AlertKind::BandEntered { .. }, _) => format!("Band is {band}{held}"),
        // What it looked at is gone by the time it is told.
        _ => format!("The rule {} holds{held}", rule.id),
    }
}

/// Why an alert ends, as far as its rule can see.
fn resolved_because(verdict: &Verdict, step: &AlertStep) -> String {
    let card = &*verdict.card;
    let rule = &card.alerts[step.rule];
    let lasted = elapsed(verdict.at.since(step.since));
    let now = match (&rule.kind, step.evidence) {
        _ if verdict.cause == Cause::Forgotten => {
            "the account is idle and followed no longer".to_owned()
        }
        (AlertKind::ScoreDrop { .. }, _) => match verdict.score {
            Some(score) => format!("score is {score:.1}"),
            None => "no score".to_owned(),
        },
        (AlertKind::Measure { measure, .. }, Evidence::Value(value)) => {
            let measure = card.measure(*measure);
            match value {
                Some(value) => {
                    format!("{} is {}{}", label(measure), number(value), in_window(measure))
                }
                None => format!("{} has no data", label(measure)),
            }
        }
        (AlertKind::Silence { .. }, Evidence::LastUsage(last)) => format!("usage on {last}"),
        (AlertKind::Coverage { .. }, _) => {
            format!("{:.0} % of the score's weight has data", 100.0 * verdict.coverage)
        }
        _ => format!("band is {}", band_name(card, verdict.band)),
    };
    format!("Over after {lasted}: {now}")
}

/// `28 days`, `6 h`.
fn days(span: Span) -> String {
    match span.divide_evenly(Span::DAY) {
        Some(1) => "a day".to_owned(),
        Some(days) => format!("{days} days"),
        None => spaced(span),
    }
}

/// A measured time for people: whole days from two days on, else whole hours, else minutes.
fn elapsed(span: Span) -> String {
    if span >= Span::days(2) {
        return format!("{} days", span.whole_days());
    }
    match span.whole_hours() {
        0 => format!("{} minutes", span.as_millis() / Span::MINUTE.as_millis()),
        1 => "1 hour".to_owned(),
        hours => format!("{hours} hours"),
    }
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
        Part::Rules => format!("The rules changed {points}"),
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
    measure.window.map_or(String::new(), |window| format!(" in {}", days(window)))
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
