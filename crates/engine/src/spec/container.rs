//! What containers can be told beyond what native services need.

use std::net::IpAddr;
use std::path::Path;

use model::container::Ulimit;
use nix::libc;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::spec::capabilities::is_droppable;
use crate::spec::{InstanceSpec, Root, refused_capability};

/// Most layers that the kernel puts on top of one another.
pub const LAYERS_MAX: usize = 500;

/// The address in [`ContainerSpec::extra_hosts`] that stands for the machine itself.
pub const HOST_GATEWAY: &str = "host-gateway";

/// What else an instance can be told. The default says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerSpec {
    /// Capabilities on top of the usual ones, for [`Root::Layers`] only.
    pub cap_add: Vec<String>,
    /// Capabilities taken away; `ALL` takes every one that is not added by name.
    pub cap_drop: Vec<String>,
    /// The signal that asks the main process to end, and nobody else. Where `None`, TERM goes to
    /// the application below the main one, or to the main one if that is process 1.
    pub stop_signal: Option<String>,
    /// Limits of its processes.
    pub ulimits: Vec<Ulimit>,
    /// Kernel settings of its own namespaces.
    pub sysctls: Vec<(String, String)>,
    /// Size of `/dev/shm`; 256 MB where `None`.
    pub shm_bytes: Option<u64>,
    /// Whether its root cannot be written to. Mounts can.
    pub is_read_only: bool,
    /// Whether the main process is process 1 of a namespace below the shim's, and has to reap; see
    /// [`InstanceSpec::is_first_process`].
    pub is_first_process: bool,
    /// More names for `/etc/hosts`, and their addresses; see [`HOST_GATEWAY`].
    pub extra_hosts: Vec<(String, String)>,
}

impl InstanceSpec {
    /// Whether the main process is process 1: where that is asked for, and for the programs of
    /// images that are known to refuse anything else (`/init` of s6-overlay, systemd). All others
    /// are better off as ordinary processes: the kernel keeps signals from process 1 unless it
    /// handles them, and somebody else reaps.
    #[must_use]
    pub fn is_first_process(&self) -> bool {
        let known = ["/init", "/sbin/init", "/usr/sbin/init", "/lib/systemd/systemd"];
        let is_known = self.command.first().is_some_and(|name| known.contains(&name.as_str()));
        matches!(self.root, Root::Layers(_)) && (self.container.is_first_process || is_known)
    }

    /// Why no driver runs this, all reasons; each is a sentence for a person.
    #[must_use]
    pub fn refusals(&self) -> Vec<String> {
        let container = &self.container;
        let mut refusals = Vec::new();
        let mut refuse = |what: String, why: Option<&str>| {
            refusals.extend(why.map(|why| format!("{what}: {why}")));
        };
        for name in &container.cap_add {
            refuse(format!("capability {name}"), refused_capability(name));
        }
        for name in container.cap_drop.iter().filter(|name| !is_droppable(name)) {
            refuse(format!("capability {name}"), Some("there is no such capability"));
        }
        for (name, value) in &container.sysctls {
            refuse(format!("kernel setting {name}"), refused_sysctl(name));
            let why = "its value is longer than a line";
            refuse(format!("kernel setting {name}"), value.contains('\n').then_some(why));
        }
        for ulimit in &container.ulimits {
            refuse(format!("limit {}", ulimit.name), refused_ulimit(ulimit));
        }
        for (name, address) in &container.extra_hosts {
            refuse(format!("name {name}"), refused_host(name, address));
        }
        if let Some(signal) = &container.stop_signal {
            let why = "there is no such signal";
            refuse(format!("stop signal {signal}"), signal_number(signal).is_none().then_some(why));
        }
        if let Root::Layers(layers) = &self.root {
            let count = layers.len();
            let why = "the kernel takes 1 to 500";
            refuse(format!("{count} layers"), (count == 0 || count > LAYERS_MAX).then_some(why));
            for layer in layers.iter().filter(|layer| !layer.is_absolute()) {
                refuse(format!("layer {}", layer.display()), Some("the path is not absolute"));
            }
        }
        let targets = self.mounts.iter().map(super::Mount::target);
        for target in targets.chain(self.files.iter().map(|file| file.target.as_path())) {
            refuse(format!("mount at {}", target.display()), refused_target(target));
        }
        refusals
    }
}

fn refused_target(target: &Path) -> Option<&'static str> {
    if !target.is_absolute() {
        return Some("the path is not absolute");
    }
    if target.components().any(|part| part == std::path::Component::ParentDir) {
        return Some("the path leads upwards");
    }
    if target.parent().is_none() {
        return Some("nothing can be mounted in place of the root");
    }
    // What is mounted there keeps instances apart.
    let is_kernels = target.starts_with("/proc") || target.starts_with("/sys");
    is_kernels.then_some("the kernel's own files stay as they are")
}

/// Why a kernel setting cannot be given to one instance; `None` if it can be. The kernel keeps those
/// of networks, System V memory and message queues per namespace; all others are the machine's.
#[must_use]
pub fn refused_sysctl(name: &str) -> Option<&'static str> {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if !is_plain || name.split('.').any(str::is_empty) {
        return Some("this is no name of a kernel setting; they look like `net.core.somaxconn`");
    }
    let is_own = name.starts_with("net.")
        || name.starts_with("fs.mqueue.")
        || name.starts_with("kernel.shm")
        || name.starts_with("kernel.msg")
        || name == "kernel.sem";
    (!is_own).then_some(
        "it is of the whole machine; net.*, kernel.shm*, kernel.msg*, kernel.sem and fs.mqueue.* \
         can be set for one instance",
    )
}

/// Why a limit cannot be set; `None` if it can be.
#[must_use]
pub fn refused_ulimit(ulimit: &Ulimit) -> Option<&'static str> {
    if resource_number(&ulimit.name).is_none() {
        return Some("there is no such limit; `man setrlimit` has their names");
    }
    (ulimit.soft > ulimit.hard).then_some("the soft limit is above the hard one")
}

/// The kernel's number of a limit.
pub(crate) fn resource_number(name: &str) -> Option<i64> {
    let number = match name {
        "as" => libc::RLIMIT_AS,
        "core" => libc::RLIMIT_CORE,
        "cpu" => libc::RLIMIT_CPU,
        "data" => libc::RLIMIT_DATA,
        "fsize" => libc::RLIMIT_FSIZE,
        "locks" => libc::RLIMIT_LOCKS,
        "memlock" => libc::RLIMIT_MEMLOCK,
        "msgqueue" => libc::RLIMIT_MSGQUEUE,
        "nice" => libc::RLIMIT_NICE,
        "nofile" => libc::RLIMIT_NOFILE,
        "nproc" => libc::RLIMIT_NPROC,
        "rss" => libc::RLIMIT_RSS,
        "rtprio" => libc::RLIMIT_RTPRIO,
        "rttime" => libc::RLIMIT_RTTIME,
        "sigpending" => libc::RLIMIT_SIGPENDING,
        "stack" => libc::RLIMIT_STACK,
        _ => return None,
    };
    Some(i64::from(number))
}

fn refused_host(name: &str, address: &str) -> Option<&'static str> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    if name.is_empty() || !name.bytes().all(is_plain) {
        return Some("this is no name of a host");
    }
    let is_address = address == HOST_GATEWAY || address.parse::<IpAddr>().is_ok();
    (!is_address).then_some("its address is neither an IP address nor `host-gateway`")
}

/// The number of a signal: `SIGQUIT`, `quit`, `3`, `SIGRTMIN+3`.
#[must_use]
pub fn signal_number(text: &str) -> Option<i32> {
    let text = text.trim().to_ascii_uppercase();
    let (first, last) = (libc::SIGRTMIN(), libc::SIGRTMAX());
    let is_signal = |number: &i32| (1..=last).contains(number);
    if let Ok(number) = text.parse::<i32>() {
        return Some(number).filter(is_signal);
    }
    let name = text.strip_prefix("SIG").unwrap_or(&text);
    if let Some(offset) = name.strip_prefix("RTMIN") {
        let offset = offset.strip_prefix('+').map_or(Some(0), |more| more.parse::<i32>().ok())?;
        return first.checked_add(offset).filter(is_signal);
    }
    if let Some(offset) = name.strip_prefix("RTMAX") {
        let offset = offset.strip_prefix('-').map_or(Some(0), |less| less.parse::<i32>().ok())?;
        return last.checked_sub(offset).filter(is_signal);
    }
    format!("SIG{name}").parse::<Signal>().ok().map(|signal| signal as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_known_by_name_and_number() {
        for (text, expect) in [
            ("SIGQUIT", Some(3)),
            ("quit", Some(3)),
            ("9", Some(9)),
            ("SIGRTMIN+3", Some(libc::SIGRTMIN() + 3)),
            ("RTMAX", Some(libc::SIGRTMAX())),
            ("SIGRTMIN+99", None),
            ("0", None),
            ("65000", None),
            ("SIGNAL", None),
            ("", None),
        ] {
            assert_eq!(signal_number(text), expect, "{text}");
        }
    }

    #[test]
    fn only_settings_of_an_instances_own_namespaces_can_be_set() {
        for name in ["net.core.somaxconn", "kernel.shmmax", "kernel.sem", "fs.mqueue.msg_max"] {
            assert_eq!(refused_sysctl(name), None, "{name}");
        }
        for name in ["kernel.hostname", "vm.swappiness", "net/core", "net..x", "net.", "kernel", ""]
        {
            assert!(refused_sysctl(name).is_some(), "{name}");
        }
    }

    #[test]
    fn lines_for_hosts_cannot_hold_other_lines() {
        assert_eq!(refused_host("db.local", "::1"), None);
        assert_eq!(refused_host("docker.internal", HOST_GATEWAY), None);
        for (name, address) in [("a\nb", "1.2.3.4"), ("a b", "1.2.3.4"), ("a", "b"), ("", "::1")] {
            assert!(refused_host(name, address).is_some(), "{name:?}");
        }
    }
}
