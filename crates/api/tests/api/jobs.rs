//! Jobs: what is said of them, who may, and what is refused with which words.

use serde_json::{Value, json};

use crate::rig::{OTHER, Rig};

const PATH: &str = "/ropewalk/apps/demo/jobs";

async fn rig() -> Rig {
    let rig = Rig::new().await;
    rig.app("demo").await;
    rig
}

async fn add(rig: &Rig, body: Value) -> Value {
    rig.call("POST", PATH, body).await.expect(201)
}

fn job() -> Value {
    json!({"name": "nightly", "schedule": "0  4 * * *", "command": "rake nightly", "time_zone": "europe/vienna"})
}

#[tokio::test]
async fn a_job_is_added_shown_changed_and_removed() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    let mut added = add(&rig, job()).await;
    let id = added["id"].as_str().unwrap().to_owned();
    for key in ["nightly", id.as_str()] {
        assert_eq!(rig.get(&format!("{PATH}/{key}")).await.expect(200), added);
    }
    assert_eq!(rig.get(PATH).await.expect(200), json!([added]));
    let fields = added.as_object_mut().unwrap();
    for field in ["id", "next_run_at", "created_at", "updated_at"] {
        assert!(fields.remove(field).unwrap().is_string(), "{field}");
    }
    assert_eq!(fields.remove("app").unwrap()["name"], "demo");
    assert_eq!(
        added,
        json!({"name": "nightly", "schedule": "0 4 * * *", "time_zone": "Europe/Vienna", "command": "rake nightly",
            "size": null, "time_limit": 86400, "overlap": "skip", "missed": "skip", "source": "cli", "active": true,
            "last_run": null})
    );
    let change = json!({"name": "daily", "schedule": "@daily", "size": "standard-2x", "time_limit": 60,
        "overlap": "replace", "missed": "once", "active": false});
    let changed = rig.call("PATCH", &format!("{PATH}/nightly"), change).await;
    let changed = changed.expect(200);
    assert_eq!(changed["id"], id);
    assert_eq!(changed["size"], "Standard-2X");
    assert_eq!(
        (&changed["active"], &changed["next_run_at"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!(
        (&changed["overlap"], &changed["missed"]),
        (&json!("replace"), &json!("once"))
    );
    // What is not said stays.
    assert_eq!(changed["time_zone"], "Europe/Vienna");
    let changed = rig
        .call("PATCH", &format!("{PATH}/daily"), json!({"size": null}))
        .await;
    assert_eq!(changed.expect(200)["size"], Value::Null);
    rig.call("DELETE", &format!("{PATH}/daily"), json!({}))
        .await
        .expect(200);
    let gone = rig.get(&format!("{PATH}/daily")).await;
    gone.refused(404, "not_found");
    let log = rig.log(app).await;
    assert_eq!(
        log[log.len() - 4..],
        [
            "Job nightly added by user dev@example.com",
            "Job daily changed by user dev@example.com",
            "Job daily changed by user dev@example.com",
            "Job daily removed by user dev@example.com"
        ]
    );
    let told = rig
        .platform
        .job_changes
        .load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!(told, 4);
}

#[tokio::test]
async fn a_job_without_a_name_gets_one_of_its_own() {
    let rig = rig().await;
    let wanted = || json!({"schedule": "@hourly", "command": "./bin/send mail"});
    assert_eq!(add(&rig, wanted()).await["name"], "bin-send-mail");
    assert_eq!(add(&rig, wanted()).await["name"], "bin-send-mail-2");
}

#[tokio::test]
async fn what_makes_no_job_is_refused_with_what_to_do() {
    let rig = rig().await;
    for (change, says) in [
        (
            json!({"schedule": "60 4 * * *"}),
            "\"60\" is no minute. It takes 0 to 59",
        ),
        (json!({"schedule": ""}), "A schedule is needed"),
        (json!({"schedule": "0 0 30 2 *"}), "never comes"),
        (
            json!({"time_zone": "Vienna"}),
            "such as UTC or Europe/Vienna",
        ),
        (
            json!({"command": " "}),
            "A command of 1 to 32768 bytes is needed.",
        ),
        (json!({"name": "Nightly"}), "can be no job's name"),
        (json!({"time_limit": 0}), "1 to 86400 seconds"),
        (json!({"overlap": "both"}), "skip, allow or replace"),
        (json!({"missed": "all"}), "skip or once"),
        (json!({"size": "huge"}), "size"),
    ] {
        let mut wanted = job();
        wanted
            .as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let said = rig.call("POST", PATH, wanted).await;
        let said = said.refused(422, "invalid_params");
        assert!(said.contains(says), "{change}: {said}");
    }
    add(&rig, job()).await;
    let said = rig.call("POST", PATH, job()).await;
    let said = said.refused(422, "invalid_params");
    assert_eq!(said, "The job name nightly is already in use");
}

#[tokio::test]
async fn a_job_is_run_now_or_it_is_said_why_not() {
    let rig = rig().await;
    add(&rig, job()).await;
    let runs = format!("{PATH}/nightly/runs");
    assert_eq!(rig.get(&runs).await.expect(200), json!([]));
    let run = rig.call("POST", &runs, json!({})).await.expect(201);
    assert_eq!(
        (&run["trigger"], &run["state"]),
        (&json!("manual"), &json!("waiting"))
    );
    assert_eq!(
        (&run["dyno"], &run["exit_code"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(rig.get(&runs).await.expect(200), json!([run]));
    assert_eq!(rig.get(PATH).await.expect(200)[0]["last_run"], run);

    add(
        &rig,
        json!({"name": "no", "schedule": "@daily", "command": "refuse me"}),
    )
    .await;
    let said = rig
        .call("POST", &format!("{PATH}/no/runs"), json!({}))
        .await;
    assert_eq!(said.refused(422, "invalid_params"), "It runs already.");
    let said = rig
        .call("POST", &format!("{PATH}/none/runs"), json!({}))
        .await;
    said.refused(404, "not_found");
}

#[tokio::test]
async fn a_job_of_app_json_is_paused_here_and_changed_there() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    rig.deploy_jobs(app).await;
    let path = format!("{PATH}/from-file");
    assert_eq!(rig.get(&path).await.expect(200)["source"], "app.json");
    let said = rig.call("DELETE", &path, json!({})).await;
    let said = said.refused(422, "invalid_params");
    assert!(said.contains("jobs:set from-file --pause"), "{said}");
    let said = rig
        .call("PATCH", &path, json!({"schedule": "@daily"}))
        .await;
    let said = said.refused(422, "invalid_params");
    assert!(said.contains("change it there"), "{said}");
    let paused = rig
        .call("PATCH", &path, json!({"active": false}))
        .await
        .expect(200);
    assert_eq!(paused["next_run_at"], Value::Null);
}

#[tokio::test]
async fn a_strangers_jobs_are_not_there() {
    let rig = rig().await;
    add(&rig, job()).await;
    for (method, path) in [
        ("GET", PATH.to_owned()),
        ("POST", PATH.to_owned()),
        ("GET", format!("{PATH}/nightly")),
        ("PATCH", format!("{PATH}/nightly")),
        ("DELETE", format!("{PATH}/nightly")),
        ("GET", format!("{PATH}/nightly/runs")),
        ("POST", format!("{PATH}/nightly/runs")),
    ] {
        let answer = rig.call_as(OTHER, method, &path, Some(job())).await;
        answer.refused(404, "not_found");
    }
}
