//! Finds the decisive line of a log.
//!
//! First the fatal error is looked for by its shape: the last line of a Python traceback, the head
//! of a Node stack, a panic. Then [`patterns`] say what it means. Lines before it are looked
//! through too: what they say is used when the process still runs, or when the fatal error is only
//! a consequence.

use std::sync::LazyLock;

use regex::Regex;

use super::{Verdict, patterns, wording};

/// So many lines after the head of an error belong to it.
const BLOCK_LINES_MAX: usize = 30;

/// An error further from the end than this did not end the process.
const HEAD_DISTANCE_MAX: usize = 80;

/// What a log says.
pub(super) struct Reading {
    /// The error that ended the process.
    pub(super) fatal: Option<Fatal>,
    /// The last known cause that any line speaks of.
    pub(super) before: Option<Verdict>,
}

/// The error that ended the process.
pub(super) struct Fatal {
    /// Its line.
    pub(super) line: String,
    /// What it means, if it is known.
    pub(super) verdict: Option<Verdict>,
}

pub(super) fn read(lines: &[String], env_keys: &[String]) -> Reading {
    let before = patterns::find(&without_warnings(lines), env_keys);
    let fatal = match heads(lines).as_slice() {
        [] => before.as_ref().map(|found| Fatal {
            line: found.lines.first().cloned().unwrap_or_default(),
            verdict: patterns::find(&without_warnings(lines), env_keys),
        }),
        heads => Some(understand(lines, heads, env_keys)),
    };
    Reading { fatal, before }
}

/// A warning was survived, so it is no cause. Its line stays, empty, so that blocks keep together.
fn without_warnings(lines: &[String]) -> String {
    let lines = lines.iter().map(|line| if WARNING.is_match(line) { "" } else { line });
    lines.collect::<Vec<_>>().join("\n")
}

static WARNING: LazyLock<Regex> = LazyLock::new(|| patterns::compile(r"(?i)\bwarn(ing)?s?\b"));

/// The newest head decides; an older one that was its cause is used when the newest says nothing.
fn understand(lines: &[String], heads: &[usize], env_keys: &[String]) -> Fatal {
    let newest = heads[heads.len() - 1];
    let line = lines[newest].trim().to_owned();
    for head in heads.iter().rev() {
        let end = lines.len().min(head + BLOCK_LINES_MAX);
        let block = lines[*head..end].join("\n");
        if let Some(verdict) = patterns::find(&block, env_keys) {
            let verdict = if *head == newest { verdict } else { verdict.line(&line) };
            return Fatal { line, verdict: Some(verdict) };
        }
    }
    Fatal { line: with_message(lines, newest), verdict: None }
}

/// Rust says where on one line and what on the next.
fn with_message(lines: &[String], head: usize) -> String {
    let line = lines[head].trim();
    match lines.get(head + 1) {
        Some(next) if line.ends_with(':') && !next.trim().is_empty() => {
            format!("{line} {}", next.trim())
        }
        _ => line.to_owned(),
    }
}

/// Indices of the heads of fatal errors that belong together, oldest first.
fn heads(lines: &[String]) -> Vec<usize> {
    let candidates = [tracebacks(lines), node_errors(lines), single_lines(lines)];
    let newest = |heads: &Vec<usize>| heads.last().copied();
    let heads = candidates.into_iter().max_by_key(newest).unwrap_or_default();
    heads.into_iter().filter(|head| lines.len() - head <= HEAD_DISTANCE_MAX).collect()
}

/// Python: the first line after the frames. A chain of exceptions gives several.
fn tracebacks(lines: &[String]) -> Vec<usize> {
    let mut heads = Vec::new();
    let mut is_inside = false;
    for (index, line) in lines.iter().enumerate() {
        let bare = line.trim_start_matches([' ', '|', '+', '-']);
        if bare.starts_with("Traceback (most recent call last):") {
            is_inside = true;
        } else if is_inside && is_exception(line) {
            heads.push(index);
            is_inside = false;
        }
    }
    heads
}

fn is_exception(line: &str) -> bool {
    let line = line.trim_start_matches("  | ");
    !line.is_empty() && !line.starts_with(' ')
}

/// Node: the head of the last stack; the one that belongs to `Node.js vN` if there is one.
fn node_errors(lines: &[String]) -> Vec<usize> {
    let is_head = |index: &usize| {
        NODE_HEAD.is_match(&lines[*index])
            && lines[*index + 1..].iter().take(BLOCK_LINES_MAX).any(|line| FRAME.is_match(line))
    };
    let end = lines.iter().rposition(|line| line.starts_with("Node.js v"));
    let all: Vec<usize> = (0..end.unwrap_or(lines.len())).filter(is_head).collect();
    // `file.js:12` stands right before the error that ended the process.
    let place = end.and_then(|end| lines[..end].iter().rposition(|line| PLACE.is_match(line)));
    let first = place.and_then(|place| all.iter().find(|head| **head > place));
    first.or(all.last()).map(|head| vec![*head]).unwrap_or_default()
}

static NODE_HEAD: LazyLock<Regex> = LazyLock::new(|| {
    patterns::compile(r"^(Uncaught )?\[?(\w+\.)*(\w*Error|\w*Exception)\b( \[\w+\])?(:|$)")
});
static FRAME: LazyLock<Regex> = LazyLock::new(|| patterns::compile(r"^\s+at |^Require stack:"));
static PLACE: LazyLock<Regex> = LazyLock::new(|| patterns::compile(r"^(node:|file:///|/).*:\d+$"));

/// Languages that say it in one line.
fn single_lines(lines: &[String]) -> Vec<usize> {
    lines
        .iter()
        .rposition(|line| SINGLE.is_match(line))
        .map(|index| vec![index])
        .unwrap_or_default()
}

static SINGLE: LazyLock<Regex> = LazyLock::new(|| {
    patterns::compile(concat!(
        r"^panic: |^fatal error: ",                // Go
        r"|^thread '.*' (\(\d+\) )?panicked at ",  // Rust
        r"|^\S+:\d+:in .*\(\w+(::\w+)*\)$",        // Ruby
        r"|^\*\* \([\w.]+\) ",                     // Elixir
        r#"|^Exception in thread "|^Caused by: "#, // Java
        r"|^PHP Fatal error: |^Fatal error: ",
        r"|^(SyntaxError|IndentationError|TabError): ",
    ))
});

/// The last line that looks like an error; else the last line that is not a tool's farewell.
pub(super) fn last_telling(lines: &[String]) -> String {
    let telling = |line: &&String| {
        !line.trim().is_empty() && !FAREWELL.is_match(line) && !wording::only_points(line)
    };
    let is_error =
        |line: &&String| ERROR.is_match(line) && telling(line) && !WARNING.is_match(line);
    let found = lines.iter().rev().find(is_error).or_else(|| lines.iter().rev().find(telling));
    found.map(|line| line.trim().to_owned()).unwrap_or_default()
}

static ERROR: LazyLock<Regex> = LazyLock::new(|| {
    patterns::compile(concat!(
        r"(?i)\b(\w*error|\w*exception|fatal|failed|failure|panic|cannot|can't|could not)\b",
        r"|(?i)\b(unable to|denied|refused|not found|invalid)\b",
    ))
});

/// What package managers, interpreters and make say after the error itself.
static FAREWELL: LazyLock<Regex> = LazyLock::new(|| {
    patterns::compile(concat!(
        r"^\s+at |^Node\.js v|^\s*[\^~]+\s*$|^\s*[})\]]+\s*$",
        r"|^npm (ERR!|error) (A complete log|Lifecycle|path|workspace|location|command|code|errno)",
        r"|^npm (ERR!|error)\s*(Exit status \d+)?$|^npm (ERR!|error)\s+/",
        r"|(?i)ELIFECYCLE|Command failed with exit code|^info Visit http|^make(\[\d+\])?: \*\*\*",
        r"|^\[?notice\]?|run with `RUST_BACKTRACE|^goroutine \d+|^exit status \d+$|^==> ",
    ))
});

/// The last line that speaks of memory: of one that ran out of it, other lines tell nothing.
pub(super) fn last_of_memory(lines: &[String]) -> String {
    let found = lines.iter().rev().find(|line| MEMORY.is_match(line) && !WARNING.is_match(line));
    found.map(|line| line.trim().to_owned()).unwrap_or_default()
}

static MEMORY: LazyLock<Regex> = LazyLock::new(|| {
    patterns::compile(r"(?i)\b(?:out of memory|heap|memoryerror|oom|enomem|allocat\w*|killed)\b")
});

/// The first line of a log that looks like an error: of builds, whose last line is often only a
/// consequence.
pub(super) fn first_telling(lines: &[String]) -> Option<String> {
    let first = lines.iter().find(|line| {
        STARTS_AS_ERROR.is_match(line)
            && !FAREWELL.is_match(line)
            && !WARNING.is_match(line)
            && !wording::only_points(line)
    });
    first.map(|line| line.trim().to_owned())
}

static STARTS_AS_ERROR: LazyLock<Regex> =
    LazyLock::new(|| patterns::compile(r"(?i)^\W*(npm )?(\w*error|fatal|failed)\b"));
