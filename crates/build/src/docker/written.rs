//! Files that a build's call names: the Dockerfile in the builder's own words, what it copies from
//! here-documents, what is left out of the context, and more contexts.

use std::fs;
use std::path::{Path, PathBuf};

use model::Problem;

use crate::error::Error;

use super::scope::Origin;
use super::{DockerBuild, Prepared, dialect, parents, places};

/// Files that a build's call names.
pub(super) struct Written {
    pub(super) dockerfile: PathBuf,
    pub(super) ignore_file: Option<PathBuf>,
    pub(super) documents: Option<PathBuf>,
    pub(super) more_contexts: Vec<(String, String)>,
}

impl Written {
    /// Writes them. `images` are environments of images, by name.
    pub(super) fn write(
        build: &DockerBuild<'_>,
        prepared: &Prepared,
        work: &Path,
        images: &[(String, Vec<(String, String)>)],
    ) -> Result<Self, Error> {
        let origin = Origin { args: &prepared.args, images };
        let dialect = build.builder.dialect();
        let translated = dialect::translate(&prepared.text, &prepared.file, dialect, &origin)
            .map_err(Error::Refused)?;
        let dockerfile = work.join("Dockerfile");
        fs::write(&dockerfile, &translated.text).map_err(Error::at("write", &dockerfile))?;
        let mut documents = None;
        for (name, text) in &translated.files {
            let root = work.join("here-documents");
            let path = root.join(name);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(Error::at("make", parent))?;
            }
            fs::write(&path, text).map_err(Error::at("write", &path))?;
            documents = Some(root);
        }
        let ignore_file = ignore_file(build.checkout, prepared, work)?;
        for parents in &translated.parents {
            let root = work.join("here-documents");
            let target = root.join(parents::directory(parents.line));
            let ignored = match &ignore_file {
                Some(path) => fs::read_to_string(path).map_err(Error::at("read", path))?,
                None => String::new(),
            };
            parents::lay_out(parents, &prepared.places.context, &ignored, &target)?;
            documents = Some(root);
        }
        let more_contexts = more_contexts(build)?;
        Ok(Self { dockerfile, ignore_file, documents, more_contexts })
    }
}

/// `Dockerfile.dockerignore` beside the Dockerfile, else `.dockerignore` of the context: what Docker
/// reads, and not the other names that buildah knows.
fn ignore_file(
    checkout: &Path,
    prepared: &Prepared,
    work: &Path,
) -> Result<Option<PathBuf>, Error> {
    let checkout = checkout.canonicalize().map_err(Error::at("read", checkout))?;
    let beside = prepared.places.dockerfile.as_ref().map(|path| {
        let mut name = path.clone().into_os_string();
        name.push(".dockerignore");
        PathBuf::from(name)
    });
    let of_context = prepared.places.context.join(".dockerignore");
    let found = [beside, Some(of_context)].into_iter().flatten().find_map(|path| {
        let path = path.canonicalize().ok()?;
        (path.is_file() && path.starts_with(&checkout)).then_some(path)
    });
    if found.is_some() || !prepared.places.context.join(".containerignore").exists() {
        return Ok(found);
    }
    let empty = work.join("empty.dockerignore");
    fs::write(&empty, "").map_err(Error::at("write", &empty))?;
    Ok(Some(empty))
}

/// Contexts by name. A directory must be one of the source; an image is fetched as base images are.
pub(super) fn more_contexts(build: &DockerBuild<'_>) -> Result<Vec<(String, String)>, Error> {
    let checkout = build.checkout.canonicalize().map_err(Error::at("read", build.checkout))?;
    let docker = places::settings_of(build.service);
    let mut contexts = Vec::new();
    for (name, place) in &docker.more_contexts {
        let image = place.strip_prefix("docker-image://");
        if let Some(image) = image.filter(|image| !image.contains("://")) {
            contexts.push((name.clone(), format!("docker://{image}")));
            continue;
        }
        let directory = places::join("", place).and_then(|path| places::inside(&checkout, &path));
        let Some(directory) = directory.filter(|path| path.is_dir()) else {
            let message =
                format!("the build context `{name}`, `{place}`, is not in the repository");
            let problem = Problem::new("docker-context-missing", message);
            return Err(Error::Refused(problem.hint(
                "name a directory of the repository, or an image as `docker-image://name:tag`",
            )));
        };
        contexts.push((name.clone(), directory.to_string_lossy().into_owned()));
    }
    Ok(contexts)
}
