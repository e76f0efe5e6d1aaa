//! No secret gets into the platform's own log, however much it is asked to say.

use std::io::Write;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::Request;
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use crate::rig::{ADMIN, DEV, PASSWORD, Rig};

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn config_vars_tokens_passwords_and_addresses_are_never_logged() {
    let captured = Captured::default();
    // Of the whole test program; what other tests log must hold no secret either.
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(captured.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();

    let rig = Rig::new().await;
    rig.set_password().await;
    let app = rig.app("demo").await;
    let secret = "hunter2-hunter2";
    rig.call("PATCH", "/apps/demo/config-vars", json!({"KEY": secret}))
        .await
        .expect(200);
    rig.call("PATCH", "/apps/demo/config-vars", json!({"KEY": [secret]}))
        .await
        .refused(422, "invalid_params");
    rig.get("/apps/demo/config-vars").await.expect(200);
    for (url, status) in [
        (format!("https://me:{secret}@logs.example.com"), 201),
        (format!("https://me:{secret}@127.0.0.1"), 422),
        (format!("ftp://me:{secret}@logs.example.com"), 422),
    ] {
        let answer = rig
            .call("POST", "/apps/demo/log-drains", json!({ "url": url }))
            .await;
        assert_eq!(answer.status, status);
    }
    for user in ["dev", "d:v"] {
        let auth = json!({"basic_auth": {"user": user, "password": secret}});
        rig.call("PATCH", "/ropewalk/apps/demo/edge", auth).await;
    }
    rig.deploy(app, &[("web", "x")]).await;
    for url in [
        format!("https://hooks.example.com/{secret}"),
        secret.to_owned(),
    ] {
        let rule = json!({"max": 2, "targets": [{"kind": "cpu", "goal": 50}],
            "webhook": {"url": url, "secret": format!("{secret}-{secret}")}});
        let path = "/ropewalk/apps/demo/formation/web/autoscale";
        rig.call("PUT", path, rule).await;
    }
    rig.call(
        "POST",
        "/apps/demo/dynos",
        json!({"command": "fail", "env": {"KEY": secret}}),
    )
    .await
    .refused(500, "internal_server_error");
    let session = rig
        .call("POST", "/apps/demo/log-sessions", json!({}))
        .await
        .expect(201);
    let url = session["logplex_url"].as_str().unwrap();
    let path = url.strip_prefix("http://api.apps.test:8080").unwrap();
    rig.send(Request::builder().uri(path).body(Body::empty()).unwrap())
        .await;
    let login = BASE64_STANDARD.encode(format!("dev@example.com:{PASSWORD}"));
    let request = Request::builder()
        .method("POST")
        .uri("/oauth/authorizations")
        .header("authorization", format!("Basic {login}"))
        .body(Body::from(r#"{"scope":["global"]}"#));
    let made = rig.send(request.unwrap()).await.expect(201);
    let token = made["access_token"]["token"].as_str().unwrap();
    rig.call_as(token, "GET", "/account", None)
        .await
        .expect(200);

    let made = rig
        .call_as(
            ADMIN,
            "POST",
            "/ropewalk/users",
            Some(json!({"email": "new@example.com"})),
        )
        .await
        .expect(201);
    let first = made["login_token"].as_str().unwrap();
    let factor = rig
        .call(
            "POST",
            "/ropewalk/two-factor",
            json!({"password": PASSWORD}),
        )
        .await
        .expect(201);
    let factor = factor["secret"].as_str().unwrap();
    let new_password = "a new and better password";
    let asked = json!({"password": PASSWORD, "new_password": new_password});
    rig.call("PATCH", "/account", asked).await.expect(200);
    let request = Request::builder().method("POST").uri("/auth");
    let asked = rig.send(request.body(Body::from("{}")).unwrap()).await;
    let asked = asked.expect(201);
    let browser = asked["browser_url"].as_str().unwrap();
    let form = format!("csrf=x&email=dev%40example.com&password={secret}&action=approve");
    let request = Request::builder()
        .method("POST")
        .uri(browser)
        .header("content-type", "application/x-www-form-urlencoded");
    rig.send(request.body(Body::from(form)).unwrap()).await;
    let browser = browser.rsplit_once('/').unwrap().1;
    let asker = asked["token"].as_str().unwrap();

    let log = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    assert!(
        log.contains("Request answered."),
        "nothing was logged at all"
    );
    assert!(log.contains("/apps/{app}/config-vars"), "{log}");
    let seal = path.rsplit_once('.').unwrap().1;
    for hidden in [
        secret,
        DEV,
        PASSWORD,
        token,
        &login,
        seal,
        first,
        factor,
        new_password,
        browser,
        asker,
    ] {
        assert!(!log.contains(hidden), "{hidden} is in the log");
    }
    let app_log = rig.log(app).await.join("\n");
    assert!(!app_log.contains(secret));
}
