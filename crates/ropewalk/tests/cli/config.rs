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
            json!([release(5, "Set A config vars", true)]),
        )
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
        fake.requests()[0],
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
        fake.requests()[1],
        "PATCH /apps/demo/config-vars {\"A\":null,\"LONG_NAME\":\"three words\"}"
    );
    let env = [("ROPEWALK_TOKEN", "t"), ("EDITOR", "true")];
    assert_eq!(
        fake.run_with(&["config:edit", "-a", "demo"], "", &env),
        ok("", "No changes.\n")
    );
}
