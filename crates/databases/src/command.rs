//! Programs of the host that we run to the end: pip, apt-get, tar, the C compiler.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::Error;

/// What a program said.
pub(crate) struct Output {
    pub(crate) success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// The lines that say why, at most `count`, without credentials of URLs.
    pub(crate) fn last_words(&self, count: usize) -> String {
        let text = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let tail = &lines[lines.len().saturating_sub(count)..];
        without_credentials(&tail.join("\n"))
    }
}

/// Runs a program with the server's own environment and `env` on top, and ends it after `limit`.
///
/// # Errors
/// When it cannot be started or takes too long. A bad exit code is no error here.
pub(crate) async fn run<A: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    arguments: &[A],
    env: &[(String, String)],
    directory: &Path,
    limit: Duration,
) -> Result<Output, Error> {
    let program = program.as_ref();
    let doing = format!("run {}", program.display());
    let child = Command::new(program)
        .args(arguments)
        .envs(env.iter().map(|(key, value)| (key, value)))
        .env("LC_ALL", "C.UTF-8")
        .current_dir(directory)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(limit, child)
        .await
        .map_err(|_| {
            let why = format!("took longer than {} s", limit.as_secs());
            Error::Host { doing: doing.clone(), source: std::io::Error::other(why) }
        })?
        .map_err(Error::host(doing))?;
    Ok(Output {
        success: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Hides `user:password@` of URLs: mirrors are often given with one.
fn without_credentials(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("://") {
        let (before, after) = rest.split_at(start + 3);
        result.push_str(before);
        let end = after.find(|c: char| c == '/' || c.is_whitespace()).unwrap_or(after.len());
        rest = match after[..end].rfind('@') {
            Some(at) => {
                result.push_str("***");
                &after[at..]
            }
            None => after,
        };
    }
    result.push_str(rest);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_a_mirror_are_not_shown() {
        assert_eq!(
            without_credentials("Looking in https://me:s3cret@mirror.test/simple, http://b/c"),
            "Looking in https://***@mirror.test/simple, http://b/c"
        );
    }
}
