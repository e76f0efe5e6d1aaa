//! A server on a unix socket, and many connections that ask it one request after the other.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use axum::Router;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use crate::rig::DEV;

/// Serves until it is dropped.
pub(crate) struct Server {
    dir: tempfile::TempDir,
    _serving: JoinSet<()>,
}

/// What one round asks.
pub(crate) struct Load {
    /// Method, path and body; see `Case`.
    pub(crate) case: (&'static str, &'static str, &'static str),
    pub(crate) requests: usize,
    pub(crate) connections: usize,
    pub(crate) apps: usize,
    /// Of the round: values that were sent before change nothing.
    pub(crate) seed: usize,
}

impl Server {
    pub(crate) fn start(router: Router) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("socket")).unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            dir,
            _serving: serving,
        }
    }

    /// How long each request of the round took.
    pub(crate) async fn take(&self, load: &Load) -> Vec<Duration> {
        let mut tasks = JoinSet::new();
        let each = load.requests / load.connections;
        for connection in 0..load.connections {
            let (socket, case) = (self.dir.path().join("socket"), load.case);
            let first = connection * each;
            let numbers: Vec<(usize, usize)> = (first..first + each)
                .map(|n| (n % load.apps, load.seed * load.requests + n + 1))
                .collect();
            tasks.spawn(ask(socket, case, numbers));
        }
        let mut samples = Vec::new();
        while let Some(done) = tasks.join_next().await {
            samples.extend(done.unwrap());
        }
        samples
    }
}

async fn ask(
    socket: PathBuf,
    (method, path, body): (&'static str, &'static str, &'static str),
    numbers: Vec<(usize, usize)>,
) -> Vec<Duration> {
    let stream = UnixStream::connect(socket).await.unwrap();
    let (mut requests, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut samples = Vec::with_capacity(numbers.len());
    for (app, turn) in numbers {
        let body = body.replace("{turn}", &turn.to_string());
        let request = Request::builder()
            .method(method)
            .uri(path.replace("{n}", &app.to_string()))
            .header("host", "api.apps.test")
            .header("authorization", format!("Bearer {DEV}"))
            .header("accept", "application/vnd.heroku+json; version=3")
            .body(Full::new(bytes::Bytes::from(body)))
            .unwrap();
        let began = Instant::now();
        requests.ready().await.unwrap();
        let response = requests.send_request(request).await.unwrap();
        let status = response.status();
        response.into_body().collect().await.unwrap();
        samples.push(began.elapsed());
        assert!(status.is_success(), "{method} {path}: {status}");
    }
    samples
}
