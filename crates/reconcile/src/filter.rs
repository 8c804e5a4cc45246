//! Which changes of a repository concern a service.
//!
//! Paths are relative to the repository's root, also with a `rootDir`; what is ignored beats what
//! is included (Render: monorepo-support page). Without a filter, a root directory is the filter.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use model::Service;

/// What concerns one service.
#[derive(Debug, Clone)]
pub struct Filter {
    root: String,
    included: Option<GlobSet>,
    ignored: GlobSet,
}

impl Filter {
    /// The filter that a service declares; everything concerns one that declares nothing. A glob
    /// that is none matches nothing.
    #[must_use]
    pub fn of(service: &Service) -> Self {
        let globs = service.build_filter.clone().unwrap_or_default();
        let root = normal(&service.root_dir);
        Self {
            included: (!globs.paths.is_empty()).then(|| set(&globs.paths)),
            ignored: set(&globs.ignored_paths),
            root,
        }
    }

    /// Whether a change of this file concerns the service.
    #[must_use]
    pub fn concerns(&self, path: &str) -> bool {
        if self.ignored.is_match(path) {
            return false;
        }
        match &self.included {
            Some(included) => included.is_match(path),
            None => {
                self.root.is_empty()
                    || path
                        .strip_prefix(self.root.as_str())
                        .is_some_and(|rest| rest.starts_with('/'))
            }
        }
    }

    /// The directory outside of which nothing concerns the service; empty where that is not known.
    #[must_use]
    pub fn directory(&self) -> &str {
        if self.included.is_none() { &self.root } else { "" }
    }

    /// Whether everything concerns it.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.included.is_none() && self.ignored.is_empty() && self.root.is_empty()
    }
}

fn normal(root_dir: &str) -> String {
    let parts: Vec<&str> =
        root_dir.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    parts.join("/")
}

fn set(globs: &[String]) -> GlobSet {
    let mut builder = GlobSetBuilder::new();
    for glob in globs {
        // `[^abc]` is what the page writes; `[!abc]` is what the library wants.
        let text = glob.trim_start_matches("./").replace("[^", "[!");
        if let Ok(glob) = GlobBuilder::new(&text).literal_separator(true).build() {
            builder.add(glob);
        }
    }
    builder.build().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(root: &str, paths: &[&str], ignored: &[&str]) -> Filter {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let paths = owned(paths);
        Filter {
            root: normal(root),
            included: (!paths.is_empty()).then(|| set(&paths)),
            ignored: set(&owned(ignored)),
        }
    }

    #[test]
    fn without_a_filter_everything_concerns_it() {
        assert!(filter("", &[], &[]).concerns("any/file"));
        assert!(filter(".", &[], &[]).is_everything());
    }

    #[test]
    fn a_root_directory_is_a_filter() {
        let filter = filter("./apps/web/", &[], &[]);
        assert!(filter.concerns("apps/web/index.js"));
        assert!(!filter.concerns("apps/website/index.js"));
        assert!(!filter.concerns("README.md"));
    }

    #[test]
    fn ignored_beats_included() {
        let filter = filter(".", &["apps/web/**", "pnpm*"], &["**/*.md"]);
        assert!(filter.concerns("apps/web/src/deep/page.tsx"));
        assert!(filter.concerns("pnpm-lock.yaml"));
        assert!(!filter.concerns("apps/web/README.md"));
        assert!(!filter.concerns("apps/api/index.ts"));
        assert!(!filter.concerns("deep/pnpm-lock.yaml"));
    }

    #[test]
    fn character_classes_are_understood() {
        let filter = filter("", &["file[^0-9].txt", "?.js"], &[]);
        assert!(filter.concerns("fileA.txt"));
        assert!(!filter.concerns("file1.txt"));
        assert!(filter.concerns("a.js"));
        assert!(!filter.concerns("ab.js"));
    }
}
