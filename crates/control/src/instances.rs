//! From a release to what the engine is asked to run.

mod container;

use std::path::PathBuf;

use engine::{ContainerSpec, InstanceSpec, Limits, Mount, Root, User};
use jiff::Timestamp;
use model::{
    Artifact, EnvironmentId, Instance, InstanceId, InstancePurpose, InstanceState, Release,
    ServiceId,
};
use reconcile::deploy::{RolloutMode, rollout_mode};
use store::services::ServiceRow;

use crate::environments;
use crate::error::Error;
use crate::platform::Platform;
use crate::tasks::services::disk_dir;
use crate::trust;

pub(crate) use container::Command;
use container::Parts;

/// Processes and threads of one instance, at most: far above honest use, far below a fork bomb's.
const PIDS_LIMIT: u32 = 4096;

/// One start of a release.
pub(crate) struct Run<'a> {
    pub(crate) row: &'a ServiceRow,
    pub(crate) release: &'a Release,
    pub(crate) instance_id: &'a InstanceId,
    /// Which of the service's instances it is, from 0.
    pub(crate) ordinal: u32,
    pub(crate) command: Command,
    pub(crate) label: String,
    pub(crate) with_disk: bool,
    /// Whether its standard input is written to later; it is empty otherwise.
    pub(crate) has_input: bool,
}

/// The user's own command in the user's own shell: the only shell there is.
fn shell(command: &str) -> Vec<String> {
    let shell = if std::path::Path::new("/bin/bash").exists() { "/bin/bash" } else { "/bin/sh" };
    vec![shell.to_owned(), "-c".to_owned(), command.to_owned()]
}

/// Whether anything of a service runs, builds aside: they need nothing that runs.
pub(crate) async fn runs(platform: &Platform, service_id: &ServiceId) -> Result<bool, Error> {
    for instance in store::instances::by_service(&platform.store, service_id)? {
        if matches!(instance.purpose, InstancePurpose::Build(_)) {
            continue;
        }
        let state = platform.driver.observe(&instance.id).await;
        if matches!(state, Some(InstanceState::Starting | InstanceState::Running { .. })) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The instance with this purpose that is written down already, or a new one; `None` when the
/// service is gone or was stopped.
pub(crate) fn find_or_insert(
    platform: &Platform,
    known: &[Instance],
    purpose: InstancePurpose,
    service_id: &ServiceId,
) -> Result<Option<Instance>, Error> {
    if let Some(instance) = known.iter().rev().find(|instance| instance.purpose == purpose) {
        return Ok(Some(instance.clone()));
    }
    let instance = Instance {
        id: store::new_instance_id(),
        purpose,
        ordinal: 0,
        restarts: 0,
        created_at: Timestamp::now(),
    };
    let is_wanted = store::instances::begin(&platform.store, &instance, service_id)?;
    Ok(is_wanted.then_some(instance))
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
    let spec = spec(platform, &run).await?;
    platform.network(&run.row.environment_id).await?;
    platform.driver.start(&spec).await?;
    Ok(())
}

async fn spec(platform: &Platform, run: &Run<'_>) -> Result<InstanceSpec, Error> {
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
    let mut declared = env_of(platform, run.release, build::Phase::Run)?;
    if !service.container.without_platform_env {
        declared.push(("RENDER_INSTANCE_ID".to_owned(), run.instance_id.to_string()));
    }
    let is_container = build::is_container(service);
    let mut parts = if is_container {
        container_parts(platform, run, &artifact, declared).await?
    } else {
        native_parts(platform, run, &artifact, &declared)?
    };
    if !service.container.without_platform_env {
        trust::add(platform, is_container, &mut parts.env, &mut parts.mounts);
    }
    let type_ = &service.instance_type;
    // Starting takes more than serving: until a service is healthy it may use what is free, and
    // then what its plan says (see `tasks::probes`).
    let is_starting = matches!(run.command, Command::Main) && service.has_instances();
    let limits = Limits {
        cpu_millis: (!is_starting).then_some(type_.cpu_millis),
        memory_bytes: Some(type_.memory_bytes),
        pids: Some(PIDS_LIMIT),
        disk_bytes: platform.config.instance_disk_bytes,
        time: None,
        output_bytes: None,
    };
    Ok(InstanceSpec {
        id: run.instance_id.clone(),
        hostname: hostname(run),
        environment_id: run.row.environment_id.clone(),
        root: parts.root,
        user: parts.user,
        command: parts.command,
        cwd: parts.cwd,
        env: parts.env,
        mounts: parts.mounts,
        files: parts.files,
        limits: container::limits(service, limits),
        log: platform
            .config
            .logs_dir()
            .join(run.row.id.as_str())
            .join(format!("{}.log", run.instance_id)),
        is_lasting: is_starting,
        has_input: run.has_input,
        port_hint: Some(environments::expected_port(platform, run.row, service)?),
        label: run.label.clone(),
        container: parts.container,
    })
}

/// The host name inside: what the file says, or one of the instance's own, under which workers can
/// register. A service that is never two at once, because it keeps data, keeps its name too: some
/// databases and brokers find what they wrote by it.
fn hostname(run: &Run<'_>) -> String {
    let service = &run.release.service;
    if let Some(declared) = &service.container.hostname {
        return declared.clone();
    }
    let is_the_only_one = matches!(run.command, Command::Main)
        && service.instances == 1
        && (service.disk.is_some() || service.container.keeps_data())
        && rollout_mode(service, true) == RolloutMode::StopFirst;
    if is_the_only_one {
        run.row.slug.clone()
    } else {
        own_hostname(&run.row.slug, run.instance_id)
    }
}

/// The service's name and the end of the instance's id, which is its random part, within what the
/// kernel takes.
fn own_hostname(slug: &str, id: &InstanceId) -> String {
    const MOST: usize = 63;
    const OWN: usize = 8;
    let id = id.as_str();
    let slug = &slug[..slug.floor_char_boundary(MOST - OWN - 1)];
    format!("{}-{}", slug.trim_end_matches('-'), &id[id.len().saturating_sub(OWN)..])
}

/// The parts that follow from what was built with the host's tools.
fn native_parts(
    platform: &Platform,
    run: &Run<'_>,
    artifact: &Artifact,
    declared: &[(String, String)],
) -> Result<Parts, Error> {
    let service = &run.release.service;
    let owner = (run.row.uid, run.row.uid);
    let disk = if run.with_disk { prepare_disk(platform, run.row, owner)? } else { None };
    let layout = build::runtime_layout(service, artifact, disk.as_deref())?;
    let command = match &run.command {
        Command::Main => shell(service.start_command.as_deref().unwrap_or_default()),
        Command::Shell(text) => shell(text),
        Command::Words(words) => words.clone(),
    };
    Ok(Parts {
        root: Root::HostUserland,
        user: User::alone(run.row.uid, "render", layout.home.clone()),
        command,
        cwd: layout.cwd.clone(),
        env: layout.env_with(declared),
        mounts: layout.mounts,
        files: Vec::new(),
        container: ContainerSpec::default(),
    })
}

/// The parts that follow from an image.
async fn container_parts(
    platform: &Platform,
    run: &Run<'_>,
    artifact: &Artifact,
    declared: Vec<(String, String)>,
) -> Result<Parts, Error> {
    let service = &run.release.service;
    let image = build::container(&platform.build, service, artifact).await?;
    let volumes = volumes_dir(platform, &run.row.environment_id);
    let owner = container::identity(service, &image)?;
    let owner = (owner.uid, owner.gid);
    let places = container::Places {
        named: volumes.clone(),
        anonymous: volumes.join(run.row.id.as_str()),
        disk: if run.with_disk { prepare_disk(platform, run.row, owner)? } else { None },
        ordinal: run.ordinal,
    };
    for place in [&places.named, &places.anonymous] {
        std::fs::create_dir_all(place)
            .map_err(Error::host(format!("make the directory {}", place.display())))?;
    }
    let parts = container::parts(service, &image, &run.command, declared, &places)?;
    for mount in &parts.mounts {
        if let Mount::Volume { source, .. } | Mount::Part { volume: source, .. } = mount {
            std::fs::create_dir_all(source)
                .map_err(Error::host(format!("make the volume {}", source.display())))?;
        }
    }
    Ok(parts)
}

/// Whether the image of a release has volumes that nothing of the file's covers, and which are kept
/// for the service: then two of its instances must not write at once.
pub(crate) async fn image_keeps_data(
    platform: &Platform,
    release: &Release,
) -> Result<bool, Error> {
    let service = &release.service;
    let artifact = match &release.artifact_id {
        Some(id) if build::is_container(service) => store::artifacts::get(&platform.store, id)?,
        _ => None,
    };
    let Some(artifact) = artifact else { return Ok(false) };
    let image = build::container(&platform.build, service, &artifact).await?.image;
    Ok(!container::unnamed(service, &image.config).is_empty())
}

/// Where the volumes of an environment are.
pub(crate) fn volumes_dir(platform: &Platform, environment_id: &EnvironmentId) -> PathBuf {
    platform.config.state_dir.join("volumes").join(environment_id.as_str())
}

/// Makes a volume of an environment that begins with a copy of a directory. One that is there stays as
/// it is.
///
/// # Errors
/// When the disk refuses.
pub(crate) async fn begin_volume(
    platform: &Platform,
    environment_id: &EnvironmentId,
    name: &str,
    from: PathBuf,
) -> Result<(), Error> {
    let volumes = volumes_dir(platform, environment_id);
    let volume = volumes.join(container::directory_name(name));
    let doing = format!("copy {} into its volume", from.display());
    let copy = move || {
        std::fs::create_dir_all(volumes)?;
        engine::begin_volume(&from, &volume)
    };
    let copied = tokio::task::spawn_blocking(copy).await;
    copied.unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(Error::host(doing))
}

/// The directory of a service's disk, owned by its user; `None` when it has none.
fn prepare_disk(
    platform: &Platform,
    row: &ServiceRow,
    (uid, gid): (u32, u32),
) -> Result<Option<PathBuf>, Error> {
    if row.definition.disk.is_none() {
        return Ok(None);
    }
    let path = disk_dir(platform, &row.id);
    std::fs::create_dir_all(&path)
        .and_then(|()| {
            if platform.driver.isolates_network() {
                std::os::unix::fs::chown(&path, Some(uid), Some(gid))
            } else {
                Ok(())
            }
        })
        .map_err(Error::host(format!("prepare the disk of {}", row.definition.name)))?;
    Ok(Some(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn replicas_have_host_names_of_their_own_and_what_keeps_data_keeps_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let platform = crate::testing::platform(directory.path());
        let environment = crate::testing::environment(&platform, "shop");
        let id = crate::testing::service(&platform, &environment, "web");
        let row = store::services::get(&platform.store, &id).unwrap().unwrap();
        let mut release = crate::testing::release(&platform, &id);
        let of = |release: &Release, command: Command| {
            hostname(&Run {
                row: &row,
                release,
                instance_id: &store::new_instance_id(),
                ordinal: 0,
                command,
                label: String::new(),
                with_disk: true,
                has_input: false,
            })
        };
        let names: std::collections::BTreeSet<_> =
            (0..3).map(|_| of(&release, Command::Main)).collect();
        assert_eq!(names.len(), 3, "{names:?}");
        release.service.container.volumes = vec![model::Volume {
            source: model::VolumeSource::Anonymous,
            target: "/data".to_owned(),
            is_read_only: false,
            subpath: None,
        }];
        assert_eq!(of(&release, Command::Main), "web");
        assert_ne!(of(&release, Command::Shell("migrate".to_owned())), "web", "it runs beside it");
        release.service.instances = 2;
        assert_ne!(of(&release, Command::Main), "web");
        release.service.container.hostname = Some("broker".to_owned());
        assert_eq!(of(&release, Command::Main), "broker");
    }

    #[test]
    fn every_instance_has_a_host_name_of_its_own_that_the_kernel_takes() {
        let (one, two) = (store::new_instance_id(), store::new_instance_id());
        let name = own_hostname("worker", &one);
        assert!(name.starts_with("worker-") && name.len() == 15, "{name}");
        assert_ne!(name, own_hostname("worker", &two));
        let long = own_hostname(&"long-name-".repeat(7), &one);
        assert!(long.len() <= 63 && !long.contains("--"), "{long}");
    }
}
