//! The timeline as it is read: from a number on, and followed.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use model::{DeployId, DeployStatus, EnvironmentId, Problem, Proof};
use tokio::sync::watch;

use crate::error::Error;
use crate::events::{self, Body};
use crate::platform::Platform;

/// Events that are read from the store at once.
const PAGE: u32 = 256;

/// What happened, with names in place of ids.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its number.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// The project's name; empty when it is gone.
    pub project: String,
    /// The environment's name; empty when it is gone.
    pub environment: String,
    /// The name of the service or data store; empty when it is about the whole project.
    pub name: String,
    /// What it is about.
    pub subject: Subject,
    /// The deploy it belongs to.
    pub deploy_id: Option<DeployId>,
    /// What, in one word.
    pub kind: String,
    /// The deploy's new status.
    pub status: Option<DeployStatus>,
    /// The data store's new standing.
    pub store: Option<StoreStanding>,
    /// A sentence for a person.
    pub message: String,
    /// What is wrong.
    pub problem: Option<Problem>,
    /// What happened to requests.
    pub proof: Option<Proof>,
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A whole project.
    Project,
    /// A service.
    Service,
    /// A PostgreSQL database.
    Database,
    /// A Key Value instance.
    KeyValue,
}

/// How a data store stands after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreStanding {
    /// It is being made or started.
    Starting,
    /// It answers.
    Available,
    /// It cannot be started; it is tried again.
    Failed,
    /// A person has stopped it.
    Stopped,
}

/// How the request to stop or remove a project ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Nothing of it runs; data is kept.
    Stopped,
    /// Nothing of it is left.
    Purged,
    /// Something is in the way.
    Failed(Problem),
}

/// The number of the newest event there ever was, 0 if there was none.
///
/// # Errors
/// When the store cannot be read.
pub fn latest_sequence(platform: &Platform) -> Result<u64, Error> {
    Ok(store::events::latest_sequence(&platform.store)?)
}

/// Tells all readers that there is something new.
///
/// The store keeps its subscribers for as long as it lives, so there is one feed for each process
/// that serves readers, opened once, and none for each reader.
#[derive(Debug, Clone)]
pub struct Feed {
    newest: watch::Receiver<u64>,
}

impl Feed {
    /// Subscribes to the store, once and for good.
    #[must_use]
    pub fn open(platform: &Platform) -> Self {
        let (sender, newest) = watch::channel(0);
        platform.store.subscribe(Arc::new(move |sequence| {
            sender.send_replace(sequence);
        }));
        Self { newest }
    }
}

/// Reads the timeline on from a place.
pub struct Reader {
    platform: Platform,
    newest: watch::Receiver<u64>,
    since: u64,
    project: Option<String>,
    places: HashMap<EnvironmentId, Place>,
}

/// Names of a project and one of its environments.
#[derive(Debug, Clone, Default)]
struct Place {
    project: String,
    environment: String,
}

impl Reader {
    /// Reads what came after number `since`; only of the project with this name, if one is given.
    #[must_use]
    pub fn new(platform: &Platform, feed: &Feed, since: u64, project: Option<String>) -> Self {
        Self {
            platform: platform.clone(),
            newest: feed.newest.clone(),
            since,
            project,
            places: HashMap::new(),
        }
    }

    /// Reads what is written from now on.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn from_now(
        platform: &Platform,
        feed: &Feed,
        project: Option<String>,
    ) -> Result<Self, Error> {
        Ok(Self::new(platform, feed, latest_sequence(platform)?, project))
    }

    /// Waits until something was written since the last [`Reader::read`]. Dropping the future
    /// loses nothing.
    pub async fn changed(&mut self) {
        if self.newest.changed().await.is_err() {
            // The store is gone: nothing will ever be written.
            std::future::pending::<()>().await;
        }
    }

    /// The next events, oldest first, not all of them at once; empty when there are no more.
    ///
    /// # Errors
    /// When the store cannot be read. The next call begins at the same place.
    pub fn read(&mut self) -> Result<Vec<Event>, Error> {
        // Before the look: what is written meanwhile wakes the reader once more.
        self.newest.mark_unchanged();
        loop {
            let found = store::events::since(&self.platform.store, self.since, PAGE)?;
            let is_last = found.len() < PAGE as usize;
            let mut events = Vec::with_capacity(found.len());
            for event in found {
                let sequence = event.sequence;
                let place = self.place(event.environment_id.as_ref())?;
                if self.project.as_ref().is_none_or(|wanted| *wanted == place.project) {
                    events.push(named(&self.platform, event, place)?);
                }
                self.since = sequence;
            }
            if is_last || !events.is_empty() {
                return Ok(events);
            }
        }
    }

    fn place(&mut self, id: Option<&EnvironmentId>) -> Result<Place, Error> {
        let Some(id) = id else { return Ok(Place::default()) };
        if let Some(place) = self.places.get(id) {
            return Ok(place.clone());
        }
        let store = &self.platform.store;
        let Some(environment) = store::environments::get(store, id)? else {
            return Ok(Place::default());
        };
        let Some(project) = store::projects::get(store, &environment.project_id)? else {
            return Ok(Place::default());
        };
        let place = Place { project: project.name, environment: environment.name };
        self.places.insert(id.clone(), place.clone());
        Ok(place)
    }
}

/// Transitions of deploys have the store's body, all other events ours.
fn named(platform: &Platform, event: store::events::Event, place: Place) -> Result<Event, Error> {
    // A body of another version lacks fields; what it has is shown.
    let body: Body = serde_json::from_value(event.body.clone()).unwrap_or_default();
    let status = serde_json::from_value(event.body["status"].clone()).unwrap_or_default();
    let failure: Option<Problem> =
        serde_json::from_value(event.body["failure"].clone()).unwrap_or_default();
    let row = match &event.service_id {
        Some(id) => store::services::get(&platform.store, id)?,
        None => None,
    };
    let subject = match &body.store_id {
        Some(id) if id.starts_with(model::KeyValueId::PREFIX) => Subject::KeyValue,
        Some(_) => Subject::Database,
        None if event.service_id.is_some() => Subject::Service,
        None => Subject::Project,
    };
    let message = match &failure {
        Some(failure) => failure.message.clone(),
        None if body.message.is_empty() => events::message(&event.kind).to_owned(),
        None => body.message,
    };
    Ok(Event {
        sequence: event.sequence,
        at: event.at,
        project: place.project,
        environment: place.environment,
        name: row.map_or(body.name, |row| row.definition.name),
        subject,
        deploy_id: event.deploy_id,
        status,
        store: store_standing(&event.kind),
        kind: public_kind(&event.kind).to_owned(),
        message,
        problem: failure.or(body.problem),
        proof: body.proof,
    })
}

fn public_kind(kind: &str) -> &str {
    match kind.strip_prefix("deploy_").unwrap_or(kind) {
        "went_live" => "live",
        other => other,
    }
}

fn store_standing(kind: &str) -> Option<StoreStanding> {
    Some(match kind {
        "store_starting" => StoreStanding::Starting,
        "store_available" => StoreStanding::Available,
        "store_failed" => StoreStanding::Failed,
        "store_stopped" => StoreStanding::Stopped,
        _ => return None,
    })
}

/// What is said last to whoever asked for the end of a project. It is not written down: after a
/// purge there is nothing left that it could belong to.
#[must_use]
pub fn closing(platform: &Platform, project: &str, ending: Ending) -> Event {
    let (kind, message, problem) = match ending {
        Ending::Stopped => ("stopped", "everything has stopped; data is kept".to_owned(), None),
        Ending::Purged => ("purged", "everything was removed".to_owned(), None),
        Ending::Failed(problem) => ("down_failed", problem.message.clone(), Some(problem)),
    };
    unwritten(platform, project, (kind, message, problem))
}

/// What the end of a project waits for, for whoever asked for it. It is not written down either.
#[must_use]
pub fn waits(platform: &Platform, project: &str, names: &[String]) -> Event {
    let message = format!("waiting for {} to stop", names.join(", "));
    unwritten(platform, project, ("stopping", message, None))
}

fn unwritten(
    platform: &Platform,
    project: &str,
    (kind, message, problem): (&str, String, Option<Problem>),
) -> Event {
    Event {
        sequence: latest_sequence(platform).unwrap_or_default(),
        at: Timestamp::now(),
        project: project.to_owned(),
        environment: String::new(),
        name: String::new(),
        subject: Subject::Project,
        deploy_id: None,
        kind: kind.to_owned(),
        status: None,
        store: None,
        message,
        problem,
        proof: None,
    }
}
