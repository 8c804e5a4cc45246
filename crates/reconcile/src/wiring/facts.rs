//! What has to be known before anything can be resolved.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{Database, EnvGroup, EnvOwner, KeyValue, Service, ServiceId, ValueOrigin};
use secrecy::SecretString;

use super::Phase;

/// One environment, as it will be: everything is named before the first build begins.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Its services, in any order.
    pub services: Vec<ServiceFacts>,
    /// Its databases, in any order.
    pub databases: Vec<DatabaseFacts>,
    /// Its Key Value instances, in any order.
    pub key_values: Vec<KeyValueFacts>,
    /// Its groups, the one created last at the end.
    pub groups: Vec<EnvGroup>,
    /// Values that are not in the file.
    pub values: Vec<StoredValue>,
    /// Resources that belong to no environment, where references look next. Their own `root` is
    /// not looked at. Shared by all environments of a file.
    pub root: Option<Arc<Facts>>,
    /// Its name, where the file has several environments.
    pub environment: Option<String>,
    /// What the environments of the file have: named in hints, never used.
    pub elsewhere: Arc<Elsewhere>,
    /// Values that a person gave for variables that the files name: texts of the files hold them
    /// by now, and are as secret as they are.
    pub given: Vec<SecretString>,
    /// What the operator gives to every build and instance.
    pub operator_env: Vec<(String, String)>,
    /// Processors of the machine; 0 when unknown.
    pub cpu_count: u32,
    /// Whether this is a preview of a pull request.
    pub is_pull_request: bool,
}

/// A service.
#[derive(Debug, Clone)]
pub struct ServiceFacts {
    /// The declaration.
    pub service: Service,
    /// Its id.
    pub id: ServiceId,
    /// Its name in the private network, or the address that stands for it.
    pub host: String,
    /// The name that stands for all of its instances.
    pub discovery_host: String,
    /// Where it was seen listening; `None` before it ever ran.
    pub seen_port: Option<u16>,
    /// The port that it is given when it declares none, where instances share the host's ports;
    /// `None` is Render's 10000.
    pub assigned_port: Option<u16>,
    /// Where browsers reach it; `None` if they do not.
    pub external: Option<External>,
    /// Its source; `None` for images.
    pub git: Option<GitFacts>,
    /// What its language is usually run with.
    pub defaults: Vec<LanguageDefault>,
}

/// A public address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct External {
    /// Host name without port.
    pub host: String,
    /// The whole address, without a slash at the end.
    pub url: String,
}

/// The source of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitFacts {
    /// The branch; empty when there is none.
    pub branch: String,
    /// The full id of the commit.
    pub commit: String,
    /// `owner/name`, where the repository has a remote that tells.
    pub repo_slug: Option<String>,
    /// A tag of the commit. No variable of Render's, but what authors of `${RENDER_GIT_TAG}` mean.
    pub tag: Option<String>,
}

/// A variable that a language is usually built or run with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LanguageDefault {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: String,
    /// When.
    pub phase: Phase,
}

/// A PostgreSQL database.
#[derive(Debug, Clone)]
pub struct DatabaseFacts {
    /// The declaration.
    pub database: Database,
    /// Its name in the private network.
    pub host: String,
    /// Its port there.
    pub port: u16,
    /// The password of its owning role.
    pub password: SecretString,
}

/// A Key Value instance.
#[derive(Debug, Clone)]
pub struct KeyValueFacts {
    /// The declaration.
    pub key_value: KeyValue,
    /// Its name in the private network.
    pub host: String,
    /// Its port there.
    pub port: u16,
    /// Its password, if it asks for one.
    pub password: Option<SecretString>,
}

/// A value that is not in the file.
#[derive(Debug, Clone)]
pub struct StoredValue {
    /// Whose.
    pub owner: EnvOwner,
    /// Its name.
    pub key: String,
    /// The value.
    pub value: SecretString,
    /// How it came to be.
    pub origin: ValueOrigin,
}

/// What the environments of a file have, by its name: services, data stores and groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Elsewhere {
    environments: BTreeMap<String, BTreeSet<String>>,
}

impl Elsewhere {
    /// Notes that an environment has something of this name.
    pub fn note(&mut self, environment: &str, name: &str) {
        self.environments.entry(name.to_owned()).or_default().insert(environment.to_owned());
    }

    /// The environments that have something of this name, but for one.
    pub(super) fn of(&self, name: &str, but: Option<&str>) -> Vec<&str> {
        let all = self.environments.get(name).into_iter().flatten().map(String::as_str);
        all.filter(|environment| Some(*environment) != but).collect()
    }
}
