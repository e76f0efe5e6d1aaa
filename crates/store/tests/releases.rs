//! What the rest of the platform relies on: releases are numbered without gaps, one candidate at a time, and
//! what was acknowledged survives reopening the file.

#![allow(clippy::unwrap_used)] // support code of tests

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use ropewalk_model::admission::Memory;
use ropewalk_model::release::ReleaseStatus;
use ropewalk_model::{
    AppId, AppName, DynoId, DynoName, DynoSize, ProcessType, ReleaseId, SizeName, Sizes, SleepTier,
    SlugId, UserId,
};
use ropewalk_store::{
    FormationChange, Key, NewApp, NewDyno, NewRelease, NewSlug, NewToken, PasswordHash, Retire,
    Store, StoreError,
};
use uuid::Uuid;

fn open(dir: &Path) -> Store {
    Store::open(&dir.join("ledger.db"), Key::open(&dir.join("key")).unwrap()).unwrap()
}

fn now() -> Timestamp {
    Timestamp::now()
}

struct Fixture {
    app: AppId,
    user: UserId,
}

async fn fixture(store: &Store) -> Fixture {
    store
        .write(|tx| {
            let user = UserId(Uuid::new_v4());
            tx.create_user(user, "dev@example.com", true, now())?;
            let app = AppId(Uuid::new_v4());
            let name = AppName::parse("demo").unwrap();
            let release = ReleaseId(Uuid::new_v4());
            tx.create_app(
                &NewApp {
                    id: app,
                    name,
                    owner: user,
                    stack: "debian-13".into(),
                    release,
                },
                now(),
            )?;
            Ok(Fixture { app, user })
        })
        .await
        .unwrap()
}

impl Fixture {
    fn release(&self, description: &str) -> NewRelease {
        NewRelease {
            id: ReleaseId(Uuid::new_v4()),
            app: self.app,
            user: self.user,
            description: description.to_owned(),
            slug: None,
            config: None,
            stack: None,
        }
    }

    async fn deploy(&self, store: &Store, types: &[&str]) -> u32 {
        let mut new = self.release("Deploy abcdef01");
        let process_types: BTreeMap<String, String> = types
            .iter()
            .map(|name| ((*name).to_owned(), format!("run {name}")))
            .collect();
        let app = self.app;
        store
            .write(move |tx| {
                let slug = SlugId(Uuid::new_v4());
                tx.create_slug(
                    &NewSlug {
                        id: slug,
                        app,
                        commit: Some("abcdef01".into()),
                        digest: "sha256:00".into(),
                        images: vec!["sha256:00".into()],
                        image_size: 1,
                        process_types,
                        buildpack_description: None,
                        stack: "debian-13".into(),
                    },
                    now(),
                )?;
                new.slug = Some(slug);
                new.stack = Some(("debian-13".into(), "sha256:11".into()));
                Ok(tx.create_release(new, now())?.version)
            })
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn a_candidate_serves_only_after_it_passed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let fx = fixture(&store).await;
    let app = fx.app;
    let v2 = fx.deploy(&store, &["web", "worker"]).await;
    assert_eq!(v2, 2);
    let seen = store.read(move |view| view.app(app)).await.unwrap();
    assert_eq!((seen.current_version, seen.candidate_version), (1, Some(2)));

    assert!(
        store
            .write(move |tx| tx.promote_candidate(app, 2, now()))
            .await
            .unwrap()
    );
    let formation = store.read(move |view| view.formation(app)).await.unwrap();
    let quantities: Vec<_> = formation
        .iter()
        .map(|f| (f.process_type.to_string(), f.quantity))
        .collect();
    assert_eq!(
        quantities,
        [("web".to_owned(), 1), ("worker".to_owned(), 0)]
    );

    let v3 = fx.deploy(&store, &["web"]).await;
    assert!(
        store
            .write(move |tx| tx.fail_candidate(app, v3, "R10", now()))
            .await
            .unwrap()
    );
    let (seen, release) = store
        .read(move |view| Ok((view.app(app)?, view.release(app, v3)?)))
        .await
        .unwrap();
    assert_eq!((seen.current_version, seen.candidate_version), (2, None));
    assert_eq!(release.status, ReleaseStatus::Failed);
    assert_eq!(release.failure.as_deref(), Some("R10"));
    // Concluding it twice changes nothing.
    assert!(
        !store
            .write(move |tx| tx.promote_candidate(app, v3, now()))
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn a_newer_release_builds_on_the_pending_one_and_expires_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let fx = fixture(&store).await;
    let app = fx.app;
    let v2 = fx.deploy(&store, &["web"]).await;
    let mut new = fx.release("Set A config vars");
    let (config, _) = ropewalk_model::ConfigVars::default()
        .patched(&BTreeMap::from([(
            "A".to_owned(),
            Some("secret-canary".to_owned()),
        )]))
        .unwrap();
    new.config = Some(config.clone());
    let v3 = store
        .write(move |tx| tx.create_release(new, now()))
        .await
        .unwrap();
    assert_eq!(v3.version, 3);
    let (old, kept, seen) = store
        .read(move |view| {
            Ok((
                view.release(app, v2)?,
                view.config_vars(app, 3)?,
                view.app(app)?,
            ))
        })
        .await
        .unwrap();
    assert_eq!(old.status, ReleaseStatus::Expired);
    assert_eq!(v3.slug, old.slug);
    assert_eq!(kept, config);
    assert_eq!(seen.candidate_version, Some(3));
    drop(store);
    for file in ["ledger.db", "ledger.db-wal"] {
        let bytes = std::fs::read(dir.path().join(file)).unwrap_or_default();
        assert!(
            !bytes.windows(13).any(|w| w == b"secret-canary"),
            "{file} holds a config var in clear"
        );
    }
    let store = open(dir.path());
    assert_eq!(
        store
            .read(move |view| view.config_vars(app, 3))
            .await
            .unwrap(),
        config
    );
}

#[tokio::test]
async fn scaling_is_all_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let fx = fixture(&store).await;
    let app = fx.app;
    fx.deploy(&store, &["web", "release"]).await;
    let change = |name: &str, quantity: &str| FormationChange {
        process_type: ProcessType::parse(name).unwrap(),
        quantity: Some(ropewalk_model::formation::Quantity::parse(quantity).unwrap()),
        size: None,
    };
    let bad = vec![change("web", "4"), change("nope", "1")];
    assert!(matches!(
        store.write(move |tx| tx.scale(app, &bad, now())).await,
        Err(StoreError::Formation(_))
    ));
    let bad = vec![change("release", "1")];
    assert!(
        store
            .write(move |tx| tx.scale(app, &bad, now()))
            .await
            .is_err()
    );
    let good = vec![change("web", "4"), change("web", "+1")];
    let formation = store
        .write(move |tx| tx.scale(app, &good, now()))
        .await
        .unwrap();
    let web = formation.iter().find(|f| f.process_type.is_web()).unwrap();
    assert_eq!(web.quantity, 5);
}

#[tokio::test]
async fn what_the_host_has_no_memory_for_is_refused_and_less_is_always_taken() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let fx = fixture(&store).await;
    let app = fx.app;
    fx.deploy(&store, &["web", "worker"]).await;
    let scale = async |web: u32, size: &str| {
        let change = FormationChange {
            process_type: ProcessType::web(),
            quantity: Some(ropewalk_model::formation::Quantity::Set(web)),
            size: Sizes::default().find(size),
        };
        let scaled = store.write(move |tx| tx.scale(app, &[change], now())).await;
        scaled.map_err(|error| error.to_string())
    };
    scale(20, "standard-1x").await.unwrap();
    let memory = Memory {
        host_mib: 4480,
        overcommit: 100,
    };
    store
        .write(move |tx| tx.set_host_memory(memory))
        .await
        .unwrap();
    // More than there is room for, from before it was known: fewer are taken, more are not.
    assert!(scale(21, "standard-1x").await.is_err());
    scale(10, "standard-1x").await.unwrap();
    scale(7, "standard-1x").await.unwrap();
    let full = scale(5, "standard-2x").await.unwrap_err();
    assert!(full.contains("4.0 GiB left for it: 4 would fit"), "{full}");
    let large = scale(1, "performance-l").await.unwrap_err();
    assert!(large.contains("this host has 4.4 GiB in all"), "{large}");
    let one_off = async || {
        let size = DynoSize::DEFAULT;
        let process_type = ProcessType::parse("run").unwrap();
        let admitted = store.write(move |tx| tx.admit_one_off(&process_type, size));
        admitted.await.is_ok()
    };
    assert!(one_off().await);
    scale(8, "standard-1x").await.unwrap();
    assert!(!one_off().await);
    // What an app that is stopped would need is free.
    store
        .write(move |tx| tx.put_to_sleep(app, SleepTier::Stopped, "idle", now()))
        .await
        .unwrap();
    assert!(one_off().await);
}

#[tokio::test]
async fn sizes_are_the_operators_and_their_dynos_are_told_apart_by_revision() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let fx = fixture(&store).await;
    let app = fx.app;
    fx.deploy(&store, &["web"]).await;
    assert_eq!(
        store.read(|view| view.sizes()).await.unwrap(),
        Sizes::default(),
        "the migration gives what the model says a new host has"
    );
    let huge = DynoSize::with_memory(SizeName::parse("Huge").unwrap(), 8192);
    store.write(move |tx| tx.add_size(&huge)).await.unwrap();
    let again = DynoSize {
        name: SizeName::parse("HUGE").unwrap(),
        ..huge
    };
    assert!(store.write(move |tx| tx.add_size(&again)).await.is_err());
    let change = FormationChange {
        process_type: ProcessType::web(),
        quantity: None,
        size: Some(huge),
    };
    let new = NewDyno {
        id: DynoId(Uuid::new_v4()),
        app,
        name: DynoName::parse("web.1").unwrap(),
        release_version: 1,
        size: huge,
        command: "true".to_owned(),
        crashes: 0,
        one_off: false,
        attached: false,
        time_to_live: None,
        env: BTreeMap::new(),
    };
    let (wanted, dyno) = store
        .write(move |tx| {
            tx.scale(app, &[change], now())?;
            tx.create_dyno(&new, now())?;
            let cheap = DynoSize {
                price: Some(5000),
                ..huge
            };
            assert_eq!(tx.change_size(&cheap)?.revision, 1, "a price is no limit");
            let small = DynoSize {
                memory_mib: 4096,
                ..cheap
            };
            assert_eq!(tx.change_size(&small)?.revision, 2);
            Ok((tx.formation(app)?[0].size, tx.dynos(app)?[0].size))
        })
        .await
        .unwrap();
    assert_eq!((wanted.memory_mib, wanted.revision), (4096, 2));
    assert_eq!((dyno.price, dyno.revision), (Some(5000), 1));
    // What the host has no memory for is refused of sizes too, and nothing is changed.
    let memory = Memory {
        host_mib: 8192,
        overcommit: 100,
    };
    let larger = DynoSize {
        memory_mib: 8000,
        ..wanted
    };
    let changed = store.write(move |tx| {
        tx.set_host_memory(memory)?;
        Ok(())
    });
    changed.await.unwrap();
    let full = store.write(move |tx| tx.change_size(&larger)).await;
    assert!(
        full.unwrap_err()
            .to_string()
            .starts_with("With Huge so large")
    );
    let sizes = store.read(|view| view.sizes()).await.unwrap();
    assert_eq!(sizes.find("huge").unwrap().memory_mib, 4096);
    let removed = store.write(move |tx| tx.remove_size(huge.name)).await;
    assert_eq!(
        removed.unwrap_err().to_string(),
        "Huge is in use by web of demo, web.1 of demo. Give those another size first: ropewalk ps:type."
    );
    let usual = store.write(move |tx| tx.remove_size(DynoSize::DEFAULT.name));
    assert!(usual.await.is_err());
    let other = store.write(move |tx| {
        tx.remove_size(SizeName::parse("Performance-L").unwrap_or(huge.name))?;
        tx.sizes()
    });
    assert!(other.await.unwrap().find("performance-l").is_none());
}

#[tokio::test]
async fn tokens_open_by_their_text_only_and_not_after_expiry() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let fx = fixture(&store).await;
    let user = fx.user;
    let at = now();
    let token = store
        .write(move |tx| {
            tx.set_password(user, &PasswordHash::of("correct horse")?, at)?;
            tx.create_token(
                &NewToken {
                    id: ropewalk_model::TokenId(Uuid::new_v4()),
                    user,
                    text: "RWK-0123456789abcdef".into(),
                    description: "test".into(),
                    scope: "global".into(),
                    session: false,
                    expires_at: Some(at + jiff::SignedDuration::from_secs(60)),
                },
                at,
            )
        })
        .await
        .unwrap();
    assert_eq!(token.hint, "RWK-**********cdef");
    let whose = async |text: &'static str, later: i64| {
        let at = at + jiff::SignedDuration::from_secs(later);
        store
            .read(move |view| view.authenticate(text, at))
            .await
            .unwrap()
    };
    assert!(whose("RWK-0123456789abcdef", 0).await.is_some());
    assert!(whose("RWK-0123456789abcdef", 61).await.is_none());
    assert!(whose("RWK-0123456789abcdeF", 0).await.is_none());

    let right = store
        .read(|view| view.verify_password("DEV@example.com", "correct horse"))
        .await
        .unwrap();
    assert_eq!(
        right.map(|user| user.email),
        Some("dev@example.com".to_owned())
    );
    assert!(
        store
            .read(|view| view.verify_password("dev@example.com", "wrong"))
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        store
            .read(|view| view.verify_password("nobody@example.com", "x"))
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_candidate_without_a_type_does_not_take_it_from_the_current_release() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let fx = fixture(&store).await;
    let app = fx.app;
    fx.deploy(&store, &["web", "worker"]).await;
    store
        .write(move |tx| tx.promote_candidate(app, 2, now()))
        .await
        .unwrap();
    fx.deploy(&store, &["web"]).await;
    let (shown, kept) = store
        .read(move |view| Ok((view.formation(app)?, view.quantities(app)?)))
        .await
        .unwrap();
    assert_eq!(shown.len(), 1);
    assert_eq!(kept.len(), 2);
}

#[tokio::test]
async fn a_damaged_ledger_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    fixture(&store).await;
    drop(store);
    let path = dir.path().join("ledger.db");
    // Fold the log into the file first, so that the damage is not covered by it.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while dir.path().join("ledger.db-wal").exists() && std::time::Instant::now() < deadline {
        std::thread::yield_now();
    }
    let mut bytes = std::fs::read(&path).unwrap();
    for byte in bytes.iter_mut().skip(4096).take(8192) {
        *byte = 0x55;
    }
    std::fs::write(&path, bytes).unwrap();
    let key = Key::open(&dir.path().join("key")).unwrap();
    assert!(Store::open(&path, key).is_err());
}

#[tokio::test]
async fn a_dyno_takes_the_place_of_another_once_and_not_of_one_that_is_to_end() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let fixture = fixture(&store).await;
    let app = fixture.app;
    let new = move |crashes| NewDyno {
        id: DynoId(Uuid::new_v4()),
        app,
        name: DynoName::parse("web.1").unwrap(),
        release_version: 1,
        size: DynoSize::DEFAULT,
        command: "true".to_owned(),
        crashes,
        one_off: false,
        attached: false,
        time_to_live: None,
        env: BTreeMap::new(),
    };
    let (first, second, third) = (new(0), new(3), new(4));
    store
        .write(move |tx| {
            tx.create_dyno(&first, now())?;
            assert!(tx.replace_dyno(first.id, &second, now())?);
            assert!(!tx.replace_dyno(first.id, &third, now())?, "gone already");
            let found = tx.dynos(app)?;
            assert_eq!(
                (found.len(), found[0].id, found[0].crashes),
                (1, second.id, 3)
            );
            tx.retire_dynos(app, None, None, Retire::Stop)?;
            assert!(!tx.replace_dyno(second.id, &third, now())?, "to be stopped");
            assert_eq!(tx.dynos(app)?[0].id, second.id);
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn which_versions_of_stacks_apps_run_on_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let fx = fixture(&store).await;
    let app = fx.app;
    let in_use = async || {
        let used = store.read(|view| view.stacks_in_use()).await.unwrap();
        let used = used
            .into_iter()
            .map(|used| format!("{} {}: {}", used.name, used.version, used.apps));
        used.collect::<Vec<_>>()
    };
    assert!(in_use().await.is_empty());
    let version = fx.deploy(&store, &["web"]).await;
    assert!(in_use().await.is_empty(), "it has not passed");
    store
        .write(move |tx| tx.promote_candidate(app, version, now()))
        .await
        .unwrap();
    assert_eq!(in_use().await, ["debian-13 sha256:11: 1"]);

    let mut rebase = fx.release("Rebase to debian-13 12");
    rebase.stack = Some(("debian-13".into(), "sha256:12".into()));
    store
        .write(move |tx| {
            let made = tx.create_release(rebase, now())?;
            assert!(made.slug.is_some(), "the code is kept");
            tx.promote_candidate(app, made.version, now())
        })
        .await
        .unwrap();
    assert_eq!(in_use().await, ["debian-13 sha256:12: 1"]);
}
