//! Finding the server, and starting it when there is none.

use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use wire::{Client, Problem, ServerInfo};

use super::paths::Paths;
use super::stop::Stop;

/// How long a new server may take until it answers: it finds everything again first.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a new server is asked whether it is there.
const START_POLL: Duration = Duration::from_millis(20);
/// A server that ends because another one was faster leaves that one this long to answer.
const OTHER_TIMEOUT: Duration = Duration::from_secs(3);
/// How much of the server's log is shown when it does not start.
const LOG_TAIL_LINES: usize = 15;
/// How much of the server's log is read for that.
const LOG_TAIL_BYTES: u64 = 16 * 1024;

/// How to start a server.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    /// Where its state and its sockets are.
    pub(crate) paths: Paths,
    /// Where its edge listens.
    pub(crate) listen: Vec<SocketAddr>,
    /// A file with the operator's variables.
    pub(crate) operator_env: Option<PathBuf>,
    /// Further words for `gable server`.
    pub(crate) more: Vec<String>,
}

/// A server that answers.
#[derive(Debug)]
pub(crate) struct Connected {
    /// Speaks with it.
    pub(crate) client: Client,
    /// What it says about itself.
    pub(crate) info: ServerInfo,
    /// Whether this process has started it.
    pub(crate) is_new: bool,
}

/// Connects to the server that is there.
///
/// # Errors
/// When there is none.
pub(crate) async fn find(paths: &Paths) -> Result<Connected, Stop> {
    let client = Client::new(&paths.api_socket());
    let info = client.server().await?;
    Ok(Connected { client, info, is_new: false })
}

/// Connects to the server, and starts it if there is none.
///
/// # Errors
/// When it does not start, with the end of its log.
pub(crate) async fn ensure(launch: &Launch) -> Result<Connected, Stop> {
    let client = Client::new(&launch.paths.api_socket());
    match client.server().await {
        Ok(info) => return Ok(Connected { client, info, is_new: false }),
        Err(error) if error.is_gone() => {}
        Err(error) => return Err(error.into()),
    }
    launch.paths.make().map_err(|error| {
        Stop::failed(
            Problem::new("server-start-failed", "the directories for the server cannot be made")
                .detail(error.to_string())
                .hint("choose another place with `--state-dir`"),
        )
    })?;
    let log = launch.paths.server_log();
    let log_start = std::fs::metadata(&log).map_or(0, |metadata| metadata.len());
    let child = spawn(launch, &log)?;
    let info = wait(&client, child, &log, log_start).await?;
    Ok(Connected { client, info, is_new: true })
}

fn spawn(launch: &Launch, log: &Path) -> Result<Child, Stop> {
    let failed = |error: std::io::Error| {
        Stop::failed(
            Problem::new("server-start-failed", "the server cannot be started")
                .detail(error.to_string()),
        )
    };
    let output = std::fs::File::options().create(true).append(true).open(log).map_err(failed)?;
    let errors = output.try_clone().map_err(failed)?;
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.args(["server", "--detached", "--state-dir"]).arg(&launch.paths.state_dir);
    command.arg("--run-dir").arg(&launch.paths.run_dir);
    for address in &launch.listen {
        command.arg("--listen").arg(address.to_string());
    }
    if let Some(file) = &launch.operator_env {
        command.arg("--operator-env").arg(file);
    }
    command.args(&launch.more);
    command.current_dir("/").stdin(Stdio::null()).stdout(output).stderr(errors);
    command.spawn().map_err(failed)
}

/// Waits until the server answers. If it ends because another one was faster, that one is taken.
async fn wait(
    client: &Client,
    mut child: Child,
    log: &Path,
    log_start: u64,
) -> Result<ServerInfo, Stop> {
    let started = Instant::now();
    let mut ended = None;
    loop {
        match client.server().await {
            Ok(info) => return Ok(info),
            Err(error) if error.is_gone() => {}
            Err(error) => return Err(error.into()),
        }
        if ended.is_none() && !matches!(child.try_wait(), Ok(None)) {
            ended = Some(Instant::now());
        }
        let is_hopeless = ended.is_some_and(|at| {
            at.elapsed() > OTHER_TIMEOUT || !mentions_other_server(log, log_start)
        });
        if is_hopeless {
            return Err(start_failed("the server ended before it answered", log, log_start));
        }
        if started.elapsed() > START_TIMEOUT {
            let message = format!("the server does not answer after {} s", START_TIMEOUT.as_secs());
            return Err(start_failed(&message, log, log_start));
        }
        tokio::time::sleep(START_POLL).await;
    }
}

/// The control plane names this code when another one has the state directory.
fn mentions_other_server(log: &Path, start: u64) -> bool {
    tail(log, start).contains("server-running")
}

fn start_failed(message: &str, log: &Path, log_start: u64) -> Stop {
    let said = tail(log, log_start);
    if let Some(problem) = last_words(&said) {
        return Stop::failed(problem);
    }
    let lines: Vec<&str> = said.lines().collect();
    let shown = lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n");
    let problem = Problem::new("server-start-failed", message);
    let problem = if shown.is_empty() { problem } else { problem.detail(shown) };
    Stop::failed(problem.hint(format!("all of its log is in {}", log.display())))
}

/// The problem that a server ended with, which it writes as any command does: `error: …`, its
/// detail below, and `hint: …`.
fn last_words(said: &str) -> Option<Problem> {
    let lines: Vec<&str> = said.lines().collect();
    let begin = lines.iter().rposition(|line| line.starts_with("error: "))?;
    let (head, rest) = (lines[begin].strip_prefix("error: ")?, &lines[begin + 1..]);
    let (message, code) = head.strip_suffix(']')?.rsplit_once(" [")?;
    let mut problem = Problem::new(code, message);
    let detail: Vec<&str> = rest.iter().map_while(|line| line.strip_prefix("  ")).collect();
    if !detail.is_empty() {
        problem = problem.detail(detail.join("\n"));
    }
    let hint = rest.iter().find_map(|line| line.strip_prefix("hint: "));
    Some(match hint {
        Some(hint) => problem.hint(hint),
        None => problem,
    })
}

/// What was written since `start`, at most its last part.
fn tail(log: &Path, start: u64) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(log)?;
        let end = file.metadata()?.len();
        file.seek(SeekFrom::Start(start.max(end.saturating_sub(LOG_TAIL_BYTES))))?;
        let mut bytes = Vec::new();
        file.take(LOG_TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_could_not_start_is_told_in_its_own_sentence_and_not_by_its_log() {
        let said = "2026-11-27T23:00:00Z ERROR gable::cli::server: 127.0.0.1:8080 is taken\nerror: 127.0.0.1:8080, where the edge is to listen, is taken by `nginx` (process 7) [edge-failed]\n\nhint: end that program\n";
        let problem = last_words(said).unwrap();
        assert_eq!(problem.code, "edge-failed");
        assert_eq!(
            problem.message,
            "127.0.0.1:8080, where the edge is to listen, is taken by `nginx` (process 7)"
        );
        assert_eq!((problem.detail, problem.hint.as_deref()), (None, Some("end that program")));
        assert_eq!(last_words("INFO all is well\n"), None);
    }
}
