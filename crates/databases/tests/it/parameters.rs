//! Settings that a compose file gives its server.

use crate::stage::Stage;
use crate::world::new_instance;

fn set(parameters: &[(&str, &str)]) -> Vec<(String, String)> {
    parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub(crate) async fn settings_are_taken_over_and_gables_own_stay(stage: &Stage) {
    let mut declared = stage.declare("shop", 15);
    declared.definition.compose.parameters = set(&[
        ("Max_Connections", "37"),
        ("shared_buffers", "24MB"),
        ("wal_level", "logical"),
        ("fsync", "off"),
        ("listen_addresses", "203.0.113.1"),
        ("port", "1"),
        ("shared_preload_libraries", "pg_stat_statements"),
        ("pg_stat_statements.max", "1234"),
        ("log_statement", "it's \\none\nport = 1"),
        ("work_mem", "3MB"),
    ]);
    let running = stage.ensure(&declared).await;
    let shown = "SELECT name || '=' || setting FROM pg_settings WHERE name IN ('max_connections',
        'wal_level', 'fsync', 'pg_stat_statements.max', 'work_mem', 'shared_buffers') ORDER BY name";
    assert_eq!(
        declared.sql(running.address, shown).await.unwrap(),
        [
            "fsync=on",
            "max_connections=37",
            "pg_stat_statements.max=1234",
            "shared_buffers=3072",
            "wal_level=logical",
            "work_mem=3072",
        ]
    );
    let ignored: Vec<&str> = running.notes.iter().map(|note| note.message.as_str()).collect();
    assert_eq!(
        ignored,
        ["fsync", "listen_addresses", "port", "log_statement"]
            .map(|name| format!("the setting `{name}` of the database shop has no effect"))
    );
    assert!(running.notes.iter().all(|note| note.code == "database-setting-ignored"));
    let begun = "SELECT pg_postmaster_start_time()::text";
    let first = declared.sql(running.address, begun).await.unwrap();
    assert_eq!(stage.ensure(&declared).await, running);
    assert_eq!(declared.sql(running.address, begun).await.unwrap(), first, "it started again");

    // A change is taken over by the instance that runs, with what was written before.
    declared.sql(running.address, "CREATE TABLE kept (x int)").await.unwrap();
    declared.definition.compose.parameters = set(&[("max_connections", "41")]);
    let running = stage.ensure(&declared).await;
    let sql = "SELECT current_setting('max_connections') FROM (SELECT count(*) FROM kept) AS k";
    assert_eq!(declared.sql(running.address, sql).await.unwrap(), ["41"]);
    declared.definition.compose.parameters.clear();
    let running = stage.ensure(&declared).await;
    assert_eq!(declared.sql(running.address, sql).await.unwrap(), ["100"]);
    assert!(running.notes.is_empty());
    stage.stop(&declared).await;
}

pub(crate) async fn a_setting_that_the_server_refuses_is_named(stage: &Stage) {
    let mut declared = stage.declare("shop", 15);
    declared.definition.compose.parameters = set(&[("max_connections", "many")]);
    let problem = stage.try_ensure(&declared).await.unwrap_err().problem();
    assert_eq!(problem.code, "postgres-not-starting");
    let detail = problem.detail.unwrap();
    assert!(
        detail.contains("invalid value for parameter \"max_connections\": \"many\""),
        "{detail}"
    );
    assert!(problem.hint.unwrap().contains("compose file"));
    declared.instance_id = new_instance();
    declared.definition.compose.parameters.clear();
    let running = stage.ensure(&declared).await;
    assert_eq!(declared.sql(running.address, "SELECT 1").await.unwrap(), ["1"]);
    stage.stop(&declared).await;
}
