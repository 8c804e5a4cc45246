//! The path that counts: instances in namespaces of their own, on a bridge. Needs root.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use engine::{Driver, NativeDriver};
use futures::FutureExt as _;

use crate::stage::Stage;
use crate::world::{World, runtime};
use crate::{init, key_value, majors, parameters, postgres};

/// Each test has addresses of its own, away from those of a platform that runs here and from what
/// a run that was killed left behind.
static NEXT_RANGE: AtomicU32 = AtomicU32::new(0);

/// Runs a test on a native driver of its own, and clears away whatever it leaves.
fn on_native(prepare: fn(&mut World), test: impl AsyncFnOnce(&Stage)) {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        println!("skipped: the native engine needs root");
        return;
    }
    let mut world = World::new();
    prepare(&mut world);
    let exe = std::env::current_exe().unwrap();
    let shim = exe.ancestors().nth(2).unwrap().join("examples/databases-shim");
    let (state, run) = (world.state_dir().to_owned(), world.config.run_dir.clone());
    let mut config = engine::Config::new(state, run, vec![shim.into()]);
    let range = NEXT_RANGE.fetch_add(1, Ordering::Relaxed);
    config.address_pool = format!("10.{}.{range}.0/24", 80 + std::process::id() % 100);
    runtime().block_on(async {
        let driver = Arc::new(NativeDriver::new(config).unwrap());
        driver.recover().await.unwrap();
        let stage = Stage::new(driver.clone(), world);
        let outcome = AssertUnwindSafe(test(&stage)).catch_unwind().await;
        for seen in driver.recover().await.unwrap() {
            let _ = driver.stop(&seen.id, Duration::ZERO).await;
            let _ = driver.remove(&seen.id).await;
        }
        let _ = driver.remove_network(&stage.world.environment_id).await;
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
}

macro_rules! on_the_native_driver {
    ($($module:ident::$test:ident),* $(,)?) => {$(
        #[test]
        fn $test() {
            on_native(|_| (), async |stage| $module::$test(stage).await);
        }
    )*};
}

on_the_native_driver! {
    postgres::a_fresh_cluster_answers_its_role_and_a_second_ensure_only_looks,
    postgres::data_survives_stop_and_kill,
    postgres::tls_and_the_clients_inside_work,
    postgres::two_databases_are_made_at_once,
    postgres::what_a_crash_left_of_initdb_is_made_anew,
    postgres::an_ensure_that_was_given_up_can_be_repeated,
    postgres::a_new_password_is_taken_over,
    postgres::two_instances_never_share_a_data_directory,
    postgres::damaged_files_are_diagnosed,
    postgres::a_full_disk_loses_nothing,
    postgres::the_role_of_a_compose_file_is_a_superuser_as_in_its_image,
    key_value::policy_and_memory_are_those_declared,
    key_value::each_persistence_mode_keeps_what_it_says,
    key_value::a_password_is_asked_for_and_a_new_one_is_taken_over,
    key_value::an_impossible_password_is_refused_before_anything_is_made,
    init::files_fill_a_new_database_once_as_a_superuser_would,
    init::a_file_that_fails_is_told_with_its_line_and_tried_again_when_it_changes,
    init::an_init_that_was_given_up_begins_anew,
    init::scripts_run_between_the_other_files_with_the_variables_of_the_image,
    init::a_script_that_fails_is_told_without_the_services_values,
    init::nobody_else_gets_in_while_files_run,
    init::what_files_change_of_gables_own_is_restored,
    parameters::settings_are_taken_over_and_gables_own_stay,
    parameters::a_setting_that_the_server_refuses_is_named,
}

fn downloading(world: &mut World) {
    majors::downloading(&mut world.config);
}

#[test]
fn a_downloaded_valkey_runs() {
    on_native(downloading, async |stage| key_value::a_downloaded_valkey_runs(stage).await);
}

#[test]
fn a_downloaded_major_is_filled() {
    on_native(downloading, async |stage| majors::a_downloaded_major_is_filled(stage).await);
}

#[test]
fn an_installed_major_gets_pgvector() {
    let prepare = |world: &mut World| {
        world.config.binaries_dir = crate::world::shared_binaries();
    };
    on_native(prepare, async |stage| majors::a_major_runs_with_pgvector(stage, 15).await);
}

#[test]
fn downloaded_majors_run_with_pgvector() {
    on_native(downloading, async |stage| {
        for major in [14, 15, 16, 17, 18] {
            majors::a_major_runs_with_pgvector(stage, major).await;
        }
    });
}
