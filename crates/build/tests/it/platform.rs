//! A place to build in: a state directory, a store of sources and the native driver.

use std::ffi::OsString;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use build::{
    BuildRequest, Config, Failure, Inputs, Progress, Sources, Trust, artifact_id, docker, toolchain,
};
use engine::{ContainerSpec, Driver, InstanceSpec, Limits, Root, User};
use model::service::AutoDeploy;
use model::{
    Artifact, BuildId, Commit, EnvironmentId, Exit, InstanceId, InstanceType, Runtime, Service,
    ServiceId, ServiceKind,
};
use tempfile::TempDir;
use tokio::net::UdpSocket;
use uuid::Uuid;

use crate::repository::{PROJECT, Repository};

pub(crate) const BUILDER_UID: u32 = 899_999;
pub(crate) const OWNER_UID: u32 = 900_123;
const KEY: &[u8; 32] = b"a key that is for this test only";
/// What a machine's operator may have to tell every client of a registry.
const OPERATOR: &[&str] = &[
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "PIP_INDEX_URL",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
    "npm_config_registry",
];

pub(crate) struct Platform {
    pub(crate) dir: StateDir,
    pub(crate) config: Config,
    pub(crate) sources: Sources,
    pub(crate) driver: Arc<engine::NativeDriver>,
    pub(crate) environment_id: EnvironmentId,
    pub(crate) progress: Mutex<Vec<Progress>>,
    /// Answers names inside the private network, as the edge does on a real machine.
    names: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

/// A state directory, and the directory in memory that goes with it.
pub(crate) struct StateDir {
    path: PathBuf,
    is_ours: bool,
}

impl StateDir {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn run_dir(&self) -> PathBuf {
        let name = self.path.file_name().unwrap().to_string_lossy().into_owned();
        Path::new("/dev/shm").join(format!("gable-build{name}"))
    }
}

impl StateDir {
    /// Tests run beside each other and must not choose the same addresses.
    fn address_pool(&self) -> String {
        let mut hasher = std::hash::DefaultHasher::new();
        self.path.hash(&mut hasher);
        let [one, two, ..] = hasher.finish().to_le_bytes();
        // Enough for some environments and for a builder's room.
        format!("10.{}.{}.0/22", 100 + one % 100, two & !3)
    }
}

impl Drop for StateDir {
    fn drop(&mut self) {
        if self.is_ours {
            let _ = std::fs::remove_dir_all(&self.path);
            let _ = std::fs::remove_dir_all(self.run_dir());
        }
    }
}

/// The helper of these tests, which cargo builds beside them.
pub(crate) fn helper() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    if exe.ends_with("build-helper") {
        return exe;
    }
    let helper = exe.parent().unwrap().with_file_name("examples").join("build-helper");
    assert!(helper.exists(), "run all targets: `cargo test -p build` makes {}", helper.display());
    helper
}

pub(crate) fn operator_env() -> Vec<(String, String)> {
    OPERATOR
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
        .collect()
}

impl Platform {
    /// `None`, with a printed reason, where instances cannot be made.
    pub(crate) async fn start() -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            skipped("instances need root");
            return None;
        }
        let path = TempDir::new().unwrap().keep();
        let environment_id = EnvironmentId::from_uuid(Uuid::now_v7());
        let mut platform = Self::at(&path, environment_id);
        platform.dir.is_ours = true;
        platform.driver.recover().await.unwrap();
        Some(platform)
    }

    /// In a directory that another process has made.
    pub(crate) fn at(path: &Path, environment_id: EnvironmentId) -> Self {
        let dir = StateDir { path: path.to_owned(), is_ours: false };
        let mut config = Config::in_state_dir(path, BUILDER_UID);
        config.operator_env = operator_env();
        config.images =
            Some(images::Images::open(images::Config::new(path.join("store"))).unwrap());
        config.docker.launcher = vec![helper().into(), "builder".into()];
        config.docker.secrets_dir = path.join("logins");
        let shim_command: Vec<OsString> = vec![helper().into(), "shim".into()];
        let mut engine = engine::Config::new(path.join("engine"), dir.run_dir(), shim_command);
        engine.address_pool = dir.address_pool();
        Self {
            sources: Sources::new(path.join("repos")),
            driver: Arc::new(engine::NativeDriver::new(engine).unwrap()),
            config,
            dir,
            environment_id,
            progress: Mutex::default(),
            names: Mutex::default(),
        }
    }

    /// Lets instances look up names: passes their questions on to the host's own server.
    pub(crate) async fn answer_names(&self) {
        let gateway = self.driver.ensure_network(&self.environment_id).await.unwrap().gateway;
        let text = std::fs::read_to_string("/etc/resolv.conf").unwrap();
        let server = text.lines().find_map(|line| line.strip_prefix("nameserver ")).unwrap();
        let server = format!("{}:53", server.trim());
        let socket = Arc::new(UdpSocket::bind((gateway, 53)).await.unwrap());
        let relay = tokio::spawn(async move {
            let mut question = vec![0; 4096];
            while let Ok((length, from)) = socket.recv_from(&mut question).await {
                let (socket, server) = (Arc::clone(&socket), server.clone());
                let question = question[..length].to_vec();
                tokio::spawn(async move {
                    let upstream = UdpSocket::bind("0.0.0.0:0").await?;
                    upstream.send_to(&question, &server).await?;
                    let mut answer = vec![0; 4096];
                    let patience = Duration::from_secs(5);
                    let length =
                        tokio::time::timeout(patience, upstream.recv(&mut answer)).await??;
                    socket.send_to(&answer[..length], from).await
                });
            }
        });
        *self.names.lock().unwrap() = Some(relay);
    }

    /// A request for the repository's present state, with its tools found and its address made.
    pub(crate) async fn request(
        &self,
        repository: &Repository,
        service: &Service,
        env: &[(&str, &str)],
    ) -> BuildRequest {
        let commit = self.sources.snapshot(PROJECT, repository.path()).await.unwrap().commit;
        self.request_for(commit, service, env).await
    }

    pub(crate) async fn request_for(
        &self,
        commit: Commit,
        service: &Service,
        env: &[(&str, &str)],
    ) -> BuildRequest {
        let env: Vec<_> =
            env.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let question = toolchain::Request { project: PROJECT, commit: &commit, service, env: &env };
        let toolchain = toolchain::resolve(&self.config, &self.sources, &question).await.unwrap();
        let mut inputs = Inputs {
            runtime: service.runtime,
            tree: commit.tree.clone(),
            history: String::new(),
            root_dir: service.root_dir.clone(),
            build_command: service.build_command.clone().unwrap_or_default(),
            env: env.clone(),
            toolchain: toolchain.versions.clone(),
            image: String::new(),
            owner_uid: OWNER_UID,
            docker: None,
        };
        if service.runtime == Runtime::Docker {
            let (tree, declaration) = (commit.tree.clone(), (service, env.as_slice()));
            let found = docker::inputs(&self.sources, PROJECT, &commit, tree, declaration);
            inputs = found.await.unwrap();
        }
        BuildRequest {
            build_id: BuildId::from_uuid(Uuid::now_v7()),
            instance_id: InstanceId::from_uuid(Uuid::now_v7()),
            artifact_id: artifact_id(&inputs, KEY),
            project: PROJECT.to_owned(),
            commit,
            service_id: ServiceId::from_uuid(Uuid::nil()),
            service: service.clone(),
            environment_id: self.environment_id.clone(),
            env,
            toolchain,
            owner_uid: OWNER_UID,
            logins: Vec::new(),
            trust: Trust::Full,
            private_names: Vec::new(),
        }
    }

    pub(crate) async fn build(&self, request: &BuildRequest) -> Result<Artifact, Failure> {
        let note = |progress| self.progress.lock().unwrap().push(progress);
        build::run(&self.config, &self.sources, &*self.driver, request, &note).await
    }

    pub(crate) fn log(&self, request: &BuildRequest) -> String {
        lines(&self.config, request)
    }

    /// Runs a command as an instance of the service would, and returns what it printed.
    pub(crate) async fn run(
        &self,
        service: &Service,
        artifact: &Artifact,
        command: &str,
    ) -> (Exit, String) {
        let layout = build::runtime_layout(service, artifact, None).unwrap();
        let id = InstanceId::from_uuid(Uuid::now_v7());
        let log = self.dir.path().join(format!("logs/run/{id}.log"));
        let spec = InstanceSpec {
            id: id.clone(),
            hostname: "web".to_owned(),
            environment_id: self.environment_id.clone(),
            root: Root::HostUserland,
            user: User::alone(OWNER_UID, "render", layout.home.clone()),
            command: ["/bin/bash", "-c", command].map(str::to_owned).to_vec(),
            cwd: layout.cwd.clone(),
            env: layout.env_with(&[]),
            mounts: layout.mounts,
            files: Vec::new(),
            limits: Limits { time: Some(Duration::from_secs(60)), ..Limits::default() },
            log: log.clone(),
            is_lasting: false,
            has_input: false,
            port_hint: None,
            label: "test".to_owned(),
            container: ContainerSpec::default(),
        };
        self.driver.ensure_network(&self.environment_id).await.unwrap();
        self.driver.start(&spec).await.unwrap();
        let exit = self.driver.wait(&id).await.unwrap();
        self.driver.remove(&id).await.unwrap();
        (exit, log_text(&log))
    }
}

/// Ends everything that was started here, in tests that fail too.
impl Drop for Platform {
    fn drop(&mut self) {
        if let Some(relay) = self.names.lock().unwrap_or_else(PoisonError::into_inner).take() {
            relay.abort();
        }
        if !self.dir.is_ours {
            return;
        }
        let (driver, environment_id) = (Arc::clone(&self.driver), self.environment_id.clone());
        let cleaning = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                for seen in driver.recover().await.unwrap() {
                    driver.stop(&seen.id, Duration::ZERO).await.unwrap();
                    driver.remove(&seen.id).await.unwrap();
                }
                driver.remove_network(&environment_id).await.unwrap();
            });
        });
        let cleaned = cleaning.join();
        if !std::thread::panicking() {
            cleaned.unwrap();
        }
    }
}

pub(crate) fn lines(config: &Config, request: &BuildRequest) -> String {
    log_text(&config.log_path(&request.service_id, &request.instance_id))
}

pub(crate) fn log_text(log: &Path) -> String {
    let lines = telemetry::tail(&[log.to_owned()], 10_000).unwrap();
    lines.into_iter().map(|line| line.text + "\n").collect()
}

pub(crate) fn service(runtime: Runtime, build_command: &str) -> Service {
    Service {
        kind: if runtime == Runtime::Static { ServiceKind::Static } else { ServiceKind::Web },
        name: "web".to_owned(),
        runtime,
        root_dir: String::new(),
        repo: None,
        branch: None,
        build_command: Some(build_command.to_owned()),
        start_command: None,
        pre_deploy_command: None,
        initial_deploy_hook: None,
        schedule: None,
        instance_type: InstanceType {
            name: "starter".to_owned(),
            cpu_millis: 500,
            memory_bytes: 512 << 20,
        },
        instances: 1,
        env: Vec::new(),
        groups: Vec::new(),
        health_check_path: None,
        max_shutdown_delay_seconds: 30,
        disk: None,
        domains: Vec::new(),
        publish_path: None,
        headers: Vec::new(),
        routes: Vec::new(),
        docker: None,
        image: None,
        container: model::Container::default(),
        build_filter: None,
        auto_deploy: AutoDeploy::Commit,
    }
}

/// A service with the usual settings of a Dockerfile.
pub(crate) fn docker_service() -> Service {
    let mut service = service(Runtime::Docker, "");
    service.build_command = None;
    service.docker = Some(model::Docker {
        dockerfile_path: "./Dockerfile".to_owned(),
        context: ".".to_owned(),
        dockerfile_inline: None,
        target: None,
        args: Vec::new(),
        are_variables_args: true,
        more_contexts: Vec::new(),
        secrets: Vec::new(),
        registry_credential: None,
    });
    service
}

/// Whether npm can fetch here; prints why a test is skipped.
pub(crate) fn npm_reaches_its_registry() -> bool {
    static REACHED: OnceLock<bool> = OnceLock::new();
    let reached = *REACHED.get_or_init(|| succeeds("npm", &["view", "is-number", "version"]));
    if !reached {
        skipped("npm cannot reach its registry");
    }
    reached
}

/// Whether pip can fetch here; prints why a test is skipped.
pub(crate) fn pip_reaches_its_index() -> bool {
    static REACHED: OnceLock<bool> = OnceLock::new();
    let reached = *REACHED.get_or_init(|| {
        let dir = TempDir::new().unwrap();
        let place = dir.path().to_string_lossy().into_owned();
        succeeds(
            "/usr/bin/python3",
            &["-m", "pip", "download", "--quiet", "--no-deps", "-d", &place, "idna"],
        )
    });
    if !reached {
        skipped("pip cannot reach its index");
    }
    reached
}

#[expect(clippy::print_stderr, reason = "who runs the tests must see what was not tested")]
pub(crate) fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let mut command = std::process::Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
