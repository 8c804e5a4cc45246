//! The name servers of private networks: one for each zone, on the address of its bridge.
//!
//! A zone answers for its own names only, so the names of one network are never seen in another.
//! What is not private goes to the machine's own name servers. The edge serves DNS because it
//! outlives the control plane: a running service must be able to look up its database meanwhile.

mod answer;
mod forward;
mod server;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use model::EnvironmentId;
use model::route::RouteTable;
use tokio::sync::watch;
use tokio::task::{AbortHandle, spawn_local};

pub(crate) use forward::Forwarder;

use crate::status::ZoneStatus;

/// All zones.
#[derive(Debug)]
pub(crate) struct Zones {
    port: u16,
    forwarder: Rc<Forwarder>,
    running: HashMap<EnvironmentId, Running>,
}

/// What a zone answers with; replaced while it runs.
#[derive(Debug, Default)]
struct Names {
    private: BTreeMap<String, Vec<IpAddr>>,
    /// Public hosts below `.localhost`: outside they lead to this machine, in a private network
    /// they must lead to the edge as well.
    local_hosts: Vec<String>,
    /// Counts answers, so that several addresses take turns.
    turn: usize,
}

#[derive(Debug)]
struct Running {
    gateway: IpAddr,
    names: Rc<RefCell<Names>>,
    /// `None` until the first try to listen.
    state: watch::Receiver<Option<Result<(), String>>>,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Zones {
    pub(crate) fn new(port: u16, forwarder: Forwarder) -> Self {
        Self { port, forwarder: Rc::new(forwarder), running: HashMap::new() }
    }

    /// Answers for these zones from now on. Returns when each listens or has failed to; those that
    /// failed go on trying.
    pub(crate) async fn apply(&mut self, table: &RouteTable) {
        self.running.retain(|id, running| {
            table
                .zones
                .iter()
                .any(|zone| zone.environment_id == *id && zone.gateway == running.gateway)
        });
        let mut local_hosts: Vec<String> = table
            .routes
            .iter()
            .flat_map(|route| &route.hosts)
            .map(|host| host.to_ascii_lowercase())
            .filter(|host| host.ends_with(".localhost"))
            .collect();
        local_hosts.sort_unstable();
        local_hosts.dedup();
        self.forwarder.set_own_addresses(table.zones.iter().map(|zone| zone.gateway).collect());
        for zone in &table.zones {
            let running = self.running.entry(zone.environment_id.clone()).or_insert_with(|| {
                Running::start(SocketAddr::new(zone.gateway, self.port), &self.forwarder)
            });
            let mut names = running.names.borrow_mut();
            names.private = zone
                .names
                .iter()
                .map(|(name, to)| (name.to_ascii_lowercase(), to.clone()))
                .collect();
            names.local_hosts.clone_from(&local_hosts);
        }
        for running in self.running.values_mut() {
            // The sender lives as long as the task.
            let _ = running.state.wait_for(Option::is_some).await;
        }
    }

    /// How each zone is.
    pub(crate) fn status(&self) -> Vec<ZoneStatus> {
        let mut all: Vec<_> = self
            .running
            .iter()
            .map(|(id, running)| ZoneStatus {
                environment_id: id.clone(),
                gateway: running.gateway,
                error: running.state.borrow().as_ref().and_then(|state| state.clone().err()),
            })
            .collect();
        all.sort_by(|left, right| left.environment_id.cmp(&right.environment_id));
        all
    }
}

impl Running {
    fn start(address: SocketAddr, forwarder: &Rc<Forwarder>) -> Self {
        let names = Rc::new(RefCell::new(Names::default()));
        let (sender, state) = watch::channel(None);
        let zone =
            server::Zone { address, names: Rc::clone(&names), forwarder: Rc::clone(forwarder) };
        let task = spawn_local(server::run(zone, sender)).abort_handle();
        Self { gateway: address.ip(), names, state, task }
    }
}
