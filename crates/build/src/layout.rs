//! Where things lie inside a build's instance and inside the instances that run what it made.
//!
//! Both see the same paths, which is what lets a virtual environment and everything that was
//! installed into HOME work after the build: the artifact's `home` and `tree` come back as
//! overlays where the build had them as writable directories.

use std::path::{Path, PathBuf};

use engine::Mount;
use model::{Artifact, Runtime, Service};

use crate::error::Error;
use crate::store;
use crate::toolchain::Toolchain;

/// Home directory of every instance.
pub const HOME: &str = "/opt/render";
/// The checkout, whatever the service's root directory.
pub const SOURCE: &str = "/opt/render/project/src";
/// The virtual environment of Python services.
pub const VENV: &str = "/opt/render/project/src/.venv";
/// Where a build may install commands; first in PATH, part of the artifact.
pub const LOCAL_BIN: &str = "/opt/render/.local/bin";
/// Stand-ins for commands that repositories expect and the host lacks; last in PATH.
pub(crate) const SHIMS: &str = "/opt/render/.gable/shims";
/// A fetched Node.js.
pub(crate) const NODE: &str = "/opt/render/.gable/node";
/// PATH of the host's userland, as unprivileged users have it.
pub(crate) const HOST_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/local/cargo/bin:/usr/local/go/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// When variables are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// While the build command runs.
    Build,
    /// Whenever what was built runs: instances, pre-deploy, cron, jobs.
    Run,
}

/// How an instance uses an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Working directory.
    pub cwd: PathBuf,
    /// Home directory.
    pub home: PathBuf,
    /// What is mounted, in order.
    pub mounts: Vec<Mount>,
    /// Variables below everything that was declared: HOME, PATH and what the language needs.
    pub env: Vec<(String, String)>,
}

impl Layout {
    /// The whole environment of the instance: `declared` wins over this layout's own variables.
    /// A declared PATH is searched after the layout's.
    #[must_use]
    pub fn env_with(&self, declared: &[(String, String)]) -> Vec<(String, String)> {
        env_under(&self.env, declared)
    }
}

/// How instances, pre-deploy commands, cron runs and jobs use what was built. `disk` is the
/// directory of the service's disk on the host, for those that see it.
///
/// # Errors
/// When the artifact cannot be read.
pub fn runtime_layout(
    service: &Service,
    artifact: &Artifact,
    disk: Option<&Path>,
) -> Result<Layout, Error> {
    let path = Path::new(&artifact.path);
    let manifest = store::read_manifest(path)?;
    let mut mounts = vec![
        Mount::Overlay { lower: path.join("home"), target: HOME.into() },
        Mount::Overlay { lower: path.join("tree"), target: SOURCE.into() },
    ];
    mounts.extend(node_mount(&manifest.toolchain));
    if let (Some(directory), Some(disk)) = (disk, &service.disk) {
        mounts.push(Mount::Bind {
            source: directory.to_owned(),
            target: PathBuf::from(&disk.mount_path),
            read_only: false,
        });
    }
    Ok(Layout {
        cwd: source_dir(&service.root_dir),
        home: HOME.into(),
        mounts,
        env: merge_env([
            base_env(service.runtime, &manifest.toolchain),
            language_env(service.runtime, Phase::Run),
        ]),
    })
}

/// What Render sets for a language, below everything the author declares
/// [R:environment-variables]. `NODE_ENV` is not forced upon builds: their tools are development
/// dependencies.
#[must_use]
pub fn language_env(runtime: Runtime, phase: Phase) -> Vec<(String, String)> {
    let build = phase == Phase::Build;
    let pairs: &[(&str, &str)] = match (runtime, build) {
        (Runtime::Node | Runtime::Static, true) => &[("NODE_MODULES_CACHE", "true")],
        (Runtime::Node, false) => &[("NODE_ENV", "production"), ("NODE_MODULES_CACHE", "true")],
        (Runtime::Python, true) => {
            &[("CI", "true"), ("PIPENV_YES", "true"), ("VENV_ROOT", VENV), ("VIRTUAL_ENV", VENV)]
        }
        (Runtime::Python, false) => &[
            ("FORWARDED_ALLOW_IPS", "*"),
            ("GUNICORN_CMD_ARGS", "--preload --access-logfile - --bind=0.0.0.0:10000"),
            ("PIPENV_YES", "true"),
            // Output goes to a pipe: without this, logs would appear only at the end.
            ("PYTHONUNBUFFERED", "1"),
            ("VENV_ROOT", VENV),
            ("VIRTUAL_ENV", VENV),
        ],
        (Runtime::Ruby, _) => &[
            ("BUNDLE_JOBS", "4"),
            ("BUNDLE_PATH", "/opt/render/project/.gems"),
            ("BUNDLE_WITHOUT", "development:test"),
            // Its `bin` is the first entry of PATH.
            ("GEM_HOME", "/opt/render/.local"),
            ("MALLOC_ARENA_MAX", "2"),
            ("RACK_ENV", "production"),
            ("RAILS_ENV", "production"),
            ("RAILS_LOG_TO_STDOUT", "true"),
            ("RAILS_SERVE_STATIC_FILES", "true"),
        ],
        (Runtime::Go, _) => &[
            ("GO111MODULE", "on"),
            ("GOMODCACHE", "/opt/render/.cache/go-mod"),
            ("GOPATH", "/opt/render/project/go"),
        ],
        (Runtime::Rust, _) => &[
            ("CARGO_HOME", "/opt/render/.cargo"),
            ("ROCKET_ENV", "prod"),
            ("ROCKET_PORT", "10000"),
        ],
        (Runtime::Elixir, _) => &[("MIX_ENV", "prod"), ("RELEASE_DISTRIBUTION", "name")],
        (Runtime::Static, false) | (Runtime::Docker | Runtime::Image, _) => &[],
    };
    owned(pairs)
}

/// Variables that make the tools find the layout; the same in builds and at run time.
pub(crate) fn base_env(runtime: Runtime, toolchain: &Toolchain) -> Vec<(String, String)> {
    let mut env = owned(&[
        ("HOME", HOME),
        ("USER", "render"),
        ("LOGNAME", "render"),
        ("SHELL", "/bin/bash"),
        ("LANG", "C.UTF-8"),
        ("COREPACK_HOME", "/opt/render/.local/share/corepack"),
        // The version that corepack was released with, not whatever is newest today.
        ("COREPACK_DEFAULT_TO_LATEST", "0"),
        ("NPM_CONFIG_PREFIX", "/opt/render/.local"),
        ("NPM_CONFIG_UPDATE_NOTIFIER", "false"),
        ("PNPM_HOME", "/opt/render/.local/share/pnpm"),
        // Debian refuses `pip install` outside a virtual environment; here HOME is throw-away.
        ("PIP_BREAK_SYSTEM_PACKAGES", "1"),
        ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
    ]);
    env.push(("PATH".to_owned(), path_variable(runtime, toolchain)));
    if let Some(headers) = node_headers(toolchain) {
        // The spelling of node-gyp 10 and later, which npm does not warn about.
        env.push(("npm_package_config_node_gyp_nodedir".to_owned(), headers));
    }
    env
}

/// Where caches of package managers lie below HOME during builds: name of the directory in
/// [`crate::Config::project_caches`], path below HOME. At run time the same paths are empty.
pub(crate) const CACHES: &[(&str, &str)] = &[
    ("npm", ".npm"),
    ("pnpm", ".local/share/pnpm/store"),
    ("yarn", ".cache/yarn"),
    ("yarn-berry", ".yarn/berry"),
    ("bun", ".bun/install/cache"),
    ("pip", ".cache/pip"),
    ("uv", ".cache/uv"),
    ("poetry", ".cache/pypoetry/cache"),
    ("poetry-artifacts", ".cache/pypoetry/artifacts"),
    ("cargo-registry", ".cargo/registry"),
    ("cargo-git", ".cargo/git"),
    ("go-build", ".cache/go-build"),
    ("go-mod", ".cache/go-mod"),
    ("bundle", ".bundle/cache"),
    ("hex", ".hex"),
    ("prisma", ".cache/prisma"),
    ("node-gyp", ".cache/node-gyp"),
];

/// Variables for builds only: how tools use caches that lie on another mount.
pub(crate) fn cache_env() -> Vec<(String, String)> {
    owned(&[("UV_LINK_MODE", "copy"), ("GOFLAGS", "-modcacherw"), ("npm_config_fund", "false")])
}

/// Working directory of a service inside.
#[must_use]
pub fn source_dir(root_dir: &str) -> PathBuf {
    let mut path = PathBuf::from(SOURCE);
    path.extend(root_dir.split('/').filter(|part| !part.is_empty() && *part != "."));
    path
}

pub(crate) fn node_mount(toolchain: &Toolchain) -> Option<Mount> {
    let node = toolchain.node.as_ref()?;
    Some(Mount::Bind { source: node.clone(), target: NODE.into(), read_only: true })
}

/// Later lists win; a key keeps the place where it first stood.
pub(crate) fn merge_env(
    lists: impl IntoIterator<Item = impl AsRef<[(String, String)]>>,
) -> Vec<(String, String)> {
    let mut merged: Vec<(String, String)> = Vec::new();
    for list in lists {
        for (key, value) in list.as_ref() {
            match merged.iter_mut().find(|(known, _)| known == key) {
                Some((_, known)) => known.clone_from(value),
                None => merged.push((key.clone(), value.clone())),
            }
        }
    }
    merged
}

/// `declared` on top of `own`, but a declared PATH comes after our own entries: without those,
/// nothing that the build installed would be found.
pub(crate) fn env_under(
    own: &[(String, String)],
    declared: &[(String, String)],
) -> Vec<(String, String)> {
    let mut merged = merge_env([own, declared]);
    let own_path = own.iter().find(|(key, _)| key == "PATH").map(|(_, value)| value.as_str());
    if let Some(own_path) = own_path
        && let Some((_, path)) = merged.iter_mut().find(|(key, _)| key == "PATH")
        && path != own_path
        && !path.starts_with(&format!("{own_path}:"))
    {
        *path = format!("{own_path}:{path}");
    }
    merged
}

/// The same variables for a driver without mounts, where `to_host` tells what stands for a path
/// inside: every mention of HOME and of the checkout becomes a directory of the host's.
#[must_use]
pub fn env_on_host(
    env: &[(String, String)],
    to_host: &dyn Fn(&Path) -> PathBuf,
) -> Vec<(String, String)> {
    let places = [NODE, SOURCE, HOME]
        .map(|inside| (inside, to_host(Path::new(inside)).to_string_lossy().into_owned()));
    env.iter()
        .map(|(key, value)| {
            let mut value = value.clone();
            for (inside, host) in &places {
                value = replace_path(&value, inside, host);
            }
            (key.clone(), value)
        })
        .collect()
}

/// Replaces `path` where it is a whole path or the beginning of one.
fn replace_path(text: &str, path: &str, by: &str) -> String {
    let mut pieces = text.split(path);
    let mut replaced = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let goes_on =
            piece.starts_with(|letter: char| letter.is_alphanumeric() || "-_.".contains(letter));
        replaced.push_str(if goes_on { path } else { by });
        replaced.push_str(piece);
    }
    replaced
}

fn path_variable(runtime: Runtime, toolchain: &Toolchain) -> String {
    let mut entries = vec![LOCAL_BIN.to_owned()];
    if runtime == Runtime::Python {
        entries.push(format!("{VENV}/bin"));
    }
    if toolchain.node.is_some() {
        entries.push(format!("{NODE}/bin"));
    }
    entries.push("/opt/render/.local/share/pnpm".to_owned());
    match runtime {
        Runtime::Rust => entries.push("/opt/render/.cargo/bin".to_owned()),
        Runtime::Go => entries.push("/opt/render/project/go/bin".to_owned()),
        _ => {}
    }
    entries.extend([HOST_PATH.to_owned(), SHIMS.to_owned()]);
    entries.join(":")
}

fn node_headers(toolchain: &Toolchain) -> Option<String> {
    if toolchain.node.is_some() {
        return Some(format!("{NODE}/lib/node_modules/{}", crate::toolchain::node_package()?));
    }
    Path::new("/usr/include/node/node.h").exists().then(|| "/usr".to_owned())
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn later_variables_win() {
        let merged = merge_env([
            [pair("A", "1"), pair("B", "2")].as_slice(),
            [pair("B", "3"), pair("C", "4")].as_slice(),
        ]);
        assert_eq!(merged, [pair("A", "1"), pair("B", "3"), pair("C", "4")]);
    }

    #[test]
    fn a_declared_path_does_not_hide_what_the_build_installed() {
        let env = env_under(&[pair("PATH", "/own/bin")], &[pair("PATH", "/theirs")]);
        assert_eq!(env, [pair("PATH", "/own/bin:/theirs")]);
        let again = env_under(&[pair("PATH", "/own/bin")], &env);
        assert_eq!(again, env);
    }

    #[test]
    fn node_env_is_for_running_only() {
        let has =
            |phase| language_env(Runtime::Node, phase).iter().any(|(key, _)| key == "NODE_ENV");
        assert!(has(Phase::Run));
        assert!(!has(Phase::Build));
    }

    #[test]
    fn paths_are_translated_for_drivers_without_mounts() {
        let env = [
            pair("PATH", "/opt/render/.local/bin:/opt/render/project/src/.venv/bin:/opt/rendering"),
            pair("HOME", "/opt/render"),
        ];
        let host = env_on_host(&env, &|inside| match inside.to_str() {
            Some(SOURCE) => PathBuf::from("/w/tree"),
            _ => PathBuf::from("/w/home"),
        });
        assert_eq!(host[0].1, "/w/home/.local/bin:/w/tree/.venv/bin:/opt/rendering");
        assert_eq!(host[1].1, "/w/home");
    }

    #[test]
    fn a_root_directory_lies_below_the_source() {
        assert_eq!(source_dir(""), Path::new(SOURCE));
        assert_eq!(source_dir("./apps/web/"), Path::new("/opt/render/project/src/apps/web"));
    }
}
