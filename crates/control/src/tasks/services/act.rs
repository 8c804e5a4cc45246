//! Does what the plan says. Nothing here decides; everything can be repeated.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use model::{
    Artifact, Build, BuildId, BuildStatus, Deploy, DeployEvent, DeployId, Exit, Instance,
    InstanceId, InstancePurpose, InstanceState, Release, ReleaseId, ServiceId,
};
use reconcile::deploy::{Action, JobState, RouteState};
use reconcile::diagnosis::Phase;
use secrecy::ExposeSecret;

use crate::crash;
use crate::environments;
use crate::error::Error;
use crate::events;
use crate::instances::{self, Command, Run};
use crate::ops::blueprints::sources_of;
use crate::platform::Platform;
use crate::tasks::routes;
use crate::tasks::services::look::{Seen, build_key, stop_key};
use crate::tasks::services::{fail, proof};

/// Time that jobs get between TERM and KILL.
const JOB_GRACE: Duration = Duration::from_secs(5);

pub(super) async fn act(platform: &Platform, seen: &Seen, action: &Action) -> Result<(), Error> {
    match action {
        Action::Record(deploy_id, event) => record(platform, seen, deploy_id, *event).await,
        Action::Fail(deploy_id, event, because) => {
            let problem = fail::diagnose(platform, seen, deploy_id, because).await?;
            events::transition(platform, deploy_id, *event, Some(problem))?;
            stop_jobs(platform, seen, deploy_id);
            Ok(())
        }
        Action::StartBuild(deploy_id) => start_build(platform, seen, deploy_id),
        Action::StartPreDeploy(deploy_id) => {
            let purpose = InstancePurpose::PreDeploy(deploy_id.clone());
            start_job(platform, seen, deploy_id, purpose).await
        }
        Action::StartInitialHook(deploy_id) => {
            let purpose = InstancePurpose::InitialDeployHook(deploy_id.clone());
            start_job(platform, seen, deploy_id, purpose).await
        }
        Action::FinishInitialHook(deploy_id, exit) => {
            finish_initial_hook(platform, seen, deploy_id, exit)
        }
        Action::StartInstance { deploy_id, ordinal, restarts } => {
            let place = Place { deploy_id, ordinal: *ordinal, restarts: *restarts };
            start_instance(platform, seen, place).await
        }
        Action::Route(route) => {
            routes::store_route(platform, &seen.row.id, route)?;
            platform.publisher.publish(platform).await?;
            Ok(())
        }
        Action::Switch { deploy_id, route } => {
            switch(platform, seen, deploy_id, route.as_ref()).await
        }
        Action::StopInstance(id) => {
            stop_instance(platform, seen, id);
            Ok(())
        }
        Action::RemoveInstance(id) => remove_instance(platform, id).await,
    }
}

async fn record(
    platform: &Platform,
    seen: &Seen,
    deploy_id: &DeployId,
    event: DeployEvent,
) -> Result<(), Error> {
    if event == DeployEvent::UpdateStarted {
        if let (JobState::Exited(instance_id, _), Some((_, release))) =
            (&seen.observed.pre_deploy, release_of(seen, deploy_id))
            && let Some(warning) = fail::doubt(platform, seen, release, instance_id)?
        {
            store::deploys::set_warning(&platform.store, deploy_id, &warning)?;
            events::warned(platform, &seen.row, deploy_id, warning)?;
        }
        proof::begin(platform, &seen.row.id, deploy_id).await?;
    }
    events::transition(platform, deploy_id, event, None)?;
    if event == DeployEvent::Canceled {
        stop_jobs(platform, seen, deploy_id);
    }
    Ok(())
}

fn release_of<'a>(seen: &'a Seen, deploy_id: &DeployId) -> Option<(&'a Deploy, &'a Release)> {
    let next = seen.desired.next.as_ref().map(|next| (&next.deploy, &next.release));
    let live = seen.desired.live.as_ref().map(|live| (&live.deploy, &live.release));
    [next, live].into_iter().flatten().find(|(deploy, _)| deploy.id == *deploy_id)
}

fn start_build(platform: &Platform, seen: &Seen, deploy_id: &DeployId) -> Result<(), Error> {
    let Some((deploy, release)) = release_of(seen, deploy_id) else { return Ok(()) };
    let Some(artifact_id) = release.artifact_id.clone() else { return Ok(()) };
    let build = match &deploy.build_id {
        Some(build_id) => store::builds::get(&platform.store, build_id)?,
        None => store::builds::in_progress(&platform.store, &artifact_id)?,
    };
    let build: Build = match build {
        Some(build) => build,
        None => store::builds::insert(&platform.store, &artifact_id, Timestamp::now())?,
    };
    store::deploys::set_build(&platform.store, deploy_id, &build.id)?;
    let purpose = InstancePurpose::Build(build.id.clone());
    let known = &seen.instances;
    let Some(instance) = instances::find_or_insert(platform, known, purpose, &seen.row.id)? else {
        return Ok(());
    };
    store::builds::set_instance(&platform.store, &build.id, &instance.id)?;
    let request = build::BuildRequest {
        build_id: build.id.clone(),
        instance_id: instance.id,
        artifact_id: artifact_id.clone(),
        service_id: seen.row.id.clone(),
        service: release.service.clone(),
        commit: release.commit.clone(),
        project: sources_of(platform, &seen.row.environment_id)?,
        environment_id: seen.row.environment_id.clone(),
        env: instances::env_of(platform, release, build::Phase::Build)?,
        toolchain: build::Toolchain::default(),
        owner_uid: seen.row.uid,
        logins: logins(platform, &release.service),
        trust: build::Trust::Full,
        private_names: environments::private_names(platform, &seen.row.environment_id)?,
    };
    let (platform_of_work, release_id) = (platform.clone(), release.id.clone());
    platform.background.start(build_key(&artifact_id), async move {
        run_build(&platform_of_work, request, &release_id).await;
    });
    Ok(())
}

/// Logins of registries that base images may come from: those of hosts, and the one that the
/// service names, for the registry that the operator keeps it for.
fn logins(platform: &Platform, service: &model::Service) -> Vec<build::docker::Login> {
    let registries = &platform.build.registries;
    let named = service.docker.as_ref().and_then(|docker| {
        let credential = registries.credential(docker.registry_credential.as_deref()?)?;
        Some((credential.registry.clone()?, credential))
    });
    let hosts = registries.credentials_by_host.iter();
    hosts
        .map(|(registry, credential)| (registry.clone(), credential))
        .chain(named)
        .map(|(registry, credential)| build::docker::Login {
            registry,
            username: credential.username.clone(),
            password: credential.password.expose_secret().to_owned(),
        })
        .collect()
}

async fn run_build(platform: &Platform, request: build::BuildRequest, release_id: &ReleaseId) {
    let Ok(_slot) = platform.build_slots.clone().acquire_owned().await else { return };
    let mut attempt = request.clone();
    let result = tokio::select! {
        // A disk that is full before the build begins must not be made fuller.
        biased;
        () = platform.disk.filled() => Err(full_disk(platform, &request).await),
        result = try_build(platform, &mut attempt) => result,
    };
    let status = match result {
        Ok(artifact) => store::artifacts::insert(&platform.store, &artifact, Timestamp::now())
            .map(|()| BuildStatus::Succeeded),
        Err(failure) => Ok(BuildStatus::Failed(fail::of_build(platform, release_id, failure))),
    };
    let written = status.and_then(|status| {
        store::builds::set_status(&platform.store, &request.build_id, &status, Timestamp::now())
    });
    if let Err(error) = written {
        tracing::error!("cannot write down how a build ended: {error}");
        return;
    }
    if let Err(error) = remove_instance(platform, &request.instance_id).await {
        tracing::warn!("cannot tidy up after a build: {error}");
    }
}

/// Ends a build because the disk is full, takes its files away, and says who holds what.
async fn full_disk(platform: &Platform, request: &build::BuildRequest) -> build::Failure {
    if let Err(failure) = build::cancel(&platform.build, platform.driver.as_ref(), request).await {
        tracing::warn!("cannot end a build on a full disk: {}", failure.problem.message);
    }
    let problem = platform.disk.told().await;
    build::Failure { problem, log_tail: Vec::new(), first_cause: None }
}

async fn try_build(
    platform: &Platform,
    request: &mut build::BuildRequest,
) -> Result<Artifact, build::Failure> {
    let refused = |problem| build::Failure { problem, log_tail: Vec::new(), first_cause: None };
    platform.network(&request.environment_id).await.map_err(|error| refused(error.problem()))?;
    let wanted = build::toolchain::Request {
        project: &request.project,
        commit: &request.commit,
        service: &request.service,
        env: &request.env,
    };
    request.toolchain = build::toolchain::resolve(&platform.build, &platform.sources, &wanted)
        .await
        .map_err(|error| refused(error.problem()))?;
    build::run(&platform.build, &platform.sources, platform.driver.as_ref(), request, &|_| {}).await
}

async fn start_job(
    platform: &Platform,
    seen: &Seen,
    deploy_id: &DeployId,
    purpose: InstancePurpose,
) -> Result<(), Error> {
    let Some((_, release)) = release_of(seen, deploy_id) else { return Ok(()) };
    let (command, label) = match &purpose {
        InstancePurpose::PreDeploy(_) => {
            (&release.service.pre_deploy_command, "pre-deploy command")
        }
        _ => (&release.service.initial_deploy_hook, "initial deploy hook"),
    };
    let command = command.clone().unwrap_or_default();
    let known = &seen.instances;
    let Some(instance) = instances::find_or_insert(platform, known, purpose, &seen.row.id)? else {
        return Ok(());
    };
    let run = Run {
        row: &seen.row,
        release,
        instance_id: &instance.id,
        ordinal: instance.ordinal,
        command: Command::Shell(command),
        label: format!("{label} of {}", seen.row.name()),
        with_disk: false,
        has_input: false,
    };
    instances::start(platform, run).await
}

fn finish_initial_hook(
    platform: &Platform,
    seen: &Seen,
    deploy_id: &DeployId,
    exit: &Exit,
) -> Result<(), Error> {
    store::services::mark_hook_done(&platform.store, &seen.row.id)?;
    let hook =
        seen.instances.iter().rev().find(|instance| {
            instance.purpose == InstancePurpose::InitialDeployHook(deploy_id.clone())
        });
    let problem = match (hook, release_of(seen, deploy_id)) {
        (Some(hook), Some((_, release))) if !exit.is_success() => {
            let run = (Phase::InitialHook, &hook.id, exit);
            Some(fail::judge_run(platform, &seen.row, release, run)?)
        }
        _ => None,
    };
    events::initial_hook_ended(platform, &seen.row, deploy_id, (exit, problem))
}

struct Place<'a> {
    deploy_id: &'a DeployId,
    ordinal: u32,
    restarts: u32,
}

async fn start_instance(platform: &Platform, seen: &Seen, place: Place<'_>) -> Result<(), Error> {
    let Some((deploy, release)) = release_of(seen, place.deploy_id) else { return Ok(()) };
    let instance = Instance {
        id: store::new_instance_id(),
        purpose: InstancePurpose::Service {
            service_id: seen.row.id.clone(),
            deploy_id: place.deploy_id.clone(),
        },
        ordinal: place.ordinal,
        restarts: place.restarts,
        created_at: Timestamp::now(),
    };
    if !store::instances::begin(&platform.store, &instance, &seen.row.id)? {
        // Stopped or removed since it was looked at: the next pass sees that.
        return Ok(());
    }
    if place.restarts > 0 {
        let exit = predecessor_exit(seen, &place);
        if let Some(exit) = exit {
            store::instances::set_predecessor_exit(&platform.store, &instance.id, exit)?;
        }
        events::instance_restarted(platform, &seen.row, deploy, (&instance, exit))?;
    }
    let run = Run {
        row: &seen.row,
        release,
        instance_id: &instance.id,
        ordinal: instance.ordinal,
        command: Command::Main,
        label: format!("{} {}", seen.row.name(), release.revision),
        with_disk: true,
        has_input: false,
    };
    instances::start(platform, run).await
}

/// How the instance ended whose place is filled again.
fn predecessor_exit<'a>(seen: &'a Seen, place: &Place<'_>) -> Option<&'a Exit> {
    let of_place = seen.observed.instances.iter().filter(|instance| {
        instance.deploy_id == *place.deploy_id && instance.ordinal == place.ordinal
    });
    match &of_place.max_by_key(|instance| instance.restarts)?.state {
        InstanceState::Exited(exit) => Some(exit),
        _ => None,
    }
}

/// Gives the edge the new route; when it has taken it, the new deploy is live and the old one is
/// not, in one transaction.
async fn switch(
    platform: &Platform,
    seen: &Seen,
    deploy_id: &DeployId,
    route: Option<&RouteState>,
) -> Result<(), Error> {
    if let Some(route) = route {
        routes::store_route(platform, &seen.row.id, route)?;
    }
    let applied = platform.publisher.publish(platform).await?;
    crash::point(crash::SWITCHED);
    let old: Vec<InstanceId> = seen
        .observed
        .instances
        .iter()
        .filter(|instance| instance.deploy_id != *deploy_id)
        .map(|instance| instance.id.clone())
        .collect();
    proof::switched(platform, deploy_id, &old, &applied)?;
    events::transition(platform, deploy_id, DeployEvent::WentLive, None)?;
    if let Some(RouteState::Targets(targets)) = route
        && let Some(target) = targets.first()
    {
        environments::set_seen_port(platform, &seen.row.id, target.address.port())?;
    }
    if route.is_some_and(|route| matches!(route, RouteState::Static(_))) {
        // Headers and redirects come from the live release: now the new one's.
        platform.publisher.publish(platform).await?;
    }
    Ok(())
}

fn stop_instance(platform: &Platform, seen: &Seen, id: &InstanceId) {
    let grace = seen
        .desired
        .live
        .as_ref()
        .map_or(&seen.row.definition, |live| &live.release.service)
        .max_shutdown_delay_seconds;
    stop(platform, id, Duration::from_secs(u64::from(grace)));
}

/// Stops an instance in the background; whoever waits sees it end.
fn stop(platform: &Platform, id: &InstanceId, grace: Duration) {
    platform.prober.forget(id);
    let work = {
        let platform = platform.clone();
        let id = id.clone();
        async move {
            if let Err(error) = platform.driver.stop(&id, grace).await {
                tracing::error!("cannot stop instance {id}: {error}");
            }
        }
    };
    platform.background.start(stop_key(id), work);
}

async fn remove_instance(platform: &Platform, id: &InstanceId) -> Result<(), Error> {
    platform.prober.forget(id);
    match platform.driver.remove(id).await {
        Ok(()) | Err(engine::Error::NotFound(_)) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(store::instances::delete(&platform.store, id)?)
}

/// Ends the jobs of a deploy that was given up, and forgets those that have ended.
fn stop_jobs(platform: &Platform, seen: &Seen, deploy_id: &DeployId) {
    for instance in &seen.instances {
        if matches!(&instance.purpose, InstancePurpose::PreDeploy(id) if id == deploy_id) {
            stop(platform, &instance.id, JOB_GRACE);
        }
    }
}

/// Forgets builds, pre-deploy commands and hooks that nothing waits for any more.
pub(super) async fn tidy_jobs(platform: &Platform, seen: &Seen) -> Result<(), Error> {
    let next = seen.desired.next.as_ref().map(|next| &next.deploy.id);
    for instance in &seen.instances {
        let is_needed = match &instance.purpose {
            InstancePurpose::PreDeploy(deploy_id) => next == Some(deploy_id),
            InstancePurpose::InitialDeployHook(_) => {
                !seen.row.hook_done && !seen.desired.is_stopped
            }
            InstancePurpose::Build(build_id) => {
                let build = store::builds::get(&platform.store, build_id)?;
                build.is_some_and(|build| build.status == BuildStatus::InProgress)
                    && (next.is_some() || platform.background.is_running(&stop_key(&instance.id)))
            }
            _ => true,
        };
        if is_needed {
            continue;
        }
        if let InstancePurpose::Build(build_id) = &instance.purpose
            && give_up_build(platform, build_id)?
        {
            continue;
        }
        match platform.driver.observe(&instance.id).await {
            Some(InstanceState::Exited(_)) | None => {
                remove_instance(platform, &instance.id).await?
            }
            Some(_) => stop(platform, &instance.id, JOB_GRACE),
        }
    }
    Ok(())
}

/// Ends the work on a build that nothing waits for, and returns whether it was still under way:
/// until it has ended it may yet start its instance. A build that another service waits for too is
/// begun again by that one.
fn give_up_build(platform: &Platform, build_id: &BuildId) -> Result<bool, Error> {
    let Some(build) = store::builds::get(&platform.store, build_id)? else { return Ok(false) };
    let key = build_key(&build.artifact_id);
    let is_under_way =
        build.status == BuildStatus::InProgress && platform.background.is_running(&key);
    if is_under_way {
        platform.background.abort(&key);
    }
    Ok(is_under_way)
}

/// Where a service's disk lies on this machine.
#[must_use]
pub fn disk_dir(platform: &Platform, service_id: &ServiceId) -> PathBuf {
    platform.config.state_dir.join("disks").join(service_id.as_str())
}
