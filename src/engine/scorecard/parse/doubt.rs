//! What is legal in a card and hardly meant: bands nobody can reach, rules that can never fire,
//! conditions that exclude themselves. Only what is certain is told.

use super::super::{
    AlertKind, AlertRule, Combine, Comparison, Condition, Curve, Dimension, GateEffect, Measure,
    MeasureKind, Missing, ProfileCondition, Scorecard, TOLERANCE,
};
use crate::engine::yaml::{Field, Fields};

/// Warns of everything doubtful in a card that holds.
pub(super) fn warn(fields: &Fields<'_>, card: &Scorecard) {
    let items = |key| fields.optional(key).and_then(|field| field.list()).unwrap_or_default();
    let scores = possible_scores(card);
    for (field, dimension) in items("dimensions").iter().zip(&card.dimensions) {
        warn_of_percentages(field, card, dimension);
    }
    let measure_fields = items("dimensions").iter().filter_map(measure_fields).flatten().collect();
    warn_of_maps(measure_fields, card);
    for (field, gate) in items("gates").iter().zip(&card.gates) {
        if let Some(why) = contradiction(&gate.when, card) {
            field.warning(format!("can never apply: {why}"));
        }
        let idle = match gate.effect {
            GateEffect::Cap(most) => most >= 100.0,
            GateEffect::Floor(least) => least <= 0.0,
        };
        if idle {
            field.warning("changes no score: every score is within 0 to 100 already");
        }
    }
    let bands: Vec<bool> = (0..card.bands.len()).map(|band| reaches(card, band, scores)).collect();
    for (field, (band, reached)) in items("bands").iter().zip(card.bands.iter().zip(&bands)) {
        if !reached {
            field.warning(format!(
                "can never be entered: curves and gates of this card make scores of {} to {} only; \
                 move the edges or the curves (`{}`)",
                rounded(scores.0),
                rounded(scores.1),
                band.name
            ));
        }
    }
    for (field, rule) in items("alerts").iter().zip(&card.alerts) {
        if let Some(why) = rule.only.as_ref().and_then(|only| contradiction(only, card)) {
            field.warning(format!("can never fire: {why}"));
        }
        for why in why_never(rule, card, scores, &bands) {
            field.warning(why);
        }
    }
}

fn measure_fields<'a>(dimension: &Field<'a>) -> Option<Vec<Field<'a>>> {
    let (_, measures) = dimension.entries()?.into_iter().find(|(key, _)| *key == "measures")?;
    measures.list()
}

/// The lowest and the highest score that any account may have. Every single measure may be the only
/// one with data, so the others do not narrow it.
fn possible_scores(card: &Scorecard) -> (f64, f64) {
    let counted = card.dimensions.iter().filter(|dimension| dimension.weight != 0.0);
    let counted = counted.flat_map(|dimension| &dimension.measures).filter(|m| m.weight != 0.0);
    let ranges = counted.map(|measure| (measure.weight, possible_sub_scores(measure)));
    let (mut low, mut high) = match card.combine {
        Combine::Signed { start } => ranges.fold((start, start), |sum, (points, (low, high))| {
            let (one, other) = (points * low / 100.0, points * high / 100.0);
            (sum.0 + one.min(other).min(0.0), sum.1 + one.max(other).max(0.0))
        }),
        Combine::Weighted | Combine::Mean | Combine::Points => ranges
            .fold((100.0, 0.0), |(low, high): (f64, f64), (_, own)| {
                (low.min(own.0), high.max(own.1))
            }),
    };
    for gate in &card.gates {
        match gate.effect {
            GateEffect::Cap(most) => low = low.min(most),
            GateEffect::Floor(least) => high = high.max(least),
        }
    }
    (low.clamp(0.0, 100.0), high.clamp(0.0, 100.0))
}

fn possible_sub_scores(measure: &Measure) -> (f64, f64) {
    let (Curve::Piecewise(points) | Curve::Steps(points) | Curve::Map(points)) = &measure.curve;
    let missing = match measure.missing {
        Missing::CountAs(sub_score) => Some(sub_score),
        Missing::Redistribute => None,
    };
    let all = points.iter().map(|(_, sub_score)| *sub_score).chain(missing);
    all.fold((100.0, 0.0), |(low, high): (f64, f64), one| (low.min(one), high.max(one)))
}

fn reaches(card: &Scorecard, band: usize, (low, high): (f64, f64)) -> bool {
    (card.band_of(low)..=card.band_of(high)).contains(&band)
}

/// Weights of one dimension that look like percentages and miss 100 by a little.
fn warn_of_percentages(field: &Field<'_>, card: &Scorecard, dimension: &Dimension) {
    let counted: Vec<&Measure> =
        dimension.measures.iter().filter(|measure| measure.weight != 0.0).collect();
    let total: f64 = counted.iter().map(|measure| measure.weight).sum();
    let near = (90.0..=110.0).contains(&total) && (total - 100.0).abs() > TOLERANCE;
    if card.combine == Combine::Weighted && !dimension.mean && near && counted.len() > 1 {
        field.warning(format!(
            "has measures that weigh {} in all, not 100; weights are normalised, so `{}` counts for \
             {} % of it",
            rounded(total),
            counted[0].id,
            rounded(100.0 * counted[0].weight / total)
        ));
    }
}

/// Whether a measure is always a whole number.
fn is_whole(measure: &Measure) -> bool {
    use MeasureKind::*;
    match measure.kind {
        UsageFeaturesUsed => measure.filter.features.is_empty(),
        UsageEvents
        | UsageActiveUsers
        | UsageActiveDays
        | UsageActiveWeeks
        | UsageDaysSinceLast
        | SupportOpened
        | SupportOpen
        | SupportOldestOpenHours
        | SupportReopened
        | SupportEscalated
        | PaymentOverdueDays
        | PaymentOverdueMinor
        | PaymentFailed
        | PaymentReminders
        | PaymentDisputes
        | AccountDaysToRenewal
        | AccountAgeDays => true,
        UsageQuantity
        | UsageSeatUtilisation
        | UsageTrend
        | SupportResolutionHours
        | PaymentLateShare
        | PaymentDaysToPay
        | PaymentGrowth
        | SurveyNps
        | SurveyCsat
        | SurveyCes
        | SurveyAssessment => false,
    }
}

/// Values of a `map` that its measure never has.
fn warn_of_maps(fields: Vec<Field<'_>>, card: &Scorecard) {
    for (field, measure) in fields.iter().zip(card.measures()) {
        let Curve::Map(entries) = &measure.curve else { continue };
        let (low, high) = measure.possible_values();
        for (value, _) in entries {
            let name = measure.kind.name();
            if *value < low - TOLERANCE || *value > high + TOLERANCE {
                field.warning(format!(
                    "maps {value}, which `{name}` never is: it is {}",
                    range_text(low, high)
                ));
            } else if is_whole(measure) && value.fract() != 0.0 {
                field.warning(format!(
                    "maps {value}, which `{name}` never is: it is a whole number"
                ));
            }
        }
    }
}

fn range_text(low: f64, high: f64) -> String {
    match (low.is_finite(), high.is_finite()) {
        (true, true) => format!("{low} to {high}"),
        (true, false) => format!("at least {low}"),
        _ => format!("at most {high}"),
    }
}

/// Whether no value from `low` to `high` compares so.
fn never_holds(comparison: Comparison, value: f64, (low, high): (f64, f64)) -> bool {
    match comparison {
        Comparison::AtLeast => value > high + TOLERANCE,
        Comparison::Above => value >= high - TOLERANCE,
        Comparison::AtMost => value < low - TOLERANCE,
        Comparison::Below => value <= low + TOLERANCE,
        Comparison::Equals => value > high + TOLERANCE || value < low - TOLERANCE,
    }
}

fn words(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::AtLeast => "at least",
        Comparison::AtMost => "at most",
        Comparison::Above => "above",
        Comparison::Below => "below",
        Comparison::Equals => "exactly",
    }
}

/// Why a comparison with a measure can never hold.
fn impossible(card: &Scorecard, measure: usize, how: Comparison, value: f64) -> Option<String> {
    let measure = card.measure(measure);
    let (low, high) = measure.possible_values();
    never_holds(how, value, (low, high)).then(|| {
        format!(
            "`{}` is never {} {value}, `{}` is {}",
            measure.id,
            words(how),
            measure.kind.name(),
            range_text(low, high)
        )
    })
}

/// Why a condition can never hold, where that is certain.
fn contradiction(condition: &Condition, card: &Scorecard) -> Option<String> {
    match condition {
        Condition::Measure { measure, comparison, value } => {
            impossible(card, *measure, *comparison, *value)
        }
        Condition::Profile(_) | Condition::Not(_) => None,
        Condition::Any(parts) => {
            let whys: Option<Vec<String>> =
                parts.iter().map(|part| contradiction(part, card)).collect();
            whys?.into_iter().next()
        }
        Condition::All(_) => {
            let mut parts = Vec::new();
            flatten(condition, &mut parts);
            parts
                .iter()
                .find_map(|part| contradiction(part, card))
                .or_else(|| pairs(&parts).find_map(|(one, other)| exclude(one, other, card)))
        }
    }
}

fn flatten<'a>(condition: &'a Condition, parts: &mut Vec<&'a Condition>) {
    match condition {
        Condition::All(own) => own.iter().for_each(|part| flatten(part, parts)),
        other => parts.push(other),
    }
}

fn pairs<'a>(
    parts: &'a [&'a Condition],
) -> impl Iterator<Item = (&'a Condition, &'a Condition)> + 'a {
    let later = move |(index, one): (usize, &&'a Condition)| {
        let one = *one;
        parts[index + 1..].iter().map(move |other| (one, *other))
    };
    parts.iter().enumerate().flat_map(later)
}

/// Why two conditions cannot hold together.
fn exclude(one: &Condition, other: &Condition, card: &Scorecard) -> Option<String> {
    use Condition::{Measure, Profile};
    use ProfileCondition::{Number, RecoveryPath, Status, Text};
    match (one, other) {
        (
            Measure { measure, comparison, value },
            Measure { measure: again, comparison: how, value: with },
        ) if measure == again => {
            let name = format!("`{}`", card.measure(*measure).id);
            numbers_exclude(&name, (*comparison, *value), (*how, *with))
        }
        (
            Profile(Number { field, comparison, value }),
            Profile(Number { field: again, comparison: how, value: with }),
        ) if field == again => numbers_exclude("a number", (*comparison, *value), (*how, *with)),
        (Profile(Text { field, one_of }), Profile(Text { field: again, one_of: others }))
            if field == again && !one_of.iter().any(|text| others.contains(text)) =>
        {
            Some(format!(
                "no field is `{}` and also `{}`",
                one_of.join("` or `"),
                others.join("` or `")
            ))
        }
        (Profile(Status(one)), Profile(Status(other)))
            if !one.iter().any(|status| other.contains(status)) =>
        {
            Some("no customer has two of these statuses".to_owned())
        }
        (Profile(RecoveryPath(one)), Profile(RecoveryPath(other))) if one != other => {
            Some("`recovery_path` is not both".to_owned())
        }
        _ => None,
    }
}

fn numbers_exclude(name: &str, one: (Comparison, f64), other: (Comparison, f64)) -> Option<String> {
    // Each narrows what is left for the other.
    let left = |(how, value): (Comparison, f64)| match how {
        Comparison::AtLeast | Comparison::Above => (value, f64::INFINITY),
        Comparison::AtMost | Comparison::Below => (f64::NEG_INFINITY, value),
        Comparison::Equals => (value, value),
    };
    let excluded =
        never_holds(one.0, one.1, left(other)) || never_holds(other.0, other.1, left(one));
    excluded.then(|| {
        format!("{name} is never {} {} and {} {}", words(one.0), one.1, words(other.0), other.1)
    })
}

/// Why a rule, or a level of it, can never fire.
fn why_never(
    rule: &AlertRule,
    card: &Scorecard,
    (low, high): (f64, f64),
    reached: &[bool],
) -> Vec<String> {
    let level = |index: usize| match rule.severities.len() {
        1 => "can never fire".to_owned(),
        _ => format!("can never be `{}`", rule.severities[index].name()),
    };
    let no_band = |bands: &[usize]| {
        let none = bands.iter().all(|band| !reached[*band]);
        none.then(|| "can never fire: none of its bands can be entered".to_owned())
    };
    match &rule.kind {
        AlertKind::ScoreDrop { points, at_most, .. } => {
            let range = format!("scores of this card are {} to {}", rounded(low), rounded(high));
            if at_most.is_some_and(|most| most < low - TOLERANCE) {
                return vec![format!("can never fire: `at_most` is below every score, {range}")];
            }
            // From the highest score down to where it may fire at all.
            let deepest = high - low;
            let too_deep = points.iter().enumerate().filter(|(_, p)| **p > deepest + TOLERANCE);
            too_deep
                .map(|(index, points)| {
                    format!("{}: no score can fall by {points} points, {range}", level(index))
                })
                .collect()
        }
        AlertKind::Measure { measure, comparison, values } => {
            let whys = values.iter().enumerate().filter_map(|(index, value)| {
                let why = impossible(card, *measure, *comparison, *value)?;
                Some(format!("{}: {why}", level(index)))
            });
            whys.collect()
        }
        AlertKind::BandEntered { bands } | AlertKind::RenewalAtRisk { bands, .. } => {
            no_band(bands).into_iter().collect()
        }
        AlertKind::Opportunity { bands, measure, comparison, value, .. } => {
            let rising = impossible(card, *measure, *comparison, *value);
            let rising = rising.map(|why| format!("can never fire: {why}"));
            no_band(bands).or(rising).into_iter().collect()
        }
        AlertKind::Silence { .. } | AlertKind::Coverage { .. } => Vec::new(),
    }
}

/// For people: at most four decimals.
fn rounded(number: f64) -> f64 {
    (number * 10_000.0).round() / 10_000.0
}
