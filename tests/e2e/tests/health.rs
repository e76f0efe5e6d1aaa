//! Health checks on a real engine: a dyno that serves only when it says so, and one that hangs later.

#![allow(clippy::unwrap_used)] // support code of tests

use std::time::Duration;

use e2e::{Repo, Rig};

/// 503 for its first seconds; after `/hang` it answers nothing any more.
const SERVER: &str = r#"import http.server, os, signal, threading, time
began, hung = time.monotonic(), threading.Event()
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if hung.is_set():
            time.sleep(3600)
        is_up = time.monotonic() - began > 3
        body = ("up " if is_up else "not yet ").encode() + os.environ["HOSTNAME"].encode()
        self.send_response(200 if is_up else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if self.path == "/hang":
            hung.set()
    def log_message(self, *args):
        pass
server = http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
"#;

#[test]
fn requests_come_when_the_check_passes_and_a_dyno_that_hangs_is_restarted() {
    let rig = Rig::start();
    let name = rig.create("health");
    let repo = Repo::with(&[
        ("server.py", SERVER),
        ("Procfile", "web: python3 server.py\n"),
        (
            "ropewalk.toml",
            "[checks.web]\nhttp = \"/up\"\ninterval = 1\ntimeout = 1\nthreshold = 2\n",
        ),
    ]);
    let ran = rig.push(&repo, &name).good();
    assert!(
        ran.all().contains("web: GET /up, then every 1 seconds"),
        "{}",
        ran.all()
    );
    let (status, first) = rig.get(&name, "/");
    assert_eq!(status, 200, "{first}");

    assert_eq!(rig.get(&name, "/hang").0, 200);
    rig.wait("another dyno", Duration::from_secs(60), |rig| {
        let (status, body) = rig.get(&name, "/");
        status == 200 && body != first
    });
    let logs = rig.cli(&["logs", "-n", "1000", "--app", &name]).good();
    let why = "Health check failed: GET /up did not answer within a second (2 times)";
    assert!(logs.all().contains(why), "{}", logs.all());

    // One that never passes is reverted, and the push says what it answered.
    repo.change(&[("ropewalk.toml", "[checks.web]\nhttp = \"/up\"\ngrace = 1\n")]);
    let ran = rig.push(&repo, &name).bad();
    assert!(
        ran.all().contains("check failed: GET /up answered 503"),
        "{}",
        ran.all()
    );
    repo.change(&[("ropewalk.toml", "[checks.web]\nhttp = \"up\"\n")]);
    let ran = rig.push(&repo, &name).bad();
    assert!(
        ran.all()
            .contains("ropewalk.toml: The check of web: `http` must be a path"),
        "{}",
        ran.all()
    );
    assert_eq!(rig.get(&name, "/").0, 200);
}
