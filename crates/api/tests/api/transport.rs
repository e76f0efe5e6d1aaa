//! Headers, pages, bodies: what holds for every resource.

use axum::body::Body;
use http::Request;
use serde_json::json;

use crate::rig::{DEV, OTHER, Rig};

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

#[tokio::test]
async fn bodies_of_another_type_are_refused_as_such_and_json_is_taken_whatever_it_is_called() {
    let rig = Rig::new().await;
    rig.app("demo").await;
    let send = async |named: &str, body: &str| {
        let request = request()
            .method("PATCH")
            .uri("/apps/demo")
            .header("content-type", named);
        rig.send(request.body(Body::from(body.to_owned())).unwrap())
            .await
    };
    for named in [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/vnd.heroku+json; version=3",
        "",
        "application/x-www-form-urlencoded",
    ] {
        send(named, r#"{"maintenance":true}"#).await.expect(200);
        send(named, "").await.expect(200);
    }
    for named in ["application/json", "application/vnd.heroku+json", ""] {
        send(named, "maintenance=true")
            .await
            .refused(400, "bad_request");
    }
    for named in [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/xml",
        "nonsense",
    ] {
        let message = send(named, "maintenance=true")
            .await
            .refused(415, "unsupported");
        assert!(message.contains("application/json"), "{message}");
    }
}

#[tokio::test]
async fn an_error_about_an_app_names_it_to_those_who_may_see_it() {
    let rig = Rig::new().await;
    let id = rig.app("demo").await;
    let about = json!({"id": id.to_string(), "name": "demo"});
    for (method, path, body) in [
        ("GET", "/apps/demo/dynos/web.1", json!({})),
        ("GET", "/apps/demo/features/nothing", json!({})),
        ("PATCH", "/apps/demo", json!({"name": "A B"})),
        ("PATCH", "/apps/demo/config-vars", json!({"A": 1})),
        ("POST", "/apps/demo/dynos", json!({"command": "date"})),
    ] {
        let answer = rig.call(method, path, body.clone()).await;
        assert_eq!(answer.json()["app"], about, "{path}: {}", answer.text);
        let hidden = rig.call_as(OTHER, method, path, Some(body)).await;
        hidden.refused(404, "not_found");
        assert_eq!(hidden.json().get("app"), None, "{path}");
    }
    assert_eq!(rig.get("/apps/nope").await.json().get("app"), None);
    assert_eq!(rig.get("/regions/eu").await.json().get("app"), None);
}

#[tokio::test]
async fn head_says_what_get_says_without_the_body() {
    let rig = Rig::new().await;
    rig.app("demo").await;
    for (path, status) in [
        ("/apps/demo", 200),
        ("/apps", 200),
        ("/apps/nope", 404),
        ("/nowhere", 404),
    ] {
        let get = rig.get(path).await;
        let head = rig.call_as(DEV, "HEAD", path, None).await;
        assert_eq!((get.status, head.status), (status, status), "{path}");
        for name in ["etag", "content-type", "accept-ranges", "cache-control"] {
            assert_eq!(get.header(name), head.header(name), "{path} {name}");
        }
    }
    assert_eq!(rig.call_as(DEV, "HEAD", "/apps/demo", None).await.text, "");
    let tag = rig
        .get("/apps/demo")
        .await
        .header("etag")
        .unwrap()
        .to_owned();
    let again = request()
        .method("HEAD")
        .uri("/apps/demo")
        .header("if-none-match", tag);
    let answer = rig.send(again.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, 304);
}

#[tokio::test]
async fn pages_of_other_origins_may_ask_and_read() {
    let rig = Rig::new().await;
    for path in ["/apps", "/apps/demo/config-vars", "/nowhere"] {
        let preflight = Request::builder()
            .method("OPTIONS")
            .uri(path)
            .header("origin", "https://dashboard.example.com")
            .header("access-control-request-method", "PATCH")
            .header("access-control-request-headers", "authorization, range");
        let answer = rig.send(preflight.body(Body::empty()).unwrap()).await;
        assert_eq!((answer.status, answer.text.as_str()), (204, ""), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        let methods = answer.header("access-control-allow-methods").unwrap();
        assert!(methods.contains("PATCH") && methods.contains("DELETE"));
        let headers = answer.header("access-control-allow-headers").unwrap();
        assert!(headers.contains("Authorization") && headers.contains("Range"));
    }
    let read = request()
        .uri("/account")
        .header("origin", "https://dashboard.example.com");
    let answer = rig.send(read.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let shown = answer.header("access-control-expose-headers").unwrap();
    assert!(shown.contains("Next-Range") && shown.contains("Request-Id"));
    // Without cookies there is nothing for which a browser's own credentials would be needed.
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    // An OPTIONS that is no preflight is a method that is not there.
    rig.call_as(DEV, "OPTIONS", "/apps", None)
        .await
        .refused(404, "not_found");
}

#[tokio::test]
async fn nothing_is_compressed() {
    let rig = Rig::new().await;
    for n in 0..50 {
        rig.app(&format!("app-{n}")).await;
    }
    let asked = request().uri("/apps").header("accept-encoding", "gzip, br");
    let answer = rig.send(asked.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.header("content-encoding"), None);
    assert_eq!(answer.json().as_array().unwrap().len(), 50);
}

#[tokio::test]
async fn nothing_holds_a_request_past_the_deadline() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    rig.deploy(app, &[("web", "x")]).await;
    // From here on time passes as fast as nothing else happens.
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    let answer = rig
        .call("POST", "/apps/demo/dynos", json!({"command": "hang"}))
        .await;
    answer.refused(503, "maintenance");
    assert_eq!(answer.json()["app"]["name"], "demo");
    assert_eq!(began.elapsed().as_secs(), 25);
}

#[tokio::test]
async fn things_are_found_by_name_and_by_id() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    let release = rig.deploy(app, &[("web", "x")]).await;
    rig.dyno(app, "web.1").await;
    rig.call(
        "POST",
        "/apps/demo/domains",
        json!({"hostname": "www.example.com"}),
    )
    .await
    .expect(202);
    for (path, other_names) in [
        ("/apps/demo".to_owned(), vec![]),
        ("/apps/demo/dynos/web.1".to_owned(), vec![]),
        (
            "/apps/demo/domains/www.example.com".to_owned(),
            vec!["WWW.EXAMPLE.COM"],
        ),
        ("/apps/demo/formation/web".to_owned(), vec![]),
        ("/apps/demo/features/preboot".to_owned(), vec![]),
        (
            "/apps/demo/collaborators/dev@example.com".to_owned(),
            vec!["Dev@Example.com"],
        ),
        (
            format!("/apps/demo/releases/{}", release.version),
            vec!["v2"],
        ),
        ("/dyno-sizes/Standard-1X".to_owned(), vec!["standard-1x"]),
        ("/stacks/debian-13".to_owned(), vec![]),
        ("/regions/us".to_owned(), vec![]),
        ("/users/~".to_owned(), vec!["dev@example.com"]),
    ] {
        let by_name = rig.get(&path).await.expect(200);
        let id = by_name["id"].as_str().unwrap();
        let (parent, _) = path.rsplit_once('/').unwrap();
        for key in other_names.into_iter().chain([id]) {
            let found = rig.get(&format!("{parent}/{key}")).await.expect(200);
            assert_eq!(found, by_name, "{parent}/{key}");
        }
        let below = path.replacen("/apps/demo/", &format!("/apps/{app}/"), 1);
        assert_eq!(rig.get(&below).await.expect(200), by_name, "{below}");
    }
}
