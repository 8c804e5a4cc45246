//! How an image wants to be run.

use std::collections::BTreeMap;
use std::time::Duration;

use model::HealthCheck;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::{Digest, Error};

/// How an image wants to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageConfig {
    /// What is always run, program first; empty where nothing is said.
    pub entrypoint: Vec<String>,
    /// Its arguments, or the whole command where there is no entrypoint.
    pub command: Vec<String>,
    /// Environment variables, in the image's order.
    pub env: Vec<(String, String)>,
    /// The user, as [`crate::Image::identity`] reads it; empty for root.
    pub user: String,
    /// Where the command starts; `/` where nothing is said.
    pub working_dir: String,
    /// TCP ports that it says it listens on.
    pub exposed_ports: Vec<u16>,
    /// Directories that want to outlive an instance.
    pub volumes: Vec<String>,
    /// The signal that asks it to end, such as `SIGQUIT`.
    pub stop_signal: Option<String>,
    /// How its health is asked for.
    pub health_check: Option<HealthCheck>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// A configuration as it was read: how to run it, and what it is made of.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) config: ImageConfig,
    /// Digests of the layers' contents, lowest first.
    pub(crate) diff_ids: Vec<Digest>,
    /// `os/architecture` where both are said.
    pub(crate) platform: Option<(String, String)>,
}

#[derive(Deserialize)]
struct ConfigJson {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    config: Option<RunJson>,
    rootfs: RootJson,
}

#[derive(Deserialize)]
struct RootJson {
    #[serde(default)]
    diff_ids: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct RunJson {
    entrypoint: Value,
    cmd: Value,
    shell: Value,
    env: Option<Vec<String>>,
    user: Option<String>,
    working_dir: Option<String>,
    exposed_ports: Option<BTreeMap<String, IgnoredAny>>,
    volumes: Option<BTreeMap<String, IgnoredAny>>,
    stop_signal: Option<String>,
    healthcheck: Option<HealthJson>,
    labels: Option<BTreeMap<String, String>>,
}

/// Times are nanoseconds; 0 means the default.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct HealthJson {
    test: Option<Vec<String>>,
    interval: i64,
    timeout: i64,
    start_period: i64,
    start_interval: i64,
    retries: i64,
}

pub(crate) fn read(bytes: &[u8], what: &str) -> Result<Read, Error> {
    let json: ConfigJson = serde_json::from_slice(bytes)
        .map_err(|_| Error::damaged(what, "its configuration is not that of a container image"))?;
    let diff_ids = json.rootfs.diff_ids.unwrap_or_default();
    let diff_ids = diff_ids
        .iter()
        .map(|digest| {
            digest.parse().map_err(|_| {
                Error::damaged(what, "it names a layer by something that is no digest")
            })
        })
        .collect::<Result<_, _>>()?;
    let has_platform = !json.os.is_empty() && !json.architecture.is_empty();
    Ok(Read {
        config: run(json.config.unwrap_or_default()),
        diff_ids,
        platform: has_platform.then_some((json.os, json.architecture)),
    })
}

fn run(json: RunJson) -> ImageConfig {
    let pairs = json.env.unwrap_or_default().into_iter().filter_map(|line| {
        let (name, value) = line.split_once('=')?;
        (!name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
    });
    let ports = json.exposed_ports.unwrap_or_default();
    let mut exposed_ports: Vec<u16> = ports.keys().flat_map(|port| tcp_ports(port)).collect();
    exposed_ports.sort_unstable();
    exposed_ports.dedup();
    let shell = words(&json.shell);
    ImageConfig {
        entrypoint: words(&json.entrypoint),
        command: words(&json.cmd),
        env: pairs.collect(),
        user: json.user.unwrap_or_default(),
        working_dir: json.working_dir.filter(|dir| !dir.is_empty()).unwrap_or_else(|| "/".into()),
        exposed_ports,
        volumes: json.volumes.unwrap_or_default().into_keys().collect(),
        stop_signal: json.stop_signal.filter(|signal| !signal.is_empty()),
        health_check: json.healthcheck.and_then(|check| health_check(check, shell)),
        labels: json.labels.unwrap_or_default(),
    }
}

/// A list of words; very old builders wrote a single word alone.
fn words(value: &Value) -> Vec<String> {
    match value {
        Value::String(word) => vec![word.clone()],
        Value::Array(words) => {
            words.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect()
        }
        _ => Vec::new(),
    }
}

/// `80`, `80/tcp`, `8000-8002/tcp`; other protocols are nobody's here.
fn tcp_ports(text: &str) -> Vec<u16> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last)) if protocol.eq_ignore_ascii_case("tcp") && first > 0 => {
            (first..=last).collect()
        }
        _ => Vec::new(),
    }
}

fn health_check(json: HealthJson, shell: Vec<String>) -> Option<HealthCheck> {
    let test = json.test.unwrap_or_default();
    let (kind, rest) = test.split_first()?;
    let command = match kind.as_str() {
        "CMD" => rest.to_vec(),
        "CMD-SHELL" => {
            let shell = if shell.is_empty() { vec!["/bin/sh".into(), "-c".into()] } else { shell };
            shell.into_iter().chain(rest.first().cloned()).collect()
        }
        _ => return None,
    };
    let defaults = HealthCheck::of(command);
    let milliseconds = |nanoseconds: i64, default: u64| match u64::try_from(nanoseconds) {
        Ok(nanoseconds) if nanoseconds > 0 => {
            let milliseconds = Duration::from_nanos(nanoseconds).as_millis();
            u64::try_from(milliseconds).unwrap_or(default).max(1)
        }
        _ => default,
    };
    Some(HealthCheck {
        interval_ms: milliseconds(json.interval, defaults.interval_ms),
        timeout_ms: milliseconds(json.timeout, defaults.timeout_ms),
        start_period_ms: milliseconds(json.start_period, defaults.start_period_ms),
        start_interval_ms: milliseconds(json.start_interval, defaults.start_interval_ms),
        retries: u32::try_from(json.retries)
            .ok()
            .filter(|tries| *tries > 0)
            .unwrap_or(defaults.retries),
        command: defaults.command,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_part(json: &str) -> ImageConfig {
        let whole =
            format!(r#"{{"os": "linux", "config": {json}, "rootfs": {{"diff_ids": null}}}}"#);
        read(whole.as_bytes(), "an image").unwrap().config
    }

    #[test]
    fn null_is_nothing_said() {
        let config = run_part(r#"{"Cmd": null, "Entrypoint": null, "Env": null, "Volumes": null}"#);
        assert!(config.command.is_empty() && config.entrypoint.is_empty() && config.env.is_empty());
        assert_eq!(config.working_dir, "/");
        assert_eq!(config, run_part("null"));
    }

    #[test]
    fn everything_an_image_says_is_taken_over() {
        let config = run_part(
            r#"{"Entrypoint": ["/e"], "Cmd": "one", "Env": ["A=1=2", "broken", "B="],
                "User": "app:web", "WorkingDir": "/srv", "StopSignal": "SIGQUIT",
                "ExposedPorts": {"80/tcp": {}, "53/udp": {}, "9000-9002": {}, "x": {}},
                "Volumes": {"/data": {}}, "Labels": {"a": "b"}, "Shell": ["/bin/bash", "-lc"],
                "Healthcheck": {"Test": ["CMD-SHELL", "curl x"], "Interval": 5000000000, "Retries": 7}}"#,
        );
        assert_eq!(config.entrypoint, ["/e"]);
        assert_eq!(config.command, ["one"]);
        assert_eq!(config.env, [("A".into(), "1=2".into()), ("B".into(), String::new())]);
        assert_eq!(config.exposed_ports, [80, 9000, 9001, 9002]);
        assert_eq!(config.volumes, ["/data"]);
        let check = config.health_check.unwrap();
        assert_eq!(check.command, ["/bin/bash", "-lc", "curl x"]);
        assert_eq!((check.interval_ms, check.timeout_ms, check.retries), (5000, 30_000, 7));
    }

    #[test]
    fn a_check_that_is_none_is_none() {
        for test in ["[]", "null", r#"["NONE"]"#, r#"["WHAT", "x"]"#] {
            let config = run_part(&format!(r#"{{"Healthcheck": {{"Test": {test}}}}}"#));
            assert_eq!(config.health_check, None, "{test}");
        }
    }
}
