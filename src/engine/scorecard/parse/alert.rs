//! Alert rules: one kind each, one severity or several levels.

use super::super::UNKNOWN_BAND;
use super::super::{ALERT_RULES_MAX, AlertKind, AlertRule, Band, Comparison, Severity};
use super::condition::{profile_condition, read_comparison, read_measure_id};
use crate::engine::time::Span;
use crate::engine::yaml::{Field, Fields, nearest};

/// How the value of a `measure` rule may be compared: `equals` has no worse and no better.
const COMPARISONS: [&str; 4] = ["above", "at_least", "below", "at_most"];

/// What rules may name.
pub(super) struct Names<'a> {
    /// Ids of the card's measures in their numbering.
    pub measures: &'a [&'a str],
    /// The card's bands; `None` where they are wrong themselves.
    pub bands: Option<&'a [Band]>,
}

/// Reads all rules.
pub(super) fn read_alerts(field: &Field<'_>, names: &Names<'_>) -> Option<Vec<AlertRule>> {
    let items = field.list()?;
    if items.len() > ALERT_RULES_MAX {
        return field
            .error(format!("has {} rules, expected at most {ALERT_RULES_MAX}", items.len()));
    }
    let rules: Vec<Option<AlertRule>> =
        items.iter().map(|item| item.mapping(|fields| read_alert(fields, names))).collect();
    let mut earlier: Vec<&str> = Vec::new();
    let mut unique = true;
    for (rule, item) in rules.iter().zip(&items) {
        let Some(rule) = rule else { continue };
        if earlier.contains(&&*rule.id) {
            unique = false;
            item.error::<()>(format!("has id `{}`, used by a rule before", rule.id));
        }
        earlier.push(&rule.id);
    }
    let rules: Option<Vec<AlertRule>> = rules.into_iter().collect();
    rules.filter(|_| unique)
}

fn read_alert(fields: &Fields<'_>, names: &Names<'_>) -> Option<AlertRule> {
    let id = fields.require("id").and_then(|field| field.name().map(str::to_string));
    let kind = fields.exactly_one(&AlertKind::KEYS).and_then(|(key, field)| match key {
        _ if key != "band_entered" && key != "measure" && !field.is_mapping() => {
            field.expected(format!("a mapping such as `{}`", example(key)))
        }
        "score_drop" => field.mapping(read_score_drop),
        "band_entered" => {
            let bands = read_bands(&field, names)?;
            Some((AlertKind::BandEntered { bands }, None))
        }
        "measure" => read_measure(fields, &field, names),
        "silence" => field.mapping(|fields| {
            let (lasting, severities) = fields
                .require("for")
                .and_then(|field| read_levels(&field, Harder::Larger, lasting))?;
            Some((AlertKind::Silence { lasting }, severities))
        }),
        "renewal_at_risk" => field.mapping(|fields| {
            let within = fields
                .require("within")
                .and_then(|field| read_levels(&field, Harder::Smaller, lasting));
            let bands = fields.require("bands").and_then(|field| read_bands(&field, names));
            let (within, severities) = within?;
            Some((AlertKind::RenewalAtRisk { within, bands: bands? }, severities))
        }),
        "opportunity" => field.mapping(|fields| read_opportunity(fields, names)),
        _ => field.mapping(|fields| {
            let (below, severities) = fields.require("below").and_then(|field| {
                read_levels(&field, Harder::Smaller, |field| {
                    let below = field.number_in(0.0..=1.0)?;
                    if below > 0.0 { Some(below) } else { field.expected("more than 0") }
                })
            })?;
            Some((AlertKind::Coverage { below }, severities))
        }),
    });
    let levels = matches!(&kind, Some((_, Some(_))));
    if levels {
        fields.refuse("severity", "the levels of the rule are its severities");
    }
    let severity = if levels {
        Some(None)
    } else {
        fields.maybe("severity", |field| field.choice(&Severity::NAMES))
    };
    let action = fields.maybe("action", |field| field.text().map(str::to_string));
    let only = fields.maybe("where", profile_condition);
    let hold = fields.or("hold", Span::ZERO, Field::span);
    let cooldown = fields.or("cooldown", Span::ZERO, Field::span);
    let (kind, levels) = kind?;
    let default = match kind {
        AlertKind::Opportunity { .. } => Severity::Info,
        _ => Severity::Warning,
    };
    let one = severity?;
    Some(AlertRule {
        id: id?,
        kind,
        severities: levels.unwrap_or_else(|| vec![one.unwrap_or(default)]),
        action: action?,
        only: only?,
        hold: hold?,
        cooldown: cooldown?,
    })
}

/// What a kind that takes several things may look like.
fn example(kind: &str) -> &'static str {
    match kind {
        "score_drop" => "{ points: 25, within: 28d, at_most: 50 }",
        "silence" => "{ for: 14d }",
        "renewal_at_risk" => "{ within: 90d, bands: [red, yellow] }",
        "opportunity" => {
            "{ band: green, for: 30d, rising: { measure: usage_trend, at_least: 1.2 } }"
        }
        _ => "{ below: 0.5 }",
    }
}

/// A kind, and its severities where it has levels.
type KindAndLevels = Option<(AlertKind, Option<Vec<Severity>>)>;

fn read_score_drop(fields: &Fields<'_>) -> KindAndLevels {
    let points = fields.require("points").and_then(|field| {
        read_levels(&field, Harder::Larger, |field| {
            let points = field.number_in(0.0..=100.0)?;
            if points > 0.0 { Some(points) } else { field.expected("more than 0") }
        })
    });
    let within =
        fields.require("within").and_then(|field| field.span_in(Span::HOUR, Span::LONGEST));
    let at_most = fields.maybe("at_most", |field| field.number_in(0.0..=100.0));
    let (points, severities) = points?;
    Some((AlertKind::ScoreDrop { points, within: within?, at_most: at_most? }, severities))
}

fn read_measure(fields: &Fields<'_>, id: &Field<'_>, names: &Names<'_>) -> KindAndLevels {
    let measure = read_measure_id(id, names.measures);
    let (key, value) = fields.exactly_one(&COMPARISONS)?;
    let (comparison, harder) = match key {
        "above" => (Comparison::Above, Harder::Larger),
        "at_least" => (Comparison::AtLeast, Harder::Larger),
        "below" => (Comparison::Below, Harder::Smaller),
        _ => (Comparison::AtMost, Harder::Smaller),
    };
    let (values, severities) = read_levels(&value, harder, |field| field.number())?;
    Some((AlertKind::Measure { measure: measure?, comparison, values }, severities))
}

fn read_opportunity(fields: &Fields<'_>, names: &Names<'_>) -> KindAndLevels {
    let bands = fields.require("band").and_then(|field| read_bands(&field, names));
    let lasting = fields.require("for").and_then(|field| field.span());
    let rising = fields.require("rising").and_then(|field| {
        if !field.is_mapping() {
            return field.expected("a mapping such as `{ measure: usage_trend, at_least: 1.2 }`");
        }
        field.mapping(|fields| {
            let measure =
                fields.require("measure").and_then(|id| read_measure_id(&id, names.measures));
            let (comparison, value) = read_comparison(fields)?;
            Some((measure?, comparison, value))
        })
    });
    let (measure, comparison, value) = rising?;
    let kind =
        AlertKind::Opportunity { bands: bands?, lasting: lasting?, measure, comparison, value };
    Some((kind, None))
}

/// One band's name, or a list of them.
fn read_bands(field: &Field<'_>, names: &Names<'_>) -> Option<Vec<usize>> {
    let one = |field: &Field<'_>| {
        let name = field.text()?;
        if name == UNKNOWN_BAND {
            return field.error(
                "is `unknown`, in which no risk alert begins: a `coverage` rule tells of missing data",
            );
        }
        // Wrong bands have been told; what names them cannot be judged.
        let bands = names.bands?;
        if let Some(band) = bands.iter().position(|band| band.name == name) {
            return Some(band);
        }
        let known = || bands.iter().map(|band| &*band.name);
        match nearest(name, known()) {
            Some(near) => field.error(format!("names no band: `{name}`; did you mean `{near}`?")),
            None => field.error(format!(
                "names no band: `{name}`; this card has {}",
                known().collect::<Vec<_>>().join(", ")
            )),
        }
    };
    if field.is_list() { field.each(one) } else { Some(vec![one(field)?]) }
}

/// Which way a level is worse than another.
#[derive(Clone, Copy, PartialEq)]
enum Harder {
    Larger,
    Smaller,
}

fn lasting(field: &Field<'_>) -> Option<Span> {
    field.positive_span()
}

/// One value, or `{ warning: 25, critical: 40 }`: one for each severity, the worse the harder to
/// reach. Mildest first, with the severities where there are levels.
fn read_levels<T: PartialOrd + Copy>(
    field: &Field<'_>,
    harder: Harder,
    read: impl Fn(&Field<'_>) -> Option<T>,
) -> Option<(Vec<T>, Option<Vec<Severity>>)> {
    if !field.is_mapping() {
        return Some((vec![read(field)?], None));
    }
    field.mapping(|fields| {
        let mut levels: Vec<(Severity, T)> = Vec::new();
        let mut good = true;
        for (name, severity) in Severity::NAMES {
            let Some(field) = fields.optional(name) else { continue };
            let Some(value) = read(&field) else {
                good = false;
                continue;
            };
            if let Some((milder, before)) = levels.last() {
                let worse = match harder {
                    Harder::Larger => value > *before,
                    Harder::Smaller => value < *before,
                };
                if !worse {
                    good = false;
                    let than = if harder == Harder::Larger { "more" } else { "less" };
                    field.expected::<()>(format!("{than} than `{}` has", milder.name()));
                }
            }
            levels.push((severity, value));
        }
        if good && levels.len() < 2 {
            return fields.whole().error(
                "needs at least two of `info`, `warning` and `critical`; for one level write the \
                 number and give the rule a `severity`",
            );
        }
        let (severities, values) = levels.into_iter().unzip();
        good.then_some((values, Some(severities)))
    })
}
