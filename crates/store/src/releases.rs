//! Releases. Sealed in both senses: they never change, and what they hold cannot be read in the
//! database.

use jiff::Timestamp;
use model::{ArtifactId, Commit, Release, ReleaseId, Revision, Service, ServiceId};
use rusqlite::{Row, params};
use secrecy::{ExposeSecret, SecretString};

use crate::new_id::new_uuid;
use crate::row::{Columns, all, execute, first, to_json};
use crate::{Error, Store};

/// What a release is made of.
#[derive(Debug, Clone)]
pub struct NewRelease<'a> {
    /// Whose it is.
    pub service_id: &'a ServiceId,
    /// The source.
    pub commit: &'a Commit,
    /// The bytes, where their address is known already.
    pub artifact_id: Option<&'a ArtifactId>,
    /// The declaration in force.
    pub service: &'a Service,
    /// Its resolved variables, in a form of the caller's.
    pub env: &'a SecretString,
    /// The present.
    pub now: Timestamp,
}

/// Writes a release, with the next number of its service.
///
/// # Errors
/// Also when there is no such service.
pub fn insert(store: &Store, new: &NewRelease<'_>) -> Result<Release, Error> {
    store.write("save release", |tx| {
        let revision = first(
            tx,
            "SELECT coalesce(max(revision), 0) + 1 FROM releases WHERE service_id = ?1",
            [new.service_id.as_str()],
            |row| Ok(row.get(0)?),
        )?
        .unwrap_or(1);
        let release = Release {
            id: ReleaseId::from_uuid(new_uuid()),
            service_id: new.service_id.clone(),
            revision: Revision(revision),
            commit: new.commit.clone(),
            artifact_id: new.artifact_id.cloned(),
            service: new.service.clone(),
            created_at: new.now,
        };
        let seal =
            |column: &str, text: &str| store.sealer().seal(&place(&release.id, column), text);
        execute(
            tx,
            "INSERT INTO releases (id, service_id, revision, commit_json, artifact_id,
                 service_sealed, env_sealed, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                release.id.as_str(),
                release.service_id.as_str(),
                revision,
                to_json(&release.commit),
                release.artifact_id.as_ref().map(ArtifactId::as_str),
                seal("service", &to_json(&release.service)),
                seal("env", new.env.expose_secret()),
                release.created_at.as_microsecond(),
            ],
        )?;
        Ok(release)
    })
}

/// The release with this id.
pub fn get(store: &Store, id: &ReleaseId) -> Result<Option<Release>, Error> {
    store.read("read release", |connection| {
        first(connection, "SELECT * FROM releases WHERE id = ?1", [id.as_str()], |row| {
            from_row(store, row)
        })
    })
}

/// Its resolved variables, as they were given.
///
/// # Errors
/// Also when there is no such release.
pub fn env(store: &Store, id: &ReleaseId) -> Result<SecretString, Error> {
    let sealed: Option<Vec<u8>> = store.read("read release", |connection| {
        first(connection, "SELECT env_sealed FROM releases WHERE id = ?1", [id.as_str()], |row| {
            Ok(row.get(0)?)
        })
    })?;
    let sealed = sealed.ok_or_else(|| Error::not_found("release", id))?;
    store.sealer().open(&place(id, "env"), &sealed)
}

/// Notes the address of its bytes, once it is known.
///
/// # Errors
/// Also when there is no such release.
pub fn set_artifact(store: &Store, id: &ReleaseId, artifact_id: &ArtifactId) -> Result<(), Error> {
    let touched = store.write("save release", |tx| {
        execute(
            tx,
            "UPDATE releases SET artifact_id = ?2 WHERE id = ?1",
            params![id.as_str(), artifact_id.as_str()],
        )
    })?;
    if touched == 0 { Err(Error::not_found("release", id)) } else { Ok(()) }
}

/// The number that the next release of a service will have, if nobody makes one meanwhile.
pub fn next_revision(store: &Store, service_id: &ServiceId) -> Result<Revision, Error> {
    let newest = latest(store, service_id)?;
    Ok(Revision(newest.map_or(1, |release| release.revision.0 + 1)))
}

/// The newest release of a service.
pub fn latest(store: &Store, service_id: &ServiceId) -> Result<Option<Release>, Error> {
    store.read("read release", |connection| {
        first(
            connection,
            "SELECT * FROM releases WHERE service_id = ?1 ORDER BY revision DESC LIMIT 1",
            [service_id.as_str()],
            |row| from_row(store, row),
        )
    })
}

/// The release of a service with this number.
pub fn by_revision(
    store: &Store,
    service_id: &ServiceId,
    revision: Revision,
) -> Result<Option<Release>, Error> {
    store.read("read release", |connection| {
        first(
            connection,
            "SELECT * FROM releases WHERE service_id = ?1 AND revision = ?2",
            params![service_id.as_str(), revision.0],
            |row| from_row(store, row),
        )
    })
}

/// The releases of a service, newest first.
pub fn list(store: &Store, service_id: &ServiceId) -> Result<Vec<Release>, Error> {
    store.read("list releases", |connection| {
        all(
            connection,
            "SELECT * FROM releases WHERE service_id = ?1 ORDER BY revision DESC",
            [service_id.as_str()],
            |row| from_row(store, row),
        )
    })
}

fn place(id: &ReleaseId, column: &str) -> String {
    format!("releases/{id}/{column}")
}

fn from_row(store: &Store, row: &Row<'_>) -> Result<Release, Error> {
    let id: ReleaseId = row.parsed("id")?;
    let sealed: Vec<u8> = row.get("service_sealed")?;
    let json = store.sealer().open(&place(&id, "service"), &sealed)?;
    let service = serde_json::from_str(json.expose_secret())
        .map_err(|source| Error::Malformed { what: "a release", source })?;
    Ok(Release {
        id,
        service_id: row.parsed("service_id")?,
        revision: Revision(row.get("revision")?),
        commit: row.json("commit_json")?,
        artifact_id: row.parsed_option("artifact_id")?,
        service,
        created_at: row.time("created_at")?,
    })
}
