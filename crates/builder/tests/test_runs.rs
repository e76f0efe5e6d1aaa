//! Test runs: the build with what tests need, the dyno that runs them, and that nothing is left whatever happens.

#![allow(clippy::unwrap_used)] // support code of tests

mod support;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use ropewalk_builder::{Archive, Origin, TestOrder, Upload};
use ropewalk_model::pipeline::{PipelineName, Stage};
use ropewalk_model::test_run::TestStatus;
use ropewalk_model::{ConfigVars, PipelineId, SourceId, TestRunId};
use ropewalk_store::TestRun;
use uuid::Uuid;

use support::dynos::Play;
use support::engine::{Job, exit};
use support::{Rig, count, tgz, until};

async fn rig() -> (Rig, PipelineId) {
    let rig = Rig::new().await;
    rig.builder.sweep().await.unwrap();
    let (id, owner) = (PipelineId(Uuid::new_v4()), rig.owner().await);
    rig.store
        .write(move |tx| {
            let name = PipelineName::parse("shop").unwrap();
            tx.create_pipeline(id, &name, owner, Timestamp::now())?;
            let config = [("OWN", "own"), ("BOTH", "own")];
            let config = config.map(|(name, value)| (name.to_owned(), value.to_owned()));
            let config = ConfigVars(config.into());
            tx.set_stage_config(id, Stage::Test, &config, Timestamp::now())
        })
        .await
        .unwrap();
    (rig, id)
}

/// Begins a run of these files.
async fn begin(rig: &Rig, pipeline: PipelineId, files: &[(&str, &str)]) -> TestRunId {
    let (account, source) = (rig.owner().await, SourceId(Uuid::new_v4()));
    let bytes = tgz(files);
    let upload = Upload {
        length: Some(bytes.len() as u64),
        body: Box::pin(futures_util::stream::iter([Ok(Bytes::from(bytes))])),
    };
    let put = rig.builder.put_source(account, source, upload).await;
    put.unwrap();
    let order = TestOrder {
        pipeline,
        user: account,
        stack: "debian-13".into(),
        archive: Archive {
            origin: Origin::Source { account, source },
            url: "https://me:secret@web.example/source.tgz".into(),
            checksum: None,
            version: Some("1a2b3c4d".into()),
            description: None,
        },
        commit_branch: "main".into(),
        commit_message: "Change".into(),
        commit_sha: "1a2b3c4d".into(),
    };
    rig.builder.test(order).await.unwrap()
}

async fn row(rig: &Rig, id: TestRunId) -> TestRun {
    let row = rig.store.read(move |view| view.test_run(id)).await;
    row.unwrap()
}

/// Waits until the run has ended and all of it is cleared away.
async fn ended(rig: &Rig, id: TestRunId) -> TestRun {
    let began = Instant::now();
    loop {
        let row = row(rig, id).await;
        let apps = rig.store.read(|view| view.apps()).await.unwrap();
        let slugs = count(&rig.data().join("slugs"));
        let gone = apps.iter().all(|app| !app.ephemeral);
        if row.status.is_over() && gone && rig.builds_left() == 0 && slugs == 0 {
            assert_eq!(rig.engine.containers(), 0);
            assert_eq!(Arc::strong_count(&rig.dynos.running), 1);
            return row;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{row:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn play(rig: &Rig, play: Play) {
    *rig.dynos.play.lock().unwrap() = play;
}

/// What the driver leaves that found a bin/test.
fn with_tests(job: &Job) {
    job.node();
    job.result("tests", "1\n");
}

const APP_JSON: &str = r#"{"environments": {"test": {
    "env": {"JSON": "json", "BOTH": "json"},
    "scripts": {"test-setup": "make ready", "test": "run them"}
}}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_built_for_tests_and_ends_as_its_tests_do() {
    let (rig, pipeline) = rig().await;
    let seen = Arc::new(Mutex::new(String::new()));
    let see = Arc::clone(&seen);
    rig.engine.play(move |job| {
        let ci = job.spec.env.iter().find(|(name, _)| name == "CI");
        let command = job.spec.command.join(" ");
        *see.lock().unwrap() = format!("{command} {ci:?}");
        job.node();
        async { exit(0) }
    });
    play(
        &rig,
        Play {
            setup: "ready\n",
            tests: Some("1..2\nok 1 - adds\nnot ok 2 - divides\n"),
            exit: Some(1),
        },
    );
    let files = [("package.json", "{}"), ("app.json", APP_JSON)];
    let id = begin(&rig, pipeline, &files).await;
    let run = ended(&rig, id).await;
    assert_eq!((run.status, run.exit_code), (TestStatus::Failed, Some(1)));
    assert_eq!((run.number, run.message), (1, None));
    assert!(run.dyno.is_some());
    assert_eq!(run.source_url, "https://web.example/source.tgz");
    let command = seen.lock().unwrap().clone();
    assert_eq!(
        command,
        "/buildpacks/lib/driver --test auto Some((\"CI\", \"true\"))"
    );
    let said = rig.output.text();
    let ready = said.find("ready\n").unwrap();
    assert!(ready < said.find("1..2").unwrap(), "{said}");
    let cases = rig.store.read(move |view| view.test_cases(id)).await;
    let cases = cases.unwrap();
    assert_eq!(cases.len(), 2);
    assert!(cases[0].passed && cases[1].description == "divides" && !cases[1].passed);
    // What the dyno was given.
    let given = rig.dynos.runs.lock().unwrap()[0].clone();
    assert_eq!(given.app.0, id.0);
    assert_eq!(given.env["ROPEWALK_TEST_SETUP"], "make ready");
    assert_eq!(given.env["ROPEWALK_TEST"], "run them");
    // The cache is the pipeline's, and lives on.
    assert!(rig.data().join(format!("cache/{pipeline}")).exists());
    rig.builder.sweep_apps().await.unwrap();
    assert!(rig.data().join(format!("cache/{pipeline}")).exists());
    rig.builder.remove_pipeline(pipeline).await.unwrap();
    assert_eq!(count(&rig.data().join("cache")), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_find_app_json_and_the_pipelines_config_vars() {
    let (rig, pipeline) = rig().await;
    rig.engine.play(move |job| {
        with_tests(&job);
        async { exit(0) }
    });
    // The dyno runs for ever, so that its release can be looked at.
    play(
        &rig,
        Play {
            tests: Some(""),
            ..Play::default()
        },
    );
    let files = [("package.json", "{}"), ("app.json", APP_JSON)];
    let id = begin(&rig, pipeline, &files).await;
    let began = Instant::now();
    while row(&rig, id).await.dyno.is_none() {
        assert!(began.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let config = rig
        .store
        .read(move |view| {
            let app = view.app(ropewalk_model::AppId(id.0))?;
            assert!(app.ephemeral && view.formation(app.id)?.is_empty());
            view.config_vars(app.id, app.current_version)
        })
        .await
        .unwrap();
    for (name, value) in [
        ("JSON", "json"),
        ("OWN", "own"),
        ("BOTH", "own"),
        ("CI", "true"),
        ("HEROKU_TEST_RUN_NUMBER", "1"),
        ("HEROKU_TEST_RUN_BRANCH", "main"),
        ("HEROKU_TEST_RUN_COMMIT_VERSION", "1a2b3c4d"),
    ] {
        assert_eq!(config.0[name], value, "{name}");
    }
    // Somebody ends it.
    rig.store
        .write(move |tx| {
            tx.set_test_status(id, TestStatus::Cancelled, Some("Enough."), Timestamp::now())
        })
        .await
        .unwrap();
    rig.builder.cancel_test(id);
    let run = ended(&rig, id).await;
    assert_eq!(run.status, TestStatus::Cancelled);
    assert_eq!(run.message.as_deref(), Some("Enough."));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_before_the_tests_is_errored_and_says_why() {
    let (rig, pipeline) = rig().await;
    let setup = [("package.json", "{}"), ("app.json", APP_JSON)];
    // The setup.
    play(
        &rig,
        Play {
            setup: "half\n",
            exit: Some(4),
            ..Play::default()
        },
    );
    let id = begin(&rig, pipeline, &setup).await;
    let run = ended(&rig, id).await;
    assert_eq!((run.status, run.exit_code), (TestStatus::Errored, None));
    assert_eq!(
        run.message.as_deref(),
        Some("test-setup ended with exit code 4.")
    );
    // The buildpacks.
    rig.engine.play(|job| {
        job.say("no such package\n");
        job.result("failed", "heroku/nodejs\tNode.js\n");
        async { exit(82) }
    });
    let id = begin(&rig, pipeline, &setup).await;
    let run = ended(&rig, id).await;
    assert_eq!(run.status, TestStatus::Errored);
    assert_eq!(
        run.message.as_deref(),
        Some("Failed to compile Node.js app.")
    );
    // Nothing to run.
    rig.engine.play(|job| {
        job.node();
        async { exit(0) }
    });
    let id = begin(&rig, pipeline, &[("package.json", "{}")]).await;
    let run = ended(&rig, id).await;
    assert!(run.message.unwrap().starts_with("There are no tests"));
    // An app.json that is none.
    let id = begin(&rig, pipeline, &[("app.json", "{")]).await;
    let run = ended(&rig, id).await;
    assert!(run.message.unwrap().starts_with("App.json cannot be read"));
    assert!(rig.output.text().contains("no such package"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_ends_its_runs() {
    let (rig, pipeline) = rig().await;
    rig.engine.play(|_| std::future::pending());
    let id = begin(&rig, pipeline, &[("package.json", "{}")]).await;
    let engine = Arc::clone(&rig.engine);
    until(30, "the build runs", move || engine.containers() == 1).await;
    rig.builder.stop().await;
    let run = ended(&rig, id).await;
    assert_eq!(run.status, TestStatus::Errored);
    assert!(run.message.unwrap().contains("restart"));
}
