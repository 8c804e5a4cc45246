//! Declarations and facts, in few words.

use model::service::AutoDeploy;
use model::{
    Database, InstanceType, KeyValue, MaxmemoryPolicy, PersistenceMode, Runtime, Service, ServiceId,
};
use uuid::Uuid;

use super::*;

pub(super) fn service(name: &str, kind: ServiceKind, env: Vec<EnvVar>) -> ServiceFacts {
    let is_public = matches!(kind, ServiceKind::Web | ServiceKind::Static);
    ServiceFacts {
        service: Service {
            kind,
            name: name.to_owned(),
            runtime: Runtime::Node,
            root_dir: String::new(),
            repo: None,
            branch: None,
            build_command: None,
            start_command: None,
            pre_deploy_command: None,
            initial_deploy_hook: None,
            schedule: None,
            instance_type: InstanceType {
                name: "standard".to_owned(),
                cpu_millis: 2000,
                memory_bytes: 1 << 30,
            },
            instances: 1,
            env,
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
        },
        id: ServiceId::from_uuid(Uuid::from_u128(7)),
        host: name.to_owned(),
        discovery_host: format!("{name}-discovery"),
        seen_port: None,
        assigned_port: None,
        external: is_public.then(|| External {
            host: format!("{name}.localhost"),
            url: format!("http://{name}.localhost:8080"),
        }),
        git: None,
        defaults: Vec::new(),
    }
}

pub(super) fn var(key: &str, source: EnvSource) -> EnvVar {
    EnvVar { key: key.to_owned(), source, preview_value: None }
}

pub(super) fn literal(key: &str, value: &str) -> EnvVar {
    var(key, EnvSource::Literal(value.to_owned()))
}

pub(super) fn copy(key: &str, name: &str, copied: &str) -> EnvVar {
    let reference = ServiceReference::EnvVar(copied.to_owned());
    var(key, EnvSource::FromService { name: name.to_owned(), reference })
}

pub(super) fn property(key: &str, name: &str, property: ServiceProperty) -> EnvVar {
    let reference = ServiceReference::Property(property);
    var(key, EnvSource::FromService { name: name.to_owned(), reference })
}

pub(super) fn from_database(key: &str, name: &str, property: DatabaseProperty) -> EnvVar {
    var(key, EnvSource::FromDatabase { name: name.to_owned(), property })
}

pub(super) fn part(
    key: &str,
    default: Option<&str>,
    slice: Option<(usize, usize)>,
) -> TemplatePart {
    TemplatePart::Variable { key: key.to_owned(), default: default.map(str::to_owned), slice }
}

pub(super) fn stored(owner: EnvOwner, key: &str, value: &str, origin: ValueOrigin) -> StoredValue {
    StoredValue { owner, key: key.to_owned(), value: value.into(), origin }
}

pub(super) fn of(service: &str) -> EnvOwner {
    EnvOwner::Service(service.to_owned())
}

pub(super) fn size() -> InstanceType {
    InstanceType { name: "256mb".to_owned(), cpu_millis: 100, memory_bytes: 256 << 20 }
}

pub(super) fn database(name: &str) -> DatabaseFacts {
    DatabaseFacts {
        database: Database {
            name: name.to_owned(),
            database_name: "shop db".to_owned(),
            user: "shop".to_owned(),
            major_version: 17,
            instance_type: size(),
            disk_size_gb: None,
            compose: model::ComposeStore::default(),
        },
        host: "dpg-1".to_owned(),
        port: 5432,
        password: "pass/word".into(),
    }
}

pub(super) fn key_value(name: &str) -> KeyValueFacts {
    KeyValueFacts {
        key_value: KeyValue {
            name: name.to_owned(),
            instance_type: size(),
            maxmemory_policy: MaxmemoryPolicy::AllkeysLru,
            persistence_mode: PersistenceMode::Off,
            compose: model::ComposeStore::default(),
        },
        host: "red-1".to_owned(),
        port: 6379,
        password: None,
    }
}

pub(super) fn group(name: &str, env: Vec<EnvVar>) -> EnvGroup {
    EnvGroup { name: name.to_owned(), env }
}

pub(super) fn facts(services: Vec<ServiceFacts>) -> Facts {
    Facts { services, ..Facts::default() }
}
