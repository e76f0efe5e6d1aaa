//! `access`, `authorizations`, `sessions`, `users`, `auth:2fa`: people, and what they log in by.

use serde_json::{Value, json};

use crate::fake::{AT, Fake, ID, account, failed, ok};

fn person(email: &str, role: &str) -> Value {
    json!({"id": ID, "app": {"id": ID, "name": "demo"}, "permissions": [], "role": role,
        "user": {"id": ID, "email": email, "federated": false}, "created_at": AT, "updated_at": AT})
}

fn user(email: &str, token: Value) -> Value {
    json!({"id": ID, "email": email, "name": null, "admin": false, "has_password": false,
        "two_factor_authentication": false, "last_login": null, "login_token": token, "created_at": AT,
        "updated_at": AT})
}

fn authorization(token: &str) -> Value {
    json!({"id": ID, "access_token": {"id": ID, "expires_in": null, "token": token}, "client": null,
        "description": "CI", "grant": null, "refresh_token": null, "scope": ["identity", "read"],
        "session": null, "user": {"id": ID, "email": "dev@example.com", "full_name": null},
        "created_at": AT, "updated_at": AT})
}

#[test]
fn who_works_on_an_app() {
    let path = "/apps/demo/collaborators";
    let fake = Fake::new()
        .on(
            &format!("GET {path}"),
            200,
            json!([
                person("me@example.com", "owner"),
                person("a@example.com", "collaborator")
            ]),
        )
        .on(
            &format!("POST {path}"),
            201,
            person("a@example.com", "collaborator"),
        )
        .on(
            &format!("DELETE {path}/a@example.com"),
            200,
            person("a@example.com", "collaborator"),
        );
    assert_eq!(
        fake.run(&["access", "-a", "demo"]),
        ok(
            "Email           Role\n──────────────  ────────────\n\
             a@example.com   collaborator\nme@example.com  owner\n",
            ""
        )
    );
    assert_eq!(
        fake.run(&["access:add", "a@example.com", "-a", "demo"]),
        ok(
            "",
            "Adding a@example.com access to the app ⬢ demo... done\n"
        )
    );
    assert_eq!(
        fake.run(&["sharing:remove", "a@example.com", "-a", "demo"]),
        ok(
            "",
            "Removing a@example.com access from the app ⬢ demo... done\n"
        )
    );
    assert!(
        fake.requests()
            .contains(&format!("POST {path} {{\"user\":\"a@example.com\"}}"))
    );
    let shown = fake.run(&["access", "-a", "demo", "--json"]).stdout;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown[0]["role"], "collaborator");
}

#[test]
fn tokens_for_programs() {
    let path = "/oauth/authorizations";
    let one = format!("{path}/{ID}");
    let fake = Fake::new()
        .on(
            &format!("GET {path}"),
            200,
            json!([authorization("RWK-**********wxyz")]),
        )
        .on(&format!("POST {path}"), 201, authorization("RWK-whole"))
        .on(
            &format!("PATCH {one}"),
            200,
            authorization("RWK-**********wxyz"),
        )
        .on(
            &format!("POST {one}/actions/regenerate-tokens"),
            201,
            authorization("RWK-next"),
        )
        .on(
            &format!("DELETE {one}"),
            200,
            authorization("RWK-**********wxyz"),
        );
    assert_eq!(
        fake.run(&["authorizations"]),
        ok(&format!("CI  {ID}  identity,read\n"), "")
    );
    let details = |token: &str| {
        format!(
            "Client:      <none>\nID:          {ID}\nDescription: CI\nScope:       identity, read\n\
             Token:       {token}\nUpdated at:  2024/01/01 12:00:00 +0000\n"
        )
    };
    let create = [
        "authorizations:create",
        "-s",
        "read,identity",
        "-d",
        "CI",
        "-e",
        "60",
    ];
    assert_eq!(
        fake.run(&create),
        ok(
            &details("RWK-whole"),
            "Creating OAuth Authorization... done\n"
        )
    );
    assert!(fake.requests().contains(&format!(
        "POST {path} {{\"scope\":[\"read\",\"identity\"],\"description\":\"CI\",\"expires_in\":60}}"
    )));
    assert_eq!(
        fake.run(&["authorizations:create", "-S"]).stdout,
        "RWK-whole\n"
    );
    assert_eq!(
        fake.run(&["authorizations:rotate", ID]),
        ok(
            &details("RWK-next"),
            "Rotating OAuth Authorization... done\n"
        )
    );
    assert_eq!(
        fake.run(&["authorizations:update", ID, "-d", "CI"]).stderr,
        "Updating OAuth Authorization... done\n"
    );
    assert_eq!(
        fake.run(&["authorizations:destroy", ID]),
        ok(
            "",
            "Revoking OAuth Authorization... done, revoked authorization from CI\n"
        )
    );
}

#[test]
fn where_one_is_logged_in() {
    let session = json!({"id": ID, "description": "Ropewalk CLI login from here", "expires_in": 5,
        "created_at": AT, "updated_at": AT});
    let fake = Fake::new()
        .on("GET /oauth/sessions", 200, json!([session]))
        .on(&format!("DELETE /oauth/sessions/{ID}"), 200, session);
    assert_eq!(
        fake.run(&["sessions"]),
        ok(&format!("Ropewalk CLI login from here  {ID}\n"), "")
    );
    assert_eq!(
        fake.run(&["sessions:destroy", ID]),
        ok("", &format!("Destroying {ID}... done\n"))
    );
}

#[test]
fn administrators_make_accounts() {
    let path = "/ropewalk/users";
    let fake = Fake::new()
        .on(
            &format!("GET {path}"),
            200,
            json!([user("new@example.com", Value::Null)]),
        )
        .on(
            &format!("POST {path}"),
            201,
            user("new@example.com", "RWK-first".into()),
        )
        .on(
            &format!("PATCH {path}/new@example.com"),
            200,
            user("new@example.com", Value::Null),
        )
        .on(
            &format!("DELETE {path}/new@example.com"),
            200,
            user("new@example.com", Value::Null),
        );
    assert_eq!(
        fake.run(&["users"]).stdout,
        "Email            Name  Role  Two-factor  Last login\n\
         ───────────────  ────  ────  ──────────  ──────────\n\
         new@example.com        user  off         never\n"
    );
    let made = fake.run(&["users:create", "new@example.com", "--admin"]);
    assert_eq!((made.code, made.stdout.as_str()), (0, "RWK-first\n"));
    let env = [("ROPEWALK_TOKEN", "secret-token")];
    let made = fake.run_with(
        &["users:create", "new@example.com", "--password", "-"],
        "a good password\n",
        &env,
    );
    assert_eq!(made.code, 0);
    let requests = fake.requests();
    assert!(requests.contains(&format!(
        "POST {path} {{\"email\":\"new@example.com\",\"admin\":true}}"
    )));
    assert!(requests.contains(&format!(
        "POST {path} {{\"email\":\"new@example.com\",\"password\":\"a good password\"}}"
    )));
    // A password on the command line would be everybody's to see.
    let shown = fake.run(&["users:create", "a@example.com", "--password", "hunter2"]);
    assert_eq!(shown.code, 2);

    assert_eq!(
        fake.run_with(
            &["users:password", "new@example.com"],
            "another one\n",
            &env
        ),
        ok("", "Changing password... done, other sessions have ended\n")
    );
    assert_eq!(
        fake.run(&["users:update", "new@example.com"]),
        failed(
            2,
            " \u{25b8}    What is to be changed?\n \u{25b8}    Use --email, --name, --admin, --no-admin or --no-two-factor.\n"
        )
    );
    assert_eq!(
        fake.run(&["users:update", "new@example.com", "--no-admin"])
            .code,
        0
    );
    let destroy = ["users:destroy", "new@example.com", "--confirm"];
    let wrong = fake.run(&[&destroy[..], &["other"]].concat());
    assert_eq!(wrong.code, 1);
    assert_eq!(
        fake.run(&[&destroy[..], &["new@example.com"]].concat()),
        ok("", "Destroying account new@example.com... done\n")
    );
    let requests = fake.requests();
    let sent =
        |request: &str| requests.contains(&format!("PATCH {path}/new@example.com {request}"));
    assert!(sent("{\"password\":\"another one\"}") && sent("{\"admin\":false}"));
}

#[test]
fn ones_own_password_takes_the_one_before() {
    let fake = Fake::new().on("PATCH /account", 200, account());
    let ran = fake.run_with(
        &["users:password"],
        "old one\nnew one here\n",
        &[("ROPEWALK_TOKEN", "secret-token")],
    );
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(
        fake.requests(),
        ["PATCH /account {\"password\":\"old one\",\"new_password\":\"new one here\"}"]
    );
}

#[test]
fn the_second_factor_is_enabled_in_two_steps() {
    let path = "/ropewalk/two-factor";
    // One script for both steps: the secret and the codes at once.
    let both = json!({"enabled": true, "secret": "MZXW6", "otpauth_uri": "otpauth://totp/x?secret=MZXW6",
        "recovery_codes": ["aaaa-bbbb-cccc-dddd", "eeee-ffff-gggg-hhhh"]});
    let fake = Fake::new()
        .on(&format!("GET {path}"), 200, both.clone())
        .on(&format!("POST {path}"), 201, both.clone())
        .on(&format!("DELETE {path}"), 200, both);
    let env = [("ROPEWALK_TOKEN", "secret-token")];
    assert_eq!(
        fake.run(&["2fa"]),
        ok("Two-factor authentication is enabled\n", "")
    );
    let ran = fake.run_with(&["auth:2fa:enable"], "hunter2\n123456\n", &env);
    assert_eq!(ran.stdout, "aaaa-bbbb-cccc-dddd\neeee-ffff-gggg-hhhh\n");
    assert!(
        ran.stderr
            .contains("otpauth://totp/x?secret=MZXW6\nKey: MZXW6\n")
    );
    assert_eq!(
        fake.run_with(&["auth:2fa:disable"], "hunter2\n", &env),
        ok("", "Disabling two-factor authentication... done\n")
    );
    assert_eq!(
        fake.requests(),
        [
            format!("GET {path}"),
            format!("POST {path} {{\"password\":\"hunter2\"}}"),
            format!("POST {path} {{\"code\":\"123456\"}}"),
            format!("DELETE {path} {{\"password\":\"hunter2\"}}"),
        ]
    );
}
