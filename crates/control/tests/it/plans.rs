use std::path::Path;
use std::process::Command;

use control::ops::blueprints::{self, Request};
use control::ops::findings::Severity;

use crate::{Shop, code};

fn repository(path: &Path, blueprint: &str) {
    std::fs::create_dir_all(path).unwrap();
    std::fs::write(path.join("render.yaml"), blueprint).unwrap();
    let done = Command::new("git").args(["init", "-q"]).current_dir(path).status().unwrap();
    assert!(done.success());
}

fn request(path: &Path) -> Request {
    Request {
        path: path.to_owned(),
        blueprint_file: None,
        is_strict: false,
        project: None,
        set: Vec::new(),
        operator_env: None,
        only: Vec::new(),
    }
}

#[tokio::test]
async fn a_finding_shows_its_place_in_the_file() {
    let shop = Shop::open();
    let path = shop.directory.path().join("repository");
    let blueprint = "services:\n  - type: web\n    name: api\n    runtime: node\n    \
                     buildCommand: 'true'\n    startCommand: node server.js\n    pland: starter\n";
    repository(&path, blueprint);
    let draft = blueprints::plan(&shop.platform, &request(&path)).await.unwrap();
    let findings = draft.findings();
    let found = findings.iter().find(|finding| finding.line == 7).unwrap();
    assert_ne!(found.severity, Severity::Error);
    assert_eq!(found.column, 5);
    assert!(found.rendered.contains("pland: starter"), "{}", found.rendered);
    assert!(found.rendered.contains("render.yaml:7:5"), "{}", found.rendered);
    assert!(!found.rendered.contains('\u{1b}'), "there are colours in it");
}

#[tokio::test]
async fn a_plan_writes_nothing_down() {
    let shop = Shop::open();
    let path = shop.directory.path().join("repository");
    repository(
        &path,
        "services:\n  - type: worker\n    name: w\n    runtime: node\n    \
                       buildCommand: 'true'\n    startCommand: node w.js\n",
    );
    let before = store::projects::list(&shop.platform.store).unwrap();
    let draft = blueprints::plan(&shop.platform, &request(&path)).await.unwrap();
    assert!(!draft.is_refused);
    assert_eq!(draft.changes.len(), 1);
    assert_eq!(store::projects::list(&shop.platform.store).unwrap(), before);
}

#[tokio::test]
async fn a_directory_without_a_blueprint_is_refused() {
    let shop = Shop::open();
    let path = shop.directory.path().join("empty");
    repository(&path, "");
    std::fs::remove_file(path.join("render.yaml")).unwrap();
    let refused = blueprints::plan(&shop.platform, &request(&path)).await;
    assert_eq!(code(refused), "blueprint-not-found");
}
