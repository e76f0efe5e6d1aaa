//! One thread writes, a few connections read. Callers hand over closures and await their results.

use std::cell::Cell;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use tokio::sync::{oneshot, watch};

use crate::{Key, Result, StoreError, migrate};

/// How long a connection waits for another process (a backup) to let go.
const BUSY: Duration = Duration::from_secs(10);
/// Reading connections kept open.
const READERS: usize = 4;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// The ledger, for the whole process; clones share it.
#[derive(Clone)]
pub struct Store {
    writer: mpsc::Sender<Job>,
    readers: Arc<Mutex<Vec<Connection>>>,
    /// Counts the changes that may have taken a right from somebody.
    revocations: watch::Sender<u64>,
    path: Arc<PathBuf>,
    key: Arc<Key>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// A consistent look at the ledger. Reading methods stand in the files of their nouns.
pub struct View<'a> {
    pub(crate) conn: &'a Connection,
    pub(crate) key: &'a Key,
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("View")
    }
}

/// A transaction: everything a [`View`] has, and the writing methods. Commits when the closure returns `Ok`.
#[derive(Debug)]
pub struct Tx<'a> {
    view: View<'a>,
    revokes: Cell<bool>,
}

impl<'a> std::ops::Deref for Tx<'a> {
    type Target = View<'a>;
    fn deref(&self) -> &View<'a> {
        &self.view
    }
}

impl Tx<'_> {
    /// Says that this change may take a right from somebody: see [`Store::revocations`].
    pub(crate) fn revoke(&self) {
        self.revokes.set(true);
    }
}

impl Store {
    /// Opens (or makes) the ledger at `path`, checks it, and brings its schema up to date.
    pub fn open(path: &Path, key: Key) -> Result<Self> {
        let fail = |source| StoreError::Open {
            path: path.to_owned(),
            source,
        };
        let mut conn = Connection::open(path).map_err(fail)?;
        settle(&conn).map_err(fail)?;
        check(&conn, path)?;
        migrate::run(&mut conn).map_err(fail)?;
        let (writer, jobs) = mpsc::channel::<Job>();
        thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || {
                for job in jobs {
                    job(&mut conn);
                }
            })
            .map_err(|error| StoreError::KeyFile {
                path: path.to_owned(),
                source: error,
            })?;
        Ok(Self {
            writer,
            readers: Arc::default(),
            revocations: watch::Sender::new(0),
            path: Arc::new(path.to_owned()),
            key: Arc::new(key),
        })
    }

    /// Runs `change` in one transaction on the writer. On `Ok` it is on disk before this returns.
    ///
    /// Dropping the returned future does not undo a change that has begun.
    pub async fn write<T, F>(&self, change: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T> + Send + 'static,
    {
        let (answer, result) = oneshot::channel();
        let key = Arc::clone(&self.key);
        let revocations = self.revocations.clone();
        let job: Job = Box::new(move |conn| {
            let outcome = transact(conn, &key, &revocations, change);
            // The asker may be gone; the change stands all the same.
            let _ = answer.send(outcome);
        });
        self.writer.send(job).map_err(|_| StoreError::Closed)?;
        result.await.map_err(|_| StoreError::Closed)?
    }

    /// Changes whenever somebody may have lost a right: a token, an account, an app, a place among its collaborators.
    /// Whoever keeps a stream open looks at the rights again then. Tokens also end by time, of which nothing is said.
    pub fn revocations(&self) -> watch::Receiver<u64> {
        self.revocations.subscribe()
    }

    /// Runs `look` on a reading connection, seeing one state of the ledger.
    pub async fn read<T, F>(&self, look: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&View<'_>) -> Result<T> + Send + 'static,
    {
        let this = self.clone();
        tokio::task::spawn_blocking(move || this.read_now(look))
            .await
            .map_err(|_| StoreError::Closed)?
    }

    fn read_now<T>(&self, look: impl FnOnce(&View<'_>) -> Result<T>) -> Result<T> {
        let kept = self.readers.lock().ok().and_then(|mut kept| kept.pop());
        let mut conn = match kept {
            Some(conn) => conn,
            None => {
                let fail = |source| StoreError::Open {
                    path: self.path.to_path_buf(),
                    source,
                };
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                let conn = Connection::open_with_flags(&*self.path, flags).map_err(fail)?;
                conn.busy_timeout(BUSY).map_err(fail)?;
                conn
            }
        };
        let result = {
            let tx = conn.transaction()?;
            look(&View {
                conn: &tx,
                key: &self.key,
            })
        };
        if let Ok(mut kept) = self.readers.lock()
            && kept.len() < READERS
        {
            kept.push(conn);
        }
        result
    }
}

fn transact<T>(
    conn: &mut Connection,
    key: &Key,
    revocations: &watch::Sender<u64>,
    change: impl FnOnce(&Tx<'_>) -> Result<T>,
) -> Result<T> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (value, revokes) = {
        let view = View { conn: &tx, key };
        let tx = Tx {
            view,
            revokes: Cell::new(false),
        };
        (change(&tx)?, tx.revokes.get())
    };
    tx.commit()?;
    if revokes {
        revocations.send_modify(|count| *count += 1);
    }
    Ok(value)
}

fn settle(conn: &Connection) -> rusqlite::Result<()> {
    conn.busy_timeout(BUSY)?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "cache_size", -2000)?;
    Ok(())
}

fn check(conn: &Connection, path: &Path) -> Result<()> {
    let detail: String = conn
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|source| StoreError::Damaged {
            path: path.to_owned(),
            detail: source.to_string(),
        })?;
    if detail != "ok" {
        return Err(StoreError::Damaged {
            path: path.to_owned(),
            detail,
        });
    }
    let found = migrate::version(conn)?;
    if found > migrate::KNOWN {
        return Err(StoreError::TooNew {
            path: path.to_owned(),
            found,
            known: migrate::KNOWN,
        });
    }
    Ok(())
}
