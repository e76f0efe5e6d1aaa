//! TCP routes in the ledger: one owner for a port and for a name, and gone with their app.

#![allow(clippy::unwrap_used)] // support code of tests

use jiff::Timestamp;
use ropewalk_model::tcp::{IDLE_TIMEOUT, MOST_ROUTES, ProxyProtocol};
use ropewalk_model::{AppId, AppName, ProcessType, ReleaseId, UserId};
use ropewalk_store::{
    Key, NewApp, NewTcpRoute, Store, StoreError, TcpEntrance, TcpRoute, WantedEntrance,
};
use uuid::Uuid;

fn open(dir: &tempfile::TempDir) -> Store {
    let key = Key::open(&dir.path().join("key")).unwrap();
    Store::open(&dir.path().join("ledger.db"), key).unwrap()
}

async fn app(store: &Store, name: &'static str) -> AppId {
    store
        .write(move |tx| {
            let user = UserId(Uuid::new_v4());
            tx.create_user(user, &format!("{name}@example.com"), true, Timestamp::now())?;
            let id = AppId(Uuid::new_v4());
            let new = NewApp {
                id,
                name: AppName::parse(name).unwrap(),
                owner: user,
                stack: "debian-13".into(),
                release: ReleaseId(Uuid::new_v4()),
            };
            tx.create_app(&new, Timestamp::now())?;
            Ok(id)
        })
        .await
        .unwrap()
}

async fn add(store: &Store, app: AppId, entrance: WantedEntrance) -> Result<TcpRoute, StoreError> {
    let new = NewTcpRoute {
        id: Uuid::new_v4(),
        app,
        process_type: ProcessType::parse("mqtt").unwrap(),
        entrance,
        dyno_port: 1883,
        idle_timeout: IDLE_TIMEOUT,
        proxy_protocol: None,
    };
    store
        .write(move |tx| tx.add_tcp_route(&new, Timestamp::now()))
        .await
}

#[tokio::test]
async fn how_dynos_are_told_of_clients_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let app = app(&store, "one").await;
    for version in [None, Some(ProxyProtocol::V1), Some(ProxyProtocol::V2)] {
        let new = NewTcpRoute {
            id: Uuid::new_v4(),
            app,
            process_type: ProcessType::web(),
            entrance: WantedEntrance::Lowest("20000-20009".parse().unwrap()),
            dyno_port: 1883,
            idle_timeout: IDLE_TIMEOUT,
            proxy_protocol: version,
        };
        let added = store
            .write(move |tx| tx.add_tcp_route(&new, Timestamp::now()))
            .await
            .unwrap();
        assert_eq!(added.proxy_protocol, version);
    }
}

fn lowest() -> WantedEntrance {
    WantedEntrance::Lowest("20000-20001".parse().unwrap())
}

fn this(port: u16) -> WantedEntrance {
    WantedEntrance::This(TcpEntrance::Port(port))
}

fn named(hostname: &str) -> WantedEntrance {
    WantedEntrance::This(TcpEntrance::Hostname(hostname.to_owned()))
}

#[tokio::test]
async fn the_lowest_free_port_is_taken_until_there_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let (one, two) = (app(&store, "one").await, app(&store, "two").await);
    let first = add(&store, one, lowest()).await.unwrap();
    assert_eq!(first.entrance, TcpEntrance::Port(20_000));
    let second = add(&store, two, lowest()).await.unwrap();
    assert_eq!(second.entrance, TcpEntrance::Port(20_001));
    let full = add(&store, one, lowest()).await.unwrap_err();
    assert!(matches!(full, StoreError::Refused(_)), "{full}");
    let taken = add(&store, one, this(20_001)).await.unwrap_err();
    assert_eq!(taken.to_string(), "port 20001 is already taken");
    // They are there after a restart, found by all their names, and free again with their app.
    drop(store);
    let store = open(&dir);
    let (wanted, id) = (first.clone(), first.id.to_string());
    let found = store.read(move |view| {
        let mqtt = ProcessType::parse("mqtt").unwrap();
        assert!(view.has_tcp_route(one, &mqtt)?);
        assert!(!view.has_tcp_route(one, &ProcessType::web())?);
        assert_eq!(view.find_tcp_route(one, "20000")?, wanted);
        assert_eq!(view.find_tcp_route(one, &id)?, wanted);
        assert!(view.find_tcp_route(two, "20000").is_err());
        view.tcp_routes(one)
    });
    assert_eq!(found.await.unwrap(), [first]);
    store.write(move |tx| tx.delete_app(one)).await.unwrap();
    let left = store.read(|view| view.all_tcp_routes()).await.unwrap();
    assert_eq!(left, [second]);
    let again = add(&store, two, lowest()).await.unwrap();
    assert_eq!(again.entrance, TcpEntrance::Port(20_000));
    let removed = store.write(move |tx| tx.remove_tcp_route(again.id));
    assert!(removed.await.unwrap());
}

#[tokio::test]
async fn a_name_is_a_domain_or_a_route_and_one_apps() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let (one, two) = (app(&store, "one").await, app(&store, "two").await);
    let route = add(&store, one, named("db.example.com")).await.unwrap();
    let domain = |app, name: &'static str| {
        store.write(move |tx| tx.add_domain(Uuid::new_v4(), app, name, Timestamp::now()))
    };
    domain(one, "www.example.com").await.unwrap();
    for app in [one, two] {
        for taken in [
            domain(app, "db.example.com").await.unwrap_err(),
            add(&store, app, named("db.example.com")).await.unwrap_err(),
        ] {
            let text = "domain db.example.com is already taken";
            assert_eq!(taken.to_string(), text);
        }
        let taken = add(&store, app, named("www.example.com")).await;
        assert!(matches!(taken, Err(StoreError::Taken { .. })));
    }
    let removed = store.write(move |tx| tx.remove_tcp_route(route.id));
    assert!(removed.await.unwrap());
    domain(two, "db.example.com").await.unwrap();
}

#[tokio::test]
async fn an_app_has_so_many_routes_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let app = app(&store, "one").await;
    for port in (20_000..).take(MOST_ROUTES) {
        add(&store, app, this(port)).await.unwrap();
    }
    let refused = add(&store, app, this(30_000)).await.unwrap_err();
    assert_eq!(refused.to_string(), "An app has at most 20 TCP routes.");
}
