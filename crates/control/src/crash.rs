//! Crashes on purpose, for tests: the process ends at a named point as `kill -9` would end it.
//!
//! Only builds with debug assertions have it; in others the points are nothing.

/// The variable of the server's environment that names the point to crash at. For tests.
pub const CRASH_AT: &str = "GABLE_CRASH_AT";

/// A deploy was written down, and nothing else knows of it.
pub(crate) const CREATED: &str = "created";
/// The edge has taken a new route, and the deploy is not live yet.
pub(crate) const SWITCHED: &str = "switched";

/// Ends the process if this is the point that was asked for.
#[cfg(debug_assertions)]
pub(crate) fn point(name: &str) {
    use nix::sys::signal::{Signal, kill};
    if std::env::var_os(CRASH_AT).is_some_and(|asked| asked == name) {
        tracing::warn!("crashing at {name}, as asked");
        let _ = kill(nix::unistd::Pid::this(), Signal::SIGKILL);
    }
}

#[cfg(not(debug_assertions))]
pub(crate) fn point(_name: &str) {}
