//! The way of log lines out of a request: a bounded queue that drops its oldest rather than ever waits.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ropewalk_api_types::router::LogLine;
use tokio::sync::Notify;

use crate::stats::Counters;

/// Bytes that may wait while the server is away: about 5,000 lines of the usual length.
const QUEUE: usize = 2 << 20;

/// The entrance of the queue.
#[derive(Debug)]
pub(crate) struct Logs(Arc<Shared>);

/// The exit of the queue; without it nothing is queued any more.
#[derive(Debug)]
pub(crate) struct Lines(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// Wakes the one who fetches.
    news: Notify,
    /// The exit is gone.
    unwanted: AtomicBool,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<LogLine>,
    bytes: usize,
    /// The entrance is gone.
    ended: bool,
}

/// A queue's two ends.
pub(crate) fn queue(counters: Arc<Counters>) -> (Logs, Lines) {
    let shared = Arc::new(Shared {
        queue: Mutex::default(),
        news: Notify::new(),
        unwanted: AtomicBool::new(false),
        counters,
    });
    (Logs(Arc::clone(&shared)), Lines(shared))
}

impl Logs {
    /// Nobody fetches lines: they need not even be written.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.unwanted.load(Relaxed)
    }

    /// Queues a line; what no longer fits, oldest first, is counted as dropped.
    pub(crate) fn push(&self, line: LogLine) {
        let mut dropped = 0;
        {
            let mut queue = self.0.lock();
            queue.bytes += size(&line);
            queue.lines.push_back(line);
            while queue.bytes > QUEUE && queue.pop().is_some() {
                dropped += 1;
            }
        }
        self.0.counters.log_dropped.fetch_add(dropped, Relaxed);
        self.0.news.notify_one();
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.news.notify_one();
    }
}

impl Lines {
    /// Waits for a line; `false` when there will never be one again.
    pub(crate) async fn arrived(&self) -> bool {
        loop {
            {
                let queue = self.0.lock();
                if !queue.lines.is_empty() {
                    return true;
                }
                if queue.ended {
                    return false;
                }
            }
            self.0.news.notified().await;
        }
    }

    /// The oldest lines, at most `count` of them and, beyond the first, at most `bytes`.
    pub(crate) fn take(&self, count: usize, bytes: usize) -> Vec<LogLine> {
        let mut queue = self.0.lock();
        let mut taken = Vec::new();
        let mut sum = 0;
        while taken.len() < count
            && let Some(line) = queue.lines.front()
        {
            sum += size(line);
            if sum > bytes && !taken.is_empty() {
                break;
            }
            taken.extend(queue.pop());
        }
        taken
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.0.unwanted.store(true, Relaxed);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn pop(&mut self) -> Option<LogLine> {
        let line = self.lines.pop_front()?;
        self.bytes -= size(&line);
        Some(line)
    }
}

/// What a line takes of the queue, in bytes.
fn size(line: &LogLine) -> usize {
    size_of::<LogLine>() + line.app.len() + line.at.len() + line.text.len()
}

/// Writes the queue's lines to `out` until the router is gone. Blocks: for a thread of its own.
pub(crate) async fn write(lines: Lines, mut out: Box<dyn Write + Send>) {
    let mut text = Vec::new();
    while lines.arrived().await {
        text.clear();
        for line in lines.take(256, QUEUE) {
            text.extend_from_slice(line.at.as_bytes());
            text.push(b' ');
            text.extend_from_slice(line.text.as_bytes());
            text.push(b'\n');
        }
        if let Err(error) = out.write_all(&text).and_then(|()| out.flush()) {
            tracing::warn!(%error, "Stopped writing the router log.");
            return;
        }
    }
}
