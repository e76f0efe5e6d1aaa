//! Autoscale monitors: the bodies that clients send, what is refused, and whose they are.

use serde_json::{Value, json};

use crate::rig::{OTHER, Rig};

const PATH: &str = "/apps/demo/formation/web/monitors";

/// What Heroku's CLI sends to enable.
fn body() -> Value {
    json!({"name": "LATENCY_SCALE", "action_type": "scale", "is_active": true, "op": "GREATER_OR_EQUAL",
        "period": 1, "value": 300, "min_quantity": 1, "max_quantity": 5, "notification_channels": [],
        "notification_period": 1440})
}

async fn rig() -> Rig {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    rig.deploy(app, &[("web", "node web.js"), ("worker", "node work.js")])
        .await;
    rig
}

#[tokio::test]
async fn a_monitor_is_made_shown_changed_and_switched_off() {
    let rig = rig().await;
    assert_eq!(rig.get(PATH).await.expect(200), json!([]));
    let made = rig.call("POST", PATH, body()).await.expect(201);
    for (key, value) in body().as_object().unwrap() {
        assert_eq!(&made[key], value, "{key}");
    }
    let id = made["id"].as_str().unwrap();
    let path = format!("{PATH}/{id}");
    assert_eq!(rig.get(PATH).await.expect(200), json!([made]));
    assert_eq!(rig.get(&path).await.expect(200), made);
    let app = made["app"]["id"].as_str().unwrap();
    let by_id = format!("/apps/{app}/formation/web/monitors/LATENCY_SCALE");
    assert_eq!(rig.get(&by_id).await.expect(200), made);

    let more = json!({"is_active": true, "op": "GREATER_OR_EQUAL", "period": 1, "value": 500, "min_quantity": 2,
        "max_quantity": 8, "notification_channels": [], "notification_period": 1440});
    let changed = rig.call("PATCH", &path, more.clone()).await.expect(200);
    for (key, value) in more.as_object().unwrap() {
        assert_eq!(&changed[key], value, "{key}");
    }
    let off = json!({"is_active": false, "op": "GREATER_OR_EQUAL", "period": 1});
    let off = rig.call("PATCH", &path, off).await.expect(200);
    assert_eq!(off["is_active"], false);
    assert_eq!(
        (&off["value"], &off["max_quantity"]),
        (&json!(500), &json!(8))
    );

    let app = app.parse().unwrap();
    let log = rig.log(app).await;
    for line in [
        "Autoscale web between 1 and 5 dynos for a p95 of 300 ms by user dev@example.com",
        "Autoscale web between 2 and 8 dynos for a p95 of 500 ms by user dev@example.com",
        "Autoscale web no longer by user dev@example.com",
    ] {
        assert!(log.iter().any(|text| text == line), "{line}: {log:?}");
    }
}

#[tokio::test]
async fn what_is_not_said_is_as_clients_expect_it() {
    let rig = rig().await;
    let few = json!({"min_quantity": 1, "max_quantity": 2});
    let made = rig.call("POST", PATH, few).await.expect(201);
    assert_eq!(made["value"], 1000);
    assert_eq!(made["is_active"], true);
    assert_eq!(made["notification_period"], 1440);
}

#[tokio::test]
async fn mistakes_are_named() {
    let rig = rig().await;
    let made = rig.call("POST", PATH, body()).await.expect(201);
    let one = format!("{PATH}/{}", made["id"].as_str().unwrap());
    for (key, value, said) in [
        ("min_quantity", json!(0), "at least 1"),
        ("min_quantity", json!(-1), "at least 1"),
        ("min_quantity", json!(6), "must not be fewer"),
        ("max_quantity", json!(101), "100"),
        ("max_quantity", json!(i64::MAX), "100"),
        ("value", json!(0), "between 1 and 30000"),
        ("value", json!(30_001), "between 1 and 30000"),
        ("op", json!("LESS"), "`op` must be GREATER_OR_EQUAL"),
        ("period", json!(5), "`period` must be 1"),
        ("name", json!("ANY"), "`name` must be LATENCY_SCALE"),
        ("action_type", json!("alert"), "`action_type` must be scale"),
        (
            "notification_channels",
            json!(["app"]),
            "Notifications are not available",
        ),
        ("notification_period", json!(0), "`notification_period`"),
        ("value", json!("fast"), "does not fit"),
    ] {
        let mut asked = body();
        asked[key] = value;
        for (method, path) in [("POST", PATH), ("PATCH", &one)] {
            let answer = rig.call(method, path, asked.clone()).await;
            let message = answer.refused(422, "invalid_params");
            assert!(message.contains(said), "{key}: {message}");
        }
    }
    assert_eq!(rig.get(&one).await.expect(200)["value"], 300);
    let missing = rig.call("POST", PATH, json!({"min_quantity": 1})).await;
    let message = missing.refused(422, "invalid_params");
    assert_eq!(message, "`max_quantity` is missing.");
    let second = rig.call("POST", PATH, body()).await;
    let message = second.refused(422, "invalid_params");
    assert!(message.contains("already"), "{message}");
}

#[tokio::test]
async fn only_web_that_is_deployed_is_scaled() {
    let rig = rig().await;
    let path = "/apps/demo/formation/worker/monitors";
    let message = rig
        .call("POST", path, body())
        .await
        .refused(422, "invalid_params");
    assert!(message.contains("Only web"), "{message}");
    assert_eq!(rig.get(path).await.expect(200), json!([]));
    rig.app("blank").await;
    let path = "/apps/blank/formation/web/monitors";
    let message = rig
        .call("POST", path, body())
        .await
        .refused(422, "invalid_params");
    assert!(message.contains("deploy one first"), "{message}");
    rig.get("/apps/demo/formation/web/monitors/none")
        .await
        .refused(404, "not_found");
    rig.get("/apps/demo/formation/no%20type/monitors")
        .await
        .refused(404, "not_found");
}

#[tokio::test]
async fn monitors_of_others_are_not_there() {
    let rig = rig().await;
    let made = rig.call("POST", PATH, body()).await.expect(201);
    let one = format!("{PATH}/{}", made["id"].as_str().unwrap());
    for (method, path, body) in [
        ("GET", PATH, None),
        ("GET", &one, None),
        ("POST", PATH, Some(body())),
        ("PATCH", &one, Some(json!({"is_active": false}))),
    ] {
        rig.call_as(OTHER, method, path, body)
            .await
            .refused(404, "not_found");
    }
    rig.app("second").await;
    let elsewhere = one.replace("demo", "second");
    rig.get(&elsewhere).await.refused(404, "not_found");
    rig.call("PATCH", &elsewhere, json!({"is_active": false}))
        .await
        .refused(404, "not_found");
}
