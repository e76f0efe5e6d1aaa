//! Health checks on an engine in memory: when dynos are up, what ends them, and what is not held against them.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use ropewalk_engine::fake::{Behaviour, Fault};
use ropewalk_model::ProcessType;
use ropewalk_model::check::{Check, Number, Probe};
use ropewalk_store::FileCheck;
use support::{Rig, until};

/// An app with a worker whose release declares this check.
async fn checked(rig: &Rig, check: &Check) -> ropewalk_model::AppId {
    let app = rig.blank_app("demo").await;
    let slug = rig.release(app, &["worker"]).await.slug.unwrap();
    let kept = FileCheck::of(&ProcessType::parse("worker").unwrap(), check);
    let declared = rig.store.write(move |tx| tx.set_slug_checks(slug, &[kept]));
    declared.await.unwrap();
    rig.scale(app, 1).await;
    app
}

fn often(probe: Probe, threshold: u64) -> Check {
    let mut check = Check::new(probe);
    check.set(Number::Interval, 1).unwrap();
    check.set(Number::Timeout, 1).unwrap();
    check.set(Number::Threshold, threshold).unwrap();
    check
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_decides_when_a_dyno_is_up_and_when_it_has_to_end() {
    let rig = rig_or_skip!();
    let code = Arc::new(AtomicI64::new(1));
    let says = Arc::clone(&code);
    rig.engine.on_exec(move |_| Behaviour::Print {
        text: "not yet\n".to_owned(),
        code: says.load(Ordering::SeqCst),
    });
    let app = checked(&rig, &often(Probe::command("bin/alive").unwrap(), 1)).await;
    let server = rig.serve();
    until("three questions", async || rig.calls("exec") >= 3).await;
    server.passes(3).await;
    assert_eq!(rig.states(app).await, ["worker.1 starting"]);
    let asked = rig.engine.execs().remove(0);
    assert_eq!(asked.command.last().unwrap(), "bin/alive");
    assert!(
        asked
            .env
            .iter()
            .any(|(name, value)| name == "DYNO" && value == "worker.1")
    );

    code.store(0, Ordering::SeqCst);
    until("it to pass", async || {
        rig.states(app).await == ["worker.1 up"]
    })
    .await;
    rig.concluded(app).await;
    let first = rig.dynos(app).await[0].id;
    // What the engine does not do says nothing about the dyno.
    let before = rig.calls("exec");
    rig.engine
        .fail_next("exec", 2, Fault::Refuse("busy".to_owned()));
    until("questions that are not put", async || {
        rig.calls("exec") >= before + 3
    })
    .await;
    server.passes(3).await;
    assert_eq!(rig.dynos(app).await[0].id, first);

    code.store(3, Ordering::SeqCst);
    until("its end", async || {
        rig.dynos(app)
            .await
            .first()
            .is_none_or(|dyno| dyno.id != first)
    })
    .await;
    code.store(0, Ordering::SeqCst);
    until("its successor", async || {
        let dynos = rig.dynos(app).await;
        dynos.iter().all(|dyno| dyno.id != first) && rig.states(app).await == ["worker.1 up"]
    })
    .await;
    let why = "Health check failed: `bin/alive` ended with 3 (once)";
    until("the log", async || {
        server.logs.flush().await;
        let all = server.logs.read(app, &Default::default()).await.unwrap();
        all.iter().any(|entry| entry.text.to_string() == why)
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_type_that_no_port_is_asked_of_is_up_when_it_answers_over_http() {
    let rig = rig_or_skip!();
    rig.engine
        .on_start(|_| Behaviour::RunForever { listen: true });
    let app = checked(&rig, &often(Probe::http("/up", None).unwrap(), 1)).await;
    let server = rig.serve();
    until("it to pass", async || {
        rig.states(app).await == ["worker.1 up"]
    })
    .await;
    let first = rig.dynos(app).await[0].id;
    server.passes(3).await;
    server.stop().await;
    // The next server asks those that are up, too.
    let server = rig.serve();
    server.passes(3).await;
    assert_eq!(rig.dynos(app).await[0].id, first);
    assert_eq!(rig.states(app).await, ["worker.1 up"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_does_not_answer_in_time_has_crashed() {
    let rig = rig_or_skip!();
    let mut check = often(Probe::tcp(None).unwrap(), 1);
    check.set(Number::Grace, 1).unwrap();
    let app = checked(&rig, &check).await;
    let server = rig.serve();
    until("the end of its boot", async || {
        let dynos = rig.dynos(app).await;
        dynos.iter().any(|dyno| dyno.crashes > 0)
    })
    .await;
    until("the log", async || {
        server.logs.flush().await;
        let all = server.logs.read(app, &Default::default()).await.unwrap();
        let why = "Health check failed: port 5000 refused the connection (";
        let late = "it did not pass within 1 seconds of launch";
        all.iter().any(|entry| {
            let text = entry.text.to_string();
            text.starts_with(why) && text.ends_with(late)
        })
    })
    .await;
    server.stop().await;
}
