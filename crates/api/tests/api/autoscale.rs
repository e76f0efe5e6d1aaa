//! Autoscale rules: whole again as they were sent, what is refused, whose they are, and how monitors see them.

use jiff::Timestamp;
use ropewalk_model::ProcessType;
use ropewalk_store::NewAutoscaleEvent;
use serde_json::{Value, json};

use crate::rig::{OTHER, Rig};

const WEB: &str = "/ropewalk/apps/demo/formation/web/autoscale";
const WORKER: &str = "/ropewalk/apps/demo/formation/worker/autoscale";
const LIST: &str = "/ropewalk/apps/demo/autoscale";
const EVENTS: &str = "/ropewalk/apps/demo/autoscale-events";
const MONITORS: &str = "/apps/demo/formation/web/monitors";

/// Everything that can be said.
fn full() -> Value {
    json!({
        "is_active": true, "dry_run": true, "min": 2, "max": 20,
        "targets": [
            {"kind": "concurrency", "goal": 5}, {"kind": "p95", "goal": 500}, {"kind": "cpu", "goal": 62.5},
            {"kind": "metric:jobs", "goal": 100, "path": "/metrics", "shared": true},
            {"kind": "metric:mails", "goal": 10, "command": "bin/mails --waiting"},
        ],
        "schedules": [{"days": ["mon", "fri"], "from": "09:00", "to": "18:00", "time_zone": "Europe/Berlin",
            "min": 5, "max": 20}],
        "pace": {"up_rest": 0, "down_after": 20, "down_rest": 10, "most_up": 4, "most_down": 2, "panic": false},
        "notice_period": 60,
    })
}

fn simple() -> Value {
    json!({"max": 5, "targets": [{"kind": "p95", "goal": 500}]})
}

async fn rig() -> Rig {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    rig.deploy(app, &[("web", "x"), ("worker", "y"), ("release", "z")])
        .await;
    rig
}

#[tokio::test]
async fn a_rule_is_set_shown_replaced_and_removed() {
    let rig = rig().await;
    rig.get(WEB).await.refused(404, "not_found");
    assert_eq!(rig.get(LIST).await.expect(200), json!([]));
    let made = rig.call("PUT", WEB, full()).await.expect(201);
    for (key, value) in full().as_object().unwrap() {
        assert_eq!(&made[key], value, "{key}");
    }
    assert_eq!(made["webhook"], Value::Null);
    assert_eq!(rig.get(WEB).await.expect(200), made);
    assert_eq!(rig.get(LIST).await.expect(200), json!([made]));
    let simple = rig.call("PUT", WEB, simple()).await.expect(200);
    assert_eq!(simple["id"], made["id"]);
    let expected = json!([1, 5, false, true, 5, [], true]);
    let shown = [
        "min",
        "max",
        "dry_run",
        "is_active",
        "notice_period",
        "schedules",
    ]
    .map(|key| simple[key].clone());
    let shown = [&shown[..], &[simple["pace"]["panic"].clone()]].concat();
    assert_eq!(Value::from(shown), expected);
    let cpu = json!({"min": 1, "max": 3, "targets": [{"kind": "cpu", "goal": 60}]});
    let to_zero = json!({"min": 0, "max": 3, "targets": [{"kind": "cpu", "goal": 60}]});
    rig.call("PUT", WORKER, to_zero)
        .await
        .refused(422, "invalid_params");
    rig.call("PUT", WORKER, cpu).await.expect(201);
    let all = rig.get(LIST).await.expect(200);
    assert_eq!(all.as_array().unwrap().len(), 2);
    assert_eq!(rig.call("DELETE", WEB, json!({})).await.expect(200), simple);
    rig.call("DELETE", WEB, json!({}))
        .await
        .refused(404, "not_found");
    let log = rig
        .log(made["app"]["id"].as_str().unwrap().parse().unwrap())
        .await;
    for line in [
        "Autoscale web between 2 and 20 dynos for concurrency 5, a p95 of 500 ms, cpu 62.5, metric:jobs 100, \
         metric:mails 10, as advice only by user dev@example.com",
        "Autoscale worker between 1 and 3 dynos for cpu 60 by user dev@example.com",
        "Autoscale web no longer by user dev@example.com",
    ] {
        assert!(log.iter().any(|text| text == line), "{line}: {log:?}");
    }
}

#[tokio::test]
async fn bounds_of_a_schedule_are_the_usual_ones_where_they_are_not_said() {
    let rig = rig().await;
    for (said, bounds) in [
        (json!({}), (2, 10)),
        (json!({"min": 5}), (5, 10)),
        (json!({"min": 15}), (15, 15)),
        (json!({"max": 1}), (1, 1)),
    ] {
        let mut schedule = json!({"days": ["weekdays"], "from": "9:00", "to": "18:00"});
        let more = said.as_object().unwrap().clone();
        schedule.as_object_mut().unwrap().extend(more);
        let mut rule = simple();
        (rule["min"], rule["max"]) = (json!(2), json!(10));
        rule["schedules"] = json!([schedule]);
        let made = rig.call("PUT", WEB, rule).await.json();
        let shown = &made["schedules"][0];
        assert_eq!(shown["min"], bounds.0, "{said}");
        assert_eq!(shown["max"], bounds.1, "{said}");
        assert_eq!(shown["days"], json!(["mon", "tue", "wed", "thu", "fri"]));
        assert_eq!(shown["time_zone"], "UTC");
    }
}

#[tokio::test]
async fn mistakes_are_named_and_nothing_is_ignored() {
    let rig = rig().await;
    let target = |value: Value| json!([{"kind": "p95", "goal": 500}, value]);
    for (key, value, said) in [
        ("min", json!(-1), "at least 1"),
        ("max", json!(101), "100"),
        ("max", Value::Null, "`max` is missing"),
        ("targets", json!([]), "at least one target"),
        (
            "targets",
            target(json!({"kind": "load", "goal": 5})),
            "no target called",
        ),
        (
            "targets",
            target(json!({"kind": "cpu", "goal": 500})),
            "from 1 to 100",
        ),
        (
            "targets",
            target(json!({"kind": "metric:jobs", "goal": 5})),
            "has no source",
        ),
        (
            "targets",
            target(json!({"kind": "cpu", "goal": 5, "path": "/x"})),
            "no target",
        ),
        (
            "targets",
            target(json!({"kind": "metric:jobs", "goal": 5, "path": "x"})),
            "begins with /",
        ),
        (
            "targets",
            target(json!({"kind": "metric:jobs", "goal": 5, "path": "/x", "command": "y"})),
            "two sources",
        ),
        (
            "targets",
            json!([{"kind": "p95", "goal": 5, "per": 1}]),
            "unknown field",
        ),
        ("dry_rum", json!(true), "unknown field"),
        ("pace", json!({"down_after": 5}), "from 10 to 3600"),
        ("pace", json!({"up": 5}), "unknown field"),
        (
            "schedules",
            json!([{"days": ["someday"], "from": "9:00", "to": "10:00"}]),
            "no days",
        ),
        (
            "schedules",
            json!([{"days": ["mon"], "from": "9", "to": "10:00"}]),
            "no time of day",
        ),
        (
            "schedules",
            json!([{"days": ["mon"], "from": "9:00", "to": "10:00", "time_zone": "Mars/Base"}]),
            "no time zone",
        ),
        ("notice_period", json!(0), "`notice_period`"),
        ("webhook", json!({"url": "ftp://a"}), "begins with https://"),
        (
            "webhook",
            json!({"url": "https://a", "secret": "short"}),
            "16 to 200",
        ),
    ] {
        let mut asked = simple();
        asked[key] = value;
        let answer = rig.call("PUT", WEB, asked).await;
        let message = answer.refused(422, "invalid_params");
        assert!(message.contains(said), "{key}: {message}");
    }
    let refusal = async |path: &str, body: Value| {
        let answer = rig.call("PUT", path, body).await;
        answer.refused(422, "invalid_params")
    };
    let message = refusal(WORKER, simple()).await;
    assert!(message.contains("p95 counts requests"), "{message}");
    let message = refusal(&WEB.replace("web", "release"), simple()).await;
    assert!(message.contains("release is run once"), "{message}");
    let cpu = json!({"max": 5, "targets": [{"kind": "cpu", "goal": 50}]});
    let message = refusal(&WEB.replace("web", "clock"), cpu).await;
    assert!(message.contains("deploy one first"), "{message}");
    assert_eq!(rig.get(LIST).await.expect(200), json!([]));
}

#[tokio::test]
async fn a_webhook_is_kept_and_never_shown_whole() {
    let rig = rig().await;
    let with = |webhook: Value| {
        let mut rule = simple();
        rule["webhook"] = webhook;
        rule
    };
    let url = "https://hooks.example.com/hunter2";
    let own = json!({"url": url, "secret": "correct-horse-battery"});
    let made = rig.call("PUT", WEB, with(own)).await;
    assert!(!made.text.contains("hunter2") && !made.text.contains("correct"));
    assert_eq!(made.json()["webhook"], json!({"host": "hooks.example.com"}));
    let kept = rig.call("PUT", WEB, simple()).await.expect(200);
    assert_eq!(kept["webhook"]["host"], "hooks.example.com");
    let made = rig
        .call("PUT", WEB, with(json!({"url": url})))
        .await
        .expect(200);
    assert_eq!(made["webhook"]["secret"].as_str().unwrap().len(), 48);
    assert_eq!(
        rig.get(WEB).await.expect(200)["webhook"]["secret"],
        Value::Null
    );
    let ended = rig.call("PUT", WEB, with(Value::Null)).await.expect(200);
    assert_eq!(ended["webhook"], Value::Null);
}

#[tokio::test]
async fn monitors_and_rules_are_the_same() {
    let rig = rig().await;
    let monitor = json!({"min_quantity": 1, "max_quantity": 4, "value": 700});
    let made = rig
        .call("POST", MONITORS, monitor.clone())
        .await
        .expect(201);
    let rule = rig.get(WEB).await.expect(200);
    assert_eq!(rule["id"], made["id"]);
    assert_eq!(rule["targets"], json!([{"kind": "p95", "goal": 700}]));

    rig.call("PUT", WEB, full()).await.expect(200);
    let seen = rig.get(MONITORS).await.expect(200);
    assert_eq!(
        (&seen[0]["value"], &seen[0]["max_quantity"]),
        (&json!(500), &json!(20))
    );
    let one = format!("{MONITORS}/{}", made["id"].as_str().unwrap());
    let enable = json!({"is_active": true, "value": 900, "min_quantity": 3, "max_quantity": 9});
    rig.call("PATCH", &one, enable).await.expect(200);
    let rule = rig.get(WEB).await.expect(200);
    assert_eq!(
        (&rule["min"], &rule["max"], &rule["dry_run"]),
        (&json!(3), &json!(9), &json!(false))
    );
    assert_eq!(rule["targets"].as_array().unwrap().len(), 5);
    assert_eq!(rule["schedules"], full()["schedules"]);
    rig.call("PATCH", &one, json!({"is_active": false}))
        .await
        .expect(200);
    assert_eq!(rig.get(WEB).await.expect(200)["is_active"], false);

    // Without a p95 there is nothing that a monitor could show, until one is asked for.
    let cpu = json!({"max": 5, "targets": [{"kind": "cpu", "goal": 50}]});
    rig.call("PUT", WEB, cpu).await.expect(200);
    assert_eq!(rig.get(MONITORS).await.expect(200), json!([]));
    rig.get(&one).await.refused(404, "not_found");
    rig.call("POST", MONITORS, monitor).await.expect(201);
    let kinds: Vec<Value> = rig.get(WEB).await.expect(200)["targets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|target| target["kind"].clone())
        .collect();
    assert_eq!(kinds, ["p95", "cpu"]);
}

#[tokio::test]
async fn events_are_told_in_order_and_by_pages() {
    let rig = rig().await;
    let app = rig.get("/apps/demo").await.json()["id"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(rig.get(EVENTS).await.expect(200), json!([]));
    rig.ctx
        .store
        .write(move |tx| {
            for number in 1..4 {
                tx.add_autoscale_event(&NewAutoscaleEvent {
                    app,
                    process_type: ProcessType::web(),
                    at: Timestamp::UNIX_EPOCH,
                    from: number,
                    to: number + 1,
                    applied: number != 2,
                    panic: number == 3,
                    reason: "p95 812 ms over 500 ms".into(),
                })?;
            }
            Ok(())
        })
        .await
        .unwrap();
    let events = rig.get(EVENTS).await.expect(200);
    assert_eq!(
        events[1],
        json!({"id": events[1]["id"], "process_type": "web", "at": "1970-01-01T00:00:00Z", "from": 2, "to": 3,
            "applied": false, "panic": false, "reason": "p95 812 ms over 500 ms"})
    );
    assert_eq!(events.as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn rules_of_others_are_not_there() {
    let rig = rig().await;
    rig.call("PUT", WEB, simple()).await.expect(201);
    for (method, path, body) in [
        ("GET", WEB, None),
        ("PUT", WEB, Some(simple())),
        ("DELETE", WEB, None),
        ("GET", LIST, None),
        ("GET", EVENTS, None),
    ] {
        let answer = rig.call_as(OTHER, method, path, body).await;
        answer.refused(404, "not_found");
    }
    rig.get(WEB).await.expect(200);
}
