//! Connections to data stores for a person.

use model::{DatabaseId, Problem};
use secrecy::ExposeSecret;

use crate::error::Error;
use crate::platform::Platform;
use crate::tasks::data_stores::store_port;

/// How to talk to a PostgreSQL database.
pub struct Connection {
    /// Program and arguments, to be run inside the database's instance.
    pub argv: Vec<String>,
    /// Variables for it; they hold the password.
    pub env: Vec<(String, String)>,
    /// The URL that services get.
    pub url: String,
}

/// How to talk to a PostgreSQL database.
///
/// # Errors
/// When there is none with this id.
pub fn connection(platform: &Platform, id: &DatabaseId) -> Result<Connection, Error> {
    let row = store::databases::get(&platform.store, id)?.ok_or_else(|| {
        Error::from(
            Problem::new("database-not-found", format!("there is no database {id}"))
                .hint("`gable status` lists the databases"),
        )
    })?;
    let credentials = store::databases::credentials(&platform.store, id)?;
    let port = store_port(platform, databases::POSTGRES_PORT, row.port_hint);
    let instance_id = row.instance_id.clone().unwrap_or_else(store::new_instance_id);
    let request = databases::PostgresRequest {
        id,
        definition: &row.definition,
        environment_id: &row.environment_id,
        instance_id: &instance_id,
        uid: row.uid,
        port,
        password: &credentials.app,
        superuser_password: &credentials.superuser,
        init: &[],
        env: &[],
    };
    let client =
        databases::psql_command(&platform.databases, platform.driver.as_ref(), &request, &[])
            .ok_or_else(|| {
                Error::from(
                    Problem::new("database-not-ready", format!("{} is not there yet", row.name()))
                        .hint("wait until `gable status` says that it is available"),
                )
            })?;
    let host = if platform.driver.isolates_network() { row.slug.as_str() } else { "127.0.0.1" };
    let url = databases::connection_string(&row.definition, &credentials.app, host, port);
    Ok(Connection { argv: client.command, env: client.env, url: url.expose_secret().to_owned() })
}

/// The usual port of PostgreSQL.
pub const POSTGRES_PORT: u16 = databases::POSTGRES_PORT;
/// The usual port of Key Value.
pub const KEY_VALUE_PORT: u16 = databases::KEY_VALUE_PORT;

/// Host and port under which services of its environment reach a data store.
#[must_use]
pub fn endpoint(platform: &Platform, slug: &str, usual: u16, own: u16) -> (String, u16) {
    let host = if platform.driver.isolates_network() { slug } else { "127.0.0.1" };
    (host.to_owned(), store_port(platform, usual, own))
}
