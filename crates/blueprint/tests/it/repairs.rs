//! Fields and values that are spelled or placed in another way than the format says.

use crate::support::{fixture, understood};

#[test]
fn quirks_of_real_files_are_understood() {
    insta::assert_snapshot!(understood(&fixture("quirks.yaml")));
}

#[test]
fn unknown_fields_are_mapped_when_their_meaning_is_evident() {
    insta::assert_snapshot!(understood(
        "servces:\n  - type: web\n    name: a\n    env: node\n    comand: npm ci\n    startCommnad: npm start\n    healthCheck: /up\n    rootDirectory: ./app/\n    releaseCommand: npm run migrate\n    nodeVersion: 20\n    port: 4000\n    customDomains: [https://a.example.com/]\n    frobnicate: 1\n    postDeployCommand: echo\n"
    ), @r#"
    scope demo/-
      service a web node 0.5c-512mb start="npm start" health="/up"
        NODE_VERSION = "20"
    1:1 repair field-spelling: there is no field `servces`; read as `services` [fix]
    4:5 repair env-for-runtime: `env` is the old spelling of `runtime` [fix]
    5:5 repair field-spelling: there is no field `comand`; read as `startCommand` [fix]
    6:5 repair field-spelling: there is no field `startCommnad`; read as `startCommand` [fix]
    6:5 repair duplicate-key: `startCommand` stands twice (first in line 5); this one counts [fix]
    7:5 repair field-spelling: there is no field `healthCheck`; read as `healthCheckPath` [fix]
    8:5 repair field-spelling: there is no field `rootDirectory`; read as `rootDir` [fix]
    9:5 repair field-spelling: there is no field `releaseCommand`; read as `preDeployCommand` [fix]
    10:5 repair unknown-field: there is no field `nodeVersion`: Render has no such field; read as the variable NODE_VERSION
    11:5 repair unknown-field: there is no field `port`: Render has no such field; the first guess of the port that the service listens on
    12:5 repair field-spelling: there is no field `customDomains`; read as `domains` [fix]
    12:21 repair value-spelling: a domain is a host name, not a URL; read as `a.example.com` [fix]
    13:5 repair unknown-field: there is no field `frobnicate` here; it was ignored [fix]
    14:5 repair unknown-field: there is no field `postDeployCommand`: neither Render nor Gable has such a step [fix]
    "#);
}

#[test]
fn types_and_runtimes_in_other_words_are_understood() {
    insta::assert_snapshot!(understood(
        "services:\n  - {type: web_service, name: a, runtime: nodejs, startCommand: x}\n  - {type: private, name: b, runtime: golang, startCommand: x}\n  - {type: background_worker, name: c, runtime: python3, startCommand: x}\n  - {type: static_site, name: d, staticPublishPath: dist}\n  - {type: Cron, name: e, runtime: ruby, startCommand: x, schedule: '@daily'}\n  - {type: postgres, name: f}\n  - {type: Redis, name: g}\n  - {name: h, startCommand: gunicorn app}\n  - {type: web, name: i, dockerfilePath: ./Dockerfile}\n"
    ), @r#"
    scope demo/-
      database f f_user/f postgres 18 0.1c-256mb
      key value g 256mb allkeys-lru journal-snapshot
      service a web node 0.5c-512mb start="x"
      service b pserv go 0.5c-512mb start="x"
      service c worker python 0.5c-512mb start="x"
      service d static static 0.5c-512mb publish="dist"
      service e cron ruby 0.5c-512mb start="x" schedule="0 0 * * *"
      service h web python 0.5c-512mb start="gunicorn app"
      service i web docker 0.5c-512mb
    2:12 repair value-spelling: there is no type of service `web_service`; read as `web` [fix]
    2:43 repair value-spelling: there is no runtime `nodejs`; read as `node` [fix]
    3:12 repair value-spelling: there is no type of service `private`; read as `pserv` [fix]
    3:39 repair value-spelling: there is no runtime `golang`; read as `go` [fix]
    4:12 repair value-spelling: there is no type of service `background_worker`; read as `worker` [fix]
    4:49 repair value-spelling: there is no runtime `python3`; read as `python` [fix]
    5:12 repair value-spelling: there is no type of service `static_site`; read as `web` with `runtime: static` [fix]
    6:12 repair value-spelling: there is no type of service `Cron`; read as `cron` [fix]
    6:69 repair value-spelling: `schedule` has no word `@daily`; read as `0 0 * * *` [fix]
    7:22 repair database-in-services: `f` is a PostgreSQL database under `services`; read as one of `databases`
    8:12 repair value-spelling: there is no type of service `Redis`; read as `keyvalue` [fix]
    8:19 repair missing-ip-allow-list: Key Value instance `g` has no `ipAllowList`; it is closed to the outside [fix]
    9:6 repair missing-field: a service has no type; read as `web` [fix]
    9:6 repair missing-field: a service has no runtime; read as `python` [fix]
    10:17 repair missing-field: a service has no runtime; read as `docker` [fix]
    "#);
}

#[test]
fn what_cannot_be_guessed_is_refused_and_all_of_it_at_once() {
    insta::assert_snapshot!(understood(
        "services:\n  - {type: web, name: a}\n  - {type: teapot, name: b, runtime: node}\n  - {type: web, runtime: cobol, name: c}\n  - {type: web, runtime: node}\n  - {name: d}\n  - {type: cron, name: e, runtime: node, schedule: often}\n  - {type: web, name: f, runtime: image}\n  - {type: web, name: g, runtime: node, startCommand: {a: b}}\n  - {type: worker, name: h, runtime: node, startCommand: x, disk: {name: d, mountPath: /etc}}\n  - {type: worker, name: i, runtime: node, startCommand: x, rootDir: ../other}\n"
    ), @r#"
    refused
    2:17 error missing-runtime: a service has no runtime, and nothing tells what it is built with
    3:12 error unknown-service-type: there is no type of service `teapot`
    4:26 error unknown-runtime: there is no runtime `cobol`
    5:6 error missing-name: a service has no name; the name is its identity
    5:6 note no-start-command: service `services[3]` has no start command
    6:6 error missing-type: a service has no type
    7:18 note no-start-command: service `e` has no start command
    7:52 error bad-schedule: `often` is no cron expression of five fields
    8:17 error missing-image: service `f` has `runtime: image` and names no image
    9:17 note no-start-command: service `g` has no start command
    9:41 error wrong-shape: `startCommand` has to be a text, and is a mapping
    10:88 error bad-mount-path: a disk cannot be mounted at `/etc`
    11:70 error path-outside-repository: `rootDir` lies outside the repository
    "#);
}

#[test]
fn mappings_by_name_single_items_and_lists_at_the_root_are_read_as_lists() {
    insta::assert_snapshot!(understood(
        "services:\n  a:\n    type: worker\n    runtime: node\n    startCommand: x\ndatabases:\n  name: d\n"
    ), @r#"
    scope demo/-
      database d d_user/d postgres 18 0.1c-256mb
      service a worker node 0.5c-512mb start="x"
    1:1 repair not-a-list: `services` has to be a list, and is a mapping; its keys were read as names
    6:1 repair not-a-list: `databases` has to be a list, and is a mapping; read as a list of one
    "#);
    insta::assert_snapshot!(understood("- type: worker\n  name: a\n  runtime: node\n  startCommand: x\n"), @r#"
    scope demo/-
      service a worker node 0.5c-512mb start="x"
    1:1 repair list-at-root: the file is a list; it was read as the list of services [fix]
    "#);
    insta::assert_snapshot!(understood("redis:\n  - name: r\nworkers:\n  - {name: w, runtime: go, startCommand: x}\n"), @r#"
    scope demo/-
      key value r 256mb allkeys-lru journal-snapshot
      service w worker go 0.5c-512mb start="x"
    1:1 repair unknown-field: there is no field `redis`: Key Value instances belong under `services`
    2:5 repair missing-field: a service has no type; read as `keyvalue` [fix]
    2:5 repair missing-ip-allow-list: Key Value instance `r` has no `ipAllowList`; it is closed to the outside [fix]
    3:1 repair unknown-field: there is no field `workers`: read as services of type worker
    4:6 repair missing-field: a service has no type; read as `worker` [fix]
    "#);
}

#[test]
fn things_of_one_name_are_kept_apart() {
    insta::assert_snapshot!(understood(
        "services:\n  - {type: worker, name: a, runtime: go, startCommand: x}\n  - {type: worker, name: a, runtime: go, startCommand: y}\n  - {type: keyvalue, name: a, ipAllowList: []}\ndatabases:\n  - name: a\n"
    ), @r#"
    scope demo/-
      database a a_user/a postgres 18 0.1c-256mb
      key value a 256mb allkeys-lru journal-snapshot
      service a worker go 0.5c-512mb start="x"
      service a-2 worker go 0.5c-512mb start="y"
    3:20 repair named-twice: there is another service named `a`; this one is called `a-2` [fix]
    "#);
}

#[test]
fn numbers_and_switches_in_other_forms_are_understood() {
    insta::assert_snapshot!(understood(
        "previews: {generation: false, expireAfterDays: 0}\nservices:\n  - type: web\n    name: 12\n    runtime: node\n    startCommand: [npm ci, npm start]\n    numInstances: \"2\"\n    maxShutdownDelaySeconds: 900\n    autoDeploy: \"no\"\n    healthCheckPath: http://localhost:3000/up\n    disk: {mountPath: /data/, size: 10GB}\n    ipAllowList: [0.0.0.0/0]\n    plan: huge\n    region: us-east\n"
    ), @r#"
    scope demo/-
      service 12 web node 0.5c-512mb start="npm ci && npm start" health="/up"
    1:24 repair value-spelling: `generation` has no value `false`; read as `off` [fix]
    1:48 repair out-of-range: `expireAfterDays` has to be from 1 to 3650; read as 1 [fix]
    4:11 repair wrong-scalar: `name` has to be a text, and is a number; its text was taken [fix]
    6:5 repair wrong-scalar: `startCommand` has to be a text, and is a list; its items were joined
    7:19 repair wrong-scalar: `numInstances` has to be a whole number; read as 2 [fix]
    8:5 note render-rule: Render refuses `maxShutdownDelaySeconds` for free plans and services with a disk
    8:30 repair out-of-range: `maxShutdownDelaySeconds` has to be from 1 to 300; read as 300 [fix]
    9:5 note deprecated-field: `autoDeploy` is the old spelling of `autoDeployTrigger` [fix]
    9:17 repair wrong-scalar: `autoDeploy` has to be `true` or `false`; read as `false` [fix]
    10:22 repair value-spelling: `healthCheckPath` has to begin with `/`; read as `/up` [fix]
    11:5 note render-rule: on Render a service with a disk has one instance
    11:12 repair missing-field: a disk has no name; it is called `12-disk` [fix]
    11:31 repair field-spelling: there is no field `size`; read as `sizeGB` [fix]
    11:37 repair wrong-scalar: `sizeGB` has to be a whole number; read as 10 [fix]
    12:19 repair wrong-scalar: an item of `ipAllowList` has to be a mapping with `source`; its text was taken as that [fix]
    13:11 repair unknown-value: `plan` has no value `huge`; the default `0.5c-512mb` was taken
    14:13 repair value-spelling: `region` has no value `us-east`; read as `virginia` [fix]
    "#);
}

#[test]
fn a_compose_file_and_a_file_without_resources_are_refused_as_such() {
    insta::assert_snapshot!(understood("version: '3'\nservices:\n  web:\n    image: nginx\n"), @r#"
    refused
    1:1 error blueprint-is-compose: this is a Compose file, not a Blueprint
    "#);
    insta::assert_snapshot!(understood("previews:\n  generation: off\n"), @r#"
    refused
    1:1 error blueprint-empty: the file declares no service and no database
    "#);
    insta::assert_snapshot!(understood(""), @r#"
    refused
    1:1 error blueprint-empty: the file is empty
    "#);
    insta::assert_snapshot!(understood("just a text\n"), @r#"
    refused
    1:1 error wrong-shape: the file has to be a mapping, and is a text
    1:1 error blueprint-empty: the file declares no service and no database
    "#);
}

#[test]
fn a_key_is_taken_for_a_field_only_when_its_value_fits() {
    insta::assert_snapshot!(understood(
        "services:\n  - type: web\n    name: a\n    runtime: node\n    buildCommand: x\n    startCommand: x\n    domians: example.com\n    disc: large\n    plann: [a]\n    numInstance: many\n    autoDeplo: maybe\n    envVar: text\n"
    ), @r#"
    scope demo/-
      service a web node 0.5c-512mb build="x" start="x"
    7:5 repair field-spelling: there is no field `domians`; read as `domains` [fix]
    7:5 repair not-a-list: `domains` has to be a list, and is a text; read as a list of one
    8:5 repair unknown-field: there is no field `disc` here; it was ignored [fix]
    9:5 repair unknown-field: there is no field `plann` here; it was ignored [fix]
    10:5 repair unknown-field: there is no field `numInstance` here; it was ignored [fix]
    11:5 repair unknown-field: there is no field `autoDeplo` here; it was ignored [fix]
    12:5 repair unknown-field: there is no field `envVar` here; it was ignored [fix]
    "#);
}
