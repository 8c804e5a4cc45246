//! The control plane is gone in the middle of a step: between two statements, and while a deploy
//! waits for another.

use std::time::{Duration, Instant};

use testkit::{Load, Platform};

use crate::rollouts::{deploy, is_settled, next_version, repository, wait_for_phase};

/// A crash that was asked for comes within this time, and what it interrupted ends within it.
const TIME_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_two_steps_fails_no_request_and_the_deploy_ends() {
    let test = "a_crash_between_two_steps_fails_no_request_and_the_deploy_ends";
    let Some(_turn) = crate::turn(test).await else { return };
    let repository = repository(0);
    let platform = crate::platform(&[]);
    crate::up(&platform, &repository).await;
    let load = crate::load(&platform, "app", "/", 8);
    // There is always something to drain when a deploy has gone live.
    let slow = crate::load(&platform, "app", "/slow", 2);
    // What answers while nobody is there to write down that it does.
    for (number, (point, answers)) in (1..).zip([("created", "v0"), ("switched", "v2")]) {
        next_version(&repository, number);
        platform.kill_server().unwrap();
        platform.start_server_that_crashes_at(point).unwrap();
        let before = deploy(&platform).await;
        // It loses the server while it asks, or just after: nobody starts it again but the test.
        let _asked = platform.gable(&["deploy", "app", "--no-wait"]).await.unwrap();
        crashed(&platform, point).await;
        load.wait_for(100).await;
        assert_eq!(platform.get("app", "/").await.unwrap().body, answers, "crashed at {point}");
        assert!(platform.processes("server").is_empty(), "nobody has started it again");

        platform.start_server().unwrap();
        let after = ended(&platform, &format!("v{number}")).await;
        assert_ne!(after["id"], before["id"], "crashed at {point}: the deploy was asked for");
        assert_eq!(after["proof"]["failed"], 0, "crashed at {point}: {after:#}");
    }
    no_request_failed(&platform, [load, slow]).await;
    platform.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_that_waits_for_another_is_still_asked_for_after_a_kill() {
    let test = "a_deploy_that_waits_for_another_is_still_asked_for_after_a_kill";
    let Some(_turn) = crate::turn(test).await else { return };
    let repository = repository(1);
    let platform = crate::platform(&[]);
    crate::up(&platform, &repository).await;
    let load = crate::load(&platform, "app", "/", 8);
    let before = deploy(&platform).await;
    next_version(&repository, 1);
    platform.gable(&["deploy", "app", "--no-wait"]).await.unwrap().ok().unwrap();
    let first = wait_for_phase(&platform, &before, "build_in_progress").await;
    next_version(&repository, 2);
    platform.gable(&["deploy", "app", "--no-wait"]).await.unwrap().ok().unwrap();
    wait_for_phase(&platform, &first, "created").await;
    platform.kill_server().unwrap();
    load.wait_for(100).await;
    platform.start_server().unwrap();
    let after = ended(&platform, "v2").await;
    assert_eq!(after["proof"]["failed"], 0, "{after:#}");
    no_request_failed(&platform, [load]).await;
    platform.stop().await.unwrap();
}

/// Waits until the server has ended itself.
async fn crashed(platform: &Platform, point: &str) {
    let until = Instant::now() + TIME_MAX;
    while !platform.processes("server").is_empty() {
        assert!(Instant::now() < until, "the server never came to {point}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Waits until this version is live and all that came before it is gone.
async fn ended(platform: &Platform, version: &str) -> serde_json::Value {
    let until = Instant::now() + TIME_MAX;
    loop {
        let now = deploy(platform).await;
        let is_over = now["status"] == "live" && is_settled(platform).await;
        if is_over && platform.get("app", "/").await.unwrap().body == version {
            return now;
        }
        assert!(Instant::now() < until, "{version} is not live: {now:#}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn no_request_failed(platform: &Platform, loads: impl IntoIterator<Item = Load>) {
    for load in loads {
        let tally = load.stop().await;
        assert_eq!(tally.failed, 0, "{tally:?} on {}", platform.port());
    }
}
