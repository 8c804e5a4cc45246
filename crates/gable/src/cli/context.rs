//! What every command has.

use std::cell::Cell;
use std::time::{Duration, Instant};

use wire::{Client, ShutdownRequest};

use super::connect::{self, Connected, Launch};
use super::keep::Keep;
use super::paths::Paths;
use super::printer::Printer;
use super::stop::Stop;

/// How long a server that was killed is waited for by a command that only reads.
const RETURN_LIMIT: Duration = Duration::from_secs(15);
const RETURN_POLL: Duration = Duration::from_millis(50);

/// What every command has.
#[derive(Debug)]
pub(crate) struct Context {
    /// Where state and sockets lie.
    pub(crate) paths: Paths,
    /// Writes to the terminal.
    pub(crate) printer: Printer,
    /// Whether a server was started for this command.
    pub(crate) started: Cell<bool>,
}

impl Context {
    /// The server that is there, for a command that only reads: it starts none. One that was killed
    /// and is about to come back is waited for.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) async fn running(&self) -> Result<Connected, Stop> {
        let deadline = Instant::now() + RETURN_LIMIT;
        loop {
            match connect::find(&self.paths).await {
                // One that is about to end breaks answers off, and is gone a moment later.
                Err(stop)
                    if Instant::now() < deadline
                        && (!stop.is_not("server-lost")
                            || !stop.is_not("server-not-running")
                                && Keep::read(&self.paths.run_dir).is_some()) =>
                {
                    tokio::time::sleep(RETURN_POLL).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// The server that is there. Where there is state and no server, because everything was
    /// stopped or the server was killed, one is started as it was; it ends with the command if
    /// nothing is up then.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) async fn server(&self) -> Result<Connected, Stop> {
        match connect::find(&self.paths).await {
            Err(stop) if !stop.is_not("server-not-running") && self.has_state() => {
                let paths = self.paths.clone();
                let launch =
                    Launch { paths, listen: Vec::new(), operator_env: None, more: Vec::new() };
                let connected = connect::ensure(&launch).await?;
                self.started.set(connected.is_new);
                Ok(connected)
            }
            outcome => outcome,
        }
    }

    /// Ends the server that was started for this command, unless something is up.
    pub(crate) async fn leave(&self) {
        if self.started.take() {
            let client = Client::new(&self.paths.api_socket());
            // If it is gone already, that is what was wanted.
            let _ = client.shutdown(&ShutdownRequest { only_if_idle: true }).await;
        }
    }

    /// Whether there ever was anything here.
    pub(crate) fn has_state(&self) -> bool {
        self.paths.state_dir.join("gable.db").exists()
    }

    /// The working directory, to guess which project is meant.
    pub(crate) fn here(&self) -> Option<std::path::PathBuf> {
        std::env::current_dir().and_then(|path| path.canonicalize()).ok()
    }
}
