//! `/ropewalk/apps/:app/jobs`

use http::Method;
use ropewalk_api_types::job::{Job, JobChange, JobRun};

use crate::client::Client;
use crate::error::Result;

impl Client {
    pub async fn jobs(&self, app: &str) -> Result<Vec<Job>> {
        self.list(&["ropewalk", "apps", app, "jobs"]).await
    }

    pub async fn add_job(&self, app: &str, job: &JobChange) -> Result<Job> {
        let path = ["ropewalk", "apps", app, "jobs"];
        self.send(Method::POST, &path, job).await
    }

    /// By name or id, as in all that follow.
    pub async fn change_job(&self, app: &str, job: &str, change: &JobChange) -> Result<Job> {
        let path = ["ropewalk", "apps", app, "jobs", job];
        self.send(Method::PATCH, &path, change).await
    }

    pub async fn remove_job(&self, app: &str, job: &str) -> Result<Job> {
        self.delete(&["ropewalk", "apps", app, "jobs", job]).await
    }

    /// The newest first.
    pub async fn job_runs(&self, app: &str, job: &str) -> Result<Vec<JobRun>> {
        self.list(&["ropewalk", "apps", app, "jobs", job, "runs"])
            .await
    }

    /// Answers once it has its dyno, or waits for that.
    pub async fn run_job(&self, app: &str, job: &str) -> Result<JobRun> {
        let path = ["ropewalk", "apps", app, "jobs", job, "runs"];
        self.send(Method::POST, &path, &JobChange::default()).await
    }
}
