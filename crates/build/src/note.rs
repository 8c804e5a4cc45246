//! Things a person should know that stop nothing.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One thing a person should know that stops nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// The repository asks for another version of a tool than the one that is used.
    ToolVersion {
        /// `node`, `python` …
        tool: String,
        /// The text as it was written.
        asked: String,
        /// The file or variable that asks.
        asked_in: String,
        /// What the machine has.
        found: Option<String>,
        /// What is done about it.
        consequence: String,
    },
    /// A submodule that is not checked out at the commit that is recorded; its files are not part of
    /// the source.
    Submodule {
        /// Its path.
        path: String,
    },
    /// Files that are only pointers to Git LFS.
    LfsPointers {
        /// Some of their paths.
        paths: Vec<String>,
        /// How many there are.
        count: usize,
    },
    /// The history could not be read, so that `git describe` finds nothing.
    NoHistory {
        /// What git said.
        reason: String,
    },
    /// The repository is a clone that lacks a part of its own history.
    Incomplete {
        /// What git said.
        reason: String,
    },
    /// Only the newest part of the history is there.
    ShallowHistory {
        /// How many commits.
        depth: u32,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ToolVersion { tool, asked, asked_in, found, consequence } => {
                write!(formatter, "{tool} {asked} is asked for in {asked_in}, ")?;
                match found {
                    Some(found) => write!(formatter, "this machine has {found}: {consequence}"),
                    None => write!(formatter, "this machine has none: {consequence}"),
                }
            }
            Self::Submodule { path } => write!(
                formatter,
                "`{path}` is a submodule that is not checked out: its files are not part of the source; `git submodule update --init --recursive` gets them"
            ),
            Self::LfsPointers { paths, count } => write!(
                formatter,
                "{count} files are pointers to Git LFS and not the files themselves ({}): run `git lfs pull` first",
                paths.join(", ")
            ),
            Self::NoHistory { reason } => write!(
                formatter,
                "the history is not available to the build, so `git describe` finds nothing: {reason}"
            ),
            Self::Incomplete { reason } => write!(
                formatter,
                "this clone lacks objects of its own history ({reason}), so `git describe` finds nothing in the build: `git fsck` lists them, `git fetch --unshallow` or a new clone gets them"
            ),
            Self::ShallowHistory { depth } => {
                write!(
                    formatter,
                    "the repository is large: the build sees its last {depth} commits"
                )
            }
        }
    }
}
