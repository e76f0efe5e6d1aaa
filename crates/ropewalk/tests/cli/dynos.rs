//! `ps`, `ps:*`.

use serde_json::json;

use crate::fake::{Fake, ID, dyno, failed, formation, ok, release};

#[test]
fn dynos_are_listed_by_type_and_number() {
    let mut one_off = dyno("run.1234", "up", 3);
    one_off["command"] = "bash".into();
    let mut crashed = dyno("web.10", "crashed", 3);
    crashed["reason"] = "exit 137, out of memory".into();
    let dynos = json!([
        crashed,
        one_off,
        dyno("web.2", "up", 3),
        dyno("clock.1", "starting", 3)
    ]);
    let fake = Fake::new().on("GET /ropewalk/apps/demo/dynos", 200, dynos);
    let expected = "=== run: one-off processes (1)\n\n\
        run.1234 (Standard-1X): up 2024/01/01 12:00:00 +0000: bash\n\n\
        === clock (Standard-1X): node index.js (1)\n\n\
        clock.1: starting 2024/01/01 12:00:00 +0000\n\n\
        === web (Standard-1X): node index.js (2)\n\n\
        web.2: up 2024/01/01 12:00:00 +0000\n\
        web.10: crashed 2024/01/01 12:00:00 +0000: exit 137, out of memory\n\n";
    assert_eq!(fake.run(&["ps", "-a", "demo"]), ok(expected, ""));
    let awake = json!({"app": {"id": ID, "name": "demo"}, "tier": null, "since": null, "reason": null,
        "last_used_at": null});
    let fake = Fake::new()
        .on("GET /ropewalk/apps/demo/dynos", 200, json!([]))
        .on("GET /ropewalk/apps/demo/sleep", 200, awake);
    assert_eq!(
        fake.run(&["ps", "-a", "demo"]),
        ok("No dynos on \u{2b22} demo\n", "")
    );
}

#[test]
fn scaling_says_what_runs_now() {
    let parts = json!([
        formation("worker", 1, "Standard-2X"),
        formation("web", 4, "Standard-1X")
    ]);
    let fake = Fake::new()
        .on("GET /apps/demo/formation", 200, parts.clone())
        .on("PATCH /apps/demo/formation", 200, parts);
    assert_eq!(
        fake.run(&["ps:scale", "web=4", "-a", "demo"]),
        ok(
            "",
            "Scaling dynos... done, now running web at 4:Standard-1X\n"
        )
    );
    assert_eq!(
        fake.requests()[0],
        "PATCH /apps/demo/formation {\"updates\":[{\"type\":\"web\",\"quantity\":\"4\"}]}"
    );
    assert_eq!(
        fake.run(&["scale", "web+1", "worker=1:standard-2x", "-a", "demo"]),
        ok(
            "",
            "Scaling dynos... done, now running web at 4:Standard-1X, worker at 1:Standard-2X\n"
        )
    );
    assert_eq!(
        fake.requests()[0],
        "PATCH /apps/demo/formation {\"updates\":[{\"type\":\"web\",\"quantity\":\"+1\"},{\"type\":\"worker\",\"quantity\":\"1\",\"size\":\"standard-2x\"}]}"
    );
    assert_eq!(
        fake.run(&["ps:scale", "-a", "demo"]),
        ok("web=4:Standard-1X worker=1:Standard-2X\n", "")
    );
    assert_eq!(
        fake.run(&["ps:scale", "web:4", "-a", "demo"]),
        failed(
            2,
            " \u{25b8}    web:4 is not of the form TYPE=QUANTITY[:SIZE], TYPE+N or TYPE-N.\n \u{25b8}    For example: ropewalk ps:scale web=2:standard-2x worker+1.\n"
        )
    );
}

#[test]
fn a_refused_action_is_marked_and_explained() {
    let answer = json!({"id": "not_found", "message": "Couldn't find that process type (api)."});
    let fake = Fake::new().on("PATCH /apps/demo/formation", 404, answer);
    assert_eq!(
        fake.run(&["ps:scale", "api=1", "-a", "demo"]),
        failed(
            1,
            "Scaling dynos... !\n \u{25b8}    Couldn't find that process type (api).\n \u{25b8}\n \u{25b8}    Error ID: not_found\n"
        )
    );
}

#[test]
fn restart_and_stop_name_what_they_touch() {
    let accepted = json!({});
    let fake = Fake::new()
        .on("DELETE /apps/demo/dynos", 202, accepted.clone())
        .on("DELETE /apps/demo/dynos/web.1", 202, accepted.clone())
        .on("DELETE /apps/demo/formations/web", 202, accepted.clone())
        .on(
            "POST /apps/demo/dynos/run.7/actions/stop",
            202,
            accepted.clone(),
        )
        .on("POST /apps/demo/formations/web/actions/stop", 202, accepted);
    for (args, said, sent) in [
        (
            &["restart"][..],
            "Restarting all dynos on \u{2b22} demo... done\n",
            "DELETE /apps/demo/dynos",
        ),
        (
            &["ps:restart", "web.1"],
            "Restarting dyno web.1 on \u{2b22} demo... done\n",
            "DELETE /apps/demo/dynos/web.1",
        ),
        (
            &["ps:restart", "-p", "web"],
            "Restarting all web dynos on \u{2b22} demo... done\n",
            "DELETE /apps/demo/formations/web",
        ),
        (
            &["ps:stop", "run.7"],
            "Stopping run.7 dyno on \u{2b22} demo... done\n",
            "POST /apps/demo/dynos/run.7/actions/stop",
        ),
        (
            &["stop", "web"],
            "Stopping web dynos on \u{2b22} demo... done\n",
            "POST /apps/demo/formations/web/actions/stop",
        ),
    ] {
        let args: Vec<&str> = args.iter().copied().chain(["--app", "demo"]).collect();
        assert_eq!(fake.run(&args), ok("", said));
        assert_eq!(fake.requests(), [sent]);
    }
}

#[test]
fn waiting_ends_when_every_dyno_is_new() {
    let fake = |state: &str, version: u64| {
        Fake::new()
            .on(
                "GET /apps/demo/releases",
                200,
                json!([release(3, "Deploy 1a2b3c4d", true)]),
            )
            .on(
                "GET /apps/demo/dynos",
                200,
                json!([dyno("web.1", "up", 3), dyno("web.2", state, version)]),
            )
            .on(
                "GET /apps/demo/formation",
                200,
                json!([formation("web", 2, "Standard-1X")]),
            )
    };
    let args = ["ps:wait", "-a", "demo", "--timeout", "0"];
    assert_eq!(
        fake("up", 3).run(&args),
        ok(
            "",
            "Waiting for every dyno to be running v3... 2 / 2, done\n"
        )
    );
    assert_eq!(fake("idle", 3).run(&args).code, 0);
    let stopped = |fake: Fake| {
        let sleep = json!({"app": {"id": ID, "name": "demo"}, "tier": "stopped", "since": null,
            "reason": "put to sleep", "last_used_at": null});
        fake.on("GET /ropewalk/apps/demo/sleep", 200, sleep)
    };
    let none = Fake::new()
        .on(
            "GET /apps/demo/releases",
            200,
            json!([release(3, "Deploy 1a2b3c4d", true)]),
        )
        .on("GET /apps/demo/dynos", 200, json!([]))
        .on(
            "GET /apps/demo/formation",
            200,
            json!([formation("web", 2, "Standard-1X")]),
        );
    assert_eq!(
        stopped(none).run(&args),
        ok(
            "",
            "Waiting for every dyno to be running v3... 0 / 0, done\n"
        )
    );
    for (state, version) in [("starting", 3), ("up", 2)] {
        let ran = fake(state, version).run(&args);
        assert_eq!(ran.code, 1);
        assert!(
            ran.stderr.contains("Only 1 / 2 dynos run v3"),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn waiting_is_for_a_release_that_may_still_come_to_serve() {
    let with = |version: u64, status: &str| {
        let mut one = release(version, "Set A config vars", false);
        one["status"] = status.into();
        one
    };
    let fake = |releases: serde_json::Value| {
        Fake::new()
            .on("GET /apps/demo/releases", 200, releases)
            .on("GET /apps/demo/dynos", 200, json!([dyno("web.1", "up", 3)]))
            .on(
                "GET /apps/demo/formation",
                200,
                json!([formation("web", 1, "Standard-1X")]),
            )
    };
    let args = ["ps:wait", "-a", "demo", "--timeout", "30"];
    // What failed or was superseded is never waited for.
    let past = json!([
        with(5, "failed"),
        with(4, "expired"),
        release(3, "Deploy 1", true)
    ]);
    assert_eq!(
        fake(past).run(&args),
        ok(
            "",
            "Waiting for every dyno to be running v3... 1 / 1, done\n"
        )
    );
    // One that fails meanwhile ends the wait at once.
    let pending = json!([with(4, "pending"), release(3, "Deploy 1", true)]);
    let mut gone = with(4, "failed");
    gone["failure"] = "web.1 crashed: exit 1".into();
    let fails = fake(pending.clone())
        .on("GET /apps/demo/releases/4", 200, with(4, "pending"))
        .on("GET /apps/demo/releases/4", 200, gone);
    assert_eq!(
        fails.run(&args),
        failed(
            1,
            "Waiting for every dyno to be running v4... !\n \u{25b8}    Release v4 failed: web.1 crashed: exit 1.\n \u{25b8}    The release before it still serves. See ropewalk releases and ropewalk logs.\n"
        )
    );
    // One that a newer one overtakes is followed by that.
    let overtaken = fake(pending)
        .on(
            "GET /apps/demo/releases",
            200,
            json!([release(5, "Deploy 2", true)]),
        )
        .on("GET /apps/demo/releases/4", 200, with(4, "expired"))
        .on("GET /apps/demo/dynos", 200, json!([dyno("web.1", "up", 5)]));
    assert_eq!(
        overtaken.run(&args),
        ok(
            "",
            "Waiting for every dyno to be running v4... superseded\nWaiting for every dyno to be running v5... 1 / 1, done\n"
        )
    );
}

#[test]
fn a_size_for_all_names_every_type() {
    let parts = json!([
        formation("web", 1, "Standard-2X"),
        formation("worker", 0, "Standard-2X")
    ]);
    let fake = Fake::new()
        .on("GET /apps/demo/formation", 200, parts.clone())
        .on("PATCH /apps/demo/formation", 200, parts);
    let expected = "=== demo Process Types\n\nType    Size         Qty\n──────  ───────────  ───\nweb     Standard-2X  1\nworker  Standard-2X  0\n";
    assert_eq!(
        fake.run(&["ps:type", "standard-2x", "-a", "demo"]),
        ok(expected, "Scaling dynos on \u{2b22} demo... done\n")
    );
    assert_eq!(
        fake.requests()[1],
        "PATCH /apps/demo/formation {\"updates\":[{\"type\":\"web\",\"size\":\"standard-2x\"},{\"type\":\"worker\",\"size\":\"standard-2x\"}]}"
    );
}
