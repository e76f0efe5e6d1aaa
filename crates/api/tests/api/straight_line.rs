//! Create, configure, deploy, scale, look, roll back, read the log, destroy.

use serde_json::json;

use crate::rig::Rig;

#[tokio::test]
async fn an_app_from_its_making_to_its_end() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    assert_eq!(
        rig.get("/apps/demo/releases/1").await.expect(200)["description"],
        "Initial release"
    );

    let vars = rig
        .call(
            "PATCH",
            "/apps/demo/config-vars",
            json!({"B": "2", "A": "1 \"é\"\n"}),
        )
        .await
        .expect(200);
    assert_eq!(vars, json!({"A": "1 \"é\"\n", "B": "2"}));
    let newest = rig
        .get_range("/apps/demo/releases", "version ..; max=1, order=desc")
        .await;
    assert_eq!(newest.status, 206);
    assert_eq!(newest.json()[0]["version"], 2);
    assert_eq!(newest.json()[0]["description"], "Set A, B config vars");

    rig.deploy(app, &[("web", "node web.js"), ("worker", "node work.js")])
        .await;
    let scaled = rig
        .call(
            "PATCH",
            "/apps/demo/formation",
            json!({"updates": [{"type": "web", "quantity": "+1", "size": "standard-2x"},
                               {"type": "worker", "quantity": 2}]}),
        )
        .await
        .expect(200);
    assert_eq!(scaled[0]["quantity"], 2);
    assert_eq!(scaled[0]["size"], "Standard-2X");
    assert_eq!(scaled[1]["quantity"], 2);

    rig.deploy(app, &[("web", "node web2.js")]).await;
    let back = rig
        .call("POST", "/apps/demo/releases", json!({"release": "3"}))
        .await
        .expect(201);
    assert_eq!(back["version"], 5);
    assert_eq!(back["description"], "Rollback to v3");
    assert_eq!(back["status"], "pending");
    assert_eq!(back["current"], false);

    assert_eq!(
        rig.log(app).await,
        [
            "Initial release by user dev@example.com",
            "Release v1 created by user dev@example.com",
            "Set A, B config vars by user dev@example.com",
            "Release v2 created by user dev@example.com",
            "Scaled to web@2:Standard-2X worker@2:Standard-1X by user dev@example.com",
            "Rollback to v3 by user dev@example.com",
            "Release v5 created by user dev@example.com",
        ]
    );

    let last = rig
        .call("DELETE", "/apps/demo", json!({}))
        .await
        .expect(200);
    assert_eq!(last["id"], app.to_string());
    rig.get("/apps/demo").await.refused(404, "not_found");
    assert_eq!(*rig.platform.deleted.lock().unwrap(), [app]);
    assert!(rig.log(app).await.is_empty());
}

#[tokio::test]
async fn config_vars_change_by_releases_and_only_when_they_change() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    let path = "/apps/demo/config-vars";
    rig.call("PATCH", path, json!({"A": "1", "EMPTY": ""}))
        .await
        .expect(200);
    let changes = rig.platform.changes();
    rig.call("PATCH", path, json!({"A": "1", "GONE": null}))
        .await
        .expect(200);
    assert_eq!(
        rig.get("/apps/demo/releases")
            .await
            .json()
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        rig.platform.changes(),
        changes,
        "nobody is woken for nothing"
    );

    let vars = rig
        .call("PATCH", path, json!({"A": null}))
        .await
        .expect(200);
    assert_eq!(vars, json!({"EMPTY": ""}));
    assert_eq!(
        rig.get("/apps/demo/releases/3").await.json()["description"],
        "Remove A config vars"
    );
    assert_eq!(
        rig.get("/apps/demo/releases/2/config-vars").await.json(),
        json!({"A": "1", "EMPTY": ""})
    );

    // While a release is on its way, its config vars are shown and built on.
    rig.deploy(app, &[("web", "x")]).await;
    rig.call("PATCH", path, json!({"B": "2"})).await.expect(200);
    assert_eq!(
        rig.get("/apps/demo/releases/5").await.json()["status"],
        "pending"
    );
    assert_eq!(rig.get(path).await.json(), json!({"B": "2", "EMPTY": ""}));
    rig.call("PATCH", path, json!({"C": "3"})).await.expect(200);
    assert_eq!(
        rig.get("/apps/demo/releases/5").await.json()["status"],
        "expired"
    );
    assert_eq!(
        rig.get(path).await.json(),
        json!({"B": "2", "C": "3", "EMPTY": ""})
    );

    for (bad, status) in [
        (json!({"1A": "x"}), 422),
        (json!({"PORT": "80"}), 422),
        (json!({"A": 1}), 422),
        (json!({"A": ["x"]}), 422),
        (json!({"A": "a\u{0}b"}), 422),
        (json!({"A": "x".repeat(70_000)}), 422),
        (json!(["A"]), 422),
    ] {
        rig.call("PATCH", path, bad)
            .await
            .refused(status, "invalid_params");
    }
}

#[tokio::test]
async fn names_are_made_up_taken_reserved_and_changed() {
    let rig = Rig::new().await;
    let made = rig.call("POST", "/apps", json!({})).await.expect(201);
    let name = made["name"].as_str().unwrap();
    assert_eq!(name.split('-').count(), 3, "{name}");
    rig.app("demo").await;
    let message = rig
        .call("POST", "/apps", json!({"name": "demo"}))
        .await
        .refused(422, "invalid_params");
    assert_eq!(message, "Name demo is already taken");
    for name in ["api", "git", "registry", "-x", "UPPER", "ab"] {
        rig.call("POST", "/apps", json!({"name": name}))
            .await
            .refused(422, "invalid_params");
    }
    let renamed = rig
        .call(
            "PATCH",
            "/apps/demo",
            json!({"name": "other-name", "maintenance": true}),
        )
        .await
        .expect(200);
    assert_eq!(renamed["web_url"], "http://other-name.apps.test:8080/");
    assert_eq!(
        renamed["git_url"],
        "http://git.apps.test:8080/other-name.git"
    );
    assert_eq!(renamed["maintenance"], true);
    rig.get("/apps/demo").await.refused(404, "not_found");
    let message = rig
        .call("PATCH", "/apps/other-name", json!({"name": name}))
        .await
        .refused(422, "invalid_params");
    assert!(message.contains("already taken"));

    let stacked = rig
        .call(
            "PATCH",
            "/apps/other-name",
            json!({"build_stack": "debian-12"}),
        )
        .await
        .expect(200);
    assert_eq!(stacked["build_stack"]["name"], "debian-12");
    assert_eq!(stacked["stack"]["name"], "debian-13");
    for bad in [
        json!({"stack": "plan9"}),
        json!({"region": "mars"}),
        json!({"feature_flags": ["x"]}),
    ] {
        rig.call("POST", "/apps", bad)
            .await
            .refused(422, "invalid_params");
    }
}

#[tokio::test]
async fn scaling_takes_what_people_type_and_refuses_the_rest() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    let path = "/apps/demo/formation";
    rig.call(
        "PATCH",
        path,
        json!({"updates": [{"type": "web", "quantity": "1"}]}),
    )
    .await
    .refused(404, "not_found");
    rig.deploy(app, &[("web", "x"), ("release", "migrate")])
        .await;
    let release = rig.get("/apps/demo/formation/release").await.expect(200);
    assert_eq!(release["quantity"], 0);
    let one = rig
        .call("PATCH", "/apps/demo/formation/web", json!({"quantity": 5}))
        .await
        .expect(200);
    assert_eq!(one["quantity"], 5);
    let one = rig
        .call(
            "PATCH",
            "/apps/demo/formation/web",
            json!({"dyno_size": {"name": "eco"}}),
        )
        .await
        .expect(200);
    assert_eq!((&one["size"], &one["quantity"]), (&json!("Eco"), &json!(5)));
    for (bad, status, id) in [
        (json!({"updates": []}), 422, "invalid_params"),
        (json!({"updates": [{"quantity": 1}]}), 422, "invalid_params"),
        (
            json!({"updates": [{"type": "web", "quantity": "lots"}]}),
            422,
            "invalid_params",
        ),
        (
            json!({"updates": [{"type": "web", "quantity": -1.5}]}),
            422,
            "invalid_params",
        ),
        (
            json!({"updates": [{"type": "web", "quantity": 101}]}),
            422,
            "invalid_params",
        ),
        (
            json!({"updates": [{"type": "web", "size": "huge"}]}),
            422,
            "invalid_params",
        ),
        (
            json!({"updates": [{"type": "release", "quantity": 1}]}),
            422,
            "invalid_params",
        ),
        (
            json!({"updates": [{"type": "web", "docker_image": "sha256:1"}]}),
            422,
            "invalid_params",
        ),
        (
            json!({"updates": [{"type": "nope", "quantity": 1}]}),
            404,
            "not_found",
        ),
        (
            json!({"updates": [{"type": "../x", "quantity": 1}]}),
            404,
            "not_found",
        ),
        (
            json!({"updates": [{"type": "web", "quantity": 1}, {"type": "nope", "quantity": 1}]}),
            404,
            "not_found",
        ),
    ] {
        rig.call("PATCH", path, bad.clone())
            .await
            .refused(status, id);
    }
    assert_eq!(
        rig.get("/apps/demo/formation/web").await.json()["quantity"],
        5,
        "all or nothing"
    );
    assert!(
        rig.call(
            "PATCH",
            path,
            json!({"updates": [{"type": "web", "quantity": 0}]})
        )
        .await
        .status
            == 200
    );
}

#[tokio::test]
async fn going_back_needs_something_to_go_back_to() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    let path = "/apps/demo/releases";
    rig.call("POST", path, json!({"release": "1"}))
        .await
        .refused(422, "invalid_params");
    rig.call("POST", path, json!({"release": "9"}))
        .await
        .refused(404, "not_found");
    rig.call("POST", path, json!({"release": "x"}))
        .await
        .refused(404, "not_found");
    rig.call("POST", path, json!({}))
        .await
        .refused(422, "invalid_params");
    let pending = rig
        .deploy_pending(app, &[("web", "x"), ("release", "migrate")])
        .await;
    rig.call("POST", path, json!({"release": "2"}))
        .await
        .refused(422, "invalid_params");
    let shown = rig.get(&format!("{path}/{}", pending.id)).await.expect(200);
    assert_eq!(shown["version"], 2);
    assert_eq!(shown["eligible_for_rollback"], false);
    assert!(shown["output_stream_url"].is_string());

    let retried = rig
        .call("POST", path, json!({"slug": pending.slug.unwrap().to_string(), "description": "Retry of v2: Deploy"}))
        .await
        .expect(201);
    assert_eq!(retried["description"], "Retry of v2: Deploy");
    let others = rig.app("other").await;
    let slug = rig.deploy(others, &[("web", "x")]).await.slug.unwrap();
    rig.call("POST", path, json!({"slug": slug.to_string()}))
        .await
        .refused(404, "not_found");
}
