//! HTTP/3: a client's connection over QUIC, and each of its requests on its way into the one path that all take.
//!
//! Decides nothing about a request that HTTP/3 itself does not decide. `quic` and `frames` bound what a client may have
//! held here.

use std::future::poll_fn;
use std::io;
use std::net::UdpSocket;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use h3::error::{Code, StreamError};
use h3::quic::SendStream as _;
use h3::server::{RequestResolver, RequestStream};
use http::header::{self, HeaderMap, HeaderName};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use hyper::rt::Executor;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use quinn::crypto::rustls::HandshakeData;
use quinn::{
    Endpoint, EndpointConfig, IdleTimeout, Incoming, TokioRuntime, TransportConfig, VarInt,
};
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

use crate::cores::Seat;
use crate::error::RouterError;
use crate::pace::Streams;
use crate::proxy;
use crate::quic::{Connection, Line, Newest, Receiver, Sender};
use crate::recant::{Asked, Record};
use crate::relay::{self, Answer};
use crate::request::Peer;
use crate::router::Router;
use crate::seldom::seldom;
use crate::stall;
use crate::tls;
use crate::upload::Client;

/// Requests at once on one connection.
const STREAMS: u32 = 128;

/// Streams in one direction that a client may have open: three are HTTP/3's, the rest is for what we do not know.
const ONE_WAY: u32 = 8;

/// Most that is on its way on one stream, in bytes.
const WINDOW: u32 = 256 * 1024;

/// Clients that shake hands at once on one socket before the next ones first have to show that their address is their own.
const GREETED: usize = 64;

/// Connections at once on one socket; beyond it they are refused, and clients come over TCP. An idle one takes about
/// 90 KiB.
const MOST: usize = 4 * 1024;

/// Of what has come from clients that are not let in yet: how many, and bytes of one and of all.
const WAITING: (usize, u64, u64) = (1_024, 64 * 1024, 4 * 1024 * 1024);

/// Bytes of the kernel's buffers of a socket, which carries all connections. The kernel may give less.
const SOCKET: usize = 2 * 1024 * 1024;

/// A connection of which nothing is heard for so long is dead.
const SILENCE: Duration = Duration::from_secs(30);

/// How often one is asked that has nothing to say.
const KEEP_ALIVE: Duration = Duration::from_secs(12);

/// For a client to end a request that is not likely to have a body, before it gets one of unknown length.
const BODY: Duration = Duration::from_millis(250);

/// For requests in flight once another router reads the same socket.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// For the last packets of a socket.
const LAST_PACKETS: Duration = Duration::from_secs(1);

/// Headers of one hop, which HTTP/3 does not have (RFC 9114, 4.2).
const FORBIDDEN: [HeaderName; 5] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// A socket ready for clients.
pub(crate) struct Socket {
    socket: UdpSocket,
    config: quinn::ServerConfig,
    port: u16,
}

/// What of a socket is taken.
#[derive(Default)]
struct Usage {
    greeted: AtomicUsize,
    open: AtomicUsize,
}

/// One taken place, free again when dropped.
struct Taken<'a>(&'a AtomicUsize);

impl<'a> Taken<'a> {
    fn take(count: &'a AtomicUsize) -> Taken<'a> {
        count.fetch_add(1, Relaxed);
        Taken(count)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// What `Alt-Svc` says of a socket (RFC 7838).
pub(crate) fn alt_svc(socket: &UdpSocket) -> Option<HeaderValue> {
    let port = socket.local_addr().ok()?.port();
    HeaderValue::try_from(format!("h3=\":{port}\"; ma=3600")).ok()
}

/// Tells a client of TLS that there is HTTP/3, unless its app says something else.
pub(crate) fn announce(response: &mut Response<Answer>, alt_svc: HeaderValue) {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let headers = response.headers_mut();
        headers.entry(header::ALT_SVC).or_insert(alt_svc);
    }
}

impl Socket {
    /// # Errors
    /// A socket that cannot be used.
    pub(crate) fn new(socket: UdpSocket, router: &Router) -> Result<Socket, RouterError> {
        let unusable = |source| RouterError::Socket { source };
        let port = socket.local_addr().map_err(unusable)?.port();
        socket.set_nonblocking(true).map_err(unusable)?;
        for set in [
            rustix::net::sockopt::set_socket_recv_buffer_size,
            rustix::net::sockopt::set_socket_send_buffer_size,
        ] {
            if let Err(error) = set(&socket, SOCKET) {
                tracing::debug!(%error, "Small buffers for QUIC.");
            }
        }
        let crypto = tls::quic(&router.certificates)?;
        let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
        // Who may come is judged by the address with which a client came.
        config
            .migration(false)
            .max_incoming(WAITING.0)
            .incoming_buffer_size(WAITING.1)
            .incoming_buffer_size_total(WAITING.2)
            .transport_config(Arc::new(transport()));
        Ok(Socket {
            socket,
            config,
            port,
        })
    }

    /// Takes clients, to be called on a core, until the router stops and they have left.
    pub(crate) async fn run(self, router: Arc<Router>) {
        let endpoint = Endpoint::new(
            EndpointConfig::default(),
            Some(self.config),
            self.socket,
            Arc::new(TokioRuntime),
        );
        let endpoint = match endpoint {
            Ok(endpoint) => endpoint,
            Err(error) => {
                tracing::error!(%error, "A socket cannot be used for HTTP/3.");
                return;
            }
        };
        let usage = Arc::new(Usage::default());
        let connections = TaskTracker::new();
        let stopping = pin!(router.stopping.cancelled());
        let mut stopping = seldom(stopping);
        loop {
            let incoming = tokio::select! {
                biased;
                () = &mut stopping => break,
                incoming = endpoint.accept() => incoming,
            };
            let Some(incoming) = incoming else { break };
            if let Some(incoming) = admit(&router, &usage, incoming) {
                let seat = router.cores.seat();
                let cores = Arc::clone(&router.cores);
                let elsewhere = cores.elsewhere(&seat).cloned();
                let (own, usage) = (Arc::clone(&router), Arc::clone(&usage));
                let kept = keep(own, seat, usage, incoming, self.port);
                // Packets come in here, and are opened and sealed where their connection lives.
                match elsewhere {
                    None => drop(connections.spawn(kept)),
                    Some(core) => drop(connections.spawn_on(kept, &core)),
                }
            }
        }
        endpoint.set_server_config(None);
        connections.close();
        connections.wait().await;
        // Each says goodbye in a packet that has to leave.
        let _ = timeout(LAST_PACKETS, endpoint.wait_idle()).await;
    }
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(ONE_WAY))
        .stream_receive_window(VarInt::from_u32(WINDOW))
        .receive_window(VarInt::from_u32(4 * WINDOW))
        .send_window(4 * u64::from(WINDOW))
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(IdleTimeout::try_from(SILENCE).ok())
        .keep_alive_interval(Some(KEEP_ALIVE));
    transport
}

/// Lets a client begin, or has it show first that its address is its own, or turns it away.
fn admit(router: &Router, usage: &Usage, incoming: Incoming) -> Option<Incoming> {
    let ip = incoming.remote_address().ip().to_canonical();
    // Whom such a proxy speaks for it says in a header of TCP; taken for a client, it would be one whom apps trust.
    let is_proxy = router.proxies.iter().any(|range| range.contains(ip));
    if is_proxy || usage.open.load(Relaxed) >= MOST {
        incoming.refuse();
        return None;
    }
    if usage.greeted.load(Relaxed) >= GREETED && incoming.may_retry() {
        if let Err(error) = incoming.retry() {
            error.into_incoming().ignore();
        }
        return None;
    }
    Some(incoming)
}

/// A connection's whole life.
async fn keep(router: Arc<Router>, seat: Seat, usage: Arc<Usage>, incoming: Incoming, port: u16) {
    let _seat = seat;
    let _open = Taken::take(&usage.open);
    let addr = incoming.remote_address();
    let counters = Arc::clone(&router.counters);
    counters.connections.fetch_add(1, Relaxed);
    counters.open_connections.fetch_add(1, Relaxed);
    let cut = router.cut.clone();
    let served = async {
        let connection = {
            let _greeted = Taken::take(&usage.greeted);
            let greeting = async { incoming.accept()?.await };
            let greeted = timeout(router.limits.handshake, greeting).await;
            greeted.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??
        };
        let peer = Arc::new(Peer {
            ip: addr.ip().to_canonical(),
            port,
            https: true,
            server_name: server_name(&connection),
            stall: Arc::new(stall::Limit::new(router.limits.idle)),
        });
        serve(router, peer, connection).await
    };
    let cut = pin!(cut.cancelled());
    tokio::select! {
        biased;
        served = served => {
            if let Err(error) = served {
                tracing::debug!(%addr, %error, "A connection of HTTP/3 ended.");
            }
        }
        () = seldom(cut) => {}
    }
    counters.open_connections.fetch_sub(1, Relaxed);
}

/// The host that the client named for TLS.
fn server_name(connection: &quinn::Connection) -> Option<Box<str>> {
    let data = connection.handshake_data()?.downcast::<HandshakeData>();
    data.ok()?.server_name.map(String::into_boxed_str)
}

/// Serves the requests of a connection until it ends, is idle for too long, or the router stops.
async fn serve(
    router: Arc<Router>,
    peer: Arc<Peer>,
    connection: quinn::Connection,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let limits = router.limits.clone();
    let held = u64::try_from(limits.head).unwrap_or(u64::MAX);
    // A little more than we take is read, to be answered with 431.
    let (connection, newest) = Connection::new(connection, 2 * held);
    let mut connection = h3::server::builder()
        .max_field_section_size(held)
        .send_grease(false)
        .build(connection)
        .await?;
    let requests = TaskTracker::new();
    let record = Arc::new(Record::default());
    let stopping = router.stopping.clone();
    let (stopping, enough) = (pin!(stopping.cancelled()), pin!(record.enough()));
    let (mut stopping, mut enough) = (seldom(stopping), seldom(enough));
    let mut idle = pin!(sleep(limits.header));
    loop {
        let resolver = tokio::select! {
            biased;
            () = &mut stopping => break,
            () = &mut enough => {
                tracing::info!("Let a client go that took back most of its requests at once.");
                return Ok(());
            }
            accepted = connection.accept() => match accepted? {
                Some(resolver) => resolver,
                None => return Ok(()),
            },
            () = &mut idle => {
                if requests.is_empty() {
                    break;
                }
                idle.set(sleep(limits.header));
                continue;
            }
        };
        idle.set(sleep(limits.header));
        let Some(line) = newest.take() else { continue };
        let (router, peer, asked) = (Arc::clone(&router), Arc::clone(&peer), record.ask());
        let token = requests.token();
        // In a task that is given up when its client takes nothing of the response.
        Streams.execute(async move {
            let _token = token;
            answer(router, peer, asked, resolver, line).await;
        });
    }
    let left = leave(&mut connection, &requests, &newest);
    if router.succeeded.load(Relaxed) {
        // The next router reads the same socket, and each takes the other's packets.
        if let Ok(left) = timeout(LAST_ANSWERS, left).await {
            left?;
        }
    } else {
        left.await?;
    }
    Ok(())
}

/// Says goodbye (RFC 9114, 5.2): the requests in flight are answered, those that come now are to be asked elsewhere.
async fn leave(
    connection: &mut h3::server::Connection<Connection, Bytes>,
    requests: &TaskTracker,
    newest: &Newest,
) -> Result<(), h3::error::ConnectionError> {
    // The library takes the number for the last request that still counts, its reader for the first that does not.
    connection.shutdown(1).await?;
    requests.close();
    let mut done = pin!(requests.wait());
    loop {
        tokio::select! {
            biased;
            () = &mut done => return Ok(()),
            accepted = connection.accept() => {
                let Some(mut late) = accepted? else { return Ok(()) };
                newest.take();
                late.frame_stream.reset(Code::H3_REQUEST_REJECTED.value());
            }
        }
    }
}

/// Answers one request.
async fn answer(
    router: Arc<Router>,
    peer: Arc<Peer>,
    asked: Asked,
    resolver: RequestResolver<Connection, Bytes>,
    mut line: Line,
) {
    let resolved = timeout(router.limits.header, resolver.resolve_request());
    let (request, stream) = match resolved.await {
        Ok(Ok(resolved)) => resolved,
        Ok(Err(error)) => {
            tracing::debug!(%error, "A request of HTTP/3 could not be read.");
            return;
        }
        Err(_) => return,
    };
    line.answers();
    let is_head = request.method() == Method::HEAD;
    let (mut to, from) = stream.split();
    let answering = async {
        let request = match complete(request, from).await {
            Ok(request) => request,
            Err(error) => {
                tracing::debug!(%error, "A request of HTTP/3 was malformed.");
                to.stop_stream(Code::H3_MESSAGE_ERROR);
                return false;
            }
        };
        let Ok(mut response) = proxy::serve(router, peer, request).await;
        asked.answered();
        if is_head {
            relay::leave_out_page(&mut response);
        }
        match send(&mut to, response).await {
            Ok(()) => true,
            Err(error) => {
                tracing::trace!(%error, "An answer over HTTP/3 broke off.");
                false
            }
        }
    };
    let sent = tokio::select! {
        biased;
        sent = answering => sent,
        () = line.stopped() => false,
    };
    drop(to);
    if sent {
        // The connection must not close before the client has it all.
        line.stopped().await;
    }
}

/// The request with its body, or what is wrong with its head.
async fn complete(
    request: Request<()>,
    from: RequestStream<Receiver, Bytes>,
) -> Result<Request<Client>, BodyError> {
    let headers = request.headers();
    let te = headers.get_all(header::TE).iter();
    if FORBIDDEN.iter().any(|name| headers.contains_key(name))
        || te
            .into_iter()
            .any(|te| !te.as_bytes().eq_ignore_ascii_case(b"trailers"))
        || headers.get_all(header::HOST).iter().nth(1).is_some()
    {
        return Err(BodyError::Head);
    }
    let mut body = Body {
        stream: from,
        ready: None,
        left: length(headers)?,
        next: Next::Data,
    };
    let has_none = matches!(
        *request.method(),
        Method::GET
            | Method::HEAD
            | Method::OPTIONS
            | Method::TRACE
            | Method::DELETE
            | Method::CONNECT
    );
    match body.left {
        Some(0) => body.next = Next::Nothing,
        Some(_) => {}
        // Only the stream's end says that there is no body. It comes with the head, or a packet later.
        None if has_none => {
            let _ = timeout(BODY, poll_fn(|cx| body.poll_begin(cx))).await;
        }
        None => {
            poll_fn(|cx| {
                let _ = body.poll_begin(cx);
                Poll::Ready(())
            })
            .await
        }
    }
    Ok(request.map(|()| Client::Quic(Box::new(body))))
}

/// What `Content-Length` says.
fn length(headers: &HeaderMap) -> Result<Option<u64>, BodyError> {
    let mut values = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().map_err(|_| BodyError::Head)?;
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(length) if is_number && values.next().is_none() => Ok(Some(length)),
        _ => Err(BodyError::Head),
    }
}

/// Sends an answer, whole. What remains to say when it cannot, is said by the stream's reset.
async fn send(
    to: &mut RequestStream<Sender, Bytes>,
    response: Response<Answer>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (mut parts, mut body) = response.into_parts();
    if let Some(length) = body.size_hint().exact()
        && length > 0
    {
        let headers = &mut parts.headers;
        headers
            .entry(header::CONTENT_LENGTH)
            .or_insert(length.into());
    }
    if !parts.headers.contains_key(header::DATE)
        && let Ok(now) = DateTimePrinter::new().timestamp_to_rfc9110_string(&Timestamp::now())
        && let Ok(now) = HeaderValue::try_from(now)
    {
        parts.headers.insert(header::DATE, now);
    }
    to.send_response(Response::from_parts(parts, ())).await?;
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        match frame?.into_data() {
            Ok(data) if data.is_empty() => {}
            Ok(data) => to.send_data(data).await?,
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    to.send_trailers(trailers).await?;
                }
            }
        }
    }
    to.finish().await?;
    Ok(())
}

/// A request's body as it comes.
pub(crate) struct Body {
    stream: RequestStream<Receiver, Bytes>,
    /// Read to see whether there is anything.
    ready: Option<Bytes>,
    /// Bytes still to come, if the client has said how many.
    left: Option<u64>,
    next: Next,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Data,
    Trailers,
    Nothing,
}

/// Why a request's body broke off, or its head cannot be read as one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("a header that HTTP/3 does not have")]
    Head,
    #[error("more or less than the client said would come")]
    Length,
    #[error("the client's stream broke off")]
    Stream(#[source] StreamError),
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body")
            .field("left", &self.left)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl Body {
    /// Waits for the first bytes, or the end; what goes wrong is told to whoever reads it.
    fn poll_begin(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match ready!(self.poll_data(cx)) {
            Ok(Some(data)) => self.ready = Some(data),
            Ok(None) => {
                self.next = Next::Trailers;
                if let Poll::Ready(Ok(None)) = self.stream.poll_recv_trailers(cx) {
                    self.next = Next::Nothing;
                }
            }
            Err(_) => {}
        }
        Poll::Ready(())
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamError>> {
        if let Some(data) = self.ready.take() {
            return Poll::Ready(Ok(Some(data)));
        }
        let polled = ready!(self.stream.poll_recv_data(cx));
        Poll::Ready(polled.map(|data| data.map(|mut data| data.copy_to_bytes(data.remaining()))))
    }

    /// Counts what came against what was said.
    fn count(&mut self, length: usize) -> Result<(), BodyError> {
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(length as u64).ok_or(BodyError::Length)?;
            if *left == 0 {
                self.next = Next::Nothing;
            }
        }
        Ok(())
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.next == Next::Data {
            match ready!(this.poll_data(cx)) {
                Ok(Some(data)) => {
                    let counted = this.count(data.len());
                    return Poll::Ready(Some(counted.map(|()| Frame::data(data))));
                }
                Ok(None) if this.left.is_some() => {
                    return Poll::Ready(Some(Err(BodyError::Length)));
                }
                Ok(None) => this.next = Next::Trailers,
                Err(error) => return Poll::Ready(Some(Err(BodyError::Stream(error)))),
            }
        }
        if this.next == Next::Trailers {
            let trailers = ready!(this.stream.poll_recv_trailers(cx));
            this.next = Next::Nothing;
            return Poll::Ready(match trailers {
                Ok(trailers) => trailers.map(|trailers| Ok(Frame::trailers(trailers))),
                Err(error) => Some(Err(BodyError::Stream(error))),
            });
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.next == Next::Nothing
    }

    fn size_hint(&self) -> SizeHint {
        match (self.left, self.next) {
            (Some(left), _) => SizeHint::with_exact(left),
            (None, Next::Nothing) => SizeHint::with_exact(0),
            (None, _) => SizeHint::default(),
        }
    }
}
