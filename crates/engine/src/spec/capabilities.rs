//! What a program may do beyond its user's own rights.

use crate::spec::{InstanceSpec, Root};

/// What Gable thinks of a capability.
#[derive(Debug, Clone, Copy)]
enum Verdict {
    /// Every container has it.
    Usual,
    /// A container may be given it.
    Grantable,
    /// No container gets it, and why.
    Refused(&'static str),
}

use Verdict::{Grantable, Refused, Usual};

const HARDWARE: &str = "it reaches the machine itself, which all instances share";
const AUDIT: &str = "the kernel's audit records are of the whole machine";
const LABELS: &str = "the labels that keep programs apart are of the whole machine";
const SLEEP: &str = "when the machine sleeps is for its operator to say";

/// By number, which is how the kernel has them (`man capabilities`).
///
/// There is no user namespace, so that what is granted here is granted on the machine: whatever the
/// other namespaces do not contain is refused.
const CAPABILITIES: [(&str, Verdict); 41] = [
    ("CHOWN", Usual),
    ("DAC_OVERRIDE", Usual),
    ("DAC_READ_SEARCH", Refused("with it a program can open any file of the host by its number")),
    ("FOWNER", Usual),
    ("FSETID", Usual),
    ("KILL", Usual),
    ("SETGID", Usual),
    ("SETUID", Usual),
    ("SETPCAP", Usual),
    ("LINUX_IMMUTABLE", Refused("files that it locks could not be removed with the instance")),
    ("NET_BIND_SERVICE", Usual),
    ("NET_BROADCAST", Grantable),
    ("NET_ADMIN", Grantable),
    ("NET_RAW", Usual),
    ("IPC_LOCK", Grantable),
    ("IPC_OWNER", Grantable),
    ("SYS_MODULE", Refused("with it a program can load code into the host's kernel")),
    ("SYS_RAWIO", Refused(HARDWARE)),
    ("SYS_CHROOT", Usual),
    ("SYS_PTRACE", Refused("with it a program can take over the process that holds its instance")),
    ("SYS_PACCT", Refused("the accounts of processes are of the whole machine")),
    ("SYS_ADMIN", Refused("with it a program can mount the host's disks and leave its instance")),
    ("SYS_BOOT", Refused("with it a program can load another kernel")),
    ("SYS_NICE", Grantable),
    ("SYS_RESOURCE", Grantable),
    ("SYS_TIME", Refused("the clock is of the whole machine")),
    ("SYS_TTY_CONFIG", Refused(HARDWARE)),
    ("MKNOD", Refused("a device node reaches the host's disks; pipes and sockets need none of it")),
    ("LEASE", Grantable),
    ("AUDIT_WRITE", Usual),
    ("AUDIT_CONTROL", Refused(AUDIT)),
    ("SETFCAP", Usual),
    ("MAC_OVERRIDE", Refused(LABELS)),
    ("MAC_ADMIN", Refused(LABELS)),
    ("SYSLOG", Refused("the kernel's log is of the whole machine")),
    ("WAKE_ALARM", Refused(SLEEP)),
    ("BLOCK_SUSPEND", Refused(SLEEP)),
    ("AUDIT_READ", Refused(AUDIT)),
    ("PERFMON", Refused("with it a program can watch all others on the machine")),
    ("BPF", Refused("with it a program can run code in the host's kernel")),
    ("CHECKPOINT_RESTORE", Refused("with it a program can imitate other processes")),
];

/// Takes every capability away, or asks for every one.
const ALL: &str = "ALL";

/// Why no instance is given this capability; `None` if it can be. The name is as in a compose file:
/// in any case, with or without `CAP_`.
#[must_use]
pub fn refused_capability(name: &str) -> Option<&'static str> {
    let name = plain(name);
    if name == ALL {
        return Some("some of them lead out of the instance; name those that are needed");
    }
    match number(&name) {
        None => Some("there is no such capability"),
        Some(number) => match CAPABILITIES[number].1 {
            Refused(why) => Some(why),
            Usual | Grantable => None,
        },
    }
}

/// What may be named in `cap_drop` and nothing else.
pub(super) fn is_droppable(name: &str) -> bool {
    let name = plain(name);
    name == ALL || number(&name).is_some()
}

/// Names of the capabilities that an instance's programs can have, with `CAP_`. Those with the
/// host's userland have none.
pub(crate) fn held(spec: &InstanceSpec) -> Vec<String> {
    let mask = bits(spec);
    let is_held = |number: &usize| mask >> number & 1 == 1;
    (0..CAPABILITIES.len()).filter(is_held).map(|n| format!("CAP_{}", CAPABILITIES[n].0)).collect()
}

/// The same as a set of bits.
pub(crate) fn bits(spec: &InstanceSpec) -> u64 {
    if matches!(spec.root, Root::HostUserland) {
        return 0;
    }
    let container = &spec.container;
    let mut mask = 0;
    if !container.cap_drop.iter().any(|name| plain(name) == ALL) {
        for (number, (_, verdict)) in CAPABILITIES.iter().enumerate() {
            mask |= u64::from(matches!(verdict, Usual)) << number;
        }
    }
    // What is added by name stands, whatever is taken away as a whole; by name, taking away wins.
    for name in container.cap_add.iter().filter(|name| refused_capability(name).is_none()) {
        mask |= number(&plain(name)).map_or(0, |number| 1 << number);
    }
    for name in &container.cap_drop {
        mask &= !number(&plain(name)).map_or(0, |number| 1 << number);
    }
    mask
}

fn plain(name: &str) -> String {
    let name = name.to_ascii_uppercase();
    name.strip_prefix("CAP_").unwrap_or(&name).to_owned()
}

fn number(plain: &str) -> Option<usize> {
    CAPABILITIES.iter().position(|(name, _)| *name == plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_out_of_an_instance_is_refused_whatever_its_spelling() {
        for name in ["SYS_ADMIN", "cap_sys_admin", "Sys_Module", "BPF", "ALL", "mknod", "BREW_TEA"]
        {
            assert!(refused_capability(name).is_some(), "{name}");
        }
        for name in ["NET_ADMIN", "cap_ipc_lock", "CHOWN"] {
            assert_eq!(refused_capability(name), None, "{name}");
        }
    }

    #[test]
    fn the_numbers_are_the_kernels() {
        for (name, expect) in [("CHOWN", 0), ("SYS_ADMIN", 21), ("SETFCAP", 31), ("BPF", 39)] {
            assert_eq!(number(name), Some(expect), "{name}");
        }
    }
}
