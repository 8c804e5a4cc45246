//! `postgres` and `pgvector` images as managed PostgreSQL.

use model::{Database, EnvSource, EnvVar};

use crate::code::Code;

use super::super::compile::Project;
use super::super::paths::Location;
use super::super::reader::Reader;
use super::super::service::literal;
use super::{MAJORS, Reason, Store, Wishes, value};

/// The size of a database whose file sets no limit.
const SIZE: (&str, u32, u64) = ("1c-1g", 1000, 1 << 30);
/// Where the image takes its first data from.
const INIT_FOLDER: &str = "/docker-entrypoint-initdb.d";
/// Where the image keeps its data.
const DATA_FOLDERS: &[&str] = &["/var/lib/postgresql"];
/// Settings that a managed server takes over.
const PARAMETERS: &[&str] = &[
    "autovacuum",
    "checkpoint_completion_target",
    "checkpoint_timeout",
    "deadlock_timeout",
    "default_statistics_target",
    "effective_cache_size",
    "effective_io_concurrency",
    "fsync",
    "full_page_writes",
    "idle_in_transaction_session_timeout",
    "jit",
    "lock_timeout",
    "log_connections",
    "log_destination",
    "log_disconnections",
    "log_duration",
    "log_lock_waits",
    "log_min_duration_statement",
    "log_min_messages",
    "log_statement",
    "maintenance_work_mem",
    "max_connections",
    "max_locks_per_transaction",
    "max_parallel_workers",
    "max_parallel_workers_per_gather",
    "max_prepared_transactions",
    "max_replication_slots",
    "max_wal_senders",
    "max_wal_size",
    "max_worker_processes",
    "min_wal_size",
    "random_page_cost",
    "shared_buffers",
    "statement_timeout",
    "synchronous_commit",
    "temp_buffers",
    "timezone",
    "track_activity_query_size",
    "track_io_timing",
    "wal_buffers",
    "wal_level",
    "work_mem",
];

impl Reader<'_> {
    pub(super) fn postgres(
        &mut self,
        project: &Project<'_>,
        name: &str,
        wishes: &Wishes<'_>,
        major: u32,
    ) -> Result<Store, Reason> {
        if !MAJORS.contains(&major) {
            return Err(format!(
                "PostgreSQL {major} is not among the versions {} to {} that can be managed",
                MAJORS.start(),
                MAJORS.end()
            ));
        }
        if literal(&wishes.env, "POSTGRES_HOST_AUTH_METHOD").is_some_and(|way| way == "trust") {
            return Err("`POSTGRES_HOST_AUTH_METHOD: trust` lets everybody in without a password"
                .to_owned());
        }
        if let Some(text) = literal(&wishes.env, "POSTGRES_INITDB_ARGS")
            && !text.split_whitespace().all(is_usual)
        {
            return Err(
                "`POSTGRES_INITDB_ARGS` asks for more than a managed server offers".to_owned()
            );
        }
        let parameters = parameters(&wishes.words)?;
        let user = value(self, project, wishes, "POSTGRES_USER")?;
        let user = user.unwrap_or_else(|| "postgres".to_owned());
        let database = value(self, project, wishes, "POSTGRES_DB")?;
        let password = value(self, project, wishes, "POSTGRES_PASSWORD")?;
        let init_files = self.init_files(wishes)?;
        let mut origin = self.store_origin(project, name, wishes);
        origin.password = password;
        origin.parameters = parameters;
        origin.env = match init_files.is_empty() {
            true => Vec::new(),
            false => literals(&wishes.env),
        };
        origin.init_files = init_files;
        let database = Database {
            name: name.to_owned(),
            database_name: database.unwrap_or_else(|| user.clone()),
            user,
            major_version: u8::try_from(major).unwrap_or(u8::MAX),
            instance_type: self.store_size(&wishes.service, SIZE),
            disk_size_gb: None,
            compose: model::ComposeStore::default(),
        };
        Ok(Store::Postgres(database, origin))
    }

    /// What fills a new database; any other mount but the data's own is a reason.
    fn init_files(&mut self, wishes: &Wishes<'_>) -> Result<Vec<String>, Reason> {
        let mut files = Vec::new();
        for (view, mount) in &wishes.mounts {
            let target = mount.target.trim_end_matches('/');
            let is_in = |folder: &str| {
                target
                    .strip_prefix(folder)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            let bound = mount.bound();
            if is_in(INIT_FOLDER) {
                let location = bound.map(|path| self.locate(&view.node.at, path));
                match location {
                    Some(Location::Inside(path)) => files.push(path),
                    _ => return Err("what fills it does not come from the project".to_owned()),
                }
            } else if DATA_FOLDERS.iter().any(|folder| is_in(folder)) {
                if bound.is_some() {
                    let message = "`volumes`: a managed store keeps its data where Gable keeps all data, not in the directory that is named here";
                    self.group(
                        Code::FieldTranslated,
                        &view.node.at,
                        &view.path,
                        message.to_owned(),
                    );
                }
            } else {
                return Err("it mounts files of its own".to_owned());
            }
        }
        Ok(files)
    }
}

/// The variables that have a value.
fn literals(env: &[EnvVar]) -> Vec<(String, String)> {
    let pair = |variable: &EnvVar| match &variable.source {
        EnvSource::Literal(value) => Some((variable.key.clone(), value.clone())),
        _ => None,
    };
    env.iter().filter_map(pair).collect()
}

/// Arguments of `initdb` that describe what a managed server is anyway.
fn is_usual(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    matches!(
        word.as_str(),
        "--data-checksums"
            | "-k"
            | "--encoding=utf8"
            | "--encoding=utf-8"
            | "-e"
            | "utf8"
            | "utf-8"
            | "--auth-host=scram-sha-256"
            | "--auth-local=scram-sha-256"
            | "--auth=scram-sha-256"
            | "--auth-host=md5"
    ) || word.starts_with("--locale=")
        || word.starts_with("--lc-")
}

/// The settings of `postgres -c name=value …`.
fn parameters(words: &[String]) -> Result<Vec<(String, String)>, Reason> {
    let mut found = Vec::new();
    let mut words = words.iter().map(String::as_str).peekable();
    if words.peek() == Some(&"postgres") {
        words.next();
    }
    let refused = || {
        Err("its `command` asks for more than settings that a managed server takes over".to_owned())
    };
    while let Some(word) = words.next() {
        let setting = match word {
            "-c" => words.next(),
            _ => word.strip_prefix("--").or_else(|| word.strip_prefix("-c")),
        };
        let Some((name, value)) = setting.and_then(|setting| setting.split_once('=')) else {
            return refused();
        };
        let name = name.trim().to_ascii_lowercase().replace('-', "_");
        if !PARAMETERS.contains(&name.as_str()) {
            return Err(format!(
                "the setting `{name}` of its `command` is none that a managed server takes over"
            ));
        }
        found.push((name, value.trim().trim_matches('\'').to_owned()));
    }
    Ok(found)
}
