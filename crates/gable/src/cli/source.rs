//! From the flags of `up` and `plan` to a request.

use std::path::{Path, PathBuf};

use wire::{ApplyRequest, Assignment};

use super::args::SourceArgs;
use super::env_file;
use super::stop::Stop;

/// What the server is asked.
///
/// # Errors
/// When a path does not exist or a value cannot be understood; never with a value in it.
pub(crate) fn request(args: &SourceArgs) -> Result<ApplyRequest, Stop> {
    let (path, files) = place(args)?;
    let mut set = Vec::new();
    for file in &args.env_file {
        let pairs = read_pairs(file)?;
        set.extend(pairs.into_iter().map(|(key, value)| env_file::assignment(&key, value)));
    }
    set.extend(assignments(&args.set)?);
    let operator_env = args.operator_env.as_deref().map(read_pairs).transpose()?;
    Ok(ApplyRequest {
        path: text(&path)?,
        files: files.iter().map(|file| text(file)).collect::<Result<_, _>>()?,
        profiles: args.compose.profile.clone(),
        uses_images: args.compose.images,
        allows_host_paths: args.compose.allow_host_paths,
        strict: args.strict,
        project: args.project.clone(),
        set,
        operator_env,
        only: args.only.clone(),
        refreshes_images: args.pull,
    })
}

/// A file that a server is told of, which may work elsewhere.
///
/// # Errors
/// When it is not there.
pub(crate) fn canonical(file: &Path) -> Result<PathBuf, Stop> {
    file.canonicalize()
        .map_err(|error| Stop::usage(format!("{} cannot be read: {error}", file.display())))
}

/// The folder and the file in it; PATH may name the file itself.
fn place(args: &SourceArgs) -> Result<(PathBuf, Vec<PathBuf>), Stop> {
    let missing = |path: &Path, error: std::io::Error| {
        Stop::usage(format!("{} cannot be read: {error}", path.display()))
    };
    let path = args.path.canonicalize().map_err(|error| missing(&args.path, error))?;
    if path.is_dir() {
        return Ok((path, args.file.clone()));
    }
    if !args.file.is_empty() {
        return Err(Stop::usage("PATH is a file, so `--file` has no place"));
    }
    let folder = path.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned);
    Ok((folder, path.file_name().map(PathBuf::from).into_iter().collect()))
}

fn text(path: &Path) -> Result<String, Stop> {
    path.to_str()
        .map(ToOwned::to_owned)
        .ok_or_else(|| Stop::usage(format!("the path {} is not UTF-8", path.display())))
}

/// Values from the command line.
///
/// # Errors
/// What is wrong with one of them, without the value.
pub(crate) fn assignments(texts: &[String]) -> Result<Vec<Assignment>, Stop> {
    let read = |(index, text): (usize, &String)| {
        env_file::parse_assignment(text).map_err(|message| {
            let which =
                if texts.len() > 1 { format!(" number {}", index + 1) } else { String::new() };
            Stop::usage(format!("`--set`{which}: {message}"))
                .hint("write `--set SERVICE.KEY=VALUE`")
        })
    };
    texts.iter().enumerate().map(read).collect()
}

/// The pairs of a `.env` file.
///
/// # Errors
/// When it cannot be read, with the line of every mistake and no value.
pub(crate) fn read_pairs(file: &Path) -> Result<Vec<(String, String)>, Stop> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Stop::usage(format!("{} cannot be read: {error}", file.display())))?;
    let outside = |name: &str| std::env::var(name).ok();
    env_file::parse(&text, &outside).map_err(|mistakes| {
        let lines: Vec<_> =
            mistakes.iter().map(|mistake| format!("{}:{mistake}", file.display())).collect();
        let mut stop = Stop::usage(format!("{} is not a file of variables", file.display()));
        if let Some(problem) = &mut stop.problem {
            problem.detail = Some(lines.join("\n"));
        }
        stop.hint("a line is `KEY=value`; longer values go in quotes")
    })
}
