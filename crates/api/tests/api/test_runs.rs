//! Test runs: begun, told of, cancelled; the addresses of their outputs.

use jiff::Timestamp;
use ropewalk_api::Origin;
use ropewalk_model::TestRunId;
use ropewalk_model::test_run::TestStatus;
use ropewalk_store::TestCase;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::rig::{OTHER, Rig};

async fn rig() -> (Rig, String) {
    let rig = Rig::new().await;
    let made = rig
        .call("POST", "/pipelines", json!({"name": "shop"}))
        .await;
    let id = made.expect(201)["id"].as_str().unwrap().to_owned();
    (rig, id)
}

fn asked(pipeline: &str) -> Value {
    json!({"commit_branch": "main", "commit_message": "Change\n\nmore", "commit_sha": "1a2b3c4d", "pipeline": pipeline,
        "organization": null, "source_blob_url": "https://web.example/x.tgz"})
}

async fn begin(rig: &Rig, pipeline: &str) -> Value {
    rig.call("POST", "/test-runs", asked(pipeline))
        .await
        .expect(201)
}

fn id(run: &Value) -> TestRunId {
    run["id"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn runs_are_begun_numbered_and_listed() {
    let (rig, shop) = rig().await;
    let source = rig.call("POST", "/sources", json!({})).await.expect(201);
    let mut body = asked("shop");
    body["source_blob_url"] = source["source_blob"]["get_url"].clone();
    let one = rig.call("POST", "/test-runs", body).await.expect(201);
    assert_eq!(
        (one["number"].clone(), one["status"].clone()),
        (json!(1), json!("pending"))
    );
    assert_eq!(one["actor_email"], "dev@example.com");
    assert_eq!(one["pipeline"]["id"], shop);
    assert_eq!(one["debug"], false);
    {
        let tests = rig.platform.tests.lock().unwrap();
        assert!(matches!(tests[0].origin, Origin::Source { .. }));
        assert_eq!(tests[0].stack, "debian-13");
    }
    let two = begin(&rig, &shop).await;
    assert_eq!(two["number"], 2);
    assert_eq!(two["commit_message"], "Change\n\nmore");
    let path = format!("/pipelines/{shop}/test-runs");
    let list = rig.get_range(&path, "number ..; order=desc,max=1").await;
    assert_eq!(list.status, 206);
    assert_eq!(list.json(), json!([two]));
    for path in [
        format!("{path}/2"),
        format!("/test-runs/{}", two["id"].as_str().unwrap()),
    ] {
        assert_eq!(rig.get(&path).await.expect(200), two, "{path}");
    }
    for path in [
        format!("{path}/3"),
        format!("{path}/x"),
        "/test-runs/x".to_owned(),
    ] {
        let gone = rig.get(&path).await;
        gone.refused(404, "not_found");
        assert_eq!(gone.json()["resource"], "test_run", "{path}");
    }
}

#[tokio::test]
async fn what_cannot_be_run_is_refused() {
    let (rig, shop) = rig().await;
    for (key, value, word) in [
        ("commit_branch", json!(""), "commit_branch"),
        ("commit_sha", json!("a\nb"), "commit_sha"),
        (
            "source_blob_url",
            json!("file:///etc/passwd"),
            "source_blob_url",
        ),
        ("debug", json!(true), "debugged"),
        ("organization", json!("team"), "Teams"),
    ] {
        let mut body = asked(&shop);
        body[key] = value;
        let refused = rig.call("POST", "/test-runs", body).await;
        let message = refused.refused(422, "invalid_params");
        assert!(message.contains(word), "{key}: {message}");
    }
    let unknown = rig.call("POST", "/test-runs", asked("nothing")).await;
    unknown.refused(404, "not_found");
    let foreign = rig
        .call_as(OTHER, "POST", "/test-runs", Some(asked(&shop)))
        .await;
    foreign.refused(404, "not_found");
    assert!(rig.platform.tests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_run_is_cancelled_once() {
    let (rig, shop) = rig().await;
    let run = begin(&rig, &shop).await;
    let path = format!("/test-runs/{}", run["id"].as_str().unwrap());
    let wrong = rig
        .call("PATCH", &path, json!({"status": "succeeded"}))
        .await;
    wrong.refused(422, "invalid_params");
    let cancel = json!({"status": "cancelled", "message": "Changed my mind"});
    rig.call_as(OTHER, "PATCH", &path, Some(cancel.clone()))
        .await
        .refused(404, "not_found");
    let ended = rig.call("PATCH", &path, cancel.clone()).await.expect(200);
    assert_eq!(ended["status"], "cancelled");
    assert_eq!(ended["message"], "Changed my mind");
    assert_eq!(*rig.platform.cancelled.lock().unwrap(), [id(&run)]);
    rig.call("PATCH", &path, cancel)
        .await
        .refused(422, "invalid_params");
}

#[tokio::test]
async fn a_node_tells_of_its_outputs_which_last_as_long_as_the_right_to_see_the_pipeline() {
    let (rig, shop) = rig().await;
    rig.app("demo").await;
    let couple = json!({"app": "demo", "pipeline": shop, "stage": "staging"});
    rig.call("POST", "/pipeline-couplings", couple)
        .await
        .expect(201);
    let share = json!({"user": "other@example.com"});
    rig.call("POST", "/apps/demo/collaborators", share)
        .await
        .expect(201);
    let run = begin(&rig, &shop).await;
    let path = format!("/test-runs/{}/test-nodes", run["id"].as_str().unwrap());
    let nodes = rig.call_as(OTHER, "GET", &path, None).await.expect(200);
    let node = &nodes[0];
    assert_eq!(
        (node["index"].clone(), node["status"].clone()),
        (json!(0), json!("pending"))
    );
    assert_eq!(node["exit_code"], Value::Null);
    assert_eq!(node["test_run"]["id"], run["id"]);
    let outputs = [
        ("setup_stream_url", run["id"].clone(), "-----> Building\n"),
        ("output_stream_url", node["id"].clone(), "ok 1\n"),
    ];
    for (key, id, text) in &outputs {
        let id: Uuid = id.as_str().unwrap().parse().unwrap();
        rig.ctx.outputs.create(id).unwrap().write(text.as_bytes());
        let url = node[key].as_str().unwrap();
        let path = url.strip_prefix("http://api.apps.test:8080").unwrap();
        let request = http::Request::get(path).body(axum::body::Body::empty());
        let answer = rig.send(request.unwrap()).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, *text), "{key}");
    }
    // The right is gone, and the address with it.
    rig.call(
        "DELETE",
        "/apps/demo/collaborators/other@example.com",
        json!({}),
    )
    .await
    .expect(200);
    let url = node["output_stream_url"].as_str().unwrap();
    let path = url.strip_prefix("http://api.apps.test:8080").unwrap();
    let request = http::Request::get(path).body(axum::body::Body::empty());
    rig.send(request.unwrap()).await.refused(404, "not_found");
}

#[tokio::test]
async fn how_a_run_ended_is_told_with_its_tests() {
    let (rig, shop) = rig().await;
    let run = begin(&rig, &shop).await;
    let key = id(&run);
    rig.ctx
        .store
        .write(move |tx| {
            let now = Timestamp::now();
            let case = TestCase {
                id: Uuid::new_v4(),
                number: 1,
                passed: false,
                description: "divides".into(),
                directive: String::new(),
                diagnostic: "by zero\n".into(),
                created_at: now,
            };
            tx.add_test_cases(key, &[case])?;
            tx.set_test_exit_code(key, 3, now)?;
            tx.set_test_status(key, TestStatus::Failed, None, now)
        })
        .await
        .unwrap();
    let path = format!("/test-runs/{key}");
    assert_eq!(rig.get(&path).await.expect(200)["status"], "failed");
    let nodes = rig.get(&format!("{path}/test-nodes")).await.expect(200);
    assert_eq!(nodes[0]["exit_code"], 3);
    let cases = rig.get(&format!("{path}/test-cases")).await.expect(200);
    assert_eq!(cases[0]["description"], "divides");
    assert_eq!(cases[0]["passed"], false);
    assert_eq!(cases[0]["test_node"]["id"], nodes[0]["id"]);
    // A pipeline with runs that have ended can go, and they go with it.
    rig.call("DELETE", &format!("/pipelines/{shop}"), json!({}))
        .await
        .expect(200);
    rig.get(&path).await.refused(404, "not_found");
}
