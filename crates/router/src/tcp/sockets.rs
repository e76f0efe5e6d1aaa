//! The ports that are listened on for TCP routes: opened and closed as the table says, handed to the next router.
//!
//! They are opened on every address on which the router takes HTTP, before the table is acknowledged: whoever was told
//! that a route is in force finds its port open. What cannot be opened is tried again every second.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ropewalk_api_types::router::Unbound;
use rustix::net::sockopt::set_tcp_nodelay;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;

use crate::accept::{self, Greeting};
use crate::listeners::listen;
use crate::router::Router;

/// Between two tries to open what could not be opened.
const RETRY: Duration = Duration::from_secs(1);

/// For which sockets of an earlier router are kept that no table names yet: the one on disk may be older.
const KEPT: Duration = Duration::from_secs(10);

/// The listening sockets of TCP routes. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct RawSockets(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Rung when what is to be listened on has changed.
    news: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// On which each port is opened; none before the router begins, and once it stops.
    addresses: Vec<IpAddr>,
    wanted: BTreeSet<u16>,
    open: BTreeMap<u16, Open>,
    /// Why a port is not open.
    failed: BTreeMap<u16, String>,
    /// Of an earlier router, not yet asked for.
    inherited: Vec<TcpListener>,
    opened: u64,
}

/// A port that is open.
#[derive(Debug)]
struct Open {
    /// Tells it from one that was open before.
    number: u64,
    listeners: Vec<TcpListener>,
}

impl RawSockets {
    /// Every socket, once more.
    pub(crate) fn all(&self) -> io::Result<Vec<TcpListener>> {
        let state = self.lock();
        let open = state.open.values().flat_map(|open| &open.listeners);
        open.chain(&state.inherited)
            .map(TcpListener::try_clone)
            .collect()
    }

    /// Takes a socket of an earlier router.
    pub(crate) fn inherit(&self, socket: TcpListener) {
        self.lock().inherited.push(socket);
    }

    /// Ports may be opened from now on.
    pub(crate) fn begin(&self, addresses: Vec<IpAddr>) {
        self.lock().addresses = addresses;
    }

    /// Opens these ports and closes the others.
    pub(crate) fn listen_on(&self, ports: BTreeSet<u16>) {
        let mut state = self.lock();
        state.wanted = ports;
        let State { wanted, open, .. } = &mut *state;
        open.retain(|port, _| wanted.contains(port));
        state.open_wanted();
        drop(state);
        self.0.news.notify_one();
    }

    /// Why a port is not open, of those that should be.
    pub(crate) fn failed(&self) -> Vec<Unbound> {
        let state = self.lock();
        let failed = state.failed.iter().map(|(port, reason)| Unbound {
            port: *port,
            reason: reason.clone(),
        });
        failed.collect()
    }

    /// Tries again what could not be opened. Whether anything is otherwise than before.
    fn retry(&self) -> bool {
        let mut state = self.lock();
        if state.failed.is_empty() {
            return false;
        }
        let before = state.failed.clone();
        state.open_wanted();
        state.failed != before
    }

    fn forget_inherited(&self) {
        self.lock().inherited.clear();
    }

    /// Closes every socket here; another router's stay open.
    fn close(&self) {
        *self.lock() = State::default();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn open_wanted(&mut self) {
        let before = std::mem::take(&mut self.failed);
        if self.addresses.is_empty() {
            return;
        }
        let missing = self
            .wanted
            .iter()
            .filter(|port| !self.open.contains_key(port));
        for port in missing.copied().collect::<Vec<_>>() {
            let addresses = self.addresses.iter().map(|ip| SocketAddr::new(*ip, port));
            let opened: io::Result<Vec<_>> = addresses
                .map(|addr| open(addr, &mut self.inherited))
                .collect();
            match opened {
                Ok(listeners) => {
                    self.opened += 1;
                    let number = self.opened;
                    self.open.insert(port, Open { number, listeners });
                }
                Err(error) => {
                    let error = error.to_string();
                    // Not every second.
                    if before.get(&port) != Some(&error) {
                        tracing::error!(port, %error, "A port of a TCP route cannot be listened on.");
                    }
                    self.failed.insert(port, error);
                }
            }
        }
    }
}

/// The socket of an earlier router, or one of our own.
fn open(addr: SocketAddr, inherited: &mut Vec<TcpListener>) -> io::Result<TcpListener> {
    let is_same = |socket: &TcpListener| socket.local_addr().is_ok_and(|known| known == addr);
    let listener = match inherited.iter().position(is_same) {
        Some(index) => inherited.swap_remove(index),
        None => listen(addr)?,
    };
    // What is set on the socket is set on every connection that comes over it.
    set_tcp_nodelay(&listener, true)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Accepts on the ports that are open, until the router stops.
pub(crate) async fn run(router: Arc<Router>) {
    let sockets = &router.tables.tcp.sockets;
    let mut serving: BTreeMap<u16, (u64, Vec<AbortOnDropHandle<()>>)> = BTreeMap::new();
    let mut retry = interval(RETRY);
    retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut kept = Some(Instant::now() + KEPT);
    loop {
        follow(&router, &mut serving);
        tokio::select! {
            () = router.stopping.cancelled() => break,
            () = sockets.0.news.notified() => {}
            _ = retry.tick() => {
                if kept.is_some_and(|until| until <= Instant::now()) {
                    sockets.forget_inherited();
                    kept = None;
                }
                if sockets.retry() {
                    // The server is told with the next acknowledgement, which this asks for.
                    router.tables.drained().notify_one();
                }
            }
        }
    }
    drop(serving);
    sockets.close();
}

/// Lets what is served be what is open.
fn follow(router: &Arc<Router>, serving: &mut BTreeMap<u16, (u64, Vec<AbortOnDropHandle<()>>)>) {
    let state = router.tables.tcp.sockets.lock();
    serving.retain(|port, (number, _)| {
        let open = state.open.get(port);
        open.is_some_and(|open| open.number == *number)
    });
    for (port, open) in &state.open {
        if serving.contains_key(port) {
            continue;
        }
        // One core accepts for each; connections are spread from there.
        let first = usize::from(*port) % router.cores.handles().count().max(1);
        let mut cores = router.cores.handles().cycle().skip(first);
        let accepts = open.listeners.iter().filter_map(|listener| {
            let core = cores.next()?;
            match crate::on(core, listener) {
                Ok(listener) => {
                    let router = Arc::clone(router);
                    let accept = accept::run(router, listener, Greeting::Raw(*port));
                    Some(AbortOnDropHandle::new(core.spawn(accept)))
                }
                Err(error) => {
                    tracing::error!(port, %error, "A port of a TCP route is not served.");
                    None
                }
            }
        });
        let accepts = accepts.collect();
        serving.insert(*port, (open.number, accepts));
    }
}
