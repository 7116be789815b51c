//! The explanation as text.

use std::fmt::{self, Write as _};

use super::lift::reaches;
use super::{Subject, gaps, lifts};
use crate::engine::report::{AccountReport, MeasureReport, Snapshot};
use crate::engine::score::MeasureStatus;
use crate::engine::time::EventTime;
use crate::engine::verdict::{Published, band_name};
use crate::engine::wording::{number, sentence};

/// How many ways to the next band are told: who needs more has other worries.
const LIFTS_TOLD: usize = 5;

/// Everything about one account for people. `since` is an earlier moment to compare with, and the
/// account at it, if it was known then.
pub fn text(subject: &Subject<'_>, since: Option<(EventTime, Option<&Snapshot>)>) -> String {
    let mut out = String::new();
    let report = subject.snapshot.report();
    let written = write_head(&mut out, subject, &report)
        .and_then(|()| write_parts(&mut out, subject, &report))
        .and_then(|()| write_gates(&mut out, &report))
        .and_then(|()| write_alerts(&mut out, &report))
        .and_then(|()| write_missing(&mut out, subject))
        .and_then(|()| match since {
            Some((at, before)) => write_changes(&mut out, subject, at, before),
            None => Ok(()),
        })
        .and_then(|()| write_lifts(&mut out, subject, &report));
    written.expect("writing to a string cannot fail");
    out
}

fn write_head(out: &mut String, subject: &Subject<'_>, report: &AccountReport<'_>) -> fmt::Result {
    let (card, snapshot) = (subject.card, subject.snapshot);
    let name = subject.profile.and_then(|profile| profile.name.as_deref());
    let who = match name {
        Some(name) => format!("{name} ({})", report.account_id),
        None => report.account_id.to_owned(),
    };
    let score = report.score.map_or("no score".to_owned(), |score| format!("score {score:.1}"));
    write!(out, "{who}: {score}, band {}", report.band)?;
    if let Some(since) = report.band_since {
        write!(out, " since {since}")?;
    }
    if let Some(previous) = report.previous_band {
        write!(out, " (before that {previous})")?;
    }
    writeln!(out)?;
    if let Some(said) = &report.overridden {
        writeln!(
            out,
            "{} says it is {} until {}: {}",
            said.author, said.band, said.expires_at, said.reason
        )?;
    }
    writeln!(
        out,
        "as of {}, by scorecard {}, {} of the weight backed by data",
        report.as_of,
        report.scorecard,
        percent(report.coverage)
    )?;
    if !report.degraded.is_empty() {
        let sources = report.degraded.join(", ");
        writeln!(out, "an outage holds the clock of: {sources}")?;
    }
    if report.score.is_none() {
        let why = match snapshot.in_grace {
            true => format!("the account is in its grace of {}", card.grace),
            false => {
                format!("the card asks for {} of the weight", percent(card.min_coverage))
            }
        };
        writeln!(out, "there is no score: {why}")?;
    }
    let ends = snapshot.band.deadline(card);
    if ends < EventTime::MAX {
        let target = band_name(card, report.score.map(|score| card.band_of(score)));
        writeln!(out, "it will be {target} at {ends} if the score stays where it is")?;
    }
    Ok(())
}

/// Dimensions and measures, one a line: value, sub-score, weight, points.
fn write_parts(out: &mut String, subject: &Subject<'_>, report: &AccountReport<'_>) -> fmt::Result {
    let ids = report.dimensions.iter().flat_map(|dimension| {
        dimension.measures.iter().map(|measure| measure.id.len() + 2).chain([dimension.id.len()])
    });
    let width = ids.max().unwrap_or(0);
    writeln!(
        out,
        "\n{:width$}  {:>14}  {:>9}  {:>7}  {:>6}",
        "", "value", "sub-score", "weight", "points"
    )?;
    for dimension in &report.dimensions {
        let score = dimension.score.map_or("-".to_owned(), |score| format!("{score:.1}"));
        writeln!(
            out,
            "{:width$}  {:>14}  {score:>9}  {:>7}  {:>6}{}",
            dimension.id,
            "",
            percent(dimension.weight),
            points(dimension.contribution),
            dimension.band.map_or(String::new(), |band| format!("  {band}"))
        )?;
        for measure in &dimension.measures {
            let sub_score = measure.sub_score.map_or("-".to_owned(), |score| format!("{score:.1}"));
            writeln!(
                out,
                "  {:inner$}  {:>14}  {sub_score:>9}  {:>7}  {:>6}{}",
                measure.id,
                value(measure),
                percent(measure.weight),
                points(measure.contribution),
                measure.band.map_or(String::new(), |band| format!("  {band}")),
                inner = width - 2,
            )?;
        }
    }
    let effects: f64 = report.gates.iter().map(|gate| gate.effect).sum();
    let total: f64 = report.dimensions.iter().map(|dimension| dimension.contribution).sum();
    if effects != 0.0 || subject.snapshot.breakdown().start_and_clamp.is_some() {
        writeln!(out, "{:width$}  {:>14}  {:>9}  {:>7}  {:>6}", "all", "", "", "", points(total))?;
    }
    Ok(())
}

fn write_gates(out: &mut String, report: &AccountReport<'_>) -> fmt::Result {
    if report.gates.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nwhat bites")?;
    for gate in &report.gates {
        let effect = match gate.effect {
            0.0 => "holds, and takes nothing".to_owned(),
            effect => format!("{effect:+.1} points"),
        };
        writeln!(out, "  {}: {} ({effect})", gate.id, gate.reason)?;
    }
    Ok(())
}

/// What fires, and what will if it stays so.
fn write_alerts(out: &mut String, report: &AccountReport<'_>) -> fmt::Result {
    if report.alerts.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nalerts")?;
    for alert in &report.alerts {
        let severity = alert.severity.name();
        write!(out, "  {}: {}, {severity}, since {}", alert.rule, alert.status, alert.since)?;
        match alert.feedback {
            Some(feedback) => writeln!(out, " ({feedback})")?,
            None => writeln!(out)?,
        }
    }
    Ok(())
}

fn write_missing(out: &mut String, subject: &Subject<'_>) -> fmt::Result {
    let gaps = gaps(subject);
    if gaps.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nwhat is missing")?;
    for gap in gaps {
        let id = |measure: usize| &subject.card.measure(measure).id;
        let why = match gap.status {
            MeasureStatus::Stale => "its data is too old",
            MeasureStatus::WarmingUp => "the rules are new, and its window is not filled yet",
            MeasureStatus::Missing | MeasureStatus::Ok => "no data",
        };
        write!(out, "  {}: {why}; ", id(gap.measure))?;
        let share = percent(gap.share);
        let told: Vec<String> = gap
            .went_to
            .iter()
            .map(|(to, gain)| format!("{} +{}", id(*to), percent(*gain)))
            .collect();
        match gap.counts_as {
            Some(sub_score) => writeln!(out, "counts as {} with {share}", number(sub_score))?,
            None if gap.share == 0.0 => writeln!(out, "it is only watched")?,
            None if told.is_empty() => writeln!(out, "its {share} counts nowhere")?,
            None => writeln!(out, "its {share} went to {}", told.join(", "))?,
        }
    }
    Ok(())
}

/// Every part that moved; the points sum to the change of the score.
fn write_changes(
    out: &mut String,
    subject: &Subject<'_>,
    at: EventTime,
    before: Option<&Snapshot>,
) -> fmt::Result {
    let (card, now) = (subject.card, subject.snapshot);
    let breakdown = now.breakdown();
    let then = before.map(|before| Published::new(&before.measures, &before.breakdown()));
    let shown = |score: Option<f64>| score.map_or("none".to_owned(), |score| format!("{score:.1}"));
    let (from, to) = (then.as_ref().and_then(|then| then.score), breakdown.score);
    let change = to.unwrap_or(0.0) - from.unwrap_or(0.0);
    let (from, to) = (shown(from), shown(to));
    writeln!(out, "\nwhat changed since {at}: score {from} to {to} ({change:+.1} points)")?;
    let movements = Published::movements(then.as_ref(), card, &now.measures, &breakdown);
    if movements.is_empty() {
        writeln!(out, "  nothing")?;
    }
    for movement in &movements {
        writeln!(out, "  {}", sentence(card, movement))?;
    }
    Ok(())
}

fn write_lifts(out: &mut String, subject: &Subject<'_>, report: &AccountReport<'_>) -> fmt::Result {
    let (card, band) = (subject.card, subject.snapshot.band);
    let (Some(score), Some(current)) = (report.score, band.current()) else { return Ok(()) };
    let Some(next) = card.bands.get(current + 1) else { return Ok(()) };
    if reaches(subject, score) {
        return Ok(());
    }
    let dwell = card.anti_flap.dwell_better;
    writeln!(
        out,
        "\nwhat would lift it to {} or better (held for {dwell}), each alone",
        next.name
    )?;
    let lifts = lifts(subject);
    if lifts.is_empty() {
        writeln!(out, "  no single measure can; it takes several")?;
    }
    for lift in lifts.iter().take(LIFTS_TOLD) {
        let id = &card.measure(lift.measure).id;
        let from = lift.from.map_or("no data".to_owned(), number);
        writeln!(out, "  {id} from {from} to {} (score {:.1})", number(lift.to), lift.score)?;
    }
    Ok(())
}

fn value(measure: &MeasureReport<'_>) -> String {
    match (measure.value, &measure.window) {
        (Some(value), Some(window)) => format!("{} in {window}", number(value)),
        (Some(value), None) => number(value),
        (None, _) => measure.status.to_owned(),
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// One decimal, and never -0.0.
fn points(points: f64) -> String {
    let text = format!("{points:.1}");
    if text == "-0.0" { "0.0".to_owned() } else { text }
}
