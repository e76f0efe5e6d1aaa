//! Routes that follow one another, dynos that leave, and places for connections.

use ropewalk_api_types::router::{DynoProtocol, EdgePolicy, WhenEmpty};

use super::*;

fn upstream(id: &str, port: u16) -> wire::Upstream {
    wire::Upstream {
        id: id.to_owned(),
        dyno: "mqtt.1".to_owned(),
        addr: format!("127.0.0.1:{port}"),
    }
}

/// A route's id, entrance and dynos, each with its port.
type Given<'a> = (&'a str, TcpEntrance, &'a [(&'a str, u16)]);

fn app(routes: &[Given<'_>]) -> AppRoute {
    AppRoute {
        name: "app".to_owned(),
        maintenance: false,
        session_affinity: false,
        concurrency: None,
        protocol: DynoProtocol::Http1,
        error_page_url: None,
        maintenance_page_url: None,
        edge: None,
        hold: None,
        asleep: false,
        waiting_page: false,
        when_empty: WhenEmpty::NoWebDynos,
        upstreams: Vec::new(),
        tcp: routes
            .iter()
            .map(|(id, entrance, dynos)| wire::TcpRoute {
                id: (*id).to_owned(),
                process_type: "mqtt".to_owned(),
                entrance: entrance.clone(),
                idle: 60,
                proxy_protocol: None,
                wanted: true,
                upstreams: dynos.iter().map(|(id, port)| upstream(id, *port)).collect(),
            })
            .collect(),
    }
}

fn table(apps: &[(&str, AppRoute)]) -> Table {
    let apps = apps.iter().map(|(id, app)| ((*id).to_owned(), app.clone()));
    Table {
        apps: apps.collect(),
        ..Table::default()
    }
}

fn tcp() -> Tcp {
    Tcp::new(RawSockets::default(), Arc::default())
}

fn name(name: &str) -> TcpEntrance {
    TcpEntrance::ServerName(name.to_owned())
}

const PORT: TcpEntrance = TcpEntrance::Port(20_000);

#[test]
fn routes_are_found_by_port_and_name_until_they_are_gone() {
    let tcp = tcp();
    assert!(!tcp.has_names());
    let one = app(&[("r1", PORT, &[("d1", 1)])]);
    let two = app(&[("r2", name("db.example.com"), &[("d2", 2)])]);
    tcp.apply(&table(&[("a", one.clone()), ("b", two), ("c", app(&[]))]));
    assert!(tcp.has_names());
    assert_eq!(tcp.find(&PORT).unwrap().id, "r1");
    assert_eq!(tcp.find(&name("db.example.com")).unwrap().id, "r2");
    assert!(tcp.find(&TcpEntrance::Port(20_001)).is_none());
    // Another app has the port now; what is not told of stays.
    let change = |apps: &[(&str, Option<AppRoute>)]| Changes {
        apps: apps
            .iter()
            .map(|(id, app)| ((*id).to_owned(), app.clone()))
            .collect(),
        ..Changes::default()
    };
    tcp.change(&change(&[("a", Some(app(&[]))), ("c", Some(one))]));
    assert_eq!(tcp.find(&PORT).unwrap().shared.tally.app, "c");
    assert!(tcp.find(&name("db.example.com")).is_some());
    tcp.change(&change(&[("b", None)]));
    assert!(!tcp.has_names());
    tcp.apply(&table(&[]));
    assert!(tcp.find(&PORT).is_none());
}

#[test]
fn a_dyno_that_leaves_takes_no_more_and_drains() {
    let tcp = tcp();
    let both: &[(&str, u16)] = &[("d1", 1), ("d2", 2)];
    tcp.apply(&table(&[("a", app(&[("r1", PORT, both)]))]));
    let before = tcp.find(&PORT).unwrap();
    let (index, dyno) = before.pick(&[]).unwrap();
    assert_eq!((index, dyno.upstream.id.as_str()), (0, "d1"));
    let place = dyno.upstream.enter().unwrap();
    assert_eq!(before.pick(&[]).unwrap().0, 1, "the one with fewer");
    tcp.apply(&table(&[("a", app(&[("r1", PORT, &both[1..])]))]));
    assert!(before.dynos[0].upstream.enter().is_none());
    let after = tcp.find(&PORT).unwrap();
    assert!(Arc::ptr_eq(&before.shared, &after.shared));
    assert!(Arc::ptr_eq(
        &before.dynos[1].upstream,
        &after.dynos[0].upstream
    ));
    let draining = || {
        let mut sum = BTreeMap::new();
        tcp.draining(&mut sum);
        sum
    };
    assert_eq!(draining(), BTreeMap::from([("d1".to_owned(), 1)]));
    // It comes back with what it has.
    tcp.apply(&table(&[("a", app(&[("r1", PORT, both)]))]));
    assert_eq!(tcp.find(&PORT).unwrap().dynos[0].upstream.load(), 1);
    assert!(draining().is_empty());
    drop(place);
    assert_eq!(tcp.find(&PORT).unwrap().dynos[0].upstream.load(), 0);
}

#[test]
fn short_connections_take_turns() {
    let tcp = tcp();
    let one = app(&[("r1", PORT, &[("d1", 1), ("d2", 2), ("d3", 3)])]);
    tcp.apply(&table(&[("a", one)]));
    let route = tcp.find(&PORT).unwrap();
    let turns: Vec<usize> = (0..6)
        .map(|_| {
            let (index, dyno) = route.pick(&[]).unwrap();
            drop(dyno.upstream.enter().unwrap());
            index
        })
        .collect();
    assert_eq!(turns, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn who_took_no_connection_is_asked_last() {
    let tcp = tcp();
    let three: &[(&str, u16)] = &[("d1", 1), ("d2", 2), ("d3", 3)];
    tcp.apply(&table(&[("a", app(&[("r1", PORT, three)]))]));
    let route = tcp.find(&PORT).unwrap();
    route.dynos[0].shun();
    route.dynos[2].shun();
    assert_eq!(route.pick(&[]).unwrap().0, 1);
    assert_eq!(route.pick(&[]).unwrap().0, 1);
    assert_eq!(route.pick(&[1]).unwrap().0, 0);
    assert!(route.pick(&[0, 1, 2]).is_none());
}

#[test]
fn places_are_counted_by_route_and_by_client() {
    let tcp = tcp();
    tcp.apply(&table(&[("a", app(&[("r1", PORT, &[])]))]));
    let route = tcp.find(&PORT).unwrap();
    let enter = |ip: &str| route.enter(ip.parse().unwrap(), 4, 2);
    let one = enter("192.0.2.1").unwrap();
    let _two = enter("192.0.2.1").unwrap();
    assert_eq!(enter("192.0.2.1").unwrap_err(), Fault::CrowdedByClient);
    let _three = enter("2001:db8::1").unwrap();
    let _four = enter("2001:db8::2").unwrap();
    assert_eq!(enter("192.0.2.2").unwrap_err(), Fault::Crowded);
    drop(one);
    assert_eq!(enter("2001:db8::3").unwrap_err(), Fault::CrowdedByClient);
    let _five = enter("192.0.2.1").unwrap();
    assert_eq!(tcp.take_stats()["a"].open, 4);
    // A route that is gone counts for as long as it has any.
    tcp.apply(&table(&[]));
    assert_eq!(tcp.take_stats()["a"].open, 4);
}

#[test]
fn an_app_says_who_is_let_in() {
    let tcp = tcp();
    let mut app = app(&[("r1", PORT, &[])]);
    app.edge = Some(Box::new(EdgePolicy {
        trusted_ips: vec!["192.0.2.0/24".to_owned()],
        pause: true,
        ..EdgePolicy::default()
    }));
    tcp.apply(&table(&[("a", app)]));
    let route = tcp.find(&PORT).unwrap();
    assert!(route.paused);
    assert!(route.trusts("192.0.2.9".parse().unwrap()));
    assert!(!route.trusts("198.51.100.1".parse().unwrap()));
}
