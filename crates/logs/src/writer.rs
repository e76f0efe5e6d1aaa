//! The one thread that touches logs on disk: writes in batches, and lets idle logs go from memory.
//!
//! Nothing is synced; a crash of the machine may cost the last lines.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::oneshot;

use crate::app_log::AppLog;
use crate::logs::Inner;
use crate::spool;

/// Lines that come within this time are written together.
const BATCH: Duration = Duration::from_millis(50);
/// How often idle logs are looked for.
const LOOK: Duration = Duration::from_secs(60);
/// A log that nobody has used for this long leaves memory.
const IDLE: Duration = Duration::from_secs(300);

pub(crate) enum Job {
    /// There are lines to be written, or the log is to be removed.
    Write(Arc<AppLog>),
    /// Answer once everything before is written.
    Flush(oneshot::Sender<()>),
}

/// Ends when the last [`crate::Logs`] is gone.
pub(crate) fn run(dir: PathBuf, jobs: Receiver<Job>, logs: Weak<Inner>) {
    let mut looked = Instant::now();
    loop {
        match jobs.recv_timeout(LOOK) {
            Ok(Job::Flush(answer)) => {
                let _ = answer.send(());
            }
            Ok(Job::Write(log)) => batch(&dir, &jobs, log),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if looked.elapsed() >= LOOK {
            looked = Instant::now();
            if let Some(inner) = logs.upgrade() {
                inner.rest(Instant::now() - IDLE);
            }
        }
    }
}

/// Waits a moment for more, then writes all of it.
fn batch(dir: &std::path::Path, jobs: &Receiver<Job>, first: Arc<AppLog>) {
    let mut logs = vec![first];
    let mut answers: Vec<oneshot::Sender<()>> = Vec::new();
    let deadline = Instant::now() + BATCH;
    while answers.is_empty() {
        match jobs.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Job::Write(log)) => logs.push(log),
            Ok(Job::Flush(answer)) => answers.push(answer),
            Err(_) => break,
        }
    }
    for log in logs {
        let batch = log.unwritten(Timestamp::now());
        let outcome = if batch.forgotten {
            spool::remove(dir, log.app)
        } else {
            spool::append(dir, log.app, &batch.entries)
        };
        if let Err(error) = outcome {
            tracing::warn!(app = %log.app, %error, "Lines of a log were not kept on disk.");
        }
    }
    for answer in answers {
        let _ = answer.send(());
    }
}

/// Where [`run`] gets its jobs; unbounded, but an app stands in it once at most.
pub(crate) type Jobs = Sender<Job>;
