//! The path without namespaces, as an ordinary user: these tests start themselves again as one
//! when root runs them, because PostgreSQL refuses root.

use std::os::unix::fs::MetadataExt as _;
use std::process::Command;
use std::sync::Arc;

use crate::processes::Processes;
use crate::stage::Stage;
use crate::world::{World, runtime};
use crate::{init, key_value, parameters, postgres};

/// Whether the test goes on here; as root it is run again as `nobody` and that run decides.
fn is_ordinary_user(test: &str) -> bool {
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return true;
    }
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .current_dir("/tmp")
        .env("HOME", "/tmp")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    print!("{said}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}\n{errors}");
    false
}

macro_rules! on_plain_processes {
    ($($module:ident::$test:ident),* $(,)?) => {$(
        #[test]
        fn $test() {
            if is_ordinary_user(concat!("plain::", stringify!($test))) {
                let stage = Stage::new(Arc::new(Processes::default()), World::new());
                runtime().block_on($module::$test(&stage));
            }
        }
    )*};
}

on_plain_processes! {
    postgres::a_fresh_cluster_answers_its_role_and_a_second_ensure_only_looks,
    postgres::data_survives_stop_and_kill,
    postgres::tls_and_the_clients_inside_work,
    postgres::two_databases_are_made_at_once,
    postgres::what_a_crash_left_of_initdb_is_made_anew,
    postgres::an_ensure_that_was_given_up_can_be_repeated,
    postgres::a_new_password_is_taken_over,
    postgres::two_instances_never_share_a_data_directory,
    postgres::damaged_files_are_diagnosed,
    key_value::policy_and_memory_are_those_declared,
    key_value::each_persistence_mode_keeps_what_it_says,
    key_value::a_password_is_asked_for_and_a_new_one_is_taken_over,
    key_value::an_impossible_password_is_refused_before_anything_is_made,
    init::files_fill_a_new_database_once_as_a_superuser_would,
    init::a_file_that_fails_is_told_with_its_line_and_tried_again_when_it_changes,
    init::an_init_that_was_given_up_begins_anew,
    init::what_files_change_of_gables_own_is_restored,
    init::a_script_never_runs_with_the_rights_of_whoever_runs_gable,
    parameters::settings_are_taken_over_and_gables_own_stay,
    parameters::a_setting_that_the_server_refuses_is_named,
}
