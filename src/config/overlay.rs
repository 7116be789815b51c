//! Environment variables and flags, laid over the settings file's tree.
//!
//! Each becomes a value at its path with a position of its own, so that the one reader checks it
//! like any other and a message names the variable or flag.

use std::collections::BTreeMap;

use crate::engine::yaml::{Content, Entry, Log, Node, Position};

const PREFIX: &str = "BAROMETER__";

/// Where keys are librdkafka's and hold dots, which no variable's name can.
const PROPERTY_SECTIONS: [&[&str]; 3] = [
    &["kafka", "properties"],
    &["kafka", "consumer", "properties"],
    &["kafka", "producer", "properties"],
];

/// What flags set; what is `None` stays as the other sources have it. Values are text here and
/// checked like those of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--bootstrap-servers`
    pub bootstrap_servers: Option<String>,
    /// `--group-id`
    pub group_id: Option<String>,
    /// `--instance`
    pub instance: Option<String>,
    /// `--workers`
    pub workers: Option<String>,
    /// `--task-time`
    pub task_time: Option<String>,
    /// `--publish-from`
    pub publish_from: Option<String>,
    /// `--listen`
    pub listen: Option<String>,
    /// `--log-format`
    pub log_format: Option<String>,
    /// `--log-level`
    pub log_level: Option<String>,
    /// `--scorecard`: this file for every account, in place of the whole list.
    pub scorecard: Option<String>,
}

/// Lays variables with the prefix, then flags, over `root`.
pub(super) fn lay_over(
    log: &mut Log,
    root: &mut Node,
    overrides: &Overrides,
    variables: &BTreeMap<String, String>,
) {
    for (name, value) in variables {
        if let Some(key) = name.strip_prefix(PREFIX) {
            let source = log.add_source(format!("environment variable `{name}`"));
            let position = Position { source, line: 0, column: 0 };
            let path = path_of(key);
            if let Some(node) = node_of(log, position, &path, value) {
                set(root, &path, position, node);
            }
        }
    }
    for (flag, path, value) in overrides.flags() {
        if let Some(value) = value {
            let source = log.add_source(format!("flag `{flag}`"));
            let position = Position { source, line: 0, column: 0 };
            let path: Vec<String> = path.iter().map(ToString::to_string).collect();
            set(root, &path, position, Node::plain(position, value));
        }
    }
    if let Some(file) = &overrides.scorecard {
        let source = log.add_source("flag `--scorecard`".to_string());
        let position = Position { source, line: 0, column: 0 };
        let value = Node::plain(position, file);
        let entry = Entry { key: "file".to_string(), position, value };
        let choice = Node { position, content: Content::Mapping(vec![entry]) };
        let list = Node { position, content: Content::List(vec![choice]) };
        set(root, &["scorecards".to_string()], position, list);
    }
}

type Flag<'a> = (&'static str, &'static [&'static str], Option<&'a str>);

impl Overrides {
    fn flags(&self) -> [Flag<'_>; 9] {
        [
            (
                "--bootstrap-servers",
                &["kafka", "bootstrap_servers"],
                self.bootstrap_servers.as_deref(),
            ),
            ("--group-id", &["kafka", "group_id"], self.group_id.as_deref()),
            ("--instance", &["kafka", "instance"], self.instance.as_deref()),
            ("--workers", &["engine", "workers"], self.workers.as_deref()),
            ("--task-time", &["engine", "task_time"], self.task_time.as_deref()),
            ("--publish-from", &["engine", "publish_from"], self.publish_from.as_deref()),
            ("--listen", &["http", "listen"], self.listen.as_deref()),
            ("--log-format", &["log", "format"], self.log_format.as_deref()),
            ("--log-level", &["log", "level"], self.log_level.as_deref()),
        ]
    }
}

/// `KAFKA__GROUP_ID` is `kafka.group_id`, `KAFKA__PROPERTIES__SASL_USERNAME` is `sasl.username`
/// inside `kafka.properties`.
fn path_of(key: &str) -> Vec<String> {
    let mut path: Vec<String> = key.split("__").map(str::to_ascii_lowercase).collect();
    for section in PROPERTY_SECTIONS {
        if path.len() > section.len() && path.iter().zip(section).all(|(a, b)| a == b) {
            let property = path.split_off(section.len()).join(".").replace('_', ".");
            path.push(property);
        }
    }
    path
}

/// A list or mapping where the value is written as one, otherwise a single value. Properties are
/// always single values: a password may begin with any character.
fn node_of(log: &Log, position: Position, path: &[String], value: &str) -> Option<Node> {
    let in_properties = path.iter().any(|part| part == "properties");
    if !in_properties && value.starts_with(['[', '{']) {
        return Node::parse(log, position.source, value);
    }
    Some(Node::plain(position, value))
}

/// Puts `node` at `path`, making mappings on the way. What stands in the way stays: the reader says
/// that it is no mapping.
fn set(root: &mut Node, path: &[String], position: Position, node: Node) {
    let Some((key, rest)) = path.split_first() else {
        *root = node;
        return;
    };
    if root.is_null() {
        *root = Node { position, content: Content::Mapping(Vec::new()) };
    }
    let Content::Mapping(entries) = &mut root.content else { return };
    let index = entries.iter().position(|entry| entry.key == *key).unwrap_or_else(|| {
        let value = Node::plain(position, "");
        entries.push(Entry { key: key.clone(), position, value });
        entries.len() - 1
    });
    if rest.is_empty() {
        entries[index].position = position;
    }
    set(&mut entries[index].value, rest, position, node);
}
