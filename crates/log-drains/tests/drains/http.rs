//! HTTP sinks: what a request looks like, and what its answer leads to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::rig::{Rig, soon};

struct Got {
    path: String,
    headers: HeaderMap,
    body: String,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    fn lines(&self) -> Vec<&str> {
        self.body.lines().collect()
    }
}

struct Sink {
    port: u16,
    requests: mpsc::UnboundedReceiver<Got>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Sink {
    /// Answers with these, then with 204.
    async fn new(answers: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, requests) = mpsc::unbounded_channel();
        let answers: Arc<Mutex<VecDeque<u16>>> =
            Arc::new(Mutex::new(answers.iter().copied().collect()));
        let router = Router::new().fallback(move |request: Request| {
            let (sender, answers) = (sender.clone(), Arc::clone(&answers));
            async move {
                let (parts, body) = request.into_parts();
                let body: Bytes = axum::body::to_bytes(body, 2 << 20).await.unwrap();
                let _ = sender.send(Got {
                    path: parts.uri.to_string(),
                    headers: parts.headers,
                    body: String::from_utf8(body.to_vec()).unwrap(),
                });
                let status = answers.lock().unwrap().pop_front().unwrap_or(204);
                answer(status)
            }
        });
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            port,
            requests,
            server,
        }
    }

    async fn next(&mut self) -> Got {
        soon(self.requests.recv()).await.unwrap()
    }
}

fn answer(status: u16) -> Response {
    let location = [("location", "http://127.0.0.1:1/elsewhere")];
    (StatusCode::from_u16(status).unwrap(), location).into_response()
}

#[tokio::test]
async fn lines_are_posted_together_as_logplex_does() {
    let rig = Rig::new().await;
    let mut sink = Sink::new(&[]).await;
    let url = format!("http://me:p%40ss@127.0.0.1:{}/in?key=1", sink.port);
    let drain = rig.add(&url).await;
    rig.write("web.1", "one");
    rig.write("web.1", "two");
    let mut texts = Vec::new();
    while texts.len() < 2 {
        let got = sink.next().await;
        assert_eq!(got.path, "/in?key=1");
        assert_eq!(got.header("content-type"), "application/logplex-1");
        assert_eq!(got.header("logplex-drain-token"), drain.token);
        assert_eq!(got.header("authorization"), "Basic bWU6cEBzcw==");
        assert!(got.header("user-agent").starts_with("Ropewalk/"));
        assert_eq!(got.header("host"), format!("127.0.0.1:{}", sink.port));
        let lines = got.lines();
        assert_eq!(got.header("logplex-msg-count"), lines.len().to_string());
        for line in lines {
            let (count, rest) = line.split_once(' ').unwrap();
            assert_eq!(count.parse::<usize>().unwrap(), rest.len() + 1);
            let (_, text) = rest.split_once(" host app web.1 - ").unwrap();
            texts.push(text.to_owned());
        }
    }
    assert_eq!(texts, ["one", "two"]);
}

#[tokio::test]
async fn a_batch_is_posted_again_under_its_id_until_it_is_taken() {
    let rig = Rig::new().await;
    let mut sink = Sink::new(&[503, 500, 429]).await;
    rig.add(&format!("http://127.0.0.1:{}", sink.port)).await;
    rig.write("web.1", "one");
    let first = sink.next().await;
    for _ in 0..3 {
        let again = sink.next().await;
        assert_eq!(again.body, first.body);
        assert_eq!(
            again.header("logplex-frame-id"),
            first.header("logplex-frame-id")
        );
    }
    rig.write("web.1", "two");
    let next = sink.next().await;
    assert!(next.body.ends_with("two\n"));
    assert_ne!(
        next.header("logplex-frame-id"),
        first.header("logplex-frame-id")
    );
}

#[tokio::test]
async fn what_a_sink_will_never_take_is_dropped_and_said() {
    for status in [404, 302] {
        let rig = Rig::new().await;
        let mut sink = Sink::new(&[status]).await;
        let drain = rig.add(&format!("http://127.0.0.1:{}", sink.port)).await;
        rig.write("web.1", "one");
        sink.next().await;
        let line = rig.said("Error L13").await;
        assert!(
            line.contains(&drain.token) && line.contains(&format!("status {status}")),
            "{line}"
        );
        rig.said("dropped 1 messages since").await;
        rig.write("web.1", "two");
        while !sink.next().await.body.contains("- two\n") {}
    }
}

#[tokio::test]
async fn a_batch_that_fails_again_and_again_is_given_up() {
    let rig = Rig::new().await;
    let mut sink = Sink::new(&[500; 5]).await;
    rig.add(&format!("http://127.0.0.1:{}", sink.port)).await;
    rig.write("web.1", "one");
    for _ in 0..5 {
        assert!(sink.next().await.body.contains("- one\n"));
    }
    rig.said("dropped 1 messages since").await;
    rig.write("web.1", "two");
    while !sink.next().await.body.contains("- two\n") {}
}

#[tokio::test]
async fn a_thousand_lines_at_most_go_into_one_request() {
    let rig = Rig::new().await;
    let mut sink = Sink::new(&[]).await;
    rig.add(&format!("http://127.0.0.1:{}", sink.port)).await;
    rig.write("web.1", "one");
    assert!(sink.next().await.body.ends_with("one\n"));
    for n in 0..1020 {
        rig.write("web.1", &n.to_string());
    }
    let (mut seen, mut largest) = (0, 0);
    while seen < 1020 {
        let got = sink.next().await;
        seen += got.lines().len();
        largest = largest.max(got.lines().len());
    }
    assert_eq!(seen, 1020);
    assert!(largest <= 1000, "{largest}");
}
