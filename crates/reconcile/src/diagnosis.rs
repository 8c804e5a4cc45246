//! Why something of a service's did not work, told with the one line that decides.
//!
//! The evidence is what the engine, the probes and the log say; the verdict is a [`Problem`] whose
//! code has a page (see [`page`]). Theory of operation: what the kernel says (memory, signals,
//! limits) beats what the log says, a fatal error at the end of the log beats a line before it,
//! and what the probes say is used when the process still runs. A cause is only named when its
//! evidence is there; otherwise the verdict is `crashed` or `not-healthy-in-time` with the last
//! line that looks like an error.
//!
//! Limits: the log is read as text of well-known tools, so a message nobody has met before is shown
//! but not understood. Values that the caller names as secret never appear in the verdict.

mod causes;
mod doubt;
mod ending;
mod health;
mod log;
mod modules;
mod pages;
mod patterns;
mod tail;
mod text;
pub mod variables;
pub mod wording;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::time::Duration;

use model::{Exit, Problem, Service};

use self::causes::Cause;
use self::text::Redaction;
use crate::deploy::CRASH_LOOP_EXITS;

pub use self::doubt::{Doubt, doubt};
pub use self::modules::own_module_hint;
pub use self::pages::{codes, page};
pub use self::tail::tail;
pub use self::text::DETAIL_CHARS_MAX;

/// Between the names of several variables that a verdict is about.
const NAMES_SEPARATOR: &str = ", ";

/// What was being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The build commands.
    Build,
    /// The pre-deploy command.
    PreDeploy,
    /// New instances were started and had to become healthy.
    Update,
    /// A live release.
    Running,
    /// One run of a cron service.
    Cron,
    /// The initial deploy hook.
    InitialHook,
}

/// What the last probe saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeSeen {
    /// A good answer, or an open port.
    Healthy,
    /// An HTTP answer that is none of 2xx and 3xx.
    Unhealthy {
        /// Its status.
        status: u16,
        /// The beginning of its body.
        body_head: String,
    },
    /// Nothing listens where it asked.
    Refused,
    /// No answer in time.
    Timeout,
    /// An answer that is no HTTP, or another failure, in words.
    Error(String),
}

/// A variable that is declared and has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Its name.
    pub key: String,
    /// Why it has no value: `sync: false` and nobody gave one, a reference that leads nowhere …
    pub why: String,
}

/// The evidence.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// What was being done.
    pub phase: Phase,
    /// Whose trouble it is.
    pub service: &'a Service,
    /// How the main process ended; `None` while it runs.
    pub exit: Option<&'a Exit>,
    /// The end of its log, newest line last.
    pub log_tail: &'a [String],
    /// What it listens on, seen from inside.
    pub listeners: &'a [(IpAddr, u16)],
    /// Its `PORT`.
    pub expected_port: u16,
    /// What the last probe saw; `None` if none was made.
    pub last_probe: Option<&'a ProbeSeen>,
    /// How long it was waited for.
    pub waited: Duration,
    /// How often it was started again since the deploy began.
    pub restarts: u32,
    /// Names of all variables that it has.
    pub env_keys: &'a [String],
    /// Declared variables without a value.
    pub missing: &'a [Missing],
    /// Names of databases and Key Value instances it uses that did not answer.
    pub stores_not_ready: &'a [String],
    /// Names of the project's own files and directories, where the service runs and one level
    /// below.
    pub own_files: &'a [String],
    /// Values that must not appear in the verdict; those of three bytes or less may.
    pub secrets: &'a [String],
}

/// A cause that was recognised, before it is put into words.
#[derive(Debug)]
struct Verdict {
    cause: &'static Cause,
    /// What the cause is about: a module, a variable, a host.
    what: Option<String>,
    /// The decisive lines, best first.
    lines: Vec<String>,
}

impl Verdict {
    fn new(code: &str) -> Self {
        Self { cause: causes::find(code), what: None, lines: Vec::new() }
    }

    fn what(mut self, what: impl Into<String>) -> Self {
        self.what = Some(what.into());
        self
    }

    fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }
}

/// Says which of the known causes the evidence shows, and what to do.
#[must_use]
pub fn diagnose(facts: &Facts<'_>) -> Problem {
    let lines = text::clean(facts.log_tail);
    let verdict = match facts.exit {
        Some(exit) => ending::judge(facts, exit, &lines),
        None => health::judge(facts, &lines),
    };
    let verdict = with_stores(facts, with_missing(facts, verdict));
    in_words(facts, verdict)
}

/// A problem that was found elsewhere, such as by the build, without secrets: the same rules hold
/// for it as for a verdict of [`diagnose`].
#[must_use]
pub fn redacted(problem: Problem, secrets: &[String]) -> Problem {
    let redaction = Redaction::new(secrets);
    Problem {
        message: redaction.masked(&problem.message),
        detail: problem.detail.and_then(|detail| {
            redaction.detail(&detail.lines().map(str::to_owned).collect::<Vec<_>>())
        }),
        hint: problem.hint.map(|hint| redaction.masked(&hint)),
        code: problem.code,
    }
}

/// Names the variable, when the evidence speaks of one that is known to be without a value.
fn with_missing(facts: &Facts<'_>, verdict: Verdict) -> Verdict {
    if facts.exit.is_some_and(|exit| exit.out_of_memory || exit.limit.is_some()) {
        return verdict;
    }
    let is_about = |key: &str| {
        let what = verdict.what.as_deref().unwrap_or_default();
        what.split(NAMES_SEPARATOR).any(|name| name.eq_ignore_ascii_case(key))
    };
    let named = facts.missing.iter().find(|missing| {
        is_about(&missing.key)
            || verdict.lines.iter().any(|line| text::has_word(line, &missing.key))
    });
    match named {
        Some(missing) => {
            let why = format!("{} has no value: {}", missing.key, missing.why);
            let what = match verdict.what {
                // All that it asks for, not only the one that the file knows.
                Some(what) if verdict.cause.code == "variable-missing" => what,
                _ => missing.key.clone(),
            };
            let found = Verdict::new("variable-missing").what(what);
            Verdict { lines: verdict.lines, ..found }.line(why)
        }
        None => verdict,
    }
}

/// A refused connection has a better name when a database is known not to answer.
fn with_stores(facts: &Facts<'_>, verdict: Verdict) -> Verdict {
    match facts.stores_not_ready.first() {
        Some(store) if verdict.cause.code == "connection-refused" => {
            Verdict { lines: verdict.lines, ..Verdict::new("database-not-ready").what(store) }
        }
        _ => verdict,
    }
}

fn in_words(facts: &Facts<'_>, verdict: Verdict) -> Problem {
    let redaction = Redaction::new(facts.secrets);
    let what = verdict.what.as_deref().and_then(|what| redaction.whole(what));
    let cause = verdict.cause;
    let mut message = cause.message(&subject(facts), what.as_deref());
    let in_a_row = matches!(facts.phase, Phase::Update | Phase::Running) && facts.exit.is_some();
    if in_a_row && facts.restarts + 1 >= CRASH_LOOP_EXITS {
        message = format!("{message}; it has ended {} times in a row", facts.restarts + 1);
    }
    let mut problem = Problem::new(cause.code, message);
    if let Some(detail) = redaction.detail(&verdict.lines) {
        problem = problem.detail(detail);
    }
    problem.hint(hint(facts, &verdict, what.as_deref(), &redaction))
}

fn hint(
    facts: &Facts<'_>,
    verdict: &Verdict,
    what: Option<&str>,
    redaction: &Redaction<'_>,
) -> String {
    let mut hint = verdict.cause.hint(&facts.service.name, what);
    let is_vague = matches!(verdict.cause.code, "crashed" | "exited-early" | "health-check-error");
    if is_vague && !facts.missing.is_empty() {
        let keys: Vec<&str> = facts.missing.iter().map(|missing| missing.key.as_str()).collect();
        hint = format!("{hint}; without a value so far: {}", keys.join(", "));
    }
    if verdict.cause.code == "host-not-allowed"
        && let Some(setting) = allowed_hosts_setting(facts.env_keys)
    {
        hint = format!("add the service's public host to {setting}, which the environment sets");
    }
    if verdict.cause.code == "module-missing" {
        let own = verdict.lines.iter().find_map(|line| own_module_hint(line, facts.own_files));
        hint = own.unwrap_or(hint);
    }
    redaction.whole(&hint).unwrap_or_else(|| "look at the log".to_owned())
}

/// A variable by which frameworks are told their own names.
fn allowed_hosts_setting(env_keys: &[String]) -> Option<&str> {
    const NAMES: &[&str] = &["ALLOWED_HOST", "TRUSTED_HOST", "ALLOWED_ORIGIN", "HOSTS"];
    NAMES
        .iter()
        .find_map(|name| env_keys.iter().find(|key| key.to_ascii_uppercase().contains(name)))
        .map(String::as_str)
}

fn subject(facts: &Facts<'_>) -> String {
    let name = &facts.service.name;
    match facts.phase {
        Phase::Build => format!("the build of `{name}`"),
        Phase::PreDeploy => format!("the pre-deploy command of `{name}`"),
        Phase::Update | Phase::Running => format!("`{name}`"),
        Phase::Cron => format!("the run of `{name}`"),
        Phase::InitialHook => format!("the initial deploy hook of `{name}`"),
    }
}
