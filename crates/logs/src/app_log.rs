//! One app's log in memory: the last lines, what is still to be written to disk, and who follows.
//!
//! Every line has a place, counted from the app's first line in this process; a follower remembers the next
//! place it wants, so it keeps no lines of its own, and what left the ring before it came is a plain difference.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use ropewalk_model::AppId;
use ropewalk_model::log_line::LogSource;
use tokio::sync::watch;

use crate::entry::{Entry, Filter, texts};

/// Lines kept in memory for one app that somebody writes or reads.
pub(crate) const RING_LINES: usize = 1_500;
/// And their bytes.
pub(crate) const RING_BYTES: usize = 4 << 20;
/// Bytes of one app that wait for the disk; what comes on top is missing there.
const UNWRITTEN_BYTES: usize = 1 << 20;
/// Lines from before this process go below it.
const FIRST_PLACE: u64 = 1 << 32;

pub(crate) struct AppLog {
    pub(crate) app: AppId,
    state: Mutex<State>,
}

struct State {
    ring: VecDeque<Arc<Entry>>,
    ring_bytes: usize,
    /// Place of the ring's first line.
    first: u64,
    last_seq: u64,
    /// What is on disk stands in the ring, as far as it fits.
    loaded: bool,
    unwritten: Vec<Arc<Entry>>,
    unwritten_bytes: usize,
    /// Lines that the disk will never see.
    dropped: u64,
    /// The writer has been told.
    queued: bool,
    forgotten: bool,
    used: Instant,
    /// The place behind the last line; who waits for lines, waits for it.
    grown: Option<watch::Sender<u64>>,
}

/// What the writer is to do.
pub(crate) struct Batch {
    pub(crate) entries: Vec<Arc<Entry>>,
    pub(crate) forgotten: bool,
}

/// What a follower gets at once.
pub(crate) struct Taken {
    pub(crate) entries: Vec<Arc<Entry>>,
    /// Lines that had left the ring before.
    pub(crate) missed: u64,
    /// Where to go on.
    pub(crate) next: u64,
    /// Sequence number of the oldest line in memory, matching or not.
    pub(crate) oldest: Option<u64>,
}

impl AppLog {
    /// `floor`: no sequence number below or at it is given out.
    pub(crate) fn new(app: AppId, floor: u64) -> Self {
        Self {
            app,
            state: Mutex::new(State {
                ring: VecDeque::new(),
                ring_bytes: 0,
                first: FIRST_PLACE,
                last_seq: floor,
                loaded: false,
                unwritten: Vec::new(),
                unwritten_bytes: 0,
                dropped: 0,
                queued: false,
                forgotten: false,
                used: Instant::now(),
                grown: None,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what a process wrote. `true` when the writer must be told of this app.
    pub(crate) fn append(
        &self,
        at: Timestamp,
        source: LogSource,
        process: &str,
        text: &[u8],
    ) -> bool {
        let texts = texts(text);
        let mut state = self.state();
        if state.forgotten {
            return false;
        }
        for text in texts {
            state.push(at, source, process, text);
        }
        state.tell();
        !std::mem::replace(&mut state.queued, true)
    }

    pub(crate) fn is_loaded(&self) -> bool {
        self.state().loaded
    }

    /// Puts what was on disk before what is in memory.
    pub(crate) fn fill(&self, from_disk: Vec<Entry>) {
        let mut state = self.state();
        if state.loaded || state.forgotten {
            return;
        }
        let before = state.ring.front().map_or(u64::MAX, |entry| entry.seq);
        for entry in from_disk
            .into_iter()
            .rev()
            .filter(|entry| entry.seq < before)
        {
            if state.ring.len() >= RING_LINES || state.ring_bytes >= RING_BYTES {
                break;
            }
            state.last_seq = state.last_seq.max(entry.seq);
            state.ring_bytes += entry.cost();
            state.ring.push_front(Arc::new(entry));
            state.first -= 1;
        }
        state.loaded = true;
        state.used = Instant::now();
    }

    /// The lines behind `after`, or else the last `filter.lines`.
    pub(crate) fn backlog(&self, filter: &Filter, after: Option<u64>) -> Taken {
        let mut state = self.state();
        state.used = Instant::now();
        let next = state.end();
        let mut entries: Vec<Arc<Entry>> = state
            .ring
            .iter()
            .filter(|entry| after.is_none_or(|after| entry.seq > after) && filter.matches(entry))
            .cloned()
            .collect();
        if let (None, Some(lines)) = (after, filter.lines) {
            entries.drain(..entries.len().saturating_sub(lines));
        }
        Taken {
            entries,
            missed: 0,
            next,
            oldest: state.ring.front().map(|entry| entry.seq),
        }
    }

    /// At most `limit` lines from the place `from`, those that match.
    pub(crate) fn take(&self, from: u64, filter: &Filter, limit: usize) -> Taken {
        let mut state = self.state();
        state.used = Instant::now();
        let start = from.max(state.first);
        let end = state.end().min(start + limit as u64);
        let offset = (start - state.first) as usize;
        let entries = state
            .ring
            .iter()
            .skip(offset)
            .take((end - start) as usize)
            .filter(|entry| filter.matches(entry))
            .cloned()
            .collect();
        Taken {
            entries,
            missed: start - from,
            next: end,
            oldest: state.ring.front().map(|entry| entry.seq),
        }
    }

    /// Where lines of this process begin that come behind the sequence number `after`.
    pub(crate) fn place_behind(&self, after: u64) -> u64 {
        let state = self.state();
        let places = state.first..state.end();
        places
            .zip(&state.ring)
            .find(|(place, entry)| *place >= FIRST_PLACE && entry.seq > after)
            .map_or_else(|| state.end(), |(place, _)| place)
    }

    /// Says when there is more; closed once the log is forgotten.
    pub(crate) fn subscribe(&self) -> Option<watch::Receiver<u64>> {
        let mut state = self.state();
        if state.forgotten {
            return None;
        }
        let end = state.end();
        let grown = state.grown.get_or_insert_with(|| watch::channel(end).0);
        Some(grown.subscribe())
    }

    /// What is to be written. Adds a line that says so when some were dropped.
    pub(crate) fn unwritten(&self, now: Timestamp) -> Batch {
        let mut state = self.state();
        state.queued = false;
        if state.dropped > 0 && !state.forgotten {
            let text = format!(
                "Error L10 (log buffer overflow): {} lines were not kept on disk.",
                std::mem::take(&mut state.dropped)
            );
            state.unwritten_bytes = 0;
            state.push(now, LogSource::Heroku, "logs", text.into());
            state.tell();
        }
        state.unwritten_bytes = 0;
        Batch {
            entries: std::mem::take(&mut state.unwritten),
            forgotten: state.forgotten,
        }
    }

    /// Ends the log: followers end, and nothing is taken any more.
    pub(crate) fn forget(&self) {
        let mut state = self.state();
        state.forgotten = true;
        state.clear();
        state.grown = None;
    }

    /// Gives the memory back when nobody has used it since `since` and the disk has it all.
    pub(crate) fn rest(&self, since: Instant) {
        let mut state = self.state();
        if let Some(grown) = &state.grown
            && grown.receiver_count() == 0
        {
            state.grown = None;
        }
        let busy = state.used > since || state.queued || state.grown.is_some();
        if busy || !state.unwritten.is_empty() {
            return;
        }
        state.clear();
        state.loaded = false;
    }
}

impl State {
    fn end(&self) -> u64 {
        self.first + self.ring.len() as u64
    }

    /// Gives the memory back; places go on where they were.
    fn clear(&mut self) {
        self.first = self.end();
        self.ring = VecDeque::new();
        self.ring_bytes = 0;
        self.unwritten = Vec::new();
        self.unwritten_bytes = 0;
    }

    fn push(&mut self, at: Timestamp, source: LogSource, process: &str, text: Box<str>) {
        // Numbers follow the clock, so that they go on rising after a restart without a look at the disk.
        let clock = u64::try_from(Timestamp::now().as_microsecond()).unwrap_or(0);
        let seq = clock.max(self.last_seq + 1);
        self.last_seq = seq;
        let entry = Arc::new(Entry {
            seq,
            at,
            source,
            process: process.replace(['\t', '\n'], " ").into(),
            text,
        });
        let cost = entry.cost();
        if self.unwritten_bytes + cost <= UNWRITTEN_BYTES {
            self.unwritten_bytes += cost;
            self.unwritten.push(Arc::clone(&entry));
        } else {
            self.dropped += 1;
        }
        self.ring.push_back(entry);
        self.ring_bytes += cost;
        while self.ring.len() > RING_LINES || self.ring_bytes > RING_BYTES {
            if let Some(old) = self.ring.pop_front() {
                self.ring_bytes -= old.cost();
                self.first += 1;
            }
        }
        self.used = Instant::now();
    }

    fn tell(&self) {
        if let Some(grown) = &self.grown {
            grown.send_replace(self.end());
        }
    }
}
