//! The logs of all apps.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Instant;

use futures_util::Stream;
use jiff::Timestamp;
use ropewalk_model::AppId;
use ropewalk_model::log_line::LogSource;
use thiserror::Error;
use tokio::sync::{oneshot, watch};

use crate::app_log::AppLog;
use crate::entry::{Entry, Filter};
use crate::spool;
use crate::tap::Tap;
use crate::writer::{self, Job, Jobs};

/// Lines a follower takes at once.
const CHUNK: usize = 256;

#[derive(Debug, Error)]
pub enum LogsError {
    #[error("log folder {path}: {source}")]
    Folder {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("log of app {app}: {source}")]
    Load {
        app: AppId,
        #[source]
        source: std::io::Error,
    },
}

/// All logs of a process. Clones share them.
#[derive(Clone)]
pub struct Logs(Arc<Inner>);

pub(crate) struct Inner {
    dir: PathBuf,
    apps: Mutex<HashMap<AppId, Arc<AppLog>>>,
    /// Sequence numbers of an earlier run are not above it.
    floor: u64,
    jobs: Jobs,
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logs")
            .field("dir", &self.0.dir)
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn apps(&self) -> MutexGuard<'_, HashMap<AppId, Arc<AppLog>>> {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn rest(&self, since: Instant) {
        let logs: Vec<Arc<AppLog>> = self.apps().values().cloned().collect();
        for log in logs {
            log.rest(since);
        }
    }
}

impl Logs {
    /// Keeps logs in `dir`, which is made if it is not there. Nothing is read until somebody asks.
    pub fn open(dir: &Path) -> Result<Self, LogsError> {
        let fail = |source| LogsError::Folder {
            path: dir.to_owned(),
            source,
        };
        std::fs::create_dir_all(dir).map_err(fail)?;
        // A second for the files' coarser clock.
        let floor = spool::newest(dir).map_err(fail)?.saturating_add(1_000_000);
        let (jobs, receiver) = mpsc::channel();
        let inner = Arc::new(Inner {
            dir: dir.to_owned(),
            apps: Mutex::default(),
            floor,
            jobs,
        });
        let weak = Arc::downgrade(&inner);
        let path = dir.to_owned();
        std::thread::Builder::new()
            .name("logs".to_owned())
            .spawn(move || writer::run(path, receiver, weak))
            .map_err(fail)?;
        Ok(Self(inner))
    }

    /// Adds what a process wrote: one line or several. Never waits and never fails.
    pub fn append(&self, app: AppId, at: Timestamp, source: LogSource, process: &str, text: &[u8]) {
        let log = self.log(app);
        if log.append(at, source, process, text) {
            // The writer is gone only when the process ends.
            let _ = self.0.jobs.send(Job::Write(log));
        }
    }

    /// The last lines that match, oldest first.
    pub async fn read(&self, app: AppId, filter: &Filter) -> Result<Vec<Arc<Entry>>, LogsError> {
        let log = self.loaded(app).await?;
        Ok(log.backlog(filter, None).entries)
    }

    /// The last lines that match, then those to come, none lost or doubled in between. With `after`, instead of
    /// the last lines, those behind that sequence number; where they are not kept any more, a line says so.
    ///
    /// Who reads too slowly finds a line that says how many are missing. Ends when the log is forgotten.
    pub async fn follow(
        &self,
        app: AppId,
        filter: Filter,
        after: Option<u64>,
    ) -> Result<Follow, LogsError> {
        let log = self.loaded(app).await?;
        let grown = log.subscribe();
        let backlog = log.backlog(&filter, after);
        let mut ready: VecDeque<Arc<Entry>> = backlog.entries.into();
        if let (Some(after), Some(oldest)) = (after, backlog.oldest)
            && oldest > after
        {
            for entry in self
                .older(app, after, oldest, &filter)
                .await?
                .into_iter()
                .rev()
            {
                ready.push_front(Arc::new(entry));
            }
        }
        Ok(Follow {
            log,
            filter,
            grown,
            next: backlog.next,
            ready,
            last_seq: after.unwrap_or(0),
        })
    }

    /// From disk, the lines between `after` and `before`: memory keeps fewer.
    async fn older(
        &self,
        app: AppId,
        after: u64,
        before: u64,
        filter: &Filter,
    ) -> Result<Vec<Entry>, LogsError> {
        self.flush().await;
        let mut entries = self.load(app).await?;
        entries.retain(|entry| entry.seq < before);
        let is_whole = entries.first().is_some_and(|oldest| oldest.seq <= after);
        let oldest = entries.first().map_or(before, |entry| entry.seq);
        entries.retain(|entry| entry.seq > after && filter.matches(entry));
        if !is_whole && oldest > after + 1 {
            let lost = Entry {
                // Who resumes behind this line gets what comes after the gap.
                seq: oldest - 1,
                at: Timestamp::now(),
                source: LogSource::Heroku,
                process: "logs".into(),
                text: "Error L11 (tail buffer overflow): older lines are not kept any more.".into(),
            };
            entries.insert(0, lost);
        }
        Ok(entries)
    }

    /// The lines of this process behind the sequence number `after`, and those to come, for somebody who may fall
    /// behind by `room` lines; `None` once the log is forgotten. Sequence numbers follow the clock, in microseconds
    /// of Unix time.
    pub fn tap(&self, app: AppId, after: u64, room: usize) -> Option<Tap> {
        Tap::new(self.log(app), after, room)
    }

    /// Removes an app's log, also from disk. Lines that still come for it are dropped.
    pub fn forget(&self, app: AppId) {
        let log = self.log(app);
        log.forget();
        let _ = self.0.jobs.send(Job::Write(log));
    }

    /// Forgets every log on disk of an app that is not `known`: what a crash left over.
    pub fn retain(&self, known: &HashSet<AppId>) -> Result<(), LogsError> {
        let found = spool::apps(&self.0.dir).map_err(|source| LogsError::Folder {
            path: self.0.dir.clone(),
            source,
        })?;
        for app in found.difference(known) {
            self.forget(*app);
        }
        Ok(())
    }

    /// Waits until everything that was appended is handed to the operating system.
    pub async fn flush(&self) {
        let (answer, written) = oneshot::channel();
        if self.0.jobs.send(Job::Flush(answer)).is_ok() {
            let _ = written.await;
        }
    }

    fn log(&self, app: AppId) -> Arc<AppLog> {
        let mut apps = self.0.apps();
        let log = apps
            .entry(app)
            .or_insert_with(|| Arc::new(AppLog::new(app, self.0.floor)));
        Arc::clone(log)
    }

    async fn loaded(&self, app: AppId) -> Result<Arc<AppLog>, LogsError> {
        let log = self.log(app);
        if !log.is_loaded() {
            log.fill(self.load(app).await?);
        }
        Ok(log)
    }

    /// What is on disk.
    async fn load(&self, app: AppId) -> Result<Vec<Entry>, LogsError> {
        let dir = self.0.dir.clone();
        tokio::task::spawn_blocking(move || spool::load(&dir, app))
            .await
            .map_err(std::io::Error::other)
            .and_then(|loaded| loaded)
            .map_err(|source| LogsError::Load { app, source })
    }
}

/// Somebody who follows a log.
pub struct Follow {
    log: Arc<AppLog>,
    filter: Filter,
    grown: Option<watch::Receiver<u64>>,
    next: u64,
    ready: VecDeque<Arc<Entry>>,
    last_seq: u64,
}

impl fmt::Debug for Follow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follow")
            .field("app", &self.log.app)
            .finish_non_exhaustive()
    }
}

impl Follow {
    /// The next line; `None` once the log is forgotten. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Arc<Entry>> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                self.last_seq = entry.seq;
                return Some(entry);
            }
            let grown = self.grown.as_mut()?;
            grown.borrow_and_update();
            let taken = self.log.take(self.next, &self.filter, CHUNK);
            if taken.next == self.next {
                grown.changed().await.ok()?;
                continue;
            }
            self.next = taken.next;
            if taken.missed > 0 {
                self.ready
                    .push_back(Arc::new(self.missed(&taken.entries, taken.missed)));
            }
            self.ready.extend(taken.entries);
        }
    }

    /// As a stream.
    pub fn into_stream(self) -> impl Stream<Item = Arc<Entry>> + Send {
        futures_util::stream::unfold(self, |mut follow| async move {
            follow.next().await.map(|entry| (entry, follow))
        })
    }

    fn missed(&self, entries: &[Arc<Entry>], count: u64) -> Entry {
        // Who resumes behind this line gets what comes after the gap.
        let seq = entries
            .first()
            .map_or(self.last_seq, |entry| entry.seq.saturating_sub(1));
        Entry {
            seq,
            at: entries
                .first()
                .map_or_else(Timestamp::now, |entry| entry.at),
            source: LogSource::Heroku,
            process: "logs".into(),
            text: format!("Error L11 (tail buffer overflow): {count} lines dropped.").into(),
        }
    }
}
