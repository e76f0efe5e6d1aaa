//! `login`, `logout`, `auth:*`, `git:credentials`: where the token goes.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::fake::{AT, Fake, ID, account, failed, ok};

fn authorization(token: &str) -> serde_json::Value {
    json!({"id": ID, "access_token": {"id": ID, "expires_in": 2592000, "token": token}, "client": null,
        "description": "Ropewalk CLI login from here", "grant": null, "refresh_token": null, "scope": ["global"],
        "session": null, "user": {"id": ID, "email": "dev@example.com", "full_name": null},
        "created_at": AT, "updated_at": AT})
}

#[test]
fn the_token_is_kept_for_the_api_and_for_git() {
    let fake = Fake::new()
        .on(
            "POST /oauth/authorizations",
            201,
            authorization("HRKU-new-token"),
        )
        .on("GET /account", 200, account())
        .on(
            "GET /oauth/authorizations",
            200,
            json!([authorization("HRKU**********oken")]),
        )
        .on(
            &format!("DELETE /oauth/authorizations/{ID}"),
            200,
            authorization("HRKU**********oken"),
        );
    fs::write(
        fake.home.path().join(".netrc"),
        "machine other login a password b\n",
    )
    .unwrap();
    let run = |args: &[&str], stdin: &str| fake.run_with(args, stdin, &[]);

    assert_eq!(
        run(&["login"], "dev@example.com\nhunter2\n"),
        ok(
            "Logged in as dev@example.com\n",
            "Enter your credentials for api.localhost:\nEmail: Password: "
        )
    );
    let request = fake.requests().remove(0);
    assert!(
        request.contains("\"scope\":[\"global\"]") && request.contains("\"expires_in\":2592000"),
        "{request}"
    );
    let path = fake.home.path().join(".netrc");
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "machine other login a password b\n\
         machine api.localhost\n  login dev@example.com\n  password HRKU-new-token\n\
         machine git.localhost\n  login dev@example.com\n  password HRKU-new-token\n"
    );
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let settings =
        fs::read_to_string(fake.home.path().join(".config/ropewalk/config.toml")).unwrap();
    assert_eq!(settings, format!("url = \"{}\"\n", fake.url()));

    // From now on neither the token nor the address is needed.
    assert_eq!(
        fake.run_with(&["auth:whoami"], "", &[("ROPEWALK_URL", "")]),
        ok("dev@example.com\n", "")
    );
    assert_eq!(run(&["auth:token"], ""), ok("HRKU-new-token\n", ""));

    assert_eq!(run(&["logout"], ""), ok("", "Logging out... done\n"));
    assert!(
        fake.requests()
            .contains(&format!("DELETE /oauth/authorizations/{ID}"))
    );
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "machine other login a password b\n"
    );
    assert_eq!(
        run(&["auth:whoami"], ""),
        failed(
            1,
            " \u{25b8}    You are not logged in.\n \u{25b8}    Run ropewalk login, or set ROPEWALK_TOKEN.\n"
        )
    );
}

#[test]
fn a_wrong_password_is_said_to_be_one() {
    let refusal = json!({"id": "unauthorized", "message": "Invalid credentials provided."});
    let fake = Fake::new().on("POST /oauth/authorizations", 401, refusal);
    let ran = fake.run_with(&["login"], "dev@example.com\nwrong\n", &[]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr
            .ends_with(" \u{25b8}    The email or the password is not right.\n"),
        "{}",
        ran.stderr
    );
    assert!(!fake.home.path().join(".netrc").exists());
}

#[test]
fn a_token_that_is_there_can_be_used() {
    let fake = Fake::new().on("GET /account", 200, account());
    let url = fake.url();
    let ran = fake.run_with(
        &["login", "--url", &url, "--token", "-"],
        "tok\n",
        &[("ROPEWALK_URL", "")],
    );
    assert_eq!(ran, ok("Logged in as dev@example.com\n", "Token: "));
    assert_eq!(
        fake.run_with(&["auth:token"], "", &[("ROPEWALK_URL", "")]),
        ok("tok\n", "")
    );
}

#[test]
fn git_gets_the_token_of_our_host_only() {
    let fake = Fake::new();
    let question = |host: &str| format!("protocol=http\nhost={host}:{}\n\n", fake.port);
    let run = |operation: &str, stdin: &str| {
        fake.run_with(
            &["git:credentials", operation],
            stdin,
            &[("ROPEWALK_TOKEN", "tok")],
        )
    };
    assert_eq!(
        run("get", &question("git.localhost")),
        ok(
            "protocol=http\nhost=git.localhost:PORT\nusername=ropewalk\npassword=tok\n",
            ""
        )
    );
    assert_eq!(run("get", &question("git.example.com")), ok("", ""));
    assert_eq!(run("store", &question("git.localhost")), ok("", ""));
}
