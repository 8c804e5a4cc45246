//! What a file declares, checked, with every default filled in.
//!
//! Nothing here is special to one format: another front end gives the same types.

use std::collections::BTreeMap;

use model::{
    Database, DatabaseProperty, EnvGroup, EnvSource, InstanceType, KeyValue, PublishedPort,
    Service, ServiceProperty, ServiceReference, TemplatePart,
};
use serde::Serialize;

use crate::finding::Span;

/// Everything that a file declares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Blueprint {
    /// The sets of resources, in the order of the file. Scopes that declare nothing are left out,
    /// except environments, which exist by being named.
    pub scopes: Vec<Scope>,
    /// Whether pull requests get environments of their own.
    pub previews: Previews,
    /// Names of shared builds, a beta of Render (page "Blueprint YAML reference").
    pub build_sources: Vec<String>,
    #[serde(skip)]
    pub(crate) spans: BTreeMap<String, Span>,
}

impl Blueprint {
    /// Where a path such as `services[0].envVars[2].value` stands in the text.
    #[must_use]
    pub fn span(&self, path: &str) -> Option<&Span> {
        self.spans.get(path)
    }

    /// All services of all scopes.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.scopes.iter().flat_map(|scope| &scope.services)
    }

    /// Whether both declare the same, wherever it stands.
    #[must_use]
    pub fn means_the_same_as(&self, other: &Self) -> bool {
        let plain = |blueprint: &Self| {
            let mut scopes = blueprint.scopes.clone();
            for scope in &mut scopes {
                scope.origins.clear();
                scope.databases.sort_by(|one, two| one.name.cmp(&two.name));
                scope.key_values.sort_by(|one, two| one.name.cmp(&two.name));
            }
            (scopes, blueprint.previews, blueprint.build_sources.clone())
        };
        plain(self) == plain(other)
    }
}

/// Resources that see each other under their short names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Scope {
    /// The project. For resources at the root of a file without projects, the name that the reader
    /// was told; `None` for resources outside the projects of a file that has some.
    pub project: Option<String>,
    /// The environment in the project; `None` where the file names none.
    pub environment: Option<String>,
    /// Services, in file order.
    pub services: Vec<Service>,
    /// Workflows, in file order. They have no kind of their own yet and stand as workers.
    pub workflows: Vec<Service>,
    /// PostgreSQL databases, in file order.
    pub databases: Vec<Database>,
    /// Key Value instances, in file order.
    pub key_values: Vec<KeyValue>,
    /// Groups of variables, in file order.
    pub env_groups: Vec<EnvGroup>,
    /// Whether private traffic from other environments is blocked.
    pub isolation: bool,
    /// Whether only administrators may change it.
    pub protection: bool,
    /// By service name: what services declare beyond [`Service`].
    pub service_settings: BTreeMap<String, ServiceSettings>,
    /// By database name: what databases declare beyond [`Database`].
    pub database_settings: BTreeMap<String, DatabaseSettings>,
    /// By name: what Key Value instances declare beyond [`KeyValue`].
    pub key_value_settings: BTreeMap<String, KeyValueSettings>,
    #[serde(skip)]
    pub(crate) origins: BTreeMap<(Noun, String), String>,
}

impl Scope {
    /// The path in the file at which a resource is declared, for [`Blueprint::span`].
    #[must_use]
    pub fn origin(&self, noun: Noun, name: &str) -> Option<&str> {
        self.origins.get(&(noun, name.to_owned())).map(String::as_str)
    }

    /// Whether something in it connects to a Key Value instance by its host name or port, and not by
    /// the whole address: then a password in the address would reach nobody.
    #[must_use]
    pub fn connects_by_parts(&self, key_value: &str) -> bool {
        let services = self.services.iter().chain(&self.workflows).flat_map(|service| &service.env);
        let groups = self.env_groups.iter().flat_map(|group| &group.env);
        services.chain(groups).any(|variable| match &variable.source {
            EnvSource::Literal(text) => text.contains(&format!("{key_value}:6379")),
            EnvSource::FromService { name, reference: ServiceReference::Property(property) } => {
                name == key_value && is_part(*property)
            }
            EnvSource::FromDatabase { name, property } => {
                name == key_value && is_part_of_database(*property)
            }
            EnvSource::Template(parts) => parts.iter().any(|part| match part {
                TemplatePart::Service { name, property } => name == key_value && is_part(*property),
                TemplatePart::Database { name, property } => {
                    name == key_value && is_part_of_database(*property)
                }
                TemplatePart::Text(_) | TemplatePart::Variable { .. } => false,
            }),
            EnvSource::FromService { .. } | EnvSource::Generate | EnvSource::Ask => false,
        })
    }

    /// Whether it declares nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
            && self.workflows.is_empty()
            && self.databases.is_empty()
            && self.key_values.is_empty()
            && self.env_groups.is_empty()
    }
}

fn is_part(property: ServiceProperty) -> bool {
    match property {
        ServiceProperty::Host | ServiceProperty::Port | ServiceProperty::HostPort => true,
        ServiceProperty::ConnectionString | ServiceProperty::Url => false,
    }
}

fn is_part_of_database(property: DatabaseProperty) -> bool {
    use DatabaseProperty::{ConnectionPoolString, ConnectionString};
    !matches!(property, ConnectionString | ConnectionPoolString)
}

/// A kind of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, strum::Display)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Noun {
    #[strum(serialize = "service")]
    Service,
    #[strum(serialize = "database")]
    Database,
    #[strum(serialize = "Key Value instance")]
    KeyValue,
    #[strum(serialize = "group")]
    EnvGroup,
}

/// When previews are made.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    Serialize,
    strum::EnumString,
    strum::Display,
    strum::VariantNames,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum PreviewGeneration {
    /// Never.
    #[default]
    Off,
    /// When the pull request asks for one.
    Manual,
    /// For every pull request.
    Automatic,
}

/// Environments for pull requests (page "Preview environments").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Previews {
    /// When they are made.
    pub generation: PreviewGeneration,
    /// Days after the last push until one is removed; `None` keeps it until the pull request ends.
    pub expire_after_days: Option<u32>,
}

/// What a service declares that [`Service`] has no place for yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ServiceSettings {
    /// Where Render would run it.
    pub region: Option<String>,
    /// Who may come in from outside; `None` is everyone, an empty list nobody.
    pub ip_allow_list: Option<Vec<IpRule>>,
    /// Bounds of the number of instances.
    pub scaling: Option<Scaling>,
    /// A page instead of the service.
    pub maintenance: Option<Maintenance>,
    /// Whether it must not answer under its own name, but under its custom domains only.
    pub is_subdomain_off: bool,
    /// Previews of this service.
    pub previews: Option<ServicePreviews>,
    /// The port that the author says it listens on; the first guess of port detection.
    pub port: Option<u16>,
    /// The shared build that it takes its artifact from.
    pub build_source: Option<String>,
}

/// A network that may come in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IpRule {
    /// Address or network in CIDR notation.
    pub source: String,
    /// The author's remark.
    pub description: Option<String>,
}

/// Bounds of the number of instances (page "Scaling").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Scaling {
    /// Fewest instances.
    pub min_instances: u32,
    /// Most instances.
    pub max_instances: u32,
    /// Processor use that is aimed at, in percent.
    pub target_cpu_percent: Option<u8>,
    /// Memory use that is aimed at, in percent.
    pub target_memory_percent: Option<u8>,
}

/// A page instead of the service (page "Maintenance mode").
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Maintenance {
    /// Whether it is shown.
    pub is_enabled: bool,
    /// Its address; `None` is a page of the platform.
    pub uri: Option<String>,
}

/// Previews of one service (page "Service previews").
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ServicePreviews {
    /// When they are made; `None` leaves it to the platform.
    pub generation: Option<PreviewGeneration>,
    /// Size of the instances, if it differs.
    pub instance_type: Option<InstanceType>,
    /// Number of instances, if it differs.
    pub instances: Option<u32>,
}

/// What a database declares that [`Database`] has no place for yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DatabaseSettings {
    /// Where Render would run it.
    pub region: Option<String>,
    /// Who may come in from outside; `None` is everyone, an empty list nobody.
    pub ip_allow_list: Option<Vec<IpRule>>,
    /// Names of copies for reading; `None` where the file says nothing.
    pub read_replicas: Option<Vec<String>>,
    /// Whether a stand-by is asked for.
    pub is_highly_available: bool,
    /// Whether a connection pool is asked for.
    pub has_connection_pool: bool,
    /// Whether the disk grows by itself.
    pub has_storage_autoscaling: bool,
    /// Size in previews, if it differs.
    pub preview_instance_type: Option<InstanceType>,
    /// Disk in previews, if it differs.
    pub preview_disk_size_gb: Option<u32>,
    /// What a compose file says that declared it as a service.
    pub compose: Option<StoreOrigin>,
}

/// What a Key Value instance declares that [`KeyValue`] has no place for yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct KeyValueSettings {
    /// Where Render would run it.
    pub region: Option<String>,
    /// Who may come in from outside; an empty list is nobody.
    pub ip_allow_list: Vec<IpRule>,
    /// Size in previews, if it differs.
    pub preview_instance_type: Option<InstanceType>,
    /// What a compose file says that declared it as a service.
    pub compose: Option<StoreOrigin>,
}

/// What a compose file says of a managed store that runs instead of its image.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
pub struct StoreOrigin {
    /// The image that it runs instead of, as written.
    pub image: String,
    /// The password that the file gives; a generated one where `None`.
    #[serde(skip)]
    pub password: Option<String>,
    /// Names under which others reach it: the service's, the container's, those in networks.
    pub aliases: Vec<String>,
    /// Ports of the host that lead to it.
    pub published: Vec<PublishedPort>,
    /// Files and directories of the project that fill it when it is new, in file order.
    pub init_files: Vec<String>,
    /// The variables that the file gives it, which scripts among `init_files` see.
    #[serde(skip)]
    pub env: Vec<(String, String)>,
    /// Settings of the server, by name (`postgres -c name=value`).
    pub parameters: Vec<(String, String)>,
}

impl std::fmt::Debug for StoreOrigin {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("StoreOrigin")
            .field("image", &self.image)
            .field("password", &self.password.as_ref().map(|_| crate::mask::MASK))
            .field("aliases", &self.aliases)
            .field("published", &self.published)
            .field("init_files", &self.init_files)
            .field("env", &self.env.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("parameters", &self.parameters)
            .finish()
    }
}
