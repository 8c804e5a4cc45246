//! Tells the edge what is true, and keeps the edge alive.
//!
//! The whole table is made anew from the store each time, so nothing can be forgotten. Whoever
//! changes a route writes it down first and publishes then; a crash in between is made good by the
//! next publication.

use std::io::{Read, Seek, SeekFrom};
use std::net::IpAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use edge::{Applied, Client, ListenerStatus, Status};
use model::{Artifact, ComposeStore, InstanceId, InstanceState, ServiceId};
use reconcile::deploy::RouteState;
use reconcile::route::{NamedStore, NetworkOf, Routed, table};
use store::data_stores::{DataStoreRow, Declaration};
use store::services::ServiceRow;
use tokio::sync::Mutex;

use crate::config::{self, Config};
use crate::error::Error;
use crate::platform::{Platform, StoreState};
use crate::tasks::data_stores::store_port;

/// How long a new edge may take until it answers.
const EDGE_START_LIMIT: Duration = Duration::from_secs(10);
/// How long an edge that was asked to end may take: it answers what it was asked first.
const EDGE_END_LIMIT: Duration = Duration::from_secs(35);
const EDGE_START_POLL: Duration = Duration::from_millis(10);
/// How often the edge is looked after.
const CARE_INTERVAL: Duration = Duration::from_secs(2);
/// An edge that cannot be started is tried again after longer and longer pauses, up to this one.
const CARE_INTERVAL_MAX: Duration = Duration::from_secs(30);
/// How much of the end of the edge's log is told when it does not start.
const EDGE_LOG_TAIL_BYTES: u64 = 4096;

/// The code of an edge that does not start.
pub(crate) const EDGE_FAILED: &str = "edge-failed";

/// The way to the edge. One publication at a time.
pub struct Publisher {
    client: Client,
    turn: Mutex<()>,
    failing: std::sync::Mutex<Vec<ListenerStatus>>,
}

impl Publisher {
    /// A way to the edge that may not run yet.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            client: Client::new(config.edge_socket()),
            turn: Mutex::new(()),
            failing: std::sync::Mutex::default(),
        }
    }

    /// Gives the edge the table that the store asks for now. When this returns, every core of the
    /// edge serves it.
    ///
    /// # Errors
    /// When the store cannot be read or the edge does not answer.
    pub async fn publish(&self, platform: &Platform) -> Result<Applied, Error> {
        let _turn = self.turn.lock().await;
        let facts = Facts::load(platform).await?;
        let generation = store::generations::next(&platform.store)?;
        let edge_ports: Vec<u16> =
            platform.config.listen.iter().map(std::net::SocketAddr::port).collect();
        let table = facts.table(generation, &edge_ports);
        let applied = self.client.apply(&table).await?;
        *self.lock_failing() = applied.failing_listeners.clone();
        Ok(applied)
    }

    /// Ports that were asked for and that the edge could not take, when it was told last.
    #[must_use]
    pub fn failing_listeners(&self) -> Vec<ListenerStatus> {
        self.lock_failing().clone()
    }

    fn lock_failing(&self) -> std::sync::MutexGuard<'_, Vec<ListenerStatus>> {
        // What is behind the lock is whole after every statement.
        self.failing.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The edge's counters.
    ///
    /// # Errors
    /// When the edge does not answer.
    pub async fn status(&self) -> Result<Status, Error> {
        Ok(self.client.status().await?)
    }

    /// Ends the edge once it has answered what it was asked.
    ///
    /// # Errors
    /// When the edge does not answer.
    pub async fn shutdown(&self) -> Result<(), Error> {
        Ok(self.client.shutdown().await?)
    }
}

/// The route that the edge was last given for a service.
///
/// # Errors
/// When the store cannot be read.
pub fn stored_route(platform: &Platform, id: &ServiceId) -> Result<Option<RouteState>, Error> {
    Ok(store::services::route(&platform.store, id)?)
}

/// Writes down the route of a service; [`Publisher::publish`] makes it true.
///
/// # Errors
/// When the store cannot be written.
pub fn store_route(platform: &Platform, id: &ServiceId, route: &RouteState) -> Result<(), Error> {
    Ok(store::services::set_route(&platform.store, id, route)?)
}

struct ServiceFacts {
    row: ServiceRow,
    route: Option<RouteState>,
    public_host: Option<String>,
    static_root: Option<String>,
    addresses: Vec<IpAddr>,
}

struct Facts {
    services: Vec<ServiceFacts>,
    stores: Vec<NamedStore>,
    networks: Vec<NetworkOf>,
}

impl Facts {
    async fn load(platform: &Platform) -> Result<Self, Error> {
        let mut services = Vec::new();
        for mut row in store::services::list_all(&platform.store)? {
            if let Some(live) = store::deploys::live(&platform.store, &row.id)?
                && let Some(release) = store::releases::get(&platform.store, &live.release_id)?
            {
                row.definition = release.service;
            }
            let route = stored_route(platform, &row.id)?;
            services.push(ServiceFacts {
                public_host: row.public_host.as_ref().map(|label| format!("{label}.localhost")),
                static_root: static_root(platform, &row, route.as_ref())?,
                addresses: worker_addresses(platform, &row, route.as_ref()).await?,
                route,
                row,
            });
        }
        let stores = named_stores(platform).await?;
        let networks = platform
            .networks()
            .into_iter()
            .filter(|_| platform.driver.isolates_network())
            .map(|(environment_id, network)| NetworkOf { environment_id, gateway: network.gateway })
            .collect();
        Ok(Self { services, stores, networks })
    }

    fn table(&self, generation: model::Generation, edge_ports: &[u16]) -> model::RouteTable {
        let routed: Vec<Routed<'_>> = self
            .services
            .iter()
            .map(|facts| Routed {
                id: &facts.row.id,
                environment_id: &facts.row.environment_id,
                service: &facts.row.definition,
                slug: &facts.row.slug,
                public_host: facts.public_host.as_deref(),
                state: facts.route.as_ref(),
                static_root: facts.static_root.clone(),
                addresses: &facts.addresses,
            })
            .collect();
        table(generation, &routed, &self.stores, &self.networks, edge_ports)
    }
}

fn static_root(
    platform: &Platform,
    row: &ServiceRow,
    route: Option<&RouteState>,
) -> Result<Option<String>, Error> {
    let Some(RouteState::Static(artifact_id)) = route else { return Ok(None) };
    let artifact: Option<Artifact> = store::artifacts::get(&platform.store, artifact_id)?;
    Ok(artifact
        .and_then(|artifact| build::published_dir(&row.definition, &artifact).ok())
        .map(|path| path.display().to_string()))
}

/// Workers take no requests, but have a name all the same.
async fn worker_addresses(
    platform: &Platform,
    row: &ServiceRow,
    route: Option<&RouteState>,
) -> Result<Vec<IpAddr>, Error> {
    if route.is_some() || !row.definition.has_instances() {
        return Ok(Vec::new());
    }
    let mut addresses = Vec::new();
    for instance in store::instances::by_service(&platform.store, &row.id)? {
        if let Some(InstanceState::Running { address, .. }) =
            platform.driver.observe(&instance.id).await
        {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

async fn named_stores(platform: &Platform) -> Result<Vec<NamedStore>, Error> {
    let mut stores = Vec::new();
    for row in store::databases::list_all(&platform.store)? {
        let port = store_port(platform, databases::POSTGRES_PORT, row.port_hint);
        let definition = (row.definition.name.as_str(), &row.definition.compose);
        stores.push(named_store(platform, &row, (row.id.as_str(), port), definition).await);
    }
    for row in store::key_values::list_all(&platform.store)? {
        let port = store_port(platform, databases::KEY_VALUE_PORT, row.port_hint);
        let definition = (row.definition.name.as_str(), &row.definition.compose);
        stores.push(named_store(platform, &row, (row.id.as_str(), port), definition).await);
    }
    Ok(stores)
}

async fn named_store<D: Declaration>(
    platform: &Platform,
    row: &DataStoreRow<D>,
    (id, port): (&str, u16),
    (name, compose): (&str, &ComposeStore),
) -> NamedStore {
    NamedStore {
        environment_id: row.environment_id.clone(),
        name: name.to_owned(),
        is_compose: !compose.image.is_empty(),
        names: vec![row.slug.clone(), id.to_owned()],
        aliases: compose.aliases.clone(),
        address: store_address(platform, id, row.instance_id.as_ref()).await,
        port,
        published: compose.published.clone(),
        counted_as: counted_as(id),
        instance_id: row.instance_id.clone(),
    }
}

/// The edge counts by service, and a data store is none: its id in a service's form.
fn counted_as(id: &str) -> Option<ServiceId> {
    let (_, body) = id.split_once('-')?;
    format!("{}{body}", ServiceId::PREFIX).parse().ok()
}

/// Where a data store is. One that has run since before this process began is asked for at the
/// engine: its name must not be unknown while it is looked at again.
async fn store_address(
    platform: &Platform,
    id: &str,
    instance_id: Option<&InstanceId>,
) -> Option<IpAddr> {
    if let Some(StoreState::Ready { running, .. }) = platform.store_state(id) {
        return Some(running.address.ip());
    }
    match platform.driver.observe(instance_id?).await {
        Some(InstanceState::Running { address, .. }) => Some(address),
        _ => None,
    }
}

/// Makes sure that an edge runs and serves what the store asks for.
///
/// # Errors
/// When the edge cannot be started: most often because somebody else has its port.
pub async fn ensure_edge(platform: &Platform) -> Result<(), Error> {
    match platform.publisher.status().await {
        Ok(status) if is_as_asked(&platform.config, &status) => {}
        Ok(_) => {
            platform.publisher.shutdown().await?;
            gone(platform).await;
            start_edge(platform).await?;
        }
        Err(_) => start_edge(platform).await?,
    }
    platform.publisher.publish(platform).await?;
    Ok(())
}

/// Waits until an edge that was asked to end has done so, or should have.
async fn gone(platform: &Platform) {
    let deadline = tokio::time::Instant::now() + EDGE_END_LIMIT;
    while platform.publisher.status().await.is_ok() && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(EDGE_START_POLL).await;
    }
}

fn is_as_asked(config: &Config, status: &Status) -> bool {
    config.edge == status.settings
        && config.listen.iter().all(|address| status.listen.contains(address))
}

async fn start_edge(platform: &Platform) -> Result<(), Error> {
    let config = &platform.config;
    let log_path = config.state_dir.join("edge.log");
    // Appended to, so that it can be shortened while the edge has it open.
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(&log_path)
        .map_err(Error::host(format!("write {}", log_path.display())))?;
    let log_start = log.metadata().map_or(0, |metadata| metadata.len());
    let (program, leading) =
        config.executable.split_first().expect("the executable is the first word");
    let mut command = tokio::process::Command::new(program);
    command.args(leading).arg("edge");
    command.arg("--control-socket").arg(config.edge_socket());
    command.arg("--table").arg(config.state_dir.join(config::ROUTES_FILE));
    // It looks after the control plane, as the control plane looks after it.
    command.arg("--keep").arg(&config.state_dir);
    for address in &config.listen {
        command.arg("--listen").arg(address.to_string());
    }
    let settings = serde_json::to_string(&config.edge)
        .map_err(|error| Error::host("write the edge's settings")(error.into()))?;
    command.arg("--authority").arg(config::authority_dir(&config.state_dir));
    command.arg("--settings").arg(settings);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    // A group of its own: what ends the control plane, Ctrl-C too, does not end the edge.
    command.process_group(0);
    let mut child = command.spawn().map_err(Error::host(format!("start {}", program.display())))?;
    let deadline = tokio::time::Instant::now() + EDGE_START_LIMIT;
    loop {
        if platform.publisher.status().await.is_ok() {
            // The child is reaped here if it ends while this process lives.
            tokio::spawn(async move {
                let _ = child.wait().await;
            });
            return Ok(());
        }
        let has_ended = child.try_wait().map_err(Error::host("watch the edge"))?.is_some();
        if has_ended || tokio::time::Instant::now() >= deadline {
            let said = said_since(&log_path, log_start);
            return Err(edge_problem(&config.listen, said.trim()).into());
        }
        tokio::time::sleep(EDGE_START_POLL).await;
    }
}

/// What the edge wrote since `start`, at most its last part.
fn said_since(log: &Path, start: u64) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(log)?;
        let end = file.metadata()?.len();
        file.seek(SeekFrom::Start(start.max(end.saturating_sub(EDGE_LOG_TAIL_BYTES))))?;
        let mut bytes = Vec::new();
        file.take(EDGE_LOG_TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

/// Why the edge does not start: in one sentence, when that is a port which another program has.
fn edge_problem(listen: &[std::net::SocketAddr], said: &str) -> model::Problem {
    let is_taken = |address: &&std::net::SocketAddr| {
        let tried = std::net::TcpListener::bind(address);
        tried.is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse)
    };
    if let Some(address) = listen.iter().find(is_taken) {
        let holder = match engine::port_holder(*address) {
            Some(holder) => format!("`{}` (process {})", holder.name, holder.pid),
            None => "another program".to_owned(),
        };
        let message = format!("{address}, where the edge is to listen, is taken by {holder}");
        return model::Problem::new(EDGE_FAILED, message)
            .hint("end that program, or choose another port with `--port`");
    }
    model::Problem::new(EDGE_FAILED, "the edge does not start")
        .detail(said.to_owned())
        .hint("if another program has the port, choose one with `--port`")
}

/// Looks after the edge for as long as the control plane lives.
pub async fn run(platform: Platform) {
    let mut pause = CARE_INTERVAL;
    loop {
        tokio::time::sleep(pause).await;
        if platform.publisher.status().await.is_ok() {
            pause = CARE_INTERVAL;
        } else if let Err(error) = ensure_edge(&platform).await {
            pause = (pause * 2).min(CARE_INTERVAL_MAX);
            let problem = error.problem();
            tracing::error!(
                detail = problem.detail,
                "{}; it is tried again in {} s",
                problem.message,
                pause.as_secs()
            );
        }
    }
}
