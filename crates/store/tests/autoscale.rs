//! Autoscale rules in the ledger: whole again as they were kept, with their webhooks sealed; events are bounded.

#![allow(clippy::unwrap_used)] // support code of tests

use jiff::Timestamp;
use ropewalk_model::scaling::schedule::zone;
use ropewalk_model::scaling::{
    Bounds, Days, MetricName, Pace, Rule, Schedule, Settings, Source, Target, Webhook,
};
use ropewalk_model::{AppId, AppName, ProcessType, ReleaseId, UserId};
use ropewalk_store::{
    AutoscaleRule, KEPT_EVENTS, Key, NewApp, NewAutoscaleEvent, NewAutoscaleRule, Store,
    WebhookChange,
};
use uuid::Uuid;

struct Rig {
    dir: tempfile::TempDir,
    store: Store,
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = Key::open(&dir.path().join("key")).unwrap();
        let store = Store::open(&dir.path().join("ledger.db"), key).unwrap();
        Self { dir, store }
    }

    async fn app(&self, name: &'static str) -> AppId {
        self.store
            .write(move |tx| {
                let user = UserId(Uuid::new_v4());
                tx.create_user(user, &format!("{name}@example.com"), true, Timestamp::now())?;
                let id = AppId(Uuid::new_v4());
                let new = NewApp {
                    id,
                    name: AppName::parse(name).unwrap(),
                    owner: user,
                    stack: "debian-13".into(),
                    release: ReleaseId(Uuid::new_v4()),
                };
                tx.create_app(&new, Timestamp::now())?;
                Ok(id)
            })
            .await
            .unwrap()
    }

    async fn set(&self, app: AppId, process_type: &str, new: NewAutoscaleRule) -> AutoscaleRule {
        let process_type = ProcessType::parse(process_type).unwrap();
        self.store
            .write(move |tx| tx.set_autoscale_rule(app, &process_type, &new, Timestamp::now()))
            .await
            .unwrap()
    }
}

fn event(app: AppId, number: u32) -> NewAutoscaleEvent {
    NewAutoscaleEvent {
        app,
        process_type: ProcessType::web(),
        at: Timestamp::now(),
        from: number,
        to: number + 1,
        applied: true,
        panic: false,
        reason: format!("step {number}"),
    }
}

fn new(settings: Settings) -> NewAutoscaleRule {
    NewAutoscaleRule {
        is_active: true,
        settings,
        webhook: WebhookChange::Keep,
        notice_period: 5,
    }
}

fn simple(ms: f64) -> Settings {
    let targets = vec![Target::parse("p95", ms).unwrap()];
    let rule = Rule::new(Bounds::new(1, 5).unwrap(), targets).unwrap();
    Settings::try_from(rule).unwrap()
}

/// Everything that can be set.
fn full() -> Settings {
    let targets = ["p95", "concurrency", "rps", "queue", "cpu", "memory"]
        .map(|kind| Target::parse(kind, 50.0).unwrap());
    let own = ["jobs", "mails"].map(|name| Target::parse(&format!("metric:{name}"), 12.5).unwrap());
    let schedule = Schedule::new(
        Days::weekdays(),
        9 * 60,
        18 * 60,
        zone("Europe/Berlin").unwrap(),
        Bounds::new(5, 9).unwrap(),
    );
    let pace = Pace {
        up_rest: Some(0),
        down_after: Some(20),
        down_rest: Some(10),
        most_up: Some(4),
        most_down: Some(2),
        panic: false,
    };
    let rule = Rule::new(Bounds::new(2, 20).unwrap(), [&targets[..], &own].concat())
        .and_then(|rule| rule.with_schedules(vec![schedule.unwrap()]))
        .and_then(|rule| rule.with_pace(pace))
        .unwrap()
        .with_dry_run(true);
    let name = |name| MetricName::parse(name).unwrap();
    let sources = vec![
        (name("jobs"), Source::path("/metrics", true).unwrap()),
        (
            name("mails"),
            Source::command("bin/mails --waiting").unwrap(),
        ),
    ];
    Settings::new(rule, sources).unwrap()
}

#[tokio::test]
async fn a_rule_is_whole_again_and_takes_the_place_of_the_one_before() {
    let rig = Rig::new();
    let app = rig.app("one").await;
    let first = rig.set(app, "web", new(simple(500.0))).await;
    assert_eq!(first.settings, simple(500.0));
    let second = rig.set(app, "web", new(full())).await;
    assert_eq!(second.settings, full());
    assert_eq!((second.id, second.created_at), (first.id, first.created_at));
    rig.set(app, "worker", new(full())).await;
    let off = NewAutoscaleRule {
        is_active: false,
        ..new(full())
    };
    rig.set(app, "clock", off).await;
    let (all, active) = rig
        .store
        .read(move |view| Ok((view.autoscale_rules(app)?, view.active_autoscale_rules()?)))
        .await
        .unwrap();
    let types: Vec<_> = all.iter().map(|rule| rule.process_type.as_str()).collect();
    assert_eq!(types, ["clock", "web", "worker"]);
    assert_eq!(active, all[1..]);
    let gone = rig
        .store
        .write(move |tx| {
            let web = ProcessType::web();
            let first = tx.remove_autoscale_rule(app, &web)?;
            Ok((first, tx.remove_autoscale_rule(app, &web)?))
        })
        .await
        .unwrap();
    assert_eq!(gone, (true, false));
}

#[tokio::test]
async fn webhooks_are_sealed_kept_and_told_only_of_what_comes() {
    let rig = Rig::new();
    let app = rig.app("one").await;
    let hook = Webhook::new("https://hooks.example.com/hunter2", "correct-horse-battery").unwrap();
    rig.store
        .write(move |tx| tx.add_autoscale_event(&event(app, 1)))
        .await
        .unwrap();
    let with = NewAutoscaleRule {
        webhook: WebhookChange::Set(hook.clone()),
        ..new(simple(500.0))
    };
    let rule = rig.set(app, "web", with).await;
    assert_eq!(rule.webhook, Some(hook.clone()));
    assert_eq!((rule.told_event, rule.told_at), (1, None));
    let kept = rig.set(app, "web", new(simple(400.0))).await;
    assert_eq!(kept.webhook, Some(hook));

    let (id, now) = (rule.id, Timestamp::now());
    let news = rig
        .store
        .write(move |tx| {
            tx.add_autoscale_event(&event(app, 2))?;
            let news = tx.autoscale_events_since(app, &ProcessType::web(), 1, 100)?;
            tx.told_autoscale(id, None, now)?;
            tx.told_autoscale(id, news.last().map(|event| event.id), now)?;
            Ok(news)
        })
        .await
        .unwrap();
    let reasons: Vec<_> = news.iter().map(|event| event.reason.as_str()).collect();
    assert_eq!(reasons, ["step 2"]);
    let told = rig.store.read(move |view| view.autoscale_rules(app)).await;
    let told = told.unwrap().remove(0);
    assert_eq!(told.told_event, 2);
    assert!(told.told_at.is_some());

    for file in std::fs::read_dir(rig.dir.path()).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        for secret in ["hunter2", "correct-horse"] {
            let found = bytes
                .windows(secret.len())
                .any(|part| part == secret.as_bytes());
            assert!(!found, "{secret} in {}", path.display());
        }
    }
    let end = NewAutoscaleRule {
        webhook: WebhookChange::End,
        ..new(simple(500.0))
    };
    assert_eq!(rig.set(app, "web", end).await.webhook, None);
}

#[tokio::test]
async fn the_newest_events_of_each_app_are_kept_and_go_with_it() {
    let rig = Rig::new();
    let (one, two) = (rig.app("one").await, rig.app("two").await);
    let events = rig
        .store
        .write(move |tx| {
            tx.add_autoscale_event(&event(two, 0))?;
            for number in 0..KEPT_EVENTS + 5 {
                tx.add_autoscale_event(&event(one, number))?;
            }
            Ok((tx.autoscale_events(one)?, tx.autoscale_events(two)?))
        })
        .await
        .unwrap();
    let (of_one, of_two) = events;
    assert_eq!(of_one.len(), KEPT_EVENTS as usize);
    assert_eq!((of_one[0].from, of_two.len()), (5, 1));
    assert!(of_one.is_sorted_by_key(|event| event.id));
}
