//! Apps that sleep: who asks for one is held, wakes it once, and is told how long that took.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::time::Duration;

use rig::*;
use ropewalk_api_types::router::{AppRoute, ToServer, WhenEmpty};
use ropewalk_router::Limits;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

fn asleep() -> AppRoute {
    AppRoute {
        asleep: true,
        when_empty: WhenEmpty::Booting,
        ..app(&[])
    }
}

/// A request that is not read yet.
async fn ask(rig: &Rig, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(rig.addr).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Reads on until the router asks for an app.
async fn asked_for(link: &mut Link) -> String {
    loop {
        if let ToServer::Wake { app } = link.next().await {
            return app;
        }
    }
}

/// Reads on until so many requests wait.
async fn waiting(link: &mut Link, count: u64) {
    loop {
        match link.next().await {
            ToServer::Stats { apps } if apps.values().any(|app| app.waiting == count) => return,
            ToServer::Wake { app } => link.wakes.push(app),
            _ => {}
        }
    }
}

#[tokio::test]
async fn who_asks_for_a_sleeping_app_wakes_it_once_and_is_answered_when_it_is_there() {
    let server = Server::new();
    let rig = Rig::linked(&server, Limits::default());
    let mut link = server.rise().await;
    link.apply(table(1, asleep())).await;
    let mut held = vec![ask(&rig, "").await];
    assert_eq!(asked_for(&mut link).await, "app-id");
    for _ in 0..4 {
        held.push(ask(&rig, "Accept: text/html\r\n").await);
    }
    waiting(&mut link, 5).await;
    // It boots; the table says something else, and it is still the same sleep.
    let booting = AppRoute {
        session_affinity: true,
        ..asleep()
    };
    link.apply(table(2, booting)).await;
    let dyno = Dyno::hello("Hello").await;
    link.apply(table(3, app(&[dyno.addr]))).await;
    for mut stream in held {
        let answer = read_all(&mut stream).await;
        assert_eq!(status(&answer), 200, "{answer}");
        let waited = header(&answer, "ropewalk-cold-start").unwrap();
        assert!(waited.parse::<u64>().unwrap() < 60_000, "{waited}");
    }
    assert_eq!(link.wakes, [""; 0], "it was asked for once");
    let answer = rig.get("app.test", "/").await;
    assert_eq!(header(&answer, "ropewalk-cold-start"), None);

    // The next sleep is another one.
    link.apply(table(4, asleep())).await;
    let mut again = ask(&rig, "").await;
    assert_eq!(asked_for(&mut link).await, "app-id");
    link.apply(table(5, app(&[dyno.addr]))).await;
    assert_eq!(status(&read_all(&mut again).await), 200);
}

#[tokio::test]
async fn a_server_that_comes_back_is_asked_again_by_who_still_waits() {
    let server = Server::new();
    let rig = Rig::linked(&server, Limits::default());
    let mut link = server.rise().await;
    link.apply(table(1, asleep())).await;
    drop(link);
    let mut held = ask(&rig, "").await;
    let mut link = server.rise().await;
    link.apply(table(1, asleep())).await;
    if link.wakes.is_empty() {
        assert_eq!(asked_for(&mut link).await, "app-id");
    }
    drop(link);
    let mut link = server.rise().await;
    link.apply(table(7, asleep())).await;
    if link.wakes.is_empty() {
        assert_eq!(asked_for(&mut link).await, "app-id");
    }
    let dyno = Dyno::hello("Hello").await;
    link.apply(table(8, app(&[dyno.addr]))).await;
    assert_eq!(status(&read_all(&mut held).await), 200);
}

#[tokio::test]
async fn patience_with_a_sleeping_app_has_an_end_and_its_seats_are_counted() {
    let server = Server::new();
    let limits = Limits {
        boot: Duration::from_millis(300),
        held: 1,
        ..Limits::default()
    };
    let rig = Rig::linked(&server, limits);
    let mut link = server.rise().await;
    link.apply(table(1, asleep())).await;
    let mut first = ask(&rig, "").await;
    assert_eq!(asked_for(&mut link).await, "app-id");
    let refused = rig.get("app.test", "/").await;
    assert_eq!(status(&refused), 503);
    let late = read_all(&mut first).await;
    assert_eq!(status(&late), 503);
    let codes: Vec<String> = (link.log(2).await.iter())
        .filter_map(|line| Some(line.text.split_once("code=")?.1[..3].to_owned()))
        .collect();
    assert_eq!(codes, ["H11", "H20"]);
}

#[tokio::test]
async fn browsers_are_shown_a_page_if_the_app_wants_it_and_it_takes_long() {
    let server = Server::new();
    let rig = Rig::linked(&server, Limits::default());
    let mut link = server.rise().await;
    let with_page = AppRoute {
        waiting_page: true,
        ..asleep()
    };
    link.apply(table(1, with_page)).await;
    let mut program = ask(&rig, "Accept: application/json\r\n").await;
    let mut browser = ask(&rig, "Accept: text/html,*/*;q=0.8\r\n").await;
    assert_eq!(asked_for(&mut link).await, "app-id");
    let page = read_all(&mut browser).await;
    assert_eq!(status(&page), 503, "{page}");
    assert!(body(&page).contains("Waking up"), "{page}");
    assert_eq!(header(&page, "retry-after"), Some("2"));
    assert_eq!(header(&page, "refresh"), Some("2"));
    let line = &link.log(1).await[0].text;
    assert!(line.contains("edge=waiting-page"), "{line}");
    // One that is there soon needs no page.
    let mut browser = ask(&rig, "Accept: text/html\r\n").await;
    let dyno = Dyno::hello("Hello").await;
    link.apply(table(2, app(&[dyno.addr]))).await;
    for stream in [&mut browser, &mut program] {
        assert_eq!(status(&read_all(stream).await), 200);
    }
}
