//! What well-known tools say, and what it means.
//!
//! The table is in order of rank: the first row that matches anywhere decides, and of several
//! matches of one row the last. Rows that name what they are about stand before rows that do not.

use std::sync::LazyLock;

use regex::Regex;

use super::{NAMES_SEPARATOR, Verdict, variables};

/// One row: a code, and an expression whose group `what` names what it is about.
struct Row {
    code: &'static str,
    expression: Regex,
}

/// The code of a variable without a value.
const UNSET: &str = "variable-missing";

/// In the order of their rank.
const ROWS: &[(&str, &[&str])] = &[
    (
        "option-refused",
        &[
            r"(?P<what>--[\w-]+)\S* is not allowed in NODE_OPTIONS",
            r"^\S*node\S*: bad option: (?P<what>-\S+)",
        ],
    ),
    (
        "heap-exhausted",
        &[
            r"JavaScript heap out of memory",
            r"^MemoryError\b",
            r"^fatal error: runtime: out of memory",
        ],
    ),
    (
        // With names, `variables` knows what libraries and programs say of them.
        UNSET,
        &[
            r"Missing `(?P<what>secret_key_base)` for",
            r"called `Result::unwrap\(\)` on an `Err` value: NotPresent",
            r"(?i)environment variable not found",
        ],
    ),
    (
        "host-not-allowed",
        &[
            r"Invalid HTTP_HOST header: '(?P<what>[^']+)'",
            r"(?:Blocked hosts?: |Blocked request\. This host \()[\x22]?(?P<what>[\w.:-]+)",
            r"DisallowedHost\b",
            r"(?i)invalid host header",
        ],
    ),
    (
        "command-not-found",
        &[
            r"\b(?:ba|da)?sh: (?:line )?\d*:? ?(?P<what>[^:\s]+): (?:command )?not found",
            r"\bexec: [\x22]?(?P<what>[^:\x22]+)[\x22]?: (?:executable file )?not found",
            r"env: [‘'](?P<what>[^’']+)[’']: No such file or directory",
        ],
    ),
    (
        "command-not-executable",
        &[
            r"\b(?:ba|da)?sh: (?:line )?\d*:? ?(?P<what>[^:\s]+): (?i:permission denied|cannot execute)",
        ],
    ),
    (
        "script-missing",
        &[
            r#"Missing script:? "?(?P<what>[\w:.-]+)"#,
            r#"^error Command "(?P<what>[\w:.-]+)" not found"#,
        ],
    ),
    (
        "app-not-found",
        &[
            r#"Error loading ASGI app\. Could not import module "(?P<what>[^"]+)""#,
            r#"Error loading ASGI app\. Attribute "(?P<what>\w+)" not found"#,
            r"Failed to find attribute '(?P<what>\w+)' in",
        ],
    ),
    (
        "build-output-missing",
        &[
            r"Could not find a production build in the '(?P<what>[^']+)' directory",
            r"Cannot find module '(?P<what>/[^']*/(?:dist|build|out|\.next|\.output|lib)/[^']*)'",
        ],
    ),
    (
        "library-missing",
        &[
            r"error while loading shared libraries: (?P<what>[^:\s]+):",
            r"(?P<what>lib[\w.+-]+\.so[\w.]*): cannot open shared object file",
            r"version [`'](?P<what>GLIBC\w*_[\d.]+)' not found",
            r"(?P<what>pg_config) executable not found",
        ],
    ),
    (
        "module-missing",
        &[
            r"Cannot find (?:module|package) '(?P<what>[^'/.][^']*)'",
            r"No module named '?(?P<what>[\w.]+)",
            r"cannot import name '(?P<what>\w+)'",
            r"cannot load such file -- (?P<what>\S+)",
            r"Could not find (?P<what>[\w.-]+) in (?:any of the sources|locally installed gems)",
            r#"(?:Can't resolve|Could not resolve|[Ff]ailed to resolve import) ["'](?P<what>[^"']+)["']"#,
            r"ClassNotFoundException: (?P<what>[\w.$]+)",
        ],
    ),
    ("type-check-failed", &[r"\berror (?P<what>TS\d+):", r"^Type error: "]),
    (
        "package-version-missing",
        &[
            r"No matching version found for (?P<what>[^\s]*[^\s.])",
            r"No matching distribution found for (?P<what>\S+)",
            r"Could not find a version that satisfies the requirement (?P<what>\S+)",
            r"'(?P<what>\S+)' is not in (?:this|the npm) registry",
            r"no matching package named [`'](?P<what>[\w-]+)",
        ],
    ),
    (
        "lockfile-out-of-date",
        &[
            r"package\.json and package-lock\.json [^\n]*in sync",
            r"ERR_PNPM_OUTDATED_LOCKFILE",
            r"(?i)lock ?file (?:\S+ )?(?:needs to be updated|would have been modified)",
        ],
    ),
    (
        "tool-version",
        &[
            r"requires a different Python: (?P<what>\S+)",
            r"urrent(?:ly activated)? Python version \(?(?P<what>[\d.]+\d)\)? (?:is not (?:allowed|supported) by the project|does not satisfy)",
            r"resolved to Python (?P<what>[\d.]+\d), which is incompatible with the project",
            r#"The engine "\w+" is incompatible"#,
            r"Your Ruby version is (?P<what>[\d.]+\d), but your Gemfile specified",
            r"You are using Node\.js (?P<what>[\d.]+\d)",
            r"rustc (?P<what>[\d.]+\d) is not supported",
        ],
    ),
    (
        "download-failed",
        &[
            r"Could not resolve host: (?P<what>[\w.-]+)",
            r"request to https?://(?P<what>[\w.-]+)\S* failed",
            r"Temporary failure resolving '(?P<what>[^']+)'",
            r"^npm (?:ERR!|error) network request to https?://(?P<what>[\w.-]+)",
        ],
    ),
    (
        "migration-failed",
        &[
            r"\b(?P<what>P30(?:09|18|05|06))\b",
            r"Can't locate revision identified by '(?P<what>[^']+)'",
            r"Dirty database version (?P<what>\d+)",
            r"Migrations are pending",
            r"django\.db\.migrations\.exceptions\.\w+",
            r"(?i)migrations? have failed validation",
        ],
    ),
    (
        "database-password-refused",
        &[
            r#"password authentication failed for user "(?P<what>[^"]+)""#,
            r"Access denied for user '(?P<what>[^']+)'",
            r"\bP1000\b|\bNOAUTH\b|\bWRONGPASS\b|no pg_hba\.conf entry",
        ],
    ),
    (
        "extension-unavailable",
        &[
            r#"extension "(?P<what>[^"]+)" is not available"#,
            r#"permission denied to create extension "(?P<what>[^"]+)""#,
            r#"type "(?P<what>vector|geometry|citext|hstore)" does not exist"#,
        ],
    ),
    ("database-does-not-exist", &[r#"database "(?P<what>[^"]+)" does not exist"#, r"\bP1003\b"]),
    (
        "schema-missing",
        &[
            r#"relation "(?P<what>[^"]+)" does not exist"#,
            r#"(?i:table) [`'"](?P<what>[\w.]+)[`'"] (?:does not|doesn't) exist"#,
            r"no such table: (?P<what>[\w.]+)",
            r#"column "?(?P<what>[\w.]+)"? (?:of relation \S+ )?does not exist"#,
        ],
    ),
    (
        "database-connections-exhausted",
        &[r"too many clients already", r"remaining connection slots are reserved"],
    ),
    (
        "database-tls",
        &[
            r"server does not support SSL",
            r"(?i)SSL(?: connection)? is required",
            r"(?i)self[- ]signed certificate",
            r"(?i)certificate verify failed|unable to verify the first certificate",
            r"\bP1011\b",
        ],
    ),
    (
        "database-not-ready",
        &[
            r"the database system is (?:starting up|not yet accepting connections)",
            r"LOADING Redis is loading",
        ],
    ),
    (
        "host-not-found",
        &[
            r"getaddrinfo (?:ENOTFOUND|EAI_AGAIN) (?P<what>[\w.-]+)",
            r#"could not translate host name "(?P<what>[^"]+)""#,
            r"lookup (?P<what>[\w.-]+)(?: on \S+)?: (?:no such host|server misbehaving)",
            r#"failed to resolve host ['"](?P<what>[^'"]+)['"]"#,
            r"connecting to (?P<what>[\w.:-]+\w)\. (?:Name or service not known|Temporary failure in name resolution)",
            r"Name or service not known|Temporary failure in name resolution|failed to lookup address",
        ],
    ),
    (
        "connection-refused",
        &[
            r"ECONNREFUSED (?P<what>[\w.:\[\]-]*\d)",
            r"dial tcp (?P<what>\S+): connect: connection refused",
            r#"connection to server at "(?P<what>[^"]+)"[^\n]*(?:failed|refused)"#,
            r"Can't reach database server at [`']?(?P<what>[\w.-]+[`']?:[`']?\d+|[\w.:-]+)",
            r"connecting to (?P<what>[\w.:-]+\d)\. (?i:connection refused)",
            r"could not connect to server|\bP1001\b|\bECONNREFUSED\b",
            r"(?i)connection refused",
        ],
    ),
    (
        "address-in-use",
        &[
            r"EADDRINUSE\b.*?[: ](?P<what>\d+)\s*$",
            r"attempting to bind on address \('[^']*', (?P<what>\d+)\)",
            r"listen tcp \S*?:(?P<what>\d+): bind: address already in use",
            r"(?i)address already in use|\bEADDRINUSE\b",
        ],
    ),
    (
        "port-not-permitted",
        &[
            r"listen EACCES: permission denied \S*:(?P<what>\d+)",
            r"listen tcp \S*?:(?P<what>\d+): bind: permission denied",
        ],
    ),
    (
        "file-missing",
        &[
            r"Cannot find module '(?P<what>[/.][^']+)'",
            r"can't open file '(?P<what>[^']+)'",
            r"ENOENT: no such file or directory,? ?\w* '(?P<what>[^']+)'",
            r"FileNotFoundError: [^\n]*'(?P<what>[^']+)'",
            r"(?P<what>/?[\w./-]+\w): No such file or directory",
        ],
    ),
    (
        "read-only-files",
        &[
            r"(?i:read-only file system)[,:][^\n']*'(?P<what>[^']+)'",
            r"\bEROFS\b|(?i:read-only file system)",
        ],
    ),
    ("disk-full", &[r"\bENOSPC\b|(?i:no space left on device)"]),
    (
        "permission-denied",
        &[
            r"EACCES: permission denied,? ?\w* '(?P<what>[^']+)'",
            r"PermissionError: [^\n]*'(?P<what>[^']+)'",
            r"(?P<what>/[\w./-]+): (?i:permission denied)",
            r"\bEACCES\b|^PermissionError\b",
        ],
    ),
    (
        "compilation-failed",
        &[
            r"could not compile [`'](?P<what>[\w-]+)",
            r"^(?P<what>\S+\.go:\d+:\d+): ",
            r"error: command '(?P<what>[^']*(?:gcc|cc|g\+\+))' failed",
        ],
    ),
    ("syntax-error", &[r"\b(?:SyntaxError|IndentationError|TabError): (?P<what>[^\n]{1,80})"]),
];

static TABLE: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let rows = ROWS.iter().flat_map(|(code, expressions)| {
        expressions
            .iter()
            .map(|expression| Row { code, expression: compile(&format!("(?m){expression}")) })
    });
    rows.collect()
});

/// Compiles an expression of this module's tables.
pub(super) fn compile(expression: &str) -> Regex {
    Regex::new(expression).expect("a test compiles every expression of the tables")
}

/// The known cause that a text speaks of, with its line.
pub(super) fn find(text: &str, env_keys: &[String]) -> Option<Verdict> {
    let rank = TABLE.iter().position(|row| row.code == UNSET).unwrap_or(TABLE.len());
    let (before, after) = TABLE.split_at(rank);
    matching(before, text).or_else(|| unset(text, env_keys)).or_else(|| matching(after, text))
}

fn matching(rows: &[Row], text: &str) -> Option<Verdict> {
    rows.iter().find_map(|row| {
        let captures = row.expression.captures_iter(text).last()?;
        let whole = captures.get(0)?;
        let verdict = Verdict::new(row.code).line(line(text, whole.start(), whole.end()));
        let what = captures.name("what").map(|what| what.as_str().trim());
        Some(match what {
            // Frameworks call the variable by its name in lower case.
            Some(what) if row.code == UNSET => verdict.what(what.to_ascii_uppercase()),
            Some(what) => verdict.what(what),
            None => verdict,
        })
    })
}

/// Variables that the text says have no value. A key that is not found is a variable only if
/// there is no such variable.
fn unset(text: &str, env_keys: &[String]) -> Option<Verdict> {
    let lines: Vec<&str> = text.lines().collect();
    let found = variables::unset(&lines)?;
    let is_key = found.line.contains("KeyError: '");
    let names: Vec<String> =
        found.names.into_iter().filter(|name| !(is_key && env_keys.contains(name))).collect();
    if names.is_empty() {
        return None;
    }
    Some(Verdict::new(UNSET).what(names.join(NAMES_SEPARATOR)).line(found.line))
}

/// The whole line of a match; of a match over several lines only the match, as one line.
fn line(text: &str, start: usize, end: usize) -> String {
    if text[start..end].trim().contains('\n') {
        let lines = text[start..end].lines().map(str::trim).filter(|line| !line.is_empty());
        return lines.collect::<Vec<_>>().join(": ");
    }
    let first = text[..start].rfind('\n').map_or(0, |position| position + 1);
    let last = text[end..].find('\n').map_or(text.len(), |position| end + position);
    text[first..last].trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::causes;

    #[test]
    fn every_row_compiles_and_has_a_cause() {
        for row in TABLE.iter() {
            assert_eq!(causes::find(row.code).code, row.code);
        }
    }
}
