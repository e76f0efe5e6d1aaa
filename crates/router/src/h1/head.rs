//! Whether a request's head is ordinary: one that every reader of HTTP/1.1 reads alike, and that asks for nothing unusual.
//!
//! Refuses nothing and repairs nothing: whatever is not plain here is left to the parser of the other path, which then has
//! the connection. Pure: bytes in, parts of them out.

use std::mem::MaybeUninit;

use httparse::{Header, Request, Status};

use crate::request;

/// Headers of an ordinary request.
pub(crate) const MOST: usize = 64;

/// For the headers of one head.
pub(crate) type Room<'b> = [MaybeUninit<Header<'b>>; MOST];

pub(crate) const fn room<'b>() -> Room<'b> {
    [const { MaybeUninit::uninit() }; MOST]
}

/// What a head is.
#[derive(Debug)]
pub(crate) enum Verdict<'h, 'b> {
    /// More of it has to come.
    Partial,
    /// For the other path.
    Odd,
    Ordinary(Head<'h, 'b>),
}

/// An ordinary head, as it came.
#[derive(Debug)]
pub(crate) struct Head<'h, 'b> {
    /// Bytes of it.
    pub(crate) size: usize,
    pub(crate) method: &'b str,
    /// Begins with a slash.
    pub(crate) target: &'b str,
    pub(crate) headers: &'h [Header<'b>],
    pub(crate) host: &'b str,
    pub(crate) request_id: Option<&'b [u8]>,
    pub(crate) accept: Option<&'b [u8]>,
    /// Bytes of the body.
    pub(crate) length: u64,
    /// The client wants no other answer on this connection.
    pub(crate) close: bool,
    /// Two headers may have the same name.
    pub(crate) repeats: bool,
}

/// What a header is to the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Passed on as it is.
    Plain,
    /// Of one connection only.
    Hop,
    Connection,
    Host,
    ContentLength,
    RequestId,
    ForwardedFor,
    ForwardedProto,
    ForwardedPort,
    RequestStart,
    Via,
    Accept,
    /// Not of an ordinary request.
    Odd,
}

impl Kind {
    pub(crate) fn of(name: &str) -> Kind {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        match name.len() {
            // Who takes trailers has them on the other path.
            2 if is("te") => Kind::Odd,
            3 if is("via") => Kind::Via,
            4 if is("host") => Kind::Host,
            6 if is("accept") => Kind::Accept,
            6 if is("expect") => Kind::Odd,
            7 if is("upgrade") || is("trailer") => Kind::Odd,
            10 if is("connection") => Kind::Connection,
            10 if is("keep-alive") => Kind::Hop,
            12 if is("x-request-id") => Kind::RequestId,
            14 if is("content-length") => Kind::ContentLength,
            15 if is("x-forwarded-for") => Kind::ForwardedFor,
            15 if is("x-request-start") => Kind::RequestStart,
            16 if is("x-forwarded-port") => Kind::ForwardedPort,
            16 if is("proxy-connection") => Kind::Hop,
            17 if is("x-forwarded-proto") => Kind::ForwardedProto,
            17 if is("transfer-encoding") => Kind::Odd,
            18 if is("proxy-authenticate") => Kind::Hop,
            19 if is("proxy-authorization") => Kind::Hop,
            _ => Kind::Plain,
        }
    }
}

/// Looks at what has come; `headers` is room for the head's.
pub(crate) fn read<'h, 'b>(bytes: &'b [u8], headers: &'h mut Room<'b>) -> Verdict<'h, 'b> {
    let mut request = Request::new(&mut []);
    let size = match request.parse_with_uninit_headers(bytes, headers) {
        Ok(Status::Complete(size)) => size,
        Ok(Status::Partial) => return Verdict::Partial,
        Err(_) => return Verdict::Odd,
    };
    let (Some(method), Some(target), Some(1)) = (request.method, request.path, request.version)
    else {
        return Verdict::Odd;
    };
    if method == "CONNECT" || !target.starts_with('/') || target.contains('#') {
        return Verdict::Odd;
    }
    let headers: &'h [Header<'b>] = request.headers;
    judge(size, method, target, headers).map_or(Verdict::Odd, Verdict::Ordinary)
}

fn judge<'h, 'b>(
    size: usize,
    method: &'b str,
    target: &'b str,
    headers: &'h [Header<'b>],
) -> Option<Head<'h, 'b>> {
    let (mut host, mut request_id, mut length, mut connection) = (None, None, None, None);
    let mut accept = None;
    let mut seen = Seen::default();
    for header in headers {
        seen.note(header.name);
        if header.name.contains('_') {
            return None;
        }
        match Kind::of(header.name) {
            Kind::Odd => return None,
            Kind::Host if host.is_some() => return None,
            Kind::Host => host = Some(request::visible(header.value)?),
            Kind::ContentLength if length.is_some() => return None,
            Kind::ContentLength => length = Some(plain_length(header.value)?),
            Kind::Connection if connection.is_some() => return None,
            Kind::Connection => connection = Some(is_close(header.value)?),
            Kind::RequestId if request_id.is_some() => return None,
            Kind::RequestId => request_id = Some(header.value),
            Kind::Accept => accept = accept.or(Some(header.value)),
            Kind::ForwardedFor => drop(request::visible(header.value)?),
            _ => {}
        }
    }
    Some(Head {
        size,
        method,
        target,
        headers,
        host: host?,
        request_id,
        accept,
        length: length.unwrap_or(0),
        close: connection.unwrap_or(false),
        repeats: seen.repeats,
    })
}

/// A length that can be read in one way only: digits, as few as there can be.
pub(crate) fn plain_length(value: &[u8]) -> Option<u64> {
    let is_plain = matches!(value, [b'0'] | [b'1'..=b'9', ..])
        && value.len() <= 18
        && value.iter().all(u8::is_ascii_digit);
    let digits = is_plain.then(|| std::str::from_utf8(value).ok()).flatten();
    digits?.parse().ok()
}

/// Whether `Connection` says `close`; `None` where it says more than that or `keep-alive`.
fn is_close(value: &[u8]) -> Option<bool> {
    if value.eq_ignore_ascii_case(b"close") {
        return Some(true);
    }
    value.eq_ignore_ascii_case(b"keep-alive").then_some(false)
}

/// Tells whether no two of some names are the same, and now and then says that they may be when they are not.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    bits: u64,
    pub(crate) repeats: bool,
}

impl Seen {
    pub(crate) fn note(&mut self, name: &str) {
        let name = name.as_bytes();
        let (first, last) = (name.first().unwrap_or(&0), name.last().unwrap_or(&0));
        // Small letters and large ones differ in one bit only.
        let (first, last) = (usize::from(first | 32), usize::from(last | 32));
        let bit = 1 << ((name.len() * 7 + first * 5 + last) % 64);
        self.repeats |= self.bits & bit != 0;
        self.bits |= bit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_ordinary(text: &str) -> Option<bool> {
        match read(text.as_bytes(), &mut room()) {
            Verdict::Partial => None,
            Verdict::Odd => Some(false),
            Verdict::Ordinary(_) => Some(true),
        }
    }

    #[test]
    fn only_the_boring_is_ordinary() {
        let with =
            |line: &str| is_ordinary(&format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n"));
        for line in [
            "Accept: */*",
            "Content-Length: 0",
            "content-length: 123456",
            "Connection: Keep-Alive",
            "connection: close",
            "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8",
            "Cookie: a=b\r\nCookie: c=d",
        ] {
            assert_eq!(with(line), Some(true), "{line}");
        }
        for line in [
            "Host: a",
            "Content-Length: +1",
            "Content-Length: 01",
            "Content-Length: 1, 1",
            "Content-Length: 1\r\nContent-Length: 1",
            "Content-Length: ",
            "Content-Length: 1111111111111111111",
            "Transfer-Encoding: chunked",
            "Connection: close, keep-alive",
            "Connection: upgrade",
            "Connection: close\r\nConnection: close",
            "Upgrade: websocket",
            "Expect: 100-continue",
            "Trailer: x",
            "TE: trailers",
            "Content_Length: 5",
            "X-Request-Id: a\r\nX-Request-Id: b",
            "X-Forwarded-For: \u{fc}",
            "a b: c",
            "X: a\r\n folded",
        ] {
            assert_eq!(with(line), Some(false), "{line}");
        }
        let many = "A: b\r\n".repeat(MOST);
        assert_eq!(with(many.trim_end()), Some(false));
    }

    #[test]
    fn the_line_has_one_form() {
        let line = |line: &str| is_ordinary(&format!("{line}\r\nHost: a\r\n\r\n"));
        for ordinary in ["GET / HTTP/1.1", "BREW //x?y=%20 HTTP/1.1"] {
            assert_eq!(line(ordinary), Some(true), "{ordinary}");
        }
        for odd in [
            "GET / HTTP/1.0",
            "GET / HTTP/2.0",
            "GET http://a/ HTTP/1.1",
            "OPTIONS * HTTP/1.1",
            "CONNECT a:1 HTTP/1.1",
            "CONNECT /a HTTP/1.1",
            "GET /#a HTTP/1.1",
            "GET  / HTTP/1.1",
            "GET / HTTP/1.1 ",
        ] {
            assert_eq!(line(odd), Some(false), "{odd}");
        }
        assert_eq!(is_ordinary("GET / HTTP/1.1\r\n\r\n"), Some(false));
        assert_eq!(is_ordinary("GET / HTTP/1.1\r\nHost: a\r\n"), None);
        assert_eq!(
            is_ordinary("GET / HTTP/1.1\r\nHost: a\u{e9}\r\n\r\n"),
            Some(false)
        );
    }
}
