//! PostgreSQL databases and Key Value instances, also where they stand in the wrong list.

use model::{Database, KeyValue, MaxmemoryPolicy, PersistenceMode};

use crate::blueprint::{DatabaseSettings, KeyValueSettings, Noun};
use crate::catalog::{Place, normalized};
use crate::code::Code;
use crate::finding::Patch;
use crate::sizes::Family;

use super::Checker;
use super::fields::{Fields, Slot};
use super::root::{Draft, deprecated};
use super::values::Item;

mod moves;

/// The newest major that Render offers, and its default (page "Render Postgres").
const NEWEST_MAJOR: u8 = 18;
/// Majors that Render's schema lists.
const MAJORS: std::ops::RangeInclusive<u32> = 10..=18;
/// Longest identifier of PostgreSQL.
const IDENTIFIER_BYTES: usize = 63;
const DISK_GB: std::ops::RangeInclusive<u32> = 1..=65_536;

impl Checker<'_> {
    /// Reads an item of `databases`: PostgreSQL, or a Key Value instance that strayed there.
    pub(super) fn database_item(
        &mut self,
        item: &Item<'_>,
        draft: &mut Draft,
        around: &Fields<'_>,
    ) {
        let Some(fields) = self.fields(item.node, &item.path, Place::Database) else { return };
        let Some(name) = self.name(&fields, item.name, "a database") else { return };
        let kind = fields.get("type").and_then(|slot| slot.node.scalar());
        let kind = kind.map(|scalar| normalized(&scalar.text)).unwrap_or_default();
        let is_key_value = fields.has("maxmemoryPolicy")
            || matches!(kind.as_str(), "redis" | "keyvalue" | "valkey")
            || self.key_value_names.contains(&name);
        if is_key_value {
            let patch = self.move_key_value(&fields, item, around);
            let message = format!(
                "`{name}` is a Key Value instance (Redis) under `databases`, which is for PostgreSQL; read as `type: keyvalue`"
            );
            self.add(Code::KeyValueInDatabases, fields.anchor(), &item.path, message)
                .hint("move it to `services` with `type: keyvalue`")
                .patch(patch);
            self.key_value(&fields, item, name, draft);
            return;
        }
        for slot in fields.slots().iter().filter(|slot| slot.field.is_invented()) {
            let patch = self.remove(slot).filter(|_| slot.field.name != "disk");
            let message = format!("a database has no `{}`: {}", slot.field.name, slot.field.why);
            self.add(Code::UnknownField, slot.key_bytes.clone(), &slot.path, message)
                .hint("remove it")
                .patch(patch);
        }
        self.database(&fields, item, name, draft);
    }

    /// Reads a database that stands under `services`.
    pub(super) fn database_in_services(
        &mut self,
        fields: &Fields<'_>,
        item: &Item<'_>,
        name: Option<String>,
        draft: &mut Draft,
    ) {
        let Some(name) = name else { return };
        let message = format!(
            "`{name}` is a PostgreSQL database under `services`; read as one of `databases`"
        );
        let patch = self.move_database(fields, item, &name);
        self.add(Code::DatabaseInServices, fields.anchor(), &item.path, message)
            .hint("move it to `databases`, and refer to it by `fromDatabase`")
            .patch(patch);
        self.database(fields, item, name, draft);
    }

    fn database(&mut self, fields: &Fields<'_>, item: &Item<'_>, name: String, draft: &mut Draft) {
        let name = self.unique_name(draft, Noun::Database, name, fields, item);
        let plain = identifier(&name);
        let size = self.size(fields, "plan", Family::Postgres);
        let disk_size_gb = fields.get("diskSizeGB").and_then(|slot| self.integer(slot, DISK_GB));
        let disk_size_gb = disk_size_gb.or_else(|| self.nested_disk_size(fields));
        let database = Database {
            database_name: self.command(fields, "databaseName").unwrap_or_else(|| plain.clone()),
            user: self.command(fields, "user").unwrap_or_else(|| shortened(&plain, "_user")),
            major_version: self.major_version(fields),
            instance_type: size.unwrap_or_else(|| Family::Postgres.default_plan()),
            disk_size_gb,
            compose: model::ComposeStore::default(),
            name: name.clone(),
        };
        let settings = DatabaseSettings {
            region: self.region(fields),
            ip_allow_list: self.ip_allow_list(fields),
            read_replicas: self.read_replicas(fields),
            is_highly_available: self.high_availability(fields),
            has_connection_pool: self.connection_pool(fields),
            has_storage_autoscaling: fields
                .get("storageAutoscalingEnabled")
                .and_then(|slot| self.boolean(slot))
                .unwrap_or_default(),
            preview_instance_type: self.size(fields, "previewPlan", Family::Postgres),
            preview_disk_size_gb: fields
                .get("previewDiskSizeGB")
                .and_then(|slot| self.integer(slot, DISK_GB)),
            compose: None,
        };
        let scope = &mut draft.scope;
        scope.origins.insert((Noun::Database, name.clone()), item.path.clone());
        scope.database_settings.insert(name, settings);
        scope.databases.push(database);
    }

    /// `disk: {sizeGB: 10}` of a database that was written like a service.
    fn nested_disk_size(&mut self, fields: &Fields<'_>) -> Option<u32> {
        let slot = fields.get("disk")?;
        let inner = self.fields(slot.node, &slot.path, Place::Disk)?;
        inner.get("sizeGB").and_then(|slot| self.integer(slot, DISK_GB))
    }

    /// The schema wants a text; many files have a number.
    fn major_version(&mut self, fields: &Fields<'_>) -> u8 {
        let Some(slot) = fields.get("postgresMajorVersion") else { return NEWEST_MAJOR };
        let Some(scalar) = slot.node.scalar() else {
            self.wrong_shape(slot, "a text such as \"16\"");
            return NEWEST_MAJOR;
        };
        let major = scalar.text.trim().split('.').next().and_then(|text| text.parse::<u32>().ok());
        let Some(major) = major.filter(|major| MAJORS.contains(major)) else {
            let message =
                format!("there is no PostgreSQL `{}`; read as {NEWEST_MAJOR}", scalar.text);
            self.add(Code::UnknownValue, slot.node.bytes.clone(), &slot.path, message)
                .hint(format!("write a major from {} to {}", MAJORS.start(), MAJORS.end()));
            return NEWEST_MAJOR;
        };
        if scalar.text != major.to_string() {
            let patch = self.replace_value(slot.node, &format!("\"{major}\""));
            let message = format!("`postgresMajorVersion` is a major version; read as {major}");
            self.add(Code::ValueSpelling, slot.node.bytes.clone(), &slot.path, message)
                .hint(format!("write `postgresMajorVersion: \"{major}\"`"))
                .patch(patch);
        } else if scalar.is_plain {
            let patch = self.quote_value(slot.node);
            let message = "`postgresMajorVersion` has to be a text, and is a number".to_owned();
            self.add(Code::WrongScalar, slot.node.bytes.clone(), &slot.path, message)
                .hint("put it in quotes")
                .patch(patch);
        }
        u8::try_from(major).unwrap_or(NEWEST_MAJOR)
    }

    fn read_replicas(&mut self, fields: &Fields<'_>) -> Option<Vec<String>> {
        let slot = fields.get("readReplicas")?;
        let mut names = Vec::new();
        for (node, path) in self.list(slot) {
            if let Some(scalar) = node.scalar() {
                let message =
                    "a read replica has to be a mapping with `name`; its text was taken as that"
                        .to_owned();
                let patch = Patch::insert(node.bytes.start, "name: ");
                self.add(Code::WrongScalar, node.bytes.clone(), &path, message).patch(patch);
                names.push(scalar.text.clone());
            } else if let Some(inner) = self.fields(node, &path, Place::ReadReplica) {
                names.extend(self.command(&inner, "name"));
            }
        }
        Some(names)
    }

    fn high_availability(&mut self, fields: &Fields<'_>) -> bool {
        let Some(slot) = fields.get("highAvailability") else { return false };
        if let Some(value) = slot.node.scalar().and_then(crate::tree::Scalar::boolean) {
            let message = "`highAvailability` has to be a mapping with `enabled`".to_owned();
            self.add(Code::WrongScalar, slot.node.bytes.clone(), &slot.path, message)
                .hint("write `enabled: true` under it");
            return value;
        }
        let Some(inner) = self.fields(slot.node, &slot.path, Place::HighAvailability) else {
            return false;
        };
        inner.get("enabled").and_then(|slot| self.boolean(slot)).unwrap_or_default()
    }

    fn connection_pool(&mut self, fields: &Fields<'_>) -> bool {
        let Some(slot) = fields.get("connectionPool") else { return false };
        let meant = [
            ("true", "pgbouncer"),
            ("false", "none"),
            ("enabled", "pgbouncer"),
            ("disabled", "none"),
        ];
        self.choice(slot, &["pgbouncer", "none"], &meant) == Some("pgbouncer")
    }

    /// Reads a Key Value instance, wherever it stands (page "Key Value").
    pub(super) fn key_value(
        &mut self,
        fields: &Fields<'_>,
        item: &Item<'_>,
        name: String,
        draft: &mut Draft,
    ) {
        let name = self.unique_name(draft, Noun::KeyValue, name, fields, item);
        let size = self.size(fields, "plan", Family::KeyValue);
        let size = size.unwrap_or_else(|| Family::KeyValue.default_plan());
        let policies = [
            "allkeys-lru",
            "allkeys-lfu",
            "allkeys-random",
            "volatile-lru",
            "volatile-lfu",
            "volatile-random",
            "volatile-ttl",
            "noeviction",
        ];
        let policy =
            fields.get("maxmemoryPolicy").and_then(|slot| self.choice(slot, &policies, &[]));
        let mode = fields.get("persistenceMode").and_then(|slot| self.persistence_mode(slot));
        // Free instances keep nothing unless told otherwise.
        let default_mode =
            if size.name == "free" { PersistenceMode::Off } else { PersistenceMode::default() };
        let key_value = KeyValue {
            name: name.clone(),
            instance_type: size,
            maxmemory_policy: policy
                .and_then(|policy| policy.parse().ok())
                .unwrap_or(MaxmemoryPolicy::AllkeysLru),
            persistence_mode: mode.unwrap_or(default_mode),
            compose: model::ComposeStore::default(),
        };
        let rules = self.ip_allow_list(fields);
        let is_strayed = item.path.contains("databases");
        if rules.is_none() && !fields.has("ipAllowList") && !is_strayed {
            let slot = fields.anchor_slot();
            let patch = slot.and_then(|slot| self.insert_after(slot, "ipAllowList: []"));
            let message = format!(
                "Key Value instance `{name}` has no `ipAllowList`; it is closed to the outside"
            );
            self.add(Code::MissingIpAllowList, fields.anchor(), &item.path, message)
                .hint("write `ipAllowList: []`")
                .patch(patch);
        }
        let mut previews = self.size(fields, "previewPlan", Family::KeyValue);
        if let Some(slot) = fields.get("previews")
            && let Some(inner) = self.fields(slot.node, &slot.path, Place::ServicePreviews)
        {
            previews = self.size(&inner, "plan", Family::KeyValue).or(previews);
            deprecated(self, slot, "previewPlan");
        }
        let settings = KeyValueSettings {
            region: self.region(fields),
            ip_allow_list: rules.unwrap_or_default(),
            preview_instance_type: previews,
            compose: None,
        };
        let scope = &mut draft.scope;
        scope.origins.insert((Noun::KeyValue, name.clone()), item.path.clone());
        scope.key_value_settings.insert(name, settings);
        scope.key_values.push(key_value);
    }

    fn persistence_mode(&mut self, slot: &Slot<'_>) -> Option<PersistenceMode> {
        let meant = [
            ("true", "journal-snapshot"),
            ("aof", "journal-snapshot"),
            ("on", "journal-snapshot"),
            ("rdb", "snapshot"),
            ("false", "off"),
            ("none", "off"),
        ];
        self.choice(slot, &["journal-snapshot", "snapshot", "off"], &meant)?.parse().ok()
    }
}

/// A name as PostgreSQL takes it without quotes.
fn identifier(name: &str) -> String {
    let mut text: String = name
        .to_lowercase()
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' })
        .collect();
    if text.starts_with(|letter: char| letter.is_ascii_digit()) {
        text.insert_str(0, "db_");
    }
    shortened(&text, "")
}

fn shortened(text: &str, suffix: &str) -> String {
    let keep = text.len().min(IDENTIFIER_BYTES - suffix.len());
    format!("{}{suffix}", &text[..keep])
}

#[cfg(test)]
mod tests {
    use super::{identifier, shortened};

    #[test]
    fn names_become_identifiers_of_postgresql() {
        assert_eq!(identifier("Flagsmith Database"), "flagsmith_database");
        assert_eq!(identifier("6fb-booking"), "db_6fb_booking");
        assert_eq!(identifier("größe"), "gr__e");
        assert_eq!(shortened(&identifier(&"a".repeat(90)), "_user").len(), 63);
    }
}
