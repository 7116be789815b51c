//! Every mistake the reader knows, with the exact words it is told in: an error text is an
//! interface.

use super::*;

/// A good card with something of everything, to make one mistake in at a time.
pub(crate) const GOOD: &str = "\
scorecard: acme
dimensions:
  - id: product_use
    weight: 60
    measures:
      - id: users
        measure: usage.active_users
        window: 28d
        features: [reports, exports]
        curve: { linear: { from: 0, to: 10 } }
      - id: trend
        measure: usage.trend
        window: 7d
        baseline: 21d
        weight: 0
        curve: { piecewise: [[0.2, 0], [0.8, 60], [1.0, 100]] }
  - id: other
    weight: 40
    measures:
      - id: overdue
        measure: payment.overdue_days
        curve: { steps: [[0, 100], [7, 50]] }
      - id: intent
        measure: survey.assessment
        surveys: [renewal_intent]
        window: 90d
        missing: neutral
        curve: { map: { 0: 0, 50: 50, 100: 100 } }
      - id: open
        measure: support.open
        priorities: [high, urgent]
        curve: { linear: { from: 5, to: 0 } }
gates:
  - { id: late, cap: 50, when: { measure: overdue, at_least: 60 }, reason: late }
bands:
  - { name: red, up_to: 50, color: \"#c0392b\", action: call }
  - { name: yellow, below: 70 }
  - { name: green, up_to: 100 }
anti_flap: { margin: 5, dwell: { worse: 1h, better: 14d }, bypass_drop: 25 }
min_coverage: 0.5
grace: 0d
item_horizon: 90d
alerts:
  - { id: drop, score_drop: { points: { warning: 25, critical: 40 }, within: 28d, at_most: 50 } }
  - { id: went_red, band_entered: red, severity: critical, action: call }
  - { id: overdue, measure: overdue, above: 30, hold: 1d, where: { profile: tier, is: gold } }
  - { id: silent, silence: { for: 14d }, cooldown: 7d }
  - { id: renewal, renewal_at_risk: { within: 90d, bands: [red, yellow] } }
  - { id: grow, opportunity: { band: green, for: 30d, rising: { measure: trend, at_least: 1.2 } } }
  - { id: blind, coverage: { below: 0.5 } }
";

pub(super) fn told(text: &str) -> Vec<String> {
    let problems = match Scorecard::parse("card.yaml", text) {
        Ok(parsed) => parsed.warnings,
        Err(problems) => problems,
    };
    problems.iter().map(ToString::to_string).collect()
}

/// `GOOD` with the first `from` replaced by `to`.
pub(crate) fn spoiled(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "the good card has no `{from}`");
    GOOD.replacen(from, to, 1)
}

#[test]
fn the_good_card_is_good() {
    assert_eq!(told(GOOD), Vec::<String>::new());
}

/// What is written instead of a part of the good card, and all that is told about it.
#[rustfmt::skip]
pub(crate) const MISTAKES: &[(&str, &str, &[&str])] = &[
    ("scorecard: acme", "scorecad: acme",
     &["card.yaml:1: scorecard is missing", "card.yaml:1: scorecad is not a known key; did you mean `scorecard`?"]),
    ("scorecard: acme", "scorecard: \"acme corp\"",
     &["card.yaml:1: scorecard is `acme corp`, expected a name of 1 to 64 letters, digits, `_`, `-` and `.`"]),
    ("scorecard: acme", "scorecard: [acme]",
     &["card.yaml:1: scorecard is a list, expected a name of 1 to 64 letters, digits, `_`, `-` and `.`"]),
    ("scorecard: acme", "scorecard: acme\nscorecard: acme",
     &["card.yaml:2: scorecard is given twice, first in line 1"]),
    ("scorecard: acme", "scorecard: acme\ncombine: wieghted",
     &["card.yaml:2: combine is `wieghted`, expected `weighted`, `mean`, `points` or `{ signed: { start: 50 } }`"]),
    ("scorecard: acme", "scorecard: acme\ncombine: signed",
     &["card.yaml:2: combine is `signed`, expected `{ signed: { start: 50 } }`, with the score before any action"]),
    ("scorecard: acme", "scorecard: acme\ncombine: points",
     &["card.yaml:5: dimensions[0].weight is given, but under `combine: points` a dimension weighs what its measures are worth", "card.yaml:7: dimensions[0].measures[0].points is missing", "card.yaml:12: dimensions[0].measures[1].points is missing", "card.yaml:16: dimensions[0].measures[1].weight is given, but this card's `combine` uses `points`", "card.yaml:19: dimensions[1].weight is given, but under `combine: points` a dimension weighs what its measures are worth", "card.yaml:21: dimensions[1].measures[0].points is missing", "card.yaml:24: dimensions[1].measures[1].points is missing", "card.yaml:30: dimensions[1].measures[2].points is missing"]),
    ("scorecard: acme", "scorecard: acme\ncombine: { signed: { start: 120 } }",
     &["card.yaml:2: combine.signed.start is 120, expected 0 to 100"]),
    ("scorecard: acme", "scorecard: acme\nredistribute: dimensions",
     &["card.yaml:2: redistribute is `dimensions`, expected `dimension` or `card`"]),
    ("scorecard: acme", "scorecard: acme\n\tdescription: tabs",
     &["card.yaml:1: is not valid YAML: while scanning a plain scalar, found a tab"]),
    ("scorecard: acme", "scorecard: acme\ntests: none",
     &["card.yaml:2: tests is `none`, expected a list"]),
    ("scorecard: acme", "scorecard: !!str acme",
     &["card.yaml:1: tag `!str` has no meaning here, remove it"]),
    ("  - id: other", "  - id: product_use",
     &["card.yaml:17: dimensions[1].id is `product_use`, already used by dimensions[0].id"]),
    ("    weight: 60", "    weight: heavy",
     &["card.yaml:4: dimensions[0].weight is `heavy`, expected a number"]),
    ("    weight: 60", "    weight: -1",
     &["card.yaml:4: dimensions[0].weight is -1, expected at least 0"]),
    ("    weight: 60", "    wieght: 60",
     &["card.yaml:4: dimensions[0].wieght is not a known key; did you mean `weight`?"]),
    ("    weight: 60", "    weight: 0x3c",
     &["card.yaml:4: dimensions[0].weight is `0x3c`, expected a number"]),
    ("    weight: 60", "    weight: \"60\"",
     &["card.yaml:4: dimensions[0].weight is \"60\", expected a number without quotes"]),
    ("    weight: 60", "    weight: 50",
     &["card.yaml:2: warning: dimensions weigh 90 in all, not 100; weights are normalised, so `product_use` counts for 55.5556 %"]),
    ("    weight: 60", "    weight: 60\n    combine: points",
     &["card.yaml:5: dimensions[0].combine is `points`, expected `weighted` or `mean`"]),
    ("      - id: users", "      - id: open",
     &["card.yaml:29: dimensions[1].measures[2].id is `open`, already used by dimensions[0].measures[0].id"]),
    ("      - id: users", "      - name: users",
     &["card.yaml:6: dimensions[0].measures[0].id is missing", "card.yaml:6: dimensions[0].measures[0].name is not a known key; known here: id, measure, points, weight, curve, missing, stale_after, baseline, window, pane, prior, features, categories, priorities, surveys, roles"]),
    ("        measure: usage.active_users", "        measure: usage.activ_users",
     &["card.yaml:7: dimensions[0].measures[0].measure is `usage.activ_users`, expected one like `usage.active_users`"]),
    ("        measure: usage.active_users", "        measure: logins",
     &["card.yaml:7: dimensions[0].measures[0].measure is `logins`, expected `usage.events`, `usage.quantity`, `usage.active_users`, `usage.seat_utilisation`, `usage.features_used`, `usage.active_days`, `usage.active_weeks`, `usage.days_since_last`, `usage.trend`, `support.opened`, `support.open`, `support.oldest_open_hours`, `support.reopened`, `support.escalated`, `support.resolution_hours`, `payment.overdue_days`, `payment.overdue_minor`, `payment.late_share`, `payment.days_to_pay`, `payment.failed`, `payment.reminders`, `payment.disputes`, `payment.growth`, `survey.nps`, `survey.csat`, `survey.ces`, `survey.assessment`, `account.days_to_renewal` or `account.age_days`"]),
    ("        measure: usage.active_users", "        measure: payment.failed",
     &["card.yaml:9: dimensions[0].measures[0].features is given, but only `usage` measures read it, not `payment.failed`"]),
    ("        window: 28d", "        window: 28",
     &["card.yaml:8: dimensions[0].measures[0].window is 28, expected a duration such as `28d`, `6h`, `90s` or `250ms`"]),
    ("        window: 28d", "        window: 100h",
     &["card.yaml:8: dimensions[0].measures[0].window is 100h, expected a whole number of panes of 6h, the default for this length: 4d or 102h"]),
    ("        window: 28d", "        window: 0d",
     &["card.yaml:8: dimensions[0].measures[0].window is `0d`, expected more than no time"]),
    ("        window: 28d", "        window: 1500d",
     &["card.yaml:8: dimensions[0].measures[0].window is 1500d, expected at most 1344d (192 panes of 7d, the default for this length)"]),
    ("        window: 28d", "        window: 1345d",
     &["card.yaml:8: dimensions[0].measures[0].window is 1345d, expected a whole number of panes of 7d, the default for this length: 1344d"]),
    ("        window: 28d\n", "",
     &["card.yaml:6: dimensions[0].measures[0].window is missing"]),
    ("        window: 28d", "        window: 28d\n        pane: 1h",
     &["card.yaml:8: dimensions[0].measures[0].window is 28d, which makes 672 panes of 1h, expected at most 192"]),
    ("        window: 28d", "        window: 28d\n        baseline: 28d",
     &["card.yaml:9: dimensions[0].measures[0].baseline is given, but `usage.active_users` compares with none, only `usage.trend` and `payment.growth` do"]),
    ("        window: 28d", "        window: 28d\n        prior: 5",
     &["card.yaml:9: dimensions[0].measures[0].prior is given, but only `usage.trend` has one, not `usage.active_users`"]),
    ("        window: 28d", "        window: 28d\n        points: 5",
     &["card.yaml:9: dimensions[0].measures[0].points is given, but only `combine: points` and `signed` use them, use `weight`"]),
    ("        measure: usage.active_users", "        measure: usage.active_days\n        pane: 7d",
     &["card.yaml:8: dimensions[0].measures[0].pane is `7d`, expected 1d, which is what `usage.active_days` counts"]),
    ("        baseline: 21d\n", "",
     &["card.yaml:11: dimensions[0].measures[1].baseline is missing"]),
    ("        baseline: 21d", "        baseline: 3d",
     &["card.yaml:13: warning: dimensions[0].measures[1].window is 7d, longer than baseline (3d): the past is the steadier of the two only when it is longer"]),
    ("        features: [reports, exports]", "        features: [reports, reports]",
     &["card.yaml:9: dimensions[0].measures[0].features lists `reports` twice"]),
    ("        features: [reports, exports]", "        features: []",
     &["card.yaml:9: dimensions[0].measures[0].features is an empty list, expected at least one"]),
    ("        features: [reports, exports]", "        features: reports",
     &["card.yaml:9: dimensions[0].measures[0].features is `reports`, expected a list"]),
    ("        features: [reports, exports]", "        categories: [bug]",
     &["card.yaml:9: dimensions[0].measures[0].categories is given, but only `support` measures read it, not `usage.active_users`"]),
    ("        features: [reports, exports]", "        roles: [admin]",
     &["card.yaml:9: dimensions[0].measures[0].roles is given, but only `survey` measures read it, not `usage.active_users`"]),
    ("        weight: 0", "        weight: zero",
     &["card.yaml:15: dimensions[0].measures[1].weight is `zero`, expected a number"]),
    ("        curve: { linear: { from: 0, to: 10 } }\n", "",
     &["card.yaml:6: dimensions[0].measures[0].curve is missing"]),
    ("        curve: { linear: { from: 0, to: 10 } }", "        curve: { linear: { from: 10, to: 10 } }",
     &["card.yaml:10: dimensions[0].measures[0].curve.linear runs from 10 to 10, expected two different values: the first scores 0, the second 100"]),
    ("        curve: { linear: { from: 0, to: 10 } }", "        curve: { linear: { from: 0 } }",
     &["card.yaml:10: dimensions[0].measures[0].curve.linear.to is missing"]),
    ("        curve: { linear: { from: 0, to: 10 } }", "        curve: linear",
     &["card.yaml:10: dimensions[0].measures[0].curve is `linear`, expected `{ linear: .. }`, `{ piecewise: .. }`, `{ steps: .. }` or `{ map: .. }`"]),
    ("        curve: { linear: { from: 0, to: 10 } }", "        curve: { linear: [0, 10] }",
     &["card.yaml:10: dimensions[0].measures[0].curve.linear is a list, expected `{ from: 0, to: 10 }`: the value that scores 0, and that of 100"]),
    ("        curve: { linear: { from: 0, to: 10 } }", "        curve: { steps: { 0: 100 } }",
     &["card.yaml:10: dimensions[0].measures[0].curve.steps is a mapping, expected a list of `[value, sub-score]` such as `[[0, 100], [7, 50], [30, 0]]`"]),
    ("        curve: { linear: { from: 0, to: 10 } }", "        curve: { map: [[0, 100]] }",
     &["card.yaml:10: dimensions[0].measures[0].curve.map is a list, expected sub-scores by value such as `{ 0: 0, 50: 50, 100: 100 }`"]),
    ("when: { measure: overdue, at_least: 60 }", "when: overdue > 60",
     &["card.yaml:34: gates[0].when is `overdue > 60`, expected a condition such as `{ measure: overdue, at_least: 60 }`"]),
    ("where: { profile: tier, is: gold }", "where: gold",
     &["card.yaml:46: alerts[2].where is `gold`, expected a condition such as `{ profile: tier, is: gold }`"]),
    ("dwell: { worse: 1h, better: 14d }", "dwell: 1h",
     &["card.yaml:39: anti_flap.dwell is `1h`, expected a mapping such as `{ worse: 1h, better: 14d }`"]),
    ("anti_flap: { margin: 5, dwell: { worse: 1h, better: 14d }, bypass_drop: 25 }", "anti_flap: off",
     &["card.yaml:39: anti_flap is `off`, expected a mapping such as `{ margin: 5, dwell: { worse: 1h, better: 14d }, bypass_drop: 25 }`"]),
    ("        curve: { linear: { from: 0, to: 10 } }", "        curve: { }",
     &["card.yaml:10: dimensions[0].measures[0].curve needs `linear`, `piecewise`, `steps` or `map`"]),
    ("        curve: { linear: { from: 0, to: 10 } }", "        curve: { linear: { from: 0, to: 10 }, steps: [[0, 0]] }",
     &["card.yaml:10: dimensions[0].measures[0].curve has `linear` and `steps`, expected one of them"]),
    ("        curve: { linear: { from: 0, to: 10 } }", "        curve: { piecewise: [[0, 20], [5, 20]] }",
     &["card.yaml:10: warning: dimensions[0].measures[0].curve is flat: every value scores 20"]),
    ("        curve: { linear: { from: 0, to: 10 } }", "        curve: { map: { 0: 0, 1: 100 } }",
     &["card.yaml:10: warning: dimensions[0].measures[0].curve lists 2 values; any other value of `usage.active_users` is missing"]),
    ("[0.8, 60]", "[0.2, 60]",
     &["card.yaml:16: dimensions[0].measures[1].curve.piecewise[1][0] is 0.2, expected more than dimensions[0].measures[1].curve.piecewise[0][0] (0.2)"]),
    ("[0.8, 60]", "[0.8, 160]",
     &["card.yaml:16: dimensions[0].measures[1].curve.piecewise[1][1] is 160, expected a sub-score from 0 to 100"]),
    ("[0.8, 60]", "[0.8]",
     &["card.yaml:16: dimensions[0].measures[1].curve.piecewise[1] is a list of 1, expected two numbers: [value, sub-score]"]),
    ("[0.8, 60]", "[.inf, 60]",
     &["card.yaml:16: dimensions[0].measures[1].curve.piecewise[1][0] is `.inf`, expected a number"]),
    ("{ 0: 0, 50: 50, 100: 100 }", "{ low: 0, 100: 100 }",
     &["card.yaml:28: dimensions[1].measures[1].curve.map lists `low`, expected a number"]),
    ("{ 0: 0, 50: 50, 100: 100 }", "{ 0: 0, 0.0: 100 }",
     &["card.yaml:28: dimensions[1].measures[1].curve.map.0.0 is for 0, which is listed before"]),
    ("{ 0: 0, 50: 50, 100: 100 }", "{}",
     &["card.yaml:28: dimensions[1].measures[1].curve.map is an empty mapping, expected at least one value"]),
    ("        measure: payment.overdue_days", "        measure: payment.overdue_days\n        window: 28d",
     &["card.yaml:22: dimensions[1].measures[0].window is given, but `payment.overdue_days` is about now and has none"]),
    ("        measure: payment.overdue_days", "        measure: payment.late_share\n        window: 120d",
     &["card.yaml:22: warning: dimensions[1].measures[0].window is 120d, longer than item_horizon (90d): a ticket or invoice settled before that takes no late status any more", "card.yaml:35: warning: gates[0] can never apply: `overdue` is never at least 60, `payment.late_share` is 0 to 1", "card.yaml:47: warning: alerts[2] can never fire: `overdue` is never above 30, `payment.late_share` is 0 to 1"]),
    ("        measure: payment.overdue_days", "        measure: payment.growth\n        window: 182d",
     &["card.yaml:20: dimensions[1].measures[0].baseline is missing"]),
    ("        measure: payment.overdue_days", "        measure: payment.growth\n        window: 182d\n        baseline: 364d",
     &["card.yaml:22: warning: dimensions[1].measures[0].window is 182d, but baseline is 364d: amounts are compared as they are, not as rates"]),
    ("        surveys: [renewal_intent]\n", "",
     &["card.yaml:23: dimensions[1].measures[1].surveys is missing"]),
    ("        surveys: [renewal_intent]", "        surveys: [nps]",
     &["card.yaml:25: dimensions[1].measures[1].surveys lists `nps`, which is no assessment: use `measure: survey.nps`"]),
    ("        measure: survey.assessment", "        measure: survey.csat",
     &["card.yaml:25: dimensions[1].measures[1].surveys is given, but `survey.csat` reads the survey `csat` only: leave it out", "card.yaml:28: warning: dimensions[1].measures[1].curve lists 3 values; any other value of `survey.csat` is missing"]),
    ("        missing: neutral", "        missing: ignore",
     &["card.yaml:27: dimensions[1].measures[1].missing is `ignore`, expected `redistribute`, `zero`, `neutral` or a sub-score from 0 to 100"]),
    ("        missing: neutral", "        missing: 101",
     &["card.yaml:27: dimensions[1].measures[1].missing is 101, expected `redistribute`, `zero`, `neutral` or a sub-score from 0 to 100"]),
    ("        missing: neutral", "        stale_after: soon",
     &["card.yaml:27: dimensions[1].measures[1].stale_after is `soon`, expected a duration such as `28d`, `6h`, `90s` or `250ms`"]),
    ("        priorities: [high, urgent]", "        priorities: [high, critical]",
     &["card.yaml:31: dimensions[1].measures[2].priorities[1] is `critical`, expected `low`, `normal`, `high` or `urgent`"]),
    ("cap: 50", "cap: 150",
     &["card.yaml:34: gates[0].cap is 150, expected 0 to 100"]),
    ("cap: 50", "cap: 50, floor: 10",
     &["card.yaml:34: gates[0] has `cap` and `floor`, expected one of them"]),
    ("cap: 50, ", "",
     &["card.yaml:34: gates[0] needs `cap` or `floor`"]),
    (", reason: late", "",
     &["card.yaml:34: gates[0].reason is missing"]),
    ("measure: overdue, at_least", "measure: overdu, at_least",
     &["card.yaml:34: gates[0].when.measure names no measure: `overdu`; did you mean `overdue`?"]),
    ("measure: overdue, at_least", "measure: payment, at_least",
     &["card.yaml:34: gates[0].when.measure names no measure: `payment`; this card has users, trend, overdue, intent, open"]),
    ("measure: overdue, at_least: 60", "measure: overdue",
     &["card.yaml:34: gates[0].when needs `at_least`, `at_most`, `above`, `below` or `equals`"]),
    ("measure: overdue, at_least: 60", "measure: overdue, at_least: 60, below: 90",
     &["card.yaml:34: gates[0].when has `at_least` and `below`, expected one of them"]),
    ("{ measure: overdue, at_least: 60 }", "{ profile: teir, is: gold }",
     &["card.yaml:34: gates[0].when.profile is `teir`, expected one like `tier`"]),
    ("{ measure: overdue, at_least: 60 }", "{ profile: status, is: gone }",
     &["card.yaml:34: gates[0].when.is is `gone`, expected `active`, `trial` or `churned`"]),
    ("{ measure: overdue, at_least: 60 }", "{ profile: started_at, above: 5 }",
     &["card.yaml:34: gates[0].when.profile is an instant, expected a condition on `measure: account.age_days`"]),
    ("{ measure: overdue, at_least: 60 }", "{ profile: tier, at_least: 5 }",
     &["card.yaml:34: gates[0].when needs `is` or `in`", "card.yaml:34: gates[0].when.at_least is not a known key; known here: measure, profile, all, any, not, is, in"]),
    ("{ measure: overdue, at_least: 60 }", "{ profile: recovery_path, is: yes }",
     &["card.yaml:34: gates[0].when.is is `yes`, expected `true` or `false`"]),
    ("{ measure: overdue, at_least: 60 }", "{ all: [] }",
     &["card.yaml:34: gates[0].when.all is an empty list, expected at least one"]),
    ("{ measure: overdue, at_least: 60 }", "{ any: [{ measure: overdue, above: 1 }], not: { measure: overdue, above: 9 } }",
     &["card.yaml:34: gates[0].when has `any` and `not`, expected one of them"]),
    ("  - { id: late,", "  - { id: late, cap: 1, when: { measure: open, above: 9 }, reason: x }\n  - { id: late,",
     &["card.yaml:35: gates[1] has id `late`, used by a gate before"]),
    ("up_to: 50, color", "up_to: 75, color",
     &["card.yaml:37: bands[1].below is 70, expected more than bands[0].up_to (75)"]),
    ("up_to: 50, color", "color",
     &["card.yaml:36: bands[0] needs `up_to` or `below`"]),
    ("up_to: 50, color", "up_to: 50, below: 60, color",
     &["card.yaml:36: bands[0] has `up_to` and `below`, expected one of them"]),
    ("name: yellow", "name: unknown",
     &["card.yaml:37: bands[1].name is `unknown`, which is the band of accounts without a score: choose another name"]),
    ("name: yellow", "name: red",
     &["card.yaml:37: bands[1].name is `red`, the name of a band before"]),
    ("green, up_to: 100", "green, up_to: 99",
     &["card.yaml:38: bands[2] ends with `up_to: 99`, expected the last band to have `up_to: 100`"]),
    ("green, up_to: 100", "green, below: 100",
     &["card.yaml:38: bands[2] ends with `below: 100`, expected the last band to have `up_to: 100`"]),
    ("\"#c0392b\"", "\"#c0392\"",
     &["card.yaml:36: bands[0].color is `#c0392`, expected a CSS hex colour such as \"#c0392b\""]),
    ("\"#c0392b\"", "darkred",
     &["card.yaml:36: bands[0].color is `darkred`, expected a CSS hex colour such as \"#c0392b\""]),
    ("up_to: 50, color: \"#c0392b\", action: call }", "up_to: 50,\n      color: #c0392b\n    }",
     &["card.yaml:37: bands[0].color is empty, expected a colour in quotes: outside of them `#` begins a comment"]),
    ("margin: 5", "margin: -5",
     &["card.yaml:39: anti_flap.margin is -5, expected 0 to 100"]),
    ("margin: 5", "margin: 31",
     &["card.yaml:37: warning: bands[1] can never be left for a better band: its edge 70 plus anti_flap.margin 31 is over 100 (`yellow`)", "card.yaml:37: warning: bands[1] is 20 points wide, narrower than anti_flap.margin (31): accounts will mostly skip `yellow`"]),
    ("margin: 5", "margn: 5",
     &["card.yaml:39: anti_flap.margn is not a known key; did you mean `margin`?"]),
    ("worse: 1h", "worse: 1 hour",
     &["card.yaml:39: anti_flap.dwell.worse is `1 hour`, expected a duration such as `28d`, `6h`, `90s` or `250ms`"]),
    ("bypass_drop: 25", "bypass_drop: 0",
     &["card.yaml:39: anti_flap.bypass_drop is 0, expected more than 0: any fall would skip the dwell"]),
    ("min_coverage: 0.5", "min_coverage: 50",
     &["card.yaml:40: min_coverage is 50, expected 0 to 1"]),
    ("grace: 0d", "grace: a week",
     &["card.yaml:41: grace is `a week`, expected a duration such as `28d`, `6h`, `90s` or `250ms`"]),
    ("item_horizon: 90d", "item_horizon: 0",
     &["card.yaml:42: item_horizon is 0, expected more than no time"]),
    ("item_horizon: 90d", "item_horizon: 90d\n---\nscorecard: two",
     &["card.yaml:43: a second document begins here, expected one"]),
    ("id: drop, score_drop", "id: drop, score_drp",
     &["card.yaml:44: alerts[0] needs `score_drop`, `band_entered`, `measure`, `silence`, `renewal_at_risk`, `opportunity` or `coverage`", "card.yaml:44: alerts[0].score_drp is not a known key; did you mean `score_drop`?"]),
    ("id: went_red,", "id: drop,",
     &["card.yaml:45: alerts[1] has id `drop`, used by a rule before"]),
    ("band_entered: red", "band_entered: rad",
     &["card.yaml:45: alerts[1].band_entered names no band: `rad`; did you mean `red`?"]),
    ("band_entered: red", "band_entered: unknown",
     &["card.yaml:45: alerts[1].band_entered is `unknown`, in which no risk alert begins: a `coverage` rule tells of missing data"]),
    ("band_entered: red", "band_entered: []",
     &["card.yaml:45: alerts[1].band_entered is an empty list, expected at least one"]),
    ("severity: critical", "severity: fatal",
     &["card.yaml:45: alerts[1].severity is `fatal`, expected `info`, `warning` or `critical`"]),
    ("at_most: 50 } }", "at_most: 50 }, severity: info }",
     &["card.yaml:44: alerts[0].severity is given, but the levels of the rule are its severities"]),
    ("warning: 25, critical: 40", "warning: 40, critical: 25",
     &["card.yaml:44: alerts[0].score_drop.points.critical is 25, expected more than `warning` has"]),
    ("{ warning: 25, critical: 40 }", "{ warning: 25 }",
     &["card.yaml:44: alerts[0].score_drop.points needs at least two of `info`, `warning` and `critical`; for one level write the number and give the rule a `severity`"]),
    ("{ warning: 25, critical: 40 }", "0",
     &["card.yaml:44: alerts[0].score_drop.points is 0, expected more than 0"]),
    ("{ points: { warning: 25, critical: 40 }, within: 28d", "{ points: 25, within: 5m",
     &["card.yaml:44: alerts[0].score_drop.within is `5m`, expected at least 1h"]),
    ("measure: overdue, above: 30", "measure: overdu, above: 30",
     &["card.yaml:46: alerts[2].measure names no measure: `overdu`; did you mean `overdue`?"]),
    ("measure: overdue, above: 30", "measure: overdue, equals: 30",
     &["card.yaml:46: alerts[2] needs `above`, `at_least`, `below` or `at_most`", "card.yaml:46: alerts[2].equals is not a known key; known here: id, score_drop, band_entered, measure, silence, renewal_at_risk, opportunity, coverage, above, at_least, below, at_most, severity, action, where, hold, cooldown"]),
    ("measure: overdue, above: 30", "measure: overdue, above: 30, below: 5",
     &["card.yaml:46: alerts[2] has `above` and `below`, expected one of them"]),
    ("where: { profile: tier, is: gold }", "where: { measure: overdue, at_least: 5 }",
     &["card.yaml:46: alerts[2].where.measure cannot be asked here, only profile fields can"]),
    ("silence: { for: 14d }", "silence: 14d",
     &["card.yaml:47: alerts[3].silence is `14d`, expected a mapping such as `{ for: 14d }`"]),
    ("silence: { for: 14d }", "silence: { for: 0d }",
     &["card.yaml:47: alerts[3].silence.for is `0d`, expected more than no time"]),
    ("within: 90d, bands: [red, yellow]", "within: 90d",
     &["card.yaml:48: alerts[4].renewal_at_risk.bands is missing"]),
    ("within: 90d, bands: [red, yellow]", "within: { warning: 30d, critical: 90d }, bands: red",
     &["card.yaml:48: alerts[4].renewal_at_risk.within.critical is `90d`, expected less than `warning` has"]),
    ("rising: { measure: trend, at_least: 1.2 }", "rising: trend",
     &["card.yaml:49: alerts[5].opportunity.rising is `trend`, expected a mapping such as `{ measure: usage_trend, at_least: 1.2 }`"]),
    ("coverage: { below: 0.5 }", "coverage: { below: 50 }",
     &["card.yaml:50: alerts[6].coverage.below is 50, expected 0 to 1"]),
];

#[test]
fn each_mistake_is_told_in_these_words() {
    let mut wrong = Vec::new();
    for (from, to, expected) in MISTAKES {
        let told = told(&spoiled(from, to));
        if told != *expected {
            wrong.push(format!("{from:?} -> {to:?}\n{told:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
