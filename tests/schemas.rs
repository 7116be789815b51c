//! The JSON Schemas against many scorecards and against what the engine really writes.

#[path = "histories/mod.rs"]
mod histories;
mod json_of_yaml;

use std::path::Path;
use std::sync::Arc;

use barometer::engine::Engine;
use barometer::engine::event::{DecodeLimits, Source, decode};
use barometer::engine::outage::OperatorAlert;
use barometer::engine::record;
use barometer::engine::scorecard::Scorecard;
use barometer::engine::time::{EventTime, Span};
use barometer::preset::PRESETS;
use barometer::schema::SCHEMAS;
use barometer::simulate::{Fleet, FleetSettings};
use histories::harness::check;
use json_of_yaml::json_of_yaml;
use jsonschema::Validator;
use serde_json::Value;

/// Without a resolver: a reference that leads out of the schema would be an error.
fn validator(name: &str) -> Validator {
    let schema = SCHEMAS.iter().find(|schema| schema.name == name).expect("there is one");
    jsonschema::draft7::new(&schema.value()).expect("it is a schema")
}

fn hold(validator: &Validator, value: &Value) -> Result<(), String> {
    let errors = validator.iter_errors(value);
    let told: Vec<String> =
        errors.map(|error| format!("{}: {error}", error.instance_path())).collect();
    if told.is_empty() { Ok(()) } else { Err(format!("{}\n{value:#}", told.join("\n"))) }
}

#[test]
fn every_scorecard_that_the_reader_takes_is_valid() {
    let validator = validator("scorecard");
    check(400, histories::cases(1), |case| {
        Scorecard::parse("card.yaml", &case.card).map_err(|problems| format!("{problems:?}"))?;
        hold(&validator, &json_of_yaml(&case.card).expect("it is YAML"))
    });
}

#[test]
fn the_first_scorecard_of_the_readme_is_valid_and_its_test_holds() {
    let readme = include_str!("../README.md");
    let (_, chapter) = readme.split_once("## A first scorecard").expect("there is one");
    let (_, block) = chapter.split_once("```yaml\n").expect("there is a card in it");
    let (text, _) = block.split_once("```").expect("the block ends");
    hold(&validator("scorecard"), &json_of_yaml(text).expect("it is YAML")).unwrap();
    let file = barometer::card_test::read_text("first.yaml", text, Path::new("")).unwrap();
    assert_eq!((file.cases.len(), file.warnings), (1, vec![]));
    let outcome = barometer::card_test::run(&file.card, &file.cases[0]);
    assert!(outcome.holds(), "{outcome}");
}

#[test]
fn every_event_that_is_decoded_is_valid() {
    let names = ["usage_event", "ticket_event", "payment_event", "survey_event", "account_profile"];
    let validators = names.map(validator);
    check(100, histories::cases(60), |case| {
        for arrival in &case.arrivals {
            let Some(body) = &arrival.body else { continue };
            hold(&validators[arrival.source as usize], body)?;
        }
        Ok(())
    });
}

/// What an engine publishes of a simulated fleet, and the reports at the end.
#[test]
fn every_record_that_is_written_is_valid() {
    let names = ["band_changed.v1", "alert_fired.v1", "alert_resolved.v1"];
    let validators = names.map(|name| (name, validator(name)));
    let report = validator("account_report");
    let mut seen = [0; 3];
    for preset in &PRESETS {
        let card = with_alerts(preset.text);
        let card = Arc::new(Scorecard::parse(preset.name, &card).unwrap().scorecard);
        let mut engine = Engine::new(card, EventTime::MIN);
        let settings = FleetSettings { accounts: 8, ..FleetSettings::default() };
        let mut fleet = Fleet::new(settings);
        let until = FleetSettings::default().start + Span::days(120);
        for event in fleet.events(until) {
            engine.advance_to(event.record_time);
            let (key, body) = (event.account_id.as_bytes(), event.body.as_bytes());
            let limits = DecodeLimits::default();
            let decoded = decode(event.source, Some(key), Some(body), event.record_time, &limits);
            engine.handle_event(&decoded.unwrap());
        }
        engine.advance_to(until + Span::days(60));
        while let Some(verdict) = engine.poll_verdict() {
            let record = record::encode(&verdict, "/barometer/test");
            let header = |name: &str| {
                record.headers.iter().find(|(own, _)| *own == name).map(|(_, value)| value.clone())
            };
            let kind = names.iter().position(|name| {
                header("ce_dataschema") == Some(barometer::schema::id(name))
                    && header("ce_type") == Some(format!("barometer.{name}"))
            });
            let kind = kind.expect("the headers name a schema");
            seen[kind] += 1;
            hold(&validators[kind].1, &serde_json::from_slice(&record.payload).unwrap()).unwrap();
        }
        let ids: Vec<String> = engine.account_ids().map(str::to_owned).collect();
        for id in ids {
            let snapshot = engine.snapshot(&id).expect("it has just been named");
            hold(&report, &serde_json::to_value(snapshot.report()).unwrap()).unwrap();
        }
    }
    assert!(seen.iter().all(|count| *count > 10), "{seen:?}");
}

/// The card with rules that a fleet is sure to meet, beside its own.
fn with_alerts(text: &str) -> String {
    let rules = "
  - { id: any_fall, score_drop: { points: { info: 5, warning: 15 }, within: 28d } }
  - { id: any_silence, silence: { for: { warning: 3d, critical: 10d } } }
  - { id: any_gap, coverage: { below: 0.9 } }
";
    match text.split_once("\nalerts:") {
        Some((before, after)) => format!("{before}\nalerts:{rules}{after}"),
        None => format!("{text}\nalerts:{rules}"),
    }
}

#[test]
fn what_operators_are_told_is_valid() {
    let validator = validator("operator_alert.v1");
    let at = FleetSettings::default().start;
    for ended_at in [None, Some(at)] {
        let alert = OperatorAlert {
            sequence: 1,
            source: Source::Usage,
            at,
            started_at: at,
            detected_at: at,
            ended_at,
            expected: 40.5,
            came: 2,
        };
        let record = record::encode_operator_alert(&alert, 3, "/barometer/test");
        let schema = ("ce_dataschema", barometer::schema::id("operator_alert.v1"));
        assert!(record.headers.contains(&schema), "{:?}", record.headers);
        hold(&validator, &serde_json::from_slice(&record.payload).unwrap()).unwrap();
    }
}
