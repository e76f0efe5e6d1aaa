//! The link to the server: tables in force, upstreams drained, logs and counts; and life without it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use rig::*;
use ropewalk_api_types::router::{AppRoute, Changes, Table, ToRouter, WhenEmpty};
use ropewalk_router::Limits;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Clients that send one request after the other until told to stop; each answer must be a 200.
struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    clients: JoinSet<()>,
}

impl Load {
    fn start(rig: &Rig, clients: usize) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU64::new(0));
        let mut set = JoinSet::new();
        for client in 0..clients {
            let (stop, sent, addr) = (stop.clone(), sent.clone(), rig.addr);
            set.spawn(async move {
                let mut kept = None;
                while !stop.load(SeqCst) {
                    // Half of them with a connection for each request.
                    let answer = if client % 2 == 0 {
                        let mut stream = TcpStream::connect(addr).await.unwrap();
                        stream
                            .write_all(get("app.test", "/").as_bytes())
                            .await
                            .unwrap();
                        read_all(&mut stream).await
                    } else {
                        if kept.is_none() {
                            kept = Some(TcpStream::connect(addr).await.unwrap());
                        }
                        let stream = kept.as_mut().unwrap();
                        stream
                            .write_all(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
                            .await
                            .unwrap();
                        read_until(stream, "Hello").await
                    };
                    assert_eq!(status(&answer), 200, "{answer}");
                    sent.fetch_add(1, SeqCst);
                }
            });
        }
        Load {
            stop,
            sent,
            clients: set,
        }
    }

    /// Waits for so many more answers.
    async fn more(&self, count: u64) {
        let goal = self.sent.load(SeqCst) + count;
        until("more answers", || {
            (self.sent.load(SeqCst) >= goal).then_some(())
        })
        .await;
    }

    async fn stop(mut self) {
        self.stop.store(true, SeqCst);
        while let Some(client) = self.clients.join_next().await {
            client.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swaps_under_load_lose_nothing_and_the_old_gets_nothing_after_the_ack() {
    let server = Server::new();
    let rig = Rig::linked(&server, Limits::default());
    let mut link = server.rise().await;
    let mut old = Dyno::hello("Hello").await;
    link.apply(table(1, app(&[old.addr]))).await;
    let load = Load::start(&rig, 16);
    load.more(50).await;
    for generation in 2..22 {
        let new = Dyno::hello("Hello").await;
        let mut draining = link.apply(table(generation, app(&[new.addr]))).await;
        // What was in flight ends; then the count must stand still.
        while !draining.is_empty() {
            (_, draining) = link.ack().await;
        }
        let settled = old.count();
        // As a scheduler would: gone without a grace.
        old.kill().await;
        load.more(50).await;
        assert_eq!(old.count(), settled, "a request after the ack");
        old = new;
    }
    load.stop().await;
    assert_eq!(rig.counters.snapshot().classes[0], 0);
}

#[tokio::test]
async fn draining_counts_what_is_in_flight_and_says_when_it_ends() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = gate.clone();
    let slow = raw_dyno(move |stream| {
        let gate = opened.clone();
        async move {
            let mut stream = BufReader::new(stream);
            read_head(&mut stream).await;
            let _permit = gate.acquire().await.unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow")
                .await
                .unwrap();
        }
    })
    .await;
    let server = Server::new();
    let rig = Rig::linked(&server, Limits::default());
    let mut link = server.rise().await;
    assert!(link.apply(table(1, app(&[slow]))).await.is_empty());
    let mut client = TcpStream::connect(rig.addr).await.unwrap();
    client
        .write_all(get("app.test", "/").as_bytes())
        .await
        .unwrap();
    until("a request at the dyno", || {
        (rig.counters.snapshot().connects == 1).then_some(())
    })
    .await;

    let next = Dyno::hello("next").await;
    let draining = link.apply(table(2, app(&[next.addr]))).await;
    let id = upstream("web.1", slow).id;
    assert_eq!(draining, BTreeMap::from([(id, 1)]));
    assert_eq!(body(&rig.get("app.test", "/").await), "next");
    gate.add_permits(1);
    assert_eq!(body(&read_all(&mut client).await), "slow");
    assert_eq!(link.ack().await, (2, BTreeMap::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_dies_and_comes_back_and_no_request_notices() {
    let server = Server::new();
    let rig = Rig::linked(&server, Limits::default());
    let dyno = Dyno::hello("Hello").await;
    let mut link = server.rise().await;
    link.apply(table(7, app(&[dyno.addr]))).await;
    let load = Load::start(&rig, 8);
    load.more(50).await;
    drop(link);
    load.more(200).await;
    // A new server counts from the beginning.
    let mut link = server.rise().await;
    link.apply(table(1, app(&[dyno.addr]))).await;
    load.more(50).await;
    load.stop().await;
}

#[tokio::test]
async fn a_router_starts_from_the_table_on_disk() {
    let server = Server::new();
    let dyno = Dyno::hello("from disk").await;
    let rig = Rig::linked(&server, Limits::default());
    let mut link = server.rise().await;
    link.apply(table(1, app(&[dyno.addr]))).await;
    until("a table on disk", || {
        let raw = std::fs::read(&server.table_file).ok()?;
        let kept: Table = serde_json::from_slice(&raw).ok()?;
        (kept.apps.len() == 1).then_some(())
    })
    .await;
    drop(link);
    rig.shut_down().await;

    let rig = Rig::linked(&server, Limits::default());
    assert_eq!(body(&rig.get("app.test", "/").await), "from disk");
}

#[tokio::test]
async fn a_spoiled_table_on_disk_does_not_stop_the_router() {
    let server = Server::new();
    std::fs::create_dir_all(server.table_file.parent().unwrap()).unwrap();
    std::fs::write(&server.table_file, b"{\"hosts\": oh").unwrap();
    let rig = Rig::linked(&server, Limits::default());
    let dyno = Dyno::hello("well").await;
    let mut link = server.rise().await;
    link.apply(table(1, app(&[dyno.addr]))).await;
    assert_eq!(body(&rig.get("app.test", "/").await), "well");
}

#[tokio::test]
async fn old_generations_and_unknown_messages_are_ignored() {
    let server = Server::new();
    let rig = Rig::linked(&server, Limits::default());
    let (first, second) = (Dyno::hello("first").await, Dyno::hello("second").await);
    let mut link = server.rise().await;
    link.apply(table(5, app(&[first.addr]))).await;
    link.send(&ToRouter::Ping).await;
    link.send(&ToRouter::Table(table(4, app(&[second.addr]))))
        .await;
    link.apply(table(6, app(&[first.addr]))).await;
    assert_eq!(body(&rig.get("app.test", "/").await), "first");
    assert_eq!(second.count(), 0);
}

#[tokio::test]
async fn lines_and_counts_reach_the_server_also_those_of_its_absence() {
    const REQUESTS: usize = 700;
    let server = Server::new();
    let rig = Rig::linked(&server, Limits::default());
    let dyno = Dyno::hello("Hello").await;
    let mut link = server.rise().await;
    link.apply(table(1, app(&[dyno.addr]))).await;
    drop(link);
    let mut stream = TcpStream::connect(rig.addr).await.unwrap();
    for number in 0..REQUESTS {
        let request = format!("GET /{number} HTTP/1.1\r\nHost: app.test\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        read_until(&mut stream, "Hello").await;
    }
    let mut link = server.rise().await;
    let lines = link.log(REQUESTS).await;
    assert_eq!(lines.len(), REQUESTS);
    for (number, line) in lines.iter().enumerate() {
        assert_eq!(line.app, "app-id");
        assert!(
            line.text
                .starts_with(&format!("at=info method=GET path=\"/{number}\" ")),
            "{line:?}"
        );
        // RFC 3339 with microseconds.
        assert_eq!(
            line.at.len(),
            "2026-01-01T00:00:00.000000Z".len(),
            "{line:?}"
        );
        assert!(line.at.ends_with('Z'));
    }
    while link.stats.iter().map(|stats| stats.requests).sum::<u64>() < REQUESTS as u64 {
        if let ropewalk_api_types::router::ToServer::Stats { apps } = link.next().await {
            link.stats.extend(apps.into_values());
        }
    }
    let answered: u64 = link.stats.iter().map(|stats| stats.classes[2]).sum();
    assert_eq!(answered, REQUESTS as u64);
    let timed = link.stats.iter().flat_map(|stats| &stats.times);
    assert_eq!(timed.map(|(_, count)| count).sum::<u64>(), REQUESTS as u64);
    let dynos = link.stats.iter().flat_map(|stats| stats.dynos.values());
    let by_dynos: u64 = dynos.map(|stats| stats.classes[2]).sum();
    assert_eq!(by_dynos, REQUESTS as u64);
}

#[tokio::test]
async fn what_failed_and_what_waits_reaches_the_server() {
    let server = Server::new();
    let rig = Rig::linked(&server, Limits::default());
    let mut link = server.rise().await;
    link.apply(table(1, app(&[]))).await;
    assert_eq!(status(&rig.get("app.test", "/").await), 503);
    let booting = AppRoute {
        when_empty: WhenEmpty::Booting,
        ..app(&[])
    };
    link.apply(table(2, booting)).await;
    let mut waits = TcpStream::connect(rig.addr).await.unwrap();
    waits
        .write_all(get("app.test", "/").as_bytes())
        .await
        .unwrap();
    let failed = |link: &Link| {
        let codes = link.stats.iter().flat_map(|stats| &stats.codes);
        codes
            .map(|(code, count)| (code.clone(), *count))
            .collect::<Vec<_>>()
    };
    while failed(&link).is_empty() || link.stats.iter().all(|stats| stats.waiting == 0) {
        if let ropewalk_api_types::router::ToServer::Stats { apps } = link.next().await {
            link.stats.extend(apps.into_values());
        }
    }
    assert_eq!(failed(&link), [("H14".to_owned(), 1)]);

    // A dyno comes up, and what waited is handed to it.
    let dyno = Dyno::hello("Hello").await;
    link.apply(table(3, app(&[dyno.addr]))).await;
    assert_eq!(status(&read_all(&mut waits).await), 200);
    let queued = |link: &Link| {
        let stats = link.stats.iter().flat_map(|stats| stats.queue.clone());
        stats.flatten().collect::<Vec<_>>()
    };
    while queued(&link).is_empty() {
        if let ropewalk_api_types::router::ToServer::Stats { apps } = link.next().await {
            link.stats.extend(apps.into_values());
        }
    }
    assert!(
        matches!(queued(&link)[..], [(1.., 1)]),
        "{:?}",
        queued(&link)
    );
    let given_up = link
        .stats
        .iter()
        .filter_map(|stats| stats.given_up)
        .sum::<u64>();
    assert_eq!(given_up, 0, "there was nobody to wait for");
}

/// Requests, `/0` and on, each of which makes about the longest line there can be.
async fn long_lines(rig: &Rig, count: usize) {
    let mut stream = TcpStream::connect(rig.addr).await.unwrap();
    let (quotes, forwarded) = ("\"".repeat(7_000), "\\\"".repeat(15_000));
    for number in 0..count {
        let request = format!(
            "GET /{number}/{quotes} HTTP/1.1\r\nHost: app.test\r\n\
             X-Forwarded-For: {forwarded}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        read_until(&mut stream, "Hello").await;
    }
}

#[tokio::test]
async fn the_newest_lines_are_kept_within_bounds_while_the_server_is_away() {
    const REQUESTS: usize = 400;
    let server = Server::new();
    let rig = Rig::linked(&server, Limits::default());
    let dyno = Dyno::hello("Hello").await;
    let mut link = server.rise().await;
    link.apply(table(1, app(&[dyno.addr]))).await;
    drop(link);
    long_lines(&rig, REQUESTS).await;
    let dropped = until("lines dropped", || {
        Some(rig.counters.snapshot().log_dropped).filter(|dropped| *dropped > 0)
    })
    .await as usize;
    let mut link = server.rise().await;
    let lines = link.log(REQUESTS - dropped).await;
    assert!(lines.iter().map(|line| line.text.len()).sum::<usize>() <= 2 << 20);
    for (number, line) in (dropped..).zip(&lines) {
        assert!(line.text.len() <= 10_000, "{}", line.text.len());
        let start = format!("at=info method=GET path=\"/{number}/\\\"\\\"");
        assert!(line.text.starts_with(&start), "{line:?}");
        assert!(line.text.contains("\" dyno=web.1 connect="), "{line:?}");
        assert!(line.text.ends_with(" protocol=http"), "{line:?}");
    }
}

#[tokio::test]
async fn lines_that_two_servers_hung_up_on_are_given_up() {
    const REQUESTS: usize = 150;
    let server = Server::new();
    let rig = Rig::linked(&server, Limits::default());
    let dyno = Dyno::hello("Hello").await;
    let mut link = server.rise().await;
    link.apply(table(1, app(&[dyno.addr]))).await;
    drop(link);
    long_lines(&rig, REQUESTS).await;
    for _ in 0..2 {
        let mut link = server.rise().await;
        // Far more than a socket holds unread.
        link.begun().await;
    }
    let mut link = server.rise().await;
    let first = link.log(1).await.remove(0);
    let dropped = rig.counters.snapshot().log_dropped;
    assert!(dropped > 0);
    let start = format!("at=info method=GET path=\"/{dropped}/");
    assert!(first.text.starts_with(&start), "{first:?}");
}

#[tokio::test]
async fn a_stop_lets_requests_in_flight_finish() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = gate.clone();
    let slow = raw_dyno(move |stream| {
        let gate = opened.clone();
        async move {
            let mut stream = BufReader::new(stream);
            read_head(&mut stream).await;
            let _permit = gate.acquire().await.unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow")
                .await
                .unwrap();
        }
    })
    .await;
    let mut rig = Rig::fixed(table(1, app(&[slow])), Limits::default()).await;
    let mut client = TcpStream::connect(rig.addr).await.unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
        .await
        .unwrap();
    until("a request at the dyno", || {
        (rig.counters.snapshot().connects == 1).then_some(())
    })
    .await;
    drop(rig.stop.take());
    let addr = rig.addr;
    until("a closed port", || {
        std::net::TcpStream::connect(addr).is_err().then_some(())
    })
    .await;
    gate.add_permits(1);
    let answer = read_all(&mut client).await;
    assert_eq!(body(&answer), "slow");
    assert_eq!(header(&answer, "connection"), Some("close"));
    rig.shut_down().await;
}

#[tokio::test]
async fn changes_are_put_in_force_and_kept() {
    let dyno = Dyno::hello("Hello").await;
    let server = Server::new();
    let rig = Rig::linked(&server, Limits::default());
    let mut link = server.rise().await;
    link.apply(table(1, app(&[]))).await;
    let before = rig.get("app.test", "/").await;
    assert_eq!(status(&before), 503, "{before}");
    let named = table(2, app(&[dyno.addr]));
    let changes = Changes::between(&table(1, app(&[])), &named).unwrap();
    link.send(&ToRouter::Changes(changes.clone())).await;
    assert_eq!(link.ack().await, (2, BTreeMap::new()));
    assert_eq!(status(&rig.get("app.test", "/").await), 200);
    until("the change on disk", || {
        let text = std::fs::read_to_string(&server.table_file).ok()?;
        (text.lines().count() == 2).then_some(())
    })
    .await;

    // A router that starts without a server serves by it.
    drop((rig, link));
    let alone = Rig::linked(&server, Limits::default());
    assert_eq!(status(&alone.get("app.test", "/").await), 200);

    // Changes to something else are refused: the router comes again for a whole table.
    let mut link = server.rise().await;
    link.send(&ToRouter::Changes(changes)).await;
    let mut link = server.rise().await;
    link.apply(table(1, app(&[dyno.addr]))).await;
    assert_eq!(status(&alone.get("app.test", "/").await), 200);
}
