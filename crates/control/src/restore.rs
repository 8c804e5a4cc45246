//! Putting a copy in the place of the control plane's database, while no server works on it.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use model::Generation;
use store::Store;
use store::copies;

pub use store::copies::{Contents, Copy};

use crate::error::Error;
use crate::lineage::kept_generation;
use crate::server::Turn;

/// A copy, and what is in it or why it cannot be used.
pub type Found = (Copy, Result<Contents, store::Error>);

/// All copies, the newest first, each checked.
///
/// # Errors
/// When they cannot be listed.
pub fn list(state_dir: &Path) -> Result<Vec<Found>, Error> {
    let check = |copy: Copy| {
        let contents = copies::check(&copy.path);
        (copy, contents)
    };
    Ok(copies::list(state_dir)?.into_iter().map(check).collect())
}

/// Puts a copy in the place of the database, and says where that one is kept.
///
/// # Errors
/// When the copy is not sound or the disk refuses.
pub async fn restore(
    turn: &Turn,
    copy: &Copy,
    edge_socket: &Path,
) -> Result<Option<PathBuf>, Error> {
    let state_dir = turn.state_dir();
    let newest = newest(state_dir, edge_socket).await;
    Ok(copies::restore(state_dir, &copy.path, newest, Timestamp::now())?)
}

/// Takes the database for the right one, whatever lies beside it.
///
/// # Errors
/// When it cannot be opened or written.
pub async fn accept(turn: &Turn, edge_socket: &Path) -> Result<(), Error> {
    let state_dir = turn.state_dir();
    let newest = newest(state_dir, edge_socket).await;
    let store = Store::open(state_dir)?;
    // A count of 0 is that of a new database, which data beside it speaks against.
    Ok(store::generations::raise(&store, newest.max(Generation(1)))?)
}

/// The newest generation that the edge was given.
async fn newest(state_dir: &Path, edge_socket: &Path) -> Generation {
    let served = edge::Client::new(edge_socket).status().await;
    served.map(|status| status.generation).unwrap_or_default().max(kept_generation(state_dir))
}
