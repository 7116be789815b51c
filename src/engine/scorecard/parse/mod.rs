//! From a scorecard's YAML to a [`Scorecard`] that holds, or to everything that is wrong with it.
//!
//! One file a noun: `dimension`, `measure`, `filter`, `curve`, `condition`, `gate`, `band`, `alert`;
//! here is the card itself and what only the whole of it can show. `tests` is a known key whose
//! content is read by `card_test`.

mod alert;
mod band;
mod condition;
mod curve;
mod dimension;
mod doubt;
#[cfg(test)]
mod doubts;
mod filter;
mod gate;
mod measure;
#[cfg(test)]
pub(crate) mod mistakes;
#[cfg(test)]
mod tests;

use super::{AntiFlap, Combine, Redistribute, Scorecard};
use crate::engine::time::Span;
use crate::engine::yaml::{Field, Fields, Log, Node, Problem};

pub use condition::profile_condition;

/// How long settled items are kept where the card does not say.
const ITEM_HORIZON: Span = Span::days(90);

/// A scorecard that can be used, and what its author may want to look at.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The card.
    pub scorecard: Scorecard,
    /// Warnings only, by line.
    pub warnings: Vec<Problem>,
}

impl Scorecard {
    /// Reads a scorecard. `file_name` is only for messages.
    ///
    /// # Errors
    /// All problems of the file at once, by line; at least one of them is an error.
    pub fn parse(file_name: &str, text: &str) -> Result<Parsed, Vec<Problem>> {
        let log = Log::new(file_name);
        let card = Node::parse(&log, 0, text)
            .and_then(|root| Field::root(&root, &log).mapping(|fields| read_card(fields, text)));
        match card {
            Some(scorecard) if !log.has_errors() => {
                Ok(Parsed { scorecard, warnings: log.into_problems() })
            }
            _ => Err(log.into_problems()),
        }
    }
}

/// Every key the reader asks for in a card, as paths.
#[cfg(test)]
pub(crate) fn known_keys(text: &str) -> Vec<String> {
    let log = Log::new("card.yaml");
    if let Some(root) = Node::parse(&log, 0, text) {
        Field::root(&root, &log).mapping(|fields| read_card(fields, text));
    }
    log.known_keys()
}

fn read_card(fields: &Fields<'_>, text: &str) -> Option<Scorecard> {
    let id = fields.require("scorecard").and_then(|field| field.name());
    let description = fields.or("description", "", Field::text);
    let combine = fields.or("combine", Combine::Weighted, read_combine);
    let redistribute = fields.or("redistribute", Redistribute::Dimension, |field| {
        field.choice(&[("dimension", Redistribute::Dimension), ("card", Redistribute::Card)])
    });
    let item_horizon = fields.or("item_horizon", ITEM_HORIZON, Field::positive_span);
    let dimensions_field = fields.require("dimensions");
    // A card whose way of combining is in doubt is read as weighted; the doubt itself is noted.
    let frame = dimension::Frame {
        combine: combine.unwrap_or(Combine::Weighted),
        item_horizon: item_horizon.unwrap_or(ITEM_HORIZON),
    };
    let dimensions =
        dimensions_field.as_ref().and_then(|field| dimension::read_dimensions(field, &frame));
    let ids = dimensions_field.as_ref().map(dimension::measure_ids).unwrap_or_default();
    let gates = fields.or("gates", Vec::new(), |field| gate::read_gates(field, &ids));
    let bands_field = fields.require("bands");
    let bands = bands_field.as_ref().and_then(band::read_bands);
    let anti_flap = fields.or("anti_flap", AntiFlap::default(), band::read_anti_flap);
    if let (Some(field), Some(bands), Some(anti_flap)) = (&bands_field, &bands, &anti_flap) {
        band::warn_of_bands_the_margin_spoils(field, bands, anti_flap);
    }
    let min_coverage = fields.or("min_coverage", 0.5, |field| field.number_in(0.0..=1.0));
    let grace = fields.or("grace", Span::ZERO, Field::span);
    let names = alert::Names { measures: &ids, bands: bands.as_deref() };
    let alerts = fields.or("alerts", Vec::new(), |field| alert::read_alerts(field, &names));
    let owner = fields.maybe("owner", |field| field.text().map(str::to_string));
    fields.or("tests", (), |field| field.list().map(drop))?;

    let card = Scorecard {
        id: id?.to_string(),
        description: description?.trim().to_string(),
        hash: format!("{:032x}", xxhash_rust::xxh3::xxh3_128(text.as_bytes())),
        text: text.into(),
        combine: combine?,
        redistribute: redistribute?,
        dimensions: dimensions?,
        gates: gates?,
        bands: bands?,
        anti_flap: anti_flap?,
        min_coverage: min_coverage?,
        grace: grace?,
        item_horizon: item_horizon?,
        alerts: alerts?,
        owner: owner?,
    };
    doubt::warn(fields, &card);
    Some(card)
}

/// `weighted`, `mean`, `points`, or `{ signed: { start: 50 } }`.
fn read_combine(field: &Field<'_>) -> Option<Combine> {
    if field.is_mapping() {
        return field.mapping(|fields| {
            let start = fields
                .require("signed")?
                .mapping(|signed| signed.require("start")?.number_in(0.0..=100.0))?;
            Some(Combine::Signed { start })
        });
    }
    if field.as_text() == Some("signed") {
        return field.expected("`{ signed: { start: 50 } }`, with the score before any action");
    }
    let choices =
        [("weighted", Combine::Weighted), ("mean", Combine::Mean), ("points", Combine::Points)];
    match choices.iter().find(|(name, _)| Some(*name) == field.as_text()) {
        Some((_, combine)) => Some(*combine),
        None => field.expected("`weighted`, `mean`, `points` or `{ signed: { start: 50 } }`"),
    }
}
