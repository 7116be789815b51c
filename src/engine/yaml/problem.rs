//! What can be wrong with a file, where, and how it is told.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

/// Whether a problem stops the file from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It does: what stands there has no meaning, or not the one it seems to have.
    Error,
    /// It does not, but it is hardly what the author wanted.
    Warning,
}

/// One mistake in a file (or an environment variable, or a flag).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether the file can be used all the same.
    pub severity: Severity,
    /// The file as the caller named it, or ``environment variable `X` ``, or ``flag `--x` ``.
    pub source: String,
    /// Counted from 1; 0 where the source has no lines.
    pub line: u32,
    /// Counted from 1; 0 where the source has no lines.
    pub column: u32,
    /// Which value: `dimensions[0].measures[1].curve`; empty for the whole file.
    pub path: String,
    /// The whole sentence, path and all: expected, found, and what to do.
    pub message: String,
}

/// `scorecard.yaml:14: bands[2].below is 40, expected more than bands[1].below (55)`
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        let mark = match self.severity {
            Severity::Error => "",
            Severity::Warning => "warning: ",
        };
        write!(f, ": {mark}{}", self.message)
    }
}

/// Where a value was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Which of the log's sources; 0 is the file itself.
    pub source: u16,
    /// Counted from 1; 0 where the source has no lines.
    pub line: u32,
    /// Counted from 1; 0 where the source has no lines.
    pub column: u32,
}

/// Gathers problems while a file is read, so that one run tells them all.
#[derive(Debug)]
pub struct Log {
    sources: Vec<String>,
    problems: RefCell<Vec<(Position, Problem)>>,
    known_keys: RefCell<BTreeSet<String>>,
}

impl Log {
    /// An empty log for the file of this name.
    pub fn new(file_name: &str) -> Log {
        Log {
            sources: vec![file_name.to_string()],
            problems: RefCell::default(),
            known_keys: RefCell::default(),
        }
    }

    /// Adds a source that is not the file, such as an environment variable, and gives its number.
    pub fn add_source(&mut self, name: String) -> u16 {
        self.sources.push(name);
        u16::try_from(self.sources.len() - 1).expect("a process has far fewer variables and flags")
    }

    /// Notes an error.
    pub fn error(&self, position: Position, path: &str, message: String) {
        self.push(Severity::Error, position, path, message);
    }

    /// Notes a warning.
    pub fn warning(&self, position: Position, path: &str, message: String) {
        self.push(Severity::Warning, position, path, message);
    }

    fn push(&self, severity: Severity, position: Position, path: &str, message: String) {
        let problem = Problem {
            severity,
            source: self.sources[usize::from(position.source)].clone(),
            line: position.line,
            column: position.column,
            path: path.to_string(),
            message,
        };
        self.problems.borrow_mut().push((position, problem));
    }

    /// Whether anything noted so far stops the file from being used.
    pub fn has_errors(&self) -> bool {
        self.problems.borrow().iter().any(|(_, problem)| problem.severity == Severity::Error)
    }

    /// Everything noted, the file first and by line.
    pub fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|(position, _)| *position);
        problems.into_iter().map(|(_, problem)| problem).collect()
    }

    pub(super) fn note_known_key(&self, path: String) {
        self.known_keys.borrow_mut().insert(path);
    }

    /// Every key that was asked for so far, as a path: what the reader knows.
    pub fn known_keys(&self) -> Vec<String> {
        self.known_keys.borrow().iter().cloned().collect()
    }
}

/// The candidate that `word` is most likely a slip of, if any is near enough to be worth naming.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the word wrong is still a slip; more, and the hint would mislead.
    let letters = word.chars().count();
    let slips_max = (letters / 3).max(1);
    // The words compared are keys and ids. What is longer is none, and comparing it would cost
    // the product of both lengths.
    if word.len() > 128 {
        return None;
    }
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(slips, _)| *slips <= slips_max && *slips < letters)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}
