//! The files that fill a new database, as those in `/docker-entrypoint-initdb.d` do in the image.
//!
//! They run between `initdb` and the moment when the data directory gets its name, in a server of
//! their own that listens to nobody else. So they run once; whatever interrupts them, the next
//! attempt begins with a fresh cluster; and nobody sees a database that is half filled.
//!
//! In the image the declared role is a superuser. Here it is one while its files run: it may
//! create extensions, roles and databases, and owns all that it makes. Afterwards it stays one where
//! the declaration says so (`PostgresRequest::makes_superuser`). `psql` and scripts run inside the
//! instance, as the store's user: a file can start programs there (`\!`, `COPY … FROM PROGRAM`), and
//! reaches nothing that the server does not. Scripts are run only where an instance has a root of its
//! own, never with the rights of whoever runs Gable.

mod failure;
mod file;
mod script;

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use engine::{Driver, ExecRequest};
use postgres_protocol::escape::{escape_identifier, escape_literal};
use postgres_protocol::password::scram_sha_256;
use secrecy::ExposeSecret as _;
use tokio::net::unix::pipe;
use tokio::time::Instant;

use crate::instance::{self, Place};
use crate::postgres::session::{self, Session};
use crate::postgres::settings::{self, Purpose};
use crate::postgres::{
    Layout, PostgresRequest, SUPERUSER, Work, cluster, parameters, provision, psql, spec, start,
    stop_with,
};
use crate::{Error, extensions, files};

pub(super) use failure::{failed_before, forget_failure};
pub(super) use file::check;
pub use file::{InitFile, InitKind};

/// Distinguishes the instance that fills a database from others of its.
pub(super) const INSTANCE: &str = "init";

/// Where the image has the files: what they include, they name by this path.
const FOLDER: &str = "/docker-entrypoint-initdb.d";
/// How long all files together may take. A pass over a store has no more time.
const LIMIT: Duration = Duration::from_secs(600);
/// How much of the end of what `psql` says is kept.
const SAID_BYTES_MAX: usize = 64 * 1024;
/// Settings that the files made with `ALTER SYSTEM` are read from here; larger ones are refused.
const SYSTEM_SETTINGS_BYTES_MAX: u64 = 1 << 20;

/// Fills the cluster that `initdb` has made, and has not got its name yet.
pub(super) async fn fill(work: &Work<'_>) -> Result<(), Error> {
    let Work { driver, config, .. } = *work;
    let id = cluster::helper_instance(work.request, INSTANCE);
    let request = PostgresRequest { instance_id: &id, ..*work.request };
    let folder = Place::new(driver, work.layout.directory.join("init"), FOLDER);
    let layout = Layout {
        data: Place::new(driver, work.layout.data.host.with_extension("new"), "/opt/gable/data"),
        conf: Place::new(driver, work.layout.directory.join("conf.init"), "/opt/gable/conf"),
        ..work.layout.clone()
    };
    let work = Work { request: &request, layout: &layout, ..*work };
    obtain_extensions(&work).await;
    file::write(&folder.host, request.init, request.uid)?;
    let parameters = settings::write(&request, &layout, work.gateway, Purpose::Fill)?;
    let mut spec = spec(config, &request, &layout, &parameters.digest());
    spec.label = format!("init files of {}", request.definition.name);
    spec.mounts.extend(folder.mount(true));

    work.progress.step("running the init files");
    let outcome = serve(&work, &spec, &folder).await;
    stop_with(driver, &id, &layout, settings::STOP_GRACE).await?;
    cluster::forget(driver, &id).await?;
    files::remove_dir(&folder.host)?;
    files::remove_dir(&layout.conf.host)?;
    match outcome {
        Ok(()) => keep_allowed_settings(&layout.data.host),
        Err(error) => {
            files::remove_dir(&layout.data.host)?;
            failure::remember(&work, &error)?;
            Err(error)
        }
    }
}

/// pgvector is otherwise obtained when the database already runs.
async fn obtain_extensions(work: &Work<'_>) {
    // Only downloaded builds lack the library of `uuid-ossp`.
    let is_downloaded = work.layout.library_path.is_some();
    let is_wanted = |name: &str| name == "vector" || is_downloaded && name == "uuid-ossp";
    let init = work.request.init;
    let texts = init.iter().map(|file| String::from_utf8_lossy(&file.bytes));
    if !texts.into_iter().any(|text| created_extensions(&text).iter().any(|it| is_wanted(it))) {
        return;
    }
    let major = work.request.definition.major_version;
    let result = extensions::ensure_extensions(work.config, major, work.progress).await;
    if let Err(error) = result {
        // The file that needs it says so next.
        tracing::warn!("extensions of PostgreSQL {major}: {}", error.problem().message);
    }
}

/// What follows `CREATE EXTENSION`, wherever that stands: one too many costs only time.
fn created_extensions(text: &str) -> Vec<String> {
    let mut words = text.split_whitespace().map(str::to_ascii_lowercase).peekable();
    let mut names = Vec::new();
    while let Some(word) = words.next() {
        if !word.ends_with("create") || words.next_if(|next| next == "extension").is_none() {
            continue;
        }
        let name = words.find(|word| !["if", "not", "exists"].contains(&word.as_str()));
        let end = |c: char| c == ';' || c == '"';
        let name = name.as_deref().map(|name| name.trim_start_matches('"'));
        names.extend(name.and_then(|name| name.split(end).next()).map(str::to_owned));
    }
    names
}

async fn serve(work: &Work<'_>, spec: &engine::InstanceSpec, folder: &Place) -> Result<(), Error> {
    let address = start(work, spec).await?;
    // One session for all: files may change who can log in.
    let session = superuser(address, work.request).await?;
    let is_superuser = work.request.makes_superuser(work.driver);
    provision::make(&session.client, work.request, is_superuser).await?;
    let role = escape_identifier(&work.request.definition.user);
    let change = async |what: &str| {
        let doing = format!("make the role {} {what}", work.request.definition.user);
        let statement = format!("ALTER ROLE {role} {what}");
        session.client.batch_execute(&statement).await.map_err(Error::postgres(doing))
    };
    change("SUPERUSER").await?;
    let deadline = Instant::now() + LIMIT;
    for file in work.request.init.iter().filter(|file| file.kind != InitKind::Beside) {
        run(work, folder, file, deadline).await?;
    }
    let restored = async {
        if !work.request.makes_superuser(work.driver) {
            change("NOSUPERUSER").await?;
        }
        restore_superuser(&session, work.request).await
    };
    restored.await.map_err(|error| failure::spoilt(work.request, &error).into())
}

async fn superuser(address: SocketAddr, request: &PostgresRequest<'_>) -> Result<Session, Error> {
    session::as_superuser(address, request)
        .await
        .map_err(Error::postgres("log in as the superuser"))
}

/// A file may have changed all passwords there are.
async fn restore_superuser(session: &Session, request: &PostgresRequest<'_>) -> Result<(), Error> {
    let verifier = scram_sha_256(request.superuser_password.expose_secret().as_bytes());
    let (role, verifier) = (escape_identifier(SUPERUSER), escape_literal(&verifier));
    let statement = format!(
        "ALTER ROLE {role} LOGIN SUPERUSER PASSWORD {verifier} VALID UNTIL 'infinity';
         ALTER ROLE {role} RESET ALL"
    );
    let doing = "restore Gable's own role after the init files";
    session.client.batch_execute(&statement).await.map_err(Error::postgres(doing))
}

/// Runs one file: with `psql`, which stops at the first error, or as a script.
async fn run(
    work: &Work<'_>,
    folder: &Place,
    file: &InitFile,
    deadline: Instant,
) -> Result<(), Error> {
    let path = instance::text(&folder.inside.join(&file.name));
    let client = if file.is_script() {
        script::command(work, file.kind, path)
    } else {
        let arguments = ["--no-psqlrc", "--no-password", "--set=ON_ERROR_STOP=1", "--file", &path];
        psql(work.layout, work.request, &arguments.map(str::to_owned))
    };
    let (receiver, stderr) = channel()?;
    let [stdin, stdout, _] = instance::nowhere()?;
    let left = deadline.saturating_duration_since(Instant::now());
    let exec = ExecRequest {
        command: client.command,
        cwd: None,
        env: client.env,
        stdio: [stdin, stdout, stderr],
        terminal: false,
        // What still runs after it ends with the instance.
        time: None,
    };
    let (outcome, said) = listen(work.driver, work.request, exec, receiver, left).await;
    let problem = |code: &str| failure::problem(work.request, file, code, &said);
    match outcome {
        None => {
            let why = format!("took longer than {} s with all before it", LIMIT.as_secs());
            Err(problem(&why).into())
        }
        Some(Ok(0)) => Ok(()),
        Some(Ok(_)) => Err(problem("failed").into()),
        Some(Err(engine::Error::NotRunning(_))) => {
            Err(problem("ended with the server, which stopped").into())
        }
        Some(Err(error)) => Err(Error::engine(format!("run the init file {}", file.name))(error)),
    }
}

fn channel() -> Result<(pipe::Receiver, OwnedFd), Error> {
    let (reader, writer) = std::io::pipe().map_err(Error::host("make a pipe"))?;
    let receiver =
        pipe::Receiver::from_owned_fd(reader.into()).map_err(Error::host("read from a pipe"))?;
    Ok((receiver, writer.into()))
}

/// The exit code, unless the time ran out, and the end of what was said. What the command leaves
/// behind may hold the pipe open, so its end is not waited for.
async fn listen(
    driver: &dyn Driver,
    request: &PostgresRequest<'_>,
    exec: ExecRequest,
    receiver: pipe::Receiver,
    limit: Duration,
) -> (Option<Result<i32, engine::Error>>, String) {
    let mut said = Vec::new();
    let mut is_open = true;
    let outcome = {
        let mut work =
            std::pin::pin!(tokio::time::timeout(limit, driver.exec(request.instance_id, exec)));
        loop {
            tokio::select! {
                outcome = &mut work => break outcome.ok(),
                ready = receiver.readable(), if is_open => {
                    is_open = ready.is_ok() && drain(&receiver, &mut said);
                }
            }
        }
    };
    if is_open {
        drain(&receiver, &mut said);
    }
    (outcome, String::from_utf8_lossy(&said).into_owned())
}

/// Takes what is there; whether more may come.
fn drain(receiver: &pipe::Receiver, said: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 8192];
    // A writer that never pauses must not keep the others waiting.
    for _ in 0..64 {
        match receiver.try_read(&mut buffer) {
            Ok(0) => return false,
            Ok(count) => {
                said.extend_from_slice(&buffer[..count]);
                let surplus = said.len().saturating_sub(SAID_BYTES_MAX);
                said.drain(..surplus);
            }
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
    true
}

/// `ALTER SYSTEM` writes a file that counts more than ours. Of it stays what may be set. Only while no
/// server runs on the data.
pub(super) fn keep_allowed_settings(data: &Path) -> Result<(), Error> {
    let path = data.join("postgresql.auto.conf");
    let Ok(metadata) = std::fs::symlink_metadata(&path) else { return Ok(()) };
    // The server has ended, and nobody changes the file any more. Files may have made it a link.
    let text = if metadata.is_file() && metadata.len() <= SYSTEM_SETTINGS_BYTES_MAX {
        std::fs::read_to_string(&path).map_err(Error::file("read", &path))?
    } else {
        String::new()
    };
    let kept: String =
        text.lines().filter(|line| is_kept(line)).flat_map(|it| [it, "\n"]).collect();
    if kept == text && metadata.is_file() {
        return Ok(());
    }
    let uid = std::os::unix::fs::MetadataExt::uid(&metadata);
    files::replace(&path, &kept, 0o600, Some(uid))
}

fn is_kept(line: &str) -> bool {
    let line = line.trim_start();
    let name = line.split(|c: char| c == '=' || c.is_whitespace()).next().unwrap_or_default();
    line.is_empty() || line.starts_with('#') || parameters::is_allowed(&name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_that_files_create_are_found() {
        let text = "SELECT 1;CREATE EXTENSION\n IF NOT EXISTS \"uuid-ossp\";\n\
                    create extension vector;CREATE TABLE t (x tsvector)";
        assert_eq!(created_extensions(text), ["uuid-ossp", "vector"]);
        assert_eq!(created_extensions("Create Extension vector WITH SCHEMA x"), ["vector"]);
    }

    #[test]
    fn of_the_settings_of_the_system_those_stay_that_may_be_set() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("postgresql.auto.conf");
        let text = "# Do not edit\nwork_mem = '8MB'\nport = '1'\nlisten_addresses='*'\n";
        std::fs::write(&path, text).expect("a file");
        keep_allowed_settings(directory.path()).expect("a file that can be read");
        let kept = std::fs::read_to_string(&path).expect("the file");
        assert_eq!(kept, "# Do not edit\nwork_mem = '8MB'\n");

        std::fs::remove_file(&path).expect("the file");
        std::os::unix::fs::symlink("/etc/passwd", &path).expect("a link");
        keep_allowed_settings(directory.path()).expect("a link that is not followed");
        assert_eq!(std::fs::read_to_string(&path).expect("the file"), "");
    }
}
