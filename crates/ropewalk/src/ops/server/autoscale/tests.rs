//! The loop against a real ledger, with made-up traffic and seconds.

use std::collections::BTreeMap;
use std::sync::Arc;

use ropewalk_api_types::router::AppStats;
use ropewalk_logs::Filter;
use ropewalk_model::monitor::Rule;
use ropewalk_model::{AppName, ProcessType, ReleaseId, SlugId, UserId};
use ropewalk_store::{Key, MonitorSettings, NewApp, NewRelease, NewSlug};
use uuid::Uuid;

use super::*;

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
        let key = Key::open(&dir.path().join("key")).unwrap();
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
                let settings = MonitorSettings {
                    is_active: true,
                    rule: Rule::new(500, 1, 5).unwrap(),
                    notification_period: 1440,
                };
                tx.create_monitor(app, &ProcessType::web(), &settings, now)?;
                Ok(())
            })
            .await
            .unwrap();
        rig.scale(2).await;
        rig
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
                    process_types: BTreeMap::from([("web".to_owned(), "node web.js".to_owned())]),
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
        let app = self.app;
        self.autoscaler
            .store
            .write(move |tx| {
                let change = FormationChange {
                    process_type: ProcessType::web(),
                    quantity: Some(Quantity::Set(quantity)),
                    size: None,
                };
                tx.scale(app, &[change], Timestamp::now())
            })
            .await
            .unwrap();
    }

    async fn quantity(&self) -> u32 {
        let app = self.app;
        let rows = self.autoscaler.store.read(move |view| view.formation(app));
        rows.await.unwrap()[0].quantity
    }

    /// So many seconds at this p95, with a look every ten. Whether something was scaled.
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
            if self.now.is_multiple_of(10) {
                scaled |= self.autoscaler.step(self.now).await;
            }
        }
        scaled
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
    rig.autoscaler.step(rig.now).await;
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
async fn an_app_in_maintenance_or_amid_a_release_is_left_alone() {
    let mut rig = Rig::new().await;
    let app = rig.app;
    let store = rig.autoscaler.store.clone();
    let maintenance = |on| store.write(move |tx| tx.set_maintenance(app, on, Timestamp::now()));
    maintenance(true).await.unwrap();
    assert!(!rig.seconds(120, Some(900)).await);
    maintenance(false).await.unwrap();
    let version = rig.release().await;
    assert!(!rig.seconds(120, Some(900)).await);
    store
        .write(move |tx| tx.promote_candidate(app, version, Timestamp::now()))
        .await
        .unwrap();
    assert!(!rig.seconds(40, Some(900)).await, "new dynos get a minute");
    assert!(rig.seconds(40, Some(900)).await);
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
    assert!(!rig.autoscaler.step(2000).await);
    rig.autoscaler.forget_traffic();
    assert!(!rig.autoscaler.step(2010).await);
    assert_eq!(rig.quantity().await, 9);
}

/// A dyno takes one request at a time and answers it quickly; the rest waits in the router's line.
#[tokio::test]
async fn requests_that_wait_in_line_keep_the_dynos_and_bring_more() {
    let mut rig = Rig::new().await;
    rig.autoscaler.step(rig.now).await;
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
    assert_eq!(rig.quantity().await, 4);
}
