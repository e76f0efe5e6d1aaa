//! A list on an engine that cannot tell about some containers, played here on a socket.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::{Duration, Instant};

use ropewalk_engine::{DockerEngine, Engine, EngineError, Status};
use ropewalk_model::InstanceId;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

const LIST: &str = r#"[
    {"Id": "stuck", "Names": ["/rw-stuck"], "Labels": {"ropewalk.dyno": "one"}, "State": "running"},
    {"Id": "broken", "Names": ["/rw-broken"], "Labels": {"ropewalk.dyno": "two"}, "State": "running"},
    {"Id": "gone", "Names": ["/rw-gone"], "State": "running"},
    {"Id": "well", "Names": ["/rw-well"], "Labels": {"ropewalk.dyno": "three"}, "State": "running"}
]"#;
const WELL: &str = r#"{"Id": "well", "Name": "/rw-well", "Config": {"Labels": {"ropewalk.dyno": "three"}},
    "State": {"Status": "running", "Pid": 7, "StartedAt": "2026-05-04T03:02:01Z"}}"#;

#[tokio::test]
async fn a_container_that_cannot_be_looked_at_is_unknown_and_the_others_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("engine.sock");
    serve(&path);
    let instance = InstanceId::parse("0a0b0c0d").expect("hex");
    let engine = DockerEngine::connect(path.to_str(), instance).expect("a socket");
    let began = Instant::now();
    let listed = engine.list().await.expect("a list");
    assert!(
        began.elapsed() < Duration::from_secs(9),
        "{:?}",
        began.elapsed()
    );
    let seen: Vec<_> = listed
        .iter()
        .map(|one| {
            let label = one.labels.get("ropewalk.dyno").map(String::as_str);
            (one.name.as_str(), one.status, label)
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("rw-stuck", Status::Unknown, Some("one")),
            ("rw-broken", Status::Unknown, Some("two")),
            ("rw-well", Status::Running, Some("three")),
        ]
    );
}

/// An engine that goes away in the middle is away, and not one with many unknown containers.
#[tokio::test]
async fn an_engine_that_goes_away_fails_the_list() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("engine.sock");
    let listener = UnixListener::bind(&path).expect("bound");
    let socket = path.clone();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        std::fs::remove_file(socket).expect("removed");
        drop(listener);
        answer(stream).await;
    });
    let instance = InstanceId::parse("0a0b0c0d").expect("hex");
    let engine = DockerEngine::connect(path.to_str(), instance).expect("a socket");
    let failed = engine.list().await;
    assert!(
        matches!(failed, Err(EngineError::Unreachable(_))),
        "{failed:?}"
    );
}

fn serve(path: &Path) {
    let listener = UnixListener::bind(path).expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
}

/// Answers one request and closes.
async fn answer(stream: UnixStream) {
    let mut stream = BufReader::new(stream);
    let mut first = String::new();
    let mut line = String::new();
    loop {
        line.clear();
        stream.read_line(&mut line).await.expect("a line");
        if first.is_empty() {
            first.clone_from(&line);
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let (status, body) = if first.contains("/containers/json") {
        ("200 OK", LIST)
    } else if first.contains("/containers/well/") {
        ("200 OK", WELL)
    } else if first.contains("/containers/broken/") {
        (
            "500 Internal Server Error",
            r#"{"message": "layer not known"}"#,
        )
    } else if first.contains("/containers/stuck/") {
        return std::future::pending().await;
    } else {
        ("404 Not Found", r#"{"message": "no such container"}"#)
    };
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).await.expect("written");
}
