//! What the real interpreters of this machine say when a program fails.

use std::process::Command;

use super::*;

/// The log and the end of a real command.
fn run(program: &str, arguments: &[&str]) -> Case {
    let output = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; `scripts/setup test` installs it"));
    let log = [output.stdout, output.stderr].concat();
    let log = String::from_utf8_lossy(&log).into_owned();
    Case { exit: Some(exit(output.status.code().unwrap())), ..Case::crashed(&log) }
}

fn node(program: &str) -> Case {
    run("/usr/bin/env", &["node", "-e", program])
}

fn python(program: &str) -> Case {
    run("/usr/bin/python3", &["-c", program])
}

#[track_caller]
fn check_code(case: &Case, code: &str, detail: &str) {
    let problem = case.diagnose();
    let seen = problem.detail.clone().unwrap_or_default();
    assert_eq!(problem.code, code, "{problem:#?}\n{}", case.log.join("\n"));
    assert!(seen.starts_with(detail), "{problem:#?}\n{}", case.log.join("\n"));
}

#[test]
fn what_node_says_is_understood() {
    let case = node("require('no-such-module')");
    check_code(&case, "module-missing", "Error: Cannot find module 'no-such-module'");
    let case = node("const x = undefined; x.split(',')");
    check_code(&case, "crashed", "TypeError: Cannot read properties of undefined");
    let case = node("Promise.reject(new Error('the queue is gone'))");
    check_code(&case, "crashed", "Error: the queue is gone");
    let case = node("if (!process.env.API_TOKEN) throw new Error('API_TOKEN is required')");
    check_code(&case, "variable-missing", "Error: API_TOKEN is required");
    let case = node("console.error('cannot go on'); process.exit(3)");
    check_code(&case, "crashed", "cannot go on");
    let case = node("require('net').connect(1, '127.0.0.1')");
    check_code(&case, "connection-refused", "Error: connect ECONNREFUSED 127.0.0.1:1");
    let case = node("require('fs').readFileSync('/no/such/file')");
    check_code(&case, "file-missing", "Error: ENOENT");
    let case = node("let x = ;");
    check_code(&case, "syntax-error", "SyntaxError");
    let case = run("/usr/bin/env", &["NODE_OPTIONS=--v8-pool-everything", "node", "-e", "1"]);
    check_code(&case, "option-refused", "");
    let program = "const s = require('net').createServer().listen(0, () => \
        require('net').createServer().listen(s.address().port))";
    check_code(&node(program), "address-in-use", "Error: listen EADDRINUSE");
}

#[test]
fn what_python_says_is_understood() {
    let case = python("import os; os.environ['API_TOKEN']");
    check_code(&case, "variable-missing", "KeyError: 'API_TOKEN'");
    let case = python("import no_such_module");
    check_code(&case, "module-missing", "ModuleNotFoundError: No module named 'no_such_module'");
    let case = python("def f(:\n  pass");
    check_code(&case, "syntax-error", "SyntaxError");
    let case = python("import socket; socket.create_connection(('127.0.0.1', 1))");
    check_code(&case, "connection-refused", "ConnectionRefusedError");
    let case = python("import socket; socket.getaddrinfo('no-such-host.invalid', 1)");
    check_code(&case, "host-not-found", "socket.gaierror");
    let case = python("open('/no/such/file')");
    check_code(&case, "file-missing", "FileNotFoundError");
    let case =
        python("try:\n  1/0\nexcept ZeroDivisionError as e:\n  raise RuntimeError('odd') from e");
    check_code(&case, "crashed", "RuntimeError: odd");
    let case = python("import sys; sys.exit('DATABASE_URL is not set')");
    check_code(&case, "variable-missing", "DATABASE_URL is not set");
}

#[test]
fn what_shells_say_is_understood() {
    let case = run("/bin/sh", &["-c", "no-such-program --serve"]);
    check_code(&case, "command-not-found", "/bin/sh: 1: no-such-program: not found");
    assert!(case.diagnose().message.contains("`no-such-program`"));
    let case = run("/bin/sh", &["-c", "/etc/passwd"]);
    check_code(&case, "command-not-executable", "/bin/sh: 1: /etc/passwd: Permission denied");
    let case = run("/bin/bash", &["-uc", "echo $API_TOKEN_NAME"]);
    check_code(&case, "variable-missing", "/bin/bash: ");
    let case = run("/bin/sh", &["-c", "sh -c 'kill -SEGV $$'; exit $?"]);
    check_code(&case, "ended-by-signal", "");
}
