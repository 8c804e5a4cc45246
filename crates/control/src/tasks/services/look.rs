//! What is asked of a service, and what is seen of it.

use jiff::{SignedDuration, Timestamp};
use model::{
    ArtifactId, BuildStatus, Deploy, DeployStatus, Instance, InstanceId, InstancePurpose,
    InstanceState, Release, ServiceId, ServiceKind,
};
use reconcile::deploy::{
    ArtifactState, Desired, Health, JobState, LiveDeploy, NextDeploy, Observed, Plan, RolloutMode,
    SeenInstance, Turn, Waiting, turn,
};
use store::services::ServiceRow;

use crate::environments;
use crate::error::Error;
use crate::instances;
use crate::platform::Platform;
use crate::tasks::probes::{Check, Probe};
use crate::tasks::routes;
use crate::tasks::services::{fail, needs};

/// While old instances still answer, their counters are read this often.
const DRAIN_POLL: SignedDuration = SignedDuration::from_millis(50);
/// A deploy that has not become healthy for this long is told why, while it goes on waiting.
const EARLY_DIAGNOSIS: SignedDuration = SignedDuration::from_secs(8);
/// One that answers every probe alike is told so after this.
const CERTAIN_DIAGNOSIS: SignedDuration = SignedDuration::from_secs(2);
/// What is told is looked at again this often: the reason may become another.
const DIAGNOSIS_INTERVAL: SignedDuration = SignedDuration::from_secs(2);

/// A service as one pass sees it.
pub(super) struct Seen {
    pub(super) row: ServiceRow,
    pub(super) desired: Desired,
    pub(super) observed: Observed,
    pub(super) instances: Vec<Instance>,
    pub(super) edge: Option<edge::Status>,
    /// When to look again for a reason that the planner does not know.
    pub(super) look_again_at: Option<Timestamp>,
}

/// Looks; `None` when there is no such service.
pub(super) async fn look(platform: &Platform, id: &ServiceId) -> Result<Option<Seen>, Error> {
    let Some(row) = store::services::get(&platform.store, id)? else { return Ok(None) };
    let mut desired = desired(platform, &row)?;
    if let Some(next) = desired.next.as_ref().filter(|_| desired.rollout == RolloutMode::SideBySide)
        && next.release.service.container.update_order.is_none()
        && instances::image_keeps_data(platform, &next.release).await?
    {
        desired.rollout = RolloutMode::StopFirst;
    }
    let instances = store::instances::by_service(&platform.store, id)?;
    let deploys_known = [
        desired.live.as_ref().map(|live| live.deploy.id.clone()),
        desired.next.as_ref().map(|next| next.deploy.id.clone()),
    ];
    let is_retiring = instances.iter().any(|instance| match &instance.purpose {
        InstancePurpose::Service { deploy_id, .. } => {
            deploys_known[0].as_ref() != Some(deploy_id)
                && deploys_known[1].as_ref() != Some(deploy_id)
        }
        _ => false,
    });
    let edge = if is_retiring { platform.publisher.status().await.ok() } else { None };
    let mut seen_instances = Vec::new();
    for instance in &instances {
        if let InstancePurpose::Service { deploy_id, .. } = &instance.purpose {
            let seen = look_at(platform, &row, &desired, instance, deploy_id, edge.as_ref());
            seen_instances.push(seen.await?);
        }
    }
    let observed = Observed {
        data_stores: needs::data_stores(platform, &row, &desired)?,
        dependencies: needs::dependencies(platform, &row, &desired).await?,
        dependents: match desired.is_stopped {
            true => needs::dependents(platform, &row).await?,
            false => Vec::new(),
        },
        artifact: artifact(platform, &desired)?,
        pre_deploy: match &desired.next {
            Some(next) => {
                job(platform, &instances, |purpose| {
                    *purpose == InstancePurpose::PreDeploy(next.deploy.id.clone())
                })
                .await
            }
            None => JobState::NotStarted,
        },
        initial_hook: match &desired.live {
            Some(live) => {
                job(platform, &instances, |purpose| {
                    *purpose == InstancePurpose::InitialDeployHook(live.deploy.id.clone())
                })
                .await
            }
            None => JobState::NotStarted,
        },
        instances: seen_instances,
        route: routes::stored_route(platform, id)?,
    };
    let is_draining = observed
        .instances
        .iter()
        .any(|instance| instance.superseded_at.is_some() && instance.in_flight != Some(0));
    let look_again_at = is_draining.then(|| Timestamp::now() + DRAIN_POLL);
    Ok(Some(Seen { row, desired, observed, instances, edge, look_again_at }))
}

fn desired(platform: &Platform, row: &ServiceRow) -> Result<Desired, Error> {
    let live = store::deploys::live(&platform.store, &row.id)?;
    let under_way = store::deploys::in_progress_of(&platform.store, &row.id)?;
    let Turn { next, overtaken } = turn(under_way);
    let release = |deploy: &Deploy| {
        store::releases::get(&platform.store, &deploy.release_id)?.ok_or_else(|| {
            Error::from(store::Error::NotFound {
                noun: "release",
                id: deploy.release_id.to_string(),
            })
        })
    };
    Ok(Desired {
        name: row.definition.name.clone(),
        is_stopped: environments::is_stopped(platform, &row.environment_id)? || row.suspended,
        live: live
            .map(|deploy| {
                Ok::<_, Error>(LiveDeploy {
                    release: release(&deploy)?,
                    deploy,
                    owes_initial_hook: !row.hook_done,
                })
            })
            .transpose()?,
        next: next
            .map(|deploy| Ok::<_, Error>(NextDeploy { release: release(&deploy)?, deploy }))
            .transpose()?,
        overtaken,
        rollout: reconcile::deploy::rollout_mode(
            &row.definition,
            platform.driver.isolates_network(),
        ),
        timeouts: platform.config.timeouts,
    })
}

async fn look_at(
    platform: &Platform,
    row: &ServiceRow,
    desired: &Desired,
    instance: &Instance,
    deploy_id: &model::DeployId,
    edge: Option<&edge::Status>,
) -> Result<SeenInstance, Error> {
    let state = platform.driver.observe(&instance.id).await.unwrap_or_else(|| lost(instance));
    let release = [
        desired.next.as_ref().map(|next| (&next.deploy.id, &next.release)),
        desired.live.as_ref().map(|live| (&live.deploy.id, &live.release)),
    ]
    .into_iter()
    .flatten()
    .find(|(id, _)| *id == deploy_id)
    .map(|(_, release)| release);
    let is_stopping = platform.background.is_running(&stop_key(&instance.id));
    if let (InstanceState::Running { address, .. }, Some(release), false) =
        (&state, release, is_stopping)
    {
        let mut probe = probe(platform, row, &release.service, instance, *address)?;
        if !platform.prober.is_known(&instance.id) && build::is_container(&release.service) {
            probe.check = container_check(platform, release, probe.check).await?;
        }
        platform.prober.ensure(probe);
    }
    let probed = platform.prober.seen(&instance.id);
    let superseded_at = store::deploys::get(&platform.store, deploy_id)?
        .filter(|deploy| deploy.status == DeployStatus::Deactivated)
        .map(|deploy| deploy.status_since);
    Ok(SeenInstance {
        id: instance.id.clone(),
        deploy_id: deploy_id.clone(),
        ordinal: instance.ordinal,
        restarts: instance.restarts,
        created_at: instance.created_at,
        health: probed.as_ref().map_or(Health::Unknown, |seen| seen.health.clone()),
        refusal: probed.and_then(|seen| seen.refusal),
        is_stopping,
        superseded_at,
        in_flight: edge
            .filter(|_| superseded_at.is_some())
            .map(|edge| edge.in_flight(&instance.id)),
        state,
    })
}

/// Written down and unknown to the engine: the process was killed between the two, or the machine
/// was started anew.
fn lost(instance: &Instance) -> InstanceState {
    InstanceState::Exited(model::Exit {
        code: None,
        signal: None,
        out_of_memory: false,
        limit: None,
        start_error: None,
        at: instance.created_at,
    })
}

/// The key of the background work that stops an instance.
pub(super) fn stop_key(id: &InstanceId) -> String {
    format!("stop/{id}")
}

fn probe(
    platform: &Platform,
    row: &ServiceRow,
    service: &model::Service,
    instance: &Instance,
    address: std::net::IpAddr,
) -> Result<Probe, Error> {
    let port = environments::expected_port(platform, row, service)?;
    let check = match (service.kind, &service.health_check_path) {
        (ServiceKind::Web, Some(path)) => {
            Check::Http { path: path.clone(), host: environments::probe_host(row, service), port }
        }
        (ServiceKind::Web | ServiceKind::Private, _) => Check::Port { port },
        _ => Check::Alive(platform.config.timeouts.settle),
    };
    Ok(Probe {
        id: instance.id.clone(),
        address,
        check,
        is_isolated: platform.driver.isolates_network(),
        cpu_millis: service.instance_type.cpu_millis,
    })
}

/// What makes a container healthy: a path, if one is declared; else its health check, or its
/// image's; else its port, which its image may name.
async fn container_check(
    platform: &Platform,
    release: &Release,
    usual: Check,
) -> Result<Check, Error> {
    let service = &release.service;
    let artifact = match &release.artifact_id {
        Some(id) => store::artifacts::get(&platform.store, id)?,
        None => None,
    };
    let Some(artifact) = artifact.filter(|_| !matches!(usual, Check::Http { .. })) else {
        return Ok(usual);
    };
    let image = build::container(&platform.build, service, &artifact).await?.image;
    // An image's check is about its own program: one Dockerfile often serves a web service, which
    // it is written for, and workers that run something else.
    let asked = &service.container;
    let is_own_program = asked.command.is_none() && asked.entrypoint.is_none();
    let of_image = image.config.health_check.filter(|_| is_own_program);
    let health_check = asked.health_check.clone().or(of_image);
    Ok(match (health_check.filter(|check| !check.command.is_empty()), usual) {
        (Some(check), usual) => Check::Command { check, port: usual.port() },
        (None, Check::Port { port }) if reconcile::port::declared(service).is_none() => {
            Check::Port { port: image.config.exposed_ports.first().copied().unwrap_or(port) }
        }
        (None, usual) => usual,
    })
}

fn artifact(platform: &Platform, desired: &Desired) -> Result<ArtifactState, Error> {
    let Some(next) = &desired.next else { return Ok(ArtifactState::NotNeeded) };
    let Some(artifact_id) = &next.release.artifact_id else { return Ok(ArtifactState::NotNeeded) };
    if store::artifacts::get(&platform.store, artifact_id)?.is_some() {
        return Ok(ArtifactState::Present(artifact_id.clone()));
    }
    if platform.background.is_running(&build_key(artifact_id)) {
        return Ok(ArtifactState::Building);
    }
    let build = match &next.deploy.build_id {
        Some(build_id) => store::builds::get(&platform.store, build_id)?,
        None => None,
    };
    Ok(match build.map(|build| build.status) {
        Some(BuildStatus::Failed(problem)) => ArtifactState::Failed(problem),
        // Under way, and nobody works on it: the process was killed. It is taken up again.
        _ => ArtifactState::Absent,
    })
}

/// The key of the background work that builds an artifact.
pub(super) fn build_key(artifact_id: &ArtifactId) -> String {
    format!("build/{artifact_id}")
}

async fn job(
    platform: &Platform,
    instances: &[Instance],
    is_meant: impl Fn(&InstancePurpose) -> bool,
) -> JobState {
    let Some(instance) = instances.iter().rev().find(|instance| is_meant(&instance.purpose)) else {
        return JobState::NotStarted;
    };
    match platform.driver.observe(&instance.id).await {
        Some(InstanceState::Exited(exit)) => JobState::Exited(instance.id.clone(), exit),
        Some(_) => JobState::Running(instance.id.clone()),
        // It was written down and never started, or the machine was started anew.
        None => JobState::NotStarted,
    }
}

/// Says why a deploy does not move: at once in the status, and as an event when it has not become
/// healthy for a while and the cause can be seen already. Returns when to look again.
pub(super) fn note_waiting(
    platform: &Platform,
    seen: &Seen,
    plan: &Plan,
    now: Timestamp,
) -> Result<Option<Timestamp>, Error> {
    let Some(next) = &seen.desired.next else {
        // What a run waits for is told by the task of crons.
        if seen.row.definition.kind != ServiceKind::Cron {
            platform.set_waiting(&seen.row.id, None);
        }
        return Ok(None);
    };
    let text = plan.waiting.as_ref().map(ToString::to_string);
    if !matches!(plan.waiting, Some(Waiting::Health { .. })) {
        platform.set_waiting(&seen.row.id, text);
        return Ok(None);
    }
    let telling_at = telling_at(seen, next);
    if now < telling_at {
        platform.set_waiting(&seen.row.id, text);
        return Ok(Some(telling_at));
    }
    if let Some(problem) = fail::early(platform, seen, next)? {
        let text = Some(format!("not healthy yet: {}", problem.message));
        if platform.set_waiting(&seen.row.id, text) {
            let left = plan.gives_up_at.map(|at| at.duration_since(now));
            crate::events::waiting(platform, &seen.row, &next.deploy, (&problem, left))?;
        }
    }
    Ok(Some(now + DIAGNOSIS_INTERVAL))
}

/// From when on the reason why a deploy is not healthy is worth telling.
fn telling_at(seen: &Seen, next: &NextDeploy) -> Timestamp {
    let certain = seen
        .observed
        .instances
        .iter()
        .filter(|instance| instance.deploy_id == next.deploy.id)
        .filter_map(|instance| instance.refusal.as_ref().filter(|refusal| refusal.is_certain()))
        .map(|refusal| refusal.since + CERTAIN_DIAGNOSIS);
    certain.chain([next.deploy.status_since + EARLY_DIAGNOSIS]).min().unwrap_or(Timestamp::MAX)
}
