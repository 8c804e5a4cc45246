//! The main process of an isolated instance, by libcontainer.
//!
//! libcontainer works in a fork of the shim that ends when it is done, and makes the main process a
//! sibling of that fork, which is a child of the shim. PID and network namespaces are the shim's
//! own, so they are not asked for here.

use std::collections::HashMap;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::oci_spec::runtime::Spec;
use libcontainer::syscall::syscall::SyscallType;
use libcontainer::workload::{
    Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError,
};
use serde_json::{Value, json};

use crate::cgroup::{self, Cgroups};
use crate::order::Order;
use crate::shim::instance::{self, Said};
use crate::shim::launch::Program;
use crate::shim::root::Prepared;
use crate::shim::{Doing, Refusal, isolate};
use crate::{spec, sys};

/// Makes the container and lets its main process run. The calling process has the instance's
/// descriptors as its own 0, 1 and 2, and ends afterwards.
pub(super) fn build(
    directory: &Path,
    order: &Order,
    cgroup: &Path,
    root: &Prepared,
    status: &OwnedFd,
) -> Result<(), Refusal> {
    let cgroups = Cgroups::find(Path::new(cgroup::ROOT));
    let config = config(order, cgroup, &cgroup_mounts(&cgroups, cgroup), root);
    let bytes = serde_json::to_vec(&config).doing(|| "write the container's config".to_owned())?;
    fs::write(directory.join("config.json"), bytes)
        .doing(|| "write the container's config".to_owned())?;
    let state = directory.join("state");
    fs::create_dir_all(&state).doing(|| "make the container's directory".to_owned())?;
    let program = Program {
        command: order.spec.command.clone(),
        cwd: order.spec.cwd.clone(),
        env: order.spec.env.clone(),
        calls: Some(spec::bits(&order.spec)),
    };
    let executor = Become { program, status: status.as_raw_fd() };
    let id = order.spec.id.to_string();
    let mut container = ContainerBuilder::new(id, SyscallType::default())
        .with_executor(executor)
        .with_root_path(state.clone())
        .and_then(|builder| {
            builder
                .as_init(directory)
                .with_systemd(false)
                .with_detach(true)
                .as_sibling(true)
                .build()
        })
        .map_err(refusal)?;
    if let Some(pid) = container.pid() {
        instance::say(status.as_fd(), &Said::Pid(pid.as_raw()));
    }
    cgroups
        .close(cgroup, order.spec.limits.memory_bytes)
        .doing(|| "limit swap and devices of the instance's cgroup".to_owned())?;
    container.start().map_err(refusal)?;
    // Both held the environment, and the first held it twice.
    let _ = fs::remove_file(directory.join("config.json"));
    let _ = fs::remove_dir_all(state);
    Ok(())
}

/// libcontainer says what it was doing at the top and why it failed at the bottom of the chain.
fn refusal(error: impl std::error::Error) -> Refusal {
    let mut why = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !why.contains(&text) {
            why = format!("{why}: {text}");
        }
        source = cause.source();
    }
    Refusal { doing: "make the instance's container".to_owned(), why, is_the_specs: false }
}

/// What becomes of the container's first process.
#[derive(Clone)]
struct Become {
    program: Program,
    /// Where a failure is said; closed by the kernel when the program begins.
    status: RawFd,
}

impl Executor for Become {
    fn exec(&self, _spec: &Spec) -> Result<(), ExecutorError> {
        let why = self.program.become_it();
        instance::say(sys::lend(self.status), &Said::CannotBegin(why.clone()));
        Err(ExecutorError::Other(why))
    }

    fn validate(&self, _spec: &Spec) -> Result<(), ExecutorValidationError> {
        Ok(())
    }

    fn setup_envs(&self, _envs: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        // The environment is passed to the program itself, and nothing of it to this process.
        Ok(())
    }
}

/// The container in the words of the OCI runtime specification, version 1.
fn config(order: &Order, cgroup: &Path, shown: &[Value], root: &Prepared) -> Value {
    let spec = &order.spec;
    let container = &spec.container;
    let mut mounts = kernel_mounts(container.shm_bytes.unwrap_or(SHM_BYTES));
    mounts.extend(shown.iter().chain(&root.mounts).cloned());
    let none: [&str; 0] = [];
    let mut namespaces = vec!["mount", "ipc", "uts", "cgroup"];
    if spec.is_first_process() {
        namespaces.push("pid");
    }
    let namespaces: Vec<Value> = namespaces.iter().map(|kind| json!({ "type": kind })).collect();
    let capabilities = spec::held(spec);
    // As when the kernel lets a program become another user: what root could do is gone, and what
    // programs may gain by being executed is bounded.
    let effective = if spec.user.uid == 0 { &capabilities[..] } else { &[] };
    let ulimits: Vec<Value> = container
        .ulimits
        .iter()
        .map(|ulimit| {
            let kind = format!("RLIMIT_{}", ulimit.name.to_ascii_uppercase());
            json!({ "type": kind, "soft": ulimit.soft, "hard": ulimit.hard })
        })
        .collect();
    let of_others = |(name, _): &&(String, String)| !isolate::is_of_network(name);
    let sysctls: HashMap<&str, &str> = container
        .sysctls
        .iter()
        .filter(of_others)
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    json!({
        "ociVersion": "1.0.2",
        "hostname": spec.hostname,
        "root": { "path": PathBuf::from("root"), "readonly": root.is_read_only },
        "process": {
            "terminal": false,
            "user": {
                "uid": spec.user.uid,
                "gid": spec.user.gid,
                "additionalGids": spec.user.groups,
                "umask": 0o022,
            },
            "rlimits": ulimits,
            "args": spec.command,
            // Checked by the program itself, which can say what is wrong with it.
            "cwd": "/",
            "env": none,
            "noNewPrivileges": true,
            "capabilities": {
                "bounding": capabilities, "effective": effective, "permitted": effective,
                "inheritable": none, "ambient": none,
            },
        },
        "mounts": mounts,
        "linux": {
            "namespaces": namespaces,
            "cgroupsPath": cgroup,
            "resources": resources(order),
            "sysctl": sysctls,
            // What root could read or change there is of the whole machine.
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
                "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list",
                "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
            ],
            "readonlyPaths": [
                "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
                "/sys/fs/cgroup",
            ],
        },
    })
}

/// Size of `/dev/shm` where nothing is said.
const SHM_BYTES: u64 = 256 << 20;

fn kernel_mounts(shm_bytes: u64) -> Vec<Value> {
    let shm_size = format!("size={shm_bytes}");
    let mount = |destination: &str, kind: &str, options: &[&str]| {
        let source = kind;
        json!({
            "destination": destination,
            "type": kind,
            "source": source,
            "options": options,
        })
    };
    vec![
        mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", &["nosuid", "noexec", "mode=755", "size=64k"]),
        mount(
            "/dev/pts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
        ),
        mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", &shm_size]),
        mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
    ]
}

/// Its own cgroup, read-only, where runtimes look for what they may use.
fn cgroup_mounts(cgroups: &Cgroups, cgroup: &Path) -> Vec<Value> {
    let views = cgroups.views(cgroup);
    let place = Path::new(cgroup::ROOT);
    let below = match cgroups {
        // A directory for the directories of the controllers.
        Cgroups::V1 { .. } => Some(json!({
            "destination": place,
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "nodev", "noexec", "mode=755", "size=64k"],
        })),
        Cgroups::V2 { .. } | Cgroups::Absent => None,
    };
    let view = |(source, name): &(PathBuf, PathBuf)| {
        json!({
            "destination": place.join(name),
            "type": "bind",
            "source": source,
            "options": ["bind", "nosuid", "nodev", "noexec", "ro"],
        })
    };
    below.into_iter().chain(views.iter().map(view)).collect()
}

fn resources(order: &Order) -> Value {
    /// The kernel's usual period, in microseconds.
    const PERIOD_MICROS: u64 = 100_000;
    let limits = &order.spec.limits;
    let mut resources = serde_json::Map::new();
    if let Some(bytes) = limits.memory_bytes {
        resources.insert("memory".to_owned(), json!({ "limit": bytes }));
    }
    if let Some(millis) = limits.cpu_millis {
        let quota = u64::from(millis) * PERIOD_MICROS / 1000;
        resources.insert("cpu".to_owned(), json!({ "quota": quota, "period": PERIOD_MICROS }));
    }
    if let Some(count) = limits.pids {
        resources.insert("pids".to_owned(), json!({ "limit": count }));
    }
    Value::Object(resources)
}
