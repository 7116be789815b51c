//! `${VAR}`, `${VAR:-default}` and `${file:PATH}` inside the values of the settings file.
//!
//! Values are filled in after the YAML has been parsed, so that no password can change the shape of
//! the file. `$${` is a plain `${`. A value that was filled in counts as written without quotes.

use std::path::Path;

use super::Surroundings;
use crate::engine::yaml::{Content, Log, Node, Scalar};

/// Fills in every value of the tree; what cannot be filled in goes to `log`.
pub(super) fn fill_in(log: &Log, root: &mut Node, surroundings: &Surroundings<'_>) {
    fill_node(log, root, "", surroundings);
}

/// Whether the value can be read on: one that could not be filled in is taken out of its mapping,
/// so that it is not told a second time for what it is not.
fn fill_node(log: &Log, node: &mut Node, path: &str, surroundings: &Surroundings<'_>) -> bool {
    match &mut node.content {
        Content::Scalar(scalar) => match fill_scalar(scalar, surroundings) {
            Ok(()) => true,
            Err(mistake) => {
                log.error(node.position, path, format!("{path} {mistake}"));
                false
            }
        },
        Content::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                fill_node(log, item, &format!("{path}[{index}]"), surroundings);
            }
            true
        }
        Content::Mapping(entries) => {
            entries.retain_mut(|entry| {
                let dot = if path.is_empty() { "" } else { "." };
                let path = format!("{path}{dot}{}", entry.key);
                fill_node(log, &mut entry.value, &path, surroundings)
            });
            true
        }
    }
}

fn fill_scalar(scalar: &mut Scalar, surroundings: &Surroundings<'_>) -> Result<(), String> {
    if !scalar.text.contains("${") {
        return Ok(());
    }
    let written = scalar.text.clone();
    let mut filled = String::new();
    let mut rest = &*written;
    let mut filled_any = false;
    while let Some(start) = rest.find("${") {
        if let Some(before) = rest[..start].strip_suffix('$') {
            filled.push_str(before);
            filled.push_str("${");
            rest = &rest[start + 2..];
            continue;
        }
        filled.push_str(&rest[..start]);
        let inside = &rest[start + 2..];
        let end = inside.find('}').ok_or("has `${` without `}` (a plain `${` is written `$${`)")?;
        filled.push_str(&look_up(&inside[..end], surroundings)?);
        filled_any = true;
        rest = &inside[end + 1..];
    }
    filled.push_str(rest);
    scalar.text = filled;
    if filled_any {
        scalar.quoted = false;
        // What came from elsewhere may be secret, so messages show how it was asked for.
        scalar.shown_as = Some(written);
    }
    Ok(())
}

fn look_up(reference: &str, surroundings: &Surroundings<'_>) -> Result<String, String> {
    if let Some(path) = reference.strip_prefix("file:") {
        let full_path = surroundings.base.join(Path::new(path));
        return (surroundings.read_file)(&full_path)
            .map(|text| text.trim_end_matches(['\n', '\r']).to_string())
            .map_err(|error| format!("needs the file `{}`: {error}", full_path.display()));
    }
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(letter) {
        return Err(format!(
            "has `${{{reference}}}`, expected `${{VARIABLE}}`, `${{VARIABLE:-default}}` or `${{file:PATH}}`"
        ));
    }
    match (surroundings.variables.get(name), default) {
        // As in a shell: an empty variable takes the default too.
        (Some(value), None) => Ok(value.clone()),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value.clone()),
        (_, Some(default)) => Ok(default.to_string()),
        (None, None) => Err(format!(
            "needs the environment variable `{name}`, which is not set (`${{{name}:-default}}` \
             gives it a default)"
        )),
    }
}
