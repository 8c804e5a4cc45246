//! What an applied Blueprint means for one service: create, build, restart or keep it.

use model::{ArtifactId, Container, Service};

/// What is asked of a service.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// The declaration.
    pub service: &'a Service,
    /// The artifact that it would run; `None` when nothing has to be built.
    pub artifact_id: Option<&'a ArtifactId>,
    /// Its resolved environment as `(key, value)`, compared and never shown.
    pub env: &'a [(String, String)],
}

/// What the service's newest deploy made of it.
#[derive(Debug, Clone)]
pub struct Current<'a> {
    /// The declaration it was made from.
    pub service: &'a Service,
    /// The artifact that it runs.
    pub artifact_id: Option<&'a ArtifactId>,
    /// Its resolved environment.
    pub env: &'a [(String, String)],
    /// How it stands.
    pub standing: Standing,
}

/// How a service's newest deploy stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is live, or on its way.
    Good,
    /// It failed; an older release may serve.
    Failed,
    /// A person has stopped it.
    Stopped,
}

/// What to do with a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Create,
    /// Its source, its build or what the build sees has changed.
    Rebuild,
    /// The same bytes with another environment, command or size.
    Restart,
    /// It was stopped, or its last deploy failed: try again what is asked.
    Retry,
    /// Nothing.
    Keep,
}

/// What to do with a service, and why, in words for a person.
#[must_use]
pub fn decide(wanted: &Wanted<'_>, current: Option<&Current<'_>>) -> (Change, Vec<String>) {
    let Some(current) = current else {
        return (Change::Create, Vec::new());
    };
    let mut reasons = declaration_changes(wanted.service, current.service);
    reasons.extend(env_changes(wanted.env, current.env));
    if wanted.artifact_id != current.artifact_id {
        if reasons.is_empty() {
            reasons.push("the source changed".to_owned());
        }
        return (Change::Rebuild, reasons);
    }
    if !reasons.is_empty() {
        return (Change::Restart, reasons);
    }
    match current.standing {
        Standing::Good => (Change::Keep, Vec::new()),
        Standing::Failed => (Change::Retry, vec!["its last deploy failed".to_owned()]),
        Standing::Stopped => (Change::Retry, vec!["it was stopped".to_owned()]),
    }
}

fn declaration_changes(wanted: &Service, current: &Service) -> Vec<String> {
    let mut changes = Vec::new();
    let mut compare = |name: &str, differs: bool| {
        if differs {
            changes.push(format!("{name} changed"));
        }
    };
    compare("type", wanted.kind != current.kind);
    compare("runtime", wanted.runtime != current.runtime);
    compare("rootDir", wanted.root_dir != current.root_dir);
    compare("buildCommand", wanted.build_command != current.build_command);
    compare("startCommand", wanted.start_command != current.start_command);
    compare("preDeployCommand", wanted.pre_deploy_command != current.pre_deploy_command);
    compare("schedule", wanted.schedule != current.schedule);
    compare("plan", wanted.instance_type != current.instance_type);
    compare("numInstances", wanted.instances != current.instances);
    compare("healthCheckPath", wanted.health_check_path != current.health_check_path);
    compare(
        "maxShutdownDelaySeconds",
        wanted.max_shutdown_delay_seconds != current.max_shutdown_delay_seconds,
    );
    compare("disk", wanted.disk != current.disk);
    compare("domains", wanted.domains != current.domains);
    compare("staticPublishPath", wanted.publish_path != current.publish_path);
    compare("headers", wanted.headers != current.headers);
    compare("routes", wanted.routes != current.routes);
    compare("docker", wanted.docker != current.docker);
    compare("image", wanted.image != current.image);
    compare("command", wanted.container.command != current.container.command);
    let rest = |service: &Service| Container { command: None, ..service.container.clone() };
    compare("the container's settings", rest(wanted) != rest(current));
    changes
}

fn env_changes(wanted: &[(String, String)], current: &[(String, String)]) -> Vec<String> {
    let value = |list: &[(String, String)], key: &str| {
        list.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone())
    };
    let mut changes = Vec::new();
    for (key, text) in wanted {
        match value(current, key) {
            None => changes.push(format!("{key} is new")),
            Some(old) if old != *text => changes.push(format!("{key} changed")),
            Some(_) => {}
        }
    }
    for (key, _) in current {
        if value(wanted, key).is_none() {
            changes.push(format!("{key} is gone"));
        }
    }
    changes
}
