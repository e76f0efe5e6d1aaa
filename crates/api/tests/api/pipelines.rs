//! Pipelines, couplings, stages' config vars and promotions, and who may do what with them.

use jiff::Timestamp;
use ropewalk_model::AppId;
use ropewalk_model::release::ReleaseStatus;
use serde_json::{Value, json};

use crate::rig::{ADMIN, OTHER, Rig};

async fn pipeline(rig: &Rig, name: &str) -> String {
    let made = rig.call("POST", "/pipelines", json!({"name": name})).await;
    made.expect(201)["id"].as_str().unwrap().to_owned()
}

async fn couple(rig: &Rig, app: &str, pipeline: &str, stage: &str) -> Value {
    let body = json!({"app": app, "pipeline": pipeline, "stage": stage});
    rig.call("POST", "/pipeline-couplings", body)
        .await
        .expect(201)
}

#[tokio::test]
async fn pipelines_are_made_found_renamed_and_destroyed() {
    let rig = Rig::new().await;
    let owner = rig.get("/account").await.json()["id"].clone();
    let asked = json!({"name": "shop", "owner": {"id": owner, "type": "user"}, "generation": {"name": "cedar"}});
    let made = rig.call("POST", "/pipelines", asked).await.expect(201);
    assert_eq!(made["owner"], json!({"id": owner, "type": "user"}));
    assert_eq!(made["generation"]["name"], "cedar");
    let id = made["id"].as_str().unwrap().to_owned();
    for path in ["/pipelines/shop".to_owned(), format!("/pipelines/{id}")] {
        assert_eq!(rig.get(&path).await.expect(200)["name"], "shop", "{path}");
    }
    let list = |query: &'static str| {
        let rig = &rig;
        async move {
            let found = rig.get(&format!("/pipelines{query}")).await.expect(200);
            found.as_array().unwrap().len()
        }
    };
    assert_eq!(list("").await, 1);
    assert_eq!(list("?eq[name]=shop").await, 1);
    assert_eq!(list("?eq%5Bname%5D=nothing").await, 0);
    rig.get("/pipelines?name=shop")
        .await
        .refused(400, "bad_request");

    let taken = rig
        .call("POST", "/pipelines", json!({"name": "shop"}))
        .await;
    assert_eq!(
        taken.refused(422, "invalid_params"),
        "Name shop is already taken"
    );
    for (wrong, word) in [
        (json!({"name": "Shop"}), "lowercase"),
        (json!({}), "lowercase"),
        (
            json!({"name": "abc", "owner": {"id": owner, "type": "team"}}),
            "Teams",
        ),
        (
            json!({"name": "abc", "owner": {"id": id, "type": "user"}}),
            "whoever makes it",
        ),
    ] {
        let refused = rig.call("POST", "/pipelines", wrong).await;
        let message = refused.refused(422, "invalid_params");
        assert!(message.contains(word), "{message}");
    }
    let path = format!("/pipelines/{id}");
    let renamed = rig.call("PATCH", &path, json!({"name": "store"})).await;
    assert_eq!(renamed.expect(200)["name"], "store");
    let stack = rig.get(&format!("{path}/pipeline-stack")).await;
    assert_eq!(stack.expect(200)["stack"]["name"], "debian-13");
    rig.call("DELETE", &path, json!({})).await.expect(200);
    let gone = rig.get(&path).await;
    gone.refused(404, "not_found");
    assert_eq!(gone.json()["resource"], "pipeline");
    let deleted = rig.platform.pipelines_deleted.lock().unwrap().len();
    assert_eq!(deleted, 1);
}

#[tokio::test]
async fn an_app_is_coupled_once_moved_and_taken_out() {
    let rig = Rig::new().await;
    let demo = rig.app("demo").await;
    let shop = pipeline(&rig, "shop").await;
    let none = rig.get("/apps/demo/pipeline-couplings").await;
    none.refused(404, "not_found");
    assert_eq!(none.json()["resource"], "pipeline_coupling");
    let made = couple(&rig, "demo", &shop, "staging").await;
    assert_eq!(made["app"]["id"], demo.to_string());
    assert_eq!(made["pipeline"], json!({"id": shop, "name": "shop"}));
    let id = made["id"].as_str().unwrap();
    for path in [
        "/apps/demo/pipeline-couplings".to_owned(),
        format!("/pipeline-couplings/{id}"),
    ] {
        assert_eq!(rig.get(&path).await.expect(200), made, "{path}");
    }
    for path in [
        "/pipeline-couplings".to_owned(),
        "/users/~/pipeline-couplings".to_owned(),
        format!("/pipelines/{shop}/pipeline-couplings"),
        "/pipelines/shop/pipeline-couplings".to_owned(),
    ] {
        let list = rig.get_range(&path, "id ..; max=1000;").await.expect(200);
        assert_eq!(list, json!([made]), "{path}");
    }
    let second = pipeline(&rig, "second").await;
    for (body, word) in [
        (
            json!({"app": "demo", "pipeline": second, "stage": "production"}),
            "already",
        ),
        (
            json!({"app": "demo", "pipeline": shop, "stage": "test"}),
            "test",
        ),
        (
            json!({"app": "demo", "pipeline": shop, "stage": "live"}),
            "live",
        ),
    ] {
        let refused = rig.call("POST", "/pipeline-couplings", body).await;
        let message = refused.refused(422, "invalid_params");
        assert!(message.contains(word), "{message}");
    }
    let path = format!("/pipeline-couplings/{id}");
    let moved = rig
        .call("PATCH", &path, json!({"stage": "production"}))
        .await;
    assert_eq!(moved.expect(200)["stage"], "production");
    let log = rig.log(demo).await;
    assert!(
        log.iter()
            .any(|line| line == "Moved to production of pipeline shop by user dev@example.com"),
        "{log:?}"
    );
    rig.call("DELETE", &path, json!({})).await.expect(200);
    rig.get(&path).await.refused(404, "not_found");
    // An app that ends leaves.
    couple(&rig, "demo", "shop", "staging").await;
    rig.call("DELETE", "/apps/demo", json!({}))
        .await
        .expect(200);
    let left = rig.get("/pipelines/shop/pipeline-couplings").await;
    assert_eq!(left.expect(200), json!([]));
}

#[tokio::test]
async fn who_works_on_an_app_of_a_pipeline_works_on_it_and_nobody_else() {
    let rig = Rig::new().await;
    rig.app("demo").await;
    let shop = pipeline(&rig, "shop").await;
    let coupling = couple(&rig, "demo", &shop, "staging").await;
    let config = format!("/pipelines/{shop}/stage/test/config-vars");
    rig.call("PATCH", &config, json!({"A": "1"}))
        .await
        .expect(200);
    let doors = [
        ("GET", format!("/pipelines/{shop}"), json!({})),
        (
            "GET",
            format!("/pipelines/{shop}/pipeline-couplings"),
            json!({}),
        ),
        (
            "GET",
            format!("/pipelines/{shop}/pipeline-stack"),
            json!({}),
        ),
        ("GET", format!("/pipelines/{shop}/test-runs"), json!({})),
        ("GET", config.clone(), json!({})),
        ("PATCH", config.clone(), json!({"B": "2"})),
    ];
    let closed = [
        (
            "PATCH",
            format!("/pipelines/{shop}"),
            json!({"name": "mine"}),
        ),
        ("DELETE", format!("/pipelines/{shop}"), json!({})),
        (
            "POST",
            "/pipeline-transfers".to_owned(),
            json!({"pipeline": {"id": shop}}),
        ),
    ];
    for (method, path, body) in doors.iter().chain(&closed) {
        let answer = rig.call_as(OTHER, method, path, Some(body.clone())).await;
        answer.refused(404, "not_found");
        assert_eq!(answer.json()["resource"], "pipeline", "{path}");
    }
    let seen = rig.call_as(OTHER, "GET", "/pipelines", None).await;
    assert_eq!(seen.expect(200), json!([]));
    let path = format!("/pipeline-couplings/{}", coupling["id"].as_str().unwrap());
    rig.call_as(OTHER, "DELETE", &path, None)
        .await
        .refused(404, "not_found");
    // Nobody brings their own app in, or somebody else's.
    rig.call_as(OTHER, "POST", "/apps", Some(json!({"name": "foreign"})))
        .await
        .expect(201);
    let body = json!({"app": "foreign", "pipeline": shop, "stage": "production"});
    rig.call_as(OTHER, "POST", "/pipeline-couplings", Some(body.clone()))
        .await
        .refused(404, "not_found");
    rig.call("POST", "/pipeline-couplings", body)
        .await
        .refused(404, "not_found");

    let share = json!({"user": "other@example.com"});
    rig.call("POST", "/apps/demo/collaborators", share)
        .await
        .expect(201);
    for (method, path, body) in &doors {
        let answer = rig.call_as(OTHER, method, path, Some(body.clone())).await;
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text);
    }
    for (method, path, body) in &closed {
        let answer = rig.call_as(OTHER, method, path, Some(body.clone())).await;
        let message = answer.refused(403, "forbidden");
        assert!(message.contains("pipeline"), "{message}");
    }
    let seen = rig.call_as(ADMIN, "GET", "/pipelines", None).await;
    assert_eq!(seen.expect(200).as_array().unwrap().len(), 1);
    // It is given away, and then it is somebody else's.
    let other = rig.call_as(OTHER, "GET", "/account", None).await.json()["id"].clone();
    let give = json!({"pipeline": {"id": shop}, "new_owner": {"id": other, "type": "user"}});
    let given = rig.call("POST", "/pipeline-transfers", give).await;
    assert_eq!(given.expect(201)["new_owner"]["id"], other);
    rig.call("DELETE", &format!("/pipelines/{shop}"), json!({}))
        .await
        .refused(403, "forbidden");
}

#[tokio::test]
async fn a_stage_has_config_vars_of_its_own() {
    let rig = Rig::new().await;
    let shop = pipeline(&rig, "shop").await;
    let path = format!("/pipelines/{shop}/stage/test/config-vars");
    assert_eq!(rig.get(&path).await.expect(200), json!({}));
    let set = json!({"A": "1", "B": "2", "GONE": null});
    let vars = rig.call("PATCH", &path, set).await.expect(200);
    assert_eq!(vars, json!({"A": "1", "B": "2"}));
    let vars = rig.call("PATCH", &path, json!({"A": null})).await;
    assert_eq!(vars.expect(200), json!({"B": "2"}));
    let review = format!("/pipelines/{shop}/stage/review/config-vars");
    assert_eq!(rig.get(&review).await.expect(200), json!({}));
    let wrong = rig.call("PATCH", &path, json!({"A B": "hush"})).await;
    assert!(!wrong.refused(422, "invalid_params").contains("hush"));
    rig.get(&format!("/pipelines/{shop}/stage/live/config-vars"))
        .await
        .refused(422, "invalid_params");
}

async fn promote(
    rig: &Rig,
    pipeline: &str,
    source: AppId,
    targets: &[AppId],
) -> crate::rig::Answer {
    let targets: Vec<Value> = targets
        .iter()
        .map(|app| json!({"app": {"id": app.to_string()}}))
        .collect();
    let body = json!({
        "pipeline": {"id": pipeline}, "source": {"app": {"id": source.to_string()}}, "targets": targets
    });
    rig.call("POST", "/pipeline-promotions", body).await
}

#[tokio::test]
async fn a_promotion_is_a_release_of_the_same_slug_with_the_targets_own_config_vars() {
    let rig = Rig::new().await;
    let (staging, production) = (rig.app("staging").await, rig.app("production").await);
    rig.call(
        "PATCH",
        "/apps/production/config-vars",
        json!({"WHO": "production"}),
    )
    .await
    .expect(200);
    let shop = pipeline(&rig, "shop").await;
    couple(&rig, "staging", &shop, "staging").await;
    let outside = promote(&rig, &shop, staging, &[production]).await;
    assert!(
        outside
            .refused(422, "invalid_params")
            .contains("production is not in that pipeline")
    );
    couple(&rig, "production", &shop, "production").await;
    let empty = promote(&rig, &shop, staging, &[production]).await;
    assert!(
        empty
            .refused(422, "invalid_params")
            .contains("nothing has been deployed")
    );
    rig.deploy(staging, &[("web", "run"), ("release", "migrate")])
        .await;
    let changes = rig.platform.changes();
    let made = promote(&rig, &shop, staging, &[production])
        .await
        .expect(201);
    assert_eq!(made["status"], "pending");
    assert_eq!(made["source"]["app"]["id"], staging.to_string());
    assert!(rig.platform.changes() > changes);

    let path = format!("/pipeline-promotions/{}", made["id"].as_str().unwrap());
    let targets = rig
        .get(&format!("{path}/promotion-targets"))
        .await
        .expect(200);
    let target = &targets[0];
    assert_eq!(target["status"], "pending");
    assert_eq!(target["app"]["id"], production.to_string());
    assert_eq!(target["pipeline_promotion"]["id"], made["id"]);
    let release = target["release"]["id"].as_str().unwrap();
    let release = rig
        .get(&format!("/apps/production/releases/{release}"))
        .await
        .expect(200);
    assert_eq!(release["description"], "Promote staging v2 1a2b3c4d");
    assert!(release["output_stream_url"].as_str().is_some());
    let version = release["version"].as_u64().unwrap();
    let vars = rig
        .get(&format!("/apps/production/releases/{version}/config-vars"))
        .await;
    assert_eq!(vars.expect(200), json!({"WHO": "production"}));
    // The slug is the target's own, of the same image.
    let slug = release["slug"]["id"].as_str().unwrap();
    let slug = rig.get(&format!("/apps/production/slugs/{slug}")).await;
    assert_eq!(slug.expect(200)["process_types"]["release"], "migrate");
    let builds = rig.get("/apps/production/builds").await;
    assert_eq!(builds.expect(200), json!([]));

    // It passes.
    rig.ctx
        .store
        .write(move |tx| tx.promote_candidate(production, version as u32, Timestamp::now()))
        .await
        .unwrap();
    assert_eq!(rig.get(&path).await.expect(200)["status"], "completed");
    let targets = rig
        .get(&format!("{path}/promotion-targets"))
        .await
        .expect(200);
    assert_eq!(targets[0]["status"], "succeeded");
    assert_eq!(targets[0]["error_message"], Value::Null);
}

#[tokio::test]
async fn each_target_of_a_promotion_ends_by_itself() {
    let rig = Rig::new().await;
    let shop = pipeline(&rig, "shop").await;
    let source = rig.app("source").await;
    couple(&rig, "source", &shop, "staging").await;
    rig.deploy(source, &[("web", "run")]).await;
    let mut targets = Vec::new();
    for name in ["one", "two", "three"] {
        targets.push(rig.app(name).await);
        couple(&rig, name, &shop, "production").await;
    }
    let itself = promote(&rig, &shop, source, &[source]).await;
    assert!(itself.refused(422, "invalid_params").contains("itself"));
    promote(&rig, &shop, source, &[])
        .await
        .refused(422, "invalid_params");
    let made = promote(&rig, &shop, source, &targets).await.expect(201);
    let (one, two, three) = (targets[0], targets[1], targets[2]);
    // One fails; another is overtaken by a change of config vars that passes; the third by a rollback.
    rig.ctx
        .store
        .write(move |tx| tx.fail_candidate(one, 2, "web.1 crashed: exit 1", Timestamp::now()))
        .await
        .unwrap();
    rig.call("PATCH", "/apps/two/config-vars", json!({"A": "1"}))
        .await
        .expect(200);
    rig.ctx
        .store
        .write(move |tx| tx.promote_candidate(two, 3, Timestamp::now()))
        .await
        .unwrap();
    let other = rig.deploy(three, &[("web", "other")]).await;
    assert_eq!(other.status, ReleaseStatus::Succeeded);
    let path = format!("/pipeline-promotions/{}", made["id"].as_str().unwrap());
    assert_eq!(rig.get(&path).await.expect(200)["status"], "completed");
    let list = rig
        .get(&format!("{path}/promotion-targets"))
        .await
        .expect(200);
    let status = |app: AppId| {
        let found = list.as_array().unwrap().iter();
        let mut found = found.filter(|target| target["app"]["id"] == app.to_string());
        let target = found.next().unwrap();
        (target["status"].clone(), target["error_message"].clone())
    };
    assert_eq!(
        status(one),
        (json!("failed"), json!("web.1 crashed: exit 1"))
    );
    assert_eq!(status(two), (json!("succeeded"), Value::Null));
    assert_eq!(status(three).0, "failed");
    // Somebody else sees none of it, and may not promote to what they cannot change.
    rig.call_as(OTHER, "GET", &path, None)
        .await
        .refused(404, "not_found");
    let share = json!({"user": "other@example.com"});
    rig.call("POST", "/apps/source/collaborators", share)
        .await
        .expect(201);
    let body = json!({
        "pipeline": {"id": shop}, "source": {"app": {"id": source.to_string()}},
        "targets": [{"app": {"id": one.to_string()}}]
    });
    rig.call_as(OTHER, "POST", "/pipeline-promotions", Some(body))
        .await
        .refused(404, "not_found");
}
