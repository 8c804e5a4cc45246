//! The work directory of a build: a fresh checkout, an own HOME, and the first entries of PATH.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use model::{Problem, Runtime, ServiceKind};

use crate::caches::{self, Kept, Trust};
use crate::config::Config;
use crate::error::Error;
use crate::layout;
use crate::sources::Sources;
use crate::toolchain::find_program;
use crate::tree;

use super::{BuildRequest, Mode, blocking, command_text};

/// Directories of HOME that must be there: mount points and entries of PATH.
const DIRECTORIES: &[&str] = &["project/src", ".local/bin", ".gable/shims", ".gable/node"];
/// Where corepack keeps package managers: below HOME, and from build to build in the caches.
const COREPACK: (&str, &str) = ("corepack", ".local/share/corepack");

/// The virtual environment of a fresh build, for the next one: below HOME, where nobody but this
/// build writes, and from build to build in the project's caches.
const FRESH_VENV: &str = ".gable/venv";
/// The virtual environment below the checkout.
const VENV: &str = ".venv";

/// Directories of a build's own: name in its work directory, and where it sees them.
pub(super) const TEMPORARY: &[(&str, &str)] = &[("tmp", "/tmp"), ("run", "/run")];

/// Makes the virtual environment, then becomes the user's own shell.
/// `$1` the user's text, `$2` the shell, `$3` the interpreter, or nothing where the environment is
/// there already, `$4` where a copy goes for the next build, or nothing. A copy has the right paths
/// in it: they are the same in every build.
const PYTHON_PRELUDE: &str = r#"
if [ -n "$3" ]; then
  "$3" -m venv "$VENV_ROOT" || exit 1
  if [ -n "$4" ]; then cp -a "$VENV_ROOT" "$4" || rm -rf "$4"; fi
fi
exec "$2" -c "$1"
"#;

/// Render installs the packages of a static site before its build command, unless
/// `SKIP_INSTALL_DEPS` is `true` (its page on static sites). A command that installs them itself
/// is left to do so once; if this fails, the command shows what is missing.
/// `$1` the user's text, `$2` the shell.
const STATIC_PRELUDE: &str = r#"
case "$1" in
  *install* | *"npm ci"* | *"npm i "* | yarn | "yarn "*"&&"* | *"&& yarn &&"*) tool= ;;
  *)
    if [ "$SKIP_INSTALL_DEPS" = true ] || [ ! -f package.json ]; then tool=
    elif [ -f bun.lock ] || [ -f bun.lockb ]; then tool=bun
    elif [ -f pnpm-lock.yaml ]; then tool=pnpm
    elif [ -f yarn.lock ]; then tool=yarn
    else tool=npm
    fi
    ;;
esac
if [ -n "$tool" ]; then
  echo "==> $tool install (a static site's packages; SKIP_INSTALL_DEPS=true leaves this out)" >&2
  "$tool" install
fi
exec "$2" -c "$1"
"#;

pub(super) async fn prepare(
    config: &Config,
    sources: &Sources,
    request: &BuildRequest,
    mode: Mode,
) -> Result<(), Error> {
    let work = config.work_of(&request.build_id);
    let doomed = work.clone();
    blocking(move || tree::remove(&doomed)).await?;
    let source = work.join("tree");
    fs::create_dir_all(&source).map_err(Error::at("make", &source))?;
    sources.checkout(&request.project, &request.commit, &source).await?;
    check_root_dir(request, &source)?;
    let (config, request) = (config.clone(), request.clone());
    blocking(move || {
        if request.trust == Trust::Full {
            caches::make(&config, &request.project)?;
        }
        make_venv(&config, &request, &source, mode)?;
        make_home(&config, &request, &work.join("home"), mode)?;
        for (name, _) in TEMPORARY {
            let path = work.join(name);
            fs::create_dir_all(&path).map_err(Error::at("make", &path))?;
            fs::set_permissions(&path, Permissions::from_mode(0o1777))
                .map_err(Error::at("open", &path))?;
        }
        tree::hand_over(&work.join("home"), config.builder_uid)?;
        tree::hand_over(&source, config.builder_uid).map(drop)
    })
    .await
}

/// Program and arguments of the build's instance. The user's text is an argument of its own: it
/// is never put together with text of ours.
pub(super) fn command(config: &Config, request: &BuildRequest, mode: Mode) -> Vec<String> {
    let shell = if find_program("bash").is_some() { "/bin/bash" } else { "/bin/sh" };
    let text = command_text(&request.service).unwrap_or_default();
    if request.service.kind == ServiceKind::Static {
        return ["/bin/sh", "-c", STATIC_PRELUDE, "build", text, shell].map(str::to_owned).to_vec();
    }
    let (Runtime::Python, Some(python)) = (request.service.runtime, &request.toolchain.python)
    else {
        return [shell, "-c", text].map(str::to_owned).to_vec();
    };
    let place = config.work_of(&request.build_id).join("tree").join(VENV);
    let python = if place.exists() { "" } else { &*python.to_string_lossy() };
    let copy = match mode {
        Mode::Mounted if keeps_venv(request) => format!("{}/{FRESH_VENV}", layout::HOME),
        Mode::Mounted | Mode::Plain => String::new(),
    };
    ["/bin/sh", "-c", PYTHON_PRELUDE, "build", text, shell, python, &copy]
        .map(str::to_owned)
        .to_vec()
}

/// What is kept of a build's virtual environment: one for each version of Python.
fn kept_venv(request: &BuildRequest) -> String {
    let version = request.toolchain.versions.iter().find(|(tool, _)| tool == "python");
    format!("venv-{}", version.map_or("3", |(_, version)| version.as_str()))
}

fn keeps_venv(request: &BuildRequest) -> bool {
    request.service.runtime == Runtime::Python && request.trust == Trust::Full
}

/// Begins with the virtual environment that was kept. What the repository calls so is of another
/// machine.
fn make_venv(
    config: &Config,
    request: &BuildRequest,
    source: &Path,
    mode: Mode,
) -> Result<(), Error> {
    if request.service.runtime != Runtime::Python {
        return Ok(());
    }
    let place = source.join(VENV);
    match fs::symlink_metadata(&place) {
        Ok(metadata) if metadata.is_dir() => tree::remove(&place)?,
        Ok(_) => fs::remove_file(&place).map_err(Error::at("remove", &place))?,
        Err(_) => {}
    }
    if mode == Mode::Plain {
        // It has the paths of its build in it.
        return Ok(());
    }
    let caches = config.project_caches(&request.project);
    Kept { caches: &caches, name: &kept_venv(request) }.copy_to(&place).map(drop)
}

/// Keeps what the next build of the project begins with, and leaves nothing in the work directory but
/// what becomes the artifact.
pub(crate) fn keep(config: &Config, request: &BuildRequest) -> Result<(), Error> {
    let work = config.work_of(&request.build_id);
    let home = work.join("home");
    let caches = config.project_caches(&request.project);
    let fresh = home.join(FRESH_VENV);
    if request.trust == Trust::Full {
        let fetched = home.join(COREPACK.1);
        caches::keep_managers(&fetched, &caches.join(COREPACK.0), &work.join("part"))?;
        Kept { caches: &caches, name: &kept_venv(request) }.take(&fresh)?;
    }
    tree::remove(&fresh)?;
    TEMPORARY.iter().try_for_each(|(name, _)| tree::remove(&work.join(name)))
}

pub(super) fn check_root_dir(request: &BuildRequest, source: &Path) -> Result<(), Error> {
    let root = request.service.root_dir.as_str();
    let inside = layout::source_dir(root);
    let relative = inside.strip_prefix(layout::SOURCE).unwrap_or(Path::new(""));
    let is_inside = source.join(relative).canonicalize().is_ok_and(|path| {
        path.is_dir() && source.canonicalize().is_ok_and(|source| path.starts_with(source))
    });
    if is_inside && !root.split('/').any(|part| part == "..") {
        return Ok(());
    }
    let problem = Problem::new(
        "root-dir-missing",
        format!("the root directory `{root}` is not in the repository"),
    );
    Err(Error::Refused(
        problem
            .hint("correct `rootDir:` in the Blueprint; it is relative to the repository's root"),
    ))
}

fn make_home(
    config: &Config,
    request: &BuildRequest,
    home: &Path,
    mode: Mode,
) -> Result<(), Error> {
    let caches = config.project_caches(&request.project);
    for path in DIRECTORIES {
        let path = home.join(path);
        fs::create_dir_all(&path).map_err(Error::at("make", &path))?;
    }
    for (name, path) in layout::CACHES {
        let path = home.join(path);
        let place = if mode == Mode::Plain { path.parent().unwrap_or(home) } else { &path };
        fs::create_dir_all(place).map_err(Error::at("make", place))?;
        if mode == Mode::Plain && request.trust == Trust::Full {
            symlink(caches.join(name), &path).map_err(Error::at("make", &path))?;
        }
    }
    Kept { caches: &caches, name: COREPACK.0 }.copy_to(&home.join(COREPACK.1))?;
    // `corepack enable` writes beside the corepack that it finds first in PATH.
    if let Some(corepack) = corepack(request, mode) {
        let link = home.join(".local/bin/corepack");
        symlink(&corepack, &link).map_err(Error::at("make", &link))?;
    }
    for (name, script) in shims(request, &home.with_file_name("tree")) {
        let path = home.join(".gable/shims").join(name);
        fs::write(&path, script).map_err(Error::at("write", &path))?;
        let executable = Permissions::from_mode(0o755);
        fs::set_permissions(&path, executable).map_err(Error::at("write", &path))?;
    }
    Ok(())
}

/// The corepack that runs on the build's Node.js, as the build sees it.
fn corepack(request: &BuildRequest, mode: Mode) -> Option<PathBuf> {
    let own = request.toolchain.node.as_ref().filter(|node| node.join("bin/corepack").exists());
    match (own, mode) {
        (Some(_), Mode::Mounted) => Some(Path::new(layout::NODE).join("bin/corepack")),
        (Some(node), Mode::Plain) => Some(node.join("bin/corepack")),
        (None, _) => find_program("corepack"),
    }
}

/// Commands that repositories expect, and what stands in for them when neither the host nor the
/// build has put a real one into PATH.
fn shims(request: &BuildRequest, source: &Path) -> Vec<(&'static str, String)> {
    let mut shims = Vec::new();
    let npm = |package: &str, program: &str| {
        format!(
            "#!/bin/sh\necho \"==> {program} is not installed: fetching it with npm\" >&2\n\
             npm install --global --no-audit --loglevel=error {package} >&2 || exit 1\n\
             exec {}/{program} \"$@\"\n",
            layout::LOCAL_BIN
        )
    };
    let pnpm = pnpm_for(&request.service.root_dir, source);
    if find_program("corepack").is_some() {
        let corepack = |name: &str| format!("#!/bin/sh\nexec corepack {name} \"$@\"\n");
        shims.push(("pnpm", corepack(pnpm)));
        shims.push(("pnpx", corepack("pnpx")));
        shims.push(("yarn", corepack("yarn")));
        shims.push(("yarnpkg", corepack("yarnpkg")));
    } else if find_program("npm").is_some() {
        let package = if pnpm == "pnpm" { "pnpm@10" } else { pnpm };
        shims.push(("pnpm", npm(package, "pnpm")));
        shims.push(("yarn", npm("yarn@1", "yarn")));
    }
    if find_program("npm").is_some() {
        shims.push(("bun", npm("bun${BUN_VERSION:+@$BUN_VERSION}", "bun")));
        shims.push(("bunx", "#!/bin/sh\nexec bun x \"$@\"\n".to_owned()));
    }
    if find_program("python3").is_some() {
        for (program, version) in
            [("uv", "UV_VERSION"), ("poetry", "POETRY_VERSION"), ("pipenv", "PIPENV_VERSION")]
        {
            shims.push((program, python_tool(program, version)));
        }
        shims.push(("uvx", "#!/bin/sh\nexec uv tool run \"$@\"\n".to_owned()));
        shims.push(("python", "#!/bin/sh\nexec python3 \"$@\"\n".to_owned()));
        shims.push(("pip", "#!/bin/sh\nexec python3 -m pip \"$@\"\n".to_owned()));
    }
    shims
}

/// A tool in an environment of its own, so that it never meets the project's packages.
fn python_tool(program: &str, version: &str) -> String {
    format!(
        "#!/bin/sh\necho \"==> {program} is not installed: fetching it with pip\" >&2\n\
         place=\"$HOME/.local/share/gable/{program}\"\n\
         /usr/bin/env -u VIRTUAL_ENV python3 -m venv --clear \"$place\" >&2 || exit 1\n\
         \"$place/bin/python\" -m pip install --quiet \"{program}${{{version}:+==${version}}}\" >&2 || exit 1\n\
         ln -sf \"$place/bin/{program}\" \"{}/{program}\"\n\
         exec \"$place/bin/{program}\" \"$@\"\n",
        layout::LOCAL_BIN
    )
}

/// The pnpm that can read the lockfile, for repositories that do not say which one they use.
fn pnpm_for(root_dir: &str, source: &Path) -> &'static str {
    let root = source.join(root_dir.trim_matches('/'));
    let text = [root.join("pnpm-lock.yaml"), source.join("pnpm-lock.yaml")]
        .iter()
        .find_map(|path| fs::read_to_string(path).ok())
        .unwrap_or_default();
    let version = text.lines().find_map(|line| line.strip_prefix("lockfileVersion:"));
    let version = version.unwrap_or_default().trim().trim_matches(['\'', '"']);
    match version.split('.').next() {
        Some("5") => "pnpm@7",
        Some("6") => "pnpm@8",
        _ => "pnpm",
    }
}
