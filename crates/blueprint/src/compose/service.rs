//! One service of a compose file.

use model::{
    AutoDeploy, Container, Docker, EnvVar, Image, PortProtocol, PublishedPort, Runtime, Service,
    ServiceKind,
};

use crate::blueprint::ServiceSettings;
use crate::code::Code;

use super::compile::Project;
use super::extension::Extension;
use super::node::View;
use super::reader::Reader;
use super::scalars::written;

/// Time between TERM and KILL where a file says nothing, in seconds.
const GRACE_SECONDS: u16 = 10;
/// Longest that a deploy waits for an instance to end, in seconds (Render's bound as well).
const GRACE_LIMIT_SECONDS: u64 = 300;

impl Reader<'_> {
    /// Reads a service that runs as a container.
    pub(crate) fn service(
        &mut self,
        project: &Project<'_>,
        name: &str,
        view: &View<'_>,
    ) -> Option<(Service, ServiceSettings)> {
        let extension = self.extension(project, view);
        let (mut docker, image) = self.origin(name, view)?;
        let mut env = self.environment(view);
        let mut container = self.container(project, name, view);
        let (files, values) = self.small_files(project, view, &mut container.volumes);
        container.files = files;
        env.extend(values);
        if let Some(build) = &mut docker {
            let (secrets, values) = self.build_secrets(project, view);
            build.docker.secrets = secrets;
            let is_new = |value: &EnvVar| !env.iter().any(|known: &EnvVar| known.key == value.key);
            let values: Vec<EnvVar> = values.into_iter().filter(is_new).collect();
            env.extend(values);
        }
        container.ports = self.ports(view, extension.protocol);
        container.base_routes.clone_from(&extension.routes);
        let kind = kind_of(&container, &extension);
        let settings = settings_of(&container, &extension);
        let service = Service {
            kind,
            name: name.to_owned(),
            runtime: if docker.is_some() { Runtime::Docker } else { Runtime::Image },
            root_dir: String::new(),
            repo: docker.as_ref().and_then(|build| build.repo.clone()),
            branch: docker.as_ref().and_then(|build| build.branch.clone()),
            build_command: None,
            start_command: None,
            pre_deploy_command: extension.pre_deploy,
            initial_deploy_hook: None,
            schedule: None,
            instance_type: self.instance_type(view),
            instances: self.instances(view),
            env,
            groups: Vec::new(),
            health_check_path: extension.health_path,
            max_shutdown_delay_seconds: self.grace(view),
            disk: None,
            domains: Vec::new(),
            publish_path: None,
            headers: Vec::new(),
            routes: Vec::new(),
            docker: docker.map(|build| build.docker),
            image,
            container,
            build_filter: None,
            auto_deploy: AutoDeploy::Commit,
        };
        Some((service, settings))
    }

    /// What it is built from, or its image.
    fn origin(&mut self, name: &str, view: &View<'_>) -> Option<(Option<Build>, Option<Image>)> {
        if let Some(build) = view.get("build") {
            return Some((Some(self.build(&build)?), None));
        }
        let image = view.get("image");
        let url = image.as_ref().and_then(|image| self.text(image));
        // What has a name and no tag is asked for: the variable is given a value, and then it is whole.
        let is_nothing = |url: &String| url.trim().is_empty() || url.trim().starts_with(':');
        if let (Some(image), true) = (&image, url.as_ref().is_some_and(is_nothing)) {
            let message = format!("`{}` names no image", written(image));
            if self.blames_unset(image, &message) {
                return None;
            }
        }
        let Some(url) = url.filter(|url| !url.trim().is_empty()) else {
            if self.lacks_parents {
                return None;
            }
            let message = format!("service `{name}` names neither an image nor a build");
            let file = self.files.get(view.node.at.file).map_or("…", |file| file.path.as_str());
            let hint = match self.input.files.as_slice() {
                [(name, _)] if !is_usual(name) => format!(
                    "`{file}` seems to add to another file: name both, `-f compose.yaml -f {file}`; or add `image` or `build`"
                ),
                _ => "add `image` or `build`".to_owned(),
            };
            self.add(Code::MissingImage, &view.node.at, &view.path, message).hint(hint);
            return None;
        };
        let platform = view.get("platform").and_then(|platform| self.text(&platform));
        let image =
            Image { url: url.trim().to_owned(), digest: None, platform, registry_credential: None };
        Some((None, Some(image)))
    }

    /// `stop_grace_period`.
    fn grace(&mut self, view: &View<'_>) -> u16 {
        let Some(period) = view.get("stop_grace_period") else { return GRACE_SECONDS };
        let Some(milliseconds) = self.milliseconds(&period) else { return GRACE_SECONDS };
        let seconds = milliseconds.div_ceil(1000);
        if seconds > GRACE_LIMIT_SECONDS {
            let message = format!(
                "`stop_grace_period`: a deploy waits {GRACE_LIMIT_SECONDS} seconds at most"
            );
            self.group(Code::FieldTranslated, &period.node.at, &period.path, message);
        }
        u16::try_from(seconds.clamp(1, GRACE_LIMIT_SECONDS)).unwrap_or(GRACE_SECONDS)
    }
}

/// Whether a file has a name that is taken without being asked for.
fn is_usual(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    super::default_files(&[name]).iter().any(|usual| usual == name) && !name.contains("override")
}

/// A build, and the repository elsewhere that it takes its context from.
#[derive(Debug)]
pub(crate) struct Build {
    pub(crate) docker: Docker,
    pub(crate) repo: Option<String>,
    pub(crate) branch: Option<String>,
}

/// What a service is, as far as its ports tell.
fn kind_of(container: &Container, extension: &Extension) -> ServiceKind {
    let is_http = |port: &PublishedPort| port.protocol == PortProtocol::Http;
    if container.ports.iter().any(is_http) || !extension.routes.is_empty() {
        ServiceKind::Web
    } else if !container.ports.is_empty() || !container.expose.is_empty() {
        ServiceKind::Private
    } else {
        ServiceKind::Worker
    }
}

fn settings_of(container: &Container, extension: &Extension) -> ServiceSettings {
    let http = container.ports.iter().find(|port| port.protocol == PortProtocol::Http);
    let routed = extension.routes.iter().find_map(|route| route.port);
    let any = container.ports.iter().find(|port| port.protocol != PortProtocol::Udp);
    ServiceSettings {
        port: http
            .map(|port| port.target)
            .or(routed)
            .or_else(|| container.expose.first().copied())
            .or_else(|| any.map(|port| port.target)),
        ..ServiceSettings::default()
    }
}

/// Whether a variable has a value in the file.
pub(crate) fn literal<'e>(env: &'e [EnvVar], key: &str) -> Option<&'e str> {
    env.iter().find(|variable| variable.key == key).and_then(|variable| match &variable.source {
        model::EnvSource::Literal(text) => Some(text.as_str()),
        _ => None,
    })
}
