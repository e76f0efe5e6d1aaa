//! Hosts to apps, and tables that follow one another.

use std::net::SocketAddr;

use ropewalk_api_types::router::Upstream as Wire;

use super::*;

fn route(name: &str, dynos: &[(&str, u16)]) -> AppRoute {
    AppRoute {
        name: name.to_owned(),
        maintenance: false,
        session_affinity: false,
        concurrency: None,
        error_page_url: None,
        maintenance_page_url: None,
        edge: None,
        when_empty: WhenEmpty::NoWebDynos,
        protocol: DynoProtocol::Http1,
        upstreams: dynos
            .iter()
            .map(|(id, port)| Wire {
                id: (*id).to_owned(),
                dyno: "web.1".to_owned(),
                addr: format!("127.0.0.1:{port}"),
            })
            .collect(),
    }
}

fn table(hosts: &[(&str, &str)], apps: &[(&str, AppRoute)]) -> Table {
    Table {
        generation: 1,
        hosts: hosts
            .iter()
            .map(|(host, app)| {
                let app = (*app).to_owned();
                ((*host).to_owned(), Target::App { app })
            })
            .collect(),
        apps: apps
            .iter()
            .map(|(id, route)| ((*id).to_owned(), route.clone()))
            .collect(),
        rendezvous: None,
    }
}

fn id_of(tables: &Tables, host: &str) -> Option<String> {
    match tables.load().route(host)? {
        Route::App(app) => Some(app.id.clone()),
        Route::Platform(_) => None,
    }
}

#[test]
fn exact_beats_wildcard_and_the_closest_wildcard_wins() {
    let tables = Tables::new();
    let apps = [
        ("a", route("a", &[])),
        ("b", route("b", &[])),
        ("c", route("c", &[])),
    ];
    tables.apply(&table(
        &[("www.x.org", "a"), ("*.x.org", "b"), ("*.org", "c")],
        &apps,
    ));
    assert_eq!(id_of(&tables, "www.x.org").as_deref(), Some("a"));
    assert_eq!(id_of(&tables, "api.x.org").as_deref(), Some("b"));
    assert_eq!(id_of(&tables, "deep.api.x.org").as_deref(), Some("b"));
    assert_eq!(id_of(&tables, "y.org").as_deref(), Some("c"));
    assert_eq!(id_of(&tables, "x.com"), None);
    assert_eq!(id_of(&tables, "org"), None);
}

#[test]
fn a_fixed_table_takes_any_host() {
    let tables = Tables::new();
    let addr = SocketAddr::from(([127, 0, 0, 1], 80));
    tables.apply(&fixed_table(&[addr], DynoProtocol::Http1));
    assert_eq!(id_of(&tables, "localhost").as_deref(), Some("fixed"));
    assert_eq!(id_of(&tables, "10.0.0.1").as_deref(), Some("fixed"));
}

#[test]
fn upstreams_that_stay_keep_their_counts_and_those_that_go_drain() {
    let tables = Tables::new();
    tables.apply(&table(&[], &[("a", route("a", &[("d1", 1), ("d2", 2)]))]));
    let load = tables.load();
    let app = load.app("a").expect("app");
    let kept = Arc::clone(&app.upstreams[0]);
    let gone = Arc::clone(&app.upstreams[1]);
    let place = gone.enter().expect("place");

    tables.apply(&table(&[], &[("a", route("a", &[("d1", 1), ("d3", 3)]))]));
    let load = tables.load();
    let app = load.app("a").expect("app");
    assert!(Arc::ptr_eq(&app.upstreams[0], &kept));
    assert!(gone.enter().is_none());
    assert_eq!(tables.draining(), BTreeMap::from([("d2".to_owned(), 1)]));
    drop(place);
    assert!(tables.draining().is_empty());
}

#[test]
fn an_upstream_that_comes_back_is_the_same_one() {
    let tables = Tables::new();
    let with = table(&[], &[("a", route("a", &[("d1", 1)]))]);
    let without = table(&[], &[("a", route("a", &[]))]);
    tables.apply(&with);
    let first = Arc::clone(&tables.load().app("a").expect("app").upstreams[0]);
    let place = first.enter().expect("place");
    tables.apply(&without);
    tables.apply(&with);
    let second = Arc::clone(&tables.load().app("a").expect("app").upstreams[0]);
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(second.load(), 1);
    assert!(tables.draining().is_empty());
    drop(place);
}
