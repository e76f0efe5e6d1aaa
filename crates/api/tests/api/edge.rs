//! Edge policies: what is set and ended, what is refused, and that the router is waited for.

use ropewalk_api::Urls;
use serde_json::{Value, json};

use crate::rig::{OTHER, Rig};

const PATH: &str = "/ropewalk/apps/demo/edge";

/// Without the app.
fn settings(mut shown: Value) -> Value {
    let app = shown.as_object_mut().unwrap().remove("app").unwrap();
    assert_eq!(app["name"], "demo");
    shown
}

/// What an app that asks for nothing shows, but for `other`.
fn nothing_but(other: Value) -> Value {
    let mut nothing = json!({"pause": false, "https_redirect": false, "hsts_max_age": null, "trusted_ips": [], "basic_auth": null, "rate_limit": null, "max_body_bytes": null});
    for (key, value) in other.as_object().unwrap() {
        nothing[key] = value.clone();
    }
    nothing
}

#[tokio::test]
async fn settings_are_changed_one_by_one_and_ended_by_null() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    let shown = rig.get(PATH).await.expect(200);
    assert_eq!(settings(shown), nothing_but(json!({})));
    let settles = rig.platform.settles();
    let body = json!({"https_redirect": true, "hsts_max_age": 31_536_000});
    let changed = rig.call("PATCH", PATH, body.clone()).await.expect(200);
    assert_eq!(settings(changed.clone()), nothing_but(body.clone()));
    assert_eq!(rig.platform.settles(), settles + 1);
    // The same again changes nothing.
    rig.call("PATCH", PATH, body).await.expect(200);
    rig.call("PATCH", PATH, json!({})).await.expect(200);
    assert_eq!(rig.platform.settles(), settles + 1);
    assert_eq!(rig.get(PATH).await.expect(200), changed);
    let ended = rig
        .call("PATCH", PATH, json!({"hsts_max_age": null}))
        .await
        .expect(200);
    assert_eq!(
        settings(ended),
        nothing_but(json!({"https_redirect": true}))
    );
    let log = rig.log(app).await;
    assert_eq!(
        log[log.len() - 2..],
        [
            "Edge settings changed: https-redirect, hsts by user dev@example.com",
            "Edge settings changed: hsts by user dev@example.com"
        ]
    );
}

#[tokio::test]
async fn what_cannot_be_is_refused_and_changes_nothing() {
    let rig = Rig::new().await;
    rig.app("demo").await;
    for (body, says) in [
        (
            json!({"hsts_max_age": 400_000_000}),
            "hsts must be a time of at most 10 years",
        ),
        (
            json!({"https_redirect": true, "hsts_max_age": 999_999_999_999u64}),
            "For example: hsts=1y.",
        ),
        (json!({"hsts_max_age": -1}), ""),
        (json!({"https_redirect": "on"}), ""),
        (
            json!({"trusted_ips": ["192.0.2.0/24", "here"]}),
            "trusted-ips must be 1 to 100 addresses",
        ),
        (
            json!({"trusted_ips": ["x".repeat(9_000)]}),
            "trusted-ips must be",
        ),
    ] {
        let answer = rig.call("PATCH", PATH, body.clone()).await;
        assert_eq!(answer.status, 422, "{body} {}", answer.text);
        assert!(answer.text.contains(says), "{body} {}", answer.text);
    }
    let shown = rig.get(PATH).await.expect(200);
    assert_eq!(settings(shown), nothing_but(json!({})));
    for method in ["GET", "PATCH"] {
        rig.call_as(OTHER, method, PATH, Some(json!({})))
            .await
            .refused(404, "not_found");
    }
}

#[tokio::test]
async fn a_server_without_https_sends_nobody_there() {
    let rig = Rig::new().await;
    rig.app("demo").await;
    let mut ctx = rig.ctx.clone();
    ctx.urls = Urls {
        rendezvous: None,
        ..ctx.urls
    };
    let rig = Rig {
        router: ropewalk_api::routes(ctx),
        ..rig
    };
    for body in [json!({"https_redirect": true}), json!({"hsts_max_age": 60})] {
        let message = rig
            .call("PATCH", PATH, body)
            .await
            .refused(422, "invalid_params");
        assert!(
            message.contains("ropewalk install --acme-email"),
            "{message}"
        );
    }
    let body = json!({"https_redirect": false, "hsts_max_age": null});
    rig.call("PATCH", PATH, body).await.expect(200);
}

#[tokio::test]
async fn trusted_addresses_are_a_list() {
    let rig = Rig::new().await;
    rig.app("demo").await;
    let body = json!({"trusted_ips": ["192.0.2.0/24", "2001:db8::1/128"]});
    let set = rig.call("PATCH", PATH, body).await.expect(200);
    let wanted = json!({"trusted_ips": ["192.0.2.0/24", "2001:db8::1"]});
    assert_eq!(settings(set), nothing_but(wanted));
    for end in [json!([]), Value::Null] {
        let ended = rig
            .call("PATCH", PATH, json!({"trusted_ips": end}))
            .await
            .expect(200);
        assert_eq!(settings(ended), nothing_but(json!({})));
    }
}

#[tokio::test]
async fn a_password_is_taken_and_never_told() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    let body = json!({"basic_auth": {"user": "dev", "password": "hunter2hunter2"}});
    let set = rig.call("PATCH", PATH, body).await.expect(200);
    assert!(!set.to_string().contains("hunter2"), "{set}");
    assert_eq!(
        settings(set),
        nothing_but(json!({"basic_auth": {"user": "dev"}}))
    );
    let policy = rig.ctx.store.read(move |view| view.edge_policy(app)).await;
    let auth = policy.unwrap().basic_auth.unwrap();
    assert!(auth.admits(b"dev:hunter2hunter2") && !auth.admits(b"dev:hunter2hunter3"));
    for (auth, says) in [
        (
            json!({"user": "dev", "password": "hunter2"}),
            "must have 8 to 128 characters",
        ),
        (
            json!({"user": "a:b", "password": "hunter2hunter2"}),
            "basic-auth must be a user's name",
        ),
        (json!({"user": "dev"}), "password"),
    ] {
        let message = rig
            .call("PATCH", PATH, json!({"basic_auth": auth}))
            .await
            .refused(422, "invalid_params");
        assert!(
            message.contains(says) && !message.contains("hunter2"),
            "{message}"
        );
    }
    let ended = rig
        .call("PATCH", PATH, json!({"basic_auth": null}))
        .await
        .expect(200);
    assert_eq!(settings(ended), nothing_but(json!({})));
}

#[tokio::test]
async fn a_rate_has_limits() {
    let rig = Rig::new().await;
    rig.app("demo").await;
    let call = async |limit: Value| rig.call("PATCH", PATH, json!({"rate_limit": limit})).await;
    let set = call(json!({"requests": 30, "seconds": 60}))
        .await
        .expect(200);
    let wanted = json!({"requests": 30, "seconds": 60, "burst": 30});
    assert_eq!(settings(set), nothing_but(json!({"rate_limit": wanted})));
    let wanted = json!({"requests": 5, "seconds": 1, "burst": 100});
    let set = call(wanted.clone()).await.expect(200);
    assert_eq!(settings(set), nothing_but(json!({"rate_limit": wanted})));
    for bad in [
        json!({"requests": 0, "seconds": 1}),
        json!({"requests": 10_001, "seconds": 1}),
        json!({"requests": 1, "seconds": 2}),
        json!({"requests": 1, "seconds": 1, "burst": 0}),
    ] {
        let message = call(bad).await.refused(422, "invalid_params");
        assert!(
            message.contains("For example: rate-limit=10/s,burst=50."),
            "{message}"
        );
    }
    call(json!({"requests": -1, "seconds": 1}))
        .await
        .refused(422, "invalid_params");
    let ended = call(Value::Null).await.expect(200);
    assert_eq!(settings(ended), nothing_but(json!({})));
}

#[tokio::test]
async fn a_size_is_in_bytes() {
    let rig = Rig::new().await;
    rig.app("demo").await;
    let call = async |size: Value| {
        rig.call("PATCH", PATH, json!({"max_body_bytes": size}))
            .await
    };
    for size in [0, 10_000_000] {
        let set = call(json!(size)).await.expect(200);
        assert_eq!(settings(set), nothing_but(json!({"max_body_bytes": size})));
    }
    let message = call(json!(2_000_000_000_000u64))
        .await
        .refused(422, "invalid_params");
    assert!(message.contains("For example: max-body=10MB."), "{message}");
    let ended = call(Value::Null).await.expect(200);
    assert_eq!(settings(ended), nothing_but(json!({})));
}
