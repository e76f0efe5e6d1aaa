//! What a client can say by HTTP/1.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Fate::{self, Either, Passed, Refused};
use crate::rig::read_all;
use crate::strict::Strict;
use crate::{judge, strict_rig};

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
