//! Apps that sleep, on an engine in memory and with a router that does as it is told.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use jiff::Timestamp;
use ropewalk_api_types::router::{AppRoute, ToServer, WhenEmpty};
use ropewalk_engine::fake::FakeEngine;
use ropewalk_engine::{Engine, Status};
use ropewalk_model::dyno_setting::Name;
use ropewalk_model::{AppId, DynoState, ProcessType, SleepTier};
use ropewalk_scheduler::Scheduler;
use ropewalk_store::Store;
use support::{Rig, Router, Server, until};

/// A router that acknowledges all it is told, and what it was told last.
struct Obedient {
    table: Arc<std::sync::Mutex<Option<ropewalk_api_types::router::Table>>>,
    asks: tokio::sync::mpsc::UnboundedSender<ToServer>,
    tables: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Obedient {
    async fn connect(server: &Server) -> Self {
        let mut router = Router::connect(server).await;
        let (asks, mut asked) = tokio::sync::mpsc::unbounded_channel();
        let table = Arc::new(std::sync::Mutex::new(None));
        let tables = Arc::new(AtomicU64::new(0));
        let (told, count) = (Arc::clone(&table), Arc::clone(&tables));
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    table = router.next_table() => {
                        let Some(table) = table else { return };
                        let generation = table.generation;
                        *told.lock().unwrap() = Some(table);
                        count.fetch_add(1, SeqCst);
                        router.acknowledge(generation).await;
                    }
                    Some(message) = asked.recv() => router.tell(&message).await,
                }
            }
        });
        Self {
            table,
            asks,
            tables,
            task,
        }
    }

    fn route(&self, app: AppId) -> Option<AppRoute> {
        let table = self.table.lock().unwrap();
        table.as_ref()?.apps.get(&app.to_string()).cloned()
    }

    fn wake(&self, app: AppId) {
        let app = app.to_string();
        self.asks.send(ToServer::Wake { app }).unwrap();
    }
}

impl Drop for Obedient {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An app that serves by one web dyno and a worker, and its routes.
async fn served(rig: &Rig, server: &Server, router: &Obedient) -> AppId {
    let app = rig.app("demo", &["web", "worker"], 1).await;
    let (store, engine) = (rig.store.clone(), rig.engine.clone());
    tokio::spawn(bind(store, engine, server.scheduler.clone(), app));
    server.scheduler.changed();
    until("the app", async || {
        let serves = router
            .route(app)
            .is_some_and(|route| route.upstreams.len() == 1);
        serves && rig.states(app).await == ["web.1 up", "worker.1 up"]
    })
    .await;
    app
}

/// Web dynos of this engine have no network in which a port could be seen: they are up as soon as they run.
async fn bind(store: Store, engine: FakeEngine, scheduler: Scheduler, app: AppId) {
    loop {
        let running: Vec<String> = (engine.containers().into_values())
            .filter(|container| container.status == Status::Running)
            .map(|container| container.labels["ropewalk.dyno"].clone())
            .collect();
        let bound = store.write(move |tx| {
            let starting = (tx.dynos(app)?.into_iter())
                .filter(|dyno| dyno.name.process_type.is_web())
                .filter(|dyno| dyno.state == DynoState::Starting)
                .filter(|dyno| running.contains(&dyno.id.to_string()));
            let mut count = 0;
            for dyno in starting {
                tx.set_dyno_state(dyno.id, DynoState::Up, None, 0, Timestamp::now())?;
                count += 1;
            }
            Ok(count)
        });
        match bound.await {
            Ok(0) => {}
            Ok(_) => scheduler.changed(),
            Err(_) => return,
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn is_frozen(rig: &Rig, app: AppId) {
    until("it to be frozen", async || {
        rig.states(app).await == ["web.1 idle", "worker.1 up"]
            && rig.engine.is_frozen(&rig.container("web.1").unwrap().name)
    })
    .await;
}

async fn is_awake(rig: &Rig, router: &Obedient, app: AppId) {
    until("it to be awake", async || {
        let route = router.route(app).unwrap();
        !route.asleep
            && route.upstreams.len() == 1
            && rig.states(app).await == ["web.1 up", "worker.1 up"]
            && !rig.engine.is_frozen(&rig.container("web.1").unwrap().name)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_is_frozen_and_goes_on_when_somebody_asks_for_it() {
    let rig = rig_or_skip!();
    let server = rig.serve();
    let router = Obedient::connect(&server).await;
    let app = served(&rig, &server, &router).await;
    let before = rig.dynos(app).await[0].id;
    for _ in 0..3 {
        let changed = server.scheduler.put_to_sleep(app, SleepTier::Frozen).await;
        assert!(changed.unwrap());
        is_frozen(&rig, app).await;
        let route = router.route(app).unwrap();
        assert!(route.asleep && route.upstreams.is_empty());
        assert_eq!(
            route.when_empty,
            WhenEmpty::Booting,
            "an older router holds"
        );
        // However often it is asked for.
        for _ in 0..5 {
            router.wake(app);
        }
        is_awake(&rig, &router, app).await;
    }
    server.passes(3).await;
    assert_eq!(rig.dynos(app).await[0].id, before, "it is the same dyno");
    assert_eq!(rig.calls("start"), 2);
    let slept = rig.store.read(move |view| view.app_sleep(app)).await;
    assert_eq!(slept.unwrap(), None);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_stopped_app_nothing_is_there_and_it_boots_when_somebody_asks_for_it() {
    let rig = rig_or_skip!();
    let server = rig.serve();
    let router = Obedient::connect(&server).await;
    let app = served(&rig, &server, &router).await;
    let worker = ProcessType::parse("worker").unwrap();
    rig.store
        .write(move |tx| {
            tx.set_dyno_setting(
                app,
                Some(&worker),
                Name::Sleep,
                Some("on"),
                Timestamp::now(),
            )
        })
        .await
        .unwrap();
    let sleep = server.scheduler.put_to_sleep(app, SleepTier::Frozen);
    sleep.await.unwrap();
    until("both to be frozen", async || {
        rig.states(app).await == ["web.1 idle", "worker.1 idle"]
    })
    .await;
    let sleep = server.scheduler.put_to_sleep(app, SleepTier::Stopped);
    sleep.await.unwrap();
    // Frozen dynos are stopped like any other.
    until("nothing to be left", async || {
        rig.dynos(app).await.is_empty() && rig.engine.containers().is_empty()
    })
    .await;
    assert!(router.route(app).unwrap().asleep);
    let formation = rig.store.read(move |view| view.quantities(app)).await;
    let quantities: Vec<u32> = (formation.unwrap().iter())
        .map(|row| row.quantity)
        .collect();
    assert_eq!(quantities, [1, 1], "what is wanted is not forgotten");

    router.wake(app);
    is_awake(&rig, &router, app).await;
    assert_eq!(rig.calls("start"), 4);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_finds_what_is_frozen_and_thaws_what_should_not_be() {
    let rig = rig_or_skip!();
    let server = rig.serve();
    let router = Obedient::connect(&server).await;
    let app = served(&rig, &server, &router).await;
    let sleep = server.scheduler.put_to_sleep(app, SleepTier::Frozen);
    sleep.await.unwrap();
    is_frozen(&rig, app).await;
    drop(router);
    server.stop().await;
    // Nobody could wake it meanwhile.
    assert!(!rig.engine.is_frozen(&rig.container("web.1").unwrap().name));
    // As a server that was killed leaves it, and something that it had not written down yet.
    for name in ["web.1", "worker.1"] {
        let container = rig.container(name).unwrap();
        rig.engine.freeze(&container).await.unwrap();
    }

    let server = rig.serve();
    let router = Obedient::connect(&server).await;
    until("the worker to go on", async || {
        !rig.engine
            .is_frozen(&rig.container("worker.1").unwrap().name)
    })
    .await;
    is_frozen(&rig, app).await;
    router.wake(app);
    is_awake(&rig, &router, app).await;
    assert_eq!(rig.calls("start"), 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sleeping_app_is_deployed_restarted_and_put_to_rest_by_itself() {
    let rig = rig_or_skip!();
    let server = rig.serve();
    let router = Obedient::connect(&server).await;
    let app = served(&rig, &server, &router).await;
    let sleep = server.scheduler.put_to_sleep(app, SleepTier::Stopped);
    sleep.await.unwrap();
    until("the web dyno to go", async || {
        rig.states(app).await == ["worker.1 up"]
    })
    .await;
    // Its dynos have to pass before the release counts.
    let release = rig.release(app, &["web", "worker"]).await;
    server.scheduler.changed();
    until("the release", async || {
        let row = rig.store.read(move |view| view.app(app)).await.unwrap();
        row.current_version == release.version && row.candidate_version.is_none()
    })
    .await;
    is_awake(&rig, &router, app).await;

    let refused = rig.blank_app("blank").await;
    let refused = server.scheduler.put_to_sleep(refused, SleepTier::Frozen);
    assert!(refused.await.is_err(), "nothing would wake it");

    let set = rig.store.write(move |tx| {
        tx.set_dyno_setting(app, None, Name::SleepAfter, Some("10s"), Timestamp::now())
    });
    set.await.unwrap();
    server.scheduler.changed();
    is_frozen(&rig, app).await;
    let slept = rig.store.read(move |view| view.app_sleep(app)).await;
    let reason = slept.unwrap().unwrap().reason;
    assert!(reason.starts_with("nobody asked"), "{reason}");
    assert!(router.tables.load(SeqCst) > 0);
    server.stop().await;
}
