//! Connections to one upstream: opened here, kept while idle, thrown away when it leaves the table.
//!
//! Ours rather than a general client's, because the router must know whether a connection was used
//! before (then a request without a body may be repeated), must drop all of an upstream's
//! connections at once, and must tell a refusal from a timeout.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout};

use crate::upload::Upload;

/// Where an upstream listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

pub(crate) type Sender = http1::SendRequest<Upload>;

/// Why no connection could be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("refused: {0}")]
    Refused(io::Error),
    #[error("no answer in time")]
    Timeout,
}

/// Largest head of a response, and the most that is buffered of a body, in bytes.
const BUFFER: usize = 64 * 1024;

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

impl Pool {
    /// An open connection that was idle for less than `max_idle`.
    pub(crate) async fn checkout(&self, max_idle: Duration) -> Option<Sender> {
        let mut sender = self.take(max_idle)?;
        if sender.is_ready() {
            return Some(sender);
        }
        match timeout(SETTLE, sender.ready()).await {
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
    match timeout(limit, open(address)).await {
        Ok(Ok(sender)) => Ok(sender),
        Ok(Err(source)) if source.kind() == io::ErrorKind::TimedOut => Err(ConnectError::Timeout),
        Ok(Err(source)) => Err(ConnectError::Refused(source)),
        Err(_) => Err(ConnectError::Timeout),
    }
}

async fn open(address: &Address) -> io::Result<Sender> {
    match address {
        Address::Tcp(addr) => {
            let stream = TcpStream::connect(addr).await?;
            stream.set_nodelay(true)?;
            drive(stream).await
        }
        Address::Unix(path) => drive(UnixStream::connect(path).await?).await,
    }
}

async fn drive<S>(stream: S) -> io::Result<Sender>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(BUFFER)
        .max_header_size(BUFFER)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(async move {
        // Whatever ends it is told to the request in flight; an idle connection may just close.
        if let Err(error) = connection.with_upgrades().await {
            tracing::trace!(%error, "Connection to an upstream ended.");
        }
    });
    Ok(sender)
}
