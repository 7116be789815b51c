//! The reader against files that are wrong by accident, and by intent.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::engine::time::Span;

fn told(log: Log) -> Vec<String> {
    log.into_problems().iter().map(ToString::to_string).collect()
}

/// What the parser alone says of `text`.
fn syntax(text: &str) -> Vec<String> {
    let log = Log::new("x.yaml");
    let node = Node::parse(&log, 0, text);
    assert_eq!(node.is_some(), !log.has_errors() || text.contains("twice"));
    told(log)
}

#[test]
fn slips_of_syntax_have_a_line() {
    for (text, expected) in [
        ("a: 1\n---\nb: 2\n", "x.yaml:2: a second document begins here, expected one"),
        ("a: !!int 1\n", "x.yaml:1: tag `!int` has no meaning here, remove it"),
        ("? [a, b]\n: 1\n", "x.yaml:1: a key must be a single word"),
        ("a: &x [1, *x]\n", "x.yaml:1: an alias stands inside what it repeats"),
        (
            "twice: 1\nb:\n  - { c: 1, c: 2 }\ntwice: 2\n",
            "x.yaml:3: b[0].c is given twice, first in line 3\nx.yaml:4: twice is given twice, first in line 1",
        ),
    ] {
        assert_eq!(syntax(text).join("\n"), expected, "{text:?}");
    }
    for text in ["a: [1, 2", "a: 'open", "a: b: c", "a: *nobody"] {
        let told = syntax(text);
        assert!(
            told[0].starts_with("x.yaml:1: is not valid YAML: ")
                || told[0].starts_with("x.yaml:2: is not valid YAML: "),
            "{told:?}"
        );
    }
}

#[test]
fn a_file_that_says_nothing_is_no_mapping() {
    for text in ["", "# only a comment\n", "~\n"] {
        let log = Log::new("x.yaml");
        let root = Node::parse(&log, 0, text).expect("there is nothing to be wrong");
        assert_eq!(Field::root(&root, &log).mapping(|_| Some(())), None);
        assert_eq!(told(log), ["x.yaml:1: the file is empty, expected a mapping"], "{text:?}");
    }
}

#[test]
fn anchors_and_aliases_repeat_a_value() {
    let log = Log::new("x.yaml");
    let root = Node::parse(&log, 0, "a: &curve { from: 1 }\nb: *curve\n").expect("it is good");
    let value = Field::root(&root, &log).mapping(|fields| {
        fields.optional("a");
        fields.require("b")?.mapping(|curve| curve.require("from")?.number())
    });
    assert_eq!((value, told(log)), (Some(1.0), vec![]));
}

#[test]
fn every_type_says_what_it_expected_and_what_it_found() {
    let log = Log::new("x.yaml");
    let text = "number: '5'\ntext: [a]\nspan: 5 days\nnothing:\nboolean: yes\nwhole: 1.5\n\
                choice: gren\nmap: 3\nlist: { a: 1 }\nlow: -1\nshort: 10ms\nlong: 2000\nhuge: 1e300\nendless: .inf\n";
    let root = Node::parse(&log, 0, text).expect("the syntax is right");
    Field::root(&root, &log).mapping(|fields| {
        fields.require("number")?.number();
        fields.require("text")?.text();
        fields.require("span")?.span();
        fields.require("nothing")?.number();
        fields.require("boolean")?.boolean();
        fields.require("whole")?.integer_in(1..=9);
        fields.require("choice")?.choice(&[("red", 1), ("green", 2)]);
        fields.require("map")?.mapping(|_| Some(()));
        fields.require("list")?.list();
        fields.require("low")?.number_in(0.0..=1.0);
        fields.require("short")?.span_in(Span::SECOND, Span::LONGEST);
        fields.require("long")?.integer_in(1..=1024);
        fields.require("huge")?.number();
        fields.require("endless")?.number();
        fields.require("absent");
        Some(())
    });
    assert_eq!(
        told(log).join("\n"),
        "\
x.yaml:1: absent is missing
x.yaml:1: number is \"5\", expected a number without quotes
x.yaml:2: text is a list, expected text
x.yaml:3: span is `5 days`, expected a duration such as `28d`, `6h`, `90s` or `250ms`
x.yaml:4: nothing is empty, expected a number
x.yaml:5: boolean is `yes`, expected `true` or `false`
x.yaml:6: whole is 1.5, expected a whole number, 1 to 9
x.yaml:7: choice is `gren`, expected `red` or `green`
x.yaml:8: map is 3, expected a mapping
x.yaml:9: list is a mapping, expected a list
x.yaml:10: low is -1, expected 0 to 1
x.yaml:11: short is `10ms`, expected at least 1s
x.yaml:12: long is 2000, expected a whole number, 1 to 1024
x.yaml:13: huge is 1e300, expected a number of at most 15 digits
x.yaml:14: endless is `.inf`, expected a number"
    );
}

#[test]
fn what_was_not_asked_for_is_unknown_and_the_nearest_known_is_named() {
    let log = Log::new("x.yaml");
    let root = Node::parse(&log, 0, "a:\n  wieght: 1\n  zebra: 2\n").expect("the syntax is right");
    Field::root(&root, &log).mapping(|fields| {
        fields.require("a")?.mapping(|fields| {
            fields.optional("weight");
            fields.optional("curve");
            Some(())
        })
    });
    assert_eq!(log.known_keys(), ["a", "a.curve", "a.weight"]);
    assert_eq!(
        told(log),
        [
            "x.yaml:2: a.wieght is not a known key; did you mean `weight`?",
            "x.yaml:3: a.zebra is not a known key; known here: weight, curve"
        ]
    );
}

#[test]
fn bombs_meet_a_limit_and_not_the_end_of_the_stack_or_of_patience() {
    let mut laughs = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_string();
    for level in 1..12 {
        let below = format!("*a{}, ", level - 1).repeat(9);
        laughs += &format!("a{level}: &a{level} [{below}]\n");
    }
    let long = "x".repeat(100_000);
    let doubling: String =
        (1..20).map(|n| format!("b{n}: &b{n} [*b{}, *b{}]\n", n - 1, n - 1)).collect();
    let chain: String = (1..40).map(|n| format!("c{n}: &c{n} [*c{}]\n", n - 1)).collect();
    let bombs = [
        ("flow nesting", "[".repeat(100_000)),
        ("flow mappings", "{a: ".repeat(100_000)),
        ("block nesting", "- ".repeat(100_000)),
        ("keys", "? ".repeat(100_000)),
        ("indent", (0..2_000).map(|n| format!("{}a:\n", " ".repeat(n))).collect()),
        ("billion laughs", laughs),
        ("long scalar", format!("a: &a {long}\nb: [{}]\n", "*a, ".repeat(10_000))),
        ("doubling", format!("b0: &b0 [1]\n{doubling}")),
        ("a chain of aliases", format!("c0: &c0 [1]\n{chain}")),
        ("size", "a".repeat(node::TEXT_BYTES_MAX + 1)),
        ("many values", format!("[{}]", "1, ".repeat(200_000))),
        ("quotes", "\"".repeat(100_001)),
        ("anchors", "&a ".repeat(100_000)),
        ("colons", "a: ".repeat(100_000)),
        ("commas", format!("[{}", ", ".repeat(100_000))),
        ("comments", "#".repeat(1_000_000)),
        ("blank lines", "\n".repeat(1_000_000)),
        ("one long plain scalar", "a b ".repeat(200_000)),
        ("one long folded line", "a\n\n".repeat(300_000)),
    ];
    for (name, text) in bombs {
        let started = Instant::now();
        let log = Log::new("x.yaml");
        let node = Node::parse(&log, 0, &text);
        assert!(node.is_none() || !log.has_errors(), "{name}");
        let took = started.elapsed();
        assert!(took < Duration::from_secs(60), "{name} took {took:?}");
    }
}

#[test]
fn a_flood_of_unknown_keys_is_told_in_good_time() {
    let log = Log::new("x.yaml");
    let text: String = (0..20_000).map(|n| format!("key_number_{n}: 1\n")).collect();
    let root = Node::parse(&log, 0, &text).expect("the syntax is right");
    Field::root(&root, &log).mapping(|fields| fields.optional("key_number"));
    assert_eq!(told(log).len(), 20_000);
}

#[test]
fn secrets_that_were_filled_in_are_shown_as_they_were_written() {
    let log = Log::new("x.yaml");
    let mut root = Node::plain(Position::default(), "hunter2");
    let Content::Scalar(scalar) = &mut root.content else { panic!("it is a scalar") };
    scalar.shown_as = Some("${PASSWORD}".to_string());
    Field::root(&root, &log).number();
    assert_eq!(told(log), ["x.yaml: the file is `${PASSWORD}`, expected a number"]);
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in r#"([a-z0-9:\-\[\]{}&*!|>'"%@,?# \n\t~.]|---|\.\.\.|: |- |\n  ){0,60}"#) {
        let log = Log::new("x.yaml");
        let node = Node::parse(&log, 0, &text);
        prop_assert!(node.is_some() || log.has_errors());
    }
}
