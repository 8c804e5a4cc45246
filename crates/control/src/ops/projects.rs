//! Stopping and removing whole projects.

use std::time::Duration;

use model::{ArtifactId, EnvironmentId, Instance, InstanceId, InstancePurpose, Problem, Project};

use crate::environments;
use crate::error::Error;
use crate::init_files;
use crate::instances::volumes_dir;
use crate::ops::blueprints::sources_of_project;
use crate::platform::{Platform, StoreState};
use crate::tasks::services::disk_dir;

/// How often it is looked whether everything has stopped.
const POLL: Duration = Duration::from_millis(50);
/// Something has to stop within this time; an instance's own grace is shorter.
const STOP_LIMIT: Duration = Duration::from_secs(330);
/// What is still there of an instance when its data are removed gets no longer than this.
const PURGE_GRACE: Duration = Duration::from_secs(5);

/// A project by its name.
///
/// # Errors
/// When there is none.
pub fn by_name(platform: &Platform, name: &str) -> Result<Project, Error> {
    store::projects::by_name(&platform.store, name)?.ok_or_else(|| {
        Problem::new("project-not-found", format!("there is no project `{name}`"))
            .hint("`gable status` lists the projects")
            .into()
    })
}

/// Asks for everything of a project to stop. Data stays.
///
/// # Errors
/// When the store refuses.
pub fn stop(platform: &Platform, project: &Project) -> Result<(), Error> {
    for environment in store::environments::list(&platform.store, &project.id)? {
        environments::set_stopped(platform, &environment.id, true)?;
        // What was known before may be of an earlier stop: it counts when it was seen again.
        for (_, id) in data_stores(platform, &environment.id)? {
            platform.forget_store(&id);
        }
    }
    platform.wake();
    Ok(())
}

/// Waits until nothing of a project runs, and tells what is waited for whenever that changes.
///
/// # Errors
/// When nothing more stops for too long.
pub async fn stopped(
    platform: &Platform,
    project: &Project,
    tell: impl Fn(&[String]),
) -> Result<(), Error> {
    stopped_within(platform, project, STOP_LIMIT, tell).await
}

async fn stopped_within(
    platform: &Platform,
    project: &Project,
    limit: Duration,
    tell: impl Fn(&[String]),
) -> Result<(), Error> {
    let mut deadline = tokio::time::Instant::now() + limit;
    let mut told = Vec::new();
    loop {
        let running = running(platform, project)?;
        if running.is_empty() {
            return Ok(());
        }
        if running != told {
            // One waits for the other: each that has stopped gives the next its time.
            deadline = tokio::time::Instant::now() + limit;
            tell(&running);
            told.clone_from(&running);
        }
        if tokio::time::Instant::now() >= deadline {
            return Err(Problem::new("stop-failed", format!("{} still runs", running.join(", ")))
                .hint("look at `gable status`, then repeat")
                .into());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The data stores of an environment: what they are called, and their ids.
fn data_stores(
    platform: &Platform,
    environment_id: &EnvironmentId,
) -> Result<Vec<(String, String)>, Error> {
    let databases = store::databases::list(&platform.store, environment_id)?
        .into_iter()
        .map(|row| (format!("database {}", row.definition.name), row.id.to_string()));
    let key_values = store::key_values::list(&platform.store, environment_id)?
        .into_iter()
        .map(|row| (format!("Key Value {}", row.definition.name), row.id.to_string()));
    Ok(databases.chain(key_values).collect())
}

fn running(platform: &Platform, project: &Project) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for environment in store::environments::list(&platform.store, &project.id)? {
        for row in store::services::list(&platform.store, &environment.id)? {
            let instances = store::instances::by_service(&platform.store, &row.id)?;
            let is_job = |instance: &Instance| matches!(instance.purpose, InstancePurpose::Job(_));
            if !instances.is_empty() && instances.iter().all(is_job) {
                names.push(format!("a job of {}", row.definition.name));
            } else if !instances.is_empty() {
                names.push(row.definition.name);
            }
        }
        for (name, id) in data_stores(platform, &environment.id)? {
            if !matches!(platform.store_state(&id), Some(StoreState::Stopped)) {
                names.push(name);
            }
        }
    }
    Ok(names)
}

/// Removes a stopped project with all its data: databases, disks, logs, sources.
///
/// # Errors
/// When something cannot be removed; repeating it goes on from there.
pub async fn purge(platform: &Platform, project: &Project) -> Result<(), Error> {
    for environment in store::environments::list(&platform.store, &project.id)? {
        purge_environment(platform, &environment.id).await?;
    }
    let sources = sources_of_project(platform, project.name.clone())?;
    store::projects::delete(&platform.store, &project.id)?;
    if !are_used(platform, &sources)? {
        platform.sources.remove_project(&sources).await?;
        let caches = move |platform: &Platform| {
            Ok(build::caches::remove_project(&platform.build, &sources)?)
        };
        blocking(platform, caches).await?;
    }
    blocking(platform, remove_dead_work).await?;
    let kept = blocking(platform, collect_garbage).await?;
    build::container::collect_garbage(&platform.build, &kept).await?;
    platform.publisher.publish(platform).await?;
    Ok(())
}

/// Whether another project of the same file needs the sources.
fn are_used(platform: &Platform, sources: &str) -> Result<bool, Error> {
    for project in store::projects::list(&platform.store)? {
        if sources_of_project(platform, project.name)? == sources {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn purge_environment(platform: &Platform, id: &EnvironmentId) -> Result<(), Error> {
    let state_dir = &platform.config.state_dir;
    let mut directories = Vec::new();
    for row in store::services::list(&platform.store, id)? {
        for instance in store::instances::by_service(&platform.store, &row.id)? {
            end(platform, &instance.id).await?;
            store::instances::delete(&platform.store, &instance.id)?;
        }
        directories.push(disk_dir(platform, &row.id));
        directories.push(platform.config.logs_dir().join(row.id.as_str()));
    }
    for row in store::databases::list(&platform.store, id)? {
        directories.push(init_files::directory(platform, &row.id));
    }
    let mut stores = Vec::new();
    stores.extend(
        store::databases::list(&platform.store, id)?
            .into_iter()
            .map(|row| (row.id.to_string(), row.instance_id)),
    );
    stores.extend(
        store::key_values::list(&platform.store, id)?
            .into_iter()
            .map(|row| (row.id.to_string(), row.instance_id)),
    );
    for (store_id, instance_id) in stores {
        if let Some(instance_id) = instance_id {
            end(platform, &instance_id).await?;
        }
        directories.push(state_dir.join("data").join(&store_id));
        directories.push(platform.config.logs_dir().join(&store_id));
    }
    directories.push(volumes_dir(platform, id));
    // The records go first: what is left of the directories belongs to nobody and harms nobody.
    store::environments::delete_everything(&platform.store, id)?;
    platform.wake();
    blocking(platform, move |_| directories.iter().try_for_each(|path| remove_dir(path))).await?;
    platform.forget_network(id);
    platform.publisher.publish(platform).await?;
    platform.driver.remove_network(id).await?;
    Ok(())
}

/// Ends an instance, if it still runs, and forgets it.
async fn end(platform: &Platform, id: &InstanceId) -> Result<(), Error> {
    use engine::Error::{NotFound, NotRunning};
    match platform.driver.stop(id, PURGE_GRACE).await {
        Ok(()) | Err(NotFound(_) | NotRunning(_)) => {}
        Err(error) => return Err(error.into()),
    }
    match platform.driver.remove(id).await {
        Ok(()) | Err(NotFound(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Many small files take a disk minutes: nobody else has to wait for it.
async fn blocking<T: Send + 'static>(
    platform: &Platform,
    work: impl FnOnce(&Platform) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let platform = platform.clone();
    tokio::task::spawn_blocking(move || work(&platform)).await.unwrap_or_else(|error| {
        Err(Problem::new("purge-failed", "the removal of files ended unexpectedly")
            .detail(error.to_string())
            .hint("repeat it: it goes on from there")
            .into())
    })
}

fn remove_dir(path: &std::path::Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::host(format!("remove {}", path.display()))(error)),
    }
}

/// Removes the work directories of builds that no deploy waits for: of those that were cut off, and
/// whose deploys were cancelled or went with their project.
///
/// # Errors
/// When one cannot be removed.
pub fn remove_dead_work(platform: &Platform) -> Result<(), Error> {
    let waiting = store::deploys::in_progress(&platform.store)?;
    let alive: Vec<_> = waiting.into_iter().filter_map(|deploy| deploy.build_id).collect();
    Ok(build::remove_dead_work(&platform.build, &alive)?)
}

/// Throws away artifacts that no release of any service refers to, and says which are left.
///
/// # Errors
/// When one cannot be removed.
pub fn collect_garbage(platform: &Platform) -> Result<Vec<ArtifactId>, Error> {
    let mut keep = Vec::new();
    for row in store::services::list_all(&platform.store)? {
        keep.extend(
            store::releases::list(&platform.store, &row.id)?
                .into_iter()
                .filter_map(|release| release.artifact_id),
        );
    }
    for (artifact, _) in store::artifacts::list(&platform.store)? {
        if !keep.contains(&artifact.id) {
            store::artifacts::delete(&platform.store, &artifact.id)?;
        }
    }
    build::collect_garbage(&platform.build, &keep)?;
    Ok(keep)
}

#[cfg(test)]
mod tests {
    use model::DeployEvent;

    use super::*;
    use crate::testing;

    #[tokio::test]
    async fn the_work_of_a_build_stays_as_long_as_a_deploy_waits_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let platform = testing::platform(directory.path());
        let environment = testing::environment(&platform, "shop");
        let service = testing::service(&platform, &environment, "web");
        let release = testing::release(&platform, &service);
        let artifact = release.artifact_id.clone().unwrap();
        let work = |waits: bool| {
            let events: &[DeployEvent] = if waits {
                &[DeployEvent::BuildStarted]
            } else {
                &[DeployEvent::BuildStarted, DeployEvent::Canceled]
            };
            let deploy = testing::deploy(&platform, &release, events);
            let now = jiff::Timestamp::now();
            let build = store::builds::insert(&platform.store, &artifact, now).unwrap();
            store::deploys::set_build(&platform.store, &deploy.id, &build.id).unwrap();
            if !waits {
                // One that is under way would be shared with the next deploy of the artifact.
                let status = model::BuildStatus::Succeeded;
                store::builds::set_status(&platform.store, &build.id, &status, now).unwrap();
            }
            let work = platform.build.work_dir.join(build.id.as_str());
            std::fs::create_dir_all(work.join("tree/node_modules")).unwrap();
            work
        };
        let cancelled = work(false);
        let waiting = work(true);
        remove_dead_work(&platform).unwrap();
        assert!(waiting.exists());
        assert!(!cancelled.exists(), "a cancelled deploy's build has left its tree");
    }

    #[tokio::test]
    async fn what_does_not_stop_is_told_with_its_kind() {
        let directory = tempfile::tempdir().unwrap();
        let platform = testing::platform(directory.path());
        let environment = testing::environment(&platform, "shop");
        let _service = testing::service(&platform, &environment, "data");
        let _database = testing::database(&platform, &environment, "data");
        let key_value = model::KeyValue {
            name: "data".to_owned(),
            instance_type: model::InstanceType {
                name: "free".to_owned(),
                cpu_millis: 100,
                memory_bytes: 1 << 20,
            },
            maxmemory_policy: model::MaxmemoryPolicy::AllkeysLru,
            persistence_mode: model::PersistenceMode::Off,
            compose: model::ComposeStore::default(),
        };
        let now = jiff::Timestamp::now();
        store::key_values::upsert(&platform.store, &environment.id, &key_value, now).unwrap();
        let project = by_name(&platform, "shop").unwrap();
        let told = std::cell::RefCell::new(Vec::new());
        let tell = |names: &[String]| told.borrow_mut().push(names.join(", "));
        let error = stopped_within(&platform, &project, Duration::ZERO, tell).await.unwrap_err();
        assert_eq!(error.problem().message, "database data, Key Value data still runs");
        assert_eq!(told.into_inner(), ["database data, Key Value data"]);
    }
}
