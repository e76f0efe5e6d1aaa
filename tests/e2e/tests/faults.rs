//! kill -9 of the server at five moments under load: no request fails, everything converges, nothing is left over.

#![allow(clippy::unwrap_used)] // support code of tests

use std::collections::BTreeSet;
use std::time::Duration;

use e2e::{Load, Repo, Rig};

/// What must not pile up.
fn traces(rig: &Rig) -> Vec<String> {
    let mut all = Vec::new();
    for folder in ["builds", "mnt/dyno"] {
        all.extend(
            rig.entries(folder)
                .into_iter()
                .map(|name| format!("{folder}/{name}")),
        );
    }
    for repo in rig.entries("repos") {
        for folder in ["objects", ""] {
            let names = rig.entries(&format!("repos/{repo}/{folder}"));
            let odd = |name: &String| name.contains("incoming") || name.ends_with(".lock");
            all.extend(
                names
                    .into_iter()
                    .filter(odd)
                    .map(|name| format!("{repo}/{name}")),
            );
        }
    }
    all.extend(rig.containers("build"));
    all
}

fn settled(rig: &Rig, app: &str, web: usize) {
    rig.wait_ready();
    rig.wait_up(app, web);
    rig.wait("one container a dyno", Duration::from_secs(30), |rig| {
        rig.containers("dyno").len() == web
    });
    rig.wait(
        "one overlay a dyno, and no other trace",
        Duration::from_secs(90),
        |rig| {
            let traces: BTreeSet<String> = traces(rig).into_iter().collect();
            traces.len() == web && traces.iter().all(|trace| trace.starts_with("mnt/dyno/"))
        },
    );
}

#[test]
fn the_server_is_killed_at_five_moments() {
    let rig = Rig::start();
    let app = rig.create("killed");
    let repo = Repo::example("hello");
    rig.push(&repo, &app).good();
    rig.cli(&["ps:scale", "web=2", "worker=0", "--app", &app])
        .good();
    settled(&rig, &app, 2);
    let load = Load::start(&rig, &app, "/", 8, Duration::from_millis(20));

    // Idle.
    rig.kill("server");
    settled(&rig, &app, 2);

    // While a push is received: a pack large enough to be under way.
    let big: String = (0..400_000)
        .map(|n: u64| format!("{:x}\n", n.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
        .collect();
    repo.change(&[("big.txt", &big)]);
    let mut push = rig.push_later(&repo, &app);
    rig.wait("the push to arrive", Duration::from_secs(20), |rig| {
        rig.entries("repos").iter().any(|repo| {
            rig.entries(&format!("repos/{repo}/objects"))
                .iter()
                .any(|name| name.contains("incoming"))
        }) || !rig.entries("builds").is_empty()
    });
    rig.kill("server");
    assert!(!push.wait().unwrap().success(), "the client is told");
    settled(&rig, &app, 2);

    // While a build runs.
    repo.change(&[(
        "package.json",
        r#"{"name":"slow","scripts":{"build":"sleep 600"}}"#,
    )]);
    let mut push = rig.push_later(&repo, &app);
    rig.wait("the build", Duration::from_secs(60), |rig| {
        !rig.containers("build").is_empty()
    });
    rig.kill("server");
    assert!(!push.wait().unwrap().success(), "the client is told");
    settled(&rig, &app, 2);

    // While new dynos boot: the first of them is there.
    let repo = Repo::example("hello");
    repo.change(&[("CHANGED", "1")]);
    let before = rig.containers("dyno");
    let mut push = rig.push_later(&repo, &app);
    rig.wait("a new dyno", Duration::from_secs(60), |rig| {
        rig.containers("dyno")
            .iter()
            .any(|name| !before.contains(name))
    });
    rig.kill("server");
    push.wait().unwrap();
    settled(&rig, &app, 2);

    // While it scales.
    rig.cli(&["ps:scale", "web=5", "--app", &app]).good();
    rig.kill("server");
    settled(&rig, &app, 5);

    load.stop().none_failed();
    repo.change(&[("CHANGED", "2")]);
    rig.push(&repo, &app).good();
    settled(&rig, &app, 5);
}

#[test]
fn the_router_is_killed_and_a_new_one_serves_by_the_last_table() {
    let rig = Rig::start();
    let app = rig.create("router");
    rig.push(&Repo::example("hello"), &app).good();
    // Without its server the router has only what it kept.
    let server = rustix::process::Pid::from_raw(rig.pid("server")).unwrap();
    rustix::process::kill_process(server, rustix::process::Signal::STOP).unwrap();
    rig.kill("router");
    let answer = rig.get(&app, "/");
    rustix::process::kill_process(server, rustix::process::Signal::CONT).unwrap();
    assert_eq!(answer.0, 200, "{}", answer.1);
}

#[test]
fn the_supervisor_is_killed_and_the_next_one_takes_everything_over() {
    let mut rig = Rig::start();
    let app = rig.create("orphans");
    rig.push(&Repo::example("hello"), &app).good();
    let left = [rig.pid("server"), rig.pid("router")];
    rig.kill_supervisor();
    assert_eq!(
        rig.get(&app, "/").0,
        200,
        "nobody looks after them, and they serve"
    );
    rig.supervise_again();
    rig.wait(
        "another server and router",
        Duration::from_secs(60),
        |rig| {
            let now = [rig.pid("server"), rig.pid("router")];
            now.iter().all(|pid| !left.contains(pid))
        },
    );
    settled(&rig, &app, 1);
    assert_eq!(rig.get(&app, "/").0, 200);
    for pid in left {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let data = rig.data.to_string_lossy().into_owned();
        assert!(
            !String::from_utf8_lossy(&line).contains(&data),
            "{pid} has ended"
        );
    }
}

#[test]
fn a_dyno_that_is_removed_by_hand_comes_back() {
    let rig = Rig::start();
    let app = rig.create("removed");
    rig.push(&Repo::example("hello"), &app).good();
    let before = rig.containers("dyno");
    let removed = std::process::Command::new("docker")
        .args(["rm", "-f", &before[0]])
        .output()
        .unwrap();
    assert!(removed.status.success());
    rig.wait("another dyno", Duration::from_secs(30), |rig| {
        let now = rig.containers("dyno");
        now.len() == 1 && now != before
    });
    rig.wait("an answer", Duration::from_secs(30), |rig| {
        rig.get(&app, "/").0 == 200
    });
}
