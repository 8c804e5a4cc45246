//! The tree is tidy, and each check finds what it is there to find.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::process::Command;

use xtask::tree::Tree;
use xtask::{examples, files, links, pages, words};

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

/// A tree of its own with these files.
fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Tree) {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let done = Command::new("git").args(["init", "-q"]).current_dir(folder.path()).status();
    assert!(done.unwrap().success());
    let tree = Tree::read(folder.path()).unwrap();
    (folder, tree)
}

#[test]
fn the_project_is_tidy() {
    let findings = xtask::tidy(project()).unwrap();
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn a_long_file_and_a_mod_rs_are_found() {
    let long = "//\n".repeat(files::LINES_MAX);
    let (_folder, tree) = tree(&[("crates/a/src/b/mod.rs", &long), ("crates/a/src/c.rs", "//\n")]);
    assert_eq!(files::check(&tree).len(), 2);
}

#[test]
fn a_code_without_a_page_is_found() {
    let source =
        "fn f() { Problem::new(\n    \"port-not-open\", \"x\"); Problem::new(code, \"y\"); }
        const T: Row = Row { code: \"out-of-memory\" };
        impl E {\n    fn code(&self) -> &'static str {\n match self { A => \"state-gone\" }\n    }\n }
        \ncodes! {\n    Tabs \"tabs\" Repair Error\n        \"Tabs.\";\n}\n
        #[cfg(test)] mod tests { fn g() { Problem::new(\"only-in-tests\", \"z\"); } }";
    let (_folder, tree) = tree(&[
        ("crates/a/src/lib.rs", source),
        ("docs/errors/out-of-memory.md", "# out-of-memory\n\nWords.\n\n## What to do\n\nMore.\n"),
        ("docs/errors/odd-page.md", "# another-title\n"),
    ]);
    let findings = pages::check(&tree).join("\n");
    assert!(findings.contains("write docs/errors/port-not-open.md"), "{findings}");
    assert!(findings.contains("odd-page.md: the first line"), "{findings}");
    assert!(findings.contains("odd-page.md: has no section"), "{findings}");
    assert!(findings.contains("write docs/errors/state-gone.md"), "{findings}");
    assert!(findings.contains("write docs/errors/tabs.md"), "{findings}");
    assert_eq!(findings.lines().count(), 5, "{findings}");
}

#[test]
fn an_example_without_a_readme_is_found() {
    let (_folder, tree) = tree(&[("examples/a/render.yaml", "services: []\n")]);
    assert_eq!(examples::check(&tree), ["examples/a/README.md is missing"]);
}

#[test]
fn a_registry_host_is_found() {
    let line = ["\"resolved\": \"https://registry", "npmjs", "org/x\""].join(".");
    let (_folder, tree) = tree(&[("examples/a/package-lock.json", &line)]);
    assert_eq!(words::check(&tree).len(), 1);
}

#[test]
fn a_link_to_nowhere_is_found() {
    let text = "[a](here.md) [b](there.md#part) [c](https://example.com/x) [d](#local)\n";
    let (_folder, tree) = tree(&[("docs/index.md", text), ("docs/here.md", "\n")]);
    assert_eq!(links::check(&tree), ["docs/index.md:1: `there.md` is not there"]);
}
