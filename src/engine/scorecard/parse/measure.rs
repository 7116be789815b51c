//! One measure: what it reads, over which windows, and what it is worth.

use super::super::{Measure, MeasureKind, Missing, PANE_MIN, PANES_MAX, WindowUse, default_pane};
use super::{curve, filter};
use crate::engine::time::Span;
use crate::engine::yaml::{Field, Fields};

/// Window and baseline of `payment.growth` where neither is given: a year in whole weeks.
const GROWTH_WINDOW: Span = Span::days(364);

/// How a measure says what it is worth; the card's `combine` decides.
#[derive(Clone, Copy)]
pub(super) enum Worth {
    /// `weight`, 1 where it is absent.
    Weight {
        /// The dimension counts its measures alike.
        mean: bool,
    },
    /// `points`, always given.
    Points {
        /// Whether an action may cost points.
        negative: bool,
    },
}

/// Reads a measure whose `id` was read already.
pub(super) fn read_measure(
    fields: &Fields<'_>,
    id: Option<String>,
    worth: Worth,
    item_horizon: Span,
) -> Option<Measure> {
    let kind = fields.require("measure").and_then(|field| field.choice(&MeasureKind::NAMES));
    let weight = read_worth(fields, worth);
    let curve = fields.require("curve").and_then(|field| curve::read_curve(&field, kind));
    let missing = fields.or("missing", Missing::Redistribute, read_missing);
    let stale_after = fields.maybe("stale_after", Field::positive_span);
    // Without its kind nothing can be said of these, but they are known keys all the same.
    let Some(kind) = kind else {
        for key in ["window", "baseline", "pane", "prior"] {
            fields.optional(key);
        }
        filter::note_keys(fields);
        return None;
    };
    let windows = read_windows(fields, kind, item_horizon);
    let prior = if kind == MeasureKind::UsageTrend {
        fields.or("prior", 0.0, |field| field.number_in(0.0..=f64::INFINITY))
    } else {
        fields.refuse("prior", format!("only `usage.trend` has one, not `{}`", kind.name()));
        Some(0.0)
    };
    let filter = filter::read_filter(fields, kind);
    let (window, baseline, pane) = windows?;
    Some(Measure {
        id: id?,
        kind,
        filter: filter?,
        window,
        baseline,
        pane,
        prior: prior?,
        weight: weight?,
        curve: curve?,
        missing: missing?,
        stale_after: stale_after?,
    })
}

fn read_worth(fields: &Fields<'_>, worth: Worth) -> Option<f64> {
    match worth {
        Worth::Weight { mean } => {
            fields.refuse("points", "only `combine: points` and `signed` use them, use `weight`");
            let field = fields.optional("weight");
            let weight =
                field.as_ref().map_or(Some(1.0), |field| field.number_in(0.0..=f64::INFINITY))?;
            if let Some(field) = field
                && mean
                && weight != 0.0
                && weight != 1.0
            {
                field.warning(
                    "has no effect under `combine: mean`, which only asks whether it is 0",
                );
            }
            Some(weight)
        }
        Worth::Points { negative } => {
            fields.refuse("weight", "this card's `combine` uses `points`");
            let field = fields.require("points")?;
            if negative { field.number() } else { field.number_in(0.0..=f64::INFINITY) }
        }
    }
}

/// `redistribute`, `zero`, `neutral`, or a sub-score.
fn read_missing(field: &Field<'_>) -> Option<Missing> {
    match field.as_text() {
        Some("redistribute") => Some(Missing::Redistribute),
        Some("zero") => Some(Missing::CountAs(0.0)),
        Some("neutral") => Some(Missing::CountAs(50.0)),
        Some(text) if text.parse::<f64>().is_ok_and(|number| (0.0..=100.0).contains(&number)) => {
            field.number().map(Missing::CountAs)
        }
        _ => field.expected("`redistribute`, `zero`, `neutral` or a sub-score from 0 to 100"),
    }
}

type Windows = (Option<Span>, Option<Span>, Span);

fn read_windows(fields: &Fields<'_>, kind: MeasureKind, item_horizon: Span) -> Option<Windows> {
    let name = kind.name();
    let (window, baseline) = match kind.window_use() {
        WindowUse::None => {
            for key in ["window", "baseline", "pane"] {
                fields.refuse(key, format!("`{name}` is about now and has none"));
            }
            return Some((None, None, default_pane(kind, Span::ZERO)));
        }
        WindowUse::Window => {
            fields.refuse(
                "baseline",
                format!("`{name}` compares with none, only `usage.trend` and `payment.growth` do"),
            );
            (fields.require("window"), None)
        }
        WindowUse::WindowAndBaseline if kind == MeasureKind::PaymentGrowth => {
            match (fields.optional("window"), fields.optional("baseline")) {
                (None, None) => return read_growth_default(fields),
                // One alone would be compared with the other's year.
                (None, Some(_)) => (fields.require("window"), None),
                (Some(_), None) => (None, fields.require("baseline")),
                (window, baseline) => (window, baseline),
            }
        }
        WindowUse::WindowAndBaseline => (fields.require("window"), fields.require("baseline")),
    };
    let needs_baseline = kind.window_use() == WindowUse::WindowAndBaseline;
    let window_span = window.as_ref().and_then(Field::positive_span);
    let baseline_span = baseline.as_ref().and_then(Field::positive_span);
    let given_pane = fields.maybe("pane", read_pane);
    let (window, window_span) = (window?, window_span?);
    if needs_baseline && baseline_span.is_none() {
        return None;
    }
    let longest = window_span.max(baseline_span.unwrap_or_default());
    let default = default_pane(kind, longest);
    let pane = match (kind, given_pane?) {
        (MeasureKind::UsageActiveDays | MeasureKind::UsageActiveWeeks, Some(pane))
            if pane != default =>
        {
            return fields
                .optional("pane")?
                .expected(format!("{default}, which is what `{name}` counts"));
        }
        (_, given) => given.unwrap_or(default),
    };
    let whole = check_panes(&window, window_span, pane, given_pane? == Some(pane));
    let baseline_whole = match (&baseline, baseline_span) {
        (Some(field), Some(span)) => check_panes(field, span, pane, given_pane? == Some(pane)),
        _ => Some(()),
    };
    whole.and(baseline_whole)?;
    warn_of_window(&window, kind, window_span, baseline_span, item_horizon);
    Some((Some(window_span), baseline_span, pane))
}

fn read_pane(field: &Field<'_>) -> Option<Span> {
    let pane = field.positive_span()?;
    if pane < PANE_MIN { field.expected(format!("at least {PANE_MIN}")) } else { Some(pane) }
}

fn read_growth_default(fields: &Fields<'_>) -> Option<Windows> {
    let default = default_pane(MeasureKind::PaymentGrowth, GROWTH_WINDOW);
    let Some(field) = fields.optional("pane") else {
        return Some((Some(GROWTH_WINDOW), Some(GROWTH_WINDOW), default));
    };
    let pane = field.positive_span()?;
    match GROWTH_WINDOW.divide_evenly(pane) {
        Some(1..=PANES_MAX) => Some((Some(GROWTH_WINDOW), Some(GROWTH_WINDOW), pane)),
        _ => field.expected(format!(
            "a whole part of {GROWTH_WINDOW} (the default window), at most {PANES_MAX} of them"
        )),
    }
}

/// A window must be a whole number of panes, and not too many of them.
fn check_panes(field: &Field<'_>, window: Span, pane: Span, pane_given: bool) -> Option<()> {
    let panes = window.as_millis() / pane.as_millis();
    let origin = if pane_given { "" } else { ", the default for this length" };
    let divides = window.divide_evenly(pane).is_some();
    // First: what is near to it would be refused as well.
    if panes > PANES_MAX && !divides {
        return field.error(format!(
            "is {window}, expected at most {} ({PANES_MAX} panes of {pane}{origin})",
            pane * PANES_MAX
        ));
    }
    if !divides {
        let near = match panes {
            0 => format!("{pane}"),
            PANES_MAX => format!("{}", pane * panes),
            _ => format!("{} or {}", pane * panes, pane * (panes + 1)),
        };
        return field.error(format!(
            "is {window}, expected a whole number of panes of {pane}{origin}: {near}"
        ));
    }
    if panes > PANES_MAX {
        return field.error(format!(
            "is {window}, which makes {panes} panes of {pane}{origin}, expected at most {PANES_MAX}"
        ));
    }
    Some(())
}

fn warn_of_window(
    field: &Field<'_>,
    kind: MeasureKind,
    window: Span,
    baseline: Option<Span>,
    item_horizon: Span,
) {
    // Growth is about years and knows it: money that came is counted, whatever comes late.
    let of_items = kind.name().starts_with("support.")
        || (kind.name().starts_with("payment.") && kind != MeasureKind::PaymentGrowth);
    if of_items && window > item_horizon {
        field.warning(format!(
            "is {window}, longer than item_horizon ({item_horizon}): a ticket or invoice settled \
             before that takes no late status any more"
        ));
    }
    match (kind, baseline) {
        (MeasureKind::PaymentGrowth, Some(baseline)) if baseline != window => {
            field.warning(format!(
                "is {window}, but baseline is {baseline}: amounts are compared as they are, not \
                 as rates"
            ));
        }
        (MeasureKind::UsageTrend, Some(baseline)) if baseline < window => {
            field.warning(format!(
                "is {window}, longer than baseline ({baseline}): the past is the steadier of the \
                 two only when it is longer"
            ));
        }
        _ => {}
    }
}
