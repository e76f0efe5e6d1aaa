//! The data plane: takes every request of every app, finds its dyno, and streams both ways.
//!
//! # Layout
//! A request goes through `accept` (sockets, HTTP/1 and 2; `tls`, `sniff`, `stall`, `pace`), `proxy` (the straight
//! line), `request` (its head), `table` (host to app), `hold` (while an app boots), `balance` (which
//! dyno), `pool` (a connection), `exchange` (one attempt), `relay` and `upload` (the bodies) or
//! `tunnel` (after an upgrade), and ends in `access` (its record) or `pages` (our own answer, with
//! its `code`). `link` and `saved` bring the table; `stats` and `logs` take away what was seen.
//!
//! # Must not
//! Know the database, the engine or the server's crates: all it needs is its table. Wait for the
//! server on a request's time. Buffer a body.

mod accept;
mod access;
pub mod balance;
mod clock;
mod code;
mod config;
mod error;
mod exchange;
mod hold;
mod link;
mod listeners;
mod logs;
mod pace;
mod pages;
mod pool;
mod proxy;
mod relay;
mod request;
mod router;
mod saved;
mod sniff;
mod stall;
mod stats;
mod table;
mod tls;
mod tunnel;
mod upload;
mod upstream;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use code::Code;
pub use config::{Config, Limits, Source, TlsFiles};
pub use error::RouterError;
pub use listeners::Listeners;
pub use stats::{Counters, Snapshot};
pub use table::fixed_table;

use crate::link::Link;
use crate::logs::Lines;
use crate::router::Router;
use crate::table::Tables;
use crate::tls::Certificates;

/// Period in which idle connections to dynos are looked through.
const REAP: Duration = Duration::from_secs(1);

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
    let (logs, lines) = logs::queue(Arc::clone(&config.counters));
    let router = Arc::new(Router {
        limits: config.limits,
        tables: Tables::new(),
        counters: config.counters,
        logs,
        tasks: TaskTracker::new(),
        stopping: CancellationToken::new(),
        cut: CancellationToken::new(),
    });
    // Ended with this function, whichever way it ends.
    let mut helpers = JoinSet::new();
    let acceptor = match &config.tls {
        Some(files) => {
            let certificates = Arc::new(Certificates::load(files)?);
            helpers.spawn(Arc::clone(&certificates).follow(files.clone()));
            Some(tls::acceptor(certificates)?)
        }
        None if !listeners.tls.is_empty() => return Err(RouterError::NoCertificate),
        None => None,
    };
    let sockets = sockets(listeners, acceptor)?;

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
        Source::Link { socket, table_file } => {
            helpers.spawn(follow(Arc::clone(&router), socket, table_file, lines));
        }
    }
    for (listener, acceptor) in sockets {
        helpers.spawn(accept::run(Arc::clone(&router), listener, acceptor));
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

/// Serves from the kept table, then follows the server's.
async fn follow(router: Arc<Router>, socket: PathBuf, table_file: PathBuf, lines: Lines) {
    let path = table_file.clone();
    match tokio::task::spawn_blocking(move || saved::load(&path)).await {
        Ok(Ok(Some(table))) => router.tables.apply(&table),
        Ok(Ok(None)) | Err(_) => {}
        Ok(Err(error)) => {
            tracing::warn!(path = %table_file.display(), %error, "Could not read the kept table.");
        }
    }
    let (saved, tables) = watch::channel(None);
    let link = Link {
        router,
        socket,
        lines,
        unsent: None,
        saved,
    };
    tokio::join!(link.run(), saved::keep(table_file, tables));
}

/// Every socket with how to greet on it.
fn sockets(
    listeners: Listeners,
    acceptor: Option<TlsAcceptor>,
) -> Result<Vec<(TcpListener, Option<TlsAcceptor>)>, RouterError> {
    let plain = listeners.plain.into_iter().map(|listener| (listener, None));
    let tls = listeners
        .tls
        .into_iter()
        .map(|listener| (listener, acceptor.clone()));
    plain
        .chain(tls)
        .map(|(listener, acceptor)| {
            let ready = listener
                .set_nonblocking(true)
                .and_then(|()| TcpListener::from_std(listener));
            let socket = ready.map_err(|source| RouterError::Socket { source })?;
            Ok((socket, acceptor))
        })
        .collect()
}

/// Closes connections to dynos before the dynos do.
async fn reap(router: Arc<Router>) {
    let mut ticks = interval(REAP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for upstream in router.tables.load_full().upstreams() {
            upstream.pool.reap(router.limits.pool_idle);
        }
    }
}
