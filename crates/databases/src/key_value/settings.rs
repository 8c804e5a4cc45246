//! The whole configuration of a Key Value server, written anew before every start.

use model::{KeyValue, PersistenceMode};

use crate::instance::text;
use crate::key_value::{KeyValueRequest, Layout};
use crate::{Error, files};

pub(super) const SERVER: &str = "server.conf";

/// Memory beyond `maxmemory`: the server itself, buffers of clients and of the journal.
const OVERHEAD_BYTES: u64 = 64 << 20;

pub(super) fn write(request: &KeyValueRequest<'_>, layout: &Layout) -> Result<(), Error> {
    files::create_dir(&layout.conf.host, 0o755)?;
    let definition = request.definition;
    let mut lines = vec![
        "# Written by Gable before every start.".to_owned(),
        format!("bind {}", layout.listen),
        format!("port {}", request.port),
        // Render's internal URLs have no password; the private network is the border.
        "protected-mode no".to_owned(),
        "daemonize no".to_owned(),
        "logfile \"\"".to_owned(),
        format!("dir {}", quoted(&text(&layout.data.inside))),
        format!("maxmemory {}", definition.instance_type.memory_bytes),
        format!("maxmemory-policy {}", definition.maxmemory_policy),
    ];
    lines.extend(persistence(definition.persistence_mode).iter().map(|line| (*line).to_owned()));
    let server = lines.join("\n") + "\n";
    files::replace(&layout.conf.host.join(SERVER), &server, 0o644, None)
}

/// What the engine lets the server use: a snapshot is written by a copy of the process, which may
/// come to own as much again.
pub(super) fn memory_limit(definition: &KeyValue) -> u64 {
    definition.instance_type.memory_bytes.saturating_mul(2).saturating_add(OVERHEAD_BYTES)
}

fn persistence(mode: PersistenceMode) -> &'static [&'static str] {
    match mode {
        PersistenceMode::JournalSnapshot => {
            &["appendonly yes", "appendfsync everysec", "save 3600 1 300 100 60 10000"]
        }
        PersistenceMode::Snapshot => &["appendonly no", "save 3600 1 300 100 60 10000"],
        PersistenceMode::Off => &["appendonly no", "save \"\""],
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
