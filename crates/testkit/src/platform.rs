//! The real `gable`, with a state directory and a port of its own.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::process::Command;

use crate::http::{self, Answer};
use crate::process::{self, Signal};
use crate::traces::Traces;

/// A command that takes longer has hung.
const COMMAND_TIME_MAX: Duration = Duration::from_secs(600);
/// Cleaning up after a test.
const DOWN_TIME_MAX: Duration = Duration::from_secs(120);
/// The platform ends by itself this soon after its last project is gone.
const END_TIME_MAX: Duration = Duration::from_secs(10);
/// A process that was killed is gone by then.
const KILL_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a server may take until it answers: it finds everything again first.
const SERVER_START_TIME_MAX: Duration = Duration::from_secs(30);
const SERVER_START_POLL: Duration = Duration::from_millis(5);
/// So much of an output is shown when something fails.
const SHOWN_BYTES_MAX: usize = 6_000;

/// How a platform is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// The binary: `env!("CARGO_BIN_EXE_gable")` in tests of that crate.
    pub binary: PathBuf,
    /// Variables for every command and for the server, on top of the test's own.
    pub env: Vec<(String, String)>,
    /// Contents of a file for `--operator-env`; empty for none.
    pub operator_env: String,
}

impl Options {
    /// A platform of this binary. Builds and instances get what this machine needs to reach the
    /// outside: variables for proxies, certificates and package managers of the test itself.
    #[must_use]
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        Self { binary: binary.into(), env: Vec::new(), operator_env: operator_env() }
    }
}

/// What of the test's own environment builds need to download packages.
fn operator_env() -> String {
    const WANTED: &[&str] = &[
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
        "NODE_EXTRA_CA_CERTS",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
        "PIP_CERT",
        "CURL_CA_BUNDLE",
        "GIT_SSL_CAINFO",
        "PIP_INDEX_URL",
        "UV_INDEX_URL",
        "npm_config_registry",
        "NPM_CONFIG_REGISTRY",
        "npm_config_nodedir",
    ];
    let lines =
        WANTED.iter().filter_map(|key| Some(format!("{key}={}\n", std::env::var(key).ok()?)));
    lines.collect()
}

/// A platform that belongs to one test.
#[derive(Debug)]
pub struct Platform {
    options: Options,
    folder: TempDir,
    port: u16,
}

/// How a command ended.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its exit code; 128 + signal when one ended it.
    pub code: i32,
    /// What it wrote for programs.
    pub stdout: String,
    /// What it wrote for people.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
}

impl Run {
    /// The same, if the code is 0.
    ///
    /// # Errors
    /// With everything it wrote, if not.
    pub fn ok(self) -> Result<Self> {
        ensure!(self.code == 0, "{self}");
        Ok(self)
    }
}

impl fmt::Display for Run {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took = self.took.as_secs_f32();
        writeln!(formatter, "exit code {} after {took:.1} s", self.code)?;
        writeln!(formatter, "--- stdout\n{}", end_of(&self.stdout))?;
        writeln!(formatter, "--- stderr\n{}", end_of(&self.stderr))
    }
}

fn end_of(text: &str) -> &str {
    let mut start = text.len().saturating_sub(SHOWN_BYTES_MAX);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

impl Platform {
    /// Makes a state directory and chooses a port. Nothing runs before the first command.
    ///
    /// # Errors
    /// When the binary is not there, or the directory cannot be made.
    pub fn start(options: Options) -> Result<Self> {
        ensure!(options.binary.exists(), "{} is not there", options.binary.display());
        let folder = tempfile::Builder::new().prefix("gable-test-").tempdir()?;
        std::fs::create_dir(folder.path().join("state"))?;
        std::fs::write(folder.path().join("operator.env"), &options.operator_env)?;
        Ok(Self { options, folder, port: free_port()? })
    }

    /// The state directory.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// The port of the edge.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `gable up PATH --detach --yes` with the platform's own port and state.
    ///
    /// # Errors
    /// When it cannot be started or hangs. A deploy that failed is no error: look at the code.
    pub async fn up(&self, path: &Path, more: &[&str]) -> Result<Run> {
        finish(self.up_command(path, more)?, "up").await
    }

    /// The same, for tests that do something while it runs.
    ///
    /// # Errors
    /// When there is no such path.
    pub fn up_command(&self, path: &Path, more: &[&str]) -> Result<Command> {
        let path = path.canonicalize().with_context(|| path.display().to_string())?;
        let mut command = self.command(&["up"]);
        command.arg(path).args(["--detach", "--yes", "--port", &self.port.to_string()]);
        command.arg("--operator-env").arg(self.folder.path().join("operator.env")).args(more);
        Ok(command)
    }

    /// Any command, with the platform's state.
    ///
    /// # Errors
    /// When it cannot be started or takes longer than ten minutes.
    pub async fn gable(&self, arguments: &[&str]) -> Result<Run> {
        finish(self.command(arguments), &arguments.join(" ")).await
    }

    /// A command with the platform's state, for tests that keep it running.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.options.binary);
        command
            .args(arguments)
            .env("GABLE_STATE_DIR", self.state_dir())
            .env("NO_COLOR", "1")
            // There is only one usual address, and many platforms at once.
            .env("GABLE_HTTPS_LISTEN", "none")
            .envs(self.options.env.iter().map(|(key, value)| (key, value)))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Everything that `gable status --json` says, whether all is well or not.
    ///
    /// # Errors
    /// When there is no server.
    pub async fn status(&self) -> Result<Value> {
        let run = self.gable(&["status", "--json"]).await?;
        serde_json::from_str(&run.stdout).with_context(|| run.to_string())
    }

    /// What the status says about one service.
    ///
    /// # Errors
    /// When there is no server, or no such service.
    pub async fn service(&self, name: &str) -> Result<Value> {
        let status = self.status().await?;
        let projects = status["projects"].as_array().into_iter().flatten();
        projects
            .flat_map(|project| project["environments"].as_array().into_iter().flatten())
            .flat_map(|environment| environment["services"].as_array().into_iter().flatten())
            .find(|service| service["name"] == name)
            .cloned()
            .with_context(|| format!("no service {name} in {status:#}"))
    }

    /// Starts the control plane as a service manager does, without any arguments: it remembers.
    /// Returns when it answers.
    ///
    /// # Errors
    /// When it cannot be started, or does not answer.
    pub fn start_server(&self) -> Result<()> {
        self.start_server_with(&[])
    }

    /// Starts a control plane that ends itself, as `kill -9` would, when it comes to a point:
    /// `created` (a deploy was written down, and nothing else knows of it) or `switched` (the edge
    /// has taken the new route, and the deploy is not live yet). Only builds with debug assertions
    /// have these points; the variable is `GABLE_CRASH_AT`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_server_that_crashes_at(&self, point: &str) -> Result<()> {
        self.start_server_with(&[("GABLE_CRASH_AT", point)])
    }

    fn start_server_with(&self, env: &[(&str, &str)]) -> Result<()> {
        let log = std::fs::File::options()
            .append(true)
            .create(true)
            .open(self.state_dir().join("server.log"))?;
        // The test is the service manager: the edge does not start it again.
        let mut command = self.command(&["server", "--detached", "--supervised"]);
        // It is not this value's to end: `down` does that.
        command.envs(env.iter().copied());
        command.kill_on_drop(false).stdout(Stdio::null()).stderr(log).spawn()?;
        // A command that finds no server starts one, and that would be another than this.
        let socket = self.run_dir().join("api.sock");
        let began = Instant::now();
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            ensure!(began.elapsed() < SERVER_START_TIME_MAX, "the server does not answer");
            std::thread::sleep(SERVER_START_POLL);
        }
        Ok(())
    }

    /// Ends the control plane without a warning, and waits until it is gone. Nobody starts it again
    /// but the test.
    ///
    /// # Errors
    /// When there is none.
    pub fn kill_server(&self) -> Result<()> {
        // Word that it is to go on; without it the edge takes the end as one on purpose.
        drop(std::fs::remove_file(self.run_dir().join("keep.json")));
        self.lose_server()
    }

    /// Ends the control plane without a warning, as the kernel or a person may at any time, and waits
    /// until it is gone.
    ///
    /// # Errors
    /// When there is none.
    pub fn lose_server(&self) -> Result<()> {
        let servers = self.processes("server");
        ensure!(!servers.is_empty(), "there is no server to kill");
        for server in &servers {
            process::send(*server, Signal::SIGKILL);
        }
        ensure!(process::wait_for_end(&servers, KILL_TIME_MAX), "the server outlives KILL");
        Ok(())
    }

    /// The address of a service for a browser, as `up` prints it.
    #[must_use]
    pub fn url(&self, service: &str) -> String {
        format!("http://{service}.localhost:{}", self.port)
    }

    /// GET through the edge.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn get(&self, service: &str, path: &str) -> Result<Answer> {
        let host = format!("{service}.localhost:{}", self.port);
        http::get((std::net::Ipv4Addr::LOCALHOST, self.port).into(), &host, path).await
    }

    /// GETs until `accept` says yes.
    ///
    /// # Errors
    /// With the last answer, when the time is up.
    pub async fn get_until(
        &self,
        service: &str,
        path: &str,
        time: Duration,
        accept: impl Fn(&Answer) -> bool,
    ) -> Result<Answer> {
        const ASK_EVERY: Duration = Duration::from_millis(50);
        let until = Instant::now() + time;
        loop {
            let answer = self.get(service, path).await;
            match answer {
                Ok(answer) if accept(&answer) => return Ok(answer),
                other if Instant::now() >= until => bail!("{service}{path}: last was {other:?}"),
                _ => tokio::time::sleep(ASK_EVERY).await,
            }
        }
    }

    /// Processes of one role (`server`, `edge`, `shim`) of this platform.
    #[must_use]
    pub fn processes(&self, role: &str) -> Vec<u32> {
        let is_role = |id: &u32| {
            let arguments = process::arguments(*id).unwrap_or_default();
            let bare = |word: &&str| !word.starts_with('-') && !word.contains('/');
            arguments.split(' ').skip(1).find(bare) == Some(role)
        };
        self.all_processes().into_iter().filter(is_role).collect()
    }

    /// All processes of this platform that carry its directories in their arguments.
    #[must_use]
    pub fn all_processes(&self) -> Vec<u32> {
        let mut all = process::carrying(&self.folder.path().display().to_string());
        all.extend(process::carrying(&self.run_dir().display().to_string()));
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Where its sockets are.
    #[must_use]
    pub fn run_dir(&self) -> PathBuf {
        let state = self.state_dir();
        let state = state.canonicalize().unwrap_or(state);
        let hash = Sha256::digest(state.display().to_string().as_bytes());
        let hash: String = hash[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        let base = match std::env::var_os("XDG_RUNTIME_DIR") {
            Some(dir) if !nix::unistd::geteuid().is_root() => PathBuf::from(dir),
            _ => PathBuf::from("/run"),
        };
        base.join("gable").join(hash)
    }

    /// Removes what was deployed, which ends the platform, and says what would not go.
    ///
    /// # Errors
    /// When `down --purge` fails, or a process, network, mount or cgroup is left.
    pub async fn stop(self) -> Result<()> {
        let status = self.status().await?;
        let traces = Traces::of(&status, &[self.folder.path().to_owned(), self.run_dir()]);
        for project in project_names(&status) {
            self.gable(&["down", &project, "--purge", "--yes"]).await?.ok()?;
        }
        let _told_below = process::wait_for_end(&self.all_processes(), END_TIME_MAX);
        let mut left: Vec<String> =
            self.all_processes().into_iter().filter_map(process::arguments).collect();
        left.extend(traces.left());
        ensure!(left.is_empty(), "left behind: {}", left.join("; "));
        Ok(())
    }

    /// A command for cleaning up, when there is no runtime any more.
    fn last_command(&self, arguments: &[&str]) -> Option<String> {
        let mut command = std::process::Command::new(&self.options.binary);
        command.args(arguments).env("GABLE_STATE_DIR", self.state_dir());
        command.envs(self.options.env.iter().map(|(key, value)| (key, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().ok()?;
        wait_at_most(&mut child, DOWN_TIME_MAX);
        let mut output = String::new();
        child.stdout.take()?.read_to_string(&mut output).ok()?;
        Some(output)
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        if !self.all_processes().is_empty() {
            let status = self.last_command(&["status", "--json"]).unwrap_or_default();
            let status = serde_json::from_str(&status).unwrap_or_default();
            for project in project_names(&status) {
                self.last_command(&["down", &project, "--purge", "--yes"]);
            }
        }
        process::end(&self.processes("server"));
        process::end(&self.all_processes());
        // Of a test that has failed: `stop` does not let anything pass.
        let run_dir = self.run_dir();
        process::unmount_below(&run_dir);
        drop(std::fs::remove_dir_all(run_dir));
    }
}

async fn finish(mut command: Command, what: &str) -> Result<Run> {
    let began = Instant::now();
    let output = tokio::time::timeout(COMMAND_TIME_MAX, command.output())
        .await
        .with_context(|| format!("`gable {what}` hangs"))??;
    Ok(Run {
        code: code(output.status),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        took: began.elapsed(),
    })
}

/// The projects that `status --json` lists.
fn project_names(status: &Value) -> Vec<String> {
    let projects = status["projects"].as_array().cloned().unwrap_or_default();
    projects.iter().filter_map(|project| project["name"].as_str().map(ToOwned::to_owned)).collect()
}

fn wait_at_most(child: &mut std::process::Child, time: Duration) {
    const LOOK_EVERY: Duration = Duration::from_millis(50);
    let until = Instant::now() + time;
    while Instant::now() < until {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    // It is our own child, and it hangs.
    drop(child.kill());
    drop(child.wait());
}

fn code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// Ports of tests begin here: below those that the kernel gives to whoever asks for any.
const FIRST_PORT: u16 = 23_000;
/// Places of processes, and ports of each.
const PLACES: u16 = 256;
const PORTS: u16 = 32;

/// A port of loopback that no other test is given: each process counts up from a place of its own,
/// in a range where the kernel gives none away.
///
/// # Errors
/// When all ports of this process's place are taken.
pub fn free_port() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let place = u16::try_from(std::process::id() % u32::from(PLACES))?;
    for _ in 0..PORTS {
        let port = FIRST_PORT + place * PORTS + NEXT.fetch_add(1, Ordering::Relaxed) % PORTS;
        if std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    anyhow::bail!("all ports of this process's place are taken")
}
