//! Keeping the control plane alive.
//!
//! A server that is to go on leaves word of how it is started in the run directory. The edge, which
//! outlives it, waits for its end in a thread of its own, and starts it again while that word
//! stands. Whoever ends a server on purpose takes the word away first, so a deliberate stop is
//! respected. The server looks after the edge in turn (`control::tasks::routes`).

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde::{Deserialize, Serialize};

use super::paths::Paths;

/// The file's name in the run directory.
const FILE: &str = "keep.json";
/// The pause before a server that had run well is started again; it doubles with each start that
/// does not last.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// The longest of these pauses. It is never given up: what is in the way may go away.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A server that lived this long had started well.
const STEADY: Duration = Duration::from_secs(60);
/// How often it is looked whether a server is wanted while none is.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How the server is started again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Keep {
    /// The program.
    program: PathBuf,
    /// Its arguments.
    arguments: Vec<String>,
}

impl Keep {
    /// The server of this process, with these arguments after `server --detached`.
    ///
    /// # Errors
    /// When the path of this program is not known.
    pub(crate) fn this(paths: &Paths, more: &[String]) -> io::Result<Self> {
        let mut arguments: Vec<String> = ["server", "--detached"].map(str::to_owned).into();
        for (flag, path) in [("--state-dir", &paths.state_dir), ("--run-dir", &paths.run_dir)] {
            arguments.extend([flag.to_owned(), path.display().to_string()]);
        }
        arguments.extend_from_slice(more);
        Ok(Self { program: std::env::current_exe()?, arguments })
    }

    /// Leaves word that the server is to go on.
    ///
    /// # Errors
    /// When the run directory cannot be written.
    pub(crate) fn write(&self, run_dir: &Path) -> io::Result<()> {
        let new = run_dir.join(FILE).with_extension("json.new");
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        std::fs::rename(&new, run_dir.join(FILE))
    }

    /// How the server is started, if it is to go on.
    pub(crate) fn read(run_dir: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(run_dir.join(FILE)).ok()?).ok()
    }

    /// Takes the word back: the server ends on purpose.
    pub(crate) fn remove(run_dir: &Path) {
        // It may never have been there.
        let _ = std::fs::remove_file(run_dir.join(FILE));
    }

    /// Keeps the word where it is looked for, whatever cleans the run directory. Never returns.
    pub(crate) async fn stand(self, run_dir: PathBuf) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if Self::read(&run_dir).as_ref() != Some(&self)
                && let Err(error) = self.write(&run_dir)
            {
                tracing::warn!("cannot write {FILE}: {error}");
            }
        }
    }

    /// Starts the server with these limits of open files and waits for its end.
    fn run(&self, state_dir: &Path, files: Rlimit) -> io::Result<std::process::ExitStatus> {
        let log = File::options().create(true).append(true).open(state_dir.join("server.log"))?;
        let errors = log.try_clone()?;
        let mut command = Command::new(program(&self.program));
        command.args(&self.arguments).current_dir("/");
        let mut server = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn()?;
        if let Some(pid) = Pid::from_raw(i32::try_from(server.id()).unwrap_or_default()) {
            // Instances inherit the limit, and some programs go through all files that they may open.
            prlimit(Some(pid), Resource::Nofile, files)?;
        }
        server.wait()
    }
}

/// A program that was replaced while it ran has its old path with a note of the kernel's.
fn program(path: &Path) -> PathBuf {
    match path.to_str().and_then(|text| text.strip_suffix(" (deleted)")) {
        Some(replaced) if !path.exists() => PathBuf::from(replaced),
        _ => path.to_owned(),
    }
}

/// The pause before the next start, after so many in a row that did not last.
fn pause(failures: u32) -> Duration {
    PAUSE_FIRST.saturating_mul(2_u32.saturating_pow(failures)).min(PAUSE_MAX)
}

/// Starts the server of this state directory again whenever it goes, for as long as this process
/// lives.
pub(crate) fn watch(state_dir: PathBuf, run_dir: PathBuf) {
    // Before the edge raises its own.
    let files = getrlimit(Resource::Nofile);
    let watching = std::thread::Builder::new()
        .name("keeper".to_owned())
        .spawn(move || watch_here(&state_dir, &run_dir, &files));
    if let Err(error) = watching {
        tracing::error!("the server will not be started again when it goes: {error}");
    }
}

fn watch_here(state_dir: &Path, run_dir: &Path, files: &Rlimit) -> ! {
    let mut failures = 0;
    loop {
        if let Err(error) = wait_for_end(&control::server::alive_file(state_dir)) {
            tracing::warn!("cannot wait for the end of the server: {error}");
            std::thread::sleep(LOOK_EVERY);
            continue;
        }
        if Keep::read(run_dir).is_none() {
            std::thread::sleep(LOOK_EVERY);
            continue;
        }
        std::thread::sleep(pause(failures));
        // It may have been ended on purpose, or started by somebody else, meanwhile.
        let Some(keep) = Keep::read(run_dir) else { continue };
        tracing::warn!("the server has gone; it is started again");
        let started = Instant::now();
        match keep.run(state_dir, *files) {
            Ok(status) => tracing::warn!("the server that was started again: {status}"),
            Err(error) => tracing::error!("the server cannot be started again: {error}"),
        }
        failures = if started.elapsed() < STEADY { failures + 1 } else { 0 };
    }
}

/// Returns when no server has the lock. The lock is given back at once: it keeps nobody away.
fn wait_for_end(path: &Path) -> io::Result<()> {
    File::options().create(true).truncate(false).write(true).open(path)?.lock_shared()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(directory: &Path) -> Paths {
        Paths { state_dir: directory.join("state"), run_dir: directory.to_owned() }
    }

    #[test]
    fn pauses_grow_to_a_limit_and_no_further() {
        assert_eq!(pause(0), PAUSE_FIRST);
        assert_eq!(pause(1), PAUSE_FIRST * 2);
        assert_eq!(pause(9), PAUSE_MAX);
        assert_eq!(pause(u32::MAX), PAUSE_MAX);
    }

    #[test]
    fn a_server_that_ended_on_purpose_leaves_no_word() {
        let directory = tempfile::tempdir().unwrap();
        let keep = Keep::this(&paths(directory.path()), &["--plain".to_owned()]).unwrap();
        keep.write(directory.path()).unwrap();
        assert_eq!(Keep::read(directory.path()), Some(keep.clone()));
        assert!(keep.arguments.ends_with(&["--plain".to_owned()]), "{keep:?}");
        Keep::remove(directory.path());
        assert_eq!(Keep::read(directory.path()), None);
    }

    #[test]
    fn a_program_that_was_replaced_is_started_from_its_path() {
        assert_eq!(program(Path::new("/nowhere/gable (deleted)")), Path::new("/nowhere/gable"));
        assert_eq!(program(Path::new("/nowhere/gable")), Path::new("/nowhere/gable"));
    }
}
