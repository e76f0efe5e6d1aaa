//! An app goes to a newer version of its stack and back, under load and with the slug it has.

#![allow(clippy::unwrap_used)] // support code of tests

use std::time::Duration;

use e2e::{Load, Repo, Rig};
use serde_json::Value;

/// Answers with what the stack's patch says; does not start on a stack that is patched badly.
const SERVER: &str = r#"import http.server, os, signal, threading
try:
    patch = open("/etc/patch").read()
except FileNotFoundError:
    patch = "unpatched"
if patch == "bad":
    raise SystemExit("this stack is of no use")
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = patch.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 512
server = Server(("0.0.0.0", int(os.environ["PORT"])), Handler)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
"#;

/// The newest release and the slug of it.
fn head(rig: &Rig, app: &str) -> Value {
    let ran = rig
        .cli(&["releases", "--json", "-n", "1", "-a", app])
        .good();
    let all: Value = serde_json::from_str(&ran.stdout).unwrap();
    all[0].clone()
}

#[test]
fn an_app_goes_to_a_newer_stack_and_back_with_the_slug_it_has() {
    let rig = Rig::start();
    let app = rig.create("rebase");
    let ran = rig.cli(&["rebase", "-a", &app]).bad();
    assert!(ran.stderr.contains("Nothing was deployed"), "{}", ran.all());
    let repo = Repo::with(&[
        ("server.py", SERVER),
        ("Procfile", "web: python3 server.py\n"),
    ]);
    rig.push(&repo, &app).good();
    rig.cli(&["ps:scale", "web=2", "-a", &app]).good();
    rig.wait_up(&app, 2);
    let (slug, pushed) = (head(&rig, &app)["slug"].clone(), head(&rig, &app));
    let pushed = format!("v{}", pushed["version"]);
    let ran = rig.cli(&["rebase", "-a", &app]).good();
    assert!(ran.stdout.contains("runs on the newest"), "{}", ran.all());

    let load = Load::start(&rig, &app, "/", 8, Duration::from_millis(10));
    rig.patch_stack("etc/patch", "bad");
    let advice = rig.cli(&["stack", "-a", &app]).good();
    assert!(
        advice.stderr.contains("ropewalk rebase"),
        "{}",
        advice.all()
    );
    assert_eq!(rig.get(&app, "/"), (200, "unpatched".to_owned()));
    let ran = rig.cli(&["rebase", "--all"]).bad();
    assert!(
        ran.stderr.contains("web.1 crashed") || ran.stderr.contains("web.2 crashed"),
        "{}",
        ran.all()
    );
    assert!(
        ran.stderr
            .contains(&format!("1 of 1 apps were not rebased: {app}.")),
        "{}",
        ran.all()
    );
    rig.wait_up(&app, 2);
    assert_eq!(rig.get(&app, "/"), (200, "unpatched".to_owned()));

    let newest = rig.patch_stack("etc/patch", "good");
    let ran = rig.cli(&["rebase", "--all"]).good();
    assert!(
        ran.stderr.contains(&newest["sha256:".len()..][..12]),
        "{}",
        ran.all()
    );
    rig.wait_up(&app, 2);
    assert_eq!(rig.get(&app, "/"), (200, "good".to_owned()));
    let rebased = head(&rig, &app);
    assert_eq!(rebased["slug"], slug, "nothing was built");
    let ran = rig
        .cli(&["run", "-a", &app, "--", "cat", "/etc/patch"])
        .good();
    assert_eq!(ran.stdout, "good", "one-off dynos are on it too");

    rig.cli(&["config:set", "KEY=1", "-a", &app]).good();
    rig.wait_up(&app, 2);
    assert_eq!(rig.get(&app, "/"), (200, "good".to_owned()));
    rig.cli(&["rollback", &pushed, "-a", &app]).good();
    rig.wait_up(&app, 2);
    assert_eq!(rig.get(&app, "/"), (200, "unpatched".to_owned()));
    rig.cli(&["rebase", "-a", &app]).good();
    assert_eq!(rig.get(&app, "/"), (200, "good".to_owned()));
    let seen = load.stop();
    seen.none_failed();
    assert!(seen.share("unpatched") > 0.0 && seen.share("good") > 0.0);
}
