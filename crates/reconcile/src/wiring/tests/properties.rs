//! What must hold whatever people write.

use proptest::prelude::*;

use super::*;

const SERVICES: [&str; 3] = ["api", "web", "worker"];
const KEYS: [&str; 5] = ["A", "B", "C", "PORT", "RENDER_EXTERNAL_URL"];

fn name() -> impl Strategy<Value = String> {
    // One name in four leads nowhere.
    prop::sample::select(vec!["api", "web", "worker", "db"]).prop_map(str::to_owned)
}

fn key() -> impl Strategy<Value = String> {
    prop::sample::select(KEYS.to_vec()).prop_map(str::to_owned)
}

fn source() -> impl Strategy<Value = EnvSource> {
    let copy =
        |(name, key)| EnvSource::FromService { name, reference: ServiceReference::EnvVar(key) };
    let property = |name| EnvSource::FromService {
        name,
        reference: ServiceReference::Property(ServiceProperty::HostPort),
    };
    let part = prop_oneof![
        ".{0,4}".prop_map(TemplatePart::Text),
        (key(), prop::option::of("[a-z]{0,3}"), prop::option::of((0usize..4, 0usize..4)))
            .prop_map(|(key, default, slice)| TemplatePart::Variable { key, default, slice }),
        name()
            .prop_map(|name| TemplatePart::Database { name, property: DatabaseProperty::Password }),
    ];
    prop_oneof![
        2 => ".{0,6}".prop_map(EnvSource::Literal),
        1 => Just(EnvSource::Generate),
        1 => Just(EnvSource::Ask),
        4 => (name(), key()).prop_map(copy),
        1 => name().prop_map(property),
        1 => name().prop_map(|name| EnvSource::FromDatabase {
            name,
            property: DatabaseProperty::ConnectionString
        }),
        2 => prop::collection::vec(part, 0..3).prop_map(EnvSource::Template),
    ]
}

fn env() -> impl Strategy<Value = Vec<EnvVar>> {
    prop::collection::vec((key(), source()).prop_map(|(key, source)| var(&key, source)), 0..6)
}

fn any_facts() -> impl Strategy<Value = Facts> {
    let stored_value = (prop::sample::select(SERVICES.to_vec()), key(), any::<bool>()).prop_map(
        |(owner, key, is_operator)| {
            let origin = if is_operator { ValueOrigin::Operator } else { ValueOrigin::Generated };
            stored(of(owner), &key, "kept-secret", origin)
        },
    );
    let stored_values = prop::collection::vec(stored_value, 0..3);
    ([env(), env(), env(), env()], stored_values, any::<bool>()).prop_map(
        |([api, web, worker, shared], mut values, has_database)| {
            let mut services = vec![
                service("api", ServiceKind::Web, api),
                service("web", ServiceKind::Web, web),
                service("worker", ServiceKind::Worker, worker),
            ];
            services[1].service.groups.push("shared".to_owned());
            // One value per variable, as in the store.
            values.sort_by(|a, b| (&a.owner, &a.key).cmp(&(&b.owner, &b.key)));
            values.dedup_by(|a, b| (&a.owner, &a.key) == (&b.owner, &b.key));
            let mut facts = facts(services);
            facts.groups.push(group("shared", shared));
            facts.values = values;
            if has_database {
                facts.databases.push(database("db"));
            }
            facts
        },
    )
}

/// A resolution as text, with its values.
fn picture(resolution: &Resolution) -> String {
    let services = serde_json::to_string(&resolution.services).unwrap_or_default();
    format!("{services} {:?} {:?}", resolution.missing, resolution.problems)
}

/// Whether a declaration of `from` refers to `to`.
fn refers(facts: &Facts, from: &str, to: &str) -> bool {
    let (service, key) = from.split_once('.').expect("a member of a path has a dot");
    let (to_service, to_key) = to.split_once('.').expect("a member of a path has a dot");
    let own = facts.services.iter().find(|facts| facts.service.name == service);
    let own = own.map(|facts| facts.service.env.as_slice()).unwrap_or_default();
    let shared = if service == "web" { facts.groups[0].env.as_slice() } else { &[] };
    own.iter().chain(shared).filter(|variable| variable.key == key).any(|variable| {
        match &variable.source {
            EnvSource::FromService { name, reference: ServiceReference::EnvVar(key) } => {
                name == to_service && key == to_key
            }
            EnvSource::Template(parts) => parts.iter().any(|part| {
                matches!(part, TemplatePart::Variable { key, .. } if service == to_service && key == to_key)
            }),
            _ => false,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_reported_circle_is_a_true_path(facts in any_facts()) {
        for problem in resolve(&facts).problems {
            let (_, path) = problem.message.rsplit_once(": ").expect("the path comes last");
            let members: Vec<&str> = path.split(" → ").collect();
            prop_assert!(members.len() >= 2);
            prop_assert_eq!(members.first(), members.last());
            for pair in members.windows(2) {
                prop_assert!(refers(&facts, pair[0], pair[1]), "{} in {}", pair[0], path);
            }
        }
    }

    #[test]
    fn every_circle_of_copies_is_reported(length in 1usize..40, start in 0usize..40) {
        let services = (0..length).map(|number| {
            let next = format!("s{}", (number + 1) % length);
            service(&format!("s{number}"), ServiceKind::Worker, vec![copy("K", &next, "K")])
        });
        let mut services: Vec<ServiceFacts> = services.collect();
        services.rotate_left(start % length);
        let problems = resolve(&facts(services)).problems;
        // A variable that copies itself means what stands behind it, and is only unset.
        prop_assert_eq!(problems.len(), usize::from(length > 1));
        if let Some(problem) = problems.first() {
            prop_assert_eq!(problem.message.matches(" → ").count(), length);
        }
    }

    #[test]
    fn the_order_of_services_changes_nothing(facts in any_facts(), seed in 0usize..6) {
        let mut other = facts.clone();
        other.services.rotate_left(seed % 3);
        if seed > 2 {
            other.services.swap(0, 1);
        }
        other.values.reverse();
        prop_assert_eq!(picture(&resolve(&facts)), picture(&resolve(&other)));
    }

    #[test]
    fn what_has_no_value_is_named_or_refused(facts in any_facts()) {
        let resolution = resolve(&facts);
        for (service, variables) in &resolution.services {
            for variable in variables.iter().filter(|variable| variable.value.is_none()) {
                let is_named = resolution
                    .missing
                    .iter()
                    .any(|missing| missing.service == *service && missing.key == variable.key);
                prop_assert!(is_named || !resolution.problems.is_empty(), "{service} {variable:?}");
            }
        }
    }

    #[test]
    fn no_secret_is_shown_by_debug(facts in any_facts()) {
        let shown = format!("{facts:?} {:?}", resolve(&facts));
        prop_assert!(!shown.contains("kept-secret"));
        prop_assert!(!shown.contains("pass/word") && !shown.contains("pass%2Fword"));
    }

    #[test]
    fn secrets_stay_secret_on_their_way(facts in any_facts()) {
        for variables in resolve(&facts).services.values() {
            for variable in variables {
                let Some(value) = &variable.value else { continue };
                if value.expose_secret().contains("pass/word") {
                    prop_assert!(variable.is_secret, "{variable:?}");
                }
            }
        }
    }
}

#[test]
fn a_chain_as_long_as_a_file_is_followed() {
    let mut env: Vec<EnvVar> =
        (0..50_000).map(|n| copy(&format!("K{n:05}"), "web", &format!("K{:05}", n + 1))).collect();
    env.push(literal("K50000", "end"));
    let resolution = resolve(&facts(vec![service("web", ServiceKind::Web, env)]));
    assert_eq!(value(&resolution, "web", "K00000"), Some("end"));
}

#[test]
fn templates_that_double_end_at_a_limit() {
    let mut env = vec![literal("K00", "0123456789")];
    for n in 1..60 {
        let key = format!("K{:02}", n - 1);
        let parts = vec![part(&key, None, None), part(&key, None, None)];
        env.push(var(&format!("K{n:02}"), EnvSource::Template(parts)));
    }
    let resolution = resolve(&facts(vec![service("web", ServiceKind::Web, env)]));
    assert_eq!(value(&resolution, "web", "K59"), None);
    assert_eq!(value(&resolution, "web", "K13").map(str::len), Some(10 << 13));
    assert_eq!(whys(&resolution)[0], "web.K14: it is longer than a process can be given");
}
