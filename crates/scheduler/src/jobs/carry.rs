//! Carries out what is due: rows of runs and of their dynos. Makes no choices; the dynos are launched by the next pass.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use ropewalk_model::job::{Overlap, RunState};
use ropewalk_model::{DynoId, JobId, ProcessType};
use ropewalk_store::{
    Dyno, Job, JobRun, OpenRun, Result as StoreResult, Retire, StoreError, Tx, View,
};
use ropewalk_telemetry::Round;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Due, GONE, REPLACED, Seen, Step, due};
use crate::reconcile::{Scheduler, Shared};
use crate::runs::{self, NewRun};
use crate::{SchedulerError, observe, output};

/// Longest time between two looks: the host's clock may be set.
const PERIOD: Duration = Duration::from_secs(20);
/// After one that failed.
const RETRY: Duration = Duration::from_secs(1);

impl Scheduler {
    /// Runs jobs when their times come, until `shutdown`.
    pub async fn run_jobs(&self, shutdown: CancellationToken) {
        let mut passes = self.shared.passes();
        while !shutdown.is_cancelled() {
            passes.mark_unchanged();
            let now = observe::now();
            let round = Round::begin(PERIOD);
            let looked = pass(&self.shared, now).await;
            round.end(looked.as_ref());
            let (wait, waits) = match looked {
                Ok(due) => {
                    let until = due.wake_at.map(|at| at.duration_since(observe::now()));
                    let until = until.map(|until| Duration::try_from(until).unwrap_or_default());
                    // A moment behind the slot, for the clocks that wait and tell the time are two.
                    let until = until.map(|until| until + Duration::from_millis(5));
                    (until.map_or(PERIOD, |until| until.min(PERIOD)), due.waits)
                }
                Err(error) => {
                    tracing::warn!(%error, "Jobs could not be looked at.");
                    (RETRY, false)
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = self.shared.jobs_changed.notified() => {}
                () = tokio::time::sleep(wait) => {}
                // A dyno may have started, or be gone.
                _ = passes.changed(), if waits => {}
            }
        }
    }

    /// Jobs have changed: look now.
    pub fn jobs_changed(&self) {
        self.shared.jobs_changed.notify_one();
    }

    /// Runs a job now.
    ///
    /// # Errors
    /// [`SchedulerError::Refused`] with a text for the user: nothing deployed, or it runs already.
    pub async fn run_job(&self, job: JobId) -> Result<JobRun, SchedulerError> {
        let now = observe::now();
        let done = self
            .shared
            .store
            .write(move |tx| run_now(tx, job, now))
            .await;
        let (run, dyno) = match done {
            Err(StoreError::Refused(text)) => return Err(SchedulerError::Refused(text)),
            other => other?,
        };
        match &dyno {
            Some(dyno) => say_started(&self.shared, dyno),
            None => self.jobs_changed(),
        }
        self.changed();
        Ok(run)
    }
}

/// One look at all jobs.
pub(super) async fn pass(shared: &Shared, now: Timestamp) -> Result<Due, SchedulerError> {
    let seen = shared.store.read(look).await?;
    let done = due(&seen, now);
    let jobs: HashMap<JobId, &Job> = seen.iter().map(|one| (one.job.id, &one.job)).collect();
    for (id, step) in &done.steps {
        if let Some(job) = jobs.get(id) {
            carry(shared, job, step, now).await?;
        }
    }
    // What was taken just now is started by the next look, and the dynos by the next pass.
    if !done.steps.is_empty() {
        shared.jobs_changed.notify_one();
        shared.wake();
    }
    Ok(done)
}

fn look(view: &View<'_>) -> StoreResult<Vec<Seen>> {
    let mut open: HashMap<JobId, Vec<OpenRun>> = HashMap::new();
    for one in view.open_job_runs()? {
        open.entry(one.run.job).or_default().push(one);
    }
    let jobs = view.all_jobs()?.into_iter();
    let seen = jobs.map(|job| Seen {
        open: open.remove(&job.id).unwrap_or_default(),
        job,
    });
    Ok(seen.collect())
}

async fn carry(
    shared: &Shared,
    job: &Job,
    step: &Step,
    now: Timestamp,
) -> Result<(), SchedulerError> {
    let (of_job, wanted) = (job.clone(), step.clone());
    let outcome = shared
        .store
        .write(move |tx| apply(tx, &of_job, wanted, now))
        .await;
    let outcome = match outcome {
        // The job was removed meanwhile.
        Err(StoreError::NotFound(_)) => return Ok(()),
        other => other?,
    };
    match outcome {
        Outcome::Nothing => {}
        Outcome::Started(dyno) => say_started(shared, &dyno),
        Outcome::Passed(slot, state, reason) => say(shared, job, slot, state, &reason),
    }
    Ok(())
}

/// What there is to tell of a step.
enum Outcome {
    Nothing,
    Started(Box<Dyno>),
    Passed(Timestamp, RunState, String),
}

fn apply(tx: &Tx<'_>, job: &Job, step: Step, now: Timestamp) -> StoreResult<Outcome> {
    // Somebody may have removed or changed it since the look: then the next look decides.
    if tx.job(job.id)? != *job
        && !matches!(
            step,
            Step::Lose { .. } | Step::Start { .. } | Step::GiveUp { .. }
        )
    {
        return Ok(Outcome::Nothing);
    }
    match step {
        Step::Take { slot, replace } => {
            tx.set_decided_until(job.id, slot)?;
            if tx.take_job_slot(job, slot, RunState::Waiting, None, now)? {
                for run in replace {
                    end(tx, job, &run, now)?;
                }
            }
        }
        Step::Pass {
            slot,
            state,
            reason,
        } => {
            tx.set_decided_until(job.id, slot)?;
            if tx.take_job_slot(job, slot, state, Some(reason), now)? {
                return Ok(Outcome::Passed(slot, state, reason.to_owned()));
            }
        }
        Step::Rewind { to } => tx.set_decided_until(job.id, to)?,
        Step::Start { run } => return start(tx, job, &run, now),
        Step::GiveUp { run, state, reason } => {
            if tx.give_job_run_up(&run, state, reason, now)? {
                return Ok(Outcome::Passed(run.slot_at, state, reason.to_owned()));
            }
        }
        Step::Lose { run } => {
            if let Some((dyno, _)) = run.dyno {
                tx.end_job_run(dyno, None, Some(GONE), now)?;
            }
        }
    }
    Ok(Outcome::Nothing)
}

/// Has a run ended for the sake of a later one.
fn end(tx: &Tx<'_>, job: &Job, run: &JobRun, now: Timestamp) -> StoreResult<()> {
    tx.give_job_run_up(run, RunState::Skipped, REPLACED, now)?;
    tx.explain_job_run(run, REPLACED)?;
    if let Some((_, name)) = &run.dyno {
        tx.retire_dynos(
            job.app,
            Some(&name.process_type),
            Some(name.number),
            Retire::Stop,
        )?;
    }
    Ok(())
}

/// The dyno's row, and what it is to the run, in one transaction.
fn start(tx: &Tx<'_>, job: &Job, run: &JobRun, now: Timestamp) -> StoreResult<Outcome> {
    if tx.job_run(run.job, run.slot_at)?.state != RunState::Waiting {
        return Ok(Outcome::Nothing);
    }
    match insert(tx, job)? {
        Ok(dyno) => {
            tx.start_job_run(run, dyno.id, &dyno.name, now)?;
            Ok(Outcome::Started(Box::new(dyno)))
        }
        Err(text) => {
            tx.give_job_run_up(run, RunState::Skipped, &text, now)?;
            Ok(Outcome::Passed(run.slot_at, RunState::Skipped, text))
        }
    }
}

fn insert(tx: &Tx<'_>, job: &Job) -> StoreResult<Result<Dyno, String>> {
    let new = NewRun {
        app: job.app,
        command: job.settings.command.clone(),
        process_type: ProcessType::scheduler(),
        size: job.settings.size,
        env: Default::default(),
        attach: false,
        tty: false,
        time_to_live: Some(job.settings.time_limit),
    };
    Ok(runs::insert(tx, DynoId(Uuid::new_v4()), new)?.map_err(|error| error.to_string()))
}

/// The run and its dyno; without one, it waits for those before it to end.
fn run_now(tx: &Tx<'_>, job: JobId, now: Timestamp) -> StoreResult<(JobRun, Option<Dyno>)> {
    let job = tx.job(job)?;
    let open = tx.open_runs_of(job.id)?;
    let name = &job.settings.name;
    if job.settings.overlap == Overlap::Skip
        && let Some(one) = open.first()
    {
        let text = match &one.run.dyno {
            Some((_, dyno)) => format!(
                "{name} is running already, as {dyno}. Wait for it, or end it: ropewalk ps:stop {dyno}."
            ),
            None => format!("A run of {name} is about to start already."),
        };
        return Err(StoreError::Refused(text));
    }
    let run = tx.add_job_run(job.id, now)?;
    if job.settings.overlap == Overlap::Replace && !open.is_empty() {
        for one in &open {
            end(tx, &job, &one.run, now)?;
        }
        return Ok((run, None));
    }
    match insert(tx, &job)? {
        Ok(dyno) => {
            tx.start_job_run(&run, dyno.id, &dyno.name, now)?;
            Ok((tx.job_run(job.id, run.slot_at)?, Some(dyno)))
        }
        Err(text) => Err(StoreError::Refused(text)),
    }
}

/// The container of a job's dyno is about to be started; whether it was before.
pub(crate) async fn note_launch(shared: &Shared, id: DynoId) -> Result<bool, SchedulerError> {
    let is_one_off = move |view: &View<'_>| Ok(view.dyno(id)?.is_some_and(|dyno| dyno.one_off));
    if !shared.store.read(is_one_off).await? {
        return Ok(false);
    }
    let launched = shared.store.write(move |tx| tx.launch_job_run(id)).await?;
    Ok(launched.unwrap_or(false))
}

fn say_started(shared: &Shared, dyno: &Dyno) {
    let text = format!("Starting process with command `{}`", dyno.command);
    output::say(shared, dyno.app, &dyno.name.to_string(), &text);
}

fn say(shared: &Shared, job: &Job, slot: Timestamp, state: RunState, reason: &str) {
    let (name, state) = (&job.settings.name, state.as_str());
    let reason = reason.trim_end_matches('.');
    let text = format!("Job {name} of {slot:.0} was {state}: {reason}");
    output::say(shared, job.app, ProcessType::scheduler().as_str(), &text);
}
