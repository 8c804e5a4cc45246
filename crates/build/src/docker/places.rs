//! Where a service's Dockerfile and context lie in the source.
//!
//! Both are meant relative to the root directory. Real Blueprints as often write them relative to
//! the repository, so that is looked at next; which was taken is said in the build's log.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};

use model::{Docker, Problem, Service};

/// How many names are looked at for a suggestion.
const MAX_NAMES: usize = 20_000;
/// How many suggestions are made.
const MAX_SUGGESTIONS: usize = 3;
/// Directories that hold no Dockerfile of the author's.
const SKIPPED: &[&str] = &[".git", "node_modules", ".venv", "target", "vendor"];

/// The places of one build, all inside the checkout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    /// `None` where the declaration holds the text itself.
    pub(crate) dockerfile: Option<PathBuf>,
    /// As it is shown: relative to the repository.
    pub(crate) dockerfile_name: String,
    /// The build context.
    pub(crate) context: PathBuf,
    /// What was understood in another way than it is written.
    pub(crate) notes: Vec<String>,
}

/// The settings of a service, or what Render assumes where there are none.
pub(crate) fn settings_of(service: &Service) -> Docker {
    service.docker.clone().unwrap_or(Docker {
        dockerfile_path: "./Dockerfile".to_owned(),
        context: ".".to_owned(),
        dockerfile_inline: None,
        target: None,
        args: Vec::new(),
        are_variables_args: true,
        more_contexts: Vec::new(),
        secrets: Vec::new(),
        registry_credential: None,
    })
}

/// Where the Dockerfile may be, relative to the repository, in the order in which to look.
pub(crate) fn candidates(service: &Service) -> Vec<String> {
    let docker = settings_of(service);
    let path = if docker.dockerfile_path.trim_matches(['/', '.']).is_empty() {
        "Dockerfile"
    } else {
        &docker.dockerfile_path
    };
    let mut found: Vec<String> = Vec::new();
    let context = join(&service.root_dir, &docker.context);
    let bases = [Some(service.root_dir.as_str()), Some(""), context.as_deref()];
    for base in bases.into_iter().flatten() {
        let Some(path) = join(base, path) else { continue };
        for path in [path.clone(), format!("{path}/Dockerfile")] {
            if !found.contains(&path) {
                found.push(path);
            }
        }
    }
    // A path that names a directory means the file in it, wherever one of the paths is a file.
    found.sort_by_key(|path| {
        path.ends_with("/Dockerfile") && !docker.dockerfile_path.contains("Dockerfile")
    });
    found
}

/// `path` below `base`, both relative to the repository, without `.` and `..`; `None` if it leads
/// out of it.
pub(crate) fn join(base: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in base.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Finds both in a checkout.
pub(crate) fn find(service: &Service, checkout: &Path) -> Result<Places, Problem> {
    let checkout = checkout.canonicalize().map_err(|error| {
        Problem::new("host-refused", "failed to read the checkout").detail(error.to_string())
    })?;
    let docker = settings_of(service);
    let mut notes = Vec::new();
    let context = context(service, &docker.context, &checkout, &mut notes)?;
    if docker.dockerfile_inline.is_some() {
        let dockerfile_name = "Dockerfile".to_owned();
        return Ok(Places { dockerfile: None, dockerfile_name, context, notes });
    }
    let candidates = candidates(service);
    for candidate in &candidates {
        let Some(path) = inside(&checkout, candidate).filter(|path| path.is_file()) else {
            continue;
        };
        if candidates.first() != Some(candidate) {
            notes.push(format!("`{}` is `{candidate}` in the repository", docker.dockerfile_path));
        }
        let dockerfile_name = candidate.clone();
        return Ok(Places { dockerfile: Some(path), dockerfile_name, context, notes });
    }
    Err(missing_dockerfile(service, &docker, &checkout, candidates.first()))
}

fn context(
    service: &Service,
    written: &str,
    checkout: &Path,
    notes: &mut Vec<String>,
) -> Result<PathBuf, Problem> {
    let wanted = join(&service.root_dir, written);
    let found = wanted.as_deref().and_then(|path| inside(checkout, path));
    if let Some(path) = found.filter(|path| path.is_dir()) {
        return Ok(path);
    }
    let other = join("", written).and_then(|path| inside(checkout, &path));
    if let Some(path) = other.filter(|path| path.is_dir()) {
        notes.push(format!("the build context `{written}` is taken from the repository's root"));
        return Ok(path);
    }
    let name = &service.name;
    let problem = match wanted {
        Some(path) => Problem::new(
            "docker-context-missing",
            format!("the build context of {name}, `{path}`, is no directory of the repository"),
        ),
        None => Problem::new(
            "docker-context-missing",
            format!("the build context of {name}, `{written}`, lies outside the repository"),
        ),
    };
    Err(problem.hint(
        "correct `dockerContext:` (`build.context` in a compose file); it is relative to the root \
         directory of the service",
    ))
}

/// The path behind all links, if it is there and inside the checkout.
pub(crate) fn inside(checkout: &Path, path: &str) -> Option<PathBuf> {
    checkout.join(path).canonicalize().ok().filter(|path| path.starts_with(checkout))
}

fn missing_dockerfile(
    service: &Service,
    docker: &Docker,
    checkout: &Path,
    wanted: Option<&String>,
) -> Problem {
    let wanted = wanted.map_or(docker.dockerfile_path.as_str(), String::as_str);
    let problem = Problem::new(
        "dockerfile-missing",
        format!("the Dockerfile of {}, `{wanted}`, is not in the repository", service.name),
    );
    let found = dockerfiles(checkout, wanted);
    if found.is_empty() {
        return problem
            .hint("add one and commit it, or choose another runtime; `.gitignore` may name it");
    }
    let list: Vec<String> = found.iter().map(|path| format!("`{path}`")).collect();
    problem.detail(format!("there is {}", list.join(", "))).hint(format!(
        "did you mean {}? `dockerfilePath:` is relative to the root directory of the service",
        list[0]
    ))
}

/// Dockerfiles of the repository, the likeliest first.
fn dockerfiles(checkout: &Path, wanted: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut waiting = VecDeque::from([PathBuf::new()]);
    let mut seen = 0;
    while let Some(directory) = waiting.pop_front() {
        let Ok(entries) = fs::read_dir(checkout.join(&directory)) else { continue };
        for entry in entries.flatten() {
            seen += 1;
            let Ok(kind) = entry.file_type() else { continue };
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = directory.join(&name);
            if kind.is_dir() && !SKIPPED.contains(&name.as_str()) {
                waiting.push_back(path);
            } else if kind.is_file()
                && name.to_ascii_lowercase().contains("dockerfile")
                && !name.ends_with(".dockerignore")
            {
                found.push(path.to_string_lossy().into_owned());
            }
        }
        if seen > MAX_NAMES {
            break;
        }
    }
    let wanted_name = wanted.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    found.sort_by_key(|path| {
        let lower = path.to_ascii_lowercase();
        let name = lower.rsplit('/').next().unwrap_or_default();
        (lower != wanted.to_ascii_lowercase(), name != wanted_name, path.len(), path.clone())
    });
    found.truncate(MAX_SUGGESTIONS);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside_the_repository() {
        assert_eq!(join("apps/api", "../web/./Dockerfile").as_deref(), Some("apps/web/Dockerfile"));
        assert_eq!(join("./a/", "/").as_deref(), Some("a"));
        assert_eq!(join("a", "../../x"), None);
    }

    #[test]
    fn links_out_of_the_checkout_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let checkout = dir.path().canonicalize().unwrap();
        std::os::unix::fs::symlink("/etc", checkout.join("out")).unwrap();
        fs::create_dir(checkout.join("in")).unwrap();
        std::os::unix::fs::symlink("in", checkout.join("again")).unwrap();
        assert_eq!(inside(&checkout, "out"), None);
        assert_eq!(inside(&checkout, "again"), Some(checkout.join("in")));
    }
}
