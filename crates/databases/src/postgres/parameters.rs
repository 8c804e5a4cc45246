//! Settings that a compose file gives its server (`postgres -c name=value`).

use std::path::Path;

use model::{Database, Problem};
use sha2::{Digest as _, Sha256};

/// Longer values are none that a person wrote.
const VALUE_BYTES_MAX: usize = 1024;

/// Libraries that the server loads at its start.
const LIBRARIES: &str = "shared_preload_libraries";

/// What may be set. Everything else either belongs to Gable (where the server listens, who may
/// log in, where its files are, what makes data survive a crash, where its log goes) or names
/// files and programs.
const ALLOWED: &[&str] = &[
    "array_nulls",
    "autovacuum",
    "autovacuum_analyze_scale_factor",
    "autovacuum_analyze_threshold",
    "autovacuum_freeze_max_age",
    "autovacuum_max_workers",
    "autovacuum_naptime",
    "autovacuum_vacuum_cost_delay",
    "autovacuum_vacuum_cost_limit",
    "autovacuum_vacuum_insert_scale_factor",
    "autovacuum_vacuum_insert_threshold",
    "autovacuum_vacuum_scale_factor",
    "autovacuum_vacuum_threshold",
    "autovacuum_work_mem",
    "backend_flush_after",
    "bgwriter_delay",
    "bgwriter_lru_maxpages",
    "bgwriter_lru_multiplier",
    "bytea_output",
    "checkpoint_completion_target",
    "checkpoint_timeout",
    "client_encoding",
    "client_min_messages",
    "commit_delay",
    "commit_siblings",
    "compute_query_id",
    "constraint_exclusion",
    "cpu_index_tuple_cost",
    "cpu_operator_cost",
    "cpu_tuple_cost",
    "cursor_tuple_fraction",
    "datestyle",
    "deadlock_timeout",
    "default_statistics_target",
    "default_text_search_config",
    "default_toast_compression",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "effective_cache_size",
    "effective_io_concurrency",
    "enable_partitionwise_aggregate",
    "enable_partitionwise_join",
    "escape_string_warning",
    "extra_float_digits",
    "from_collapse_limit",
    "gin_pending_list_limit",
    "hash_mem_multiplier",
    "hot_standby_feedback",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "intervalstyle",
    "jit",
    "join_collapse_limit",
    "lock_timeout",
    "log_autovacuum_min_duration",
    "log_checkpoints",
    "log_connections",
    "log_disconnections",
    "log_duration",
    "log_error_verbosity",
    "log_lock_waits",
    "log_min_duration_sample",
    "log_min_duration_statement",
    "log_min_error_statement",
    "log_min_messages",
    "log_parameter_max_length",
    "log_parameter_max_length_on_error",
    "log_replication_commands",
    "log_statement",
    "log_statement_sample_rate",
    "log_temp_files",
    "logical_decoding_work_mem",
    "maintenance_io_concurrency",
    "maintenance_work_mem",
    "max_connections",
    "max_locks_per_transaction",
    "max_logical_replication_workers",
    "max_parallel_maintenance_workers",
    "max_parallel_workers",
    "max_parallel_workers_per_gather",
    "max_pred_locks_per_transaction",
    "max_prepared_transactions",
    "max_replication_slots",
    "max_slot_wal_keep_size",
    "max_stack_depth",
    "max_standby_archive_delay",
    "max_standby_streaming_delay",
    "max_sync_workers_per_subscription",
    "max_wal_senders",
    "max_wal_size",
    "max_worker_processes",
    "min_parallel_index_scan_size",
    "min_parallel_table_scan_size",
    "min_wal_size",
    "old_snapshot_threshold",
    "parallel_leader_participation",
    "parallel_setup_cost",
    "parallel_tuple_cost",
    "plan_cache_mode",
    "quote_all_identifiers",
    "random_page_cost",
    "row_security",
    "search_path",
    "seq_page_cost",
    "shared_buffers",
    LIBRARIES,
    "standard_conforming_strings",
    "statement_timeout",
    "superuser_reserved_connections",
    // A client may turn it off for itself too: the last moments before a crash are lost, and what
    // is there afterwards is consistent.
    "synchronous_commit",
    "synchronize_seqscans",
    "tcp_keepalives_count",
    "tcp_keepalives_idle",
    "tcp_keepalives_interval",
    "tcp_user_timeout",
    "temp_buffers",
    "temp_file_limit",
    "timezone",
    "track_activities",
    "track_activity_query_size",
    "track_commit_timestamp",
    "track_counts",
    "track_functions",
    "track_io_timing",
    "track_wal_io_timing",
    "transform_null_equals",
    "vacuum_cost_delay",
    "vacuum_cost_limit",
    "wal_buffers",
    "wal_compression",
    "wal_keep_size",
    "wal_level",
    "wal_sender_timeout",
    "wal_writer_delay",
    "wal_writer_flush_after",
    "work_mem",
    "xmlbinary",
    "xmloption",
];

/// Settings of modules that PostgreSQL brings along.
const ALLOWED_PREFIXES: [&str; 2] = ["auto_explain.", "pg_stat_statements."];

/// What of a declaration the server gets.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    pub(super) taken: Vec<(String, String)>,
    /// What it does not get, and why.
    pub(super) notes: Vec<Problem>,
}

impl Parameters {
    /// `modules` is where the server's loadable modules are, on the host.
    pub(super) fn of(definition: &Database, modules: &Path) -> Self {
        let mut parameters = Self::default();
        for (name, value) in &definition.compose.parameters {
            let name = name.to_ascii_lowercase();
            match taken(&name, value, modules) {
                Ok(value) => parameters.taken.push((name, value)),
                Err(why) => parameters.notes.push(ignored(definition, &name, why)),
            }
        }
        parameters
    }

    /// Changes with what a server has to be started with; empty for nothing.
    pub(super) fn digest(&self) -> String {
        if self.taken.is_empty() {
            return String::new();
        }
        let mut digest = Sha256::new();
        for (name, value) in &self.taken {
            digest.update(format!("{name}={value}\0"));
        }
        digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Whether a setting may be given, wherever it stands.
pub(super) fn is_allowed(name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    ALLOWED.contains(&name)
        || ALLOWED_PREFIXES.iter().any(|prefix| {
            name.strip_prefix(prefix)
                .is_some_and(|rest| !rest.is_empty() && rest.chars().all(is_word))
        })
}

fn taken(name: &str, value: &str, modules: &Path) -> Result<String, String> {
    if !is_allowed(name) {
        return Err("it is Gable's to set, or none that a managed server takes over".to_owned());
    }
    if value.len() > VALUE_BYTES_MAX || value.chars().any(char::is_control) {
        return Err(format!("values have up to {VALUE_BYTES_MAX} bytes on one line"));
    }
    if name != LIBRARIES {
        return Ok(value.to_owned());
    }
    let names = value.split(',').map(|it| it.trim().trim_matches(['"', '\'']));
    let names: Vec<&str> = names
        .map(|it| it.strip_prefix("$libdir/").unwrap_or(it))
        .filter(|it| !it.is_empty())
        .collect();
    // A server does not start without a library that it is told to load.
    let is_here = |it: &str| {
        let is_word = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        it.chars().all(is_word) && modules.join(format!("{it}.so")).exists()
    };
    match names.iter().find(|it| !is_here(it)) {
        Some(missing) => Err(format!("this PostgreSQL has no library `{missing}`")),
        None => Ok(names.join(",")),
    }
}

fn ignored(definition: &Database, name: &str, why: String) -> Problem {
    let message = format!("the setting `{name}` of the database {} has no effect", definition.name);
    Problem::new("database-setting-ignored", message)
        .detail(why)
        .hint("leave it away, or run the image instead: `x-gable: {managed: false}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_holds_nothing_of_gables() {
        let own = ["listen_addresses", "port", "ssl", "fsync", "full_page_writes", "hba_file"];
        assert!(own.iter().all(|name| !is_allowed(name)));
        assert!(ALLOWED.iter().all(|name| !name.starts_with("ssl")));
        let mut words: Vec<&str> = ALLOWED.to_vec();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), ALLOWED.len());
    }

    #[test]
    fn a_library_that_is_not_there_is_not_asked_for() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("one.so"), "").expect("a file");
        let take = |value: &str| taken(LIBRARIES, value, directory.path());
        assert_eq!(take("'$libdir/one', "), Ok("one".to_owned()));
        assert_eq!(take("one,two"), Err("this PostgreSQL has no library `two`".to_owned()));
        assert!(take("../one").is_err());
    }

    #[test]
    fn prefixes_lead_to_one_word() {
        assert!(is_allowed("pg_stat_statements.max"));
        assert!(!is_allowed("pg_stat_statements."));
        assert!(!is_allowed("auto_explain.x = 1\nport"));
    }
}
