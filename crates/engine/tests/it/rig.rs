//! A driver of its own for each test, which leaves nothing behind however the test ends.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use engine::{Config, ContainerSpec, Driver, InstanceSpec, Limits, NativeDriver, Root, User};
use model::{EnvironmentId, Exit, InstanceId, InstanceState};
use tempfile::TempDir;
use uuid::Uuid;

/// Longest that anything here may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The helper that is the `shim` subcommand.
pub(crate) fn shim_command() -> Vec<std::ffi::OsString> {
    let test = std::env::current_exe().unwrap();
    let target = test.ancestors().nth(2).unwrap();
    let shim = target.join("examples/engine_shim");
    assert!(shim.exists(), "{} is not built; run `cargo test -p engine`", shim.display());
    vec![shim.into()]
}

/// Says why a test is passed over.
pub(crate) fn is_root() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        println!("passed over: namespaces, bridges and cgroups need root");
    }
    is_root
}

pub(crate) struct Rig {
    pub(crate) driver: Option<Arc<NativeDriver>>,
    pub(crate) state: TempDir,
    pub(crate) run: TempDir,
    pub(crate) environment: EnvironmentId,
    others: Vec<EnvironmentId>,
    pub(crate) address_pool: Option<&'static str>,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let state = tempfile::Builder::new().prefix("gable-engine-").tempdir().unwrap();
        let run = tempfile::Builder::new().prefix("gable-engine-").tempdir_in("/dev/shm").unwrap();
        let mut rig = Self {
            driver: None,
            state,
            run,
            environment: environment(),
            others: Vec::new(),
            address_pool: None,
        };
        rig.renew();
        rig
    }

    /// The driver again, as after an end of the control plane.
    pub(crate) fn renew(&mut self) {
        self.driver = None;
        self.driver = Some(Arc::new(NativeDriver::new(self.config()).unwrap()));
    }

    pub(crate) fn config(&self) -> Config {
        let run_dir = self.run.path().join("run");
        let mut config = Config::new(self.state.path().to_owned(), run_dir, shim_command());
        if let Some(pool) = self.address_pool {
            config.address_pool = pool.to_owned();
        }
        config
    }

    pub(crate) fn driver(&self) -> &NativeDriver {
        self.driver.as_ref().unwrap()
    }

    pub(crate) fn other_environment(&mut self) -> EnvironmentId {
        self.others.push(environment());
        self.others.last().unwrap().clone()
    }

    pub(crate) fn log(&self, id: &InstanceId) -> PathBuf {
        self.state.path().join("logs").join(format!("{id}.log"))
    }

    /// The text of a log, without times and stream letters.
    pub(crate) fn output(&self, id: &InstanceId) -> String {
        let text = std::fs::read_to_string(self.log(id)).unwrap_or_default();
        let lines: Vec<_> =
            text.lines().map(|line| line.splitn(3, ' ').nth(2).unwrap_or_default()).collect();
        lines.join("\n")
    }

    pub(crate) fn shell(&self, script: &str) -> InstanceSpec {
        self.spec(&["/bin/sh", "-c", script])
    }

    pub(crate) fn spec(&self, command: &[&str]) -> InstanceSpec {
        let spec = Self::bare_spec(command);
        InstanceSpec {
            environment_id: self.environment.clone(),
            log: self.log(&spec.id),
            cwd: "/tmp".into(),
            ..spec
        }
    }

    /// A spec of nobody's, without a log.
    pub(crate) fn bare_spec(command: &[&str]) -> InstanceSpec {
        let variables = [
            ("PATH", engine::DEFAULT_PATH),
            ("HOME", "/opt/render"),
            ("SECRET", "only for the instance"),
        ];
        InstanceSpec {
            id: InstanceId::from_uuid(Uuid::now_v7()),
            hostname: "web".to_owned(),
            environment_id: environment(),
            root: Root::HostUserland,
            user: User::alone(900_123, "render", "/opt/render"),
            command: command.iter().map(ToString::to_string).collect(),
            cwd: "/".into(),
            env: variables.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec(),
            mounts: Vec::new(),
            files: Vec::new(),
            limits: Limits::default(),
            log: PathBuf::new(),
            is_lasting: false,
            has_input: false,
            port_hint: None,
            label: "test".to_owned(),
            container: ContainerSpec::default(),
        }
    }

    /// Starts something that runs on.
    pub(crate) async fn start(&self, spec: &InstanceSpec) -> std::net::IpAddr {
        let state = tokio::time::timeout(PATIENCE, self.driver().start(spec)).await.unwrap();
        match state.unwrap() {
            InstanceState::Running { address, .. } => address,
            other => panic!("it does not run: {other:?}\n{}", self.output(&spec.id)),
        }
    }

    /// Starts something and waits for its end.
    pub(crate) async fn run(&self, spec: &InstanceSpec) -> Exit {
        let started = tokio::time::timeout(PATIENCE, self.driver().start(spec)).await.unwrap();
        started.unwrap_or_else(|error| panic!("{error}: {:?}", std::error::Error::source(&error)));
        self.ended(&spec.id).await
    }

    pub(crate) async fn ended(&self, id: &InstanceId) -> Exit {
        let ended = tokio::time::timeout(PATIENCE, self.driver().wait(id)).await;
        ended.unwrap_or_else(|_| panic!("it did not end:\n{}", self.output(id))).unwrap()
    }

    /// Waits for a line of output: an event of the instance's own.
    pub(crate) async fn said(&self, id: &InstanceId, word: &str) {
        until(&format!("`{word}` in the log"), || self.output(id).contains(word)).await;
    }
}

/// Waits until something that has no event of its own is so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !is_so() {
        assert!(tokio::time::Instant::now() < deadline, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn environment() -> EnvironmentId {
    EnvironmentId::from_uuid(Uuid::now_v7())
}

/// Names of links of this machine that begin so.
pub(crate) fn links(prefix: &str) -> Vec<String> {
    std::fs::read_dir("/sys/class/net")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| name.starts_with(prefix))
        .collect()
}

/// Directories below the cgroup hierarchies that are named after an instance.
pub(crate) fn cgroups_of(id: &InstanceId) -> Vec<PathBuf> {
    fn walk(directory: &Path, depth: usize, name: &str, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if entry.file_name() == name {
                    found.push(entry.path());
                }
                if depth > 0 {
                    walk(&entry.path(), depth - 1, name, found);
                }
            }
        }
    }
    let mut found = Vec::new();
    walk(Path::new("/sys/fs/cgroup"), 2, id.as_str(), &mut found);
    found
}

impl Drop for Rig {
    fn drop(&mut self) {
        let driver = self.driver.take();
        let environments = self.others.iter().chain([&self.environment]);
        // The test's runtime may be unwinding: this needs one of its own, on a thread of its own.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(1)
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(async {
                    drop(driver);
                    let driver = NativeDriver::new(self.config()).unwrap();
                    for seen in driver.recover().await.unwrap_or_default() {
                        let _ = driver.stop(&seen.id, Duration::ZERO).await;
                        let _ = driver.remove(&seen.id).await;
                    }
                    for environment in environments {
                        let _ = driver.remove_network(environment).await;
                    }
                });
            });
        });
    }
}
