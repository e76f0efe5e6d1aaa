//! `/ropewalk/apps/:app/jobs`: commands that recur, and what became of their runs. Not in Heroku's API.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::present::present;
use crate::reference::Named;

/// A command that recurs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    pub id: Uuid,
    pub app: Named,
    /// Which the app has once.
    pub name: String,
    /// A cron expression.
    pub schedule: String,
    /// Of the clock by which the schedule goes: `Europe/Vienna`.
    pub time_zone: String,
    pub command: String,
    /// `Standard-1X`; `null` for that of most dynos.
    pub size: Option<String>,
    /// Seconds after which a run is ended.
    pub time_limit: u32,
    /// `skip`, `allow` or `replace`: when a run's time comes while the one before it goes on.
    pub overlap: String,
    /// `skip` or `once`: when a run's time came while nothing could run.
    pub missed: String,
    /// `cli`, or `app.json` of the release that serves.
    pub source: String,
    /// It does not run by itself while it is not.
    pub active: bool,
    /// `null` while it is not active.
    #[serde(with = "crate::time::option")]
    pub next_run_at: Option<Timestamp>,
    pub last_run: Option<JobRun>,
    #[serde(with = "crate::time")]
    pub created_at: Timestamp,
    #[serde(with = "crate::time")]
    pub updated_at: Timestamp,
}

/// One time that a job ran, or was to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRun {
    /// When its time was.
    #[serde(with = "crate::time")]
    pub slot_at: Timestamp,
    /// `schedule`, or `manual` where somebody wanted it.
    pub trigger: String,
    /// `waiting`, `running`, `succeeded`, `failed`, `skipped` or `missed`.
    pub state: String,
    /// There once it has started; the dyno itself is gone when it has ended.
    pub dyno: Option<Named>,
    pub exit_code: Option<i64>,
    /// Why it is in its state, where the exit code does not say it.
    pub reason: Option<String>,
    #[serde(with = "crate::time::option")]
    pub started_at: Option<Timestamp>,
    #[serde(with = "crate::time::option")]
    pub ended_at: Option<Timestamp>,
}

/// `POST …/jobs`: all but `schedule` and `command` may be left out; and `PATCH …/jobs/:job`: what is left out stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobChange {
    /// Made of the command where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// `UTC` where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// `null` for that of most dynos.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub size: Option<Option<String>>,
    /// 1 to 86,400; a day where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_limit: Option<u32>,
    /// `skip` where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap: Option<String>,
    /// `skip` where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missed: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
}
