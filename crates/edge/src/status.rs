//! What the edge reports about itself. This is also the JSON of the control socket.

use std::net::{IpAddr, SocketAddr};

use model::route::Generation;
use model::{EnvironmentId, InstanceId, ServiceId};
use serde::{Deserialize, Serialize};

use crate::config::Settings;

/// The answer to a new table: every core serves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The table that is served now.
    pub generation: Generation,
    /// Targets that left the table with this one, and earlier ones that still have requests in
    /// flight, as they were right after the switch.
    pub draining: Vec<TargetStatus>,
    /// Zones whose name server could not be bound; the edge keeps trying.
    pub failing_zones: Vec<ZoneStatus>,
    /// Listeners whose port could not be bound; the edge keeps trying.
    #[serde(default)]
    pub failing_listeners: Vec<ListenerStatus>,
}

/// The edge as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The table that is served.
    pub generation: Generation,
    /// The edge's process. Counters begin at zero with each process.
    pub pid: u32,
    /// Where HTTP is served, with the real ports.
    pub listen: Vec<SocketAddr>,
    /// Where HTTPS is served, or should be.
    #[serde(default)]
    pub https: Vec<SecureStatus>,
    /// What it was told by its operator.
    #[serde(default)]
    pub settings: Settings,
    /// Targets of the table, and those that left it not long ago.
    pub targets: Vec<TargetStatus>,
    /// Services of the table.
    pub services: Vec<ServiceCounters>,
    /// Private name servers.
    pub zones: Vec<ZoneStatus>,
    /// Published ports, in the order of the table.
    #[serde(default)]
    pub listeners: Vec<ListenerStatus>,
    /// Open connections from clients.
    pub connections: u64,
}

impl Status {
    /// Requests in flight on this target; 0 for one that the edge does not know.
    #[must_use]
    pub fn in_flight(&self, id: &InstanceId) -> u64 {
        self.targets.iter().find(|target| target.id == *id).map_or(0, |target| target.in_flight)
    }
}

/// One target's counters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetStatus {
    /// The instance.
    pub id: InstanceId,
    /// Requests that it has not finished answering, open tunnels and TCP connections included.
    pub in_flight: u64,
    /// Requests that were given to it.
    pub requests: u64,
    /// Requests that failed on it for a cause that is not the client's.
    pub failed: u64,
    /// Whether it left the table.
    pub draining: bool,
}

/// One service's counters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceCounters {
    /// The service.
    pub service_id: ServiceId,
    /// Requests that came in for it.
    pub requests: u64,
    /// Requests that the edge itself had to answer 502, 503 or 504, or whose answer broke off, for
    /// a cause that is not the client's.
    pub failed: u64,
    /// Requests that had to wait for a newer table.
    pub held: u64,
    /// Answers of 500 and above that came from the service itself.
    pub responses_5xx: u64,
    /// Answers to requests over HTTP that lead to the same host over HTTPS: the service wants that.
    #[serde(default)]
    pub https_redirects: u64,
    /// Forms sent over HTTP that the service answered 403: it may take HTTPS for granted.
    #[serde(default)]
    pub forms_refused: u64,
}

/// One published port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerStatus {
    /// The address that it should listen on.
    pub address: SocketAddr,
    /// Whose port it is.
    pub service_id: ServiceId,
    /// Why it does not listen, for a person; `None` when it does.
    pub error: Option<String>,
}

/// One address for HTTPS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecureStatus {
    /// Where it listens, with the real port, or should.
    pub address: SocketAddr,
    /// Why it does not listen, for a person; `None` when it does.
    pub error: Option<String>,
}

/// One private name server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneStatus {
    /// The network's environment.
    pub environment_id: EnvironmentId,
    /// The address that it listens on.
    pub gateway: IpAddr,
    /// Why it does not listen; `None` when it does.
    pub error: Option<String>,
}
