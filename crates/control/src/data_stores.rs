//! What is known of the data stores of an environment, and which services use them.

use model::{DatabaseId, EnvironmentId, KeyValueId, Release};
use reconcile::wiring::{Origin, Variable};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};

use crate::environments;
use crate::error::Error;
use crate::init_files;
use crate::platform::{Platform, StoreState};

/// A data store as services see it.
#[derive(Debug, Clone)]
pub(crate) struct DataStore {
    /// Its id.
    pub(crate) id: String,
    /// Its name in the file.
    pub(crate) name: String,
    /// `database` or `Key Value instance`.
    pub(crate) noun: &'static str,
    /// Its name in the private network.
    slug: String,
    /// Its port where instances share the host's.
    port_hint: u16,
}

/// The data stores of an environment.
pub(crate) fn of(platform: &Platform, id: &EnvironmentId) -> Result<Vec<DataStore>, Error> {
    let databases = store::databases::list(&platform.store, id)?.into_iter().map(|row| DataStore {
        id: row.id.to_string(),
        name: row.definition.name,
        noun: "database",
        slug: row.slug,
        port_hint: row.port_hint,
    });
    let key_values =
        store::key_values::list(&platform.store, id)?.into_iter().map(|row| DataStore {
            id: row.id.to_string(),
            name: row.definition.name,
            noun: "Key Value instance",
            slug: row.slug,
            port_hint: row.port_hint,
        });
    Ok(databases.chain(key_values).collect())
}

/// Those that a release refers to or depends on: by a variable that comes from one, by a value
/// that names one as its host, or by `depends_on`.
pub(crate) fn used_by(
    platform: &Platform,
    id: &EnvironmentId,
    release: &Release,
) -> Result<Vec<DataStore>, Error> {
    let stores = of(platform, id)?;
    if stores.is_empty() {
        return Ok(stores);
    }
    let variables = environments::variables_of(platform, &release.id)?;
    let is_isolated = platform.driver.isolates_network();
    let is_used = |one: &DataStore| {
        let depends = &release.service.container.depends_on;
        depends.iter().any(|dependency| dependency.service == one.name)
            || variables.iter().any(|variable| one.is_named_by(variable, is_isolated))
    };
    Ok(stores.into_iter().filter(is_used).collect())
}

impl DataStore {
    fn is_named_by(&self, variable: &Variable, is_isolated: bool) -> bool {
        if origin_names(&variable.origin, &self.name) {
            return true;
        }
        let address =
            if is_isolated { self.slug.clone() } else { format!("127.0.0.1:{}", self.port_hint) };
        environments::plain_value(variable).is_some_and(|value| names_host(&value, &address))
    }
}

fn origin_names(origin: &Origin, store: &str) -> bool {
    match origin {
        Origin::Database { name, .. } | Origin::Service { name, .. } => name == store,
        Origin::Group { from, .. } => origin_names(from, store),
        _ => false,
    }
}

/// Whether a value names a host: alone, or where a URL or `host:port` has it.
fn names_host(value: &str, host: &str) -> bool {
    let is_part = |letter: char| letter.is_alphanumeric() || "-_.".contains(letter);
    value.match_indices(host).any(|(at, _)| {
        let (before, after) = (&value[..at], &value[at + host.len()..]);
        let begins = before.is_empty() || before.ends_with(['@', '/', ',', '=']);
        let ends = !after.chars().next().is_some_and(is_part);
        let is_alone = before.is_empty() && after.is_empty();
        let is_authority =
            before.ends_with(['@', ',']) || before.ends_with("//") || before.ends_with("host=");
        begins && ends && (is_alone || is_authority || after.starts_with(':'))
    })
}

/// What is known of a data store as it is declared now: a failure of what was declared before says
/// nothing about it.
pub(crate) fn state(platform: &Platform, id: &str) -> Option<StoreState> {
    match platform.store_state(id) {
        Some(StoreState::Failed { judged, .. }) if judged != declaration(platform, id) => {
            Some(StoreState::Starting("as it is declared now".to_owned()))
        }
        state => state,
    }
}

/// A digest of all that the file says of a data store; `None` when that cannot be read.
pub(crate) fn declaration(platform: &Platform, id: &str) -> Option<[u8; 32]> {
    let mut digest = Sha256::new();
    if let Ok(id) = id.parse::<DatabaseId>() {
        let row = store::databases::get(&platform.store, &id).ok()??;
        digest.update(serde_json::to_vec(&row.definition).ok()?);
        for file in init_files::kept(platform, &id).ok()? {
            digest.update(file.name.as_bytes());
            digest.update(file.bytes);
            digest.update([u8::from(file.is_executable)]);
        }
        for (name, value) in store::databases::init_env(&platform.store, &id).ok()? {
            digest.update(name.as_bytes());
            digest.update(value.expose_secret().as_bytes());
        }
    } else {
        let id = id.parse::<KeyValueId>().ok()?;
        let row = store::key_values::get(&platform.store, &id).ok()??;
        digest.update(serde_json::to_vec(&row.definition).ok()?);
    }
    Some(digest.finalize().into())
}

/// Names of those of an environment that do not answer.
pub(crate) fn not_ready(platform: &Platform, id: &EnvironmentId) -> Result<Vec<String>, Error> {
    let is_ready =
        |one: &DataStore| matches!(state(platform, &one.id), Some(StoreState::Ready { .. }));
    Ok(of(platform, id)?.into_iter().filter(|one| !is_ready(one)).map(|one| one.name).collect())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use model::{Dependency, DependencyCondition, Problem};

    use super::*;
    use crate::testing;

    #[tokio::test]
    async fn a_database_is_a_need_only_of_those_that_refer_to_it_or_depend_on_it() {
        let directory = tempfile::tempdir().unwrap();
        let platform = testing::platform(directory.path());
        let environment = testing::environment(&platform, "shop");
        let _id = testing::database(&platform, &environment, "db");
        let used = |depends_on: Vec<Dependency>| {
            let mut definition = testing::definition("alone");
            definition.container.depends_on = depends_on;
            let row = store::services::upsert(
                &platform.store,
                &environment.id,
                &definition,
                Timestamp::now(),
            );
            let release = testing::release(&platform, &row.unwrap().id);
            let used = used_by(&platform, &environment.id, &release).unwrap();
            used.into_iter().map(|one| one.name).collect::<Vec<_>>()
        };
        assert!(used(Vec::new()).is_empty());
        let dependency = Dependency {
            service: "db".to_owned(),
            condition: DependencyCondition::ServiceStarted,
            is_required: true,
        };
        assert_eq!(used(vec![dependency]), ["db"]);
    }

    #[test]
    fn a_value_names_a_data_store_where_a_host_stands() {
        for value in
            ["db", "db:5432", "postgres://u:p@db/x", "postgres://db:5432", "host=db port=1", "a,db"]
        {
            assert!(names_host(value, "db"), "{value}");
        }
        for value in ["/srv/db", "dbx:1", "my-db:5432", "postgres://u:p@other/db", "the db is here"]
        {
            assert!(!names_host(value, "db"), "{value}");
        }
    }

    #[tokio::test]
    async fn a_failure_of_what_was_declared_before_says_nothing_of_what_is_declared_now() {
        let directory = tempfile::tempdir().unwrap();
        let platform = testing::platform(directory.path());
        let environment = testing::environment(&platform, "shop");
        let id = testing::database(&platform, &environment, "db");
        let problem = Problem::new("postgres-version-mismatch", "16 is asked for");
        let judged = declaration(&platform, id.as_str());
        platform.set_store_state(id.as_str(), StoreState::Failed { problem, judged });
        assert!(matches!(state(&platform, id.as_str()), Some(StoreState::Failed { .. })));
        let row = store::databases::get(&platform.store, &id).unwrap().unwrap();
        let corrected = model::Database { major_version: 15, ..row.definition };
        store::databases::upsert(&platform.store, &environment.id, &corrected, Timestamp::now())
            .unwrap();
        assert!(matches!(state(&platform, id.as_str()), Some(StoreState::Starting(_))));
    }
}
