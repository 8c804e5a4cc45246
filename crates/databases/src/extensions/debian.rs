//! What a Debian or Ubuntu host has or can download: packages, and sources to compile.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::binaries::{self, PostgresBinaries, Staging};
use crate::command::{self, Output};
use crate::extensions::{Found, MODULE};
use crate::{Config, Error, Progress, files};

const APT_LIMIT: Duration = Duration::from_secs(180);
const COMPILE_LIMIT: Duration = Duration::from_secs(300);
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// A release of Debian that has pgvector's source. Its 0.8.0 compiles for these majors.
const SOURCE_RELEASE: &str = "trixie";
const SOURCE_VERSION: &str = "0.8.0";
const SOURCE_MAJORS: std::ops::RangeInclusive<u8> = 14..=17;
/// Packages that hold the library of `uuid-ossp`, under its names in successive releases.
const UUID_PACKAGES: [&str; 2] = ["libossp-uuid16", "libossp-uuid16t64"];
const UUID_LIBRARY: &str = "libossp-uuid.so.16";

/// The pgvector of the system's own PostgreSQL.
pub(super) fn installed(config: &Config, major: u8) -> Option<Found> {
    let base = config.installed_postgres.join(major.to_string());
    let share = base.ancestors().nth(3)?.join(format!("share/postgresql/{major}/extension"));
    let module = base.join("lib").join(MODULE);
    (module.exists() && share.join("vector.control").exists())
        .then_some(Found { module, extension: share })
}

/// The distribution's package, unpacked but not installed.
pub(super) async fn package(config: &Config, major: u8, place: &Path) -> Result<Found, String> {
    let name = format!("postgresql-{major}-pgvector");
    let root = download(config, &name, place).await?;
    Ok(Found {
        module: root.join(format!("usr/lib/postgresql/{major}/lib")).join(MODULE),
        extension: root.join(format!("usr/share/postgresql/{major}/extension")),
    })
}

/// Debian's source package, compiled with the headers of this major.
///
/// The index of that release goes into a directory of its own: the host's list of sources is not
/// touched. Flags are those of pgvector's own makefile, without those for one processor only.
pub(super) async fn source(
    config: &Config,
    major: u8,
    place: &Path,
    progress: &dyn Progress,
) -> Result<Found, String> {
    if !SOURCE_MAJORS.contains(&major) {
        return Err(format!("pgvector {SOURCE_VERSION} is not for PostgreSQL {major}"));
    }
    let archive = download_source(config, place).await?;
    let tree = place.join("tree");
    files::create_dir(&tree, 0o755).map_err(said)?;
    let arguments = ["-xzf".into(), archive.into_os_string(), "--strip-components=1".into()];
    check(command::run("tar", &arguments, &[], &tree, COMPILE_LIMIT).await)?;
    let headers = binaries::postgres_headers(config, major, progress).await.map_err(|error| {
        let problem = error.problem();
        format!("{}: {}", problem.message, problem.detail.unwrap_or_default())
    })?;
    let mut arguments: Vec<String> = [
        "-O2",
        "-ftree-vectorize",
        "-fassociative-math",
        "-fno-signed-zeros",
        "-fno-trapping-math",
        "-fPIC",
        "-shared",
    ]
    .map(str::to_owned)
    .to_vec();
    arguments.push(format!("-I{}", headers.display()));
    for file in files::list(&tree.join("src")).map_err(said)? {
        if file.extension().is_some_and(|extension| extension == "c") {
            arguments.push(file.to_string_lossy().into_owned());
        }
    }
    arguments.extend(["-o", MODULE, "-lm"].map(str::to_owned));
    check(command::run("cc", &arguments, &[], &tree, COMPILE_LIMIT).await)
        .map_err(|why| format!("pgvector does not compile (is gcc installed?): {why}"))?;
    lay_out(&tree)
}

/// Puts control file and scripts side by side, the main script under its version's name.
fn lay_out(tree: &Path) -> Result<Found, String> {
    let extension = tree.join("sql");
    let main = extension.join(format!("vector--{SOURCE_VERSION}.sql"));
    files::rename(&extension.join("vector.sql"), &main).map_err(said)?;
    files::rename(&tree.join("vector.control"), &extension.join("vector.control")).map_err(said)?;
    Ok(Found { module: tree.join(MODULE), extension })
}

async fn download_source(config: &Config, place: &Path) -> Result<PathBuf, String> {
    if !Path::new(KEYRING).exists() {
        return Err("Debian's keys are not on this machine: its sources cannot be checked".into());
    }
    for directory in ["", "lists/partial", "cache/archives/partial"] {
        files::create_dir(&place.join(directory), 0o755).map_err(said)?;
    }
    let mirror = mirror(config, place).await?;
    let list = place.join("sources.list");
    let text = format!("deb-src [signed-by={KEYRING}] {mirror} {SOURCE_RELEASE} main\n");
    files::replace(&list, &text, 0o644, None).map_err(said)?;
    let options = [
        ("Dir::Etc::SourceList", list.as_path()),
        ("Dir::Etc::SourceParts", Path::new("/dev/null")),
        ("Dir::State::Lists", &place.join("lists")),
        ("Dir::Cache", &place.join("cache")),
        ("APT::Sandbox::User", Path::new("root")),
    ]
    .map(|(key, value)| format!("-o{key}={}", value.display()));
    let apt = async |arguments: &[&str]| {
        let options = options.iter().map(String::as_str);
        let arguments: Vec<&str> = options.chain(arguments.iter().copied()).collect();
        check(command::run("apt-get", &arguments, &config.operator_env, place, APT_LIMIT).await)
    };
    apt(&["-qq", "update"]).await?;
    apt(&["-qq", "source", "--download-only", "pgvector"]).await?;
    files::list(place)
        .map_err(said)?
        .into_iter()
        .find(|path| path.to_string_lossy().ends_with(".orig.tar.gz"))
        .ok_or_else(|| "the source package holds no archive".to_owned())
}

/// The mirror of Debian that this host uses.
async fn mirror(config: &Config, directory: &Path) -> Result<String, String> {
    let arguments =
        ["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian"];
    let env = &config.operator_env;
    let output =
        command::run("apt-get", &arguments, env, directory, APT_LIMIT).await.map_err(said)?;
    output
        .stdout
        .lines()
        .map(|line| line.trim().trim_end_matches('/'))
        .find(|line| !line.is_empty() && !line.contains("security"))
        .map(str::to_owned)
        .ok_or_else(|| "apt knows no mirror of Debian".to_owned())
}

/// Downloads a package of the distribution and unpacks it; returns the root of its files.
async fn download(config: &Config, package: &str, place: &Path) -> Result<PathBuf, String> {
    files::create_dir(place, 0o755).map_err(said)?;
    let arguments = ["-qq", "-oAPT::Sandbox::User=root", "download", package];
    let env = &config.operator_env;
    check(command::run("apt-get", &arguments, env, place, APT_LIMIT).await)?;
    let archive = files::list(place)
        .map_err(said)?
        .into_iter()
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or_else(|| format!("apt-get downloaded no {package}"))?;
    let root = place.join("root");
    let arguments = ["-x".into(), archive.into_os_string(), root.clone().into_os_string()];
    check(command::run("dpkg-deb", &arguments, &[], place, APT_LIMIT).await)?;
    Ok(root)
}

/// The downloaded builds of PostgreSQL link `uuid-ossp` against a library that hosts seldom have:
/// it is put beside the other modules, where the server's library path finds it.
pub(super) async fn ensure_uuid_library(
    config: &Config,
    tree: &PostgresBinaries,
) -> Result<(), String> {
    let modules = tree.root.join(&tree.modules);
    let library = modules.join(UUID_LIBRARY);
    if !tree.is_downloaded() || library.exists() || !modules.join("uuid-ossp.so").exists() {
        return Ok(());
    }
    let directory = config.binaries_dir.join("extensions");
    let _lock = files::lock(&directory, "uuid").await.map_err(said)?;
    let staging = Staging::new(&directory.join("uuid")).map_err(said)?;
    let mut why = String::new();
    for package in UUID_PACKAGES {
        let place = staging.path().join(package);
        match download(config, package, &place).await {
            Ok(root) => {
                // The name without the minor version is a link in the package.
                let found = files::list(&place.join("root/usr/lib")).map_err(said)?;
                let link = found.iter().map(|dir| dir.join(UUID_LIBRARY)).find(|it| it.exists());
                let source = link.ok_or_else(|| format!("{} lacks it", root.display()))?;
                let text = modules.join(format!("{UUID_LIBRARY}.new"));
                std::fs::copy(&source, &text).map_err(|error| error.to_string())?;
                return files::rename(&text, &library).map_err(said);
            }
            Err(refusal) => why = refusal,
        }
    }
    Err(why)
}

fn check(output: Result<Output, Error>) -> Result<(), String> {
    match output {
        Ok(output) if output.success => Ok(()),
        Ok(output) => Err(output.last_words(2)),
        Err(error) => {
            let problem = error.problem();
            Err(format!("{}: {}", problem.message, problem.detail.unwrap_or_default()))
        }
    }
}

fn said(error: Error) -> String {
    error.to_string()
}
