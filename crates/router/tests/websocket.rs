//! WebSockets of clients that speak HTTP/2: an extended CONNECT reaches the dyno as an HTTP/1.1 upgrade.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use http::{Method, Request, Response};
use rig::*;
use ropewalk_router::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// A client whose connection ends with it.
struct Client {
    requests: SendRequest<Bytes>,
    driver: tokio::task::JoinHandle<()>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Client {
    /// `window`: bytes that it takes before it is asked again.
    async fn connect(rig: &Rig, window: u32) -> Client {
        let stream = TcpStream::connect(rig.addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (requests, connection) = h2::client::Builder::new()
            .initial_window_size(window)
            .initial_connection_window_size(window)
            .handshake::<_, Bytes>(stream)
            .await
            .unwrap();
        let driver = tokio::spawn(async move {
            let _ = connection.await;
        });
        let client = Client { requests, driver };
        let offered = || client.requests.is_extended_connect_protocol_enabled();
        until("the offer of extended CONNECT", || offered().then_some(())).await;
        client
    }

    fn send(&self, request: Request<()>) -> (ResponseFuture, SendStream<Bytes>) {
        self.requests.clone().send_request(request, false).unwrap()
    }

    /// The two halves of a WebSocket.
    async fn open(&self) -> (SendStream<Bytes>, RecvStream) {
        let (response, up) = self.send(connect(Some("websocket")));
        let response = response.await.unwrap();
        assert_eq!(response.status(), 200);
        (up, response.into_body())
    }
}

fn connect(protocol: Option<&'static str>) -> Request<()> {
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri("http://app.test/ws?room=1")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "chat")
        .header("cookie", "a=1")
        .header("cookie", "b=2");
    match protocol {
        Some(protocol) => {
            request = request.extension(Protocol::from_static(protocol));
        }
        None => request = request.uri("app.test:443"),
    }
    request.body(()).unwrap()
}

async fn text(response: Response<RecvStream>) -> String {
    let mut body = response.into_body();
    let mut all = Vec::new();
    while let Some(piece) = body.data().await {
        all.extend_from_slice(&piece.unwrap());
    }
    String::from_utf8(all).unwrap()
}

async fn piece(down: &mut RecvStream) -> Option<Result<Bytes, h2::Error>> {
    loop {
        let piece = tokio::time::timeout(DEADLINE, down.data()).await.unwrap();
        match &piece {
            // The end comes in a frame of its own.
            Some(Ok(piece)) if piece.is_empty() => continue,
            Some(Ok(piece)) => down.flow_control().release_capacity(piece.len()).unwrap(),
            _ => {}
        }
        return piece;
    }
}

/// Takes the handshake, checks it and accepts it; the connection from there on.
async fn accept(stream: TcpStream) -> BufReader<TcpStream> {
    let mut stream = BufReader::new(stream);
    let head = read_head(&mut stream).await.unwrap();
    assert!(head.starts_with("GET /ws?room=1 HTTP/1.1\r\n"), "{head}");
    for (name, value) in [
        ("host", "app.test"),
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "chat"),
        ("cookie", "a=1; b=2"),
        ("x-forwarded-for", "127.0.0.1"),
    ] {
        assert_eq!(header(&head, name), Some(value), "{head}");
    }
    let key = header(&head, "sec-websocket-key").unwrap();
    assert_eq!(STANDARD.decode(key).unwrap().len(), 16);
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let accept = STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()));
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Accept: {accept}\r\n\r\nhi!"
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
    stream
}

/// A dyno that says hi, echoes what comes, and ends when its client does.
async fn echo() -> SocketAddr {
    raw_dyno(|stream| async move {
        let mut stream = accept(stream).await;
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut bytes).await {
            stream.write_all(&bytes[..count]).await.unwrap();
        }
    })
    .await
}

#[tokio::test]
async fn it_is_an_upgrade_for_the_dyno_and_a_stream_for_the_client() {
    let rig = Rig::fixed(table(1, app(&[echo().await])), Limits::default()).await;
    let client = Client::connect(&rig, 65_535).await;
    let (response, mut up) = client.send(connect(Some("websocket")));
    // What the client says before it is answered is not lost.
    up.send_data("early".into(), false).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    let headers = response.headers();
    assert_eq!(headers["sec-websocket-protocol"], "chat");
    for gone in ["sec-websocket-accept", "upgrade", "connection"] {
        assert!(!headers.contains_key(gone), "{headers:?}");
    }
    let mut down = response.into_body();
    let mut seen = Vec::new();
    while seen.len() < "hi!early".len() {
        seen.extend_from_slice(&piece(&mut down).await.unwrap().unwrap());
    }
    assert_eq!(seen, b"hi!early");
    for round in 0..50 {
        let message = format!("\u{0}message {round}");
        up.send_data(message.clone().into(), false).unwrap();
        assert_eq!(piece(&mut down).await.unwrap().unwrap(), message);
    }
    assert_eq!(rig.counters.snapshot().in_flight, 1);
    up.send_data(Bytes::new(), true).unwrap();
    assert!(piece(&mut down).await.is_none());
    let line = rig.log.with("status=101").await;
    assert!(
        line.starts_with("at=info method=GET path=\"/ws?room=1\" host=app.test"),
        "{line}"
    );
    assert!(line.contains(" dyno=web.1 "), "{line}");
    assert_eq!(rig.counters.snapshot().in_flight, 0);
}

#[tokio::test]
async fn many_on_one_connection() {
    let rig = Rig::fixed(table(1, app(&[echo().await])), Limits::default()).await;
    let client = Client::connect(&rig, 65_535).await;
    let mut all = Vec::new();
    for number in 0..20 {
        let (up, mut down) = client.open().await;
        assert_eq!(piece(&mut down).await.unwrap().unwrap(), "hi!");
        all.push((number, up, down));
    }
    for (number, up, down) in &mut all {
        let message = format!("to {number}");
        up.send_data(message.clone().into(), false).unwrap();
        assert_eq!(piece(down).await.unwrap().unwrap(), message);
    }
    assert_eq!(rig.counters.snapshot().connections, 1);
    assert_eq!(rig.counters.snapshot().in_flight, 20);
}

#[tokio::test]
async fn a_client_that_takes_nothing_holds_the_dyno_back_and_loses_nothing() {
    const SIZE: u64 = 16 << 20;
    let sent = Arc::new(AtomicU64::new(0));
    let counted = sent.clone();
    let dyno = raw_dyno(move |stream| {
        let sent = counted.clone();
        async move {
            let mut stream = accept(stream).await;
            let chunk = vec![b'x'; 65536];
            while sent.load(SeqCst) < SIZE {
                stream.write_all(&chunk).await.unwrap();
                sent.fetch_add(65536, SeqCst);
            }
            stream.shutdown().await.unwrap();
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    })
    .await;
    let rig = Rig::fixed(table(1, app(&[dyno])), Limits::default()).await;
    let client = Client::connect(&rig, 512 * 1024).await;
    let (_up, mut down) = client.open().await;
    // Until the pipe is full: nothing has moved for a while.
    let mut before = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = sent.load(SeqCst);
        if now == before {
            break;
        }
        before = now;
    }
    assert!(before < SIZE / 2, "the router swallowed {before} bytes");
    let mut taken = 0;
    while let Some(piece) = piece(&mut down).await {
        taken += piece.unwrap().len() as u64;
    }
    assert_eq!(taken, SIZE + 3);
}

/// A dyno that accepts and reports how its client's side ended.
async fn listener() -> (SocketAddr, mpsc::UnboundedReceiver<()>) {
    let (send, ended) = mpsc::unbounded_channel();
    let dyno = raw_dyno(move |stream| {
        let send = send.clone();
        async move {
            let mut stream = accept(stream).await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
            // Gone, and not only its sending half.
            while stream.write_all(b"still there?").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let _ = send.send(());
        }
    })
    .await;
    (dyno, ended)
}

#[tokio::test]
async fn a_reset_of_the_client_ends_it_for_the_dyno() {
    for reason in [Reason::CANCEL, Reason::INTERNAL_ERROR] {
        let (dyno, mut ended) = listener().await;
        let rig = Rig::fixed(table(1, app(&[dyno])), Limits::default()).await;
        let client = Client::connect(&rig, 65_535).await;
        let (mut up, mut down) = client.open().await;
        assert_eq!(piece(&mut down).await.unwrap().unwrap(), "hi!");
        up.send_reset(reason);
        tokio::time::timeout(DEADLINE, ended.recv()).await.unwrap();
        rig.log.with("status=101").await;
        assert_eq!(rig.counters.snapshot().in_flight, 0);
    }
}

#[tokio::test]
async fn a_client_that_goes_away_ends_it_for_the_dyno() {
    let (dyno, mut ended) = listener().await;
    let rig = Rig::fixed(table(1, app(&[dyno])), Limits::default()).await;
    let client = Client::connect(&rig, 65_535).await;
    let halves = client.open().await;
    drop(client);
    tokio::time::timeout(DEADLINE, ended.recv()).await.unwrap();
    drop(halves);
}

#[tokio::test]
async fn a_reset_of_the_dyno_resets_the_stream() {
    let dyno = raw_dyno(|stream| async move {
        let stream = accept(stream).await;
        stream.get_ref().set_zero_linger().unwrap();
    })
    .await;
    let rig = Rig::fixed(table(1, app(&[dyno])), Limits::default()).await;
    let client = Client::connect(&rig, 65_535).await;
    let (_up, mut down) = client.open().await;
    let error = loop {
        match piece(&mut down).await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => panic!("a clean end"),
        }
    };
    assert_eq!(error.reason(), Some(Reason::CANCEL), "{error}");
    rig.log.with("status=101").await;
}

#[tokio::test]
async fn silence_resets_the_stream() {
    let limits = Limits {
        idle: Duration::from_millis(400),
        ..Limits::default()
    };
    let rig = Rig::fixed(table(1, app(&[echo().await])), limits).await;
    let client = Client::connect(&rig, 65_535).await;
    let (_up, mut down) = client.open().await;
    assert_eq!(piece(&mut down).await.unwrap().unwrap(), "hi!");
    let error = piece(&mut down).await.unwrap().unwrap_err();
    assert_eq!(error.reason(), Some(Reason::CANCEL), "{error}");
    rig.log.with("code=H15").await;
    assert_eq!(rig.counters.snapshot().in_flight, 0);
}

#[tokio::test]
async fn what_is_no_websocket_is_never_answered_as_one() {
    for (answer, cause) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "no websocket here",
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
            "bad websocket handshake",
        ),
    ] {
        let dyno = Dyno::start(answer.to_owned(), None).await;
        let rig = Rig::fixed(table(1, app(&[dyno.addr])), Limits::default()).await;
        let client = Client::connect(&rig, 65_535).await;
        let (response, _up) = client.send(connect(Some("websocket")));
        assert_eq!(response.await.unwrap().status(), 502);
        let line = rig.log.with("code=H17").await;
        assert!(line.contains(&format!("cause=\"{cause}\"")), "{line}");
    }
}

#[tokio::test]
async fn a_dyno_may_refuse_in_its_own_words() {
    let answer = "HTTP/1.1 403 Forbidden\r\nContent-Length: 7\r\n\r\nnot you";
    let dyno = Dyno::start(answer.to_owned(), None).await;
    let rig = Rig::fixed(table(1, app(&[dyno.addr])), Limits::default()).await;
    let client = Client::connect(&rig, 65_535).await;
    let (response, _up) = client.send(connect(Some("websocket")));
    let response = response.await.unwrap();
    assert_eq!(response.status(), 403);
    assert_eq!(text(response).await, "not you");
}

#[tokio::test]
async fn other_tunnels_are_refused() {
    let dyno = Dyno::hello("never asked").await;
    let rig = Rig::fixed(table(1, app(&[dyno.addr])), Limits::default()).await;
    let client = Client::connect(&rig, 65_535).await;
    for (protocol, status, cause) in [
        (Some("connect-udp"), 501, "unsupported protocol"),
        (None, 405, "unsupported method"),
    ] {
        let (response, _up) = client.send(connect(protocol));
        assert_eq!(response.await.unwrap().status(), status);
        let line = rig.log.with(&format!("status={status}")).await;
        assert!(line.contains("code=H26"), "{line}");
        assert!(line.contains(&format!("cause=\"{cause}\"")), "{line}");
    }
    assert_eq!(dyno.count(), 0);
}

#[tokio::test]
async fn a_stop_waits_for_its_end() {
    let mut rig = Rig::fixed(table(1, app(&[echo().await])), Limits::default()).await;
    let client = Client::connect(&rig, 65_535).await;
    let (mut up, mut down) = client.open().await;
    assert_eq!(piece(&mut down).await.unwrap().unwrap(), "hi!");
    drop(rig.stop.take());
    let addr = rig.addr;
    until("a closed port", || {
        std::net::TcpStream::connect(addr).is_err().then_some(())
    })
    .await;
    up.send_data("still here".into(), false).unwrap();
    assert_eq!(piece(&mut down).await.unwrap().unwrap(), "still here");
    up.send_data(Bytes::new(), true).unwrap();
    assert!(piece(&mut down).await.is_none());
    rig.shut_down().await;
}
