//! From a release of an image to what the engine is asked to run: the rules of container runtimes
//! for entrypoints, commands, users, variables and volumes.

use std::path::{Path, PathBuf};

use build::Container;
use engine::{ContainerSpec, Limits, Mount, PlacedFile, Root, User};
use images::{Identity, ImageConfig};
use model::{Disk, FileSource, Problem, Service, Volume, VolumeSource};

use crate::error::Error;

/// Where container runtimes look for programs when an image does not say.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What a service's program is started by, when a command of text is to run in its image.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// What is run.
#[derive(Debug, Clone)]
pub(crate) enum Command {
    /// What the service declares as its program.
    Main,
    /// Shell text: a pre-deploy command, a hook.
    Shell(String),
    /// Program and arguments that a person gave.
    Words(Vec<String>),
}

/// Where the bytes of volumes are.
pub(super) struct Places {
    /// Of the environment: volumes by name.
    pub(super) named: PathBuf,
    /// Of the service: volumes without a name.
    pub(super) anonymous: PathBuf,
    /// Of the service: its disk, if it has one and this instance sees it.
    pub(super) disk: Option<PathBuf>,
    /// Which of the service's instances it is, from 0.
    pub(super) ordinal: u32,
}

/// The parts of an instance's specification that follow from its image.
pub(super) struct Parts {
    pub(super) root: Root,
    pub(super) user: User,
    pub(super) command: Vec<String>,
    pub(super) cwd: PathBuf,
    pub(super) env: Vec<(String, String)>,
    pub(super) mounts: Vec<Mount>,
    pub(super) files: Vec<PlacedFile>,
    pub(super) container: ContainerSpec,
}

/// Puts the parts together. `declared` are the release's variables.
pub(super) fn parts(
    service: &Service,
    container: &Container,
    command: &Command,
    declared: Vec<(String, String)>,
    places: &Places,
) -> Result<Parts, Error> {
    let image = &container.image;
    let asked = &service.container;
    let identity = identity(service, container)?;
    let (files, declared) = files(service, declared);
    let mut mounts = volumes(service, &image.config, container, places);
    mounts.extend(project_files(service, container));
    Ok(Parts {
        root: Root::Layers(image.layers.clone()),
        command: command_of(service, &image.config, command)?,
        cwd: asked.working_dir.as_ref().unwrap_or(&image.config.working_dir).into(),
        env: env(&image.config, &identity, declared),
        user: User {
            uid: identity.uid,
            gid: identity.gid,
            groups: identity.groups,
            name: identity.name,
            home: identity.home,
        },
        mounts,
        files,
        container: ContainerSpec {
            cap_add: asked.cap_add.clone(),
            cap_drop: asked.cap_drop.clone(),
            stop_signal: asked.stop_signal.clone().or_else(|| image.config.stop_signal.clone()),
            ulimits: asked.ulimits.clone(),
            sysctls: asked.sysctls.clone(),
            shm_bytes: asked.shm_bytes,
            is_read_only: asked.is_read_only,
            is_first_process: false,
            extra_hosts: asked.extra_hosts.clone(),
        },
    })
}

/// Who the processes of a service's container run as.
pub(super) fn identity(service: &Service, container: &Container) -> Result<Identity, Error> {
    let asked = &service.container;
    let found = container.image.identity(asked.user.as_deref(), &asked.groups);
    found.map_err(|error| error.problem().into())
}

/// The limits that a container asks for on top of its size.
pub(super) fn limits(service: &Service, limits: Limits) -> Limits {
    Limits { pids: service.container.pids.or(limits.pids), ..limits }
}

/// Entrypoint and command. An entrypoint of one's own drops the image's command, as everywhere.
fn command_of(
    service: &Service,
    image: &ImageConfig,
    command: &Command,
) -> Result<Vec<String>, Error> {
    let asked = &service.container;
    let words = match command {
        Command::Shell(text) => {
            return Ok(SHELL.iter().map(|word| (*word).to_owned()).chain([text.clone()]).collect());
        }
        Command::Words(words) => words.clone(),
        Command::Main => {
            let entrypoint = asked.entrypoint.as_ref().unwrap_or(&image.entrypoint);
            let command = match (&asked.command, &asked.entrypoint) {
                (Some(command), _) => command.as_slice(),
                (None, Some(_)) => &[],
                (None, None) => &image.command,
            };
            entrypoint.iter().chain(command).cloned().collect()
        }
    };
    if words.is_empty() {
        let message =
            format!("the image of {} says nothing to run, nor does the file", service.name);
        return Err(Problem::new("image-without-command", message)
            .hint("give a command: `dockerCommand` in a Blueprint, `command` in a compose file")
            .into());
    }
    Ok(words)
}

/// The image's variables under the declared ones.
fn env(
    image: &ImageConfig,
    identity: &Identity,
    declared: Vec<(String, String)>,
) -> Vec<(String, String)> {
    let mut env = vec![
        ("PATH".to_owned(), USUAL_PATH.to_owned()),
        ("HOME".to_owned(), identity.home.display().to_string()),
    ];
    for (key, value) in image.env.iter().cloned().chain(declared) {
        env.retain(|(known, _)| *known != key);
        env.push((key, value));
    }
    env
}

/// Files whose text is a variable's, and the variables that are left.
fn files(
    service: &Service,
    mut declared: Vec<(String, String)>,
) -> (Vec<PlacedFile>, Vec<(String, String)>) {
    let mut files = Vec::new();
    let mut taken = Vec::new();
    for file in &service.container.files {
        let FileSource::Variable(key) = &file.source else { continue };
        let text = declared.iter().rev().find(|(known, _)| known == key);
        let text = text.map(|(_, value)| value.clone()).unwrap_or_default();
        taken.push(key.clone());
        files.push(PlacedFile { target: PathBuf::from(&file.target), text, mode: file.mode });
    }
    // What its build was given is none of its business.
    let of_build = service.docker.iter().flat_map(|docker| &docker.secrets);
    taken.extend(of_build.filter_map(|secret| match &secret.source {
        FileSource::Variable(key) => Some(key.clone()),
        FileSource::Project(_) => None,
    }));
    declared.retain(|(key, _)| !taken.contains(key));
    (files, declared)
}

fn project_files(service: &Service, container: &Container) -> Vec<Mount> {
    let files = service.container.files.iter().filter_map(|file| match &file.source {
        FileSource::Project(path) => Some(Mount::Bind {
            source: container.files.join(build::container::plain(path)),
            target: PathBuf::from(&file.target),
            read_only: true,
        }),
        FileSource::Variable(_) => None,
    });
    files.collect()
}

/// Volumes that the file names, those that the image names, and the disk.
fn volumes(
    service: &Service,
    image: &ImageConfig,
    container: &Container,
    places: &Places,
) -> Vec<Mount> {
    let declared = &service.container.volumes;
    let mut mounts: Vec<Mount> =
        declared.iter().filter_map(|volume| mount(volume, container, places)).collect();
    let images = declared.iter().filter(|volume| matches!(volume.source, VolumeSource::Image(_)));
    mounts.extend(images.zip(&container.mounted).map(|(volume, image)| Mount::Image {
        layers: image.layers.clone(),
        subpath: volume.subpath.as_ref().map(PathBuf::from),
        target: PathBuf::from(&volume.target),
    }));
    if let (Some(source), Some(disk)) = (&places.disk, &service.disk) {
        mounts.push(Mount::Bind {
            source: source.clone(),
            target: PathBuf::from(&disk.mount_path),
            read_only: false,
        });
    }
    for target in unnamed(service, image) {
        mounts.push(Mount::Volume {
            source: places.anonymous.join(directory_name(&target)),
            target: PathBuf::from(target),
            read_only: false,
        });
    }
    // What lies inside another mount has to come after it.
    mounts.sort_by_key(|mount| mount.target().components().count());
    mounts
}

/// Volumes of the image that nothing of the file's covers: they are kept for the service.
pub(super) fn unnamed(service: &Service, image: &ImageConfig) -> Vec<String> {
    let is_covered = |target: &str| {
        let target = Path::new(target);
        let is_disk = |disk: &Disk| target.starts_with(&disk.mount_path);
        service.container.volumes.iter().any(|volume| target.starts_with(&volume.target))
            || service.disk.as_ref().is_some_and(is_disk)
    };
    image.volumes.iter().filter(|target| !is_covered(target)).cloned().collect()
}

/// A mount of anything but an image.
fn mount(volume: &Volume, container: &Container, places: &Places) -> Option<Mount> {
    let target = PathBuf::from(&volume.target);
    let read_only = volume.is_read_only;
    Some(match &volume.source {
        VolumeSource::Image(_) => return None,
        VolumeSource::Named(name) => kept(volume, places.named.join(directory_name(name))),
        VolumeSource::PerReplica(name) => {
            kept(volume, places.named.join(replica_directory(name, places.ordinal)))
        }
        VolumeSource::Anonymous => Mount::Volume {
            source: places.anonymous.join(directory_name(&volume.target)),
            target,
            read_only,
        },
        VolumeSource::Host(path) => Mount::Bind { source: PathBuf::from(path), target, read_only },
        VolumeSource::Tmpfs { size_bytes } => Mount::Tmpfs { target, size_bytes: *size_bytes },
        VolumeSource::Project(path) => {
            let source = container.files.join(build::container::plain(path));
            if read_only || !source.is_dir() {
                Mount::Bind { source, target, read_only: true }
            } else {
                Mount::Overlay { lower: source, target }
            }
        }
    })
}

/// A volume that is kept, or the part of it that is asked for.
fn kept(volume: &Volume, whole: PathBuf) -> Mount {
    let (target, read_only) = (PathBuf::from(&volume.target), volume.is_read_only);
    match &volume.subpath {
        Some(subpath) => {
            Mount::Part { volume: whole, subpath: PathBuf::from(subpath), target, read_only }
        }
        None => Mount::Volume { source: whole, target, read_only },
    }
}

/// Where a replica, counted from 0, has its own volume of this name.
fn replica_directory(name: &str, ordinal: u32) -> String {
    directory_name(&format!("{name}-{}", ordinal + 1))
}

/// A directory's name for any text: what can be read of it, and what tells it from all others.
pub(super) fn directory_name(text: &str) -> String {
    use sha2::{Digest as _, Sha256};
    let digest = Sha256::digest(text.as_bytes());
    let tag: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{tag}", store::slug::slug(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::definition;

    fn image() -> ImageConfig {
        ImageConfig {
            entrypoint: vec!["/entry".to_owned()],
            command: vec!["serve".to_owned()],
            env: vec![("A".to_owned(), "image".to_owned()), ("B".to_owned(), "image".to_owned())],
            user: String::new(),
            working_dir: "/".to_owned(),
            exposed_ports: Vec::new(),
            volumes: vec!["/data/db".to_owned(), "/cache".to_owned()],
            stop_signal: None,
            health_check: None,
            labels: std::collections::BTreeMap::new(),
        }
    }

    fn words(text: &str) -> Option<Vec<String>> {
        Some(text.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn an_entrypoint_of_ones_own_drops_the_images_command() {
        let mut service = definition("web");
        let run =
            |service: &Service| command_of(service, &image(), &Command::Main).unwrap().join(" ");
        assert_eq!(run(&service), "/entry serve");
        service.container.command = words("work --hard");
        assert_eq!(run(&service), "/entry work --hard");
        service.container.entrypoint = words("/mine");
        assert_eq!(run(&service), "/mine work --hard");
        service.container.command = None;
        assert_eq!(run(&service), "/mine");
        service.container.entrypoint = Some(Vec::new());
        let error = command_of(&service, &image(), &Command::Main).unwrap_err();
        assert_eq!(error.problem().code, "image-without-command");
    }

    #[test]
    fn declared_variables_win_over_the_images() {
        let identity = Identity {
            uid: 0,
            gid: 0,
            groups: Vec::new(),
            name: "root".to_owned(),
            home: "/root".into(),
        };
        let env = env(&image(), &identity, vec![("B".to_owned(), "mine".to_owned())]);
        let value = |key: &str| env.iter().find(|(name, _)| name == key).map(|(_, value)| &**value);
        assert_eq!(value("A"), Some("image"));
        assert_eq!(value("B"), Some("mine"));
        assert_eq!(value("HOME"), Some("/root"));
        assert_eq!(env.len(), 4);
    }

    #[test]
    fn volumes_of_the_image_are_kept_unless_the_file_covers_them() {
        let mut service = definition("db");
        service.container.volumes = vec![Volume {
            source: VolumeSource::Named("data".to_owned()),
            target: "/data".to_owned(),
            is_read_only: false,
            subpath: None,
        }];
        assert_eq!(unnamed(&service, &image()), ["/cache"]);
    }

    #[test]
    fn each_replica_has_a_volume_of_its_own_and_keeps_it() {
        assert_eq!(replica_directory("data", 0), replica_directory("data", 0));
        assert_ne!(replica_directory("data", 0), replica_directory("data", 1));
        assert!(replica_directory("data", 1).starts_with("data-2-"));
    }
}
