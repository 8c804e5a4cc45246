//! What the paths of a Blueprint are relative to.

/// Whether the directory of a repository that holds the Blueprint is the source, and not the
/// repository's root. A Blueprint speaks of paths below its own directory or below the root:
/// whichever are there. Where it names none, a directory that holds more than the Blueprint is the
/// source.
///
/// `files` are all files of the repository, `directory` is where the Blueprint lies, and `roots`
/// are the `rootDir` of its services; empty ones say nothing.
#[must_use]
pub fn is_directory_the_source(files: &[String], directory: &str, roots: &[&str]) -> bool {
    let count_below = |directory: &str| {
        let prefix = format!("{}/", directory.trim_matches('/'));
        files.iter().filter(|file| file.starts_with(&prefix)).count()
    };
    let mut roots = roots
        .iter()
        .map(|root| root.trim_matches(['.', '/']))
        .filter(|root| !root.is_empty())
        .peekable();
    if roots.peek().is_none() {
        return count_below(directory) > 1;
    }
    roots.all(|root| count_below(&format!("{directory}/{root}")) > 0)
}

#[cfg(test)]
mod tests {
    use super::is_directory_the_source;

    fn check(files: &[&str], roots: &[&str], expected: bool) {
        let files: Vec<String> = files.iter().map(|file| (*file).to_owned()).collect();
        assert_eq!(
            is_directory_the_source(&files, "deploy", roots),
            expected,
            "{files:?} {roots:?}"
        );
    }

    #[test]
    fn paths_are_taken_from_where_they_lead_somewhere() {
        let at_root = ["deploy/render.yaml", "api/main.go", "web/index.js"];
        let below = ["deploy/render.yaml", "deploy/api/main.go", "deploy/web/index.js"];
        check(&at_root, &["api", "./web/"], false);
        check(&below, &["api", "./web/"], true);
        check(&below, &["api", "elsewhere"], false);
        // A name that only begins like the directory is another one.
        check(&["deploy/render.yaml", "deploy/api-old/main.go"], &["api"], false);
    }

    #[test]
    fn a_blueprint_without_paths_means_its_directory_if_there_is_more_in_it() {
        check(&["deploy/render.yaml", "main.go"], &["", "."], false);
        check(&["deploy/render.yaml", "deploy/main.go"], &["", "."], true);
        check(&["deploy/render.yaml", "deploy/main.go"], &[], true);
    }
}
