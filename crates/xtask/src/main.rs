//! Tasks of the project itself: `cargo run -p xtask -- tidy`.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

fn main() -> Result<ExitCode> {
    let task = std::env::args().nth(1).unwrap_or_default();
    match task.as_str() {
        "tidy" => tidy(),
        _ => {
            writeln!(std::io::stderr(), "usage: cargo run -p xtask -- tidy")?;
            Ok(ExitCode::from(2))
        }
    }
}

fn tidy() -> Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .context("the project is two folders above this crate")?;
    let findings = xtask::tidy(root)?;
    let mut stdout = std::io::stdout().lock();
    for finding in &findings {
        writeln!(stdout, "{finding}")?;
    }
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
