//! The way of log lines out of a request: a bounded queue that drops rather than ever waits.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use ropewalk_api_types::router::LogLine;
use tokio::sync::mpsc;

use crate::stats::Counters;

/// Lines that may wait while the server is away: about 2 MB.
const QUEUE: usize = 4096;

/// The entrance of the queue.
#[derive(Debug)]
pub(crate) struct Logs {
    lines: mpsc::Sender<LogLine>,
    counters: Arc<Counters>,
}

impl Logs {
    pub(crate) fn new(counters: Arc<Counters>) -> (Logs, mpsc::Receiver<LogLine>) {
        let (lines, receiver) = mpsc::channel(QUEUE);
        (Logs { lines, counters }, receiver)
    }

    /// Nobody fetches lines: they need not even be written.
    pub(crate) fn is_closed(&self) -> bool {
        self.lines.is_closed()
    }

    /// Queues a line, or counts it as dropped.
    pub(crate) fn push(&self, line: LogLine) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.lines.try_send(line) {
            self.counters.log_dropped.fetch_add(1, Relaxed);
        }
    }
}

/// Writes the queue's lines to `out` until the router is gone; for a thread of its own.
pub(crate) fn write(mut lines: mpsc::Receiver<LogLine>, mut out: Box<dyn Write + Send>) {
    let mut batch = Vec::new();
    let mut text = Vec::new();
    while lines.blocking_recv_many(&mut batch, 256) > 0 {
        text.clear();
        for line in batch.drain(..) {
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
