//! Apps that sleep, on the real engine: frozen and stopped, woken by a request, and left alone by a server that dies.

#![allow(clippy::unwrap_used)] // support code of tests

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use e2e::{Repo, Rig};

const PATIENCE: Duration = Duration::from_secs(60);

/// `GET /`: status, the milliseconds for which it waited for the app to wake, and how long it took.
fn ask(rig: &Rig, app: &str) -> (u16, Option<u64>, Duration) {
    let host = rig.host(app);
    let port: u16 = rig.url(app).rsplit_once(':').unwrap().1.parse().unwrap();
    let began = Instant::now();
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET / HTTP/1.0\r\nHost: {host}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let took = began.elapsed();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let waited = answer.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("ropewalk-cold-start")
            .then(|| value.trim().parse().unwrap())
    });
    (status, waited, took)
}

fn wait_ps(rig: &Rig, app: &str, text: &str) {
    rig.wait(text, PATIENCE, |rig| {
        rig.cli(&["ps", "-a", app]).good().all().contains(text)
    });
}

#[test]
fn an_app_sleeps_frozen_then_stopped_and_the_first_request_wakes_it() {
    let rig = Rig::start();
    let app = rig.create("sleeper");
    rig.push(&Repo::example("nodejs"), &app).good();
    assert_eq!(ask(&rig, &app).1, None);
    let dyno = rig.containers("dyno");

    for _ in 0..3 {
        rig.cli(&["ps:sleep", "-a", &app]).good();
        wait_ps(&rig, &app, "(frozen)");
        let (status, waited, took) = ask(&rig, &app);
        assert_eq!(status, 200);
        assert!(waited.is_some(), "the answer says what it waited for");
        eprintln!("from frozen: {took:?}, of which waited {waited:?} ms");
        assert_eq!(ask(&rig, &app).1, None);
    }
    assert_eq!(rig.containers("dyno"), dyno, "it is the same container");

    // A server that is killed while it sleeps: who asks is held until the next one is there.
    rig.cli(&["ps:sleep", "-a", &app]).good();
    wait_ps(&rig, &app, "(frozen)");
    rig.kill("server");
    let (status, waited, _) = ask(&rig, &app);
    assert_eq!((status, waited.is_some()), (200, true));

    // From frozen to nothing, which a frozen process takes like any other.
    rig.wait_ready();
    rig.cli(&["ps:sleep", "-a", &app]).good();
    wait_ps(&rig, &app, "(frozen)");
    rig.cli(&["ps:sleep", "--stopped", "-a", &app]).good();
    rig.wait("no container", PATIENCE, |rig| {
        rig.containers("dyno").is_empty()
    });
    wait_ps(&rig, &app, "(stopped); the next request wakes it");
    let (status, waited, took) = ask(&rig, &app);
    assert_eq!((status, waited.is_some()), (200, true));
    eprintln!("from stopped: {took:?}, of which waited {waited:?} ms");

    // By itself; what is frozen can be scaled, run in and thrown away.
    rig.cli(&["ps:settings:set", "sleep-after=10s", "-a", &app])
        .good();
    wait_ps(&rig, &app, "(frozen)");
    let inside = ["ps:exec", "-a", app.as_str(), "--", "echo", "inside"];
    let ran = rig.cli(&inside);
    assert!(
        ran.all().contains("inside") || ran.all().contains("idle"),
        "{}",
        ran.all()
    );
    rig.cli(&["apps:destroy", "-a", &app, "--confirm", &app])
        .good();
    rig.wait("no container", PATIENCE, |rig| {
        rig.containers("dyno").is_empty()
    });
}
