//! Who has to stop before a service does.

use std::collections::BTreeSet;

use model::{EnvSource, Service, ServiceReference};

/// Names of the services that need the one of this name while they run, and have to stop first. Of
/// services that need each other in a circle none has to: they stop together.
#[must_use]
pub fn dependents(name: &str, services: &[&Service]) -> Vec<String> {
    let needed = needed_by(name, services);
    services
        .iter()
        .filter(|other| other.name != name && needs(other).any(|need| need == name))
        .filter(|other| !needed.contains(other.name.as_str()))
        .map(|other| other.name.clone())
        .collect()
}

/// Everything that a service needs, and what that needs.
fn needed_by<'a>(name: &'a str, services: &[&'a Service]) -> BTreeSet<&'a str> {
    let mut needed = BTreeSet::new();
    let mut open = vec![name];
    while let Some(name) = open.pop() {
        let service = services.iter().find(|service| service.name == name);
        for need in service.into_iter().flat_map(|service| needs(service)) {
            if needed.insert(need) {
                open.push(need);
            }
        }
    }
    needed
}

/// What a service names as needed: `depends_on`, and those whose address it is given.
fn needs(service: &Service) -> impl Iterator<Item = &str> {
    let declared = service.container.depends_on.iter().map(|one| one.service.as_str());
    let addressed = service.env.iter().filter_map(|variable| match &variable.source {
        EnvSource::FromService { name, reference: ServiceReference::Property(_) } => {
            Some(name.as_str())
        }
        _ => None,
    });
    declared.chain(addressed)
}
