//! Outcomes as JUnit XML, the form every build server reads.

use std::fmt::Write as _;

use super::{FileResult, Outcome};
use crate::engine::yaml::Problem;

/// Writes a suite for each file: its outcomes, or the problems for which it could not be run.
pub fn junit(files: &[FileResult]) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for (file, result) in files {
        write_suite(&mut xml, file, result).expect("writing to a string cannot fail");
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn write_suite(
    xml: &mut String,
    file: &str,
    result: &Result<Vec<Outcome>, Vec<Problem>>,
) -> std::fmt::Result {
    let name = escaped(file);
    let outcomes = match result {
        Ok(outcomes) => outcomes,
        Err(problems) => {
            writeln!(xml, "  <testsuite name=\"{name}\" tests=\"1\" failures=\"0\" errors=\"1\">")?;
            writeln!(xml, "    <testcase classname=\"{name}\" name=\"the file can be read\">")?;
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            let text = escaped(&lines.join("\n"));
            writeln!(xml, "      <error message=\"the file has mistakes\">{text}</error>")?;
            writeln!(xml, "    </testcase>\n  </testsuite>")?;
            return Ok(());
        }
    };
    let failures = outcomes.iter().filter(|outcome| !outcome.holds()).count();
    writeln!(
        xml,
        "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{failures}\" errors=\"0\">",
        outcomes.len()
    )?;
    for outcome in outcomes {
        let case = escaped(&outcome.case);
        write!(
            xml,
            "    <testcase classname=\"{name}\" name=\"{case}\" file=\"{name}\" line=\"{}\"",
            outcome.line
        )?;
        if outcome.holds() {
            writeln!(xml, "/>")?;
            continue;
        }
        let count = outcome.misses.len();
        writeln!(xml, ">\n      <failure message=\"{count} not as expected\">")?;
        write!(xml, "{}", escaped(&outcome.to_string()))?;
        writeln!(xml, "      </failure>\n    </testcase>")?;
    }
    writeln!(xml, "  </testsuite>")
}

/// Text as XML may hold it. Control characters, which XML 1.0 cannot hold at all, become spaces.
fn escaped(text: &str) -> String {
    let mut xml = String::new();
    for char in text.chars() {
        match char {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            '\n' | '\t' => xml.push(char),
            char if char.is_control() || matches!(char, '\u{fffe}' | '\u{ffff}') => xml.push(' '),
            char => xml.push(char),
        }
    }
    xml
}
