//! One-off dynos in the ledger and in passes, on an engine in memory. What an attached one does with its terminal is
//! tested in `serve.rs`.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use ropewalk_engine::fake::FakeEngine;
use ropewalk_logs::{Logs, Outputs};
use ropewalk_model::formation::MAX_QUANTITY;
use ropewalk_model::{AppName, InstanceId, ReleaseId, Sizes, SlugId, UserId};
use ropewalk_slug::Mounts;
use ropewalk_store::{FormationChange, Key, NewApp, NewRelease, NewSlug, Store};

use super::*;
use crate::reconcile::one_pass;
use crate::{Config, Parts, Policy, Routes};

const APP: AppId = AppId(Uuid::nil());

/// An app with one process type, and a scheduler that makes passes when told.
struct Rig {
    scheduler: Scheduler,
    _folder: tempfile::TempDir,
}

impl Rig {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let instance = InstanceId::parse("0a1b2c3d").unwrap();
        let store = Store::open(&path("ledger.db"), Key::open(&path("key")).unwrap()).unwrap();
        store.write(deploy).await.unwrap();
        let logs = Logs::open(&path("logs")).unwrap();
        let platform = crate::Platform {
            domain: "localhost".to_owned(),
            socket: PathBuf::new(),
            rendezvous: PathBuf::new(),
            tcp_ports: None,
        };
        let scheduler = Scheduler::new(Parts {
            config: Config {
                instance: instance.clone(),
                slugs: path("slugs"),
                standby: std::time::Duration::ZERO,
                spares: 0,
                network: "dynos".to_owned(),
                policy: Policy::default(),
            },
            store,
            engine: Arc::new(FakeEngine::new(instance)),
            mounts: Mounts::open(&path("mnt")).unwrap(),
            routes: Routes::new(platform, logs.clone()),
            outputs: Outputs::open(&path("logs")).unwrap(),
            logs,
        });
        Self {
            scheduler,
            _folder: folder,
        }
    }

    async fn start(&self, command: &str) -> Started {
        self.scheduler.start_run(run(command, "run")).await.unwrap()
    }

    async fn pass(&self) {
        one_pass(&self.scheduler.shared).await.unwrap();
    }
}

fn run(command: &str, process_type: &str) -> NewRun {
    NewRun {
        app: APP,
        command: command.to_owned(),
        process_type: ProcessType::parse(process_type).unwrap(),
        size: None,
        env: BTreeMap::new(),
        attach: true,
        tty: false,
        time_to_live: None,
    }
}

fn deploy(tx: &ropewalk_store::Tx<'_>) -> Result<(), StoreError> {
    let now = Timestamp::now();
    let user = UserId(Uuid::new_v4());
    tx.create_user(user, "dev@example.com", false, now)?;
    tx.put_stack("debian-13", "sha256:13", &serde_json::json!({}), now)?;
    tx.create_app(
        &NewApp {
            id: APP,
            name: AppName::parse("demo").unwrap(),
            owner: user,
            stack: "debian-13".to_owned(),
            release: ReleaseId(Uuid::new_v4()),
        },
        now,
    )?;
    let slug = SlugId(Uuid::new_v4());
    let command = ("celery".to_owned(), "celery -A app worker".to_owned());
    tx.create_slug(
        &NewSlug {
            id: slug,
            app: APP,
            commit: None,
            digest: "sha256:00".to_owned(),
            images: vec!["sha256:00".to_owned()],
            image_size: 1,
            process_types: BTreeMap::from([command]),
            buildpack_description: None,
            stack: "debian-13".to_owned(),
        },
        now,
    )?;
    let release = tx.create_release(
        NewRelease {
            id: ReleaseId(Uuid::new_v4()),
            app: APP,
            user,
            description: "Deploy".to_owned(),
            slug: Some(slug),
            config: None,
            stack: Some(("debian-13".to_owned(), "sha256:13".to_owned())),
        },
        now,
    )?;
    tx.promote_candidate(APP, release.version, now)?;
    Ok(())
}

#[tokio::test]
async fn an_attached_dyno_ends_when_it_is_stopped_and_when_its_app_is_gone() {
    let rig = Rig::new().await;
    let shared = &rig.scheduler.shared;
    let (first, second) = (rig.start("bash").await.dyno, rig.start("bash").await.dyno);
    // As attaching does.
    let attach = |dyno: &Dyno| {
        assert!(shared.take(dyno.id));
        shared.runs.begin(dyno.id)
    };
    let (first_stop, second_stop) = (attach(&first), attach(&second));
    rig.pass().await;
    assert!(!first_stop.is_cancelled());

    let name = first.name.clone();
    shared
        .store
        .write(move |tx| {
            tx.retire_dynos(
                APP,
                Some(&name.process_type),
                Some(name.number),
                Retire::Stop,
            )
        })
        .await
        .unwrap();
    rig.pass().await;
    assert!(first_stop.is_cancelled());
    assert!(!second_stop.is_cancelled());

    shared.store.write(|tx| tx.delete_app(APP)).await.unwrap();
    rig.pass().await;
    assert!(second_stop.is_cancelled());
}

#[tokio::test]
async fn a_dyno_that_was_stopped_before_its_terminal_came_is_not_started() {
    let rig = Rig::new().await;
    let started = rig.start("bash").await;
    let store = &rig.scheduler.shared.store;
    store
        .write(|tx| tx.retire_dynos(APP, Some(&ProcessType::run()), None, Retire::Stop))
        .await
        .unwrap();
    let secret = started.secret.unwrap();
    assert!(rig.scheduler.attach(&secret).await.unwrap().is_none());
}

#[tokio::test]
async fn a_one_off_of_a_type_has_its_name_and_size_and_not_its_fate() {
    let rig = Rig::new().await;
    let celery = ProcessType::parse("celery").unwrap();
    let (store, change) = (
        &rig.scheduler.shared.store,
        FormationChange {
            process_type: celery.clone(),
            quantity: None,
            size: Sizes::default().find("Standard-2X"),
        },
    );
    store
        .write(move |tx| tx.scale(APP, &[change], Timestamp::now()))
        .await
        .unwrap();
    let start = |process_type, size| {
        let wanted = NewRun {
            size,
            ..run("bash", process_type)
        };
        rig.scheduler.start_run(wanted)
    };
    let dyno = start("celery", None).await.unwrap().dyno;
    assert!(dyno.one_off && dyno.name.process_type == celery && dyno.name.number > MAX_QUANTITY);
    assert_eq!(dyno.size.name.as_str(), "Standard-2X");
    let dyno = start("celery", Some(DynoSize::DEFAULT)).await.unwrap().dyno;
    assert_eq!(dyno.size, DynoSize::DEFAULT);
    assert_eq!(
        start("run", None).await.unwrap().dyno.size,
        DynoSize::DEFAULT
    );
    let refused = start("release", None).await.unwrap_err();
    assert!(matches!(refused, SchedulerError::Refused(_)), "{refused}");
    // A restart of the type, or of all, leaves them alone; one of its name does not.
    start("nobodys", None).await.unwrap();
    let nobodys = ProcessType::parse("nobodys").unwrap();
    let (name, store) = (dyno.name, &rig.scheduler.shared.store);
    let retired = store
        .write(move |tx| {
            Ok([
                tx.retire_dynos(APP, None, None, Retire::Replace)?,
                tx.retire_dynos(APP, Some(&name.process_type), None, Retire::Replace)?,
                tx.retire_dynos(
                    APP,
                    Some(&name.process_type),
                    Some(name.number),
                    Retire::Stop,
                )?,
                tx.retire_dynos(APP, Some(&ProcessType::run()), None, Retire::Stop)?,
                tx.retire_dynos(APP, Some(&nobodys), None, Retire::Stop)?,
            ])
        })
        .await
        .unwrap();
    assert_eq!(retired, [0, 0, 1, 1, 1]);
}

#[tokio::test]
async fn a_process_type_is_put_in_once() {
    let rig = Rig::new().await;
    let started = rig.start("celery --loglevel info").await;
    assert_eq!(started.dyno.command, "celery -A app worker --loglevel info");
}

#[test]
fn a_process_type_stands_for_its_command() {
    let types = BTreeMap::from([
        ("web".to_owned(), "node web.js".to_owned()),
        ("celery".to_owned(), "celery -A app worker".to_owned()),
    ]);
    for (command, full) in [
        ("web", "node web.js"),
        ("web --once", "node web.js --once"),
        ("web ; echo $?", "node web.js ; echo $?"),
        ("web; echo $?", "node web.js; echo $?"),
        ("celery", "celery -A app worker"),
        ("web.sh", "web.sh"),
        ("echo web", "echo web"),
        ("bash -c 'exit 7'", "bash -c 'exit 7'"),
    ] {
        assert_eq!(resolve(command, &types), full);
    }
}
