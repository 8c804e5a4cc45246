//! PostgreSQL: what must be true of a database on any driver. Each function is one test, called
//! once for each driver.

use std::fs;
use std::process::Command;

use databases::{SUPERUSER, check_postgres, psql_command};
use secrecy::{ExposeSecret as _, SecretString};

use crate::stage::Stage;
use crate::world::{ask, new_instance, timed};

pub(crate) async fn a_fresh_cluster_answers_its_role_and_a_second_ensure_only_looks(stage: &Stage) {
    let declared = stage.declare("shop", 15);
    let running = timed("fresh cluster", stage.ensure(&declared)).await;
    let steps = || stage.steps.0.lock().unwrap().clone();
    let before = steps();
    assert_eq!(timed("second ensure", stage.ensure(&declared)).await, running);
    assert_eq!(steps(), before, "a second ensure works instead of looking");
    let request = declared.request(&stage.world);
    check_postgres(running.address, &request).await.unwrap();

    let settings = "SELECT name || '=' || setting FROM pg_settings WHERE name IN
        ('fsync', 'data_checksums', 'server_encoding', 'max_connections', 'password_encryption')
        ORDER BY name";
    assert_eq!(
        declared.sql(running.address, settings).await.unwrap(),
        [
            "data_checksums=on",
            "fsync=on",
            "max_connections=100",
            "password_encryption=scram-sha-256",
            "server_encoding=UTF8",
        ]
    );
    let role = "SELECT rolsuper::text FROM pg_roles WHERE rolname = current_user";
    assert_eq!(declared.sql(running.address, role).await.unwrap(), ["false"]);
    let trusted = "CREATE EXTENSION pgcrypto; CREATE EXTENSION citext; CREATE EXTENSION pg_trgm;
        CREATE EXTENSION \"uuid-ossp\"; SELECT length(uuid_generate_v4()::text)";
    assert_eq!(declared.sql(running.address, trusted).await.unwrap(), ["36"]);

    if let Some(bytes) = stage.driver.memory_bytes(&declared.instance_id).await {
        println!("memory of PostgreSQL, hardly used: {} MB", bytes >> 20);
    }
    let wrong = SecretString::from("wrong");
    let mut request = declared.request(&stage.world);
    request.password = &wrong;
    let problem = check_postgres(running.address, &request).await.unwrap_err();
    assert!(problem.detail.unwrap().contains("password authentication failed"));
    stage.stop(&declared).await;
}

pub(crate) async fn data_survives_stop_and_kill(stage: &Stage) {
    let mut declared = stage.declare("shop", 15);
    let running = stage.ensure(&declared).await;
    let insert = "CREATE TABLE IF NOT EXISTS t (x int); INSERT INTO t VALUES (1)";
    declared.sql(running.address, insert).await.unwrap();
    timed("fast stop", stage.stop(&declared)).await;
    declared.instance_id = new_instance();
    let running = timed("start", stage.ensure(&declared)).await;
    declared.sql(running.address, insert).await.unwrap();

    stage.kill(&mut declared).await;
    let running = timed("start after kill -9", stage.ensure(&declared)).await;
    assert_eq!(declared.sql(running.address, "SELECT count(*) FROM t").await.unwrap(), ["2"]);

    // A stop with a client that does not leave is not delayed by it.
    let address = running.address;
    let sleeper = async { declared.sql(address, "SELECT pg_sleep(30)").await };
    let stop = async {
        loop {
            let count = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'";
            if declared.sql(address, count).await.unwrap() == ["1"] {
                break;
            }
        }
        let begun = std::time::Instant::now();
        stage.stop(&declared).await;
        begun.elapsed()
    };
    let (slept, stopped) = tokio::join!(sleeper, stop);
    assert!(slept.unwrap_err().contains("terminating connection"));
    assert!(stopped.as_secs() < 20, "the stop took {stopped:?}");
}

pub(crate) async fn tls_and_the_clients_inside_work(stage: &Stage) {
    let declared = stage.declare("shop", 15);
    let running = stage.ensure(&declared).await;
    let password = declared.password.expose_secret();
    let host = running.address.ip().to_string();
    let url = databases::connection_string(
        &declared.definition,
        &declared.password,
        &host,
        running.address.port(),
    );
    let output = Command::new("psql")
        .arg(format!("{}?sslmode=require", url.expose_secret()))
        .args(["-Atc", "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.starts_with("TLSv1."), "{said} {}", String::from_utf8_lossy(&output.stderr));

    let request = declared.request(&stage.world);
    let arguments = ["-Atc".to_owned(), "SELECT current_user".to_owned()];
    let config = &stage.world.config;
    let client = psql_command(config, &*stage.driver, &request, &arguments).unwrap();
    assert!(client.command.iter().all(|argument| !argument.contains(password)));
    let (code, said) = stage.exec(&declared, client).await;
    assert_eq!((code, said.trim()), (0, "shop-user"));

    if stage.driver.isolates_network() {
        let arguments = ["-U", SUPERUSER, "-d", "postgres", "-c", "SELECT 1"].map(str::to_owned);
        let client = psql_command(config, &*stage.driver, &request, &arguments).unwrap();
        let (code, said) = stage.exec(&declared, client).await;
        assert!(code != 0 && said.contains("rejects connection"), "{said}");
    }
    stage.stop(&declared).await;
}

pub(crate) async fn two_databases_are_made_at_once(stage: &Stage) {
    let (one, two) = (stage.declare("one", 15), stage.declare("two", 15));
    let both = async { tokio::join!(stage.ensure(&one), stage.ensure(&two)) };
    let (first, second) = timed("two fresh clusters at once", both).await;
    assert_ne!(first.address, second.address);
    assert_eq!(one.sql(first.address, "SELECT current_database()").await.unwrap(), ["one data"]);
    assert_eq!(two.sql(second.address, "SELECT current_database()").await.unwrap(), ["two data"]);
    let stranger = ask(second.address, "one-user", "x", "two data", "SELECT 1").await;
    assert!(stranger.unwrap_err().contains("password authentication failed"));
    stage.stop(&one).await;
    stage.stop(&two).await;
}

pub(crate) async fn what_a_crash_left_of_initdb_is_made_anew(stage: &Stage) {
    let declared = stage.declare("shop", 15);
    let directory = stage.world.config.data_dir.join(declared.id.as_str());
    fs::create_dir_all(directory.join("pgdata.new/base")).unwrap();
    fs::write(directory.join("pgdata.new/PG_VERSION"), "15\n").unwrap();
    let running = stage.ensure(&declared).await;
    assert_eq!(declared.sql(running.address, "SELECT 1").await.unwrap(), ["1"]);
    assert!(!directory.join("pgdata.new").exists());
    let left = fs::read_dir(stage.world.config.run_dir.join("databases")).unwrap().count();
    assert_eq!(left, 0, "the password file is gone");
    stage.stop(&declared).await;
}

/// As when the control plane ends: the work is dropped after ever more of it was done.
pub(crate) async fn an_ensure_that_was_given_up_can_be_repeated(stage: &Stage) {
    let declared = stage.declare("shop", 15);
    let (mut given_up, mut patience) = (0, std::time::Duration::from_millis(10));
    let running = loop {
        match tokio::time::timeout(patience, stage.try_ensure(&declared)).await {
            Ok(result) => break result.map_err(|error| error.problem()).unwrap(),
            Err(_) => (given_up, patience) = (given_up + 1, patience * 3 / 2),
        }
    };
    println!("given up {given_up} times");
    assert!(given_up > 3);
    assert_eq!(declared.sql(running.address, "SELECT 1").await.unwrap(), ["1"]);
    stage.stop(&declared).await;
}

pub(crate) async fn a_new_password_is_taken_over(stage: &Stage) {
    let mut declared = stage.declare("shop", 15);
    let running = stage.ensure(&declared).await;
    declared.password = "another".into();
    declared.sql(running.address, "SELECT 1").await.unwrap_err();
    stage.ensure(&declared).await;
    assert_eq!(declared.sql(running.address, "SELECT 1").await.unwrap(), ["1"]);
    stage.stop(&declared).await;
}

pub(crate) async fn two_instances_never_share_a_data_directory(stage: &Stage) {
    let mut declared = stage.declare("shop", 15);
    stage.ensure(&declared).await;
    let first = declared.instance_id.clone();
    declared.instance_id = new_instance();
    let running = stage.ensure(&declared).await;
    assert!(matches!(stage.driver.observe(&first).await, Some(model::InstanceState::Exited(_))));
    assert_eq!(declared.sql(running.address, "SELECT 1").await.unwrap(), ["1"]);

    // Nobody remembers the instance that runs, and its lock still keeps others out.
    let record = stage.world.config.data_dir.join(declared.id.as_str()).join("instance");
    fs::remove_file(record).unwrap();
    let second = std::mem::replace(&mut declared.instance_id, new_instance());
    declared.port = stage.port(declared.port);
    let problem = stage.try_ensure(&declared).await.unwrap_err().problem();
    assert_eq!(problem.code, "postgres-not-starting");
    assert!(problem.hint.unwrap().contains("still uses the data directory"));
    declared.instance_id = second;
    stage.stop(&declared).await;
}

pub(crate) async fn damaged_files_are_diagnosed(stage: &Stage) {
    let mut declared = stage.declare("shop", 15);
    stage.ensure(&declared).await;
    stage.stop(&declared).await;
    declared.instance_id = new_instance();
    let data = stage.world.config.data_dir.join(declared.id.as_str()).join("pgdata");
    for entry in fs::read_dir(data.join("pg_wal")).unwrap().flatten() {
        if entry.file_type().unwrap().is_file() {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    let problem = stage.try_ensure(&declared).await.unwrap_err().problem();
    assert_eq!(problem.code, "postgres-not-starting");
    let detail = problem.detail.unwrap();
    assert!(detail.contains("could not locate a valid checkpoint record"), "{detail}");
    assert!(problem.hint.unwrap().contains("damaged"));
}

pub(crate) async fn a_full_disk_loses_nothing(stage: &Stage) {
    let mut declared = stage.declare("shop", 15);
    // Files of a file system in memory count as the instance's.
    declared.definition.instance_type.memory_bytes = 2 << 30;
    let disk = SmallDisk::mount(&stage.world.config.data_dir, 120);
    let running = stage.ensure(&declared).await;
    let address = running.address;
    declared.sql(address, "CREATE TABLE kept AS SELECT 1 AS x").await.unwrap();
    // 150 MB of rows that are too short to be compressed.
    let fill =
        "CREATE TABLE big AS SELECT repeat(md5(i::text), 15) FROM generate_series(1, 300000) i";
    let refused = declared.sql(address, fill).await.unwrap_err();
    assert!(refused.contains("No space left") || refused.contains("Closed"), "{refused}");
    disk.grow(900);
    // Either it went on, or it recovers in place, or it ended and the next instance recovers.
    let mut attempts = 0;
    let running = loop {
        attempts += 1;
        assert!(attempts < 100, "it never came back");
        match stage.try_ensure(&declared).await {
            Ok(running) => match declared.sql(running.address, "SELECT x FROM kept").await {
                Ok(rows) => break (rows == ["1"]).then_some(running).unwrap(),
                Err(words) => println!("{words}"),
            },
            Err(error) => {
                println!("{:?}", error.problem());
                declared.instance_id = new_instance();
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    declared.sql(running.address, fill).await.unwrap();
    stage.stop(&declared).await;
}

/// A file system in memory with a limit.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(at: &std::path::Path, mib: u32) -> Self {
        fs::create_dir_all(at).unwrap();
        let options = format!("size={mib}m");
        let arguments = ["-t", "tmpfs", "-o", &options, "none"];
        assert!(Command::new("mount").args(arguments).arg(at).status().unwrap().success());
        Self(at.to_owned())
    }

    fn grow(&self, mib: u32) {
        let options = format!("remount,size={mib}m");
        assert!(
            Command::new("mount").args(["-o", &options]).arg(&self.0).status().unwrap().success()
        );
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

pub(crate) async fn the_role_of_a_compose_file_is_a_superuser_as_in_its_image(stage: &Stage) {
    let mut declared = stage.declare("shop", 15);
    let role = "SELECT rolsuper::text FROM pg_roles WHERE rolname = current_user";
    let running = stage.ensure(&declared).await;
    assert_eq!(declared.sql(running.address, role).await.unwrap(), ["false"]);
    // One that was made before it was known of becomes one.
    declared.in_place_of("postgres:15");
    let running = stage.ensure(&declared).await;
    assert_eq!(declared.sql(running.address, role).await.unwrap(), ["true"]);
    let later = "CREATE ROLE reporting LOGIN;
        CREATE EXTENSION postgres_fdw;
        CREATE EXTENSION dblink;
        CREATE FUNCTION nothing() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
        CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION nothing();
        CREATE PUBLICATION p FOR ALL TABLES;";
    declared.sql(running.address, later).await.unwrap();

    // What it says of the server's own settings ends with the instance.
    declared.sql(running.address, "ALTER SYSTEM SET listen_addresses = ''").await.unwrap();
    declared.sql(running.address, "ALTER SYSTEM SET work_mem = '7MB'").await.unwrap();
    stage.stop(&declared).await;
    declared.instance_id = new_instance();
    let running = stage.ensure(&declared).await;
    let kept = declared.sql(running.address, "SHOW work_mem").await.unwrap();
    assert_eq!(kept, ["7MB"]);
    stage.stop(&declared).await;
}
