//! Runs instances. The [`Driver`] trait is the seam; behind it are the [`NativeDriver`]
//! (libcontainer, network namespaces, cgroups), the [`PlainDriver`] (processes without root), and
//! the [`fake::FakeDriver`] for tests of other crates.
//!
//! # Theory of operation
//!
//! The driver itself runs nothing. It writes an order into the run directory and has a *shim* made,
//! a process that holds the instance, writes its log and records its end (see [`shim_main`]). So
//! the control plane can be killed at any moment: no instance notices, and [`Driver::recover`]
//! finds everything again.
//!
//! # Images
//!
//! An instance whose root is made of layers has what containers usually have: the capabilities of
//! containers without that for device nodes, no new privileges (so `sudo` in an image does nothing),
//! and an init: the shim is process 1 and reaps what nobody waits for. So the main process is an
//! ordinary one, and signals do what they do for ordinary programs; `tini` and `dumb-init` in an
//! image warn about it and work. Programs that insist on being process 1 are, in a PID namespace
//! below the shim's (see [`InstanceSpec::is_first_process`]). There is no user namespace: user ids inside are those of the machine.
//!
//! # How instances end
//!
//! A stop asks the application, not its wrappers and not its children: the private module `stop`
//! decides whom, the shim asks and waits. A declared stop signal goes to the main process alone.
//!
//! # Limits
//!
//! Instances of one environment share a bridge and can imitate each other's addresses. Instances
//! are kept apart by namespaces, users, capabilities and cgroups, not by a hypervisor.
#![deny(unsafe_op_in_unsafe_fn)]

pub mod driver;
pub mod spec;

mod native;

pub mod fake;
pub mod probe;

mod cgroup;
mod doctor;
mod files;
mod fleet;
mod net;
mod order;
mod plain;
mod process;
mod seqpacket;
mod shim;
mod stop;
mod sys;

pub use doctor::{Check, doctor};
pub use driver::{Driver, Error, ExecRequest, Listener, Network, Seen};
pub use fleet::exec;
pub use native::{Config, NativeDriver, OpenRoom, Room, leave};
pub use plain::PlainDriver;
pub use process::{PortHolder, port_holder};
pub use shim::{begin_volume, shim_main};
pub use spec::{
    ContainerSpec, DEFAULT_PATH, InstanceSpec, Limits, Mount, PROCESS_LIMIT, PlacedFile, Root,
    TOOLS_DIR, User,
};
