//! Settings of building.

use std::path::{Path, PathBuf};
use std::time::Duration;

use images::{Images, Registries};
use model::{BuildId, InstanceId, ServiceId};

use crate::docker;
use crate::limits::BuildLimits;

/// Where builds lie and how far they may go. Every directory is an absolute path on one file
/// system: an artifact comes to be by one rename.
#[derive(Clone)]
pub struct Config {
    /// Finished artifacts: `<64 hex>/{tree,home,artifact.json}`, or `{files,image.json}` of a
    /// container.
    pub artifacts_dir: PathBuf,
    /// Builds under way: `<build id>/{tree,home}`.
    pub work_dir: PathBuf,
    /// Caches of package managers in `projects/`, and fetched tools in `toolchains/`; see
    /// [`crate::caches`].
    pub caches_dir: PathBuf,
    /// Output: `<service id>/<instance id>.log`.
    pub logs_dir: PathBuf,
    /// Variables of the machine's operator for every build: proxies, certificates, mirrors.
    pub operator_env: Vec<(String, String)>,
    /// Wall time of the build commands.
    pub time_limit: Duration,
    /// Bytes of output of the build commands.
    pub output_limit_bytes: u64,
    /// How much of the machine one build may use. Without root nothing keeps it to that, the disk
    /// apart.
    pub limits: BuildLimits,
    /// Who builds run as. Without root it is the server's own user.
    pub builder_uid: u32,
    /// Images on this machine; `None` without root, which they need.
    pub images: Option<Images>,
    /// Mirrors and credentials of registries.
    pub registries: Registries,
    /// Where images are built, and with what.
    pub docker: docker::Settings,
}

impl Config {
    /// Render's own limit [R:troubleshooting-deploys].
    pub const TIME_LIMIT: Duration = Duration::from_secs(120 * 60);
    /// Far above any honest build; a loop that prints reaches it in a minute.
    pub const OUTPUT_LIMIT_BYTES: u64 = 256 << 20;

    /// The settings with the usual layout of a state directory and the usual limits.
    #[must_use]
    pub fn in_state_dir(state_dir: &Path, builder_uid: u32) -> Self {
        Self {
            artifacts_dir: state_dir.join("artifacts"),
            work_dir: state_dir.join("work"),
            caches_dir: state_dir.join("caches"),
            logs_dir: state_dir.join("logs"),
            operator_env: Vec::new(),
            time_limit: Self::TIME_LIMIT,
            output_limit_bytes: Self::OUTPUT_LIMIT_BYTES,
            limits: BuildLimits::of_machine(state_dir, 1),
            builder_uid,
            images: None,
            registries: Registries::default(),
            docker: docker::Settings::in_state_dir(state_dir),
        }
    }

    /// Where the output of a build's instance is.
    #[must_use]
    pub fn log_path(&self, service_id: &ServiceId, instance_id: &InstanceId) -> PathBuf {
        self.logs_dir.join(service_id.as_str()).join(format!("{instance_id}.log"))
    }

    pub(crate) fn work_of(&self, build_id: &BuildId) -> PathBuf {
        self.work_dir.join(build_id.as_str())
    }

    pub(crate) fn toolchains_dir(&self) -> PathBuf {
        self.caches_dir.join(crate::caches::TOOLCHAINS)
    }
}
