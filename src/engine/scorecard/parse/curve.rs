//! Curves as scorecards write them.

use super::super::{Curve, MeasureKind, TOLERANCE};
use crate::engine::yaml::Field;

/// Reads `{ linear: .. }`, `{ piecewise: .. }`, `{ steps: .. }` or `{ map: .. }`.
pub(super) fn read_curve(field: &Field<'_>, kind: Option<MeasureKind>) -> Option<Curve> {
    if !field.is_mapping() {
        return field
            .expected("`{ linear: .. }`, `{ piecewise: .. }`, `{ steps: .. }` or `{ map: .. }`");
    }
    let curve = field.mapping(|fields| {
        let (shape, body) = fields.exactly_one(&["linear", "piecewise", "steps", "map"])?;
        match shape {
            "linear" => read_linear(&body),
            "piecewise" => read_points(&body).map(Curve::Piecewise),
            "steps" => read_points(&body).map(Curve::Steps),
            _ => read_map(&body).map(Curve::Map),
        }
    })?;
    warn_of_curve(field, &curve, kind);
    Some(curve)
}

fn read_linear(field: &Field<'_>) -> Option<Curve> {
    if !field.is_mapping() {
        return field.expected("`{ from: 0, to: 10 }`: the value that scores 0, and that of 100");
    }
    field.mapping(|fields| {
        let from = fields.require("from").and_then(|field| field.number());
        let to = fields.require("to").and_then(|field| field.number());
        let (from, to) = (from?, to?);
        if (from - to).abs() <= TOLERANCE {
            return field.error(format!(
                "runs from {from} to {to}, expected two different values: the first scores 0, the \
                 second 100"
            ));
        }
        Some(Curve::linear(from, to))
    })
}

fn read_points(field: &Field<'_>) -> Option<Vec<(f64, f64)>> {
    if !field.is_list() {
        return field
            .expected("a list of `[value, sub-score]` such as `[[0, 100], [7, 50], [30, 0]]`");
    }
    let mut last: Option<(f64, String)> = None;
    field.each(|point| {
        let coordinates = point.list()?;
        let [value, sub_score] = &coordinates[..] else {
            return point.error(format!(
                "is a list of {}, expected two numbers: [value, sub-score]",
                coordinates.len()
            ));
        };
        let (at, sub_score) = (value.number(), read_sub_score(sub_score));
        let at = at?;
        if let Some((before, path)) = last.replace((at, value.path().to_string()))
            && at <= before + TOLERANCE
        {
            return value.error(format!("is {at}, expected more than {path} ({before})"));
        }
        Some((at, sub_score?))
    })
}

fn read_map(field: &Field<'_>) -> Option<Vec<(f64, f64)>> {
    if !field.is_mapping() {
        return field.expected("sub-scores by value such as `{ 0: 0, 50: 50, 100: 100 }`");
    }
    let entries = field.entries()?;
    if entries.is_empty() {
        return field.error("is an empty mapping, expected at least one value");
    }
    let mut points: Vec<(f64, f64)> = Vec::new();
    let mut complete = true;
    for (key, sub_score) in entries {
        let at = match key.parse::<f64>() {
            Ok(at) if at.is_finite() => at,
            _ => {
                complete = false;
                field.error::<()>(format!("lists `{key}`, expected a number"));
                continue;
            }
        };
        if points.iter().any(|(other, _)| (other - at).abs() <= TOLERANCE) {
            complete = false;
            sub_score.error::<()>(format!("is for {at}, which is listed before"));
        }
        match read_sub_score(&sub_score) {
            Some(sub_score) => points.push((at, sub_score)),
            None => complete = false,
        }
    }
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    complete.then_some(points)
}

fn read_sub_score(field: &Field<'_>) -> Option<f64> {
    let sub_score = field.number()?;
    if (0.0..=100.0).contains(&sub_score) {
        return Some(sub_score);
    }
    field.expected("a sub-score from 0 to 100")
}

fn warn_of_curve(field: &Field<'_>, curve: &Curve, kind: Option<MeasureKind>) {
    let points = match curve {
        Curve::Piecewise(points) | Curve::Steps(points) | Curve::Map(points) => points,
    };
    if points.iter().all(|(_, sub_score)| *sub_score == points[0].1) {
        field.warning(format!("is flat: every value scores {}", points[0].1));
    }
    // An assessment may well have a handful of answers; everything else counts or measures, and
    // takes values nobody can list.
    if let (Curve::Map(_), Some(kind)) = (curve, kind)
        && kind != MeasureKind::SurveyAssessment
    {
        field.warning(format!(
            "lists {} values; any other value of `{}` is missing",
            points.len(),
            kind.name()
        ));
    }
}
