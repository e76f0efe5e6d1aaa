//! Edge policies in the ledger: by app, sealed, and gone with their app.

#![allow(clippy::unwrap_used)] // support code of tests

use jiff::Timestamp;
use ropewalk_model::edge::{BasicAuth, Name, Policy};
use ropewalk_model::{AppId, AppName, ReleaseId, UserId};
use ropewalk_store::{Key, NewApp, Store};
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

async fn set(store: &Store, app: AppId, policy: &Policy) -> Vec<Name> {
    let policy = policy.clone();
    store
        .write(move |tx| tx.set_edge_policy(app, &policy, Timestamp::now()))
        .await
        .unwrap()
}

#[tokio::test]
async fn policies_are_kept_by_app_and_go_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let key = dir.path().join("key");
    let store = Store::open(&path, Key::open(&key).unwrap()).unwrap();
    let (one, two) = (app(&store, "one").await, app(&store, "two").await);
    let auth = BasicAuth::new("dev", "hunter2hunter2", [9; 16]).unwrap();
    let mut policy = Policy::default();
    for name in Name::ALL {
        match name {
            Name::BasicAuth => policy.basic_auth = Some(auth.clone()),
            Name::Canary => policy.canary = Some(two),
            _ => policy.set(name, name.example()).unwrap(),
        }
    }
    assert_eq!(set(&store, one, &policy).await, Name::ALL);
    assert_eq!(set(&store, one, &policy).await, []);
    let read = store.read(move |view| view.edge_policy(one)).await;
    assert_eq!(read.unwrap(), policy);
    let others = store.read(move |view| view.edge_policy(two)).await;
    assert!(others.unwrap().is_empty());

    policy.unset(Name::Hsts);
    assert_eq!(set(&store, one, &policy).await, [Name::Hsts]);
    drop(store);
    let store = Store::open(&path, Key::open(&key).unwrap()).unwrap();
    let all = store.read(|view| view.edge_policies()).await.unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(all[&one], policy);

    // Not even the digest can be read off the disk.
    let digest = auth.kept();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains(&digest[..32]) && !text.contains("192.0.2.0"));
    }

    store.write(move |tx| tx.delete_app(one)).await.unwrap();
    let all = store.read(|view| view.edge_policies()).await.unwrap();
    assert!(all.is_empty());
}

#[tokio::test]
async fn a_canary_ends_with_either_app() {
    let dir = tempfile::tempdir().unwrap();
    let key = Key::open(&dir.path().join("key")).unwrap();
    let store = Store::open(&dir.path().join("ledger.db"), key).unwrap();
    let (home, other) = (app(&store, "home").await, app(&store, "next").await);
    let mut policy = Policy {
        canary: Some(other),
        ..Policy::default()
    };
    policy.set(Name::CanaryWeight, "0.05%").unwrap();
    policy.set(Name::Hsts, "1y").unwrap();
    let changed = [Name::Hsts, Name::Canary, Name::CanaryWeight];
    assert_eq!(set(&store, home, &policy).await, changed);
    policy.set(Name::CanaryWeight, "5%").unwrap();
    assert_eq!(set(&store, home, &policy).await, [Name::CanaryWeight]);
    let (read, homes) = store
        .read(move |view| Ok((view.edge_policies()?, view.canary_of(other)?)))
        .await
        .unwrap();
    assert_eq!((read[&home].clone(), homes), (policy.clone(), vec![home]));

    store.write(move |tx| tx.delete_app(other)).await.unwrap();
    policy.unset(Name::Canary);
    let read = store.read(move |view| view.edge_policy(home)).await;
    assert_eq!(read.unwrap(), policy);

    // An app that is none, or the app itself, is refused.
    for wrong in [other, home] {
        let mut policy = policy.clone();
        policy.canary = Some(wrong);
        policy.set(Name::CanaryWeight, "5%").unwrap();
        let set = store.write(move |tx| tx.set_edge_policy(home, &policy, Timestamp::now()));
        assert!(set.await.is_err());
    }
}
