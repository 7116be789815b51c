//! Random alert rules of every kind, with windows, holds and cooldowns short enough for a random history
//! to get through them.

use std::fmt::Write;

use super::card::{ALERT_GENES, profile_condition};
use super::genes::Genes;

/// Appends one rule for each of `rules`. `large` says of each measure what is large for it, and
/// `bands` are the names of the bands, worst first.
pub fn write_rules(
    card: &mut String,
    large: &[f64],
    bands: &[String],
    rules: &[[u8; ALERT_GENES]],
) {
    if rules.is_empty() {
        return;
    }
    card.push_str("alerts:\n");
    for (index, genes) in rules.iter().enumerate() {
        let rule = rule(large, bands, &mut Genes::new(genes));
        writeln!(card, "  - {{ id: r{index}, {rule} }}").unwrap();
    }
}

fn rule(large: &[f64], bands: &[String], genes: &mut Genes) -> String {
    let kind = genes.below(13);
    let leveled = genes.chance(50) && !matches!(kind, 3 | 8);
    let mut rule = match kind {
        0..=2 => {
            let points = number(leveled, &["3", "8", "20", "40"], genes);
            let within = genes.of(&["1d", "7d", "6h", "1h", "28d", "90m", "40d"]);
            let at_most =
                if genes.chance(25) { genes.of(&[", at_most: 50", ", at_most: 80"]) } else { "" };
            format!("score_drop: {{ points: {points}, within: {within}{at_most} }}")
        }
        3 => format!("band_entered: {}", one_or_list(some_bands(bands, genes))),
        4 | 5 | 10 => {
            let measure = genes.below(large.len());
            let (how, tenths) = genes.of(&[
                ("above", [0, 2, 5, 8]),
                ("below", [8, 5, 2, 0]),
                ("at_least", [1, 3, 5, 9]),
                ("at_most", [9, 5, 3, 1]),
            ]);
            let limits =
                tenths.map(|tenths| format!("{}", large[measure] * f64::from(tenths) / 10.0));
            let limits: [&str; 4] = std::array::from_fn(|index| limits[index].as_str());
            format!("measure: m{measure}, {how}: {}", number(leveled, &limits, genes))
        }
        6 => {
            let after = number(leveled, &["6h", "1d", "60h", "14d"], genes);
            format!("silence: {{ for: {after} }}")
        }
        7 | 11 => {
            let within = number(leveled, &["450d", "200d", "90d", "30d"], genes);
            format!(
                "renewal_at_risk: {{ within: {within}, bands: [{}] }}",
                some_bands(bands, genes).join(", ")
            )
        }
        8 => {
            let measure = genes.below(large.len());
            let how = genes.of(&["at_least", "above", "below", "at_most"]);
            let limit = large[measure] * genes.of(&[0.0, 0.2, 0.5]);
            let span = genes.of(&["1h", "0d", "1d", "7d"]);
            format!(
                "opportunity: {{ band: {}, for: {span}, rising: {{ measure: m{measure}, {how}: \
                 {limit} }} }}",
                one_or_list(some_bands(bands, genes))
            )
        }
        _ => {
            let below = number(leveled, &["1", "0.8", "0.5", "0.2"], genes);
            format!("coverage: {{ below: {below} }}")
        }
    };
    if !leveled && genes.chance(40) {
        write!(rule, ", severity: {}", genes.of(&["critical", "info", "warning"])).unwrap();
    }
    if genes.chance(30) {
        write!(rule, ", hold: {}", genes.of(&["1h", "10m", "1d", "999ms", "3d"])).unwrap();
    }
    if genes.chance(40) {
        write!(rule, ", cooldown: {}", genes.of(&["1d", "6h", "7d", "1h"])).unwrap();
    }
    if genes.chance(20) {
        let condition = profile_condition(genes);
        let condition =
            if genes.chance(50) { format!("{{ not: {condition} }}") } else { condition };
        write!(rule, ", where: {condition}").unwrap();
    }
    rule
}

/// One of the limits, which get harder to reach, or two or three of them as levels.
fn number(leveled: bool, limits: &[&str; 4], genes: &mut Genes) -> String {
    let one = genes.below(4);
    if !leveled {
        return limits[one].to_owned();
    }
    let mild = one.min(2);
    let harsh = limits[mild + 1 + genes.below(3 - mild)];
    let mild = limits[mild];
    match genes.below(3) {
        0 => format!("{{ warning: {mild}, critical: {harsh} }}"),
        1 => format!("{{ info: {mild}, critical: {harsh} }}"),
        _ => format!("{{ info: {}, warning: {}, critical: {} }}", limits[0], limits[1], limits[2]),
    }
}

/// Neighbouring bands, or just one.
fn some_bands(bands: &[String], genes: &mut Genes) -> Vec<String> {
    let (one, other) = (genes.below(bands.len()), genes.below(bands.len()));
    let other = if genes.chance(25) { one } else { other };
    bands[one.min(other)..=one.max(other)].to_vec()
}

fn one_or_list(bands: Vec<String>) -> String {
    match &bands[..] {
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    }
}
