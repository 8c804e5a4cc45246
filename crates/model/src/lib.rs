//! The nouns of Gable, their ids, and the only functions that change their state.
//!
//! Everything here is data. Nothing reads a clock, a file or the network, and nothing knows SQL,
//! HTTP or YAML. Other crates depend on this one; it depends on none of them.

pub mod artifact;
pub mod container;
pub mod database;
pub mod deploy;
pub mod env_var;
pub mod environment;
pub mod id;
pub mod instance;
pub mod instance_type;
pub mod problem;
pub mod release;
pub mod route;
pub mod service;
pub mod text;

pub use artifact::{Artifact, Build, BuildStatus, Commit};
pub use container::{
    BaseRoute, Container, ContainerFile, Dependency, DependencyCondition, FileSource, HealthCheck,
    PortProtocol, PublishedPort, RestartPolicy, Ulimit, UpdateOrder, Volume, VolumeSource,
};
pub use database::{
    ComposeStore, Database, DatabaseProperty, KeyValue, MaxmemoryPolicy, PersistenceMode,
};
pub use deploy::{Deploy, DeployEvent, DeployStatus, DeployTrigger, Proof};
pub use env_var::{
    EnvGroup, EnvOwner, EnvSource, EnvVar, ServiceProperty, ServiceReference, TemplatePart,
    ValueOrigin,
};
pub use environment::{Environment, Project};
pub use id::{
    ArtifactId, BuildId, DatabaseId, DeployId, EnvironmentId, InstanceId, KeyValueId, ProjectId,
    ReleaseId, ServiceId,
};
pub use instance::{Exit, Instance, InstancePurpose, InstanceState};
pub use instance_type::InstanceType;
pub use problem::Problem;
pub use release::{Release, Revision};
pub use route::{
    Backend, Generation, Listener, ListenerBackend, Route, RouteTable, StaticSite, Target,
    TcpBackend,
};
pub use service::{
    AutoDeploy, BuildSecret, Disk, Docker, HeaderRule, Image, RouteRule, RouteRuleKind, Runtime,
    Service, ServiceKind,
};
