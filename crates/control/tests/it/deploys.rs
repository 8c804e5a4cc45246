use std::time::Duration;

use control::ops::blueprints::{self, Redeploy};
use control::ops::{deploys, instances, jobs};
use control::testing;
use model::{DeployEvent, DeployId, DeployStatus, DeployTrigger, Revision};

use crate::{Shop, code, instance, nobody};

#[tokio::test]
async fn a_service_that_was_never_live_has_nothing_to_go_back_to() {
    let shop = Shop::open();
    assert_eq!(code(deploys::rollback(&shop.platform, &shop.web, None)), "release-not-found");
    let release = testing::release(&shop.platform, &shop.web);
    let _failed = testing::deploy(
        &shop.platform,
        &release,
        &[DeployEvent::UpdateStarted, DeployEvent::UpdateFailed],
    );
    assert_eq!(code(deploys::rollback(&shop.platform, &shop.web, None)), "release-not-found");
    let _only = testing::live(&shop.platform, &release);
    assert_eq!(code(deploys::rollback(&shop.platform, &shop.web, None)), "release-not-found");
}

#[tokio::test]
async fn a_rollback_takes_the_release_that_was_live_before() {
    let shop = Shop::open();
    let first = testing::release(&shop.platform, &shop.web);
    let second = testing::release(&shop.platform, &shop.web);
    let third = testing::release(&shop.platform, &shop.web);
    let _former = testing::live(&shop.platform, &first);
    let _serving = testing::live(&shop.platform, &third);
    let _failed = testing::deploy(
        &shop.platform,
        &second,
        &[DeployEvent::UpdateStarted, DeployEvent::UpdateFailed],
    );

    let mut wakes = shop.platform.wakes();
    wakes.mark_unchanged();
    let deploy = deploys::rollback(&shop.platform, &shop.web, None).unwrap();
    assert_eq!(deploy.release_id, first.id);
    assert_eq!(deploy.trigger, DeployTrigger::Rollback);
    assert_eq!(deploy.status, DeployStatus::Created);
    assert!(wakes.has_changed().unwrap(), "the tasks were not woken");
}

#[tokio::test]
async fn a_rollback_to_a_number_takes_that_release_or_none() {
    let shop = Shop::open();
    let first = testing::release(&shop.platform, &shop.web);
    let _live = testing::live(&shop.platform, &first);
    let to = |number| deploys::rollback(&shop.platform, &shop.web, Some(Revision(number)));
    assert_eq!(to(1).unwrap().release_id, first.id);
    assert_eq!(code(to(2)), "release-not-found");
}

#[tokio::test]
async fn a_service_that_was_never_deployed_cannot_be_restarted() {
    let shop = Shop::open();
    assert_eq!(code(deploys::restart(&shop.platform, &shop.web)), "not-live");
    let release = testing::release(&shop.platform, &shop.web);
    let _under_way = testing::deploy(&shop.platform, &release, &[]);
    assert_eq!(code(deploys::restart(&shop.platform, &shop.web)), "not-live");
}

#[tokio::test]
async fn a_restart_is_a_deploy_of_the_live_release() {
    let shop = Shop::open();
    let old = testing::release(&shop.platform, &shop.web);
    let new = testing::release(&shop.platform, &shop.web);
    let before = testing::live(&shop.platform, &old);
    let _under_way = testing::deploy(&shop.platform, &new, &[]);
    let deploy = deploys::restart(&shop.platform, &shop.web).unwrap();
    assert_eq!(deploy.release_id, old.id);
    assert_ne!(deploy.id, before.id);
}

#[tokio::test]
async fn a_deploy_is_given_up_once_and_stays_so() {
    let shop = Shop::open();
    let release = testing::release(&shop.platform, &shop.web);
    let deploy = testing::deploy(&shop.platform, &release, &[DeployEvent::UpdateStarted]);
    deploys::cancel(&shop.platform, &deploy.id).unwrap();
    deploys::cancel(&shop.platform, &deploy.id).unwrap();
    let canceled = store::deploys::get(&shop.platform.store, &deploy.id).unwrap().unwrap();
    assert_eq!(canceled.status, DeployStatus::Canceled);

    let live = testing::live(&shop.platform, &release);
    deploys::cancel(&shop.platform, &live.id).unwrap();
    let still = store::deploys::get(&shop.platform.store, &live.id).unwrap().unwrap();
    assert_eq!(still.status, DeployStatus::Live, "what is live is not given up");
}

#[tokio::test]
async fn what_is_not_there_is_refused_by_name() {
    let shop = Shop::open();
    let platform = &shop.platform;
    assert_eq!(code(deploys::restart(platform, &nobody())), "service-not-found");
    assert_eq!(code(deploys::rollback(platform, &nobody(), None)), "service-not-found");
    let no_deploy = DeployId::from_uuid(uuid::Uuid::nil());
    assert_eq!(code(deploys::cancel(platform, &no_deploy)), "not-found");
    assert_eq!(
        code(blueprints::redeploy(platform, &nobody(), Redeploy::default()).await),
        "service-not-found"
    );
    assert_eq!(code(instances::of_service(platform, &nobody()).await), "service-not-found");
    assert_eq!(code(instances::of_service(platform, &shop.web).await), "no-instance");
    let asked = jobs::Asked { command: vec!["true".into()], has_input: false };
    assert_eq!(code(jobs::create(platform, &shop.web, asked)), "not-live");
    assert_eq!(code(jobs::wait(platform, &instance(1), Duration::ZERO).await), "job-not-found");
    assert_eq!(code(jobs::cancel(platform, &instance(1)).await), "job-not-found");
}
