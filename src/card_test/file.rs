//! Files that hold tests: a scorecard with its own, or a file of tests that names a scorecard.

use std::path::Path;
use std::sync::Arc;

use super::{Case, read_cases};
use crate::engine::scorecard::Scorecard;
use crate::engine::yaml::{Content, Field, Fields, Log, Node, Problem, Severity};
use crate::preset;

/// A scorecard and tests of it.
#[derive(Clone, Debug)]
pub struct TestFile {
    /// As the caller named it.
    pub name: String,
    /// What is tested.
    pub card: Arc<Scorecard>,
    /// May be empty.
    pub cases: Vec<Case>,
    /// By line.
    pub warnings: Vec<Problem>,
}

/// Reads a scorecard file or a file of tests.
///
/// # Errors
/// All problems of the file, and of the scorecard it names.
pub fn read_path(path: &Path) -> Result<TestFile, Vec<Problem>> {
    let name = path.display().to_string();
    let text = read_file(path).map_err(|message| vec![unreadable(&name, message)])?;
    read_text(&name, &text, path.parent().unwrap_or(Path::new("")))
}

/// The same for a text; `base` is where the relative path of a scorecard starts.
///
/// # Errors
/// All problems of the text, and of the scorecard it names.
pub fn read_text(name: &str, text: &str, base: &Path) -> Result<TestFile, Vec<Problem>> {
    let log = Log::new(name);
    let Some(root) = Node::parse(&log, 0, text) else { return Err(log.into_problems()) };
    if names_a_card(&root) {
        return read_tests_only(name, &root, log, base);
    }
    let (card, problems) = match Scorecard::parse(name, text) {
        Ok(parsed) => (Some(parsed.scorecard), parsed.warnings),
        Err(problems) => (None, problems),
    };
    let field = Field::root(&root, &log);
    let tests = if field.is_mapping() { field.entries() } else { None }.unwrap_or_default();
    let tests = tests.into_iter().find(|(key, _)| *key == "tests");
    let cases = tests.map_or(Some(Vec::new()), |(_, field)| read_cases(&field, card.as_ref()));
    let problems = merge(problems, log.into_problems());
    finish(name, card.map(Arc::new), cases, problems)
}

fn finish(
    name: &str,
    card: Option<Arc<Scorecard>>,
    cases: Option<Vec<Case>>,
    problems: Vec<Problem>,
) -> Result<TestFile, Vec<Problem>> {
    let spoiled = problems.iter().any(|problem| problem.severity == Severity::Error);
    match (card, cases) {
        (Some(card), Some(cases)) if !spoiled => {
            Ok(TestFile { name: name.to_owned(), card, cases, warnings: problems })
        }
        _ => Err(problems),
    }
}

/// Both by line; what both found is told once.
fn merge(mut problems: Vec<Problem>, others: Vec<Problem>) -> Vec<Problem> {
    for other in others {
        if !problems.contains(&other) {
            problems.push(other);
        }
    }
    problems.sort_by_key(|problem| (problem.line, problem.column));
    problems
}

/// Whether this is a file of tests, which names its scorecard, and no scorecard itself.
fn names_a_card(root: &Node) -> bool {
    let Content::Mapping(entries) = &root.content else { return false };
    entries.iter().any(|entry| matches!(&*entry.key, "scorecard_file" | "preset"))
}

fn read_tests_only(
    name: &str,
    root: &Node,
    log: Log,
    base: &Path,
) -> Result<TestFile, Vec<Problem>> {
    // Problems and warnings of the card itself stand before those of the file that names it.
    let mut of_the_card: Vec<Problem> = Vec::new();
    let (card, cases) = Field::root(root, &log)
        .mapping(|fields| Some(read_fields(fields, base, &mut of_the_card)))
        .unwrap_or_default();
    of_the_card.extend(log.into_problems());
    finish(name, card, cases, of_the_card)
}

fn read_fields(
    fields: &Fields<'_>,
    base: &Path,
    of_the_card: &mut Vec<Problem>,
) -> (Option<Arc<Scorecard>>, Option<Vec<Case>>) {
    fields.or("description", "", Field::text);
    let card = read_card(fields, base, of_the_card);
    let cases = fields.require("tests").and_then(|field| read_cases(&field, card.as_deref()));
    (card, cases)
}

/// Every key the reader asks for in a file of tests, as paths.
#[cfg(test)]
pub(crate) fn known_keys(text: &str) -> Vec<String> {
    let log = Log::new("tests.yaml");
    let root = Node::parse(&log, 0, text).expect("the syntax is right");
    Field::root(&root, &log)
        .mapping(|fields| Some(read_fields(fields, Path::new(""), &mut Vec::new())));
    log.known_keys()
}

fn read_card(
    fields: &Fields<'_>,
    base: &Path,
    problems: &mut Vec<Problem>,
) -> Option<Arc<Scorecard>> {
    let (kind, field) = fields.exactly_one(&["scorecard_file", "preset"])?;
    let (name, text) = match kind {
        "preset" => {
            let name = field.text()?;
            let Some(preset) = preset::by_name(name) else {
                return field.error(preset::no_such(name));
            };
            (format!("{name} (embedded)"), preset.text.to_owned())
        }
        _ => {
            let path = base.join(field.text()?);
            match read_file(&path) {
                Ok(text) => (path.display().to_string(), text),
                Err(error) => {
                    return field.error(format!("is {}, which {error}", field.found()));
                }
            }
        }
    };
    match Scorecard::parse(&name, &text) {
        Ok(parsed) => {
            problems.extend(parsed.warnings);
            Some(Arc::new(parsed.scorecard))
        }
        Err(found) => {
            problems.extend(found);
            None
        }
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))
}

fn unreadable(name: &str, message: String) -> Problem {
    Problem {
        severity: Severity::Error,
        source: name.to_owned(),
        line: 0,
        column: 0,
        path: String::new(),
        message: format!("the file {message}"),
    }
}
