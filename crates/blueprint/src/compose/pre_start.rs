//! `pre_start`: commands that run to their end, one after the other, before a service starts.
//!
//! Each becomes a service of its own that completes, and that the service waits for: what
//! `depends_on` with `service_completed_successfully` says, which `pre_start` is the short form of.
//! So order, failure and “not again while nothing changed” are those of any such service.

use model::{
    Container, Dependency, DependencyCondition, EnvSource, EnvVar, HealthCheck, Image,
    RestartPolicy, Runtime, Service, ServiceKind,
};

use crate::blueprint::ServiceSettings;
use crate::code::Code;

use super::compile::Project;
use super::environment::Variables;
use super::node::View;
use super::reader::Reader;

/// Most commands of one service.
const COUNT_LIMIT: usize = 50;

impl Reader<'_> {
    /// The services that run before this one, which waits for them afterwards.
    pub(crate) fn pre_start(
        &mut self,
        project: &Project<'_>,
        view: &View<'_>,
        service: &mut Service,
    ) -> Vec<(Service, ServiceSettings)> {
        let Some(view) = view.get("pre_start") else { return Vec::new() };
        if view.node.list().is_none() {
            self.shape(&view, "a list");
            return Vec::new();
        }
        let items: Vec<View<'_>> = view.items().collect();
        if items.len() > COUNT_LIMIT {
            let message = format!("a service has {COUNT_LIMIT} `pre_start` commands at most");
            self.bad(&view, message, "put them into one script");
            return Vec::new();
        }
        let count = items.len();
        let mut steps: Vec<Service> = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let suffix = if count == 1 { String::new() } else { format!("-{}", index + 1) };
            let name = free_name(project, &format!("{}-pre-start{suffix}", service.name));
            let Some(mut step) = self.step(item, name, service) else { continue };
            step.container.depends_on.extend(steps.last().map(completed));
            steps.push(step);
        }
        service.container.depends_on.extend(steps.iter().map(completed));
        steps.into_iter().map(|step| (step, ServiceSettings::default())).collect()
    }

    fn step(&mut self, view: &View<'_>, name: String, service: &Service) -> Option<Service> {
        if view.node.map().is_none() {
            self.shape(view, "a mapping");
            return None;
        }
        if let Some(privileged) = view.get("privileged")
            && self.boolean(&privileged) == Some(true)
        {
            let message = "`privileged`: no instance gets the rights of the host".to_owned();
            self.add(Code::FieldRefused, view.key_at("privileged"), &privileged.path, message);
        }
        let command = self.words(view, "command");
        let url = view.get("image").and_then(|image| self.text(&image));
        if command.is_none() && url.is_none() {
            let message = "a `pre_start` says neither a command nor an image".to_owned();
            self.bad(view, message, "add `command: [\"program\", \"argument\"]`");
            return None;
        }
        let mut text = |key| view.get(key).and_then(|view| self.text(&view));
        let (user, working_dir) = (text("user"), text("working_dir"));
        let own = &service.container;
        let is_own_image = url.is_none();
        let image =
            url.map(|url| Image { url, digest: None, platform: None, registry_credential: None });
        let container = Container {
            // Another image has an entrypoint of its own.
            entrypoint: own.entrypoint.clone().filter(|_| is_own_image),
            command,
            user: user.or_else(|| own.user.clone().filter(|_| is_own_image)),
            working_dir: working_dir.or_else(|| own.working_dir.clone().filter(|_| is_own_image)),
            health_check: Some(HealthCheck::of(Vec::new())),
            restart: RestartPolicy::Never,
            ports: Vec::new(),
            base_routes: Vec::new(),
            expose: Vec::new(),
            aliases: Vec::new(),
            hostname: None,
            ..own.clone()
        };
        Some(Service {
            kind: ServiceKind::Worker,
            name,
            runtime: if is_own_image { service.runtime } else { Runtime::Image },
            docker: service.docker.clone().filter(|_| is_own_image),
            image: image.or_else(|| service.image.clone()),
            pre_deploy_command: None,
            health_check_path: None,
            instances: 1,
            env: self.step_environment(view, &service.env),
            container,
            ..service.clone()
        })
    }

    /// The variables of the service, and its own on top of them.
    fn step_environment(&mut self, view: &View<'_>, inherited: &[EnvVar]) -> Vec<EnvVar> {
        let mut variables = Variables::default();
        for variable in inherited {
            variables.set(variable.key.clone(), variable.source.clone());
        }
        if let Some(own) = view.get("environment") {
            for pair in self.pairs(&own) {
                let known = || self.input.variables.get(&pair.key).cloned();
                let value = pair.value.clone().or_else(known);
                variables.set(pair.key, value.map_or(EnvSource::Ask, EnvSource::Literal));
            }
        }
        variables.env
    }
}

fn completed(step: &Service) -> Dependency {
    Dependency {
        service: step.name.clone(),
        condition: DependencyCondition::ServiceCompletedSuccessfully,
        is_required: true,
    }
}

/// The name, or one with a number that no service of the file has.
fn free_name(project: &Project<'_>, name: &str) -> String {
    let is_taken = |name: &str| project.declared("services", name).is_some();
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let names = std::iter::once(name.to_owned()).chain(numbered);
    names.into_iter().find(|name| !is_taken(name)).unwrap_or_else(|| name.to_owned())
}
