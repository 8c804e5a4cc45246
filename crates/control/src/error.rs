//! Why the control plane could not do what it was asked.

use model::Problem;

/// Why the control plane could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something that the person who asked can do something about.
    #[error("{}", .0.message)]
    Problem(Box<Problem>),
    /// What is written down cannot be read or changed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// The source could not be read, or its artifact.
    #[error(transparent)]
    Build(#[from] build::Error),
    /// A data store could not be made to do something.
    #[error(transparent)]
    Databases(#[from] databases::Error),
    /// The edge does not answer, or refused.
    #[error(transparent)]
    Edge(#[from] edge::Error),
    /// A log could not be read.
    #[error(transparent)]
    Telemetry(#[from] telemetry::Error),
    /// The host refused.
    #[error("cannot {doing}")]
    Host {
        /// What was being done, to what.
        doing: String,
        /// What the host said.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// For an operation of the host's: `doing` is a verb and its object.
    pub fn host(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Host { doing, source }
    }

    /// The same for a person, with all causes as its detail.
    #[must_use]
    pub fn problem(&self) -> Problem {
        match self {
            Self::Problem(problem) => (**problem).clone(),
            Self::Store(error) => error.problem(),
            Self::Build(error) => error.problem(),
            Self::Databases(error) => error.problem(),
            other => {
                let problem = Problem::new("host-refused", other.to_string());
                match causes(other) {
                    causes if causes.is_empty() => problem,
                    causes => problem.detail(causes),
                }
            }
        }
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
