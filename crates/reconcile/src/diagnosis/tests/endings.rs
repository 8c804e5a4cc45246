//! What the kernel, the engine and exit codes say.

use super::*;

#[test]
fn memory_beats_whatever_the_log_says() {
    let mut case = Case::crashed("Error: connect ECONNREFUSED 127.0.0.1:5432\nloading the model");
    case.exit = Some(Exit { code: None, signal: Some(9), out_of_memory: true, ..exit(0) });
    check(
        &case,
        "out-of-memory",
        "`api` needed more than its 512 MB of memory and was ended by the kernel",
        "",
    );
    assert_eq!(case.diagnose().detail, None, "neither line is about memory");
}

#[test]
fn what_is_quoted_of_one_that_ran_out_of_memory_is_about_memory() {
    let mut case = Case::crashed(
        "RuntimeError: not enough memory: you tried to allocate 4 GB\nWarning: cache not found, failed to load",
    );
    case.exit = Some(Exit { code: None, signal: Some(9), out_of_memory: true, ..exit(0) });
    let detail = case.diagnose().detail.unwrap();
    assert_eq!(detail, "RuntimeError: not enough memory: you tried to allocate 4 GB");
}

#[test]
fn a_limit_is_named() {
    let mut case = Case::crashed("waiting for input");
    case.phase = Phase::PreDeploy;
    case.exit = Some(Exit { limit: Some("30 minutes are over".into()), ..exit(0) });
    check(
        &case,
        "limit-reached",
        "the pre-deploy command of `api` was ended because it reached a limit",
        "30 minutes are over\nwaiting for input",
    );
}

#[test]
fn the_disk_is_named_when_too_much_was_written_to_it() {
    let mut case = Case::crashed("caching page 812");
    case.exit =
        Some(Exit { limit: Some(format!("it wrote more than 10 GB {}", Exit::DISK)), ..exit(0) });
    check(
        &case,
        "disk-limit",
        "`api` was ended because it wrote more than it may to the disk",
        "it wrote more than 10 GB to the disk of this machine\ncaching page 812",
    );
}

#[test]
fn a_command_that_never_began() {
    let mut case = Case::new();
    case.exit =
        Some(Exit { code: None, start_error: Some("executable `x` not found".into()), ..exit(0) });
    check(&case, "command-not-found", "`api` calls a command, which is not there", "executable");
    case.exit =
        Some(Exit { code: None, start_error: Some("cannot make the network".into()), ..exit(0) });
    check(&case, "start-failed", "`api` could not be started", "cannot make the network");
}

#[test]
fn exit_codes_of_shells() {
    let mut case = Case::crashed("sh: 1: ./start.sh: Permission denied");
    case.exit = Some(exit(126));
    check(
        &case,
        "command-not-executable",
        "`api` calls `./start.sh`, which cannot be executed",
        "sh: 1: ./start.sh",
    );
    let mut case = Case::crashed("sh: 1: gunicorn: not found");
    case.exit = Some(exit(127));
    check(&case, "command-not-found", "`api` calls `gunicorn`, which is not there", "sh: 1:");
    let mut case = Case::crashed("Killed");
    case.exit = Some(exit(137));
    check(&case, "killed", "`api` was ended with signal KILL", "Killed");
    let mut case = Case::crashed("Segmentation fault");
    case.exit = Some(exit(139));
    check(&case, "ended-by-signal", "`api` was ended by signal `SEGV`", "Segmentation fault");
}

#[test]
fn a_service_that_ends_well_has_ended_too_early() {
    let mut case = Case::crashed("Error: this was handled\nserver started in the background");
    case.exit = Some(exit(0));
    check(
        &case,
        "exited-early",
        "`api` ended with code 0, and a service is to go on running",
        "Error: this was handled",
    );
}

#[test]
fn a_crash_loop_is_named_with_its_count() {
    let mut case = Case::crashed("Error: Cannot find module 'pg'");
    case.phase = Phase::Running;
    case.restarts = 6;
    check(
        &case,
        "module-missing",
        "`api` cannot find the module `pg`; it has ended 7 times in a row",
        "Error",
    );
    case.restarts = 1;
    assert!(!case.diagnose().message.contains("in a row"));
}

#[test]
fn silence_is_called_that() {
    check(
        &Case::crashed(""),
        "crashed-silently",
        "`api` exited with code `1` and said nothing",
        "",
    );
}

#[test]
fn a_variable_that_nobody_gave_is_recognised_in_the_error() {
    let mut case = Case::crashed("AssertionError: mailKey (MAILKEY) looks odd");
    case.missing =
        vec![Missing { key: "MAILKEY".into(), why: "`sync: false`, and nobody gave it".into() }];
    let message = "`api` needs the environment variable `MAILKEY`, which has no value";
    check(&case, "variable-missing", message, "AssertionError: mailKey");
    let detail = case.diagnose().detail.unwrap();
    assert!(detail.contains("nobody gave it"), "{detail}");
}

#[test]
fn variables_without_a_value_are_listed_when_nothing_else_is_known() {
    let mut case = Case::crashed("bye");
    case.missing = vec![Missing { key: "MAIL_KEY".into(), why: "not given".into() }];
    let hint = case.diagnose().hint.unwrap();
    assert!(hint.contains("without a value so far: MAIL_KEY"), "{hint}");
}
