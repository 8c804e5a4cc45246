//! Branches of other repositories.

use std::fmt::Write as _;

use model::{Commit, Problem};

use crate::error::Error;

use super::git::{self, Git};
use super::{SNAPSHOTS, Sources, snapshot};

/// How much history is fetched: enough for `git describe` in most repositories.
const DEPTH: &str = "--depth=200";

pub(super) async fn fetch(
    sources: &Sources,
    project: &str,
    url: &str,
    branch: Option<&str>,
) -> Result<Commit, Error> {
    let shown = without_credentials(url);
    check_url(url).map_err(Error::Refused)?;
    if let Some(branch) = branch.filter(|branch| branch.starts_with('-') || branch.contains(':')) {
        return Err(Error::Refused(Problem::new(
            "branch-refused",
            format!("`{branch}` is no name of a branch"),
        )));
    }
    let format = sources.bare(project).maybe_text(&["rev-parse", "--show-object-format"]).await;
    let ours =
        snapshot::ensure_repository(sources, project, format.as_deref().unwrap_or("sha1")).await?;
    let network = with_network(ours.clone(), sources, url);
    let branch = match branch {
        Some(branch) => branch.to_owned(),
        None => default_branch(&network, &shown).await?,
    };
    let target = format!("refs/gable/remotes/{}", super::file_name(&format!("{shown} {branch}")));
    let wanted = format!("+refs/heads/{branch}:{target}");
    let arguments = [
        "fetch",
        "--quiet",
        "--no-auto-maintenance",
        "--no-write-fetch-head",
        "--no-tags",
        "--update-shallow",
        DEPTH,
        "--",
        "gable",
        &wanted,
    ];
    call(&network, &arguments, &shown, &branch).await?;
    let shown_format =
        ["log", "-1", "--no-show-signature", "--format=%H%x00%T%x00%s", &target, "--"];
    let line = ours.text("read the fetched branch", &shown_format).await?;
    let mut parts = line.split('\0').map(str::to_owned);
    let mut next = || parts.next().unwrap_or_default();
    let commit = Commit { id: next(), tree: next(), subject: next(), branch, is_dirty: false };
    let name = format!("{SNAPSHOTS}{}", commit.id);
    ours.run("keep the branch", &["update-ref", &name, &commit.id]).await?;
    Ok(commit)
}

/// The remote, given by variables: neither its URL nor its password is in any argument of ours,
/// and the password is in none of git's helpers' either.
fn with_network(git: Git, sources: &Sources, url: &str) -> Git {
    let mut git = git
        .with_env(
            "GIT_SSH_COMMAND",
            "ssh -oBatchMode=yes -oStrictHostKeyChecking=accept-new -oConnectTimeout=20",
        )
        .with_env("GIT_CONFIG_KEY_0", "remote.gable.url")
        .with_env("GIT_CONFIG_VALUE_0", without_credentials(url));
    let mut count = 1;
    if let Some(login) = credentials(url) {
        git = git.with_env("GIT_CONFIG_KEY_1", "http.extraHeader").with_env(
            "GIT_CONFIG_VALUE_1",
            format!("Authorization: Basic {}", base64(login.as_bytes())),
        );
        count = 2;
    }
    for (key, value) in &sources.operator_env {
        git = git.with_env(key, value);
    }
    git.with_env("GIT_CONFIG_COUNT", count.to_string())
}

async fn default_branch(network: &Git, shown: &str) -> Result<String, Error> {
    let output = call(network, &["ls-remote", "--symref", "gable", "HEAD"], shown, "HEAD").await?;
    let text = String::from_utf8_lossy(&output);
    let branch = text.lines().find_map(|line| {
        line.strip_prefix("ref: refs/heads/")?.split_whitespace().next().map(str::to_owned)
    });
    branch.ok_or_else(|| {
        Error::Refused(
            Problem::new("branch-missing", format!("{shown} has no default branch"))
                .hint("name one with `branch:`"),
        )
    })
}

async fn call(
    network: &Git,
    arguments: &[&str],
    shown: &str,
    branch: &str,
) -> Result<Vec<u8>, Error> {
    let output = network.output("fetch a repository", arguments, Vec::new()).await?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(Error::Refused(explain(&text, shown, branch)))
}

/// Which of the usual troubles git talks about.
fn explain(text: &str, shown: &str, branch: &str) -> Problem {
    let detail = git::last_line(text.as_bytes());
    let has = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    let problem = if has(&["couldn't find remote ref", "Remote branch"]) {
        Problem::new("branch-missing", format!("{shown} has no branch `{branch}`"))
            .hint("correct `branch:` in the Blueprint, or push the branch")
    } else if has(&[
        "could not read Username",
        "Authentication failed",
        "Permission denied (publickey",
        "error: 403",
        "error: 401",
    ]) {
        Problem::new("repository-login", format!("{shown} wants a login, or does not exist"))
            .hint("for a private repository use an ssh URL with a key of the server's user, or a token in the URL")
    } else if has(&[
        "not found",
        "does not exist",
        "does not appear to be a git repository",
        "No such file",
    ]) {
        Problem::new("repository-missing", format!("there is no repository at {shown}"))
            .hint("correct `repo:` in the Blueprint")
    } else if has(&[
        "Could not resolve host",
        "Failed to connect",
        "Could not connect",
        "unable to access",
        "timed out",
        "Could not read from remote",
        "Connection refused",
        "Operation too slow",
    ]) {
        Problem::new(
            "repository-unreachable",
            format!("{shown} cannot be reached from this machine"),
        )
        .hint("check the network; proxies and certificates are given with `--operator-env`")
    } else {
        Problem::new("repository-failed", format!("{shown} could not be fetched"))
    };
    problem.detail(detail)
}

fn check_url(url: &str) -> Result<(), Problem> {
    let is_control = |letter: char| letter.is_control() || letter == ' ';
    let has_scheme =
        ["http://", "https://", "ssh://", "file://"].iter().any(|scheme| url.starts_with(scheme));
    let is_scp = !url.contains("://") && !url.contains("::") && parts(url).is_some();
    if (has_scheme || is_scp) && !url.starts_with('-') && !url.contains(is_control) {
        return Ok(());
    }
    let shown = without_credentials(url);
    Err(Problem::new("repository-refused", format!("`{shown}` is no URL of a repository"))
        .hint("use https://HOST/OWNER/NAME, ssh://git@HOST/OWNER/NAME or git@HOST:OWNER/NAME"))
}

/// `user:password` of an http URL.
fn credentials(url: &str) -> Option<String> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let (login, _) = rest.split('/').next()?.rsplit_once('@')?;
    let login = percent_decoded(login);
    Some(if login.contains(':') { login } else { format!("{login}:") })
}

/// The URL without the user and password of its http form.
pub(super) fn without_credentials(url: &str) -> String {
    for scheme in ["https://", "http://"] {
        if let Some(rest) = url.strip_prefix(scheme) {
            let (host, path) =
                rest.split_once('/').map_or((rest, None), |(host, path)| (host, Some(path)));
            let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
            return match path {
                Some(path) => format!("{scheme}{host}/{path}"),
                None => format!("{scheme}{host}"),
            };
        }
    }
    url.to_owned()
}

/// Host and path of a URL in any of git's spellings, in a form that can be compared.
fn parts(url: &str) -> Option<(String, String)> {
    let (host, path) = match url.split_once("://") {
        Some((_, rest)) => rest.split_once('/')?,
        None => url.split_once(':').filter(|(host, _)| !host.contains('/'))?,
    };
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let host = host.split(':').next()?.trim_start_matches("www.").to_ascii_lowercase();
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path).to_ascii_lowercase();
    (!path.is_empty()).then_some((host, path))
}

/// Whether two URLs name one repository: `git@host:o/n.git` and `https://host/o/n` do. A `repo:`
/// that names the repository it stands in means the working tree.
#[must_use]
pub fn names_same_repository(one: &str, other: &str) -> bool {
    one == other || parts(one).is_some_and(|parts_of_one| parts(other) == Some(parts_of_one))
}

/// `owner/name` of a repository's URL: `RENDER_GIT_REPO_SLUG`.
#[must_use]
pub fn repo_slug(url: &str) -> Option<String> {
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.split_once('/')?.1,
        None => url.split_once(':')?.1,
    };
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let mut names = path.rsplit('/');
    let (name, owner) = (names.next()?, names.next()?);
    (!name.is_empty() && !owner.is_empty()).then(|| format!("{owner}/{name}"))
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut place = 0;
    while place < bytes.len() {
        let pair = text.get(place + 1..place + 3).filter(|_| bytes[place] == b'%');
        if let Some(byte) = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            decoded.push(byte);
            place += 3;
        } else {
            decoded.push(bytes[place]);
            place += 1;
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut bits = 0u32;
        for place in 0..3 {
            bits = bits << 8 | u32::from(chunk.get(place).copied().unwrap_or(0));
        }
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place) & 63) as usize];
            let is_padding = place > chunk.len();
            let _ = write!(text, "{}", if is_padding { '=' } else { char::from(letter) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_repository_are_the_same() {
        let same = [
            "https://github.com/Owner/name",
            "https://github.com/owner/name.git",
            "https://token@www.github.com/owner/name/",
            "git@github.com:owner/name.git",
            "ssh://git@github.com:22/owner/name",
        ];
        for one in same {
            assert!(names_same_repository(one, same[0]), "{one}");
        }
        assert!(!names_same_repository("https://github.com/owner/other", same[0]));
        assert!(!names_same_repository("https://gitlab.com/owner/name", same[0]));
    }

    #[test]
    fn the_slug_is_owner_and_name() {
        assert_eq!(repo_slug("git@github.com:owner/name.git").as_deref(), Some("owner/name"));
        assert_eq!(repo_slug("https://gitlab.com/group/owner/name").as_deref(), Some("owner/name"));
        assert_eq!(repo_slug("/srv/name"), None);
    }

    #[test]
    fn passwords_are_taken_out_of_urls() {
        let url = "https://me:p%40ss@example.com/o/n.git";
        assert_eq!(without_credentials(url), "https://example.com/o/n.git");
        assert_eq!(credentials(url).as_deref(), Some("me:p@ss"));
        assert_eq!(credentials("https://tok@example.com/o/n").as_deref(), Some("tok:"));
        assert_eq!(credentials("https://example.com/o/n@2"), None);
    }

    #[test]
    fn base64_is_base64() {
        assert_eq!(base64(b"me:p@ss"), "bWU6cEBzcw==");
        assert_eq!(base64(b"abc"), "YWJj");
        assert_eq!(base64(b"ab"), "YWI=");
    }

    #[test]
    fn urls_that_run_commands_are_refused() {
        for url in
            ["ext::sh -c id", "--upload-pack=x", "/etc", "https://a b/c", "git://h/x", "a::b:c/d"]
        {
            assert!(check_url(url).is_err(), "{url}");
        }
        for url in
            ["git@github.com:o/n.git", "https://h/o/n", "file:///srv/n.git", "ssh://git@h/o/n"]
        {
            assert!(check_url(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn troubles_of_the_network_are_told_apart() {
        let code = |text: &str| explain(text, "https://h/o/n", "main").code;
        assert_eq!(
            code("fatal: unable to access 'https://h/': Could not resolve host: h"),
            "repository-unreachable"
        );
        assert_eq!(
            code("fatal: could not read Username for 'https://h': terminal prompts disabled"),
            "repository-login"
        );
        assert_eq!(code("fatal: couldn't find remote ref refs/heads/main"), "branch-missing");
        assert_eq!(
            code("remote: Repository not found.\nfatal: repository 'https://h/o/n/' not found"),
            "repository-missing"
        );
    }
}
