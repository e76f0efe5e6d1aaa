//! Dynos that speak HTTP/2, and gRPC through them: trailers, streams both ways, resets, one connection for many.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use rig::*;
use ropewalk_api_types::router::{AppRoute, DynoProtocol};
use ropewalk_router::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};

/// The type of a frame that opens a stream (RFC 9113, 6.2).
const HEADERS: u8 = 1;

type Call = (Request<RecvStream>, SendResponse<Bytes>);

/// A dyno that speaks HTTP/2 and nothing else; each request is a task.
struct Dyno2 {
    addr: SocketAddr,
    connections: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Dyno2 {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Dyno2 {
    async fn start<F, Fut>(answer: F) -> Dyno2
    where
        F: Fn(Call) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Dyno2::that_leaves_after(u64::MAX, answer).await
    }

    /// Says goodbye on each connection after so many requests, and answers those.
    async fn that_leaves_after<F, Fut>(requests: u64, answer: F) -> Dyno2
    where
        F: Fn(Call) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(ANY).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicU64::new(0));
        let opened = connections.clone();
        let task = tokio::spawn(async move {
            let mut clients = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                opened.fetch_add(1, SeqCst);
                let answer = answer.clone();
                clients.spawn(async move {
                    let Ok(mut connection) = h2::server::handshake(stream).await else {
                        return;
                    };
                    let mut seen = 0;
                    while let Some(Ok(call)) = connection.accept().await {
                        tokio::spawn(answer(call));
                        seen += 1;
                        if seen == requests {
                            connection.graceful_shutdown();
                        }
                    }
                });
            }
        });
        Dyno2 {
            addr,
            connections,
            task,
        }
    }

    /// Sends each message back, then status 0.
    async fn echo() -> Dyno2 {
        Dyno2::start(|(request, mut respond): Call| async move {
            let mut up = request.into_body();
            let mut down = respond.send_response(head(), false).unwrap();
            while let Some(piece) = piece(&mut up).await {
                let Ok(piece) = piece else { return };
                down.send_data(piece, false).unwrap();
            }
            down.send_trailers(status(0)).unwrap();
        })
        .await
    }

    fn opened(&self) -> u64 {
        self.connections.load(SeqCst)
    }
}

fn head() -> Response<()> {
    Response::builder()
        .header("content-type", "application/grpc")
        .body(())
        .unwrap()
}

fn status(number: u16) -> HeaderMap {
    HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-status"),
        http::HeaderValue::from(number),
    )])
}

fn h2c(dynos: &[SocketAddr]) -> AppRoute {
    AppRoute {
        protocol: DynoProtocol::H2c,
        ..app(dynos)
    }
}

async fn rig_for(dynos: &[&Dyno2], limits: Limits) -> Rig {
    let addrs: Vec<_> = dynos.iter().map(|dyno| dyno.addr).collect();
    Rig::fixed(table(1, h2c(&addrs)), limits).await
}

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
    async fn connect(rig: &Rig) -> Client {
        let stream = TcpStream::connect(rig.addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (requests, connection) = h2::client::handshake(stream).await.unwrap();
        let driver = tokio::spawn(async move {
            let _ = connection.await;
        });
        Client { requests, driver }
    }

    async fn call(&self) -> (ResponseFuture, SendStream<Bytes>) {
        self.send(call("app.test")).await
    }

    async fn send(&self, request: Request<()>) -> (ResponseFuture, SendStream<Bytes>) {
        let mut requests = self.requests.clone().ready().await.unwrap();
        requests.send_request(request, false).unwrap()
    }

    /// A call with one message; the message and the status that came back.
    async fn unary(&self) -> (Bytes, String) {
        self.attempt().await.unwrap()
    }

    /// The same, `None` when the dyno ended before it answered.
    async fn attempt(&self) -> Option<(Bytes, String)> {
        let (response, mut up) = self.call().await;
        up.send_data("message".into(), true).unwrap();
        let mut down = response.await.unwrap().into_body();
        let message = piece(&mut down).await?.ok()?;
        Some((message, end(&mut down).await))
    }
}

fn call(host: &str) -> Request<()> {
    Request::post(format!("http://{host}/pkg.Service/Method"))
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers")
        .header("grpc-timeout", "10S")
        .body(())
        .unwrap()
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

/// The status in the trailers.
async fn end(down: &mut RecvStream) -> String {
    let trailers = down.trailers().await.unwrap().unwrap();
    trailers["grpc-status"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_call_with_trailers_both_ways() {
    let (seen, mut heads) = mpsc::unbounded_channel();
    let dyno = Dyno2::start(move |(request, mut respond): Call| {
        let seen = seen.clone();
        async move {
            let (parts, mut up) = request.into_parts();
            let message = piece(&mut up).await.unwrap().unwrap();
            let trailers = up.trailers().await.unwrap().unwrap();
            seen.send((parts, message, trailers)).unwrap();
            let mut down = respond.send_response(head(), false).unwrap();
            down.send_data("answer".into(), false).unwrap();
            down.send_trailers(status(0)).unwrap();
        }
    })
    .await;
    let rig = rig_for(&[&dyno], Limits::default()).await;
    let client = Client::connect(&rig).await;
    let (response, mut up) = client.call().await;
    up.send_data("question".into(), false).unwrap();
    up.send_trailers(HeaderMap::from_iter([(
        http::HeaderName::from_static("x-sum"),
        http::HeaderValue::from_static("42"),
    )]))
    .unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/grpc");
    let mut down = response.into_body();
    assert_eq!(piece(&mut down).await.unwrap().unwrap(), "answer");
    assert_eq!(end(&mut down).await, "0");

    let (parts, message, trailers) = heads.recv().await.unwrap();
    assert_eq!(parts.method, "POST");
    assert_eq!(parts.uri, "http://app.test/pkg.Service/Method");
    for (name, value) in [
        ("te", "trailers"),
        ("content-type", "application/grpc+proto"),
        ("grpc-timeout", "10S"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
    ] {
        assert_eq!(parts.headers[name], value, "{name}");
    }
    for gone in ["host", "transfer-encoding", "connection"] {
        assert!(!parts.headers.contains_key(gone), "{gone}");
    }
    assert_eq!(message, "question");
    assert_eq!(trailers["x-sum"], "42");
    let line = rig.log.with("status=200").await;
    assert!(
        line.starts_with("at=info method=POST path=\"/pkg.Service/Method\" host=app.test"),
        "{line}"
    );
    assert!(line.contains("status=200 bytes=6 "), "{line}");
}

#[tokio::test]
async fn both_sides_stream_at_once() {
    let dyno = Dyno2::echo().await;
    let rig = rig_for(&[&dyno], Limits::default()).await;
    let client = Client::connect(&rig).await;
    let (response, mut up) = client.call().await;
    up.send_data("first".into(), false).unwrap();
    let mut down = response.await.unwrap().into_body();
    assert_eq!(piece(&mut down).await.unwrap().unwrap(), "first");
    for round in 0..50 {
        let message = format!("message {round}");
        up.send_data(message.clone().into(), false).unwrap();
        assert_eq!(piece(&mut down).await.unwrap().unwrap(), message);
    }
    up.send_data(Bytes::new(), true).unwrap();
    assert!(piece(&mut down).await.is_none());
    assert_eq!(end(&mut down).await, "0");
}

#[tokio::test]
async fn many_calls_share_a_connection() {
    let dyno = Dyno2::echo().await;
    let rig = rig_for(&[&dyno], Limits::default()).await;
    let clients = [Client::connect(&rig).await, Client::connect(&rig).await];
    let mut open = Vec::new();
    // Each of them stays open; the first come all at once.
    for round in 0..40 {
        open.push(clients[round % 2].call().await);
    }
    for (_, up) in &mut open {
        up.send_data("hello".into(), false).unwrap();
    }
    let mut all = Vec::new();
    for (response, up) in open {
        let mut down = response.await.unwrap().into_body();
        assert_eq!(piece(&mut down).await.unwrap().unwrap(), "hello");
        all.push((up, down));
    }
    assert_eq!(dyno.opened(), 1);
    assert_eq!(rig.counters.snapshot().in_flight, 40);
    for (up, down) in &mut all {
        up.send_data(Bytes::new(), true).unwrap();
        assert!(piece(down).await.is_none());
        assert_eq!(end(down).await, "0");
    }
    until("all of them over", || {
        (rig.counters.snapshot().in_flight == 0).then_some(())
    })
    .await;
    // A second connection when the seats of the first are taken.
    let mut more = Vec::new();
    for round in 0..101 {
        let (response, mut up) = clients[round % 2].call().await;
        up.send_data("hello".into(), false).unwrap();
        let mut down = response.await.unwrap().into_body();
        assert_eq!(piece(&mut down).await.unwrap().unwrap(), "hello");
        more.push((up, down));
    }
    assert_eq!(dyno.opened(), 2);
}

#[tokio::test]
async fn a_cancelled_call_is_cancelled_for_the_dyno_alone() {
    for answered in [false, true] {
        let (send, mut resets) = mpsc::unbounded_channel();
        let here = Arc::new(Semaphore::new(0));
        let came = Arc::clone(&here);
        let dyno = Dyno2::start(move |(request, mut respond): Call| {
            let (send, came) = (send.clone(), Arc::clone(&came));
            async move {
                came.add_permits(1);
                if request.uri().path() == "/other" {
                    respond.send_response(head(), true).unwrap();
                    return;
                }
                let reason = if answered {
                    let mut down = respond.send_response(head(), false).unwrap();
                    std::future::poll_fn(|cx| down.poll_reset(cx)).await
                } else {
                    std::future::poll_fn(|cx| respond.poll_reset(cx)).await
                };
                let _ = send.send(reason.unwrap());
            }
        })
        .await;
        let rig = rig_for(&[&dyno], Limits::default()).await;
        let client = Client::connect(&rig).await;
        let (response, mut up) = client.call().await;
        up.send_data("hello".into(), false).unwrap();
        if answered {
            let _down = response.await.unwrap();
            up.send_reset(Reason::CANCEL);
        } else {
            let came = tokio::time::timeout(DEADLINE, here.acquire()).await;
            came.unwrap().unwrap().forget();
            up.send_reset(Reason::CANCEL);
        }
        let reason = tokio::time::timeout(DEADLINE, resets.recv()).await.unwrap();
        assert_eq!(reason, Some(Reason::CANCEL));
        until("its place", || {
            (rig.counters.snapshot().in_flight == 0).then_some(())
        })
        .await;
        let other = Request::get("http://app.test/other").body(()).unwrap();
        let (response, _up) = client.send(other).await;
        assert_eq!(response.await.unwrap().status(), 200);
        assert_eq!(dyno.opened(), 1, "the others' connection stays");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_cancelled_in_the_middle_do_the_others_no_harm() {
    // Sends as fast as it may, until it is told to stop; a call that asks for little gets that.
    let dyno = Dyno2::start(|(request, mut respond): Call| async move {
        let mut up = request.into_body();
        let message = piece(&mut up).await.unwrap().unwrap();
        let mut down = respond.send_response(head(), false).unwrap();
        loop {
            down.reserve_capacity(16_384);
            match std::future::poll_fn(|cx| down.poll_capacity(cx)).await {
                Some(Ok(count)) if down.send_data(vec![b'x'; count].into(), false).is_ok() => {}
                _ => return,
            }
            if message == "little" {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    })
    .await;
    let rig = rig_for(&[&dyno], Limits::default()).await;
    let client = Client::connect(&rig).await;
    let (response, mut up) = client.call().await;
    up.send_data("little".into(), true).unwrap();
    let mut steady = response.await.unwrap().into_body();
    for _ in 0..40 {
        let mut calls = Vec::new();
        for _ in 0..64 {
            let (response, mut up) = client.call().await;
            up.send_data("much".into(), false).unwrap();
            calls.push((response, up));
        }
        for (response, mut up) in calls {
            response.await.unwrap();
            up.send_reset(Reason::CANCEL);
        }
        assert!(piece(&mut steady).await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn a_reset_of_the_dyno_reaches_the_client() {
    let arrived = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&arrived);
    let dyno = Dyno2::start(move |(_, mut respond): Call| {
        let gate = Arc::clone(&gate);
        async move {
            let mut down = respond.send_response(head(), false).unwrap();
            down.send_data("half".into(), false).unwrap();
            // A reset overtakes what is not yet sent.
            let _arrived = gate.acquire().await;
            down.send_reset(Reason::ENHANCE_YOUR_CALM);
        }
    })
    .await;
    let rig = rig_for(&[&dyno], Limits::default()).await;
    let client = Client::connect(&rig).await;
    let (response, _up) = client.call().await;
    let mut down = response.await.unwrap().into_body();
    assert_eq!(piece(&mut down).await.unwrap().unwrap(), "half");
    arrived.add_permits(1);
    let error = piece(&mut down).await.unwrap().unwrap_err();
    assert_eq!(error.reason(), Some(Reason::ENHANCE_YOUR_CALM), "{error}");
    rig.log.with("code=H18").await;
}

#[tokio::test]
async fn a_call_that_is_reset_unanswered_is_unavailable() {
    let dyno = Dyno2::start(|(_, mut respond): Call| async move {
        respond.send_reset(Reason::INTERNAL_ERROR);
    })
    .await;
    let rig = rig_for(&[&dyno], Limits::default()).await;
    let client = Client::connect(&rig).await;
    let (response, _up) = client.call().await;
    let response = response.await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "14");
    let line = rig.log.with("status=503").await;
    assert!(line.contains("code=H1"), "{line}");
}

#[tokio::test]
async fn a_goodbye_of_the_dyno_costs_no_call() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = gate.clone();
    let dyno = Dyno2::that_leaves_after(3, move |(request, mut respond): Call| {
        let gate = opened.clone();
        async move {
            let mut up = request.into_body();
            let message = piece(&mut up).await.unwrap().unwrap();
            let mut down = respond.send_response(head(), false).unwrap();
            if message == "slow" {
                let _permit = gate.acquire().await.unwrap();
            }
            down.send_data(message, false).unwrap();
            down.send_trailers(status(0)).unwrap();
        }
    })
    .await;
    let rig = rig_for(&[&dyno], Limits::default()).await;
    let client = Client::connect(&rig).await;
    let (response, mut up) = client.call().await;
    up.send_data("slow".into(), true).unwrap();
    let mut slow = response.await.unwrap().into_body();
    for _ in 0..30 {
        assert_eq!(client.unary().await, ("message".into(), "0".into()));
    }
    assert!(dyno.opened() >= 10, "{}", dyno.opened());
    // What was on the first connection when the dyno said goodbye is still answered.
    gate.add_permits(1);
    assert_eq!(piece(&mut slow).await.unwrap().unwrap(), "slow");
    assert_eq!(end(&mut slow).await, "0");
    assert!(!rig.log.lines().iter().any(|line| line.contains("code=")));
}

#[tokio::test]
async fn a_dyno_that_ends_takes_only_its_calls_along() {
    let dyno = Dyno2::echo().await;
    let other = Dyno2::echo().await;
    let rig = rig_for(&[&dyno, &other], Limits::default()).await;
    let client = Client::connect(&rig).await;
    for _ in 0..4 {
        assert_eq!(client.unary().await, ("message".into(), "0".into()));
    }
    drop(dyno);
    // A call that it took and did not answer is lost with it. Calls take turns, so this meets it.
    for _ in 0..4 {
        let _ = client.attempt().await;
    }
    for _ in 0..20 {
        assert_eq!(client.unary().await, ("message".into(), "0".into()));
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_does_not_hold_back_the_others() {
    const SIZE: usize = 8 << 20;
    let dyno = Dyno2::start(|(request, mut respond): Call| async move {
        let mut up = request.into_body();
        let message = piece(&mut up).await.unwrap().unwrap();
        let mut down = respond.send_response(head(), false).unwrap();
        let mut left = if message == "much" { SIZE } else { 1 };
        while left > 0 {
            down.reserve_capacity(left.min(16_384));
            let Some(Ok(count)) = std::future::poll_fn(|cx| down.poll_capacity(cx)).await else {
                return;
            };
            let count = count.min(left);
            if down.send_data(vec![b'x'; count].into(), false).is_err() {
                return;
            }
            left -= count;
        }
        let _ = down.send_trailers(status(0));
    })
    .await;
    let rig = rig_for(&[&dyno], Limits::default()).await;
    let (greedy, client) = (Client::connect(&rig).await, Client::connect(&rig).await);
    let mut stalled = Vec::new();
    for _ in 0..60 {
        let (response, mut up) = greedy.call().await;
        up.send_data("much".into(), true).unwrap();
        stalled.push(response.await.unwrap().into_body());
    }
    for _ in 0..20 {
        assert_eq!(client.unary().await, ("x".into(), "0".into()));
    }
    assert_eq!(dyno.opened(), 1);
    // And what they did not take is not lost.
    let mut first = stalled.swap_remove(0);
    drop(stalled);
    let mut taken = 0;
    while let Some(piece) = piece(&mut first).await {
        taken += piece.unwrap().len();
    }
    assert_eq!(taken, SIZE);
}

#[tokio::test]
async fn errors_of_the_router_end_the_call_as_grpc_does() {
    let silent = Dyno2::start(|(request, respond): Call| async move {
        let _kept = (request, respond);
        std::future::pending::<()>().await;
    })
    .await;
    let limits = Limits {
        first_byte: Duration::from_millis(100),
        ..Limits::default()
    };
    for (host, dyno, number, message) in [
        ("app.test", silent.addr, "4", "H12 Request timeout"),
        (
            "app.test",
            dead().await,
            "14",
            "H21 Backend connection refused",
        ),
        (
            "none.test",
            dead().await,
            "12",
            "There is no app at this address.",
        ),
    ] {
        let rig = Rig::fixed(table(1, h2c(&[dyno])), limits.clone()).await;
        let client = Client::connect(&rig).await;
        let (response, mut up) = client.send(call(host)).await;
        up.send_data("question".into(), true).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status(), 200);
        let headers = response.headers();
        assert_eq!(headers["content-type"], "application/grpc");
        assert_eq!(headers["grpc-status"], number, "{message}");
        let said = headers["grpc-message"].to_str().unwrap();
        assert!(said.starts_with(message), "{said}");
        assert!(response.body().is_end_stream(), "trailers and nothing else");
        if host == "app.test" {
            rig.log.with("status=503").await;
        }
        // Whoever is no client of gRPC gets what everybody gets.
        let page = rig.get(host, "/").await;
        assert!(page.contains("text/html"), "{page}");
    }
}

#[tokio::test]
async fn silence_ends_a_call() {
    let dyno = Dyno2::echo().await;
    let limits = Limits {
        idle: Duration::from_secs(1),
        ..Limits::default()
    };
    let rig = rig_for(&[&dyno], limits).await;
    let client = Client::connect(&rig).await;
    let (response, mut up) = client.call().await;
    let mut down = response.await.unwrap().into_body();
    // Longer than the limit in all, but never silent for so long.
    let begun = tokio::time::Instant::now();
    while begun.elapsed() < Duration::from_millis(1_500) {
        up.send_data("still here".into(), false).unwrap();
        assert_eq!(piece(&mut down).await.unwrap().unwrap(), "still here");
    }
    assert!(piece(&mut down).await.unwrap().is_err());
    rig.log.with("code=H15").await;
}

#[tokio::test]
async fn a_dyno_that_fails_its_calls_is_left_out() {
    let failing = Dyno2::start(|(_, mut respond): Call| async move {
        let mut answer = head();
        answer.headers_mut().extend(status(14));
        respond.send_response(answer, true).unwrap();
    })
    .await;
    let well = Dyno2::echo().await;
    let rig = rig_for(&[&failing, &well], Limits::default()).await;
    let client = Client::connect(&rig).await;
    let mut failed = 0;
    for _ in 0..40 {
        let (response, mut up) = client.call().await;
        up.send_data("question".into(), true).unwrap();
        let response = response.await.unwrap();
        failed += u32::from(response.headers().contains_key("grpc-status"));
    }
    assert_eq!(failed, 5);
}

#[tokio::test]
async fn a_dyno_that_speaks_http_1_only_is_said_to() {
    let dyno = raw_dyno(|mut stream| async move {
        // Not before the request has come: a connection that ends before is one on which nothing was sent.
        let mut preface = [0; 24];
        let mut frame = [0; 9];
        let _ = stream.read_exact(&mut preface).await;
        while stream.read_exact(&mut frame).await.is_ok() && frame[3] != HEADERS {
            let length = u32::from_be_bytes([0, frame[0], frame[1], frame[2]]);
            let mut payload = vec![0; length as usize];
            let _ = stream.read_exact(&mut payload).await;
        }
        let answer = b"HTTP/1.1 505 HTTP Version Not Supported\r\nContent-Length: 0\r\n\r\n";
        let _ = stream.write_all(answer).await;
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await;
    let rig = Rig::fixed(table(1, h2c(&[dyno])), Limits::default()).await;
    let answer = rig.get("app.test", "/").await;
    assert_eq!(rig::status(&answer), 503);
    rig.log.with("code=H17").await;
}

#[tokio::test]
async fn a_dyno_that_answers_before_it_is_asked_is_said_to_speak_otherwise() {
    let dyno = raw_dyno(|mut stream| async move {
        let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
        let _ = stream.write_all(answer).await;
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await;
    let rig = Rig::fixed(table(1, h2c(&[dyno])), Limits::default()).await;
    assert_eq!(rig::status(&rig.get("app.test", "/").await), 503);
    let line = rig.log.with("at=error").await;
    assert!(line.contains("code=H17"), "{line}");
}

#[tokio::test]
async fn clients_of_http_1_are_served_too() {
    let dyno = Dyno2::start(|(request, mut respond): Call| async move {
        assert_eq!(request.uri().authority().unwrap(), "app.test");
        let text = format!("{} {}", request.method(), request.uri().path());
        let mut up = request.into_body();
        let mut down = respond.send_response(Response::new(()), false).unwrap();
        down.send_data(text.into(), false).unwrap();
        while let Some(piece) = piece(&mut up).await {
            down.send_data(piece.unwrap(), false).unwrap();
        }
        down.send_data(Bytes::new(), true).unwrap();
    })
    .await;
    let rig = rig_for(&[&dyno], Limits::default()).await;
    let answer = rig.get("app.test", "/one").await;
    assert!(answer.contains("GET /one"), "{answer}");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let answer = rig
        .send(
            "POST /two HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\
             Connection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        )
        .await;
    assert!(answer.contains("POST /two"), "{answer}");
    assert!(answer.contains("abc"), "{answer}");
    assert_eq!(dyno.opened(), 1);
}

#[tokio::test]
async fn an_upgrade_goes_to_the_dyno_by_http_1() {
    let dyno = raw_dyno(|stream| async move {
        let mut stream = tokio::io::BufReader::new(stream);
        let head = read_head(&mut stream).await.unwrap();
        assert!(head.starts_with("GET /ws HTTP/1.1\r\n"), "{head}");
        assert_eq!(header(&head, "host"), Some("app.test"));
        let answer =
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nhi";
        stream.write_all(answer).await.unwrap();
    })
    .await;
    let rig = Rig::fixed(table(1, h2c(&[dyno])), Limits::default()).await;
    let answer = rig
        .send("GET /ws HTTP/1.1\r\nHost: app.test\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        .await;
    assert_eq!(body(&answer), "hi");
}

/// A dyno that leaves the table ends when its calls have.
#[tokio::test]
async fn a_call_ends_on_the_dyno_that_it_began_on() {
    let (old, new) = (Dyno2::echo().await, Dyno2::echo().await);
    let server = Server::new();
    let rig = Rig::linked(&server, Limits::default());
    let mut link = server.rise().await;
    link.apply(table(1, h2c(&[old.addr]))).await;
    let client = Client::connect(&rig).await;
    let (response, mut up) = client.call().await;
    let mut down = response.await.unwrap().into_body();
    let draining = link.apply(table(2, h2c(&[new.addr]))).await;
    assert_eq!(draining.values().sum::<u64>(), 1);
    assert_eq!(client.unary().await, ("message".into(), "0".into()));
    assert_eq!((old.opened(), new.opened()), (1, 1));
    up.send_data("to the end".into(), true).unwrap();
    assert_eq!(piece(&mut down).await.unwrap().unwrap(), "to the end");
    assert_eq!(end(&mut down).await, "0");
    let (_, draining) = link.ack().await;
    assert!(draining.is_empty(), "{draining:?}");
}
