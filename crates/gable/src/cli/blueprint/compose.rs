//! Compose files from the disk, with all that they name.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use blueprint::compose::{self, Input, Reading};
use blueprint::{Finding, Mode};

use super::files::{STDIN, Text, unreadable, utf8};
use crate::cli::args::ReadingArgs;
use crate::cli::source;
use crate::cli::stop::Stop;

/// Largest file that compose files name and that is read.
const FILE_LIMIT_BYTES: u64 = 16 << 20;

/// Compose files that were read.
pub(super) struct Compose {
    pub(super) input: Input,
    pub(super) reading: Reading,
    /// The project's root; `None` where the file came from the standard input.
    root: Option<PathBuf>,
}

impl Compose {
    /// Reads the files, `.env` beside the first one, and what they name. Nothing outside of the
    /// project is read.
    pub(super) fn load(texts: Vec<Text>, mode: Mode, args: &ReadingArgs) -> Result<Self, Stop> {
        let first = texts.first().and_then(|text| text.path.as_deref());
        let root = root_of(first)?;
        let project_name = texts.first().and_then(Text::folder_name);
        let root_known = first.is_some().then(|| root.clone());
        let files: Vec<(String, String)> = texts
            .into_iter()
            .map(|text| Ok((place(&root, text.path.as_deref())?, text.text)))
            .collect::<Result<_, Stop>>()?;
        let mut more_files = BTreeMap::new();
        let (variables, mistakes) = variables(&root, &files, &mut more_files, args)?;
        let mut input = Input {
            variables,
            files,
            more_files,
            profiles: args.compose.profile.clone(),
            project_name: project_name.unwrap_or_else(|| "project".to_owned()),
            mode,
            use_images: args.compose.images,
            allow_host_paths: args.compose.allow_host_paths,
            root_dir: root.to_str().map(ToOwned::to_owned),
            home_dir: std::env::var("HOME").ok(),
        };
        let mut reading = compose::read(&input);
        for _ in 0..compose::ROUNDS_MAX {
            for name in std::mem::take(&mut reading.needs) {
                let text = look_up(&root, &name)?;
                input.more_files.insert(name, text);
            }
            reading = compose::read(&input);
            if reading.needs.is_empty() {
                break;
            }
        }
        if !reading.needs.is_empty() {
            reading.problems.push(compose::too_deep(&input, &reading.needs));
        }
        Ok(Self { input, reading: reading.refused_by(mistakes), root: root_known })
    }

    /// The files for a person, in their order.
    pub(super) fn name(&self) -> String {
        let names: Vec<&str> = self.input.files.iter().map(|(name, _)| name.as_str()).collect();
        names.join(" + ")
    }

    /// Where a file of the project lies; `None` for the standard input.
    pub(super) fn path_of(&self, name: &str) -> Option<PathBuf> {
        self.root.as_ref().map(|root| root.join(name))
    }
}

/// The root of the repository, or else the folder that the command runs in, if the file was named
/// from there, or else the file's own. Paths in the files may lead anywhere below it.
fn root_of(file: Option<&Path>) -> Result<PathBuf, Stop> {
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    let here = here.map_err(|error| unreadable("this folder", &error))?;
    let Some(file) = file else { return Ok(here) };
    let folder = folder_of(file)?;
    let repository = folder.ancestors().find(|folder| folder.join(".git").exists());
    Ok(match repository {
        Some(root) => root.to_owned(),
        None if file.is_relative() && folder.starts_with(&here) => here,
        None => folder,
    })
}

fn folder_of(file: &Path) -> Result<PathBuf, Stop> {
    let name = file.display().to_string();
    let path = std::path::absolute(file).map_err(|error| unreadable(&name, &error))?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    folder.canonicalize().map_err(|error| unreadable(&name, &error))
}

/// The path of a file relative to the project's root.
fn place(root: &Path, file: Option<&Path>) -> Result<String, Stop> {
    let Some(file) = file else { return Ok("stdin".to_owned()) };
    let base = file.file_name().unwrap_or_default();
    let path = folder_of(file)?.join(base);
    let inside = path.strip_prefix(root).ok().and_then(Path::to_str);
    inside.map(ToOwned::to_owned).ok_or_else(|| {
        Stop::usage(format!("{} lies outside the project {}", file.display(), root.display()))
            .hint("compose files that are merged belong to one project")
    })
}

/// What is filled in where the files name variables: `.env`, and over it what is given. What is
/// wrong in `.env` is found with it.
fn variables(
    root: &Path,
    files: &[(String, String)],
    more_files: &mut BTreeMap<String, Option<String>>,
    args: &ReadingArgs,
) -> Result<(BTreeMap<String, String>, Vec<Finding>), Stop> {
    let folder = files.first().and_then(|(name, _)| Path::new(name).parent());
    let name = folder.unwrap_or(Path::new("")).join(".env");
    let mut found = Ok(BTreeMap::new());
    if let Some(name) = name.to_str() {
        let text = look_up(root, name)?;
        if let Some(text) = &text {
            found = compose::read_env_file(name, text, &BTreeMap::new());
        }
        more_files.insert(name.to_owned(), text);
    }
    let (mut variables, mistakes) = match found {
        Ok(variables) => (variables, Vec::new()),
        Err(mistakes) => (BTreeMap::new(), mistakes),
    };
    for file in &args.env_file {
        variables.extend(source::read_pairs(file)?);
    }
    let given = source::assignments(&args.set)?.into_iter();
    let given = given.filter(|given| given.service.is_none());
    variables.extend(given.map(|given| (given.key, given.value)));
    Ok((variables, mistakes))
}

/// A regular file of the project; nothing that a link leads to outside of it.
fn look_up(root: &Path, name: &str) -> Result<Option<String>, Stop> {
    let is_plain = Path::new(name)
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let path = root.join(name).canonicalize().ok();
    let path = path.filter(|path| is_plain && name != STDIN && path.starts_with(root));
    let Some(path) = path.filter(|path| path.is_file()) else { return Ok(None) };
    let file = std::fs::File::open(&path).map_err(|error| unreadable(name, &error))?;
    let mut bytes = Vec::new();
    file.take(FILE_LIMIT_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(name, &error))?;
    if bytes.len() as u64 > FILE_LIMIT_BYTES {
        let limit = FILE_LIMIT_BYTES >> 20;
        return Err(Stop::usage(format!("{name} is larger than {limit} MiB")));
    }
    utf8(bytes, name).map(Some)
}
