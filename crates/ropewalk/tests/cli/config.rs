//! `config`, `config:*`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::fake::{Fake, Ran, failed, ok, release};

fn fake() -> Fake {
    Fake::new()
        .on(
            "GET /apps/demo/config-vars",
            200,
            json!({"A": "1", "LONG_NAME": "two words", "Q": "it's"}),
        )
        .on(
            "PATCH /apps/demo/config-vars",
            200,
            json!({"A": "x=y\nz", "LONG_NAME": "two words"}),
        )
        .on(
            "GET /apps/demo/releases",
            200,
            json!([release(4, "Deploy 1a2b3c4d", true)]),
        )
        .on(
            "GET /apps/demo/releases",
            200,
            json!([release(5, "Set A config vars", true)]),
        )
}

/// A change whose release is pending at first and then ends so.
fn ending(status: &str, newest: u64) -> Fake {
    let made = |status: &str| {
        let mut made = release(5, "Set A config vars", false);
        made["status"] = status.into();
        made
    };
    let mut ended = made(status);
    if status == "failed" {
        ended["failure"] = "web.1 crashed: exit 1".into();
    }
    let before = release(4, "Deploy 1a2b3c4d", true);
    let (patch, releases) = ("PATCH /apps/demo/config-vars", "GET /apps/demo/releases");
    Fake::new()
        .on(patch, 200, json!({"A": "1"}))
        .on(releases, 200, json!([before]))
        .on(releases, 200, json!([made("pending")]))
        .on(releases, 200, json!([release(newest, "Deploy", false)]))
        .on("GET /apps/demo/releases/5", 200, made("pending"))
        .on("GET /apps/demo/releases/5", 200, ended)
}

#[test]
fn config_vars_are_listed() {
    let fake = fake();
    let expected = "=== demo Config Vars\n\nA:         1\nLONG_NAME: two words\nQ:         it's\n";
    assert_eq!(fake.run(&["config", "-a", "demo"]), ok(expected, ""));
    let shell = "A=1\nLONG_NAME='two words'\nQ='it'\\''s'\n";
    assert_eq!(
        fake.run(&["config", "-a", "demo", "--shell"]),
        ok(shell, "")
    );
    let json = "{\n  \"A\": \"1\",\n  \"LONG_NAME\": \"two words\",\n  \"Q\": \"it's\"\n}\n";
    assert_eq!(fake.run(&["config", "-a", "demo", "--json"]), ok(json, ""));
}

#[test]
fn one_value_is_bare() {
    let fake = fake();
    assert_eq!(
        fake.run(&["config:get", "LONG_NAME", "-a", "demo"]),
        ok("two words\n", "")
    );
    assert_eq!(
        fake.run(&["config:get", "MISSING", "-a", "demo"]),
        Ran {
            code: 1,
            stdout: "\n".into(),
            stderr: String::new()
        }
    );
}

#[test]
fn setting_tells_the_new_version() {
    let fake = fake();
    assert_eq!(
        fake.run(&["config:set", "A=x=y\nz", "-a", "demo"]),
        ok(
            "A: x=y\nz\n",
            "Setting A and restarting \u{2b22} demo... done, v5\n"
        )
    );
    assert_eq!(
        fake.requests(),
        [
            "GET /apps/demo/releases version ..; max=1, order=desc",
            "PATCH /apps/demo/config-vars {\"A\":\"x=y\\nz\"}",
            "GET /apps/demo/releases version ..; max=1, order=desc"
        ]
    );
    assert_eq!(
        fake.run(&["config:set", "A", "-a", "demo"]),
        failed(
            2,
            " \u{25b8}    A is not of the form KEY=VALUE.\n \u{25b8}    To remove a config var, run ropewalk config:unset KEY.\n"
        )
    );
}

#[test]
fn a_change_is_done_when_its_release_serves() {
    let set = ["config:set", "A=1", "-a", "demo"];
    let said = "Setting A and restarting \u{2b22} demo... done, v5\n";
    assert_eq!(ending("succeeded", 5).run(&set), ok("A: 1\n", said));

    for args in [&set[..], &["config:unset", "A", "-a", "demo"]] {
        let ran = ending("failed", 5).run(args);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
        assert!(
            ran.stderr.ends_with(
                "demo... !\n \u{25b8}    Release v5 failed: web.1 crashed: exit 1.\n \u{25b8}    The release before it still serves. See ropewalk releases and ropewalk logs.\n"
            ),
            "{}",
            ran.stderr
        );
    }

    let said = "Setting A and restarting \u{2b22} demo... done, v5, superseded by v6\n";
    assert_eq!(ending("expired", 6).run(&set), ok("A: 1\n", said));
}

#[test]
fn a_script_need_not_wait() {
    let fake = ending("failed", 5);
    assert_eq!(
        fake.run(&["config:set", "A=1", "--no-wait", "-a", "demo"]),
        ok(
            "A: 1\n",
            "Setting A and restarting \u{2b22} demo... pending, v5\n"
        )
    );
    assert_eq!(fake.requests().len(), 3);
}

#[test]
fn a_change_that_changes_nothing_hears_nothing_of_older_releases() {
    let mut failed = release(5, "Set B config vars", false);
    failed["status"] = "failed".into();
    let fake = Fake::new()
        .on("PATCH /apps/demo/config-vars", 200, json!({"A": "1"}))
        .on("GET /apps/demo/releases", 200, json!([failed]));
    let said = "Setting A and restarting \u{2b22} demo... done, nothing changed\n";
    assert_eq!(
        fake.run(&["config:set", "A=1", "-a", "demo"]),
        ok("A: 1\n", said)
    );
}

#[test]
fn unsetting_sends_null() {
    let fake = fake();
    assert_eq!(
        fake.run(&["config:unset", "A", "B", "-a", "demo"]),
        ok(
            "",
            "Unsetting A, B and restarting \u{2b22} demo... done, v5\n"
        )
    );
    assert_eq!(
        fake.requests()[1],
        "PATCH /apps/demo/config-vars {\"A\":null,\"B\":null}"
    );
}

#[test]
fn editing_sends_what_changed() {
    let fake = fake();
    let editor = fake.home.path().join("editor");
    fs::write(
        &editor,
        "#!/bin/sh\nsed -i -e '/^A=/d' -e 's/two/three/' \"$1\"\n",
    )
    .unwrap();
    fs::set_permissions(&editor, fs::Permissions::from_mode(0o755)).unwrap();
    let env = [
        ("ROPEWALK_TOKEN", "t"),
        ("EDITOR", editor.to_str().unwrap()),
    ];
    assert_eq!(
        fake.run_with(&["config:edit", "-a", "demo"], "", &env),
        ok(
            "",
            "Updating A, LONG_NAME and restarting \u{2b22} demo... done, v5\n"
        )
    );
    assert_eq!(
        fake.requests()[2],
        "PATCH /apps/demo/config-vars {\"A\":null,\"LONG_NAME\":\"three words\"}"
    );
    let env = [("ROPEWALK_TOKEN", "t"), ("EDITOR", "true")];
    assert_eq!(
        fake.run_with(&["config:edit", "-a", "demo"], "", &env),
        ok("", "No changes.\n")
    );
}
