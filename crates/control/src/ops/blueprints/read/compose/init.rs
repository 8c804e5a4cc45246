//! The files that fill new databases, in the order of their names, as the images run them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use blueprint::Blueprint;

use super::{Place, disk};
use crate::error::Error;
use crate::init_files::Raw;
use crate::platform::Platform;

/// Endings that the image runs, and a managed database does not.
const NOT_RUN: &[&str] = &[".sql.xz", ".sql.zst"];

/// By database: its files.
pub(super) async fn files(
    platform: &Platform,
    place: &Place<'_>,
    blueprint: &Blueprint,
    listing: &[String],
    notes: &mut Vec<String>,
) -> Result<BTreeMap<String, Vec<Raw>>, Error> {
    let mut all = BTreeMap::new();
    for (name, settings) in blueprint.scopes.iter().flat_map(|scope| &scope.database_settings) {
        let declared = settings.compose.iter().flat_map(|origin| &origin.init_files);
        let mut files = Vec::new();
        for path in declared {
            let path = build::container::plain(path);
            files.extend(of(platform, place, &path, listing).await?);
        }
        let odd = files.iter().filter(|file| NOT_RUN.iter().any(|it| file.name.ends_with(it)));
        notes.extend(odd.map(|file| {
            format!("{name}: the init file {} is not run: unpack it, or run the image (`x-gable: {{managed: false}}`)", file.name)
        }));
        all.insert(name.clone(), files);
    }
    Ok(all)
}

/// A file, or what a directory holds; from the working tree where git does not know it.
async fn of(
    platform: &Platform,
    place: &Place<'_>,
    path: &str,
    listing: &[String],
) -> Result<Vec<Raw>, Error> {
    let known: Vec<(String, String)> = listing
        .iter()
        .filter_map(|file| Some((file.clone(), name_below(path, file)?.to_owned())))
        .collect();
    if known.is_empty() {
        let tree = place.tree.as_deref();
        return Ok(tree.map(|tree| disk::init_files(tree, path)).unwrap_or_default());
    }
    let paths: Vec<String> = known.iter().map(|(file, _)| file.clone()).collect();
    let (project, commit_id) = (place.project, place.commit_id);
    let mut bytes = platform.sources.read_files(project, commit_id, &paths).await?;
    let is_script = |(file, _): &(String, String)| file.ends_with(".sh");
    let executable: BTreeSet<String> = match known.iter().any(is_script) {
        true => platform.sources.executable_files(project, commit_id).await?,
        false => BTreeSet::new(),
    };
    let raw = |(file, name): (String, String)| {
        let bytes = bytes.remove(&file)?;
        Some(Raw { name, bytes, is_executable: executable.contains(&file) })
    };
    Ok(known.into_iter().filter_map(raw).collect())
}

/// What a file is called in the folder that `path` is mounted as: its own name if it is `path`
/// itself, or its path below it.
fn name_below<'f>(path: &str, file: &'f str) -> Option<&'f str> {
    if file == path {
        return Path::new(file).file_name()?.to_str();
    }
    if path.is_empty() {
        return Some(file);
    }
    file.strip_prefix(path)?.strip_prefix('/')
}

#[cfg(test)]
mod tests {
    use super::name_below;

    #[test]
    fn files_are_called_as_in_the_folder_that_they_are_mounted_as() {
        assert_eq!(name_below("init", "init/01.sql"), Some("01.sql"));
        assert_eq!(name_below("init", "init/rows/a.csv"), Some("rows/a.csv"));
        assert_eq!(name_below("db/init.sql", "db/init.sql"), Some("init.sql"));
        assert_eq!(name_below("init", "initial/01.sql"), None);
        assert_eq!(name_below("", "a.sql"), Some("a.sql"));
    }
}
