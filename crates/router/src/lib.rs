//! The data plane: takes every request of every app, finds its dyno, and streams both ways.
//!
//! # Layout
//! A request goes through `accept` (sockets, HTTP/1 and 2; `proxy_protocol`, `tls`, `sniff`, `stall`, `pace`, `recant`, `alarm`, `seldom`), `proxy` (the straight
//! line), `request` (its head), `table` (host to app), `hold` (while an app boots), `balance` (which
//! dyno; `health`: may it), `line` (while none has a place), `pool` or `shared` (a connection, `carrier`), `exchange` (one attempt), `relay` and `upload` (the bodies) or
//! `tunnel` (after an upgrade; `websocket`: of an HTTP/2 client), and ends in `access` (its record) or `pages` (our own answer, with
//! its `code`; `grpc`). `link` and `saved` bring the table; `stats` and `logs` take away what was seen.
//!
//! # Must not
//! Know the database, the engine or the server's crates: all it needs is its table. Wait for the
//! server on a request's time. Buffer a body.

mod accept;
mod access;
mod affinity;
mod alarm;
mod authority;
pub mod balance;
mod carrier;
mod clock;
mod code;
mod config;
mod error;
mod exchange;
mod grpc;
pub mod health;
mod hold;
mod line;
mod link;
mod listeners;
mod logs;
mod pace;
mod pages;
mod pool;
mod proxy;
mod proxy_protocol;
mod recant;
mod relay;
mod rendezvous;
mod request;
mod router;
mod saved;
mod seldom;
mod shared;
mod sniff;
mod stall;
mod stats;
mod table;
mod tls;
mod tunnel;
mod upload;
mod upstream;
mod websocket;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt::set_tcp_nodelay;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use authority::{CERTIFICATE as AUTHORITY_CERTIFICATE, Failure as AuthorityFailure};
pub use code::Code;
pub use config::{Config, Limits, Source, TlsFiles};
pub use error::RouterError;
pub use listeners::Listeners;
pub use stats::{Counters, Snapshot};
pub use table::fixed_table;

use crate::accept::Greeting;
use crate::health::{Event, Standing};
use crate::link::{Link, Saved};
use crate::logs::Lines;
use crate::router::Router;
use crate::table::{App, Tables};
use crate::tls::Certificates;
use crate::upstream::Upstream;

/// Period in which idle connections to dynos are looked through.
const REAP: Duration = Duration::from_secs(1);

/// Longest wait for a dyno that is asked whether it takes connections.
const PROBE: Duration = Duration::from_millis(900);

/// Serves until `shutdown` completes, then until the requests in flight are done or
/// [`Limits::drain`] is over.
///
/// # Errors
/// Only before the first connection is accepted: sockets or certificates that cannot be used.
pub async fn run(
    config: Config,
    listeners: Listeners,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RouterError> {
    let authority = config.local_authority.as_deref();
    let certificates = Arc::new(Certificates::load(config.tls.as_ref(), authority)?);
    let greetings = Greetings::new(&certificates, authority.is_some())?;
    let (logs, lines) = logs::queue(Arc::clone(&config.counters));
    let router = Arc::new(Router {
        limits: config.limits,
        proxies: config.proxies.into(),
        tables: Tables::new(),
        certificates,
        counters: config.counters,
        logs,
        tasks: TaskTracker::new(),
        stopping: CancellationToken::new(),
        cut: CancellationToken::new(),
    });
    // Ended with this function, whichever way it ends.
    let mut helpers = JoinSet::new();
    if let Some(files) = config.tls {
        helpers.spawn(Arc::clone(&router.certificates).follow(files));
    }
    let sockets = sockets(listeners, greetings)?;

    match config.source {
        Source::Fixed { table, log } => {
            router.tables.apply(&table);
            match log {
                Some(out) => {
                    let runtime = Handle::current();
                    let write = move || runtime.block_on(logs::write(lines, out));
                    drop(std::thread::spawn(write));
                }
                None => drop(lines),
            }
        }
        Source::Link {
            socket,
            table_file,
            certificates_file,
        } => {
            let kept = Kept {
                table_file,
                certificates_file,
            };
            helpers.spawn(follow(Arc::clone(&router), socket, kept, lines));
        }
    }
    for (listener, greeting) in sockets {
        helpers.spawn(accept::run(Arc::clone(&router), listener, greeting));
    }
    helpers.spawn(reap(Arc::clone(&router)));

    shutdown.await;
    router.stopping.cancel();
    router.tasks.close();
    if timeout(router.limits.drain, router.tasks.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            left = router.tasks.len(),
            "Cut off what had not finished in time."
        );
        router.cut.cancel();
        router.tasks.wait().await;
    }
    Ok(())
}

/// Where what the server says is kept.
struct Kept {
    table_file: PathBuf,
    certificates_file: PathBuf,
}

/// Serves from what was kept, then follows the server's.
async fn follow(router: Arc<Router>, socket: PathBuf, kept: Kept, lines: Lines) {
    if let Some(certificates) = last(&kept.certificates_file).await {
        router.certificates.apply(&certificates);
    }
    if let Some(table) = last(&kept.table_file).await {
        router.tables.apply(&table);
    }
    let (table, tables) = watch::channel(None);
    let (certificates, all_certificates) = watch::channel(None);
    let link = Link {
        router,
        socket,
        lines,
        unsent: None,
        saved: Saved {
            table,
            certificates,
        },
    };
    tokio::join!(
        link.run(),
        saved::keep(kept.table_file, tables),
        saved::keep(kept.certificates_file, all_certificates),
    );
}

async fn last<T: DeserializeOwned + Send + 'static>(path: &Path) -> Option<T> {
    let file = path.to_owned();
    match tokio::task::spawn_blocking(move || saved::load(&file)).await {
        Ok(Ok(kept)) => kept,
        Ok(Err(error)) => {
            tracing::warn!(path = %path.display(), %error, "Could not read what was kept.");
            None
        }
        Err(_) => None,
    }
}

/// What is spoken on the sockets.
struct Greetings {
    plain: Greeting,
    tls: Option<Greeting>,
}

impl Greetings {
    fn new(certificates: &Arc<Certificates>, tls_everywhere: bool) -> Result<Self, RouterError> {
        if certificates.is_empty() {
            return Ok(Self {
                plain: Greeting::Plain,
                tls: None,
            });
        }
        let acceptor = tls::acceptor(Arc::clone(certificates))?;
        let plain = match tls_everywhere {
            true => Greeting::Either(acceptor.clone()),
            false => Greeting::Plain,
        };
        Ok(Self {
            plain,
            tls: Some(Greeting::Tls(acceptor)),
        })
    }
}

/// Every socket with how to greet on it.
fn sockets(
    listeners: Listeners,
    greetings: Greetings,
) -> Result<Vec<(TcpListener, Greeting)>, RouterError> {
    let mut all: Vec<_> = listeners
        .plain
        .into_iter()
        .map(|listener| (listener, greetings.plain.clone()))
        .collect();
    for listener in listeners.tls {
        let greeting = greetings.tls.clone().ok_or(RouterError::NoCertificate)?;
        all.push((listener, greeting));
    }
    all.into_iter()
        .map(|(listener, greeting)| {
            // What is set on the socket is set on every connection that comes over it.
            let ready = set_tcp_nodelay(&listener, true)
                .map_err(io::Error::from)
                .and_then(|()| listener.set_nonblocking(true))
                .and_then(|()| TcpListener::from_std(listener));
            let socket = ready.map_err(|source| RouterError::Socket { source })?;
            Ok((socket, greeting))
        })
        .collect()
}

/// Asks a dyno that refused connections whether it takes them again, at no request's expense.
async fn probe(app: Arc<App>, upstream: Arc<Upstream>) {
    match upstream.connect(app.protocol, PROBE).await {
        Ok(carrier) => {
            app.observe(&upstream, Event::Connected);
            if !upstream.is_retired() {
                upstream.park(carrier);
            }
            app.serve_line();
        }
        Err(_) => app.observe(&upstream, Event::Refused),
    }
}

/// Closes connections to dynos before the dynos do, and lets those in again that are well again.
async fn reap(router: Arc<Router>) {
    let mut ticks = interval(REAP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let table = router.tables.load_full();
        for upstream in table.upstreams() {
            upstream.reap(router.limits.pool_idle);
        }
        for app in table.apps() {
            // Places are offered as they become free; this is for what no event tells, such as the end of a time out.
            app.serve_line();
            for upstream in &app.upstreams {
                if upstream.standing() == Standing::Probe {
                    let (app, upstream) = (Arc::clone(app), Arc::clone(upstream));
                    router.tasks.spawn(probe(app, upstream));
                }
            }
        }
    }
}
