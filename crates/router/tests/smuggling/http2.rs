//! What a client can say by HTTP/2 and no library would let through.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Fate::{self, Either, Passed, Refused};
use crate::rig::DEADLINE;
use crate::{judge, strict_rig};

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
