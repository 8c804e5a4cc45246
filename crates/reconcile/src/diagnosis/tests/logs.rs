//! Logs of many languages: the decisive line is found, and understood.

use super::*;

#[track_caller]
fn check_log(log: &str, code: &str, message: &str, detail: &str) {
    check(&Case::crashed(log), code, message, detail);
}

#[test]
fn python_without_a_variable() {
    check_log(
        r#"Booting the shop
Traceback (most recent call last):
  File "/opt/render/project/src/main.py", line 4, in <module>
    key = os.environ["SECRET_KEY"]
          ~~~~~~~~~~^^^^^^^^^^^^^^
  File "<frozen os>", line 714, in __getitem__
KeyError: 'SECRET_KEY'"#,
        "variable-missing",
        "`api` needs the environment variable `SECRET_KEY`, which has no value",
        "KeyError: 'SECRET_KEY'",
    );
}

#[test]
fn a_key_error_for_a_variable_that_is_set_is_about_something_else() {
    let mut case = Case::crashed(
        "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\nKeyError: 'UNIT_PRICE'",
    );
    case.env_keys = vec!["UNIT_PRICE".into()];
    check(&case, "crashed", "`api` exited with code `1`", "KeyError: 'UNIT_PRICE'");
}

#[test]
fn python_without_a_module() {
    check_log(
        "Traceback (most recent call last):\n  File \"app.py\", line 1, in <module>\n    import flask\nModuleNotFoundError: No module named 'flask'\n[2026-11-21] [ERROR] Worker (pid:7) exited with code 3",
        "module-missing",
        "`api` cannot find the module `flask`",
        "ModuleNotFoundError: No module named 'flask'",
    );
}

#[test]
fn pydantic_settings_name_the_field_and_not_the_input() {
    let mut case = Case::crashed(
        r#"Traceback (most recent call last):
  File "settings.py", line 9, in <module>
    settings = Settings()
pydantic_core._pydantic_core.ValidationError: 1 validation error for Settings
jwt_secret
  Field required [type=missing, input_value={'database_url': 'postgresql://a:hunter22@db/x'}, input_type=dict]
    For further information visit a page"#,
    );
    case.secrets = vec!["hunter22".into()];
    check(
        &case,
        "variable-missing",
        "`api` needs the environment variable `JWT_SECRET`, which has no value",
        "jwt_secret: Field required",
    );
    assert!(!case.diagnose().detail.unwrap().contains("input_value"));
}

#[test]
fn a_chain_of_python_errors_shows_the_first_cause_and_the_end() {
    let case = Case::crashed(
        r#"Traceback (most recent call last):
  File "db.py", line 3, in connect
psycopg.OperationalError: connection to server at "10.77.0.4", port 5432 failed: Connection refused

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "main.py", line 12, in <module>
shop.StartupError: giving up"#,
    );
    check(
        &case,
        "connection-refused",
        "`api` was refused a connection to `10.77.0.4`",
        "psycopg.OperationalError: connection to server",
    );
    assert!(case.diagnose().detail.unwrap().ends_with("shop.StartupError: giving up"));
}

#[test]
fn an_older_traceback_that_was_survived_does_not_hide_the_end() {
    check_log(
        "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\nValueError: odd row\ncontinuing\nTraceback (most recent call last):\n  File \"a.py\", line 2, in g\nZeroDivisionError: division by zero",
        "crashed",
        "`api` exited with code `1`",
        "ZeroDivisionError: division by zero",
    );
}

#[test]
fn node_without_a_module() {
    check_log(
        "node:internal/modules/cjs/loader:1210\n  throw err;\n  ^\n\nError: Cannot find module 'express'\nRequire stack:\n- /opt/render/project/src/server.js\n    at Module._resolveFilename (node:internal/modules/cjs/loader:1207:15) {\n  code: 'MODULE_NOT_FOUND'\n}\n\nNode.js v20.20.2",
        "module-missing",
        "`api` cannot find the module `express`",
        "Error: Cannot find module 'express'",
    );
}

#[test]
fn node_without_its_build_output() {
    check_log(
        "node:internal/modules/cjs/loader:1210\n  throw err;\n\nError: Cannot find module '/opt/render/project/src/dist/main.js'\n    at x (node:internal:1:1)\n\nNode.js v20.20.2",
        "build-output-missing",
        "`api` needs `/opt/render/project/src/dist/main.js`, which the build did not make",
        "Error: Cannot find module",
    );
}

#[test]
fn node_that_throws_something_of_its_own() {
    check_log(
        "ready in 3 ms\n/opt/render/project/src/index.js:7\n    throw new Error('the moon is full')\n    ^\n\nError: the moon is full\n    at Object.<anonymous> (/opt/render/project/src/index.js:7:11)\n    at node:internal/main/run_main_module:28:49\n\nNode.js v20.20.2\nnpm error Lifecycle script `start` failed with error:\nnpm error code 1\nnpm error path /opt/render/project/src",
        "crashed",
        "`api` exited with code `1`",
        "Error: the moon is full",
    );
}

#[test]
fn an_option_that_node_refuses() {
    let mut case = Case::crashed("node: --import-everything is not allowed in NODE_OPTIONS");
    case.exit = Some(exit(9));
    check(
        &case,
        "option-refused",
        "`api` could not start: Node refuses the option `--import-everything`",
        "node: --import-everything is not allowed",
    );
}

#[test]
fn node_refused_by_its_database() {
    check_log(
        "node:net:1611\nError: connect ECONNREFUSED 127.0.0.1:5432\n    at TCPConnectWrap.afterConnect (node:net:1611:16)\n\nNode.js v20.20.2",
        "connection-refused",
        "`api` was refused a connection to `127.0.0.1:5432`",
        "Error: connect ECONNREFUSED 127.0.0.1:5432",
    );
}

#[test]
fn a_variable_that_a_program_asks_for_in_words() {
    for (line, name) in [
        ("Error: DATABASE_URL is required", "DATABASE_URL"),
        ("Missing required environment variable: STRIPE_SECRET_KEY", "STRIPE_SECRET_KEY"),
        ("Invalid environment variables: { OPENAI_API_KEY: [ 'Required' ] }", "OPENAI_API_KEY"),
        ("required key SMTP_HOST missing value", "SMTP_HOST"),
        ("start.sh: line 3: APP_SECRET: unbound variable", "APP_SECRET"),
        ("environment variable SECRET_KEY_BASE is missing.", "SECRET_KEY_BASE"),
        (
            "django.core.exceptions.ImproperlyConfigured: Set the DJANGO_KEY environment variable",
            "DJANGO_KEY",
        ),
        ("fatal: REDIS_URL must be set", "REDIS_URL"),
    ] {
        check_log(
            line,
            "variable-missing",
            &format!("`api` needs the environment variable `{name}`, which has no value"),
            line,
        );
    }
}

#[test]
fn a_warning_about_a_variable_is_no_cause() {
    check_log(
        "warning: SENTRY_DSN is not set, reporting is off\nlistening\nfatal: the clock ran backwards",
        "crashed",
        "`api` exited with code `1`",
        "fatal: the clock ran backwards",
    );
}

#[test]
fn a_variable_said_to_be_missing_explains_what_fails_later() {
    let case = Case::crashed(
        "FEED_URL is not set\n/opt/render/project/src/a.js:2\n\nTypeError: Cannot read properties of undefined (reading 'split')\n    at a.js:2:10\n\nNode.js v20.20.2",
    );
    check(
        &case,
        "variable-missing",
        "`api` needs the environment variable `FEED_URL`, which has no value",
        "FEED_URL is not set",
    );
    assert!(case.diagnose().detail.unwrap().contains("TypeError"));
}

#[test]
fn other_languages() {
    for (log, code, what, detail) in [
        (
            "goroutine 1 [running]:\npanic: runtime error: index out of range [3]\n\ngoroutine 1 [running]:\nmain.main()\nexit status 2",
            "crashed",
            "`api` exited with code `1`",
            "panic: runtime error: index out of range [3]",
        ),
        (
            "2026/11/21 04:00:00 dial tcp 10.77.0.3:6379: connect: connection refused",
            "connection-refused",
            "`api` was refused a connection to `10.77.0.3:6379`",
            "2026/11/21",
        ),
        (
            "thread 'main' panicked at src/main.rs:9:5:\nno luck today\nnote: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
            "crashed",
            "`api` exited with code `1`",
            "thread 'main' panicked at src/main.rs:9:5: no luck today",
        ),
        (
            "config/app.rb:3:in 'Hash#fetch': key not found: \"STRIPE_KEY\" (KeyError)\n\tfrom config.ru:1:in 'block'",
            "variable-missing",
            "`api` needs the environment variable `STRIPE_KEY`, which has no value",
            "config/app.rb:3",
        ),
        (
            "/usr/lib/ruby/3.1.0/kernel.rb:1:in `require': cannot load such file -- puma (LoadError)",
            "module-missing",
            "`api` cannot find the module `puma`",
            "/usr/lib/ruby",
        ),
        (
            "** (RuntimeError) the world is not ready\n    (app 1.0.0) lib/app.ex:3: App.start/2",
            "crashed",
            "`api` exited with code `1`",
            "** (RuntimeError) the world is not ready",
        ),
        (
            "  File \"/opt/render/project/src/main.py\", line 3\n    def f(:\n          ^\nSyntaxError: invalid syntax",
            "syntax-error",
            "`api` has a syntax error: invalid syntax",
            "SyntaxError: invalid syntax",
        ),
        (
            "PHP Fatal error:  Uncaught Error: Call to undefined function mb_strlen() in /a.php:3",
            "crashed",
            "`api` exited with code `1`",
            "PHP Fatal error:",
        ),
    ] {
        check_log(log, code, what, detail);
    }
}

#[test]
fn databases() {
    for (line, code, what) in [
        (
            "psycopg.errors.UndefinedTable: relation \"users\" does not exist",
            "schema-missing",
            "`api` reads `users`, which the database does not have yet",
        ),
        (
            "The table `public.Account` does not exist in the current database.",
            "schema-missing",
            "`api` reads `public.Account`, which the database does not have yet",
        ),
        (
            "ERROR: extension \"vector\" is not available",
            "extension-unavailable",
            "`api` needs the PostgreSQL extension `vector`, which the database does not have",
        ),
        (
            "FATAL:  password authentication failed for user \"shop\"",
            "database-password-refused",
            "`api` was refused by the database: wrong user or password (`shop`)",
        ),
        (
            "FATAL:  database \"nope\" does not exist",
            "database-does-not-exist",
            "`api` names the database `nope`, which does not exist",
        ),
        (
            "Error: getaddrinfo ENOTFOUND db.internal",
            "host-not-found",
            "`api` asks for the host `db.internal`, which has no address",
        ),
        (
            "Error: P1001: Can't reach database server at `dpg-1:5432`",
            "connection-refused",
            "`api` was refused a connection to `dpg-1:5432`",
        ),
        (
            "Error: self-signed certificate",
            "database-tls",
            "`api` and the database do not agree about TLS",
        ),
        (
            "FATAL: sorry, too many clients already",
            "database-connections-exhausted",
            "`api` was refused by the database: no connection is left",
        ),
    ] {
        check_log(line, code, what, line);
    }
}

#[test]
fn a_refused_connection_to_a_database_that_is_not_ready_is_called_that() {
    let mut case = Case::crashed("Error: connect ECONNREFUSED 10.77.0.4:5432");
    case.stores_not_ready = vec!["shop-db".into()];
    check(
        &case,
        "database-not-ready",
        "`api` asked `shop-db` before it was ready",
        "Error: connect",
    );
}

#[test]
fn migrations_that_fail_in_the_pre_deploy_command() {
    let mut case = Case::crashed("Applying\nError: P3018\n\nA migration failed to apply.");
    case.phase = Phase::PreDeploy;
    check(
        &case,
        "migration-failed",
        "the pre-deploy command of `api` could not migrate the database (`P3018`)",
        "Error: P3018",
    );
}

#[test]
fn builds() {
    for (log, code, what, detail) in [
        (
            "src/a.ts(3,9): error TS2345: Argument of type 'string' is not assignable\nnpm error Lifecycle script `build` failed",
            "type-check-failed",
            "the build of `api` failed type checking (`TS2345`)",
            "src/a.ts(3,9): error TS2345",
        ),
        (
            "ERROR: Could not find a version that satisfies the requirement celery==99.0 (from versions: 5.3)\nERROR: No matching distribution found for celery==99.0",
            "package-version-missing",
            "the build of `api` asks for the package version `celery==99.0`, which does not exist",
            "ERROR: No matching distribution",
        ),
        (
            "npm error code ETARGET\nnpm error notarget No matching version found for left-pad@99.0.0.",
            "package-version-missing",
            "the build of `api` asks for the package version `left-pad@99.0.0`, which does not exist",
            "npm error notarget",
        ),
        (
            "sh: 1: vite: not found",
            "command-not-found",
            "the build of `api` calls `vite`, which is not there",
            "sh: 1: vite: not found",
        ),
        (
            "npm error `npm ci` can only install packages when your package.json and package-lock.json or npm-shrinkwrap.json are in sync.",
            "lockfile-out-of-date",
            "the build of `api` was refused: the lock file and the list of dependencies differ",
            "npm error",
        ),
        (
            "./main.go:7:2: undefined: x",
            "compilation-failed",
            "the build of `api` could not be compiled (`./main.go:7:2`)",
            "./main.go:7:2",
        ),
        (
            "npm error Missing script: \"bulid\"",
            "script-missing",
            "the build of `api` runs the script `bulid`, which `package.json` does not have",
            "npm error Missing script",
        ),
    ] {
        let case = Case { phase: Phase::Build, ..Case::crashed(log) };
        check(&case, code, what, detail);
    }
}

#[test]
fn an_unknown_failure_of_a_build_shows_its_first_error_and_its_last() {
    let mut case = Case::crashed(
        "Error: the schema engine was not there\nstep 2\nstep 3 failed with 7 errors\nmake: *** [all] Error 2",
    );
    case.phase = Phase::Build;
    check(
        &case,
        "crashed",
        "the build of `api` exited with code `1`",
        "Error: the schema engine was not there\nstep 3 failed with 7 errors",
    );
}

#[test]
fn ports_files_and_permissions() {
    for (line, code, what) in [
        (
            "Error: listen EADDRINUSE: address already in use :::3000",
            "address-in-use",
            "`api` wants the port `3000`, which is taken",
        ),
        (
            "[Errno 98] error while attempting to bind on address ('0.0.0.0', 8000): address already in use",
            "address-in-use",
            "`api` wants the port `8000`, which is taken",
        ),
        (
            "Error: listen EACCES: permission denied 0.0.0.0:80",
            "port-not-permitted",
            "`api` may not listen on port `80`",
        ),
        (
            "PermissionError: [Errno 13] Permission denied: '/var/lib/x'",
            "permission-denied",
            "`api` may not use `/var/lib/x`",
        ),
        (
            "OSError: [Errno 30] Read-only file system: '/etc/x'",
            "read-only-files",
            "`api` wants to write to `/etc/x`, which is read-only",
        ),
        (
            "Error: ENOENT: no such file or directory, open 'config.json'",
            "file-missing",
            "`api` looks for `config.json`, which is not there",
        ),
        (
            "Error: Could not find a production build in the '.next' directory.",
            "build-output-missing",
            "`api` needs `.next`, which the build did not make",
        ),
        (
            "python3: can't open file '/opt/render/project/src/run.py': [Errno 2] No such file or directory",
            "file-missing",
            "`api` looks for `/opt/render/project/src/run.py`, which is not there",
        ),
        (
            "ERROR:    Error loading ASGI app. Could not import module \"app.mian\".",
            "app-not-found",
            "`api` names the application `app.mian`, which the server cannot load",
        ),
        (
            "node: error while loading shared libraries: libvips.so.42: cannot open shared object file: No such file or directory",
            "library-missing",
            "`api` needs the system library `libvips.so.42`, which this machine does not have",
        ),
    ] {
        check_log(line, code, what, line);
    }
}

#[test]
fn colours_are_no_part_of_a_line() {
    check_log(
        "\u{1b}[31mError:\u{1b}[0m Cannot find module '\u{1b}[1mpg\u{1b}[0m'",
        "module-missing",
        "`api` cannot find the module `pg`",
        "Error: Cannot find module 'pg'",
    );
}

#[test]
fn several_variables_are_named_at_once_with_one_hint() {
    let case = Case::crashed(
        "2026-11-27 23:08:55,305 [ERROR] app.config: Missing required environment variables: DATABASE_URL, API_KEY.",
    );
    check(
        &case,
        "variable-missing",
        "`api` needs the environment variables `DATABASE_URL`, `API_KEY`, which have no value",
        "2026-11-27",
    );
    let hint = case.diagnose().hint.unwrap();
    assert!(hint.contains("--set api.DATABASE_URL=VALUE --set api.API_KEY=VALUE"), "{hint}");
}

#[test]
fn wrapper_lines_are_never_the_line_that_is_shown() {
    check_log(
        "the index is not there, failed to open it\nmake: *** [Makefile:2: serve] Error 1\nnpm error code 2\nnpm error Lifecycle script `start` failed with error:",
        "crashed",
        "`api` exited with code `1`",
        "the index is not there",
    );
}
