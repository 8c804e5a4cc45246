//! From a finished work directory to something that can be published, and from a log to lines.

use std::fs;
use std::path::Path;

use crate::error::Error;
use crate::layout;
use crate::tree::{self, Totals};

/// How many of the last lines of a log are searched for causes.
const LINES_SEARCHED: usize = 200_000;

/// Gives tree and home to the service's user.
pub(crate) fn hand_over(work: &Path, uid: u32) -> Result<Totals, Error> {
    let tree = tree::hand_over(&work.join("tree"), uid)?;
    let home = tree::hand_over(&work.join("home"), uid)?;
    Ok(Totals { files: tree.files + home.files, bytes: tree.bytes + home.bytes })
}

/// Makes what plain processes have built independent of the directory it was built in: instances
/// of theirs see the artifact at another path than its build did. Links to caches end, and Python's
/// scripts find their interpreter by PATH.
pub(crate) fn make_movable(work: &Path) -> Result<(), Error> {
    for (_, path) in layout::CACHES {
        let path = work.join("home").join(path);
        if path.is_symlink() {
            fs::remove_file(&path).map_err(Error::at("remove", &path))?;
        }
    }
    let bin = work.join("tree/.venv/bin");
    let Ok(entries) = fs::read_dir(&bin) else { return Ok(()) };
    let interpreters = format!("{}/", bin.display());
    for entry in entries.flatten() {
        let path = entry.path();
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        let Some(text) = is_file.then(|| fs::read_to_string(&path).ok()).flatten() else {
            continue;
        };
        if text.starts_with("#!") && text.contains(&interpreters) {
            let text = text
                .replacen(&format!("#!{interpreters}"), "#!/usr/bin/env ", 1)
                .replace(&interpreters, "");
            fs::write(&path, text).map_err(Error::at("write", &path))?;
        }
    }
    Ok(())
}

/// The texts of a log's lines, oldest first. A log that cannot be read is empty: the failure is
/// told all the same.
pub(crate) fn log_lines(log: &Path) -> Vec<String> {
    match telemetry::tail(&[log.to_owned()], LINES_SEARCHED) {
        Ok(lines) => lines.into_iter().map(|line| line.text).collect(),
        Err(error) => {
            tracing::warn!(%error, "the log of a failed build could not be read");
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_of_a_moved_environment_find_their_interpreter_by_path() {
        let work = tempfile::tempdir().unwrap();
        let bin = work.path().join("tree/.venv/bin");
        fs::create_dir_all(&bin).unwrap();
        let python = bin.join("python3").display().to_string();
        fs::write(bin.join("short"), format!("#!{python}\nimport sys\n")).unwrap();
        fs::write(bin.join("long"), format!("#!/bin/sh\nexec \"{python}\" \"$0\"\n")).unwrap();
        make_movable(work.path()).unwrap();
        let read = |name: &str| fs::read_to_string(bin.join(name)).unwrap();
        assert_eq!(read("short"), "#!/usr/bin/env python3\nimport sys\n");
        assert_eq!(read("long"), "#!/bin/sh\nexec \"python3\" \"$0\"\n");
    }
}
