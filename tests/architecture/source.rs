//! Reads Rust source text far enough to know which paths it names, and on which line.
//!
//! A lexer and a walker over `use` trees, no more: comments, strings and `#[cfg(test)]` items are
//! left out, `self`, `super` and `crate` are resolved, everything else is as written. It knows no
//! types and follows no re-exports.

use std::fs;
use std::path::Path;

/// One source file.
#[derive(Debug)]
pub struct SourceFile {
    /// From the root of the repository, with `/`: `src/engine/time.rs`.
    pub path: String,
    /// Its text.
    pub text: String,
    /// Whether another file declares it, or a module around it, under `#[cfg(test)]`.
    is_test: bool,
}

/// A path that the code names.
#[derive(Debug, PartialEq, Eq)]
pub struct Named {
    pub line: usize,
    /// `crate::engine::time::EventTime`; a glob ends in `*`, a macro's name in `!`.
    pub path: String,
}

impl SourceFile {
    /// Every `.rs` file under a folder of the repository, in order of path.
    pub fn all_under(folder: &str) -> Vec<SourceFile> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = Vec::new();
        let mut folders = vec![root.join(folder)];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries {
                let path = entry.expect("a readable folder").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = fs::read_to_string(&path).expect("a readable source file");
                    let path = path.strip_prefix(root).expect("a path under the root");
                    let path = path.to_str().expect("a UTF-8 path").replace('\\', "/");
                    files.push(SourceFile { path, text, is_test: false });
                }
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        mark_tests(&mut files);
        files
    }

    /// A snippet, for the tests of the rules.
    pub fn snippet(path: &str, text: &str) -> SourceFile {
        SourceFile { path: path.to_owned(), text: text.to_owned(), is_test: false }
    }

    /// `["engine", "event", "usage"]` for `src/engine/event/usage.rs`; empty for `src/lib.rs`.
    pub fn module(&self) -> Vec<String> {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let stem = inside.strip_suffix(".rs").unwrap_or(inside);
        let mut module: Vec<String> = stem.split('/').map(str::to_owned).collect();
        if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
            module.pop();
        }
        module
    }

    /// Whether the file is this top-level module or stands inside it.
    pub fn is_in(&self, top_level: &str) -> bool {
        self.module().first().is_some_and(|first| first == top_level)
    }

    /// Every path the file names outside its tests.
    pub fn named(&self) -> Vec<Named> {
        if self.is_test {
            return Vec::new();
        }
        let tokens = without_tests(lex(&self.text));
        let mut walker =
            Walker { tokens: &tokens, at: 0, module: self.module(), named: Vec::new() };
        // Once, unless a closing brace too many ended a walk early: nothing may go unread.
        while walker.at < tokens.len() {
            walker.walk();
        }
        walker.named
    }

    /// Every module the file declares, with its line, tests included.
    pub fn declared_modules(&self) -> Vec<(usize, String)> {
        declared_in(&lex(&self.text))
    }

    /// The modules it declares under `#[cfg(test)]`, from the crate's root on.
    fn test_modules(&self) -> Vec<Vec<String>> {
        let kept = declared_in(&without_tests(lex(&self.text)));
        let declared = self.declared_modules().into_iter();
        let of_tests = declared.filter(|module| !kept.contains(module));
        of_tests.map(|(_, name)| [self.module(), vec![name]].concat()).collect()
    }
}

fn mark_tests(files: &mut [SourceFile]) {
    let test_modules: Vec<_> = files.iter().flat_map(SourceFile::test_modules).collect();
    for file in files {
        let module = file.module();
        file.is_test = test_modules.iter().any(|tests| module.starts_with(tests));
    }
}

fn declared_in(tokens: &[Token]) -> Vec<(usize, String)> {
    let threes = tokens.windows(3);
    threes
        .filter(|three| three[0].text == "mod" && matches!(three[2].text.as_str(), ";" | "{"))
        .map(|three| (three[1].line, three[1].text.clone()))
        .collect()
}

#[derive(Clone, Debug)]
struct Token {
    line: usize,
    /// A word, `::`, or one character of punctuation. Literals are left out but for their place.
    text: String,
}

impl Token {
    fn is_word(&self) -> bool {
        self.text.starts_with(|first: char| first.is_alphabetic() || first == '_')
    }
}

/// What stands for a string, character or number.
const LITERAL: &str = "\"";

fn lex(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < chars.len() {
        let start = at;
        let first = chars[at];
        let next = chars.get(at + 1).copied().unwrap_or('\0');
        let token = if first.is_whitespace() {
            at += 1;
            None
        } else if first == '/' && next == '/' {
            at = position(&chars, at, |c| c == '\n');
            None
        } else if first == '/' && next == '*' {
            at = end_of_block_comment(&chars, at);
            None
        } else if let Some(end) = end_of_raw_string(&chars, at) {
            at = end;
            Some(LITERAL.to_owned())
        } else if first == '"' || (matches!(first, 'b' | 'c') && next == '"') {
            at = end_of_quoted(&chars, position(&chars, at, |c| c == '"'), '"');
            Some(LITERAL.to_owned())
        } else if first == '\'' || (first == 'b' && next == '\'') {
            let quote = position(&chars, at, |c| c == '\'');
            let is_lifetime = chars.get(quote + 1).is_some_and(|c| c.is_alphabetic() || *c == '_')
                && chars.get(quote + 2) != Some(&'\'');
            at = if is_lifetime {
                position(&chars, quote + 1, |c| !c.is_alphanumeric() && c != '_')
            } else {
                end_of_quoted(&chars, quote, '\'')
            };
            Some(LITERAL.to_owned())
        } else if first.is_alphabetic() || first == '_' {
            at = position(&chars, at, |c| !c.is_alphanumeric() && c != '_');
            Some(chars[start..at].iter().collect())
        } else if first.is_ascii_digit() {
            at = position(&chars, at, |c| !c.is_alphanumeric() && c != '_');
            Some(LITERAL.to_owned())
        } else if first == ':' && next == ':' {
            at += 2;
            Some("::".to_owned())
        } else {
            at += 1;
            Some(first.to_string())
        };
        tokens.extend(token.map(|text| Token { line, text }));
        line += chars[start..at].iter().filter(|&&c| c == '\n').count();
    }
    tokens
}

/// The first place from `from` on whose character is so; the end where none is.
fn position(chars: &[char], from: usize, is_so: impl Fn(char) -> bool) -> usize {
    (from..chars.len()).find(|&at| is_so(chars[at])).unwrap_or(chars.len())
}

fn end_of_block_comment(chars: &[char], start: usize) -> usize {
    let (mut at, mut depth) = (start + 2, 1);
    while at < chars.len() && depth > 0 {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (at, depth) = (at + 2, depth + 1),
            ('*', Some('/')) => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
    }
    at
}

/// For `r"…"`, `r#"…"#`, `br"…"` and the like; `None` for all else, `r#type` too.
fn end_of_raw_string(chars: &[char], start: usize) -> Option<usize> {
    let prefix = if matches!(chars[start], 'b' | 'c') { start + 1 } else { start };
    if chars.get(prefix) != Some(&'r') {
        return None;
    }
    let quote = position(chars, prefix + 1, |c| c != '#');
    if chars.get(quote) != Some(&'"') {
        return None;
    }
    let hashes = quote - prefix - 1;
    let closes = |at: usize| {
        chars[at] == '"'
            && chars
                .get(at + 1..at + 1 + hashes)
                .is_some_and(|after| after.iter().all(|&c| c == '#'))
    };
    let end = (quote + 1..chars.len()).find(|&at| closes(at)).unwrap_or(chars.len());
    Some((end + 1 + hashes).min(chars.len()))
}

fn end_of_quoted(chars: &[char], open: usize, quote: char) -> usize {
    let mut at = open + 1;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// Takes out every item under `#[cfg(test)]`, and everything under `#![cfg(test)]`.
fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if starts_with(&tokens[at..], &["#", "!", "[", "cfg", "(", "test", ")", "]"]) {
            return kept;
        }
        if starts_with(&tokens[at..], &["#", "[", "cfg", "(", "test", ")", "]"]) {
            at = end_of_item(&tokens, at);
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

fn starts_with(tokens: &[Token], texts: &[&str]) -> bool {
    tokens.len() >= texts.len() && tokens.iter().zip(texts).all(|(token, text)| token.text == *text)
}

/// An item ends with its first `;` or closed brace outside other brackets, or where what holds it
/// ends.
fn end_of_item(tokens: &[Token], start: usize) -> usize {
    let mut depth = 0_i32;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" if depth == 0 => return at,
            ")" | "]" => depth -= 1,
            "}" => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

struct Walker<'a> {
    tokens: &'a [Token],
    at: usize,
    /// Where the code stands: the file's module, and the modules written out inside it.
    module: Vec<String>,
    named: Vec<Named>,
}

impl Walker<'_> {
    /// Until the end of the file or of the module that is open.
    fn walk(&mut self) {
        let mut depth = 0;
        while let Some(token) = self.tokens.get(self.at) {
            match token.text.as_str() {
                // `impl Trait + use<'a>` imports nothing; `pub(in path)` names no more than itself.
                "use" if self.text(1) == "<" => self.at += 1,
                "pub" if self.text(1) == "(" => {
                    while !matches!(self.text(0), ")" | "") {
                        self.at += 1;
                    }
                }
                "use" => {
                    self.at += 1;
                    self.use_tree(&mut Vec::new());
                }
                "mod" if self.text(2) == "{" => {
                    let name = self.text(1).to_owned();
                    self.at += 3;
                    self.module.push(name);
                    self.walk();
                    self.module.pop();
                }
                "extern" if self.text(1) == "crate" => {
                    let (line, path) = (token.line, self.text(2).to_owned());
                    self.at += 3;
                    self.named.push(Named { line, path });
                }
                "{" => (self.at, depth) = (self.at + 1, depth + 1),
                "}" if depth == 0 => {
                    self.at += 1;
                    return;
                }
                "}" => (self.at, depth) = (self.at + 1, depth - 1),
                _ if token.is_word() || (token.text == "::" && !self.follows_a_word()) => {
                    self.plain_path();
                }
                _ => self.at += 1,
            }
        }
    }

    /// The text of the token so many further on; empty past the end.
    fn text(&self, further: usize) -> &str {
        self.tokens.get(self.at + further).map_or("", |token| &token.text)
    }

    /// In `Vec::<T>::new` and `<T>::new` the last `::` starts no path.
    fn follows_a_word(&self) -> bool {
        self.at > 0 && {
            let before = &self.tokens[self.at - 1];
            before.is_word() || before.text == ">"
        }
    }

    /// `a::b::c`, `::a::b` or `a::b!`.
    fn plain_path(&mut self) {
        let line = self.tokens[self.at].line;
        let mut segments = Vec::new();
        if self.text(0) == "::" {
            self.at += 1;
        }
        loop {
            segments.push(self.text(0).to_owned());
            self.at += 1;
            let goes_on =
                self.text(0) == "::" && self.tokens.get(self.at + 1).is_some_and(Token::is_word);
            if !goes_on {
                break;
            }
            self.at += 1;
        }
        let is_macro = self.text(0) == "!" && self.text(1) != "=";
        if is_macro {
            let last = segments.last_mut().expect("a path has a segment");
            last.push('!');
        }
        if is_macro || segments.len() > 1 {
            self.name(line, &segments);
        }
    }

    /// One branch of a `use` and all below it, up to the `,`, `}` or `;` after it.
    fn use_tree(&mut self, above: &mut Vec<String>) {
        let own = above.len();
        let mut line = self.tokens.get(self.at).map_or(0, |token| token.line);
        while let Some(token) = self.tokens.get(self.at) {
            match token.text.as_str() {
                "::" => self.at += 1,
                "{" => {
                    self.at += 1;
                    while !matches!(self.text(0), "}" | "") {
                        self.use_tree(above);
                        if self.text(0) == "," {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    above.truncate(own);
                    return;
                }
                "as" => self.at += 2,
                "," | "}" | ";" => break,
                segment => {
                    line = token.line;
                    // `use a::{self}` names `a`.
                    if segment != "self" || above.is_empty() {
                        above.push(segment.to_owned());
                    }
                    self.at += 1;
                }
            }
        }
        self.name(line, above);
        above.truncate(own);
    }

    fn name(&mut self, line: usize, segments: &[String]) {
        if segments.is_empty() {
            return;
        }
        let path = resolve(&self.module, segments).join("::");
        self.named.push(Named { line, path });
    }
}

/// Makes `self::x` and `super::x` start with `crate`.
fn resolve(module: &[String], segments: &[String]) -> Vec<String> {
    let supers = segments.iter().skip_while(|part| *part == "self");
    let supers = supers.take_while(|part| *part == "super").count();
    let is_relative = segments[0] == "self" || segments[0] == "super";
    if !is_relative {
        return segments.to_vec();
    }
    let outer = module.len().saturating_sub(supers);
    let inner = segments.iter().filter(|part| *part != "self" && *part != "super");
    ["crate".to_owned()].iter().chain(&module[..outer]).chain(inner).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_with_their_lines() {
        let named = names(
            "src/engine/event/usage.rs",
            "use std::{fmt, time::{self as clock, Duration}};\n\
             use super::super::time::*;\n\
             fn f<'a>(x: &'a str) -> ::tokio::Task {\n\
             tracing::info!(\"rdkafka::no\"); /* axum::no /* nested */ */ // axum::no\n\
             let c = ':'; let s = r#\"axum::no\"#; let t = b'\\''; println!(\"{x}\");\n\
             self::g(crate::broker::Broker); a != b::c;\n\
             }\n",
        );
        assert_eq!(
            named,
            [
                "1 std::fmt",
                "1 std::time",
                "1 std::time::Duration",
                "2 crate::engine::time::*",
                "3 tokio::Task",
                "4 tracing::info!",
                "5 println!",
                "6 crate::engine::event::usage::g",
                "6 crate::broker::Broker",
                "6 b::c",
            ]
        );
    }

    #[test]
    fn a_module_written_out_shifts_super() {
        let named =
            names("src/engine/score.rs", "mod inner { use super::super::time; } use super::event;");
        assert_eq!(named, ["1 crate::engine::time", "1 crate::engine::event"]);
    }

    #[test]
    fn tests_are_left_out_and_what_follows_them_is_not() {
        let text = "#[cfg(test)]\n#[allow(dead_code)]\nmod tests { fn f() { a::b; } }\nuse c::d;\n\
                    #[cfg(test)] use e::f;\n fn g() { #[cfg(test)] h::i([1; 2]); j::k }";
        assert_eq!(names("src/x.rs", text), ["4 c::d", "6 j::k"]);
        assert_eq!(names("src/x.rs", "#![cfg(test)]\nuse a::b;"), [""; 0]);
        assert_eq!(names("src/x.rs", "#[cfg(not(test))]\nuse a::b;"), ["2 a::b"]);
    }

    #[test]
    fn a_file_declared_under_cfg_test_is_left_out() {
        let mut files = [
            SourceFile::snippet("src/x/mod.rs", "mod a;\n#[cfg(test)]\nmod b;"),
            SourceFile::snippet("src/x/a.rs", "use a::b;"),
            SourceFile::snippet("src/x/b.rs", "use a::b;"),
            SourceFile::snippet("src/x/b/deeper.rs", "use a::b;"),
            SourceFile::snippet("src/x/tests.rs", "use a::b;"),
        ];
        mark_tests(&mut files);
        let named = files.each_ref().map(|file| file.named().len());
        assert_eq!(named, [0, 1, 0, 0, 1]);
    }

    #[test]
    fn turbofish_and_associated_paths_do_not_confuse_it() {
        let named = names("src/x.rs", "let v = Vec::<std::fs::File>::new(); <T as a::B>::c();");
        assert_eq!(named, ["1 std::fs::File", "1 a::B"]);
        let named =
            names("src/x.rs", "pub(in crate::a) fn f() -> impl B + use<'_> { c::d() } } e::f");
        assert_eq!(named, ["1 c::d", "1 e::f"]);
    }

    fn names(path: &str, text: &str) -> Vec<String> {
        let file = SourceFile::snippet(path, text);
        file.named().iter().map(|named| format!("{} {}", named.line, named.path)).collect()
    }
}
