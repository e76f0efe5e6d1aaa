//! `metrics`.

use serde_json::{Value, json};

use crate::fake::{Fake, ID, failed, ok};

const PATH: &str = "GET /ropewalk/apps/demo/metrics";

fn requests(name: &str, count: u64, router: u64) -> Value {
    let times = match count {
        0 => Value::Null,
        _ => json!({"p50": 8, "p95": 40, "p99": 1152}),
    };
    json!({"name": name, "requests": count, "requests_per_second": count as f64 / 50.0, "response_ms": times,
        "answers": {"1xx": 0, "2xx": count, "3xx": 0, "4xx": 2, "5xx": 1, "router": router}})
}

fn dyno(name: &str, in_flight: Option<u64>, memory: Option<u64>) -> Value {
    json!({"id": ID, "name": name, "type": "web", "size": "Standard-1X", "state": "up", "in_flight": in_flight,
        "memory_bytes": memory, "memory_limit_bytes": 512 << 20})
}

fn metrics() -> Value {
    json!({
        "app": {"id": ID, "name": "demo"},
        "windows": [
            {"seconds": 60, "measured_seconds": 50, "process_types": [requests("web", 615, 3)],
                "dynos": [requests("web.1", 600, 2), requests("web.2", 15, 0)],
                "router_errors": {"H12": 2, "H27": 1}, "edge_answers": {"https-redirect": 4}},
            {"seconds": 600, "measured_seconds": 50, "process_types": [requests("web", 0, 0)], "dynos": [],
                "router_errors": {}, "edge_answers": {}},
        ],
        "in_flight": 3,
        "waiting": 1,
        "dynos": [dyno("web.1", Some(2), Some(123 << 20)), dyno("worker.1", None, None)],
    })
}

#[test]
fn requests_and_dynos_are_shown_in_tables() {
    let fake = Fake::new().on(PATH, 200, metrics());
    let shown = "\
=== \u{2b22} demo: last minute (50 s measured)

Dyno   Requests/s  p50   p95    p99      2xx  3xx  4xx  5xx  Router
─────  ──────────  ────  ─────  ───────  ───  ───  ───  ───  ──────
web    12.3        8 ms  40 ms  1152 ms  615  0    2    1    3
web.1  12.0        8 ms  40 ms  1152 ms  600  0    2    1    2
web.2  0.30        8 ms  40 ms  1152 ms  15   0    2    1    0

Router errors: H12 2, H27 1
Answered at the edge: https-redirect 4

=== \u{2b22} demo: last 10 minutes (50 s measured)

No request ended in this time.

=== \u{2b22} demo: now

Dyno      State  In flight  Memory
────────  ─────  ─────────  ─────────────────────────
web.1     up     2          123 MiB of 512 MiB (24 %)
worker.1  up     -          -

Requests in flight: 3, of which 1 wait for a dyno.
";
    assert_eq!(fake.run(&["metrics", "-a", "demo"]), ok(shown, ""));
    let ran = fake.run(&["metrics", "-a", "demo", "--json"]);
    let printed: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, printed), (0, metrics()));
}

#[test]
fn without_a_router_it_says_so() {
    let mut quiet = metrics();
    for key in ["in_flight", "waiting"] {
        quiet[key] = Value::Null;
    }
    quiet["windows"] = json!([]);
    quiet["dynos"] = json!([]);
    let fake = Fake::new().on(PATH, 200, quiet);
    let shown =
        "=== \u{2b22} demo: now\n\nNo router is connected: what is in flight is not known.\n";
    assert_eq!(fake.run(&["metrics", "-a", "demo"]), ok(shown, ""));
    let ran = fake.run(&["metrics"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    let nobodys =
        json!({"id": "not_found", "resource": "app", "message": "Couldn't find that app."});
    let fake = Fake::new().on("GET /ropewalk/apps/nope/metrics", 404, nobodys);
    assert_eq!(
        fake.run(&["metrics", "-a", "nope"]),
        failed(
            1,
            " \u{25b8}    Couldn't find that app.\n \u{25b8}\n \u{25b8}    Error ID: not_found\n \u{25b8}    Run ropewalk apps to see which apps you have.\n"
        )
    );
}
