//! The main process has ended: why.

use model::Exit;

use super::{Facts, Phase, Verdict, log};

/// What a shell exits with when it finds a command that it may not execute.
const NOT_EXECUTABLE: i32 = 126;
/// What a shell exits with when it does not find a command.
const NOT_FOUND: i32 = 127;
/// Above this, a shell tells the signal that ended its command.
const SIGNAL_BASE: i32 = 128;
const SIGKILL: i32 = 9;

pub(super) fn judge(facts: &Facts<'_>, exit: &Exit, lines: &[String]) -> Verdict {
    if let Some(limit) = &exit.limit {
        let code = if exit.is_disk_limit() { "disk-limit" } else { "limit-reached" };
        return Verdict::new(code).line(limit).line(log::last_telling(lines));
    }
    if exit.out_of_memory {
        let megabytes = facts.service.instance_type.memory_bytes / (1024 * 1024);
        let what = match facts.phase {
            Phase::Build => "memory".to_owned(),
            _ => format!("its {megabytes} MB of memory"),
        };
        return Verdict::new("out-of-memory").what(what).line(log::last_of_memory(lines));
    }
    if let Some(error) = &exit.start_error {
        return not_started(error);
    }
    if let Some(found) = from_log(facts, exit, lines) {
        return found;
    }
    let verdict = from_status(facts, exit, lines);
    match facts.phase {
        Phase::Build => with_first(verdict, lines),
        _ => verdict,
    }
    .line(log::last_telling(lines))
}

/// The last line of a build is often only a consequence: the first error comes first.
fn with_first(verdict: Verdict, lines: &[String]) -> Verdict {
    match log::first_telling(lines) {
        Some(first) => verdict.line(first),
        None => verdict,
    }
}

fn not_started(error: &str) -> Verdict {
    let lower = error.to_ascii_lowercase();
    let code = if lower.contains("not found") || lower.contains("no such file") {
        "command-not-found"
    } else if lower.contains("permission denied") || lower.contains("exec format") {
        "command-not-executable"
    } else {
        "start-failed"
    };
    Verdict::new(code).line(error)
}

/// What the log says. An end with code 0 is no crash, whatever was logged before.
fn from_log(facts: &Facts<'_>, exit: &Exit, lines: &[String]) -> Option<Verdict> {
    if exit.code == Some(0) {
        return None;
    }
    let reading = log::read(lines, facts.env_keys);
    let fatal = reading.fatal?;
    let known = match (&fatal.verdict, reading.before) {
        (Some(_), _) => fatal.verdict,
        // A variable that was said to be missing explains what fails later.
        (None, Some(before)) if before.cause.code == "variable-missing" => {
            Some(before.line(&fatal.line))
        }
        (None, _) => None,
    };
    Some(known.unwrap_or_else(|| from_status(facts, exit, lines).line(fatal.line)))
        .map(|verdict| with_status_code(exit, verdict))
}

/// 126 and 127 mean something only when the log's words agree; then they say it best.
fn with_status_code(exit: &Exit, verdict: Verdict) -> Verdict {
    match (exit.code, verdict.cause.code) {
        (Some(NOT_EXECUTABLE), "permission-denied") => {
            Verdict { cause: super::causes::find("command-not-executable"), ..verdict }
        }
        _ => verdict,
    }
}

fn from_status(facts: &Facts<'_>, exit: &Exit, lines: &[String]) -> Verdict {
    let signal = exit.signal.or_else(|| exit.code.map(|code| code - SIGNAL_BASE));
    match (exit.code, signal) {
        (Some(NOT_FOUND), _) => Verdict::new("command-not-found"),
        (Some(NOT_EXECUTABLE), _) => Verdict::new("command-not-executable"),
        (_, Some(SIGKILL)) => Verdict::new("killed"),
        (_, Some(signal @ 1..=31)) => Verdict::new("ended-by-signal").what(name(signal)),
        (Some(0), _) => early(facts),
        (Some(code), _) if lines.iter().all(|line| line.is_empty()) => {
            Verdict::new("crashed-silently").what(code.to_string())
        }
        (Some(code), _) => Verdict::new("crashed").what(code.to_string()),
        (None, _) => Verdict::new("crashed"),
    }
}

/// Code 0 is what commands that run once are to end with; a service is to go on.
fn early(facts: &Facts<'_>) -> Verdict {
    match facts.phase {
        Phase::Update | Phase::Running => Verdict::new("exited-early"),
        _ => Verdict::new("crashed").what("0"),
    }
}

fn name(signal: i32) -> String {
    let name = match signal {
        1 => "HUP",
        2 => "INT",
        3 => "QUIT",
        4 => "ILL",
        6 => "ABRT",
        7 => "BUS",
        8 => "FPE",
        11 => "SEGV",
        13 => "PIPE",
        15 => "TERM",
        31 => "SYS",
        other => return other.to_string(),
    };
    name.to_owned()
}
