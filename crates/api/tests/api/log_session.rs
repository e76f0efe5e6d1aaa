//! Log sessions: the format, resuming, ending, and who may not.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use jiff::Timestamp;
use ropewalk_model::AppId;
use ropewalk_model::log_line::LogSource;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::rig::{DEV, Rig};

pub(crate) async fn session(rig: &Rig, body: Value) -> String {
    let made = rig
        .call("POST", "/apps/demo/log-sessions", body)
        .await
        .expect(201);
    let url = made["logplex_url"].as_str().unwrap();
    url.strip_prefix("http://api.apps.test:8080")
        .unwrap()
        .to_owned()
}

pub(crate) fn write(rig: &Rig, app: AppId, process: &str, text: &str) {
    let at: Timestamp = "2024-06-10T08:00:00.123456Z".parse().unwrap();
    let source = match process {
        "router" => LogSource::Heroku,
        _ => LogSource::App,
    };
    rig.ctx
        .logs
        .append(app, at, source, process, text.as_bytes());
}

/// An open stream; events are read one at a time.
pub(crate) struct Events {
    body: Body,
    text: String,
}

impl Events {
    pub(crate) async fn open(rig: &Rig, path: &str, after: Option<&str>) -> Self {
        let mut request = Request::builder()
            .uri(path)
            .header("accept", "text/event-stream");
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let response = rig
            .router
            .clone()
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            body: response.into_body(),
            text: String::new(),
        }
    }

    /// Id and data of the next event; `None` at the clean end.
    pub(crate) async fn next(&mut self) -> Option<(String, String)> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let event: String = self.text.drain(..end + 2).collect();
                if event.starts_with(':') {
                    continue;
                }
                let (id, data) = event.trim_end().split_once('\n').unwrap();
                let id = id.strip_prefix("id: ").unwrap();
                let data = data.strip_prefix("data: ").unwrap();
                return Some((id.to_owned(), data.to_owned()));
            }
            let frame = tokio::time::timeout(Duration::from_secs(10), self.body.frame())
                .await
                .unwrap()?;
            let bytes = frame.unwrap().into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    async fn rest(mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some((_, data)) = self.next().await {
            lines.push(data);
        }
        lines
    }
}

#[tokio::test]
async fn the_last_lines_come_in_the_documented_form_and_then_the_end() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    write(&rig, app, "web.1", "Listening on 5000");
    write(&rig, app, "web.1", "50%\r100%");
    write(&rig, app, "router", "at=info");
    let path = session(&rig, json!({"lines": 3, "tail": false})).await;
    assert_eq!(
        Events::open(&rig, &path, None).await.rest().await,
        [
            "2024-06-10T08:00:00.123456+00:00 app[web.1]: Listening on 5000",
            "2024-06-10T08:00:00.123456+00:00 app[web.1]: 50% 100%",
            "2024-06-10T08:00:00.123456+00:00 heroku[router]: at=info",
        ]
    );
    for (body, lines) in [
        (json!({"dyno": "web"}), 2),
        (json!({"dyno_name": "web.1", "lines": 1}), 1),
        (json!({"type": "worker"}), 0),
        (json!({"source": "heroku"}), 1),
        (json!({"lines": 0}), 0),
        (json!({}), 5),
    ] {
        let path = session(&rig, body.clone()).await;
        assert_eq!(
            Events::open(&rig, &path, None).await.rest().await.len(),
            lines,
            "{body}"
        );
    }
    rig.call("POST", "/apps/demo/log-sessions", json!({"source": "x"}))
        .await
        .refused(422, "invalid_params");
    rig.call("POST", "/apps/demo/log-sessions", json!({"lines": -1}))
        .await
        .refused(422, "invalid_params");
}

#[tokio::test]
async fn a_tail_is_resumed_without_loss_or_doubling_also_after_a_restart() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    let path = session(&rig, json!({"lines": 0, "tail": true})).await;
    let mut events = Events::open(&rig, &path, None).await;
    write(&rig, app, "web.1", "one");
    write(&rig, app, "web.1", "two");
    let (id, line) = events.next().await.unwrap();
    assert!(line.ends_with("one"));
    drop(events);
    write(&rig, app, "web.1", "three");
    rig.ctx.logs.flush().await;

    // The server is gone and another one has taken its place: other logs, same key, same address.
    let mut ctx = rig.ctx.clone();
    ctx.logs = ropewalk_logs::Logs::open(&rig.dir.path().join("logs")).unwrap();
    let again = Rig {
        router: ropewalk_api::routes(ctx.clone()),
        dir: tempfile::tempdir().unwrap(),
        platform: std::sync::Arc::clone(&rig.platform),
        ctx,
    };
    let mut events = Events::open(&again, &path, Some(&id)).await;
    write(&again, app, "web.1", "four");
    for expected in ["two", "three", "four"] {
        let (_, line) = events.next().await.unwrap();
        assert!(line.ends_with(expected), "{line}");
    }
}

#[tokio::test]
async fn a_session_belongs_to_its_app_and_its_token() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    let path = session(&rig, json!({"tail": true})).await;
    let bare = async |path: &str| {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        rig.send(request).await
    };
    let (body, seal) = path.rsplit_once('.').unwrap();
    for forged in [
        "/ropewalk/logs/x".to_owned(),
        format!("{body}."),
        format!("{body}x.{seal}"),
        format!("/ropewalk/logs/{app}"),
    ] {
        bare(&forged).await.refused(404, "not_found");
    }
    let mut open = Events::open(&rig, &path, None).await;
    assert!(open.next().await.is_some());

    let made = rig
        .call("POST", "/oauth/authorizations", json!({"scope": ["read"]}))
        .await
        .expect(201);
    let token = made["access_token"]["token"].as_str().unwrap();
    let session = rig
        .call_as(token, "POST", "/apps/demo/log-sessions", Some(json!({})))
        .await
        .expect(201);
    let url = session["logplex_url"].as_str().unwrap();
    let short = url.strip_prefix("http://api.apps.test:8080").unwrap();
    assert_eq!(bare(short).await.status, 200);
    rig.call_as(token, "DELETE", "/oauth/authorizations/~", None)
        .await
        .expect(200);
    bare(short).await.refused(404, "not_found");

    rig.call_as(DEV, "DELETE", "/apps/demo", None)
        .await
        .expect(200);
    bare(&path).await.refused(404, "not_found");
    while open.next().await.is_some() {}
}
