//! Builds that want more of the machine than they may have, natively and in steps of Dockerfiles.

use model::{Problem, Runtime};

use crate::docker::Scene;
use crate::platform::{Platform, service};
use crate::repository::Repository;

const MIB: u64 = 1 << 20;

/// What becomes of a build command, with limits that are set first.
async fn native(command: &str, limit: impl Fn(&mut build::BuildLimits)) -> Option<Problem> {
    let mut platform = Platform::start().await?;
    limit(&mut platform.config.limits);
    let repository = Repository::committed(&[("a", "1")]);
    let service = service(Runtime::Node, command);
    let request = platform.request(&repository, &service, &[]).await;
    let failure = platform.build(&request).await.unwrap_err();
    let left = std::fs::read_dir(&platform.config.work_dir).unwrap().count();
    assert_eq!(left, 0, "something is left of the build");
    Some(failure.problem)
}

/// What becomes of a step.
async fn step(command: &str, limit: impl Fn(&mut build::BuildLimits)) -> Option<Problem> {
    let mut scene = Scene::set(&format!("FROM base\nRUN {command}\n"), &[]).await?;
    limit(&mut scene.platform.config.limits);
    let problem = scene.problem(&[]).await;
    let detail = problem.detail.as_deref().unwrap_or_default();
    assert!(detail.contains("Dockerfile:5: RUN"), "which step it was: {problem:?}");
    Some(problem)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_wants_too_much_memory_is_told_so() {
    let command = "python3 -c 'x = bytearray(400 << 20); x[::4096] = b\"1\" * (400 << 8)'";
    let Some(problem) = native(command, |limits| limits.memory_bytes = 128 * MIB).await else {
        return;
    };
    assert_eq!(problem.code, "build-out-of-memory", "{problem:?}");
    assert_eq!(problem.message, "the build of web needs more memory than the 0.1 GiB it has");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_starts_processes_without_end_is_told_so() {
    let command = "python3 -c 'import subprocess as s\nwhile True: s.Popen([\"sleep\", \"600\"])'";
    let Some(problem) = native(command, |limits| limits.processes = 100).await else { return };
    assert_eq!(problem.code, "build-too-many-processes", "{problem:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_fills_the_disk_is_ended_wherever_it_writes() {
    for place in ["/tmp", "/run", "/opt/render", "/opt/render/.npm", "."] {
        let command = format!("dd if=/dev/zero of={place}/big bs=1M count=400; sleep 600");
        let limit = |limits: &mut build::BuildLimits| limits.disk.written_bytes = 64 * MIB;
        let Some(problem) = native(&command, limit).await else { return };
        assert_eq!(problem.code, "build-disk-limit", "{place}: {problem:?}");
        assert_eq!(problem.message, "the build of web was ended: it wrote more than 64 MiB");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_wants_too_much_memory_is_told_so() {
    let command = "dd if=/dev/zero of=/dev/null bs=900M count=1";
    let Some(problem) = step(command, |limits| limits.memory_bytes = 300 * MIB).await else {
        return;
    };
    assert_eq!(problem.code, "build-out-of-memory", "{problem:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_starts_processes_without_end_is_told_so() {
    let command = "while true; do sleep 600 & done";
    let Some(problem) = step(command, |limits| limits.processes = 150).await else { return };
    assert_eq!(problem.code, "build-too-many-processes", "{problem:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_fills_the_disk_is_ended() {
    let command = "dd if=/dev/zero of=/big bs=1M count=400; sleep 600";
    let limit = |limits: &mut build::BuildLimits| limits.disk.written_bytes = 64 * MIB;
    let Some(problem) = step(command, limit).await else { return };
    assert_eq!(problem.code, "build-disk-limit", "{problem:?}");
}
