//! What is known of what is over, and forgetting it.

use jiff::Timestamp;
use model::{ArtifactId, ReleaseId, ServiceId};
use rusqlite::params;

use crate::row::{Columns, all, execute};
use crate::{Error, Store};

/// A release as far as it matters to whether it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseRow {
    /// Its id.
    pub id: ReleaseId,
    /// Whose it is.
    pub service_id: ServiceId,
    /// Where it stands among those of its service.
    pub revision: u64,
    /// What it needs, if it has files.
    pub artifact_id: Option<ArtifactId>,
    /// Its commit.
    pub commit_id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Whether a deploy of it is live or under way, or an instance, job or run of it is there.
    pub is_used: bool,
    /// Whether it was live once.
    pub has_served: bool,
}

/// All releases. What they hold stays sealed.
pub fn releases(store: &Store) -> Result<Vec<ReleaseRow>, Error> {
    const SQL: &str = "SELECT id, service_id, revision, artifact_id, created_at,
            commit_json ->> '$.id' AS commit_id,
            EXISTS (SELECT 1 FROM deploys
                WHERE release_id = releases.id AND (finished_at IS NULL OR status = 'live'))
            OR EXISTS (SELECT 1 FROM instances JOIN deploys ON deploys.id = instances.deploy_id
                WHERE deploys.release_id = releases.id)
            OR EXISTS (SELECT 1 FROM jobs WHERE release_id = releases.id AND finished_at IS NULL)
            OR EXISTS (SELECT 1 FROM cron_runs
                WHERE release_id = releases.id AND finished_at IS NULL) AS is_used,
            EXISTS (SELECT 1 FROM deploys
                WHERE release_id = releases.id AND status IN ('live', 'deactivated')) AS has_served
        FROM releases ORDER BY id";
    store.read("list releases", |connection| {
        all(connection, SQL, [], |row| {
            Ok(ReleaseRow {
                id: row.parsed("id")?,
                service_id: row.parsed("service_id")?,
                revision: row.unsigned("revision")?,
                artifact_id: row.parsed_option("artifact_id")?,
                commit_id: row.get::<_, Option<String>>("commit_id")?.unwrap_or_default(),
                created_at: row.time("created_at")?,
                is_used: row.get("is_used")?,
                has_served: row.get("has_served")?,
            })
        })
    })
}

/// Forgets that an artifact is there, unless a release that was made since then needs it. Returns
/// whether it is forgotten.
pub fn forget_artifact(store: &Store, id: &ArtifactId, since: Timestamp) -> Result<bool, Error> {
    store.write("forget an artifact", |tx| {
        let forgotten = execute(
            tx,
            "DELETE FROM artifacts WHERE id = ?1 AND NOT EXISTS
                (SELECT 1 FROM releases WHERE artifact_id = ?1 AND created_at >= ?2)",
            params![id.as_str(), since.as_microsecond()],
        )?;
        Ok(forgotten > 0)
    })
}

/// Forgets releases, with their deploys.
pub fn forget_releases(store: &Store, ids: &[ReleaseId]) -> Result<usize, Error> {
    store.write("forget releases", |tx| {
        let mut forgotten = 0;
        for id in ids {
            forgotten += execute(tx, "DELETE FROM releases WHERE id = ?1", [id.as_str()])?;
        }
        Ok(forgotten)
    })
}

/// Forgets builds, jobs and runs that ended before this, and says how many. The last scheduled run
/// of each service stays: it tells which minute was served.
pub fn forget_ended(store: &Store, before: Timestamp) -> Result<usize, Error> {
    const STATEMENTS: [&str; 3] = [
        "DELETE FROM builds WHERE finished_at < ?1
            AND id NOT IN (SELECT build_id FROM deploys WHERE build_id IS NOT NULL)",
        "DELETE FROM jobs WHERE finished_at < ?1",
        "DELETE FROM cron_runs WHERE finished_at < ?1
            AND started_at < (SELECT max(started_at) FROM cron_runs AS newer
                WHERE newer.service_id = cron_runs.service_id AND newer.scheduled_at IS NOT NULL)",
    ];
    store.write("forget what has ended", |tx| {
        STATEMENTS.iter().try_fold(0, |forgotten, sql| {
            Ok(forgotten + execute(tx, sql, [before.as_microsecond()])?)
        })
    })
}
