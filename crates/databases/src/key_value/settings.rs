//! The whole configuration of a Key Value server, written anew before every start.

use model::{KeyValue, PersistenceMode};
use secrecy::ExposeSecret as _;

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
        // The private network is the border, with a password or without.
        "protected-mode no".to_owned(),
        "daemonize no".to_owned(),
        "logfile \"\"".to_owned(),
        format!("dir {}", quoted(&text(&layout.data.inside))),
        format!("maxmemory {}", definition.instance_type.memory_bytes),
        format!("maxmemory-policy {}", definition.maxmemory_policy),
    ];
    lines.extend(persistence(definition.persistence_mode).iter().map(|line| (*line).to_owned()));
    let password = request.password();
    lines.extend(password.map(|it| format!("requirepass {}", quoted(it.expose_secret()))));
    let server = lines.join("\n") + "\n";
    // With a password in it, only the server's own user reads the file.
    let (mode, owner) = if password.is_some() { (0o400, Some(request.uid)) } else { (0o644, None) };
    files::replace(&layout.conf.host.join(SERVER), &server, mode, owner)
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

/// A word of the configuration file. What could end the line or the word is written as `\xNN`.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '\\' | '"' => quoted.extend(['\\', character]),
            _ if character.is_ascii_control() => {
                quoted.push_str(&format!("\\x{:02x}", u32::from(character)));
            }
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stays_one_word_on_one_line() {
        assert_eq!(quoted("a \"b\" \\ ü\nx"), r#""a \"b\" \\ ü\x0ax""#);
    }
}
