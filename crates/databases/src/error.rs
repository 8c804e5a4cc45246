//! Why a store could not be made to run.

use std::path::Path;

use model::Problem;

/// Why a store could not be made to run, stopped or asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something that a person can do something about.
    #[error("{}", .0.message)]
    Problem(Box<Problem>),
    /// The host refused.
    #[error("{doing}")]
    Host {
        /// What was being done, to what.
        doing: String,
        /// What the host said.
        #[source]
        source: std::io::Error,
    },
    /// The engine refused.
    #[error("{doing}")]
    Engine {
        /// What was being done, to what.
        doing: String,
        /// What the engine said.
        #[source]
        source: engine::Error,
    },
    /// PostgreSQL refused.
    #[error("{doing}")]
    Postgres {
        /// What was being done, to what.
        doing: String,
        /// What PostgreSQL said. Statements never hold a password.
        #[source]
        source: tokio_postgres::Error,
    },
}

impl Error {
    /// The same for a person, with all causes as its detail.
    #[must_use]
    pub fn problem(&self) -> Problem {
        match self {
            Self::Problem(problem) => (**problem).clone(),
            other => {
                let problem = Problem::new("database-failed", other.to_string());
                let causes = causes(other);
                if causes.is_empty() { problem } else { problem.detail(causes) }
            }
        }
    }

    pub(crate) fn engine(doing: impl Into<String>) -> impl FnOnce(engine::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Engine { doing, source }
    }

    pub(crate) fn host(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Host { doing, source }
    }

    /// For a file operation: `doing` is a verb such as `write`.
    pub(crate) fn file(doing: &str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        Self::host(format!("{doing} {}", path.display()))
    }

    pub(crate) fn postgres(doing: impl Into<String>) -> impl FnOnce(tokio_postgres::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Postgres { doing, source }
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

fn causes(error: &Error) -> String {
    let mut causes = Vec::new();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    causes.join(": ")
}
