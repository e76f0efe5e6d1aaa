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
    let mut nothing = json!({"pause": false, "https_redirect": false, "hsts_max_age": null, "trusted_ips": [], "basic_auth": null, "rate_limit": null, "max_body_bytes": null,
        "canary": null, "canary_weight_percent": null, "canary_cookie": null});
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

#[tokio::test]
async fn a_canary_is_another_app_of_the_owner_that_one_may_deploy() {
    let rig = Rig::new().await;
    let home = rig.app("demo").await;
    let next = rig.app("demo-next").await;
    let call = async |body: Value| rig.call("PATCH", PATH, body).await;
    let body = json!({"canary": "demo-next", "canary_weight_percent": 5});
    let set = call(body).await.expect(200);
    let shown = json!({"canary": {"id": next.to_string(), "name": "demo-next"}, "canary_weight_percent": 5.0});
    assert_eq!(settings(set), nothing_but(shown));
    // Step by step, and under whatever name.
    rig.call("PATCH", "/apps/demo-next", json!({"name": "demo-beta"}))
        .await
        .expect(200);
    let body = json!({"canary_weight_percent": 12.5, "canary_cookie": "beta"});
    let set = call(body).await.expect(200);
    let shown = json!({"canary": {"id": next.to_string(), "name": "demo-beta"}, "canary_weight_percent": 12.5, "canary_cookie": "beta"});
    assert_eq!(settings(set), nothing_but(shown));
    assert_eq!(
        settings(rig.get(PATH).await.expect(200))["canary"]["name"],
        "demo-beta"
    );
    for (body, says) in [
        (
            json!({"canary": "demo"}),
            "demo can't be the canary of demo",
        ),
        (
            json!({"canary": "nobodys"}),
            "must be an app that you may deploy",
        ),
        (
            json!({"canary_weight_percent": 101}),
            "canary-weight must be 0% to 100%",
        ),
        (
            json!({"canary_weight_percent": 0.001}),
            "canary-weight must be",
        ),
        (
            json!({"canary_weight_percent": -1}),
            "canary-weight must be",
        ),
        (
            json!({"canary_cookie": "a;b"}),
            "canary-cookie must be a cookie's name",
        ),
        (
            json!({"canary_cookie": "ropewalk-canary"}),
            "canary-cookie must be",
        ),
        (
            json!({"canary_weight_percent": null, "canary_cookie": null}),
            "canary needs canary-weight or canary-cookie",
        ),
    ] {
        let message = call(body.clone()).await.refused(422, "invalid_params");
        assert!(message.contains(says), "{body} {message}");
    }
    // It takes with it what it answers.
    let ended = call(json!({"canary": null})).await.expect(200);
    assert_eq!(settings(ended), nothing_but(json!({})));
    let message = call(json!({"canary_cookie": "beta"}))
        .await
        .refused(422, "invalid_params");
    assert!(
        message.contains("canary-cookie needs a canary"),
        "{message}"
    );

    let body = json!({"canary": next.to_string(), "canary_cookie": "beta"});
    call(body).await.expect(200);
    rig.call("DELETE", "/apps/demo-beta", json!({}))
        .await
        .expect(200);
    assert_eq!(
        settings(rig.get(PATH).await.expect(200)),
        nothing_but(json!({}))
    );
    let log = rig.log(home).await;
    assert_eq!(
        log.last().unwrap(),
        "Canary demo-beta destroyed, this app's own dynos answer by user dev@example.com"
    );
}

#[tokio::test]
async fn nobody_sends_requests_to_an_app_that_they_may_not_deploy() {
    let rig = Rig::new().await;
    rig.app("demo").await;
    rig.call_as(OTHER, "POST", "/apps", Some(json!({"name": "theirs"})))
        .await
        .expect(201);
    // Neither with no right to it, nor with somebody else's.
    let canary = json!({"canary": "theirs", "canary_weight_percent": 5});
    let message = rig
        .call("PATCH", PATH, canary.clone())
        .await
        .refused(422, "invalid_params");
    assert!(
        message.contains("must be an app that you may deploy"),
        "{message}"
    );
    let join = json!({"user": "dev@example.com"});
    rig.call_as(OTHER, "POST", "/apps/theirs/collaborators", Some(join))
        .await
        .expect(201);
    let message = rig
        .call("PATCH", PATH, canary)
        .await
        .refused(422, "invalid_params");
    assert!(
        message.contains("another app of the same owner"),
        "{message}"
    );

    // A collaborator of the one alone may end it, but send nothing more there.
    rig.call_as(OTHER, "POST", "/apps", Some(json!({"name": "next"})))
        .await
        .expect(201);
    let path = "/ropewalk/apps/theirs/edge";
    let canary = json!({"canary": "next", "canary_weight_percent": 5});
    rig.call_as(OTHER, "PATCH", path, Some(canary))
        .await
        .expect(200);
    let message = rig
        .call("PATCH", path, json!({"canary_weight_percent": 50}))
        .await
        .refused(422, "invalid_params");
    assert!(
        message.contains("You may not deploy this app's canary"),
        "{message}"
    );
    rig.call("PATCH", path, json!({"hsts_max_age": 60}))
        .await
        .expect(200);
    rig.call("PATCH", path, json!({"canary": null}))
        .await
        .expect(200);
}
