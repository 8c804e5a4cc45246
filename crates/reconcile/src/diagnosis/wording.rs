//! What kind of line a line of a log is, and which line says why something failed.
//!
//! Tools wrap each other: `make` says that npm failed, npm that a script failed, the script that a
//! page failed, and only the page's line says why. Most lines of a failed log therefore say only
//! *that* something failed (wrapper lines), announce that the reason follows (introducers), or say
//! what could be done (advice). None of them is ever the decisive one. The tables know the words of
//! well-known tools; a line that no table knows is judged by its own words.

use std::sync::LazyLock;

use regex::Regex;

/// The sentence that an introducer announces follows within so many lines.
const AHEAD_MAX: usize = 16;
/// One that does not look like an error follows at once.
const PLAIN_AHEAD_MAX: usize = 6;
/// A tool that sums up comes so many lines after the sentence, at most.
const BACK_MAX: usize = 60;

/// What kind of line a line of a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// Nothing but frames, carets, boxes, code and the like.
    Noise,
    /// It says only that something failed.
    Wrapper,
    /// It says that something failed, and the reason follows.
    Introducer,
    /// What could be done.
    Advice,
    /// Something that was survived.
    Warning,
    /// It looks like the reason.
    Error,
    /// Anything else.
    Other,
}

/// The kind of a line without escape sequences.
#[must_use]
pub fn kind(line: &str) -> Line {
    let bare = bare(line);
    if bare.is_empty() || NOISE.is_match(bare) {
        return Line::Noise;
    }
    let tables: [(&LazyLock<Regex>, Line); 4] = [
        (&WARNING, Line::Warning),
        (&INTRODUCER, Line::Introducer),
        (&WRAPPER, Line::Wrapper),
        (&ADVICE, Line::Advice),
    ];
    match tables.into_iter().find(|(table, _)| table.is_match(bare)) {
        Some((_, kind)) => kind,
        None if ERROR.is_match(bare) || STARTS_AS_ERROR.is_match(line) => Line::Error,
        None => Line::Other,
    }
}

/// Whether a line is never the reason itself.
#[must_use]
pub fn only_points(line: &str) -> bool {
    matches!(kind(line), Line::Wrapper | Line::Introducer | Line::Advice)
}

/// The line that says why, seen from one that only points: what follows it, else what went before.
#[must_use]
pub fn sentence<T: AsRef<str>>(lines: &[T], at: usize) -> Option<usize> {
    let text = |index: usize| lines[index].as_ref();
    if text(at).contains("Traceback (most recent call last)") {
        return exception(lines, at);
    }
    let ahead = at + 1..lines.len().min(at + 1 + AHEAD_MAX);
    let mut plain = None;
    for index in ahead {
        match kind(text(index)) {
            Line::Introducer if text(index).contains("Traceback") => {
                return exception(lines, index);
            }
            Line::Error => return Some(index),
            Line::Other if index - at <= PLAIN_AHEAD_MAX && !is_place(text(index)) => {
                plain = plain.or(Some(index));
            }
            _ => {}
        }
    }
    plain.or_else(|| {
        let back = (at.saturating_sub(BACK_MAX)..at).rev();
        back.into_iter().find(|index| kind(text(*index)) == Line::Error)
    })
}

/// The last line of a Python traceback.
fn exception<T: AsRef<str>>(lines: &[T], at: usize) -> Option<usize> {
    let is_end = |line: &str| !line.trim().is_empty() && !line.starts_with(' ');
    (at + 1..lines.len()).find(|index| is_end(lines[*index].as_ref()))
}

/// The line that says best why a command failed of which nothing else is known.
#[must_use]
pub fn decisive<T: AsRef<str>>(lines: &[T]) -> Option<usize> {
    let kinds: Vec<Line> = lines.iter().map(|line| kind(line.as_ref())).collect();
    let all = || kinds.iter().copied().enumerate();
    let introduced = all()
        .filter(|(_, kind)| *kind == Line::Introducer)
        .find_map(|(index, _)| sentence(lines, index));
    let begins = || {
        let is_error = |(index, kind): &(usize, Line)| {
            *kind == Line::Error && STARTS_AS_ERROR.is_match(lines[*index].as_ref())
        };
        all().find(is_error).map(|(index, _)| index)
    };
    // A tool that sums up in the end introduces what an earlier one has said better.
    let first = match (introduced, begins()) {
        (Some(introduced), Some(begins)) => Some(introduced.min(begins)),
        (introduced, begins) => introduced.or(begins),
    };
    let last = |wanted: Line| all().rfind(|(_, kind)| *kind == wanted).map(|(index, _)| index);
    first.or_else(|| last(Line::Error)).or_else(|| last(Line::Other))
}

/// The text behind the marks of those who only pass it on: runners of tasks, loggers, npm.
fn bare(line: &str) -> &str {
    let mut bare = line.trim();
    while let Some(mark) = MARK.find(bare) {
        bare = bare[mark.end()..].trim_start();
    }
    bare
}

/// Whether a line only says where: a file, perhaps with line and column.
fn is_place(line: &str) -> bool {
    PLACE.is_match(bare(line))
}

fn compile(rows: &[&str]) -> Regex {
    let rows: Vec<String> = rows.iter().map(|row| format!("(?:{row})")).collect();
    Regex::new(&rows.join("|")).expect("a test compiles every table")
}

static MARK: LazyLock<Regex> = LazyLock::new(|| {
    compile(&[
        // turbo (`web:build: `), pnpm (`apps/web build: `), concurrently (`[0] `), buildkit.
        r"^@?[\w./-]+:[a-z][\w-]*: ",
        r"^[\w@.-]+/[\w@./-]+ [\w:-]+: ",
        r"^\[\d+\] ",
        r"^#\d+ \d+\.\d+ ",
        r"^➤ YN\d+: (?:[│┌└] ?)*",
        r"^npm (?:ERR!|error)(?: (?:404|notarget|network|enoent|eresolve|ERESOLVE))?(?: |$)",
        r"^ERR! ",
        // Loggers: a time, a level, a name.
        r"^\[?\d{4}-\d\d-\d\d[T ][\d:.,]+(?:Z|[+-]\d\d:?\d\d)?\]? ",
        r"^\[(?:ERROR|error|INFO|info|FATAL)\] ",
        r"^\* (?:What went wrong:)?$",
    ])
});

static NOISE: LazyLock<Regex> = LazyLock::new(|| {
    compile(&[
        r"^at .*[:(<\[]|^at \S+$",
        r#"^File "[^"]*", line \d+"#,
        r"^[\s^~|│╭╮╰╯─┬┴┌┐└┘├┤•·=*_-]+$",
        r"^[╭│╰┬─╯├└┌]",
        r"^>? ?\d+ ?[|│]",
        r"^[|│]",
        r"^[{}\[\]();,]+$",
        r"^(?:digest|errors|code|errno|syscall|path|stack|requireStack|clientVersion|pos|loc|frame|plugin|id|watchFiles): ",
        r"^Node\.js v\d|^A complete log of this run|^npm notice|^info Visit|^\[notice\]|^verbose stack",
        r"^goroutine \d+|^Import trace|^Require stack|^\[stderr\]$|^\[stdout\]$|^Stack trace:?$",
        r"^(?:Tasks|Cached|Time|Failed|Summary|Duration):\s",
        r"^404 Not Found - GET |^Not Found - GET ",
        r"^Usage:|^Options:|^aliases?: ",
    ])
});

static WARNING: LazyLock<Regex> = LazyLock::new(|| {
    compile(&[
        r"^(?i:npm warn|warning|warn|deprecat|debug|⚠)\b",
        r"^⚠|^\(node:\d+\)|DeprecationWarning|^\(Use `node --trace",
        r"^(?:INFO|info|DEBUG)\b",
    ])
});

/// They announce that the reason follows.
static INTRODUCER: LazyLock<Regex> = LazyLock::new(|| {
    compile(&[
        r"^Failed to compile\.?$|^Build error occurred\.?$|^Error occurred prerendering page ",
        r"^(?:✗ |x |✘ )?Build failed(?: in [\d.]+ ?m?s)?(?: with \d+ errors?)?[.:]?$",
        r"^error during build:?$|^(?:Module|ModuleBuildError:).*[Mm]odule build failed",
        r"^Module build failed|^ERROR in \S+(?: \d+:\d+(?:-\d+)?)?$|^Turbopack build failed with \d+ errors?:?$",
        r"^(?:> )?Failed to collect page data|^Unhandled error during execution|^Unhandled Rejection",
        r"^Traceback \(most recent call last\)",
        r"^FAILURE: Build failed with an exception|^\* What went wrong:|^Execution failed for task ",
        r"^A problem occurred (?:configuring|evaluating) |^COMPILATION ERROR :",
        r"^Failed to execute goal .*(?:Compilation failure|Fatal error compiling)(?:: Compilation failure:?)?:?\s*$",
        r"^error: failed to run custom build command|^Gem::Ext::BuildError|^rake aborted!",
        r"^bin/rails aborted!|^Caused by:?$|^The above exception was the direct cause",
        r"^error: No solution found when resolving dependencies$|^(?:error: )?Failed to (?:build|download|prepare|resolve)[^:]*$",
        r"^(?:Error: )?Prisma schema validation(?: - .*)?$",
        r"^× (?:No solution found|Failed to build|Failed to download)",
        r"^npm install failed|^Installation failed|^Resolution failed",
    ])
});

/// They say only that something failed.
static WRAPPER: LazyLock<Regex> = LazyLock::new(|| {
    compile(&[
        r"^g?make(?:\[\d+\])?: \*\*\* |^g?make(?:\[\d+\])?: (?:Leaving|Entering) ",
        r"^error: Recipe `[^`]*` failed|^task: Failed to run task",
        r"^(?:code|errno|path|command|Lifecycle script|workspace|location|signal|syscall) \S+",
        r"^Lifecycle script|^code E[A-Z0-9]+$|^Exit status \d+$|^Exit handler never called",
        r"ELIFECYCLE|ERR_PNPM_RECURSIVE_RUN_FIRST_FAIL|ERR_PNPM_RECURSIVE_EXEC_FIRST_FAIL",
        r"(?i)\bcommand failed with exit code \d+|(?i)\bexited with (?:exit )?(?:code|status):? ?\d+",
        r"(?i)\bexited \(\d+\)|(?i)^exit (?:status|code):? \d+$|(?i)^process (?:exited|finished)",
        r"returned non-zero exit status \d+|^script returned exit code|failed with exit code \d+\.?$",
        r"^error Command failed\.?$|^Command failed(?: with signal \S+|: .*)?$|^Error: Command failed(?:: .*)?$",
        r"^> Build (?:optimization )?failed|^Export encountered (?:an error|errors) on",
        r"^Failed to (?:type check|build|lint|test)\.?$|^Build failed because of webpack errors",
        r"^BUILD FAIL(?:ED|URE)|^\[?ERROR\]? BUILD|^Compilation failed\.?$|^ERROR\s+run failed:",
        r"^error: could not compile `|^error: aborting due to|^For more information about this error, try `rustc",
        r"^Error code: P\d+$|^error: build failed$|^error: process didn't exit successfully",
        r"^(?:error: )?subprocess-exited-with-error|^× .*did not run successfully|^╰─>|^note: This (?:error|is an issue)",
        r"^(?:ERROR: )?Failed (?:building wheel|to build installable wheels|to build one or more wheels)|^error: metadata-generation-failed|^ERROR: Could not build wheels",
        r"^Found \d+ errors?\b|^webpack [\d.]+ compiled with \d+ error|^\d+ (?:errors?|problems?) |^✖ \d+ problems?",
        r"^NX\s+(?:Ran|Running) target|^(?:>\s+)?NX\s+.*failed|^Failed tasks:|^✖\s+\d+/\d+ failed|^- \S+:\w+$",
        r"^An error occurred while installing .*Bundler cannot continue",
        r"^FAIL\b|^There (?:was|were) (?:an? )?errors?\b.*$|^Errors? (?:occurred|were found)\b.*:?$",
        r"^(?:An|Some) errors? (?:occurred|happened)[.:]?$|^Aborting\b|^Job failed|^Error: Process completed",
    ])
});

/// They say what could be done.
static ADVICE: LazyLock<Regex> = LazyLock::new(|| {
    compile(&[
        r"(?i)^[=•-]?\s*(?:hint|help|tip|note|advice|suggestion|info|documentation|docs?)s?\s?:",
        r"(?i)^(?:try|re-?run|consider|please|make sure|ensure|see|read|learn|visit|refer to|you (?:can|may|might|need|should|could|must)|if you|to (?:fix|resolve|see|address|learn|get|ignore|disable|do so|solve|debug|force)|for (?:more|further|details|help)|did you|maybe|perhaps|this (?:can|may|might|could|usually|is likely|error may)|in most cases|note that|more info|it is likely|it looks like you|either|alternatively|check (?:the|your|that|if))\b",
        r"(?i)^(?:run|use|set|add|install) (?:`|'|\x22|the |a |an |it |npm |pnpm |yarn |pip |with |--)",
        r"(?i)^\S*read more:? https?://|^https?://\S+$|^-> \[Help|^\* (?:Try|Get more help)|^> Run with --",
        r"^tarball, folder, http url|^\[Help \d+\]|^and (?:change|run|set) ",
    ])
});

static ERROR: LazyLock<Regex> = LazyLock::new(|| {
    compile(&[
        r"(?i)\b(?:\w*error|\w*exception|fatal|failed|failure|panic|cannot|can't|can not|could not|couldn't)\b",
        r"(?i)\b(?:unable to|denied|refused|not found|invalid|no such|not (?:set|defined|supported|allowed|satisfy|satisfied|exist)|does ?n[o']t|missing|unexpected|undefined|unresolved|conflict\w*|incompatible|unsatisfi\w+)\b",
        r"^E[A-Z]{4,}\b|^error\[E\d+\]",
    ])
});

static STARTS_AS_ERROR: LazyLock<Regex> = LazyLock::new(|| {
    compile(&[r"(?i)^\W*(?:npm )?(?:\w*error|fatal|panic)\b", r"^\s*(?:✖|✘|⨯|❌|E:)\s"])
});

static PLACE: LazyLock<Regex> = LazyLock::new(|| {
    compile(&[r"^(?:\./|/)?[\w@()\[\]./+-]+\.\w{1,6}(?:[:(]\d+(?:[:,]\d+)?\)?)?:?$"])
});
