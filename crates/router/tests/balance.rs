//! Who gets a request when dynos are full, fail, or do not answer: seen by clients.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use rig::*;
use ropewalk_api_types::router::AppRoute;
use ropewalk_router::Limits;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// A dyno that answers each request when the test lets it.
struct Gated {
    addr: SocketAddr,
    gate: Arc<Semaphore>,
    inside: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    paths: Arc<std::sync::Mutex<Vec<String>>>,
}

impl Gated {
    async fn new() -> Self {
        let gate = Arc::new(Semaphore::new(0));
        let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let paths = Arc::new(std::sync::Mutex::new(Vec::new()));
        let (g, i, m, p) = (gate.clone(), inside.clone(), most.clone(), paths.clone());
        let addr = raw_dyno(move |stream| {
            let (g, i, m, p) = (g.clone(), i.clone(), m.clone(), p.clone());
            async move {
                let mut stream = BufReader::new(stream);
                while let Some(head) = read_head(&mut stream).await {
                    p.lock()
                        .unwrap()
                        .push(head.split(' ').nth(1).unwrap().to_owned());
                    m.fetch_max(i.fetch_add(1, SeqCst) + 1, SeqCst);
                    g.acquire().await.unwrap().forget();
                    i.fetch_sub(1, SeqCst);
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            }
        })
        .await;
        Self {
            addr,
            gate,
            inside,
            most,
            paths,
        }
    }

    fn let_pass(&self, count: usize) {
        self.gate.add_permits(count);
    }

    async fn holds(&self, count: usize) {
        until("the dyno has its requests", || {
            (self.inside.load(SeqCst) == count).then_some(())
        })
        .await;
    }

    fn paths(&self) -> Vec<String> {
        self.paths.lock().unwrap().clone()
    }
}

fn takes(concurrency: u32, dynos: &[SocketAddr]) -> AppRoute {
    AppRoute {
        concurrency: Some(concurrency),
        ..app(dynos)
    }
}

/// A request under way.
async fn ask(rig: &Rig, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(rig.addr).await.unwrap();
    let request = get("app.test", path);
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Requests that the router has and has not ended.
async fn has(rig: &Rig, count: u64) {
    until("the router has the requests", || {
        (rig.counters.snapshot().in_flight == count).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dyno_gets_as_many_as_it_takes_and_the_rest_in_their_order() {
    for limit in [1, 3] {
        let dyno = Gated::new().await;
        let rig = Rig::fixed(table(1, takes(limit, &[dyno.addr])), Limits::default()).await;
        let mut clients = Vec::new();
        for number in 0..12 {
            clients.push(ask(&rig, &format!("/{number}")).await);
            has(&rig, number + 1).await;
        }
        dyno.holds(limit as usize).await;
        dyno.let_pass(12);
        for mut client in clients {
            assert_eq!(status(&read_all(&mut client).await), 200);
        }
        assert_eq!(dyno.most.load(SeqCst), limit as usize);
        if limit == 1 {
            let wanted: Vec<_> = (0..12).map(|number| format!("/{number}")).collect();
            assert_eq!(dyno.paths(), wanted);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn none_waits_while_another_dyno_has_a_place() {
    let (one, two) = (Gated::new().await, Gated::new().await);
    let rig = Rig::fixed(table(1, takes(1, &[one.addr, two.addr])), Limits::default()).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(ask(&rig, "/").await);
    }
    one.holds(1).await;
    two.holds(1).await;
    // All that wait go through the one that answers.
    two.let_pass(3);
    until("three are answered", || {
        (rig.counters.snapshot().in_flight == 1).then_some(())
    })
    .await;
    assert_eq!((one.paths().len(), two.paths().len()), (1, 3));
    one.let_pass(1);
    for mut client in clients {
        assert_eq!(status(&read_all(&mut client).await), 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_line_has_an_end_and_so_has_patience() {
    let dyno = Gated::new().await;
    let limits = Limits {
        held: 2,
        line: Duration::from_millis(300),
        ..Limits::default()
    };
    let rig = Rig::fixed(table(1, takes(1, &[dyno.addr])), limits).await;
    let mut first = ask(&rig, "/first").await;
    dyno.holds(1).await;
    let mut waiting = [ask(&rig, "/").await, ask(&rig, "/").await];
    has(&rig, 3).await;
    let refused = rig.get("app.test", "/").await;
    assert_eq!(status(&refused), 503);
    rig.log.with("code=H11").await;
    for client in &mut waiting {
        assert_eq!(status(&read_all(client).await), 503);
    }
    rig.log.with("code=H12").await;
    dyno.let_pass(9);
    assert_eq!(status(&read_all(&mut first).await), 200);
    assert_eq!(dyno.paths(), ["/first"], "the dyno saw none of the others");
    assert_eq!(status(&rig.get("app.test", "/").await), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_the_line_makes_room_for_the_next() {
    let dyno = Gated::new().await;
    let limits = Limits {
        held: 1,
        ..Limits::default()
    };
    let rig = Rig::fixed(table(1, takes(1, &[dyno.addr])), limits).await;
    let mut first = ask(&rig, "/first").await;
    dyno.holds(1).await;
    let gone = ask(&rig, "/gone").await;
    has(&rig, 2).await;
    drop(gone);
    has(&rig, 1).await;
    let mut next = ask(&rig, "/next").await;
    has(&rig, 2).await;
    dyno.let_pass(2);
    for client in [&mut first, &mut next] {
        assert_eq!(status(&read_all(client).await), 200);
    }
    assert_eq!(dyno.paths(), ["/first", "/next"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dyno_that_comes_gets_those_in_line() {
    let (full, new) = (Gated::new().await, Gated::new().await);
    let server = Server::new();
    let rig = Rig::linked(&server, Limits::default());
    let mut link = server.rise().await;
    link.apply(table(1, takes(1, &[full.addr]))).await;
    let mut first = ask(&rig, "/first").await;
    full.holds(1).await;
    let mut second = ask(&rig, "/second").await;
    has(&rig, 2).await;
    link.apply(table(2, takes(1, &[full.addr, new.addr]))).await;
    new.holds(1).await;
    new.let_pass(1);
    assert_eq!(status(&read_all(&mut second).await), 200);
    // Scaled to nothing: whoever waits hears it.
    let mut third = ask(&rig, "/third").await;
    new.holds(1).await;
    let mut fourth = ask(&rig, "/fourth").await;
    has(&rig, 3).await;
    link.apply(table(3, takes(1, &[]))).await;
    assert_eq!(status(&read_all(&mut fourth).await), 503);
    full.let_pass(1);
    new.let_pass(1);
    for client in [&mut first, &mut third] {
        assert_eq!(status(&read_all(client).await), 200);
    }
}

/// A dyno that answers everything with this status.
async fn answering(status: &'static str) -> (SocketAddr, Arc<AtomicU64>) {
    let got = Arc::new(AtomicU64::new(0));
    let count = got.clone();
    let addr = raw_dyno(move |stream| {
        let count = count.clone();
        async move {
            let mut stream = BufReader::new(stream);
            while read_head(&mut stream).await.is_some() {
                count.fetch_add(1, SeqCst);
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    (addr, got)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dyno_that_fails_alone_draws_no_more_requests() {
    let (bad, failed) = answering("500 Internal Server Error").await;
    let (good, _) = answering("200 OK").await;
    let (fine, _) = answering("200 OK").await;
    let rig = Rig::fixed(table(1, app(&[bad, good, fine])), Limits::default()).await;
    for _ in 0..300 {
        rig.get("app.test", "/").await;
    }
    assert_eq!(failed.load(SeqCst), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_fails_everywhere_keeps_all_its_dynos() {
    let mut dynos = Vec::new();
    for _ in 0..3 {
        dynos.push(answering("500 Internal Server Error").await);
    }
    let addrs: Vec<_> = dynos.iter().map(|(addr, _)| *addr).collect();
    let rig = Rig::fixed(table(1, app(&addrs)), Limits::default()).await;
    for _ in 0..300 {
        assert_eq!(status(&rig.get("app.test", "/").await), 500);
    }
    let shares: Vec<_> = dynos.iter().map(|(_, got)| got.load(SeqCst)).collect();
    assert_eq!(shares, [100, 100, 100]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dyno_that_takes_no_connection_costs_a_moment_once() {
    // Its queue of connections is full: the kernel drops the next.
    let silent = tokio::net::TcpSocket::new_v4().unwrap();
    silent.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let silent = silent.listen(1).unwrap();
    let addr = silent.local_addr().unwrap();
    let mut kept = Vec::new();
    for _ in 0..4 {
        let connect = TcpStream::connect(addr);
        kept.push(tokio::time::timeout(Duration::from_millis(100), connect).await);
    }
    let dyno = Dyno::hello("Hello").await;
    let rig = Rig::fixed(table(1, app(&[addr, dyno.addr])), Limits::default()).await;
    for _ in 0..50 {
        assert_eq!(status(&rig.get("app.test", "/").await), 200);
    }
    let failures = rig.counters.snapshot().connect_failures;
    assert!(
        failures <= 2,
        "{failures} connects to a dyno that is silent"
    );
}
