//! The rollout: new instances, healthy, then the switch.

use std::time::Duration;

use jiff::Timestamp;
use model::{DeployEvent, Exit, InstanceId, InstanceState, Service, ServiceKind, Target};

use super::observed::{
    ArtifactState, Desired, Health, NextDeploy, Observed, RolloutMode, RouteState, SeenInstance,
};
use super::plan::{Action, Because, Plan, Waiting, after};
use super::supervise::{CRASH_LOOP_EXITS, back_off, may_restart};

/// An instance that has run for less than this has not shown yet what it does.
const TELLING_AGE: Duration = Duration::from_secs(10);

/// The codes with which a shell says that there is nothing to run: not executable, not found.
const NOTHING_TO_RUN: [i32; 2] = [126, 127];

pub(super) fn update(
    next: &NextDeploy,
    desired: &Desired,
    observed: &Observed,
    now: Timestamp,
    plan: &mut Plan,
) {
    let service = &next.release.service;
    match service.kind {
        ServiceKind::Static => {
            let route = match &observed.artifact {
                ArtifactState::Present(id) => Some(RouteState::Static(id.clone())),
                _ => None,
            };
            switch(next, route, plan);
        }
        ServiceKind::Cron => switch(next, None, plan),
        ServiceKind::Web | ServiceKind::Private | ServiceKind::Worker => {
            if desired.rollout == RolloutMode::StopFirst && !make_room(next, observed, plan) {
                return;
            }
            roll_out(next, desired, observed, now, plan);
        }
    }
}

fn switch(next: &NextDeploy, route: Option<RouteState>, plan: &mut Plan) {
    plan.act(Action::Switch { deploy_id: next.deploy.id.clone(), route });
}

/// Whether every older instance is gone; asks for it otherwise. Requests wait from before the
/// first one is told to stop.
fn make_room(next: &NextDeploy, observed: &Observed, plan: &mut Plan) -> bool {
    let older: Vec<&SeenInstance> = observed
        .instances
        .iter()
        .filter(|instance| instance.deploy_id != next.deploy.id)
        .filter(|instance| !matches!(instance.state, InstanceState::Exited(_)))
        .collect();
    if older.is_empty() {
        return true;
    }
    plan.waiting = Some(Waiting::OldInstance);
    if next.release.service.has_port() && observed.route != Some(RouteState::Hold) {
        plan.act(Action::Route(RouteState::Hold));
    }
    for instance in older {
        // What it is answering still gets its answer: TERM comes when the edge counts none, and
        // its own grace covers the rest.
        if !instance.is_stopping {
            plan.act(Action::StopInstance(instance.id.clone()));
        }
    }
    false
}

fn roll_out(
    next: &NextDeploy,
    desired: &Desired,
    observed: &Observed,
    now: Timestamp,
    plan: &mut Plan,
) {
    let wanted = next.release.service.instances.max(1);
    let mut healthy = Vec::new();
    for ordinal in 0..wanted {
        match newest(next, observed, ordinal) {
            None => plan.act(Action::StartInstance {
                deploy_id: next.deploy.id.clone(),
                ordinal,
                restarts: 0,
            }),
            Some(instance) => match &instance.state {
                InstanceState::Exited(exit) if is_completion(&next.release.service, exit) => {
                    healthy.push(None);
                }
                InstanceState::Exited(_) => {
                    if !start_again(next, desired, instance, now, plan) {
                        return;
                    }
                }
                InstanceState::Starting | InstanceState::Running { .. } => {
                    if let Health::Healthy { target } = &instance.health {
                        match watched_until(next, desired, instance).filter(|until| now < *until) {
                            Some(until) => {
                                plan.waiting = Some(Waiting::Watch);
                                plan.wake_by(until);
                            }
                            None => healthy.push(target.clone()),
                        }
                    } else if !in_time(next, desired, observed, instance, now, plan) {
                        return;
                    }
                }
            },
        }
    }
    if healthy.len() == wanted as usize {
        let targets: Vec<_> = healthy.into_iter().flatten().collect();
        let service = &next.release.service;
        let route = service.has_port().then(|| route_to(&service.name, targets));
        switch(next, route, plan);
    } else if plan.waiting.is_none() {
        plan.waiting = Some(Waiting::Health { healthy: healthy.len(), of: wanted as usize });
    }
}

/// Whether an exit is a service's success: one that is not meant to run for ever.
pub(super) fn is_completion(service: &Service, exit: &Exit) -> bool {
    service.container.restart.may_complete() && exit.is_success()
}

fn route_to(name: &str, targets: Vec<Target>) -> RouteState {
    if targets.is_empty() {
        RouteState::Unavailable(format!("{name} has completed"))
    } else {
        RouteState::Targets(targets)
    }
}

fn newest<'a>(next: &NextDeploy, observed: &'a Observed, ordinal: u32) -> Option<&'a SeenInstance> {
    observed
        .instances
        .iter()
        .filter(|instance| instance.deploy_id == next.deploy.id && instance.ordinal == ordinal)
        .filter(|instance| !instance.is_stopping)
        .max_by_key(|instance| instance.restarts)
}

/// Until when an instance is watched that cannot be asked how it is: that it runs says little
/// before it has done some of its work.
fn watched_until(
    next: &NextDeploy,
    desired: &Desired,
    instance: &SeenInstance,
) -> Option<Timestamp> {
    match &instance.state {
        InstanceState::Running { started_at, .. } if is_watched(&next.release.service) => {
            Some(after(*started_at, desired.timeouts.watch))
        }
        _ => None,
    }
}

fn is_watched(service: &Service) -> bool {
    !service.has_port() && service.container.health_check.is_none()
}

/// A new instance that ended is started again, some times: what it needs may come up beside it.
/// One that is watched beside a release that works has no such excuse: its end is the verdict.
/// Returns whether the deploy goes on.
fn start_again(
    next: &NextDeploy,
    desired: &Desired,
    instance: &SeenInstance,
    now: Timestamp,
    plan: &mut Plan,
) -> bool {
    let InstanceState::Exited(exit) = &instance.state else { return true };
    let due = after(exit.at, back_off(instance.restarts));
    let deadline = after(next.deploy.status_since, desired.timeouts.health);
    let is_hopeless =
        exit.start_error.is_some() || exit.code.is_some_and(|code| NOTHING_TO_RUN.contains(&code));
    let policy = next.release.service.container.restart;
    let is_spent =
        instance.restarts + 1 >= CRASH_LOOP_EXITS || !may_restart(policy, instance.restarts);
    let is_worse = desired.live.is_some() && is_watched(&next.release.service) && exit.is_known();
    if is_hopeless || is_spent || is_worse || due >= deadline {
        plan.act(Action::Fail(
            next.deploy.id.clone(),
            DeployEvent::UpdateFailed,
            Because::InstanceExited {
                id: instance.id.clone(),
                exit: exit.clone(),
                restarts: instance.restarts,
            },
        ));
        return false;
    }
    if now < due {
        plan.waiting = Some(Waiting::BackOff(due));
        plan.wake_by(due);
    } else {
        plan.act(Action::StartInstance {
            deploy_id: next.deploy.id.clone(),
            ordinal: instance.ordinal,
            restarts: instance.restarts + 1,
        });
    }
    true
}

/// Whether there is time left for the instance to become healthy; gives the deploy up otherwise.
fn in_time(
    next: &NextDeploy,
    desired: &Desired,
    observed: &Observed,
    instance: &SeenInstance,
    now: Timestamp,
    plan: &mut Plan,
) -> bool {
    let deadline = after(next.deploy.status_since, desired.timeouts.health);
    if now >= deadline {
        // One that was started again a moment ago tells less than how its predecessor ended.
        let is_young = now < after(instance.created_at, TELLING_AGE);
        let because = match predecessor(observed, instance).filter(|_| is_young) {
            Some((id, exit, restarts)) => Because::InstanceExited { id, exit, restarts },
            None => Because::NotHealthy(instance.id.clone(), desired.timeouts.health),
        };
        plan.act(Action::Fail(next.deploy.id.clone(), DeployEvent::UpdateFailed, because));
        return false;
    }
    if let Some(refusal) = instance.refusal.as_ref().filter(|refusal| refusal.is_certain()) {
        let patience = desired.timeouts.refusal.min(desired.timeouts.health);
        let gives_up_at = after(refusal.since, patience);
        if now >= gives_up_at {
            plan.act(Action::Fail(
                next.deploy.id.clone(),
                DeployEvent::UpdateFailed,
                Because::NotHealthy(instance.id.clone(), patience),
            ));
            return false;
        }
        plan.gives_up_by(gives_up_at);
    }
    plan.gives_up_by(deadline);
    true
}

/// How the last instance in the same place ended, if one did.
fn predecessor(observed: &Observed, instance: &SeenInstance) -> Option<(InstanceId, Exit, u32)> {
    observed
        .instances
        .iter()
        .filter(|other| other.deploy_id == instance.deploy_id && other.ordinal == instance.ordinal)
        .filter(|other| other.restarts < instance.restarts)
        .filter_map(|other| match &other.state {
            InstanceState::Exited(exit) => Some((other.id.clone(), exit.clone(), other.restarts)),
            _ => None,
        })
        .max_by_key(|(_, _, restarts)| *restarts)
}
