//! Who holds what of the disk.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use reconcile::disk::Space;
use serde::Serialize;
use store::Store;

use crate::disk;
use crate::error::Error;

/// What a disk holds for us, and what is left of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// What is left.
    pub space: Space,
    /// The file that is given back when nothing is left.
    pub reserve_bytes: u64,
    /// The largest first.
    pub holdings: Vec<Holding>,
}

/// What one thing holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holding {
    /// What it is.
    pub kind: Kind,
    /// Whose it is: `PROJECT/NAME`, `PROJECT`, or an id that nobody knows; empty when it is shared.
    pub owner: String,
    /// Bytes on the disk.
    pub bytes: u64,
    /// Files and directories.
    pub files: u64,
}

/// What holds room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Results of builds.
    Artifacts,
    /// Layers of images, and what building images keeps.
    Layers,
    /// Caches of package managers, and fetched tools.
    Caches,
    /// What instances and builds wrote.
    Logs,
    /// PostgreSQL and Key Value.
    Databases,
    /// Builds under way.
    Builds,
    /// Commits of projects.
    Sources,
    /// Disks of services and volumes of containers.
    Volumes,
    /// The server's own database, its copies and its logs.
    Server,
    /// Anything else below the state directory.
    Other,
}

impl Kind {
    /// The kind in words for a person.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Artifacts => "artifacts",
            Self::Layers => "layers of images",
            Self::Caches => "caches",
            Self::Logs => "logs",
            Self::Databases => "databases",
            Self::Builds => "builds under way",
            Self::Sources => "sources",
            Self::Volumes => "disks and volumes",
            Self::Server => "the server's own",
            Self::Other => "other",
        }
    }
}

/// The directories of a state whose entries belong to somebody each; of the rest the whole counts.
const OWNED: &[(&str, Kind)] = &[
    ("artifacts", Kind::Artifacts),
    ("logs", Kind::Logs),
    ("data", Kind::Databases),
    ("repos", Kind::Sources),
    ("disks", Kind::Volumes),
    ("volumes", Kind::Volumes),
];

fn kind_of(name: &str) -> Kind {
    match name {
        "images" => Kind::Layers,
        "work" => Kind::Builds,
        "copies" => Kind::Server,
        name if name.starts_with("gable.db") => Kind::Server,
        name if name.starts_with("server.") || name.starts_with("edge.") => Kind::Server,
        _ => Kind::Other,
    }
}

/// Measures a state directory; blocks for as long as its disk takes. Owners are named as far as the
/// database can be read: a full disk may keep it from that.
///
/// # Errors
/// When the directory cannot be read at all.
pub fn usage(state_dir: &Path) -> Result<Usage, Error> {
    let has_database = state_dir.join(store::DATABASE_FILE).exists();
    let store = if has_database { Store::open(state_dir).ok() } else { None };
    let owners = store.and_then(|store| owners(&store).ok()).unwrap_or_default();
    let space = disk::space(state_dir)?;
    let mut measure = Measure { owners, sizes: BTreeMap::new(), counted: HashSet::new() };
    let mut reserve_bytes = 0;
    let entries = std::fs::read_dir(state_dir)
        .map_err(Error::host(format!("read {}", state_dir.display())))?;
    for entry in entries.flatten() {
        let (name, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
        match OWNED.iter().find(|(owned, _)| *owned == name) {
            Some((_, kind)) => measure.each(&path, *kind),
            None if name == disk::RESERVE_FILE => {
                reserve_bytes = entry.metadata().map_or(0, |metadata| metadata.blocks() * 512);
            }
            None if name == "caches" => measure.caches(&path),
            None => measure.add(&path, kind_of(&name), String::new()),
        }
    }
    let mut holdings: Vec<Holding> = measure
        .sizes
        .into_iter()
        .map(|((kind, owner), size)| Holding { kind, owner, bytes: size.bytes, files: size.files })
        .filter(|holding| holding.files > 0)
        .collect();
    holdings.sort_by_key(|holding| std::cmp::Reverse(holding.bytes));
    Ok(Usage { space, reserve_bytes, holdings })
}

/// What was measured so far.
struct Measure {
    owners: HashMap<String, String>,
    sizes: BTreeMap<(Kind, String), Size>,
    /// A file with several names counts once.
    counted: HashSet<u64>,
}

impl Measure {
    fn add(&mut self, path: &Path, kind: Kind, owner: String) {
        let size = size(path, &mut self.counted);
        self.sizes.entry((kind, owner)).or_default().add(&size);
    }

    /// Entries that are named by whose they are.
    fn each(&mut self, directory: &Path, kind: Kind) {
        for child in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let id = child.file_name().to_string_lossy().into_owned();
            let owner = self.owners.get(&id).cloned().unwrap_or_else(|| short(&id));
            self.add(&child.path(), kind, owner);
        }
    }

    /// What builds of each project keep, and what is shared.
    fn caches(&mut self, directory: &Path) {
        for child in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            match child.file_name() == "projects" {
                true => self.each(&child.path(), Kind::Caches),
                false => self.add(&child.path(), Kind::Caches, String::new()),
            }
        }
    }
}

/// An artifact's id is long, and nobody knows it.
fn short(id: &str) -> String {
    let end = id.char_indices().nth(28).map_or(id.len(), |(index, _)| index);
    id[..end].to_owned()
}

/// What lies below a path.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Size {
    /// Bytes on the disk.
    pub(crate) bytes: u64,
    /// Files and directories.
    pub(crate) files: u64,
    /// When something of it was last changed, in seconds since 1970.
    pub(crate) changed_at: i64,
}

impl Size {
    fn add(&mut self, other: &Self) {
        self.bytes += other.bytes;
        self.files += other.files;
        self.changed_at = self.changed_at.max(other.changed_at);
    }
}

/// What lies below a path, without other file systems that are mounted there. What goes away
/// meanwhile does not count.
pub(crate) fn size(path: &Path, counted: &mut HashSet<u64>) -> Size {
    let mut total = Size::default();
    let Ok(root) = path.symlink_metadata() else { return total };
    let mut waiting = vec![path.to_owned()];
    while let Some(path) = waiting.pop() {
        let Ok(metadata) = path.symlink_metadata() else { continue };
        if metadata.dev() != root.dev() {
            continue;
        }
        let is_again =
            metadata.is_file() && metadata.nlink() > 1 && !counted.insert(metadata.ino());
        if !is_again {
            total.bytes += metadata.blocks() * 512;
            total.files += 1;
            total.changed_at = total.changed_at.max(metadata.mtime());
        }
        if metadata.is_dir() {
            let entries = std::fs::read_dir(&path).into_iter().flatten().flatten();
            waiting.extend(entries.map(|entry| entry.path()));
        }
    }
    total
}

/// Names of what entries of the state are named by.
fn owners(store: &Store) -> Result<HashMap<String, String>, Error> {
    let mut names = HashMap::new();
    for project in store::projects::list(store)? {
        for environment in store::environments::list(store, &project.id)? {
            names.insert(environment.id.to_string(), project.name.clone());
            let named = |name: &str| format!("{}/{name}", project.name);
            for row in store::services::list(store, &environment.id)? {
                names.insert(row.id.to_string(), named(row.name()));
                for release in store::releases::list(store, &row.id)? {
                    if let Some(artifact) = release.artifact_id {
                        names.entry(artifact.to_string()).or_insert_with(|| named(row.name()));
                    }
                }
            }
            for row in store::databases::list(store, &environment.id)? {
                names.insert(row.id.to_string(), named(&row.definition.name));
            }
            for row in store::key_values::list(store, &environment.id)? {
                names.insert(row.id.to_string(), named(&row.definition.name));
            }
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[tokio::test]
    async fn what_a_disk_holds_is_told_by_kind_and_by_owner() {
        let directory = tempfile::tempdir().unwrap();
        let platform = testing::platform(directory.path());
        let environment = testing::environment(&platform, "shop");
        let id = testing::database(&platform, &environment, "db");
        let state_dir = &platform.config.state_dir;
        let data = state_dir.join("data").join(id.as_str());
        std::fs::create_dir_all(&data).unwrap();
        std::fs::write(data.join("base"), vec![1; 2 << 20]).unwrap();
        // A second name of a file takes no room.
        std::fs::hard_link(data.join("base"), data.join("again")).unwrap();
        std::fs::create_dir_all(state_dir.join("caches/projects/shop/npm")).unwrap();
        std::fs::write(state_dir.join("caches/projects/shop/npm/a"), vec![1; 4 << 20]).unwrap();
        let usage = usage(state_dir).unwrap();
        let held: Vec<(Kind, &str)> = usage.holdings[..2]
            .iter()
            .map(|holding| (holding.kind, holding.owner.as_str()))
            .collect();
        assert_eq!(held, [(Kind::Caches, "shop"), (Kind::Databases, "shop/db")]);
        assert!(usage.holdings[1].bytes < 4 << 20, "{usage:?}");
        assert!(usage.space.total_bytes > 0);
    }
}
