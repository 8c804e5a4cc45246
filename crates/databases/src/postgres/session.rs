//! Connections to a server, for making and asking.

use std::net::SocketAddr;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, Error, NoTls};

use crate::postgres::settings::STARTED_WITH;
use crate::postgres::{PostgresRequest, SUPERUSER};

const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// A connection whose other side does not even answer the kernel ends after some ten seconds: an
/// answer that was lost on the way must not be waited for without end. A server that is busy is
/// none of these, its kernel answers.
const SILENCE_BEFORE_PROBES: Duration = Duration::from_secs(5);
const PROBE_INTERVAL: Duration = Duration::from_secs(2);
const PROBES_MAX: u32 = 3;

/// A connection; it ends when it is dropped.
pub(super) struct Session {
    pub(super) client: Client,
    pump: JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

pub(super) async fn as_superuser(
    address: SocketAddr,
    request: &PostgresRequest<'_>,
) -> Result<Session, Error> {
    open(address, SUPERUSER, request.superuser_password, "postgres").await
}

pub(super) async fn as_owner(
    address: SocketAddr,
    request: &PostgresRequest<'_>,
) -> Result<Session, Error> {
    let definition = request.definition;
    open(address, &definition.user, request.password, &definition.database_name).await
}

/// Which settings the server was started with; empty for none.
pub(super) async fn started_with(
    address: SocketAddr,
    request: &PostgresRequest<'_>,
) -> Result<String, crate::Error> {
    let ask = format!("SELECT coalesce(current_setting('{STARTED_WITH}', true), '')");
    let session = as_superuser(address, request)
        .await
        .map_err(crate::Error::postgres("log in as the superuser"))?;
    let row = session.client.query_one(&ask, &[]).await;
    Ok(row.map_err(crate::Error::postgres("ask for the settings"))?.get(0))
}

/// The way goes over the host's own bridge or loopback, so there is no TLS.
async fn open(
    address: SocketAddr,
    user: &str,
    password: &SecretString,
    database: &str,
) -> Result<Session, Error> {
    let (client, connection) = Config::new()
        .host(address.ip().to_string())
        .port(address.port())
        .user(user)
        .password(password.expose_secret())
        .dbname(database)
        .application_name("gable")
        .ssl_mode(SslMode::Disable)
        .connect_timeout(CONNECT_LIMIT)
        .keepalives_idle(SILENCE_BEFORE_PROBES)
        .keepalives_interval(PROBE_INTERVAL)
        .keepalives_retries(PROBES_MAX)
        .tcp_user_timeout(SILENCE_BEFORE_PROBES + PROBE_INTERVAL * PROBES_MAX)
        .connect(NoTls)
        .await?;
    let pump = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!("a connection to PostgreSQL ended: {error}");
        }
    });
    Ok(Session { client, pump })
}
