//! Requests that the dynos of another app answer, over sockets.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::net::SocketAddr;

use rig::*;
use ropewalk_api_types::router::{AppRoute, Canary, EdgePolicy, Table, WhenEmpty};
use ropewalk_router::Limits;

/// `app.test` of `app-id`, with the app `next-id` as its canary; that has no host.
fn split(weight: u16, own: &[SocketAddr], next: &[SocketAddr]) -> Table {
    let policy = EdgePolicy {
        canary: Some(Canary {
            app: "next-id".to_owned(),
            weight,
            cookie: Some("beta".to_owned()),
        }),
        ..EdgePolicy::default()
    };
    let home = AppRoute {
        edge: Some(Box::new(policy)),
        ..app(own)
    };
    let mut table = table(1, home);
    let route = AppRoute {
        name: "next".to_owned(),
        ..app(next)
    };
    table.apps.insert("next-id".to_owned(), route);
    table
}

fn ask(cookie: &str, address: &str) -> String {
    let cookie = match cookie {
        "" => String::new(),
        cookie => format!("Cookie: {cookie}\r\n"),
    };
    format!(
        "GET / HTTP/1.1\r\nHost: app.test\r\nX-Forwarded-For: {address}\r\n{cookie}Connection: close\r\n\r\n"
    )
}

/// The cookie that a client is to keep, `name=value`.
fn kept(answer: &str) -> Option<String> {
    let cookie = header(answer, "set-cookie")?;
    Some(cookie.split(';').next()?.to_owned())
}

#[tokio::test]
async fn a_share_of_the_clients_is_answered_by_the_other_app_and_stays_there() {
    let (own, next) = (Dyno::hello("own").await, Dyno::hello("next").await);
    let table = split(2_500, &[own.addr], &[next.addr]);
    let rig = Rig::fixed(table, Limits::default()).await;
    let mut canaries = 0;
    for n in 0..200 {
        let address = format!("192.0.2.{n}");
        let first = rig.send(&ask("", &address)).await;
        assert_eq!(status(&first), 200, "{first}");
        canaries += u32::from(body(&first) == "next");
        if n % 20 > 0 {
            continue;
        }
        // Without the cookie by the address, with it from anywhere.
        let again = rig.send(&ask("", &address)).await;
        assert_eq!((body(&again), kept(&again)), (body(&first), kept(&first)));
        let lot = kept(&first).unwrap();
        assert!(lot.starts_with("ropewalk-canary="), "{lot}");
        let moved = rig.send(&ask(&lot, "2001:db8::7")).await;
        assert_eq!((body(&moved), kept(&moved)), (body(&first), None));
    }
    // Five standard deviations.
    assert!((20..=80).contains(&canaries), "{canaries} of 200");
}

#[tokio::test]
async fn a_cookie_asks_for_one_of_the_two() {
    let (own, next) = (Dyno::hello("own").await, Dyno::hello("next").await);
    for weight in [0, 10_000] {
        let table = split(weight, &[own.addr], &[next.addr]);
        let rig = Rig::fixed(table, Limits::default()).await;
        for (cookie, wanted) in [
            ("beta=always", "next"),
            ("beta=never", "own"),
            ("beta=?", if weight == 0 { "own" } else { "next" }),
        ] {
            let answer = rig.send(&ask(cookie, "192.0.2.1")).await;
            assert_eq!(body(&answer), wanted, "{weight} {cookie}");
            assert_eq!(kept(&answer), None);
        }
    }
}

#[tokio::test]
async fn the_line_says_whose_dyno_it_was_in_both_apps_logs() {
    let server = Server::new();
    let rig = Rig::linked(&server, Limits::default());
    let mut link = server.rise().await;
    let (own, next) = (Dyno::hello("own").await, Dyno::hello("next").await);
    link.apply(split(0, &[own.addr], &[next.addr])).await;
    assert_eq!(body(&rig.get("app.test", "/").await), "own");
    let answer = rig.send(&ask("beta=always", "192.0.2.1")).await;
    assert_eq!(body(&answer), "next");
    let lines = link.log(3).await;
    let of = |app: &str| -> Vec<&str> {
        let lines = lines.iter().filter(|line| line.app == app);
        lines.map(|line| line.text.as_str()).collect()
    };
    let (home, canary) = (of("app-id"), of("next-id"));
    assert!(!home[0].contains("canary="), "{home:?}");
    assert!(
        home[1].contains(" host=app.test ") && home[1].contains(" dyno=web.1 canary=next connect="),
        "{home:?}"
    );
    assert_eq!(canary, [home[1]]);
    // Counted where it was asked, and where it was answered; timed by those who answered.
    let mut sums = [(0, 0); 2];
    while sums != [(2, 1), (1, 1)] {
        if let ropewalk_api_types::router::ToServer::Stats { apps } = link.next().await {
            for (sum, id) in sums.iter_mut().zip(["app-id", "next-id"]) {
                if let Some(stats) = apps.get(id) {
                    sum.0 += stats.classes[2];
                    sum.1 += stats.times.iter().map(|(_, count)| count).sum::<u64>();
                }
            }
        }
        assert!(sums[0] <= (2, 1) && sums[1] <= (1, 1), "{sums:?}");
    }
}

#[tokio::test]
async fn where_the_canary_cannot_answer_the_apps_own_dynos_do() {
    let (own, next) = (Dyno::hello("own").await, Dyno::hello("next").await);
    let whole = || split(10_000, &[own.addr], &[next.addr]);
    let changed = |change: &dyn Fn(&mut AppRoute)| {
        let mut table = whole();
        change(table.apps.get_mut("next-id").unwrap());
        table
    };
    let mut gone = whole();
    gone.apps.remove("next-id");
    let none = |when_empty| {
        changed(&|route: &mut AppRoute| {
            route.upstreams.clear();
            route.when_empty = when_empty;
        })
    };
    for (what, table) in [
        ("gone", gone),
        ("booting", none(WhenEmpty::Booting)),
        ("crashed", none(WhenEmpty::Crashed)),
        ("scaled down", none(WhenEmpty::NoWebDynos)),
        ("blank", none(WhenEmpty::Blank)),
        ("in maintenance", changed(&|route| route.maintenance = true)),
        (
            "paused",
            changed(&|route| {
                route.edge = Some(Box::new(EdgePolicy {
                    pause: true,
                    ..EdgePolicy::default()
                }));
            }),
        ),
        ("dead", split(10_000, &[own.addr], &[dead().await; 2])),
    ] {
        let rig = Rig::fixed(table, Limits::default()).await;
        for cookie in ["", "beta=always"] {
            let answer = rig.send(&ask(cookie, "192.0.2.1")).await;
            assert_eq!((status(&answer), body(&answer)), (200, "own"), "{what}");
        }
        let line = rig.log.with("status=200").await;
        assert!(!line.contains("canary="), "{what}: {line}");
    }
    assert_eq!(next.count(), 0);
}

#[tokio::test]
async fn the_app_itself_decides_whether_anybody_gets_in() {
    let next = Dyno::hello("next").await;
    // Its own dynos are no condition.
    let rig = Rig::fixed(split(10_000, &[], &[next.addr]), Limits::default()).await;
    assert_eq!(body(&rig.get("app.test", "/").await), "next");
    let mut closed = split(10_000, &[], &[next.addr]);
    closed.apps.get_mut("app-id").unwrap().maintenance = true;
    let rig = Rig::fixed(closed, Limits::default()).await;
    assert_eq!(status(&rig.get("app.test", "/").await), 503);
    rig.log.with("code=H80").await;
    let mut trusted = split(10_000, &[], &[next.addr]);
    let policy = trusted.apps.get_mut("app-id").unwrap().edge.as_mut();
    policy.unwrap().trusted_ips = vec!["192.0.2.0/24".to_owned()];
    let rig = Rig::fixed(trusted, Limits::default()).await;
    assert_eq!(status(&rig.get("app.test", "/").await), 403);
    assert_eq!(next.count(), 1);
}

#[tokio::test]
async fn what_waited_for_a_pause_to_end_goes_where_it_was_to_go() {
    let server = Server::new();
    let rig = std::sync::Arc::new(Rig::linked(&server, Limits::default()));
    let mut link = server.rise().await;
    let (own, next) = (Dyno::hello("own").await, Dyno::hello("next").await);
    let mut table = split(10_000, &[own.addr], &[next.addr]);
    let policy = table.apps.get_mut("app-id").unwrap().edge.as_mut();
    policy.unwrap().pause = true;
    link.apply(table).await;
    let waiting = tokio::spawn({
        let rig = std::sync::Arc::clone(&rig);
        async move { rig.get("app.test", "/").await }
    });
    until("a request that waits", || {
        (rig.counters.snapshot().in_flight == 1).then_some(())
    })
    .await;
    let mut open = split(10_000, &[own.addr], &[next.addr]);
    open.generation = 2;
    link.apply(open).await;
    assert_eq!(body(&waiting.await.unwrap()), "next");
}
