//! Downloaded majors and their extensions. These tests need the package index: where it cannot be
//! reached they say so and pass.

use databases::extensions::ensure_extensions;
use databases::{Config, Error};

use crate::stage::Stage;
use crate::world::{shared_binaries, timed};

/// A query that the owner of a database runs with pgvector: created, filled, indexed, asked.
const DISTANCE: &str = "
    CREATE EXTENSION IF NOT EXISTS vector;
    CREATE TABLE items (id int PRIMARY KEY, place vector(3));
    INSERT INTO items VALUES (1, '[1,2,3]'), (2, '[4,5,6]'), (3, '[1,2,4]');
    CREATE INDEX ON items USING hnsw (place vector_l2_ops);
    SELECT id FROM items ORDER BY place <-> '[1,2,3.9]' LIMIT 2";

/// Downloaded programs only, shared by the tests and runs of one machine.
pub(crate) fn downloading(config: &mut Config) {
    config.installed_postgres = "/nonexistent".into();
    config.installed_key_value.clear();
    config.binaries_dir = shared_binaries();
}

/// Whether a failure is that of a machine whose network is closed.
pub(crate) fn is_offline(error: &Error) -> bool {
    let problem = error.problem();
    let is_offline = problem.code.ends_with("-unavailable");
    if is_offline {
        println!("skipped: {}: {}", problem.message, problem.detail.unwrap_or_default());
    }
    is_offline
}

pub(crate) async fn a_major_runs_with_pgvector(stage: &Stage, major: u8) {
    let declared = stage.declare("vectors", major);
    let running = match timed(&format!("PostgreSQL {major}"), stage.try_ensure(&declared)).await {
        Err(error) if is_offline(&error) => return,
        result => result.unwrap(),
    };
    assert!(running.version.starts_with(&format!("{major}.")), "{}", running.version);
    let extensions = ensure_extensions(&stage.world.config, major, &stage.steps);
    match timed(&format!("extensions of {major}"), extensions).await {
        Err(error) if is_offline(&error) => {}
        result => {
            result.unwrap();
            let nearest = declared.sql(running.address, DISTANCE).await;
            assert_eq!(nearest.unwrap(), ["3", "1"]);
            let sql = "CREATE EXTENSION \"uuid-ossp\"; SELECT length(uuid_generate_v4()::text)";
            assert_eq!(declared.sql(running.address, sql).await.unwrap(), ["36"]);
        }
    }
    stage.stop(&declared).await;
}

/// pgvector is obtained before the files run, and `psql` comes with the download.
pub(crate) async fn a_downloaded_major_is_filled(stage: &Stage) {
    let mut declared = stage.declare("filled", 17);
    declared
        .init("01.sql", "CREATE EXTENSION vector; CREATE TABLE t AS SELECT '[1,2]'::vector AS v;");
    match timed("PostgreSQL 17 with init files", stage.try_ensure(&declared)).await {
        Err(error) if is_offline(&error) => {}
        Err(error) => {
            let extensions = ensure_extensions(&stage.world.config, 17, &stage.steps).await;
            assert!(extensions.is_err_and(|error| is_offline(&error)), "{:?}", error.problem());
        }
        Ok(running) => {
            assert_eq!(declared.sql(running.address, "SELECT v FROM t").await.unwrap(), ["[1,2]"]);
            stage.stop(&declared).await;
        }
    }
}
