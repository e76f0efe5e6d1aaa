//! Automatic certificates from the command to the handshake: the real server, router and CLI, and a real authority. No
//! engine is there, and none is needed for it.

#![allow(clippy::unwrap_used, clippy::print_stdout, dead_code)] // support code of tests

#[path = "../../../acme/tests/pebble/pebble.rs"]
mod pebble;
mod rig;

use pebble::With;
use rig::Platform;

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_gets_its_certificate_by_one_command() {
    if pebble::is_missing() {
        return;
    }
    let platform = Platform::start(With::default()).await;
    platform.run(&["apps:create", "shop", "--no-remote"]).await;
    platform
        .run(&["domains:add", "www.example.com", "-a", "shop"])
        .await;
    assert!(!platform.speaks_for("www.example.com").await);
    let enabled = platform
        .run(&["certs:auto:enable", "--wait", "-a", "shop"])
        .await;
    assert!(
        enabled.ends_with("Waiting until the certificates are issued... done\n"),
        "{enabled}"
    );
    rig::until("the certificate", async || {
        platform.speaks_for("www.example.com").await.then_some(())
    })
    .await;
    let shown = platform.run(&["certs:auto", "-a", "shop"]).await;
    for part in [
        "=== Automatic Certificate Management is enabled on \u{2b22} shop\n",
        "Common Name(s): www.example.com\n",
        "Trusted:        True\n",
        "\nwww.example.com  OK      ",
    ] {
        assert!(shown.contains(part), "{part:?} in {shown}");
    }
    // A domain that is added later gets one too.
    platform
        .run(&["domains:add", "shop.example.com", "-a", "shop"])
        .await;
    platform.run(&["certs:auto", "--wait", "-a", "shop"]).await;
    rig::until("the certificate", async || {
        platform.speaks_for("shop.example.com").await.then_some(())
    })
    .await;
    let listed = platform.run(&["certs", "-a", "shop"]).await;
    assert_eq!(listed.matches("True").count(), 2, "{listed}");
    let doctor = platform.doctor().await;
    assert!(
        doctor.contains("ok   certificates     2 served; that of "),
        "{doctor}"
    );
    let log = platform.run(&["logs", "-a", "shop"]).await;
    for part in [
        "app[api]: Automatic certificates enabled by user ",
        "app[api]: Certificate for www.example.com issued, good until ",
    ] {
        assert!(log.contains(part), "{part:?} in {log}");
    }
    platform
        .run(&["certs:auto:disable", "--confirm", "shop", "-a", "shop"])
        .await;
    rig::until("no certificate", async || {
        let speaks = platform.speaks_for("www.example.com").await;
        (!speaks).then_some(())
    })
    .await;
    let shown = platform.run(&["certs:auto", "-a", "shop"]).await;
    assert!(shown.contains(" is disabled on "), "{shown}");
    // The server's log has no secret.
    let said = platform.said();
    assert!(!said.contains("PRIVATE KEY"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_without_a_certificate_gets_those_of_its_own_names() {
    if pebble::is_missing() {
        return;
    }
    let platform = Platform::start_for_world(With::default()).await;
    for host in ["api.apps.test", "git.apps.test", "registry.apps.test"] {
        rig::until("the certificate", async || {
            platform.speaks_for(host).await.then_some(())
        })
        .await;
    }
    assert!(!platform.speaks_for("shop.apps.test").await);
    let doctor = platform.doctor().await;
    assert!(
        doctor.contains("ok   certificates     3 served; that of "),
        "{doctor}"
    );
    let said = platform.said();
    assert!(!said.contains("PRIVATE KEY"), "{said}");
}
