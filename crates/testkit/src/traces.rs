//! What a running platform has put on the machine, found without knowing how it names things: by
//! the ids and addresses that its status tells. Nothing of it may be there when it is gone.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Where the kernel's cgroups are, by convention of every distribution.
const CGROUPS: &str = "/sys/fs/cgroup";
/// A hierarchy, Gable's part of it, an instance's part of that.
const CGROUP_DEPTH: usize = 3;
/// Networks of environments have this many bits in common.
const NETWORK_BITS: u32 = 24;

/// Networks, rules, cgroups and mounts of a platform.
#[derive(Debug)]
pub struct Traces {
    links: Vec<String>,
    cgroups: Vec<PathBuf>,
    places: Vec<PathBuf>,
}

impl Traces {
    /// Those of a platform with this status, which keeps its files in these places.
    #[must_use]
    pub fn of(status: &Value, places: &[PathBuf]) -> Self {
        let mut instances = Vec::new();
        let mut addresses = Vec::new();
        collect(status, &mut instances, &mut addresses);
        let mut links: Vec<String> = links()
            .into_iter()
            .filter(|(_, gateway)| addresses.iter().any(|it| network(*it) == network(*gateway)))
            .map(|(name, _)| name)
            .collect();
        links.dedup();
        let mut cgroups = Vec::new();
        find_cgroups(Path::new(CGROUPS), CGROUP_DEPTH, &instances, &mut cgroups);
        // What holds them is the platform's too, if it is not the machine's.
        let parents: Vec<_> = cgroups
            .iter()
            .filter_map(|path| path.parent())
            .filter(|path| *path != Path::new(CGROUPS))
            .map(ToOwned::to_owned)
            .collect();
        cgroups.extend(parents);
        cgroups.sort();
        cgroups.dedup();
        Self { links, cgroups, places: places.to_owned() }
    }

    /// How many things there are to look for.
    #[must_use]
    pub fn count(&self) -> usize {
        self.links.len() + self.cgroups.len()
    }

    /// What is still there, in words.
    #[must_use]
    pub fn left(&self) -> Vec<String> {
        let is_link = |name: &&String| Path::new("/sys/class/net").join(name).exists();
        let mut left: Vec<String> =
            self.links.iter().filter(is_link).map(|name| format!("the link {name}")).collect();
        let rules = output("nft", &["list", "ruleset"]);
        let has_rule = |name: &&String| rules.contains(&format!("\"{name}\""));
        left.extend(self.links.iter().filter(has_rule).map(|name| format!("rules for {name}")));
        let cgroups = self.cgroups.iter().filter(|path| path.exists());
        left.extend(cgroups.map(|path| format!("the cgroup {}", path.display())));
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        let is_ours = |line: &&str| {
            self.places.iter().any(|place| line.contains(&place.display().to_string()))
        };
        left.extend(mounts.lines().filter(is_ours).map(|line| format!("the mount {line}")));
        left
    }
}

/// Ids of instances and addresses, wherever they stand.
fn collect(value: &Value, instances: &mut Vec<String>, addresses: &mut Vec<Ipv4Addr>) {
    match value {
        Value::String(text) if text.starts_with("ins-") => instances.push(text.clone()),
        Value::String(text) => {
            let host = text.rsplit_once(':').map_or(text.as_str(), |(host, _)| host);
            let address = host.parse::<Ipv4Addr>().ok().filter(|it| it.is_private());
            addresses.extend(address);
        }
        Value::Array(values) => {
            values.iter().for_each(|value| collect(value, instances, addresses));
        }
        Value::Object(fields) => {
            fields.values().for_each(|value| collect(value, instances, addresses));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Names and addresses of this machine's links.
fn links() -> Vec<(String, Ipv4Addr)> {
    // `7: gable0  inet 10.77.0.1/24 scope global …`
    let parse = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let address = words.get(3)?.split('/').next()?.parse().ok()?;
        Some(((*words.get(1)?).to_owned(), address))
    };
    output("ip", &["-o", "-4", "address", "show"]).lines().filter_map(parse).collect()
}

fn network(address: Ipv4Addr) -> u32 {
    address.to_bits() >> (32 - NETWORK_BITS)
}

fn find_cgroups(folder: &Path, depth: usize, names: &[String], found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|it| it.file_type().is_ok_and(|kind| kind.is_dir())) {
        if names.iter().any(|name| entry.file_name() == name.as_str()) {
            found.push(entry.path());
        } else if depth > 1 {
            find_cgroups(&entry.path(), depth - 1, names, found);
        }
    }
}

/// What a program says; nothing when it is not there.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}
