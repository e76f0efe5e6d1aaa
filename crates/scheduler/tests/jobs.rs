//! Jobs on an engine in memory: a slot runs once, whatever dies, and how it ended is kept.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use jiff::{SignedDuration, Timestamp, Unit};
use ropewalk_engine::Engine;
use ropewalk_engine::fake::Behaviour;
use ropewalk_model::job::{JobName, Missed, Overlap, RunState, TIME_LIMIT, Trigger};
use ropewalk_model::{AppId, DynoState, JobId};
use ropewalk_scheduler::SchedulerError;
use ropewalk_store::{JobRun, JobSettings};
use support::{Rig, until};
use uuid::Uuid;

/// A job that was to run at the last whole minute, and not again for a day.
async fn due(rig: &Rig, app: AppId, change: impl FnOnce(&mut JobSettings)) -> JobId {
    let slot = jiff::tz::TimeZone::UTC.to_datetime(Timestamp::now());
    let mut settings = JobSettings {
        name: JobName::parse("job").unwrap(),
        schedule: format!("{} {} * * *", slot.minute(), slot.hour())
            .parse()
            .unwrap(),
        time_zone: jiff::tz::TimeZone::UTC,
        command: "run job".to_owned(),
        size: None,
        time_limit: TIME_LIMIT,
        overlap: Overlap::Skip,
        missed: Missed::Skip,
        is_active: true,
    };
    change(&mut settings);
    let id = JobId(Uuid::new_v4());
    let before = Timestamp::now() - SignedDuration::from_mins(2);
    let made = rig
        .store
        .write(move |tx| tx.create_job(id, app, &settings, before));
    made.await.unwrap();
    id
}

async fn runs(rig: &Rig, job: JobId) -> Vec<JobRun> {
    let runs = rig.store.read(move |view| view.job_runs(job, usize::MAX));
    runs.await.unwrap()
}

async fn states(rig: &Rig, job: JobId) -> Vec<RunState> {
    runs(rig, job).await.iter().map(|run| run.state).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_runs_once_and_its_exit_code_is_kept() {
    let rig = rig_or_skip!();
    rig.engine.on_start(|_| Behaviour::Print {
        text: "three\n".to_owned(),
        code: 3,
    });
    let app = rig.app("demo", &[], 0).await;
    let server = rig.serve();
    until("the release", async || {
        let app = rig.store.read(move |view| view.app(app)).await.unwrap();
        app.candidate_version.is_none()
    })
    .await;
    let job = due(&rig, app, |_| {}).await;
    server.scheduler.jobs_changed();
    until("its end", async || {
        states(&rig, job).await == [RunState::Failed]
    })
    .await;
    let run = runs(&rig, job).await.remove(0);
    assert_eq!((run.exit_code, run.reason), (Some(3), None));
    assert_eq!(run.trigger, Trigger::Schedule);
    assert_eq!(run.slot_at, run.slot_at.round(Unit::Minute).unwrap());
    assert!(run.started_at.unwrap() <= run.ended_at.unwrap());
    let (_, name) = run.dyno.unwrap();
    assert_eq!(name.process_type.as_str(), "scheduler");
    assert_eq!(server.lines(app, &name.to_string()).await, ["three"]);
    until("its dyno to go", async || rig.dynos(app).await.is_empty()).await;
    server.stop().await;

    let server = rig.serve();
    server.scheduler.jobs_changed();
    server.passes(3).await;
    assert_eq!((states(&rig, job).await.len(), rig.calls("start")), (1, 1));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_before_the_dyno_is_started_has_it_run_once() {
    let rig = rig_or_skip!();
    rig.engine.on_start(|_| Behaviour::Exit {
        after_ms: 0,
        code: 0,
    });
    let app = rig.app("demo", &[], 0).await;
    promote(&rig, app).await;
    let job = due(&rig, app, |_| {}).await;
    // The row of the dyno is written, and nobody is there to start it.
    let server = rig.serve_jobs();
    until("its dyno's row", async || {
        states(&rig, job).await == [RunState::Running]
    })
    .await;
    server.stop().await;
    assert_eq!((rig.dynos(app).await.len(), rig.calls("create")), (1, 0));

    let server = rig.serve();
    until("its end", async || {
        states(&rig, job).await == [RunState::Succeeded]
    })
    .await;
    server.scheduler.jobs_changed();
    server.passes(3).await;
    assert_eq!((states(&rig, job).await.len(), rig.calls("start")), (1, 1));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_container_is_lost_does_not_begin_again() {
    let rig = rig_or_skip!();
    let app = rig.app("demo", &[], 0).await;
    promote(&rig, app).await;
    let job = due(&rig, app, |_| {}).await;
    let server = rig.serve();
    until("its start", async || rig.calls("start") == 1).await;
    server.stop().await;
    // The server died before it could write that the dyno is up, and then the host lost its containers.
    let dyno = rig.dynos(app).await.remove(0);
    let (id, now) = (dyno.id, Timestamp::now());
    rig.store
        .write(move |tx| tx.set_dyno_state(id, DynoState::Starting, None, 0, now))
        .await
        .unwrap();
    let container = rig.container(&dyno.name.to_string()).unwrap();
    rig.engine.remove(&container.id).await.unwrap();

    let server = rig.serve();
    until("its end", async || {
        states(&rig, job).await == [RunState::Failed]
    })
    .await;
    until("its dyno to go", async || rig.dynos(app).await.is_empty()).await;
    let run = runs(&rig, job).await.remove(0);
    assert!(run.reason.unwrap().contains("started before"));
    assert_eq!(rig.calls("start"), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_skipped_or_takes_the_place_of_the_one_before_it() {
    let rig = rig_or_skip!();
    let app = rig.app("demo", &[], 0).await;
    promote(&rig, app).await;
    let server = rig.serve();
    // Not by itself yet, so that the run that somebody asks for is the first.
    let job = due(&rig, app, |settings| settings.is_active = false).await;
    let first = server.scheduler.run_job(job).await.unwrap();
    assert_eq!(first.state, RunState::Running);
    let before = rig.store.read(move |view| view.job(job)).await.unwrap();
    let active = JobSettings {
        is_active: true,
        ..before.settings.clone()
    };
    let earlier = Timestamp::now() - SignedDuration::from_mins(2);
    rig.store
        .write(move |tx| tx.update_job(&before, &active, earlier))
        .await
        .unwrap();
    let refused = server.scheduler.run_job(job).await.unwrap_err();
    let name = first.dyno.unwrap().1.to_string();
    assert!(
        matches!(&refused, SchedulerError::Refused(text) if text.contains(&name)),
        "{refused}"
    );
    server.scheduler.jobs_changed();
    until("the slot to be skipped", async || {
        states(&rig, job).await == [RunState::Running, RunState::Skipped]
    })
    .await;

    let before = rig.store.read(move |view| view.job(job)).await.unwrap();
    let settings = JobSettings {
        overlap: Overlap::Replace,
        ..before.settings.clone()
    };
    rig.store
        .write(move |tx| tx.update_job(&before, &settings, Timestamp::now()))
        .await
        .unwrap();
    until("it to be up", async || {
        rig.states(app).await == [format!("{name} up")]
    })
    .await;
    let second = server.scheduler.run_job(job).await.unwrap();
    assert_eq!((second.state, second.dyno), (RunState::Waiting, None));
    until("the next one", async || {
        let states = states(&rig, job).await;
        states == [RunState::Running, RunState::Failed, RunState::Skipped]
    })
    .await;
    let ended = runs(&rig, job).await.remove(1);
    assert_eq!(ended.reason.as_deref(), Some("replaced by a later run"));
    assert_eq!(ended.exit_code, Some(143));
    until("one alone", async || {
        rig.states(app).await.len() == 1 && rig.states(app).await[0].ends_with(" up")
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_takes_too_long_is_ended_and_says_so() {
    let rig = rig_or_skip!();
    let app = rig.app("demo", &[], 0).await;
    promote(&rig, app).await;
    let server = rig.serve();
    let job = due(&rig, app, |settings| settings.time_limit = 1).await;
    server.scheduler.jobs_changed();
    until("its end", async || {
        states(&rig, job).await == [RunState::Failed]
    })
    .await;
    let run = runs(&rig, job).await.remove(0);
    assert_eq!(run.exit_code, Some(143));
    assert_eq!(run.reason.as_deref(), Some("its time to live is over"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_is_deployed_a_slot_is_skipped_and_the_app_told() {
    let rig = rig_or_skip!();
    let app = rig.blank_app("demo").await;
    let server = rig.serve();
    let job = due(&rig, app, |_| {}).await;
    server.scheduler.jobs_changed();
    until("its slot", async || {
        states(&rig, job).await == [RunState::Skipped]
    })
    .await;
    let reason = runs(&rig, job).await.remove(0).reason.unwrap();
    assert!(reason.contains("push an app first"), "{reason}");
    let refused = server.scheduler.run_job(job).await.unwrap_err();
    assert!(matches!(refused, SchedulerError::Refused(_)), "{refused}");
    assert_eq!(runs(&rig, job).await.len(), 1);
    server.stop().await;
}

async fn promote(rig: &Rig, app: AppId) {
    let done = rig
        .store
        .write(move |tx| tx.promote_candidate(app, 2, Timestamp::now()));
    assert!(done.await.unwrap());
}
