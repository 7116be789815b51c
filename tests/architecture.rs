//! The direction rules of ARCHITECTURE.md, held against the source text.
//!
//! A rule is a function from a file to what breaks it. Each is run over the real source, and over
//! small bad snippets, so that a rule that never fires is noticed. Code under `#[cfg(test)]` is
//! free of them.

#[path = "architecture/source.rs"]
mod source;

use std::fmt;

use source::{Named, SourceFile};

/// The engine's stages. A stage names itself and the tiers above it, never a neighbour in its own
/// tier; `engine/mod.rs` comes last and may name all.
const ENGINE_TIERS: &[&[&str]] = &[
    &["time"],
    &["yaml", "timers", "limits"],
    &["event"],
    &["outage", "scorecard"],
    &["aggregate"],
    &["rules"],
    &["score"],
    &["verdict"],
    &["report", "stats", "wording"],
    &["record"],
    &["snapshot"],
];

/// What the engine, being pure, never names: path prefixes, and macros by name.
const NOT_IN_ENGINE: &[&str] = &[
    "axum",
    "prometheus",
    "rdkafka",
    "rdkafka_sys",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio",
    "tracing",
    "tracing_subscriber",
    "dbg!",
    "eprint!",
    "eprintln!",
    "print!",
    "println!",
];

/// A crate, and the only top-level modules that may name it.
const HOMES: &[(&str, &[&str])] = &[
    ("rdkafka", &["kafka", "simulate"]),
    ("rdkafka_sys", &["kafka", "simulate"]),
    ("axum", &["http"]),
    ("prometheus", &["telemetry"]),
];

/// Types whose `now` reads the machine's clock.
const CLOCK_TYPES: &[&str] = &["SystemTime", "Instant", "Timestamp", "Zoned"];

/// Files besides `src/clock.rs` that may read the machine's clock, each with the reason.
const NOW_EXCEPTIONS: &[(&str, &str)] = &[];

/// Words that say nothing about what is inside.
const EMPTY_NAMES: &[&str] =
    &["util", "utils", "common", "helper", "helpers", "manager", "managers"];

/// A rule: what it finds wrong with one file.
type Rule = fn(&SourceFile) -> Vec<Violation>;

struct Violation {
    file: String,
    line: usize,
    rule: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.rule)
    }
}

fn engine_names_only_itself(file: &SourceFile) -> Vec<Violation> {
    if !file.is_in("engine") {
        return Vec::new();
    }
    violations(file, |named| {
        let leaves = starts(&named.path, "crate") && !starts(&named.path, "crate::engine");
        leaves.then(|| format!("engine/ names only itself, not `{}`", named.path))
    })
}

fn engine_is_pure(file: &SourceFile) -> Vec<Violation> {
    if !file.is_in("engine") {
        return Vec::new();
    }
    violations(file, |named| {
        // `use std::time;` and then `time::Instant`.
        let by_type = ["time::Instant", "time::SystemTime"].iter().any(|t| starts(&named.path, t));
        let is_impure = by_type || NOT_IN_ENGINE.iter().any(|prefix| starts(&named.path, prefix));
        is_impure.then(|| {
            format!("engine/ is pure (no clock, threads, Kafka, files, logs): no `{}`", named.path)
        })
    })
}

fn engine_stages_name_only_earlier_ones(file: &SourceFile) -> Vec<Violation> {
    let module = file.module();
    let [top, stage, ..] = &module[..] else { return Vec::new() };
    if top != "engine" {
        return Vec::new();
    }
    let Some(own_tier) = tier(stage) else {
        let rule = format!("engine/ has no stage `{stage}` in its order: give it its place there");
        return vec![Violation { file: file.path.clone(), line: 1, rule }];
    };
    violations(file, |named| {
        // `use super;` or a glob would bring every stage along.
        let inside = named.path.strip_prefix("crate::engine")?;
        let other = inside.split("::").nth(1).unwrap_or("*");
        if other == stage || tier(other).is_some_and(|other_tier| other_tier < own_tier) {
            return None;
        }
        Some(format!("engine/{stage} names only stages before it, not `{other}`"))
    })
}

fn a_crate_stays_in_its_home(file: &SourceFile) -> Vec<Violation> {
    violations(file, |named| {
        let (name, homes) = HOMES.iter().find(|(name, _)| starts(&named.path, name))?;
        let is_home = homes.iter().any(|home| file.is_in(home));
        let homes = homes.iter().map(|home| format!("src/{home}")).collect::<Vec<_>>().join(", ");
        (!is_home).then(|| format!("`{name}` is named only in {homes}, not `{}`", named.path))
    })
}

fn only_the_clock_says_now(file: &SourceFile) -> Vec<Violation> {
    let may = file.is_in("clock") || NOW_EXCEPTIONS.iter().any(|(path, _)| file.path == *path);
    if may {
        return Vec::new();
    }
    violations(file, |named| {
        let reads = CLOCK_TYPES.iter().any(|clock_type| {
            let call = format!("{clock_type}::now");
            named.path == call || named.path.ends_with(&format!("::{call}"))
        });
        reads.then(|| format!("only src/clock.rs reads the clock, not `{}`", named.path))
    })
}

/// `use std::time::Instant as Tick` would hide the clock from the rule above.
fn a_clock_type_keeps_its_name(file: &SourceFile) -> Vec<Violation> {
    let mut found = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        let renamed = CLOCK_TYPES.iter().any(|clock_type| {
            line.split_once(&format!("{clock_type} as "))
                .is_some_and(|(before, _)| !before.contains("//"))
        });
        if renamed {
            let rule = "`SystemTime`, `Instant` and the like keep their names".to_owned();
            found.push(Violation { file: file.path.clone(), line: index + 1, rule });
        }
    }
    found
}

fn a_module_is_named_for_what_it_holds(file: &SourceFile) -> Vec<Violation> {
    let own = file.module().into_iter().map(|name| (1, name));
    own.chain(file.declared_modules())
        .filter(|(_, name)| name.split('_').any(|word| EMPTY_NAMES.contains(&word)))
        .map(|(line, name)| Violation {
            file: file.path.clone(),
            line,
            rule: format!("a module is named for what it holds, not `{name}`"),
        })
        .collect()
}

fn violations(
    file: &SourceFile,
    is_broken_by: impl Fn(&Named) -> Option<String>,
) -> Vec<Violation> {
    let named = file.named();
    let broken = named.iter().filter_map(|named| {
        let rule = is_broken_by(named)?;
        Some(Violation { file: file.path.clone(), line: named.line, rule })
    });
    broken.collect()
}

/// Whether a path is this one or goes on from it.
fn starts(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn tier(stage: &str) -> Option<usize> {
    ENGINE_TIERS.iter().position(|tier| tier.contains(&stage))
}

mod the_source {
    use super::*;

    #[test]
    fn engine_names_only_itself() {
        keeps(super::engine_names_only_itself);
    }

    #[test]
    fn engine_is_pure() {
        keeps(super::engine_is_pure);
    }

    #[test]
    fn engine_stages_name_only_earlier_ones() {
        keeps(super::engine_stages_name_only_earlier_ones);
    }

    #[test]
    fn a_crate_stays_in_its_home() {
        keeps(super::a_crate_stays_in_its_home);
    }

    #[test]
    fn only_the_clock_says_now() {
        keeps(super::only_the_clock_says_now);
        keeps(super::a_clock_type_keeps_its_name);
    }

    #[test]
    fn a_module_is_named_for_what_it_holds() {
        keeps(super::a_module_is_named_for_what_it_holds);
        for folder in ["tests", "benches"] {
            assert_kept(&SourceFile::all_under(folder), super::a_module_is_named_for_what_it_holds);
        }
    }

    #[test]
    fn every_exception_is_a_file_with_a_reason() {
        let files = SourceFile::all_under("src");
        for (path, reason) in NOW_EXCEPTIONS {
            assert!(files.iter().any(|file| file.path == *path), "`{path}` is not there any more");
            assert!(!reason.is_empty(), "`{path}` has no reason");
        }
    }

    fn keeps(rule: Rule) {
        let files = SourceFile::all_under("src");
        assert!(
            files.iter().any(|file| file.path == "src/engine/time.rs"),
            "the source is not where this test looks for it"
        );
        assert_kept(&files, rule);
    }

    fn assert_kept(files: &[SourceFile], rule: Rule) {
        let broken: Vec<String> =
            files.iter().flat_map(rule).map(|violation| violation.to_string()).collect();
        assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
    }
}

mod the_rules {
    use super::*;

    #[test]
    fn engine_names_only_itself() {
        let rule: Rule = super::engine_names_only_itself;
        fires(rule, "src/engine/time.rs", "\nuse crate::clock::Clock;", 2);
        fires(rule, "src/engine/mod.rs", "use super::broker::Broker;", 1);
        fires(rule, "src/engine/event/usage.rs", "fn f() {\n super::super::super::view::x() }", 2);
        fires(rule, "src/engine/score.rs", "use crate::{engine::time::Span,\n app::App};", 2);
        rests(rule, "src/engine/score.rs", "use crate::engine::time; use super::event::Event;");
        rests(rule, "src/broker.rs", "use crate::clock::Clock;");
    }

    #[test]
    fn engine_is_pure() {
        let rule: Rule = super::engine_is_pure;
        let bad = [
            "use tokio::sync::mpsc;",
            "use rdkafka::message::Message;",
            "fn f() { axum::serve() }",
            "use prometheus::Counter;",
            "fn f() { tracing::warn!(\"late\") }",
            "use std::{collections::HashMap, fs};",
            "use std::net::TcpStream;",
            "use std::time::SystemTime;",
            "use std::time::{Duration, Instant};",
            "use std::time; fn f() { time::Instant::now() }",
            "fn f() { std::thread::sleep(d) }",
            "fn f() { ::std::env::var(\"HOME\") }",
            "fn f() { println!(\"{}\", 1) }",
        ];
        for text in bad {
            fires(rule, "src/engine/score.rs", text, 1);
        }
        let good = "use std::time::Duration; use std::collections::HashMap;\n\
                    // tokio::spawn\nconst X: &str = \"std::fs\";\n\
                    fn f() { Kind::Instant }\n\
                    #[cfg(test)] mod tests { use std::fs; }";
        rests(rule, "src/engine/score.rs", good);
        rests(rule, "src/http/mod.rs", "use tokio::net::TcpListener;");
    }

    #[test]
    fn engine_stages_name_only_earlier_ones() {
        let rule: Rule = super::engine_stages_name_only_earlier_ones;
        fires(rule, "src/engine/time.rs", "use super::event::Event;", 1);
        fires(rule, "src/engine/time.rs", "use crate::engine::yaml;", 1);
        fires(rule, "src/engine/yaml/node.rs", "use crate::engine::timers::Timers;", 1);
        fires(rule, "src/engine/event/usage.rs", "use super::super::score::Score;", 1);
        fires(rule, "src/engine/score.rs", "fn f() { crate::engine::verdict::band::x() }", 1);
        fires(rule, "src/engine/report.rs", "use super::record::Record;", 1);
        fires(rule, "src/engine/record.rs", "use super::snapshot;", 1);
        fires(rule, "src/engine/snapshot.rs", "use super::Engine;", 1);
        fires(rule, "src/engine/snapshot.rs", "use super::*;", 1);
        fires(rule, "src/engine/snapshot.rs", "use crate::engine;", 1);
        fires(rule, "src/engine/extra.rs", "", 1);
        rests(
            rule,
            "src/engine/event/usage.rs",
            "use super::*; use super::super::time::EventTime;",
        );
        rests(
            rule,
            "src/engine/verdict/band.rs",
            "use crate::engine::{score::Score, event::Event};",
        );
        rests(rule, "src/engine/mod.rs", "use snapshot::Snapshot; use self::verdict::Verdict;");
        rests(rule, "src/task.rs", "use crate::engine::snapshot::Snapshot;");
    }

    #[test]
    fn a_crate_stays_in_its_home() {
        let rule: Rule = super::a_crate_stays_in_its_home;
        fires(rule, "src/worker.rs", "use rdkafka::producer::BaseProducer;", 1);
        fires(rule, "src/worker.rs", "use rdkafka as client;", 1);
        fires(rule, "src/http/mod.rs", "extern crate rdkafka_sys;", 1);
        fires(rule, "src/cli/run.rs", "fn f() -> axum::Router { }", 1);
        fires(rule, "src/http/mod.rs", "use prometheus::{Encoder, TextEncoder};", 1);
        rests(rule, "src/kafka/sink.rs", "use rdkafka::producer::BaseProducer;");
        rests(rule, "src/simulate/mod.rs", "use rdkafka::mocking::MockCluster;");
        rests(rule, "src/http/mod.rs", "use axum::Router;");
        rests(rule, "src/telemetry/metrics.rs", "use prometheus::Registry;");
        rests(rule, "src/http/mod.rs", "mod prometheus_text; use crate::telemetry::prometheus;");
    }

    #[test]
    fn only_the_clock_says_now() {
        let rule: Rule = super::only_the_clock_says_now;
        fires(rule, "src/worker.rs", "\nfn f() { let t = Instant::now(); }", 2);
        fires(rule, "src/worker.rs", "let t = std::time::SystemTime::now();", 1);
        fires(rule, "src/worker.rs", "let t = jiff::Timestamp::now();", 1);
        fires(rule, "src/worker.rs", "let t = x.unwrap_or_else(tokio::time::Instant::now);", 1);
        rests(rule, "src/clock.rs", "let t = Instant::now();");
        rests(rule, "src/worker.rs", "let t = clock.now(); #[cfg(test)] fn f() { Instant::now() }");
        fires(super::a_clock_type_keeps_its_name, "src/a.rs", "use std::time::Instant as Tick;", 1);
    }

    #[test]
    fn a_module_is_named_for_what_it_holds() {
        let rule: Rule = super::a_module_is_named_for_what_it_holds;
        for name in ["util", "utils", "common", "helper", "helpers", "manager", "state_manager"] {
            fires(rule, "src/lib.rs", &format!("\nmod {name};"), 2);
            fires(rule, "src/lib.rs", &format!("pub(crate) mod {name} {{}}"), 1);
            fires(rule, &format!("src/{name}.rs"), "", 1);
            fires(rule, &format!("src/{name}/mod.rs"), "", 1);
        }
        rests(rule, "src/engine/mod.rs", "mod time; mod managed_accounts;");
    }

    /// The rule finds exactly one thing wrong, on this line.
    fn fires(rule: Rule, path: &str, text: &str, line: usize) {
        let found = rule(&SourceFile::snippet(path, text));
        let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
        let lines: Vec<usize> = found.iter().map(|violation| violation.line).collect();
        assert!(!lines.is_empty(), "the rule is silent on: {text}");
        assert!(lines.iter().all(|&found| found == line), "{text}: {shown:?}");
        assert!(shown[0].starts_with(&format!("{path}:{line}: ")), "{shown:?}");
    }

    fn rests(rule: Rule, path: &str, text: &str) {
        let found = rule(&SourceFile::snippet(path, text));
        let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(shown.is_empty(), "{text}: {shown:?}");
    }
}
