use super::*;

/// A family from lines of `pid parent marks words…`: marks are `-` for none, or some of `t` (has a
/// handler for TERM), `q` (for QUIT), `i` (ignores INT and QUIT), `<N` (reads pipe N), `>N`.
fn family(lines: &[&str]) -> Vec<Process> {
    let mask = |signals: &[i32]| signals.iter().fold(0, |mask, signal| mask | 1 << (signal - 1));
    let read = |line: &&str| {
        let mut parts = line.splitn(4, ' ');
        let mut next = || parts.next().unwrap();
        let (pid, parent) = (next().parse().unwrap(), next().parse().unwrap());
        let mut process = Process { pid, parent, ..Process::default() };
        for mark in next().split(',') {
            match mark {
                "-" => {}
                "t" => process.catches |= mask(&[libc::SIGTERM]),
                "q" => process.catches |= mask(&[libc::SIGQUIT]),
                "i" => process.ignores |= mask(&[libc::SIGINT, libc::SIGQUIT]),
                pipe if pipe.starts_with('<') => process.reads = pipe[1..].parse().ok(),
                pipe => process.writes.extend(pipe[1..].parse::<u64>()),
            }
        }
        // `|` parts words where a title or a script has spaces.
        let text = next();
        let parted =
            if text.contains('|') { text.split('|') } else { return words(process, text) };
        process.words = parted.map(str::to_owned).collect();
        process
    };
    lines.iter().map(read).collect()
}

fn words(mut process: Process, text: &str) -> Process {
    process.words = text.split(' ').map(str::to_owned).collect();
    process
}

fn first(lines: &[&str]) -> Vec<i32> {
    asked(&family(lines), 2).first
}

#[test]
fn a_program_that_is_no_wrapper_is_asked_itself_and_its_children_are_not() {
    assert_eq!(
        first(&["2 1 t python3 -m celery worker", "3 2 - python3 -m celery", "4 2 - x"]),
        [2]
    );
    assert_eq!(first(&["2 1 t gunicorn: master [app]", "3 2 t gunicorn: worker [app]"]), [2]);
    assert_eq!(first(&["2 1 t node server.js", "3 2 - sh -c sharp"]), [2]);
    assert_eq!(first(&["2 1 t python3.11 /app/manage.py runserver", "3 2 t python3.11 x"]), [2]);
}

#[test]
fn wrappers_are_gone_through_to_the_application() {
    for wrapper in [
        "/bin/sh -c|cd api && ./server",
        "-bash ./start.sh",
        "/bin/busybox sh -c x",
        "npm start|",
        "npm run start:prod|",
        "npm exec serve|",
        "node /usr/lib/node_modules/npm/bin/npm-cli.js start",
        "node --max-old-space-size=99 /usr/bin/npx serve",
        "node /usr/local/bin/pnpm start",
        "node /usr/lib/node_modules/corepack/dist/pnpm.js start",
        "/usr/bin/node /app/.yarn/releases/yarn-4.9.1.cjs start",
        "node /usr/share/nodejs/yarn/bin/yarn.js start",
        "node /app/node_modules/.pnpm/tsx@4/node_modules/tsx/dist/cli.mjs a.ts",
        "node /app/node_modules/.bin/cross-env A=1 node x",
        "bun run start",
        "bun --bun start",
        "uv run gunicorn app",
        "/opt/uv --quiet run x",
        "python3 /usr/bin/poetry run x",
        "python /usr/bin/pipenv run x",
        "ruby /usr/bin/bundle exec puma",
        "node /app/node_modules/dotenv-cli/cli.js -- node x",
        "/sbin/tini -- node x",
        "dumb-init node x",
        "deno task start",
        "timeout 99 x",
    ] {
        let main = format!("2 1 - {wrapper}");
        assert_eq!(
            first(&[&main, "3 2 t node server.js", "4 3 - node worker.js"]),
            [3],
            "{wrapper}"
        );
    }
}

#[test]
fn names_that_only_look_like_wrappers_are_applications() {
    for application in [
        "bun server.ts",
        "bun run src/index.ts",
        "uv-server run",
        "uv pip install x",
        "node server.js npm",
        "python3 make_server.py",
        "node /app/npm/server.js",
        "honcho start",
        "node /app/node_modules/.bin/concurrently npm:a npm:b",
        "node /app/node_modules/npm-run-all/bin/run-p/index.js a b",
        "supervisord -n",
        "ruby /usr/bin/foreman start",
        "",
    ] {
        let main = format!("2 1 t {application}");
        assert_eq!(first(&[&main, "3 2 t node server.js"]), [2], "{application}");
    }
}

#[test]
fn wrappers_in_wrappers_end_at_the_first_application() {
    let chain = [
        "2 1 - /bin/sh -c|cd app && npm start",
        "3 2 t npm start|",
        "4 3 - sh -c|dotenv -- node server",
        "5 4 t node /app/node_modules/.bin/dotenv -- node server",
        "6 5 t node server",
        "7 6 t sh -c|convert",
    ];
    assert_eq!(first(&chain), [6]);
}

#[test]
fn a_wrapper_that_has_started_nothing_is_asked_itself() {
    assert_eq!(first(&["2 1 - sh -c x"]), [2]);
    assert_eq!(first(&["2 1 - sh -c x", "3 2 t npm start|"]), [3]);
    assert_eq!(asked(&family(&["3 2 - x"]), 2), Asked::default());
}

#[test]
fn a_shell_with_several_applications_has_all_of_them_asked() {
    let both = ["2 1 - sh -c|a & b & wait", "3 2 i python a", "4 2 i sh -c|b", "5 4 t node b"];
    assert_eq!(first(&both), [3, 5]);
    // Of `migrate && server`, only one is there at a time.
    assert_eq!(first(&["2 1 - sh -c|migrate && server", "3 2 - migrate"]), [3]);
}

#[test]
fn what_reads_the_output_of_an_application_is_not_asked() {
    let piped = ["2 1 - sh -c|server | tee log", "3 2 t,>9,>9 server", "4 2 -,<9 tee log"];
    assert_eq!(first(&piped), [3]);
    let three = ["2 1 - sh -c x", "3 2 >9 a", "4 2 <9,>8 jq", "5 2 <8 tee"];
    assert_eq!(first(&three), [3]);
    let whole = ["2 1 >9 bash -c|exec > >(tee log); server", "3 2 <9 tee log", "4 2 >9 server"];
    assert_eq!(first(&whole), [4]);
    // Two that read one another are both asked: somebody has to be.
    assert_eq!(first(&["2 1 - sh", "3 2 <9,>8 a", "4 2 <8,>9 b"]), [3, 4]);
}

#[test]
fn a_shell_with_a_trap_is_asked_itself_and_what_it_waits_for_later() {
    let background = ["2 1 t sh -c|trap … TERM; server & wait", "3 2 t,i server"];
    assert_eq!(asked(&family(&background), 2), Asked { first: vec![2], later: vec![] });
    let foreground = ["2 1 t sh -c|trap … TERM; npm start", "3 2 t npm start|", "4 3 t server"];
    assert_eq!(asked(&family(&foreground), 2), Asked { first: vec![2], later: vec![4] });
    let unknown = ["2 1 t sh -c|trap … TERM; gunicorn x & wait", "3 2 t,q gunicorn x"];
    assert_eq!(asked(&family(&unknown), 2), Asked { first: vec![2], later: vec![] });
    // npm has a handler too, and that is no trap.
    let below = ["2 1 t npm start|", "3 2 t sh -c|trap … TERM; server & wait", "4 3 i server"];
    assert_eq!(asked(&family(&below), 2).first, [3]);
}

#[test]
fn a_list_that_goes_round_comes_to_an_end() {
    assert!(!first(&["2 3 - sh -c x", "3 2 - sh -c y"]).is_empty());
}
