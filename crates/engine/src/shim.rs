//! The processes that hold instances: `gable shim`, a hidden subcommand of the one binary.
//!
//! The driver starts one *nursery*, a process that does nothing but fork. For each instance the
//! nursery forks a *shim*. For the native driver the shim is process 1 of the instance's PID
//! namespace, and sits in its network namespace and in a mount namespace of its own: whatever way
//! the shim ends, the kernel ends all processes of the instance and takes down its mounts and its
//! end of the network with it. The shim reaps, keeps the pipes of the main process and writes its
//! log, enforces limits, and leaves `exit.json` behind.
//!
//! Nothing here has threads or a runtime. Shims are forks of one small process, so their pages are
//! shared: libcontainer, which needs a heap, works in one more fork that ends before the main
//! process begins.

mod container;
mod disk;
mod end;
mod etc;
mod extra;
mod filter;
mod inside;
mod instance;
pub(crate) mod isolate;
mod launch;
mod nursery;
mod overlay;
mod reach;
mod root;
mod stop;
mod supervise;
mod volumes;

use std::ffi::OsString;

pub use volumes::begin_volume;

/// Runs the hidden `shim` subcommand and returns its exit code. `args` is what follows `shim`.
///
/// It must be called from the main thread before any other is started: it forks.
pub fn shim_main(args: impl IntoIterator<Item = OsString>) -> i32 {
    let mut args = args.into_iter();
    match args.next() {
        Some(role) if role == NURSERY && args.next().is_none() => nursery::run(),
        _ => USAGE_ERROR,
    }
}

/// The one role: forks shims, as asked on the socket that is its standard input.
pub(crate) const NURSERY: &str = "nursery";
/// What a person gets who calls the hidden subcommand.
const USAGE_ERROR: i32 = 2;

/// Something that refused: of the host's, most often.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) doing: String,
    pub(crate) why: String,
    /// Whether what was asked for is at fault: then the instance has ended, and its exit says why.
    pub(crate) is_the_specs: bool,
}

/// Adds what was being done to an error.
trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Refusal>;
}

impl<T, E: std::fmt::Display> Doing<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Refusal> {
        self.map_err(|error| Refusal { doing: what(), why: error.to_string(), is_the_specs: false })
    }
}
