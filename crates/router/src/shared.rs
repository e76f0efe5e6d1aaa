//! Connections to one dyno that speaks HTTP/2: few, each shared by many requests.
//!
//! Like `pool`, but nobody has a connection to itself: a request takes a seat, and the next connection is opened when all
//! seats are taken. Who leaves early resets its own stream and disturbs nobody.

use std::error::Error as _;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

use crate::clock;
use crate::pool::{self, Address, BUFFER, ConnectError};
use crate::upload::Upload;

/// Most seats of one connection; fewer where the dyno says so.
const SEATS: u16 = 100;

/// Most that is buffered of one response, in bytes. There is room on a connection for as much of each: a client that
/// takes nothing must not hold back the others.
const WINDOW: u32 = 64 * 1024;

/// The open connections of one dyno.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    open: Arc<Mutex<Vec<Connection>>>,
    /// Held while one is opened, so that who comes meanwhile waits for it rather than open another.
    opening: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Connection {
    requests: http2::SendRequest<Upload>,
    usage: Arc<Usage>,
}

#[derive(Debug)]
struct Usage {
    taken: AtomicUsize,
    seats: AtomicUsize,
    /// When the last seat became free, [`clock::millis`].
    since: AtomicU64,
    /// It ended because what came over it was no HTTP/2.
    foreign: AtomicBool,
}

/// A connection with a seat on it.
#[derive(Debug)]
pub(crate) struct Sender {
    requests: http2::SendRequest<Upload>,
    seat: Seat,
}

/// A request's place on a connection, free again when dropped.
#[derive(Debug)]
pub(crate) struct Seat(Arc<Usage>);

impl Sender {
    /// Hands over a request. The connection's end of the queue is let go at once: what lies there when the connection
    /// ends comes back when the last one is.
    pub(crate) fn send(
        mut self,
        request: Request<Upload>,
    ) -> (
        impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Upload>>>> + use<>,
        Seat,
    ) {
        (self.requests.try_send_request(request), self.seat)
    }
}

impl Connections {
    /// A seat on an open connection that is in use or was idle for less than `max_idle`.
    pub(crate) fn take(&self, max_idle: Duration) -> Option<Sender> {
        self.lock()
            .iter()
            .find(|one| {
                !one.requests.is_closed()
                    && one.usage.has_room()
                    && !one.usage.is_idle_for(max_idle)
            })
            .map(Connection::seat)
    }

    /// A seat on a new connection, within `limit`, or on one that somebody else has opened meanwhile.
    pub(crate) async fn connect(
        &self,
        address: &Address,
        limit: Duration,
    ) -> Result<Sender, ConnectError> {
        let begun = clock::millis();
        pool::within(limit, async {
            let _turn = self.opening.lock().await;
            let waited = Duration::from_millis(clock::millis().saturating_sub(begun));
            match self.take(waited) {
                Some(sender) => Ok(sender),
                None => self.open(address).await,
            }
        })
        .await
    }

    /// Drops what has been idle for `max_idle` or was closed by the other side.
    pub(crate) fn reap(&self, max_idle: Duration) {
        self.lock()
            .retain(|one| !one.requests.is_closed() && !one.usage.is_idle_for(max_idle));
    }

    /// Takes no more requests on them; those in flight go on.
    pub(crate) fn clear(&self) {
        *self.lock() = Vec::new();
    }

    async fn open(&self, address: &Address) -> io::Result<Sender> {
        let (requests, usage) = match address {
            Address::Tcp(addr) => self.drive(pool::tcp(addr).await?).await?,
            Address::Unix(path) => self.drive(UnixStream::connect(path).await?).await?,
        };
        let connection = Connection { requests, usage };
        let sender = connection.seat();
        self.lock().push(connection);
        Ok(sender)
    }

    async fn drive<S>(&self, stream: S) -> io::Result<(http2::SendRequest<Upload>, Arc<Usage>)>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (requests, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW * u32::from(SEATS))
            .max_header_list_size(BUFFER as u32)
            // What comes late on a stream that a client has left is no fault of the connection, however often.
            .max_concurrent_reset_streams(10 * usize::from(SEATS))
            .max_local_error_reset_streams(None)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        let usage = Arc::new(Usage {
            taken: AtomicUsize::new(0),
            seats: AtomicUsize::new(SEATS.into()),
            since: AtomicU64::new(clock::millis()),
            foreign: AtomicBool::new(false),
        });
        let (open, seen) = (Arc::downgrade(&self.open), Arc::clone(&usage));
        tokio::spawn(async move {
            let mut connection = pin!(connection);
            let ended = poll_fn(|cx| {
                let polled = connection.as_mut().poll(cx);
                // The dyno says it when it has the connection, and may say it again.
                let seats = connection.current_max_send_streams();
                seen.seats.store(seats.min(SEATS.into()), Relaxed);
                polled
            });
            // Whatever ends it is told to the requests in flight. Those that the dyno still answers after it said
            // goodbye go on.
            if let Err(error) = ended.await {
                tracing::trace!(%error, "Connection to an upstream ended.");
                seen.foreign.store(is_foreign(&error), Relaxed);
            }
            forget(&open, &seen);
        });
        Ok((requests, usage))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        lock(&self.open)
    }
}

impl Connection {
    fn seat(&self) -> Sender {
        self.usage.taken.fetch_add(1, Relaxed);
        Sender {
            requests: self.requests.clone(),
            seat: Seat(Arc::clone(&self.usage)),
        }
    }
}

impl Seat {
    /// Whether the connection ended because the dyno does not speak HTTP/2: it may have said so before a request was sent.
    pub(crate) fn is_foreign(&self) -> bool {
        self.0.foreign.load(Relaxed)
    }
}

/// Whether what the other side sent was no HTTP/2.
pub(crate) fn is_foreign(error: &hyper::Error) -> bool {
    let source = error.source();
    let source = source.and_then(|source| source.downcast_ref::<h2::Error>());
    source.is_some_and(h2::Error::is_library)
}

impl Usage {
    fn has_room(&self) -> bool {
        self.taken.load(Relaxed) < self.seats.load(Relaxed)
    }

    fn is_idle_for(&self, limit: Duration) -> bool {
        let idle = clock::millis().saturating_sub(self.since.load(Relaxed));
        self.taken.load(Relaxed) == 0 && u128::from(idle) >= limit.as_millis()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.since.store(clock::millis(), Relaxed);
        self.0.taken.fetch_sub(1, Relaxed);
    }
}

/// Takes an ended connection out.
fn forget(open: &Weak<Mutex<Vec<Connection>>>, usage: &Arc<Usage>) {
    if let Some(open) = open.upgrade() {
        lock(&open).retain(|one| !Arc::ptr_eq(&one.usage, usage));
    }
}

fn lock(open: &Mutex<Vec<Connection>>) -> MutexGuard<'_, Vec<Connection>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::carrier::Carrier;
    use crate::code::Code;
    use crate::exchange::{Fault, Patience, exchange};

    #[tokio::test]
    async fn what_was_no_http_2_before_the_request_is_none_for_it() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap());
        let connections = Connections::default();
        let limit = Duration::from_secs(20);
        let (sender, dyno) = tokio::join!(connections.connect(&address, limit), listener.accept());
        let (sender, mut dyno) = (sender.unwrap(), dyno.unwrap().0);
        let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
        dyno.write_all(answer).await.unwrap();
        // The connection has ended when its end of the queue has.
        tokio::time::timeout(limit, async {
            while !sender.requests.is_closed() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
        let request = Request::get("http://app.test/")
            .body(Upload::Empty)
            .unwrap();
        let patience = Patience {
            first_byte: Some(limit),
            idle: Some(limit),
        };
        let told = exchange(Carrier::Shared(sender), request, patience).await;
        assert!(matches!(told, Err(Fault::Final(Code::H17))), "{told:?}");
    }
}
