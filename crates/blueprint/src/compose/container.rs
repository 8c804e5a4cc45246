//! How a service's container runs, where that is not what its image says.

use std::net::IpAddr;

use model::{Container, RestartPolicy, Ulimit, UpdateOrder};

use crate::code::Code;

use super::compile::Project;
use super::node::View;
use super::reader::Reader;
use super::scalars::written;

impl Reader<'_> {
    /// Everything of a container but its ports and small files.
    pub(crate) fn container(
        &mut self,
        project: &Project<'_>,
        name: &str,
        view: &View<'_>,
    ) -> Container {
        self.refused(view);
        let text = |reader: &mut Self, key: &str| {
            view.get(key).and_then(|view| reader.text(&view)).filter(|text| !text.is_empty())
        };
        let texts = |reader: &mut Self, key: &str| {
            view.get(key).map(|view| reader.texts(&view)).unwrap_or_default()
        };
        Container {
            entrypoint: self.words(view, "entrypoint"),
            command: self.words(view, "command"),
            user: text(self, "user"),
            groups: texts(self, "group_add"),
            working_dir: text(self, "working_dir"),
            hostname: text(self, "hostname"),
            health_check: self.health_check(view),
            restart: self.restart(view, project.awaited.contains(name)),
            stop_signal: text(self, "stop_signal"),
            volumes: self.volumes(project, view),
            files: Vec::new(),
            ports: Vec::new(),
            base_routes: Vec::new(),
            expose: self.expose(view),
            aliases: self.aliases(project, name, view),
            depends_on: self.dependencies(project, name, view),
            extra_hosts: self.extra_hosts(view),
            cap_add: capabilities(texts(self, "cap_add")),
            cap_drop: capabilities(texts(self, "cap_drop")),
            ulimits: self.ulimits(view),
            sysctls: self.sysctls(view),
            shm_bytes: view.get("shm_size").and_then(|view| self.bytes(&view)),
            pids: self.pids(view),
            is_read_only: view
                .get("read_only")
                .and_then(|view| self.boolean(&view))
                .unwrap_or_default(),
            update_order: self.update_order(view),
            without_platform_env: true,
        }
    }

    /// `deploy.update_config.order`.
    fn update_order(&mut self, view: &View<'_>) -> Option<UpdateOrder> {
        let order = view.get("deploy")?.get("update_config")?.get("order")?;
        let known = self.text(&order)?.parse().ok();
        if known.is_none() {
            let message = format!("there is no order `{}`; it is left to Gable", written(&order));
            self.add(Code::UnknownValue, &order.node.at, &order.path, message)
                .hint("write `start-first` or `stop-first`");
        }
        known
    }

    /// What no instance is given.
    fn refused(&mut self, view: &View<'_>) {
        if let Some(privileged) = view.get("privileged")
            && self.boolean(&privileged) == Some(true)
        {
            let message = "`privileged`: no instance gets the rights of the host".to_owned();
            self.add(Code::FieldRefused, view.key_at("privileged"), &privileged.path, message)
                .hint("remove it; what a program needs of it is most often one capability (`cap_add`)");
        }
        if let Some(added) = view.get("cap_add")
            && self.texts(&added).iter().any(|name| name.eq_ignore_ascii_case("all"))
        {
            let message = "`cap_add: ALL`: no instance gets the rights of the host".to_owned();
            self.add(Code::FieldRefused, &added.node.at, &added.path, message)
                .hint("name the capabilities that the program needs");
        }
        let Some(mode) = view.get("network_mode") else { return };
        let Some(text) = self.text(&mode) else { return };
        let message = match text.split_once(':') {
            Some(("service", other)) => format!(
                "`network_mode: service:{other}`: it would have to start again with each instance of `{other}`, and a deploy starts the new one beside the old"
            ),
            Some(("container", _)) => {
                "`network_mode: container:…`: no instance shares the network of a container that is not Gable's".to_owned()
            }
            None if text == "none" => {
                "`network_mode: none`: every instance is in the network of its environment"
                    .to_owned()
            }
            _ => return,
        };
        self.add(Code::FieldRefused, &mode.node.at, &mode.path, message)
            .hint("remove it, and let the programs reach each other by the services' names instead of `localhost`");
    }

    /// A command: words as they are, a text split into words as by a shell that does nothing else.
    pub(crate) fn words(&mut self, service: &View<'_>, key: &str) -> Option<Vec<String>> {
        let view = service.get(key)?;
        if view.node.list().is_some() {
            return Some(self.texts(&view));
        }
        let text = self.text(&view)?;
        let words = shlex::split(&text);
        if words.is_none() {
            let message = format!("`{key}` has a quote that is not closed");
            self.bad(&view, message, "write it as a list: `[\"program\", \"argument\"]`");
        }
        words
    }

    /// `restart`, or what `deploy.restart_policy` says instead.
    ///
    /// Compose's default is `no`. Of a service that another awaits to end it is meant: what is
    /// half done must not be done again. Of the others hardly ever: they are jobs that end, and
    /// servers that must not stay down.
    fn restart(&mut self, view: &View<'_>, is_awaited_to_end: bool) -> RestartPolicy {
        let own = view.get("restart").and_then(|restart| {
            let text = self.text(&restart)?;
            let (word, retries) = text.split_once(':').unwrap_or((&text, ""));
            match (word, retries) {
                ("no" | "false" | "never" | "", "") => Some(RestartPolicy::Never),
                ("always" | "unless-stopped" | "true" | "yes", "") => Some(RestartPolicy::Always),
                ("on-failure", "") => Some(RestartPolicy::OnFailure { max_retries: None }),
                ("on-failure", retries) if retries.parse::<u32>().is_ok() => {
                    Some(RestartPolicy::OnFailure { max_retries: retries.parse().ok() })
                }
                _ => {
                    let message = format!(
                        "there is no restart policy `{}`; read as `always`",
                        written(&restart)
                    );
                    self.add(Code::UnknownValue, &restart.node.at, &restart.path, message)
                        .hint("write `no`, `always`, `unless-stopped` or `on-failure`");
                    Some(RestartPolicy::Always)
                }
            }
        });
        let Some(policy) = view.get("deploy").and_then(|deploy| deploy.get("restart_policy"))
        else {
            return own.unwrap_or(if is_awaited_to_end {
                RestartPolicy::Never
            } else {
                RestartPolicy::OnFailure { max_retries: None }
            });
        };
        let attempts =
            policy.get("max_attempts").and_then(|view| self.number(&view, 0..=u64::from(u32::MAX)));
        let max_retries = attempts.and_then(|attempts| u32::try_from(attempts).ok());
        let condition = policy.get("condition").and_then(|view| self.text(&view));
        match condition.as_deref() {
            Some("none") => RestartPolicy::Never,
            Some("on-failure") => RestartPolicy::OnFailure { max_retries },
            _ => RestartPolicy::Always,
        }
    }

    /// Lines for `/etc/hosts`.
    fn extra_hosts(&mut self, service: &View<'_>) -> Vec<(String, String)> {
        let Some(view) = service.get("extra_hosts") else { return Vec::new() };
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (entry, inner) in view.entries().filter(|(_, inner)| inner.node.list().is_some()) {
            pairs
                .extend(self.texts(&inner).into_iter().map(|address| (entry.key.clone(), address)));
        }
        if pairs.is_empty() {
            let own = self.pairs(&view).into_iter();
            pairs.extend(own.filter_map(|pair| Some((pair.key, pair.value?))));
        }
        let mut hosts = Vec::new();
        for (host, address) in pairs {
            let address = address.trim().trim_matches(['[', ']']).to_owned();
            if address == "host-gateway" || address.parse::<IpAddr>().is_ok() {
                hosts.push((host, address));
            } else {
                self.bad(
                    &view,
                    format!("the host `{host}` of `extra_hosts` has no address"),
                    "write `name:192.0.2.1` or `name:host-gateway`",
                );
            }
        }
        hosts
    }

    fn ulimits(&mut self, service: &View<'_>) -> Vec<Ulimit> {
        let Some(view) = service.get("ulimits") else { return Vec::new() };
        let mut limits = Vec::new();
        for (entry, inner) in view.entries() {
            let (soft, hard) = if inner.node.map().is_some() {
                let soft = inner.get("soft").and_then(|view| self.limit(&view));
                let hard = inner.get("hard").and_then(|view| self.limit(&view));
                (soft.or(hard), hard.or(soft))
            } else {
                let both = self.limit(&inner);
                (both, both)
            };
            if let (Some(soft), Some(hard)) = (soft, hard) {
                limits.push(Ulimit { name: entry.key.to_ascii_lowercase(), soft, hard });
            }
        }
        limits
    }

    /// A limit; `-1` is none.
    fn limit(&mut self, view: &View<'_>) -> Option<u64> {
        match view.node.scalar().map(|scalar| scalar.text.trim()) {
            Some("-1" | "unlimited") => Some(u64::MAX),
            _ => self.number(view, 0..=u64::MAX),
        }
    }

    /// Kernel settings that belong to a namespace.
    fn sysctls(&mut self, service: &View<'_>) -> Vec<(String, String)> {
        let Some(view) = service.get("sysctls") else { return Vec::new() };
        let mut settings = Vec::new();
        for pair in self.pairs(&view) {
            let is_own = ["net.", "fs.mqueue.", "kernel.shm", "kernel.msg", "kernel.sem"]
                .iter()
                .any(|start| pair.key.starts_with(start));
            if is_own {
                settings.push((pair.key, pair.value.unwrap_or_default()));
            } else {
                let message =
                    format!("the kernel setting `{}` belongs to the whole host", pair.key);
                self.add(Code::FieldRefused, &view.node.at, &view.path, message)
                    .hint("set it on the host with `sysctl`, and remove it here");
            }
        }
        settings
    }

    /// `pids_limit`, or what `deploy.resources.limits` says.
    fn pids(&mut self, service: &View<'_>) -> Option<u32> {
        let limits = || service.get("deploy")?.get("resources")?.get("limits")?.get("pids");
        let view = service.get("pids_limit").or_else(limits)?;
        let is_none =
            view.node.scalar().is_some_and(|scalar| matches!(scalar.text.trim(), "-1" | "0"));
        if is_none {
            return None;
        }
        let number = self.number(&view, 1..=u64::from(u32::MAX))?;
        u32::try_from(number).ok()
    }
}

/// Names without `CAP_`, in capitals.
fn capabilities(names: Vec<String>) -> Vec<String> {
    let plain = |name: String| {
        let name = name.trim().to_ascii_uppercase();
        name.strip_prefix("CAP_").map(str::to_owned).unwrap_or(name)
    };
    names.into_iter().map(plain).collect()
}
