//! Ports that lead to one service each: which are open, and why others are not.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::Duration;

use model::ServiceId;
use model::route::RouteTable;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::bind;
use crate::run::Edge;
use crate::status::ListenerStatus;

/// How often ports that somebody else has are tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);

/// The published ports as far as they could be had.
#[derive(Debug, Default)]
pub(crate) struct Ports(HashMap<SocketAddr, Result<(), String>>);

impl Ports {
    /// Forgets what the table does not name, and returns what of it was open.
    pub(crate) fn leaving(&mut self, table: &RouteTable) -> Vec<SocketAddr> {
        let mut leaving = Vec::new();
        self.0.retain(|address, state| {
            let stays = table.listeners.iter().any(|listener| listener.address == *address);
            if !stays && state.is_ok() {
                leaving.push(*address);
            }
            stays
        });
        leaving
    }

    /// Binds what is not open yet.
    pub(crate) fn bind(
        &mut self,
        table: &RouteTable,
        cores: usize,
    ) -> Vec<(SocketAddr, Vec<TcpListener>)> {
        let mut bound = Vec::new();
        for listener in &table.listeners {
            let address = listener.address;
            let before = self.0.get(&address);
            if matches!(before, Some(Ok(()))) {
                continue;
            }
            let name = &listener.service_name;
            let state = bind::published(address, cores).map(|listeners| {
                info!(%address, "port {} leads to {name}", address.port());
                bound.push((address, listeners));
            });
            if let Err(why) = &state
                && before.is_none()
            {
                warn!(%address, why, "port {} of {name} cannot be published", address.port());
            }
            self.0.insert(address, state);
        }
        bound
    }

    /// Whether somebody else has one of them.
    pub(crate) fn is_failing(&self) -> bool {
        self.0.values().any(Result::is_err)
    }

    /// Every port of the table.
    pub(crate) fn status(&self, table: &RouteTable) -> Vec<ListenerStatus> {
        let mut owners: HashMap<SocketAddr, (&ServiceId, &str)> = HashMap::new();
        let status = table.listeners.iter().map(|listener| {
            let address = listener.address;
            let error = match owners.get(&address) {
                Some((_, name)) => Some(format!("{name} has it already")),
                None => self.0.get(&address).and_then(|state| state.clone().err()),
            };
            owners.entry(address).or_insert((&listener.service_id, &listener.service_name));
            ListenerStatus { address, service_id: listener.service_id.clone(), error }
        });
        status.collect()
    }
}

/// Tries ports again that could not be had, until the task is aborted.
pub(crate) async fn keep_trying(edge: Rc<Edge>) {
    loop {
        sleep(RETRY_INTERVAL).await;
        edge.open_https();
        if edge.has_failing_ports().await {
            edge.publish_ports().await;
        }
    }
}
