//! The control plane is killed in the middle of a build and called again.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use engine::Driver as _;
use model::{BuildId, InstanceId};
use uuid::Uuid;

use crate::platform::{Platform, helper};
use crate::repository::{PROJECT, Repository};

/// Counts its runs in a cache, where they survive, and waits until it may end.
const COMMAND: &str = "echo run >> ~/.npm/runs; until [ -e ~/.npm/go ]; do sleep 0.05; done; \
                       cp a out; for i in $(seq 2000); do echo $i > file-$i; done";

struct Control {
    child: Child,
    output: BufReader<ChildStdout>,
}

struct Scene {
    platform: Platform,
    repository: Repository,
    build_id: BuildId,
    instance_id: InstanceId,
}

impl Scene {
    async fn set() -> Option<Self> {
        let platform = Platform::start().await?;
        let repository = Repository::committed(&[("a", "1")]);
        let build_id = BuildId::from_uuid(Uuid::now_v7());
        let instance_id = InstanceId::from_uuid(Uuid::now_v7());
        Some(Self { platform, repository, build_id, instance_id })
    }

    fn control(&self) -> Control {
        let mut child = Command::new(helper())
            .arg("build")
            .arg(self.platform.dir.path())
            .arg(self.repository.path())
            .args([self.platform.environment_id.as_str(), self.build_id.as_str()])
            .args([self.instance_id.as_str(), COMMAND])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Control { child, output }
    }

    fn allow_to_end(&self) {
        let caches = self.platform.config.project_caches(PROJECT).join("npm");
        fs::create_dir_all(&caches).unwrap();
        fs::write(caches.join("go"), "").unwrap();
    }

    fn runs(&self) -> usize {
        let runs = self.platform.config.project_caches(PROJECT).join("npm/runs");
        fs::read_to_string(runs).unwrap_or_default().lines().count()
    }

    fn until_it_runs(&self) {
        while self.runs() == 0 {
            std::thread::yield_now();
        }
    }

    /// Calls the control plane once more and checks what it makes; returns what it said.
    fn finish(&self) -> Vec<String> {
        let mut control = self.control();
        let said: Vec<String> = (&mut control.output).lines().map(Result::unwrap).collect();
        control.child.wait().unwrap();
        let path = said.last().and_then(|line| line.strip_prefix("done "));
        let path = path.unwrap_or_else(|| panic!("no artifact: {said:?}"));
        let tree = Path::new(path).join("tree");
        assert_eq!(fs::read_to_string(tree.join("out")).unwrap(), "1");
        assert_eq!(fs::read_dir(&tree).unwrap().count(), 2000 + 3);
        let work = &self.platform.config.work_dir;
        assert_eq!(fs::read_dir(work).unwrap().count(), 0, "something is left of the build");
        said
    }

    async fn close(self) {
        self.platform.driver.recover().await.unwrap();
        assert_eq!(self.platform.driver.observe(&self.instance_id).await, None);
    }
}

impl Control {
    fn until(&mut self, word: &str) {
        let mut line = String::new();
        while line.trim_end() != word {
            line.clear();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "`{word}` never came");
        }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_checking_out_it_starts_over() {
    let Some(scene) = Scene::set().await else { return };
    let mut control = scene.control();
    control.until("checking-out");
    control.kill();
    scene.allow_to_end();
    assert!(scene.finish().contains(&"checking-out".to_owned()));
    assert_eq!(scene.runs(), 1);
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_commands_run_it_finds_them_running() {
    let Some(scene) = Scene::set().await else { return };
    let mut control = scene.control();
    control.until("running");
    scene.until_it_runs();
    control.kill();
    let mut again = scene.control();
    again.until("running-again");
    again.kill();
    scene.allow_to_end();
    assert!(!scene.finish().contains(&"checking-out".to_owned()));
    assert_eq!(scene.runs(), 1, "the commands ran again");
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_commands_end_it_packs_what_they_made() {
    let Some(scene) = Scene::set().await else { return };
    let mut control = scene.control();
    control.until("running");
    scene.until_it_runs();
    control.kill();
    scene.allow_to_end();
    scene.finish();
    assert_eq!(scene.runs(), 1);
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_of_packing_it_has_one_whole_artifact() {
    for delay_ms in [0, 3, 10, 25, 60] {
        let Some(scene) = Scene::set().await else { return };
        scene.allow_to_end();
        let mut control = scene.control();
        control.until("packing");
        std::thread::sleep(std::time::Duration::from_millis(delay_ms));
        control.kill();
        scene.finish();
        assert_eq!(scene.runs(), 1);
        scene.close().await;
    }
}
