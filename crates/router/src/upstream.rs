//! One dyno (or the server's socket) as the router knows it: its load, its connections, its faults.
//!
//! Lives as long as a table names it or a request is in flight on it, across tables, so that counts
//! survive an update.

use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use ropewalk_api_types::router::DynoProtocol;
use tokio::sync::Notify;

use crate::affinity;
use crate::balance;
use crate::carrier::Carrier;
use crate::clock;
use crate::h1;
use crate::health::{Answers, Event, Health, Standing};
use crate::line::Line;
use crate::pool::{self, Address, ConnectError, Pool};
use crate::shared::Connections;
use crate::stats::Ended;

#[derive(Debug)]
pub(crate) struct Upstream {
    /// The dyno's id.
    pub(crate) id: String,
    /// `web.1`.
    pub(crate) dyno: String,
    pub(crate) address: Address,
    pub(crate) pool: Pool,
    /// Connections of ordinary exchanges.
    pub(crate) bare: h1::Pool,
    /// Where the app says that its dynos speak HTTP/2.
    pub(crate) shared: Connections,
    /// Made when it is first asked for.
    affinity: OnceLock<String>,
    in_flight: AtomicU64,
    /// What [`Candidate::picked`](crate::balance::Candidate::picked) says of it.
    pub(crate) picked: AtomicU64,
    /// Counted for the server, as for the app.
    pub(crate) ended: Ended,
    retired: AtomicBool,
    health: Mutex<Health>,
    /// There is something in it; without it no request takes the lock.
    troubled: AtomicBool,
    /// Whose requests wait for a place here; `None` for the server's socket.
    line: Option<Arc<Line>>,
    /// Rung when the last request of a retired upstream ends.
    drained: Arc<Notify>,
}

/// A request's place on an upstream; counted until dropped, and then offered to the first in line.
#[derive(Debug)]
pub(crate) struct InFlight {
    upstream: Arc<Upstream>,
    /// The number of the app's pick that gave it.
    since: u64,
}

impl Upstream {
    pub(crate) fn new(
        id: String,
        dyno: String,
        address: Address,
        line: Option<Arc<Line>>,
        drained: Arc<Notify>,
    ) -> Self {
        Upstream {
            id,
            dyno,
            address,
            pool: Pool::default(),
            bare: h1::Pool::default(),
            shared: Connections::default(),
            affinity: OnceLock::new(),
            in_flight: AtomicU64::new(0),
            picked: AtomicU64::new(0),
            ended: Ended::default(),
            retired: AtomicBool::new(false),
            health: Mutex::default(),
            troubled: AtomicBool::new(false),
            line,
            drained,
        }
    }

    /// Takes a place, or `None` when the upstream has left the table.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<InFlight> {
        self.enter_within(None)
    }

    /// Takes a place, or `None` when `limit` are taken (one of a dyno that is tried out) or the upstream has left the
    /// table.
    ///
    /// Count first, look second: [`Upstream::retire`] does it the other way round, so either the
    /// request sees the retirement or the retirement sees the request.
    pub(crate) fn enter_within(self: &Arc<Self>, limit: Option<u64>) -> Option<InFlight> {
        let limit = match self.standing() {
            Standing::Trial => Some(1),
            _ => limit,
        };
        match limit {
            None => {
                self.in_flight.fetch_add(1, SeqCst);
            }
            Some(limit) => {
                self.in_flight
                    .fetch_update(SeqCst, SeqCst, |load| (load < limit).then_some(load + 1))
                    .ok()?;
            }
        }
        if self.retired.load(SeqCst) {
            self.leave();
            return None;
        }
        // Without a line, who picks counts.
        let since = self.line.as_ref().map_or(0, |line| {
            let since = line.count_pick();
            self.picked.store(since, Relaxed);
            since
        });
        Some(InFlight {
            upstream: Arc::clone(self),
            since,
        })
    }

    fn leave(&self) {
        let before = self.in_flight.fetch_sub(1, SeqCst);
        if before == 1 && self.is_retired() {
            self.drained.notify_one();
        }
    }

    /// A new connection, or a seat on a shared one.
    pub(crate) async fn connect(
        &self,
        protocol: DynoProtocol,
        limit: Duration,
    ) -> Result<Carrier, ConnectError> {
        match protocol {
            DynoProtocol::Http1 => {
                let connected = pool::connect(&self.address, limit).await;
                connected.map(Carrier::Own)
            }
            DynoProtocol::H2c => {
                // In a box: what HTTP/2 needs to begin is more than all of a request of HTTP/1.
                let connected = Box::pin(self.shared.connect(&self.address, limit)).await;
                connected.map(Carrier::Shared)
            }
        }
    }

    /// Keeps an unused connection for the next request.
    pub(crate) fn park(&self, carrier: Carrier) {
        match carrier {
            Carrier::Own(sender) => self.pool.park(sender),
            Carrier::Shared(_) => {}
        }
    }

    /// Drops connections that have been idle for `max_idle`.
    pub(crate) fn reap(&self, max_idle: Duration) {
        self.pool.reap(max_idle);
        self.bare.reap(max_idle);
        self.shared.reap(max_idle);
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
        self.bare.clear();
        self.shared.clear();
        self.in_flight.load(SeqCst)
    }

    /// A table names it again.
    pub(crate) fn reinstate(&self) {
        self.retired.store(false, SeqCst);
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(SeqCst)
    }

    /// What it may have now.
    pub(crate) fn standing(&self) -> Standing {
        if !self.troubled.load(Relaxed) {
            return Standing::Well;
        }
        let now = clock::millis();
        let health = self.health();
        if health.is_clean(now) {
            self.troubled.store(false, Relaxed);
        }
        health.standing(now)
    }

    pub(crate) fn is_left_out(&self) -> bool {
        matches!(self.standing(), Standing::Out | Standing::Probe)
    }

    /// `answers`: of all the app's dynos until now. `caps`: one more of them may be left out.
    pub(crate) fn observe(&self, event: Event, answers: Answers, caps: bool) {
        let harmless = matches!(event, Event::Answered | Event::Connected);
        if harmless && !self.troubled.load(Relaxed) {
            return;
        }
        let left_out = self.health().observe(event, answers, caps, clock::millis());
        self.troubled.store(true, Relaxed);
        if left_out {
            tracing::info!(dyno = %self.dyno, ?event, "A dyno gets no requests for a while.");
        }
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InFlight {
    pub(crate) fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let upstream = &self.upstream;
        let Some(line) = &upstream.line else {
            return upstream.leave();
        };
        let rest = balance::rest(self.since, line.picks(), upstream.load());
        upstream.picked.fetch_add(rest, Relaxed);
        upstream.leave();
        if line.is_waiting() && !upstream.is_left_out() {
            line.serve(|| upstream.enter_within(line.limit()));
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
            None,
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
        let answers = Answers::default();
        upstream.observe(Event::Refused, answers, true);
        assert!(upstream.is_left_out());
        upstream.observe(Event::Connected, answers, true);
        assert!(!upstream.is_left_out());
        upstream.observe(Event::Refused, answers, false);
        assert!(!upstream.is_left_out());
    }

    #[test]
    fn who_fails_alone_is_left_out_and_who_fails_with_all_is_not() {
        let (alone, with_all) = (upstream(), upstream());
        for failed in 0..5 {
            // Two answers of others meanwhile, or five failures.
            let better = Answers {
                answered: failed,
                failed,
            };
            alone.observe(Event::Failed, better, true);
            let as_bad = Answers {
                answered: 0,
                failed: 2 * failed,
            };
            with_all.observe(Event::Failed, as_bad, true);
        }
        assert!(alone.is_left_out() && !with_all.is_left_out());
    }

    #[test]
    fn no_more_get_in_than_the_limit() {
        let upstream = upstream();
        let first = upstream.enter_within(Some(2));
        let _second = upstream.enter_within(Some(2)).unwrap();
        assert!(upstream.enter_within(Some(2)).is_none());
        drop(first);
        assert!(upstream.enter_within(Some(2)).is_some());
    }
}
