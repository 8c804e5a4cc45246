//! What the user declares: web services, private services, workers, static sites, cron jobs.

use serde::{Deserialize, Serialize};

use crate::container::{Container, FileSource};
use crate::env_var::EnvVar;
use crate::instance_type::InstanceType;

/// A declared service, checked, with every default filled in.
///
/// Free of anything that only one front end has: a compose service becomes the same type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// What it does.
    pub kind: ServiceKind,
    /// As the author wrote it; may hold spaces, slashes and capitals.
    pub name: String,
    /// What it is built and run with.
    pub runtime: Runtime,
    /// Directory that commands run in, relative to the checkout; empty is the checkout itself.
    pub root_dir: String,
    /// Another repository, where the file names one.
    pub repo: Option<String>,
    /// Another branch, where the file names one.
    pub branch: Option<String>,
    /// Shell text; `None` or empty means that there is nothing to build.
    pub build_command: Option<String>,
    /// Shell text; `None` for static sites, and for images that bring their own command.
    pub start_command: Option<String>,
    /// Shell text that runs once between build and start.
    pub pre_deploy_command: Option<String>,
    /// Shell text that runs once, after the first successful deploy.
    pub initial_deploy_hook: Option<String>,
    /// Five-field cron expression in UTC; cron jobs only.
    pub schedule: Option<String>,
    /// Size of each instance.
    pub instance_type: InstanceType,
    /// How many instances run.
    pub instances: u32,
    /// Declared variables, in file order.
    pub env: Vec<EnvVar>,
    /// Linked groups, in file order.
    pub groups: Vec<String>,
    /// Path that must answer 2xx or 3xx; `None` means port detection.
    pub health_check_path: Option<String>,
    /// Time between TERM and KILL, in seconds.
    pub max_shutdown_delay_seconds: u16,
    /// Storage that outlives instances.
    pub disk: Option<Disk>,
    /// Custom host names.
    pub domains: Vec<String>,
    /// Directory of a static site's files, relative to `root_dir`.
    pub publish_path: Option<String>,
    /// Response headers, in file order.
    pub headers: Vec<HeaderRule>,
    /// Redirects and rewrites, in file order.
    pub routes: Vec<RouteRule>,
    /// How its image is built; `runtime: docker` only.
    pub docker: Option<Docker>,
    /// Its image; `runtime: image` only.
    pub image: Option<Image>,
    /// How its container runs, where that is not what its image says.
    #[serde(default)]
    pub container: Container,
    /// Globs of paths whose change triggers a deploy.
    pub build_filter: Option<BuildFilter>,
    /// Whether pushes deploy by themselves.
    pub auto_deploy: AutoDeploy,
}

impl Service {
    /// Whether browsers can reach it through the edge.
    #[must_use]
    pub fn is_public(&self) -> bool {
        matches!(self.kind, ServiceKind::Web | ServiceKind::Static)
    }

    /// Whether a long-lived process serves it.
    #[must_use]
    pub fn has_instances(&self) -> bool {
        matches!(self.kind, ServiceKind::Web | ServiceKind::Private | ServiceKind::Worker)
    }

    /// Whether it listens on a port.
    #[must_use]
    pub fn has_port(&self) -> bool {
        matches!(self.kind, ServiceKind::Web | ServiceKind::Private)
    }
}

/// What a service does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ServiceKind {
    /// Answers HTTP from outside (`web`).
    Web,
    /// Answers on the private network only (`pserv`).
    #[serde(rename = "pserv")]
    #[strum(serialize = "pserv")]
    Private,
    /// Answers nobody (`worker`).
    Worker,
    /// Runs on a schedule (`cron`).
    Cron,
    /// Files served by the edge (`web` with `runtime: static`).
    Static,
}

/// What a service is built and run with.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::EnumString,
    strum::Display,
    strum::VariantNames,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
#[expect(missing_docs, reason = "the names are the languages' own")]
pub enum Runtime {
    Node,
    Python,
    Ruby,
    Go,
    Rust,
    Elixir,
    Static,
    Docker,
    Image,
}

/// Storage that outlives instances. A service with a disk has one instance and is stopped before
/// its successor starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Its name.
    pub name: String,
    /// Where the instance sees it.
    pub mount_path: String,
    /// Declared size; shown, not enforced.
    pub size_gb: u32,
}

/// One response header of a static site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderRule {
    /// Glob of request paths.
    pub path: String,
    /// Header name.
    pub name: String,
    /// Header value.
    pub value: String,
}

/// One redirect or rewrite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteRule {
    /// Redirect or rewrite.
    pub kind: RouteRuleKind,
    /// Path pattern with `:name` placeholders and a trailing `*`.
    pub source: String,
    /// Path or URL that the captures are put into.
    pub destination: String,
}

/// What a [`RouteRule`] does.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::EnumString,
    strum::Display,
    strum::VariantNames,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum RouteRuleKind {
    /// Answer 301.
    Redirect,
    /// Serve the destination under the URL that was asked for.
    Rewrite,
}

/// How an image is built from a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Docker {
    /// Path of the Dockerfile, relative to `root_dir`.
    pub dockerfile_path: String,
    /// Build context, relative to `root_dir`.
    pub context: String,
    /// Text of the Dockerfile where the file holds it itself; the path is then not looked at.
    #[serde(default)]
    pub dockerfile_inline: Option<String>,
    /// The stage to build; the last one where `None`.
    #[serde(default)]
    pub target: Option<String>,
    /// Build arguments by name, in file order, besides the service's own variables. `None` takes
    /// the value of the variable of that name.
    #[serde(default)]
    pub args: Vec<(String, Option<String>)>,
    /// Whether the service's variables are build arguments as well, as on Render.
    #[serde(default)]
    pub are_variables_args: bool,
    /// More build contexts: name, and a path relative to the project or an image.
    #[serde(default)]
    pub more_contexts: Vec<(String, String)>,
    /// Small files that single steps ask for, and that no layer keeps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<BuildSecret>,
    /// Name of the credential for private base images.
    pub registry_credential: Option<String>,
}

/// A small file that a step of a Dockerfile sees while it runs, if it asks for it:
/// `RUN --mount=type=secret,id=…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildSecret {
    /// What steps call it.
    pub id: String,
    /// Where its text is.
    pub source: FileSource,
}

/// An image that exists already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Reference, such as `docker.io/library/nginx:1.27`.
    pub url: String,
    /// The digest that the reference meant when the release was made; `None` in a file.
    #[serde(default)]
    pub digest: Option<String>,
    /// Platform such as `linux/amd64`; this machine's where `None`.
    #[serde(default)]
    pub platform: Option<String>,
    /// Name of the credential to pull it with.
    pub registry_credential: Option<String>,
}

/// Which changed paths matter, relative to the repository's root. Ignored beats included.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BuildFilter {
    /// Globs that trigger.
    pub paths: Vec<String>,
    /// Globs that do not.
    pub ignored_paths: Vec<String>,
}

/// Whether pushes deploy by themselves.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    Serialize,
    Deserialize,
    strum::EnumString,
    strum::Display,
    strum::VariantNames,
)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "camelCase")]
pub enum AutoDeploy {
    /// On every push.
    #[default]
    Commit,
    /// When the commit's checks pass.
    ChecksPass,
    /// Never.
    Off,
}
