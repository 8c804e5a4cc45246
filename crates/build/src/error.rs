//! Why sources, tools or files could not be had.

use std::io;
use std::path::Path;

use model::Problem;

/// Why sources, tools or files could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused.
    #[error("failed to {doing}")]
    Io {
        /// What was being done, to what.
        doing: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The `git` program refused.
    #[error("failed to {doing}: {message}")]
    Git {
        /// What was being done, to what.
        doing: String,
        /// The last line that it said.
        message: String,
    },
    /// Something the person has to act on.
    #[error("{}", .0.message)]
    Refused(Problem),
}

impl Error {
    pub(crate) fn io(doing: impl Into<String>, source: io::Error) -> Self {
        Self::Io { doing: doing.into(), source }
    }

    /// For `map_err`: the error of doing `verb` to `path`.
    pub(crate) fn at(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let doing = format!("{verb} {}", path.display());
        move |source| Self::Io { doing, source }
    }

    /// What a person is told.
    #[must_use]
    pub fn problem(&self) -> Problem {
        match self {
            Self::Refused(problem) => problem.clone(),
            Self::Git { message, doing } => {
                Problem::new("git-failed", format!("failed to {doing}")).detail(message.clone())
            }
            Self::Io { doing, source } => {
                let problem = Problem::new("host-refused", format!("failed to {doing}"))
                    .detail(source.to_string());
                if source.kind() == io::ErrorKind::StorageFull {
                    problem.hint("free some space; `gable doctor` shows what Gable itself uses")
                } else {
                    problem
                }
            }
        }
    }
}
