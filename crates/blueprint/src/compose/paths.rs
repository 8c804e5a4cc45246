//! Paths in compose files: relative to a directory of the project, or outside it.

use crate::code::Code;

use super::node::{At, View};
use super::reader::Reader;

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Location {
    /// Inside the project, relative to its root; `.` is the root itself.
    Inside(String),
    /// Outside, absolute if the caller said where the project and the home directory are.
    Outside(Option<String>),
}

/// The directory of a path; empty for the root.
pub(crate) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// Follows `.` and `..`; `None` when that leads above the root.
fn normalized(base: &str, path: &str) -> Result<String, String> {
    let mut parts: Vec<&str> = Vec::new();
    let mut above = 0;
    for part in base.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.is_empty() => above += 1,
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let inside = parts.join("/");
    match above {
        0 if inside.is_empty() => Ok(".".to_owned()),
        0 => Ok(inside),
        above => Err(format!("{}{inside}", "../".repeat(above))),
    }
}

impl Reader<'_> {
    /// Where a path leads that stands in some file.
    pub(crate) fn locate(&self, at: &At, path: &str) -> Location {
        let base = self.files.get(at.file).map_or("", |file| file.base_dir.as_str());
        self.locate_from(base, path)
    }

    /// Where a path leads from a directory of the project.
    pub(crate) fn locate_from(&self, base: &str, path: &str) -> Location {
        let root = self.input.root_dir.as_deref().map(|root| root.trim_end_matches('/'));
        if let Some(rest) = path.strip_prefix('~') {
            let home =
                self.input.home_dir.as_deref().filter(|_| rest.is_empty() || rest.starts_with('/'));
            return Location::Outside(
                home.map(|home| format!("{}{rest}", home.trim_end_matches('/'))),
            );
        }
        let has_drive = path.len() > 2
            && path.as_bytes()[1] == b':'
            && matches!(path.as_bytes()[2], b'\\' | b'/');
        if has_drive {
            return Location::Outside(None);
        }
        if path.starts_with('/') {
            let absolute = match normalized("", path) {
                Ok(path) if path == "." => "/".to_owned(),
                Ok(path) => format!("/{path}"),
                Err(_) => "/".to_owned(),
            };
            let inside = root.and_then(|root| absolute.strip_prefix(root));
            return match inside {
                Some("") => Location::Inside(".".to_owned()),
                Some(rest) if rest.starts_with('/') => Location::Inside(rest[1..].to_owned()),
                _ => Location::Outside(Some(absolute)),
            };
        }
        match normalized(base, path) {
            Ok(inside) => Location::Inside(inside),
            Err(above) => Location::Outside(root.and_then(|root| {
                normalized(root, &above)
                    .ok()
                    .map(|path| format!("/{}", path.trim_start_matches('.')))
            })),
        }
    }

    /// A path that has to be inside the project; says so when it is not.
    pub(crate) fn inside(&mut self, view: &View<'_>, path: &str, what: &str) -> Option<String> {
        if path.contains("://") || path.starts_with("git@") {
            let message =
                format!("{what} lies on another machine; only files of the project are read");
            self.add(Code::PathOutside, &view.node.at, &view.path, message)
                .hint("copy it into the repository");
            return None;
        }
        match self.locate(&view.node.at, path) {
            Location::Inside(path) => Some(path),
            Location::Outside(_) => {
                let message = format!("{what} lies outside the project");
                self.add(Code::PathOutside, &view.node.at, &view.path, message)
                    .hint("keep what is needed inside the repository, and name it relative to the compose file");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::normalized;

    #[test]
    fn dots_are_followed_and_the_root_is_the_end() {
        let check = |base, path, expected: &str| {
            let shown = normalized(base, path).unwrap_or_else(|above| format!("above {above}"));
            assert_eq!(shown, expected, "{base} {path}");
        };
        check("", "./a/../b/", "b");
        check("docker", "..", ".");
        check("docker/dev", "../x", "docker/x");
        check("docker", "../../x", "above ../x");
        check("", ".", ".");
    }
}
