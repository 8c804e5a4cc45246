//! What well-known tools say, and what it means.
//!
//! The table is in order of rank: the first row that matches anywhere decides, and of several
//! matches of one row the last. Rows that name what they are about stand before rows that do not.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::Verdict;

/// One row: a code, and an expression whose group `what` names what it is about.
struct Row {
    code: &'static str,
    expression: Regex,
}

/// A name in capitals with an underscore in it: a variable, hardly ever anything else.
macro_rules! name {
    () => {
        r"\b(?P<what>[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)\b"
    };
}

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
        "variable-missing",
        &[
            // Python: os.environ["X"], decouple, environs, django-environ, pydantic.
            concat!(r"\bKeyError: '", name!(), "'"),
            concat!(r"UndefinedValueError: ", name!(), " not found"),
            concat!(r"(?i:set the) ", name!(), " (?i:environment variable)"),
            r"^(?P<what>\w+)\n\s+Field required",
            // Ruby: ENV.fetch, Rails.
            concat!(r#"key not found: ""#, name!(), r#"" \(KeyError\)"#),
            r"Missing `(?P<what>secret_key_base)` for",
            // Go and Rust.
            concat!(r"required key ", name!(), " missing value"),
            concat!(
                r"(?i:env(?:ironment)? var(?:iable)?) .?",
                name!(),
                ".? (?i:is )?(?i:not set|missing|not found|empty)"
            ),
            // Shells.
            concat!(r"\b", name!(), ": (?:unbound variable|parameter (?:null or )?not set)"),
            // Schema libraries: `X: [ 'Required' ]`, `X: Invalid input: expected string, received undefined`.
            concat!(
                r#"\b"#,
                name!(),
                r#"["']?:? ?(?:\[ ?)?["'`]?(?:Required\b|Invalid input: expected \w+, received undefined)"#
            ),
            // Anything that says so in words.
            concat!(
                r"\b",
                name!(),
                r#"["'`]?(?: (?:env(?:ironment)? ?(?:var(?:iable)?)?|variable))? (?i:is |was |are |has )?"#,
                r"(?i:required|missing|unset|undefined|empty|not (?:set|defined|provided|configured|found|been set))",
            ),
            concat!(
                r"\b",
                name!(),
                r#"["'`]?(?: (?:env(?:ironment)? ?(?:var(?:iable)?)?|variable))? "#,
                r"(?i:must|needs to|should|has to|cannot|can't|may not) be (?i:set|provided|defined|configured|given|empty|blank|undefined|null|an? non-empty|non-empty)",
            ),
            concat!(
                r"(?i:missing|required|undefined|unset|no value for)(?i: required)?(?i: environment| env| config(?:uration)?)?(?i: variables?| vars?| key)?(?i: named)?:?\s+[\x22'`\[-]*\s*",
                name!()
            ),
            // Without a name.
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
    TABLE.iter().find_map(|row| {
        let matches: Vec<Captures<'_>> = row.expression.captures_iter(text).collect();
        let captures = matches.iter().rev().find(|found| is_plausible(row, found, env_keys))?;
        let whole = captures.get(0)?;
        let verdict = Verdict::new(row.code).line(line(text, whole.start(), whole.end()));
        Some(match named(row, captures) {
            Some(what) => verdict.what(what),
            None => verdict,
        })
    })
}

fn named(row: &Row, captures: &Captures<'_>) -> Option<String> {
    let what = captures.name("what")?.as_str().trim();
    // Settings classes use the variable's name in lower case.
    let is_variable = row.code == "variable-missing";
    Some(if is_variable { what.to_ascii_uppercase() } else { what.to_owned() })
}

/// A key that is not found is a variable only if there is no such variable.
fn is_plausible(row: &Row, captures: &Captures<'_>, env_keys: &[String]) -> bool {
    let Some(what) = named(row, captures) else { return true };
    let is_key = captures.get(0).is_some_and(|found| found.as_str().contains("KeyError"));
    !(row.code == "variable-missing" && is_key && env_keys.contains(&what))
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
