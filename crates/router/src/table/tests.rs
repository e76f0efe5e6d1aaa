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
        hold: None,
        asleep: false,
        waiting_page: false,
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
        tcp: Vec::new(),
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
    match route_of(tables, host)? {
        Route::App(app) => Some(app.id.clone()),
        Route::Platform(_) => None,
    }
}

fn route_of(tables: &Tables, host: &str) -> Option<Route> {
    tables
        .load()
        .route(host, &tables.drained)
        .expect("in force")
}

fn app_of(tables: &Tables, id: &str) -> Option<Arc<App>> {
    tables.load().app(id, &tables.drained).expect("in force")
}

fn changes(
    since: u64,
    hosts: &[(&str, Option<&str>)],
    apps: &[(&str, Option<AppRoute>)],
) -> Changes {
    Changes {
        generation: since + 1,
        since,
        hosts: hosts
            .iter()
            .map(|(host, app)| {
                let target = app.map(|app| Target::App {
                    app: app.to_owned(),
                });
                ((*host).to_owned(), target)
            })
            .collect(),
        apps: apps
            .iter()
            .map(|(id, route)| ((*id).to_owned(), route.clone()))
            .collect(),
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
    let app = app_of(&tables, "a").expect("app");
    let kept = Arc::clone(&app.upstreams[0]);
    let gone = Arc::clone(&app.upstreams[1]);
    let place = gone.enter().expect("place");

    tables.apply(&table(&[], &[("a", route("a", &[("d1", 1), ("d3", 3)]))]));
    let app = app_of(&tables, "a").expect("app");
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
    let first = Arc::clone(&app_of(&tables, "a").expect("app").upstreams[0]);
    let place = first.enter().expect("place");
    tables.apply(&without);
    tables.apply(&with);
    let second = Arc::clone(&app_of(&tables, "a").expect("app").upstreams[0]);
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(second.load(), 1);
    assert!(tables.draining().is_empty());
    drop(place);
}

#[test]
fn an_app_is_made_ready_by_its_first_request() {
    let tables = Tables::new();
    let apps = [
        ("a", route("a", &[("d1", 1)])),
        ("b", route("b", &[("d2", 2)])),
    ];
    tables.apply(&table(&[("a.org", "a"), ("b.org", "b")], &apps));
    assert_eq!(tables.load().apps().count(), 0);
    assert_eq!(id_of(&tables, "b.org").as_deref(), Some("b"));
    let ready: Vec<_> = tables.load().apps().map(|app| app.id.clone()).collect();
    assert_eq!(ready, ["b"]);
    assert_eq!(tables.load().upstreams().count(), 1);
}

#[test]
fn changes_leave_what_they_do_not_name() {
    let tables = Tables::new();
    let apps = [
        ("a", route("a", &[("d1", 1)])),
        ("b", route("b", &[("d2", 2)])),
    ];
    tables.apply(&table(
        &[("a.org", "a"), ("b.org", "b"), ("*.b.org", "b")],
        &apps,
    ));
    let (a, b) = (app_of(&tables, "a").unwrap(), app_of(&tables, "b").unwrap());
    let place = b.upstreams[0].enter();
    let scaled = route("b", &[("d2", 2), ("d3", 3)]);
    let change = changes(
        1,
        &[("c.org", Some("c")), ("b.org", None)],
        &[("b", Some(scaled)), ("c", Some(route("c", &[])))],
    );
    assert!(tables.change(&change));
    assert_eq!(tables.load().generation, 2);
    assert!(Arc::ptr_eq(&a, &app_of(&tables, "a").unwrap()));
    let scaled = app_of(&tables, "b").unwrap();
    assert_eq!(scaled.upstreams.len(), 2);
    assert!(Arc::ptr_eq(&scaled.upstreams[0], &b.upstreams[0]));
    assert_eq!(scaled.upstreams[0].load(), 1);
    assert_eq!(id_of(&tables, "b.org"), None);
    assert_eq!(id_of(&tables, "www.b.org").as_deref(), Some("b"));
    assert_eq!(id_of(&tables, "c.org").as_deref(), Some("c"));

    // To a table that is no more.
    assert!(!tables.change(&change));

    assert!(tables.change(&changes(2, &[("*.b.org", None)], &[("b", None)])));
    assert!(app_of(&tables, "b").is_none());
    assert!(b.upstreams[0].enter().is_none());
    assert_eq!(tables.draining(), BTreeMap::from([("d2".to_owned(), 1)]));
    drop(place);
    assert!(tables.draining().is_empty());
}

#[test]
fn a_table_that_says_the_same_of_an_app_keeps_it() {
    let tables = Tables::new();
    let apps = [("a", route("a", &[("d1", 1)]))];
    tables.apply(&table(&[("a.org", "a")], &apps));
    let before = app_of(&tables, "a").unwrap();
    tables.apply(&table(&[("a.org", "a"), ("other.org", "a")], &apps));
    assert!(Arc::ptr_eq(&before, &app_of(&tables, "a").unwrap()));
}

/// Whoever looks an app up while tables follow one another gets an upstream that has not yet been replaced, or one that
/// refuses: never one of its own that nobody counts.
#[test]
fn a_request_never_begins_on_an_upstream_that_no_table_names() {
    let tables = Tables::new();
    let apps = [("a", route("a", &[("d0", 1)]))];
    tables.apply(&table(&[("a.org", "a")], &apps));
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Relaxed) {
                    let before = tables.load().generation;
                    let Ok(Some(app)) = tables.load().app("a", &tables.drained) else {
                        continue;
                    };
                    let Some(place) = app.upstreams[0].enter() else {
                        continue;
                    };
                    let number: u64 = place.upstream().id[1..].parse().unwrap();
                    // It is of a table that was in force then, or later.
                    assert!(number + 1 >= before, "{number} {before}");
                    drop(place);
                }
            });
        }
        for number in 1..2_000 {
            let (old, id) = (format!("d{}", number - 1), format!("d{number}"));
            let next = route("a", &[(&id, 1)]);
            assert!(tables.change(&changes(number, &[], &[("a", Some(next))])));
            let load = tables.load();
            let mut upstreams = load.upstreams();
            assert!(upstreams.all(|upstream| upstream.id != old));
        }
        stop.store(true, Relaxed);
    });
    assert!(tables.draining().is_empty());
}
