//! The end of a log as it is shown to people beside a verdict.

use std::sync::LazyLock;

use regex::Regex;

use super::{patterns, text};

/// The lines worth showing: without what the verdict quotes already, and without what package
/// managers print after every failure, whatever it was (how they are used, where their own log is).
#[must_use]
pub fn tail(lines: &[String], quoted: &str) -> Vec<String> {
    let quoted: Vec<&str> = quoted.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut shown: Vec<String> = Vec::new();
    let mut is_usage = false;
    for line in text::clean(lines) {
        let bare = line.trim();
        is_usage = USAGE_BEGINS.is_match(bare) || is_usage && USAGE_GOES_ON.is_match(bare);
        let is_quoted = quoted.iter().any(|one| is_same(bare, one));
        let is_gap = bare.is_empty() && shown.last().is_none_or(|last| last.is_empty());
        if !is_usage && !is_quoted && !is_gap && !BOILERPLATE.is_match(bare) {
            shown.push(line);
        }
    }
    while shown.last().is_some_and(String::is_empty) {
        shown.pop();
    }
    shown
}

/// Whether a quotation, which may be cut or begin later, is of this line.
fn is_same(line: &str, quoted: &str) -> bool {
    let beginning = quoted.trim_end_matches('…');
    !line.is_empty()
        && (line == quoted || beginning.len() < quoted.len() && line.starts_with(beginning))
}

/// `npm error Usage:` and the options that follow it.
static USAGE_BEGINS: LazyLock<Regex> =
    LazyLock::new(|| patterns::compile(r"^npm (ERR!|error) (Usage:|Clean install a project)$"));
static USAGE_GOES_ON: LazyLock<Regex> = LazyLock::new(|| {
    patterns::compile(concat!(
        r"^npm (ERR!|error)$",
        r"|^npm (ERR!|error) (Options:|aliases?:|npm |Run .?npm help|\[|\||-|  )",
        r"|^npm (ERR!|error) +-",
    ))
});

/// What is said after every failure.
static BOILERPLATE: LazyLock<Regex> = LazyLock::new(|| {
    patterns::compile(concat!(
        r"^npm (ERR!|error) (A complete log of this run can be found in|code|errno|path|command|Lifecycle script|location|workspace)\b",
        r"|^npm (ERR!|error)\s*$|^npm notice\b|^info Visit https?://",
        r"|^\[notice\]|^-> \[Help \d+\]|^\[ERROR\] (\[Help \d+\]|Re-run Maven|To see the full stack trace|For more information about the errors)",
        r"|^\* Get more help at|^> Run with --|^Node\.js v\d",
    ))
});

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(log: &str, quoted: &str) -> String {
        let lines: Vec<String> = log.lines().map(str::to_owned).collect();
        tail(&lines, quoted).join("\n")
    }

    #[test]
    fn the_usage_text_of_a_package_manager_is_not_shown() {
        let log = "npm error code EUSAGE\nnpm error\nnpm error `npm ci` can only install packages when your package.json and package-lock.json or npm-shrinkwrap.json are in sync. Please update your lock file with `npm install` before continuing.\nnpm error\nnpm error Missing: left-pad@1.3.0 from lock file\nnpm error\nnpm error Clean install a project\nnpm error\nnpm error Usage:\nnpm error npm ci\nnpm error\nnpm error Options:\nnpm error [--install-strategy <hoisted|nested|shallow|linked>] [--legacy-bundling]\nnpm error [--omit <dev|optional|peer> [--omit <dev|optional|peer> ...]]\nnpm error\nnpm error   --install-strategy\nnpm error     Sets the strategy for installing packages in node_modules.\nnpm error\nnpm error aliases: clean-install, ic, install-clean, isntall-clean\nnpm error\nnpm error Run \"npm help ci\" for more info\nnpm error A complete log of this run can be found in: /opt/render/.npm/_logs/x-debug-0.log";
        assert_eq!(
            shown(log, "npm error Missing: left-pad@1.3.0 from lock file"),
            "npm error `npm ci` can only install packages when your package.json and package-lock.json or npm-shrinkwrap.json are in sync. Please update your lock file with `npm install` before continuing."
        );
    }

    #[test]
    fn what_the_verdict_quotes_is_not_shown_twice() {
        assert_eq!(shown("one\n\u{1b}[31mtwo\u{1b}[0m\nthree", "two"), "one\nthree");
        assert_eq!(shown("one\ntwo and more", "two…"), "one");
        assert_eq!(shown("one\n\n\ntwo\n\n", ""), "one\n\ntwo");
    }
}
