//! What a deploy needs and does not have yet: data stores, and the services it depends on.

use model::{
    DependencyCondition, Deploy, DeployStatus, Instance, InstancePurpose, InstanceState, Problem,
};
use reconcile::deploy::{Desired, Health, NeedState, may_restart};
use store::services::ServiceRow;

use crate::data_stores::{self, DataStore};
use crate::error::Error;
use crate::instances;
use crate::platform::{Platform, StoreState};

/// Data stores that the next release uses and that are not ready. Others are no business of its.
pub(super) fn data_stores(
    platform: &Platform,
    row: &ServiceRow,
    desired: &Desired,
) -> Result<Vec<(String, NeedState)>, Error> {
    let Some(next) = &desired.next else { return Ok(Vec::new()) };
    let mut states = Vec::new();
    for one in data_stores::used_by(platform, &row.environment_id, &next.release)? {
        match data_stores::state(platform, &one.id) {
            Some(StoreState::Ready { .. }) => {}
            Some(StoreState::Failed { .. }) => {
                let problem = store_failed(row.name(), &one);
                states.push((one.name, NeedState::Failed(problem)));
            }
            _ => states.push((one.name, NeedState::Pending)),
        }
    }
    Ok(states)
}

/// Why it failed is told of the data store itself, once.
fn store_failed(service: &str, one: &DataStore) -> Problem {
    let (noun, name) = (one.noun, &one.name);
    let message =
        format!("`{service}` was not deployed: the {noun} `{name}`, which it uses, failed");
    Problem::new("dependency-failed", message)
        .hint(format!("mend `{name}` first; `gable status` says what is wrong with it"))
}

/// Services that the next release depends on and that are not as far as it needs them.
pub(super) async fn dependencies(
    platform: &Platform,
    row: &ServiceRow,
    desired: &Desired,
) -> Result<Vec<(String, NeedState)>, Error> {
    let Some(next) = &desired.next else { return Ok(Vec::new()) };
    let mut states = Vec::new();
    for dependency in &next.release.service.container.depends_on {
        let siblings = store::services::list(&platform.store, &row.environment_id)?;
        let sibling =
            siblings.into_iter().find(|other| other.definition.name == dependency.service);
        // What is no service is a data store, and those are waited for anyway.
        let Some(sibling) = sibling else { continue };
        match state(platform, &sibling, dependency.condition).await? {
            None => {}
            Some(NeedState::Failed(_)) if !dependency.is_required => {}
            Some(NeedState::Failed(problem)) => {
                let message = format!("`{}` was not started: {}", row.name(), problem.message);
                let problem = Problem { message, ..problem };
                states.push((dependency.service.clone(), NeedState::Failed(problem)));
            }
            Some(NeedState::Pending) => {
                states.push((dependency.service.clone(), NeedState::Pending));
            }
        }
    }
    Ok(states)
}

/// Services that need this one and still run.
pub(super) async fn dependents(
    platform: &Platform,
    row: &ServiceRow,
) -> Result<Vec<String>, Error> {
    let siblings = store::services::list(&platform.store, &row.environment_id)?;
    let definitions: Vec<_> = siblings.iter().map(|sibling| &sibling.definition).collect();
    let names = reconcile::deploy::dependents(row.name(), &definitions);
    let mut running = Vec::new();
    for sibling in siblings.iter().filter(|sibling| names.iter().any(|name| name == sibling.name()))
    {
        if instances::runs(platform, &sibling.id).await? {
            running.push(sibling.definition.name.clone());
        }
    }
    Ok(running)
}

/// How far a service is, seen from one that depends on it; `None` when it is far enough.
async fn state(
    platform: &Platform,
    sibling: &ServiceRow,
    condition: DependencyCondition,
) -> Result<Option<NeedState>, Error> {
    let is_awaited_to_end = condition == DependencyCondition::ServiceCompletedSuccessfully
        && sibling.definition.has_instances();
    let latest = store::deploys::latest(&platform.store, &sibling.id)?;
    let under_way = store::deploys::in_progress_of(&platform.store, &sibling.id)?;
    if let Some(deploy) = under_way.first() {
        let is_up = !is_awaited_to_end && is_only_watched(platform, sibling, deploy).await?;
        return Ok((!is_up).then_some(NeedState::Pending));
    }
    let Some(latest) = latest else {
        // Its deploy is about to be asked for.
        return Ok(Some(NeedState::Pending));
    };
    let live = store::deploys::live(&platform.store, &sibling.id)?;
    let Some(live) = live.filter(|_| !(is_awaited_to_end && latest.status.is_failed())) else {
        // What it did for the release before says nothing of what it has failed to do for this one.
        return Ok(Some(failed(sibling, "failed")));
    };
    if !is_awaited_to_end {
        return Ok(None);
    }
    let Some(instance) = newest_of(platform, sibling, &live)? else {
        return Ok(Some(NeedState::Pending));
    };
    let policy = sibling.definition.container.restart;
    Ok(match platform.driver.observe(&instance.id).await {
        Some(InstanceState::Exited(exit)) if exit.is_success() => None,
        Some(InstanceState::Exited(_)) if !policy.may_complete() => {
            Some(failed(sibling, "ended, and is started again each time: it cannot complete"))
        }
        Some(InstanceState::Exited(exit)) if !may_restart(policy, instance.restarts) => {
            Some(failed(sibling, &exit.to_string()))
        }
        _ => Some(NeedState::Pending),
    })
}

/// Whether a deploy has all that others wait for: nothing is asked of it any more but to go on
/// running for a while.
async fn is_only_watched(
    platform: &Platform,
    sibling: &ServiceRow,
    deploy: &Deploy,
) -> Result<bool, Error> {
    if deploy.status != DeployStatus::UpdateInProgress || sibling.definition.has_port() {
        return Ok(false);
    }
    let Some(instance) = newest_of(platform, sibling, deploy)? else { return Ok(false) };
    let is_running =
        matches!(platform.driver.observe(&instance.id).await, Some(InstanceState::Running { .. }));
    let is_healthy = platform
        .prober
        .seen(&instance.id)
        .is_some_and(|seen| matches!(seen.health, Health::Healthy { .. }));
    Ok(is_running && is_healthy)
}

/// The newest instance of a deploy.
fn newest_of(
    platform: &Platform,
    row: &ServiceRow,
    deploy: &Deploy,
) -> Result<Option<Instance>, Error> {
    let instances = store::instances::by_service(&platform.store, &row.id)?;
    Ok(instances.into_iter().rev().find(|instance| {
        matches!(&instance.purpose, InstancePurpose::Service { deploy_id, .. } if *deploy_id == deploy.id)
    }))
}

fn failed(sibling: &ServiceRow, what: &str) -> NeedState {
    let name = sibling.name();
    NeedState::Failed(
        Problem::new("dependency-failed", format!("`{name}`, which it waits for, {what}"))
            .hint(format!("`gable logs {name}` and `gable status` say why")),
    )
}
