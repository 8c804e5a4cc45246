//! What a deploy needs and does not have yet: data stores, and the services it depends on.

use model::{DependencyCondition, InstancePurpose, InstanceState, Problem};
use reconcile::deploy::{Desired, NeedState};
use store::services::ServiceRow;

use crate::error::Error;
use crate::platform::{Platform, StoreState};

/// Data stores of the service's environment that are not ready.
pub(super) fn data_stores(
    platform: &Platform,
    row: &ServiceRow,
) -> Result<Vec<(String, NeedState)>, Error> {
    let mut states = Vec::new();
    let databases = store::databases::list(&platform.store, &row.environment_id)?
        .into_iter()
        .map(|row| (row.definition.name, row.id.to_string()));
    let key_values = store::key_values::list(&platform.store, &row.environment_id)?
        .into_iter()
        .map(|row| (row.definition.name, row.id.to_string()));
    for (name, id) in databases.chain(key_values) {
        match platform.store_state(&id) {
            Some(StoreState::Ready { .. }) => {}
            Some(StoreState::Failed(problem)) => {
                states.push((name, NeedState::Failed(problem)));
            }
            _ => states.push((name, NeedState::Pending)),
        }
    }
    Ok(states)
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
                let message = format!("{}, which waits for it, was not deployed", row.name());
                let problem =
                    Problem { message: format!("{}; {message}", problem.message), ..problem };
                states.push((dependency.service.clone(), NeedState::Failed(problem)));
            }
            Some(pending) => states.push((dependency.service.clone(), pending)),
        }
    }
    Ok(states)
}

/// How far a service is, seen from one that depends on it; `None` when it is far enough.
async fn state(
    platform: &Platform,
    sibling: &ServiceRow,
    condition: DependencyCondition,
) -> Result<Option<NeedState>, Error> {
    if !store::deploys::in_progress_of(&platform.store, &sibling.id)?.is_empty() {
        return Ok(Some(NeedState::Pending));
    }
    let Some(live) = store::deploys::live(&platform.store, &sibling.id)? else {
        return Ok(Some(match store::deploys::latest(&platform.store, &sibling.id)? {
            // Its deploy is about to be asked for.
            None => NeedState::Pending,
            Some(_) => failed(sibling, "was not deployed"),
        }));
    };
    if condition != DependencyCondition::ServiceCompletedSuccessfully
        || !sibling.definition.has_instances()
    {
        return Ok(None);
    }
    let instances = store::instances::by_service(&platform.store, &sibling.id)?;
    let instance = instances.iter().rev().find(|instance| {
        matches!(&instance.purpose, InstancePurpose::Service { deploy_id, .. } if *deploy_id == live.id)
    });
    let Some(instance) = instance else { return Ok(Some(NeedState::Pending)) };
    Ok(match platform.driver.observe(&instance.id).await {
        Some(InstanceState::Exited(exit)) if exit.is_success() => None,
        Some(InstanceState::Exited(_)) if !sibling.definition.container.restart.may_complete() => {
            Some(failed(sibling, "ended, and is started again each time: it cannot complete"))
        }
        _ => Some(NeedState::Pending),
    })
}

fn failed(sibling: &ServiceRow, what: &str) -> NeedState {
    let name = sibling.name();
    NeedState::Failed(
        Problem::new("dependency-failed", format!("{name} {what}"))
            .hint(format!("`gable logs {name}` and `gable status` say why")),
    )
}
