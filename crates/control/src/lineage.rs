//! Refuses a database that is not the one that the data beside it belongs to.
//!
//! An empty or older database would take everything that runs for nobody's, and stop it. So this is
//! looked at before anything is changed; [`reconcile::lineage`] judges.

use std::collections::BTreeSet;
use std::path::Path;

use model::{Generation, Problem, RouteTable};
use reconcile::lineage::{Evidence, Lineage, judge};
use store::Store;
use store::copies::{self, Copy};

use crate::error::Error;

/// So many of what the database does not know are named.
const NAMED_MAX: usize = 5;
/// Directories of the state whose entries are named by the id of what they belong to.
const DATA_DIRS: [&str; 2] = ["data", "disks"];

/// Goes on only with a database that knows what lies beside it.
///
/// # Errors
/// `state-older` with the command that mends it.
pub(crate) fn check(
    store: &Store,
    state_dir: &Path,
    running: &[engine::Seen],
    served: Generation,
) -> Result<(), Error> {
    let kept = kept_table(state_dir);
    let found = running.iter().map(|seen| seen.id.to_string());
    let found = found.chain(data(state_dir)?).chain(served_ids(&kept)).collect();
    let evidence = Evidence {
        counted: copies::contents_of(store)?.generation,
        served: served.max(kept.generation),
        known: known(store)?,
        found,
    };
    match judge(&evidence) {
        Lineage::Same => Ok(()),
        Lineage::CountOn(generation) => {
            tracing::warn!(
                "the edge was given table {}, and the database has counted to {}: it goes on from \
                 there",
                generation.0,
                evidence.counted.0
            );
            Ok(store::generations::raise(store, generation)?)
        }
        Lineage::Older(unknown) => Err(older(state_dir, &evidence, &unknown).into()),
    }
}

/// The newest generation that the edge was given, as far as the disk tells.
pub(crate) fn kept_generation(state_dir: &Path) -> Generation {
    kept_table(state_dir).generation
}

/// The table that the edge keeps; an empty one where there is none that can be understood.
fn kept_table(state_dir: &Path) -> RouteTable {
    std::fs::read(state_dir.join(crate::config::ROUTES_FILE))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default()
}

fn served_ids(table: &RouteTable) -> impl Iterator<Item = String> {
    let routes = table.routes.iter().map(|route| route.service_id.to_string());
    routes.collect::<BTreeSet<_>>().into_iter()
}

/// What data on the disk belongs to. An empty directory is none.
fn data(state_dir: &Path) -> Result<Vec<String>, Error> {
    let mut ids = Vec::new();
    for name in DATA_DIRS {
        let directory = state_dir.join(name);
        let failed = || Error::host(format!("read {}", directory.display()));
        let entries = match std::fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed()(error)),
        };
        for entry in entries {
            let entry = entry.map_err(failed())?;
            let is_empty =
                std::fs::read_dir(entry.path()).map_or(true, |mut inside| inside.next().is_none());
            let name = entry.file_name().to_string_lossy().into_owned();
            if !is_empty && ["dpg-", "red-", "srv-"].iter().any(|prefix| name.starts_with(prefix)) {
                ids.push(name);
            }
        }
    }
    Ok(ids)
}

/// Every id that the database knows and that something may be named by.
fn known(store: &Store) -> Result<BTreeSet<String>, Error> {
    let mut known = BTreeSet::new();
    for row in store::services::list_all(store)? {
        known.insert(row.id.to_string());
        for instance in store::instances::by_service(store, &row.id)? {
            known.insert(instance.id.to_string());
        }
    }
    known.extend(store::instances::list(store)?.into_iter().map(|row| row.instance.id.to_string()));
    for row in store::databases::list_all(store)? {
        known.insert(row.id.to_string());
        known.extend(row.instance_id.map(|id| id.to_string()));
    }
    for row in store::key_values::list_all(store)? {
        known.insert(row.id.to_string());
        known.extend(row.instance_id.map(|id| id.to_string()));
    }
    Ok(known)
}

fn older(state_dir: &Path, evidence: &Evidence, unknown: &BTreeSet<String>) -> Problem {
    let named: Vec<&str> = unknown.iter().take(NAMED_MAX).map(String::as_str).collect();
    let more = match unknown.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let what = if evidence.counted == Generation(0) { "empty" } else { "older than it was" };
    let path = state_dir.join(store::DATABASE_FILE);
    let message = format!("{} is {what}: it does not know what lies beside it", path.display());
    let mut detail = format!("it does not know {}{more}", named.join(", "));
    if evidence.served > evidence.counted {
        detail.push_str(&format!(
            "\nthe edge was given table {}, and it has counted to {}",
            evidence.served.0, evidence.counted.0
        ));
    }
    let state = state_dir.display();
    let hint = match newest(state_dir) {
        Some(copy) => format!(
            "`gable server restore --state-dir {state}` puts the copy of {} in its place; \
             `--list` shows all",
            copy.at
        ),
        None => format!(
            "put {} back from a backup; `gable server restore --accept --state-dir {state}` goes on \
             with it as it is, and stops what it does not know",
            path.display()
        ),
    };
    Problem::new("state-older", message).detail(detail).hint(hint)
}

/// The newest copy that is sound.
fn newest(state_dir: &Path) -> Option<Copy> {
    let copies = copies::list(state_dir).unwrap_or_default();
    copies
        .into_iter()
        .find(|copy| copies::check(&copy.path).is_ok_and(|contents| !contents.projects.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn check_here(platform: &crate::Platform) -> Result<(), Error> {
        check(&platform.store, &platform.config.state_dir, &[], Generation(0))
    }

    #[tokio::test]
    async fn an_empty_database_beside_data_is_refused_with_the_command_that_mends_it() {
        let directory = tempfile::tempdir().unwrap();
        let platform = testing::platform(directory.path());
        let environment = testing::environment(&platform, "shop");
        let id = testing::database(&platform, &environment, "db");
        let state_dir = platform.config.state_dir.clone();
        std::fs::create_dir_all(state_dir.join("data").join(id.as_str()).join("pgdata")).unwrap();
        check_here(&platform).unwrap();
        copies::make(&platform.store, &state_dir, jiff::Timestamp::now()).unwrap();
        drop(platform);
        for name in ["gable.db", "gable.db-wal", "gable.db-shm"] {
            let _ = std::fs::remove_file(state_dir.join(name));
        }
        let platform = testing::platform(directory.path());
        let problem = check_here(&platform).unwrap_err().problem();
        assert_eq!(problem.code, "state-older");
        assert!(problem.detail.unwrap().contains(id.as_str()));
        let hint = problem.hint.unwrap();
        assert!(hint.contains("`gable server restore --state-dir"), "{hint}");
    }

    #[tokio::test]
    async fn an_older_database_that_knows_all_that_is_served_goes_on_from_there() {
        let directory = tempfile::tempdir().unwrap();
        let platform = testing::platform(directory.path());
        store::generations::next(&platform.store).unwrap();
        let table = RouteTable { generation: Generation(6), ..RouteTable::default() };
        let path = platform.config.state_dir.join(crate::config::ROUTES_FILE);
        std::fs::write(path, serde_json::to_vec(&table).unwrap()).unwrap();
        check_here(&platform).unwrap();
        assert_eq!(store::generations::next(&platform.store).unwrap(), Generation(7));
    }
}
