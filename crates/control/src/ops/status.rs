//! Everything there is, as it stands now.

use jiff::Timestamp;
use model::{
    Deploy, DeployId, Environment, Exit, Instance, InstancePurpose, InstanceState, Problem,
    Project, Release, RestartPolicy, ServiceKind,
};
use reconcile::deploy::{CRASH_LOOP_EXITS, Health, RouteState};
use store::cron_runs::CronRun;
use store::services::ServiceRow;

use crate::data_stores;
use crate::environments;
use crate::error::Error;
use crate::events;
use crate::ops::{databases, deploys};
use crate::platform::{Platform, StoreState};
use crate::tasks::{crons, routes};

/// A project with everything in it.
#[derive(Debug)]
pub struct ProjectView {
    /// The project.
    pub project: Project,
    /// Whether a person has stopped all of it.
    pub is_stopped: bool,
    /// Its environments.
    pub environments: Vec<EnvironmentView>,
}

/// An environment with everything in it.
#[derive(Debug)]
pub struct EnvironmentView {
    /// The environment.
    pub environment: Environment,
    /// Its services.
    pub services: Vec<ServiceView>,
    /// Its data stores: first PostgreSQL, then Key Value.
    pub stores: Vec<StoreView>,
    /// Variables that have no value.
    pub missing: Vec<environments::Unset>,
}

/// A data store.
#[derive(Debug)]
pub struct StoreView {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: StoreKind,
    /// The version that was asked for; empty if none was.
    pub version: String,
    /// Host under which services of its environment reach it.
    pub host: String,
    /// The port to it.
    pub port: u16,
    /// What is known of it.
    pub state: Option<StoreState>,
    /// Memory in use, in bytes.
    pub memory_bytes: Option<u64>,
    /// When its server began.
    pub started_at: Option<Timestamp>,
}

/// What a data store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// A PostgreSQL database.
    Postgres,
    /// A Key Value instance.
    KeyValue,
}

/// A service.
#[derive(Debug)]
pub struct ServiceView {
    /// What is written down.
    pub row: ServiceRow,
    /// How it stands, in one word.
    pub standing: Standing,
    /// The live release and its deploy.
    pub live: Option<(Deploy, Release)>,
    /// The newest deploy, whatever became of it.
    pub latest: Option<Deploy>,
    /// Why the deploy under way does not move.
    pub waiting: Option<String>,
    /// What to know of its newest deploy although that succeeded.
    pub warning: Option<Problem>,
    /// Addresses for a browser.
    pub urls: Vec<String>,
    /// Address in the private network.
    pub internal: Option<String>,
    /// Its running copies.
    pub instances: Vec<InstanceView>,
    /// When it runs next; cron services.
    pub next_run: Option<Timestamp>,
    /// Its last run; cron services.
    pub last_run: Option<CronRun>,
}

/// One running copy.
#[derive(Debug)]
pub struct InstanceView {
    /// What is written down.
    pub instance: Instance,
    /// What the engine sees.
    pub state: InstanceState,
    /// The same with what the probes see.
    pub condition: Condition,
    /// How it ended; while it runs, how the one before it in its place did, if there was one.
    pub last_exit: Option<Exit>,
    /// Port that answers.
    pub port: Option<u16>,
    /// Memory in use, in bytes.
    pub memory_bytes: Option<u64>,
    /// The number of the release it runs.
    pub revision: u32,
}

/// How a running copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It is being started.
    Starting,
    /// It runs; nobody has asked it yet, or nobody can.
    Running,
    /// It runs and answers.
    Healthy,
    /// It runs and does not answer as it should.
    Unhealthy,
    /// It has ended.
    Exited,
}

/// How a service stands, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its newest release serves.
    Live,
    /// A deploy is under way.
    Deploying,
    /// A deploy is under way and waits for something.
    Waiting,
    /// The newest deploy failed and nothing serves.
    Failed,
    /// The newest deploy failed; an older release serves.
    Degraded,
    /// Its instances end again and again.
    CrashLooping,
    /// A person has stopped it.
    Stopped,
    /// It waits for its hour.
    Scheduled,
    /// A cron run is under way.
    Running,
    /// It ended with 0, as it should.
    Completed,
    /// It ended with a failure, and its restart policy leaves it so.
    Ended,
}

/// All projects, or the one with this name.
///
/// # Errors
/// When the store cannot be read.
pub async fn projects(platform: &Platform, only: Option<&str>) -> Result<Vec<ProjectView>, Error> {
    let mut views = Vec::new();
    for project in store::projects::list(&platform.store)? {
        if only.is_some_and(|name| name != project.name) {
            continue;
        }
        let mut environments = Vec::new();
        for environment in store::environments::list(&platform.store, &project.id)? {
            environments.push(environment_view(platform, environment).await?);
        }
        let mut is_stopped = !environments.is_empty();
        for view in &environments {
            is_stopped &= environments::is_stopped(platform, &view.environment.id)?;
        }
        views.push(ProjectView { project, is_stopped, environments });
    }
    Ok(views)
}

/// Whose a deploy is, in names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployPlace {
    /// The service.
    pub service: String,
    /// Its environment; empty when it is gone.
    pub environment: String,
}

/// Whose a deploy is, in names.
///
/// # Errors
/// When there is no such deploy.
pub fn deploy_place(platform: &Platform, id: &DeployId) -> Result<DeployPlace, Error> {
    let deploy = store::deploys::get(&platform.store, id)?.ok_or_else(|| {
        Error::from(
            Problem::new("not-found", format!("there is no deploy {id}"))
                .hint("`gable status --json` lists the newest deploy of each service"),
        )
    })?;
    let row = deploys::service(platform, &deploy.service_id)?;
    let environment = store::environments::get(&platform.store, &row.environment_id)?;
    Ok(DeployPlace {
        service: row.definition.name,
        environment: environment.map(|environment| environment.name).unwrap_or_default(),
    })
}

/// That there is a data store with this id.
///
/// # Errors
/// When there is none.
pub fn require_store(platform: &Platform, id: &str) -> Result<(), Error> {
    match events::store_name(platform, id)? {
        Some(_) => Ok(()),
        None => Err(Problem::new("database-not-found", format!("there is no database {id}"))
            .hint("`gable status` lists the databases")
            .into()),
    }
}

async fn environment_view(
    platform: &Platform,
    environment: Environment,
) -> Result<EnvironmentView, Error> {
    let mut services = Vec::new();
    let mut missing = Vec::new();
    for row in store::services::list(&platform.store, &environment.id)? {
        missing.extend(environments::unset_of(platform, &environment, &row)?);
        services.push(service_view(platform, row).await?);
    }
    let mut stores = Vec::new();
    for row in store::databases::list(&platform.store, &environment.id)? {
        let (host, port) =
            databases::endpoint(platform, &row.slug, databases::POSTGRES_PORT, row.port_hint);
        stores.push(StoreView {
            id: row.id.to_string(),
            name: row.definition.name,
            kind: StoreKind::Postgres,
            version: row.definition.major_version.to_string(),
            host,
            port,
            ..StoreView::unseen()
        });
    }
    for row in store::key_values::list(&platform.store, &environment.id)? {
        let (host, port) =
            databases::endpoint(platform, &row.slug, databases::KEY_VALUE_PORT, row.port_hint);
        stores.push(StoreView {
            id: row.id.to_string(),
            name: row.definition.name,
            kind: StoreKind::KeyValue,
            host,
            port,
            ..StoreView::unseen()
        });
    }
    for view in &mut stores {
        view.look(platform).await;
    }
    Ok(EnvironmentView { environment, services, stores, missing })
}

impl StoreView {
    fn unseen() -> Self {
        Self {
            id: String::new(),
            name: String::new(),
            kind: StoreKind::Postgres,
            version: String::new(),
            host: String::new(),
            port: 0,
            state: None,
            memory_bytes: None,
            started_at: None,
        }
    }

    async fn look(&mut self, platform: &Platform) {
        self.state = data_stores::state(platform, &self.id);
        let Some(StoreState::Ready { instance_id, .. }) = &self.state else { return };
        self.memory_bytes = platform.driver.memory_bytes(instance_id).await;
        if let Some(InstanceState::Running { started_at, .. }) =
            platform.driver.observe(instance_id).await
        {
            self.started_at = Some(started_at);
        }
    }
}

async fn service_view(platform: &Platform, row: ServiceRow) -> Result<ServiceView, Error> {
    let live = match store::deploys::live(&platform.store, &row.id)? {
        Some(deploy) => store::releases::get(&platform.store, &deploy.release_id)?
            .map(|release| (deploy, release)),
        None => None,
    };
    let latest = store::deploys::latest(&platform.store, &row.id)?;
    let instances = instance_views(platform, &row).await?;
    let route = routes::stored_route(platform, &row.id)?;
    let last_run = match row.definition.kind {
        ServiceKind::Cron => store::cron_runs::latest(&platform.store, &row.id)?,
        _ => None,
    };
    let waiting = platform.waiting(&row.id);
    let warning = match &latest {
        Some(deploy) => store::deploys::warning(&platform.store, &deploy.id)?,
        None => None,
    };
    let mut view = ServiceView {
        warning,
        standing: Standing::Live,
        urls: environments::urls(platform, &row),
        internal: environments::internal_address(platform, &row)?,
        next_run: next_run(&row, live.as_ref()),
        row,
        live,
        latest,
        waiting,
        instances,
        last_run,
    };
    view.standing = standing(platform, &view, route.as_ref())?;
    Ok(view)
}

fn next_run(row: &ServiceRow, live: Option<&(Deploy, Release)>) -> Option<Timestamp> {
    let (_, release) = live?;
    let schedule = release.service.schedule.as_ref()?;
    (row.definition.kind == ServiceKind::Cron)
        .then(|| crons::next_run(schedule, Timestamp::now()).ok())
        .flatten()
}

async fn instance_views(platform: &Platform, row: &ServiceRow) -> Result<Vec<InstanceView>, Error> {
    let mut views = Vec::new();
    for remembered in store::instances::by_owner(&platform.store, &row.id)? {
        let instance = remembered.instance;
        let InstancePurpose::Service { deploy_id, .. } = &instance.purpose else { continue };
        let Some(state) = platform.driver.observe(&instance.id).await else { continue };
        let revision = match store::deploys::get(&platform.store, deploy_id)? {
            Some(deploy) => store::releases::get(&platform.store, &deploy.release_id)?
                .map_or(0, |release| release.revision.0),
            None => 0,
        };
        let health = platform.prober.seen(&instance.id).map_or(Health::Unknown, |seen| seen.health);
        let port = match &health {
            Health::Healthy { target: Some(target) }
            | Health::Failing { target: Some(target), .. } => Some(target.address.port()),
            _ => None,
        };
        views.push(InstanceView {
            memory_bytes: platform.driver.memory_bytes(&instance.id).await,
            condition: condition(&state, &health),
            last_exit: match &state {
                InstanceState::Exited(exit) => Some(exit.clone()),
                _ => remembered.predecessor_exit,
            },
            instance,
            state,
            port,
            revision,
        });
    }
    Ok(views)
}

fn condition(state: &InstanceState, health: &Health) -> Condition {
    match (state, health) {
        (InstanceState::Exited(_), _) => Condition::Exited,
        (InstanceState::Starting, _) => Condition::Starting,
        (_, Health::Healthy { .. }) => Condition::Healthy,
        (_, Health::Failing { .. }) => Condition::Unhealthy,
        (_, Health::Unknown) => Condition::Running,
    }
}

/// What a service that is not started again has come to, if it is over.
fn over(view: &ServiceView) -> Option<Standing> {
    let policy = view.row.definition.container.restart;
    let last = view.instances.last()?;
    match &last.state {
        InstanceState::Exited(exit) if exit.is_success() && policy.may_complete() => {
            Some(Standing::Completed)
        }
        InstanceState::Exited(_) if policy == RestartPolicy::Never => Some(Standing::Ended),
        _ => None,
    }
}

fn standing(
    platform: &Platform,
    view: &ServiceView,
    route: Option<&RouteState>,
) -> Result<Standing, Error> {
    let row = &view.row;
    if environments::is_stopped(platform, &row.environment_id)? || row.suspended {
        return Ok(Standing::Stopped);
    }
    let Some(latest) = &view.latest else { return Ok(Standing::Waiting) };
    if latest.status.is_in_progress() {
        let is_waiting =
            view.waiting.as_deref().is_some_and(|text| text.starts_with("waiting for"));
        return Ok(if is_waiting { Standing::Waiting } else { Standing::Deploying });
    }
    if view.live.is_none() {
        return Ok(Standing::Failed);
    }
    let is_crashing =
        view.instances.iter().any(|instance| instance.instance.restarts >= CRASH_LOOP_EXITS);
    let is_running = view
        .instances
        .iter()
        .any(|instance| matches!(instance.state, InstanceState::Running { .. }));
    let cron_runs = view.last_run.as_ref().is_some_and(|run| run.ended.is_none());
    Ok(match row.definition.kind {
        _ if latest.status.is_failed() => Standing::Degraded,
        ServiceKind::Cron if cron_runs => Standing::Running,
        ServiceKind::Cron => Standing::Scheduled,
        ServiceKind::Static => Standing::Live,
        _ if is_crashing && !matches!(route, Some(RouteState::Targets(_))) => {
            Standing::CrashLooping
        }
        _ if !is_running => over(view).unwrap_or(Standing::Waiting),
        _ => Standing::Live,
    })
}
