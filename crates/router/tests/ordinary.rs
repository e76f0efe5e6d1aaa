//! The two ways of HTTP/1.1 through the router, side by side: what an ordinary request becomes must not tell which of them
//! it went, and a connection that goes over from one to the other loses nothing.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rig::*;
use ropewalk_router::Limits;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Makes the connection on which it comes first go the other way for good; answered like any other.
const ODD: &str = "GET /odd HTTP/1.1\r\nHost: app.test\r\nOdd_Name: 1\r\n\r\n";
const PLAIN: &str = "GET /plain HTTP/1.1\r\nHost: app.test\r\n\r\n";

/// What a dyno is to say, and what it saw.
#[derive(Default)]
struct Stage {
    reply: Vec<u8>,
    closes: bool,
    seen: Vec<String>,
}

/// A dyno that answers the way to a case in the usual way, and the case as the stage says.
async fn actor(stage: Arc<Mutex<Stage>>) -> std::net::SocketAddr {
    raw_dyno(move |stream| {
        let stage = Arc::clone(&stage);
        async move {
            stream.set_nodelay(true).unwrap();
            let mut stream = BufReader::new(stream);
            while let Some(head) = read_head(&mut stream).await {
                let length =
                    header(&head, "content-length").map_or(0, |text| text.parse().unwrap());
                let mut body = vec![0; length];
                if stream.read_exact(&mut body).await.is_err() {
                    return;
                }
                let is_on_the_way =
                    head.starts_with("GET /odd ") || head.starts_with("GET /plain ");
                let (reply, closes) = if is_on_the_way {
                    (
                        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n.".to_vec(),
                        false,
                    )
                } else {
                    let mut stage = stage.lock().unwrap();
                    let body = String::from_utf8_lossy(&body).into_owned();
                    stage.seen.push(head + &body);
                    (stage.reply.clone(), stage.closes)
                };
                if stream.write_all(&reply).await.is_err() || closes {
                    return;
                }
            }
        }
    })
    .await
}

/// What the dyno got and the client got when a request comes behind `first` on a connection.
async fn one_way(
    addr: std::net::SocketAddr,
    stage: &Mutex<Stage>,
    first: &str,
    request: &str,
) -> (String, String) {
    let mut client = TcpStream::connect(addr).await.unwrap();
    client.write_all(first.as_bytes()).await.unwrap();
    let way = read_until(&mut client, "\r\n\r\n.").await;
    assert_eq!(status(&way), 200);
    client.write_all(request.as_bytes()).await.unwrap();
    let answer = read_all(&mut client).await;
    let mut stage = stage.lock().unwrap();
    let seen = stage.seen.join("----\n");
    stage.seen.clear();
    (steady(&seen), unchunked(&steady(&answer)))
}

/// Without what differs from request to request.
fn steady(text: &str) -> String {
    text.split_inclusive("\r\n")
        .map(|line| match line.split_once(": ") {
            // Of the router's own making; an id of the client's is longer in these tests, or shorter.
            Some((name, value))
                if ["x-request-start", "date"]
                    .iter()
                    .any(|time| name.eq_ignore_ascii_case(time))
                    || (name.eq_ignore_ascii_case("x-request-id") && value.len() == 38) =>
            {
                format!("{name}: some\r\n")
            }
            _ => match line.split_once("· request ") {
                // In a page.
                Some((before, id)) => format!("{before}· request {}", &id[36..]),
                None => line.to_owned(),
            },
        })
        .collect()
}

/// With the chunks of its body joined: how they are cut is nobody's affair.
fn unchunked(answer: &str) -> String {
    let Some((head, mut rest)) = answer.split_once("\r\n\r\n") else {
        return answer.to_owned();
    };
    if header(answer, "transfer-encoding").is_none() {
        return answer.to_owned();
    }
    let mut joined = format!("{head}\r\n\r\n");
    while let Some((size, more)) = rest.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size, 16) else {
            break;
        };
        if size == 0 {
            joined.push_str("<end>");
            rest = more;
            break;
        }
        joined.push_str(&more[..size]);
        rest = more[size..].strip_prefix("\r\n").unwrap();
    }
    joined + rest
}

struct Both {
    rig: Rig,
    stage: Arc<Mutex<Stage>>,
}

impl Both {
    async fn new() -> Both {
        let stage = Arc::<Mutex<Stage>>::default();
        let dyno = actor(Arc::clone(&stage)).await;
        let rig = Rig::fixed(table(1, app(&[dyno])), Limits::default()).await;
        Both { rig, stage }
    }

    /// Both ways' ends; they must be the same.
    async fn compare(&self, request: &str, reply: &str, closes: bool) -> (String, String) {
        {
            let mut stage = self.stage.lock().unwrap();
            stage.reply = reply.as_bytes().to_vec();
            stage.closes = closes;
        }
        let plain = one_way(self.rig.addr, &self.stage, PLAIN, request).await;
        let odd = one_way(self.rig.addr, &self.stage, ODD, request).await;
        assert_eq!(plain, odd, "request {request:?}, reply {reply:?}");
        plain
    }
}

#[tokio::test]
async fn a_table_of_requests_goes_either_way() {
    let both = Both::new().await;
    let reply = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    for request in [
        "GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n",
        "get /a?b=c%20d&e=%FF HTTP/1.1\r\nHOST: APP.test:80\r\nconnection: Close\r\n\r\n",
        "BREW //x//y HTTP/1.1\r\nhost:   app.test.  \r\nConnection:close\r\n\r\n",
        "HEAD / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\nX-Empty:\r\nx-tab: a\tb\r\n\r\n",
        "GET / HTTP/1.1\r\nX-Request-Id: 0123456789012345678901234567890123456789\r\nHost: app.test\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nx-request-id: short\r\nHost: app.test\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nvia: 1.0 a\r\nHost: app.test\r\nVIA: 1.1 b\r\nx-forwarded-FOR: 1.2.3.4\r\nA: 1\r\na: 2\r\nX-Forwarded-For: 5.6.7.8,9.9.9.9\r\nX-Forwarded-Proto: https\r\nx-forwarded-port: 1\r\nX-Request-Start: 7\r\nA: 3\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: app.test\r\nTE: trailers\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nProxy-Authorization: y\r\nCookie: a=b\r\nCookie: c=d\r\nConnection: close\r\n\r\n",
        "POST /p HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
        "POST /p HTTP/1.1\r\nHost: app.test\r\ncontent-length: 0\r\nConnection: close\r\n\r\n",
        "POST /p HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n",
        "DELETE /p HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx",
        "\r\nOPTIONS /p HTTP/1.1\nHost: app.test\nAccept: */*\nConnection: close\n\n",
        "GET /\u{fc} HTTP/1.1\r\nHost: app.test\r\nX: \u{fc}\r\nConnection: close\r\n\r\n",
        // Not ordinary: the same way, and the same answer.
        "GET / HTTP/1.1\r\nHost: app.test\r\nHost: app.test\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: nobody.test\r\nConnection: close\r\n\r\n",
        "GET http://app.test/abs HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: app.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: app.test\r\nContent_Length: 3\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close, x-secret\r\nX-Secret: 1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: +5\r\nConnection: close\r\n\r\nhello",
        "GET / HTTP/1.1\r\nHost : app.test\r\n\r\n",
    ] {
        both.compare(request, reply, false).await;
    }
}

#[tokio::test]
async fn a_table_of_answers_comes_either_way() {
    let both = Both::new().await;
    for method in ["GET", "HEAD", "POST"] {
        let request = format!("{method} / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n");
        for (reply, closes) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false),
            (
                "HTTP/1.1 200 OK\r\nCONTENT-length: 0\r\nX: y\r\n\r\n",
                false,
            ),
            (
                "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
                false,
            ),
            ("HTTP/1.1 204 No Content\r\nTrailer: x\r\n\r\n", false),
            (
                "HTTP/1.1 304 Not Modified\r\nContent-Length: 12\r\nETag: x\r\n\r\n",
                false,
            ),
            (
                "HTTP/1.1 299 Strange Words\r\nContent-Length: 1\r\n\r\nx",
                false,
            ),
            ("HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\nx", false),
            ("HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", false),
            (
                "HTTP/1.1 500 Oops\r\nServer: a\r\nContent-Length: 1\r\nserver: b\r\n\r\nx",
                false,
            ),
            (
                "HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nX-A: 1\r\nset-cookie: b\r\nVia: 1.1 x\r\nDATE: never\r\nContent-Length: 1\r\n\r\nx",
                false,
            ),
            (
                "HTTP/1.1 200 OK\r\nConnection: X-Hop, close\r\nx-hop: 1\r\nKeep-Alive: 1\r\nUpgrade: h9\r\nContent-Length: 1\r\n\r\nx",
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\nConnection: Content-Length\r\nContent-Length: 5\r\n\r\nhello",
                false,
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-ENCODING: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
                false,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\na\r\n0\r\nX: y\r\n\r\n",
                false,
            ),
            (
                "HTTP/1.1 200 OK\r\nTrailer: Sum\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nSum: 5\r\n\r\n",
                false,
            ),
            ("HTTP/1.1 200 OK\r\nX: until the end\r\n\r\nall of it", true),
            ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", true),
            ("HTTP/1.0 200 OK\r\n\r\nold", true),
            (
                "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
                false,
            ),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
                false,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
                false,
            ),
            ("HTTP/1.1 200 OK\nContent-Length: 1\nX-Empty:\n\nx", false),
            // Bad ones.
            ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nx", true),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
                true,
            ),
            (
                "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                true,
            ),
            ("nonsense\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\nContent-Le", true),
            ("", true),
        ] {
            // To HEAD the other way gives no answer at all where the length is there twice.
            if method == "HEAD" && reply.matches("Content-Length").count() == 2 {
                continue;
            }
            both.compare(&request, reply, closes).await;
        }
    }
}

fn cased(name: &'static str) -> impl Strategy<Value = String> {
    proptest::collection::vec(any::<bool>(), name.len()).prop_map(move |upper| {
        let letters = name.chars().zip(upper);
        letters
            .map(|(char, upper)| {
                if upper {
                    char.to_ascii_uppercase()
                } else {
                    char
                }
            })
            .collect()
    })
}

fn some_headers(names: &'static [&'static str]) -> impl Strategy<Value = String> {
    let name = proptest::sample::select(names).prop_flat_map(cased);
    let line = (name, "[ -~]{0,12}").prop_map(|(name, value)| format!("{name}: {value}\r\n"));
    proptest::collection::vec(line, 0..8).prop_map(|lines| lines.concat())
}

fn requests() -> impl Strategy<Value = String> {
    let method = proptest::sample::select(&["GET", "HEAD", "POST", "PUT", "OPTIONS", "PURGE"][..]);
    let names = &[
        "accept",
        "via",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-request-id",
        "x-request-start",
        "te",
        "keep-alive",
        "cookie",
        "x-a",
        "x-b",
        "proxy-authorization",
        "x-forwarded-port",
        "host-x",
        "user-agent",
    ][..];
    let body = proptest::option::of("[a-z]{0,30}");
    (method, "/[a-z0-9/?&=%._~-]{0,20}", some_headers(names), body).prop_map(
        |(method, target, headers, body)| {
            let length = body.as_ref().map(|body| format!("Content-Length: {}\r\n", body.len()));
            format!(
                "{method} {target} HTTP/1.1\r\nHost: app.test\r\n{headers}{}Connection: close\r\n\r\n{}",
                length.unwrap_or_default(),
                body.unwrap_or_default()
            )
        },
    )
}

fn replies() -> impl Strategy<Value = (String, bool)> {
    let names = &[
        "via",
        "date",
        "server",
        "set-cookie",
        "x-a",
        "x-b",
        "keep-alive",
        "connection",
        "alt-svc",
        "upgrade",
        "grpc-status",
        "vary",
    ][..];
    let status = proptest::sample::select(
        &[
            "200 OK",
            "201 Created",
            "204 x",
            "304 y",
            "404 Not Found",
            "503 z",
        ][..],
    );
    (status, some_headers(names), "[a-z]{0,30}", 0..3u8).prop_map(|(status, headers, body, kind)| {
        let is_bare = status.starts_with("204") || status.starts_with("304");
        match kind {
            0 if !is_bare => (
                format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()),
                false,
            ),
            1 if !is_bare && !body.is_empty() => (
                format!("HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n{headers}\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len()),
                false,
            ),
            _ if is_bare => (format!("HTTP/1.1 {status}\r\n{headers}\r\n"), false),
            _ => (format!("HTTP/1.1 {status}\r\n{headers}\r\n{body}"), true),
        }
    })
}

#[test]
fn whatever_is_ordinary_goes_either_way() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let both = runtime.block_on(Both::new());
    let config = Config {
        failure_persistence: None,
        ..Config::with_cases(300)
    };
    let cases = (requests(), replies());
    TestRunner::new(config)
        .run(&cases, |(request, (reply, closes))| {
            // A dyno's body behind the answer to HEAD would be the beginning of the next.
            let is_head = request.starts_with("HEAD");
            let reply = match reply.split_once("\r\n\r\n") {
                Some((head, _)) if is_head => format!("{head}\r\n\r\n"),
                _ => reply,
            };
            runtime.block_on(both.compare(&request, &reply, closes));
            Ok(())
        })
        .unwrap();
    runtime.block_on(both.rig.shut_down());
}

#[tokio::test]
async fn a_pipeline_goes_over_in_its_middle() {
    let both = Both::new().await;
    both.stage.lock().unwrap().reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec();
    let mut client = TcpStream::connect(both.rig.addr).await.unwrap();
    let all = [
        "GET /1 HTTP/1.1\r\nHost: app.test\r\n\r\n",
        "POST /2 HTTP/1.1\r\nHost: app.test\r\nContent-Length: 3\r\n\r\nabc",
        "POST /3 HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ndef\r\n0\r\n\r\n",
        "GET /4 HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n",
    ]
    .concat();
    client.write_all(all.as_bytes()).await.unwrap();
    // The dyno of these tests reads no chunks: what it makes of the third does not matter, only that it comes as it is.
    let answer = read_all(&mut client).await;
    assert!(answer.matches("HTTP/1.1 200 OK").count() >= 3, "{answer}");
    let seen = both.stage.lock().unwrap().seen.clone();
    assert!(
        seen[0].starts_with("GET /1 ") && seen[1].starts_with("POST /2 "),
        "{seen:?}"
    );
    assert!(seen[1].ends_with("\r\n\r\nabc"), "{seen:?}");
    assert!(seen[2].starts_with("POST /3 "), "{seen:?}");
}

#[tokio::test]
async fn a_head_in_single_bytes_is_a_head() {
    let dyno = Dyno::hello("slowly").await;
    let rig = Rig::fixed(table(1, app(&[dyno.addr])), Limits::default()).await;
    let mut client = TcpStream::connect(rig.addr).await.unwrap();
    client.set_nodelay(true).unwrap();
    for head in [
        "GET /1 HTTP/1.1\r\nHost: app.test\r\nX-A: b\r\n\r\n",
        "GET /2 HTTP/1.1\r\nHost: app.test\r\nOdd_Name: 1\r\nConnection: close\r\n\r\n",
    ] {
        for byte in head.bytes() {
            client.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let end = "\r\n\r\nslowly";
        let answer = read_until(&mut client, end).await;
        assert_eq!(status(&answer), 200);
    }
    assert_eq!(dyno.count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_larger_than_any_buffer_pass_whole() {
    const SIZE: usize = 3 << 20;
    let dyno = raw_dyno(|stream| async move {
        let mut stream = BufReader::new(stream);
        while let Some(head) = read_head(&mut stream).await {
            let length = header(&head, "content-length").unwrap().parse().unwrap();
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.unwrap();
            let reply = match head.starts_with("POST /chunked") {
                false => format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"),
                true => {
                    format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n")
                }
            };
            stream.write_all(reply.as_bytes()).await.unwrap();
            stream.write_all(&body).await.unwrap();
            if head.starts_with("POST /chunked") {
                stream.write_all(b"\r\n0\r\n\r\n").await.unwrap();
            }
        }
    })
    .await;
    let rig = Rig::fixed(table(1, app(&[dyno])), Limits::default()).await;
    let sent: String = (0..SIZE)
        .map(|at| char::from(b'a' + (at % 23) as u8))
        .collect();
    for path in ["/counted", "/chunked", "/counted"] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: app.test\r\nContent-Length: {SIZE}\r\nConnection: close\r\n\r\n"
        );
        let answer = rig.send(&(head + &sent)).await;
        let got = unchunked(&answer);
        let got = body(&got).trim_end_matches("<end>\r\n");
        assert_eq!(got.len(), SIZE);
        assert!(got == sent);
    }
    let line = rig.log.with("path=\"/chunked\"").await;
    assert!(
        line.contains(&format!("status=200 bytes={SIZE} ")),
        "{line}"
    );
}

#[tokio::test]
async fn an_early_answer_comes_before_the_upload_ends() {
    let dyno = raw_dyno(|stream| async move {
        let mut stream = BufReader::new(stream);
        read_head(&mut stream).await;
        let reply = b"HTTP/1.1 413 Too Much\r\nContent-Length: 4\r\n\r\nstop";
        stream.write_all(reply).await.unwrap();
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await;
    let rig = Rig::fixed(table(1, app(&[dyno])), Limits::default()).await;
    let mut client = TcpStream::connect(rig.addr).await.unwrap();
    let head = "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 100000\r\n\r\nbegin";
    client.write_all(head.as_bytes()).await.unwrap();
    let answer = read_until(&mut client, "stop").await;
    assert_eq!(status(&answer), 413);
    let line = rig.log.with("status=413").await;
    assert!(line.starts_with("at=info"), "{line}");
}

#[tokio::test]
async fn a_client_that_leaves_is_seen_in_every_phase() {
    let dyno = raw_dyno(|stream| async move {
        let mut stream = BufReader::new(stream);
        let head = read_head(&mut stream).await.unwrap();
        if head.starts_with("GET /body") {
            let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
            stream.write_all(reply).await.unwrap();
        }
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await;
    let rig = Rig::fixed(table(1, app(&[dyno])), Limits::default()).await;
    for (request, wait) in [
        ("GET /head HTTP/1.1\r\nHost: app.test\r\n\r\n", None),
        ("GET /body HTTP/1.1\r\nHost: app.test\r\n\r\n", Some("half")),
        (
            "POST /upload HTTP/1.1\r\nHost: app.test\r\nContent-Length: 9\r\n\r\nhalf",
            None,
        ),
    ] {
        let mut client = TcpStream::connect(rig.addr).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        match wait {
            Some(wait) => drop(read_until(&mut client, wait).await),
            None => {
                until("a request in flight", || {
                    (rig.counters.snapshot().in_flight == 1).then_some(())
                })
                .await;
            }
        }
        drop(client);
        let path = request.split(' ').nth(1).unwrap();
        let line = rig.log.with(&format!("path=\"{path}\"")).await;
        assert!(line.contains("code=H27"), "{line}");
    }
    assert_eq!(rig.counters.snapshot().in_flight, 0);
}

#[tokio::test]
async fn a_dyno_that_closes_idle_connections_costs_no_request() {
    let reply = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned();
    // It closes as the next request is on its way.
    let dyno = Dyno::start(reply, Some(Duration::ZERO)).await;
    let rig = Rig::fixed(table(1, app(&[dyno.addr])), Limits::default()).await;
    let mut client = TcpStream::connect(rig.addr).await.unwrap();
    for _ in 0..300 {
        let request = "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n";
        client.write_all(request.as_bytes()).await.unwrap();
        let answer = read_until(&mut client, "ok").await;
        assert_eq!(status(&answer), 200, "{answer}");
    }
    assert_eq!(rig.counters.snapshot().in_flight, 0);
}

#[tokio::test]
async fn what_breaks_its_chunks_is_cut_off() {
    let dyno = raw_dyno(|stream| async move {
        let mut stream = BufReader::new(stream);
        read_head(&mut stream).await;
        let reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nxyz\r\n";
        stream.write_all(reply).await.unwrap();
        let mut rest = String::new();
        let _ = stream.read_line(&mut rest).await;
    })
    .await;
    let rig = Rig::fixed(table(1, app(&[dyno])), Limits::default()).await;
    let answer = rig.get("app.test", "/").await;
    assert!(!answer.contains("0\r\n\r\n"), "{answer}");
    rig.log.with("code=H18").await;
}

/// A dyno that says one thing again and again until nobody listens.
async fn endless(first: &'static str, again: &'static str) -> std::net::SocketAddr {
    raw_dyno(move |stream| async move {
        let mut stream = BufReader::new(stream);
        read_head(&mut stream).await;
        stream.write_all(first.as_bytes()).await.unwrap();
        let again = again.repeat(1000);
        while stream.write_all(again.as_bytes()).await.is_ok() {}
    })
    .await
}

#[tokio::test]
async fn an_answer_that_never_begins_is_given_up() {
    for (first, again) in [
        ("HTTP/1.1 200 OK\r\nX: ", "a"),
        ("", "HTTP/1.1 100 Continue\r\n\r\n"),
        ("", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
    ] {
        let dyno = endless(first, again).await;
        let rig = Rig::fixed(table(1, app(&[dyno])), Limits::default()).await;
        let answer = rig.get("app.test", "/").await;
        assert_eq!(status(&answer), 502, "{again:?}: {answer}");
        rig.log.with("code=H25").await;
    }
}
