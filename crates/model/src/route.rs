//! What the edge is told: routes from host and path to targets, and names in private networks.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::id::{EnvironmentId, InstanceId, ServiceId};
use crate::service::{HeaderRule, RouteRule};

/// The age of a route table. The edge refuses an older one than it has.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl Generation {
    /// The generation that follows.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Everything the edge needs to serve, whole.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RouteTable {
    /// Its age.
    pub generation: Generation,
    /// Most specific match wins: exact host, then longest path prefix.
    pub routes: Vec<Route>,
    /// Names in each private network.
    pub zones: Vec<Zone>,
    /// Ports of services that are reachable from the host by themselves.
    #[serde(default)]
    pub listeners: Vec<Listener>,
}

/// A port of the host that leads to one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Where the edge listens. Whoever makes the table chooses loopback unless told otherwise, and
    /// a port: 0 is refused. Of two listeners with one address the first counts.
    pub address: SocketAddr,
    /// Whose port it is.
    pub service_id: ServiceId,
    /// The service's name, for pages and logs.
    pub service_name: String,
    /// What answers there.
    pub backend: ListenerBackend,
}

/// What answers on a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListenerBackend {
    /// Requests, whatever their host and path: as with a route, and counted with it.
    Http(Backend),
    /// Connections, whatever is spoken on them.
    Tcp(TcpBackend),
}

/// What takes a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TcpBackend {
    /// Instances, in turn. A connection stays with its instance, and is counted as in flight there,
    /// until both sides have closed it.
    Targets(Vec<Target>),
    /// Nothing for the moment: new connections wait until a table names targets.
    Hold {
        /// A connection that waited this long is closed.
        timeout_ms: u64,
    },
    /// Nothing: new connections are closed at once.
    Unavailable,
}

impl Listener {
    /// The instances that it leads to.
    #[must_use]
    pub fn targets(&self) -> &[Target] {
        match &self.backend {
            ListenerBackend::Http(Backend::Targets(targets))
            | ListenerBackend::Tcp(TcpBackend::Targets(targets)) => targets,
            ListenerBackend::Http(_) | ListenerBackend::Tcp(_) => &[],
        }
    }
}

/// From hosts and a path to what answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Host names without port, in lower case.
    pub hosts: Vec<String>,
    /// Requests below this path match; `/` matches all.
    pub path_prefix: String,
    /// Whether the prefix is taken off before the request is passed on.
    pub strip_prefix: bool,
    /// Whose route it is.
    pub service_id: ServiceId,
    /// The service's name, for pages and logs.
    pub service_name: String,
    /// Response headers to add.
    pub headers: Vec<HeaderRule>,
    /// Redirects and rewrites.
    pub rules: Vec<RouteRule>,
    /// What answers.
    pub backend: Backend,
}

/// What answers a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    /// Instances, in turn.
    Targets(Vec<Target>),
    /// Nothing for the moment: requests wait until the next table names targets.
    Hold {
        /// A request that waited this long is answered 503.
        timeout_ms: u64,
    },
    /// Files.
    Static(StaticSite),
    /// Another host name: answer 301 (root and `www` of a custom domain).
    RedirectHost(String),
    /// Nothing: answer 503 with this sentence.
    Unavailable(String),
}

/// One instance that takes requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Target {
    /// The instance.
    pub id: InstanceId,
    /// Where it listens.
    pub address: SocketAddr,
}

/// A directory of files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaticSite {
    /// Absolute path of the published directory.
    pub root: String,
}

/// Names of one private network. A question is answered for the network that it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// The network's environment.
    pub environment_id: EnvironmentId,
    /// The address on which its instances ask: the bridge's own.
    pub gateway: IpAddr,
    /// Name in lower case, without a final dot → addresses.
    pub names: BTreeMap<String, Vec<IpAddr>>,
}
