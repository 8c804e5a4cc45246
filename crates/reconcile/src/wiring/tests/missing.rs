//! What has no value: named with its reason and what to do.

use super::*;

#[test]
fn what_nobody_gives_stays_unset_and_is_named_with_what_to_do() {
    let mut web = service(
        "web",
        ServiceKind::Web,
        vec![
            var("STRIPE", EnvSource::Ask),
            from_database("URL", "nodb", DatabaseProperty::ConnectionString),
            property("WORKER_URL", "cron", ServiceProperty::Url),
            copy("COPY", "web", "STRIPE"),
            copy("LOST", "nobody", "KEY"),
            literal("A=B", "x"),
            literal("BIG", &"x".repeat(200_000)),
        ],
    );
    web.service.groups.push("dashboard".to_owned());
    let mut facts = facts(vec![web, service("cron", ServiceKind::Cron, Vec::new())]);
    let mut elsewhere = Elsewhere::default();
    elsewhere.note("staging", "nodb");
    facts.elsewhere = std::sync::Arc::new(elsewhere);
    let resolution = resolve(&facts);
    assert_eq!(
        whys(&resolution),
        [
            "web.*: the group `dashboard` is not declared",
            "web.A=B: its name or value cannot be passed to a process",
            "web.BIG: it is longer than a process can be given",
            "web.COPY: it is made of web.STRIPE, which has no value",
            "web.LOST: the service `nobody` is not declared",
            "web.STRIPE: `sync: false`, and nobody has given a value yet",
            "web.URL: the database `nodb` is not declared",
            "web.WORKER_URL: `cron` has no url",
        ]
    );
    let url = resolution.missing.iter().find(|missing| missing.key == "URL").unwrap();
    assert_eq!(
        url.hint,
        "there is one in `staging`, which is kept apart from this environment; declare `nodb`, or \
         give it with `--set web.URL=…`; without a value it stays unset"
    );
    assert_eq!(url.set_with, "--set web.URL=…");
    assert_eq!(value(&resolution, "web", "STRIPE"), None);
    assert_eq!(variable(&resolution, "web", "STRIPE").origin, Origin::Asked);
    let can_be_given: Vec<&str> = resolution
        .missing
        .iter()
        .filter(|missing| missing.can_be_given())
        .map(|missing| missing.key.as_str())
        .collect();
    assert_eq!(can_be_given, ["COPY", "LOST", "STRIPE", "URL", "WORKER_URL"]);
    assert_eq!(resolution.problems, []);
}

#[test]
fn values_of_an_undeclared_group_can_be_given_by_hand() {
    let mut web = service("web", ServiceKind::Web, Vec::new());
    web.service.groups.push("dashboard".to_owned());
    let mut facts = facts(vec![web]);
    let owner = EnvOwner::Group("dashboard".to_owned());
    facts.values.push(stored(owner, "KEY", "v", ValueOrigin::Operator));
    let resolution = resolve(&facts);
    assert_eq!(resolution.missing, []);
    assert_eq!(value(&resolution, "web", "KEY"), Some("v"));
}
