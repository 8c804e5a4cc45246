//! `make bench`: Gable beside its peers, in one run on one machine.
//!
//! Each measurement is repeated, both sides in turn, and the median is shown. The binary is
//! `GABLE_BINARY`, or the release build. Names given on the command line choose benchmarks.

mod deploy;
mod edge;
mod image;
mod memory;
mod start;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testkit::{Options, Platform};

/// One line of the table.
struct Row {
    what: String,
    gable: String,
    peer: String,
    note: String,
}

#[tokio::main]
async fn main() -> Result<()> {
    ensure!(testkit::is_root("the benchmarks"), "run as root");
    let wanted: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|it| it == name);
    let mut rows = Vec::new();
    if is_wanted("deploy") {
        rows.extend(deploy::run().await.context("deploy")?);
    }
    if is_wanted("start") {
        rows.extend(start::run().await.context("start")?);
    }
    if is_wanted("image") {
        rows.extend(image::run().await.context("image")?);
    }
    if is_wanted("memory") {
        rows.extend(memory::run().await.context("memory")?);
    }
    if is_wanted("edge") {
        rows.extend(edge::run().await.context("edge")?);
    }
    print(&rows)
}

fn print(rows: &[Row]) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "\n{:<34} {:>16} {:>22}  note", "what", "gable", "peer")?;
    for row in rows {
        let Row { what, gable, peer, note } = row;
        writeln!(stdout, "{what:<34} {gable:>16} {peer:>22}  {note}")?;
    }
    Ok(())
}

fn platform() -> Result<Platform> {
    Platform::start(Options::new(binary()?))
}

fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("GABLE_BINARY") {
        return Ok(path.into());
    }
    // A benchmark runs from `release/deps`, beside which the binaries lie.
    let own = std::env::current_exe()?;
    let folder = own.ancestors().nth(2).context("a benchmark lies in a folder")?;
    let path = folder.join("gable");
    ensure!(path.exists(), "{} is not there: `cargo build --release -p gable`", path.display());
    Ok(path)
}

/// A program of this machine, wherever administrators' programs lie.
fn program(name: &str) -> Option<PathBuf> {
    let folders = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/bin", "/sbin"];
    folders.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists())
}

fn median<T: PartialOrd + Copy>(values: &[T]) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_by(|one, other| one.partial_cmp(other).unwrap_or(std::cmp::Ordering::Equal));
    sorted[sorted.len() / 2]
}

fn millis(time: Duration) -> String {
    format!("{:.0} ms", time.as_secs_f64() * 1_000.0)
}
