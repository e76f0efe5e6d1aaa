//! Certificates from a real authority (Pebble) through the real router.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // support code of tests

mod pebble;
mod rig;

use ropewalk_acme::Policy;
use ropewalk_model::acm::{AcmStatus, Challenge, Outcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use pebble::{Pebble, With};
use rig::{Means, Rig, until};

#[tokio::test]
async fn a_name_is_proven_over_http_and_its_certificate_is_served() {
    if pebble::is_missing() {
        return;
    }
    let rig = Rig::start(With::default(), Means::default()).await;
    let www = rig.domain("www.example.com").await;
    // A name whose app does not want it gets none.
    let other = rig.app("other").await;
    rig.domain_of(other, "www.example.net").await;
    assert!(rig.handshake("www.example.com").await.is_none());
    rig.enable(rig.app).await;
    let status = rig.settled(www).await;
    assert_eq!(status, (Some(AcmStatus::Ok), None));
    until("the certificate", async || {
        rig.handshake("www.example.com").await
    })
    .await;
    assert!(rig.handshake("www.example.net").await.is_none());
    let orders = rig.orders().await;
    assert_eq!(orders.len(), 1, "{orders:?}");
    assert_eq!(orders[0].challenge, Challenge::Http);
    assert_eq!(orders[0].outcome, Some(Outcome::Issued));
    let log = rig.log().await;
    assert!(
        log.contains("Certificate for www.example.com issued, good until 20"),
        "{log}"
    );
    // Where nothing is left to be done, nothing is ordered.
    rig.enable(rig.app).await;
    rig.acme.changed();
    let second = rig.domain("shop.example.com").await;
    assert_eq!(rig.settled(second).await.0, Some(AcmStatus::Ok));
    assert_eq!(rig.orders().await.len(), 2);
    // Switched off, it is served by it no longer.
    rig.disable(rig.app).await;
    until("no certificate", async || {
        rig.handshake("www.example.com")
            .await
            .is_none()
            .then_some(())
    })
    .await;
    assert_eq!(rig.status(www).await, (None, None));
}

#[tokio::test]
async fn without_port_80_a_name_is_proven_over_tls() {
    if pebble::is_missing() {
        return;
    }
    let with = With {
        no_http: true,
        ..With::default()
    };
    let rig = Rig::start(with, Means::default()).await;
    let www = rig.domain("www.example.com").await;
    rig.enable(rig.app).await;
    let (status, reason) = until("a failure", async || {
        let (status, reason) = rig.status(www).await;
        (status == Some(AcmStatus::Failing)).then_some((status, reason))
    })
    .await;
    assert!(reason.unwrap().contains("www.example.com"), "{status:?}");
    let log = rig.log().await;
    assert!(
        log.contains("No certificate was issued for www.example.com (http-01): "),
        "{log}"
    );
    // At once, and not after a minute, for somebody asks for it.
    rig.enable(rig.app).await;
    until("the certificate", async || {
        rig.handshake("www.example.com").await
    })
    .await;
    assert_eq!(rig.settled(www).await, (Some(AcmStatus::Ok), None));
    let orders = rig.orders().await;
    let last = orders.last().unwrap();
    assert_eq!(last.challenge, Challenge::TlsAlpn);
    assert_eq!(orders.len(), 2, "{orders:?}");
}

#[tokio::test]
async fn a_certificate_is_renewed_and_no_connection_is_cut() {
    if pebble::is_missing() {
        return;
    }
    let with = With {
        lifetime: Some(12),
        ..With::default()
    };
    let means = Means {
        // Certificates of seconds are renewed more often than others.
        policy: Policy {
            weekly_of_name: 100,
            hourly_of_name: 100,
            ..Policy::default()
        },
        ..Means::default()
    };
    let rig = Rig::start(with, means).await;
    let www = rig.domain("www.example.com").await;
    rig.enable(rig.app).await;
    let mut open = until("the certificate", async || {
        rig.handshake("www.example.com").await
    })
    .await;
    let first = rig.endpoint(www).await.unwrap();
    let serial = |client: &rig::Client| {
        let (_, session) = client.get_ref();
        session.peer_certificates().unwrap()[0].clone().into_owned()
    };
    let before = serial(&open);
    until("another certificate", async || {
        rig.acme.changed();
        let client = rig.handshake("www.example.com").await?;
        (serial(&client) != before).then_some(())
    })
    .await;
    let second = rig.endpoint(www).await.unwrap();
    assert_eq!(first.id, second.id, "the endpoint stays");
    assert_ne!(first.certificate_chain, second.certificate_chain);
    // What was open before speaks on.
    open.write_all(b"GET / HTTP/1.1\r\nHost: nowhere.test\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    open.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 "), "{answer:?}");
    assert_eq!(rig.status(www).await.0, Some(AcmStatus::Ok));
}

#[tokio::test]
async fn a_wildcard_needs_the_program_that_sets_records() {
    if pebble::is_missing() {
        return;
    }
    let rig = Rig::start(With::default(), Means::default()).await;
    let wildcard = rig.domain("*.example.com").await;
    rig.enable(rig.app).await;
    let (status, reason) = rig.settled(wildcard).await;
    assert_eq!(status, Some(AcmStatus::Failed));
    assert!(reason.unwrap().contains("--acme-dns-hook"));
    assert!(rig.orders().await.is_empty());
    drop(rig);

    let means = Means {
        hook: true,
        ..Means::default()
    };
    let rig = Rig::start(With::default(), means).await;
    let wildcard = rig.domain("*.example.com").await;
    rig.enable(rig.app).await;
    let status = rig.settled(wildcard).await;
    assert_eq!(status, (Some(AcmStatus::Ok), None));
    until("the certificate", async || {
        rig.handshake("any.example.com").await
    })
    .await;
    let calls = rig.hook_calls();
    let calls: Vec<&str> = calls.lines().collect();
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert!(
        calls[0].starts_with("add _acme-challenge.example.com "),
        "{calls:?}"
    );
    assert_eq!(calls[1], calls[0].replacen("add", "remove", 1));
}

#[tokio::test]
async fn an_authority_that_knows_us_by_another_account_is_shown_it() {
    if pebble::is_missing() {
        return;
    }
    let with = With {
        external: true,
        ..With::default()
    };
    let rig = Rig::start(with, Means::default()).await;
    let www = rig.domain("www.example.com").await;
    rig.enable(rig.app).await;
    assert_eq!(rig.settled(www).await, (Some(AcmStatus::Ok), None));
}

#[tokio::test]
async fn an_authority_that_is_away_or_has_forgotten_us_costs_no_name_anything() {
    if pebble::is_missing() {
        return;
    }
    let mut rig = Rig::start(With::default(), Means::default()).await;
    let www = rig.domain("www.example.com").await;
    rig.enable(rig.app).await;
    assert_eq!(rig.settled(www).await.0, Some(AcmStatus::Ok));
    // It comes back knowing nobody, as a test server does.
    let again = rig.pebble.options();
    rig.pebble.stop().await;
    let shop = rig.domain("shop.example.com").await;
    rig.acme.changed();
    let (status, reason) = until("a reason", async || {
        let (status, reason) = rig.status(shop).await;
        Some((status, reason?))
    })
    .await;
    assert_eq!(status, Some(AcmStatus::Pending));
    assert!(reason.contains("could not be asked"), "{reason}");
    rig.pebble = Pebble::start_again(again).await;
    let status = until("the certificate", async || {
        rig.enable(rig.app).await;
        let (status, _) = rig.status(shop).await;
        (status == Some(AcmStatus::Ok)).then_some(status)
    })
    .await;
    assert_eq!(status, Some(AcmStatus::Ok));
    let refused = rig.orders().await;
    let refused = refused
        .iter()
        .filter(|order| order.outcome == Some(Outcome::Refused));
    assert_eq!(refused.count(), 0);
}

#[tokio::test]
async fn the_platforms_own_names_get_certificates_where_there_was_none() {
    if pebble::is_missing() {
        return;
    }
    let means = Means {
        platform: true,
        ..Means::default()
    };
    let rig = Rig::start(With::default(), means).await;
    for host in ["api.apps.test", "git.apps.test", "demo.apps.test"] {
        let mut client = until("the certificate", async || rig.handshake(host).await).await;
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 "), "{answer:?}");
    }
    assert!(rig.handshake("www.example.com").await.is_none());
    // Once all have one, nothing is ordered.
    let all = ["api", "demo", "git", "registry"].map(|label| format!("{label}.apps.test"));
    until("all certificates", async || {
        (rig.certified().await == all).then_some(())
    })
    .await;
    rig.acme.changed();
    let orders = rig.orders().await;
    assert_eq!(orders.len(), 4, "{orders:?}");
    assert!(orders.iter().all(|order| order.app.is_none()));
    // The certificate goes with the name.
    rig.rename("shop").await;
    until("the other name", async || {
        rig.handshake("shop.apps.test").await
    })
    .await;
    until("no certificate", async || {
        rig.handshake("demo.apps.test")
            .await
            .is_none()
            .then_some(())
    })
    .await;
    rig.destroy().await;
    until("no certificate", async || {
        rig.handshake("shop.apps.test")
            .await
            .is_none()
            .then_some(())
    })
    .await;
    let left = rig.certified().await;
    assert_eq!(
        left,
        ["api.apps.test", "git.apps.test", "registry.apps.test"]
    );
    assert!(rig.handshake("api.apps.test").await.is_some());
}

#[tokio::test]
async fn one_wildcard_is_for_all_of_the_platforms_names_where_records_can_be_set() {
    if pebble::is_missing() {
        return;
    }
    let means = Means {
        platform: true,
        hook: true,
        ..Means::default()
    };
    let rig = Rig::start(With::default(), means).await;
    for host in ["api.apps.test", "demo.apps.test"] {
        until("the certificate", async || rig.handshake(host).await).await;
    }
    assert_eq!(rig.certified().await, ["*.apps.test"]);
    let orders = rig.orders().await;
    assert_eq!(orders.len(), 1, "{orders:?}");
    assert_eq!(orders[0].challenge, Challenge::Dns);
}
