//! Whom a stop signals first: what a careful operator would decide from a list of processes.
//!
//! TERM to every process loses work: a prefork parent is still collecting what its children do when
//! they die of a signal that was meant for it. TERM to the main process alone loses work the other
//! way: `npm start` ends at once, and the server below it never hears of it. So the signal goes to
//! the *application*: from the main process down through wrappers, which only start something and
//! wait for it, to the first process that is none. What it has started is its own to end.
//!
//! - Whatever is not known as a wrapper is an application, managers of processes among them
//!   (honcho, foreman, concurrently, supervisord): they pass it on in the order that they know.
//! - A wrapper without children is all there is to ask.
//! - A shell that catches TERM has a `trap`: its author wants to be asked. What it runs in the
//!   foreground keeps it from running the trap, and is asked later, when it does not end by itself.
//! - Several commands below a shell (`a & b & wait`) are all applications, but for those that read
//!   what another one writes (`server | tee log`): these end when there is nothing more to read,
//!   and the last lines are not to be lost.

use nix::libc;

/// A process that runs, as `/proc` shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    /// Its command line. Programs may have replaced it by a title, which is one word then.
    pub(crate) words: Vec<String>,
    /// Signals that it has handlers for, bit 0 being signal 1.
    pub(crate) catches: u64,
    /// Signals that it ignores.
    pub(crate) ignores: u64,
    /// The pipe that is its standard input.
    pub(crate) reads: Option<u64>,
    /// The pipes that are its standard output and standard error.
    pub(crate) writes: Vec<u64>,
}

/// Who is asked to end.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// At once.
    pub(crate) first: Vec<i32>,
    /// Later, if they still run: what shells with a trap wait for in the foreground.
    pub(crate) later: Vec<i32>,
}

/// What a process is to whoever wants to end the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Application,
    Wrapper,
    /// A shell that handles TERM itself.
    Trap,
}

const SHELLS: [&str; 7] = ["sh", "bash", "dash", "ash", "ksh", "mksh", "zsh"];

/// Programs that start another one, wait for it and end as it does. Those that become the other one
/// (`env`, `gosu`, `poetry run`) are here where some version of them waits.
const WRAPPERS: [&str; 42] = [
    "aws-vault",
    "bundle",
    "bunx",
    "catatonit",
    "conda",
    "corepack",
    "cross-env",
    "cross-env-shell",
    "docker-init",
    "doppler",
    "dotenv",
    "dotenv-cli",
    "dotenvx",
    "dumb-init",
    "env-cmd",
    "flock",
    "hatch",
    "infisical",
    "just",
    "make",
    "mise",
    "npm",
    "npm-cli",
    "npx",
    "npx-cli",
    "op",
    "pdm",
    "pipenv",
    "pixi",
    "pnpm",
    "pnpx",
    "poetry",
    "runuser",
    "su",
    "sudo",
    "time",
    "timeout",
    "tini",
    "tini-static",
    "tsx",
    "yarn",
    "yarnpkg",
];

/// Programs that run others under one of their commands only.
const COMMANDS: [(&str, &[&str]); 2] = [("uv", &["run"]), ("deno", &["task"])];

/// Programs whose name says nothing: their script's does.
const INTERPRETERS: [&str; 4] = ["node", "nodejs", "python", "ruby"];

/// What scripts end in that a JavaScript runtime takes for its program.
const SCRIPT_ENDS: [&str; 8] = [".js", ".ts", ".mjs", ".cjs", ".mts", ".cts", ".jsx", ".tsx"];

/// Whom to ask to end, of an instance with this main process.
pub(crate) fn asked(processes: &[Process], main: i32) -> Asked {
    let mut asked = Asked::default();
    let Some(main) = processes.iter().find(|process| process.pid == main) else { return asked };
    let family = Family { processes };
    // Each step goes down, and a list that was read while processes came and went cannot make it
    // go round: there are no more steps than processes.
    let mut steps = processes.len();
    asked.first = family.applications(main, &mut steps);
    let traps = asked.first.iter().filter_map(|pid| family.get(*pid));
    for trap in traps.filter(|process| role(process) == Role::Trap) {
        for child in family.children(trap.pid).filter(|child| is_in_foreground(child)) {
            asked.later.extend(family.applications(child, &mut steps));
        }
    }
    asked
}

struct Family<'a> {
    processes: &'a [Process],
}

impl<'a> Family<'a> {
    fn get(&self, pid: i32) -> Option<&'a Process> {
        self.processes.iter().find(|process| process.pid == pid)
    }

    fn children(&self, pid: i32) -> impl Iterator<Item = &'a Process> {
        self.processes.iter().filter(move |process| process.parent == pid)
    }

    fn applications(&self, process: &Process, steps: &mut usize) -> Vec<i32> {
        if role(process) != Role::Wrapper || *steps == 0 {
            return vec![process.pid];
        }
        *steps -= 1;
        let children: Vec<_> = self.children(process.pid).collect();
        let mut asked: Vec<_> =
            children.iter().filter(|child| !self.is_reader(child, &children)).copied().collect();
        if asked.is_empty() {
            asked = children;
        }
        if asked.is_empty() {
            return vec![process.pid];
        }
        asked.into_iter().flat_map(|child| self.applications(child, steps)).collect()
    }

    /// Whether a process reads what one of these, or something below one of them, writes.
    fn is_reader(&self, reader: &Process, siblings: &[&Process]) -> bool {
        let Some(pipe) = reader.reads else { return false };
        let others = siblings.iter().filter(|sibling| sibling.pid != reader.pid);
        // The parent's own output too: `exec > >(tee log)` gives it to all that it starts.
        let parent = self.get(reader.parent);
        others.copied().chain(parent).any(|process| process.writes.contains(&pipe))
    }
}

fn role(process: &Process) -> Role {
    // A title such as `npm start` is one word.
    let title = process.words.first().map_or("", String::as_str);
    let mut words =
        title.split_whitespace().chain(process.words.iter().skip(1).map(String::as_str));
    let program = base(words.next().unwrap_or_default());
    let mut rest: Vec<&str> = words.collect();
    let is_shell = SHELLS.contains(&program)
        || program == "busybox" && rest.first().is_some_and(|applet| SHELLS.contains(applet));
    let is_wrapper = if is_shell {
        if has(process.catches, libc::SIGTERM) {
            return Role::Trap;
        }
        true
    } else if program == "bun" {
        // `bun run start` waits for a script of the package; `bun server.ts` is the server.
        let target = rest.iter().find(|word| !word.starts_with('-') && **word != "run");
        target.is_some_and(|name| !SCRIPT_ENDS.iter().any(|end| name.ends_with(end)))
    } else if INTERPRETERS
        .contains(&program.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.'))
    {
        rest.retain(|word| !word.starts_with('-'));
        rest.first().is_some_and(|script| is_wrapping_script(script))
    } else {
        WRAPPERS.contains(&program)
            || COMMANDS.iter().any(|(name, commands)| {
                *name == program && rest.iter().any(|word| commands.contains(word))
            })
    };
    if is_wrapper { Role::Wrapper } else { Role::Application }
}

/// Whether a script is a wrapper by its own name, or by that of the package that it is in.
fn is_wrapping_script(script: &str) -> bool {
    let name = base(script);
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let package = script.rsplit_once("/node_modules/").and_then(|(_, rest)| rest.split('/').next());
    // Releases of yarn that a repository carries: `.yarn/releases/yarn-4.9.1.cjs`.
    WRAPPERS.contains(&stem)
        || package.is_some_and(|package| WRAPPERS.contains(&package))
        || stem.starts_with("yarn-") && name.ends_with(".cjs")
}

/// The last part of a path. A shell at a login has a dash before its name.
fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path).trim_start_matches('-')
}

/// Whether a shell without job control waits for this child of its: those in the background have
/// INT and QUIT ignored from their beginning. A program that has a handler for QUIT hides that; who
/// writes a trap puts servers in the background, so it is taken for one that is.
fn is_in_foreground(child: &Process) -> bool {
    !has(child.ignores, libc::SIGINT)
        && !has(child.ignores, libc::SIGQUIT)
        && !has(child.catches, libc::SIGQUIT)
}

fn has(mask: u64, signal: i32) -> bool {
    mask >> (signal - 1) & 1 == 1
}

#[cfg(test)]
mod tests;
