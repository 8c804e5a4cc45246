//! The status of everything, as public JSON.

use control::StoreState;
use control::ops::status::{
    Condition, EnvironmentView, InstanceView, ProjectView, ServiceView, Standing, StoreKind,
    StoreView,
};
use model::InstanceState;

use super::{deploy_status, problem, proof};

pub(crate) fn project(view: &ProjectView) -> wire::ProjectStatus {
    wire::ProjectStatus {
        name: view.project.name.clone(),
        source: view.project.source.clone(),
        stopped: view.is_stopped,
        environments: view.environments.iter().map(environment).collect(),
        missing: view
            .environments
            .iter()
            .flat_map(|view| &view.missing)
            .map(|unset| wire::Missing {
                environment: unset.environment.clone(),
                service: unset.service.clone(),
                key: unset.key.clone(),
                why: unset.why.clone(),
                hint: Some(format!("gable env set {} {}=…", unset.service, unset.key)),
            })
            .collect(),
    }
}

fn environment(view: &EnvironmentView) -> wire::EnvironmentStatus {
    wire::EnvironmentStatus {
        id: view.environment.id.to_string(),
        name: view.environment.name.clone(),
        services: view.services.iter().map(service).collect(),
        databases: view.stores.iter().map(store).collect(),
    }
}

fn service(view: &ServiceView) -> wire::ServiceStatus {
    let row = &view.row;
    let live = view.live.as_ref();
    wire::ServiceStatus {
        id: row.id.to_string(),
        name: row.definition.name.clone(),
        slug: row.slug.clone(),
        kind: match row.definition.kind {
            model::ServiceKind::Web => wire::ServiceKind::Web,
            model::ServiceKind::Private => wire::ServiceKind::Pserv,
            model::ServiceKind::Worker => wire::ServiceKind::Worker,
            model::ServiceKind::Cron => wire::ServiceKind::Cron,
            model::ServiceKind::Static => wire::ServiceKind::Static,
        },
        runtime: row.definition.runtime.to_string(),
        state: state(view.standing),
        state_detail: state_detail(view),
        urls: view.urls.clone(),
        internal: view.internal.clone(),
        revision: live.map(|(_, release)| release.revision.0),
        commit: live.map(|(_, release)| release.commit.id.clone()),
        instances: view.instances.iter().map(instance).collect(),
        deploy: view.latest.as_ref().map(|deploy| wire::DeployInfo {
            id: deploy.id.to_string(),
            status: deploy_status(deploy.status),
            trigger: deploy.trigger.to_string(),
            created_at: deploy.created_at,
            finished_at: deploy.finished_at,
            failure: deploy.failure.as_ref().map(problem),
            warning: view.warning.as_ref().map(problem),
            proof: deploy.proof.map(proof),
            phase_since: deploy.status_since,
            waiting: view.waiting.clone().filter(|_| deploy.status.is_in_progress()),
        }),
        next_run: view.next_run,
        last_run: view.last_run.as_ref().map(|run| wire::RunInfo {
            instance_id: run.instance_id.to_string(),
            started_at: run.started_at,
            finished_at: run.ended.as_ref().map(|(at, _)| *at),
            succeeded: run.ended.as_ref().map(|(_, exit)| exit.is_success()),
            detail: run.ended.as_ref().map(|(_, exit)| exit.to_string()).unwrap_or_default(),
        }),
    }
}

fn state(standing: Standing) -> wire::ServiceState {
    use wire::ServiceState as W;
    match standing {
        Standing::Live => W::Live,
        Standing::Deploying => W::Deploying,
        Standing::Waiting => W::Waiting,
        Standing::Failed => W::Failed,
        Standing::Degraded => W::Degraded,
        Standing::CrashLooping => W::CrashLooping,
        Standing::Stopped => W::Stopped,
        Standing::Scheduled => W::Scheduled,
        Standing::Running => W::Running,
        Standing::Completed => W::Completed,
        Standing::Ended => W::Ended,
    }
}

fn state_detail(view: &ServiceView) -> String {
    match view.standing {
        Standing::Failed | Standing::Degraded => view
            .latest
            .as_ref()
            .and_then(|deploy| deploy.failure.as_ref())
            .map(|problem| problem.message.clone())
            .unwrap_or_default(),
        Standing::Deploying | Standing::Waiting | Standing::Running => {
            view.waiting.clone().unwrap_or_default()
        }
        Standing::CrashLooping => {
            let restarts = view.instances.iter().map(|view| view.instance.restarts).max();
            format!("started again {} times", restarts.unwrap_or_default())
        }
        Standing::Ended => "its `restart` says to leave it".to_owned(),
        _ => String::new(),
    }
}

fn instance(view: &InstanceView) -> wire::InstanceStatus {
    let (address, started_at) = match &view.state {
        InstanceState::Running { address, started_at } => {
            (Some(address.to_string()), Some(*started_at))
        }
        _ => (None, None),
    };
    wire::InstanceStatus {
        id: view.instance.id.to_string(),
        state: match view.condition {
            Condition::Exited => wire::InstanceState::Exited,
            Condition::Starting => wire::InstanceState::Starting,
            Condition::Healthy => wire::InstanceState::Healthy,
            Condition::Unhealthy => wire::InstanceState::Unhealthy,
            Condition::Running => wire::InstanceState::Running,
        },
        address,
        port: view.port,
        restarts: view.instance.restarts,
        last_exit: view
            .last_exit
            .as_ref()
            .map(|exit| wire::InstanceExit { what: exit.to_string(), at: exit.at }),
        memory_bytes: view.memory_bytes,
        started_at,
        release: view.revision,
    }
}

struct StoreWords {
    state: wire::DatabaseState,
    detail: String,
    version: Option<String>,
    address: Option<String>,
    failure: Option<wire::Problem>,
}

fn store_words(state: Option<&StoreState>) -> StoreWords {
    let words = |state, detail: &str| StoreWords {
        state,
        detail: detail.to_owned(),
        version: None,
        address: None,
        failure: None,
    };
    match state {
        None => words(wire::DatabaseState::Creating, ""),
        Some(StoreState::Starting(text)) => words(wire::DatabaseState::Starting, text),
        Some(StoreState::Stopped) => words(wire::DatabaseState::Stopped, ""),
        Some(StoreState::Ready { running, .. }) => StoreWords {
            version: Some(running.version.clone()),
            address: Some(running.address.to_string()),
            ..words(wire::DatabaseState::Available, "")
        },
        Some(StoreState::Failed { problem: failure, .. }) => StoreWords {
            failure: Some(problem(failure)),
            ..words(wire::DatabaseState::Failed, &failure.message)
        },
    }
}

fn store(view: &StoreView) -> wire::DatabaseStatus {
    let words = store_words(view.state.as_ref());
    wire::DatabaseStatus {
        id: view.id.clone(),
        name: view.name.clone(),
        kind: match view.kind {
            StoreKind::Postgres => wire::DatabaseKind::Postgres,
            StoreKind::KeyValue => wire::DatabaseKind::KeyValue,
        },
        version: words.version.unwrap_or_else(|| view.version.clone()),
        state: words.state,
        state_detail: words.detail,
        host: view.host.clone(),
        port: view.port,
        address: words.address,
        failure: words.failure,
        memory_bytes: view.memory_bytes,
        started_at: view.started_at,
    }
}
