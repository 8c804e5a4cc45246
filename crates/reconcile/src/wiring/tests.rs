//! From declarations to environments, at the boundary of the module.

mod make;
mod missing;
mod properties;
mod size;

use model::{
    DatabaseProperty, EnvGroup, EnvOwner, EnvSource, EnvVar, ServiceKind, ServiceProperty,
    ServiceReference, TemplatePart, ValueOrigin,
};
use secrecy::{ExposeSecret, SecretString};

use self::make::*;
use super::*;

/// The one variable of this name.
fn variable<'a>(resolution: &'a Resolution, service: &str, key: &str) -> &'a Variable {
    let mut all = resolution.services[service].iter().filter(|variable| variable.key == key);
    let found = all.next().unwrap_or_else(|| panic!("{service} has no {key}"));
    assert!(all.next().is_none(), "{service}.{key} stands twice");
    found
}

fn value<'a>(resolution: &'a Resolution, service: &str, key: &str) -> Option<&'a str> {
    variable(resolution, service, key).value.as_ref().map(ExposeSecret::expose_secret)
}

fn whys(resolution: &Resolution) -> Vec<String> {
    let missing = resolution.missing.iter();
    missing.map(|one| format!("{}.{}: {}", one.service, one.key, one.why)).collect()
}

#[test]
fn services_that_read_each_others_address_are_no_circle() {
    let web = service("web", ServiceKind::Web, vec![copy("API", "api", "RENDER_EXTERNAL_URL")]);
    let api = service(
        "api",
        ServiceKind::Web,
        vec![
            copy("WEB", "web", "RENDER_EXTERNAL_URL"),
            copy("SELF", "api", "RENDER_EXTERNAL_HOSTNAME"),
            copy("RENDER_EXTERNAL_URL", "api", "RENDER_EXTERNAL_URL"),
        ],
    );
    let resolution = resolve(&facts(vec![web, api]));
    assert_eq!(resolution.problems, []);
    assert_eq!(resolution.missing, []);
    assert_eq!(value(&resolution, "web", "API"), Some("http://api.localhost:8080"));
    assert_eq!(value(&resolution, "api", "WEB"), Some("http://web.localhost:8080"));
    assert_eq!(value(&resolution, "api", "SELF"), Some("api.localhost"));
    assert_eq!(value(&resolution, "api", "RENDER_EXTERNAL_URL"), Some("http://api.localhost:8080"));
    assert_eq!(
        readers(&resolution, "api", "RENDER_EXTERNAL_URL"),
        [("web".to_owned(), "API".to_owned())]
    );
}

#[test]
fn a_true_circle_is_refused_with_its_path_until_a_person_breaks_it() {
    let web = service("web", ServiceKind::Web, vec![copy("A", "api", "B")]);
    let api =
        service("api", ServiceKind::Web, vec![copy("B", "worker", "C"), copy("D", "web", "A")]);
    let worker = service("worker", ServiceKind::Worker, vec![copy("C", "web", "A")]);
    let mut facts = facts(vec![web, api, worker]);
    let resolution = resolve(&facts);
    assert_eq!(resolution.problems.len(), 1);
    let problem = &resolution.problems[0];
    assert_eq!(problem.code, "env-circle");
    assert_eq!(
        problem.message,
        "these variables copy each other in a circle: api.B → worker.C → web.A → api.B"
    );
    assert!(problem.hint.as_deref().is_some_and(|hint| hint.contains("--set api.B=…")));
    assert_eq!(whys(&resolution), ["api.D: it is made of web.A, which has no value"]);

    facts.values.push(stored(of("worker"), "C", "x", ValueOrigin::Operator));
    let resolution = resolve(&facts);
    assert_eq!(resolution.problems, []);
    assert_eq!(value(&resolution, "api", "D"), Some("x"));
}

#[test]
fn all_properties_say_what_render_says() {
    let env = vec![
        from_database("URL", "db", DatabaseProperty::ConnectionString),
        from_database("POOL", "db", DatabaseProperty::ConnectionPoolString),
        from_database("DB_HOST", "db", DatabaseProperty::Host),
        from_database("DB_PORT", "db", DatabaseProperty::Port),
        from_database("DB_USER", "db", DatabaseProperty::User),
        from_database("DB_SECRET", "db", DatabaseProperty::Password),
        from_database("DB_NAME", "db", DatabaseProperty::Database),
        property("CACHE", "cache", ServiceProperty::ConnectionString),
        property("CACHE_AT", "cache", ServiceProperty::HostPort),
        property("API_HOST", "api", ServiceProperty::Host),
        property("API_PORT", "api", ServiceProperty::Port),
        property("API_AT", "api", ServiceProperty::HostPort),
        property("SITE", "site", ServiceProperty::Host),
        // Mistakes of real files that have one meaning only.
        property("DB_AS_SERVICE", "db", ServiceProperty::ConnectionString),
        from_database("REDIS_AS_DB", "cache", DatabaseProperty::ConnectionString),
    ];
    let mut facts = facts(vec![
        service("web", ServiceKind::Web, env),
        service("api", ServiceKind::Private, vec![literal("PORT", "4000")]),
        service("site", ServiceKind::Static, Vec::new()),
    ]);
    facts.databases.push(database("db"));
    facts.key_values.push(key_value("cache"));
    let resolution = resolve(&facts);
    let url = "postgresql://shop:pass%2Fword@dpg-1:5432/shop%20db";
    for (key, expected) in [
        ("URL", url),
        ("POOL", url),
        ("DB_HOST", "dpg-1"),
        ("DB_PORT", "5432"),
        ("DB_USER", "shop"),
        ("DB_SECRET", "pass/word"),
        ("DB_NAME", "shop db"),
        ("CACHE", "redis://red-1:6379"),
        ("CACHE_AT", "red-1:6379"),
        ("API_HOST", "api"),
        ("API_PORT", "4000"),
        ("API_AT", "api:4000"),
        ("SITE", "site.localhost"),
        ("DB_AS_SERVICE", url),
        ("REDIS_AS_DB", "redis://red-1:6379"),
    ] {
        assert_eq!(value(&resolution, "web", key), Some(expected), "{key}");
    }
    assert_eq!(resolution.missing, []);
    assert!(variable(&resolution, "web", "POOL").is_secret);
    assert!(!variable(&resolution, "web", "DB_USER").is_secret);

    facts.key_values[0].password = Some("p".into());
    facts.services[1].seen_port = Some(5555);
    let resolution = resolve(&facts);
    assert_eq!(value(&resolution, "web", "CACHE"), Some("redis://default:p@red-1:6379"));
    assert!(variable(&resolution, "web", "CACHE").is_secret);
    assert_eq!(value(&resolution, "web", "API_AT"), Some("api:5555"));
}

#[test]
fn the_platform_speaks_of_itself() {
    let mut web = service("web", ServiceKind::Web, Vec::new());
    web.git = Some(GitFacts {
        branch: "main".to_owned(),
        commit: "c".repeat(40),
        repo_slug: Some("me/shop".to_owned()),
        tag: Some("v1".to_owned()),
    });
    web.defaults.push(LanguageDefault {
        key: "NODE_ENV".to_owned(),
        value: "production".to_owned(),
        phase: Phase::Run,
    });
    let worker = service("worker", ServiceKind::Worker, Vec::new());
    let facts = Facts {
        cpu_count: 64,
        operator_env: vec![
            ("HTTPS_PROXY".to_owned(), "http://proxy:3128".to_owned()),
            ("NODE_ENV".to_owned(), "for-builds".to_owned()),
            ("RENDER".to_owned(), "not this one".to_owned()),
        ],
        ..facts(vec![web, worker])
    };
    let resolution = resolve(&facts);
    let said: Vec<String> = resolution.services["web"]
        .iter()
        .map(|variable| {
            let value = variable.value.as_ref().map_or("", |value| value.expose_secret());
            format!("{} {value} [{}, {}]", variable.key, variable.phase, variable.origin)
        })
        .collect();
    let commit = format!("RENDER_GIT_COMMIT {} [both, platform]", "c".repeat(40));
    let id = format!("RENDER_SERVICE_ID {} [both, platform]", facts.services[0].id);
    assert_eq!(
        said,
        [
            "HTTPS_PROXY http://proxy:3128 [both, operator's environment]",
            "IS_PULL_REQUEST false [both, platform]",
            "NODE_ENV production [run, default of the runtime]",
            "NODE_ENV for-builds [build, operator's environment]",
            "PORT 10000 [run, platform]",
            "RENDER true [both, platform]",
            "RENDER_CPU_COUNT 2 [both, platform]",
            "RENDER_DISCOVERY_SERVICE web-discovery [both, platform]",
            "RENDER_EXTERNAL_HOSTNAME web.localhost [both, platform]",
            "RENDER_EXTERNAL_URL http://web.localhost:8080 [both, platform]",
            "RENDER_GIT_BRANCH main [both, platform]",
            &commit,
            "RENDER_GIT_REPO_SLUG me/shop [both, platform]",
            &id,
            "RENDER_SERVICE_NAME web [both, platform]",
            "RENDER_SERVICE_TYPE web [both, platform]",
            "RENDER_WEB_CONCURRENCY 2 [run, platform]",
            "WEB_CONCURRENCY 2 [run, platform]",
        ]
    );
    let keys: Vec<&str> =
        resolution.services["worker"].iter().map(|variable| variable.key.as_str()).collect();
    assert!(!keys.contains(&"PORT") && !keys.contains(&"RENDER_EXTERNAL_URL"), "{keys:?}");
}

#[test]
fn the_nearest_source_wins() {
    let mut web = service(
        "web",
        ServiceKind::Web,
        vec![
            literal("A", "own"),
            literal("PORT", "4000"),
            var("E", EnvSource::Ask),
            literal("F", "1"),
            literal("F", "2"),
        ],
    );
    web.service.groups = vec!["newer".to_owned(), "older".to_owned()];
    let mut facts = facts(vec![web]);
    facts.groups = vec![
        group(
            "older",
            vec![
                literal("A", "older"),
                literal("B", "older"),
                literal("C", "older"),
                literal("E", "older"),
            ],
        ),
        group("newer", vec![literal("B", "newer"), literal("D", "newer")]),
    ];
    facts.values = vec![
        stored(EnvOwner::Group("newer".to_owned()), "D", "by hand", ValueOrigin::Operator),
        stored(EnvOwner::Group("newer".to_owned()), "G", "by hand", ValueOrigin::Operator),
        stored(of("web"), "C", "by hand", ValueOrigin::Operator),
        stored(of("web"), "NEW", "by hand", ValueOrigin::Operator),
        stored(of("web"), "A", "was generated once", ValueOrigin::Generated),
    ];
    let resolution = resolve(&facts);
    for (key, expected, origin) in [
        ("A", "own", "file"),
        ("B", "newer", "group newer: file"),
        ("C", "by hand", "set by hand"),
        ("D", "by hand", "group newer: set by hand"),
        ("E", "older", "group older: file"),
        ("F", "2", "file"),
        ("G", "by hand", "group newer: set by hand"),
        ("NEW", "by hand", "set by hand"),
        ("PORT", "4000", "file"),
    ] {
        let found = variable(&resolution, "web", key);
        assert_eq!(value(&resolution, "web", key), Some(expected), "{key}");
        assert_eq!(found.origin.to_string(), origin, "{key}");
    }
    assert_eq!(resolution.missing, []);
}

#[test]
fn generated_values_are_wanted_once_and_copied_as_secrets() {
    let web = service("web", ServiceKind::Web, vec![copy("SIGN", "api", "JWT")]);
    let mut api = service("api", ServiceKind::Web, vec![var("JWT", EnvSource::Generate)]);
    api.service.groups.push("shared".to_owned());
    let mut facts = facts(vec![web, api]);
    facts.groups.push(group("shared", vec![var("SHARED", EnvSource::Generate)]));
    let shared = EnvOwner::Group("shared".to_owned());
    assert_eq!(
        wanted_secrets(&facts),
        [(of("api"), "JWT".to_owned()), (shared.clone(), "SHARED".to_owned())]
    );
    let before = resolve(&facts);
    assert_eq!(
        whys(&before),
        [
            "api.JWT: it is generated with the first deploy",
            "api.SHARED: it is generated with the first deploy",
            "web.SIGN: it is made of api.JWT, which has no value",
        ]
    );
    facts.values.push(stored(of("api"), "JWT", "abc", ValueOrigin::Generated));
    facts.values.push(stored(shared, "SHARED", "def", ValueOrigin::Generated));
    assert_eq!(wanted_secrets(&facts), []);
    let resolution = resolve(&facts);
    assert_eq!(resolution.missing, []);
    let sign = variable(&resolution, "web", "SIGN");
    assert_eq!(sign.origin, Origin::Copy { service: "api".to_owned(), key: "JWT".to_owned() });
    assert!(sign.is_secret);
    assert_eq!(value(&resolution, "web", "SIGN"), Some("abc"));
    assert_eq!(
        variable(&resolution, "api", "SHARED").origin.to_string(),
        "group shared: generated once"
    );
    assert_eq!(readers(&resolution, "api", "JWT"), [("web".to_owned(), "SIGN".to_owned())]);
}

#[test]
fn templates_are_put_together() {
    let text = |text: &str| TemplatePart::Text(text.to_owned());
    let api_url = TemplatePart::Service { name: "api".to_owned(), property: ServiceProperty::Url };
    let password =
        TemplatePart::Database { name: "db".to_owned(), property: DatabaseProperty::Password };
    let template = |key: &str, parts: Vec<TemplatePart>| var(key, EnvSource::Template(parts));
    let mut web = service(
        "web",
        ServiceKind::Web,
        vec![
            template(
                "VERSION",
                vec![
                    part("RENDER_GIT_TAG", Some("preview"), None),
                    text("-"),
                    part("RENDER_GIT_COMMIT", None, Some((0, 7))),
                ],
            ),
            template("GRAPHQL", vec![api_url, text("/graphql")]),
            template("PORT", vec![part("PORT", Some("3000"), None)]),
            template("CONNECT", vec![text("x:"), password]),
            template("NOTHING", vec![part("NOBODY", None, None)]),
            template("EMPTY", vec![part("BLANK", Some("d"), None)]),
            literal("BLANK", ""),
        ],
    );
    web.git = Some(GitFacts {
        branch: String::new(),
        commit: "0123456789".repeat(4),
        repo_slug: None,
        tag: None,
    });
    let mut facts = facts(vec![web, service("api", ServiceKind::Web, Vec::new())]);
    facts.databases.push(database("db"));
    let resolution = resolve(&facts);
    for (key, expected) in [
        ("VERSION", Some("preview-0123456")),
        ("GRAPHQL", Some("http://api.localhost:8080/graphql")),
        ("PORT", Some("10000")),
        ("CONNECT", Some("x:pass/word")),
        ("NOTHING", None),
        ("EMPTY", Some("d")),
    ] {
        assert_eq!(value(&resolution, "web", key), expected, "{key}");
    }
    assert!(variable(&resolution, "web", "CONNECT").is_secret);
    assert_eq!(whys(&resolution), ["web.NOTHING: it is made of web.NOBODY, which has no value"]);
    assert_eq!(readers(&resolution, "web", "BLANK"), [("web".to_owned(), "EMPTY".to_owned())]);

    if let Some(git) = &mut facts.services[0].git {
        git.tag = Some("v2".to_owned());
    }
    let resolution = resolve(&facts);
    assert_eq!(value(&resolution, "web", "VERSION"), Some("v2-0123456"));
    let has_tag = resolution.services["web"].iter().any(|one| one.key == "RENDER_GIT_TAG");
    assert!(!has_tag, "no variable of Render's: only understood");
}

#[test]
fn what_belongs_to_no_environment_is_found_last() {
    let web = service(
        "web",
        ServiceKind::Web,
        vec![
            copy("TOKEN", "auth", "TOKEN"),
            property("API", "api", ServiceProperty::HostPort),
            from_database("DB", "shared", DatabaseProperty::Host),
        ],
    );
    let mut own_api = service("api", ServiceKind::Private, Vec::new());
    own_api.host = "own".to_owned();
    let mut root = facts(vec![
        service(
            "auth",
            ServiceKind::Web,
            vec![copy("TOKEN", "auth", "SOURCE"), literal("SOURCE", "t")],
        ),
        service("api", ServiceKind::Private, Vec::new()),
    ]);
    root.databases.push(database("shared"));
    let mut facts = facts(vec![web, own_api]);
    facts.root = Some(std::sync::Arc::new(root));
    let resolution = resolve(&facts);
    assert_eq!(value(&resolution, "web", "TOKEN"), Some("t"));
    assert_eq!(value(&resolution, "web", "API"), Some("own:10000"));
    assert_eq!(value(&resolution, "web", "DB"), Some("dpg-1"));
    assert_eq!(resolution.services.keys().collect::<Vec<_>>(), ["api", "web"]);
}

#[test]
fn previews_take_their_own_values() {
    let mut variable = literal("MODE", "production");
    variable.preview_value = Some("preview".to_owned());
    let mut facts = facts(vec![service("web", ServiceKind::Web, vec![variable])]);
    assert_eq!(value(&resolve(&facts), "web", "MODE"), Some("production"));
    facts.is_pull_request = true;
    let resolution = resolve(&facts);
    assert_eq!(value(&resolution, "web", "MODE"), Some("preview"));
    assert_eq!(value(&resolution, "web", "IS_PULL_REQUEST"), Some("true"));
}

#[test]
fn shared_host_ports_are_told_to_all() {
    let mut api = service("api", ServiceKind::Private, Vec::new());
    api.assigned_port = Some(20_001);
    let web = service("web", ServiceKind::Web, vec![property("API", "api", ServiceProperty::Port)]);
    let mut facts = facts(vec![api, web]);
    let resolution = resolve(&facts);
    assert_eq!(value(&resolution, "api", "PORT"), Some("20001"));
    assert_eq!(value(&resolution, "web", "API"), Some("20001"));
    facts.values.push(stored(of("api"), "PORT", "9000", ValueOrigin::Operator));
    let resolution = resolve(&facts);
    assert_eq!(value(&resolution, "api", "PORT"), Some("9000"));
    assert_eq!(value(&resolution, "web", "API"), Some("9000"));
}

#[test]
fn a_sealed_variable_comes_back_and_debug_shows_no_secret() {
    let one = Variable {
        key: "K".to_owned(),
        value: Some(SecretString::from("very-secret")),
        origin: Origin::Group { name: "g".to_owned(), from: Box::new(Origin::Generated) },
        is_secret: true,
        phase: Phase::Run,
    };
    assert!(!format!("{one:?}").contains("very-secret"));
    assert_eq!(mask("very-secret"), mask(""));
    let json = serde_json::to_string(&one).unwrap();
    let back: Variable = serde_json::from_str(&json).unwrap();
    assert_eq!(back.value.as_ref().map(|value| value.expose_secret()), Some("very-secret"));
    assert_eq!(
        (back.key, back.origin, back.is_secret, back.phase),
        (one.key, one.origin, one.is_secret, one.phase)
    );
}
