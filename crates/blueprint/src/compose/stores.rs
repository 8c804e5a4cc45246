//! Well-known data images that run as managed stores instead.
//!
//! A store is managed when everything that the file asks of it can be honoured. Where something
//! cannot, its image runs as written, and a note says what it was.

use model::{Database, EnvSource, EnvVar, InstanceType, KeyValue, PublishedPort};

use crate::blueprint::StoreOrigin;
use crate::code::Code;

use super::compile::Project;
use super::node::View;
use super::reader::Reader;
use super::scalars::written;
use super::volumes::Mount;

mod key_value;
mod postgres;

/// A managed store.
#[derive(Debug)]
pub(crate) enum Store {
    Postgres(Database, StoreOrigin),
    KeyValue(KeyValue, StoreOrigin),
}

/// The images that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Image {
    /// PostgreSQL of a major version; with pgvector or without.
    Postgres(u32),
    /// Valkey or Redis.
    KeyValue,
}

/// Majors of PostgreSQL that can be managed.
const MAJORS: std::ops::RangeInclusive<u32> = 14..=18;
/// What an image without a version means.
const NEWEST_MAJOR: u32 = 18;

/// What is asked of a store.
struct Wishes<'n> {
    service: View<'n>,
    env: Vec<EnvVar>,
    words: Vec<String>,
    mounts: Vec<(View<'n>, Mount)>,
}

/// Why a store cannot be managed, to be read behind “its image runs, because”.
type Reason = String;

impl Reader<'_> {
    /// The managed store that a service is, if it is one.
    pub(crate) fn store(
        &mut self,
        project: &Project<'_>,
        name: &str,
        service: &View<'_>,
    ) -> Option<Store> {
        let url = service.get("image")?;
        let text = url.node.scalar()?.text.clone();
        let image = known(&text)?;
        let extension = service.get("x-gable").and_then(|view| view.get("managed"));
        let is_managed = extension.and_then(|view| self.boolean(&view)).unwrap_or(true);
        if self.input.use_images || !is_managed {
            return None;
        }
        // Whatever is wrong with the fields is said by whoever reads them for good.
        let result = self.unfit(service).map_or_else(
            || {
                let wishes = self.wishes(service);
                match image {
                    Image::Postgres(major) => self.postgres(project, name, &wishes, major),
                    Image::KeyValue => self.key_value(project, name, &wishes),
                }
            },
            Err,
        );
        let shown = written(&url);
        match result {
            Ok(mut store) => {
                let what = match &mut store {
                    Store::Postgres(database, origin) => {
                        origin.image = text;
                        format!("PostgreSQL {}", database.major_version)
                    }
                    Store::KeyValue(_, origin) => {
                        origin.image = text;
                        "Key Value".to_owned()
                    }
                };
                let mut message = format!(
                    "`{name}` runs as managed {what} instead of the image `{shown}`; its data and its health are Gable's matter"
                );
                if let Some(idle) = idle(service) {
                    message.push_str(&format!("; without effect here: {idle}"));
                }
                self.add(Code::ManagedStore, &url.node.at, &url.path, message)
                    .hint("`--images` runs the image, and so does `x-gable: {managed: false}`");
                Some(store)
            }
            Err(reason) => {
                let message = format!("`{name}` runs as the image `{shown}`: {reason}");
                self.add(Code::StaysImage, &url.node.at, &url.path, message);
                None
            }
        }
    }

    /// What no managed store honours.
    fn unfit(&mut self, service: &View<'_>) -> Option<Reason> {
        if service.get("build").is_some() {
            return Some("it is built here".to_owned());
        }
        if service.get("entrypoint").is_some() {
            return Some("it has an `entrypoint` of its own".to_owned());
        }
        if service.get("configs").is_some() {
            return Some("it has `configs` of its own".to_owned());
        }
        if service.get("volumes_from").is_some() || service.get("network_mode").is_some() {
            return Some("it shares volumes or a network".to_owned());
        }
        if service.get("pre_start").is_some() {
            return Some("it has `pre_start` commands".to_owned());
        }
        let extension = service.get("x-gable");
        let asks = |key| extension.as_ref().is_some_and(|view| view.get(key).is_some());
        if asks("routes") || asks("health") || asks("pre_deploy") {
            return Some("its `x-gable` asks for what only containers have".to_owned());
        }
        (self.instances(service) != 1).then(|| "it has not exactly one instance".to_owned())
    }

    fn wishes<'n>(&mut self, service: &View<'n>) -> Wishes<'n> {
        Wishes {
            service: service.clone(),
            env: self.environment(service),
            words: self.words(service, "command").unwrap_or_default(),
            mounts: self.mounts(service),
        }
    }

    /// What all stores have: names, ports.
    fn store_origin(
        &mut self,
        project: &Project<'_>,
        name: &str,
        wishes: &Wishes<'_>,
    ) -> StoreOrigin {
        let service = &wishes.service;
        let mut aliases = vec![name.to_owned()];
        aliases.extend(self.aliases(project, name, service));
        if let Some(hostname) = service.get("hostname").and_then(|view| self.text(&view))
            && !aliases.contains(&hostname)
        {
            aliases.push(hostname);
        }
        let published: Vec<PublishedPort> = self.ports(service, Some(model::PortProtocol::Tcp));
        StoreOrigin { aliases, published, ..StoreOrigin::default() }
    }

    fn store_size(&mut self, service: &View<'_>, default: (&str, u32, u64)) -> InstanceType {
        let (name, cpu_millis, memory_bytes) = default;
        let (cpu, memory) = self.limits(service);
        if cpu.is_none() && memory.is_none() {
            return InstanceType { name: name.to_owned(), cpu_millis, memory_bytes };
        }
        let limited = self.instance_type(service);
        InstanceType {
            name: limited.name,
            cpu_millis: cpu.unwrap_or(cpu_millis),
            memory_bytes: memory.unwrap_or(memory_bytes),
        }
    }
}

/// Fields that mean the same for a managed store, or nothing for any service.
const HONOURED: &[&str] = &[
    "command",
    "container_name",
    "cpus",
    "deploy",
    "env_file",
    "environment",
    "expose",
    "extends",
    "hostname",
    "image",
    "links",
    "mem_limit",
    "networks",
    "ports",
    "profiles",
    "scale",
    "secrets",
    "volumes",
    "x-gable",
];

/// The fields of a service that have no effect on a managed store.
fn idle(service: &View<'_>) -> Option<String> {
    let entries = service.node.map()?.iter().filter(|entry| !entry.node.is_null());
    let names = entries.map(|entry| entry.key.as_str()).filter(|name| !HONOURED.contains(name));
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// A variable of a store, or the text of the file that `…_FILE` names.
fn value(
    reader: &mut Reader<'_>,
    project: &Project<'_>,
    wishes: &Wishes<'_>,
    key: &str,
) -> Result<Option<String>, Reason> {
    let of = |key: &str| wishes.env.iter().find(|variable| variable.key == key);
    if let Some(variable) = of(&format!("{key}_FILE")) {
        let EnvSource::Literal(path) = &variable.source else {
            return Err(format!("`{key}_FILE` has no value"));
        };
        let text = reader.text_at(project, &wishes.service, path);
        return match text {
            Some(text) => Ok(Some(text)),
            // While files are being looked up, nothing is decided.
            None if !reader.needs.is_empty() => Ok(None),
            None => Err(format!("the file that `{key}_FILE` names is none of its secrets")),
        };
    }
    Ok(of(key).and_then(|variable| match &variable.source {
        EnvSource::Literal(text) if !text.is_empty() => Some(text.clone()),
        _ => None,
    }))
}

/// Recognises an image by its name and tag.
fn known(image: &str) -> Option<Image> {
    let image = image.trim();
    let plain = image.split('@').next().unwrap_or(image);
    let plain = plain.strip_prefix("docker.io/").unwrap_or(plain);
    let plain = plain.strip_prefix("library/").unwrap_or(plain);
    let (name, tag) = plain.split_once(':').unwrap_or((plain, ""));
    if tag.is_empty() && image.contains('@') {
        return None;
    }
    let number = |text: &str| {
        let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
        text[..end].parse::<u32>().ok()
    };
    match name {
        "postgres" if matches!(tag, "" | "latest" | "alpine") => {
            Some(Image::Postgres(NEWEST_MAJOR))
        }
        "postgres" => number(tag).map(Image::Postgres),
        "pgvector/pgvector" => number(&tag[tag.find("pg")? + 2..]).map(Image::Postgres),
        "redis" | "valkey/valkey" => Some(Image::KeyValue),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::known;

    #[test]
    fn images_are_recognised_by_name_and_tag() {
        let check = |image, expected: &str| {
            let shown = known(image).map_or("-".to_owned(), |image| format!("{image:?}"));
            assert_eq!(shown, expected, "{image}");
        };
        check("postgres", "Postgres(18)");
        check("postgres:16-alpine", "Postgres(16)");
        check("docker.io/library/postgres:15.4", "Postgres(15)");
        check("postgres:9.6", "Postgres(9)");
        check("postgres@sha256:00", "-");
        check("postgres:16@sha256:00", "Postgres(16)");
        check("pgvector/pgvector:pg17", "Postgres(17)");
        check("pgvector/pgvector:0.8.0-pg16", "Postgres(16)");
        check("postgis/postgis:16", "-");
        check("bitnami/postgresql:16", "-");
        check("redis:7-alpine", "KeyValue");
        check("valkey/valkey:8", "KeyValue");
        check("redis/redis-stack:latest", "-");
        check("my.registry/postgres:16", "-");
    }
}
