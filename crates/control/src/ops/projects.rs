//! Stopping and removing whole projects.

use std::time::Duration;

use model::{ArtifactId, EnvironmentId, Problem, Project};

use crate::environments;
use crate::error::Error;
use crate::init_files;
use crate::instances::volumes_dir;
use crate::ops::blueprints::sources_of_project;
use crate::platform::{Platform, StoreState};
use crate::tasks::services::disk_dir;

/// How often it is looked whether everything has stopped.
const POLL: Duration = Duration::from_millis(50);
/// Everything gets this long to stop; an instance's own grace is shorter.
const STOP_LIMIT: Duration = Duration::from_secs(330);

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
    }
    platform.wake();
    Ok(())
}

/// Waits until nothing of a project runs.
///
/// # Errors
/// When that takes too long.
pub async fn stopped(platform: &Platform, project: &Project) -> Result<(), Error> {
    stopped_within(platform, project, STOP_LIMIT).await
}

async fn stopped_within(
    platform: &Platform,
    project: &Project,
    limit: Duration,
) -> Result<(), Error> {
    let deadline = tokio::time::Instant::now() + limit;
    loop {
        let running = running(platform, project).await?;
        if running.is_empty() {
            return Ok(());
        }
        if tokio::time::Instant::now() >= deadline {
            return Err(Problem::new("stop-failed", format!("{} still runs", running.join(", ")))
                .hint("look at `gable status`, then repeat")
                .into());
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn running(platform: &Platform, project: &Project) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for environment in store::environments::list(&platform.store, &project.id)? {
        for row in store::services::list(&platform.store, &environment.id)? {
            if !store::instances::by_service(&platform.store, &row.id)?.is_empty() {
                names.push(row.definition.name);
            }
        }
        let databases = store::databases::list(&platform.store, &environment.id)?
            .into_iter()
            .map(|row| (format!("database {}", row.definition.name), row.id.to_string()));
        let key_values = store::key_values::list(&platform.store, &environment.id)?
            .into_iter()
            .map(|row| (format!("Key Value {}", row.definition.name), row.id.to_string()));
        for (name, id) in databases.chain(key_values) {
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
            platform.driver.remove(&instance.id).await?;
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
            match platform.driver.remove(&instance_id).await {
                Ok(()) | Err(engine::Error::NotFound(_)) => {}
                Err(error) => return Err(error.into()),
            }
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
            let work = platform.build.work_dir.join(build.id.as_str());
            std::fs::create_dir_all(work.join("tree/node_modules")).unwrap();
            work
        };
        let (waiting, cancelled) = (work(true), work(false));
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
        let error = stopped_within(&platform, &project, Duration::ZERO).await.unwrap_err();
        assert_eq!(error.problem().message, "database data, Key Value data still runs");
    }
}
