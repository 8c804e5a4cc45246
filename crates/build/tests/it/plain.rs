//! Builds without namespaces, as for those who are not root.

use std::path::Path;

use build::{Progress, env_on_host, runtime_layout};
use engine::{ContainerSpec, Driver as _, InstanceSpec, Limits, PlainDriver, Root, User};
use model::{InstanceId, Runtime};
use uuid::Uuid;

use crate::platform::{Platform, helper, log_text, service};
use crate::repository::Repository;

#[tokio::test(flavor = "multi_thread")]
async fn what_plain_processes_build_runs_at_another_place() {
    let Some(platform) = Platform::start().await else { return };
    let state = platform.dir.path();
    let command = vec![helper().into(), "shim".into()];
    let engine = engine::Config::new(state.join("plain"), state.join("plain-run"), command);
    let driver = PlainDriver::new(engine).unwrap();
    let repository = Repository::committed(&[("a", "1")]);
    let service = service(Runtime::Python, "pip --version && cp a b && echo $HOME > home");
    let request = platform.request(&repository, &service, &[]).await;
    let quiet = |_: Progress| {};
    let artifact = build::run(&platform.config, &platform.sources, &driver, &request, &quiet)
        .await
        .unwrap_or_else(|failure| panic!("{failure:?}"));
    let home = std::fs::read_to_string(Path::new(&artifact.path).join("tree/home")).unwrap();
    assert!(home.contains(request.build_id.as_str()), "{home}");

    let layout = runtime_layout(&service, &artifact, None).unwrap();
    let id = InstanceId::from_uuid(Uuid::now_v7());
    let log = state.join("logs/plain.log");
    let mut spec = InstanceSpec {
        id: id.clone(),
        hostname: "web".to_owned(),
        environment_id: platform.environment_id.clone(),
        root: Root::HostUserland,
        user: User::alone(0, "render", layout.home.clone()),
        command: ["/bin/bash", "-c", "pip --version > /dev/null && cat b && pwd"]
            .map(str::to_owned)
            .to_vec(),
        cwd: layout.cwd.clone(),
        env: layout.env_with(&[]),
        mounts: layout.mounts,
        files: Vec::new(),
        limits: Limits::default(),
        log: log.clone(),
        is_lasting: false,
        has_input: false,
        port_hint: None,
        label: "test".to_owned(),
        container: ContainerSpec::default(),
    };
    spec.env = env_on_host(&spec.env, &|inside| driver.host_path(&spec, inside));
    driver.start(&spec).await.unwrap();
    let exit = driver.wait(&id).await.unwrap();
    driver.remove(&id).await.unwrap();
    let said = log_text(&log);
    assert!(exit.is_success(), "{said}");
    assert!(said.starts_with('1') && !said.contains("/opt/render"), "{said}");
}
