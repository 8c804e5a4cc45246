//! Data images that run as managed stores, and those that do not.

use blueprint::compose::Input;

use super::support::{one, settled, several, understood};

#[test]
fn well_known_data_images_become_managed_stores() {
    insta::assert_snapshot!(understood(&one(
        "services:\n  db:\n    image: postgres:15-alpine\n    container_name: the-db\n    hostname: pg\n    environment: {POSTGRES_USER: app, POSTGRES_PASSWORD: hunter2, POSTGRES_DB: shop}\n    command: postgres -c max_connections=200 -c shared_buffers=256MB\n    ports: ['5432:5432']\n    volumes: ['pg:/var/lib/postgresql/data', './init.sql:/docker-entrypoint-initdb.d/init.sql:ro']\n    healthcheck: {test: [CMD, pg_isready]}\n    mem_limit: 512m\n    networks: {default: {aliases: [database]}}\n  vectors: {image: 'pgvector/pgvector:pg17', environment: [POSTGRES_PASSWORD=x]}\n  cache: {image: 'redis:7', command: redis-server --requirepass hunter2 --maxmemory 100mb --maxmemory-policy allkeys-lru --appendonly yes, ports: ['6379:6379']}\n  keys: {image: valkey/valkey:8, volumes: ['/data']}\n  api: {image: x, depends_on: {db: {condition: service_healthy}}}\nvolumes: {pg: }\n"
    )), @r#"
    database db app/shop postgres 15 512mb password=true as=["db", "the-db", "database", "pg"] ports=1 init=["init.sql"] [("max_connections", "200"), ("shared_buffers", "256MB")]
    database vectors postgres/postgres postgres 17 1c-1g password=true as=["vectors"] ports=0 init=[] []
    key value cache 100mb allkeys-lru journal-snapshot password=true as=["cache"] ports=1
    key value keys 1g noeviction snapshot password=false as=["keys"] ports=0
    service api worker x no limit
      after db service_healthy
    compose.yaml:3:12 note managed-store: `db` runs as managed PostgreSQL 15 instead of the image `postgres:15-alpine`; its data and its health are Gable's matter; without effect here: `healthcheck`
    compose.yaml:4:5 note field-translated: `container_name`: one more name in the private network; instances have names of their own, because two run side by side during a deploy
    compose.yaml:8:5 note field-translated: `ports`: HTTP goes through Gable's edge, so that a deploy drops no request; other TCP ports are listened on for the service (2 places)
    compose.yaml:12:5 note field-translated: `networks`: all services of a project share one private network; aliases become names in it
    compose.yaml:13:20 note managed-store: `vectors` runs as managed PostgreSQL 17 instead of the image `pgvector/pgvector:pg17`; its data and its health are Gable's matter
    compose.yaml:14:18 note managed-store: `cache` runs as managed Key Value instead of the image `redis:7`; its data and its health are Gable's matter
    compose.yaml:15:17 note managed-store: `keys` runs as managed Key Value instead of the image `valkey/valkey:8`; its data and its health are Gable's matter
    "#);
}

#[test]
fn what_a_managed_store_cannot_honour_keeps_its_image_and_says_why() {
    insta::assert_snapshot!(understood(&one(
        "services:\n  old: {image: 'postgres:9.6'}\n  trusting: {image: 'postgres:16', environment: {POSTGRES_HOST_AUTH_METHOD: trust}}\n  tuned: {image: 'postgres:16', command: postgres -c shared_preload_libraries=pg_cron}\n  configured: {image: 'postgres:16', volumes: ['./pg.conf:/etc/postgresql.conf']}\n  built: {image: 'postgres:16', build: ./pg}\n  shell: {image: 'redis:7', command: \"sh -c 'redis-server'\"}\n  cluster: {image: 'redis:7', command: redis-server --cluster-enabled yes}\n  own: {image: 'redis:7', x-gable: {managed: false}}\n"
    )), @r#"
    service old worker postgres:9.6 no limit
    service trusting worker postgres:16 no limit
      POSTGRES_HOST_AUTH_METHOD = "trust"
    service tuned worker postgres:16 no limit
      runs postgres | -c | shared_preload_libraries=pg_cron
    service configured worker postgres:16 no limit
      mount project pg.conf at /etc/postgresql.conf
    service built worker pg/Dockerfile in pg no limit
    service shell worker redis:7 no limit
      runs sh | -c | redis-server
    service cluster worker redis:7 no limit
      runs redis-server | --cluster-enabled | yes
    service own worker redis:7 no limit
    compose.yaml:2:16 note stays-image: `old` runs as the image `postgres:9.6`: PostgreSQL 9 is not among the versions 14 to 18 that can be managed
    compose.yaml:3:21 note stays-image: `trusting` runs as the image `postgres:16`: `POSTGRES_HOST_AUTH_METHOD: trust` lets everybody in without a password
    compose.yaml:4:18 note stays-image: `tuned` runs as the image `postgres:16`: the setting `shared_preload_libraries` of its `command` is none that a managed server takes over
    compose.yaml:5:23 note stays-image: `configured` runs as the image `postgres:16`: it mounts files of its own
    compose.yaml:5:48 note field-translated: `volumes`: files of the project are those of the release; what an instance writes there ends with it
    compose.yaml:6:18 note stays-image: `built` runs as the image `postgres:16`: it is built here
    compose.yaml:7:18 note stays-image: `shell` runs as the image `redis:7`: its `command` is more than a server with flags
    compose.yaml:8:20 note stays-image: `cluster` runs as the image `redis:7`: the flag `--cluster-enabled` is none that a managed server takes over
    "#);
}

#[test]
fn images_run_when_they_are_asked_for() {
    let input = Input { use_images: true, ..one("services: {db: {image: 'postgres:16'}}") };
    insta::assert_snapshot!(understood(&input), @r"service db worker postgres:16 no limit");
}

#[test]
fn passwords_come_from_secret_files_and_are_never_printed() {
    let input = several(&[
        (
            "compose.yaml",
            "services:\n  db:\n    image: postgres:16\n    environment: {POSTGRES_PASSWORD_FILE: /run/secrets/pw}\n    secrets: [pw]\nsecrets: {pw: {file: ./pw.txt}}\n",
        ),
        ("pw.txt", "hunter2\n"),
    ]);
    let reading = settled(&input);
    let blueprint = reading.blueprint.unwrap();
    let origin = blueprint.scopes[0].database_settings["db"].compose.as_ref().unwrap();
    assert_eq!(origin.password.as_deref(), Some("hunter2"));
    assert!(!format!("{origin:?}").contains("hunter2"));
    assert!(!format!("{:?}", blueprint.scopes).contains("hunter2"));
}
