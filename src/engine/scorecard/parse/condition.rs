//! Conditions on measures and profile fields.

use super::super::{Comparison, Condition, ProfileCondition, ProfileNumber, ProfileText};
use crate::engine::event::ProfileStatus;
use crate::engine::yaml::{Field, Fields, nearest};

const COMPARISONS: [(&str, Comparison); 5] = [
    ("at_least", Comparison::AtLeast),
    ("at_most", Comparison::AtMost),
    ("above", Comparison::Above),
    ("below", Comparison::Below),
    ("equals", Comparison::Equals),
];
const COMPARISON_KEYS: [&str; 5] = ["at_least", "at_most", "above", "below", "equals"];

/// What a profile field holds, and so how it can be asked.
#[derive(Clone, Copy)]
enum ProfileField {
    Text(ProfileText),
    Number(ProfileNumber),
    Status,
    RecoveryPath,
    Tags,
    /// An instant, and the measure to use instead.
    Instant(&'static str),
}

const PROFILE_FIELDS: [(&str, ProfileField); 17] = [
    ("name", ProfileField::Text(ProfileText::Name)),
    ("segment", ProfileField::Text(ProfileText::Segment)),
    ("tier", ProfileField::Text(ProfileText::Tier)),
    ("industry", ProfileField::Text(ProfileText::Industry)),
    ("size", ProfileField::Text(ProfileText::Size)),
    ("lifecycle_stage", ProfileField::Text(ProfileText::LifecycleStage)),
    ("seats", ProfileField::Number(ProfileNumber::Seats)),
    ("arr_minor", ProfileField::Number(ProfileNumber::ArrMinor)),
    ("currency", ProfileField::Text(ProfileText::Currency)),
    ("owner", ProfileField::Text(ProfileText::Owner)),
    ("owner_email", ProfileField::Text(ProfileText::OwnerEmail)),
    ("started_at", ProfileField::Instant("account.age_days")),
    ("renewal_at", ProfileField::Instant("account.days_to_renewal")),
    ("status", ProfileField::Status),
    ("parent_account_id", ProfileField::Text(ProfileText::ParentAccountId)),
    ("recovery_path", ProfileField::RecoveryPath),
    ("tags", ProfileField::Tags),
];

/// Reads a condition on profile fields only, as the selection of scorecards uses it.
pub fn profile_condition(field: &Field<'_>) -> Option<Condition> {
    read_condition(field, None)
}

/// Reads a condition. `measures` are the ids of the card's measures in their numbering; `None`
/// where there is no card and only the profile can be asked.
pub(super) fn read_condition(field: &Field<'_>, measures: Option<&[&str]>) -> Option<Condition> {
    field.mapping(|fields| {
        let kinds = ["measure", "profile", "all", "any", "not"];
        let (kind, body) = fields.exactly_one(&kinds)?;
        let parts = |body: &Field<'_>| body.each(|part| read_condition(part, measures));
        match kind {
            "measure" => read_on_measure(fields, &body, measures),
            "profile" => read_on_profile(fields, &body),
            "all" => parts(&body).map(Condition::All),
            "any" => parts(&body).map(Condition::Any),
            _ => read_condition(&body, measures).map(|part| Condition::Not(Box::new(part))),
        }
    })
}

fn read_on_measure(
    fields: &Fields<'_>,
    id: &Field<'_>,
    measures: Option<&[&str]>,
) -> Option<Condition> {
    let comparison = read_comparison(fields);
    let Some(measures) = measures else {
        return id.error("cannot be asked here, only profile fields can");
    };
    let measure = read_measure_id(id, measures)?;
    let (comparison, value) = comparison?;
    Some(Condition::Measure { measure, comparison, value })
}

/// The position of the measure that is named here among the card's `measures`.
pub(super) fn read_measure_id(id: &Field<'_>, measures: &[&str]) -> Option<usize> {
    let name = id.text()?;
    let measure = measures.iter().position(|id| *id == name);
    if measure.is_some() {
        return measure;
    }
    let known = measures.iter().copied().filter(|id| !id.is_empty());
    match nearest(name, known.clone()) {
        Some(near) => id.error(format!("names no measure: `{name}`; did you mean `{near}`?")),
        None => id.error(format!(
            "names no measure: `{name}`; this card has {}",
            known.collect::<Vec<_>>().join(", ")
        )),
    }
}

/// One comparison with a number.
pub(super) fn read_comparison(fields: &Fields<'_>) -> Option<(Comparison, f64)> {
    let (key, value) = fields.exactly_one(&COMPARISON_KEYS)?;
    let (_, comparison) = COMPARISONS.iter().find(|(name, _)| *name == key)?;
    Some((*comparison, value.number()?))
}

fn read_on_profile(fields: &Fields<'_>, name: &Field<'_>) -> Option<Condition> {
    let field = name.choice(&PROFILE_FIELDS);
    // An unknown field still makes its comparison a known key.
    let Some(field) = field else {
        note_comparisons(fields);
        return None;
    };
    match field {
        ProfileField::Text(text) => {
            let one_of = read_is_or_in(fields, |value| value.text().map(str::to_string))?;
            Some(Condition::Profile(ProfileCondition::Text { field: text, one_of }))
        }
        ProfileField::Status => {
            let statuses = read_is_or_in(fields, |value| value.choice(&ProfileStatus::NAMES))?;
            Some(Condition::Profile(ProfileCondition::Status(statuses)))
        }
        ProfileField::Tags => {
            let tags = read_is_or_in(fields, |value| value.text().map(str::to_string))?;
            let tag = |tag| Condition::Profile(ProfileCondition::Tag(tag));
            let mut conditions: Vec<_> = tags.into_iter().map(tag).collect();
            if conditions.len() == 1 { conditions.pop() } else { Some(Condition::Any(conditions)) }
        }
        ProfileField::RecoveryPath => {
            let value = fields.require("is")?.boolean()?;
            Some(Condition::Profile(ProfileCondition::RecoveryPath(value)))
        }
        ProfileField::Number(number) => {
            let (comparison, value) = match fields.optional("is") {
                Some(value) => (Comparison::Equals, value.number()?),
                None => read_comparison(fields)?,
            };
            Some(Condition::Profile(ProfileCondition::Number { field: number, comparison, value }))
        }
        ProfileField::Instant(instead) => {
            note_comparisons(fields);
            name.error(format!("is an instant, expected a condition on `measure: {instead}`"))
        }
    }
}

/// Marks every way to ask as known, where what is asked about is the mistake.
fn note_comparisons(fields: &Fields<'_>) {
    for key in ["is", "in"].iter().chain(&COMPARISON_KEYS) {
        fields.optional(key);
    }
}

/// `is: one` or `in: [several]`.
fn read_is_or_in<T>(
    fields: &Fields<'_>,
    mut read: impl FnMut(&Field<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    let (key, value) = fields.exactly_one(&["is", "in"])?;
    match key {
        "is" => Some(vec![read(&value)?]),
        _ => value.each(read),
    }
}
