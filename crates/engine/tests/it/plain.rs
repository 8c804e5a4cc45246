//! Plain processes; they need no root, but work as root too.

use std::time::Duration;

use engine::{Config, Driver, InstanceSpec, Mount, PlacedFile, PlainDriver};
use model::InstanceState;
use tempfile::TempDir;

use crate::rig::{PATIENCE, Rig, shim_command, until};

pub(crate) struct Plain {
    driver: Option<PlainDriver>,
    state: TempDir,
}

impl Plain {
    pub(crate) fn new() -> Self {
        let state = tempfile::tempdir().unwrap();
        let mut plain = Self { driver: None, state };
        plain.renew();
        plain
    }

    fn renew(&mut self) {
        self.driver = None;
        let run_dir = self.state.path().join("run");
        let config = Config::new(self.state.path().to_owned(), run_dir, shim_command());
        self.driver = Some(PlainDriver::new(config).unwrap());
    }

    pub(crate) fn driver(&self) -> &PlainDriver {
        self.driver.as_ref().unwrap()
    }

    pub(crate) fn shell(&self, script: &str) -> InstanceSpec {
        let mut spec = Rig::bare_spec(&["/bin/sh", "-c", script]);
        spec.log = self.state.path().join(format!("{}.log", spec.id));
        spec
    }

    pub(crate) fn log(&self, spec: &InstanceSpec) -> String {
        std::fs::read_to_string(&spec.log).unwrap_or_default()
    }

    pub(crate) async fn ended(&self, spec: &InstanceSpec) -> model::Exit {
        tokio::time::timeout(PATIENCE, self.driver().wait(&spec.id)).await.unwrap().unwrap()
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.driver = None;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.unwrap().block_on(async {
                    let run_dir = self.state.path().join("run");
                    let config = Config::new(self.state.path().to_owned(), run_dir, shim_command());
                    let driver = PlainDriver::new(config).unwrap();
                    for seen in driver.recover().await.unwrap_or_default() {
                        let _ = driver.stop(&seen.id, Duration::ZERO).await;
                    }
                });
            });
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_process_runs_and_its_exit_is_kept() {
    let plain = Plain::new();
    assert!(!plain.driver().isolates_network());
    let spec = plain.shell("echo hello; exit 3");
    plain.driver().start(&spec).await.unwrap();
    assert_eq!(plain.ended(&spec).await.code, Some(3));
    assert!(plain.log(&spec).contains(" o hello\n"));
    plain.driver().remove(&spec.id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_descendant_of_a_plain_process_is_stopped() {
    let plain = Plain::new();
    // In a session of its own, a process leaves its group, but not its ancestors.
    let spec = plain.shell("setsid sh -c 'echo child $$; sleep 600' & wait; echo no");
    plain.driver().start(&spec).await.unwrap();
    until("the child", || plain.log(&spec).contains("child ")).await;
    let log = plain.log(&spec);
    let child = log.split("child ").nth(1).unwrap().lines().next().unwrap().to_owned();
    assert!(std::path::Path::new("/proc").join(&child).exists());
    plain.driver().stop(&spec.id, Duration::from_secs(10)).await.unwrap();
    assert!(!std::path::Path::new("/proc").join(&child).exists());
    plain.driver().remove(&spec.id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn mounts_are_directories_and_an_overlay_is_a_copy() {
    let plain = Plain::new();
    let lower = plain.state.path().join("artifact");
    std::fs::create_dir_all(lower.join("api")).unwrap();
    std::fs::write(lower.join("api/file"), "as built").unwrap();
    let mut spec = plain.shell("cat file; echo changed > file; pwd");
    spec.mounts =
        vec![Mount::Overlay { lower: lower.clone(), target: "/opt/render/project/src".into() }];
    spec.cwd = "/opt/render/project/src/api".into();
    plain.driver().start(&spec).await.unwrap();
    assert!(plain.ended(&spec).await.is_success(), "{}", plain.log(&spec));
    assert!(plain.log(&spec).contains("as built"));
    assert_eq!(std::fs::read_to_string(lower.join("api/file")).unwrap(), "as built");
    let copy = plain.driver().host_path(&spec, "/opt/render/project/src/api/file".as_ref());
    assert_eq!(std::fs::read_to_string(&copy).unwrap(), "changed\n");
    plain.driver().remove(&spec.id).await.unwrap();
    assert!(!copy.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_its_own_listeners_are_seen() {
    let plain = Plain::new();
    let stranger = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut spec = plain.shell("");
    spec.command = [
        "python3",
        "-c",
        "import socket, time; s = socket.create_server(('127.0.0.1', 0)); print('port', s.getsockname()[1], flush=True); time.sleep(600)",
    ]
    .map(str::to_owned)
    .to_vec();
    plain.driver().start(&spec).await.unwrap();
    until("the port", || plain.log(&spec).contains("port ")).await;
    let log = plain.log(&spec);
    let port: u16 = log.split("port ").nth(1).unwrap().trim().parse().unwrap();
    let found = plain.driver().listeners(&spec.id).await.unwrap();
    assert_eq!(found.iter().map(|one| one.port).collect::<Vec<_>>(), [port]);
    assert_ne!(stranger.local_addr().unwrap().port(), port);
    plain.driver().stop(&spec.id, Duration::ZERO).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_process_is_found_again() {
    let mut plain = Plain::new();
    let spec = plain.shell("echo up; exec sleep 600");
    plain.driver().start(&spec).await.unwrap();
    until("the process", || plain.log(&spec).contains("up")).await;
    plain.renew();
    let seen = plain.driver().recover().await.unwrap();
    assert!(matches!(&seen[..], [one] if matches!(one.state, InstanceState::Running { .. })));
    plain.driver().stop(&spec.id, Duration::from_secs(5)).await.unwrap();
    assert_eq!(plain.ended(&spec).await.signal, Some(15));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plain_process_cannot_have_is_refused() {
    let plain = Plain::new();
    let mut spec = plain.shell("true");
    spec.files = vec![PlacedFile::readable("/etc/secrets/key", "x")];
    let error = plain.driver().start(&spec).await.unwrap_err();
    assert!(error.to_string().contains("need the native engine"), "{error}");
    assert_eq!(plain.driver().observe(&spec.id).await, None);
    for change in [
        |spec: &mut InstanceSpec| spec.root = engine::Root::Layers(vec!["/layer".into()]),
        |spec: &mut InstanceSpec| spec.container.is_read_only = true,
    ] {
        let mut spec = plain.shell("true");
        change(&mut spec);
        let error = plain.driver().start(&spec).await.unwrap_err();
        assert!(error.to_string().contains("need the native engine"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_passes_unchanged_and_its_end_is_an_end() {
    use std::io::Write as _;
    let plain = Plain::new();
    let mut spec = plain.shell("sha256sum; echo ended");
    spec.has_input = true;
    plain.driver().start(&spec).await.unwrap();
    let mut input = std::fs::File::from(plain.driver().input(&spec.id).await.unwrap());
    assert!(plain.driver().input(&spec.id).await.is_err(), "there is one writer");
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|number| (number % 251) as u8).collect();
    input.write_all(&bytes).unwrap();
    assert!(!plain.log(&spec).contains("ended"));
    drop(input);
    assert_eq!(plain.ended(&spec).await.code, Some(0));
    let sum = "2c030d49ec131bfbbb446ad21e7a2f12cdb4f2f4f3fda3ac709dd2e68a4646c7";
    assert!(plain.log(&spec).contains(sum), "{}", plain.log(&spec));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_without_an_input_reads_nothing() {
    let plain = Plain::new();
    let spec = plain.shell("cat; echo ended");
    plain.driver().start(&spec).await.unwrap();
    assert_eq!(plain.ended(&spec).await.code, Some(0));
    assert!(plain.log(&spec).contains(" o ended\n"));
}
