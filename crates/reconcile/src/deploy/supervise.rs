//! Care for what is live: restarts, routes, and the end of what is not needed any more.

use std::time::Duration;

use jiff::Timestamp;
use model::{
    DeployEvent, DeployStatus, InstanceState, RestartPolicy, Service, ServiceKind, Target,
};

use super::observed::{
    Desired, Health, JobState, LiveDeploy, Observed, RolloutMode, RouteState, SeenInstance,
};
use super::plan::{Action, Plan, after, has_text};
use super::update::is_completion;

/// A place whose instances ended this often in a row is in a crash loop: a new release is given
/// up, and of a live one people are told.
pub const CRASH_LOOP_EXITS: u32 = 5;

const FIRST_BACK_OFF: Duration = Duration::from_millis(250);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(60);
/// An instance that ran this long before it ended starts with a clean record.
const CLEAN_RECORD: Duration = Duration::from_secs(10 * 60);

/// How long to wait before a place is filled again that was filled `restarts` times before.
#[must_use]
pub fn back_off(restarts: u32) -> Duration {
    FIRST_BACK_OFF.saturating_mul(1 << restarts.min(16)).min(LONGEST_BACK_OFF)
}

/// Whether a place that was filled again `restarts` times may be once more, after a failure.
#[must_use]
pub fn may_restart(policy: RestartPolicy, restarts: u32) -> bool {
    match policy {
        RestartPolicy::Always | RestartPolicy::OnFailure { max_retries: None } => true,
        RestartPolicy::OnFailure { max_retries: Some(max) } => restarts < max,
        RestartPolicy::Never => false,
    }
}

/// A person has stopped the environment: nothing runs, nothing is lost.
pub(super) fn stop_everything(desired: &Desired, observed: &Observed, plan: &mut Plan) {
    for deploy_id in &desired.overtaken {
        plan.act(Action::Record(deploy_id.clone(), DeployEvent::Canceled));
    }
    if let Some(next) = &desired.next {
        plan.act(Action::Record(next.deploy.id.clone(), DeployEvent::Canceled));
    }
    if !observed.dependents.is_empty() {
        // They end first: what they are doing may need it to the last.
        return;
    }
    if observed.route.is_some() {
        let stopped = RouteState::Unavailable("it was stopped".to_owned());
        if observed.route.as_ref() != Some(&stopped) {
            plan.act(Action::Route(stopped));
        }
    }
    for instance in &observed.instances {
        end(instance, plan);
    }
}

fn end(instance: &SeenInstance, plan: &mut Plan) {
    match instance.state {
        InstanceState::Exited(_) => plan.act(Action::RemoveInstance(instance.id.clone())),
        _ if instance.is_stopping => {}
        _ => plan.act(Action::StopInstance(instance.id.clone())),
    }
}

/// Keeps the live release served: fills empty places, takes sick instances out, sets the route.
pub(super) fn keep_live(desired: &Desired, observed: &Observed, now: Timestamp, plan: &mut Plan) {
    let Some(live) = &desired.live else {
        return announce_first_deploy(desired, observed, plan);
    };
    let service = &live.release.service;
    match service.kind {
        ServiceKind::Static => {
            let Some(artifact_id) = &live.release.artifact_id else { return };
            set_route(RouteState::Static(artifact_id.clone()), observed, plan);
        }
        ServiceKind::Cron => {}
        ServiceKind::Web | ServiceKind::Private | ServiceKind::Worker => {
            if is_displaced(desired) {
                return;
            }
            let mut serving = Vec::new();
            let mut restarts = 0;
            let mut over = None;
            for ordinal in 0..service.instances.max(1) {
                let newest = observed
                    .instances
                    .iter()
                    .filter(|seen| seen.deploy_id == live.deploy.id && seen.ordinal == ordinal)
                    .filter(|seen| !seen.is_stopping)
                    .max_by_key(|seen| seen.restarts);
                restarts = restarts.max(newest.map_or(0, |seen| seen.restarts));
                over = over.or_else(|| is_over(service, newest?));
                serving.extend(keep_place(live, ordinal, newest, desired, observed, now, plan));
            }
            if !service.has_port() {
                return;
            }
            match over.filter(|_| serving.is_empty()) {
                Some(why) => set_route(RouteState::Unavailable(why), observed, plan),
                None => set_live_route(&service.name, serving, restarts, observed, plan),
            }
        }
    }
}

/// Whether the live instance had to make room for its successor, which is under way.
fn is_displaced(desired: &Desired) -> bool {
    desired.rollout == RolloutMode::StopFirst
        && desired
            .next
            .as_ref()
            .is_some_and(|next| next.deploy.status == DeployStatus::UpdateInProgress)
}

fn announce_first_deploy(desired: &Desired, observed: &Observed, plan: &mut Plan) {
    let name = &desired.name;
    let text = match &desired.next {
        Some(next) if !next.release.service.has_port() => return,
        Some(_) => format!("{name} is being deployed for the first time"),
        None if observed.route.is_none() => return,
        None => format!("the first deploy of {name} failed; `gable status` says why"),
    };
    set_route(RouteState::Unavailable(text), observed, plan);
}

/// Why an instance that ended is not started again, if it is not.
fn is_over(service: &Service, instance: &SeenInstance) -> Option<String> {
    let InstanceState::Exited(exit) = &instance.state else { return None };
    if is_completion(service, exit) {
        return Some(format!("{} has completed", service.name));
    }
    let may_restart = may_restart(service.container.restart, instance.restarts);
    (!may_restart).then(|| format!("{} ended, and its `restart` says to leave it", service.name))
}

/// Cares for one place of the live release. Returns the target if it can take requests.
fn keep_place(
    live: &LiveDeploy,
    ordinal: u32,
    newest: Option<&SeenInstance>,
    desired: &Desired,
    observed: &Observed,
    now: Timestamp,
    plan: &mut Plan,
) -> Option<Target> {
    let start =
        |restarts| Action::StartInstance { deploy_id: live.deploy.id.clone(), ordinal, restarts };
    // Where only one instance may have the disk or the port, a failed successor or a sick
    // predecessor has to be gone first.
    let is_occupied = desired.rollout == RolloutMode::StopFirst
        && observed
            .instances
            .iter()
            .filter(|other| newest.is_none_or(|newest| newest.id != other.id))
            .any(|other| !matches!(other.state, InstanceState::Exited(_)));
    let Some(instance) = newest else {
        if !is_occupied {
            plan.act(start(0));
        }
        return None;
    };
    match &instance.state {
        InstanceState::Exited(_) if is_over(&live.release.service, instance).is_some() => None,
        InstanceState::Exited(exit) => {
            let ran = exit.at.duration_since(instance.created_at).unsigned_abs();
            let restarts = if ran >= CLEAN_RECORD { 0 } else { instance.restarts };
            let due = after(exit.at, back_off(restarts));
            if now >= due && !is_occupied {
                plan.act(start(restarts + 1));
                plan.act(Action::RemoveInstance(instance.id.clone()));
            } else if now < due {
                plan.wake_by(due);
            }
            None
        }
        InstanceState::Starting => None,
        InstanceState::Running { .. } => match &instance.health {
            Health::Healthy { target } => target.clone(),
            // After a restart of the control plane nothing has been probed yet: what took
            // requests before goes on taking them.
            Health::Unknown => routed_target(instance, observed),
            Health::Failing { since, target } => {
                if now >= after(*since, desired.timeouts.unhealthy_restart) {
                    plan.act(Action::StopInstance(instance.id.clone()));
                    return None;
                }
                let unroute_at = after(*since, desired.timeouts.unhealthy_unroute);
                plan.wake_by(after(*since, desired.timeouts.unhealthy_restart));
                if now >= unroute_at {
                    return None;
                }
                plan.wake_by(unroute_at);
                target.clone()
            }
        },
    }
}

fn routed_target(instance: &SeenInstance, observed: &Observed) -> Option<Target> {
    match &observed.route {
        Some(RouteState::Targets(targets)) => {
            targets.iter().find(|target| target.id == instance.id).cloned()
        }
        _ => None,
    }
}

fn set_live_route(
    name: &str,
    serving: Vec<Target>,
    restarts: u32,
    observed: &Observed,
    plan: &mut Plan,
) {
    let route = if !serving.is_empty() {
        RouteState::Targets(serving)
    } else if restarts >= CRASH_LOOP_EXITS {
        RouteState::Unavailable(format!("{name} keeps crashing"))
    } else {
        RouteState::Hold
    };
    set_route(route, observed, plan);
}

fn set_route(route: RouteState, observed: &Observed, plan: &mut Plan) {
    if observed.route.as_ref() != Some(&route) {
        plan.act(Action::Route(route));
    }
}

/// Ends instances that belong to no deploy that is live or under way, once they have answered
/// what they were asked and those who still hold their address have had time to let go.
pub(super) fn retire(desired: &Desired, observed: &Observed, now: Timestamp, plan: &mut Plan) {
    let live = desired.live.as_ref().map(|live| &live.deploy);
    let next = desired.next.as_ref().map(|next| &next.deploy);
    for instance in &observed.instances {
        let is_next = next.is_some_and(|deploy| deploy.id == instance.deploy_id);
        let is_live = live.is_some_and(|deploy| deploy.id == instance.deploy_id);
        if is_next {
            // How its instances ended is evidence until the deploy is over.
            continue;
        }
        if is_live {
            forget_predecessors(instance, observed, plan);
            if matches!(instance.state, InstanceState::Exited(_)) && instance.is_stopping {
                plan.act(Action::RemoveInstance(instance.id.clone()));
            }
            continue;
        }
        match needed_until(instance, desired) {
            Some(until) if now < until => plan.wake_by(until),
            _ => end(instance, plan),
        }
    }
}

/// Until when an instance of an earlier deploy is needed, if it is at all. It counts from when its
/// own deploy was replaced: while deploys follow one another, the older ones go all the same.
fn needed_until(instance: &SeenInstance, desired: &Desired) -> Option<Timestamp> {
    let since = instance.superseded_at?;
    let lingers =
        (desired.rollout == RolloutMode::SideBySide).then(|| after(since, desired.timeouts.linger));
    // What is not known to answer nothing may be answering.
    let answers = (instance.in_flight != Some(0)).then(|| after(since, live_grace(desired)));
    lingers.max(answers)
}

fn live_grace(desired: &Desired) -> Duration {
    let seconds =
        desired.live.as_ref().map_or(30, |live| live.release.service.max_shutdown_delay_seconds);
    Duration::from_secs(u64::from(seconds))
}

/// An ended instance whose place has been filled again is forgotten.
fn forget_predecessors(instance: &SeenInstance, observed: &Observed, plan: &mut Plan) {
    let is_ended = matches!(instance.state, InstanceState::Exited(_));
    let is_replaced = observed.instances.iter().any(|other| {
        other.deploy_id == instance.deploy_id
            && other.ordinal == instance.ordinal
            && other.restarts > instance.restarts
    });
    if is_ended && is_replaced {
        plan.act(Action::RemoveInstance(instance.id.clone()));
    }
}

/// The initial deploy hook runs once, after the first deploy that succeeded.
pub(super) fn run_initial_hook(desired: &Desired, observed: &Observed, plan: &mut Plan) {
    let Some(live) = desired.live.as_ref().filter(|live| live.owes_initial_hook) else { return };
    if !has_text(live.release.service.initial_deploy_hook.as_deref()) {
        return;
    }
    match &observed.initial_hook {
        JobState::NotStarted => plan.act(Action::StartInitialHook(live.deploy.id.clone())),
        JobState::Running(_) => {}
        JobState::Exited(_, exit) => {
            plan.act(Action::FinishInitialHook(live.deploy.id.clone(), exit.clone()));
        }
    }
}
