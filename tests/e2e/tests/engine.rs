//! Docker's daemon is killed, and stopped, under load: requests go on, and all that was asked for happens afterwards.

#![allow(clippy::unwrap_used)] // support code of tests

use std::time::Duration;

use e2e::{Engine, Load, Repo, Rig, wait};

/// Says what it is told to on `/say/…` and nothing else: a dyno that logs while nobody reads its log is held up once
/// the pipe is full.
const SERVER: &str = r#"import http.server, os, signal, threading
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path.startswith("/say/"):
            print("said", self.path[5:], flush=True)
        body = "ANSWER".encode()
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

fn change(repo: &Repo, answer: &str) {
    let server = SERVER.replace("ANSWER", answer);
    repo.change(&[
        ("server.py", &server),
        ("Procfile", "web: python3 server.py\n"),
    ]);
}

fn load(rig: &Rig, app: &str) -> Load {
    Load::start(rig, app, "/", 8, Duration::from_millis(20))
}

/// So many more requests are answered; at 8 clients with 20 ms between requests 400 take a second at least.
fn goes_on(rig: &Rig, load: &Load, requests: u64) {
    let before = load.count();
    rig.wait("more answers", Duration::from_secs(120), |_| {
        load.count() >= before + requests
    });
}

/// What is asked for is what runs, with nothing besides: so many dynos of the app, and one of the other.
fn settled(rig: &Rig, (app, web): (&str, usize), other: &str) {
    rig.wait_ready();
    rig.wait_up(app, web);
    rig.wait_up(other, 1);
    rig.wait("one container a dyno", Duration::from_secs(60), |rig| {
        rig.containers("dyno").len() == web + 1
    });
    let overlays = || rig.entries("mnt/dyno");
    let alone = wait(Duration::from_secs(90), || overlays().len() == web + 1);
    let (dynos, containers) = (rig.dynos(app), rig.containers("dyno"));
    assert!(
        alone,
        "one overlay a dyno: {:?} for {dynos:?} in {containers:?}",
        overlays()
    );
}

fn is_logged(rig: &Rig, app: &str, word: &str) {
    let line = format!("said {word}");
    rig.wait(
        &format!("{line:?} in the log"),
        Duration::from_secs(60),
        |rig| {
            rig.cli(&["logs", "--num", "1500", "--app", app])
                .stdout
                .contains(&line)
        },
    );
}

/// Everything that needs the engine works again.
fn works(rig: &Rig, app: &str, repo: &Repo, answer: &str) {
    let said = format!("after-{answer}");
    assert_eq!(rig.get(app, &format!("/say/{said}")).0, 200);
    is_logged(rig, app, &said);
    change(repo, answer);
    rig.push(repo, app).good();
    assert_eq!(rig.get(app, "/"), (200, answer.to_owned()));
}

#[test]
fn the_engine_is_killed_and_stopped_under_load() {
    Engine::private(|engine| {
        let rig = Rig::on(engine);
        let repo = Repo::with(&[]);
        change(&repo, "first");
        // The log of an app under load keeps its last seconds only, so another one is asked about its log.
        let (app, quiet) = (rig.create("engine"), rig.create("quiet"));
        rig.push(&repo, &quiet).good();
        rig.push(&repo, &app).good();
        rig.cli(&["ps:scale", "web=2", "--app", &app]).good();
        settled(&rig, (&app, 2), &quiet);
        let dynos = rig.containers("dyno");

        let requests = load(&rig, &app);
        engine.kill();
        goes_on(&rig, &requests, 1_000);
        assert_eq!(rig.get(&quiet, "/say/killed").0, 200);
        rig.cli(&["ps:scale", "web=3", "--app", &app]).good();
        goes_on(&rig, &requests, 1_000);
        engine.restart();
        settled(&rig, (&app, 3), &quiet);
        requests.stop().none_failed();
        let now = rig.containers("dyno");
        assert!(
            dynos.iter().all(|dyno| now.contains(dyno)),
            "dynos went on: {dynos:?}, {now:?}"
        );
        is_logged(&rig, &quiet, "killed");
        works(&rig, &quiet, &repo, "second");
        settled(&rig, (&app, 3), &quiet);

        let requests = load(&rig, &app);
        engine.pause();
        goes_on(&rig, &requests, 3_000);
        assert_eq!(rig.get(&quiet, "/say/stopped").0, 200);
        rig.cli(&["ps:scale", "web=2", "--app", &app]).good();
        goes_on(&rig, &requests, 3_000);
        engine.resume();
        settled(&rig, (&app, 2), &quiet);
        requests.stop().none_failed();
        is_logged(&rig, &quiet, "stopped");
        works(&rig, &quiet, &repo, "third");
        settled(&rig, (&app, 2), &quiet);
    });
}

#[test]
fn what_a_power_cut_ended_starts_again_and_has_not_crashed() {
    Engine::private(|engine| {
        let rig = Rig::on(engine);
        let repo = Repo::with(&[]);
        change(&repo, "first");
        let app = rig.create("cut-off");
        rig.push(&repo, &app).good();
        rig.cli(&["ps:scale", "web=2", "--app", &app]).good();
        rig.wait_up(&app, 2);
        // Three crashes so close together would be answered with a back-off.
        for _ in 0..3 {
            let before = rig.containers("dyno");
            engine.cut_off();
            engine.restart();
            rig.wait("other dynos", Duration::from_secs(60), |rig| {
                let now = rig.containers("dyno");
                now.len() == 2 && before.iter().all(|dyno| !now.contains(dyno))
            });
            rig.wait_up(&app, 2);
            assert_eq!(rig.get(&app, "/"), (200, "first".to_owned()));
        }
        let (_, dynos) = rig.api("GET", &format!("/ropewalk/apps/{app}/dynos"), "");
        assert_eq!(dynos.matches(r#""crashes":0"#).count(), 2, "{dynos}");
        let log = rig.cli(&["logs", "--num", "1500", "--app", &app]).stdout;
        let ended = "Process ended: the host or its engine was restarted";
        assert!(log.matches(ended).count() >= 6, "{log}");
        assert!(!log.contains("to crashed"), "{log}");
    });
}
