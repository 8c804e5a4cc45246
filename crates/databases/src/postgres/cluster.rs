//! The cluster: PostgreSQL's data directory, made once and never deleted here.

use std::fs;
use std::path::{Path, PathBuf};

use engine::{Driver, Limits, Mount};
use model::{Database, InstanceId, Problem};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};

use crate::instance::{self, Place};
use crate::postgres::{PostgresRequest, SUPERUSER, Work, init};
use crate::{Config, Error, files};

/// The major version that the data in a database's directory is of; `None` when there is none yet.
pub(super) fn version(directory: &Path) -> Option<String> {
    let path = directory.join("pgdata/PG_VERSION");
    // Who may write there is not trusted: neither a link nor a pipe is read.
    if !fs::symlink_metadata(&path).is_ok_and(|it| it.is_file() && it.len() < 16) {
        return None;
    }
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

/// Whether the server of this data says that it is still starting. It writes that down beside its
/// process id, so that nobody has to connect to learn it: each try would be a `FATAL` in its log.
pub(super) fn is_starting(data: &Path) -> bool {
    const STATUS_LINE: usize = 7;
    const BYTES_MAX: u64 = 4096;
    let path = data.join("postmaster.pid");
    let is_plain = fs::symlink_metadata(&path).is_ok_and(|it| it.is_file() && it.len() < BYTES_MAX);
    let text = if is_plain { fs::read_to_string(path).unwrap_or_default() } else { String::new() };
    text.lines().nth(STATUS_LINE).is_some_and(|status| status.trim() == "starting")
}

/// Refuses a major that the data is not of. Nothing is touched.
pub(super) fn check_version(directory: &Path, definition: &Database) -> Result<(), Problem> {
    let Some(found) = version(directory) else { return Ok(()) };
    let asked = definition.major_version.to_string();
    if found == asked {
        return Ok(());
    }
    let name = &definition.name;
    Err(Problem::new(
        "postgres-version-mismatch",
        format!("the data of {name} is of PostgreSQL {found}, and {asked} is asked for"),
    )
    .detail("a major cannot read the files of another; nothing was touched")
    .hint(format!(
        "set `postgresMajorVersion: \"{found}\"`, or declare a database under another name and \
         copy with `pg_dump`"
    )))
}

/// Makes the cluster, if there is none. `initdb` runs in an instance of its own, into a directory
/// that gets its name only when everything in it is on disk, also what the declared files fill it
/// with.
pub(super) async fn ensure(work: &Work<'_>) -> Result<(), Error> {
    let Work { config, driver, request, layout, .. } = *work;
    files::create_dir(&layout.directory, 0o700)?;
    if layout.data.host.exists() {
        return files::own_tree(&layout.data.host, request.uid);
    }
    init::check(request, instance::has_own_root(driver))?;
    init::failed_before(work)?;
    let major = request.definition.major_version;
    work.progress.step(&format!("making a PostgreSQL {major} cluster"));
    let id = helper_instance(request, "initdb");
    // What an earlier attempt left, of which nobody waits for the end any more.
    forget(driver, &id).await?;
    forget(driver, &helper_instance(request, init::INSTANCE)).await?;
    let unfinished = layout.data.host.with_extension("new");
    files::remove_dir(&unfinished)?;
    files::create_dir(&unfinished, 0o700)?;
    files::own(&unfinished, request.uid)?;
    let password_file = write_password(config, request)?;
    let outcome = initdb(work, &id, &password_file).await;
    forget(driver, &id).await?;
    files::remove_file(&password_file)?;
    outcome?;
    if !request.init.is_empty() {
        init::fill(work).await?;
    }
    files::rename(&unfinished, &layout.data.host)?;
    init::forget_failure(layout)
}

async fn initdb(work: &Work<'_>, id: &InstanceId, password_file: &Path) -> Result<(), Error> {
    let Work { config, driver, request, layout, .. } = *work;
    let data = Place::new(driver, layout.data.host.with_extension("new"), "/opt/gable/data");
    let password = Place::new(driver, password_file.to_owned(), "/opt/gable/password");
    let mounts = [layout.tree.mount(true), data.mount(false), password.mount(true)];
    let command = [
        layout.program("initdb"),
        format!("--pgdata={}", instance::text(&data.inside)),
        format!("--username={SUPERUSER}"),
        format!("--pwfile={}", instance::text(&password.inside)),
        "--auth=scram-sha-256".to_owned(),
        "--encoding=UTF8".to_owned(),
        "--locale=C.UTF-8".to_owned(),
        "--data-checksums".to_owned(),
        "--no-instructions".to_owned(),
    ];
    let mounts: Vec<Mount> = mounts.into_iter().flatten().collect();
    let spec = instance::spec(instance::Shape {
        id,
        store: request.id.as_str(),
        environment_id: request.environment_id,
        uid: request.uid,
        user: "postgres",
        home: &layout.home,
        command: command.to_vec(),
        env: layout.env(),
        mounts,
        limits: Limits::default(),
        logs_dir: &config.logs_dir,
        port: request.port,
        label: format!("initdb of {}", request.definition.name),
    });
    driver.start(&spec).await.map_err(Error::engine("start initdb"))?;
    let exit = driver.wait(id).await.map_err(Error::engine("wait for initdb"))?;
    if exit.is_success() {
        return Ok(());
    }
    let lines = instance::log_tail(&instance::log_path(&config.logs_dir, request.id.as_str(), id));
    let said: Vec<&str> =
        lines.iter().map(String::as_str).filter(|line| line.contains("rror")).collect();
    let last = lines.iter().map(String::as_str).rfind(|line| !line.trim().is_empty());
    let name = &request.definition.name;
    let problem = Problem::new("initdb-failed", format!("initdb for {name} {exit}"));
    let detail =
        if said.is_empty() { last.unwrap_or_default().to_owned() } else { said.join("\n") };
    Err(problem.detail(detail).into())
}

/// The instance that makes or fills this cluster: always the same, so that one which a crash left
/// behind is found.
pub(super) fn helper_instance(request: &PostgresRequest<'_>, what: &str) -> InstanceId {
    let digest = Sha256::digest(format!("{what} {}", request.id));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    InstanceId::from_uuid(uuid::Uuid::from_bytes(bytes))
}

pub(super) async fn forget(driver: &dyn Driver, id: &InstanceId) -> Result<(), Error> {
    if driver.observe(id).await.is_none() {
        return Ok(());
    }
    let gone = |result| match result {
        Ok(()) | Err(engine::Error::NotFound(_) | engine::Error::NotRunning(_)) => Ok(()),
        Err(error) => Err(Error::engine("clear away what makes a cluster")(error)),
    };
    gone(driver.stop(id, std::time::Duration::ZERO).await)?;
    gone(driver.remove(id).await)
}

/// The superuser's password on its way into `initdb`: on a tmpfs, readable by the store's user,
/// removed when `initdb` has ended. It stays while an instance that mounts it may be starting,
/// even when nobody waits for that any more.
fn write_password(config: &Config, request: &PostgresRequest<'_>) -> Result<PathBuf, Error> {
    let directory = config.run_dir.join("databases");
    files::create_dir(&directory, 0o700)?;
    let path = directory.join(format!("{}.password", request.id));
    let text = format!("{}\n", request.superuser_password.expose_secret());
    files::replace(&path, &text, 0o400, Some(request.uid))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_says_that_it_is_starting_need_not_be_asked() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path();
        assert!(!is_starting(data), "there is none yet");
        let write = |status: &str| {
            let lines = format!("7\n/data\n1700000000\n5432\n/run\n*\n  1 2\n{status}\n");
            fs::write(data.join("postmaster.pid"), lines).unwrap();
        };
        write("starting");
        assert!(is_starting(data));
        write("ready   ");
        assert!(!is_starting(data));
    }
}
