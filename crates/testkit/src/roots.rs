//! Root file systems for images that a test makes itself, as tar archives. Nothing is fetched from
//! a registry.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::process;

/// Seconds that debootstrap may take; without a network it tries for long.
const DEBOOTSTRAP_SECONDS_MAX: &str = "240";
/// The distribution's own Python, whatever else the path holds.
const PYTHON: &str = "/usr/bin/python3";
const BUSYBOX: &str = "/bin/busybox";
/// What an image does not need.
const DEAD_WEIGHT: [&str; 6] = [
    "var/cache/apt",
    "var/lib/apt/lists",
    "usr/share/doc",
    "usr/share/i18n",
    "usr/share/locale",
    "usr/share/man",
];

/// A Debian with Python, under the names `python3` and `python`. It is made once and kept in
/// `cache`. Where debootstrap cannot work, most often for want of a network, it is this machine's
/// own Python with its libraries, and busybox for the rest; then the reason is printed.
///
/// # Errors
/// When neither can be made.
pub fn python(cache: &Path) -> Result<PathBuf> {
    let kept = cache.join("python-root.tar");
    if kept.exists() {
        return Ok(kept);
    }
    fs::create_dir_all(cache)?;
    let folder = tempfile::Builder::new().prefix("root-").tempdir_in(cache)?;
    let root = folder.path().join("root");
    if let Err(error) = debootstrap(&root) {
        use std::io::Write;
        let note = format!("the base image is made of this machine's own Python: {error:#}\n");
        drop(std::io::stderr().write_all(note.as_bytes()));
        fs::remove_dir_all(&root)?;
        pythons_own(&root)?;
    }
    let local = root.join("usr/local/bin");
    fs::create_dir_all(&local)?;
    symlink(PYTHON, local.join("python"))?;
    let part = folder.path().join("part.tar");
    pack(&root, &part)?;
    fs::rename(&part, &kept)?;
    Ok(kept)
}

/// One static program with all its names, and a place for temporary files.
///
/// # Errors
/// When busybox is not installed.
pub fn busybox() -> Result<(TempDir, PathBuf)> {
    let folder = tempfile::Builder::new().prefix("gable-busybox-").tempdir()?;
    let root = folder.path().join("root");
    add_busybox(&root)?;
    let archive = folder.path().join("root.tar");
    pack(&root, &archive)?;
    Ok((folder, archive))
}

fn debootstrap(root: &Path) -> Result<()> {
    let mut command = Command::new("timeout");
    command.arg(DEBOOTSTRAP_SECONDS_MAX).args(["debootstrap", "--variant=minbase"]);
    command.args(["--include=python3", &suite()]).arg(root);
    fs::create_dir_all(root)?;
    let outcome = run(&mut command);
    // It mounts /proc there while it works.
    process::unmount_below(root);
    outcome?;
    for path in DEAD_WEIGHT.map(|path| root.join(path)) {
        if path.exists() {
            fs::remove_dir_all(path)?;
        }
    }
    Ok(())
}

/// The release of this machine, if debootstrap knows it.
fn suite() -> String {
    let about = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let own = about.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let known = |name: &&str| Path::new("/usr/share/debootstrap/scripts").join(name).exists();
    own.filter(known).unwrap_or("stable").to_owned()
}

fn pythons_own(root: &Path) -> Result<()> {
    add_busybox(root)?;
    let library = run(Command::new(PYTHON).args([
        "-I",
        "-c",
        "import sysconfig; print(sysconfig.get_path('stdlib'))",
    ]))?;
    let library = library.trim();
    let modules = fs::read_dir(Path::new(library).join("lib-dynload"))?;
    let modules = modules.filter_map(|entry| Some(entry.ok()?.path()));
    let linked = run(Command::new("ldd").arg(PYTHON).args(modules))?;
    let mut libraries: Vec<&str> = linked
        .split_whitespace()
        .filter(|word| word.starts_with('/') && !word.ends_with(':'))
        .collect();
    libraries.sort_unstable();
    libraries.dedup();
    let copy = |option: &str| {
        let mut command = Command::new("cp");
        command.args([option, "--dereference", "--parents"]);
        command
    };
    run(copy("--no-clobber").args([PYTHON]).args(libraries).arg(root))?;
    run(copy("--recursive").arg(library).arg(root)).map(drop)
}

fn add_busybox(root: &Path) -> Result<()> {
    let bin = root.join("bin");
    fs::create_dir_all(&bin)?;
    fs::copy(BUSYBOX, bin.join("busybox"))
        .context("failed to copy busybox; `scripts/setup test` installs it")?;
    for name in run(Command::new(BUSYBOX).arg("--list"))?.lines().filter(|name| *name != "busybox")
    {
        symlink("busybox", bin.join(name))?;
    }
    let temporary = root.join("tmp");
    fs::create_dir_all(&temporary)?;
    fs::set_permissions(&temporary, fs::Permissions::from_mode(0o1777))?;
    Ok(())
}

fn pack(root: &Path, archive: &Path) -> Result<()> {
    let mut command = Command::new("tar");
    command.args(["--numeric-owner", "--exclude=./dev/*", "--exclude=./proc/*"]);
    run(command.args(["--exclude=./sys/*", "-C"]).arg(root).arg("-cf").arg(archive).arg("."))
        .map(drop)
}

/// Runs a program to its end and returns what it printed.
fn run(command: &mut Command) -> Result<String> {
    let name = command.get_program().display().to_string();
    let output = command.stdin(Stdio::null()).env("LC_ALL", "C").output();
    let output = output.with_context(|| format!("failed to start {name}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let last: Vec<&str> = said.lines().rev().take(3).collect();
    ensure!(output.status.success(), "{name}: {}: {}", output.status, last.join("; "));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
