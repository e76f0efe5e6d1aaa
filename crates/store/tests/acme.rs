//! What automatic certificates keep in the ledger: who wants them, what was ordered, and by which account.

#![allow(clippy::unwrap_used)] // support code of tests

use jiff::{SignedDuration, Timestamp};
use ropewalk_model::acm::{AcmStatus, Challenge, Outcome};
use ropewalk_model::{AppId, AppName, ReleaseId, UserId};
use ropewalk_store::{AcmeAccount, AcmeOrder, Key, NewApp, NewSniEndpoint, Store};
use uuid::Uuid;
use zeroize::Zeroizing;

fn open(dir: &std::path::Path) -> Store {
    Store::open(&dir.join("ledger.db"), Key::open(&dir.join("key")).unwrap()).unwrap()
}

/// An app with this domain.
async fn app(store: &Store, host: &'static str) -> (AppId, Uuid) {
    let (app, domain) = (AppId(Uuid::new_v4()), Uuid::new_v4());
    store
        .write(move |tx| {
            let (user, now) = (UserId(Uuid::new_v4()), Timestamp::now());
            tx.create_user(user, "dev@example.com", true, now)?;
            let new = NewApp {
                id: app,
                name: AppName::parse("demo").unwrap(),
                owner: user,
                stack: "debian-13".into(),
                release: ReleaseId(Uuid::new_v4()),
            };
            tx.create_app(&new, now)?;
            tx.add_domain(domain, app, host, now)
        })
        .await
        .unwrap();
    (app, domain)
}

fn certificate(app: AppId, name: &str, chain: &str) -> NewSniEndpoint {
    NewSniEndpoint {
        id: Uuid::new_v4(),
        app,
        name: name.to_owned(),
        certificate_chain: chain.to_owned(),
        private_key: "the key".to_owned(),
    }
}

#[tokio::test]
async fn a_certificate_is_kept_for_a_domain_that_still_wants_it_and_for_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (app, domain) = app(&store, "www.example.com").await;
    let now = Timestamp::now();
    let keep = async |chain: &str| {
        let new = certificate(app, "acm-1", chain);
        store
            .write(move |tx| tx.keep_acm_certificate(domain, &new, now))
            .await
            .unwrap()
    };
    assert_eq!(keep("one").await, None, "nobody asked for it");
    assert_eq!(store.read(|view| view.acm_domains()).await.unwrap(), []);
    store
        .write(move |tx| tx.enable_acm(app, now))
        .await
        .unwrap();
    let first = keep("one").await.unwrap();
    assert!(first.acm);
    // A newer one takes its place, under the same name.
    let second = keep("two").await.unwrap();
    assert_eq!(
        (second.id, second.certificate_chain.as_str()),
        (first.id, "two")
    );
    let served = store.read(|view| view.served_certificates()).await.unwrap();
    assert_eq!(served[0].hosts, ["www.example.com"]);
    assert_eq!(served[0].private_key.as_str(), "the key");
    let wanted = store.read(|view| view.acm_domains()).await.unwrap();
    assert_eq!(wanted[0].domain.acm_status, Some(AcmStatus::Ok));
    assert_eq!(
        wanted[0].endpoint.as_ref().map(|one| one.id),
        Some(first.id)
    );
    // One that somebody brings pushes it out, and is not pushed out by the next.
    let own = certificate(app, "mine", "own");
    store
        .write(move |tx| {
            let own = tx.create_sni_endpoint(&own, now)?;
            tx.set_domain_certificate(domain, Some(own.id), now)
        })
        .await
        .unwrap();
    assert_eq!(keep("three").await, None);
    let left = store
        .read(move |view| view.sni_endpoints(app))
        .await
        .unwrap();
    let names: Vec<&str> = left.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["mine"]);
    // Without it, and without the domain, nothing stays.
    store
        .write(move |tx| tx.set_domain_certificate(domain, None, now))
        .await
        .unwrap();
    keep("four").await.unwrap();
    store
        .write(move |tx| tx.remove_domain(domain))
        .await
        .unwrap();
    assert_eq!(keep("five").await, None);
    let left = store
        .read(move |view| view.sni_endpoints(app))
        .await
        .unwrap();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[tokio::test]
async fn disabled_it_leaves_what_people_brought() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (app, domain) = app(&store, "www.example.com").await;
    let now = Timestamp::now();
    let (got, own) = (
        certificate(app, "acm-1", "got"),
        certificate(app, "mine", "own"),
    );
    let app_row = store
        .write(move |tx| {
            tx.enable_acm(app, now)?;
            tx.keep_acm_certificate(domain, &got, now)?;
            tx.create_sni_endpoint(&own, now)?;
            tx.disable_acm(app, now)
        })
        .await
        .unwrap();
    assert!(!app_row.acm);
    let (left, domains) = store
        .read(move |view| Ok((view.sni_endpoints(app)?, view.domains(app)?)))
        .await
        .unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(
        (domains[0].sni_endpoint, domains[0].acm_status),
        (None, None)
    );
    // Who was still at work says nothing more of it.
    store
        .write(move |tx| tx.set_acm_status(domain, Some(AcmStatus::Failing), Some("late"), now))
        .await
        .unwrap();
    let domains = store.read(move |view| view.domains(app)).await.unwrap();
    assert_eq!(domains[0].acm_status, None);
}

#[tokio::test]
async fn old_orders_are_forgotten_but_for_what_worked_last() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (app, domain) = app(&store, "www.example.com").await;
    let now = Timestamp::now();
    let day = SignedDuration::from_hours(24);
    let begin = async |n: u128, days: i32, outcome: Option<Outcome>| {
        let order = AcmeOrder {
            id: Uuid::from_u128(n),
            hostname: "www.example.com".to_owned(),
            app: Some(app),
            challenge: Challenge::TlsAlpn,
            began_at: now.checked_sub(day * days).unwrap(),
            outcome: None,
            reason: None,
        };
        store
            .write(move |tx| {
                tx.begin_acme_order(&order)?;
                match outcome {
                    Some(outcome) => tx.end_acme_order(order.id, outcome, Some("why")),
                    None => Ok(()),
                }
            })
            .await
            .unwrap();
    };
    begin(1, 100, Some(Outcome::Issued)).await;
    begin(2, 60, Some(Outcome::Issued)).await;
    begin(3, 50, Some(Outcome::Refused)).await;
    begin(4, 40, None).await;
    begin(5, 1, Some(Outcome::Refused)).await;
    let cutoff = now.checked_sub(day * 8).unwrap();
    let left = async || {
        store
            .write(move |tx| tx.forget_acme_orders(cutoff))
            .await
            .unwrap();
        let orders = store.read(|view| view.acme_orders()).await.unwrap();
        orders
            .iter()
            .map(|order| order.id.as_u128())
            .collect::<Vec<_>>()
    };
    assert_eq!(left().await, [2, 5]);
    let orders = store.read(|view| view.acme_orders()).await.unwrap();
    assert_eq!(orders[1].reason.as_deref(), Some("why"));
    assert_eq!(orders[1].challenge, Challenge::TlsAlpn);
    // Of a name that is no domain any more nothing stays for long.
    store
        .write(move |tx| tx.remove_domain(domain))
        .await
        .unwrap();
    assert_eq!(left().await, [5]);
}

#[tokio::test]
async fn the_account_is_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let directory = "https://ca.example.com/directory";
    let account = AcmeAccount {
        credentials: Zeroizing::new("the secret of the account".to_owned()),
        email: Some("ops@example.com".to_owned()),
    };
    assert!(!format!("{account:?}").contains("secret"));
    store
        .write(move |tx| tx.put_acme_account(directory, &account, Timestamp::now()))
        .await
        .unwrap();
    let find = async |directory: &'static str| {
        store
            .read(move |view| view.acme_account(directory))
            .await
            .unwrap()
    };
    let kept = find(directory).await.unwrap();
    assert_eq!(kept.credentials.as_str(), "the secret of the account");
    assert!(find("https://other.example.com").await.is_none());
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(10).any(|part| part == b"the secret"));
    }
    store
        .write(move |tx| tx.forget_acme_account(directory))
        .await
        .unwrap();
    assert!(find(directory).await.is_none());
}

#[tokio::test]
async fn a_certificate_of_the_platforms_own_name_is_sealed_served_and_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let now = Timestamp::now();
    let put = async |chain: &'static str, key: &'static str| {
        store
            .write(move |tx| tx.put_platform_certificate("api.example.com", chain, key, now))
            .await
            .unwrap();
    };
    let known = async || {
        store
            .read(|view| view.platform_certificates())
            .await
            .unwrap()
    };
    put("one", "the secret of one").await;
    let first = known().await;
    put("two", "the secret of two").await;
    let second = known().await;
    assert_eq!(first[0].id, second[0].id);
    assert_eq!(second.len(), 1);
    let served = store.read(|view| view.served_certificates()).await.unwrap();
    assert_eq!(served[0].hosts, ["api.example.com"]);
    assert_eq!(served[0].certificate_chain, "two");
    assert_eq!(served[0].private_key.as_str(), "the secret of two");
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(10).any(|part| part == b"the secret"));
    }
    // What worked for the name is remembered as long as it has one.
    let order = AcmeOrder {
        id: Uuid::from_u128(1),
        hostname: "api.example.com".to_owned(),
        app: None,
        challenge: Challenge::TlsAlpn,
        began_at: now
            .checked_sub(SignedDuration::from_hours(24 * 30))
            .unwrap(),
        outcome: None,
        reason: None,
    };
    store
        .write(move |tx| {
            tx.begin_acme_order(&order)?;
            tx.end_acme_order(order.id, Outcome::Issued, None)
        })
        .await
        .unwrap();
    let left = async || {
        store
            .write(move |tx| tx.forget_acme_orders(now))
            .await
            .unwrap();
        store.read(|view| view.acme_orders()).await.unwrap()
    };
    assert_eq!(left().await[0].app, None);
    store
        .write(|tx| tx.remove_platform_certificate("api.example.com"))
        .await
        .unwrap();
    assert_eq!((known().await, left().await), (Vec::new(), Vec::new()));
}
