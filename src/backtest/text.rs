//! A backtest as tables for people. Numbers have one decimal; the JSON has all of them.

use std::fmt::Write;

use super::{Kind, Outcome, RuleOutcome};
use crate::compare::WHY_NO_RATES;

const INFALLIBLE: &str = "text in memory can always be written";

/// The tables.
pub fn text(outcome: &Outcome) -> String {
    let mut text = String::new();
    let out = &mut text;
    head(out, outcome);
    rules(out, outcome);
    bands(out, outcome);
    scores(out, outcome);
    text
}

fn percent(share: Option<f64>) -> String {
    share.map_or("-".to_owned(), |share| format!("{:.1} %", 100.0 * share))
}

fn number(number: Option<f64>) -> String {
    number.map_or("-".to_owned(), |number| format!("{number:.1}"))
}

fn head(out: &mut String, outcome: &Outcome) {
    let hash = &outcome.scorecard_hash[..outcome.scorecard_hash.len().min(8)];
    let from = outcome.from.map_or("nothing".to_owned(), |from| from.to_string());
    writeln!(out, "{} ({hash})", outcome.scorecard).expect(INFALLIBLE);
    writeln!(
        out,
        "{} accounts, {from} to {}, {:.1} account-months",
        outcome.accounts, outcome.to, outcome.account_months
    )
    .expect(INFALLIBLE);
    writeln!(
        out,
        "{} left, {} of them known for at least {} days; {} stayed",
        outcome.churners, outcome.churners_reachable, outcome.lead_days, outcome.stayers
    )
    .expect(INFALLIBLE);
    writeln!(
        out,
        "base rate: a random account-day is followed by a departure within {} days in {}\n",
        outcome.horizon_days,
        percent(outcome.base_rate)
    )
    .expect(INFALLIBLE);
}

fn rules(out: &mut String, outcome: &Outcome) {
    let columns = ["/100/month", "episodes", "followed", "lift", "churners", "repeats"];
    write!(out, "{:<24}", "rule").expect(INFALLIBLE);
    for column in columns {
        write!(out, "{column:>12}").expect(INFALLIBLE);
    }
    out.push('\n');
    let mut row = |rule: &RuleOutcome| {
        writeln!(
            out,
            "{:<24}{:>12}{:>12}{:>12}{:>12}{:>12}{:>12}",
            rule.rule,
            number(rule.episodes_per_100_accounts_month),
            rule.episodes,
            percent(rule.precision),
            number(rule.lift),
            percent(rule.recall),
            rule.repeats
        )
        .expect(INFALLIBLE);
    };
    for kind in [Kind::Risk, Kind::Opportunity, Kind::Coverage] {
        outcome.rules.iter().filter(|rule| rule.kind == kind).for_each(&mut row);
        if kind == Kind::Risk {
            row(&outcome.risk);
        }
    }
    writeln!(
        out,
        "followed: by a departure within {} days; churners: share that it fired for {} to {} days \
         ahead\nof the {} who stayed {} had a risk alert",
        outcome.horizon_days,
        outcome.lead_days,
        outcome.lead_at_most_days,
        outcome.stayers,
        outcome.stayers_alerted
    )
    .expect(INFALLIBLE);
    if outcome.risk.episodes_per_100_accounts_month.is_none() {
        writeln!(out, "{WHY_NO_RATES}").expect(INFALLIBLE);
    }
    out.push('\n');
}

fn bands(out: &mut String, outcome: &Outcome) {
    writeln!(out, "{:<24}{:>12}{:>12}", "band, every 28 days", "accounts", "followed")
        .expect(INFALLIBLE);
    for band in &outcome.bands {
        let rate = percent(band.churn_rate);
        writeln!(out, "{:<24}{:>12}{rate:>12}", band.band, band.samples).expect(INFALLIBLE);
    }
    writeln!(
        out,
        "band changes: {}, {} per 100 accounts a month; {} of {} between bands reversed within 14 \
         days ({})",
        outcome.band_changes,
        number(outcome.band_changes_per_100_accounts_month),
        outcome.reversed,
        outcome.between_bands,
        percent(outcome.flap_rate)
    )
    .expect(INFALLIBLE);
}

fn scores(out: &mut String, outcome: &Outcome) {
    let auc = outcome.auc.map_or("-".to_owned(), |auc| format!("{auc:.3}"));
    writeln!(
        out,
        "mean last score: {} of those who left, {} of the others; AUC of the score {auc}",
        number(outcome.mean_score_of_churners),
        number(outcome.mean_score_of_stayers)
    )
    .expect(INFALLIBLE);
}
