//! Runs of jobs: one row a slot, there before its dyno is and after it.

use jiff::{SignedDuration, Timestamp};
use ropewalk_model::job::{MOST_RUNS, RunState, Trigger};
use ropewalk_model::{DynoId, DynoName, DynoState, JobId};
use rusqlite::{Row, params};

use crate::row::{all, first, parse, parse_opt, parse_with, time};
use crate::{Job, Result, StoreError, Tx, View};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRun {
    pub job: JobId,
    /// When it was to run; of a run by hand, when it was asked for.
    pub slot_at: Timestamp,
    pub trigger: Trigger,
    pub state: RunState,
    pub dyno: Option<(DynoId, DynoName)>,
    /// Known of what ended by itself or was ended.
    pub exit_code: Option<i64>,
    /// Why it is in that state, where the exit code does not say it.
    pub reason: Option<String>,
    /// When its dyno was made.
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
}

/// A run that may still come to something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRun {
    pub run: JobRun,
    /// Of its dyno, if that is there.
    pub dyno_state: Option<DynoState>,
}

fn run(row: &Row<'_>) -> Result<JobRun> {
    let name: Option<String> = row.get("dyno_name")?;
    let dyno = match (parse_opt(row, "dyno_id")?, name) {
        (Some(id), Some(_)) => {
            let name = parse_with(row, "dyno_name", |text| DynoName::parse(text).ok())?;
            Some((id, name))
        }
        _ => None,
    };
    Ok(JobRun {
        job: parse(row, "job_id")?,
        slot_at: parse(row, "slot_at")?,
        trigger: parse_with(row, "cause", Trigger::parse)?,
        state: parse_with(row, "run_state", RunState::parse)?,
        dyno,
        exit_code: row.get("exit_code")?,
        reason: row.get("run_reason")?,
        started_at: parse_opt(row, "started_at")?,
        ended_at: parse_opt(row, "ended_at")?,
    })
}

fn open_run(row: &Row<'_>) -> Result<OpenRun> {
    let state: Option<String> = row.get("dyno_state")?;
    Ok(OpenRun {
        run: run(row)?,
        dyno_state: match state {
            None => None,
            Some(_) => Some(parse_with(row, "dyno_state", DynoState::parse)?),
        },
    })
}

const COLUMNS: &str =
    "job_id, slot_at, cause, job_runs.state AS run_state, dyno_id, dyno_name, exit_code,
                       job_runs.reason AS run_reason, started_at, ended_at";

impl View<'_> {
    /// A job's runs, the newest first, at most `limit`.
    pub fn job_runs(&self, job: JobId, limit: usize) -> Result<Vec<JobRun>> {
        let mut statement = self.conn.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM job_runs WHERE job_id = ?1 ORDER BY slot_at DESC LIMIT ?2"
        ))?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        all(&mut statement, params![job.to_string(), limit], run)
    }

    pub fn job_run(&self, job: JobId, slot_at: Timestamp) -> Result<JobRun> {
        let mut statement = self.conn.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM job_runs WHERE job_id = ?1 AND slot_at = ?2"
        ))?;
        first(&mut statement, [job.to_string(), time(slot_at)], run)?
            .ok_or(StoreError::NotFound("job run"))
    }

    /// Runs of all jobs that wait or go on, the oldest first.
    pub fn open_job_runs(&self) -> Result<Vec<OpenRun>> {
        let mut statement = self.conn.prepare_cached(&format!(
            "SELECT {COLUMNS}, dynos.state AS dyno_state FROM job_runs LEFT JOIN dynos ON dynos.id = dyno_id
             WHERE job_runs.state IN ('waiting', 'running') ORDER BY slot_at, job_id"
        ))?;
        all(&mut statement, [], open_run)
    }

    /// The same of one job.
    pub fn open_runs_of(&self, job: JobId) -> Result<Vec<OpenRun>> {
        let mut open = self.open_job_runs()?;
        open.retain(|one| one.run.job == job);
        Ok(open)
    }
}

impl Tx<'_> {
    /// Takes a slot of the schedule: from here on it is decided, whatever happens. `false`, and nothing has changed, for
    /// one that was taken before.
    pub fn take_job_slot(
        &self,
        job: &Job,
        slot_at: Timestamp,
        state: RunState,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<bool> {
        if self
            .forgotten_until(job.id)?
            .is_some_and(|until| slot_at <= until)
        {
            return Ok(false);
        }
        let taken = self.insert_job_run(job.id, slot_at, Trigger::Schedule, state, reason, now)?;
        self.forget_old_runs(job.id)?;
        Ok(taken)
    }

    /// A run that somebody wants now.
    pub fn add_job_run(&self, job: JobId, now: Timestamp) -> Result<JobRun> {
        // Slots of the schedule are at whole minutes, and microseconds are what is kept of a time.
        let mut at = now.round(jiff::Unit::Microsecond).unwrap_or(now);
        while !self.insert_job_run(job, at, Trigger::Manual, RunState::Waiting, None, now)? {
            at = at
                .checked_add(SignedDuration::from_micros(1))
                .map_err(|_| StoreError::NotFound("free moment"))?;
        }
        self.forget_old_runs(job)?;
        self.job_run(job, at)
    }

    /// The run has a dyno, whose row is written with this.
    pub fn start_job_run(
        &self,
        run: &JobRun,
        dyno: DynoId,
        name: &DynoName,
        now: Timestamp,
    ) -> Result<bool> {
        let changed = self.conn.execute(
            "UPDATE job_runs SET state = 'running', dyno_id = ?3, dyno_name = ?4, started_at = ?5
             WHERE job_id = ?1 AND slot_at = ?2 AND state = 'waiting'",
            params![
                run.job.to_string(),
                time(run.slot_at),
                dyno.to_string(),
                name.to_string(),
                time(now)
            ],
        )?;
        Ok(changed > 0)
    }

    /// A run that waits will have no dyno.
    pub fn give_job_run_up(
        &self,
        run: &JobRun,
        state: RunState,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool> {
        let changed = self.conn.execute(
            "UPDATE job_runs SET state = ?3, reason = ?4, ended_at = ?5
             WHERE job_id = ?1 AND slot_at = ?2 AND state = 'waiting'",
            params![
                run.job.to_string(),
                time(run.slot_at),
                state.as_str(),
                reason,
                time(now)
            ],
        )?;
        Ok(changed > 0)
    }

    /// Says why a run that goes on will end, before it does.
    pub fn explain_job_run(&self, run: &JobRun, reason: &str) -> Result<()> {
        self.conn.execute(
            "UPDATE job_runs SET reason = ?3 WHERE job_id = ?1 AND slot_at = ?2 AND state = 'running'",
            params![run.job.to_string(), time(run.slot_at), reason],
        )?;
        Ok(())
    }

    /// The run's container is about to be started. `Some(true)` if it was before, `None` if the dyno is no job's.
    pub fn launch_job_run(&self, dyno: DynoId) -> Result<Option<bool>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT is_launched FROM job_runs WHERE dyno_id = ?1")?;
        let before: Option<bool> =
            first(&mut statement, [dyno.to_string()], |row| Ok(row.get(0)?))?;
        if before == Some(false) {
            self.conn.execute(
                "UPDATE job_runs SET is_launched = 1 WHERE dyno_id = ?1",
                [dyno.to_string()],
            )?;
        }
        Ok(before)
    }

    /// The run of this dyno, if it is a job's, has ended; the first call counts.
    pub fn end_job_run(
        &self,
        dyno: DynoId,
        exit_code: Option<i64>,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<bool> {
        let changed = self.conn.execute(
            "UPDATE job_runs SET state = CASE WHEN ?2 IS 0 AND ?3 IS NULL AND reason IS NULL
                                              THEN 'succeeded' ELSE 'failed' END,
                                 exit_code = ?2, reason = COALESCE(reason, ?3), ended_at = ?4
             WHERE dyno_id = ?1 AND state = 'running'",
            params![dyno.to_string(), exit_code, reason, time(now)],
        )?;
        Ok(changed > 0)
    }

    fn insert_job_run(
        &self,
        job: JobId,
        slot_at: Timestamp,
        trigger: Trigger,
        state: RunState,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<bool> {
        let ended_at = (!state.is_open()).then(|| time(now));
        let made = self.conn.execute(
            "INSERT INTO job_runs (job_id, slot_at, cause, state, reason, ended_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (job_id, slot_at) DO NOTHING",
            params![
                job.to_string(),
                time(slot_at),
                trigger.as_str(),
                state.as_str(),
                reason,
                ended_at
            ],
        )?;
        Ok(made > 0)
    }

    /// Of all but the newest runs it is remembered that there were some, and those that are not over.
    fn forget_old_runs(&self, job: JobId) -> Result<()> {
        let mut statement = self.conn.prepare_cached(
            "SELECT slot_at FROM job_runs WHERE job_id = ?1 ORDER BY slot_at DESC LIMIT 1 OFFSET ?2",
        )?;
        let most = i64::try_from(MOST_RUNS).unwrap_or(i64::MAX);
        let until: Option<String> = first(&mut statement, params![job.to_string(), most], |row| {
            Ok(row.get(0)?)
        })?;
        let Some(until) = until else {
            return Ok(());
        };
        self.conn.execute(
            "UPDATE jobs SET forgotten_until = MAX(COALESCE(forgotten_until, ''), ?2) WHERE id = ?1",
            params![job.to_string(), until],
        )?;
        self.conn.execute(
            "DELETE FROM job_runs WHERE job_id = ?1 AND slot_at <= ?2 AND state NOT IN ('waiting', 'running')",
            params![job.to_string(), until],
        )?;
        Ok(())
    }
}
