//! `releases`, `releases:*`, `rollback`.

use axum::Router;
use axum::routing::get;
use serde_json::json;

use crate::fake::{Fake, ID, failed, ok, release};

#[test]
fn releases_are_listed_newest_first() {
    let mut failing = release(3, "Deploy 9f8e7d6c", false);
    failing["status"] = "failed".into();
    let mut commanded = release(4, "Deploy 0a0a0a0a", false);
    commanded["status"] = "pending".into();
    commanded["output_stream_url"] = "http://api.localhost/ropewalk/outputs/x".into();
    let mut starting = release(5, "Set A config vars", false);
    starting["status"] = "pending".into();
    let releases = json!([
        starting,
        commanded,
        failing,
        release(2, "Deploy 1a2b3c4d", true),
        release(1, "Initial release", false)
    ]);
    let fake = Fake::new().on("GET /apps/demo/releases", 200, releases);
    let expected = "=== demo Releases - Current: v2\n\n\
        v5  Set A config vars pending                  dev@example.com  2024/01/01 12:00:00 +0000\n\
        v4  Deploy 0a0a0a0a release command executing  dev@example.com  2024/01/01 12:00:00 +0000\n\
        v3  Deploy 9f8e7d6c failed                     dev@example.com  2024/01/01 12:00:00 +0000\n\
        v2  Deploy 1a2b3c4d                            dev@example.com  2024/01/01 12:00:00 +0000\n\
        v1  Initial release                            dev@example.com  2024/01/01 12:00:00 +0000\n";
    assert_eq!(fake.run(&["releases", "-a", "demo"]), ok(expected, ""));
    assert_eq!(
        fake.requests(),
        ["GET /apps/demo/releases version ..; max=15, order=desc"]
    );
}

#[test]
fn one_release_with_its_config() {
    let fake = Fake::new()
        .on(
            "GET /apps/demo/releases/2",
            200,
            release(2, "Deploy 1a2b3c4d", true),
        )
        .on(
            "GET /apps/demo/releases/2/config-vars",
            200,
            json!({"A": "1"}),
        );
    let expected = "=== Release v2\n\nBy:      dev@example.com\nChange:  Deploy 1a2b3c4d\nStatus:  succeeded\n\
        When:    2024/01/01 12:00:00 +0000\nCurrent: yes\n\n=== v2 Config vars\n\nA: 1\n";
    assert_eq!(
        fake.run(&["releases:info", "v2", "-a", "demo"]),
        ok(expected, "")
    );
}

#[test]
fn rolling_back_without_a_version_takes_the_one_before() {
    let releases = json!([
        release(4, "Set A config vars", true),
        release(3, "Deploy 1", false),
        release(2, "x", false)
    ]);
    let fake = Fake::new().on("GET /apps/demo/releases", 200, releases).on(
        "POST /apps/demo/releases",
        201,
        release(5, "Rollback to v3", true),
    );
    let ran = fake.run(&["rollback", "-a", "demo"]);
    assert_eq!(ran.code, 0);
    assert!(
        ran.stderr
            .starts_with("Rolling back \u{2b22} demo to v3... done, v5\n"),
        "{}",
        ran.stderr
    );
    assert_eq!(
        fake.requests()[1],
        format!("POST /apps/demo/releases {{\"release\":\"{ID}\"}}")
    );

    let fake = Fake::new().on(
        "GET /apps/demo/releases",
        200,
        json!([release(1, "Initial release", true)]),
    );
    assert_eq!(
        fake.run(&["rollback", "-a", "demo"]),
        failed(
            1,
            " \u{25b8}    No eligible release found for demo to roll back to.\n \u{25b8}    Run ropewalk releases --num 100 to see older ones, and name one: ropewalk rollback v3.\n"
        )
    );
}

#[test]
fn a_release_command_is_shown_and_its_failure_told() {
    let routes = Router::new().route("/output/1", get(|| async { "migrating\nboom\n" }));
    let fake = Fake::with_routes(routes);
    let mut pending = release(5, "Rollback to v3", false);
    pending["output_stream_url"] = format!("{}/output/1", fake.url()).into();
    pending["status"] = "pending".into();
    let mut failing = pending.clone();
    failing["status"] = "failed".into();
    failing["failure"] = "release command failed: exit 1".into();
    let fake = fake
        .on(
            "GET /apps/demo/releases/3",
            200,
            release(3, "Deploy 1", false),
        )
        .on("POST /apps/demo/releases", 201, pending)
        .on("GET /apps/demo/releases/5", 200, failing);
    let ran = fake.run(&["rollback", "v3", "-a", "demo"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, "migrating\nboom\n"));
    assert_eq!(
        ran.stderr,
        "Rolling back \u{2b22} demo to v3... v5, running its release command\nWaiting for v5 to serve... !\n \u{25b8}    Release v5 failed: release command failed: exit 1.\n \u{25b8}    The release before it still serves. See ropewalk releases and ropewalk logs.\n"
    );
    assert_eq!(
        fake.run(&["releases:output", "5", "-a", "demo"]),
        ok("migrating\nboom\n", "")
    );
}

#[test]
fn a_rollback_that_a_newer_release_overtook_did_not_work() {
    let mut pending = release(5, "Rollback to v3", false);
    pending["status"] = "pending".into();
    let mut expired = pending.clone();
    expired["status"] = "expired".into();
    let fake = Fake::new()
        .on(
            "GET /apps/demo/releases/3",
            200,
            release(3, "Deploy 1", false),
        )
        .on("POST /apps/demo/releases", 201, pending.clone())
        .on("GET /apps/demo/releases/5", 200, pending)
        .on("GET /apps/demo/releases/5", 200, expired)
        .on(
            "GET /apps/demo/releases",
            200,
            json!([release(6, "Deploy 2", true)]),
        );
    assert_eq!(
        fake.run(&["rollback", "v3", "-a", "demo"]),
        failed(
            1,
            "Rolling back \u{2b22} demo to v3... !\n \u{25b8}    Release v5 was superseded by v6 before it took effect.\n"
        )
    );
}
