//! Instances that a person may look into.

use model::{InstanceId, InstancePurpose, InstanceState, Problem, ServiceId};

use crate::error::Error;
use crate::ops::deploys;
use crate::platform::{Platform, StoreState};

/// An instance, and words for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its id.
    pub id: InstanceId,
    /// Words for it.
    pub label: String,
}

/// A running instance of a service: of the live release if there is one.
///
/// # Errors
/// When none runs.
pub async fn of_service(platform: &Platform, id: &ServiceId) -> Result<Found, Error> {
    let row = deploys::service(platform, id)?;
    let live = store::deploys::live(&platform.store, id)?.map(|deploy| deploy.id);
    let mut found = None;
    for instance in store::instances::by_service(&platform.store, id)? {
        let InstancePurpose::Service { deploy_id, .. } = &instance.purpose else { continue };
        let state = platform.driver.observe(&instance.id).await;
        if matches!(state, Some(InstanceState::Running { .. })) {
            let is_live = live.as_ref() == Some(deploy_id);
            if is_live || found.is_none() {
                found = Some(instance.id);
            }
        }
    }
    match found {
        Some(id) => Ok(Found { id, label: row.definition.name }),
        None => {
            Err(Problem::new("no-instance", format!("no instance of {} runs", row.definition.name))
                .hint("`gable run` starts a job with the same files and variables")
                .into())
        }
    }
}

/// The instance of a data store.
///
/// # Errors
/// When it does not run.
pub fn of_store(platform: &Platform, id: &str) -> Result<Found, Error> {
    let name =
        crate::events::store_name(platform, id)?.map_or_else(|| id.to_owned(), |(name, _)| name);
    match platform.store_state(id) {
        Some(StoreState::Ready { instance_id, .. }) => Ok(Found { id: instance_id, label: name }),
        _ => Err(Problem::new("no-instance", format!("{name} does not run"))
            .hint("`gable status` says why")
            .into()),
    }
}
