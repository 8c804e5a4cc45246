//! The roles that Gable starts itself in.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use super::ListenArgs;
use super::traffic::EdgeFlags;
use crate::cli::size::Size;

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  gable server status                  whether it runs, since when, where it listens
  gable server start                   start it in the background, as it was last time
  gable server stop                    end it; what runs goes on, and nobody looks after it
  gable server restore --list          the copies of its database
  gable server --log debug             run it in the foreground, as a service manager does

It comes back by itself when it is killed: the edge starts it again. `gable install` lets systemd
do that, and start it with the machine."
)]
pub(crate) struct ServerCommandArgs {
    #[command(subcommand)]
    pub(crate) command: Option<ServerCommand>,
    #[command(flatten)]
    pub(crate) run: ServerArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ServerCommand {
    /// Start it in the background; what ran before is taken up again
    Start(ServerStartArgs),
    /// End it; what runs goes on, and nobody looks after it
    Stop,
    /// Show whether it runs; exits with 1 when it does not
    Status,
    /// Put a copy of its database in the place of one that is lost or damaged
    Restore(ServerRestoreArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gable server restore --list     the copies, and what is in them
  gable server restore            the newest that can be used
  gable server restore --accept   go on with the database that is there

The server makes copies by itself, soon after each change and once a day.")]
pub(crate) struct ServerRestoreArgs {
    /// Name of the copy [default: the newest that can be used]
    #[arg(conflicts_with_all = ["list", "accept"])]
    pub(crate) copy: Option<String>,
    /// Show the copies, and change nothing
    #[arg(long, conflicts_with = "accept")]
    pub(crate) list: bool,
    /// Take the database that is there for the right one: what it does not know is stopped
    #[arg(long)]
    pub(crate) accept: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ServerStartArgs {
    #[command(flatten)]
    pub(crate) listen: ListenArgs,
    /// A file of variables that every build and instance gets [default: as it was last time]
    #[arg(long, value_name = "FILE")]
    pub(crate) operator_env: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
}

/// What is kept of what is over. Each is as it was last time unless it is given.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct KeepArgs {
    /// Earlier releases of each service that can be rolled back to, 1 to 1000 [default: 10]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) keep_releases: Option<u32>,
    /// Days for which logs, events and records of what is over are kept, 1 to 3650 [default: 30]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub(crate) keep_days: Option<u32>,
    /// All logs together, such as `500MB`; the oldest go first [default: 2GB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) keep_logs: Option<Size>,
    /// All caches of builds together, such as `5GB`; those used longest ago go first [default: 20GB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) keep_caches: Option<Size>,
    /// Builds end when less of the disk is free, such as `5GB` [default: a sixteenth of the disk,
    /// at most 2560MB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) disk_floor: Option<Size>,
}

impl KeepArgs {
    /// The same as words of a command line.
    pub(crate) fn words(&self) -> Vec<String> {
        let word = |flag: &str, value: Option<String>| Some(format!("--{flag}={}", value?));
        [
            word("keep-releases", self.keep_releases.map(|number| number.to_string())),
            word("keep-days", self.keep_days.map(|days| days.to_string())),
            word("keep-logs", self.keep_logs.map(|size| size.to_string())),
            word("keep-caches", self.keep_caches.map(|size| size.to_string())),
            word("disk-floor", self.disk_floor.map(|size| size.to_string())),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// Directory of sockets and secrets, on a tmpfs [default: derived from the state directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) run_dir: Option<PathBuf>,
    /// Address of the public URLs; can be given several times [default: as it was last time, or
    /// 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Vec<SocketAddr>,
    /// A file of variables that every build and instance gets [default: as it was last time]
    #[arg(long, value_name = "FILE")]
    pub(crate) operator_env: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) edge: EdgeFlags,
    /// How much each instance may have on the disk outside of disks and volumes, such as `50GB`;
    /// `none` is no limit [default: as it was last time, or 10GB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) instance_disk: Option<Size>,
    /// How much of the disk instances and builds leave to databases and to Gable, such as `5GB` [default: as it
    /// was last time, or a twentieth of the disk, at most 2GB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) disk_reserve: Option<Size>,
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
    /// How long new instances may take to become healthy, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 900, env = "GABLE_HEALTH_TIMEOUT")]
    pub(crate) health_timeout: u64,
    /// How long a new instance that listens on nothing is watched beside the old one before it is
    /// live, in seconds
    #[arg(
        long, value_name = "SECONDS", default_value_t = 10, env = "GABLE_WORKER_WATCH",
        value_parser = clap::value_parser!(u64).range(..=3600)
    )]
    pub(crate) worker_watch: u64,
    /// How long new instances may refuse their health check alike before they are given up, in
    /// seconds
    #[arg(
        long, value_name = "SECONDS", default_value_t = 60, env = "GABLE_REFUSAL_TIMEOUT",
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    pub(crate) refusal_timeout: u64,
    #[command(flatten)]
    pub(crate) build: BuildArgs,
    /// Run instances as plain processes even as root
    #[arg(long)]
    pub(crate) plain: bool,
    /// What is logged: error, warn, info, debug, trace, or a filter such as `info,edge=debug`
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "GABLE_LOG")]
    pub(crate) log: String,
    /// How log lines look
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) log_format: LogFormat,
    /// Leave the terminal's session
    #[arg(long, hide = true)]
    pub(crate) detached: bool,
    /// Somebody else starts it again when it goes, such as systemd: the edge does not
    #[arg(long)]
    pub(crate) supervised: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gable disk                    who holds what, and what is left
  gable disk clean              show what nobody needs any more
  gable disk clean --yes        throw it away
  gable disk --json | jq '.holdings[] | select(.kind == \"databases\")'

Data is never thrown away, nor what runs or can be rolled back to. The server cleans by itself once
an hour: `gable server start --help` has the settings.")]
pub(crate) struct DiskArgs {
    #[command(subcommand)]
    pub(crate) command: Option<DiskCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DiskCommand {
    /// Show what nobody needs any more; with --yes throw it away
    Clean {
        /// Throw it away
        #[arg(short, long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gable install               write the unit; systemd starts Gable now and with the machine
  gable install --root /mnt   write it below another root, and start nothing
  gable uninstall             take it away again; data and what runs stay")]
pub(crate) struct InstallArgs {
    /// The root of the file system that the unit is written to; with another than / nothing is
    /// started
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(crate) root: PathBuf,
}

/// How much of the machine one build may use. What is said here is remembered for the next start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
pub(crate) struct BuildArgs {
    /// Memory of one build, in MiB, at least 256 [default: as it was last time, or three quarters of
    /// the machine's divided by the builds that may run at once, and at least 2048]
    #[arg(long = "build-memory", value_name = "MIB", value_parser = clap::value_parser!(u64).range(256..=1 << 30))]
    pub(crate) memory_mib: Option<u64>,
    /// Processes and threads of one build, at least 64 [default: as it was last time, or 4096]
    #[arg(long = "build-processes", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(64..))]
    pub(crate) processes: Option<u32>,
    /// What one build may write to the disk, in MiB, at least 64 [default: as it was last time, or
    /// 20480]
    #[arg(long = "build-disk", value_name = "MIB", value_parser = clap::value_parser!(u64).range(64..=1 << 30))]
    pub(crate) disk_mib: Option<u64>,
}

impl BuildArgs {
    /// What is said here, and of the rest what was said before.
    pub(crate) fn over(self, before: Self) -> Self {
        Self {
            memory_mib: self.memory_mib.or(before.memory_mib),
            processes: self.processes.or(before.processes),
            disk_mib: self.disk_mib.or(before.disk_mib),
        }
    }

    /// The limits, with this machine's own for what nobody said.
    pub(crate) fn limits(self, state_dir: &Path, concurrent_builds: usize) -> build::BuildLimits {
        let mut limits = build::BuildLimits::of_machine(state_dir, concurrent_builds);
        limits.memory_bytes = self.memory_mib.map_or(limits.memory_bytes, |mib| mib << 20);
        limits.processes = self.processes.unwrap_or(limits.processes);
        limits.disk.written_bytes =
            self.disk_mib.map_or(limits.disk.written_bytes, |mib| mib << 20);
        limits
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl LogFormat {
    /// The word of the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct EdgeArgs {
    /// Address of the public URLs; can be given several times
    #[arg(long, value_name = "ADDRESS:PORT", required = true)]
    pub(crate) listen: Vec<SocketAddr>,
    /// Path of the socket that route tables come through
    #[arg(long, value_name = "PATH")]
    pub(crate) control_socket: PathBuf,
    /// The file that the last route table is kept in
    #[arg(long, value_name = "PATH")]
    pub(crate) table: PathBuf,
    /// The directory of the authority for https
    #[arg(long, value_name = "PATH")]
    pub(crate) authority: Option<PathBuf>,
    /// What the operator chose, as JSON
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = settings)]
    pub(crate) settings: edge::Settings,
    /// The state directory of the server that is started again when it goes
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
    /// Port of private DNS
    #[arg(long, value_name = "PORT", default_value_t = 53)]
    pub(crate) dns_port: u16,
    /// What is logged
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "GABLE_LOG")]
    pub(crate) log: String,
}

fn settings(text: &str) -> Result<edge::Settings, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}
