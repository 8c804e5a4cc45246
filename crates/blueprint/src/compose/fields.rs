//! Every field that a compose file can have, and what becomes of it here.
//!
//! The names are those of the compose specification and its JSON schema. Each file is walked with
//! this table before it is merged with others: misspelled keys are renamed, unknown ones dropped,
//! and what has no meaning here is named, so that nothing is ignored in silence.

use std::collections::HashMap;

use crate::catalog::{Treatment, normalized};
use crate::code::Code;
use crate::finding::Patch;

use super::node::{At, Entry, Node, Value};
use super::reader::{Reader, Seen};

mod service;
mod tables;

/// Where a field stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Root,
    Include,
    Service,
    Extends,
    Build,
    Dependency,
    Deploy,
    PreStart,
    Resources,
    Limits,
    Reservations,
    Update,
    RestartPolicy,
    EnvFile,
    FileUse,
    Health,
    Logging,
    Connection,
    Port,
    Ulimit,
    Volume,
    VolumeBind,
    VolumeStore,
    VolumeTmpfs,
    VolumeImage,
    TopNetwork,
    TopVolume,
    TopSecret,
    TopConfig,
    Gable,
    GableRoot,
    GableRoute,
    GableHealth,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inside {
    /// A single value, or things that are the author's own to name.
    Own,
    /// A mapping with fields of a place; or a short form.
    Map(Place),
    /// A list or mapping of such mappings; or of short forms.
    Each(Place),
}

/// One known field.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    pub(crate) place: Place,
    pub(crate) name: &'static str,
    pub(crate) inside: Inside,
    pub(crate) treatment: Treatment,
    pub(crate) why: &'static str,
}

/// A row of the tables.
pub(crate) const fn row(
    place: Place,
    name: &'static str,
    inside: Inside,
    treatment: Treatment,
    why: &'static str,
) -> Field {
    Field { place, name, inside, treatment, why }
}

/// Spellings that real files have: place, what they say, what they mean.
const SPELLINGS: &[(Place, &str, &str)] = &[
    (Place::Service, "env", "environment"),
    (Place::Service, "envs", "environment"),
    (Place::Service, "environments", "environment"),
    (Place::Service, "environment_file", "env_file"),
    (Place::Service, "env_files", "env_file"),
    (Place::Service, "port", "ports"),
    (Place::Service, "volume", "volumes"),
    (Place::Service, "network", "networks"),
    (Place::Service, "depends", "depends_on"),
    (Place::Service, "dependencies", "depends_on"),
    (Place::Service, "health", "healthcheck"),
    (Place::Service, "cmd", "command"),
    (Place::Service, "memory", "mem_limit"),
    (Place::Service, "mem", "mem_limit"),
    (Place::Service, "memory_limit", "mem_limit"),
    (Place::Service, "cpu", "cpus"),
    (Place::Service, "cpu_limit", "cpus"),
    (Place::Service, "replicas", "scale"),
    (Place::Service, "host_name", "hostname"),
    (Place::Service, "workdir", "working_dir"),
    (Place::Service, "work_dir", "working_dir"),
    (Place::Build, "path", "context"),
    (Place::Build, "file", "dockerfile"),
    (Place::Health, "command", "test"),
    (Place::Health, "start_delay", "start_period"),
    (Place::Limits, "cpu", "cpus"),
    (Place::Limits, "mem", "memory"),
];

/// All fields.
pub(crate) fn all() -> impl Iterator<Item = &'static Field> {
    service::FIELDS.iter().chain(tables::FIELDS)
}

fn of(place: Place) -> impl Iterator<Item = &'static Field> {
    all().filter(move |field| field.place == place)
}

/// How a key was recognised.
enum Found {
    Exact(&'static Field),
    Meant(&'static Field),
    Unknown(Option<&'static str>),
}

fn find(place: Place, key: &str) -> Found {
    if let Some(field) = of(place).find(|field| field.name == key) {
        return Found::Exact(field);
    }
    let plain = normalized(key);
    let spelling = SPELLINGS
        .iter()
        .find(|(other, said, _)| *other == place && normalized(said) == plain)
        .map(|(.., meant)| *meant);
    let same = |field: &&Field| normalized(field.name) == plain || Some(field.name) == spelling;
    if let Some(field) = of(place).find(same) {
        return Found::Meant(field);
    }
    let nearest = of(place)
        .map(|field| (strsim::osa_distance(&normalized(field.name), &plain), field))
        .min_by_key(|(distance, _)| *distance);
    match nearest {
        Some((1, field)) if plain.len() >= 4 => Found::Meant(field),
        Some((2, field)) if plain.len() >= 8 => Found::Meant(field),
        Some((distance, field)) if distance * 3 <= plain.len() => Found::Unknown(Some(field.name)),
        _ => Found::Unknown(None),
    }
}

impl Reader<'_> {
    /// Walks a mapping of a place: renames, drops and explains its fields.
    pub(crate) fn walk(&mut self, node: &mut Node, place: Place, path: &str) {
        let Value::Map(entries) = &mut node.value else { return };
        let mut kept: Vec<Entry> = Vec::with_capacity(entries.len());
        let mut known: HashMap<String, usize> = HashMap::new();
        for mut entry in std::mem::take(entries) {
            if !self.recognise(&mut entry, place, path) {
                continue;
            }
            match known.get(&entry.key) {
                Some(earlier) => {
                    self.twice(&entry, path);
                    kept[*earlier] = entry;
                }
                None => {
                    known.insert(entry.key.clone(), kept.len());
                    kept.push(entry);
                }
            }
        }
        *entries = kept;
    }

    fn twice(&mut self, entry: &Entry, path: &str) {
        let message = format!("`{}` stands twice; the last one counts", entry.key);
        self.add(Code::DuplicateKey, &entry.key_at, &format!("{path}.{}", entry.key), message)
            .hint("remove one of them");
    }

    /// Whether a pair is known; its key is corrected and what it holds is walked.
    fn recognise(&mut self, entry: &mut Entry, place: Place, parent: &str) -> bool {
        let at = entry.key_at.clone();
        let path = |key: &str| {
            if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") }
        };
        let field = match find(place, &entry.key) {
            Found::Exact(field) => field,
            Found::Meant(field)
                if !entry.key.starts_with("x-") && may_hold(field, &entry.key, &entry.node) =>
            {
                let message =
                    format!("there is no field `{}`; read as `{}`", entry.key, field.name);
                let patch = (entry.node.at.file == at.file)
                    .then(|| Patch::replace(at.start..at.end, field.name));
                self.add(Code::FieldSpelling, &at, &path(&entry.key), message)
                    .hint(format!("write `{}`", field.name))
                    .patch(patch);
                field.name.clone_into(&mut entry.key);
                field
            }
            Found::Meant(_) | Found::Unknown(_) if entry.key.starts_with("x-") => {
                self.saw(&path(&entry.key), &at, &entry.node, Treatment::NotApplicable, EXTENSION);
                return false;
            }
            found @ (Found::Meant(_) | Found::Unknown(_)) => {
                let near = match found {
                    Found::Meant(field) => Some(field.name),
                    Found::Unknown(near) => near,
                    Found::Exact(_) => None,
                };
                let message = format!("there is no field `{}` here; it was ignored", entry.key);
                let hint = match near {
                    Some(name) => format!("did you mean `{name}`?"),
                    None => "remove it, or let its name begin with `x-`".to_owned(),
                };
                self.saw(&path(&entry.key), &at, &entry.node, Treatment::NotApplicable, UNKNOWN);
                self.add(Code::UnknownField, &at, &path(&entry.key), message).hint(hint);
                return false;
            }
        };
        let path = path(field.name);
        self.saw(&path, &at, &entry.node, field.treatment, field.why);
        if !entry.node.is_null() {
            self.remark(field, &at, &path);
        }
        self.walk_inside(&mut entry.node, field.inside, &path);
        true
    }

    /// Says what becomes of a field that does not mean the same as elsewhere; once for all places.
    fn remark(&mut self, field: &'static Field, at: &At, path: &str) {
        let code = match field.treatment {
            Treatment::Equivalent => return,
            Treatment::Translated => Code::FieldTranslated,
            Treatment::NotApplicable => Code::FieldNotApplicable,
            Treatment::Later => Code::FieldLater,
        };
        self.group(code, at, path, format!("`{}`: {}", field.name, field.why));
    }

    fn walk_inside(&mut self, node: &mut Node, inside: Inside, path: &str) {
        match inside {
            Inside::Own => {}
            Inside::Map(place) => self.walk(node, place, path),
            Inside::Each(place) => match &mut node.value {
                Value::Scalar(_) => {}
                Value::List(items) => {
                    for (index, item) in items.iter_mut().enumerate() {
                        self.walk(item, place, &format!("{path}[{index}]"));
                    }
                }
                Value::Map(entries) => {
                    for entry in entries {
                        let path = format!("{path}.{}", entry.key);
                        self.walk(&mut entry.node, place, &path);
                    }
                }
            },
        }
    }

    fn saw(&mut self, path: &str, at: &At, node: &Node, treatment: Treatment, why: &'static str) {
        let value = shown(path, node);
        self.seen(Seen { path: path.to_owned(), at: at.clone(), value, treatment, why });
    }
}

/// Fields of services that hold a single text.
const TEXTS: &[&str] = &[
    "cgroup_parent",
    "container_name",
    "domainname",
    "hostname",
    "image",
    "ipc",
    "isolation",
    "network_mode",
    "pid",
    "platform",
    "pull_policy",
    "restart",
    "runtime",
    "stop_grace_period",
    "stop_signal",
    "user",
    "userns_mode",
    "working_dir",
];
/// Fields that hold a number, or a size, and begin with a digit.
const NUMBERS: &[&str] =
    &["cpu_shares", "cpus", "mem_limit", "mem_reservation", "pids_limit", "scale", "shm_size"];
/// Fields that are true or false.
const SWITCHES: &[&str] = &["init", "privileged", "read_only", "stdin_open", "tty"];

/// Whether a field whose key was guessed could hold a value. A spelling from the table is no guess.
fn may_hold(field: &Field, key: &str, node: &Node) -> bool {
    let plain = normalized(key);
    let is_spelling = normalized(field.name) == plain
        || SPELLINGS.iter().any(|(place, said, meant)| {
            *place == field.place && *meant == field.name && normalized(said) == plain
        });
    if is_spelling || node.is_null() {
        return true;
    }
    match (&node.value, field.inside) {
        (Value::Scalar(scalar), _) if scalar.written.is_some() => true,
        (Value::Scalar(_), Inside::Each(_)) => false,
        (Value::Scalar(scalar), _) if NUMBERS.contains(&field.name) => {
            scalar.text.trim_start().starts_with(|letter: char| letter.is_ascii_digit())
        }
        (Value::Scalar(scalar), _) if SWITCHES.contains(&field.name) => {
            matches!(scalar.text.to_ascii_lowercase().as_str(), "true" | "false" | "yes" | "no")
        }
        (Value::Scalar(_), _) => true,
        (Value::List(_) | Value::Map(_), Inside::Own) => {
            ![TEXTS, NUMBERS, SWITCHES].concat().contains(&field.name)
        }
        (Value::List(_), Inside::Map(_)) => false,
        (Value::List(_) | Value::Map(_), _) => true,
    }
}

const UNKNOWN: &str = "there is no such field; it was ignored";
const EXTENSION: &str = "an extension that only the author's own tools know";

/// Longest value that is shown.
const SHOWN_CHARS: usize = 60;

/// A value for a person; masked where it may be a secret.
fn shown(path: &str, node: &Node) -> String {
    let count = |count: usize, noun: &str| {
        if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
    };
    match &node.value {
        Value::List(items) => count(items.len(), "item"),
        Value::Map(entries) => count(entries.len(), "field"),
        Value::Scalar(scalar) if scalar.is_null() => String::new(),
        Value::Scalar(scalar) => {
            let name = path.rsplit('.').next().unwrap_or(path);
            let hides = matches!(
                name,
                "environment" | "args" | "content" | "command" | "entrypoint" | "test" | "labels"
            );
            let text = scalar.shown().trim();
            if hides {
                crate::mask::MASK.to_owned()
            } else if text.chars().count() > SHOWN_CHARS || text.contains('\n') {
                let line = text.lines().next().unwrap_or_default();
                format!("{}…", line.chars().take(SHOWN_CHARS).collect::<String>())
            } else {
                text.to_owned()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Found, Place, SPELLINGS, all, find};

    #[test]
    fn no_field_stands_twice_and_each_says_why() {
        let fields: Vec<_> = all().collect();
        for (index, field) in fields.iter().enumerate() {
            assert!(!field.why.is_empty(), "{} has no reason", field.name);
            let twin = fields[..index]
                .iter()
                .find(|other| other.place == field.place && other.name == field.name);
            assert!(twin.is_none(), "{:?} {} stands twice", field.place, field.name);
        }
        for (place, said, meant) in SPELLINGS {
            assert!(all().any(|field| field.place == *place && field.name == *meant), "{said}");
        }
    }

    #[test]
    fn every_name_of_a_kind_is_that_of_a_field() {
        for name in [super::TEXTS, super::NUMBERS, super::SWITCHES].concat() {
            assert!(all().any(|field| field.name == name), "{name}");
        }
    }

    #[test]
    fn keys_are_recognised_by_spelling_and_distance() {
        let check = |key, expected: &str| {
            let found = match find(Place::Service, key) {
                Found::Exact(field) => format!("exact {}", field.name),
                Found::Meant(field) => format!("meant {}", field.name),
                Found::Unknown(near) => format!("unknown {}", near.unwrap_or("-")),
            };
            assert_eq!(found, expected, "{key}");
        };
        check("image", "exact image");
        check("dependsOn", "meant depends_on");
        check("enviroment", "meant environment");
        check("health_check", "meant healthcheck");
        check("env", "meant environment");
        check("frobnicate", "unknown -");
    }
}
