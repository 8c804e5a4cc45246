//! Services that are built and run: web, private, worker, cron, static, workflow.

use model::service::{AutoDeploy, BuildFilter, Docker, Image};
use model::{Disk, Runtime, Service, ServiceKind};

use crate::blueprint::{Noun, PreviewGeneration, Scaling, ServicePreviews, ServiceSettings};
use crate::catalog::Place;
use crate::code::Code;
use crate::sizes::Family;
use crate::words;

use super::env::{DraftVar, Owner};
use super::fields::Fields;
use super::root::{Draft, deprecated};
use super::service::{Implied, Kind};
use super::values::Item;
use super::{Checker, env};

/// Seconds between TERM and KILL (page "Deploys").
const SHUTDOWN_SECONDS: u16 = 30;
/// Render runs no more copies than this (page "Scaling").
const INSTANCES: std::ops::RangeInclusive<u32> = 1..=100;

impl Checker<'_> {
    /// Reads a service that is built and run.
    pub(super) fn server(
        &mut self,
        fields: &Fields<'_>,
        item: &Item<'_>,
        kind: Kind,
        name: String,
        implied: Implied,
        draft: &mut Draft,
    ) {
        let runtime = self.runtime(fields, kind, implied);
        let kind = match (kind, runtime) {
            (Kind::Server(ServiceKind::Web), Some(Runtime::Static)) => Kind::Static,
            (kind, _) => kind,
        };
        let (mut vars, groups) = self.variables(fields, draft);
        self.version_fields(fields, &mut vars);
        let settings = self.settings(fields);
        let mut service = self.declared(fields, kind, &name, runtime.unwrap_or(Runtime::Node));
        service.groups = groups;
        if let Some(scaling) = settings.scaling {
            service.instances = scaling.min_instances;
        }
        if runtime.is_some() {
            self.check_commands(fields, &service);
        }
        self.check_schedule(fields, kind, &mut service);
        self.check_render_rules(fields, kind, &service);
        if kind == Kind::Workflow && !self.workflows.insert(name.clone()) {
            let message =
                format!("Render refuses two workflows of the name `{name}` in a workspace");
            self.add(Code::RenderRule, fields.anchor(), &item.path, message)
                .hint("give each its own name");
        }
        let name = self.unique_name(draft, Noun::Service, name, fields, item);
        service.name.clone_from(&name);
        let scope = &mut draft.scope;
        scope.origins.insert((Noun::Service, name.clone()), item.path.clone());
        scope.service_settings.insert(name.clone(), settings);
        draft.vars.insert((Noun::Service, name), vars);
        if kind == Kind::Workflow {
            scope.workflows.push(service);
        } else {
            scope.services.push(service);
        }
    }

    fn declared(
        &mut self,
        fields: &Fields<'_>,
        kind: Kind,
        name: &str,
        runtime: Runtime,
    ) -> Service {
        let model_kind = match kind {
            Kind::Server(kind) => kind,
            Kind::Static => ServiceKind::Static,
            Kind::Cron => ServiceKind::Cron,
            Kind::Workflow | Kind::KeyValue | Kind::Database => ServiceKind::Worker,
        };
        let runtime = if kind == Kind::Static { Runtime::Static } else { runtime };
        let size = self.size(fields, "plan", Family::Service);
        let disk = self.disk(fields, name);
        let mut service = Service {
            kind: model_kind,
            name: name.to_owned(),
            runtime,
            root_dir: self.directory(fields, "rootDir"),
            repo: self.command(fields, "repo"),
            branch: self.command(fields, "branch"),
            build_command: self.command(fields, "buildCommand"),
            start_command: self.command(fields, "startCommand"),
            pre_deploy_command: self.command(fields, "preDeployCommand"),
            initial_deploy_hook: self.command(fields, "initialDeployHook"),
            schedule: None,
            instance_type: size.unwrap_or_else(|| Family::Service.default_plan()),
            instances: self.instances(fields, "numInstances").unwrap_or(1),
            env: Vec::new(),
            groups: Vec::new(),
            health_check_path: self.health_check_path(fields, kind),
            max_shutdown_delay_seconds: self.shutdown_delay(fields),
            disk,
            domains: self.domains(fields),
            publish_path: None,
            headers: self.headers(fields),
            routes: self.routes(fields),
            docker: None,
            image: None,
            container: model::Container::default(),
            build_filter: self.build_filter(fields),
            auto_deploy: self.auto_deploy(fields),
        };
        self.images(fields, &mut service);
        if kind == Kind::Static {
            service.publish_path = Some(self.publish_path(fields));
        }
        service
    }

    fn variables(
        &mut self,
        fields: &Fields<'_>,
        draft: &mut Draft,
    ) -> (Vec<DraftVar>, Vec<String>) {
        let (mut vars, mut groups) = (Vec::new(), Vec::new());
        for slot in fields.all("envVars") {
            let (own, linked) = self.env_vars(&slot, Owner::Service);
            vars.extend(own);
            groups.extend(linked.iter().map(|(name, ..)| name.clone()));
            draft.links.extend(linked);
        }
        groups.dedup();
        self.last_counts(&mut vars);
        (vars, groups)
    }

    /// `nodeVersion: 20` and its like, which are variables on Render (page "Language support").
    fn version_fields(&mut self, fields: &Fields<'_>, vars: &mut Vec<DraftVar>) {
        let versions = [
            ("nodeVersion", "NODE_VERSION"),
            ("pythonVersion", "PYTHON_VERSION"),
            ("rubyVersion", "RUBY_VERSION"),
            ("goVersion", "GO_VERSION"),
        ];
        for (field, key) in versions {
            let Some(slot) = fields.get(field) else { continue };
            let Some(scalar) = slot.node.scalar() else { continue };
            if vars.iter().all(|var| var.key != key) {
                vars.push(env::literal(key, scalar.text.clone(), slot));
            }
        }
    }

    fn instances(&mut self, fields: &Fields<'_>, name: &str) -> Option<u32> {
        let slot = fields.get(name)?;
        self.integer(slot, INSTANCES)
    }

    fn shutdown_delay(&mut self, fields: &Fields<'_>) -> u16 {
        let slot = fields.get("maxShutdownDelaySeconds");
        let seconds = slot.and_then(|slot| self.integer(slot, 1..=300));
        seconds.and_then(|seconds| u16::try_from(seconds).ok()).unwrap_or(SHUTDOWN_SECONDS)
    }

    /// Image and Dockerfile settings (page "Docker").
    fn images(&mut self, fields: &Fields<'_>, service: &mut Service) {
        let credential = self.registry_credential(fields, "registryCredential");
        let image = self.image(fields);
        let has_dockerfile = fields.has("dockerfilePath") || fields.has("dockerContext");
        let mut command = self.command(fields, "dockerCommand");
        if command.is_none() && self.is_invented_command(fields) {
            command = service.start_command.take();
        }
        if service.runtime == Runtime::Docker {
            let path = self.directory(fields, "dockerfilePath");
            let context = self.directory(fields, "dockerContext");
            service.docker = Some(Docker {
                dockerfile_path: if path.is_empty() { "Dockerfile".to_owned() } else { path },
                context: if context.is_empty() { ".".to_owned() } else { context },
                dockerfile_inline: None,
                target: None,
                args: Vec::new(),
                are_variables_args: true,
                more_contexts: Vec::new(),
                secrets: Vec::new(),
                registry_credential: credential,
            });
            service.container.command = command.as_deref().map(words::of_command);
        } else if service.runtime == Runtime::Image {
            let command = command.as_deref().or(service.start_command.as_deref());
            service.container.command = command.map(words::of_command);
            service.start_command = None;
            if image.is_none() {
                let message =
                    format!("service `{}` has `runtime: image` and names no image", service.name);
                self.add(Code::MissingImage, fields.anchor(), &fields.path, message)
                    .hint("write `image:` with `url: docker.io/library/nginx:1.27` under it");
            }
            service.image = image;
        } else {
            let dead = ["dockerfilePath", "dockerContext", "dockerCommand", "image"];
            for slot in dead.iter().filter_map(|name| fields.get(name)) {
                let runtime = service.runtime;
                let message =
                    format!("`{}` has no effect with `runtime: {runtime}`", slot.field.name);
                let is_empty = slot.node.scalar().is_some_and(|scalar| scalar.text.is_empty());
                if !is_empty && (has_dockerfile || command.is_some() || image.is_some()) {
                    self.add(Code::NoEffect, slot.key_bytes.clone(), &slot.path, message);
                }
            }
        }
    }

    /// `command:` with an image is what Compose calls the command of the container.
    fn is_invented_command(&self, fields: &Fields<'_>) -> bool {
        let slot = fields.get("startCommand");
        let runtime = fields.get("runtime").or_else(|| fields.get("env"));
        let is_docker = runtime
            .and_then(|slot| slot.node.scalar())
            .is_some_and(|scalar| matches!(scalar.text.as_str(), "docker" | "image"));
        is_docker && slot.is_some_and(|slot| self.source.slice(&slot.key_bytes) == "command")
    }

    fn image(&mut self, fields: &Fields<'_>) -> Option<Image> {
        let slot = fields.get("image")?;
        if let Some(scalar) = slot.node.scalar() {
            let message =
                "`image` has to be a mapping with `url`; its text was taken as that".to_owned();
            let indent = self.column_of(slot.key_bytes.start) + 2;
            let text = format!("{}{}url: ", self.line_break(), " ".repeat(indent));
            let patch = (!slot.parent.is_flow)
                .then(|| crate::finding::Patch::insert(slot.node.bytes.start, text));
            self.add(Code::WrongScalar, slot.node.bytes.clone(), &slot.path, message)
                .hint("write the address behind `url:`")
                .patch(patch);
            return Some(Image {
                url: scalar.text.clone(),
                digest: None,
                platform: None,
                registry_credential: None,
            });
        }
        let inner = self.fields(slot.node, &slot.path, Place::Image)?;
        let url = self.command(&inner, "url");
        let registry_credential = self.registry_credential(&inner, "creds");
        url.map(|url| Image { url, digest: None, platform: None, registry_credential })
    }

    fn registry_credential(&mut self, fields: &Fields<'_>, name: &str) -> Option<String> {
        let slot = fields.get(name)?;
        let inner = self.fields(slot.node, &slot.path, Place::RegistryCredential)?;
        let slot = inner.get("fromRegistryCreds")?;
        let inner = self.fields(slot.node, &slot.path, Place::RegistryName)?;
        self.text_of(&inner, "name")
    }

    /// `autoDeployTrigger`, which wins over the old `autoDeploy` (page "Deploys").
    fn auto_deploy(&mut self, fields: &Fields<'_>) -> AutoDeploy {
        let mut auto_deploy = AutoDeploy::Commit;
        if let Some(slot) = fields.get("autoDeploy") {
            let value = self.boolean(slot);
            if value == Some(false) {
                auto_deploy = AutoDeploy::Off;
            }
            let text = if auto_deploy == AutoDeploy::Off { "off" } else { "commit" };
            let has_new = fields.has("autoDeployTrigger");
            let patch = if has_new {
                self.remove(slot)
            } else {
                let value = self.replace_value(slot.node, text);
                value.filter(|_| !super::patch::is_alias(slot)).map(|mut patch| {
                    patch.edits.insert(
                        0,
                        crate::finding::Edit::replace(slot.key_bytes.clone(), "autoDeployTrigger"),
                    );
                    patch
                })
            };
            let message = "`autoDeploy` is the old spelling of `autoDeployTrigger`".to_owned();
            self.add(Code::Deprecated, slot.key_bytes.clone(), &slot.path, message)
                .hint(format!("write `autoDeployTrigger: {text}`"))
                .patch(patch);
        }
        if let Some(slot) = fields.get("autoDeployTrigger") {
            let meant = [
                ("true", "commit"),
                ("push", "commit"),
                ("false", "off"),
                ("manual", "off"),
                ("never", "off"),
                ("checks", "checksPass"),
            ];
            match self.choice(slot, &["commit", "checksPass", "off"], &meant) {
                Some("off") => auto_deploy = AutoDeploy::Off,
                Some("checksPass") => auto_deploy = AutoDeploy::ChecksPass,
                Some(_) => auto_deploy = AutoDeploy::Commit,
                None => {}
            }
        }
        auto_deploy
    }

    fn build_filter(&mut self, fields: &Fields<'_>) -> Option<BuildFilter> {
        let slot = fields.get("buildFilter")?;
        let inner = self.fields(slot.node, &slot.path, Place::BuildFilter)?;
        let mut filter = BuildFilter::default();
        if let Some(slot) = inner.get("paths") {
            filter.paths = self.texts(slot);
        }
        if let Some(slot) = inner.get("ignoredPaths") {
            filter.ignored_paths = self.texts(slot);
        }
        Some(filter)
    }

    fn disk(&mut self, fields: &Fields<'_>, service: &str) -> Option<Disk> {
        let slot = fields.get("disk")?;
        let items = slot.node.list();
        let node = match items {
            Some([node, ..]) => node,
            Some([]) => return None,
            None => slot.node,
        };
        if items.is_some() {
            let message =
                "`disk` has to be a mapping, and is a list; its first item counts".to_owned();
            self.add(Code::WrongScalar, slot.key_bytes.clone(), &slot.path, message)
                .hint("a service has one disk");
        }
        if node.scalar().is_some() {
            self.wrong_shape(slot, "a mapping with `name` and `mountPath`");
            return None;
        }
        let inner = self.fields(node, &slot.path, Place::Disk)?;
        let name = self.command(&inner, "name").unwrap_or_else(|| {
            let name = format!("{service}-disk");
            let patch =
                inner.first().and_then(|slot| self.insert_after(slot, &format!("name: {name}")));
            let message = format!("a disk has no name; it is called `{name}`");
            self.add(Code::MissingField, inner.anchor(), &slot.path, message)
                .hint(format!("write `name: {name}`"))
                .patch(patch);
            name
        });
        let size_gb =
            inner.get("sizeGB").and_then(|slot| self.integer(slot, 1..=65_536)).unwrap_or(10);
        let mount_path = self.mount_path(&inner)?;
        Some(Disk { name, mount_path, size_gb })
    }

    fn settings(&mut self, fields: &Fields<'_>) -> ServiceSettings {
        ServiceSettings {
            region: self.region(fields),
            ip_allow_list: self.ip_allow_list(fields),
            scaling: self.scaling(fields),
            maintenance: self.maintenance(fields),
            is_subdomain_off: fields
                .get("renderSubdomainPolicy")
                .and_then(|slot| self.switch(slot))
                .is_some_and(|enabled| !enabled),
            previews: self.service_previews(fields),
            port: self.port(fields),
            build_source: fields
                .get("buildSource")
                .and_then(|slot| slot.node.scalar())
                .map(|scalar| scalar.text.clone()),
        }
    }

    fn scaling(&mut self, fields: &Fields<'_>) -> Option<Scaling> {
        let slot = fields.get("scaling")?;
        let inner = self.fields(slot.node, &slot.path, Place::Scaling)?;
        let least = self.instances(&inner, "minInstances").unwrap_or(1);
        let most = self.instances(&inner, "maxInstances").unwrap_or(least);
        if most < least {
            let message = format!("`maxInstances` is less than `minInstances`; read as {least}");
            self.add(Code::OutOfRange, slot.key_bytes.clone(), &slot.path, message);
        }
        let mut percent = |name: &str| {
            let slot = inner.get(name)?;
            self.integer(slot, 1..=90).and_then(|percent| u8::try_from(percent).ok())
        };
        let target_cpu_percent = percent("targetCPUPercent");
        let target_memory_percent = percent("targetMemoryPercent");
        Some(Scaling {
            min_instances: least,
            max_instances: most.max(least),
            target_cpu_percent,
            target_memory_percent,
        })
    }

    fn service_previews(&mut self, fields: &Fields<'_>) -> Option<ServicePreviews> {
        let mut previews = ServicePreviews::default();
        for name in ["pullRequestPreviewsEnabled", "previewsEnabled"] {
            let Some(slot) = fields.get(name) else { continue };
            let enabled = self.boolean(slot).unwrap_or_default();
            previews.generation = Some(super::server_parts::generation_of(enabled));
            if !slot.field.is_invented() {
                deprecated(self, slot, "previews.generation");
            }
        }
        if let Some(slot) = fields.get("previewPlan") {
            previews.instance_type = self.size(fields, "previewPlan", Family::Service);
            deprecated(self, slot, "previews.plan");
        }
        if let Some(slot) = fields.get("previews")
            && let Some(inner) = self.fields(slot.node, &slot.path, Place::ServicePreviews)
        {
            if let Some(slot) = inner.get("generation")
                && let Some(generation) = self.generation(slot)
            {
                if generation == PreviewGeneration::Off {
                    let message = "`previews.generation` of a service is `manual` or `automatic`; left out, it is off";
                    self.add(Code::RenderRule, slot.node.bytes.clone(), &slot.path, message.to_owned())
                        .hint("remove it: previews of whole environments are switched at the root of the file");
                }
                previews.generation = Some(generation);
            }
            if let Some(size) = self.size(&inner, "plan", Family::Service) {
                previews.instance_type = Some(size);
            }
            previews.instances = self.instances(&inner, "numInstances");
        }
        (previews != ServicePreviews::default()).then_some(previews)
    }
}
