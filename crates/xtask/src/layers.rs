//! Which of our crates may know which, and which parts of the outside world they may know.
//!
//! A new edge is a decision of its own: it is added here, in a commit that says why.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Each crate, and those below it that it may use. Order: bottom up.
const ALLOWED: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("blueprint", &["model"]),
    ("reconcile", &["model", "blueprint"]),
    ("store", &["model"]),
    ("telemetry", &["model"]),
    // The shim of an instance writes its log.
    ("engine", &["model", "telemetry"]),
    ("images", &["model"]),
    // What a Dockerfile made is kept as an image like any other; one place knows what kind of line
    // a line of a log is.
    ("build", &["model", "engine", "images", "telemetry", "reconcile"]),
    ("databases", &["model", "engine"]),
    ("edge", &["model"]),
    (
        "control",
        &[
            "model",
            "blueprint",
            "reconcile",
            "store",
            "telemetry",
            "engine",
            "images",
            "build",
            "databases",
            "edge",
        ],
    ),
    ("wire", &[]),
    ("web", &["control", "model", "wire"]),
    (
        "gable",
        &[
            "model",
            "blueprint",
            "reconcile",
            "store",
            "telemetry",
            "engine",
            "images",
            "build",
            "databases",
            "edge",
            "control",
            "wire",
            "web",
        ],
    ),
    ("testkit", &[]),
    ("xtask", &[]),
];

/// Tests of any crate may use these.
const ALLOWED_IN_TESTS: &[&str] = &["testkit"];

/// Crates that decide or store: no runtime, no network in them.
const SYNCHRONOUS: &[&str] = &["model", "blueprint", "reconcile", "store", "telemetry"];
/// What makes a crate asynchronous or networked.
const ASYNCHRONOUS: &[&str] = &["tokio", "hyper", "hyper-util", "axum", "reqwest", "async-trait"];

/// Crates of the outside world that only one of ours may know.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("rusqlite", &["store"]),
    ("libcontainer", &["engine"]),
    ("axum", &["web"]),
    ("clap", &["gable"]),
    ("serde-saphyr", &["blueprint"]),
];

/// That one crate uses another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// One of our crates.
    pub from: String,
    /// A crate, ours or not.
    pub to: String,
    /// Whether only tests use it.
    pub is_for_tests: bool,
}

/// Reads the edges from the manifests.
///
/// # Errors
/// When `cargo metadata` fails.
pub fn edges(root: &Path) -> Result<Vec<Edge>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root)
        .output()
        .context("failed to start cargo")?;
    ensure!(
        output.status.success(),
        "cargo metadata failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).context("failed to read JSON")?;
    let mut edges = Vec::new();
    for package in array(&metadata["packages"]) {
        for dependency in array(&package["dependencies"]) {
            edges.push(Edge {
                from: text(&package["name"]),
                to: text(&dependency["name"]),
                is_for_tests: dependency["kind"] == "dev",
            });
        }
        // A crate without dependencies is to be known to the table too.
        edges.push(Edge { from: text(&package["name"]), to: String::new(), is_for_tests: false });
    }
    Ok(edges)
}

/// Finds edges that are not allowed.
#[must_use]
pub fn check(edges: &[Edge]) -> Vec<String> {
    let mut findings: Vec<String> = edges.iter().filter_map(finding).collect();
    findings.sort();
    findings.dedup();
    findings
}

fn finding(edge: &Edge) -> Option<String> {
    let Edge { from, to, is_for_tests } = edge;
    let Some(below) = below(from) else {
        return Some(format!("crate {from} has no line in the table of layers"));
    };
    if self::below(to).is_some() {
        let is_test_helper = *is_for_tests && ALLOWED_IN_TESTS.contains(&to.as_str());
        if below.contains(&to.as_str()) || is_test_helper || from == to {
            return None;
        }
        return Some(format!("crate {from} may not use {to}: it is not below it"));
    }
    if *is_for_tests {
        return None;
    }
    if SYNCHRONOUS.contains(&from.as_str()) && ASYNCHRONOUS.contains(&to.as_str()) {
        return Some(format!("crate {from} may not use {to}: it is synchronous"));
    }
    let (_, owners) = ONLY_IN.iter().find(|(name, _)| name == to)?;
    if owners.contains(&from.as_str()) {
        return None;
    }
    Some(format!("crate {from} may not use {to}: that is for {}", owners.join(", ")))
}

fn below(name: &str) -> Option<&'static [&'static str]> {
    ALLOWED.iter().find(|(known, _)| *known == name).map(|(_, below)| *below)
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_one(from: &str, to: &str, is_for_tests: bool) -> bool {
        check(&[Edge { from: from.into(), to: to.into(), is_for_tests }]).is_empty()
    }

    #[test]
    fn an_edge_upwards_is_found() {
        assert!(check_one("control", "store", false));
        assert!(!check_one("store", "control", false));
        assert!(!check_one("edge", "engine", false));
        assert!(!check_one("model", "blueprint", true));
    }

    #[test]
    fn handlers_reach_the_outside_worlds_through_control_alone() {
        assert!(check_one("web", "control", false));
        for world in ["store", "telemetry", "engine", "reconcile", "blueprint"] {
            assert!(!check_one("web", world, false), "{world}");
            assert!(!check_one("web", world, true), "{world}");
        }
    }

    #[test]
    fn only_tests_may_use_the_testkit() {
        assert!(check_one("gable", "testkit", true));
        assert!(!check_one("gable", "testkit", false));
    }

    #[test]
    fn a_pure_crate_may_not_become_asynchronous() {
        assert!(!check_one("reconcile", "tokio", false));
        assert!(check_one("edge", "tokio", false));
    }

    #[test]
    fn an_outside_world_has_one_crate() {
        assert!(!check_one("control", "rusqlite", false));
        assert!(check_one("store", "rusqlite", false));
    }

    #[test]
    fn every_crate_is_below_those_that_may_use_it() {
        let position = |name: &str| ALLOWED.iter().position(|(known, _)| *known == name);
        for (name, below) in ALLOWED {
            for other in *below {
                assert!(position(other) < position(name), "{name} and {other} form a circle");
            }
        }
    }

    #[test]
    fn a_crate_that_nobody_placed_is_found() {
        assert_eq!(
            check(&[Edge { from: "new".into(), to: String::new(), is_for_tests: false }]).len(),
            1
        );
    }
}
