//! The disk that holds the state: what is left of it, and the reserve for when nothing is.
//!
//! [`reconcile::disk`] judges; here it is looked at, told to who works, and the reserve is given
//! back and made again. The reserve is a file of zeroes that were really written (`fallocate`):
//! removing it lets the end of a build, the server's log and a rollback be written on a disk that is
//! full otherwise.

use std::fs::File;
use std::path::Path;

use model::Problem;
use reconcile::disk::{Floor, Room, Space, judge, reserve_bytes};
use tokio::sync::{Notify, watch};

use crate::error::Error;
use crate::ops::disk::Usage;

/// The reserve's name in the state directory.
pub const RESERVE_FILE: &str = "reserve";
/// What is said before more is known.
const FULL: &str = "the disk is full";
/// So many of those who hold most are named.
const HOLDERS_NAMED: usize = 5;

/// What is left of the file system that a path lies on.
///
/// # Errors
/// When the host refuses.
pub fn space(path: &Path) -> Result<Space, Error> {
    let seen = nix::sys::statvfs::statvfs(path).map_err(|error| {
        Error::host(format!("look at the disk of {}", path.display()))(error.into())
    })?;
    let unit = seen.fragment_size();
    Ok(Space {
        // What builds may take, who are not root: a part is kept for root on some file systems.
        free_bytes: seen.blocks_available() * unit,
        total_bytes: seen.blocks() * unit,
        free_inodes: seen.files_available(),
        total_inodes: seen.files(),
    })
}

/// Whether there is room, as all of the control plane sees it.
pub struct Disk {
    state: watch::Sender<State>,
    low: Notify,
}

#[derive(Debug, Clone)]
enum State {
    Room,
    /// It is full, and nobody knows yet who holds what.
    Filled,
    Full(Problem),
}

impl Default for Disk {
    fn default() -> Self {
        Self { state: watch::Sender::new(State::Room), low: Notify::new() }
    }
}

impl Disk {
    /// Goes on only while there is room.
    ///
    /// # Errors
    /// `disk-full`, with who holds what as far as that is known.
    pub fn check(&self) -> Result<(), Error> {
        match &*self.state.borrow() {
            State::Room => Ok(()),
            State::Filled => Err(Problem::new("disk-full", FULL).into()),
            State::Full(problem) => Err(problem.clone().into()),
        }
    }

    /// Returns once the disk is full: at once if it is. Whoever fills it ends then.
    pub async fn filled(&self) {
        self.until(|state| (!matches!(state, State::Room)).then_some(())).await;
    }

    /// What is told to who had to end: it waits until it is known who holds what.
    pub async fn told(&self) -> Problem {
        self.until(|state| match state {
            State::Filled => None,
            State::Full(problem) => Some(problem.clone()),
            // There is room again already, and it was full.
            State::Room => Some(Problem::new("disk-full", FULL)),
        })
        .await
    }

    async fn until<T>(&self, what: impl Fn(&State) -> Option<T>) -> T {
        let mut state = self.state.subscribe();
        loop {
            if let Some(found) = what(&state.borrow_and_update()) {
                return found;
            }
            if state.changed().await.is_err() {
                // The sender lives as long as this: nobody could wait here.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Returns when there is little room left: the time to throw away what nobody needs.
    pub async fn gets_low(&self) {
        self.low.notified().await;
    }

    /// There is little room left.
    pub(crate) fn is_low(&self) {
        self.low.notify_one();
    }

    /// Whether it is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        !matches!(&*self.state.borrow(), State::Room)
    }

    /// There is room again.
    pub(crate) fn has_room(&self) {
        self.state.send_replace(State::Room);
    }

    /// There is none.
    pub(crate) fn is_filled(&self) {
        self.low.notify_one();
        self.state.send_replace(State::Filled);
    }

    /// There is none, and this is why.
    pub(crate) fn is_full_of(&self, problem: Problem) {
        self.state.send_replace(State::Full(problem));
    }
}

/// What is left, judged.
///
/// # Errors
/// When the host refuses.
pub(crate) fn look(
    state_dir: &Path,
    floor_bytes: Option<u64>,
    was_full: bool,
) -> Result<Room, Error> {
    let space = space(state_dir)?;
    Ok(judge(&space, &Floor::of(&space, floor_bytes), was_full))
}

/// Gives the reserve back to whoever has to write now.
pub(crate) fn give_back(state_dir: &Path) {
    match std::fs::remove_file(state_dir.join(RESERVE_FILE)) {
        Ok(()) => tracing::warn!("the reserve of the disk is given back"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => tracing::error!("the reserve of the disk cannot be given back: {error}"),
    }
}

/// Makes the reserve, unless it is there.
///
/// # Errors
/// When the host refuses: then there is none.
pub(crate) fn put_aside(state_dir: &Path) -> Result<(), Error> {
    let path = state_dir.join(RESERVE_FILE);
    if path.exists() {
        return Ok(());
    }
    let bytes = i64::try_from(reserve_bytes(&space(state_dir)?)).unwrap_or(i64::MAX);
    let new = path.with_extension("new");
    let made = File::create(&new).and_then(|file| {
        nix::fcntl::posix_fallocate(&file, 0, bytes)?;
        std::fs::rename(&new, &path)
    });
    made.map_err(|error| {
        // A part of a reserve is none, and takes room.
        let _ = std::fs::remove_file(&new);
        Error::host("keep a reserve of the disk")(error)
    })
}

/// What is told to who has to end because of a full disk.
pub(crate) fn problem(state_dir: &Path, space: &Space, usage: Option<&Usage>) -> Problem {
    let what = if space.free_bytes < space.total_bytes / 20 || space.total_inodes == 0 {
        format!("{} MiB of {} MiB are free", space.free_bytes >> 20, space.total_bytes >> 20)
    } else {
        format!(
            "{} of {} files can still be made; {} MiB are free",
            space.free_inodes,
            space.total_inodes,
            space.free_bytes >> 20
        )
    };
    let mut detail = vec![what];
    for holding in usage.into_iter().flat_map(|usage| usage.holdings.iter().take(HOLDERS_NAMED)) {
        let of = if holding.owner.is_empty() { "" } else { " of " };
        detail.push(format!(
            "{} MiB {}{of}{}",
            holding.bytes >> 20,
            holding.kind.words(),
            holding.owner
        ));
    }
    Problem::new("disk-full", format!("the disk that holds {} is full", state_dir.display()))
        .detail(detail.join("\n"))
        .hint("`gable disk` shows who holds what, `gable disk clean` throws away what nobody needs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_takes_its_room_and_gives_it_back() {
        use std::os::unix::fs::MetadataExt;
        let directory = tempfile::tempdir().unwrap();
        put_aside(directory.path()).unwrap();
        put_aside(directory.path()).unwrap();
        let path = directory.path().join(RESERVE_FILE);
        let metadata = std::fs::metadata(&path).unwrap();
        assert!(metadata.blocks() * 512 >= metadata.len(), "it is a promise only");
        assert!(metadata.len() > 0);
        give_back(directory.path());
        give_back(directory.path());
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn whoever_works_ends_first_and_is_told_why_when_that_is_known() {
        let disk = Disk::default();
        disk.check().unwrap();
        disk.is_filled();
        disk.filled().await;
        assert_eq!(disk.check().unwrap_err().problem().code, "disk-full");
        let (told, ()) = tokio::join!(disk.told(), async {
            disk.is_full_of(Problem::new("disk-full", "full").detail("caches"));
        });
        assert_eq!(told.detail.as_deref(), Some("caches"));
        disk.has_room();
        disk.check().unwrap();
    }
}
