//! The store itself: one writer, a few readers, the key, the feed.

use std::cell::Cell;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::ErrorKind;
use std::ops::Deref;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::Error;
use crate::feed::Feed;
use crate::schema;
use crate::secrets::Sealer;

/// Name of the database in the state directory.
pub const DATABASE_FILE: &str = "gable.db";

/// Held while the state is opened, by one process at a time: SQLite does not wait for its turn when
/// it changes the kind of journal, and a new key must be made once.
const LOCK_FILE: &str = "gable.db.lock";

/// How long one writer waits for another before it gives up.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// SQLite's own waiting sleeps longer and longer, so that one of several busy writers may never
/// find a gap.
const BUSY_POLL: Duration = Duration::from_millis(2);

/// Connections that are kept for readers; more readers than this open one each time.
const MAX_READERS: usize = 4;

/// A handle to the state; clones are the same store. Its functions block for as long as a disk
/// takes to write, which is milliseconds.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    /// `None` when it lives in memory: then the writer's connection is the only one.
    path: Option<PathBuf>,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
    sealer: Sealer,
    feed: Feed,
    /// Transactions that were committed by this handle and its clones.
    commits: AtomicU64,
    reads: AtomicUsize,
    writes: AtomicUsize,
}

/// How often the store was asked since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// Questions.
    pub reads: usize,
    /// Transactions that could change something.
    pub writes: usize,
}

impl Store {
    /// Opens the state in a directory, and makes it if there is none. Several processes may have
    /// it open at once.
    ///
    /// # Errors
    /// When the directory cannot be used, the database is not ours or a newer Gable's, or the key
    /// file is missing, damaged or not the one that the database was sealed with.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, Error> {
        let directory = directory.as_ref();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|source| Error::file("make the state directory", directory, source))?;
        let path = directory.join(DATABASE_FILE);
        make_private(&path)?;
        let _turn = take_turn_in(directory)?;
        let mut writer = Connection::open(&path)?;
        prepare(&writer).map_err(|error| refuse_foreign(error, &path))?;
        schema::migrate(&mut writer, &path)?;
        let sealer = Sealer::for_database(directory, &mut writer)?;
        Ok(Self::with(Some(path), writer, sealer))
    }

    /// An empty store that ends with its last handle. For tests.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn in_memory() -> Result<Self, Error> {
        let mut writer = Connection::open_in_memory()?;
        prepare(&writer)?;
        schema::migrate(&mut writer, Path::new(":memory:"))?;
        Ok(Self::with(None, writer, Sealer::new_random()))
    }

    /// Calls `subscriber` with the number of the newest event, after each transaction that wrote
    /// one, on the thread that wrote it. It must return quickly and must not use the store.
    pub fn subscribe(&self, subscriber: Arc<dyn Fn(u64) + Send + Sync>) {
        self.inner.feed.subscribe(subscriber);
    }

    /// How many transactions were committed here so far: another number means that something may
    /// have changed.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.inner.commits.load(Ordering::Relaxed)
    }

    fn with(path: Option<PathBuf>, writer: Connection, sealer: Sealer) -> Self {
        let inner = Inner {
            path,
            writer: Mutex::new(writer),
            readers: Mutex::default(),
            sealer,
            feed: Feed::default(),
            commits: AtomicU64::new(0),
            reads: AtomicUsize::new(0),
            writes: AtomicUsize::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// How often it was asked: for tests that something asks seldom.
    #[must_use]
    pub fn work(&self) -> Work {
        Work {
            reads: self.inner.reads.load(Ordering::Relaxed),
            writes: self.inner.writes.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn sealer(&self) -> &Sealer {
        &self.inner.sealer
    }

    pub(crate) fn read<T>(
        &self,
        doing: &'static str,
        query: impl FnOnce(&Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.inner.reads.fetch_add(1, Ordering::Relaxed);
        let Some(path) = &self.inner.path else {
            return query(&lock(&self.inner.writer)).map_err(|error| error.during(doing));
        };
        let kept = lock(&self.inner.readers).pop();
        let connection = match kept {
            Some(connection) => connection,
            None => open_reader(path).map_err(|error| error.during(doing))?,
        };
        let result = query(&connection).map_err(|error| error.during(doing));
        let mut readers = lock(&self.inner.readers);
        if readers.len() < MAX_READERS {
            readers.push(connection);
        }
        result
    }

    pub(crate) fn write<T>(
        &self,
        doing: &'static str,
        change: impl FnOnce(&Writing<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.inner.writes.fetch_add(1, Ordering::Relaxed);
        let (result, newest) = self.commit(change).map_err(|error| error.during(doing))?;
        if let Some(sequence) = newest {
            self.inner.feed.notify(sequence);
        }
        Ok(result)
    }

    fn commit<T>(
        &self,
        change: impl FnOnce(&Writing<'_>) -> Result<T, Error>,
    ) -> Result<(T, Option<u64>), Error> {
        let mut writer = lock(&self.inner.writer);
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let writing = Writing { transaction, newest_event: Cell::new(None) };
        let result = change(&writing)?;
        writing.transaction.commit()?;
        self.inner.commits.fetch_add(1, Ordering::Relaxed);
        Ok((result, writing.newest_event.get()))
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Store").field("path", &self.inner.path).finish_non_exhaustive()
    }
}

/// A transaction that writes.
pub(crate) struct Writing<'a> {
    transaction: Transaction<'a>,
    /// Number of the last event that it wrote.
    pub(crate) newest_event: Cell<Option<u64>>,
}

impl Deref for Writing<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.transaction
    }
}

/// A panic while the lock was held has rolled its transaction back; the connection is as good as
/// before.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn prepare(connection: &Connection) -> Result<(), Error> {
    connection.busy_handler(Some(wait_for_turn))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

fn open_reader(path: &Path) -> Result<Connection, Error> {
    let connection = Connection::open(path)?;
    connection.busy_handler(Some(wait_for_turn))?;
    connection.pragma_update(None, "query_only", true)?;
    // Kibibytes; rows are small, and there are several of these.
    connection.pragma_update(None, "cache_size", -512)?;
    Ok(connection)
}

/// SQLite would make the file readable for everybody.
fn make_private(path: &Path) -> Result<(), Error> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Error::file("make", path, error)),
    }
}

/// Called while somebody else writes; `false` gives up.
fn wait_for_turn(calls: i32) -> bool {
    std::thread::sleep(BUSY_POLL);
    BUSY_POLL.saturating_mul(calls.unsigned_abs()) < BUSY_TIMEOUT
}

/// The right to open the state of a directory, or to put another in its place.
pub(crate) fn take_turn_in(directory: &Path) -> Result<File, Error> {
    let path = &directory.join(LOCK_FILE);
    let failed = |source| Error::file("lock", path, source);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    // Given back when the file is closed, by a kill too.
    file.lock().map_err(failed)?;
    Ok(file)
}

fn refuse_foreign(error: Error, path: &Path) -> Error {
    match error {
        Error::Database { source, .. }
            if source.sqlite_error_code() == Some(rusqlite::ErrorCode::NotADatabase) =>
        {
            Error::Foreign(path.to_owned())
        }
        other => other.during("open the state"),
    }
}
