//! What the platform says of itself (Render: the page on environment variables).

use model::ServiceKind;

use super::facts::{Facts, ServiceFacts};
use super::variable::Phase;
use crate::port::{DEFAULT_PORT, declared};

/// A variable of the platform's.
pub(super) struct Injected {
    pub(super) key: &'static str,
    pub(super) value: String,
    pub(super) phase: Phase,
    /// Whether it is set, or only understood where authors refer to it.
    pub(super) is_set: bool,
}

/// Everything but `RENDER_INSTANCE_ID`, which each instance gets when it starts.
pub(super) fn injected(facts: &Facts, service: &ServiceFacts) -> Vec<Injected> {
    let mut all = Vec::new();
    if service.service.container.without_platform_env {
        return all;
    }
    let mut add =
        |key, value: String, phase| all.push(Injected { key, value, phase, is_set: true });
    let definition = &service.service;
    add("RENDER", "true".to_owned(), Phase::Both);
    add("IS_PULL_REQUEST", facts.is_pull_request.to_string(), Phase::Both);
    add("RENDER_SERVICE_ID", service.id.to_string(), Phase::Both);
    add("RENDER_SERVICE_NAME", definition.name.clone(), Phase::Both);
    add("RENDER_SERVICE_TYPE", definition.kind.to_string(), Phase::Both);
    if let Some(external) = &service.external {
        add("RENDER_EXTERNAL_HOSTNAME", external.host.clone(), Phase::Both);
        add("RENDER_EXTERNAL_URL", external.url.clone(), Phase::Both);
    }
    if definition.has_port() {
        add("RENDER_DISCOVERY_SERVICE", service.discovery_host.clone(), Phase::Both);
    }
    let cpu_count = cpu_count(facts, service).to_string();
    add("RENDER_CPU_COUNT", cpu_count.clone(), Phase::Both);
    if definition.kind != ServiceKind::Static {
        add("RENDER_WEB_CONCURRENCY", cpu_count.clone(), Phase::Run);
        add("WEB_CONCURRENCY", cpu_count, Phase::Run);
    }
    if definition.kind == ServiceKind::Web
        || (definition.has_port() && service.assigned_port.is_some())
    {
        let port = service.assigned_port.unwrap_or(DEFAULT_PORT);
        add("PORT", port.to_string(), Phase::Run);
    }
    if let Some(git) = &service.git {
        add("RENDER_GIT_BRANCH", git.branch.clone(), Phase::Both);
        add("RENDER_GIT_COMMIT", git.commit.clone(), Phase::Both);
        if let Some(slug) = &git.repo_slug {
            add("RENDER_GIT_REPO_SLUG", slug.clone(), Phase::Both);
        }
        if let Some(tag) = &git.tag {
            all.push(Injected {
                key: "RENDER_GIT_TAG",
                value: tag.clone(),
                phase: Phase::Both,
                is_set: false,
            });
        }
    }
    all
}

/// Where others find a service: where it was seen, else where it says that it will be.
/// `by_hand` is a `PORT` that a person set.
pub(super) fn port_of(service: &ServiceFacts, by_hand: Option<u16>) -> u16 {
    service
        .seen_port
        .or(by_hand)
        .or_else(|| declared(&service.service))
        .or(service.assigned_port)
        .unwrap_or(DEFAULT_PORT)
}

/// Whole processors of the plan, one at least, and not more than there are.
fn cpu_count(facts: &Facts, service: &ServiceFacts) -> u32 {
    let of_plan = service.service.instance_type.cpu_millis.div_ceil(1000).max(1);
    match facts.cpu_count {
        0 => of_plan,
        of_machine => of_plan.min(of_machine),
    }
}
