//! Every field that a Blueprint can have, and what becomes of it on one's own machine.
//!
//! The facts are Render's: the page "Blueprint YAML reference" of its documentation and the JSON
//! schema that it publishes. The reader takes names and spellings from here, `explain` the rest.

use serde::Serialize;

mod kinds;
mod service;
mod tables;

pub(crate) use kinds::{Kind, kind_of};

/// Where a field stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "`pattern` says what each is")]
pub enum Place {
    Root,
    Ungrouped,
    RootPreviews,
    Project,
    Environment,
    Networking,
    Permissions,
    Group,
    Service,
    ServicePreviews,
    Disk,
    Scaling,
    Maintenance,
    IpRule,
    Image,
    RegistryCredential,
    RegistryName,
    BuildFilter,
    Header,
    RouteRule,
    EnvVar,
    FromDatabase,
    FromService,
    Database,
    HighAvailability,
    ReadReplica,
}

/// How a field is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "kebab-case")]
pub enum Treatment {
    /// Means the same as on Render.
    Equivalent,
    /// Means what comes closest on one machine.
    Translated,
    /// Has no meaning on one's own machine.
    NotApplicable,
    /// Understood and kept, but not acted upon yet.
    Later,
}

/// The shapes of a service that know a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shapes(u8);

impl Shapes {
    /// None: the field is an invention that real files have.
    pub const NONE: Self = Self(0);
    /// Web services, private services and workers.
    pub const SERVER: Self = Self(1);
    /// Static sites.
    pub const STATIC: Self = Self(2);
    /// Cron jobs.
    pub const CRON: Self = Self(4);
    /// Key Value instances.
    pub const KEY_VALUE: Self = Self(8);
    /// Workflows.
    pub const WORKFLOW: Self = Self(16);
    /// Everything, and every place that is no service.
    pub const ALL: Self = Self(31);

    /// Whether it includes another one.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0 && other.0 != 0
    }

    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One known field.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Where it stands.
    pub place: Place,
    /// Its name in the file.
    pub name: &'static str,
    /// Which shapes of service have it.
    pub shapes: Shapes,
    /// How it is treated.
    pub treatment: Treatment,
    /// Why it is treated so, or what it does.
    pub why: &'static str,
    /// Other spellings that real files have.
    pub spellings: &'static [&'static str],
}

impl Field {
    /// Where it stands in a file, such as `services[].disk.sizeGB`.
    #[must_use]
    pub fn pattern(&self) -> String {
        let place = self.place.pattern();
        if place.is_empty() { self.name.to_owned() } else { format!("{place}.{}", self.name) }
    }

    /// Whether Render's format has it.
    #[must_use]
    pub fn is_invented(&self) -> bool {
        self.shapes == Shapes::NONE
    }
}

impl Place {
    /// Where it stands in a file; resources stand under environments as well as at the root.
    #[must_use]
    pub fn pattern(self) -> &'static str {
        match self {
            Self::Root => "",
            Self::Ungrouped => "ungrouped",
            Self::RootPreviews => "previews",
            Self::Project => "projects[]",
            Self::Environment => "projects[].environments[]",
            Self::Networking => "projects[].environments[].networking",
            Self::Permissions => "projects[].environments[].permissions",
            Self::Group => "envVarGroups[]",
            Self::Service => "services[]",
            Self::ServicePreviews => "services[].previews",
            Self::Disk => "services[].disk",
            Self::Scaling => "services[].scaling",
            Self::Maintenance => "services[].maintenanceMode",
            Self::IpRule => "services[].ipAllowList[]",
            Self::Image => "services[].image",
            Self::RegistryCredential => "services[].registryCredential",
            Self::RegistryName => "services[].registryCredential.fromRegistryCreds",
            Self::BuildFilter => "services[].buildFilter",
            Self::Header => "services[].headers[]",
            Self::RouteRule => "services[].routes[]",
            Self::EnvVar => "services[].envVars[]",
            Self::FromDatabase => "services[].envVars[].fromDatabase",
            Self::FromService => "services[].envVars[].fromService",
            Self::Database => "databases[]",
            Self::HighAvailability => "databases[].highAvailability",
            Self::ReadReplica => "databases[].readReplicas[]",
        }
    }
}

/// Every known field.
pub fn known_fields() -> impl Iterator<Item = &'static Field> {
    service::FIELDS.iter().chain(tables::FIELDS)
}

/// The fields of one place.
pub(crate) fn fields_of(place: Place) -> impl Iterator<Item = &'static Field> {
    known_fields().filter(move |field| field.place == place)
}

/// How a key was recognised.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Match {
    /// As the format spells it.
    Exact(&'static Field),
    /// In other case or with other separators, or as a spelling that real files have.
    Spelled(&'static Field),
    /// By a small distance.
    Close(&'static Field),
    /// Not at all; perhaps with a name that looks a little like it.
    Unknown(Option<&'static Field>),
}

/// Finds the field that a key of a place means.
pub(crate) fn find(place: Place, key: &str) -> Match {
    if let Some(field) = fields_of(place).find(|field| field.name == key) {
        return Match::Exact(field);
    }
    let plain = normalized(key);
    let is_spelling = |field: &&Field| {
        normalized(field.name) == plain
            || field.spellings.iter().any(|spelling| normalized(spelling) == plain)
    };
    if let Some(field) = fields_of(place).find(is_spelling) {
        return Match::Spelled(field);
    }
    let nearest = fields_of(place)
        .filter(|field| !field.is_invented())
        .map(|field| {
            let own = strsim::osa_distance(&normalized(field.name), &plain);
            let others = field.spellings.iter().filter(|spelling| spelling.len() >= 6);
            let other = others.map(|spelling| strsim::osa_distance(&normalized(spelling), &plain));
            (
                other.filter(|distance| *distance == 1).min().map_or(own, |other| other.min(own)),
                field,
            )
        })
        .min_by_key(|(distance, _)| *distance);
    match nearest {
        Some((1, field)) if plain.len() >= 4 => Match::Close(field),
        Some((2, field)) if plain.len() >= 8 => Match::Close(field),
        Some((distance, field)) if distance * 3 <= plain.len() => Match::Unknown(Some(field)),
        _ => Match::Unknown(None),
    }
}

/// A name without case and separators.
pub(crate) fn normalized(name: &str) -> String {
    name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::{Match, Place, find, known_fields};

    #[test]
    fn no_field_stands_twice_and_each_says_why() {
        let fields: Vec<_> = known_fields().collect();
        for (index, field) in fields.iter().enumerate() {
            assert!(!field.why.is_empty(), "{} has no reason", field.pattern());
            let twin = fields[..index]
                .iter()
                .find(|other| other.place == field.place && other.name == field.name);
            assert!(twin.is_none(), "{} stands twice", field.pattern());
        }
    }

    #[test]
    fn keys_are_recognised_by_spelling_and_distance() {
        let check = |place, key, expected: &str| {
            let found = match find(place, key) {
                Match::Exact(field) => format!("exact {}", field.name),
                Match::Spelled(field) => format!("spelled {}", field.name),
                Match::Close(field) => format!("close {}", field.name),
                Match::Unknown(near) => format!("unknown {}", near.map_or("-", |field| field.name)),
            };
            assert_eq!(found, expected, "{key}");
        };
        check(Place::Service, "healthCheckPath", "exact healthCheckPath");
        check(Place::Service, "healthCheck", "spelled healthCheckPath");
        check(Place::Service, "health_check_path", "spelled healthCheckPath");
        check(Place::Service, "bulidCommand", "close buildCommand");
        check(Place::EnvVar, "sycn", "close sync");
        check(Place::EnvVar, "fromGourp", "close fromGroup");
        check(Place::EnvVar, "formGroup", "close fromGroup");
        check(Place::Root, "atabases", "close databases");
        check(Place::Service, "nam", "unknown name");
        check(Place::Service, "frobnicate", "unknown -");
    }
}
