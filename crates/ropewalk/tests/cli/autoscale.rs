//! `ps:autoscale*`.

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
