//! Client connections: accepted, greeted (TLS, HTTP/1 or 2), served, and let go when the router stops.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ropewalk_api_types::router::TcpEntrance;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::alarm::{self, Alarms};
use crate::challenge;
use crate::cores::Seat;
use crate::h1;
use crate::http3;
use crate::pace::Streams;
use crate::proxy;
use crate::proxy_protocol;
use crate::recant::Record;
use crate::relay::{self, Answer};
use crate::rendezvous;
use crate::request::Peer;
use crate::router::Router;
use crate::seldom::seldom;
use crate::sniff::{self, Opening, Rewound};
use crate::stall::{self, Stall};
use crate::tcp;
use crate::tls::{Accepted, Acceptor};
use crate::upload::Client;

/// Pause after a failed accept (most often: no file descriptors left).
const BREATH: Duration = Duration::from_millis(50);

/// How long a client that has just come may take for its first request once the router stops.
const LAST_CALL: Duration = Duration::from_secs(2);

/// How long a connection may stay idle once another router accepts, before it is closed under its client's hands.
const LAST_REQUEST: Duration = Duration::from_secs(10);

/// Requests at once on one HTTP/2 connection.
const STREAMS: u32 = 128;

/// Most that is buffered of one HTTP/2 stream, in bytes.
const WINDOW: u32 = 256 * 1024;

/// The first byte of a client that speaks TLS: a handshake record (RFC 8446, 5.1). No request begins with it.
const HANDSHAKE: u8 = 22;

/// What is spoken on a socket.
#[derive(Clone)]
pub(crate) enum Greeting {
    Plain,
    Tls(Acceptor),
    /// Whatever the client begins with.
    Either(Acceptor),
    /// Nothing that we know: the port has a TCP route.
    Raw(u16),
}

/// Accepts, on this core, until the router stops.
pub(crate) async fn run(router: Arc<Router>, listener: TcpListener, greeting: Greeting) {
    let port = listener.local_addr().map_or(0, |addr| addr.port());
    loop {
        let accepted = tokio::select! {
            biased;
            () = router.stopping.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, addr)) => {
                let seat = router.cores.seat();
                let (cores, tasks) = (Arc::clone(&router.cores), router.tasks.clone());
                let router = Arc::clone(&router);
                let greeting = greeting.clone();
                match cores.elsewhere(&seat) {
                    None => {
                        tasks.spawn(keep(router, seat, stream, addr, port, greeting));
                    }
                    // A socket belongs to the runtime in which it was made.
                    Some(core) => match stream.into_std() {
                        Ok(stream) => {
                            let moved = async move {
                                if let Ok(stream) = TcpStream::from_std(stream) {
                                    keep(router, seat, stream, addr, port, greeting).await;
                                }
                            };
                            tasks.spawn_on(moved, core);
                        }
                        Err(error) => tracing::warn!(%error, "Lost a client on the way."),
                    },
                }
            }
            Err(error) if is_of_the_client(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "Could not accept a connection.");
                sleep(BREATH).await;
            }
        }
    }
}

/// A connection's whole life, with the one timer it keeps.
fn keep(
    router: Arc<Router>,
    seat: Seat,
    stream: TcpStream,
    addr: SocketAddr,
    port: u16,
    greeting: Greeting,
) -> impl Future<Output = ()> {
    let (stopping, cut) = (router.stopping.clone(), router.cut.clone());
    alarm::keep(async move {
        let _seat = seat;
        let greeted = pin!(greet(router, stream, addr, port, greeting));
        // Nothing is cut off before a stop. That the stop wakes whoever is greeted is what `h1` relies on.
        let cut = pin!(async {
            stopping.cancelled().await;
            cut.cancelled().await;
        });
        tokio::select! {
            biased;
            () = greeted => {}
            () = seldom(cut) => {}
        }
    })
}

/// Finds out what the client speaks and serves it.
async fn greet(
    router: Arc<Router>,
    mut stream: TcpStream,
    addr: SocketAddr,
    port: u16,
    greeting: Greeting,
) {
    let counters = Arc::clone(&router.counters);
    let stopping = router.stopping.clone();
    counters.connections.fetch_add(1, Relaxed);
    counters.open_connections.fetch_add(1, Relaxed);
    let served = async {
        // A client that came over IPv4 to an IPv6 socket is still an IPv4 client.
        let (mut ip, mut port) = (addr.ip().to_canonical(), port);
        if router.proxies.iter().any(|range| range.contains(ip)) {
            let received = Box::pin(proxy_protocol::receive(&mut stream));
            if let Some(ends) = patiently(&stopping, router.limits.handshake, received).await? {
                (ip, port) = (ends.client.ip().to_canonical(), ends.server.port());
            }
        }
        let tls = match greeting {
            Greeting::Raw(port) => {
                if let Some(route) = router.tables.tcp.find(&TcpEntrance::Port(port)) {
                    Box::pin(tcp::serve(router, stream, Vec::new(), ip, route)).await;
                }
                return Ok(());
            }
            Greeting::Plain => None,
            Greeting::Tls(tls) => Some(tls),
            Greeting::Either(tls) => {
                let first = patiently(&stopping, router.limits.header, first_byte(&stream)).await?;
                (first == Some(HANDSHAKE)).then_some(tls)
            }
        };
        let peer = Peer {
            ip,
            port,
            https: tls.is_some(),
            server_name: None,
            stall: Arc::new(stall::Limit::new(router.limits.idle)),
        };
        let Some(tls) = tls else {
            let Some(odd) = ordinary(&router, &peer, &mut stream).await else {
                return Ok(());
            };
            Box::pin(serve_odd(router, peer, odd, stream)).await?;
            return Ok(());
        };
        // In a box: what TLS needs of its task is many times what HTTP/1 does.
        Box::pin(greet_tls(router, peer, tls, stream)).await
    };
    if let Err(error) = served.await {
        tracing::debug!(%addr, %error, "A client did not get as far as a request.");
    }
    counters.open_connections.fetch_sub(1, Relaxed);
}

async fn greet_tls(
    router: Arc<Router>,
    mut peer: Peer,
    tls: Acceptor,
    stream: TcpStream,
) -> io::Result<()> {
    let stopping = router.stopping.clone();
    let accepted = tls.accept(stream, &router.tables.tcp);
    let stream = match patiently(&stopping, router.limits.handshake, accepted).await? {
        Accepted::Tls(stream) => stream,
        Accepted::Raw(stream, head, route) => {
            Box::pin(tcp::serve(router, stream, head, peer.ip, route)).await;
            return Ok(());
        }
    };
    // Who agreed on HTTP/2 has to begin with its preface, for which hyper would wait for ever; and who agreed on
    // nothing may have come for a terminal.
    let session = stream.get_ref().1;
    let agreed = session.alpn_protocol().map(<[u8]>::to_vec);
    peer.server_name = session.server_name().map(Box::from);
    if agreed.as_deref() == Some(challenge::PROTOCOL) {
        // The handshake was all that was wanted.
        return Ok(());
    }
    if agreed.as_deref() == Some(b"h2") {
        let sniffed = sniff::opening(stream);
        let (_, stream) = patiently(&stopping, router.limits.header, sniffed).await?;
        serve_http2(router, Arc::new(peer), stream).await;
        return Ok(());
    }
    let mut stream = stream;
    let Some(odd) = ordinary(&router, &peer, &mut stream).await else {
        return Ok(());
    };
    let peer = Arc::new(peer);
    if agreed.is_none() && odd.is_first {
        let sniffed = sniff::opening_of(odd.bytes, stream);
        let (opening, stream) = patiently(&stopping, router.limits.header, sniffed).await?;
        match opening {
            Opening::Rendezvous => rendezvous::join(&router, stream).await?,
            _ => Box::pin(serve_http1(router, peer, stream)).await,
        }
        return Ok(());
    }
    Box::pin(serve_http1(router, peer, Rewound::new(odd.bytes, stream))).await;
    Ok(())
}

/// Serves what a client asks in the ordinary way of HTTP/1.1; what was read of the first that is not.
async fn ordinary<S>(router: &Arc<Router>, peer: &Peer, stream: &mut S) -> Option<h1::Odd>
where
    S: h1::Client,
{
    let patience = h1::Patience {
        last_call: LAST_CALL,
        last_request: LAST_REQUEST,
    };
    h1::serve(router, peer, stream, patience).await
}

/// Serves a client that began with something else, or went over to it.
async fn serve_odd(
    router: Arc<Router>,
    peer: Peer,
    odd: h1::Odd,
    stream: TcpStream,
) -> io::Result<()> {
    let peer = Arc::new(peer);
    if !odd.is_first {
        serve_http1(router, peer, Rewound::new(odd.bytes, stream)).await;
        return Ok(());
    }
    let stopping = router.stopping.clone();
    let sniffed = sniff::opening_of(odd.bytes, stream);
    let (opening, stream) = patiently(&stopping, router.limits.header, sniffed).await?;
    match opening {
        Opening::Http2 => serve_http2(router, peer, stream).await,
        _ => serve_http1(router, peer, stream).await,
    }
    Ok(())
}

/// The first byte that a client sends, which stays where it is.
async fn first_byte(stream: &TcpStream) -> io::Result<Option<u8>> {
    let mut first = [0];
    Ok((stream.peek(&mut first).await? == 1).then_some(first[0]))
}

async fn serve_http1<S>(router: Arc<Router>, peer: Arc<Peer>, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = router.limits.clone();
    let stream = TokioIo::new(Stall::new(stream, Arc::clone(&peer.stall)));
    let begun = Arc::new(Notify::new());
    let leave = pin!(leave(Arc::clone(&router), Arc::clone(&begun), LAST_REQUEST));
    let service = service_fn(move |request| {
        begun.notify_one();
        // In a box, which is gone with the request: hyper keeps room for one as long as the connection lives.
        Box::pin(serve_last(Arc::clone(&router), Arc::clone(&peer), request))
    });
    let connection = http1::Builder::new()
        .timer(Alarms)
        .header_read_timeout(limits.header)
        .max_headers(limits.headers)
        .max_header_size(limits.head)
        .max_buf_size(limits.head)
        // Names are passed on as they came, and ours are written as people write them: not everybody reads them
        // regardless of case, as RFC 9110, 5.1 wants it.
        .preserve_header_case(true)
        .title_case_headers(true)
        .serve_connection(stream, service)
        .with_upgrades();
    let mut connection = pin!(connection);
    // How it ended is in the records of its requests; a connection may end at any time.
    tokio::select! {
        biased;
        _ = connection.as_mut() => {}
        () = seldom(leave) => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

async fn serve_http2<S>(router: Arc<Router>, peer: Arc<Peer>, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = router.limits.clone();
    let stream = TokioIo::new(Stall::new(stream, Arc::clone(&peer.stall)));
    let begun = Arc::new(Notify::new());
    // An HTTP/2 client is told which of its requests still count.
    let leave = pin!(leave(Arc::clone(&router), Arc::clone(&begun), LAST_CALL));
    let record = Arc::new(Record::default());
    let asking = Arc::clone(&record);
    let service = service_fn(move |request| {
        begun.notify_one();
        let asked = asking.ask();
        let is_head = request.method() == Method::HEAD;
        let alt_svc = peer.https.then(|| router.alt_svc.clone()).flatten();
        let request = request.map(Client::Tcp);
        let answer = proxy::serve(Arc::clone(&router), Arc::clone(&peer), request);
        async move {
            let mut answer = answer.await;
            asked.answered();
            if let (Some(alt_svc), Ok(response)) = (alt_svc, &mut answer) {
                http3::announce(response, alt_svc);
            }
            // Only over HTTP/1.1 does hyper see to it.
            if is_head && let Ok(response) = &mut answer {
                relay::leave_out_page(response);
            }
            answer
        }
    });
    let enough = pin!(record.enough());
    let connection = http2::Builder::new(Streams)
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .enable_connect_protocol()
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(4 * WINDOW)
        .max_header_list_size(u32::try_from(limits.head).unwrap_or(u32::MAX))
        .keep_alive_interval(limits.header)
        .serve_connection(stream, service);
    let mut connection = pin!(connection);
    let mut enough = seldom(enough);
    tokio::select! {
        biased;
        _ = connection.as_mut() => {}
        () = &mut enough => {
            tracing::info!("Let a client go that took back most of its requests at once.");
        }
        () = seldom(leave) => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                biased;
                _ = connection => {}
                () = enough => {}
            }
        }
    }
}

/// Serves a request, the connection's last if the router stops: no client sends another into a connection of which it
/// was told that it closes.
async fn serve_last(
    router: Arc<Router>,
    peer: Arc<Peer>,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    let alt_svc = peer.https.then(|| router.alt_svc.clone()).flatten();
    let request = request.map(Client::Tcp);
    let mut response = proxy::serve(Arc::clone(&router), peer, request).await?;
    if let Some(alt_svc) = alt_svc {
        http3::announce(&mut response, alt_svc);
    }
    if router.stopping.is_cancelled() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    Ok(response)
}

/// Returns when the router stops and the client may be told so: a graceful shutdown before the first request would
/// close the connection without reading it. `idle`: how long an idle connection may stay when nobody waits for the end.
async fn leave(router: Arc<Router>, begun: Arc<Notify>, idle: Duration) {
    router.stopping.cancelled().await;
    if router.succeeded.load(Relaxed) {
        sleep(idle).await;
    } else {
        let _ = timeout(LAST_CALL, begun.notified()).await;
    }
}

/// What a client has to do before its first request: within `limit`, and soon once the router stops.
async fn patiently<T>(
    stopping: &CancellationToken,
    limit: Duration,
    future: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    let called = async {
        stopping.cancelled().await;
        sleep(LAST_CALL).await;
    };
    tokio::select! {
        biased;
        result = timeout(limit, future) => {
            result.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        }
        () = called => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// The client was gone before it was accepted: its affair.
fn is_of_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}
