//! Network and mount namespaces of a shim, which are its instance's as well. Everything made in
//! them ends with the shim.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::net::netlink::{INSIDE, LOOPBACK_INDEX, Netlink};
use crate::order::Link;
use crate::shim::{Doing, Refusal};

/// Leaves the host's network and mounts. What is returned still speaks to the host's network.
pub(super) fn leave_host() -> Result<Netlink, Refusal> {
    let outside = Netlink::open().doing(|| "open netlink".to_owned())?;
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
        .doing(|| "make network and mount namespaces".to_owned())?;
    // What the host mounts or unmounts later is followed, and nothing goes back.
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SLAVE, None::<&str>)
        .doing(|| "separate the mounts".to_owned())?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>)
        .doing(|| "mount /proc of the namespace".to_owned())?;
    Ok(outside)
}

/// Connects the new network to the bridge.
pub(crate) fn join_network(outside: &Netlink, link: &Link) -> Result<(), Refusal> {
    let bridge = outside
        .index(&link.bridge)
        .doing(|| format!("look up bridge {}", link.bridge))?
        .ok_or_else(|| Refusal {
        doing: format!("connect to the private network {}", link.bridge),
        why: "the bridge is not there".to_owned(),
        is_the_specs: false,
    })?;
    connect(outside, bridge, link).doing(|| format!("connect to bridge {}", link.bridge))?;
    // Within its own network an unprivileged program may have port 80, and may ping.
    let _ = fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
    let _ = fs::write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
    Ok(())
}

/// The kernel settings of the new network, which the instance's programs cannot change themselves.
pub(super) fn set_up_network(settings: &[(String, String)]) -> Result<(), Refusal> {
    for (name, value) in settings.iter().filter(|(name, _)| is_of_network(name)) {
        let path = Path::new("/proc/sys").join(name.replace('.', "/"));
        // Not made if it is not there: `write` alone would try to.
        File::options()
            .write(true)
            .open(path)
            .and_then(|mut file| file.write_all(value.as_bytes()))
            .doing(|| format!("set {name} to {value}"))?;
    }
    Ok(())
}

/// Whether a kernel setting is of the network namespace, which is the shim's as well.
pub(super) fn is_of_network(name: &str) -> bool {
    name.starts_with("net.")
}

fn connect(outside: &Netlink, bridge: u32, link: &Link) -> std::io::Result<()> {
    let namespace = File::open("/proc/self/ns/net")?;
    outside.add_pair(link, bridge, &namespace)?;
    let inside = Netlink::open()?;
    inside.set_up(LOOPBACK_INDEX)?;
    let index = inside
        .index(INSIDE)?
        .ok_or_else(|| std::io::Error::other("the instance's end of the pair is not there"))?;
    inside.add_address(index, link.address, link.prefix_length)?;
    inside.set_up(index)?;
    inside.add_default_route(link.gateway)
}
