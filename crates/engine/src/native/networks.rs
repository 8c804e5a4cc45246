//! The private networks of all environments.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Mutex;

use model::EnvironmentId;
use nix::fcntl::{Flock, FlockArg};

use super::digest;
use crate::driver::{Error, Network};
use crate::files;
use crate::fleet::lock;
use crate::net::addresses::{Addresses, Subnet, default_interface, free_subnet, parse_routes};
use crate::net::firewall::{self, Zone};
use crate::net::netlink::Netlink;
use crate::order::Link;

/// What a host without a default route is taken to have.
const USUAL_MTU: u32 = 1500;

/// Stands for an environment whose network is that of rooms: programs in it have a way out and
/// nothing else. No environment's id is made of nothing but zeros.
pub(super) const ROOMS: &str = "evm-00000000000000000000000000";

/// What does not change while the driver lives.
#[derive(Debug)]
pub(super) struct Settings {
    /// Where it is written down which environment has which range.
    pub(super) record: PathBuf,
    pub(super) pool: String,
    pub(super) host_ports: Vec<u16>,
    pub(super) digest: String,
}

/// The private networks of all environments of one state directory.
#[derive(Debug)]
pub(super) struct Networks {
    settings: Settings,
    pool: Subnet,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// As it is in the record.
    allotted: BTreeMap<String, Subnet>,
    /// Addresses of environments that were asked for since the driver began.
    addresses: BTreeMap<String, Addresses>,
    /// Addresses that [`Networks::remember`] was told of.
    remembered: BTreeMap<String, BTreeSet<Ipv4Addr>>,
    mtu: u32,
}

impl Networks {
    pub(super) fn load(settings: Settings) -> Result<Self, Error> {
        let refused =
            |why: String| Error::Refused { doing: "read the address pool".to_owned(), why };
        let pool = settings.pool.parse::<Subnet>().map_err(|error| refused(error.to_string()))?;
        if pool.prefix_length() > 24 {
            return Err(refused(format!("{pool} is smaller than the /24 of one environment")));
        }
        let allotted = files::read_json(&settings.record)
            .map_err(|source| Error::Host {
                doing: format!("read {}", settings.record.display()),
                source,
            })?
            .unwrap_or_default();
        let state = Mutex::new(State { allotted, ..State::default() });
        Ok(Self { settings, pool, state })
    }

    /// Addresses in use by instances that were found again.
    pub(super) fn remember<'a>(&self, used: impl Iterator<Item = (&'a EnvironmentId, Ipv4Addr)>) {
        let mut state = lock(&self.state);
        for (environment, address) in used {
            state.remembered.entry(environment.to_string()).or_default().insert(address);
        }
    }

    /// Makes the network of an environment, or finds it.
    pub(super) fn ensure(&self, environment: &EnvironmentId) -> Result<Network, Error> {
        let mut state = lock(&self.state);
        if let Some(addresses) = state.addresses.get(environment.as_str()) {
            return Ok(network(addresses.subnet()));
        }
        let failed = |source| Error::Host {
            doing: format!("make the private network of environment {environment}"),
            source,
        };
        let subnet = {
            // Other state directories on this machine choose from the same ranges.
            let _only_one = machine_lock().map_err(failed)?;
            let subnet = self.allot(&mut state, environment).map_err(failed)?;
            state.mtu = uplink_mtu();
            self.build(environment, subnet, state.mtu).map_err(failed)?;
            subnet
        };
        self.write_rules(&state).map_err(|source| Error::Host {
            doing: "write the firewall rules of the private networks (program nft)".to_owned(),
            source,
        })?;
        let used = state.remembered.remove(environment.as_str()).unwrap_or_default();
        state.addresses.insert(environment.to_string(), Addresses::new(subnet, used));
        Ok(network(subnet))
    }

    pub(super) fn remove(&self, environment: &EnvironmentId) -> Result<(), Error> {
        let mut state = lock(&self.state);
        let in_use = state.addresses.get(environment.as_str()).is_some_and(|all| !all.is_empty())
            || state.remembered.get(environment.as_str()).is_some_and(|all| !all.is_empty());
        let doing = format!("remove the private network of environment {environment}");
        if in_use {
            return Err(Error::Refused { doing, why: "instances still use it".to_owned() });
        }
        let mut remove = || {
            Netlink::open()?.remove(&self.bridge(environment))?;
            state.addresses.remove(environment.as_str());
            if state.allotted.remove(environment.as_str()).is_some() {
                files::replace_json(&self.settings.record, &state.allotted)?;
                self.write_rules(&state)?;
            }
            Ok(())
        };
        remove().map_err(|source| Error::Host { doing, source })
    }

    /// An address for a new instance, with all that is needed to use it.
    pub(super) fn take(
        &self,
        environment: &EnvironmentId,
        host_end: String,
    ) -> Result<Link, Error> {
        let mut state = lock(&self.state);
        let mtu = state.mtu;
        let refused = |why: &str| Error::Refused {
            doing: format!("find an address in environment {environment}"),
            why: why.to_owned(),
        };
        let addresses = state
            .addresses
            .get_mut(environment.as_str())
            .ok_or_else(|| refused("it has no private network"))?;
        let address = addresses.take().ok_or_else(|| refused("all are in use"))?;
        let subnet = addresses.subnet();
        Ok(Link {
            bridge: self.bridge(environment),
            host_end,
            address,
            prefix_length: subnet.prefix_length(),
            gateway: subnet.gateway(),
            mtu,
        })
    }

    pub(super) fn give_back(&self, environment: &EnvironmentId, address: Ipv4Addr) {
        let mut state = lock(&self.state);
        if let Some(addresses) = state.addresses.get_mut(environment.as_str()) {
            addresses.give_back(address);
        }
        if let Some(remembered) = state.remembered.get_mut(environment.as_str()) {
            remembered.remove(&address);
        }
    }

    /// The range of an environment: the one it has, or a free one.
    fn allot(&self, state: &mut State, environment: &EnvironmentId) -> io::Result<Subnet> {
        let bridge = self.bridge(environment);
        let mut taken = parse_routes(&fs::read_to_string("/proc/net/route")?);
        taken.retain(|route| route.interface != bridge);
        let has_instances = state.remembered.contains_key(environment.as_str());
        if let Some(subnet) = state.allotted.get(environment.as_str()).copied() {
            let is_free = !taken.iter().any(|route| route.subnet.overlaps(subnet));
            if is_free || has_instances {
                return Ok(subnet);
            }
            // Somebody else took the range while the network was down.
            state.allotted.remove(environment.as_str());
            Netlink::open()?.remove(&bridge)?;
        }
        let subnet = free_subnet(self.pool, &taken, &state.allotted).ok_or_else(|| {
            io::Error::other(format!("no range of {} is free; choose another pool", self.pool))
        })?;
        state.allotted.insert(environment.to_string(), subnet);
        files::replace_json(&self.settings.record, &state.allotted)?;
        Ok(subnet)
    }

    fn build(&self, environment: &EnvironmentId, subnet: Subnet, mtu: u32) -> io::Result<()> {
        let bridge = self.bridge(environment);
        let netlink = Netlink::open()?;
        let index = netlink.ensure_bridge(&bridge, mtu, subnet.gateway())?;
        // Private networks are IPv4; the rules drop the rest. Absent where IPv6 is switched off.
        let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{bridge}/disable_ipv6"), "1");
        netlink.add_address(index, subnet.gateway(), subnet.prefix_length())?;
        netlink.set_up(index)?;
        fs::write("/proc/sys/net/ipv4/ip_forward", "1")
    }

    fn write_rules(&self, state: &State) -> io::Result<()> {
        let name = format!("gable_{}", &self.settings.digest[..8]);
        if state.allotted.is_empty() {
            return firewall::remove(&name);
        }
        let zones: Vec<_> = state
            .allotted
            .iter()
            .map(|(environment, subnet)| Zone {
                bridge: self.bridge_of(environment),
                subnet: *subnet,
                sees_host: environment != ROOMS,
            })
            .collect();
        firewall::apply(&firewall::table(&name, &zones, &self.settings.host_ports))
    }

    fn bridge(&self, environment: &EnvironmentId) -> String {
        self.bridge_of(environment.as_str())
    }

    /// Names of links have at most 15 characters.
    fn bridge_of(&self, environment: &str) -> String {
        format!("gable{}", &digest(&[self.settings.digest.as_bytes(), environment.as_bytes()])[..8])
    }
}

/// Held while a range is chosen and put to use: what is chosen is seen by others only then.
fn machine_lock() -> io::Result<Flock<fs::File>> {
    let path = "/run/gable-networks.lock";
    let file =
        fs::File::options().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| error.into())
}

fn network(subnet: Subnet) -> Network {
    Network { gateway: IpAddr::V4(subnet.gateway()) }
}

/// The MTU of the way to the internet: larger packets of instances would be lost where the network
/// does not say so.
fn uplink_mtu() -> u32 {
    let mtu = || {
        let routes = fs::read_to_string("/proc/net/route").ok()?;
        let interface = default_interface(&routes)?;
        fs::read_to_string(format!("/sys/class/net/{interface}/mtu")).ok()?.trim().parse().ok()
    };
    mtu().unwrap_or(USUAL_MTU)
}
