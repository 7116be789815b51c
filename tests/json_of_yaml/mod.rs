//! A YAML file as the JSON that a schema is held against, read as editors read it: by a library
//! that is not ours.

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value};

/// `None` where it is no YAML, or says one key twice.
pub fn json_of_yaml(text: &str) -> Option<Value> {
    let documents = Yaml::load_from_str(text).ok()?;
    let [document] = &documents[..] else { return None };
    json_of(document)
}

fn json_of(yaml: &Yaml<'_>) -> Option<Value> {
    Some(match yaml {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => Value::from(*value),
        Yaml::Value(Scalar::Integer(value)) => Value::from(*value),
        // JSON has no infinity, and no number may be one.
        Yaml::Value(Scalar::FloatingPoint(value)) => Value::from(value.into_inner()),
        Yaml::Value(Scalar::String(text)) => Value::from(text.as_ref()),
        Yaml::Sequence(items) => items.iter().map(json_of).collect::<Option<Vec<_>>>()?.into(),
        Yaml::Mapping(entries) => {
            let pair = |(key, value): (&Yaml<'_>, &Yaml<'_>)| {
                let key = match json_of(key)? {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                Some((key, json_of(value)?))
            };
            Value::Object(entries.iter().map(pair).collect::<Option<Map<_, _>>>()?)
        }
        _ => return None,
    })
}
