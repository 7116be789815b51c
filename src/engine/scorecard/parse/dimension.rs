//! Dimensions, and how the weights in them add up.

use std::collections::HashMap;

use super::super::{Combine, Dimension, Measure, TOLERANCE};
use super::measure::{Worth, read_measure};
use crate::engine::time::Span;
use crate::engine::yaml::{Field, Fields};

/// What of the card as a whole its dimensions and measures depend on.
pub(super) struct Frame {
    pub combine: Combine,
    pub item_horizon: Span,
}

/// The ids of all measures through all dimensions in order, the numbering that conditions use.
/// Notes nothing: what is wrong here is noted where the measures are read.
pub(super) fn measure_ids<'a>(dimensions: &Field<'a>) -> Vec<&'a str> {
    let value_of = |field: &Field<'a>, key: &str| {
        let entries = if field.is_mapping() { field.entries() } else { None };
        entries?.into_iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    };
    let items = |field: &Field<'a>| if field.is_list() { field.list() } else { None };
    let mut ids = Vec::new();
    for dimension in items(dimensions).unwrap_or_default() {
        let measures = value_of(&dimension, "measures").and_then(|field| items(&field));
        for measure in measures.unwrap_or_default() {
            let id = value_of(&measure, "id").and_then(|id| id.as_text());
            ids.push(id.unwrap_or_default());
        }
    }
    ids
}

/// Reads all dimensions and checks what they make together.
pub(super) fn read_dimensions(field: &Field<'_>, frame: &Frame) -> Option<Vec<Dimension>> {
    let mut first_uses = Ids::default();
    let dimensions =
        field.each(|item| item.mapping(|fields| read_dimension(fields, frame, &mut first_uses)))?;
    check_total(field, frame.combine, &dimensions)?;
    Some(dimensions)
}

/// Where each id was used first, to tell the second use of it.
#[derive(Default)]
struct Ids {
    dimensions: HashMap<String, String>,
    measures: HashMap<String, String>,
}

/// Notes `id` as used at `field`, or the error that it was used before.
fn claim(uses: &mut HashMap<String, String>, field: &Field<'_>) -> Option<String> {
    let id = field.name()?;
    if let Some(first) = uses.get(id) {
        return field.error(format!("is `{id}`, already used by {first}"));
    }
    uses.insert(id.to_string(), field.path().to_string());
    Some(id.to_string())
}

fn read_dimension(fields: &Fields<'_>, frame: &Frame, ids: &mut Ids) -> Option<Dimension> {
    let id = fields.require("id").and_then(|field| claim(&mut ids.dimensions, &field));
    let own_weight = read_weight(fields, frame.combine);
    let mean = match frame.combine {
        Combine::Weighted | Combine::Mean => fields
            .or("combine", false, |field| field.choice(&[("weighted", false), ("mean", true)])),
        Combine::Points | Combine::Signed { .. } => {
            let why = format!("under `combine: {}` measures add up", name_of(frame.combine));
            fields.refuse("combine", why);
            Some(false)
        }
    };
    let worth = match frame.combine {
        Combine::Weighted | Combine::Mean => Worth::Weight { mean: mean.unwrap_or(false) },
        Combine::Points => Worth::Points { negative: false },
        Combine::Signed { .. } => Worth::Points { negative: true },
    };
    let measures: Option<Vec<Measure>> = fields.require("measures").and_then(|list| {
        list.each(|item| {
            item.mapping(|fields| {
                let id = fields.require("id").and_then(|field| claim(&mut ids.measures, &field));
                read_measure(fields, id, worth, frame.item_horizon)
            })
        })
    });
    let (id, mean, measures) = (id?, mean?, measures?);
    let counts = measures.iter().any(|measure| measure.weight != 0.0);
    let weight = match own_weight? {
        // Weight that no measure can ever back is a mistake; a dimension that only watches is not.
        OwnWeight::Given(weight) if weight > 0.0 && !counts => {
            return fields.whole().error(format!(
                "has weight {weight}, but none of its measures counts: give one a weight, or the \
                 dimension weight 0"
            ));
        }
        OwnWeight::Given(weight) => weight,
        OwnWeight::Default if counts => 1.0,
        OwnWeight::Default => 0.0,
        OwnWeight::SumOfPoints => measures.iter().map(|measure| measure.weight.abs()).sum(),
    };
    Some(Dimension { id, weight, mean, measures })
}

/// What a dimension says of its own weight.
enum OwnWeight {
    Given(f64),
    /// 1 where any of its measures counts.
    Default,
    SumOfPoints,
}

fn read_weight(fields: &Fields<'_>, combine: Combine) -> Option<OwnWeight> {
    match combine {
        Combine::Weighted => fields.or("weight", OwnWeight::Default, |field| {
            field.number_in(0.0..=f64::INFINITY).map(OwnWeight::Given)
        }),
        Combine::Mean => fields.or("weight", OwnWeight::Default, |field| {
            if field.number_in(0.0..=f64::INFINITY)? == 0.0 {
                return field.error(
                    "is 0, but `combine: mean` counts all dimensions alike: to watch it only, give \
                     each of its measures weight 0",
                );
            }
            field.warning("has no effect under `combine: mean`");
            Some(OwnWeight::Default)
        }),
        Combine::Points | Combine::Signed { .. } => {
            let why = format!(
                "under `combine: {}` a dimension weighs what its measures are worth",
                name_of(combine)
            );
            fields.refuse("weight", why);
            Some(OwnWeight::SumOfPoints)
        }
    }
}

fn name_of(combine: Combine) -> &'static str {
    match combine {
        Combine::Weighted => "weighted",
        Combine::Mean => "mean",
        Combine::Points => "points",
        Combine::Signed { .. } => "signed",
    }
}

fn check_total(field: &Field<'_>, combine: Combine, dimensions: &[Dimension]) -> Option<()> {
    let total: f64 = dimensions.iter().map(|dimension| dimension.weight).sum();
    match combine {
        Combine::Points if (total - 100.0).abs() > TOLERANCE => {
            return field
                .error(format!("are worth {} points in all, expected 100", rounded(total)));
        }
        Combine::Weighted | Combine::Mean | Combine::Points | Combine::Signed { .. } => {}
    }
    if total <= 0.0 {
        let what = match combine {
            Combine::Weighted | Combine::Mean => "weight",
            Combine::Points | Combine::Signed { .. } => "points",
        };
        return field.error(format!("hold no measure that counts: every {what} is 0"));
    }
    if combine == Combine::Weighted && looks_like_percent(total) {
        field.warning(format!(
            "weigh {} in all, not 100; weights are normalised, so `{}` counts for {} %",
            rounded(total),
            dimensions[0].id,
            rounded(100.0 * dimensions[0].weight / total)
        ));
    }
    Some(())
}

/// Whether weights were meant to total 100 and miss it. Weights such as 1/1/2 or 11/2/4 are plain
/// proportions and need no warning.
fn looks_like_percent(total: f64) -> bool {
    (50.0..=150.0).contains(&total) && (total - 100.0).abs() > TOLERANCE
}

/// For people: at most four decimals.
fn rounded(number: f64) -> f64 {
    (number * 10_000.0).round() / 10_000.0
}
