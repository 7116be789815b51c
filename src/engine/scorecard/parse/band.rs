//! Bands, and what keeps an account from flapping between them.

use super::super::{AntiFlap, Band, SubBand, TOLERANCE, UNKNOWN_BAND, Urgency};
use super::condition::profile_condition;
use crate::engine::time::Span;
use crate::engine::yaml::{Field, Fields};

/// Reads the bands, worst first, and checks that they cover 0 to 100.
pub(super) fn read_bands(field: &Field<'_>) -> Option<Vec<Band>> {
    let mut edge_before: Option<(f64, String)> = None;
    let mut names: Vec<String> = Vec::new();
    let bands = field
        .each(|item| item.mapping(|fields| read_band(fields, &mut edge_before, &mut names)))?;
    let last = bands.last()?;
    if last.upper != 100.0 || !last.inclusive {
        let items = field.list()?;
        let key = if last.inclusive { "up_to" } else { "below" };
        return items.last()?.error(format!(
            "ends with `{key}: {}`, expected the last band to have `up_to: 100`",
            last.upper
        ));
    }
    Some(bands)
}

fn read_band(
    fields: &Fields<'_>,
    edge_before: &mut Option<(f64, String)>,
    names: &mut Vec<String>,
) -> Option<Band> {
    let name = fields.require("name").and_then(|field| read_name(&field, names));
    let edge_before_this = edge_before.clone();
    let edge = fields.exactly_one(&["up_to", "below"]).and_then(|(key, field)| {
        let upper = field.number_in(0.0..=100.0)?;
        let before = edge_before.replace((upper, field.path().to_string()));
        match before {
            Some((lower, path)) if upper <= lower + TOLERANCE => {
                field.expected(format!("more than {path} ({lower})"))
            }
            None if key == "below" && upper <= TOLERANCE => {
                field.expected("more than 0, below which there is no score")
            }
            _ => Some((upper, key == "up_to")),
        }
    });
    let color = fields.maybe("color", read_color);
    let action = fields.maybe("action", |field| field.text().map(str::to_string));
    let urgency = fields.maybe("urgency", |field| field.choice(&Urgency::NAMES));
    let lower = edge_before_this.map_or(0.0, |(lower, _)| lower);
    let (upper, inclusive) = edge?;
    let sub_bands = fields.or("sub_bands", Vec::new(), |field| {
        field.each(|item| item.mapping(|fields| read_sub_band(fields, lower, upper)))
    });
    Some(Band {
        name: name?,
        upper,
        inclusive,
        color: color?,
        action: action?,
        urgency: urgency?,
        sub_bands: sub_bands?,
    })
}

/// One part of a band with a recommendation of its own: by score, by profile, or by both.
fn read_sub_band(fields: &Fields<'_>, lower: f64, upper: f64) -> Option<SubBand> {
    let name = fields.require("name").and_then(|field| field.name().map(str::to_string));
    let edge = if fields.optional("up_to").is_some() || fields.optional("below").is_some() {
        let edge = fields.exactly_one(&["up_to", "below"]);
        edge.and_then(|(key, field)| {
            let edge = field.number_in(0.0..=100.0)?;
            if edge <= lower || edge > upper {
                return field.expected(format!(
                    "a score within its band, more than {lower} and at most {upper}"
                ));
            }
            Some(Some((edge, key == "up_to")))
        })
    } else {
        Some(None)
    };
    let when = fields.maybe("when", profile_condition);
    let action = fields.maybe("action", |field| field.text().map(str::to_string));
    let urgency = fields.maybe("urgency", |field| field.choice(&Urgency::NAMES));
    let (edge, when) = (edge?, when?);
    if edge.is_none() && when.is_none() {
        return fields
            .whole()
            .error("needs `up_to`, `below` or `when`: it would be the whole of its band");
    }
    Some(SubBand { name: name?, edge, when, action: action?, urgency: urgency? })
}

fn read_name(field: &Field<'_>, names: &mut Vec<String>) -> Option<String> {
    let name = field.text()?;
    if name.len() > 64 || name.trim() != name || name.contains(char::is_control) {
        return field.expected("a name of at most 64 bytes on one line");
    }
    if name == UNKNOWN_BAND {
        return field.error(
            "is `unknown`, which is the band of accounts without a score: choose another name",
        );
    }
    if names.iter().any(|other| other == name) {
        return field.error(format!("is `{name}`, the name of a band before"));
    }
    names.push(name.to_string());
    Some(name.to_string())
}

fn read_color(field: &Field<'_>) -> Option<String> {
    if field.is_null() {
        return field
            .error("is empty, expected a colour in quotes: outside of them `#` begins a comment");
    }
    let hex = field.as_text().and_then(|text| text.strip_prefix('#'));
    match hex {
        Some(digits)
            if matches!(digits.len(), 3 | 4 | 6 | 8)
                && digits.chars().all(|c| c.is_ascii_hexdigit()) =>
        {
            Some(format!("#{digits}"))
        }
        _ => field.expected("a CSS hex colour such as \"#c0392b\""),
    }
}

/// Reads `anti_flap`; what it does not give stays as by default.
pub(super) fn read_anti_flap(field: &Field<'_>) -> Option<AntiFlap> {
    let default = AntiFlap::default();
    field.section(|fields| {
        let margin = fields.or("margin", default.margin, |field| field.number_in(0.0..=100.0));
        let dwells = (default.dwell_worse, default.dwell_better);
        let dwells = fields.or("dwell", dwells, |field| read_dwells(field, &default));
        let bypass_drop = fields.or("bypass_drop", default.bypass_drop, |field| {
            let drop = field.number_in(0.0..=100.0)?;
            if drop > 0.0 {
                Some(drop)
            } else {
                field.expected("more than 0: any fall would skip the dwell")
            }
        });
        let (dwell_worse, dwell_better) = dwells?;
        Some(AntiFlap { margin: margin?, dwell_worse, dwell_better, bypass_drop: bypass_drop? })
    })
}

fn read_dwells(field: &Field<'_>, default: &AntiFlap) -> Option<(Span, Span)> {
    field.section(|fields| {
        let worse = fields.or("worse", default.dwell_worse, Field::span);
        let better = fields.or("better", default.dwell_better, Field::span);
        Some((worse?, better?))
    })
}

/// Warns of bands that the margin makes hard to enter or impossible to leave.
pub(super) fn warn_of_bands_the_margin_spoils(
    field: &Field<'_>,
    bands: &[Band],
    anti_flap: &AntiFlap,
) {
    let margin = anti_flap.margin;
    let items = field.list().unwrap_or_default();
    for (index, (band, item)) in bands.iter().zip(&items).enumerate() {
        let name = &band.name;
        let lower = index.checked_sub(1).map(|before| bands[before].upper);
        let last = index + 1 == bands.len();
        if !last && band.upper + margin > 100.0 + TOLERANCE {
            item.warning(format!(
                "can never be left for a better band: its edge {} plus anti_flap.margin {margin} \
                 is over 100 (`{name}`)",
                band.upper
            ));
        }
        let Some(lower) = lower else { continue };
        if lower - margin < -TOLERANCE {
            item.warning(format!(
                "can never be left for a worse band: its edge {lower} less anti_flap.margin \
                 {margin} is under 0 (`{name}`)"
            ));
        }
        if !last && band.upper - lower < margin {
            item.warning(format!(
                "is {} points wide, narrower than anti_flap.margin ({margin}): accounts will \
                 mostly skip `{name}`",
                band.upper - lower
            ));
        }
    }
}
