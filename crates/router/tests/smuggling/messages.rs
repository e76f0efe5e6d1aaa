//! Messages that could be read in two ways, as they are sent, and what becomes of each.
//!
//! Only data and bytes: the tests here send them to a strict reader, `cargo xtask conformance origins` to servers that
//! others wrote. Nothing here opens a connection.

use Fate::{Either, Passed, Refused};

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Answered by the router, its connection closed, no dyno hears of it.
    Refused,
    /// One request reaches the dyno, with this body.
    Passed(&'static str),
    /// Either will do: what counts is that the dyno does not see two.
    Either,
}

/// Each message as it is sent, after a request line and a host, and what becomes of it.
pub(crate) const FRAMINGS: &[(&str, &str, Fate)] = &[
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
pub(crate) const HEADS: &[(&str, &str, Fate)] = &[
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
        "an authority alone",
        "GET app.test:80 HTTP/1.1\r\nHost: app.test\r\n\r\n",
        Refused,
    ),
    (
        "an authority alone, and a method of its own kind",
        "CONNEKT app.test:80 HTTP/1.1\r\nHost: other.test\r\n\r\n",
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

/// Header fields of an HTTP/2 request, and its body.
pub(crate) type Fields = &'static [(&'static str, &'static str)];

const GET: (&str, &str) = (":method", "GET");
const POST: (&str, &str) = (":method", "POST");
const HTTP: (&str, &str) = (":scheme", "http");
const HERE: (&str, &str) = (":authority", "app.test");
const PATH: (&str, &str) = (":path", "/a");

/// What HTTP/2 can say and HTTP/1 cannot, or says in another way (RFC 9113, 8.2.1 and 10.3).
pub(crate) const HTTP2: &[(&str, Fields, &str, Fate)] = &[
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

/// A message of [`FRAMINGS`] whole.
pub(crate) fn framed(rest: &str) -> String {
    format!("POST /a HTTP/1.1\r\nHost: app.test\r\n{rest}")
}

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// All that a client sends who asks once by HTTP/2, its fields as no library would let them through.
pub(crate) fn asked_by_http2(fields: &[(&str, &str)], body: &str) -> Vec<u8> {
    // Literals that are not indexed, without Huffman (RFC 7541, 6.2.2), each shorter than 127 bytes.
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for part in [name, value] {
            block.push(u8::try_from(part.len()).unwrap_or_default());
            block.extend(part.as_bytes());
        }
    }
    let ends = if body.is_empty() { END_STREAM } else { 0 };
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    bytes.extend(frame(HEADERS, END_HEADERS | ends, 1, &block));
    if !body.is_empty() {
        bytes.extend(frame(DATA, END_STREAM, 1, body.as_bytes()));
    }
    bytes
}

/// A frame (RFC 9113, 4.1), of fewer than 65,536 bytes.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap_or_default();
    let mut frame = vec![0];
    frame.extend(length.to_be_bytes());
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}
