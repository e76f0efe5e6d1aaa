//! Open connections to one dyno on which nothing is under way, as the ordinary exchange has them: bare sockets.
//!
//! By the rules of `crate::pool`: the youngest first, of this core before others, none that was idle for too long, and
//! whoever takes one out looks first whether it is alive.

use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

use crate::clock;
use crate::cores::Cores;

/// A connection that nobody uses.
#[derive(Debug)]
struct Idle {
    stream: TcpStream,
    /// That it was opened on.
    core: usize,
    /// [`clock::millis`].
    since: u64,
}

/// A connection that somebody uses.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) stream: TcpStream,
    core: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Pool {
    /// The most recently used last.
    idle: Mutex<Vec<Idle>>,
}

impl Open {
    pub(crate) fn new(stream: TcpStream) -> Open {
        Open {
            stream,
            core: Cores::here(),
        }
    }
}

impl Pool {
    pub(crate) fn checkout(&self, max_idle: Duration) -> Option<Open> {
        loop {
            let mut idle = self.take(max_idle)?;
            if !idle.is_gone() {
                return Some(Open {
                    stream: idle.stream,
                    core: idle.core,
                });
            }
        }
    }

    pub(crate) fn park(&self, open: Open) {
        self.lock().push(Idle {
            stream: open.stream,
            core: open.core,
            since: clock::millis(),
        });
    }

    /// Drops what has been idle for `max_idle` or was closed by the other side.
    pub(crate) fn reap(&self, max_idle: Duration) {
        let now = clock::millis();
        let mut idle = self.lock();
        idle.retain_mut(|entry| !entry.is_old(now, max_idle) && !entry.is_gone());
        if idle.is_empty() {
            idle.shrink_to_fit();
        }
    }

    pub(crate) fn clear(&self) {
        *self.lock() = Vec::new();
    }

    fn take(&self, max_idle: Duration) -> Option<Idle> {
        let (now, here) = (clock::millis(), Cores::here());
        let mut idle = self.lock();
        let mut chosen = None;
        for (index, entry) in idle.iter().enumerate().rev() {
            if entry.is_old(now, max_idle) {
                break;
            }
            if entry.core == here {
                chosen = Some(index);
                break;
            }
            chosen = chosen.or(Some(index));
        }
        chosen.map(|index| idle.remove(index))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle {
    fn is_old(&self, now: u64, most: Duration) -> bool {
        u128::from(now.saturating_sub(self.since)) >= most.as_millis()
    }

    /// Whether it was closed, or says what nobody asked for.
    fn is_gone(&mut self) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        let mut byte = [0];
        let polled =
            Pin::new(&mut self.stream).poll_read(&mut nobody, &mut ReadBuf::new(&mut byte));
        polled.is_ready()
    }
}
