//! Writable views of directories.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};

/// What a view is made of.
pub(super) struct Overlay<'a> {
    /// Directories that stay as they are, topmost first.
    pub(super) lower: Vec<&'a Path>,
    /// Takes what is written.
    pub(super) upper: &'a Path,
    /// The kernel's own.
    pub(super) work: &'a Path,
}

impl Overlay<'_> {
    /// Mounts it. `names` is an empty directory of this mount's own.
    ///
    /// The kernel takes one page of options, which the paths of 64 layers fill, and gives commas and
    /// colons in them a meaning. So it gets links with short names, relative to their directory.
    pub(super) fn mount(&self, at: &Path, names: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(names)?;
        let mut lower: Vec<String> = Vec::new();
        for (number, path) in self.lower.iter().enumerate() {
            // The kernel refuses one that is there twice; the higher one hides all of the lower.
            if !self.lower[..number].contains(path) {
                symlink(path, names.join(number.to_string()))?;
                lower.push(number.to_string());
            }
        }
        symlink(self.upper, names.join("u"))?;
        symlink(self.work, names.join("w"))?;
        let at = std::path::absolute(at)?;
        let options = format!("lowerdir={},upperdir=u,workdir=w", lower.join(":"));
        let before = std::env::current_dir()?;
        std::env::set_current_dir(names)?;
        let flags = MsFlags::MS_NODEV;
        let mounted = mount(Some("overlay"), &at, Some("overlay"), flags, Some(options.as_str()));
        std::env::set_current_dir(before)?;
        Ok(mounted?)
    }
}

/// All of them, for a person.
pub(super) fn listed(paths: &[&Path]) -> String {
    let texts: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    match &texts[..] {
        [first, .., last] if texts.len() > 3 => {
            format!("{first} … {last} ({} directories)", texts.len())
        }
        _ => texts.join(", "),
    }
}

/// Where the names of an overlay go.
pub(super) fn names(directory: &Path, name: &str) -> PathBuf {
    directory.join("layers").join(name)
}
