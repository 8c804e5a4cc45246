//! What the host's userland has, seen as an unprivileged user would.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::process::Command;

use crate::layout::HOST_PATH;

use super::asked::Tool;

/// How long a tool may take to say its version.
const PATIENCE: Duration = Duration::from_secs(20);

/// A program in the host's PATH.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    HOST_PATH
        .split(':')
        .map(|directory| Path::new(directory).join(name))
        .find(|path| path.is_file())
}

/// Version and directory of another Node.js than the host's, or why there is none.
pub(super) type OtherNode = Result<(String, PathBuf), String>;

/// What the host's tools have said; each is asked once. It lives as long as one plan: tools may be
/// installed between two.
#[derive(Debug, Default)]
pub struct Host {
    versions: Mutex<HashMap<(Tool, String), Option<String>>>,
    environments: Mutex<HashMap<PathBuf, bool>>,
    /// By the range that was asked for, or why there is none.
    pub(super) nodes: Mutex<HashMap<String, OtherNode>>,
}

impl Host {
    /// The version of an installed tool: `20.20.2`.
    pub(super) async fn version_of(&self, tool: Tool, program: &str) -> Option<String> {
        let key = (tool, program.to_owned());
        if let Some(known) = lock(&self.versions).get(&key) {
            return known.clone();
        }
        let version = version_of(tool, program).await;
        lock(&self.versions).insert(key, version.clone());
        version
    }

    /// Whether `python -m venv` can make an environment that has pip.
    pub(super) async fn can_make_virtual_environments(&self, python: &Path) -> bool {
        if let Some(known) = lock(&self.environments).get(python) {
            return *known;
        }
        let can = output(python, &["-I", "-c", "import venv, ensurepip; print(1)"]).await.is_some();
        lock(&self.environments).insert(python.to_owned(), can);
        can
    }
}

/// Each critical section is one call of a map: what is behind the lock is always whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn version_of(tool: Tool, program: &str) -> Option<String> {
    let path = find_program(program)?;
    let argument = if tool == Tool::Go { "version" } else { "--version" };
    let text = output(&path, &[argument]).await?;
    match tool {
        // `Erlang/OTP 27 …` comes first.
        Tool::Elixir => text.lines().find_map(|line| first_version(line.strip_prefix("Elixir ")?)),
        Tool::Node | Tool::Python | Tool::Ruby | Tool::Go | Tool::Rust => first_version(&text),
    }
}

/// Standard output of a program of the host's that ended well.
pub(crate) async fn output(program: &Path, arguments: &[&str]) -> Option<String> {
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", HOST_PATH)
        .env("HOME", "/nonexistent")
        .env("LC_ALL", "C.UTF-8")
        .current_dir("/")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, child).await.ok()?.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn first_version(text: &str) -> Option<String> {
    let start = text.find(|letter: char| letter.is_ascii_digit())?;
    let version: String = text[start..]
        .chars()
        .take_while(|letter| letter.is_ascii_digit() || *letter == '.')
        .collect();
    Some(version.trim_end_matches('.').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_tools_say() {
        assert_eq!(first_version("v20.20.2\n").as_deref(), Some("20.20.2"));
        assert_eq!(first_version("Python 3.11.2").as_deref(), Some("3.11.2"));
        assert_eq!(first_version("go version go1.19.8 linux/amd64").as_deref(), Some("1.19.8"));
        assert_eq!(first_version("cargo 1.95.0 (f2d3ce0bd 2026-03-21)").as_deref(), Some("1.95.0"));
        assert_eq!(first_version("nothing"), None);
    }
}
