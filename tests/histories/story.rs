//! Small stories for alerts: one account whose score is the last mood told, on whole hours and in
//! steps of five, so that edges, ends of windows, holds and cooldowns fall together.

use std::fmt::Write;

use barometer::engine::event::Source;
use serde_json::{Value, json};

use super::genes::Genes;
use super::record::Arrival;

/// How many bytes one rule, and one record, is made of.
pub const RULE_GENES: usize = 12;
pub const STEP_GENES: usize = 4;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// Monday, 2026-01-05, 00:00 UTC.
const START: i64 = 1_767_571_200_000;

pub fn card(head: &[u8], rules: &[[u8; RULE_GENES]]) -> String {
    let mut genes = Genes::new(head);
    let stale = genes.of(&["", ", stale_after: 4h", "", ", stale_after: 90m"]);
    let grace = genes.of(&["0d", "0d", "3h"]);
    let margin = genes.of(&[0, 5]);
    let (worse, better) = (genes.of(&["0", "1h", "2h"]), genes.of(&["0", "3h", "1h"]));
    let mut card = format!(
        "scorecard: story
dimensions:
  - id: only
    measures:
      - {{ id: mood, measure: survey.assessment, surveys: [mood], window: 91d, curve: {{ linear: {{ from: 0, to: 100 }} }}{stale} }}
      - {{ id: tickets, measure: support.open, weight: 0, curve: {{ linear: {{ from: 0, to: 1 }} }} }}
bands: [{{ name: red, up_to: 30 }}, {{ name: yellow, up_to: 60 }}, {{ name: green, up_to: 100 }}]
anti_flap: {{ margin: {margin}, dwell: {{ worse: {worse}, better: {better} }}, bypass_drop: 40 }}
grace: {grace}
alerts:
"
    );
    for (index, genes) in rules.iter().enumerate() {
        writeln!(card, "  - {{ id: r{index}, {} }}", rule(&mut Genes::new(genes))).unwrap();
    }
    card
}

fn rule(genes: &mut Genes) -> String {
    let bands = |genes: &mut Genes| genes.of(&["[red]", "[red, yellow]", "[yellow, green]"]);
    let mut rule = match genes.below(12) {
        0..=5 => {
            let points = genes.of(&[
                "10",
                "5",
                "20",
                "{ warning: 5, critical: 10 }",
                "{ info: 10, critical: 30 }",
                "{ info: 5, warning: 15, critical: 25 }",
            ]);
            let within = genes.of(&["2h", "1h", "3h", "8h"]);
            let at_most = genes.of(&["", ", at_most: 50", ", at_most: 70", ""]);
            format!("score_drop: {{ points: {points}, within: {within}{at_most} }}")
        }
        6 => format!("band_entered: {}", bands(genes)),
        7 => {
            let test = genes.of(&[
                "below: 50",
                "at_most: { warning: 50, critical: 20 }",
                "above: { info: 20, warning: 40, critical: 80 }",
            ]);
            format!("measure: mood, {test}")
        }
        8 => {
            let after = genes.of(&["2h", "{ info: 1h, warning: 2h, critical: 5h }", "3h"]);
            format!("silence: {{ for: {after} }}")
        }
        9 => {
            let within = genes.of(&["3h", "{ info: 6h, warning: 4h, critical: 1h }"]);
            format!("renewal_at_risk: {{ within: {within}, bands: {} }}", bands(genes))
        }
        10 => {
            let (band, span) = (bands(genes), genes.of(&["2h", "0d", "1h"]));
            let rising = genes.of(&["mood, at_least: 50", "tickets, above: 0"]);
            format!("opportunity: {{ band: {band}, for: {span}, rising: {{ measure: {rising} }} }}")
        }
        _ => "coverage: { below: 0.8 }".to_owned(),
    };
    let hold = genes.of(&["", ", hold: 1h", "", ", hold: 2h", ", hold: 30m"]);
    let cooldown = genes.of(&["", ", cooldown: 3h", "", ", cooldown: 8h"]);
    let only_where = genes.of(&[
        "",
        ", where: { profile: tier, is: gold }",
        "",
        ", where: { not: { profile: tier, is: gold } }",
    ]);
    write!(rule, "{hold}{cooldown}{only_where}").unwrap();
    rule
}

pub fn history(steps: &[[u8; STEP_GENES]]) -> Vec<Arrival> {
    let mut now = START;
    let mut arrivals = Vec::new();
    for (index, bytes) in steps.iter().enumerate() {
        let mut genes = Genes::new(bytes);
        now += genes.of(&[HOUR_MS, 0, 30 * MINUTE_MS, 2 * HOUR_MS, HOUR_MS, 1, 5 * HOUR_MS]);
        // Back on the grid after a step of a millisecond.
        if genes.chance(50) {
            now = (now + 30 * MINUTE_MS - 1).div_euclid(30 * MINUTE_MS) * 30 * MINUTE_MS;
        }
        let (source, fields) = match genes.below(10) {
            0..=6 => (Source::Survey, mood(genes.below(21))),
            7 => {
                let tier = genes.of(&["gold", "silver"]);
                let renewal_at = now + 6 * HOUR_MS;
                (Source::Profile, Some(json!({"tier": tier, "renewal_at": renewal_at})))
            }
            8 if genes.chance(50) => (Source::Profile, None),
            8 => {
                let status = genes.of(&["opened", "resolved"]);
                (Source::Ticket, Some(json!({"ticket_id": "t", "status": status})))
            }
            _ => (Source::Usage, Some(json!({"feature": "reports"}))),
        };
        let body = fields.map(|mut body| {
            body["event_id"] = json!(format!("e{index:03}"));
            body["account_id"] = json!("acme");
            body["occurred_at"] = json!(now);
            body
        });
        arrivals.push(Arrival { source, account_id: "acme".to_owned(), record_time_ms: now, body });
    }
    arrivals
}

fn mood(fives: usize) -> Option<Value> {
    Some(json!({"survey": "mood", "score": fives * 5, "respondent_id": "r"}))
}
