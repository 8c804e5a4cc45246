//! Smaller parts of services: paths, ports, headers, schedules, and what Render forbids.

use model::{HeaderRule, RouteRule, RouteRuleKind, Runtime, Service, ServiceKind};

use crate::blueprint::{Maintenance, PreviewGeneration};
use crate::catalog::Place;
use crate::code::Code;

use super::Checker;
use super::fields::{Fields, Slot};
use super::service::Kind;

/// Where Render refuses to mount a disk (page "Persistent disks").
const FORBIDDEN_MOUNTS: &[&str] = &[
    "/",
    "/opt",
    "/opt/render",
    "/opt/render/project",
    "/opt/render/project/src",
    "/home",
    "/home/render",
    "/etc",
    "/etc/secrets",
];

impl Checker<'_> {
    /// A directory or file of the repository, without `./` in front and `/` behind.
    pub(super) fn directory(&mut self, fields: &Fields<'_>, name: &str) -> String {
        let Some(slot) = fields.get(name) else { return String::new() };
        let Some(text) = self.text(slot) else { return String::new() };
        let mut parts: Vec<&str> = Vec::new();
        let mut is_outside = false;
        for part in text.trim().split('/').filter(|part| !part.is_empty() && *part != ".") {
            if part != ".." {
                parts.push(part);
            } else if parts.last().is_some_and(|last| *last != "..") {
                parts.pop();
            } else {
                is_outside = true;
                parts.push(part);
            }
        }
        // Docker paths are relative to `rootDir` and may leave it; `rootDir` may not leave the repository.
        if is_outside && name == "rootDir" {
            let message = format!("`{name}` lies outside the repository");
            self.add(Code::PathOutside, slot.node.bytes.clone(), &slot.path, message)
                .hint("name a directory of the repository, such as `apps/web`");
        }
        parts.join("/")
    }

    /// The published directory of a static site (page "Static sites").
    pub(super) fn publish_path(&mut self, fields: &Fields<'_>) -> String {
        if fields.has("staticPublishPath") {
            let path = self.directory(fields, "staticPublishPath");
            return if path.is_empty() { ".".to_owned() } else { path };
        }
        let patch =
            fields.anchor_slot().and_then(|slot| self.insert_after(slot, "staticPublishPath: ."));
        let message = "a static site has no `staticPublishPath`; all of it is published".to_owned();
        self.add(Code::MissingField, fields.anchor(), &fields.path, message)
            .hint("write `staticPublishPath:` with the directory that the build fills, such as `dist`")
            .patch(patch);
        ".".to_owned()
    }

    pub(super) fn mount_path(&mut self, disk: &Fields<'_>) -> Option<String> {
        let Some(slot) = disk.get("mountPath") else {
            let message = "a disk has no `mountPath`".to_owned();
            self.add(Code::BadMount, disk.anchor(), &disk.path, message)
                .hint("write `mountPath: /var/data`");
            return None;
        };
        let text = self.text(slot)?;
        let path = text.trim().trim_end_matches('/');
        let is_relative = !text.trim().starts_with('/');
        if is_relative || FORBIDDEN_MOUNTS.contains(&if path.is_empty() { "/" } else { path }) {
            let message = format!("a disk cannot be mounted at `{}`", text.trim());
            self.add(Code::BadMount, slot.node.bytes.clone(), &slot.path, message)
                .hint("choose an absolute path of its own, such as `/var/data`");
        }
        Some(path.to_owned())
    }

    /// The health check's path; a URL or a mapping with `path` is understood.
    pub(super) fn health_check_path(&mut self, fields: &Fields<'_>, kind: Kind) -> Option<String> {
        let slot = fields.get("healthCheckPath")?;
        if kind != Kind::Server(ServiceKind::Web) {
            let message = "`healthCheckPath` has an effect on web services only".to_owned();
            self.add(Code::NoEffect, slot.key_bytes.clone(), &slot.path, message);
            return None;
        }
        let text = match slot.node.get("path").and_then(|path| path.scalar()) {
            Some(scalar) => scalar.text.clone(),
            None => self.text(slot)?,
        };
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        if text.starts_with('/') {
            return Some(text.to_owned());
        }
        let rest = text
            .split_once("://")
            .map(|(_, rest)| rest.find('/').map_or("/", |slash| &rest[slash..]));
        let path = rest.map_or_else(|| format!("/{text}"), str::to_owned);
        let patch = self.replace_value(slot.node, &path);
        let message = format!("`healthCheckPath` has to begin with `/`; read as `{path}`");
        self.add(Code::ValueSpelling, slot.node.bytes.clone(), &slot.path, message)
            .hint(format!("write `healthCheckPath: {path}`"))
            .patch(patch);
        Some(path)
    }

    /// Custom host names, without a scheme.
    pub(super) fn domains(&mut self, fields: &Fields<'_>) -> Vec<String> {
        let mut domains = Vec::new();
        for name in ["domains", "domain"] {
            let Some(slot) = fields.get(name) else { continue };
            for (node, path) in self.list_or_single(slot, name == "domain") {
                let named = node.text_of("name").map(str::to_owned);
                let Some(text) = node.scalar().map(|scalar| scalar.text.clone()).or(named) else {
                    let message = "a domain has to be a host name; it was ignored".to_owned();
                    self.add(Code::UnknownValue, node.bytes.clone(), &path, message);
                    continue;
                };
                let host = text.trim().rsplit("://").next().unwrap_or_default();
                let host = host.split('/').next().unwrap_or_default().to_owned();
                if host != text.trim() {
                    let patch = self.replace_value(node, &host);
                    let message = format!("a domain is a host name, not a URL; read as `{host}`");
                    self.add(Code::ValueSpelling, node.bytes.clone(), &path, message).patch(patch);
                }
                if !host.is_empty() && !domains.contains(&host) {
                    domains.push(host);
                }
            }
        }
        domains
    }

    fn list_or_single<'t>(
        &mut self,
        slot: &Slot<'t>,
        is_single: bool,
    ) -> Vec<(&'t std::rc::Rc<crate::tree::Node>, String)> {
        if is_single && slot.node.scalar().is_some() {
            return vec![(slot.node, slot.path.clone())];
        }
        self.list(slot)
    }

    pub(super) fn headers(&mut self, fields: &Fields<'_>) -> Vec<HeaderRule> {
        let Some(slot) = fields.get("headers") else { return Vec::new() };
        let mut rules = Vec::new();
        for (node, path) in self.list(slot) {
            let Some(inner) = self.fields(node, &path, Place::Header) else { continue };
            let name = self.command(&inner, "name");
            let value = self.plain_text_of(&inner, "value");
            let pattern = self.command(&inner, "path").unwrap_or_else(|| "/*".to_owned());
            match (name, value) {
                (Some(name), Some(value)) => rules.push(HeaderRule { path: pattern, name, value }),
                _ => {
                    let message =
                        "a header needs `path`, `name` and `value`; it was ignored".to_owned();
                    self.add(Code::MissingField, inner.anchor(), &path, message);
                }
            }
        }
        rules
    }

    pub(super) fn routes(&mut self, fields: &Fields<'_>) -> Vec<RouteRule> {
        let Some(slot) = fields.get("routes") else { return Vec::new() };
        let mut rules = Vec::new();
        for (node, path) in self.list(slot) {
            let Some(inner) = self.fields(node, &path, Place::RouteRule) else { continue };
            let kind = match inner.get("type") {
                Some(slot) => self.choice(
                    slot,
                    &["redirect", "rewrite"],
                    &[("301", "redirect"), ("proxy", "rewrite")],
                ),
                None => None,
            };
            let source = self.command(&inner, "source");
            let destination = self.command(&inner, "destination");
            match (kind, source, destination) {
                (Some(kind), Some(source), Some(destination)) => rules.push(RouteRule {
                    kind: if kind == "redirect" {
                        RouteRuleKind::Redirect
                    } else {
                        RouteRuleKind::Rewrite
                    },
                    source,
                    destination,
                }),
                _ => {
                    let message =
                        "a route needs `type`, `source` and `destination`; it was ignored"
                            .to_owned();
                    self.add(Code::MissingField, inner.anchor(), &path, message)
                        .hint("write `type: rewrite`, `source: /*` and `destination: /index.html`");
                }
            }
        }
        rules
    }

    /// A scalar whose YAML type does not matter.
    fn plain_text_of(&mut self, fields: &Fields<'_>, name: &str) -> Option<String> {
        let slot = fields.get(name)?;
        match slot.node.scalar() {
            Some(scalar) => Some(scalar.text.clone()),
            None => self.text(slot),
        }
    }

    pub(super) fn maintenance(&mut self, fields: &Fields<'_>) -> Option<Maintenance> {
        let slot = fields.get("maintenanceMode")?;
        if let Some(is_enabled) = slot.node.scalar().and_then(crate::tree::Scalar::boolean) {
            let message = "`maintenanceMode` has to be a mapping with `enabled`".to_owned();
            self.add(Code::WrongScalar, slot.node.bytes.clone(), &slot.path, message);
            return Some(Maintenance { is_enabled, uri: None });
        }
        let inner = self.fields(slot.node, &slot.path, Place::Maintenance)?;
        let is_enabled =
            inner.get("enabled").and_then(|slot| self.boolean(slot)).unwrap_or_default();
        let uri = self.command(&inner, "uri");
        Some(Maintenance { is_enabled, uri })
    }

    /// `off`, `manual` or `automatic`.
    pub(super) fn generation(&mut self, slot: &Slot<'_>) -> Option<PreviewGeneration> {
        let meant = [
            ("true", "automatic"),
            ("auto", "automatic"),
            ("on", "automatic"),
            ("false", "off"),
            ("none", "off"),
            ("disabled", "off"),
        ];
        self.choice(slot, &["off", "manual", "automatic"], &meant)?.parse().ok()
    }

    /// The first number of `port: 4000`, `ports: [4000]`, `ports: ["4000:4000"]`.
    pub(super) fn port(&mut self, fields: &Fields<'_>) -> Option<u16> {
        let slot = fields.get("port")?;
        let first = slot.node.list().and_then(<[_]>::first).unwrap_or(slot.node);
        let inner =
            first.map().and_then(|entries| entries.first()).map_or(first, |entry| &entry.value);
        let text = &inner.scalar()?.text;
        let port =
            text.rsplit(':').next().and_then(|text| text.split('/').next()?.trim().parse().ok());
        port.filter(|port| *port > 0)
    }

    /// Five fields of a cron expression (page "Cron jobs").
    pub(super) fn check_schedule(
        &mut self,
        fields: &Fields<'_>,
        kind: Kind,
        service: &mut Service,
    ) {
        if kind != Kind::Cron {
            return;
        }
        let Some(slot) = fields.get("schedule") else {
            let message = format!("cron job `{}` has no schedule", service.name);
            self.add(Code::BadSchedule, fields.anchor(), &fields.path, message).hint(
                "write five fields, such as `schedule: \"0 3 * * *\"` for every night at three",
            );
            return;
        };
        let Some(text) = self.text(slot) else { return };
        let text = text.trim();
        let macro_of = match text {
            "@hourly" => Some("0 * * * *"),
            "@daily" | "@midnight" => Some("0 0 * * *"),
            "@weekly" => Some("0 0 * * 0"),
            "@monthly" => Some("0 0 1 * *"),
            "@yearly" | "@annually" => Some("0 0 1 1 *"),
            _ => None,
        };
        if let Some(schedule) = macro_of {
            let patch = self.replace_value(slot.node, &format!("\"{schedule}\""));
            let message = format!("`schedule` has no word `{text}`; read as `{schedule}`");
            self.add(Code::ValueSpelling, slot.node.bytes.clone(), &slot.path, message)
                .patch(patch);
            service.schedule = Some(schedule.to_owned());
        } else if is_schedule(text) {
            service.schedule = Some(text.to_owned());
        } else {
            let message = format!("`{text}` is no cron expression of five fields");
            self.add(Code::BadSchedule, slot.node.bytes.clone(), &slot.path, message).hint(
                "write minute, hour, day of month, month and day of week, such as `\"0 3 * * *\"`",
            );
        }
    }

    /// Whether something will be built and started.
    pub(super) fn check_commands(&mut self, fields: &Fields<'_>, service: &Service) {
        let needs_start =
            !matches!(service.runtime, Runtime::Static | Runtime::Docker | Runtime::Image);
        if needs_start && service.start_command.is_none() && service.kind != ServiceKind::Static {
            let message = format!("service `{}` has no start command", service.name);
            self.add(Code::NoStartCommand, fields.anchor(), &fields.path, message)
                .hint("write `startCommand:` with the command that keeps it running");
        }
        if service.runtime == Runtime::Docker
            && service.container.command.is_none()
            && let Some(slot) = fields.get("startCommand")
        {
            let message =
                "`startCommand` has no effect with `runtime: docker`: the image's command runs"
                    .to_owned();
            self.add(Code::NoEffect, slot.key_bytes.clone(), &slot.path, message)
                .hint("to replace the image's command write `dockerCommand`");
        }
    }

    /// What Render refuses and one's own machine does not mind.
    pub(super) fn check_render_rules(
        &mut self,
        fields: &Fields<'_>,
        kind: Kind,
        service: &Service,
    ) {
        let is_free = service.instance_type.name == "free";
        let is_web = matches!(kind, Kind::Server(ServiceKind::Web) | Kind::Static);
        if is_free
            && !is_web
            && let Some(slot) = fields.get("plan")
        {
            let message = "on Render only web services can have `plan: free`".to_owned();
            self.add(Code::RenderRule, slot.node.bytes.clone(), &slot.path, message)
                .hint("write `plan: starter` to deploy it on Render");
        }
        if let Some(slot) = fields.get("maxShutdownDelaySeconds")
            && (is_free || service.disk.is_some())
        {
            let message =
                "Render refuses `maxShutdownDelaySeconds` for free plans and services with a disk"
                    .to_owned();
            self.add(Code::RenderRule, slot.key_bytes.clone(), &slot.path, message);
        }
        if service.disk.is_some()
            && (is_free || service.instances > 1)
            && let Some(slot) = fields.get("disk")
        {
            let why = if is_free {
                "a free service has no disk"
            } else {
                "a service with a disk has one instance"
            };
            let message = format!("on Render {why}");
            self.add(Code::RenderRule, slot.key_bytes.clone(), &slot.path, message);
        }
    }
}

/// Previews that were switched on or off.
pub(super) fn generation_of(enabled: bool) -> PreviewGeneration {
    if enabled { PreviewGeneration::Automatic } else { PreviewGeneration::Off }
}

/// Whether a text has the form of five cron fields.
fn is_schedule(text: &str) -> bool {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let bounds = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)];
    fields.len() == 5
        && fields.iter().zip(bounds).all(|(field, (least, most))| {
            field.split(',').all(|part| is_cron_part(part, least, most))
        })
}

fn is_cron_part(part: &str, least: u32, most: u32) -> bool {
    let (range, step) =
        part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
    let is_step = step.is_none_or(|step| step.parse::<u32>().is_ok_and(|step| step > 0));
    let is_value = |text: &str| match text.parse::<u32>() {
        Ok(number) => (least..=most).contains(&number),
        Err(_) => {
            text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_alphabetic()) && most <= 12
        }
    };
    let is_range = range == "*"
        || match range.split_once('-') {
            Some((from, to)) => is_value(from) && is_value(to),
            None => is_value(range),
        };
    is_step && is_range
}

#[cfg(test)]
mod tests {
    use super::is_schedule;

    #[test]
    fn schedules_have_five_fields_within_their_bounds() {
        for good in ["* * * * *", "*/15 0-6 1,15 * 1-5", "0 3 * JAN MON", "5/10 * * * 7"] {
            assert!(is_schedule(good), "{good}");
        }
        for bad in
            ["", "* * * *", "* * * * * *", "60 * * * *", "*/0 * * * *", "every day at noon x"]
        {
            assert!(!is_schedule(bad), "{bad}");
        }
    }
}
