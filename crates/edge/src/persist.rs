//! The last applied table, on disk, so that a restarted edge serves at once.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use model::route::RouteTable;
use tracing::error;

use crate::error::Error;

/// The kept table; an empty one where there is none. A file that cannot be understood (of a newer
/// version, say) counts as none: an edge that serves nothing yet is better than no edge, and the
/// control plane applies its table again.
pub(crate) fn load(path: &Path) -> Result<RouteTable, Error> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(RouteTable::default()),
        Err(source) => {
            return Err(Error::Table { action: "read", path: path.to_owned(), source });
        }
    };
    Ok(serde_json::from_slice(&text).unwrap_or_else(|cause| {
        error!(
            path = %path.display(),
            error = &cause as &dyn std::error::Error,
            "the kept route table cannot be understood; starting without routes"
        );
        RouteTable::default()
    }))
}

/// Replaces the kept table: after this returns, a crash at any moment finds the new one.
pub(crate) fn save(path: &Path, table: &RouteTable) -> Result<(), Error> {
    write(path, table).map_err(|source| Error::Table {
        action: "write",
        path: path.to_owned(),
        source,
    })
}

fn write(path: &Path, table: &RouteTable) -> io::Result<()> {
    let text = serde_json::to_vec(table)?;
    let temporary: PathBuf = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
