//! TCP routes: who may have which, what they show, and that the router is waited for.

use std::collections::BTreeMap;

use ropewalk_api::{Context, Urls};
use serde_json::{Value, json};

use crate::rig::{OTHER, Rig};

const PATH: &str = "/ropewalk/apps/demo/tcp-routes";

/// Where the administrator opens two ports.
async fn rig() -> Rig {
    let rig = Rig::new().await;
    let ctx = Context {
        tcp_ports: Some("20000-20001".parse().unwrap()),
        ..rig.ctx.clone()
    };
    let rig = rig.with_context(ctx);
    *rig.platform.unbound.lock().unwrap() = Some(BTreeMap::new());
    rig
}

async fn add(rig: &Rig, body: Value) -> Value {
    rig.call("POST", PATH, body).await.expect(201)
}

async fn refusal(rig: &Rig, body: Value) -> String {
    rig.call("POST", PATH, body)
        .await
        .refused(422, "invalid_params")
}

#[tokio::test]
async fn a_route_is_added_shown_and_removed() {
    let rig = rig().await;
    let app = rig.app("demo").await;
    let settles = rig.platform.settles();
    let added = add(&rig, json!({"process_type": "mqtt", "dyno_port": 1883})).await;
    assert_eq!(rig.platform.settles(), settles + 1);
    let mut shown = added.clone();
    let fields = shown.as_object_mut().unwrap();
    for field in ["id", "created_at"] {
        assert!(fields.remove(field).unwrap().is_string());
    }
    assert_eq!(fields.remove("app").unwrap()["name"], "demo");
    assert_eq!(
        shown,
        json!({"process_type": "mqtt", "port": 20000, "hostname": null, "dyno_port": 1883, "idle_timeout": 3600, "proxy_protocol": null,
            "address": "apps.test:20000", "status": "open", "status_reason": null})
    );
    let named = add(
        &rig,
        json!({"hostname": "DB.example.com.", "idle_timeout": 60, "proxy_protocol": "v2"}),
    )
    .await;
    assert_eq!(named["address"], "db.example.com:8443");
    assert_eq!(named["process_type"], "web");
    assert_eq!(named["proxy_protocol"], "v2");
    assert_eq!(named["dyno_port"], 5000);
    assert_eq!(named["port"], Value::Null);
    let mut all = rig.get(PATH).await.expect(200);
    let ids = |all: &mut Value| {
        let mut ids: Vec<String> = all
            .as_array_mut()
            .unwrap()
            .iter()
            .map(|one| one["id"].to_string())
            .collect();
        ids.sort();
        ids
    };
    let mut expected = json!([added, named]);
    assert_eq!(ids(&mut all), ids(&mut expected));
    for key in ["20000", added["id"].as_str().unwrap()] {
        assert_eq!(rig.get(&format!("{PATH}/{key}")).await.expect(200), added);
    }
    let removed = rig
        .call("DELETE", &format!("{PATH}/db.example.com"), json!({}))
        .await;
    assert_eq!(removed.expect(200), named);
    assert_eq!(rig.platform.settles(), settles + 3);
    rig.get(&format!("{PATH}/db.example.com"))
        .await
        .refused(404, "not_found");
    let log = rig.log(app).await;
    assert_eq!(
        log[log.len() - 3..],
        [
            "TCP route on port 20000 to mqtt added by user dev@example.com",
            "TCP route for db.example.com to web added by user dev@example.com",
            "TCP route for db.example.com to web removed by user dev@example.com"
        ]
    );
}

#[tokio::test]
async fn ports_are_those_that_the_administrator_opens() {
    let closed = Rig::new().await;
    closed.app("demo").await;
    let message = refusal(&closed, json!({})).await;
    assert!(message.contains("ropewalk server --tcp-ports"), "{message}");
    let rig = rig().await;
    rig.app("demo").await;
    let message = refusal(&rig, json!({"port": 22})).await;
    assert_eq!(
        message,
        "Port 22 is not among those that this server opens for apps: 20000-20001."
    );
    add(&rig, json!({"port": 20_001})).await;
    let message = refusal(&rig, json!({"port": 20_001})).await;
    assert_eq!(message, "The port 20001 is already in use");
    add(&rig, json!({})).await;
    let message = refusal(&rig, json!({})).await;
    assert!(
        message.starts_with("Every port of 20000-20001 is taken."),
        "{message}"
    );
    // What the router could not open is told, and what is opened no more.
    let failed = BTreeMap::from([(20_001, "Address already in use".to_owned())]);
    *rig.platform.unbound.lock().unwrap() = Some(failed);
    let path = format!("{PATH}/20001");
    let shown = rig.get(&path).await.expect(200);
    assert_eq!(
        [&shown["status"], &shown["status_reason"]],
        ["failed", "Address already in use"]
    );
    *rig.platform.unbound.lock().unwrap() = None;
    assert_eq!(rig.get(&path).await.expect(200)["status"], "unknown");
    let ctx = Context {
        tcp_ports: None,
        ..rig.ctx.clone()
    };
    let rig = rig.with_context(ctx);
    assert_eq!(rig.get(&path).await.expect(200)["status"], "failed");
}

#[tokio::test]
async fn a_name_follows_the_rules_of_domains() {
    let rig = rig().await;
    rig.app("demo").await;
    let domain = json!({"hostname": "www.example.com", "sni_endpoint": null});
    rig.call("POST", "/apps/demo/domains", domain)
        .await
        .expect(202);
    for (body, part) in [
        (
            json!({"hostname": "www.example.com"}),
            "domains:remove www.example.com",
        ),
        (json!({"hostname": "*.example.com"}), "without a wildcard"),
        (json!({"hostname": "x.apps.test"}), "belong to the platform"),
        (json!({"hostname": "localhost"}), "is no host name"),
        (
            json!({"hostname": "a.example.com", "port": 20_000}),
            "not both",
        ),
        (json!({"process_type": "release"}), "run once"),
        (json!({"process_type": "no type"}), "Process type"),
        (json!({"dyno_port": 0}), "dyno_port"),
        (json!({"idle_timeout": 9}), "10 to 86400"),
    ] {
        let message = refusal(&rig, body.clone()).await;
        assert!(message.contains(part), "{body}: {message}");
    }
    add(&rig, json!({"hostname": "db.example.com"})).await;
    let domain = json!({"hostname": "db.example.com", "sni_endpoint": null});
    let message = rig.call("POST", "/apps/demo/domains", domain).await;
    assert_eq!(
        message.refused(422, "invalid_params"),
        "The domain db.example.com is already in use"
    );
    let ctx = Context {
        urls: Urls {
            rendezvous: None,
            ..rig.ctx.urls.clone()
        },
        ..rig.ctx.clone()
    };
    let rig = rig.with_context(ctx);
    let message = refusal(&rig, json!({"hostname": "two.example.com"})).await;
    assert!(
        message.starts_with("This server speaks no TLS"),
        "{message}"
    );
}

#[tokio::test]
async fn strangers_see_and_change_nothing() {
    let rig = rig().await;
    rig.app("demo").await;
    add(&rig, json!({})).await;
    let path = format!("{PATH}/20000");
    for (method, path, body) in [
        ("GET", PATH, None),
        ("POST", PATH, Some(json!({}))),
        ("GET", &path, None),
        ("DELETE", &path, None),
    ] {
        rig.call_as(OTHER, method, path, body)
            .await
            .refused(404, "not_found");
    }
    // Nor is another app's route one's own.
    rig.call_as(OTHER, "POST", "/apps", Some(json!({"name": "theirs"})))
        .await
        .expect(201);
    let theirs = "/ropewalk/apps/theirs/tcp-routes/20000";
    rig.call_as(OTHER, "DELETE", theirs, None)
        .await
        .refused(404, "not_found");
    rig.get(&path).await.expect(200);
}
