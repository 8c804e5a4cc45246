//! The socket that the API is served on. What cleans `/run` may take it away while the server lives:
//! then it is made anew, because nobody could reach the server again.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::unix::SocketAddr;
use tokio::net::{UnixListener, UnixStream};

/// How often it is looked whether the socket is still where it is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// After a connection that could not be accepted: most often there are too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A listening socket that stays where it is looked for.
pub(crate) struct ApiSocket {
    path: PathBuf,
    listener: UnixListener,
    /// Device and number of the file.
    file: (u64, u64),
}

impl ApiSocket {
    /// Listens; what stands in its place is replaced.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let (listener, file) = listen(path)?;
        Ok(Self { path: path.to_owned(), listener, file })
    }

    fn look(&mut self) {
        if file_at(&self.path).is_ok_and(|file| file == self.file) {
            return;
        }
        match listen(&self.path) {
            Ok((listener, file)) => {
                tracing::warn!("{} was taken away; it is made anew", self.path.display());
                (self.listener, self.file) = (listener, file);
            }
            Err(error) => tracing::error!("cannot make {} anew: {error}", self.path.display()),
        }
    }
}

impl axum::serve::Listener for ApiSocket {
    type Io = UnixStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (UnixStream, SocketAddr) {
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok(connection) => return connection,
                    Err(error) => {
                        tracing::warn!("cannot accept a connection: {error}");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                () = tokio::time::sleep(LOOK_EVERY) => self.look(),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// It appears under its name only when it has the right mode.
fn listen(path: &Path) -> io::Result<(UnixListener, (u64, u64))> {
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let new = path.with_extension("new");
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&new)?;
    std::fs::set_permissions(&new, Permissions::from_mode(0o600))?;
    std::fs::rename(&new, path)?;
    Ok((listener, file_at(path)?))
}

fn file_at(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = std::fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}
