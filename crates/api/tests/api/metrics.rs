//! What was measured of an app, by the dynos it has now.

use std::collections::BTreeMap;

use ropewalk_model::traffic::{Connections, Load, Requests, Totals, Window};
use ropewalk_model::{AppId, DynoId, ResponseTimes, Traffic};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::rig::{ADMIN, OTHER, Rig};

const PATH: &str = "/ropewalk/apps/demo/metrics";

#[tokio::test]
async fn requests_are_told_by_dyno_and_memory_by_its_limit() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    rig.deploy(app, &[("web", "node web.js"), ("worker", "node work.js")])
        .await;
    for name in ["worker.1", "web.10", "web.2"] {
        rig.dyno(app, name).await;
    }
    let rows = rig
        .ctx
        .store
        .read(move |view| view.dynos(app))
        .await
        .unwrap();
    let id = |name: &str| {
        let row = rows.iter().find(|row| row.name.to_string() == name);
        row.unwrap().id
    };
    let of_dyno = Requests {
        classes: [1, 0, 20, 0, 3, 0],
        codes: BTreeMap::new(),
        times: ResponseTimes::from_iter([(4, 23)]),
    };
    let gone = DynoId(Uuid::from_u128(7));
    let window = Window {
        seconds: 60,
        measured: 48,
        app: Requests {
            classes: [3, 0, 40, 0, 3, 0],
            codes: BTreeMap::from([
                ("H12".to_owned(), 2),
                ("H27".to_owned(), 1),
                ("https-redirect".to_owned(), 4),
            ]),
            times: ResponseTimes::from_iter([(4, 23), (6, 20)]),
        },
        dynos: BTreeMap::from([(id("web.2"), of_dyno.clone()), (gone, of_dyno)]),
    };
    *rig.platform.traffic.lock().unwrap() = Traffic {
        windows: vec![
            window,
            Window {
                seconds: 600,
                ..Window::default()
            },
        ],
        load: Some(Load {
            in_flight: 3,
            waiting: 1,
            dynos: BTreeMap::from([(id("web.2"), 2)]),
        }),
    };
    *rig.platform.memory.lock().unwrap() = BTreeMap::from([(id("worker.1"), 100 << 20)]);

    let shown = rig.get(PATH).await.expect(200);
    assert_eq!(shown["app"]["name"], "demo");
    assert_eq!(
        shown["windows"][0],
        json!({
            "seconds": 60,
            "measured_seconds": 48,
            "process_types": [{
                "name": "web",
                "requests": 46,
                "requests_per_second": 0.96,
                "response_ms": {"p50": 4, "p95": 6, "p99": 6},
                "answers": {"1xx": 0, "2xx": 40, "3xx": 0, "4xx": 3, "5xx": 0, "router": 3},
            }],
            "dynos": [{
                "name": "web.2",
                "requests": 24,
                "requests_per_second": 0.5,
                "response_ms": {"p50": 4, "p95": 4, "p99": 4},
                "answers": {"1xx": 0, "2xx": 20, "3xx": 0, "4xx": 3, "5xx": 0, "router": 1},
            }],
            "router_errors": {"H12": 2, "H27": 1},
            "edge_answers": {"https-redirect": 4},
        })
    );
    let quiet = &shown["windows"][1]["process_types"][0];
    assert_eq!(
        (&quiet["requests"], &quiet["response_ms"]),
        (&json!(0), &Value::Null)
    );
    assert_eq!(
        (&shown["in_flight"], &shown["waiting"]),
        (&json!(3), &json!(1))
    );
    let dynos: Vec<_> = shown["dynos"]
        .as_array()
        .unwrap()
        .iter()
        .map(|dyno| (&dyno["name"], &dyno["in_flight"], &dyno["memory_bytes"]))
        .collect();
    let null = Value::Null;
    assert_eq!(
        dynos,
        [
            (&json!("web.2"), &json!(2), &null),
            (&json!("web.10"), &json!(0), &null),
            (&json!("worker.1"), &null, &json!(100 << 20)),
        ]
    );
    assert_eq!(shown["dynos"][0]["memory_limit_bytes"], 512 << 20);
    assert_eq!(shown["dynos"][0]["size"], "Standard-1X");
}

#[tokio::test]
async fn without_a_router_nothing_is_said_of_now_and_others_see_nothing() {
    let rig = Rig::new().await;
    rig.app("demo").await;
    let shown = rig.get(PATH).await.expect(200);
    for key in ["in_flight", "waiting"] {
        assert_eq!(shown[key], Value::Null, "{key}");
    }
    assert_eq!(shown["dynos"], json!([]));
    rig.call_as(OTHER, "GET", PATH, None)
        .await
        .refused(404, "not_found");
    rig.get("/ropewalk/apps/nope/metrics")
        .await
        .refused(404, "not_found");
}

#[tokio::test]
async fn prometheus_is_told_of_every_app_that_there_is() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    rig.deploy(app, &[("web", "node web.js")]).await;
    rig.dyno(app, "web.1").await;
    let totals = Totals {
        requests: Requests {
            classes: [3, 0, 40, 0, 3, 0],
            codes: BTreeMap::from([("H12".to_owned(), 2)]),
            times: ResponseTimes::from_iter([(4, 23), (20, 20)]),
        },
        load: Load {
            in_flight: 5,
            ..Load::default()
        },
        connections: Connections {
            ended: BTreeMap::from([("none".to_owned(), 6), ("H15".to_owned(), 1)]),
            open: 2,
            bytes_in: 100,
            bytes_out: 200,
        },
    };
    let gone = AppId(Uuid::from_u128(9));
    *rig.platform.totals.lock().unwrap() = BTreeMap::from([(app, totals.clone()), (gone, totals)]);
    let answer = rig
        .call_as(ADMIN, "GET", "/ropewalk/prometheus", None)
        .await;
    assert_eq!(answer.status, 200);
    let kind = answer.header("content-type").unwrap();
    assert!(kind.starts_with("text/plain"), "{kind}");
    let text = answer.text.clone();
    for line in [
        "ropewalk_requests_total{app=\"demo\",class=\"2xx\"} 40",
        "ropewalk_requests_total{app=\"demo\",class=\"router\"} 3",
        "ropewalk_router_answers_total{app=\"demo\",code=\"H12\"} 2",
        "ropewalk_response_seconds_bucket{app=\"demo\",le=\"0.008\"} 23",
        "ropewalk_response_seconds_bucket{app=\"demo\",le=\"+Inf\"} 43",
        "ropewalk_requests_in_flight{app=\"demo\"} 5",
        "ropewalk_tcp_connections_total{app=\"demo\",code=\"none\"} 6",
        "ropewalk_tcp_connections_total{app=\"demo\",code=\"H15\"} 1",
        "ropewalk_tcp_connections_open{app=\"demo\"} 2",
        "ropewalk_tcp_bytes_total{app=\"demo\",direction=\"in\"} 100",
        "ropewalk_tcp_bytes_total{app=\"demo\",direction=\"out\"} 200",
        "ropewalk_dynos{app=\"demo\",process_type=\"web\",state=\"starting\"} 1",
    ] {
        assert!(
            text.lines().any(|one| one == line),
            "{line} is not in {text}"
        );
    }
    assert_eq!(text.matches("ropewalk_requests_in_flight{").count(), 1);
    rig.call_as(OTHER, "GET", "/ropewalk/prometheus", None)
        .await
        .refused(403, "forbidden");
}
