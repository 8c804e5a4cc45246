//! Running copies of releases, builds, jobs and databases.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{BuildId, DatabaseId, DeployId, InstanceId, KeyValueId, ServiceId};

/// One thing that the engine runs, as the control plane remembers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Its id, never used again.
    pub id: InstanceId,
    /// What it is for.
    pub purpose: InstancePurpose,
    /// Its place among the copies of one release: 0, 1, 2 …
    pub ordinal: u32,
    /// How often its place was filled before, since the deploy began.
    pub restarts: u32,
    /// When the control plane asked for it.
    pub created_at: Timestamp,
}

/// What an instance is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstancePurpose {
    /// Runs a service's start command for a deploy.
    Service {
        /// The service.
        service_id: ServiceId,
        /// The deploy whose release it runs.
        deploy_id: DeployId,
    },
    /// Runs build commands.
    Build(BuildId),
    /// Runs the pre-deploy command of a deploy.
    PreDeploy(DeployId),
    /// Runs the initial deploy hook of a deploy.
    InitialDeployHook(DeployId),
    /// Runs a cron service once.
    CronRun(ServiceId),
    /// Runs a command that a person asked for, with a service's release.
    Job(ServiceId),
    /// Runs PostgreSQL.
    Database(DatabaseId),
    /// Runs Valkey or Redis.
    KeyValue(KeyValueId),
}

/// What the engine sees of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    /// Asked for, not running yet.
    Starting,
    /// Its main process runs.
    Running {
        /// Address in its environment's private network.
        address: IpAddr,
        /// When it began.
        started_at: Timestamp,
    },
    /// Its main process has ended.
    Exited(Exit),
}

/// How a main process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit code, when it ended by itself.
    pub code: Option<i32>,
    /// Signal, when one ended it.
    pub signal: Option<i32>,
    /// Whether the kernel ended it for want of memory.
    pub out_of_memory: bool,
    /// Which limit of Gable's ended it, if one did: time, output or disk.
    pub limit: Option<String>,
    /// Why it never began, when it could not be started at all (command not found …).
    pub start_error: Option<String>,
    /// When.
    pub at: Timestamp,
}

impl Exit {
    /// In the words of every limit of what is written to the disk.
    pub const DISK: &str = "to the disk of this machine";

    /// Whether it was ended for what it wrote to the disk.
    #[must_use]
    pub fn is_disk_limit(&self) -> bool {
        self.limit.as_deref().is_some_and(|limit| limit.contains(Self::DISK))
    }

    /// Whether anything is known of its end. Nothing is of an instance that the machine took with
    /// it, or that was written down and never began.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.code.is_some()
            || self.signal.is_some()
            || self.out_of_memory
            || self.limit.is_some()
            || self.start_error.is_some()
    }

    /// Whether it ended by itself with code 0.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.code == Some(0)
    }
}

/// The name of a signal that ends programs, by its number on Linux.
fn signal_name(number: i32) -> Option<&'static str> {
    Some(match number {
        1 => "HUP",
        2 => "INT",
        3 => "QUIT",
        4 => "ILL",
        5 => "TRAP",
        6 => "ABRT",
        7 => "BUS",
        8 => "FPE",
        9 => "KILL",
        10 => "USR1",
        11 => "SEGV",
        12 => "USR2",
        13 => "PIPE",
        14 => "ALRM",
        15 => "TERM",
        24 => "XCPU",
        25 => "XFSZ",
        31 => "SYS",
        _ => return None,
    })
}

impl std::fmt::Display for Exit {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.start_error, &self.limit, self.out_of_memory, self.signal, self.code) {
            (Some(error), ..) => write!(formatter, "could not start: {error}"),
            (_, Some(limit), ..) => write!(formatter, "was ended: {limit}"),
            (_, _, true, ..) => write!(formatter, "ran out of memory"),
            (_, _, _, Some(signal), _) => match signal_name(signal) {
                Some(name) => write!(formatter, "was ended by signal {signal} ({name})"),
                None => write!(formatter, "was ended by signal {signal}"),
            },
            (_, _, _, _, Some(code)) => write!(formatter, "exited with code {code}"),
            _ => write!(formatter, "ended"),
        }
    }
}
