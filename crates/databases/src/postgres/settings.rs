//! The whole configuration of a server, written anew before every start.

use std::net::IpAddr;
use std::time::Duration;

use crate::instance::text;
use crate::postgres::parameters::Parameters;
use crate::postgres::{Layout, PostgresRequest, SUPERUSER, certificate};
use crate::{Error, files};

pub(super) const SERVER: &str = "postgresql.conf";
/// A setting of ours, without effect, that tells which settings a server was started with.
pub(super) const STARTED_WITH: &str = "gable.started_with";
const CLIENTS: &str = "pg_hba.conf";

/// How long a server that has to make room may take to end.
pub(super) const STOP_GRACE: Duration = Duration::from_secs(60);

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// For whom a server runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// For its environment.
    Serve,
    /// To run the files that fill it: nobody else is let in.
    Fill,
}

pub(super) fn write(
    request: &PostgresRequest<'_>,
    layout: &Layout,
    gateway: IpAddr,
    purpose: Purpose,
) -> Result<Parameters, Error> {
    let directory = &layout.conf.host;
    let parameters = Parameters::of(request.definition, &layout.modules);
    files::create_dir(directory, 0o755)?;
    let listen = if layout.sockets.is_empty() { "127.0.0.1" } else { "0.0.0.0" };
    let inside = |name: &str| quoted(&text(&layout.conf.inside.join(name)));
    let mut lines = vec![
        "# Written by Gable before every start.".to_owned(),
        format!("hba_file = {}", inside(CLIENTS)),
        format!("listen_addresses = {}", quoted(listen)),
        format!("port = {}", request.port),
        format!("unix_socket_directories = {}", quoted(&layout.sockets)),
    ];
    if purpose == Purpose::Serve {
        lines.extend([
            "ssl = on".to_owned(),
            format!("ssl_cert_file = {}", inside(certificate::CERTIFICATE)),
            format!("ssl_key_file = {}", inside(certificate::KEY)),
        ]);
    }
    lines.extend(ALWAYS.map(str::to_owned));
    lines.extend(tuned(request.definition.instance_type.memory_bytes));
    // Of two lines with one name, the last counts.
    lines
        .extend(parameters.taken.iter().map(|(name, value)| format!("{name} = {}", quoted(value))));
    if purpose == Purpose::Fill {
        lines.extend(SILENT.map(str::to_owned));
    }
    let server = lines.join("\n") + "\n";
    files::replace(&directory.join(SERVER), &server, 0o644, None)?;
    files::replace(&directory.join(CLIENTS), &clients(gateway, purpose), 0o644, None)?;
    Ok(parameters)
}

/// What does not depend on anything. Durability is stated, though it is PostgreSQL's default.
const ALWAYS: [&str; 17] = [
    "fsync = on",
    "synchronous_commit = on",
    "full_page_writes = on",
    "password_encryption = 'scram-sha-256'",
    "ssl_min_protocol_version = 'TLSv1.2'",
    "log_destination = 'stderr'",
    "logging_collector = off",
    // The time is added to every line of every instance's log.
    "log_line_prefix = '%q%u@%d '",
    "log_checkpoints = off",
    "timezone = 'UTC'",
    "log_timezone = 'UTC'",
    "datestyle = 'iso, mdy'",
    "lc_messages = 'C.UTF-8'",
    "default_text_search_config = 'pg_catalog.english'",
    // Shared memory of the instance's own /dev/shm may be small; files of the data directory grow.
    "dynamic_shared_memory_type = 'mmap'",
    // Compiled queries cost tens of megabytes in each backend.
    "jit = off",
    "max_wal_size = '512MB'",
];

/// While files run that may hold passwords of roles: the log is shown, and what fails is told by
/// `psql`. `log` is what the server says of itself, and more severe than `error`.
const SILENT: [&str; 5] = [
    "log_min_messages = log",
    "log_min_error_statement = panic",
    "log_statement = none",
    "log_min_duration_statement = -1",
    "log_min_duration_sample = -1",
];

/// What depends on the size of the instance.
fn tuned(memory: u64) -> Vec<String> {
    let connections = max_connections(memory);
    let work = (memory / 4 / u64::from(connections)).clamp(MIB, 64 * MIB);
    let size = |name: &str, bytes: u64| format!("{name} = '{}kB'", bytes / 1024);
    vec![
        format!("max_connections = {connections}"),
        size("shared_buffers", (memory / 4).clamp(16 * MIB, 16 * GIB)),
        size("effective_cache_size", (memory / 4 * 3).max(32 * MIB)),
        size("work_mem", work),
        size("maintenance_work_mem", (memory / 16).clamp(16 * MIB, GIB)),
    ]
}

/// Render's rule: 100, 200, 400 or 500 by memory.
fn max_connections(memory: u64) -> u32 {
    match memory / GIB {
        0..8 => 100,
        8..16 => 200,
        16..32 => 400,
        _ => 500,
    }
}

/// Who may log in, from where. The first line that fits decides. The superuser comes from the
/// host and from nowhere else; everybody needs a password, with TLS or without. While it is filled,
/// only those inside the instance get in beside the superuser.
fn clients(gateway: IpAddr, purpose: Purpose) -> String {
    let bits = if gateway.is_ipv4() { 32 } else { 128 };
    let lines = [
        "# Written by Gable before every start.".to_owned(),
        format!("host all {SUPERUSER} {gateway}/{bits} scram-sha-256"),
        format!("local all {SUPERUSER} reject"),
        format!("host all {SUPERUSER} all reject"),
        // Only the files that fill it are inside then, and in the image they need no password.
        format!(
            "local all all {}",
            if purpose == Purpose::Fill { "trust" } else { "scram-sha-256" }
        ),
        match purpose {
            Purpose::Serve => "host all all all scram-sha-256".to_owned(),
            Purpose::Fill => "host all all 127.0.0.1/32 scram-sha-256".to_owned(),
        },
    ];
    lines.join("\n") + "\n"
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_follow_memory() {
        let check = |gib: u64| max_connections(gib * GIB);
        assert_eq!([1, 7, 8, 16, 31, 32].map(check), [100, 100, 200, 400, 400, 500]);
    }

    #[test]
    fn the_smallest_instance_gets_settings_that_fit() {
        let lines = tuned(256 * MIB);
        assert!(lines.contains(&"shared_buffers = '65536kB'".to_owned()), "{lines:?}");
        assert!(lines.contains(&"work_mem = '1024kB'".to_owned()), "{lines:?}");
    }

    #[test]
    fn the_superuser_comes_from_the_gateway_only() {
        let text = clients(IpAddr::from([10, 77, 3, 1]), Purpose::Serve);
        let superuser: Vec<&str> = text.lines().filter(|l| l.contains(SUPERUSER)).collect();
        assert_eq!(superuser[0], "host all gable_admin 10.77.3.1/32 scram-sha-256");
        assert!(superuser[1..].iter().all(|line| line.ends_with("reject")));
    }

    #[test]
    fn nobody_comes_over_the_network_while_it_is_filled() {
        let text = clients(IpAddr::from([10, 77, 3, 1]), Purpose::Fill);
        assert!(!text.contains("host all all all"), "{text}");
    }

    #[test]
    fn a_value_stays_one_value() {
        assert_eq!(quoted(r"a\'; port = 1"), r"'a\\''; port = 1'");
    }
}
