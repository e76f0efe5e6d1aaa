//! Connections to one upstream: opened here, kept while idle, thrown away when it leaves the table.
//!
//! Ours rather than a general client's, because the router must know whether a connection was used
//! before (then a request without a body may be repeated), must drop all of an upstream's
//! connections at once, and must tell a refusal from a timeout. HTTP/1.1; `shared` is for HTTP/2.
//!
//! A connection has no task of its own: it moves when the request that has it is polled, which saves two wakes and as
//! many switches a request. While it is idle nobody moves it, so whoever takes it out looks first whether it is alive.

use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::cores::Cores;
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
    driver: Driver,
    /// That it was opened on.
    core: usize,
}

/// What moves a connection's bytes.
enum Driver {
    /// Whoever polls it.
    Here(Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>),
    /// A task, which lets go of the other end when the connection has ended.
    Task(oneshot::Receiver<Infallible>),
    Ended,
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

    /// Moves what there is to move. Ready when the connection is gone; a request handed over at that very moment may
    /// lie where nobody will ever take it, and comes back only when the sender is dropped.
    pub(crate) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let ended = match &mut self.driver {
            Driver::Here(connection) => connection.as_mut().poll(cx).map(tell),
            Driver::Task(ended) => Pin::new(ended).poll(cx).map(drop),
            Driver::Ended => Poll::Ready(()),
        };
        if ended.is_ready() {
            self.driver = Driver::Ended;
        }
        ended
    }

    /// Gives the connection a task, for one that has to move while nobody polls it.
    pub(crate) fn detach(&mut self) {
        let driver = match std::mem::replace(&mut self.driver, Driver::Ended) {
            Driver::Here(connection) => {
                let (end, ended) = oneshot::channel();
                tokio::spawn(async move {
                    tell(connection.await);
                    drop(end);
                });
                Driver::Task(ended)
            }
            other => other,
        };
        self.driver = driver;
    }

    /// Ready when it takes a request, or is gone: then it is `false`.
    fn poll_settled(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.poll_ended(cx).is_ready() {
            return Poll::Ready(false);
        }
        match self.requests.is_ready() {
            true => Poll::Ready(true),
            false => self.requests.poll_ready(cx).map(|ready| ready.is_ok()),
        }
    }

    /// Looks whether it is still there, on nobody's behalf.
    fn is_gone(&mut self) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        self.poll_ended(&mut nobody).is_ready() || self.requests.is_closed()
    }
}

/// Whatever ended a connection is told to the request in flight; an idle one may just close.
fn tell(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::trace!(%error, "Connection to an upstream ended.");
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Driver::Here(_) => "Here",
            Driver::Task(_) => "Task",
            Driver::Ended => "Ended",
        })
    }
}

impl Pool {
    /// An open connection that was idle for less than `max_idle`, the youngest first.
    pub(crate) async fn checkout(&self, max_idle: Duration) -> Option<Sender> {
        loop {
            let mut sender = self.take(max_idle)?;
            let at_once = poll_fn(|cx| Poll::Ready(sender.poll_settled(cx))).await;
            let settled = match at_once {
                Poll::Ready(settled) => settled,
                Poll::Pending => {
                    let settled = poll_fn(|cx| sender.poll_settled(cx));
                    timeout(SETTLE, settled).await.unwrap_or(false)
                }
            };
            if settled {
                return Some(sender);
            }
        }
    }

    /// Keeps a connection for the next request.
    pub(crate) fn park(&self, mut sender: Sender) {
        // Who is ready for the next request has nothing left to do for the last.
        if !sender.requests.is_ready() && sender.is_gone() {
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
        idle.retain_mut(|entry| {
            now.duration_since(entry.since) < max_idle && !entry.sender.is_gone()
        });
        if idle.is_empty() {
            idle.shrink_to_fit();
        }
    }

    /// Drops every idle connection.
    pub(crate) fn clear(&self) {
        *self.lock() = Vec::new();
    }

    /// The youngest of this core, else the youngest: dynos that give a thread to each connection need not have one for
    /// each core, too.
    fn take(&self, max_idle: Duration) -> Option<Sender> {
        let (now, here) = (Instant::now(), Cores::here());
        let mut idle = self.lock();
        let mut chosen = None;
        for (index, entry) in idle.iter().enumerate().rev() {
            if now.duration_since(entry.since) >= max_idle {
                break;
            }
            if entry.sender.core == here {
                chosen = Some(index);
                break;
            }
            chosen = chosen.or(Some(index));
        }
        chosen.map(|index| idle.remove(index).sender)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a connection within `limit`.
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
        Address::Tcp(addr) => greet(tcp(addr).await?).await,
        Address::Unix(path) => greet(UnixStream::connect(path).await?).await,
    }
}

pub(crate) async fn tcp(addr: &SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn greet<S>(stream: S) -> io::Result<Sender>
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
    Ok(Sender {
        requests,
        driver: Driver::Here(Box::pin(connection.with_upgrades())),
        core: Cores::here(),
    })
}
