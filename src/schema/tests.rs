//! The schemas against the readers they mirror: the same keys, and no mistake let through that a
//! schema can see.

#[path = "../../tests/json_of_yaml/mod.rs"]
mod json_of_yaml;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use jsonschema::Validator;
use serde_json::Value;

use super::{SCHEMAS, files};
use crate::engine::scorecard::{Scorecard, known_keys, mistakes};
use crate::preset::PRESETS;
use crate::{card_test, config};
use json_of_yaml::json_of_yaml;

fn schema(name: &str) -> Value {
    SCHEMAS.iter().find(|schema| schema.name == name).expect("there is one").value()
}

fn validator(name: &str) -> Validator {
    jsonschema::draft7::new(&schema(name)).expect("the schema is one")
}

#[test]
fn the_committed_schemas_are_those_of_the_types() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/schemas");
    let there: BTreeSet<String> = fs::read_dir(&directory)
        .expect("config/schemas is there")
        .map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned())
        .collect();
    let files = files();
    assert_eq!(there, files.iter().map(|(name, _)| name.clone()).collect());
    for (name, text) in files {
        let committed = fs::read_to_string(directory.join(&name)).expect("it is there");
        assert!(
            committed == text,
            "config/schemas/{name} is not what the types say: `cargo run -- schema --output \
             config/schemas` writes it anew"
        );
    }
}

#[test]
fn every_schema_is_a_schema() {
    for schema in SCHEMAS {
        assert!(jsonschema::draft7::meta::is_valid(&schema.value()), "{}", schema.name);
        validator(schema.name);
    }
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    let files = files();
    let (_, text) = files.last().expect("the document comes last");
    let document: Value = serde_json::from_str(text).expect("it is JSON");
    let mut references = Vec::new();
    gather_references(&document, &mut references);
    assert!(references.len() > 20, "{references:?}");
    for reference in references {
        let leads = match reference.strip_prefix("./") {
            Some(file) => files.iter().any(|(name, _)| name == file),
            None => document.pointer(reference.trim_start_matches('#')).is_some(),
        };
        assert!(leads, "{reference}");
    }
    // Every record that is written has its place in the document.
    for name in ["band_changed.v1", "alert_fired.v1", "alert_resolved.v1", "account_report"] {
        assert!(text.contains(&format!("\"./{name}.json\"")), "{name}");
    }
}

fn gather_references(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            if let Some(Value::String(reference)) = object.get("$ref") {
                references.push(reference.clone());
            }
            object.values().for_each(|value| gather_references(value, references));
        }
        Value::Array(items) => {
            items.iter().for_each(|value| gather_references(value, references));
        }
        _ => {}
    }
}

/// Every key a schema knows, as the readers write paths, with `[]` for any item.
fn schema_keys(name: &str) -> BTreeSet<String> {
    let root = schema(name);
    let mut keys = BTreeSet::new();
    walk(&root, &root, "", &mut Vec::new(), &mut keys);
    keys
}

fn walk<'a>(
    root: &'a Value,
    schema: &'a Value,
    path: &str,
    inside: &mut Vec<&'a str>,
    keys: &mut BTreeSet<String>,
) {
    if let Some(reference) = schema["$ref"].as_str() {
        // A condition in a condition has the keys of a condition.
        if !inside.contains(&reference) {
            inside.push(reference);
            let target = root.pointer(reference.trim_start_matches('#')).expect("it is there");
            walk(root, target, path, inside, keys);
            inside.pop();
        }
    }
    for (key, value) in schema["properties"].as_object().into_iter().flatten() {
        let dot = if path.is_empty() { "" } else { "." };
        let path = format!("{path}{dot}{key}");
        walk(root, value, &path, inside, keys);
        keys.insert(path);
    }
    if schema["items"].is_object() {
        walk(root, &schema["items"], &format!("{path}[]"), inside, keys);
    }
    for choices in ["anyOf", "oneOf", "allOf"] {
        for choice in schema[choices].as_array().into_iter().flatten() {
            walk(root, choice, path, inside, keys);
        }
    }
}

/// A path without numbers, one or a list of them alike, and a condition in a condition as the one
/// around it.
fn generalised(path: &str) -> String {
    let numberless: Vec<&str> =
        path.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest)).collect();
    let mut general = numberless.concat();
    for nested in [".all.", ".any.", ".not."] {
        while let Some(at) = general.find(nested) {
            general.replace_range(at..at + nested.len() - 1, "");
        }
    }
    general
}

fn assert_same_keys(name: &str, asked: impl IntoIterator<Item = String>, only_asked: &[&str]) {
    let asked: BTreeSet<String> = asked.into_iter().map(|path| generalised(&path)).collect();
    let known: BTreeSet<String> =
        schema_keys(name).into_iter().map(|path| generalised(&path)).collect();
    let reader_only: Vec<&String> = asked.difference(&known).collect();
    assert_eq!(reader_only, only_asked, "{name}: keys that only the reader knows");
    let schema_only: Vec<&String> = known.difference(&asked).collect();
    assert_eq!(schema_only, Vec::<&String>::new(), "{name}: keys that no reader asks for");
}

#[test]
fn scorecards_have_the_same_keys_here_and_in_their_reader() {
    let wrong = mistakes::MISTAKES.iter().map(|(from, to, _)| mistakes::spoiled(from, to));
    let cards = wrong.chain([mistakes::GOOD.to_owned(), EVERYTHING.to_owned()]);
    let asked: Vec<String> = cards.flat_map(|card| known_keys(&card)).collect();
    // What stands in `tests:` is another reader's.
    let own = schema_keys("scorecard").into_iter().filter(|key| key.starts_with("tests["));
    // Asked for only to say that it has no place there.
    let refused = ["alerts.where.measure", "bands.sub_bands.when.measure"];
    assert_same_keys("scorecard", asked.into_iter().chain(own), &refused);
}

/// What the card of the mistakes leaves out.
const EVERYTHING: &str = "
scorecard: everything
owner: ann
combine: { signed: { start: 50 } }
dimensions:
- id: d
  measures:
  - { id: m, measure: usage.trend, window: 7d, baseline: 28d, points: 10, curve: { linear: { from: 0, to: 1 } } }
bands:
- { name: bad, up_to: 50, urgency: high, sub_bands: [{ name: worst, up_to: 30, when: { any: [{ profile: seats, above: 9 }, { profile: tier, in: [gold] }] }, action: call, urgency: immediate }] }
- { name: good, up_to: 100 }
alerts:
- { id: a, score_drop: { points: { warning: 25, critical: 40 }, within: 28d, at_most: 50 }, hold: 1h, cooldown: 7d }
- { id: b, band_entered: [bad], severity: critical, where: { all: [{ profile: seats, at_most: 9 }, { not: { profile: tier, in: [free] } }] } }
- { id: c, measure: m, below: { info: 0.9, warning: 0.5, critical: 0.2 }, action: look }
- { id: d, measure: m, above: { info: 0.9, warning: 1.5 } }
- { id: e, measure: m, at_least: { info: 0.9, critical: 1.5 } }
- { id: f, measure: m, at_most: { info: 0.9, critical: 0.5 } }
- { id: g, silence: { for: { warning: 7d, critical: 14d } } }
- { id: h, renewal_at_risk: { within: { warning: 90d, critical: 30d }, bands: bad } }
- { id: i, opportunity: { band: good, for: 30d, rising: { measure: m, at_least: 1.2 } } }
- { id: j, coverage: { below: { warning: 0.5, critical: 0.25 } } }
";

#[test]
fn tests_have_the_same_keys_here_and_in_their_reader() {
    let text = "
preset: saas-default
tests:
- name: x
  given:
  - { at: 0d, repeat: {}, usage: {}, ticket: {}, payment: {}, survey: {}, profile: {} }
  expect:
  - { at: 0d, score: {}, coverage: {}, band_changes: {} }
";
    assert_same_keys("scorecard-tests", card_test::known_keys(text), &[]);
}

#[test]
fn settings_have_the_same_keys_here_and_in_their_reader() {
    let shipped = config::tests::uncomment_examples(include_str!("../../config/barometer.yaml"));
    let numbers = "scorecards: [{ file: a.yaml, when: { profile: seats, above: 9 } }]";
    let asked = [&*shipped, numbers].map(config::tests::known_keys).concat();
    assert_same_keys("settings", asked, &["scorecards.when.measure"]);
}

/// What `value` breaks of a schema, as far as editors would tell it.
fn told(validator: &Validator, value: &Value) -> Vec<String> {
    let errors = validator.iter_errors(value);
    errors.map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn what_ships_is_valid() {
    let card = validator("scorecard");
    for preset in &PRESETS {
        let value = json_of_yaml(preset.text).expect("it is YAML");
        assert_eq!(told(&card, &value), Vec::<String>::new(), "{}", preset.name);
    }
    for text in [mistakes::GOOD, EVERYTHING] {
        Scorecard::parse("card.yaml", text).expect("it is good");
        let value = json_of_yaml(text).expect("it is YAML");
        assert_eq!(told(&card, &value), Vec::<String>::new());
    }
    let settings = validator("settings");
    let shipped = include_str!("../../config/barometer.yaml");
    let with_examples = config::tests::uncomment_examples(shipped);
    for text in [shipped, &with_examples, "", "kafka:\nengine: { workers: \"${WORKERS}\" }\n"] {
        let value = json_of_yaml(text).unwrap_or(Value::Null);
        assert_eq!(told(&settings, &value), Vec::<String>::new(), "{text}");
    }
    let tests = validator("scorecard-tests");
    for text in [
        include_str!("../../tests/scorecards/three-dimensions-by-mean.yaml"),
        include_str!("../../tests/scorecards/three-dimensions-test.yaml"),
    ] {
        let validator = if text.contains("\npreset:") { &tests } else { &card };
        let value = json_of_yaml(text).expect("it is YAML");
        assert_eq!(told(validator, &value), Vec::<String>::new(), "{text}");
    }
}

/// Of the mistakes the reader knows, those that no schema can see: a name that is not there or is
/// there twice, numbers in the wrong order or too close, panes that do not divide a window.
#[rustfmt::skip]
const FOR_THE_READER: &[&str] = &[
    "scorecard: !!str acme",
    "- id: product_use",
    "weight: 0x3c",
    "- id: open",
    "window: 100h",
    "window: 1500d",
    "window: 1345d",
    "window: 28d\n        pane: 1h",
    "measure: usage.active_days\n        pane: 7d",
    "curve: { linear: { from: 10, to: 10 } }",
    "[0.2, 60]",
    "{ 0: 0, 0.0: 100 }",
    "measure: overdu, at_least",
    "measure: payment, at_least",
    "- { id: late, cap: 1, when: { measure: open, above: 9 }, reason: x }\n  - { id: late,",
    "up_to: 75, color",
    "name: red",
    "id: drop,",
    "band_entered: rad",
    "warning: 40, critical: 25",
    "{ points: 25, within: 5m",
    "measure: overdu, above: 30",
    "within: { warning: 30d, critical: 90d }, bands: red",
];

#[test]
fn the_schema_refuses_every_mistake_that_a_schema_can_see() {
    let card = validator("scorecard");
    let mut let_through = Vec::new();
    for (from, to, _) in mistakes::MISTAKES {
        let text = mistakes::spoiled(from, to);
        let is_mistake = Scorecard::parse("card.yaml", &text).is_err();
        // What is no YAML, or says a key twice, never comes as far as the schema.
        let Some(value) = json_of_yaml(&text) else { continue };
        let found = told(&card, &value);
        assert!(is_mistake || found.is_empty(), "the reader takes {to:?}, the schema: {found:?}");
        if is_mistake && found.is_empty() {
            let_through.push(to.trim());
        }
    }
    assert_eq!(let_through, FOR_THE_READER);
}
