//! Dynos that stand by, on an engine in memory: what is told to them, and what becomes of those that are of no use.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::time::Duration;

use ropewalk_engine::Container;
use ropewalk_engine::fake::Fault;
use ropewalk_model::AppId;
use support::{Rig, Server, until};

/// Containers that stand by.
fn waiting(rig: &Rig) -> Vec<Container> {
    let all = rig.engine.containers().into_values();
    all.filter(|container| container.name.contains("-standby-"))
        .collect()
}

/// An app of which a release with a web dyno is about to be made, for which one stands by.
async fn expected(rig: &Rig, server: &Server) -> (AppId, Container) {
    let app = rig.app("demo", &["worker"], 0).await;
    server.scheduler.expect(app);
    until("the one that stands by", async || {
        rig.calls("start") == 1 && waiting(rig).len() == 1
    })
    .await;
    server.passes(3).await;
    let container = waiting(rig).remove(0);
    (app, container)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_web_dyno_is_the_container_that_stood_by() {
    let rig = rig_or_skip!();
    let server = rig.serve();
    let (app, container) = expected(&rig, &server).await;
    assert_eq!(rig.calls("remove"), 0, "nobody takes it for an orphan");
    let spec = rig.engine.spec(&container.name).unwrap();
    let described: Vec<&str> = spec.env.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(described, ["TINI_KILL_PROCESS_GROUP"]);

    rig.release(app, &["web", "worker"]).await;
    server.scheduler.changed();
    until("its output", async || rig.calls("logs") == 1).await;
    let dynos = rig.dynos(app).await;
    let name = format!("rw-{}-{}", rig.instance, dynos[0].id);
    let told = rig.engine.containers().remove(&name).unwrap();
    assert_eq!(told.id, container.id);
    assert_eq!((rig.calls("create"), rig.calls("start")), (1, 1));
    assert_eq!(rig.engine.spec(&name).unwrap().mounts[0].target, "/app");
    let input = String::from_utf8(rig.engine.input_of(&name)).unwrap();
    let words: Vec<&str> = input.split_terminator('\0').collect();
    for word in ["DYNO=web.1", "PORT=5000", "HEROKU_APP_NAME=demo"] {
        assert!(words.contains(&word), "{word} in {words:?}");
    }
    assert_eq!(words[words.len() - 1], "run web");
    // It boots as long as it has a row, however long it stood by.
    server.passes(3).await;
    assert_eq!(rig.states(app).await, ["web.1 starting"]);
    assert_eq!(rig.calls("remove"), 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_no_use_costs_no_dyno() {
    for verb in ["furnish", "rename"] {
        let rig = rig_or_skip!();
        let server = rig.serve();
        let (app, container) = expected(&rig, &server).await;
        let refused = Fault::Refuse("not now".to_owned());
        rig.engine.fail_next(verb, 1, refused);
        rig.release(app, &["web"]).await;
        server.scheduler.changed();
        until("its output", async || rig.calls("logs") == 1).await;
        let containers = rig.engine.containers();
        let ids: Vec<_> = containers.values().map(|other| &other.id).collect();
        assert!(ids.len() == 1 && *ids[0] != container.id, "{verb}: {ids:?}");
        assert_eq!(rig.states(app).await, ["web.1 starting"]);
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_ended_while_it_waited_costs_no_dyno() {
    let rig = rig_or_skip!();
    let server = rig.serve();
    let (app, container) = expected(&rig, &server).await;
    rig.engine.vanish(&container.name);
    rig.release(app, &["web"]).await;
    server.scheduler.changed();
    until("its output", async || rig.calls("logs") == 1).await;
    assert_eq!(rig.states(app).await, ["web.1 starting"]);
    assert_eq!((rig.calls("create"), waiting(&rig).len()), (2, 0));
    server.stop().await;
}

/// The server ends between the words and the name: what runs is nobody's, and the dyno starts once more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_was_told_by_an_earlier_server_is_removed() {
    let rig = rig_or_skip!();
    let server = rig.serve();
    let (app, container) = expected(&rig, &server).await;
    rig.engine.fail_next("rename", 1, Fault::Hang);
    rig.release(app, &["web"]).await;
    server.scheduler.changed();
    until("the name", async || rig.calls("rename") == 1).await;
    server.stop().await;

    let server = rig.serve();
    until("its output", async || rig.calls("logs") == 1).await;
    let containers = rig.engine.containers();
    assert_eq!(containers.len(), 1);
    assert!(containers.values().all(|other| other.id != container.id));
    assert_eq!(rig.states(app).await, ["web.1 starting"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_waits_for_a_while_and_goes_with_the_server() {
    let mut rig = rig_or_skip!();
    let server = rig.serve();
    let (app, first) = expected(&rig, &server).await;
    server.scheduler.expect(app);
    server.passes(2).await;
    assert_eq!(waiting(&rig).len(), 1, "one is enough for each dyno");
    server.stop().await;
    assert_eq!(waiting(&rig).len(), 0);

    rig.standby = Duration::from_millis(200);
    let server = rig.serve();
    server.scheduler.expect(app);
    until("another", async || rig.calls("create") == 2).await;
    until("its end", async || rig.calls("remove") == 2).await;
    assert!(waiting(&rig).iter().all(|other| other.id != first.id));
    server.stop().await;

    rig.standby = Duration::ZERO;
    let server = rig.serve();
    server.scheduler.expect(app);
    server.passes(2).await;
    assert_eq!(rig.calls("create"), 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn variables_that_cannot_be_told_are_in_the_description() {
    let rig = rig_or_skip!();
    let server = rig.serve();
    let (app, container) = expected(&rig, &server).await;
    rig.release_with(app, &["web"], [("npm.key", "1")]).await;
    server.scheduler.changed();
    until("its output", async || rig.calls("logs") == 1).await;
    let containers = rig.engine.containers();
    let names: Vec<_> = containers.keys().collect();
    assert!(names.len() == 1 && *names[0] != container.name, "{names:?}");
    let spec = rig.engine.spec(names[0]).unwrap();
    assert!(spec.env.contains(&("npm.key".to_owned(), "1".to_owned())));
    server.stop().await;
}
