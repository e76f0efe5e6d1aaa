//! Log drains in the ledger: sealed, each address once an app, bounded, and gone with their app.

#![allow(clippy::unwrap_used)] // support code of tests

use jiff::Timestamp;
use ropewalk_model::drain::MAX_DRAINS;
use ropewalk_model::{AppId, AppName, DrainUrl, ReleaseId, UserId};
use ropewalk_store::{Key, LogDrain, NewApp, Result, Store, StoreError};
use uuid::Uuid;

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

async fn add(store: &Store, app: AppId, url: &str) -> Result<LogDrain> {
    let url = DrainUrl::parse(url).unwrap();
    let id = Uuid::new_v4();
    store
        .write(move |tx| tx.add_log_drain(id, app, &format!("d.{id}"), &url, Timestamp::now()))
        .await
}

#[tokio::test]
async fn drains_are_sealed_found_by_each_name_and_go_with_their_app() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let store = Store::open(&path, Key::open(&dir.path().join("key")).unwrap()).unwrap();
    let (one, two) = (app(&store, "one").await, app(&store, "two").await);
    let drain = add(&store, one, "https://user:hunter2@logs.example.com/in")
        .await
        .unwrap();
    let again = add(&store, one, "HTTPS://user:hunter2@LOGS.example.com/in").await;
    assert!(
        matches!(&again, Err(StoreError::Refused(text)) if text.contains("already") && !text.contains("hunter2")),
        "{again:?}"
    );
    add(&store, two, "https://user:hunter2@logs.example.com/in")
        .await
        .unwrap();
    for key in [
        drain.id.to_string(),
        drain.token.clone(),
        drain.url.as_str().to_owned(),
    ] {
        let found = store.read(move |view| view.find_log_drain(one, &key)).await;
        assert_eq!(found.unwrap(), drain);
    }
    let token = drain.token.clone();
    let foreign = store
        .read(move |view| view.find_log_drain(two, &token))
        .await;
    assert!(matches!(foreign, Err(StoreError::NotFound("log_drain"))));
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(7).any(|seven| seven == b"hunter2"));
    }
    for n in 1..MAX_DRAINS {
        add(&store, one, &format!("syslog://logs.example.com:{n}"))
            .await
            .unwrap();
    }
    let many = add(&store, one, "syslog://logs.example.com:999").await;
    assert!(matches!(many, Err(StoreError::Refused(_))), "{many:?}");
    let id = drain.id;
    assert!(
        store
            .write(move |tx| tx.remove_log_drain(id))
            .await
            .unwrap()
    );
    assert!(
        !store
            .write(move |tx| tx.remove_log_drain(id))
            .await
            .unwrap()
    );
    store.write(move |tx| tx.delete_app(one)).await.unwrap();
    let left = store.read(|view| view.all_log_drains()).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].app, two);
}
