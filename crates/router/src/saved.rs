//! The server's last words on disk: what the router serves by when it starts before the server does.
//!
//! Certificates are kept as they came. A table is kept with what changed in it since, a line each, until that is more than
//! the table itself.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ropewalk_api_types::router::Table;
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, watch};

/// Certificates hold keys, and a table where dynos are: nobody else's affair.
const MODE: u32 = 0o600;

/// Last extension of a file that is being written; the one before it is its writer's pid.
const STAGED: &str = "tmp";

/// Least that changes may take on disk before the table is written anew, in bytes.
const MIN_MORE: usize = 1 << 20;

/// Most that may wait for the disk, in bytes.
const MAX_WAITING: usize = 16 << 20;

/// Between a loss and the question for a whole table.
const PAUSE: Duration = Duration::from_secs(30);

/// The message's JSON as the server sent it.
pub(crate) type Raw = Arc<Vec<u8>>;

/// What was kept, `None` when nothing was.
pub(crate) fn load<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let raw = match fs::read(path) {
        Ok(raw) => raw,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(serde_json::from_slice(&raw)?))
}

/// Writes each new message to `path`, skipping those already replaced; ends with its sender.
pub(crate) async fn keep(path: PathBuf, mut news: watch::Receiver<Option<Raw>>) {
    let target = path.clone();
    let _ = tokio::task::spawn_blocking(move || sweep(&target)).await;
    while news.changed().await.is_ok() {
        let Some(raw) = news.borrow_and_update().clone() else {
            continue;
        };
        let target = path.clone();
        let stored = tokio::task::spawn_blocking(move || replace(&target, &raw, MODE)).await;
        if let Ok(Err(error)) = stored {
            tracing::warn!(path = %path.display(), %error, "Could not keep what the server sent on disk.");
        }
    }
}

/// What was kept of the table, `None` when nothing was.
pub(crate) fn load_table(path: &Path) -> io::Result<Option<Table>> {
    let raw = match fs::read(path) {
        Ok(raw) => raw,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut lines = raw.split(|byte| *byte == b'\n');
    let mut table: Table = serde_json::from_slice(lines.next().unwrap_or_default())?;
    for line in lines.filter(|line| !line.is_empty()) {
        match serde_json::from_slice(line) {
            // Two routers may have kept the same.
            Ok(changes) => drop(table.change(changes)),
            // A router that was killed did not finish it.
            Err(_) => break,
        }
    }
    Ok(Some(table))
}

/// What is to be kept of the table.
#[derive(Debug, Default)]
pub(crate) struct News {
    waiting: Mutex<Waiting>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    whole: Option<Raw>,
    /// What changed since.
    more: Vec<Raw>,
    bytes: usize,
    /// When something was lost: only a whole table helps.
    torn: Option<Instant>,
}

/// The disk has not kept what it was given.
#[derive(Debug, thiserror::Error)]
#[error("the table on disk is out of date")]
pub(crate) struct Torn;

impl News {
    /// Takes the place of all before.
    pub(crate) fn whole(&self, raw: Raw) {
        *self.lock() = Waiting {
            whole: Some(raw),
            ..Waiting::default()
        };
        self.bell.notify_one();
    }

    /// What comes soon after a loss is lost as well: a disk that is full takes no whole table either.
    ///
    /// # Errors
    /// What came before is not on disk: a whole table has to be asked for.
    pub(crate) fn more(&self, raw: Raw) -> Result<(), Torn> {
        let mut waiting = self.lock();
        match waiting.torn {
            Some(torn) if torn.elapsed() < PAUSE => return Ok(()),
            Some(_) => return Err(Torn),
            None => {}
        }
        waiting.bytes += raw.len();
        if waiting.bytes > MAX_WAITING {
            return Err(Torn);
        }
        waiting.more.push(raw);
        drop(waiting);
        self.bell.notify_one();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the table at `path`, for ever.
pub(crate) async fn keep_table(path: PathBuf, news: Arc<News>) {
    let target = path.clone();
    let _ = tokio::task::spawn_blocking(move || sweep(&target)).await;
    let mut sizes = Sizes::default();
    loop {
        news.bell.notified().await;
        let waiting = std::mem::take(&mut *news.lock());
        let target = path.clone();
        let stored = tokio::task::spawn_blocking(move || store(&target, &waiting, sizes)).await;
        match stored {
            Ok(Ok(now)) => sizes = now,
            Ok(Err(error)) => {
                tracing::warn!(path = %path.display(), %error, "Could not keep what the server sent on disk.");
                let mut waiting = news.lock();
                if waiting.whole.is_none() {
                    waiting.torn = Some(Instant::now());
                }
            }
            Err(_) => {}
        }
    }
}

/// How much of a file is the table and how much what changed since, in bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Sizes {
    whole: usize,
    more: usize,
}

fn store(path: &Path, waiting: &Waiting, before: Sizes) -> io::Result<Sizes> {
    let mut more = Vec::new();
    for raw in &waiting.more {
        more.extend_from_slice(raw);
        more.push(b'\n');
    }
    if let Some(whole) = &waiting.whole {
        let mut text = whole.to_vec();
        text.push(b'\n');
        text.extend_from_slice(&more);
        replace(path, &text, MODE)?;
        return Ok(Sizes {
            whole: whole.len(),
            more: more.len(),
        });
    }
    let mut file = OpenOptions::new().append(true).open(path)?;
    file.write_all(&more)?;
    file.sync_data()?;
    let now = Sizes {
        more: before.more + more.len(),
        ..before
    };
    if now.more <= now.whole.max(MIN_MORE) {
        return Ok(now);
    }
    let table = load_table(path)?.ok_or(io::ErrorKind::NotFound)?;
    let mut text = serde_json::to_vec(&table)?;
    text.push(b'\n');
    replace(path, &text, MODE)?;
    Ok(Sizes {
        whole: text.len(),
        more: 0,
    })
}

/// Replaces a file as a whole: a crash leaves the old text or the new one. A router and the one that takes over from it
/// may do so at once.
pub(crate) fn replace(path: &Path, text: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let staged = path.with_extension(format!("{}.{STAGED}", std::process::id()));
    match fs::remove_file(&staged) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&staged)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&staged, path)?;
    File::open(folder)?.sync_all()
}

/// Removes what routers that were killed were writing.
fn sweep(path: &Path) {
    let (Some(folder), Some(stem)) = (path.parent(), path.file_stem()) else {
        return;
    };
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let file = PathBuf::from(entry.file_name());
        let writer = file.file_stem().map(Path::new);
        let left = file.extension().is_some_and(|end| end == STAGED)
            && writer.and_then(Path::file_stem) == Some(stem)
            && writer
                .and_then(Path::extension)
                .is_some_and(|pid| !Path::new("/proc").join(pid).exists());
        if left {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ropewalk_api_types::router::{Changes, Target, ToRouter};

    use super::*;

    fn raw(message: &ToRouter) -> Raw {
        Arc::new(serde_json::to_vec(message).unwrap())
    }

    fn host(number: u64) -> String {
        format!("{number:0>200}.example.com")
    }

    fn change(generation: u64) -> ToRouter {
        let target = Target::App {
            app: "a".to_owned(),
        };
        ToRouter::Changes(Changes {
            generation,
            since: generation - 1,
            hosts: BTreeMap::from([(host(generation % 10), Some(target))]),
            apps: BTreeMap::new(),
        })
    }

    fn waiting(whole: bool, changes: std::ops::Range<u64>) -> Waiting {
        let table = Table {
            generation: 1,
            ..Table::default()
        };
        Waiting {
            whole: whole.then(|| raw(&ToRouter::Table(table))),
            more: changes.map(|generation| raw(&change(generation))).collect(),
            ..Waiting::default()
        }
    }

    #[test]
    fn a_table_is_kept_with_what_changed_since() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.json");
        assert_eq!(load_table(&path).unwrap(), None);
        let sizes = store(&path, &waiting(true, 2..5), Sizes::default()).unwrap();
        let sizes = store(&path, &waiting(false, 5..8), sizes).unwrap();
        // Another router keeps the same, and is killed while it does.
        store(&path, &waiting(false, 5..8), sizes).unwrap();
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(br#"{"type":"changes","gener"#).unwrap();
        let table = load_table(&path).unwrap().unwrap();
        assert_eq!((table.generation, table.hosts.len()), (7, 6));
    }

    #[test]
    fn changes_on_disk_do_not_grow_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.json");
        let mut sizes = store(&path, &waiting(true, 2..3), Sizes::default()).unwrap();
        let mut written = 0;
        for start in (3..20_000).step_by(1_000) {
            sizes = store(&path, &waiting(false, start..start + 1_000), sizes).unwrap();
            written += sizes.more;
            assert!(fs::metadata(&path).unwrap().len() < 2 * MIN_MORE as u64);
        }
        assert!(written > MIN_MORE);
        let table = load_table(&path).unwrap().unwrap();
        assert_eq!((table.generation, table.hosts.len()), (20_002, 10));
    }

    #[test]
    fn what_the_disk_lost_is_asked_for_again() {
        let news = News::default();
        news.whole(raw(&change(2)));
        assert!(news.more(raw(&change(3))).is_ok());
        news.lock().torn = Instant::now().checked_sub(PAUSE);
        assert!(news.more(raw(&change(4))).is_err());
        news.whole(raw(&change(5)));
        assert!(news.more(raw(&change(6))).is_ok());
        assert!(news.more(Arc::new(vec![b' '; MAX_WAITING])).is_err());
        // Not at once: the disk may be full.
        news.lock().torn = Some(Instant::now());
        assert!(news.more(raw(&change(7))).is_ok());
    }

    #[test]
    fn what_a_killed_router_was_writing_goes_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.json");
        replace(&path, b"{}", MODE).unwrap();
        let alive = format!("table.{}.tmp", std::process::id());
        // No process has a pid of ten digits.
        for name in ["table.9999999999.tmp", "other.9999999999.tmp", &alive] {
            fs::write(folder.path().join(name), "half").unwrap();
        }
        sweep(&path);
        let mut left: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let mut expected = ["other.9999999999.tmp", "table.json", &alive];
        expected.sort();
        assert_eq!(left, expected);
    }
}
