//! `.sh` files: how the image runs them, inside the instance.

use std::path::Path;

use secrecy::ExposeSecret as _;

use super::InitKind;
use crate::instance;
use crate::postgres::{Client, Work, psql};

/// Runs a file as a shell would, which also knows files without a first line.
const RUN: &str = "\"$0\"";
/// Reads a file as the image's own script does: the first error ends it, and its way of asking the
/// database is there under its name.
const SOURCE: &str = "set -Eeo pipefail; \
    docker_process_sql() { psql -v ON_ERROR_STOP=1 --no-password --no-psqlrc \"$@\"; }; \
    . \"$0\"";
/// Variables of the service that would break what runs here, or that name files which are not there.
const LEFT_OUT: &[&str] = &[
    "PATH",
    "HOME",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "POSTGRES_USER_FILE",
    "POSTGRES_PASSWORD_FILE",
    "POSTGRES_DB_FILE",
];

/// The script of this path inside, with the variables of the service and those of the image.
pub(super) fn command(work: &Work<'_>, kind: InitKind, path: String) -> Client {
    let request = work.request;
    let client = psql(work.layout, request, &[]);
    let definition = request.definition;
    let mut env: Vec<(String, String)> = request
        .env
        .iter()
        .filter(|(name, _)| !LEFT_OUT.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.expose_secret().to_owned()))
        .collect();
    env.extend(client.env);
    env.extend([
        ("POSTGRES_USER".to_owned(), definition.user.clone()),
        ("POSTGRES_DB".to_owned(), definition.database_name.clone()),
        ("POSTGRES_PASSWORD".to_owned(), request.password.expose_secret().to_owned()),
        ("PGDATA".to_owned(), instance::text(&work.layout.data.inside)),
    ]);
    let shell = ["/bin/bash", "/bin/sh"].into_iter().find(|path| Path::new(path).exists());
    let text = if kind == InitKind::Program { RUN } else { SOURCE };
    let command = [shell.unwrap_or("/bin/sh"), "-c", text].map(str::to_owned);
    Client { command: command.into_iter().chain([path]).collect(), env }
}
