//! Texts that would tie the project to one machine or one network.

use crate::tree::Tree;

/// Folders of particular machines, and hosts of package registries: which of them is used is the
/// business of whoever builds. Written in pieces, so that this file does not hold them itself.
fn banned() -> Vec<String> {
    let folders = [["", "work", "main"], ["", "work", "shared"], ["", "root", ".cargo"]];
    let hosts: [&[&str]; 6] = [
        &["registry", "npmjs", "org"],
        &["registry", "yarnpkg", "com"],
        &["pypi", "org"],
        &["pythonhosted", "org"],
        &["static", "crates", "io"],
        &["proxy", "golang", "org"],
    ];
    let folders = folders.iter().map(|parts| parts.join("/"));
    folders.chain(hosts.iter().map(|parts| parts.join("."))).collect()
}

/// Finds those texts.
#[must_use]
pub fn check(tree: &Tree) -> Vec<String> {
    let banned = banned();
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| file.path != "Cargo.lock") {
        for (index, line) in file.text.lines().enumerate() {
            for word in banned.iter().filter(|word| line.contains(word.as_str())) {
                findings.push(format!("{}:{}: holds `{word}`", file.path, index + 1));
            }
        }
    }
    findings
}
