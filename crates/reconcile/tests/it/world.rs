//! A world that does what the planner says, in which instances become healthy, stay sick or end as
//! a script says.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use model::{
    Commit, Deploy, DeployId, DeployStatus, DeployTrigger, Exit, InstanceId, InstanceState,
    InstanceType, Release, ReleaseId, RestartPolicy, Revision, Runtime, Service, ServiceId,
    ServiceKind, Target,
};
use reconcile::deploy::{
    Action, ArtifactState, Desired, Health, JobState, LiveDeploy, NeedState, NextDeploy, Observed,
    Plan, Refusal, RolloutMode, RouteState, SeenInstance, Timeouts, Turn, plan, turn,
};
use uuid::Uuid;

/// How the instances of one deploy behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Healthy this many milliseconds after the start.
    HealthyAfter(i64),
    /// Answers each probe with this status from the first second on.
    Refuses(u16),
    /// Runs and never becomes healthy.
    NeverHealthy,
    /// Ends with this code after so many milliseconds, every time.
    ExitsAfter(i64, i32),
    /// Its build fails.
    BuildFails,
}

pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) desired_stopped: bool,
    pub(crate) deploys: Vec<(Deploy, Release, Behaviour)>,
    pub(crate) instances: Vec<SeenInstance>,
    pub(crate) route: Option<RouteState>,
    pub(crate) rollout: RolloutMode,
    pub(crate) built: Vec<DeployId>,
    pub(crate) log: Vec<String>,
    pub(crate) data_stores: Vec<(String, NeedState)>,
    pub(crate) dependencies: Vec<(String, NeedState)>,
    pub(crate) dependents: Vec<String>,
    /// What happens to the instances of later deploys when they end.
    pub(crate) restart: RestartPolicy,
    /// Whether the edge does not answer.
    pub(crate) is_edge_silent: bool,
    ids: u128,
}

pub(crate) fn service(kind: ServiceKind) -> Service {
    Service {
        kind,
        name: "web".to_owned(),
        runtime: Runtime::Node,
        root_dir: String::new(),
        repo: None,
        branch: None,
        build_command: Some("npm ci".to_owned()),
        start_command: Some("npm start".to_owned()),
        pre_deploy_command: None,
        initial_deploy_hook: None,
        schedule: None,
        instance_type: InstanceType {
            name: "starter".to_owned(),
            cpu_millis: 500,
            memory_bytes: 512 << 20,
        },
        instances: 1,
        env: Vec::new(),
        groups: Vec::new(),
        health_check_path: None,
        max_shutdown_delay_seconds: 30,
        disk: None,
        domains: Vec::new(),
        publish_path: None,
        headers: Vec::new(),
        routes: Vec::new(),
        docker: None,
        image: None,
        container: model::Container::default(),
        build_filter: None,
        auto_deploy: model::service::AutoDeploy::Commit,
    }
}

impl World {
    pub(crate) fn new(rollout: RolloutMode) -> Self {
        Self {
            now: Timestamp::UNIX_EPOCH,
            desired_stopped: false,
            deploys: Vec::new(),
            instances: Vec::new(),
            route: None,
            rollout,
            built: Vec::new(),
            log: Vec::new(),
            data_stores: Vec::new(),
            dependencies: Vec::new(),
            dependents: Vec::new(),
            restart: RestartPolicy::Always,
            is_edge_silent: false,
            ids: 0,
        }
    }

    fn uuid(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(self.ids)
    }

    pub(crate) fn deploy(&mut self, kind: ServiceKind, behaviour: Behaviour) -> DeployId {
        let service_id = ServiceId::from_uuid(Uuid::from_u128(0));
        let release = Release {
            id: ReleaseId::from_uuid(self.uuid()),
            service_id: service_id.clone(),
            revision: Revision(self.deploys.len() as u32 + 1),
            commit: Commit {
                id: "c".repeat(40),
                tree: "t".repeat(40),
                branch: "main".to_owned(),
                subject: String::new(),
                is_dirty: false,
            },
            artifact_id: None,
            service: Service {
                container: model::Container { restart: self.restart, ..Default::default() },
                ..service(kind)
            },
            created_at: self.now,
        };
        let deploy = Deploy {
            id: DeployId::from_uuid(self.uuid()),
            service_id,
            release_id: release.id.clone(),
            build_id: None,
            status: DeployStatus::Created,
            trigger: DeployTrigger::BlueprintSync,
            failure: None,
            proof: None,
            created_at: self.now,
            status_since: self.now,
            finished_at: None,
        };
        let id = deploy.id.clone();
        self.deploys.push((deploy, release, behaviour));
        id
    }

    pub(crate) fn status(&self, id: &DeployId) -> DeployStatus {
        self.find(id).0.status
    }

    fn find(&self, id: &DeployId) -> &(Deploy, Release, Behaviour) {
        self.deploys.iter().find(|(deploy, ..)| deploy.id == *id).expect("it was made here")
    }

    pub(crate) fn live(&self) -> Option<&(Deploy, Release, Behaviour)> {
        self.deploys.iter().rev().find(|(deploy, ..)| deploy.status == DeployStatus::Live)
    }

    fn desired(&self) -> Desired {
        let all = self.deploys.iter().map(|(deploy, ..)| deploy);
        let under_way = all.filter(|deploy| deploy.status.is_in_progress()).cloned().collect();
        let Turn { next, overtaken } = turn(under_way);
        let next = next.map(|deploy| self.find(&deploy.id));
        Desired {
            name: "web".to_owned(),
            is_stopped: self.desired_stopped,
            live: self.live().map(|(deploy, release, _)| LiveDeploy {
                deploy: deploy.clone(),
                release: release.clone(),
                owes_initial_hook: false,
            }),
            next: next.map(|(deploy, release, _)| NextDeploy {
                deploy: deploy.clone(),
                release: release.clone(),
            }),
            overtaken,
            rollout: self.rollout,
            timeouts: Timeouts::standard(),
        }
    }

    fn observed(&self, desired: &Desired) -> Observed {
        let artifact = match &desired.next {
            None => ArtifactState::NotNeeded,
            Some(next) => {
                let behaviour = self.find(&next.deploy.id).2;
                if !self.built.contains(&next.deploy.id) {
                    ArtifactState::Absent
                } else if behaviour == Behaviour::BuildFails {
                    ArtifactState::Failed(model::Problem::new("build-failed", "it failed"))
                } else {
                    ArtifactState::Present("a".repeat(64).parse().expect("64 digits"))
                }
            }
        };
        Observed {
            data_stores: self.data_stores.clone(),
            dependencies: self.dependencies.clone(),
            dependents: self.dependents.clone(),
            artifact,
            pre_deploy: JobState::NotStarted,
            initial_hook: JobState::NotStarted,
            instances: self.instances.iter().map(|instance| self.seen(instance)).collect(),
            route: self.route.clone(),
        }
    }

    fn seen(&self, instance: &SeenInstance) -> SeenInstance {
        let deploy = &self.find(&instance.deploy_id).0;
        let is_superseded = deploy.status == DeployStatus::Deactivated;
        let is_known = is_superseded && !self.is_edge_silent;
        SeenInstance {
            superseded_at: is_superseded.then_some(deploy.status_since),
            in_flight: is_known.then(|| instance.in_flight.unwrap_or(0)),
            ..instance.clone()
        }
    }

    pub(crate) fn pass(&mut self) -> Plan {
        self.age();
        let desired = self.desired();
        let plan = plan(&desired, &self.observed(&desired), self.now);
        for action in &plan.actions {
            self.act(action);
        }
        plan
    }

    /// Lets `milliseconds` go by, with a pass every 50.
    pub(crate) fn run(&mut self, milliseconds: i64) {
        for _ in 0..milliseconds / 50 {
            self.pass();
            self.now += SignedDuration::from_millis(50);
        }
    }

    /// The control plane was killed: what the probes knew is gone.
    pub(crate) fn forget_probes(&mut self) {
        for instance in &mut self.instances {
            instance.health = Health::Unknown;
            instance.is_stopping = false;
        }
    }

    /// The machine was started anew: nothing is known of what ran.
    pub(crate) fn lose_instances(&mut self) {
        let at = self.now;
        for instance in &mut self.instances {
            instance.state = InstanceState::Exited(Exit { code: None, ..exit(0, at) });
        }
    }

    fn age(&mut self) {
        let now = self.now;
        for position in 0..self.instances.len() {
            let (_, release, behaviour) = self.find(&self.instances[position].deploy_id.clone());
            let (kind, behaviour) = (release.service.kind, *behaviour);
            let routed = matches!(&self.route, Some(RouteState::Targets(targets))
                if targets.iter().any(|target| target.id == self.instances[position].id));
            let instance = &mut self.instances[position];
            if !routed && instance.in_flight.is_some() {
                instance.in_flight = Some(0);
            }
            let ran = now.duration_since(instance.created_at).as_millis() as i64;
            let is_running = matches!(instance.state, InstanceState::Running { .. });
            match behaviour {
                _ if instance.is_stopping && is_running => {
                    instance.state = InstanceState::Exited(exit(143, now));
                }
                Behaviour::ExitsAfter(milliseconds, code) if is_running && ran >= milliseconds => {
                    instance.state = InstanceState::Exited(exit(code, now));
                }
                Behaviour::Refuses(status) if is_running && ran >= 1_000 => {
                    let text = format!("request {ran} refused");
                    let former = instance.refusal.take();
                    let refusal = Refusal::and_then(former.as_ref(), status, &text, now);
                    instance.refusal = Some(refusal);
                }
                Behaviour::HealthyAfter(milliseconds) if is_running && ran >= milliseconds => {
                    let target = target(&instance.id);
                    let target = (kind != ServiceKind::Worker).then_some(target);
                    instance.health = Health::Healthy { target };
                }
                // That it runs is all that a probe sees of one that nobody can ask.
                Behaviour::ExitsAfter(..)
                    if is_running && kind == ServiceKind::Worker && ran >= 1_000 =>
                {
                    instance.health = Health::Healthy { target: None };
                }
                _ => {}
            }
        }
    }

    fn act(&mut self, action: &Action) {
        self.log.push(format!("{} {action:?}", self.now));
        match action {
            Action::Record(id, event) | Action::Fail(id, event, _) => self.record(id, *event),
            Action::StartBuild(id) => self.built.push(id.clone()),
            Action::StartInstance { deploy_id, ordinal, restarts } => {
                let uuid = self.uuid();
                self.instances.push(SeenInstance {
                    id: InstanceId::from_uuid(uuid),
                    deploy_id: deploy_id.clone(),
                    ordinal: *ordinal,
                    restarts: *restarts,
                    created_at: self.now,
                    state: InstanceState::Running {
                        address: [10, 77, 0, 2].into(),
                        started_at: self.now,
                    },
                    health: Health::Unknown,
                    refusal: None,
                    is_stopping: false,
                    superseded_at: None,
                    in_flight: None,
                });
            }
            Action::Route(route) => self.set_route(route.clone()),
            Action::Switch { deploy_id, route } => {
                let former = self.live().map(|(deploy, ..)| deploy.id.clone());
                if let Some(route) = route {
                    self.set_route(route.clone());
                }
                self.record(deploy_id, model::DeployEvent::WentLive);
                if let Some(former) = former {
                    self.record(&former, model::DeployEvent::Deactivated);
                }
            }
            Action::StopInstance(id) => {
                for instance in self.instances.iter_mut().filter(|instance| instance.id == *id) {
                    instance.is_stopping = true;
                }
            }
            Action::RemoveInstance(id) => self.instances.retain(|instance| instance.id != *id),
            Action::StartPreDeploy(_)
            | Action::StartInitialHook(_)
            | Action::FinishInitialHook(..) => {}
        }
    }

    fn set_route(&mut self, route: RouteState) {
        if let RouteState::Targets(targets) = &route {
            for instance in &mut self.instances {
                if targets.iter().any(|target| target.id == instance.id) {
                    instance.in_flight = Some(1);
                }
            }
        }
        self.route = Some(route);
    }

    fn record(&mut self, id: &DeployId, event: model::DeployEvent) {
        let now = self.now;
        let deploy = &mut self
            .deploys
            .iter_mut()
            .find(|(deploy, ..)| deploy.id == *id)
            .expect("it was made here")
            .0;
        deploy.status = deploy.status.on(event).expect("the planner asks for legal transitions");
        deploy.status_since = now;
        if !deploy.status.is_in_progress() {
            deploy.finished_at = Some(now);
        }
    }

    pub(crate) fn running(&self) -> usize {
        self.instances
            .iter()
            .filter(|instance| matches!(instance.state, InstanceState::Running { .. }))
            .count()
    }

    /// Whether requests reach a healthy instance now.
    pub(crate) fn serves(&self) -> bool {
        matches!(&self.route, Some(RouteState::Targets(targets)) if targets.iter().any(|target| {
            self.instances.iter().any(|instance| {
                instance.id == target.id
                    && !instance.is_stopping
                    && matches!(instance.state, InstanceState::Running { .. })
            })
        }))
    }
}

fn exit(code: i32, at: Timestamp) -> Exit {
    Exit {
        code: Some(code),
        signal: None,
        out_of_memory: false,
        limit: None,
        start_error: None,
        at,
    }
}

fn target(id: &InstanceId) -> Target {
    Target { id: id.clone(), address: ([10, 77, 0, 2], 10000).into() }
}

pub(crate) const WINDOW: Duration = Duration::from_secs(15 * 60);
