use control::ops::blueprints;
use control::ops::env_vars::{self, Change};
use control::testing;
use model::EnvOwner;
use secrecy::ExposeSecret;
use store::values::Slot;

use crate::{Shop, code, nobody};

fn set(key: &str, value: &str) -> Change {
    Change { set: vec![(key.to_owned(), value.into())], unset: Vec::new(), deploy: false }
}

fn unset(key: &str) -> Change {
    Change { set: Vec::new(), unset: vec![key.to_owned()], deploy: false }
}

fn kept(shop: &Shop, key: &str) -> Option<String> {
    let owner = EnvOwner::Service("web".to_owned());
    let slot = Slot { environment_id: &shop.environment.id, owner: &owner, key };
    let value = store::values::get(&shop.platform.store, slot).unwrap()?;
    Some(value.value.expose_secret().to_owned())
}

#[tokio::test]
async fn a_value_given_by_hand_is_kept_until_it_is_taken_back() {
    let shop = Shop::open();
    let change = |change| env_vars::change(&shop.platform, &shop.web, change);
    assert!(change(set("KEY", "one")).await.unwrap().has_changed);
    assert_eq!(kept(&shop, "KEY").as_deref(), Some("one"));
    assert!(change(set("KEY", "two")).await.unwrap().has_changed);
    assert_eq!(kept(&shop, "KEY").as_deref(), Some("two"));
    assert!(change(unset("KEY")).await.unwrap().has_changed);
    assert_eq!(kept(&shop, "KEY"), None);
    assert!(!change(unset("KEY")).await.unwrap().has_changed, "there was nothing to take back");
}

#[tokio::test]
async fn a_change_deploys_nothing_unless_it_is_asked_to() {
    let shop = Shop::open();
    let changed = env_vars::change(&shop.platform, &shop.web, set("KEY", "one")).await.unwrap();
    assert!(changed.deploys.is_empty());
    assert!(store::deploys::latest(&shop.platform.store, &shop.web).unwrap().is_none());
}

#[tokio::test]
async fn a_change_of_a_service_that_is_not_there_is_refused() {
    let shop = Shop::open();
    let refused = env_vars::change(&shop.platform, &nobody(), set("KEY", "one")).await;
    assert_eq!(code(refused), "service-not-found");
}

#[tokio::test]
async fn variables_are_those_of_the_newest_release_and_secrets_are_masked() {
    let shop = Shop::open();
    assert_eq!(code(env_vars::list(&shop.platform, &shop.web)), "never-deployed");
    let release = testing::release(&shop.platform, &shop.web);
    let _deploy = testing::deploy(&shop.platform, &release, &[]);
    let entries = env_vars::list(&shop.platform, &shop.web).unwrap();
    let shown = |key: &str, is_revealed| {
        entries.iter().find(|entry| entry.key == key).unwrap().shown(is_revealed).unwrap()
    };
    assert_eq!(shown("GREETING", false), "hello");
    assert_eq!(shown("TOKEN", true), "s3cret");
    assert_ne!(shown("TOKEN", false), "s3cret");
    assert_eq!(shown("TOKEN", false), env_vars::mask("another"), "a mask tells nothing");
}

#[tokio::test]
async fn what_a_person_set_is_masked_whatever_it_is_called_and_in_old_releases_too() {
    let shop = Shop::open();
    let path = shop.directory.path().join("repository");
    std::fs::create_dir_all(&path).unwrap();
    let text = "services:\n  - {type: worker, name: w, runtime: node, buildCommand: x, startCommand: x, \
                envVars: [{key: STRIPE, sync: false}, {key: COLOUR, value: red}]}\n  \
                - {type: worker, name: v, runtime: node, buildCommand: x, startCommand: x, \
                envVars: [{key: COPY, fromService: {type: worker, name: w, envVarKey: STRIPE}}]}\n";
    std::fs::write(path.join("render.yaml"), text).unwrap();
    let given = blueprints::Assignment {
        service: Some("w".to_owned()),
        key: "STRIPE".to_owned(),
        value: "sk_live_1".into(),
    };
    let request = blueprints::Request { set: vec![given], ..crate::request(&path) };
    // There is no edge: it ends there, and by then everything is written down.
    assert_eq!(code(blueprints::apply(&shop.platform, &request).await), "host-refused");
    let shown = |service: &str, key: &str| {
        let rows = store::services::list_all(&shop.platform.store).unwrap();
        let row = rows.iter().find(|row| row.name() == service).unwrap();
        let entries = env_vars::list(&shop.platform, &row.id).unwrap();
        entries.iter().find(|entry| entry.key == key).unwrap().shown(false).unwrap()
    };
    assert_eq!(shown("w", "COLOUR"), "red");
    assert_eq!(shown("w", "STRIPE"), env_vars::mask(""));
    assert_eq!(shown("v", "COPY"), env_vars::mask(""));
}

#[tokio::test]
async fn a_value_given_for_a_variable_of_a_compose_file_is_masked_where_texts_hold_it() {
    let shop = Shop::open();
    let path = shop.directory.path().join("repository");
    std::fs::create_dir_all(&path).unwrap();
    let text = "services:\n  w:\n    build: .\n    environment:\n      A: ${STRIPE}\n      \
                B: x-${STRIPE}-y\n      C: plain\n";
    std::fs::write(path.join("compose.yaml"), text).unwrap();
    std::fs::write(path.join("Dockerfile"), "FROM scratch\n").unwrap();
    let given = blueprints::Assignment {
        service: None,
        key: "STRIPE".to_owned(),
        value: "sk_live_1".into(),
    };
    let mut request = blueprints::Request { set: vec![given], ..crate::request(&path) };
    let shown = |key: &str| {
        let rows = store::services::list_all(&shop.platform.store).unwrap();
        let row = rows.iter().find(|row| row.name() == "w").unwrap();
        let entries = env_vars::list(&shop.platform, &row.id).unwrap();
        entries.iter().find(|entry| entry.key == key).unwrap().shown(false).unwrap()
    };
    // The second time it is a value that was kept.
    for _ in 0..2 {
        assert_eq!(code(blueprints::apply(&shop.platform, &request).await), "host-refused");
        assert_eq!((shown("A"), shown("B")), (env_vars::mask(""), env_vars::mask("")));
        assert_eq!(shown("C"), "plain");
        request.set.clear();
    }
}

#[tokio::test]
async fn a_name_that_no_variable_can_have_is_refused_by_every_way_in() {
    let shop = Shop::open();
    let refused = env_vars::change(&shop.platform, &shop.web, set("MY KEY", "one")).await;
    assert_eq!(code(refused), "bad-name");
    let assignment = |key: &str| blueprints::Assignment {
        service: None,
        key: key.to_owned(),
        value: "one".into(),
    };
    let path = shop.directory.path();
    let named = |set| blueprints::Request { set, ..crate::request(path) };
    for key in ["", "A B", "A\nB", "A=B", "A\u{1b}B"] {
        let request = named(vec![assignment(key)]);
        assert_eq!(code(blueprints::plan(&shop.platform, &request).await), "bad-name", "{key:?}");
        assert_eq!(code(blueprints::apply(&shop.platform, &request).await), "bad-name", "{key:?}");
    }
    let operator_env = Some(vec![("A B".to_owned(), "one".to_owned())]);
    let request = blueprints::Request { operator_env, ..crate::request(path) };
    assert_eq!(code(blueprints::apply(&shop.platform, &request).await), "bad-name");
    let project = Some("shop\u{1b}[2J".to_owned());
    let request = blueprints::Request { project, ..crate::request(path) };
    assert_eq!(code(blueprints::plan(&shop.platform, &request).await), "bad-name");
}
