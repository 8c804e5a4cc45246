//! What services, builds and data stores have said.

use std::collections::HashMap;
use std::path::PathBuf;

use jiff::Timestamp;
use model::{InstanceId, InstancePurpose, InstanceState, Problem};

use crate::error::Error;
use crate::events;
use crate::ops::{deploys, status};
use crate::platform::Platform;

pub use telemetry::Stream;

/// One line, and who said it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When its end was seen.
    pub at: Timestamp,
    /// The name of the service or data store.
    pub owner: String,
    /// Its environment's name.
    pub environment: String,
    /// The id of the instance.
    pub instance: String,
    /// Where it was said.
    pub stream: Stream,
    /// What was said.
    pub text: String,
}

/// One log, or a directory of logs, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// The file or directory.
    path: PathBuf,
    /// The name of the service or data store.
    owner: String,
    /// Its environment's name.
    environment: String,
}

/// Which lines are wanted.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Of this project.
    pub project: Option<String>,
    /// Of the service or data store with this id.
    pub owner_id: Option<String>,
    /// Of this instance.
    pub instance_id: Option<InstanceId>,
    /// Of what this deploy has started, its build too.
    pub deploy_id: Option<model::DeployId>,
    /// Only of builds.
    pub only_builds: bool,
    /// This many lines before the end; all that are kept if `None`.
    pub tail: Option<usize>,
    /// Only lines after this time.
    pub since: Option<Timestamp>,
}

/// Lines as they are written. What comes later, such as the instances of a deploy, is found by
/// [`Follower::refresh`].
pub struct Follower {
    platform: Platform,
    query: Query,
    followed: HashMap<PathBuf, (Place, telemetry::Follower)>,
}

/// The lines that are there, oldest first, and what goes on exactly behind them.
///
/// # Errors
/// When the service, data store or deploy that is asked for does not exist, the store cannot be
/// read, or a log cannot be.
pub fn open(platform: &Platform, query: Query) -> Result<(Vec<Line>, Follower), Error> {
    check(platform, &query)?;
    let mut followed = HashMap::new();
    let mut lines = Vec::new();
    let tail = query.tail.unwrap_or(usize::MAX);
    for place in places(platform, &query)? {
        let (found, follower) = telemetry::Follower::from_tail(vec![place.path.clone()], tail)?;
        lines.extend(found.into_iter().map(|line| place.line(line)));
        followed.insert(place.path.clone(), (place, follower));
    }
    lines.retain(|line| query.is_late_enough(line));
    lines.sort_by_key(|line| line.at);
    let surplus = lines.len().saturating_sub(tail);
    lines.drain(..surplus);
    Ok((lines, Follower { platform: platform.clone(), query, followed }))
}

impl Follower {
    /// Looks for places that came to be since: a deploy starts its instances one after another.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn refresh(&mut self) -> Result<(), Error> {
        for place in places(&self.platform, &self.query)? {
            self.followed.entry(place.path.clone()).or_insert_with(|| {
                let follower = telemetry::Follower::from_start(vec![place.path.clone()]);
                (place, follower)
            });
        }
        Ok(())
    }

    /// What was written since the last call, oldest first.
    pub fn poll(&mut self) -> Vec<Line> {
        let mut lines = Vec::new();
        for (place, follower) in self.followed.values_mut() {
            lines.extend(follower.poll().into_iter().map(|line| place.line(line)));
        }
        lines.retain(|line| self.query.is_late_enough(line));
        lines.sort_by_key(|line| line.at);
        lines
    }

    /// Whether nothing more can come: one instance was asked for, and it has ended. The lines
    /// that it wrote last may still have to be polled.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn is_over(&self) -> Result<bool, Error> {
        let Some(id) = &self.query.instance_id else { return Ok(false) };
        Ok(match self.platform.driver.observe(id).await {
            Some(InstanceState::Exited(_)) => true,
            Some(_) => false,
            // One that is written down is about to start.
            None => store::instances::get(&self.platform.store, id)?.is_none(),
        })
    }
}

impl Query {
    fn is_late_enough(&self, line: &Line) -> bool {
        self.since.is_none_or(|since| line.at > since)
    }
}

impl Place {
    fn line(&self, line: telemetry::LogLine) -> Line {
        Line {
            at: line.at,
            owner: self.owner.clone(),
            environment: self.environment.clone(),
            instance: line.instance,
            stream: line.stream,
            text: line.text,
        }
    }
}

/// An id that names nothing is a mistake; its log would stay empty for ever.
fn check(platform: &Platform, query: &Query) -> Result<(), Error> {
    if let Some(id) = &query.owner_id {
        match id.parse() {
            Ok(id) => {
                deploys::service(platform, &id)?;
            }
            Err(_) if events::store_name(platform, id)?.is_none() => {
                return Err(Problem::new("not-found", format!("nothing has the id {id}"))
                    .hint("`gable status --json` lists the ids")
                    .into());
            }
            Err(_) => {}
        }
    }
    if let Some(id) = &query.deploy_id {
        status::deploy_place(platform, id)?;
    }
    Ok(())
}

/// The logs that are wanted. Those of one instance need not exist yet.
fn places(platform: &Platform, query: &Query) -> Result<Vec<Place>, Error> {
    let mut places = Vec::new();
    for project in store::projects::list(&platform.store)? {
        if query.project.as_ref().is_some_and(|name| *name != project.name) {
            continue;
        }
        for environment in store::environments::list(&platform.store, &project.id)? {
            for (id, owner) in owners(platform, &environment.id)? {
                if query.owner_id.as_ref().is_some_and(|wanted| *wanted != id) {
                    continue;
                }
                let directory = platform.config.logs_dir().join(&id);
                for path in narrow(platform, query, &id, directory)? {
                    places.push(Place {
                        path,
                        owner: owner.clone(),
                        environment: environment.name.clone(),
                    });
                }
            }
        }
    }
    Ok(places)
}

fn owners(
    platform: &Platform,
    environment_id: &model::EnvironmentId,
) -> Result<Vec<(String, String)>, Error> {
    let services = store::services::list(&platform.store, environment_id)?
        .into_iter()
        .map(|row| (row.id.to_string(), row.definition.name));
    let databases = store::databases::list(&platform.store, environment_id)?
        .into_iter()
        .map(|row| (row.id.to_string(), row.definition.name));
    let key_values = store::key_values::list(&platform.store, environment_id)?
        .into_iter()
        .map(|row| (row.id.to_string(), row.definition.name));
    Ok(services.chain(databases).chain(key_values).collect())
}

/// The whole directory, or those files of it that are wanted.
fn narrow(
    platform: &Platform,
    query: &Query,
    owner_id: &str,
    directory: PathBuf,
) -> Result<Vec<PathBuf>, Error> {
    let file = |id: &InstanceId| directory.join(format!("{id}.log"));
    if let Some(id) = &query.instance_id {
        return Ok(vec![file(id)]);
    }
    let Some(deploy_id) = &query.deploy_id else {
        if !query.only_builds {
            return Ok(vec![directory]);
        }
        let builds = recorded_builds(platform, owner_id)?;
        return Ok(builds.iter().map(file).collect());
    };
    let Some(deploy) = store::deploys::get(&platform.store, deploy_id)? else {
        return Ok(Vec::new());
    };
    if deploy.service_id.as_str() != owner_id {
        return Ok(Vec::new());
    }
    let mut ids = Vec::new();
    if let Some(build_id) = &deploy.build_id {
        ids.extend(build_instance(platform, build_id)?);
    }
    if !query.only_builds {
        ids.extend(
            store::instances::by_deploy(&platform.store, deploy_id)?
                .into_iter()
                .map(|instance| instance.id),
        );
    }
    Ok(ids.iter().map(file).collect())
}

/// The instance of the newest build of a service.
fn recorded_builds(platform: &Platform, owner_id: &str) -> Result<Vec<InstanceId>, Error> {
    let Ok(service_id) = owner_id.parse() else { return Ok(Vec::new()) };
    let mut ids = Vec::new();
    for deploy in store::deploys::list(&platform.store, &service_id, 20)? {
        if let Some(build_id) = &deploy.build_id
            && let Some(id) = build_instance(platform, build_id)?
        {
            ids.push(id);
            break;
        }
    }
    Ok(ids)
}

fn build_instance(
    platform: &Platform,
    build_id: &model::BuildId,
) -> Result<Option<InstanceId>, Error> {
    let remembered = store::builds::instance(&platform.store, build_id)?;
    if remembered.is_some() {
        return Ok(remembered);
    }
    Ok(store::instances::list(&platform.store)?
        .into_iter()
        .map(|row| row.instance)
        .find(|instance| instance.purpose == InstancePurpose::Build(build_id.clone()))
        .map(|instance| instance.id))
}
