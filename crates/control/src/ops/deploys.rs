//! Deploys of services that exist: again, another release, give up.

use jiff::Timestamp;
use model::{Deploy, DeployEvent, DeployId, DeployTrigger, Problem, Release, Revision, ServiceId};
use store::services::ServiceRow;

use crate::crash;
use crate::error::Error;
use crate::events;
use crate::platform::Platform;

/// A service by its id.
///
/// # Errors
/// When there is none.
pub fn service(platform: &Platform, id: &ServiceId) -> Result<ServiceRow, Error> {
    store::services::get(&platform.store, id)?.ok_or_else(|| {
        Problem::new("service-not-found", format!("there is no service {id}"))
            .hint("`gable status` lists the services")
            .into()
    })
}

/// Asks for a deploy of a release that exists: no build.
///
/// # Errors
/// When the store refuses.
pub fn create(
    platform: &Platform,
    release: &Release,
    trigger: DeployTrigger,
) -> Result<Deploy, Error> {
    let new = store::deploys::NewDeploy {
        service_id: &release.service_id,
        release_id: &release.id,
        build_id: None,
        trigger,
        now: Timestamp::now(),
    };
    let deploy = store::deploys::insert(&platform.store, &new)?;
    crash::point(crash::CREATED);
    platform.wake();
    Ok(deploy)
}

/// Replaces the instances of a service by new ones of the same release.
///
/// # Errors
/// When nothing of it is live, or there is no such service.
pub fn restart(platform: &Platform, id: &ServiceId) -> Result<Deploy, Error> {
    let row = service(platform, id)?;
    let release = live_release(platform, &row)?;
    create(platform, &release, DeployTrigger::Manual)
}

/// Makes an earlier release live again: the one with this number, or the one that was live before.
///
/// # Errors
/// When there is no such release, or its artifact is gone.
pub fn rollback(
    platform: &Platform,
    id: &ServiceId,
    revision: Option<Revision>,
) -> Result<Deploy, Error> {
    let row = service(platform, id)?;
    let release = match revision {
        Some(revision) => store::releases::by_revision(&platform.store, id, revision)?,
        None => previous_release(platform, id)?,
    };
    let Some(release) = release else {
        return Err(Problem::new(
            "release-not-found",
            format!("{} has no earlier release to go back to", row.definition.name),
        )
        .hint("a release can be gone back to once it was live")
        .into());
    };
    create(platform, &release, DeployTrigger::Rollback)
}

fn previous_release(platform: &Platform, id: &ServiceId) -> Result<Option<Release>, Error> {
    let live = store::deploys::live(&platform.store, id)?;
    for deploy in store::deploys::list(&platform.store, id, 100)? {
        let was_live = deploy.status == model::DeployStatus::Deactivated;
        let is_other = live.as_ref().is_none_or(|live| live.release_id != deploy.release_id);
        if was_live && is_other {
            return Ok(store::releases::get(&platform.store, &deploy.release_id)?);
        }
    }
    Ok(None)
}

/// The release that serves.
///
/// # Errors
/// When none does.
pub fn live_release(platform: &Platform, row: &ServiceRow) -> Result<Release, Error> {
    let live = store::deploys::live(&platform.store, &row.id)?;
    let release = match live {
        Some(deploy) => store::releases::get(&platform.store, &deploy.release_id)?,
        None => None,
    };
    release.ok_or_else(|| {
        Problem::new("not-live", format!("{} has no live release", row.definition.name))
            .hint("deploy it first: `gable up`")
            .into()
    })
}

/// The release to run commands with: the one that serves, or else the newest that was built.
///
/// # Errors
/// When there is none.
pub fn newest_built(platform: &Platform, row: &ServiceRow) -> Result<Release, Error> {
    if let Ok(release) = live_release(platform, row) {
        return Ok(release);
    }
    for release in store::releases::list(&platform.store, &row.id)? {
        if let Some(id) = &release.artifact_id
            && store::artifacts::get(&platform.store, id)?.is_some()
        {
            return Ok(release);
        }
    }
    live_release(platform, row)
}

/// Gives a deploy up.
///
/// # Errors
/// When there is no such deploy. One that is over stays as it is.
pub fn cancel(platform: &Platform, id: &DeployId) -> Result<(), Error> {
    events::transition(platform, id, DeployEvent::Canceled, None)?;
    platform.wake();
    Ok(())
}
