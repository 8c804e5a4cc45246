//! `x-gable`: what a compose file says to Gable alone, and stays valid for other tools.

use model::PortProtocol;

use model::BaseRoute;

use super::compile::Project;
use super::node::View;
use super::reader::Reader;
use super::scalars::written;

/// What `x-gable` of a service says.
#[derive(Debug, Default)]
pub(crate) struct Extension {
    pub(crate) routes: Vec<BaseRoute>,
    pub(crate) health_path: Option<String>,
    pub(crate) pre_deploy: Option<String>,
    pub(crate) protocol: Option<PortProtocol>,
}

impl Reader<'_> {
    /// The host of all routes.
    pub(crate) fn root_host(&mut self, root: &View<'_>) -> Option<String> {
        let node = root.node.get("x-gable")?;
        let view = View::new(node, "x-gable").get("host")?;
        self.host(&view)
    }

    /// What a service says to Gable.
    pub(crate) fn extension(&mut self, project: &Project<'_>, service: &View<'_>) -> Extension {
        let Some(view) = service.get("x-gable") else { return Extension::default() };
        if view.node.map().is_none() {
            self.shape(&view, "a mapping");
            return Extension::default();
        }
        let health = view.get("health").and_then(|health| match health.node.map() {
            Some(_) => health.get("path"),
            None => Some(health),
        });
        Extension {
            routes: self.routes(project, &view),
            health_path: health.and_then(|path| self.route_path(&path)),
            pre_deploy: view.get("pre_deploy").and_then(|command| self.text(&command)),
            protocol: view.get("protocol").and_then(|protocol| self.protocol(&protocol)),
        }
    }

    fn protocol(&mut self, view: &View<'_>) -> Option<PortProtocol> {
        match self.text(view)?.as_str() {
            "http" => Some(PortProtocol::Http),
            "tcp" => Some(PortProtocol::Tcp),
            _ => {
                self.bad(
                    view,
                    format!("there is no protocol `{}`", written(view)),
                    "write `http` or `tcp`",
                );
                None
            }
        }
    }

    fn routes(&mut self, project: &Project<'_>, view: &View<'_>) -> Vec<BaseRoute> {
        let Some(view) = view.get("routes") else { return Vec::new() };
        let items: Vec<View<'_>> = match view.node.list() {
            Some(_) => view.items().collect(),
            None => vec![view],
        };
        let mut routes: Vec<BaseRoute> = Vec::new();
        for item in items {
            let path = match item.node.map() {
                Some(_) => item.get("path"),
                None => Some(item.clone()),
            };
            let Some(path) = path else {
                self.bad(&item, "a route has no path".to_owned(), "add `path: /api`");
                continue;
            };
            let Some(path) = self.route_path(&path) else { continue };
            let host = item.get("host").and_then(|host| self.host(&host));
            let strip = item.get("strip").and_then(|strip| self.boolean(&strip));
            let port = item.get("port").and_then(|port| self.number(&port, 1..=65_535));
            routes.push(BaseRoute {
                host: host.or_else(|| project.host.clone()),
                path,
                strip_prefix: strip.unwrap_or_default(),
                port: port.and_then(|port| u16::try_from(port).ok()),
            });
        }
        routes
    }

    /// A path that begins with a slash and has none at its end.
    fn route_path(&mut self, view: &View<'_>) -> Option<String> {
        let text = self.text(view)?;
        let is_path = text.starts_with('/')
            && !text.contains(['?', '#', ' ', '*'])
            && !text.chars().any(char::is_control);
        if !is_path {
            self.bad(
                view,
                format!("`{}` is no path", written(view)),
                "a path begins with `/` and holds neither `*` nor `?`",
            );
            return None;
        }
        let short = text.trim_end_matches('/');
        Some(if short.is_empty() { "/".to_owned() } else { short.to_owned() })
    }

    fn host(&mut self, view: &View<'_>) -> Option<String> {
        let text = self.text(view)?.to_ascii_lowercase();
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if text.len() <= 253 && text.split('.').all(is_label) {
            return Some(text);
        }
        self.bad(
            view,
            format!("`{}` is no host name", written(view)),
            "write a name such as `shop` or `shop.example.com`",
        );
        None
    }
}
