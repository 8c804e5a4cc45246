//! Which source each service is built from: what is checked out, another branch of the same
//! repository, or another repository.

use std::collections::BTreeMap;
use std::path::Path;

use blueprint::Blueprint;
use model::Commit;

use super::{Request, Source};
use crate::error::Error;
use crate::platform::Platform;

/// The repository that the files lie in.
pub(super) struct Own<'a> {
    path: &'a Path,
    /// Whether services may name branches of it.
    has_branches: bool,
    /// The directory of it that is the source, where that is not all of it.
    directory: Option<&'a str>,
}

impl<'a> Own<'a> {
    pub(super) fn of(
        path: &'a Path,
        request: &Request,
        snapshot: &'a build::Snapshot,
        source: &Source,
    ) -> Self {
        let is_part = source.commit.id != snapshot.commit.id;
        Self {
            path,
            // A commit that a person names is meant for everything.
            has_branches: snapshot.is_repository && request.commit.is_none(),
            directory: is_part.then_some(snapshot.sub_path.as_str()),
        }
    }
}

/// The branch that a service names, where that is another than what is checked out.
async fn own_branch(
    platform: &Platform,
    (project, own): (&str, &Own<'_>),
    service: &model::Service,
    source: &mut Source,
) -> Result<Option<Commit>, Error> {
    let checked_out = source.commit.branch.as_str();
    let branch = service.branch.as_deref().filter(|branch| *branch != checked_out);
    let Some(branch) = branch.filter(|_| own.has_branches) else { return Ok(None) };
    let name = &service.name;
    let Some(taken) = platform.sources.branch(project, own.path, branch).await? else {
        let note = format!(
            "{name}: this repository has no branch `{branch}`, so what is checked out is built"
        );
        source.notes.push(note);
        return Ok(None);
    };
    source
        .notes
        .push(format!("{name} is built from its branch `{branch}`, not from what is checked out"));
    Ok(Some(match own.directory {
        Some(directory) => platform.sources.part(project, &taken.commit, directory).await?,
        None => taken.commit,
    }))
}

/// Fetches what services take from elsewhere. A `repo` that is this very repository means the
/// working tree, or the branch that is named with it; so does one that cannot be told from it by its
/// name.
pub(super) async fn other_sources(
    platform: &Platform,
    (project, own): (&str, &Own<'_>),
    blueprint: Option<&Blueprint>,
    source: &mut Source,
) -> Result<BTreeMap<String, Commit>, Error> {
    let mut others = BTreeMap::new();
    let services = blueprint.into_iter().flat_map(Blueprint::services);
    for service in services {
        let Some(repo) = &service.repo else {
            if let Some(commit) = own_branch(platform, (project, own), service, source).await? {
                others.insert(service.name.clone(), commit);
            }
            continue;
        };
        let is_this = match &source.origin {
            Some(origin) => {
                build::sources::names_same_repository(repo, origin)
                    || last_part(repo) == last_part(origin)
            }
            None => true,
        };
        if is_this {
            let note = format!("{}: `repo` is taken to be this directory", service.name);
            if source
                .origin
                .as_ref()
                .is_none_or(|origin| !build::sources::names_same_repository(repo, origin))
            {
                source.notes.push(note);
            }
            if let Some(commit) = own_branch(platform, (project, own), service, source).await? {
                others.insert(service.name.clone(), commit);
            }
            continue;
        }
        let branch = service.branch.as_deref();
        let commit = platform.sources.fetch_remote(project, repo, branch).await?;
        others.insert(service.name.clone(), commit);
    }
    Ok(others)
}

/// `name` of `https://host/owner/name.git`.
fn last_part(url: &str) -> &str {
    let url = url.trim_end_matches('/').trim_end_matches(".git");
    url.rsplit(['/', ':']).next().unwrap_or(url)
}
