//! What this machine can do, and what is missing.

use std::fs;
use std::path::Path;

use nix::unistd::geteuid;

use crate::cgroup::{self, Cgroups};
use crate::process;

/// One thing that the native engine needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at: `cgroups`.
    pub name: &'static str,
    /// Whether it is as needed.
    pub is_ok: bool,
    /// What was found, in words.
    pub found: String,
    /// What to do, if it is not as needed.
    pub hint: Option<String>,
}

impl Check {
    fn new(name: &'static str, is_ok: bool, found: impl Into<String>, hint: &str) -> Self {
        let hint = (!is_ok).then(|| hint.to_owned());
        Self { name, is_ok, found: found.into(), hint }
    }
}

/// Looks at everything that the native engine needs, and changes nothing. All checks pass where it
/// can run; without the first, only plain processes are possible.
#[must_use]
pub fn doctor() -> Vec<Check> {
    vec![
        root(),
        namespaces(),
        overlay(),
        cgroups(),
        call_filter(),
        firewall(),
        forwarding(),
        memory_file_system(),
        python(),
    ]
}

fn root() -> Check {
    let is_root = geteuid().is_root();
    let found = if is_root { "root" } else { "an ordinary user" };
    Check::new(
        "root",
        is_root,
        found,
        "start Gable as root for isolated instances; otherwise they run as plain processes with \
         assigned ports",
    )
}

fn namespaces() -> Check {
    let missing: Vec<_> = ["mnt", "pid", "net", "ipc", "uts", "cgroup"]
        .into_iter()
        .filter(|name| !Path::new("/proc/self/ns").join(name).exists())
        .collect();
    let found = if missing.is_empty() {
        "mount, pid, network, ipc, uts, cgroup".to_owned()
    } else {
        format!("the kernel lacks: {}", missing.join(", "))
    };
    Check::new("namespaces", missing.is_empty(), found, "use a kernel with all namespaces built in")
}

fn overlay() -> Check {
    let is_known = fs::read_to_string("/proc/filesystems").is_ok_and(|text| {
        text.lines().any(|line| line.trim_start_matches("nodev").trim() == "overlay")
    }) || Path::new("/sys/module/overlay").exists();
    let found = if is_known { "overlayfs" } else { "no overlayfs" };
    Check::new("overlay file system", is_known, found, "load the kernel module: modprobe overlay")
}

fn cgroups() -> Check {
    let cgroups = Cgroups::find(Path::new(cgroup::ROOT));
    let version = match cgroups {
        Cgroups::V1 { .. } => "version 1",
        Cgroups::V2 { .. } => "version 2",
        Cgroups::Absent => "none mounted",
    };
    let missing = cgroups.missing_controllers();
    let found = if missing.is_empty() {
        format!("{version}, with cpu, memory and pids")
    } else {
        format!("{version}, without {}", missing.join(", "))
    };
    Check::new(
        "cgroups",
        missing.is_empty(),
        found,
        "mount cgroups at /sys/fs/cgroup and enable the cpu, memory and pids controllers; in a \
         container, run it with its own writable cgroup tree",
    )
}

fn call_filter() -> Check {
    let available = fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail");
    let is_ok = available.is_ok_and(|text| text.split_whitespace().any(|word| word == "errno"));
    Check::new(
        "filter of system calls",
        is_ok,
        if is_ok { "seccomp" } else { "the kernel has no seccomp" },
        "use a kernel with CONFIG_SECCOMP_FILTER, as every distribution's is",
    )
}

fn firewall() -> Check {
    let found = ["/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft", "/usr/local/sbin/nft"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    Check::new(
        "nftables",
        found.is_some(),
        found.unwrap_or("the program nft is not there"),
        "install it: apt-get install nftables",
    )
}

fn forwarding() -> Check {
    let path = "/proc/sys/net/ipv4/ip_forward";
    let value = fs::read_to_string(path).unwrap_or_default();
    let is_on = value.trim() == "1";
    // Being root, the engine switches it on with the first private network.
    let is_ok = is_on || (geteuid().is_root() && Path::new(path).exists());
    let found = if is_on { "on" } else { "off; switched on with the first private network" };
    Check::new("ip forwarding", is_ok, found, "switch it on: sysctl -w net.ipv4.ip_forward=1")
}

fn memory_file_system() -> Check {
    let run = Path::new("/run");
    let is_in_memory = process::is_in_memory(run).unwrap_or(false);
    let can_mount = geteuid().is_root();
    let found = match (is_in_memory, can_mount) {
        (true, _) => "/run is in memory",
        (false, true) => "/run is on a disk; instances' secrets get a tmpfs of their own",
        (false, false) => "/run is on a disk",
    };
    Check::new(
        "memory file system",
        is_in_memory || can_mount,
        found,
        "mount a tmpfs at /run, so that secrets never reach a disk",
    )
}

fn python() -> Check {
    let exists = |name: &str| {
        ["/usr/local/bin", "/usr/bin", "/bin"].iter().any(|d| Path::new(d).join(name).exists())
    };
    let found = match (exists("python"), exists("python3")) {
        (true, _) => "python",
        (false, true) => "python3; instances get the name python too",
        (false, false) => "no Python; only needed by services that use it",
    };
    Check::new("python", true, found, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_that_fails_says_what_to_do() {
        let checks = doctor();
        assert!(checks.len() >= 7);
        for check in checks {
            assert!(!check.found.is_empty(), "{check:?}");
            assert_eq!(check.is_ok, check.hint.is_none(), "{check:?}");
        }
    }
}
