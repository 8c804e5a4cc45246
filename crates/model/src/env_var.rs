//! Environment variables as the author declared them, before they are resolved.

use serde::{Deserialize, Serialize};

use crate::database::DatabaseProperty;

/// One declared variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvVar {
    /// The name; real files use names that are no identifiers (`discovery.type`).
    pub key: String,
    /// Where the value comes from.
    pub source: EnvSource,
    /// The value in preview environments, if it differs.
    pub preview_value: Option<String>,
}

/// A named set of variables that services link with `fromGroup`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvGroup {
    /// Its name, as written.
    pub name: String,
    /// What it holds.
    pub env: Vec<EnvVar>,
}

/// Whose variable it is, by name: services and groups may share names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnvOwner {
    /// A service's own.
    Service(String),
    /// A group's.
    Group(String),
}

/// How a stored value came to be.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    strum::EnumString,
    strum::Display,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ValueOrigin {
    /// Made by Gable for `generateValue: true`, once.
    Generated,
    /// Set by a person.
    Operator,
}

/// Where a variable's value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnvSource {
    /// The text of the file, exactly.
    Literal(String),
    /// `generateValue: true`: 256 random bits in base64, made once and never changed.
    Generate,
    /// `sync: false`: a person gives it, or it stays unset.
    Ask,
    /// A property of a PostgreSQL database.
    FromDatabase {
        /// The database's name in the file.
        name: String,
        /// Which property.
        property: DatabaseProperty,
    },
    /// Something of another service or Key Value instance.
    FromService {
        /// The service's name in the file.
        name: String,
        /// What of it.
        reference: ServiceReference,
    },
    /// A dialect that Render does not have: text with `${…}` in it, understood in tolerant mode.
    Template(Vec<TemplatePart>),
}

/// What a `fromService` takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceReference {
    /// A property of the service.
    Property(ServiceProperty),
    /// A copy of one of its variables.
    EnvVar(String),
}

/// What a service tells about itself.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::EnumString,
    strum::Display,
    strum::VariantNames,
)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "camelCase")]
pub enum ServiceProperty {
    /// Name in the private network.
    Host,
    /// Port in the private network.
    Port,
    /// `host:port`.
    #[strum(serialize = "hostport")]
    #[serde(rename = "hostport")]
    HostPort,
    /// `redis://host:port`; Key Value only.
    ConnectionString,
    /// The address for a browser; not Render's, but what authors of `${api.url}` mean.
    Url,
}

/// A piece of a text with `${…}` in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemplatePart {
    /// Plain text.
    Text(String),
    /// `${KEY}`, `${KEY:-default}`, `${KEY:offset:length}`: a variable of the same service.
    Variable {
        /// Its name.
        key: String,
        /// What is used when it is unset or empty.
        default: Option<String>,
        /// `(offset, length)` in characters.
        slice: Option<(usize, usize)>,
    },
    /// `${name.property}`: a property of a service.
    Service {
        /// The service's name.
        name: String,
        /// Which property.
        property: ServiceProperty,
    },
    /// `${name.property}` where the name is a database's.
    Database {
        /// The database's name.
        name: String,
        /// Which property.
        property: DatabaseProperty,
    },
}
