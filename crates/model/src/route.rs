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
