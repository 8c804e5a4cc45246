//! The files that a command is about: a Blueprint, or compose files.

use std::io::Read;
use std::path::{Path, PathBuf};

use blueprint::compose::default_files;
use blueprint::{Code, Mode, ReadOptions, Reading, SIZE_LIMIT_BYTES};

use super::compose::Compose;
use crate::cli::args::ReadingArgs;
use crate::cli::stop::Stop;

/// Names of Blueprints that are tried, in this order, before those of compose files.
const DEFAULT_NAMES: [&str; 2] = ["render.yaml", "render.yml"];
/// What stands for the standard input.
pub(super) const STDIN: &str = "-";

/// What was read.
pub(super) enum Files {
    /// A Blueprint.
    Blueprint(Box<Blueprint>),
    /// One or several compose files.
    Compose(Box<Compose>),
}

/// A Blueprint that was read.
pub(super) struct Blueprint {
    /// Where it lies; `None` for the standard input.
    pub(super) path: Option<PathBuf>,
    pub(super) text: String,
    pub(super) options: ReadOptions,
    pub(super) reading: Reading,
}

impl Blueprint {
    pub(super) fn name(&self) -> &str {
        &self.options.file_name
    }
}

/// The text of one file.
pub(super) struct Text {
    /// Where it lies; `None` for the standard input.
    pub(super) path: Option<PathBuf>,
    /// As it was named.
    pub(super) name: String,
    pub(super) text: String,
}

impl Text {
    fn load(path: &Path) -> Result<Self, Stop> {
        if path == Path::new(STDIN) {
            let text = bounded(std::io::stdin(), "stdin")?;
            return Ok(Self { path: None, name: "stdin".to_owned(), text });
        }
        let name = path.display().to_string();
        let file = std::fs::File::open(path).map_err(|error| unreadable(&name, &error))?;
        let text = bounded(file, &name)?;
        Ok(Self { path: Some(path.to_owned()), name, text })
    }

    /// The name of the folder that it lies in.
    pub(super) fn folder_name(&self) -> Option<String> {
        let path = std::path::absolute(self.path.as_ref()?).ok()?;
        Some(path.parent()?.file_name()?.to_string_lossy().into_owned())
    }
}

impl Files {
    /// Reads the files that were named, or those with the usual names.
    pub(super) fn load(named: &[PathBuf], mode: Mode, args: &ReadingArgs) -> Result<Self, Stop> {
        let paths = match named {
            [] => usual(Path::new("."))?,
            [folder] if folder.is_dir() => usual(folder)?,
            named => named.to_vec(),
        };
        if paths.len() > 1 && paths.iter().any(|path| path == Path::new(STDIN)) {
            return Err(Stop::usage("stdin cannot be one of several files").hint("name them all"));
        }
        let mut texts: Vec<Text> =
            paths.iter().map(|path| Text::load(path)).collect::<Result<_, _>>()?;
        if texts.len() == 1 && !is_named_compose(&paths[0]) {
            let text = texts.remove(0);
            let reading = blueprint(&text, mode);
            let is_compose = reading.1.problems.iter().any(|one| one.code == Code::ComposeFile);
            if !is_compose {
                let (options, reading) = reading;
                let Text { path, text, .. } = text;
                let blueprint = Blueprint { path, text, options, reading };
                return Ok(Self::Blueprint(Box::new(blueprint)));
            }
            texts.push(text);
        }
        Compose::load(texts, mode, args).map(|compose| Self::Compose(Box::new(compose)))
    }
}

fn blueprint(text: &Text, mode: Mode) -> (ReadOptions, Reading) {
    let options = ReadOptions {
        mode,
        file_name: text.name.clone(),
        project_name: text.folder_name().unwrap_or_else(|| "blueprint".to_owned()),
    };
    let reading = ::blueprint::read(&text.text, &options);
    (options, reading)
}

fn is_named_compose(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().contains("compose"))
}

/// The files of a folder that `gable up` would take.
fn usual(folder: &Path) -> Result<Vec<PathBuf>, Stop> {
    let shown = |path: PathBuf| path.strip_prefix(".").map(Path::to_owned).unwrap_or(path);
    if let Some(name) = DEFAULT_NAMES.iter().find(|name| folder.join(name).exists()) {
        return Ok(vec![shown(folder.join(name))]);
    }
    let name = folder.display().to_string();
    let entries = std::fs::read_dir(folder).map_err(|error| unreadable(&name, &error))?;
    let listing: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let listing: Vec<&str> = listing.iter().map(String::as_str).collect();
    let found = default_files(&listing);
    if found.is_empty() {
        let place = if name == "." { "here".to_owned() } else { format!("in {name}") };
        let message = format!("there is no render.yaml and no compose file {place}");
        return Err(Stop::usage(message).hint("name the file, or go to its folder"));
    }
    Ok(found.into_iter().map(|name| shown(folder.join(name))).collect())
}

/// The whole text; what is too large is cut, and then refused by the reader for its size.
fn bounded(from: impl Read, name: &str) -> Result<String, Stop> {
    let mut bytes = Vec::new();
    let limit = SIZE_LIMIT_BYTES as u64 + 1;
    from.take(limit).read_to_end(&mut bytes).map_err(|error| unreadable(name, &error))?;
    if bytes.len() as u64 == limit {
        // A letter that was cut in two is no mistake of the author's.
        return Ok(String::from_utf8_lossy(&bytes).into_owned());
    }
    utf8(bytes, name)
}

pub(super) fn utf8(bytes: Vec<u8>, name: &str) -> Result<String, Stop> {
    String::from_utf8(bytes).map_err(|error| {
        let line =
            error.as_bytes()[..error.utf8_error().valid_up_to()].split(|b| *b == b'\n').count();
        Stop::usage(format!("{name} is not UTF-8: see line {line}"))
    })
}

pub(super) fn unreadable(name: &str, error: &std::io::Error) -> Stop {
    Stop::usage(format!("{name} cannot be read: {error}"))
}
