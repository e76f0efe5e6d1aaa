//! The client against a server that answers on loopback: lists in pages, errors, logs, attached dynos.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use ropewalk_client::attach::{FromDyno, ToDyno};
use ropewalk_client::types::log_session::LogSessionCreate;
use ropewalk_client::{Client, Config, Error};

const STACK: &str = r#"{"id":"01234567-89ab-cdef-0123-456789abcdef","name":"NAME","default":true,"state":"public",
    "created_at":"2026-01-01T12:00:00Z","updated_at":"2026-01-01T12:00:00Z"}"#;

/// Serves `router` for the rest of the test and gives a client for it, by a name that only we resolve.
async fn client(router: Router) -> Client {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let config = Config {
        url: format!("http://api.localhost:{port}"),
        token: Some("secret".into()),
        user_agent: "test/1".into(),
        ..Config::default()
    };
    Client::new(&config).unwrap()
}

fn base(client: &Client) -> &str {
    client.base().as_str().trim_end_matches('/')
}

#[tokio::test]
async fn a_list_is_followed_to_its_end() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&seen);
    let handler = move |headers: HeaderMap| async move {
        let range = headers
            .get("range")
            .map(|range| range.to_str().unwrap().to_owned());
        let (status, next, name) = match range.as_deref() {
            None => (StatusCode::PARTIAL_CONTENT, Some("name ]a..; max=1"), "a"),
            Some("name ]a..; max=1") => {
                (StatusCode::PARTIAL_CONTENT, Some("name ]b..; max=1"), "b")
            }
            Some(_) => (StatusCode::OK, None, "c"),
        };
        let auth = headers["authorization"].to_str().unwrap().to_owned();
        let accept = headers["accept"].to_str().unwrap().to_owned();
        record.lock().unwrap().push((auth, accept));
        let mut answer: Response =
            (status, format!("[{}]", STACK.replace("NAME", name))).into_response();
        if let Some(next) = next {
            answer
                .headers_mut()
                .insert("next-range", next.parse().unwrap());
        }
        answer
    };
    let client = client(Router::new().route("/stacks", get(handler))).await;
    let names: Vec<String> = client
        .stacks()
        .await
        .unwrap()
        .into_iter()
        .map(|stack| stack.name)
        .collect();
    assert_eq!(names, ["a", "b", "c"]);
    let expected = (
        "Bearer secret".to_owned(),
        "application/vnd.heroku+json; version=3".to_owned(),
    );
    assert_eq!(*seen.lock().unwrap(), vec![expected; 3]);
}

#[tokio::test]
async fn errors_carry_what_the_server_said() {
    let body = r#"{"id":"not_found","message":"Couldn't find that app.","resource":"app","app":{"name":"demo"}}"#;
    let router = Router::new()
        .route(
            "/apps/demo",
            get(move || async move { (StatusCode::NOT_FOUND, body) }),
        )
        .route(
            "/apps/html",
            get(|| async { (StatusCode::BAD_GATEWAY, "<html>no</html>") }),
        )
        .route("/apps/odd", get(|| async { "[]" }));
    let client = client(router).await;
    let error = client.app("demo").await.unwrap_err();
    let answer = error.api().unwrap();
    assert_eq!(
        (answer.status, answer.body.resource.as_deref()),
        (404, Some("app"))
    );
    assert_eq!(error.to_string(), "Couldn't find that app.");
    assert!(error.has_id("not_found"));
    let error = client.app("html").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "The server answered with status 502 Bad Gateway."
    );
    assert!(matches!(
        client.app("odd").await.unwrap_err(),
        Error::BadAnswer { .. }
    ));
    assert!(matches!(
        client.app("..").await.unwrap_err(),
        Error::BadPath { .. }
    ));
}

#[tokio::test]
async fn names_are_one_segment_of_the_path() {
    let client = client(Router::new().fallback(|uri: axum::http::Uri| async move {
        (
            StatusCode::NOT_FOUND,
            format!(r#"{{"id":"not_found","message":"{}"}}"#, uri.path()),
        )
    }))
    .await;
    assert_eq!(
        client.app("a/b?c").await.unwrap_err().to_string(),
        "/apps/a%2Fb%3Fc"
    );
}

#[tokio::test]
async fn a_server_that_is_away_is_unreachable() {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let config = Config {
        url: format!("http://api.localhost:{port}"),
        ..Config::default()
    };
    let error = Client::new(&config).unwrap().account().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("the server at api.localhost:{port} could not be reached")
    );
}

/// A log session whose stream is closed behind each event but takes up from `Last-Event-ID`.
fn log_router(asked: Arc<Mutex<Vec<Option<String>>>>) -> Router {
    let create = |headers: HeaderMap, body: Bytes| async move {
        assert!(body.starts_with(b"{"));
        let host = headers["host"].to_str().unwrap();
        let session = r#"{"id":"01234567-89ab-cdef-0123-456789abcdef","logplex_url":"URL",
            "created_at":"2026-01-01T12:00:00Z","updated_at":"2026-01-01T12:00:00Z"}"#;
        session.replace("URL", &format!("http://{host}/stream/1"))
    };
    let stream = move |headers: HeaderMap| async move {
        assert!(
            !headers.contains_key("authorization"),
            "the address alone authorises"
        );
        let last = headers
            .get("last-event-id")
            .map(|id| id.to_str().unwrap().to_owned());
        asked.lock().unwrap().push(last.clone());
        let next = last.map_or(1, |id| id.parse::<u32>().unwrap() + 1);
        if next > 3 {
            return StatusCode::NOT_FOUND.into_response();
        }
        // The half event behind the whole one must neither be shown nor lost.
        let events = format!(
            ": hello\nretry: 10\n\nid: {next}\ndata: line {next}\n\nid: {}\ndata: li",
            next + 1
        );
        ([("content-type", "text/event-stream")], events).into_response()
    };
    Router::new()
        .route("/apps/demo/log-sessions", post(create))
        .route("/stream/1", get(stream))
}

#[tokio::test]
async fn a_followed_log_is_taken_up_where_it_broke() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let client = client(log_router(Arc::clone(&asked))).await;
    let session = LogSessionCreate {
        tail: Some(true),
        ..LogSessionCreate::default()
    };
    let mut log = client.logs("demo", &session).await.unwrap();
    for expected in ["line 1", "line 2", "line 3"] {
        assert_eq!(log.next().await.unwrap().as_deref(), Some(expected));
    }
    assert!(matches!(
        log.next().await,
        Err(Error::StreamRefused { status: 404, .. })
    ));
    let expected = [
        None,
        Some("1".to_owned()),
        Some("2".to_owned()),
        Some("3".to_owned()),
    ];
    assert_eq!(*asked.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_log_that_is_not_followed_ends_with_its_stream() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let client = client(log_router(Arc::clone(&asked))).await;
    let mut log = client
        .logs("demo", &LogSessionCreate::default())
        .await
        .unwrap();
    assert_eq!(log.next().await.unwrap().as_deref(), Some("line 1"));
    assert_eq!(log.next().await.unwrap(), None);
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn output_that_has_not_begun_is_no_error() {
    let router = Router::new()
        .route("/output/1", get(|| async { "hello\n" }))
        .route("/output/2", get(|| async { StatusCode::NOT_FOUND }));
    let client = client(router).await;
    let mut output = client
        .output(&format!("{}/output/1", base(&client)))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        output.chunk().await.unwrap().as_deref(),
        Some(&b"hello\n"[..])
    );
    assert_eq!(output.chunk().await.unwrap(), None);
    assert!(
        client
            .output(&format!("{}/output/2", base(&client)))
            .await
            .unwrap()
            .is_none()
    );
}

/// Sends back what it gets, and ends with 7 when the input is closed.
async fn echo(upgrade: WebSocketUpgrade) -> Response {
    upgrade
        .protocols(["ropewalk-attach.v1"])
        .on_upgrade(|mut socket| async move {
            while let Some(Ok(message)) = socket.recv().await {
                let Message::Binary(frame) = message else {
                    continue;
                };
                if frame.as_ref() == b"\x00" {
                    break;
                }
                let echoed = [b"\x01", frame.as_ref()].concat();
                let _ = socket.send(Message::Binary(echoed.into())).await;
            }
            let _ = socket
                .send(Message::Binary(Bytes::from_static(b"\x02bye")))
                .await;
            let _ = socket
                .send(Message::Binary(Bytes::from_static(b"\x05{\"code\":7}")))
                .await;
            let _ = socket.send(Message::Close(None)).await;
        })
}

#[tokio::test]
async fn an_attached_dyno_hears_and_answers() {
    let router = Router::new()
        .route("/attach/1", get(echo))
        .route("/attach/2", get(|| async { StatusCode::GONE }));
    let client = client(router).await;
    let url = base(&client).replace("http://", "ws://");
    let (mut sender, mut receiver) = client.attach(&format!("{url}/attach/1")).await.unwrap();
    for (message, frame) in [
        (
            ToDyno::Stdin(vec![b'x'; 100_000].into()),
            [&b"\x00"[..], &[b'x'; 100_000]].concat(),
        ),
        (
            ToDyno::Resize {
                rows: 24,
                columns: 80,
            },
            b"\x03{\"columns\":80,\"rows\":24}".to_vec(),
        ),
        (ToDyno::Signal("INT".to_owned()), b"\x04INT".to_vec()),
    ] {
        sender.send(message).await.unwrap();
        assert_eq!(
            receiver.next().await.unwrap(),
            Some(FromDyno::Stdout(frame.into()))
        );
    }
    sender.ping().await.unwrap();
    sender.send(ToDyno::StdinClosed).await.unwrap();
    assert_eq!(
        receiver.next().await.unwrap(),
        Some(FromDyno::Stderr("bye".into()))
    );
    assert_eq!(receiver.next().await.unwrap(), Some(FromDyno::Exit(7)));
    assert_eq!(receiver.next().await.unwrap(), None);
    let refused = client.attach(&format!("{url}/attach/2")).await.unwrap_err();
    assert!(
        matches!(refused, Error::AttachRefused { status: 410, .. }),
        "{refused}"
    );
}
