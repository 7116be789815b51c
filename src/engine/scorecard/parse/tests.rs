//! What good scorecards become, and what only a whole card gets wrong.

use super::*;
use crate::engine::event::{Priority, ProfileStatus};
use crate::engine::scorecard::{
    Comparison, Condition, Curve, GateEffect, MeasureKind, Missing, ProfileCondition,
    ProfileNumber, ProfileText,
};
use crate::engine::yaml::Severity;

const DEFAULT_CARD: &str = include_str!("../../../../config/scorecards/saas-default.yaml");

fn card(text: &str) -> Scorecard {
    match Scorecard::parse("card.yaml", text) {
        Ok(parsed) => parsed.scorecard,
        Err(problems) => panic!("{}", lines(&problems)),
    }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn told(text: &str) -> String {
    match Scorecard::parse("card.yaml", text) {
        Ok(parsed) => lines(&parsed.warnings),
        Err(problems) => lines(&problems),
    }
}

/// A card with these measures in one dimension, and `head` before them.
fn with_measures(head: &str, measures: &str) -> String {
    format!(
        "scorecard: x\n{head}dimensions:\n- id: d\n  measures:\n{measures}\
         bands: [{{ name: all, up_to: 100 }}]\n"
    )
}

#[test]
fn the_default_card_holds_and_leaves_nothing_to_warn_of() {
    let parsed = Scorecard::parse("saas-default.yaml", DEFAULT_CARD).expect("it is shipped");
    assert_eq!(parsed.warnings, []);
    let card = parsed.scorecard;
    assert_eq!(card.id, "saas-default");
    let weights: Vec<f64> = card.dimensions.iter().map(|dimension| dimension.weight).collect();
    assert_eq!(weights, [40.0, 20.0, 25.0, 15.0]);
    assert_eq!(card.anti_flap, AntiFlap::default());
    assert_eq!((card.min_coverage, card.grace), (0.5, Span::days(14)));
    let bands: Vec<_> = card.bands.iter().map(|band| (&*band.name, band.upper)).collect();
    assert_eq!(bands, [("red", 50.0), ("yellow", 70.0), ("green", 100.0)]);
    let watched: Vec<_> = card.measures().filter(|measure| measure.weight == 0.0).collect();
    assert_eq!(watched.len(), 1);
    assert_eq!(watched[0].kind, MeasureKind::UsageTrend);
    assert_eq!(watched[0].pane, Span::DAY);
}

#[test]
fn the_hash_is_of_the_text_and_nothing_else() {
    let text =
        with_measures("", "  - { id: a, measure: support.open, curve: { steps: [[0, 1]] } }\n");
    let hash = card(&text).hash;
    assert_eq!(hash.len(), 32);
    assert_eq!(card(&text).hash, hash);
    assert_ne!(card(&format!("{text}# other\n")).hash, hash);
}

#[test]
fn what_is_not_said_has_its_default() {
    let text = with_measures(
        "",
        "  - { id: a, measure: support.open, curve: { linear: { from: 5, to: 0 } } }
  - { id: g, measure: payment.growth, curve: { steps: [[0, 0], [1, 100]] } }\n",
    );
    let card = card(&text);
    assert_eq!((card.combine, card.redistribute), (Combine::Weighted, Redistribute::Dimension));
    assert_eq!((card.min_coverage, card.grace), (0.5, Span::ZERO));
    assert_eq!(card.item_horizon, Span::days(90));
    assert_eq!(card.anti_flap, AntiFlap::default());
    let [open, growth] = &card.dimensions[0].measures[..] else { panic!("two measures") };
    assert_eq!((open.weight, open.missing, open.stale_after), (1.0, Missing::Redistribute, None));
    assert_eq!((open.window, open.baseline), (None, None));
    assert_eq!(growth.window, Some(Span::days(364)));
    assert_eq!(growth.baseline, Some(Span::days(364)));
    assert_eq!(growth.pane, Span::days(7));
}

#[test]
fn filters_are_sorted_and_curves_keep_their_points() {
    let text = with_measures(
        "",
        "  - { id: u, measure: usage.events, window: 32h, features: [b, a], curve: { piecewise: [[0, 0], [4, 100]] } }
  - { id: s, measure: support.opened, window: 8d, priorities: [urgent, low], categories: [bug], missing: 30, curve: { steps: [[0, 100], [2, 0]] } }
  - { id: t, measure: survey.assessment, window: 128d, surveys: [intent], roles: [cto], stale_after: 60d, curve: { map: { 100: 100, -1: 0, 50: 50 } } }\n",
    );
    let card = card(&text);
    let [usage, support, survey] = &card.dimensions[0].measures[..] else { panic!("three") };
    assert_eq!(usage.filter.features, ["a", "b"]);
    assert_eq!(usage.curve, Curve::Piecewise(vec![(0.0, 0.0), (4.0, 100.0)]));
    assert_eq!(support.filter.priorities, [Priority::Low, Priority::Urgent]);
    assert_eq!(support.filter.categories, ["bug"]);
    assert_eq!(support.missing, Missing::CountAs(30.0));
    assert_eq!(support.curve, Curve::Steps(vec![(0.0, 100.0), (2.0, 0.0)]));
    assert_eq!((&*survey.filter.surveys[0], &*survey.filter.roles[0]), ("intent", "cto"));
    assert_eq!(survey.stale_after, Some(Span::days(60)));
    assert_eq!(survey.curve, Curve::Map(vec![(-1.0, 0.0), (50.0, 50.0), (100.0, 100.0)]));
    assert_eq!((usage.pane, support.pane, survey.pane), (Span::HOUR, Span::hours(6), Span::DAY));
}

#[test]
fn conditions_nest_and_count_measures_through_all_dimensions() {
    let text = "
scorecard: x
dimensions:
- { id: d, measures: [{ id: a, measure: support.open, curve: { linear: { from: 5, to: 0 } } }] }
- { id: e, measures: [{ id: b, measure: account.age_days, curve: { linear: { from: 0, to: 9 } } }] }
gates:
- id: g
  floor: 10
  reason: why
  when:
    all:
    - { measure: b, below: 3 }
    - any: [{ profile: tier, in: [gold, silver] }, { profile: status, is: trial }]
    - not: { profile: seats, at_most: 5 }
    - { profile: arr_minor, is: 7 }
    - { profile: recovery_path, is: true }
    - { profile: tags, is: vip }
    - { profile: tags, in: [x, y] }
bands: [{ name: all, up_to: 100 }]
";
    let text_is = |field, one_of: &[&str]| {
        let one_of = one_of.iter().map(ToString::to_string).collect();
        Condition::Profile(ProfileCondition::Text { field, one_of })
    };
    let number = |field, comparison, value| {
        Condition::Profile(ProfileCondition::Number { field, comparison, value })
    };
    let tag = |tag: &str| Condition::Profile(ProfileCondition::Tag(tag.to_string()));
    let gate = &card(text).gates[0];
    assert_eq!(gate.effect, GateEffect::Floor(10.0));
    let status = Condition::Profile(ProfileCondition::Status(vec![ProfileStatus::Trial]));
    assert_eq!(
        gate.when,
        Condition::All(vec![
            Condition::Measure { measure: 1, comparison: Comparison::Below, value: 3.0 },
            Condition::Any(vec![text_is(ProfileText::Tier, &["gold", "silver"]), status]),
            Condition::Not(Box::new(number(ProfileNumber::Seats, Comparison::AtMost, 5.0))),
            number(ProfileNumber::ArrMinor, Comparison::Equals, 7.0),
            Condition::Profile(ProfileCondition::RecoveryPath(true)),
            tag("vip"),
            Condition::Any(vec![tag("x"), tag("y")]),
        ])
    );
}

#[test]
fn points_total_100_and_make_the_dimensions_weight() {
    let text = |last: &str| {
        with_measures(
            "combine: points\n",
            &format!(
                "  - {{ id: a, points: 60, measure: support.open, curve: {{ linear: {{ from: 5, to: 0 }} }} }}
  - {{ id: b, points: {last}, measure: support.open, curve: {{ linear: {{ from: 5, to: 0 }} }} }}\n"
            ),
        )
    };
    let good = card(&text("40"));
    assert_eq!(good.combine, Combine::Points);
    assert_eq!(good.dimensions[0].weight, 100.0);
    assert_eq!(good.dimensions[0].measures[1].weight, 40.0);
    assert_eq!(
        told(&text("39.5")),
        "card.yaml:3: dimensions are worth 99.5 points in all, expected 100"
    );
    assert_eq!(
        told(&text("-40")),
        "card.yaml:7: dimensions[0].measures[1].points is -40, expected at least 0"
    );
}

#[test]
fn signed_cards_may_take_points_away() {
    let text = with_measures(
        "combine: { signed: { start: 50 } }\n",
        "  - { id: a, points: 30, measure: support.open, curve: { linear: { from: 5, to: 0 } } }
  - { id: b, points: -20, measure: support.open, curve: { linear: { from: 0, to: 5 } } }\n",
    );
    let card = card(&text);
    assert_eq!(card.combine, Combine::Signed { start: 50.0 });
    assert_eq!(card.dimensions[0].weight, 50.0);
    assert_eq!(card.dimensions[0].measures[1].weight, -20.0);
}

#[test]
fn mean_counts_alike_and_says_so_where_weights_are_given() {
    let text = "
scorecard: x
combine: mean
dimensions:
- id: d
  weight: 25
  combine: mean
  measures:
  - { id: a, weight: 2, measure: support.open, curve: { linear: { from: 5, to: 0 } } }
  - { id: b, weight: 0, measure: support.open, curve: { linear: { from: 5, to: 0 } } }
bands: [{ name: all, up_to: 100 }]
";
    let good = card(text);
    assert_eq!((good.combine, good.dimensions[0].weight), (Combine::Mean, 1.0));
    assert!(good.dimensions[0].mean);
    assert_eq!(
        told(text),
        "card.yaml:6: warning: dimensions[0].weight has no effect under `combine: mean`\n\
         card.yaml:9: warning: dimensions[0].measures[0].weight has no effect under `combine: mean`, \
         which only asks whether it is 0"
    );
    assert_eq!(
        told(&text.replace("weight: 25", "weight: 0").replace("weight: 2,", "")),
        "card.yaml:6: dimensions[0].weight is 0, but `combine: mean` counts all dimensions alike: \
         to watch it only, give each of its measures weight 0"
    );
}

#[test]
fn something_must_count() {
    let measure =
        "  - { id: a, weight: 0, measure: support.open, curve: { linear: { from: 5, to: 0 } } }\n";
    let nothing = "card.yaml:2: dimensions hold no measure that counts: every weight is 0";
    let text = with_measures("", measure);
    assert_eq!(told(&text), nothing);
    assert_eq!(told(&text.replace("- id: d", "- weight: 0\n  id: d")), nothing);
    assert_eq!(
        told(&text.replace("- id: d", "- weight: 4\n  id: d")),
        "card.yaml:3: dimensions[0] has weight 4, but none of its measures counts: give one a \
         weight, or the dimension weight 0"
    );
    let text = with_measures("combine: { signed: { start: 1 } }\n", measure);
    assert_eq!(
        told(&text.replace("weight: 0", "points: 0")),
        "card.yaml:3: dimensions hold no measure that counts: every points is 0"
    );
}

#[test]
fn a_dimension_may_only_watch() {
    for combine in ["weighted", "mean"] {
        let text = format!(
            "
scorecard: x
combine: {combine}
dimensions:
- {{ id: d, measures: [{{ id: a, measure: support.open, curve: {{ steps: [[0, 0], [1, 9]] }} }}] }}
- {{ id: e, measures: [{{ id: b, weight: 0, measure: support.open, curve: {{ steps: [[0, 0], [1, 9]] }} }}] }}
bands: [{{ name: all, up_to: 100 }}]
"
        );
        assert_eq!(told(&text), "");
        let weights: Vec<f64> = card(&text).dimensions.iter().map(|d| d.weight).collect();
        assert_eq!(weights, [1.0, 0.0]);
    }
}

#[test]
fn weights_that_are_plain_proportions_need_no_warning() {
    let text = |weights: [f64; 3]| {
        let [a, b, c] = weights;
        let dimension = |id: char, weight: f64| {
            format!(
                "- {{ id: {id}, weight: {weight}, measures: [{{ id: {id}, measure: support.open, \
                 curve: {{ linear: {{ from: 5, to: 0 }} }} }}] }}\n"
            )
        };
        format!(
            "scorecard: x\ndimensions:\n{}{}{}bands: [{{ name: all, up_to: 100 }}]\n",
            dimension('a', a),
            dimension('b', b),
            dimension('c', c)
        )
    };
    for proportions in [[11.0, 2.0, 4.0], [0.25, 0.25, 0.5], [25.0, 25.0, 50.0]] {
        assert_eq!(told(&text(proportions)), "");
    }
    assert_eq!(
        told(&text([64.71, 11.76, 23.5])),
        "card.yaml:2: warning: dimensions weigh 99.97 in all, not 100; weights are normalised, so \
         `a` counts for 64.7294 %"
    );
}

#[test]
fn all_mistakes_are_told_at_once_and_in_order() {
    let text = "
scorecard: my card
combine: average
dimensions:
- id: d
  weigth: 3
  measures:
  - { id: a, measure: usage.evnts, window: 28d, curve: { linear: { from: 0, to: 0 } } }
  - { id: a, measure: support.open, window: 28d, curve: { steps: [[0, 120]] } }
gates:
- { id: g, cap: 500, when: { measure: b, above: 1 }, reason: r }
bands:
- { name: red, up_to: 50, colour: red }
min_coverage: 2
";
    let problems = Scorecard::parse("card.yaml", text).expect_err("there are many");
    assert!(problems.iter().all(|problem| problem.severity == Severity::Error));
    assert_eq!(lines(&problems), "\
card.yaml:2: scorecard is `my card`, expected a name of 1 to 64 letters, digits, `_`, `-` and `.`
card.yaml:3: combine is `average`, expected `weighted`, `mean`, `points` or `{ signed: { start: 50 } }`
card.yaml:6: dimensions[0].weigth is not a known key; did you mean `weight`?
card.yaml:8: dimensions[0].measures[0].measure is `usage.evnts`, expected one like `usage.events`
card.yaml:8: dimensions[0].measures[0].curve.linear runs from 0 to 0, expected two different values: the first scores 0, the second 100
card.yaml:9: dimensions[0].measures[1].id is `a`, already used by dimensions[0].measures[0].id
card.yaml:9: dimensions[0].measures[1].window is given, but `support.open` is about now and has none
card.yaml:9: dimensions[0].measures[1].curve.steps[0][1] is 120, expected a sub-score from 0 to 100
card.yaml:11: gates[0].cap is 500, expected 0 to 100
card.yaml:11: gates[0].when.measure names no measure: `b`; this card has a, a
card.yaml:13: bands[0] ends with `up_to: 50`, expected the last band to have `up_to: 100`
card.yaml:13: bands[0].colour is not a known key; did you mean `color`?
card.yaml:14: min_coverage is 2, expected 0 to 1");
}

#[test]
fn the_example_of_the_domain_page_holds() {
    let text = r##"
scorecard: saas-default
description: The four event sources, no account profile needed.
dimensions:
  - id: product_use
    weight: 40
    measures:
      - id: active_users            # its name in reasons, outputs and tests
        measure: usage.active_users
        window: 28d
        weight: 2
        curve: { linear: { from: 0, to: 10 } }
      - id: usage_trend
        measure: usage.trend
        window: 7d
        baseline: 21d
        weight: 0                   # watched: shown, explained, usable in alerts, not counted
        curve: { piecewise: [[0.2, 0], [0.8, 60], [1.0, 100]] }
  - id: payment
    weight: 25
    measures:
      - { id: overdue, measure: payment.overdue_days, weight: 1, curve: { linear: { from: 45, to: 0 } } }
gates:
  - { id: overdue_cap, cap: 50, when: { measure: overdue, at_least: 60 }, reason: an invoice is 60 days overdue }
bands:
  - { name: red,    up_to: 50,  color: "#c0392b", action: call_customer }
  - { name: yellow, up_to: 70,  color: "#f1c40f", action: plan_contact }
  - { name: green,  up_to: 100, color: "#27ae60", action: ask_for_reference }
anti_flap: { margin: 5, dwell: { worse: 1h, better: 14d }, bypass_drop: 25 }
min_coverage: 0.5
grace: 14d
alerts:
  - { id: sharp_drop, score_drop: { points: 25, within: 28d, at_most: 50 }, severity: critical, action: call_customer }
tests:                              # run by `barometer test`
  - name: an account that goes silent leaves green
    given:
      - { at: 0d, repeat: { every: 1d, times: 30 }, usage: { users: 12, feature: reports } }
    expect:
      - { at: 30d, band: green }
      - { at: 60d, band: red, firing: [sharp_drop], fired: [sharp_drop] }   # firing now
"##;
    let card = card(text);
    assert_eq!(card.gates[0].effect, GateEffect::Cap(50.0));
    assert_eq!(card.grace, Span::days(14));
}

/// What a scorecard promises to whoever holds it.
fn assert_promises(card: &Scorecard) {
    let measures: Vec<_> = card.measures().collect();
    assert!(!measures.is_empty() && !card.bands.is_empty());
    for measure in measures {
        for window in [measure.window, measure.baseline].into_iter().flatten() {
            let panes = window.divide_evenly(measure.pane).expect("windows hold whole panes");
            assert!((1..=crate::engine::scorecard::PANES_MAX).contains(&panes));
        }
        for value in [-1e15, -1.0, 0.0, 0.5, 50.0, 1e15] {
            let sub_score = measure.curve.sub_score(value).unwrap_or(0.0);
            assert!((0.0..=100.0).contains(&sub_score), "{sub_score}");
        }
    }
    let edges: Vec<f64> = card.bands.iter().map(|band| band.upper).collect();
    assert!(edges.is_sorted_by(|a, b| a < b) && edges.last() == Some(&100.0));
    let total: f64 = card.dimensions.iter().map(|dimension| dimension.weight).sum();
    assert!(total > 0.0 && total.is_finite());
}

proptest::proptest! {
    #[test]
    fn a_mutilated_card_is_refused_or_keeps_its_promises(
        edits in proptest::collection::vec((0_usize..6_000, "[0-9a-z:{}\\[\\],. #\n-]{0,3}", 0_usize..9), 1..4)
    ) {
        let mut text = DEFAULT_CARD.to_string();
        for (at, insert, delete) in edits {
            let start = at % text.len();
            let end = (start + delete).min(text.len());
            if text.is_char_boundary(start) && text.is_char_boundary(end) {
                text.replace_range(start..end, &insert);
            }
        }
        match Scorecard::parse("card.yaml", &text) {
            Ok(parsed) => assert_promises(&parsed.scorecard),
            Err(problems) => proptest::prop_assert!(
                problems.iter().any(|problem| problem.severity == Severity::Error)
            ),
        }
    }
}
