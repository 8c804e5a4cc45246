//! Commands that ended with 0 although they did not do their work.
//!
//! An exit code is a promise that some well-known tools break. Only those are known here: a word
//! like `error` in the output of a command that succeeded is no evidence, as many programs print
//! errors that they have dealt with.

use std::sync::LazyLock;

use regex::Regex;

use super::{patterns, text};

/// What a command said that makes its success doubtful.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// The line.
    pub line: String,
    /// What to do.
    pub hint: &'static str,
}

struct Case {
    expression: Regex,
    hint: &'static str,
}

/// What known tools say, and what to do.
const CASES: &[(&str, &str)] = &[
    // drizzle-kit `push` asks before it changes what could lose data; without a terminal it gives
    // up, prints this and ends with 0.
    (
        r"Interactive prompts require a TTY terminal",
        "there is nobody to ask: commit migrations and run `drizzle-kit migrate`, or answer \
         beforehand with `drizzle-kit push --force`",
    ),
    // psql goes on after an error unless it is told otherwise.
    (
        r"^psql:[^\n]*:\d+: (?:ERROR|FATAL):|^ERROR:  ",
        "psql goes on after an error: run it with `-v ON_ERROR_STOP=1`",
    ),
];

static TABLE: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let cases = CASES.iter();
    cases.map(|(row, hint)| Case { expression: patterns::compile(row), hint }).collect()
});

/// The first line by which a command that ended with 0 says that it did not do its work.
#[must_use]
pub fn doubt(log_tail: &[String]) -> Option<Doubt> {
    text::clean(log_tail).iter().find_map(|line| {
        let line = line.trim();
        let case = TABLE.iter().find(|case| case.expression.is_match(line))?;
        Some(Doubt { line: line.to_owned(), hint: case.hint })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(log: &str) -> Option<String> {
        let lines: Vec<String> = log.lines().map(str::to_owned).collect();
        doubt(&lines).map(|doubt| doubt.line)
    }

    #[test]
    fn tools_that_fail_and_end_with_0_are_known() {
        let drizzle = "[✓] Pulling schema from database...\nError: Interactive prompts require a TTY terminal (process.stdin.isTTY or process.stdout.isTTY is false). This can happen when running in CI, piped input, or non-interactive shells.\n    at render10 (bin.cjs:1450:31)";
        assert!(said(drizzle).unwrap().starts_with("Error: Interactive prompts require a TTY"));
        let psql = "CREATE TABLE\npsql:schema.sql:7: ERROR:  relation \"users\" already exists\nINSERT 0 1";
        assert_eq!(
            said(psql).as_deref(),
            Some("psql:schema.sql:7: ERROR:  relation \"users\" already exists")
        );
    }

    #[test]
    fn an_error_that_a_program_has_dealt_with_is_no_doubt() {
        assert_eq!(said("Error: cannot reach the cache, going on without it\nmigrated"), None);
        assert_eq!(said("0 errors found"), None);
        assert_eq!(said(""), None);
    }
}
