//! Which environment variables a log says have no value.
//!
//! Libraries that check a program's settings say it in many shapes: a sentence with one name or
//! several, a heading with a list below it, an array of issues. Each shape is read for all names
//! that it holds, because a person who is told one at a time deploys once for each.

use std::sync::LazyLock;

use regex::{Captures, Regex};

/// So many names are told at most.
const NAMES_MAX: usize = 12;
/// So many lines below a heading belong to it, at most.
const LIST_LINES_MAX: usize = 40;

/// Variables that a log says have no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unset {
    /// Their names, in the order of the log.
    pub names: Vec<String>,
    /// The line that says so first.
    pub line: String,
    /// Its place among the lines.
    pub index: usize,
}

/// Looks for variables that lines without escape sequences say have no value.
#[must_use]
pub fn unset<T: AsRef<str>>(lines: &[T]) -> Option<Unset> {
    let mut found = Found::default();
    listed(lines, &mut found);
    let text = lines.iter().map(AsRef::as_ref).collect::<Vec<_>>().join("\n");
    for shape in SHAPES.iter() {
        for captures in shape.captures_iter(&text) {
            found.take(&text, &captures);
        }
    }
    let index = found.index?;
    let line = found.line.unwrap_or_else(|| lines[index].as_ref().trim().to_owned());
    Some(Unset { names: found.names, line, index })
}

#[derive(Debug, Default)]
struct Found {
    names: Vec<String>,
    index: Option<usize>,
    /// What is said first, where that stands on several lines.
    line: Option<String>,
}

impl Found {
    fn take(&mut self, text: &str, captures: &Captures<'_>) {
        let Some(names) = captures.name("names") else { return };
        let index = text[..names.start()].matches('\n').count();
        let whole = captures.get(0).map_or("", |whole| whole.as_str()).trim();
        if let Some((_, last)) = whole.rsplit_once('\n').filter(|_| self.index.is_none()) {
            // A pointer to the place follows the words; elsewhere the words follow the name.
            let is_pointer = last.contains(names.as_str());
            let first = whole.lines().next().unwrap_or_default();
            let said = if is_pointer { first } else { last };
            let said = said.trim().trim_start_matches(|letter: char| !letter.is_alphanumeric());
            let said = said.strip_prefix("message").unwrap_or(said);
            let said = said.trim_start_matches(['"', '\'', ':', ' ']);
            self.line = Some(format!("{}: {said}", names.as_str()));
        }
        let is_word = |name: &&str| !["and", "or"].contains(name);
        for name in NAME.find_iter(names.as_str()).map(|name| name.as_str()).filter(is_word) {
            self.add(name, index);
        }
    }

    fn add(&mut self, name: &str, index: usize) {
        let name = name.to_ascii_uppercase();
        if !NO_NAMES.contains(&name.as_str()) && self.names.len() < NAMES_MAX {
            self.index = Some(self.index.map_or(index, |known| known.min(index)));
            if !self.names.contains(&name) {
                self.names.push(name);
            }
        }
    }
}

/// A heading with one name on each of the lines below it.
fn listed<T: AsRef<str>>(lines: &[T], found: &mut Found) {
    for (index, line) in lines.iter().enumerate() {
        let Some(heading) = HEADING.captures(line.as_ref()) else { continue };
        let says_missing = heading.name("missing").is_some();
        let below = lines.iter().enumerate().skip(index + 1).take(LIST_LINES_MAX);
        for (place, line) in below {
            let line = line.as_ref();
            if RULE.is_match(line) {
                continue;
            }
            let Some(entry) = ENTRY.captures(line) else { break };
            let rest = entry.name("rest").map_or("", |rest| rest.as_str());
            let (Some(name), true) =
                (entry.name("name"), says_missing || SAYS_UNSET.is_match(rest))
            else {
                continue;
            };
            found.add(name.as_str(), place);
        }
    }
}

/// Words in capitals with an underscore that are no variables.
const NO_NAMES: [&str; 8] = [
    "ERR_MODULE_NOT_FOUND",
    "ERR_REQUIRE_ESM",
    "MODULE_NOT_FOUND",
    "UNRESOLVED_IMPORT",
    "PARSE_ERROR",
    "ERR_UNKNOWN_FILE_EXTENSION",
    "ERR_INVALID_ARG_TYPE",
    "NODE_MODULES",
];

macro_rules! name {
    () => {
        r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+"
    };
}

/// One name or several: `A`, `"A", "B"`, `A, B and C`, `[A, B]`.
macro_rules! names {
    () => {
        concat!(
            "[\"'`\\[({ ]*(?P<names>",
            name!(),
            "(?:[\"'`]?(?:\\s*,\\s*(?:and |or )?|\\s+and\\s+|\\s+or\\s+|\\s*[&|]\\s*|\\s+)[\"'`]?",
            name!(),
            ")*)[\"'`]?"
        )
    };
}

static NAME: LazyLock<Regex> = LazyLock::new(|| compile(r"[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)*"));

/// `Missing environment variables:`, `Invalid environment variables: {`.
static HEADING: LazyLock<Regex> = LazyLock::new(|| {
    compile(concat!(
        r"(?i)(?:(?P<missing>missing|unset|undefined|required)|invalid|errors? (?:found )?(?:while )?(?:parsing|in|validating))\b.{0,40}",
        r"\b(?:env(?:ironment)?|config(?:uration)?)\b(?:ironment)?(?: (?:variables?|vars?|keys?|settings?))?[^:]{0,40}(?::\s*[\[{]?|[\[{])?\s*$",
    ))
});

/// A line below a heading: `  DATABASE_URL: undefined`, `- DATABASE_URL`, `[DATABASE_URL]:`.
static ENTRY: LazyLock<Regex> = LazyLock::new(|| {
    compile(concat!(
        "^\\s*(?:[-*•→✖❌x]\\s+)?[\"'`\\[(]*(?:",
        r"(?P<name>[A-Z][A-Z0-9_]{2,})",
        "[\"'`\\])]*",
        r"(?P<rest>\s*(?:[:=(,–—-].*|is .*|must .*)?)$)"
    ))
});

static RULE: LazyLock<Regex> = LazyLock::new(|| compile(r"^\s*[=\-_*]{3,}\s*$"));

static SAYS_UNSET: LazyLock<Regex> = LazyLock::new(|| {
    compile(r"(?i)undefined|missing|required|not set|not provided|empty|unset|null|nan\b")
});

static SHAPES: LazyLock<Vec<Regex>> =
    LazyLock::new(|| SHAPE_ROWS.iter().map(|row| compile(row)).collect());

const SHAPE_ROWS: &[&str] = &[
    // Python: os.environ["X"], decouple, environs, starlette, pydantic, typed-settings.
    concat!(r"\bKeyError: '(?P<names>", name!(), r")'"),
    concat!(r"Config '(?P<names>", name!(), r")' is missing"),
    r"(?m)(?:^|\s)(?P<names>[a-z][a-z0-9]*(?:_[a-z0-9]+)*|[A-Z][A-Z0-9_]*)\n\s+Field required",
    r"No value set for required option '(?P<names>\w+)'",
    concat!(r"'(?P<names>", name!(), r")': \['Environment variable not set"),
    concat!(r"(?i:set the) (?P<names>", name!(), r") (?i:environment variable)"),
    concat!(r"(?i:the) (?P<names>", name!(), r") (?i:setting must not be empty)"),
    // Ruby, Go, Rust, Elixir, Java.
    concat!("key not found: \"(?P<names>", name!(), ")\""),
    r"(?i)missing (?:required )?(?:configuration )?keys?: \[?(?P<names>[^\n\]]{1,200})",
    concat!(r"required key (?P<names>", name!(), r") missing value"),
    r"missing value for field (?P<names>[a-z][a-z0-9_]*)",
    concat!(r"could not fetch environment variable .(?P<names>", name!(), r")"),
    concat!(r"Could not resolve placeholder '(?P<names>", name!(), r")'"),
    // Shells.
    concat!(r"\b(?P<names>", name!(), r"): (?:unbound variable|parameter (?:null or )?not set)"),
    // Schema libraries: zod in its three shapes, valibot, arktype, joi.
    r#"["']?path["']?: \[\s*["'](?P<names>\w+)["']\s*\],?\s*["']?message["']?: ["'][^"'\n]*(?:received undefined|[Rr]equired)"#,
    r"✖ [^\n]*received undefined\n\s*→ at (?P<names>\w+)",
    r"\[(?P<names>[A-Z][A-Z0-9_]+)\]:\n[^\n]*received undefined",
    concat!(
        r#"\b(?P<names>"#,
        name!(),
        r#")["']?:? ?(?:\[ ?)?["'`]?(?:Required\b|Invalid input: expected \w+, received undefined)"#
    ),
    concat!(r#"Expected "(?P<names>"#, name!(), r#")" but received undefined"#),
    concat!(r"\b(?P<names>", name!(), r") must be [^\n]{1,60}\(was (?:missing|undefined)"),
    // In words, the names last: after the words, or after a colon that ends them.
    concat!(
        r"(?i:missing|required|undefined|unset|no value for)(?i: the)?(?i: required| mandatory)?(?i: environment| env| config(?:uration)?)?(?i: variables?| vars?| keys?| settings?)?(?:\(s\))?(?i: named)?:?\s+",
        names!()
    ),
    concat!(
        r"(?i:missing|required|undefined|unset|not set|not defined|not provided|not found|cannot resolve|no value|must be set|empty)\b[^:\n]{0,80}:\s*",
        names!()
    ),
    concat!(
        r"(?i:please|must|need to|needs to|have to|forgot to|forget to)(?i: set| define| provide| configure| specify| supply| export)(?i: the| a| an| your)?(?i: values? for| following)?(?i: environment| env)?(?i: variables?| vars?)?:?\s+",
        names!()
    ),
    // In words, the names first.
    concat!(
        names!(),
        r"[\x22'`]?\.?(?: (?:env(?:ironment)? ?(?:var(?:iable)?s?)?|variables?|settings?|keys?))? (?i:is |was |are |were |has |have )?(?i:a |an )?",
        r"(?i:required|missing|unset|undefined|empty|not (?:set|defined|provided|configured|found|been set|specified|present|available))",
    ),
    concat!(
        names!(),
        r"[\x22'`]?(?: (?:env(?:ironment)? ?(?:var(?:iable)?s?)?|variables?|settings?|keys?))? (?i:must|needs? to|should|ha(?:s|ve) to|cannot|can't|may not|must not) be ",
        r"(?i:set|provided|defined|configured|given|specified|present|empty|blank|undefined|null|an? non-empty|non-empty)",
    ),
    concat!(
        names!(),
        r"[\x22'`]?:\s+(?i:is )?(?i:required|missing|not set|undefined|unset|empty)\b"
    ),
];

fn compile(expression: &str) -> Regex {
    Regex::new(expression).expect("a test compiles every shape")
}
