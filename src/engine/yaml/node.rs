//! The tree: what a YAML text holds and where each part of it stands.
//!
//! Built from the parser's events with a stack of its own, so that hostile nesting meets a limit
//! instead of the end of the thread's stack. Scalars stay text; whoever reads one says what it
//! should be. Tags and a second document are refused: they have no use here.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use super::problem::{Log, Position};

/// Longest text that is read. Rules and settings are a few kilobytes.
pub const TEXT_BYTES_MAX: usize = 1 << 20;
/// Deepest nesting. The language needs about ten levels, and everything that walks the tree may
/// recurse because of this limit.
pub const DEPTH_MAX: usize = 32;
/// Most nodes of a tree, aliases expanded; a long scalar counts as several. It bounds what a chain
/// of aliases can blow a small text up to.
pub const NODES_MAX: usize = 100_000;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub position: Position,
    /// What it is.
    pub content: Content,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Text, number, boolean or nothing: the reader decides.
    Scalar(Scalar),
    /// Values in order.
    List(Vec<Node>),
    /// Keys and values in order, duplicates and all.
    Mapping(Vec<Entry>),
}

/// A single value, as text.
#[derive(Clone, Debug, PartialEq)]
pub struct Scalar {
    /// The text, quotes and escapes resolved.
    pub text: String,
    /// Whether it stood in quotes or a block: then it is text, whatever it looks like.
    pub quoted: bool,
    /// What messages show instead of the text, where that came from somewhere that may be secret.
    pub shown_as: Option<String>,
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub position: Position,
    /// Its value.
    pub value: Node,
}

impl Node {
    /// Reads `text` as one YAML document; positions carry `source`. What is wrong goes to `log`: a
    /// slip of syntax ends the reading, duplicate keys are all told. A text that says nothing is a
    /// null node.
    pub fn parse(log: &Log, source: u16, text: &str) -> Option<Node> {
        match Builder::new(source).build(text) {
            Ok(root) => {
                report_duplicate_keys(log, &root, "");
                Some(root)
            }
            Err((position, message)) => {
                log.error(position, "", message);
                None
            }
        }
    }

    /// A plain scalar that stands in no file.
    pub fn plain(position: Position, text: &str) -> Node {
        let scalar = Scalar { text: text.to_string(), quoted: false, shown_as: None };
        Node { position, content: Content::Scalar(scalar) }
    }

    /// Whether nothing is written here: `key:`, `key: ~` or `key: null`.
    pub fn is_null(&self) -> bool {
        match &self.content {
            Content::Scalar(scalar) => {
                !scalar.quoted && matches!(&*scalar.text, "" | "~" | "null" | "Null" | "NULL")
            }
            Content::List(_) | Content::Mapping(_) => false,
        }
    }

    fn children(&self) -> Box<dyn Iterator<Item = &Node> + '_> {
        match &self.content {
            Content::Scalar(_) => Box::new(std::iter::empty()),
            Content::List(items) => Box::new(items.iter()),
            Content::Mapping(entries) => Box::new(entries.iter().map(|entry| &entry.value)),
        }
    }

    fn height(&self) -> usize {
        1 + self.children().map(Node::height).max().unwrap_or(0)
    }

    fn cost(&self) -> usize {
        let own = match &self.content {
            Content::Scalar(scalar) => scalar.text.len() / 32,
            Content::List(_) => 0,
            Content::Mapping(entries) => entries.iter().map(|entry| 1 + entry.key.len() / 32).sum(),
        };
        1 + own + self.children().map(Node::cost).sum::<usize>()
    }
}

/// A mistake that ends the reading.
type Stop = (Position, String);

/// A list or mapping that is still open.
struct Open {
    position: Position,
    /// The parser's number of the anchor; 0 is none.
    anchor: usize,
    inside: Inside,
}

enum Inside {
    List(Vec<Node>),
    /// Entries, and the key that waits for its value.
    Mapping(Vec<Entry>, Option<(String, Position)>),
}

struct Builder {
    source: u16,
    open: Vec<Open>,
    anchored: HashMap<usize, Node>,
    cost: usize,
    root: Option<Node>,
}

impl Builder {
    fn new(source: u16) -> Builder {
        Builder { source, open: Vec::new(), anchored: HashMap::new(), cost: 0, root: None }
    }

    fn build(mut self, text: &str) -> Result<Node, Stop> {
        let start = Position { source: self.source, line: 1, column: 1 };
        if text.len() > TEXT_BYTES_MAX {
            let message = format!("holds {} bytes, at most {TEXT_BYTES_MAX} are read", text.len());
            return Err((start, message));
        }
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(|error| {
                (self.position(error.marker()), format!("is not valid YAML: {}", error.info()))
            })?;
            self.take(event, self.position(&span.start))?;
        }
        Ok(self.root.unwrap_or_else(|| Node::plain(start, "")))
    }

    fn position(&self, marker: &Marker) -> Position {
        Position {
            source: self.source,
            line: u32::try_from(marker.line()).unwrap_or(u32::MAX),
            column: u32::try_from(marker.col() + 1).unwrap_or(u32::MAX),
        }
    }

    fn take(&mut self, event: Event<'_>, position: Position) -> Result<(), Stop> {
        match event {
            Event::Scalar(_, _, _, Some(tag))
            | Event::SequenceStart(_, Some(tag))
            | Event::MappingStart(_, Some(tag)) => {
                let message = format!("tag `!{}` has no meaning here, remove it", tag.suffix);
                Err((position, message))
            }
            Event::Scalar(text, style, anchor, None) => {
                let quoted = style != ScalarStyle::Plain;
                let scalar = Scalar { text: text.into_owned(), quoted, shown_as: None };
                let node = Node { position, content: Content::Scalar(scalar) };
                self.spend(node.cost(), position)?;
                self.place(node, anchor)
            }
            Event::SequenceStart(anchor, None) => {
                self.enter(Open { position, anchor, inside: Inside::List(Vec::new()) })
            }
            Event::MappingStart(anchor, None) => {
                self.enter(Open { position, anchor, inside: Inside::Mapping(Vec::new(), None) })
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let open = self.open.pop().expect("the parser ends only what it started");
                let content = match open.inside {
                    Inside::List(items) => Content::List(items),
                    Inside::Mapping(entries, _) => Content::Mapping(entries),
                };
                self.place(Node { position: open.position, content }, open.anchor)
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchored.get(&anchor) else {
                    return Err((position, "an alias stands inside what it repeats".to_string()));
                };
                self.check_depth(self.open.len() + node.height(), position)?;
                // Counted before it is copied, or the copy itself would be the bomb.
                let cost = node.cost();
                self.spend(cost, position)?;
                let node = self.anchored[&anchor].clone();
                self.place(node, 0)
            }
            Event::DocumentStart(_) if self.root.is_some() => {
                Err((position, "a second document begins here, expected one".to_string()))
            }
            Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::StreamStart
            | Event::StreamEnd
            | Event::Nothing => Ok(()),
        }
    }

    fn enter(&mut self, open: Open) -> Result<(), Stop> {
        self.spend(1, open.position)?;
        self.check_depth(self.open.len() + 1, open.position)?;
        self.open.push(open);
        Ok(())
    }

    fn check_depth(&self, depth: usize, position: Position) -> Result<(), Stop> {
        if depth <= DEPTH_MAX {
            return Ok(());
        }
        Err((position, format!("is nested more than {DEPTH_MAX} levels deep")))
    }

    fn spend(&mut self, cost: usize, position: Position) -> Result<(), Stop> {
        self.cost += cost;
        if self.cost <= NODES_MAX {
            return Ok(());
        }
        Err((position, format!("holds more than {NODES_MAX} values, aliases expanded")))
    }

    /// Puts a finished node where it belongs: the key or value of the innermost open mapping, the
    /// end of the innermost open list, or the root.
    fn place(&mut self, node: Node, anchor: usize) -> Result<(), Stop> {
        if anchor > 0 {
            self.anchored.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.inside) {
            None => self.root = Some(node),
            Some(Inside::List(items)) => items.push(node),
            Some(Inside::Mapping(entries, waiting)) => match waiting.take() {
                Some((key, position)) => entries.push(Entry { key, position, value: node }),
                None => match node.content {
                    Content::Scalar(scalar) => *waiting = Some((scalar.text, node.position)),
                    Content::List(_) | Content::Mapping(_) => {
                        return Err((node.position, "a key must be a single word".to_string()));
                    }
                },
            },
        }
        Ok(())
    }
}

fn report_duplicate_keys(log: &Log, node: &Node, path: &str) {
    match &node.content {
        Content::Scalar(_) => {}
        Content::List(items) => {
            for (index, item) in items.iter().enumerate() {
                report_duplicate_keys(log, item, &format!("{path}[{index}]"));
            }
        }
        Content::Mapping(entries) => {
            let mut first_lines = HashMap::new();
            for entry in entries {
                let path = join(path, &entry.key);
                match first_lines.get(&*entry.key) {
                    Some(line) => {
                        let message = format!("{path} is given twice, first in line {line}");
                        log.error(entry.position, &path, message);
                    }
                    None => {
                        first_lines.insert(&*entry.key, entry.position.line);
                    }
                }
                report_duplicate_keys(log, &entry.value, &path);
            }
        }
    }
}

/// The path of `key` inside the mapping at `path`.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_string() } else { format!("{path}.{key}") }
}
