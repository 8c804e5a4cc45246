use std::path::Path;
use std::process::Command;

use control::ops::blueprints::{self, ChangeAction, Redeploy};
use control::ops::findings::Severity;
use model::DeployEvent;

use crate::{Shop, code, request};

/// How an apply ends where there is no edge: by then everything is written down.
const NO_EDGE: &str = "host-refused";

fn repository(path: &Path, blueprint: &str) {
    std::fs::create_dir_all(path).unwrap();
    std::fs::write(path.join("render.yaml"), blueprint).unwrap();
    let done = Command::new("git").args(["init", "-q"]).current_dir(path).status().unwrap();
    assert!(done.success());
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

fn commit(path: &Path, files: &[(&str, &str)], tag: &str) {
    for (name, text) in files {
        std::fs::write(path.join(name), text).unwrap();
    }
    let git = |arguments: &[&str]| {
        let done = Command::new("git")
            .args(["-c", "user.name=A", "-c", "user.email=a@example.com"])
            .args(arguments)
            .current_dir(path)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .status()
            .unwrap();
        assert!(done.success(), "git {arguments:?}");
    };
    git(&["add", "--all"]);
    git(&["commit", "--quiet", "--message", tag]);
    git(&["tag", tag]);
}

fn worker(name: &str, command: &str) -> String {
    format!(
        "  - type: worker\n    name: {name}\n    runtime: node\n    buildCommand: 'true'\n    \
         startCommand: {command}\n"
    )
}

const ENVIRONMENTS: &str = "
databases:
  - name: shared
envVarGroups:
  - name: common
    envVars:
      - key: GREETING
        value: hello
projects:
  - name: shop
    environments:
      - name: production
        databases:
          - name: own
      - name: qa
        databases:
          - name: own
      - name: staging
        services:
          - type: worker
            name: w
            runtime: node
            buildCommand: 'true'
            startCommand: node w.js
            envVars:
              - key: SHARED_URL
                fromDatabase: { name: shared, property: connectionString }
              - key: OWN_URL
                fromDatabase: { name: own, property: connectionString }
              - fromGroup: common
";

#[tokio::test]
async fn what_belongs_to_no_environment_is_seen_from_all_and_what_belongs_to_others_is_named() {
    let shop = Shop::open();
    let path = shop.directory.path().join("repository");
    repository(&path, ENVIRONMENTS);
    let draft = blueprints::plan(&shop.platform, &request(&path)).await.unwrap();
    let missing: Vec<&str> = draft.missing.iter().map(|missing| missing.key.as_str()).collect();
    assert_eq!(missing, ["OWN_URL"], "the database and the group of the root are seen");
    let hint = draft.missing[0].hint.clone().unwrap();
    assert!(hint.contains("there is one in `production`, `qa`"), "{hint}");
    let note = draft.notes.iter().find(|note| note.starts_with("w: SHARED_URL leads to shared"));
    assert!(note.unwrap().contains("staging gets its address and cannot reach it"), "{note:?}");
}

#[tokio::test]
async fn every_project_of_a_file_finds_the_sources_that_it_was_applied_from() {
    let shop = Shop::open();
    let path = shop.directory.path().join("repository");
    repository(&path, ENVIRONMENTS);
    // There is no edge: it ends there, and by then everything is written down.
    assert_eq!(code(blueprints::apply(&shop.platform, &request(&path)).await), NO_EDGE);
    let project = store::projects::by_name(&shop.platform.store, "shop").unwrap().unwrap();
    let staging = store::environments::by_name(&shop.platform.store, &project.id, "staging");
    let staging = staging.unwrap().unwrap();
    let row = store::services::by_name(&shop.platform.store, &staging.id, "w").unwrap().unwrap();
    let release = store::releases::latest(&shop.platform.store, &row.id).unwrap().unwrap();
    let sources = blueprints::sources_of(&shop.platform, &staging.id).unwrap();
    assert_eq!(sources, "repository");
    assert!(shop.platform.sources.has_commit(&sources, &release.commit.id).await);
}

#[tokio::test]
async fn a_commit_is_deployed_with_its_own_blueprint_and_touches_nothing_else() {
    let shop = Shop::open();
    let (platform, path) = (&shop.platform, shop.directory.path().join("repository"));
    repository(&path, "");
    let old = format!("services:\n{}{}", worker("w", "node old.js"), worker("x", "node old.js"));
    commit(&path, &[("render.yaml", &old)], "v1");
    let new = format!(
        "services:\n{}{}{}databases:\n  - name: later\n",
        worker("w", "node new.js"),
        worker("x", "node new.js"),
        worker("y", "node new.js")
    );
    commit(&path, &[("render.yaml", &new)], "v2");
    assert_eq!(code(blueprints::apply(platform, &request(&path)).await), NO_EDGE);
    let find = |name: &str| {
        let all = store::services::list_all(&platform.store).unwrap();
        all.into_iter().find(|row| row.name() == name && row.slug == name).unwrap()
    };
    let (w, x, y) = (find("w"), find("x"), find("y"));
    let count = |row: &store::services::ServiceRow| {
        store::releases::list(&platform.store, &row.id).unwrap().len()
    };
    assert_eq!((count(&w), count(&x), count(&y)), (1, 1, 1));

    let from = |commit: &str| Redeploy { clear_cache: false, commit: Some(commit.to_owned()) };
    assert_eq!(code(blueprints::redeploy(platform, &w.id, from("v1")).await), NO_EDGE);
    let release = store::releases::latest(&platform.store, &w.id).unwrap().unwrap();
    assert_eq!(release.service.start_command.as_deref(), Some("node old.js"));
    assert_eq!((release.commit.subject.as_str(), release.commit.is_dirty), ("v1", false));
    assert_eq!((count(&w), count(&x), count(&y)), (2, 1, 1));
    assert_eq!(find("x").definition.start_command.as_deref(), Some("node new.js"));

    // The same again is a deploy all the same, and says where it comes from.
    assert_eq!(code(blueprints::redeploy(platform, &w.id, from("v1")).await), NO_EDGE);
    assert_eq!(count(&w), 3);
    let refused = |row: &store::services::ServiceRow, commit: &str| {
        let (id, asked) = (row.id.clone(), from(commit));
        async move { code(blueprints::redeploy(platform, &id, asked).await) }
    };
    assert_eq!(refused(&y, "v1").await, "service-not-in-commit");
    assert_eq!(refused(&w, "v9").await, "revision-not-found");
    assert_eq!((count(&w), count(&x), count(&y)), (3, 1, 1));
}

#[tokio::test]
async fn a_service_that_does_not_run_is_started_or_tried_again_and_never_restarted() {
    let shop = Shop::open();
    let (platform, path) = (&shop.platform, shop.directory.path().join("repository"));
    repository(&path, &format!("services:\n{}", worker("w", "node w.js")));
    assert_eq!(code(blueprints::apply(platform, &request(&path)).await), NO_EDGE);
    let rows = store::services::list_all(&platform.store).unwrap();
    let row = rows.into_iter().find(|row| row.name() == "w").unwrap();
    let happen = |event| {
        let deploy = store::deploys::latest(&platform.store, &row.id).unwrap().unwrap();
        let now = jiff::Timestamp::now();
        let change = store::deploys::Change { event, failure: None, now };
        store::deploys::transition(&platform.store, &deploy.id, &change).unwrap();
    };
    let planned = async || {
        let draft = blueprints::plan(platform, &request(&path)).await.unwrap();
        draft.changes.into_iter().find(|change| change.name == "w").unwrap().action
    };
    happen(DeployEvent::UpdateStarted);
    happen(DeployEvent::UpdateFailed);
    assert_eq!(planned().await, ChangeAction::Retry, "the same again");
    // The file is part of the source, so that the artifact is another one: told by its filter.
    let filtered = |command: &str| {
        let text =
            format!("services:\n{}    buildFilter:\n      paths: [w.js]\n", worker("w", command));
        std::fs::write(path.join("render.yaml"), text).unwrap();
    };
    filtered("node w.js");
    assert_eq!(code(blueprints::apply(platform, &request(&path)).await), NO_EDGE);
    filtered("node other.js");
    assert_eq!(planned().await, ChangeAction::Start, "it never ran");
    happen(DeployEvent::UpdateStarted);
    happen(DeployEvent::WentLive);
    assert_eq!(planned().await, ChangeAction::Restart);
    store::environments::set_stopped(&platform.store, &row.environment_id, true).unwrap();
    assert_eq!(planned().await, ChangeAction::Start);
}

#[tokio::test]
async fn a_key_value_instance_asks_for_a_password_unless_somebody_connects_without_one() {
    use secrecy::ExposeSecret as _;
    let shop = Shop::open();
    let (platform, path) = (&shop.platform, shop.directory.path().join("repository"));
    let file = |properties: &[&str]| {
        let variables = properties.iter().map(|property| {
            format!(
                "      - key: CACHE_{property}\n        fromService: {{ name: cache, type: keyvalue, property: {property} }}\n"
            )
        });
        format!(
            "services:\n  - {{ type: keyvalue, name: cache, ipAllowList: [] }}\n{}    envVars:\n{}",
            worker("reader", "node w.js"),
            variables.collect::<String>()
        )
    };
    let cache = || {
        let all = store::key_values::list_all(&platform.store).unwrap();
        all.into_iter().find(|row| row.definition.name == "cache").unwrap()
    };
    let address = || {
        let all = store::services::list_all(&platform.store).unwrap();
        let reader = all.into_iter().find(|row| row.name() == "reader").unwrap();
        let entries = control::ops::env_vars::list(platform, &reader.id).unwrap();
        let entry =
            entries.into_iter().find(|entry| entry.key == "CACHE_connectionString").unwrap();
        entry.shown(true).unwrap()
    };
    repository(&path, &file(&["connectionString"]));
    assert_eq!(code(blueprints::apply(platform, &request(&path)).await), NO_EDGE);
    assert!(cache().definition.compose.has_password);
    let password = store::key_values::credentials(&platform.store, &cache().id).unwrap().app;
    let with = format!("redis://default:{}@", password.expose_secret());
    assert!(address().starts_with(&with), "{}", address());

    // A client that is given a host has no word for a password.
    std::fs::write(path.join("render.yaml"), file(&["connectionString", "host"])).unwrap();
    let draft = blueprints::plan(platform, &request(&path)).await.unwrap();
    let told = draft
        .changes
        .iter()
        .flat_map(|change| &change.details)
        .any(|it| it.contains("no password any more"));
    assert!(told, "{:?}", draft.changes);
    assert_eq!(code(blueprints::apply(platform, &request(&path)).await), NO_EDGE);
    assert!(!cache().definition.compose.has_password);
    assert_eq!(address(), "redis://cache:6379");

    // What runs without a password is not taken by surprise by one.
    std::fs::write(path.join("render.yaml"), file(&["connectionString"])).unwrap();
    assert_eq!(code(blueprints::apply(platform, &request(&path)).await), NO_EDGE);
    assert!(!cache().definition.compose.has_password);
}

#[tokio::test]
async fn a_branch_that_is_not_checked_out_is_built_if_the_repository_has_it() {
    let shop = Shop::open();
    let path = shop.directory.path().join("repository");
    let on =
        |name: &str, branch: &str| format!("{}    branch: {branch}\n", worker(name, "node w.js"));
    let text = format!("services:\n{}{}", on("one", "release"), on("two", "nowhere"));
    repository(&path, &text);
    commit(&path, &[("w.js", "1")], "first");
    let done = Command::new("git").args(["branch", "release"]).current_dir(&path).status().unwrap();
    assert!(done.success());
    commit(&path, &[("w.js", "2")], "second");
    let draft = blueprints::plan(&shop.platform, &request(&path)).await.unwrap();
    let notes = [&draft.notes[..], &draft.source.notes[..]].concat();
    for expected in [
        "one is built from its branch `release`, not from what is checked out",
        "two: this repository has no branch `nowhere`, so what is checked out is built",
    ] {
        assert!(notes.iter().any(|note| note == expected), "{notes:?}");
    }
}
