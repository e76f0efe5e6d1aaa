//! Who may do what, by which token.

use axum::body::Body;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::Request;
use ropewalk_api::Rate;
use serde_json::json;

use crate::rig::{ADMIN, Answer, DEV, OTHER, PASSWORD, Rig};

/// The least that a login says.
pub(crate) const LOGIN: &str = r#"{"scope":["global"]}"#;

pub(crate) async fn with_header(
    rig: &Rig,
    method: &str,
    path: &str,
    header: &str,
    body: &str,
) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", header)
        .body(Body::from(body.to_owned()));
    rig.send(request.unwrap()).await
}

pub(crate) fn basic(text: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(text))
}

/// Every path below an app, with a body that would fit.
pub(crate) fn doors() -> Vec<(&'static str, String, serde_json::Value)> {
    let mut doors = Vec::new();
    for (method, rest, body) in [
        ("GET", "", json!({})),
        ("PATCH", "", json!({"maintenance": false})),
        ("GET", "/config-vars", json!({})),
        ("PATCH", "/config-vars", json!({})),
        ("GET", "/releases", json!({})),
        ("GET", "/releases/1", json!({})),
        ("GET", "/releases/1/config-vars", json!({})),
        ("POST", "/releases", json!({"release": "1"})),
        ("GET", "/formation", json!({})),
        (
            "PATCH",
            "/formation",
            json!({"updates": [{"type": "web", "quantity": 1}]}),
        ),
        ("GET", "/formation/web", json!({})),
        ("PATCH", "/formation/web", json!({"quantity": 1})),
        ("GET", "/formation/web/monitors", json!({})),
        (
            "POST",
            "/formation/web/monitors",
            json!({"min_quantity": 1, "max_quantity": 2}),
        ),
        ("GET", "/formation/web/monitors/x", json!({})),
        ("PATCH", "/formation/web/monitors/x", json!({})),
        ("GET", "/dynos", json!({})),
        ("POST", "/dynos", json!({"command": "env"})),
        ("DELETE", "/dynos", json!({})),
        ("GET", "/dynos/web.1", json!({})),
        ("POST", "/dynos/web.1", json!({"command": "env"})),
        ("DELETE", "/dynos/web.1", json!({})),
        ("POST", "/dynos/web.1/actions/stop", json!({})),
        ("DELETE", "/formations/web", json!({})),
        ("POST", "/formations/web/actions/stop", json!({})),
        ("GET", "/builds", json!({})),
        ("POST", "/builds", json!({})),
        (
            "DELETE",
            "/builds/00000000-0000-0000-0000-000000000000",
            json!({}),
        ),
        ("DELETE", "/build-cache", json!({})),
        ("POST", "/sources", json!({})),
        (
            "GET",
            "/builds/00000000-0000-0000-0000-000000000000",
            json!({}),
        ),
        ("GET", "/buildpack-installations", json!({})),
        ("PUT", "/buildpack-installations", json!({"updates": []})),
        ("GET", "/domains", json!({})),
        ("POST", "/domains", json!({"hostname": "a.example.com"})),
        ("GET", "/domains/a.example.com", json!({})),
        (
            "PATCH",
            "/domains/a.example.com",
            json!({"sni_endpoint": null}),
        ),
        ("DELETE", "/domains/a.example.com", json!({})),
        ("POST", "/acm", json!({})),
        ("PATCH", "/acm", json!({"acm_refresh": true})),
        ("DELETE", "/acm", json!({})),
        ("POST", "/slugs", json!({})),
        (
            "GET",
            "/slugs/00000000-0000-0000-0000-000000000000",
            json!({}),
        ),
        ("GET", "/features", json!({})),
        ("GET", "/features/x", json!({})),
        ("GET", "/collaborators", json!({})),
        (
            "POST",
            "/collaborators",
            json!({"user": "nobody@example.com"}),
        ),
        ("GET", "/collaborators/x", json!({})),
        ("DELETE", "/collaborators/x", json!({})),
        ("PUT", "/pre-authorizations", json!({})),
        ("POST", "/log-sessions", json!({})),
        ("GET", "/addons", json!({})),
        ("GET", "/pipeline-couplings", json!({})),
        ("GET", "/available-dyno-sizes", json!({})),
        ("GET", "/available-stacks", json!({})),
        ("DELETE", "", json!({})),
    ] {
        doors.push((method, format!("/apps/demo{rest}"), body));
    }
    doors
}

#[tokio::test]
async fn nobody_and_other_people_get_nowhere() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    rig.deploy(app, &[("web", "x")]).await;
    rig.dyno(app, "web.1").await;
    let before = rig.get("/apps/demo").await.text;
    for (method, path, body) in doors() {
        let request = Request::builder().method(method).uri(&path);
        let answer = rig
            .send(request.body(Body::from(body.to_string())).unwrap())
            .await;
        answer.refused(401, "unauthorized");
        assert!(answer.header("www-authenticate").is_some());
        rig.call_as("wrong", method, &path, Some(body.clone()))
            .await
            .refused(401, "unauthorized");
        let answer = rig.call_as(OTHER, method, &path, Some(body)).await;
        answer.refused(404, "not_found");
        assert_eq!(answer.json()["resource"], "app", "{method} {path}");
        assert_eq!(answer.json()["message"], "Couldn't find that app.");
    }
    assert_eq!(rig.get("/apps/demo").await.text, before);
    assert_eq!(
        rig.call_as(OTHER, "GET", "/apps", None).await.json(),
        json!([])
    );
    for path in [
        "/account",
        "/apps",
        "/stacks",
        "/regions",
        "/dyno-sizes",
        "/oauth/authorizations",
        "/ropewalk/status",
        "/ropewalk/tasks",
        "/ropewalk/dyno-sizes",
    ] {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        rig.send(request).await.refused(401, "unauthorized");
    }
}

#[tokio::test]
async fn owners_and_administrators_get_through_every_door() {
    for token in [DEV, ADMIN] {
        let rig = Rig::new().await;
        let app = rig.app("demo").await;
        rig.deploy(app, &[("web", "x")]).await;
        rig.dyno(app, "web.1").await;
        for (method, path, body) in doors() {
            let answer = rig.call_as(token, method, &path, Some(body)).await;
            assert!(
                ![401, 403, 500].contains(&answer.status),
                "{method} {path}: {}",
                answer.text
            );
            if answer.status == 404 {
                assert_ne!(answer.json()["resource"], "app", "{method} {path}");
            }
        }
    }
    let rig = Rig::new().await;
    rig.app("demo").await;
    assert_eq!(
        rig.call_as(ADMIN, "GET", "/apps", None)
            .await
            .json()
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        rig.call_as(ADMIN, "GET", "/users/~/apps", None)
            .await
            .json(),
        json!([])
    );
    let status = rig
        .call_as(ADMIN, "GET", "/ropewalk/status", None)
        .await
        .expect(200);
    assert_eq!(status["server"]["pid"], 1);
    assert_eq!(status["router"], json!(null));
    let tasks = rig
        .call_as(ADMIN, "GET", "/ropewalk/tasks", None)
        .await
        .expect(200);
    assert_eq!(tasks[0]["name"], "scheduler");
    assert_eq!(tasks[0]["rounds"]["last_at"], "2026-01-01T00:00:00Z");
    assert_eq!(tasks[0]["rounds"]["late"], false);
}

#[tokio::test]
async fn a_token_is_taken_in_every_form_clients_send() {
    let rig = Rig::new().await;
    rig.set_password().await;
    for header in [
        format!("Bearer {DEV}"),
        basic(&format!(":{DEV}")),
        basic(&format!("dev@example.com:{DEV}")),
        basic(&format!("heroku:{DEV}")),
        basic(&format!("_:{DEV}")),
    ] {
        let answer = with_header(&rig, "GET", "/account", &header, "").await;
        assert_eq!(answer.expect(200)["email"], "dev@example.com", "{header}");
    }
    let password = basic(&format!("dev@example.com:{PASSWORD}"));
    with_header(&rig, "GET", "/account", &password, "")
        .await
        .refused(401, "unauthorized");
}

#[tokio::test]
async fn a_password_makes_a_token_and_the_token_ends() {
    let rig = Rig::new().await;
    rig.set_password().await;
    let login = basic(&format!("Dev@Example.com:{PASSWORD}"));
    let path = "/oauth/authorizations";
    let body = r#"{"description":"CLI login","expires_in":2592000,"scope":["global"]}"#;
    let made = with_header(&rig, "POST", path, &login, body)
        .await
        .expect(201);
    assert_eq!(made["user"]["email"], "dev@example.com");
    let token = made["access_token"]["token"].as_str().unwrap().to_owned();
    assert!(token.len() >= 32);
    assert!(made["access_token"]["expires_in"].as_u64().unwrap() > 2_591_000);

    let listed = rig.call_as(&token, "GET", path, None).await;
    let listed_json = listed.expect(200);
    assert_eq!(listed_json.as_array().unwrap().len(), 2);
    assert!(!listed.text.contains(&token), "tokens are shown redacted");
    let hint = format!("{}**********{}", &token[..4], &token[token.len() - 4..]);
    assert!(listed.text.contains(&hint), "{}", listed.text);

    let id = made["id"].as_str().unwrap();
    rig.call_as(OTHER, "DELETE", &format!("{path}/{id}"), None)
        .await
        .refused(404, "not_found");
    rig.call_as(&token, "DELETE", &format!("{path}/~"), None)
        .await
        .expect(200);
    rig.call_as(&token, "GET", "/account", None)
        .await
        .refused(401, "unauthorized");
}

#[tokio::test]
async fn wrong_passwords_are_refused_and_counted() {
    let rig = Rig::new().await;
    rig.set_password().await;
    let path = "/oauth/authorizations";
    for who in ["dev@example.com", "nobody@example.com", "admin@example.com"] {
        let wrong = basic(&format!("{who}:wrong"));
        with_header(&rig, "POST", path, &wrong, LOGIN)
            .await
            .refused(401, "unauthorized");
    }
    for _ in 0..4 {
        with_header(&rig, "POST", path, &basic("dev@example.com:wrong"), LOGIN)
            .await
            .refused(401, "unauthorized");
    }
    let right = basic(&format!("dev@example.com:{PASSWORD}"));
    let answer = with_header(&rig, "POST", path, &right, LOGIN).await;
    answer.refused(429, "rate_limit");
    assert_eq!(answer.header("ratelimit-remaining"), Some("0"));
}

#[tokio::test]
async fn where_nobody_has_a_password_none_is_checked() {
    let rig = Rig::new().await;
    for _ in 0..20 {
        let wrong = basic("dev@example.com:wrong");
        with_header(&rig, "POST", "/oauth/authorizations", &wrong, LOGIN)
            .await
            .refused(401, "unauthorized");
    }
}

#[tokio::test]
async fn a_flood_of_logins_is_sent_away_while_two_are_checked() {
    let rig = Rig::new().await;
    rig.set_password().await;
    let tries = (0..60).map(|n| {
        let rig = &rig;
        async move {
            let who = basic(&format!("nobody{n}@example.com:wrong"));
            with_header(rig, "POST", "/oauth/authorizations", &who, LOGIN)
                .await
                .status
        }
    });
    let answers = futures_util::future::join_all(tries).await;
    let count = |status| answers.iter().filter(|one| **one == status).count();
    assert_eq!(count(401) + count(429), 60);
    assert!(count(401) >= 16 && count(429) >= 1, "{answers:?}");
}

#[tokio::test]
async fn tokens_are_described_renewed_and_ended() {
    let rig = Rig::new().await;
    let path = "/oauth/authorizations";
    let body = json!({"scope": ["read", "identity", "read"], "expires_in": 3600, "description": "CI\u{202e}"});
    let made = rig.call("POST", path, body).await.expect(201);
    assert_eq!(made["scope"], json!(["identity", "read"]));
    assert_eq!(made["description"], "CI");
    assert_eq!(made["session"], json!(null));
    // As Heroku's own client spells it, and as nobody does.
    let typed = json!({"scope": ["read"], "expires_in": "600"});
    let typed = rig.call("POST", path, typed).await.expect(201);
    assert!(typed["access_token"]["expires_in"].as_u64().unwrap() > 590);
    for odd in [json!("soon"), json!(-1), json!(1.5), json!([])] {
        rig.call("POST", path, json!({"scope": ["read"], "expires_in": odd}))
            .await
            .refused(422, "invalid_params");
    }
    let one = format!("{path}/{}", made["id"].as_str().unwrap());
    let first = made["access_token"]["token"].as_str().unwrap().to_owned();
    let named = rig
        .call("PATCH", &one, json!({"description": "CI of demo"}))
        .await
        .expect(200);
    assert_eq!(named["description"], "CI of demo");
    rig.call("PATCH", &one, json!({"client": {"id": "x", "secret": "y"}}))
        .await
        .refused(422, "invalid_params");

    // Only who may make tokens may renew this one, its own bearer included.
    let renew = format!("{one}/actions/regenerate-tokens");
    rig.call_as(&first, "POST", &renew, None)
        .await
        .refused(403, "forbidden");
    rig.call_as(OTHER, "POST", &renew, None)
        .await
        .refused(404, "not_found");
    let renewed = rig.call("POST", &renew, json!({})).await.expect(201);
    let second = renewed["access_token"]["token"].as_str().unwrap();
    assert_ne!(second, first);
    assert_eq!(renewed["id"], made["id"]);
    assert!(renewed["access_token"]["expires_in"].as_u64().unwrap() > 3_500);
    rig.call_as(&first, "GET", "/account", None)
        .await
        .refused(401, "unauthorized");
    rig.call_as(second, "GET", "/account", None)
        .await
        .expect(200);
    let own = rig
        .call_as(second, "GET", &format!("{path}/~"), None)
        .await
        .expect(200);
    assert_eq!(own["id"], made["id"]);
    rig.call("DELETE", &one, json!({})).await.expect(200);
    let gone = rig.call("DELETE", &one, json!({})).await;
    gone.refused(404, "not_found");
    assert_eq!(gone.json()["resource"], "authorization");
}

#[tokio::test]
async fn logging_in_makes_a_session_and_logging_out_ends_it() {
    let rig = Rig::new().await;
    rig.set_password().await;
    let login = basic(&format!("dev@example.com:{PASSWORD}"));
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let made = with_header(&rig, "POST", "/oauth/authorizations", &login, LOGIN)
            .await
            .expect(201);
        assert_eq!(made["session"]["id"], made["id"]);
        tokens.push(made["access_token"]["token"].as_str().unwrap().to_owned());
    }
    let sessions = rig.get("/oauth/sessions").await.expect(200);
    assert_eq!(sessions.as_array().unwrap().len(), 2);
    let account = rig.get("/account").await.expect(200);
    assert!(account["last_login"].is_string());

    // A token that was asked for is no session.
    let none = rig.call("DELETE", "/oauth/sessions/~", json!({})).await;
    none.refused(404, "not_found");
    assert_eq!(none.json()["resource"], "session");

    rig.call_as(&tokens[0], "DELETE", "/oauth/sessions/~", None)
        .await
        .expect(200);
    rig.call_as(&tokens[0], "GET", "/account", None)
        .await
        .refused(401, "unauthorized");
    let left = rig.get("/oauth/sessions").await.expect(200);
    let id = left[0]["id"].as_str().unwrap();
    rig.call_as(OTHER, "DELETE", &format!("/oauth/sessions/{id}"), None)
        .await
        .refused(404, "not_found");
    rig.call("DELETE", &format!("/oauth/sessions/{id}"), json!({}))
        .await
        .expect(200);
    rig.call_as(&tokens[1], "GET", "/account", None)
        .await
        .refused(401, "unauthorized");
}

#[tokio::test]
async fn a_token_reaches_as_far_as_its_scope() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    rig.deploy(app, &[("web", "x")]).await;
    let make = async |scope: &str| {
        let made = rig
            .call("POST", "/oauth/authorizations", json!({"scope": [scope]}))
            .await
            .expect(201);
        made["access_token"]["token"].as_str().unwrap().to_owned()
    };
    let read = make("read").await;
    rig.call_as(&read, "GET", "/apps/demo", None)
        .await
        .expect(200);
    rig.call_as(&read, "GET", "/apps/demo/config-vars", None)
        .await
        .refused(403, "forbidden");
    rig.call_as(
        &read,
        "PATCH",
        "/apps/demo",
        Some(json!({"maintenance": true})),
    )
    .await
    .refused(403, "forbidden");
    let write = make("write").await;
    rig.call_as(
        &write,
        "PATCH",
        "/apps/demo",
        Some(json!({"maintenance": true})),
    )
    .await
    .expect(200);
    rig.call_as(
        &write,
        "POST",
        "/apps/demo/dynos",
        Some(json!({"command": "env"})),
    )
    .await
    .refused(403, "forbidden");
    rig.call_as(
        &write,
        "POST",
        "/oauth/authorizations",
        Some(json!({"scope": ["global"]})),
    )
    .await
    .refused(403, "forbidden");
    let identity = make("identity").await;
    rig.call_as(&identity, "GET", "/account", None)
        .await
        .expect(200);
    rig.call_as(&identity, "GET", "/apps", None)
        .await
        .refused(403, "forbidden");
    rig.call("POST", "/oauth/authorizations", json!({"scope": ["root"]}))
        .await
        .refused(422, "invalid_params");
    rig.call(
        "POST",
        "/oauth/authorizations",
        json!({"scope": ["read"], "expires_in": u64::MAX}),
    )
    .await
    .refused(422, "invalid_params");
}

#[tokio::test]
async fn an_account_has_its_share_of_requests() {
    let rig = Rig::with_rate(Rate {
        burst: 3,
        per_minute: 0,
    })
    .await;
    assert_eq!(
        rig.get("/account").await.header("ratelimit-remaining"),
        Some("2")
    );
    assert_eq!(rig.get("/account/rate-limits").await.json()["remaining"], 1);
    rig.get("/account").await.expect(200);
    let answer = rig.get("/account").await;
    answer.refused(429, "rate_limit");
    assert_eq!(answer.header("ratelimit-remaining"), Some("0"));
    // Making tokens counts too, and says so in the same way.
    let again = rig
        .call("POST", "/oauth/authorizations", json!({"scope": ["read"]}))
        .await;
    again.refused(429, "rate_limit");
    assert_eq!(again.header("ratelimit-remaining"), Some("0"));
    rig.call_as(OTHER, "GET", "/account", None)
        .await
        .expect(200);
}
