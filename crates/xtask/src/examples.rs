//! Examples are complete: someone who opens one finds what it is and can start it.

use std::collections::BTreeSet;

use crate::tree::Tree;

/// What each example holds.
const WANTED: &[&str] = &["README.md", "render.yaml"];

/// Finds examples that lack a file.
#[must_use]
pub fn check(tree: &Tree) -> Vec<String> {
    let names: BTreeSet<&str> = tree
        .files
        .iter()
        .filter_map(|file| file.path.strip_prefix("examples/")?.split_once('/'))
        .map(|(name, _)| name)
        .collect();
    let mut findings = Vec::new();
    for name in names {
        for wanted in WANTED {
            let path = format!("examples/{name}/{wanted}");
            if !tree.has(&path) {
                findings.push(format!("{path} is missing"));
            }
        }
    }
    findings
}
