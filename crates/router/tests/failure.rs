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

/// A dyno that answers the first request of all with `first`, and others with the number of their connection.
async fn numbering(first: &'static str) -> std::net::SocketAddr {
    let connections = Arc::new(AtomicU64::new(0));
    raw_dyno(move |stream| {
        let number = connections.fetch_add(1, SeqCst) + 1;
        async move {
            let mut stream = BufReader::new(stream);
            let numbered = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}");
            let mut answer = match number {
                1 => first.to_owned(),
                _ => numbered.clone(),
            };
            while read_head(&mut stream).await.is_some() {
                let _ = stream.get_mut().write_all(answer.as_bytes()).await;
                answer.clone_from(&numbered);
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_body_that_comes_late_to_a_head_is_no_answer_to_the_next() {
    let cases = [
        ("HEAD", "200 OK\r\nContent-Length: 5", "2"),
        ("HEAD", "200 OK\r\nTransfer-Encoding: chunked", "2"),
        ("HEAD", "200 OK", "2"),
        ("HEAD", "200 OK\r\nContent-Length: 0", "1"),
        ("HEAD", "204 No Content", "1"),
        ("GET", "304 Not Modified\r\nContent-Length: 5", "2"),
        ("GET", "304 Not Modified", "1"),
        ("GET", "200 OK\r\nContent-Length: 0", "1"),
    ];
    for (method, answer, number) in cases {
        let first: &'static str = format!("HTTP/1.1 {answer}\r\n\r\n").leak();
        // With such a name, a request is not ordinary.
        for odd in ["", "Odd_Name: 1\r\n"] {
            let dyno = numbering(first).await;
            let rig = Rig::fixed(table(1, app(&[dyno])), Limits::default()).await;
            let mut client = TcpStream::connect(rig.addr).await.unwrap();
            let ask = |method: &str| format!("{method} / HTTP/1.1\r\nHost: app.test\r\n{odd}\r\n");
            client.write_all(ask(method).as_bytes()).await.unwrap();
            read_until(&mut client, "\r\n\r\n").await;
            rig.log.with(&format!("method={method}")).await;
            client.write_all(ask("GET").as_bytes()).await.unwrap();
            let end = format!("\r\n\r\n{number}");
            let got = read_until(&mut client, &end).await;
            assert!(got.ends_with(&end), "{method} {answer:?} {odd:?}: {got}");
        }
    }
}
