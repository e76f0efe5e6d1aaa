//! Where fuzzing reaches this crate's own parsers: each function takes bytes as a stranger could send them and panics
//! when what must hold of every input does not. Used by `tests/fuzz` alone; no part of a request's way.

use std::collections::HashSet;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Request, Response, Version};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ropewalk_api_types::router::ToRouter;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::frames::{Frames, TooLong};
use crate::proxy_protocol::{self, Parsed};
use crate::request::{self, Peer};
use crate::sniff::{self, Opening};
use crate::table::Tables;
use crate::{affinity, grpc, h1, rendezvous, stall, websocket};

/// A PROXY header takes no byte behind it, and its beginnings are no header yet.
pub fn proxy_header(bytes: &[u8]) {
    let Ok(Parsed::Whole { length, ends }) = proxy_protocol::parse(bytes) else {
        return;
    };
    let header = bytes.get(..length).unwrap_or_default();
    assert_eq!(header.len(), length, "longer than what came");
    assert_eq!(
        proxy_protocol::parse(header),
        Ok(Parsed::Whole { length, ends })
    );
    for end in 0..length {
        let begun = header.get(..end).unwrap_or_default();
        assert_eq!(proxy_protocol::parse(begun), Ok(Parsed::Partial));
    }
}

/// Frames of HTTP/3 are cut in pieces of which none is empty or lost, and those that are too long are so however they come.
/// The first byte says of what kind the stream is.
pub fn http3_frames(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else {
        return;
    };
    let cut = |chunk: usize| {
        let mut frames = match kind % 2 {
            0 => Frames::of_request(256),
            _ => Frames::of_one_way(256),
        };
        for mut rest in bytes.chunks(chunk) {
            while !rest.is_empty() {
                let length = frames.piece(rest)?;
                assert!(length > 0, "a piece of nothing");
                assert!(length <= rest.len(), "longer than what came");
                rest = rest.get(length..).unwrap_or_default();
            }
        }
        Ok::<_, TooLong>(())
    };
    let whole = cut(bytes.len().max(1));
    for chunk in [1, 2, 7] {
        assert_eq!(cut(chunk), whole);
    }
}

/// Telling what a client begins with loses nothing of it.
pub fn opening(bytes: &[u8]) {
    let Some(Ok((opening, mut rewound))) = sniff::opening(bytes).now_or_never() else {
        panic!("reading from memory neither waits nor fails");
    };
    let mut all = Vec::new();
    let read = rewound.read_to_end(&mut all).now_or_never();
    assert!(matches!(read, Some(Ok(_))));
    assert_eq!(all, bytes);
    assert!(opening != Opening::Http2 || bytes.starts_with(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
}

/// Whatever heads a client sends by HTTP/1, what is passed on of them is addressed and framed in one way.
pub fn request_heads(bytes: &[u8]) {
    let service = service_fn(|request: Request<Incoming>| async move {
        let (parts, _) = request.into_parts();
        head(parts);
        Ok::<_, Infallible>(Response::new(Empty::<bytes::Bytes>::new()))
    });
    let connection = http1::Builder::new()
        .header_read_timeout(None)
        .max_buf_size(8 * 1024 * 64)
        .serve_connection(TokioIo::new(Memory(bytes)), service);
    // Nothing in it waits for anything but its bytes.
    let _ = connection.now_or_never();
}

/// Whatever the ordinary exchange takes for a head, the other path's parser reads as the same request; and what is sent on
/// of it is one more such head, with the same length.
pub fn ordinary_heads(bytes: &[u8]) {
    h1::fuzz::heads(bytes, &peer());
}

/// The head of a dyno's answer is the same to both paths: what it says, how its body ends, or that it is none.
/// The first byte says what was asked.
pub fn ordinary_answers(bytes: &[u8]) {
    if let Some((kind, bytes)) = bytes.split_first() {
        h1::fuzz::answers(bytes, kind % 2 == 1);
    }
}

fn peer() -> Peer {
    Peer {
        ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port: 80,
        https: false,
        server_name: None,
        stall: Arc::new(stall::Limit::new(Duration::from_secs(1))),
    }
}

/// The values of a cookie header: few of them, and of the only length there is.
pub fn cookies(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(header::COOKIE, value);
        }
    }
    let brought = affinity::brought(&headers);
    assert!(brought.len() <= 4);
    for value in brought {
        assert_eq!(value.len(), 32);
    }
}

/// A line of the server's: a table is applied whatever it names, and its hosts lead somewhere or nowhere.
pub fn link_line(bytes: &[u8]) {
    let tables = Tables::new();
    match serde_json::from_slice(bytes) {
        Ok(ToRouter::Table(table)) => {
            tables.apply(&table);
            for host in table.hosts.keys() {
                let _ = tables.look(host);
            }
            // Once more, over itself.
            tables.apply(&table);
        }
        Ok(ToRouter::Changes(changes)) => {
            // To the table that there is, or to none.
            let changed = tables.change(&changes);
            assert_eq!(changed, changes.since == 0);
            for host in changes.hosts.keys() {
                let _ = tables.look(host);
            }
        }
        Ok(ToRouter::Certificates(_) | ToRouter::Ping | ToRouter::Unknown) | Err(_) => {}
    }
}

/// A dyno's answer to a handshake of ours is right only with the one right key.
pub fn websocket_answer(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut value = || {
        lines
            .next()
            .and_then(|line| HeaderValue::from_bytes(line).ok())
    };
    let (accept, protocol) = (value(), value());
    let mut asked = Request::new(()).into_parts().0;
    asked.method = http::Method::CONNECT;
    asked
        .extensions
        .insert(hyper::ext::Protocol::from_static("websocket"));
    let Some(handshake) = websocket::translate(&mut asked) else {
        panic!("a WebSocket is one");
    };
    let mut answer = Response::new(());
    *answer.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
    for (name, value) in [
        (header::SEC_WEBSOCKET_ACCEPT, accept),
        (header::UPGRADE, protocol),
    ] {
        if let Some(value) = value {
            answer.headers_mut().insert(name, value);
        }
    }
    assert!(handshake.breach(&answer).is_some(), "a key by chance");
}

/// A status line in a terminal's output is never cut, and nothing is added.
pub fn terminal(bytes: &[u8]) {
    let ready = rendezvous::whole(bytes);
    assert!(ready <= bytes.len());
}

/// What is passed on of a request.
fn head(mut parts: Parts) {
    let peer = peer();
    let Ok(host) = request::host(&parts) else {
        return;
    };
    assert!(!host.is_empty() && !host.contains(['@', '/', ' ', '\r', '\n', '\0']));
    if request::check(&parts, 8 * 1024).is_err() {
        return;
    }
    let _ = grpc::is_call(&parts);
    let upgrade = request::wants_upgrade(&parts);
    let subject = request::subject(&parts, &peer, host);
    request::rewrite(&mut parts, &subject, &peer, upgrade);
    assert_eq!(parts.version, Version::HTTP_11);
    assert!(parts.uri.authority().is_none(), "a path alone");
    let count = |name: &str| parts.headers.get_all(name).iter().count();
    assert!(count("host") <= 1);
    for ours in [
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-port",
        "x-request-start",
        "x-request-id",
    ] {
        assert_eq!(count(ours), 1, "{ours}");
    }
    for gone in [
        "transfer-encoding",
        "te",
        "keep-alive",
        "proxy-connection",
        "expect",
    ] {
        assert_eq!(count(gone), 0, "{gone}");
    }
    assert_eq!(count("connection"), usize::from(upgrade));
    let plain: HashSet<String> = ["content-length", "host", "x-forwarded-for", "x-request-id"]
        .map(str::to_owned)
        .into();
    for name in parts
        .headers
        .keys()
        .filter(|name| name.as_str().contains('_'))
    {
        assert!(!plain.contains(&name.as_str().replace('_', "-")), "{name}");
    }
    let mut request = Request::from_parts(parts, Empty::<bytes::Bytes>::new());
    if request::to_http2(&mut request, true).is_ok() {
        request::to_http1(&mut request);
        assert_eq!(request.version(), Version::HTTP_11);
    }
}

/// A client that sent these bytes and reads whatever comes.
pub(crate) struct Memory<'a>(pub(crate) &'a [u8]);

impl AsyncRead for Memory<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Memory<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
