//! What comes out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use model::{DatabaseProperty, Problem, ServiceProperty};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// The key of a [`Missing`] that stands for a whole group: nobody knows the names in it.
pub const ANY_KEY: &str = "*";

/// The environments of all services.
#[derive(Debug, Clone, Default)]
pub struct Resolution {
    /// By the service's name; each sorted by key. A key stands twice only when its value is
    /// different at build and at run time.
    pub services: BTreeMap<String, Vec<Variable>>,
    /// What has no value, sorted. The services start all the same.
    pub missing: Vec<Missing>,
    /// What must be refused: circles.
    pub problems: Vec<Problem>,
    /// `(service, key)` → those that read it.
    pub(super) readers: BTreeMap<(String, String), BTreeSet<(String, String)>>,
}

/// One variable of one service.
///
/// Serialised it holds the value in the clear: only for what is sealed at once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Variable {
    /// Its name.
    pub key: String,
    /// Its value; `None` when nobody gives it one, and then it is not set at all.
    #[serde(with = "clear")]
    pub value: Option<SecretString>,
    /// Where the value comes from.
    pub origin: Origin,
    /// Whether it should be masked when it is shown.
    pub is_secret: bool,
    /// When it is set.
    pub phase: Phase,
}

/// When a variable is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Always.
    Both,
    /// While commands build.
    Build,
    /// While instances, jobs and pre-deploy commands run.
    Run,
}

impl Phase {
    /// Whether builds see it.
    #[must_use]
    pub fn includes_build(self) -> bool {
        matches!(self, Self::Both | Self::Build)
    }

    /// Whether instances see it.
    #[must_use]
    pub fn includes_run(self) -> bool {
        matches!(self, Self::Both | Self::Run)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Both => "both",
            Self::Build => "build",
            Self::Run => "run",
        })
    }
}

/// Where a value comes from. `Display` says it in the words of `gable env`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The platform, about itself.
    Platform,
    /// The file, as it stands there.
    Literal,
    /// Made once for `generateValue: true`.
    Generated,
    /// Set by a person.
    Operator,
    /// Asked for by `sync: false`, and given by nobody.
    Asked,
    /// A linked group, and where that has it from.
    Group {
        /// The group's name.
        name: String,
        /// Where the group has it from.
        from: Box<Origin>,
    },
    /// A database or Key Value instance.
    Database {
        /// Its name.
        name: String,
        /// What of it.
        property: DatabaseProperty,
    },
    /// A service or Key Value instance.
    Service {
        /// Its name.
        name: String,
        /// What of it.
        property: ServiceProperty,
    },
    /// Another variable.
    Copy {
        /// Whose.
        service: String,
        /// Its name.
        key: String,
    },
    /// A text of the file with `${…}` in it.
    Template,
    /// What the service's language is usually run with.
    LanguageDefault,
    /// The operator's own environment, given to all.
    OperatorEnv,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Platform => formatter.write_str("platform"),
            Self::Literal => formatter.write_str("file"),
            Self::Generated => formatter.write_str("generated once"),
            Self::Operator => formatter.write_str("set by hand"),
            Self::Asked => formatter.write_str("asked for"),
            Self::Group { name, from } => write!(formatter, "group {name}: {from}"),
            Self::Database { name, property } => write!(formatter, "database {name}: {property}"),
            Self::Service { name, property } => write!(formatter, "service {name}: {property}"),
            Self::Copy { service, key } => write!(formatter, "copy of {service}.{key}"),
            Self::Template => formatter.write_str("file, put together"),
            Self::LanguageDefault => formatter.write_str("default of the runtime"),
            Self::OperatorEnv => formatter.write_str("operator's environment"),
        }
    }
}

/// A variable that nobody gives a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Missing {
    /// The service that declares it.
    pub service: String,
    /// Its name, or [`ANY_KEY`].
    pub key: String,
    /// Why it has none.
    pub why: Why,
    /// What to do.
    pub hint: String,
    /// How to give it a value, as a shell takes it: `--set api.STRIPE_KEY=…`.
    pub set_with: String,
}

impl Missing {
    /// Whether a person can be asked for it: it is one variable, and a value would help.
    #[must_use]
    pub fn can_be_given(&self) -> bool {
        self.key != ANY_KEY && !matches!(self.why, Why::NotPassable | Why::TooLong)
    }
}

/// Why a variable has no value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// `sync: false`: a person gives it.
    AskedFor,
    /// The group that it is in is not declared.
    UndeclaredGroup(String),
    /// The service that it refers to is not declared.
    UndeclaredService(String),
    /// The database that it refers to is not declared.
    UndeclaredDatabase(String),
    /// What it refers to has no such property.
    NoSuchProperty {
        /// What it refers to.
        name: String,
        /// What is asked of it.
        property: String,
    },
    /// What it is made of has no value.
    CopyOfUnset {
        /// Whose.
        service: String,
        /// Its name.
        key: String,
    },
    /// It will be made with the first deploy.
    NotGeneratedYet,
    /// It is part of a circle.
    InCircle,
    /// Its name or value cannot be an environment variable of a process.
    NotPassable,
    /// It is longer than the kernel passes on.
    TooLong,
}

impl fmt::Display for Why {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AskedFor => {
                formatter.write_str("`sync: false`, and nobody has given a value yet")
            }
            Self::UndeclaredGroup(name) => write!(formatter, "the group `{name}` is not declared"),
            Self::UndeclaredService(name) => {
                write!(formatter, "the service `{name}` is not declared")
            }
            Self::UndeclaredDatabase(name) => {
                write!(formatter, "the database `{name}` is not declared")
            }
            Self::NoSuchProperty { name, property } => {
                write!(formatter, "`{name}` has no {property}")
            }
            Self::CopyOfUnset { service, key } => {
                write!(formatter, "it is made of {service}.{key}, which has no value")
            }
            Self::NotGeneratedYet => formatter.write_str("it is generated with the first deploy"),
            Self::InCircle => formatter.write_str("it is made of itself, in a circle"),
            Self::NotPassable => {
                formatter.write_str("its name or value cannot be passed to a process")
            }
            Self::TooLong => formatter.write_str("it is longer than a process can be given"),
        }
    }
}

/// A secret in the clear, for the one place that seals it.
mod clear {
    use secrecy::{ExposeSecret, SecretString};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        value: &Option<SecretString>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.as_ref().map(ExposeSecret::expose_secret).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SecretString>, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.map(SecretString::from))
    }
}
