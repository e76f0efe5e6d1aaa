//! Archives in and out, builds begun, cancelled and told of; slugs announced, sent and released.

use axum::body::Body;
use http::Request;
use jiff::Timestamp;
use ropewalk_api::Origin;
use ropewalk_model::SlugId;
use serde_json::{Value, json};

use crate::rig::{DEV, OTHER, Rig};

/// `PUT` or `GET` of an address that needs no token.
async fn at(rig: &Rig, method: &str, url: &Value, body: &str) -> crate::rig::Answer {
    let url = url.as_str().unwrap();
    let path = url.strip_prefix("http://api.apps.test:8080").unwrap();
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-length", body.len());
    rig.send(request.body(Body::from(body.to_owned())).unwrap())
        .await
}

#[tokio::test]
async fn a_source_is_sent_once_and_given_back_by_addresses_that_are_not_each_other() {
    let rig = Rig::new().await;
    let source = rig.call("POST", "/sources", json!({})).await.expect(201);
    let blob = &source["source_blob"];
    let put = at(&rig, "PUT", &blob["put_url"], "archive").await;
    assert_eq!((put.status, put.text.as_str()), (200, ""));
    let got = at(&rig, "GET", &blob["get_url"], "").await;
    assert_eq!((got.status, got.text.as_str()), (200, "archive"));
    assert_eq!(got.header("content-length"), Some("7"));
    at(&rig, "PUT", &blob["put_url"], "again")
        .await
        .refused(409, "conflict");
    at(&rig, "PUT", &blob["get_url"], "x")
        .await
        .refused(404, "not_found");
    at(&rig, "GET", &blob["put_url"], "")
        .await
        .refused(404, "not_found");
    let broken = json!(format!("{}x", blob["get_url"].as_str().unwrap()));
    at(&rig, "GET", &broken, "").await.refused(404, "not_found");
    rig.app("demo").await;
    rig.call("POST", "/apps/demo/sources", json!({}))
        .await
        .expect(201);
    rig.call_as(OTHER, "POST", "/apps/demo/sources", None)
        .await
        .refused(404, "not_found");
}

#[tokio::test]
async fn a_build_of_an_archive_is_pending_at_once() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    let source = rig.call("POST", "/sources", json!({})).await.expect(201);
    let url = &source["source_blob"]["get_url"];
    let asked = json!({
        "source_blob": {
            "url": url,
            "checksum": format!("sha256:{}", "AB".repeat(32)),
            "version": "v1.2",
            "version_description": "first"
        },
        "buildpacks": [{"name": "heroku/nodejs"}, {"url": "https://git.example/b.git"}]
    });
    let build = rig
        .call("POST", "/apps/demo/builds", asked)
        .await
        .expect(201);
    assert_eq!(build["status"], "pending");
    assert_eq!(build["source_blob"]["version"], "v1.2");
    assert_eq!(build["source_blob"]["version_description"], "first");
    assert_eq!(build["source_blob"]["url"], *url);
    assert!(
        build["output_stream_url"]
            .as_str()
            .unwrap()
            .contains("/ropewalk/outputs/")
    );
    {
        let builds = rig.platform.builds.lock().unwrap();
        let request = &builds[0];
        assert!(
            matches!(request.origin, Origin::Source { account, .. } if account == request.user)
        );
        assert_eq!(request.app, app);
        assert_eq!(
            request.checksum.as_deref(),
            Some(format!("SHA256:{}", "ab".repeat(32)).as_str())
        );
        assert_eq!(
            request.buildpacks,
            ["heroku/nodejs", "https://git.example/b.git"]
        );
    }
    let id = build["id"].as_str().unwrap();
    let again = rig
        .get(&format!("/apps/demo/builds/{id}"))
        .await
        .expect(200);
    assert_eq!(again["id"], build["id"]);
    let list = rig.get("/apps/demo/builds").await.expect(200);
    assert_eq!(list.as_array().unwrap().len(), 1);

    let elsewhere = json!({"source_blob": {"url": "https://web.example/x.tgz"}});
    let busy = rig
        .call("POST", "/apps/demo/builds", elsewhere.clone())
        .await;
    assert!(busy.refused(409, "conflict").contains("under way"));
    let path = format!("/apps/demo/builds/{id}");
    rig.call("DELETE", &path, json!({})).await.expect(200);
    let ended = rig.call("DELETE", &path, json!({})).await;
    assert!(
        ended
            .refused(422, "invalid_params")
            .contains("not under way")
    );
    rig.call("POST", "/apps/demo/builds", elsewhere)
        .await
        .expect(201);
    assert_eq!(
        rig.platform.builds.lock().unwrap()[1].origin,
        Origin::Elsewhere
    );
    let purged = rig
        .call("DELETE", "/apps/demo/build-cache", json!({}))
        .await;
    assert_eq!((purged.status, purged.text.as_str()), (200, "{}"));
    assert_eq!(*rig.platform.purged.lock().unwrap(), [app]);
    for (path, method) in [("builds", "POST"), ("build-cache", "DELETE")] {
        let body = json!({"source_blob": {"url": "https://web.example/x.tgz"}});
        rig.call_as(OTHER, method, &format!("/apps/demo/{path}"), Some(body))
            .await
            .refused(404, "not_found");
    }
}

#[tokio::test]
async fn what_is_no_build_is_refused_before_anything_begins() {
    let rig = Rig::new().await;
    rig.app("demo").await;
    for asked in [
        json!({}),
        json!({"source_blob": {}}),
        json!({"source_blob": {"url": "ftp://x.example/"}}),
        json!({"source_blob": {"url": "file:///etc/passwd"}}),
        json!({"source_blob": {"url": "https://x.example/a b"}}),
        json!({"source_blob": {"url": format!("https://x.example/{}", "x".repeat(9000))}}),
        json!({"source_blob": {"url": "https://x.example/", "checksum": "MD5:00"}}),
        json!({"source_blob": {"url": "https://x.example/", "version": "a\nb"}}),
        json!({"source_blob": {"url": "https://x.example/"}, "buildpacks": [{}]}),
        json!({"source_blob": {"url": "https://x.example/"}, "buildpacks": [{"url": "ext::sh"}]}),
    ] {
        rig.call("POST", "/apps/demo/builds", asked)
            .await
            .refused(422, "invalid_params");
    }
    assert!(rig.platform.builds.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_slug_is_announced_sent_and_released() {
    let rig = Rig::new().await;
    rig.app("demo").await;
    let asked =
        json!({"process_types": {"web": "./run"}, "commit": "abc", "commit_description": "what"});
    let slug = rig
        .call("POST", "/apps/demo/slugs", asked)
        .await
        .expect(201);
    assert_eq!(slug["blob"]["method"], "put");
    assert_eq!(slug["size"], Value::Null);
    assert_eq!(slug["stack"]["name"], "debian-13");
    let path = format!("/apps/demo/slugs/{}", slug["id"].as_str().unwrap());
    let release = json!({"slug": slug["id"], "description": "Import"});
    let early = rig
        .call("POST", "/apps/demo/releases", release.clone())
        .await;
    assert!(
        early
            .refused(422, "invalid_params")
            .contains("no archive yet")
    );

    let put = at(&rig, "PUT", &slug["blob"]["url"], "tgz").await;
    assert_eq!((put.status, put.text.as_str()), (200, ""));
    let there = rig.get(&path).await.expect(200);
    assert_eq!(there["blob"]["method"], "get");
    assert_eq!(there["commit_description"], "what");
    let got = at(&rig, "GET", &there["blob"]["url"], "").await;
    assert_eq!((got.status, got.text.as_str()), (200, "tgz"));
    assert_eq!(got.header("content-type"), Some("application/gzip"));

    let released = rig
        .call("POST", "/apps/demo/releases", release)
        .await
        .expect(201);
    assert_eq!(
        (released["version"].as_u64(), released["status"].as_str()),
        (Some(2), Some("pending"))
    );
    assert_eq!(released["description"], "Import");
    let app = slug["id"].as_str().unwrap().parse::<SlugId>().unwrap();
    let stack = rig
        .ctx
        .store
        .read(move |view| view.release(view.slug(app)?.app, 2))
        .await
        .unwrap();
    assert_eq!(stack.stack_version.as_deref(), Some("sha256:13"));

    for asked in [
        json!({}),
        json!({"process_types": {"no spaces": "x"}}),
        json!({"process_types": {"web": "a\nb"}}),
        json!({"process_types": {"web": "x"}, "stack": "heroku-99"}),
    ] {
        let answer = rig.call("POST", "/apps/demo/slugs", asked).await;
        assert!([404, 422].contains(&answer.status), "{}", answer.text);
    }
    rig.call_as(OTHER, "GET", &path, None)
        .await
        .refused(404, "not_found");
}

#[tokio::test]
async fn a_slug_of_another_app_is_not_released() {
    let rig = Rig::new().await;
    rig.app("demo").await;
    rig.app("second").await;
    let asked = json!({"process_types": {"web": "./run"}});
    let slug = rig
        .call("POST", "/apps/demo/slugs", asked)
        .await
        .expect(201);
    let release = || json!({"slug": slug["id"]});
    rig.call("POST", "/apps/second/releases", release())
        .await
        .refused(404, "not_found");
    at(&rig, "PUT", &slug["blob"]["url"], "tgz").await;
    rig.call("POST", "/apps/second/releases", release())
        .await
        .refused(404, "not_found");
}

#[tokio::test]
async fn an_address_ends() {
    let rig = Rig::new().await;
    // As it was made two days ago.
    let then = Timestamp::now().as_second() - 2 * 24 * 3600;
    let id = uuid::Uuid::new_v4();
    let claims = json!({"id": id, "account": id, "token": id, "at": then});
    let token = rig.sealed("get source", &claims);
    let url = json!(format!(
        "http://api.apps.test:8080/ropewalk/sources/{token}"
    ));
    at(&rig, "GET", &url, "").await.refused(404, "not_found");
    rig.app("demo").await;
    let old = json!({"source_blob": {"url": url}});
    let refused = rig
        .call_as(DEV, "POST", "/apps/demo/builds", Some(old))
        .await;
    assert!(
        refused
            .refused(422, "invalid_params")
            .contains("older than 24 hours")
    );
}

#[tokio::test]
async fn addresses_end_with_the_token_they_were_given_to() {
    let rig = Rig::new().await;
    rig.app("demo").await;
    let source = rig.call("POST", "/sources", json!({})).await.expect(201);
    let asked = json!({"process_types": {"web": "./run"}});
    let slug = rig
        .call("POST", "/apps/demo/slugs", asked)
        .await
        .expect(201);
    rig.ctx
        .store
        .write(|tx| {
            for token in tx.tokens(ropewalk_model::UserId(uuid::Uuid::from_u128(1)))? {
                tx.delete_token(token.id)?;
            }
            Ok(())
        })
        .await
        .unwrap();
    for url in [&source["source_blob"]["put_url"], &slug["blob"]["url"]] {
        at(&rig, "PUT", url, "x").await.refused(404, "not_found");
    }
    assert!(rig.platform.archives.lock().unwrap().is_empty());
}
