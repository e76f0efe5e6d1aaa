//! Connections to one upstream: opened here, kept while idle, thrown away when it leaves the table.
//!
//! Ours rather than a general client's, because the router must know whether a connection was used
//! before (then a request without a body may be repeated), must drop all of an upstream's
//! connections at once, and must tell a refusal from a timeout. HTTP/1.1; `shared` is for HTTP/2.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::upload::Upload;

/// Where an upstream listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// An open connection, on which requests are sent one after the other.
#[derive(Debug)]
pub(crate) struct Sender {
    requests: http1::SendRequest<Upload>,
    /// Ends when the connection's task has ended.
    ended: oneshot::Receiver<Infallible>,
}

/// Why no connection could be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("refused: {0}")]
    Refused(io::Error),
    #[error("no answer in time")]
    Timeout,
}

/// Largest head of a response, and the most that is buffered of a body, in bytes.
pub(crate) const BUFFER: usize = 64 * 1024;

/// How long a connection that has just delivered a response may take to be ready again.
const SETTLE: Duration = Duration::from_millis(5);

#[derive(Debug, Default)]
pub(crate) struct Pool {
    /// The most recently used last; taken from the end, so that the rest ages out.
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    sender: Sender,
    since: Instant,
}

impl Sender {
    /// Hands over a request; the future is its reply.
    pub(crate) fn send(
        &mut self,
        request: Request<Upload>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Upload>>>> + use<>
    {
        self.requests.try_send_request(request)
    }

    /// Completes when the connection is gone. A request handed over at that very moment may lie
    /// where nobody will ever take it, and comes back only when the sender is dropped.
    pub(crate) async fn ended(&mut self) {
        let _ = (&mut self.ended).await;
    }

    fn is_ready(&self) -> bool {
        self.requests.is_ready()
    }

    fn is_closed(&self) -> bool {
        self.requests.is_closed()
    }
}

impl Pool {
    /// An open connection that was idle for less than `max_idle`.
    pub(crate) async fn checkout(&self, max_idle: Duration) -> Option<Sender> {
        let mut sender = self.take(max_idle)?;
        if sender.is_ready() {
            return Some(sender);
        }
        match timeout(SETTLE, sender.requests.ready()).await {
            Ok(Ok(())) => Some(sender),
            Ok(Err(_)) | Err(_) => None,
        }
    }

    /// Keeps a connection for the next request.
    pub(crate) fn park(&self, sender: Sender) {
        if sender.is_closed() {
            return;
        }
        self.lock().push(Idle {
            sender,
            since: Instant::now(),
        });
    }

    /// Drops what has been idle for `max_idle` or was closed by the other side.
    pub(crate) fn reap(&self, max_idle: Duration) {
        let now = Instant::now();
        let mut idle = self.lock();
        idle.retain(|entry| {
            !entry.sender.is_closed() && now.duration_since(entry.since) < max_idle
        });
        if idle.is_empty() {
            idle.shrink_to_fit();
        }
    }

    /// Drops every idle connection.
    pub(crate) fn clear(&self) {
        *self.lock() = Vec::new();
    }

    /// The youngest ready connection, else the youngest that is merely open.
    fn take(&self, max_idle: Duration) -> Option<Sender> {
        let now = Instant::now();
        let mut idle = self.lock();
        let mut settling = None;
        let mut index = idle.len();
        while index > 0 {
            index -= 1;
            let entry = idle.get(index)?;
            if entry.sender.is_closed() {
                idle.remove(index);
                settling = settling.map(|known: usize| known - 1);
            } else if now.duration_since(entry.since) >= max_idle {
                break;
            } else if entry.sender.is_ready() {
                return Some(idle.remove(index).sender);
            } else if settling.is_none() {
                settling = Some(index);
            }
        }
        settling.map(|index| idle.remove(index).sender)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a connection within `limit` and starts the task that drives it.
pub(crate) async fn connect(address: &Address, limit: Duration) -> Result<Sender, ConnectError> {
    within(limit, open(address)).await
}

/// What becomes of opening a connection when it may take `limit`.
pub(crate) async fn within<T>(
    limit: Duration,
    opened: impl Future<Output = io::Result<T>>,
) -> Result<T, ConnectError> {
    match timeout(limit, opened).await {
        Ok(Ok(sender)) => Ok(sender),
        Ok(Err(source)) if source.kind() == io::ErrorKind::TimedOut => Err(ConnectError::Timeout),
        Ok(Err(source)) => Err(ConnectError::Refused(source)),
        Err(_) => Err(ConnectError::Timeout),
    }
}

async fn open(address: &Address) -> io::Result<Sender> {
    match address {
        Address::Tcp(addr) => drive(tcp(addr).await?).await,
        Address::Unix(path) => drive(UnixStream::connect(path).await?).await,
    }
}

pub(crate) async fn tcp(addr: &SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn drive<S>(stream: S) -> io::Result<Sender>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (requests, connection) = http1::Builder::new()
        .max_buf_size(BUFFER)
        .max_header_size(BUFFER)
        .preserve_header_case(true)
        .title_case_headers(true)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let (end, ended) = oneshot::channel();
    tokio::spawn(async move {
        // Whatever ends it is told to the request in flight; an idle connection may just close.
        if let Err(error) = connection.with_upgrades().await {
            tracing::trace!(%error, "Connection to an upstream ended.");
        }
        drop(end);
    });
    Ok(Sender { requests, ended })
}
