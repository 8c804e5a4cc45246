//! Artifacts of services that run from images: which image, pinned by its digest, and the files of
//! the project that are mounted into it.
//!
//! The image's layers are in the store of images, shared by all that have them. A Dockerfile's
//! image is also in the artifact itself, as an OCI layout, so that it can be had again.

use std::fs;
use std::path::{Component, Path, PathBuf};

use images::{Digest, Image, Images, Reference};
use model::{Artifact, ArtifactId, FileSource, Problem, Runtime, Service, VolumeSource};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::docker::{self, Built};
use crate::error::Error;
use crate::inputs::FORMAT_VERSION;
use crate::run::{BuildRequest, Failure, Progress, blocking, sync_later};
use crate::sources::Sources;
use crate::store::{self, Manifest};
use crate::toolchain::Toolchain;
use crate::tree;

const PINNED: &str = "image.json";
/// Files of the project, at their paths in it.
const FILES: &str = "files";
/// An image that was built here: an OCI layout, or the archive that a Docker engine made.
pub(crate) const IMAGE: &str = "image";

/// The image of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Pinned {
    /// What the author wrote; `None` for what was built here.
    reference: Option<String>,
    digest: String,
    /// Digests of images that are mounted.
    #[serde(default)]
    mounted: Vec<String>,
}

impl Pinned {
    fn of(reference: Option<String>, image: &Image) -> Self {
        Self { reference, digest: image.digest.to_string(), mounted: Vec::new() }
    }
}

/// What an instance of such an artifact is made of.
#[derive(Debug, Clone)]
pub struct Container {
    /// The image, on this machine.
    pub image: Image,
    /// Where the project's files are, at their paths in the project.
    pub files: PathBuf,
    /// Images that are mounted, on this machine, in the order of the service's volumes.
    pub mounted: Vec<Image>,
}

/// Whether a service runs from an image.
#[must_use]
pub fn is_container(service: &Service) -> bool {
    matches!(service.runtime, Runtime::Docker | Runtime::Image)
}

/// Files and directories of the project that a service's container sees, relative to its root.
#[must_use]
pub fn project_paths(service: &Service) -> Vec<String> {
    let container = &service.container;
    let volumes = container.volumes.iter().filter_map(|volume| match &volume.source {
        VolumeSource::Project(path) => Some(path),
        _ => None,
    });
    let files = container.files.iter().filter_map(|file| match &file.source {
        FileSource::Project(path) => Some(path),
        FileSource::Variable(_) => None,
    });
    let mut paths: Vec<String> = volumes.chain(files).map(|path| plain(path)).collect();
    paths.sort();
    paths.dedup();
    paths
}

/// A path without `./` and what else says nothing; empty for the project itself.
#[must_use]
pub fn plain(path: &str) -> String {
    let parts = Path::new(path).components().filter_map(|part| match part {
        Component::Normal(name) => name.to_str(),
        _ => None,
    });
    parts.collect::<Vec<_>>().join("/")
}

/// The image of an artifact with its layers. What is no longer on this machine is had again: from
/// the artifact's own layout, or from the registry.
///
/// # Errors
/// When the artifact cannot be read, or the image cannot be had.
pub async fn container(
    config: &Config,
    service: &Service,
    artifact: &Artifact,
) -> Result<Container, Error> {
    let path = Path::new(&artifact.path);
    let images = images_for(config, service)?;
    let pinned = read_pinned(path)?;
    let digest = digest(&pinned.digest)?;
    let image = match images.find(&digest).map_err(refused)? {
        Some(image) => image,
        None => match &pinned.reference {
            Some(reference) => {
                let reference = parse(reference)?;
                let credential = credential(config, service)?;
                images
                    .pull(&reference, Some(&digest), credential, &|_| {})
                    .await
                    .map_err(refused)?
            }
            None => {
                let made = path.join(IMAGE);
                let imported = if made.is_dir() {
                    images.import_layout(&made, &|_| {}).await
                } else {
                    images.import_archive(&made, &|_| {}).await
                };
                imported.map_err(refused)?
            }
        },
    };
    Ok(Container { image, files: path.join(FILES), mounted: mounted(config, service).await? })
}

/// The images that a service's container mounts.
fn mounted_images(service: &Service) -> impl Iterator<Item = &model::Image> {
    service.container.volumes.iter().filter_map(|volume| match &volume.source {
        VolumeSource::Image(image) => Some(image),
        _ => None,
    })
}

/// The same on this machine: what is not here is pulled.
async fn mounted(config: &Config, service: &Service) -> Result<Vec<Image>, Error> {
    let mut found = Vec::new();
    for image in mounted_images(service) {
        let images = images(config)?;
        let pinned = image.digest.as_deref().map(digest).transpose()?;
        let known = match &pinned {
            Some(digest) => images.find(digest).map_err(refused)?,
            None => None,
        };
        found.push(match known {
            Some(image) => image,
            None => images
                .pull(&parse(&image.url)?, pinned.as_ref(), None, &|_| {})
                .await
                .map_err(refused)?,
        });
    }
    Ok(found)
}

/// The digest that the name of a mounted image means; see [`resolve`].
///
/// # Errors
/// As [`resolve`].
pub async fn resolve_mounted(
    config: &Config,
    image: &model::Image,
    is_fresh: bool,
) -> Result<Digest, Error> {
    let images = images(config)?;
    let reference = parse(&image.url)?;
    if !is_fresh && let Some(digest) = images.known(&reference) {
        return Ok(digest);
    }
    images.resolve(&reference, None).await.map_err(refused)
}

/// Throws away images, and layers of builds, that none of these artifacts needs.
///
/// # Errors
/// When the disk refuses.
pub async fn collect_garbage(config: &Config, artifacts: &[ArtifactId]) -> Result<(), Error> {
    let Some(images) = &config.images else { return Ok(()) };
    let pinned = artifacts.iter().filter_map(|id| read_pinned(&store::path_of(config, id)).ok());
    let texts = pinned.flat_map(|pinned| pinned.mounted.into_iter().chain([pinned.digest]));
    let digests: Vec<Digest> = texts.filter_map(|text| digest(&text).ok()).collect();
    images.collect_garbage(&digests).await.map_err(refused)?;
    docker::prune(&config.docker, artifacts).await
}

/// The digest that an image's name means, as it is known here or else at its registry. `is_fresh`
/// asks the registry even where a meaning is known.
///
/// # Errors
/// When the name is none, or the registry has no answer.
pub async fn resolve(config: &Config, service: &Service, is_fresh: bool) -> Result<Digest, Error> {
    let images = images_for(config, service)?;
    let reference = reference_of(service)?;
    if !is_fresh && let Some(digest) = images.known(&reference) {
        return Ok(digest);
    }
    let credential = credential(config, service)?;
    images.resolve(&reference, credential).await.map_err(refused)
}

fn pinned_digest(service: &Service) -> Option<&str> {
    service.image.as_ref()?.digest.as_deref()
}

/// Pulls the image of a service and makes its artifact.
pub(crate) async fn pull(
    config: &Config,
    sources: &Sources,
    request: &BuildRequest,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Artifact, Failure> {
    let images = images_for(config, &request.service)?;
    let reference = reference_of(&request.service)?;
    let credential = credential(config, &request.service)?;
    let wanted = pinned_digest(&request.service).map(digest).transpose()?;
    let said = |now| progress(Progress::Image(now));
    let image = images
        .pull(&reference, wanted.as_ref(), credential, &said)
        .await
        .map_err(|error| Failure::from(refused(error)))?;
    let work = config.work_of(&request.build_id);
    let doomed = work.clone();
    blocking(move || tree::remove(&doomed)).await?;
    progress(Progress::Packing);
    let pinned = Pinned::of(Some(reference.to_string()), &image);
    Ok(finish(config, sources, request, (&work, pinned)).await?)
}

/// Makes the artifact of an image that was just built and lies in `made`.
pub(crate) async fn adopt(
    config: &Config,
    sources: &Sources,
    request: &BuildRequest,
    built: &Built,
    made: &Path,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Artifact, Failure> {
    let said = |now| progress(Progress::Image(now));
    let image = match &built.image {
        docker::Image::Layout(path) => images(config)?.import_layout(path, &said).await,
        docker::Image::Archive(path) => images(config)?.import_archive(path, &said).await,
    };
    let image = image.map_err(|error| Failure::from(refused(error)))?;
    progress(Progress::Packing);
    let pinned = Pinned::of(None, &image);
    Ok(finish(config, sources, request, (made, pinned)).await?)
}

/// Adds the project's files to a directory and makes it the artifact.
async fn finish(
    config: &Config,
    sources: &Sources,
    request: &BuildRequest,
    (made, mut pinned): (&Path, Pinned),
) -> Result<Artifact, Error> {
    let mounted = mounted(config, &request.service).await?;
    pinned.mounted = mounted.iter().map(|image| image.digest.to_string()).collect();
    take_files(sources, request, made).await?;
    let (config, request, made) = (config.clone(), request.clone(), made.to_owned());
    blocking(move || {
        let text = serde_json::to_vec_pretty(&pinned).expect("two texts are JSON");
        store::write_synced(&made.join(PINNED), &text)?;
        let totals = tree::totals(&made)?;
        let manifest = Manifest {
            format: FORMAT_VERSION,
            id: request.artifact_id,
            runtime: request.service.runtime,
            size_bytes: totals.bytes,
            files: totals.files,
            toolchain: Toolchain::default(),
        };
        store::publish(&config, &made, &manifest)
    })
    .await
    .inspect(sync_later)
}

/// Keeps what the container sees of the project, and nothing else of it.
async fn take_files(sources: &Sources, request: &BuildRequest, work: &Path) -> Result<(), Error> {
    let paths = project_paths(&request.service);
    let kept = work.join(FILES);
    fs::create_dir_all(&kept).map_err(Error::at("make", &kept))?;
    if paths.is_empty() {
        return Ok(());
    }
    let source = work.join("source");
    fs::create_dir_all(&source).map_err(Error::at("make", &source))?;
    sources.checkout(&request.project, &request.commit, &source).await?;
    blocking(move || {
        for path in &paths {
            let (from, to) = (source.join(path), kept.join(path));
            if to.exists() && !path.is_empty() {
                // Part of a directory that was taken before.
                continue;
            }
            if !is_inside(&source, &from) {
                return Err(missing(path));
            }
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent).map_err(Error::at("make", parent))?;
            }
            if from.is_dir() {
                tree::copy(&from, &to)?;
            } else {
                fs::copy(&from, &to).map_err(Error::at("copy", &from))?;
            }
        }
        tree::remove(&source)
    })
    .await
}

/// A link of the repository must not lead to the host's files.
fn is_inside(root: &Path, path: &Path) -> bool {
    match (root.canonicalize(), path.canonicalize()) {
        (Ok(root), Ok(path)) => path.starts_with(root),
        _ => false,
    }
}

fn missing(path: &str) -> Error {
    Error::Refused(
        Problem::new("project-file-missing", format!("{path} is not in the project's source"))
            .hint("commit it, or write the path as it is from the project's root; what `.gitignore` excludes is not seen"),
    )
}

fn images(config: &Config) -> Result<&Images, Error> {
    config.images.as_ref().ok_or_else(|| {
        Error::Refused(
            Problem::new("image-needs-root", "images can be run by root only")
                .hint("start Gable as root: `sudo gable up`"),
        )
    })
}

/// The store of images, for the platform that the file asks for where it asks for one.
fn images_for(config: &Config, service: &Service) -> Result<Images, Error> {
    let images = images(config)?;
    match service.image.as_ref().and_then(|image| image.platform.as_deref()) {
        Some(platform) => Ok(images.for_platform(platform.parse().map_err(refused)?)),
        None => Ok(images.clone()),
    }
}

fn reference_of(service: &Service) -> Result<Reference, Error> {
    parse(service.image.as_ref().map_or("", |image| image.url.as_str()))
}

fn parse(text: &str) -> Result<Reference, Error> {
    text.parse().map_err(refused)
}

fn digest(text: &str) -> Result<Digest, Error> {
    text.parse().map_err(refused)
}

fn credential<'a>(
    config: &'a Config,
    service: &Service,
) -> Result<Option<&'a images::Credential>, Error> {
    let name = service
        .image
        .as_ref()
        .and_then(|image| image.registry_credential.as_deref())
        .or_else(|| service.docker.as_ref()?.registry_credential.as_deref());
    let Some(name) = name else { return Ok(None) };
    match config.registries.credential(name) {
        Some(credential) => Ok(Some(credential)),
        None => Err(Error::Refused(
            Problem::new(
                "registry-credential-missing",
                format!(
                    "{} names the registry credential {name}, which nobody has given",
                    service.name
                ),
            )
            .hint("add it under `credentials` in `registries.json` in the state directory; `gable explain registries-malformed` shows an example"),
        )),
    }
}

fn refused(error: images::Error) -> Error {
    Error::Refused(error.problem())
}

fn read_pinned(artifact: &Path) -> Result<Pinned, Error> {
    let path = artifact.join(PINNED);
    let text = fs::read(&path).map_err(Error::at("read", &path))?;
    serde_json::from_slice(&text).map_err(|error| Error::at("read", &path)(error.into()))
}
