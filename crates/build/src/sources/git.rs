//! Running the `git` program so that nothing but Gable's own settings counts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::error::Error;
use crate::store;

use super::MAX_FILE_BYTES;

/// Longest run of one git command that stays on this machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// What git reads instead of the settings of the system and of the person. `safe.directory`
/// counts in such a file only, and must: the server may be root and the repository not.
const SETTINGS: &str = "\
[safe]
\tdirectory = *
\tbareRepository = explicit
[user]
\tname = Gable
\temail = gable@localhost
[core]
\tlooseCompression = 1
[gc]
\tauto = 0
[maintenance]
\tauto = false
[fetch]
\tunpackLimit = 1
\twriteCommitGraph = false
[submodule]
\trecurse = false
[init]
\tdefaultBranch = main
[http]
\tlowSpeedLimit = 1000
\tlowSpeedTime = 30
";

/// Settings that must win over those of a repository that is not ours.
const OVERRIDES: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.alternateRefsCommand=true",
    "core.excludesFile=/dev/null",
    "core.attributesFile=/dev/null",
    "core.pager=cat",
    "core.quotePath=false",
    "diff.external=",
    "protocol.ext.allow=never",
    "credential.helper=",
];

pub(super) fn write_settings(path: &Path) -> Result<(), Error> {
    if std::fs::read(path).is_ok_and(|text| text == SETTINGS.as_bytes()) {
        return Ok(());
    }
    store::write_synced(path, SETTINGS.as_bytes())
}

/// A way to call git.
#[derive(Clone)]
pub(super) struct Git {
    dir: Option<PathBuf>,
    cwd: PathBuf,
    env: Vec<(String, String)>,
    settings: Vec<String>,
    patience: Duration,
}

impl Git {
    pub(super) fn new(settings_file: PathBuf) -> Self {
        let env =
            vec![("GIT_CONFIG_GLOBAL".to_owned(), settings_file.to_string_lossy().into_owned())];
        let cwd = PathBuf::from("/");
        Self { dir: None, cwd, env, settings: Vec::new(), patience: PATIENCE }
    }

    /// In a repository of ours, named by its git directory.
    pub(super) fn in_repository(mut self, dir: PathBuf) -> Self {
        self.env.push(("GIT_DIR".to_owned(), dir.to_string_lossy().into_owned()));
        self.dir = Some(dir);
        self
    }

    /// In a directory, whatever repository it belongs to.
    pub(super) fn in_directory(mut self, cwd: &Path) -> Self {
        cwd.clone_into(&mut self.cwd);
        self
    }

    pub(super) fn with_env(mut self, key: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.env.push((key.to_owned(), value.as_ref().to_string_lossy().into_owned()));
        self
    }

    pub(super) fn with_setting(mut self, setting: &str) -> Self {
        self.settings.push(setting.to_owned());
        self
    }

    pub(super) fn cwd(&self) -> &Path {
        &self.cwd
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.as_deref().unwrap_or(&self.cwd)
    }

    /// Standard output of a command that must go well.
    pub(super) async fn run(&self, doing: &str, arguments: &[&str]) -> Result<Vec<u8>, Error> {
        self.run_with_input(doing, arguments, Vec::new()).await
    }

    pub(super) async fn run_with_input(
        &self,
        doing: &str,
        arguments: &[&str],
        input: Vec<u8>,
    ) -> Result<Vec<u8>, Error> {
        let output = self.output(doing, arguments, input).await?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let message = last_line(&output.stderr);
        Err(Error::Git { doing: doing.to_owned(), message })
    }

    /// One line of standard output, without its end.
    pub(super) async fn text(&self, doing: &str, arguments: &[&str]) -> Result<String, Error> {
        let output = self.run(doing, arguments).await?;
        Ok(String::from_utf8_lossy(&output).trim_end_matches('\n').to_owned())
    }

    /// The same for questions that may have no answer.
    pub(super) async fn maybe_text(&self, arguments: &[&str]) -> Option<String> {
        let text = self.text("ask git", arguments).await.ok()?;
        (!text.is_empty()).then_some(text)
    }

    pub(super) async fn succeeds(&self, arguments: &[&str]) -> bool {
        self.run("ask git", arguments).await.is_ok()
    }

    /// Whatever comes of a command: its status is the caller's to judge.
    pub(super) async fn output(
        &self,
        doing: &str,
        arguments: &[&str],
        input: Vec<u8>,
    ) -> Result<Output, Error> {
        let failed = |error| Error::io(format!("{doing} with git"), error);
        let mut child = self.command(arguments).spawn().map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound {
                return Error::Refused(
                    model::Problem::new("tool-missing", "git is not installed on this machine")
                        .hint("install it: `apt install git`"),
                );
            }
            failed(error)
        })?;
        let stdin = child.stdin.take();
        let feed = async move {
            if let Some(mut stdin) = stdin {
                // A command that ends early does not want the rest.
                let _ = stdin.write_all(&input).await;
            }
        };
        let work = async { tokio::join!(feed, child.wait_with_output()).1 };
        match tokio::time::timeout(self.patience, work).await {
            Ok(output) => output.map_err(failed),
            Err(_) => Err(Error::Git {
                doing: doing.to_owned(),
                message: format!("git took longer than {} s", self.patience.as_secs()),
            }),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.env_clear();
        for setting in OVERRIDES.iter().copied().chain(self.settings.iter().map(String::as_str)) {
            command.arg("-c").arg(setting);
        }
        command
            .args(arguments)
            .env(
                "PATH",
                std::env::var_os("PATH").unwrap_or_else(|| crate::layout::HOST_PATH.into()),
            )
            .env("HOME", "/nonexistent")
            .env("LC_ALL", "C.UTF-8")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_ALLOW_PROTOCOL", "file:http:https:ssh")
            .env("GIT_DISCOVERY_ACROSS_FILESYSTEM", "1")
            .envs(self.env.iter().map(|(key, value)| (key, value)))
            .current_dir(&self.cwd)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

pub(super) fn last_line(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let fatal = lines()
        .find_map(|line| line.strip_prefix("fatal: ").or_else(|| line.strip_prefix("error: ")));
    fatal.or_else(|| lines().next_back()).unwrap_or("git said nothing").to_owned()
}

pub(super) fn split_nul(output: &[u8]) -> Vec<String> {
    output
        .split(|byte| *byte == 0)
        .filter(|part| !part.is_empty())
        .map(|part| String::from_utf8_lossy(part).into_owned())
        .collect()
}

/// The files in the answer of `cat-file --batch --follow-symlinks`; `None` if it is no such
/// answer. Directories, links that lead out and files that are too large count as absent.
pub(super) fn parse_batch(output: &[u8], paths: &[&String]) -> Option<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut rest = output;
    for path in paths {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let header = String::from_utf8_lossy(&rest[..end]).into_owned();
        rest = &rest[end + 1..];
        let words: Vec<&str> = header.split(' ').collect();
        // `symlink 4`, `dangling 12`, `loop 3`, `notdir 5`: a target follows.
        if let [kind @ ("symlink" | "dangling" | "loop" | "notdir"), size] = words[..] {
            let _ = kind;
            rest = rest.get(size.parse::<usize>().ok()? + 1..)?;
            continue;
        }
        let [_, kind, size] = words[..] else { continue };
        let Ok(size) = size.parse::<usize>() else { continue };
        let content = rest.get(..size)?;
        rest = rest.get(size + 1..)?;
        if kind == "blob" && size as u64 <= MAX_FILE_BYTES {
            found.insert((*path).clone(), content.to_vec());
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_cat_file_are_taken_apart() {
        let paths = ["a", "none", "out", "dir", "b"].map(str::to_owned);
        let paths: Vec<&String> = paths.iter().collect();
        let output =
            b"1234 blob 3\nx\ny\nc:none missing\nsymlink 7\n/etc/os\n77 tree 2\n..\n55 blob 0\n\n";
        let found = parse_batch(output, &paths).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found["a"], b"x\ny");
        assert_eq!(found["b"], b"");
    }

    #[test]
    fn the_decisive_line_of_git_is_shown() {
        assert_eq!(last_line(b"hint: x\nfatal: not a repository\nmore\n"), "not a repository");
        assert_eq!(last_line(b"\n one\n two \n"), "two");
    }
}
