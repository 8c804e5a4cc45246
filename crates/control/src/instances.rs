//! From a release to what the engine is asked to run.

use engine::{ContainerSpec, InstanceSpec, Limits, Root, User};
use jiff::Timestamp;
use model::{EnvVar, Instance, InstanceId, InstancePurpose, Release, Runtime, ServiceId};
use store::services::ServiceRow;

use crate::environments;
use crate::error::Error;
use crate::platform::Platform;
use crate::tasks::services::disk_dir;

/// Processes and threads of one instance, at most: far above honest use, far below a fork bomb's.
const PIDS_LIMIT: u32 = 4096;

/// One start of a release.
pub(crate) struct Run<'a> {
    pub(crate) row: &'a ServiceRow,
    pub(crate) release: &'a Release,
    pub(crate) instance_id: &'a InstanceId,
    pub(crate) command: Vec<String>,
    pub(crate) label: String,
    pub(crate) with_disk: bool,
}

/// The user's own command in the user's own shell: the only shell there is.
pub(crate) fn shell(command: &str) -> Vec<String> {
    let shell = if std::path::Path::new("/bin/bash").exists() { "/bin/bash" } else { "/bin/sh" };
    vec![shell.to_owned(), "-c".to_owned(), command.to_owned()]
}

/// The instance with this purpose that is written down already, or a new one.
pub(crate) fn find_or_insert(
    platform: &Platform,
    known: &[Instance],
    purpose: InstancePurpose,
    service_id: &ServiceId,
) -> Result<Instance, Error> {
    if let Some(instance) = known.iter().rev().find(|instance| instance.purpose == purpose) {
        return Ok(instance.clone());
    }
    let instance = Instance {
        id: store::new_instance_id(),
        purpose,
        ordinal: 0,
        restarts: 0,
        created_at: Timestamp::now(),
    };
    store::instances::insert(&platform.store, &instance, service_id)?;
    Ok(instance)
}

/// A release's resolved variables for one phase.
pub(crate) fn env_of(
    platform: &Platform,
    release: &Release,
    phase: build::Phase,
) -> Result<Vec<(String, String)>, Error> {
    Ok(environments::variables_of(platform, &release.id)?
        .into_iter()
        .filter(|variable| environments::is_for(variable, phase))
        .filter_map(|variable| {
            let value = environments::plain_value(&variable)?;
            Some((variable.key, value))
        })
        .collect())
}

/// Starts an instance of a release.
pub(crate) async fn start(platform: &Platform, run: Run<'_>) -> Result<(), Error> {
    let spec = spec(platform, &run)?;
    platform.network(&run.row.environment_id).await?;
    platform.driver.start(&spec).await?;
    Ok(())
}

fn spec(platform: &Platform, run: &Run<'_>) -> Result<InstanceSpec, Error> {
    let service = &run.release.service;
    let artifact = match &run.release.artifact_id {
        Some(id) => store::artifacts::get(&platform.store, id)?,
        None => None,
    };
    let artifact = artifact.ok_or_else(|| {
        model::Problem::new(
            "artifact-missing",
            format!("what was built for {} is no longer on this machine", service.name),
        )
        .hint("deploy it again: `gable up`")
    })?;
    let disk = if run.with_disk { prepare_disk(platform, run.row)? } else { None };
    let layout = build::runtime_layout(service, &artifact, disk.as_deref())?;
    let mut declared = env_of(platform, run.release, build::Phase::Run)?;
    declared.push(("RENDER_INSTANCE_ID".to_owned(), run.instance_id.to_string()));
    let type_ = &service.instance_type;
    Ok(InstanceSpec {
        id: run.instance_id.clone(),
        hostname: run.row.slug.clone(),
        environment_id: run.row.environment_id.clone(),
        root: Root::HostUserland,
        user: User::alone(run.row.uid, "render", layout.home.clone()),
        command: run.command.clone(),
        cwd: layout.cwd.clone(),
        env: layout.env_with(&declared),
        mounts: layout.mounts,
        files: Vec::new(),
        limits: Limits {
            cpu_millis: Some(type_.cpu_millis),
            memory_bytes: Some(type_.memory_bytes),
            pids: Some(PIDS_LIMIT),
            time: None,
            output_bytes: None,
        },
        log: platform
            .config
            .logs_dir()
            .join(run.row.id.as_str())
            .join(format!("{}.log", run.instance_id)),
        port_hint: Some(environments::expected_port(platform, run.row, service)?),
        label: run.label.clone(),
        container: ContainerSpec::default(),
    })
}

/// The directory of a service's disk, owned by its user; `None` when it has none.
fn prepare_disk(
    platform: &Platform,
    row: &ServiceRow,
) -> Result<Option<std::path::PathBuf>, Error> {
    if row.definition.disk.is_none() {
        return Ok(None);
    }
    let path = disk_dir(platform, &row.id);
    std::fs::create_dir_all(&path)
        .and_then(|()| {
            if platform.driver.isolates_network() {
                std::os::unix::fs::chown(&path, Some(row.uid), Some(row.uid))
            } else {
                Ok(())
            }
        })
        .map_err(Error::host(format!("prepare the disk of {}", row.definition.name)))?;
    Ok(Some(path))
}

/// Whether a declared runtime is one that this version runs.
#[must_use]
pub(crate) fn is_runnable(runtime: Runtime) -> bool {
    !matches!(runtime, Runtime::Docker | Runtime::Image)
}

/// Whether a list of declared variables sets this key.
#[must_use]
pub(crate) fn declares(env: &[EnvVar], key: &str) -> bool {
    env.iter().any(|variable| variable.key == key)
}
