//! `autoscale*` and `ps:autoscale*`.

use serde_json::{Value, json};

use crate::fake::{AT, Fake, ID, failed, ok};

const LIST: &str = "GET /apps/demo/formation/web/monitors";

fn monitor(active: bool) -> Value {
    json!({"id": ID, "app": {"id": ID, "name": "demo"}, "process_type": "web", "name": "LATENCY_SCALE",
        "action_type": "scale", "is_active": active, "op": "GREATER_OR_EQUAL", "period": 1, "value": 500,
        "min_quantity": 1, "max_quantity": 5, "notification_channels": [], "notification_period": 1440,
        "created_at": AT, "updated_at": AT})
}

#[test]
fn enabling_makes_a_monitor_or_changes_the_one_there_is() {
    let fake = Fake::new().on(LIST, 200, json!([])).on(
        "POST /apps/demo/formation/web/monitors",
        201,
        monitor(true),
    );
    let args = [
        "ps:autoscale:enable",
        "--min",
        "1",
        "--max",
        "5",
        "--p95",
        "500",
        "-a",
        "demo",
    ];
    let said = "Enabling dyno autoscaling... done, 1 to 5 dynos, p95 500 ms\n";
    assert_eq!(fake.run(&args), ok("", said));
    let sent = fake.requests().pop().unwrap();
    assert_eq!(
        sent,
        "POST /apps/demo/formation/web/monitors {\"name\":\"LATENCY_SCALE\",\"action_type\":\"scale\",\
         \"is_active\":true,\"op\":\"GREATER_OR_EQUAL\",\"period\":1,\"value\":500,\"min_quantity\":1,\
         \"max_quantity\":5}"
    );
    let change = format!("PATCH /apps/demo/formation/web/monitors/{ID}");
    let fake = Fake::new()
        .on(LIST, 200, json!([monitor(false)]))
        .on(&change, 200, monitor(true));
    let ran = fake.run(&[
        "ps:autoscale:enable",
        "--min=1",
        "--max=5",
        "--json",
        "-a",
        "demo",
    ]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, said));
    let shown: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(shown, monitor(true));
    let sent = fake.requests().pop().unwrap();
    assert_eq!(
        sent,
        format!(
            "{change} {{\"is_active\":true,\"op\":\"GREATER_OR_EQUAL\",\"period\":1,\"min_quantity\":1,\
             \"max_quantity\":5}}"
        )
    );
}

#[test]
fn what_the_server_refuses_is_shown_and_notifications_are_not_sent() {
    let answer = json!({"id": "invalid_params", "message": "Only web is scaled by response time."});
    let fake = Fake::new()
        .on("GET /apps/demo/formation/worker/monitors", 200, json!([]))
        .on("POST /apps/demo/formation/worker/monitors", 422, answer);
    let args = [
        "ps:autoscale:enable",
        "--type",
        "worker",
        "--min",
        "1",
        "--max",
        "5",
        "-a",
        "demo",
    ];
    let ran = fake.run(&args);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("Only web is scaled"), "{}", ran.stderr);
    let ran = fake.run(&[
        "ps:autoscale:enable",
        "--min=1",
        "--max=5",
        "--notifications",
        "-a",
        "demo",
    ]);
    assert_eq!(
        ran,
        failed(
            2,
            " \u{25b8}    Ropewalk does not notify anybody yet.\n \u{25b8}    Each step is in the app's log: ropewalk logs --tail.\n"
        )
    );
    assert_eq!(
        fake.run(&["ps:autoscale:enable", "--min=1", "-a", "demo"])
            .code,
        2
    );
}

#[test]
fn it_is_shown_and_disabled() {
    let change = format!("PATCH /apps/demo/formation/web/monitors/{ID}");
    let fake = Fake::new()
        .on(LIST, 200, json!([monitor(true)]))
        .on(&change, 200, monitor(false));
    assert_eq!(
        fake.run(&["ps:autoscale", "-a", "demo"]),
        ok(
            "Autoscaling of web on \u{2b22} demo: 1 to 5 dynos, p95 500 ms\n",
            ""
        )
    );
    let ran = fake.run(&["ps:autoscale", "--json", "-a", "demo"]);
    let shown: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(shown, json!([monitor(true)]));
    assert_eq!(
        fake.run(&["ps:autoscale:disable", "-a", "demo"]),
        ok("", "Disabling dyno autoscaling... done\n")
    );
    let sent = fake.requests().pop().unwrap();
    assert_eq!(
        sent,
        format!("{change} {{\"is_active\":false,\"op\":\"GREATER_OR_EQUAL\",\"period\":1}}")
    );
    let fake = Fake::new().on(LIST, 200, json!([]));
    assert_eq!(
        fake.run(&["ps:autoscale", "-a", "demo"]),
        ok("Autoscaling of web on \u{2b22} demo: off\n", "")
    );
    assert_eq!(
        fake.run(&["ps:autoscale:disable", "-a", "demo"]),
        failed(
            1,
            "Disabling dyno autoscaling... !\n \u{25b8}    Autoscaling of web was never enabled on demo.\n \u{25b8}    Enable it: ropewalk ps:autoscale:enable --min 1 --max 5.\n"
        )
    );
}

const RULES: &str = "GET /ropewalk/apps/demo/autoscale";
const PUT: &str = "PUT /ropewalk/apps/demo/formation/web/autoscale";

fn rule() -> Value {
    json!({"id": ID, "app": {"id": ID, "name": "demo"}, "process_type": "web", "is_active": true, "dry_run": false,
        "min": 1, "max": 10, "targets": [{"kind": "p95", "goal": 500},
            {"kind": "metric:jobs", "goal": 100, "path": "/metrics", "shared": true}],
        "schedules": [{"days": ["mon"], "from": "09:00", "to": "18:00", "time_zone": "Europe/Berlin", "min": 5,
            "max": 10}],
        "pace": {"up_rest": null, "down_after": 60, "down_rest": null, "most_up": null, "most_down": 2,
            "panic": false},
        "webhook": {"host": "hooks.example.com"}, "notice_period": 5, "created_at": AT, "updated_at": AT})
}

const SHOWN: &str = "=== web: 1 to 10 dynos

p95:           500ms
metric:jobs:   100
shared:jobs:   /metrics
schedule:      mon 09:00-18:00 Europe/Berlin min=5 max=10
down-after:    60s
most-down:     2
panic:         off
webhook:       hooks.example.com
notice-period: 5m
";

#[test]
fn rules_are_shown_as_they_are_typed() {
    let fake = Fake::new().on(RULES, 200, json!([rule()]));
    assert_eq!(fake.run(&["autoscale", "-a", "demo"]), ok(SHOWN, ""));
    let ran = fake.run(&["autoscale", "--json", "-a", "demo"]);
    let shown: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(shown[0]["targets"], rule()["targets"]);
    let fake = Fake::new().on(RULES, 200, json!([]));
    assert_eq!(
        fake.run(&["autoscale", "-a", "demo"]),
        ok("Nothing of \u{2b22} demo is scaled by itself.\n", "")
    );
}

#[test]
fn what_is_not_named_stays_as_it_is() {
    let fake = Fake::new()
        .on(RULES, 200, json!([rule()]))
        .on(PUT, 200, rule());
    let ran = fake.run(&["autoscale:set", "web", "max=20", "p95=off", "-a", "demo"]);
    assert_eq!(
        ran,
        ok(SHOWN, "Setting autoscale of web on \u{2b22} demo... done\n")
    );
    let sent = fake.requests().pop().unwrap();
    let body: Value = serde_json::from_str(sent.strip_prefix(PUT).unwrap()).unwrap();
    let mut expected = rule();
    for key in [
        "id",
        "app",
        "process_type",
        "webhook",
        "created_at",
        "updated_at",
    ] {
        expected.as_object_mut().unwrap().remove(key);
    }
    expected["max"] = json!(20);
    expected["targets"].as_array_mut().unwrap().remove(0);
    assert_eq!(body, expected);
}

#[test]
fn a_secret_that_the_server_made_is_shown_once() {
    let mut made = rule();
    made["webhook"]["secret"] = json!("correct-horse");
    let fake = Fake::new().on(RULES, 200, json!([])).on(PUT, 201, made);
    let ran = fake.run(&[
        "autoscale:set",
        "web",
        "max=2",
        "cpu=60%",
        "webhook=https://a",
        "-a",
        "demo",
    ]);
    assert!(
        ran.stdout.ends_with("\nWebhook secret: correct-horse\n"),
        "{ran:?}"
    );
    assert!(ran.stderr.contains("not shown again"), "{ran:?}");
    let ran = fake.run(&["autoscale:set", "web", "cpu=200%", "-a", "demo"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("from 1 to 100"), "{ran:?}");
}

#[test]
fn events_are_told_newest_last_and_rules_end() {
    let event = |id: u64, process_type: &str, applied: bool| {
        json!({"id": id, "process_type": process_type, "at": AT, "from": 1, "to": 3, "applied": applied,
            "panic": true, "reason": "16.2 requests at once, 5 for a dyno"})
    };
    let all = json!([
        event(1, "web", true),
        event(2, "worker", true),
        event(3, "web", false)
    ]);
    let fake = Fake::new()
        .on("GET /ropewalk/apps/demo/autoscale-events", 200, all)
        .on(
            "DELETE /ropewalk/apps/demo/formation/web/autoscale",
            200,
            rule(),
        );
    let ran = fake.run(&["autoscale:events", "-a", "demo"]);
    let rows: Vec<&str> = ran.stdout.lines().skip(2).collect();
    assert_eq!(rows.len(), 3, "{ran:?}");
    assert!(
        rows[0].contains("web     1 to 3           16.2 requests at once"),
        "{ran:?}"
    );
    assert!(rows[2].contains("1 to 3 (advice)"), "{ran:?}");
    let ran = fake.run(&["autoscale:events", "web", "-n", "1", "--json", "-a", "demo"]);
    let shown: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(shown, json!([event(3, "web", false)]));
    let ran = fake.run(&["autoscale:unset", "web", "-a", "demo"]);
    assert_eq!(
        ran,
        ok("", "Ending autoscale of web on \u{2b22} demo... done\n")
    );
}

#[test]
fn scaling_says_what_autoscale_makes_of_it() {
    let part = |quantity: u32| {
        json!([{"id": ID, "app": {"id": ID, "name": "demo"}, "command": "x", "quantity": quantity,
            "size": "Standard-1X", "dyno_size": {"id": ID, "name": "Standard-1X"}, "type": "web",
            "created_at": AT, "updated_at": AT}])
    };
    for (quantity, said) in [(4, "between 1 and 10"), (0, "leaves web off")] {
        let fake = Fake::new()
            .on("PATCH /apps/demo/formation", 200, part(quantity))
            .on(RULES, 200, json!([rule()]));
        let ran = fake.run(&["ps:scale", &format!("web={quantity}"), "-a", "demo"]);
        assert_eq!(ran.code, 0);
        assert!(ran.stderr.contains(said), "{ran:?}");
    }
}
