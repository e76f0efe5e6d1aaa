//! The helper: one port on loopback that is Heroku's API and its proxy to the CLI, and neither to anybody else.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::body::Body;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioIo, TokioTimer};
use ropewalk_client::Client;
use ropewalk_client::types::error::id;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::cmd::heroku::gate::{Destination, Gate};
use crate::cmd::heroku::relay::{Relay, refuse};

/// Connections at the same time; further ones wait.
const CONNECTIONS: usize = 256;
/// A client that says nothing for this long is gone.
const HEADERS_WITHIN: Duration = Duration::from_secs(60);
/// Largest head of a request, in bytes. The CLI's chain of request ids alone takes 7 KiB.
const HEAD: usize = 64 << 10;

/// Runs as long as this lives.
pub(super) struct Helper {
    port: u16,
    accepting: JoinHandle<()>,
}

struct Inner {
    gate: Gate,
    relay: Relay,
}

impl Helper {
    /// Listens on a port that the system chooses.
    pub(super) async fn start(client: Client, token: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("no port on 127.0.0.1 could be opened for Heroku's CLI")?;
        let port = listener.local_addr()?.port();
        let inner = Arc::new(Inner {
            gate: Gate::new(port, token),
            relay: Relay::new(client, &format!("http://127.0.0.1:{port}")),
        });
        Ok(Self {
            port,
            accepting: tokio::spawn(accept(listener, inner)),
        })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, inner: Arc<Inner>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = room.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let inner = inner.clone();
                tokio::spawn(async move {
                    serve(TokioIo::new(stream), inner, Way::Plain).await;
                    drop(place);
                });
            }
            // Out of file descriptors, most likely: some come back when a connection ends.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Which connection a request came by.
#[derive(Debug, Clone)]
enum Way {
    /// Straight to the port.
    Plain,
    /// By a tunnel to ourselves; it holds no further tunnels.
    Tunnel,
    /// By a tunnel that was meant for this host. Nothing leaves it.
    Nowhere(String),
}

/// Serves one connection to its end.
async fn serve(
    io: impl hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    inner: Arc<Inner>,
    way: Way,
) {
    let service = service_fn(move |request| {
        let (inner, way) = (inner.clone(), way.clone());
        async move { Ok::<_, Infallible>(answer(request, inner, way).await) }
    });
    // A connection that breaks is the client's affair.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .max_buf_size(HEAD)
        .serve_connection(io, service)
        .with_upgrades()
        .await;
}

/// What is said inside of a tunnel. Boxed, for it is served the way the tunnel itself was.
fn within(
    upgraded: Upgraded,
    inner: Arc<Inner>,
    way: Way,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(serve(upgraded, inner, way))
}

async fn answer(request: Request<Incoming>, inner: Arc<Inner>, way: Way) -> Response<Body> {
    if let Way::Nowhere(host) = &way {
        return forbidden(host);
    }
    let named = request.uri().authority().map(|authority| {
        let host = authority.host().to_owned();
        (inner.gate.destination(authority), host)
    });
    if request.method() == Method::CONNECT {
        let inside = match (way, named) {
            (Way::Plain, Some((Destination::Ours, _))) => Way::Tunnel,
            (Way::Plain, Some((Destination::Pretended, host))) => Way::Nowhere(host),
            (Way::Plain, Some((Destination::Foreign, host))) => return forbidden(&host),
            _ => {
                return refuse(
                    StatusCode::BAD_REQUEST,
                    id::BAD_REQUEST,
                    "No tunnel begins here.",
                );
            }
        };
        tokio::spawn(async move {
            if let Ok(upgraded) = hyper::upgrade::on(request).await {
                within(upgraded, inner, inside).await;
            }
        });
        return Response::new(Body::empty());
    }
    match named {
        Some((Destination::Pretended | Destination::Foreign, host)) => return forbidden(&host),
        Some((Destination::Ours, _)) | None => {}
    }
    if !inner.gate.lets_in(request.uri(), request.headers()) {
        return refuse(
            StatusCode::UNAUTHORIZED,
            id::UNAUTHORIZED,
            "Only the token that `ropewalk` is logged in with may be used here.",
        );
    }
    inner.relay.pass(request).await
}

fn forbidden(host: &str) -> Response<Body> {
    refuse(
        StatusCode::FORBIDDEN,
        id::FORBIDDEN,
        &format!("This command asks {host}, which has no part in Ropewalk; it was not contacted."),
    )
}
