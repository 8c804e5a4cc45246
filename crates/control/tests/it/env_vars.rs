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
