//! Why a server does not start, in its own words.

use model::Problem;
use tokio_postgres::error::SqlState;

use crate::Config;
use crate::instance::{LOCKED, log_path, log_tail};
use crate::postgres::PostgresRequest;

/// How many of the decisive lines are shown.
const LINES: usize = 4;

/// What a server says to those who come too early or too late.
const WAIT: [&str; 4] = [
    "the database system is starting up",
    "the database system is not yet accepting connections",
    "the database system is shutting down",
    "the database system is in recovery mode",
];

/// How a server refuses a setting.
const BAD_SETTING: [&str; 5] = [
    "invalid value for parameter",
    "is outside the valid range for parameter",
    "requires a Boolean value",
    "requires a numeric value",
    "unrecognized configuration parameter",
];

/// Whether the server runs and asks for patience.
pub(super) fn is_starting(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::CANNOT_CONNECT_NOW)
}

/// Whether the server answered, and waiting will not change its mind.
pub(super) fn is_refusal(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| {
        [
            SqlState::INVALID_PASSWORD,
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
            SqlState::INVALID_CATALOG_NAME,
        ]
        .contains(code)
    })
}

/// What the server, or the way to it, says.
pub(super) fn words(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{}: {}", error.severity(), error.message()),
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}

/// The server does not let its superuser in.
pub(super) fn refused(request: &PostgresRequest<'_>, error: &tokio_postgres::Error) -> Problem {
    let name = &request.definition.name;
    Problem::new("postgres-refuses-gable", format!("the database {name} refuses its superuser"))
        .detail(words(error))
        .hint(
            "its data directory was made with another secret: it belongs to another state \
             directory, or the state was replaced without it",
        )
}

/// The server ended, or never answered.
pub(super) fn not_starting(config: &Config, request: &PostgresRequest<'_>, how: &str) -> Problem {
    let name = &request.definition.name;
    let lines = log_tail(&log_path(&config.logs_dir, request.id.as_str(), request.instance_id));
    let detail = decisive(&lines);
    let mut problem = Problem::new("postgres-not-starting", format!("PostgreSQL for {name} {how}"));
    if let Some(hint) = hint(&detail, how) {
        problem = problem.hint(hint);
    }
    if detail.is_empty() { problem } else { problem.detail(detail) }
}

/// The last lines that say FATAL or PANIC, else the last that say anything.
fn decisive(lines: &[String]) -> String {
    // A setting that is refused is told before the FATAL line that says no more.
    let refused = lines.iter().rfind(|line| BAD_SETTING.iter().any(|words| line.contains(words)));
    if let Some(line) = refused {
        return line.clone();
    }
    // Whoever connects meanwhile is told to wait, Gable's own probe too: that is no reason.
    let fatal = |line: &&String| {
        let is_fatal = line.contains("FATAL:") || line.contains("PANIC:");
        is_fatal && !WAIT.iter().any(|words| line.contains(words))
    };
    // The line is followed by what it rests on.
    let mut chosen: Vec<&str> = Vec::new();
    if let Some(last) = lines.iter().rposition(|line| fatal(&line)) {
        let first = lines[..last].iter().rev().take_while(fatal).count();
        let after = lines[last + 1..].iter().take_while(|line| {
            ["DETAIL:", "HINT:", "CONTEXT:"].iter().any(|word| line.contains(word))
        });
        chosen.extend(lines[last - first..=last].iter().map(String::as_str));
        chosen.extend(after.map(String::as_str));
    } else {
        chosen.extend(lines.iter().map(String::as_str).filter(|line| !line.trim().is_empty()));
    }
    chosen[chosen.len().saturating_sub(LINES)..].join("\n")
}

fn hint(detail: &str, how: &str) -> Option<&'static str> {
    let has = |text: &str| detail.contains(text);
    if has("No space left on device") {
        Some("free space on the disk of the state directory; nothing is lost, and it starts again")
    } else if how.contains(&format!("code {LOCKED}")) || has("lock file \"postmaster.pid\"") {
        Some("another process still uses the data directory: end it, or wait until it has ended")
    } else if has("could not map anonymous shared memory") || how.contains("out of memory") {
        Some("give the database a larger `plan`, or free memory on this machine")
    } else if BAD_SETTING.iter().any(|words| has(words)) {
        Some("correct the setting where the compose file gives it, after `-c` of the `command`")
    } else if has("Address already in use") {
        Some("another program of this machine listens on the port")
    } else if has("incompatible with server") {
        Some("the data belongs to another major: set `postgresMajorVersion` back")
    } else if has("could not locate a valid checkpoint record") || has("PANIC:") {
        Some("the files are damaged: restore a copy of the store's directory under `data`")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_fatal_lines_are_shown_with_their_detail() {
        let lines = [
            "LOG:  starting PostgreSQL 15",
            "FATAL:  data directory \"/x\" has wrong ownership",
            "HINT:  The server must be started by the user that owns the data directory.",
            "LOG:  database system is shut down",
        ]
        .map(str::to_owned);
        assert_eq!(decisive(&lines), lines[1..3].join("\n"));
    }

    #[test]
    fn who_came_too_early_is_not_the_reason() {
        let lines = [
            "LOG:  database system was shut down",
            "PANIC:  could not locate a valid checkpoint record",
            "LOG:  startup process was terminated by signal 6",
            "FATAL:  the database system is starting up",
        ]
        .map(str::to_owned);
        assert_eq!(decisive(&lines), lines[1]);
    }

    #[test]
    fn a_full_disk_is_named() {
        let detail = "PANIC:  could not write to file: No space left on device";
        assert!(hint(detail, "exited with code 1").is_some_and(|hint| hint.contains("space")));
    }
}
