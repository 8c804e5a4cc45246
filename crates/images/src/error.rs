//! Why an image could not be had.

use std::io;
use std::path::Path;

use model::Problem;

/// Why an image could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A name of an image, or a digest, that cannot be one.
    #[error("failed to read the image name `{text}`: {reason}")]
    Reference {
        /// What was given, cut where it is long.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The settings of registries contradict themselves.
    #[error("failed to read the settings of registries: {reason}")]
    Settings {
        /// What is wrong, and where.
        reason: String,
    },
    /// The registry has no such image.
    #[error("{registry} has no image {image}")]
    NotFound {
        /// The image.
        image: String,
        /// Who was asked.
        registry: String,
    },
    /// The registry wants other credentials.
    #[error("{registry} refuses access to {image}")]
    Unauthorized {
        /// The image.
        image: String,
        /// Who was asked.
        registry: String,
        /// Whether credentials were sent.
        with_credential: bool,
    },
    /// The registry could not be reached, or the connection broke again and again.
    #[error("{registry} cannot be reached")]
    Unreachable {
        /// Who was asked.
        registry: String,
        /// What went wrong on the way, without addresses that hold secrets.
        reason: String,
    },
    /// The registry answered with something else than what was asked for.
    #[error("{registry} answered {status} for {image}")]
    Answer {
        /// The image.
        image: String,
        /// Who was asked.
        registry: String,
        /// The HTTP status.
        status: u16,
    },
    /// What came is not what its digest says, or not an image at all.
    #[error("{what} is damaged: {reason}")]
    Damaged {
        /// The layer, manifest or archive.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A layer holds an entry that could reach outside of it, or that nothing honest needs.
    #[error("{layer} is refused because of its entry `{entry}`: {reason}")]
    Refused {
        /// The layer.
        layer: String,
        /// The entry's path, as the layer names it.
        entry: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A limit was reached.
    #[error("{what} is too large: more than {limit} {unit}")]
    TooLarge {
        /// The layer, image or manifest.
        what: String,
        /// The limit that was reached.
        limit: u64,
        /// What the limit counts.
        unit: &'static str,
    },
    /// The image exists, but not for this machine.
    #[error("{image} has no variant for {wanted}")]
    PlatformMissing {
        /// The image.
        image: String,
        /// The platform that was looked for.
        wanted: String,
        /// Those that there are.
        available: Vec<String>,
    },
    /// A layout or archive holds more than one image, or none.
    #[error("{place} holds {count} images; one was expected")]
    NotOneImage {
        /// The layout or archive.
        place: String,
        /// So many there are.
        count: usize,
    },
    /// The image names a user or group that it does not have.
    #[error("the image has no {kind} `{name}`")]
    UserMissing {
        /// `user` or `group`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// Unpacking was tried without root.
    #[error("images can be unpacked by root only")]
    NeedsRoot,
    /// The work was given up because a part of it failed, or because nobody waits for it.
    #[error("the work on {what} was given up")]
    Stopped {
        /// The layer.
        what: String,
    },
    /// The host refused.
    #[error("failed to {doing}")]
    Io {
        /// What was being done, to what.
        doing: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn reference(text: &str, reason: &str) -> Self {
        let text = text.chars().take(200).collect();
        Self::Reference { text, reason: reason.to_owned() }
    }

    pub(crate) fn damaged(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Damaged { what: what.into(), reason: reason.into() }
    }

    pub(crate) fn io(doing: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io { doing: doing.into(), source: source.into() }
    }

    /// For `map_err`: the error of doing `verb` to `path`.
    pub(crate) fn at<E: Into<io::Error>>(
        verb: &'static str,
        path: &Path,
    ) -> impl FnOnce(E) -> Self {
        let doing = format!("{verb} {}", path.display());
        move |source| Self::Io { doing, source: source.into() }
    }

    /// Whether another place may have the same in order.
    pub(crate) fn is_worth_another_place(&self) -> bool {
        matches!(
            self,
            Self::NotFound { .. }
                | Self::Unauthorized { .. }
                | Self::Unreachable { .. }
                | Self::Answer { .. }
                | Self::Damaged { .. }
                | Self::TooLarge { .. }
        )
    }

    /// What a person is told.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let problem = Problem::new(self.code(), self.to_string());
        let problem = match self {
            Self::Unreachable { reason, .. } => problem.detail(reason.clone()),
            Self::PlatformMissing { available, .. } if !available.is_empty() => {
                problem.detail(format!("there is one for {}", available.join(", ")))
            }
            Self::Io { source, .. } => problem.detail(source.to_string()),
            _ => problem,
        };
        match self.hint() {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Reference { .. } => "image-name",
            Self::Settings { .. } => "registry-settings",
            Self::NotFound { .. } => "image-not-found",
            Self::Unauthorized { .. } => "image-unauthorized",
            Self::Unreachable { .. } => "registry-unreachable",
            Self::Answer { .. } => "registry-refused",
            Self::Damaged { .. } => "image-damaged",
            Self::Refused { .. } => "image-refused",
            Self::TooLarge { .. } => "image-too-large",
            Self::PlatformMissing { .. } => "image-platform-missing",
            Self::NotOneImage { .. } => "image-ambiguous",
            Self::UserMissing { .. } => "image-user-missing",
            Self::NeedsRoot => "image-needs-root",
            Self::Stopped { .. } => "image-stopped",
            Self::Io { .. } => "host-refused",
        }
    }

    fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Reference { .. } => "write it like `ghcr.io/owner/app:1.2` or `postgres:16`",
            Self::Settings { .. } => "correct the server's settings and start it again",
            Self::NotFound { .. } => "check the name and the tag; the image may have been removed",
            Self::Unauthorized { with_credential: true, .. } => {
                "check user name and password, and that they may read this repository"
            }
            Self::Unauthorized { .. } => {
                "it is private or does not exist: check the name, or give a registry credential"
            }
            Self::Unreachable { .. } => {
                "check the network and the registry's name; images that were pulled before still work"
            }
            Self::Answer { status: 429, .. } => {
                "the registry limits how often it is asked: wait, log in, or use a mirror"
            }
            Self::Answer { .. } => "try again later, or use a mirror",
            Self::Damaged { .. } => "pull it again; if it stays, the image has to be pushed again",
            Self::Refused { .. } => "do not run this image unless you know who made it and why",
            Self::TooLarge { .. } => "use a smaller image, or raise the limit in the settings",
            Self::PlatformMissing { .. } => "use an image that was built for this machine too",
            Self::NotOneImage { .. } => "write one image into it and try again",
            Self::UserMissing { .. } => "name a user of the image, or give numbers",
            Self::NeedsRoot => "run the server as root: owners and devices of layers need it",
            Self::Stopped { .. } => "repeat it: it goes on from there",
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "free some space; `gable doctor` shows what Gable itself uses"
            }
            Self::Io { .. } => return None,
        })
    }
}
