//! Names of a project's own files, for verdicts about what is missing.

use std::fs;
use std::path::Path;

/// So many names are looked at, at most.
const NAMES_MAX: usize = 2_000;

/// Names of files and directories in a directory and one level below; none when it cannot be read.
#[must_use]
pub fn names(directory: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let entries = |directory: &Path| fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries(directory) {
        names.extend(entry.file_name().into_string());
        // What installing puts there is not the project's own.
        let is_installed = entry.file_name().to_str().is_some_and(|name| {
            name.starts_with('.') || ["node_modules", "venv", "vendor"].contains(&name)
        });
        if !is_installed && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            names.extend(
                entries(&entry.path()).filter_map(|below| below.file_name().into_string().ok()),
            );
        }
        if names.len() > NAMES_MAX {
            break;
        }
    }
    names.truncate(NAMES_MAX);
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_files_are_named_and_installed_ones_are_not() {
        let directory = tempfile::tempdir().unwrap();
        for path in ["app/main.py", "node_modules/left-pad/index.js", "settings.py"] {
            let path = directory.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let mut names = names(directory.path());
        names.sort();
        assert_eq!(names, ["app", "main.py", "node_modules", "settings.py"]);
        assert!(super::names(Path::new("/nowhere/at/all")).is_empty());
    }
}
