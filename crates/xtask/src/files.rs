//! Sizes and names of files.

use crate::tree::Tree;

/// A file of Rust with this many lines is too long to be read at once.
pub const LINES_MAX: usize = 500;

/// Finds files that are too long, and `mod.rs`.
#[must_use]
pub fn check(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        let lines = file.text.lines().count();
        if lines >= LINES_MAX {
            findings.push(format!(
                "{}: {lines} lines; a file stays under {LINES_MAX}: split it by what it is about",
                file.path
            ));
        }
        if file.path.ends_with("/mod.rs") {
            let folder = file.path.trim_end_matches("/mod.rs");
            findings.push(format!("{}: call it {folder}.rs", file.path));
        }
    }
    findings
}
