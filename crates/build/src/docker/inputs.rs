//! What an image depends on: the source, the settings, and the arguments that its Dockerfile asks
//! for. Neither the service's name nor its user is among them, so services that share a Dockerfile
//! share its image.

use std::collections::BTreeSet;

use model::{Commit, Docker, Runtime, Service};

use crate::container;
use crate::error::Error;
use crate::inputs::Inputs;
use crate::sources::Sources;

use super::file;
use super::places;

/// Arguments that Docker knows without their being declared.
const PREDEFINED: &[&str] = &["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

/// The arguments of a build with their values, sorted: those that the Dockerfile declares, from
/// the declaration's own list or else from the variables.
#[must_use]
pub fn build_args(
    service: &Service,
    env: &[(String, String)],
    declared: &BTreeSet<String>,
) -> Vec<(String, String)> {
    let docker = places::settings_of(service);
    let of_env =
        |name: &str| env.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let mut args: Vec<(String, String)> = Vec::new();
    for (name, value) in &docker.args {
        let is_known =
            declared.contains(name) || PREDEFINED.contains(&name.to_ascii_uppercase().as_str());
        let value = value.clone().or_else(|| of_env(name));
        if let Some(value) = value.filter(|_| is_known) {
            args.retain(|(known, _)| known != name);
            args.push((name.clone(), value));
        }
    }
    if docker.are_variables_args {
        for name in declared {
            if let Some(value) = of_env(name)
                && !args.iter().any(|(known, _)| known == name)
            {
                args.push((name.clone(), value));
            }
        }
    }
    args.sort();
    args
}

/// Everything that goes into an image, for [`crate::artifact_id`]. `tree` names the files that
/// concern the service, as for every other build.
///
/// A Dockerfile that is not there has no arguments; the build then says that it is missing.
///
/// # Errors
/// When the source cannot be read.
pub async fn inputs(
    sources: &Sources,
    project: &str,
    commit: &Commit,
    tree: String,
    declaration: (&Service, &[(String, String)]),
) -> Result<Inputs, Error> {
    let (service, env) = declaration;
    let docker = places::settings_of(service);
    let candidates = places::candidates(service);
    let text = match &docker.dockerfile_inline {
        Some(text) => text.clone(),
        None => {
            let mut found = sources.read_files(project, &commit.id, &candidates).await?;
            let bytes = candidates.iter().find_map(|path| found.remove(path));
            String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
        }
    };
    let args = build_args(service, env, &file::declared_args(&text));
    Ok(of(service, tree, docker, args))
}

fn of(service: &Service, tree: String, docker: Docker, args: Vec<(String, String)>) -> Inputs {
    let join =
        |path: &str| places::join(&service.root_dir, path).unwrap_or_else(|| path.to_owned());
    let docker = Docker {
        dockerfile_path: match docker.dockerfile_inline {
            Some(_) => String::new(),
            None => join(&docker.dockerfile_path),
        },
        context: join(&docker.context),
        // What they come to is among the variables.
        args: Vec::new(),
        are_variables_args: false,
        registry_credential: None,
        ..docker
    };
    Inputs {
        runtime: Runtime::Docker,
        tree,
        history: String::new(),
        root_dir: String::new(),
        // What the artifact holds besides the image.
        build_command: container::project_paths(service).join("\n"),
        env: args,
        toolchain: Vec::new(),
        image: String::new(),
        owner_uid: 0,
        docker: Some(docker),
    }
}
