//! Log drains: each way to name one, what is refused, and who sees their addresses.

use std::sync::atomic::Ordering;

use http::Request;
use ropewalk_model::Egress;
use serde_json::{Value, json};

use crate::rig::{OTHER, Rig};

const LIST: &str = "/apps/demo/log-drains";
const SECRET: &str = "https://me:hunter2@logs.example.com/in/k3y?k=4";

fn encoded(text: &str) -> String {
    let plain = |byte: u8| match byte {
        b if b.is_ascii_alphanumeric() => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    };
    text.bytes().map(plain).collect()
}

async fn add(rig: &Rig, url: &str) -> crate::rig::Answer {
    rig.call("POST", LIST, json!({"url": url})).await
}

#[tokio::test]
async fn a_drain_is_added_found_and_removed_by_each_of_its_names() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    for (n, name) in ["id", "token", "url"].into_iter().enumerate() {
        let made = add(&rig, SECRET).await.expect(201);
        assert_eq!(made["url"], SECRET);
        assert_eq!(made["addon"], Value::Null);
        assert_eq!(made["app"], json!({"id": app.to_string(), "name": "demo"}));
        assert!(made["token"].as_str().unwrap().starts_with("d."));
        let path = format!("{LIST}/{}", encoded(made[name].as_str().unwrap()));
        assert_eq!(rig.get(&path).await.expect(200), made);
        assert_eq!(rig.get(LIST).await.expect(200), json!([made]));
        let gone = rig.call("DELETE", &path, json!({})).await.expect(200);
        assert_eq!(gone, made);
        assert_eq!(rig.get(LIST).await.expect(200), json!([]));
        rig.get(&path).await.refused(404, "not_found");
        rig.call("DELETE", &path, json!({}))
            .await
            .refused(404, "not_found");
        let changes = rig.platform.drain_changes.load(Ordering::SeqCst);
        assert_eq!(changes, 2 * (n as u32 + 1));
    }
    let log = rig.log(app).await.join("\n");
    assert!(log.contains("Log drain d.") && log.contains("removed by user"));
    assert!(!log.contains("hunter2") && !log.contains("k3y"), "{log}");
}

#[tokio::test]
async fn what_cannot_be_a_drain_is_refused() {
    let rig = Rig::new().await;
    rig.app("demo").await;
    for url in [
        "",
        "logs.example.com",
        "ftp://logs.example.com",
        "file:///etc/passwd",
        "http://logs.example.com",
        "https://127.0.0.1/",
        "https://[::1]:8443/",
        "https://[::ffff:10.0.0.1]/",
        "https://2130706433/",
        "https://0x7f.0.0.1/",
        "syslog://169.254.169.254:514",
        "syslog://10.0.0.1:514",
        "https://a/\r\nX-Y: z",
    ] {
        let message = add(&rig, url).await.refused(422, "invalid_params");
        assert!(message.contains("rain"), "{url}: {message}");
    }
    let long = format!("https://logs.example.com/{}", "x".repeat(2048));
    add(&rig, &long).await.refused(422, "invalid_params");
    rig.call("POST", LIST, json!({"url": 7}))
        .await
        .refused(422, "invalid_params");
    rig.call("POST", LIST, json!({}))
        .await
        .refused(422, "invalid_params");
    add(&rig, "syslog://logs.example.com:514").await.expect(201);
    let again = add(&rig, "SYSLOG://Logs.Example.com:514/").await;
    assert!(again.refused(422, "invalid_params").contains("already"));
    for n in 1..10 {
        let url = format!("syslog+tls://logs.example.com:{n}");
        add(&rig, &url).await.expect(201);
    }
    let message = add(&rig, "https://logs.example.com").await;
    assert!(
        message
            .refused(422, "invalid_params")
            .contains("at most 10")
    );

    let mut ctx = rig.ctx.clone();
    ctx.egress = Egress::new(vec!["10.0.0.0/8".parse().unwrap()]);
    let router = ropewalk_api::routes(ctx);
    let rig = Rig { router, ..rig };
    rig.app("other").await;
    for (url, status) in [
        ("http://10.1.2.3:8080/in", 201),
        ("syslog://10.0.0.1", 201),
        ("http://logs.internal", 201),
        ("http://192.168.0.1", 422),
        ("http://8.8.8.8", 422),
        ("syslog://127.0.0.1:514", 422),
    ] {
        let answer = rig
            .call("POST", "/apps/other/log-drains", json!({"url": url}))
            .await;
        assert_eq!(answer.status, status, "{url} {}", answer.text);
    }
}

#[tokio::test]
async fn only_who_may_read_config_vars_sees_an_address_whole() {
    let rig = Rig::new().await;
    rig.app("demo").await;
    let made = add(&rig, SECRET).await.expect(201);
    let token = made["token"].as_str().unwrap();
    let path = format!("{LIST}/{token}");
    let mut tokens = Vec::new();
    for scope in ["read", "read-protected", "write"] {
        let asked = json!({"scope": [scope]});
        let made = rig.call("POST", "/oauth/authorizations", asked).await;
        let text = made.expect(201)["access_token"]["token"].clone();
        tokens.push(text.as_str().unwrap().to_owned());
    }
    let [read, protected, write] = &tokens[..] else {
        panic!("three tokens");
    };
    let struck = "https://*****@logs.example.com/*****";
    let seen = rig.call_as(read, "GET", &path, None).await.expect(200);
    assert_eq!(seen["url"], struck);
    let seen = rig.call_as(read, "GET", LIST, None).await.expect(200);
    assert_eq!(seen[0]["url"], struck);
    let seen = rig.call_as(protected, "GET", &path, None).await.expect(200);
    assert_eq!(seen["url"], SECRET);
    rig.call_as(read, "DELETE", &path, None)
        .await
        .refused(403, "forbidden");
    for method in ["GET", "DELETE"] {
        rig.call_as(OTHER, method, &path, None)
            .await
            .refused(404, "not_found");
    }
    rig.call_as(OTHER, "POST", LIST, Some(json!({"url": SECRET})))
        .await
        .refused(404, "not_found");
    let bare = Request::builder().uri(LIST);
    let bare = bare.body(axum::body::Body::empty()).unwrap();
    rig.send(bare).await.refused(401, "unauthorized");
    let gone = rig.call_as(write, "DELETE", &path, None).await.expect(200);
    assert_eq!(gone["url"], struck);
}
