//! An init file that failed: what is said of it, and that it is not tried again at once.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use model::Problem;
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};

use crate::postgres::init::InitFile;
use crate::postgres::{Layout, PostgresRequest, Work};
use crate::{Error, files};

const CODE: &str = "database-init-failed";
/// The same files are tried again after this time: what they lacked may be there now.
const RETRY_AFTER: Duration = Duration::from_secs(600);
/// Shortest value that is kept out of what is shown.
const SECRET_BYTES: usize = 4;
/// How many lines of what `psql` says are shown.
const LINES: usize = 4;

/// What is told of a file that failed. `how` fits “the init file x …”.
pub(super) fn problem(
    request: &PostgresRequest<'_>,
    file: &InitFile,
    how: &str,
    said: &str,
) -> Problem {
    let (place, detail) = decisive(said);
    let at = match place {
        // What a script gives to `psql` has no name.
        Some((name, line)) if name == file.name || name == "<stdin>" => format!(" at line {line}"),
        Some((name, line)) => format!(" at line {line} of {name}"),
        None => String::new(),
    };
    let message = format!(
        "the init file {} of the database {} {how}{at}",
        file.name, request.definition.name
    );
    let secrets = request.env.iter().map(|(_, value)| value).chain([request.password]);
    let detail = secrets.fold(detail, |detail, secret| match secret.expose_secret() {
        // A shorter one is part of many words.
        secret if secret.len() < SECRET_BYTES => detail,
        secret => detail.replace(secret, "***"),
    });
    let hint = hint(&detail);
    Problem::new(CODE, message).detail(detail).hint(hint)
}

/// What is told of files that ran, and left nothing that Gable can go on with.
pub(super) fn spoilt(request: &PostgresRequest<'_>, error: &Error) -> Problem {
    let name = &request.definition.name;
    let message = format!("the init files of the database {name} take away roles that it needs");
    let problem = error.problem();
    let detail = format!("{}: {}", problem.message, problem.detail.unwrap_or_default());
    Problem::new(CODE, message).hint(hint(&detail)).detail(detail)
}

fn hint(detail: &str) -> &'static str {
    if detail.contains("could not open extension control file")
        || detail.contains("is not available")
    {
        "install the package of the extension for this PostgreSQL and wait ten minutes, or run the \
         image instead: `x-gable: {managed: false}`"
    } else {
        "correct the file: it then runs again, on a fresh database"
    }
}

/// File name and line of the last error that `psql` tells of, and its words. Lines that repeat the
/// statement are left out, as statements hold passwords.
fn decisive(said: &str) -> (Option<(String, u32)>, String) {
    let lines: Vec<&str> = said.lines().collect();
    let is_error = |line: &&str| {
        line.starts_with("psql:")
            && [" ERROR:", " error:", " FATAL:"].iter().any(|it| line.contains(it))
    };
    let Some(at) = lines.iter().rposition(is_error) else {
        let last = lines.iter().rfind(|line| !line.trim().is_empty()).copied().unwrap_or_default();
        return (None, last.to_owned());
    };
    let (place, words) = split(lines[at]);
    let mut shown = vec![without_literal(words)];
    let after = lines[at + 1..]
        .iter()
        .filter(|line| ["DETAIL:", "HINT:"].iter().any(|word| line.starts_with(word)));
    shown.extend(after.take(LINES - 1).map(|line| (*line).to_owned()));
    (place, shown.join("\n"))
}

/// `psql:<path>:<line>: <words>`, or `psql: <words>`.
fn split(line: &str) -> (Option<(String, u32)>, &str) {
    let rest = line.trim_start_matches("psql:");
    let parts = || {
        let (place, words) = rest.split_once(": ")?;
        let (path, number) = place.rsplit_once(':')?;
        let name = path.rsplit('/').next()?.to_owned();
        Some(((name, number.parse().ok()?), words))
    };
    match parts() {
        Some((place, words)) => (Some(place), words),
        None => (None, rest.trim_start()),
    }
}

/// `syntax error at or near "'text'"` names a text that may be a password.
fn without_literal(words: &str) -> String {
    match words.split_once("at or near \"'") {
        Some((before, _)) => format!("{before}at or near a text in quotes"),
        None => words.to_owned(),
    }
}

/// Says again what failed, if the same files failed a short time ago.
pub(in crate::postgres) fn failed_before(work: &Work<'_>) -> Result<(), Error> {
    let path = record(work.layout);
    let Ok(text) = fs::read_to_string(&path) else { return Ok(()) };
    let age = fs::metadata(&path).and_then(|it| it.modified()).map(|it| it.elapsed());
    let is_recent = matches!(age, Ok(Ok(age)) if age < RETRY_AFTER);
    let mut lines = text.splitn(3, '\n');
    let (Some(digest), Some(message), Some(detail)) = (lines.next(), lines.next(), lines.next())
    else {
        return Ok(());
    };
    if !is_recent || digest != digest_of(work.request) {
        return Ok(());
    }
    Err(Problem::new(CODE, message).detail(detail).hint(hint(detail)).into())
}

/// Remembers what failed, if it was a file.
pub(super) fn remember(work: &Work<'_>, error: &Error) -> Result<(), Error> {
    let problem = error.problem();
    if problem.code != CODE {
        return Ok(());
    }
    let detail = problem.detail.unwrap_or_default();
    let text = format!("{}\n{}\n{detail}", digest_of(work.request), problem.message);
    let path = record(work.layout);
    // A file that says the same would keep its old time.
    files::remove_file(&path)?;
    files::replace(&path, &text, 0o600, None)
}

/// The database is there.
pub(in crate::postgres) fn forget_failure(layout: &Layout) -> Result<(), Error> {
    files::remove_file(&record(layout))
}

fn record(layout: &Layout) -> PathBuf {
    layout.directory.join("init-failed")
}

/// Changes with everything that decides what the files do.
fn digest_of(request: &PostgresRequest<'_>) -> String {
    let definition = request.definition;
    let mut digest = Sha256::new();
    let mut add = |part: &[u8]| {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    };
    for file in request.init {
        add(file.name.as_bytes());
        add(&file.bytes);
        add(format!("{:?}", file.kind).as_bytes());
    }
    add(definition.major_version.to_string().as_bytes());
    add(definition.user.as_bytes());
    add(definition.database_name.as_bytes());
    for (name, value) in &definition.compose.parameters {
        add(name.as_bytes());
        add(value.as_bytes());
    }
    // Beside a password that nobody can guess, values cannot be guessed from the digest either.
    add(request.superuser_password.expose_secret().as_bytes());
    for (name, value) in request.env {
        add(name.as_bytes());
        add(value.expose_secret().as_bytes());
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_is_found_with_its_place_and_without_its_statement() {
        let said = "psql:/x/a.sql:1: NOTICE:  nothing\n\
                    psql:/x/a b.sql:12: ERROR:  duplicate key\n\
                    LINE 1: CREATE ROLE x PASSWORD 'secret'\n\
                            ^\n\
                    DETAIL:  Key (id)=(1) already exists.";
        let (place, detail) = decisive(said);
        assert_eq!(place, Some(("a b.sql".to_owned(), 12)));
        assert_eq!(detail, "ERROR:  duplicate key\nDETAIL:  Key (id)=(1) already exists.");
    }

    #[test]
    fn a_text_near_a_mistake_is_not_shown() {
        let (_, detail) = decisive("psql:a.sql:1: ERROR:  syntax error at or near \"'secret'\"");
        assert_eq!(detail, "ERROR:  syntax error at or near a text in quotes");
    }

    #[test]
    fn an_error_without_a_place_is_told_too() {
        let (place, detail) = decisive("psql: error: a.sql: Permission denied");
        assert_eq!((place, detail.as_str()), (None, "error: a.sql: Permission denied"));
    }
}
