//! One value of the tree, read by the type it should have.
//!
//! A method that finds something wrong notes it and returns `None`; callers go on with the other
//! fields and use `?` only at the end, when they put the parts together.

use std::ops::RangeInclusive;

use super::fields::Fields;
use super::node::{Content, Entry, Node, join};
use super::problem::{Log, Position, nearest};
use crate::engine::time::Span;

/// Largest number that is read. Whole numbers up to here are exact, and no sum or product of a few
/// of them is infinite.
const NUMBER_MAX: f64 = 1e15;
/// Longest piece of a value that a message shows.
const SHOWN_CHARS_MAX: usize = 60;

/// One value of the file, with the path that leads to it.
#[derive(Clone, Debug)]
pub struct Field<'a> {
    node: &'a Node,
    /// Where problems with the value as a whole are told: a list or a mapping at its key.
    pub(super) position: Position,
    pub(super) path: String,
    pub(super) log: &'a Log,
}

impl<'a> Field<'a> {
    /// The whole file.
    pub fn root(node: &'a Node, log: &'a Log) -> Field<'a> {
        Field { node, position: node.position, path: String::new(), log }
    }

    /// The path of this value: `dimensions[0].weight`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The line it stands on, counted from 1; 0 where it stands in no file.
    pub fn line(&self) -> u32 {
        self.position.line
    }

    /// Notes an error on this value: the path and then `what`, as in `is 40, expected more`.
    pub fn error<T>(&self, what: impl AsRef<str>) -> Option<T> {
        self.log.error(self.position, &self.path, self.sentence(what.as_ref()));
        None
    }

    /// Notes an error at this value's place, as a sentence of its own.
    pub fn error_about<T>(&self, sentence: impl Into<String>) -> Option<T> {
        self.log.error(self.position, &self.path, sentence.into());
        None
    }

    /// Notes a warning on this value.
    pub fn warning(&self, what: impl AsRef<str>) {
        self.log.warning(self.position, &self.path, self.sentence(what.as_ref()));
    }

    /// Notes that something else was expected here.
    pub fn expected<T>(&self, what: impl AsRef<str>) -> Option<T> {
        self.error(format!("is {}, expected {}", self.found(), what.as_ref()))
    }

    pub(super) fn sentence(&self, what: &str) -> String {
        let subject = if self.path.is_empty() { "the file" } else { &self.path };
        format!("{subject} {what}")
    }

    /// Whether the file says so, and not an environment variable or a flag.
    pub fn is_from_file(&self) -> bool {
        self.node.position.source == 0
    }

    /// What stands here, for a message.
    pub fn found(&self) -> String {
        match &self.node.content {
            _ if self.node.is_null() => "empty".to_string(),
            Content::List(_) => "a list".to_string(),
            Content::Mapping(_) => "a mapping".to_string(),
            Content::Scalar(scalar) => {
                let text = scalar.shown_as.as_ref().unwrap_or(&scalar.text);
                if !scalar.quoted && text.parse::<f64>().is_ok() && text.len() <= SHOWN_CHARS_MAX {
                    return text.clone();
                }
                // In quotes even a number is text, and the quotes are what is wrong with it.
                if scalar.quoted && text.parse::<f64>().is_ok() {
                    return format!("\"{text}\"");
                }
                let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
                if shown.len() < text.len() {
                    shown.push('…');
                }
                format!("`{}`", shown.replace(['\n', '\r'], " "))
            }
        }
    }

    /// Whether nothing is written here.
    pub fn is_null(&self) -> bool {
        self.node.is_null()
    }

    /// Whether a mapping stands here.
    pub fn is_mapping(&self) -> bool {
        matches!(self.node.content, Content::Mapping(_))
    }

    /// Whether a list stands here.
    pub fn is_list(&self) -> bool {
        matches!(self.node.content, Content::List(_))
    }

    /// The text of a single value, whatever its type; notes nothing.
    pub fn as_text(&self) -> Option<&'a str> {
        match &self.node.content {
            Content::Scalar(scalar) if !self.node.is_null() => Some(&scalar.text),
            Content::Scalar(_) | Content::List(_) | Content::Mapping(_) => None,
        }
    }

    /// The text of a single value that is not in quotes.
    fn as_plain(&self) -> Option<&'a str> {
        match &self.node.content {
            Content::Scalar(scalar) if !scalar.quoted => Some(&scalar.text),
            Content::Scalar(_) | Content::List(_) | Content::Mapping(_) => None,
        }
    }

    /// Text that is not empty; numbers and booleans are taken as they are written.
    pub fn text(&self) -> Option<&'a str> {
        match self.as_text() {
            Some(text) if !text.trim().is_empty() => Some(text),
            _ => self.expected("text"),
        }
    }

    /// A name: 1 to 64 letters, digits, `_`, `-` and `.`.
    pub fn name(&self) -> Option<&'a str> {
        let letter = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        match self.as_text() {
            Some(text) if (1..=64).contains(&text.len()) && text.chars().all(letter) => Some(text),
            _ => self.expected("a name of 1 to 64 letters, digits, `_`, `-` and `.`"),
        }
    }

    /// A number of a size that can be reckoned with.
    pub fn number(&self) -> Option<f64> {
        match self.as_plain().map(str::parse::<f64>) {
            Some(Ok(number)) if number.abs() <= NUMBER_MAX => Some(number),
            Some(Ok(number)) if number.is_finite() => {
                self.expected("a number of at most 15 digits")
            }
            None if self.as_text().is_some_and(|text| text.parse::<f64>().is_ok()) => {
                self.expected("a number without quotes")
            }
            _ => self.expected("a number"),
        }
    }

    /// A number in `range`.
    pub fn number_in(&self, range: RangeInclusive<f64>) -> Option<f64> {
        let number = self.number()?;
        if range.contains(&number) {
            return Some(number);
        }
        let (low, high) = (range.start(), range.end());
        if high.is_infinite() {
            return self.expected(format!("at least {low}"));
        }
        self.expected(format!("{low} to {high}"))
    }

    /// A whole number in `range`.
    pub fn integer_in(&self, range: RangeInclusive<i64>) -> Option<i64> {
        match self.as_plain().map(str::parse::<i64>) {
            Some(Ok(number)) if range.contains(&number) => Some(number),
            _ => self.expected(format!("a whole number, {} to {}", range.start(), range.end())),
        }
    }

    /// `true` or `false`.
    pub fn boolean(&self) -> Option<bool> {
        match self.as_plain() {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => self.expected("`true` or `false`"),
        }
    }

    /// `on` or `off`.
    pub fn switch(&self) -> Option<bool> {
        self.choice(&[("on", true), ("off", false)])
    }

    /// A length of time, `0d` included.
    pub fn span(&self) -> Option<Span> {
        match self.as_text().map(str::parse::<Span>) {
            Some(Ok(span)) => Some(span),
            // The one number that needs no unit.
            _ if self.as_plain() == Some("0") => Some(Span::ZERO),
            _ => self.expected("a duration such as `28d`, `6h`, `90s` or `250ms`"),
        }
    }

    /// A length of time of at least `low` and at most `high`.
    pub fn span_in(&self, low: Span, high: Span) -> Option<Span> {
        let span = self.span()?;
        if (low..=high).contains(&span) {
            return Some(span);
        }
        if high == Span::LONGEST {
            return self.expected(format!("at least {low}"));
        }
        self.expected(format!("{low} to {high}"))
    }

    /// A length of time of more than nothing.
    pub fn positive_span(&self) -> Option<Span> {
        match self.span()? {
            Span::ZERO => self.expected("more than no time"),
            span => Some(span),
        }
    }

    /// One of the named choices.
    pub fn choice<T: Copy>(&self, choices: &[(&'static str, T)]) -> Option<T> {
        let names = || choices.iter().map(|(name, _)| *name);
        let word = self.as_text().unwrap_or_default();
        if let Some((_, choice)) = choices.iter().find(|(name, _)| *name == word) {
            return Some(*choice);
        }
        self.expected(match nearest(word, names()) {
            Some(near) if choices.len() > 6 => format!("one like `{near}`"),
            _ => one_of(names()),
        })
    }

    /// The items of a list.
    pub fn list(&self) -> Option<Vec<Field<'a>>> {
        let Content::List(items) = &self.node.content else {
            return self.expected("a list");
        };
        let item = |(index, node): (usize, &'a Node)| Field {
            node,
            position: node.position,
            path: format!("{}[{index}]", self.path),
            log: self.log,
        };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// The items of a list that holds at least one.
    pub fn full_list(&self) -> Option<Vec<Field<'a>>> {
        let items = self.list()?;
        if items.is_empty() {
            self.error("is an empty list, expected at least one")
        } else {
            Some(items)
        }
    }

    /// Reads each item of a list; `None` when any of them is wrong, after all have been read.
    pub fn each<T>(&self, mut read: impl FnMut(&Field<'a>) -> Option<T>) -> Option<Vec<T>> {
        let read_items: Vec<Option<T>> = self.full_list()?.iter().map(&mut read).collect();
        read_items.into_iter().collect()
    }

    /// The entries of a mapping whose keys are free.
    pub fn entries(&self) -> Option<Vec<(&'a str, Field<'a>)>> {
        let Content::Mapping(entries) = &self.node.content else {
            return self.expected("a mapping");
        };
        Some(entries.iter().map(|entry| (&*entry.key, self.child(entry))).collect())
    }

    /// Reads a mapping by its keys. Keys that `read` has not asked for are noted as unknown.
    pub fn mapping<T>(&self, read: impl FnOnce(&Fields<'a>) -> Option<T>) -> Option<T> {
        let Content::Mapping(entries) = &self.node.content else {
            return self.expected("a mapping");
        };
        self.read_entries(entries, read)
    }

    /// Reads a mapping in which every key has a default, so that nothing at all may stand here.
    pub fn section<T>(&self, read: impl FnOnce(&Fields<'a>) -> Option<T>) -> Option<T> {
        if self.is_null() { self.read_entries(&[], read) } else { self.mapping(read) }
    }

    fn read_entries<T>(
        &self,
        entries: &'a [Entry],
        read: impl FnOnce(&Fields<'a>) -> Option<T>,
    ) -> Option<T> {
        let fields = Fields::new(self.clone(), entries);
        let value = read(&fields);
        fields.report_unknown_keys();
        value
    }

    /// Reads a section that is absent from the mapping at `self`.
    pub(super) fn absent_section<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Fields<'a>) -> Option<T>,
    ) -> Option<T> {
        let path = join(&self.path, key);
        Field { path, ..self.clone() }.read_entries(&[], read)
    }

    pub(super) fn child(&self, entry: &'a Entry) -> Field<'a> {
        let node = &entry.value;
        // A block that begins on the next line, or nothing at all, is told at its key.
        let at_key = !matches!(node.content, Content::Scalar(_)) || node.is_null();
        let position = if at_key { entry.position } else { node.position };
        Field { node, position, path: join(&self.path, &entry.key), log: self.log }
    }
}

/// `` `a` ``, `` `a` or `b` ``, `` `a`, `b` or `c` ``
pub(super) fn one_of(names: impl IntoIterator<Item = &'static str>) -> String {
    let names: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => names.concat(),
    }
}
