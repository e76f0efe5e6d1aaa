//! What is promised to dynos that behave badly, one by one: docs/lifecycles/dyno.md.

#![allow(clippy::unwrap_used)] // support code of tests

use std::time::Duration;

use e2e::{Repo, Rig};

const PATIENCE: Duration = Duration::from_secs(60);

/// Does what a request asks of it, and at its start what its config vars say.
const SERVER: &str = r#"
import http.server, os, signal, sys, threading, time
def child(work):
    if os.fork() == 0:
        work()
        os._exit(0)
def eat(mib):
    kept = []
    for _ in range(mib):
        kept.append(bytearray(os.urandom(1) * (1 << 20)))
    return kept
kept = []
def over():
    kept.append(eat(600))
def oom_child():
    child(lambda: (eat(1500), time.sleep(60)))
def zombies():
    def orphan():
        child(lambda: None)
    for _ in range(50):
        child(orphan)
        os.wait()
def states():
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            found.append(open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0])
        except OSError:
            pass
    return "".join(sorted(found))
def fork_bomb():
    pids = []
    try:
        while len(pids) < 5000:
            pid = os.fork()
            if pid == 0:
                time.sleep(600)
            pids.append(pid)
        return "no limit"
    except BlockingIOError:
        return f"limited to {len(pids)}"
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
def fill():
    try:
        with open("/tmp/full", "wb") as file:
            for _ in range(4096):
                file.write(b"x" * (1 << 20))
        return "no limit"
    except OSError as error:
        os.unlink("/tmp/full")
        return error.strerror
def fill_app():
    with open("/app/full", "wb") as file:
        for _ in range(400):
            file.write(b"x" * (1 << 20))
        file.flush()
        os.fsync(file.fileno())
def flood():
    for n in range(200_000):
        print("flood", n, flush=False)
    sys.stdout.flush()
DEEDS = {
    "/over": over, "/oom": lambda: eat(1500), "/oom-child": oom_child, "/zombies": zombies, "/states": states,
    "/fork-bomb": fork_bomb, "/fill": fill, "/flood": flood, "/exit": lambda: os._exit(3),
    "/fill-app": fill_app, "/full": lambda: os.path.exists("/app/full"), "/ram": lambda: os.environ["DYNO_RAM"],
}
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = str(DEEDS.get(self.path, lambda: os.environ["DYNO"])()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
print("face", os.environ.get("FACE"), flush=True)
match os.environ.get("FACE", "").split():
    case ["crash"]: sys.exit(3)
    case ["late", seconds]: time.sleep(float(seconds))
    case ["deaf"]: signal.signal(signal.SIGTERM, signal.SIG_IGN)
port = int(os.environ["FORCED_PORT"] if "FORCED_PORT" in os.environ else os.environ["PORT"])
http.server.ThreadingHTTPServer((os.environ.get("ADDRESS", "0.0.0.0"), port), Handler).serve_forever()
"#;

/// With a child that left its group, and one that is its first process's.
const FAMILY: &str = r#"#!/bin/bash
told() { echo "$1 was told"; told=1; }
member() { trap "told $1" TERM; echo "$1 is there"; until [ "$told" ]; do sleep 0.1; done; }
export -f told member
setsid bash -c 'member daemon' &
member child &
trap 'told parent' TERM
echo parent is there
while [ "$(jobs -r)" ]; do wait; done
"#;

fn repo() -> Repo {
    Repo::with(&[
        ("server.py", SERVER),
        ("family.sh", FAMILY),
        (
            "Procfile",
            "web: python3 server.py\nfamily: bash family.sh\nlater: sleep 61; exit 5\n",
        ),
    ])
}

/// An app that serves.
fn app(rig: &Rig, stem: &str) -> String {
    let name = rig.create(stem);
    rig.push(&repo(), &name).good();
    assert_eq!(rig.get(&name, "/").0, 200);
    name
}

fn log_has(rig: &Rig, app: &str, text: &str) -> bool {
    let log = rig.cli(&["logs", "--num", "1500", "-a", app]).good();
    log.all().contains(text)
}

fn wait_log(rig: &Rig, app: &str, text: &str) {
    rig.wait(text, PATIENCE, |rig| log_has(rig, app, text));
}

/// The one web dyno serves again after its first crash.
fn wait_restart(rig: &Rig, app: &str) {
    rig.wait("the first restart", PATIENCE, |rig| {
        let (_, dynos) = rig.api("GET", &format!("/ropewalk/apps/{app}/dynos"), "");
        dynos.contains(r#""crashes":1"#) && rig.get(app, "/") == (200, "web.1".to_owned())
    });
}

/// `ps` as its users see it.
fn wait_ps(rig: &Rig, app: &str, text: &str) {
    rig.wait(text, Duration::from_secs(90), |rig| {
        rig.cli(&["ps", "-a", app]).good().all().contains(text)
    });
}

#[test]
fn a_dyno_binds_its_port_in_time_or_the_release_before_it_serves_on() {
    let rig = Rig::start();
    let app = app(&rig, "boots");
    let set = |vars: &[&str]| {
        let mut args = vec!["config:set", "-a", app.as_str()];
        args.extend(vars);
        // It waits for the release, and ends as that does.
        rig.cli(&args);
    };
    let settled = |version: usize| {
        rig.wait("the release is decided", PATIENCE, |rig| {
            let (_, release) = rig.api("GET", &format!("/apps/{app}/releases/{version}"), "");
            !release.contains(r#""status":"pending""#)
        });
        let (_, release) = rig.api("GET", &format!("/apps/{app}/releases/{version}"), "");
        release.contains(r#""status":"succeeded""#)
    };
    let limit = |text: &str| {
        let setting = format!("boot-timeout={text}");
        rig.cli(&["ps:settings:set", &setting, "--type", "web", "-a", &app])
            .good();
    };
    set(&["FACE=late 4"]);
    assert!(settled(3), "late, but in time");
    limit("2s");
    set(&["FACE=late 5"]);
    assert!(!settled(4), "too late");
    wait_log(&rig, &app, "Error R10 (Boot timeout)");
    wait_log(
        &rig,
        &app,
        "within 2 seconds of launch; it listens on no port",
    );
    set(&["FACE=", "FORCED_PORT=3000"]);
    assert!(!settled(5), "the wrong port");
    wait_log(&rig, &app, "it listens on 0.0.0.0:3000 instead");
    set(&["FACE=", "FORCED_PORT=5000", "ADDRESS=127.0.0.1"]);
    assert!(!settled(6), "an address that nobody reaches");
    wait_log(&rig, &app, "listen on 0.0.0.0 instead of 127.0.0.1");
    set(&["FACE=crash", "ADDRESS=0.0.0.0"]);
    assert!(!settled(7), "crashes at once");
    wait_log(&rig, &app, "Process exited with status 3");
    assert_eq!(rig.get(&app, "/"), (200, "web.1".to_owned()));
}

#[test]
fn a_dyno_that_crashes_comes_back_and_ps_says_why() {
    let rig = Rig::start();
    let app = app(&rig, "crashes");
    rig.cli(&["ps:scale", "later=1", "-a", &app]).good();
    // At once the first time, then after 10 s: the second one can be looked at.
    for round in 0..2 {
        rig.get(&app, "/exit");
        wait_log(&rig, &app, "Process exited with status 3");
        if round == 0 {
            wait_restart(&rig, &app);
        }
    }
    wait_ps(&rig, &app, "): exit 3; starts again in ");
    rig.wait_up(&app, 2);
    // One that ran for a minute has crashed for the first time, and is there again at once.
    wait_log(&rig, &app, "Process exited with status 5");
    rig.wait("the worker", PATIENCE, |rig| {
        let (_, dynos) = rig.api("GET", &format!("/ropewalk/apps/{app}/dynos"), "");
        let found: serde_json::Value = serde_json::from_str(&dynos).unwrap();
        found
            .as_array()
            .unwrap()
            .iter()
            .any(|dyno| dyno["type"] == "later" && dyno["state"] == "up" && dyno["crashes"] == 1)
    });
}

#[test]
fn memory_beyond_the_quota_is_told_and_beyond_the_limit_ended() {
    let rig = Rig::start();
    let app = app(&rig, "memory");
    rig.get(&app, "/over");
    wait_log(&rig, &app, "Error R14 (Memory quota exceeded)");
    assert!(log_has(&rig, &app, "Process running mem="));
    assert_eq!(rig.get(&app, "/"), (200, "web.1".to_owned()));
    rig.get(&app, "/oom-child");
    wait_log(&rig, &app, "Error R15 (Memory quota vastly exceeded)");
    wait_log(
        &rig,
        &app,
        "Stopped a process with SIGKILL, and not the first one",
    );
    assert_eq!(rig.get(&app, "/"), (200, "web.1".to_owned()));
    assert_eq!(rig.dynos(&app), [("web.1".to_owned(), "up".to_owned())]);
    // Twice, for the first restart is too quick to be looked at.
    rig.get(&app, "/oom");
    wait_log(&rig, &app, "Process exited with status 137");
    wait_restart(&rig, &app);
    rig.get(&app, "/oom");
    wait_ps(&rig, &app, "): exit 137, out of memory; starts again in ");
    rig.wait_up(&app, 1);
    assert_eq!(rig.get(&app, "/"), (200, "web.1".to_owned()));
}

#[test]
fn a_dyno_is_stopped_with_all_its_processes_and_killed_when_it_does_not_listen() {
    let rig = Rig::start();
    let app = app(&rig, "ends");
    rig.cli(&["ps:scale", "family=1", "-a", &app]).good();
    for member in ["parent", "child", "daemon"] {
        wait_log(&rig, &app, &format!("{member} is there"));
    }
    rig.cli(&["ps:scale", "family=0", "-a", &app]).good();
    for member in ["parent", "child", "daemon"] {
        wait_log(&rig, &app, &format!("{member} was told"));
    }
    rig.wait("the family is gone", PATIENCE, |rig| {
        rig.dynos(&app).len() == 1
    });
    let log = rig.cli(&["logs", "--num", "1500", "-a", &app]).good();
    assert_eq!(log.all().matches(" was told").count(), 3, "{}", log.all());
    assert!(!log.all().contains("R12"), "{}", log.all());

    rig.cli(&["ps:settings:set", "stop-grace=2s", "-a", &app])
        .good();
    rig.cli(&["config:set", "FACE=deaf", "-a", &app]).good();
    rig.cli(&["ps:wait", "-a", &app]).good();
    rig.cli(&["ps:restart", "-a", &app]).good();
    wait_log(
        &rig,
        &app,
        "Error R12 (Exit timeout) -> At least one process failed to exit within 2 seconds of SIGTERM",
    );
    wait_log(&rig, &app, "Stopping remaining processes with SIGKILL");
    assert_eq!(rig.get(&app, "/"), (200, "web.1".to_owned()));
}

#[test]
fn a_dyno_that_takes_all_it_can_harms_nobody() {
    let rig = Rig::start();
    let app = app(&rig, "greedy");
    let other = self::app(&rig, "modest");
    let (status, answer) = rig.get(&app, "/fork-bomb");
    assert!(
        status == 200 && answer.starts_with("limited to "),
        "{answer}"
    );
    assert_eq!(
        rig.get(&app, "/fill"),
        (200, "No space left on device".to_owned())
    );
    rig.get(&app, "/zombies");
    rig.wait("no zombies", PATIENCE, |rig| {
        let (status, states) = rig.get(&app, "/states");
        status == 200 && !states.contains('Z')
    });
    rig.get(&app, "/flood");
    wait_log(&rig, &app, "flood 199999");
    for app in [&app, &other] {
        assert_eq!(rig.get(app, "/"), (200, "web.1".to_owned()));
        assert_eq!(rig.dynos(app), [("web.1".to_owned(), "up".to_owned())]);
    }
}

#[test]
fn a_dyno_that_fills_its_disk_ends_and_one_of_a_size_that_is_changed_gives_way() {
    let rig = Rig::start();
    let app = app(&rig, "full");
    let size = app.replace("full", "Small");
    rig.cli(&["sizes:add", &size, "memory=256M", "disk=128M"])
        .good();
    rig.cli(&["ps:type", &format!("web={size}"), "-a", &app])
        .good();
    rig.wait("the small dyno", PATIENCE, |rig| {
        rig.get(&app, "/ram") == (200, "256".to_owned())
    });
    // Whether it is answered before its dyno ends is a matter of luck.
    rig.get(&app, "/fill-app");
    wait_log(&rig, &app, "Error: disk quota exceeded: it wrote ");
    wait_log(&rig, &app, &format!("and a {size} may write 128 MiB"));
    rig.wait("a dyno with nothing of that", PATIENCE, |rig| {
        rig.get(&app, "/full") == (200, "False".to_owned())
    });

    rig.cli(&["sizes:set", &size, "memory=320M", "disk=1G"])
        .good();
    rig.wait("the larger dyno", PATIENCE, |rig| {
        let (status, ram) = rig.get(&app, "/ram");
        assert_eq!(status, 200, "{ram}");
        ram == "320"
    });
    rig.cli(&["ps:type", "web=basic", "-a", &app]).good();
    rig.wait("nothing of the size any more", PATIENCE, |rig| {
        rig.get(&app, "/ram") == (200, "512".to_owned()) && rig.dynos(&app).len() == 1
    });
    rig.cli(&["sizes:remove", &size]).good();
}
