//! Why the store could not do what it was asked.

use std::path::PathBuf;

use model::Problem;
use model::deploy::RefusedTransition;

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory of the state could not be used.
    #[error("cannot {doing} {path}")]
    File {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the host said.
        #[source]
        source: std::io::Error,
    },
    /// SQLite refused.
    #[error("cannot {doing} in the database of the control plane")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// There is no room left.
    #[error("cannot {doing}: the disk that holds the state is full")]
    DiskFull {
        /// What was being done.
        doing: &'static str,
    },
    /// The file is a database, but none of ours, or no database at all.
    #[error("{0} is not a database of Gable")]
    Foreign(PathBuf),
    /// A newer Gable has been here.
    #[error("{path} has schema version {found}, and this Gable knows versions up to {known}")]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest that this program knows.
        known: u32,
    },
    /// The database does not hold together.
    #[error("{path} is damaged: {verdict}")]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What SQLite found.
        verdict: String,
    },
    /// The database holds sealed values and the key file is gone.
    #[error("{0}, the key of all sealed values, is missing")]
    KeyMissing(PathBuf),
    /// The key file has not the size of a key.
    #[error("{0}, the key of all sealed values, is damaged")]
    KeyDamaged(PathBuf),
    /// The key file is another database's.
    #[error("{0} is not the key that this database was sealed with")]
    KeyForeign(PathBuf),
    /// A sealed value was changed, or moved to another place.
    #[error("the sealed value at {0} cannot be opened")]
    Unsealable(String),
    /// A stored text is not what this program understands.
    #[error("cannot read {what} that was stored earlier")]
    Malformed {
        /// What it is.
        what: &'static str,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// Something with this id or name is not there.
    #[error("there is no {noun} {id}")]
    NotFound {
        /// What kind of thing.
        noun: &'static str,
        /// Its id or name.
        id: String,
    },
    /// The deploy's status does not allow it; nothing was changed.
    #[error(transparent)]
    Refused(#[from] RefusedTransition),
}

impl Error {
    pub(crate) fn file(
        doing: &'static str,
        path: impl Into<PathBuf>,
        source: std::io::Error,
    ) -> Self {
        Self::File { doing, path: path.into(), source }
    }

    pub(crate) fn not_found(noun: &'static str, id: impl ToString) -> Self {
        Self::NotFound { noun, id: id.to_string() }
    }

    /// The same error, with what was being done when SQLite refused.
    pub(crate) fn during(self, doing: &'static str) -> Self {
        match self {
            Self::Database { source, .. } if is_full(&source) => Self::DiskFull { doing },
            Self::Database { source, .. } => Self::Database { doing, source },
            other => other,
        }
    }

    /// The error for the person who has to act on it.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let problem = Problem::new(self.code(), self.to_string());
        let problem = match std::error::Error::source(self) {
            Some(source) => problem.detail(source.to_string()),
            None => problem,
        };
        match self.hint() {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::File { .. }
            | Self::Database { .. }
            | Self::Damaged { .. }
            | Self::Malformed { .. } => "state-unusable",
            Self::DiskFull { .. } => "disk-full",
            Self::Foreign(_) => "state-foreign",
            Self::NewerSchema { .. } => "state-newer",
            Self::KeyMissing(_) | Self::KeyDamaged(_) | Self::KeyForeign(_) => "secret-key",
            Self::Unsealable(_) => "secret-unreadable",
            Self::NotFound { .. } => "not-found",
            Self::Refused(_) => "refused",
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::DiskFull { .. } => {
                "free some room, then repeat; nothing was half-written".to_owned()
            }
            Self::Foreign(path) => format!(
                "`gable server restore` puts a copy in its place; or move {} away, or choose \
                 another --state-dir",
                path.display()
            ),
            Self::Damaged { .. } => "`gable server restore --list` shows the copies".to_owned(),
            Self::NewerSchema { .. } => {
                "use the newer gable, or choose another --state-dir; state is never converted back"
                    .to_owned()
            }
            Self::KeyMissing(path) | Self::KeyDamaged(path) | Self::KeyForeign(path) => format!(
                "put {} back from a backup; without it generated secrets and passwords cannot be \
                 recovered, and only a new --state-dir helps",
                path.display()
            ),
            _ => return None,
        })
    }
}

impl From<rusqlite::Error> for Error {
    fn from(source: rusqlite::Error) -> Self {
        Self::Database { doing: "work", source }
    }
}

fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
}
