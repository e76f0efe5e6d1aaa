//! What must hold of the ordinary exchange's heads, whatever the bytes: that hyper, which reads them on the other path,
//! reads the same. Used by `crate::fuzz` alone; no part of a request's way.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{Either, select};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, Version};
use http_body::Body;
use http_body_util::Empty;
use httparse::Header;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{client, server};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::answer::{self, Answer, Framing, Reply};
use super::head::{self, Head, Verdict};
use super::{rewrite, subject};
use crate::fuzz::Memory;
use crate::pool::BUFFER;
use crate::request::{self, Peer};

/// Headers that the router adds at most.
const OURS: usize = 6;

/// Holds a request's head against hyper's reading, and what is sent on of it.
pub(crate) fn heads(bytes: &[u8], peer: &Peer) {
    let mut room = head::room();
    let Some((head, sent)) = read(bytes, &mut room, peer) else {
        return;
    };
    same_request(&head, bytes);
    if head.headers.len() + OURS > head::MOST {
        // With ours it has more headers than an ordinary one.
        return;
    }
    let mut room = head::room();
    let Some((again, _)) = read(&sent, &mut room, peer) else {
        panic!("what is sent on is not ordinary");
    };
    same_request(&again, &sent);
    assert_eq!(again.size, sent.len(), "a head and nothing behind it");
    assert_eq!((again.method, again.target), (head.method, head.target));
    assert_eq!((again.host, again.length), (head.host, head.length));
}

/// An ordinary head, and what a dyno gets of it.
fn read<'h, 'b>(
    bytes: &'b [u8],
    room: &'h mut head::Room<'b>,
    peer: &Peer,
) -> Option<(Head<'h, 'b>, Vec<u8>)> {
    let Verdict::Ordinary(head) = head::read(bytes, room) else {
        return None;
    };
    let subject = subject(&head, peer)?;
    let mut sent = Vec::new();
    rewrite::request(&mut sent, bytes, &head, &subject, peer);
    Some((head, sent))
}

fn same_request(head: &Head<'_, '_>, bytes: &[u8]) {
    // With as much of a body as it promises, up to a little.
    let mut all = bytes.get(..head.size).unwrap_or_default().to_vec();
    all.resize(all.len() + head.length.min(9) as usize, b'x');
    let seen = Cell::new(false);
    let service = service_fn(|request: Request<Incoming>| {
        if !seen.replace(true) {
            assert_eq!(request.version(), Version::HTTP_11);
            assert_eq!(request.method().as_str(), head.method);
            assert_eq!(request.uri().to_string(), head.target);
            let host = request::host(&parts(&request)).ok();
            assert_eq!(host, request::host_of(head.host).ok());
            assert_eq!(request.body().size_hint().exact(), Some(head.length));
            assert_eq!(request.headers(), &map(head.headers));
        }
        async { Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())) }
    });
    let connection = server::conn::http1::Builder::new()
        .header_read_timeout(None)
        .max_headers(1_000)
        .serve_connection(TokioIo::new(Memory(&all)), service);
    let _ = connection.now_or_never();
    assert!(seen.get(), "the other path's parser refuses it");
}

fn parts(request: &Request<Incoming>) -> Parts {
    let mut parts = Request::new(()).into_parts().0;
    parts.uri = request.uri().clone();
    parts.headers = request.headers().clone();
    parts
}

/// Holds an answer's head against hyper's reading.
pub(crate) fn answers(mut bytes: &[u8], is_head: bool) {
    let response = by_hyper(bytes, is_head);
    loop {
        let mut room = answer::room();
        match answer::read(bytes, &mut room, is_head) {
            Answer::Interim(size) => bytes = bytes.get(size..).unwrap_or_default(),
            Answer::Final(reply) => {
                let Some(response) = response else {
                    panic!("the other path's parser refuses it");
                };
                return same_answer(&reply, &response);
            }
            // Nothing follows, so half a head is none.
            Answer::Partial | Answer::Bad(_) => {
                assert!(response.is_none(), "the other path's parser takes it");
                return;
            }
        }
    }
}

fn same_answer(reply: &Reply<'_, '_>, response: &Response<Incoming>) {
    assert_eq!(response.status().as_u16(), reply.status);
    assert_eq!(response.headers(), &map(reply.headers));
    let length = match reply.framing {
        Framing::None => Some(0),
        Framing::Length(length) => Some(length),
        Framing::Chunked | Framing::Close => None,
    };
    assert_eq!(response.body().size_hint().exact(), length);
}

fn by_hyper(bytes: &[u8], is_head: bool) -> Option<Response<Incoming>> {
    let (mut sender, connection) = client::conn::http1::Builder::new()
        .max_buf_size(BUFFER)
        .max_header_size(BUFFER)
        .handshake(TokioIo::new(Dyno {
            memory: Memory(bytes),
            asked: false,
        }))
        .now_or_never()?
        .ok()?;
    let mut request = Request::new(Empty::<Bytes>::new());
    if is_head {
        *request.method_mut() = Method::HEAD;
    }
    let mut reply = Box::pin(sender.send_request(request));
    let mut connection = Box::pin(connection);
    // What is in memory is read at once, in a few turns.
    for _ in 0..64 {
        match select(&mut connection, &mut reply).now_or_never() {
            Some(Either::Right((reply, _))) => return reply.ok(),
            Some(Either::Left(_)) => return reply.now_or_never()?.ok(),
            None => {}
        }
    }
    None
}

fn map(headers: &[Header<'_>]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for header in headers {
        let name = HeaderName::from_bytes(header.name.as_bytes());
        let value = HeaderValue::from_bytes(header.value);
        let (Ok(name), Ok(value)) = (name, value) else {
            panic!("a header that is none");
        };
        map.append(name, value);
    }
    map
}

/// A dyno that says these bytes once it is asked.
struct Dyno<'a> {
    memory: Memory<'a>,
    asked: bool,
}

impl AsyncRead for Dyno<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.asked {
            true => Pin::new(&mut self.memory).poll_read(cx, buffer),
            false => Poll::Pending,
        }
    }
}

impl AsyncWrite for Dyno<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.asked = true;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
