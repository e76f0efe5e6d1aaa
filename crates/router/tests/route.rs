//! Host to dyno: choice, headers, pages for hosts nobody has, and the log line.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use rig::*;
use ropewalk_api_types::router::Target;
use ropewalk_router::Limits;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

#[tokio::test]
async fn a_request_finds_its_dyno_and_leaves_a_line() {
    let dyno = Dyno::hello("Hello, world!").await;
    let rig = Rig::fixed(table(1, app(&[dyno.addr])), Limits::default()).await;
    let answer = rig
        .send(
            "GET /a?b=%22c%22 HTTP/1.1\r\nHost: APP.test:8080\r\nConnection: close\r\n\
             X-Request-Id: 0123456789abcdefghij\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n",
        )
        .await;
    assert_eq!(status(&answer), 200, "{answer}");
    assert_eq!(body(&answer), "Hello, world!");
    assert_eq!(header(&answer, "via"), Some("1.1 ropewalk"));

    let head = dyno.last_head();
    assert!(head.starts_with("GET /a?b=%22c%22 HTTP/1.1\r\n"), "{head}");
    assert_eq!(header(&head, "host"), Some("APP.test:8080"));
    assert_eq!(header(&head, "x-request-id"), Some("0123456789abcdefghij"));
    assert_eq!(header(&head, "x-forwarded-for"), Some("9.9.9.9, 127.0.0.1"));
    assert_eq!(header(&head, "x-forwarded-proto"), Some("http"));
    let port = rig.addr.port().to_string();
    assert_eq!(header(&head, "x-forwarded-port"), Some(port.as_str()));
    assert_eq!(header(&head, "connection"), None);

    let line = rig.log.with("at=info").await;
    let (before, times) = line.split_once(" connect=").unwrap();
    assert_eq!(
        before,
        "at=info method=GET path=\"/a?b=%22c%22\" host=app.test \
         request_id=0123456789abcdefghij fwd=\"9.9.9.9,127.0.0.1\" dyno=web.1"
    );
    let (connect, rest) = times.split_once("ms service=").unwrap();
    assert!(connect.parse::<u32>().is_ok(), "{line}");
    let (service, rest) = rest.split_once("ms ").unwrap();
    assert!(service.parse::<u32>().is_ok(), "{line}");
    assert_eq!(rest, "status=200 bytes=13 protocol=http");
}

#[tokio::test]
async fn names_of_headers_keep_their_case_both_ways() {
    let reply = "HTTP/1.1 200 Fine\r\nETag: x\r\nx-LOWER-and-upper: y\r\nSet-Cookie: a\r\nset-cookie: b\r\n\
                 Content-Length: 0\r\n\r\n";
    let dyno = Dyno::start(reply.to_owned(), None).await;
    let rig = Rig::fixed(table(1, app(&[dyno.addr])), Limits::default()).await;
    let answer = rig
        .send("GET / HTTP/1.1\r\nHOST: app.test\r\nDNT: 1\r\nx-oDD: 2\r\nConnection: close\r\n\r\n")
        .await;
    for line in [
        "ETag: x",
        "x-LOWER-and-upper: y",
        "Set-Cookie: a",
        "set-cookie: b",
        "Via: 1.1 ropewalk",
    ] {
        assert!(
            answer.contains(&format!("\r\n{line}\r\n")),
            "{line}: {answer}"
        );
    }
    assert!(answer.starts_with("HTTP/1.1 200 Fine\r\n"), "{answer}");
    let head = dyno.last_head();
    for line in [
        "HOST: app.test",
        "DNT: 1",
        "x-oDD: 2",
        "X-Forwarded-Proto: http",
    ] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line}: {head}");
    }
}

/// The names of a head's headers, as they were written.
fn names(head: &str) -> Vec<&str> {
    let head = head.split("\r\n\r\n").next().unwrap();
    let lines = head.lines().skip(1);
    lines.map(|line| line.split(':').next().unwrap()).collect()
}

#[tokio::test]
async fn headers_keep_their_order_both_ways() {
    let reply = "HTTP/1.1 200 OK\r\nServer: s\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\n\
                 Set-Cookie: a\r\nX-Hop: 1\r\nDate: now\r\nSet-Cookie: b\r\nContent-Length: 2\r\n\
                 ETag: x\r\nLink: y\r\n\r\nok";
    let dyno = Dyno::start(reply.to_owned(), None).await;
    let rig = Rig::fixed(table(1, app(&[dyno.addr])), Limits::default()).await;
    let request = "PUT / HTTP/1.1\r\nUser-Agent: u\r\nHost: app.test\r\nConnection: close, X-Own, Host\r\n\
                   TE: trailers\r\nAccept: a\r\nX-Own: 1\r\nX-Forwarded-Proto: gopher\r\nX_Forwarded_For: me\r\n\
                   Expect: 100-continue\r\nCookie: c\r\nContent-Length: 0\r\nX-Last: z\r\n\r\n";
    let answer = rig.send(request).await;
    let head = dyno.last_head();
    // What a name comes with more than once stands together, in its order.
    let ours = [
        "X-Forwarded-For",
        "X-Forwarded-Port",
        "X-Request-Start",
        "X-Request-Id",
        "Via",
    ];
    let theirs = [
        "User-Agent",
        "Host",
        "Accept",
        "X-Forwarded-Proto",
        "Cookie",
        "Content-Length",
        "X-Last",
    ];
    assert_eq!(names(&head), [&theirs[..], &ours[..]].concat(), "{head}");
    assert_eq!(header(&head, "x-forwarded-proto"), Some("http"));
    let (answer, _) = answer
        .strip_prefix("HTTP/1.1 100 Continue\r\n\r\n")
        .unwrap_or(&answer)
        .split_once("\r\n\r\n")
        .unwrap();
    let expected = [
        "Server",
        "Set-Cookie",
        "Set-Cookie",
        "Date",
        "Content-Length",
        "ETag",
        "Link",
        "Via",
        "Connection",
    ];
    assert_eq!(names(answer), expected, "{answer}");
    assert!(answer.contains("\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"));
}

#[tokio::test]
async fn an_upgrade_and_chunks_leave_the_order_as_it_was() {
    let dyno = raw_dyno(|stream| async move {
        let mut stream = tokio::io::BufReader::new(stream);
        let head = read_head(&mut stream).await.unwrap();
        let reply = match header(&head, "upgrade") {
            Some(_) => format!(
                "HTTP/1.1 101 Switching Protocols\r\nX-A: 1\r\nUpgrade: raw\r\nConnection: Upgrade\r\nX-B: 2\r\n\r\n{head}"
            ),
            None => format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\nX-B: 2\r\nX-C: 3\r\n\r\n{:x}\r\n{head}\r\n0\r\n\r\n",
                head.len()
            ),
        };
        let _ = stream.write_all(reply.as_bytes()).await;
    })
    .await;
    let rig = Rig::fixed(table(1, app(&[dyno])), Limits::default()).await;
    let answer = rig
        .send("GET / HTTP/1.1\r\nX-A: 1\r\nConnection: upgrade\r\nHost: app.test\r\nUpgrade: raw\r\nX-B: 2\r\n\r\n")
        .await;
    let (own, head) = answer.split_once("\r\n\r\n").unwrap();
    let order = ["X-A", "Upgrade", "Connection", "X-B"];
    assert_eq!(names(own)[..4], order, "{own}");
    let order = ["X-A", "Connection", "Host", "Upgrade", "X-B"];
    assert_eq!(names(head)[..5], order, "{head}");

    let answer = rig
        .send("POST / HTTP/1.1\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\nHost: app.test\r\nX-B: 2\r\nX-C: 3\r\nConnection: close\r\n\r\n0\r\n\r\n")
        .await;
    let (own, rest) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(names(own)[..3], ["X-A", "X-B", "X-C"], "{own}");
    let head = rest.split_once("\r\n").unwrap().1;
    assert_eq!(names(head)[..4], ["X-A", "Host", "X-B", "X-C"], "{head}");
}

#[tokio::test]
async fn an_id_that_is_too_short_is_replaced() {
    let dyno = Dyno::hello("x").await;
    let rig = Rig::fixed(table(1, app(&[dyno.addr])), Limits::default()).await;
    rig.send(
        "GET / HTTP/1.1\r\nHost: app.test\r\nX-Request-Id: short\r\nConnection: close\r\n\r\n",
    )
    .await;
    let head = dyno.last_head();
    let id = header(&head, "x-request-id").unwrap();
    assert_eq!(id.len(), 36);
    let line = rig.log.with("at=info").await;
    assert!(line.contains(&format!("request_id={id} ")), "{line}");
}

#[tokio::test]
async fn a_host_nobody_has_is_a_404() {
    let rig = Rig::fixed(table(1, app(&[])), Limits::default()).await;
    let answer = rig.get("other<b>.test", "/").await;
    assert_eq!(status(&answer), 404);
    assert!(body(&answer).contains("No such app"), "{answer}");
    assert!(!body(&answer).contains("<b>"));
    let answer = rig
        .send("GET / HTTP/1.1\r\nHost: o.test\r\nAccept: application/json\r\nConnection: close\r\n\r\n")
        .await;
    assert!(
        body(&answer).starts_with("{\"id\":\"no_such_app\""),
        "{answer}"
    );
}

#[tokio::test]
async fn a_request_without_a_host_is_refused() {
    let rig = Rig::fixed(table(1, app(&[])), Limits::default()).await;
    let answer = rig
        .send("GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(status(&answer), 400);
    let answer = rig
        .send("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(status(&answer), 400);
}

#[tokio::test]
async fn an_absolute_target_beats_the_host_header() {
    let dyno = Dyno::hello("x").await;
    let rig = Rig::fixed(table(1, app(&[dyno.addr])), Limits::default()).await;
    let answer = rig
        .send("GET http://app.test/p HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(status(&answer), 200);
    let head = dyno.last_head();
    assert!(head.starts_with("GET /p HTTP/1.1"), "{head}");
    assert_eq!(header(&head, "host"), Some("app.test"));
}

#[tokio::test]
async fn wildcards_lead_to_their_app() {
    let dyno = Dyno::hello("x").await;
    let mut table = table(1, app(&[dyno.addr]));
    let target = Target::App {
        app: "app-id".to_owned(),
    };
    table.hosts = BTreeMap::from([("*.wild.test".to_owned(), target)]);
    let rig = Rig::fixed(table, Limits::default()).await;
    assert_eq!(status(&rig.get("any.wild.test", "/").await), 200);
    assert_eq!(status(&rig.get("wild.test", "/").await), 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_equal_dynos_get_equal_shares() {
    const REQUESTS: u64 = 10_000;
    const CLIENTS: usize = 64;
    let mut dynos = Vec::new();
    for _ in 0..4 {
        dynos.push(Dyno::hello("Hello").await);
    }
    let addrs: Vec<_> = dynos.iter().map(|dyno| dyno.addr).collect();
    let rig = Rig::fixed(table(1, app(&addrs)), Limits::default()).await;
    let next = Arc::new(AtomicU64::new(0));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let (next, addr) = (next.clone(), rig.addr);
        clients.spawn(async move {
            let mut stream = TcpStream::connect(addr).await.unwrap();
            stream.set_nodelay(true).unwrap();
            while next.fetch_add(1, SeqCst) < REQUESTS {
                stream
                    .write_all(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
                    .await
                    .unwrap();
                let answer = read_until(&mut stream, "Hello").await;
                assert_eq!(status(&answer), 200);
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    for dyno in &dynos {
        let share = dyno.count() as f64 / REQUESTS as f64 * 100.0;
        assert!((23.0..=27.0).contains(&share), "a dyno got {share:.2} %");
    }
    assert_eq!(rig.counters.snapshot().classes[2], REQUESTS);
}

#[tokio::test]
async fn connections_to_a_dyno_are_kept() {
    let dyno = Dyno::hello("x").await;
    let rig = Rig::fixed(table(1, app(&[dyno.addr])), Limits::default()).await;
    for _ in 0..20 {
        assert_eq!(status(&rig.get("app.test", "/").await), 200);
    }
    assert_eq!(dyno.connections.load(SeqCst), 1);
}

#[tokio::test]
async fn answers_to_head_have_no_body() {
    let reply = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive, x-gone\r\n\
                 X-Gone: 1\r\nX-Kept: 1\r\n\r\n";
    let dyno = Dyno::start(reply.to_owned(), None).await;
    let rig = Rig::fixed(table(1, app(&[dyno.addr])), Limits::default()).await;
    for _ in 0..2 {
        let answer = rig
            .send("HEAD / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n")
            .await;
        assert_eq!(status(&answer), 200, "{answer}");
        assert_eq!(header(&answer, "content-length"), Some("5"));
        assert_eq!(header(&answer, "x-gone"), None);
        assert_eq!(header(&answer, "x-kept"), Some("1"));
        assert_eq!(body(&answer), "");
    }
}

#[tokio::test]
async fn a_client_comes_to_its_dyno_again_while_that_is_there() {
    let mut dynos = [Dyno::hello("0").await, Dyno::hello("1").await];
    let route = ropewalk_api_types::router::AppRoute {
        session_affinity: true,
        ..app(&[dynos[0].addr, dynos[1].addr])
    };
    let rig = Rig::fixed(table(1, route), Limits::default()).await;
    let ask = async |cookie: &str| {
        rig.send(&format!(
            "GET / HTTP/1.1\r\nHost: app.test\r\nCookie: a=b; {cookie}\r\nConnection: close\r\n\r\n"
        ))
        .await
    };
    let first = ask("c=d").await;
    let set = header(&first, "set-cookie").expect("a cookie");
    let cookie = set
        .strip_suffix("; Path=/; HttpOnly")
        .expect(set)
        .to_owned();
    assert!(cookie.starts_with("heroku-session-affinity="), "{cookie}");
    assert!(
        !cookie.contains("127.0.0.1") && !cookie.contains("web"),
        "{cookie}"
    );
    for _ in 0..6 {
        let again = ask(&cookie).await;
        assert_eq!(body(&again), body(&first));
        assert_eq!(header(&again, "set-cookie"), None);
    }
    // The dyno sees what the client sent.
    let own: usize = body(&first).parse().unwrap();
    let head = dynos[own].last_head();
    assert_eq!(
        header(&head, "cookie"),
        Some(format!("a=b; {cookie}").as_str())
    );

    // Whoever makes one up, or brings nothing, is spread as ever.
    let forged = format!("heroku-session-affinity={}", "0".repeat(32));
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..4 {
        let answer = ask(&forged).await;
        assert!(header(&answer, "set-cookie").is_some());
        seen.insert(body(&answer).to_owned());
    }
    assert_eq!(seen.len(), 2);

    dynos[own].kill().await;
    let moved = ask(&cookie).await;
    assert_eq!(status(&moved), 200);
    assert_ne!(body(&moved), body(&first));
    let set = header(&moved, "set-cookie").expect("another cookie");
    assert!(!set.starts_with(&cookie), "{set}");
}

#[tokio::test]
async fn without_affinity_no_cookie_is_set_nor_heeded() {
    let dynos = [Dyno::hello("0").await, Dyno::hello("1").await];
    let addrs = [dynos[0].addr, dynos[1].addr];
    let rig = Rig::fixed(table(1, app(&addrs)), Limits::default()).await;
    for _ in 0..4 {
        let answer = rig.get("app.test", "/").await;
        assert_eq!(header(&answer, "set-cookie"), None);
    }
    assert_eq!((dynos[0].count(), dynos[1].count()), (2, 2));
}
