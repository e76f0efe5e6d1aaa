//! What Heroku's own router does with a request and its answer, case by case, in the groups of its open core: seen from
//! both ends of a router, over plain sockets.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::sync::{Arc, Mutex};

use rig::*;
use ropewalk_router::Limits;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// One request, one answer.
struct Case {
    name: &'static str,
    /// What the client sends behind `METHOD / HTTP/x`, without the host.
    request: &'static str,
    /// What the dyno says, in the pieces in which it writes it.
    reply: &'static [&'static str],
    /// The dyno closes behind it.
    closes: bool,
    /// Parts of what the dyno gets; those that begin with `!` must be missing.
    dyno: &'static [&'static str],
    /// The same of what the client gets.
    client: &'static [&'static str],
}

const USUAL: Case = Case {
    name: "",
    request: "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
    reply: &["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"],
    closes: false,
    dyno: &["GET / HTTP/1.1\r\n"],
    client: &["HTTP/1.1 200 OK\r\n", "\r\n\r\nok"],
};

const GET: &str = "GET / HTTP/1.1\r\nConnection: close\r\n\r\n";
const HEAD: &str = "HEAD / HTTP/1.1\r\nConnection: close\r\n\r\n";

/// Gives each case a router and a dyno of its own, and tells all that went wrong.
async fn hold(cases: &[Case]) {
    let mut wrong = Vec::new();
    for case in cases {
        let (dyno, client) = round(case).await;
        for (end, text, parts) in [("dyno", &dyno, case.dyno), ("client", &client, case.client)] {
            for part in parts {
                let held = match part.strip_prefix('!') {
                    Some(part) => !text.contains(part),
                    None => text.contains(part),
                };
                if !held {
                    wrong.push(format!("{}: {end}: {part:?} in {text:?}", case.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What the dyno got, and what the client got.
async fn round(case: &Case) -> (String, String) {
    let (reply, closes) = (case.reply, case.closes);
    let seen = Arc::new(Mutex::new(String::new()));
    let note = Arc::clone(&seen);
    let dyno = raw_dyno(move |stream| {
        let note = Arc::clone(&note);
        async move {
            stream.set_nodelay(true).unwrap();
            let mut stream = BufReader::new(stream);
            let Some(head) = read_head(&mut stream).await else {
                return;
            };
            let body = read_body(&mut stream, &head).await;
            note.lock().unwrap().push_str(&(head + &body));
            for piece in reply {
                let _ = stream.write_all(piece.as_bytes()).await;
                // As far as it can: what comes in one read or in two must not matter.
                tokio::task::yield_now().await;
            }
            if !closes {
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            }
        }
    })
    .await;
    let rig = Rig::fixed(table(1, app(&[dyno])), Limits::default()).await;
    let (line, rest) = case.request.split_once("\r\n").unwrap();
    let answer = rig
        .send(&format!("{line}\r\nHost: app.test\r\n{rest}"))
        .await;
    let seen = seen.lock().unwrap().clone();
    (seen, answer)
}

/// A request's body as it came; what is there of it when the connection ends.
async fn read_body(stream: &mut BufReader<TcpStream>, head: &str) -> String {
    let mut body = String::new();
    if let Some(length) = header(head, "content-length") {
        let length = length.parse::<u64>().unwrap();
        let _ = stream.take(length).read_to_string(&mut body).await;
    } else if header(head, "transfer-encoding").is_some() {
        while !body.ends_with("\r\n0\r\n\r\n") && !body.starts_with("0\r\n\r\n") {
            match stream.read_line(&mut body).await {
                Ok(0) | Err(_) => break,
                Ok(_) if body.contains("\r\n0\r\n") && body.ends_with("\r\n\r\n") => break,
                Ok(_) => {}
            }
        }
    }
    body
}

#[tokio::test]
async fn continuing() {
    hold(&[
        Case {
            name: "a client that expects and does not wait",
            request: "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody",
            dyno: &["\r\n\r\nbody", "!xpect"],
            ..USUAL
        },
        Case {
            name: "another expectation",
            request: "POST / HTTP/1.1\r\nExpect: 200-ok\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody",
            dyno: &["!POST"],
            client: &["HTTP/1.1 417 ", "!100 Continue"],
            ..USUAL
        },
        Case {
            name: "an expectation that is none",
            request: "POST / HTTP/1.1\r\nExpect: ?,\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody",
            dyno: &["!POST"],
            client: &["HTTP/1.1 417 "],
            ..USUAL
        },
        Case {
            name: "a dyno that says continue unasked",
            reply: &[
                "HTTP/1.1 100 Continue\r\n\r\n",
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            ],
            ..USUAL
        },
        Case {
            name: "the same to an old client",
            request: "GET / HTTP/1.0\r\n\r\n",
            reply: &[
                "HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\n",
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            ],
            client: &["200 OK\r\n", "\r\n\r\nok", "!100 Continue"],
            ..USUAL
        },
        Case {
            name: "more than one interim answer",
            reply: &[
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n",
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            ],
            ..USUAL
        },
    ])
    .await;
}

#[tokio::test]
async fn upgrades() {
    // With what the client sends behind its head, which it may not have to send before it is answered.
    for (line, rest, body) in [
        ("GET", "", ""),
        ("HEAD", "", ""),
        ("POST", "Content-Length: 4\r\n", "body"),
        (
            "POST",
            "Expect: 100-continue\r\nContent-Length: 4\r\n",
            "body",
        ),
        ("GET", "Expect: 100-continue\r\n", ""),
    ] {
        let dyno = raw_dyno(move |stream| async move {
            let mut stream = BufReader::new(stream);
            let head = read_head(&mut stream).await.unwrap();
            read_body(&mut stream, &head).await;
            let reply =
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\n";
            stream.write_all(reply).await.unwrap();
            let mut ping = [0; 4];
            stream.read_exact(&mut ping).await.unwrap();
            assert_eq!(&ping, b"ping");
            stream.write_all(b"pong").await.unwrap();
        })
        .await;
        let rig = Rig::fixed(table(1, app(&[dyno])), Limits::default()).await;
        let mut client = TcpStream::connect(rig.addr).await.unwrap();
        let head = format!(
            "{line} / HTTP/1.1\r\nHost: app.test\r\nConnection: upgrade\r\nUpgrade: raw\r\n{rest}\r\n{body}"
        );
        client.write_all(head.as_bytes()).await.unwrap();
        let answer = read_until(&mut client, "pgrade: raw\r\n").await;
        assert!(answer.contains("HTTP/1.1 101 "), "{line} {rest}: {answer}");
        client.write_all(b"ping").await.unwrap();
        assert!(
            read_all(&mut client).await.ends_with("pong"),
            "{line} {rest}"
        );
    }
}

#[tokio::test]
async fn headers() {
    hold(&[
        Case {
            name: "two lengths of a request",
            request: "POST / HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 5\r\nConnection: close\r\n\r\nbody",
            dyno: &["!POST"],
            client: &["HTTP/1.1 400 "],
            ..USUAL
        },
        Case {
            name: "a list of two lengths",
            request: "POST / HTTP/1.1\r\nContent-Length: 4,5\r\nConnection: close\r\n\r\nbody",
            dyno: &["!POST"],
            client: &["HTTP/1.1 400 "],
            ..USUAL
        },
        Case {
            name: "one length twice",
            request: "POST / HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody",
            dyno: &["Content-Length: 4\r\n", "!4\r\nContent-Length", "\r\n\r\nbody"],
            ..USUAL
        },
        Case {
            name: "two lengths of an answer",
            reply: &["HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"],
            client: &["HTTP/1.1 503 "],
            ..USUAL
        },
        Case {
            name: "one length of an answer twice",
            reply: &["HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"],
            client: &["HTTP/1.1 200 OK\r\n", "!2\r\nContent-Length", "\r\n\r\nok"],
            ..USUAL
        },
        Case {
            name: "hop by hop",
            request: "GET / HTTP/1.1\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\nProxy-Authorization: a\r\nTE: trailers\r\nX-Kept: 2\r\n\r\n",
            reply: &[
                "HTTP/1.1 200 OK\r\nConnection: X-Own\r\nX-Own: 1\r\nKeep-Alive: 5\r\nProxy-Authenticate: b\r\nContent-Length: 2\r\n\r\nok",
            ],
            dyno: &["!X-Mine", "!Proxy-Auth", "!TE:", "!onnection:", "X-Kept: 2\r\n"],
            client: &["!X-Own", "!Keep-Alive", "!Proxy-Auth", "\r\n\r\nok"],
            ..USUAL
        },
        Case {
            name: "a chain of proxies",
            request: "GET / HTTP/1.1\r\nVia: 1.0 first, 1.1 second\r\nConnection: close\r\n\r\n",
            reply: &["HTTP/1.1 200 OK\r\nVia: 1.1 cache\r\nContent-Length: 2\r\n\r\nok"],
            dyno: &["Via: 1.0 first, 1.1 second\r\nVia: 1.1 ropewalk\r\n"],
            client: &["Via: 1.1 cache\r\nVia: 1.1 ropewalk\r\n"],
            ..USUAL
        },
        Case {
            name: "no proxy before",
            dyno: &["Via: 1.1 ropewalk\r\n"],
            client: &["Via: 1.1 ropewalk\r\n"],
            ..USUAL
        },
        Case {
            name: "a status that is no number",
            reply: &["HTTP/1.1 2x0 OK\r\nContent-Length: 2\r\n\r\nok"],
            client: &["HTTP/1.1 503 "],
            ..USUAL
        },
        Case {
            name: "a status of their own",
            reply: &["HTTP/1.1 499 Their Own\r\nContent-Length: 2\r\n\r\nok"],
            client: &["HTTP/1.1 499 Their Own\r\n"],
            ..USUAL
        },
    ])
    .await;
}

#[tokio::test]
async fn what_a_dyno_may_say_at_most() {
    let size = 70 * 1024;
    let long = "x".repeat(size);
    let heads = [
        format!("HTTP/1.1 200 OK\r\nSet-Cookie: {long}\r\nContent-Length: 2\r\n\r\nok"),
        format!("HTTP/1.1 200 OK\r\nX-Long: {long}\r\nContent-Length: 2\r\n\r\nok"),
        format!("HTTP/1.1 200 {long}\r\nContent-Length: 2\r\n\r\nok"),
    ];
    for head in heads {
        let dyno = Dyno::start(head, None).await;
        let rig = Rig::fixed(table(1, app(&[dyno.addr])), Limits::default()).await;
        let answer = rig.get("app.test", "/").await;
        assert!(!answer.contains("xxx"), "{}", &answer[..200]);
        assert!(status(&answer) >= 502, "{answer}");
        rig.log.with("code=H25").await;
    }
}

#[tokio::test]
async fn old_clients() {
    hold(&[
        Case {
            name: "the dyno is asked by 1.1",
            request: "GET / HTTP/1.0\r\n\r\n",
            dyno: &["GET / HTTP/1.1\r\n", "!onnection:"],
            // Closed: `read_all` ended.
            client: &["200 OK\r\n", "\r\n\r\nok"],
            ..USUAL
        },
        Case {
            name: "chunks become an answer until the close",
            request: "GET / HTTP/1.0\r\n\r\n",
            reply: &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n2\r\nay\r\n0\r\n\r\n"],
            client: &["200 OK\r\n", "!chunked", "\r\n\r\nokay"],
            ..USUAL
        },
        Case {
            name: "an old dyno",
            reply: &["HTTP/1.0 200 OK\r\n\r\nok"],
            closes: true,
            client: &["200 OK\r\n", "ok"],
            ..USUAL
        },
    ])
    .await;
}

#[tokio::test]
async fn an_old_client_may_keep_its_connection() {
    let dyno = Dyno::hello("ok").await;
    let rig = Rig::fixed(table(1, app(&[dyno.addr])), Limits::default()).await;
    let mut client = TcpStream::connect(rig.addr).await.unwrap();
    for _ in 0..2 {
        let request = b"GET / HTTP/1.0\r\nHost: app.test\r\nConnection: keep-alive\r\n\r\n";
        client.write_all(request).await.unwrap();
        let answer = read_until(&mut client, "\r\n\r\nok").await;
        let kept = header(&answer, "connection").unwrap();
        assert_eq!(kept.to_ascii_lowercase(), "keep-alive");
    }
}

#[tokio::test]
async fn chunks() {
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    hold(&[
        Case {
            name: "both ways",
            request: "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
            reply: &[CHUNKED, "2\r\nok\r\n0\r\n\r\n"],
            dyno: &["ransfer-Encoding: chunked\r\n", "\r\n\r\n4\r\nbody\r\n0\r\n\r\n"],
            client: &["ransfer-Encoding: chunked\r\n", "\r\n\r\n2\r\nok\r\n0\r\n\r\n"],
            ..USUAL
        },
        Case {
            name: "cut in the line ends",
            reply: &[CHUNKED, "2\r", "\nok\r", "\n0\r", "\n\r", "\n"],
            client: &["\r\n\r\n2\r\nok\r\n0\r\n\r\n"],
            ..USUAL
        },
        Case {
            name: "nothing in it",
            reply: &[CHUNKED, "0\r\n\r\n"],
            client: &["HTTP/1.1 200 OK\r\n", "\r\n\r\n0\r\n\r\n"],
            ..USUAL
        },
        Case {
            name: "the end in pieces",
            reply: &[CHUNKED, "2\r\nok\r\n", "0", "\r\n", "\r\n"],
            client: &["\r\n\r\n2\r\nok\r\n0\r\n\r\n"],
            ..USUAL
        },
        Case {
            name: "many zeros",
            reply: &[CHUNKED, "0002\r\nok\r\n", "0000\r\n\r\n"],
            client: &["\r\n\r\n2\r\nok\r\n0\r\n\r\n"],
            ..USUAL
        },
        Case {
            name: "the dyno breaks off",
            reply: &[CHUNKED, "2\r\nok\r\n5\r\nwh"],
            closes: true,
            client: &["!\r\n0\r\n\r\n"],
            ..USUAL
        },
        Case {
            name: "a chunk of no size",
            reply: &[CHUNKED, "2\r\nok\r\nzz\r\n"],
            client: &["!\r\n0\r\n\r\n", "!zz"],
            ..USUAL
        },
        Case {
            name: "a chunk of no size from the client",
            request: "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\nbody\r\n0\r\n\r\n",
            dyno: &["!body", "!\r\n0\r\n\r\n"],
            client: &["!200 OK"],
            ..USUAL
        },
        Case {
            name: "trailers",
            request: "GET / HTTP/1.1\r\nTE: trailers\r\nConnection: close, TE\r\n\r\n",
            reply: &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n", "2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"],
            client: &["railer: X-Sum\r\n", "2\r\nok\r\n0\r\n", "um: 1\r\n\r\n"],
            ..USUAL
        },
        Case {
            name: "trailers that nobody announced",
            reply: &[CHUNKED, "2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"],
            client: &["2\r\nok\r\n0\r\n", "!um: 1"],
            ..USUAL
        },
        Case {
            name: "trailers that break off",
            reply: &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n", "2\r\nok\r\n0\r\nX-Su"],
            closes: true,
            client: &["!\r\n0\r\n\r\n"],
            ..USUAL
        },
    ])
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_its_chunks_gets_no_answer_and_ends_the_request() {
    let (send, mut ends) = tokio::sync::mpsc::unbounded_channel();
    let dyno = raw_dyno(move |stream| {
        let send = send.clone();
        async move {
            let mut stream = BufReader::new(stream);
            let head = read_head(&mut stream).await.unwrap();
            let _ = send.send(String::new());
            let _ = send.send(read_body(&mut stream, &head).await);
        }
    })
    .await;
    let rig = Rig::fixed(table(1, app(&[dyno])), Limits::default()).await;
    let mut client = TcpStream::connect(rig.addr).await.unwrap();
    let request = b"POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n8\r\nha";
    client.write_all(request).await.unwrap();
    ends.recv().await.unwrap();
    drop(client);
    let body = tokio::time::timeout(DEADLINE, ends.recv()).await.unwrap();
    assert!(!body.unwrap().ends_with("0\r\n\r\n"));
    rig.log.with("code=H27").await;
}

#[tokio::test]
async fn answers_without_a_body() {
    hold(&[
        Case {
            name: "HEAD of something",
            request: HEAD,
            reply: &["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"],
            dyno: &["HEAD / HTTP/1.1\r\n"],
            client: &["Content-Length: 5\r\n"],
            ..USUAL
        },
        Case {
            name: "HEAD of much",
            request: HEAD,
            reply: &["HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n"],
            dyno: &[],
            client: &["Content-Length: 50000000\r\n"],
            ..USUAL
        },
        Case {
            name: "HEAD of nothing",
            request: HEAD,
            reply: &["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"],
            dyno: &[],
            client: &["Content-Length: 0\r\n"],
            ..USUAL
        },
        Case {
            name: "HEAD of chunks",
            request: HEAD,
            reply: &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"],
            dyno: &[],
            client: &["HTTP/1.1 200 OK\r\n", "!\r\n0\r\n"],
            ..USUAL
        },
        Case {
            name: "HEAD until the close",
            request: HEAD,
            reply: &["HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"],
            closes: true,
            dyno: &[],
            client: &["HTTP/1.1 200 OK\r\n"],
        },
        Case {
            name: "HEAD with what should not be there",
            request: HEAD,
            reply: &["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong"],
            dyno: &[],
            client: &["Content-Length: 5\r\n", "!wrong"],
            ..USUAL
        },
        Case {
            name: "204",
            reply: &["HTTP/1.1 204 No Content\r\n\r\n"],
            client: &["HTTP/1.1 204 No Content\r\n", "!ontent-Length"],
            ..USUAL
        },
        Case {
            name: "204 with what should not be there",
            reply: &["HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nwrong"],
            client: &["HTTP/1.1 204 No Content\r\n", "!wrong"],
            ..USUAL
        },
        Case {
            name: "204 in chunks",
            reply: &["HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwrong\r\n0\r\n\r\n"],
            client: &["HTTP/1.1 204 No Content\r\n", "!wrong", "!chunked"],
            ..USUAL
        },
        Case {
            name: "304",
            reply: &["HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n"],
            client: &["HTTP/1.1 304 Not Modified\r\n", "ETag: \"a\"\r\n"],
            ..USUAL
        },
        Case {
            name: "304 with what should not be there",
            reply: &["HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nwrong"],
            client: &["HTTP/1.1 304 Not Modified\r\n", "!wrong"],
            ..USUAL
        },
        Case {
            name: "304 until the close",
            reply: &["HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\nwrong"],
            closes: true,
            client: &["HTTP/1.1 304 Not Modified\r\n", "!wrong"],
            ..USUAL
        },
        Case {
            name: "a coding that nobody knows",
            request: "POST / HTTP/1.1\r\nTransfer-Encoding: guess\r\nConnection: close\r\n\r\nbody",
            dyno: &["!POST"],
            client: &["HTTP/1.1 400 "],
            ..USUAL
        },
    ])
    .await;
}

/// More than all buffers on the way hold.
const MUCH: usize = 3 << 20;

/// Head and, behind it, so many bytes; `framed` as chunks.
async fn much(stream: &mut (impl AsyncWriteExt + Unpin), head: &str, bytes: usize, chunked: bool) {
    let mut text = head.as_bytes().to_vec();
    match chunked {
        true => {
            text.extend_from_slice(format!("{bytes:x}\r\n").as_bytes());
            text.resize(text.len() + bytes, b'x');
            text.extend_from_slice(b"\r\n0\r\n\r\n");
        }
        false => text.resize(text.len() + bytes, b'x'),
    }
    // Who is interrupted cannot write all of it.
    let _ = stream.write_all(&text).await;
}

#[tokio::test]
async fn large_answers() {
    for (head, chunked) in [
        (
            format!("HTTP/1.1 200 OK\r\nContent-Length: {MUCH}\r\n\r\n"),
            false,
        ),
        (
            format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {MUCH}\r\n\r\n"),
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_owned(),
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
            true,
        ),
    ] {
        let reply = head.clone();
        let dyno = raw_dyno(move |mut stream| {
            let reply = reply.clone();
            async move {
                let (mut from, mut to) = stream.split();
                read_head(&mut BufReader::new(&mut from)).await.unwrap();
                much(&mut to, &reply, MUCH, chunked).await;
            }
        })
        .await;
        let rig = Rig::fixed(table(1, app(&[dyno])), Limits::default()).await;
        let answer = rig.get("app.test", "/").await;
        let count = body(&answer).bytes().filter(|byte| *byte == b'x').count();
        assert_eq!(count, MUCH, "{head}");
    }
}

#[tokio::test]
async fn an_answer_before_all_of_the_request_interrupts_it() {
    for (head, chunked) in [
        (
            format!("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: {MUCH}\r\n\r\n"),
            false,
        ),
        (
            "POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
            true,
        ),
    ] {
        for closes in [false, true] {
            let dyno = raw_dyno(move |stream| async move {
                let mut stream = BufReader::new(stream);
                read_head(&mut stream).await.unwrap();
                let reply = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nno!";
                let _ = stream.write_all(reply).await;
                if closes {
                    let _ = stream.shutdown().await;
                }
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            })
            .await;
            let rig = Rig::fixed(table(1, app(&[dyno])), Limits::default()).await;
            let stream = TcpStream::connect(rig.addr).await.unwrap();
            let (mut from, mut to) = stream.into_split();
            let head = head.clone();
            let sending = tokio::spawn(async move {
                much(&mut to, &head, MUCH, chunked).await;
                to
            });
            let mut answer = vec![0; 12];
            let read = from.read_exact(&mut answer);
            tokio::time::timeout(DEADLINE, read).await.unwrap().unwrap();
            assert_eq!(answer, b"HTTP/1.1 413");
            sending.abort();
        }
    }
}

#[tokio::test]
async fn connections_to_dynos() {
    // Whether it is asked again over the same connection.
    for (reply, closes, kept) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            false,
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            true,
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
            false,
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok",
            false,
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            false,
            true,
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n", false, true),
        ("HTTP/1.1 304 Not Modified\r\n\r\n", false, true),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
            false,
            false,
        ),
        (
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
            false,
            true,
        ),
    ] {
        let opened = Arc::new(Mutex::new(0));
        let count = Arc::clone(&opened);
        let dyno = raw_dyno(move |stream| {
            *count.lock().unwrap() += 1;
            async move {
                let mut stream = BufReader::new(stream);
                while read_head(&mut stream).await.is_some() {
                    let _ = stream.write_all(reply.as_bytes()).await;
                    if closes {
                        return;
                    }
                }
            }
        })
        .await;
        let rig = Rig::fixed(table(1, app(&[dyno])), Limits::default()).await;
        for _ in 0..3 {
            let answer = rig.get("app.test", "/").await;
            assert!(status(&answer) < 400, "{reply:?}: {answer}");
        }
        let expected = if kept { 1 } else { 3 };
        assert_eq!(*opened.lock().unwrap(), expected, "{reply:?}");
    }
    hold(&[Case {
        request: GET,
        name: "plain",
        ..USUAL
    }])
    .await;
}
