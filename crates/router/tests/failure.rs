//! Dynos that refuse, die or close early: what is saved and what must not be sent twice.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use rig::*;
use ropewalk_router::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_dyno_costs_no_request_and_little_connecting() {
    let (one, two) = (Dyno::hello("Hello").await, Dyno::hello("Hello").await);
    let addrs = [one.addr, dead().await, two.addr];
    let rig = Rig::fixed(table(1, app(&addrs)), Limits::default()).await;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let addr = rig.addr;
        clients.spawn(async move {
            let mut stream = TcpStream::connect(addr).await.unwrap();
            for _ in 0..100 {
                stream
                    .write_all(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
                    .await
                    .unwrap();
                assert_eq!(status(&read_until(&mut stream, "Hello").await), 200);
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    let failures = rig.counters.snapshot().connect_failures;
    assert!(failures <= 16, "{failures} connects to a dead dyno");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dyno_that_is_killed_costs_no_idempotent_request() {
    let mut victim = Dyno::hello("Hello").await;
    let other = Dyno::hello("Hello").await;
    let rig = Rig::fixed(table(1, app(&[victim.addr, other.addr])), Limits::default()).await;
    // Fill the pool of both.
    for _ in 0..8 {
        assert_eq!(status(&rig.get("app.test", "/").await), 200);
    }
    assert!(victim.count() > 0);
    victim.kill().await;
    for _ in 0..50 {
        assert_eq!(status(&rig.get("app.test", "/").await), 200);
    }
}

#[tokio::test]
async fn an_upload_waits_whole_for_the_dyno_that_accepts() {
    let dyno = Dyno::hello("got it").await;
    let addrs = [dead().await, dead().await, dyno.addr];
    let rig = Rig::fixed(table(1, app(&addrs)), Limits::default()).await;
    for _ in 0..4 {
        let answer = rig
            .send(
                "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 4\r\n\
                 Connection: close\r\n\r\nbody",
            )
            .await;
        assert_eq!(body(&answer), "got it", "{answer}");
    }
    assert_eq!(dyno.count(), 4);
}

/// A dyno that closes each connection right after the answer, without saying so.
async fn closing() -> (std::net::SocketAddr, Arc<AtomicU64>) {
    let got = Arc::new(AtomicU64::new(0));
    let count = got.clone();
    let addr = raw_dyno(move |stream| {
        let count = count.clone();
        async move {
            let mut stream = BufReader::new(stream);
            let Some(head) = read_head(&mut stream).await else {
                return;
            };
            count.fetch_add(1, SeqCst);
            let length = header(&head, "content-length").map_or(0, |n| n.parse().unwrap());
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .await
                .unwrap();
            // Takes the next request and closes instead of answering: the worst moment there is.
            read_head(&mut stream).await;
        }
    })
    .await;
    (addr, got)
}

#[tokio::test]
async fn a_get_survives_a_connection_that_closes_under_it() {
    let (addr, got) = closing().await;
    let rig = Rig::fixed(table(1, app(&[addr])), Limits::default()).await;
    for _ in 0..20 {
        assert_eq!(body(&rig.get("app.test", "/").await), "ok");
    }
    assert_eq!(got.load(SeqCst), 20);
    assert!(rig.counters.snapshot().retries >= 19);
}

#[tokio::test]
async fn a_post_is_never_sent_twice() {
    let (addr, got) = closing().await;
    let rig = Rig::fixed(table(1, app(&[addr])), Limits::default()).await;
    let post =
        "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody";
    assert_eq!(status(&rig.send(post).await), 200);
    // On the kept connection, which takes it and dies.
    assert_eq!(status(&rig.send(post).await), 503);
    assert_eq!(got.load(SeqCst), 1);
    rig.log.with("code=H1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_closes_idle_connections_early_loses_nothing() {
    // Far below what the router keeps, so that the two race all the time.
    let reply = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHello".to_owned();
    let dyno = Dyno::start(reply, Some(Duration::from_millis(3))).await;
    let rig = Rig::fixed(table(1, app(&[dyno.addr])), Limits::default()).await;
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..8u64 {
        let addr = rig.addr;
        clients.spawn(async move {
            let mut stream = TcpStream::connect(addr).await.unwrap();
            for number in 0..150u64 {
                stream
                    .write_all(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
                    .await
                    .unwrap();
                let answer = read_until(&mut stream, "Hello").await;
                assert_eq!(status(&answer), 200, "{answer}");
                // Pauses around the moment at which the dyno closes.
                let pause = 2_000 + (client * 150 + number) * 7_919 % 2_500;
                tokio::time::sleep(Duration::from_micros(pause)).await;
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    assert!(dyno.connections.load(SeqCst) > 8);
}
