//! Whoever loses a right loses what is open by it, at once.

use std::time::{Duration, Instant};

use axum::body::Body;
use futures_util::{SinkExt, StreamExt};
use http::Request;
use http_body_util::BodyExt;
use ropewalk_api_types::attach::ToDyno;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use tower::ServiceExt;

use crate::attach::serve;
use crate::log_session::{Events, write};
use crate::rig::{ADMIN, DEV, OTHER, Rig};

/// What a revocation may take.
const AT_ONCE: Duration = Duration::from_secs(1);

fn path(url: &serde_json::Value) -> String {
    let url = url.as_str().unwrap();
    url.strip_prefix("http://api.apps.test:8080")
        .unwrap()
        .to_owned()
}

async fn tail_of(rig: &Rig, token: &str) -> Events {
    let asked = Some(json!({"tail": true, "lines": 1}));
    let made = rig
        .call_as(token, "POST", "/apps/demo/log-sessions", asked)
        .await
        .expect(201);
    let mut events = Events::open(rig, &path(&made["logplex_url"]), None).await;
    assert!(events.next().await.is_some());
    events
}

async fn token_of(rig: &Rig, body: serde_json::Value) -> (String, String) {
    let made = rig
        .call("POST", "/oauth/authorizations", body)
        .await
        .expect(201);
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    (text(&made["id"]), text(&made["access_token"]["token"]))
}

async fn share(rig: &Rig) {
    let asked = json!({"user": "other@example.com"});
    rig.call("POST", "/apps/demo/collaborators", asked)
        .await
        .expect(201);
}

#[tokio::test]
async fn a_tail_ends_with_what_it_was_opened_by() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    write(&rig, app, "web.1", "one");
    let (id, token) = token_of(&rig, json!({"scope": ["read"]})).await;
    let mut mine = tail_of(&rig, DEV).await;

    let mut revoked = tail_of(&rig, &token).await;
    let began = Instant::now();
    rig.call("DELETE", &format!("/oauth/authorizations/{id}"), json!({}))
        .await
        .expect(200);
    while revoked.next().await.is_some() {}
    assert!(began.elapsed() < AT_ONCE);

    share(&rig).await;
    let mut removed = tail_of(&rig, OTHER).await;
    let began = Instant::now();
    let collaborator = "/apps/demo/collaborators/other@example.com";
    rig.call("DELETE", collaborator, json!({}))
        .await
        .expect(200);
    while removed.next().await.is_some() {}
    assert!(began.elapsed() < AT_ONCE);

    share(&rig).await;
    let mut deleted = tail_of(&rig, OTHER).await;
    let began = Instant::now();
    rig.call_as(ADMIN, "DELETE", "/ropewalk/users/other@example.com", None)
        .await
        .expect(200);
    while deleted.next().await.is_some() {}
    assert!(began.elapsed() < AT_ONCE);

    // Time revokes too.
    let (_, short) = token_of(&rig, json!({"scope": ["read"], "expires_in": 1})).await;
    let mut expired = tail_of(&rig, &short).await;
    while expired.next().await.is_some() {}

    // Others go on.
    write(&rig, app, "web.1", "two");
    while !mine.next().await.unwrap().1.ends_with("two") {}
}

#[tokio::test]
async fn outputs_end_and_their_addresses_open_no_more() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    let release = rig
        .deploy_pending(app, &[("web", "x"), ("release", "migrate")])
        .await;
    let mut writer = rig.ctx.outputs.create(release.id.0).unwrap();
    writer.write(b"migrating\n");
    let (_, token) = token_of(&rig, json!({"scope": ["read"]})).await;
    let shown = rig
        .call_as(&token, "GET", "/apps/demo/releases/2", None)
        .await;
    let address = path(&shown.json()["output_stream_url"]);
    let request = || {
        Request::builder()
            .uri(&address)
            .body(Body::empty())
            .unwrap()
    };
    let response = rig.router.clone().oneshot(request()).await.unwrap();
    let mut body = response.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "migrating\n");

    let began = Instant::now();
    rig.call_as(&token, "DELETE", "/oauth/authorizations/~", None)
        .await
        .expect(200);
    assert!(body.frame().await.is_none(), "it goes on");
    assert!(began.elapsed() < AT_ONCE);
    rig.send(request()).await.refused(404, "not_found");
    drop(writer);
}

#[tokio::test]
async fn an_attached_dyno_is_hung_up_on() {
    let rig = Rig::new().await;
    let (base, _server) = serve(&rig).await;
    let (id, token) = token_of(&rig, json!({"scope": ["global"]})).await;
    let app = rig.app("demo").await;
    rig.deploy(app, &[("web", "x")]).await;
    let asked = Some(json!({"command": "bash", "attach": true}));
    rig.call_as(&token, "POST", "/apps/demo/dynos", asked)
        .await
        .expect(201);
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("{base}/s3cret"))
        .await
        .unwrap();
    let frame = ToDyno::Stdin("x".into()).encode();
    socket.send(Message::Binary(frame)).await.unwrap();
    assert!(matches!(socket.next().await, Some(Ok(Message::Binary(_)))));

    let began = Instant::now();
    rig.call("DELETE", &format!("/oauth/authorizations/{id}"), json!({}))
        .await
        .expect(200);
    let end = tokio::time::timeout(Duration::from_secs(10), async {
        while let Some(Ok(_)) = socket.next().await {}
    });
    end.await.unwrap();
    assert!(began.elapsed() < AT_ONCE);
}
