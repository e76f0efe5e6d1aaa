//! The loop on an engine in memory: what it starts, how often, and what it makes of an engine that misbehaves.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::collections::BTreeMap;

use futures_util::TryStreamExt;
use jiff::{SignedDuration, Timestamp};
use ropewalk_api_types::attach::{FromDyno, ToDyno};
use ropewalk_api_types::router::{self as wire, Canary, EdgePolicy, RateLimit};
use ropewalk_engine::fake::{Behaviour, Fault};
use ropewalk_engine::{ContainerId, ContainerSpec, Engine, Exit, OutputStream, Stats, Status};
use ropewalk_model::edge::{BasicAuth, Name, Policy};
use ropewalk_model::release::ReleaseStatus;
use ropewalk_model::{AppId, DynoSize, ProcessType};
use ropewalk_scheduler::{Attachment, NewInside, NewRun, SchedulerError};
use ropewalk_store::{NewTcpRoute, TcpEntrance, WantedEntrance};
use support::until;

const KILLED: Exit = Exit {
    code: 137,
    out_of_memory: false,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dyno_that_crashes_is_replaced_once_and_then_waits() {
    let rig = rig_or_skip!();
    let app = rig.app("demo", &["worker"], 1).await;
    let server = rig.serve();
    until("the worker", async || {
        rig.states(app).await == ["worker.1 up"]
    })
    .await;
    rig.concluded(app).await;
    let first = rig.dynos(app).await[0].id;

    rig.engine
        .end(&rig.container("worker.1").unwrap().name, KILLED);
    until("its successor", async || {
        let dynos = rig.dynos(app).await;
        dynos[0].id != first && rig.states(app).await == ["worker.1 up"]
    })
    .await;
    assert_eq!(rig.dynos(app).await[0].crashes, 1);

    rig.engine
        .end(&rig.container("worker.1").unwrap().name, KILLED);
    until("the wait", async || {
        rig.states(app).await == ["worker.1 crashed"] && rig.container("worker.1").is_none()
    })
    .await;
    server.passes(5).await;
    let dynos = rig.dynos(app).await;
    assert_eq!((dynos.len(), dynos[0].crashes), (1, 2));
    assert_eq!(rig.calls("start"), 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routers_are_told_what_apps_ask_of_the_edge() {
    let rig = rig_or_skip!();
    let app = rig.app("demo", &["web"], 0).await;
    let next = rig.app("next", &["web"], 0).await;
    let server = rig.serve();
    let mut router = support::Router::connect(&server).await;
    let auth = BasicAuth::new("dev", "hunter2hunter2", [9; 16]).unwrap();
    let mut policy = Policy::default();
    for name in Name::ALL {
        match name {
            Name::BasicAuth => policy.basic_auth = Some(auth.clone()),
            Name::Canary => policy.canary = Some(next),
            _ => policy.set(name, name.example()).unwrap(),
        }
    }
    let set = rig
        .store
        .write(move |tx| tx.set_edge_policy(app, &policy, Timestamp::now()));
    set.await.unwrap();
    server.scheduler.changed();
    let told = loop {
        let table = router.table().await;
        if let Some(told) = &table.apps[&app.to_string()].edge {
            break told.clone();
        }
    };
    let wanted = EdgePolicy {
        pause: true,
        https_redirect: true,
        hsts: Some(31_536_000),
        trusted_ips: vec!["192.0.2.0/24".into(), "2001:db8::/32".into()],
        basic_auth: Some(auth.kept().into()),
        rate_limit: Some(RateLimit {
            requests: 10,
            seconds: 1,
            burst: 50,
        }),
        max_body: Some(10_000_000),
        canary: Some(Canary {
            app: next.to_string(),
            weight: 500,
            cookie: Some("beta".to_owned()),
        }),
    };
    assert_eq!(*told, wanted);
    let unset = rig
        .store
        .write(move |tx| tx.set_edge_policy(app, &Policy::default(), Timestamp::now()));
    unset.await.unwrap();
    server.scheduler.changed();
    while router.table().await.apps[&app.to_string()].edge.is_some() {}
    server.stop().await;
}

/// By process type; the second one is on a port that the administrator does not open.
async fn add_tcp_routes(rig: &support::Rig, app: AppId) {
    for (process_type, port) in [("worker", 20_000), ("web", 30_000)] {
        let new = NewTcpRoute {
            id: uuid::Uuid::new_v4(),
            app,
            process_type: ProcessType::parse(process_type).unwrap(),
            entrance: WantedEntrance::This(TcpEntrance::Port(port)),
            dyno_port: 1883,
            idle_timeout: 60,
            proxy_protocol: None,
        };
        let added = rig
            .store
            .write(move |tx| tx.add_tcp_route(&new, Timestamp::now()));
        added.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dynos_of_a_tcp_route_have_a_port_and_end_once_no_connection_can_come() {
    let rig = rig_or_skip!();
    let app = rig.app("demo", &["worker"], 1).await;
    add_tcp_routes(&rig, app).await;
    let server = rig.serve();
    let mut router = support::Router::connect(&server).await;
    let (table, route) = loop {
        let table = router.table().await;
        let mut routes = table.apps[&app.to_string()].tcp.clone();
        if let Some(route) = routes.pop()
            && !route.upstreams.is_empty()
        {
            assert!(routes.is_empty(), "{routes:?}");
            break (table, route);
        }
    };
    let worker = rig.container("worker.1").unwrap();
    let env = rig.engine.spec(&worker.name).unwrap().env;
    let port = ("PORT".to_owned(), "5000".to_owned());
    assert!(env.contains(&port), "{env:?}");
    assert_eq!(route.entrance, wire::TcpEntrance::Port(20_000));
    assert_eq!((route.process_type.as_str(), route.idle), ("worker", 60));
    assert!(route.wanted);
    assert_eq!(route.upstreams[0].dyno, "worker.1");
    assert!(route.upstreams[0].addr.ends_with(":1883"));
    router.acknowledge(table.generation).await;
    rig.scale(app, 0).await;
    server.scheduler.changed();
    let left = loop {
        let table = router.table().await;
        let route = &table.apps[&app.to_string()].tcp[0];
        if route.upstreams.is_empty() {
            assert!(!route.wanted);
            break table.generation;
        }
    };
    // A connection may still be on its way to it.
    server.passes(3).await;
    assert_eq!(rig.calls("stop"), 0);
    router.acknowledge(left).await;
    until("its end", async || rig.container("worker.1").is_none()).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_of_dynos_that_run_is_told() {
    let rig = rig_or_skip!();
    let app = rig.app("demo", &["worker"], 2).await;
    let server = rig.serve();
    until("the workers", async || {
        rig.states(app).await == ["worker.1 up", "worker.2 up"]
    })
    .await;
    for (dyno, memory_bytes) in [("worker.1", 7), ("worker.2", 9)] {
        let stats = Stats {
            memory_bytes,
            ..Stats::default()
        };
        rig.engine
            .set_stats(&rig.container(dyno).unwrap().name, stats);
    }
    let mut ids: Vec<_> = rig.dynos(app).await.iter().map(|dyno| dyno.id).collect();
    ids.push(ropewalk_model::DynoId(uuid::Uuid::from_u128(5)));
    // A pass must have seen them run.
    server.passes(1).await;
    let memory = server.scheduler.memory_of(&ids).await;
    assert_eq!(memory.into_values().sum::<u64>(), 16);
    rig.engine
        .fail_next("stats", 1, Fault::Refuse("not now".into()));
    assert_eq!(server.scheduler.memory_of(&ids).await.len(), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_ends_during_a_look_is_not_made_twice() {
    let rig = rig_or_skip!();
    let app = rig.app("demo", &["worker"], 1).await;
    rig.engine.hold("create");
    let server = rig.serve();
    until("the start", async || rig.calls("create") == 1).await;
    // A look that saw no container, and hears of it only when the container runs.
    rig.engine.hold("list");
    let lists = rig.calls("list");
    server.scheduler.changed();
    until("the look", async || rig.calls("list") > lists).await;
    rig.engine.release("create");
    until("the worker's output", async || rig.calls("logs") == 1).await;
    rig.engine.release("list");
    until("the worker", async || {
        rig.states(app).await == ["worker.1 up"]
    })
    .await;
    server.passes(3).await;
    assert_eq!((rig.calls("create"), rig.calls("start")), (1, 1));
    server.stop().await;
}

/// The engine has started it, and the answer was lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_was_started_before_is_the_dynos() {
    let rig = rig_or_skip!();
    let app = rig.app("demo", &["worker"], 0).await;
    let server = rig.serve();
    until("the release", async || {
        rig.store
            .read(move |view| view.app(app))
            .await
            .unwrap()
            .current_version
            == 2
    })
    .await;
    rig.engine.hold("list");
    let lists = rig.calls("list");
    server.scheduler.changed();
    until("the look", async || rig.calls("list") > lists).await;
    let run = NewRun {
        app,
        command: "migrate".to_owned(),
        process_type: ProcessType::run(),
        size: Some(DynoSize::DEFAULT),
        env: BTreeMap::new(),
        attach: false,
        tty: false,
        time_to_live: None,
    };
    let dyno = server.scheduler.start_run(run).await.unwrap().dyno;
    let spec = ContainerSpec {
        name: format!("rw-{}-{}", rig.instance, dyno.id),
        labels: BTreeMap::from([
            ("ropewalk.kind".to_owned(), "dyno".to_owned()),
            ("ropewalk.dyno".to_owned(), dyno.id.to_string()),
            ("ropewalk.name".to_owned(), dyno.name.to_string()),
        ]),
        ..ContainerSpec::default()
    };
    let container = rig.engine.create(&spec).await.unwrap();
    rig.engine.start(&container).await.unwrap();
    rig.engine.release("list");
    let name = dyno.name.to_string();
    until("the run", async || {
        rig.states(app).await == [format!("{name} up")]
    })
    .await;
    assert_eq!((rig.calls("start"), rig.calls("remove")), (1, 0));
    assert!(rig.calls("create") > 1, "the loop tried to make it");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_adopts_what_runs_and_reads_on() {
    let rig = rig_or_skip!();
    let app = rig.app("demo", &["worker"], 1).await;
    let server = rig.serve();
    until("the worker", async || {
        rig.states(app).await == ["worker.1 up"]
    })
    .await;
    let container = rig.container("worker.1").unwrap().name;
    rig.engine.say(&container, OutputStream::Stdout, "one\n");
    until("its line", async || {
        server.lines(app, "worker.1").await == ["one"]
    })
    .await;
    // Docker Engine is restarted and the worker runs on.
    rig.engine.go_away();
    until("a look in vain", async || {
        server.scheduler.status().last_error.is_some()
    })
    .await;
    rig.engine.say(&container, OutputStream::Stdout, "two\n");
    rig.engine.come_back();
    until("the next line", async || {
        server.lines(app, "worker.1").await == ["one", "two"]
    })
    .await;
    server.stop().await;

    rig.engine.say(&container, OutputStream::Stdout, "three\n");
    let server = rig.serve();
    until("the third line", async || {
        server.lines(app, "worker.1").await == ["one", "two", "three"]
    })
    .await;
    server.passes(3).await;
    assert_eq!(rig.states(app).await, ["worker.1 up"]);
    assert_eq!((rig.calls("start"), rig.calls("remove")), (1, 0));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_short_life_wrote_is_in_the_log_and_in_the_releases_output() {
    let rig = rig_or_skip!();
    rig.engine.on_start(|_| Behaviour::Print {
        text: "no such table\n".to_owned(),
        code: 1,
    });
    let app = rig.app("demo", &["release"], 0).await;
    let server = rig.serve();
    let release = rig
        .store
        .read(move |view| view.release(app, 2))
        .await
        .unwrap();
    until("the failure", async || {
        let release = rig
            .store
            .read(move |view| view.release(app, 2))
            .await
            .unwrap();
        release.status == ReleaseStatus::Failed
    })
    .await;
    assert_eq!(server.lines(app, "release.2").await, ["no such table"]);
    let kept = server.outputs.read(release.id.0).await.unwrap();
    let kept: Vec<_> = kept.try_collect().await.unwrap();
    assert_eq!(kept.concat(), b"no such table\n");
    until("the end", async || rig.engine.containers().is_empty()).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_the_server_keeps_a_release_commands_output_whole() {
    let rig = rig_or_skip!();
    let app = rig.app("demo", &["release"], 0).await;
    let server = rig.serve();
    until("the command", async || {
        rig.states(app).await == ["release.2 up"]
    })
    .await;
    let container = rig.container("release.2").unwrap().name;
    rig.engine
        .say(&container, OutputStream::Stdout, "creating tables\n");
    until("its line", async || {
        !server.lines(app, "release.2").await.is_empty()
    })
    .await;
    server.stop().await;
    let server = rig.serve();
    rig.engine.say(&container, OutputStream::Stdout, "done\n");
    until("its last line", async || {
        server.lines(app, "release.2").await.len() > 1
    })
    .await;
    rig.engine.end(&container, Exit { code: 0, ..KILLED });
    until("the release", async || {
        rig.store
            .read(move |view| view.app(app))
            .await
            .unwrap()
            .current_version
            == 2
    })
    .await;
    assert_eq!(
        server.lines(app, "release.2").await,
        ["creating tables", "done"]
    );
    let release = rig
        .store
        .read(move |view| view.release(app, 2))
        .await
        .unwrap();
    let kept = server.outputs.read(release.id.0).await.unwrap();
    let kept: Vec<_> = kept.try_collect().await.unwrap();
    assert_eq!(kept.concat(), b"creating tables\ndone\n");
    assert_eq!(rig.calls("start"), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_stuck_container_stops_nothing_else() {
    let rig = rig_or_skip!();
    let stuck = rig.app("stuck", &["worker"], 1).await;
    let other = rig.app("other", &["worker"], 0).await;
    let server = rig.serve();
    until("the worker", async || {
        rig.states(stuck).await == ["worker.1 up"]
    })
    .await;
    let container = rig.container("worker.1").unwrap().name;
    rig.engine.set_stuck(&container, true);
    rig.scale(other, 2).await;
    server.scheduler.changed();
    until("the others", async || {
        rig.states(other).await == ["worker.1 up", "worker.2 up"]
    })
    .await;
    rig.scale(stuck, 0).await;
    server.passes(2).await;
    assert_eq!(rig.engine.containers()[&container].status, Status::Running);
    rig.engine.set_stuck(&container, false);
    server.scheduler.changed();
    until("its end", async || rig.dynos(stuck).await.is_empty()).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_steps_ends_no_boot_and_delays_no_restart() {
    let rig = rig_or_skip!();
    let hour = SignedDuration::from_hours(1);
    // The engine's times are an hour behind ours: as if the clock had been set between.
    rig.engine.set_clock(move || Timestamp::now() - hour);
    let web = rig.app("web", &["web"], 0).await;
    let app = rig.app("demo", &["worker"], 1).await;
    let server = rig.serve();
    until("the dynos", async || {
        rig.states(app).await == ["worker.1 up"] && rig.container("web.1").is_some()
    })
    .await;
    server.passes(5).await;
    assert_eq!(rig.states(web).await, ["web.1 starting"], "no R10");
    let first = rig.dynos(app).await[0].id;
    // And the ledger's are an hour ahead.
    rig.engine
        .end(&rig.container("worker.1").unwrap().name, KILLED);
    rig.store
        .write(move |tx| {
            let state = ropewalk_model::DynoState::Crashed;
            tx.set_dyno_state(first, state, Some("exit 137"), 1, Timestamp::now() + hour)
        })
        .await
        .unwrap();
    server.scheduler.changed();
    until("the restart", async || {
        rig.dynos(app).await[0].id != first && rig.states(app).await == ["worker.1 up"]
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_an_app_that_is_deleted() {
    let rig = rig_or_skip!();
    let app = rig.app("demo", &["worker"], 2).await;
    let server = rig.serve();
    until("the workers", async || {
        rig.states(app).await == ["worker.1 up", "worker.2 up"]
    })
    .await;
    assert_eq!(rig.mounts().present().unwrap().overlays.len(), 2);
    rig.store.write(move |tx| tx.delete_app(app)).await.unwrap();
    server.scheduler.changed();
    until("the end of its containers and disks", async || {
        rig.engine.containers().is_empty() && rig.mounts().present().unwrap().overlays.is_empty()
    })
    .await;
    // Its slug is nobody's now.
    let stop = tokio_util::sync::CancellationToken::new();
    let (scheduler, token) = (server.scheduler.clone(), stop.clone());
    let sweeps = tokio::spawn(async move { scheduler.run_sweeps(token).await });
    until("the end of its slug", async || {
        rig.mounts().observed().await.unwrap().images.is_empty()
    })
    .await;
    stop.cancel();
    sweeps.await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_on_containerd_is_asked_for_the_image_by_its_manifest() {
    let rig = rig_or_skip!();
    let images = serde_json::json!({
        "run": {"config_digest": "sha256:run", "manifest_digest": "sha256:manifest"}
    });
    rig.store
        .write(move |tx| tx.put_stack("debian-13", "sha256:stack", &images, Timestamp::now()))
        .await
        .unwrap();
    rig.engine.forget_image("sha256:run");
    let app = rig.app("demo", &["worker"], 1).await;
    let server = rig.serve();
    until("the worker", async || {
        rig.states(app).await == ["worker.1 up"]
    })
    .await;
    let ContainerId(name) = rig.container("worker.1").unwrap().id;
    assert_eq!(rig.engine.spec(&name).unwrap().image, "sha256:manifest");
    server.stop().await;
}

fn inside(dyno: ropewalk_model::DynoId, command: &str) -> NewInside {
    NewInside {
        dyno,
        command: command.to_owned(),
        env: BTreeMap::from([
            ("A".to_owned(), "1".to_owned()),
            ("DYNO".to_owned(), "x".to_owned()),
        ]),
        tty: false,
    }
}

/// The frames up to the last.
async fn rest(mut output: tokio::sync::mpsc::Receiver<FromDyno>) -> Vec<FromDyno> {
    let mut frames = Vec::new();
    while let Some(frame) = output.recv().await {
        frames.push(frame);
    }
    frames
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_run_inside_a_dyno_that_is_up_and_end_with_it() {
    let rig = rig_or_skip!();
    rig.engine.on_exec(|_| Behaviour::Echo);
    let app = rig.app("demo", &["worker"], 1).await;
    rig.engine.hold("create");
    let server = rig.serve();
    until("the worker's row", async || {
        rig.states(app).await == ["worker.1 starting"]
    })
    .await;
    let dyno = rig.dynos(app).await[0].id;
    let scheduler = &server.scheduler;
    match scheduler.run_inside(inside(dyno, "bash")).await {
        Err(SchedulerError::Refused(text)) => assert!(text.contains("is starting"), "{text}"),
        other => panic!("{other:?}"),
    }
    rig.engine.release("create");
    until("the worker", async || {
        rig.states(app).await == ["worker.1 up"]
    })
    .await;

    // Ten at once, those that wait for their terminal counted.
    let mut secrets = Vec::new();
    for _ in 0..10 {
        let run = inside(dyno, "worker -v");
        secrets.push(scheduler.run_inside(run).await.unwrap());
    }
    match scheduler.run_inside(inside(dyno, "bash")).await {
        Err(SchedulerError::Refused(text)) => assert!(text.contains("10 commands"), "{text}"),
        other => panic!("{other:?}"),
    }

    // Input, output, the exit code; the secret is spent.
    let secret = secrets.pop().unwrap();
    let Attachment { input, output } = scheduler.attach(&secret).await.unwrap().unwrap();
    assert!(scheduler.attach(&secret).await.unwrap().is_none());
    input.send(ToDyno::Stdin("hi".into())).await.unwrap();
    input.send(ToDyno::StdinClosed).await.unwrap();
    assert_eq!(
        rest(output).await,
        [FromDyno::Stdout("hi".into()), FromDyno::Exit(0)]
    );
    drop(input);
    let exec = rig.engine.execs().remove(0);
    assert_eq!(exec.command[1..], ["run worker -v"]);
    assert_eq!(
        (exec.user.as_str(), exec.working_dir.as_str()),
        ("20000:20000", "/app")
    );
    for (name, value) in [("A", "1"), ("DYNO", "worker.1"), ("HOME", "/app")] {
        let variable = (name.to_owned(), value.to_owned());
        assert!(exec.env.contains(&variable), "{name} in {:?}", exec.env);
    }

    // A terminal that goes hangs up the command and not the dyno.
    let secret = secrets.pop().unwrap();
    drop(scheduler.attach(&secret).await.unwrap().unwrap());
    until("the signal", async || rig.calls("signal_exec") == 1).await;
    assert_eq!(rig.states(app).await, ["worker.1 up"]);

    // It ends when the dyno ends.
    let open = scheduler.attach(&secrets[0]).await.unwrap().unwrap();
    rig.engine
        .end(&rig.container("worker.1").unwrap().name, KILLED);
    assert_eq!(rest(open.output).await, [FromDyno::Exit(137)]);
    until("its successor", async || {
        let dynos = rig.dynos(app).await;
        dynos[0].id != dyno && rig.states(app).await == ["worker.1 up"]
    })
    .await;
    assert!(scheduler.attach(&secrets[1]).await.unwrap().is_none());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_settled_once_the_router_serves_by_it() {
    let rig = rig_or_skip!();
    let app = rig.app("demo", &["worker"], 0).await;
    let server = rig.serve();
    // Nobody to wait for: no router, and an engine that answers nothing.
    let quickly = std::time::Duration::from_millis(1500);
    server.passes(1).await;
    rig.engine.go_away();
    for _ in 0..2 {
        tokio::time::timeout(quickly, server.scheduler.settled())
            .await
            .unwrap();
        rig.engine.come_back();
    }

    let mut router = support::Router::connect(&server).await;
    let first = router.table().await.generation;
    router.acknowledge(first).await;
    let maintenance = rig
        .store
        .write(move |tx| tx.set_maintenance(app, true, Timestamp::now()));
    maintenance.await.unwrap();
    let scheduler = server.scheduler.clone();
    let settled = tokio::spawn(async move { scheduler.settled().await });
    let table = loop {
        let table = router.table().await;
        if table.apps[&app.to_string()].maintenance {
            break table;
        }
    };
    assert!(!settled.is_finished());
    router.acknowledge(table.generation).await;
    tokio::time::timeout(quickly, settled)
        .await
        .unwrap()
        .unwrap();

    // A router that says nothing more holds nobody for long.
    let maintenance = rig
        .store
        .write(move |tx| tx.set_maintenance(app, false, Timestamp::now()));
    maintenance.await.unwrap();
    let began = std::time::Instant::now();
    server.scheduler.settled().await;
    assert!(began.elapsed() >= std::time::Duration::from_secs(2));
    server.stop().await;
}
