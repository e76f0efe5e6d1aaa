//! Headers, pages, bodies: what holds for every resource.

use axum::body::Body;
use http::Request;
use serde_json::json;

use crate::rig::{DEV, Rig};

fn request() -> http::request::Builder {
    Request::builder().header("authorization", format!("Bearer {DEV}"))
}

#[tokio::test]
async fn every_answer_carries_an_id_of_its_own_and_may_not_be_shared() {
    let rig = Rig::new().await;
    let first = rig.get("/account").await;
    let second = rig.get("/nowhere").await;
    assert_ne!(first.header("request-id"), second.header("request-id"));
    assert_eq!(first.header("request-id").unwrap().len(), 36);
    assert_eq!(first.header("cache-control"), Some("private, no-cache"));
    assert_eq!(first.header("vary"), Some("Authorization, Accept"));
    assert_eq!(first.header("content-type"), Some("application/json"));
    second.refused(404, "not_found");
    rig.call("PUT", "/apps", json!({}))
        .await
        .refused(404, "not_found");
    rig.call("DELETE", "/account", json!({}))
        .await
        .refused(404, "not_found");
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let rig = Rig::new().await;
    rig.app("demo").await;
    let tag = rig
        .get("/apps/demo")
        .await
        .header("etag")
        .unwrap()
        .to_owned();
    for (known, status) in [
        (tag.clone(), 304),
        (format!("\"x\", W/{tag}"), 304),
        ("*".to_owned(), 304),
        ("\"x\"".to_owned(), 200),
    ] {
        let again = request().uri("/apps/demo").header("if-none-match", &known);
        let answer = rig.send(again.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, status, "{known}");
        assert_eq!(answer.text.is_empty(), status == 304);
    }
    rig.call("PATCH", "/apps/demo", json!({"maintenance": true}))
        .await
        .expect(200);
    assert_ne!(
        rig.get("/apps/demo").await.header("etag"),
        Some(tag.as_str())
    );
}

#[tokio::test]
async fn other_versions_are_refused() {
    let rig = Rig::new().await;
    for (accept, status) in [
        ("application/vnd.heroku+json; version=3.sdk", 200),
        ("application/json", 200),
        ("application/vnd.heroku+json; version=4", 406),
    ] {
        let asked = request().uri("/account").header("accept", accept);
        let answer = rig.send(asked.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, status, "{accept}");
    }
}

#[tokio::test]
async fn a_list_of_201_comes_in_two_pages() {
    let rig = Rig::new().await;
    for n in 0..201 {
        rig.app(&format!("app-{n:03}")).await;
    }
    let first = rig.get("/apps").await;
    assert_eq!(first.status, 206);
    assert_eq!(first.json().as_array().unwrap().len(), 200);
    assert_eq!(first.header("accept-ranges"), Some("id, name, updated_at"));
    let next = first.header("next-range").unwrap().to_owned();
    let rest = rig.get_range("/apps", &next).await;
    assert_eq!(rest.status, 200);
    assert_eq!(rest.json().as_array().unwrap().len(), 1);
    assert_eq!(rest.header("next-range"), None);

    let named = rig.get_range("/apps", "name ..; max=2").await;
    assert_eq!(named.header("content-range"), Some("name app-000..app-001"));
    assert_eq!(named.header("next-range"), Some("name ]app-001..; max=2"));
    assert_eq!(
        rig.get_range("/apps", "id ..; max=1000;")
            .await
            .json()
            .as_array()
            .unwrap()
            .len(),
        201
    );
    assert_eq!(rig.get_range("/apps", "").await.status, 206);
    for bad in [
        "bytes=0-99",
        "colour ..",
        "name ..; max=x",
        "updated_at yesterday..",
    ] {
        rig.get_range("/apps", bad)
            .await
            .refused(416, "requested_range_not_satisfiable");
    }
}

#[tokio::test]
async fn bodies_are_limited_and_understood_or_refused() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    let send = async |body: Body, length: Option<usize>| {
        let mut builder = request().method("PATCH").uri("/apps/demo");
        if let Some(length) = length {
            builder = builder.header("content-length", length);
        }
        rig.send(builder.body(body).unwrap()).await
    };
    send(Body::from("{"), None)
        .await
        .refused(400, "bad_request");
    send(Body::from("\u{0}"), None)
        .await
        .refused(400, "bad_request");
    send(Body::from(r#"{"maintenance":"yes"}"#), None)
        .await
        .refused(422, "invalid_params");
    send(Body::from("[]"), None)
        .await
        .refused(422, "invalid_params");
    send(
        Body::from(r#"{"maintenance":true,"colour":{"a":[1]}}"#),
        None,
    )
    .await
    .expect(200);
    send(Body::empty(), None).await.expect(200);
    send(Body::from("{}"), Some(2 << 20))
        .await
        .refused(413, "bad_request");
    let huge = vec![b' '; (1 << 20) + 1];
    send(Body::from(huge), None)
        .await
        .refused(413, "bad_request");
    rig.get("/apps/%ff").await.refused(400, "bad_request");
    assert!(
        rig.log(app)
            .await
            .iter()
            .any(|line| line.starts_with("Maintenance mode enabled"))
    );
}
