//! What is legal and hardly meant, with the exact words it is told in, as `mistakes` holds them for
//! what is wrong.

use super::mistakes::{spoiled, told};

/// What is written instead of a part of the good card, and all that is told about it.
#[rustfmt::skip]
const DOUBTS: &[(&str, &str, &[&str])] = &[
    ("        missing: neutral\n        curve: { map: { 0: 0, 50: 50, 100: 100 } }\n      - id: open\n", "        weight: 60\n        curve: { map: { 0: 0, 50: 50, 100: 100 } }\n      - id: open\n        weight: 35\n",
     &["card.yaml:17: warning: dimensions[1] has measures that weigh 96 in all, not 100; weights are normalised, so `overdue` counts for 1.0417 % of it"]),
    ("{ 0: 0, 50: 50, 100: 100 }", "{ 0: 0, 50: 50, 500: 100 }",
     &["card.yaml:23: warning: dimensions[1].measures[1] maps 500, which `survey.assessment` never is: it is 0 to 100"]),
    ("measure: support.open\n        priorities: [high, urgent]\n        curve: { linear: { from: 5, to: 0 } }", "measure: support.open\n        curve: { map: { 0: 100, 1.5: 0 } }",
     &["card.yaml:29: warning: dimensions[1].measures[2] maps 1.5, which `support.open` never is: it is a whole number", "card.yaml:31: warning: dimensions[1].measures[2].curve lists 2 values; any other value of `support.open` is missing"]),
    ("cap: 50,", "cap: 100,",
     &["card.yaml:34: warning: gates[0] changes no score: every score is within 0 to 100 already"]),
    ("cap: 50,", "floor: 0,",
     &["card.yaml:34: warning: gates[0] changes no score: every score is within 0 to 100 already"]),
    ("{ measure: overdue, at_least: 60 }", "{ measure: overdue, below: 0 }",
     &["card.yaml:34: warning: gates[0] can never apply: `overdue` is never below 0, `payment.overdue_days` is at least 0"]),
    ("{ measure: overdue, at_least: 60 }", "{ measure: intent, equals: 500 }",
     &["card.yaml:34: warning: gates[0] can never apply: `intent` is never exactly 500, `survey.assessment` is 0 to 100"]),
    ("{ measure: overdue, at_least: 60 }", "{ all: [{ measure: overdue, above: 60 }, { measure: overdue, at_most: 30 }] }",
     &["card.yaml:34: warning: gates[0] can never apply: `overdue` is never above 60 and at most 30"]),
    ("{ measure: overdue, at_least: 60 }", "{ all: [{ profile: tier, is: gold }, { all: [{ profile: tier, in: [silver, bronze] }] }] }",
     &["card.yaml:34: warning: gates[0] can never apply: no field is `gold` and also `silver` or `bronze`"]),
    ("{ measure: overdue, at_least: 60 }", "{ all: [{ profile: seats, above: 9 }, { profile: seats, is: 5 }] }",
     &["card.yaml:34: warning: gates[0] can never apply: a number is never above 9 and exactly 5"]),
    ("{ measure: overdue, at_least: 60 }", "{ all: [{ profile: status, is: trial }, { profile: status, is: churned }] }",
     &["card.yaml:34: warning: gates[0] can never apply: no customer has two of these statuses"]),
    ("{ measure: overdue, at_least: 60 }", "{ all: [{ profile: recovery_path, is: true }, { profile: recovery_path, is: false }] }",
     &["card.yaml:34: warning: gates[0] can never apply: `recovery_path` is not both"]),
    ("{ measure: overdue, at_least: 60 }", "{ any: [{ measure: overdue, below: 0 }, { measure: overdue, at_least: 60 }] }",
     &[]),
    ("measure: overdue, above: 30", "measure: intent, above: 100",
     &["card.yaml:46: warning: alerts[2] can never fire: `intent` is never above 100, `survey.assessment` is 0 to 100"]),
    ("measure: overdue, above: 30", "measure: intent, at_most: { warning: 30, critical: -5 }",
     &["card.yaml:46: warning: alerts[2] can never be `critical`: `intent` is never at most -5, `survey.assessment` is 0 to 100"]),
    ("where: { profile: tier, is: gold }", "where: { all: [{ profile: tier, is: gold }, { profile: tier, is: silver }] }",
     &["card.yaml:46: warning: alerts[2] can never fire: no field is `gold` and also `silver`"]),
    ("rising: { measure: trend, at_least: 1.2 }", "rising: { measure: intent, at_least: 120 }",
     &["card.yaml:49: warning: alerts[5] can never fire: `intent` is never at least 120, `survey.assessment` is 0 to 100"]),
];

/// A card in which little can happen: its only measure that counts scores 40 to 60.
const NARROW: &str = "
scorecard: narrow
dimensions:
- id: d
  measures:
  - { id: m, measure: support.open, curve: { steps: [[0, 60], [3, 40]] } }
bands:
- { name: red, up_to: 30 }
- { name: yellow, up_to: 70 }
- { name: green, up_to: 100 }
alerts:
- { id: fall, score_drop: { points: { warning: 10, critical: 25 }, within: 7d } }
- { id: deep, score_drop: { points: 5, within: 7d, at_most: 30 } }
- { id: red, band_entered: red }
- { id: either, band_entered: [red, yellow] }
- { id: renewal, renewal_at_risk: { within: 30d, bands: red } }
- { id: expand, opportunity: { band: green, for: 7d, rising: { measure: m, at_most: 1 } } }
";

#[test]
fn each_doubt_is_told_in_these_words() {
    let mut wrong = Vec::new();
    for (from, to, expected) in DOUBTS {
        let told = told(&spoiled(from, to));
        if told != *expected {
            wrong.push(format!("{from:?} -> {to:?}\n{told:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn bands_that_no_score_reaches_take_their_rules_with_them() {
    assert_eq!(
        told(NARROW),
        [
            "card.yaml:8: warning: bands[0] can never be entered: curves and gates of this card make scores of 40 to 60 only; move the edges or the curves (`red`)",
            "card.yaml:10: warning: bands[2] can never be entered: curves and gates of this card make scores of 40 to 60 only; move the edges or the curves (`green`)",
            "card.yaml:12: warning: alerts[0] can never be `critical`: no score can fall by 25 points, scores of this card are 40 to 60",
            "card.yaml:13: warning: alerts[1] can never fire: `at_most` is below every score, scores of this card are 40 to 60",
            "card.yaml:14: warning: alerts[2] can never fire: none of its bands can be entered",
            "card.yaml:16: warning: alerts[4] can never fire: none of its bands can be entered",
            "card.yaml:17: warning: alerts[5] can never fire: none of its bands can be entered",
        ]
    );
}

#[test]
fn a_gate_or_a_missing_value_can_open_a_band() {
    let gate = "gates: [{ id: g, cap: 20, when: { measure: m, above: 9 }, reason: r }]\nbands:";
    assert_eq!(told(&NARROW.replacen("bands:", gate, 1)).len(), 2);
    let missing = NARROW.replacen("support.open,", "support.open, missing: zero,", 1);
    assert_eq!(told(&missing).len(), 2);
}
