//! Bodies, tunnels and protocols: nothing is buffered, everything passes both ways.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rig::*;
use ropewalk_api_types::router::{Table, Target};
use ropewalk_router::{Limits, Listeners, Source, TlsFiles};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixListener};
use tokio::sync::Semaphore;
use tokio_rustls::client::TlsStream;

/// A dyno that sends one chunk, waits for the gate, and sends the last.
async fn in_two_chunks(gate: Arc<Semaphore>) -> SocketAddr {
    raw_dyno(move |stream| {
        let gate = gate.clone();
        async move {
            let mut stream = BufReader::new(stream);
            read_head(&mut stream).await;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
                .await
                .unwrap();
            let _permit = gate.acquire().await.unwrap();
            stream.write_all(b"4\r\nlast\r\n0\r\n\r\n").await.unwrap();
            read_head(&mut stream).await;
        }
    })
    .await
}

#[tokio::test]
async fn the_first_chunk_arrives_before_the_last_is_sent() {
    let gate = Arc::new(Semaphore::new(0));
    let dyno = in_two_chunks(gate.clone()).await;
    let rig = Rig::fixed(table(1, app(&[dyno])), Limits::default()).await;
    let mut client = TcpStream::connect(rig.addr).await.unwrap();
    client
        .write_all(get("app.test", "/").as_bytes())
        .await
        .unwrap();
    let start = read_until(&mut client, "first\r\n").await;
    assert_eq!(header(&start, "transfer-encoding"), Some("chunked"));
    gate.add_permits(1);
    let rest = read_all(&mut client).await;
    assert!(rest.contains("last"), "{rest}");
    assert!(rest.ends_with("0\r\n\r\n"), "{rest}");
    let line = rig.log.with("at=info").await;
    assert!(line.contains("status=200 bytes=9 "), "{line}");
}

#[tokio::test]
async fn an_old_client_gets_a_stream_until_the_close() {
    let gate = Arc::new(Semaphore::new(1));
    let dyno = in_two_chunks(gate).await;
    let rig = Rig::fixed(table(1, app(&[dyno])), Limits::default()).await;
    let answer = rig.send("GET / HTTP/1.0\r\nHost: app.test\r\n\r\n").await;
    assert_eq!(body(&answer), "firstlast", "{answer}");
}

#[tokio::test]
async fn a_stream_that_its_reader_leaves_is_no_error() {
    let dyno = in_two_chunks(Arc::new(Semaphore::new(0))).await;
    let rig = Rig::fixed(table(1, app(&[dyno])), Limits::default()).await;
    let mut client = TcpStream::connect(rig.addr).await.unwrap();
    client
        .write_all(get("app.test", "/").as_bytes())
        .await
        .unwrap();
    read_until(&mut client, "first").await;
    drop(client);
    let line = rig.log.with("status=200").await;
    assert!(line.starts_with("at=info method=GET"), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_streams_and_a_slow_dyno_slows_the_client() {
    const SIZE: usize = 64 << 20;
    let gate = Arc::new(Semaphore::new(0));
    let opened = gate.clone();
    let dyno = raw_dyno(move |stream| {
        let gate = opened.clone();
        async move {
            let mut stream = BufReader::new(stream);
            let head = read_head(&mut stream).await.unwrap();
            assert_eq!(
                header(&head, "content-length"),
                Some(SIZE.to_string().as_str())
            );
            let _permit = gate.acquire().await.unwrap();
            let mut left = SIZE;
            let mut sum = 0u64;
            let mut chunk = vec![0; 65536];
            while left > 0 {
                let count = stream.read(&mut chunk).await.unwrap();
                assert!(count > 0);
                sum += chunk[..count]
                    .iter()
                    .map(|byte| u64::from(*byte))
                    .sum::<u64>();
                left -= count;
            }
            let text = sum.to_string();
            let reply = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}",
                text.len()
            );
            stream.write_all(reply.as_bytes()).await.unwrap();
        }
    })
    .await;
    let rig = Rig::fixed(table(1, app(&[dyno])), Limits::default()).await;
    let mut client = TcpStream::connect(rig.addr).await.unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: {SIZE}\r\nConnection: close\r\n\r\n"
    );
    client.write_all(head.as_bytes()).await.unwrap();
    let chunk = vec![7; 65536];
    let mut sent = 0;
    // The dyno reads nothing yet: the pipe must fill up, far from the whole.
    while let Ok(count) =
        tokio::time::timeout(Duration::from_millis(300), client.write(&chunk)).await
    {
        sent += count.unwrap();
        assert!(sent < SIZE / 2, "the router swallowed {sent} bytes");
    }
    gate.add_permits(1);
    while sent < SIZE {
        let end = chunk.len().min(SIZE - sent);
        sent += client.write(&chunk[..end]).await.unwrap();
    }
    let answer = read_all(&mut client).await;
    assert_eq!(body(&answer), (SIZE * 7).to_string());
}

#[tokio::test]
async fn a_client_that_reads_nothing_gives_its_place_back() {
    let dyno = raw_dyno(|mut stream| async move {
        let mut head = BufReader::new(&mut stream);
        read_head(&mut head).await;
        let size = 64 << 20;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
        let _ = stream.write_all(head.as_bytes()).await;
        let _ = stream.write_all(&vec![b'x'; size]).await;
    })
    .await;
    let limits = Limits {
        idle: Duration::from_millis(200),
        ..Limits::default()
    };
    let rig = Rig::fixed(table(1, app(&[dyno])), limits).await;
    let mut client = TcpStream::connect(rig.addr).await.unwrap();
    client
        .write_all(get("app.test", "/").as_bytes())
        .await
        .unwrap();
    rig.log.with("code=H27").await;
    assert_eq!(rig.counters.snapshot().in_flight, 0);
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_a_stream_gives_its_place_back() {
    let limits = Limits {
        idle: Duration::from_millis(200),
        ..Limits::default()
    };
    let whole = Dyno::hello("never taken").await;
    let endless = in_two_chunks(Arc::new(Semaphore::new(0))).await;
    for dyno in [whole.addr, endless] {
        let rig = Rig::fixed(table(1, app(&[dyno])), limits.clone()).await;
        let stream = TcpStream::connect(rig.addr).await.unwrap();
        let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(0)
            .handshake(TokioIo::new(stream))
            .await
            .unwrap();
        let driver = tokio::spawn(connection);
        let request = http::Request::get("http://app.test/")
            .body(Empty::<Bytes>::new())
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), 200);
        rig.log.with("code=H27").await;
        assert_eq!(rig.counters.snapshot().in_flight, 0);
        assert!(response.into_body().collect().await.is_err());
        // Only that stream is lost.
        assert!(sender.is_ready());
        driver.abort();
    }
}

#[tokio::test]
async fn a_client_that_is_silent_after_the_tls_handshake_is_let_go() {
    let limits = Limits {
        header: Duration::from_millis(100),
        ..Limits::default()
    };
    let rig = with_tls(table(1, app(&[])), limits);
    for alpn in [&b"h2"[..], b"http/1.1"] {
        let stream = TcpStream::connect(rig.addr).await.unwrap();
        let mut stream = handshake(stream, alpn).await;
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest))
            .await
            .unwrap();
    }
}

/// A dyno that takes one request with a chunked body "abc".
async fn takes_chunks() -> SocketAddr {
    raw_dyno(|stream| async move {
        let mut stream = BufReader::new(stream);
        let head = read_head(&mut stream).await.unwrap();
        assert_eq!(header(&head, "transfer-encoding"), Some("chunked"));
        assert_eq!(header(&head, "content-length"), None);
        let mut all = Vec::new();
        while !all.ends_with(b"0\r\n\r\n") {
            all.push(stream.read_u8().await.unwrap());
        }
        assert_eq!(String::from_utf8(all).unwrap(), "3\r\nabc\r\n0\r\n\r\n");
        stream
            .write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
            .await
            .unwrap();
    })
    .await
}

#[tokio::test]
async fn an_upload_of_unknown_length_arrives_chunked_whatever_its_method() {
    for method in ["GET", "HEAD", "DELETE", "POST"] {
        let rig = Rig::fixed(table(1, app(&[takes_chunks().await])), Limits::default()).await;
        let answer = rig
            .send(&format!(
                "{method} / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\
                 Connection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
            ))
            .await;
        assert_eq!(status(&answer), 201, "{method}");

        let stream = TcpStream::connect(rig.addr).await.unwrap();
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
        let driver = tokio::spawn(connection);
        let abc = Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"abc")));
        let request = http::Request::builder()
            .method(method)
            .uri("http://app.test/")
            .body(StreamBody::new(futures_util::stream::iter([abc])))
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), 201, "{method} over HTTP/2");
        driver.abort();
    }
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_continue() {
    let dyno = Dyno::hello("thanks").await;
    let rig = Rig::fixed(table(1, app(&[dyno.addr])), Limits::default()).await;
    let mut client = TcpStream::connect(rig.addr).await.unwrap();
    client
        .write_all(
            b"POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 4\r\n\
              Expect: 100-continue\r\nConnection: close\r\n\r\n",
        )
        .await
        .unwrap();
    let go = read_until(&mut client, "\r\n\r\n").await;
    assert!(go.starts_with("HTTP/1.1 100 Continue"), "{go}");
    client.write_all(b"body").await.unwrap();
    assert_eq!(body(&read_all(&mut client).await), "thanks");
    assert_eq!(header(&dyno.last_head(), "expect"), None);
}

/// A dyno that accepts a WebSocket and echoes what comes.
async fn echo() -> SocketAddr {
    raw_dyno(|stream| async move {
        let mut stream = BufReader::new(stream);
        let head = read_head(&mut stream).await.unwrap();
        assert_eq!(header(&head, "connection"), Some("upgrade"));
        assert_eq!(header(&head, "upgrade"), Some("websocket"));
        assert_eq!(header(&head, "sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
        stream
            .write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                  Upgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhi!",
            )
            .await
            .unwrap();
        let mut bytes = [0; 4096];
        loop {
            let count = stream.read(&mut bytes).await.unwrap();
            if count == 0 {
                return;
            }
            stream.write_all(&bytes[..count]).await.unwrap();
        }
    })
    .await
}

const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nHost: app.test\r\nConnection: keep-alive, Upgrade\r\n\
                         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[tokio::test]
async fn a_websocket_is_a_tunnel() {
    let rig = Rig::fixed(table(1, app(&[echo().await])), Limits::default()).await;
    let mut client = TcpStream::connect(rig.addr).await.unwrap();
    client.write_all(HANDSHAKE.as_bytes()).await.unwrap();
    let answer = read_until(&mut client, "hi!").await;
    assert_eq!(status(&answer), 101);
    assert_eq!(header(&answer, "upgrade"), Some("websocket"));
    assert_eq!(header(&answer, "connection"), Some("upgrade"));
    assert_eq!(
        header(&answer, "sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    // Any bytes, not only well-formed frames.
    for round in 0..100 {
        let message = format!("\u{0}message {round};");
        client.write_all(message.as_bytes()).await.unwrap();
        assert_eq!(read_until(&mut client, ";").await, message);
    }
    assert_eq!(rig.counters.snapshot().in_flight, 1);
    client.shutdown().await.unwrap();
    assert_eq!(read_all(&mut client).await, "");
    let line = rig.log.with("status=101").await;
    assert!(
        line.starts_with("at=info method=GET path=\"/ws\""),
        "{line}"
    );
}

#[tokio::test]
async fn a_websocket_over_tls() {
    let rig = with_tls(table(1, app(&[echo().await])), Limits::default());
    let stream = TcpStream::connect(rig.addr).await.unwrap();
    let mut client = handshake(stream, b"http/1.1").await;
    client.write_all(HANDSHAKE.as_bytes()).await.unwrap();
    let mut client = BufReader::new(client);
    let head = read_head(&mut client).await.unwrap();
    assert_eq!(status(&head), 101);
    client.write_all(b"over TLS").await.unwrap();
    let mut echoed = vec![0; b"hi!over TLS".len()];
    tokio::time::timeout(DEADLINE, client.read_exact(&mut echoed))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(echoed, b"hi!over TLS");
    client.shutdown().await.unwrap();
    rig.log.with("status=101").await;
}

#[tokio::test]
async fn a_silent_tunnel_is_closed() {
    let limits = Limits {
        idle: Duration::from_millis(100),
        ..Limits::default()
    };
    let rig = Rig::fixed(table(1, app(&[echo().await])), limits).await;
    let mut client = TcpStream::connect(rig.addr).await.unwrap();
    client.write_all(HANDSHAKE.as_bytes()).await.unwrap();
    let answer = read_all(&mut client).await;
    assert_eq!(body(&answer), "hi!");
    rig.log.with("code=H15").await;
}

#[tokio::test]
async fn a_refused_upgrade_is_an_ordinary_answer() {
    let dyno = Dyno::hello("no sockets here").await;
    let rig = Rig::fixed(table(1, app(&[dyno.addr])), Limits::default()).await;
    let mut client = TcpStream::connect(rig.addr).await.unwrap();
    client.write_all(HANDSHAKE.as_bytes()).await.unwrap();
    let answer = read_until(&mut client, "no sockets here").await;
    assert_eq!(status(&answer), 200);
}

fn platform(socket: &Path) -> Table {
    let target = Target::Platform {
        socket: socket.to_str().unwrap().to_owned(),
    };
    let mut table = table(1, app(&[]));
    table.hosts = BTreeMap::from([("git.test".to_owned(), target)]);
    table
}

#[tokio::test]
async fn the_platforms_hosts_go_to_its_socket_without_limits_of_time() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("platform.sock");
    let limits = Limits {
        first_byte: Duration::from_millis(20),
        idle: Duration::from_millis(20),
        ..Limits::default()
    };
    let rig = Rig::fixed(platform(&socket), limits).await;
    let mut client = TcpStream::connect(rig.addr).await.unwrap();
    client
        .write_all(
            b"POST /app.git HTTP/1.1\r\nHost: git.test:3000\r\nContent-Length: 4\r\n\
              Connection: close\r\n\r\npack",
        )
        .await
        .unwrap();
    // The server starts only now: the request waits for it.
    let listener = UnixListener::bind(&socket).unwrap();
    let (stream, _) = tokio::time::timeout(DEADLINE, listener.accept())
        .await
        .unwrap()
        .unwrap();
    let mut stream = BufReader::new(stream);
    let head = read_head(&mut stream).await.unwrap();
    assert_eq!(header(&head, "host"), Some("git.test:3000"));
    assert_eq!(header(&head, "x-forwarded-for"), Some("127.0.0.1"));
    assert!(header(&head, "x-request-id").is_some());
    // A build, in silence and then in pieces, each far apart for these limits.
    for part in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "6\r\nbuilt \r\n",
        "3\r\nit!\r\n",
    ] {
        tokio::time::sleep(Duration::from_millis(100)).await;
        stream.write_all(part.as_bytes()).await.unwrap();
    }
    read_until(&mut client, "it!").await;
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    read_all(&mut client).await;
    assert_eq!(rig.counters.snapshot().classes[2], 1);
    assert!(
        rig.log.lines().is_empty(),
        "platform requests leave no dyno log line"
    );
}

#[tokio::test]
async fn a_client_of_the_platform_may_leave_its_socket_full() {
    const SIZE: usize = 64 << 20;
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("platform.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let limits = Limits {
        idle: Duration::from_millis(50),
        ..Limits::default()
    };
    let rig = Rig::fixed(platform(&socket), limits).await;
    let mut client = TcpStream::connect(rig.addr).await.unwrap();
    client
        .write_all(get("git.test", "/").as_bytes())
        .await
        .unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let mut stream = BufReader::new(stream);
    read_head(&mut stream).await.unwrap();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = vec![b'x'; 65536];
    let mut sent = 0;
    // Full for much longer than these limits allow an app's client.
    while let Ok(count) =
        tokio::time::timeout(Duration::from_millis(300), stream.write(&chunk)).await
    {
        sent += count.unwrap();
    }
    let server = tokio::spawn(async move {
        stream.write_all(&vec![b'x'; SIZE - sent]).await.unwrap();
        stream
    });
    let answer = read_all(&mut client).await;
    assert_eq!(body(&answer).len(), SIZE);
    server.await.unwrap();
}

#[tokio::test]
async fn a_server_that_stays_away_is_told_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits {
        connect: Duration::from_millis(120),
        ..Limits::default()
    };
    let rig = Rig::fixed(platform(&dir.path().join("none.sock")), limits).await;
    let answer = rig
        .send("GET / HTTP/1.1\r\nHost: git.test\r\nAccept: application/json\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(status(&answer), 503);
    assert!(body(&answer).contains("platform_unavailable"), "{answer}");
}

#[tokio::test]
async fn a_page_for_head_over_http2_is_its_head_alone() {
    let rig = Rig::fixed(table(1, app(&[dead().await])), Limits::default()).await;
    for host in ["app.test", "other.test", "bad@host"] {
        let stream = TcpStream::connect(rig.addr).await.unwrap();
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let request = http::Request::builder()
            .method("HEAD")
            .uri(format!("http://{host}/"))
            .body(Empty::<Bytes>::new())
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert!(response.status().as_u16() >= 400);
        let length: usize = response.headers()["content-length"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!(length > 0);
        // A body here would be an error of the protocol.
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(body.is_empty());
    }
}

#[tokio::test]
async fn http2_without_tls() {
    let dyno = Dyno::hello("over h2").await;
    let rig = Rig::fixed(table(1, app(&[dyno.addr])), Limits::default()).await;
    let stream = TcpStream::connect(rig.addr).await.unwrap();
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    let driver = tokio::spawn(connection);
    let request = http::Request::post("http://app.test/h2")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .body(Full::new(Bytes::from_static(b"body")))
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "over h2");
    let head = dyno.last_head();
    assert!(head.starts_with("POST /h2 HTTP/1.1\r\n"), "{head}");
    assert_eq!(header(&head, "host"), Some("app.test"));
    assert_eq!(header(&head, "cookie"), Some("a=1; b=2"));
    drop(sender);
    driver.await.unwrap().unwrap();
}

fn certificate() -> TlsFiles {
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    TlsFiles {
        cert: fixtures.join("localhost.pem"),
        key: fixtures.join("localhost.key"),
    }
}

/// A router whose clients speak TLS.
fn with_tls(table: Table, limits: Limits) -> Rig {
    let listeners = Listeners::bind(&[], &[ANY]).unwrap();
    let addr = listeners.tls[0].local_addr().unwrap();
    let log = Log::default();
    let source = Source::Fixed {
        table,
        log: Some(Box::new(log.clone())),
    };
    Rig::run(source, limits, log, listeners, Some(certificate()), addr)
}

/// A client's side of TLS, with the protocol it offers.
async fn handshake(stream: TcpStream, alpn: &[u8]) -> TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(certificate().cert).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("app.test").unwrap();
    let stream = connector.connect(name, stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(alpn));
    stream
}

#[tokio::test]
async fn tls_with_http2_and_http1() {
    let dyno = Dyno::hello("safe").await;
    let rig = with_tls(table(1, app(&[dyno.addr])), Limits::default());
    for alpn in [&b"h2"[..], b"http/1.1"] {
        let stream = TcpStream::connect(rig.addr).await.unwrap();
        let mut stream = handshake(stream, alpn).await;
        if alpn == b"h2" {
            let (mut sender, connection) =
                http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                    .await
                    .unwrap();
            let driver = tokio::spawn(connection);
            let request = http::Request::get("https://app.test/")
                .body(Empty::<Bytes>::new())
                .unwrap();
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.status(), 200);
            drop((response, sender));
            let _ = driver.await.unwrap();
        } else {
            stream
                .write_all(get("app.test", "/").as_bytes())
                .await
                .unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert_eq!(body(&answer), "safe");
        }
        let head = dyno.last_head();
        assert_eq!(header(&head, "x-forwarded-proto"), Some("https"));
    }
    rig.log.with("status=200 bytes=4 protocol=https").await;
}

/// Starts a stop and waits until nobody is accepted any more.
async fn stopping(rig: &mut Rig) {
    drop(rig.stop.take());
    let addr = rig.addr;
    until("a closed port", || {
        std::net::TcpStream::connect(addr).is_err().then_some(())
    })
    .await;
}

/// A connection that the router has accepted.
async fn accepted(rig: &Rig) -> TcpStream {
    let before = rig.counters.snapshot().connections;
    let stream = TcpStream::connect(rig.addr).await.unwrap();
    until("an accepted connection", || {
        (rig.counters.snapshot().connections > before).then_some(())
    })
    .await;
    stream
}

#[tokio::test]
async fn a_stop_answers_the_first_request_of_who_was_just_accepted() {
    let dyno = Dyno::hello("made it").await;
    let mut rig = Rig::fixed(table(1, app(&[dyno.addr])), Limits::default()).await;
    let mut silent = accepted(&rig).await;
    let mut half = accepted(&rig).await;
    half.write_all(b"GET / HT").await.unwrap();
    let http2 = accepted(&rig).await;
    stopping(&mut rig).await;
    let request = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n";
    silent.write_all(request).await.unwrap();
    half.write_all(&request[b"GET / HT".len()..]).await.unwrap();
    for client in [&mut silent, &mut half] {
        let answer = read_all(client).await;
        assert_eq!(header(&answer, "connection"), Some("close"), "{answer}");
        assert_eq!(body(&answer), "made it");
    }
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(http2))
        .await
        .unwrap();
    let driver = tokio::spawn(connection);
    let request = http::Request::get("http://app.test/")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "made it");
    driver.await.unwrap().unwrap();
    rig.shut_down().await;
}

#[tokio::test]
async fn a_stop_answers_the_first_request_also_over_tls() {
    let dyno = Dyno::hello("made it").await;
    let mut rig = with_tls(table(1, app(&[dyno.addr])), Limits::default());
    let greeting = accepted(&rig).await;
    let greeted = handshake(accepted(&rig).await, b"http/1.1").await;
    stopping(&mut rig).await;
    let greeting = handshake(greeting, b"http/1.1").await;
    for mut client in [greeting, greeted] {
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(header(&answer, "connection"), Some("close"), "{answer}");
        assert_eq!(body(&answer), "made it");
    }
    rig.shut_down().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_long_for_who_says_nothing() {
    let mut rig = Rig::fixed(table(1, app(&[])), Limits::default()).await;
    let _silent = accepted(&rig).await;
    stopping(&mut rig).await;
    let begun = std::time::Instant::now();
    rig.shut_down().await;
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_client_that_only_takes_back_what_it_asks_is_let_go() {
    // Never answers.
    let dyno = raw_dyno(|mut stream| async move {
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await;
    let rig = Rig::fixed(table(1, app(&[dyno])), Limits::default()).await;
    let stream = TcpStream::connect(rig.addr).await.unwrap();
    let (requests, connection) = h2::client::handshake(stream).await.unwrap();
    let driver = tokio::spawn(connection);
    let mut asked = 0;
    while let Ok(mut requests) = requests.clone().ready().await {
        let request = http::Request::get("http://app.test/").body(()).unwrap();
        let Ok((_, mut stream)) = requests.send_request(request, true) else {
            break;
        };
        asked += 1;
        // Taken back only when it was taken: what is not, HTTP/2 itself bounds.
        let taken = || (rig.counters.snapshot().requests == asked).then_some(());
        until("a request in flight", || match driver.is_finished() {
            true => Some(()),
            false => taken(),
        })
        .await;
        stream.send_reset(h2::Reason::CANCEL);
        assert!(asked < 1_000, "still there");
    }
    assert!(asked >= 500, "{asked}");
    let _ = tokio::time::timeout(DEADLINE, driver).await.unwrap();
    until("nothing in flight", || {
        (rig.counters.snapshot().in_flight == 0).then_some(())
    })
    .await;
}
