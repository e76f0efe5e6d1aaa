//! Several people: making and ending accounts, passwords, and working on an app of somebody else.

use serde_json::{Value, json};

use crate::auth::{LOGIN, basic, doors, with_header};
use crate::rig::{ADMIN, DEV, OTHER, PASSWORD, Rig};

async fn admin(rig: &Rig, method: &str, path: &str, body: Value) -> crate::rig::Answer {
    rig.call_as(ADMIN, method, path, Some(body)).await
}

#[tokio::test]
async fn administrators_make_change_and_end_accounts() {
    let rig = Rig::new().await;
    let made = admin(
        &rig,
        "POST",
        "/ropewalk/users",
        json!({"email": "new@example.com", "name": "New\u{202e} One"}),
    )
    .await
    .expect(201);
    assert_eq!(made["name"], "New One");
    assert_eq!(
        (&made["admin"], &made["has_password"]),
        (&json!(false), &json!(false))
    );
    let token = made["login_token"].as_str().unwrap();
    let account = rig
        .call_as(token, "GET", "/account", None)
        .await
        .expect(200);
    assert_eq!(account["email"], "new@example.com");

    let listed = admin(&rig, "GET", "/ropewalk/users", json!({})).await;
    assert_eq!(listed.expect(200).as_array().unwrap().len(), 4);
    assert!(!listed.text.contains(token));
    for (body, id) in [
        (json!({"email": "NEW@example.com"}), "invalid_params"),
        (json!({"email": "no address"}), "invalid_params"),
        (
            json!({"email": "a@b", "password": "short"}),
            "invalid_params",
        ),
        (json!({}), "invalid_params"),
    ] {
        admin(&rig, "POST", "/ropewalk/users", body)
            .await
            .refused(422, id);
    }

    let one = "/ropewalk/users/new@example.com";
    let changed = admin(
        &rig,
        "PATCH",
        one,
        json!({"admin": true, "email": "newer@example.com", "password": PASSWORD}),
    )
    .await
    .expect(200);
    assert_eq!(changed["admin"], true);
    assert_eq!(changed["has_password"], true);
    // The first token was a login; the new password has ended it.
    rig.call_as(token, "GET", "/account", None)
        .await
        .refused(401, "unauthorized");
    let login = basic(&format!("newer@example.com:{PASSWORD}"));
    let made = with_header(&rig, "POST", "/oauth/authorizations", &login, LOGIN)
        .await
        .expect(201);
    let token = made["access_token"]["token"].as_str().unwrap();
    admin(&rig, "GET", one, json!({}))
        .await
        .refused(404, "not_found");
    admin(
        &rig,
        "DELETE",
        "/ropewalk/users/newer@example.com",
        json!({}),
    )
    .await
    .expect(200);
    rig.call_as(token, "GET", "/account", None)
        .await
        .refused(401, "unauthorized");
    with_header(&rig, "POST", "/oauth/authorizations", &login, LOGIN)
        .await
        .refused(401, "unauthorized");
}

#[tokio::test]
async fn owners_and_the_last_administrator_cannot_be_ended() {
    let rig = Rig::new().await;
    rig.app("demo").await;
    let text = admin(&rig, "DELETE", "/ropewalk/users/dev@example.com", json!({}))
        .await
        .refused(422, "invalid_params");
    assert_eq!(text, "dev@example.com owns the app demo; destroy it first.");
    let own = "/ropewalk/users/admin@example.com";
    for (method, body) in [("DELETE", json!({})), ("PATCH", json!({"admin": false}))] {
        let text = admin(&rig, method, own, body)
            .await
            .refused(422, "invalid_params");
        assert!(text.starts_with("This is the last administrator"), "{text}");
    }
}

#[tokio::test]
async fn nobody_else_sees_or_changes_accounts() {
    let rig = Rig::new().await;
    let narrow = rig
        .call_as(
            ADMIN,
            "POST",
            "/oauth/authorizations",
            Some(json!({"scope": ["write-protected"]})),
        )
        .await
        .expect(201);
    let narrow = narrow["access_token"]["token"].as_str().unwrap();
    for token in [DEV, narrow] {
        for (method, path, body) in [
            ("GET", "/ropewalk/users", json!({})),
            ("POST", "/ropewalk/users", json!({"email": "x@example.com"})),
            ("GET", "/ropewalk/users/other@example.com", json!({})),
            ("GET", "/ropewalk/users/nobody@example.com", json!({})),
            (
                "PATCH",
                "/ropewalk/users/dev@example.com",
                json!({"admin": true}),
            ),
            ("DELETE", "/ropewalk/users/other@example.com", json!({})),
        ] {
            rig.call_as(token, method, path, Some(body))
                .await
                .refused(403, "forbidden");
        }
    }
    rig.call("PATCH", "/users/other@example.com", json!({"name": "x"}))
        .await
        .refused(404, "not_found");
}

#[tokio::test]
async fn what_one_logs_in_by_changes_only_with_the_password() {
    let rig = Rig::new().await;
    let named = rig
        .call("PATCH", "/account", json!({"name": "Dev", "beta": true}))
        .await
        .expect(200);
    assert_eq!(named["name"], "Dev");
    // The first password needs none before it.
    rig.call("PATCH", "/account", json!({"new_password": PASSWORD}))
        .await
        .expect(200);
    let session = rig.log_in().await;
    for body in [
        json!({"new_password": "another good one"}),
        json!({"new_password": "another good one", "password": "wrong"}),
        json!({"email": "dev2@example.com"}),
        json!({"new_password": "short", "password": PASSWORD}),
    ] {
        rig.call_as(&session, "PATCH", "/account", Some(body))
            .await
            .refused(422, "invalid_params");
    }
    let rig = Rig::new().await;
    rig.set_password().await;
    let session = rig.log_in().await;
    let other = rig.log_in().await;
    let body = json!({
        "new_password": "another good one", "password": PASSWORD, "email": "dev2@example.com"
    });
    let changed = rig
        .call_as(&session, "PATCH", "/users/~", Some(body))
        .await
        .expect(200);
    assert_eq!(changed["email"], "dev2@example.com");
    // The session in hand goes on, the others end; tokens that were asked for stay.
    rig.call_as(&session, "GET", "/account", None)
        .await
        .expect(200);
    rig.call_as(&other, "GET", "/account", None)
        .await
        .refused(401, "unauthorized");
    rig.get("/account").await.expect(200);
    let login = basic("dev2@example.com:another good one");
    with_header(&rig, "POST", "/oauth/authorizations", &login, LOGIN)
        .await
        .expect(201);
}

async fn share(rig: &Rig) {
    let made = rig
        .call(
            "POST",
            "/apps/demo/collaborators",
            json!({"user": "Other@example.com", "silent": true}),
        )
        .await
        .expect(201);
    assert_eq!(made["role"], "collaborator");
    assert_eq!(made["user"]["email"], "other@example.com");
    assert_eq!(made["permissions"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_collaborator_does_everything_but_own() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    rig.deploy(app, &[("web", "x")]).await;
    rig.dyno(app, "web.1").await;
    share(&rig).await;
    for path in ["/apps", "/users/~/apps"] {
        let apps = rig.call_as(OTHER, "GET", path, None).await.expect(200);
        assert_eq!(apps[0]["name"], "demo");
        assert_eq!(apps[0]["owner"]["email"], "dev@example.com");
    }
    for (method, path, body) in doors() {
        let answer = rig.call_as(OTHER, method, &path, Some(body)).await;
        let owners_only = [
            ("DELETE", "/apps/demo"),
            ("POST", "/apps/demo/collaborators"),
            ("DELETE", "/apps/demo/collaborators/x"),
        ];
        if owners_only.contains(&(method, path.as_str())) {
            answer.refused(403, "forbidden");
            continue;
        }
        assert!(
            ![401, 403, 500].contains(&answer.status),
            "{method} {path}: {}",
            answer.text
        );
        if answer.status == 404 {
            assert_ne!(answer.json()["resource"], "app", "{method} {path}");
        }
    }
    rig.call_as(OTHER, "PATCH", "/apps/demo", Some(json!({"name": "mine"})))
        .await
        .refused(403, "forbidden");
    let log = rig.log(app).await;
    assert!(
        log.contains(&"Added collaborator other@example.com by user dev@example.com".to_owned())
    );
}

#[tokio::test]
async fn who_works_on_an_app_is_listed_added_once_and_may_leave() {
    let rig = Rig::new().await;
    rig.app("demo").await;
    share(&rig).await;
    let path = "/apps/demo/collaborators";
    for user in ["other@example.com", "dev@example.com", "nobody@example.com"] {
        rig.call("POST", path, json!({"user": user}))
            .await
            .refused(422, "invalid_params");
    }
    let listed = rig.get(path).await.expect(200);
    let roles: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["role"].as_str().unwrap())
        .collect();
    assert_eq!(roles, ["owner", "collaborator"]);
    let id = listed[1]["id"].as_str().unwrap();
    assert_eq!(
        rig.get(&format!("{path}/{id}")).await.expect(200),
        listed[1]
    );

    let narrow = rig
        .call("POST", "/oauth/authorizations", json!({"scope": ["write"]}))
        .await
        .expect(201);
    let narrow = narrow["access_token"]["token"].as_str().unwrap();
    rig.call_as(narrow, "DELETE", &format!("{path}/{id}"), None)
        .await
        .refused(403, "forbidden");

    let own = format!("{path}/other@example.com");
    rig.call_as(OTHER, "DELETE", &own, None).await.expect(200);
    let answer = rig.call_as(OTHER, "GET", "/apps/demo", None).await;
    answer.refused(404, "not_found");
    assert_eq!(answer.json()["resource"], "app");
    let gone = rig.call("DELETE", &own, json!({})).await;
    gone.refused(404, "not_found");
    assert_eq!(gone.json()["resource"], "collaborator");
    rig.call("DELETE", &format!("{path}/dev@example.com"), json!({}))
        .await
        .refused(422, "invalid_params");
}
