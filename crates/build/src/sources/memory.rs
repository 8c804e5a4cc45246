//! What was read of commits. They never change, so git is asked once: a file of two thousand
//! services is planned with a handful of questions, and not with some for each service.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Commits that are remembered, the last ones that were asked for.
const COMMITS_MAX: usize = 4;
/// Bytes of files that are remembered of one commit.
const FILES_BYTES_MAX: usize = 16 << 20;
/// Bytes of a listing that is remembered: some 400,000 files.
const LISTING_BYTES_MAX: usize = 40 << 20;
/// Mode of links in a listing.
const LINK: &[u8] = b"120000 ";

/// What is remembered, and how often git was asked.
#[derive(Debug, Default)]
pub(super) struct Memory {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// By project and commit, the one asked for last at the end.
    commits: VecDeque<((String, String), Known)>,
    asked: usize,
}

#[derive(Debug, Default)]
struct Known {
    listing: Option<Arc<Listing>>,
    files: HashMap<String, Option<Arc<[u8]>>>,
    bytes: usize,
}

/// All files of a commit.
#[derive(Debug)]
pub(super) struct Listing {
    /// `<mode> <type> <id>\t<path>`, each with a NUL behind it, sorted by path.
    output: Vec<u8>,
    /// Begin of each entry, and of its path.
    entries: Vec<(usize, usize)>,
    /// Paths of links: what is below one is listed where it leads to.
    links: HashSet<String>,
}

impl Memory {
    /// The listing of a commit, if it is remembered.
    pub(super) fn listing(&self, project: &str, commit_id: &str) -> Option<Arc<Listing>> {
        self.lock().known(project, commit_id).listing.clone()
    }

    /// Remembers the listing of a commit.
    pub(super) fn keep_listing(&self, project: &str, commit_id: &str, listing: &Arc<Listing>) {
        if listing.output.len() <= LISTING_BYTES_MAX {
            self.lock().known(project, commit_id).listing = Some(Arc::clone(listing));
        }
    }

    /// Those of some files that are remembered as there, and the paths of which nothing is known.
    pub(super) fn files<'a>(
        &self,
        (project, commit_id): (&str, &str),
        paths: &'a [String],
    ) -> (BTreeMap<String, Vec<u8>>, Vec<&'a String>) {
        let mut inner = self.lock();
        let known = inner.known(project, commit_id);
        let (mut found, mut unknown) = (BTreeMap::new(), Vec::new());
        for path in paths {
            match known.files.get(path) {
                Some(Some(bytes)) => drop(found.insert(path.clone(), bytes.to_vec())),
                Some(None) => {}
                None => unknown.push(path),
            }
        }
        (found, unknown)
    }

    /// Remembers the answer to a question about files: those that are not in it are not there.
    pub(super) fn keep_files(
        &self,
        (project, commit_id): (&str, &str),
        asked: &[&String],
        found: &BTreeMap<String, Vec<u8>>,
    ) {
        let mut inner = self.lock();
        let known = inner.known(project, commit_id);
        for path in asked {
            let bytes = found.get(*path);
            let size = path.len() + bytes.map_or(0, Vec::len);
            if known.bytes + size > FILES_BYTES_MAX {
                continue;
            }
            known.bytes += size;
            known.files.insert((*path).clone(), bytes.map(|bytes| Arc::from(bytes.as_slice())));
        }
    }

    /// Forgets a project that is removed.
    pub(super) fn forget(&self, project: &str) {
        self.lock().commits.retain(|((known, _), _)| known != project);
    }

    /// Notes that git is asked.
    pub(super) fn count(&self) {
        self.lock().asked += 1;
    }

    /// How often git was asked about files of commits.
    pub(super) fn asked(&self) -> usize {
        self.lock().asked
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // What is behind it is whole after every line.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn known(&mut self, project: &str, commit_id: &str) -> &mut Known {
        let is_it =
            |((known, id), _): &((String, String), Known)| known == project && id == commit_id;
        let entry = match self.commits.iter().position(is_it) {
            Some(index) => self.commits.remove(index),
            None => None,
        };
        let key = (project.to_owned(), commit_id.to_owned());
        self.commits.push_back(entry.unwrap_or_else(|| (key, Known::default())));
        if self.commits.len() > COMMITS_MAX {
            self.commits.pop_front();
        }
        &mut self.commits.back_mut().expect("one was added").1
    }
}

impl Listing {
    /// Takes the answer of `ls-tree -r -z --full-tree` apart.
    pub(super) fn new(output: Vec<u8>) -> Self {
        let (mut entries, mut links, mut begin) = (Vec::new(), HashSet::new(), 0);
        for entry in output.split(|byte| *byte == 0) {
            if let Some(tab) = entry.iter().position(|byte| *byte == b'\t') {
                entries.push((begin, begin + tab + 1));
                if entry.starts_with(LINK) {
                    links.insert(String::from_utf8_lossy(&entry[tab + 1..]).into_owned());
                }
            }
            begin += entry.len() + 1;
        }
        Self { output, entries, links }
    }

    /// The entries at some paths and below them, in their order; all for the empty path.
    pub(super) fn within(&self, places: &[String]) -> Vec<(&[u8], &[u8])> {
        let mut found = BTreeSet::new();
        for place in places {
            if place.is_empty() {
                found.extend(0..self.entries.len());
                break;
            }
            found.extend(self.find(place));
            let prefix = format!("{place}/");
            let is_before = |entry: &(usize, usize)| self.path(*entry) < prefix.as_bytes();
            let first = self.entries.partition_point(is_before);
            let is_inside = |index: &usize| {
                let path = self.entries.get(*index).map(|entry| self.path(*entry));
                path.is_some_and(|path| path.starts_with(prefix.as_bytes()))
            };
            found.extend((first..).take_while(is_inside));
        }
        let entry =
            |index: usize| (self.whole(self.entries[index]), self.path(self.entries[index]));
        found.into_iter().map(entry).collect()
    }

    fn find(&self, path: &str) -> Option<usize> {
        self.entries.binary_search_by(|entry| self.path(*entry).cmp(path.as_bytes())).ok()
    }

    /// All paths.
    pub(super) fn paths(&self) -> Vec<String> {
        let path = |entry: &(usize, usize)| String::from_utf8_lossy(self.path(*entry)).into_owned();
        self.entries.iter().map(path).collect()
    }

    /// Whether there certainly is no file at a path: it is not listed, and no link leads to it.
    pub(super) fn is_absent(&self, path: &str) -> bool {
        let is_link = |end: usize| self.links.contains(&path[..end]);
        let ends = path.match_indices('/').map(|(end, _)| end);
        self.find(path).is_none() && (self.links.is_empty() || !ends.into_iter().any(is_link))
    }

    fn path(&self, (_, path): (usize, usize)) -> &[u8] {
        let rest = &self.output[path..];
        &rest[..rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len())]
    }

    fn whole(&self, (begin, path): (usize, usize)) -> &[u8] {
        &self.output[begin..path + self.path((begin, path)).len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_knows_what_is_not_there_and_what_a_link_may_lead_to() {
        let listing = Listing::new(
            b"100644 blob 1\ta/b\x00100644 blob 2\ta/c/d\x00120000 blob 3\tlink\x00100644 blob 4\tz\x00"
                .to_vec(),
        );
        assert_eq!(listing.paths(), ["a/b", "a/c/d", "link", "z"]);
        for (path, is_absent) in [
            ("a/b", false),
            ("a/x", true),
            ("a", true),
            ("link", false),
            ("link/x", false),
            ("y", true),
        ] {
            assert_eq!(listing.is_absent(path), is_absent, "{path}");
        }
        let within = |places: &[&str]| {
            let places: Vec<String> = places.iter().map(|place| (*place).to_owned()).collect();
            let paths = listing.within(&places).into_iter().map(|(_, path)| path.to_vec());
            paths.map(|path| String::from_utf8(path).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(within(&["a"]), ["a/b", "a/c/d"]);
        assert_eq!(within(&["z", "a/c"]), ["a/c/d", "z"]);
        assert_eq!(within(&["l"]), Vec::<String>::new());
        assert_eq!(within(&[""]).len(), 4);
        assert_eq!(listing.within(&["a/b".to_owned()])[0].0, b"100644 blob 1\ta/b");
    }

    #[test]
    fn the_commits_that_were_asked_for_last_are_remembered() {
        let memory = Memory::default();
        let paths = ["a".to_owned(), "none".to_owned()];
        let found = BTreeMap::from([("a".to_owned(), b"text".to_vec())]);
        let asked: Vec<&String> = paths.iter().collect();
        for number in 0..=COMMITS_MAX {
            memory.keep_files(("p", &number.to_string()), &asked, &found);
        }
        let (known, unknown) = memory.files(("p", "4"), &paths);
        assert_eq!((known, unknown.len()), (found, 0));
        assert_eq!(memory.files(("p", "0"), &paths).1.len(), 2, "it was too long ago");
        memory.forget("p");
        assert_eq!(memory.files(("p", "4"), &paths).1.len(), 2);
    }
}
