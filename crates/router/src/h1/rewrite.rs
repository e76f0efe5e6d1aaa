//! Writes the head that a dyno gets, and the one that a client gets, straight from what came.
//!
//! Says what `request::rewrite` and hyper say together on the other path, byte for byte: names as they came and in their
//! order, those of the same name together, ours as people write them.

use std::cell::RefCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use httparse::Header;

use super::answer::{Framing, Reply};
use super::head::{Head, Kind};
use crate::access::Subject;
use crate::request::{self, Peer};

/// Appends the head for the dyno.
/// `came`: what it was read from.
pub(crate) fn request(
    out: &mut Vec<u8>,
    came: &[u8],
    head: &Head<'_, '_>,
    subject: &Subject,
    peer: &Peer,
) {
    for part in [
        head.method.as_bytes(),
        b" ",
        head.target.as_bytes(),
        b" HTTP/1.1\r\n",
    ] {
        out.extend_from_slice(part);
    }
    let mut now = [0; 20];
    let now = decimal(&mut now, millis());
    let mut port = [0; 20];
    let port = decimal(&mut port, u64::from(peer.port));
    let proto: &[u8] = if peer.https { b"https" } else { b"http" };
    let ours: [(Kind, &[u8], &[u8]); 5] = [
        (
            Kind::ForwardedFor,
            b"X-Forwarded-For",
            subject.forwarded_for.as_bytes(),
        ),
        (Kind::ForwardedProto, b"X-Forwarded-Proto", proto),
        (Kind::ForwardedPort, b"X-Forwarded-Port", port),
        (Kind::RequestStart, b"X-Request-Start", now),
        (
            Kind::RequestId,
            b"X-Request-Id",
            subject.request_id.as_bytes(),
        ),
    ];
    let mut written = [false; 5];
    let mut via = false;
    let mut lines = Lines::new(came);
    for (index, header) in head.headers.iter().enumerate() {
        if !head.repeats && is_as_it_is(Kind::of(header.name)) && lines.take(header, out) {
            continue;
        }
        lines.flush(out);
        if head.repeats && is_repeated(head.headers, index) {
            continue;
        }
        match Kind::of(header.name) {
            Kind::Hop | Kind::Connection | Kind::Odd => {}
            Kind::Plain | Kind::Accept | Kind::Host | Kind::ContentLength => {
                line(out, header.name.as_bytes(), header.value);
                group(out, head.headers, index, head.repeats);
            }
            Kind::Via => {
                line(out, header.name.as_bytes(), header.value);
                group(out, head.headers, index, head.repeats);
                line(out, b"Via", request::VIA.as_bytes());
                via = true;
            }
            kind => {
                for (ours, written) in ours.iter().zip(&mut written) {
                    if ours.0 == kind {
                        line(out, header.name.as_bytes(), ours.2);
                        *written = true;
                    }
                }
            }
        }
    }
    lines.flush(out);
    for ((_, name, value), written) in ours.into_iter().zip(written) {
        if !written {
            line(out, name, value);
        }
    }
    if !via {
        line(out, b"Via", request::VIA.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// What a client is told besides what the dyno said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Besides<'a> {
    /// Where it finds HTTP/3.
    pub(crate) alt_svc: Option<&'a HeaderValue>,
    /// This is the connection's last answer.
    pub(crate) close: bool,
    /// It asked for the head alone.
    pub(crate) is_head: bool,
    /// For how long it waited for its app to wake, in ms.
    pub(crate) cold_start: Option<u64>,
}

/// Appends the head for the client.
pub(crate) fn answer(out: &mut Vec<u8>, came: &[u8], reply: &Reply<'_, '_>, besides: Besides<'_>) {
    let mut code = [0; 20];
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(decimal(&mut code, u64::from(reply.status)));
    out.push(b' ');
    out.extend_from_slice(reply.reason.as_bytes());
    out.extend_from_slice(b"\r\n");
    let is_bodiless = matches!(reply.status, 204 | 304);
    let (mut via, mut date, mut alt_svc) = (false, false, false);
    let (mut connection, mut length, mut coding) = (None, None, None);
    let mut lines = Lines::new(came);
    for (index, header) in reply.headers.iter().enumerate() {
        if !reply.repeats && reply.passes(header.name) && lines.take(header, out) {
            date |= header.name.eq_ignore_ascii_case("date");
            alt_svc |= header.name.eq_ignore_ascii_case("alt-svc");
            length = length
                .or(Some(header.name).filter(|name| name.eq_ignore_ascii_case("content-length")));
            continue;
        }
        lines.flush(out);
        if reply.repeats && is_repeated(reply.headers, index) {
            continue;
        }
        let name = header.name;
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if reply.is_named(name) {
            continue;
        }
        match name.len() {
            2 if is("te") => continue,
            3 if is("via") => {
                full_line(out, name.as_bytes(), header.value);
                full_group(out, reply.headers, index, reply.repeats);
                full_line(out, b"Via", request::VIA.as_bytes());
                via = true;
                continue;
            }
            4 if is("date") => date = true,
            7 if is("upgrade") => continue,
            7 if is("alt-svc") => alt_svc = true,
            7 if is("trailer") => {
                if !besides.is_head && !is_bodiless {
                    joined(out, reply.headers, index);
                }
                continue;
            }
            10 if is("connection") => {
                connection = Some(name);
                continue;
            }
            10 if is("keep-alive") => continue,
            14 if is("content-length") => {
                length = Some(name);
                let stays = match reply.framing {
                    Framing::Length(length) => length > 0,
                    Framing::None => besides.is_head && !reply.lengths_differ,
                    Framing::Chunked | Framing::Close => false,
                };
                if stays && !reply.is_chunked {
                    full_line(out, name.as_bytes(), header.value);
                }
                continue;
            }
            16 if is("proxy-connection") => continue,
            17 if is("transfer-encoding") => {
                coding = Some(name);
                continue;
            }
            18 if is("proxy-authenticate") => continue,
            19 if is("proxy-authorization") => continue,
            _ => {}
        }
        full_line(out, name.as_bytes(), header.value);
        full_group(out, reply.headers, index, reply.repeats);
    }
    lines.flush(out);
    if !via {
        full_line(out, b"Via", request::VIA.as_bytes());
    }
    if let Some(ms) = besides.cold_start {
        full_line(out, b"Ropewalk-Cold-Start", decimal(&mut [0; 20], ms));
    }
    if let Some(value) = besides.alt_svc.filter(|_| !alt_svc) {
        full_line(out, b"Alt-Svc", value.as_bytes());
    }
    if besides.close {
        full_line(out, connection.unwrap_or("Connection").as_bytes(), b"close");
    }
    match reply.framing {
        Framing::Chunked | Framing::Close => {
            full_line(
                out,
                coding.unwrap_or("Transfer-Encoding").as_bytes(),
                b"chunked",
            );
        }
        Framing::Length(0) => {
            full_line(out, length.unwrap_or("Content-Length").as_bytes(), b"0");
        }
        // `Connection` named it; without one nobody knows where the body ends.
        Framing::Length(bytes) if length.is_none() => {
            full_line(out, b"Content-Length", decimal(&mut code, bytes));
        }
        Framing::None | Framing::Length(_) => {}
    }
    if !date {
        out.extend_from_slice(b"Date: ");
        append_date(out);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

fn is_as_it_is(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Plain | Kind::Accept | Kind::Host | Kind::ContentLength
    )
}

/// Lines that came as they would be written: those that follow each other are copied in one go.
struct Lines<'b> {
    came: &'b [u8],
    start: usize,
    end: usize,
}

impl<'b> Lines<'b> {
    fn new(came: &'b [u8]) -> Lines<'b> {
        Lines {
            came,
            start: 0,
            end: 0,
        }
    }

    /// Takes a header's line, unless it came in another form.
    fn take(&mut self, header: &Header<'_>, out: &mut Vec<u8>) -> bool {
        let base = self.came.as_ptr() as usize;
        let name = (header.name.as_ptr() as usize).wrapping_sub(base);
        let value = (header.value.as_ptr() as usize).wrapping_sub(base);
        let colon = name.wrapping_add(header.name.len());
        let end = value.wrapping_add(header.value.len());
        let is_as_written = value == colon.wrapping_add(2)
            && !header.value.is_empty()
            && self.came.get(colon..value) == Some(b": ")
            && self.came.get(end..end.wrapping_add(2)) == Some(b"\r\n");
        if !is_as_written {
            return false;
        }
        if name != self.end {
            self.flush(out);
            self.start = name;
        }
        self.end = end + 2;
        true
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.came.get(self.start..self.end).unwrap_or_default());
        self.start = self.end;
    }
}

fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    // As hyper does towards a server.
    out.extend_from_slice(if value.is_empty() { b":" } else { b": " });
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn full_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Whether an earlier header has this one's name.
fn is_repeated(headers: &[Header<'_>], index: usize) -> bool {
    let name = headers[index].name;
    let mut before = headers[..index].iter();
    before.any(|other| other.name.eq_ignore_ascii_case(name))
}

/// The later headers of the same name.
fn others<'h, 'b>(
    headers: &'h [Header<'b>],
    index: usize,
    repeats: bool,
) -> impl Iterator<Item = &'h Header<'b>> {
    let name = headers[index].name;
    let rest = if repeats { &headers[index + 1..] } else { &[] };
    rest.iter()
        .filter(move |other| other.name.eq_ignore_ascii_case(name))
}

fn group(out: &mut Vec<u8>, headers: &[Header<'_>], index: usize, repeats: bool) {
    for other in others(headers, index, repeats) {
        line(out, other.name.as_bytes(), other.value);
    }
}

fn full_group(out: &mut Vec<u8>, headers: &[Header<'_>], index: usize, repeats: bool) {
    for other in others(headers, index, repeats) {
        full_line(out, other.name.as_bytes(), other.value);
    }
}

/// One line for all of a name.
fn joined(out: &mut Vec<u8>, headers: &[Header<'_>], index: usize) {
    out.extend_from_slice(headers[index].name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(headers[index].value);
    for other in others(headers, index, true) {
        out.extend_from_slice(b", ");
        out.extend_from_slice(other.value);
    }
    out.extend_from_slice(b"\r\n");
}

/// The digits of a number.
pub(crate) fn decimal(room: &mut [u8; 20], mut number: u64) -> &[u8] {
    let mut start = room.len();
    loop {
        start -= 1;
        room[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &room[start..];
        }
    }
}

fn millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

thread_local! {
    /// The second that was written out last, and how.
    static DATE: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
}

/// The time, as HTTP writes it.
pub(crate) fn append_date(out: &mut Vec<u8>) {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    DATE.with_borrow_mut(|(second, text)| {
        if *second != now || text.is_empty() {
            *second = now;
            *text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(now));
        }
        out.extend_from_slice(text.as_bytes());
    });
}
