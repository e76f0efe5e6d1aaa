//! Jobs in the ledger: a slot is taken once, jobs of app.json follow the release that serves, and runs are bounded.

#![allow(clippy::unwrap_used)] // support code of tests

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use ropewalk_model::job::{
    JobName, MOST_JOBS, MOST_RUNS, Missed, Overlap, RunState, Source, TIME_LIMIT,
};
use ropewalk_model::{
    AppId, AppName, DynoId, DynoName, JobId, ReleaseId, SlugId, UserId, time_zone,
};
use ropewalk_store::{
    FileJob, Job, JobSettings, Key, NewApp, NewRelease, NewSlug, Store, StoreError, Tx,
};
use uuid::Uuid;

const APP: AppId = AppId(Uuid::nil());

struct Ledger {
    store: Store,
    _folder: tempfile::TempDir,
}

impl Ledger {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = Key::open(&folder.path().join("key")).unwrap();
        let store = Store::open(&folder.path().join("ledger.db"), key).unwrap();
        let ledger = Self {
            store,
            _folder: folder,
        };
        ledger
            .write(|tx| {
                let user = UserId(Uuid::nil());
                tx.create_user(user, "dev@example.com", true, at(0))?;
                let new = NewApp {
                    id: APP,
                    name: AppName::parse("demo").unwrap(),
                    owner: user,
                    stack: "debian-13".into(),
                    release: ReleaseId(Uuid::new_v4()),
                };
                tx.create_app(&new, at(0))
            })
            .await;
        ledger
    }

    async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Tx<'_>) -> ropewalk_store::Result<T> + Send + 'static,
    ) -> T {
        self.store.write(change).await.unwrap()
    }

    async fn job(&self, name: &'static str) -> Job {
        self.write(move |tx| tx.create_job(JobId(Uuid::new_v4()), APP, &settings(name), at(0)))
            .await
    }

    async fn names(&self) -> Vec<(String, Source)> {
        let jobs = self.store.read(|view| view.jobs(APP)).await.unwrap();
        let named = jobs.into_iter();
        named
            .map(|job| (job.settings.name.to_string(), job.source))
            .collect()
    }

    async fn job_named(&self, name: &'static str) -> Job {
        let found = self.store.read(move |view| view.find_job(APP, name));
        found.await.unwrap()
    }

    /// Deploys a slug with these jobs, up to its being current; gives its slug.
    async fn deploy(&self, jobs: Vec<FileJob>) -> SlugId {
        let slug = SlugId(Uuid::new_v4());
        self.write(move |tx| {
            let new = NewSlug {
                id: slug,
                app: APP,
                commit: None,
                digest: "sha256:00".into(),
                images: vec!["sha256:00".into()],
                image_size: 1,
                process_types: BTreeMap::new(),
                buildpack_description: None,
                stack: "debian-13".into(),
            };
            tx.create_slug(&new, at(0))?;
            tx.set_slug_jobs(slug, &jobs)
        })
        .await;
        self.release(slug).await;
        slug
    }

    async fn release(&self, slug: SlugId) {
        self.write(move |tx| {
            let release = NewRelease {
                id: ReleaseId(Uuid::new_v4()),
                app: APP,
                user: UserId(Uuid::nil()),
                description: "Deploy".into(),
                slug: Some(slug),
                config: None,
                stack: Some(("debian-13".into(), "sha256:13".into())),
            };
            let made = tx.create_release(release, at(1))?;
            tx.promote_candidate(APP, made.version, at(1))
        })
        .await;
    }
}

/// So many minutes after the start of 2026.
fn at(minute: i64) -> Timestamp {
    "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minute)
}

fn settings(name: &str) -> JobSettings {
    JobSettings {
        name: JobName::parse(name).unwrap(),
        schedule: "0 4 * * *".parse().unwrap(),
        time_zone: time_zone::find("Europe/Vienna").unwrap().0,
        command: "rake nightly".into(),
        size: None,
        time_limit: TIME_LIMIT,
        overlap: Overlap::Skip,
        missed: Missed::Once,
        is_active: true,
    }
}

fn file_job(name: &str, schedule: &str) -> FileJob {
    FileJob {
        schedule: schedule.into(),
        ..FileJob::of(&settings(name))
    }
}

fn dyno() -> (DynoId, DynoName) {
    (
        DynoId(Uuid::new_v4()),
        DynoName::parse("scheduler.4821").unwrap(),
    )
}

#[tokio::test]
async fn a_job_is_kept_as_it_was_said_and_its_name_is_its_own() {
    let ledger = Ledger::new().await;
    let job = ledger.job("nightly").await;
    assert_eq!(job.settings, settings("nightly"));
    assert_eq!(ledger.job_named("nightly").await, job);
    let again =
        |tx: &Tx<'_>| tx.create_job(JobId(Uuid::new_v4()), APP, &settings("nightly"), at(0));
    let error = ledger.store.write(again).await.unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Taken {
                what: "job name",
                ..
            }
        ),
        "{error}"
    );

    let changed = JobSettings {
        time_zone: time_zone::find("UTC").unwrap().0,
        is_active: false,
        ..settings("daily")
    };
    let (before, wanted) = (job.clone(), changed.clone());
    let job = ledger
        .write(move |tx| tx.update_job(&before, &wanted, at(9)))
        .await;
    assert_eq!((job.settings.clone(), job.decided_until), (changed, at(9)));

    // What changes no time decides nothing.
    let renamed = JobSettings {
        name: JobName::parse("other").unwrap(),
        ..job.settings.clone()
    };
    let before = job.clone();
    let job = ledger
        .write(move |tx| tx.update_job(&before, &renamed, at(20)))
        .await;
    assert_eq!(job.decided_until, at(9));
    assert!(ledger.write(move |tx| tx.delete_job(&job, at(21))).await);
    assert_eq!(ledger.names().await, []);
}

#[tokio::test]
async fn an_app_has_so_many_jobs_and_no_more() {
    let ledger = Ledger::new().await;
    let add = |number: usize| {
        move |tx: &Tx<'_>| {
            let name = format!("job-{number}");
            tx.create_job(JobId(Uuid::new_v4()), APP, &settings(&name), at(0))
        }
    };
    for number in 0..MOST_JOBS {
        ledger.write(add(number)).await;
    }
    let error = ledger.store.write(add(MOST_JOBS)).await.unwrap_err();
    assert!(error.to_string().contains("at most 100 jobs"), "{error}");
}

#[tokio::test]
async fn a_slot_is_taken_once_also_when_its_run_is_forgotten() {
    let ledger = Ledger::new().await;
    let job = ledger.job("minutely").await;
    let take = |minute: i64| {
        let job = job.clone();
        ledger
            .write(move |tx| tx.take_job_slot(&job, at(minute), RunState::Missed, None, at(minute)))
    };
    assert!(take(0).await);
    assert!(!take(0).await);
    let last = MOST_RUNS as i64 + 20;
    for minute in 1..=last {
        assert!(take(minute).await, "{minute}");
    }
    let id = job.id;
    let runs = ledger
        .store
        .read(move |view| view.job_runs(id, usize::MAX))
        .await
        .unwrap();
    assert_eq!(runs.len(), MOST_RUNS);
    assert_eq!(runs[0].slot_at, at(last));
    // The clock was set back: slots whose runs are forgotten are as taken as those that are not.
    for minute in [0, 20, 21, last] {
        assert!(!take(minute).await, "{minute}");
    }
    assert!(take(last + 1).await);
}

#[tokio::test]
async fn a_run_goes_from_its_slot_to_its_exit_code() {
    let ledger = Ledger::new().await;
    let job = ledger.job("nightly").await;
    let (id, of_job) = (job.id, job.clone());
    ledger
        .write(move |tx| tx.take_job_slot(&of_job, at(4), RunState::Waiting, None, at(4)))
        .await;
    let open = ledger
        .store
        .read(move |view| view.open_runs_of(id))
        .await
        .unwrap();
    assert_eq!((open.len(), open[0].run.state), (1, RunState::Waiting));

    let (dyno, name) = dyno();
    let waiting = open[0].run.clone();
    let ends = ledger
        .write(move |tx| {
            let none = tx.launch_job_run(dyno)?;
            let started = tx.start_job_run(&waiting, dyno, &name, at(4))?;
            let twice = tx.start_job_run(&waiting, dyno, &name, at(4))?;
            let launched = [tx.launch_job_run(dyno)?, tx.launch_job_run(dyno)?];
            let ended = tx.end_job_run(dyno, Some(0), None, at(5))?;
            // That its row goes afterwards says nothing new.
            let again = tx.end_job_run(dyno, None, Some("gone"), at(6))?;
            Ok((none, started, twice, launched, ended, again))
        })
        .await;
    assert_eq!(
        ends,
        (None, true, false, [Some(false), Some(true)], true, false)
    );
    let run = ledger
        .store
        .read(move |view| view.job_run(id, at(4)))
        .await
        .unwrap();
    assert_eq!(
        (run.state, run.exit_code, run.reason),
        (RunState::Succeeded, Some(0), None)
    );
    assert_eq!((run.started_at, run.ended_at), (Some(at(4)), Some(at(5))));
    assert_eq!(
        ledger
            .store
            .read(|view| view.open_job_runs())
            .await
            .unwrap(),
        []
    );
}

#[tokio::test]
async fn what_was_ended_has_failed_and_says_why() {
    let ledger = Ledger::new().await;
    let job = ledger.job("nightly").await;
    let ((dyno, name), id) = (dyno(), job.id);
    let run = ledger
        .write(move |tx| {
            let run = tx.add_job_run(id, at(4))?;
            assert_ne!(tx.add_job_run(id, at(4))?.slot_at, run.slot_at);
            tx.start_job_run(&run, dyno, &name, at(4))?;
            tx.explain_job_run(&run, "replaced")?;
            tx.end_job_run(dyno, Some(0), Some("stopped on request"), at(5))?;
            tx.job_run(id, run.slot_at)
        })
        .await;
    assert_eq!((run.state, run.exit_code), (RunState::Failed, Some(0)));
    assert_eq!(run.reason.as_deref(), Some("replaced"));
}

#[tokio::test]
async fn jobs_of_app_json_follow_the_release_that_serves() {
    use Source::{AppJson, Cli};
    let ledger = Ledger::new().await;
    ledger.job("by-hand").await;
    let entry = |name: &str, source| (name.to_owned(), source);
    let first = vec![file_job("a", "0 1 * * *"), file_job("b", "0 2 * * *")];
    let first = ledger.deploy(first).await;
    let both = [
        entry("a", AppJson),
        entry("b", AppJson),
        entry("by-hand", Cli),
    ];
    assert_eq!(ledger.names().await, both);

    // Somebody pauses one: it is paused for as long as app.json names it.
    let (a, paused) = (ledger.job_named("a").await, ledger.job_named("a").await);
    let paused = JobSettings {
        is_active: false,
        ..paused.settings
    };
    ledger
        .write(move |tx| tx.update_job(&a, &paused, at(2)))
        .await;
    let second = vec![file_job("a", "0 3 * * *"), file_job("by-hand", "0 9 * * *")];
    ledger.deploy(second).await;
    assert_eq!(
        ledger.names().await,
        [entry("a", AppJson), entry("by-hand", Cli)]
    );
    let a = ledger.job_named("a").await;
    assert_eq!(a.settings.schedule.to_string(), "0 3 * * *");
    assert!(!a.settings.is_active);
    let by_hand = ledger.job_named("by-hand").await;
    assert_eq!(by_hand.settings.schedule.to_string(), "0 4 * * *");

    // The name is free again: the one of app.json comes in.
    ledger.write(move |tx| tx.delete_job(&by_hand, at(3))).await;
    assert_eq!(
        ledger.names().await,
        [entry("a", AppJson), entry("by-hand", AppJson)]
    );

    // A rollback brings back what was.
    ledger.release(first).await;
    assert_eq!(
        ledger.names().await,
        [entry("a", AppJson), entry("b", AppJson)]
    );
    assert_eq!(
        ledger.job_named("a").await.settings.schedule.to_string(),
        "0 1 * * *"
    );
}
