//! The line before an app's dynos: requests that wait until a dyno has a place, in the order in which they came.
//!
//! A place that becomes free is handed to the first who waits, and never offered to those who come later. Who has waited
//! too long leaves; the dyno never sees that request.

use std::collections::VecDeque;
use std::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout_at;

use crate::code::Code;
use crate::upstream::InFlight;

/// The line of one app; carried from table to table.
#[derive(Debug, Default)]
pub(crate) struct Line {
    waiting: Mutex<VecDeque<oneshot::Sender<InFlight>>>,
    /// How many wait, without the lock.
    length: AtomicUsize,
    /// Requests that one dyno takes at once; 0 for any number.
    limit: AtomicU64,
    /// Places that the app's dynos gave, ever.
    picks: AtomicU64,
}

/// How a wait ended without a place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Something changed: look again.
    Look,
    /// There is no room in the line, or no more patience.
    Failed(Code),
}

impl Line {
    pub(crate) fn limit(&self) -> Option<u64> {
        match self.limit.load(SeqCst) {
            0 => None,
            limit => Some(limit),
        }
    }

    pub(crate) fn set_limit(&self, limit: Option<u64>) {
        self.limit.store(limit.unwrap_or(0), SeqCst);
    }

    /// The number of a place that is given now; the first is 1.
    pub(crate) fn count_pick(&self) -> u64 {
        self.picks.fetch_add(1, Relaxed) + 1
    }

    pub(crate) fn picks(&self) -> u64 {
        self.picks.load(Relaxed)
    }

    /// Somebody waits, so who comes now waits behind them.
    pub(crate) fn is_waiting(&self) -> bool {
        self.length.load(SeqCst) > 0
    }

    pub(crate) fn length(&self) -> u64 {
        self.length.load(SeqCst) as u64
    }

    /// Waits for a place, until `until`. `look` is called once the request stands in line: a place that became free just
    /// before would be offered to nobody.
    pub(crate) async fn wait(
        &self,
        most: usize,
        until: tokio::time::Instant,
        look: impl FnOnce(),
    ) -> Result<InFlight, Left> {
        let (send, mut receive) = oneshot::channel();
        {
            let mut waiting = self.lock();
            // Who gave up meanwhile takes no room.
            if waiting.len() >= most {
                waiting.retain(|one| !one.is_closed());
            }
            if waiting.len() >= most {
                self.length.store(waiting.len(), SeqCst);
                return Err(Left::Failed(Code::H11));
            }
            waiting.push_back(send);
            self.length.store(waiting.len(), SeqCst);
        }
        look();
        match timeout_at(until, &mut receive).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) => Err(Left::Look),
            Err(_) => {
                receive.close();
                // It may have come at that very moment.
                receive.try_recv().map_err(|_| Left::Failed(Code::H12))
            }
        }
    }

    /// Hands places to those who wait, as long as `place` finds one.
    pub(crate) fn serve(&self, mut place: impl FnMut() -> Option<InFlight>) {
        if !self.is_waiting() {
            return;
        }
        let mut waiting = self.lock();
        let mut found = None;
        loop {
            // Those who have left.
            while waiting.front().is_some_and(oneshot::Sender::is_closed) {
                waiting.pop_front();
            }
            if waiting.is_empty() {
                break;
            }
            let Some(next) = found.take().or_else(&mut place) else {
                break;
            };
            let Some(first) = waiting.pop_front() else {
                found = Some(next);
                break;
            };
            found = first.send(next).err();
        }
        self.length.store(waiting.len(), SeqCst);
        drop(waiting);
        // Not under the lock: a place that is given up looks at the line.
        drop(found);
    }

    /// Everybody looks again: there is no dyno to wait for.
    pub(crate) fn dissolve(&self) {
        if self.is_waiting() {
            let mut waiting = self.lock();
            let all = std::mem::take(&mut *waiting);
            // Under the lock: who comes next is counted after this.
            self.length.store(0, SeqCst);
            drop(waiting);
            drop(all);
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<oneshot::Sender<InFlight>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The patience of one request in line, which begins with its first wait.
#[derive(Debug)]
pub(crate) struct Patience {
    limit: Duration,
    until: Option<tokio::time::Instant>,
}

impl Patience {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, until: None }
    }

    pub(crate) fn until(&mut self) -> tokio::time::Instant {
        *self
            .until
            .get_or_insert_with(|| tokio::time::Instant::now() + self.limit)
    }
}
