//! What clients know and this installation does not have: nothing is made up, and every answer says so.

use serde_json::{Value, json};

use crate::rig::{OTHER, Rig};

#[tokio::test]
async fn lists_of_what_nobody_can_have_are_empty() {
    let rig = Rig::new().await;
    rig.app("demo").await;
    for path in [
        "/addons",
        "/users/~/addons",
        "/apps/demo/addons",
        "/addon-attachments",
        "/apps/demo/addon-attachments",
        "/addon-services",
        "/teams",
        "/enterprise-accounts",
        "/invitations",
        "/spaces",
        "/apps/demo/webhooks",
        "/telemetry-drains",
        "/apps/demo/telemetry-drains",
        "/account/features",
    ] {
        let answer = rig.get(path).await;
        assert_eq!(answer.expect(200), json!([]), "{path}");
        assert_eq!(answer.header("accept-ranges"), Some("id"), "{path}");
        rig.get_range(path, "id ..; max=1000;").await.expect(200);
        rig.get_range(path, "bytes=0-1")
            .await
            .refused(416, "requested_range_not_satisfiable");
    }
}

#[tokio::test]
async fn single_things_are_not_found_by_the_kind_that_clients_read() {
    let rig = Rig::new().await;
    rig.app("demo").await;
    for (method, path, resource) in [
        ("POST", "/actions/addons/resolve", "add_on"),
        ("GET", "/addons/postgresql-solid-1", "add_on"),
        ("GET", "/apps/demo/addons/postgresql-solid-1", "add_on"),
        ("GET", "/apps/demo/addons/postgresql-solid-1/sso", "add_on"),
        ("PATCH", "/apps/demo/addons/postgresql-solid-1", "add_on"),
        ("DELETE", "/apps/demo/addons/postgresql-solid-1", "add_on"),
        (
            "POST",
            "/actions/addon-attachments/resolve",
            "add_on attachment",
        ),
        (
            "GET",
            "/apps/demo/addon-attachments/DATABASE",
            "add_on attachment",
        ),
        ("DELETE", "/addon-attachments/x", "add_on attachment"),
        (
            "GET",
            "/addon-services/heroku-postgresql/plans",
            "addon_service",
        ),
        ("GET", "/pipelines/shop/repo", "pipeline"),
        ("PATCH", "/pipelines/shop/review-app-config", "pipeline"),
        ("GET", "/teams/shop", "team"),
        ("GET", "/teams/shop/members", "team"),
        ("GET", "/spaces/shop", "space"),
        ("PUT", "/spaces/shop/inbound-ruleset", "space"),
        ("GET", "/apps/demo/webhooks/x", "webhook"),
        ("GET", "/telemetry-drains/x", "telemetry_drain"),
        ("GET", "/review-apps/x", "review_app"),
        (
            "GET",
            "/account/features/dashboard-repositories-api",
            "account_feature",
        ),
        ("GET", "/client/v11/databases/x", "add_on"),
        ("PUT", "/client/v11/databases/x/reset", "add_on"),
        ("GET", "/postgres/v0/databases/x/credentials", "add_on"),
        ("PATCH", "/redis/v0/databases/x/config", "add_on"),
    ] {
        let answer = rig.call(method, path, json!({"addon": "x"})).await;
        let message = answer.refused(404, "not_found");
        assert_eq!(answer.json()["resource"], resource, "{method} {path}");
        // What it is and what to do: more than that it was not found.
        assert!(message.contains(" here"), "{path}: {message}");
    }
}

#[tokio::test]
async fn who_wants_to_make_one_is_told_what_to_do_instead() {
    let rig = Rig::new().await;
    rig.app("demo").await;
    for (path, word) in [
        ("/apps/demo/addons", "config:set"),
        ("/addon-attachments", "config:set"),
        ("/teams", "account"),
        ("/teams/apps", "account"),
        ("/spaces", "network"),
        ("/apps/demo/webhooks", "logs --tail"),
        ("/telemetry-drains", "config var"),
        ("/review-apps", "push"),
        ("/app-setups", "Create"),
    ] {
        let answer = rig.call("POST", path, json!({"name": "shop"})).await;
        let message = answer.refused(422, "invalid_params");
        assert!(message.contains(word), "{path}: {message}");
        let of_app = path.starts_with("/apps/demo");
        assert_eq!(answer.json()["app"]["name"] == "demo", of_app, "{path}");
    }
}

#[tokio::test]
async fn they_are_asked_for_with_the_same_rights_as_what_is_there() {
    let rig = Rig::new().await;
    rig.app("demo").await;
    for (method, path) in [
        ("GET", "/apps/demo/addons"),
        ("POST", "/apps/demo/addons"),
        ("GET", "/apps/demo/pipeline-couplings"),
        ("DELETE", "/apps/demo/addons/x"),
    ] {
        let answer = rig.call_as(OTHER, method, path, Some(json!({}))).await;
        answer.refused(404, "not_found");
        assert_eq!(answer.json()["resource"], "app", "{path}");
        rig.call_as("wrong", method, path, None)
            .await
            .refused(401, "unauthorized");
    }
    rig.call_as("wrong", "GET", "/client/v11/databases/x", None)
        .await
        .refused(401, "unauthorized");
}

#[tokio::test]
async fn preboot_is_on_and_stays_on() {
    let rig = Rig::new().await;
    rig.app("demo").await;
    let path = "/apps/demo/features/preboot";
    let names: Vec<Value> = rig
        .get("/apps/demo/features")
        .await
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|feature| feature["name"].clone())
        .collect();
    assert_eq!(names, ["http-session-affinity", "preboot", "daily-cycling"]);
    let on = rig.call("PATCH", path, json!({"enabled": true})).await;
    assert_eq!(on.expect(200)["enabled"], true);
    let message = rig
        .call("PATCH", path, json!({"enabled": false}))
        .await
        .refused(422, "invalid_params");
    assert!(message.contains("rollout"), "{message}");
    assert_eq!(rig.get(path).await.json()["enabled"], true);
}

#[tokio::test]
async fn session_affinity_is_switched_and_settled() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    let path = "/apps/demo/features/http-session-affinity";
    let before = rig.platform.settles();
    for (times, on) in [(1, true), (1, true), (2, false), (3, true)] {
        let feature = rig.call("PATCH", path, json!({"enabled": on})).await;
        assert_eq!(feature.expect(200)["enabled"], on);
        assert_eq!(rig.get(path).await.json()["enabled"], on);
        assert_eq!(rig.platform.settles(), before + times);
    }
    let row = rig.ctx.store.read(move |view| view.app(app)).await.unwrap();
    assert!(row.session_affinity);
    let said = "Enable http-session-affinity by user dev@example.com";
    assert!(rig.log(app).await.iter().any(|line| line == said));
}

#[tokio::test]
async fn apps_are_filtered_by_id_in_pages_and_other_peoples_left_out() {
    let rig = Rig::new().await;
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(rig.app(&format!("app-{n}")).await.to_string());
    }
    let foreign = rig
        .call_as(OTHER, "POST", "/apps", Some(json!({"name": "foreign"})))
        .await
        .expect(201);
    let asked = json!({"in": {"id": [ids[0].to_ascii_uppercase(), ids[2], foreign["id"], "x"]}});
    let found = rig
        .call("POST", "/filters/apps", asked.clone())
        .await
        .expect(200);
    let mut names: Vec<&str> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|app| app["name"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["app-0", "app-2"]);
    let page = http::Request::builder()
        .method("POST")
        .uri("/filters/apps")
        .header("authorization", format!("Bearer {}", crate::rig::DEV))
        .header("range", "name ..; max=1;")
        .body(axum::body::Body::from(asked.to_string()));
    let page = rig.send(page.unwrap()).await;
    assert_eq!(page.status, 206);
    assert_eq!(page.header("next-range"), Some("name ]app-0..; max=1"));
    assert_eq!(page.json()[0]["name"], "app-0");
    let none = rig.call("POST", "/filters/apps", json!({"in": {"id": []}}));
    assert_eq!(none.await.expect(200), json!([]));
    let all = rig.call("POST", "/filters/apps", json!({})).await;
    assert_eq!(all.expect(200).as_array().unwrap().len(), 4);
    rig.call("POST", "/filters/apps", json!({"in": {"id": "x"}}))
        .await
        .refused(422, "invalid_params");
}
