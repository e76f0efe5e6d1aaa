//! Dynos follow the load and the app's own numbers, on a real engine.

use std::time::{Duration, Instant};

use e2e::{Pace, Repo, Rig, wait};
use serde_json::Value;

fn events(rig: &Rig, app: &str) -> Vec<Value> {
    let ran = rig
        .cli(&["autoscale:events", "--num", "1000", "--json", "--app", app])
        .good();
    serde_json::from_str(&ran.stdout).unwrap()
}

fn quantity(rig: &Rig, app: &str, process_type: &str) -> u64 {
    let (status, body) = rig.api("GET", &format!("/apps/{app}/formation/{process_type}"), "");
    assert_eq!(status, 200, "{body}");
    let formation: Value = serde_json::from_str(&body).unwrap();
    formation["quantity"].as_u64().unwrap()
}

/// How long it took, or the events.
#[track_caller]
fn until(rig: &Rig, app: &str, what: &str, limit: u64, is: impl Fn(u64) -> bool) -> Duration {
    let begun = Instant::now();
    let limit = Duration::from_secs(limit);
    let is = wait(limit, || is(quantity(rig, app, "web")));
    assert!(is, "{what} within {limit:?}: {:#?}", events(rig, app));
    begun.elapsed()
}

#[test]
fn a_step_of_the_load_is_met_and_given_back_and_no_request_fails() {
    let _alone = crate::alone();
    let rig = Rig::start();
    let app = rig.create("slow");
    rig.cli(&["config:set", "ROPEWALK_REQUESTS_PER_DYNO=5", "--app", &app])
        .good();
    rig.push(&Repo::example("slow"), &app).good();
    let settings = [
        "min=1",
        "max=8",
        "concurrency=5",
        "down-after=20s",
        "down-rest=5s",
    ];
    let set = [&["autoscale:set", "web"], &settings[..], &["--app", &app]].concat();
    rig.cli(&set).good();

    let load = Pace::start(&rig, &app, "/", 5);
    // Enough to know what is usual, and nothing to do.
    std::thread::sleep(Duration::from_secs(20));
    assert_eq!(quantity(&rig, &app, "web"), 1);
    load.set(200);
    let decided = until(&rig, &app, "a decision", 20, |dynos| dynos > 1);
    // 200 a second of 50 ms each are ten at once: two dynos, and room for chance and for what waits.
    until(&rig, &app, "enough dynos", 60, |dynos| dynos >= 3);
    rig.wait("all of them", Duration::from_secs(60), |rig| {
        let dynos = rig.dynos(&app);
        let up = dynos.iter().filter(|(_, state)| state == "up").count();
        u64::try_from(up).unwrap() == quantity(rig, &app, "web")
    });
    let most = quantity(&rig, &app, "web");
    let met = Instant::now();
    // It holds.
    std::thread::sleep(Duration::from_secs(20));
    assert!(
        quantity(&rig, &app, "web") >= 2,
        "{:#?}",
        events(&rig, &app)
    );
    load.set(5);
    let back = until(&rig, &app, "the way back", 180, |dynos| dynos == 1);
    let seen = load.stop();
    let events = events(&rig, &app);
    eprintln!(
        "decided after {decided:?}, most {most} dynos, back after {back:?}, {} requests in {:?}; {events:#?}",
        seen.good,
        met.elapsed()
    );
    seen.none_failed();
    assert!(
        decided < Duration::from_secs(10),
        "decided after {decided:?}"
    );

    let (first, last) = (&events[0], events.last().unwrap());
    assert_eq!(
        (&first["from"], &first["applied"]),
        (&Value::from(1), &Value::from(true))
    );
    assert_eq!(last["to"], 1);
    for pair in events.windows(2) {
        assert_eq!(pair[0]["to"], pair[1]["from"], "{events:#?}");
    }
    for event in &events {
        let (to, reason) = (
            event["to"].as_u64().unwrap(),
            event["reason"].as_str().unwrap(),
        );
        assert!((1..=8).contains(&to) && !reason.is_empty(), "{event}");
    }
    let log = rig.cli(&["logs", "--num", "1500", "--app", &app]).good();
    assert!(log.stdout.contains("by autoscale ("), "{log:?}");
    let told = rig.cli(&["autoscale:events", "--app", &app]).good();
    assert!(told.stdout.contains("no more than"), "{told:?}");
}

#[test]
fn workers_follow_a_number_of_their_own_and_dynos_are_measured() {
    let rig = Rig::start();
    let app = rig.create("slow");
    rig.cli(&["config:set", "JOBS=25", "--app", &app]).good();
    rig.push(&Repo::example("slow"), &app).good();
    rig.cli(&["ps:scale", "worker=1", "--app", &app]).good();
    rig.wait_up(&app, 2);
    rig.cli(&[
        "autoscale:set",
        "worker",
        "max=5",
        "metric:jobs=10",
        "command:jobs=bin/jobs",
        "--app",
        &app,
    ])
    .good();
    rig.wait("three workers", Duration::from_secs(60), |rig| {
        quantity(rig, &app, "worker") == 3
    });
    let events = self::events(&rig, &app);
    assert_eq!(events[0]["reason"], "jobs is 25.0, 10 for a dyno");

    // Numbers over HTTP, CPU and memory, each as advice alone: one after the other, so that each is the reason.
    for (setting, reason) in [
        (
            &["metric:slow_places=1", "path:slow_places=/metrics"][..],
            "slow_places is 5.0",
        ),
        (&["memory=1%"], "memory at "),
    ] {
        let set = [&["autoscale:set", "web", "max=5", "dry-run=on"], setting];
        let set = [&set.concat()[..], &["--app", &app]].concat();
        rig.cli(&set).good();
        rig.wait("advice", Duration::from_secs(60), |rig| {
            let events = self::events(rig, &app);
            let advice = events.iter().filter(|event| event["applied"] == false);
            let mut reasons = advice.map(|event| event["reason"].as_str().unwrap().to_owned());
            reasons.any(|text| text.starts_with(reason))
        });
        rig.cli(&["autoscale:unset", "web", "--app", &app]).good();
    }
    assert_eq!(quantity(&rig, &app, "web"), 1, "advice is not carried out");
}

/// The lines of the document's examples, as they are typed.
fn documented() -> Vec<String> {
    let text = std::fs::read_to_string(e2e::workspace().join("docs/autoscaling.md")).unwrap();
    let blocks = text.split("```sh\n").skip(1);
    let blocks = blocks.map(|rest| rest.split("```").next().unwrap());
    let lines = blocks.flat_map(str::lines).filter(|line| !line.is_empty());
    lines.map(str::to_owned).collect()
}

#[test]
fn what_the_document_shows_works() {
    let rig = Rig::start();
    let app = rig.create("slow");
    rig.push(&Repo::example("slow"), &app).good();
    let lines = documented();
    assert!(lines.len() > 10, "{lines:?}");
    let programs = e2e::binary().parent().unwrap().display().to_string();
    for line in lines {
        let mut command = rig.command(&rig.data, "sh");
        command
            .args(["-ec", &format!("PATH={programs}:$PATH; {line}")])
            .env("ROPEWALK_APP", &app);
        e2e::Ran::of(command.output().unwrap()).good();
    }
    let (status, rules) = rig.api("GET", &format!("/ropewalk/apps/{app}/autoscale"), "");
    assert_eq!(status, 200, "{rules}");
    // By the API, too.
    let text = std::fs::read_to_string(e2e::workspace().join("docs/autoscaling.md")).unwrap();
    let body = text.split("```json\n").nth(1).unwrap().split("```").next();
    let path = format!("/ropewalk/apps/{app}/formation/web/autoscale");
    let (status, rule) = rig.api("PUT", &path, body.unwrap());
    assert!(matches!(status, 200 | 201), "{rule}");
    assert!(rule.contains("hooks.example.com"), "{rule}");
}
