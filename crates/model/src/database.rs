//! Managed data stores: PostgreSQL and Key Value.

use serde::{Deserialize, Serialize};

use crate::container::PublishedPort;
use crate::instance_type::InstanceType;

/// A PostgreSQL database as declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Its name in the file, and its identity.
    pub name: String,
    /// Name of the database inside PostgreSQL.
    pub database_name: String,
    /// The role that owns it.
    pub user: String,
    /// PostgreSQL's major version.
    pub major_version: u8,
    /// Its size.
    pub instance_type: InstanceType,
    /// Declared size of the disk; shown, not enforced.
    pub disk_size_gb: Option<u32>,
    /// What a compose file says of it that a Blueprint cannot.
    #[serde(default)]
    pub compose: ComposeStore,
}

/// What a compose file says of a data store that a Blueprint cannot.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ComposeStore {
    /// The image that it runs instead of; empty for a Blueprint's.
    pub image: String,
    /// Whether clients have to give the password that the file names.
    pub has_password: bool,
    /// More names in the private network.
    pub aliases: Vec<String>,
    /// Ports of the host that lead to it.
    pub published: Vec<PublishedPort>,
    /// Files and directories of the project that fill a new database, in file order.
    pub init_files: Vec<String>,
    /// Settings of the server, by name.
    pub parameters: Vec<(String, String)>,
}

/// What can be asked of a PostgreSQL database by `fromDatabase`.
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
pub enum DatabaseProperty {
    /// `postgresql://user:password@host:port/database`.
    ConnectionString,
    /// The same through the pooler; equal to `ConnectionString` where there is none.
    ConnectionPoolString,
    /// Name in the private network.
    Host,
    /// Port in the private network.
    Port,
    /// The owning role.
    User,
    /// Its password.
    Password,
    /// Name of the database inside PostgreSQL.
    Database,
}

/// A Key Value instance (Valkey or Redis) as declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyValue {
    /// Its name in the file, and its identity.
    pub name: String,
    /// Its size; the memory is also the server's `maxmemory`.
    pub instance_type: InstanceType,
    /// What is dropped when memory is full.
    pub maxmemory_policy: MaxmemoryPolicy,
    /// What survives a restart.
    pub persistence_mode: PersistenceMode,
    /// What a compose file says of it that a Blueprint cannot.
    #[serde(default)]
    pub compose: ComposeStore,
}

/// The `maxmemory-policy` of Valkey and Redis.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    Serialize,
    Deserialize,
    strum::EnumString,
    strum::Display,
    strum::VariantNames,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are the documentation; they are Redis's own")]
pub enum MaxmemoryPolicy {
    #[default]
    AllkeysLru,
    AllkeysLfu,
    AllkeysRandom,
    VolatileLru,
    VolatileLfu,
    VolatileRandom,
    VolatileTtl,
    Noeviction,
}

/// What of a Key Value instance survives a restart.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    Serialize,
    Deserialize,
    strum::EnumString,
    strum::Display,
    strum::VariantNames,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum PersistenceMode {
    /// Append-only file and snapshots.
    #[default]
    JournalSnapshot,
    /// Snapshots only.
    Snapshot,
    /// Nothing.
    Off,
}
