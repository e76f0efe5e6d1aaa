//! The data plane: takes every request of every app, finds its dyno, and streams both ways.
//!
//! # Layout
//! A request goes through `accept` (sockets, HTTP/1 and 2; `cores`, `proxy_protocol`, `tls`, `challenge`, `sniff`, `stall`, `pace`, `recant`, `alarm`, `seldom`) or `http3` (HTTP/3; `quic`, `frames`). The ordinary
//! ones of HTTP/1.1 then go through `h1` alone, which shares all decisions with the rest; the others through `proxy` (the straight
//! line), `request` (its head; `headers`), `table` (host to app), `edge` (may it pass), `canary` (which app's dynos), `hold` (while an app boots), `balance` (which
//! dyno; `health`: may it), `line` (while none has a place), `pool` or `shared` (a connection, `carrier`), `exchange` (one attempt), `relay` and `upload` (the bodies) or
//! `tunnel` (after an upgrade; `pipe`: its bytes, `websocket`: of an HTTP/2 client), and ends in `access` (its record) or `pages` (our own answer, with
//! its `code`; `grpc`). What is not HTTP goes through `tcp`. `link` and `saved` bring the table; `stats` and `logs` take away what was seen.
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
mod canary;
mod carrier;
mod challenge;
mod clock;
mod code;
mod config;
mod cores;
mod edge;
mod error;
mod exchange;
mod frames;
#[doc(hidden)]
pub mod fuzz;
mod grpc;
mod h1;
mod handover;
mod headers;
pub mod health;
mod hold;
mod http3;
mod line;
mod link;
mod listeners;
mod logs;
mod pace;
mod pages;
mod pipe;
mod pool;
mod proxy;
mod proxy_protocol;
mod quic;
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
mod tcp;
mod tls;
mod tunnel;
mod upload;
mod upstream;
mod wakes;
mod websocket;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rustix::net::sockopt::set_tcp_nodelay;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
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
pub use tcp::RawSockets;

use crate::accept::Greeting;
use crate::cores::Cores;
use crate::edge::HttpsAt;
use crate::health::{Event, Standing};
use crate::http3::Socket;
use crate::link::{Link, Saved};
use crate::logs::Lines;
use crate::router::Router;
use crate::saved::News;
use crate::table::{App, Tables};
use crate::tls::Certificates;
use crate::upstream::Upstream;

/// Period in which idle connections to dynos are looked through.
const REAP: Duration = Duration::from_secs(1);

/// For the server to take the last lines of the log.
const LAST_WORDS: Duration = Duration::from_secs(1);

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
    let stop = async {
        shutdown.await;
        Stop::Ended
    };
    start(config, listeners).await?.until(stop).await;
    Ok(())
}

/// Why a router stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// What is idle is closed at once: somebody waits for the end.
    Ended,
    /// Another router accepts on the same sockets. Idle connections end with the answer to their next request, which
    /// no client can lose, or after ten seconds.
    Succeeded,
}

/// A router that accepts. Dropping it cuts off everything.
#[derive(Debug)]
pub struct Started {
    router: Arc<Router>,
    helpers: JoinSet<()>,
    /// The link to the server, which has the last word.
    link: Option<JoinHandle<()>>,
}

/// Begins to serve, by what was kept of the table and the certificates if they come from a server.
///
/// # Errors
/// Sockets or certificates that cannot be used.
pub async fn start(config: Config, mut listeners: Listeners) -> Result<Started, RouterError> {
    let authority = config.local_authority.as_deref();
    let certificates = Arc::new(Certificates::load(config.tls.as_ref(), authority)?);
    // A server sends certificates later, if not now.
    let may_have_none = matches!(config.source, Source::Link { .. });
    let greetings = Greetings::new(&certificates, authority.is_some(), may_have_none)?;
    let https_at = https_at(&greetings, &listeners);
    let alt_svc = listeners.quic.first().and_then(http3::alt_svc);
    let (logs, lines) = logs::queue(Arc::clone(&config.counters));
    let router = Arc::new(Router {
        limits: config.limits,
        proxies: config.proxies.into(),
        tables: Tables::with_sockets(listeners.raw.clone()),
        certificates,
        https_at,
        alt_svc,
        counters: config.counters,
        logs,
        cores: Arc::new(Cores::start().map_err(|source| RouterError::Threads { source })?),
        tasks: TaskTracker::new(),
        stopping: CancellationToken::new(),
        is_stopping: AtomicBool::new(false),
        succeeded: AtomicBool::new(false),
        cut: CancellationToken::new(),
        ended: CancellationToken::new(),
    });
    let mut helpers = JoinSet::new();
    if let Some(files) = config.tls {
        helpers.spawn(Arc::clone(&router.certificates).follow(files));
    }
    if !listeners.quic.is_empty() && greetings.tls.is_none() {
        return Err(RouterError::NoCertificate);
    }
    let quic = std::mem::take(&mut listeners.quic)
        .into_iter()
        .map(|socket| Socket::new(socket, &router))
        .collect::<Result<Vec<_>, _>>()?;
    let addresses = listeners.addresses();
    router.tables.tcp.sockets.begin(addresses);
    let sockets = sockets(listeners, greetings)?;

    let link = match config.source {
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
            None
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
            // Before the first client, who may ask for a certificate that was kept.
            kept.restore(&router).await;
            Some(tokio::spawn(follow(
                Arc::clone(&router),
                socket,
                kept,
                lines,
            )))
        }
    };
    for core in router.cores.handles() {
        for (listener, greeting) in &sockets {
            let listener = on(core, listener)?;
            let accept = accept::run(Arc::clone(&router), listener, greeting.clone());
            helpers.spawn_on(accept, core);
        }
    }
    // Each on a core of its own while there are enough; its connections are on all.
    for (socket, core) in quic.into_iter().zip(router.cores.handles().cycle()) {
        let run = socket.run(Arc::clone(&router));
        router.tasks.spawn_on(run, core);
    }
    helpers.spawn(reap(Arc::clone(&router)));
    helpers.spawn(tcp::run(Arc::clone(&router)));
    Ok(Started {
        router,
        helpers,
        link,
    })
}

impl Started {
    /// Serves until `stop` completes, then until the requests in flight are done or [`Limits::drain`] is over, and what
    /// was seen of them is told.
    pub async fn until(mut self, stop: impl Future<Output = Stop>) {
        let stop = stop.await;
        let router = &self.router;
        router.succeeded.store(stop == Stop::Succeeded, Relaxed);
        router.is_stopping.store(true, Relaxed);
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
        router.ended.cancel();
        if let Some(link) = &mut self.link {
            let _ = timeout(LAST_WORDS, link).await;
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Who waits for the one waits for the other first.
        self.router.is_stopping.store(true, Relaxed);
        self.router.stopping.cancel();
        self.router.cut.cancel();
        self.helpers.abort_all();
        if let Some(link) = &self.link {
            link.abort();
        }
    }
}

/// Where what the server says is kept.
struct Kept {
    table_file: PathBuf,
    certificates_file: PathBuf,
}

impl Kept {
    /// What an earlier router was told last.
    async fn restore(&self, router: &Router) {
        if let Some(certificates) = last(&self.certificates_file, saved::load).await {
            router.certificates.apply(&certificates);
        }
        if let Some(table) = last(&self.table_file, saved::load_table).await {
            router.tables.apply(&table);
        }
    }
}

/// Follows the server's table and certificates, and keeps them, until the router has ended.
async fn follow(router: Arc<Router>, socket: PathBuf, kept: Kept, lines: Lines) {
    let table = Arc::new(News::default());
    let tables = Arc::clone(&table);
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
    let keep = async {
        tokio::join!(
            saved::keep_table(kept.table_file, tables),
            saved::keep(kept.certificates_file, all_certificates),
        )
    };
    tokio::select! {
        () = link.run() => {}
        _ = keep => {}
    }
}

async fn last<T: Send + 'static>(
    path: &Path,
    load: fn(&Path) -> io::Result<Option<T>>,
) -> Option<T> {
    let file = path.to_owned();
    match tokio::task::spawn_blocking(move || load(&file)).await {
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
    fn new(
        certificates: &Arc<Certificates>,
        tls_everywhere: bool,
        may_have_none: bool,
    ) -> Result<Self, RouterError> {
        if certificates.is_empty() && !may_have_none {
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

/// Where clients of plain HTTP find HTTPS.
fn https_at(greetings: &Greetings, listeners: &Listeners) -> HttpsAt {
    if matches!(greetings.plain, Greeting::Either(_)) {
        return HttpsAt::SamePort;
    }
    let first = listeners.tls.first();
    first
        .and_then(|listener| listener.local_addr().ok())
        .map_or(HttpsAt::Nowhere, |addr| HttpsAt::Port(addr.port()))
}

/// A socket as a core accepts on it.
fn on(core: &Handle, listener: &std::net::TcpListener) -> Result<TcpListener, RouterError> {
    let _entered = core.enter();
    let own = listener.try_clone().and_then(TcpListener::from_std);
    own.map_err(|source| RouterError::Socket { source })
}

/// Every socket with how to greet on it.
fn sockets(
    listeners: Listeners,
    greetings: Greetings,
) -> Result<Vec<(std::net::TcpListener, Greeting)>, RouterError> {
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
                .and_then(|()| listener.set_nonblocking(true));
            ready.map_err(|source| RouterError::Socket { source })?;
            Ok((listener, greeting))
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
