//! The work grows with the file, and not with its square.

use std::sync::Arc;

use super::*;

/// What is counted while this is done.
fn steps(work: impl FnOnce()) -> usize {
    work::STEPS.with(|steps| steps.set(0));
    work();
    work::STEPS.with(std::cell::Cell::get)
}

/// `count` services, each with a database, a Key Value instance and a group of its own, values
/// that a person set and generated ones, and a copy from its neighbour.
fn file(count: usize) -> Facts {
    let mut facts = Facts::default();
    for number in 0..count {
        let name = format!("s{number}");
        let mut service = service(
            &name,
            ServiceKind::Web,
            vec![
                literal("A", "1"),
                var("SECRET", EnvSource::Generate),
                from_database("DB", &format!("d{number}"), DatabaseProperty::ConnectionString),
                property("KV", &format!("k{number}"), ServiceProperty::ConnectionString),
                copy("OTHER", &format!("s{}", (number + 1) % count), "A"),
                copy("ROOT", &format!("r{number}"), "A"),
            ],
        );
        service.service.groups.push(format!("g{number}"));
        facts.services.push(service);
        facts.databases.push(database(&format!("d{number}")));
        facts.key_values.push(key_value(&format!("k{number}")));
        facts.groups.push(group(&format!("g{number}"), vec![literal("G", "1")]));
        facts.values.push(stored(of(&name), "HAND", "x", ValueOrigin::Operator));
        facts.values.push(stored(of(&name), "SECRET", "y", ValueOrigin::Generated));
    }
    facts
}

#[test]
fn twice_as_many_services_are_twice_the_work() {
    let measure = |count| {
        let facts = file(count);
        steps(|| {
            assert_eq!(wanted_secrets(&facts), []);
            let resolution = resolve(&facts);
            assert_eq!(resolution.services.len(), count);
        })
    };
    let (small, large) = (measure(200), measure(400));
    assert!(small > 200 * 10, "{small}: nothing is counted");
    assert!(large <= small * 2 + small / 10, "{small} steps became {large}");
}

#[test]
fn an_environment_costs_what_it_has_and_not_what_belongs_to_none() {
    let measure = |count| {
        let root = Facts {
            services: (0..count)
                .map(|number| {
                    let next = copy("A", &format!("r{}", number + 1), "A");
                    // Three of them copy from each other in a row.
                    let env = if number < 3 { vec![next] } else { vec![literal("A", "1")] };
                    service(&format!("r{number}"), ServiceKind::Web, env)
                })
                .collect(),
            ..Facts::default()
        };
        let own = service("web", ServiceKind::Web, vec![copy("A", "r0", "A")]);
        let file = Facts { root: Some(Arc::new(root)), ..facts(vec![own]) };
        steps(|| assert_eq!(value(&resolve(&file), "web", "A"), Some("1")))
    };
    assert_eq!(measure(10), measure(1000));
}
