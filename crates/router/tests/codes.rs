//! Every H-code the router gives: its trigger, its page, its log line.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::time::Duration;

use rig::*;
use ropewalk_api_types::router::{AppRoute, Table, ToRouter, WhenEmpty};
use ropewalk_router::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};

/// Limits that a test can wait for.
fn short() -> Limits {
    Limits {
        connect: Duration::from_millis(200),
        first_byte: Duration::from_millis(100),
        idle: Duration::from_millis(200),
        boot: Duration::from_millis(100),
        first_table: Duration::from_millis(100),
        ..Limits::default()
    }
}

fn empty(when_empty: WhenEmpty) -> AppRoute {
    AppRoute {
        when_empty,
        ..app(&[])
    }
}

async fn answered_by_router(table: Table, code: &str, line: &str) {
    let rig = Rig::fixed(table, short()).await;
    let answer = rig.get("app.test", "/x").await;
    assert_eq!(status(&answer), 503, "{answer}");
    assert!(body(&answer).contains(code), "{answer}");
    assert_eq!(
        header(&answer, "content-type"),
        Some("text/html; charset=utf-8")
    );
    let logged = rig.log.with(code).await;
    let (start, end) = line.split_once(" … ").unwrap();
    assert!(logged.starts_with(start), "{logged}");
    assert!(logged.ends_with(end), "{logged}");
}

#[tokio::test]
async fn h10_crashed() {
    answered_by_router(
        table(1, empty(WhenEmpty::Crashed)),
        "H10",
        "at=error code=H10 desc=\"App crashed\" method=GET path=\"/x\" host=app.test … \
         fwd=\"127.0.0.1\" dyno= connect= service= status=503 bytes= protocol=http",
    )
    .await;
}

#[tokio::test]
async fn h14_scaled_to_zero() {
    answered_by_router(
        table(1, empty(WhenEmpty::NoWebDynos)),
        "H14",
        "at=error code=H14 desc=\"No web processes running\" method=GET … \
         dyno= connect= service= status=503 bytes= protocol=http",
    )
    .await;
}

#[tokio::test]
async fn h81_never_deployed() {
    answered_by_router(
        table(1, empty(WhenEmpty::Blank)),
        "H81",
        "at=info code=H81 desc=\"Blank app\" method=GET … \
         dyno= connect= service= status=503 bytes= protocol=http",
    )
    .await;
}

#[tokio::test]
async fn h80_maintenance_beats_everything() {
    let dyno = Dyno::hello("x").await;
    let mut app = app(&[dyno.addr]);
    app.maintenance = true;
    answered_by_router(
        table(1, app),
        "H80",
        "at=info code=H80 desc=\"Maintenance mode\" method=GET … \
         dyno= connect= service= status=503 bytes= protocol=http",
    )
    .await;
    assert_eq!(dyno.count(), 0);
}

#[tokio::test]
async fn h20_boots_too_long() {
    answered_by_router(
        table(1, empty(WhenEmpty::Booting)),
        "H20",
        "at=error code=H20 desc=\"App boot timeout\" method=GET … \
         dyno= connect= service= status=503 bytes= protocol=http",
    )
    .await;
}

#[tokio::test]
async fn h11_too_many_held() {
    let limits = Limits {
        held: 1,
        boot: DEADLINE,
        ..short()
    };
    let rig = Rig::fixed(table(1, empty(WhenEmpty::Booting)), limits).await;
    let mut first = TcpStream::connect(rig.addr).await.unwrap();
    first
        .write_all(get("app.test", "/1").as_bytes())
        .await
        .unwrap();
    until("a held request", || {
        (rig.counters.snapshot().in_flight == 1).then_some(())
    })
    .await;
    let answer = rig.get("app.test", "/2").await;
    assert_eq!(status(&answer), 503);
    rig.log
        .with("at=error code=H11 desc=\"Backlog too deep\" method=GET path=\"/2\"")
        .await;
}

#[tokio::test]
async fn a_held_request_goes_to_the_dyno_that_comes_up() {
    let server = Server::new();
    let rig = Rig::linked(&server, Limits::default());
    let mut link = server.rise().await;
    link.apply(table(1, empty(WhenEmpty::Booting))).await;
    let mut client = TcpStream::connect(rig.addr).await.unwrap();
    client
        .write_all(get("app.test", "/").as_bytes())
        .await
        .unwrap();
    until("a held request", || {
        (rig.counters.snapshot().in_flight == 1).then_some(())
    })
    .await;
    // Another table that changes nothing for it must not end the wait.
    link.apply(table(2, empty(WhenEmpty::Booting))).await;
    let dyno = Dyno::hello("up").await;
    link.apply(table(3, app(&[dyno.addr]))).await;
    assert_eq!(body(&read_all(&mut client).await), "up");
}

#[tokio::test]
async fn h12_no_first_byte() {
    let dyno = raw_dyno(|stream| async move {
        let mut stream = BufReader::new(stream);
        while read_head(&mut stream).await.is_some() {}
    })
    .await;
    let rig = Rig::fixed(table(1, app(&[dyno])), short()).await;
    let answer = rig.get("app.test", "/").await;
    assert_eq!(status(&answer), 503);
    let line = rig.log.with("H12").await;
    assert!(
        line.starts_with("at=error code=H12 desc=\"Request timeout\" method=GET"),
        "{line}"
    );
    assert!(line.contains("dyno=web.1 connect="), "{line}");
    assert!(
        line.ends_with("ms status=503 bytes=0 protocol=http"),
        "{line}"
    );
}

#[tokio::test]
async fn h12_counts_from_the_end_of_the_upload() {
    let dyno = Dyno::hello("late but fine").await;
    let limits = Limits {
        first_byte: Duration::from_millis(150),
        idle: DEADLINE,
        ..short()
    };
    let rig = Rig::fixed(table(1, app(&[dyno.addr])), limits).await;
    let mut client = TcpStream::connect(rig.addr).await.unwrap();
    client
        .write_all(
            b"POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 6\r\nConnection: close\r\n\r\n",
        )
        .await
        .unwrap();
    // The client is slow on purpose: longer than the dyno's whole time.
    for byte in [b"a", b"b", b"c", b"d", b"e", b"f"] {
        tokio::time::sleep(Duration::from_millis(50)).await;
        client.write_all(byte).await.unwrap();
    }
    assert_eq!(body(&read_all(&mut client).await), "late but fine");
}

#[tokio::test]
async fn h12_of_an_upload_that_has_ended() {
    let dyno = raw_dyno(|stream| async move {
        let mut stream = BufReader::new(stream);
        read_head(&mut stream).await;
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await;
    let limits = Limits {
        first_byte: Duration::from_millis(150),
        idle: DEADLINE * 2,
        ..short()
    };
    let rig = Rig::fixed(table(1, app(&[dyno])), limits).await;
    let answer = rig
        .send(
            "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1\r\nConnection: close\r\n\r\na",
        )
        .await;
    assert_eq!(status(&answer), 503);
    rig.log.with("code=H12").await;
}

#[tokio::test]
async fn h13_closed_without_response() {
    let dyno = raw_dyno(|stream| async move {
        let mut stream = BufReader::new(stream);
        read_head(&mut stream).await;
    })
    .await;
    let rig = Rig::fixed(table(1, app(&[dyno])), short()).await;
    assert_eq!(status(&rig.get("app.test", "/").await), 503);
    let line = rig.log.with("H13").await;
    assert!(
        line.starts_with("at=error code=H13 desc=\"Connection closed without response\""),
        "{line}"
    );
    assert!(line.ends_with("status=503 bytes=0 protocol=http"), "{line}");
}

#[tokio::test]
async fn h15_silence_in_the_middle() {
    let dyno = raw_dyno(|stream| async move {
        let mut stream = BufReader::new(stream);
        read_head(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nfive!")
            .await
            .unwrap();
        read_head(&mut stream).await;
    })
    .await;
    let rig = Rig::fixed(table(1, app(&[dyno])), short()).await;
    let answer = rig.get("app.test", "/").await;
    assert_eq!(body(&answer), "five!");
    let line = rig.log.with("H15").await;
    assert!(
        line.starts_with("at=error code=H15 desc=\"Idle connection\""),
        "{line}"
    );
    assert!(line.ends_with("status=503 bytes=5 protocol=http"), "{line}");
}

#[tokio::test]
async fn h17_gibberish() {
    let dyno = raw_dyno(|stream| async move {
        let mut stream = BufReader::new(stream);
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/9.9 wat\r\n\r\n").await.unwrap();
        read_head(&mut stream).await;
    })
    .await;
    let rig = Rig::fixed(table(1, app(&[dyno])), short()).await;
    assert_eq!(status(&rig.get("app.test", "/").await), 503);
    rig.log
        .with("at=error code=H17 desc=\"Poorly formatted HTTP response\"")
        .await;
}

#[tokio::test]
async fn h18_cut_in_the_middle_of_the_response() {
    let dyno = raw_dyno(|stream| async move {
        let mut stream = BufReader::new(stream);
        read_head(&mut stream).await;
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nfive!")
            .await;
    })
    .await;
    let rig = Rig::fixed(table(1, app(&[dyno])), short()).await;
    let answer = rig.get("app.test", "/").await;
    assert_eq!(status(&answer), 200);
    let line = rig.log.with("H18").await;
    assert!(
        line.starts_with(
            "sock=backend at=error code=H18 desc=\"Server Request Interrupted\" method="
        ),
        "{line}"
    );
}

#[tokio::test]
async fn h18_cut_in_the_middle_of_the_request() {
    let dyno = raw_dyno(|mut stream| async move {
        let mut some = [0; 1024];
        let _ = stream.read(&mut some).await;
    })
    .await;
    let rig = Rig::fixed(table(1, app(&[dyno])), Limits::default()).await;
    let mut client = TcpStream::connect(rig.addr).await.unwrap();
    client
        .write_all(b"POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 10000000\r\n\r\nstart")
        .await
        .unwrap();
    let answer = read_until(&mut client, "\r\n\r\n").await;
    assert_eq!(status(&answer), 503);
    rig.log.with("sock=backend at=error code=H18").await;
}

#[tokio::test]
async fn h19_nobody_takes_the_connection() {
    // A full backlog: the kernel neither accepts nor refuses.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(ANY).unwrap();
    let listener = socket.listen(0).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut fill = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(addr)).await
    {
        fill.push(stream);
    }
    let rig = Rig::fixed(table(1, app(&[addr])), short()).await;
    assert_eq!(status(&rig.get("app.test", "/").await), 503);
    let line = rig.log.with("H19").await;
    assert!(
        line.starts_with("at=error code=H19 desc=\"Backend connection timeout\""),
        "{line}"
    );
    let ms: u64 = line
        .split_once("dyno=web.1 connect=")
        .and_then(|(_, rest)| rest.split_once("ms service= status=503 bytes= protocol=http"))
        .and_then(|(ms, _)| ms.parse().ok())
        .unwrap_or_else(|| panic!("{line}"));
    assert!(ms >= 200);
}

#[tokio::test]
async fn h21_everybody_refuses() {
    let rig = Rig::fixed(table(1, app(&[dead().await, dead().await])), short()).await;
    assert_eq!(status(&rig.get("app.test", "/").await), 503);
    let line = rig.log.with("H21").await;
    assert!(
        line.starts_with("at=error code=H21 desc=\"Backend connection refused\""),
        "{line}"
    );
    assert!(
        line.contains("ms service= status=503 bytes= protocol=http"),
        "{line}"
    );
    assert_eq!(rig.counters.snapshot().connect_failures, 2);
}

#[tokio::test]
async fn h25_a_head_too_large() {
    let dyno = raw_dyno(|stream| async move {
        let mut stream = BufReader::new(stream);
        read_head(&mut stream).await;
        let cookie = "x".repeat(100_000);
        let reply = format!("HTTP/1.1 200 OK\r\nSet-Cookie: {cookie}\r\nContent-Length: 0\r\n\r\n");
        let _ = stream.write_all(reply.as_bytes()).await;
        read_head(&mut stream).await;
    })
    .await;
    let rig = Rig::fixed(table(1, app(&[dyno])), Limits::default()).await;
    assert_eq!(status(&rig.get("app.test", "/").await), 502);
    rig.log
        .with("at=error code=H25 desc=\"HTTP restriction: oversized header\"")
        .await;
}

#[tokio::test]
async fn h26_what_cannot_be_passed_on() {
    let dyno = Dyno::hello("x").await;
    let rig = Rig::fixed(table(1, app(&[dyno.addr])), short()).await;
    let answer = rig
        .send("GET / HTTP/1.1\r\nHost: app.test\r\nExpect: tea\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(status(&answer), 417);
    let line = rig.log.with("H26").await;
    assert!(
        line.starts_with(
            "at=error code=H26 desc=\"Request Error\" cause=\"unsupported expect header value\" method=GET"
        ),
        "{line}"
    );
    assert!(
        line.ends_with("dyno= connect= service= status=417 bytes= protocol=http"),
        "{line}"
    );
    let long = "x".repeat(9000);
    let answer = rig.get("app.test", &format!("/{long}")).await;
    assert_eq!(status(&answer), 414);
    assert_eq!(dyno.count(), 0);
}

#[tokio::test]
async fn h27_the_client_leaves() {
    let dyno = raw_dyno(|stream| async move {
        let mut stream = BufReader::new(stream);
        while read_head(&mut stream).await.is_some() {}
    })
    .await;
    let rig = Rig::fixed(table(1, app(&[dyno])), Limits::default()).await;
    let mut client = TcpStream::connect(rig.addr).await.unwrap();
    client
        .write_all(get("app.test", "/").as_bytes())
        .await
        .unwrap();
    until("a request at the dyno", || {
        (rig.counters.snapshot().connects == 1).then_some(())
    })
    .await;
    drop(client);
    let line = rig.log.with("H27").await;
    assert!(
        line.starts_with(
            "sock=client at=warning code=H27 desc=\"Client Request Interrupted\" method=GET"
        ),
        "{line}"
    );
    assert!(
        line.ends_with("ms status=499 bytes=0 protocol=http"),
        "{line}"
    );
}

#[tokio::test]
async fn h28_the_client_falls_silent() {
    let dyno = Dyno::hello("x").await;
    let rig = Rig::fixed(table(1, app(&[dyno.addr])), short()).await;
    let mut client = TcpStream::connect(rig.addr).await.unwrap();
    client
        .write_all(b"POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 10\r\nConnection: close\r\n\r\nabc")
        .await
        .unwrap();
    let answer = read_until(&mut client, "\r\n\r\n").await;
    assert_eq!(status(&answer), 408);
    let line = rig.log.with("H28").await;
    assert!(
        line.starts_with("at=warning code=H28 desc=\"Client Connection Idle\" method=POST"),
        "{line}"
    );
    assert!(line.ends_with("status=499 bytes=0 protocol=http"), "{line}");
}

#[tokio::test]
async fn json_for_who_asks_for_it() {
    let rig = Rig::fixed(table(1, empty(WhenEmpty::Crashed)), short()).await;
    let answer = rig
        .send(
            "GET / HTTP/1.1\r\nHost: app.test\r\nAccept: application/json\r\n\
             X-Request-Id: 0123456789abcdefghij\r\nConnection: close\r\n\r\n",
        )
        .await;
    assert_eq!(header(&answer, "content-type"), Some("application/json"));
    assert_eq!(
        body(&answer),
        "{\"id\":\"H10\",\"message\":\"App crashed\",\"request_id\":\"0123456789abcdefghij\"}"
    );
}

#[tokio::test]
async fn the_apps_own_pages_are_framed() {
    let mut route = empty(WhenEmpty::Crashed);
    route.error_page_url = Some("https://pages.test/error".to_owned());
    route.maintenance_page_url = Some("https://pages.test/maintenance".to_owned());
    let rig = Rig::fixed(table(1, route.clone()), short()).await;
    let answer = rig.get("app.test", "/").await;
    assert_eq!(status(&answer), 503);
    assert!(
        answer.contains("<iframe src=\"https://pages.test/error\">"),
        "{answer}"
    );
    route.maintenance = true;
    let rig = Rig::fixed(table(1, route), short()).await;
    let answer = rig.get("app.test", "/").await;
    assert!(
        answer.contains("<iframe src=\"https://pages.test/maintenance\">"),
        "{answer}"
    );
}

#[tokio::test]
async fn before_the_first_table_requests_wait_and_then_are_told() {
    let server = Server::new();
    let rig = Rig::linked(&server, short());
    let answer = rig.get("app.test", "/").await;
    assert_eq!(status(&answer), 503);
    rig.shut_down().await;
    let limits = Limits {
        first_table: DEADLINE,
        ..short()
    };
    let rig = Rig::linked(&server, limits);
    let mut client = TcpStream::connect(rig.addr).await.unwrap();
    client
        .write_all(get("app.test", "/").as_bytes())
        .await
        .unwrap();
    let mut link = server.rise().await;
    let dyno = Dyno::hello("first").await;
    link.send(&ToRouter::Table(table(1, app(&[dyno.addr]))))
        .await;
    assert_eq!(body(&read_all(&mut client).await), "first");
}
