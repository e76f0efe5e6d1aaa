//! Accounts, tokens, collaborators and second factors: what the ledger keeps of them, and what it refuses.

#![allow(clippy::unwrap_used)] // support code of tests

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use ropewalk_model::rights::Relation;
use ropewalk_model::{AppId, AppName, ReleaseId, TokenId, UserId};
use ropewalk_store::{Key, NewApp, NewSshKey, NewToken, Result, Store, StoreError, Tx};
use uuid::Uuid;

fn open(dir: &Path) -> Store {
    Store::open(&dir.join("ledger.db"), Key::open(&dir.join("key")).unwrap()).unwrap()
}

fn now() -> Timestamp {
    Timestamp::now()
}

fn user(n: u128) -> UserId {
    UserId(Uuid::from_u128(n))
}

fn app(tx: &Tx<'_>, name: &str, owner: UserId) -> Result<AppId> {
    let new = NewApp {
        id: AppId(Uuid::new_v4()),
        name: AppName::parse(name).unwrap(),
        owner,
        stack: "debian-13".into(),
        release: ReleaseId(Uuid::new_v4()),
    };
    tx.create_app(&new, now()).map(|app| app.id)
}

fn token(user: UserId, text: &str, session: bool) -> NewToken {
    NewToken {
        id: TokenId(Uuid::new_v4()),
        user,
        text: text.into(),
        description: "test".into(),
        scope: "global".into(),
        session,
        expires_at: None,
    }
}

/// An administrator (1) and two others (2, 3).
async fn people(store: &Store) {
    store
        .write(|tx| {
            for (n, email, admin) in [
                (1, "admin@example.com", true),
                (2, "dev@example.com", false),
                (3, "other@example.com", false),
            ] {
                tx.create_user(user(n), email, admin, now())?;
            }
            Ok(())
        })
        .await
        .unwrap();
}

fn refused<T: std::fmt::Debug>(outcome: Result<T>) -> String {
    match outcome {
        Err(StoreError::Refused(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn owners_and_the_last_administrator_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    people(&store).await;
    let demo = store.write(|tx| app(tx, "demo", user(2))).await.unwrap();
    let text = refused(store.write(|tx| tx.delete_user(user(2), now())).await);
    assert_eq!(text, "dev@example.com owns the app demo; destroy it first.");
    let last = "This is the last administrator; make somebody else one first.";
    assert_eq!(
        refused(store.write(|tx| tx.delete_user(user(1), now())).await),
        last
    );
    assert_eq!(
        refused(store.write(|tx| tx.set_admin(user(1), false, now())).await),
        last
    );
    store
        .write(move |tx| {
            tx.set_admin(user(3), true, now())?;
            tx.delete_user(user(1), now())?;
            tx.delete_app(demo)?;
            tx.delete_user(user(2), now())
        })
        .await
        .unwrap();
    let left = store.read(|view| view.users()).await.unwrap();
    assert_eq!(left.len(), 1);
}

#[tokio::test]
async fn a_deleted_account_leaves_its_name_in_the_history_and_no_right() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    people(&store).await;
    let id = store
        .write(|tx| {
            let id = app(tx, "demo", user(2))?;
            tx.add_collaborator(Uuid::new_v4(), id, user(3), now())?;
            tx.create_token(&token(user(3), "token-of-the-third", true), now())?;
            Ok(id)
        })
        .await
        .unwrap();
    let relation = async || {
        store
            .read(move |view| view.relation(user(3), &view.app(id)?))
            .await
            .unwrap()
    };
    assert_eq!(relation().await, Relation::Collaborator);
    let again = store
        .write(move |tx| tx.add_collaborator(Uuid::new_v4(), id, user(3), now()))
        .await;
    assert_eq!(refused(again), "User is already a collaborator on app.");

    store
        .write(|tx| tx.delete_user(user(3), now()))
        .await
        .unwrap();
    assert_eq!(relation().await, Relation::Stranger);
    store
        .read(|view| {
            assert!(view.authenticate("token-of-the-third", now())?.is_none());
            assert!(view.user_by_email("other@example.com")?.is_none());
            assert!(view.find_user(&user(3).to_string()).is_err());
            assert_eq!(view.user(user(3))?.email, "other@example.com");
            Ok(())
        })
        .await
        .unwrap();

    // The address can be used again; what it once had does not come back.
    let back = store
        .write(|tx| tx.create_user(user(9), "Other@example.com", false, now()))
        .await
        .unwrap();
    assert_eq!((back.id, back.last_login), (user(3), None));
    assert_eq!(relation().await, Relation::Stranger);
}

#[tokio::test]
async fn sessions_end_together_and_tokens_are_renewed_in_place() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    people(&store).await;
    let (kept, renewed) = store
        .write(|tx| {
            tx.create_token(&token(user(2), "a-session-of-mine", true), now())?;
            let kept = tx.create_token(&token(user(2), "the-session-in-hand", true), now())?;
            let long = tx.create_token(&token(user(2), "a-long-lived-token", false), now())?;
            tx.create_token(&token(user(3), "somebody-elses-session", true), now())?;
            tx.delete_sessions(user(2), Some(kept.id))?;
            let later = now() + SignedDuration::from_secs(60);
            let renewed = tx.renew_token(long.id, "another-text-for-it", Some(later), now())?;
            Ok((kept.id, renewed))
        })
        .await
        .unwrap();
    assert_eq!(renewed.hint, "anot**********r-it");
    let valid = async |text: &'static str| {
        store
            .read(move |view| view.authenticate(text, now()))
            .await
            .unwrap()
            .is_some()
    };
    assert!(!valid("a-session-of-mine").await);
    assert!(valid("the-session-in-hand").await);
    assert!(!valid("a-long-lived-token").await);
    assert!(valid("another-text-for-it").await);
    assert!(valid("somebody-elses-session").await);
    let user = store.read(|view| view.user(user(2))).await.unwrap();
    assert!(user.last_login.is_some());
    store
        .write(move |tx| tx.delete_sessions(user.id, None))
        .await
        .unwrap();
    assert_eq!(
        store.read(move |view| view.token(kept)).await.unwrap(),
        None
    );
}

#[tokio::test]
async fn whatever_takes_a_right_is_told_to_those_who_wait() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    people(&store).await;
    let mut told = store.revocations();
    let id = store.write(|tx| app(tx, "demo", user(2))).await.unwrap();
    assert!(!told.has_changed().unwrap(), "making takes no right");
    store
        .write(move |tx| {
            tx.add_collaborator(Uuid::new_v4(), id, user(3), now())?;
            tx.remove_collaborator(id, user(3))
        })
        .await
        .unwrap();
    assert!(told.has_changed().unwrap());
    told.mark_unchanged();
    // What is undone has taken nothing.
    let undone = store
        .write(|tx| -> Result<()> {
            tx.delete_sessions(user(2), None)?;
            Err(StoreError::Refused("no".into()))
        })
        .await;
    refused(undone);
    assert!(!told.has_changed().unwrap());
    store.write(move |tx| tx.delete_app(id)).await.unwrap();
    assert!(told.has_changed().unwrap());
}

#[tokio::test]
async fn each_code_is_good_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    people(&store).await;
    let me = user(2);
    store
        .write(move |tx| {
            tx.propose_two_factor(me, b"twenty bytes, really")?;
            assert!(!tx.two_factor(me)?.unwrap().enabled);
            assert!(!tx.user(me)?.two_factor);
            tx.enable_two_factor(me, &["one".into(), "two".into()], now())?;
            assert!(tx.user(me)?.two_factor);
            assert!(tx.spend_step(me, 7)?);
            assert!(!tx.spend_step(me, 7)?);
            assert!(!tx.spend_step(me, 6)?);
            assert!(tx.spend_step(me, 8)?);
            assert!(tx.spend_recovery_code(me, "one")?);
            assert!(!tx.spend_recovery_code(me, "one")?);
            assert!(!tx.spend_recovery_code(user(3), "two")?);
            let kept = tx.two_factor(me)?.unwrap();
            assert_eq!(kept.secret.as_slice(), b"twenty bytes, really");
            assert!(!format!("{kept:?}").contains("twenty"));
            tx.disable_two_factor(me, now())?;
            assert!(!tx.spend_recovery_code(me, "two")?);
            assert!(tx.two_factor(me)?.is_none());
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn an_ssh_key_is_one_accounts_and_goes_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    people(&store).await;
    let key = |n: u128, owner: UserId| NewSshKey {
        id: Uuid::new_v4(),
        user: owner,
        fingerprint: format!("SHA256:{n}"),
        public_key: format!("ssh-ed25519 {n} laptop"),
        comment: "laptop".into(),
    };
    let dev = key(1, user(2));
    let (id, again) = (dev.id, key(1, user(3)));
    store
        .write(move |tx| tx.add_ssh_key(&dev, now()))
        .await
        .unwrap();
    let said = refused(store.write(move |tx| tx.add_ssh_key(&again, now())).await);
    assert!(said.contains("already"), "{said}");
    store
        .write(move |tx| {
            let owner = tx.ssh_key_owner("SHA256:1")?.map(|user| user.id);
            assert_eq!(owner, Some(user(2)));
            assert_eq!(tx.ssh_key_owner("SHA256:2")?, None);
            assert!(!tx.remove_ssh_key(user(3), id)?);
            for n in 2..=100 {
                tx.add_ssh_key(&key(n, user(2)), now())?;
            }
            let said = refused(tx.add_ssh_key(&key(101, user(2)), now()));
            assert!(said.contains("100"), "{said}");
            assert!(tx.remove_ssh_key(user(2), id)?);
            assert_eq!(tx.ssh_keys(user(2))?.len(), 99);
            tx.delete_user(user(2), now())?;
            assert_eq!(tx.ssh_key_owner("SHA256:2")?, None);
            assert!(tx.add_ssh_key(&key(2, user(2)), now()).is_err());
            assert_eq!(tx.ssh_keys(user(2))?, []);
            Ok(())
        })
        .await
        .unwrap();
}
