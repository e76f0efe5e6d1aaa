//! From `git push` to an answer, for every example and for pushes that must not get through.

#![allow(clippy::unwrap_used)] // support code of tests

use std::time::Duration;

use e2e::{Load, Repo, Rig};

/// A web app of one file, in the stack's own Python.
fn app(answer: &str) -> Vec<(String, String)> {
    let server = format!(
        r#"import http.server, os, signal, sys, threading
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = ("{answer} " + os.environ["DYNO"]).encode()
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
print("listening", flush=True)
server.serve_forever()
"#
    );
    vec![
        ("server.py".to_owned(), server),
        ("Procfile".to_owned(), "web: python3 server.py\n".to_owned()),
    ]
}

fn repo(answer: &str) -> Repo {
    let files = app(answer);
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(n, t)| (n.as_str(), t.as_str()))
        .collect();
    Repo::with(&files)
}

fn change(repo: &Repo, answer: &str, extra: &[(&str, &str)]) {
    let files = app(answer);
    let mut files: Vec<(&str, &str)> = files
        .iter()
        .map(|(n, t)| (n.as_str(), t.as_str()))
        .collect();
    files.extend(extra);
    repo.change(&files);
}

#[test]
fn every_example_is_pushed_and_answers() {
    let rig = Rig::start();
    for example in ["hello", "nodejs", "python", "static", "procfile", "slow"] {
        let app = rig.create(example);
        let ran = rig.push(&Repo::example(example), &app).good();
        assert!(
            ran.all().contains("Verifying deploy... done."),
            "{example}: {}",
            ran.all()
        );
        assert!(
            ran.all().contains(&rig.url(&app)),
            "{example}: {}",
            ran.all()
        );
        let (status, body) = rig.get(&app, "/");
        assert_eq!(status, 200, "{example}: {body}");
        // The same again: nothing changed, the cache serves.
        rig.push(Repo::example(example).change(&[("CHANGED", "1")]), &app)
            .good();
        assert_eq!(rig.get(&app, "/").0, 200, "{example}, second push");
        rig.cli(&["apps:destroy", "--app", &app, "--confirm", &app])
            .good();
    }
    rig.wait("every container to go", Duration::from_secs(60), |rig| {
        rig.containers("dyno").is_empty()
    });
    rig.wait("every overlay to go", Duration::from_secs(90), |rig| {
        rig.entries("mnt/dyno").is_empty()
    });
}

#[test]
fn four_dynos_get_a_quarter_each_and_deploys_lose_nothing() {
    let rig = Rig::start();
    let name = rig.create("even");
    let repo = repo("first");
    rig.push(&repo, &name).good();
    rig.cli(&["ps:scale", "web=4", "--app", &name]).good();
    rig.wait_up(&name, 4);

    let seen = Load::burst(&rig, &name, "/", 64, 10_000);
    seen.none_failed();
    assert_eq!(seen.good, 10_000);
    for dyno in 1..=4 {
        let share = seen.share(&format!("web.{dyno}"));
        assert!(
            (share - 0.25).abs() <= 0.02,
            "web.{dyno} got {share}: {:?}",
            seen.bodies
        );
    }

    let load = Load::start(&rig, &name, "/", 16, Duration::from_millis(10));
    change(&repo, "second", &[]);
    rig.push(&repo, &name).good();
    rig.wait("the new answer", Duration::from_secs(20), |rig| {
        rig.get(&name, "/").1.contains("second")
    });
    rig.wait_up(&name, 4);
    let seen = load.stop();
    seen.none_failed();
    assert!(seen.share("first") > 0.0 && seen.share("second") > 0.0);

    let load = Load::start(&rig, &name, "/", 16, Duration::from_millis(10));
    rig.cli(&["rollback", "--app", &name]).good();
    rig.wait("the old answer", Duration::from_secs(60), |rig| {
        rig.get(&name, "/").1.contains("first")
    });
    rig.wait_up(&name, 4);
    rig.cli(&["ps:scale", "web=1", "--app", &name]).good();
    rig.wait_up(&name, 1);
    load.stop().none_failed();
}

#[test]
fn what_fails_is_rejected_and_the_old_one_serves_throughout() {
    let rig = Rig::start();
    let name = rig.create("robust");
    let repo = repo("good");
    rig.push(&repo, &name).good();
    let load = Load::start(&rig, &name, "/", 4, Duration::from_millis(20));

    let release = "web: python3 server.py\nrelease: echo migrating; if then\n";
    change(&repo, "bad", &[("Procfile", release)]);
    let ran = rig.push(&repo, &name).bad();
    assert!(
        ran.all().contains("migrating") || ran.all().contains("syntax error"),
        "{}",
        ran.all()
    );
    assert!(ran.all().contains("release command"), "{}", ran.all());

    change(
        &repo,
        "bad",
        &[(
            "package.json",
            r#"{"name":"x","scripts":{"build":"exit 3"}}"#,
        )],
    );
    let ran = rig.push(&repo, &name).bad();
    assert!(
        ran.all()
            .contains("Push rejected, failed to compile Node.js app"),
        "{}",
        ran.all()
    );
    repo.git(&["rm", "-q", "package.json"]);

    change(
        &repo,
        "bad",
        &[(
            "server.py",
            "import sys\nprint('no such table: users')\nsys.exit(3)\n",
        )],
    );
    let ran = rig.push(&repo, &name).bad();
    assert!(
        ran.all().contains("no such table: users"),
        "the last lines are shown: {}",
        ran.all()
    );
    assert!(ran.all().contains("exit 3"), "{}", ran.all());

    change(
        &repo,
        "bad",
        &[("Procfile", "web: python3 server.py\n<<<<<<< HEAD\n")],
    );
    let ran = rig.push(&repo, &name).bad();
    assert!(ran.all().contains("Procfile line 2"), "{}", ran.all());

    let seen = load.stop();
    seen.none_failed();
    assert!(
        (seen.share("good") - 1.0).abs() < f64::EPSILON,
        "{:?}",
        seen.bodies
    );
    change(
        &repo,
        "better",
        &[(
            "Procfile",
            "web: python3 server.py\nrelease: echo migrated\n",
        )],
    );
    let ran = rig.push(&repo, &name).good();
    assert!(ran.all().contains("migrated"), "{}", ran.all());
    assert!(rig.get(&name, "/").1.contains("better"));
}

#[test]
fn a_dyno_on_the_wrong_port_is_named_with_the_port_it_bound() {
    let rig = Rig::start();
    let name = rig.create("wrong-port");
    let text = "web: python3 -m http.server 3000 --bind 127.0.0.1\n";
    let ran = rig
        .push(
            &Repo::with(&[("Procfile", text), ("index.txt", "x")]),
            &name,
        )
        .bad();
    assert!(ran.all().contains("R10"), "{}", ran.all());
    assert!(ran.all().contains("127.0.0.1:3000"), "{}", ran.all());
    assert_eq!(rig.get(&name, "/").0, 503);
}

#[test]
fn pushes_that_are_no_deploys_are_answered_plainly() {
    let rig = Rig::start();
    let name = rig.create("odd");
    let repo = repo("main");
    let url = format!("{}/{name}.git", rig.url("git"));
    let push = |args: &[&str]| {
        let mut all = vec!["push", url.as_str()];
        all.extend(args);
        let output = rig.command(repo.path(), "git").args(all).output().unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (good, text) = push(&["main:refs/heads/feature"]);
    assert!(
        good && text.contains("main"),
        "a push elsewhere is stored and says so: {text}"
    );
    assert_eq!(rig.get(&name, "/").0, 503);
    let (good, text) = push(&["main"]);
    assert!(good, "{text}");
    let (good, text) = push(&["main"]);
    assert!(good && text.contains("up-to-date"), "{text}");
    let (good, text) = push(&[":main"]);
    assert!(
        !good,
        "deleting the branch that is deployed is refused: {text}"
    );
    assert_eq!(rig.get(&name, "/").0, 200);

    let stranger = rig
        .command(repo.path(), "git")
        .args(["push", &url, "main"])
        .env("ROPEWALK_TOKEN", "RWK-wrong")
        .output()
        .unwrap();
    assert!(!stranger.status.success());
    let empty = Repo::with(&[]);
    let ran = rig.push(&empty, &name).bad();
    assert!(ran.all().contains("no files"), "{}", ran.all());
}

#[test]
fn a_second_push_during_a_build_is_refused_and_a_cancelled_one_leaves_nothing() {
    let rig = Rig::start();
    let name = rig.create("busy");
    let slow = r#"{"name":"slow","scripts":{"build":"sleep 600"}}"#;
    let repo = Repo::with(&[("package.json", slow), ("Procfile", "web: sleep 1\n")]);
    let mut first = rig.push_later(&repo, &name);
    rig.wait("the build", Duration::from_secs(120), |rig| {
        !rig.containers("build").is_empty()
    });
    let ran = rig.push(repo.change(&[("x", "y")]), &name).bad();
    assert!(
        ran.all().to_lowercase().contains("another"),
        "{}",
        ran.all()
    );
    rig.interrupt(&mut first);
    rig.wait(
        "the build's container to go",
        Duration::from_secs(15),
        |rig| rig.containers("build").is_empty(),
    );
    rig.wait("the build's folder to go", Duration::from_secs(15), |rig| {
        rig.entries("builds").is_empty()
    });
    repo.change(&[
        ("package.json", r#"{"name":"quick"}"#),
        ("Procfile", "web: python3 -m http.server $PORT\n"),
    ]);
    rig.push(&repo, &name).good();
}

#[test]
fn a_release_is_an_image_that_docker_pulls() {
    let rig = Rig::start();
    let name = rig.create("image");
    rig.push(&repo("pulled"), &name).good();
    let image = format!("localhost:{}/{name}:latest", rig.port);
    let config = tempfile::tempdir().unwrap();
    let docker = |args: &[&str]| {
        let output = std::process::Command::new("docker")
            .arg("--config")
            .arg(config.path())
            .args(args)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        text
    };
    let host = format!("localhost:{}", rig.port);
    docker(&["login", "-u", "_", "-p", &rig.token, &host]);
    docker(&["pull", "-q", &image]);
    let out = docker(&["run", "--rm", "--network", "none", &image, "ls /app"]);
    docker(&["rmi", &image]);
    assert!(out.contains("server.py"), "{out}");
}
