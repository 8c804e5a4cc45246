//! What is found again after something was killed.

use std::time::Duration;

use engine::Driver;
use model::InstanceState;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::rig::{Rig, cgroups_of, is_root, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_new_driver_finds_what_runs_and_what_has_ended_meanwhile() {
    if !is_root() {
        return;
    }
    let mut rig = Rig::new();
    let runs = rig.shell("echo begun; trap 'exit 4' TERM; while :; do sleep 0.05; done");
    let ends = rig.shell("echo begun; read x < /tmp/go; exit 6");
    let mut ends = ends;
    ends.command = vec![
        "/bin/sh".to_owned(),
        "-c".to_owned(),
        "mkfifo /tmp/go; echo begun; read x < /tmp/go; exit 6".to_owned(),
    ];
    let address = rig.start(&runs).await;
    rig.start(&ends).await;
    rig.said(&runs.id, "begun").await;
    rig.said(&ends.id, "begun").await;

    rig.driver = None;
    // It ends while nobody is there.
    let go = rig.state.path().join("scratch").join(ends.id.as_str()).join("tmp/go");
    std::fs::write(go, "now\n").unwrap();
    let exit_record = rig.run.path().join("run/instances").join(ends.id.as_str()).join("exit.json");
    until("the exit to be recorded", || exit_record.exists()).await;
    rig.renew();

    let seen = rig.driver().recover().await.unwrap();
    assert_eq!(seen.len(), 2);
    assert!(matches!(
        rig.driver().observe(&runs.id).await,
        Some(InstanceState::Running { address: found, .. }) if found == address
    ));
    assert_eq!(rig.ended(&ends.id).await.code, Some(6));
    // All of it works as before, and the address is not given away.
    let another = rig.start(&rig.shell("sleep 600")).await;
    assert_ne!(another, address);
    rig.driver().stop(&runs.id, Duration::from_secs(10)).await.unwrap();
    assert_eq!(rig.ended(&runs.id).await.code, Some(4));
}

fn shim_pid(rig: &Rig, id: &model::InstanceId) -> i32 {
    let record = rig.run.path().join("run/instances").join(id.as_str()).join("shim.json");
    let record: serde_json::Value =
        serde_json::from_slice(&std::fs::read(record).unwrap()).unwrap();
    i32::try_from(record["pid"].as_i64().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_shim_takes_its_instance_with_it_and_is_noticed() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    let spec = rig.shell("echo begun; sleep 600");
    rig.start(&spec).await;
    rig.said(&spec.id, "begun").await;
    kill(Pid::from_raw(shim_pid(&rig, &spec.id)), Signal::SIGKILL).unwrap();
    let exit = rig.ended(&spec.id).await;
    assert_eq!(exit.limit.as_deref(), Some("the process that held it was killed"));
    rig.driver().remove(&spec.id).await.unwrap();
    until("the cgroups to be gone", || cgroups_of(&spec.id).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shim_that_was_killed_while_nobody_looked_is_found_as_ended() {
    if !is_root() {
        return;
    }
    let mut rig = Rig::new();
    let spec = rig.shell("sleep 600");
    rig.start(&spec).await;
    let pid = shim_pid(&rig, &spec.id);
    rig.driver = None;
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    until("the shim to be gone", || !std::path::Path::new(&format!("/proc/{pid}")).exists()).await;
    rig.renew();
    let seen = rig.driver().recover().await.unwrap();
    assert!(
        matches!(&seen[..], [one] if matches!(one.state, InstanceState::Exited(_))),
        "{seen:?}"
    );
    rig.driver().remove(&spec.id).await.unwrap();
    assert!(rig.driver().recover().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_was_interrupted_never_was_and_can_be_made_again() {
    if !is_root() {
        return;
    }
    let mut rig = Rig::new();
    let spec = rig.shell("sleep 600");
    rig.start(&spec).await;
    rig.driver().stop(&spec.id, Duration::ZERO).await.unwrap();
    rig.driver = None;
    // As if the control plane had been killed between the order and the birth of the shim.
    let directory = rig.run.path().join("run/instances").join(spec.id.as_str());
    for file in ["exit.json", "running.json", "shim.json"] {
        std::fs::remove_file(directory.join(file)).unwrap();
    }
    let half = rig.run.path().join("run/instances/ins-00000000000000000000000000");
    std::fs::create_dir(&half).unwrap();
    rig.renew();
    let seen = rig.driver().recover().await.unwrap();
    assert!(seen.is_empty(), "{seen:?}");
    assert!(!directory.exists(), "nothing of it is left");
    assert!(!half.exists(), "a directory without an order is nothing");
    rig.start(&spec).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_goes_on_while_no_driver_is_there() {
    if !is_root() {
        return;
    }
    let mut rig = Rig::new();
    let spec = rig.shell("i=0; while :; do i=$((i+1)); echo line $i; sleep 0.02; done");
    rig.start(&spec).await;
    rig.said(&spec.id, "line 1").await;
    rig.driver = None;
    let lines = rig.output(&spec.id).lines().count();
    until("more lines", || rig.output(&spec.id).lines().count() > lines + 5).await;
}
