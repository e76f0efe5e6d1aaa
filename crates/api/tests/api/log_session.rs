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
                let (id, data) = event.trim_end_matches('\n').split_once('\n').unwrap();
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

#[tokio::test]
async fn output_of_several_lines_is_as_many_events_and_1500_at_most_are_of_the_past() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    write(&rig, app, "web.1", "one\r\ntwo\n\nfour\n");
    let path = session(&rig, json!({"lines": 4, "source": "app", "dyno": "web.1"})).await;
    let head = "2024-06-10T08:00:00.123456+00:00 app[web.1]: ";
    assert_eq!(
        Events::open(&rig, &path, None).await.rest().await,
        ["one", "two", "", "four"].map(|text| format!("{head}{text}"))
    );
    for n in 0..1600 {
        write(&rig, app, "web.1", &n.to_string());
    }
    let path = session(&rig, json!({"lines": 5000})).await;
    let lines = Events::open(&rig, &path, None).await.rest().await;
    assert_eq!(lines.len(), 1500);
    assert_eq!(lines[0], format!("{head}100"));
    assert_eq!(lines[1499], format!("{head}1599"));
}

#[tokio::test]
async fn ids_rise_also_over_a_server_that_is_killed() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    let path = session(&rig, json!({"lines": 0, "tail": true})).await;
    let mut events = Events::open(&rig, &path, None).await;
    let mut last = 0;
    for n in 0..300 {
        write(&rig, app, "web.1", &n.to_string());
        let id: u64 = events.next().await.unwrap().0.parse().unwrap();
        assert!(id > last);
        last = id;
    }
    // Killed: nothing was written to disk on purpose, and the next one knows only what is there.
    let mut ctx = rig.ctx.clone();
    ctx.logs = ropewalk_logs::Logs::open(&rig.dir.path().join("logs")).unwrap();
    let router = ropewalk_api::routes(ctx.clone());
    let rig = Rig { router, ctx, ..rig };
    write(&rig, app, "web.1", "after");
    let mut events = Events::open(&rig, &path, Some(&last.to_string())).await;
    loop {
        let (id, line) = events.next().await.unwrap();
        let id: u64 = id.parse().unwrap();
        assert!(id > last, "{line}");
        last = id;
        if line.ends_with("after") {
            break;
        }
    }
}

#[tokio::test]
async fn a_server_that_stops_ends_tails_cleanly_and_the_next_goes_on_where_they_were() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    let path = session(&rig, json!({"lines": 0, "tail": true})).await;
    let mut events = Events::open(&rig, &path, None).await;
    write(&rig, app, "web.1", "one");
    let (id, _) = events.next().await.unwrap();
    write(&rig, app, "web.1", "two");
    rig.ctx.shutdown.cancel();
    // What comes before the end is whole; a body that broke off would fail here.
    let mut seen = vec!["one".to_owned()];
    let mut last = id;
    while let Some((id, line)) = events.next().await {
        last = id;
        seen.push(line.rsplit_once(' ').unwrap().1.to_owned());
    }
    let mut ctx = rig.ctx.clone();
    ctx.shutdown = ropewalk_telemetry::Shutdown::new();
    let router = ropewalk_api::routes(ctx.clone());
    let rig = Rig { router, ctx, ..rig };
    write(&rig, app, "web.1", "three");
    let mut events = Events::open(&rig, &path, Some(&last)).await;
    while seen.len() < 3 {
        let (_, line) = events.next().await.unwrap();
        seen.push(line.rsplit_once(' ').unwrap().1.to_owned());
    }
    assert_eq!(seen, ["one", "two", "three"]);
}

#[tokio::test]
async fn a_quiet_tail_is_kept_alive() {
    let rig = Rig::new().await;
    rig.app("demo").await;
    let path = session(&rig, json!({"lines": 0, "tail": true})).await;
    let mut events = Events::open(&rig, &path, None).await;
    // Time runs by itself while everybody waits.
    tokio::time::pause();
    for _ in 0..20 {
        let before = tokio::time::Instant::now();
        let frame = events.body.frame().await.unwrap().unwrap();
        assert_eq!(&frame.into_data().unwrap()[..], b": keepalive\n\n");
        assert!(before.elapsed() <= Duration::from_secs(30));
    }
}

#[tokio::test]
async fn a_tail_is_resumed_behind_more_lines_than_are_kept_in_memory() {
    let rig = Rig::new().await;
    let app = rig.app("demo").await;
    let path = session(&rig, json!({"lines": 0, "tail": true})).await;
    let mut events = Events::open(&rig, &path, None).await;
    write(&rig, app, "web.1", "seen");
    let (id, _) = events.next().await.unwrap();
    drop(events);
    for n in 0..5000 {
        write(&rig, app, "web.1", &n.to_string());
    }
    let mut events = Events::open(&rig, &path, Some(&id)).await;
    for n in 0..5000 {
        let (_, line) = events.next().await.unwrap();
        assert!(line.ends_with(&format!(": {n}")), "{n}: {line}");
    }
}
