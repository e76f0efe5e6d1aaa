//! The loop against a real ledger, with made-up traffic and seconds.

use std::collections::BTreeMap;
use std::sync::Arc;

use ropewalk_api_types::router::AppStats;
use ropewalk_logs::Filter;
use ropewalk_model::scaling::{Bounds, MetricName, Rule, Source, Webhook};
use ropewalk_model::{DynoName, DynoSize, ReleaseId, SlugId, UserId};
use ropewalk_store::{
    Key as SealKey, NewApp, NewAutoscaleRule, NewDyno, NewRelease, NewSlug, WebhookChange,
};

use super::*;

/// For 1 to 5 dynos.
fn rule(targets: &[(&str, f64)]) -> Settings {
    let targets = targets
        .iter()
        .map(|(kind, goal)| Target::parse(kind, *goal).unwrap());
    let rule = Rule::new(Bounds::new(1, 5).unwrap(), targets.collect()).unwrap();
    let own = rule.targets().iter().filter_map(|target| match target {
        Target::Own { name, .. } => Some((name.clone(), Source::command("bin/jobs").unwrap())),
        _ => None,
    });
    let own: Vec<(MetricName, Source)> = own.collect();
    Settings::new(rule, own).unwrap()
}

struct Rig {
    _dir: tempfile::TempDir,
    autoscaler: Autoscaler,
    app: AppId,
    now: u64,
}

impl Rig {
    /// An app with two web dynos and a monitor for 1 to 5 at 500 ms.
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = SealKey::open(&dir.path().join("key")).unwrap();
        let store = Store::open(&dir.path().join("ledger.db"), key).unwrap();
        let logs = Logs::open(&dir.path().join("logs")).unwrap();
        let app = AppId(Uuid::new_v4());
        store
            .write(move |tx| {
                let now = Timestamp::now();
                let user = UserId(Uuid::new_v4());
                tx.create_user(user, "dev@example.com", true, now)?;
                let new = NewApp {
                    id: app,
                    name: AppName::parse("demo").unwrap(),
                    owner: user,
                    stack: "debian-13".into(),
                    release: ReleaseId(Uuid::new_v4()),
                };
                tx.create_app(&new, now)?;
                Ok(())
            })
            .await
            .unwrap();
        let rig = Self {
            _dir: dir,
            autoscaler: Autoscaler::new(store, logs),
            app,
            now: 1000,
        };
        let version = rig.release().await;
        rig.autoscaler
            .store
            .write(move |tx| {
                let now = Timestamp::now();
                tx.promote_candidate(app, version, now)?;
                Ok(())
            })
            .await
            .unwrap();
        rig.set("web", rule(&[("p95", 500.0)])).await;
        rig.scale(2).await;
        rig
    }

    async fn set(&self, process_type: &str, settings: Settings) {
        self.set_with(process_type, settings, WebhookChange::Keep)
            .await;
    }

    async fn set_with(&self, process_type: &str, settings: Settings, webhook: WebhookChange) {
        let (app, process_type) = (self.app, ProcessType::parse(process_type).unwrap());
        let new = NewAutoscaleRule {
            is_active: true,
            settings,
            webhook,
            notice_period: 5,
        };
        self.autoscaler
            .store
            .write(move |tx| tx.set_autoscale_rule(app, &process_type, &new, Timestamp::now()))
            .await
            .unwrap();
    }

    /// As the loop does it. Whether something was scaled.
    async fn step(&mut self) -> bool {
        let subjects = self.autoscaler.look(self.now).await;
        self.autoscaler.judge_all(&subjects, self.now).await
    }

    /// The server begins anew: all that was measured is forgotten.
    fn restart(&mut self) {
        let (store, logs) = (self.autoscaler.store.clone(), self.autoscaler.logs.clone());
        self.autoscaler = Autoscaler::new(store, logs);
    }

    async fn events(&self) -> Vec<AutoscaleEvent> {
        let app = self.app;
        let events = self
            .autoscaler
            .store
            .read(move |view| view.autoscale_events(app));
        events.await.unwrap()
    }

    /// A release that is not promoted yet.
    async fn release(&self) -> u32 {
        let app = self.app;
        self.autoscaler
            .store
            .write(move |tx| {
                let now = Timestamp::now();
                let slug = SlugId(Uuid::new_v4());
                let new = NewSlug {
                    id: slug,
                    app,
                    commit: None,
                    digest: format!("sha256:{slug}"),
                    images: vec![format!("sha256:{slug}")],
                    image_size: 4096,
                    process_types: [("web", "node web.js"), ("worker", "node work.js")]
                        .map(|(name, command)| (name.to_owned(), command.to_owned()))
                        .into(),
                    buildpack_description: None,
                    stack: "debian-13".into(),
                };
                tx.create_slug(&new, now)?;
                let new = NewRelease {
                    id: ReleaseId(Uuid::new_v4()),
                    app,
                    user: tx.app(app)?.owner,
                    description: "Deploy".into(),
                    slug: Some(slug),
                    config: None,
                    stack: Some(("debian-13".into(), "sha256:13".into())),
                };
                Ok(tx.create_release(new, now)?.version)
            })
            .await
            .unwrap()
    }

    async fn scale(&self, quantity: u32) {
        self.scale_type("web", quantity).await;
    }

    async fn scale_type(&self, process_type: &str, quantity: u32) {
        let (app, process_type) = (self.app, ProcessType::parse(process_type).unwrap());
        self.autoscaler
            .store
            .write(move |tx| {
                let change = FormationChange {
                    process_type,
                    quantity: Some(Quantity::Set(quantity)),
                    size: None,
                };
                tx.scale(app, &[change], Timestamp::now())
            })
            .await
            .unwrap();
    }

    async fn quantity(&self) -> u32 {
        self.quantity_of("web").await
    }

    async fn quantity_of(&self, process_type: &str) -> u32 {
        let app = self.app;
        let rows = self.autoscaler.store.read(move |view| view.formation(app));
        let rows = rows.await.unwrap();
        let mut rows = rows.iter();
        rows.find(|row| row.process_type.as_str() == process_type)
            .unwrap()
            .quantity
    }

    /// So many seconds at this p95, with a look every other. Whether something was scaled.
    async fn seconds(&mut self, count: u64, p95_ms: Option<u64>) -> bool {
        let mut scaled = false;
        for _ in 0..count {
            if let Some(p95_ms) = p95_ms {
                let stats = AppStats {
                    requests: 5,
                    classes: [0, 0, 5, 0, 0, 0],
                    p95_ms,
                    ..AppStats::default()
                };
                let report = Arc::new(HashMap::from([(self.app, stats)]));
                self.autoscaler.hear(&report, self.now);
            }
            self.now += 1;
            self.autoscaler.close_second(self.now);
            if self.now.is_multiple_of(PERIOD) {
                scaled |= self.step().await;
            }
        }
        scaled
    }

    /// A dyno that is up.
    async fn up(&self, name: &str) -> DynoId {
        let (app, name) = (self.app, DynoName::parse(name).unwrap());
        self.autoscaler
            .store
            .write(move |tx| {
                let id = DynoId(Uuid::new_v4());
                let now = Timestamp::now();
                let new = NewDyno {
                    id,
                    app,
                    name,
                    release_version: tx.app(app)?.current_version,
                    size: DynoSize::DEFAULT,
                    command: "node work.js".into(),
                    crashes: 0,
                    one_off: false,
                    attached: false,
                    time_to_live: None,
                    env: BTreeMap::new(),
                };
                tx.create_dyno(&new, now)?;
                tx.set_dyno_state(id, DynoState::Up, None, 0, now)?;
                Ok(id)
            })
            .await
            .unwrap()
    }

    async fn log(&self) -> Vec<String> {
        let filter = Filter::default();
        let entries = self.autoscaler.logs.read(self.app, &filter).await.unwrap();
        entries.iter().map(|entry| entry.text.to_string()).collect()
    }
}

#[tokio::test]
async fn late_answers_bring_dynos_and_a_line_in_the_log_and_idleness_takes_them() {
    let mut rig = Rig::new().await;
    rig.step().await;
    assert!(rig.seconds(40, Some(812)).await);
    assert_eq!(rig.quantity().await, 4);
    assert_eq!(
        rig.log().await,
        ["Scaled to web@4:Standard-1X by autoscale (p95 812 ms over 500 ms)"]
    );
    assert!(rig.seconds(330, None).await);
    assert_eq!(rig.quantity().await, 3);
    assert_eq!(
        rig.log().await[1],
        "Scaled to web@3:Standard-1X by autoscale (no requests for 5 minutes)"
    );
}

#[tokio::test]
async fn it_goes_as_far_as_the_host_has_memory_and_says_so_once() {
    let mut rig = Rig::new().await;
    let memory = ropewalk_model::admission::Memory {
        host_mib: 384 + 3 * 512,
        overcommit: 100,
    };
    let store = rig.autoscaler.store.clone();
    store
        .write(move |tx| tx.set_host_memory(memory))
        .await
        .unwrap();
    rig.step().await;
    assert!(rig.seconds(40, Some(812)).await);
    assert_eq!(rig.quantity().await, 3);
    let full = "Autoscale cannot go on: web=4:Standard-1X needs 2.0 GiB of memory, and this host has 1.5 GiB left for it: \
                3 would fit. Scale something else down, or take a smaller size.";
    let scaled = "Scaled to web@3:Standard-1X by autoscale (p95 812 ms over 500 ms)";
    assert_eq!(rig.log().await, [full, scaled]);
    assert!(!rig.seconds(100, Some(900)).await);
    assert_eq!(rig.log().await.len(), 2);
}

#[tokio::test]
async fn an_app_in_maintenance_is_left_alone() {
    let mut rig = Rig::new().await;
    let app = rig.app;
    let store = rig.autoscaler.store.clone();
    let maintenance = |on| store.write(move |tx| tx.set_maintenance(app, on, Timestamp::now()));
    maintenance(true).await.unwrap();
    assert!(!rig.seconds(120, Some(900)).await);
    maintenance(false).await.unwrap();
    assert!(!rig.seconds(40, Some(900)).await, "it gets a minute");
    assert!(rig.seconds(40, Some(900)).await);
}

#[tokio::test]
async fn amid_a_release_dynos_come_and_none_goes() {
    let mut rig = Rig::new().await;
    let app = rig.app;
    let version = rig.release().await;
    assert!(rig.seconds(40, Some(900)).await);
    assert_eq!(rig.quantity().await, 4);
    assert!(!rig.seconds(700, None).await);
    rig.scale(9).await;
    assert!(!rig.seconds(20, None).await, "not even what is too many");
    rig.scale(3).await;
    let store = &rig.autoscaler.store;
    store
        .write(move |tx| tx.promote_candidate(app, version, Timestamp::now()))
        .await
        .unwrap();
    assert!(!rig.seconds(280, None).await, "new dynos get their time");
    assert!(rig.seconds(60, None).await);
    assert_eq!(rig.quantity().await, 2);
}

#[tokio::test]
async fn a_quantity_outside_the_bounds_is_pulled_back_and_none_is_off() {
    let mut rig = Rig::new().await;
    rig.scale(9).await;
    assert!(rig.seconds(20, Some(300)).await);
    assert_eq!(rig.quantity().await, 5);
    rig.scale(0).await;
    assert!(!rig.seconds(60, None).await);
    assert_eq!(rig.quantity().await, 0);
}

#[tokio::test]
async fn without_a_report_nothing_is_known_and_nothing_done() {
    let mut rig = Rig::new().await;
    rig.scale(9).await;
    assert!(!rig.step().await);
    rig.autoscaler.forget_traffic();
    rig.now += 10;
    assert!(!rig.step().await);
    assert_eq!(rig.quantity().await, 9);
}

/// A dyno takes one request at a time and answers it quickly; the rest waits in the router's line.
#[tokio::test]
async fn requests_that_wait_in_line_keep_the_dynos_and_bring_more() {
    let mut rig = Rig::new().await;
    rig.step().await;
    let stats = |waiting| AppStats {
        requests: 10,
        classes: [0, 0, 10, 0, 0, 0],
        in_flight: waiting + 2,
        waiting,
        p95_ms: 100,
        ..AppStats::default()
    };
    let mut seconds = 0;
    // 0.3 s in line: not late, and not calm.
    while seconds < 400 {
        seconds += 1;
        let report = Arc::new(HashMap::from([(rig.app, stats(3))]));
        rig.autoscaler.hear(&report, rig.now);
        assert!(!rig.seconds(1, None).await);
    }
    assert_eq!(rig.quantity().await, 2);
    // Two seconds in line.
    for _ in 0..40 {
        let report = Arc::new(HashMap::from([(rig.app, stats(20))]));
        rig.autoscaler.hear(&report, rig.now);
        rig.seconds(1, None).await;
    }
    assert!(rig.quantity().await > 2);
}

/// Requests a second, each of which takes 50 ms.
fn rate(requests: u64) -> AppStats {
    AppStats {
        requests,
        classes: [0, 0, requests, 0, 0, 0],
        p95_ms: 48,
        times: vec![(28, requests)],
        queue: Some(vec![(0, requests)]),
        given_up: Some(0),
        ..AppStats::default()
    }
}

#[tokio::test]
async fn a_step_of_the_load_is_answered_within_four_seconds() {
    let mut rig = Rig::new().await;
    rig.set("web", rule(&[("concurrency", 5.0)])).await;
    rig.step().await;
    rig.scale(1).await;
    let second = async |rig: &mut Rig, requests| {
        let report = Arc::new(HashMap::from([(rig.app, rate(requests))]));
        rig.autoscaler.hear(&report, rig.now);
        rig.seconds(1, None).await
    };
    for _ in 0..60 {
        assert!(!second(&mut rig, 5).await);
    }
    let mut took = 0;
    while !second(&mut rig, 200).await {
        took += 1;
        assert!(took < 4, "{:?}", rig.events().await);
    }
    // 200 a second for 50 ms each are 10 at once, and chance brings more.
    assert!((3..=5).contains(&rig.quantity().await));
    let events = rig.events().await;
    let last = events.last().unwrap();
    assert_eq!((last.from, last.applied, last.panic), (1, true, true));
}

#[tokio::test]
async fn a_dry_run_says_what_it_would_do_once_and_changes_nothing() {
    let mut rig = Rig::new().await;
    rig.set("web", rule(&[("p95", 500.0)]).with_dry_run(true))
        .await;
    rig.step().await;
    assert!(!rig.seconds(100, Some(812)).await);
    assert_eq!(rig.quantity().await, 2);
    let events = rig.events().await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(
        (events[0].from, events[0].to, events[0].applied),
        (2, 4, false)
    );
    let said = "Autoscale advises web@4 instead of 2 (p95 812 ms over 500 ms)";
    assert_eq!(rig.log().await, [said]);
    rig.restart();
    rig.step().await;
    assert!(!rig.seconds(100, Some(812)).await);
    assert_eq!(
        rig.events().await.len(),
        1,
        "it was said before the restart"
    );
}

#[tokio::test]
async fn what_was_done_before_a_restart_is_remembered() {
    let mut rig = Rig::new().await;
    rig.step().await;
    assert!(rig.seconds(40, Some(600)).await);
    assert_eq!(rig.quantity().await, 3);
    rig.restart();
    rig.step().await;
    // Just now by the clock on the wall, by which events are kept.
    assert!(
        !rig.seconds(50, Some(600)).await,
        "the minute after a step is not over"
    );
    assert!(rig.seconds(20, Some(600)).await);
}

#[tokio::test]
async fn a_worker_follows_a_number_of_its_own() {
    let mut rig = Rig::new().await;
    rig.set("worker", rule(&[("metric:jobs", 10.0)])).await;
    rig.scale_type("worker", 1).await;
    let subjects = rig.autoscaler.look(rig.now).await;
    assert!(
        rig.autoscaler.questions(&subjects, rig.now).is_empty(),
        "nobody is up"
    );
    rig.up("worker.1").await;
    let subjects = rig.autoscaler.look(rig.now).await;
    let mut asked = rig.autoscaler.questions(&subjects, rig.now);
    let (key, question) = asked.remove(0);
    assert_eq!((question.name.as_str(), question.dynos.len()), ("jobs", 1));
    assert!(asked.is_empty());
    assert!(rig.autoscaler.questions(&subjects, rig.now + 9).is_empty());
    assert!(
        rig.autoscaler.questions(&subjects, rig.now + 10).is_empty(),
        "the first was not answered"
    );
    for answer in [Err("status 500"), Err("status 500"), Ok(42.0), Ok(42.0)] {
        let answer = answer.map_err(str::to_owned);
        rig.autoscaler.note(key.clone(), "jobs", answer, rig.now);
    }
    rig.now += 1;
    assert!(rig.step().await);
    assert_eq!(rig.quantity_of("worker").await, 5);
    assert_eq!(rig.quantity().await, 2, "web has its own rule");
    assert_eq!(
        rig.log().await,
        [
            "Autoscale cannot read jobs of worker: status 500",
            "Autoscale reads jobs of worker again",
            "Scaled to worker@5:Standard-1X by autoscale (jobs is 42.0, 10 for a dyno)",
        ]
    );
    assert_eq!(rig.autoscaler.questions(&subjects, rig.now + 20).len(), 1);
}

#[tokio::test]
async fn cpu_of_ready_dynos_counts() {
    let mut rig = Rig::new().await;
    rig.set("worker", rule(&[("cpu", 50.0)])).await;
    rig.scale_type("worker", 1).await;
    let dyno = rig.up("worker.1").await;
    for millis in [0, 2000, 4000, 6000] {
        let usage = Usage {
            memory: 1,
            cpu_time: Duration::from_millis(millis),
            cpu_limit: None,
        };
        let subjects = rig.autoscaler.look(rig.now).await;
        assert_eq!(measured(&subjects), [dyno]);
        let at = Duration::from_secs(rig.now);
        let usage = [(dyno, usage)].into();
        rig.autoscaler.note_usage(&subjects, &usage, at, rig.now);
        rig.now += 2;
    }
    assert!(rig.step().await);
    assert_eq!(rig.quantity_of("worker").await, 2);
    let events = rig.events().await;
    assert_eq!(events[0].reason, "CPU at 100 %, goal 50 %");
    let subjects = rig.autoscaler.look(rig.now).await;
    for _ in 0..2 * BLIND {
        let at = Duration::from_secs(rig.now);
        let nothing = BTreeMap::new();
        rig.autoscaler.note_usage(&subjects, &nothing, at, rig.now);
    }
    let blind = "Autoscale cannot read CPU and memory of worker";
    let log = rig.log().await;
    assert_eq!(
        log.iter().filter(|text| *text == blind).count(),
        1,
        "{log:?}"
    );
}

#[tokio::test]
async fn a_webhook_is_told_of_everything_but_not_all_the_time() {
    let mut rig = Rig::new().await;
    let hook = Webhook::new("https://hooks.example.com", "0123456789abcdef").unwrap();
    rig.set_with("web", rule(&[("p95", 500.0)]), WebhookChange::Set(hook))
        .await;
    rig.step().await;
    rig.scale(9).await;
    assert!(rig.seconds(4, Some(100)).await);
    let subjects = rig.autoscaler.look(rig.now).await;
    let notices = rig.autoscaler.notices(&subjects);
    assert_eq!((notices.len(), notices[0].events.len()), (1, 1));
    assert!(
        rig.autoscaler.notices(&subjects).is_empty(),
        "it is being told"
    );
    let told = |outcome| Told {
        rule: notices[0].rule,
        app: rig.app,
        process_type: "web".to_owned(),
        outcome,
    };
    let (failed, taken) = (
        told(Err("status 500".to_owned())),
        told(Ok(notices[0].events[0].id)),
    );
    rig.autoscaler.told(failed).await;
    let subjects = rig.autoscaler.look(rig.now).await;
    assert!(rig.autoscaler.notices(&subjects).is_empty(), "not so soon");
    assert!(subjects[0].untold.is_empty());
    let log = rig.log().await;
    assert_eq!(
        log.last().unwrap(),
        "Autoscale could not tell the webhook of web: status 500"
    );
    rig.autoscaler.told(taken).await;
    let app = rig.app;
    let rules = rig
        .autoscaler
        .store
        .read(move |view| view.autoscale_rules(app));
    assert_eq!(rules.await.unwrap()[0].told_event, notices[0].events[0].id);
}

/// All of it together, by the real clock: what a router says over its socket becomes a wanted quantity.
#[tokio::test]
async fn the_loop_hears_routers_and_scales_within_seconds() {
    use ropewalk_api_types::router::ToServer;
    use tokio::io::AsyncWriteExt;
    let rig = Rig::new().await;
    rig.set("web", rule(&[("concurrency", 5.0)])).await;
    rig.scale(1).await;
    let folder = rig._dir.path();
    let (store, logs) = (rig.autoscaler.store.clone(), rig.autoscaler.logs.clone());
    let routes = Routes::new(
        ropewalk_scheduler::Platform {
            domain: "localhost".to_owned(),
            socket: folder.join("platform.sock"),
            rendezvous: folder.join("rendezvous.sock"),
            tcp_ports: None,
        },
        logs.clone(),
    );
    let instance = ropewalk_model::InstanceId::parse("0123abcd").unwrap();
    let scheduler = Scheduler::new(ropewalk_scheduler::Parts {
        config: ropewalk_scheduler::Config {
            instance: instance.clone(),
            slugs: folder.join("slugs"),
            network: "rw".to_owned(),
            policy: ropewalk_scheduler::Policy::default(),
            standby: Duration::ZERO,
            spares: 0,
        },
        store: store.clone(),
        engine: Arc::new(ropewalk_engine::fake::FakeEngine::new(instance)),
        mounts: ropewalk_slug::Mounts::open(&folder.join("mnt")).unwrap(),
        logs: logs.clone(),
        outputs: ropewalk_logs::Outputs::open(&folder.join("logs")).unwrap(),
        routes: routes.clone(),
    });
    let stop = CancellationToken::new();
    let socket = folder.join("router.sock");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let (serving, token) = (routes.clone(), stop.clone());
    let link = tokio::spawn(async move { serving.serve(listener, token).await });
    let parts = Parts {
        store,
        logs,
        routes,
        egress: Arc::new(Egress::new(ropewalk_model::Egress::default()).unwrap()),
        asker: Asker::new(scheduler.clone(), "localhost".to_owned()).unwrap(),
        scheduler,
    };
    let keeping = tokio::spawn(keep(parts, stop.clone()));

    let mut router = tokio::net::UnixStream::connect(&socket).await.unwrap();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    let scaled = async {
        while rig.quantity().await == 1 {
            second.tick().await;
            let apps = BTreeMap::from([(rig.app.to_string(), rate(200))]);
            let mut line = serde_json::to_vec(&ToServer::Stats { apps }).unwrap();
            line.push(b'\n');
            router.write_all(&line).await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(30), scaled)
        .await
        .expect("it was scaled");
    assert!((3..=5).contains(&rig.quantity().await));
    stop.cancel();
    keeping.await.unwrap().unwrap();
    link.await.unwrap().unwrap();
}
