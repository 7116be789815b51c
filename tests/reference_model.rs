//! Stories that the reference model itself must tell rightly before it may judge the engine.
//!
//! Leaves out any comparison with the engine.

mod reference;

use reference::{Card, DAY_MS, HOUR_MS, Model, Record, Source};
use serde_json::json;

#[test]
fn three_dimensions_are_weighted() {
    let card = "
scorecard: three
dimensions:
  - { id: a, weight: 25, measures: [{ id: a, measure: survey.assessment, surveys: [a], window: 28d }] }
  - { id: b, weight: 25, measures: [{ id: b, measure: survey.assessment, surveys: [b], window: 28d }] }
  - { id: c, weight: 50, measures: [{ id: c, measure: survey.assessment, surveys: [c], window: 28d }] }
bands: [{ name: risk, up_to: 50 }, { name: good, below: 70 }, { name: great, up_to: 100 }]
";
    let mut model = Model::new(Card::parse(card));
    for (survey, score) in [("a", 90), ("b", 90), ("c", 40)] {
        model.feed(&Record::on_time(
            Source::Survey,
            json!({"account_id": "acme", "event_id": survey, "occurred_at": 40 * DAY_MS,
                   "survey": survey, "score": score}),
        ));
    }
    let report = model.report("acme", 40 * DAY_MS + HOUR_MS).unwrap();
    assert!((report["score"].as_f64().unwrap() - 65.0).abs() < 1e-9, "{report}");
}
