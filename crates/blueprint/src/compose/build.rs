//! `build`: a Dockerfile, its context and its arguments.

use model::Docker;

use crate::code::Code;

use super::node::View;
use super::paths::Location;
use super::reader::Reader;
use super::service::Build;

impl Reader<'_> {
    /// Reads `build`, short or long.
    pub(crate) fn build(&mut self, view: &View<'_>) -> Option<Build> {
        let context = match view.node.scalar() {
            Some(scalar) => Some(scalar.text.clone()),
            None => view.get("context").and_then(|context| self.text(&context)),
        };
        if view.node.list().is_some() {
            self.shape(view, "a path or a mapping");
            return None;
        }
        let written = context.unwrap_or_else(|| ".".to_owned());
        let place = view.get("context").unwrap_or_else(|| view.clone());
        if written.trim().is_empty()
            && self.blames_unset(&place, "the build context is an empty path")
        {
            return None;
        }
        let remote = remote(&written);
        let (context, repo, branch) = match remote {
            Some(remote) => (remote.directory, Some(remote.url), remote.reference),
            None => (self.inside(&place, &written, "the build context")?, None, None),
        };
        let dockerfile_inline = view.get("dockerfile_inline").and_then(|inline| self.text(&inline));
        let dockerfile = view.get("dockerfile");
        if let (Some(_), Some(dockerfile)) = (&dockerfile_inline, &dockerfile) {
            let message = "`dockerfile` and `dockerfile_inline` exclude each other".to_owned();
            self.add(Code::Conflict, &dockerfile.node.at, &dockerfile.path, message);
        }
        let dockerfile_path = match &dockerfile {
            Some(dockerfile) => self.dockerfile(dockerfile, &context)?,
            None => joined(&context, "Dockerfile"),
        };
        let docker = Docker {
            dockerfile_path,
            context,
            dockerfile_inline,
            target: view.get("target").and_then(|target| self.text(&target)),
            args: self.arguments(view),
            are_variables_args: false,
            more_contexts: self.contexts(view),
            // Read with the other small files.
            secrets: Vec::new(),
            registry_credential: None,
        };
        Some(Build { docker, repo, branch })
    }

    /// The Dockerfile's path, which is relative to the context.
    fn dockerfile(&mut self, view: &View<'_>, context: &str) -> Option<String> {
        let written = self.text(view)?;
        match self.locate_from(context, &written) {
            Location::Inside(path) => Some(path),
            Location::Outside(_) => {
                let message = "the Dockerfile lies outside the project".to_owned();
                self.add(Code::PathOutside, &view.node.at, &view.path, message)
                    .hint("it is relative to the build context");
                None
            }
        }
    }

    /// Build arguments; those without a value take the variable of their name, if there is one.
    fn arguments(&mut self, view: &View<'_>) -> Vec<(String, Option<String>)> {
        let Some(view) = view.get("args") else { return Vec::new() };
        let variables = &self.input.variables;
        self.pairs(&view)
            .into_iter()
            .map(|pair| {
                let value = pair.value.filter(|_| !pair.is_unset);
                let value = value.or_else(|| variables.get(&pair.key).cloned());
                (pair.key, value)
            })
            .collect()
    }

    fn contexts(&mut self, view: &View<'_>) -> Vec<(String, String)> {
        let Some(view) = view.get("additional_contexts") else { return Vec::new() };
        let mut contexts = Vec::new();
        for pair in self.pairs(&view) {
            let Some(value) = pair.value else { continue };
            let is_elsewhere = value.contains("://") || value.starts_with("service:");
            if is_elsewhere {
                contexts.push((pair.key, value));
            } else if let Some(path) = self.inside(&view, &value, "a build context") {
                contexts.push((pair.key, path));
            }
        }
        contexts
    }
}

/// A context in a repository elsewhere.
struct Remote {
    url: String,
    reference: Option<String>,
    directory: String,
}

/// `https://host/repository.git#branch:directory` and its kin.
fn remote(context: &str) -> Option<Remote> {
    let (url, fragment) = context.split_once('#').unwrap_or((context, ""));
    let is_git = url.starts_with("git@")
        || url.starts_with("git://")
        || url.starts_with("ssh://")
        || url.starts_with("github.com/")
        || url.starts_with("https://")
        || url.starts_with("http://");
    if !is_git {
        return None;
    }
    let (reference, directory) = fragment.split_once(':').unwrap_or((fragment, ""));
    let url =
        if url.starts_with("github.com/") { format!("https://{url}") } else { url.to_owned() };
    let directory = directory.trim_matches('/');
    Some(Remote {
        url,
        reference: (!reference.is_empty()).then(|| reference.to_owned()),
        directory: if directory.is_empty() { ".".to_owned() } else { directory.to_owned() },
    })
}

fn joined(directory: &str, file: &str) -> String {
    if directory == "." { file.to_owned() } else { format!("{directory}/{file}") }
}
