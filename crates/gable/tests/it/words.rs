//! Help, mistakes on the command line, completions.

use super::support::{run, run_in};

#[test]
fn the_first_help_fits_on_a_screen_and_has_examples() {
    let said = run(&["--help"]);
    assert_eq!(said.code, 0);
    insta::assert_snapshot!(said.stdout, @r"
        Gable runs your Blueprint under your own roof: all of a render.yaml or compose.yaml, on this machine

        Usage: gable [OPTIONS] <COMMAND>

        Commands:
          up           Run a Blueprint or compose files: build, start, follow, until Ctrl-C
          plan         Show what `up` would do, and change nothing
          status       Show how everything stands
          logs         Show what services wrote
          exec         Run a command inside a running instance
          run          Run a command as a one-off job, in an instance of its own
          restart      Start a service again, without a build
          deploy       Deploy a service again, as it is declared now
          rollback     Make an earlier release live again, without a build
          cancel       Give up a deploy that is under way
          env          Show and change environment variables
          psql         Open a database's own client
          down         Stop a project; data is kept
          blueprint    Check, mend and explain render.yaml and compose files
          doctor       Show what this machine can do, and what is missing
          trust        Have this machine's programs and browsers believe the https of local URLs
          explain      Explain a problem code
          completions  Print completions for a shell
          disk         Show who holds what of the disk, and clean
          server       Start, stop or look at the server (`up` starts it by itself)
          install      Let systemd keep the server and start it with the machine
          uninstall    Take that unit away again

        Options:
          -h, --help     Print help
          -V, --version  Print version

        Everywhere:
              --state-dir <DIR>  Where Gable keeps its state and your data [default: /var/lib/gable, or
                                 below ~/.local/state] [env: GABLE_STATE_DIR]
              --json             Write JSON to stdout, for programs
              --color <WHEN>     When to use colours; NO_COLOR is respected [default: auto]

        Examples:
          gable up                      run the render.yaml or compose.yaml here, until Ctrl-C
          gable up ~/shop --detach      run it in the background and print the URLs
          gable status                  how everything stands
          gable logs -f api             what the api says
          gable down                    stop everything; data is kept

        Exit codes:
          0  done      1  something failed or was refused      2  the command line is wrong
          130  interrupted      run, exec, psql: the command's own, or 125 when Gable itself failed

        `gable COMMAND --help` has examples for each command.
        ");
}

#[test]
fn no_command_shows_the_help_and_is_a_mistake() {
    let said = run(&[]);
    assert_eq!((said.code, said.stdout.as_str()), (2, ""));
    assert!(said.stderr.contains("Usage: gable"), "{}", said.stderr);
}

#[test]
fn each_command_has_a_help_with_examples() {
    let commands = [
        "up",
        "plan",
        "status",
        "logs",
        "exec",
        "run",
        "restart",
        "deploy",
        "rollback",
        "cancel",
        "env",
        "psql",
        "down",
        "explain",
        "completions",
        "disk",
        "server",
        "install",
        "uninstall",
    ];
    for command in commands {
        let said = run(&[command, "--help"]);
        assert_eq!(said.code, 0, "{command}");
        assert!(said.stdout.contains("Example"), "{command}: {}", said.stdout);
    }
    for command in ["validate", "fix", "explain"] {
        assert!(run(&["blueprint", command, "--help"]).stdout.contains("Examples:"), "{command}");
    }
}

#[test]
fn roles_that_nobody_types_are_not_shown() {
    let help = run(&["--help"]).stdout;
    for role in ["edge", "shim", "builder"] {
        assert!(!help.contains(&format!("\n  {role} ")), "{help}");
    }
}

#[test]
fn mistakes_on_the_command_line_end_with_2_and_name_what_was_meant() {
    let said = run(&["up", "--detatch"]);
    insta::assert_snapshot!(said.whole(), @r"
        exit 2
        --- stdout
        --- stderr
        error: unexpected argument '--detatch' found

          tip: a similar argument exists: '--detach'

        Usage: gable up --detach [PATH]

        For more information, try '--help'.
        ");
    assert_eq!(run(&["logs", "-n", "many"]).code, 2);
    assert_eq!(run(&["run", "api"]).code, 2);
    assert_eq!(run(&["up", "--port", "80", "--listen", "127.0.0.1:81"]).code, 2);
    assert_eq!(run(&["explain", "no-such-code"]).code, 1);
}

#[test]
fn a_path_that_is_not_there_is_told_before_anything_starts() {
    let directory = tempfile::tempdir().unwrap();
    let said = run_in(directory.path(), &["up", "nowhere", "--state-dir", "state"]);
    insta::assert_snapshot!(said.whole(), @r"
        exit 2
        --- stdout
        --- stderr
        error: nowhere cannot be read: No such file or directory (os error 2)
        ");
    assert!(!directory.path().join("state").exists());
}

#[test]
fn a_wrong_value_is_told_with_its_line_and_never_shown() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(".env"), "A=1\nhunter2\nB='hunter3\n").unwrap();
    let said = run_in(directory.path(), &["up", "--env-file", ".env", "--state-dir", "state"]);
    insta::assert_snapshot!(said.whole(), @r"
        exit 2
        --- stdout
        --- stderr
        error: .env is not a file of variables
          .env:3:3: the quote is never closed

        hint: a line is `KEY=value`; longer values go in quotes
        ");
    let said = run_in(
        directory.path(),
        &["up", "--set", "A=1", "--set", "hunter2", "--state-dir", "state"],
    );
    insta::assert_snapshot!(said.whole(), @r"
        exit 2
        --- stdout
        --- stderr
        error: `--set` number 2: there is no `=`

        hint: write `--set SERVICE.KEY=VALUE`
        ");
}

#[test]
fn completions_are_made_for_each_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let said = run(&["completions", shell]);
        assert_eq!(said.code, 0, "{shell}");
        assert!(said.stdout.contains("gable") && said.stdout.contains("detach"), "{shell}");
    }
}

#[test]
fn a_problem_code_is_explained_also_as_it_is_printed() {
    let codes = run(&["explain"]).stdout;
    let code = codes.lines().next().expect("there are codes");
    let page = run(&["explain", &format!("[{code}]")]);
    assert_eq!(page.code, 0);
    assert!(page.stdout.starts_with(code), "{}", page.stdout);
}
