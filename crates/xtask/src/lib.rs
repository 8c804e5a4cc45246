//! Checks of the tree that no compiler makes. `make tidy` runs them, and so does the test of this
//! crate, so that `make test` is enough.
//!
//! Every check returns all that it found; each finding is a line that names its place.

pub mod examples;
pub mod files;
pub mod layers;
pub mod links;
pub mod pages;
pub mod tree;
pub mod words;

use std::path::Path;

use anyhow::Result;

use crate::tree::Tree;

/// Runs every check on the project that lies at `root`.
///
/// # Errors
/// When the tree cannot be listed or read.
pub fn tidy(root: &Path) -> Result<Vec<String>> {
    let tree = Tree::read(root)?;
    let mut findings = layers::check(&layers::edges(root)?);
    findings.extend(files::check(&tree));
    findings.extend(pages::check(&tree));
    findings.extend(examples::check(&tree));
    findings.extend(words::check(&tree));
    findings.extend(links::check(&tree));
    Ok(findings)
}
