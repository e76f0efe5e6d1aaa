//! The platform's own hosts on one unix socket: the router sends `api.`, `git.` and `registry.` here.

use std::fs::File;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{Request, StatusCode, header};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use rustix::fs::{FlockOperation, flock};
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::health::Health;
use crate::ops::data::Data;

/// For a request's head to arrive; the router has it whole before it connects.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest head: clients of the API send chains of request ids.
const MAX_HEAD: usize = 64 << 10;
/// For requests in flight at shutdown.
const GRACE: Duration = Duration::from_secs(10);

/// The API's name for programs of this host that ask at the socket, whatever the platform's domain is. Nobody can have
/// it (RFC 2606), so no router passes a request for it on.
pub(crate) const LOCAL_NAME: &str = "ropewalk.invalid";

/// MiB of memory that this host has.
pub(super) fn memory_mib() -> u64 {
    let facts = rustix::system::sysinfo();
    let bytes = u128::from(facts.totalram) * u128::from(facts.mem_unit);
    u64::try_from(bytes >> 20).unwrap_or(u64::MAX).max(1)
}

/// What answers for each host.
#[derive(Clone)]
pub(super) struct Hosts {
    pub(super) domain: String,
    pub(super) api: Router,
    pub(super) git: Router,
    pub(super) registry: Router,
    pub(super) health: Health,
    /// Whether pushes can be taken.
    pub(super) git_ready: watch::Receiver<bool>,
}

impl Hosts {
    async fn answer(self, request: Request<Body>) -> Response {
        let host = request
            .headers()
            .get(header::HOST)
            .and_then(|value| value.to_str().ok())
            .or_else(|| request.uri().host())
            .unwrap_or_default()
            .to_ascii_lowercase();
        let name = host.split(':').next().unwrap_or_default();
        let label = name
            .strip_suffix(self.domain.as_str())
            .and_then(|rest| rest.strip_suffix('.'));
        let routes = match label {
            Some("api") if request.uri().path() == "/ropewalk/health" => return self.health(),
            Some("api") => self.api,
            Some("git") if !*self.git_ready.borrow() => {
                let text = "Ropewalk is starting; push again in a moment.\n";
                return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
            }
            Some("git") => self.git,
            Some("registry") => self.registry,
            None if name == LOCAL_NAME => self.api,
            None if name == self.domain && request.uri().path().starts_with("/v2/") => {
                self.registry
            }
            None if name == self.domain => {
                return (StatusCode::NOT_FOUND, "Apps are below this name.\n").into_response();
            }
            _ => return StatusCode::MISDIRECTED_REQUEST.into_response(),
        };
        match routes.oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// For whoever waits for the platform or watches it: 200 while dynos and builds can run.
    fn health(&self) -> Response {
        match self.health.now() {
            Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
            Err(text) => (StatusCode::SERVICE_UNAVAILABLE, format!("{text}\n")),
        }
        .into_response()
    }
}

/// Serves until `shutdown`, then lets requests in flight end.
pub(super) async fn serve(listener: UnixListener, hosts: Hosts, shutdown: CancellationToken) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEAD);
    let graceful = GracefulShutdown::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "A connection could not be accepted.");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = shutdown.cancelled() => break,
        };
        let hosts = hosts.clone();
        let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
            let hosts = hosts.clone();
            async move { Ok::<_, std::convert::Infallible>(hosts.answer(request.map(Body::new)).await) }
        });
        let connection = builder
            .serve_connection_with_upgrades(TokioIo::new(stream), service)
            .into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "A platform connection broke.");
            }
        });
    }
    let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
}

/// Makes sure that no other server works on this data directory. Holds until dropped, or the process ends.
pub(super) fn only_one(data: &Data) -> Result<File> {
    let path = data.path("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)
        .with_context(|| format!("another server works on {} already", data.root.display()))?;
    Ok(file)
}

/// Tells systemd that the process is alive, where it asked for that.
pub(crate) async fn feed_watchdog() {
    let Some(period) = sd_notify::watchdog_enabled() else {
        return;
    };
    loop {
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        tokio::time::sleep(period / 2).await;
    }
}
