//! `rebase`, and what `stack` says of an app that is behind.

use serde_json::{Value, json};

use crate::fake::{Fake, ID, app, failed, ok, release};

const OLD: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const NEW: &str = "sha256:4f5e6d7c8b9a0000000000000000000000000000000000000000000000000000";

fn rebase(app: (&str, &str), from: Option<&str>, rebased: bool, version: u64) -> Value {
    json!({"app": {"id": app.0, "name": app.1}, "stack": {"id": ID, "name": "debian-13"}, "from": from, "to": NEW,
        "rebased": rebased, "release": {"id": ID, "version": version}})
}

const DEMO: (&str, &str) = (ID, "demo");

#[test]
fn an_app_is_rebased_and_its_release_seen_through() {
    let path = format!("/ropewalk/apps/{ID}/rebase");
    let mut pending = release(3, "Rebase to debian-13 4f5e6d7c8b9a", false);
    pending["status"] = "pending".into();
    let fake = Fake::new()
        .on(
            "GET /ropewalk/apps/demo/rebase",
            200,
            rebase(DEMO, Some(OLD), false, 2),
        )
        .on(
            &format!("POST {path}"),
            201,
            rebase(DEMO, Some(OLD), true, 3),
        )
        .on(&format!("GET /apps/{ID}/releases/3"), 200, pending)
        .on(
            &format!("GET /apps/{ID}/releases/3"),
            200,
            release(3, "Rebase to debian-13 4f5e6d7c8b9a", true),
        );
    assert_eq!(
        fake.run(&["rebase", "-a", "demo"]),
        ok(
            "",
            "Rebasing \u{2b22} demo from debian-13 0123456789ab to 4f5e6d7c8b9a... done, v3\n"
        )
    );
    let printed = fake.run(&["rebase", "-a", "demo", "--json"]).stdout;
    let printed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(printed, rebase(DEMO, Some(OLD), true, 3));
}

#[test]
fn one_that_is_on_the_newest_version_is_no_failure() {
    let current = rebase(DEMO, Some(NEW), false, 2);
    let fake = Fake::new()
        .on("GET /ropewalk/apps/demo/rebase", 200, current.clone())
        .on(&format!("POST /ropewalk/apps/{ID}/rebase"), 200, current);
    assert_eq!(
        fake.run(&["rebase", "-a", "demo"]),
        ok(
            "\u{2b22} demo runs on the newest version of its stack: debian-13 4f5e6d7c8b9a.\n",
            ""
        )
    );
}

#[test]
fn one_that_does_not_pass_says_why() {
    let mut crashed = release(3, "Rebase to debian-13 4f5e6d7c8b9a", false);
    crashed["status"] = "failed".into();
    crashed["failure"] = "web.1 crashed: exit 127".into();
    let fake = Fake::new()
        .on(
            "GET /ropewalk/apps/demo/rebase",
            200,
            rebase(DEMO, Some(OLD), false, 2),
        )
        .on(
            &format!("POST /ropewalk/apps/{ID}/rebase"),
            201,
            rebase(DEMO, Some(OLD), true, 3),
        )
        .on(&format!("GET /apps/{ID}/releases/3"), 200, crashed);
    assert_eq!(
        fake.run(&["rebase", "-a", "demo"]),
        failed(
            1,
            "Rebasing \u{2b22} demo from debian-13 0123456789ab to 4f5e6d7c8b9a... !\n \
             \u{25b8}    Release v3 failed: web.1 crashed: exit 127.\n \
             \u{25b8}    The release before it still serves. See ropewalk releases and ropewalk logs.\n"
        )
    );
}

/// Five apps: rebased, refused, on the newest version, never deployed, rebased.
fn five() -> Fake {
    let mut fake = Fake::new();
    let names = ["a", "b", "c", "d", "e"];
    let id = |at: usize| format!("00000000-0000-0000-0000-00000000000{at}");
    let apps = names.iter().enumerate().map(|(at, name)| {
        let mut app = app(name, fake.port);
        app["id"] = id(at).into();
        app
    });
    let apps: Vec<Value> = apps.collect();
    fake = fake.on("GET /apps", 200, apps.into());
    for (at, name) in names.into_iter().enumerate() {
        let id = id(at);
        let (app, path) = ((id.as_str(), name), format!("/ropewalk/apps/{id}/rebase"));
        let from = match name {
            "c" => Some(NEW),
            "d" => None,
            _ => Some(OLD),
        };
        fake = fake.on(&format!("GET {path}"), 200, rebase(app, from, false, 2));
        fake = match name {
            "b" => {
                let refused = json!({"id": "forbidden", "message": "Not with this token."});
                fake.on(&format!("POST {path}"), 403, refused)
            }
            _ => fake
                .on(&format!("POST {path}"), 201, rebase(app, from, true, 3))
                .on(
                    &format!("GET /apps/{id}/releases/3"),
                    200,
                    release(3, "x", true),
                ),
        };
    }
    fake
}

#[test]
fn all_that_are_behind_are_rebased_and_the_failed_ones_named() {
    let fake = five();
    let line = |app: &str, end: &str| {
        format!("Rebasing \u{2b22} {app} from debian-13 0123456789ab to 4f5e6d7c8b9a... {end}\n")
    };
    let told = [
        line("a", "done, v3"),
        line("b", "!"),
        " \u{25b8}    Not with this token.\n".to_owned(),
        line("e", "done, v3"),
        " \u{25b8}    1 of 3 apps were not rebased: b.\n".to_owned(),
        " \u{25b8}    What they ran before serves on. See ropewalk releases and ropewalk logs.\n"
            .to_owned(),
    ];
    assert_eq!(fake.run(&["rebase", "--all"]), failed(1, &told.concat()));
    let asked = fake.requests();
    let made = asked.iter().filter(|request| request.starts_with("POST"));
    assert_eq!(made.count(), 3, "{asked:?}");

    let ran = five().run(&["rebase", "--all", "--json"]);
    let printed: Vec<Value> = serde_json::from_str(&ran.stdout).unwrap();
    let all = printed.iter().map(|one| {
        let name = one["app"]["name"].as_str().unwrap();
        format!("{name} {} {}", one["rebased"], one["failure"])
    });
    assert_eq!(ran.code, 1);
    assert_eq!(
        all.collect::<Vec<_>>(),
        [
            "a true null",
            "b false \"Not with this token.\"",
            "e true null"
        ]
    );
}

#[test]
fn all_of_none() {
    let fake = Fake::new().on("GET /apps", 200, json!([]));
    assert_eq!(
        fake.run(&["rebase", "--all"]),
        ok(
            "Every app of yours runs on the newest version of its stack.\n",
            ""
        )
    );
    let both = fake.run(&["rebase", "--all", "-a", "demo"]);
    assert_eq!(both.code, 2, "{}", both.stderr);
}

#[test]
fn stack_says_that_an_app_is_behind() {
    let fake = Fake::new();
    let demo = app("demo", fake.port);
    let stack = json!({"id": ID, "name": "debian-13", "default": true, "state": "public",
        "created_at": crate::fake::AT, "updated_at": crate::fake::AT});
    let fake = fake
        .on("GET /apps/demo", 200, demo)
        .on("GET /stacks", 200, json!([stack]))
        .on(
            "GET /ropewalk/apps/demo/rebase",
            200,
            rebase(DEMO, Some(OLD), false, 2),
        );
    assert_eq!(
        fake.run(&["stack", "-a", "demo"]),
        ok(
            "=== \u{2b22} demo Available Stacks\n\n* debian-13\n",
            " \u{25b8}    demo runs on debian-13 0123456789ab, and 4f5e6d7c8b9a is the newest.\n \
             \u{25b8}    Run ropewalk rebase -a demo to put it on that without a build.\n"
        )
    );
}
