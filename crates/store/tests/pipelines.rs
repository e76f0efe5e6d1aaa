//! Pipelines in the ledger: an app is in one at most, config vars are sealed, a promoted slug is the target's own, and
//! what a test run makes is seen by nobody and ends with it.

#![allow(clippy::unwrap_used)] // support code of tests

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use ropewalk_model::pipeline::{PipelineName, Stage};
use ropewalk_model::rights::Relation;
use ropewalk_model::test_run::TestStatus;
use ropewalk_model::{
    AppId, AppName, ConfigVars, CouplingId, PipelineId, ReleaseId, SlugId, TestNodeId, TestRunId,
    UserId,
};
use ropewalk_store::{
    Key, NewApp, NewRelease, NewSlug, NewTestRun, Pipeline, Store, StoreError, TestRun,
};
use uuid::Uuid;

fn open(dir: &Path) -> Store {
    Store::open(&dir.join("ledger.db"), Key::open(&dir.join("key")).unwrap()).unwrap()
}

fn now() -> Timestamp {
    Timestamp::now()
}

async fn user(store: &Store, email: &'static str) -> UserId {
    let id = UserId(Uuid::new_v4());
    store
        .write(move |tx| tx.create_user(id, email, true, now()))
        .await
        .unwrap();
    id
}

fn new_app(name: &str, owner: UserId) -> NewApp {
    NewApp {
        id: AppId(Uuid::new_v4()),
        name: AppName::parse(name).unwrap(),
        owner,
        stack: "debian-13".into(),
        release: ReleaseId(Uuid::new_v4()),
    }
}

async fn app(store: &Store, name: &'static str, owner: UserId) -> AppId {
    let new = new_app(name, owner);
    let app = store.write(move |tx| tx.create_app(&new, now())).await;
    app.unwrap().id
}

async fn pipeline(store: &Store, name: &'static str, owner: UserId) -> Pipeline {
    let (id, name) = (
        PipelineId(Uuid::new_v4()),
        PipelineName::parse(name).unwrap(),
    );
    store
        .write(move |tx| tx.create_pipeline(id, &name, owner, now()))
        .await
        .unwrap()
}

async fn test_run(store: &Store, pipeline: PipelineId, user: UserId) -> TestRun {
    let new = NewTestRun {
        id: TestRunId(Uuid::new_v4()),
        pipeline,
        user,
        commit_branch: "main".into(),
        commit_message: "Change".into(),
        commit_sha: "1a2b3c4d".into(),
        source_url: "https://web.example/x.tgz".into(),
        node: TestNodeId(Uuid::new_v4()),
    };
    store
        .write(move |tx| tx.create_test_run(&new, now()))
        .await
        .unwrap()
}

#[tokio::test]
async fn an_app_is_in_one_pipeline_at_most_and_leaves_it_with_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (owner, other) = (
        user(&store, "owner@example.com").await,
        user(&store, "other@example.com").await,
    );
    let demo = app(&store, "demo", other).await;
    let shop = pipeline(&store, "shop", owner).await;
    let second = pipeline(&store, "second", owner).await;
    let taken = PipelineName::parse("shop").unwrap();
    let taken = store
        .write(move |tx| tx.create_pipeline(PipelineId(Uuid::new_v4()), &taken, owner, now()))
        .await;
    assert!(matches!(taken, Err(StoreError::Taken { .. })), "{taken:?}");

    let relation = {
        let shop = shop.clone();
        move |view: &ropewalk_store::View<'_>| view.pipeline_relation(other, &shop)
    };
    assert_eq!(
        store.read(relation.clone()).await.unwrap(),
        Relation::Stranger
    );
    let couple = |pipeline: PipelineId, stage: Stage| {
        let store = store.clone();
        async move {
            let id = CouplingId(Uuid::new_v4());
            store
                .write(move |tx| tx.couple(id, pipeline, demo, stage, now()))
                .await
        }
    };
    let refused = couple(shop.id, Stage::Test).await;
    assert!(
        matches!(refused, Err(StoreError::Refused(_))),
        "{refused:?}"
    );
    let coupling = couple(shop.id, Stage::Staging).await.unwrap();
    let again = couple(second.id, Stage::Production).await;
    assert!(
        matches!(&again, Err(StoreError::Refused(text)) if text.contains("already")),
        "{again:?}"
    );
    // Whoever owns an app in it works on it.
    assert_eq!(
        store.read(relation.clone()).await.unwrap(),
        Relation::Collaborator
    );
    let id = coupling.id;
    let moved = store
        .write(move |tx| tx.move_coupling(id, Stage::Production, now()))
        .await
        .unwrap();
    assert_eq!(moved.stage, Stage::Production);

    store.write(move |tx| tx.delete_app(demo)).await.unwrap();
    let left = store.read(move |view| view.couplings()).await.unwrap();
    assert!(left.is_empty());
    assert_eq!(store.read(relation).await.unwrap(), Relation::Stranger);
    // Who owns a pipeline is not deleted; its name is said.
    let refused = store.write(move |tx| tx.delete_user(owner, now())).await;
    assert!(
        matches!(&refused, Err(StoreError::Refused(text)) if text.contains("second")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn config_vars_of_a_stage_are_sealed_and_apart_from_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let owner = user(&store, "owner@example.com").await;
    let shop = pipeline(&store, "shop", owner).await.id;
    let vars = ConfigVars(BTreeMap::from([(
        "KEY".to_owned(),
        "hunter2hunter2".to_owned(),
    )]));
    let kept = vars.clone();
    store
        .write(move |tx| tx.set_stage_config(shop, Stage::Test, &kept, now()))
        .await
        .unwrap();
    drop(store);
    let store = open(dir.path());
    let read = |stage| store.read(move |view| view.stage_config(shop, stage));
    assert_eq!(read(Stage::Test).await.unwrap(), vars);
    assert_eq!(read(Stage::Review).await.unwrap(), ConfigVars::default());
    for file in ["ledger.db", "ledger.db-wal"] {
        let bytes = std::fs::read(dir.path().join(file)).unwrap_or_default();
        let secret = b"hunter2hunter2";
        assert!(
            !bytes.windows(secret.len()).any(|part| part == secret),
            "{file}"
        );
    }
}

#[tokio::test]
async fn a_promoted_slug_belongs_to_the_target_and_survives_its_source() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let owner = user(&store, "owner@example.com").await;
    let (source, target) = (
        app(&store, "source", owner).await,
        app(&store, "target", owner).await,
    );
    let promote = move |tx: &ropewalk_store::Tx<'_>| {
        let slug = tx.slug(tx.current_release(&tx.app(source)?)?.slug.unwrap())?;
        let id = tx.share_slug(&slug, target, SlugId(Uuid::new_v4()), now())?;
        let release = NewRelease {
            id: ReleaseId(Uuid::new_v4()),
            app: target,
            user: owner,
            description: "Promote".into(),
            slug: Some(id),
            config: None,
            stack: Some(("debian-13".into(), "sha256:13".into())),
        };
        tx.create_release(release, now())?;
        Ok(id)
    };
    let first = store
        .write(move |tx| {
            let slug = SlugId(Uuid::new_v4());
            tx.create_slug(
                &NewSlug {
                    id: slug,
                    app: source,
                    commit: Some("1a2b3c4d".into()),
                    digest: "sha256:aa".into(),
                    images: vec!["sha256:aa".into()],
                    image_size: 4096,
                    process_types: BTreeMap::from([("web".to_owned(), "run".to_owned())]),
                    buildpack_description: Some("Node.js".into()),
                    stack: "debian-13".into(),
                },
                now(),
            )?;
            let release = NewRelease {
                id: ReleaseId(Uuid::new_v4()),
                app: source,
                user: owner,
                description: "Deploy".into(),
                slug: Some(slug),
                config: None,
                stack: Some(("debian-13".into(), "sha256:13".into())),
            };
            let made = tx.create_release(release, now())?;
            tx.promote_candidate(source, made.version, now())?;
            promote(tx)
        })
        .await
        .unwrap();
    // The same code once more is the same slug.
    let second = store.write(promote).await.unwrap();
    assert_eq!(first, second);
    store.write(move |tx| tx.delete_app(source)).await.unwrap();
    let slug = store.read(move |view| view.slug(first)).await.unwrap();
    assert_eq!((slug.app, slug.digest.as_str()), (target, "sha256:aa"));
    assert_eq!(slug.process_types["web"], "run");
}

#[tokio::test]
async fn test_runs_are_numbered_end_once_and_do_not_outlive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let owner = user(&store, "owner@example.com").await;
    let shop = pipeline(&store, "shop", owner).await.id;
    let other = pipeline(&store, "other", owner).await.id;
    let one = test_run(&store, shop, owner).await;
    let two = test_run(&store, shop, owner).await;
    let elsewhere = test_run(&store, other, owner).await;
    assert_eq!((one.number, two.number, elsewhere.number), (1, 2, 1));
    let refused = store.write(move |tx| tx.delete_pipeline(shop)).await;
    assert!(
        matches!(refused, Err(StoreError::Refused(_))),
        "{refused:?}"
    );

    let end = |id: TestRunId, status: TestStatus| {
        store.write(move |tx| tx.set_test_status(id, status, Some("so"), now()))
    };
    assert!(end(one.id, TestStatus::Cancelled).await.unwrap());
    assert!(!end(one.id, TestStatus::Succeeded).await.unwrap());

    let mut new = new_app("test-run-1", owner);
    new.id = AppId(two.id.0);
    let ephemeral = new.id;
    store
        .write(move |tx| tx.create_ephemeral_app(&new, now()))
        .await
        .unwrap();
    let found = store
        .read(|view| Ok((view.find_app("test-run-1").is_err(), view.apps()?.len())))
        .await;
    assert_eq!(found.unwrap(), (true, 1));
    let owned = store.read(move |view| view.owned_apps(owner)).await;
    assert!(owned.unwrap().is_empty());

    let swept = store.write(|tx| tx.end_interrupted_tests(now())).await;
    assert_eq!(swept.unwrap(), (2, vec![ephemeral]));
    let runs = store.read(move |view| view.test_runs(shop)).await.unwrap();
    let statuses: Vec<TestStatus> = runs.iter().map(|run| run.status).collect();
    assert_eq!(statuses, [TestStatus::Errored, TestStatus::Cancelled]);
    assert!(runs[0].message.as_deref().unwrap().contains("restart"));
    assert!(store.read(|view| view.apps()).await.unwrap().is_empty());
    store
        .write(move |tx| tx.delete_pipeline(shop))
        .await
        .unwrap();
}
