//! Jobs: commands that recur. Those of `app.json` come and go with the release that serves; others are people's.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ropewalk_model::cron::Cron;
use ropewalk_model::job::{JobName, MOST_JOBS, Missed, Overlap, Source};
use ropewalk_model::{AppId, DynoSize, JobId, Sizes, SlugId, time_zone};
use rusqlite::{Row, params};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::dyno_size::size_of;
use crate::row::{all, first, is_taken, json, parse, parse_opt, parse_with, time, to_json};
use crate::{Result, StoreError, Tx, View};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub id: JobId,
    pub app: AppId,
    pub settings: JobSettings,
    pub source: Source,
    /// Of slots up to here it is decided whether they run.
    pub decided_until: Timestamp,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// What may be said of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobSettings {
    pub name: JobName,
    pub schedule: Cron,
    pub time_zone: TimeZone,
    pub command: String,
    pub size: Option<DynoSize>,
    /// Seconds that a run may take.
    pub time_limit: u32,
    pub overlap: Overlap,
    pub missed: Missed,
    pub is_active: bool,
}

/// A job that `app.json` names, as it is kept with the slug.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileJob {
    pub name: String,
    pub schedule: String,
    pub time_zone: String,
    pub command: String,
    pub size: Option<String>,
    pub time_limit: u32,
    pub overlap: String,
    pub missed: String,
}

impl FileJob {
    pub fn of(settings: &JobSettings) -> Self {
        Self {
            name: settings.name.to_string(),
            schedule: settings.schedule.to_string(),
            time_zone: time_zone::name(&settings.time_zone).to_owned(),
            command: settings.command.clone(),
            size: settings.size.map(|size| size.name.to_string()),
            time_limit: settings.time_limit,
            overlap: settings.overlap.as_str().to_owned(),
            missed: settings.missed.as_str().to_owned(),
        }
    }

    /// `None` of what this program would not have written. A size that the host had when the slug was built and has no
    /// more is not asked for.
    fn settings(&self, sizes: &Sizes) -> Option<JobSettings> {
        Some(JobSettings {
            name: JobName::parse(&self.name).ok()?,
            schedule: self.schedule.parse().ok()?,
            time_zone: time_zone::find(&self.time_zone).ok()?.0,
            command: self.command.clone(),
            size: self.size.as_deref().and_then(|name| sizes.find(name)),
            time_limit: self.time_limit,
            overlap: Overlap::parse(&self.overlap)?,
            missed: Missed::parse(&self.missed)?,
            is_active: true,
        })
    }
}

fn job(row: &Row<'_>, sizes: &Sizes) -> Result<Job> {
    let size: Option<String> = row.get("size")?;
    Ok(Job {
        id: parse(row, "id")?,
        app: parse(row, "app_id")?,
        settings: JobSettings {
            name: parse_with(row, "name", |text| JobName::parse(text).ok())?,
            schedule: parse(row, "schedule")?,
            time_zone: parse_with(row, "time_zone", |text| Some(time_zone::find(text).ok()?.0))?,
            command: row.get("command")?,
            size: match size {
                None => None,
                Some(_) => Some(size_of(row, sizes)?),
            },
            time_limit: row.get("time_limit")?,
            overlap: parse_with(row, "overlap", Overlap::parse)?,
            missed: parse_with(row, "missed", Missed::parse)?,
            is_active: row.get("is_active")?,
        },
        source: parse_with(row, "source", Source::parse)?,
        decided_until: parse(row, "decided_until")?,
        created_at: parse(row, "created_at")?,
        updated_at: parse(row, "updated_at")?,
    })
}

impl View<'_> {
    /// An app's jobs, by name.
    pub fn jobs(&self, app: AppId) -> Result<Vec<Job>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM jobs WHERE app_id = ?1 ORDER BY name")?;
        let sizes = self.sizes()?;
        all(&mut statement, [app.to_string()], |row| job(row, &sizes))
    }

    pub fn all_jobs(&self) -> Result<Vec<Job>> {
        let mut statement = self.conn.prepare_cached("SELECT * FROM jobs ORDER BY id")?;
        let sizes = self.sizes()?;
        all(&mut statement, [], |row| job(row, &sizes))
    }

    pub fn job(&self, id: JobId) -> Result<Job> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM jobs WHERE id = ?1")?;
        let sizes = self.sizes()?;
        first(&mut statement, [id.to_string()], |row| job(row, &sizes))?
            .ok_or(StoreError::NotFound("job"))
    }

    /// By name or id.
    pub fn find_job(&self, app: AppId, name_or_id: &str) -> Result<Job> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM jobs WHERE app_id = ?1 AND (name = ?2 OR id = ?2)")?;
        let sizes = self.sizes()?;
        let key = [&app.to_string(), name_or_id];
        first(&mut statement, key, |row| job(row, &sizes))?.ok_or(StoreError::NotFound("job"))
    }

    /// The jobs that a slug brings.
    pub fn slug_jobs(&self, slug: SlugId) -> Result<Vec<FileJob>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT jobs FROM slugs WHERE id = ?1")?;
        first(&mut statement, [slug.to_string()], |row| json(row, "jobs"))?
            .ok_or(StoreError::NotFound("slug"))
    }
}

impl Tx<'_> {
    /// A job that a person wants.
    pub fn create_job(
        &self,
        id: JobId,
        app: AppId,
        settings: &JobSettings,
        now: Timestamp,
    ) -> Result<Job> {
        self.app(app)?;
        let own = |job: &Job| job.source == Source::Cli;
        if self.jobs(app)?.into_iter().filter(own).count() >= MOST_JOBS {
            return Err(StoreError::Refused(format!(
                "An app has at most {MOST_JOBS} jobs; remove one first."
            )));
        }
        self.insert_job(id, app, settings, Source::Cli, now)?;
        self.job(id)
    }

    /// Changes a job. Slots that came while it was paused, or by its schedule from now on, were not missed.
    pub fn update_job(&self, job: &Job, settings: &JobSettings, now: Timestamp) -> Result<Job> {
        let same_times = job.settings.schedule == settings.schedule
            && time_zone::name(&job.settings.time_zone) == time_zone::name(&settings.time_zone)
            && job.settings.is_active == settings.is_active;
        let decided_until = if same_times { job.decided_until } else { now };
        self.conn
            .execute(
                "UPDATE jobs SET name = ?2, schedule = ?3, time_zone = ?4, command = ?5, size = ?6, time_limit = ?7,
                                 overlap = ?8, missed = ?9, is_active = ?10, decided_until = ?11, updated_at = ?12
                 WHERE id = ?1",
                params![
                    job.id.to_string(),
                    settings.name.as_str(),
                    settings.schedule.to_string(),
                    time_zone::name(&settings.time_zone),
                    settings.command,
                    settings.size.as_ref().map(|size| size.name.as_str()),
                    settings.time_limit,
                    settings.overlap.as_str(),
                    settings.missed.as_str(),
                    settings.is_active,
                    time(decided_until),
                    time(now)
                ],
            )
            .map_err(|error| taken(error, &settings.name))?;
        self.job(job.id)
    }

    /// Forgets a job and its runs; a dyno of it goes on. One of app.json that had to give way to its name comes in.
    pub fn delete_job(&self, job: &Job, now: Timestamp) -> Result<bool> {
        let gone = self.remove_job(job.id)?;
        let app = self.app(job.app)?;
        let slug = self.current_release(&app)?.slug;
        self.follow_slug_jobs(job.app, slug, now)?;
        Ok(gone)
    }

    /// Notes that it is decided of slots up to then whether they run; earlier than before, when the clock went back.
    pub fn set_decided_until(&self, id: JobId, until: Timestamp) -> Result<()> {
        self.conn.execute(
            "UPDATE jobs SET decided_until = ?2 WHERE id = ?1",
            params![id.to_string(), time(until)],
        )?;
        Ok(())
    }

    /// Keeps the jobs of app.json with the slug that was built with it.
    pub fn set_slug_jobs(&self, slug: SlugId, jobs: &[FileJob]) -> Result<()> {
        self.conn.execute(
            "UPDATE slugs SET jobs = ?2 WHERE id = ?1",
            params![slug.to_string(), to_json(&jobs)?],
        )?;
        Ok(())
    }

    /// The jobs of app.json are those of this slug from now on. Whoever paused one finds it paused. A name that a
    /// person gave to a job stays that job's.
    pub(crate) fn follow_slug_jobs(
        &self,
        app: AppId,
        slug: Option<SlugId>,
        now: Timestamp,
    ) -> Result<()> {
        let wanted = match slug {
            Some(slug) => self.slug_jobs(slug)?,
            None => Vec::new(),
        };
        let sizes = self.sizes()?;
        let wanted = wanted.iter().filter_map(|job| job.settings(&sizes));
        let wanted: Vec<JobSettings> = wanted.collect();
        let known = self.jobs(app)?;
        for job in known.iter().filter(|job| job.source == Source::AppJson) {
            if wanted.iter().all(|new| new.name != job.settings.name) {
                self.remove_job(job.id)?;
            }
        }
        for mut new in wanted {
            match known.iter().find(|job| job.settings.name == new.name) {
                Some(job) if job.source == Source::Cli => {}
                Some(job) => {
                    new.is_active = job.settings.is_active;
                    if new != job.settings {
                        self.update_job(job, &new, now)?;
                    }
                }
                None => {
                    self.insert_job(JobId(Uuid::new_v4()), app, &new, Source::AppJson, now)?;
                }
            }
        }
        Ok(())
    }

    fn remove_job(&self, id: JobId) -> Result<bool> {
        Ok(self
            .conn
            .execute("DELETE FROM jobs WHERE id = ?1", [id.to_string()])?
            > 0)
    }

    fn insert_job(
        &self,
        id: JobId,
        app: AppId,
        settings: &JobSettings,
        source: Source,
        now: Timestamp,
    ) -> Result<()> {
        self.conn
            .execute(
                "INSERT INTO jobs (id, app_id, name, schedule, time_zone, command, size, time_limit, overlap, missed,
                                   source, is_active, decided_until, created_at, updated_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?13, ?13)",
                params![
                    id.to_string(),
                    app.to_string(),
                    settings.name.as_str(),
                    settings.schedule.to_string(),
                    time_zone::name(&settings.time_zone),
                    settings.command,
                    settings.size.as_ref().map(|size| size.name.as_str()),
                    settings.time_limit,
                    settings.overlap.as_str(),
                    settings.missed.as_str(),
                    source.as_str(),
                    settings.is_active,
                    time(now)
                ],
            )
            .map_err(|error| taken(error, &settings.name))?;
        Ok(())
    }

    /// `None` before any run was forgotten.
    pub(crate) fn forgotten_until(&self, id: JobId) -> Result<Option<Timestamp>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT forgotten_until FROM jobs WHERE id = ?1")?;
        let found = first(&mut statement, [id.to_string()], |row| {
            parse_opt(row, "forgotten_until")
        })?;
        Ok(found.flatten())
    }
}

fn taken(error: rusqlite::Error, name: &JobName) -> StoreError {
    match is_taken(&error) {
        true => StoreError::Taken {
            what: "job name",
            name: name.to_string(),
        },
        false => error.into(),
    }
}
