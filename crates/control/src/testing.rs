//! A control plane without instances, for the tests of this crate and of those above it: a real
//! store in a directory of the test's, and an engine that only pretends. No task runs and there is
//! no edge, so nothing changes but by what a test asks for.

use std::path::Path;
use std::sync::Arc;

use engine::fake::{AllRun, FakeDriver};
use jiff::Timestamp;
use model::{
    Artifact, ArtifactId, Commit, Database, DatabaseId, Deploy, DeployEvent, DeployTrigger,
    Environment, InstanceType, Release, Runtime, Service, ServiceId, ServiceKind,
};
use reconcile::deploy::Timeouts;
use reconcile::wiring::{Origin, Phase, Variable};
use secrecy::SecretString;
use store::Store;
use store::events::NewEvent;

use crate::config::Config;
use crate::events::Body;
use crate::platform::{Parts, Platform};

/// A control plane that keeps its state below `directory`. Needs a runtime.
///
/// # Panics
/// Like all functions here, when the store cannot be used: then the test has failed.
#[must_use]
pub fn platform(directory: &Path) -> Platform {
    platform_that_keeps(directory, reconcile::retention::Keep::default())
}

/// The same, with other limits of what is kept of what is over.
#[must_use]
pub fn platform_that_keeps(directory: &Path, keep: reconcile::retention::Keep) -> Platform {
    let config = Config {
        state_dir: directory.join("state"),
        run_dir: directory.join("run"),
        executable: vec!["/nowhere/gable".into()],
        listen: vec![([127, 0, 0, 1], 8080).into()],
        edge: edge::Settings::default(),
        is_https: false,
        operator_env: Vec::new(),
        registries: images::Registries::default(),
        timeouts: Timeouts::standard(),
        disk_floor_bytes: Some(0),
        keep,
        concurrent_builds: 1,
        instance_disk_bytes: None,
        disk_reserve_bytes: None,
        build_limits: build::BuildLimits::of_machine(directory, 1),
        is_plain: false,
    };
    std::fs::create_dir_all(&config.run_dir).expect("the test's directory can be written");
    let store = Store::open(&config.state_dir).expect("a new store can be made");
    let driver = Arc::new(FakeDriver::new(AllRun));
    Platform::new(Parts { config, store, driver, builder_uid: 0, images: None })
}

/// A project with one environment, `production`.
#[must_use]
pub fn environment(platform: &Platform, project: &str) -> Environment {
    let project = store::projects::upsert(&platform.store, project, "/nowhere")
        .expect("a project can be written");
    store::environments::upsert(&platform.store, &project.id, "production")
        .expect("an environment can be written")
}

/// A web service that was never deployed.
#[must_use]
pub fn service(platform: &Platform, environment: &Environment, name: &str) -> ServiceId {
    let definition = definition(name);
    store::services::upsert(&platform.store, &environment.id, &definition, Timestamp::now())
        .expect("a service can be written")
        .id
}

/// A PostgreSQL database that was never started.
#[must_use]
pub fn database(platform: &Platform, environment: &Environment, name: &str) -> DatabaseId {
    let definition = Database {
        name: name.to_owned(),
        database_name: "shop".to_owned(),
        user: "shop".to_owned(),
        major_version: 17,
        instance_type: instance_type(),
        disk_size_gb: None,
        compose: model::ComposeStore::default(),
    };
    store::databases::upsert(&platform.store, &environment.id, &definition, Timestamp::now())
        .expect("a database can be written")
        .id
}

/// A built release of a service, with a variable `GREETING=hello` and a secret `TOKEN=s3cret`.
#[must_use]
pub fn release(platform: &Platform, id: &ServiceId) -> Release {
    let variable = |key: &str, value: &str, is_secret| Variable {
        key: key.to_owned(),
        value: Some(SecretString::from(value)),
        origin: Origin::Literal,
        is_secret,
        phase: Phase::Both,
    };
    let env = [variable("GREETING", "hello", false), variable("TOKEN", "s3cret", true)];
    let env = serde_json::to_string(&env).expect("variables have text keys");
    let artifact = Artifact {
        id: "0".repeat(ArtifactId::LENGTH).parse().expect("these are hexadecimal digits"),
        path: "/nowhere/tree".to_owned(),
        size_bytes: 0,
        files: 0,
    };
    let now = Timestamp::now();
    store::artifacts::insert(&platform.store, &artifact, now).expect("an artifact can be written");
    let row = store::services::get(&platform.store, id)
        .expect("the store can be read")
        .expect("the service was made before");
    let new = store::releases::NewRelease {
        service_id: id,
        commit: &commit(),
        artifact_id: Some(&artifact.id),
        service: &row.definition,
        env: &SecretString::from(env),
        now,
    };
    store::releases::insert(&platform.store, &new).expect("a release can be written")
}

/// A deploy of a release to which all this has happened.
#[must_use]
pub fn deploy(platform: &Platform, release: &Release, events: &[DeployEvent]) -> Deploy {
    let new = store::deploys::NewDeploy {
        service_id: &release.service_id,
        release_id: &release.id,
        build_id: None,
        trigger: DeployTrigger::Manual,
        now: Timestamp::now(),
    };
    let mut deploy =
        store::deploys::insert(&platform.store, &new).expect("a deploy can be written");
    for event in events {
        let change = store::deploys::Change { event: *event, failure: None, now: Timestamp::now() };
        deploy = store::deploys::transition(&platform.store, &deploy.id, &change)
            .expect("the table of transitions has it");
    }
    deploy
}

/// A deploy that serves.
#[must_use]
pub fn live(platform: &Platform, release: &Release) -> Deploy {
    deploy(platform, release, &[DeployEvent::UpdateStarted, DeployEvent::WentLive])
}

/// Writes an event of an environment into the timeline.
pub fn happen(platform: &Platform, environment: &Environment, message: &str) {
    let body = Body { message: message.to_owned(), ..Body::default() };
    let event = NewEvent {
        at: Timestamp::now(),
        kind: "happened".to_owned(),
        environment_id: Some(environment.id.clone()),
        service_id: None,
        deploy_id: None,
        body: serde_json::to_value(body).expect("the body has text keys"),
    };
    store::events::append(&platform.store, &event).expect("an event can be written");
}

/// Writes lines into the log of an instance, as its shim would; each with its time in seconds.
pub fn log(platform: &Platform, owner_id: &str, instance_id: &str, lines: &[(i64, &str)]) {
    let directory = platform.config.logs_dir().join(owner_id);
    std::fs::create_dir_all(&directory).expect("the test's directory can be written");
    let path = directory.join(format!("{instance_id}.log"));
    let mut text = std::fs::read_to_string(&path).unwrap_or_default();
    for (second, line) in lines {
        text.push_str(&format!("{}000000 o {line}\n", second));
    }
    std::fs::write(path, text).expect("the test's directory can be written");
}

/// What an engine is asked to run, by nobody in particular.
#[must_use]
pub fn spec(environment: &Environment, id: &model::InstanceId) -> engine::InstanceSpec {
    engine::InstanceSpec {
        id: id.clone(),
        hostname: "web".to_owned(),
        environment_id: environment.id.clone(),
        root: engine::Root::HostUserland,
        user: engine::User::alone(900_000, "render", "/"),
        command: vec!["sleep".to_owned()],
        cwd: "/".into(),
        env: Vec::new(),
        mounts: Vec::new(),
        files: Vec::new(),
        limits: engine::Limits::default(),
        log: "/dev/null".into(),
        is_lasting: false,
        has_input: false,
        port_hint: None,
        label: "test".to_owned(),
        container: engine::ContainerSpec::default(),
    }
}

fn instance_type() -> InstanceType {
    InstanceType { name: "starter".to_owned(), cpu_millis: 500, memory_bytes: 512 << 20 }
}

fn commit() -> Commit {
    Commit {
        id: "1".repeat(40),
        tree: "2".repeat(40),
        branch: "main".to_owned(),
        subject: "first".to_owned(),
        is_dirty: false,
    }
}

/// A web service as a Blueprint declares it.
#[must_use]
pub fn definition(name: &str) -> Service {
    Service {
        kind: ServiceKind::Web,
        name: name.to_owned(),
        runtime: Runtime::Node,
        root_dir: String::new(),
        repo: None,
        branch: None,
        build_command: None,
        start_command: Some("node server.js".to_owned()),
        pre_deploy_command: None,
        initial_deploy_hook: None,
        schedule: None,
        instance_type: instance_type(),
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
        auto_deploy: model::service::AutoDeploy::Commit,
    }
}
