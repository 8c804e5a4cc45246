//! Which line of a failed build's output is the one that matters.
//!
//! Builds fail with pages of output whose last line is rarely the cause ("command failed"), and
//! whose first error is sometimes a mere consequence. A table of known lines says what each means
//! and what to do; the earliest line that names a real cause is the decisive one.

mod table;

use reconcile::diagnosis::{variables, wording};

use table::{LOOK_AROUND, Weight, causes};

/// A line that is known, and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Stable name of the cause, such as `module-missing`.
    pub code: String,
    /// The line, without colours.
    pub line: String,
    /// Its place among the lines.
    pub index: usize,
    /// What to do.
    pub hint: String,
}

/// What a log tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diagnosis {
    /// The line that says best why it failed.
    pub decisive: Option<Finding>,
    /// The earliest line that is more than a consequence.
    pub first: Option<Finding>,
    /// The last such line.
    pub last: Option<Finding>,
}

/// Looks for known lines in the output of a command that failed.
#[must_use]
pub fn diagnose<T: AsRef<str>>(lines: &[T]) -> Diagnosis {
    let lines: Vec<String> = lines.iter().map(|line| telling(line.as_ref())).collect();
    let mut diagnosis = Diagnosis::default();
    let mut weight = None;
    for (index, line) in lines.iter().enumerate() {
        let Some(cause) = causes().find(|cause| cause.matches(line)) else { continue };
        // A line that only points names the cause; what says it is another.
        let told = if wording::only_points(line) { wording::sentence(&lines, index) } else { None };
        let finding = finding(cause.code, cause.hint, &lines, told.unwrap_or(index));
        // Why beats what; among equals the earliest counts.
        if weight.is_none_or(|weight| cause.weight > weight) {
            weight = Some(cause.weight);
            diagnosis.decisive = Some(finding.clone());
        }
        diagnosis.first.get_or_insert_with(|| finding.clone());
        diagnosis.last = Some(finding);
    }
    let is_open = diagnosis.decisive.as_ref().is_none_or(|one| one.code == UNSET);
    if let Some(finding) = unset(&lines).filter(|_| is_open || weight < Some(Weight::Cause)) {
        diagnosis.decisive = Some(finding);
    }
    if diagnosis.decisive.is_none() {
        let index = wording::decisive(&lines);
        diagnosis.decisive = index.map(|index| finding("build-failed", LOOK_AROUND, &lines, index));
    }
    diagnosis
}

/// The code of a variable without a value.
const UNSET: &str = "variable-missing";

/// The variables that the output says have no value, unless a compiler speaks of its own.
fn unset(lines: &[String]) -> Option<Finding> {
    const CAN_BE_ABOUT_VARIABLES: [&str; 3] = [UNSET, "prerender-error", "traceback"];
    let found = variables::unset(lines)?;
    let known = causes().find(|cause| cause.matches(&lines[found.index]));
    if known.is_some_and(|cause| !CAN_BE_ABOUT_VARIABLES.contains(&cause.code)) {
        return None;
    }
    let pairs: Vec<String> = found.names.iter().map(|name| format!("{name}=VALUE")).collect();
    let hint = format!("give a value: `gable env set SERVICE {}`", pairs.join(" "));
    Some(Finding { code: UNSET.to_owned(), line: found.line, index: found.index, hint })
}

/// The line without colours; empty if it is a warning, which was survived.
fn telling(line: &str) -> String {
    let line = without_colours(line);
    if is_warning(&line) { String::new() } else { line }
}

/// Tools go on after these; they would hide what ended the build.
fn is_warning(line: &str) -> bool {
    let line = line.trim_start();
    let starts =
        ["npm warn", "npm WARN", "warning", "Warning", "WARN", "DEPRECATION", "(node:", "debug"];
    starts.iter().any(|start| line.starts_with(start)) || line.contains("DeprecationWarning")
}

fn finding(code: &str, hint: &str, lines: &[String], index: usize) -> Finding {
    let line = lines[index].trim().to_owned();
    Finding { code: code.to_owned(), line, index, hint: hint.to_owned() }
}

/// The text without escape sequences: `ESC [ … letter` and `ESC ] … BEL`.
fn without_colours(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        if letter != '\u{1b}' {
            text.push(letter);
            continue;
        }
        match letters.next() {
            Some('[') => {
                letters.find(|letter| ('@'..='~').contains(letter));
            }
            Some(']') => {
                letters.find(|letter| *letter == '\u{7}');
            }
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `decisive` and `first` are parts of the lines that must be found; `first` is empty where
    /// it is the same line.
    fn check(log: &str, code: &str, decisive: &str, first: &str) {
        let lines: Vec<&str> = log.lines().collect();
        let found = diagnose(&lines);
        let line = found.decisive.as_ref().expect("a decisive line");
        assert_eq!(line.code, code, "{}", line.line);
        assert!(line.line.contains(decisive), "{}", line.line);
        assert!(!line.hint.is_empty());
        if !first.is_empty() {
            let line = found.first.expect("a first line").line;
            assert!(line.contains(first), "{line}");
        }
    }

    #[test]
    fn a_version_that_does_not_exist_is_named() {
        check(
            "Collecting fastapi==0.110.0\n  Downloading fastapi-0.110.0-py3-none-any.whl\n\
             ERROR: Could not find a version that satisfies the requirement sleepdata==9.9.9 (from versions: 0.1, 0.2)\n\
             ERROR: No matching distribution found for sleepdata==9.9.9",
            "package-version-missing",
            "requirement sleepdata==9.9.9",
            "",
        );
        check(
            "npm error code ETARGET\nnpm error notarget No matching version found for left-hand@^7.0.0.",
            "package-version-missing",
            "No matching version found for left-hand",
            "",
        );
    }

    #[test]
    fn a_type_error_is_shown_when_nothing_else_went_wrong() {
        check(
            "> web@1.0.0 build\n> tsc -b\n\u{1b}[96msrc/a.ts\u{1b}[0m:4:9 - \u{1b}[91merror\u{1b}[0m TS2345: Argument of type 'string' is not assignable\n\
             npm error Lifecycle script `build` failed with error:\nnpm error code 2",
            "type-check-failed",
            "TS2345",
            "",
        );
    }

    #[test]
    fn a_download_that_failed_beats_the_type_error_that_follows_from_it() {
        check(
            "Error: Failed to fetch sha256 checksum at https://binaries.prisma.sh/all_commits/x - 503\n\
             src/db.ts(3,10): error TS2305: Module '\"@prisma/client\"' has no exported member 'User'.\n\
             ELIFECYCLE Command failed with exit code 2.",
            "prisma-engines",
            "binaries.prisma.sh",
            "",
        );
    }

    #[test]
    fn the_earliest_error_is_kept_beside_the_decisive_line() {
        check(
            "Cannot find module './generated/client'\nnpm error code ENOSPC\nnpm error nospc ENOSPC: no space left",
            "disk-full",
            "ENOSPC",
            "Cannot find module",
        );
    }

    #[test]
    fn development_tools_that_are_missing_get_their_own_hint() {
        let found = diagnose(&["> vite build", "sh: 1: vite: not found"]);
        assert!(found.decisive.unwrap().hint.contains("NODE_ENV"));
        check("bash: line 1: poetr: command not found", "command-not-found", "poetr", "");
    }

    #[test]
    fn an_error_after_the_general_complaint_is_found() {
        check(
            "Failed to compile.\n\nError: error:0308010C:digital envelope routines::unsupported\n    at String.replace (<anonymous>)\nerror Command failed with exit code 1.",
            "openssl-legacy",
            "0308010C",
            "",
        );
    }

    #[test]
    fn known_troubles_have_their_names() {
        let cases = [
            ("npm error Error: EACCES: permission denied, mkdir '/usr/lib/x'", "permission-denied"),
            (
                "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
                "out-of-memory",
            ),
            (
                "npm error request to https://r.example/x failed, reason: self-signed certificate in certificate chain",
                "certificate",
            ),
            (
                "npm error network request failed, reason: getaddrinfo ENOTFOUND r.example",
                "host-not-found",
            ),
            ("ModuleNotFoundError: No module named 'flask'", "module-missing"),
            ("node: --no-such-flag is not allowed in NODE_OPTIONS", "node-options"),
            ("npm error Missing script: \"bulid\"", "script-missing"),
            ("Error: P1001: Can't reach database server at `db:5432`", "database-unreachable"),
            ("Killed", "killed"),
            ("error[E0308]: mismatched types", "rust-error"),
            (
                " ERR_PNPM_OUTDATED_LOCKFILE  Cannot install with \"frozen-lockfile\"",
                "lockfile-out-of-date",
            ),
            (
                "npm error enoent Could not read package.json: Error: ENOENT: no such file or directory, open '/opt/render/project/src/package.json'",
                "manifest-missing",
            ),
        ];
        for (line, code) in cases {
            check(line, code, "", "");
        }
    }

    #[test]
    fn the_sentence_that_says_it_is_shown_and_not_the_wrapper_around_it() {
        check(
            "npm error code EUSAGE\nnpm error\nnpm error `npm ci` can only install packages when your package.json and package-lock.json or npm-shrinkwrap.json are in sync. Please update your lock file with `npm install` before continuing.\nnpm error\nnpm error Missing: left-pad@1.3.0 from lock file\nmake: *** [Makefile:2: build] Error 1",
            "lockfile-out-of-date",
            "can only install packages when",
            "",
        );
        check(
            "npm error code E404\nnpm error 404 Not Found - GET https://registry.example/no-such\nnpm error 404\nnpm error 404  The requested resource 'no-such@1' could not be found or you do not have permission to access it.",
            "package-version-missing",
            "'no-such@1' could not be found",
            "",
        );
        check(
            "Error occurred prerendering page \"/\". Read more: https://nextjs.org/docs\nTypeError: fetch failed\n    at c (app/page.tsx:1:80)\nExport encountered an error on /page: /, exiting the build.",
            "prerender-error",
            "TypeError: fetch failed",
            "",
        );
        check(
            "$ webpack\nthe configuration has no entry, giving up with a failure\nmake: *** [Makefile:2: build] Error 1",
            "build-failed",
            "giving up with a failure",
            "",
        );
    }

    #[test]
    fn variables_of_a_build_that_have_no_value_are_all_named() {
        let log = "Error occurred prerendering page \"/\". Read more: https://nextjs.org/docs\nError: API_URL and API_KEY must be set to build this page\n    at c (app/page.tsx:1:80)";
        check(log, "variable-missing", "API_URL and API_KEY must be set", "");
        let lines: Vec<&str> = log.lines().collect();
        let hint = diagnose(&lines).decisive.unwrap().hint;
        assert!(hint.contains("API_URL=VALUE API_KEY=VALUE"), "{hint}");
        // A compiler that misses a property speaks of no variable.
        check(
            "src/a.ts(1,1): error TS2741: Property 'API_URL' is missing in type '{}'.",
            "type-check-failed",
            "TS2741",
            "",
        );
    }

    #[test]
    fn another_python_than_the_project_wants_has_its_own_name() {
        for line in [
            "The currently activated Python version 3.11.7 is not supported by the project (^3.13).",
            "Current Python version (3.11.7) is not allowed by the project (^3.13).",
            "error: The requested interpreter resolved to Python 3.11.7, which is incompatible with the project's Python requirement: `>=3.13`",
            "  cause: Because the current Python version (3.11.7) does not satisfy Python>=3.13 and x==0.1.0 depends on Python>=3.13, we can conclude that x==0.1.0 cannot be used.",
            "error: No interpreter found for Python >=3.13 in virtual environments or search path",
        ] {
            check(line, "python-version", "Python", "");
        }
        // Poetry found one, and failed for another reason.
        check(
            "The currently activated Python version 3.11.7 is not supported by the project (^3.13).\nTrying to find and use a compatible version. \nUsing python3.13 (3.13.0)\n\npyproject.toml changed significantly since poetry.lock was last generated. Run `poetry lock` to fix the lock file.",
            "lockfile-out-of-date",
            "pyproject.toml changed significantly",
            "",
        );
    }

    #[test]
    fn warnings_are_no_causes() {
        let lines = [
            "npm warn EBADENGINE Unsupported engine",
            "warning: failed to fetch, ETIMEDOUT, trying again",
            "src/main.ts(1,1): error TS1005: ';' expected.",
        ];
        assert_eq!(diagnose(&lines).decisive.unwrap().code, "type-check-failed");
    }

    #[test]
    fn an_unknown_log_says_nothing() {
        assert_eq!(diagnose(&["", "make: *** [build] Error 1"]), Diagnosis::default());
        assert_eq!(diagnose::<&str>(&[]), Diagnosis::default());
    }

    #[test]
    fn colours_do_not_hide_a_line() {
        assert_eq!(without_colours("a\u{1b}[1;31mred\u{1b}[0m\u{1b}]0;title\u{7}z\u{1b}"), "aredz");
    }
}
