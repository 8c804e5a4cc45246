//! The store on a real file system, with real processes beside it.

mod copies;
mod crash;
mod deploys;
mod events;
mod open;
mod rows;
mod secrets;
mod states;
mod values;

use jiff::Timestamp;
use model::{
    Commit, Database, EnvSource, EnvVar, Environment, InstanceType, KeyValue, Release, Runtime,
    Service, ServiceKind,
};
use secrecy::SecretString;
use store::Store;
use store::releases::NewRelease;
use store::services::ServiceRow;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

fn instance_type() -> InstanceType {
    InstanceType { name: "starter".to_owned(), cpu_millis: 500, memory_bytes: 512 << 20 }
}

fn service(name: &str, kind: ServiceKind) -> Service {
    Service {
        kind,
        name: name.to_owned(),
        runtime: Runtime::Node,
        root_dir: String::new(),
        repo: None,
        branch: None,
        build_command: Some("npm ci".to_owned()),
        start_command: Some("node server.js".to_owned()),
        pre_deploy_command: None,
        initial_deploy_hook: None,
        schedule: None,
        instance_type: instance_type(),
        instances: 1,
        env: vec![EnvVar {
            key: "TOKEN".to_owned(),
            source: EnvSource::Literal("literal-in-the-file".to_owned()),
            preview_value: None,
        }],
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

fn database(name: &str) -> Database {
    Database {
        name: name.to_owned(),
        database_name: "shop".to_owned(),
        user: "shop".to_owned(),
        major_version: 17,
        instance_type: instance_type(),
        disk_size_gb: None,
        compose: model::ComposeStore::default(),
    }
}

fn key_value(name: &str) -> KeyValue {
    KeyValue {
        name: name.to_owned(),
        instance_type: instance_type(),
        maxmemory_policy: model::MaxmemoryPolicy::AllkeysLru,
        persistence_mode: model::PersistenceMode::Off,
        compose: model::ComposeStore::default(),
    }
}

fn environment(store: &Store, project: &str, name: &str) -> Environment {
    let project = store::projects::upsert(store, project, "/src").expect("a project can be made");
    store::environments::upsert(store, &project.id, name).expect("an environment can be made")
}

fn web(store: &Store) -> ServiceRow {
    let environment = environment(store, "shop", "production");
    let definition = service("web", ServiceKind::Web);
    store::services::upsert(store, &environment.id, &definition, at(1))
        .expect("a service can be made")
}

fn instance_of(job: &store::jobs::Job) -> model::Instance {
    model::Instance {
        id: job.instance_id.clone(),
        purpose: model::InstancePurpose::Job(job.service_id.clone()),
        ordinal: 0,
        restarts: 0,
        created_at: job.started_at,
    }
}

fn release(store: &Store, row: &ServiceRow) -> Release {
    let commit = Commit {
        id: "c".repeat(40),
        tree: "d".repeat(40),
        branch: "main".to_owned(),
        subject: "first".to_owned(),
        is_dirty: false,
    };
    let new = NewRelease {
        service_id: &row.id,
        commit: &commit,
        artifact_id: None,
        service: &row.definition,
        env: &SecretString::from(r#"[["TOKEN","resolved-environment"]]"#),
        now: at(2),
    };
    store::releases::insert(store, &new).expect("a release can be made")
}
