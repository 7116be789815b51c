//! An optional key of a file is left out, not left empty.
//!
//! `schemars` lets every `Option` be null, as JSON often has it; our YAML readers ask what an empty
//! value is supposed to mean. Sections, whose every key has a default, say themselves that they may
//! be empty, in their own definition and not where they are used.

use serde_json::Value;

/// Takes null away from what the keys of mappings may hold.
pub(super) fn refuse_null(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::Object(properties)) = object.get_mut("properties") {
                properties.values_mut().for_each(without_null);
            }
            object.values_mut().for_each(refuse_null);
        }
        Value::Array(items) => items.iter_mut().for_each(refuse_null),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn without_null(schema: &mut Value) {
    let Value::Object(object) = schema else { return };
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = &types[..] {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = object.get_mut("enum") {
        choices.retain(|choice| !choice.is_null());
    }
    let Some(Value::Array(choices)) = object.get_mut("anyOf") else { return };
    choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
    if let [Value::Object(only)] = &choices[..] {
        let only = only.clone();
        object.remove("anyOf");
        // Draft 7 ignores what stands beside a reference.
        if only.contains_key("$ref") && !object.is_empty() {
            object.insert("allOf".to_owned(), Value::Array(vec![only.into()]));
        } else {
            object.extend(only);
        }
    }
}
