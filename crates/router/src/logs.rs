//! The way of log lines out of a request: a bounded queue that drops its oldest rather than ever waits.
//!
//! Whoever fetches them is woken for many at once: waking a thread costs as much as a tenth of a request.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use ropewalk_api_types::router::LogLine;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::stats::{Counters, Tally};

/// Bytes that may wait while the server is away: about 5,000 lines of the usual length.
const QUEUE: usize = 2 << 20;

/// For which the first line waits for others.
const GATHER: Duration = Duration::from_millis(10);

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

/// A line whose time is not written out yet: that is not done on a request's time.
#[derive(Debug)]
struct Line {
    tally: Arc<Tally>,
    at: Timestamp,
    text: String,
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<Line>,
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

    /// Queues a line of an app; what no longer fits, oldest first, is counted as dropped.
    pub(crate) fn push(&self, tally: &Arc<Tally>, text: String) {
        let line = Line {
            tally: Arc::clone(tally),
            at: Timestamp::now(),
            text,
        };
        let mut dropped = 0;
        let first = {
            let mut queue = self.0.lock();
            let first = queue.lines.is_empty();
            queue.bytes += line.size();
            queue.lines.push_back(line);
            while queue.bytes > QUEUE && queue.pop().is_some() {
                dropped += 1;
            }
            first
        };
        if dropped > 0 {
            self.0.counters.log_dropped.fetch_add(dropped, Relaxed);
        }
        if first {
            self.0.news.notify_one();
        }
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.news.notify_one();
    }
}

impl Lines {
    /// Waits for a line, and for those that follow it closely; `false` when there will never be one again.
    pub(crate) async fn arrived(&self) -> bool {
        let mut gathered = true;
        loop {
            {
                let queue = self.0.lock();
                match (queue.lines.is_empty(), queue.ended) {
                    (false, ended) if gathered || ended => return true,
                    (true, true) => return false,
                    _ => {}
                }
            }
            if self.is_empty() {
                self.0.news.notified().await;
                gathered = false;
            } else {
                // While there are lines, only the end is news.
                let _ = timeout(GATHER, self.0.news.notified()).await;
                gathered = true;
            }
        }
    }

    /// The oldest lines, at most `count` of them and, beyond the first, at most `bytes`.
    pub(crate) fn take(&self, count: usize, bytes: usize) -> Vec<LogLine> {
        let mut taken = Vec::new();
        {
            let mut queue = self.0.lock();
            let mut sum = 0;
            while taken.len() < count
                && let Some(line) = queue.lines.front()
            {
                sum += line.size();
                if sum > bytes && !taken.is_empty() {
                    break;
                }
                taken.extend(queue.pop());
            }
        }
        taken.into_iter().map(LogLine::from).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().lines.is_empty()
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
    fn pop(&mut self) -> Option<Line> {
        let line = self.lines.pop_front()?;
        self.bytes -= line.size();
        Some(line)
    }
}

impl Line {
    /// What it takes of the queue, in bytes.
    fn size(&self) -> usize {
        size_of::<Line>() + self.text.len()
    }
}

impl From<Line> for LogLine {
    fn from(line: Line) -> LogLine {
        LogLine {
            app: line.tally.app.clone(),
            at: format!("{:.6}", line.at),
            text: line.text,
        }
    }
}

/// Writes the queue's lines to `out` until the router is gone. Blocks: for a thread of its own.
pub(crate) async fn write(lines: Lines, mut out: Box<dyn Write + Send>) {
    let mut text = Vec::new();
    while lines.arrived().await {
        text.clear();
        for line in lines.take(usize::MAX, QUEUE) {
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

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test]
    async fn lines_that_follow_closely_come_together() {
        let (logs, lines) = queue(Arc::default());
        let tally = Arc::new(Tally::new("app"));
        let (taken, ()) = tokio::join!(
            async {
                assert!(lines.arrived().await);
                lines.take(9, QUEUE)
            },
            async {
                tokio::task::yield_now().await;
                logs.push(&tally, "one".into());
                tokio::task::yield_now().await;
                logs.push(&tally, "two".into());
            },
        );
        let texts: Vec<_> = taken.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["one", "two"]);
        assert_eq!(taken[0].app, "app");
        assert_eq!(taken[0].at.len(), "2026-01-01T00:00:00.000000Z".len());
    }

    #[tokio::test]
    async fn the_last_lines_are_not_waited_with() {
        let (logs, lines) = queue(Arc::default());
        logs.push(&Arc::new(Tally::new("app")), "last".into());
        drop(logs);
        let began = Instant::now();
        assert!(lines.arrived().await);
        assert_eq!(lines.take(9, QUEUE).len(), 1);
        assert!(!lines.arrived().await);
        assert!(began.elapsed() < GATHER);
    }

    #[test]
    fn the_oldest_are_dropped_and_counted() {
        let counters = Arc::<Counters>::default();
        let (logs, lines) = queue(Arc::clone(&counters));
        let tally = Arc::new(Tally::new("app"));
        let long = "x".repeat(QUEUE / 3);
        for number in 0..4 {
            logs.push(&tally, format!("{number}{long}"));
        }
        let kept = lines.take(9, usize::MAX);
        assert_eq!(kept.len(), 2);
        assert!(kept[0].text.starts_with('2'));
        assert_eq!(counters.snapshot().log_dropped, 2);
    }
}
