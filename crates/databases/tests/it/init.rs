//! Files that fill a new database: what must be true of them on any driver.

use std::fs;
use std::time::Duration;

use databases::SUPERUSER;
use model::InstanceState;
use secrecy::ExposeSecret as _;

use crate::stage::Stage;
use crate::world::{ask, new_instance, timed};

/// What the usual file does, and what only a superuser may.
const SCHEMA: &str = r#"
CREATE EXTENSION IF NOT EXISTS "uuid-ossp";
CREATE EXTENSION file_fdw;
CREATE TABLE customers (id int PRIMARY KEY, name text);
CREATE ROLE reporting LOGIN PASSWORD 'r3port';
GRANT SELECT ON customers TO reporting;
CREATE DATABASE other;
\c other
CREATE TABLE there (x int);
"#;

pub(crate) async fn files_fill_a_new_database_once_as_a_superuser_would(stage: &Stage) {
    let mut declared = stage.declare("shop", 15);
    declared.init("01-schema.sql", SCHEMA);
    declared.init("02 data.sql", "INSERT INTO customers VALUES (1, 'Ä');\n\\ir 03-more.sql");
    declared.init("03-more.sql", "INSERT INTO customers SELECT 1 + max(id), 'B' FROM customers;");
    let running = timed("fresh cluster with init files", stage.ensure(&declared)).await;
    let address = running.address;
    let count = "SELECT count(*) FROM customers";
    // The second file includes the third, which then runs by itself.
    assert_eq!(declared.sql(address, count).await.unwrap(), ["3"]);
    let owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(declared.sql(address, owners).await.unwrap(), ["shop-user"]);
    let (user, password) = (&declared.definition.user, declared.password.expose_secret());
    let other = ask(address, user, password, "other", "SELECT count(*) FROM there").await;
    assert_eq!(other.unwrap(), ["0"]);
    let database = &declared.definition.database_name;
    let reporting = ask(address, "reporting", "r3port", database, count).await;
    assert_eq!(reporting.unwrap(), ["3"]);
    let role = "SELECT rolsuper::text FROM pg_roles WHERE rolname = current_user";
    assert_eq!(declared.sql(address, role).await.unwrap(), ["false"], "it stays a superuser");

    // Neither a second look nor a new instance runs them again, nor a change of theirs.
    declared.init("04-late.sql", "DROP TABLE customers;");
    stage.ensure(&declared).await;
    stage.stop(&declared).await;
    declared.instance_id = new_instance();
    let running = stage.ensure(&declared).await;
    assert_eq!(declared.sql(running.address, count).await.unwrap(), ["3"]);
    let directory = stage.world.config.data_dir.join(declared.id.as_str());
    let mut left: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["conf", "instance", "pgdata"]);
    stage.stop(&declared).await;
}

pub(crate) async fn a_file_that_fails_is_told_with_its_line_and_tried_again_when_it_changes(
    stage: &Stage,
) {
    let mut declared = stage.declare("shop", 15);
    let password = declared.password.expose_secret().to_owned();
    declared.init("01.sql", "CREATE TABLE t (x int);");
    declared.init("02.sql", &format!("SELECT 1;\n\nCREATE ROLE y 's3cret' '{password}';"));
    let problem = stage.try_ensure(&declared).await.unwrap_err().problem();
    assert_eq!(problem.code, "database-init-failed");
    assert_eq!(problem.message, "the init file 02.sql of the database shop failed at line 3");
    let detail = problem.detail.clone().unwrap();
    assert_eq!(detail, "ERROR:  syntax error at or near a text in quotes");
    assert!(problem.hint.is_some());
    is_silent(stage, &declared.id, &["s3cret", &password]);

    // The same files are not run again, and what they left is gone.
    let before = stage.steps.0.lock().unwrap().len();
    assert_eq!(stage.try_ensure(&declared).await.unwrap_err().problem(), problem);
    assert_eq!(stage.steps.0.lock().unwrap().len(), before);
    let directory = stage.world.config.data_dir.join(declared.id.as_str());
    assert!(!directory.join("pgdata").exists() && !directory.join("pgdata.new").exists());

    declared.init[1].bytes = b"INSERT INTO t VALUES (1);".to_vec();
    let running = stage.ensure(&declared).await;
    assert_eq!(declared.sql(running.address, "SELECT count(*) FROM t").await.unwrap(), ["1"]);
    stage.stop(&declared).await;

    let mut missing = stage.declare("maps", 15);
    missing.init("a.sql", "CREATE EXTENSION no_such_extension;");
    let problem = stage.try_ensure(&missing).await.unwrap_err().problem();
    assert!(problem.hint.unwrap().contains("package of the extension"), "{:?}", problem.detail);
    let mut twice = stage.declare("twice", 15);
    twice.init("a.sql", "");
    twice.init("a.sql", "");
    let problem = stage.try_ensure(&twice).await.unwrap_err().problem();
    assert_eq!(problem.code, "database-init-file-refused");
}

/// What the image does: in order between the others, once, with its variables and the service's.
pub(crate) async fn scripts_run_between_the_other_files_with_the_variables_of_the_image(
    stage: &Stage,
) {
    let mut declared = stage.declare("shop", 15);
    declared.in_place_of("postgres:15");
    declared.env = vec![
        ("GREETING".to_owned(), "it's fine".into()),
        ("PATH".to_owned(), "/nonexistent".into()),
        ("POSTGRES_PASSWORD_FILE".to_owned(), "/run/secrets/none".into()),
    ];
    declared.init("01.sql", "CREATE TABLE told (at serial, what text);");
    declared.init_program(
        "02-program.sh",
        r#"#!/bin/bash
set -eu
test -z "${POSTGRES_PASSWORD_FILE:-}"
psql -v ON_ERROR_STOP=1 -v greeting="$GREETING" --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<-SQL
	INSERT INTO told (what) VALUES (:'greeting');
	CREATE DATABASE second;
	SQL
"#,
    );
    declared.init(
        "03-sourced.sh",
        "docker_process_sql --username \"$POSTGRES_USER\" --dbname \"$POSTGRES_DB\" \\\n\
         -c \"\\copy told (what) FROM '/docker-entrypoint-initdb.d/rows/one.csv'\"\n",
    );
    declared.init("04.sql", "INSERT INTO told (what) VALUES ('last');");
    declared.init("rows/one.csv", "from a file beside it\n");
    declared.init("rows/not-run.sql", "SELECT 1/0;");
    declared.init("README.md", "neither is this");
    let running = stage.ensure(&declared).await;
    let told = declared.sql(running.address, "SELECT what FROM told ORDER BY at").await.unwrap();
    assert_eq!(told, ["it's fine", "from a file beside it", "last"]);
    let second = "SELECT count(*) FROM pg_database WHERE datname = 'second'";
    assert_eq!(declared.sql(running.address, second).await.unwrap(), ["1"]);

    stage.stop(&declared).await;
    declared.instance_id = new_instance();
    let running = stage.ensure(&declared).await;
    let told = declared.sql(running.address, "SELECT count(*) FROM told").await.unwrap();
    assert_eq!(told, ["3"]);
    stage.stop(&declared).await;
}

pub(crate) async fn a_script_that_fails_is_told_without_the_services_values(stage: &Stage) {
    let mut declared = stage.declare("shop", 15);
    declared.in_place_of("postgres:15");
    declared.env = vec![("TOKEN".to_owned(), "hunter2hunter2".into())];
    declared.init("01.sh", "echo \"no $TOKEN\" >&2\nfalse\necho never >&2\n");
    let problem = stage.try_ensure(&declared).await.unwrap_err().problem();
    assert_eq!(problem.code, "database-init-failed");
    assert_eq!(problem.message, "the init file 01.sh of the database shop failed");
    assert_eq!(problem.detail.as_deref(), Some("no ***"));
    is_silent(stage, &declared.id, &["hunter2"]);
    // Another value is another try.
    declared.env[0].1 = "better".into();
    let problem = stage.try_ensure(&declared).await.unwrap_err().problem();
    assert_eq!(problem.detail.as_deref(), Some("no ***"));
}

pub(crate) async fn a_script_never_runs_with_the_rights_of_whoever_runs_gable(stage: &Stage) {
    let mut declared = stage.declare("shop", 15);
    declared.in_place_of("postgres:15");
    let mark = stage.world.config.data_dir.with_extension("mark");
    declared.init_program("01.sh", &format!("#!/bin/sh\necho x > {}\n", mark.display()));
    let problem = stage.try_ensure(&declared).await.unwrap_err().problem();
    assert_eq!(problem.code, "database-init-file-refused");
    assert!(!mark.exists());

    declared.init.clear();
    let running = stage.ensure(&declared).await;
    let role = "SELECT rolsuper::text FROM pg_roles WHERE rolname = current_user";
    assert_eq!(declared.sql(running.address, role).await.unwrap(), ["false"]);
    assert_eq!(running.notes[0].code, "database-setting-ignored");
    stage.stop(&declared).await;
}

/// No log of this store holds any of these.
fn is_silent(stage: &Stage, id: &model::DatabaseId, secrets: &[&str]) {
    for entry in fs::read_dir(stage.world.config.logs_dir.join(id.as_str())).unwrap().flatten() {
        let text = fs::read(entry.path()).unwrap();
        let text = String::from_utf8_lossy(&text);
        assert!(secrets.iter().all(|secret| !text.contains(secret)), "{text}");
    }
}

/// As when the control plane ends: the work is dropped after ever more of it was done.
pub(crate) async fn an_init_that_was_given_up_begins_anew(stage: &Stage) {
    let mut declared = stage.declare("shop", 15);
    // Neither can be done twice.
    declared.init("01.sql", "CREATE DATABASE second; CREATE ROLE third;");
    declared
        .init("02.sql", "CREATE TABLE t (x int); SELECT pg_sleep(0.2); INSERT INTO t VALUES (1);");
    let (mut given_up, mut patience) = (0, Duration::from_millis(300));
    let running = loop {
        match tokio::time::timeout(patience, stage.try_ensure(&declared)).await {
            Ok(result) => break result.map_err(|error| error.problem()).unwrap(),
            Err(_) => (given_up, patience) = (given_up + 1, patience * 3 / 2),
        }
    };
    println!("given up {given_up} times");
    assert!(given_up > 2);
    assert_eq!(declared.sql(running.address, "SELECT count(*) FROM t").await.unwrap(), ["1"]);
    stage.stop(&declared).await;
}

pub(crate) async fn what_files_change_of_gables_own_is_restored(stage: &Stage) {
    let mut declared = stage.declare("shop", 15);
    let taking = format!(
        "ALTER ROLE {SUPERUSER} NOLOGIN PASSWORD 'theirs';
         ALTER ROLE \"shop-user\" PASSWORD 'theirs';
         ALTER SYSTEM SET port = 1;
         ALTER SYSTEM SET fsync = off;
         ALTER SYSTEM SET work_mem = '7MB';"
    );
    declared.init("01.sql", &taking);
    let running = stage.ensure(&declared).await;
    let settings =
        "SELECT setting FROM pg_settings WHERE name IN ('fsync', 'work_mem') ORDER BY name";
    assert_eq!(declared.sql(running.address, settings).await.unwrap(), ["on", "7168"]);
    stage.stop(&declared).await;
    declared.instance_id = new_instance();
    declared.password = "another".into();
    let running = stage.ensure(&declared).await;
    assert_eq!(declared.sql(running.address, "SELECT 1").await.unwrap(), ["1"]);
    stage.stop(&declared).await;
}

/// Whoever knows the password of the role would be a superuser while the files run.
pub(crate) async fn nobody_else_gets_in_while_files_run(stage: &Stage) {
    let mut declared = stage.declare("shop", 15);
    declared.init("01.sql", "CREATE TABLE t (x int); SELECT pg_sleep(2);");
    let (user, password) = (&declared.definition.user, declared.password.expose_secret());
    let stranger = async {
        // The instance that fills it is not the declared one: its address is found by asking all
        // of the range that the driver gives out.
        let mut refusals = Vec::new();
        let gateway =
            stage.driver.ensure_network(&stage.world.environment_id).await.unwrap().gateway;
        let std::net::IpAddr::V4(gateway) = gateway else { panic!("{gateway}") };
        let begun = std::time::Instant::now();
        while refusals.is_empty() && begun.elapsed() < Duration::from_secs(20) {
            for offset in 1..6 {
                let address = std::net::Ipv4Addr::from_bits(gateway.to_bits() + offset);
                let address = std::net::SocketAddr::from((address, declared.port));
                let connect =
                    ask(address, user, password, &declared.definition.database_name, "SELECT 1");
                match tokio::time::timeout(Duration::from_millis(100), connect).await {
                    Ok(Err(words)) if words.contains("pg_hba.conf") => refusals.push(words),
                    Ok(Ok(_)) => panic!("a stranger got in"),
                    _ => {}
                }
            }
        }
        refusals
    };
    let (refusals, running) = tokio::join!(stranger, stage.ensure(&declared));
    assert!(refusals[0].contains("no pg_hba.conf entry"), "{refusals:?}");
    let state = stage.driver.observe(&declared.instance_id).await;
    assert!(matches!(state, Some(InstanceState::Running { .. })));
    assert_eq!(declared.sql(running.address, "SELECT 1").await.unwrap(), ["1"]);
    stage.stop(&declared).await;
}
