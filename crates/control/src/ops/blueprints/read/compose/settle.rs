//! Where the bytes come from of every path of the project that a container sees.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use blueprint::Blueprint;
use model::{ContainerFile, EnvSource, EnvVar, FileSource, Service, Volume, VolumeSource};

use super::disk;

/// Files that are committed only so that git knows their directory.
const PLACEHOLDERS: &[&str] = &[".gitkeep", ".gitignore", ".keep", ".empty", ".placeholder"];

/// What paths are looked up in.
pub(super) struct Ground<'a> {
    /// The paths of the commit's files.
    pub(super) listing: &'a [String],
    /// The working tree, unless a commit was asked for instead.
    pub(super) tree: Option<&'a Path>,
}

/// What a path of the project is.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// Part of the source: it comes with the release.
    Source,
    /// A small file that git does not know: its text is sealed with the variables.
    Small(String),
    /// Anything else: a directory for data, kept like a volume. It begins with what this one holds.
    Kept(Begin),
}

/// What a kept directory begins with.
#[derive(Debug, PartialEq, Eq)]
enum Begin {
    /// Nothing is there.
    Empty,
    /// What lies there now.
    With(PathBuf),
    /// More lies there than is copied.
    TooMuch,
}

impl Ground<'_> {
    /// Settles all services; the result says what new volumes begin with, by their names.
    pub(super) fn settle(
        &self,
        blueprint: &mut Blueprint,
        notes: &mut Vec<String>,
    ) -> BTreeMap<String, PathBuf> {
        let mut seeds = BTreeMap::new();
        let mut said = BTreeSet::new();
        for service in blueprint.scopes.iter_mut().flat_map(|scope| &mut scope.services) {
            settle_service(service, &|path| self.kind_of(path), &mut |name, begin| {
                let note = note_of(&name, &begin);
                if let Begin::With(directory) = begin {
                    seeds.insert(name, directory);
                }
                if said.insert(note.clone()) {
                    notes.push(note);
                }
            });
        }
        seeds
    }

    fn kind_of(&self, path: &str) -> Kind {
        let plain = build::container::plain(path);
        // The listing is sorted: what is below a directory stands in one place.
        let below = format!("{plain}/");
        let first = self.listing.partition_point(|file| *file < below);
        let inside = self.listing[first..].iter().take_while(|file| file.starts_with(&below));
        let itself = self.listing.binary_search(&plain).ok().map(|index| &self.listing[index]);
        let mut known = itself.into_iter().chain(inside);
        let is_placeholder = |file: &String| {
            let name = file.rsplit('/').next().unwrap_or(file);
            PLACEHOLDERS.contains(&name) && *file != plain
        };
        if plain.is_empty() || known.any(|file| !is_placeholder(file)) {
            return Kind::Source;
        }
        let Some(tree) = self.tree else { return Kind::Kept(Begin::Empty) };
        if let Some(Ok(text)) = disk::file(tree, &plain).map(String::from_utf8) {
            return Kind::Small(text);
        }
        Kind::Kept(match disk::directory(tree, &plain) {
            None => Begin::Empty,
            Some(directory) if disk::is_small(&directory) => Begin::With(directory),
            Some(_) => Begin::TooMuch,
        })
    }
}

fn note_of(name: &str, begin: &Begin) -> String {
    let kept = format!("{name} is not part of the source: it is kept as a volume");
    match begin {
        Begin::Empty => kept,
        Begin::With(_) => format!("{kept}, and a new one begins with what lies there now"),
        Begin::TooMuch => format!(
            "{kept}, and begins empty: more than {} GB or {} files lie there",
            disk::SEED_BYTES_MAX >> 30,
            disk::SEED_ENTRIES_MAX
        ),
    }
}

fn settle_service(
    service: &mut Service,
    kind_of: &dyn Fn(&str) -> Kind,
    keep: &mut dyn FnMut(String, Begin),
) {
    let mut files = Vec::new();
    let mut values = Vec::new();
    let mut seal = |text: String, number: usize| {
        let key = format!("GABLE_SECRET_FILE_{number}");
        values.push(EnvVar {
            key: key.clone(),
            source: EnvSource::Literal(text),
            preview_value: None,
        });
        FileSource::Variable(key)
    };
    let mut number = 0;
    service.container.volumes.retain_mut(|volume: &mut Volume| {
        let VolumeSource::Project(path) = &volume.source else { return true };
        match kind_of(path) {
            Kind::Source => true,
            Kind::Kept(begin) => {
                let name = format!("./{}", build::container::plain(path));
                volume.source = VolumeSource::Named(name.clone());
                keep(name, begin);
                true
            }
            Kind::Small(text) => {
                number += 1;
                files.push(ContainerFile {
                    target: volume.target.clone(),
                    source: seal(text, number),
                    mode: 0o444,
                });
                false
            }
        }
    });
    for file in &mut service.container.files {
        let FileSource::Project(path) = &file.source else { continue };
        if let Kind::Small(text) = kind_of(path) {
            number += 1;
            file.source = seal(text, number);
        }
    }
    for secret in service.docker.iter_mut().flat_map(|docker| &mut docker.secrets) {
        let FileSource::Project(path) = &secret.source else { continue };
        if let Kind::Small(text) = kind_of(path) {
            number += 1;
            secret.source = seal(text, number);
        }
    }
    service.container.files.extend(files);
    service.env.extend(values);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_path_is_source_a_sealed_file_or_kept_data_that_begins_with_what_lies_there() {
        let tree = tempfile::tempdir().unwrap();
        let root = tree.path().canonicalize().unwrap();
        std::fs::write(root.join("secret.txt"), "s3cret").unwrap();
        std::fs::create_dir(root.join("data")).unwrap();
        std::os::unix::fs::symlink("/etc", root.join("leads-out")).unwrap();
        let listing = ["conf/nginx.conf".to_owned(), "data/.gitkeep".to_owned()];
        let ground = Ground { listing: &listing, tree: Some(tree.path()) };
        let kind = |path| ground.kind_of(path);
        assert_eq!(kind("./conf"), Kind::Source);
        assert_eq!(kind("conf/nginx.conf"), Kind::Source);
        assert_eq!(kind("."), Kind::Source);
        assert_eq!(kind("data/.gitkeep"), Kind::Source);
        assert_eq!(kind("./secret.txt"), Kind::Small("s3cret".to_owned()));
        assert_eq!(kind("./data"), Kind::Kept(Begin::With(root.join("data"))));
        assert_eq!(kind("./not-there"), Kind::Kept(Begin::Empty));
        assert_eq!(kind("./leads-out"), Kind::Kept(Begin::Empty));
    }

    #[test]
    fn what_git_does_not_know_is_sealed_or_kept() {
        let mut service = testing::definition("web");
        let volume = |path: &str, target: &str| Volume {
            source: VolumeSource::Project(path.to_owned()),
            target: target.to_owned(),
            is_read_only: false,
            subpath: None,
        };
        service.container.volumes =
            vec![volume("./src", "/app"), volume("./data", "/data"), volume("./key", "/key")];
        let kind = |path: &str| match path {
            "./src" => Kind::Source,
            "./data" => Kind::Kept(Begin::Empty),
            _ => Kind::Small("text".to_owned()),
        };
        let mut kept = Vec::new();
        settle_service(&mut service, &kind, &mut |name, begin| kept.push((name, begin)));
        let sources: Vec<_> =
            service.container.volumes.iter().map(|volume| volume.source.clone()).collect();
        assert_eq!(
            sources,
            [VolumeSource::Project("./src".to_owned()), VolumeSource::Named("./data".to_owned())]
        );
        assert_eq!(service.container.files.len(), 1);
        assert_eq!(service.env.len(), 1);
        assert_eq!(kept, [("./data".to_owned(), Begin::Empty)]);
    }
}
