//! Requests of the last seconds: everybody's own apps, all of them for an administrator.

use std::collections::BTreeMap;

use ropewalk_model::traffic::{Load, Recent, Requests, Window};
use ropewalk_model::{AppId, DynoId, ResponseTimes, Traffic};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::rig::{ADMIN, OTHER, Rig};

fn traffic(answers: u64, dynos: &[(DynoId, u64)]) -> Traffic {
    let requests = |answers| Requests {
        classes: [1, 0, answers, 0, 0, 0],
        codes: BTreeMap::from([("H12".to_owned(), 1), ("rate-limit".to_owned(), 2)]),
        times: ResponseTimes::from_iter([(4, answers)]),
    };
    Traffic {
        windows: vec![Window {
            seconds: 10,
            measured: 10,
            app: requests(answers),
            dynos: dynos
                .iter()
                .map(|(id, answers)| (*id, requests(*answers)))
                .collect(),
        }],
        load: Some(Load {
            in_flight: 3,
            waiting: 1,
            dynos: dynos.iter().map(|(id, _)| (*id, 2)).collect(),
        }),
    }
}

fn names(rows: &Value) -> Vec<&str> {
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| row["name"].as_str().unwrap()).collect()
}

fn recent(apps: BTreeMap<AppId, Traffic>) -> Recent {
    Recent {
        seconds: 10,
        measured: 10,
        apps,
    }
}

#[tokio::test]
async fn everybody_sees_their_own_apps_that_have_requests() {
    let rig = Rig::new().await;
    let (shop, blog) = (rig.app("shop").await, rig.app("blog").await);
    rig.app("idle").await;
    let theirs = rig
        .call_as(OTHER, "POST", "/apps", Some(json!({"name": "theirs"})))
        .await
        .expect(201);
    let theirs: AppId = theirs["id"].as_str().unwrap().parse().unwrap();
    let gone = AppId(Uuid::from_u128(7));
    *rig.platform.recent.lock().unwrap() = recent(
        [shop, blog, theirs, gone]
            .map(|app| (app, traffic(19, &[])))
            .into(),
    );
    let shown = rig.get("/ropewalk/top").await.expect(200);
    assert_eq!(
        shown["apps"][0],
        json!({
            "id": blog.to_string(), "name": "blog", "requests": 20, "requests_per_second": 2.0,
            "response_ms": {"p50": 4, "p95": 4, "p99": 4},
            "answers": {"1xx": 0, "2xx": 19, "3xx": 0, "4xx": 0, "5xx": 0, "router": 1},
            "in_flight": 3, "waiting": 1, "router_errors": {"H12": 1}, "edge_answers": {"rate-limit": 2},
        })
    );
    assert_eq!(names(&shown["apps"]), ["blog", "shop"]);
    assert_eq!(
        (
            &shown["seconds"],
            &shown["measured_seconds"],
            &shown["dynos"]
        ),
        (&json!(10), &json!(10), &json!([]))
    );
    let all = rig.call_as(ADMIN, "GET", "/ropewalk/top", None).await;
    assert_eq!(names(&all.expect(200)["apps"]), ["blog", "shop", "theirs"]);
    let other = rig.call_as(OTHER, "GET", "/ropewalk/top", None).await;
    assert_eq!(names(&other.expect(200)["apps"]), ["theirs"]);
    rig.call_as("wrong", "GET", "/ropewalk/top", None)
        .await
        .refused(401, "unauthorized");
}

#[tokio::test]
async fn one_app_is_told_by_its_web_dynos() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    rig.deploy(app, &[("web", "node web.js"), ("worker", "node work.js")])
        .await;
    for name in ["worker.1", "web.10", "web.2"] {
        rig.dyno(app, name).await;
    }
    let rows = rig.ctx.store.read(move |view| view.dynos(app)).await;
    let rows = rows.unwrap();
    let web = rows.iter().find(|row| row.name.to_string() == "web.2");
    let gone = DynoId(Uuid::from_u128(7));
    let measured = traffic(40, &[(web.unwrap().id, 30), (gone, 10)]);
    *rig.platform.recent.lock().unwrap() = recent(BTreeMap::from([(app, measured)]));
    let path = "/ropewalk/apps/demo/top";
    let shown = rig.get(path).await.expect(200);
    assert_eq!(names(&shown["apps"]), ["demo"]);
    assert_eq!(shown["apps"][0]["requests"], 41);
    assert_eq!(names(&shown["dynos"]), ["web.2", "web.10"]);
    let told = |row: &Value| (row["requests"].clone(), row["in_flight"].clone());
    assert_eq!(told(&shown["dynos"][0]), (json!(31), json!(2)));
    assert_eq!(told(&shown["dynos"][1]), (json!(0), json!(0)));
    assert_eq!(shown["dynos"][0]["waiting"], Value::Null);
    assert_eq!(shown["dynos"][0]["router_errors"], json!({}));
    rig.call_as(OTHER, "GET", path, None)
        .await
        .refused(404, "not_found");
    rig.call_as(ADMIN, "GET", path, None).await.expect(200);
}
