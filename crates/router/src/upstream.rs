//! One dyno (or the server's socket) as the router knows it: its load, its connections, its faults.
//!
//! Lives as long as a table names it or a request is in flight on it, across tables, so that counts
//! survive an update.

use std::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

use crate::affinity;
use crate::clock;
use crate::pool::{Address, Pool};

/// First time out after a failed connect, in milliseconds; doubled for each further one.
const EJECTION: u64 = 5_000;
/// Longest time out, in milliseconds.
const EJECTION_MAX: u64 = 60_000;

#[derive(Debug)]
pub(crate) struct Upstream {
    /// The dyno's id.
    pub(crate) id: String,
    /// `web.1`.
    pub(crate) dyno: String,
    pub(crate) address: Address,
    pub(crate) pool: Pool,
    /// Made when it is first asked for.
    affinity: OnceLock<String>,
    in_flight: AtomicU64,
    retired: AtomicBool,
    /// Connects that failed in a row.
    failures: AtomicU32,
    /// End of the time out, [`clock::millis`]; 0 when none.
    ejected_until: AtomicU64,
    /// Rung when the last request of a retired upstream ends.
    drained: Arc<Notify>,
}

/// A request's place on an upstream; counted until dropped.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Upstream>);

impl Upstream {
    pub(crate) fn new(id: String, dyno: String, address: Address, drained: Arc<Notify>) -> Self {
        Upstream {
            id,
            dyno,
            address,
            pool: Pool::default(),
            affinity: OnceLock::new(),
            in_flight: AtomicU64::new(0),
            retired: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
            drained,
        }
    }

    /// Takes a place, or `None` when the upstream has left the table.
    ///
    /// Count first, look second: [`Upstream::retire`] does it the other way round, so either the
    /// request sees the retirement or the retirement sees the request.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<InFlight> {
        self.in_flight.fetch_add(1, SeqCst);
        let place = InFlight(Arc::clone(self));
        if self.retired.load(SeqCst) {
            return None;
        }
        Some(place)
    }

    /// By what a client's cookie names it.
    pub(crate) fn affinity(&self) -> &str {
        self.affinity.get_or_init(|| affinity::value(&self.id))
    }

    pub(crate) fn load(&self) -> u64 {
        self.in_flight.load(Relaxed)
    }

    /// From now on no new request gets a place; returns how many still hold one.
    pub(crate) fn retire(&self) -> u64 {
        self.retired.store(true, SeqCst);
        self.pool.clear();
        self.in_flight.load(SeqCst)
    }

    /// A table names it again.
    pub(crate) fn reinstate(&self) {
        self.retired.store(false, SeqCst);
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(SeqCst)
    }

    pub(crate) fn is_ejected(&self) -> bool {
        let until = self.ejected_until.load(Relaxed);
        until != 0 && clock::millis() < until
    }

    /// A connection was made: the dyno is well.
    pub(crate) fn connected(&self) {
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
            self.ejected_until.store(0, Relaxed);
        }
    }

    /// A connect failed; with `eject` the dyno is left alone for a while.
    pub(crate) fn failed(&self, eject: bool) {
        let failures = self.failures.fetch_add(1, Relaxed).min(8);
        if eject {
            let pause = (EJECTION << failures).min(EJECTION_MAX);
            self.ejected_until.store(clock::millis() + pause, Relaxed);
        }
    }
}

impl InFlight {
    pub(crate) fn upstream(&self) -> &Arc<Upstream> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let before = self.0.in_flight.fetch_sub(1, SeqCst);
        if before == 1 && self.0.is_retired() {
            self.0.drained.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn upstream() -> Arc<Upstream> {
        let address = Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 9)));
        Arc::new(Upstream::new(
            "id".into(),
            "web.1".into(),
            address,
            Arc::new(Notify::new()),
        ))
    }

    #[test]
    fn a_retired_upstream_takes_no_request_and_counts_the_old_ones() {
        let upstream = upstream();
        let place = upstream.enter();
        assert!(place.is_some());
        assert_eq!(upstream.retire(), 1);
        assert!(upstream.enter().is_none());
        assert_eq!(upstream.load(), 1);
        drop(place);
        assert_eq!(upstream.load(), 0);
        upstream.reinstate();
        assert!(upstream.enter().is_some());
    }

    #[test]
    fn a_connect_ends_the_time_out() {
        let upstream = upstream();
        upstream.failed(true);
        assert!(upstream.is_ejected());
        upstream.connected();
        assert!(!upstream.is_ejected());
        upstream.failed(false);
        assert!(!upstream.is_ejected());
    }
}
