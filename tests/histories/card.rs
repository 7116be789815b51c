//! Random scorecards: every measure, filter, window, curve, way to combine, gate and band. Alert rules
//! are `alert`'s part.

use std::fmt::Write;

use super::alert;
use super::genes::Genes;

/// How many bytes one measure is made of.
pub const MEASURE_GENES: usize = 28;
/// How many bytes one alert rule is made of.
pub const ALERT_GENES: usize = 24;

/// What a measure takes, and a value that is large for it (curves spread around it).
struct Kind {
    name: &'static str,
    window: WindowUse,
    large: f64,
}

#[derive(Clone, Copy, PartialEq)]
enum WindowUse {
    None,
    Window,
    /// Whole panes of this many days, which the kind itself sets.
    Days(i64),
    WithBaseline,
}

const fn kind(name: &'static str, window: WindowUse, large: f64) -> Kind {
    Kind { name, window, large }
}

const KINDS: [Kind; 29] = [
    kind("usage.events", WindowUse::Window, 8.0),
    kind("usage.quantity", WindowUse::Window, 12.0),
    kind("usage.active_users", WindowUse::Window, 4.0),
    kind("usage.seat_utilisation", WindowUse::Window, 1.5),
    kind("usage.features_used", WindowUse::Window, 3.0),
    kind("usage.active_days", WindowUse::Days(1), 6.0),
    kind("usage.active_weeks", WindowUse::Days(7), 4.0),
    kind("usage.days_since_last", WindowUse::None, 20.0),
    kind("usage.trend", WindowUse::WithBaseline, 2.0),
    kind("support.opened", WindowUse::Window, 4.0),
    kind("support.open", WindowUse::None, 3.0),
    kind("support.oldest_open_hours", WindowUse::None, 200.0),
    kind("support.reopened", WindowUse::Window, 3.0),
    kind("support.escalated", WindowUse::Window, 3.0),
    kind("support.resolution_hours", WindowUse::Window, 100.0),
    kind("payment.overdue_days", WindowUse::None, 40.0),
    kind("payment.overdue_minor", WindowUse::None, 9_000.0),
    kind("payment.late_share", WindowUse::Window, 1.0),
    kind("payment.days_to_pay", WindowUse::Window, 20.0),
    kind("payment.failed", WindowUse::Window, 3.0),
    kind("payment.reminders", WindowUse::Window, 3.0),
    kind("payment.disputes", WindowUse::Window, 3.0),
    kind("payment.growth", WindowUse::WithBaseline, 2.0),
    kind("survey.nps", WindowUse::Window, 100.0),
    kind("survey.csat", WindowUse::Window, 100.0),
    kind("survey.ces", WindowUse::Window, 100.0),
    kind("survey.assessment", WindowUse::Window, 100.0),
    kind("account.days_to_renewal", WindowUse::None, 100.0),
    kind("account.age_days", WindowUse::None, 100.0),
];

pub const FEATURES: [&str; 4] = ["reports", "export", "api", "admin"];
pub const CATEGORIES: [&str; 3] = ["billing", "bug", "how-to"];
pub const PRIORITIES: [&str; 4] = ["low", "normal", "high", "urgent"];
pub const ASSESSMENTS: [&str; 3] = ["feeling", "renewal_intent", "goals_met"];
pub const ROLES: [&str; 3] = ["admin", "buyer", "user"];
pub const TIERS: [&str; 3] = ["gold", "silver", "bronze"];

#[derive(Clone, Copy, PartialEq)]
enum Combine {
    Weighted,
    Mean,
    Points,
    Signed,
}

/// One measure, with its weight apart: what a weight may be depends on the whole card.
struct Measure {
    dimension: usize,
    weight: i64,
    text: String,
    /// A value that is large for it.
    large: f64,
}

/// A scorecard that `Scorecard::parse` takes, with one alert rule for each of `alert_genes`.
pub fn yaml(
    head: &[u8],
    measure_genes: &[[u8; MEASURE_GENES]],
    alert_genes: &[[u8; ALERT_GENES]],
) -> String {
    let mut genes = Genes::new(head);
    let combine = genes.of(&[
        Combine::Weighted,
        Combine::Weighted,
        Combine::Mean,
        Combine::Points,
        Combine::Signed,
    ]);
    let mut card = String::from("scorecard: random\n");
    match combine {
        Combine::Weighted => {}
        Combine::Mean => card.push_str("combine: mean\n"),
        Combine::Points => card.push_str("combine: points\n"),
        Combine::Signed => {
            writeln!(card, "combine: {{ signed: {{ start: {} }} }}", genes.of(&[50, 0, 80, 100]))
                .unwrap();
        }
    }
    if genes.chance(40) {
        card.push_str("redistribute: card\n");
    }
    let mut measures: Vec<Measure> = measure_genes
        .iter()
        .enumerate()
        .map(|(index, genes)| measure(index, &mut Genes::new(genes)))
        .collect();
    measures[0].dimension = 0;
    settle_weights(combine, &mut measures);
    write_dimensions(&mut card, combine, &measures, &mut genes);
    write_gates(&mut card, measures.len(), &mut genes);
    let bands = write_bands(&mut card, &mut genes);
    let min_coverage = genes.of(&["0", "0.5", "0.25", "0", "0.75", "1"]);
    writeln!(card, "min_coverage: {min_coverage}").unwrap();
    writeln!(card, "grace: {}", genes.of(&["0d", "0d", "1d", "14d", "90m", "40d"])).unwrap();
    writeln!(card, "item_horizon: {}", genes.of(&["90d", "30d", "5d", "1d", "36h"])).unwrap();
    let large: Vec<f64> = measures.iter().map(|measure| measure.large).collect();
    alert::write_rules(&mut card, &large, &bands, alert_genes);
    card
}

/// Makes the weights add up to what the way of combining asks for.
fn settle_weights(combine: Combine, measures: &mut [Measure]) {
    if measures.iter().all(|measure| measure.dimension != 0 || measure.weight == 0) {
        measures[0].weight = 1;
    }
    match combine {
        Combine::Weighted | Combine::Mean => {
            // A dimension that counts needs a measure that counts; where all count alike, all do.
            for dimension in 0..DIMENSIONS {
                let own = || measures.iter().filter(move |m| m.dimension == dimension);
                if combine == Combine::Mean && own().all(|m| m.weight == 0) {
                    for m in measures.iter_mut().filter(|m| m.dimension == dimension).take(1) {
                        m.weight = 1;
                    }
                }
            }
        }
        Combine::Points => {
            let total: i64 = measures.iter().map(|measure| measure.weight).sum();
            let mut left = 100;
            for measure in measures.iter_mut() {
                measure.weight = measure.weight * 100 / total;
                left -= measure.weight;
            }
            let counted = measures.iter_mut().find(|measure| measure.weight > 0);
            counted.expect("one has a weight").weight += left;
        }
        Combine::Signed => {
            for (index, measure) in measures.iter_mut().enumerate() {
                measure.weight *= if index % 3 == 1 { -7 } else { 9 };
            }
        }
    }
}

const DIMENSIONS: usize = 3;

fn write_dimensions(card: &mut String, combine: Combine, measures: &[Measure], genes: &mut Genes) {
    card.push_str("dimensions:\n");
    for dimension in 0..DIMENSIONS {
        let own: Vec<&Measure> = measures.iter().filter(|m| m.dimension == dimension).collect();
        let (weight, mean) = (genes.of(&["1", "2", "0", "0.5", "40"]), genes.chance(25));
        if own.is_empty() {
            continue;
        }
        writeln!(card, "  - id: dimension_{dimension}").unwrap();
        if combine == Combine::Weighted {
            let counts = own.iter().any(|measure| measure.weight != 0);
            let weight = match (counts, dimension) {
                (false, _) => "0",
                (true, 0) if weight == "0" => "3",
                (true, _) => weight,
            };
            writeln!(card, "    weight: {weight}").unwrap();
        }
        if mean && matches!(combine, Combine::Weighted | Combine::Mean) {
            card.push_str("    combine: mean\n");
        }
        card.push_str("    measures:\n");
        for measure in own {
            let worth = match combine {
                Combine::Weighted | Combine::Mean => "weight",
                Combine::Points | Combine::Signed => "points",
            };
            writeln!(card, "      - {{ {}, {worth}: {} }}", measure.text, measure.weight).unwrap();
        }
    }
}

fn measure(index: usize, genes: &mut Genes) -> Measure {
    let dimension = genes.below(DIMENSIONS);
    let weight = genes.of(&[1, 1, 2, 3, 0, 7]);
    let kind = &KINDS[genes.below(KINDS.len())];
    let mut text = format!("id: m{index}, measure: {}", kind.name);
    write_windows(&mut text, kind, genes);
    write_filters(&mut text, kind, genes);
    if kind.name == "usage.trend" {
        let prior = genes.of(&["0", "0", "1", "2.5"]);
        write!(text, ", prior: {prior}").unwrap();
    }
    write!(text, ", curve: {}", curve(kind.large, genes)).unwrap();
    let missing = genes.of(&["redistribute", "redistribute", "zero", "neutral", "72.5"]);
    if missing != "redistribute" {
        write!(text, ", missing: {missing}").unwrap();
    }
    if genes.chance(25) {
        let stale_after = genes.of(&["14d", "1d", "3h", "45m", "90d", "1500ms"]);
        write!(text, ", stale_after: {stale_after}").unwrap();
    }
    Measure { dimension, weight, text, large: kind.large }
}

/// Window, perhaps baseline, perhaps pane.
fn write_windows(text: &mut String, kind: &Kind, genes: &mut Genes) {
    let (choice, panes, more_panes) = (genes.byte(), genes.byte(), genes.byte());
    let few = |gene: usize| [1, 2, 3, 4, 7, 12, 24, 28][gene % 8];
    match kind.window {
        WindowUse::None => {}
        WindowUse::Days(days) => write!(text, ", window: {}d", days * few(panes)).unwrap(),
        WindowUse::Window if choice % 3 > 0 => {
            let lengths = ["28d", "1d", "7d", "90d", "32h", "6h", "1h", "364d", "8d", "2d", "33h"];
            let length = lengths[panes % lengths.len()];
            let pane = if length == "33h" { ", pane: 3h" } else { "" };
            write!(text, ", window: {length}{pane}").unwrap();
        }
        WindowUse::WithBaseline if choice % 3 > 0 => {
            let pairs = [
                ("7d", "21d"),
                ("1d", "3d"),
                ("28d", "84d"),
                ("28d", "28d"),
                ("364d", "364d"),
                ("6h", "24h"),
                ("14d", "7d"),
            ];
            let (window, baseline) = pairs[panes % pairs.len()];
            write!(text, ", window: {window}, baseline: {baseline}").unwrap();
        }
        WindowUse::Window | WindowUse::WithBaseline => {
            let (pane_minutes, pane) =
                [(60, "1h"), (1_440, "1d"), (360, "6h"), (10, "10m"), (10_080, "7d"), (420, "7h")]
                    [choice / 3 % 6];
            let minutes = few(panes) * pane_minutes;
            write!(text, ", window: {minutes}m, pane: {pane}").unwrap();
            if kind.window == WindowUse::WithBaseline {
                write!(text, ", baseline: {}m", few(more_panes) * pane_minutes).unwrap();
            }
        }
    }
}

fn write_filters(text: &mut String, kind: &Kind, genes: &mut Genes) {
    let (wanted, list, second) = (genes.chance(40), genes.byte() as u8, genes.byte() as u8);
    let mut write_list = |key: &str, choices: &[&'static str], mask: u8| {
        let mut chosen = Genes::new(&[mask]).some_of(choices);
        if chosen.is_empty() {
            chosen.push(choices[0]);
        }
        write!(text, ", {key}: [{}]", chosen.join(", ")).unwrap();
    };
    if kind.name == "survey.assessment" {
        write_list("surveys", &ASSESSMENTS, second);
    }
    if !wanted {
        return;
    }
    match kind.name.split('.').next() {
        Some("usage") => write_list("features", &FEATURES, list),
        Some("support") => {
            if list & 1 == 0 {
                write_list("priorities", &PRIORITIES, second);
            } else {
                write_list("categories", &CATEGORIES, second);
            }
        }
        Some("survey") => write_list("roles", &ROLES, list),
        _ => {}
    }
}

/// A curve that bends where the measure's values are.
fn curve(large: f64, genes: &mut Genes) -> String {
    let shape = genes.below(5);
    let mut at = || large * ((genes.byte() % 24) as f64 - 4.0) / 16.0;
    let mut xs = vec![at(), at(), at(), at()];
    xs.sort_by(f64::total_cmp);
    xs.dedup();
    let mut ys = || genes.of(&[0.0, 100.0, 50.0, 33.3, 80.0, 12.5]);
    let points: Vec<String> = xs.iter().map(|x| format!("[{x}, {}]", ys())).collect();
    match shape {
        0 => format!("{{ linear: {{ from: 0, to: {large} }} }}"),
        1 if xs.len() > 1 => format!("{{ linear: {{ from: {}, to: {} }} }}", xs[1], xs[0]),
        2 => format!("{{ steps: [{}] }}", points.join(", ")),
        3 => {
            let step = if large > 10.0 { large / 4.0 } else { 1.0 };
            let pairs: Vec<String> =
                (0..4).map(|n| format!("{}: {}", f64::from(n) * step, ys())).collect();
            format!("{{ map: {{ {} }} }}", pairs.join(", "))
        }
        _ => format!("{{ piecewise: [{}] }}", points.join(", ")),
    }
}

fn write_gates(card: &mut String, measures: usize, genes: &mut Genes) {
    let count = genes.of(&[0, 0, 1, 2, 3]);
    if count > 0 {
        card.push_str("gates:\n");
    }
    for index in 0..count {
        let effect = genes.of(&["cap: 50", "cap: 20", "floor: 60", "floor: 90", "cap: 0"]);
        let when = condition(measures, genes, 2);
        writeln!(card, "  - {{ id: g{index}, {effect}, when: {when}, reason: because }}").unwrap();
    }
}

fn condition(measures: usize, genes: &mut Genes, depth: usize) -> String {
    match genes.below(8) {
        0..=2 => {
            let measure = genes.below(measures);
            let test = compare(genes, &["1", "0", "2", "0.5", "5", "30", "50"]);
            format!("{{ measure: m{measure}, {test} }}")
        }
        3..=5 => profile_condition(genes),
        6 if depth > 0 => format!("{{ not: {} }}", condition(measures, genes, depth - 1)),
        _ if depth > 0 => {
            let how = genes.of(&["all", "any"]);
            let (one, two) =
                (condition(measures, genes, depth - 1), condition(measures, genes, depth - 1));
            format!("{{ {how}: [{one}, {two}] }}")
        }
        _ => "{ measure: m0, at_least: 1 }".to_owned(),
    }
}

/// One that asks about the profile alone.
pub fn profile_condition(genes: &mut Genes) -> String {
    match genes.below(6) {
        0 => format!("{{ profile: tier, is: {} }}", genes.of(&TIERS)),
        1 => "{ profile: tier, in: [gold, silver] }".to_owned(),
        2 => "{ profile: tags, in: [vip, pilot] }".to_owned(),
        3 => "{ profile: status, in: [trial, churned] }".to_owned(),
        4 => format!("{{ profile: recovery_path, is: {} }}", genes.of(&["true", "false"])),
        _ => format!("{{ profile: seats, {} }}", compare(genes, &["3", "5", "10"])),
    }
}

fn compare(genes: &mut Genes, numbers: &[&str]) -> String {
    let how = genes.of(&["at_least", "at_most", "above", "below", "equals"]);
    format!("{how}: {}", genes.of(numbers))
}

/// Either a traffic light with some inertia, or many narrow bands that change at every breath, so
/// that a deadline that comes late is noticed. Returns their names, worst first.
fn write_bands(card: &mut String, genes: &mut Genes) -> Vec<String> {
    let touchy = genes.chance(50);
    let edges: Vec<f64> = if touchy {
        let width = genes.of(&[5.0, 2.5, 10.0]);
        (1..).map(|n| f64::from(n) * width).take_while(|edge| *edge < 100.0).collect()
    } else {
        let mut edges = genes.some_of(&[50.0, 70.0, 20.0, 33.3, 80.0, 95.0, 5.0]);
        edges.sort_by(f64::total_cmp);
        edges
    };
    let exclusive = genes.chance(40);
    card.push_str("bands:\n");
    for (index, edge) in edges.iter().enumerate() {
        let key = if exclusive && index % 2 == 0 { "below" } else { "up_to" };
        writeln!(card, "  - {{ name: b{index}, {key}: {edge} }}").unwrap();
    }
    card.push_str("  - { name: best, up_to: 100 }\n");
    let margin = genes.of(&["0", "5", "2.5", "10"]);
    let worse = genes.of(&["0", "1h", "10m", "3d"]);
    let better = genes.of(&["0", "14d", "1d", "1h"]);
    let bypass_drop = genes.of(&["100", "25", "5"]);
    let margin = if touchy { "0" } else { margin };
    let (worse, better) = if touchy { ("0", "0") } else { (worse, better) };
    writeln!(
        card,
        "anti_flap: {{ margin: {margin}, dwell: {{ worse: {worse}, better: {better} }}, \
         bypass_drop: {bypass_drop} }}"
    )
    .unwrap();
    let names = (0..edges.len()).map(|index| format!("b{index}"));
    names.chain(["best".to_owned()]).collect()
}
