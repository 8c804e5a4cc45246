//! What a service of a compose file becomes.

use blueprint::compose::explain;
use model::{RestartPolicy, Runtime, UpdateOrder};

use super::support::{one, service, understood};

#[test]
fn ports_say_what_a_service_is() {
    insta::assert_snapshot!(understood(&one(
        "services:\n  web: {image: nginx, ports: ['8080:80', '127.0.0.1:9443:443']}\n  tcp: {image: rabbitmq, ports: ['5672:5672']}\n  own: {image: broker, ports: ['1234:1234'], x-gable: {protocol: tcp}}\n  inner: {image: api, expose: ['3000', 4000-4001]}\n  job: {image: job}\n  dns: {image: dns, ports: ['53:53/udp']}\n  long:\n    image: x\n    ports:\n      - {target: 80, published: '8000', host_ip: 0.0.0.0, protocol: tcp, mode: host}\n      - {target: 9999, app_protocol: mqtt}\n"
    )), @r"
    service web web nginx no limit
      port *:8080>80 http
      port 127.0.0.1:9443>443 http
    service tcp pserv rabbitmq no limit
      port *:5672>5672 tcp
    service own pserv broker no limit
      port *:1234>1234 tcp
    service inner pserv api no limit
    service job worker job no limit
    service dns pserv dns no limit
      port *:53>53 udp
    service long web x no limit
      port 0.0.0.0:8000>80 http
      port *:any>9999 tcp
    compose.yaml:2:23 note field-translated: `ports`: HTTP goes through Gable's edge, so that a deploy drops no request; other TCP ports are listened on for the service (5 places)
    compose.yaml:7:21 note field-later: `ports`: datagrams (UDP) are not passed on yet
    compose.yaml:11:74 note field-not-applicable: `mode`: there is one machine, so nothing is placed
    ");
}

#[test]
fn variables_come_from_the_service_its_files_and_outside() {
    let mut input = one(
        "services:\n  a:\n    image: x\n    env_file: [a.env, {path: none.env, required: false}]\n    environment:\n      OWN: 1\n      GIVEN:\n      ASKED:\n      WHOLE: ${NOWHERE}\n      PART: x${NOWHERE}\n      FROM_FILE: over\n  b:\n    image: x\n    environment: [OWN=a=b, GIVEN, 'ASKED', 'WHOLE=${NOWHERE}']\n",
    );
    input.variables.insert("GIVEN".to_owned(), "given".to_owned());
    let text = "FROM_FILE=file\nONLY_FILE=\"x ${GIVEN}\"\n";
    input.more_files.insert("a.env".to_owned(), Some(text.to_owned()));
    insta::assert_snapshot!(understood(&input), @r#"
    service a worker x no limit
      FROM_FILE = "over"
      ONLY_FILE = "x given"
      OWN = "1"
      GIVEN = "given"
      ASKED = Ask
      WHOLE = Ask
      PART = "x"
    service b worker x no limit
      OWN = "a=b"
      GIVEN = "given"
      ASKED = Ask
      WHOLE = Ask
    compose.yaml:6:7 note env-var-without-value: the variable `ASKED` has no value; it stays unset until it is given one (2 places)
    compose.yaml:9:14 note variable-unset: the variable `NOWHERE` has no value and no default
    "#);
}

#[test]
fn builds_are_described_relative_to_the_project() {
    insta::assert_snapshot!(understood(&one(
        "services:\n  short: {build: ./app}\n  long:\n    image: only/a-name\n    build:\n      context: ./services/api\n      dockerfile: ../docker/api.Dockerfile\n      target: run\n      args: [A=1, B]\n      cache_from: [x]\n  away: {build: 'https://github.com/a/b.git#main:sub'}\n  root: {build: {dockerfile_inline: 'FROM scratch'}}\n"
    )), @r"
    service short worker app/Dockerfile in app no limit
    service long worker services/docker/api.Dockerfile in services/api no limit
    service away worker sub/Dockerfile in sub no limit
    service root worker Dockerfile in . no limit
    compose.yaml:10:7 note field-not-applicable: `cache_from`: the layers of builds are cached by Gable
    ");
    let service = service(&one(
        "services: {a: {build: {context: b, args: {X: 1, Y: }, additional_contexts: {base: ./c, image: 'docker-image://alpine'}}}}",
    ));
    let docker = service.docker.unwrap();
    assert_eq!(service.runtime, Runtime::Docker);
    assert_eq!(docker.args, [("X".to_owned(), Some("1".to_owned())), ("Y".to_owned(), None)]);
    assert_eq!(docker.more_contexts[0], ("base".to_owned(), "c".to_owned()));
    assert!(!docker.are_variables_args);
}

#[test]
fn commands_are_words_and_no_shell() {
    let service = service(&one(
        "services:\n  a:\n    image: x\n    entrypoint: ''\n    command: run --name 'two words' $$HOME && x\n",
    ));
    assert_eq!(service.container.entrypoint, Some(Vec::new()));
    assert_eq!(
        service.container.command.unwrap(),
        ["run", "--name", "two words", "$HOME", "&&", "x"]
    );
}

#[test]
fn health_checks_have_all_their_forms() {
    let check = |text: &str| {
        let input = one(&format!("services: {{a: {{image: x, healthcheck: {text}}}}}"));
        let check = service(&input).container.health_check;
        check.map_or("the image's own".to_owned(), |check| {
            format!(
                "{} every {} for {} x{} after {}/{}",
                check.command.join(" "),
                check.interval_ms,
                check.timeout_ms,
                check.retries,
                check.start_period_ms,
                check.start_interval_ms
            )
        })
    };
    let shown = [
        check("{test: curl -f localhost}"),
        check(
            "{test: [CMD, a, b], interval: 1m30s, timeout: 3s, retries: 5, start_period: 10s, start_interval: 1s}",
        ),
        check("{test: [CMD-SHELL, 'a && b'], interval: 0s}"),
        check("{test: [NONE]}"),
        check("{disable: true}"),
        check("{interval: 5s}"),
        check("{test: [curl, localhost], interval: 20}"),
    ];
    insta::assert_snapshot!(shown.join("\n"), @r"
    /bin/sh -c curl -f localhost every 30000 for 30000 x3 after 0/5000
    a b every 90000 for 3000 x5 after 10000/1000
    /bin/sh -c a && b every 30000 for 30000 x3 after 0/5000
     every 30000 for 30000 x3 after 0/5000
     every 30000 for 30000 x3 after 0/5000
    the image's own
    curl localhost every 20000 for 30000 x3 after 0/5000
    ");
}

#[test]
fn a_service_that_is_awaited_to_end_runs_once_unless_the_file_says_otherwise() {
    let text = |own: &str| {
        format!(
            "services:\n  a: {{image: x{own}}}\n  b: {{image: x, depends_on: {{a: {{condition: service_completed_successfully}}}}}}\n"
        )
    };
    let of = |own: &str| service(&one(&text(own))).container.restart;
    let after_failures = RestartPolicy::OnFailure { max_retries: None };
    assert_eq!(of(""), RestartPolicy::Never);
    assert_eq!(of(", restart: on-failure"), after_failures);
    assert_eq!(of(", restart: always"), RestartPolicy::Always);
}

#[test]
fn restarts_sizes_and_rollouts_are_understood() {
    let of = |text: &str| service(&one(&format!("services: {{a: {{image: x, {text}}}}}")));
    let after_failures = RestartPolicy::OnFailure { max_retries: None };
    assert_eq!(of("tty: true").container.restart, after_failures);
    assert_eq!(of("restart: unless-stopped").container.restart, RestartPolicy::Always);
    assert_eq!(of("restart: no").container.restart, RestartPolicy::Never);
    let three = RestartPolicy::OnFailure { max_retries: Some(3) };
    assert_eq!(of("restart: on-failure:3").container.restart, three);
    let deploy =
        "restart: always, deploy: {restart_policy: {condition: on-failure, max_attempts: 3}}";
    assert_eq!(of(deploy).container.restart, three);

    let size = |text: &str| {
        let size = of(text).instance_type;
        format!("{} {} {}", size.name, size.cpu_millis, size.memory_bytes >> 20)
    };
    assert_eq!(size("tty: true"), "no limit 256000 1048576");
    assert_eq!(size("mem_limit: 512m, cpus: 0.5"), "0.5c-512mb 500 512");
    assert_eq!(size("deploy: {resources: {limits: {memory: 2G, cpus: '2'}}}"), "2c-2g 2000 2048");
    assert_eq!(of("deploy: {replicas: 3}").instances, 3);
    assert_eq!(of("scale: '2', deploy: {replicas: 3}").instances, 2);
    let order = of("deploy: {update_config: {order: start-first}}").container.update_order;
    assert_eq!(order, Some(UpdateOrder::StartFirst));
    assert_eq!(of("stop_grace_period: 1m30s").max_shutdown_delay_seconds, 90);
    assert_eq!(of("stop_grace_period: 1h").max_shutdown_delay_seconds, 300);
    assert_eq!(of("tty: true").max_shutdown_delay_seconds, 10);
}

#[test]
fn the_rest_of_a_container_is_kept() {
    let service = service(&one(
        "services:\n  a:\n    image: x\n    platform: linux/arm64\n    user: '1000:1000'\n    group_add: [docker, 44]\n    working_dir: /srv\n    hostname: box\n    stop_signal: SIGQUIT\n    cap_add: [CAP_NET_ADMIN, sys_ptrace]\n    cap_drop: [ALL]\n    ulimits: {nproc: 100, nofile: {soft: 10, hard: -1}}\n    sysctls: {net.core.somaxconn: 1024}\n    shm_size: 256mb\n    pids_limit: 50\n    read_only: 'true'\n    extra_hosts: ['host.docker.internal:host-gateway', 'six=[::1]']\n    security_opt: ['no-new-privileges:true']\n",
    ));
    let container = &service.container;
    assert!(container.is_read_only && container.without_platform_env);
    assert_eq!(service.image.unwrap().platform.as_deref(), Some("linux/arm64"));
    let shown = format!(
        "{:?} {:?} {:?} {:?} {:?}\n{:?} {:?}\n{:?}\n{:?} {:?} {:?}\n{:?}",
        container.user,
        container.groups,
        container.working_dir,
        container.hostname,
        container.stop_signal,
        container.cap_add,
        container.cap_drop,
        container.ulimits,
        container.sysctls,
        container.shm_bytes,
        container.pids,
        container.extra_hosts
    );
    insta::assert_snapshot!(shown, @r#"
    Some("1000:1000") ["docker", "44"] Some("/srv") Some("box") Some("SIGQUIT")
    ["NET_ADMIN", "SYS_PTRACE"] ["ALL"]
    [Ulimit { name: "nproc", soft: 100, hard: 100 }, Ulimit { name: "nofile", soft: 10, hard: 18446744073709551615 }]
    [("net.core.somaxconn", "1024")] Some(268435456) Some(50)
    [("host.docker.internal", "host-gateway"), ("six", "::1")]
    "#);
}

#[test]
fn mounts_have_all_their_forms() {
    insta::assert_snapshot!(understood(&one(
        "services:\n  a:\n    image: x\n    tmpfs: ['/run:size=64m', /tmp]\n    volumes:\n      - data:/data\n      - ./conf:/etc/conf:ro,z\n      - .:/app\n      - /cache\n      - site/files:/files\n      - /etc/localtime:/etc/localtime:ro\n      - {type: bind, source: ./x, target: /x, bind: {propagation: rslave}}\n      - {type: tmpfs, target: /mem, tmpfs: {size: 1m}}\n      - {type: volume, source: data, target: /more, read_only: true}\n      - bound:/bound\n  b: {image: x, volumes_from: ['a:ro']}\nvolumes:\n  data:\n  bound: {driver_opts: {type: none, o: bind, device: ./kept}}\n"
    )), @r"
    service a worker x no limit
      mount volume data at /data
      mount project conf at /etc/conf ro
      mount project . at /app
      mount anonymous at /cache
      mount project site/files at /files
      mount project x at /x
      mount tmpfs Some(1048576) at /mem
      mount volume data at /more ro
      mount project kept at /bound
      mount tmpfs Some(67108864) at /run
      mount tmpfs None at /tmp
    service b worker x no limit
      mount volume data at /data ro
      mount project conf at /etc/conf ro
      mount project . at /app ro
      mount anonymous at /cache ro
      mount project site/files at /files ro
      mount project x at /x ro
      mount tmpfs Some(1048576) at /mem ro
      mount volume data at /more ro
      mount project kept at /bound ro
      after a service_started
    compose.yaml:7:9 note field-not-applicable: `volumes`: of the options behind a mount, only `ro` and `rw` mean something here
    compose.yaml:8:9 note field-translated: `volumes`: files of the project are those of the release; what an instance writes there ends with it (3 places)
    compose.yaml:10:9 repair value-spelling: `site/files` names a directory; read as `./site/files`
    compose.yaml:11:9 note field-not-applicable: the host's time zone is not mounted: instances run in UTC unless `TZ` says otherwise
    compose.yaml:12:54 note field-not-applicable: `propagation`: binds are private, and nothing is made on the host
    compose.yaml:16:17 note field-translated: `volumes_from`: what the other service mounts is mounted here too
    compose.yaml:19:11 note field-translated: `driver_opts`: a directory that Gable keeps; binds and memory stay what they are
    ");
}

#[test]
fn names_and_order_come_from_networks_links_and_dependencies() {
    insta::assert_snapshot!(understood(&one(
        "services:\n  a:\n    image: x\n    container_name: the-a\n    networks: {back: {aliases: [one, two]}, default: {ipv4_address: 10.0.0.2}}\n    links: ['b:backend', c]\n    depends_on: [b]\n  b: {image: x, depends_on: {c: {condition: service_healthy, restart: true}, d: {condition: service_completed_successfully, required: false}}}\n  c: {image: x}\nnetworks: {back: {driver: bridge}}\n"
    )), @r"
    service a worker x no limit
      after b service_started
      after c service_started
      as the-a one two
    service b worker x no limit
      after c service_healthy
      as backend
    service c worker x no limit
    compose.yaml:4:5 note field-translated: `container_name`: one more name in the private network; instances have names of their own, because two run side by side during a deploy
    compose.yaml:5:5 note field-translated: `networks`: all services of a project share one private network; aliases become names in it
    compose.yaml:5:55 note field-not-applicable: `ipv4_address`: instances have addresses of Gable's own; use names
    compose.yaml:6:5 note field-translated: `links`: all services of a project reach each other by name; an alias becomes one more name
    compose.yaml:8:62 note field-not-applicable: `restart`: a deploy of one service leaves the others alone
    compose.yaml:10:1 note field-translated: `networks`: all services of a project share one private network of Gable's
    compose.yaml:10:19 note field-not-applicable: `driver`: all services of a project share one private network of Gable's
    ");
}

#[test]
fn the_extension_gives_routes_health_and_a_pre_deploy_command() {
    let input = one(
        "x-gable: {host: Shop}\nservices:\n  web: {image: x, ports: ['3000'], x-gable: {routes: [{path: /}]}}\n  api:\n    image: x\n    x-gable:\n      routes: [{path: /api/, strip: true, port: 4000}, {path: /graphql, host: data.example.com}]\n      health: {path: /healthz}\n      pre_deploy: npm run migrate\n      protcol: http\n",
    );
    insta::assert_snapshot!(understood(&input), @r"
    service web web x no limit
      port *:any>3000 http
      route shop/ strip=false None
    service api web x no limit
      route shop/api strip=true Some(4000)
      route data.example.com/graphql strip=false None
    compose.yaml:3:19 note field-translated: `ports`: HTTP goes through Gable's edge, so that a deploy drops no request; other TCP ports are listened on for the service
    compose.yaml:10:7 repair field-spelling: there is no field `protcol`; read as `protocol` [fix]
    ");
}

#[test]
fn every_field_is_explained_in_the_order_of_the_text() {
    let input = one(
        "version: '3'\nservices:\n  a:\n    image: x\n    environment: {A: hunter2}\n    labels: [l=hunter2]\n    frobnicate: 1\n    x-mine: 1\n    deploy: {placement: {}, replicas: 2}\n",
    );
    let lines: Vec<String> = explain(&input)
        .into_iter()
        .map(|field| {
            let place = format!("{}:{}", field.span.line, field.span.column);
            format!(
                "{place} {} = {} -> {}: {}",
                field.path, field.value, field.treatment, field.why
            )
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    1:1 version = 3 -> not-applicable: the specification has done away with it
    2:1 services = 1 field -> equivalent: what runs
    4:5 services.a.image = x -> equivalent: the image that it runs; with `build`, only the name of what is built
    5:5 services.a.environment = 1 field -> equivalent: the environment of its instances
    6:5 services.a.labels = 1 item -> not-applicable: no other tool reads labels of Gable's instances; routes are Gable's own (`x-gable`)
    7:5 services.a.frobnicate = 1 -> not-applicable: there is no such field; it was ignored
    8:5 services.a.x-mine = 1 -> not-applicable: an extension that only the author's own tools know
    9:5 services.a.deploy = 2 fields -> equivalent: how many instances there are, and how large
    9:14 services.a.deploy.placement = 0 fields -> not-applicable: there is one machine, so nothing is placed
    9:29 services.a.deploy.replicas = 2 -> equivalent: how many instances there are
    ");
}

#[test]
fn a_part_of_a_volume_is_mounted_alone_and_never_leads_out_of_it() {
    let of = |subpath: &str, source: &str| {
        understood(&one(&format!(
            "services:\n  a:\n    image: x\n    volumes:\n      - {{type: volume, {source}target: /only, volume: {{subpath: {subpath}}}}}\nvolumes:\n  shared:\n"
        )))
    };
    let found = of("sub/deep", "source: shared, ");
    assert!(found.contains("mount volume shared part sub/deep at /only\n"), "{found}");
    assert!(!found.contains("compose.yaml:"), "nothing is to be said:\n{found}");
    for (subpath, source) in
        [("../up", "source: shared, "), ("/etc", "source: shared, "), ("sub", "")]
    {
        let found = of(subpath, source);
        assert!(
            found.contains("a part of a volume") || found.contains("a named volume"),
            "{found}"
        );
    }
}

#[test]
fn what_runs_before_a_service_is_services_that_complete_in_order() {
    insta::assert_snapshot!(understood(&one(
        "services:\n  web:\n    image: app:1\n    entrypoint: [tini, --]\n    user: app\n    environment: {A: '1', B: '2'}\n    volumes: ['data:/data']\n    ports: ['80:80']\n    depends_on: [db]\n    pre_start:\n      - command: [migrate, up]\n        environment: {B: own, C: '3'}\n      - {image: 'busybox:1', command: chown -R 1 /data, user: root, working_dir: /data, per_replica: true}\n  worker: {build: ., pre_start: [{command: [check]}]}\n  worker-pre-start: {image: x}\n  db: {image: 'mongo:7'}\nvolumes: {data: }\n"
    )), @r#"
    service web-pre-start-1 worker app:1 no limit
      runs migrate | up
      A = "1"
      B = "own"
      C = "3"
      mount volume data at /data
      after db service_started
    service web-pre-start-2 worker busybox:1 no limit
      runs chown | -R | 1 | /data
      A = "1"
      B = "2"
      mount volume data at /data
      after db service_started
      after web-pre-start-1 service_completed_successfully
    service web web app:1 no limit
      A = "1"
      B = "2"
      port *:80>80 http
      mount volume data at /data
      after db service_started
      after web-pre-start-1 service_completed_successfully
      after web-pre-start-2 service_completed_successfully
    service worker-pre-start-2 worker Dockerfile in . no limit
      runs check
    service worker worker Dockerfile in . no limit
      after worker-pre-start-2 service_completed_successfully
    service worker-pre-start worker x no limit
    service db worker mongo:7 no limit
    compose.yaml:8:5 note field-translated: `ports`: HTTP goes through Gable's edge, so that a deploy drops no request; other TCP ports are listened on for the service
    compose.yaml:10:5 note field-translated: `pre_start`: each runs to its end before the service starts, as a service of its own that completes (2 places)
    compose.yaml:13:89 note field-not-applicable: `per_replica`: it runs once for all instances
    "#);
}

#[test]
fn odd_commands_before_a_service_are_named() {
    insta::assert_snapshot!(understood(&one(
        "services:\n  a: {image: x, pre_start: [{command: y, privileged: true}]}\n  b: {image: x, pre_start: [{user: y}, text]}\n  c: {image: x, pre_start: text}\n  d: {image: x, pre_start: [{comand: y}]}\n  db: {image: 'postgres:16', pre_start: [{command: y}]}\n"
    )), @r"
    refused
    compose.yaml:2:6 repair service-left-out: `a` is left out, the rest runs: `privileged`: no instance gets the rights of the host
    compose.yaml:2:17 note field-translated: `pre_start`: each runs to its end before the service starts, as a service of its own that completes (5 places)
    compose.yaml:2:42 note field-refused: `privileged`: no instance gets the rights of the host
    compose.yaml:3:29 error bad-value: a `pre_start` says neither a command nor an image
    compose.yaml:3:40 error wrong-shape: `pre_start[1]` has to be a mapping, and is a text
    compose.yaml:4:28 error wrong-shape: `pre_start` has to be a list, and is a text
    compose.yaml:5:30 repair field-spelling: there is no field `comand`; read as `command` [fix]
    compose.yaml:6:15 note stays-image: `db` runs as the image `postgres:16`: it has `pre_start` commands
    ");
}

#[test]
fn several_instances_share_a_volume_unless_each_has_its_own() {
    insta::assert_snapshot!(understood(&one(
        "services:\n  a: {image: x, scale: 3, volumes: ['shared:/s', 'own:/o', 'shared:/r:ro', '/anonymous']}\n  b: {image: x, volumes: ['shared:/s']}\nvolumes:\n  shared:\n  own: {x-per-replica: true}\n"
    )), @r"
    service a worker x no limit
      mount volume shared at /s
      mount volume own of each at /o
      mount volume shared at /r ro
      mount anonymous at /anonymous
    service b worker x no limit
      mount volume shared at /s
    compose.yaml:2:27 note shared-volume: the 3 instances of `a` write to the volume `shared` at once
    compose.yaml:2:27 note shared-volume: the 3 instances of `a` write to one volume at `/anonymous` at once
    ");
}

#[test]
fn what_an_image_holds_is_mounted_read_only() {
    insta::assert_snapshot!(understood(&one(
        "services:\n  a:\n    image: x\n    volumes:\n      - {type: image, source: 'data:1', target: /all}\n      - {type: image, source: 'data:1', target: /part, image: {subpath: sub/dir}}\n"
    )), @r"
    service a worker x no limit
      mount image data:1 at /all ro
      mount image data:1 part sub/dir at /part ro
    ");
    insta::assert_snapshot!(understood(&one(
        "services:\n  a: {image: x, volumes: [{type: image, target: /a}]}\n  b: {image: x, volumes: [{type: image, source: y, target: /b, image: {subpath: ../up}}]}\n"
    )), @r"
    refused
    compose.yaml:2:27 error bad-value: a mount of type `image` names no image
    compose.yaml:3:81 error bad-value: a part of a volume lies inside it
    ");
}
