//! Which events a measure reads, and which filters make sense where.

use super::super::{Filter, MeasureKind};
use crate::engine::event::Priority;
use crate::engine::yaml::{Field, Fields};

/// Longest string an event may hold; a longer one would never match.
const TEXT_BYTES_MAX: usize = 256;

/// Surveys with a measure of their own; all others are assessments.
const OWN_SURVEYS: [(&str, MeasureKind); 3] = [
    ("nps", MeasureKind::SurveyNps),
    ("csat", MeasureKind::SurveyCsat),
    ("ces", MeasureKind::SurveyCes),
];

/// Marks the filters' keys as known without reading them.
pub(super) fn note_keys(fields: &Fields<'_>) {
    for key in ["features", "categories", "priorities", "surveys", "roles"] {
        fields.optional(key);
    }
}

/// Reads the filters and refuses those that `kind` has no use for.
pub(super) fn read_filter(fields: &Fields<'_>, kind: MeasureKind) -> Option<Filter> {
    let source = kind.name().split('.').next().unwrap_or_default();
    let belongs = |key: &'static str, wanted: &str| {
        let fits = source == wanted;
        if !fits {
            fields.refuse(key, format!("only `{wanted}` measures read it, not `{}`", kind.name()));
        }
        fits
    };
    let texts = |key: &'static str, wanted: &str| {
        if belongs(key, wanted) { fields.or(key, Vec::new(), read_texts) } else { Some(Vec::new()) }
    };
    let features = texts("features", "usage");
    let categories = texts("categories", "support");
    let priorities = if belongs("priorities", "support") {
        fields.or("priorities", Vec::new(), read_priorities)
    } else {
        Some(Vec::new())
    };
    let surveys =
        texts("surveys", "survey").and_then(|surveys| check_surveys(fields, kind, surveys));
    let roles = texts("roles", "survey");
    Some(Filter {
        features: features?,
        categories: categories?,
        priorities: priorities?,
        surveys: surveys?,
        roles: roles?,
    })
}

fn read_texts(field: &Field<'_>) -> Option<Vec<String>> {
    let mut texts = field.each(|item| {
        let text = item.text()?;
        if text.len() > TEXT_BYTES_MAX {
            return item.error(format!(
                "is {} bytes long, expected at most {TEXT_BYTES_MAX}: no event holds more",
                text.len()
            ));
        }
        Some(text.to_string())
    })?;
    texts.sort();
    match texts.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => field.error(format!("lists `{}` twice", pair[0])),
        None => Some(texts),
    }
}

fn read_priorities(field: &Field<'_>) -> Option<Vec<Priority>> {
    let mut priorities = field.each(|item| item.choice(&Priority::NAMES))?;
    priorities.sort();
    match priorities.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => field.error(format!("lists `{}` twice", pair[0].name())),
        None => Some(priorities),
    }
}

fn check_surveys(
    fields: &Fields<'_>,
    kind: MeasureKind,
    surveys: Vec<String>,
) -> Option<Vec<String>> {
    if kind == MeasureKind::SurveyAssessment && surveys.is_empty() {
        // Where it is given but wrong, that has been told already.
        return fields.require("surveys").and(None);
    }
    let Some(field) = fields.optional("surveys") else { return Some(surveys) };
    let own = OWN_SURVEYS.iter().find(|(_, owner)| *owner == kind);
    match own {
        Some((survey, _)) if surveys.iter().any(|given| given != survey) => field.error(format!(
            "is given, but `{}` reads the survey `{survey}` only: leave it out",
            kind.name()
        )),
        Some(_) => Some(surveys),
        None => match OWN_SURVEYS.iter().find(|(survey, _)| surveys.iter().any(|s| s == survey)) {
            Some((survey, owner)) => field.error(format!(
                "lists `{survey}`, which is no assessment: use `measure: {}`",
                owner.name()
            )),
            None => Some(surveys),
        },
    }
}
