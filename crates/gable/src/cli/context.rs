//! What every command has.

use super::connect::{self, Connected, Launch};
use super::paths::Paths;
use super::printer::Printer;
use super::stop::Stop;

/// What every command has.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// Where state and sockets lie.
    pub(crate) paths: Paths,
    /// Writes to the terminal.
    pub(crate) printer: Printer,
}

impl Context {
    /// The server that is there. Where there is state and no server, because everything was
    /// stopped or the server was killed, one is started as it was.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) async fn server(&self) -> Result<Connected, Stop> {
        match connect::find(&self.paths).await {
            Err(stop) if !stop.is_not("server-not-running") && self.has_state() => {
                let paths = self.paths.clone();
                connect::ensure(&Launch { paths, listen: Vec::new(), operator_env: None }).await
            }
            outcome => outcome,
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
