//! Which project a directory is, and what of it is asked for.

use std::path::Path;

use control::ops::blueprints::{self, Assignment, ChangeAction, Redeploy, Request};

use crate::{Shop, code, request};

/// How an apply ends where there is no edge: by then everything is written down.
const NO_EDGE: &str = "host-refused";
const TEXT: &str = "services:\n  - {type: worker, name: w, runtime: node, buildCommand: x, startCommand: x, \
    envVars: [{key: discovery.type, sync: false}, {fromGroup: nobody}]}\n\
    databases: [{name: db}]\n";

fn folder(path: &Path, text: &str) {
    std::fs::create_dir_all(path).unwrap();
    std::fs::write(path.join("render.yaml"), text).unwrap();
}

fn names(shop: &Shop) -> Vec<String> {
    let projects = store::projects::list(&shop.platform.store).unwrap();
    projects.into_iter().map(|project| project.name).filter(|name| name != "shop").collect()
}

#[tokio::test]
async fn another_checkout_is_asked_about_and_gets_no_empty_database_by_itself() {
    let shop = Shop::open();
    let (first, second) =
        (shop.directory.path().join("one/app"), shop.directory.path().join("two/app"));
    folder(&first, TEXT);
    folder(&second, TEXT);
    let apply = async |request: Request| code(blueprints::apply(&shop.platform, &request).await);
    assert_eq!(apply(request(&first)).await, NO_EDGE);
    let draft = blueprints::plan(&shop.platform, &request(&second)).await.unwrap();
    let twin = draft.twin.unwrap();
    assert_eq!(
        (draft.project.as_str(), twin.project.as_str(), twin.is_gone),
        ("app-2", "app", false)
    );
    assert_eq!(Path::new(&twin.source), first.canonicalize().unwrap());
    assert_eq!(apply(request(&second)).await, "project-exists");
    assert_eq!(names(&shop), ["app"], "nothing was made");

    // Once it was said, nobody asks again.
    let named = Request { project: Some("app-2".to_owned()), ..request(&second) };
    assert_eq!(apply(named).await, NO_EDGE);
    assert_eq!(names(&shop), ["app", "app-2"]);
    assert_eq!(apply(request(&second)).await, NO_EDGE);
    assert_eq!(apply(request(&first)).await, NO_EDGE);
    assert_eq!(names(&shop), ["app", "app-2"]);
}

#[tokio::test]
async fn a_moved_folder_takes_its_project_over_with_its_data() {
    let shop = Shop::open();
    let (old, new) = (shop.directory.path().join("old/app"), shop.directory.path().join("new/app"));
    folder(&old, TEXT);
    let apply = async |request: Request| code(blueprints::apply(&shop.platform, &request).await);
    assert_eq!(apply(request(&old)).await, NO_EDGE);
    let databases = || {
        let all = store::databases::list_all(&shop.platform.store).unwrap();
        all.into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    let before = databases();
    std::fs::create_dir_all(new.parent().unwrap()).unwrap();
    std::fs::rename(&old, &new).unwrap();
    let draft = blueprints::plan(&shop.platform, &request(&new)).await.unwrap();
    assert!(draft.twin.unwrap().is_gone);
    assert_eq!(apply(request(&new)).await, "project-exists");
    let over = Request { project: Some("app".to_owned()), ..request(&new) };
    assert_eq!(apply(over).await, NO_EDGE);
    assert_eq!((names(&shop), databases()), (vec!["app".to_owned()], before));
    let draft = blueprints::plan(&shop.platform, &request(&new)).await.unwrap();
    assert_eq!((draft.project.as_str(), draft.twin), ("app", None));
    let database = draft.changes.iter().find(|change| change.name == "db").unwrap();
    assert_eq!(database.action, ChangeAction::Keep);
}

#[tokio::test]
async fn only_what_the_file_declares_can_be_asked_for() {
    let shop = Shop::open();
    let path = shop.directory.path().join("app");
    folder(&path, TEXT);
    let only = |name: &str| Request { only: vec![name.to_owned()], ..request(&path) };
    for (name, meant) in [("wx", "`w`"), ("bd", "`db`")] {
        let error = blueprints::plan(&shop.platform, &only(name)).await.err().unwrap().problem();
        assert_eq!(error.code, "service-not-found");
        assert_eq!(error.detail.as_deref(), Some("it declares db, w"));
        assert_eq!(error.hint.as_deref(), Some(format!("did you mean {meant}?").as_str()));
        assert_eq!(code(blueprints::apply(&shop.platform, &only(name)).await), "service-not-found");
    }
    assert_eq!(names(&shop), Vec::<String>::new());
    // A data store alone: it is made, and no service is deployed.
    assert_eq!(code(blueprints::apply(&shop.platform, &only("db")).await), NO_EDGE);
    assert_eq!(store::databases::list_all(&shop.platform.store).unwrap().len(), 1);
    let services = store::services::list_all(&shop.platform.store).unwrap();
    let service = services.iter().find(|row| row.name() == "w").unwrap();
    assert!(store::deploys::latest(&shop.platform.store, &service.id).unwrap().is_none());
}

#[tokio::test]
async fn every_command_that_is_shown_for_a_missing_value_gives_it() {
    let shop = Shop::open();
    let path = shop.directory.path().join("app");
    folder(&path, TEXT);
    let draft = blueprints::plan(&shop.platform, &request(&path)).await.unwrap();
    let hints: Vec<&str> =
        draft.missing.iter().filter_map(|missing| missing.hint.as_deref()).collect();
    assert!(hints.iter().any(|hint| hint.contains("`--set w.discovery.type=…`")), "{hints:?}");
    assert!(!hints.iter().any(|hint| hint.contains("w.*")), "{hints:?}");
    // As the command line takes it apart: what stands before the last dot may be the service.
    let set = vec![Assignment {
        service: Some("w.discovery".to_owned()),
        key: "type".to_owned(),
        value: "single-node".into(),
    }];
    let draft = blueprints::plan(&shop.platform, &Request { set, ..request(&path) }).await.unwrap();
    assert!(!draft.missing.iter().any(|missing| missing.key == "discovery.type"));
}

#[tokio::test]
async fn compose_files_nested_too_deep_are_refused_with_the_reason_and_restart_nothing() {
    let shop = Shop::open();
    let path = shop.directory.path().join("app");
    std::fs::create_dir_all(&path).unwrap();
    let write = |depth: usize| {
        for number in 0..depth {
            let name =
                if number == 0 { "compose.yaml".to_owned() } else { format!("{number}.yaml") };
            let include = match number + 1 {
                next if next == depth => String::new(),
                next => format!("include: [{next}.yaml]\n"),
            };
            let text = format!("{include}services:\n  s{number}: {{build: .}}\n");
            std::fs::write(path.join(name), text).unwrap();
        }
    };
    std::fs::write(path.join("Dockerfile"), "FROM scratch\n").unwrap();
    write(2);
    assert_eq!(code(blueprints::apply(&shop.platform, &request(&path)).await), NO_EDGE);
    let services = store::services::list_all(&shop.platform.store).unwrap();
    let service = services.into_iter().find(|row| row.name() == "s0").unwrap();
    let deploys = || store::deploys::list(&shop.platform.store, &service.id, 10).unwrap().len();
    let before = deploys();
    write(12);
    let draft = blueprints::plan(&shop.platform, &request(&path)).await.unwrap();
    assert!(draft.is_refused);
    let findings = draft.findings();
    assert!(findings[0].message.contains("is named over more than 8 other files"), "{findings:?}");
    let again = blueprints::redeploy(&shop.platform, &service.id, Redeploy::default()).await;
    assert_eq!(code(again), "blueprint-refused");
    assert_eq!(deploys(), before, "it was restarted instead");
}
