//! The story of one pass: phases of the deploy under way, then care for what is live.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use model::{Deploy, DeployEvent, DeployId, DeployStatus, Exit, InstanceId, Problem, ServiceKind};

use super::observed::{
    ArtifactState, Desired, JobState, NeedState, NextDeploy, Observed, RouteState,
};
use super::{supervise, update};

/// What to do next for one service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Steps, in order. When one fails the rest is left for the next pass.
    pub actions: Vec<Action>,
    /// Why the deploy under way does not move, if it does not.
    pub waiting: Option<Waiting>,
    /// When to look again, if nothing signals before.
    pub wake_at: Option<Timestamp>,
    /// When the deploy under way is given up, if nothing changes before.
    pub gives_up_at: Option<Timestamp>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Change a deploy's status.
    Record(DeployId, DeployEvent),
    /// Give a deploy up, and say why.
    Fail(DeployId, DeployEvent, Because),
    /// Run the build commands.
    StartBuild(DeployId),
    /// Run the pre-deploy command.
    StartPreDeploy(DeployId),
    /// Run the initial deploy hook.
    StartInitialHook(DeployId),
    /// Write down that the initial deploy hook has run.
    FinishInitialHook(DeployId, Exit),
    /// Start one copy of a deploy's release.
    StartInstance {
        /// Whose release.
        deploy_id: DeployId,
        /// Its place.
        ordinal: u32,
        /// How often the place was filled before.
        restarts: u32,
    },
    /// Give the edge a route.
    Route(RouteState),
    /// Give the edge a deploy's route; when it has taken it, the deploy is live and the one before
    /// it is not.
    Switch {
        /// The deploy that goes live.
        deploy_id: DeployId,
        /// The route; `None` for services that have none.
        route: Option<RouteState>,
    },
    /// TERM, grace, KILL.
    StopInstance(InstanceId),
    /// Forget an instance that has ended.
    RemoveInstance(InstanceId),
}

/// Why a deploy is given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Because {
    /// It is known already.
    Known(Problem),
    /// A command ended badly.
    JobExited(InstanceId, Exit),
    /// A command took too long.
    JobTimedOut(InstanceId, Duration),
    /// A new instance ended, too often or in a way that will not change.
    InstanceExited {
        /// The last one.
        id: InstanceId,
        /// How it ended.
        exit: Exit,
        /// How often it was started again before.
        restarts: u32,
    },
    /// A new instance runs and is not healthy.
    NotHealthy(InstanceId, Duration),
}

/// Why nothing is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waiting {
    /// Data stores start.
    DataStores(Vec<String>),
    /// Services that it depends on are not as far as it needs them.
    Dependencies(Vec<String>),
    /// The build runs.
    Build,
    /// The pre-deploy command runs.
    PreDeploy,
    /// The old instance has to stop first.
    OldInstance,
    /// New instances are not healthy yet.
    Health {
        /// How many are.
        healthy: usize,
        /// How many there should be.
        of: usize,
    },
    /// New instances that cannot be asked have to run for a while first.
    Watch,
    /// A new instance ended and will be started again.
    BackOff(Timestamp),
}

impl std::fmt::Display for Waiting {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::DataStores(names) | Self::Dependencies(names) => {
                write!(formatter, "waiting for {}", names.join(", "))
            }
            Self::Build => formatter.write_str("building"),
            Self::PreDeploy => formatter.write_str("running the pre-deploy command"),
            Self::OldInstance => formatter.write_str("waiting for the old instance to stop"),
            Self::Health { healthy, of } => {
                write!(formatter, "waiting for {} of {of} instances to be healthy", of - healthy)
            }
            Self::Watch => formatter.write_str("watching whether it goes on running"),
            Self::BackOff(_) => formatter.write_str("it ended; starting it again shortly"),
        }
    }
}

impl Plan {
    pub(super) fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Looks again at `at`, or before.
    pub(super) fn wake_by(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |known| known.min(at)));
    }

    /// Gives the deploy under way up at `at`, or before.
    pub(super) fn gives_up_by(&mut self, at: Timestamp) {
        self.wake_by(at);
        self.gives_up_at = Some(self.gives_up_at.map_or(at, |known| known.min(at)));
    }
}

/// `at` plus `duration`, without overflow.
pub(super) fn after(at: Timestamp, duration: Duration) -> Timestamp {
    SignedDuration::try_from(duration)
        .ok()
        .and_then(|duration| at.checked_add(duration).ok())
        .unwrap_or(Timestamp::MAX)
}

/// What to do next.
#[must_use]
pub fn plan(desired: &Desired, observed: &Observed, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    if desired.is_stopped {
        supervise::stop_everything(desired, observed, &mut plan);
        return plan;
    }
    for deploy_id in &desired.overtaken {
        plan.act(Action::Record(deploy_id.clone(), DeployEvent::Canceled));
    }
    if let Some(next) = &desired.next {
        advance(next, desired, observed, now, &mut plan);
    }
    let switches = plan.actions.iter().any(|action| matches!(action, Action::Switch { .. }));
    if !switches {
        supervise::keep_live(desired, observed, now, &mut plan);
    }
    supervise::retire(desired, observed, now, &mut plan);
    supervise::run_initial_hook(desired, observed, &mut plan);
    plan
}

/// Moves the deploy under way by one phase, if its phase is over.
fn advance(
    next: &NextDeploy,
    desired: &Desired,
    observed: &Observed,
    now: Timestamp,
    plan: &mut Plan,
) {
    let deploy = &next.deploy;
    match deploy.status {
        DeployStatus::Created | DeployStatus::Queued => begin(next, observed, plan),
        DeployStatus::BuildInProgress => match &observed.artifact {
            ArtifactState::Absent => plan.act(Action::StartBuild(deploy.id.clone())),
            ArtifactState::Building => plan.waiting = Some(Waiting::Build),
            ArtifactState::Failed(problem) => plan.act(Action::Fail(
                deploy.id.clone(),
                DeployEvent::BuildFailed,
                Because::Known(problem.clone()),
            )),
            ArtifactState::Present(_) | ArtifactState::NotNeeded => {
                leave_build(next, observed, plan);
            }
        },
        DeployStatus::PreDeployInProgress => pre_deploy(deploy, desired, observed, now, plan),
        DeployStatus::UpdateInProgress => update::update(next, desired, observed, now, plan),
        DeployStatus::Live
        | DeployStatus::Deactivated
        | DeployStatus::Canceled
        | DeployStatus::BuildFailed
        | DeployStatus::PreDeployFailed
        | DeployStatus::UpdateFailed => {}
    }
}

/// Begins with the build, once the databases that it may use are there.
fn begin(next: &NextDeploy, observed: &Observed, plan: &mut Plan) {
    let deploy_id = &next.deploy.id;
    if !is_met(next, &observed.data_stores, Waiting::DataStores, plan) {
        return;
    }
    match &observed.artifact {
        ArtifactState::Present(_) | ArtifactState::NotNeeded => leave_build(next, observed, plan),
        // A failed build of an earlier deploy says nothing about this one: it is tried again.
        ArtifactState::Absent | ArtifactState::Building | ArtifactState::Failed(_) => {
            plan.act(Action::Record(deploy_id.clone(), DeployEvent::BuildStarted));
        }
    }
}

/// Whether all that is needed is there. Waits for it otherwise, and gives the deploy up when it
/// cannot come.
fn is_met(
    next: &NextDeploy,
    needs: &[(String, NeedState)],
    waiting: fn(Vec<String>) -> Waiting,
    plan: &mut Plan,
) -> bool {
    let failed = needs.iter().find_map(|(_, state)| match state {
        NeedState::Failed(problem) => Some(problem),
        NeedState::Pending => None,
    });
    if let Some(problem) = failed {
        plan.act(Action::Fail(
            next.deploy.id.clone(),
            DeployEvent::BuildFailed,
            Because::Known(problem.clone()),
        ));
    } else if !needs.is_empty() {
        plan.waiting = Some(waiting(needs.iter().map(|(name, _)| name.clone()).collect()));
    }
    needs.is_empty()
}

/// Goes on to what runs, once the services that it depends on are there.
fn leave_build(next: &NextDeploy, observed: &Observed, plan: &mut Plan) {
    if !is_met(next, &observed.dependencies, Waiting::Dependencies, plan) {
        return;
    }
    let event = if has_text(next.release.service.pre_deploy_command.as_deref())
        && next.release.service.kind != ServiceKind::Static
    {
        DeployEvent::PreDeployStarted
    } else {
        DeployEvent::UpdateStarted
    };
    plan.act(Action::Record(next.deploy.id.clone(), event));
}

pub(super) fn has_text(command: Option<&str>) -> bool {
    command.is_some_and(|text| !text.trim().is_empty())
}

fn pre_deploy(
    deploy: &Deploy,
    desired: &Desired,
    observed: &Observed,
    now: Timestamp,
    plan: &mut Plan,
) {
    let fail = |because| Action::Fail(deploy.id.clone(), DeployEvent::PreDeployFailed, because);
    match &observed.pre_deploy {
        JobState::NotStarted => plan.act(Action::StartPreDeploy(deploy.id.clone())),
        JobState::Running(instance_id) => {
            let deadline = after(deploy.status_since, desired.timeouts.pre_deploy);
            if now >= deadline {
                plan.act(fail(Because::JobTimedOut(
                    instance_id.clone(),
                    desired.timeouts.pre_deploy,
                )));
            } else {
                plan.waiting = Some(Waiting::PreDeploy);
                plan.wake_by(deadline);
            }
        }
        JobState::Exited(_, exit) if exit.is_success() => {
            plan.act(Action::Record(deploy.id.clone(), DeployEvent::UpdateStarted));
        }
        JobState::Exited(instance_id, exit) => {
            plan.act(fail(Because::JobExited(instance_id.clone(), exit.clone())));
        }
    }
}
