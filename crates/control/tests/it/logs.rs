use control::ops::logs::{self, Line, Query};
use control::testing;
use jiff::Timestamp;
use model::{DeployId, Instance, InstancePurpose};

use crate::{Shop, code, instance, nobody};

fn texts(lines: &[Line]) -> Vec<&str> {
    lines.iter().map(|line| line.text.as_str()).collect()
}

#[tokio::test]
async fn lines_of_several_instances_come_in_the_order_of_their_times() {
    let shop = Shop::open();
    let worker = testing::service(&shop.platform, &shop.environment, "worker");
    testing::log(&shop.platform, shop.web.as_str(), instance(1).as_str(), &[(1, "a"), (4, "d")]);
    testing::log(&shop.platform, worker.as_str(), instance(2).as_str(), &[(2, "b"), (3, "c")]);
    let (all, _) = logs::open(&shop.platform, Query::default()).unwrap();
    assert_eq!(texts(&all), ["a", "b", "c", "d"]);
    assert_eq!(all[1].owner, "worker");
    assert_eq!(all[1].instance, instance(2).to_string());
    let query = Query { tail: Some(2), ..Query::default() };
    assert_eq!(texts(&logs::open(&shop.platform, query).unwrap().0), ["c", "d"]);
    let query = Query { tail: Some(0), ..Query::default() };
    assert!(logs::open(&shop.platform, query).unwrap().0.is_empty());
    let query = Query { owner_id: Some(shop.web.to_string()), ..Query::default() };
    assert_eq!(texts(&logs::open(&shop.platform, query).unwrap().0), ["a", "d"]);
    let since = Some(Timestamp::from_second(2).unwrap());
    let query = Query { since, ..Query::default() };
    assert_eq!(texts(&logs::open(&shop.platform, query).unwrap().0), ["c", "d"]);
}

#[tokio::test]
async fn a_follower_goes_on_behind_the_tail_and_finds_new_services() {
    let shop = Shop::open();
    testing::log(&shop.platform, shop.web.as_str(), instance(1).as_str(), &[(1, "old")]);
    let query = Query { tail: Some(0), ..Query::default() };
    let (_, mut follower) = logs::open(&shop.platform, query).unwrap();
    testing::log(&shop.platform, shop.web.as_str(), instance(1).as_str(), &[(2, "new")]);
    testing::log(&shop.platform, shop.web.as_str(), instance(2).as_str(), &[(3, "second")]);
    assert_eq!(texts(&follower.poll()), ["new", "second"]);
    assert!(follower.poll().is_empty());

    let late = testing::service(&shop.platform, &shop.environment, "late");
    testing::log(&shop.platform, late.as_str(), instance(3).as_str(), &[(4, "hello")]);
    assert!(follower.poll().is_empty());
    follower.refresh().unwrap();
    assert_eq!(texts(&follower.poll()), ["hello"]);
}

#[tokio::test]
async fn the_log_of_one_instance_is_over_when_it_is_neither_there_nor_about_to_be() {
    let shop = Shop::open();
    let about_to_start = Instance {
        id: instance(1),
        purpose: InstancePurpose::Job(shop.web.clone()),
        ordinal: 0,
        restarts: 0,
        created_at: Timestamp::now(),
    };
    store::instances::insert(&shop.platform.store, &about_to_start, &shop.web).unwrap();
    let query = Query { instance_id: Some(instance(1)), ..Query::default() };
    let (_, follower) = logs::open(&shop.platform, query).unwrap();
    assert!(!follower.is_over().await.unwrap());
    store::instances::delete(&shop.platform.store, &instance(1)).unwrap();
    assert!(follower.is_over().await.unwrap());

    let (_, whole_project) = logs::open(&shop.platform, Query::default()).unwrap();
    assert!(!whole_project.is_over().await.unwrap(), "others may start");
}

#[tokio::test]
async fn logs_of_what_is_not_there_are_refused() {
    let shop = Shop::open();
    let of = |owner: String| {
        logs::open(&shop.platform, Query { owner_id: Some(owner), ..Query::default() })
    };
    assert_eq!(code(of(nobody().to_string())), "service-not-found");
    assert_eq!(code(of("dpg-0".to_owned())), "not-found");
    let database = testing::database(&shop.platform, &shop.environment, "db");
    assert!(of(database.to_string()).is_ok());
    let deploy_id = Some(DeployId::from_uuid(uuid::Uuid::nil()));
    let refused = logs::open(&shop.platform, Query { deploy_id, ..Query::default() });
    assert_eq!(code(refused), "not-found");
}
