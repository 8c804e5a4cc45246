//! What is refused, and what is repaired.

use blueprint::compose::{Input, read};
use blueprint::{Mode, Severity};

use super::support::{one, settled, understood};

#[test]
fn what_would_need_the_host_is_refused_with_a_way_out() {
    insta::assert_snapshot!(understood(&one(
        "services:\n  a: {image: x, privileged: true}\n  b: {image: x, volumes: ['/var/run/docker.sock:/var/run/docker.sock', '/etc:/host', '../up:/up']}\n  c: {image: x, network_mode: 'service:a'}\n  d: {image: x, cap_add: [ALL], sysctls: {vm.max_map_count: 1}}\n  e: {image: x, privileged: false, network_mode: host}\n  f: {build: ../../elsewhere}\n"
    )), @r"
    refused
    compose.yaml:2:6 repair service-left-out: `a` is left out, the rest runs: `privileged`: no instance gets the rights of the host
    compose.yaml:2:17 note field-refused: `privileged`: no instance gets the rights of the host
    compose.yaml:3:6 repair service-left-out: `b` is left out, the rest runs: the socket of Docker's daemon cannot be mounted: there is no such daemon here
    compose.yaml:3:27 note host-path: the socket of Docker's daemon cannot be mounted: there is no such daemon here
    compose.yaml:3:72 note host-path: a bind of a path of the host that lies outside the project
    compose.yaml:3:86 note host-path: a bind of a path of the host that lies outside the project
    compose.yaml:4:6 repair service-left-out: `c` is left out, the rest runs: `network_mode: service:a`: it would have to start again with each instance of `a`, and a deploy starts the new one beside the old
    compose.yaml:4:17 note field-translated: `network_mode`: every instance has a network namespace of its own, in the network of its environment (2 places)
    compose.yaml:4:31 note field-refused: `network_mode: service:a`: it would have to start again with each instance of `a`, and a deploy starts the new one beside the old
    compose.yaml:5:6 repair service-left-out: `d` is left out, the rest runs: `cap_add: ALL`: no instance gets the rights of the host
    compose.yaml:5:26 note field-refused: `cap_add: ALL`: no instance gets the rights of the host
    compose.yaml:5:42 note field-refused: the kernel setting `vm.max_map_count` belongs to the whole host
    compose.yaml:7:14 error path-outside-repository: the build context lies outside the project
    ");
}

#[test]
fn one_service_that_is_refused_leaves_the_rest_running() {
    let text = "services:\n  proxy: {image: traefik, volumes: ['/var/run/docker.sock:/var/run/docker.sock']}\n  vpn: {image: v}\n  client: {image: c, network_mode: 'service:vpn'}\n  after: {image: d, depends_on: [client]}\n  later: {image: l, links: [after]}\n  web: {image: w, depends_on: {proxy: {condition: service_started, required: false}}}\n  probe: {image: p, privileged: true}\n  db: {image: 'postgres:16'}\n";
    insta::assert_snapshot!(understood(&one(text)), @r#"
    database db postgres/postgres postgres 16 1c-1g password=false as=["db"] ports=0 init=[] []
    service vpn worker v no limit
    service web worker w no limit
    compose.yaml:2:10 repair service-left-out: `proxy` is left out, the rest runs: the socket of Docker's daemon cannot be mounted: there is no such daemon here
    compose.yaml:2:37 note host-path: the socket of Docker's daemon cannot be mounted: there is no such daemon here
    compose.yaml:4:11 repair service-left-out: `client` is left out, the rest runs: `network_mode: service:vpn`: it would have to start again with each instance of `vpn`, and a deploy starts the new one beside the old
    compose.yaml:4:22 note field-translated: `network_mode`: every instance has a network namespace of its own, in the network of its environment
    compose.yaml:4:36 note field-refused: `network_mode: service:vpn`: it would have to start again with each instance of `vpn`, and a deploy starts the new one beside the old
    compose.yaml:5:10 repair service-left-out: `after` is left out, the rest runs: it waits for `client`, which does not run
    compose.yaml:6:10 repair service-left-out: `later` is left out, the rest runs: it waits for `after`, which does not run
    compose.yaml:6:21 note field-translated: `links`: all services of a project reach each other by name; an alias becomes one more name
    compose.yaml:8:10 repair service-left-out: `probe` is left out, the rest runs: `privileged`: no instance gets the rights of the host
    compose.yaml:8:21 note field-refused: `privileged`: no instance gets the rights of the host
    compose.yaml:9:15 note managed-store: `db` runs as managed PostgreSQL 16 instead of the image `postgres:16`; its data and its health are Gable's matter
    "#);
    let strict = Input { mode: Mode::Strict, ..one(text) };
    let reading = settled(&strict);
    let errors = reading.problems.iter().filter(|it| it.severity == Severity::Error);
    let errors: Vec<&str> = errors.map(|it| it.code.name()).collect();
    assert!(reading.blueprint.is_none());
    assert_eq!(
        errors,
        [
            "service-left-out",
            "host-path",
            "service-left-out",
            "field-refused",
            "service-left-out",
            "service-left-out",
            "service-left-out",
            "field-refused",
        ]
    );
}

#[test]
fn a_file_of_which_nothing_would_run_is_refused() {
    insta::assert_snapshot!(understood(&one(
        "services:\n  a: {image: x, privileged: true}\n  b: {image: x, depends_on: [a]}\n"
    )), @r"
    refused
    compose.yaml:2:6 error service-left-out: `a` cannot run: `privileged`: no instance gets the rights of the host
    compose.yaml:2:17 error field-refused: `privileged`: no instance gets the rights of the host
    compose.yaml:3:6 error service-left-out: `b` cannot run: it waits for `a`, which does not run
    ");
}

#[test]
fn references_lead_somewhere() {
    insta::assert_snapshot!(understood(&one(
        "services:\n  web: {image: x, depends_on: [dbb], networks: [front], volumes: ['dta:/data'], secrets: [key], configs: [conf]}\n  db: {image: x}\nvolumes: {data: }\n"
    )), @r"
    refused
    compose.yaml:2:32 error not-declared: there is no service `dbb`
    compose.yaml:2:38 note field-translated: `networks`: all services of a project share one private network; aliases become names in it
    compose.yaml:2:48 error not-declared: there is no network `front`
    compose.yaml:2:67 error not-declared: there is no volume `dta`
    compose.yaml:2:91 error not-declared: there is no secret `key`
    compose.yaml:2:107 error not-declared: there is no config `conf`
    ");
}

#[test]
fn circles_of_dependencies_name_their_way() {
    insta::assert_snapshot!(understood(&one(
        "services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x, depends_on: [c]}\n  c: {image: x, depends_on: [b], links: [d]}\n  d: {image: x, depends_on: [d]}\n"
    )), @r"
    refused
    compose.yaml:2:17 error dependency-circle: services wait for each other: b → c → b
    compose.yaml:4:34 note field-translated: `links`: all services of a project reach each other by name; an alias becomes one more name
    compose.yaml:5:30 error dependency-circle: `d` waits for itself
    ");
}

#[test]
fn one_port_of_the_host_has_one_owner() {
    insta::assert_snapshot!(understood(&one(
        "services:\n  a: {image: x, ports: ['80:80', '127.0.0.1:90:90', '53:53/udp']}\n  b: {image: x, ports: ['80:8080', '127.0.0.2:90:90', '53:53']}\n  db: {image: 'postgres:16', ports: ['80:5432']}\n"
    )), @r"
    refused
    compose.yaml:2:17 note field-translated: `ports`: HTTP goes through Gable's edge, so that a deploy drops no request; other TCP ports are listened on for the service (3 places)
    compose.yaml:2:17 note field-later: `ports`: datagrams (UDP) are not passed on yet
    compose.yaml:3:17 error port-published-twice: `b` and `a` both publish port 80
    compose.yaml:4:15 note managed-store: `db` runs as managed PostgreSQL 16 instead of the image `postgres:16`; its data and its health are Gable's matter
    compose.yaml:4:30 error port-published-twice: `db` and `a` both publish port 80
    ");
}

#[test]
fn what_is_evidently_meant_is_repaired() {
    insta::assert_snapshot!(understood(&one(
        "verion: '2'\nservices:\n  a:\n    image: x\n    enviroment: {A: 1}\n    dependsOn: [b]\n    restart: sometimes\n    frobnicate: 1\n    ports: 8080:80\n    healthcheck: {test: [curl, x], intervall: 10}\n    image: y\n  b:\n\timage: x\n"
    )), @r"
    refused
    compose.yaml:1:1 repair field-spelling: there is no field `verion`; read as `version` [fix]
    compose.yaml:1:1 note field-not-applicable: `version`: the specification has done away with it
    compose.yaml:5:5 repair field-spelling: there is no field `enviroment`; read as `environment` [fix]
    compose.yaml:6:5 repair field-spelling: there is no field `dependsOn`; read as `depends_on` [fix]
    compose.yaml:7:14 repair unknown-value: there is no restart policy `sometimes`; read as `always`
    compose.yaml:8:5 repair unknown-field: there is no field `frobnicate` here; it was ignored
    compose.yaml:9:5 note field-translated: `ports`: HTTP goes through Gable's edge, so that a deploy drops no request; other TCP ports are listened on for the service
    compose.yaml:9:12 repair not-a-list: `ports` has to be a list; read as a list of one
    compose.yaml:10:25 repair value-spelling: a `test` begins with `CMD`, `CMD-SHELL` or `NONE`; read as `CMD`
    compose.yaml:10:36 repair field-spelling: there is no field `intervall`; read as `interval` [fix]
    compose.yaml:10:47 repair value-spelling: `10` has no unit; read as seconds
    compose.yaml:11:5 repair duplicate-key: `image` stands twice; the last one counts
    compose.yaml:12:4 error wrong-shape: `b` has to be a mapping, and is nothing
    compose.yaml:13:1 repair tabs: 1 line is indented with tabs, which YAML forbids [fix]
    compose.yaml:13:9 error wrong-shape: `image` has to be a mapping, and is a text
    ");
    insta::assert_snapshot!(understood(&one("web:\n  image: x\n  ports: ['80:80']\ndb: {build: .}\n")), @r"
    service web web x no limit
      port *:80>80 http
    service db worker Dockerfile in . no limit
    compose.yaml:1:1 repair missing-field: services stand at the root of the file; read as those of `services`
    compose.yaml:3:3 note field-translated: `ports`: HTTP goes through Gable's edge, so that a deploy drops no request; other TCP ports are listened on for the service
    ");
}

#[test]
fn values_that_nobody_understands_are_errors_at_their_place() {
    insta::assert_snapshot!(understood(&one(
        "services:\n  a:\n    image: x\n    ports: ['http', '70000:80']\n    mem_limit: lots\n    cpus: many\n    command: \"it's\"\n    read_only: perhaps\n    healthcheck: {test: x, interval: soon}\n    extra_hosts: ['a:b']\n    volumes: ['a:b']\n    ulimits: {nofile: x}\n    environment: text\n    deploy: {replicas: -1}\n  b: {}\n  c: text\n  'd e': {image: x}\n"
    )), @r"
    refused
    compose.yaml:4:5 note field-translated: `ports`: HTTP goes through Gable's edge, so that a deploy drops no request; other TCP ports are listened on for the service
    compose.yaml:4:13 error bad-value: `http` is no port
    compose.yaml:4:21 error bad-value: `70000:80` is no port
    compose.yaml:5:16 error bad-value: `lots` is no size
    compose.yaml:6:11 error bad-value: `many` is no number of cores
    compose.yaml:7:14 error bad-value: `command` has a quote that is not closed
    compose.yaml:8:16 error bad-value: `perhaps` is neither true nor false
    compose.yaml:9:38 error bad-value: `soon` is no duration
    compose.yaml:10:18 error bad-value: the host `a` of `extra_hosts` has no address
    compose.yaml:11:15 error bad-value: `a:b` does not say where the container sees it
    compose.yaml:12:23 error bad-value: `x` is no number from 0 to 18446744073709551615
    compose.yaml:13:18 error wrong-shape: `environment` has to be a mapping or a list of pairs, and is a text
    compose.yaml:14:24 error bad-value: `-1` is no number from 0 to 1000
    compose.yaml:15:6 error missing-image: service `b` names neither an image nor a build
    compose.yaml:16:6 error wrong-shape: `c` has to be a mapping, and is a text
    compose.yaml:17:3 error bad-value: `d e` is no name of a service
    ");
    for text in
        ["", "services:", "services: []", "[]", "x", "services: {a: {image: x, profiles: [p]}}"]
    {
        assert!(understood(&one(text)).starts_with("refused"), "{text}");
    }
}

#[test]
fn a_value_that_is_wrong_for_a_variable_without_value_names_the_variable() {
    insta::assert_snapshot!(understood(&one(
        "services:\n  a: {image: $TAG}\n  b: {image: 'registry.example/b:${VERSION}'}\n  c: {image: x, stop_grace_period: '${GRACE}x'}\n  d: {build: '${FOLDER}'}\n  e: {image: x, volumes: ['${DATA}:/data']}\n  f: {image: x, mem_limit: $MEMORY}\n"
    )), @r"
    refused
    compose.yaml:2:14 error bad-value: `$TAG` names no image: the variable `TAG` has no value
    compose.yaml:2:14 note variable-unset: 6 variables have no value and no default: `DATA`, `FOLDER`, `GRACE`, `MEMORY`, `TAG`, `VERSION`
    compose.yaml:4:36 error bad-value: `${GRACE}x` is no duration: the variable `GRACE` has no value
    compose.yaml:5:14 error bad-value: the build context is an empty path: the variable `FOLDER` has no value
    compose.yaml:6:27 error bad-value: the mount has no source: the variable `DATA` has no value
    compose.yaml:7:28 error bad-value: `$MEMORY` is no size: the variable `MEMORY` has no value
    ");
}

#[test]
fn a_file_that_only_adds_to_another_one_asks_for_both() {
    let mut input = one("services:\n  web: {ports: ['80:80']}\n");
    assert!(!hints(&input).contains("name both"), "{}", hints(&input));
    input.files[0].0 = "compose.prod.yaml".to_owned();
    insta::assert_snapshot!(hints(&input), @"`compose.prod.yaml` seems to add to another file: name both, `-f compose.yaml -f compose.prod.yaml`; or add `image` or `build`");
}

#[test]
fn a_key_is_taken_for_a_field_only_when_its_value_fits() {
    insta::assert_snapshot!(understood(&one(
        "services:\n  a:\n    image: x\n    cpuss: 0.5\n    cpusx: many\n    secretz: token\n    hostnames: [a, b]\n    enviroment: {A: b}\n    read_onl: 5\n"
    )), @r#"
    service a worker x 0.5c
      A = "b"
    compose.yaml:4:5 repair field-spelling: there is no field `cpuss`; read as `cpus` [fix]
    compose.yaml:5:5 repair unknown-field: there is no field `cpusx` here; it was ignored
    compose.yaml:6:5 repair unknown-field: there is no field `secretz` here; it was ignored
    compose.yaml:7:5 repair unknown-field: there is no field `hostnames` here; it was ignored
    compose.yaml:8:5 repair field-spelling: there is no field `enviroment`; read as `environment` [fix]
    compose.yaml:9:5 repair unknown-field: there is no field `read_onl` here; it was ignored
    "#);
}

fn hints(input: &Input) -> String {
    let reading = read(input);
    reading
        .problems
        .iter()
        .filter_map(|finding| finding.hint.clone())
        .collect::<Vec<_>>()
        .join("\n")
}
