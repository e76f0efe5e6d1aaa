//! What could be read in two ways reaches no dyno: it is refused, or passed on in the one form that everybody reads alike
//! (RFC 9112, 6.3 and 11.2).
//!
//! The dyno here keeps every byte and reads them by the letter of the RFC; anything else in them fails the test.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rig::*;
use ropewalk_router::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Answered by the router, its connection closed, no dyno hears of it.
    Refused,
    /// One request reaches the dyno, with this body.
    Passed(&'static str),
    /// Either will do: what counts is that the dyno does not see two.
    Either,
}
use Fate::{Either, Passed, Refused};

/// A request as a strict reader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    head: String,
    body: String,
}

/// Reads strictly from `bytes`: a request and what is left, `None` when there is no whole one yet.
fn parse(bytes: &[u8]) -> Result<Option<(Seen, usize)>, String> {
    let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| "no text")?;
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    if head.replace("\r\n", "").contains(['\r', '\n', '\0']) {
        return Err(format!("a bare line end or a zero: {head:?}"));
    }
    let words: Vec<&str> = first.split(' ').collect();
    if words.len() != 3 || words[2] != "HTTP/1.1" || !words[1].starts_with(['/', '*']) {
        return Err(format!("a request line of its own kind: {first:?}"));
    }
    let (mut lengths, mut codings, mut hosts) = (Vec::new(), Vec::new(), 0);
    for line in lines {
        let (name, value) = line.split_once(':').ok_or("no colon")?;
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(token) {
            return Err(format!("a name of its own kind: {line:?}"));
        }
        match name.replace('_', "-").to_ascii_lowercase().as_str() {
            "content-length" => lengths.push(value.trim().to_owned()),
            "transfer-encoding" => codings.push(value.trim().to_owned()),
            "host" => hosts += 1,
            _ => {}
        }
    }
    if hosts != 1 {
        return Err(format!("{hosts} hosts: {head:?}"));
    }
    let rest = &bytes[end + 4..];
    let (body, used) = match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => (Vec::new(), 0),
        ([length], []) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
            let length: usize = length.parse().map_err(|_| "a length too long")?;
            let Some(body) = rest.get(..length) else {
                return Ok(None);
            };
            (body.to_vec(), length)
        }
        ([], [coding]) if coding == "chunked" => match chunks(rest)? {
            Some(found) => found,
            None => return Ok(None),
        },
        _ => return Err(format!("framed in two ways: {head:?}")),
    };
    let seen = Seen {
        head: head.to_owned(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    Ok(Some((seen, end + 4 + used)))
}

/// A chunked body without extensions and trailers.
fn chunks(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let rest = &bytes[at..];
        let Some(end) = rest.windows(2).position(|part| part == b"\r\n") else {
            return Ok(None);
        };
        let size = std::str::from_utf8(&rest[..end]).map_err(|_| "no text")?;
        if size.is_empty() || !size.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(format!("a chunk size of its own kind: {size:?}"));
        }
        let size = usize::from_str_radix(size, 16).map_err(|_| "a size too large")?;
        let Some(data) = rest.get(end + 2..end + 2 + size + 2) else {
            return Ok(None);
        };
        if !data.ends_with(b"\r\n") {
            return Err("a chunk of another length".to_owned());
        }
        body.extend_from_slice(&data[..size]);
        at += end + 2 + size + 2;
        if size == 0 {
            return Ok(Some((body, at)));
        }
    }
}

#[derive(Debug, Default)]
struct Strict {
    seen: Vec<Seen>,
    wrong: Vec<String>,
}

/// A dyno that answers each request it understands, and notes what it does not.
async fn strict() -> (SocketAddr, Arc<Mutex<Strict>>) {
    let notes = Arc::new(Mutex::new(Strict::default()));
    let shared = Arc::clone(&notes);
    let addr = raw_dyno(move |mut stream: TcpStream| {
        let notes = Arc::clone(&shared);
        async move {
            let mut bytes = Vec::new();
            loop {
                match parse(&bytes) {
                    Err(wrong) => {
                        notes.lock().unwrap().wrong.push(wrong);
                        return;
                    }
                    Ok(Some((seen, used))) => {
                        bytes.drain(..used);
                        let hint: &[u8] = match seen.head.starts_with("HEAD ") {
                            true => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
                            false => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
                        };
                        notes.lock().unwrap().seen.push(seen);
                        if stream.write_all(hint).await.is_err() {
                            return;
                        }
                    }
                    Ok(None) => {
                        let mut chunk = [0; 4096];
                        match stream.read(&mut chunk).await {
                            Ok(count) if count > 0 => bytes.extend_from_slice(&chunk[..count]),
                            _ => return,
                        }
                    }
                }
            }
        }
    })
    .await;
    (addr, notes)
}

/// Each message as it is sent, after a request line and a host, and what becomes of it.
const FRAMINGS: &[(&str, &str, Fate)] = &[
    // Both framings.
    (
        "CL.TE",
        "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
        Either,
    ),
    (
        "TE.CL",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\nGET /x HTTP/1.1\r\n\r\n0\r\n\r\n",
        Either,
    ),
    (
        "CL.TE with the same end",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Either,
    ),
    // `chunked` in disguise.
    (
        "xchunked",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "chunked, identity",
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "identity",
        "Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nab",
        Refused,
    ),
    (
        "gzip, chunked",
        "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "chunked twice",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Either,
    ),
    (
        "chunked, chunked",
        "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "chunked then other",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "other then chunked",
        "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "quoted",
        "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "with a parameter",
        "Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "upper case",
        "Transfer-Encoding: CHUNKED\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        Passed("ab"),
    ),
    (
        "a tab before",
        "Transfer-Encoding:\tchunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        Passed("ab"),
    ),
    (
        "a vertical tab before",
        "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "a zero inside",
        "Transfer-Encoding: chun\0ked\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "a space before the colon",
        "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "a tab before the colon",
        "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "a space before the name",
        " Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "folded",
        "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    ("folded elsewhere", "X: a\r\n b\r\n\r\n", Refused),
    ("an empty coding", "Transfer-Encoding:\r\n\r\n", Refused),
    (
        "by underscore",
        "Transfer_Encoding: chunked\r\nContent-Length: 2\r\n\r\nab",
        Passed("ab"),
    ),
    // Lengths.
    (
        "two equal lengths",
        "Content-Length: 2\r\nContent-Length: 2\r\n\r\nab",
        Either,
    ),
    (
        "two lengths",
        "Content-Length: 0\r\nContent-Length: 2\r\n\r\nab",
        Refused,
    ),
    (
        "a list of lengths",
        "Content-Length: 2, 2\r\n\r\nab",
        Either,
    ),
    (
        "a list of two lengths",
        "Content-Length: 0, 2\r\n\r\nab",
        Refused,
    ),
    ("a plus", "Content-Length: +2\r\n\r\nab", Refused),
    ("a minus", "Content-Length: -2\r\n\r\nab", Refused),
    ("hexadecimal", "Content-Length: 0x2\r\n\r\nab", Refused),
    ("a fraction", "Content-Length: 2.0\r\n\r\nab", Refused),
    ("an exponent", "Content-Length: 2e0\r\n\r\nab", Refused),
    ("underscores", "Content-Length: 0_2\r\n\r\nab", Refused),
    ("empty", "Content-Length:\r\n\r\nab", Refused),
    (
        "beyond 64 bits",
        "Content-Length: 18446744073709551618\r\n\r\nab",
        Refused,
    ),
    (
        "leading zeros",
        "Content-Length: 002\r\n\r\nab",
        Passed("ab"),
    ),
    ("a space inside", "Content-Length: 1 2\r\n\r\nab", Refused),
    (
        "a space before the colon of a length",
        "Content-Length : 2\r\n\r\nab",
        Refused,
    ),
    (
        "a length by underscore",
        "Content_Length: 9\r\nContent-Length: 2\r\n\r\nab",
        Passed("ab"),
    ),
    (
        "a length that the client calls its own affair",
        "Connection: content-length\r\nContent-Length: 2\r\n\r\nab",
        Passed("ab"),
    ),
    (
        "a coding that the client calls its own affair",
        "Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        Passed("ab"),
    ),
    // Chunks.
    (
        "a size beyond 64 bits",
        "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\nab\r\n0\r\n\r\n",
        Either,
    ),
    (
        "a size by 0x",
        "Transfer-Encoding: chunked\r\n\r\n0x2\r\nab\r\n0\r\n\r\n",
        Either,
    ),
    (
        "a negative size",
        "Transfer-Encoding: chunked\r\n\r\n-2\r\nab\r\n0\r\n\r\n",
        Either,
    ),
    (
        "no size",
        "Transfer-Encoding: chunked\r\n\r\n\r\nab\r\n0\r\n\r\n",
        Either,
    ),
    (
        "an extension",
        "Transfer-Encoding: chunked\r\n\r\n2;a=b\r\nab\r\n0\r\n\r\n",
        Either,
    ),
    (
        "an extension with a line end",
        "Transfer-Encoding: chunked\r\n\r\n2;a\nb\r\nab\r\n0\r\n\r\n",
        Either,
    ),
    (
        "a size with a space",
        "Transfer-Encoding: chunked\r\n\r\n2 \r\nab\r\n0\r\n\r\n",
        Either,
    ),
    (
        "a size with a bare line end",
        "Transfer-Encoding: chunked\r\n\r\n2\nab\r\n0\r\n\r\n",
        Either,
    ),
    (
        "a chunk longer than its size",
        "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
        Either,
    ),
    (
        "a chunk without its end",
        "Transfer-Encoding: chunked\r\n\r\n2\r\nab0\r\n\r\n",
        Either,
    ),
    (
        "trailers that frame",
        "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nContent-Length: 9\r\nHost: b\r\n\r\n",
        Either,
    ),
    // Line ends and names.
    (
        "a bare carriage return in a value",
        "X: a\rContent-Length: 2\r\n\r\nab",
        Refused,
    ),
    ("a zero in a value", "X: a\0b\r\n\r\n", Refused),
    ("a zero in a name", "X\0: a\r\n\r\n", Refused),
    ("no colon", "Nonsense\r\n\r\n", Refused),
    ("no name", ": a\r\n\r\n", Refused),
    ("a second host", "Host: other.test\r\n\r\n", Refused),
    // Expectations and upgrades.
    (
        "an expectation with a length",
        "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nab",
        Passed("ab"),
    ),
    (
        "an expectation of its own kind",
        "Expect: 100-continue, x\r\nContent-Length: 2\r\n\r\nab",
        Refused,
    ),
    (
        "an upgrade to HTTP/2",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
        Either,
    ),
];

/// Whole heads.
const HEADS: &[(&str, &str, Fate)] = &[
    (
        "an absolute target beats the host",
        "GET http://app.test/a HTTP/1.1\r\nHost: other.test\r\n\r\n",
        Passed(""),
    ),
    (
        "two spaces in the request line",
        "GET  /a HTTP/1.1\r\nHost: app.test\r\n\r\n",
        Refused,
    ),
    (
        "a tab in the request line",
        "GET\t/a HTTP/1.1\r\nHost: app.test\r\n\r\n",
        Refused,
    ),
    (
        "a space in the target",
        "GET /a b HTTP/1.1\r\nHost: app.test\r\n\r\n",
        Refused,
    ),
    (
        "a control byte in the target",
        "GET /a\x01b HTTP/1.1\r\nHost: app.test\r\n\r\n",
        Refused,
    ),
    (
        "another version",
        "GET /a HTTP/1.9\r\nHost: app.test\r\n\r\n",
        Refused,
    ),
    ("no version", "GET /a\r\nHost: app.test\r\n\r\n", Refused),
    (
        "a length of an old client",
        "POST /a HTTP/1.0\r\nHost: app.test\r\nContent-Length: 2\r\n\r\nab",
        Passed("ab"),
    ),
    (
        "a coding of an old client",
        "POST /a HTTP/1.0\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "a method of its own kind",
        "GE\"T /a HTTP/1.1\r\nHost: app.test\r\n\r\n",
        Refused,
    ),
    (
        "CONNECT",
        "CONNECT app.test:80 HTTP/1.1\r\nHost: app.test\r\n\r\n",
        Refused,
    ),
    (
        "an empty line before",
        "\r\nGET /a HTTP/1.1\r\nHost: app.test\r\n\r\n",
        Passed(""),
    ),
    (
        "HEAD with a body",
        "HEAD /a HTTP/1.1\r\nHost: app.test\r\nContent-Length: 2\r\n\r\nab",
        Passed("ab"),
    ),
    (
        "GET with a body",
        "GET /a HTTP/1.1\r\nHost: app.test\r\nContent-Length: 2\r\n\r\nab",
        Passed("ab"),
    ),
    (
        "GET with chunks",
        "GET /a HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        Passed("ab"),
    ),
    (
        "DELETE without a body",
        "DELETE /a HTTP/1.1\r\nHost: app.test\r\n\r\n",
        Passed(""),
    ),
    (
        "a host with a path",
        "GET /a HTTP/1.1\r\nHost: app.test/x\r\n\r\n",
        Refused,
    ),
    (
        "a host with a user",
        "GET /a HTTP/1.1\r\nHost: app.test@other.test\r\n\r\n",
        Refused,
    ),
    ("no host", "GET /a HTTP/1.1\r\n\r\n", Refused),
];

#[tokio::test]
async fn no_message_is_read_in_two_ways() {
    let post = |(name, rest, fate): &(&str, &str, Fate)| {
        let message = format!("POST /a HTTP/1.1\r\nHost: app.test\r\n{rest}");
        (name.to_string(), message, *fate)
    };
    let whole =
        |(name, message, fate): &(&str, &str, Fate)| (name.to_string(), message.to_string(), *fate);
    let messages = FRAMINGS.iter().map(post).chain(HEADS.iter().map(whole));
    let mut cases: JoinSet<Result<(), String>> = messages
        .map(|(name, message, fate)| async move {
            let (notes, answer) = send(message.as_bytes()).await;
            judge(fate, &notes, &answer).map_err(|why| format!("{name}: {why}"))
        })
        .collect();
    let mut wrong = Vec::new();
    while let Some(case) = cases.join_next().await {
        wrong.extend(case.unwrap().err());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Sends a message to a router of its own: what the dyno noted, and the answer.
async fn send(message: &[u8]) -> (Strict, String) {
    let (rig, notes) = strict_rig().await;
    let mut stream = TcpStream::connect(rig.addr).await.unwrap();
    // The router may be done with it before all is written.
    let _ = stream.write_all(message).await;
    let answer = read_all(&mut stream).await;
    let notes = std::mem::take(&mut *notes.lock().unwrap());
    (notes, answer)
}

async fn strict_rig() -> (Rig, Arc<Mutex<Strict>>) {
    let (dyno, notes) = strict().await;
    // A body that never ends is not waited for long.
    let limits = Limits {
        first_byte: Duration::from_millis(500),
        idle: Duration::from_millis(500),
        header: Duration::from_millis(500),
        ..Limits::default()
    };
    let rig = Rig::fixed(table(1, app(&[dyno])), limits).await;
    (rig, notes)
}

/// Header fields of an HTTP/2 request, and its body.
type Fields = &'static [(&'static str, &'static str)];

const GET: (&str, &str) = (":method", "GET");
const POST: (&str, &str) = (":method", "POST");
const HTTP: (&str, &str) = (":scheme", "http");
const HERE: (&str, &str) = (":authority", "app.test");
const PATH: (&str, &str) = (":path", "/a");

/// What HTTP/2 can say and HTTP/1 cannot, or says in another way (RFC 9113, 8.2.1 and 10.3).
const HTTP2: &[(&str, Fields, &str, Fate)] = &[
    ("a plain one", &[GET, HTTP, HERE, PATH], "", Passed("")),
    ("a body", &[POST, HTTP, HERE, PATH], "ab", Passed("ab")),
    (
        "a length",
        &[POST, HTTP, HERE, PATH, ("content-length", "2")],
        "ab",
        Passed("ab"),
    ),
    (
        "a path with a line end",
        &[GET, HTTP, HERE, (":path", "/a HTTP/1.1\r\nX: y")],
        "",
        Refused,
    ),
    (
        "a path with a space",
        &[GET, HTTP, HERE, (":path", "/a HTTP/1.1")],
        "",
        Refused,
    ),
    ("no path", &[GET, HTTP, HERE], "", Refused),
    (
        "an empty path",
        &[GET, HTTP, HERE, (":path", "")],
        "",
        Refused,
    ),
    (
        "a method with a line end",
        &[(":method", "GET / HTTP/1.1\r\nX: y"), HTTP, HERE, PATH],
        "",
        Refused,
    ),
    (
        "a method with a space",
        &[(":method", "GET /x"), HTTP, HERE, PATH],
        "",
        Refused,
    ),
    (
        "an authority with a line end",
        &[GET, HTTP, (":authority", "app.test\r\nX: y"), PATH],
        "",
        Refused,
    ),
    (
        "an authority with a user",
        &[GET, HTTP, (":authority", "a@app.test"), PATH],
        "",
        Refused,
    ),
    (
        "a value with a line end",
        &[GET, HTTP, HERE, PATH, ("x", "a\r\nContent-Length: 2")],
        "",
        Refused,
    ),
    (
        "a value with a bare line feed",
        &[GET, HTTP, HERE, PATH, ("x", "a\nb: c")],
        "",
        Refused,
    ),
    (
        "a value with a zero",
        &[GET, HTTP, HERE, PATH, ("x", "a\0b")],
        "",
        Refused,
    ),
    (
        "a name with a line end",
        &[GET, HTTP, HERE, PATH, ("x: y\r\nz", "a")],
        "",
        Refused,
    ),
    (
        "a name with a colon",
        &[GET, HTTP, HERE, PATH, ("x:", "a")],
        "",
        Refused,
    ),
    (
        "a name with a space",
        &[GET, HTTP, HERE, PATH, ("transfer-encoding ", "chunked")],
        "",
        Refused,
    ),
    (
        "a name in upper case",
        &[GET, HTTP, HERE, PATH, ("X", "a")],
        "",
        Refused,
    ),
    ("no name", &[GET, HTTP, HERE, PATH, ("", "a")], "", Refused),
    (
        "a coding",
        &[POST, HTTP, HERE, PATH, ("transfer-encoding", "chunked")],
        "0\r\n\r\n",
        Refused,
    ),
    (
        "a connection",
        &[GET, HTTP, HERE, PATH, ("connection", "x")],
        "",
        Refused,
    ),
    (
        "an upgrade",
        &[GET, HTTP, HERE, PATH, ("upgrade", "websocket")],
        "",
        Refused,
    ),
    (
        "a length too small",
        &[POST, HTTP, HERE, PATH, ("content-length", "1")],
        "ab",
        Either,
    ),
    (
        "a length too large",
        &[POST, HTTP, HERE, PATH, ("content-length", "9")],
        "ab",
        Either,
    ),
    (
        "two lengths",
        &[
            POST,
            HTTP,
            HERE,
            PATH,
            ("content-length", "2"),
            ("content-length", "3"),
        ],
        "ab",
        Refused,
    ),
    (
        "a length with a plus",
        &[POST, HTTP, HERE, PATH, ("content-length", "+2")],
        "ab",
        Refused,
    ),
    (
        "a host besides the authority",
        &[GET, HTTP, HERE, PATH, ("host", "other.test")],
        "",
        Either,
    ),
    (
        "two hosts and no authority",
        &[
            GET,
            HTTP,
            PATH,
            ("host", "app.test"),
            ("host", "other.test"),
        ],
        "",
        Refused,
    ),
    (
        "a length by underscore",
        &[POST, HTTP, HERE, PATH, ("content_length", "9")],
        "ab",
        Passed("ab"),
    ),
    (
        "two paths",
        &[GET, HTTP, HERE, PATH, (":path", "/b")],
        "",
        Refused,
    ),
    (
        "a pseudo header at the end",
        &[GET, HTTP, HERE, ("x", "y"), PATH],
        "",
        Refused,
    ),
    (
        "an unknown pseudo header",
        &[GET, HTTP, HERE, PATH, (":x", "y")],
        "",
        Refused,
    ),
    (
        "plain CONNECT",
        &[(":method", "CONNECT"), HERE],
        "",
        Refused,
    ),
];

#[tokio::test]
async fn no_message_is_read_in_two_ways_after_http_2() {
    let mut cases: JoinSet<Result<(), String>> = HTTP2
        .iter()
        .map(|(name, fields, body, fate)| async move {
            let (rig, notes) = strict_rig().await;
            let answer = send_http2(rig.addr, fields, body).await;
            rig.shut_down().await;
            let notes = std::mem::take(&mut *notes.lock().unwrap());
            judge(*fate, &notes, &answer).map_err(|why| format!("{name}: {why}"))
        })
        .collect();
    let mut wrong = Vec::new();
    while let Some(case) = cases.join_next().await {
        wrong.extend(case.unwrap().err());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A frame (RFC 9113, 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Sends fields as no library would let them through. The answer as HTTP/1.1 would say it: its status line, or nothing
/// when there is none.
async fn send_http2(addr: SocketAddr, fields: Fields, body: &str) -> String {
    // Literals that are not indexed, without Huffman (RFC 7541, 6.2.2), each shorter than 127 bytes.
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for part in [name, value] {
            block.push(u8::try_from(part.len()).unwrap());
            block.extend(part.as_bytes());
        }
    }
    let ends = if body.is_empty() { END_STREAM } else { 0 };
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    bytes.extend(frame(HEADERS, END_HEADERS | ends, 1, &block));
    if !body.is_empty() {
        bytes.extend(frame(DATA, END_STREAM, 1, body.as_bytes()));
    }
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let _ = stream.write_all(&bytes).await;
    let read = async {
        loop {
            let mut head = [0; 9];
            if stream.read_exact(&mut head).await.is_err() {
                return String::new();
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            if stream.read_exact(&mut payload).await.is_err() {
                return String::new();
            }
            match head[3] {
                RST_STREAM | GOAWAY => return String::new(),
                // The first field is the status: 200 and 400 are in the static table (RFC 7541, A), others are literal.
                HEADERS => {
                    return match payload.first() {
                        Some(0x88) => "HTTP/2 200 OK\r\n".to_owned(),
                        _ => "HTTP/2 400 \r\n".to_owned(),
                    };
                }
                _ => {}
            }
        }
    };
    tokio::time::timeout(DEADLINE, read).await.unwrap()
}

fn judge(fate: Fate, notes: &Strict, answer: &str) -> Result<(), String> {
    if let Some(wrong) = notes.wrong.first() {
        return Err(format!("the dyno got {wrong}"));
    }
    // What was left over of an ambiguous message must not have become a request of its own.
    let seen = match notes.seen.as_slice() {
        [] => None,
        [one] => Some(one),
        more => return Err(format!("the dyno saw {more:?}")),
    };
    match (fate, seen) {
        (Passed(body), Some(seen)) if seen.body == body && answer.contains(" 200 OK\r\n") => Ok(()),
        (Refused, None) if answer.is_empty() || (400..500).contains(&status(answer)) => Ok(()),
        (Either, _) => Ok(()),
        _ => Err(format!(
            "not {fate:?}: the dyno saw {seen:?}, and the answer is {answer:?}"
        )),
    }
}

/// What a dyno answers to the first request, and behind it on the same connection: the next request, which may be another
/// client's, must get its own answer.
const ANSWERS: &[(&str, &str, &str)] = &[
    (
        "GET",
        "two answers",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    ),
    (
        "GET",
        "a body longer than its length",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokevil",
    ),
    (
        "HEAD",
        "a body after HEAD",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    ),
    (
        "GET",
        "a body with 204",
        "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil",
    ),
    (
        "GET",
        "a body with 304",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevil",
    ),
    (
        "GET",
        "both framings",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nevil",
    ),
    (
        "GET",
        "two lengths",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 6\r\n\r\nokevil",
    ),
    (
        "GET",
        "an answer behind an interim one",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\nevil",
    ),
    (
        "GET",
        "chunks and more",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nevil",
    ),
];

#[tokio::test]
async fn what_a_dyno_says_too_much_is_nobodys_answer() {
    for (method, name, answer) in ANSWERS {
        let dyno = raw_dyno(move |stream: TcpStream| async move {
            let mut stream = tokio::io::BufReader::new(stream);
            while let Some(head) = read_head(&mut stream).await {
                let answer = match head.contains(" /good ") {
                    true => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood",
                    false => answer,
                };
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        })
        .await;
        let rig = Rig::fixed(table(1, app(&[dyno])), Limits::default()).await;
        let mut first = TcpStream::connect(rig.addr).await.unwrap();
        let request = format!("{method} /bad HTTP/1.1\r\nHost: app.test\r\n\r\n");
        first.write_all(request.as_bytes()).await.unwrap();
        let head = read_until(&mut first, "\r\n\r\n").await;
        assert!(!head.contains("evil"), "{name}: {head:?}");
        for _ in 0..3 {
            let next = rig.get("app.test", "/good").await;
            assert_eq!((status(&next), body(&next)), (200, "good"), "{name}");
        }
    }
}
