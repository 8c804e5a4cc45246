//! Throws away what nobody needs any more: on a clock, when the disk gets full, and when asked.
//!
//! [`reconcile::retention`] decides what is kept. Data is never touched, nor anything that a release
//! needs that is live, under way, running, or can be rolled back to. Each step can be repeated; one
//! that is cut short leaves rows or files that the next pass takes.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use model::ArtifactId;
use reconcile::retention::{CacheFacts, Kept, ReleaseFacts, caches_to_remove, releases};
use store::retention::ReleaseRow;
use telemetry::Retention;

use crate::error::Error;
use crate::ops::blueprints::sources_of_project;
use crate::ops::disk::{self, Kind};
use crate::ops::projects;
use crate::platform::Platform;

/// The first pass comes so long after the start: what is found again then comes first.
const FIRST_AFTER: Duration = Duration::from_secs(60);
/// How often what is over is looked at.
const EVERY: Duration = Duration::from_secs(60 * 60);
/// A log of the server's own is shortened when it is larger than this.
const OWN_LOG_BYTES_MAX: u64 = 16 << 20;
/// Logs that the server and the edge write themselves.
const OWN_LOGS: [&str; 2] = ["server.log", "edge.log"];

/// Whether anything is done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Only told.
    Look,
    /// Thrown away.
    Clean,
}

/// What was, or would be, thrown away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freed {
    /// What it is.
    pub kind: Kind,
    /// How many things.
    pub things: u64,
    /// Their bytes, as far as they are known before.
    pub bytes: u64,
}

/// Cleans for as long as the control plane lives.
pub async fn run(platform: Platform) {
    let mut wait = FIRST_AFTER;
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = platform.disk.gets_low() => {}
        }
        match clean(&platform, Mode::Clean).await {
            Ok(freed) => {
                for freed in freed.iter().filter(|freed| freed.things > 0) {
                    tracing::info!(
                        "threw away {} {} ({} MiB)",
                        freed.things,
                        freed.kind.words(),
                        freed.bytes >> 20
                    );
                }
            }
            Err(error) => {
                let problem = error.problem();
                tracing::warn!(detail = problem.detail, "cannot clean: {}", problem.message);
            }
        }
        wait = EVERY;
        // A disk that stays low asks again at once.
        tokio::time::sleep(FIRST_AFTER).await;
    }
}

/// Throws away what nobody needs, or tells what that would be.
///
/// # Errors
/// When the store or the disk refuses; what was done until then stays done.
pub async fn clean(platform: &Platform, mode: Mode) -> Result<Vec<Freed>, Error> {
    let now = Timestamp::now();
    let mut freed = Vec::new();
    // Nothing that is being applied is judged half-made.
    let turn = platform.applying.write().await;
    let rows = store::retention::releases(&platform.store)?;
    let facts: Vec<ReleaseFacts> = rows.iter().map(facts).collect();
    let kept = releases(&facts, &platform.config.keep, now);
    freed.extend(artifacts(platform, &kept, mode, now).await?);
    freed.push(sources(platform, &rows, &kept, mode).await?);
    if mode == Mode::Clean {
        let forgotten: Vec<_> = kept.forgotten.iter().cloned().collect();
        store::retention::forget_releases(&platform.store, &forgotten)?;
    }
    drop(turn);
    freed.push(logs(platform, mode, now).await?);
    if mode == Mode::Clean {
        let before = platform.config.keep.before(now);
        store::events::prune(&platform.store, before)?;
        store::retention::forget_ended(&platform.store, before)?;
        for name in OWN_LOGS {
            shorten(&platform.config.state_dir.join(name))?;
        }
    }
    Ok(freed)
}

fn facts(row: &ReleaseRow) -> ReleaseFacts {
    ReleaseFacts {
        id: row.id.clone(),
        service_id: row.service_id.clone(),
        revision: row.revision,
        artifact_id: row.artifact_id.clone(),
        created_at: row.created_at,
        is_used: row.is_used,
        has_served: row.has_served,
    }
}

/// Artifacts, and the layers that only they need. Nothing while something is built: a build may find
/// an artifact that is there, and need it a moment later.
async fn artifacts(
    platform: &Platform,
    kept: &Kept,
    mode: Mode,
    now: Timestamp,
) -> Result<Vec<Freed>, Error> {
    let all = u32::try_from(platform.config.concurrent_builds.max(1)).unwrap_or(u32::MAX);
    let Ok(_slots) = platform.build_slots.try_acquire_many(all) else { return Ok(Vec::new()) };
    let mut gone = Freed { kind: Kind::Artifacts, things: 0, bytes: 0 };
    let mut keep: Vec<ArtifactId> = kept.artifacts.iter().cloned().collect();
    for (artifact, created_at) in store::artifacts::list(&platform.store)? {
        // One that was just built may be of a release that is not written down yet.
        let is_young = now.duration_since(created_at) < SignedDuration::from_hours(1);
        let is_kept = kept.artifacts.contains(&artifact.id) || is_young;
        let is_gone = !is_kept
            && (mode == Mode::Look
                || store::retention::forget_artifact(&platform.store, &artifact.id, now)?);
        if is_gone {
            gone.things += 1;
            gone.bytes += artifact.size_bytes;
        } else {
            keep.push(artifact.id);
        }
    }
    let caches = caches(platform, mode).await?;
    if mode == Mode::Look {
        return Ok(vec![gone, caches]);
    }
    let (worker, kept_by_files) = (platform.clone(), keep.clone());
    blocking(move || {
        build::collect_garbage(&worker.build, &kept_by_files)?;
        projects::remove_dead_work(&worker)
    })
    .await?;
    // Without an artifact that went, no layer has become needless.
    if gone.things > 0 {
        build::container::collect_garbage(&platform.build, &keep).await?;
    }
    Ok(vec![gone, caches])
}

/// Caches of builds, when they are too much together. No build may run.
async fn caches(platform: &Platform, mode: Mode) -> Result<Freed, Error> {
    let platform = platform.clone();
    blocking(move || {
        let mut facts = Vec::new();
        for path in build::caches::list(&platform.build)? {
            let size = disk::size(&path, &mut HashSet::new());
            let used_at = Timestamp::from_second(size.changed_at).unwrap_or(Timestamp::MIN);
            facts.push(CacheFacts { path, bytes: size.bytes, used_at });
        }
        let mut gone = Freed { kind: Kind::Caches, things: 0, bytes: 0 };
        for cache in caches_to_remove(&facts, platform.config.keep.cache_bytes) {
            if mode == Mode::Clean {
                build::caches::remove(&cache.path)?;
            }
            gone.things += 1;
            gone.bytes += cache.bytes;
        }
        Ok(gone)
    })
    .await
}

/// Commits that no release needs.
async fn sources(
    platform: &Platform,
    rows: &[ReleaseRow],
    kept: &Kept,
    mode: Mode,
) -> Result<Freed, Error> {
    let mut gone = Freed { kind: Kind::Sources, things: 0, bytes: 0 };
    let mut of_service = BTreeMap::new();
    let mut commits: BTreeMap<String, (BTreeSet<&str>, BTreeSet<&str>)> = BTreeMap::new();
    for project in store::projects::list(&platform.store)? {
        let sources = sources_of_project(platform, project.name.clone())?;
        for environment in store::environments::list(&platform.store, &project.id)? {
            for service in store::services::list(&platform.store, &environment.id)? {
                of_service.insert(service.id, sources.clone());
            }
        }
    }
    for row in rows {
        let Some(sources) = of_service.get(&row.service_id) else { continue };
        let (keep, forget) = commits.entry(sources.clone()).or_default();
        let side = if kept.forgotten.contains(&row.id) { forget } else { keep };
        side.insert(&row.commit_id);
    }
    for (sources, (keep, forget)) in commits {
        let doomed = forget.difference(&keep).count();
        gone.things += doomed as u64;
        if doomed > 0 && mode == Mode::Clean {
            let keep: Vec<String> = keep.into_iter().map(ToOwned::to_owned).collect();
            platform.sources.collect_garbage(&sources, &keep).await?;
        }
    }
    Ok(gone)
}

/// Logs of what has ended.
async fn logs(platform: &Platform, mode: Mode, now: Timestamp) -> Result<Freed, Error> {
    let store = &platform.store;
    let mut running: BTreeSet<String> =
        store::instances::list(store)?.into_iter().map(|row| row.instance.id.to_string()).collect();
    let databases = store::databases::list_all(store)?.into_iter().map(|row| row.instance_id);
    let key_values = store::key_values::list_all(store)?.into_iter().map(|row| row.instance_id);
    running.extend(databases.chain(key_values).flatten().map(|id| id.to_string()));
    let keep = platform.config.keep;
    let directory = platform.config.logs_dir();
    blocking(move || {
        let retention = Retention {
            now,
            max_bytes: keep.log_bytes,
            max_age: SignedDuration::from_hours(24 * keep.days),
            is_running: &|id| running.contains(id),
        };
        let (things, bytes) = match mode {
            Mode::Look => {
                let doomed = telemetry::doomed(&directory, &retention)?;
                (doomed.len() as u64, doomed.iter().map(|(_, bytes)| bytes).sum())
            }
            Mode::Clean => {
                let removed = telemetry::retain(&directory, &retention)?;
                (removed.files, removed.bytes)
            }
        };
        Ok(Freed { kind: Kind::Logs, things, bytes })
    })
    .await
}

/// Sets a log of our own aside that has grown large, in place of the one before. Whoever writes it
/// has it open and appends: it goes on at its new beginning.
fn shorten(log: &Path) -> Result<(), Error> {
    if !std::fs::metadata(log).is_ok_and(|metadata| metadata.len() > OWN_LOG_BYTES_MAX) {
        return Ok(());
    }
    let old = log.with_extension("log.1");
    std::fs::copy(log, &old)
        .and_then(|_| std::fs::File::options().write(true).open(log)?.set_len(0))
        .map_err(Error::host(format!("shorten {}", log.display())))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(Error::host("clean")(std::io::Error::other(error))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use model::DeployEvent;

    fn log_of(platform: &Platform, owner: &str, id: &str) -> std::path::PathBuf {
        platform.config.logs_dir().join(owner).join(format!("{id}.log"))
    }

    #[tokio::test]
    async fn what_is_over_goes_and_what_can_be_used_stays() {
        let directory = tempfile::tempdir().unwrap();
        let keep = reconcile::retention::Keep { log_bytes: 0, ..Default::default() };
        let platform = testing::platform_that_keeps(directory.path(), keep);
        let environment = testing::environment(&platform, "shop");
        let service = testing::service(&platform, &environment, "web");
        let release = testing::release(&platform, &service);
        let _live = testing::live(&platform, &release);
        let artifacts = platform.config.state_dir.join("artifacts");
        let needed = artifacts.join("0".repeat(ArtifactId::LENGTH));
        let needless = artifacts.join("f".repeat(ArtifactId::LENGTH));
        for path in [&needed, &needless] {
            std::fs::create_dir_all(path).unwrap();
        }
        testing::log(&platform, service.as_str(), "ins-gone", &[(1, "long ago")]);
        let looked = clean(&platform, Mode::Look).await.unwrap();
        assert!(needless.exists());
        assert_eq!(looked.iter().find(|freed| freed.kind == Kind::Logs).unwrap().things, 1);
        clean(&platform, Mode::Clean).await.unwrap();
        assert!(needed.exists(), "a live release needs it");
        assert!(!needless.exists());
        assert!(!log_of(&platform, service.as_str(), "ins-gone").exists());
        assert!(store::releases::get(&platform.store, &release.id).unwrap().is_some());
    }

    #[tokio::test]
    async fn nothing_of_artifacts_is_thrown_away_while_something_is_built() {
        let directory = tempfile::tempdir().unwrap();
        let platform = testing::platform(directory.path());
        let artifacts = platform.config.state_dir.join("artifacts");
        let needless = artifacts.join("f".repeat(ArtifactId::LENGTH));
        std::fs::create_dir_all(&needless).unwrap();
        let slot = platform.build_slots.clone().acquire_owned().await.unwrap();
        clean(&platform, Mode::Clean).await.unwrap();
        assert!(needless.exists());
        drop(slot);
        clean(&platform, Mode::Clean).await.unwrap();
        assert!(!needless.exists());
    }

    #[tokio::test]
    async fn caches_that_are_too_much_go_and_tools_that_releases_run_with_stay() {
        let directory = tempfile::tempdir().unwrap();
        let keep = reconcile::retention::Keep { cache_bytes: 0, ..Default::default() };
        let platform = testing::platform_that_keeps(directory.path(), keep);
        let caches = platform.config.state_dir.join("caches");
        for name in ["projects/shop/npm", "toolchains"] {
            std::fs::create_dir_all(caches.join(name)).unwrap();
            std::fs::write(caches.join(name).join("file"), "much").unwrap();
        }
        clean(&platform, Mode::Look).await.unwrap();
        assert!(caches.join("projects/shop/npm").exists());
        clean(&platform, Mode::Clean).await.unwrap();
        assert!(!caches.join("projects/shop/npm").exists());
        assert!(caches.join("toolchains/file").exists());
    }

    #[tokio::test]
    async fn events_and_builds_that_are_older_than_asked_are_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let platform = testing::platform(directory.path());
        let environment = testing::environment(&platform, "shop");
        testing::happen(&platform, &environment, "now");
        let old = store::events::NewEvent {
            at: Timestamp::from_second(1).unwrap(),
            kind: "happened".to_owned(),
            environment_id: Some(environment.id.clone()),
            service_id: None,
            deploy_id: None,
            body: serde_json::json!({}),
        };
        store::events::append(&platform.store, &old).unwrap();
        clean(&platform, Mode::Clean).await.unwrap();
        let left = store::events::since(&platform.store, 0, 100).unwrap();
        assert_eq!(left.len(), 1);
    }

    #[tokio::test]
    async fn a_log_of_the_server_is_set_aside_while_it_is_written() {
        use std::io::Write;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("server.log");
        let mut writer = std::fs::File::options().create(true).append(true).open(&path).unwrap();
        writer.write_all(&vec![b'a'; usize::try_from(OWN_LOG_BYTES_MAX).unwrap() + 1]).unwrap();
        shorten(&path).unwrap();
        writer.write_all(b"goes on\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"goes on\n");
        let old = directory.path().join("server.log.1");
        assert!(std::fs::metadata(old).unwrap().len() > OWN_LOG_BYTES_MAX);
    }

    #[tokio::test]
    async fn a_failed_release_that_is_old_is_forgotten_with_its_deploys() {
        let directory = tempfile::tempdir().unwrap();
        let platform = testing::platform(directory.path());
        let environment = testing::environment(&platform, "shop");
        let service = testing::service(&platform, &environment, "web");
        let release = testing::release(&platform, &service);
        let events = [DeployEvent::UpdateStarted, DeployEvent::UpdateFailed];
        let _failed = testing::deploy(&platform, &release, &events);
        let rows = store::retention::releases(&platform.store).unwrap();
        assert!(!rows[0].is_used && !rows[0].has_served, "{rows:?}");
        let later = Timestamp::now() + SignedDuration::from_hours(24 * 365);
        let facts: Vec<_> = rows.iter().map(facts).collect();
        let kept = releases(&facts, &platform.config.keep, later);
        let forgotten: Vec<_> = kept.forgotten.into_iter().collect();
        assert_eq!(store::retention::forget_releases(&platform.store, &forgotten).unwrap(), 1);
        assert!(store::deploys::latest(&platform.store, &service).unwrap().is_none());
    }
}
