//! Somebody who is sent an app's log and may be slow: a place in the log, and how far behind it may fall.
//!
//! A tap keeps no lines; those it has yet to take are the log's own. What it falls behind by more than its room is
//! dropped and counted, so that nobody ever waits for it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::app_log::AppLog;
use crate::entry::{Entry, Filter};

/// Shared by the one who takes lines and the one who looks how many were dropped.
pub struct Tap {
    log: Arc<AppLog>,
    grown: watch::Receiver<u64>,
    /// Lines it may be behind.
    room: u64,
    cursor: Mutex<Cursor>,
}

struct Cursor {
    next: u64,
    dropped: u64,
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap")
            .field("app", &self.log.app)
            .finish_non_exhaustive()
    }
}

impl Tap {
    /// `None` when the log is forgotten.
    pub(crate) fn new(log: Arc<AppLog>, after: u64, room: usize) -> Option<Self> {
        let grown = log.subscribe()?;
        let next = log.place_behind(after);
        Some(Self {
            log,
            grown,
            room: room as u64,
            cursor: Mutex::new(Cursor { next, dropped: 0 }),
        })
    }

    fn cursor(&self) -> MutexGuard<'_, Cursor> {
        self.cursor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `lines` lines wait to be taken; `false` once the log is forgotten.
    pub async fn wait(&self, lines: usize) -> bool {
        let mut grown = self.grown.clone();
        loop {
            let until = self.cursor().next + lines as u64;
            if grown.wait_for(|end| *end >= until).await.is_err() {
                return false;
            }
            // Lines may have been taken meanwhile.
            if *grown.borrow() >= self.cursor().next + lines as u64 {
                return true;
            }
        }
    }

    /// Whether every line has been taken or dropped.
    pub fn is_empty(&self) -> bool {
        *self.grown.borrow() <= self.cursor().next
    }

    /// The next lines: at most `lines`, and no more than fit in `bytes`, but one at least when there is one.
    pub fn take(&self, lines: usize, bytes: usize) -> Vec<Arc<Entry>> {
        let mut cursor = self.cursor();
        self.trim(&mut cursor);
        let taken = self.log.take(cursor.next, &Filter::default(), lines);
        cursor.dropped += taken.missed;
        let mut entries = taken.entries;
        let mut left = bytes;
        let fitting = entries
            .iter()
            .take_while(|entry| {
                let fits = entry.cost() <= left;
                left = left.saturating_sub(entry.cost());
                fits
            })
            .count()
            .max(1);
        entries.truncate(fitting);
        cursor.next += taken.missed + entries.len() as u64;
        entries
    }

    /// Lines that were dropped since the last call. Must be asked now and then, for that is when they are.
    pub fn dropped(&self) -> u64 {
        let mut cursor = self.cursor();
        self.trim(&mut cursor);
        std::mem::take(&mut cursor.dropped)
    }

    fn trim(&self, cursor: &mut Cursor) {
        let oldest = self.grown.borrow().saturating_sub(self.room);
        if cursor.next < oldest {
            cursor.dropped += oldest - cursor.next;
            cursor.next = oldest;
        }
    }
}
