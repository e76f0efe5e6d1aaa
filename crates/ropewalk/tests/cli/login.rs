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
            "DELETE /oauth/sessions/~",
            200,
            json!({"id": ID, "description": "x", "expires_in": null, "created_at": AT, "updated_at": AT}),
        );
    fs::write(
        fake.home.path().join(".netrc"),
        "machine other login a password b\n",
    )
    .unwrap();
    let run = |args: &[&str], stdin: &str| fake.run_with(args, stdin, &[]);

    assert_eq!(
        run(&["login", "-i"], "dev@example.com\nhunter2\n"),
        ok(
            "Logged in as dev@example.com\n",
            "Enter your credentials for api.localhost:\n"
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
            .contains(&"DELETE /oauth/sessions/~".to_owned())
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
    let ran = fake.run_with(&["login", "-i"], "dev@example.com\nwrong\n", &[]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr
            .ends_with(" \u{25b8}    The email or the password is not right.\n"),
        "{}",
        ran.stderr
    );
    assert!(!fake.home.path().join(".netrc").exists());
}

fn asked() -> serde_json::Value {
    json!({"browser_url": "/cli/browser/abc", "cli_url": "/cli/auth/def", "token": "asker"})
}

#[test]
fn a_browser_logs_in_for_the_terminal() {
    let fake = Fake::new()
        .on("POST /auth", 201, asked())
        .on("GET /cli/auth/def", 200, json!({"access_token": "RWK-new"}))
        .on("GET /account", 200, account());
    // Without a screen the address is shown and nothing is opened.
    let ran = fake.run_with(&["login"], "", &[]);
    assert_eq!(
        ran,
        ok(
            "Logged in as dev@example.com\n",
            "Open this page in a browser to log in:\nhttp://api.localhost:PORT/cli/browser/abc\n\
             Waiting for the login... done\n"
        )
    );
    let requests = fake.requests();
    assert!(requests[0].starts_with("POST /auth {\"description\":\"Ropewalk CLI login from "));
    assert_eq!(requests[1..], ["GET /cli/auth/def", "GET /account"]);
    assert_eq!(fake.run_with(&["auth:token"], "", &[]), ok("RWK-new\n", ""));

    let ran = fake.run_with(&["login", "--browser", "true"], "", &[]);
    assert_eq!(
        ran.stderr,
        "Opening http://api.localhost:PORT/cli/browser/abc\nWaiting for the login... done\n"
    );
}

#[test]
fn a_login_that_is_refused_in_the_browser_ends() {
    let fake = Fake::new().on("POST /auth", 201, asked()).on(
        "GET /cli/auth/def",
        200,
        json!({"error": "It was refused."}),
    );
    let ran = fake.run_with(&["login"], "", &[]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr
            .ends_with("... !\n \u{25b8}    It was refused.\n"),
        "{}",
        ran.stderr
    );
    assert!(!fake.home.path().join(".netrc").exists());
}

#[test]
fn logging_out_goes_on_when_the_server_does_not() {
    let fake = Fake::new().on("GET /account", 200, account()).on(
        "DELETE /oauth/sessions/~",
        503,
        json!({"id": "maintenance", "message": "Later."}),
    );
    fake.run_with(&["login", "--token", "-"], "tok\n", &[]);
    let ran = fake.run_with(&["logout"], "", &[]);
    assert_eq!(ran.code, 0);
    assert!(
        ran.stderr.contains("the server could not be told: Later."),
        "{}",
        ran.stderr
    );
    assert_eq!(
        fs::read_to_string(fake.home.path().join(".netrc")).unwrap(),
        ""
    );
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
    assert_eq!(ran, ok("Logged in as dev@example.com\n", ""));
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
