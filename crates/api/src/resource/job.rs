//! `/ropewalk/apps/:app/jobs`: commands that recur, and what became of their runs.
//!
//! Nothing is run here: the server's scheduler reads what is written. Who may make a job can read the config vars in its
//! dynos, so it takes that right.

use axum::extract::State as Shared;
use jiff::Timestamp;
use ropewalk_api_types::Named;
use ropewalk_api_types::job::{Job, JobChange, JobRun};
use ropewalk_model::job::{
    self as model, JobError, JobName, MOST_RUNS, Missed, Overlap, Source, TIME_LIMIT,
};
use ropewalk_model::{Cron, JobId, Sizes, time_zone};
use ropewalk_store as store;
use ropewalk_store::{JobSettings, StoreError, View};
use uuid::Uuid;

use crate::authorise::{Actor, Verb};
use crate::platform::RunError;
use crate::resource::path::Path;
use crate::resource::{app, dyno_size};
use crate::state::State;
use crate::transport::body::{Json, created, ok};
use crate::transport::error::{ApiError, ApiResult};
use crate::transport::range::{Attribute, Key, Wanted};

const ATTRIBUTES: [Attribute<Job>; 2] = [
    ("name", |job| Key::Text(job.name.clone())),
    ("id", |job| Key::Text(job.id.to_string())),
];
const RUN_ATTRIBUTES: [Attribute<JobRun>; 1] = [("slot_at", |run| Key::Time(run.slot_at))];

pub(crate) async fn list(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
    wanted: Wanted,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    let jobs = state
        .ctx
        .store
        .read(move |view| {
            let rows = view.jobs(app.id)?;
            rows.iter().map(|row| wire(view, &app, row)).collect()
        })
        .await?;
    wanted.page::<Job>(jobs, &ATTRIBUTES)
}

pub(crate) async fn info(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, job)): Path<(String, String)>,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    let row = find(&state, &app, &job).await?;
    let shown = state.ctx.store.read(move |view| wire(view, &app, &row));
    Ok(ok(&shown.await?))
}

pub(crate) async fn create(
    Shared(state): Shared<State>,
    actor: Actor,
    Path(app): Path<String>,
    Json(asked): Json<JobChange>,
) -> ApiResult {
    let app = app::find_for_config(&state, &actor, &app, Verb::Write).await?;
    let id = app.id;
    let known = state.ctx.store.read(move |view| view.jobs(id)).await?;
    let sizes = state.ctx.store.read(|view| view.sizes()).await?;
    let settings = fresh(&asked, &sizes, |name| {
        known.iter().any(|job| job.settings.name == *name)
    })?;
    let row = state
        .ctx
        .store
        .write(move |tx| tx.create_job(JobId(Uuid::new_v4()), id, &settings, Timestamp::now()))
        .await?;
    let text = format!("Job {} added", row.settings.name);
    state.ctx.say_who(app.id, &actor.user, &text);
    state.ctx.platform.jobs_changed();
    let shown = state.ctx.store.read(move |view| wire(view, &app, &row));
    Ok(created(&shown.await?))
}

pub(crate) async fn update(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, job)): Path<(String, String)>,
    Json(asked): Json<JobChange>,
) -> ApiResult {
    let app = app::find_for_config(&state, &actor, &app, Verb::Write).await?;
    let before = find(&state, &app, &job).await?;
    let sizes = state.ctx.store.read(|view| view.sizes()).await?;
    let settings = changed(&asked, &sizes, &before)?;
    let row = state
        .ctx
        .store
        .write(move |tx| {
            let now = tx.job(before.id)?;
            if now != before && now.settings != before.settings {
                let text = "Somebody else has changed the job meanwhile; look at it and try again.";
                return Err(StoreError::Refused(text.to_owned()));
            }
            tx.update_job(&now, &settings, Timestamp::now())
        })
        .await?;
    let text = format!("Job {} changed", row.settings.name);
    state.ctx.say_who(app.id, &actor.user, &text);
    state.ctx.platform.jobs_changed();
    let shown = state.ctx.store.read(move |view| wire(view, &app, &row));
    Ok(ok(&shown.await?))
}

pub(crate) async fn delete(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, job)): Path<(String, String)>,
) -> ApiResult {
    let app = app::find_for_config(&state, &actor, &app, Verb::Write).await?;
    let row = find(&state, &app, &job).await?;
    if row.source == Source::AppJson {
        let name = &row.settings.name;
        return Err(ApiError::invalid(format!(
            "{name} comes from app.json and would come back with the next release: remove it there. Until then: \
             ropewalk jobs:set {name} --pause."
        )));
    }
    let (shown, of_app) = (row.clone(), app.clone());
    let shown = state
        .ctx
        .store
        .read(move |view| wire(view, &of_app, &shown));
    let shown = shown.await?;
    let text = format!("Job {} removed", row.settings.name);
    let removed = state
        .ctx
        .store
        .write(move |tx| tx.delete_job(&row, Timestamp::now()));
    removed.await?;
    state.ctx.say_who(app.id, &actor.user, &text);
    state.ctx.platform.jobs_changed();
    Ok(ok(&shown))
}

pub(crate) async fn runs(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, job)): Path<(String, String)>,
    wanted: Wanted,
) -> ApiResult {
    let app = app::find(&state, &actor, &app, Verb::Read).await?;
    let row = find(&state, &app, &job).await?;
    let runs = state
        .ctx
        .store
        .read(move |view| view.job_runs(row.id, MOST_RUNS + 1));
    let runs = runs.await?.iter().map(run_wire).collect();
    wanted.page::<JobRun>(runs, &RUN_ATTRIBUTES)
}

/// Runs it now.
pub(crate) async fn run(
    Shared(state): Shared<State>,
    actor: Actor,
    Path((app, job)): Path<(String, String)>,
) -> ApiResult {
    let app = app::find_for_config(&state, &actor, &app, Verb::Write).await?;
    let row = find(&state, &app, &job).await?;
    let run = match state.ctx.platform.run_job(row.id).await {
        Ok(run) => run,
        Err(RunError::Refused(text)) => return Err(ApiError::invalid(text)),
        Err(error @ RunError::Failed(_)) => return Err(ApiError::internal(&error)),
    };
    let text = format!("Running job {}", row.settings.name);
    state.ctx.say_who(app.id, &actor.user, &text);
    Ok(created(&run_wire(&run)))
}

async fn find(state: &State, app: &store::App, key: &str) -> ApiResult<store::Job> {
    let (id, key) = (app.id, key.to_owned());
    Ok(state
        .ctx
        .store
        .read(move |view| view.find_job(id, &key))
        .await?)
}

fn invalid(error: &dyn std::fmt::Display) -> ApiError {
    ApiError::invalid(error.to_string())
}

/// What a new job is.
fn fresh(
    asked: &JobChange,
    sizes: &Sizes,
    is_taken: impl Fn(&JobName) -> bool,
) -> ApiResult<JobSettings> {
    let command = asked.command.clone().unwrap_or_default();
    model::check_command(&command).map_err(|error| invalid(&error))?;
    let name = match &asked.name {
        Some(name) => JobName::parse(name).map_err(|error| invalid(&error))?,
        None => JobName::of_command(&command, is_taken),
    };
    let schedule = asked.schedule.as_deref().unwrap_or_default();
    let schedule: Cron = schedule.parse().map_err(|error| invalid(&error))?;
    let plain = JobSettings {
        name,
        schedule,
        time_zone: jiff::tz::TimeZone::UTC,
        command,
        size: None,
        time_limit: TIME_LIMIT,
        overlap: Overlap::default(),
        missed: Missed::default(),
        is_active: true,
    };
    over(asked, sizes, plain)
}

/// What is asked for over what there is. Of a job of app.json it is only said whether it runs.
fn changed(asked: &JobChange, sizes: &Sizes, before: &store::Job) -> ApiResult<JobSettings> {
    let settings = over(asked, sizes, before.settings.clone())?;
    let only_paused = JobSettings {
        is_active: settings.is_active,
        ..before.settings.clone()
    };
    if before.source == Source::AppJson && settings != only_paused {
        return Err(ApiError::invalid(format!(
            "{} comes from app.json: change it there. Here it can be paused and resumed.",
            before.settings.name
        )));
    }
    Ok(settings)
}

fn over(asked: &JobChange, sizes: &Sizes, mut settings: JobSettings) -> ApiResult<JobSettings> {
    if let Some(name) = &asked.name {
        settings.name = JobName::parse(name).map_err(|error| invalid(&error))?;
    }
    if let Some(schedule) = &asked.schedule {
        settings.schedule = schedule.parse().map_err(|error| invalid(&error))?;
    }
    if let Some(name) = &asked.time_zone {
        settings.time_zone = time_zone::find(name).map_err(|error| invalid(&error))?.0;
    }
    if let Some(command) = &asked.command {
        model::check_command(command).map_err(|error| invalid(&error))?;
        settings.command.clone_from(command);
    }
    match &asked.size {
        None => {}
        Some(None) => settings.size = None,
        Some(Some(name)) => settings.size = Some(dyno_size::find(sizes, name)?),
    }
    if let Some(seconds) = asked.time_limit {
        model::check_time_limit(seconds).map_err(|error: JobError| invalid(&error))?;
        settings.time_limit = seconds;
    }
    if let Some(word) = &asked.overlap {
        settings.overlap = Overlap::parse(word)
            .ok_or_else(|| ApiError::invalid("`overlap` must be skip, allow or replace."))?;
    }
    if let Some(word) = &asked.missed {
        settings.missed = Missed::parse(word)
            .ok_or_else(|| ApiError::invalid("`missed` must be skip or once."))?;
    }
    settings.is_active = asked.active.unwrap_or(settings.is_active);
    Ok(settings)
}

fn wire(view: &View<'_>, app: &store::App, row: &store::Job) -> store::Result<Job> {
    let settings = &row.settings;
    let next = settings
        .schedule
        .next_after(&settings.time_zone, Timestamp::now())
        .filter(|_| settings.is_active);
    Ok(Job {
        id: row.id.0,
        app: app::named(app),
        name: settings.name.to_string(),
        schedule: settings.schedule.to_string(),
        time_zone: time_zone::name(&settings.time_zone).to_owned(),
        command: settings.command.clone(),
        size: settings.size.map(|size| size.name.to_string()),
        time_limit: settings.time_limit,
        overlap: settings.overlap.as_str().to_owned(),
        missed: settings.missed.as_str().to_owned(),
        source: row.source.as_str().to_owned(),
        active: settings.is_active,
        next_run_at: next,
        last_run: view.job_runs(row.id, 1)?.first().map(run_wire),
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

fn run_wire(run: &store::JobRun) -> JobRun {
    JobRun {
        slot_at: run.slot_at,
        trigger: run.trigger.as_str().to_owned(),
        state: run.state.as_str().to_owned(),
        dyno: run.dyno.as_ref().map(|(id, name)| Named {
            id: id.0,
            name: name.to_string(),
        }),
        exit_code: run.exit_code,
        reason: run.reason.clone(),
        started_at: run.started_at,
        ended_at: run.ended_at,
    }
}
