//! The control plane is killed in the middle of a Dockerfile's build and called again.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use model::{BuildId, InstanceId};
use uuid::Uuid;

use crate::docker::{Scene, processes_with, sleepers};
use crate::platform::helper;

/// The last step waits in the first attempt only: then its cache says that it was there before.
const DOCKERFILE: &str = "FROM base\nRUN cat /proc/sys/kernel/random/uuid > /once\n\
    RUN --mount=type=cache,target=/kept [ -e /kept/been ] || { touch /kept/been; sleep 765432; }\n";

/// Until the last step runs. A disk that others write to makes builders slow.
async fn until_it_sleeps(time: &str, control: &mut Child) {
    let sleeps = async {
        while sleepers(time) == 0 {
            assert_eq!(control.try_wait().unwrap(), None, "the build has ended by itself");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(180), sleeps).await.expect("the step never ran");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_a_step_runs_it_leaves_nothing_running_and_is_repeated() {
    let Some(scene) = Scene::set(DOCKERFILE, &[]).await else { return };
    let platform = &scene.platform;
    let build_id = BuildId::from_uuid(Uuid::now_v7());
    let instance_id = InstanceId::from_uuid(Uuid::now_v7());
    let control = || {
        Command::new(helper())
            .arg("build")
            .arg(platform.dir.path())
            .arg(scene.repository.path())
            .args([platform.environment_id.as_str(), build_id.as_str()])
            .args([instance_id.as_str(), "Dockerfile"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let mut killed = control();
    until_it_sleeps("765432", &mut killed).await;
    killed.kill().unwrap();
    killed.wait().unwrap();

    let again = control().wait_with_output().unwrap();
    let said = String::from_utf8(again.stdout).unwrap();
    assert!(said.lines().last().unwrap_or_default().starts_with("done "), "{said}");
    assert_eq!(sleepers("765432"), 0, "the first builder still runs");
    scene.nothing_is_left();
    assert_eq!(fs::read_dir(&platform.config.work_dir).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_runs_on_when_the_control_plane_is_killed_for_good() {
    let dockerfile = DOCKERFILE.replace("765432", "876543");
    let Some(scene) = Scene::set(&dockerfile, &[]).await else { return };
    let platform = &scene.platform;
    let mut killed = Command::new(helper())
        .arg("build")
        .arg(platform.dir.path())
        .arg(scene.repository.path())
        .args([platform.environment_id.as_str(), BuildId::from_uuid(Uuid::now_v7()).as_str()])
        .args([InstanceId::from_uuid(Uuid::now_v7()).as_str(), "Dockerfile"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    until_it_sleeps("876543", &mut killed).await;
    killed.kill().unwrap();
    killed.wait().unwrap();
    let gone = async {
        let place = platform.dir.path().to_string_lossy().into_owned();
        while sleepers("876543") > 0 || !processes_with(&place).is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("the step runs on");
    scene.nothing_is_left();
}
