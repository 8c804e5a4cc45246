//! Links between the project's own pages lead somewhere.

use std::path::Path;

use crate::tree::Tree;

/// Finds relative links to files that do not exist.
#[must_use]
pub fn check(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| file.path.ends_with(".md")) {
        let folder = Path::new(&file.path).parent().unwrap_or_else(|| Path::new(""));
        for (index, line) in file.text.lines().enumerate() {
            for target in targets(line) {
                if !tree.root.join(folder).join(target).exists() {
                    findings.push(format!("{}:{}: `{target}` is not there", file.path, index + 1));
                }
            }
        }
    }
    findings
}

/// The paths that a line links to, without their fragments.
fn targets(line: &str) -> Vec<&str> {
    line.match_indices("](")
        .filter_map(|(position, mark)| line[position + mark.len()..].split_once(')'))
        .map(|(target, _)| target.split('#').next().unwrap_or_default())
        .filter(|target| !target.is_empty() && !target.contains("://"))
        .collect()
}
