//! Managed data stores: real PostgreSQL and real Valkey or Redis, run as instances of the engine.
//!
//! Each store is one instance with a user, an address and a data directory of its own. This crate
//! obtains the programs ([`binaries`]), makes the cluster, writes its whole configuration at every
//! start, waits until it answers, and makes the declared role and database. Every `ensure_*` can
//! be repeated after a crash at any line: it looks first and does only what is missing.
//!
//! Layout of a store's directory, `data/<id>/`:
//! - `pgdata` or `data`: what the server writes. A PostgreSQL cluster is made in `pgdata.new` and
//!   renamed when it is complete, so `pgdata` is never half a cluster and never deleted here. The
//!   files that fill a new database run before that, in a server that nobody else can reach.
//! - `conf`: configuration and TLS key, written by us, read-only for the server.
//! - `instance`: the instance that was started last, so that two never run on one directory. The
//!   server also holds a lock on its data directory for as long as any of its processes lives:
//!   PostgreSQL's own guard compares process ids, which mean nothing across PID namespaces.
//!
//! Nothing here keeps state in memory, and nothing decides when a store is to run: that is the
//! control plane's.

pub mod binaries;
mod command;
mod error;
pub mod extensions;
mod files;
mod instance;
mod key_value;
mod postgres;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use model::Problem;

pub use error::Error;
pub use key_value::{
    KEY_VALUE_PORT, KeyValueRequest, check_key_value, ensure_key_value, key_value_url,
    key_value_url_with, stop_key_value,
};
pub use postgres::{
    Client, InitFile, InitKind, POSTGRES_PORT, PostgresRequest, SUPERUSER, check_postgres,
    connection_string, data_version, ensure_postgres, psql_command, stop_postgres,
};

/// Where things are, and what of the host may be used.
#[derive(Debug, Clone)]
pub struct Config {
    /// Programs that were obtained, shared by all stores.
    pub binaries_dir: PathBuf,
    /// One directory per store. Everything that must survive is here.
    pub data_dir: PathBuf,
    /// `logs_dir/<store>/<instance>.log`.
    pub logs_dir: PathBuf,
    /// A directory on a tmpfs, for passwords on their way into `initdb`.
    pub run_dir: PathBuf,
    /// The operator's variables (proxies, CA, mirrors) for the clients that download.
    pub operator_env: Vec<(String, String)>,
    /// Where installed PostgreSQL majors are: `<here>/<major>/bin`.
    pub installed_postgres: PathBuf,
    /// Installed servers that speak Redis's protocol, in order of preference.
    pub installed_key_value: Vec<PathBuf>,
    /// The Python whose pip downloads.
    pub python: PathBuf,
}

impl Config {
    /// The usual places under a state directory and a run directory.
    #[must_use]
    pub fn new(state_dir: &Path, run_dir: &Path) -> Self {
        Self {
            binaries_dir: state_dir.join("binaries"),
            data_dir: state_dir.join("data"),
            logs_dir: state_dir.join("logs"),
            run_dir: run_dir.to_owned(),
            operator_env: Vec::new(),
            installed_postgres: PathBuf::from("/usr/lib/postgresql"),
            installed_key_value: [
                "/usr/bin/valkey-server",
                "/usr/bin/redis-server",
                "/usr/local/bin/valkey-server",
                "/usr/local/bin/redis-server",
            ]
            .map(PathBuf::from)
            .to_vec(),
            python: PathBuf::from("/usr/bin/python3"),
        }
    }
}

/// Hears what is being done, for a person who waits.
pub trait Progress: Send + Sync {
    /// Something that takes a moment begins: a sentence in lower case without a full stop.
    fn step(&self, text: &str);
}

impl<F: Fn(&str) + Send + Sync> Progress for F {
    fn step(&self, text: &str) {
        self(text);
    }
}

/// A store that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Where it answers in its environment's private network.
    pub address: SocketAddr,
    /// What it says of itself, such as `17.2` or `Valkey 9.1.2`.
    pub version: String,
    /// What was asked of it and is not done, such as a setting that is Gable's. It runs without.
    pub notes: Vec<Problem>,
}

/// Everything but the unreserved characters of RFC 3986 as `%XX`.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_with_reserved_characters_survives_an_url() {
        assert_eq!(percent_encoded("a/b+c=:@ü"), "a%2Fb%2Bc%3D%3A%40%C3%BC");
    }
}
