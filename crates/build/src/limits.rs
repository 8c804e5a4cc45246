//! How much of the machine one build may use.

use std::fs;
use std::path::Path;

use model::Problem;

use crate::disk::{self, DiskLimits};

/// How much of the machine one build may use: its processes together, and what they write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuildLimits {
    /// Memory in bytes; swap is none of it.
    pub memory_bytes: u64,
    /// Processes and threads.
    pub processes: u32,
    /// The disk.
    pub disk: DiskLimits,
}

impl BuildLimits {
    /// Enough for every bundler and compiler, and far from what a machine can hold.
    pub const PROCESSES: u32 = 4096;
    /// Less memory is too little for a build of Next.js.
    const MEMORY_BYTES_MIN: u64 = 2 << 30;
    /// One part in so many of the memory is kept for databases, instances and Gable itself.
    const RESERVED_MEMORY_SHARE: u64 = 4;

    /// The limits that suit this machine: three quarters of its memory, divided by the builds that
    /// may run at once, and at least 2 GiB. Where that is more than there is, the kernel ends builds
    /// before anything else.
    #[must_use]
    pub fn of_machine(state_dir: &Path, concurrent_builds: usize) -> Self {
        let machine = memory_of(&fs::read_to_string("/proc/meminfo").unwrap_or_default());
        Self {
            memory_bytes: share(machine, concurrent_builds),
            processes: Self::PROCESSES,
            disk: disk::suiting(state_dir),
        }
    }

    /// The engine's words for them.
    pub(crate) fn of_engine(&self) -> engine::Limits {
        engine::Limits {
            memory_bytes: Some(self.memory_bytes),
            pids: Some(self.processes),
            ..engine::Limits::default()
        }
    }

    /// What a person is told of a build that ran out of memory.
    pub(crate) fn out_of_memory(&self, service: &str) -> Problem {
        let gibibytes = self.memory_bytes as f64 / f64::from(1 << 30);
        let message =
            format!("the build of {service} needs more memory than the {gibibytes:.1} GiB it has");
        Problem::new("build-out-of-memory", message).hint(
            "let fewer of its processes work at once, or give builds more with \
             `gable server --build-memory`",
        )
    }

    /// What a person is told of a build that wanted too many processes.
    pub(crate) fn too_many_processes(&self, service: &str) -> Problem {
        let message = format!(
            "the build of {service} wanted more than {} processes and threads",
            self.processes
        );
        Problem::new("build-too-many-processes", message).hint(
            "a build that starts itself again and again does this; if it needs them, give builds \
             more with `gable server --build-processes`",
        )
    }
}

fn share(machine: u64, concurrent_builds: usize) -> u64 {
    let builds = u64::try_from(concurrent_builds.max(1)).unwrap_or(u64::MAX);
    let for_all = machine - machine / BuildLimits::RESERVED_MEMORY_SHARE;
    (for_all / builds).max(BuildLimits::MEMORY_BYTES_MIN)
}

/// Bytes of memory, from `/proc/meminfo`.
fn memory_of(text: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or_default() << 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_share_three_quarters_of_the_memory_and_each_has_enough_for_a_bundler() {
        assert_eq!(memory_of("MemTotal:       16777216 kB\nMemFree: 1 kB\n"), 16 << 30);
        assert_eq!(share(16 << 30, 1), 12 << 30);
        assert_eq!(share(16 << 30, 4), 3 << 30);
        assert_eq!(share(4 << 30, 4), 2 << 30);
        assert_eq!(share(memory_of(""), 0), 2 << 30);
    }

    #[test]
    fn a_limit_that_was_reached_is_told_with_its_number() {
        let limits =
            BuildLimits { memory_bytes: 3 << 29, ..BuildLimits::of_machine(Path::new("/"), 1) };
        let problem = limits.out_of_memory("web");
        assert_eq!(problem.message, "the build of web needs more memory than the 1.5 GiB it has");
        assert!(limits.too_many_processes("web").message.contains("4096 processes"));
    }
}
