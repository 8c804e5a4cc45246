//! Modules that cannot be found although they are files of the project: nothing has to be
//! installed then, only looked for in the right place.

use std::sync::LazyLock;

use regex::Regex;

use super::patterns;

/// What to do, when `line` says that a module is missing which is one of the project's own files
/// or directories; `None` otherwise. `own` holds their names, with or without extension.
#[must_use]
pub fn own_module_hint<T: AsRef<str>>(line: &str, own: &[T]) -> Option<String> {
    let module = MISSING.captures(line)?.name("what")?.as_str();
    let first = module.trim_start_matches("./").split(['.', '/']).next()?;
    let is_own = |name: &&str| name.split('.').next() == Some(first);
    let file = own.iter().map(AsRef::as_ref).find(is_own)?;
    Some(format!(
        "`{first}` is `{file}` of the project, so nothing has to be installed: run the command \
         where it lies (`rootDir`, `--app-dir`), or name its place in `PYTHONPATH`"
    ))
}

static MISSING: LazyLock<Regex> = LazyLock::new(|| {
    patterns::compile(r#"(?:No module named|Could not import module) ['"]?(?P<what>[\w.]+)"#)
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_that_is_a_file_of_the_project_is_not_to_be_installed() {
        let own = ["backend", "settings.py", "package.json"];
        let hint = own_module_hint("ModuleNotFoundError: No module named 'backend.app'", &own);
        assert!(hint.unwrap().starts_with("`backend` is `backend` of the project"));
        let hint = own_module_hint("ModuleNotFoundError: No module named 'settings'", &own);
        assert!(hint.unwrap().contains("`settings.py`"));
        assert_eq!(own_module_hint("ModuleNotFoundError: No module named 'flask'", &own), None);
        assert_eq!(own_module_hint("Error: something else", &own), None);
    }
}
