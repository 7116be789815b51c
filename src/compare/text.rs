//! A comparison as a table for people. Rates have one decimal; the JSON has all of them.

use std::fmt::Write;

use super::{CardOutcome, Judgement, Outcome, WHY_NO_RATES};

/// Widest name that a column is made for.
const NAME_CHARS: usize = 28;

/// The table. At most `listed` of the accounts that differ are named, the rest are counted.
pub fn text(outcome: &Outcome, listed: usize) -> String {
    let mut text = String::new();
    let out = &mut text;
    head(out, outcome);
    published(out, &outcome.a, &outcome.b);
    bands(out, outcome);
    accounts(out, outcome, listed);
    text
}

const INFALLIBLE: &str = "text in memory can always be written";

fn head(out: &mut String, outcome: &Outcome) {
    for (letter, card) in [("A", &outcome.a), ("B", &outcome.b)] {
        let hash = &card.scorecard_hash[..card.scorecard_hash.len().min(8)];
        writeln!(out, "{letter}: {} ({hash})", card.scorecard).expect(INFALLIBLE);
    }
    let span = match (outcome.from, outcome.to) {
        (Some(from), Some(to)) => format!("{from} to {to}"),
        _ => "no record at all".to_owned(),
    };
    let (accounts, months) = (outcome.accounts, outcome.account_months);
    writeln!(out, "{accounts} accounts, {span}, {months:.1} account-months\n").expect(INFALLIBLE);
}

fn published(out: &mut String, a: &CardOutcome, b: &CardOutcome) {
    let rate = |rate: Option<f64>| rate.map_or("-".to_owned(), |rate| format!("{rate:.1}"));
    let share = |share: Option<f64>| {
        share.map_or("-".to_owned(), |share| format!("{:.1} %", 100.0 * share))
    };
    writeln!(out, "{:<30}{:>10}{:>10}", "would have been published", "A", "B").expect(INFALLIBLE);
    let mut row = |name: &str, value: &dyn Fn(&CardOutcome) -> String| {
        writeln!(out, "{name:<30}{:>10}{:>10}", value(a), value(b)).expect(INFALLIBLE);
    };
    row("band changes", &|card| card.counts.band_changes.to_string());
    row("  per 100 accounts a month", &|card| rate(card.band_changes_per_100_accounts_month));
    row("  between bands", &|card| card.counts.between_bands.to_string());
    row("  reversed within 14 days", &|card| share(card.flap_rate));
    row("alerts fired", &|card| card.counts.alerts_fired.to_string());
    row("  per 100 accounts a month", &|card| rate(card.alerts_per_100_accounts_month));
    row("  escalated", &|card| card.counts.alerts_escalated.to_string());
    if a.alerts_per_100_accounts_month.is_none() {
        writeln!(out, "{WHY_NO_RATES}").expect(INFALLIBLE);
    }
}

fn bands(out: &mut String, outcome: &Outcome) {
    let different = outcome.different.len();
    writeln!(out, "\nin different bands at the end: {different} of {}", outcome.accounts)
        .expect(INFALLIBLE);
    let columns = outcome.matrix.first().map_or(&[][..], |row| &row.b);
    let first = outcome.matrix.iter().map(|row| row.a.chars().count() + 2).max().unwrap_or(0);
    let first = first.clamp(8, NAME_CHARS);
    let widths = columns.iter().map(|cell| cell.band.chars().count().max(6) + 2);
    let widths: Vec<usize> = widths.collect();
    write!(out, "{:<first$}", "A \\ B").expect(INFALLIBLE);
    for (cell, width) in columns.iter().zip(&widths) {
        write!(out, "{:>width$}", cell.band).expect(INFALLIBLE);
    }
    out.push('\n');
    for row in &outcome.matrix {
        write!(out, "{:<first$}", row.a).expect(INFALLIBLE);
        for (cell, width) in row.b.iter().zip(&widths) {
            write!(out, "{:>width$}", cell.accounts).expect(INFALLIBLE);
        }
        out.push('\n');
    }
}

fn accounts(out: &mut String, outcome: &Outcome, listed: usize) {
    if outcome.different.is_empty() {
        return;
    }
    out.push('\n');
    let judgement = |judgement: &Judgement| {
        let score = judgement.score.map_or("-".to_owned(), |score| format!("{score:.1}"));
        format!("{} {score}", judgement.band)
    };
    for account in outcome.different.iter().take(listed) {
        let (a, b) = (judgement(&account.a), judgement(&account.b));
        writeln!(out, "{:<NAME_CHARS$}  {a:>16} -> {b}", account.account_id).expect(INFALLIBLE);
    }
    let rest = outcome.different.len().saturating_sub(listed);
    if rest > 0 {
        writeln!(out, "and {rest} more (`--accounts N` lists N, `--output json` all)")
            .expect(INFALLIBLE);
    }
}
