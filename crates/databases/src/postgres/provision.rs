//! The declared role and database inside a server that runs.

use std::net::SocketAddr;

use model::{Database, Problem};
use postgres_protocol::escape::{escape_identifier, escape_literal};
use postgres_protocol::password::scram_sha_256;
use secrecy::ExposeSecret as _;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::Error;
use crate::postgres::session::{self, Session};
use crate::postgres::{PostgresRequest, SUPERUSER};

/// Longer names would be cut, silently, by PostgreSQL.
const NAME_BYTES_MAX: usize = 63;

/// Refuses names that cannot be made, before anything is.
pub(super) fn check_names(definition: &Database) -> Result<(), Problem> {
    let refuse = |what: &str, name: &str, why: &str| {
        let message = format!("the {what} `{name}` of {} cannot be made: {why}", definition.name);
        Err(Problem::new("database-name-refused", message)
            .hint("give another name in the Blueprint"))
    };
    for (what, name) in [("role", &definition.user), ("database", &definition.database_name)] {
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains('\0') {
            return refuse(what, name, "names have 1 to 63 bytes");
        }
    }
    match definition.user.as_str() {
        SUPERUSER => refuse("role", SUPERUSER, "the name is taken"),
        user if user.starts_with("pg_") => {
            refuse("role", user, "PostgreSQL keeps `pg_` for itself")
        }
        _ => match definition.database_name.as_str() {
            name @ ("template0" | "template1") => refuse("database", name, "the name is taken"),
            _ => Ok(()),
        },
    }
}

/// Makes what is missing; returns the server's version. When the owner gets in, nothing is.
pub(super) async fn ensure(
    address: SocketAddr,
    request: &PostgresRequest<'_>,
    is_superuser: bool,
) -> Result<String, Error> {
    if let Ok(session) = session::as_owner(address, request).await
        && is_made(&session.client, is_superuser).await.unwrap_or(false)
    {
        return version(&session).await;
    }
    let session = session::as_superuser(address, request)
        .await
        .map_err(Error::postgres("log in as the superuser"))?;
    make(&session.client, request, is_superuser).await?;
    version(&session).await
}

/// Makes the role and its database, or what of them is missing.
pub(super) async fn make(
    client: &Client,
    request: &PostgresRequest<'_>,
    is_superuser: bool,
) -> Result<(), Error> {
    ensure_role(client, request, is_superuser).await?;
    ensure_database(client, request.definition).await
}

/// What a compose file expects of the role and does not get.
pub(super) fn note(request: &PostgresRequest<'_>, is_superuser: bool) -> Option<Problem> {
    let definition = request.definition;
    if is_superuser || definition.compose.image.is_empty() {
        return None;
    }
    let message = format!(
        "the role {} of {} is no superuser: without root, a superuser could start programs with the rights of whoever runs Gable",
        definition.user, definition.name
    );
    Some(Problem::new("database-setting-ignored", message).hint("run Gable as root"))
}

/// Whether the role owns the database that it is in, and may do all that it shall.
async fn is_made(client: &Client, is_superuser: bool) -> Result<bool, tokio_postgres::Error> {
    let ask = "SELECT pg_get_userbyid(datdba) = current_user,
                      (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
               FROM pg_database WHERE datname = current_database()";
    let row = client.query_one(ask, &[]).await?;
    let (owns, may_all): (bool, bool) = (row.get(0), row.get(1));
    Ok(owns && (may_all || !is_superuser))
}

async fn version(session: &Session) -> Result<String, Error> {
    let row = session
        .client
        .query_one("SHOW server_version", &[])
        .await
        .map_err(Error::postgres("ask for the version"))?;
    let text: String = row.get(0);
    // Debian adds itself: `15.18 (Debian 15.18-0+deb12u1)`.
    Ok(text.split_whitespace().next().unwrap_or_default().to_owned())
}

/// Makes the role, or sets its password. The server gets a verifier, never the password: a
/// statement that fails is written to the log.
async fn ensure_role(
    client: &Client,
    request: &PostgresRequest<'_>,
    is_superuser: bool,
) -> Result<(), Error> {
    let user = &request.definition.user;
    let verifier = scram_sha_256(request.password.expose_secret().as_bytes());
    let (role, verifier) = (escape_identifier(user), escape_literal(&verifier));
    let doing = format!("make the role {user}");
    // As on Render, the role may make more databases: migration tools want a second one.
    let rights = if is_superuser { "SUPERUSER" } else { "CREATEDB" };
    let create = format!("CREATE ROLE {role} LOGIN {rights} PASSWORD {verifier}");
    match client.batch_execute(&create).await {
        Ok(()) => Ok(()),
        Err(error) if exists(&error, &SqlState::DUPLICATE_OBJECT) => client
            .batch_execute(&format!("ALTER ROLE {role} LOGIN {rights} PASSWORD {verifier}"))
            .await
            .map_err(Error::postgres(doing)),
        Err(error) => Err(Error::postgres(doing)(error)),
    }
}

async fn ensure_database(client: &Client, definition: &Database) -> Result<(), Error> {
    let database = escape_identifier(&definition.database_name);
    let owner = escape_identifier(&definition.user);
    let doing = format!("make the database {}", definition.database_name);
    match client.batch_execute(&format!("CREATE DATABASE {database} OWNER {owner}")).await {
        Ok(()) => Ok(()),
        Err(error) if exists(&error, &SqlState::DUPLICATE_DATABASE) => client
            .batch_execute(&format!("ALTER DATABASE {database} OWNER TO {owner}"))
            .await
            .map_err(Error::postgres(doing)),
        Err(error) => Err(Error::postgres(doing)(error)),
    }
}

/// Whether it is there already. Two sessions that make it at the same moment, one of which nobody
/// waits for any more, meet at the catalog's own index instead.
fn exists(error: &tokio_postgres::Error, duplicate: &SqlState) -> bool {
    error.code().is_some_and(|code| code == duplicate || *code == SqlState::UNIQUE_VIOLATION)
}

#[cfg(test)]
mod tests {
    use model::InstanceType;

    use super::*;

    fn check(user: &str, database: &str) -> Option<String> {
        let definition = Database {
            name: "shop".into(),
            database_name: database.into(),
            user: user.into(),
            major_version: 15,
            instance_type: InstanceType {
                name: "basic-256mb".into(),
                cpu_millis: 100,
                memory_bytes: 1 << 28,
            },
            disk_size_gb: None,
            compose: model::ComposeStore::default(),
        };
        check_names(&definition).err().map(|problem| problem.message)
    }

    #[test]
    fn odd_names_pass_and_impossible_ones_do_not() {
        assert_eq!(check("shop user", "my-shop \"x\""), None);
        assert_eq!(check("postgres", "postgres"), None);
        assert!(check("pg_shop", "shop").is_some());
        assert!(check(SUPERUSER, "shop").is_some());
        assert!(check("shop", "template1").is_some());
        assert!(check("shop", &"x".repeat(64)).is_some());
    }
}
