//! `redis` and `valkey` images as managed Key Value.

use model::{InstanceType, KeyValue, MaxmemoryPolicy, PersistenceMode};

use super::super::compile::Project;
use super::super::reader::Reader;
use super::super::scalars::parse_bytes;
use super::{Reason, Store, Wishes};

/// The size of a Key Value instance whose file sets no limit.
const SIZE: (&str, u32, u64) = ("1g", 250, 1 << 30);
/// Smallest `maxmemory` that is passed on.
const MEMORY_FLOOR_BYTES: u64 = 1 << 20;

/// What the server is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Flags {
    password: Option<String>,
    maxmemory_bytes: Option<u64>,
    policy: MaxmemoryPolicy,
    persistence: PersistenceMode,
}

impl Reader<'_> {
    pub(super) fn key_value(
        &mut self,
        project: &Project<'_>,
        name: &str,
        wishes: &Wishes<'_>,
    ) -> Result<Store, Reason> {
        let flags = flags(&wishes.words)?;
        let is_data = |target: &str| target.trim_end_matches('/') == "/data";
        if wishes.mounts.iter().any(|(_, mount)| !is_data(&mount.target)) {
            return Err("it mounts files of its own".to_owned());
        }
        let mut origin = self.store_origin(project, name, wishes);
        origin.password = flags.password;
        let mut instance_type = self.store_size(&wishes.service, SIZE);
        if let Some(bytes) = flags.maxmemory_bytes {
            let memory_bytes = bytes.max(MEMORY_FLOOR_BYTES);
            let name = format!("{}mb", memory_bytes >> 20);
            instance_type = InstanceType { name, memory_bytes, ..instance_type };
        }
        let key_value = KeyValue {
            name: name.to_owned(),
            instance_type,
            maxmemory_policy: flags.policy,
            persistence_mode: flags.persistence,
            compose: model::ComposeStore::default(),
        };
        Ok(Store::KeyValue(key_value, origin))
    }
}

/// The flags of `redis-server --name value …`; without any, what the image does.
fn flags(words: &[String]) -> Result<Flags, Reason> {
    let mut flags = Flags {
        password: None,
        maxmemory_bytes: None,
        policy: MaxmemoryPolicy::Noeviction,
        persistence: PersistenceMode::Snapshot,
    };
    let (mut appends, mut saves) = (false, true);
    let mut words = words.iter().map(String::as_str).peekable();
    if words.peek().is_some_and(|word| matches!(*word, "redis-server" | "valkey-server")) {
        words.next();
    }
    while let Some(word) = words.next() {
        let Some(name) = word.strip_prefix("--") else {
            return Err("its `command` is more than a server with flags".to_owned());
        };
        let mut values = Vec::new();
        while let Some(value) = words.next_if(|word| !word.starts_with("--")) {
            values.push(value);
        }
        // `--requirepass --x` would be a password that looks like a flag: nobody means that.
        let value = values.join(" ");
        match (name.to_ascii_lowercase().as_str(), value.as_str()) {
            ("requirepass", "") => {}
            ("requirepass", password) => flags.password = Some(password.to_owned()),
            ("maxmemory", size) => {
                let bytes = parse_bytes(size).ok_or("its `maxmemory` is no size")?;
                flags.maxmemory_bytes = Some(bytes).filter(|bytes| *bytes > 0);
            }
            ("maxmemory-policy", policy) => {
                flags.policy = policy.parse().map_err(|_| "its `maxmemory-policy` is unknown")?;
            }
            ("appendonly", value) => appends = value == "yes",
            ("save", value) => saves = !value.trim_matches(['"', '\'']).is_empty(),
            (
                "appendfsync" | "loglevel" | "bind" | "protected-mode" | "tcp-keepalive"
                | "timeout" | "dir" | "daemonize" | "databases" | "tcp-backlog" | "dbfilename"
                | "rdbcompression" | "appendfilename",
                _,
            )
            | ("port", "6379") => {}
            (name, _) => {
                return Err(format!(
                    "the flag `--{name}` is none that a managed server takes over"
                ));
            }
        }
    }
    flags.persistence = match (appends, saves) {
        (true, _) => PersistenceMode::JournalSnapshot,
        (false, true) => PersistenceMode::Snapshot,
        (false, false) => PersistenceMode::Off,
    };
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::flags;

    #[test]
    fn flags_are_honoured_or_named() {
        let check = |command: &str, expected: &str| {
            let words = shlex::split(command).unwrap();
            let shown = match flags(&words) {
                Ok(flags) => format!(
                    "{} {} {} {}",
                    flags.password.is_some(),
                    flags.maxmemory_bytes.unwrap_or_default() >> 20,
                    flags.policy,
                    flags.persistence
                ),
                Err(reason) => reason,
            };
            assert_eq!(shown, expected, "{command}");
        };
        check("", "false 0 noeviction snapshot");
        check("redis-server --appendonly yes", "false 0 noeviction journal-snapshot");
        check("redis-server --save '' --appendonly no", "false 0 noeviction off");
        check("redis-server --save 60 1 --loglevel warning", "false 0 noeviction snapshot");
        check(
            "redis-server --requirepass x --maxmemory 256mb --maxmemory-policy allkeys-lru",
            "true 256 allkeys-lru snapshot",
        );
        check("redis-server /etc/redis.conf", "its `command` is more than a server with flags");
        check("sh -c 'redis-server'", "its `command` is more than a server with flags");
        check(
            "redis-server --cluster-enabled yes",
            "the flag `--cluster-enabled` is none that a managed server takes over",
        );
    }
}
